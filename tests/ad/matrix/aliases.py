"""Two names for one memory: views, rows, transposes, swaps."""

import math

import numpy as np
from cases import case, values


@case(values(4), 0.7)
def second_name(a, x):
    b = a
    b[1] = x * a[0]
    a[0] = b[1] * b[1]
    return np.sum(a * b)


@case(values(5), 0.7)
def view_is_written(u, x):
    w = u[1:]
    w[0] = x * u[0]
    w[2] *= u[3]
    return np.sum(u * u) + w[0]


@case(values(5), 0.7)
def base_is_written(u, x):
    w = u[1:4]
    u[2] = x * w[0]
    s = w[1] * w[1]
    u[1:3] = w[1:] * x
    return s + np.sum(w * w)


@case(values(6))
def overlapping_views(u):
    low, high = u[:4], u[2:]
    low[3] = high[0] * high[3]
    high[1] += low[1]
    low *= high
    return np.sum(low * high) + u[5]


@case(values(8), 0.7)
def view_of_a_view(u, x):
    v = u[1:7]
    w = v[::2]
    w[1] = x * v[1]
    v[4] += w[0] * w[2]
    return np.sum(u * u)


@case(values(6), 0.7)
def reversed_view(u, x):
    w = u[::-1]
    w[0] = w[5] * x
    w[1:3] = u[1:3] * u[0]
    return np.sum(u * w * np.arange(6.0))


@case(values(3, 4), 0.7)
def row_is_a_view(a, x):
    row = a[1]
    row[2] = x * a[0, 0]
    a[1, 0] = row[2] * row[2]
    row *= 2.0
    return np.sum(a * a) + row[0]


@case(values(3, 4), 0.7)
def column_is_a_view(a, x):
    column = a[:, 2]
    column[1] = x * column[0]
    column += a[:, 0]
    a[2, 2] *= column[2]
    return np.sum(a * a) * column[1]


@case(values(3, 4))
def transpose_is_a_view(a):
    t = a.T
    t[1, 2] = t[0, 0] * a[1, 1]
    a[0] = t[:, 1] * a[0]
    return np.sum(t * t) + t[3, 0]


@case(values(2, 6), 0.7)
def reshape_is_a_view(a, x):
    flat = a.reshape(12)
    flat[7] = x * flat[0]
    b = flat.reshape(3, 4)
    b[2] *= a[0, 2]
    return np.sum(a * a) + b[1, 3]


@case(values(2, 3), 0.7)
def ravel_is_a_view(a, x):
    flat = a.ravel()
    flat[4] = x * flat[1]
    a[0, 0] = flat[4] * flat[5]
    return np.sum(flat * flat)


@case(values(2, 3), 0.7)
def flatten_is_a_copy(a, x):
    flat = a.flatten()
    flat[4] = x * flat[1]
    b = a.copy()
    b[0] *= x
    return np.sum(flat * flat) + np.sum(a * b)


@case(values(5), 0.7)
def expression_is_a_copy(u, x):
    w = u * 1.0
    w[0] = x
    v = u[1:] + 0.0
    v *= w[:4]
    return np.sum(u * w) + np.sum(v * v)


@case(values(3, 4))
def rows_in_a_loop(a):
    for row in a:
        row *= row[0]
        row[1] += 1.0
    return np.sum(a * a)


@case(values(4, 3), 0.7, spill=(values(400, 9), 1.5))
def row_of_each_step(a, x):
    for i in range(1, len(a)):
        old, new = a[i - 1], a[i]
        for j in range(a.shape[1]):
            new[j] = math.sin(old[j] * x + new[j] * old[j - 1])
    return np.sum(a[-1])


@case(values(5), values(5, start=5), 4, spill=(np.abs(values(60)), values(60), 151))
def swapped_buffers(u, v, n):
    for t in range(n):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + 0.2 * (u[i - 1] - 2.0 * u[i] + u[i + 1]) * u[i]
        v[0] = u[0]
        v[-1] = u[-1] * 0.9
        u, v = v, u
    return np.sum(u * u) + v[1]


@case(values(5), values(5, start=5), 3)
@case(values(5), values(5, start=5), 0, name="none")
@case(values(5), values(5, start=5), 4, name="even")
def swap_by_a_temporary(u, v, n):
    for t in range(n):
        v[1:] = u[1:] * u[:-1] + 0.1 * v[1:]
        w = u
        u = v
        v = w
    return np.sum(u * np.arange(5.0)) + np.sum(v * v)


