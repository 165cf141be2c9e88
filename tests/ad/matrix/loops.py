"""Loops of every kind."""

import math

import numpy as np
from cases import case, values


@case(values(5), spill=(values(4000) * 0.01,))
def over_an_array(a):
    s = 1.0
    for x in a:
        s = math.sin(s * x) + x * x
    return s


@case(values(3, 4))
def over_rows(a):
    s = 0.0
    for row in a:
        s += row[0] * row[3] - row[1] ** 2
    return s


@case(values(3, 4))
def over_rows_and_elements(a):
    s = 0.5
    for row in a:
        for x in row:
            s = s * 0.5 + x * s
    return s


@case(values(2, 3, 2))
def over_planes(a):
    s = 0.0
    for plane in a:
        s += plane[1, 0] * plane[2, 1] + np.sum(plane)
        for row in plane:
            s *= row[0]
    return s


@case(values(4), spill=(values(4000),))
def with_enumerate(a):
    s = 1.0
    for i, x in enumerate(a):
        s = math.cos(s) * x + i * x * x
    return s


@case(values(4))
def enumerate_from(a):
    s = 0.0
    for i, x in enumerate(a, 1):
        s += x**i / i
    return s


@case(values(3, 2))
def enumerate_rows(a):
    s = 0.0
    for i, row in enumerate(a):
        for j, x in enumerate(row):
            s += (i + 1) * (j + 2) * x * x * x
    return s


@case(values(4), values(4, start=4), spill=(values(4000), values(4000, start=1)))
def with_zip(a, b):
    s = 0.5
    for x, y in zip(a, b):
        s = math.tanh(s * x + y) + x * y
    return s


@case(values(4), values(2, start=4), 0.3)
def zip_of_unequal_lengths(a, b, x):
    for p, q in zip(a, b):
        x = x * p + q
    return x


@case(values(4), values(4, start=3), values(4, start=7))
def zip_of_three(a, b, c):
    s = 0.0
    for x, y, z in zip(a, b, c):
        s += x * y * z
    return s


@case(values(3), values(3, start=3))
def enumerate_of_zip(a, b):
    s = 1.0
    for i, (x, y) in enumerate(zip(a, b)):
        s = s * x + y * i
    return s


@case(values(3), 4)
def zip_with_range(a, n):
    s = 0.0
    for i, x in zip(range(1, n), a):
        s += x**i
    return s


@case(values(6), 2.0)
@case(values(0), 2.0, name="empty")
@case(values(1), 2.0, name="one")
def down(a, x):
    s = x
    for i in range(len(a) - 1, -1, -1):
        s = s * a[i] + x
    return s


@case(values(7), 0.7, 5, 1, -2)
@case(values(7), 0.7, 1, 5, -2, name="none")
@case(values(7), 0.7, 0, 7, 3, name="up")
def any_step(a, x, start, stop, step):
    b = a.copy()
    for i in range(start, stop, step):
        b[i] = b[i] * x + b[i - 1]
        x = x * 0.5 + b[i] * b[i]
    return x + b.sum()


@case(values(5))
@case(values(0), name="zero trips")
def zero_trips_in_zero_trips(a):
    s = 1.0
    b = np.zeros(len(a) + 1)
    for i in range(len(a)):
        for j in range(i, 2):
            b[j] += a[i] * a[j]
        s += b[i] ** 2
    return s


@case(values(4), 1.5)
def while_with_index(a, x):
    i = 0
    while i < len(a):
        x = x * a[i] + 1.0
        i += 1
    return x


@case(3.0, spill=(1e140,))
def while_on_a_value(x):
    total = 0.0
    while x > 0.01:
        x *= 0.9
        total += math.sqrt(x) * x / (1.0 + x * x)
    return total


@case(values(8))
def while_in_while(a):
    i, s = 0, 1.0
    while i < len(a):
        j = i
        while j < len(a) and a[j] * a[i] > 0.0:
            s = s * 0.5 + a[j]
            j += 1
        i = j if j > i else i + 1
        s = s * a[i - 1]
    return s


