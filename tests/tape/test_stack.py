"""Every operation of a tape, on every kind of dtype, on both sides of every border."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from tape import (
    Mark,
    SlabPool,
    Tape,
    TapeClosedError,
    TapeEmptyError,
    TapeError,
    TapeIndexError,
    TapeMarkError,
    TapeTypeError,
    TapeValueError,
)
from tape.core import Block

DTYPES = ["f8", "f4", "i8", "i2", "u1", "?", "c16", "c8", "S5", "M8[s]", ">f8", [("a", "f8"), ("n", "i4")], "V600"]
# Lengths around the borders of the inline buffer and of slabs of 4 KiB and 16 KiB, for items of 8 bytes.
LENGTHS = [0, 1, 63, 64, 65, 575, 576, 577, 2624, 2625, 20_000]


def sample(dtype, n, seed=0):
    """n items of the dtype with all their bytes in use."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    if dtype.kind == "?":
        return rng.integers(0, 2, n).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
    if dtype.kind in "fc":
        return (rng.standard_normal(n) + (1j * rng.standard_normal(n) if dtype.kind == "c" else 0)).astype(dtype)
    if dtype.kind == "S":
        return np.array([b"%05d" % k for k in rng.integers(0, 99_999, n)], dtype=dtype)
    if dtype.kind == "M":
        return rng.integers(0, 2**31, n).astype(dtype)
    if dtype.names:
        array = np.zeros(n, dtype)
        for name in dtype.names:
            array[name] = rng.integers(0, 1000, n)
        return array
    return rng.integers(0, 256, (n, dtype.itemsize), dtype="u1").view(dtype)[:, 0]


def same(x, y):
    return np.array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_by_one(dtype):
    data = sample(dtype, 700)
    tape = Tape(dtype)
    for i, x in enumerate(data):
        tape.push(x)
        assert same(np.array(tape.peek(), dtype=data.dtype), x), f"peek after push {i}"
    assert len(tape) == 700
    assert tape.nbytes == 700 * data.dtype.itemsize
    for i in range(699, -1, -1):
        assert same(np.array(tape.pop(), dtype=data.dtype), data[i]), f"pop {i}"
    assert len(tape) == 0
    with pytest.raises(TapeEmptyError):
        tape.pop()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", LENGTHS)
def test_blocks(dtype, n):
    data = sample(dtype, n)
    tape = Tape(dtype)
    tape.extend(data)
    assert len(tape) == n
    assert same(tape[:], data)
    for i in {0, n // 3, n - 1} & set(range(n)):
        assert same(np.array(tape[i], dtype=data.dtype), data[i])
        assert same(np.array(tape[i - n], dtype=data.dtype), data[i])
    out = np.empty(n, data.dtype)
    assert tape.popn(n, out=out) is out
    assert same(out, data)
    assert len(tape) == 0


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("k", [1, 3, 64, 100, 5000])
def test_popn_returns_items_in_the_order_of_pushing(n, k):
    tape = Tape("f8")
    for x in range(n):
        tape.push(float(x))
    left = n
    while left >= k:
        assert same(tape.popn(k), np.arange(left - k, left))
        left -= k
    assert same(tape.popn(left), np.arange(left))


def test_slices_and_iteration():
    tape = Tape("i8")
    data = list(range(3000))
    tape.extend(np.array(data))
    for s in [np.s_[:], np.s_[10:20], np.s_[-5:], np.s_[::7], np.s_[2900:100:-13], np.s_[::-1], np.s_[5:5], np.s_[7:3]]:
        assert same(tape[s], data[s]), s
    assert list(tape) == data
    assert list(reversed(tape)) == data[::-1]
    tape[:][0] = 99  # a slice is a copy
    assert tape[0] == 0


def test_iteration_sees_changes_like_a_list():
    tape = Tape("i8")
    tape.extend([0, 1, 2])
    seen = []
    for x in tape:
        seen.append(x)
        if x < 5:
            tape.push(x + 3)
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7]


