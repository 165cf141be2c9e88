"""The tapes that gradients run on: kept from call to call, for each thread and each set of options."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ad.errors import ADError
from ad.lanes import LaneFailed
from ad.options import TapeOptions, in_context
from ad.runtime import PopFailed
from ad.threads import region, thread_count
from tape import LayerStats, Tape, TapeStats
from tape.stats import together

__all__ = ["latest_stats", "latest_tape", "latest_traffic", "new_tape", "on_lanes", "on_tape", "traffic_of"]

_DEFECT = "the sweeps did not match: this is a defect of ad, please report it with the function"

_SETS = 4
"""The number of sets of options that a thread keeps tapes for: one tape for each, more only where calls nest."""


def new_tape(options: TapeOptions) -> Tape:
    """The only place where gradients get a tape from."""
    return Tape("f8", **{name: value for name, value in options._asdict().items() if value is not None})


class _Shelf:
    """The tapes of a thread.  A call takes one out, and puts it back empty."""

    __slots__ = ("free", "latest", "options", "sets")

    def __init__(self) -> None:
        self.options = TapeOptions()
        self.free: list[Tape] = []
        """Those with `options`, the latest ones asked for, that no call is using."""
        self.sets = {self.options: self.free}  # the least recently used ones first
        self.latest: Tape | None = None

    def turn_to(self, options: TapeOptions) -> list[Tape]:
        """Make these options the latest ones; the tapes of those that were not used for longest are closed."""
        free = self.sets.pop(options, [])
        self.sets[options] = free
        self.options, self.free = options, free
        while len(self.sets) > _SETS:
            for tape in self.sets.pop(next(iter(self.sets))):
                tape.close()
        return free


class _Here(threading.local):
    def __init__(self) -> None:
        self.shelf = _Shelf()


_here = _Here()


def latest_tape() -> Tape | None:
    """The tape of this thread's latest gradient; None where none was needed yet."""
    return _here.shelf.latest


def latest_stats() -> TapeStats | None:
    """Statistics of that tape, its lanes included."""
    tape = latest_tape()
    if tape is None:
        return None
    return replace(together([each.stats() for each in (tape, *tape.lanes)]), layers=latest_traffic())


def latest_traffic() -> LayerStats | None:
    """What that tape and its lanes moved to disk and back; None where it has no memory limit."""
    tape = latest_tape()
    return traffic_of(tape) if tape is not None else None


def traffic_of(tape: Tape) -> LayerStats | None:
    """What a tape and its lanes moved to disk and back; None where it has no memory limit.  Any thread may ask."""
    found = [each.traffic() for each in (tape, *tape.lanes)]
    return together(found) if found[0] is not None else None


def on_tape(kernel: Callable[..., Any], given: dict[str, Any]) -> Callable[..., tuple[float, tuple[float, ...]]]:
    """Value and scalar derivatives from a kernel that takes the handle of a tape; `given` are checked options."""
    own = TapeOptions(**given)

    # Written out, because it is a good part of what the call of a small gradient costs.
    def run(*args: Any) -> tuple[float, tuple[float, ...]]:
        context = in_context()
        options = own if context is None else TapeOptions(**{**context, **given})
        shelf = _here.shelf
        free = shelf.free if options == shelf.options else shelf.turn_to(options)
        tape = shelf.latest = free.pop() if free else new_tape(options)
        try:
            try:
                status, value, *derivatives = kernel(tape.handle, *args)
            except PopFailed:
                status = True
            if status:
                tape.raise_failed()
            if status or len(tape):
                raise ADError(_DEFECT)
        except BaseException:
            tape.clear()  # a tape that fails even there is not used again
            free.append(tape)
            raise
        free.append(tape)
        return value, tuple(derivatives)

    return run


def on_lanes(
    kernel: Callable[..., Any], given: dict[str, Any], serially: Callable[..., None]
) -> Callable[..., tuple[float, tuple[float, ...]]]:
    """The same from a kernel that takes the handles of lanes after that of their tape: one for each of Numba's threads.

    Where a trip in a lane has raised, `serially` raises the same for the same arguments.
    """
    own = TapeOptions(**given)

    def run(*args: Any) -> tuple[float, tuple[float, ...]]:
        context = in_context()
        options = own if context is None else TapeOptions(**{**context, **given})
        shelf = _here.shelf
        free = shelf.free if options == shelf.options else shelf.turn_to(options)
        tape = shelf.latest = free.pop() if free else new_tape(options)
        used = [tape]
        try:
            used += (tape.lane(k) for k in range(thread_count()))
            handles = np.array([lane.handle for lane in used[1:]], np.uint64)
            raised = False
            try:
                with region():
                    status, value, *derivatives = kernel(tape.handle, handles, *args)
            except PopFailed:
                status = True
            except LaneFailed:
                status = raised = True
            if status:
                for each in used:
                    each.raise_failed()
            if raised:
                serially(*args)
            if status or any(len(each) for each in used):
                raise ADError(_DEFECT)
        except BaseException:
            for each in used:
                each.clear()  # a tape that fails even there is not used again
            free.append(tape)
            raise
        free.append(tape)
        return value, tuple(derivatives)

    return run
