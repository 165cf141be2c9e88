"""Functions that move or repeat elements: against NumPy; views stay views; rules against the definition."""

import numpy as np
import pytest
from array_rules import by_complex_step, contribution, jitted, layouts, numbers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from ad.arrays import moves as m

VIEWS = {
    "array_transpose(x, None)": np.transpose,
    "array_transpose(x, (2, 0, 1))": lambda x: np.transpose(x, (2, 0, 1)),
    "array_transpose(x, (0, -1, 1))": lambda x: np.transpose(x, (0, 2, 1)),
    "transpose_vjp(array_transpose(x, (2, 0, 1)), (2, 0, 1))": lambda x: x,
    "transpose_vjp(array_transpose(x, None), None)": lambda x: x,
    "array_swapaxes(x, 0, -1)": lambda x: np.swapaxes(x, 0, -1),
    "array_flip(x, None)": np.flip,
    "array_flip(x, 1)": lambda x: np.flip(x, 1),
    "array_flip(x, (0, -1))": lambda x: np.flip(x, (0, 2)),
    "array_squeeze(x[1:2], 0)": lambda x: np.squeeze(x[1:2], 0),
    "array_squeeze(x[:, :1, :1], (1, 2))": lambda x: np.squeeze(x[:, :1, :1], (1, 2)),
    "array_diagonal(x[0], 0)": lambda x: np.diagonal(x[0]),
    "array_diagonal(x[:, 1], 2)": lambda x: np.diagonal(x[:, 1], 2),
    "array_diagonal(x[0], -1)": lambda x: np.diagonal(x[0], -1),
    "array_diagonal(x[0], -3)": lambda x: np.diagonal(x[0], -3),
    "concatenate_vjp(x, 1, 3, -1)": lambda x: x[..., 1:3],
    "concatenate_vjp(x, 0, 1, 0)": lambda x: x[:1],
    "stack_vjp(x, 2, 1)": lambda x: x[:, 2],
    "stack_vjp(x, 1, 0)": lambda x: x[1],
}


@pytest.mark.parametrize("text", VIEWS)
def test_views(text):
    """The same elements, and what is written to the view is written to the array."""
    for x in layouts(numbers((2, 3, 4))):
        before = x.copy()
        view, wanted = eval(text, vars(m) | {"x": x}), VIEWS[text](x)
        assert np.array_equal(view, wanted)
        assert view.shape == wanted.shape
        view[...] += 1.0
        assert np.count_nonzero(x != before) == wanted.size


@pytest.mark.parametrize("text", list(VIEWS)[1:16:2])
def test_views_compiled(text):
    f, x = jitted(f"lambda x: {text}", **vars(m)), numbers((2, 3, 4))
    before = x.copy()
    view = f(x)
    assert np.array_equal(view, VIEWS[text](x))
    view[...] += 1.0
    assert np.count_nonzero(x != before) == view.size


def test_arguments_that_make_no_sense():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="not a permutation"):
        m.array_transpose(x, (0, 0))
    with pytest.raises(np.exceptions.AxisError):
        m.array_swapaxes(x, 0, 2)
    with pytest.raises(ValueError, match="cannot squeeze"):
        m.array_squeeze(x, 0)
    with pytest.raises(TypeError, match="needs an axis"):
        m.array_squeeze(x, None)


# ------------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("shape", [(4, 6), (24,), 24, -1, (2, -1, 3), (3, 2, 4, 1)])
def test_reshape(shape):
    f = jitted("lambda x, shape: array_reshape(x, shape)", **vars(m))
    for x in layouts(numbers((2, 3, 4))):
        assert np.array_equal(m.array_reshape(x, shape), np.reshape(x, shape))
        assert np.array_equal(f(x, shape), np.reshape(x, shape))
        g = layouts(numbers(np.reshape(x, shape).shape, 1))[2]
        assert np.array_equal(m.reshape_vjp(g, x), g.reshape(x.shape))
    assert np.shares_memory(f(np.zeros((2, 3, 4)), shape), x) is False
    x = np.zeros((2, 3, 4))
    assert np.shares_memory(f(x, shape), x)


WITH_AXIS = {
    np.roll: (m.array_roll, lambda g, x, n, axis: m.roll_vjp(g, n, axis)),
    np.repeat: (m.array_repeat, m.repeat_vjp),
}


@given(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_rolling_and_repeating(shape, data):
    x = layouts(numbers(shape))[data.draw(st.integers(0, 2))]
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    for numpy, (ours, rule) in WITH_AXIS.items():
        n = data.draw(st.integers(-9, 9) if numpy is np.roll else st.integers(0, 3))
        wanted = numpy(x, n, axis)
        assert np.array_equal(ours(x, n, axis), wanted)
        assert ours(x, n, axis).shape == wanted.shape
        check_rule(lambda x, numpy=numpy, n=n: numpy(x, n, axis), x, lambda g, rule=rule, n=n: rule(g, x, n, axis))
    n = data.draw(st.integers(0, 3))
    assert np.array_equal(m.array_tile(x, n), np.tile(x, n))
    assert m.array_tile(x, n).shape == np.tile(x, n).shape
    check_rule(lambda x: np.tile(x, n), x, lambda g: m.tile_vjp(g, x, n))


@given(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3), st.data())
def test_tiling_along_several_axes(shape, data):
    x = layouts(numbers(shape))[data.draw(st.integers(0, 2))]
    n = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)))
    tiled, wanted = m.array_tile(x, n), np.tile(x, n)
    assert tiled.shape == wanted.shape and np.array_equal(tiled, wanted)
    check_rule(lambda x: np.tile(x, n), x, lambda g: m.tile_vjp(g, x, n))


def check_rule(f, x, rule):
    g = layouts(numbers(f(x).shape, 1))[x.size % 3]
    np.testing.assert_allclose(contribution(x, rule(g)), by_complex_step(f, x, g), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("shape", "axis"), [((5,), None), ((3, 4), 1), ((3, 4), None)])
def test_rolling_and_repeating_compiled(shape, axis):
    x = numbers(shape)
    forward = jitted(
        f"lambda x, n: (array_roll(x, n, {axis}), array_repeat(x, n, {axis}), array_tile(x, n))", **vars(m)
    )
    rolled, repeated, tiled = forward(x, 2)
    assert np.array_equal(rolled, np.roll(x, 2, axis))
    assert np.array_equal(repeated, np.repeat(x, 2, axis))
    assert np.array_equal(tiled, np.tile(x, 2))
    rules = jitted(
        f"lambda g, h, t, x, n: (roll_vjp(g, n, {axis}), repeat_vjp(h, x, n, {axis}), tile_vjp(t, x, n))", **vars(m)
    )
    rolled, repeated, tiled = rules(rolled, repeated, tiled, x, 2)
    np.testing.assert_allclose(rolled, x)
    np.testing.assert_allclose(repeated, 2 * x)
    np.testing.assert_allclose(tiled, 2 * x)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joining(axis):
    """The rules of operands are the parts of g that came from them."""
    operands = [numbers((3, 4), i) for i in range(3)]
    joined, stacked = np.concatenate(operands, axis), np.stack(operands, axis)
    start = 0
    for i, x in enumerate(operands):
        stop = start + x.shape[axis]
        assert np.array_equal(m.concatenate_vjp(joined, start, stop, axis), x)
        assert np.array_equal(m.stack_vjp(stacked, i, axis), x)
        start = stop
