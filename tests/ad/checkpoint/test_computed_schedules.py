"""Marked loops whose schedule is computed in Python: their gradients, and the trips that they run."""

import importlib.util
import math
from functools import partial

import numpy as np
import pytest
from markedloops import marked
from numba import njit, prange
from ticks import taken, tick
from waves import PULSE, SPEED, wave

import ad
from ad.checkpoint import (
    Advance,
    End,
    Level,
    Restore,
    Reverse,
    Store,
    binomial,
    disk_revolve,
    dynamic,
    h_revolve,
    mixed,
    periodic,
    periodic_disk_revolve,
    validate,
)

needs_package = pytest.mark.skipif(
    not importlib.util.find_spec("checkpoint_schedules"), reason="needs the extra `checkpointing`"
)

# ------------------------------------------------------------------------------------------------- trips that are run


def from_the_start(n, snapshots, disk_snapshots):
    """A schedule of one's own: it has one snapshot only."""
    yield Store(0, Level.RAM)
    if n:
        yield Advance(0, n)
    yield End(n)
    for i in reversed(range(n)):
        yield Restore(0, Level.RAM, keep=True)
        if i > 0:
            yield Advance(0, i)
        yield Reverse(i)


def ticking(schedule):
    def loop(x, n, s, d):
        for _ in ad.checkpointed(range(n), snapshots=s, disk_snapshots=d, schedule=schedule):
            x = tick(x) * 0.5 + 0.1 * x * x
        return x

    return loop


def ticking_without_limit_on_disk(schedule):
    def loop(x, n, s):
        for _ in ad.checkpointed(range(n), snapshots=s, schedule=schedule):
            x = tick(x) * 0.5 + 0.1 * x * x
        return x

    return loop


def recorded(x, n):
    for _ in range(n):
        x = x * 0.5 + 0.1 * x * x
    return x


PLACES = [(1, 1), (1, 3), (3, 2), (5, 5), (30, 9)]
dear_disk = partial(h_revolve, write=5.0, read=3.0)


@pytest.mark.parametrize(
    ("schedule", "places"),
    [
        pytest.param(h_revolve, PLACES, marks=needs_package),
        pytest.param(dear_disk, PLACES, marks=needs_package),
        pytest.param(disk_revolve, [(1, None), (4, None)], marks=needs_package),
        pytest.param(periodic_disk_revolve, [(1, None), (4, None)], marks=needs_package),
        pytest.param(mixed, [(1, 0), (6, 0), (0, 1), (0, 5)], marks=needs_package),
        (binomial, [(1, 0), (0, 2), (3, 4)]),
        (dynamic, [(3, 0), (8, 0)]),
        (partial(periodic, period=7), [(2, None)]),
        (from_the_start, [(1, 0), (9, 0)]),
    ],
)
def test_compiled_loops_run_the_trips_of_the_schedule(schedule, places):
    limited = places[0][1] is not None
    g = ad.value_and_grad((ticking if limited else ticking_without_limit_on_disk)(schedule), "x")
    plain = ad.value_and_grad(recorded, "x")
    for n in (0, 1, 2, 3, 10, 55):
        for s, d in places:
            taken()
            assert g(0.3, n, *((s, d) if limited else (s,))) == plain(0.3, n)
            # What a trip records it records when it is run once more.
            assert taken() == validate(schedule(n, s, d), n, s, d).forward + n, f"n = {n}, {s} and {d} snapshots"


# ------------------------------------------------------------------------------------------------- arrays, spilled


@needs_package
def test_waves_in_memory_and_spilled(tmp_path, memory_limit):
    g = ad.value_and_grad(wave, ("start", "c2"))
    h = ad.value_and_grad(marked(wave, schedule="h_revolve", snapshots=2, disk_snapshots=5), ("start", "c2"))
    for n in (0, 1, 2, 17, 60):
        value, (by_start, by_c2) = g(PULSE, SPEED, n)
        for options in ({}, {"memory": "160 KiB", "spill_dir": tmp_path}):
            again, (start, c2) = h(PULSE, SPEED, n, **options)
            assert again == value
            np.testing.assert_array_equal(start, by_start)
            np.testing.assert_array_equal(c2, by_c2)
    assert h.traffic().bytes_written
    [loop] = h.report().checkpointed
    assert (loop.schedule, loop.snapshots, loop.disk_snapshots, loop.period) == ("h_revolve", "2", "5", None)
    assert "h_revolve, 2 snapshots and 5 on disk" in str(h.report())
    assert "table = orders(0, end, places, disk)" in h.source


# -------------------------------------------------------------------------------------------- loops in one another


