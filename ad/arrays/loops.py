"""Loops over whole arrays, as machine code.

Numba's own loops go from element to element by all the indices, and decide at each of them along which axes an operand
is broadcast: LLVM makes no vector code of that.  Here the decisions are made before the loops.  Arrays of one shape
that are contiguous are gone through as if they had one dimension, others row by row; a row in which all elements are
neighbours has a loop of its own, which vectorises.

Sources: numba/np/npyimpl.py (numpy_ufunc_kernel).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, types
from numba.np.arrayobj import load_item, store_item

__all__ = ["FALSE", "Array", "Nest", "all_of", "apart", "broadcast", "fits_into"]


class Array:
    """An array as the loops see it: where it begins, and its steps along the axes of the loops."""

    def __init__(self, context: Any, builder: Any, kind: types.Array, value: Any) -> None:
        model = context.data_model_manager[kind]
        self.kind = kind
        self.data = model.get(builder, value, "data")
        self.shape: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "shape"), kind.ndim)
        self.strides: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "strides"), kind.ndim)
        self.item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))


_ONE, _ZERO = llvm.Constant(llvm.IntType(64), 1), llvm.Constant(llvm.IntType(64), 0)
_TRUE, FALSE = llvm.Constant(llvm.IntType(1), 1), llvm.Constant(llvm.IntType(1), 0)


def all_of(builder: Any, conditions: Sequence[Any]) -> Any:
    return reduce(builder.and_, conditions, _TRUE)


def product(builder: Any, factors: Sequence[Any]) -> Any:
    return reduce(builder.mul, factors, _ONE)


def broadcast(builder: Any, arrays: Sequence[Array], ndim: int) -> tuple[list[Any], Any]:
    """The shape to which arrays broadcast, and whether they do."""
    shape, fits = [], []
    for axis in range(-ndim, 0):
        lengths = [a.shape[axis] for a in arrays if a.kind.ndim >= -axis]
        size = lengths[0]
        for n in lengths[1:]:
            size = builder.select(builder.icmp_signed("==", size, _ONE), n, size)
        if len(lengths) > 1:
            fits += [_agrees(builder, n, size) for n in lengths]
        shape.append(size)
    return shape, all_of(builder, fits)


def _agrees(builder: Any, n: Any, size: Any) -> Any:
    """Whether an axis of length `n` is as long as the loop over it, or is repeated."""
    return builder.or_(builder.icmp_signed("==", n, size), builder.icmp_signed("==", n, _ONE))


def fits_into(builder: Any, array: Array, shape: Sequence[Any]) -> Any:
    ndim = array.kind.ndim
    return all_of(builder, [_agrees(builder, n, size) for n, size in zip(array.shape, shape[len(shape) - ndim :])])


def _extent(builder: Any, a: Array) -> tuple[Any, Any]:
    """The addresses between which the elements of an array lie, which has some."""
    begin = builder.ptrtoint(a.data, llvm.IntType(64))
    if a.kind.layout in "CF":
        return begin, builder.add(begin, product(builder, [a.item, *a.shape]))
    low, high = begin, builder.add(begin, a.item)
    for n, stride in zip(a.shape, a.strides, strict=True):
        reach = builder.mul(builder.sub(n, _ONE), stride)
        forward = builder.icmp_signed(">", stride, _ZERO)
        high = builder.add(high, builder.select(forward, reach, _ZERO))
        low = builder.add(low, builder.select(forward, _ZERO, reach))
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
    pairs[0] = tuple(builder.ptrtoint(p, llvm.IntType(64)) for p in pairs[0])
    same = all_of(builder, [builder.icmp_signed("==", a, b) for a, b in pairs])
    return builder.or_(apart, builder.and_(same, once))


# --------------------------------------------------------------------------------------------------- loops

_SHORT = llvm.Constant(llvm.IntType(64), 8)
"""Below so many elements a row takes longer to begin than to go through: 16 x 16 rows of 3 took 2.0 us, columns 0.8."""
_BLOCK = llvm.Constant(llvm.IntType(64), 256)
"""How many short rows are gone through together."""


@dataclass
class Nest:
    """Loops over `shape` that write every element of `target` once; `body` computes it from those of `arrays`.

    `old` says that the body is given the element of the target, too; `sums`, that many go to the same one where the
    target is broadcast.
    """

    context: Any
    builder: Any
    shape: list[Any]
    target: Array
    arrays: Mapping[str, Array]
    scalars: Mapping[str, Any]
    body: Callable[[Mapping[str, Any], Any], Any]
    old: bool = False
    shifts: Mapping[str, Any] = field(default_factory=dict)
    """How far the elements of arrays are moved on, in the only dimension."""
    sums: bool = False

    def emit(self, vectors: bool = True) -> None:
        """Write the loops; without `vectors` those alone that serve for all layouts."""
        builder = self.builder
        known = dict(self.scalars)
        moving: dict[str, Array] = {}
        for name, a in self.arrays.items():
            if a.kind.ndim == 0:
                known[name] = load_item(self.context, builder, a.kind, a.data)
            else:
                moving[name] = a
        everything = [self.target, *moving.values()]
        shape = list(self.shape)
        steps = [self.steps(a) for a in everything]
        if self.fortran(everything):
            shape.reverse()
            for step in steps:
                step.reverse()
        flat = self.flat(everything)
        if len(shape) > 1:
            shape, steps, width = self.turned(shape, steps, flat)
        total = product(builder, self.shape)
        counts = [builder.select(flat, _ONE, n) for n in shape[:-1]]
        inner = builder.select(flat, total, shape[-1])
        unit = [builder.icmp_signed("==", step[-1], a.item) for a, step in zip(everything, steps, strict=True)]
        neighbours = all_of(builder, unit)

        def rows(positions: list[Any]) -> None:
            if len(positions) < len(counts):
                with cgutils.for_range(builder, counts[len(positions)]) as loop:
                    rows([*positions, loop.index])
                return
            starts = [self.start(a, step, positions) for a, step in zip(everything, steps, strict=True)]
            row(builder.select(flat, inner, width(positions)) if positions else inner, starts)

        def row(n: Any, starts: list[Any]) -> None:
            if not self.sums or len(self.shape) == 1:
                elements(n, starts)
                return
            with builder.if_else(builder.icmp_signed("==", steps[0][-1], _ZERO), likely=False) as (then, otherwise):
                with then:
                    self.sum(n, everything, starts, [step[-1] for step in steps], list(moving), known)
                with otherwise:
                    elements(n, starts)

        def elements(n: Any, starts: list[Any]) -> None:
            if not vectors:
                self.row(n, everything, starts, [step[-1] for step in steps], list(moving), known)
                return
            with builder.if_else(neighbours, likely=True) as (then, otherwise):
                with then:
                    self.row(n, everything, starts, None, list(moving), known)
                with otherwise:
                    self.row(n, everything, starts, [step[-1] for step in steps], list(moving), known)

        if self.shifts:
            self.stretches(["", *moving], everything, [step[-1] for step in steps], row)
        else:
            rows([])

    def turned(
        self, shape: list[Any], steps: list[list[Any]], flat: Any
    ) -> tuple[list[Any], list[list[Any]], Callable[[list[Any]], Any]]:
        """One more loop, by which short rows are gone through along the axis before: in blocks, which fit in the cache.

        Also gives the length of a row from the positions of the loops around it.
        """
        builder, block = self.builder, _BLOCK
        long, short = shape[-2:]
        is_short = builder.and_(builder.icmp_signed("<", short, _SHORT), builder.icmp_signed("<", short, long))
        turns = builder.and_(is_short, builder.not_(flat))
        blocks = builder.udiv(builder.add(long, builder.sub(block, _ONE)), block)
        counts = [*shape[:-2], builder.select(turns, blocks, long), builder.select(turns, short, _ONE), short]
        new = [
            [
                *step[:-2],
                builder.select(turns, builder.mul(step[-2], block), step[-2]),
                step[-1],
                builder.select(turns, step[-2], step[-1]),
            ]
            for step in steps
        ]

        def width(positions: list[Any]) -> Any:
            rest = builder.sub(long, builder.mul(positions[-2], block))
            rest = builder.select(builder.icmp_signed("<", rest, block), rest, block)
            return builder.select(turns, rest, short)

        return counts, new, width

    def stretches(
        self, names: list[str], arrays: list[Array], steps: list[Any], row: Callable[[Any, Any], None]
    ) -> None:
        """Rolled arrays are read in stretches, of which none goes past the end of any."""
        builder, n = self.builder, self.shape[0]
        firsts = {name: self.first(name, arrays[k]) for k, name in enumerate(names) if name in self.shifts}
        begin = cgutils.alloca_once_value(builder, _ZERO)
        going = builder.append_basic_block("stretch")
        done = builder.append_basic_block("stretches.end")
        builder.cbranch(builder.icmp_signed(">", n, _ZERO), going, done)
        builder.position_at_end(going)
        position, end = builder.load(begin), n
        starts = []
        for name, a, step in zip(names, arrays, steps, strict=True):
            source = position
            if name in firsts:
                first = firsts[name]
                before = builder.icmp_signed("<", position, first)
                nearer = builder.and_(before, builder.icmp_signed("<", first, end))
                end = builder.select(nearer, first, end)
                source = builder.sub(builder.add(position, builder.select(before, n, _ZERO)), first)
            starts.append(self.start(a, [step, step], [source]))
        row(builder.sub(end, position), starts)
        builder.store(end, begin)
        builder.cbranch(builder.icmp_signed("<", end, n), going, done)
        builder.position_at_end(done)

    def first(self, name: str, a: Array) -> Any:
        """The place to which the first element of a rolled array is moved; that of a repeated one is anywhere."""
        builder, n = self.builder, a.shape[0]
        divisor = builder.select(builder.icmp_signed("==", n, _ZERO), _ONE, n)
        rest = builder.srem(self.shifts[name], divisor)
        return builder.select(builder.icmp_signed("<", rest, _ZERO), builder.add(rest, n), rest)

    def steps(self, a: Array) -> list[Any]:
        """The bytes to go along each axis of the loops."""
        builder, missing = self.builder, len(self.shape) - a.kind.ndim
        found = [_ZERO] * missing
        for axis, (n, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
            if axis == a.kind.ndim - 1 and a.kind.layout == "C":
                stride = a.item
            size = self.shape[missing + axis]
            repeated = builder.and_(builder.icmp_signed("==", n, _ONE), builder.icmp_signed("!=", size, _ONE))
            found.append(builder.select(repeated, _ZERO, stride))
        return found

    def fortran(self, arrays: Sequence[Array]) -> bool:
        """Whether the first axis is the one along which elements are neighbours."""
        ndim = len(self.shape)
        return ndim > 1 and all(a.kind.layout == "F" and a.kind.ndim == ndim for a in arrays)

    def flat(self, arrays: Sequence[Array]) -> Any:
        """Whether all arrays can be gone through as if they had one dimension."""
        builder, ndim = self.builder, len(self.shape)
        if ndim == 1 or any(a.kind.ndim != ndim for a in arrays):
            return FALSE
        conditions = []
        order = 1 if self.fortran(arrays) else -1
        for a in arrays:
            conditions += [builder.icmp_signed("==", n, size) for n, size in zip(a.shape, self.shape, strict=True)]
            if a.kind.layout == ("F" if order == 1 else "C"):
                continue
            expected = a.item
            for n, stride in zip(a.shape[::order], a.strides[::order], strict=True):
                conditions.append(builder.icmp_signed("==", stride, expected))
                expected = builder.mul(expected, n)
        return all_of(builder, conditions)

    def start(self, a: Array, step: Sequence[Any], positions: Sequence[Any]) -> Any:
        """Where a row begins."""
        builder = self.builder
        bytes_ = builder.bitcast(a.data, cgutils.voidptr_t)
        offset = _ZERO
        for position, stride in zip(positions, step[:-1], strict=True):
            offset = builder.add(offset, builder.mul(position, stride))
        return builder.gep(bytes_, [offset]) if positions else bytes_

    def row(
        self,
        n: Any,
        arrays: Sequence[Array],
        starts: Sequence[Any],
        steps: Sequence[Any] | None,
        names: Sequence[str],
        known: Mapping[str, Any],
    ) -> None:
        """The innermost loop: over neighbours, or by `steps`."""
        context, builder = self.context, self.builder
        with cgutils.for_range(builder, n) as loop:
            place = self.place(arrays[0], starts[0], None if steps is None else steps[0], loop.index)
            values = self.loaded(loop.index, arrays[1:], starts[1:], steps and steps[1:], names, known)
            old = load_item(context, builder, self.target.kind, place) if self.old else None
            store_item(context, builder, self.target.kind, self.body(values, old), place)

    def sum(
        self,
        n: Any,
        arrays: Sequence[Array],
        starts: Sequence[Any],
        steps: Sequence[Any],
        names: Sequence[str],
        known: Mapping[str, Any],
    ) -> None:
        """The innermost loop where all of it goes to one element of the target, which stays in a register."""
        context, builder, kind = self.context, self.builder, self.target.kind
        place = builder.bitcast(starts[0], self.target.data.type)
        total = cgutils.alloca_once_value(builder, load_item(context, builder, kind, place))
        with cgutils.for_range(builder, n) as loop:
            values = self.loaded(loop.index, arrays[1:], starts[1:], steps[1:], names, known)
            builder.store(self.body(values, builder.load(total)), total)
        store_item(context, builder, kind, builder.load(total), place)

    def loaded(
        self,
        index: Any,
        arrays: Sequence[Array],
        starts: Sequence[Any],
        steps: Sequence[Any] | None,
        names: Sequence[str],
        known: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The elements at a place of a row, by name."""
        values = dict(known)
        for k, (name, a, start) in enumerate(zip(names, arrays, starts, strict=True)):
            place = self.place(a, start, None if steps is None else steps[k], index)
            values[name] = load_item(self.context, self.builder, a.kind, place)
        return values

    def place(self, a: Array, start: Any, step: Any, index: Any) -> Any:
        """The address of an element of a row: of a neighbour, or by a `step`."""
        builder = self.builder
        if step is None:
            return builder.gep(builder.bitcast(start, a.data.type), [index], inbounds=True)
        return builder.bitcast(builder.gep(start, [builder.mul(index, step)]), a.data.type)
