"""Log-likelihood of a Gaussian mixture with a Wishart prior, as in the ADBench suite.

F. Srajer, Z. Kukelova and A. Fitzgibbon, A benchmark of selected algorithmic differentiation tools on some problems in
computer vision and machine learning, Optimization Methods and Software 33 (2018), section 3.1; the sign of the prior as
in the suite's programs.  Component k has an inverse covariance Q^T Q with a lower triangular factor Q: `icf` holds the
logarithms of its diagonal, then what is below column by column.

The gradient, with responsibilities p_ik and c = x_i - mu_k:

    d/d alpha_k = sum_i p_ik - n softmax(alpha)_k
    d/d mu_k    = sum_i p_ik Q^T Q c
    d/d Q       = -sum_i p_ik Q c c^T, and for the logarithms of the diagonal sum_i p_ik + Q_jj d/d Q_jj

and from the prior gamma^2 Q for what is below the diagonal, gamma^2 Q_jj^2 - m for the logarithms.
"""

import math

import numpy as np
from numba import njit

from problems.case import case

GAMMA, DEGREES = 0.9, 2
LOG_2PI = math.log(2.0 * math.pi)


def mixture(seed, n, d, k):
    rng = np.random.default_rng(seed)
    alphas, means = rng.normal(size=k), rng.normal(size=(k, d))
    icf, x = 0.5 * rng.normal(size=(k, d * (d + 1) // 2)), rng.normal(size=(n, d))
    return alphas, means, icf, x


def factors(icf, d):
    """The triangular factors, one for each component."""
    q = np.zeros((len(icf), d, d))
    rows, columns = np.triu_indices(d, 1)
    q[:, columns, rows] = icf[:, d:]
    q[:, np.arange(d), np.arange(d)] = np.exp(icf[:, :d])
    return q


def gmm_gradient(alphas, means, icf, x, gamma, m):
    k = len(alphas)
    mu, c = means.reshape(k, -1), icf.reshape(k, -1)
    d = mu.shape[1]
    points = x.reshape(-1, d)
    q = factors(c, d)
    centered = points[:, None, :] - mu
    scaled = np.einsum("kab,ikb->ika", q, centered)
    terms = alphas + c[:, :d].sum(axis=1) - 0.5 * (scaled**2).sum(axis=2)
    p = np.exp(terms - terms.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    weights = np.exp(alphas - alphas.max())
    by_alphas = p.sum(axis=0) - len(points) * weights / weights.sum()
    by_means = np.einsum("ik,kab,ika->kb", p, q, scaled)
    by_q = -np.einsum("ik,ika,ikb->kab", p, scaled, centered) + gamma**2 * q
    rows, columns = np.triu_indices(d, 1)
    diagonal = np.arange(d)
    by_logs = by_q[:, diagonal, diagonal] * q[:, diagonal, diagonal] + p.sum(axis=0)[:, None] - m
    by_icf = np.hstack((by_logs, by_q[:, columns, rows]))
    return by_alphas, by_means.reshape(means.shape), by_icf.reshape(icf.shape)


@njit
def wishart_constant(d, gamma, m):
    n = d + m + 1
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(1, d + 1):
        log_gamma += math.lgamma(0.5 * n + 0.5 * (1 - j))
    return n * d * (math.log(gamma) - 0.5 * math.log(2.0)) - log_gamma


# ------------------------------------------------------------------------ by scalars, on arrays of one dimension

SMALL = mixture(1, 8, 2, 3)
FLAT = tuple(a.ravel() for a in SMALL)


@njit
def log_component(alphas, means, icf, x, i, k, d):
    """The term of point i and component k; x, means and icf are flat."""
    size = d * (d + 1) // 2
    square = 0.0
    logs = 0.0
    for row in range(d):
        log_diagonal = icf[k * size + row]
        logs += log_diagonal
        s = math.exp(log_diagonal) * (x[i * d + row] - means[k * d + row])
        for column in range(row):
            place = d + column * d - column * (column + 1) // 2 + row - column - 1
            s += icf[k * size + place] * (x[i * d + column] - means[k * d + column])
        square += s * s
    return alphas[k] + logs - 0.5 * square


@case(*FLAT, GAMMA, DEGREES, wrt="alphas means icf", exact=gmm_gradient)
def gmm_by_scalars(alphas, means, icf, x, gamma, m):
    k = len(alphas)
    d = len(means) // k
    n = len(x) // d
    size = d * (d + 1) // 2
    total = -0.5 * n * d * LOG_2PI
    for i in range(n):
        largest = log_component(alphas, means, icf, x, i, 0, d)
        for j in range(1, k):
            largest = max(largest, log_component(alphas, means, icf, x, i, j, d))
        s = 0.0
        for j in range(k):
            s += math.exp(log_component(alphas, means, icf, x, i, j, d) - largest)
        total += math.log(s) + largest
    s = 0.0
    for j in range(k):
        s += math.exp(alphas[j])
    total -= n * math.log(s)
    for j in range(k):
        for a in range(size):
            value = icf[j * size + a]
            if a < d:
                total += 0.5 * gamma * gamma * math.exp(value) ** 2 - m * value
            else:
                total += 0.5 * gamma * gamma * value**2
    return total - k * wishart_constant(d, gamma, m)


# --------------------------------------------------------------------- by element, on work arrays as in ADBench


@njit
def log_sum_exp(values):
    largest = values[0]
    for v in values:
        if v > largest:
            largest = v
    s = 0.0
    for v in values:
        s += math.exp(v - largest)
    return math.log(s) + largest


@njit
def preprocess(icf, sums, diagonals):
    for k in range(diagonals.shape[0]):
        sums[k] = 0.0
        for j in range(diagonals.shape[1]):
            sums[k] += icf[k, j]
            diagonals[k, j] = math.exp(icf[k, j])


@njit
def triangular_product(diagonal, below, x, out):
    d = len(x)
    for i in range(d):
        out[i] = diagonal[i] * x[i]
    place = 0
    for i in range(d):
        for j in range(i + 1, d):
            out[j] += below[place] * x[i]
            place += 1


@njit
def square_norm(x):
    s = 0.0
    for i in range(x.size):
        s += x[i] * x[i]
    return s


@njit
def log_wishart_prior(icf, sums, diagonals, gamma, m):
    k, d = diagonals.shape
    total = 0.0
    for j in range(k):
        total += 0.5 * gamma * gamma * (square_norm(diagonals[j]) + square_norm(icf[j, d:])) - m * sums[j]
    return total - k * wishart_constant(d, gamma, m)


@case(*SMALL, GAMMA, DEGREES, wrt="alphas means icf", exact=gmm_gradient)
def gmm_by_elements(alphas, means, icf, x, gamma, m):
    k, d = means.shape
    n = x.shape[0]
    diagonals, sums = np.empty((k, d)), np.empty(k)
    centered, scaled, terms = np.empty(d), np.empty(d), np.empty(k)
    preprocess(icf, sums, diagonals)
    total = 0.0
    for i in range(n):
        for j in range(k):
            for a in range(d):
                centered[a] = x[i, a] - means[j, a]
            triangular_product(diagonals[j], icf[j, d:], centered, scaled)
            terms[j] = alphas[j] + sums[j] - 0.5 * square_norm(scaled)
        total += log_sum_exp(terms)
    total += -0.5 * n * d * LOG_2PI - n * log_sum_exp(alphas)
    return total + log_wishart_prior(icf, sums, diagonals, gamma, m)


# ----------------------------------------------------------------------------------------------- whole arrays


@case(*mixture(2, 20, 3, 4), GAMMA, DEGREES, wrt="alphas means icf", exact=gmm_gradient)
def gmm_by_arrays(alphas, means, icf, x, gamma, m):
    n, d = x.shape
    k = alphas.size
    terms = np.empty((k, n))
    prior = 0.0
    for j in range(k):
        q = np.zeros((d, d))
        place = d
        for a in range(d):
            q[a, a] = np.exp(icf[j, a])
            below = d - 1 - a
            q[a + 1 :, a] = icf[j, place : place + below]
            place += below
        scaled = (x - means[j]) @ q.T
        logs = np.sum(icf[j, :d])
        terms[j] = alphas[j] + logs - 0.5 * np.sum(scaled**2, axis=1)
        prior += 0.5 * gamma**2 * np.sum(q**2) - m * logs
    total = -0.5 * n * d * LOG_2PI
    for i in range(n):
        column = terms[:, i]
        largest = np.max(column)
        total += np.log(np.sum(np.exp(column - largest))) + largest
    total -= n * np.log(np.sum(np.exp(alphas)))
    return total + prior - k * wishart_constant(d, gamma, m)
