"""Reading a stretch from its newest item down, without taking anything off."""

import copy
import gc

import numpy as np
import pytest

from tape import Reader, Tape, TapeBusyError, TapeClosedError, TapeEmptyError, TapeMarkError, TapeTypeError

ITEMS = np.random.default_rng(5).standard_normal(40_000)


@pytest.fixture(params=[None, "64 KiB"], ids=["in memory", "spilled"])
def tape(request):
    with Tape("f8", memory=request.param) as tape:
        tape.extend(ITEMS)
        yield tape


def test_reads_from_the_newest_down_as_often_as_wanted(tape):
    with Reader(tape) as reader:
        for _ in range(3):
            assert len(reader) == len(ITEMS)
            assert [reader.pop() for _ in range(700)] == ITEMS[:-701:-1].tolist()
            assert np.array_equal(reader.popn(30_000), ITEMS[9_300:39_300])
            assert len(reader) == 9_300
            assert list(reader) == ITEMS[:9_300][::-1].tolist()
            with pytest.raises(TapeEmptyError):
                reader.pop()
            reader.restart()
    assert np.array_equal(tape[:], ITEMS)


def test_a_spilled_stretch_is_read_ahead(tmp_path):
    with Tape("f8", memory="256 KiB", spill_dir=tmp_path) as tape:
        tape.extend(np.tile(ITEMS, 5))
        out = np.empty(512)
        with Reader(tape) as reader:
            before = tape.traffic()
            while len(reader) >= 512:
                reader.popn(512, out)
            after = tape.traffic()
    assert after.prefetch_hits > before.prefetch_hits
    assert after.bytes_written - before.bytes_written <= 256 * 1024, "reading changes nothing"


def test_a_stretch_since_a_mark(tape):
    mark = tape.mark()
    tape.extend(np.arange(1000.0))
    reader = Reader(tape, mark)
    tape.push(-1.0)
    assert len(reader) == 1000 and reader.pop() == 999.0
    assert np.array_equal(reader.popn(999), np.arange(999.0))
    with pytest.raises(TapeEmptyError):
        reader.popn(1)
    reader.close()
    reader.close()
    with pytest.raises(TapeClosedError):
        len(reader)


def test_the_stretch_cannot_be_popped(tape):
    reader = Reader(tape)
    tape.push(1.0)
    assert tape.pop() == 1.0
    for use in (tape.pop, tape.clear, tape.close, lambda: tape.popn(2)):
        with pytest.raises(TapeBusyError):
            use()
    assert reader.pop() == ITEMS[-1]
    del reader
    gc.collect()
    assert tape.pop() == ITEMS[-1]


def test_several_readers(tape):
    first, second = Reader(tape), Reader(tape)
    for k in range(200):
        block = ITEMS[len(ITEMS) - 150 * (k + 1) : len(ITEMS) - 150 * k]
        assert np.array_equal(first.popn(150), block)
        assert second.pop() == ITEMS[-1 - k]
    first.close()
    assert second.pop() == ITEMS[-201]
    second.close()


@pytest.mark.parametrize("dtype", ["f4", "i8", "?", "c16", [("x", "f8"), ("n", "i4")]])
def test_dtypes(dtype):
    items = np.arange(3000).astype(dtype) if isinstance(dtype, str) else np.zeros(3000, dtype)
    with Tape(dtype, memory="64 KiB") as tape:
        tape.extend(items)
        with Reader(tape) as reader:
            assert reader.pop() == items[-1] and type(reader.pop()) is type(tape[0])
            assert np.array_equal(reader.popn(2998), items[:2998])


def test_misuse(tape):
    with pytest.raises(TypeError):
        Reader(None)
    other = Tape("f8")
    with pytest.raises(TapeMarkError):
        Reader(tape, other.mark())
    mark = tape.mark()
    tape.pop()
    with pytest.raises(TapeMarkError):
        Reader(tape, mark)
    reader = Reader(tape)
    with pytest.raises(TapeTypeError):
        copy.copy(reader)
    with pytest.raises(TapeTypeError):
        reader.popn(1.5)
    with pytest.raises(TapeTypeError):
        reader.popn(3, out=np.empty(3, "f4"))
    with tape.claimed(), pytest.raises(TapeBusyError):
        reader.pop()
    assert "Reader of" in repr(reader)
    reader.close()
    assert "closed" in repr(reader)


def test_a_reader_that_dies_while_the_tape_is_claimed(tape):
    reader = Reader(tape)
    reader.pop()
    with tape.claimed():
        del reader
        gc.collect()
    assert tape.pop() == ITEMS[-1]
