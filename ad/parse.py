"""The front end: Python's syntax tree -> IR.  What is outside the subset raises UnsupportedSyntax, here or in kinds.

Free names are resolved now: functions to primitives or to user functions, numbers to constants.  A return in a branch
becomes an assignment to one result variable, so that every function ends in one place.
"""

import ast
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Never

import numpy as np
from numba.core.dispatcher import Dispatcher

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
    assigned,
    names,
    substitute,
)
from ad.names import Namer
from ad.primitive import primitive
from ad.rules import ADVICE, find
from ad.source import MISSING, Source, place_of

__all__ = ["Parsed", "UserFunction", "parse"]

_BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_CASTS: dict[Any, Kind] = {
    float: Kind.FLOAT,
    np.float64: Kind.FLOAT,
    int: Kind.INT,
    np.int64: Kind.INT,
    bool: Kind.BOOL,
    np.bool_: Kind.BOOL,
}
# Generated code calls these by name: a user's variable of the same name is renamed there.
_RESERVED = frozenset({"range", "len", "float", "int", "bool", "abs", "min", "max"})

_STATEMENTS: dict[type[ast.AST], str] = {
    ast.Assert: "assert is not supported: check the arguments before the call",
    ast.Raise: "raise is not supported: check the arguments before the call",
    ast.Break: "break is not supported: put the condition into a while, or into an if around the rest of the body",
    ast.Continue: "continue is not supported: put the rest of the body into an if",
    ast.Try: "try is not supported: check for the special case with an if",
    ast.With: "with is not supported",
    ast.Import: "an import inside the function is not supported: import at the top of the module",
    ast.ImportFrom: "an import inside the function is not supported: import at the top of the module",
    ast.FunctionDef: "a function inside the function is not supported: define it at the top of the module",
    ast.ClassDef: "a class inside the function is not supported",
    ast.Delete: "del is not supported",
    ast.Global: "global is not supported: return the value, or pass it as an argument",
    ast.Nonlocal: "nonlocal is not supported: return the value, or pass it as an argument",
    ast.Match: "match is not supported: write if and elif",
}
_EXPRESSIONS: dict[type[ast.AST], str] = {
    ast.Lambda: "a lambda is not supported: write a function with def at the top of the module",
    ast.NamedExpr: "an assignment inside an expression is not supported: assign before",
    ast.ListComp: "a list is not supported: write a loop",
    ast.GeneratorExp: "a generator is not supported: write a loop",
    ast.SetComp: "a set is not supported: write a loop",
    ast.DictComp: "a dictionary is not supported: write a loop",
    ast.List: "a list is not supported: pass a NumPy array as an argument, or use several variables",
    ast.Tuple: "a tuple is not supported here: use several variables",
    ast.Dict: "a dictionary is not supported: use several arguments",
    ast.Set: "a set is not supported",
    ast.Await: "await is not supported",
    ast.Yield: "a generator is not supported: return one number",
    ast.YieldFrom: "a generator is not supported: return one number",
    ast.JoinedStr: "a string is not supported",
    ast.Starred: "* is not supported here: write the arguments one by one",
}


@dataclass(frozen=True)
class UserFunction:
    """A function of the user that another one calls, with the flags it was compiled with."""

    function: FunctionType
    dispatcher: Dispatcher | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Parsed:
    """A function in IR, before kinds are known.  `result` is the variable that is returned at the end."""

    source: Source
    params: tuple[str, ...]
    body: Block
    result: str
    namer: Namer
    result_place: Place | None = None
    arrays: frozenset[str] = frozenset()  # parameters used like arrays

    @property
    def name(self) -> str:
        return self.source.name


def parse(source: Source) -> Parsed:
    """Parse a function; raises UnsupportedSyntax."""
    return _Parser(source).parse()


