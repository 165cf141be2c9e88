"""Derivatives that the user gives: `custom_vjp`, and `stop_gradient` for where there shall be none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher

from ad.arrays.compiled import Function, is_array, specialised
from ad.errors import ADTypeError
from ad.ir import Kind
from ad.numbatypes import NoSuchOperation, result_of
from ad.primitive import defvjp
from ad.symbolic import call

__all__ = ["custom_vjp", "stop_gradient"]


def custom_vjp(*vjps: Callable[..., Any] | None, cheap: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Give a function rules of its own, instead of having its code differentiated.

    Parameters
    ----------
    *vjps:
        One for each argument, in order: ``vjp(g, ans, *args)`` gives the contribution to the argument's adjoint, where
        `g` is the adjoint of the result, `ans` the result and `args` the arguments.  Either a function compiled by
        ``numba.njit``, of numbers and arrays, which may do anything that Numba can; or a plain function over symbolic
        values, as for `ad.defvjp`.  None for an argument that there is no derivative with respect to.  A contribution
        to an array has its shape, or one that broadcasts with it.
    cheap:
        Whether computing the result again costs less than keeping it.

    Returns a decorator.  The function that it returns is compiled by Numba; it must not write to its arguments.

    Raises ADTypeError for what is no function.

    >>> @ad.custom_vjp(lambda g, ans, x: g / (2.0 * ans))
    ... def root(x):
    ...     return math.sqrt(x)
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if not callable(function):
            raise ADTypeError(f"custom_vjp decorates a function, not {function!r}")
        compiled = function if isinstance(function, Dispatcher) else njit(nogil=True)(function)
        defvjp(compiled, *(_rule(v) for v in vjps), result=_inferred(compiled), cheap=cheap)
        return compiled

    return decorate


def _rule(vjp: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if not isinstance(vjp, Dispatcher):
        return vjp
    defvjp(vjp, None, result=_inferred(vjp))
    return lambda g, ans, *args: call(vjp, g, ans, *args)


def _inferred(function: Dispatcher) -> Callable[..., Kind]:
    """The kind of a result, from Numba."""

    def result(*kinds: Kind) -> Kind:
        found = result_of(function, kinds)
        if found is None:
            raise NoSuchOperation(f"{function.py_func.__name__}()", kinds)
        return found

    return result


@specialised
def stop_gradient(x: Any) -> Function:
    """`x` itself, as a constant: no derivative passes.

    Parameters
    ----------
    x : float, complex or array
        An array is copied, so that what is written to the result does not reach `x`.
    """
    return (lambda x: np.copy(x)) if is_array(x) else (lambda x: x)


defvjp(stop_gradient, None, result=lambda kind: kind, cheap=True)
