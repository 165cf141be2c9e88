"""Loops over ``prange``: the gradient in lanes is the serial one, whatever runs beside it and whatever fails."""

import inspect
import json
import math
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from cases import load
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import prange
from parallelform import parallel_forms
from reference import SINGLE, active, assert_near, fresh

import ad
import ad.tapes
from ad.lanes import add_lanes, lane_copies, lane_copy, lane_parts, lane_sum
from tape import SlabPool, SpillError, Tape, TapeMemoryError

PARALLEL = [case for case in load() if case.program.startswith("parallel.")]
SERIAL = [case for case in load() if not case.program.startswith("parallel.") and not case.thorough]
LANES = (1, 2, 3, 8)


@pytest.fixture
def threads():
    """Sets the number of threads, for this test."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def in_a_new_thread(f, *args):
    """What a function returns in a thread that has no tapes yet."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f, *args).result()


# -------------------------------------------------------------------------- against the serial gradient, interpreted


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in PARALLEL])
def test_lanes_agree_with_one_loop(case, interpreted_gradient):
    """Interpreted, where no lane sees what another one does, and two may not write to the same element."""
    value, expected, _ = interpreted_gradient(case.function, fresh(case.args), active(case.args))
    rtol = SINGLE if case.single else 1e-12
    for lanes in LANES:
        in_lanes, found, text = interpreted_gradient(case.function, fresh(case.args), active(case.args), lanes=lanes)
        assert "parallel=True" in text or case.program == "parallel.compiled_without_threads"
        assert in_lanes == pytest.approx(value, rel=rtol)
        assert_near(found, expected, rtol=rtol, note=f" with {lanes} lanes in\n{text}")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in SERIAL])
def test_programs_in_their_parallel_form(case, interpreted_gradient):
    """Each loop over a range as one over prange: it is refused in so many words, or agrees."""
    if not inspectable(case.function):
        pytest.skip("its source is not a def")
    serial = None
    for function in parallel_forms(case.function):
        try:
            value, found, text = interpreted_gradient(function, fresh(case.args), active(case.args), lanes=3)
        except ad.UnsupportedSyntax as error:
            assert "prange loop" in str(error) and error.lineno, error
            assert "range" in str(error).partition("prange")[2], "it does not say what to do"
            continue
        if serial is None:
            serial = interpreted_gradient(case.function, fresh(case.args), active(case.args))
        rtol = SINGLE if case.single else 1e-12
        assert value == pytest.approx(serial[0], rel=rtol)
        assert_near(found, serial[1], rtol=rtol, note=f" in\n{text}")


def inspectable(function):
    try:
        return bool(parallel_forms(function)) or True
    except (OSError, ValueError, KeyError):
        return False


def rows_sums_and_neighbours(x, w, start, stop, step):
    out = x.copy()
    s = 0.5
    for i in prange(start, stop, step):
        z = w * x[i]
        if z > 0.2:
            z = math.sin(z)
        out[i] = z * out[i]
        s += z * x[i // 2]
    for i in prange(2, stop - 1):
        s -= out[i - 2] * out[i + 1] * out[i]
    return s * s + np.sum(out * x)


@settings(max_examples=20)
@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, 2, 3, -1, -2, -5]), st.integers(1, 12))
@example(0, 0, 1, 4)
@example(0, 1, 1, 4)
@example(0, 3, 1, 8)
@example(9, -1, -1, 3)
@example(-4, 4, 1, 3)
def test_any_trips_and_lanes(interpreted_gradient, start, stop, step, lanes):
    args = (1.1 * np.sin(2.3 * np.arange(10.0) + 1.0), 0.9, start, stop, step)
    value, expected, _ = interpreted_gradient(rows_sums_and_neighbours, args, (0, 1))
    in_lanes, found, _ = interpreted_gradient(rows_sums_and_neighbours, args, (0, 1), lanes=lanes)
    assert in_lanes == pytest.approx(value, rel=1e-12)
    assert_near(found, expected)


