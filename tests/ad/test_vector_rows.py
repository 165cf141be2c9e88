"""Rows of two, three or four numbers as vectors: NumPy's results, and nothing touched beyond the end of a row."""

import ctypes
import mmap

import numpy as np
import pytest
from arraytypes import numbers
from numba import njit

from ad.arrays import loops
from ad.arrays.accumulate import add_to
from ad.arrays.reductions import array_sum
from ad.guard import Guarded

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy", boundscheck=True)
SHAPES = ["9 1 n, 1 7 n", "9 7 1, 9 7 n", "9 7 n, 1 1 n", "1 1 n, 9 7 1", "9 7 n, 9 1 1"]
each_length = pytest.mark.parametrize("n", [2, 3, 4])
each_shape = pytest.mark.parametrize("shapes", SHAPES)


@pytest.fixture(scope="module", autouse=True)
def every_processor():
    """As where the processor has masks: LLVM writes out what it has not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "are_masked", lambda _: True)
        yield


def operands(shapes, n):
    found = [tuple(n if part == "n" else int(part) for part in s.split()) for s in shapes.split(",")]
    return [numbers(shape, seed=seed) for seed, shape in enumerate(found)]


@guarded
def new(a, b, c):
    return (2.0 * a - b) * c + (a * b) ** 2 + -a


@guarded
def change(x, a, b, c):
    x += 0.5 * a * b
    x -= c
    x[:] = a - b * x


@guarded
def accumulate(x, a, b):
    add_to(x, a * b - 0.5)


@guarded
def sums(a, b):
    return array_sum(a * b, axis=1), array_sum(a - b, axis=2), array_sum(a * b, axis=0)


def check(a, b, c):
    whole = new.py_func(a, b, c)
    np.testing.assert_array_equal(new(a, b, c), whole, strict=True)
    x = numbers(whole.shape, seed=5)
    expected = a - b * (x + 0.5 * a * b - c)
    change(x, a, b, c)
    np.testing.assert_array_equal(x, expected)
    product = a * b
    for found, expected in zip(sums(a, b), (product.sum(1), (a - b).sum(2), product.sum(0)), strict=True):
        np.testing.assert_array_equal(found, expected)
    n = whole.shape[-1]
    for shape in [(n,), (1, 1, n), (9, 1, n), (9, 7, 1), (1, 1, 1), whole.shape]:
        x = numbers(shape, seed=6)
        ahead = product.ndim - len(shape)
        back = (product - 0.5).sum(tuple(range(ahead)))
        expected = x + back.sum(tuple(k for k, length in enumerate(shape) if length == 1), keepdims=True)
        accumulate(x, a, b)
        np.testing.assert_array_equal(x, expected)


@each_length
@each_shape
def test_all_kinds_of_loops(shapes, n):
    check(*operands(shapes, n), 1.5)


def misaligned(values):
    wide = np.zeros(values.nbytes + 4, np.uint8)
    found = wide[4:].view(np.float64).reshape(values.shape)
    found[:] = values
    return found


def beside_nan(values):
    wide = np.full((*values.shape[:-1], values.shape[-1] + 5), np.nan)
    wide[..., : values.shape[-1]] = values
    return wide[..., : values.shape[-1]]


def apart(values):
    return np.repeat(values, 2, -1)[..., ::2]


def backward(values):
    return np.ascontiguousarray(values[..., ::-1])[..., ::-1]


@pytest.mark.parametrize("how", [misaligned, beside_nan, apart, backward, np.asfortranarray])
def test_other_layouts(how):
    """Those of which rows are no vectors among them."""
    for n in (3, 4, 5):
        a, b = operands("9 1 n, 1 7 n", n)
        np.testing.assert_array_equal(new(how(a), b, 1.5), new.py_func(a, b, 1.5), strict=True)


@pytest.fixture
def at_the_end_of_memory():
    """Makes arrays behind which is memory that nobody may touch."""
    if not hasattr(mmap, "PROT_READ"):
        pytest.skip("needs mprotect")
    kept = []

    def moved(values):
        size = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        pages = mmap.mmap(-1, size + mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(start + size), mmap.PAGESIZE, 0) == 0
        array = np.frombuffer(pages, np.float64, values.size, size - values.nbytes).reshape(values.shape)
        array[:] = values
        kept.append(pages)
        return array

    return moved


@each_length
@each_shape
def test_nothing_is_touched_beyond_an_array(shapes, n, at_the_end_of_memory):
    a, b = map(at_the_end_of_memory, operands(shapes, n))
    check(a, b, 1.5)
    x = at_the_end_of_memory(numbers((9, 7, n), seed=5))
    expected = a - b * (x + 0.5 * a * b - 1.5)
    change(x, a, b, 1.5)
    np.testing.assert_array_equal(x, expected)


@each_length
def test_nothing_is_written_beside_a_row(n):
    a, b = operands("9 1 n, 1 7 n", n)
    wide = np.full((9, 7, n + 2), 77.0)
    change(wide[..., 1 : 1 + n], a, b, 1.5)
    assert np.all(wide[..., 0] == 77.0) and np.all(wide[..., -1] == 77.0)
    total = np.full(n + 2, 77.0)
    accumulate(total[1 : 1 + n], a, b)
    assert total[0] == total[-1] == 77.0


def test_a_processor_without_masks(monkeypatch):
    monkeypatch.setattr(loops, "are_masked", lambda _: False)
    plain = njit(pipeline_class=Guarded, nogil=True, error_model="numpy")(new.py_func)
    a, b = operands(SHAPES[0], 3)
    np.testing.assert_array_equal(plain(a, b, 1.5), new(a, b, 1.5))
