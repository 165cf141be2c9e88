"""Sums, products, means, extremes and variances, over any axes.

Forward, for what Numba does not compile (axes for all but np.sum, keepdims, ddof); values and dtypes are NumPy's.
`axis` and `keepdims` must be literals.

    np.sum, prod, mean, max, min(x, axis, keepdims)    array_sum, ...(x, axis, keepdims)
    np.any, all(x, axis, keepdims)                     array_any, array_all(x, axis, keepdims)
    np.var, np.std(x, axis, ddof, keepdims)            array_var, array_std(x, axis, ddof, keepdims)

Rules; that of sum is for results without the reduced axes, and is g itself for others.  For the rest g and ans may
have them or not, so that they need no keepdims:

    sum     sum_vjp(g, axis)               g, with axes of length 1 for those that are gone
    mean    mean_vjp(g, x, axis)           g / n, spread
    prod    prod_vjp(g, x, axis)           g times the product of the others, without a division: exact with zeros
    max     max_vjp(g, x, axis)            g at the first of the largest elements, in C order; at the first NaN, if any
    min     min_vjp(g, x, axis)            the same for the smallest
    var     var_vjp(g, x, axis, ddof)      g 2 (x - mean) / (n - ddof)
    std     std_vjp(g, ans, x, axis, ddof) g (x - mean) / (n - ddof) / ans; 0 where ans is 0, as for abs at 0

As they are registered:

    defvjp(np.sum, lambda g, ans, x, axis=None, keepdims=False: g if keepdims else call(sum_vjp, g, axis=axis))
    defvjp(np.mean, lambda g, ans, x, axis=None, keepdims=False: call(mean_vjp, g, x, axis))
    defvjp(np.prod, lambda g, ans, x, axis=None, keepdims=False: call(prod_vjp, g, x, axis))
    defvjp(np.max, lambda g, ans, x, axis=None, keepdims=False: call(max_vjp, g, x, axis))
    defvjp(np.min, lambda g, ans, x, axis=None, keepdims=False: call(min_vjp, g, x, axis))
    defvjp(np.var, lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(var_vjp, g, x, axis, ddof))
    defvjp(np.std, lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(std_vjp, g, ans, x, axis, ddof))
"""

from typing import Any

import numpy as np
from numba.extending import register_jitable

from ad.arrays.accumulate import add_to, cascade_sum
from ad.arrays.axes import (
    fold,
    fold_result,
    normalised,
    picking,
    reduced_count,
    regrouped,
    spread,
    unfold,
    unfold_result,
)
from ad.arrays.compiled import Function, as_float, as_summable, compiled, guarded, is_array, literal, specialised
from ad.arrays.known import FRESH, SUMS, VIEWS, WRITES_NOTHING

__all__ = [
    "array_all",
    "array_any",
    "array_max",
    "array_mean",
    "array_min",
    "array_prod",
    "array_std",
    "array_sum",
    "array_var",
    "max_vjp",
    "mean_vjp",
    "min_vjp",
    "prod_vjp",
    "std_vjp",
    "sum_vjp",
    "to_largest",
    "to_smallest",
    "var_vjp",
]


# ------------------------------------------------------------------------------------- over the middle axis


@guarded
def _sum(x: Any) -> Any:
    outer, n, inner = x.shape
    out = np.zeros((outer, inner), x.dtype)
    if inner == 1 and n < 8:  # too few for partial sums
        add_to(out, x.reshape((outer, n)))
    elif inner == 1:
        flat = x.reshape(x.size)
        for o in range(outer):
            out[o, 0] = cascade_sum(flat, o * n, n)
    else:
        add_to(out.reshape((outer, 1, inner)), x)
    return out


@guarded
def _mean(x: Any) -> Any:
    out = _sum(x)
    for o in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[o, i] /= x.shape[1]
    return out


