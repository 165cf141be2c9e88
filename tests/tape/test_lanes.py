"""Lanes: a tape for each thread, beside the one that they belong to."""

import gc
import threading
import weakref

import numba
import numpy as np
import pytest
from layers_tools import PATIENCE, SLAB, numbers
from numba import njit
from threads_tools import drain, fill, in_thread

from tape import (
    Budget,
    Lanes,
    SlabPool,
    Tape,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
)
from tape.numba import pop, pop_int, push
from tape.testing import MemoryStore


def test_each_thread_has_its_own():
    tape = Tape("f8")
    mine = tape.lane()
    assert mine is tape.lane() and mine is not tape and list(tape.lanes) == [mine]
    start = threading.Barrier(4)
    found = []

    def work(k):
        start.wait(PATIENCE)
        lane = tape.lane()
        fill(lane, 1000 * k, 1000)
        start.wait(PATIENCE)
        found.append((lane is tape.lane(), lane, lane[:].tolist() == numbers(1000, 1000 * k).tolist()))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 4 and all(same and right for same, _, right in found)
    assert len(tape.lanes) == 5 and {id(lane) for _, lane, _ in found} == {id(lane) for lane in tape.lanes[1:]}
    # Their threads are gone, and what they recorded is not.
    assert sum(drain(lane, 1000) for lane in tape.lanes[1:]) == numbers(4000).sum()
    assert len(tape) == 0 and repr(tape.lanes) == "<5 lanes>"


def test_a_lane_has_what_its_tape_has():
    pool, budget = SlabPool(), Budget("1 MiB")
    tape = Tape("i8", pool=pool, memory=budget, slab_bytes=SLAB, spill_dir=MemoryStore())
    lane = tape.lane()
    assert lane.dtype == tape.dtype and lane.pool is pool and lane.budget is budget
    assert lane.max_reserve == tape.max_reserve and not lane.thread_safe
    fresh = Tape("f8", thread_safe=True).lane()
    assert fresh.budget is None and not fresh.thread_safe
    tape.close()


def test_empty_lanes_go_to_the_next_thread():
    tape = Tape("f8")
    for _ in range(20):
        in_thread(lambda: fill(tape.lane(), 0, 10_000) or drain(tape.lane(), 10_000))
    assert len(tape.lanes) == 1
    assert tape.lanes[0].stats().spare_bytes == 0  # what it does not need went back to the pool
    in_thread(lambda: tape.lane().push(1.0))
    in_thread(lambda: tape.lane().push(2.0))
    assert [lane[:].tolist() for lane in tape.lanes] == [[1.0], [2.0]]
    tape.lanes[0].pop()
    with tape.lanes.claimed():  # not to be had now
        in_thread(lambda: tape.lane().push(3.0))
    in_thread(lambda: tape.lane().push(4.0))
    assert [lane[:].tolist() for lane in tape.lanes] == [[4.0], [2.0], [3.0]]


def test_lanes_by_number():
    tape = Tape("f8")
    tape.lane(2).push(1.0)
    assert [len(lane) for lane in tape.lanes] == [0, 0, 1] and tape.lane(2) is tape.lanes[2]
    for wrong, error in ((-1, TapeValueError), ("x", TypeError)):
        with pytest.raises(error):
            tape.lane(wrong)
    with pytest.raises(IndexError):
        tape.lanes[3]
    assert isinstance(tape.lanes, Lanes) and tape.lanes[1:] == [tape.lane(1), tape.lane(2)]


def test_closing():
    tape = Tape("f8")
    lanes = [tape.lane(k) for k in range(3)]
    view = lanes[1].reserve(1)
    with pytest.raises(TapeBusyError):
        tape.close()
    assert not lanes[1].closed and lanes[0].closed and lanes[2].closed and tape.closed
    del view
    tape.close()
    assert lanes[1].closed
    with pytest.raises(TapeClosedError):
        tape.lane()
    with pytest.raises(TapeClosedError):
        tape.lanes.mine()


def test_nothing_keeps_a_dropped_tape():
    pool = SlabPool()
    tape = Tape("f8", pool=pool)
    tape.lane().extend(np.zeros(10_000))
    tape.lane(3).extend(np.zeros(10_000))
    gone, kept = weakref.ref(tape), tape.lane(3)
    del tape
    gc.collect()
    assert gone() is None and len(kept) == 10_000  # a lane that somebody has lives on
    del kept
    gc.collect()
    assert pool.stats().used_slabs == 0


