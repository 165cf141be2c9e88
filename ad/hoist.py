"""What each trip of a loop records of an array, recorded once before the loop.

A loop over rows that records a part of its row at every trip (see `ad.vector`) touches no other row of that array.
Then one record of all rows before the loop takes the place of one for each: fewer calls, and longer copies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ad.helpers import INSIDE
from ad.ir import (
    AddTo,
    Call,
    Const,
    Expr,
    For,
    Index,
    Items,
    Kind,
    MultiAssign,
    Pop,
    Push,
    Slice,
    Stmt,
    Store,
    Var,
    assigned,
    expressions,
    names,
    walk,
    walk_stmts,
)
from ad.trips import Context, Dependent, Part, bracketed, offset_of, reached, restored_late
from ad.unit import effects
from ad.windows import windowed

__all__ = ["hoisted"]


def hoisted(
    s: For, forward: Sequence[Stmt], reverse: Sequence[Stmt], context: Context, uses_tape: bool
) -> tuple[list[Stmt], list[Stmt], list[Stmt], list[Stmt], list[Stmt]] | None:
    """What comes before the forward loop, its body, what comes before the reverse loop, its body, and what after it.

    `uses_tape` says that the forward body records anything besides by its own pushes.  None where all stays as it is.
    """
    try:
        return _Rows(s, forward, reverse, context).run() if not uses_tape else None
    except Dependent:
        return None


class _Rows:
    def __init__(self, s: For, forward: Sequence[Stmt], reverse: Sequence[Stmt], context: Context) -> None:
        if s.step != Const(1) or s.trips is not None:
            raise Dependent
        self.s = s
        self.forward = forward
        self.reverse = reverse
        self.context = context
        self.varying = {s.var} | assigned(tuple(forward)) | effects(reverse).writes
        self.bases = dict(windowed(reverse))

    def run(self) -> tuple[list[Stmt], list[Stmt], list[Stmt], list[Stmt], list[Stmt]]:
        rows = [f for f in self.forward if isinstance(f, Push)]
        pops = [r for r in self.reverse if isinstance(r, Pop)]
        if not rows or len(rows) != len(pops):
            raise Dependent
        pushes, early, late = bracketed([self.whole(push) for push in rows])
        body = [f for f in self.forward if not isinstance(f, Push)]
        back = [r for r in self.reverse if not isinstance(r, Pop)]
        return pushes, body, early, back, late

    def kind(self, part: Index) -> Kind:
        parts = part.index.parts if isinstance(part.index, Items) else (part.index,)
        return Kind(self.context.kinds[part.array].dtype, sum(isinstance(p, Slice) for p in parts))

    def whole(self, push: Push) -> Part:
        """The part that all trips record together."""
        match push:
            case Push((Index(array, Items(parts)) as row,), kind, False, _, False) if kind.is_array:
                pass
            case _:
                raise Dependent
        axes = [k for k, p in enumerate(parts) if offset_of(p, self.s.var) is not None]
        if len(axes) != 1 or any(names(p) & self.varying for k, p in enumerate(parts) if k not in axes):
            raise Dependent
        [axis] = axes
        offset = offset_of(parts[axis], self.s.var)
        least = self.context.extents.least(self.s.start, self.context.around)
        if offset is None or least is None or least + offset < 0:
            raise Dependent
        self.check_rows(array, axis, offset)
        part = Index(array, Items((*parts[:axis], reached(self.s, offset), *parts[axis + 1 :])))
        reads = [any(self.bases.get(n, n) == array for n, _ in _accesses((r,))) for r in self.reverse]
        late = restored_late(row, self.reverse, reads)
        return Part(replace(push, values=(part,), kind=self.kind(part)), part, late)

    def check_rows(self, array: str, axis: int, offset: int) -> None:
        """Every access to the array must be one to the row of the trip, and only one statement may write to it."""
        for name, index in (*_accesses(self.forward), *_accesses(self.reverse)):
            if not self.context.share(self.bases.get(name, name), array):
                continue
            parts = index.parts if isinstance(index, Items) else (index,)
            if axis >= len(parts) or offset_of(parts[axis], self.s.var) != offset:
                raise Dependent
        stores = [p for p in walk_stmts(tuple(self.forward)) if isinstance(p, Store)]
        if sum(self.context.share(p.array, array) for p in stores) != 1:
            raise Dependent


def _accesses(stmts: Sequence[Stmt]) -> Iterator[tuple[str, Expr]]:
    """The names of arrays and the indices by which statements reach them."""
    for s in walk_stmts(tuple(stmts)):
        match s:
            case Store(array, index):
                yield array, index
            case AddTo(Index(array, index)):
                yield array, index
            case Pop(targets):
                yield from ((t.array, t.index) for t in targets if isinstance(t, Index))
            case MultiAssign(_, Call(callee)) if callee is INSIDE:
                continue
        for root in expressions(s):
            for e in walk(root):
                match e:
                    case Index(array, index):
                        yield array, index
                    case Var(name):
                        yield name, e
