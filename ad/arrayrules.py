"""Functions of whole arrays: the kinds of their results, and their derivative rules."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ad.arrays import reductions
from ad.ir import Dtype, Kind
from ad.primitive import defvjp
from ad.symbolic import call

__all__ = ["METHODS", "METHOD_KEYWORDS", "SHAPE"]

SHAPE = "shape"
"""The dtype of a tuple of ints that stands for a shape."""


# ------------------------------------------------------------------------------------- kinds of results


def _ndim(shape: Kind) -> int:
    return shape.ndim if shape.dtype == SHAPE else 1


def _made(shape: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else "float64", _ndim(shape))


def _filled(shape: Kind, value: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else value.dtype, _ndim(shape))


def _like(array: Kind, *_: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name, array.ndim) if dtype else array


def _range(*bounds: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else "float64" if Kind.FLOAT in bounds else "int64", 1)


def _same(array: Kind, *_: Kind, **__: Any) -> Kind:
    return array


def _transposed(array: Kind, axes: Kind | None = None) -> Kind:
    return array


def _reduced(array: Kind, axis: Any = None, keepdims: bool = False, dtype: str = "") -> Kind:
    dtype = dtype or array.scalar.dtype
    if keepdims:
        return Kind(dtype, array.ndim)
    axes = axis if isinstance(axis, tuple) else (axis,)
    return Kind(dtype, 0 if axis is None else array.ndim - len(axes))


def _summed(array: Kind, axis: Any = None, keepdims: bool = False) -> Kind:
    return _reduced(array, axis, keepdims, array.dtype if array.is_float else "int64")


def _averaged(array: Kind, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Kind:
    return _reduced(array, axis, keepdims, array.dtype if array.is_float else "float64")


def _product(a: Kind, b: Kind) -> Kind:
    ndim = a.ndim + b.ndim - 2
    return Kind(a.dtype, ndim)


# ------------------------------------------------------------------------------------------------ rules

_function: Any
for _function in (np.zeros, np.ones, np.empty):
    defvjp(_function, None, result=_made)
defvjp(np.full, None, lambda g, ans, shape, value, **_: g, result=_filled)
for _function in (np.zeros_like, np.ones_like, np.empty_like):
    defvjp(_function, None, result=_like)
defvjp(np.full_like, None, lambda g, ans, a, value, **_: g, result=_like)
defvjp(np.copy, lambda g, ans, a: g, result=_same)
defvjp(np.arange, None, None, None, result=_range)
defvjp(np.transpose, lambda g, ans, a: call(np.transpose, g), result=_transposed)
defvjp(
    np.reshape,
    lambda g, ans, a, shape: call(np.reshape, g, call(np.shape, a)),
    None,
    result=lambda a, shape: Kind(a.dtype, _ndim(shape)),
)
defvjp(np.shape, None, result=lambda a: Kind(SHAPE, a.ndim))
defvjp(np.size, None, result=lambda a: Kind.INT)


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of a reduction: all of it passes on to each element where there is no axis."""
    return lambda g, ans, x, axis=None, keepdims=False: g if axis is None else call(function, g, x, axis)


# Numba compiles these for whole arrays; with an axis the functions of ad.arrays take their place.
defvjp(np.sum, _whole(reductions.sum_vjp), result=_summed, compiled=reductions.array_sum, native=True)
defvjp(
    np.mean,
    lambda g, ans, x, axis=None, keepdims=False: (
        g / call(np.size, x) if axis is None else call(reductions.mean_vjp, g, x, axis)
    ),
    result=_averaged,
    compiled=reductions.array_mean,
    native=True,
)
for _function, _vjp, _compiled in (
    (np.prod, reductions.prod_vjp, reductions.array_prod),
    (np.max, reductions.max_vjp, reductions.array_max),
    (np.min, reductions.min_vjp, reductions.array_min),
):
    defvjp(
        _function,
        lambda g, ans, x, axis=None, keepdims=False, vjp=_vjp: call(vjp, g, x, axis),
        result=_reduced,
        compiled=_compiled,
        native=True,
    )
defvjp(
    np.var,
    lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(reductions.var_vjp, g, x, axis, ddof),
    result=_averaged,
    compiled=reductions.array_var,
    native=True,
)
defvjp(
    np.std,
    lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(reductions.std_vjp, g, ans, x, axis, ddof),
    result=_averaged,
    compiled=reductions.array_std,
    native=True,
)


def _of_argument(position: int) -> Callable[..., Kind]:
    """The kind of a contribution: that of the argument at a position of the helper's."""

    def result(*kinds: Kind) -> Kind:
        return kinds[position]

    return result


for _helper, _position in (
    (reductions.sum_vjp, 1),
    (reductions.mean_vjp, 1),
    (reductions.prod_vjp, 1),
    (reductions.max_vjp, 1),
    (reductions.min_vjp, 1),
    (reductions.var_vjp, 1),
    (reductions.std_vjp, 2),
):
    defvjp(_helper, None, result=_of_argument(_position))

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "sum",
        "prod",
        "mean",
        "max",
        "min",
        "var",
        "std",
        "copy",
        "reshape",
        "transpose",
    )
}

METHOD_KEYWORDS: dict[Any, tuple[str, ...]] = {
    np.sum: ("axis",),
    np.prod: ("axis",),
    np.mean: ("axis",),
    np.max: ("axis",),
    np.min: ("axis",),
    np.var: ("axis",),
    np.std: ("axis",),
}
"""Arguments by position that are keywords for `ad`: they are fixed."""
