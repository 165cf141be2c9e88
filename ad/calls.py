"""Calls in the front end.

A function of numbers, and of arrays that it only reads, stays a function: it gets sweeps of its own.  What writes to
its arguments, returns an array or a tuple, or takes a function is put in the place of the call, with names of its own.
"""

import ast
import inspect
import math
import random
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import prange
from numba.core.dispatcher import Dispatcher

from ad.arrayexpressions import ArrayExpressions
from ad.checkpointed import checkpointed
from ad.expressions import a_kind
from ad.function import Function, Inlined
from ad.ir import Binary, Call, Const, Expr, Kind, Len, Var
from ad.rerun import is_rerun
from ad.rules import ADVICE, Primitive, find, on_arrays, primitive
from ad.source import MISSING, place_of
from ad.values import NONE, FunctionValue, RangeValue, TupleValue, UserFunction, Value

if TYPE_CHECKING:
    from ad.parse import Scope

__all__ = ["Calls"]

_CASTS: dict[Any, Kind] = {
    float: Kind.FLOAT,
    np.float64: Kind.FLOAT,
    np.float32: Kind("float32"),
    int: Kind.INT,
    np.int64: Kind.INT,
    bool: Kind.BOOL,
    np.bool_: Kind.BOOL,
}
_WITHOUT_RULE = frozenset({*_CASTS, complex, np.complex128, pow, divmod})
_DEEP = 60
_OTHER_NAMES: dict[Any, Any] = {np.amax: np.max, np.amin: np.min}


