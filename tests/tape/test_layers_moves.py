"""How much a tape with a budget moves: what turns round near a border moves nothing, what goes far moves once."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers_tools import ITEMS, SLAB, descriptors, eventually, moved, numbers, settled, small_tape, threads

from tape import Budget, SlabPool
from tape.disk import FileStore
from tape.testing import FaultStore, MemoryStore

GAP = ITEMS  # of such tapes: a sixteenth of the budget, and a slab at least
LATE = 2 * SLAB  # what may be written a swing later, once: when the writer wakes is chance


def spilled_tape(n=20 * ITEMS, memory=16 * SLAB, **options):
    tape = small_tape(MemoryStore(), memory, **options)
    tape.extend(numbers(n))
    settled(tape)
    return tape


def check_all(tape, n):
    assert np.array_equal(tape.popn(n), numbers(n))
    tape.close()


def swing(tape, amplitude, times):
    """Down and up again by as many items, the values kept."""
    for _ in range(times):
        items = tape.popn(amplitude)
        tape.extend(items)


def turn_around(tape, top, amplitude, times):
    """Between `top` and `amplitude` below it, one by one."""
    for _ in range(times):
        for _ in range(amplitude):
            tape.pop()
        for k in range(top - amplitude, top):
            tape.push(float(k))


# To and fro.


@given(
    top=st.integers(15 * ITEMS, 40 * ITEMS),
    down=st.integers(0, 39 * ITEMS),
    amplitude=st.integers(1, GAP),
    slabs=st.sampled_from([5, 8, 16, 32]),
    singly=st.booleans(),
)
@settings(max_examples=60)
def test_a_swing_of_less_than_the_gap_moves_nothing_once_settled(top, down, amplitude, slabs, singly):
    tape = small_tape(MemoryStore(), 512 + slabs * SLAB)
    tape.extend(numbers(top))
    left = max(top - down, amplitude)
    if top > left:
        tape.popn(top - left)
    settled(tape)
    turn = turn_around if singly else lambda tape, top, amplitude, times: swing(tape, amplitude, times)
    turn(tape, left, amplitude, 2)
    before = moved(tape)
    turn(tape, left, amplitude, 20)
    assert moved(tape) - before <= LATE
    check_all(tape, left)


@given(
    top=st.integers(30 * ITEMS, 50 * ITEMS),
    amplitude=st.integers(1, 30 * ITEMS),
    slabs=st.sampled_from([5, 8, 16, 32]),
)
@settings(max_examples=40)
def test_a_wide_swing_moves_a_small_multiple_of_its_width(top, amplitude, slabs):
    tape = small_tape(MemoryStore(), 512 + slabs * SLAB)
    tape.extend(numbers(top))
    settled(tape)
    swing(tape, amplitude, 2)
    before = moved(tape)
    times = 5
    swing(tape, amplitude, times)
    beyond = max(0, 8 * amplitude - (slabs - 4) * SLAB // 2)
    assert moved(tape) - before <= 2 * times * (beyond + 4 * SLAB)
    check_all(tape, top)


@pytest.mark.parametrize("offset", [-ITEMS, -100, -1, 0, 1, 100, ITEMS])
@pytest.mark.parametrize("length", [1, 50, ITEMS])
def test_mark_and_rewind_at_a_border_do_not_thrash(offset, length):
    tape = spilled_tape(64 + 20 * ITEMS + offset)  # the inline buffer, and slabs
    n = len(tape)
    before = None
    for k in range(40):
        mark = tape.mark()
        tape.extend(numbers(length))
        inner = tape.mark()
        for _ in range(3):
            tape.extend(numbers(length // 2))
            tape.rewind(inner)
        tape.rewind(mark)
        if k == 3:
            before = moved(tape)
    assert moved(tape) - before <= LATE
    check_all(tape, n)


def test_nested_loops_at_a_border_do_not_thrash():
    """An inner sweep, forward and reverse, at each step of an outer one."""
    tape = spilled_tape(64 + 20 * ITEMS)
    n = len(tape)
    before = moved(tape)
    for k in range(200):
        tape.push(float(n + k))
        for j in range(100):
            tape.push(float(j))
        for j in reversed(range(100)):
            assert tape.pop() == j
    assert moved(tape) - before <= 4 * SLAB
    before = moved(tape)
    for k in reversed(range(200)):
        for j in range(100):
            tape.push(float(j))
        for j in reversed(range(100)):
            assert tape.pop() == j
        assert tape.pop() == n + k
    assert moved(tape) - before <= 4 * SLAB
    check_all(tape, n)


# One way.


@pytest.mark.parametrize("slabs", [5, 8, 16, 64])
@pytest.mark.parametrize("prefetch", [True, False])
def test_a_forward_and_a_reverse_sweep_move_each_slab_once(slabs, prefetch):
    tape = small_tape(MemoryStore(), 512 + slabs * SLAB, prefetch=prefetch)
    n = 100 * ITEMS
    for k in range(0, n, 50):
        tape.extend(numbers(50, k))
    forward = settled(tape)
    assert forward.bytes_read == 0
    # What must go, and what is written ahead of need: an eighth, two slabs at least.
    least = 8 * n - 512 - slabs * SLAB
    assert least <= forward.bytes_written <= least + (slabs // 8 + 6) * SLAB
    for k in reversed(range(0, n, 50)):
        assert tape.popn(50)[0] == k
    reverse = settled(tape)
    assert reverse.bytes_written == forward.bytes_written
    assert reverse.bytes_read <= forward.bytes_written
    if not prefetch:
        assert reverse.prefetch_hits == 0
        assert reverse.prefetch_misses * SLAB == reverse.bytes_read
    tape.close()


def test_without_prefetch_the_numbers_are_the_same():
    found = []
    for prefetch in (True, False):
        tape = spilled_tape(prefetch=prefetch)
        chance = np.random.default_rng(3)
        taken = []
        for _ in range(300):
            if chance.random() < 0.4:
                tape.extend(chance.random(int(chance.integers(300))))
            else:
                taken.extend(tape.popn(min(len(tape), int(chance.integers(400)))))
            if len(tape):
                taken.append(tape[int(chance.integers(len(tape)))])
        now = settled(tape)
        assert now.bytes_read > 10 * SLAB
        assert prefetch or now.prefetch_hits == 0
        found.append(taken)
        tape.close()
    assert found[0] == found[1]


def test_clean_slabs_are_not_written_again():
    tape = spilled_tape(40 * ITEMS, 12 * SLAB)
    written = settled(tape).bytes_written
    tape.popn(8 * ITEMS)
    for _ in range(3):  # all of it is looked at, and leaves memory for what is looked at next
        assert np.array_equal(tape[:], numbers(32 * ITEMS))
        assert np.array_equal(tape[::-1], numbers(32 * ITEMS)[::-1])
    tape.popn(8 * ITEMS)
    for i in range(0, 24 * ITEMS, 700):
        assert tape[i] == i
    assert settled(tape).bytes_written == written
    check_all(tape, 24 * ITEMS)


def test_iterating_reads_each_slab_once():
    tape = spilled_tape(40 * ITEMS, 12 * SLAB)
    for look in (lambda: list(tape), lambda: list(reversed(tape))[::-1], lambda: tape[:].tolist()):
        before = settled(tape).bytes_read
        assert look() == list(range(40 * ITEMS))
        assert settled(tape).bytes_read - before <= 41 * SLAB
    check_all(tape, 40 * ITEMS)


def test_looking_at_one_place_again_and_again_moves_nothing():
    tape = spilled_tape(40 * ITEMS, 12 * SLAB)
    for k in range(100):
        if k == 10:
            before = moved(tape)
        assert tape[700] == 700
        assert tape[1300] == 1300
        tape.push(1.0)
        tape.pop()
    assert moved(tape) == before
    check_all(tape, 40 * ITEMS)


# Again.


def test_further_sweeps_use_the_same_file_slabs_and_threads(tmp_path):
    pool = SlabPool()
    started = threads(), descriptors()
    tape = small_tape(tmp_path, 16 * SLAB, pool=pool)
    n = 100 * ITEMS
    seen = []
    for _ in range(6):
        for k in range(0, n, 100):
            tape.extend(numbers(100, k))
        for k in reversed(range(0, n, 100)):
            assert tape.popn(100)[0] == k
        now = settled(tape)
        stats = tape.stats()
        assert stats.pool.high_bytes <= 16 * SLAB
        seen.append((now.file_bytes, stats.pool.allocations, threads() - started[0], descriptors() - started[1]))
    assert now.bytes_written >= 6 * 80 * SLAB
    for (file, slabs, running, opened), (file2, slabs2, running2, opened2) in pairwise(seen[1:]):
        assert file2 <= file + 4 * SLAB  # by how much is ahead at the turn
        assert slabs2 - slabs <= 1
        assert (running2, opened2) == (running, opened)
    assert seen[0][2] <= 4
    tape.close()
    assert eventually(lambda: (threads(), descriptors()) == started)


def test_the_file_is_as_large_as_the_deepest_spill(tmp_path):
    with FileStore(tmp_path) as store:
        tape = small_tape(store, 8 * SLAB)
        for depth in (60, 20, 60, 5, 60):
            tape.extend(numbers(depth * ITEMS))
            settled(tape)
            assert store.file_bytes <= 64 * SLAB
            tape.popn(depth * ITEMS)
        tape.close()
        assert store.used_bytes == 0


# Several tapes.


def test_an_idle_tape_is_spilled_before_a_busy_one():
    """By how far what it needs lies below its top: memory goes to what is needed first, anywhere."""
    budget = Budget(20 * SLAB)
    idle = small_tape(MemoryStore(), budget)
    idle.extend(numbers(19 * ITEMS))
    busy = small_tape(MemoryStore(), budget)
    for _ in range(5):
        busy.extend(numbers(6 * ITEMS))
        assert np.array_equal(busy.popn(6 * ITEMS), numbers(6 * ITEMS))
    gone, here = settled(idle), settled(busy)
    assert 5 * SLAB <= gone.spilled_bytes <= 9 * SLAB
    assert gone.bytes_read == 0
    assert here.bytes_written == 0
    check_all(idle, 19 * ITEMS)
    busy.close()
    assert budget.used_bytes == 0


def test_an_empty_slab_of_one_tape_is_given_to_another():
    budget = Budget(8 * SLAB)
    first = small_tape(MemoryStore(), budget)
    first.extend(numbers(2 * ITEMS))
    first.popn(2 * ITEMS)
    assert first.stats().spare_slabs == 1
    second = small_tape(MemoryStore(), budget)
    second.extend(numbers(8 * ITEMS - 64))
    assert first.stats().spare_slabs == 0
    first.extend(numbers(8 * ITEMS))
    check_all(first, 8 * ITEMS)
    check_all(second, 8 * ITEMS - 64)
    assert budget.used_bytes == 0


def test_slow_reads_are_made_ahead():
    """Popping at a pace at which the disk keeps up waits for few slabs."""
    tape = small_tape(FaultStore(MemoryStore(), delay=0.001), 32 * SLAB)
    tape.extend(numbers(120 * ITEMS))
    settled(tape)
    for k in reversed(range(0, 120 * ITEMS, ITEMS)):
        assert tape.popn(ITEMS)[0] == k
        time.sleep(0.003)
    now = settled(tape)
    assert now.prefetch_hits >= 0.8 * (now.prefetch_hits + now.prefetch_misses)
    tape.close()
