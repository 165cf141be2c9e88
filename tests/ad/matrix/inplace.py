"""Elements and slices of arrays are written in place."""

import math

import numpy as np
from cases import case, values


@case(values(4), 0.7)
def one_element(a, x):
    a[1] = x * a[0]
    return a[1] * a[1] + a.sum()


@case(values(4), 0.7)
def one_element_twice(a, x):
    a[1] = x * a[1]
    a[1] = a[1] * a[1] + x
    return a[1] * a[0]


@case(values(4), 0.7)
def negative_index(a, x):
    a[-1] = a[-1] * x + a[-2]
    a[-len(a)] = a[-1] ** 2
    return a[0] + a[3]


@case(values(5))
def element_augmented(a):
    a[0] += a[1]
    a[1] -= a[0] * a[0]
    a[2] *= a[1]
    a[3] /= 1.5 + a[2] * a[2]
    a[4] **= 2
    return a[0] * a[1] + a[2] * a[3] + a[4] * a[0]


@case(values(5))
def element_squares_itself(a):
    for i in range(len(a)):
        a[i] *= a[i]
        a[i] += a[i]
    return a[0] + 2.0 * a[1] * a[2] + a[3] * a[4]


@case(values(6), spill=(values(3000),))
def recurrence(a):
    for i in range(1, len(a)):
        a[i] = math.sin(a[i - 1]) * a[i] + 0.5
    return a[len(a) - 1]


@case(values(6))
def recurrence_down(a):
    for i in range(len(a) - 2, -1, -1):
        a[i] += 0.5 * a[i + 1] * a[i + 1]
    return a[0] * a[1]


@case(values(6), 0.7)
def overwritten_by_constants(a, x):
    s = a[0] * a[2]
    a[0] = 3.0
    a[2] = 1
    s += a[0] * x + a[1] * a[2]
    return s * s


@case(values(3, 4), 0.7)
def two_dimensions(a, x):
    for i in range(3):
        for j in range(4):
            a[i, j] = a[i, j] * x + a[i - 1, j - 1]
    return a[2, 3] * a[0, 0]


@case(values(3, 4), spill=(values(40, 80),))
def two_dimensions_chained(a):
    s = 0.0
    for i in range(1, a.shape[0]):
        for j in range(1, a.shape[1]):
            a[i][j] = math.cos(a[i - 1][j] + a[i][j - 1]) + 0.1 * a[i][j]
            s += a[i][j] ** 2
    return s


@case(values(2, 3, 2))
def three_dimensions(a):
    for i in range(2):
        for j in range(1, 3):
            for k in range(2):
                a[i, j, k] *= a[i, j - 1, k] + 1.0
    return a[1, 2, 1] + a[0, 2, 0] * a[1, 1, 0]


@case(values(3, 4), 0.7)
def rows_and_columns(a, x):
    a[0] = a[1] * x
    a[:, 1] = a[:, 2] * a[:, 0]
    a[2, :] += a[0]
    a[:, 3] *= x
    return (a * a).sum()


@case(values(3, 4))
def a_row_by_a_number(a):
    x = a[0, 0] * a[1, 1]
    a[1] = x
    a[:, 2] = x * x
    a[2, 1:3] = 0.5
    return np.sum(a * a[0])


@case(values(6), 0.7)
def slice_is_written(a, x):
    a[1:4] = a[2:5] * x
    a[:2] = a[4:] + a[:2]
    a[-2:] = x
    return (a**2).sum() + a[1] * a[2]


@case(values(7))
def strided_slices(a):
    a[::2] = a[::2] * a[0]
    a[1::2] += a[:6:2]
    a[::-1] *= np.arange(7.0)
    a[5:1:-2] = a[0:2]
    return np.sum(a * a)


@case(values(6))
def overlapping_slices(a):
    a[1:] = a[:-1] * 2.0
    a[:-1] = a[1:]
    a[2:] = a[:-2]
    a[:-2] += a[2:]
    a[1:] -= 0.5 * a[:-1]
    a[:] = a[::-1]
    return np.sum(a * a * np.arange(6.0))


@case(values(6), without_numba="Numba reads what it has just written")
def overlapping_slices_augmented(a):
    a[2:] += a[:-2]
    return np.sum(a * a)


@case(values(3, 3), without_numba="Numba reads what it has just written")
def augmented_by_its_own_row(a):
    a *= a[0]
    a += a.T
    return np.sum(a * a)


@case(values(5), 0.7)
def whole_array_augmented(a, x):
    a += x
    a *= a
    a -= a * x
    a /= 2.0 + x
    a **= 2
    return a.sum()


@case(values(5))
def array_times_itself(a):
    a *= a
    a *= a
    return np.sum(a * np.arange(5.0))