def test_extend_takes_sequences():
    tape = Tape("f8")
    tape.extend([1, 2.5])
    tape.extend(())
    tape.extend(float(k) for k in range(3))
    assert list(tape) == [1.0, 2.5, 0.0, 1.0, 2.0]


def test_addresses_stay_until_popped():
    tape = Tape("f8")
    views = []
    for k in range(200):
        view = tape.reserve(37)
        view[:] = k
        views.append((view, view.ctypes.data))
    for k, (view, address) in enumerate(views):
        assert view.ctypes.data == address
        assert (view == k).all()


def test_python_scalars_come_back():
    for dtype, x, kind in [
        ("f8", 1.5, float),
        ("f4", 1.5, float),
        ("i8", -3, int),
        ("?", True, bool),
        ("c16", 1j, complex),
    ]:
        tape = Tape(dtype)
        tape.push(x)
        assert type(tape.peek()) is kind
        assert type(tape[0]) is kind
        assert type(tape.pop()) is kind


@pytest.mark.parametrize(
    ("dtype", "bad", "error"),
    [
        ("f8", "1.0", TapeTypeError),
        ("f8", 1j, TapeTypeError),
        ("f8", None, TapeTypeError),
        ("f8", [1.0], TapeTypeError),
        ("f8", np.ones(1), TapeTypeError),
        ("f8", 2**53 + 1, TapeValueError),
        ("f8", -(2**70), TapeValueError),
        ("f8", np.int64(2**60), TapeValueError),
        ("f4", 2**24 + 1, TapeValueError),
        ("i8", 1.0, TapeTypeError),
        ("i8", np.float64(1), TapeTypeError),
        ("i8", 2**63, TapeValueError),
        ("i2", 40_000, TapeValueError),
        ("i2", np.int64(-40_000), TapeValueError),
        ("u1", -1, TapeValueError),
        ("?", 1, TapeTypeError),
        ("?", "yes", TapeTypeError),
        ("S3", b"four", TapeTypeError),
        ([("a", "f8")], 1.0, TapeTypeError),
        ([("a", "f8")], (1.0, 2.0), TapeTypeError),
        ([("a", "f8")], np.zeros((), [("b", "f8")])[()], TapeTypeError),
        ([("n", "i4"), ("x", "f8")], (2.7, 1.0), TapeTypeError),
        ([("n", "i4"), ("x", "f8")], (2, 2**53 + 1), TapeValueError),
        ([("n", "i4"), ("x", "f8")], (2**31, 1.0), TapeValueError),
        ([("s", "S3")], (b"four",), TapeTypeError),
        ([("x", "f8", (2,))], ((1.0, 2.0, 3.0),), TapeTypeError),
        ("V4", b"abcdef", TapeValueError),
        ("V4", b"abc", TapeValueError),
        ("M8[s]", np.datetime64("2020-01-01T00:00:00.999"), TapeValueError),
        ("M8[ns]", np.datetime64("9999-01-01", "s"), TapeValueError),
        ("f8", np.ma.masked, TapeTypeError),
        pytest.param("f8", 10**5000, TapeValueError, id="huge for f8"),
        pytest.param("i8", 10**5000, TapeValueError, id="huge for i8"),
    ],
)
def test_push_refuses_what_does_not_fit(dtype, bad, error):
    tape = Tape(dtype)
    with pytest.raises(error):
        tape.push(bad)
    assert len(tape) == 0


@pytest.mark.parametrize("good", [1, True, np.float32(1), np.int16(1), np.array(1.0), 2**53, np.float64(1)])
def test_push_takes_what_fits(good):
    tape = Tape("f8")
    tape.push(good)
    assert tape.pop() == float(good)


