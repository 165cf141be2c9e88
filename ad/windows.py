"""Names for the arrays of a loop whose indices are checked once, for its whole range (see `ad.elements.inside`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ad.helpers import INSIDE
from ad.ir import (
    AddTo,
    Assign,
    Call,
    Const,
    Expr,
    Index,
    Items,
    MultiAssign,
    Stmt,
    Store,
    Var,
    substitute,
    walk_stmts,
)
from ad.ranges import shifted, split
from ad.trips import Place, Places, Stream

__all__ = ["Windows", "windowed"]


class Windows:
    """Names for the arrays of a loop whose indices along an axis are known to lie in range, one for each stream.

    Those of one call of `inside` share no memory.
    """

    def __init__(self, within: Places, places: Iterable[Place]) -> None:
        self.within = within
        self.offsets: dict[Stream, set[int]] = {}
        self.names: dict[Stream, str] = {}
        self.groups: list[list[Stream]] = []
        for place in places:
            if place.axis is not None:
                self.offsets.setdefault(place.stream, set()).add(place.offset)
        for stream in self.offsets:
            group = next((g for g in self.groups if all(self.apart(stream, other) for other in g)), None)
            if group is None:
                self.groups.append(group := [])
            group.append(stream)
            kind = within.context.kinds[stream[0]]
            self.names[stream] = within.context.fresh(f"{stream[0]}_in", kind)

    def apart(self, a: Stream, b: Stream) -> bool:
        """Whether two streams never meet the same element."""
        if not self.within.context.share(a[0], b[0]):
            return True
        return a[:2] == b[:2] and any(self.differ(p, q) for p, q in zip(a[2], b[2], strict=True))

    def differ(self, p: Expr, q: Expr) -> bool:
        """Whether two indices are never the same element of an axis; one below zero could be the same as another."""
        least = [self.within.context.extents.least(e, self.within.context.around) for e in (p, q)]
        if any(x is None or x < 0 for x in least):
            return False
        (base, m), (other, n) = split(p), split(q)
        return base == other and m != n

    def made(self) -> list[Stmt]:
        context, s = self.within.context, self.within.s
        out: list[Stmt] = []
        for group in self.groups:
            ranges = []
            for stream in group:
                array, axis, _ = stream
                assert axis is not None
                first, last = shifted(s.start, min(self.offsets[stream])), shifted(s.stop, max(self.offsets[stream]))
                ranges.append(Items((Var(array), Const(axis), first, last)))
            targets = tuple(self.names[stream] for stream in group)
            out.append(MultiAssign(targets, Call(INSIDE, (Const(context.number()), *ranges))))
        return out

    def expr(self, e: Expr) -> Expr:
        return substitute(e, lambda p: self.index(p) if isinstance(p, Index) else None)

    def index(self, e: Index) -> Index:
        place = self.within.of(e)
        return e if place.axis is None else replace(e, array=self.names[place.stream])

    def stmt(self, s: Stmt) -> Stmt:
        match s:
            case Assign():
                return replace(s, value=self.expr(s.value))
            case AddTo():
                target = self.index(s.target) if isinstance(s.target, Index) else s.target
                return replace(s, target=target, value=self.expr(s.value))
            case Store():
                return replace(s, array=self.index(Index(s.array, s.index)).array, value=self.expr(s.value))
        return s


def windowed(stmts: Sequence[Stmt]) -> Iterator[tuple[str, str]]:
    """Names by which loops reach arrays, and the arrays."""
    for s in walk_stmts(tuple(stmts)):
        match s:
            case MultiAssign(targets, Call(callee, (_, *ranges))) if callee is INSIDE:
                for target, given in zip(targets, ranges, strict=True):
                    assert isinstance(given, Items) and isinstance(given.parts[0], Var)
                    yield target, given.parts[0].name