@case(values(5))
def array_plus_and_minus_itself(a):
    a += a
    s = np.sum(a * a)
    a -= a
    return s + a.sum()


@case(values(4), values(4, start=4))
def augmented_by_an_array(a, b):
    a += b * a
    b *= a
    a -= b
    a /= b * b + 1.0
    return (a * b).sum()


@case(values(3, 4), values(4, start=3), values(3, start=8))
def augmented_by_broadcasting(a, row, column):
    a *= row
    a += column.reshape(3, 1)
    a -= 0.5
    return np.sum(a * a * a)


@case(values(3, 4), values(4, start=3))
def slices_augmented(a, b):
    a[1:, 1:3] *= b[2:]
    a[0] -= b
    a[:, 0] += a[:, 3] * a[:, 0]
    a[::2, ::2] **= 2
    return (a * b).sum()


@case(values(6), 0.7)
def everything_is_overwritten(a, x):
    s = np.sum(a * a)
    a[:] = x * s
    s += a[3] ** 2
    a[...] = 2.0
    return s + a[1] * x


@case(values(3, 3), 1.5)
def whole_matrix_is_overwritten(a, x):
    s = a[0, 1] * a[1, 0]
    a[:, :] = a.T * x
    s += a[0, 1] ** 2
    a[:] = a[0] * a
    return s + a[2, 1] * a[1, 1]


@case(values(5), 0.7)
def filled(a, x):
    s = a[0] * x
    a.fill(s)
    a[2] = a[1] * a[3]
    return a.sum() * x


@case(values(5))
def elements_are_swapped(a):
    a[0], a[3] = a[3], a[0]
    a[1], a[2] = a[2] * a[0], a[1]
    return a[0] + 2.0 * a[1] + 3.0 * a[2] * a[3]


@case(values(6))
def bubble_sort(a):
    n = len(a)
    for i in range(n):
        for j in range(n - 1 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    s = 0.0
    for i in range(n):
        s += (i + 1) * a[i] ** 2
    return s


@case(values(4), 3, spill=(np.abs(values(30)), 200))
def stencil_in_place(u, steps):
    for t in range(steps):
        for i in range(1, len(u) - 1):
            u[i] = u[i] + 0.1 * (u[i - 1] - 2.0 * u[i] + u[i + 1]) - 0.05 * u[i] * u[i]
    return (u * u).sum()


@case(values(6), 3)
def array_is_read_in_conditions(a, n):
    for t in range(n):
        for i in range(len(a)):
            if a[i] > a[i - 1]:
                a[i] = a[i] * 0.5
            else:
                a[i - 1] += a[i] * a[i]
    return np.sum(a)


@case(values(5), np.array([1.0, 2.0, 4.0]))
def polynomial_in_place(a, c):
    r = c.copy()
    for x in a:
        for k in range(len(r) - 2, -1, -1):
            r[k] += x * r[k + 1]
    return r[0] * r[1]


@case(values(3, 3) + 2.0 * np.eye(3), values(3))
def gaussian_elimination(a, b):
    n = len(b)
    for k in range(n):
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            for j in range(k, n):
                a[i, j] -= factor * a[k, j]
            b[i] -= factor * b[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]
    return b[0] * b[1] + b[2] ** 2


@case(values(4, 3), 2)
def rows_are_updated_by_rows(a, n):
    for t in range(n):
        for i in range(1, 4):
            a[i] -= 0.5 * a[i - 1] * a[i]
        a[0] = a[3] / 2.0
    return np.sum(a[0] * a[2])


@case(np.array([2.6, 5.3, 0.4]), 1.5)
def place_from_the_array_itself(u, k):
    for i in range(3):
        u[int(u[0]) % 2] *= k
        u[int(u[1]) % 2 : int(u[1]) % 2 + 2] += k * u[1]
        w = u[::-1]
        w[int(abs(u[2])) % 3] = 0.1 * u[1] * k
    return np.sum(u * u)


@case(values(4), np.array([2, 0, 1, 3]), np.array([True, False, True, True]), 0.7)
def array_is_its_own_index(u, idx, mask, x):
    s = 0.0
    for k in range(3):
        s += np.sum(u[idx] ** 2 * np.arange(4.0)) + np.sum(u[mask] ** 3)
        idx[idx] = np.array([1, 2, 3, 0])
        u[mask] *= x
        mask[mask] = False
        mask[k] = True
    return s + np.sum(u)


@case(values(5), np.array([0, 2, 1]), np.array([True, False, True]), 0.7)
def places_found_by_what_changes_later(a, idx, mask, x):
    s = x
    for k in range(3):
        s = math.sin(s + np.sum(a[idx]))
        idx[np.count_nonzero(mask) % 3] = k
        mask[k] = not mask[k - 1]
    return s
