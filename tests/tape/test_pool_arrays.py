"""Memory of the shared pool for the arrays of compiled code, as Numba's runtime takes it and gives it back."""

import ctypes
import gc
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python

from tape import SlabPool, Tape, capi, default_pool


class Runtime(ctypes.Structure):
    """The table that NRT_get_api() returns (numba/core/runtime/nrt_external.h)."""

    _fields_ = [
        ("allocate", ctypes.c_void_p),
        ("allocate_external", ctypes.c_void_p),
        ("manage_memory", ctypes.c_void_p),
        ("acquire", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("data", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)),
    ]


cpu_target.target_context.refresh()  # starts the runtime
table = ctypes.CFUNCTYPE(ctypes.c_void_p)(_nrt_python.c_helpers["get_api"])()
runtime = Runtime.from_address(table)
new_array = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)(capi.SYMBOLS["new_array"])


class Block:
    """An array's memory, full of one byte."""

    def __init__(self, size, fill):
        self.size, self.fill = size, fill
        self.handle = new_array(size, table)
        assert self.handle
        self.at = runtime.data(self.handle)
        assert self.at % 64 == 0
        ctypes.memset(self.at, fill, size)

    def end(self):
        assert ctypes.string_at(self.at, self.size) == bytes([self.fill]) * self.size, "another block lies in this one"
        runtime.release(self.handle)


@pytest.fixture(autouse=True)
def balanced():
    """Whatever a test does, as many arrays are in use after it as before, and the pool has its settings back."""
    gc.collect()
    pool = default_pool()
    before = pool.stats()
    yield
    pool.limit, pool.retain = before.limit, before.retain
    after = pool.stats()
    assert (after.arrays, after.array_bytes) == (before.arrays, before.array_bytes)
    assert (after.used_slabs, after.used_bytes) == (before.used_slabs, before.used_bytes)


SMALL = 4096 - 64
"""Bytes of arrays that are no slabs: each thread keeps the memory of its own small ones."""

SIZES = st.one_of(st.integers(0, 10_000), st.integers(0, 2_000_000), st.sampled_from([2**k for k in range(22)]))


@settings(max_examples=50)
@given(st.lists(st.tuples(SIZES, st.integers(0, 7)), min_size=1, max_size=40))
def test_blocks_keep_apart_whatever_the_order(plan):
    living = []
    for k, (size, at) in enumerate(plan):
        living.append(Block(size, k % 251))
        if at < len(living):
            living.pop(at).end()
    for block in living:
        block.end()


@given(st.lists(SIZES, max_size=20), st.randoms(use_true_random=False))
def test_the_same_arrays_in_another_order_allocate_nothing(sizes, random):
    def take():
        for block in [Block(size, 1) for size in sizes]:
            block.end()

    take()
    before = default_pool().stats()
    random.shuffle(sizes)
    take()
    after = default_pool().stats()
    assert after.allocations == before.allocations
    assert after.recycled == before.recycled + sum(size >= SMALL for size in sizes)


def test_arrays_are_counted_apart_from_the_slabs_of_tapes():
    pool = default_pool()
    pool.trim()
    before = pool.stats()
    block = Block(1_000_000, 3)
    now = pool.stats()
    assert now.arrays == before.arrays + 1
    assert 1_000_000 <= now.array_bytes - before.array_bytes <= 1.25 * 1_000_000
    assert (now.used_slabs, now.used_bytes, now.high_bytes) == (before.used_slabs, before.used_bytes, before.high_bytes)
    assert f"{now.arrays} arrays ({now.array_bytes} bytes)" in repr(pool)
    block.end()
    assert pool.stats().free_bytes == now.array_bytes - before.array_bytes
    pool.trim()
    assert pool.stats().free_bytes == 0


def test_what_is_kept_is_bounded():
    pool = default_pool()
    pool.trim()
    pool.retain = 300_000
    blocks = [Block(100_000, k) for k in range(8)]
    for block in blocks:
        block.end()
    assert 100_000 <= pool.stats().free_bytes <= 300_000
    pool.retain = 0
    assert pool.stats().free_bytes == 0
    Block(100_000, 1).end()
    assert pool.stats().free_bytes == 0


def test_the_limit_refuses_no_array_and_bounds_what_is_free():
    pool = default_pool()
    pool.trim()
    pool.limit = pool.stats().used_bytes + 150_000
    blocks = [Block(100_000, k) for k in range(4)]
    with Tape("f8") as tape:  # arrays in use leave it all the room there is
        tape.reserve(10_000)
    for block in blocks:
        block.end()
    assert pool.stats().used_bytes + pool.stats().free_bytes <= pool.limit


def test_no_memory_is_a_null_pointer():
    before = default_pool().stats()
    for size in (2**46, 2**62, 2**64 - 64, 2**64 - 1):
        assert new_array(size, table) is None
    after = default_pool().stats()
    assert (after.arrays, after.array_bytes, after.allocations) == (
        before.arrays,
        before.array_bytes,
        before.allocations,
    )


def test_what_was_not_wanted_for_longest_goes_first():
    pool = SlabPool()

    def use(size):
        with Tape("f8", pool=pool) as tape:
            tape.reserve(size // 8)

    for size in (8_000_000, 1_000_000, 100_000, 1_000_000):  # so far apart that none serves for another
        use(size)
    assert pool.stats().free_slabs == 3
    pool.retain = 8_000_000  # the large one alone would fit
    assert pool.stats().free_slabs == 2
    before = pool.stats().allocations
    use(1_000_000)
    use(100_000)
    assert pool.stats().allocations == before
    pool.trim(500_000)  # the small one was used last
    assert pool.stats().free_slabs == 1
    use(100_000)
    assert pool.stats().allocations == before


def test_threads_take_and_give_at_once():
    wrong = []

    def work(seed):
        try:
            living = []
            for k in range(300):
                living.append(Block(4096 * (1 + (seed * k) % 7), (seed + k) % 251))
                if len(living) > 4:
                    living.pop((seed + k) % 4).end()
            for block in living:
                block.end()
        except AssertionError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_finds_the_pool_as_it_was():
    stop = threading.Event()

    def work():
        while not stop.is_set():
            Block(50_000, 5).end()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    inherited = Block(60_000, 9)
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    Block(50_000, 7).end()
                    inherited.end()
                    default_pool().trim()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        inherited.end()
