"""The adjoint of a view is a view of an adjoint, where that is known to be so."""

import numpy as np
import pytest
from numba import prange

import ad


def rows(w, x):
    for k in range(len(w)):
        row = w[k]
        x = np.tanh(x * row + row[0])
    return np.sum(x)


def shaped_rows(w, x):
    for k in range(len(w)):
        r = w[k].reshape(2, 2)
        x = np.tanh(x * r[0] + r[1])
    return np.sum(x)


def before_a_branch(w, x):
    row = w[0]
    if x[0] > 0.0:
        s = np.sum(row * x)
    else:
        s = np.sum(row)
    return s


def in_lanes(w, x):
    s = 0.0
    for k in prange(len(w)):
        row = w[k]
        s += np.sum(row * x)
    return s


def squares(a, b):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * a[i] * b[i]
    return s


def given_twice(w, x):
    first, second = w[0], w[1]
    return squares(first, second) + np.sum(x)


W = np.array([[0.3, -0.2, 0.5, 0.1], [0.7, 0.2, -0.4, 0.6]])
X = np.array([0.4, -0.1, 0.2, 0.3])


def source(f, x=X):
    g = ad.grad(f)
    g(W, x)
    return g.source


def test_rows_are_lent():
    text = source(rows)
    assert "row_b = w_b[k]" in text
    assert "zeros_like(row)" not in text
    text = source(shaped_rows, X[:2])
    assert "r_b = lent_reshape(argument_b, (2, 2))" in text


@pytest.mark.parametrize("f", [before_a_branch, in_lanes, given_twice], ids=lambda f: f.__name__)
def test_not_where_that_is_not_known(f):
    text = source(f)
    assert "_b = w_b[" not in text
    assert "zeros_like(" in text


@pytest.mark.parametrize("layout", ["F", pytest.param("steps", marks=pytest.mark.thorough)])
def test_any_layout(layout):
    w = {"F": np.asfortranarray(W), "steps": np.repeat(W, 2, axis=1)[:, ::2]}[layout]
    g = ad.grad(shaped_rows)
    for found, wanted in zip(g(w, X[:2]), g(W, X[:2]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
