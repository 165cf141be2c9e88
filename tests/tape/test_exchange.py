"""Memory of the tape for arrays that are overwritten: `tape.arrays.exchange`, and its way back."""

import numpy as np
import pytest
from numba import njit

from tape import SlabPool, Tape, TapeEmptyError, TapeMemoryError
from tape.arrays import exchange, restorer
from tape.faults import MemoryStore
from tape.handle import pop, push


class Left(Exception):
    """What compiled code is left by."""


restore = restorer("restore", "The old memory of an array.", Left)


@njit(nogil=True)
def there(handle, a):
    b = exchange(handle, a)
    b[:] = 2.0 * a  # both are there
    return b.sum(), a.sum()


@njit(nogil=True)
def once(handle, a):
    """The sums of the new contents and of the old ones, before and after."""
    b = exchange(handle, a)
    b[:] = 2.0 * a
    new, old = b.sum(), a.sum()
    return new, old, restore(handle, b).sum()


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
def between_numbers(handle, a, rounds):
    """Whether all is there on the way back."""
    first = a.sum()
    for k in range(rounds):
        push(handle, float(k))
        old = a
        a = exchange(handle, a)
        a[:] = old + 1.0
    good = True
    for k in range(rounds - 1, -1, -1):
        a = restore(handle, a)
        good = good and a.sum() == first + k * a.size and pop(handle) == float(k)
    return good


@njit(nogil=True)
def back(handle, a):
    return restore(handle, a).sum()


@njit(nogil=True)
def below_a_number(handle, a):
    a = exchange(handle, a)
    push(handle, 1.0)
    return restore(handle, a).sum()


@pytest.mark.parametrize("n", [1, 5, 64, 511, 4096, 300_000])
def test_nothing_is_copied_in_memory(n):
    a = np.arange(float(n))
    with Tape("f8") as tape:
        for _ in range(2):
            assert once(tape.handle, a) == (2.0 * a.sum(), a.sum(), a.sum())
            tape.raise_failed()
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
    with Tape("f8") as tape:
        assert between_numbers(tape.handle, np.arange(700.0), 5)
        assert len(tape) == 0


def test_more_than_there_is():
    with Tape("f8") as tape:
        there(tape.handle, np.ones(10))
        with pytest.raises(Left):
            back(tape.handle, np.ones(1000))
        with pytest.raises(TapeEmptyError):
            tape.raise_failed()


@pytest.mark.parametrize("function", [back, below_a_number])
def test_what_is_not_the_block_of_the_array_is_refused(function):
    """No address is taken from it, and it stays."""
    with Tape("f8") as tape:
        tape.extend(np.zeros(100))
        with pytest.raises(Left):
            function(tape.handle, np.zeros(10))
        tape.raise_failed()
        assert len(tape) >= 100


def test_no_memory():
    with Tape("f8", pool=SlabPool(limit=1 << 14)) as tape:
        a = np.ones(1 << 12)
        assert there(tape.handle, a) == (2.0 * a.size, 2.0 * a.size)  # it keeps its memory
        with pytest.raises(TapeMemoryError):
            tape.raise_failed()
        assert len(tape) == 0
