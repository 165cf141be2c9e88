"""A line on the terminal: steps forward and back, and the time that is left."""

import time
from collections.abc import Callable
from typing import Any

from tape.watch import LINE_SECONDS, new_bar

__all__ = ["Progress", "clock", "counted", "seconds_left"]


class Progress:
    """Counts and times the calls of the functions that it wraps.

    The time left is that of the calls that are left, recomputed steps included, each as long as the mean of those so
    far, and of what is done between them.  Until one was seen, a step of the adjoint counts as two.
    """

    def __init__(self) -> None:
        self._bar = new_bar(total=None, bar_format="{desc}", what="progress")
        self._calls = [0, 0]  # forward, reverse
        self._seconds = [0.0, 0.0]
        self._totals: list[int | None] = [None, None]
        self._begun = time.perf_counter()
        self._drawn = -LINE_SECONDS

    def expect(self, forward: int | None, reverse: int | None) -> None:
        """How many calls are to come; None where that is not known."""
        for k, left in enumerate((forward, reverse)):
            self._totals[k] = None if left is None else self._calls[k] + left

    def forward(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return self._timed(step, 0)

    def reverse(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return self._timed(step, 1)

    def close(self) -> None:
        self._draw()
        self._bar.close()

    def _timed(self, step: Callable[..., Any], k: int) -> Callable[..., Any]:
        clock = time.perf_counter

        def timed(*args: Any) -> Any:
            start = clock()
            result = step(*args)
            now = clock()
            self._seconds[k] += now - start
            self._calls[k] += 1
            if now - self._drawn >= LINE_SECONDS:
                self._drawn = now
                self._draw()
            return result

        return timed

    def _draw(self) -> None:
        elapsed = time.perf_counter() - self._begun
        self._bar.set_description_str(text(self._calls, self._totals, self._seconds, elapsed), refresh=False)
        if not self._bar.disable:
            self._bar.display()


def text(calls: list[int], totals: list[int | None], seconds: list[float], elapsed: float) -> str:
    """The line, for calls forward and back so far, all of them, and the seconds in them and altogether."""
    parts = [counted(*each) for each in zip(("forward", "reverse"), calls, totals)]
    left = seconds_left(calls, totals, seconds, elapsed)
    if left is None:
        parts.append("time left unknown")
    elif left > 0:
        parts.append(f"{clock(left)} left")
    return ", ".join(parts)


def counted(name: str, done: int, total: int | None) -> str:
    return f"{name} {done}" if total is None else f"{name} {done} of {total}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds_left(calls: list[int], totals: list[int | None], seconds: list[float], elapsed: float) -> float | None:
    forward, reverse = totals
    busy = sum(seconds)
    if forward is None or reverse is None or busy == 0.0:
        return None
    one = seconds[0] / calls[0] if calls[0] else seconds[1] / calls[1] / 2
    back = seconds[1] / calls[1] if calls[1] else 2 * one
    return ((forward - calls[0]) * one + (reverse - calls[1]) * back) * max(elapsed / busy, 1.0)
