"""Statements about whole arrays that become loops: which do, and that the numbers stay."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpreted_gradient as interpreted
from reference import dual_gradient as on_dual_numbers
from reference.compare import assert_near

import ad
from ad.errors import ADError

RNG = np.random.default_rng(22)


def numbers(*shape):
    return RNG.uniform(0.5, 1.5, shape)


# ------------------------------------------------------------------------------------------ written as loops


def parts(u, w, c):
    v = np.zeros((u.shape[0] + 1, u.shape[1]))
    for _ in range(3):
        v[1:-1] += c * (u[1:] - u[:-1]) * w[1:]
        w[:, 1 : u.shape[1] - 1] = u[:, 2:] * u[:, :-2] - w[:, 1 : u.shape[1] - 1]
        w -= 0.5 * (v[1:] ** 2 - v[:-1])
    return np.sum(w * w) + np.sum(v)


def rows(u, w, c):
    for n in range(1, u.shape[0]):
        w[n] += u[n] * u[n - 1]
        w[n, 1:] *= c * u[0, :-1]
    return np.sum(w * w)


def a_row_for_all(u, w, c):
    for _ in range(2):
        w += u[0] * c + np.abs(u) - u[1]
    return np.sum(w * w * u)


def on_a_condition(u, w, c):
    for m in range(4):
        if m % 2 == 0:
            w[1:] += (u[1:] - u[:-1]) * c
        else:
            w *= np.roll(u, 1, axis=1) + u + 1.0
    return np.sum(w * w)


def columns_are_rolled(u, w, c):
    for _ in range(3):
        left = np.roll(u, 1, axis=1)
        u = u + c * (left - np.roll(u, -1, axis=1)) * w
    return np.sum(u * u)


def both_axes_are_rolled(u, w, c):
    for _ in range(3):
        around = np.roll(u, 1, axis=0) + np.roll(u, -1, axis=0) + np.roll(u, 1, axis=1) + np.roll(u, -1, axis=1)
        u = u + c * (around - 4.0 * u) * w
    return np.sum(u * u)


def rolled_far(u, w, c):
    for _ in range(3):
        u = 0.5 * u + c * np.roll(u, 3, axis=0) * np.roll(u, -2, axis=0)
    return np.sum(u * w)


def rolled_sums(u, w, c):
    for _ in range(2):
        u = u - c * np.roll(u * w - np.roll(w, 1, axis=0), 1, axis=0)
    return np.sum(u * u)


def made_anew_in_place(u, w, c):
    for _ in range(3):
        w = w + c * (np.roll(u, 1, axis=0) - u) * w
        u = u - c * w
    return np.sum(u * w)


def made_anew_beside_and_in_place(u, w, c):
    for _ in range(3):
        u = u - c * (u - np.roll(u, 1, axis=1))
        w = w + u
    return np.sum(u * w)


def made_before_the_loop(u, w, c):
    v = u * 2.0 - u
    for _ in range(3):
        v = v * (u - np.roll(u, 1, axis=1)) * w + c
    return np.sum(v * v)


def borders_of_what_is_made_anew(u, w, c):
    for _ in range(3):
        u = u + c * (np.roll(u, 1, axis=0) - u)
        u[0] = w[0]
        u[-1, 1:] = 0.0
    return np.sum(u * u * w)


def with_a_break(u, w, c):
    for _ in range(9):
        u = u + c * w * (u - 0.5 * np.roll(u, 1, axis=0))
        if u[0, 0] > 1.7:
            break
    return np.sum(u * u)


# --------------------------------------------------------------------------------- what stays whole arrays


def one_part_of_another(u, w, c):
    """Element by element, what is written would be read again."""
    for _ in range(2):
        w[1:] = c * w[:-1] + u[1:]
    return np.sum(w * w)


def through_another_name(u, w, c):
    v = w[::-1]
    for _ in range(2):
        w[1:] = c * v[:-1] * u[1:]
    return np.sum(w * w)


def old_ones_are_kept(u, w, c):
    first = u
    for _ in range(3):
        before = u
        u = u * c + w
        u = u * before
    return np.sum(u * u * first)


def larger_and_larger(u, w, c):
    v = u[:1] * 1.0
    for _ in range(2):
        v = v + (w - np.roll(w, 1, axis=1)) * c
    return np.sum(v * v)


def other_steps(u, w, c):
    w[::2] = u[::2] * c
    w[:, ::-1] += u
    return np.sum(w * w)


def functions_that_cost(u, w, c):
    for _ in range(2):
        w = np.exp(np.roll(w, 1, axis=0) - w) * u
    return np.sum(w)


def no_neighbours(u, w, c):
    for _ in range(2):
        w += u * c
        u = u * w
    return np.sum(u)


def what_the_loop_reads_as_a_whole(u, w, c):
    for _ in range(3):
        u = u + c * np.sum(u * w) * (u - np.roll(u, 1, axis=0))
    return np.sum(u * u)


LOOPS = [
    parts,
    rows,
    a_row_for_all,
    on_a_condition,
    columns_are_rolled,
    both_axes_are_rolled,
    rolled_far,
    rolled_sums,
    made_anew_in_place,
    made_anew_beside_and_in_place,
    made_before_the_loop,
    borders_of_what_is_made_anew,
    with_a_break,
]
WHOLE = [
    one_part_of_another,
    through_another_name,
    old_ones_are_kept,
    larger_and_larger,
    other_steps,
    functions_that_cost,
    no_neighbours,
    what_the_loop_reads_as_a_whole,
]


def arguments(rows=6, columns=5):
    return numbers(rows, columns), numbers(rows, columns), 0.1


COMPILED = [parts, columns_are_rolled, borders_of_what_is_made_anew, with_a_break]


def check(f, args):
    """The adjoint's text, whose numbers are right."""
    _, expected = on_dual_numbers(f, args, (0, 1, 2))
    _, found, text = interpreted(f, args, (0, 1, 2))
    for got, want in zip(found, expected, strict=True):
        assert_near(got, want, 1e-12)
    return text