@case(values(4), values(4, start=4), values(4, start=8), 5)
def rotated_buffers(u, v, w, n):
    for t in range(n):
        w[:] = np.sin(u) * v + 0.5 * w
        u, v, w = v, w, u
    return u[0] + 2.0 * np.sum(v * w)


@case(values(6), 4, spill=(0.05 * values(200), 60))
def fresh_array_each_step(u, n):
    for t in range(n):
        new = u.copy()
        for i in range(1, len(u) - 1):
            new[i] = u[i] - 0.1 * u[i] * (u[i + 1] - u[i - 1])
        u = new
    return np.sum(u * u)


@case(values(6), 4, spill=(values(200), 60))
def fresh_empty_array_each_step(u, n):
    for t in range(n):
        new = np.empty(len(u))
        new[0] = u[-1]
        for i in range(1, len(u)):
            new[i] = math.sin(u[i]) + 0.3 * u[i - 1]
        u = new
    return np.sum(u * u)


@case(values(6), 3)
def expression_becomes_the_state(u, n):
    for t in range(n):
        u = u + 0.1 * np.sin(u) * u[0]
        u[0] = u[1] * u[2]
    return np.sum(u)


@case(values(5), values(5, start=5), 0.7)
@case(values(5), values(5, start=5), -0.7, name="other")
def alias_in_a_branch(a, b, x):
    w = a if x > 0.0 else b
    w[1] = x * w[0]
    if w[2] > -0.9:
        w = b
    else:
        w = a
    w[3] *= 2.0
    return np.sum(a * a) + np.sum(b * a)


@case(values(5), values(5, start=5), 4)
def alias_changes_in_a_loop(a, b, n):
    w = a
    for i in range(n):
        w[i] = w[i] * b[i] + 1.0
        if i % 2 == 0:
            w = b
        else:
            w = a
    return np.sum(a * b) + w[0]


@case(values(6), 4)
def view_moves_along(a, n):
    for i in range(n):
        w = a[i : i + 3]
        w[1] = w[0] * w[2] + 0.5 * w[1]
        w[2:] *= 0.9
    return np.sum(a * a)


@case(values(6))
def view_shrinks(a):
    w = a
    s = 0.0
    while len(w) > 1:
        w[1] += w[0] * w[0]
        s += w[-1]
        w = w[1:]
    return s * w[0]


@case(values(6), 0.7)
def name_of_a_view_is_reused(a, x):
    w = a[:3]
    w *= x
    w = a[2:5]
    w *= w[0]
    w = w * 2.0
    w[0] = 5.0
    return np.sum(a * a) + np.sum(w)


@case(values(4, 4))
def diagonal_blocks(a):
    top, bottom = a[:2, :2], a[2:, 2:]
    top *= bottom
    bottom += top.T
    bottom[0] = top[1] * a[0, 3]
    return np.sum(a * a)


@case(values(4))
def array_is_copied_before(a):
    before = a.copy()
    a *= 2.0
    a[0] = before[3] * a[1]
    before[1] = a[0]
    return np.sum(a * before)


@case(values(3, 4), 5)
def rows_are_swapped(a, n):
    for t in range(n):
        i, j = t % 3, (t + 1) % 3
        temporary = a[i].copy()
        a[i] = a[j]
        a[j] = temporary * 0.9
    return np.sum(a * np.arange(12.0).reshape(3, 4))


@case(values(3, 5), 4)
def time_levels_in_one_array(u, n):
    for t in range(n):
        old, now, new = u[t % 3], u[(t + 1) % 3], u[(t + 2) % 3]
        for i in range(1, 4):
            new[i] = 2.0 * now[i] - old[i] + 0.1 * (now[i + 1] - 2.0 * now[i] + now[i - 1])
    return np.sum(u * u)


@case(values(3), values(4, 3), 1)
@case(values(3), values(4, 3), 0, name="no trip")
@case(values(3), values(4, 3), 4, name="all rows")
def row_of_the_trip_before(first, table, n):
    row = first
    for i in range(n):
        table[i] += row * row
        row = table[i]
    row *= 2.0
    return np.sum(table * first) + row[1]


