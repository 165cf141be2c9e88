"""Loops over ``prange``, with all that their trips may do."""

import math

import numba
import numpy as np
from cases import case, values
from numba import prange

import ad

TABLE = np.array([0.3, -0.7, 1.1, 0.4])


@case(values(7), 0.7, spill=(values(4000), 0.7))
def a_sum(x, a):
    s = 0.0
    for i in prange(len(x)):
        z = a * x[i]
        s += math.exp(-z * z) * math.sin(z)
    return s


@case(values(7), 0.7)
@numba.njit(parallel=True)
def compiled_with_threads(x, a):
    s = 0.0
    for i in numba.prange(len(x)):
        s += math.cos(a * x[i])
    return s * s


@case(values(7), 0.7)
@numba.njit
def compiled_without_threads(x, a):
    s = 1.0
    for i in prange(len(x)):
        s *= math.cos(a * x[i])
    return s * s


@case(values(6), values(2), 5, spill=(values(60) * 0.1, values(2), 150))
def a_time_loop_in_each_trip(x, w, n):
    s = 0.0
    for i in prange(len(x)):
        z = x[i]
        for t in range(n):
            z = z - w[t % 2] * math.sin(z) * x[i - 1]
        s += z * z
    return s


@case(values(9), 4, spill=(values(300) * 0.1, 40))
def a_stencil_in_a_time_loop(u, n):
    u = u.copy()
    v = np.empty_like(u)
    for _ in range(n):
        v[0] = u[0]
        v[-1] = u[-1]
        for i in prange(1, len(u) - 1):
            v[i] = u[i] + 0.2 * (u[i - 1] - 2.0 * u[i] + u[i + 1]) * (1.0 + u[i])
        u, v = v, u
    return np.sum(u * u)


