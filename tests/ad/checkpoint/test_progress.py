"""The line that a gradient shows with ``progress=True``: what it says, who asks for it, and that it always ends."""

import _thread
import os
import pickle
import re
import subprocess
import sys
import threading
from math import sin

import numpy as np
import pytest
from terminal import counts_of, drawing, shown

import ad
import ad.progress
from ad.checkpoint import fewest_steps
from ad.counting import CountedLoop, Trips
from ad.progress import Line, loop_left, loop_text
from ad.report import Line as SourceLine
from tape import SpillError


def by_snapshots(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s):
        x = 0.75 * x * (1.5 - x)
    return x


def nested(x, m, n):
    for _ in ad.checkpointed(range(m), snapshots=2):
        for _ in ad.checkpointed(range(n), snapshots=3):
            x = 0.75 * x * (1.5 - x)
    return x


def repeats(n, s):
    return fewest_steps(n, s) - (n - 1)


def loop(number=12, inside=False, repeated=False, row=0, planned=None):
    return CountedLoop(SourceLine(number, "for ...", "f", "f.py"), row, inside, repeated, planned)


def test_the_text_of_a_loop():
    assert loop_text(loop(), Trips(8, 0, 0, 10, 17)) == "line 12: forward 8 of 10, again 0 of 17, reverse 0 of 10"
    assert loop_text(loop(), Trips(10, 3, 2, 10, 17)) == "line 12: forward 10 of 10, again 3 of 17, reverse 2 of 10"
    assert loop_text(loop(), Trips(10, 0, 2, 10, 0)) == "line 12: forward 10 of 10, reverse 2 of 10"
    assert loop_text(loop(), Trips(8, 0, 0, 0, 0)) == "line 12: forward 8, reverse 0", "of an unknown number"


def test_the_time_that_is_left():
    assert loop_left(Trips(8, 0, 0, 0, 0), 1.0, 0.0) is None
    assert loop_left(Trips(0, 0, 0, 10, 7), 0.0, 0.0) is None
    assert loop_left(Trips(5, 0, 0, 10, 7), 1.0, 0.0) == pytest.approx(0.2 * (5 + 7 + 2 * 10)), "twice for a trip back"
    left = loop_left(Trips(10, 4, 2, 10, 7), 1.0, 1.4)
    assert left == pytest.approx(0.1 * 3 + (1.4 - 0.4) / 2 * 8), "those that are run again take as long as before"
    assert loop_left(Trips(10, 4, 2, 10, 7), 10.0, 0.6) > 0, "though they were slower then"
    assert loop_left(Trips(10, 7, 10, 10, 7), 1.0, 1.4) == 0.0


class FakeTape:
    lanes = ()

    def __init__(self, stats=None):
        self.stats = stats

    def traffic(self):
        return self.stats


class FakePlanning:
    def reversing(self, number):
        return {0: 5.0}.get(number)


def seen(loops, *looks, monkeypatch):
    """The lines at looks of one second each."""
    monkeypatch.setattr(ad.progress, "_held", lambda: ["5 MiB held by tapes"])
    counts = np.zeros((len(loops), 5), np.int64)
    watcher = ad.progress._Seen(FakeTape(), loops, counts, FakePlanning(), 100.0)
    lines = []
    for k, rows in enumerate(looks, start=1):
        counts[:] = np.reshape(rows, (-1, 5))
        lines.append(watcher.look(100.0 + k))
    return [*lines, watcher.last(100.0 + len(looks), True)]


def test_lines(monkeypatch):
    looks = (0, 0, 0), (10, 0, 0), (20, 0, 0), (20, 5, 5), (20, 10, 20)
    assert seen([loop()], *([[*trips, 20, 10]] for trips in looks), monkeypatch=monkeypatch) == [
        "line 12: forward 0 of 20, again 0 of 10, reverse 0 of 20, 5 MiB held by tapes",
        "line 12: forward 10 of 20, again 0 of 10, reverse 0 of 20, 0:06 left, 5 MiB held by tapes",
        "line 12: forward 20 of 20, again 0 of 10, reverse 0 of 20, 0:05 left, 5 MiB held by tapes",
        "line 12: forward 20 of 20, again 5 of 10, reverse 5 of 20, 0:02 left, 5 MiB held by tapes",
        "line 12: forward 20 of 20, again 10 of 10, reverse 20 of 20, 5 MiB held by tapes",
        "line 12: forward 20 of 20, again 10 of 10, reverse 20 of 20, took 0:05, 5 MiB held by tapes",
    ]