# ------------------------------------------------------------------------------------------ what generated code calls


@given(
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.integers(-7, 7).filter(bool),
    st.integers(1, 20),
    st.integers(0, 6),
)
def test_parts_are_the_loop(start, stop, step, n, span):
    parts = lane_parts(start, stop, step, n, span)
    trips = [list(range(first, end, step)) for first, end in parts]
    assert [i for part in trips for i in part] == list(range(start, stop, step))
    lengths = [len(part) for part in trips]
    if min(range(start, stop, step), default=0) < 0 or span > (min(lengths) if n > 1 else span) * abs(step):
        assert not any(trips[1:])
    else:
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("shape", [(1,), (3,), (200,), (5000,), (2, 3), (0,), (4, 0)])
def test_copies_lie_apart(shape):
    adjoint = np.ones(shape)
    copies = lane_copies(adjoint, 3)
    own = [lane_copy(copies, k, 3) for k in range(3)]
    for k, copy in enumerate(own):
        assert copy.shape == shape and not copy.any()
        copy += k + 1.0
    if 0 < adjoint.size < 100:
        begin, end = own[0].ctypes.data + own[0].nbytes, own[1].ctypes.data
        assert end - begin >= 64, "two lanes would write to the same cache line"
    add_lanes(adjoint, copies)
    np.testing.assert_array_equal(adjoint, np.full(shape, 7.0))


def test_sums_are_those_of_the_lanes():
    assert lane_sum(np.array([3.0])) == 3.0
    assert lane_sum(np.array([1e16, 1.0, -1e16])) == 0.0, "in the order of the lanes"
    assert lane_sum(np.array([1 + 2j, 3j])) == 1 + 5j


# ------------------------------------------------------------------------------------------------------------- compiled


def swarm(x, p, n, dt):
    """Lorenz's equations from several starts."""
    total = 0.0
    for i in prange(len(x)):
        a, b, c = x[i, 0], x[i, 1], x[i, 2]
        for _ in range(n):
            da, db, dc = p[0] * (b - a), a * (p[1] - c) - b, a * b - p[2] * c
            a += dt * da
            b += dt * db
            c += dt * dc
        total += a * a + b * b + c * c
    return total


STARTS = 1.1 * np.sin(2.3 * np.arange(21.0) + 1.0).reshape(7, 3)
LORENZ = (STARTS, np.array([10.0, 28.0, 8.0 / 3.0]), 400, 0.005)
SWARM = ad.value_and_grad(swarm)
ONE_LOOP = ad.value_and_grad(numba.njit(swarm))


def same(a, b):
    return a[0] == b[0] and all(np.array_equal(x, y) for x, y in zip(a[1], b[1], strict=True))


def test_compiled(threads):
    """With threads it is the serial gradient, and with the same number of them the same to the last bit."""
    value, expected = ONE_LOOP(*LORENZ)
    assert "parallel=True" not in ONE_LOOP.source and "parallel=True" in SWARM.source
    for n in {1, 2, numba.config.NUMBA_NUM_THREADS}:
        if n <= numba.config.NUMBA_NUM_THREADS:
            threads(n)
            found = SWARM(*LORENZ)
            assert found[0] == pytest.approx(value, rel=1e-12)
            assert_near(found[1], expected)
            assert all(same(found, SWARM(*LORENZ)) for _ in range(10))


def test_spilled(tmp_path):
    small = SWARM.with_options(memory="64 KiB", spill_dir=tmp_path)
    expected = SWARM(*LORENZ)
    assert same(small(*LORENZ), expected)
    traffic = small.traffic()
    assert traffic.bytes_written > 0 and traffic.bytes == 0
    assert small.stats().layers.bytes_written == traffic.bytes_written


def test_differences():
    ad.check_grads(swarm, (STARTS, LORENZ[1], 20, 0.005))


