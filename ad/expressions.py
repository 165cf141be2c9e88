"""Scalar and elementwise expressions of the front end, with their kinds."""

import ast
import math
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, Never

import numpy as np

from ad.function import Options, arithmetic, kind_of
from ad.ir import (
    Assign,
    Binary,
    BoolOp,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    If,
    Items,
    Kind,
    Select,
    Slice,
    Stmt,
    Store,
    Unary,
    Var,
    children,
    names,
    rebuild,
    walk_stmts,
)
from ad.numbatypes import NoSuchOperation
from ad.rules import primitive
from ad.source import MISSING, Source, place_of
from ad.values import (
    NONE,
    Build,
    FunctionValue,
    NoneValue,
    NotOfNumbers,
    RangeValue,
    Text,
    TupleValue,
    UserFunction,
    Value,
)

__all__ = ["BINARY", "Expressions", "a_kind"]

BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_HIGHEST = 24
_DIVISIONS = ("/", "//", "%")
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_UNSUPPORTED: dict[type[ast.AST], str] = {
    ast.NamedExpr: "an assignment inside an expression is not supported: assign before",
    ast.ListComp: "a list is not supported: write a loop that fills an array",
    ast.GeneratorExp: "a generator is not supported: write a loop",
    ast.SetComp: "a set is not supported: write a loop",
    ast.DictComp: "a dictionary is not supported: write a loop",
    ast.List: "a list is not supported: use a tuple, or np.array([...])",
    ast.Dict: "a dictionary is not supported: use several arguments, or a named tuple",
    ast.Set: "a set is not supported",
    ast.Await: "await is not supported",
    ast.Yield: "a generator is not supported: return one number",
    ast.YieldFrom: "a generator is not supported: return one number",
    ast.JoinedStr: "a formatted string is not supported: give its parts one by one",
    ast.Starred: "* is not supported here: write the arguments one by one",
}


