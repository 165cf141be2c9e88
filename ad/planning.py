"""Planned loops at run time: what their trips cost, what follows from that, and what became of it.

Generated code calls `consult` with the address of a function of ours, the number of a loop, an Event and a number; what
comes back is a number, too.  Trips are tried a few times with more and more of them, until clocks tell their cost, in
blocks that fit in the caches and in blocks that do not.  Where it is seen before that everything has room, the trials
end at once.
"""

import ctypes
import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import llvmlite.ir as llvm
from numba.core import types
from numba.extending import intrinsic

from ad.checkpoint.planner import Choice, Costs, Disk, choices, fastest
from ad.checkpoint.rates import disk_rates, known_rates
from ad.checkpoint.trials import Trials
from ad.tapes import latest_tape
from tape import Tape, TapeError

__all__ = ["ADDRESS", "Event", "Known", "Outcome", "Planning", "consult", "under_way"]


@intrinsic
def consult(_context, address, loop, event, value):
    """``consult(address, loop, event, value)``: what the function at the address answers, an int."""

    def codegen(context, builder, signature, args):
        word = llvm.IntType(64)
        function = llvm.FunctionType(word, [word] * 3)
        pointer = builder.inttoptr(args[0], function.as_pointer())
        given = zip(args[1:], signature.args[1:], strict=True)
        numbers = [context.cast(builder, a, t, types.int64) for a, t in given]
        return builder.call(pointer, numbers)

    return types.int64(types.int64, loop, event, value), codegen


class Event(Enum):
    """What generated code has come to, in this order; and what it asks."""

    REACHED = 0
    """The loop, which has `value` trips."""
    SAVED = 1
    """A snapshot is on the tape.  How many trips are to be tried?"""
    COPYING = 2
    COPIED = 3
    """The snapshot was taken off and stored again, and now so many trips are run."""
    ADVANCED = 4
    RECORDING = 5
    RECORDED = 6
    ZERO = 7
    """The number 0 is wanted."""
    REVERSING = 8
    REVERSED = 9
    """How many trips are to be tried next?  None by 0."""
    BLOCK = 10
    AGAIN = 11
    SNAPSHOTS = 12
    """The numbers of the plan."""
    STARTED = 13
    """The trials are over, and the loop begins."""
    FORWARD = 14
    """The forward sweep has left the loop."""
    BACK = 15
    """The reverse sweep has left it."""


@dataclass(frozen=True)
class Outcome:
    """What was decided for the loop `number`, and what became of it.

    `costs` are what was measured, None where nothing had to be: all that `trips` record has room.  `seconds` are those
    of both sweeps of the loop, without the `trial_seconds` before; `bytes` are on the tape when the forward sweep
    leaves it, and `spilled` is all that went to disk meanwhile.
    """

    number: int
    trips: int
    memory: float
    costs: Costs | None
    choice: Choice
    predicted: float | None
    trial_seconds: float
    seconds: float
    bytes: int
    spilled: int


_ROOM = 0.85
"""The part of the limit that plans fill: a tape begins to write before its memory is full."""
_WORTH = 1.05
"""How much faster a plan with an infinitely fast disk must be for the disk to be looked at."""
_MEASURING = 0.5
"""Seconds that this may take; where there is less to be gained, it is done without."""
_IDEAL = Disk(1e30, 1e30)
_OFF = 1.3
"""How far off a prediction may be for the next call to do without trials."""

Known = dict[tuple[int, int, int, int], tuple[Costs, Choice, float]]
"""Choices of earlier calls: by the number of the loop, its trips, the bytes of a snapshot, and the memory."""