def writes_loops(text):
    """Whether a forward sweep has loops over elements."""
    return re.search(r"for [ijkl](_\d+)? in range", text.split("# reverse sweep")[0]) is not None


@pytest.mark.parametrize("f", LOOPS)
def test_loops_are_written(f):
    text = check(f, arguments())
    assert writes_loops(text), text


@pytest.mark.parametrize("f", WHOLE)
def test_others_stay(f):
    text = check(f, arguments())
    assert not writes_loops(text), text


@pytest.mark.parametrize("f", COMPILED)
def test_compiled(f):
    args = arguments()
    _, expected = on_dual_numbers(f, args, (0, 1, 2))
    for got, want in zip(ad.grad(f)(*args), expected, strict=True):
        assert_near(got, want, 1e-12)


@given(st.sampled_from(LOOPS), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_few_elements(f, n, m):
    """Arrays that are too small for loops, or empty, are as NumPy has them: the same numbers, or an error as well."""
    args = arguments(n, m)
    try:
        with np.errstate(all="ignore"):
            on_dual_numbers(f, args, (0, 1))
    except (ValueError, IndexError):
        with pytest.raises((ValueError, IndexError, ADError)):
            interpreted(f, args, (0, 1))
        return
    check(f, args)


# -------------------------------------------------------------------------------------------- assumptions


def of_equal_lengths(u, w, c):
    for _ in range(2):
        w += c * (u - u[0])
    return np.sum(w * w)


def test_what_is_assumed_is_looked_at_first():
    g = ad.grad(of_equal_lengths, wrt=("u", "w"))
    first = g(numbers(4, 3), numbers(4, 3), 0.1)
    assert "assume(" in g.source
    assert [x.shape for x in first] == [(4, 3), (4, 3)]
    for shape in ((4, 1), (1, 3), (1, 1)):  # these are broadcast
        u, w = numbers(*shape), numbers(4, 3)
        for _ in range(2):
            found = g(u, w, 0.1)
            assert_near(found, tuple(on_dual_numbers(of_equal_lengths, (u, w, 0.1), (0, 1))[1]), 1e-12)
    with pytest.raises(ValueError, match="broadcast"):
        g(numbers(2, 3), numbers(4, 3), 0.1)


def test_options_hold_without_what_is_assumed(tmp_path):
    u, w = numbers(500, 1), numbers(500, 40)
    g = ad.grad(of_equal_lengths, wrt=("u", "w"))
    for one, other in zip(g(u, w, 0.1), g(u, w, 0.1, memory="64 KiB", spill_dir=tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arguments_are_written_to_where_that_is_asked_for():
    u, w = numbers(4, 3), numbers(4, 3)
    final = w + 2 * 0.1 * (u - u[0])
    ad.grad(of_equal_lengths, wrt="u").with_options(inplace="update")(u, w, 0.1)
    np.testing.assert_allclose(w, final, rtol=1e-15)
