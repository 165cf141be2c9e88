"""Reductions over axes and their rules, against NumPy and differences."""

import warnings

import numpy as np
import pytest
from array_rules import by_complex_step, by_differences, contribution, jitted, layouts, numbers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from ad.arrays import reductions as r

AXES = {1: (None, 0, -1, (0,)), 2: (None, 0, 1, -2, (0, 1), (1, 0), ()), 3: (None, 0, 1, -1, (0, 2), (-1, 1))}
PLAIN = {
    np.sum: r.array_sum,
    np.prod: r.array_prod,
    np.mean: r.array_mean,
    np.max: r.array_max,
    np.min: r.array_min,
    np.any: r.array_any,
    np.all: r.array_all,
}
SPREADS = {np.var: r.array_var, np.std: r.array_std}
SHAPES = {1: (5,), 2: (3, 4), 3: (2, 3, 4)}
WAYS = [(ndim, axis) for ndim, axes in AXES.items() for axis in axes]


def same(got, wanted, rtol=1e-14):
    assert np.shape(got) == np.shape(wanted)
    assert np.asarray(got).dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol)


# ------------------------------------------------------------------------------------------------ forward


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u1", "?", "c16"])
def test_values_and_dtypes(dtype):
    for ndim, axis in WAYS:
        values = numbers(SHAPES[ndim], dtype="c16" if dtype == "c16" else "f8") * 5
        for x in layouts(np.abs(values).astype(dtype) if dtype in ("u1", "?") else values.astype(dtype)):
            for numpy, ours in PLAIN.items():
                if dtype == "c16" and ours in (r.array_max, r.array_min):
                    continue
                for keepdims in (False, True):
                    wanted = numpy(x, axis=axis, keepdims=keepdims)
                    same(ours(x, axis, keepdims), wanted, 1e-5 if dtype == "f4" else 1e-13)
            for numpy, ours in SPREADS.items():
                for ddof in (0, 1, 0.5) if axis != () else (0,):
                    wanted = numpy(x, axis=axis, ddof=ddof, keepdims=True)
                    same(ours(x, axis, ddof, True), wanted, 1e-5 if dtype == "f4" else 1e-13)


@given(array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3), st.data())
def test_any_shape_and_axis(shape, data):
    axis = data.draw(st.none() | st.sampled_from([tuple(range(k, len(shape), 2)) for k in range(len(shape))]))
    x = numbers(shape)
    for numpy, ours in PLAIN.items():
        if x.size or numpy not in (np.max, np.min, np.mean):
            same(ours(x, axis, False), numpy(x, axis=axis), 1e-13)


COMPILED = ["2, None, False", "3, (0, 2), True"]


@pytest.mark.parametrize("way", COMPILED)
def test_compiled(way):
    ndim, axis, keepdims = eval(way)
    names = {f.__name__: f for f in (*PLAIN.values(), *SPREADS.values())}
    plain = ", ".join(f"{f.__name__}(x, {axis}, {keepdims})" for f in PLAIN.values())
    spreads = ", ".join(f"{f.__name__}(x, {axis}, 1, {keepdims})" for f in SPREADS.values())
    f = jitted(f"lambda x: ({plain}, {spreads})", **names)
    x = numbers(SHAPES[ndim])
    wanted = [g(x, axis=axis, keepdims=keepdims) for g in PLAIN]
    wanted += [g(x, axis=axis, ddof=1, keepdims=keepdims) for g in SPREADS]
    for got, value in zip(f(x), wanted, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-14)
        assert np.shape(got) == np.shape(value)


def test_defaults_compiled():
    f = jitted("lambda x: (array_max(x), array_var(x), array_sum(x, 0))", **vars(r))
    x = numbers((3, 4))
    biggest, variance, columns = f(x)
    assert biggest == x.max()
    assert variance == pytest.approx(x.var())
    np.testing.assert_allclose(columns, x.sum(0))


def test_single_precision_compiled():
    x = numbers((3, 4), dtype="f4")
    for got, wanted in zip(
        jitted("lambda x: (array_mean(x, 0), array_std(x, 1), array_sum(x, 1))", **vars(r))(x),
        (x.mean(0), x.std(1), x.sum(1)),
        strict=True,
    ):
        same(got, wanted, 1e-6)


