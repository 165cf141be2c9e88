"""Memory of the tape for arrays that are overwritten: `tape.arrays.exchange`, and its way back."""

import numpy as np
import pytest
from numba import njit

from tape import SlabPool, Tape, TapeEmptyError, TapeMemoryError
from tape.arrays import exchange, restorer
from tape.faults import MemoryStore


class Left(Exception):
    """What compiled code is left by."""


restore = restorer("restore", "The old memory of an array.", Left)


@njit(nogil=True)
def there(handle, a):
    b = exchange(handle, a)
    b[:] = 2.0 * a  # both are there
    return b.sum(), a.sum()


@njit(nogil=True)
def there_and_back(handle, a, rounds):
    """Memory within memory: the sums on the way back are those on the way there."""
    sums = np.zeros((2, rounds))
    first = a
    for k in range(rounds):
        sums[0, k] = a.sum()
        old = a
        a = exchange(handle, a)
        a[:] = old + 1.0
    for k in range(rounds - 1, -1, -1):
        a = restore(handle, a)
        sums[1, k] = a.sum()
    return sums, first.sum()


@njit(nogil=True)
def back(handle, a):
    return restore(handle, a).sum()


@pytest.mark.parametrize("n", [1, 5, 64, 511, 4096, 300_000])
def test_nothing_is_copied_in_memory(n):
    a = np.arange(float(n))
    with Tape("f8") as tape:
        for _ in range(2):
            assert there(tape.handle, a) == (2.0 * a.sum(), a.sum())
            tape.raise_failed()
            assert back(tape.handle, np.zeros(n)) == a.sum()
            assert len(tape) == 0
        sums, first = there_and_back(tape.handle, a, 9)
        np.testing.assert_array_equal(sums[0], a.sum() + n * np.arange(9.0))
        np.testing.assert_array_equal(sums[1], sums[0])
        assert first == a.sum()


@pytest.mark.parametrize("n", [5, 511, 3000])
def test_copies_where_there_is_a_budget(n):
    """There the array keeps its memory, so what is added up has changed it: the copies bring it back."""
    a = np.arange(float(n))
    with Tape("f8", memory=4 * 4096 + 512, slab_bytes=4096, spill_dir=MemoryStore()) as tape:
        sums, first = there_and_back(tape.handle, a.copy(), 9)
        tape.raise_failed()
        np.testing.assert_array_equal(sums[0], a.sum() + n * np.arange(9.0))
        np.testing.assert_array_equal(sums[1], sums[0])
        assert first == a.sum()
        assert len(tape) == 0


def test_between_other_items():
    a = np.arange(700.0)
    with Tape("f8") as tape:
        for k in range(5):
            tape.push(float(k))
            there(tape.handle, a)
        for k in range(4, -1, -1):
            assert back(tape.handle, np.zeros(700)) == a.sum()
            assert tape.pop() == float(k)


def test_more_than_there_is():
    with Tape("f8") as tape:
        a = np.ones(10)  # kept: the tape knows where it lies
        there(tape.handle, a)
        with pytest.raises(Left):
            back(tape.handle, np.ones(1000))
        with pytest.raises(TapeEmptyError):
            tape.raise_failed()
        assert back(tape.handle, np.zeros(10)) == a.sum()


def test_no_memory():
    with Tape("f8", pool=SlabPool(limit=1 << 14)) as tape:
        a = np.ones(1 << 12)
        assert there(tape.handle, a) == (2.0 * a.size, 2.0 * a.size)  # it keeps its memory
        with pytest.raises(TapeMemoryError):
            tape.raise_failed()
        assert len(tape) == 0
