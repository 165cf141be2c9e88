"""Functions that choose among elements, and their rules: clip, where, sort.

Forward, for what Numba does not compile:

    np.sort(x, axis)    array_sort(x, axis), along any axis or, for None, of all elements

Rules:

    np.clip      clip_vjp(g, x, low, high)         g where low <= x <= high, at the bounds too, and where x is NaN
                 clip_vjp_low(g, x, low, high)     g where x < low <= high
                 clip_vjp_high(g, x, low, high)    g where x or low > high
    np.where     np.where(condition, g, 0.0) and np.where(condition, 0.0, g)
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
        lambda g, ans, condition, x, y: call(np.where, condition, g, 0.0),
        lambda g, ans, condition, x, y: call(np.where, condition, 0.0, g),
    )
    defvjp(np.sort, lambda g, ans, x, axis=-1: call(sort_vjp, g, x, axis))

A bound is a number, an array or None.  np.argmax, np.argmin, np.argsort, np.searchsorted, np.nonzero, np.any, np.all
and np.count_nonzero have no derivative; Numba compiles them.
"""

from typing import Any

import numpy as np
from numba import njit

from ad.arrays.axes import fold, unfold
from ad.arrays.compiled import OPTIONS, Function, is_none, literal, specialised

__all__ = ["array_sort", "clip_vjp", "clip_vjp_high", "clip_vjp_low", "sort_vjp"]


# --------------------------------------------------------------------------------------------------- clip


@specialised
def clip_vjp(g: Any, x: Any, low: Any, high: Any) -> Function:
    """The rule of np.clip for the clipped array."""
    match is_none(low), is_none(high):
        case True, True:
            return lambda g, x, low, high: g
        case True, False:
            return lambda g, x, low, high: np.where(x > high, 0.0, g)
        case False, True:
            return lambda g, x, low, high: np.where(x < low, 0.0, g)
    return lambda g, x, low, high: np.where((x < low) | (x > high), 0.0, g)


@specialised
def clip_vjp_low(g: Any, x: Any, low: Any, high: Any) -> Function:
    """The rule of np.clip for the lower bound."""
    if is_none(high):
        return lambda g, x, low, high: np.where(x < low, g, 0.0)
    return lambda g, x, low, high: np.where((x < low) & (low <= high), g, 0.0)


@specialised
def clip_vjp_high(g: Any, x: Any, low: Any, high: Any) -> Function:
    """The rule of np.clip for the upper bound."""
    if is_none(low):
        return lambda g, x, low, high: np.where(x > high, g, 0.0)
    return lambda g, x, low, high: np.where((x > high) | (low > high), g, 0.0)


# --------------------------------------------------------------------------------------------------- sort


@njit(**OPTIONS)
def _sort(x: Any) -> Any:
    out = np.empty_like(x)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            out[o, :, i] = np.sort(x[o, :, i].copy())
    return out


@njit(**OPTIONS)
def _sort_rule(g: Any, x: Any) -> Any:
    out = np.empty_like(x)
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            order = np.argsort(x[o, :, i].copy(), kind="mergesort")
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
