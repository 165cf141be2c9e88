"""How compiled loops ask Python for a schedule: what is kept, what is raised, threads, other processes."""

import gc
import math
import os
import subprocess
import sys
import threading
import weakref

import pytest

import ad
from ad.checkpoint import Advance, End, Level, Restore, Reverse, Store, binomial, h_revolve
from ad.tapes import latest_tape


def looping(schedule):
    """A gradient of a loop by a schedule."""

    def loop(x, n, s):
        for i in ad.checkpointed(range(n), snapshots=s, schedule=schedule):  # the loop
            x = math.sin(x) * 1.1 + 0.01 * i
        return x

    return ad.grad(loop, "x")


def recorded(x, n):
    for i in range(n):
        x = math.sin(x) * 1.1 + 0.01 * i
    return x


@pytest.fixture(scope="module")
def expected():
    return ad.grad(recorded, "x")


# ------------------------------------------------------------------------------------------------- tables


def test_a_table_is_made_once_for_the_same_numbers(expected):
    asked = []

    def schedule(n, snapshots, disk_snapshots):
        asked.append((n, snapshots, disk_snapshots))
        return binomial(n, snapshots, 0)

    g = looping(schedule)
    for n, s in ((12, 3), (12, 3), (12, 4), (13, 4), (12, 3)):
        assert g(0.3, n, s) == expected(0.3, n)
    assert asked == [(12, 3, None), (12, 4, None), (13, 4, None)]


class Changing:
    """Another schedule each time; and there is no telling whether it is the same object as before."""

    __hash__ = None

    def __init__(self):
        self.asked = 0

    def __call__(self, n, snapshots, disk_snapshots):
        self.asked += 1
        return binomial(n, self.asked, 0)


def test_both_sweeps_of_a_call_go_by_the_same_table(expected):
    changing = Changing()
    g = looping(changing)
    for calls in (1, 2, 3):
        assert g(0.3, 20, 5) == expected(0.3, 20)
        assert changing.asked == calls


def test_snapshots_by_default_and_what_is_said_of_the_disk():
    asked = []

    def schedule(n, snapshots, disk_snapshots):
        asked.append((n, snapshots, disk_snapshots))
        return binomial(n, snapshots, disk_snapshots or 0)

    def loop(x, n, d):
        for _ in ad.checkpointed(range(n), schedule=schedule):
            x = 0.9 * x * x
        for _ in ad.checkpointed(range(n), schedule=schedule, disk_snapshots=d):
            x = 0.9 * x * x
        for _ in ad.checkpointed(range(n), schedule=binomial):
            x = 0.9 * x * x
        return x

    ad.grad(loop, "x")(0.3, 10, 0)
    assert asked == [(10, 3, None), (10, 3, 0)]


# ------------------------------------------------------------------------------------------------- failures


def too_many(n, snapshots, disk_snapshots):
    return binomial(n, snapshots + 1, 0)


def not_to_the_end(n, snapshots, disk_snapshots):
    return list(binomial(n, snapshots, 0))[:-1]


def not_on_a_stack(n, snapshots, disk_snapshots):
    yield from (Store(0, Level.RAM), Advance(0, 1), Store(1, Level.RAM), Advance(1, n), End(n))
    yield from (Restore(0, Level.RAM, True), Advance(0, n - 1), Reverse(n - 1))
    for i in reversed(range(1, n - 1)):
        yield from (Restore(1, Level.RAM, True), *([Advance(1, i)] if i > 1 else []), Reverse(i))
    yield from (Restore(0, Level.RAM, False), Reverse(0))


def nothing(n, snapshots, disk_snapshots):
    return None


class Mine(Exception):
    pass


def failing(n, snapshots, disk_snapshots):
    yield Store(0, Level.RAM)
    raise Mine("the schedule")


def interrupted(n, snapshots, disk_snapshots):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("schedule", "error", "text"),
    [
        (too_many, ad.ADValueError, "cannot be carried out: action .* all 2 places there are taken"),
        (not_to_the_end, ad.ADValueError, "ends with 1 steps not reversed"),
        (not_on_a_stack, ad.ADValueError, "none for a compiled loop, whose snapshots are a stack: action 6 is Restore"),
        (nothing, TypeError, "not iterable"),
        (failing, Mine, "the schedule"),
        (interrupted, KeyboardInterrupt, "^$"),
    ],
)
def test_what_a_schedule_raises_comes_out_as_it_is(schedule, error, text, expected):
    works = True

    def at_times(n, snapshots, disk_snapshots):
        return (binomial if works else schedule)(n, snapshots, disk_snapshots or 0)

    def loop(x, n, s):
        for i in range(n):  # records, and then there is something on the tape
            x = math.sin(x) * 1.1 + 0.01 * i
        for i in ad.checkpointed(range(n), snapshots=s, schedule=at_times):  # the loop
            x = math.sin(x) * 1.1 + 0.01 * i
        return x

    g = ad.grad(loop, "x")
    value = g(0.3, 10, 2)
    for works in (False, True, False):
        if works:
            assert g(0.3, 10, 2) == value
            continue
        with pytest.raises(error, match=text) as caught:
            g(0.3, 11, 2)
        assert len(latest_tape()) == 0
        if error is not KeyboardInterrupt:
            [note] = caught.value.__notes__
            line = loop.__code__.co_firstlineno + 3
            assert note == f"ad.checkpointed: this came from the schedule of the loop at {__file__}:{line}"
        assert caught.value.__cause__ is None and not caught.value.__suppress_context__


