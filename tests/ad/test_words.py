"""Arrays and blocks of numbers that compiled code keeps on the tape, in any dtype, shape and layout."""

from functools import cache

import numpy as np
import pytest
from allocations import counted, live
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numba import njit
from numba.core.errors import TypingError

from ad.guard import Guarded
from ad.runtime import PopFailed, pop, pop_complex, pop_complex_f4, pop_f4, pop_int
from ad.words import (
    pop_array,
    pop_array_f4,
    pop_empty,
    pop_into,
    pop_into_f4,
    push_array,
    push_array_f4,
    push_shape,
)
from tape import SlabPool, SpillError, Tape, TapeEmptyError, TapeMemoryError
from tape.faults import MemoryStore
from tape.numba import push, push_f4

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy")

DTYPES = ["f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c16", "c8"]


@guarded
def save(handle, a):
    push_array(handle, a)


@guarded
def save_f4(handle, a):
    push_array_f4(handle, a)


@guarded
def save_shape(handle, a):
    push_shape(handle, a)


@guarded
def restore(handle, a):
    pop_into(handle, a)


@guarded
def restore_f4(handle, a):
    pop_into_f4(handle, a)


@cache
def recreate(ndim, how=pop_array):
    """A compiled function (handle, like) that gives a new array of `ndim` dimensions."""
    return guarded(lambda handle, like: how(handle, like, ndim))


