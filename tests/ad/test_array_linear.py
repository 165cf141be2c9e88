"""Products, diagonals and np.linalg: against NumPy, complex steps and differences; no performance warnings."""

import numpy as np
import pytest
from array_rules import by_complex_step, by_differences, contribution, jitted, layouts, numbers

from ad.arrays import linalg as la
from ad.arrays import linear as li

PRODUCTS = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((0, 3), (3, 4)), ((2, 0), (0, 4)),
            ((0,), (0,)), ((2, 0), (0,))]  # fmt: skip
matmul = jitted("lambda a, b: array_matmul(a, b)", **vars(li))


def factors(shapes, dtypes=("f8", "f8")):
    for a in layouts(numbers(shapes[0], 0, dtypes[0])):
        for b in layouts(numbers(shapes[1], 1, dtypes[1])):
            yield a, b


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products_and_rules(shapes):
    for a, b in factors(shapes):
        np.testing.assert_allclose(li.array_matmul(a, b), a @ b, rtol=1e-13, atol=1e-14)
        g = numbers(np.shape(a @ b), 2)
        for x, rule, f in (
            (a, li.matmul_vjp_left, lambda x, b=b: x @ b),
            (b, li.matmul_vjp_right, lambda x, a=a: a @ x),
        ):
            wanted = by_complex_step(f, x, g)
            np.testing.assert_allclose(contribution(x, rule(g, a, b)), wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("shapes", PRODUCTS[:4], ids=str)
def test_products_compiled_for_all_layouts(shapes):
    for i, (a, b) in enumerate(factors(shapes)):
        if i in (0, 4, 8):
            np.testing.assert_allclose(matmul(a, b), a @ b, rtol=1e-13)
    rules = jitted("lambda g, a, b: (matmul_vjp_left(g, a, b), matmul_vjp_right(g, a, b))", **vars(li))
    g = numbers(np.shape(a @ b), 2)
    g = layouts(g)[2] if g.ndim else float(g)
    for got, rule in zip(rules(g, a, b), (li.matmul_vjp_left, li.matmul_vjp_right), strict=True):
        np.testing.assert_allclose(got, rule(g, a, b), rtol=1e-13)


@pytest.mark.parametrize("dtypes", [("f8", "f4"), ("f4", "f4"), ("i8", "f8"), ("i4", "i8"), ("f8", "c16"), ("?", "?")])
def test_dtypes_of_products(dtypes):
    a, b = (3 * numbers((2, 3))).astype(dtypes[0]), (3 * numbers((3, 4), 1)).astype(dtypes[1])
    for f in (li.array_matmul, matmul):
        assert f(a, b).dtype == (a @ b).dtype
        np.testing.assert_allclose(f(a, b), a @ b, rtol=1e-5 if dtypes == ("f4", "f4") else 1e-13)


def test_products_without_blas(monkeypatch):
    monkeypatch.setattr(li, "_HAS_BLAS", False)
    for shapes in PRODUCTS:
        for a, b in factors(shapes):
            np.testing.assert_allclose(li.array_matmul(a, b), a @ b, rtol=1e-13, atol=1e-14)
            with pytest.raises(ValueError, match="fit"):
                li.array_matmul(a, np.zeros(7))


def test_products_with_a_scalar():
    x, g = numbers((2, 3)), numbers((2, 3), 1)
    assert np.array_equal(matmul(x, 2.0), 2.0 * x)
    assert np.array_equal(li.matmul_vjp_left(g, x, 2.0), 2.0 * g)
    assert np.array_equal(li.matmul_vjp_right(g, x, 2.0), g * x)
    assert np.array_equal(li.matmul_vjp_left(g, 2.0, x), g * x)
    assert np.array_equal(li.matmul_vjp_right(g, 2.0, x), 2.0 * g)


@pytest.mark.parametrize("f", [li.array_matmul, matmul])
def test_factors_that_do_not_fit(f):
    for dtype in ("f8", "i8"):
        with pytest.raises(ValueError):
            f(np.ones((2, 3), dtype), np.ones((2, 3), dtype))
    with pytest.raises(TypeError, match="two dimensions"):
        f(np.ones((2, 2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (4,)), ((3,), (2, 2)), ((0,), (2,))])
def test_outer(shapes):
    for a, b in factors(shapes):
        g = numbers(np.outer(a, b).shape, 2)
        assert np.array_equal(li.array_outer(a, b), np.outer(a, b))
        wanted = by_complex_step(lambda x, b=b: np.outer(x, b), a, g)
        np.testing.assert_allclose(li.outer_vjp_left(g, a, b), wanted, rtol=1e-13)
        wanted = by_complex_step(lambda x, a=a: np.outer(a, x), b, g)
        np.testing.assert_allclose(li.outer_vjp_right(g, a, b), wanted, rtol=1e-13)


def test_outer_and_cross_compiled():
    a, b, g = numbers(3), numbers(3, 1), numbers((3, 3), 2)
    assert np.array_equal(jitted("lambda a, b: array_outer(a, b)", **vars(li))(a, b), np.outer(a, b))
    left, right = jitted("lambda g, a, b: (outer_vjp_left(g, a, b), outer_vjp_right(g, a, b))", **vars(li))(g, a, b)
    np.testing.assert_allclose(left, g @ b, rtol=1e-13)
    np.testing.assert_allclose(right, a @ g, rtol=1e-13)
    left, right = jitted("lambda g, a, b: (np.cross(b, g), np.cross(g, a))")(g[0], a, b)
    np.testing.assert_allclose(left, by_complex_step(lambda x: np.cross(x, b), a, g[0]), rtol=1e-13)
    np.testing.assert_allclose(right, by_complex_step(lambda x: np.cross(a, x), b, g[0]), rtol=1e-13)


@pytest.mark.parametrize("k", [-4, -1, 0, 2, 3, 4])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 3)])
def test_diagonals(shape, k):
    for x in layouts(numbers(shape)):
        wanted = by_complex_step(lambda x: np.trace(x, k), x, 1.5)
        np.testing.assert_allclose(li.trace_vjp(1.5, x, k), wanted, rtol=1e-15)
        g = numbers(np.diag(x, k).shape, 1)
        np.testing.assert_allclose(li.diag_vjp(g, x, k), by_complex_step(lambda x: np.diag(x, k), x, g), rtol=1e-15)
    v = numbers(3)
    g = numbers(np.diag(v, k).shape, 1)
    np.testing.assert_allclose(li.diag_vjp(g, v, k), by_complex_step(lambda v: np.diag(v, k), v, g), rtol=1e-15)


