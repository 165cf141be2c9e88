"""More, Garbow and Hillstrom's systems of any dimension: 26 to 31 (see `leastsquares`)."""

import math

import numpy as np

from problems.leastsquares import Problem

# ------------------------------------------------------------------------------------------- 26: trigonometric


def trigonometric_model(x):
    n = len(x)
    i = np.arange(1, n + 1)
    r = n - np.sum(np.cos(x)) + i * (1.0 - np.cos(x)) - np.sin(x)
    return r, np.tile(np.sin(x), (n, 1)) + np.diag(i * np.sin(x) - np.cos(x))


TRIGONOMETRIC = Problem(26, trigonometric_model, np.full(10, 0.1), minimizer=np.zeros(10), near=np.full(10, 0.01))


@TRIGONOMETRIC.program
def trigonometric(x):
    n = len(x)
    cosines = 0.0
    for j in range(n):
        cosines += math.cos(x[j])
    f = 0.0
    for i in range(n):
        r = n - cosines + (i + 1) * (1.0 - math.cos(x[i])) - math.sin(x[i])
        f += r * r
    return f


@TRIGONOMETRIC.program
def trigonometric_residuals(x):
    cosines = np.cos(x)
    r = len(x) - np.sum(cosines) - np.sin(x)
    r += np.arange(1, len(x) + 1) * (1.0 - cosines)
    return np.sum(r**2)


# --------------------------------------------------------------------------------------- 27: Brown almost-linear


def brown_almost_linear_model(x):
    n = len(x)
    r = x + np.sum(x) - (n + 1.0)
    r[-1] = np.prod(x) - 1.0
    jacobian = np.eye(n) + 1.0
    jacobian[-1] = [np.prod(np.delete(x, j)) for j in range(n)]
    return r, jacobian


BROWN_ALMOST_LINEAR = Problem(27, brown_almost_linear_model, np.full(10, 0.5), minimizer=np.ones(10))


@BROWN_ALMOST_LINEAR.program
def brown_almost_linear(x):
    n = len(x)
    s = 0.0
    p = 1.0
    for j in range(n):
        s += x[j]
        p *= x[j]
    f = (p - 1.0) ** 2
    for i in range(n - 1):
        f += (x[i] + s - (n + 1)) ** 2
    return f


@BROWN_ALMOST_LINEAR.program
def brown_almost_linear_residuals(x):
    r = x + (np.sum(x) - (len(x) + 1.0))
    r[-1] = np.prod(x) - 1.0
    return r @ r


# ---------------------------------------------------------------------------------- 28: discrete boundary value


def grid(n):
    """The standard start of problems 28 and 29."""
    t = np.arange(1, n + 1) / (n + 1.0)
    return t * (t - 1.0)


def discrete_boundary_model(x):
    n = len(x)
    h = 1.0 / (n + 1.0)
    s = x + h * np.arange(1, n + 1) + 1.0
    stiffness = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return stiffness @ x + 0.5 * h**2 * s**3, stiffness + np.diag(1.5 * h**2 * s**2)


DISCRETE_BOUNDARY = Problem(28, discrete_boundary_model, grid(10))


@DISCRETE_BOUNDARY.program
def discrete_boundary(x):
    n = len(x)
    h = 1.0 / (n + 1)
    f = 0.0
    for i in range(n):
        left = x[i - 1] if i > 0 else 0.0
        right = x[i + 1] if i < n - 1 else 0.0
        r = 2.0 * x[i] - left - right + 0.5 * h * h * (x[i] + (i + 1) * h + 1.0) ** 3
        f += r * r
    return f


@DISCRETE_BOUNDARY.program
def discrete_boundary_residuals(x):
    n = len(x)
    h = 1.0 / (n + 1)
    r = 2.0 * x
    r[1:] -= x[:-1]
    r[:-1] -= x[1:]
    r += 0.5 * h**2 * (x + h * np.arange(1, n + 1) + 1.0) ** 3
    return np.sum(r * r)


# ------------------------------------------------------------------------------- 29: discrete integral equation


