"""Calls under `ad.remat`: nothing of their inside is recorded, the reverse sweep runs them again."""

import math
from typing import NamedTuple

import numpy as np
from cases import case, values
from numba import njit

import ad

WEIGHTS = np.array([0.5, -1.25, 2.0])


class Model(NamedTuple):
    c: float
    d: float


@ad.remat
def rate(x, n):
    s = x
    for _ in range(n):
        s = math.sin(s) * s + 0.3 * x
    return s


@ad.remat
@njit
def rate_compiled(x, y):
    s = 0.0
    while s < 2.0:
        s += x * x + y
        if s > 1.0:
            x = 0.5 * x * s
    return x * s


@njit
@ad.remat
def energy(u):
    s = 0.0
    for x in u:
        s += math.sin(s) * x * x
    return s + u[0]


@ad.remat
def step(u, c):
    """Not written to, but its parameter is given to another array."""
    for _ in range(2):
        u = u + c * np.sin(u)
    return u


@ad.remat
def stencil(u, k):
    """Swaps two arrays of its own, and returns one that it writes to."""
    v = u.copy()
    w = np.empty_like(u)
    for _ in range(3):
        for i in range(1, len(v) - 1):
            w[i] = v[i] + k * v[i] * (v[i - 1] - 2.0 * v[i] + v[i + 1])
        w[0] = v[1]
        w[-1] = v[-2]
        v, w = w, v
    return v


@ad.remat
def outer(u, c):
    """Marked functions in a marked one."""
    s = rate(c, 2)
    for _ in range(2):
        u = step(u * 0.9, s)
        s = s * 0.5 + energy(u) * 0.1
    return u * s


@ad.remat
def of_a_model(m, u):
    return m.c * np.sum(u * u) + m.d * u[0] * m.c


@ad.remat
def applied(f, u, c):
    v = f(u, c)
    return v[1:] * v[:-1]


@ad.remat
def weighted(u):
    v = u * u
    return np.sum(v[:3] * WEIGHTS)


@ad.remat
def power(x, n):
    if n == 0:
        return 1.0 + 0.1 * x
    return x * power(x, n - 1)


@ad.remat
def turned(z, c):
    for _ in range(3):
        z = z * z * c
    return z


@ad.remat
def count(u):
    n = 0
    for x in u:
        if x > 0.0:
            n += 1
    return n


@ad.remat
def both_ways(a, c):
    if a[0] * c > 0.0:
        b = a * c
        return b
    return np.cos(a)


@ad.remat
def table(a, x):
    b = np.outer(a, a) * x
    b[1, 0] = b[0, 0] * b[1, 1]
    return b


def recorded(x, n):
    for _ in range(n):
        x = x * math.sin(x)
    return x


@ad.remat
def passes_on(x, n):
    """The last thing that it does is a call that records."""
    return recorded(x, n)


@ad.remat
def pair(a, b, x):
    return np.sin(a) * b * x + a * a


@case(0.7, 5)
def numbers(x, n):
    t = x
    for k in range(n):
        t = t + rate(t * 0.1, k)
        if t > 1.0:
            t = rate(t * 0.5, 2) * t
    return t * rate(t, 1)


@case(0.8, 3)
def a_call_at_the_end(x, n):
    return passes_on(x, n) * passes_on(x * x, 2)


@case(0.4, 0.3)
def compiled(x, y):
    s = rate_compiled(x, y)
    for _ in range(3):
        x = 0.3 * s * x
        s = rate_compiled(x * x + 0.4, y * s * 0.1 + 0.3)
    return s


@case(values(5), 0.7)
def read_arrays(u, x):
    s = 0.0
    v = u * x
    for i in range(3):
        s += energy(v) * x
        v[i] = s * v[i + 1]
    return s


@case(values(6), 0.2, 4, spill=(values(3000), 0.2, 12))
def time_steps(u, c, n):
    for _ in range(n):
        u = step(u, c)
    return np.sum(u * u)


@case(values(6), 0.2, 4)
def steps_in_place(u, c, n):
    """What is called gives a new array to a name that is also written to."""
    u = u.copy()
    for _ in range(n):
        u[0] = 0.5 * u[1] * c
        u = step(u, c)
        u[-1] = u[0] * u[1]
    return np.sum(u * step(u, c))


@case(values(6), 0.1, 3, spill=(values(3000), 0.001, 12))
def stencils(u, k, n):
    old = u
    for _ in range(n):
        new = stencil(old, k)
        old = new + 0.1 * old
    return np.sum(old * u)


@case(values(4), 0.3)
def nested(u, c):
    for _ in range(2):
        u = outer(u, c)
    return np.sum(u)


@case(values(3), 0.6, 0.2)
def tuples(u, c, d):
    m = Model(c, d)
    s = of_a_model(m, u)
    m = Model(s * 0.1, m.c)
    return of_a_model(m, u * s)


@case(values(5), 0.3)
def functions(u, c):
    v = applied(step, u, c)
    return np.sum(applied(stencil, v, c))


@case(values(5))
def constants(u):
    return weighted(u) * weighted(u[1:])


@case(1.3, 4)
def recursion(x, n):
    return power(x, n) * power(x * x * 0.5, 2)


@case(values(3), values(3, start=5), 0.4)
def complex_numbers(a, b, c):
    w = turned(a + 1j * b, c - 0.2j)
    return np.sum(np.abs(w) ** 2) + (w[0] * c).imag


@case(values(3).astype(np.float32), 0.5, single=True)
def single_precision(u, c):
    for _ in range(3):
        u = step(u, np.float32(0.25))
    return np.sum(u) * c


@case(values(5))
def whole_numbers(u):
    return count(u) * u[0] * u[count(u * u[1]) % 3]


@case(values(4), 0.7, name="one way")
@case(values(4), -0.7, name="the other way")
def branches(a, c):
    b = both_ways(a, c)
    b[0] = b[0] * c
    return np.sum(b * both_ways(b, c))


@case(values(3), 0.4)
def within_expressions(a, x):
    return np.sum(table(a, x)[1] * table(step(a, x), table(a, x)[0, 0])[:, 1]) + np.sum(step(a, 0.1)[1:]) * x


@case(values(4), 0.3)
def twice_the_same(a, x):
    """Both arguments are one array."""
    b = pair(a, a, x)
    return np.sum(b * pair(b, a, b[0]))


@case(values(4), 0.3)
def without_derivative(a, x):
    """Where no derivative passes, a call is a call."""
    k = step(np.arange(4) * 0.1, 0.3)
    s = 0.0
    while np.sum(step(k, 0.1)) < 4.0:
        k = k * 1.5
        s += x * energy(a)
    return s * np.sum(k)
