"""Random programs of all kinds, against dual numbers: what the tests and `ci/random_programs.py` share."""

import math

import numpy as np
from interpreter import interpreted_gradient
from randomarrays import array_arguments, random_array_program
from randomprogram import random_program
from randomsteering import random_steered_program, steered_arguments
from reference import assert_near, dual_gradient, fresh

import ad


def scalar_arguments(seed):
    rng = np.random.default_rng(seed)
    x, y = (float(v) for v in 0.8 * rng.normal(size=2))
    return x, y, int(rng.integers(0, 4)), 0.6 * rng.normal(size=3), 0.6 * rng.normal(size=3)


KINDS = {
    "scalars": (random_program, scalar_arguments, [(0, 1, 3, 4), (0,), (1, 4), (0, 3)]),
    "arrays": (random_array_program, array_arguments, [(0, 1, 2, 3), (0,), (2, 3), (1, 2)]),
    "steered": (random_steered_program, steered_arguments, [(0, 1, 2, 5), (0,), (2, 5), (1, 2)]),
}
"""The generator, its arguments, and what is differentiated with respect to by turns."""


def made(kind, seed):
    """A random program, its text, arguments for it, and the positions of those to differentiate with respect to."""
    generate, arguments, wrt = KINDS[kind]
    return *generate(seed), arguments(seed), wrt[seed % len(wrt)]


def compiled_gradient(f, args, wrt):
    gradient = ad.value_and_grad(f, wrt)
    value, found = gradient(*args)
    return value, found, gradient.source


def check(kind, seed, gradient=interpreted_gradient):
    """Compare a gradient with dual numbers: AssertionError where it is wrong, with the program; else what it raises."""
    f, text, args, wrt = made(kind, seed)
    expected_value, expected = dual_gradient(f, args, wrt)
    value, found, source = gradient(f, fresh(args), wrt)
    note = f"\n{kind}, seed {seed}\n{text}\n{source}"
    assert math.isclose(value, expected_value, rel_tol=1e-12, abs_tol=1e-13), f"{value}, not {expected_value}{note}"
    assert_near(list(found), expected, rtol=1e-9, atol=1e-11, note=note)
