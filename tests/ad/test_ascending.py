"""Reverse loops that run upwards: which may, and that numbers stay."""

import re

import numpy as np
import pytest
from interpreter import interpreted_gradient as interpreted
from reference import dual_gradient as on_dual_numbers
from reference.compare import assert_near

import ad

RNG = np.random.default_rng(21)


def numbers(*shape):
    return RNG.uniform(0.5, 1.5, shape)


# ------------------------------------------------------------------------------- the rows in any order


def rows_add_to_their_neighbours(a, x):
    s = 0.0
    for i in range(1, a.shape[0]):
        for j in range(a.shape[1]):
            s += x * a[i, j] * a[i - 1, j]
    return s


def rows_are_written_over(a, x):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] = x * a[i, j] * a[i, j] + a[i, j]
    return np.sum(a * a)


def columns_are_written_over(a, x):
    for j in range(1, a.shape[1]):
        for i in range(a.shape[0]):
            a[i, j] = a[i, j] * x * a[i, j]
    return np.sum(a * a)


def numbers_of_a_trip(a, x):
    s = 0.0
    for i in range(a.shape[0]):
        row = 0.0
        for j in range(a.shape[1]):
            row += a[i, j] * x
        s += row
    return s


def with_a_branch(a, x):
    s = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            if j > i:
                s += a[i, j] * x
            else:
                s -= a[i, j] * x * x
    return s


def elements_by_a_table(a, x):
    s = 0.0
    at = 3 * np.arange(12) % 4
    for i in range(12):
        for j in range(a.shape[1]):
            s += x * a[at[i], j] * a[at[i], j]
    return s


# --------------------------------------------------------------------------------- only from the last


def rows_from_rows(a, x):
    for i in range(1, a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] += x * a[i - 1, j] * a[i, j]
    return np.sum(a)


def rows_that_wrap_round(a, x):
    """The first trip writes to the last row, as the last trip does."""
    n = a.shape[0]
    for i in range(-1, n):
        for j in range(a.shape[1]):
            a[i, j] = x * a[i, j] + 1.0
    return np.sum(a * a)


def one_row_for_all(a, x):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[0, j] = a[i, j] * x + 0.5 * a[0, j]
    return np.sum(a * a)


def rows_by_a_table(a, x):
    at = 3 * np.arange(12) % 4
    for i in range(12):
        for j in range(a.shape[1]):
            a[at[i], j] = x * a[at[i], j] + 1.0
    return np.sum(a * a)


def numbers_from_trip_to_trip(a, x):
    s = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            s = x * s + a[i, j]
    return s


def replaced_by_what_has_no_derivative(a, x):
    """The first trip alone has the argument; its adjoint is that of the trip that is reversed last."""
    s = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            s += a[i, j] * 2.0
        s += x * (2.0 + i)
        x = 0.5 * i
    return s


def replaced_in_the_innermost_loop(a, x):
    s = 0.0
    for i in range(a.shape[1]):
        s += x * (2.0 + i)
        s += a[0, i] * 2.0
        x = 0.5 * i
    return s


def other_names_of_the_rows(a, x):
    b = a[::-1]
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] = x * a[i, j] + b[i, j] * a[i, j]
    return np.sum(a)


ASCENDING = [
    rows_add_to_their_neighbours,
    rows_are_written_over,
    columns_are_written_over,
    numbers_of_a_trip,
    with_a_branch,
    elements_by_a_table,
]
DESCENDING = [
    rows_from_rows,
    rows_that_wrap_round,
    one_row_for_all,
    rows_by_a_table,
    numbers_from_trip_to_trip,
    replaced_by_what_has_no_derivative,
    replaced_in_the_innermost_loop,
    other_names_of_the_rows,
]


def reverse_loops(f):
    """The ranges of the outermost loops of a reverse sweep, but for those that sum results up."""
    reverse = ad.grad(f, wrt=("a", "x")).source.split("# reverse sweep")[1]
    return re.findall(r"^    for \w+ in range\((.*)\):$", reverse, re.MULTILINE)


@pytest.mark.parametrize("f", [*ASCENDING, *DESCENDING])
def test_gradients(f):
    args = numbers(4, 5), 0.7
    _, expected = on_dual_numbers(f, args, (0, 1))
    for found in (ad.grad(f, wrt=("a", "x"))(*args), interpreted(f, args, (0, 1))[1]):
        for got, want in zip(found, expected, strict=True):
            assert_near(got, want, 1e-12)


@pytest.mark.parametrize("f", ASCENDING)
def test_trips_that_commute_are_reversed_upwards(f):
    loops = reverse_loops(f)
    assert loops and all(", -1, -1" not in r and ", 0, -1" not in r for r in loops), loops


@pytest.mark.parametrize("f", DESCENDING)
def test_others_are_reversed_from_the_last(f):
    assert any(r.endswith("-1") for r in reverse_loops(f))
