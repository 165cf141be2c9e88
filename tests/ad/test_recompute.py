"""What is computed again instead of recorded, what must be recorded all the same, and that the numbers stay."""

import math
import re

import numpy as np
import pytest
from reference.compare import assert_near

RNG = np.random.default_rng(21)


def numbers(*shape):
    return RNG.uniform(0.5, 1.5, shape)


def differences(x, y, n):
    """All from elements that nothing writes to."""
    for i in range(n):
        for j in range(i + 1, n):
            d = x[i] - x[j]
            square = d * d + 0.1
            y += square * square / (1.0 + square)
    return y


def choices(x, y, n):
    """Decisions by the variable of the loop, and what is chosen by them."""
    for i in range(n):
        left = x[i - 1] if i > 0 else x[n - 1]
        right = x[i + 1] if i < n - 1 else x[0]
        y += left * right * x[i]
    return y


def a_number_of_the_loop_around(x, y, n):
    for i in range(n):
        scale = 2.0 * x[i]
        for j in range(n):
            d = scale - x[j]
            y += d * d * d
    return y


def counted(x, y, n):
    """Triangles in a row: the place counts up, and back down."""
    at = 0
    for i in range(n):
        for _ in range(i, n):
            y += x[at % n] * x[i] * y * 0.1
            at += 1
        at -= 2
    return y


def overwritten_again(x, y, n):
    """All elements are written to before any is read: what they held is recorded at the first write alone."""
    q = np.empty(n)
    for _ in range(3):
        for i in range(n):
            q[i] = y * x[i]
        for i in range(n):
            q[i] += 0.5 * x[i]
        for i in range(n):
            y += q[i] * q[i] * 0.01
    return y


def for_the_first_time(x, y, n):
    """What no adjoint has read is not recorded."""
    history = np.zeros((n, n))
    for t in range(n):
        for i in range(n):
            history[t, i] = x[i] * y
        y *= x[t]
    return y + np.sum(history * history)


NOTHING = [differences, choices, a_number_of_the_loop_around]


@pytest.mark.parametrize("f", NOTHING, ids=lambda f: f.__name__)
def test_nothing_is_recorded(f, interpreted_gradient, dual_gradient):
    _, _, source = checked(f, (numbers(5), 0.3, 5), interpreted_gradient, dual_gradient)
    assert "push" not in source


def test_counting_back(interpreted_gradient, dual_gradient):
    _, _, source = checked(counted, (numbers(5), 0.3, 5), interpreted_gradient, dual_gradient)
    assert pushes(source) == ["y"]
    assert "at -= 1" in source and "at += 2" in source


def test_one_record_for_two_writes(interpreted_gradient, dual_gradient):
    _, _, source = checked(overwritten_again, (numbers(5), 0.3, 5), interpreted_gradient, dual_gradient)
    assert pushes(source) == ["q[0:n]", "y"]


def test_no_record_of_what_is_met_for_the_first_time(interpreted_gradient, dual_gradient):
    _, _, source = checked(for_the_first_time, (numbers(4), 0.3, 4), interpreted_gradient, dual_gradient)
    assert pushes(source) == ["y"]


def checked(f, args, interpreted_gradient, dual_gradient):
    value, expected = dual_gradient(f, args, (0, 1))
    found_value, found, source = interpreted_gradient(f, args, (0, 1))
    assert math.isclose(found_value, value, rel_tol=1e-13)
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)
    return found_value, found, source


def pushes(source):
    return re.findall(r"push\w*\(_tape, (.*)\)", source)


# ----------------------------------------------------------------------------------- what must be recorded


def changed_since(x, y, n):
    for i in range(1, n):
        d = x[i] - x[i - 1]
        y += d * d * y
        x[i] = 0.5 * y
    return y


def by_a_float(x, y, n):
    """NaN compares as it did: a decision by a float is not made again."""
    for i in range(n):
        z = x[i] if x[i] > y else y * y
        y += 0.1 * z * z
    return y


def expensive(x, y, n):
    for i in range(n):
        z = math.exp(x[i] * 0.3)
        y += z * z * x[i]
    return y


def read_at_another_place(x, y, n):
    """The old contents of the next element are read: they are recorded where they are overwritten."""
    w = x * 1.0
    for i in range(n - 1):
        d = w[i + 1]
        y += d * d * d
        w[i] = y
    return y + np.sum(w)


def index_from_an_array(x, y, n):
    order = np.arange(n)
    for i in range(n):
        k = order[i]
        y += x[k] * x[k] * y
        order[i] = 0
    return y


@pytest.mark.parametrize(
    ("f", "kept"),
    [
        (changed_since, "d"),
        (by_a_float, None),
        (expensive, "z"),
        (read_at_another_place, None),
        (index_from_an_array, "k"),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_recorded(f, kept, interpreted_gradient, dual_gradient):
    _, _, source = checked(f, (numbers(5), 0.3, 5), interpreted_gradient, dual_gradient)
    assert "push" in source
    if kept is not None:
        assert kept in [name for push in pushes(source) for name in push.split(", ")]
    if f is by_a_float:
        assert "push_bit" in source
