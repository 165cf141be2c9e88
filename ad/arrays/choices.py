"""Functions that choose among elements, and their rules: clip, where, sort.

Forward, for what Numba does not compile:

    np.sort(x, axis)    array_sort(x, axis), along any axis or, for None, of all elements

Rules:

    np.clip      clip_vjp(g, x, low, high)         g where low <= x <= high, at the bounds too, and where x is NaN
                 clip_vjp_low(g, x, low, high)     g where x < low <= high
                 clip_vjp_high(g, x, low, high)    g where x or low > high
    np.where     where_vjp_true(g, condition), where_vjp_false(g, condition)
    np.sort      sort_vjp(g, x, axis)              g put back; equal elements in their order

As they are registered:

    defvjp(
        np.clip,
        lambda g, ans, x, low=None, high=None: call(clip_vjp, g, x, low, high),
        lambda g, ans, x, low=None, high=None: call(clip_vjp_low, g, x, low, high),
        lambda g, ans, x, low=None, high=None: call(clip_vjp_high, g, x, low, high),
    )
    defvjp(
        np.where,
        None,
        lambda g, ans, condition, x, y: call(where_vjp_true, g, condition),
        lambda g, ans, condition, x, y: call(where_vjp_false, g, condition),
    )
    defvjp(np.sort, lambda g, ans, x, axis=-1: call(sort_vjp, g, x, axis))

A bound is a number, an array or None.  np.argmax, np.argmin, np.argsort, np.searchsorted, np.nonzero, np.any, np.all
and np.count_nonzero have no derivative; Numba compiles them.
"""

from typing import Any

import numpy as np
from numba import vectorize

from ad.arrays.axes import fold, unfold
from ad.arrays.compiled import Function, compiled, dtype_of, guarded, is_none, literal, specialised
from ad.arrays.known import WRITES_NOTHING

__all__ = [
    "array_sort",
    "clip_vjp",
    "clip_vjp_high",
    "clip_vjp_low",
    "sort_vjp",
    "where_vjp_false",
    "where_vjp_true",
]


# ----------------------------------------------------------------------------------- element by element
#
# As ufuncs: they broadcast, take scalars, and compile in a fraction of the time that np.where takes.


@specialised
def _zero(g: Any) -> Function:
    """0 in the precision of a scalar."""
    scalar_type = dtype_of(g).type
    return lambda g: scalar_type(0)


@vectorize
def _chosen(g: Any, condition: Any) -> Any:
    return g if condition else _zero(g)


@vectorize
def _inside(g: Any, x: Any, low: Any, high: Any) -> Any:
    return _zero(g) if x < low or x > high else g


@vectorize
def _below(g: Any, x: Any, low: Any, high: Any) -> Any:
    return g if x < low and low <= high else _zero(g)


@vectorize
def _above(g: Any, x: Any, low: Any, high: Any) -> Any:
    return g if x > high or low > high else _zero(g)


@specialised
def _or(bound: Any, default: Any) -> Function:
    """A bound, or what stands for none."""
    return (lambda bound, default: default) if is_none(bound) else (lambda bound, default: bound)


@compiled
def clip_vjp(g: Any, x: Any, low: Any, high: Any) -> Any:
    """The rule of np.clip for the clipped array."""
    return _inside(g, x, _or(low, -np.inf), _or(high, np.inf))


@compiled
def clip_vjp_low(g: Any, x: Any, low: Any, high: Any) -> Any:
    """The rule of np.clip for the lower bound."""
    return _below(g, x, low, _or(high, np.inf))


@compiled
def clip_vjp_high(g: Any, x: Any, low: Any, high: Any) -> Any:
    """The rule of np.clip for the upper bound."""
    return _above(g, x, _or(low, -np.inf), high)


@compiled
def where_vjp_true(g: Any, condition: Any) -> Any:
    """The rule of np.where for the values where the condition holds."""
    return _chosen(g, condition)


@compiled
def where_vjp_false(g: Any, condition: Any) -> Any:
    """The rule of np.where for the values where the condition does not hold."""
    return _chosen(g, np.logical_not(condition))


# --------------------------------------------------------------------------------------------------- sort


@guarded
def _sort(x: Any) -> Any:
    out, lane = np.empty_like(x), np.empty(x.shape[1], x.dtype)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            for k in range(x.shape[1]):
                lane[k] = x[o, k, i]
            lane.sort()
            for k in range(x.shape[1]):
                out[o, k, i] = lane[k]
    return out


@guarded
def _sort_rule(g: Any, x: Any) -> Any:
    out, lane = np.empty_like(x), np.empty(x.shape[1], x.dtype)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            for k in range(x.shape[1]):
                lane[k] = x[o, k, i]
            order = np.argsort(lane, kind="mergesort")
            for k in range(len(order)):
                out[o, order[k], i] = g[o, k, i]
    return out


@specialised
def array_sort(x: Any, axis: Any) -> Function:
    """np.sort."""
    if literal(axis, "axis") is None:
        return lambda x, axis: _sort(fold(x, axis)).reshape(x.size)
    return lambda x, axis: unfold(_sort(fold(x, axis)), x, axis)


@specialised
def sort_vjp(g: Any, x: Any, axis: Any) -> Function:
    """The rule of np.sort."""
    return lambda g, x, axis: unfold(_sort_rule(fold(g, axis), fold(x, axis)), x, axis)


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