def test_a_plan_knows_how_long_a_trip_back_takes(monkeypatch):
    looks = [[0] * 5], [[10, 0, 0, 20, 0]], [[20, 0, 10, 20, 0]]
    for number, left in ((0, "0:11"), (1, "0:05")):
        lines = seen([loop(planned=number)], *looks, monkeypatch=monkeypatch)
        assert lines[1] == f"line 12: forward 10 of 20, reverse 0 of 20, {left} left, 5 MiB held by tapes"
        assert "0:00 left" in lines[2] or "0:01 left" in lines[2], "what was seen goes before"


def test_lines_of_several_loops(monkeypatch):
    first, second, inner = loop(3, row=0), loop(7, row=1, repeated=True), loop(8, row=2, inside=True)
    nothing = [0] * 5
    looks = (
        [[10, 0, 0, 10, 0], nothing, nothing],
        [[10, 0, 0, 10, 0], [5, 0, 0, 0, 0], nothing],
        [[10, 0, 0, 10, 0], [5, 0, 0, 5, 0], nothing],
        [[10, 0, 0, 10, 0], [5, 0, 1, 5, 0], [4, 0, 4, 4, 0]],
    )
    one, two, three, four, last = seen([first, second, inner], *looks, monkeypatch=monkeypatch)
    assert one == "line 3: forward 10 of 10, reverse 0 of 10, at least 0:02 left, 5 MiB held by tapes"
    assert two == "line 7: forward 5, reverse 0, time left unknown, 5 MiB held by tapes"
    assert three == "line 7: forward 5 of 5, reverse 0 of 5, at least 0:04 left, 5 MiB held by tapes"
    assert four.startswith("line 7: forward 5 of 5, reverse 1 of 5; line 8: forward 4 of 4, reverse 4 of 4, 0:06 left")
    assert last.startswith("line 3: forward 10 of 10, reverse 0 of 10; line 7: ")


def test_lines_without_a_marked_loop(monkeypatch):
    assert seen([], [], [], monkeypatch=monkeypatch) == [
        "no loop is marked, 0:01, 5 MiB held by tapes",
        "no loop is marked, 0:02, 5 MiB held by tapes",
        "no loop is marked, took 0:02, 5 MiB held by tapes",
    ]


# ------------------------------------------------------------------------------------------- the line of a call


def unmarked(x, n):
    for _ in range(n):
        x = sin(x) + 0.1 * x * x
    return x


def no_tape(a, b):
    return a * b


def test_a_call_without_a_marked_loop_shows_its_tape(terminal):
    g = ad.grad(unmarked, "x")
    expected = g(0.3, 100_000)
    assert g(0.3, 100_000, progress=True) == expected
    assert re.fullmatch(r"no loop is marked, took \d:\d\d, .*iB held by tapes", terminal.lines[-1])
    assert g(0.3, 100_000, progress=True, memory="64 KiB") == expected
    assert re.search(r"took \d+:\d\d, .* of 64 KiB, written [1-9].*, read [1-9]", terminal.lines[-1])


def test_what_goes_to_disk_is_that_of_the_call(terminal):
    g = ad.grad(unmarked, "x").with_options(memory="64 KiB", progress=True)
    written = [re.search(r"written ([\d.]+ \w+)", (g(0.3, 100_000), terminal.lines[-1])[1])[1] for _ in range(2)]
    assert written[0] == written[1]


def test_a_gradient_without_a_tape_shows_nothing(terminal):
    assert ad.grad(no_tape)(2.0, 3.0, progress=True) == (3.0, 2.0)
    assert terminal.getvalue() == ""


def test_where_there_is_no_terminal(capsys):
    g = ad.grad(by_snapshots, "x")
    assert g(0.3, 20, 3, progress=True) == g(0.3, 20, 3)
    assert capsys.readouterr().err == ""
    assert not drawing()


