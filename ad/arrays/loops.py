"""Loops over whole arrays, as machine code.

Numba's own loops go from element to element by all the indices, and decide at each of them along which axes an operand
is broadcast: LLVM makes no vector code of that.  Here the decisions are made before the loops.  Arrays of one shape
that are contiguous are gone through as if they had one dimension, others row by row; a row in which all elements are
neighbours has a loop of its own, which vectorises.

Sources: numba/np/npyimpl.py (numpy_ufunc_kernel).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numba.core import cgutils, types
from numba.np.arrayobj import load_item, store_item

from ad.arrays.shortrows import ShortRows
from ad.arrays.strided import FALSE, ONE, ZERO, Array, all_of, number, product, row_start
from ad.arrays.vectorrows import VectorRows, are_masked

__all__ = ["Nest"]

_SHORT = number(8)
"""Below so many elements a row takes longer to begin than to go through: 16 x 16 rows of 3 took 2.0 us, columns 0.8."""
_BLOCK = number(256)
"""How many short rows are gone through together."""
_STRETCHES = (64 * 1024, 1024)
"""Parts of a sum of these lengths have a sum of their own."""


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
    light: bool = False
    """Whether the body is so short that it may be written out for every element of a row."""
    term: Callable[[Mapping[str, Any]], Any] | None = None
    """What is added up, where the body only adds."""
    whole: bool = False
    """Whether the target is one element."""
    of_vectors: bool = False
    """Whether the body takes vectors of elements, too."""

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
        if self.term is not None:
            steps[0] = list(self.target.strides)  # which are as they should be
        spread = everything[self.whole :]  # a target of one element has no layout
        if self.fortran(spread):
            shape.reverse()
            for step in steps:
                step.reverse()
        flat = self.flat(spread)
        if len(shape) > 2:
            self.merge_last(shape, steps)
        names = list(moving)
        if not (vectors and self.light and len(shape) > 1):
            self.rows(shape, everything, steps, flat, names, known, vectors)
            return

        def value(places: Sequence[Any], old: Any) -> Any:
            return self.body(self.loaded(ZERO, everything[1:], places, None, names, known), old)

        def of_vectors(loaded: Sequence[Any], old: Any) -> Any:
            return self.body({**known, **dict(zip(names, loaded, strict=True))}, old)

        given = self.context, builder, shape, everything, steps, value, self.old, self.sums, self.term is not None
        masked = self.of_vectors and self.target.kind.dtype == types.float64 and are_masked(self.context)
        rows = VectorRows(*given, of_vectors) if masked else ShortRows(*given)
        short = builder.and_(rows.suit(), builder.not_(flat))
        with builder.if_else(short, likely=False) as (then, otherwise):
            with then:
                rows.emit()
            with otherwise:
                self.rows(shape, everything, steps, flat, names, known, vectors)

    def merge_last(self, shape: list[Any], steps: list[list[Any]]) -> None:
        """Go through the last two axes as if they were one, where that is the same for all arrays."""
        builder = self.builder
        n = shape[-1]
        merges = all_of(builder, [builder.icmp_signed("==", step[-2], builder.mul(step[-1], n)) for step in steps])
        shape[-1] = builder.select(merges, builder.mul(shape[-2], n), n)
        shape[-2] = builder.select(merges, ONE, shape[-2])

    def rows(
        self,
        shape: list[Any],
        everything: list[Array],
        steps: list[list[Any]],
        flat: Any,
        names: list[str],
        known: Mapping[str, Any],
        vectors: bool,
    ) -> None:
        """The loops where the innermost one goes through a row, or all elements if they are `flat`."""
        builder = self.builder
        if len(shape) > 1:
            shape, steps, width = self.turned(shape, steps, flat)
        total = product(builder, self.shape)
        counts = [builder.select(flat, ONE, n) for n in shape[:-1]]
        inner = builder.select(flat, total, shape[-1])
        unit = [builder.icmp_signed("==", step[-1], a.item) for a, step in zip(everything, steps, strict=True)]
        neighbours = all_of(builder, unit)
        alongside = all_of(builder, unit[1:])

        def rows(positions: list[Any]) -> None:
            if len(positions) < len(counts):
                with cgutils.for_range(builder, counts[len(positions)]) as loop:
                    rows([*positions, loop.index])
                return
            starts = [row_start(builder, a, step[:-1], positions) for a, step in zip(everything, steps, strict=True)]
            row(builder.select(flat, inner, width(positions)) if positions else inner, starts)

        def row(n: Any, starts: list[Any]) -> None:
            if self.whole:
                summed(n, starts)
                return
            if not self.sums or len(self.shape) == 1:
                elements(n, starts)
                return
            with builder.if_else(builder.icmp_signed("==", steps[0][-1], ZERO), likely=False) as (then, otherwise):
                with then:
                    summed(n, starts)
                with otherwise:
                    elements(n, starts)

        def summed(n: Any, starts: list[Any]) -> None:
            if self.term is None:
                self.sum(n, everything, starts, [step[-1] for step in steps], names, known)
                return
            with builder.if_else(alongside, likely=True) as (then, otherwise):
                with then:
                    self.sum(n, everything, starts, None, names, known)
                with otherwise:
                    self.sum(n, everything, starts, [step[-1] for step in steps], names, known)

        def elements(n: Any, starts: list[Any]) -> None:
            if not vectors:
                self.row(n, everything, starts, [step[-1] for step in steps], names, known)
                return
            with builder.if_else(neighbours, likely=True) as (then, otherwise):
                with then:
                    self.row(n, everything, starts, None, names, known)
                with otherwise:
                    self.row(n, everything, starts, [step[-1] for step in steps], names, known)

        if self.shifts:
            self.stretches(["", *names], everything, [step[-1] for step in steps], row)
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
        blocks = builder.udiv(builder.add(long, builder.sub(block, ONE)), block)
        counts = [*shape[:-2], builder.select(turns, blocks, long), builder.select(turns, short, ONE), short]
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
        begin = cgutils.alloca_once_value(builder, ZERO)
        going = builder.append_basic_block("stretch")
        done = builder.append_basic_block("stretches.end")
        builder.cbranch(builder.icmp_signed(">", n, ZERO), going, done)
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
                source = builder.sub(builder.add(position, builder.select(before, n, ZERO)), first)
            starts.append(row_start(builder, a, [step], [source]))
        row(builder.sub(end, position), starts)
        builder.store(end, begin)
        builder.cbranch(builder.icmp_signed("<", end, n), going, done)
        builder.position_at_end(done)

    def first(self, name: str, a: Array) -> Any:
        """The place to which the first element of a rolled array is moved; that of a repeated one is anywhere."""
        builder, n = self.builder, a.shape[0]
        divisor = builder.select(builder.icmp_signed("==", n, ZERO), ONE, n)
        rest = builder.srem(self.shifts[name], divisor)
        return builder.select(builder.icmp_signed("<", rest, ZERO), builder.add(rest, n), rest)

    def steps(self, a: Array) -> list[Any]:
        """The bytes to go along each axis of the loops."""
        builder, missing = self.builder, len(self.shape) - a.kind.ndim
        found = [ZERO] * missing
        for axis, (n, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
            if axis == a.kind.ndim - 1 and a.kind.layout == "C":
                stride = a.item
            size = self.shape[missing + axis]
            repeated = builder.and_(builder.icmp_signed("==", n, ONE), builder.icmp_signed("!=", size, ONE))
            found.append(builder.select(repeated, ZERO, stride))
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
        steps: Sequence[Any] | None,
        names: Sequence[str],
        known: Mapping[str, Any],
    ) -> None:
        """The innermost loop where all of it goes to one element of the target, which stays in a register.

        A sum is one of sums of stretches, in each of which LLVM may add in any order: so there are vectors of sums.
        """
        context, builder, kind = self.context, self.builder, self.target.kind
        place = builder.bitcast(starts[0], self.target.data.type)
        total = cgutils.alloca_once_value(builder, load_item(context, builder, kind, place))
        floats = isinstance(kind.dtype, types.Float)

        def added(index: Any, into: Any) -> None:
            values = self.loaded(index, arrays[1:], starts[1:], steps and steps[1:], names, known)
            if self.term is not None and floats:
                new = builder.fadd(builder.load(into), self.term(values), flags=("reassoc", "nsz"))
            else:
                new = self.body(values, builder.load(into))
            builder.store(new, into)

        def stretch(begin: Any, end: Any, into: Any, lengths: Sequence[int]) -> None:
            if not lengths:
                with cgutils.for_range_slice(builder, begin, end, ONE) as (index, _):
                    added(index, into)
                return
            length = number(lengths[0])
            with cgutils.for_range_slice(builder, begin, end, length) as (first, _):
                part = cgutils.alloca_once(builder, into.type.pointee)
                builder.store(context.get_constant(kind.dtype, 0), part)
                after = builder.add(first, length)
                stop = builder.select(builder.icmp_signed("<", after, end), after, end)
                stretch(first, stop, part, lengths[1:])
                builder.store(builder.fadd(builder.load(into), builder.load(part)), into)

        stretch(ZERO, n, total, _STRETCHES if self.term is not None and floats else ())
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
