"""Likelihoods by recursion over time: Kalman filter, hidden Markov model, autoregression, GARCH.

* Local level and Kalman filter in matrix form: A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman
  Filter (1989); observations one by one: S. J. Koopman and J. Durbin, J. Time Series Analysis 21 (2000).  The reference
  of the local level is its sensitivity recursion, that of the matrix form the likelihood of the joint normal
  distribution.
* Hidden Markov model: L. R. Rabiner, A tutorial on hidden Markov models, Proceedings of the IEEE 77 (1989).  The
  gradient is that of forward and backward variables: d log L / d a_ij = sum_t alpha_t(i) b_j(o_t+1) beta_t+1(j) / L.
* GARCH(1,1): T. Bollerslev, J. Econometrics 31 (1986); C. Fiorentini, G. Calzolari and L. Panattoni, Analytic
  derivatives and the computation of GARCH estimates, J. Applied Econometrics 11 (1996): the sensitivity recursion.
* AR(2) with mean, conditional on the first two values: the gradient of its least squares.
"""

import math

import numpy as np
from numba import njit

from problems.case import case

RNG = np.random.default_rng(8)
LOG_2PI = math.log(2.0 * math.pi)
LEVEL = np.cumsum(0.5 * RNG.normal(size=20)) + RNG.normal(size=20)


# ------------------------------------------------------------------------------------------------- local level


def local_level_gradient(y, noise, walk, mean, variance):
    """Each quantity of the filter with its derivatives with respect to (noise, walk, mean, variance)."""
    m, p = mean, variance
    dm, dp = np.array([0.0, 0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0])
    e_noise, e_walk = np.eye(4)[0], np.eye(4)[1]
    slope = np.zeros(4)
    for value in y:
        p, dp = p + walk, dp + e_walk
        f, df = p + noise, dp + e_noise
        v, dv = value - m, -dm
        slope += -0.5 * (df / f + 2.0 * v * dv / f - v * v * df / f**2)
        gain, dgain = p / f, dp / f - p * df / f**2
        m, dm = m + gain * v, dm + dgain * v + gain * dv
        p, dp = (1.0 - gain) * p, (1.0 - gain) * dp - dgain * p
    return tuple(slope)


@case(LEVEL, 1.1, 0.3, 0.2, 2.0, wrt="noise walk mean variance", exact=local_level_gradient)
def local_level(y, noise, walk, mean, variance):
    m = mean
    p = variance
    total = 0.0
    for t in range(len(y)):
        p = p + walk
        f = p + noise
        v = y[t] - m
        total -= 0.5 * (LOG_2PI + math.log(f) + v * v / f)
        gain = p / f
        m = m + gain * v
        p = (1.0 - gain) * p
    return total


# ------------------------------------------------------------------------------------------- Kalman, matrix form

STATES, SEEN, TIMES = 3, 2, 6
TRANSITION = 0.5 * RNG.normal(size=(STATES, STATES))
OBSERVE = RNG.normal(size=(SEEN, STATES))
ROOT = 0.5 * RNG.normal(size=(STATES, STATES))
NOISE = np.array([0.9, 0.7])
SERIES = RNG.normal(size=(TIMES, SEEN))


def kalman_gradient(y, a, h, root, noise):
    """From the joint normal distribution of all observations, covariance S: dL = tr((u u^T - S^-1) dS) / 2, u = S^-1 y.

    The state starts in zero; S is sum_t G_t q G_t^T and the noise, where q = root root^T and G_t maps what enters the
    state at time t to the observations.
    """
    n, times, seen = len(a), len(y), len(noise)
    q = root @ root.T
    powers = [np.linalg.matrix_power(a, k) for k in range(times)]
    maps = [np.vstack([h @ powers[s - t] if s >= t else np.zeros_like(h) for s in range(times)]) for t in range(times)]
    s = sum(g @ q @ g.T for g in maps) + np.diag(np.tile(noise**2, times))
    inverse = np.linalg.inv(s)
    u = inverse @ y.ravel()
    bar = 0.5 * (np.outer(u, u) - inverse)
    by_root = 2.0 * sum(g.T @ bar @ g for g in maps) @ root
    by_noise = 2.0 * noise * np.diag(bar).reshape(times, seen).sum(axis=0)
    by_a, by_h = np.zeros_like(a), np.zeros_like(h)
    for t, g in enumerate(maps):
        g_bar = (2.0 * bar @ g @ q).reshape(times, seen, n)
        for late in range(t, times):
            k = late - t
            by_h += g_bar[late] @ powers[k].T
            power_bar = h.T @ g_bar[late]
            for j in range(k):
                by_a += powers[j].T @ power_bar @ powers[k - 1 - j].T
    return -u.reshape(y.shape), by_a, by_h, by_root, by_noise


