"""The models of More, Garbow and Hillstrom's problems: published values at the start and at the minimum.

That the models are right makes the gradients 2 J^T r, which `test_cases` asks of `ad`, right ones.
"""

import numpy as np
import pytest
from problems.leastsquares import PROBLEMS
from problems.reference import plain
from scipy.optimize import least_squares


def each(problems):
    return pytest.mark.parametrize("problem", [pytest.param(p, id=f"{p.number}-{p.start.size}") for p in problems])


def sum_of_squares(problem, x):
    residuals, _ = problem.model(x, *problem.data)
    return residuals @ residuals


def has_digits(x, printed):
    """Whether a number could be printed like this, cut off or rounded."""
    mantissa = printed.partition("e")[0]
    digits = len(mantissa.replace(".", "").lstrip("0"))
    published = float(printed)
    last = 10.0 ** (np.floor(np.log10(abs(published))) + 1 - digits)
    return abs(x - published) < last * (1.0 + 1e-12)


@each([p for p in PROBLEMS if p.programs])
def test_programs_compute_the_model(problem):
    """At a point that is not the start, too."""
    rng = np.random.default_rng(problem.number)
    for x in (problem.start, problem.start * rng.uniform(0.9, 1.1, problem.start.size) + 0.01):
        expected = sum_of_squares(problem, x)
        for program in problem.programs:
            assert plain(program)(x.copy(), *problem.data) == pytest.approx(expected, rel=1e-9)


@each([p for p in PROBLEMS if p.at_start])
def test_value_at_start(problem):
    assert has_digits(sum_of_squares(problem, problem.start), problem.at_start)


@each([p for p in PROBLEMS if p.minimizer is not None])
def test_gradient_is_zero_at_known_minimizer(problem):
    residuals, jacobian = problem.model(problem.minimizer, *problem.data)
    assert residuals @ residuals < 1e-18
    np.testing.assert_allclose(jacobian.T @ residuals, 0.0, atol=1e-9 * np.abs(jacobian).max())


@each(PROBLEMS)
def test_search_finds_the_published_minimum(problem):
    """Biggs' is a saddle: a search that starts with x1 = x5 and x3 = x6 must keep to that."""
    start = problem.near if problem.near is not None else problem.start
    found = least_squares(
        lambda x: problem.model(x, *problem.data)[0],
        start,
        jac=lambda x: problem.model(x, *problem.data)[1],
        method="dogbox",
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=2000,
    )
    value = sum_of_squares(problem, found.x)
    if float(problem.minimum) == 0.0:
        assert value < 1e-12
    else:
        assert has_digits(value, problem.minimum)


def test_all_problems_are_there():
    assert {p.number for p in PROBLEMS if p.programs} == set(range(1, 36))
