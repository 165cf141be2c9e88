"""The tapes that gradients run on: kept from call to call, for each thread and each set of options."""

import threading
from collections.abc import Callable
from typing import Any

from ad.errors import ADError
from ad.options import TapeOptions, in_context
from ad.runtime import PopFailed
from tape import Tape

__all__ = ["latest_tape", "new_tape", "on_tape"]

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
                raise ADError("the sweeps did not match: this is a defect of ad, please report it with the function")
        except BaseException:
            tape.clear()  # a tape that fails even there is not used again
            free.append(tape)
            raise
        free.append(tape)
        return value, tuple(derivatives)

    return run