@case(
    values(3),
    values(3, start=4),
    values(5, start=8),
    5,
    spill=(values(3), values(3, start=4), values(5, start=8), 3000),
)
def one_of_three_arrays(a, b, c, n):
    w = a
    for i in range(n):
        w[i % 3] = 0.5 * w[(i + 1) % 3] + np.sin(b[i % 3]) * c[i % 5]
        if w[0] > 0.4:
            w = c[i % 3 : i % 3 + 3]
        elif w[1] > 0.0:
            w = b[::-1]
        else:
            w = a
    return np.sum(a) + np.sum(b * b) + np.sum(c) * w[2]


@case(values(4, 4), 3)
def corner_moves(a, n):
    w = np.ones((2, 2))
    s = 0.0
    for k in range(n):
        for i in range(2):
            w[i] *= a[k, :2] + w[1 - i, 0]
            s += w[0, 1]
        w = a[k : k + 2, k : k + 2].T
    return s * np.sum(a)


@case(values(8), 0.3)
def half_of_what_is_left(a, x):
    part = a
    while len(part) > 1:
        half = len(part) // 2
        part[:half] = part[:half] * x + np.sin(part[half : 2 * half])
        part = part[:half]
    return part[0] + np.sum(a)


@case(values(6), 6)
def out_of_a_loop_early(a, n):
    at = a
    for i in range(n):
        at[0] *= 1.5
        if a[i] > 0.9:
            break
        at = a[i:]
    return at[0] * np.sum(a)


@case(values(4), values(4, start=5))
def swap_of_a_name_that_was_another_array(a, b):
    b = np.zeros(4)
    b += np.cos(b)
    b = np.sin(a * b[1])
    a, b = b, a
    return np.sum(a * b)


@case(values(2, 3, 2))
def views_of_three_dimensions(a):
    plane = a[1]
    line = plane[:, 1]
    line[2] = a[0, 0, 0] * plane[0, 0]
    plane[0] += line[:2]
    a[0] *= plane
    return np.sum(a * a)


@case(values(6), 0.3)
def halves(a, x):
    n = len(a) // 2
    even, odd = a[::2], a[1::2]
    odd -= x * even
    even += 0.5 * odd
    return np.sum(a * a) * n


@case(values(4), 0.7)
def exchange_with_a_new_array(a, x):
    b = np.zeros(4)
    for k in range(3):
        b = a.copy()
        a[k] = x * b[k + 1]
        a, b = b, a
    return np.sum(a * b)


@case(values(6), 0.7, 3, np.array([1, 3]))
def shape_and_index_of_a_view_change(a, x, n, idx):
    b = a.reshape(n, 6 // n)
    n = 2
    b[1, 0] *= x
    b = a.reshape(n, -1)
    n = 6
    b[1, 2] *= b[0, 0]
    b = np.reshape(b, n)
    n = 1
    b[2:] *= b[n]
    b = a.reshape((idx[1], 6 // idx[1]))[idx[0] :, ::-1]
    idx[:] = 0
    b[:, 1] *= x
    return np.sum(a * a)


@case(values(6), 0.7, np.array([1, 3, 0, 2]))
def index_of_a_view_in_an_argument_changes(a, x, idx):
    s = 0.0
    for k in range(3):
        s += np.sum(a[idx[k] :] * x) * np.prod(a[idx[k + 1] : idx[k + 1] + 2])
        idx[k] = (idx[k + 1] + 1) % 4
        s += np.sum(a[idx[k] :])
        a[idx[k] :] *= s
        idx[k] = 0
        s = math.sin(s)
    return s * np.sum(a)


@case(values(6), np.array([[1, 3, 0, 2], [0, 1, 2, 3]]), 0.7)
def views_of_indices(a, rows, x):
    s, j = x, 0
    for row in rows:
        for k in range(len(row)):
            s = math.sin(s + a[row[k]] * a[row[k - 1]])
            row[k] = (row[k] + row[k - 2]) % 6
        row = rows[j]
        j += 1
        row[j] = 3
        s *= a[row[j + 1]]
    return s


@case(values(6), np.array([1, 3, 0, 2]), 0.7)
def loop_over_a_view_of_a_buffer(a, idx, x):
    s = x
    buffer = np.zeros(6)
    for k in range(3):
        s = math.sin(s + a[idx[0]])
        for _ in buffer[idx[k] :]:
            idx[k] = (idx[k] + np.argmax(buffer)) % 6
    buffer[0] = x
    return s


@case(values(5), 0.7, 3)
def view_of_an_array_that_others_replace(a, x, n):
    w = a[1:]
    a[1] = math.sin(w[0] * w[3])
    for _ in range(n):
        a = a.copy()
        a[1] *= x * a[2]
    return np.sum(a * a)