@pytest.mark.parametrize(
    ("bad", "error", "word"),
    [
        (np.ones(3, "f4"), TapeTypeError, "astype"),
        (np.ones((2, 2)), TapeValueError, "ravel"),
        (np.ones(6)[::2], TapeValueError, "contiguous"),
        (np.array([1.0, None]), TapeTypeError, "dtype object"),
        (np.array(1.0), TapeValueError, "shape"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), TapeTypeError, "masked"),
        (5, TapeTypeError, "sequence"),
        ("abc", TapeTypeError, "sequence"),
        ([1.0, "x"], TapeTypeError, "str"),
        ([[1.0]], TapeTypeError, "dimensions"),
    ],
)
def test_extend_refuses(bad, error, word):
    tape = Tape("f8")
    with pytest.raises(error, match=word):
        tape.extend(bad)
    assert len(tape) == 0


@pytest.mark.parametrize("method", ["popn", "reserve", "peek"])
@pytest.mark.parametrize(
    ("n", "error"),
    [(-1, TapeValueError), (1.5, TapeTypeError), ("3", TapeTypeError), (2**70, MemoryError), (2**61, MemoryError)],
)
def test_counts_are_checked(method, n, error):
    tape = Tape("f8")
    tape.extend(np.ones(10))
    with pytest.raises(error):
        getattr(tape, method)(n)
    assert len(tape) == 10


def test_popn_checks_out():
    tape = Tape("f8")
    tape.extend(np.ones(10))
    frozen = np.empty(3)
    frozen.flags.writeable = False
    for out, error in [
        (np.empty(4), TapeValueError),
        (np.empty(3, "f4"), TapeTypeError),
        (np.empty(6)[::2], TapeValueError),
        (frozen, TapeValueError),
        ([0.0] * 3, TapeTypeError),
    ]:
        with pytest.raises(error):
            tape.popn(3, out=out)
    with pytest.raises(TapeEmptyError, match="10"):
        tape.popn(11)
    assert len(tape) == 10


def test_indices_are_checked():
    tape = Tape("f8")
    tape.extend(np.ones(3))
    for bad in [3, -4, 2**70, 10**5000]:
        with pytest.raises(TapeIndexError):
            tape[bad]
    for bad in ["0", 1.0, None, (0, 1)]:
        with pytest.raises(TapeTypeError):
            tape[bad]


@pytest.mark.parametrize("bad", ["O", "S", "V", [("a", "O")], ("f8", (3,)), "nonsense", object()])
def test_dtypes_are_checked(bad):
    with pytest.raises(TapeTypeError, match="dtype"):
        Tape(bad)


@pytest.mark.parametrize("bad", [0, -8, "lots", 63])
def test_slab_bytes_is_checked(bad):
    with pytest.raises(TapeValueError, match="slab_bytes"):
        Tape("f8", slab_bytes=bad)
    with pytest.raises(TapeValueError, match="one item"):
        Tape("V600", slab_bytes=512)


def test_pool_is_checked():
    with pytest.raises(TapeTypeError, match="pool"):
        Tape("f8", pool="shared")


def test_marks_nest():
    tape = Tape("i8")
    tape.extend(range(100))
    outer = tape.mark()
    tape.extend(range(1000))
    inner = tape.mark()
    assert (outer.position, inner.position) == (100, 1100)
    tape.extend(range(5000))
    tape.rewind(inner)
    assert len(tape) == 1100
    tape.extend(range(10))
    tape.rewind(inner)
    tape.rewind(outer)
    assert len(tape) == 100
    assert outer.live
    assert not inner.live
    with pytest.raises(TapeMarkError, match="popped past"):
        tape.rewind(inner)
    tape.rewind(outer)


@pytest.mark.parametrize("n", LENGTHS[1:])
def test_a_mark_dies_when_it_is_popped_past(n):
    tape = Tape("f8")
    tape.extend(np.arange(float(n)))
    mark = tape.mark()
    tape.push(1.0)
    tape.pop()
    assert mark.live
    assert tape.pop() == n - 1
    assert not mark.live
    tape.push(-1.0)  # the same length again does not revive it
    with pytest.raises(TapeMarkError):
        tape.rewind(mark)