class Expressions:
    """Turns the expressions of one scope into IR with kinds.

    `values` says what its variables stand for at this place, `local_names` which they are, `options` how the function
    is compiled where it stands by itself.
    """

    def __init__(
        self,
        build: Build,
        source: Source,
        local_names: set[str],
        outer: "Expressions | None" = None,
        options: Options | None = None,
    ) -> None:
        self.build = build
        self.options: Options = options or (outer.options if outer is not None else build.options)
        self.source = source
        self.local_names = local_names
        self.outer = outer
        self.values: dict[str, Value] = {}

    # ---------------------------------------------------------------------------------------------- common

    def refuse(self, message: str, at: Any) -> Never:
        self.source.refuse(message, at.at if isinstance(at, Expr) else at)

    def emit(self, s: Stmt) -> None:
        self.build.out.append(s)

    def block(self, fill: Callable[[], Any]) -> tuple[tuple[Stmt, ...], Any]:
        """The statements that `fill` makes, as a block of their own, and its result."""
        outside, self.build.out = self.build.out, []
        try:
            result = fill()
            return tuple(self.build.out), result
        finally:
            self.build.out = outside

    def where(self, node: ast.AST) -> dict[str, Any]:
        """Line and source of a statement."""
        return {"line": node.lineno, "source": None if self.source is self.build.source else self.source}  # type: ignore[attr-defined]

    def kind(self, e: Expr) -> Kind:
        try:
            return kind_of(e, self.build.kinds)
        except NoSuchOperation as error:
            self.refuse(str(error), e)

    def temporary(self, wish: str, value: Expr, node: ast.AST) -> Var:
        """A variable that holds a value."""
        name = self.build.namer.fresh(wish)
        self.build.kinds[name] = self.kind(value)
        self.emit(Assign(name, value, **self.where(node)))
        return Var(name, at=value.at)

    def scalar(self, node: ast.expr, what: str = "this") -> Expr:
        e = self.expr(node)
        if self.kind(e).is_array:
            self.refuse(f"{what} must be a number, not {a_kind(self.kind(e))}", node)
        return e

    def integer(self, node: ast.expr, what: str) -> Expr:
        e = self.expr(node)
        kind = self.kind(e)
        if kind is not Kind.INT:
            advice = "; write int(...)" if not kind.is_array else ""
            self.refuse(f"{what} must be an int, not {a_kind(kind)}{advice}", node)
        return e

    def expr(self, node: ast.expr) -> Expr:
        """An expression that is a number or an array."""
        value = self.value(node)
        match value:
            case Expr():
                return value
            case TupleValue():
                self.refuse("a tuple cannot stand here: take it apart, or use an array", node)
            case FunctionValue():
                self.refuse(f"{ast.unparse(node)} is a function: call it", node)
            case NoneValue():
                self.refuse("None cannot stand here: only a number or an array can", node)
            case Text():
                self.refuse(
                    f"the text {value.value!r} cannot stand here: only numbers and arrays have a derivative", node
                )
            case RangeValue():
                self.refuse("range() belongs into a for statement", node)

    def ordered(self, nodes: Sequence[Any], evaluate: Callable[[Any], Any]) -> list[Any]:
        """Values from left to right: what a later one writes to arrays does not change what an earlier one read."""
        found: list[Any] = []
        for node in nodes:
            found = self.then(found, partial(evaluate, node), node)
        return found

    def then(self, found: list[Any], evaluate: Callable[[], Any], node: Any) -> list[Any]:
        """Values that are there and one more; what it writes to arrays does not change what they have read."""
        stmts, value = self.block(evaluate)
        if any(isinstance(s, Store) for s in walk_stmts(stmts)):
            found = [self.kept(v, node) for v in found]
        for s in stmts:
            self.emit(s)
        return [*found, value]

    def kept(self, value: Any, node: Any) -> Any:
        """A value that reads arrays, in a variable of its own."""
        if isinstance(value, TupleValue):
            return TupleValue(tuple(self.kept(item, node) for item in value.items), value.cls)
        if not isinstance(value, Expr) or isinstance(value, Var | Const):
            return value
        if isinstance(value, Items | Slice):
            return rebuild(value, tuple(self.kept(part, node) for part in children(value)))
        if any(n in self.build.kinds and self.build.kinds[n].is_array for n in names(value)):
            return self.temporary("value", value, node)
        return value

    # ----------------------------------------------------------------------------------------- expressions

    def value(self, node: ast.expr) -> Value:
        place = place_of(node)
        match node:
            case ast.Constant(value=value):
                return self.literal(value, node)
            case ast.Name(name):
                return self.name(name, node)
            case ast.Attribute():
                return self.attribute(node)
            case ast.UnaryOp(op=ast.Not()):
                return self.truth(node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(
                number, bool
            ):
                return Const(-number, at=place)
            case ast.UnaryOp(op=op, operand=operand):
                symbol = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}[type(op)]
                return self.unary(symbol, self.expr(operand), place)
            case ast.BinOp():
                return self.operations(node)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self.compare(node, left, ops, rest)
            case ast.BoolOp():
                return self.bool_op(node)
            case ast.IfExp(test=test, body=then, orelse=orelse):
                return self.select(node, test, then, orelse)
            case ast.Subscript():
                return self.subscript(node)
            case ast.Call():
                return self.cut(self.call(node), node)
            case ast.Tuple(elts=elts):
                return TupleValue(tuple(self.ordered(elts, self.value)))
            case ast.Lambda():
                return self.local_function(node)
        self.refuse(_UNSUPPORTED.get(type(node), "this is not supported"), node)

    def operations(self, node: ast.BinOp) -> Value:
        """``a + b + ...``, from left to right: there may be more of them than Python lets functions call each other."""
        spine = [node]
        while isinstance(spine[-1].left, ast.BinOp):
            spine.append(spine[-1].left)
        value = self.value(spine[-1].left)
        for part in reversed(spine):
            value = self.cut(self.operation(part, value), part)
        return value

    def operation(self, node: ast.BinOp, left: Value) -> Value:
        place, op = place_of(node), node.op
        a, b = self.ordered((left, node.right), lambda v: self.value(v) if isinstance(v, ast.expr) else v)
        if isinstance(a, TupleValue) and isinstance(b, TupleValue) and isinstance(op, ast.Add):
            return TupleValue(a.items + b.items)
        sides = self.expr_of(a, node.left), self.expr_of(b, node.right)
        if isinstance(op, ast.MatMult):
            return self.numpy_call(np.matmul, sides, {}, node)
        return self.binary(BINARY[type(op)], *sides, place)

    def cut(self, value: Value, node: ast.expr) -> Value:
        """The value, in a variable where the expression is as high as one may be: derivatives grow faster than it."""
        if self.source.heights[node] % _HIGHEST or not isinstance(value, Binary | Call):
            return value
        return self.temporary("part", value, node)

    def expr_of(self, value: Value, node: ast.expr) -> Expr:
        return value if isinstance(value, Expr) else self.expr(node)

    def literal(self, value: Any, node: ast.expr) -> Value:
        if value is None:
            return NONE
        if isinstance(value, str):
            return Text(value)
        if isinstance(value, bool | int | float | complex):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                self.refuse("this integer does not fit 64 bits", node)
            return Const(value, at=place_of(node))
        self.refuse(f"{value!r} is not supported: only numbers are", node)

    def name(self, name: str, node: ast.expr) -> Value:
        if name not in self.local_names:
            if self.outer is not None:
                return self.outer.name(name, node)
            return self.constant(node, name)
        if name not in self.values:
            self.refuse(f"{name} may have no value here: give it one before", node)
        value = self.values[name]
        return Var(value.name, at=place_of(node)) if isinstance(value, Var) else value

    def unary(self, op: str, operand: Expr, place: Any) -> Expr:
        if op == "~" and self.kind(operand) is Kind.BOOL:
            self.refuse("~ of a bool is an int: write not", operand)
        e = Unary(op, operand, at=place)
        self.kind(e)
        return e

    def binary(self, op: str, left: Expr, right: Expr, place: Any) -> Expr:
        a, b = self.kind(left), self.kind(right)
        e = Binary(op, left, right, checked=op in _DIVISIONS and self.options.checked, at=place)
        if op == "**" and not (a.is_array or b.is_array):
            if Kind.BOOL in (a, b):
                self.refuse("a power of bools is not supported", e)
            if a is b is Kind.INT and not _is_natural(right):
                self.refuse(
                    "an int to the power of an int is not supported unless the exponent is a constant >= 0 (Python's "
                    "result would be an int or a float): write float(a) ** n",
                    e,
                )
        self.kind(e)
        return e

    def truth(self, node: ast.expr) -> Expr:
        """A condition: numbers count as true where they are not zero."""
        match node:
            case ast.BoolOp():
                return self.bool_op(node, self.truth)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Unary("not", self.truth(operand), at=place_of(node))
        value = self.value(node)
        if isinstance(value, NoneValue):
            return Const(False)
        if isinstance(value, TupleValue):
            return Const(bool(value.items))
        e = self.expr_of(value, node)
        kind = self.kind(e)
        if kind.is_array:
            self.refuse("an array has no truth value: write np.all(...), np.any(...), or compare its elements", node)
        return e if kind is Kind.BOOL else Compare(e, ("!=",), (Const(0),), at=e.at)

    def compare(self, node: ast.Compare, left: ast.expr, ops: list[ast.cmpop], rest: list[ast.expr]) -> Expr:
        if len(ops) == 1 and isinstance(ops[0], ast.Is | ast.IsNot):
            values = [self.value(left), self.value(rest[0])]
            if NONE not in values:
                self.refuse("is compares identities: compare numbers with == and <; only `is None` is supported", node)
            return Const((values[0] is values[1]) == isinstance(ops[0], ast.Is), at=place_of(node))
        symbols = []
        for op in ops:
            if type(op) not in _COMPARE:
                self.refuse("is and in are not supported: compare numbers with == and <", node)
            symbols.append(_COMPARE[type(op)])
        sides = self.ordered((left, rest[0]), self.value)
        for operand in rest[1:]:  # which counts only where the comparisons before it hold
            stmts, value = self.block(partial(self.value, operand))
            if any(isinstance(s, Store) for s in walk_stmts(stmts)):
                self.refuse(
                    "what writes to arrays cannot stand in a chain of comparisons: write a < b and b < c", operand
                )
            for s in stmts:
                self.emit(s)
            sides.append(value)
        if all(isinstance(s, Text) for s in sides) and symbols in (["=="], ["!="]):
            return Const((sides[0] == sides[1]) == (symbols[0] == "=="), at=place_of(node))
        exprs = [self.expr_of(s, e) for s, e in zip(sides, (left, *rest), strict=True)]
        if len(exprs) > 2 and any(self.kind(e).is_array for e in exprs):
            self.refuse("a chain of comparisons of arrays has no truth value: write (a < b) & (b < c)", node)
        return Compare(exprs[0], tuple(symbols), tuple(exprs[1:]), at=place_of(node))

    def bool_op(self, node: ast.BoolOp, each: Callable[[ast.expr], Expr] | None = None) -> Expr:
        """``a and b``; what a later operand needs to have done before is done only where it is looked at."""
        word = "and" if isinstance(node.op, ast.And) else "or"
        stop = word == "or"
        each = each or self.boolean
        found: list[Expr] = []
        for operand in node.values:
            stmts, e = self.block(partial(each, operand))
            if isinstance(e, Const) and isinstance(e.value, bool) and not stmts:
                if e.value is stop:
                    found.append(e)
                    break
                continue
            if stmts and found:
                name = self.build.namer.fresh("holds")
                self.build.kinds[name] = Kind.BOOL
                so_far = found[0] if len(found) == 1 else BoolOp(word, tuple(found))
                self.emit(Assign(name, so_far, **self.where(node)))
                rest = (*stmts, Assign(name, e, **self.where(node)))
                self.emit(If(Var(name), () if stop else rest, rest if stop else (), **self.where(node)))
                e, found = Var(name), []
            else:
                for s in stmts:
                    self.emit(s)
            found.append(e)
        if not found:
            return Const(not stop, at=place_of(node))
        return found[0] if len(found) == 1 else BoolOp(word, tuple(found), at=place_of(node))

    def boolean(self, node: ast.expr) -> Expr:
        e = self.expr(node)
        if self.kind(e) is not Kind.BOOL:
            self.refuse(
                "and, or of numbers give one of the numbers, which is not supported: compare (x != 0.0), or write "
                "a if condition else b",
                node,
            )
        return e

    def select(self, node: ast.IfExp, test: ast.expr, then: ast.expr, orelse: ast.expr) -> Value:
        cond = self.truth(test)
        if isinstance(cond, Const):
            return self.value(then if cond.value else orelse)
        (first, a), (second, b) = (self.block(partial(self.value, side)) for side in (then, orelse))
        if not isinstance(a, Expr) or not isinstance(b, Expr):
            self.refuse("the sides of this expression must be numbers or arrays: write if and else", node)
        kind = self.common(a, b, node)
        a, b = self.cast(a, kind), self.cast(b, kind)
        if not first and not second and not kind.is_array:
            return Select(cond, a, b, at=place_of(node))
        name = self.build.namer.fresh("chosen")
        self.build.kinds[name] = kind
        sides = [(*s, Assign(name, e, **self.where(node))) for s, e in ((first, a), (second, b))]
        self.emit(If(cond, sides[0], sides[1], **self.where(node)))
        return Var(name, at=place_of(node))

    def common(self, a: Expr, b: Expr, node: ast.AST) -> Kind:
        """The kind of a value that is `a` or `b`."""
        first, second = self.kind(a), self.kind(b)
        if first is second:
            return first
        if first.is_array or second.is_array:
            self.refuse(f"one side of this expression is {a_kind(first)} and the other {a_kind(second)}", node)
        if Kind.BOOL in (first, second):
            self.refuse("one side of this expression is a bool and the other a number", node)
        return arithmetic("+", first, second)

    def cast(self, e: Expr, kind: Kind) -> Expr:
        """A scalar converted to another kind; an array as it is."""
        found = self.kind(e)
        if found is kind or kind.is_array:
            return e
        if kind is Kind.FLOAT and isinstance(e, Const) and e.name is None:
            return Const(float(e.value), at=e.at)
        if kind is Kind.BOOL:
            return Compare(e, ("!=",), (Const(0),), at=e.at)
        if kind.is_float and found is Kind.BOOL:
            e = Cast(Kind.INT, e, at=e.at)  # Numba has no float(bool)
        return Cast(kind, e, at=e.at)

    # ------------------------------------------------------------------------------------------ free names

    def resolve(self, node: ast.expr) -> Any:
        """The object that a free name or attribute of a module stands for; MISSING where that is not known."""
        match node:
            case ast.Name(name):
                if name in self.local_names:
                    return MISSING
                return self.source.lookup(name) if self.outer is None else self.outer.resolve(node)
            case ast.Attribute(value=value, attr=attr):
                owner = self.resolve(value)
                return getattr(owner, attr, MISSING) if isinstance(owner, ModuleType) else MISSING
        return MISSING

    def constant(self, node: ast.expr, name: str) -> Value:
        """A number or function of the module or closure: its value at this time."""
        value = self.resolve(node)
        if value is MISSING:
            self.refuse(f"{ast.unparse(node)} is not defined", node)
        home = None
        if isinstance(node, ast.Attribute) and self.resolve(node.value) in (math, np):
            home = "math" if hasattr(math, name) else "np"
        return self.constant_value(value, f"{home}.{name}" if home else name, node)

    def constant_value(self, value: Any, name: str, node: ast.AST) -> Value:
        place = place_of(node)
        if value is None:
            return NONE
        if isinstance(value, np.float64 | np.int64 | np.bool_ | np.complex128):
            value = value.item()
        if isinstance(value, np.integer):
            value = int(value)  # as those that are arguments
        if isinstance(value, np.float32 | np.complex64):
            return Cast(Kind(value.dtype.name), Const(value.item(), name, at=place), at=place)
        if isinstance(value, np.generic):
            self.refuse(f"{name} is a {type(value).__name__}, which is not supported: write float(...) of it", node)
        if isinstance(value, bool) or type(value) in (int, float, complex):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                self.refuse(f"{name} does not fit 64 bits", node)
            return Const(value, name, at=place)
        if isinstance(value, str):
            return Text(value)
        if isinstance(value, tuple):
            cls = type(value) if hasattr(value, "_fields") else None
            return TupleValue(tuple(self.constant_value(v, f"{name}_{i}", node) for i, v in enumerate(value)), cls)
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "fiubc" and value.dtype.isnative:
            return self.constant_array(value, name, place)
        if callable(value):
            plain = getattr(value, "py_func", None)
            return FunctionValue(UserFunction(plain or value, value if plain is not None else None))
        self.refuse(
            f"{name} is a {type(value).__name__} of the enclosing scope, which may change: pass it as an argument",
            node,
        )

    def constant_array(self, value: np.ndarray, name: str, place: Any) -> Var:
        """An array of the module or closure: what it holds at this time, as a parameter of its own."""
        build = self.build
        if build.probing:
            raise NotOfNumbers
        if id(value) not in build.constants:
            inner = build.namer.fresh(name.replace(".", "_"))
            build.constants[id(value)] = inner, value.copy()
            build.kinds[inner] = Kind(value.dtype.name, value.ndim)
            build.called[inner] = name
        return Var(build.constants[id(value)][0], at=place)

    # --------------------------------------------------------------------- what the other parts of it provide

    def local_function(self, node: ast.FunctionDef | ast.Lambda) -> FunctionValue:
        raise NotImplementedError

    def attribute(self, node: ast.Attribute) -> Value:
        raise NotImplementedError

    def subscript(self, node: ast.Subscript) -> Value:
        raise NotImplementedError

    def call(self, node: ast.Call) -> Value:
        raise NotImplementedError

    def numpy_call(
        self, function: Callable[..., Any], args: tuple[Expr, ...], keywords: dict[str, Any], node: ast.AST
    ) -> Expr:
        """A call of a function that has a rule, of arguments that are all numbers or arrays."""
        rule = primitive(function)
        e = Call(rule, args, tuple(keywords.items()), at=place_of(node))
        self.kind(e)
        return e


def a_kind(kind: Kind) -> str:
    text = str(kind)
    return f"an {text}" if text.startswith("int") else f"a {text}"


def _is_natural(e: Expr) -> bool:
    return isinstance(e, Const) and isinstance(e.value, int) and e.value >= 0