def test_nan_is_passed_on():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, 2.0, 5.0]])
    for axis in (None, 0, 1):
        for numpy, ours in PLAIN.items():
            np.testing.assert_array_equal(ours(x, axis, False), numpy(x, axis=axis))


def test_no_elements():
    empty = np.zeros((0, 3))
    for ours in (r.array_max, r.array_min):
        for axis in (None, 0, (0, 1)):
            with pytest.raises(ValueError, match="zero-size"):
                ours(empty, axis, False)
        assert ours(empty, 1, False).shape == (0,)
    with warnings.catch_warnings(action="ignore"):
        for axis in (None, 0, 1):
            for numpy, ours in ((np.mean, r.array_mean), (np.sum, r.array_sum), (np.prod, r.array_prod)):
                np.testing.assert_array_equal(ours(empty, axis, False), numpy(empty, axis=axis))
            np.testing.assert_array_equal(r.array_var(empty, axis, 0, False), np.var(empty, axis=axis))
        one = np.ones((1, 2))
        np.testing.assert_array_equal(r.array_var(one, 0, 1, False), np.var(one, axis=0, ddof=1))
        np.testing.assert_array_equal(r.array_var(one, 0, 2, False), np.var(one, axis=0, ddof=2))
    with pytest.raises(ValueError, match="zero-size"):
        jitted("lambda x: array_max(x, 0, False)", **vars(r))(empty)


@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_an_axis_that_is_none(axis):
    with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
        r.array_sum(np.zeros((2, 3)), axis, False)
    with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
        jitted(f"lambda x: array_sum(x, {axis}, False)", **vars(r))(np.zeros((2, 3)))


def test_an_axis_twice():
    with pytest.raises(ValueError, match="duplicate"):
        r.array_sum(np.zeros((2, 3)), (1, -1), False)


def test_an_axis_that_is_computed():
    with pytest.raises(Exception, match="axis must be written out"):
        jitted("lambda x, k: array_sum(x, k, False)", **vars(r))(np.zeros((2, 3)), 1)


# -------------------------------------------------------------------------------------------------- rules


def rules(g, ans, x, axis, ddof):
    return {
        np.sum: g if axis is None or np.ndim(g) == x.ndim else r.sum_vjp(g, axis=axis),
        np.mean: r.mean_vjp(g, x, axis),
        np.prod: r.prod_vjp(g, x, axis),
        np.max: r.max_vjp(g, x, axis),
        np.min: r.min_vjp(g, x, axis),
        np.var: r.var_vjp(g, x, axis, ddof),
        np.std: r.std_vjp(g, ans[np.std], x, axis, ddof),
    }


FUNCTIONS = [np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std]


@pytest.mark.parametrize(("ndim", "axis"), [w for w in WAYS if w[1] != ()], ids=str)
def test_rules_against_differences(ndim, axis):
    for keepdims in (False, True):
        for x in layouts(numbers(SHAPES[ndim]) + 0.1 * np.arange(np.prod(SHAPES[ndim])).reshape(SHAPES[ndim])):
            ans, forward = {}, {}
            for f in FUNCTIONS:
                options = {"axis": axis, "keepdims": keepdims} | ({"ddof": 1} if f in SPREADS else {})
                forward[f] = lambda x, f=f, options=options: f(x, **options)
                ans[f] = forward[f](x)
            g = numbers(np.shape(ans[np.sum]), 1)
            g = g if g.ndim else float(g)
            for f, value in rules(g, ans, x, axis, 1).items():
                if f in (np.sum, np.mean, np.prod):
                    wanted, tolerance = by_complex_step(forward[f], x, g), 1e-12
                else:
                    wanted, tolerance = by_differences(forward[f], x, g), 1e-8
                got = contribution(x, value)
                np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance, err_msg=f.__name__)
                assert np.shape(value) == () or np.broadcast_shapes(np.shape(value), x.shape) == x.shape


