"""Functions of whole arrays: the kinds of their results, and their derivative rules."""

from collections.abc import Callable
from typing import Any

import numpy as np

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


def _summed(array: Kind, axis: int | None = None, keepdims: bool = False) -> Kind:
    dtype = array.dtype if array.is_float else "int64"
    if axis is None:
        return Kind(dtype)
    return Kind(dtype, array.ndim if keepdims else array.ndim - 1)


def _product(a: Kind, b: Kind) -> Kind:
    ndim = a.ndim + b.ndim - 2
    return Kind(a.dtype, ndim)


# ------------------------------------------------------------------------------------------------ rules

for _function in (np.zeros, np.ones, np.empty):
    defvjp(_function, None, result=_made)
defvjp(np.full, None, lambda g, ans, shape, value, **_: g, result=_filled)
for _function in (np.zeros_like, np.ones_like, np.empty_like):
    defvjp(_function, None, result=_like)
defvjp(np.full_like, None, lambda g, ans, a, value, **_: g, result=_like)
defvjp(np.copy, lambda g, ans, a: g, result=_same)
defvjp(np.arange, None, None, None, result=_range)
defvjp(np.sum, lambda g, ans, a: g, result=_summed)
defvjp(np.transpose, lambda g, ans, a: call(np.transpose, g), result=_transposed)
defvjp(
    np.reshape,
    lambda g, ans, a, shape: call(np.reshape, g, call(np.shape, a)),
    None,
    result=lambda a, shape: Kind(a.dtype, _ndim(shape)),
)
defvjp(np.shape, None, result=lambda a: Kind(SHAPE, a.ndim))

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "sum",
        "copy",
        "reshape",
        "transpose",
    )
}

METHOD_KEYWORDS: dict[Any, tuple[str, ...]] = {}
