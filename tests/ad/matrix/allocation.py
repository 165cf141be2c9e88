"""Arrays that the program makes."""

import math

import numpy as np
from cases import case, values


@case(0.7, 4)
def zeros(x, n):
    a = np.zeros(n)
    a[1] = x * x
    a[n - 1] = a[1] * x
    return np.sum(a * a) + a[0]


@case(0.7, 4)
def empty(x, n):
    a = np.empty(n)
    for i in range(n):
        a[i] = x**i
    return np.sum(a * a)


@case(0.7, 3)
def ones_and_full(x, n):
    a = np.ones(n)
    b = np.full(n, x * x)
    a *= b
    b[0] = a[1] * x
    c = np.full((2, n), 0.5)
    c[1] = b
    return np.sum(a * b) + np.sum(c * c)


@case(values(2, 3), 0.7)
def like(a, x):
    b = np.zeros_like(a)
    c = np.ones_like(a)
    d = np.empty_like(a)
    e = np.full_like(a, x)
    b[0] = a[1] * x
    c *= a
    d[:] = b + c
    return np.sum(b * c) + np.sum(d * d * e)


@case(values(3), 0.7)
def copies(a, x):
    b = a.copy()
    c = np.copy(a)
    b[0] = x
    c *= b
    return np.sum(a * b * c)


@case(0.7, 5)
def arange(x, n):
    k = np.arange(n)
    t = np.arange(0.0, 2.0, 0.5)
    s = 0.0
    for i in range(4):
        s += k[i] * t[i] * x
    return s + np.sum(x ** np.arange(1, n)) + np.sum(np.arange(2.0, 5.0) * x)


@case(0.7, 5)
def linspace(x, n):
    t = np.linspace(0.0, 1.0, n)
    return np.sum(np.exp(-x * t) * t)


@case(0.5, 2.0, 5)
def linspace_between_variables(a, b, n):
    t = np.linspace(a, b, n)
    return np.sum(t * t * np.arange(n))


@case(0.7, 3, 4)
def matrices(x, n, m):
    a = np.zeros((n, m))
    b = np.ones((m, n))
    for i in range(n):
        a[i, i] = x * (i + 1)
        b[i] *= x
    return np.sum(a.T * b) + np.sum(np.eye(n) * x * x)


@case(0.7, 1.3)
def array_of_numbers(x, y):
    a = np.array([x, x * y, 2.0, y])
    b = np.array([[x, 1.0], [y, x * x]])
    a[2] = b[1, 1]
    return np.sum(a * a) + b[0, 0] * b[1, 0] + b.sum()


@case(values(3), 4, spill=(values(40), 100))
def allocated_in_a_loop(a, n):
    s = 0.0
    for i in range(n):
        work = np.zeros(len(a))
        for j in range(len(a)):
            work[j] = math.sin(a[j] * (i + 1)) + math.cos(s)
        s += np.sum(work * work)
    return s


@case(values(4), 3)
def history(a, n):
    record = np.zeros((n + 1, len(a)))
    record[0] = a
    for t in range(n):
        record[t + 1] = np.sin(record[t]) + 0.1 * a
    return np.sum(record[-1] * record[0])


@case(values(5))
def size_from_the_data(a):
    n = 0
    for x in a:
        if x > 0.0:
            n += 1
    kept = np.empty(n)
    k = 0
    for x in a:
        if x > 0.0:
            kept[k] = x * x
            k += 1
    return np.sum(kept * np.arange(1.0, n + 1.0))


@case(values(4))
def int_and_bool_arrays(a):
    count = np.zeros(4, dtype=np.int64)
    flags = np.zeros(4, dtype=np.bool_)
    for i in range(4):
        count[i] = i * i
        flags[i] = a[i] > 0.0
    s = 0.0
    for i in range(4):
        if flags[i]:
            s += a[i] * count[i]
    return s * s


@case(values(4), 0.7)
@case(values(4), -0.7, name="other")
def allocated_in_a_branch(a, x):
    if x > 0.0:
        b = np.zeros(4)
        b[1] = x
    else:
        b = np.ones(4) * x
    b += a
    return np.sum(b * b)


@case(values(3), 0.7)
def replaced_by_zeros(a, x):
    s = np.sum(a * a)
    a = np.zeros(3)
    a[0] = x * s
    return np.sum(a * a)


@case(values(3), 3)
def reset_in_a_loop(a, n):
    work = np.empty(3)
    total = 0.0
    for t in range(n):
        work[:] = 0.0
        for i in range(3):
            work[i] += a[i] * (t + 1) + total
        total += np.sum(work * work) * 0.1
    return total


@case(values(4), 0)
@case(values(4), 3, name="some")
def of_length_zero(a, n):
    b = np.zeros(n)
    for i in range(n):
        b[i] = a[i] * a[i]
    return np.sum(b) + np.sum(a[:n]) + a[0]