class Calls(ArrayExpressions):
    def call(self, node: ast.Call) -> Value:
        args = self.arguments(node)
        if any(k.arg is None for k in node.keywords):
            self.refuse("** is not supported here: write the arguments one by one", node)
        if isinstance(node.func, ast.Attribute) and self.resolve(node.func) is MISSING:
            return self.method_call(node)
        if isinstance(node.func, ast.Lambda) or (isinstance(node.func, ast.Name) and self.is_variable(node.func.id)):
            function = self.value(node.func)
            if not isinstance(function, FunctionValue):
                self.refuse(f"{ast.unparse(node.func)} is a variable here, not a function", node)
            if isinstance(function.function, UserFunction):
                known = function.function.dispatcher or function.function.function
                return self.known_call(known, args, ast.unparse(node.func), node)
            return self.user_call(function, args, node)
        function = self.resolve(node.func)
        text = ast.unparse(node.func)
        if function is MISSING:
            self.refuse(f"{text} is not defined", node)
        return self.known_call(function, args, text, node)

    def is_variable(self, name: str) -> bool:
        scope: Any = self
        while scope is not None:
            if name in scope.local_names:
                return True
            scope = scope.outer
        return False

    def arguments(self, node: ast.Call) -> list[Any]:
        """The positional arguments: syntax, or values where a tuple was taken apart."""
        args: list[Any] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                value = self.value(arg.value)
                if not isinstance(value, TupleValue):
                    self.refuse("* takes a tuple here", arg)
                args += value.items
            else:
                args.append(arg)
        return args

    def method_call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Attribute)
        root = node.func.value
        while isinstance(root, ast.Attribute):
            root = root.value
        known = isinstance(root, ast.Name) and not self.is_variable(root.id)
        if known and (self.resolve(root) is MISSING or isinstance(self.resolve(node.func.value), ModuleType)):
            self.refuse(f"{ast.unparse(node.func)} is not defined", node)
        owner = self.value(node.func.value)
        if isinstance(owner, TupleValue):
            function = self.attribute(node.func)
            if isinstance(function, FunctionValue) and isinstance(function.function, UserFunction):
                known = function.function.dispatcher or function.function.function
                return self.known_call(known, self.arguments(node), ast.unparse(node.func), node)
        if not isinstance(owner, Expr):
            self.refuse(f"the method call {ast.unparse(node.func)}() is not supported: write a function", node)
        return self.method(node, owner)

    def known_call(self, function: Any, args: list[Any], text: str, node: ast.Call) -> Value:
        function = _OTHER_NAMES.get(function, function) if _hashable(function) else function
        rule = find(function)
        if function is checkpointed:
            self.refuse(f"{text}() marks a loop: write it into the for or the while statement", node)
        if rule is None and isinstance(function, FunctionType | Dispatcher) and not _is_numpys(function):
            return self.user_call(_function_value(function), args, node)
        if isinstance(function, type) and issubclass(function, tuple) and hasattr(function, "_fields"):
            return self.named_tuple(function, args, node)
        if function is len:
            return self.length(args, node)
        if function is range or function is prange:
            bounds = self.ordered(args, lambda a: self.integer_value(a, f"a bound of {text}()", node))
            if node.keywords or not 1 <= len(bounds) <= 3:
                self.refuse(f"{text}() takes one to three ints", node)
            start, stop, step = [Const(0), *bounds, Const(1)] if len(bounds) == 1 else [*bounds, Const(1)][:3]
            if isinstance(step, Const) and step.value == 0:
                self.refuse("the step of a range cannot be 0", node)
            return RangeValue(start, stop, step, parallel=function is prange and self.options.parallel)
        if (rule is not None and not rule.elementwise) or function in (
            np.where,
            np.array,
            np.asarray,
            np.ravel,
            np.shape,
            np.ndim,
            np.vstack,
            np.hstack,
            np.column_stack,
        ):
            return self.array_call(function, args, node)
        if rule is None and not (_hashable(function) and function in _WITHOUT_RULE):
            self.refuse(f"{text}() is not supported: {_advice(function)}", node)
        if node.keywords:
            self.refuse(f"keyword arguments of {text}() are not supported: give them by position", node)
        return self.scalar_call(function, self.ordered(args, lambda a: self.argument_value(a, node)), text, node)

    def argument_value(self, arg: Any, node: ast.AST) -> Expr:
        if isinstance(arg, ast.expr):
            return self.expr(arg)
        if not isinstance(arg, Expr):
            self.refuse("only numbers and arrays can be given here", node)
        return arg

    def integer_value(self, arg: Any, what: str, node: ast.AST) -> Expr:
        if isinstance(arg, ast.expr):
            return self.integer(arg, what)
        e = self.argument_value(arg, node)
        if self.kind(e) is not Kind.INT:
            self.refuse(f"{what} must be an int", node)
        return e

    def length(self, args: list[Any], node: ast.Call) -> Value:
        if len(args) != 1:
            self.refuse("len() takes one argument", node)
        value = self.value(args[0]) if isinstance(args[0], ast.expr) else args[0]
        if isinstance(value, TupleValue):
            return Const(len(value.items), at=place_of(node))
        e = self.argument_value(value, node)
        if not self.kind(e).is_array:
            self.refuse(
                f"{ast.unparse(node.args[0])} is {a_kind(self.kind(e))}: it has no length and cannot be indexed", node
            )
        base = e if isinstance(e, Var) else self.temporary("part", e, node)
        return Len(base.name, at=place_of(node))

    def named_tuple(self, cls: type, args: list[Any], node: ast.Call) -> TupleValue:
        fields: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
        listed = [*args, *(k.value for k in node.keywords)]
        values = self.ordered(listed, lambda a: self.value(a) if isinstance(a, ast.expr) else a)
        given = dict(zip((*fields[: len(args)], *(str(k.arg) for k in node.keywords)), values))
        defaults: dict[str, Any] = cls._field_defaults  # type: ignore[attr-defined]
        for field in fields:
            if field not in given and field in defaults:
                given[field] = self.constant_value(defaults[field], field, node)
        if len(args) > len(fields) or given.keys() != set(fields):
            self.refuse(f"{cls.__name__} has the fields {', '.join(fields)}", node)
        return TupleValue(tuple(given[f] for f in fields), cls)

    def scalar_call(self, function: Any, args: list[Expr], text: str, node: ast.Call) -> Value:
        place = place_of(node)
        if _hashable(function) and function in _CASTS:
            if len(args) != 1 or self.kind(args[0]).is_array:
                self.refuse(f"{text}() takes one number", node)
            if self.kind(args[0]).is_complex and _CASTS[function] is not Kind.BOOL:
                self.refuse(f"{text}() of a complex number: write .real", node)
            return self.cast(args[0], _CASTS[function])
        if function is complex or function is np.complex128:
            if not 1 <= len(args) <= 2 or any(self.kind(a).is_array for a in args):
                self.refuse(f"{text}() takes one or two numbers", node)
            real, imag = args if len(args) == 2 else (args[0], Const(0.0))
            return Binary("+", real, Binary("*", Const(1j), imag), at=place)
        if function in (pow, divmod):
            if len(args) != 2:
                self.refuse(f"{text}() takes two numbers", node)
            found = [self.binary(op, args[0], args[1], place) for op in (("**",) if function is pow else ("//", "%"))]
            return found[0] if function is pow else TupleValue(tuple(found))
        return self.primitive_call(function, args, text, node)

    def primitive_call(self, function: Callable[..., Any], args: list[Expr], text: str, node: ast.Call) -> Expr:
        rule = primitive(function)
        place = place_of(node)
        if function in (min, max) and len(args) > 2:
            folded = args[0]
            for arg in args[1:]:
                folded = self.checked_call(rule, (folded, arg), text, node)
            return folded
        if function is math.log and len(args) == 2:
            logs = [self.checked_call(rule, (a,), text, node) for a in args]
            return self.binary("/", logs[0], logs[1], place)
        arity = len(rule.vjps)
        if function in (min, max) and len(args) == 1 and self.kind(args[0]).is_array:
            self.refuse(f"{text}() takes numbers, not a whole array: write np.{text}", node)
        if len(args) != arity:
            plural = "" if arity == 1 else "s"
            self.refuse(f"{text}() takes {arity} scalar argument{plural} here, not {len(args)}", node)
        return self.checked_call(rule, tuple(args), text, node)

    def checked_call(self, rule: Primitive, args: tuple[Expr, ...], text: str, node: ast.Call) -> Expr:
        kinds = [self.kind(a) for a in args]
        if any(k.is_array for k in kinds):
            if rule.home in ("math", "builtins") and rule.function is not abs:
                name = on_arrays(rule).name
                self.refuse(f"{text}() takes numbers, not whole arrays: write np.{name}, or a loop", node)
            rule = on_arrays(rule)
        elif Kind.BOOL in kinds:
            self.refuse(f"a bool as argument of {rule.name}() is not supported: write int(...)", node)
        e = Call(rule, args, at=place_of(node))
        if self.kind(e) is Kind.INT and rule.name == "power":
            self.refuse("np.power of two ints is not supported: write float(a) ** n", node)
        return e

    # --------------------------------------------------------------------------------- functions of the user's

    def user_call(self, function: FunctionValue, args: list[Any], node: ast.Call) -> Value:
        bound = self.bound_arguments(function, args, node)
        target = function.function
        rerun = isinstance(target, UserFunction) and is_rerun(target.function)
        if isinstance(target, UserFunction) and (rerun or all(isinstance(v, Expr) for v in bound.values())):
            structures = {p: self.build.library.structure(v, self.kind) for p, v in bound.items()}
            for p, structure in structures.items():
                if structure is None:
                    self.refuse(
                        f"{function.name}() is given a function as {p} that is defined inside another one, which "
                        "ad.remat does not support: define it in the module",
                        node,
                    )
            callee = self.build.library.callee(target, tuple(structures.values()), self.options)
            if isinstance(callee, Function):
                named = [
                    self.temporary("argument", e, node) if self.kind(e).is_array and not isinstance(e, Var) else e
                    for v in bound.values()
                    for e in _numbers_of(v)
                ]
                arrays = zip(callee.params[len(named) :], callee.constants, strict=True)
                named += [self.constant_array(array, name, place_of(node)) for name, array in arrays]
                return Call(callee, tuple(named), at=place_of(node))
        return self.inlined(function, bound, node)

    def bound_arguments(self, function: FunctionValue, args: list[Any], node: ast.Call) -> dict[str, Value]:
        """The value of each parameter."""
        target = function.function
        listed = [*args, *(k.value for k in node.keywords)]
        values = self.ordered(listed, lambda a: self.value(a) if isinstance(a, ast.expr) else a)
        given = values[: len(args)]
        keywords = {str(k.arg): v for k, v in zip(node.keywords, values[len(args) :], strict=True)}
        name, local = function.name, dict(function.defaults)
        if isinstance(target, UserFunction):
            signature = inspect.signature(target.function, follow_wrapped=False)
        else:
            signature = _signature_of(target.args, local)
        for parameter in signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self.refuse(f"{name}() has *args or **kwargs, which is not supported", node)
        try:
            bound = signature.bind(*given, **keywords)
        except TypeError as error:
            self.refuse(f"{name}(): {error}", node)
        found: dict[str, Value] = {}
        for parameter in signature.parameters.values():
            if parameter.name in bound.arguments:
                found[parameter.name] = bound.arguments[parameter.name]
            elif parameter.name in local:
                found[parameter.name] = local[parameter.name]
            else:
                found[parameter.name] = self.default(parameter, name, node)
        return found

    def default(self, parameter: inspect.Parameter, name: str, node: ast.AST) -> Value:
        value = parameter.default
        if value is None:
            return NONE
        if type(value) in (float, int, bool, complex, str) or callable(value) or isinstance(value, tuple):
            found = self.constant_value(value, parameter.name, node)
            return Const(found.value, at=found.at) if isinstance(found, Const) else found
        self.refuse(f"the default of {parameter.name} of {name}() is not a number: give the argument", node)

    def inlined(self, function: FunctionValue, bound: dict[str, Value], node: ast.Call) -> Value:
        """The body of a function in the place of its call."""
        target, build, name = function.function, self.build, function.name
        if target in build.calls or len(build.calls) > _DEEP:
            self.refuse(f"{name}() calls itself, which is supported for functions of numbers only: write a loop", node)
        scope = self.scope_of(function)
        build.options = build.options.beside(scope.options)
        for parameter, value in bound.items():
            scope.enter(parameter, value, node)
        build.calls.append(target)
        build.inlined.append(Inlined(name, self.source, node.lineno))
        try:
            result = scope.run()
        finally:
            build.calls.pop()
        return result

    def scope_of(self, function: FunctionValue) -> "Scope":
        raise NotImplementedError