class _Loop:
    """One loop in one call: its trials, its plan, and what it takes."""

    def __init__(self, planning: "Planning", number: int, now: float, trips: int) -> None:
        self.planning, self.number, self.trips = planning, number, trips
        self.tape = planning.tape
        self.began = self.since = now
        self.base = self.tape.nbytes
        room = planning.memory * _ROOM
        self.memory = max(room - self.base, room / 8) / (planning.loops - number)
        self.choice: Choice | None = None
        self.predicted: float | None = None
        self.trials: Trials | None = None
        self.costs: Costs | None = None
        self.seconds: dict[Event, float] = {}
        self.tried = self.recorded = self.forward_bytes = 0
        self.started = self.spent = 0.0
        self.written = 0

    @property
    def key(self) -> tuple[int, int, int, int]:
        return self.number, self.trips, self.snapshot, round(self.memory)

    def answer(self, event: Event, now: float) -> int:
        self.seconds[event] = now - self.since
        match event:
            case Event.SAVED:
                self.snapshot = self.tape.nbytes - self.base
                known = self.planning.known.get(self.key)
                if known is not None:
                    self.costs, self.choice, self.predicted = known
                    return 0
                self.trials = Trials(self.trips, self.snapshot, self.memory)
                return self.next_trial()
            case Event.RECORDED:
                self.recorded = self.tape.nbytes - self.base - self.snapshot
            case Event.REVERSED:
                assert self.trials is not None
                s = self.seconds
                runs = s[Event.ADVANCED], s[Event.RECORDED], s[Event.REVERSED]
                self.trials.note(self.tried, s[Event.COPIED] / 2, *runs, self.recorded)
                return self.next_trial()
            case Event.BLOCK:
                return self.choice.block if self.choice is not None else 1
            case Event.AGAIN:
                return self.choice.again if self.choice is not None else 0
            case Event.SNAPSHOTS:
                return max(self.choice.snapshots, 1) if self.choice is not None else 1
            case Event.STARTED:
                self.started, self.spent = now, 0.0
                traffic = self.tape.traffic()
                self.written = traffic.bytes_written if traffic is not None else 0
            case Event.FORWARD:
                self.forward_bytes = self.tape.nbytes - self.base
        return 0

    def next_trial(self) -> int:
        assert self.trials is not None
        self.tried = self.trials.next()
        if not self.tried:
            if self.trials.fits:
                nbytes = self.trials.record_bytes * self.trips
                self.choice = Choice(max(self.trips, 1), 0, 0, 0.0, 0.0, nbytes, 0.0, 0.0)
            else:
                self.costs = self.trials.costs
                self.choice, self.predicted = self.planning.choose(self.costs, self.trips, self.memory)
        return self.tried

    def outcome(self, now: float) -> Outcome:
        """What became of it, when the reverse sweep has left it."""
        assert self.choice is not None
        traffic = self.tape.traffic()
        spilled = traffic.bytes_written - self.written if traffic is not None else 0
        seconds = now - self.started - self.spent
        if self.costs is not None and self.predicted is not None:
            if max(seconds, self.predicted) <= _OFF * min(seconds, self.predicted):
                self.planning.known[self.key] = self.costs, self.choice, self.predicted
            else:
                self.planning.known.pop(self.key, None)
        return Outcome(
            self.number,
            self.trips,
            self.memory,
            self.costs,
            self.choice,
            self.predicted,
            self.started - self.began,
            seconds,
            self.forward_bytes,
            spilled,
        )


class Planning:
    """A call of a gradient with `loops` planned loops: `memory` is its limit in bytes, `known` are earlier plans.

    `outcomes` are those of loops that the reverse sweep has left.  What a look at the disk raises is raised after the
    call.
    """

    def __init__(self, loops: int, memory: int, directory: str | None, compress: str | None, known: Known) -> None:
        self.loops, self.memory, self.place, self.known = loops, memory, (directory, compress), known
        self.outcomes: list[Outcome] = []
        self.failed: BaseException | None = None
        self.under_way: list[_Loop] = []
        self.left: dict[int, _Loop] = {}

    @property
    def tape(self) -> Tape:
        tape = latest_tape()
        assert tape is not None
        return tape

    def __enter__(self) -> "Planning":
        self.before, _here.planning = _here.planning, self
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        _here.planning = self.before
        if self.failed is not None and kind is None:
            raise self.failed

    def answer(self, number: int, event: Event, value: int) -> int:
        now = time.perf_counter()
        if event is Event.REACHED:
            self.left[number] = _Loop(self, number, now, value)
        loop = self.left.get(number)
        if loop is None:  # what is asked before that is asked again
            return _WITHOUT.get(event, 0)
        found = loop.answer(event, now)
        if event is Event.BACK:
            self.outcomes.insert(0, loop.outcome(now))
            for other in self.left.values():
                if other.number < number:
                    other.spent += now - loop.began
        loop.since = time.perf_counter()
        return found

    def reversing(self, number: int) -> float | None:
        """By the trials of a loop: how many trips forward take as long as one that is run recording and is reversed.

        None where nothing had to be tried, or has not been yet.  Any thread may ask.
        """
        loop = self.left.get(number)
        costs, choice = (loop.costs, loop.choice) if loop is not None else (None, None)
        if costs is None or choice is None:
            return None
        speed = costs.speed(choice.block * costs.record_bytes)
        return (speed.record + speed.reverse) / costs.advance

    def choose(self, costs: Costs, trips: int, memory: float) -> tuple[Choice, float]:
        """The fastest choice, and its seconds; the disk is looked at where it could make a difference."""
        found = choices(costs, trips, memory)
        place = *self.place, self.memory
        disk = known_rates(*place)
        alone = fastest(found, disk)
        if disk is None:
            ideal = fastest(found, _IDEAL)
            most = ideal.seconds(_IDEAL)
            if alone.seconds(None) > max(_WORTH * most, most + _MEASURING):
                try:
                    disk = disk_rates(*place)
                except TapeError:
                    if alone.written:
                        raise
                else:
                    alone = fastest(found, disk)
        return alone, alone.seconds(disk)


class _Here(threading.local):
    planning: Planning | None = None


_here = _Here()


def under_way() -> Planning | None:
    """That of the innermost call of this thread that plans."""
    return _here.planning


def _answer(number: int, event: int, value: int) -> int:
    planning = _here.planning
    if planning is None or planning.failed is not None:
        return _WITHOUT.get(Event(event), 0)
    try:
        return planning.answer(number, Event(event), value)
    except BaseException as error:  # there is no way through compiled code for it
        planning.failed = error
        return _WITHOUT.get(Event(event), 0)


_WITHOUT = {Event.BLOCK: 1, Event.SNAPSHOTS: 1}
"""Answers by which all is recorded."""
_function = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 4)(_answer)
ADDRESS: int = ctypes.cast(_function, ctypes.c_void_p).value or 0
"""What generated code consults, as an int."""
