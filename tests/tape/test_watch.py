"""The numbers of the layers in words, their samples, their line and their plot."""

import dataclasses
import errno
import gc
import inspect
import io
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from tape import LayerStats, TapeBusyError, TapeClosedError, TapeTypeError, TapeValueError, watch
from tape import sizes as tape_sizes
from tape.watch import MOST_SAMPLES, _History, _time_unit, progress_text, summary_text

MIB = 2**20
QUIET = LayerStats(
    bytes=100 * MIB,
    resident_bytes=100 * MIB,
    spilled_bytes=0,
    budget_bytes=256 * MIB,
    file_bytes=0,
    bytes_written=0,
    bytes_read=0,
    write_stalls=0,
    write_stall_seconds=0.0,
    read_stalls=0,
    read_stall_seconds=0.0,
    prefetch_hits=0,
    prefetch_misses=0,
    write_seconds=0.0,
    read_seconds=0.0,
)
BUSY = dataclasses.replace(
    QUIET,
    bytes=1024 * MIB,
    resident_bytes=250 * MIB,
    spilled_bytes=774 * MIB,
    file_bytes=800 * MIB,
    bytes_written=800 * MIB,
    bytes_read=26 * MIB,
    write_stalls=3,
    write_stall_seconds=0.25,
    read_stalls=1,
    read_stall_seconds=0.5,
    prefetch_hits=25,
    prefetch_misses=1,
    write_seconds=2.0,
    read_seconds=0.5,
)


