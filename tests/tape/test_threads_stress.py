"""Many threads on one thread-safe tape: nothing is lost, nothing comes twice, and what one call pushed lies together.

Every item is a number of its own, so that it is enough to compare what was pushed with what came back and what is left.
The script ci/threads.sh does the same with C threads under ThreadSanitizer.
"""

import threading

import numpy as np
import pytest
from layers_tools import SLAB
from numba import njit
from threads_tools import together

from tape import Tape
from tape.testing import MemoryStore

THREADS = 8
OPERATIONS = 60_000  # of each compiled thread


@njit(nogil=True)
def mixed(tape, first, operations, seed, taken):
    """Random pushes and pops, never more of these than of those; how many items were pushed, and how many taken."""
    pushed = 0
    popped = 0
    block = np.empty(100, np.int64)
    state = np.uint64(seed * 2 + 1)
    for _ in range(operations):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        n = 1 + np.int64((state >> np.uint64(40)) % np.uint64(100))
        choice = (state >> np.uint64(33)) % np.uint64(16)
        if choice < 7:
            tape.push(first + pushed)
            pushed += 1
        elif choice == 7:
            for j in range(n):
                block[j] = first + pushed + j
            tape.extend(block[:n])
            pushed += n
        elif choice < 15:
            if pushed > popped:
                taken[popped] = tape.pop()
                popped += 1
        elif pushed - popped >= n:
            tape.popn(n, taken[popped : popped + n])
            popped += n
    return pushed, popped


def mixed_in_python(tape, first, operations, seed, taken):
    """The same, with blocks that are filled in place, marks, looks and slices on the way."""
    pushed = popped = 0
    chance = np.random.default_rng(seed)
    for choice in chance.integers(0, 10, operations):
        n = int(chance.integers(1, 100))
        if choice < 3:
            tape.push(first + pushed)
            pushed += 1
        elif choice == 3:
            tape.extend(np.arange(first + pushed, first + pushed + n))
            pushed += n
        elif choice == 4:
            block = tape.reserve(n)
            block[:] = np.arange(first + pushed, first + pushed + n)
            pushed += n
            del block
        elif choice == 5 and pushed - popped >= n:
            try:
                taken[popped : popped + n] = tape.popn(n)
                popped += n
            except BufferError:  # another thread fills a block there
                pass
        elif choice == 6 and pushed > popped:
            try:
                taken[popped] = tape.pop()
                popped += 1
            except BufferError:
                pass
        elif choice == 7:
            mark = tape.mark()
            assert mark.position >= 0 and mark.live in (True, False)
        elif choice == 8:
            assert len(tape[-n:]) <= n and tape.stats().items >= 0
        else:
            assert tape.peek() >= 0 if pushed > popped else len(tape) >= 0
    return pushed, popped


def made(kind):
    if kind == "memory":
        return Tape("i8", thread_safe=True)
    store = MemoryStore() if kind == "python" else None
    return Tape("i8", thread_safe=True, memory=16 * SLAB, slab_bytes=SLAB, spill_dir=store)


def check(tape, numbers):
    """That the tape and what was taken from it are, all in all, the numbers pushed."""
    left = tape[:]
    found = np.sort(np.concatenate([left, *(taken for _, taken in numbers)]))
    expected = np.sort(np.concatenate([pushed for pushed, _ in numbers]))
    assert len(found) == len(expected)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kind", ["memory", "disk", "python"])
