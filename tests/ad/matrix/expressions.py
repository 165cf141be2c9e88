"""Whole-array expressions, with broadcasting."""

import numpy as np
from cases import case, values

WEIGHTS = np.array([0.5, -1.5, 2.0, 1.0])
RATE = 0.25


@case(values(4), values(4, start=4))
def arithmetic(a, b):
    c = a * b + a - b / (2.0 + a * a) + (-b) + (+a)
    return np.sum(c * c)


@case(values(4), 0.7)
def array_and_number(a, x):
    b = 2.0 * a - x / (a * a + 1.0) + x * a - (1.0 - a) * 3 + a / x
    return np.sum(b * x)


@case(values(4), 0.7)
def powers(a, x):
    b = np.abs(a) + 0.5
    c = a**2 + b**x + x**a + a**3 + b**0.5 + b ** (-2) + b**b
    return c.sum()


@case(values(4), values(4, start=5))
def modulo_and_floor(a, b):
    c = a % (np.abs(b) + 0.37) + (a // 0.6) * b
    return np.sum(c * a)


@case(values(3, 4), values(4, start=2))
def row_broadcast(a, row):
    return np.sum((a * row + row) * (a - row))


@case(values(3, 4), values(3, 1, start=2))
def column_broadcast(a, column):
    b = a / (1.5 + column * column)
    return np.sum(b * b + column * a)


@case(values(4), values(3, 1, start=4))
def outer_broadcast(row, column):
    table = row * column + row - column
    return np.sum(table * table * row)


@case(values(2, 3, 4), values(3, 1, start=3), values(4, start=9))
def three_dimensional_broadcast(a, b, c):
    return np.sum(a * b * c + (a - b) * (b + c))


@case(values(1, 4), values(3, 4, start=4))
def axis_of_length_one(a, b):
    d = a * b
    e = b * b + a
    return np.sum(d * e)


@case(values(4), values(3, start=5))
def new_axes(a, b):
    table = a[:, np.newaxis] * b[None, :]
    return np.sum(table * table + a.reshape(4, 1))


@case(values(4), 0.7)
def names_are_reused(a, x):
    a = a * x
    a = a * a + x
    b = a
    a = a + b
    return np.sum(a * b)


@case(values(5))
def nested_expression(a):
    return np.sum(np.sin(a * np.exp(np.cos(a + 0.5 * np.sqrt(a * a + 1.0)))) / (1.0 + np.tanh(a) ** 2))


@case(values(4), 0.7)
def constant_arrays(a, x):
    return np.sum(WEIGHTS * a * a + RATE * x * WEIGHTS) + a @ WEIGHTS


@case(values(5), values(5, start=5), 0.1)
def shifted_slices(u, v, h):
    du = (u[2:] - 2.0 * u[1:-1] + u[:-2]) / h
    dv = v[1:] - v[:-1]
    return np.sum(du * v[1:-1]) + np.sum(dv * dv)


@case(values(4, 5), 0.3)
def laplacian(u, k):
    inner = u[1:-1, 1:-1]
    change = k * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * inner)
    return np.sum((inner + change) ** 2)


@case(values(4), 0.7, 3)
def mixed_with_ints(a, x, n):
    k = np.arange(4)
    b = a * k + n * x - k / 2 + a / n + k * n
    return np.sum(b * b)


@case(values(4))
def comparisons_as_numbers(a):
    positive = a > 0.0
    return np.sum(a * a * positive) + np.sum(positive) * a[0]


@case(values(4), values(4, start=4))
def where_in_an_expression(a, b):
    c = np.where(a > b, a * b, b - a) + np.where(a > 0.0, 1.0, b)
    return np.sum(c * c)


@case(values(4), 0.7)
@case(values(4), -0.7, name="other")
def array_in_a_branch(a, x):
    if x > 0.0:
        b = a * x
    else:
        b = a - x * x
    c = b if a[0] > 5.0 else b * b
    return np.sum(c)


@case(values(4), 0.9, 4, spill=(values(400), 0.9, 30))
def expression_in_a_loop(a, x, n):
    b = a.copy()
    for i in range(n):
        b = np.sin(b) * x + a * 0.5
    return np.sum(b)


@case(values(4), 0.9, 4, spill=(values(400), 0.9, 30))
def augmented_in_a_loop(a, x, n):
    b = a * 1.0
    for i in range(n):
        b *= np.cos(b + i * x)
        b += a
    return np.sum(b * a)


@case(values(4), 4)
def accumulated_array(a, n):
    total = np.zeros(4)
    for i in range(n):
        total += a**i / 3.0
    return np.sum(total * a)


@case(values(6), values(6, start=6), 1.5)
def residuals(y, t, rate):
    r = y - np.exp(-rate * t * t)
    return 0.5 * np.sum(r * r) / len(y)


@case(values(8), values(3, start=8))
def rosenbrock(x, shift):
    y = x[:-1]
    return np.sum(100.0 * (x[1:] - y**2) ** 2 + (1.0 - y) ** 2) * 0.01 + np.sum(shift * x[:3])


@case(values(4), values(4, start=4))
def same_array_twice(a, b):
    c = a * a + a
    d = c * c - c / (1.0 + c * c)
    return np.sum(d + b * d + d)


@case(values(3, 3), values(3, start=3))
def transposed_in_an_expression(a, b):
    return np.sum(a * a.T + b * a.T - a.T)


@case(values(5))
def boolean_arrays(a):
    low = a < 1.0
    both = (a > -0.5) & low
    either = (a > 0.5) | ~low
    return np.sum(a * a * both + np.where(either, a, 2.0 * a))
