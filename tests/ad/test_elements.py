"""Elements of arrays in guarded functions: the same as NumPy's."""

import operator

import numpy as np
import pytest
from numba import njit

from ad.guard import Guarded


def move(a, i, b, j):
    keep = np.empty(1)  # what makes a function worth guarding
    keep[0] = 1.0
    b[j] = a[i]
    return b[j]


guarded = njit(pipeline_class=Guarded, boundscheck=True)(move)
DTYPES = ["f8", "c16", "i2", "?"]


def arrays(dtype):
    """Arrays of each layout and number of dimensions, each with an index of an element."""
    made = np.arange(1, 61).reshape(3, 4, 5).astype(dtype)
    yield made[0, 0], 3
    yield made[0, 0], -1
    yield made[0, :, 2], 1
    yield made[0, ::-1, 2], -2
    yield made[1], (2, 3)
    yield np.asfortranarray(made[1]), (-1, 3)
    yield made[:, 1:3, ::2], (2, -2, 1)
    yield np.array(7).astype(dtype), ()


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements(dtype):
    for a, i in arrays(dtype):
        b = np.zeros(2, a.dtype)
        assert guarded(a, i, b, 1) == a[i]
        assert b[1] == a[i] and b[0] == 0
        expected = a.copy()
        expected[i] = True
        guarded(np.ones(1, a.dtype), 0, a, i)
        np.testing.assert_array_equal(a, expected)


def test_a_number_is_converted_to_the_dtype_of_the_array():
    b = np.zeros(3, "f4")
    assert guarded(np.array([1 / 3]), 0, b, 1) == np.float32(1 / 3)
    guarded(np.array([7]), 0, b, 2)
    np.testing.assert_array_equal(b, np.array([0, 1 / 3, 7], "f4"))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.uint64])
def test_indices_of_any_kind(kind):
    b = np.zeros(3)
    assert guarded(np.arange(4.0), kind(3), b, kind(2)) == 3.0
    assert b[2] == 3.0


@pytest.mark.parametrize("i", [4, -5, 1 << 40, -(1 << 62)])
def test_out_of_bounds(i):
    a = np.arange(4.0)
    with pytest.raises(IndexError, match="out of bounds"):
        guarded(a, i, np.zeros(2), 0)
    with pytest.raises(IndexError, match="out of bounds"):
        guarded(a, 0, np.zeros((2, 4)), (1, i))
    np.testing.assert_array_equal(a, np.arange(4.0))


def test_by_the_functions_of_operator():
    def double(a, i):
        b = a.copy()
        operator.setitem(b, i, 2.0 * operator.getitem(a, i))
        return b

    a = np.arange(4.0)
    np.testing.assert_array_equal(njit(pipeline_class=Guarded)(double)(a, 3), [0.0, 1.0, 2.0, 6.0])


def test_a_read_only_array_is_read():
    a = np.arange(4.0)
    a.flags.writeable = False
    assert guarded(a, 2, np.zeros(1), 0) == 2.0