@guarded
def _var(x: Any, ddof: float) -> Any:
    mean, squares = _mean(x), np.empty(x.shape, x.real.dtype)
    for o in range(x.shape[0]):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                d = x[o, k, i] - mean[o, i]
                squares[o, k, i] = d.real * d.real + d.imag * d.imag
    out = _sum(squares)
    for o in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[o, i] /= max(x.shape[1] - ddof, 0.0)
    return out


@guarded
def _times(a: Any, b: Any) -> Any:
    return a * b


@register_jitable
def _larger(a: Any, b: Any) -> bool:
    """Whether `b`, which comes later, takes the place of `a` as the largest: a NaN is larger than all numbers."""
    return b > a or (b != b and a == a)


@register_jitable
def _smaller(a: Any, b: Any) -> bool:
    return b < a or (b != b and a == a)


@guarded
def _largest(a: Any, b: Any) -> Any:
    return b if _larger(a, b) else a


@guarded
def _smallest(a: Any, b: Any) -> Any:
    return b if _smaller(a, b) else a


def _folding(step: Function) -> Function:
    """The kernel that combines elements by `step`; no elements give 1."""

    @guarded
    def kernel(x: Any) -> Any:
        outer, n, inner = x.shape
        out = np.ones((outer, inner), x.dtype)
        for o in range(outer if n else 0):
            out[o] = x[o, 0]
            if inner == 1:  # in a register: four times as fast
                lone = out[o, 0]
                for k in range(1, n):
                    lone = step(lone, x[o, k, 0])
                out[o, 0] = lone
            else:
                for k in range(1, n):
                    for i in range(inner):
                        out[o, i] = step(out[o, i], x[o, k, i])
        return out

    return kernel


_prod, _max, _min = _folding(_times), _folding(_largest), _folding(_smallest)


def _deciding(decisive: bool) -> Function:
    """The kernel that finds out whether an element is true, or false, and then says just that."""

    @guarded
    def kernel(x: Any) -> Any:
        out = np.full((x.shape[0], x.shape[2]), not decisive)
        for o in range(x.shape[0]):
            for k in range(x.shape[1]):
                for i in range(x.shape[2]):
                    if (x[o, k, i] != 0) == decisive:
                        out[o, i] = decisive
        return out

    return kernel


_any, _all = _deciding(True), _deciding(False)


# ------------------------------------------------------------------------------------------------ forward


@compiled
def array_sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.sum."""
    return unfold_result(_sum(fold(as_summable(x), axis)), x, axis, keepdims)


@compiled
def array_prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.prod."""
    return unfold_result(_prod(fold(as_summable(x), axis)), x, axis, keepdims)


@compiled
def array_mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.mean; NaN of no elements, without a warning."""
    return unfold_result(_mean(fold(as_float(x), axis)), x, axis, keepdims)


@compiled
def array_var(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """np.var; NaN or infinite where there are no more elements than `ddof`, without a warning."""
    return unfold_result(_var(fold(as_float(x), axis), ddof), x, axis, keepdims)


@compiled
def array_std(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """np.std; as `array_var` where there are no more elements than `ddof`."""
    return np.sqrt(array_var(x, axis, ddof, keepdims))


@compiled
def array_max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.max: a NaN is passed on.  Raises ValueError where there is no element."""
    _check_any(x, axis)
    return unfold_result(_max(fold(x, axis)), x, axis, keepdims)


@compiled
def array_min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.min: a NaN is passed on.  Raises ValueError where there is no element."""
    _check_any(x, axis)
    return unfold_result(_min(fold(x, axis)), x, axis, keepdims)


@compiled
def array_any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.any."""
    return unfold_result(_any(fold(x, axis)), x, axis, keepdims)


@compiled
def array_all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """np.all."""
    return unfold_result(_all(fold(x, axis)), x, axis, keepdims)


@register_jitable
def _check_any(x: Any, axis: Any) -> None:
    if reduced_count(x, axis) == 0:
        raise ValueError("the maximum or minimum of no elements: a zero-size array has none")


# -------------------------------------------------------------------------------------------------- rules


