"""Loops over rows that are too short for a loop of their own: their elements are written out.

Positions, colours, the components of a field: the last axis has a length of 2, 3 or 4, and operands are often broadcast
along it or along the one before, so that nothing can be gone through as if it had one dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numba.core import cgutils
from numba.np.arrayobj import load_item, store_item

from ad.arrays.strided import ZERO, Array, all_of, number, row_start

__all__ = ["LONGEST", "ShortRows"]

LONGEST = 4
"""16 x 16 rows of 3 took 0.6 us where a loop along the axis before took 1.3, and a loop over each row 2.0."""


@dataclass
class ShortRows:
    """Loops over `shape` that change every element of the first of `arrays`, the target.

    `value` computes it from the addresses of the elements of the other arrays and the element there is; that is read
    where there are `old` ones.  `sums` says that many may go to the same element.
    """

    context: Any
    builder: Any
    shape: Sequence[Any]
    arrays: Sequence[Array]
    steps: Sequence[Sequence[Any]]
    value: Callable[[Sequence[Any], Any], Any]
    old: bool
    sums: bool
    known: bool
    """Whether steps of the target are constants where they are zero."""

    def suit(self) -> Any:
        """Whether rows are so short, and no shorter."""
        builder, n = self.builder, self.shape[-1]
        return all_of(builder, [builder.icmp_signed(">", n, number(1)), builder.icmp_signed("<=", n, number(LONGEST))])

    def emit(self) -> None:
        self.outer([])

    def outer(self, positions: list[Any]) -> None:
        """The loops over all axes but the last two."""
        builder = self.builder
        if len(positions) < len(self.shape) - 2:
            with cgutils.for_range(builder, self.shape[len(positions)]) as loop:
                self.outer([*positions, loop.index])
            return
        starts = [row_start(builder, a, step[:-2], positions) for a, step in zip(self.arrays, self.steps, strict=True)]
        if not self.sums:
            self.rows(starts)
            return
        between, along = self.steps[0][-2:]
        if self.known:
            (self.row_sums if along is ZERO else self.column_sums if between is ZERO else self.rows)(starts)
            return
        with builder.if_else(builder.icmp_signed("==", along, ZERO)) as (one, several):
            with one:
                self.row_sums(starts)
            with several, builder.if_else(builder.icmp_signed("==", between, ZERO)) as (same, other):
                with same:
                    self.column_sums(starts)
                with other:
                    self.rows(starts)

    def rows(self, starts: Sequence[Any]) -> None:
        def element(firsts: Sequence[Any], k: int) -> None:
            places = self.elements(firsts, k)
            self.store(self.value(places[1:], self.load(places[0]) if self.old else None), places[0])

        with cgutils.for_range(self.builder, self.shape[-2]) as loop:
            firsts = self.row(starts, loop.index)
            self.each(lambda k: element(firsts, k))

    def row_sums(self, starts: Sequence[Any]) -> None:
        """All elements of a row go to one of the target, which stays in a register meanwhile."""
        [total] = self.registers(1)
        with cgutils.for_range(self.builder, self.shape[-2]) as loop:
            firsts = self.row(starts, loop.index)
            self.builder.store(self.load(firsts[0]), total)
            self.each(lambda k: self.add(firsts, k, total))
            self.store(self.builder.load(total), firsts[0])

    def column_sums(self, starts: Sequence[Any]) -> None:
        """All rows go to one of the target, the elements of which stay in registers meanwhile."""
        builder, totals = self.builder, self.registers(LONGEST)

        def place(k: int) -> Any:
            return self.elements(starts[:1], k)[0]

        self.each(lambda k: builder.store(self.load(place(k)), totals[k]))
        with cgutils.for_range(builder, self.shape[-2]) as loop:
            firsts = self.row(starts, loop.index)
            self.each(lambda k: self.add(firsts, k, totals[k]))
        self.each(lambda k: self.store(builder.load(totals[k]), place(k)))

    def add(self, firsts: Sequence[Any], k: int, total: Any) -> None:
        builder = self.builder
        builder.store(self.value(self.elements(firsts, k)[1:], builder.load(total)), total)

    def registers(self, count: int) -> list[Any]:
        kind = self.context.get_data_type(self.arrays[0].kind.dtype)
        return [cgutils.alloca_once(self.builder, kind) for _ in range(count)]

    def row(self, starts: Sequence[Any], index: Any) -> list[Any]:
        """Where a row begins."""
        builder = self.builder
        return [builder.gep(at, [builder.mul(index, step[-2])]) for at, step in zip(starts, self.steps, strict=True)]

    def elements(self, firsts: Sequence[Any], k: int) -> list[Any]:
        """The addresses of the elements at place `k` of a row."""
        builder = self.builder
        return [
            builder.gep(at, [builder.mul(step[-1], number(k))]) for at, step in zip(firsts, self.steps, strict=False)
        ]

    def each(self, element: Callable[[int], Any], k: int = 0) -> None:
        """``element(k)`` for all places of a row, which are two at least."""
        element(k)
        if k == 0:
            self.each(element, 1)
        elif k + 1 < LONGEST:
            with self.builder.if_then(self.builder.icmp_signed(">", self.shape[-1], number(k + 1))):
                self.each(element, k + 1)

    def load(self, place: Any) -> Any:
        target = self.arrays[0]
        return load_item(self.context, self.builder, target.kind, self.builder.bitcast(place, target.data.type))

    def store(self, value: Any, place: Any) -> None:
        target = self.arrays[0]
        store_item(self.context, self.builder, target.kind, value, self.builder.bitcast(place, target.data.type))