@pytest.mark.parametrize("way", ["2, None, False", "3, 1, False"])
def test_rules_compiled(way):
    ndim, axis, keepdims = eval(way)
    x = numbers(SHAPES[ndim])
    ans = np.std(x, axis=axis, ddof=1, keepdims=keepdims)
    g = numbers(ans.shape, 1) if ans.ndim else 1.5
    arguments = f"x, {axis}"
    f = jitted(
        f"lambda g, ans, x: ({'g' if axis is None else f'sum_vjp(g, {axis})'}, "
        + ", ".join(f"{name}_vjp(g, {arguments})" for name in ("mean", "prod", "max", "min"))
        + f", var_vjp(g, {arguments}, 1), std_vjp(g, ans, {arguments}, 1))",
        **vars(r),
    )
    got = f(g, ans if ans.ndim else float(ans), x)
    for value, wanted in zip(got, rules(g, {np.std: ans}, x, axis, 1).values(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-13)


@pytest.mark.parametrize("zeros", [0, 1, 2, 4])
def test_a_product_with_zeros(zeros):
    x = numbers((4, 3)) + 3.0
    x[:zeros, 1] = 0.0
    g = np.array([1.0, 2.0, -0.5])
    np.testing.assert_allclose(
        r.prod_vjp(g, x, 0), by_complex_step(lambda x: np.prod(x, axis=0), x, g), rtol=1e-14, atol=0
    )


def test_extremes_give_ties_to_the_first():
    x = np.array([[1.0, 5.0, 5.0], [5.0, 1.0, 1.0]])
    g = np.array([1.0, 2.0, 3.0])
    assert np.array_equal(r.max_vjp(7.0, x, None), [[0, 7, 0], [0, 0, 0]])
    assert np.array_equal(r.min_vjp(7.0, x, None), [[7, 0, 0], [0, 0, 0]])
    assert np.array_equal(r.max_vjp(g, x, 0), [[0, 2, 3], [1, 0, 0]])
    assert np.array_equal(r.max_vjp(g[:2], x, 1), [[0, 1, 0], [2, 0, 0]])
    assert np.array_equal(r.min_vjp(g[:2], x, 1), [[1, 0, 0], [0, 2, 0]])
    assert np.array_equal(r.max_vjp(7.0, x.T, None), [[0, 7], [0, 0], [0, 0]])


def test_extremes_give_all_to_the_first_nan():
    x = np.array([1.0, np.nan, 9.0, np.nan, -9.0])
    assert np.array_equal(r.max_vjp(7.0, x, None), [0, 7, 0, 0, 0])
    assert np.array_equal(r.min_vjp(7.0, x, None), [0, 7, 0, 0, 0])


def test_no_variance():
    x = np.array([[2.0, 2.0], [1.0, 3.0]])
    got = r.std_vjp(np.ones(2), np.std(x, axis=1), x, 1, 0)
    np.testing.assert_allclose(got, [[0.0, 0.0], [-0.5, 0.5]])


def test_complex_variance():
    x, g = numbers((3, 4), dtype="c16"), numbers(4, 1)
    dx = 1e-6 * numbers((3, 4), 2, "c16")
    change = np.var(x + dx, axis=0) - np.var(x - dx, axis=0)
    assert np.sum(r.var_vjp(g, x, 0, 0) * 2 * dx).real == pytest.approx(np.sum(g * change), rel=1e-8)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_rules_of_no_elements(shape, axis):
    x = np.zeros(shape)
    g = np.ones(np.sum(x, axis=axis).shape) if axis is not None else 1.0
    for f, value in rules(g, {np.std: g}, x, axis, 0).items():
        assert contribution(x, value).shape == shape, f


@pytest.mark.parametrize("dtype", ["f8", "i4", "?", "c16"])
def test_any_and_all(dtype):
    """Of what is false as a number, too; a NaN is true."""
    x = np.array([[0, 1, 2], [0, 0, 1], [0, 3, 0]]).astype(dtype)
    if dtype == "f8":
        x[0, 1] = np.nan
    for a in (*layouts(x), x[:0], x[:, :0]):
        for axis in (None, 0, 1, (0, 1)):
            for keepdims in (False, True):
                for numpy, ours in ((np.any, r.array_any), (np.all, r.array_all)):
                    same(ours(a, axis, keepdims), numpy(a, axis=axis, keepdims=keepdims))
