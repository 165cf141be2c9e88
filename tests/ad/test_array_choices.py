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
    x, g = np.array([0.0, 1.0, 2.0, 3.0, np.nan]), np.arange(1.0, 6.0)
    assert np.array_equal(c.clip_vjp(g, x, 1.0, 2.0), [0, 2, 3, 0, 5])
    assert np.array_equal(c.clip_vjp_low(g, x, 1.0, 2.0), [1, 0, 0, 0, 0])
    assert np.array_equal(c.clip_vjp_high(g, x, 1.0, 2.0), [0, 0, 0, 4, 0])
    # With the bounds the wrong way round np.clip returns the upper one.
    assert np.array_equal(np.clip(x[:4], 2.0, 1.0), [1, 1, 1, 1])
    assert not np.any(c.clip_vjp(g[:4], x[:4], 2.0, 1.0)[[0, 1, 2, 3]])
    assert not np.any(c.clip_vjp_low(g, x, 2.0, 1.0))
    assert np.array_equal(c.clip_vjp_high(g, x, 2.0, 1.0), g)


def test_clip_compiled():
    x, g = numbers((3, 4)), numbers((3, 4), 1)
    for low, high in ((-0.5, None), (numbers((3, 1), 2), numbers(4, 3) + 1)):
        f = jitted("lambda g, x, low, high: (rule(g, x, low, high), a(g, x, low, high), b(g, x, low, high))",
                   rule=c.clip_vjp, a=c.clip_vjp_low if low is not None else c.clip_vjp,
                   b=c.clip_vjp_high if high is not None else c.clip_vjp)  # fmt: skip
        of_x, of_low, of_high = f(g, x, low, high)
        assert np.array_equal(of_x, c.clip_vjp(g, x, low, high))
        if low is not None:
            assert np.array_equal(of_low, c.clip_vjp_low(g, x, low, high))
        if high is not None:
            assert np.array_equal(of_high, c.clip_vjp_high(g, x, low, high))


def test_where_compiled():
    """The rules that need no helper."""
    condition, x, g = numbers((3, 4)) > 0, numbers(4, 1), numbers((3, 4), 2)
    first, second = jitted("lambda c, g: (np.where(c, g, 0.0), np.where(c, 0.0, g))")(condition, g)
    wanted = by_complex_step(lambda x: np.where(condition, x, 1.0), x, g)
    np.testing.assert_allclose(contribution(x, first), wanted, rtol=1e-14)
    wanted = by_complex_step(lambda x: np.where(condition, 1.0, x), x, g)
    np.testing.assert_allclose(contribution(x, second), wanted, rtol=1e-14)


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
