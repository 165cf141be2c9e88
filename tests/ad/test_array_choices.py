"""clip, where, sort, and arrays made from numbers: against NumPy and differences."""

import numpy as np
import pytest
from array_rules import by_complex_step, contribution, jitted, layouts, numbers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

from ad.arrays import choices as c
from ad.arrays import creation as made
from ad.arrays.accumulate import total


def clip(x, low, high):
    """np.clip for complex steps: compares real parts."""
    x, low, high = (v if v is None else np.asarray(v) for v in (x, low, high))
    if low is not None:
        x = np.where(np.real(x) < np.real(low), low, x)
    if high is not None:
        x = np.where(np.real(x) > np.real(high), high, x)
    return x


@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_clip(shapes):
    x, below, above = (numbers(shape, i) for i, shape in enumerate(shapes.input_shapes))
    g = numbers(shapes.result_shape, 9)
    for low, high in ((below, above), (None, above), (below, None), (None, None), (-0.5, above)):
        if np.shape(clip(x, low, high)) != g.shape:
            continue
        parts = [(x, c.clip_vjp(g, x, low, high), lambda v, low=low, high=high: clip(v, low, high))]
        if isinstance(low, np.ndarray):
            parts.append((low, c.clip_vjp_low(g, x, low, high), lambda v, high=high: clip(x, v, high)))
        if isinstance(high, np.ndarray):
            parts.append((high, c.clip_vjp_high(g, x, low, high), lambda v, low=low: clip(x, low, v)))
        for argument, value, f in parts:
            np.testing.assert_allclose(contribution(argument, value), by_complex_step(f, argument, g), atol=1e-13)


def test_clip_at_its_bounds_and_nan():
    x, g = np.array([0.0, 1.0, 2.0, 3.0]), np.arange(1.0, 5.0)
    assert np.array_equal(c.clip_vjp(g, x, 1.0, 2.0), [0, 2, 3, 0])
    assert np.array_equal(c.clip_vjp_low(g, x, 1.0, 2.0), [1, 0, 0, 0])
    assert np.array_equal(c.clip_vjp_high(g, x, 1.0, 2.0), [0, 0, 0, 4])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(c.clip_vjp(g[:1], np.array([np.nan]), 1.0, 2.0), g[:1])
    # With the bounds the wrong way round np.clip returns the upper one.
    assert np.array_equal(np.clip(x, 2.0, 1.0), [1, 1, 1, 1])
    assert not np.any(c.clip_vjp(g, x, 2.0, 1.0))
    assert not np.any(c.clip_vjp_low(g, x, 2.0, 1.0))
    assert np.array_equal(c.clip_vjp_high(g, x, 2.0, 1.0), g)


def test_clip_compiled():
    x, g, low, high = numbers((3, 4)), numbers((3, 4), 1), numbers((3, 1), 2) - 1.0, numbers(4, 3) + 1.0
    inside, below = jitted("lambda g, x, a, b: (clip_vjp(g, x, -0.5, None), clip_vjp_low(g, x, a, b))", **vars(c))(
        g, x, low, high
    )
    assert np.array_equal(inside, np.where(x < -0.5, 0.0, g))
    assert np.array_equal(below, np.where((x < low) & (low <= high), g, 0.0))


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_where(dtype):
    condition, x, y = numbers((3, 1)) > 0, numbers(4, 1), numbers((3, 4), 2)
    g = numbers((3, 4), 3, dtype)
    of_x, of_y = jitted("lambda g, c: (where_vjp_true(g, c), where_vjp_false(g, c))", **vars(c))(g, condition)
    assert of_x.dtype == of_y.dtype == dtype
    assert np.array_equal(of_x, np.where(condition, g, 0.0))
    assert np.array_equal(of_y, np.where(condition, 0.0, g))
    assert np.array_equal(c.where_vjp_true(g, condition), of_x)
    if dtype == "f8":
        wanted = by_complex_step(lambda x: np.where(condition, x, y), x, g)
        np.testing.assert_allclose(contribution(x, of_x), wanted, rtol=1e-14)
        wanted = by_complex_step(lambda y: np.where(condition, x, y), y, g)
        np.testing.assert_allclose(contribution(y, of_y), wanted, rtol=1e-14)


def test_an_infinite_adjoint_of_what_was_not_chosen():
    g = np.array([np.inf, np.nan, 1.0])
    assert np.array_equal(c.where_vjp_true(g, np.array([False, False, True])), [0, 0, 1])
    assert np.array_equal(c.clip_vjp(g, np.array([5.0, -5.0, 0.5]), 0.0, 1.0), [0, 0, 1])


# --------------------------------------------------------------------------------------------------- sort


@given(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_sort(shape, data):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    x = layouts(numbers(shape))[data.draw(st.integers(0, 2))]
    wanted = np.sort(x, axis=axis)
    assert np.array_equal(c.array_sort(x, axis), wanted)
    assert c.array_sort(x, axis).shape == wanted.shape
    g = numbers(wanted.shape, 1)
    np.testing.assert_allclose(c.sort_vjp(g, x, axis), by_complex_step(lambda x: np.sort(x, axis=axis), x, g))


def test_sort_with_ties_and_nan():
    x = np.array([2.0, np.nan, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(c.array_sort(x, 0), np.sort(x))
    assert np.array_equal(c.sort_vjp(np.arange(1.0, 6.0), x, 0), [3, 5, 1, 4, 2])


def test_sort_compiled():
    x = numbers((3, 4))
    ordered, back = jitted("lambda x: (array_sort(x, 0), sort_vjp(array_sort(x, 0), x, 0))", **vars(c))(x)
    assert np.array_equal(ordered, np.sort(x, axis=0))
    assert np.array_equal(back, x)


# ----------------------------------------------------------------------------------------------- creation


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_linspace(n, endpoint):
    for start, stop in ((0.0, 1.0), (3.0, -2.5), (1.0, 1.0)):
        wanted = np.linspace(start, stop, n, endpoint)
        np.testing.assert_allclose(made.array_linspace(start, stop, n, endpoint), wanted, rtol=1e-15, atol=1e-16)
    g, ends = numbers(n, 1), np.array([0.3, 2.0])
    wanted = by_complex_step(lambda e: np.linspace(e[0], e[1], n, endpoint), ends, g)
    got = made.linspace_vjp_start(g, endpoint), made.linspace_vjp_stop(g, endpoint)
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)


def test_a_negative_number_of_samples():
    with pytest.raises(ValueError, match="negative"):
        made.array_linspace(0.0, 1.0, -1, True)


def test_full_and_arange():
    g = numbers(5, 1)
    for start, step in ((1.0, 0.5), (2.0, -0.25)):
        n = len(np.arange(start, start + 5 * step, step))
        assert n == 5
        assert made.arange_vjp_step(g) == pytest.approx(g @ np.arange(5))
        assert total(g) == pytest.approx(g @ np.ones(5))