def filled(rng, shape, dtype):
    """An array of random numbers that use all bytes of their dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        numbers = rng.integers(0, 2, shape)
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        numbers = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    else:
        real, imaginary = rng.standard_normal((2, *shape))
        numbers = real + 1j * imaginary if dtype.kind == "c" else real
    return np.asarray(numbers, dtype)


# Every dtype, and every number of dimensions: they have nothing to do with each other.
MATRIX = [(dtype, 2) for dtype in DTYPES] + [
    ("f8", 0),
    ("f8", 1),
    ("f8", 3),
    ("f8", 4),
    ("f4", 1),
    ("?", 0),
    ("c16", 3),
]


def layouts(a):
    """Arrays equal to `a` in other layouts."""
    yield "C", a
    if a.ndim == 0:
        return
    yield "F", np.asfortranarray(a)
    spread = np.zeros([2 * n for n in a.shape], a.dtype)
    window = spread[(slice(None, None, 2),) * a.ndim]
    window[...] = a
    yield "every second", window
    yield "from the end", np.ascontiguousarray(a[::-1])[::-1]
    wide = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype)
    wide[..., 1:-2] = a
    yield "part of each row", wide[..., 1:-2]


SHAPES = {
    0: [()],
    1: [(0,), (1,), (7,), (700,)],
    2: [(3, 5), (0, 4), (40, 33)],
    3: [(2, 1, 3), (5, 6, 7)],
    4: [(2, 3, 1, 4)],
}


@pytest.mark.parametrize("dtype, ndim", MATRIX)
def test_any_array_comes_back(dtype, ndim):
    rng = np.random.default_rng(ndim)
    tape = Tape("f8", slab_bytes=1024)
    for shape in SHAPES[ndim]:
        a = filled(rng, shape, dtype)
        for _, source in layouts(a):
            for name, target in layouts(np.zeros_like(a)):
                tape.push(0.5)
                save(tape.handle, source)
                save(tape.handle, source)
                restore(tape.handle, target)
                np.testing.assert_array_equal(target, a, name)
                new = recreate(ndim)(tape.handle, a)
                np.testing.assert_array_equal(new, a, strict=True)
                assert new.flags.c_contiguous
                assert tape.pop() == 0.5 and len(tape) == 0


def test_what_lies_around_a_view_stays():
    u = np.arange(60.0).reshape(6, 10)
    before = u.copy()
    tape = Tape("f8")
    save(tape.handle, u[1:5:2, -2:3:-1])
    u[1:5, 3:9] = -1.0
    spoiled = u.copy()
    restore(tape.handle, u[1:5:2, -2:3:-1])
    spoiled[1:5:2, -2:3:-1] = before[1:5:2, -2:3:-1]
    np.testing.assert_array_equal(u, spoiled)


def test_into_another_shape_with_as_many_items():
    tape, a, b = Tape("f8"), np.arange(12.0).reshape(3, 4), np.zeros((2, 6))
    save(tape.handle, a)
    restore(tape.handle, b)
    np.testing.assert_array_equal(b.ravel(), a.ravel())
    save(tape.handle, a)
    with pytest.raises(PopFailed):
        restore(tape.handle, np.zeros((3, 5)))


def test_how_an_array_lies_on_the_tape():
    tape = Tape("f8")
    save(tape.handle, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], order="F"))
    assert tape.popn(8).view("i8")[-2:].tolist() == [2, 3]
    for dtype, words in [("f4", 4), ("i2", 2), ("?", 1), ("c8", 7), ("c16", 14), ("i8", 7)]:
        save(tape.handle, np.ones(7, dtype))
        assert len(tape) == words + 1, dtype
        found = tape.popn(words + 1)
        assert found[-1:].view("i8") == 7
        np.testing.assert_array_equal(found[:-1].view(dtype)[:7], np.ones(7, dtype))
        assert not found.view("u1")[7 * np.dtype(dtype).itemsize : 8 * words].any()
    save(tape.handle, np.array(3.0))
    assert list(tape) == [3.0]


def test_shapes_alone():
    tape = Tape("f8")
    for shape in [(), (4,), (0,), (3, 0, 2), (2, 3, 4)]:
        a = np.ones(shape)
        save_shape(tape.handle, a)
        assert len(tape) == len(shape)
        found = recreate(len(shape), pop_empty)(tape.handle, a)
        assert found.shape == shape and found.dtype == a.dtype and found.flags.c_contiguous
        assert len(tape) == 0


def test_dtypes_by_name():
    @guarded
    def convert(handle, a):
        push_array(handle, a)
        push_shape(handle, a)
        push_shape(handle, a)
        one, two = pop_empty(handle, np.float32, 2), pop_empty(handle, np.dtype("bool"), 2)
        return one, two, pop_array(handle, np.int64, 2)

    tape, a = Tape("f8"), np.arange(6).reshape(2, 3)
    one, two, three = convert(tape.handle, a)
    assert one.dtype == "f4" and two.dtype == bool and one.shape == two.shape == (2, 3)
    np.testing.assert_array_equal(three, a, strict=True)


# ------------------------------------------------------------------------------------------------ single precision


@pytest.mark.parametrize(
    "dtype, ndim", [("f8", 0), ("f8", 1), ("f8", 2), ("c16", 2), ("f4", 2), ("c8", 1), ("i4", 1), ("?", 1)]
)
def test_single_precision(dtype, ndim):
    rng = np.random.default_rng(ndim)
    tape = Tape("f8", slab_bytes=512)
    kept = {"f8": "f4", "c16": "c8"}.get(dtype, dtype)
    for shape in SHAPES[ndim]:
        a = filled(rng, shape, dtype)
        for _, source in layouts(a):
            for name, target in layouts(np.zeros_like(a)):
                save_f4(tape.handle, source)
                save_f4(tape.handle, source)
                assert len(tape) == 2 * (-(-a.size * np.dtype(kept).itemsize // 8) + ndim)
                restore_f4(tape.handle, target)
                np.testing.assert_array_equal(target, a.astype(kept).astype(dtype), name)
                new = recreate(ndim, pop_array_f4)(tape.handle, a)
                np.testing.assert_array_equal(new, a.astype(kept).astype(dtype), strict=True)
                assert len(tape) == 0


def test_single_precision_has_limits():
    tape, a = Tape("f8"), np.array([1e300, -1e300, 1e-300, np.nan, np.inf, 1 / 3])
    save_f4(tape.handle, a)
    restore_f4(tape.handle, a)
    np.testing.assert_array_equal(a, [np.inf, -np.inf, 0.0, np.nan, np.inf, np.float32(1 / 3)])


# ---------------------------------------------------------------------------------------------------- numbers


@guarded
def save_numbers(handle, x, z, n, s):
    push(handle, x, z, n, s)
    push(handle, z)
    push_f4(handle, x)
    push_f4(handle, x, z, s)
    push_f4(handle, z, z)


@guarded
def restore_numbers(handle):
    zs = pop_complex_f4(handle, 2)
    x4, re, im, s = pop_f4(handle, 4)
    alone = pop_f4(handle)
    z = pop_complex(handle)
    last = pop(handle)
    n = pop_int(handle)
    both = pop_complex(handle)
    return zs, (x4, re, im, s), alone, z, last, n, both, pop(handle)


@pytest.mark.parametrize("slab", [64, None])
@pytest.mark.parametrize("before", range(0, 130, 7))
def test_numbers(slab, before):
    tape = Tape("f8", slab_bytes=slab)
    tape.extend(np.ones(before))
    x, z, n, s = 1 / 3, 0.1 - 0.7j, -(2**60) - 1, np.float32(0.3)
    save_numbers(tape.handle, x, z, n, s)
    assert len(tape) == before + 5 + 2 + 1 + 2 + 2
    z4 = complex(np.complex64(z))
    assert restore_numbers(tape.handle) == (
        (z4, z4),
        (np.float32(x), z4.real, z4.imag, s),
        np.float32(x),
        z,
        s,
        n,
        z,
        x,
    )
    assert len(tape) == before


# ----------------------------------------------------------------------------------------- sequences, spilled

OPERATIONS = {
    "array": (save, lambda tape, a: recreate(a.ndim)(tape.handle, a), lambda a: a),
    "single": (save_f4, lambda tape, a: recreate(a.ndim, pop_array_f4)(tape.handle, a), lambda a: a.astype("f4")),
    "item": (lambda handle, a: None, lambda tape, a: np.float64(tape.pop()), lambda a: np.float64(a.size)),
}

arrays = npst.arrays(
    st.sampled_from(["f8", "?"]),
    npst.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=60),
    elements={"min_value": -8, "max_value": 8, "allow_subnormal": False},
    fill=st.just(1),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), arrays, st.booleans()), max_size=30),
    st.sampled_from([None, 64, 72, 4096]),
    st.booleans(),
)
def test_last_in_first_out(sequence, slab, spilled):
    settings_ = {"slab_bytes": slab}
    if spilled:
        settings_ = {"memory": 4 * 4096 + 512, "slab_bytes": 4096, "spill_dir": MemoryStore()}
    with Tape("f8", **settings_) as tape:
        for kind, a, turned in sequence:
            if kind == "item":
                tape.push(a.size)
            OPERATIONS[kind][0](tape.handle, a.T if turned else a)
        for kind, a, turned in reversed(sequence):
            _, take, expected = OPERATIONS[kind]
            a = a.T if turned else a
            np.testing.assert_array_equal(take(tape, a), expected(a))
        assert len(tape) == 0


@pytest.mark.parametrize("prefetch", [True, False])
def test_larger_than_slabs_and_memory(prefetch, tmp_path):
    rng = np.random.default_rng(0)
    with Tape("f8", memory="200 KiB", slab_bytes=16384, spill_dir=tmp_path, prefetch=prefetch) as tape:
        made = [rng.standard_normal(shape) for shape in [(100_000,), (3,), (300, 401), (7, 50, 60)]]
        made[2] = made[2].T
        for a in made:
            save(tape.handle, a)
            save_f4(tape.handle, a)
        for a in reversed(made):
            out = np.zeros_like(a)
            restore_f4(tape.handle, out)
            np.testing.assert_array_equal(out, a.astype("f4"))
            np.testing.assert_array_equal(recreate(a.ndim)(tape.handle, a), a)
        assert len(tape) == 0
        assert tape.stats().layers.bytes_written > 1e6


# ----------------------------------------------------------------------------------------------------- failures


@pytest.fixture
def balanced():
    """What compiled code allocates in the test is freed by the end."""
    with counted():
        before = live()
        yield
        assert live() == before


@pytest.mark.parametrize("layout", ["C", "every second"])
def test_no_memory(layout, balanced):
    a = dict(layouts(np.arange(1000.0)))[layout]
    tape = Tape("f8", pool=SlabPool(limit=4096 + 16384))
    save(tape.handle, a[:30])
    for _ in range(2):
        for _ in range(3):  # the third does not fit
            save(tape.handle, a)
        save(tape.handle, a[:3])  # dropped, though there is room
        with pytest.raises(PopFailed):
            recreate(1)(tape.handle, a)
        with pytest.raises(TapeMemoryError):
            tape.raise_failed()
        # Nothing of the array that failed is there.
        for _ in range(2):
            np.testing.assert_array_equal(recreate(1)(tape.handle, a), a)
        assert len(tape) == 31
    np.testing.assert_array_equal(recreate(1)(tape.handle, a), a[:30])


@pytest.mark.parametrize("how", [pop_array, pop_array_f4, pop_empty])
def test_an_empty_tape(how, balanced):
    tape = Tape("f8")
    for ndim in (0, 1, 3):
        if how is pop_empty and ndim == 0:
            continue
        with pytest.raises(PopFailed):
            recreate(ndim, how)(tape.handle, np.ones(3))
        with pytest.raises(TapeEmptyError):
            tape.raise_failed()


@pytest.mark.parametrize("layout", ["C", "every second"])
def test_fewer_items_than_the_shape_says(layout, balanced):
    a = dict(layouts(np.ones(9)))[layout]
    tape = Tape("f8")
    for pop_it in (restore, restore_f4, recreate(1), recreate(1, pop_array_f4)):
        tape.extend(np.arange(4.0))
        tape.extend(np.array([9]).view("f8"))
        with pytest.raises(PopFailed):
            pop_it(tape.handle, a)
        with pytest.raises(TapeEmptyError):
            tape.raise_failed()
        assert len(tape) == 4 and (a == 1.0).all()
        tape.clear()


def test_a_disk_that_cannot_be_read(balanced):
    class Broken(MemoryStore):
        def read(self, *args):
            raise OSError("gone")

    a = np.ones(50_000)
    tape = Tape("f8", memory="100 KiB", slab_bytes=8192, spill_dir=Broken(), prefetch=False)
    save(tape.handle, a)
    with pytest.raises(PopFailed):
        restore(tape.handle, a)
    with pytest.raises(SpillError):
        tape.raise_failed()
    tape.clear()
    save(tape.handle, a[:10])
    restore(tape.handle, a[:10])
    tape.close()


# ------------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    "bad",
    [
        lambda h, a, n: push_array(h, n),
        lambda h, a, n: push_shape(h, (a, a)),
        lambda h, a, n: pop_into(h, n),
        lambda h, a, n: pop_array(h, a, n),
        lambda h, a, n: pop_array(h, a, -1),
        lambda h, a, n: pop_empty(h, n, 1),
        lambda h, a, n: push_f4(h, n),
        lambda h, a, n: push_f4(h),
    ],
)
def test_misuse_does_not_compile(bad):
    with pytest.raises(TypingError):
        guarded(bad)(Tape("f8").handle, np.ones(3), 3)


def test_what_is_read_only_is_not_popped_into():
    a = np.ones(3)
    a.flags.writeable = False
    tape = Tape("f8")
    save(tape.handle, a)
    with pytest.raises(TypingError, match="read-only"):
        restore(tape.handle, a)


@pytest.mark.parametrize("function", [pop_array, pop_array_f4, pop_empty])
def test_for_compiled_code_only(function):
    with pytest.raises(NotImplementedError):
        function(0, np.float64, 1)
