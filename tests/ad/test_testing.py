"""`check_grads`: it accepts right gradients and says what is wrong with others."""

import math

import numpy as np
import pytest
from numba import njit

import ad


def smooth(a, x, n):
    s = x
    for i in range(n):
        s = math.sin(s) * x + a[i % len(a)] * s
    return s


A = np.array([0.5, -1.0, 0.25])


def test_right_gradient():
    found = ad.check_grads(smooth, (A, 0.7, 5))
    assert found.error < 1e-8
    assert len(found.rates) >= 3
    assert all(rate == pytest.approx(2.0, abs=0.1) for rate in found.rates[-3:])
    assert all(h > 0.0 and r > 0.0 for h, r in found.remainders)


def test_takes_gradients_and_wrt():
    assert ad.check_grads(ad.grad(smooth, wrt="x"), (A, 0.7, 5)).error < 1e-8
    assert ad.check_grads(smooth, (A, 0.7, 5), wrt=("x", "a")).error < 1e-8
    assert ad.check_grads(njit(smooth), (A, 0.7, 5), wrt=0).error < 1e-8


def test_functions_that_call_plain_ones():
    assert ad.check_grads(calling, (0.7, 0.3)).error < 1e-8


def helper(x, y):
    return math.sin(x * y)


def calling(x, y):
    return helper(x, y) * helper(y, x) + x


def test_linear_and_constant_functions():
    def linear(x, y):
        return 3.0 * x - y

    def constant(x):
        return 2.0 + 0.0 * x

    assert ad.check_grads(linear, (1.0, 0.0)).rates == ()
    assert ad.check_grads(constant, (1.0,)).error == 0.0


@njit
def slightly_wrong(x):
    return x * x


@njit
def wrong_in_second(x, y):
    return x * y


def uses_slightly_wrong(x, y):
    return slightly_wrong(x) + y


def uses_wrong_in_second(x, y):
    return wrong_in_second(x, y)


def test_wrong_rules_are_found():
    ad.defvjp(slightly_wrong, lambda g, ans, x: 2.0001 * g * x)
    with pytest.raises(AssertionError, match=r"uses_slightly_wrong\(\) with respect to 'x' is wrong.*defvjp"):
        ad.check_grads(uses_slightly_wrong, (1.5, 1.0))
    with pytest.raises(AssertionError, match=r"falls with order \d\.\d\d, not 2"):
        ad.check_grads(uses_slightly_wrong, (1.5, 1.0), rtol=1e-2)
    ad.defvjp(wrong_in_second, lambda g, ans, x, y: g * y, lambda g, ans, x, y: g)
    with pytest.raises(AssertionError, match="with respect to 'y' is wrong: in a random direction it gives"):
        ad.check_grads(uses_wrong_in_second, (1.5, 2.0))


def test_kink():
    def kink(x):
        return abs(x - 1.0)

    with pytest.raises(AssertionError, match="kink"):
        ad.check_grads(kink, (1.0,))


def test_bad_arguments():
    with pytest.raises(ad.ADTypeError, match="args is the tuple"):
        ad.check_grads(smooth, 3.0)
