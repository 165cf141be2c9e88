"""What is kept beside values: asserts, raises, prints; and statements without effect."""

import math

import numpy as np
from cases import case, values


@case(1.5, 3)
def asserts(x, n):
    assert x > 0.0
    assert n > 2 and x < 2.0, "n is too small"
    return math.log(x) * n


@case(values(4))
def asserts_in_a_loop(a):
    s = 2.0
    for x in a:
        s += x * x
        assert s > 1.0, "not positive"
        s = math.log(s) + 1.0
    return s


@case(1.5)
@case(0.5, name="other")
def raises_elsewhere(x):
    if x < 0.0:
        raise ValueError("x must not be negative")
    if x > 1.0:
        y = x * x
    elif x > 0.0:
        y = math.sqrt(x)
    else:
        raise ValueError("x is zero")
    return y * x


@case(0.3 * values(3, 3) + 2.0 * np.eye(3))
def raises_in_a_loop(a):
    n = a.shape[0]
    for k in range(n):
        if a[k, k] <= 0.0:
            raise ValueError("the matrix is not positive definite")
        a[k, k] = math.sqrt(a[k, k])
        for i in range(k + 1, n):
            a[i, k] /= a[k, k]
            for j in range(k + 1, i + 1):
                a[i, j] -= a[i, k] * a[j, k]
    return a[0, 0] * a[2, 2] + a[2, 1]


@case(values(3), 0.7)
def prints(a, x):
    print("start", x)
    for i in range(len(a)):
        a[i] *= x
        print(i, a[i])
    print()
    return np.sum(a * a)


def checked(x):
    """The square root, of positive numbers."""
    if x <= 0.0:
        raise ValueError("not positive")
    print("root of", x)
    return math.sqrt(x)


@case(1.5, 3)
def raises_and_prints_in_a_callee(x, n):
    for i in range(n):
        x = checked(x + 0.5) * x
    return x


@case(values(4), 0.7)
def statements_without_effect(a, x):
    """A docstring."""
    ...
    pass
    x * 2.0
    a[0] * x
    np.sum(a)
    len(a)
    unused = a * x  # noqa: F841
    return np.sum(a * a) * x


@case(values(4))
def work_that_is_never_used(a):
    b = np.zeros(4)
    for i in range(4):
        b[i] = math.exp(a[i])
    b *= 2.0
    c = a[1:]
    c = a[:2]
    return c[0] * c[1]


@case(values(3))
def value_of_a_branch_that_is_not_taken(a):
    if len(a) > 5:
        raise ValueError("too long")
    s = 0.0
    for i in range(len(a)):
        if i > 10:
            s = math.log(-1.0)
            a[7 % len(a)] = s
        s += a[i] ** 2
    return s


@case(0.7, 4)
def annotations(x: float, n: int) -> float:
    y: float = x * x
    a: np.ndarray = np.zeros(n)
    z: float
    for i in range(n):
        z = y * i
        a[i] = z
    return np.sum(a * a)


def raise_first(u, by):
    u[0] += by
    return u[0] * 0.5


def advance(k):
    k[0] = (k[0] + 1) % 3
    return k[0]


@case(values(4), np.array([1, 0]), 0.7)
def augmented_by_a_call_that_writes(u, k, x):
    u[0] += raise_first(u, x)
    u[0] *= raise_first(u, x)
    u[k[0]] -= advance(k) * u[k[0]]
    u[advance(k)] *= advance(k) * x
    u[k] += advance(k) * x
    u[:2] += raise_first(u, x)
    u[1:] *= raise_first(u[1:], x)
    u += raise_first(u, x)
    return np.sum(u * u)


@case(values(3, 3), np.array([1, 0]), 0.7)
def arguments_are_evaluated_from_left_to_right(m, k, x):
    u = m[0]
    s = m[k[0], advance(k)] + np.sum(m[0, k[0] : advance(k)])
    for i in range(k[0] - 1, advance(k) + 2):
        s += i * x
    s += np.sum(np.where(m > u[0], raise_first(u, x), u[0]))
    s += np.sum((2.0 * u).clip(raise_first(u, x) - 1.0, u[0]))
    return s * np.sum(m)


@case(values(4), 0.7)
def index_of_an_assignment_writes(u, x):
    u[int(4.0 * raise_first(u, x)) % 4] = u[0] * x
    u[: int(4.0 * raise_first(u, x)) % 4] = u[0] * u[1:2]
    u[int(4.0 * raise_first(u, x)) % 4], u[1] = u[0], u[0] * u[2]
    return np.sum(u * u)
