"""Reductions and scans, whole and along axes."""

import numpy as np
from cases import case, values

NO_AXIS = "Numba has no axis for this function"


@case(values(3, 4))
def sums(a):
    return np.sum(a) * a.sum() + np.sum(a * a)


@case(values(3, 4))
def sums_along_axes(a):
    rows, columns = np.sum(a, axis=1), a.sum(axis=0)
    return np.sum(rows * rows) + np.sum(columns * columns * columns)


@case(values(2, 3, 4))
def sums_of_three_dimensions(a):
    b = a.sum(axis=1)
    c = np.sum(a, axis=2)
    d = np.sum(np.sum(a * a, axis=0), axis=0)
    return np.sum(b * b) + np.sum(c * c) + np.sum(d * d)


@case(values(3, 4))
def sums_along_a_negative_axis(a):
    b = np.sum(a, axis=-1)
    return np.sum(b * b * b) + np.sum(b * a[:, 1])


@case(values(3, 4))
def normalised_rows(a):
    e = np.exp(a)
    p = e / np.sum(e, axis=1).reshape(3, 1)
    return -np.sum(p * np.log(p) * a)


@case(values(3, 4), without_numba="Numba has no keepdims")
def dimensions_are_kept(a):
    p = a - a.mean(axis=1, keepdims=True)
    return np.sum(p * p * a) + np.sum(a * np.sum(a, axis=0, keepdims=True))


@case(values(5))
def products(a):
    return np.prod(a) + a.prod() * np.prod(a[:3])


@case(np.array([0.5, 0.0, 2.0]))
def product_with_a_zero(a):
    return np.prod(a) + a[0]


@case(values(3, 4), without_numba=NO_AXIS)
def products_along_axes(a):
    return np.sum(np.prod(a, axis=1)) + np.sum(a.prod(axis=0) * a[0])


@case(values(3, 4))
def means(a):
    return np.mean(a) * a.mean() + np.mean(a * a) * np.mean(a[0])


@case(values(3, 4), without_numba=NO_AXIS)
def means_along_axes(a):
    center = a - np.mean(a, axis=0)
    return np.sum(center * center * a) + np.sum(a.mean(axis=1) ** 2)


@case(values(3, 4))
def largest_and_smallest(a):
    return np.max(a) * np.min(a) + a.max() * a[0, 0] + a.min() ** 2 + np.amax(a[1]) * np.amin(a[:, 2])


@case(values(3, 4), without_numba=NO_AXIS)
def largest_and_smallest_along_axes(a):
    return np.sum(np.max(a, axis=1) * np.arange(3.0)) + np.sum(a.min(axis=0) ** 2)


@case(values(6))
def variances(a):
    return np.var(a) + a.std() * a[0] + np.std(a) * a.var()


@case(values(3, 4), without_numba=NO_AXIS)
def variances_along_axes(a):
    return np.sum(np.var(a, axis=0) * a[0]) + np.sum(np.std(a, axis=1, ddof=1))


@case(values(6))
def log_sum_exp(a):
    top = np.max(a)
    return top + np.log(np.sum(np.exp(a - top)))


@case(values(6))
def standardised(a):
    z = (a - np.mean(a)) / np.std(a)
    return np.sum(z * z * z)


@case(values(5))
def cumulative_sums(a):
    b = np.cumsum(a)
    return np.sum(b * b) + a.cumsum()[2]


@case(values(5))
def cumulative_products(a):
    b = np.cumprod(a + 2.0)
    return np.sum(b) + b[3] * b[1]


@case(values(3, 4))
def cumulative_sums_along_axes(a):
    return np.sum(np.cumsum(a, axis=0) * a) + np.sum(np.cumsum(a, axis=1) ** 2) + np.sum(a.cumsum() ** 2)


@case(values(6))
def differences(a):
    d = np.diff(a)
    return np.sum(d * d) + np.sum(np.diff(a, 2) * a[1:5])


@case(values(3, 4))
def differences_of_rows(a):
    d = np.diff(a)
    return np.sum(d * d * d)


@case(values(3, 4), without_numba=NO_AXIS)
def differences_along_an_axis(a):
    return np.sum(np.diff(a, axis=0) ** 2 * a[1:])


@case(values(6), 2)
def rolled(a, n):
    b = np.roll(a, 1) + np.roll(a, -n) * a
    return np.sum(b * b)


@case(values(3, 4), without_numba=NO_AXIS)
def rolled_along_axes(a):
    return np.sum(np.roll(a, 1, axis=0) * np.roll(a, -1, axis=1) * a)


@case(values(5), 4)
def advection_by_rolling(u, n):
    for t in range(n):
        u = u - 0.2 * u * (u - np.roll(u, 1))
    return np.sum(u * u)


@case(values(5), 3, spill=(values(400), 20))
def reduction_in_a_loop(a, n):
    for t in range(n):
        a = a / np.sqrt(np.sum(a * a)) + np.mean(a) * np.cos(a)
    return np.sum(a * np.arange(len(a)))


@case(values(4, 3))
def reductions_of_rows_in_a_loop(a):
    s = 0.0
    for row in a:
        s += row.sum() * row.max() + np.prod(row)
        row /= np.sum(row * row)
    return s + np.sum(a * a)


@case(values(4, 5))
def reductions_of_slices(a):
    return np.sum(a[1:, 1:3]) ** 2 + a[::2].mean() * a[:, 0].sum() + np.max(a[:, -1]) * a[2].std()


@case(values(6))
def sum_by_loop_and_by_function(a):
    s = 0.0
    for x in a:
        s += x
    a *= s / np.sum(a * a)
    return np.sum(a * a * a)


@case(values(3, 4), without_numba=NO_AXIS)
def decisions_along_axes(a):
    low, some = np.any(a < -1.0, axis=1), (a > 0.0).all(axis=0)
    chosen = a[low]
    return np.sum(chosen * chosen) + np.sum(np.where(some, a[0], a[1] * a[2])) + np.sum(a[:, 0] ** 3)


@case(values(3, 4), without_numba="Numba has no keepdims")
def decisions_that_keep_dimensions(a):
    return np.sum(np.where(np.all(np.abs(a) < 1.0, axis=1, keepdims=True), a * a, a))


@case(0.7, 0.3, 2)
def reductions_of_numbers(x, y, n):
    s = np.sum(x * x) + np.mean(x) * np.max(y) + np.prod(x) * np.min(x)
    if np.any(x) and np.all(n > 1):
        s *= np.sum(n) + np.mean(n)
    return s * np.size(x)


@case(values(2, 3), without_numba="Numba has no np.ndim")
def shapes_by_functions(a):
    rows, columns = np.shape(a)
    b = np.zeros(np.shape(a.T))
    for i in range(rows):
        for j in range(columns):
            b[j, i] = a[i, j] * np.ndim(a) + np.size(b) * len(np.shape(b[0]))
    return np.sum(b * b) * (1 + len(np.shape(b[0, 0])) + np.ndim(b[0, 0]))