class Sweep:
    """A tape that grows past its budget and shrinks again, one step a look."""

    def __init__(self, steps=40, peak=1024 * MIB, budget=256 * MIB):
        self.steps, self.peak, self.budget, self.looks = steps, peak, budget, 0

    def traffic(self):
        step, self.looks = min(self.looks, self.steps), self.looks + 1
        total = self.peak * min(step, self.steps - step) * 2 // self.steps
        spilled = max(total - self.budget, 0)
        deepest = max(self.peak * min(2 * step, self.steps) // self.steps - self.budget, 0)
        return dataclasses.replace(
            QUIET,
            bytes=total,
            resident_bytes=total - spilled,
            spilled_bytes=spilled,
            budget_bytes=self.budget,
            file_bytes=deepest,
            bytes_written=deepest,
            bytes_read=deepest - spilled,
        )


class Fixed:
    def __init__(self, answer):
        self.answer = answer

    def traffic(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def wait_for(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "waited for 20 s"
        time.sleep(0.001)


# ------------------------------------------------------------------------------------------------- numbers


def test_layer_stats_in_words():
    assert str(QUIET) == (
        "100 MiB on the tape: 100 MiB in memory (budget 256 MiB), 0 B spilled (store 0 B); nothing was moved yet"
    )
    assert str(BUSY) == (
        "1 GiB on the tape: 250 MiB in memory (budget 256 MiB), 774 MiB spilled (store 800 MiB)\n"
        "written 800 MiB at 400 MiB/s (3 stalls, 0.25 s), read 26 MiB at 52 MiB/s (1 stall, 0.50 s); "
        "25 of 26 slabs were read ahead"
    )
    only_written = dataclasses.replace(QUIET, bytes_written=MIB, write_seconds=1.0, file_bytes=MIB)
    assert str(only_written).endswith("written 1 MiB at 1 MiB/s (no stalls), read 0 B at 0 B/s (no stalls)")


def test_rates():
    assert (BUSY.write_rate, BUSY.read_rate) == (400 * MIB, 52 * MIB)
    assert (QUIET.write_rate, QUIET.read_rate) == (0.0, 0.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        BUSY.bytes = 0


def test_every_field_is_documented():
    """By position, as Python keeps no docstrings of fields."""
    lines = inspect.getsource(LayerStats).split("\n")
    for field in dataclasses.fields(LayerStats):
        (at,) = (k for k, line in enumerate(lines) if line.strip().startswith(f"{field.name}:"))
        assert lines[at + 1].strip().startswith('"""'), field.name


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, (1, "B"), "0 B"),
        (1023, (1, "B"), "1023 B"),
        (1024, (1024, "KiB"), "1 KiB"),
        (3 * MIB // 2, (MIB, "MiB"), "1.5 MiB"),
        (2**40, (2**40, "TiB"), "1 TiB"),
        (2**50, (2**40, "TiB"), "1024 TiB"),
    ],
)
def test_units(number, unit, text):
    assert tape_sizes.byte_unit(number) == unit
    assert tape_sizes.format_bytes(number) == text


# ------------------------------------------------------------------------------------------------- samples


def test_samples_follow_the_sweep():
    tape = Sweep()
    with watch(tape, interval=0.001, show=False) as seen:
        wait_for(lambda: tape.looks > 45)
    times, resident, spilled = seen.samples
    assert seen.failure is None
    assert len(times) == len(resident) == len(spilled) > 40
    assert times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert resident.max() == tape.budget
    assert spilled.max() == tape.peak - tape.budget
    assert resident[-1] == spilled[-1] == 0
    assert resident.dtype == spilled.dtype == np.int64
    assert seen.latest.bytes_read == tape.peak - tape.budget


def test_a_last_look_is_taken_at_the_end():
    tape = Fixed(QUIET)
    with watch(tape, interval=1000, show=False) as seen:
        tape.answer = BUSY
    assert list(seen.samples.spilled) == [0, BUSY.spilled_bytes]
    assert seen.latest is BUSY


def test_it_stops_at_once_and_leaves_no_thread():
    before = threading.active_count()
    begun = time.monotonic()
    with watch(Fixed(QUIET), interval=1000, show=False):
        assert [t.daemon for t in threading.enumerate() if t.name == "tape-watch"] == [True]
    assert time.monotonic() - begun < 100
    assert threading.active_count() == before


def test_it_stops_when_the_program_fails():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), watch(Fixed(QUIET), show=False):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_samples_may_be_read_meanwhile():
    tape = Sweep(steps=10**6)
    with watch(tape, interval=0.0001, show=False) as seen:
        for _ in range(50):
            wait_for(lambda looks=tape.looks: tape.looks > looks)
            times, resident, _ = seen.samples
            assert len(times) == len(resident) >= 1


def test_very_many_samples_are_thinned_out():
    history = _History()
    for k in range(10 * MOST_SAMPLES + 3):
        history.add((float(k), k, -k))
        rows = history.rows()[-2:] if k % 97 else history.rows()
        assert rows[-1] == (float(k), k, -k), "the last one is always there"
        assert len(rows) <= MOST_SAMPLES + 1
    times = [row[0] for row in history.rows()]
    assert times[0] == 0.0
    assert len(times) > MOST_SAMPLES // 2
    assert set(np.diff(times[:-1])) == {16.0}, "evenly spread"


# ------------------------------------------------------------------------------------------------ failures


def test_what_fails_in_the_thread_stays_there(capfd):
    tape = Fixed(QUIET)
    with watch(tape, interval=0.001, show=False) as seen:
        tape.answer = TapeClosedError("the tape is closed")
        wait_for(lambda: seen.failure is not None)
    assert seen.failure is tape.answer
    assert {*seen.samples.resident} == {QUIET.resident_bytes}
    assert capfd.readouterr() == ("", "")


def test_what_fails_at_the_end_stays_there():
    tape = Fixed(QUIET)
    with watch(tape, interval=1000, show=False) as seen:
        tape.answer = None
    assert isinstance(seen.failure, TapeValueError)


def test_a_failure_before_the_beginning_is_raised():
    tape = Fixed(QUIET)
    seen = watch(tape, show=False)
    tape.answer = TapeClosedError("the tape is closed")
    with pytest.raises(TapeClosedError), seen:
        pytest.fail("not reached")
    assert not any(t.name == "tape-watch" for t in threading.enumerate())


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), 1e300])
def test_intervals_are_checked(interval):
    with pytest.raises(TapeValueError, match="interval"):
        watch(Fixed(QUIET), interval=interval, show=False)