@case(values(5, 4), 3, spill=(values(30, 20) * 0.1, 20))
def a_stencil_in_two_dimensions(u, n):
    v = u.copy()
    for _ in range(n):
        for i in prange(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                v[i, j] = u[i, j] * (u[i - 1, j] + u[i + 1, j]) - math.sin(u[i, j - 1] * u[i, j + 1])
        u, v = v, u
    return np.sum(u * u * v)


@case(values(5, 4), values(4), 3, spill=(values(60, 20) * 0.1, values(20), 20))
def in_place(u, w, n):
    for t in range(n):
        for i in prange(len(u)):
            for j in range(len(w)):
                u[i, j] = u[i, j] * w[j] + math.sin(u[i, j - 1])
    return np.sum(u * u)


@case(values(4, 6))
def columns(u):
    out = np.zeros(u.shape)
    for j in prange(u.shape[1]):
        out[:, j] = u[:, j] * u[0, j]
        out[1, j] += np.sum(u[:, j])
    return np.sum(out * out)


@case(values(5, 4), values(4))
def rows_by_name(u, w):
    for i in prange(len(u)):
        row = u[i]
        part = row[1:]
        part[0] *= row[3]
        row *= w
        row[2] += part[1] * w[0]
    return np.sum(u * u)


def scale(row, a):
    for j in range(len(row)):
        row[j] *= a * row[j - 1]
    return row[0]


@case(values(5, 4), 0.7)
def rows_as_arguments(u, a):
    s = 0.0
    for i in prange(len(u)):
        s += scale(u[i], a) * u[i, 1]
    return s + np.sum(u)


@case(values(6, 3), values(4, 3), values(4))
def whole_arrays_in_a_trip(x, w, b):
    s = 0.0
    for i in prange(len(x)):
        z = np.tanh(w @ x[i] + b)
        z[1] *= b[0]
        s += np.sum(z * z) * z[2]
    return s


@case(values(6), 5)
def work_arrays(x, n):
    s = 0.0
    for i in prange(len(x)):
        z = np.empty(n)
        z[0] = x[i]
        for k in range(1, n):
            z[k] = math.sin(z[k - 1] * x[i - 1])
        y = np.zeros(2)
        y[0] = z[n - 1]
        y[1] = y[0] * x[i]
        s += y[1] * z[2] + y[0]
    return s


@case(values(5), 4)
def work_arrays_that_change_places(x, n):
    s = 0.0
    for i in prange(len(x)):
        a = np.full(n, x[i])
        b = np.zeros(n)
        for _ in range(3):
            for k in range(n):
                b[k] = a[k] * a[k - 1] + x[k]
            a, b = b, a
        s += a[1] * b[2]
    return s


@case(values(9), 0.3)
def decisions(x, a):
    s = 0.0
    for i in prange(len(x)):
        z = x[i]
        if z > a:
            z *= a
        elif z < -a:
            z = math.sin(z)
            if z * a < 0.1:
                continue
        s += z * (a if i % 2 else z)
    return s


@case(values(9), 1.4)
def while_in_a_trip(x, a):
    s = 0.0
    for i in prange(len(x)):
        z, k = x[i] + 2.0, 0
        while z > 0.5:
            z = z * z / (z + a)
            k += 1
            if k > 6:
                break
        s += z + k * x[i]
    return s


@case(values(40), 0.77 * values(3))
def many_decisions(x, a):
    s = 0.0
    for i in prange(len(x)):
        z = x[i]
        for k in range(11):
            if z > a[k % 3]:
                z -= a[k % 3] * z
            else:
                z += 0.1
        s += z * z
    return s


@case(values(8), values(5), np.array([3, 0, 4, 0, 1, 1, 2, 3]))
def by_index_array(x, w, at):
    s = 0.0
    for i in prange(len(x)):
        s += x[i] * w[at[i]] * TABLE[at[i] % 4]
    return s


@case(values(12), 1.3)
def with_steps(x, a):
    s = 0.0
    out = np.zeros(12)
    for i in prange(1, 12, 3):
        out[i] = a * x[i] * x[i - 1]
        s += out[i]
    for i in prange(11, 0, -2):
        out[i] += x[i] * out[i]
    return s + np.sum(out * x)


@case(values(7), 0)
@case(values(7), 1, name="one")
@case(values(7), 7, name="all")
def few_trips(x, n):
    out = x.copy()
    s = 0.0
    for i in prange(n):
        out[i] = x[i] ** 2
        s += x[i] * x[0]
    return s + np.sum(out)


@case(values(7))
def from_the_end(x):
    out = x.copy()
    for i in prange(-3, 3):
        out[i] = out[i] * out[i] + 0.5
    return np.sum(out * x)


@case(values(8), 3)
def from_a_variable(x, first):
    out = x.copy()
    for i in prange(first, len(x)):
        out[i] = x[i] * x[i - first]
    return np.sum(out * out)


@case(values(6), 0.7)
def names_used_elsewhere(x, a):
    z = a * a
    i = 3
    s = z * math.sin(z)
    for i in prange(len(x)):
        z = x[i] * a
        s += z * z
    for i in prange(3):
        z = x[i] - a
        s -= z * s_of(z)
    z = s * x[2]
    for i in range(2):
        s += z * x[i]
    return s * z


def s_of(z):
    return z * math.cos(z)


@case(values(6), 3)
def a_sum_in_a_time_loop(x, n):
    s = 0.5
    for t in range(n):
        s = s * s * x[t]
        for i in prange(len(x)):
            s += math.sin(x[i]) * x[t]
        s = math.cos(s)
    return s


@case(values(6), 3)
def what_the_time_loop_computes(x, n):
    s = 0.5
    for t in range(n):
        c = math.sin(s + t)
        r = 0.0
        for i in prange(len(x)):
            r += math.exp(c * x[i])
        s += r * c
    return s


@case(values(6), True)
@case(values(6), False, name="other branch")
def in_a_branch(x, squares):
    s = 1.0
    if squares:
        for i in prange(len(x)):
            s += x[i] * x[i]
    else:
        s = x[0]
    return s * s


def energy(x, a):
    e = 0.0
    for i in prange(len(x)):
        e += a * x[i] * x[i - 1]
    return e


@case(values(6), 0.7)
def in_a_called_function(x, a):
    return energy(x, a) * energy(x[1:], a * a)


@case(values(4), values(3), 0.7)
def in_one_another(x, y, a):
    s = 0.0
    for i in prange(len(x)):
        for j in prange(len(y)):
            s += x[i] * y[j] * math.sin(a * x[i])
        s += energy(y, x[i])
    return s


@case(values(5), 0.7)
def several_sums(x, a):
    s, n, d = 0.0, 0, 1.0
    for i in prange(len(x)):
        if x[i] > 0.0:
            n += 1
            d -= a * x[i]
        s = s + x[i] * x[i]
        s = a * x[i] + s
    return s / n + d * s


@case(values(5), values(5, start=5), 0.7)
def complex_sums(x, y, a):
    s = 0.0 + 0.0j
    z = x + 1j * y
    for i in prange(len(x)):
        s += z[i] * z[i - 1] * a
    return (s * s).real + abs(s)


@case(values(6).astype(np.float32), values(6), single=True)
def single_precision(x, y):
    s = 0.0
    out = np.zeros(6, np.float32)
    for i in prange(len(x)):
        out[i] = 0.5 * x[i]
        s += out[i] * y[i]
    return s + np.sum(out)


@case((values(5), 0.7), values(2))
def tuples(p, w):
    x, a = p
    s = 0.0
    for i in prange(len(x)):
        u, v = x[i] * a, x[i - 1]
        u, v = v * w[0], u * w[1]
        s += u * v * v
    return s


@ad.remat
def again(z, a):
    for _ in range(3):
        z = math.sin(z * a)
    return z


@case(values(5), 0.7)
def calls_that_are_run_again(x, a):
    s = 0.0
    for i in prange(len(x)):
        s += again(x[i], a) * a
    return s


def mean(x, a):
    s = 0.0
    for y in x:
        if y > a:
            s += y * y
    return s / len(x)


@case(values(4, 5), 0.2)
def calls_with_sweeps_of_their_own(x, a):
    s = 0.0
    for i in prange(len(x)):
        s += mean(x[i], a) * mean(x[0], x[i, 1])
    return s


@case(values(12))
def no_derivative(x):
    n = np.zeros(len(x))
    k = 0
    for i in prange(len(x)):
        n[i] = math.floor(i * 1.5)
        k += i
    s = 0.0
    for i in range(len(x)):
        s += n[i] * x[i] ** 2
    return s * k


@case(values(6), values(6, start=6))
def views_of_one_array(x, y):
    a = x * y
    a[2] = 0.5
    head, tail = a[:-1], a[1:]
    s = 0.0
    for i in prange(len(tail)):
        s += head[i] * tail[i] ** 2
    return s + np.sum(a)


@case(values(40), 3)
def neighbours(u, n):
    for _ in range(n):
        s = 0.0
        for i in prange(2, len(u) - 3):
            s += u[i - 2] * u[i] - u[i + 3] ** 2 * u[i + 1]
        u = u * math.sin(s)
    return np.sum(u)


@case(values(5), values(5, start=5))
def what_nothing_needs(x, y):
    out = np.zeros(5)
    for i in prange(5):
        out[i] = x[i] * y[i]
    for i in prange(5):
        out[i] = y[i] * y[i - 1]
    return np.sum(out * x)
