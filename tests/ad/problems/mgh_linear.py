"""More, Garbow and Hillstrom's linear problems and Chebyquad: 32 to 35 (see `leastsquares`)."""

import numpy as np

from problems.leastsquares import Problem

M, N = 20, 10


# ------------------------------------------------------------------------------------ 32: linear, full rank


def linear_full_rank_model(x):
    jacobian = np.vstack((np.eye(N), np.zeros((M - N, N)))) - 2.0 / M
    return jacobian @ x - 1.0, jacobian


LINEAR_FULL_RANK = Problem(32, linear_full_rank_model, np.ones(N), minimum="10")


@LINEAR_FULL_RANK.program
def linear_full_rank(x):
    n = len(x)
    s = 0.0
    for j in range(n):
        s += x[j]
    f = 0.0
    for i in range(M):
        r = -2.0 / M * s - 1.0
        if i < n:
            r += x[i]
        f += r * r
    return f


@LINEAR_FULL_RANK.program
def linear_full_rank_residuals(x):
    r = np.full(M, -1.0)
    r -= 2.0 / M * x.sum()
    r[: len(x)] += x
    return np.sum(r * r)


# ------------------------------------------------------------------------------------------ 33, 34: rank 1


def linear_rank1_model(x):
    jacobian = np.outer(np.arange(1.0, M + 1), np.arange(1.0, N + 1))
    return jacobian @ x - 1.0, jacobian


# The paper: m (m - 1) / (2 (2 m + 1)).
LINEAR_RANK1 = Problem(33, linear_rank1_model, np.ones(N), minimum=f"{M * (M - 1) / (2 * (2 * M + 1)):.6g}")


@LINEAR_RANK1.program
def linear_rank1(x):
    s = 0.0
    for j in range(len(x)):
        s += (j + 1) * x[j]
    f = 0.0
    for i in range(1, M + 1):
        f += (i * s - 1.0) ** 2
    return f


@LINEAR_RANK1.program
def linear_rank1_residuals(x):
    weights = np.arange(1.0, len(x) + 1.0)
    r = np.arange(1.0, M + 1.0) * np.dot(weights, x) - 1.0
    return np.dot(r, r)


def linear_rank1_zeros_model(x):
    rows, columns = np.arange(0.0, M), np.arange(1.0, N + 1)
    rows[-1] = columns[0] = columns[-1] = 0.0
    jacobian = np.outer(rows, columns)
    return jacobian @ x - 1.0, jacobian


# The paper: (m^2 + 3 m - 6) / (2 (2 m - 3)).
LINEAR_RANK1_ZEROS = Problem(
    34, linear_rank1_zeros_model, np.ones(N), minimum=f"{(M * M + 3 * M - 6) / (2 * (2 * M - 3)):.6g}"
)


@LINEAR_RANK1_ZEROS.program
def linear_rank1_zeros(x):
    s = 0.0
    for j in range(1, len(x) - 1):
        s += (j + 1) * x[j]
    f = 2.0
    for i in range(1, M - 1):
        r = i * s - 1.0
        f += r * r
    return f


@LINEAR_RANK1_ZEROS.program
def linear_rank1_zeros_residuals(x):
    r = np.zeros(M)
    for i in range(1, M - 1):
        for j in range(1, len(x) - 1):
            r[i] += i * (j + 1) * x[j]
    r -= 1.0
    return np.sum(r**2)


# ---------------------------------------------------------------------------------------------- 35: Chebyquad


def chebyquad_model(x):
    """With m = n; T_i and T_i' of 2 x - 1 by NumPy's Chebyshev polynomials."""
    n = len(x)
    r, jacobian = np.empty(n), np.empty((n, n))
    for i in range(1, n + 1):
        polynomial = np.polynomial.Chebyshev.basis(i, domain=[0.0, 1.0])
        r[i - 1] = np.mean(polynomial(x)) + (1.0 / (i * i - 1.0) if i % 2 == 0 else 0.0)
        jacobian[i - 1] = polynomial.deriv()(x) / n
    return r, jacobian


CHEBYQUAD = Problem(35, chebyquad_model, np.arange(1, 9) / 9.0, minimum="3.51687e-3")
Problem(35, chebyquad_model, np.arange(1, 8) / 8.0)
Problem(35, chebyquad_model, np.arange(1, 10) / 10.0)
Problem(35, chebyquad_model, np.arange(1, 11) / 11.0, minimum="6.50395e-3")


@CHEBYQUAD.program
def chebyquad(x):
    n = len(x)
    f = 0.0
    for i in range(1, n + 1):
        mean = 0.0
        for j in range(n):
            t = 2.0 * x[j] - 1.0
            last, now = 1.0, t
            for _ in range(i - 1):
                last, now = now, 2.0 * t * now - last
            mean += now / n
        if i % 2 == 0:
            mean += 1.0 / (i * i - 1.0)
        f += mean * mean
    return f


@CHEBYQUAD.program
def chebyquad_residuals(x):
    """Three rows of polynomials that change places."""
    n = len(x)
    r = np.empty(n)
    last, now = np.ones(n), 2.0 * x - 1.0
    following = np.empty(n)
    for i in range(1, n + 1):
        r[i - 1] = np.sum(now) / n
        if i % 2 == 0:
            r[i - 1] += 1.0 / (i * i - 1.0)
        for j in range(n):
            following[j] = 2.0 * (2.0 * x[j] - 1.0) * now[j] - last[j]
        last, now, following = now, following, last
    return np.sum(r * r)
