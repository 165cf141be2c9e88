"""Single precision, ints, bools and complex numbers."""

import math

import numpy as np
from cases import case, values

F4 = np.float32


@case(values(4).astype(F4), values(4, start=4).astype(F4), single=True)
def single_arrays(a, b):
    c = a * b + a
    return np.sum(c * c)


@case(values(4).astype(F4), single=True)
def single_in_place(a):
    for i in range(1, len(a)):
        a[i] = a[i - 1] * a[i] + a[i]
    return a[3] * a[1]


@case(values(4).astype(F4), values(4, start=4), 0.7, single=True)
def single_and_double(a, b, x):
    c = a * b
    c[0] += a[1] * x
    return np.sum(c * a)


@case(values(4), values(4, start=4).astype(F4), single=True)
def double_is_written_into_single(a, b):
    b[:] = a * a
    b[1:] *= a[1:]
    b[0] = a[0] * b[1]
    return np.sum(b * a)


@case(F4(0.7), F4(1.3), single=True)
def single_numbers(x, y):
    return math.sin(x * y) + x / y


@case(F4(0.7), 1.3, 3, single=True)
def single_and_double_numbers(x, y, n):
    s = x
    for i in range(n):
        s = s * x + y
    return s * x


@case(0.7, 4, single=True)
def single_work_array(x, n):
    a = np.zeros(n, dtype=np.float32)
    for i in range(n):
        a[i] = x**i
    return np.sum(a * a) * x


@case(values(4), single=True)
def through_single_precision(a):
    b = a.astype(np.float32)
    c = b.astype(np.float64)
    return np.sum(b * c) + np.float64(np.float32(a[0])) * a[1]


@case(values(4), np.arange(4))
def ints_in_an_array(a, k):
    b = a * k + k
    s = 0.0
    for i in range(4):
        s += a[i] * k[i] / (k[i] + 1)
    return np.sum(b * b) + s


@case(values(4), np.arange(4), 3)
def ints_are_written(a, k, n):
    for i in range(n):
        k[i] = k[i] * 2 + n
        k[3] += i
    s = 0.0
    for i in range(4):
        s += a[i] * k[i]
    return s * s


@case(values(4), np.array([3, 1, 2, 1]), 2)
def integer_powers(a, k, n):
    return np.sum(a**k) + np.sum(a**n) + a[0] ** k[0] + a[1] ** (n + 1)


@case(values(4), np.array([True, False, True, True]))
def bool_array(a, mask):
    s = 0.0
    for i in range(4):
        if mask[i]:
            s += a[i] * a[i]
    return s + np.sum(a[mask]) + np.sum(np.where(mask, a * a * a, 1.0))


@case(values(4), True)
@case(values(4), False, name="false")
def flag(a, forward):
    s = 1.0
    if forward:
        for i in range(4):
            s = s * a[i] + 1.0
    else:
        for i in range(3, -1, -1):
            s = s * a[i] - 1.0
    return s


@case(2.7, 3)
def conversions(x, n):
    k = int(x)
    y = float(n) * x + k * x
    z = np.float64(n) * x + np.int64(x) * x
    return y * z + x * bool(n)


@case(7, 2, 1.3)
def integer_arithmetic(n, m, x):
    q, r = n // m, n % m
    b = (n << 1) ^ m | 1
    return x**q + r * x + b * x * x - (n & m) * x + (-n // m) * x + abs(m - n) * x


@case(0.7, 1.3)
def complex_numbers(x, y):
    z = complex(x, y)
    w = z * z + 1j * z - z / (1.0 + 2.0j)
    return w.real * w.imag + abs(w)


@case(0.7, 1.3, 5)
def complex_iteration(x, y, n):
    c = complex(x, y) * 0.3
    z = 0j
    for i in range(n):
        z = z * z + c
    return (z * z.conjugate()).real


@case(values(4), values(4, start=4))
def complex_arrays(a, b):
    z = a + 1j * b
    w = np.exp(z) * np.conj(z)
    return np.sum(w.real * w.imag) + np.sum(np.abs(z * z))


@case(values(4), 0.7)
def complex_work_array(a, x):
    z = np.zeros(4, dtype=np.complex128)
    for i in range(4):
        z[i] = a[i] * (1.0 + x * 1j)
    z *= z
    s = z[0] * z[1].conjugate() + z[2]
    return s.real - 2.0 * s.imag


@case(values(8))
def discrete_fourier_transform(a):
    n = len(a)
    power = 0.0
    for k in range(n):
        s = 0j
        for j in range(n):
            s += a[j] * np.exp(-2j * np.pi * k * j / n)
        power += (k + 1) * (s.real**2 + s.imag**2)
    return power


@case(np.asfortranarray(values(3, 4)), 0.7)
def fortran_order(a, x):
    for i in range(3):
        for j in range(4):
            a[i, j] = a[i, j] * x + a[i - 1, j]
    return np.sum(a * a) + a[1, 2]


@case(values(4, 8)[::2, ::2], values(8)[::2], 0.7)
def not_contiguous(a, b, x):
    a[1, 2] = x * b[1]
    b *= a[0]
    c = a.copy()
    c[0] = b
    return np.sum(a * c) + np.sum(b * b)


@case(values(2, 4).T, values(8)[::-1])
def transposed_and_reversed(a, b):
    s = 0.0
    for i in range(4):
        for j in range(2):
            s += a[i, j] * b[2 * i + j] * a[i - 1, j]
            b[i] = s * 0.1
    return s * b[2]


@case(np.array(1.3), 0.7)
def array_without_dimensions(a, x):
    y = a[()] * x
    a[()] = y * y
    return a[()] * x
