"""The pool: recycling, limits, the failures of allocation, forks, threads, sizes."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from tape import SlabPool, Tape, TapeMemoryError, TapeTypeError, TapeValueError, default_pool
from tape.sizes import format_bytes, parse_bytes


@pytest.mark.parametrize("grow", [lambda t: t.push(1.0), lambda t: t.extend(np.ones(2000)), lambda t: t.reserve(2000)])
def test_the_limit_leaves_the_tape_as_it_was(grow):
    pool = SlabPool(limit=8192)
    tape = Tape("f8", pool=pool)
    tape.extend(np.arange(64.0))
    other = Tape("f8", pool=pool, slab_bytes=4096)
    other.extend(np.ones(64 + 1024))
    before = tape.stats()
    with pytest.raises(TapeMemoryError, match="limit of 8192 bytes"):
        grow(tape)
    assert tape[:].tolist() == list(range(64))
    assert tape.stats() == before
    other.close()
    if grow.__code__.co_consts[-1] != 2000:
        grow(tape)
        assert len(tape) == 65


def test_free_slabs_make_room_below_the_limit():
    pool = SlabPool(limit=100_000)
    with Tape("f8", pool=pool, slab_bytes=4096) as tape:
        tape.extend(np.ones(64 + 512 * 20))
    assert pool.stats().free_bytes == 81_920
    view = Tape("f8", pool=pool).reserve(80_000 // 8)
    assert view.size == 10_000
    assert pool.stats().used_bytes + pool.stats().free_bytes <= 100_000


def test_retain_bounds_the_free_bytes():
    pool = SlabPool(retain=10_000)
    with Tape("f8", pool=pool, slab_bytes=4096) as tape:
        tape.extend(np.ones(100_000))
    assert 0 < pool.stats().free_bytes <= 10_000
    pool.retain = 0
    assert pool.stats().free_bytes == 0
    pool.retain = None
    assert pool.retain is None
    with Tape("f8", pool=pool) as tape:
        tape.extend(np.ones(1_000_000))
    held = pool.stats().free_bytes
    assert held > 8_000_000
    pool.trim("1 MiB")
    assert pool.stats().free_bytes <= 1 << 20
    pool.trim()
    assert pool.stats().free_bytes == 0


def test_an_odd_block_is_recycled():
    pool = SlabPool()
    tape = Tape("f8", pool=pool)
    for n in [300_000, 290_000, 300_000]:
        tape.reserve(n)
        tape.clear()
        tape.release()
    assert pool.stats().allocations == 1


def test_sizes_do_not_overflow():
    tape = Tape("V4096")
    for n in [2**62, 2**63 - 1, 2**64, 2**51]:
        with pytest.raises(TapeMemoryError):
            tape.reserve(n)
        with pytest.raises(TapeMemoryError):
            tape.popn(n) if n > 2**60 else tape.reserve(n)
    assert len(tape) == 0
    with pytest.raises(TapeValueError):
        Tape("f8", slab_bytes=2**63)


@pytest.mark.parametrize("bad", [-1, "many", "5 parsecs", 2**63, "-3 MiB"])
def test_sizes_are_checked(bad):
    with pytest.raises(TapeValueError, match="limit"):
        SlabPool(limit=bad)
    with pytest.raises(TapeValueError, match="retain"):
        SlabPool().retain = bad
    for kind in [1.5, True, object()]:
        with pytest.raises(TapeTypeError, match="keep"):
            SlabPool().trim(kind)


def test_sizes_as_people_write_them():
    assert parse_bytes("256 MiB") == 256 * 2**20
    assert parse_bytes("1.5 GB") == 1_500_000_000
    assert parse_bytes(" 7 ") == parse_bytes("7b") == parse_bytes(np.int64(7)) == 7
    assert parse_bytes("4611686018427387904") == 2**62
    assert [format_bytes(n) for n in (0, 1023, 1536, 2**30, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "1 GiB",
        "5 TiB",
    ]


@given(st.integers(0, 2**62))
def test_every_size_is_read_exactly(n):
    assert parse_bytes(str(n)) == n
    assert parse_bytes(n) == n


def test_the_default_pool_is_shared():
    assert Tape().pool is default_pool()
    assert "SlabPool" in repr(default_pool())
    pool = SlabPool(limit="1 MiB")
    assert "limit 1048576" in repr(pool)
    pool.limit = None
    assert pool.limit is None


@njit(nogil=True)
def churn(tape, rounds):
    total = 0.0
    for k in range(rounds):
        for i in range(5000):
            tape.push(float(i + k))
        for _ in range(5000):
            total += tape.pop()
    return total


def test_threads_share_a_pool():
    pool = SlabPool(retain=20_000)
    wrong = []

    def work():
        for _ in range(40):
            with Tape("f8", pool=pool, slab_bytes=4096) as tape:
                if churn(tape, 3) != 3 * 5000 * 4999 / 2 + 5000 * 3:
                    wrong.append(1)

    churn(Tape("f8"), 1)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    stats = pool.stats()
    assert (stats.used_slabs, stats.used_bytes) == (0, 0)
    assert stats.free_bytes <= 20_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_never_inherits_a_locked_pool():
    stop = threading.Event()
    churn(Tape("f8"), 1)

    def work():
        while not stop.is_set():
            with Tape("f8", slab_bytes=64) as tape:
                churn(tape, 1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                try:
                    with Tape("f8", slab_bytes=64) as tape:
                        tape.extend(np.ones(10_000))
                finally:
                    os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
