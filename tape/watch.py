"""`watch`: where the bytes of a tape with a memory budget are, while a long sweep runs and as a plot afterwards.

A thread of its own asks the tape for its `traffic()` ten times a second, which any thread may do at any time.  It is a
Python thread: it sees nothing while a compiled loop holds the GIL (a Numba function without ``nogil=True``).
"""

import contextlib
import importlib
import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from tape.errors import TapeBusyError, TapeTypeError, TapeValueError
from tape.sizes import byte_unit, format_bytes
from tape.stats import LayerStats

__all__ = ["Samples", "Watch", "watch"]

MOST_SAMPLES = 4096
LINE_SECONDS = 0.1  # no terminal needs to be written to more often
RATE_SECONDS = 1.0  # the rates shown are means over so long


class Watched(Protocol):
    """What can be watched: a tape, or anything that tells as much."""

    def traffic(self) -> LayerStats | None: ...


class Samples(NamedTuple):
    """What was seen: seconds since the beginning, and bytes in each layer then."""

    times: npt.NDArray[np.float64]
    resident: npt.NDArray[np.int64]
    spilled: npt.NDArray[np.int64]


def optional(name: str, what: str = "watch()") -> Any:
    """Import a module of the extra `demo`, for what is named."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(f'{what} needs {package} for this: pip install "layered-tape[demo]"') from error


def watch(tape: Watched, *, interval: float = 0.1, show: bool = True) -> "Watch":
    """Watch a tape with a memory budget::

        with watch(tape) as seen:
            sweep(tape)
        seen.plot("layers.png")

    Parameters
    ----------
    tape : Tape
        One with a memory budget.
    interval : float
        Seconds from one look at it to the next.
    show : bool
        Keep a line of progress on the terminal (needs tqdm); where standard error is none, nothing is shown.

    Raises
    ------
    TapeValueError
        If the tape has no memory budget, hence no layers, or the interval is not positive.
    ImportError
        If `show` is asked for and tqdm is not installed.
    """
    return Watch(tape, interval, show)


class Watch:
    """What `watch` returns: a context, and afterwards what was seen in it."""

    def __init__(self, tape: Watched, interval: float, show: bool) -> None:
        if not callable(getattr(tape, "traffic", None)):
            raise TapeTypeError(f"tape: a Tape, not {type(tape).__name__}")
        if not 0 < interval <= threading.TIMEOUT_MAX:  # NaN is refused too
            raise TapeValueError(f"interval: {interval} is no number of seconds to wait; 0.1 is a good one")
        if show:
            optional("tqdm")  # refused here, not in the middle
        self.failure: Exception | None = None
        """What ended the watching early (the tape was closed, say), or None."""
        self.latest = _look(tape)
        """The last `LayerStats` seen."""
        self._tape: Watched | None = tape
        self._interval = interval
        self._show = show
        self._line: _Line | None = None
        self._history = _History()
        self._begun = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._thread is not None or self._tape is None:
            raise TapeBusyError("a watch is entered once; make another one with watch(tape)")
        self._begun = time.perf_counter()
        self._see(self._tape, 0.0)
        if self._show:
            self._line = _Line(self.latest)
        # A daemon, for a program that ends without leaving the context.
        self._thread = threading.Thread(target=self._run, args=(self._tape,), name="tape-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        tape, self._tape = self._tape, None  # gigabytes are not kept for the sake of a plot
        if tape is not None and self.failure is None:
            self._guarded(tape)
        if self._line is not None:
            with contextlib.suppress(Exception):  # standard error may be gone
                self._line.close(self.latest)

    @property
    def samples(self) -> Samples:
        """What was seen so far, as arrays; of very many samples every second, fourth ... one is kept."""
        rows = self._history.rows()
        times = np.array([row[0] for row in rows])
        layers = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 2)
        return Samples(times, layers[:, 0].copy(), layers[:, 1].copy())

    def _run(self, tape: Watched) -> None:
        while not self._stop.wait(self._interval) and self._guarded(tape):
            pass

    def _guarded(self, tape: Watched) -> bool:
        """Look once; whatever fails is kept in `failure` and not let into the program that is being watched."""
        try:
            self._see(tape, time.perf_counter() - self._begun)
        except Exception as error:
            self.failure = error
            return False
        return True

    def _see(self, tape: Watched, now: float) -> None:
        self.latest = _look(tape)
        self._history.add((now, self.latest.resident_bytes, self.latest.spilled_bytes))
        if self._line is not None:
            self._line.update(now, self.latest)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the bytes in each layer over time into a file: PNG, PDF or SVG, as its name says (needs matplotlib)."""
        samples = self.samples
        if not len(samples.times):
            raise TapeValueError("nothing was seen yet: use the watch in a with statement first")
        _draw(samples, self.latest.budget_bytes, path)


def _look(tape: Watched) -> LayerStats:
    traffic = tape.traffic()
    if traffic is None:
        raise TapeValueError('the tape has no memory budget, hence no layers to watch; give it one (memory="256 MiB")')
    return traffic


# --------------------------------------------------------------------------------------------- the samples

Row = tuple[float, int, int]


class _History:
    """Samples evenly spread over any length of time: when they become too many, every second one goes."""

    def __init__(self) -> None:
        self._kept: list[Row] = []
        self._last: Row | None = None
        self._every = 1
        self._seen = 0

    def add(self, row: Row) -> None:
        self._last = row
        if self._seen % self._every == 0:
            if len(self._kept) == MOST_SAMPLES:  # an even number, so that this row is the next one to keep
                self._kept = self._kept[::2]  # a new list: another thread may be reading the old one
                self._every *= 2
            self._kept.append(row)
        self._seen += 1

    def rows(self) -> list[Row]:
        """The samples, the last one included in any case."""
        kept, last = list(self._kept), self._last
        if last is not None and (not kept or kept[-1][0] < last[0]):
            kept.append(last)
        return kept


