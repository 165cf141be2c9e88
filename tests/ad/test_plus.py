"""Sums that compilers may add up in any order."""

import platform
import re

import numpy as np
import pytest
from interpreter import interpreted_gradient as interpreted
from numba import njit

import ad
from ad.plus import plus

RNG = np.random.default_rng(23)


def parameters(u, a, b):
    total = 0.0
    for i in range(1, len(u)):
        d = a * u[i] - b * u[i - 1]
        total += d * d
    return total


def counted(u, a, b):
    total = 0.0
    for i in range(len(u)):
        total += u[i] * a * i - b
    return total


def by_hand(u, a, b):
    d = a * u[1:] - b * u[:-1]
    return np.sum(2.0 * d * u[1:]), -np.sum(2.0 * d * u[:-1])


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 1000])
def test_adjoints_of_parameters(n):
    u = RNG.normal(size=n)
    a, b = 0.7, 0.4
    _, interpreted_found, text = interpreted(parameters, (u, a, b), (1, 2))
    assert "a_b = plus(a_b, " in text and "b_b = plus(b_b, " in text
    for found in (ad.grad(parameters, wrt=("a", "b"))(u, a, b), interpreted_found):
        np.testing.assert_allclose(found, by_hand(u, a, b), rtol=1e-12, atol=1e-12)


def test_whole_numbers_in_what_is_added():
    u = RNG.normal(size=20)
    found = ad.grad(counted, wrt=("a", "b"))(u, 0.7, 0.4)
    np.testing.assert_allclose(found, (np.sum(u * np.arange(20)), -20.0), rtol=1e-13)


def test_what_is_not_finite_stays_so():
    u = np.ones(50)
    u[30] = np.inf
    assert np.isnan(ad.grad(parameters, wrt="a")(u, 1.0, 1.0))
    u[30] = np.nan
    assert np.isnan(ad.grad(parameters, wrt="a")(u, 1.0, 1.0))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64"), reason="vectors of another kind")
def test_it_is_added_up_in_vectors():
    @njit
    def total(x):
        found = 0.0
        for i in range(len(x)):
            found = plus(found, x[i] * x[i])
        return found

    assert total(np.full(1001, 2.0)) == 4004.0
    [text] = total.inspect_llvm().values()
    assert re.search(r"fadd reassoc nsz <\d+ x double>", text)
