"""Running sums and products and differences, and their rules, against NumPy and complex steps."""

import numpy as np
import pytest
from array_rules import by_complex_step, contribution, jitted, layouts, numbers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from ad.arrays import scans as s

SCANS = ((np.cumsum, s.array_cumsum, s.cumsum_vjp), (np.cumprod, s.array_cumprod, s.cumprod_vjp))
AXES = [((5,), None), ((5,), 0), ((3, 4), None), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1), ((2, 3, 4), -3)]


def same(got, wanted):
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-5 if wanted.dtype == "f4" else 1e-13)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "?", "c16"])
@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_scans(shape, axis, dtype):
    for x in layouts((numbers(shape, dtype="c16" if dtype == "c16" else "f8") * 3).astype(dtype)):
        for numpy, ours, _ in SCANS:
            same(ours(x, axis), numpy(x, axis=axis))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "c16"])
@pytest.mark.parametrize(("shape", "axis"), [(shape, axis) for shape, axis in AXES if axis is not None])
def test_differences(shape, axis, dtype):
    for x in layouts((numbers(shape, dtype="c16" if dtype == "c16" else "f8") * 3).astype(dtype)):
        for n in (0, 1, 2, 7):
            same(s.array_diff(x, n, axis), np.diff(x, n, axis))


@given(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_rules(shape, data):
    axis, n = data.draw(st.integers(-len(shape), len(shape) - 1)), data.draw(st.integers(0, 3))
    order = data.draw(st.integers(0, 2))
    x = layouts(numbers(shape))[order]
    for numpy, _, rule in SCANS:
        for along in (axis, None):
            g = numbers(numpy(x, axis=along).shape, 1)
            wanted = by_complex_step(lambda x, numpy=numpy, along=along: numpy(x, axis=along), x, g)
            np.testing.assert_allclose(contribution(x, rule(g, x, along)), wanted, rtol=1e-13, atol=1e-13)
    g = layouts(numbers(np.diff(x, n, axis).shape, 1))[order]
    wanted = by_complex_step(lambda x: np.diff(x, n, axis), x, g)
    np.testing.assert_allclose(contribution(x, s.diff_vjp(g, x, n, axis)), wanted, rtol=1e-13, atol=1e-13)


def test_products_with_zeros():
    for zeros in ([2], [0, 3], [1, 2, 4]):
        x, g = numbers(5), numbers(5, 1)
        x[zeros] = 0.0
        np.testing.assert_allclose(s.cumprod_vjp(g, x, 0), by_complex_step(np.cumprod, x, g), rtol=1e-14)


def test_a_negative_order():
    with pytest.raises(ValueError, match="negative"):
        s.array_diff(np.ones(3), -1, 0)


@pytest.mark.parametrize(("shape", "axis"), [((5,), 0), ((3, 4), None), ((2, 3, 4), 1)])
def test_compiled(shape, axis):
    x = numbers(shape)
    f = jitted(f"lambda x: (array_cumsum(x, {axis}), array_cumprod(x, {axis}))", **vars(s))
    for got, numpy in zip(f(x), (np.cumsum, np.cumprod), strict=True):
        same(got, numpy(x, axis=axis))
    g = numbers(f(x)[0].shape, 1)
    rules = jitted(f"lambda g, x: (cumsum_vjp(g, x, {axis}), cumprod_vjp(g, x, {axis}))", **vars(s))
    for got, numpy in zip(rules(g, x), (np.cumsum, np.cumprod), strict=True):
        wanted = by_complex_step(lambda x, numpy=numpy: numpy(x, axis=axis), x, g)
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)


def test_differences_compiled():
    x = numbers((3, 4))
    forward = jitted("lambda x, n: (array_diff(x), array_diff(x, 1, 0), array_diff(x, n, -1))", **vars(s))
    for n in (0, 1, 3, 5):
        for got, wanted in zip(forward(x, n), (np.diff(x), np.diff(x, 1, 0), np.diff(x, n)), strict=True):
            same(got, wanted)
    g = numbers((2, 4), 1)
    got = jitted("lambda g, x: diff_vjp(g, x, 1, 0)", **vars(s))(g, x)
    np.testing.assert_allclose(got, by_complex_step(lambda x: np.diff(x, 1, 0), x, g), rtol=1e-14)
