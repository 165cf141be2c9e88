"""Loops marked by `ad.checkpointed` in both sweeps: snapshots of their state, and trips that are run again.

The forward sweep has the loop as it is, and before some trips copies of the state to the tape.  The reverse sweep takes
the newest snapshot, runs the loop's body from there to the last trip that is not reversed, with more snapshots where
places are free, and then the body that records, and that which reverses the trip.  Snapshots are a stack below what
one trip records, so everything lies on the tape of the call: where that has a budget, it takes the oldest snapshots to
disk, which are needed last.

Which trips are stored is decided by the functions of `ad.checkpoint.compiled`, or by a table that was made in Python
(`ad.scheduling`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Never

from ad.alias import Aliases
from ad.checkpoint.compiled import default_snapshots, following, following_in_stage, stage_end
from ad.counting import AGAIN, FORWARD, REVERSED, Counted
from ad.extents import assigned_names
from ad.flow import Liveness
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    Break,
    Call,
    Compare,
    Const,
    Do,
    Expr,
    For,
    If,
    Index,
    Kind,
    Place,
    Pop,
    Push,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    expressions,
    names,
    shape_of,
    walk_stmts,
)
from ad.lower import Lowered
from ad.primitive import Primitive
from ad.ranges import nth, trips_of
from ad.records import Record, Site
from ad.scheduling import orders
from ad.source import Source

__all__ = ["Replay", "changed_arrays", "leaves_early", "quiet", "read_again", "state_of"]

_DEFAULT, _FOLLOWING, _IN_STAGE, _STAGE_END = (
    Primitive(f, (), "int") for f in (default_snapshots, following, following_in_stage, stage_end)
)
_ORDERS = Primitive(orders, (), lambda *_: Kind.INTS)

_SHAPE = shape_of("")

Loop = For | While
Group = tuple[tuple[str, ...], Kind]


# ------------------------------------------------------------------------------------------------- what is the state


def changed_arrays(s: Loop, aliases: Aliases) -> set[str]:
    """The shared arrays whose contents a loop may change, or whose names it gives to others."""
    found: set[str] = set()
    for part in walk_stmts((s,)):
        match part:
            case Store(array=array):
                found |= aliases.before[part].sharing(array)
            case Assign(target) if target in aliases.shared:
                found.add(target)
            case Rebind(targets):
                found |= set(targets)
    return found


def read_again(s: Loop) -> set[str]:
    """What the trips of a loop read, by name; of what is written to, the array."""
    found: set[str] = set()
    for part in walk_stmts(s.body):
        found |= names(*expressions(part))
        if isinstance(part, Store):
            found.add(part.array)
        elif isinstance(part, Rebind):
            found |= set(part.sources)
    return found


def state_of(s: Loop, aliases: Aliases) -> set[str]:
    """The variables that a trip may change, and may read before that, or a later one may."""
    trip = Liveness((While(Const(True), s.body),), set()).before[s.body[0]]
    own = {s.var} if isinstance(s, For) else set()
    return (trip - own) & (assigned(s.body) | changed_arrays(s, aliases))


# ------------------------------------------------------------------------------------------------------- both sweeps


def _needs(saves: Mapping[str, frozenset[Stmt]], name: str) -> frozenset[Stmt]:
    """The statements whose adjoints read an array, or its shape."""
    return saves.get(name, frozenset()) | saves.get(shape_of(name), frozenset())


def _set(name: str, value: Expr) -> Stmt:
    return Assign(name, value)


def _more(name: str) -> Stmt:
    return Assign(name, Binary("+", Var(name), Const(1)))


def _less(name: str) -> Stmt:
    return Assign(name, Binary("-", Var(name), Const(1)))


def _if(left: Expr, op: str, right: Expr, then: Sequence[Stmt], orelse: Sequence[Stmt] = ()) -> Stmt:
    return If(Compare(left, (op,), (right,)), tuple(then), tuple(orelse))


class Replay:
    """One marked loop.

    `saves` are arrays to be put back as they were before it, `wanted` what others read as it was then.  `fresh` makes
    variables, `by_kind` sorts names by how they are pushed, `shown` says what the user calls two arrays.  A schedule
    that is computed has a `number`; what is `counted` are the trips, where somebody looks on.

    Raises UnsupportedSyntax where an array that the reverse sweep would have another memory for has two names.
    """

    def __init__(
        self,
        s: Loop,
        lowered: Lowered,
        saves: Mapping[str, frozenset[Stmt]],
        wanted: Collection[str],
        split: bool,
        kinds: dict[str, Kind],
        fresh: Callable[[str, Kind], str],
        by_kind: Callable[[Iterable[str]], list[Group]],
        shown: Callable[[str, str], tuple[str, str]],
        number: int | None,
        counted: Counted | None = None,
    ) -> None:
        assert s.checkpoints is not None
        self.counted = counted
        self.s = s
        self.checkpoints = s.checkpoints
        self.lowered = lowered
        self.aliases = lowered.aliases
        self.split = split
        self.kinds = kinds
        self.number = number
        arrays = sorted({v.removesuffix(_SHAPE) for v in saves})
        self.kept = [(name, Site((Record(name, _needs(saves, name), s),), s)) for name in arrays]
        """The arrays whose contents earlier adjoints read as they are before the loop."""
        self.site = Site((), s, snapshot=True)
        # Trips so far, the next one to store, snapshots on the tape (or how far a table was read), and places for them;
        # the trips there are in all; and the end of a stage, where that is not known.
        held = "held" if number is None else "order"
        self.at, self.due, self.held, self.places, self.trips, self.end = (
            fresh(wish, Kind.INT) for wish in ("at", "due", held, "places", "trips", "end")
        )
        if number is not None:
            self.disk, self.table = fresh("disk", Kind.INT), fresh("table", Kind.INTS)
        self.state = state_of(s, self.aliases)
        groups = by_kind(self.state)
        ints = next((group for group, kind in groups if kind is Kind.INT), ())
        self.groups = [((self.at, *ints), Kind.INT), *(g for g in groups if g[1] is not Kind.INT)]
        self.nothing = {n: fresh("_", kinds[n]) for group, _ in self.groups for n in group} if self.drops else {}
        self.replaced = {n for n in changed_arrays(s, self.aliases) if not self.stays(n)}
        for name in sorted(self.replaced):
            for there in (self.aliases.before[s], self.aliases.before[s.body[0]]):
                others = (there.sharing(name) - {name}).intersection(wanted)
                if others:
                    self.refuse_sharing(name, min(others), shown)

    @property
    def drops(self) -> bool:
        """Whether the forward sweep gives snapshots up."""
        marks = self.checkpoints
        return marks.schedule == "online" and marks.computed is None and marks.snapshots is not None

    # ------------------------------------------------------------------------------------------------- arrays

    def stays(self, name: str) -> bool:
        """Whether a name stands for the same array in both sweeps."""
        return self.has_memory(name) and name not in assigned_names(self.s)

    def has_memory(self, name: str) -> bool:
        """Whether there is memory behind a name in the reverse sweep too, and not only a shape, or nothing."""
        loops = [p for path in self.aliases.paths[name] for p in path if isinstance(p, For | While)]
        return not self.split and all(p.checkpoints is not None for p in loops)

    def is_own(self, name: str) -> bool:
        """Whether a name never stands for an array of the caller's."""
        return self.lowered.activity.shared[name].isdisjoint(self.lowered.function.params)

    def refuse_sharing(self, name: str, other: str, shown: Callable[[str, str], tuple[str, str]]) -> Never:
        source: Source = self.s.source or self.lowered.function.source
        who, one = shown(name, other)
        source.refuse(
            f"{who} may share memory, and a loop that runs again from snapshots gives one of them another array: give "
            f"{one} a copy, {one}.copy(), or take ad.checkpointed off",
            Place(self.s.line),
        )

    # ---------------------------------------------------------------------------------------------- snapshots

    def push(self) -> list[Stmt]:
        return [Push(tuple(Var(n) for n in group), kind, site=self.site) for group, kind in self.groups]

    def pop(self) -> list[Stmt]:
        return [self.restored(group, kind, self.site) for group, kind in reversed(self.groups)]

    def restored(self, group: tuple[str, ...], kind: Kind, site: Site) -> Stmt:
        """Variables as they were: arrays in the memory that they have, where that is sure to be theirs alone."""
        name = group[0]
        if not kind.is_array or name not in self.aliases.shared:
            return Pop(tuple(Var(n) for n in group), kind, site=site)
        if name not in self.replaced:
            return Pop((Index(name, WHOLE_AXIS),), kind, site=site)
        return Pop((Var(name),), kind, site=site, refilled=self.has_memory(name) and self.is_own(name))

    def drop(self) -> list[Stmt]:
        """Take a snapshot off the tape, into variables that nobody reads."""
        return [
            Pop(tuple(Var(self.nothing[n]) for n in group), kind, site=self.site)
            for group, kind in reversed(self.groups)
        ]

    @property
    def numbers(self) -> list[Group]:
        """The variables in a snapshot that are numbers."""
        return [(group, kind) for group, kind in self.groups if not kind.is_array]

    def following(self, schedule: Primitive, end: Expr) -> Stmt:
        free = Binary("+", Binary("-", Var(self.places), Var(self.held)), Const(1))
        return _set(self.due, Call(schedule, (Var(self.at), end, free)))

    @property
    def read(self) -> Stmt:
        """The next step to store, by the table."""
        return _set(self.due, Index(self.table, Var(self.held)))

    def ask(self, trips: Expr) -> Stmt:
        """The table of the schedule."""
        return _set(self.table, Call(_ORDERS, (Const(self.number), trips, Var(self.places), Var(self.disk))))

    # ------------------------------------------------------------------------------------------------- counts

    def count(self, what: int) -> list[Stmt]:
        return [] if self.counted is None else [self.counted.add(what)]

    def expected(self) -> tuple[list[Stmt], list[Stmt]]:
        """What says, before and after the forward sweep, how many trips there are."""
        if self.counted is None:
            return [], []
        s = self.s
        trips: Expr | None = None
        if self.number is not None or self.checkpoints.schedule == "binomial":
            trips = Var(self.end)
        elif isinstance(s, For) and self.checkpoints.schedule == "periodic":
            trips = trips_of(s)
        own = Var(self.end), Var(self.at), Var(self.held), Var(self.places)
        table = None if self.number is None else Var(self.table)
        return self.counted.expected(self.checkpoints, table, trips, *own, leaves_early(s.body))

    # ------------------------------------------------------------------------------------------------- sweeps

    def forward(self, body: Block, planning: Sequence[Stmt] = ()) -> list[Stmt]:
        """The loop, whose body is `body` in generated code, with its snapshots; `planning` gives it its numbers.

        At the end come the numbers that the reverse sweep begins with.
        """
        s, given, period = self.s, self.checkpoints.snapshots, self.checkpoints.period
        saved = [Push((Var(name),), self.kinds[name], site=site) for name, site in self.kept]
        start = [*(_set(name, Const(0)) for name in (self.held, self.due, self.at)), *planning]
        early: list[Stmt] = []
        last: list[Stmt] = []
        if self.number is not None or self.checkpoints.schedule == "binomial":
            assert isinstance(s, For)
            start += [_set(self.end, trips_of(s)), _set(self.places, given or Call(_DEFAULT, (Var(self.end),)))]
            if self.number is None:
                due = self.following(_FOLLOWING, Var(self.end))
            else:
                due = self.read
                start += [_set(self.disk, self.checkpoints.disk or Const(-1)), self.ask(Var(self.end)), self.read]
        elif self.checkpoints.schedule == "periodic":
            assert period is not None
            due = _set(self.due, Binary("+", Var(self.at), period))
            # Between two of these there are so many places, that of the first one included.
            last = [_set(self.places, Binary("-", Binary("+", Var(self.held), given or period), Const(1)))]
        elif given is None:
            # One trip more between two snapshots each time: all states between the last two find place once more.
            due = _set(self.due, Binary("+", Var(self.at), Var(self.held)))
            last = [_set(self.places, Binary("*", Const(2), Var(self.held)))]
        else:
            start += [_set(self.end, Const(0)), _set(self.places, given)]
            dropping = While(Compare(Var(self.held), (">",), (Const(1),)), (*self.drop(), _less(self.held)))
            stage = _set(self.end, Call(_STAGE_END, (Var(self.at), Var(self.places))))
            early = [_if(Var(self.at), "==", Var(self.end), [dropping, stage])]
            due = self.following(_IN_STAGE, Var(self.end))
        store = [*early, *self.push(), _more(self.held), due]
        trip = (_if(Var(self.at), "==", Var(self.due), store), _more(self.at), *self.count(FORWARD), *body)
        self.loop = replace(s, body=trip)
        numbers = Push((Var(self.at), *self.handed_on), Kind.INT, site=self.site)
        before, after = self.expected()
        return [*saved, *start, *before, self.loop, *last, *after, numbers]

    @property
    def handed_on(self) -> tuple[Var, ...]:
        """What the reverse sweep has from the forward sweep, beside the trips."""
        return (Var(self.held), Var(self.places), *((Var(self.disk),) if self.number is not None else ()))

    def reverse(self, body: Block, recorded: Sequence[Stmt], back: Sequence[Stmt]) -> list[Stmt]:
        """The reverse sweep: `body` runs a trip again, `recorded` does so for the last time, `back` reverses it."""
        if self.number is None:
            due = self.following(_FOLLOWING, Binary("+", Var(self.trips), Const(1)))
            kept = [_if(Var(self.at), "<", Var(self.trips), [*self.push(), due], [_less(self.held)])]
            asked = []
        else:  # what has to stay is the first to be stored
            due = self.read
            kept = [_more(self.held), due]
            asked = [self.ask(Var(self.trips))]
        store = [*self.push(), _more(self.held), due]
        advance = (
            _if(Var(self.at), "==", Var(self.due), store),
            *self.variable(self.at),
            *quiet(body),
            _more(self.at),
            *self.count(AGAIN),
        )
        trip = (
            _less(self.trips),
            *self.pop(),
            *kept,
            While(Compare(Var(self.at), ("<",), (Var(self.trips),)), advance),
            *self.variable(self.trips),
            *quiet(recorded),
            *back,
            *self.count(REVERSED),
        )
        numbers = Pop((Var(self.trips), *self.handed_on), Kind.INT, site=self.site)
        loop = While(Compare(Var(self.trips), (">",), (Const(0),)), trip)
        saved = [self.restored((name,), self.kinds[name], site) for name, site in reversed(self.kept)]
        return [numbers, *asked, loop, *saved]

    def variable(self, trip: str) -> list[Stmt]:
        """The variable of the loop in a trip."""
        return [_set(self.s.var, nth(self.s, Var(trip)))] if isinstance(self.s, For) else []


def leaves_early(block: Block) -> bool:
    """Whether a loop with this body may be left before its last trip."""
    return any(isinstance(s, Break) or (isinstance(s, If) and leaves_early((*s.then, *s.orelse))) for s in block)


def quiet(block: Sequence[Stmt]) -> Block:
    """A trip that is run again: it prints nothing, and leaves no loop."""

    def kept(stmts: Sequence[Stmt], own: bool) -> Iterator[Stmt]:
        for s in stmts:
            match s:
                case Do():
                    continue
                case Break() if own:
                    continue
                case For(body=body) | While(body=body):
                    yield replace(s, body=tuple(kept(body, False)))
                case If(_, then, orelse):
                    yield replace(s, then=tuple(kept(then, own)), orelse=tuple(kept(orelse, own)))
                case _:
                    yield s

    return tuple(kept(block, True))
