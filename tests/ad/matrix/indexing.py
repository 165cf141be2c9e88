"""Index arrays and masks: gather, scatter, repeated indices."""

import numpy as np
from cases import case, values

ONE_DIMENSION = "Numba has masks of one dimension only"
INDEX = np.array([2, 0, 2, 3, 0])


@case(values(4), INDEX)
def gather(a, index):
    b = a[index]
    return np.sum(b * b * np.arange(5.0))


@case(values(4), INDEX)
def gather_in_an_expression(a, index):
    return np.sum(a[index] * a[index[::-1]] + np.sin(a[index]))


@case(values(4), INDEX, values(5, start=4))
def gather_loop(a, index, b):
    s = 0.0
    for i in range(len(index)):
        s += a[index[i]] * b[i] * s + a[index[i]]
    return s


@case(values(4), np.array([-1, 1, -4, -1]))
def negative_indices(a, index):
    b = a[index] * a
    s = 0.0
    for i in index:
        s += a[i] ** 2
    return s + b.sum()


@case(values(3, 4), np.array([2, 0, 2]))
def rows_gathered(a, index):
    b = a[index]
    return np.sum(b * b * np.arange(12.0).reshape(3, 4))


@case(values(3, 4), np.array([3, 1]))
def columns_gathered(a, index):
    b = a[:, index]
    return np.sum(b * b * b)


@case(values(4), values(5, start=4), INDEX)
def scatter_add_in_a_loop(a, b, index):
    for i in range(len(index)):
        a[index[i]] += b[i] * a[index[i]]
    return np.sum(a * a)


@case(values(5), INDEX, spill=(values(5000), np.arange(5000) % 7))
def scatter_into_zeros(b, index):
    total = np.zeros(7)
    for i in range(len(b)):
        total[index[i]] = total[index[i]] * 0.5 + b[i] * b[i]
    return np.sum(total * total)


@case(values(4), values(3, start=4), np.array([3, 0, 1]))
def scatter(a, b, index):
    a[index] = b * a[1]
    return np.sum(a * a)


@case(values(4), values(3, start=4), np.array([1, 3, 1]))
def scatter_with_repeated_indices(a, b, index):
    """The last one written is what counts."""
    for i in range(3):
        a[index[i]] = b[i] * b[i]
    a[index] = a[index] * 2.0
    return np.sum(a * np.arange(1.0, 5.0))


@case(values(4), values(3, start=4), np.array([3, 0, 1]))
def scatter_augmented(a, b, index):
    a[index] += b * b
    a[index] *= a[index]
    return np.sum(a * np.arange(1.0, 5.0))


@case(values(4), np.array([3, 1, 0]), 0.7)
def scatter_a_number(a, index, x):
    s = a[3] * a[1]
    a[index] = x * s
    a[index[1]] = 2.0
    return s + np.sum(a * a)


@case(values(3, 4), np.array([2, 0]), 0.7)
def rows_scattered(a, index, x):
    a[index] = a[1] * x
    a[index] *= 2.0
    return np.sum(a * a)


@case(values(6))
def mask_reads(a):
    b = a[a > 0.0]
    return np.sum(b * b) * len(b)


@case(values(6), 0.7)
def mask_writes_a_number(a, x):
    a[a < 0.0] = x * a[0]
    return np.sum(a * a)


@case(values(6))
def mask_writes_constants(a):
    mask = a > 0.5
    a[mask] = 2.0
    return np.sum(a * a) + np.sum(a[~mask])


@case(values(6), values(6, start=3))
def mask_writes_an_array(a, b):
    mask = b > 0.0
    a[mask] = b[mask] * a[mask]
    return np.sum(a * a)


@case(values(6), 0.7)
def mask_augmented(a, x):
    mask = a > 0.0
    a[mask] *= x
    a[mask] += a[mask] * a[mask]
    a[~mask] -= x
    return np.sum(a * a)


@case(values(3, 4), without_numba=ONE_DIMENSION)
def mask_reads_a_matrix(a):
    b = a[a > 0.2]
    return np.sum(b * b * a[0, 0])


@case(values(3, 4), 0.7, without_numba=ONE_DIMENSION)
def mask_writes_a_matrix(a, x):
    s = np.sum(a * a)
    a[a < 0.0] = x
    return s + np.sum(a * a)


@case(values(6))
def mask_in_a_loop(a):
    mask = a > 0.0
    s = 1.0
    for i in range(len(a)):
        if mask[i]:
            s = s * a[i] + 1.0
            mask[i] = False
        elif not mask[i - 1]:
            s += a[i]
    return s


@case(values(6))
def nonzero_positions(a):
    index = np.nonzero(a > 0.0)[0]
    s = 0.0
    for k in index:
        s += a[k] ** 3 + k
    return s + np.sum(a[index])


@case(values(6))
def positions_of_extremes(a):
    i = np.argmax(a)
    j = np.argmin(a)
    a[i] = a[j] * a[i]
    return np.sum(a * a) + i * a[j]


@case(values(6))
def sorted_by_positions(a):
    order = np.argsort(a)
    b = a[order]
    return np.sum(b * np.arange(6.0) * b)


@case(values(5))
def index_from_a_value(a):
    s = 0.0
    for i in range(len(a)):
        k = int(abs(a[i]) * 3.0)
        s += a[k] * a[i]
    return s


@case(values(5), np.array([2, 4, 1, 0, 3]))
def permutation_cycle(a, next_one):
    k, s = 0, 1.0
    for _ in range(7):
        s = s * 0.5 + a[k] * a[k]
        a[k] = s
        k = next_one[k]
    return s * a[2]


@case(values(4), np.array([0, 1, 1, 2, 3]), np.array([1, 0, 2, 3, 2]), values(5, start=2))
def graph_edges(u, tails, heads, weights):
    flow = np.zeros(len(u))
    for e in range(len(tails)):
        f = weights[e] * (u[tails[e]] - u[heads[e]])
        flow[tails[e]] -= f
        flow[heads[e]] += f
    return np.sum(flow * flow * u)


@case(values(4), values(8, start=4), np.array([0, 2, 1, 2, 3, 0, 3, 1]), np.array([0, 2, 3, 6, 8]))
def sparse_matrix_vector(x, data, columns, starts):
    y = np.zeros(len(starts) - 1)
    for i in range(len(y)):
        for k in range(starts[i], starts[i + 1]):
            y[i] += data[k] * x[columns[k]]
    return y @ y


@case(values(7), np.array([0, 1, 1, 2, 0, 2, 1]))
def bins(a, group):
    total, number = np.zeros(3), np.zeros(3)
    for i in range(len(a)):
        total[group[i]] += a[i]
        number[group[i]] += 1.0
    mean = total / number
    return np.sum((a - mean[group]) ** 2)


@case(values(5), 3)
def counts_in_an_int_array(a, n):
    seen = np.zeros(5, dtype=np.int64)
    s = 0.0
    for i in range(7):
        k = (i * n) % 5
        seen[k] += 1
        s += a[k] ** seen[k]
    return s