def _numbers_of(value: Value) -> list[Expr]:
    """The numbers and arrays of an argument."""
    if isinstance(value, TupleValue):
        return [e for item in value.items for e in _numbers_of(item)]
    return [value] if isinstance(value, Expr) else []


def _function_value(function: Any) -> FunctionValue:
    if isinstance(function, Dispatcher):
        return FunctionValue(UserFunction(function.py_func, function))
    return FunctionValue(UserFunction(function))


def _signature_of(arguments: ast.arguments, defaults: Mapping[str, Value]) -> inspect.Signature:
    kinds = (
        (inspect.Parameter.POSITIONAL_ONLY, arguments.posonlyargs),
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, arguments.args),
        (inspect.Parameter.KEYWORD_ONLY, arguments.kwonlyargs),
    )
    return inspect.Signature(
        [
            inspect.Parameter(a.arg, kind, default=defaults.get(a.arg, inspect.Parameter.empty))
            for kind, listed in kinds
            for a in listed
        ]
    )


def _advice(function: Any) -> str:
    """What to write instead of a function that is not supported."""
    for home in (random, np.random):
        if getattr(home, getattr(function, "__name__", ""), None) is function:
            return "draw the numbers before, and pass them as an argument"
    found = ADVICE.get(function) if _hashable(function) else None
    return found or "write it in terms of supported ones, or give it a rule with ad.defvjp"


def _is_numpys(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] == "numpy"


def _hashable(x: Any) -> bool:
    return getattr(x, "__hash__", None) is not None
