"""Calls of other functions, plain and compiled: they write their arguments, return arrays, views and tuples."""

import math

import numpy as np
from cases import case, values
from numba import njit


def scale(a, x):
    """Writes its argument."""
    for i in range(len(a)):
        a[i] *= x


@njit
def scale_compiled(a, x):
    a *= x
    return a[0]


def step(u, new, k):
    for i in range(1, len(u) - 1):
        new[i] = u[i] + k * (u[i - 1] - 2.0 * u[i] + u[i + 1])
    new[0] = u[0]
    new[-1] = u[-1]


@njit
def energy(u):
    s = 0.0
    for x in u:
        s += 0.5 * x * x
    return s


def curve(a, x):
    return np.sin(a) * x


def split(x, y):
    return x * y, x + y


def itself(a):
    return a


def tail(a):
    return a[1:]


def larger(a, b):
    if a[0] > b[0]:
        return a
    return b


def complex_power(z, w):
    s = z
    for _ in range(3):
        s = s * z * w
    return s


@case(0.8, -0.6)
def complex_arguments(x, y):
    """A real number becomes part of a complex argument."""
    z = complex_power(x + 0.5j, complex_power(0.3 + 1j * y, x - 0.2j))
    return z.real * z.imag + abs(z)


@case(values(4), 0.7)
def writes_its_argument(a, x):
    scale(a, x)
    scale(a, a[0])
    return np.sum(a * a)


@case(values(4), 0.7)
def compiled_writes_its_argument(a, x):
    y = scale_compiled(a, x)
    scale_compiled(a, y)
    return np.sum(a * a) * y


@case(values(6), 0.7)
def writes_a_view(a, x):
    scale(a[1:3], x)
    scale(a[::2], a[1])
    w = a[3:]
    scale_compiled(w, 2.0 * x)
    return np.sum(a * a) + w[0]


@case(values(3, 4), 0.7)
def writes_a_row(a, x):
    for i in range(3):
        scale(a[i], x + i)
    scale(a[:, 1], x)
    return np.sum(a * a)


@case(values(6), 0.1, 4, spill=(values(60), 0.1, 100))
def time_loop(u, k, n):
    v = np.empty_like(u)
    for t in range(n):
        step(u, v, k)
        u, v = v, u
    return energy(u)


@case(values(6), 0.1, 3)
def time_loop_with_energy(u, k, n):
    v = np.zeros(len(u))
    total = 0.0
    for t in range(n):
        step(u, v, k)
        total += energy(v) * energy(u)
        u[:] = v
    return total


@case(values(4), 0.7)
def array_is_returned(a, x):
    b = curve(a, x)
    c = curve(curve(b, 2.0), x * x)
    b[0] = c[1] * c[2]
    return np.sum(b * c)


@case(0.7, 1.3)
def tuple_is_returned(x, y):
    p, q = split(x, y)
    p, q = split(p, q * p)
    pair = split(q, x)
    return p * q + pair[0] * pair[1]


@case(values(4), 0.7)
def argument_is_returned(a, x):
    b = itself(a)
    b[1] = x * a[0]
    a[2] *= b[1]
    return np.sum(a * b)


@case(values(5), 0.7)
def view_is_returned(a, x):
    w = tail(a)
    w[0] = x * a[0]
    v = tail(tail(w))
    v *= w[1]
    return np.sum(a * a) + v[0]


@case(values(3), values(3, start=3), 0.7)
@case(values(3, start=3), values(3), 0.7, name="other")
def one_of_two_is_returned(a, b, x):
    c = larger(a, b)
    c[1] = x * c[0]
    c *= 2.0
    return np.sum(a * a) + np.sum(b * a)


def made(n, x):
    a = np.zeros(n)
    for i in range(n):
        a[i] = x**i
    return a


@case(0.7, 4)
def new_array_is_returned(x, n):
    a = made(n, x)
    b = made(n, a[1] + 0.5)
    a[0] *= b[2]
    return np.sum(a * b)


def center_and_scale(a):
    mean = np.sum(a) / len(a)
    deviation = a - mean
    size = math.sqrt(np.sum(deviation * deviation))
    return deviation / size, mean, size


@case(values(5))
def arrays_and_numbers_are_returned(a):
    b, mean, size = center_and_scale(a)
    b[0] += mean
    return np.sum(b * b * b) + size * mean


def outer_level(a, x):
    scale(a, x)
    return middle_level(a) * x


def middle_level(a):
    a[0] = inner_level(a[1], a[2])
    return np.sum(a * a)


def inner_level(x, y):
    return x * y + math.tanh(x)


