"""Products of vectors and matrices, and changes of shape."""

import numpy as np
from cases import case, values


@case(values(4), values(4, start=4))
def dot_products(a, b):
    return np.dot(a, b) * (a @ a) + a.dot(b)


@case(values(3, 4), values(4, start=3))
def matrix_times_vector(a, x):
    y = a @ x
    z = np.dot(a, x * x)
    return y @ y + np.sum(z)


@case(values(3, 4), values(3, start=3))
def vector_times_matrix(a, x):
    y = x @ a
    return y @ y + np.sum(np.dot(x, a) ** 3)


@case(values(3, 4), values(4, 2, start=3))
def matrix_times_matrix(a, b):
    c = a @ b
    d = np.dot(a, b)
    return np.sum(c * d * c)


@case(values(3, 4), values(3, 2, start=3))
def transposed_products(a, b):
    c = a.T @ b
    d = b.T @ a
    return np.sum(c * d.T) + np.sum(np.transpose(a) @ b)


@case(values(3, 3), values(3, start=3))
def quadratic_form(a, x):
    return x @ a @ x + x @ (a @ a) @ x


@case(values(3), values(4, start=3))
def outer_products(a, b):
    c = np.outer(a, b)
    d = np.outer(a, a)
    return np.sum(c * c) + np.sum(d @ d)


@case(values(3, 3), values(3, 3, start=4))
def traces(a, b):
    return np.trace(a) * np.trace(b) + np.trace(a @ b) + np.trace(a * a)


@case(values(3, 4))
def transposes(a):
    b = a.T
    c = np.transpose(a)
    return np.sum(b * c * b) + b[1, 2] * c[3, 0]


@case(values(2, 3, 4))
def transposes_of_three_dimensions(a):
    b = np.transpose(a, (2, 0, 1))
    c = a.transpose(1, 2, 0)
    return np.sum(b[1] * a[:, :, 0]) + np.sum(c[0] * b[:, :, 2]) + b[3, 1, 2] * c[0, 0, 1]


@case(values(12))
def reshaped(a):
    b = a.reshape(3, 4)
    c = a.reshape((2, 6))
    d = np.reshape(b, (4, 3))
    e = a.reshape(2, -1)
    return np.sum(b @ d) + np.sum(c * e * c)


@case(values(3, 4))
def ravelled(a):
    b = a.ravel()
    c = np.ravel(a)
    d = a.flatten()
    e = a.reshape(-1)
    return np.sum(b[1:] * c[:-1]) + np.sum(d * e * e)


@case(values(3), values(2, start=3))
def joined(a, b):
    c = np.concatenate((a, b, a))
    return np.sum(c * c * np.arange(8.0))


@case(values(3), values(3, start=3))
def stacked(a, b):
    c = np.stack((a, b))
    d = np.vstack((a, b * a))
    e = np.hstack((a, b))
    return np.sum(c * d) + np.sum(e * e) + np.sum(np.column_stack((a, b)) ** 3)


@case(values(4))
def flipped_and_repeated(a):
    b = np.flip(a) * a
    c = np.repeat(a, 2)
    return np.sum(b * b * a) + np.sum(c * np.arange(8.0)) + np.sum(a[::-1] * np.arange(4.0))


@case(values(3), values(2, 3, start=3), 2, without_numba="Numba has no np.tile")
def tiled(a, m, n):
    b = np.tile(a, n) * np.arange(6.0)
    c = np.tile(m, (n, 1))
    d = np.tile(a, (2, 1, n)) * c[0, 0]
    return np.sum(b * b) + np.sum(c * c * np.tile(m * m, [2, 1])) + np.sum(d**3 * np.tile(b, (2, 1, 1)))


@case(values(2, 3, 4), without_numba="Numba has no method swapaxes")
def swapped_axes(a):
    b = np.swapaxes(a, 0, 2)
    c = a.swapaxes(-1, 1)
    c[1, 2] *= b[0, :, 1].sum()
    return np.sum(b[3] ** 2 * c[:, 1].T) + np.sum(a * a)


@case(values(3, 3))
def diagonal(a):
    d = np.diag(a)
    e = np.diag(a[0])
    return np.sum(d * d * d) + np.sum(e @ a)


@case(values(4, 3), values(4, start=12), values(3, start=16), 5, spill=(values(4, 3), values(4), values(3), 600))
def gradient_descent(a, y, x, n):
    for t in range(n):
        x = x - 0.05 * (a.T @ (a @ x - y))
    return np.sum((a @ x - y) ** 2)


@case(values(3, 3), 4)
def matrix_powers(a, n):
    p = np.eye(3)
    for t in range(n):
        p = p @ a
    return np.trace(p) + np.sum(p * a)


@case(values(3, 3), 4)
def power_iteration(a, n):
    x = np.ones(3)
    for t in range(n):
        x = a @ x
        x /= np.sqrt(x @ x)
    return x @ a @ x


@case(values(3, 4), values(5, 3, start=12), values(4, start=27), values(5, start=31))
def network(w1, w2, x, target):
    hidden = np.tanh(w1 @ x)
    out = w2 @ hidden
    return 0.5 * np.sum((out - target) ** 2)


@case(values(2, 3, 2), values(3, 3, start=12))
def products_of_planes(a, b):
    s = 0.0
    for i in range(2):
        s += np.sum(b @ a[i]) * np.trace(b)
    return s


@case(values(4, 3))
def products_of_slices(a):
    c = a[1:] @ a[:3]
    d = a[0] @ a[1]
    return np.sum(c * c) + d * (a[2] @ a[3])


@case(values(3, 3), 0.7)
def product_is_written_in_place(a, x):
    b = np.zeros((3, 3))
    b[:] = a @ a
    a[:] = b @ a * x
    a[0] = b[1] @ a
    return np.sum(a * b)


@case(values(4, 4, start=3) * 0.3 + 2.0 * np.eye(4), values(4))
def jacobi_iteration(a, b):
    x = np.zeros(4)
    d = np.diag(a)
    for t in range(6):
        x = (b - a @ x + d * x) / d
    return x @ x


@case(values(2, 3, 4), 0.7)
def axes_swapped(a, x):
    b = np.swapaxes(a, 0, 2)
    s = np.sum(b[:, :, 0] * a[1].T)
    b[3, 1] = x * a[0, 0, :2]
    return s + np.sum(a.swapaxes(1, -1) * b.T.swapaxes(1, 2))
