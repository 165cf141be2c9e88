"""Loops over ``prange``: what makes their trips independent of one another, and the form in which they run in lanes.

The trips of such a loop run at the same time, so nothing may pass from one to another.  Of what a trip writes

* a variable is *private*: a trip gives it a value before it reads it, and nothing reads it after the loop;
* or it is a *sum*: ``s += ...`` and ``s -= ...`` is all that is done with it;
* an array from outside is written, and read, in the trip's own *row* alone: at an index of which one axis is the
  variable of the loop.

What is only read may be read anywhere.  A loop of which that cannot be shown is refused, as any order of its trips
could give another result.  An index that is the variable of the loop means one row for each trip as long as it is not
below zero: that is looked at when the loop runs (`ad.lanes.lane_range`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from ad.alias import Aliases, shared_arrays, viewed
from ad.flow import Liveness, never_empty, raises
from ad.function import Function
from ad.ir import (
    Assign,
    Binary,
    Block,
    Break,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Marker,
    Place,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    expressions,
    names,
    parts_of,
    shape_of,
    walk,
    walk_stmts,
)
from ad.names import Namer
from ad.source import Source
from ad.trips import offset_of
from ad.webs import rename_arrays

__all__ = ["Roles", "is_parallel", "parallelised", "roles"]

_USE_RANGE = "or take range"


@dataclass(frozen=True)
class Roles:
    """How the variables of a loop take part in it.

    `private` belong to a trip, `sums` are added to by all of them, of `rows` every trip touches its own row alone, and
    the arrays `shared` are read anywhere; of those that are `near` rows with numbers between two added to the trip's
    own.  `problems` are the reasons why the loop is not parallel, each with the statement that it is about.
    """

    private: frozenset[str]
    sums: frozenset[str]
    rows: frozenset[str]
    shared: frozenset[str]
    near: Mapping[str, tuple[int, int]]
    problems: tuple[tuple[Stmt, str], ...]


def is_parallel(body: Block) -> bool:
    """Whether there is a loop over ``prange``."""
    return any(isinstance(s, For) and s.parallel for s in walk_stmts(body))


def parallelised(
    body: Block,
    kinds: dict[str, Kind],
    params: Sequence[str],
    result: str,
    namer: Namer,
    source: Source,
    called: dict[str, str],
) -> Block:
    """The body of a function with its loops over ``prange`` in a form for lanes.

    What is private to a trip gets a name that occurs in the loop alone, and sums begin at zero before the loop and are
    added to their variables after it.  Such a loop inside of another one is a plain one, as it is for Numba.

    Raises UnsupportedSyntax for a loop that cannot be shown to be parallel.
    """
    if not is_parallel(body):
        return body
    return _Rewriting(body, kinds, frozenset(params), result, namer, source, called).block(body)


class _Rewriting:
    def __init__(
        self,
        body: Block,
        kinds: dict[str, Kind],
        params: frozenset[str],
        result: str,
        namer: Namer,
        source: Source,
        called: dict[str, str],
    ) -> None:
        self.body = body
        self.kinds = kinds
        self.params = params
        self.namer = namer
        self.source = source
        self.called = called
        self.live = Liveness(body, {result})
        self.aliases = Aliases(body, kinds, shared_arrays(body, kinds))

    def block(self, block: Block) -> Block:
        return tuple(new for s in block for new in self.stmt(s))

    def stmt(self, s: Stmt) -> list[Stmt]:
        match s:
            case For(parallel=True):
                return self.loop(s)
            case For(body=body) | While(body=body):
                return [replace(s, body=self.block(body))]
            case If(_, then, orelse):
                return [replace(s, then=self.block(then), orelse=self.block(orelse))]
        return [s]

    def loop(self, s: For) -> list[Stmt]:
        found = roles(s, self.kinds, self.aliases.before[s].may_share, self.shown)
        for at, problem in found.problems:
            self.refuse(at, problem)
        for name in sorted(found.private & self.live.after[s]):
            self.refuse(
                s,
                f"{self.shown(name)} is read after the prange loop that gives it a value in every trip: only sums "
                f"(+= and -=) come out of one; write to a row of an array, {_USE_RANGE}",
            )
        before: list[Stmt] = []
        after: list[Stmt] = []
        new: dict[str, str] = {}
        for name in sorted(found.sums):
            total = new[name] = self.fresh(name, f"{name}_sum")
            before.append(Assign(total, _zero(self.kinds[name]), line=s.line, source=s.source))
            after.append(Assign(name, Binary("+", Var(name), Var(total)), line=s.line, source=s.source))
        outside = self.params | _occurring(self.body, s)
        for name in sorted(found.private & outside):
            new[name] = self.fresh(name, name)
        [renamed] = rename_arrays((replace(s, body=_serial(s.body)),), new)
        return [*before, renamed, *after]

    def shown(self, name: str) -> str:
        return self.called.get(name, name)

    def fresh(self, name: str, wish: str) -> str:
        made = self.namer.fresh(wish)
        self.kinds[made] = self.kinds[name]
        self.called[made] = self.shown(name)
        return made

    def refuse(self, s: Stmt, problem: str) -> None:
        source: Source = s.source or self.source
        source.refuse(problem, Place(s.line))


def _zero(kind: Kind) -> Expr:
    if kind in (Kind.INT, Kind.FLOAT):
        return Const(0 if kind is Kind.INT else 0.0)
    return Cast(kind, Const(0.0))


def _serial(block: Block) -> Block:
    """A block with the loops over ``prange`` in it as plain ones."""
    out: list[Stmt] = []
    for s in block:
        match s:
            case For(body=body):
                s = replace(s, body=_serial(body), parallel=False)
            case While(body=body):
                s = replace(s, body=_serial(body))
            case If(_, then, orelse):
                s = replace(s, then=_serial(then), orelse=_serial(orelse))
        out.append(s)
    return tuple(out)


def _occurring(block: Block, apart: Stmt) -> set[str]:
    """The names that occur in a block, one of its statements left out."""
    found: set[str] = set()
    for s in block:
        if s is apart:
            continue
        own = names(*expressions(s))
        found |= own | {n.removesuffix(shape_of("")) for n in own} | assigned((_alone(s),))
        found |= _occurring(parts_of(s), apart)
    return found


def _alone(s: Stmt) -> Stmt:
    """A statement without those in it."""
    match s:
        case For() | While():
            return replace(s, body=())
        case If():
            return replace(s, then=(), orelse=())
    return s


# --------------------------------------------------------------------------------------------------- the analysis


def roles(
    s: For, kinds: Mapping[str, Kind], share: Callable[[str, str], bool], shown: Callable[[str], str] = str
) -> Roles:
    """How the variables of a loop take part in it.

    `share` says which arrays from outside may share memory, `shown` what the user calls a variable.
    """
    found = _Analysis(s, dict(kinds), share, shown)
    # Of arrays that may share memory, rows of one number may not be the same memory.
    alone = {a for a in found.outside if not any(share(a, b) for b in found.outside - {a})}
    rows = found.rows & alone
    near = {name: found.near(name) for name in alone - rows}
    return Roles(
        frozenset({*found.private, s.var}),
        frozenset(found.sums),
        frozenset(rows),
        frozenset(found.outside - rows),
        {name: offsets for name, offsets in near.items() if offsets is not None},
        tuple(found.problems),
    )


_Axes = Mapping[int, tuple[int, int]]
"""The axes along which something moves with the loop: the least and the most that is added to its variable there."""


def _joined(a: _Axes, b: _Axes) -> _Axes:
    return {k: (min(a[k][0], b[k][0]), max(a[k][1], b[k][1])) for k in a.keys() & b.keys()}


@dataclass
class _Access:
    """An access to an array from outside."""

    at: Stmt
    axes: _Axes
    writes: bool

    @property
    def own(self) -> set[int]:
        """The axes along which it stays in the row of the trip."""
        return {k for k, near in self.axes.items() if near == (0, 0)}


@dataclass
class _Analysis:
    s: For
    kinds: dict[str, Kind]
    share: Callable[[str, str], bool]
    shown: Callable[[str], str]
    problems: list[tuple[Stmt, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bound = {n for s in walk_stmts(self.s.body) for n in _bound(s)}
        self.carried: dict[str, Stmt] = {}
        self.exposed(self.s.body, {self.s.var}, self.s)
        self.sums = {name for name in self.carried if self.is_sum(name)}
        self.private = self.bound - self.sums
        for at in _leaving(self.s.body):  # the first ones, as flags carry them
            self.problem(
                at, f"break and return cannot end the other trips of a prange loop: leave them out, {_USE_RANGE}"
            )
        for at, schedule in _computed(self.s.body):
            self.problem(
                at,
                f"{schedule} is computed in Python, for which the trips of a prange loop cannot ask: take "
                f'schedule="binomial" there, {_USE_RANGE}',
            )
        for name in sorted(self.carried.keys() - self.sums):
            self.refuse_carried(name)
        self.reach: dict[str, dict[str, _Axes]] = {}
        """What private arrays are views of, and how these move with the loop."""
        self.find_views()
        self.accesses: dict[str, list[_Access]] = {}
        for s in walk_stmts(self.s.body):
            self.find_accesses(s)
        self.outside = set(self.accesses)
        self.rows = {name for name in self.outside if set.intersection(*(a.own for a in self.accesses[name]))}
        self.check_writes()

    def problem(self, at: Stmt, text: str) -> None:
        self.problems.append((at, text))

    # --------------------------------------------------------------------------------- variables of a trip

    def exposed(self, block: Block, known: set[str], at: Stmt) -> set[str]:
        """Note what a block reads that a trip may not have given a value; what has one after it."""
        for s in block:
            for name in {n.removesuffix(shape_of("")) for n in names(*expressions(s))} - known:
                if name in self.bound:
                    self.carried.setdefault(name, s)
            match s:
                case Assign(target):
                    known = known | {target}
                case Rebind(targets, sources):
                    for name in set(sources) - known:
                        self.carried.setdefault(name, s)
                    known = known | set(targets)
                case Store(array=array) if array in self.bound and array not in known:
                    self.carried.setdefault(array, s)
                case For(var=var, body=body):
                    inside = self.exposed(body, known | {var}, s)
                    known = inside if never_empty(s) else known
                case While(cond, body):
                    inside = self.exposed(body, known, s)
                    known = inside if isinstance(cond, Const) and cond.value else known
                case If(_, then, orelse):
                    a, b = self.exposed(then, known, s), self.exposed(orelse, known, s)
                    known = b if raises(then) else a if raises(orelse) else a & b
        return known

    def is_sum(self, name: str) -> bool:
        """Whether adding to a number, or subtracting from it, is all that the loop does with it."""
        if self.kinds[name].is_array or self.kinds[name] is Kind.BOOL:
            return False
        for s in walk_stmts(self.s.body):
            reads = names(*expressions(s))
            match s:
                case Assign(target, value) if target == name:
                    if _added(name, value) is None:
                        return False
                case For(var=var) if var == name:
                    return False
                case _ if name in reads:
                    return False
        return True

    def refuse_carried(self, name: str) -> None:
        at, shown = self.carried[name], self.shown(name)
        if self.kinds[name].is_array:
            self.problem(
                at,
                f"the trips of a prange loop give {shown} another array and read what an earlier trip left in it: make "
                f"the array within the trip, {_USE_RANGE}",
            )
            return
        self.problem(
            at,
            f"{shown} carries a value from one trip of the prange loop to another: only sums (+= and -=, and no other "
            f"use of the variable) may; give it a value at the start of every trip, {_USE_RANGE}",
        )

    # ------------------------------------------------------------------------------- arrays from outside

    def find_views(self) -> None:
        """What the private arrays may be views of, until nothing is added."""
        while True:
            before = {name: dict(roots) for name, roots in self.reach.items()}
            for s in walk_stmts(self.s.body):
                match s:
                    case Assign(target, value) if (base := viewed(value, self.kinds)) is not None:
                        self.reaches(target, self.seen(base, value))
                    case Rebind(targets, sources):
                        for target, source in zip(targets, sources, strict=True):
                            self.reaches(target, self.reach.get(source, {}))
            if self.reach == before:
                return

    def reaches(self, name: str, roots: Mapping[str, _Axes]) -> None:
        own = self.reach.setdefault(name, {})
        for root, axes in roots.items():
            own[root] = _joined(own.get(root, axes), axes)

    def seen(self, base: str, value: Expr) -> Mapping[str, _Axes]:
        """What a view made of `base` shows of arrays from outside."""
        if base in self.bound:
            return self.reach.get(base, {})
        return {base: self.axes(value.index) if isinstance(value, Index) else {}}

    def axes(self, index: Expr) -> _Axes:
        """How an index moves with the loop."""
        parts = index.parts if isinstance(index, Items) else (index,)
        counted = next((k for k, p in enumerate(parts) if isinstance(p, Marker) and p.text), len(parts))
        offsets = {k: offset_of(p, self.s.var) for k, p in enumerate(parts[:counted])}
        return {k: (offset, offset) for k, offset in offsets.items() if offset is not None}

    def find_accesses(self, s: Stmt) -> None:
        if isinstance(s, Store):
            self.access(s, s.array, s.index, True)
        for root in expressions(s):
            for e in walk(root):
                match e:
                    case Index(array, index):
                        self.access(s, array, index, False)
                    case Var(name) if name in self.kinds and self.kinds[name].is_array:
                        self.access(s, name, None, False)

    def access(self, s: Stmt, array: str, index: Expr | None, writes: bool) -> None:
        if array not in self.bound:
            axes = self.axes(index) if index is not None else {}
            self.accesses.setdefault(array, []).append(_Access(s, axes, writes))
            return
        for root, axes in self.reach.get(array, {}).items():
            self.accesses.setdefault(root, []).append(_Access(s, axes, writes))

    def near(self, array: str) -> tuple[int, int] | None:
        """The least and the most that is added to the variable of the loop in all accesses to an array."""
        found = reduce(_joined, (access.axes for access in self.accesses[array]))
        return min(found.values(), key=lambda near: near[1] - near[0], default=None)

    def check_writes(self) -> None:
        for array, accesses in sorted(self.accesses.items()):
            writes = [access for access in accesses if access.writes]
            if not writes:
                continue
            shown, i = self.shown(array), self.shown(self.s.var)
            if array not in self.rows:
                self.refuse_accesses(array, writes, accesses)
            for other in sorted(self.outside - {array}):
                if self.share(array, other):
                    self.problem(
                        writes[0].at,
                        f"{shown} is written to in a prange loop that uses {self.shown(other)}, and these may share "
                        f"memory: use one name with the index [{i}], a copy, {_USE_RANGE}",
                    )

    def refuse_accesses(self, array: str, writes: list[_Access], accesses: list[_Access]) -> None:
        shown, i = self.shown(array), self.shown(self.s.var)
        common = set.intersection(*(w.own for w in writes))
        if not common:
            at = next((w for w in writes if not w.own), writes[-1]).at
            adds = isinstance(at, Store) and at.op
            advice = f"add up numbers, or give each trip a row {shown}[{i}]" if adds else f"write to {shown}[{i}] alone"
            self.problem(
                at,
                f"the trips of a prange loop may write to the same elements of {shown} here, whose index is not the "
                f"loop variable {i}: {advice}, {_USE_RANGE}",
            )
            return
        read = next(a for a in accesses if not a.own & common)
        self.problem(
            read.at,
            f"{shown} is written to in the prange loop, and here a trip may read what another one writes: read "
            f"{shown}[{i}] alone or from another array, {_USE_RANGE}",
        )


def _bound(s: Stmt) -> tuple[str, ...]:
    """The names that a statement itself gives a value."""
    match s:
        case Assign(target):
            return (target,)
        case For(var=var):
            return (var,)
        case Rebind(targets):
            return targets
    return ()


def _added(name: str, value: Expr) -> Expr | None:
    """What an assignment to a variable adds to it or subtracts from it; None where it does something else."""
    match value:
        case Cast(kind, operand) if kind.is_float:
            return _added(name, operand)
        case Binary("+" | "-", left, right) if name not in names(right):
            return right if left == Var(name) else _added(name, left)
        case Binary("+", left, Var(other)) if other == name and name not in names(left):
            return left
    return None


def _computed(block: Block, within: tuple[Function, ...] = ()) -> Iterator[tuple[Stmt, str]]:
    """Statements of a block that go through loops whose schedule is computed, and its name.

    The block is one of functions that call one another.
    """
    for s in walk_stmts(block):
        if isinstance(s, For) and s.checkpoints is not None and s.checkpoints.computed is not None:
            yield s, s.checkpoints.schedule
        for e in expressions(s):
            for part in walk(e):
                callee = part.callee if isinstance(part, Call) else None
                if isinstance(callee, Function) and callee not in within:
                    yield from ((s, schedule) for _, schedule in _computed(callee.body, (*within, callee)))


def _leaving(block: Block) -> Iterator[Stmt]:
    """The breaks of the loop with this body."""
    for s in block:
        if isinstance(s, Break):
            yield s
        elif isinstance(s, If):
            yield from _leaving((*s.then, *s.orelse))
