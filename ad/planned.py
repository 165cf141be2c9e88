"""Marked loops for which a planner decides, when they are reached, what is recorded and what is run again.

A loop of n trips becomes two: the first n1 trips in blocks of k, a loop that is run again from snapshots, a block at a
time, and the rest, which is recorded as it goes::

    for first in checkpointed(range(0, n1, k), snapshots=s):
        for i in range(first, first + k): ...
    for i in range(n1, n): ...

So the numbers k, n1 and s say everything: nothing is run again with n1 = 0, and with k = 1 what is on the tape beside
the snapshots is one trip.  Before the loops, some first trips are tried: run, recorded, and reversed with adjoints that
are zero, after which the state is put back.  What this costs, and which numbers follow, `ad.planning` knows: generated
code calls it at each Event.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ad.flow import Liveness
from ad.function import Function
from ad.helpers import ZEROS_LIKE
from ad.ir import (
    AddTo,
    Assign,
    Attempt,
    Binary,
    Block,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    Like,
    MultiAssign,
    Planned,
    Pop,
    Push,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    map_expressions,
    names,
    shape_of,
    substitute,
)
from ad.planning import Event, consult
from ad.primitive import Primitive
from ad.ranges import nth, trips_of
from ad.records import Site
from ad.replays import Replay, leaves_early, quiet
from ad.unit import effects

__all__ = ["can_be_planned", "finished", "loops_planned", "trial"]

_CONSULT = Primitive(consult, (), "int")


def _ask(planned: Planned, event: Event, value: Expr) -> Expr:
    return Call(_CONSULT, (Var(planned.planner), Const(planned.number), Const(event.value), value))


# ----------------------------------------------------------------------------------------------------- which, and how


def _is_open(s: For) -> bool:
    """Whether a loop is marked, nothing said how, and it always runs to its end."""
    return s.checkpoints is not None and s.checkpoints.open and not leaves_early(s.body)


def _outside_of_loops(block: Block) -> Iterator[Stmt]:
    for s in block:
        yield s
        if isinstance(s, If):
            yield from _outside_of_loops((*s.then, *s.orelse))


def can_be_planned(f: Function) -> tuple[For, ...]:
    """The loops that are planned where there is a memory limit: those in no other loop, marked without numbers."""
    return tuple(s for s in _outside_of_loops(f.body) if isinstance(s, For) and _is_open(s))


def loops_planned(f: Function) -> Function:
    """A function whose first parameter is the planner (an address), with such loops as two."""
    namer = f.namer.copy()
    planner = namer.fresh("_planner")
    made = replace(
        f,
        params=(planner, *f.params),
        param_kinds=(Kind.INT, *f.param_kinds),
        kinds={planner: Kind.INT, **f.kinds},
        namer=namer,
    )
    splitting = _Splitting(made, planner)
    made.body = splitting.block(f.body)
    made.called = splitting.called
    return made


class _Splitting:
    def __init__(self, f: Function, planner: str) -> None:
        self.f = f
        self.planner = planner
        self.count = 0
        self.called = dict(f.called)

    def fresh(self, wish: str) -> str:
        name = self.f.namer.fresh(wish)
        self.f.kinds[name] = Kind.INT
        return name

    def block(self, block: Block) -> Block:
        return tuple(new for s in block for new in self.stmt(s))

    def apart(self, s: For) -> Stmt:
        """A loop whose own variables have other names: those that neither a later trip nor what follows reads.

        What follows reads those of the second loop, which always runs.  Names that are given values in one loop alone
        are what many a transformation is for.
        """
        handed_on = Liveness((While(Const(True), s.body),), set()).before[s.body[0]]
        f, new = self.f, {}
        for name in sorted(assigned((s,)) - {n for n in handed_on if n != s.var}):
            new[name] = f.namer.fresh(name)
            f.kinds[new[name]] = f.kinds[name]
            self.called[new[name]] = f.called.get(name, name)
        return _Renamed(new).stmt(s)

    def stmt(self, s: Stmt) -> list[Stmt]:
        if isinstance(s, If):
            return [replace(s, then=self.block(s.then), orelse=self.block(s.orelse))]
        if not (isinstance(s, For) and _is_open(s)):
            return [s]
        assert s.checkpoints is not None
        wishes = "trips", "again", "block", "snapshots", "first", "done"
        trips, again, block, snapshots, first, done = (self.fresh(wish) for wish in wishes)
        planned = Planned(self.planner, self.count, trips, again, block, snapshots)
        self.count += 1

        def assign(name: str, value: Expr) -> Stmt:
            return Assign(name, value, line=s.line, source=s.source)

        changed = assigned((s,))
        changed |= {shape_of(name) for name in changed}
        bounds: list[Stmt] = []
        given = {"start": s.start, "stop": s.stop, "step": s.step}
        for what, bound in given.items():
            if names(bound) & changed:  # it counts as it is before the first of the two loops
                name = self.fresh(f"{s.var}_{what}")
                bounds.append(assign(name, bound))
                given[what] = Var(name)
        marks = s.checkpoints
        s = replace(s, start=given["start"], stop=given["stop"], step=given["step"])

        end = nth(s, Binary("+", Var(first), Var(block)))
        inner = self.apart(replace(s, start=nth(s, Var(first)), stop=end, checkpoints=None, runs=False))
        marks = replace(marks, snapshots=Var(snapshots), open=False, planned=planned)
        outer = For(first, Const(0), Var(again), Var(block), (inner,), checkpoints=marks, line=s.line, source=s.source)
        rest = replace(s, start=nth(s, Var(again)), checkpoints=None, counted=True)
        return [
            *bounds,
            assign(trips, trips_of(s)),
            *numbers(planned, assign),
            outer,
            rest,
            assign(done, _ask(planned, Event.FORWARD, Const(0))),
        ]


def numbers(planned: Planned, assign: Callable[[str, Expr], Stmt]) -> list[Stmt]:
    """What was decided."""
    decided = ((planned.block, Event.BLOCK), (planned.again, Event.AGAIN), (planned.snapshots, Event.SNAPSHOTS))
    return [assign(name, _ask(planned, event, Var(planned.trips))) for name, event in decided]


# ------------------------------------------------------------------------------------------------------------- trials


def trial(
    planned: Planned,
    first: str,
    replay: Replay,
    body: Block,
    recorded: Sequence[Stmt],
    back: Sequence[Stmt],
    adjoints: Mapping[str, str],
    kinds: dict[str, Kind],
    fresh: Callable[[str, Kind], str],
) -> list[Stmt]:
    """Statements that try a block of trips, from the first one on, as often and as long as the planner wants.

    `body` runs a block, from the trip that the variable `first` says, `recorded` does so recording, `back` reverses it;
    `adjoints` maps the names of adjoints to their variables.  Afterwards the state is as before, and the numbers of the
    plan are there.
    """

    def clock(event: Event) -> Stmt:
        return MultiAssign((), _ask(planned, event, Const(0)))

    found = effects(back)
    own = {a: fresh(a, kinds[a]) for a in sorted(adjoints) if a in found.reads | found.writes}
    zeros: list[Stmt] = []
    for a, name in own.items():
        if kinds[a].is_array:
            zeros.append(Assign(name, Call(ZEROS_LIKE, (Var(adjoints[a]),))))
        else:  # a number that the compiler does not know: it would compute with zeros itself
            zeros.append(Assign(name, Cast(kinds[a], _ask(planned, Event.ZERO, Const(0)))))
    back = _Renamed(own).block(tuple(back))
    sums: dict[Kind, list[str]] = {}
    for name in own.values():
        if not kinds[name].is_array:
            sums.setdefault(kinds[name], []).append(name)
    trips = fresh("trips", Kind.INT)
    attempt: list[Stmt] = [
        Assign(planned.block, Var(trips)),
        Assign(first, Const(0)),
        clock(Event.COPYING),
        *replay.pop(),
        *replay.push(),
        clock(Event.COPIED),
        *quiet(body),
        clock(Event.ADVANCED),
        *_used(replay.numbers, fresh),
        *replay.pop(),
        *replay.push(),
        Assign(first, Const(0)),
        clock(Event.RECORDING),
        *quiet(recorded),
        clock(Event.RECORDED),
        *zeros,
        clock(Event.REVERSING),
        *back,
        Assign(trips, _ask(planned, Event.REVERSED, Const(0))),
        *_used(((tuple(summed), kind) for kind, summed in sums.items()), fresh),
    ]
    return [
        MultiAssign((), _ask(planned, Event.REACHED, Var(planned.trips))),
        *replay.push(),
        Assign(trips, _ask(planned, Event.SAVED, Const(0))),
        While(Compare(Var(trips), (">",), (Const(0),)), tuple(attempt)),
        *replay.pop(),
        *numbers(planned, lambda name, value: Assign(name, value)),
        clock(Event.STARTED),
    ]


def finished(planned: Planned) -> Stmt:
    """What follows the reverse sweep of the loops."""
    return MultiAssign((), _ask(planned, Event.BACK, Const(0)))


def _used(groups: Iterable[tuple[tuple[str, ...], Kind]], fresh: Callable[[str, Kind], str]) -> list[Stmt]:
    """Numbers go through the tape, or the compiler would see that nobody reads them, and not compute them."""
    out: list[Stmt] = []
    for group, kind in groups:
        site = Site((), None, snapshot=True)
        out.append(Push(tuple(Var(name) for name in group), kind, site=site))
        out.append(Pop(tuple(Var(fresh("_", kind)) for _ in group), kind, site=site))
    return out


class _Renamed:
    """Generated statements with other names for variables."""

    def __init__(self, new: Mapping[str, str]) -> None:
        self.new = new

    def expr(self, e: Expr) -> Expr:
        return substitute(e, self.change)

    def change(self, e: Expr) -> Expr | None:
        match e:
            case Var(name) if name in self.new:
                return Var(self.new[name], at=e.at)
            case Index(name, index) if name in self.new:
                return Index(self.new[name], self.expr(index), at=e.at)
            case Len(name, axis) if name in self.new:
                return Len(self.new[name], axis, at=e.at)
            case Like(name) if name in self.new:
                return replace(e, array=self.new[name])
        return None

    def place(self, target: Var | Index) -> Var | Index:
        found = self.expr(target)
        assert isinstance(found, Var | Index)
        return found

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.new.get(name, name) for name in names)

    def block(self, block: Block) -> Block:
        return tuple(self.stmt(s) for s in block)

    def stmt(self, s: Stmt) -> Stmt:
        new = map_expressions(s, self.expr)
        match new:
            case Assign(target):
                return replace(new, target=self.new.get(target, target))
            case Store(array):
                return replace(new, array=self.new.get(array, array))
            case AddTo(target):
                return replace(new, target=self.place(target))
            case MultiAssign(targets):
                return replace(new, targets=self.names(targets))
            case Rebind(targets, sources):
                return replace(new, targets=self.names(targets), sources=self.names(sources))
            case Pop(targets):
                return replace(new, targets=tuple(self.place(t) for t in targets))
            case For(var, body=body):
                return replace(new, var=self.new.get(var, var), body=self.block(body))
            case While(body=body):
                return replace(new, body=self.block(body))
            case If(_, then, orelse):
                return replace(new, then=self.block(then), orelse=self.block(orelse))
            case Attempt(body, failed):
                return replace(new, body=self.block(body), failed=self.block(failed))
        return new
