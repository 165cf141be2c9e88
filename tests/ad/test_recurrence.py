"""Adjoints that go from trip to trip by the shortest way: which loops take it, and that the numbers stay."""

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from interpreter import interpreted_gradient as interpreted
from reference import dual_gradient as on_dual_numbers
from reference.compare import assert_near

import ad

X, Y, C, A = 0.7, 1.2, 0.3, np.array([0.4, 0.9, 1.1, 0.2])
NOTE = "each adjoint as one sum"


# -------------------------------------------------------------------------------------------- one sum each


def oscillator(x, y, c, a):
    for _ in range(5):
        dx = c * (y - x) * 0.5
        dy = x * (c - y) - 0.5 * x - y * 0.25
        x = x + 0.1 * dx
        y = y + 0.1 * dy
    return x + y


def with_a_loss(x, y, c, a):
    """The adjoint of the loss is a number that is the same at every trip."""
    total = 0.0
    for i in range(4):
        dx = c * (y - x) * 0.5
        dy = x * (c - y) - 0.5 * x - y * 0.25
        x = x + 0.1 * dx
        y = y + 0.1 * dy
        total += x * c
    return total


def adds_to_elements(x, y, c, a):
    for i in range(4):
        dx = a[i] * (y - x) * 0.5
        dy = x * (c - y) - a[i] * x * 0.5 - y * 0.25
        x = x + 0.1 * dx
        y = y + 0.1 * dy
    return x * y


def while_it_grows(x, y, c, a):
    while x + y < 3.0:
        dx = 2.0 * (y + x) * (1.0 + c * x)
        dy = x * (c + y) * 3.0 + 0.5 * x * y
        x = x + 0.1 * dx
        y = y + 0.1 * dy
    return x - y


# -------------------------------------------------------------------------------------------- as they stand


def with_functions(x, y, c, a):
    """As one sum each, there would be too much to compute."""
    for _ in range(4):
        s = math.sin(x * y)
        dx = s * (y - x) * c - 0.5 * s * x
        dy = math.exp(-y * c) * (x - y * s) - 0.25 * y * s
        x = x + 0.1 * dx
        y = y + 0.1 * dy
    return x * y


def short_already(x, y, c, a):
    for _ in range(4):
        x = x * c + y
    return x


def on_a_condition(x, y, c, a):
    for _ in range(4):
        dx = c * (y - x) * 0.5 * (x + y)
        if x > 0.5:
            x = x + 0.1 * dx
        else:
            x = x - 0.1 * dx * y
    return x


def by_elements(x, y, c, a):
    u = a.copy()
    for i in range(1, 4):
        u[i] = u[i] + 0.1 * (u[i - 1] * (c - u[i]) - u[i] * u[i] * x)
        x = x + 0.1 * (x * y * u[i] - c * x * x) * 0.5
    return x + np.sum(u)


def much_to_compute(x, y, c, a):
    """As one sum each, eight adjoints would take longer."""
    p, q, r, s = x, y, x * y, x - y
    t, u, v, w = x, y, x + y, c
    for _ in range(3):
        p, q, r, s, t, u, v, w = (
            p + 0.1 * q * r,
            q + 0.1 * r * s,
            r + 0.1 * s * t,
            s + 0.1 * t * u,
            t + 0.1 * u * v,
            u + 0.1 * v * w,
            v + 0.1 * w * p,
            w + 0.1 * p * q,
        )
    return p + q + r + s + t + u + v + w


SUMS = [oscillator, with_a_loss, adds_to_elements, while_it_grows]
OTHERS = [with_functions, short_already, on_a_condition, by_elements, much_to_compute]


def check(f, args):
    """The adjoint's text, whose numbers are right."""
    _, expected = on_dual_numbers(f, args, (0, 1, 2, 3))
    _, found, text = interpreted(f, args, (0, 1, 2, 3))
    for got, want in zip(found, expected, strict=True):
        assert_near(got, want, 1e-12)
    return text


@pytest.mark.parametrize("f", SUMS)
def test_adjoints_as_one_sum(f):
    text = check(f, (X, Y, C, A))
    assert NOTE in text, text


@pytest.mark.parametrize("f", OTHERS)
def test_others_stay(f):
    text = check(f, (X, Y, C, A))
    assert NOTE not in text, text


@pytest.mark.parametrize("f", [oscillator, with_a_loss])
def test_compiled(f):
    args = (X, Y, C, A)
    _, expected = on_dual_numbers(f, args, (0, 1, 2, 3))
    for got, want in zip(ad.grad(f)(*args), expected, strict=True):
        assert_near(got, want, 1e-12)


@given(
    st.sampled_from([oscillator, with_a_loss, adds_to_elements, with_functions]),
    *(st.floats(-2.0, 2.0) for _ in range(3)),
    st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4),
)
@settings(max_examples=30, deadline=None)
def test_any_numbers(f, x, y, c, a):
    try:
        f(x, y, c, a)
    except OverflowError:
        reject()  # there is no derivative
    check(f, (x, y, c, np.array(a)))
