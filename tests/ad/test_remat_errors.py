"""What `ad.remat` does not take is refused, at its line, with what to write instead."""

import inspect
import math

import numpy as np
import pytest

import ad

U = np.linspace(0.1, 1.0, 5)


@pytest.mark.parametrize("what", [3, math.sin, np.sin, int])
def test_what_is_no_such_function(what):
    with pytest.raises(ad.ADTypeError, match=r"what ad\.remat decorates must be a plain Python function"):
        ad.remat(what)


@ad.custom_vjp(lambda g, ans, x: 2.0 * g * x)
def square(x):
    return x * x


def test_a_function_with_rules_of_its_own():
    with pytest.raises(ad.ADTypeError, match=r"square\(\) has rules of its own"):
        ad.remat(square)


@ad.remat
def writes(u, c):
    u[0] = c  # writes
    return np.sum(u)


@ad.remat
def writes_a_second_name(u, c):
    v = u[1:]
    v *= c  # writes a second name
    return np.sum(u)


@ad.remat
def returns_nothing(u, c):
    u[0] = c  # the last one


@ad.remat
def returns_its_argument(u, c):
    return u  # returned


@ad.remat
def returns_a_part(u, c):
    v = u[1:]
    return v  # returned part


@ad.remat
def may_return_its_argument(u, n):
    for _ in range(int(n)):
        u = u * 2.0
    return u  # may be


@ad.remat
def returns_two(u, c):
    return u * c, c  # two


@ad.remat
def returns_a_constant(u, c):
    return WEIGHTS  # constant


@ad.remat
def recursive(x, n):
    if n == 0:
        return x * WEIGHTS[0]
    return recursive(x, n - 1)


WEIGHTS = np.ones(3)


def call(function):
    def f(u, c):
        return np.sum(function(u, c)) * c

    return f


@pytest.mark.parametrize(
    ("function", "text", "message"),
    [
        (writes, "# writes", r"writes\(\) writes to its argument u, .* work on a copy"),
        (writes_a_second_name, "# writes a second", "writes to its argument u"),
        (returns_nothing, "# the last", "returns None: under ad.remat a function returns one number or one new array"),
        (returns_its_argument, "# returned", r"returns may be u itself or a part of it: .* write \.copy\(\)"),
        (returns_a_part, "# returned part", "u itself or a part"),
        (may_return_its_argument, "# may be", "u itself or a part"),
        (returns_two, "# two", "several results are not supported: under ad.remat"),
        (returns_a_constant, "# constant", "WEIGHTS itself or a part"),
    ],
)
def test_refused(function, text, message):
    with pytest.raises(ad.UnsupportedSyntax, match=message) as caught:
        ad.grad(call(function), "u")(U[:4], 0.5)
    lines, first = inspect.getsourcelines(function)
    assert caught.value.lineno == first + next(k for k, line in enumerate(lines) if text in line)


def test_refused_where_it_calls_itself():
    def f(x, c):
        return recursive(x, 3) * c

    with pytest.raises(
        ad.UnsupportedSyntax, match=r"recursive\(\) calls itself, so it must get WEIGHTS as an argument"
    ):
        ad.grad(f, "x")(0.3, 0.5)


def test_refused_inside_of_a_function():
    def f(x, c):
        @ad.remat
        def within(y):
            return y * c

        return within(x)

    def g(x, c):
        def within(y):
            return y * c

        return applied(within, x)

    with pytest.raises(ad.UnsupportedSyntax, match="define what it marks in the module"):
        ad.grad(f, "x")(0.3, 0.5)
    with pytest.raises(ad.UnsupportedSyntax, match=r"applied\(\) is given a function as f that is defined inside"):
        ad.grad(g, "x")(0.3, 0.5)


@ad.remat
def applied(f, x):
    return f(x) * x