def test_diagonals_compiled():
    x, v, g = numbers((3, 4)), numbers(3), numbers((4, 4), 1)
    of_trace, of_matrix, of_vector = jitted(
        "lambda x, v, g: (trace_vjp(2.0, x, 1), diag_vjp(v, x, 1), diag_vjp(g, v, -1))", **vars(li)
    )(x, v, g)
    assert np.array_equal(of_trace, 2.0 * np.eye(3, 4, 1))
    assert np.array_equal(of_matrix, np.hstack([np.zeros((3, 1)), np.diag(v)]))
    assert np.array_equal(of_vector, np.diag(g, -1))


# -------------------------------------------------------------------------------------------------- norms

ORDERS = [None, 1, 2, 3, 2.5, np.inf, -np.inf, 0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("shape", "axis"), [((5,), None), ((5,), 0), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1)])
def test_norms(shape, axis, order):
    for x in layouts(numbers(shape)):
        for keepdims in (False, True):
            ans = np.linalg.norm(x, order, axis, keepdims)
            got = la.array_norm(x, order, axis, keepdims)
            assert np.shape(got) == np.shape(ans)
            np.testing.assert_allclose(got, ans, rtol=1e-14)
            g = numbers(np.shape(ans), 1)
            g = g if g.ndim else float(g)
            wanted = by_differences(lambda x, k=keepdims: np.linalg.norm(x, order, axis, k), x, g)
            got = contribution(x, la.norm_vjp(g, ans, x, order, axis))
            np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-8)


def test_the_norm_of_a_whole_matrix():
    x = numbers((3, 4))
    ans = la.array_norm(x)
    assert ans == pytest.approx(np.linalg.norm(x), rel=1e-14)
    np.testing.assert_allclose(la.norm_vjp(2.0, ans, x), 2.0 * x / ans, rtol=1e-14)
    for options in ((1, None), (2, (0, 1))):
        with pytest.raises(TypeError, match="norms of vectors"):
            la.array_norm(x, *options)


def test_norms_at_zero_and_ties():
    zero = np.zeros(3)
    for order in ORDERS:
        assert not np.any(la.norm_vjp(1.0, la.array_norm(zero, order, None, False), zero, order, None))
    x = np.array([1.0, -3.0, 3.0, 0.0])
    assert np.array_equal(la.norm_vjp(1.0, 3.0, x, np.inf, None), [0, -1, 0, 0])
    assert np.array_equal(la.norm_vjp(1.0, 7.0, x, 1, None), [1, -1, 1, 0])
    with pytest.raises(ValueError, match="zero-size"):
        la.array_norm(np.zeros(0), np.inf, None, False)
    assert la.array_norm(np.zeros(0), 2, None, False) == 0.0


def test_complex_norms():
    x, dx = numbers(4, dtype="c16"), 1e-6 * numbers(4, 1, "c16")
    for order in (None, 1, 3, np.inf):
        ans = np.linalg.norm(x, order)
        assert la.array_norm(x, order, None, False) == pytest.approx(ans, rel=1e-14)
        change = np.linalg.norm(x + dx, order) - np.linalg.norm(x - dx, order)
        assert np.sum(la.norm_vjp(1.0, ans, x, order, None) * 2 * dx).real == pytest.approx(change, rel=1e-7)


