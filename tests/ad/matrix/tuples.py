"""Tuples, named tuples and None, as arguments and inside."""

import math
from typing import NamedTuple

import numpy as np
from cases import case, values


class Point(NamedTuple):
    x: float
    y: float


class Model(NamedTuple):
    weights: np.ndarray
    rate: float
    steps: int


class Nested(NamedTuple):
    model: Model
    at: Point


@case((0.7, 1.3))
def tuple_argument(pair):
    x, y = pair
    return x * y + pair[0] ** 2


@case((0.7, 1.3, -0.4))
def tuple_is_looped_over(numbers):
    s = 1.0
    for x in numbers:
        s = s * x + 1.0
    return s * len(numbers)


@case((values(3), values(3, start=3), 0.5))
def tuple_of_arrays(parts):
    a, b, x = parts
    a[0] = x * b[1]
    return np.sum(a * b) + parts[0][0]


@case((values(3), (0.7, 4)), 2.0)
def nested_tuple(parts, x):
    a, (y, n) = parts
    s = 0.0
    for i in range(n):
        s = s * y + a[i % 3] * x
    return s


@case(Point(0.7, 1.3))
def named_tuple_argument(p):
    return p.x * p.y + math.sin(p.x) + p[1]


@case(Model(values(3), 0.7, 4), values(3, start=3))
def named_tuple_with_an_array(model, a):
    for i in range(model.steps):
        a = a * model.rate + np.sin(model.weights * a)
    return np.sum(a * a)


@case(Model(values(3), 0.7, 4))
def array_in_a_named_tuple_is_written(model):
    model.weights[1] = model.rate * model.weights[0]
    w = model.weights
    w *= model.rate
    return np.sum(model.weights * w)


@case(Nested(Model(values(3), 0.7, 2), Point(0.5, 2.0)))
def named_tuples_nested(p):
    s = p.at.x
    for i in range(p.model.steps):
        s = s * p.model.rate + p.model.weights[i] * p.at.y
    return s


@case(0.7, 1.3)
def named_tuple_is_made(x, y):
    p = Point(x * y, x)
    q = Point(p.y * p.x, p.x + y)
    return q.x * p.y + q.y


@case(0.7, 1.3)
def tuples_are_made(x, y):
    t = (x, x * y, 2.0)
    u = (t[1], t)
    a, b = u
    return a * b[0] * t[2] + u[1][1]


@case(0.7, 5)
def tuple_state_in_a_loop(x, n):
    state = (x, 1.0)
    for i in range(n):
        a, b = state
        state = (a * 0.9 + b * x, a * b)
    return state[0] * state[1]


def shifted(p, d):
    return Point(p.x + d * p.y, p.y * d)


def both(model, x):
    return model.weights * x, model.rate * x


@case(Point(0.7, 1.3), 3)
def named_tuple_through_calls(p, n):
    for i in range(n):
        p = shifted(p, 0.5 + i)
    return p.x * p.y


@case(Model(values(3), 0.7, 4), 1.5)
def named_tuple_to_a_callee(model, x):
    a, r = both(model, x)
    b, r = both(Model(a, r, 2), x)
    return np.sum(a * b) * r


@case(values(4), None)
@case(values(4), values(4, start=4), name="given")
def optional_array(a, b=None):
    if b is None:
        return np.sum(a * a)
    return np.sum(a * b * b)


@case(1.3, None, name="none")
@case(1.3, 0.7)
def optional_number(x, y):
    s = x * x
    if y is not None:
        s = s * y + y
    return s


@case(0.7, (values(3), None))
def none_in_a_tuple(x, parts):
    a, mask = parts
    s = np.sum(a * a)
    if mask is not None:
        s = 0.0
    return s * x


@case((values(4), values(4, start=4)), 3)
def buffers_in_a_tuple(buffers, n):
    u, v = buffers
    for t in range(n):
        v[1:] = u[1:] * u[:-1] + 0.5
        u, v = v, u
    return np.sum(u * u) + np.sum(v)


@case(((0.7, 1.3), (0.2, -0.4), (2.0, 0.1)))
def tuple_of_tuples(points):
    s = 0.0
    for x, y in points:
        s = s * x + y * y
    return s


@case(values(3, 4), 0.7)
def shape_is_a_tuple(a, x):
    n, m = a.shape
    b = np.zeros(a.shape)
    for i in range(n):
        for j in range(m):
            b[i, j] = a[i, j] * x * (i + j)
    return np.sum(b * b) * len(a.shape)


@case(1.2, 0.7)
def several_targets_of_a_tuple(a, b):
    a, b = p = (a + b, a * b)
    b, a = c, d = a * 2.0, b * a
    e = a, b = b, a
    return a * p[0] + b * p[1] + c * d * e[0]


@case(0.7, 1.3)
def parts_of_the_tuple_itself(x, y):
    p = (x, y * x)
    p = (p[1], p[0])
    q = (p, x)
    q = (q[0][::-1], q[1] + q[0][0])
    q = ((q[1], q[0][0]), q[0][1])
    return p[0] * 2 + p[1] * 3 + q[0][0] * q[0][1] ** 2 + q[1]


class Walk(NamedTuple):
    a: np.ndarray
    at: int
    x: float


def walk_on(w, i):
    w.a[w.at] *= w.x + w.a[i]
    return Walk(w.a, (w.at + i) % 4, w.x * w.a[w.at])


@case(values(4), values(4, start=4), values(4, start=9), 1.3)
def tuple_made_of_itself_in_a_loop(a, b, c, x):
    w, p = Walk(c, 0, x), (a, b)
    for i in range(1, 4):
        w = walk_on(w, i)
        p = (p[1], p[0])
        p[0][i] += w.x
    return np.sum(p[0] * p[0] * p[1]) * w.x * w.at + np.sum(w.a * w.a)