def discrete_integral_model(x):
    n = len(x)
    h = 1.0 / (n + 1.0)
    t = h * np.arange(1, n + 1)
    kernel = 0.5 * h * np.where(t <= t[:, None], (1.0 - t[:, None]) * t, t[:, None] * (1.0 - t))
    s = x + t + 1.0
    return x + kernel @ s**3, np.eye(n) + kernel * (3.0 * s**2)


DISCRETE_INTEGRAL = Problem(29, discrete_integral_model, grid(10))


@DISCRETE_INTEGRAL.program
def discrete_integral(x):
    n = len(x)
    h = 1.0 / (n + 1)
    f = 0.0
    for i in range(n):
        ti = (i + 1) * h
        below = 0.0
        for j in range(i + 1):
            tj = (j + 1) * h
            below += tj * (x[j] + tj + 1.0) ** 3
        above = 0.0
        for j in range(i + 1, n):
            tj = (j + 1) * h
            above += (1.0 - tj) * (x[j] + tj + 1.0) ** 3
        r = x[i] + 0.5 * h * ((1.0 - ti) * below + ti * above)
        f += r * r
    return f


@DISCRETE_INTEGRAL.program
def discrete_integral_residuals(x):
    """Running sums from the left and from the right."""
    n = len(x)
    h = 1.0 / (n + 1)
    left, right = np.zeros(n + 1), np.zeros(n + 1)
    for j in range(n):
        t = (j + 1) * h
        left[j + 1] = left[j] + t * (x[j] + t + 1.0) ** 3
    for j in range(n - 1, -1, -1):
        t = (j + 1) * h
        right[j] = right[j + 1] + (1.0 - t) * (x[j] + t + 1.0) ** 3
    r = np.empty(n)
    for i in range(n):
        t = (i + 1) * h
        r[i] = x[i] + 0.5 * h * ((1.0 - t) * left[i + 1] + t * right[i + 1])
    return np.dot(r, r)


# ------------------------------------------------------------------------------- 30, 31: Broyden's systems


def broyden_tridiagonal_model(x):
    n = len(x)
    off = -np.eye(n, k=-1) - 2.0 * np.eye(n, k=1)
    return (3.0 - 2.0 * x) * x + off @ x + 1.0, off + np.diag(3.0 - 4.0 * x)


BROYDEN_TRIDIAGONAL = Problem(30, broyden_tridiagonal_model, np.full(10, -1.0))


@BROYDEN_TRIDIAGONAL.program
def broyden_tridiagonal(x):
    n = len(x)
    f = 0.0
    for i in range(n):
        r = (3.0 - 2.0 * x[i]) * x[i] + 1.0
        if i > 0:
            r -= x[i - 1]
        if i < n - 1:
            r -= 2.0 * x[i + 1]
        f += r * r
    return f


@BROYDEN_TRIDIAGONAL.program
def broyden_tridiagonal_residuals(x):
    r = (3.0 - 2.0 * x) * x + 1.0
    r[1:] -= x[:-1]
    r[:-1] -= 2.0 * x[1:]
    return np.sum(r**2)


def broyden_banded_model(x):
    n = len(x)
    i = np.arange(n)
    band = (i >= i[:, None] - 5) & (i <= i[:, None] + 1) & (i != i[:, None])
    r = x * (2.0 + 5.0 * x**2) + 1.0 - band @ (x * (1.0 + x))
    return r, np.diag(2.0 + 15.0 * x**2) - band * (1.0 + 2.0 * x)


BROYDEN_BANDED = Problem(31, broyden_banded_model, np.full(10, -1.0))


@BROYDEN_BANDED.program
def broyden_banded(x):
    n = len(x)
    f = 0.0
    for i in range(n):
        r = x[i] * (2.0 + 5.0 * x[i] ** 2) + 1.0
        for j in range(max(0, i - 5), min(n, i + 2)):
            if j != i:
                r -= x[j] * (1.0 + x[j])
        f += r * r
    return f


@BROYDEN_BANDED.program
def broyden_banded_residuals(x):
    """Each variable is subtracted from the residuals of its band."""
    n = len(x)
    r = x * (2.0 + 5.0 * x**2) + 1.0
    for j in range(n):
        term = x[j] * (1.0 + x[j])
        for i in range(n):
            if i == j:
                continue
            if i > j + 5:
                break
            if i >= j - 1:
                r[i] -= term
    return r @ r
