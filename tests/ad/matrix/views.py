"""Views of arrays that nobody writes to: their adjoints are views of adjoints."""

import math

import numpy as np
from cases import case, values


@case(values(3, 4), values(4))
def rows_in_a_loop(w, x):
    for k in range(len(w)):
        row = w[k]
        x = np.tanh(x * row + row[0])
    return np.sum(x)


@case(values(3, 4), values(2))
def rows_in_another_shape(w, x):
    for k in range(len(w)):
        r = w[k].reshape(2, 2)
        x = np.tanh(x * r[0] + r[1])
    return np.sum(x)


@case(np.asfortranarray(values(3, 4)), values(2))
def rows_in_another_shape_of_columns(w, x):
    for k in range(len(w)):
        r = np.reshape(w[k], (2, -1))
        x = np.tanh(x * r[0] + r[1])
    return np.sum(x) + w[0, 0] * w[2, 3]


@case(values(3, 4), values(4))
def read_by_elements(w, x):
    s = 0.0
    for k in range(len(w)):
        row = w[k]
        for j in range(len(row)):
            s += row[j] * x[j] * w[k, 0]
    return s * s


@case(values(3, 4))
def made_before_the_loop(w):
    first, last = w[0], w[-1]
    s = 0.0
    for j in range(4):
        s += first[j] * math.sin(last[j] + s)
    return s + np.sum(w * w)


@case(values(3, 4), 1)
def made_before_a_branch(w, k):
    row = w[k]
    if row[0] > 0.0:
        s = np.sum(row * row)
    else:
        s = np.sum(row)
    return s * w[0, 0]


@case(values(3, 4), 1)
def made_in_a_branch(w, k):
    if k > 0:
        row = w[k]
        s = np.sum(row * row) + row[1]
    else:
        row = w[0]
        s = np.sum(row) * row[2]
    return s * np.sum(w[2])


@case(values(3, 4), 3)
def in_a_branch_of_a_loop(w, n):
    s = 1.0
    for k in range(n):
        row = w[k]
        for j in range(1, 4):
            if row[j] > row[j - 1]:
                s += row[j] * s * 0.3
            else:
                s = s * row[j - 1]
    return s


@case(values(2, 3, 4))
def views_of_views(w):
    s = 0.0
    for k in range(2):
        plane = w[k]
        for i in range(3):
            row = plane[i]
            part = row[1:]
            s += np.sum(part * part) * row[0] + np.sum(plane) * 0.1
    return s


@case(values(3, 4))
def turned(w):
    t = w.T
    column = t[1]
    part = column[::-1]
    return np.sum(t[0] * part) + np.sum(t * t)


@case(values(3, 4), values(4))
def of_what_was_computed(w, x):
    s = 0.0
    for k in range(3):
        y = w * x + k
        row = y[k]
        half = row[:2]
        s += np.sum(half * half) + np.sum(y) * row[3]
    return s


@case(values(3, 4), np.array([2, 0, 1]))
def at_an_index_that_is_read(w, order):
    s = 1.0
    for k in range(3):
        at = order[k]
        row = w[at]
        s = s * 0.5 + np.sum(row * row) * s
    return s


@case(values(3, 4), 0)
def at_an_index_that_changes(w, k):
    s = 1.0
    for _ in range(3):
        row = w[k]
        k = (k + 2) % 3
        s = s * 0.5 + np.sum(row * row) * s
    return s


@case(values(3, 4), 2)
def of_an_array_that_changes(w, n):
    s = 1.0
    for _ in range(n):
        row = w[1]
        w = w * 0.5 + 0.1
        s += np.sum(row * row) * s + np.sum(w[1] * row)
    return s


@case(values(3, 4), 3)
def carried_to_the_next_trip(w, n):
    row = w[0]
    s = 1.0
    for k in range(n):
        s += np.sum(row * w[k]) * s
        row = w[k]
    return s * np.sum(row)


def product(a, b):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * b[i] * a[0]
    return s


def product_with_a_row(a, b, k):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * b[k, i] * b[0, i]
    return s


@case(values(3, 4))
def given_to_a_function(w):
    row, other = w[0], w[1]
    alone = w[2]
    return product(row, other) * product(alone, alone * 2.0) + product_with_a_row(row, w, 1)


@case(values(3, 4), 5)
def left_early(w, n):
    s = 1.0
    for k in range(n):
        if k == len(w):
            break
        row = w[k]
        s += np.sum(row * row) * s * row[1]
    return s


@case(values(3, 4))
def while_rows_last(w):
    s = 1.0
    k = 0
    while k < len(w) and s < 50.0:
        row = w[k]
        s += np.sum(row * row) * s
        k += 1
    return s


@case(values(4, 4).astype(np.float32), single=True)
def of_single_precision(w):
    s = 0.0
    for k in range(4):
        row = w[k]
        s += float(row[0]) * float(row[k])
    return s


@case(values(3, 4), values(3, 4, start=20))
def of_complex_numbers(x, y):
    w = x + 1j * y
    s = 0.0
    for k in range(3):
        row = w[k]
        s += np.sum(np.abs(row * row[0]) ** 2)
    return s
