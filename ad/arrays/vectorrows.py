"""Short rows each of which is one vector of four numbers: beyond the end of a row nothing is read, and nothing written.

Positions of bodies in three dimensions: LLVM makes vectors of two numbers or four by itself, and of three none.  The
gradient of n-body with 16 bodies takes 5 % less time, its longest loop, of 256 rows and 7 operators, half of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils

from ad.arrays.shortrows import LONGEST, ShortRows
from ad.arrays.strided import ZERO, all_of, number

__all__ = ["VectorRows", "are_masked", "splat"]

_FLOATS = llvm.VectorType(llvm.DoubleType(), LONGEST)
_BITS = llvm.VectorType(llvm.IntType(1), LONGEST)
_I32 = llvm.IntType(32)
_UNALIGNED = llvm.Constant(_I32, 1)


def are_masked(context: Any) -> bool:
    """Whether the processor loads and stores parts of vectors of this size; others would go from number to number."""
    _, _, features = context.codegen().magic_tuple()
    return "+avx" in features.split(",")


def splat(builder: Any, value: Any) -> Any:
    """A number as a vector; a vector as it is."""
    if isinstance(value.type, llvm.VectorType):
        return value
    nothing = llvm.Constant(llvm.VectorType(value.type, LONGEST), llvm.Undefined)
    return _spread(builder, builder.insert_element(nothing, value, llvm.Constant(_I32, 0)))


def _spread(builder: Any, vector: Any) -> Any:
    """The first number of a vector in all places."""
    places = llvm.Constant(llvm.VectorType(_I32, LONGEST), [0] * LONGEST)
    return builder.shuffle_vector(vector, llvm.Constant(vector.type, llvm.Undefined), places)


def _first(builder: Any, length: Any) -> Any:
    """The mask of so many numbers."""
    mask = llvm.Constant(_BITS, llvm.Undefined)
    for k in range(LONGEST):
        mask = builder.insert_element(mask, builder.icmp_signed(">", length, number(k)), llvm.Constant(_I32, k))
    return mask


class _Row:
    """How the rows of an array are read and written: by a mask, or one number in the place of all."""

    def __init__(self, builder: Any, mask: Any, step: Any) -> None:
        self.builder = builder
        self.repeated = builder.icmp_signed("==", step, ZERO)
        self.mask = builder.select(self.repeated, llvm.Constant(_BITS, [1] + [0] * (LONGEST - 1)), mask)

    def load(self, place: Any) -> Any:
        builder, zeros = self.builder, llvm.Constant(_FLOATS, [0.0] * LONGEST)
        function = self.function("load", _FLOATS, [_FLOATS.as_pointer(), _I32, _BITS, _FLOATS])
        found = builder.call(function, [self.pointer(place), _UNALIGNED, self.mask, zeros])
        return builder.select(self.repeated, _spread(builder, found), found)

    def store(self, value: Any, place: Any) -> None:
        function = self.function("store", llvm.VoidType(), [_FLOATS, _FLOATS.as_pointer(), _I32, _BITS])
        self.builder.call(function, [value, self.pointer(place), _UNALIGNED, self.mask])

    def function(self, what: str, result: Any, args: Sequence[Any]) -> Any:
        name = f"llvm.masked.{what}.v{LONGEST}f64.p0"
        return cgutils.get_or_insert_function(self.builder.module, llvm.FunctionType(result, args), name)

    def pointer(self, place: Any) -> Any:
        return self.builder.bitcast(place, _FLOATS.as_pointer())


@dataclass
class VectorRows(ShortRows):
    """`vectors` is `value` from vectors in the place of addresses.

    Where all of a row goes to one element, it is added up number by number, as `ShortRows` does: that was faster.
    """

    vectors: Callable[[Sequence[Any], Any], Any]

    def suit(self) -> Any:
        return all_of(self.builder, [super().suit(), *self.are_near()])

    def are_near(self) -> Iterator[Any]:
        """Whether the elements of rows are neighbours, or one in the place of all."""
        builder = self.builder
        for k, (array, step) in enumerate(zip(self.arrays, self.steps, strict=True)):
            near = builder.icmp_signed("==", step[-1], array.item)
            yield builder.or_(near, builder.icmp_signed("==", step[-1], ZERO)) if k or self.sums else near

    def emit(self) -> None:
        mask = _first(self.builder, self.shape[-1])
        self.each_row = [_Row(self.builder, mask, step[-1]) for step in self.steps]
        super().emit()

    def rows(self, starts: Sequence[Any]) -> None:
        target = self.each_row[0]
        with cgutils.for_range(self.builder, self.shape[-2]) as loop:
            firsts = self.row(starts, loop.index)
            target.store(self.changed(firsts, target.load(firsts[0]) if self.old else None), firsts[0])

    def column_sums(self, starts: Sequence[Any]) -> None:
        builder, target = self.builder, self.each_row[0]
        total = cgutils.alloca_once(builder, _FLOATS)
        builder.store(target.load(starts[0]), total)
        with cgutils.for_range(builder, self.shape[-2]) as loop:
            builder.store(self.changed(self.row(starts, loop.index), builder.load(total)), total)
        target.store(builder.load(total), starts[0])

    def changed(self, firsts: Sequence[Any], old: Any) -> Any:
        """The row of the target that follows from those of the others, and what is there."""
        loaded = [row.load(at) for row, at in zip(self.each_row[1:], firsts[1:], strict=True)]
        return splat(self.builder, self.vectors(loaded, old))