@case(values(4), 0.7)
def calls_of_calls(a, x):
    y = outer_level(a, x)
    return y + outer_level(a, y * 0.1)


@case(values(4), 0.7)
def same_array_twice(a, x):
    return np.sum(curve(a, x) * add(a, a))


def add(a, b):
    return a + b * b


def sum_of_squares(a, b=None, weight=2.0):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * a[i]
    if b is not None:
        for i in range(len(b)):
            s += weight * b[i] * b[i]
    return s


@case(values(3), values(3, start=3), 0.7)
def defaults_and_keywords(a, b, x):
    return sum_of_squares(a) * sum_of_squares(a, b) + sum_of_squares(b, b=a, weight=x)


def normalise(a, x, n):
    """Rebinds its own names: the caller's are not touched."""
    a = a * x
    x = x * 2.0
    n = n + 1
    a[0] = x
    return np.sum(a * a) * n


@case(values(3), 0.7, 3)
def names_of_the_callee_are_its_own(a, x, n):
    y = normalise(a, x, n)
    return y + normalise(a, x, n + 2) + np.sum(a) * x * n


def early(a, limit):
    s = 0.0
    for i in range(len(a)):
        a[i] *= 2.0
        s += a[i] * a[i]
        if s > limit:
            return s
    a[0] = s
    return -s


@case(values(4), 2.0)
@case(values(4), 99.0, name="late")
def callee_returns_early(a, limit):
    y = early(a, limit)
    return y * early(a, 0.1 * limit) + np.sum(a)


def without_result(a, x):
    if x > 0.5:
        a[1] = x * a[0]
        return
    a[2] = x


@case(values(4), 0.7)
@case(values(4), 0.3, name="other")
def callee_returns_nothing(a, x):
    without_result(a, x)
    without_result(a, x * x)
    return np.sum(a * a)


def derivative(t, y, rate):
    dy = np.empty_like(y)
    dy[0] = y[1]
    dy[1] = -rate * y[0] + 0.1 * math.cos(t)
    return dy


def runge_kutta(t, y, h, rate):
    k1 = derivative(t, y, rate)
    k2 = derivative(t + 0.5 * h, y + 0.5 * h * k1, rate)
    k3 = derivative(t + 0.5 * h, y + 0.5 * h * k2, rate)
    k4 = derivative(t + h, y + h * k3, rate)
    return y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


@case(np.array([1.0, 0.5]), 2.0, 0.1, 5, spill=(np.array([1.0, 0.5]), 2.0, 0.01, 500))
def ode(y, rate, h, n):
    for i in range(n):
        y = runge_kutta(i * h, y, h, rate)
    return y[0] * y[1] + y[0] ** 2


def two_arrays(a, b, x):
    a[0], b[0] = b[0] * x, a[0]
    b += a
    return a, b


@case(values(3), values(3, start=3), 0.7)
def two_arguments_are_returned(a, b, x):
    c, d = two_arrays(a, b, x)
    d, c = two_arrays(d, c, x * 2.0)
    return np.sum(a * b) + c[0] * d[1]


def position(a, x):
    for i in range(len(a)):
        if a[i] > x:
            return i
    return 0


@case(values(5), 0.3, np.array([True, False, True, False, False]))
def calls_in_indices(a, x, mask):
    s = x
    for i in range(3):
        a[position(a, x)] = s * a[position(a, 0.5) - 1]
        a[position(a, x) : position(a, s) + 2] *= x
        a[(position(a, s) + i) % 5] += s * x
        mask[position(a, s)] = mask[position(a, x)] or mask[position(a, 0.1) - 1]
        if a[i] < s or mask[position(a, s)]:
            s += a[position(a, x)]
    return s * np.sum(a)


def first_large(u, v, n):
    for i in range(n):
        if u[i] * v[i] > 0.5:
            return u
    return v


@case(values(4), values(4, start=7), 3)
@case(values(4), values(4, start=2), 3, name="one in the loop")
@case(values(4), values(4), 4, name="the other in the loop")
@case(values(4), values(4, start=5), 0, name="no trip")
def array_returned_from_within_loops(a, b, n):
    w = first_large(a, b, n)
    w[0] *= b[1]
    return np.sum(a * b) + w[1] * w[2]


def smooth_until(u, limit):
    steps = 0
    while True:
        if np.sum(u * u) < limit:
            return 2.0 * u, steps
        u = 0.5 * (u + np.roll(u, 1))
        steps += 1
        if steps > 4:
            return u, steps


@case(values(5), 1.0)
@case(values(5), 1e-9, name="at most")
def tuple_returned_from_within_a_loop(a, limit):
    u, steps = smooth_until(a, limit)
    return np.sum(u * a) * steps + u[0]
