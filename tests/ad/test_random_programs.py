"""Random programs of the subset: their adjoints, run as plain Python, agree with dual numbers."""

import math

import numpy as np
import pytest

import ad

WRT = [(0, 1, 3, 4), (0,), (1, 4), (0, 3)]


def arguments(seed):
    rng = np.random.default_rng(seed)
    x, y = (float(v) for v in 0.8 * rng.normal(size=2))
    return x, y, int(rng.integers(0, 4)), 0.6 * rng.normal(size=3), 0.6 * rng.normal(size=3)


def compare(value, found, expected_value, expected, text):
    assert value == expected_value or math.isclose(value, expected_value, rel_tol=1e-12, abs_tol=1e-14), text
    for mine, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-9, atol=1e-11, err_msg=text)


@pytest.mark.parametrize("block", range(20))
def test_interpreted(block, random_program, dual_gradient, interpreted_gradient):
    for seed in range(20 * block, 20 * block + 20):
        f, text = random_program(seed)
        args, wrt = arguments(seed), WRT[seed % len(WRT)]
        expected_value, expected = dual_gradient(f, args, wrt)
        value, found, source = interpreted_gradient(f, args, wrt)
        compare(value, found, expected_value, expected, f"seed {seed}\n{text}\n{source}")


@pytest.mark.parametrize("seed", range(100_000, 100_012))
def test_compiled(seed, random_program, dual_gradient):
    f, text = random_program(seed)
    args, wrt = arguments(seed), WRT[seed % len(WRT)]
    expected_value, expected = dual_gradient(f, args, wrt)
    gradient = ad.value_and_grad(f, wrt)
    value, found = gradient(*args)
    compare(value, found, expected_value, expected, f"seed {seed}\n{text}\n{gradient.source}")