@njit
def product(a, b):
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


@case(SERIES, TRANSITION, OBSERVE, ROOT, NOISE, wrt="y a h root noise", exact=kalman_gradient)
def kalman_by_loops(y, a, h, root, noise):
    """Two observations a time: the inverse of their covariance is written out."""
    n = a.shape[0]
    m = np.zeros(n)
    p = np.zeros((n, n))
    q = product(root, root.T)
    total = 0.0
    for t in range(y.shape[0]):
        new = np.zeros(n)
        for i in range(n):
            for j in range(n):
                new[i] += a[i, j] * m[j]
        m = new
        p = product(product(a, p), a.T)
        for i in range(n):
            for j in range(n):
                p[i, j] += q[i, j]
        ph = product(p, h.T)
        s = product(h, ph)
        s[0, 0] += noise[0] ** 2
        s[1, 1] += noise[1] ** 2
        det = s[0, 0] * s[1, 1] - s[0, 1] * s[1, 0]
        v = y[t].copy()
        for i in range(2):
            for j in range(n):
                v[i] -= h[i, j] * m[j]
        u0 = (s[1, 1] * v[0] - s[0, 1] * v[1]) / det
        u1 = (s[0, 0] * v[1] - s[1, 0] * v[0]) / det
        total -= 0.5 * (2.0 * LOG_2PI + math.log(det) + v[0] * u0 + v[1] * u1)
        for i in range(n):
            m[i] += ph[i, 0] * u0 + ph[i, 1] * u1
        gain = np.empty((n, 2))
        for i in range(n):
            gain[i, 0] = (ph[i, 0] * s[1, 1] - ph[i, 1] * s[1, 0]) / det
            gain[i, 1] = (ph[i, 1] * s[0, 0] - ph[i, 0] * s[0, 1]) / det
        p = p - product(gain, ph.T)
    return total


@case(SERIES, TRANSITION, OBSERVE, ROOT, NOISE, wrt="y a h root noise", exact=kalman_gradient)
def kalman_one_by_one(y, a, h, root, noise):
    """The observations of a time one after the other, so that nothing is inverted."""
    m = np.zeros(a.shape[0])
    p = np.zeros_like(a)
    q = root @ root.T
    total = 0.0
    for t in range(len(y)):
        m = a @ m
        p = a @ p @ a.T + q
        for i in range(len(noise)):
            ph = p @ h[i]
            f = h[i] @ ph + noise[i] ** 2
            v = y[t, i] - h[i] @ m
            total -= 0.5 * (LOG_2PI + np.log(f) + v**2 / f)
            m = m + ph * (v / f)
            p -= np.outer(ph, ph) / f
    return total


# ------------------------------------------------------------------------------------------------ hidden Markov


def hidden_markov_gradient(start, moves, emits, seen):
    """By forward and backward variables, with respect to start, moves and emits as they stand (rows not normalized)."""
    k, times = len(start), len(seen)
    shapes = moves.shape, emits.shape
    moves, emits = moves.reshape(k, k), emits.reshape(k, -1)
    alpha, beta = np.empty((times, k)), np.ones((times, k))
    alpha[0] = start * emits[:, seen[0]]
    for t in range(1, times):
        alpha[t] = alpha[t - 1] @ moves * emits[:, seen[t]]
    for t in reversed(range(times - 1)):
        beta[t] = moves @ (emits[:, seen[t + 1]] * beta[t + 1])
    likelihood = alpha[-1].sum()
    by_moves, by_emits = np.zeros_like(moves), np.zeros_like(emits)
    by_emits[:, seen[0]] += start * beta[0]
    for t in range(1, times):
        by_moves += np.outer(alpha[t - 1], emits[:, seen[t]] * beta[t])
        by_emits[:, seen[t]] += alpha[t - 1] @ moves * beta[t]
    by_start = emits[:, seen[0]] * beta[0]
    found = by_start, by_moves.reshape(shapes[0]), by_emits.reshape(shapes[1])
    return tuple(g / likelihood for g in found)


def stochastic(*shape):
    rows = RNG.uniform(0.2, 1.0, shape)
    return rows / rows.sum(axis=-1, keepdims=True)


SYMBOLS = RNG.integers(0, 3, 12)


