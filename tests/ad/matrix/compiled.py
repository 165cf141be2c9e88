"""Programs that are compiled already, with options of Numba."""

import math

import numpy as np
from cases import case, values
from numba import njit


@case(values(5), 4, spill=(values(80), 60))
@njit
def in_place(u, n):
    for t in range(n):
        for i in range(1, len(u)):
            u[i] = math.sin(u[i - 1]) + 0.5 * u[i]
    return np.sum(u * u)


@case(values(4), values(4, start=4))
@njit(cache=False, nogil=True)
def whole_arrays(a, b):
    c = np.exp(-a * a) * b
    c[1:] += a[:-1]
    return np.sum(c * c)


@case(values(5), 0.7)
@njit(boundscheck=True)
def bounds_are_checked(a, x):
    w = a[1:]
    for i in range(len(w)):
        w[i] *= x + a[i]
    return np.sum(a * a)


@case(values(5), 0.7)
@njit(error_model="numpy")
def division_of_numpy(a, x):
    s = 0.0
    for y in a:
        s += y / (x + y * y)
    return s / x


@case(values(5), 0.7)
@njit(fastmath=True)
def fast_mathematics(a, x):
    s = 0.0
    for i in range(len(a)):
        s = s * x + a[i] * a[i]
        a[i] = s
    return s * a[2]


@njit(inline="always")
def inlined(a, x):
    a[0] = a[1] * x
    return a[0] + x


@case(values(5), 0.7)
@njit
def compiled_calls_compiled(a, x):
    return inlined(a, x) * inlined(a[1:], x) + np.sum(a * a)
