"""What `Gradient.report` returns: what is recorded for the reverse sweep, where, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ad.checkpoint.planner import Costs
from ad.planning import Outcome
from ad.reporttext import table

__all__ = ["CheckpointedLoop", "Item", "Lanes", "Line", "Loop", "PlannedLoop", "Report", "Size"]

_MOST = 3
"""How many arrays are named in a text."""


@dataclass(frozen=True)
class Line:
    """A line of the user's file, and the function that it belongs to."""

    number: int
    text: str
    function: str
    filename: str

    def __str__(self) -> str:
        return f"{self.number}: {self.text}"


@dataclass(frozen=True)
class Size:
    """How much is recorded: `bytes`, `bits` (63 of them to a word of 8 bytes), and arrays.

    For each array a number of bytes for each element, and what has the elements; each is filled up to whole words.
    """

    bytes: int = 0
    bits: int = 0
    arrays: tuple[tuple[int, str], ...] = ()

    def __add__(self, other: "Size") -> "Size":
        return Size(self.bytes + other.bytes, self.bits + other.bits, self.arrays + other.arrays)

    def __or__(self, other: "Size") -> "Size":
        """The most of two."""
        more = tuple(a for a in other.arrays if a not in self.arrays)
        return Size(max(self.bytes, other.bytes), max(self.bits, other.bits), self.arrays + more)

    def __bool__(self) -> bool:
        return bool(self.bytes or self.bits or self.arrays)

    def __str__(self) -> str:
        parts = [f"{self.bytes} bytes"] if self.bytes or not (self.bits or self.arrays) else []
        for each in dict.fromkeys(each for each, _ in self.arrays):
            arrays = [what for n, what in self.arrays if n == each]
            more = f" and {len(arrays) - _MOST} more" if len(arrays) > _MOST else ""
            parts.append(f"{each} x size of {', '.join(arrays[:_MOST])}{more}")
        text = " + ".join(parts)
        bits = f"{self.bits} bit{'s' if self.bits > 1 else ''}" if self.bits else ""
        return " and ".join(part for part in (text, bits) if part)


@dataclass(frozen=True)
class Item:
    """Something that is kept for the reverse sweep.

    `line` is where it is recorded, `loops` are the loops around that, outermost first.  `needed_by` are the lines whose
    adjoints read it.  `overwritten_by` is the line that gives the variable another value; where `at_end` is set, the
    loop or the branch that does so when it comes to the same place again (None where the function returns).  With
    `on_tape` false a variable keeps it, outside of the tape: a number, or a reference to an array.  With `rerun` it is
    kept only while the reverse sweep runs a call, or a trip of a loop, again.
    """

    variable: str
    kind: str
    line: Line
    loops: tuple[Line, ...]
    size: Size
    needed_by: tuple[Line, ...]
    overwritten_by: Line | None
    at_end: bool
    in_branch: bool
    on_tape: bool = True
    rerun: bool = False


@dataclass(frozen=True)
class Loop:
    """A loop of the forward sweep, and what each trip through it records, loops within it not counted.

    `size` is the most that a trip records, `least` what every trip records.  `calls` are the lines in which it calls
    functions that record, which `size` includes.
    """

    line: Line
    loops: tuple[Line, ...]
    size: Size
    least: Size
    decisions: int
    trip_counts: int
    calls: tuple[Line, ...]

    @property
    def bytes_per_iteration(self) -> int:
        """Without arrays, whose elements are not counted before the call, and decisions: see `size`."""
        return self.size.bytes


@dataclass(frozen=True)
class Lanes:
    """A loop whose trips run at the same time in lanes, one for each thread.

    `private` are variables that each trip has for itself, `sums` those that all trips add to, of the arrays `rows` each
    trip touches the row of its number alone.  The arrays `shared` are read by all trips; of the adjoints of those that
    are `copied` every lane has a copy, because trips of several lanes may add to the same elements.
    """

    line: Line
    private: tuple[str, ...]
    sums: tuple[str, ...]
    rows: tuple[str, ...]
    shared: tuple[str, ...]
    copied: tuple[str, ...]


@dataclass(frozen=True)
class CheckpointedLoop:
    """A loop whose trips the reverse sweep runs again, because of `ad.checkpointed`.

    `state` are the variables of which a snapshot has copies, `size` is that of one.  `snapshots` says how many there
    are at most, None the default; `period` is that of the schedule "periodic", and of schedules that are computed
    `disk_snapshots` says how many more there may be.
    """

    line: Line
    state: tuple[str, ...]
    size: Size
    schedule: str
    snapshots: str | None
    period: str | None
    disk_snapshots: str | None


@dataclass(frozen=True)
class PlannedLoop:
    """What was chosen for a marked loop in the latest call with a memory limit, and what became of it.

    `choice` says it in words: of `trips` the first `again` are run again in blocks of `block` from so many `snapshots`,
    the rest is recorded at once.  `costs` are what trials took, None where all records had room, and then nothing is
    predicted.  The seconds are those of both sweeps of the loop, to which the `trial_seconds` come.  The bytes are on
    the tape when the forward sweep leaves the loop, those to disk all that went there in both sweeps.
    """

    line: Line
    trips: int
    choice: str
    block: int
    again: int
    snapshots: int
    costs: Costs | None
    trial_seconds: float
    predicted_seconds: float | None
    seconds: float
    predicted_bytes: int
    bytes: int
    predicted_bytes_to_disk: int
    bytes_to_disk: int

    @classmethod
    def of(cls, line: Line, outcome: Outcome) -> "PlannedLoop":
        o, c = outcome, outcome.choice
        predicted = o.trial_seconds, o.predicted, o.seconds, round(c.bytes), o.bytes, round(c.written), o.spilled
        return cls(line, o.trips, str(c), c.block, c.again, c.snapshots, o.costs, *predicted)


@dataclass(frozen=True)
class Report:
    """What `Gradient.report` returns.

    `items` and `loops` are in the order of the program, those of called functions with sweeps of their own behind those
    of the function itself.  `lanes` are the loops that run in lanes.  `copied` are arguments that are copied on entry,
    each with the line that writes to it.  `small` are arrays of few elements that became numbers: how many, and the
    line that first makes the array.
    `inlined` are functions whose bodies were put in the place of their calls, `called` those with sweeps of their own,
    `rerun` those whose calls the reverse sweep runs again because of `ad.remat`, `unchanged` those that are called
    without a derivative; each with the lines of the calls.  `recomputed` are expressions that the reverse sweep
    computes again, because that is cheap.  `passive` are floats that no derivative passes through, with the reason.
    `options` are those in force.  `checkpointed` are loops whose trips the reverse sweep runs again, `planned` those
    for which the latest call with a memory limit has chosen what is run again.
    """

    function: str
    filename: str
    wrt: tuple[str, ...]
    items: tuple[Item, ...]
    loops: tuple[Loop, ...]
    lanes: tuple[Lanes, ...]
    copied: Mapping[str, Line | None]
    small: Mapping[str, tuple[int, Line]]
    inlined: Mapping[str, tuple[Line, ...]]
    called: Mapping[str, tuple[Line, ...]]
    rerun: Mapping[str, tuple[Line, ...]]
    unchanged: Mapping[str, tuple[Line, ...]]
    recomputed: tuple[tuple[Line, str], ...]
    passive: Mapping[str, str]
    options: Mapping[str, Any]
    checkpointed: tuple[CheckpointedLoop, ...] = ()
    planned: tuple[PlannedLoop, ...] = ()

    def __str__(self) -> str:
        return table(self)
