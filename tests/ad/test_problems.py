"""Gradients of long-known problems (`problems`) against formulas, adjoints by hand, complex step and differences."""

import numpy as np
import pytest
from numba import njit
from problems import CASES, PENDING
from problems.reference import assert_gradient, complex_step, copies, difference_along, plain

import ad


def each(cases):
    return pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases])


def family(case):
    return case.name.partition(".")[0]


# Compiling takes a second each: one of each family, a pending one where there is one; ci/problems.py does all.
COMPILED = {family(c): c for c in sorted(reversed(CASES), key=lambda c: c.name in PENDING)}


def rounded(x, digits):
    """A number to as many significant digits as a published one has."""
    mantissa = digits.partition("e")[0]
    count = len(mantissa.lstrip("-0.").replace(".", ""))
    return float(f"{x:.{count}g}")


@each(CASES)
def test_references_agree(case):
    """The complex step agrees with differences along a direction, and with the formula where there is one."""
    expected = case.expected()
    stepped = complex_step(case.function, case.args, case.positions) if case.analytic else expected
    rng = np.random.default_rng(7)
    directions, along, size = {}, 0.0, 0.0
    for position, slopes in zip(case.positions, stepped, strict=True):
        value = case.args[position]
        direction = rng.uniform(0.5, 1.5, np.shape(value)) * np.where(np.abs(value) > 0.1, np.abs(value), 0.1)
        directions[position] = direction
        along += np.sum(slopes * direction)
        size += np.sum(np.abs(slopes * direction))
    difference = difference_along(case.function, case.args, directions, case.step)
    assert size > 0.0, "a gradient of zeros tests nothing"
    assert difference == pytest.approx(along, abs=1e-6 * size, rel=0.0)
    if expected is not None:
        assert_gradient(case, stepped, expected)


@each([c for c in CASES if c.published])
def test_published_digits(case):
    value = plain(case.function)(*copies(case.args))
    found = [value, *np.concatenate([np.ravel(g) for g in case.expected()])]
    for digits, mine in zip(case.published.split(), found):
        assert rounded(mine, digits) == float(digits)


@each(COMPILED.values())
def test_numba_takes_it(case):
    """The program is one that Numba compiles, and means the same there."""
    value = plain(case.function)(*copies(case.args))
    assert isinstance(value, float)
    assert njit(case.function)(*copies(case.args)) == pytest.approx(value, rel=1e-11)


@each(CASES)
def test_interpreted(case, interpreted_gradient):
    """The adjoint, as plain Python, is right; a case in PENDING is refused in so many words."""
    args = copies(case.args)
    if case.name in PENDING:
        with pytest.raises(ad.ADError):
            interpreted_gradient(case.function, args, case.positions)
            pytest.fail(f"ad takes {case.name} now: remove it from pending")
        return
    value, found, _ = interpreted_gradient(case.function, args, case.positions)
    assert value == pytest.approx(plain(case.function)(*copies(case.args)), rel=1e-11)
    assert_gradient(case, found, case.expected() or complex_step(case.function, case.args, case.positions))


@each(CASES)
def test_gradient(case, compile_or_skip):
    """Compiled."""
    args = copies(case.args)
    gradient = ad.value_and_grad(case.function, case.wrt)
    if case.name in PENDING:
        with pytest.raises(ad.ADError):
            gradient(*args)
            pytest.fail(f"ad takes {case.name} now: remove it from pending")
        return
    value, found = gradient(*args)
    assert value == pytest.approx(plain(case.function)(*copies(case.args)), rel=1e-11)
    expected = case.expected() or complex_step(case.function, case.args, case.positions)
    assert_gradient(case, found, expected)
    for before, after in zip(case.args, args, strict=True):
        np.testing.assert_array_equal(after, before, err_msg="an argument was changed")


def test_pending_names_cases():
    assert not PENDING - {c.name for c in CASES}