def test_lanes_share_a_budget():
    budget = Budget(24 * SLAB)
    with Tape("f8", memory=budget, slab_bytes=SLAB, spill_dir=MemoryStore()) as tape:

        def work(k):
            lane = tape.lane()
            fill(lane, k * 10**6, 10_000)
            return lane

        threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        assert budget.high_bytes <= budget.memory
        assert sum(lane.traffic().bytes_written for lane in tape.lanes) > 0
        firsts = sorted(lane[0] for lane in tape.lanes)
        assert firsts == [0.0, 1e6, 2e6, 3e6]
        for lane in tape.lanes:
            assert lane[:].tolist() == numbers(10_000, lane[0]).tolist()


# ------------------------------------------------------------------------------------------- compiled code


@njit(parallel=True, nogil=True)
def forward(lanes, x, steps, y):
    """Iterates x -> x - 0.1 sin x, with the path of each x on a lane."""
    for k in numba.prange(lanes.size):
        for i in range(k, x.size, lanes.size):
            z = x[i]
            for _ in range(steps):
                push(lanes[k], z)
                z = z - 0.1 * np.sin(z)
            y[i] = z
            push(lanes[k], i)


@njit(parallel=True, nogil=True)
def reverse(lanes, counts, steps, gradient):
    """The derivatives, each lane in its own order, whatever thread has it now."""
    for k in numba.prange(lanes.size):
        for _ in range(counts[k]):
            i = pop_int(lanes[k])
            adjoint = 1.0
            for _ in range(steps):
                z = pop(lanes[k])
                adjoint *= 1.0 - 0.1 * np.cos(z)
            gradient[i] = adjoint


@pytest.mark.parametrize("options", [{}, {"memory": 128 * SLAB, "slab_bytes": SLAB}], ids=["memory", "disk"])
@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_parallel_sweep_and_its_reverse(n, options):
    with Tape("f8", **options) as tape:
        x = np.linspace(-2.0, 2.0, 400)
        steps = 300
        y, gradient = np.zeros_like(x), np.zeros_like(x)
        with tape.lanes.claimed(n) as lanes:
            assert lanes.dtype == np.uint64 and lanes.shape == (n,)
            forward(lanes, x, steps, y)
        counts = np.array([len(lane) // (steps + 1) for lane in tape.lanes])
        assert counts.sum() == x.size
        if options:
            assert sum(lane.traffic().bytes_written for lane in tape.lanes) > 0
        with tape.lanes.claimed() as lanes:
            reverse(lanes, counts, steps, gradient)
        assert [len(lane) for lane in tape.lanes] == [0] * n
        expected = np.ones_like(x)
        for _ in range(steps):
            expected *= 1.0 - 0.1 * np.cos(x)
            x = x - 0.1 * np.sin(x)
        assert np.allclose(y, x, rtol=1e-13) and np.allclose(gradient, expected, rtol=1e-12)


def test_claims_keep_others_out():
    tape = Tape("f8")
    with tape.lanes.claimed(2) as lanes:
        assert lanes.tolist() == [lane.address for lane in tape.lanes]
        with pytest.raises(TapeBusyError):
            tape.lanes[1].push(1.0)
        with pytest.raises(TapeBusyError), tape.lanes.claimed(3):
            pass
        tape.lane(2).push(1.0)  # left again when the claim above failed
    tape.lanes[1].push(1.0)
    for wrong, error in ((-1, TapeValueError), ("x", TypeError)):
        with pytest.raises(error):
            tape.lanes.claimed(wrong)
    with pytest.raises(TapeTypeError, match="8-byte"), Tape("f4").lanes.claimed(1):
        pass


def test_failures_in_a_prange_are_told():
    tape = Tape("f8", pool=SlabPool(limit=3 * 4096))
    x = np.zeros(1000)
    with pytest.raises(TapeMemoryError), tape.lanes.claimed(4) as lanes:
        forward(lanes, x, 100, x.copy())
    with pytest.raises(TapeEmptyError), tape.lanes.claimed(4) as lanes:
        reverse(lanes, np.full(4, 1000), 100, x)
    for lane in tape.lanes:
        lane.clear()
    with tape.lanes.claimed(4) as lanes:
        forward(lanes, x[:4], 1, x[:4].copy())
    assert [len(lane) for lane in tape.lanes] == [2] * 4
    with pytest.raises(ZeroDivisionError), tape.lanes.claimed(4) as lanes:
        reverse(lanes, np.full(4, 1000), 100, x)
        raise ZeroDivisionError
    tape.lanes[0].push(1.0)  # forgiven all the same


def test_many_threads_ask_at_once():
    tape = Tape("f8")
    start = threading.Barrier(8)
    done = []

    def work():
        start.wait(PATIENCE)
        for k in range(50):
            tape.lane(k)
        lane = tape.lane()
        lane.push(1.0)
        done.append(lane)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(done) == 8 and len(tape.lanes) >= 50
    assert len({id(lane) for lane in tape.lanes}) == len(tape.lanes)
    assert sum(map(len, tape.lanes)) == 8