def test_norms_compiled():
    x = numbers((3, 4))
    whole, columns, largest = jitted(
        "lambda x, p: (array_norm(x), array_norm(x, None, 0, True), array_norm(x, p, 1, False))", **vars(la)
    )(x, np.inf)
    assert whole == pytest.approx(np.linalg.norm(x), rel=1e-14)
    np.testing.assert_allclose(columns, np.linalg.norm(x, axis=0, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(largest, np.linalg.norm(x, np.inf, 1), rtol=1e-14)
    got = jitted("lambda g, ans, x: norm_vjp(g, ans, x, 1, 1)", **vars(la))(np.ones(3), np.abs(x).sum(1), x)
    np.testing.assert_allclose(got, np.sign(x), rtol=1e-14)


# ------------------------------------------------------------------------------------- systems of equations


def checked(f, x, got, g, tolerance=1e-11):
    np.testing.assert_allclose(contribution(x, got), by_complex_step(f, x, g), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [1, 3])
def test_inverse_and_determinants(n):
    for a in layouts(numbers((n, n)) + np.eye(n)):
        g = numbers((n, n), 1)
        checked(np.linalg.inv, a, la.inv_vjp(g, np.linalg.inv(a)), g)
        checked(np.linalg.det, a, la.det_vjp(1.5, a), 1.5)
        checked(lambda x: 0.5 * np.log(np.linalg.det(x) ** 2), a, la.slogdet_vjp(1.5, a), 1.5)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_determinant_of_a_singular_matrix(rank):
    x = numbers((3, rank)) @ numbers((rank, 3), 1)
    wanted = np.empty((3, 3))
    for i, j in np.ndindex(3, 3):
        wanted[i, j] = (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1))
    np.testing.assert_allclose(la.det_vjp(1.0, x), wanted, rtol=1e-12, atol=1e-13)
    assert la.det_vjp(1.0, np.zeros((0, 0))).shape == (0, 0)


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_solve(shape):
    for a in layouts(numbers((3, 3)) + 2 * np.eye(3)):
        b, g = numbers(shape, 1), numbers(shape, 2)
        ans = np.linalg.solve(a, b)
        checked(lambda x, b=b: np.linalg.solve(x, b), a, la.solve_vjp_matrix(g, ans, a), g)
        checked(lambda x, a=a: np.linalg.solve(a, x), b, la.solve_vjp_right(g, a), g)


def test_cholesky():
    x = numbers((4, 4))
    a, g = x @ x.T + np.eye(4), numbers((4, 4), 1)
    got = la.cholesky_vjp(g, np.linalg.cholesky(a))
    np.testing.assert_allclose(got, by_differences(np.linalg.cholesky, a, g), rtol=1e-7, atol=1e-8)


def test_complex_matrices():
    """Holomorphic functions: the change is the sum of the contribution times the change of the argument."""
    a, da, b = numbers((3, 3), 0, "c16"), 1e-6 * numbers((3, 3), 1, "c16"), numbers((3, 2), 2, "c16")
    for f, rule in (
        (np.linalg.det, lambda g: la.det_vjp(g, a)),
        (np.linalg.inv, lambda g: la.inv_vjp(g, np.linalg.inv(a))),
        (lambda x: np.linalg.solve(x, b), lambda g: la.solve_vjp_matrix(g, np.linalg.solve(a, b), a)),
        (lambda x: x @ b, lambda g: li.matmul_vjp_left(g, a, b)),
        (lambda x: b.T @ x, lambda g: li.matmul_vjp_right(g, b.T, a)),
    ):
        g = numbers(np.shape(f(a)), 3, "c16")
        change = f(a + da) - f(a - da)
        np.testing.assert_allclose(np.sum(rule(g[()]) * 2 * da), np.sum(g * change), rtol=1e-8)


def test_systems_compiled():
    """Strided arrays, without a warning."""
    f = jitted(
        "lambda g, a, b, x: (inv_vjp(g, np.linalg.inv(a)), det_vjp(2.0, a), "
        "solve_vjp_right(b, a), solve_vjp_matrix(b, x, a))",
        **vars(la),
    )
    a, g, b = numbers((3, 3)) + 2 * np.eye(3), numbers((3, 3), 1), numbers(3, 2)
    x = np.linalg.solve(a, b)
    wanted = f.py_func(g, a, b, x)
    for value, known in zip(f(layouts(g)[2], layouts(a)[2], layouts(b)[2], x), wanted, strict=True):
        np.testing.assert_allclose(value, known, rtol=1e-11)
    a = a @ a.T
    got = jitted("lambda g, a: cholesky_vjp(g, np.linalg.cholesky(a))", **vars(la))(g, a)
    np.testing.assert_allclose(got, la.cholesky_vjp(g, np.linalg.cholesky(a)), rtol=1e-12)
