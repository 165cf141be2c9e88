"""Arrays that a block overwrites from end to end: their old contents are recorded by giving them other memory.

A time step that computes a new state beside the old one (``u, v = v, u``) would copy to the tape what it is about to
overwrite, and back again.  Where nothing reads the old contents any more, the array takes a block of the tape as its
memory instead, and in the reverse sweep the old memory again (see tape.words).  Measured on Burgers' equation, forward
and reverse: 4 096 cells 7.6 to 6.2 ms a thousand steps, a million cells 50 to 28 ms twenty steps.

So it is for loops that update an array in place, ``u[i] += ...``, where each element is read for its own new value
only: they read the old memory and write to the new one.  What such loops leave as it is at the borders is copied.
Measured on shallow water, 128 x 128: 10 % of the gradient.

The old memory must live for so long: this is done for arrays that were made before all loops.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ad.ir import (
    NOTHING,
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expr,
    For,
    Index,
    Items,
    Len,
    Rebind,
    Slice,
    Stmt,
    Store,
    Unary,
    Var,
    assigned,
    expressions,
    map_expressions,
    substitute,
    walk,
    walk_stmts,
)
from ad.lower import Lowered
from ad.primitive import Primitive
from ad.ranges import shifted, split
from ad.tbr import Required, Saves
from ad.trips import offset_of

__all__ = ["Exchange", "beside", "find_exchanges"]

_Sum = tuple[Expr | None, int]
_NARROW = 4
"""The most elements along an axis that are copied at a border."""


@dataclass(frozen=True)
class Exchange:
    """What takes the place of saves: before a statement the array is given other memory; `needs` as of the saves."""

    array: str
    needs: frozenset[Stmt]
    borders: tuple[Expr, ...] = ()
    """The parts that keep their old contents."""
    updates: bool = False
    """Whether the statement reads elements for their own new values."""
    early: bool = False
    """Whether its adjoint needs the old contents, and not the new ones."""


def beside(stmts: Sequence[Stmt], array: str, old: str) -> list[Stmt]:
    """The forward sweep of a loop that updates an array, as one that reads the old contents from `old`."""
    out: list[Stmt] = []
    at = next((k for k, s in enumerate(stmts) if isinstance(s, Store) and s.array == array), -1)

    def change(e: Expr) -> Expr | None:
        return replace(e, array=old) if isinstance(e, Index) and e.array == array else None

    for k, s in enumerate(stmts):
        if isinstance(s, For):
            s = replace(s, body=tuple(beside(s.body, array, old)))
        elif k <= at:
            s = map_expressions(s, lambda e: substitute(e, change))
        if isinstance(s, Store) and k == at and s.op:
            s = replace(s, value=Binary(s.op, Index(old, s.index), s.value), op="")
        out.append(s)
    return out


def find_exchanges(lowered: Lowered, saves: Saves, in_lanes: Collection[Stmt] = ()) -> dict[Stmt, list[Exchange]]:
    """The exchanges, by the statements that they come before.  The saves that they replace are taken out.

    `in_lanes` are loops that become functions of their own: there are none in them, and they update no array beside.
    """
    search = _Search(lowered, saves, in_lanes)
    for s in lowered.function.body:
        search.loop(s)
    return search.found


class _Search:
    def __init__(self, lowered: Lowered, saves: Saves, in_lanes: Collection[Stmt]) -> None:
        self.in_lanes = frozenset(in_lanes)
        self.aliases = lowered.aliases
        self.saves = saves
        self.extents = lowered.extents
        self.kinds = lowered.function.kinds
        self.found: dict[Stmt, list[Exchange]] = {}
        self.updates: dict[Stmt, dict[Stmt, Exchange]] = {}
        """Those of the writes in a statement that update an array."""
        top = {s.target for s in lowered.function.body if isinstance(s, Assign)}
        self.lasting = {name for name in top & self.aliases.shared if self.extents.counts[name] == 1}
        """Names that are given an array once, before all loops, and then change places at most."""

    def loop(self, s: Stmt) -> None:
        # A loop that runs again from snapshots has arrays of its own, which nobody holds.
        if isinstance(s, For) and s not in self.in_lanes and s.checkpoints is None:
            self.block(s.body)
            for inner in s.body:
                self.loop(inner)

    def block(self, block: Block) -> None:
        written: dict[str, list[int]] = {}
        for k, s in enumerate(block):
            for part in walk_stmts((s,)):
                if isinstance(part, Store) and (k not in written.get(part.array, [])):
                    written.setdefault(part.array, []).append(k)
        for array, places in written.items():
            run = block[places[0] : places[-1] + 1]
            if not self.is_lasting(array, run[0]):
                continue
            if not self.is_read(array, run) and self.overwritten(array, run):
                self.exchange(array, run)
            elif len(run) == 1:
                self.update(array, run[0])
        for s in block:
            self.settle(s)

    def is_lasting(self, array: str, s: Stmt) -> bool:
        """Whether an array was made before all loops, and only one name stands for it."""
        group = self.extents.groups.get(array, {array})
        return group <= self.lasting and self.aliases.before[s].sharing(array) == {array}

    def is_read(self, array: str, run: Block) -> bool:
        """Whether statements read an array, or what they write is not all theirs."""
        for s in walk_stmts(run):
            match s:
                case Assign(target) if target in self.aliases.shared:
                    return True
                case Store(other, op=op) if other == array and (op or s not in self.saves.before):
                    return True
        return self.reads(array, *run) != []

    def overwritten(self, array: str, run: Block) -> bool:
        if any(array in self.extents.overwritten(s) for s in run):
            return len([s for s in walk_stmts(run) if isinstance(s, Store) and s.array == array]) == 1
        length = self.extents.length(array, 0)
        if self.kinds[array].ndim != 1 or length is None:
            return False
        pieces = dict(self.pieces(array, run))
        stores = sum(isinstance(s, Store) and s.array == array for s in walk_stmts(run))
        reached: Expr = Const(0)
        for _ in range(len(pieces)):
            if reached not in pieces:
                return False
            reached = pieces[reached]
        return reached == length and len(pieces) == stores

    def pieces(self, array: str, run: Block) -> Iterator[tuple[Expr, Expr]]:
        """From where to where statements write to all elements."""
        for s in run:
            match s:
                case Store(other, index, _, "") if other == array:
                    at = self.extents.value(index)
                    if at is not None:
                        yield at, shifted(at, 1)
                case For(var, start, stop, Const(1), body, None):
                    first, last = self.extents.value(start), self.extents.value(stop)
                    stored = any(isinstance(p, Store) and p.array == array and p.index == Var(var) for p in body)
                    if stored and first is not None and last is not None:
                        yield first, last

    def exchange(self, array: str, run: Block) -> None:
        needs: Required = {}
        for s in walk_stmts(run):
            if isinstance(s, Store) and s.array == array:
                needs.update(self.saves.before.pop(s))
        self.found.setdefault(run[0], []).append(Exchange(array, frozenset().union(*needs.values())))

    # -------------------------------------------------------------------------------------------- updates in place

    def update(self, array: str, s: Stmt) -> None:
        """An exchange before loops that write to (nearly) all elements once, and read each for its own value only."""
        path = list(self.path(array, s, ()))
        borders = self.borders(*path[0]) if len(path) == 1 else None
        if borders is None:
            return
        loops, store = path[0]
        body = loops[-1].body
        reads = self.reads(array, s)
        if reads is None or any(p not in body or e.index != store.index for p, e in reads):
            return
        needs = self.saves.before.get(store)
        if not needs:
            return
        updates = bool(reads) or bool(store.op)
        if updates and not self.in_lanes.isdisjoint(loops):
            return
        at = body.index(store)
        inside = set(walk_stmts((s,)))
        mine = inside & frozenset().union(*needs.values()) if updates else set()
        mine |= {p for p in self.run_again(s, loops) if self.reads(array, p) != []}
        new, old = (mine <= set(part) for part in (body[at + 1 :], body[: at + 1]))
        if new or old:
            found = Exchange(array, frozenset().union(*needs.values()), borders, updates, early=not new)
            self.updates.setdefault(s, {})[store] = found

    def settle(self, s: Stmt) -> None:
        """Keep the updates before a statement that can be: what comes back early must lie on top of the tape."""
        updates = self.updates.pop(s, {})
        if any(u.early for u in updates.values()) and self.records(s, updates):
            updates = {store: u for store, u in updates.items() if not u.early}
        for store, found in updates.items():
            del self.saves.before[store]
            self.found.setdefault(s, []).append(found)

    def records(self, s: Stmt, updates: Collection[Stmt]) -> bool:
        """Whether loops may record anything besides the arrays of updates."""
        for p in walk_stmts((s,)):
            known = isinstance(p, Assign | Store) or (isinstance(p, For) and not self.saves.at_end.get((p, "body")))
            called = any(
                isinstance(e, Call) and not isinstance(e.callee, Primitive) for x in expressions(p) for e in walk(x)
            )
            if not known or called or (self.saves.before.get(p) and p not in updates):
                return True
        return False

    def run_again(self, s: Stmt, loops: Sequence[For]) -> Iterator[Stmt]:
        """What the reverse sweep of loops computes again."""
        for loop in loops:
            yield from self.saves.again.get((loop, "body"), ())
        for p in walk_stmts((s,)):
            yield from self.saves.arrays.get(p, ())

    def path(self, array: str, s: Stmt, loops: tuple[For, ...]) -> Iterator[tuple[tuple[For, ...], Store]]:
        """The writes to an array, each with the loops around it if there is nothing but these."""
        match s:
            case Store(other) if other == array:
                yield loops, s
            case For(body=body):
                for inner in body:
                    yield from self.path(array, inner, (*loops, s))
            case _:  # on a condition, or in another loop
                yield from (((), p) for p in walk_stmts((s,)) if isinstance(p, Store) and p.array == array)

    def borders(self, loops: tuple[For, ...], store: Store) -> tuple[Expr, ...] | None:
        """The parts of an array that loops do not reach; None where there is more than borders, or it is not known."""
        parts = store.index.parts if isinstance(store.index, Items) else (store.index,)
        if len(parts) != self.kinds[store.array].ndim or len(loops) != len(parts):
            return None
        todo = list(loops)
        out: list[Expr] = []
        for axis, part in enumerate(parts):
            loop = next((x for x in todo if offset_of(part, x.var) is not None), None)
            length = self.extents.length(store.array, axis)
            if loop is None or length is None or loop.step != Const(1) or loop.trips is not None:
                return None
            todo.remove(loop)
            offset = offset_of(part, loop.var)
            first, last = self.extents.value(loop.start), self.extents.value(loop.stop)
            if first is None or last is None or offset is None or loop.var in assigned(loop.body):
                return None
            edges = self.edges(loop, offset, split(first), split(last), split(length))
            if edges is None:
                return None
            out += [Items((*[WHOLE_AXIS] * axis, e, *[WHOLE_AXIS] * (len(parts) - axis - 1))) for e in edges]
        return tuple(out)

    def edges(self, loop: For, offset: int, first: _Sum, last: _Sum, length: _Sum) -> list[Slice] | None:
        """What a loop leaves as it is along an axis, before and after what it writes to."""
        low, before = first[0], first[1] + offset
        if low is not None or not 0 <= before <= _NARROW:
            return None
        out = [Slice(NOTHING, Const(before), NOTHING)] if before else []
        if last[0] == length[0]:
            after = length[1] - last[1] - offset
            if not 0 <= after <= _NARROW:
                return None
            return [*out, Slice(Unary("-", Const(after)), NOTHING, NOTHING)] if after else out
        match last[0], length[0]:
            case Len(one), Len(other) if one == other:  # it will be square
                stop = shifted(loop.stop, offset)
                least = self.extents.least(stop, ())
                return [*out, Slice(stop, NOTHING, NOTHING)] if least is not None and least >= 0 else None
        return None

    def reads(self, array: str, *stmts: Stmt) -> list[tuple[Stmt, Index]] | None:
        """What statements read of the elements of an array; None where they read it in any other way."""
        found: list[tuple[Stmt, Index]] = []
        for s in walk_stmts(stmts):
            if isinstance(s, Rebind) and array in (*s.targets, *s.sources):
                return None
            for root in expressions(s):
                for e in walk(root):
                    if e == Var(array):
                        return None
                    if isinstance(e, Index) and e.array == array:
                        found.append((s, e))
        return found