def _assigned_names(tree: ast.FunctionDef) -> set[str]:
    """Python's rule for what is local: every name bound anywhere in the body."""
    return {n.id for s in tree.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = source.tree
        arguments = self.tree.args
        if arguments.vararg or arguments.kwarg:
            self.refuse(
                "*args and **kwargs are not supported: name every argument", arguments.vararg or arguments.kwarg
            )
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        user_names = {a.arg for a in listed} | _assigned_names(self.tree)
        self.locals = user_names
        self.namer = Namer(user_names | {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)})
        self.renamed = {n: self.namer.fresh(n) for n in sorted(user_names & _RESERVED)}
        self.params = tuple(self.local(a.arg) for a in listed)
        self.arrays: set[str] = set()
        self.result = ""
        self.result_place: Place | None = None

    def refuse(self, message: str, at: Any) -> Never:
        self.source.refuse(message, at)

    def local(self, name: str) -> str:
        return self.renamed.get(name, name)

    # ------------------------------------------------------------------------------------------ statements

    def parse(self) -> Parsed:
        body = self.tree.body
        returns = [n for n in ast.walk(self.tree) if isinstance(n, ast.Return)]
        only = returns[0] if len(returns) == 1 and returns[0] is body[-1] else None
        if only is not None and isinstance(only.value, ast.Name) and only.value.id in self.locals:
            self.result = self.local(only.value.id)
        else:
            self.result = self.namer.fresh("result")
        block, ended = self.block(body)
        if not ended:
            self.refuse(
                f"{self.source.name}() can end without a return, which returns None: end it with return and a number",
                body[-1],
            )
        return Parsed(
            self.source,
            self.params,
            block,
            self.result,
            self.namer,
            self.result_place,
            frozenset(self.arrays & set(self.params)),
        )

    def block(self, stmts: Sequence[ast.stmt], loop: bool = False) -> tuple[Block, bool]:
        """The IR of statements, and whether they always end in a return."""
        out: list[Stmt] = []
        for i, node in enumerate(stmts):
            if isinstance(node, ast.Return):
                if loop:
                    self.refuse(
                        "return inside a loop is not supported: assign the result and let the loop end by its condition",
                        node,
                    )
                out += self.returned(node)
                return tuple(out), True
            if isinstance(node, ast.If):
                rest = list(stmts[i + 1 :])
                stmt, ended = self.branch(node, rest, loop)
                out.append(stmt)
                if ended is not None:
                    return tuple(out), ended
                continue
            out += self.statement(node, loop)
        return tuple(out), False

    def returned(self, node: ast.Return) -> list[Stmt]:
        if node.value is None:
            self.refuse("return without a value: return a number", node)
        if isinstance(node.value, ast.Tuple):
            self.refuse("several results are not supported: return one number", node)
        self.result_place = place_of(node.value)
        value = self.expr(node.value)
        if isinstance(value, Var) and value.name == self.result:
            return []
        return [Assign(self.result, value, line=node.lineno)]

    def branch(self, node: ast.If, rest: list[ast.stmt], loop: bool) -> tuple[If, bool | None]:
        """An if; where one side returns, the other one takes the rest of the block.

        The second value is None where the block goes on after the if, else whether it has ended in a return.
        """
        cond = self.truth(node.test)
        then, orelse = node.body, node.orelse
        if not any(isinstance(n, ast.Return) for part in (then, orelse) for s in part for n in ast.walk(s)):
            then_ir, _ = self.block(then, loop)
            else_ir, _ = self.block(orelse, loop)
            return If(cond, then_ir, else_ir, line=node.lineno), None
        goes_on = [part for part in (then, orelse) if not _returns(part)]
        if len(goes_on) == 2 and len(rest) > 1:
            self.refuse(
                "a return deep inside an if that can also go on is not supported: give every branch its own return, or "
                "assign the result and return it at the end",
                node,
            )
        then_ir, then_ended = self.block(then if _returns(then) else [*then, *rest], loop)
        else_ir, else_ended = self.block(orelse if _returns(orelse) else [*orelse, *rest], loop)
        return If(cond, then_ir, else_ir, line=node.lineno), then_ended and else_ended

    def statement(self, node: ast.stmt, loop: bool) -> list[Stmt]:
        match node:
            case ast.Pass():
                return []
            case ast.Expr(value=ast.Constant()):
                return []  # a docstring
            case ast.Expr(value=ast.Call(func=ast.Name("print"))):
                self.refuse(ADVICE[print], node)
            case ast.Expr(value=value) if type(value) in _EXPRESSIONS:
                self.refuse(_EXPRESSIONS[type(value)], node)
            case ast.Expr():
                self.refuse("an expression whose value is not used has no effect here: remove it", node)
            case ast.Assign(targets=targets, value=value):
                return self.assign(node, targets, value)
            case ast.AnnAssign(target=target, value=value):
                return self.assign(node, [target], value) if value is not None else []
            case ast.AugAssign(target=ast.Name(name), op=op, value=value):
                place = place_of(node)
                old = Var(self.local(name), at=place_of(node.target))
                new = Binary(self.operator(op, node), old, self.expr(value), at=place)
                return [Assign(self.local(name), new, line=node.lineno)]
            case ast.AugAssign(target=target):
                self.target(target)
            case ast.For():
                return [self.for_loop(node)]
            case ast.While():
                if node.orelse:
                    self.refuse("else of a loop is not supported: put it after the loop", node.orelse[0])
                body, _ = self.block(node.body, True)
                return [While(self.truth(node.test), body, line=node.lineno)]
        kind = "with is not supported" if isinstance(node, ast.AsyncWith | ast.AsyncFor) else "this is not supported"
        self.refuse(_STATEMENTS.get(type(node), kind), node)

    def target(self, node: ast.expr) -> str:
        match node:
            case ast.Name(name):
                return self.local(name)
            case ast.Subscript():
                self.refuse(
                    "writing to an element of an array is not supported yet: arrays are read only; keep what changes in "
                    "scalar variables",
                    node,
                )
            case ast.Tuple() | ast.List() | ast.Starred():
                self.refuse("nested unpacking is not supported: write a, b = x, y", node)
        self.refuse("only plain variables can be assigned", node)

    def assign(self, node: ast.stmt, targets: Sequence[ast.expr], value: ast.expr) -> list[Stmt]:
        line = node.lineno
        first = targets[0]
        if isinstance(first, ast.Tuple | ast.List):
            if len(targets) > 1:
                self.refuse("a chain of tuple assignments is not supported: write one at a time", node)
            if not isinstance(value, ast.Tuple | ast.List):
                self.refuse("unpacking is supported in the form a, b = x, y only", value)
            if len(first.elts) != len(value.elts):
                self.refuse(f"{len(first.elts)} variables on the left, {len(value.elts)} values on the right", node)
            return self.parallel([self.target(t) for t in first.elts], [self.expr(v) for v in value.elts], line)
        found = [self.target(t) for t in targets]
        expr = self.expr(value)
        out: list[Stmt] = [Assign(found[0], expr, line=line)]
        again: Expr = expr if isinstance(expr, Const) else Var(found[0], at=place_of(first))
        return out + [Assign(name, again, line=line) for name in found[1:]]

    def parallel(self, targets: list[str], values: list[Expr], line: int) -> list[Stmt]:
        """``a, b = x, y``: a variable that a later value still reads keeps its old value in another one."""
        out: list[Stmt] = []
        for i, target in enumerate(targets):
            if any(target in names(v) for v in values[i + 1 :]):
                old = self.namer.fresh(f"{target}_old")
                out.append(Assign(old, Var(target, at=values[i].at), line=line))
                swap = _renaming(target, old)
                values[i + 1 :] = [substitute(v, swap) for v in values[i + 1 :]]
            if values[i] != Var(target):
                out.append(Assign(target, values[i], line=line))
        return out

    def for_loop(self, node: ast.For) -> For:
        if node.orelse:
            self.refuse("else of a loop is not supported: put it after the loop", node.orelse[0])
        if not isinstance(node.target, ast.Name):
            self.refuse("a loop needs one plain variable: write for i in range(n)", node.target)
        call = node.iter
        function = self.resolve(call.func) if isinstance(call, ast.Call) else None
        if not isinstance(call, ast.Call) or function is not range or call.keywords or not 1 <= len(call.args) <= 3:
            advice = ADVICE.get(function, "") if getattr(function, "__hash__", None) else ""
            advice = advice or "write for i in range(n)"
            self.refuse(f"only loops over range(...) are supported: {advice}", call)
        bounds = [self.expr(a) for a in call.args]
        start, stop, step = Const(0), bounds[0], Const(1)
        if len(bounds) > 1:
            start, stop = bounds[:2]
        if len(bounds) > 2:
            step = bounds[2]
        if isinstance(step, Unary) and step.op == "-" and isinstance(step.operand, Const):
            step = Const(-step.operand.value, at=step.at)
        if isinstance(step, Const) and step.value == 0:
            self.refuse("the step of a range cannot be 0", call)
        var = self.local(node.target.id)
        body, _ = self.block(node.body, True)
        if var in assigned(body):
            # Python's loop does not look at the variable: count with one of our own.
            counter = self.namer.fresh(f"{var}_trip")
            body = (Assign(var, Var(counter, at=place_of(node.target)), line=node.lineno), *body)
            var = counter
        return For(var, start, stop, step, body, line=node.lineno)

    # ----------------------------------------------------------------------------------------- expressions

    def operator(self, op: ast.operator, node: ast.AST) -> str:
        if type(op) not in _BINARY:
            what = "matrix products are" if isinstance(op, ast.MatMult) else "operations on bits are"
            self.refuse(f"{what} not supported", node)
        return _BINARY[type(op)]

    def truth(self, node: ast.expr) -> Expr:
        """A condition: numbers count as true where they are not zero."""
        match node:
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return BoolOp(word, tuple(self.truth(v) for v in values), at=place_of(node))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Unary("not", self.truth(operand), at=place_of(node))
        e = self.expr(node)
        return e if isinstance(e, Compare) else Cast(Kind.BOOL, e, at=e.at)

    def expr(self, node: ast.expr) -> Expr:
        place = place_of(node)
        match node:
            case ast.Constant(value=value):
                if isinstance(value, bool | int | float):
                    if isinstance(value, int) and not -(2**63) <= value < 2**63:
                        self.refuse("this integer does not fit 64 bits", node)
                    return Const(value, at=place)
                self.refuse(f"{value!r} is not supported: only float, int and bool constants are", node)
            case ast.Name(name):
                if name in self.locals:
                    return Var(self.local(name), at=place)
                return self.constant(node, name)
            case ast.Attribute():
                return self.attribute(node)
            case ast.UnaryOp(op=ast.Not()):
                return self.truth(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                return Unary("-" if isinstance(op, ast.USub) else "+", self.expr(operand), at=place)
            case ast.UnaryOp():
                self.refuse("operations on bits are not supported", node)
            case ast.BinOp(left=left, op=op, right=right):
                return Binary(self.operator(op, node), self.expr(left), self.expr(right), at=place)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self.compare(node, left, ops, rest)
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return BoolOp(word, tuple(self.expr(v) for v in values), at=place)
            case ast.IfExp(test=test, body=then, orelse=orelse):
                return Select(self.truth(test), self.expr(then), self.expr(orelse), at=place)
            case ast.Subscript():
                return self.subscript(node)
            case ast.Call():
                return self.call(node)
        self.refuse(_EXPRESSIONS.get(type(node), "this is not supported"), node)

    def compare(self, node: ast.Compare, left: ast.expr, ops: list[ast.cmpop], rest: list[ast.expr]) -> Expr:
        symbols = []
        for op in ops:
            if type(op) not in _COMPARE:
                self.refuse("is and in are not supported: compare numbers with == and <", node)
            symbols.append(_COMPARE[type(op)])
        return Compare(self.expr(left), tuple(symbols), tuple(self.expr(r) for r in rest), at=place_of(node))

    def array(self, node: ast.expr) -> str:
        """The name of an array, which must be a parameter."""
        if isinstance(node, ast.Name) and node.id in self.locals:
            name = self.local(node.id)
            self.arrays.add(name)
            return name
        if isinstance(node, ast.Name):
            self.refuse(f"{node.id} is not an argument of {self.source.name}(): pass arrays as arguments", node)
        if isinstance(node, ast.Subscript):
            self.subscript(node)
        self.refuse(_EXPRESSIONS.get(type(node), "only arrays that are arguments can be indexed"), node)

    def subscript(self, node: ast.Subscript) -> Expr:
        place = place_of(node)
        match node.value:
            case ast.Attribute(value=ast.Name(name) as array, attr="shape") if name in self.locals:
                if isinstance(node.slice, ast.Constant) and node.slice.value == 0:
                    return Len(self.array(array), at=place)
                self.refuse("arrays have one dimension: write a.shape[0] or len(a)", node)
        if isinstance(node.slice, ast.Slice):
            self.refuse("slices are not supported yet: write a loop over the elements", node)
        if isinstance(node.slice, ast.Tuple):
            self.refuse(
                "arrays of several dimensions are not supported yet: pass a.ravel() and compute the index", node
            )
        return Index(self.array(node.value), self.expr(node.slice), at=place)

    def attribute(self, node: ast.Attribute) -> Expr:
        if isinstance(node.value, ast.Name) and node.value.id in self.locals:
            if node.attr == "size":
                return Len(self.array(node.value), at=place_of(node))
            self.refuse(
                f".{node.attr} is not supported: of an array, write len(a), a.size or a.shape[0]",
                node,
            )
        return self.constant(node, node.attr)

    def resolve(self, node: ast.expr) -> Any:
        """The object that a free name or attribute of a module stands for; MISSING where that is not known."""
        match node:
            case ast.Name(name):
                return MISSING if name in self.locals else self.source.lookup(name)
            case ast.Attribute(value=value, attr=attr):
                owner = self.resolve(value)
                return getattr(owner, attr, MISSING) if isinstance(owner, ModuleType) else MISSING
        return MISSING

    def constant(self, node: ast.expr, name: str) -> Const:
        """A number of the module or closure: its value at this time."""
        value = self.resolve(node)
        place = place_of(node)
        if value is MISSING:
            self.refuse(f"{ast.unparse(node)} is not defined", node)
        if isinstance(value, np.float64 | np.int64 | np.bool_):
            value = value.item()
        if isinstance(value, bool) or type(value) in (int, float):
            if isinstance(node, ast.Attribute) and self.resolve(node.value) in (math, np):
                home = "math" if hasattr(math, name) else "np"
                return Const(value, f"{home}.{name}", at=place)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                self.refuse(f"{name} does not fit 64 bits", node)
            return Const(value, name, at=place)
        if callable(value):
            self.refuse(f"{name} is a function: call it; functions as values are not supported", node)
        self.refuse(
            f"{name} is a {type(value).__name__} of the enclosing scope, which may change: pass it as an argument",
            node,
        )

    def call(self, node: ast.Call) -> Expr:
        place = place_of(node)
        if isinstance(node.func, ast.Name) and node.func.id in self.locals:
            self.refuse(f"{node.func.id} is a variable here: functions as arguments are not supported", node)
        function = self.resolve(node.func)
        text = ast.unparse(node.func)
        if function is MISSING:
            if isinstance(node.func, ast.Attribute) and self.resolve(node.func.value) is MISSING:
                self.refuse(f"the method call {text}() is not supported: write a function or a loop", node)
            self.refuse(f"{text} is not defined", node)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            self.refuse(_EXPRESSIONS[ast.Starred], node)
        rule = find(function)
        if rule is None and isinstance(function, FunctionType | Dispatcher):
            return self.user_call(node, function)
        if node.keywords:
            self.refuse(f"keyword arguments of {text}() are not supported: give them by position", node)
        if function is len and len(node.args) == 1:
            return Len(self.array(node.args[0]), at=place)
        args = tuple(self.expr(a) for a in node.args)
        if function in _CASTS if _hashable(function) else False:
            if len(args) != 1:
                self.refuse(f"{text}() takes one number", node)
            return Cast(_CASTS[function], args[0], at=place)
        if function is pow and len(args) == 2:
            return Binary("**", *args, at=place)
        if function is range:
            self.refuse("range() belongs into a for statement", node)
        if rule is None:
            advice = ADVICE.get(function, "") if _hashable(function) else ""
            advice = advice or "write it in terms of supported ones, or give it a rule with ad.defvjp"
            self.refuse(f"{text}() is not supported: {advice}", node)
        return self.primitive_call(node, function, args)

    def primitive_call(self, node: ast.Call, function: Callable[..., Any], args: tuple[Expr, ...]) -> Expr:
        rule = primitive(function)
        place = place_of(node)
        arity = len(rule.vjps)
        if function in (min, max) and len(args) > 2:
            folded = args[0]
            for arg in args[1:]:
                folded = Call(rule, (folded, arg), at=place)
            return folded
        if function is math.log and len(args) == 2:
            logs = [Call(rule, (a,), at=place) for a in args]
            return Binary("/", *logs, at=place)
        if len(args) != arity:
            plural = "" if arity == 1 else "s"
            self.refuse(f"{ast.unparse(node.func)}() takes {arity} scalar argument{plural} here, not {len(args)}", node)
        return Call(rule, args, at=place)

    def user_call(self, node: ast.Call, function: Any) -> Expr:
        plain = function.py_func if isinstance(function, Dispatcher) else function
        try:
            signature = inspect.signature(plain, follow_wrapped=False)
            bound = signature.bind(*node.args, **{str(k.arg): k.value for k in node.keywords})
        except TypeError as error:
            self.refuse(f"{plain.__name__}(): {error}", node)
        args: list[Expr] = []
        for name, parameter in signature.parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self.refuse(f"{plain.__name__}() has *args or **kwargs, which is not supported", node)
            if name in bound.arguments:
                args.append(self.expr(bound.arguments[name]))
            elif type(parameter.default) in (float, int, bool):
                args.append(Const(parameter.default, at=place_of(node)))
            else:
                self.refuse(f"the default of {name} of {plain.__name__}() is not a number: give the argument", node)
        dispatcher = function if isinstance(function, Dispatcher) else None
        return Call(UserFunction(plain, dispatcher), tuple(args), at=place_of(node))


def _returns(stmts: Sequence[ast.stmt]) -> bool:
    """Whether statements always end in a return."""
    return any(
        isinstance(s, ast.Return) or (isinstance(s, ast.If) and _returns(s.body) and _returns(s.orelse)) for s in stmts
    )


def _hashable(x: Any) -> bool:
    return getattr(x, "__hash__", None) is not None


def _renaming(old: str, new: str) -> Callable[[Expr], Expr | None]:
    return lambda e: Var(new, at=e.at) if isinstance(e, Var) and e.name == old else None
