"""Running sums and products, and differences, along an axis.

Forward, for what Numba does not compile (np.cumprod and np.diff along any axis; np.cumsum it does):

    np.cumsum, np.cumprod(x, axis)    array_cumsum, array_cumprod(x, axis)
    np.diff(x, n, axis)               array_diff(x, n, axis)

Rules:

    cumsum   cumsum_vjp(g, x, axis)     the running sum of g from the end
    cumprod  cumprod_vjp(g, x, axis)    without a division: exact with zeros
    diff     diff_vjp(g, x, n, axis)    minus the differences of g, with zeros around

As they are registered:

    defvjp(np.cumsum, lambda g, ans, x, axis=None: call(cumsum_vjp, g, x, axis))
    defvjp(np.cumprod, lambda g, ans, x, axis=None: call(cumprod_vjp, g, x, axis))
    defvjp(np.diff, lambda g, ans, x, n=1, axis=-1: call(diff_vjp, g, x, n, axis))

`axis` is None, for the elements in C order, or an int, and a literal; `n` may be computed.
"""

from typing import Any

import numpy as np

from ad.arrays.axes import fold, resized, unfold
from ad.arrays.compiled import Function, as_summable, compiled, guarded, literal, specialised
from ad.arrays.known import WRITES_NOTHING

__all__ = ["array_cumprod", "array_cumsum", "array_diff", "cumprod_vjp", "cumsum_vjp", "diff_vjp"]


# ------------------------------------------------------------------------------------- over the middle axis


@guarded
def _cumsum(x: Any) -> Any:
    out = x.copy()
    for o in range(x.shape[0]):
        for k in range(1, x.shape[1]):
            for i in range(x.shape[2]):
                out[o, k, i] += out[o, k - 1, i]
    return out


@guarded
def _cumprod(x: Any) -> Any:
    out = x.copy()
    for o in range(x.shape[0]):
        for k in range(1, x.shape[1]):
            for i in range(x.shape[2]):
                out[o, k, i] *= out[o, k - 1, i]
    return out


@guarded
def _sum_from_end(g: Any) -> Any:
    out = g.copy()
    for o in range(g.shape[0]):
        for k in range(g.shape[1] - 2, -1, -1):
            for i in range(g.shape[2]):
                out[o, k, i] += out[o, k + 1, i]
    return out


@guarded
def _cumprod_rule(g: Any, x: Any) -> Any:
    """The product of all before an element, times g + x g + x x g + ... of those after it."""
    out = np.ones(x.shape, x.dtype)
    rest = np.empty(x.shape[2], x.dtype)
    for o in range(x.shape[0]):
        for k in range(1, x.shape[1]):
            for i in range(x.shape[2]):
                out[o, k, i] = out[o, k - 1, i] * x[o, k - 1, i]
        rest[:] = 0
        for k in range(x.shape[1] - 1, -1, -1):
            for i in range(x.shape[2]):
                rest[i] += g[o, k, i]
                out[o, k, i] *= rest[i]
                rest[i] *= x[o, k, i]
    return out


@guarded
def _diff(x: Any) -> Any:
    outer, n, inner = x.shape
    out = np.empty((outer, max(n - 1, 0), inner), x.dtype)
    for o in range(outer):
        for k in range(n - 1):
            for i in range(inner):
                out[o, k, i] = x[o, k + 1, i] - x[o, k, i]
    return out


@guarded
def _diff_rule(g: Any, n: int) -> Any:
    """The rule of one difference of `n` elements."""
    out = np.zeros((g.shape[0], n, g.shape[2]), g.dtype)
    for o in range(g.shape[0]):
        for k in range(n - 1):
            for i in range(g.shape[2]):
                out[o, k, i] -= g[o, k, i]
                out[o, k + 1, i] += g[o, k, i]
    return out


# ------------------------------------------------------------------------------------------------ forward


@specialised
def _unfold_scan(y: Any, x: Any, axis: Any) -> Function:
    if literal(axis, "axis") is None:
        return lambda y, x, axis: y.reshape(y.size)
    return lambda y, x, axis: unfold(y, x, axis)


@compiled
def array_cumsum(x: Any, axis: Any = None) -> Any:
    """np.cumsum."""
    return _unfold_scan(_cumsum(fold(as_summable(x), axis)), x, axis)


@compiled
def array_cumprod(x: Any, axis: Any = None) -> Any:
    """np.cumprod."""
    return _unfold_scan(_cumprod(fold(as_summable(x), axis)), x, axis)


@compiled
def array_diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """np.diff of numbers.  Raises ValueError for a negative `n`."""
    if n < 0:
        raise ValueError("the order of a difference must not be negative")
    y = fold(x, axis)
    for _ in range(n):
        y = _diff(y)
    return y.reshape(resized(x, axis, y.shape[1]))


# -------------------------------------------------------------------------------------------------- rules


@compiled
def cumsum_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.cumsum."""
    return unfold(_sum_from_end(fold(g, axis)), x, axis)


@compiled
def cumprod_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.cumprod."""
    return unfold(_cumprod_rule(fold(g, axis), fold(x, axis)), x, axis)


@compiled
def diff_vjp(g: Any, x: Any, n: int = 1, axis: int = -1) -> Any:
    """The rule of np.diff."""
    y, length = fold(g, axis), x.shape[axis]
    for k in range(n - 1, -1, -1):
        y = _diff_rule(y, max(length - k, 0))
    return unfold(y, x, axis)


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