@needs_package
def test_levels_by_different_schedules(interpreted_gradient):
    def levels(x, u, n):
        total = 0.0
        for i in ad.checkpointed(range(n), snapshots=2, schedule=dear_disk, disk_snapshots=2):
            for k in ad.checkpointed(range(i, 2 * i), schedule=from_the_start):
                for _ in ad.checkpointed(range(3), snapshots=1):
                    u = u * 0.9 + 0.01 * x * k
            for _ in ad.checkpointed(range(len(u)), schedule="disk_revolve", snapshots=1):
                x = math.sin(x) + 0.1
            total += np.sum(u) * x
        return total

    def levels_recorded(x, u, n):
        total = 0.0
        for i in range(n):
            for k in range(i, 2 * i):
                for _ in range(3):
                    u = u * 0.9 + 0.01 * x * k
            for _ in range(len(u)):
                x = math.sin(x) + 0.1
            total += np.sum(u) * x
        return total

    for n in (0, 1, 6):
        args = 1.7, np.array([0.9, 1.2, 0.7]), n
        expected = interpreted_gradient(levels_recorded, args, (0, 1))
        found = interpreted_gradient(levels, args, (0, 1))
        assert found[0] == expected[0] and found[1][0] == expected[1][0]
        np.testing.assert_array_equal(found[1][1], expected[1][1])


def ever_longer(x, n, d):
    for k in range(n):
        for i in ad.checkpointed(range(k, 2 * k), snapshots=1, disk_snapshots=k % d, schedule=binomial):
            x = math.sin(x) * 1.1 + 0.01 * i
    return x


def ever_longer_recorded(x, n, d):
    for k in range(n):
        for i in range(k, 2 * k):
            x = math.sin(x) * 1.1 + 0.01 * i
    return x


def test_other_numbers_in_every_trip_of_a_loop_around():
    """More tables in one call than are kept from call to call."""
    g, h = (ad.value_and_grad(f, "x") for f in (ever_longer, ever_longer_recorded))
    assert g(0.3, 40, 3) == h(0.3, 40, 3)


@ad.remat
def day(x, hours):
    for i in ad.checkpointed(range(hours), snapshots=3, schedule=from_the_start):
        x = math.sin(x) * 1.1 + 0.01 * i
    return x


def days(x, n):
    for k in range(n):
        x = day(x, k + 2)
    return x


def days_recorded(x, n):
    for k in range(n):
        for i in range(k + 2):
            x = math.sin(x) * 1.1 + 0.01 * i
    return x


def test_in_calls_that_are_run_again():
    g, h = (ad.value_and_grad(f, "x") for f in (days, days_recorded))
    assert g(0.3, 7) == h(0.3, 7)


def test_a_schedule_may_have_the_name_of_another():
    def online(n, snapshots, disk_snapshots):
        return binomial(n, snapshots, disk_snapshots)

    def loop(x, n):
        for i in ad.checkpointed(range(n), snapshots=3, disk_snapshots=1, schedule=online):
            x = math.sin(x) * 1.1 + 0.01 * i
        return x

    def loop_recorded(x, n):
        for i in range(n):
            x = math.sin(x) * 1.1 + 0.01 * i
        return x

    g, expected = ad.grad(loop, "x"), ad.grad(loop_recorded, "x")(0.3, 20)
    assert g(0.3, 20) == g.with_options(debug=True)(0.3, 20) == expected


def beside_a_planned_one(x, n):
    u = np.full(50, x)
    for _ in ad.checkpointed(range(n)):
        u = u * 0.9 + 0.01 * x
    for _ in ad.checkpointed(range(n), snapshots=2, schedule=from_the_start):
        u = u * 0.9 + 0.01 * x
    return np.sum(u)


def beside_a_loop_in_lanes(x, n):
    s = 0.0
    for i in prange(n):
        s += math.sin(x * i)
    for i in ad.checkpointed(range(n), snapshots=3, schedule=binomial):
        s = math.sin(s) * x + 0.01 * i
    return s


def two_recorded(x, n):
    u = np.full(50, x)
    for _ in range(n):
        u = u * 0.9 + 0.01 * x
    for _ in range(n):
        u = u * 0.9 + 0.01 * x
    return np.sum(u)


def lanes_recorded(x, n):
    s = 0.0
    for i in prange(n):
        s += math.sin(x * i)
    for i in range(n):
        s = math.sin(s) * x + 0.01 * i
    return s


@pytest.mark.parametrize(
    ("f", "plain", "options"),
    [
        (beside_a_planned_one, two_recorded, {"memory": "1 MiB"}),
        (njit(parallel=True)(beside_a_loop_in_lanes), njit(parallel=True)(lanes_recorded), {}),
    ],
)
def test_beside_other_loops(f, plain, options):
    g, h = (ad.value_and_grad(each, "x") for each in (f, plain))
    value, found = h(0.7, 30)
    again, also = g(0.7, 30, **options)
    assert value == again
    np.testing.assert_allclose(also, found, rtol=1e-13)


def test_python_and_numba_run_the_loop_as_it_is():
    def total(n):
        s = 0.0
        for i in ad.checkpointed(range(n), snapshots=0, disk_snapshots=2, schedule="h_revolve"):
            s += 0.5 * i
        return s

    assert total(5) == njit(total)(5) == 5.0
    items = range(5)
    assert ad.checkpointed(items, schedule=from_the_start, disk_snapshots=np.int64(0)) is items