def test_what_cannot_be_watched_is_refused():
    with pytest.raises(TapeTypeError, match="list"):
        watch([], show=False)
    with pytest.raises(TapeValueError, match="memory budget"):
        watch(Fixed(None), show=False)


def test_a_watch_is_entered_once():
    seen = watch(Fixed(QUIET), show=False)
    with seen, pytest.raises(TapeBusyError, match="once"), seen:
        pytest.fail("not reached")
    with pytest.raises(TapeBusyError, match="once"), seen:
        pytest.fail("not reached")


# ------------------------------------------------------------------------------------------------ the line


class Terminal(io.StringIO):
    full = False

    def isatty(self):
        return True

    def write(self, text):
        if self.full:
            raise OSError(errno.ENOSPC, "a full disk behind it")
        return super().write(text)


def test_texts():
    assert progress_text(0.0, QUIET, 0.0, QUIET) == "100 MiB of 256 MiB, 0 B spilled"
    assert progress_text(3.0, BUSY, 1.0, QUIET) == (
        "250 MiB of 256 MiB, 774 MiB spilled, writing 400 MiB/s, reading 13 MiB/s, 4 stalls (0.8 s)"
    )
    assert summary_text(BUSY) == (
        "250 MiB of 256 MiB, written 800 MiB at 400 MiB/s, read 26 MiB at 52 MiB/s, 4 stalls (0.8 s)"
    )
    one = dataclasses.replace(QUIET, read_stalls=1, read_stall_seconds=2.0)
    assert progress_text(0.0, one, 0.0, one).endswith(", 1 stall (2.0 s)")


def test_the_line_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    tape = Fixed(QUIET)
    with watch(tape, interval=0.01):
        wait_for(lambda: "100 MiB of 256 MiB, 0 B spilled" in terminal.getvalue())
        tape.answer = BUSY
        wait_for(lambda: "774 MiB spilled, writing" in terminal.getvalue())
    lines = terminal.getvalue().split("\r")
    assert "written 800 MiB at 400 MiB/s" in lines[-1]
    assert lines[-1].endswith("\n")
    assert terminal.getvalue().count("\n") == 1


def test_no_line_where_there_is_no_terminal(capfd):
    with watch(Fixed(BUSY), interval=0.001) as seen:
        wait_for(lambda: len(seen.samples.times) > 3)
    assert capfd.readouterr() == ("", "")


def other_bars_work():
    """A lock that was never given back would keep every later bar of the program waiting."""
    tqdm = pytest.importorskip("tqdm")
    bar = threading.Thread(target=lambda: list(tqdm.tqdm([1, 2], file=io.StringIO())), daemon=True)
    bar.start()
    bar.join(20)
    return not bar.is_alive()


@pytest.mark.parametrize("fail_at", ["the beginning", "the middle", "the end"])
@pytest.mark.parametrize("how", ["full", "closed"])
def test_a_terminal_that_fails_ends_the_line_only(monkeypatch, fail_at, how):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def fail():
        terminal.full = True
        if how == "closed":
            terminal.close()

    seen = watch(Fixed(BUSY), interval=0.01 if fail_at != "the end" else 1000)
    if fail_at == "the beginning":
        terminal.full = True
    with seen:
        fail()
        if fail_at != "the end":
            wait_for(lambda: len(seen.samples.times) > 30)
    assert seen.failure is None
    assert other_bars_work()


