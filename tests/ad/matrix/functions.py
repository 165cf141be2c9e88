"""Functions that call themselves, local functions, closures, and functions as arguments."""

import math

import numpy as np
from cases import case, values
from numba import njit


def power(x, n):
    if n == 0:
        return 1.0
    return x * power(x, n - 1)


@case(1.3, 5)
def recursion(x, n):
    return power(x, n) + power(x * x, 2)


def quick_power(x, n):
    if n <= 0:
        return 1.0
    half = quick_power(x, n // 2)
    if n % 2 == 0:
        return half * half
    return half * half * x


@case(1.3, 11)
def recursion_with_branches(x, n):
    return quick_power(x, n)


def fibonacci(x, n):
    if n < 2:
        return x + n
    return fibonacci(x, n - 1) * 0.9 + fibonacci(x, n - 2) * x


@case(0.7, 6)
def recursion_twice(x, n):
    return fibonacci(x, n)


def pairwise(a, low, high):
    if high - low == 1:
        return a[low] * a[low]
    middle = (low + high) // 2
    return pairwise(a, low, middle) + math.sin(pairwise(a, middle, high))


@case(values(7))
def recursion_on_an_array(a):
    return pairwise(a, 0, len(a))


def transform(a, start, size):
    """Writes its argument, recursively."""
    if size == 1:
        return 0.0
    half = size // 2
    top = transform(a, start, half) + transform(a, start + half, half)
    for i in range(half):
        p, q = a[start + i], a[start + half + i]
        a[start + i] = p + q
        a[start + half + i] = (p - q) * p
    return top + a[start]


@case(values(8))
def recursion_that_writes(a):
    s = transform(a, 0, 8)
    return s * np.sum(a * a)


@case(values(4), 0.7)
def local_function(a, x):
    def damped(y):
        return y * math.exp(-x * x)

    s = 0.0
    for y in a:
        s += damped(y * y)
    return s * damped(2.0)


@case(0.7)
def local_lambda(x):
    square = lambda y: y * y  # noqa: E731
    return square(x) + square(square(x) + 1.0)


@njit
def bump(y):
    return 1.0 / (1.0 + y * y)


@njit
def wave(y):
    return math.sin(3.0 * y)


@njit
def integral(f, low, high, n):
    h = (high - low) / n
    s = 0.5 * (f(low) + f(high))
    for i in range(1, n):
        s += f(low + i * h)
    return s * h


@case(0.3, 1.7, 5)
def function_as_argument(low, high, n):
    return integral(bump, low, high, n) * integral(wave, low, high, n)


@case(bump, 0.7, name="bump")
@case(wave, 0.7, name="wave")
def function_as_an_argument_of_the_program(f, x):
    return f(x) * f(f(x) + 1.0)


@case(values(4), 0.5)
def local_function_as_argument(a, x):
    def inner(y):
        return y * y + 0.5

    return integral(inner, x, a[0] + 2.0, 4) * a[1]


def make_model(table, rate, shape):
    """A closure over an array, a number and a function."""

    def closure(x, n):
        s = x
        for i in range(n):
            s = shape(s * table[i % 3]) + rate * x
        return s

    return closure


case(0.7, 4)(make_model(np.array([0.5, -1.5, 2.0]), 0.25, bump))


def make_update(width):
    half = width // 2

    def moving_average(a, x):
        b = np.zeros(len(a))
        for i in range(half, len(a) - half):
            for j in range(-half, half + 1):
                b[i] += a[i + j] * x
        return np.sum(b * b)

    return moving_average


case(values(6), 0.7)(make_update(3))


def apply_twice(f, a, x):
    f(a, x)
    f(a[1:], x * x)
    return a[1]


def scale_by(a, x):
    a *= x


def add_to(a, x):
    for i in range(len(a)):
        a[i] += x * i


@case(values(4), 0.7)
def functions_that_write_as_arguments(a, x):
    y = apply_twice(scale_by, a, x)
    return apply_twice(add_to, a, y) * np.sum(a * a)