def test_marks_of_other_tapes_and_dead_tapes():
    tape, other = Tape(), Tape()
    mark = other.mark()
    with pytest.raises(TapeMarkError):
        tape.rewind(mark)
    with pytest.raises(TypeError):
        tape.rewind(0)
    other.close()
    assert not mark.live
    with pytest.raises(TapeClosedError):
        other.rewind(mark)


def test_dropped_marks_cost_nothing():
    tape = Tape()
    for _ in range(1000):
        tape.mark()
    assert tape.stats().marks == 0


def test_clear_keeps_slabs_release_gives_them_back():
    pool = SlabPool()
    tape = Tape("f8", pool=pool)
    tape.extend(np.ones(500_000))
    before = pool.stats()
    tape.clear()
    assert tape.stats().spare_bytes == before.used_bytes
    tape.extend(np.ones(500_000))
    assert pool.stats() == before
    tape.clear()
    tape.release()
    assert pool.stats().used_bytes == 0
    assert pool.stats().free_bytes == before.used_bytes
    tape.extend(np.ones(500_000))
    assert pool.stats().allocations == before.allocations
    assert pool.stats().recycled > 0


@pytest.mark.parametrize("dtype", ["f8", "V600"])
def test_release_after_clear_keeps_nothing(dtype):
    pool = SlabPool()
    tape = Tape(dtype, pool=pool)
    tape.reserve(100)
    tape.clear()
    tape.release()
    assert pool.stats().used_slabs == 0
    tape.extend(sample(dtype, 1000))
    assert same(tape[:], sample(dtype, 1000))


def test_close_is_final_and_idempotent():
    tape = Tape("f8")
    tape.extend(np.ones(1000))
    mark = tape.mark()
    tape.close()
    tape.close()
    assert tape.closed
    assert len(tape) == 0
    assert "closed" in repr(tape)
    assert tape.stats().layer == "closed"
    for use in [
        lambda: tape.push(1.0),
        tape.pop,
        tape.peek,
        lambda: tape.peek(1),
        lambda: tape.peek(0),
        lambda: tape[0],
        lambda: tape[:],
        lambda: tape.extend(np.ones(3)),
        lambda: tape.extend([]),
        lambda: tape.popn(1),
        lambda: tape.popn(0),
        lambda: tape.reserve(1),
        lambda: tape.reserve(0),
        tape.mark,
        lambda: tape.rewind(mark),
        tape.clear,
        tape.release,
        tape.__enter__,
        lambda: list(tape),
        lambda: list(reversed(tape)),
        lambda: 1.0 in tape,
    ]:
        with pytest.raises(TapeClosedError):
            use()


def test_context_manager_closes():
    with Tape() as tape:
        tape.push(1.0)
    assert tape.closed
    with pytest.raises(ZeroDivisionError), Tape() as tape:
        view = tape.reserve(3)
        raise ZeroDivisionError
    assert not tape.closed  # the view still pins it
    del view
    tape.close()


def test_tapes_are_not_pickled_or_copied():
    tape = Tape()
    for use in [pickle.dumps, copy.copy, copy.deepcopy]:
        with pytest.raises(TapeTypeError, match="pickled"):
            use(tape)
        with pytest.raises(TypeError, match="pickled"):
            use(SlabPool())
        with pytest.raises(TypeError, match="pickled"):
            use(tape.mark())


def test_weak_references_and_collection():
    tape = Tape()
    tape.extend(np.ones(10_000))
    ref = weakref.ref(tape)
    view = tape.reserve(10)
    del tape
    gc.collect()
    assert ref() is not None  # the view keeps its tape
    del view
    gc.collect()
    assert ref() is None


def test_a_dying_tape_gives_its_slabs_back():
    pool = SlabPool()
    tape = Tape("f8", pool=pool)
    tape.extend(np.ones(100_000))
    tape.mark()
    assert pool.stats().used_slabs > 0
    del tape
    gc.collect()
    assert pool.stats().used_slabs == 0