def test_a_program_that_holds_the_lock_of_the_bars_is_not_waited_for(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    tqdm = pytest.importorskip("tqdm")
    with tqdm.tqdm.get_lock():
        with watch(Fixed(BUSY), interval=0.01) as seen:
            wait_for(lambda: terminal.getvalue().count("774 MiB spilled") > 2)
        assert seen.failure is None
    assert other_bars_work()


@pytest.mark.parametrize(("missing", "use"), [("tqdm", "watch"), ("matplotlib", "plot")])
def test_missing_packages_are_named(monkeypatch, tmp_path, missing, use):
    with watch(Fixed(QUIET), show=False) as seen:
        pass
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs {missing}.*layered-tape\[demo\]"):
        if use == "watch":
            watch(Fixed(QUIET))
        else:
            seen.plot(tmp_path / "x.png")


def test_importing_the_tape_imports_neither():
    code = "import sys, tape; print([m for m in ('tqdm', 'matplotlib') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stdout


# ------------------------------------------------------------------------------------------------ the plot


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved."""
    figure = pytest.importorskip("matplotlib.figure")
    saved = []
    save = figure.Figure.savefig

    def record(self, *args, **options):
        saved.append(self)
        return save(self, *args, **options)

    monkeypatch.setattr(figure.Figure, "savefig", record)
    return saved


def watched(tape, looks):
    with watch(tape, interval=0.001, show=False) as seen:
        wait_for(lambda: tape.looks > looks)
    return seen


def test_the_plot_shows_what_was_seen(tmp_path, figures):
    tape = Sweep()
    watched(tape, 41).plot(tmp_path / "layers.png")
    assert (tmp_path / "layers.png").read_bytes()[:4] == b"\x89PNG"
    (figure,) = figures
    (axes,) = figure.axes
    assert axes.get_ylabel() == "on the tape [GiB]"
    assert axes.get_xlabel() in {"time [ms]", "time [s]"}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "in memory",
        "spilled",
        "memory budget, 256 MiB",
    ]
    resident, spilled = axes.collections
    assert resident.get_paths()[0].get_extents().ymax == pytest.approx(0.25)
    assert spilled.get_paths()[0].get_extents().ymax == pytest.approx(1.0)
    (budget,) = axes.lines
    assert list(budget.get_ydata()) == [0.25, 0.25]
    assert axes.get_ylim()[1] > 1.0


def test_the_plot_leaves_pyplot_alone(tmp_path):
    """In a process of its own, where a backend without a screen is chosen and a figure is open."""
    code = """
import sys, types
from tape import watch
from tests_of_watch import QUIET, Fixed
with watch(Fixed(QUIET), show=False) as seen:
    pass
seen.plot("layers.svg")
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
matplotlib.use("svg")
from matplotlib import pyplot
pyplot.figure()
seen.plot("layers.png")
assert matplotlib.get_backend().lower() == "svg", matplotlib.get_backend()
assert pyplot.get_fignums() == [1], pyplot.get_fignums()
"""
    pytest.importorskip("matplotlib")
    with open(__file__, encoding="utf-8") as file:
        (tmp_path / "tests_of_watch.py").write_text(file.read(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "layers.svg").read_text(encoding="utf-8").count("<svg") == 1


@pytest.mark.parametrize("name", ["a.png", "a.pdf", "a.svg"])
def test_plots_of_little(tmp_path, figures, name):
    """An empty tape, a tape without room, a plot in the middle: no warning, no error."""
    nothing = dataclasses.replace(QUIET, bytes=0, resident_bytes=0, budget_bytes=0)
    for answer in (nothing, QUIET):
        with watch(Fixed(answer), show=False) as seen:
            seen.plot(tmp_path / name)
        seen.plot(tmp_path / name)
    assert len(figures) == 4
    assert (tmp_path / name).stat().st_size > 1000


def test_a_plot_of_nothing_is_refused(tmp_path):
    with pytest.raises(TapeValueError, match="nothing was seen"):
        watch(Fixed(QUIET), show=False).plot(tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0.0, "ms"), (0.5, "ms"), (2, "s"), (179, "s"), (180, "min"), (3 * 3600, "h"), (10**6, "days")],
)
def test_units_of_time(seconds, name):
    assert _time_unit(seconds)[1] == name


def test_the_tape_is_let_go_of():
    tape = Fixed(QUIET)
    alive = weakref.ref(tape)
    with watch(tape, show=False) as seen:
        pass
    del tape
    gc.collect()
    assert alive() is None
    assert len(seen.samples.times) >= 2
