"""Arrays as loops in machine code see them, and what such loops must know of several before they begin."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, types

__all__ = [
    "FALSE",
    "INT",
    "ONE",
    "ZERO",
    "Array",
    "all_of",
    "apart",
    "broadcast",
    "fits_into",
    "number",
    "product",
    "row_start",
]


class Array:
    """An array as the loops see it: where it begins, and its steps along the axes of the loops."""

    def __init__(self, context: Any, builder: Any, kind: types.Array, value: Any) -> None:
        model = context.data_model_manager[kind]
        self.kind = kind
        self.data = model.get(builder, value, "data")
        self.shape: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "shape"), kind.ndim)
        self.strides: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "strides"), kind.ndim)
        self.item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))

    @classmethod
    def of(cls, kind: types.Array, data: Any, shape: list[Any], strides: list[Any], item: Any) -> "Array":
        """The same from its parts, where there is no such value."""
        made = object.__new__(cls)
        made.kind, made.data, made.shape, made.strides, made.item = kind, data, shape, strides, item
        return made


INT = llvm.IntType(64)
ONE, ZERO = llvm.Constant(INT, 1), llvm.Constant(INT, 0)
_TRUE, FALSE = llvm.Constant(llvm.IntType(1), 1), llvm.Constant(llvm.IntType(1), 0)


def all_of(builder: Any, conditions: Sequence[Any]) -> Any:
    return reduce(builder.and_, conditions, _TRUE)


def product(builder: Any, factors: Sequence[Any]) -> Any:
    return reduce(builder.mul, factors, ONE)


def broadcast(builder: Any, arrays: Sequence[Array], ndim: int) -> tuple[list[Any], Any]:
    """The shape to which arrays broadcast, and whether they do."""
    shape, fits = [], []
    for axis in range(-ndim, 0):
        lengths = [a.shape[axis] for a in arrays if a.kind.ndim >= -axis]
        size = lengths[0]
        for n in lengths[1:]:
            size = builder.select(builder.icmp_signed("==", size, ONE), n, size)
        if len(lengths) > 1:
            fits += [_agrees(builder, n, size) for n in lengths]
        shape.append(size)
    return shape, all_of(builder, fits)


def _agrees(builder: Any, n: Any, size: Any) -> Any:
    """Whether an axis of length `n` is as long as the loop over it, or is repeated."""
    return builder.or_(builder.icmp_signed("==", n, size), builder.icmp_signed("==", n, ONE))


def fits_into(builder: Any, array: Array, shape: Sequence[Any]) -> Any:
    ndim = array.kind.ndim
    return all_of(builder, [_agrees(builder, n, size) for n, size in zip(array.shape, shape[len(shape) - ndim :])])


def _extent(builder: Any, a: Array) -> tuple[Any, Any]:
    """The addresses between which the elements of an array lie, which has some."""
    begin = builder.ptrtoint(a.data, INT)
    if a.kind.layout in "CF":
        return begin, builder.add(begin, product(builder, [a.item, *a.shape]))
    low, high = begin, builder.add(begin, a.item)
    for n, stride in zip(a.shape, a.strides, strict=True):
        reach = builder.mul(builder.sub(n, ONE), stride)
        forward = builder.icmp_signed(">", stride, ZERO)
        high = builder.add(high, builder.select(forward, reach, ZERO))
        low = builder.add(low, builder.select(forward, ZERO, reach))
    return low, high


def apart(builder: Any, target: Array, other: Array, once: Any) -> Any:
    """Whether the elements of the target can be written one after the other while those of another are read.

    That is so of arrays that share no memory, and of the same elements in the same order if each is written `once`.
    """
    low, high = _extent(builder, target)
    begin, end = _extent(builder, other)
    apart = builder.or_(builder.icmp_signed("<=", high, begin), builder.icmp_signed("<=", end, low))
    if target.kind.ndim != other.kind.ndim:
        return apart
    pairs = [(target.data, other.data), *zip(target.shape, other.shape), *zip(target.strides, other.strides)]
    pairs[0] = tuple(builder.ptrtoint(p, INT) for p in pairs[0])
    same = all_of(builder, [builder.icmp_signed("==", a, b) for a, b in pairs])
    return builder.or_(apart, builder.and_(same, once))


def number(n: int) -> Any:
    return llvm.Constant(INT, n)


def row_start(builder: Any, a: Array, step: Sequence[Any], positions: Sequence[Any]) -> Any:
    """Where a row begins, from the positions along the axes before it."""
    bytes_ = builder.bitcast(a.data, cgutils.voidptr_t)
    offset = ZERO
    for position, stride in zip(positions, step, strict=True):
        offset = builder.add(offset, builder.mul(position, stride))
    return builder.gep(bytes_, [offset]) if positions else bytes_