def test_stats_and_repr():
    tape = Tape("f8", pool=SlabPool())
    assert tape.stats().layer == "inline"
    assert "0 items" in repr(tape)
    tape.extend(np.ones(100_000))
    stats = tape.stats()
    assert (stats.items, stats.bytes, stats.layer) == (100_000, 800_000, "slabs")
    assert stats.slab_bytes >= 800_000 - 512
    assert stats.high_bytes == stats.slab_bytes == stats.pool.used_bytes
    assert stats.allocations == stats.slabs == stats.pool.allocations
    tape.clear()
    after = tape.stats()
    assert (after.slabs, after.spare_slabs, after.high_bytes) == (0, stats.slabs, stats.high_bytes)
    assert "100000 items" in str(stats)
    assert "inline" in repr(tape)


def test_errors_are_what_a_caller_would_catch():
    tape = Tape()
    for use, builtin in [
        (tape.pop, IndexError),
        (lambda: tape[0], IndexError),
        (lambda: tape.push("x"), TypeError),
        (lambda: tape.push(2**60 + 1), ValueError),
    ]:
        with pytest.raises(builtin) as caught:
            use()
        assert isinstance(caught.value, TapeError)


def test_a_value_that_runs_python_code_cannot_break_the_tape():
    tape = Tape("f8")

    class Nasty:
        def __array__(self, dtype=None, copy=None):
            tape.close()
            return np.array(1.0)

    with pytest.raises(TapeClosedError):
        tape.push(Nasty())


def test_dates_come_back_as_they_went():
    for item in [np.datetime64("2020-01-01", "ns"), np.datetime64("NaT", "ns")]:
        tape = Tape("M8[ns]")
        tape.push(item)
        assert np.array_equal(tape.peek(), item, equal_nan=True)
        tape.push(tape.pop())
        assert np.array_equal(tape[0], item, equal_nan=True)


def test_fields_with_a_shape():
    tape = Tape([("x", "f8", (2,)), ("y", [("n", "i4"), ("s", "S2")])])
    tape.push(([1.0, 2.0], (3, b"ab")))
    item = tape.pop()
    assert item["x"].tolist() == [1.0, 2.0]
    assert item["y"].tolist() == (3, b"ab")


def test_methods_of_a_subclass_are_not_trusted():
    class Liar(np.ndarray):
        def view(self, *args):
            return np.zeros(5, "u1")

    tape = Tape("f8")
    tape.extend(np.arange(1000.0).view(Liar))
    assert len(tape) == 1000
    out = np.zeros(1000).view(Liar)
    assert tape.popn(1000, out=out) is out
    assert out[999] == 999


def test_objects_made_behind_the_constructor_are_harmless():
    mark = Mark.__new__(Mark)
    for use in (lambda: mark.live, lambda: mark.position, lambda: repr(mark), lambda: Tape().rewind(mark)):
        with pytest.raises((TapeError, AttributeError)):
            use()
    tape = Tape()
    with pytest.raises(BufferError, match="reserve"):
        bytes(Block(tape, 8, True))


def test_slabs_that_are_too_small_are_not_hoarded():
    tape = Tape("f8", pool=SlabPool(limit="1 MiB"))
    for n in range(1000, 100_000, 1000):
        tape.reserve(n)
        tape.clear()
    assert tape.stats().spare_bytes <= 2 * 800_000


def test_random_access_does_not_walk():
    # 2**17 slabs of eight items: a walk from the top would take 2**16 steps an access.
    tape = Tape("f8", slab_bytes=64)
    n = 8 * 2**17
    tape.extend(np.arange(float(n)))
    assert tape.stats().slabs > 2**14
    rng = np.random.default_rng(1)
    for i in rng.integers(0, n, 20_000).tolist():
        assert tape[i] == i