def test_options():
    """Single records, in-place results and debugging; the latter without threads."""
    rough = SWARM.with_options(record="f4")
    assert rough(*LORENZ)[0] == pytest.approx(SWARM(*LORENZ)[0], rel=1e-12)
    checked = SWARM.with_options(debug=True)
    assert checked(*LORENZ)[0] == ONE_LOOP(*LORENZ)[0] and "parallel=True" not in checked.source

    def halved(x):
        for i in prange(len(x)):
            x[i] *= 0.5
        return np.sum(x * x)

    x = np.ones(5)
    ad.grad(halved).with_options(inplace="update")(x)
    np.testing.assert_array_equal(x, np.full(5, 0.5))


def test_threads_are_the_users_choice():
    """A function that Numba compiled without parallel=True has no threads, as for Numba itself."""

    def total(x):
        s = 1.0
        for i in prange(len(x)):
            s *= x[i]
        return s

    assert ad.grad(numba.njit(total))(np.array([2.0, 3.0])).tolist() == [3.0, 2.0]
    with pytest.raises(ad.UnsupportedSyntax, match="s carries a value"):
        ad.grad(numba.njit(parallel=True)(total))(np.array([2.0, 3.0]))
    with pytest.raises(ad.UnsupportedSyntax, match="s carries a value"):
        ad.grad(total)(np.array([2.0, 3.0]))


def test_report():
    def program(x, w, n):
        out = np.zeros(len(x))
        s = 0.0
        for i in prange(len(x)):
            z = x[i] * w[i % n]
            out[i] = z * z
            s += out[i]
        return s + np.sum(out)

    gradient = ad.grad(program)
    gradient(np.ones(4), np.ones(2), 2)
    [lanes] = gradient.report().lanes
    assert lanes.line.text.strip() == "for i in prange(len(x)):"
    assert (lanes.private, lanes.sums, lanes.rows) == (("i", "z"), ("s",), ("out", "x"))
    assert lanes.shared == lanes.copied == ("w",)
    text = str(gradient.report())
    assert "whose adjoint every lane has a copy of w" in text and "each trip has its own i, z" in text


# --------------------------------------------------------------------------------------------------------- what fails


def fragile(x, kind):
    s = 0.0
    out = np.zeros(len(x))
    for i in prange(len(x)):
        if x[i] < 0.0 and kind == 0:
            raise ValueError("negative")
        if kind == 1:
            s += 1.0 / x[i]
        out[i] = math.sin(x[i]) * np.sum(np.ones(500) * x[i])
        if kind == 2 and x[i] < 0.0:
            s += x[i + 1000]
        s += out[i]
    return s * s


@pytest.mark.parametrize(
    ("kind", "bad", "error"), [(0, -1.0, ValueError), (1, 0.0, ZeroDivisionError), (2, -1.0, IndexError)]
)
def test_what_a_trip_raises(kind, bad, error):
    """It comes out as it is, from whatever lane, and the next call is as if nothing had been."""
    gradient = ad.value_and_grad(fragile)
    good = np.linspace(0.5, 1.0, 8)
    expected = gradient(good, kind)
    for k in range(8):
        x = good.copy()
        x[k] = bad
        with pytest.raises(error):
            gradient(x, kind)
        assert x[k] == bad
    assert gradient(good, kind)[0] == expected[0]
    tape = ad.tapes.latest_tape()
    assert len(tape) == 0 and not any(len(lane) for lane in tape.lanes)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda _: Tape("f8", memory="64 KiB", spill_limit=1 << 17), SpillError),
        (lambda _: Tape("f8", pool=SlabPool(limit=1 << 17)), TapeMemoryError),
    ],
    ids=["disk", "memory"],
)
def test_a_lane_that_cannot_record(make, error, monkeypatch):
    monkeypatch.setattr(ad.tapes, "new_tape", make)

    def attempt():
        with pytest.raises(error):
            SWARM(*LORENZ[:2], 2000, 0.001)
        tape = ad.tapes.latest_tape()
        assert len(tape) == 0 and not any(len(lane) for lane in tape.lanes)
        small = SWARM(*LORENZ[:2], 3, 0.001)  # on the same tape
        assert ad.tapes.latest_tape() is tape
        return small

    found = in_a_new_thread(attempt)
    monkeypatch.undo()
    assert same(found, SWARM(*LORENZ[:2], 3, 0.001))


