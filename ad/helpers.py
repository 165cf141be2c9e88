"""Functions that generated code calls to add up the adjoints of arrays."""

from typing import Any

import numpy as np

from ad.arrays.accumulate import add_fitting, add_to, take_and_clear, total
from ad.arrays.compiled import Function, compiled, is_array, specialised
from ad.arrays.indexing import gather, scatter, scatter_add, set_zero_at, take_and_clear_at
from ad.arrays.known import VIEWS, WRITES_NOTHING
from ad.arrays.moves import lent_reshape, repay
from ad.elements import inside
from ad.ir import Kind
from ad.plus import plus
from ad.primitive import Primitive, primitive
from ad.words import hold

__all__ = [
    "ADD_FITTING",
    "ADD_TO",
    "COPY",
    "HOLD",
    "INSIDE",
    "IS_CONTIGUOUS",
    "LENT_RESHAPE",
    "PLUS",
    "REDUCED_TO",
    "REPAY",
    "SCATTER_ADD",
    "TAKE_AND_CLEAR",
    "TAKE_AND_CLEAR_AT",
    "TOTAL",
    "ZEROS_LIKE",
    "astype",
]


@specialised
def reduced_to(value: Any, like: Any) -> Function:
    """The adjoint of an array from that of a result that it was broadcast to: `value` itself where these agree."""

    def reduced(value: Any, like: Any) -> Any:
        if value.shape == like.shape:
            return value
        made = np.zeros_like(like)
        add_to(made, value)
        return made

    def converted(value: Any, like: Any) -> Any:
        made = np.zeros_like(like)
        add_to(made, value)
        return made

    def repeated(value: Any, like: Any) -> Any:
        return np.full_like(like, value)

    if is_array(value):
        return reduced if value.dtype == like.dtype and value.ndim == like.ndim else converted
    return repeated


@specialised
def is_contiguous(a: Any) -> Function:
    """Whether np.reshape gives a view of an array; compiled code goes by its type, as `array_reshape` does."""
    if isinstance(a, np.ndarray):
        return lambda a: a.flags.c_contiguous
    return (lambda a: True) if a.layout == "C" else (lambda a: False)


@compiled
def astype(a: Any, dtype: Any) -> Any:
    """``a.astype(dtype)``"""
    return a.astype(dtype)


def _same(first: Kind, *_: Kind) -> Kind:
    return first


ADD_FITTING = Primitive(add_fitting, (), _same)
ADD_TO = Primitive(add_to, (), _same)
COPY = Primitive(np.copy, (), _same)
IS_CONTIGUOUS = Primitive(is_contiguous, (), "bool")
PLUS = Primitive(plus, ())
LENT_RESHAPE = Primitive(lent_reshape, (), lambda a, shape: Kind(a.dtype, shape.ndim if shape.dtype == "shape" else 1))
REPAY = Primitive(repay, (), lambda *_: Kind("none"))
REDUCED_TO = Primitive(reduced_to, (), lambda value, like: like)
GATHER = Primitive(gather, (), _same)
INSIDE = Primitive(inside, (), lambda *_: Kind("none"))
HOLD = Primitive(hold, (), lambda *_: Kind("none"))
SCATTER = Primitive(scatter, (), _same)
SCATTER_ADD = Primitive(scatter_add, (), _same)
SET_ZERO_AT = Primitive(set_zero_at, (), _same)
TAKE_AND_CLEAR = Primitive(take_and_clear, (), _same)
TAKE_AND_CLEAR_AT = Primitive(take_and_clear_at, (), _same)
REAL = primitive(np.real)
TOTAL = Primitive(total, (), lambda value: value.scalar)
ZEROS_LIKE = Primitive(np.zeros_like, (), _same)

VIEWS.add(reduced_to)
WRITES_NOTHING.add(reduced_to)
