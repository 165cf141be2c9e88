"""Loops marked by `ad.checkpointed` in both sweeps: snapshots of their state, and trips that are run again.

The forward sweep has the loop as it is, and before some trips copies of the state to the tape.  The reverse sweep takes
the newest snapshot, runs the loop's body from there to the last trip that is not reversed, with more snapshots where
places are free, and then the body that records, and that which reverses the trip.  Snapshots are a stack below what
one trip records, so everything lies on the tape of the call: where that has a budget, it takes the oldest snapshots to
disk, which are needed last.

Which trips are stored is decided by the functions of `ad.checkpoint.compiled`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ad.alias import Aliases
from ad.checkpoint.compiled import default_snapshots, following, following_in_stage, stage_end
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
    walk_stmts,
)
from ad.primitive import Primitive
from ad.records import Site

__all__ = ["Counters", "Snapshot", "changed_arrays", "forward_loop", "quiet", "read_again", "reverse_loop", "state_of"]

_DEFAULT, _FOLLOWING, _IN_STAGE, _STAGE_END = (
    Primitive(f, (), "int") for f in (default_snapshots, following, following_in_stage, stage_end)
)
_LEN, _RANGE = (Primitive(f, (), "int") for f in (len, range))

Loop = For | While


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
    """The variables that a trip may change and a later one, or the rest of the same, may read as they were before it."""
    trip = Liveness((While(Const(True), s.body),), set()).before[s.body[0]] if s.body else set()
    own = {s.var} if isinstance(s, For) else set()
    return (trip - own) & (assigned(s.body) | changed_arrays(s, aliases))


# ---------------------------------------------------------------------------------------------------- the statements


@dataclass(frozen=True)
class Snapshot:
    """The variables of a state, by kind as they are pushed, and how they come back.

    Arrays that are `replaced` are new ones then; the contents of the others go where they were.
    """

    groups: tuple[tuple[tuple[str, ...], Kind], ...]
    replaced: frozenset[str]
    sites: tuple[Site, ...]
    at: str
    """The variable with the number of the trip, which is the first of those pushed."""

    def push(self) -> list[Stmt]:
        return [
            Push(tuple(Var(n) for n in group), kind, site=site)
            for (group, kind), site in zip(self.groups, self.sites, strict=True)
        ]

    def pop(self) -> list[Stmt]:
        out: list[Stmt] = []
        for (group, kind), site in zip(reversed(self.groups), reversed(self.sites), strict=True):
            in_place = kind.is_array and group[0] not in self.replaced
            targets = (Index(group[0], WHOLE_AXIS),) if in_place else tuple(Var(n) for n in group)
            out.append(Pop(targets, kind, site=site))
        return out

    def drop(self, nothing: dict[str, str]) -> list[Stmt]:
        """Take it off the tape, into variables that nobody reads."""
        return [
            Pop(tuple(Var(nothing[n]) for n in group), kind, site=site)
            for (group, kind), site in zip(reversed(self.groups), reversed(self.sites), strict=True)
        ]


@dataclass(frozen=True)
class Counters:
    """The variables of a loop: trips so far, the next one to store, snapshots on the tape, places for them.

    `end` is that of a stage, where the number of trips is not known.
    """

    at: str
    due: str
    held: str
    places: str
    trips: str
    end: str

    @property
    def free(self) -> Expr:
        """The places above the newest snapshot, and its own."""
        return Binary("+", Binary("-", Var(self.places), Var(self.held)), Const(1))


def _set(name: str, value: Expr) -> Stmt:
    return Assign(name, value)


def _more(name: str) -> Stmt:
    return Assign(name, Binary("+", Var(name), Const(1)))


def _less(name: str) -> Stmt:
    return Assign(name, Binary("-", Var(name), Const(1)))


def _if(left: Expr, op: str, right: Expr, then: Sequence[Stmt], orelse: Sequence[Stmt] = ()) -> Stmt:
    return If(Compare(left, (op,), (right,)), tuple(then), tuple(orelse))


def forward_loop(s: Loop, c: Counters, snapshot: Snapshot, body: Block, nothing: dict[str, str]) -> list[Stmt]:
    """The loop with its snapshots; at the end come the numbers that the reverse sweep begins with.

    `body` is that of the loop in generated code; snapshots that are given up go to the variables `nothing`.
    """
    assert s.checkpoints is not None
    given, period = s.checkpoints.snapshots, s.checkpoints.period
    start = [_set(name, Const(0)) for name in (c.held, c.due, c.at)]
    due: Expr
    early: list[Stmt] = []
    last: list[Stmt] = []
    if s.checkpoints.schedule == "binomial":
        assert isinstance(s, For)
        count = Call(_LEN, (Call(_RANGE, (s.start, s.stop, s.step)),))
        start += [_set(c.end, count), _set(c.places, given or Call(_DEFAULT, (Var(c.end),)))]
        due = Call(_FOLLOWING, (Var(c.at), Var(c.end), c.free))
    elif s.checkpoints.schedule == "periodic":
        assert period is not None
        due = Binary("+", Var(c.at), period)
        # Between two of these there are so many places, that of the first one included.
        last = [_set(c.places, Binary("-", Binary("+", Var(c.held), given or period), Const(1)))]
    elif given is None:
        # One trip more between two snapshots each time: all states between the last two find place once more.
        due = Binary("+", Var(c.at), Var(c.held))
        last = [_set(c.places, Binary("*", Const(2), Var(c.held)))]
    else:
        start += [_set(c.end, Const(0)), _set(c.places, given)]
        drop = (*snapshot.drop(nothing), _less(c.held))
        again = While(Compare(Var(c.held), (">",), (Const(1),)), drop)
        early = [_if(Var(c.at), "==", Var(c.end), [again, _set(c.end, Call(_STAGE_END, (Var(c.at), Var(c.places))))])]
        due = Call(_IN_STAGE, (Var(c.at), Var(c.end), c.free))
    store = [*early, *snapshot.push(), _more(c.held), _set(c.due, due)]
    inside = (_if(Var(c.at), "==", Var(c.due), store), _more(c.at), *body)
    loop = replace(s, body=inside)
    return [*start, loop, *last, Push((Var(c.at), Var(c.held), Var(c.places)), Kind.INT, site=snapshot.sites[0])]


def reverse_loop(
    s: Loop, c: Counters, snapshot: Snapshot, body: Block, recorded: Sequence[Stmt], back: Sequence[Stmt]
) -> list[Stmt]:
    """The reverse sweep: `body` runs a trip again, `recorded` does so for the last time, `back` reverses it."""

    def variable(trip: str) -> list[Stmt]:
        if not isinstance(s, For):
            return []
        steps = Var(trip) if s.step == Const(1) else Binary("*", Var(trip), s.step)
        return [_set(s.var, steps if s.start == Const(0) else Binary("+", s.start, steps))]

    due = _set(c.due, Call(_FOLLOWING, (Var(c.at), Binary("+", Var(c.trips), Const(1)), c.free)))
    keep = [*snapshot.push(), due]
    store = [*snapshot.push(), _more(c.held), due]
    advance = (_if(Var(c.at), "==", Var(c.due), store), *variable(c.at), *quiet(body), _more(c.at))
    trip = (
        _less(c.trips),
        *snapshot.pop(),
        _if(Var(c.at), "<", Var(c.trips), keep, [_less(c.held)]),
        While(Compare(Var(c.at), ("<",), (Var(c.trips),)), advance),
        *variable(c.trips),
        *quiet(recorded),
        *back,
    )
    begin = Pop((Var(c.trips), Var(c.held), Var(c.places)), Kind.INT, site=snapshot.sites[0])
    return [begin, While(Compare(Var(c.trips), (">",), (Const(0),)), trip)]


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
