"""A line on the terminal while a gradient goes on: trips of marked loops, the time that is left, what is on the tape.

Compiled code counts (ad.counting) and lets go of the GIL; a thread of the call's own looks at the counts and at the
tape ten times a second.  A tape without a memory limit tells other threads nothing: shown is the memory of all tapes.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ad.checkpoint.progress import clock, counted, seconds_left
from ad.counting import CountedLoop, Trips
from ad.planning import Planning
from ad.tapes import traffic_of
from tape import LayerStats, Tape, default_pool
from tape.sizes import format_bytes
from tape.stats import since
from tape.watch import LINE_SECONDS, Recent, new_bar, summary_text

__all__ = ["Line"]

_NONE_MARKED = "no loop is marked"


class Line:
    """The line of one call: a context, in which the call is `seen` once its tape is there."""

    def __init__(self) -> None:
        self._bar = new_bar(total=None, bar_format="{desc}", what="progress")
        self._seen: _Seen | None = None
        self._stop = threading.Event()
        # A daemon, for a program that ends meanwhile.
        self._thread = threading.Thread(target=self._run, name="ad-progress", daemon=True)

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal."""
        return not self._bar.disable

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        try:
            self._thread.join()
        finally:
            if self._seen is not None:
                self._draw(self._seen.last(time.perf_counter(), kind is None))
            with suppress(Exception):
                self._bar.close()

    def see(
        self, tape: Tape, loops: Sequence[CountedLoop] = (), counts: Any = None, planning: Planning | None = None
    ) -> None:
        """From now on show this tape, and the rows of these loops in the counts; `planning` is that of the call."""
        self._seen = _Seen(tape, loops, counts, planning, time.perf_counter())

    def _run(self) -> None:
        while not self._stop.wait(LINE_SECONDS):
            if self._seen is not None:
                self._draw(self._seen.look(time.perf_counter()))

    def _draw(self, text: str) -> None:
        with suppress(Exception):  # standard error may be gone, and the gradient is there all the same
            self._bar.set_description_str(text, refresh=False)
            self._bar.display()


class _Seen:
    """What a thread sees of a call, look by look."""

    def __init__(
        self, tape: Tape, loops: Sequence[CountedLoop], counts: Any, planning: Planning | None, begun: float
    ) -> None:
        self.tape, self.loops, self.counts, self.planning = tape, loops, counts, planning
        self.begun = self.before = begun
        self.first = traffic_of(tape)
        self.recent = Recent()
        self.trips = [Trips(0, 0, 0, 0, 0)] * len(loops)
        self.seconds = [[0.0, 0.0] for _ in loops]
        self.moving = [False] * len(loops)

    def traffic(self) -> LayerStats | None:
        """What the tape moved in this call."""
        found = traffic_of(self.tape)
        return since(found, self.first) if found is not None and self.first is not None else None

    def count(self, now: float) -> None:
        """Take the counts, and add the time since the last look to the sweeps that went on in it."""
        found = self.counts.tolist() if self.loops else []
        trips = [Trips(*found[loop.number]) for loop in self.loops]
        moved = [new != old for new, old in zip(trips, self.trips, strict=True)]
        sweeps: list[tuple[int, int]] = []
        for k, (new, old) in enumerate(zip(trips, self.trips, strict=True)):
            if not self.loops[k].inside:
                sweeps += [(k, 0)] * (new.forward > old.forward)
                sweeps += [(k, 1)] * (new.again > old.again or new.reversed > old.reversed)
        for k, sweep in sweeps:
            self.seconds[k][sweep] += (now - self.before) / len(sweeps)
        if any(moved):
            self.moving = moved
        self.trips, self.before = trips, now

    def look(self, now: float) -> str:
        """The line while the call goes on."""
        self.count(now)
        traffic = self.traffic()
        tape = [self.recent.text(now, traffic)] if traffic is not None else _held()
        if not self.loops:
            return ", ".join([_NONE_MARKED, clock(now - self.begun), *tape])
        rows = zip(self.loops, self.trips, self.moving, strict=True)
        shown = [loop_text(loop, trips) for loop, trips, moves in rows if moves]
        return ", ".join(["; ".join(shown) or clock(now - self.begun), *self.left_text(), *tape])

    def left_text(self) -> list[str]:
        """The time that is left in all loops that were reached."""
        rows = zip(self.loops, self.trips, self.seconds, strict=True)
        outermost = [(loop, trips, seconds) for loop, trips, seconds in rows if not loop.inside]
        reached = [row for row in outermost if row[1].forward]
        if not reached:
            return []
        parts = [loop_left(trips, seconds[0], seconds[1], self.reversing(loop)) for loop, trips, seconds in reached]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return ["time left unknown"]
        left = sum(known)
        forward = not any(trips.again or trips.reversed for _, trips, _ in reached)
        more = forward and (len(reached) < len(outermost) or any(loop.repeated for loop, _, _ in outermost))
        return [f"{'at least ' if more else ''}{clock(left)} left"] if left > 0 else []

    def reversing(self, loop: CountedLoop) -> float | None:
        """How many trips forward a trip back counts as, if that was tried."""
        return self.planning.reversing(loop.planned) if self.planning is not None and loop.planned is not None else None

    def last(self, now: float, done: bool) -> str:
        """The line that stays."""
        self.count(now)
        traffic = self.traffic()
        tape = [summary_text(traffic)] if traffic is not None else _held()
        rows = zip(self.loops, self.trips, strict=True)
        shown = [loop_text(loop, trips) for loop, trips in rows if trips.forward or trips.total]
        what = "; ".join(shown) or (_NONE_MARKED if not self.loops else "no marked loop was reached")
        return ", ".join([what, f"{'took' if done else 'ended after'} {clock(now - self.begun)}", *tape])


def loop_text(loop: CountedLoop, trips: Trips) -> str:
    """The trips of a loop, forward and back."""
    total, repeats = (trips.total, trips.repeats) if trips.known else (None, None)
    parts = [counted("forward", trips.forward, total)]
    if trips.again or repeats:
        parts.append(counted("again", trips.again, repeats))
    parts.append(counted("reverse", trips.reversed, total))
    return f"line {loop.line.number}: {', '.join(parts)}"


def loop_left(trips: Trips, forward: float, back: float, reversing: float | None = None) -> float | None:
    """The seconds that a loop has left, after so many in its forward and its reverse sweep; None where that is not
    known.

    In the reverse sweep trips that are run again count as those of the forward sweep do, but for as much as a trip that
    is reversed at the most.  Before the first one was, it counts for `reversing` trips forward, if that is known.
    """
    if not trips.known or not trips.forward:
        return None
    again = forward / trips.forward * trips.again
    again = min(again, back * trips.again / max(trips.again + trips.reversed, 1))
    calls = [trips.forward + trips.again, trips.reversed]
    totals: list[int | None] = [trips.total + trips.repeats, trips.total]
    seconds = [forward + again, back - again]
    if reversing is not None and not trips.reversed:  # as if one had been
        calls[1], totals[1], seconds[1] = 1, trips.total + 1, reversing * forward / trips.forward
    return seconds_left(calls, totals, seconds, 0.0)


def _held() -> list[str]:
    """What tapes have taken from their pool; small ones have taken nothing."""
    used = default_pool().stats().used_bytes
    return [f"{format_bytes(used)} held by tapes"] if used else []