@case(values(8), 0.3)
def while_with_two_ends(a, x):
    low, high = 0, len(a) - 1
    while low < high:
        x += a[low] * a[high] * x
        low += 1
        high -= 1
    return x


@case(2.0)
def while_true(x):
    n = 0
    while True:
        x = math.sqrt(x + 1.0)
        n += 1
        if n == 6:
            break
    return x


@case(values(4), 3, spill=(values(40), 60))
def triangular(a, n):
    s = 0.0
    for t in range(n):
        for i in range(len(a)):
            for j in range(i):
                s = math.sin(s + a[i] * a[j]) * 0.9
    return s


@case(values(4))
@case(values(4, start=1), name="other")
def loop_in_both_branches(a):
    s = a[0]
    if s > 0.5:
        for i in range(3):
            s = s * a[i] + 1.0
    else:
        while s < 2.0:
            s = s * s + 1.0
    return s


@case(values(6), np.array([0, 2, 2, 5]))
@case(values(6), np.array([5, 4, 5, 0]), name="more")
def bounds_from_an_array(a, offsets):
    s = 1.0
    for k in range(len(offsets) - 1):
        for i in range(offsets[k], offsets[k + 1]):
            s = s * 0.7 + a[i] * (k + 1) * s
    return s


@case(values(5), np.array([3, 0, 1]))
def over_an_array_of_ints(a, index):
    s = 0.0
    for k in index:
        s = s * a[k] + a[k] * k + a[4]
    return s


@case(1.3)
def over_a_tuple(x):
    s = 0.0
    for c in (1.0, -0.5, 0.25):
        s = s * x + c
    return s


@case(0.7, 4)
def loop_variable_is_read_after(x, n):
    for i in range(n):
        x = math.sin(x)
    return x * i


@case(values(4))
def element_is_read_after(a):
    y = 0.0
    for x in a:
        y += x * x
    return y * x


@case(values(5), 3)
def counters_of_their_own(a, n):
    total, k, sign = 0.0, 0, 1.0
    for _ in range(n):
        total += sign * a[k] ** 2
        k = (k + 2) % len(a)
        sign = -sign
    return total


@case(values(3, 3), spill=(values(50, 50),))
def nested_on_a_matrix(a):
    s = 1.0
    n, m = a.shape
    for i in range(n):
        for j in range(m):
            if i != j:
                s = 0.9 * s + math.sin(a[i, j] * a[j, i] * s) + 0.1 * a[i, j]
    return s


@case(values(6), 2)
def strided_blocks(a, size):
    s = 0.0
    for start in range(0, len(a), size):
        block = 1.0
        for i in range(start, min(start + size, len(a))):
            block *= a[i]
        s += block
    return s


@case(0.5, 0.01, 300)
def until_converged(x, tol, n):
    y = 1.0
    for i in range(n):
        old = y
        y = math.cos(y * x)
        if abs(y - old) < tol:
            break
    return y


@case(values(4), 2)
def trips_change_what_the_loop_was_made_with(a, n):
    s = 0.0
    for i, x in enumerate(a, n):
        n += 3
        s += i * x * x
    for i, x in zip(range(n, n + 9), a):
        n -= 1
        s += i * x
    for x, i in zip(a, range(0, 100, n)):
        n += 1
        s *= i + x
    for i in reversed(range(n)):
        n -= 1
        s += i * a[n % 4]
    return s


@case(values(6), 0.3)
def array_of_the_bound_is_replaced(u, x):
    s = 1.0
    for i in range(len(u)):
        s = math.sin(x + s * np.sum(u * u))
        u = x * u[1:]
    w, v = np.full(3, x), np.full(2, x)
    for i in range(w.shape[0], 0, -1):
        w[0] *= s
        w, v = v, w
        s += np.sum(w) * i
    return s
