"""XXH64 against the library of the same name."""

import sys
import threading
import time

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tape import TapeTypeError, TapeValueError
from tape.checksum import xxh64


@pytest.fixture
def switch_interval():
    before = sys.getswitchinterval()
    yield sys.setswitchinterval
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
        (b"xxhash", 0x32DD38952C4BC720),
    ],
)
def test_published_values(data, known):
    assert xxh64(data) == known


@given(st.binary(max_size=200))
def test_short_ones_agree_with_the_library(data):
    assert xxh64(data) == xxhash.xxh64_intdigest(data)


@pytest.mark.parametrize("length", range(201))
def test_every_length_agrees_with_the_library(length):
    data = np.random.default_rng(length).bytes(length)
    assert xxh64(data) == xxhash.xxh64_intdigest(data)


@pytest.mark.parametrize("length", [32_767, 32_768, 32_769, 2**20, 5_000_003])
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_large_and_unaligned_ones_agree_with_the_library(length, offset):
    data = memoryview(np.random.default_rng(1).bytes(length + offset))[offset:]
    assert xxh64(data) == xxhash.xxh64_intdigest(data)


def test_of_an_array_the_memory_counts():
    array = np.arange(6.0).reshape(2, 3)
    assert xxh64(array) == xxh64(array.tobytes())
    assert xxh64(bytearray(b"abc")) == xxh64(memoryview(b"abc"))
    assert xxh64(np.zeros(2, [("a", "u1"), ("b", "f8")])) == xxh64(bytes(18))
    assert xxh64(np.zeros(2, "M8[s]")) == xxh64(bytes(16))


@pytest.mark.parametrize("bad", ["abc", 1, None, [1.0]])
def test_what_is_no_memory_is_refused(bad):
    with pytest.raises(TapeTypeError, match=type(bad).__name__):
        xxh64(bad)


@pytest.mark.parametrize(
    "bad", [np.arange(6.0)[::2], np.ones((3, 2)).T, memoryview(b"abcd")[::2]], ids=["strided", "transposed", "view"]
)
def test_what_is_not_contiguous_is_refused(bad):
    with pytest.raises(TapeValueError, match="contiguous"):
        xxh64(bad)


def test_the_buffer_is_given_back():
    data = bytearray(100_000)
    xxh64(data)
    data.append(1)  # BufferError while an export lives


def test_large_ones_leave_the_gil_to_other_threads(switch_interval):
    switch_interval(100.0)  # a thread that does not give the GIL away keeps it
    data = np.zeros(2**26, "u1")
    turns, ended = 0, threading.Event()

    def count():
        nonlocal turns
        while not ended.is_set():
            turns += 1
            time.sleep(0.0001)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(100):  # a busy machine may leave the counter no core during one of them
            before = turns
            xxh64(data)
            if turns > before:
                break
        else:
            pytest.fail("no other thread ran during a hundred large checksums")
    finally:
        ended.set()
        counter.join()