@specialised
def sum_vjp(g: Any, axis: Any) -> Function:
    """The rule of np.sum without keepdims: neither the elements nor the lengths of its argument matter."""
    axes = literal(axis, "axis")
    axes = axes if isinstance(axes, tuple) else (axes,)
    if not is_array(g):
        return lambda g, axis: g
    ndim = g.ndim + len(axes)
    reduced = {normalised(a, ndim) for a in axes}
    # A place past the end of the shape stands for a length of 1.
    kept = iter(range(g.ndim))
    shape = picking(tuple(g.ndim if a in reduced else next(kept) for a in range(ndim)))
    return lambda g, axis: regrouped(np.ascontiguousarray(g), shape((*g.shape, 1)))


@compiled
def mean_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.mean."""
    return spread(g, x, axis) / max(reduced_count(x, axis), 1)


@compiled
def prod_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.prod: products of all elements before and after, in time O(n)."""
    return unfold(_others(fold(x, axis), fold_result(g, x, axis)), x, axis)


@guarded
def _others(x: Any, g: Any) -> Any:
    """`g` times the product of all elements before and of all after, for each element."""
    outer, n, inner = x.shape
    out = np.ones(x.shape, x.dtype)
    for o in range(outer if n else 0):
        for k in range(1, n):
            for i in range(inner):
                out[o, k, i] = out[o, k - 1, i] * x[o, k - 1, i]
        after = g[o].astype(x.dtype)
        for k in range(n - 1, -1, -1):
            for i in range(inner):
                out[o, k, i] *= after[i]
                after[i] *= x[o, k, i]
    return out


def _choosing(second: Function) -> Function:
    """The kernel that gives the adjoint to the element that `second` chooses."""

    @guarded
    def kernel(x: Any, g: Any) -> Any:
        out = np.zeros(x.shape, x.dtype)
        for o in range(x.shape[0]):
            chosen = np.zeros(x.shape[2], np.intp)
            for k in range(1, x.shape[1]):
                for i in range(x.shape[2]):
                    if second(x[o, chosen[i], i], x[o, k, i]):
                        chosen[i] = k
            if x.shape[1]:
                for i in range(x.shape[2]):
                    out[o, chosen[i], i] = g[o, i]
        return out

    return kernel


to_largest, to_smallest = _choosing(_larger), _choosing(_smaller)


@compiled
def max_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.max."""
    return unfold(to_largest(fold(x, axis), fold_result(g, x, axis)), x, axis)


@compiled
def min_vjp(g: Any, x: Any, axis: Any = None) -> Any:
    """The rule of np.min."""
    return unfold(to_smallest(fold(x, axis), fold_result(g, x, axis)), x, axis)


@guarded
def _deviations(x: Any, g: Any, ddof: float) -> Any:
    out, mean = np.empty(x.shape, x.dtype), _mean(x)
    for o in range(x.shape[0]):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                d = (x[o, k, i] - mean[o, i]).conjugate()  # the modulus is what is squared
                out[o, k, i] = 2.0 * g[o, i] * d / max(x.shape[1] - ddof, 0.0)
    return out


@guarded
def _over_deviation(g: Any, std: Any) -> Any:
    out = np.zeros(g.shape, std.dtype)
    for o in range(g.shape[0]):
        for i in range(g.shape[1]):
            if std[o, i] != 0:
                out[o, i] = g[o, i] / (2.0 * std[o, i])
    return out


@compiled
def var_vjp(g: Any, x: Any, axis: Any = None, ddof: float = 0) -> Any:
    """The rule of np.var."""
    return unfold(_deviations(fold(x, axis), fold_result(g, x, axis), ddof), x, axis)


@compiled
def std_vjp(g: Any, ans: Any, x: Any, axis: Any = None, ddof: float = 0) -> Any:
    """The rule of np.std."""
    half = _over_deviation(fold_result(g, x, axis), fold_result(ans, x, axis))
    return unfold(_deviations(fold(x, axis), half, ddof), x, axis)


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
FRESH.add(array_sum)
SUMS.add(array_sum)
VIEWS.add(sum_vjp)