@case(
    stochastic(2),
    stochastic(2, 2).ravel(),
    stochastic(2, 3).ravel(),
    SYMBOLS,
    wrt="start moves emits",
    exact=hidden_markov_gradient,
)
def hidden_markov_two_states(start, moves, emits, seen):
    """Scaled at every step, by scalars."""
    a = start[0] * emits[seen[0]]
    b = start[1] * emits[3 + seen[0]]
    total = 0.0
    for t in range(1, len(seen)):
        s = a + b
        total += math.log(s)
        a, b = (
            (a * moves[0] + b * moves[2]) / s * emits[seen[t]],
            (a * moves[1] + b * moves[3]) / s * emits[3 + seen[t]],
        )
    return total + math.log(a + b)


@case(
    stochastic(4),
    stochastic(4, 4),
    stochastic(4, 3),
    SYMBOLS,
    wrt="start moves emits",
    exact=hidden_markov_gradient,
)
def hidden_markov(start, moves, emits, seen):
    """The forward algorithm with two arrays that swap."""
    k = len(start)
    alpha, following = np.empty(k), np.empty(k)
    for i in range(k):
        alpha[i] = start[i] * emits[i, seen[0]]
    total = 0.0
    for t in range(1, len(seen)):
        s = 0.0
        for i in range(k):
            s += alpha[i]
        total += np.log(s)
        for j in range(k):
            following[j] = 0.0
            for i in range(k):
                following[j] += alpha[i] * moves[i, j]
            following[j] *= emits[j, seen[t]] / s
        alpha, following = following, alpha
    return total + np.log(np.sum(alpha))


@case(
    stochastic(4),
    stochastic(4, 4),
    stochastic(4, 3),
    SYMBOLS,
    wrt="start moves emits",
    exact=hidden_markov_gradient,
)
def hidden_markov_of_arrays(start, moves, emits, seen):
    alpha = start * emits[:, seen[0]]
    for symbol in seen[1:]:
        alpha = alpha @ moves * emits[:, symbol]
    return np.log(alpha.sum())


# --------------------------------------------------------------------------------------- autoregression, GARCH


def garch_gradient(y, mu, omega, alpha, beta):
    """Variance h and its derivatives with respect to (mu, omega, alpha, beta)."""
    e = y - mu
    h = np.mean(e**2)
    dh = np.array([-2.0 * np.mean(e), 0.0, 0.0, 0.0])
    slope = np.zeros(4)
    for t in range(len(y)):
        if t > 0:
            dh = np.array([-2.0 * alpha * e[t - 1], 1.0, e[t - 1] ** 2, h]) + beta * dh
            h = omega + alpha * e[t - 1] ** 2 + beta * h
        slope += 0.5 * dh / h * (1.0 - e[t] ** 2 / h)
        slope[0] -= e[t] / h
    return tuple(slope)


RETURNS = 0.1 + RNG.normal(size=25) * RNG.uniform(0.5, 1.5, 25)


@case(RETURNS, 0.05, 0.2, 0.15, 0.7, wrt="mu omega alpha beta", exact=garch_gradient)
def garch(y, mu, omega, alpha, beta):
    """Negative log-likelihood; the first variance is the mean square."""
    n = len(y)
    h = 0.0
    for t in range(n):
        h += (y[t] - mu) ** 2 / n
    total = 0.0
    for t in range(n):
        if t > 0:
            h = omega + alpha * (y[t - 1] - mu) ** 2 + beta * h
        total += 0.5 * (LOG_2PI + math.log(h) + (y[t] - mu) ** 2 / h)
    return total


@case(RETURNS, 0.05, 0.2, 0.15, 0.7, wrt="mu omega alpha beta", exact=garch_gradient)
def garch_of_arrays(y, mu, omega, alpha, beta):
    """Residuals and variances are kept."""
    e = y - mu
    h = np.empty_like(y)
    h[0] = np.mean(e**2)
    for t in range(1, len(y)):
        h[t] = omega + alpha * e[t - 1] ** 2 + beta * h[t - 1]
    return 0.5 * np.sum(LOG_2PI + np.log(h) + e**2 / h)


def autoregression_gradient(y, mean, first, second, variance):
    z = y - mean
    e = z[2:] - first * z[1:-1] - second * z[:-2]
    by_mean = np.sum(e) * (first + second - 1.0) / variance
    squares = np.sum(e**2) / variance
    by_variance = 0.5 * (len(e) - squares) / variance
    return by_mean, -e @ z[1:-1] / variance, -e @ z[:-2] / variance, by_variance


@case(RETURNS, 0.1, 0.5, -0.3, 0.8, wrt="mean first second variance", exact=autoregression_gradient)
def autoregression(y, mean, first, second, variance):
    total = 0.0
    before, last = y[0] - mean, y[1] - mean
    for t in range(2, len(y)):
        z = y[t] - mean
        e = z - first * last - second * before
        total += 0.5 * (math.log(2.0 * math.pi * variance) + e * e / variance)
        before, last = last, z
    return total