def test_it_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    g = ad.grad(by_snapshots, "x")
    with pytest.raises(ImportError, match=r"progress needs tqdm for this: pip install"):
        g(0.3, 20, 3, progress=True)
    assert g(0.3, 20, 3, progress=False) == g(0.3, 20, 3)


def test_it_is_drawn_while_compiled_code_runs(terminal, monkeypatch):
    """Whatever the machine: the loop goes on until a line was drawn."""
    monkeypatch.setattr(ad.progress, "LINE_SECONDS", 0.001)
    g = ad.grad(by_snapshots, "x")
    for n in 2 ** np.arange(10, 25):
        g(0.3, int(n), 50, progress=True)
        if any("left" in line for line in terminal.lines):
            break
    line = next(line for line in terminal.lines if "left" in line)
    assert re.match(r"line \d+: forward \d+ of \d+, again \d+ of \d+, reverse \d+ of \d+, \d+:\d\d left", line)


# ------------------------------------------------------------------------------------------------------- options


def test_where_it_is_asked_for(terminal):
    g = ad.grad(by_snapshots, "x")
    expected = g(0.3, 20, 3)
    assert terminal.getvalue() == ""
    mine = g.with_options(progress=True)
    for call in (lambda: g(0.3, 20, 3, progress=True), lambda: mine(0.3, 20, 3), lambda: mine(0.3, n=20, s=3)):
        before = len(terminal.lines)
        assert call() == call() == expected
        assert len(terminal.lines) > before
    with ad.options(progress=True):
        before = len(terminal.lines)
        assert g(0.3, 20, 3) == g(0.3, 20, 3) == expected
        assert len(terminal.lines) > before
        before = len(terminal.lines)
        assert g(0.3, 20, 3, progress=False) == g.with_options(progress=None)(0.3, 20, 3) == expected
        with ad.options(progress=False, memory="1 MiB"):
            assert g(0.3, 20, 3) == expected
        assert mine(0.3, 20, 3, progress=None) == expected
        assert len(terminal.lines) == before
        with ad.options(memory="1 MiB"):
            assert g(0.3, 20, 3) == expected
        assert len(terminal.lines) > before
    before = len(terminal.lines)
    assert g(0.3, 20, 3) == expected
    assert len(terminal.lines) == before
    assert mine.report().options["progress"] is True and "progress" not in g.report().options
    assert "progress=True" in repr(mine)
    assert pickle.loads(pickle.dumps(mine))(0.3, 20, 3) == expected


def test_what_it_may_be():
    g = ad.grad(by_snapshots, "x")
    for wrong in (1, "yes", 0.5):
        for take in (lambda **given: g(0.3, 5, 2, **given), g.with_options, ad.options):
            with pytest.raises(ad.ADTypeError, match="progress: True or False, not"):
                take(progress=wrong)


def test_a_function_with_a_parameter_of_that_name(terminal):
    def f(x, n, progress):
        for _ in ad.checkpointed(range(n), snapshots=3):
            x = 0.75 * x * (1.5 - x) + progress
        return x

    g = ad.grad(f, "progress")
    expected = g(0.3, 10, 0.01)
    assert g(0.3, 10, progress=0.01) == expected
    assert terminal.getvalue() == ""
    assert g.with_options(progress=True)(0.3, 10, progress=0.01) == expected
    assert counts_of(terminal.lines[-1]) == [(10, repeats(10, 3), 10)]


def test_the_code_without_it_is_the_same():
    g = ad.grad(by_snapshots, "x")
    g(0.3, 5, 2)
    source = g.source
    g(0.3, 5, 2, progress=True)
    assert g.source == source and "count" not in source


@pytest.mark.parametrize("options", [{"debug": True}, {"record": "f4"}, {"memory": "1 MiB", "debug": True}])
def test_beside_other_options(options, terminal):
    assert shown(ad.grad(nested, "x"), terminal, 0.3, 4, 6, **options) == [
        (4, repeats(4, 2), 4),
        (24, 4 * repeats(6, 3), 24),
    ]


# ---------------------------------------------------------------------------------------------- errors and threads


def failing(x, n, m):
    for i in ad.checkpointed(range(n), snapshots=3):
        if i == m:
            raise ValueError("too far")
        x = 0.75 * x * (1.5 - x)
    return x


