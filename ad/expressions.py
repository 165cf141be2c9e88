"""Expressions of the front end, and what free names stand for: functions become primitives or user functions, numbers
constants."""

import ast
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Never

import numpy as np
from numba.core.dispatcher import Dispatcher

from ad.ir import Binary, BoolOp, Call, Cast, Compare, Const, Expr, Index, Kind, Len, Select, Unary, Var, names, walk
from ad.primitive import primitive
from ad.rules import ADVICE, find
from ad.source import MISSING, Source, place_of

__all__ = ["UNSUPPORTED", "ExpressionParser", "UserFunction"]

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
UNSUPPORTED: dict[type[ast.AST], str] = {
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
    dispatcher: Any = None


class ExpressionParser:
    """Turns the expressions of one function into IR.

    `local_names` are its variables, `renamed` says how the IR calls some of them; `arrays` collects those that are used
    like arrays, `ints` those in places where only an int can stand.
    """

    def __init__(self, source: Source, local_names: set[str], renamed: dict[str, str]) -> None:
        self.source = source
        self.locals = local_names
        self.renamed = renamed
        self.arrays: set[str] = set()
        self.ints: set[str] = set()

    def refuse(self, message: str, at: Any) -> Never:
        self.source.refuse(message, at)

    def local(self, name: str) -> str:
        return self.renamed.get(name, name)

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
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(
                number, bool
            ):
                return Const(-number, at=place)
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
        self.refuse(UNSUPPORTED.get(type(node), "this is not supported"), node)

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
        self.refuse(UNSUPPORTED.get(type(node), "only arrays that are arguments can be indexed"), node)

    def subscript(self, node: ast.Subscript) -> Expr:
        place = place_of(node)
        match node.value:
            case ast.Attribute(value=ast.Name(name) as owner, attr="shape") if name in self.locals:
                if isinstance(node.slice, ast.Constant) and node.slice.value == 0:
                    return Len(self.array(owner), at=place)
                self.refuse("arrays have one dimension: write a.shape[0] or len(a)", node)
        if isinstance(node.slice, ast.Slice):
            self.refuse("slices are not supported yet: write a loop over the elements", node)
        if isinstance(node.slice, ast.Tuple):
            self.refuse(
                "arrays of several dimensions are not supported yet: pass a.ravel() and compute the index", node
            )
        array, index = self.array(node.value), self.expr(node.slice)
        self.takes_ints(index)
        return Index(array, index, at=place)

    def takes_ints(self, *exprs: Expr) -> None:
        """Note that only ints can stand here; what is converted may be anything."""
        for e in exprs:
            if not any(isinstance(part, Cast | Call) for part in walk(e)):
                self.ints |= names(e)

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
            self.refuse(UNSUPPORTED[ast.Starred], node)
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


def _hashable(x: Any) -> bool:
    return getattr(x, "__hash__", None) is not None
