"""Kinds of variables: float, int, bool or array, by a fixpoint from the kinds of the arguments.

A variable has one kind throughout.  One that holds an int at one place and a float at another is a float, as it is for
Numba where both meet; every assignment to it converts.  So a word on the tape has the kind that the reverse sweep
expects, whatever path was taken.
"""

from collections.abc import Callable
from typing import NoReturn

from ad.expressions import UserFunction
from ad.function import Function, Options, arithmetic
from ad.ir import (
    Assign,
    Binary,
    Block,
    BoolOp,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    Place,
    Select,
    Stmt,
    Unary,
    Var,
    While,
    walk_stmts,
)
from ad.parse import Parsed
from ad.primitive import Primitive
from ad.rules import result_kind

__all__ = ["assign_kinds"]

Specialise = Callable[[UserFunction, tuple[Kind, ...], Place | None], Function]


def assign_kinds(parsed: Parsed, param_kinds: tuple[Kind, ...], options: Options, specialise: Specialise) -> Function:
    """Give every variable its kind, insert conversions, and resolve called functions for the kinds of their arguments.

    Raises UnsupportedSyntax where kinds do not fit.
    """
    return _Kinds(parsed, param_kinds, options, specialise).function()


class _Unknown(Exception):
    """An operand has no kind yet: it is assigned later in the loop."""