def test_what_the_function_raises(terminal):
    g = ad.grad(failing, "x")
    assert g(0.3, 20, 30, progress=True) == g(0.3, 20, 30)
    with pytest.raises(ValueError, match="too far"):
        g(0.3, 20, 13, progress=True)
    assert re.search(r"forward 14 of 20, again 0 of \d+, reverse 0 of 20, ended after 0:00", terminal.lines[-1])
    assert g(0.3, 20, 30, progress=True) == g(0.3, 20, 30)


def test_a_disk_that_is_full(terminal, tmp_path):
    with pytest.raises((SpillError, OSError)):
        ad.grad(unmarked, "x")(0.3, 100_000, progress=True, memory="64 KiB", spill_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("where", ["see", "_draw"])
def test_an_interruption(where, terminal, monkeypatch):
    g = ad.grad(by_snapshots, "x")
    expected = g(0.3, 20, 3, progress=True)
    plain = getattr(Line, where)

    def interrupted(self, *args):
        if threading.current_thread() is not threading.main_thread():
            return plain(self, *args)
        plain(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Line, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            g(0.3, 20, 3, progress=True)
    assert not drawing()
    assert g(0.3, 20, 3, progress=True) == expected


def test_ctrl_c_while_compiled_code_runs(terminal, monkeypatch):
    monkeypatch.setattr(ad.progress, "LINE_SECONDS", 0.001)
    g = ad.grad(by_snapshots, "x")
    g(0.3, 20, 3, progress=True)
    look, pressed = ad.progress._Seen.look, []

    def press_and_look(self, now):
        if not pressed:
            pressed.append(True)
            _thread.interrupt_main()
        return look(self, now)

    monkeypatch.setattr(ad.progress._Seen, "look", press_and_look)
    with pytest.raises(KeyboardInterrupt):
        for n in 2 ** np.arange(10, 25):
            g(0.3, int(n), 50, progress=True)
    assert "took" in terminal.lines[-1] or "ended after" in terminal.lines[-1]


def test_threads_at_once(terminal):
    g = ad.grad(by_snapshots, "x").with_options(progress=True)
    expected = [g(0.3, 100 + k, 3, progress=False) for k in range(4)]
    found = [None] * 4

    def run(k):
        found[k] = [g(0.3, 100 + k, 3) for _ in range(20)]

    workers = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [[value] * 20 for value in expected]


def test_one_call_within_another(terminal, monkeypatch):
    g, h = ad.grad(by_snapshots, "x"), ad.grad(unmarked, "x")
    expected = g(0.3, 20, 3)
    other = h(0.3, 20)
    see = Line.see

    def within(self, *args):
        see(self, *args)
        monkeypatch.setattr(Line, "see", see)
        assert h(0.3, 20, progress=True) == other

    monkeypatch.setattr(Line, "see", within)
    assert g(0.3, 20, 3, progress=True) == expected
    assert counts_of(terminal.lines[-1]) == [(20, repeats(20, 3), 20)]


# --------------------------------------------------------------------------------------------------- the cache on disk

SCRIPT = """
import io, sys
import ad

class Terminal(io.StringIO):
    def isatty(self):
        return True

def f(x, n):
    for _ in ad.checkpointed(range(n), snapshots=3):
        x = 0.75 * x * (1.5 - x)
    return x

stderr, sys.stderr = sys.stderr, Terminal()
g = ad.grad(f, "x")
found = g(0.3, 20, progress=True)
text, sys.stderr = sys.stderr.getvalue(), stderr
special, = g._specials.values()
stats = special._counted.kernel.function.stats
hits, misses = (sum(each.values()) for each in (stats.cache_hits, stats.cache_misses))
print(found.hex(), hits, misses, text.split("took")[0].split(chr(13))[-1])
"""


def test_another_process_compiles_nothing(tmp_path):
    (tmp_path / "program.py").write_text(SCRIPT)
    environment = {**os.environ, "LAYERED_TAPE_CACHE_DIR": str(tmp_path / "cache")}
    runs = [
        subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout.split(maxsplit=3)
        for _ in range(2)
    ]
    assert runs[0][0] == runs[1][0] and runs[0][3] == runs[1][3]
    assert f"again {repeats(20, 3)} of {repeats(20, 3)}, reverse 20 of 20" in runs[1][3]
    assert runs[1][1:3] == ["1", "0"]
