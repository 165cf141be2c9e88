"""A loop with independent trips as functions: one does a part of the trips, one has all lanes do theirs.

Numba compiles the loop over the lanes with threads, in a function that has nothing else; what a lane does is compiled
as every other generated function is.  Nothing may be raised out of the loop over the lanes, where Numba would lose it:
a lane that fails leaves a mark.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ad.function import Options
from ad.ir import (
    NOTHING,
    AddTo,
    Assign,
    Attempt,
    Binary,
    Block,
    Call,
    Const,
    Dtype,
    Expr,
    For,
    Index,
    Items,
    Kind,
    Len,
    MultiAssign,
    Pop,
    Push,
    Rebind,
    Return,
    Slice,
    Stmt,
    Store,
    Var,
    expressions,
    names,
    walk_stmts,
)
from ad.lanes import add_lanes, check_lanes, lane_copies, lane_copy, lane_parts, lane_sum
from ad.primitive import Primitive, primitive
from ad.unit import Unit, effects

__all__ = ["Region", "bound_names", "is_only_added_to"]

_BOOLS = Kind("bool", 1)
_PARTS = Primitive(lane_parts, (), lambda *_: Kind("int64", 2))
_CHECK = Primitive(check_lanes, (), lambda *_: Kind("none"))
_COPIES = Primitive(lane_copies, (), lambda adjoint, _: Kind(adjoint.dtype, adjoint.ndim + 1))
_COPY = Primitive(lane_copy, (), lambda copies, *_: Kind(copies.dtype, copies.ndim - 1))
_SUM = Primitive(lane_sum, (), lambda values: values.scalar)
_ADD = Primitive(add_lanes, (), lambda *_: Kind("none"))


@dataclass(frozen=True)
class Region:
    """Where a loop stands, for the functions that take its place.

    `bounds` are its start, stop and step, `first` and `end` the variables for those of a part of it.  With a `span`
    trips add to elements so far apart: then every lane has two parts, and takes its second one in another turn than the
    first, so that no two that lie next to each other are under way at the same time.
    """

    name: str
    where: str
    bounds: tuple[Expr, Expr, Expr]
    span: int
    first: str
    end: str
    tape: str
    lanes: str
    bits: str
    kinds: dict[str, Kind]
    fresh: Callable[[str, Kind], str]
    names: dict[str, str]
    options: Options
    single: bool

    def own(self, wish: str, kind: Kind) -> str:
        """A name that all regions share."""
        if wish not in self.names:
            self.names[wish] = self.fresh(wish, kind)
        return self.names[wish]

    def sweep(self, part: str, stmts: Sequence[Stmt], sums: Collection[str], copied: Collection[str]) -> list[Stmt]:
        """What takes the place of the loop.

        `stmts` do the part of the trips between `first` and `end`, `part` is what that is called.  They add to the
        numbers `sums` and to the arrays `copied`, of which every lane gets some of its own.
        """
        sums, copied = sorted(sums), sorted(copied)
        found = effects(stmts)
        params = sorted(found.reads - (bound_names(stmts) | {*sums, *copied, self.first, self.end, self.tape}))
        more, before, after = self.sharing(sums, copied)
        chunk = self.chunk(part, stmts, (*params, *copied), sums)
        backward = self.span > 0 and part == "reverse"
        region = self.loop(self.lane(chunk, params, sums, more, self.span > 0 and not backward))
        failed, parts = self.own("failed", _BOOLS), self.own("parts", Kind("int64", 2))
        count: Expr = Binary("*", Const(2), Len(self.lanes)) if self.span else Len(self.lanes)
        before += [
            Assign(failed, self.zeros("bool")),
            Assign(parts, Call(_PARTS, (*self.bounds, count, Const(self.span)))),
        ]
        rest = (Var(self.lanes), Var(failed), *(Var(name) for name in (*params, *more)))
        check = MultiAssign((), Call(_CHECK, (Var(failed),)))
        if not backward:
            return [*before, MultiAssign((), Call(region, (Var(parts), *rest))), check, *after]
        turn = self.own("turn", Kind.INT)
        mine = Index(parts, Slice(Var(turn), NOTHING, Const(2)))
        call = MultiAssign((), Call(region, (mine, *rest)))
        return [*before, For(turn, Const(1), Const(-1), Const(-1), (call, check)), *after]

    def zeros(self, dtype: str) -> Expr:
        """An array with an item for each lane."""
        return Call(primitive(np.zeros), (Len(self.lanes),), (("dtype", Dtype(dtype)),))

    def sharing(self, sums: Sequence[str], copied: Sequence[str]) -> tuple[list[str], list[Stmt], list[Stmt]]:
        """The arrays for what the lanes add up, how they are made, and how they are added up."""
        more: list[str] = []
        before: list[Stmt] = []
        after: list[Stmt] = []
        for name in sums:
            kind = self.kinds[name]
            made = self.fresh(f"{name}_lanes", Kind(kind.dtype, 1))
            more.append(made)
            before.append(Assign(made, self.zeros(kind.dtype)))
            after.append(AddTo(Var(name), Call(_SUM, (Var(made),))))
        for name in copied:
            kind = self.kinds[name]
            made = self.fresh(f"{name}_lanes", Kind(kind.dtype, kind.ndim + 1))
            more.append(made)
            before.append(Assign(made, Call(_COPIES, (Var(name), Len(self.lanes)))))
            after.append(MultiAssign((), Call(_ADD, (Var(name), Var(made)))))
        return more, before, after

    def unit(self, name: str, params: tuple[str, ...], body: Block, doc: str, tape: str | None, parallel: bool) -> Unit:
        more = tape, self.kinds, self.single, self.bits
        return Unit(name, params, body, self.options, doc, *more, parallel=parallel)

    def chunk(self, part: str, stmts: Sequence[Stmt], params: tuple[str, ...], sums: Sequence[str]) -> Unit:
        """The function that does a part of the trips."""
        zeros = [Assign(name, Const(0 if self.kinds[name] is Kind.INT else 0.0)) for name in sums]
        body = (*zeros, *stmts, Return(tuple(Var(name) for name in sums)))
        params = (self.tape, self.first, self.end, *params)
        doc = f"{part.capitalize()} sweep of a part of the trips of {self.where}, on a tape of its own."
        unit = self.unit(f"{self.name}_{part}", params, body, doc, self.tape, False)
        if part == "reverse":
            # The forward sweep has checked the same indices of arrays with the same shapes.  Where adjoints are
            # arguments, the compiler cannot know that: it took 20 % of the likelihood of a mixture.
            unit.options = replace(self.options, boundscheck=False)
        return unit

    def lane(self, chunk: Unit, params: Sequence[str], sums: Sequence[str], more: Sequence[str], both: bool) -> Unit:
        """The function that does the part of a lane, or both of its parts, and leaves a mark where that raises."""
        k, parts, failed = self.own("k", Kind.INT), self.own("parts", Kind("int64", 2)), self.own("failed", _BOOLS)
        turn = self.own("turn", Kind.INT)
        row: Expr = Binary("+", Binary("*", Const(2), Var(k)), Var(turn)) if both else Var(k)
        args = (Index(self.lanes, Var(k)), Var(self.first), Var(self.end), *(Var(name) for name in params))
        copies = [Call(_COPY, (Var(name), Var(k), Len(self.lanes))) for name in more[len(sums) :]]
        steps = (
            *(Assign(end, Index(parts, Items((row, Const(i))))) for i, end in enumerate((self.first, self.end))),
            MultiAssign(tuple(sums), Call(chunk, (*args, *copies))),
            *(Store(kept, Var(k), Var(name), "+") for name, kept in zip(sums, more)),
        )
        if both:
            steps = (For(turn, Const(0), Const(2), Const(1), steps),)
        body = (Attempt(steps, (Store(failed, Var(k), Const(True)),)),)
        all_params = (k, parts, self.lanes, failed, *params, *more)
        return self.unit(f"{chunk.name}_lane", all_params, body, f"What lane {k} does of it.", None, False)

    def loop(self, lane: Unit) -> Unit:
        """The function that has all lanes do their parts."""
        k, own = lane.params[0], lane.params[1:]
        # As the type that it has where Numba compiles the function for its callers: a lane is then compiled once.
        number = Call(primitive(np.int64), (Var(k),))
        call = MultiAssign((), Call(lane, (number, *(Var(name) for name in own))))
        body = (For(k, Const(0), Len(self.lanes), Const(1), (call,), parallel=True),)
        return self.unit(f"{lane.name}s", own, body, "All lanes at the same time.", None, True)


def bound_names(stmts: Sequence[Stmt]) -> set[str]:
    """The names that statements give numbers or arrays to; not the arrays of which they write to parts."""
    return {name for s in walk_stmts(tuple(stmts)) for name in _bound(s)}


def _bound(s: Stmt) -> Iterable[str]:
    match s:
        case Assign(target):
            return (target,)
        case MultiAssign(targets) | Rebind(targets):
            return targets
        case AddTo(Var(name)):
            return (name,)
        case For(var=var):
            return (var,)
        case Pop(targets):
            return [t.name for t in targets if isinstance(t, Var)]
        case Push((Var(name),), exchanged=True):
            return (name,)
    return ()


def is_only_added_to(name: str, stmts: Sequence[Stmt]) -> bool:
    """Whether adding to a variable is all that statements do with it."""
    for s in walk_stmts(tuple(stmts)):
        adds = isinstance(s, AddTo) and s.target == Var(name)
        if name in names(*expressions(s)) or (name in _bound(s) and not adds):
            return False
    return True