def test_what_was_raised_is_gone_when_it_was_caught():
    g = looping(failing)

    def fail():
        try:
            g(0.3, 10, 2)
        except Mine as error:
            return weakref.ref(error)

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "checkpoint_schedules", None)

    def loop(x, n):
        for _ in ad.checkpointed(range(n), snapshots=1, disk_snapshots=1, schedule="h_revolve"):
            x = 0.9 * x * x
        return x

    with pytest.raises(ImportError, match=r"layered-tape\[checkpointing\]") as caught:
        ad.grad(loop, "x")(0.3, 23)
    assert isinstance(caught.value.__cause__, ImportError), "what it came from is still there"


def test_what_the_schedule_wants_to_know():
    g = looping(h_revolve)
    with pytest.raises(ad.ADValueError, match=r"h_revolve needs to know .* give disk_snapshots="):
        g(0.3, 10, 2)
    with pytest.raises(ValueError, match=r"snapshots must be at least 0 \(.*test_scheduling.py:\d+\)"):
        g(0.3, 10, -1)


CTRL_C = """
import ctypes, math, signal
import ad
from ad.checkpoint import binomial
from numba import njit

send = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(("raise", ctypes.CDLL(None)))


@njit
def strike(x):
    send(2)
    return x


ad.defvjp(strike, lambda g, ans, x: g)


def loop(x, n):
    x = strike(x)
    for _ in ad.checkpointed(range(n), snapshots=2, schedule=binomial):
        x = math.sin(x)
    return x


signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    ad.grad(loop, "x")(0.3, 10)
except KeyboardInterrupt:
    print("interrupted")
"""


def run_python(text, directory, **environment):
    (directory / "script.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run([sys.executable, "script.py"], cwd=directory, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_that_came_before_is_not_lost(tmp_path):
    """It reaches the function that is asked before its first statement."""
    assert run_python(CTRL_C, tmp_path) == ["interrupted"]


# ------------------------------------------------------------------------------------------------- threads, calls


def test_threads_ask_at_the_same_time(expected):
    """Both are in the schedule at once, so neither waits for the other one's gradient."""
    both = threading.Barrier(2)

    def schedule(n, snapshots, disk_snapshots):
        if n > 5:
            both.wait(60)
        return binomial(n, snapshots, 0)

    g = looping(schedule)
    assert g(0.3, 5, 3) == expected(0.3, 5)  # compiled
    found = {}

    def run(n):
        found[n] = g(0.3, n, 3)

    threads = [threading.Thread(target=run, args=(n,)) for n in (20, 31)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert found == {n: expected(0.3, n) for n in (20, 31)}


def test_a_schedule_may_call_gradients_itself(expected):
    inner = looping(binomial)

    def schedule(n, snapshots, disk_snapshots):
        assert inner(0.3, n, 2) == expected(0.3, n)
        with pytest.raises(ad.ADValueError, match="at least one is needed"):
            inner(0.3, n, 0)
        return binomial(n, snapshots, 0)

    assert looping(schedule)(0.3, 25, 3) == expected(0.3, 25)


# ------------------------------------------------------------------------------------------------- other processes

MODEL = """
import functools, math
import ad

asked = 0


def mine(n, snapshots, disk_snapshots, *, one):
    global asked
    asked += one
    return ad.checkpoint.binomial(n, snapshots, disk_snapshots or 0)


schedule = functools.partial(mine, one=1)


def loss(x, n):
    for _ in ad.checkpointed(range(n), snapshots=3, disk_snapshots=2, schedule=schedule):
        x = math.sin(x) * 1.1
    return x
"""
RUN = """
import ad, model

g = ad.value_and_grad(model.loss, "x")
value, found = g(0.3, 20)
kernel = next(iter(g._specials.values())).kernel
print(value, found, model.asked, sum(kernel.function.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_the_next_process_compiles_nothing(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    cache = str(tmp_path / "cache")
    *first, hits = run_python(RUN, tmp_path, LAYERED_TAPE_CACHE_DIR=cache)
    *second, later = run_python(RUN, tmp_path, LAYERED_TAPE_CACHE_DIR=cache)
    assert (first, hits, later) == (second, "0", "1") and first[-1] == "1"
