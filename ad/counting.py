"""Counts of the trips of marked loops, in memory that another thread reads while compiled code runs.

Generated code with ``progress=True`` has the address of a table of numbers, a row for each marked loop, in all
functions that have a tape.  It adds to them by plain loads and stores, which the compiler may not put off until a loop
is left.  A loop in lanes is counted by several threads at once, which loses some: it is not shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import llvmlite.ir as llvm
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ad.checkpoint.compiled import binomial_repeats, online_repeats, periodic_repeats, table_repeats
from ad.function import is_element
from ad.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Checkpoints,
    Const,
    Count,
    Expr,
    For,
    Index,
    Kind,
    Planned,
    Pop,
    Push,
    Stmt,
    Var,
    While,
    expressions,
    parts_of,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive, primitive
from ad.ranges import nth, trips_of
from ad.report import Line
from ad.unit import Unit

__all__ = ["AGAIN", "FORWARD", "REVERSED", "Counted", "CountedLoop", "Counting", "Trips", "count", "in_parts"]

FORWARD, AGAIN, REVERSED, _TOTAL, _REPEATS = range(5)

_BINOMIAL, _ONLINE, _PERIODIC, _TABLE = (
    Primitive(f, (), "int") for f in (binomial_repeats, online_repeats, periodic_repeats, table_repeats)
)
_PART = 1024
"""Trips of a few numbers that are counted at a time: one by one they take a tenth more."""


class Trips(NamedTuple):
    """The numbers of a loop.

    Trips so far: in the forward sweep, of those the ones that were run again, and reversed.  How many there are in the
    forward sweep, and how many will be run again; of a loop whose trips are not known before, when it was left.
    """

    forward: int
    again: int
    reversed: int
    total: int
    repeats: int

    @property
    def known(self) -> bool:
        """Whether `total` and `repeats` are those of the whole loop."""
        return self.total >= self.forward


@intrinsic
def count(_context, counts, slot, amount):
    """``count(counts, slot, amount)``: add to a number."""

    def codegen(context, builder, signature, args):
        word = llvm.IntType(64)
        base, at, more = (context.cast(builder, a, t, types.int64) for a, t in zip(args, signature.args, strict=True))
        address = builder.add(base, builder.mul(at, llvm.Constant(word, 8)))
        place = builder.inttoptr(address, word.as_pointer())
        # "monotonic" costs nothing; without it LLVM keeps the number in a register until the loop is left.
        old = _apart(builder, builder.load_atomic(place, "monotonic", 8))
        _apart(builder, builder.store_atomic(builder.add(old, more), place, "monotonic", 8))
        return context.get_dummy_value()

    return types.none(types.int64, slot, amount), codegen


def _apart(builder: Any, instruction: Any) -> Any:
    """Say by TBAA that it never overlaps what is on a tape, and its cursor (see tape.cursor)."""
    module, zero = builder.module, llvm.Constant(llvm.IntType(64), 0)
    node = module.add_metadata(["progress", module.add_metadata(["layered-tape"]), zero])
    instruction.set_metadata("tbaa", module.add_metadata([node, node, zero]))
    return instruction


# ------------------------------------------------------------------------------------------- what generated code counts


@dataclass(frozen=True)
class Counted:
    """Makes the statements that count the trips of loop `number`, `each` at a time."""

    counts: str
    number: int
    each: Expr

    def add(self, what: int, amount: Expr | None = None) -> Stmt:
        slot = self.number * len(Trips._fields) + what
        return Count(Var(self.counts), slot, self.each if amount is None else amount)

    def expected(
        self,
        marks: Checkpoints,
        table: Expr | None,
        trips: Expr | None,
        end: Expr,
        at: Expr,
        held: Expr,
        places: Expr,
        early: bool,
    ) -> tuple[list[Stmt], list[Stmt]]:
        """What stands before and after the forward sweep of a loop: how many trips there are, and are run again.

        `table` is that of a schedule that is computed.  `trips` is their number where the loop knows that before,
        `early` says that it may be left before these; `end`, `at`, `held` and `places` are the loop's own, as they are
        when it is left (see ad.replays).
        """
        first = trips if trips is not None else at

        def repeats(n: Expr) -> Expr:
            if table is not None:
                return Call(_TABLE, (table, n))
            if marks.schedule == "binomial":
                return Call(_BINOMIAL, (n, end, places))
            if marks.schedule == "periodic":
                assert marks.period is not None
                return Call(_PERIODIC, (n, marks.period, marks.snapshots or marks.period))
            if marks.snapshots is not None:
                return Call(_ONLINE, (n, places))
            return Binary("-", n, held)  # those between two snapshots find place once more

        planned = marks.planned
        if planned is not None:
            again = Binary("*", repeats(first), self.each)
            return [self.add(_TOTAL, Var(planned.trips)), self.add(_REPEATS, again)], []
        known = [self.add(_TOTAL, first), self.add(_REPEATS, repeats(first))]
        if trips is None:
            return [], known
        if not early:
            return known, []
        less = [
            self.add(_TOTAL, Binary("-", at, trips)),
            self.add(_REPEATS, Binary("-", repeats(at), repeats(trips))),
        ]
        return known, less


def in_parts(
    loop: For, counted: Counted, what: int, kinds: dict[str, Kind], fresh: Callable[[str, Kind], str]
) -> list[Stmt]:
    """A loop whose trips are counted: where they take about as long as that, many at a time."""
    if not _is_quick(loop.body, kinds):
        return [replace(loop, body=(*loop.body, counted.add(what)))]
    trips, first, end = (fresh(wish, Kind.INT) for wish in ("trips", "first", "end"))
    body = (
        Assign(end, Call(primitive(min), (Binary("+", Var(first), Const(_PART)), Var(trips)))),
        replace(loop, start=nth(loop, Var(first)), stop=nth(loop, Var(end))),
        counted.add(what, Binary("-", Var(end), Var(first))),
    )
    return [Assign(trips, trips_of(loop)), For(first, Const(0), Var(trips), Const(_PART), body)]


def _is_quick(block: Block, kinds: dict[str, Kind]) -> bool:
    """Whether a trip computes a few numbers, and nothing that could take longer."""
    for s in walk_stmts(block):
        if isinstance(s, For | While) or (isinstance(s, Push | Pop) and s.kind.is_array):
            return False
        for part in (part for e in expressions(s) for part in walk(e)):
            match part:
                case Call(callee) if isinstance(callee, Unit) or callee.home is None:
                    return False
                case Var(name) if kinds[name].is_array:
                    return False
                case Index(_, index) if not is_element(index, kinds):
                    return False
    return True


# --------------------------------------------------------------------------------------------------- what Python sees


@dataclass(frozen=True)
class CountedLoop:
    """A loop that is counted: its row is `number`.

    It is `inside` another one, whose trips run it when they are reversed; with `repeated` it may be reached again.
    What is `planned` has that number there (see ir.Planned).
    """

    line: Line
    number: int
    inside: bool
    repeated: bool
    planned: int | None = None


class Counting:
    """The marked loops of a gradient, by their lines: a line that is the body of several functions has one row."""

    def __init__(self) -> None:
        self.lines: dict[Line, int] = {}
        self.planned: dict[int, int] = {}

    def counted(self, counts: str, line: Line, planned: Planned | None) -> Counted:
        number = self.lines.setdefault(line, len(self.lines))
        if planned is None:
            return Counted(counts, number, Const(1))
        self.planned[number] = planned.number
        return Counted(counts, number, Var(planned.block))

    def new_counts(self) -> Any:
        """Numbers for one call: a row for each loop, as in `Trips`."""
        return np.zeros((len(self.lines), len(Trips._fields)), np.int64)

    def loops(self, main: Unit) -> tuple[CountedLoop, ...]:
        """Those that a gradient can show, in the order of their lines."""
        walk = _Walk()
        walk.unit(main, frozenset(), False, False)
        return tuple(
            CountedLoop(line, number, number in walk.inside, number in walk.repeated, self.planned.get(number))
            for line, number in sorted(self.lines.items(), key=lambda item: (item[0].filename, item[0].number))
            if number in walk.found and number not in walk.in_lanes
        )


class _Walk:
    """Where generated code counts."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self.inside: set[int] = set()
        self.repeated: set[int] = set()
        self.in_lanes: set[int] = set()
        self.seen: set[tuple[Unit, bool, bool, bool]] = set()

    def unit(self, unit: Unit, reversing: frozenset[int], in_loop: bool, in_lanes: bool) -> None:
        key = unit, bool(reversing), in_loop, in_lanes
        if key not in self.seen:
            self.seen.add(key)
            self.block(unit.body, reversing, in_loop, in_lanes or unit.parallel)

    def block(self, block: Block, reversing: frozenset[int], in_loop: bool, in_lanes: bool) -> None:
        for s in block:
            for part in (part for e in expressions(s) for part in walk(e)):
                if isinstance(part, Call) and isinstance(part.callee, Unit):
                    self.unit(part.callee, reversing, in_loop, in_lanes)
            if isinstance(s, Count):
                number, what = divmod(s.slot, len(Trips._fields))
                self.found.add(number)
                if reversing - {number}:
                    self.inside.add(number)
                if in_lanes:
                    self.in_lanes.add(number)
                if what == _TOTAL and in_loop:
                    self.repeated.add(number)
            inner = parts_of(s)
            if isinstance(s, For | While):
                counted = [divmod(c.slot, len(Trips._fields)) for c in inner if isinstance(c, Count)]
                own = {number for number, what in counted if what == REVERSED}
                self.block(inner, reversing | own, True, in_lanes)
            else:
                self.block(inner, reversing, in_loop, in_lanes)
