"""push, pop, pop_int and failed on an integer handle: what generated code uses."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit, types
from numba.core.errors import TypingError

from tape import (
    SlabPool,
    Tape,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeMemoryError,
    TapeTypeError,
    capi,
)
from tape.handle import popper
from tape.numba import failed, pop, pop_int, push


@njit(nogil=True)
def record(handle, n):
    for i in range(n):
        x = i * 0.5
        push(handle, x)
        push(handle, x, 2 * x, 3 * x)
        push(handle, i, i % 2 == 0, -i)


@njit(nogil=True)
def replay(handle, n):
    for i in range(n - 1, -1, -1):
        a, even, c = pop_int(handle, 3)
        if a != i or even != (i % 2 == 0) or c != -i:
            return i
        x, y, z = pop(handle, 3)
        if (x, y, z) != (i * 0.5, i * 1.0, i * 1.5):
            return i
        if pop(handle) != i * 0.5:
            return i
    return -1


@pytest.mark.parametrize("n", [1, 9, 10, 83, 600, 20_000])
@pytest.mark.parametrize("slab", [64, 72, None])
def test_blocks_come_back(n, slab):
    tape = Tape("f8", slab_bytes=slab)
    for _ in range(2):
        record(tape.handle, n)
        assert len(tape) == 7 * n
        assert replay(tape.handle, n) == -1
        assert len(tape) == 0


@njit
def pop3(handle):
    return pop(handle, 3)


@njit
def status(handle):
    return failed(handle)


@given(st.integers(0, 600), st.integers(0, 200))
def test_blocks_of_other_pushes_are_gathered(singles, block):
    # The words that a block pop takes may have been pushed one by one, and lie on both sides of a border.
    tape = Tape("f8", slab_bytes=64)
    items = np.arange(float(singles + block))
    tape.extend(items[:singles])
    for x in items[singles:]:
        tape.push(x)
    left = len(items)
    while left >= 3:
        assert pop3(tape.handle) == tuple(items[left - 3 : left])
        left -= 3
    assert pop3(tape.handle) == (0, 0, 0)  # not there: zeros, and nothing popped
    assert len(tape) == left


def test_a_full_pool_sticks_and_drops():
    tape = Tape("f8", pool=SlabPool(limit=8192))
    record(tape.handle, 10)
    assert status(tape.handle) == 0
    record(tape.handle, 10_000)
    assert status(tape.handle) == capi.STATUS["NOMEM"]
    held = len(tape)
    assert held <= 64 + 1024
    record(tape.handle, 3)
    assert len(tape) == held
    with pytest.raises(TapeMemoryError, match="limit of 8192"):
        tape.raise_failed()
    tape.raise_failed()  # forgotten
    assert status(tape.handle) == 0
    record(tape.handle, 10_000)
    tape.clear()  # forgets too
    assert status(tape.handle) == 0
    record(tape.handle, 10)
    assert replay(tape.handle, 10) == -1


def test_after_a_failure_smaller_blocks_are_dropped_too():
    small = njit(lambda h: push(h, 1.0))
    tape = Tape("f8", pool=SlabPool(limit=4096))
    tape.extend(np.ones(64 + 510))
    record(tape.handle, 1)  # seven words for two places: the first fits
    held = len(tape)
    small(tape.handle)
    small(tape.handle)
    assert len(tape) == held
    with pytest.raises(TapeMemoryError):
        tape.raise_failed()
    small(tape.handle)
    assert len(tape) == held + 1


@njit
def pop1(handle):
    return pop(handle)


@njit
def push1(handle):
    push(handle, 7.0)


@njit
def pop600(handle):
    return pop(handle, 600)


@pytest.mark.parametrize("held", [0, 2, 8, 65, 576])
def test_a_pop_of_too_much_sticks_and_gives_zeros(held):
    items = np.arange(1.0, held + 1)
    tape = Tape("f8")
    for forget in (tape.raise_failed, tape.clear):
        tape.extend(items)
        assert pop600(tape.handle) == (0.0,) * 600
        assert status(tape.handle) == capi.STATUS["EMPTY"]
        # What is there stays there until the failure is forgotten: no push and no pop does anything.
        push1(tape.handle)
        assert pop1(tape.handle) == 0.0
        assert pop3(tape.handle) == (0.0, 0.0, 0.0)
        assert len(tape) == held
        if forget == tape.raise_failed:
            with pytest.raises(TapeEmptyError, match=f"holds {held}$"):
                forget()
            assert [pop1(tape.handle) for _ in items] == items[::-1].tolist()
        forget()
        assert status(tape.handle) == 0 and len(tape) == 0
        record(tape.handle, 100)
        assert replay(tape.handle, 100) == -1
        assert status(tape.handle) == 0


def test_pops_after_a_push_that_failed_give_zeros():
    tape = Tape("f8", pool=SlabPool(limit=4096))
    tape.extend(np.ones(64 + 510))
    record(tape.handle, 1)  # seven words for two places: the first fits
    assert pop1(tape.handle) == 0.0
    assert pop3(tape.handle) == (0.0, 0.0, 0.0)
    assert status(tape.handle) == capi.STATUS["NOMEM"], "the first failure is the one that counts"
    assert len(tape) == 64 + 511
    with pytest.raises(TapeMemoryError):
        tape.raise_failed()
    assert pop3(tape.handle) == (1.0, 1.0, 0.0)


def test_a_pinned_block_is_not_popped():
    tape = Tape("f8")
    tape.extend(np.ones(10))
    view = tape.peek(3)
    assert pop1(tape.handle) == 0.0
    with pytest.raises(TapeBusyError, match="view"):
        tape.raise_failed()
    assert len(tape) == 10
    del view
    assert pop3(tape.handle) == (1.0, 1.0, 1.0)


def test_a_closed_tape_gives_zeros():
    tape = Tape("f8")
    handle = tape.handle
    tape.close()
    push1(handle)
    assert pop3(handle) == (0.0, 0.0, 0.0)
    with pytest.raises(TapeClosedError):
        tape.raise_failed()


def test_a_popper_that_leaves():
    strict = popper(types.float64, "strict", "Pop or raise.", ArithmeticError)

    @njit
    def first_of_three(handle, out):
        out[0] = strict(handle, 3)[0]
        out[1] = 1.0

    tape, out = Tape("f8"), np.zeros(2)
    tape.extend(np.arange(1.0, 580.0))
    for k in range(193):
        first_of_three(tape.handle, out)
        assert out.tolist() == [577.0 - 3 * k, 1.0]
    assert len(tape) == 0
    out[:] = 0.0
    with pytest.raises(ArithmeticError):
        first_of_three(tape.handle, out)
    assert not out.any(), "nothing after the pop ran"
    with pytest.raises(TapeEmptyError):
        tape.raise_failed()


def test_handles_are_for_words():
    for dtype in ["f4", "c16", "?", "V12"]:
        with pytest.raises(TapeTypeError, match="8-byte"):
            _ = Tape(dtype).handle
        with pytest.raises(TapeTypeError, match="8-byte"), Tape(dtype).claimed():
            pass


def test_claimed():
    tape = Tape("f8")
    with tape.claimed() as handle:
        record(handle, 100)
        for use in (tape.pop, tape.close, tape.claimed().__enter__):
            with pytest.raises(TapeBusyError, match="in use"):
                use()
        assert replay(handle, 100) == -1
    tape.push(1.0)
    with pytest.raises(ZeroDivisionError), tape.claimed():
        raise ZeroDivisionError
    tape.close()
    with pytest.raises(TapeClosedError), tape.claimed():
        pass


@pytest.mark.parametrize(
    "bad",
    [
        lambda h, n: pop(h, n),
        lambda h, n: pop(h, 0),
        lambda h, n: push(h),
        lambda h, n: push(h, (1, 2)),
        lambda h, n: push(h, "x"),
    ],
)
def test_misuse_does_not_compile(bad):
    with pytest.raises(TypingError):
        njit(bad)(Tape("f8").handle, 3)


def test_the_plain_c_surface():
    """All of tape.capi through ctypes, as a C program would call it."""
    size, handle, status = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int

    def function(name, result, *arguments):
        return ctypes.CFUNCTYPE(result, *arguments)(capi.SYMBOLS[name])

    assert Tape("f4").address
    tape = function("new", handle, size)(8)
    assert tape
    assert function("new", handle, size)(0) is None
    doubles = (ctypes.c_double * 3)(1, 2, 3)
    out = (ctypes.c_double * 3)()
    push_bytes = function("push", status, handle, handle, size)
    take = function("pop", status, handle, handle, size)
    length = function("length", size, handle)
    assert push_bytes(tape, doubles, 24) == 0
    assert length(tape) == 24
    assert function("read", status, handle, size, size, handle)(tape, 8, 8, out) == 0
    assert out[0] == 2
    top = function("top", handle, handle, size)(tape, 8)
    assert ctypes.c_double.from_address(top).value == 3
    assert take(tape, out, 24) == 0
    assert list(out) == [1, 2, 3]
    assert take(tape, out, 8) == capi.STATUS["EMPTY"]
    many = (ctypes.c_double * 1000)(*range(1000))
    assert function("extend", status, handle, handle, size)(tape, many, 8000) == 0
    block = function("reserve", handle, handle, size)(tape, 80_000)
    ctypes.memset(block, 0, 80_000)
    assert length(tape) == 88_000
    mark = function("mark", ctypes.c_longlong, handle)(tape)
    rewind = function("rewind", status, handle, ctypes.c_longlong)
    assert push_bytes(tape, doubles, 24) == 0
    assert rewind(tape, mark) == 0
    assert length(tape) == 88_000
    assert rewind(tape, mark + 1) == capi.STATUS["STALE"]
    assert function("truncate", status, handle, size)(tape, 8000) == 0
    assert function("grow", status, handle, size)(tape, 1 << 21) == 0
    assert function("unwind", status, handle)(tape) == 0
    record = function("record", status, handle, handle, size)
    before = length(tape)
    assert record(tape, doubles, 16) == 0
    assert length(tape) == before + 16
    assert function("failed", status, handle)(tape) == 0
    item = function("item", status, handle, ctypes.c_longlong, handle)
    assert item(tape, -1, out) == 0 and out[0] == 2
    assert item(tape, before // 8, out) == 0 and out[0] == 1
    assert item(tape, before // 8 + 2, out) == item(tape, -(2**40), out) == capi.STATUS["EMPTY"]
    recall = function("recall", status, handle, handle, size)
    assert function("truncate", status, handle, size)(tape, 0) == 0
    assert push_bytes(tape, doubles, 24) == 0
    assert recall(tape, out, 16) == 0
    assert list(out[:2]) == [2, 3]
    assert recall(tape, out, 16) == capi.STATUS["EMPTY"]
    assert list(out) == [0, 0, 3]
    assert function("failed", status, handle)(tape) == capi.STATUS["EMPTY"]
    assert record(tape, doubles, 8) == capi.STATUS["EMPTY"]
    assert length(tape) == 8
    assert function("enter", status, handle)(tape) == 0
    assert function("enter", status, handle)(tape) == capi.STATUS["BUSY"]
    function("leave", None, handle)(tape)
    assert function("enter", status, handle)(tape) == 0
    function("leave", None, handle)(tape)
    function("free", None, handle)(tape)
    function("free", None, handle)(None)
    tape = function("new", handle, size)(8)
    lengths, strides = (ctypes.c_longlong * 2)(2, 3), (ctypes.c_longlong * 2)(8, 16)
    form = [handle, handle, status, handle, handle, status, status, status]
    arrays = (tape, many, 2, lengths, strides, 1, 8, 8)
    function("push_array", None, *form)(*arrays)
    assert take(tape, (ctypes.c_double * 6).from_buffer(many, 4000), 48) == 0
    assert many[500:506] == [0, 2, 4, 1, 3, 5]
    function("push_array", None, *form)(*arrays)
    many[0] = many[5] = -1
    assert function("pop_array", status, *form)(*arrays) == 0
    assert many[:6] == list(range(6))
    assert function("pop_array", status, *form)(*arrays) == capi.STATUS["EMPTY"]
    function("free", None, handle)(tape)
    assert len({*capi.SYMBOLS.values()}) == len(capi.SYMBOLS)