# ------------------------------------------------------------------------------------------------ the line


def new_bar(*, total: int | None, bar_format: str, what: str = "watch()") -> Any:
    """A line of tqdm's on the terminal; where standard error is none nothing is shown.  Draw it by `display` alone."""
    tqdm = optional("tqdm", what)

    class Bar(tqdm.tqdm):  # type: ignore[name-defined]
        monitor_interval = 0  # no other thread is needed
        failed = False

        def display(self, *args: Any, **options: Any) -> bool:
            # What is raised here would leave tqdm's lock with this thread, and any later bar would wait for ever.
            if self.failed:
                return False
            try:
                return bool(super().display(*args, **options))
            except Exception:  # standard error is gone; the work goes on
                self.failed = True
                return False

    return Bar(total=total, bar_format=bar_format, disable=None, dynamic_ncols=True)


class Recent:
    """What was seen of a tape lately, for rates of now."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, LayerStats]] = deque()

    def text(self, now: float, traffic: LayerStats) -> str:
        """The line for what is seen now."""
        self._seen.append((now, traffic))
        while now - self._seen[0][0] > RATE_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        return progress_text(now, traffic, *self._seen[0])


class _Line:
    """One line on the terminal: how full the memory is, and what goes to and fro."""

    def __init__(self, first: LayerStats) -> None:
        self._bar = new_bar(total=first.budget_bytes, bar_format="in memory |{bar:20}| {desc}")
        self._recent = Recent()
        self._drawn = -LINE_SECONDS

    def update(self, now: float, traffic: LayerStats) -> None:
        if now - self._drawn < LINE_SECONDS:
            return
        self._drawn = now
        self._draw(traffic, self._recent.text(now, traffic))

    def close(self, traffic: LayerStats) -> None:
        self._draw(traffic, summary_text(traffic))
        self._bar.close()

    def _draw(self, traffic: LayerStats, text: str) -> None:
        # The bar takes more than its total for an unknown total.
        self._bar.n = min(traffic.resident_bytes, traffic.budget_bytes)
        self._bar.set_description_str(text, refresh=False)
        # Not refresh(): a thread that never holds tqdm's lock cannot leave it locked in a fork, nor wait for a program
        # that leaves the context with it.
        if not self._bar.disable:
            self._bar.display()


def progress_text(now: float, traffic: LayerStats, before: float, then: LayerStats) -> str:
    """The line while it goes on; rates are means since `then`, which was seen at `before`."""
    parts = [f"{_in_memory(traffic)}, {format_bytes(traffic.spilled_bytes)} spilled"]
    for verb, amount in (
        ("writing", traffic.bytes_written - then.bytes_written),
        ("reading", traffic.bytes_read - then.bytes_read),
    ):
        if amount > 0 and now > before:
            parts.append(f"{verb} {format_bytes(round(amount / (now - before)))}/s")
    return ", ".join(parts + _waits(traffic))


def summary_text(traffic: LayerStats) -> str:
    """The line that stays."""
    parts = [
        _in_memory(traffic),
        f"written {format_bytes(traffic.bytes_written)} at {format_bytes(round(traffic.write_rate))}/s",
        f"read {format_bytes(traffic.bytes_read)} at {format_bytes(round(traffic.read_rate))}/s",
    ]
    return ", ".join(parts + _waits(traffic))


def _in_memory(traffic: LayerStats) -> str:
    return f"{format_bytes(traffic.resident_bytes)} of {format_bytes(traffic.budget_bytes)}"


def _waits(traffic: LayerStats) -> list[str]:
    count = traffic.write_stalls + traffic.read_stalls
    seconds = traffic.write_stall_seconds + traffic.read_stall_seconds
    return [f"{count} stall{'' if count == 1 else 's'} ({seconds:.1f} s)"] if count else []


# ------------------------------------------------------------------------------------------------ the plot


def _draw(samples: Samples, budget: int, path: str | os.PathLike[str]) -> None:
    """Without pyplot, so that the caller's backend and figures stay as they are."""
    figures = optional("matplotlib.figure")
    top = max(int((samples.resident + samples.spilled).max()), budget, 1)
    unit, name = byte_unit(top)
    seconds, clock = _time_unit(float(samples.times[-1]))
    times = samples.times / seconds
    figure = figures.Figure(figsize=(9.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.stackplot(
        times,
        samples.resident / unit,
        samples.spilled / unit,
        labels=["in memory", "spilled"],
        colors=["#4477aa", "#ddcc77"],
        linewidth=0,
    )
    axes.axhline(
        budget / unit, color="black", linestyle="--", linewidth=1.2, label=f"memory budget, {format_bytes(budget)}"
    )
    axes.set(
        xlabel=f"time [{clock}]",
        ylabel=f"on the tape [{name}]",
        title="Where the bytes of the tape were",
        xlim=(0.0, max(float(times[-1]), 1e-9)),
        ylim=(0.0, 1.15 * top / unit),
    )
    axes.grid(alpha=0.3)
    axes.set_axisbelow(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper center", ncols=3)
    figure.savefig(path, dpi=150)


def _time_unit(longest: float) -> tuple[float, str]:
    for seconds, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if longest >= 3 * seconds:
            return seconds, name
    return (1.0, "s") if longest >= 1 else (1e-3, "ms")