# ------------------------------------------------------------------------------------------------ from many threads


def serial_sum(x, a):
    s = 0.0
    for i in range(len(x)):
        s += math.exp(-a * x[i] * x[i]) * s + math.sin(x[i])
    return s


@pytest.mark.parametrize("gradient", [SWARM, ONE_LOOP, ad.value_and_grad(serial_sum)], ids=["lanes", "loop", "sum"])
def test_gradients_from_many_threads(gradient):
    """The same functions in several threads at once, the first calls included: the numbers of one alone."""
    args = LORENZ if gradient is not None and "swarm" in gradient.__name__ else (np.linspace(-1.0, 1.0, 500), 0.7)
    gate = threading.Barrier(4)
    other = gradient.with_options(memory="64 KiB")

    def calls(k):
        gate.wait()
        return [(other if (i + k) % 3 == 0 else gradient)(*args) for i in range(12)]

    with ThreadPoolExecutor(4) as pool:
        found = [each for calls_ in pool.map(calls, range(4)) for each in calls_]
    expected = gradient(*args)
    assert all(same(each, expected) for each in found)


def test_two_gradients_run_at_the_same_time():
    """Compiled gradients hold no GIL: while one runs, another thread goes on."""
    long = (*LORENZ[:2], 100_000, 1e-5)
    SWARM(*LORENZ)
    done = threading.Event()
    ticks = []

    def count():
        while not done.wait(0.001):
            ticks.append(None)

    counter = threading.Thread(target=count)
    counter.start()
    ONE_LOOP(*long)
    within = len(ticks)
    done.set()
    counter.join()
    assert within > 3, "the other thread stood still"


PROCESS = """
    import json, sys, threading
    import numba, numpy as np
    import ad
    from model import swarm

    gradient = ad.value_and_grad(swarm)
    args = (np.ones((6, 3)) + np.arange(6.0)[:, None] / 7.0, np.array([10.0, 28.0, 8.0 / 3.0]), 50, 0.005)
    first = gradient(*args)
    found = []

    def calls():
        for _ in range(50):
            found.append(gradient(*args)[0])

    threads = [threading.Thread(target=calls) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = gradient._latest and gradient._special(*gradient._latest).kernel.function.stats
    print(json.dumps({
        "layer": numba.threading_layer(), "same": set(found) == {first[0]}, "n": len(found), "value": first[0],
        "hits": sum(stats.cache_hits.values()), "misses": sum(stats.cache_misses.values()),
    }))
"""


def test_threads_of_a_layer_that_allows_one_at_a_time(tmp_path):
    """Numba's workqueue ends a process that uses it from two threads at once.  The second process compiles nothing."""
    (tmp_path / "run.py").write_text(textwrap.dedent(PROCESS))
    (tmp_path / "model.py").write_text("from numba import prange\n\n\n" + inspect.getsource(swarm))
    environment = {
        **os.environ,
        "NUMBA_THREADING_LAYER": "workqueue",
        "NUMBA_NUM_THREADS": "2",
        "LAYERED_TAPE_CACHE_DIR": str(tmp_path / "cache"),
    }
    runs = []
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-W", "error", "run.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=200,
        )
        assert process.returncode == 0, process.stderr
        runs.append(json.loads(process.stdout))
    assert all(run["layer"] == "workqueue" and run["same"] and run["n"] == 150 for run in runs)
    assert (runs[0]["hits"], runs[0]["misses"]) == (0, 1)
    assert (runs[1]["hits"], runs[1]["misses"]) == (1, 0), "the second process compiled again"
    assert runs[0]["value"] == runs[1]["value"]