class _Kinds:
    def __init__(self, parsed: Parsed, param_kinds: tuple[Kind, ...], options: Options, specialise: Specialise) -> None:
        self.parsed = parsed
        self.param_kinds = param_kinds
        self.options = options
        self.specialise = specialise
        self.kinds = dict(zip(parsed.params, param_kinds, strict=True))
        self.changed = True

    def refuse(self, message: str, at: Place | Expr | int | None) -> NoReturn:
        if isinstance(at, Expr):
            at = at.at
        if isinstance(at, int):
            at = Place(at)
        self.parsed.source.refuse(message, at)

    def function(self) -> Function:
        stmts = list(walk_stmts(self.parsed.body))
        while self.changed:
            self.changed = False
            for s in stmts:
                self.learn(s)
        body = self.block(self.parsed.body)
        entry: list[Stmt] = []
        for name, kind in zip(self.parsed.params, self.param_kinds, strict=True):
            if self.kinds[name] is not kind:
                line = self.parsed.source.tree.lineno
                entry.append(Assign(name, Cast(self.kinds[name], Var(name)), line=line))
        p = self.parsed
        if p.result not in self.kinds:
            self.refuse(f"{p.result} is returned, but has no value yet", p.result_place)
        return Function(
            p.source,
            p.params,
            self.param_kinds,
            self.kinds,
            (*entry, *body),
            p.result,
            p.namer,
            self.options,
            p.result_place,
        )

    # --------------------------------------------------------------------------------------------- fixpoint

    def learn(self, s: Stmt) -> None:
        match s:
            case Assign(target, value):
                try:
                    _, kind = self.expr(value)
                except _Unknown:
                    return
                if kind.is_array:
                    self.refuse("a second name for an array is not supported yet: use the argument itself", value)
                self.join(target, kind, s.line)
            case For(var=var):
                self.join(var, Kind.INT, s.line)

    def join(self, name: str, kind: Kind, line: int) -> None:
        old = self.kinds.get(name)
        if old is None:
            self.kinds[name] = kind
        elif old is kind or (old is Kind.FLOAT and kind is Kind.INT):
            return
        elif old is Kind.INT and kind is Kind.FLOAT:
            self.kinds[name] = kind
        elif old.is_array:
            self.refuse(f"{name} is an array: give the number another name", line)
        else:
            self.refuse(
                f"{name} holds a bool at one place and a number at another: use two names, or int(...)",
                line,
            )
        self.changed = True

    # -------------------------------------------------------------------------------------------- rewriting

    def block(self, block: Block) -> Block:
        return tuple(self.stmt(s) for s in block)

    def stmt(self, s: Stmt) -> Stmt:
        match s:
            case Assign(target, value):
                typed, kind = self.known(value, s.line)
                wanted = self.kinds[target]
                return Assign(target, typed if kind is wanted else _cast(wanted, typed), line=s.line)
            case For(var, start, stop, step, body):
                if self.kinds[var] is not Kind.INT:
                    self.refuse(
                        f"the loop variable {var} is a float elsewhere: give that another name",
                        s.line,
                    )
                first, end, by = (self.integer(e, "a bound of range()") for e in (start, stop, step))
                return For(var, first, end, by, self.block(body), line=s.line)
            case While(cond, body):
                return While(self.condition(cond, s.line), self.block(body), line=s.line)
            case If(cond, then, orelse):
                return If(self.condition(cond, s.line), self.block(then), self.block(orelse), line=s.line)
        raise AssertionError(s)

    def known(self, e: Expr, line: int) -> tuple[Expr, Kind]:
        try:
            return self.expr(e)
        except _Unknown as unknown:
            self.refuse(f"{unknown} has no value here", e.at or line)

    def condition(self, e: Expr, line: int) -> Expr:
        return self.known(e, line)[0]

    def integer(self, e: Expr, what: str) -> Expr:
        typed, kind = self.known(e, 0)
        if kind is not Kind.INT:
            advice = "; write int(...)" if kind in (Kind.FLOAT, Kind.BOOL) else ""
            self.refuse(f"{what} must be an int, not {_a(kind)}{advice}", e)
        return typed

    def scalar(self, e: Expr) -> tuple[Expr, Kind]:
        typed, kind = self.expr(e)
        if kind.is_array:
            self.refuse("whole-array arithmetic is not supported yet: write a loop over the elements", e)
        return typed, kind

    def expr(self, e: Expr) -> tuple[Expr, Kind]:
        """The typed expression and its kind."""
        match e:
            case Const(value):
                return e, Kind.BOOL if isinstance(value, bool) else Kind.INT if isinstance(value, int) else Kind.FLOAT
            case Var(name):
                if name not in self.kinds:
                    raise _Unknown(name)
                return e, self.kinds[name]
            case Unary("not", operand):
                typed, _ = self.boolean(operand)
                return Unary("not", typed, at=e.at), Kind.BOOL
            case Unary(op, operand):
                typed, kind = self.scalar(operand)
                return Unary(op, typed, at=e.at), arithmetic(op, kind)
            case Binary():
                return self.binary(e)
            case Compare(left, ops, rest):
                sides = tuple(self.scalar(part)[0] for part in (left, *rest))
                return Compare(sides[0], ops, sides[1:], at=e.at), Kind.BOOL
            case BoolOp(op, values):
                return BoolOp(op, tuple(self.boolean(v)[0] for v in values), at=e.at), Kind.BOOL
            case Select(cond, then, orelse):
                return self.select(e, cond, then, orelse)
            case Index(array, index):
                kind = self.array_kind(array, e)
                typed = self.index(index)
                return Index(array, typed, at=e.at), Kind.FLOAT if kind is Kind.FLOATS else Kind.INT
            case Len(array):
                self.array_kind(array, e)
                return e, Kind.INT
            case Cast(kind, operand):
                typed, found = self.scalar(operand)
                return (typed if found is kind else _cast(kind, typed, found)), kind
            case Call():
                return self.call(e)
        raise AssertionError(e)

    def index(self, e: Expr) -> Expr:
        typed, kind = self.expr(e)
        if kind is not Kind.INT:
            self.refuse(f"an index must be an int, not {_a(kind)}; write int(...)", e)
        return typed

    def array_kind(self, name: str, e: Expr) -> Kind:
        kind = self.kinds.get(name)
        if kind is None or not kind.is_array:
            self.refuse(f"{name} is {_a(kind) if kind else 'not an array'} here, not an array: it cannot be indexed", e)
        return kind

    def boolean(self, e: Expr) -> tuple[Expr, Kind]:
        typed, kind = self.scalar(e)
        if kind is not Kind.BOOL:
            self.refuse(
                "and, or of numbers give one of the numbers, which is not supported: compare (x != 0.0), or write "
                "a if condition else b",
                e,
            )
        return typed, kind

    def binary(self, e: Binary) -> tuple[Expr, Kind]:
        (left, a), (right, b) = self.scalar(e.left), self.scalar(e.right)
        kind = arithmetic(e.op, a, b)
        if e.op == "**":
            if Kind.BOOL in (a, b):
                self.refuse("a power of bools is not supported", e)
            if kind is Kind.INT and not _is_natural(right):
                self.refuse(
                    "an int to the power of an int is not supported unless the exponent is a constant >= 0 (Python's "
                    "result would be an int or a float): write float(a) ** n",
                    e,
                )
        return Binary(e.op, left, right, at=e.at), kind

    def select(self, e: Expr, cond: Expr, then: Expr, orelse: Expr) -> tuple[Expr, Kind]:
        typed_cond, _ = self.boolean(cond)
        (x, a), (y, b) = self.scalar(then), self.scalar(orelse)
        if Kind.BOOL in (a, b) and a is not b:
            self.refuse("one side of this expression is a bool and the other a number", e)
        kind = Kind.FLOAT if Kind.FLOAT in (a, b) else a
        x, y = (_cast(kind, v) if k is not kind else v for v, k in ((x, a), (y, b)))
        return Select(typed_cond, x, y, at=e.at), kind

    def call(self, e: Call) -> tuple[Expr, Kind]:
        typed = [self.expr(a) for a in e.args]
        kinds = tuple(kind for _, kind in typed)
        args = tuple(arg for arg, _ in typed)
        if isinstance(e.callee, UserFunction):
            if Kind.BOOL in kinds:
                self.refuse(f"a bool as argument of {e.callee.function.__name__}() is not supported: pass int(...)", e)
            callee = self.specialise(e.callee, kinds, e.at)
            return Call(callee, args, at=e.at), callee.result_kind
        assert isinstance(e.callee, Primitive)
        for arg, kind in typed:
            if kind.is_array:
                self.refuse(
                    f"{e.callee.name}() of a whole array is not supported yet: write a loop over the elements",
                    arg,
                )
            if kind is Kind.BOOL:
                self.refuse(f"a bool as argument of {e.callee.name}() is not supported: write int(...)", e)
        kind = result_kind(e.callee, kinds)
        if e.callee.name == "power" and kind is Kind.INT:
            self.refuse("np.power of two ints is not supported: write float(a) ** n", e)
        return Call(e.callee, args, at=e.at), kind


def _a(kind: Kind) -> str:
    return f"an {kind.value}" if kind is Kind.INT else f"a {kind.value}"


def _is_natural(e: Expr) -> bool:
    return isinstance(e, Const) and isinstance(e.value, int) and e.value >= 0


def _cast(kind: Kind, e: Expr, found: Kind | None = None) -> Expr:
    if kind is Kind.FLOAT and isinstance(e, Const) and e.name is None:
        return Const(float(e.value), at=e.at)
    if kind is Kind.BOOL:
        return Compare(e, ("!=",), (Const(0),), at=e.at)
    if kind is Kind.FLOAT and found is Kind.BOOL:
        e = Cast(Kind.INT, e, at=e.at)  # Numba has no float(bool)
    return Cast(kind, e, at=e.at)