@pytest.mark.parametrize("in_python", [0, 3], ids=["compiled", "and python"])
def test_nothing_is_lost_and_nothing_comes_twice(kind, in_python):
    with made(kind) as tape:
        tape.extend(np.arange(100_000))  # beyond memory, where there is a limit
        room = [np.zeros(50 * OPERATIONS if k >= in_python else 300_000, "i8") for k in range(THREADS)]
        firsts = [(k + 1) << 40 for k in range(THREADS)]
        mixed(tape, 0, 0, 1, room[0])

        def one(k):
            if k < in_python:
                return mixed_in_python(tape, firsts[k], 1500, k, room[k])
            # A compiled loop would be left by TapeBusyError where Python threads hold blocks: these only push there.
            return mixed(tape, firsts[k], OPERATIONS, k, room[k]) if not in_python else push_only(tape, firsts[k])

        counts = together([lambda k=k: one(k) for k in range(THREADS)])
        numbers = [(np.arange(100_000), np.zeros(0, "i8"))]
        numbers += [
            (np.arange(first, first + pushed), taken[:popped])
            for first, taken, (pushed, popped) in zip(firsts, room, counts)
        ]
        check(tape, numbers)
        if tape.budget is not None:
            assert tape.budget.high_bytes <= tape.budget.memory and tape.traffic().bytes_written > 0


@njit(nogil=True)
def push_one_by_one(tape, first, n):
    for i in range(n):
        tape.push(first + i)


def push_only(tape, first, n=20_000):
    push_one_by_one(tape, first, n)
    return n, 0


@njit(nogil=True)
def push_blocks(tape, first, blocks, size):
    block = np.empty(size, np.int64)
    for k in range(blocks):
        block[:] = first + k
        tape.extend(block)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_blocks_stay_whole(kind):
    size, blocks = 1000, 200  # longer than the slabs of a tape with a budget
    with made(kind) as tape:
        push_blocks(tape, 0, 0, 1)

        def reserve(first):
            for k in range(blocks):
                block = tape.reserve(SLAB // 8)
                block[:] = first + k
                del block

        firsts = [(k + 1) << 32 for k in range(THREADS)]
        work = [lambda first=first: push_blocks(tape, first, blocks, size) for first in firsts[2:]]
        work += [lambda first=first: reserve(first) for first in firsts[:2]]
        together(work)
        items = tape[:]
        borders = np.flatnonzero(np.diff(items)) + 1
        runs = np.split(items, borders)
        assert len(runs) == THREADS * blocks
        for run in runs:
            assert len(run) == (SLAB // 8 if run[0] >> 32 <= 2 else size)
        # Each thread's own pushes lie in the order in which it made them.
        for first in firsts:
            mine = [run[0] for run in runs if run[0] >> 32 == first >> 32]
            assert mine == list(range(first, first + blocks))


def test_looks_see_what_was_there_at_one_moment():
    """The tape always holds 0, 1, ..., n - 1 for some n: so must every slice, and the newest item is n - 1."""
    with Tape("i8", thread_safe=True) as tape:
        tape.extend(np.arange(5000))
        done = threading.Event()

        @njit(nogil=True)
        def to_and_fro(tape, n):
            block = np.arange(5000, 5000 + n)
            for _ in range(20):
                tape.extend(block)
                tape.popn(n, block)

        to_and_fro(tape, 1)

        def move():
            for k in range(300):
                to_and_fro(tape, 1 + 37 * k)
            done.set()

        def look():
            looks = 0
            while not done.is_set():
                items = tape[:]
                assert np.array_equal(items, np.arange(len(items)))
                tail = tape[-10:]
                assert np.array_equal(tail, np.arange(tail[0], tail[0] + 10))
                looks += 1
            return looks

        results = together([move, look, look])
        assert min(results[1:]) > 0 and len(tape) == 5000


def test_marks_among_threads():
    """Rewinding takes off what others pushed too, and ends the marks that it passes."""
    with Tape("i8", thread_safe=True) as tape:
        tape.extend(np.arange(1000))
        bottom = tape.mark()

        def rewind():
            for _ in range(300):
                mark = tape.mark()
                tape.extend(np.arange(10))
                try:
                    tape.rewind(mark)
                except ValueError:  # another thread went further down
                    assert not mark.live
                tape.rewind(bottom)

        together([rewind] * 4 + [lambda: push_only(tape, 1 << 40)] * 2)
        tape.rewind(bottom)
        assert np.array_equal(tape[:], np.arange(1000)) and bottom.live
