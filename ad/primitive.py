"""The registry of functions that have a derivative rule.  Built-in rules enter by the same door as a user's."""

import builtins
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba.core.dispatcher import Dispatcher

from ad.errors import ADTypeError, ADValueError
from ad.ir import Kind

__all__ = ["Primitive", "Result", "defvjp", "find", "primitive"]

Rule = Callable[..., Any]
Result = Literal["float", "int", "bool", "same"] | Callable[..., Kind]

_SPELLING = {"absolute": "abs", "remainder": "mod", "true_divide": "divide"}


@dataclass(frozen=True, eq=False)
class Primitive:
    """A function that is differentiated by rule.

    `vjps` has one rule per argument: a function ``(g, ans, *args)`` over symbolic values, or None where the function
    does not depend on the argument or is piecewise constant in it.  `cheap` says that recomputing a value costs less
    than keeping it.  Functions of whole arrays have a function for their `result`: from the kinds of the arguments
    (and the keywords) to that of the result.  `compiled` is what generated code calls instead of the function, where
    Numba does not compile that; `native` says that it does so for calls without keywords.  Rules of functions that are
    not `holomorphic` say themselves what is conjugated.
    """

    function: Callable[..., Any]
    vjps: tuple[Rule | None, ...]
    result: Result = "float"
    cheap: bool = False
    compiled: Callable[..., Any] | None = None
    native: bool = False
    holomorphic: bool = True

    @property
    def elementwise(self) -> bool:
        """Whether it is a function of scalars, and of arrays element by element."""
        return not callable(self.result)

    @property
    def home(self) -> str | None:
        """The module through which generated code reaches it: math, np, builtins, one of ours; None for a user's."""
        module = getattr(self.function, "__module__", None) or ""
        if module.startswith("tape."):
            return "tape.numba"
        if module.startswith("ad."):
            return module
        for name, home in (("math", math), ("np", np), ("builtins", builtins)):
            if getattr(home, self.name, None) is self.function:
                return name
        return None

    @property
    def name(self) -> str:
        name = getattr(self.function, "__name__", "function")
        return _SPELLING.get(name, name) if isinstance(self.function, np.ufunc) else name


_registry: dict[Any, Primitive] = {}


def _key(function: Any) -> Any:
    return function.py_func if isinstance(function, Dispatcher) else function


def defvjp(
    function: Callable[..., Any],
    *vjps: Rule | None,
    result: Result = "float",
    cheap: bool = False,
    compiled: Callable[..., Any] | None = None,
    native: bool = False,
    holomorphic: bool = True,
) -> None:
    """Tell `ad` the derivative of a function.

    Parameters
    ----------
    function:
        Any function that Numba can call in compiled code: of math or numpy, or ``@njit``.
    *vjps:
        One for each argument, in order: ``vjp(g, ans, *args)`` gives the contribution to the argument's adjoint,
        where `g` is the adjoint of the result, `ans` the result and `args` the arguments.  They are symbolic values:
        write Python arithmetic, NumPy's functions, `ad.rules.call` and `ad.rules.where`.  None for an argument that
        has no derivative.
    result:
        What a function of scalars returns: "float", "int", "bool", or "same" (as its arguments); it is then one of
        arrays too, element by element, where Numba has that.  For a function of whole arrays a callable: from the
        kinds of the arguments, and the keywords of the call, to the kind of the result.
    cheap:
        Whether computing the result again costs less than keeping it.
    compiled:
        What generated code calls instead of the function, where Numba does not compile that.
    native:
        Whether Numba compiles the function itself for calls without keywords, so that `compiled` is for others only.
    holomorphic:
        Whether the rules are those of a function that is complex differentiable, where the arguments are complex: they
        multiply `g` by the derivative, and the conjugates are put in.  Rules of others (abs, real, conj) are taken as
        they are: the adjoint of z is dL/d(Re z) + i dL/d(Im z).

    Raises ADTypeError or ADValueError for what is no function or rule.

    >>> defvjp(cube, lambda g, ans, x: g * 3.0 * x ** 2)
    """
    if not callable(function):
        raise ADTypeError(f"defvjp: a function, not {function!r}")
    if not vjps:
        raise ADValueError("defvjp: one rule for each argument of the function is missing; None where there is none")
    for i, rule in enumerate(vjps):
        if rule is not None and not callable(rule):
            raise ADTypeError(f"defvjp: rule {i} must be a function (g, ans, *args) or None, not {rule!r}")
    if not callable(result) and result not in ("float", "int", "bool", "same"):
        raise ADValueError(f'defvjp: result is "float", "int", "bool", "same" or a callable, not {result!r}')
    _registry[_key(function)] = Primitive(function, vjps, result, cheap, compiled, native, holomorphic)


def find(function: Any) -> Primitive | None:
    """The primitive for a function that has a rule, else None."""
    try:
        return _registry.get(_key(function))
    except TypeError:  # not hashable
        return None


def primitive(function: Any) -> Primitive:
    """The primitive for a function; one without derivatives where it has no rule."""
    return find(function) or Primitive(function, ())
