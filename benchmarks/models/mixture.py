"""The log-likelihood of a mixture of Gaussians with full covariances and a Wishart prior: the GMM of ADBench.

F. Srajer, Z. Kukelova and A. Fitzgibbon, "A benchmark of selected algorithmic differentiation tools", Optimization
Methods and Software 33 (2018).  A component has a weight alpha, a mean, and the factor Q of its inverse covariance: the
logarithms of the diagonal of Q first in a row of `icf`, then its part below, column by column.  The gradient is that by
alphas, means and icf.
"""

import math

import numpy as np
from numba import njit

from .model import Model


def arguments(points, d, components):
    rng = np.random.default_rng(3)
    alphas = rng.normal(size=components)
    means = rng.uniform(size=(components, d))
    icf = rng.normal(size=(components, d * (d + 1) // 2))
    return alphas, means, icf, rng.normal(size=(points, d)), 1.0, 0


@njit(nogil=True)
def log_sum_exp(a):
    largest = a[0]
    for k in range(1, len(a)):
        largest = max(largest, a[k])
    total = 0.0
    for k in range(len(a)):
        total += math.exp(a[k] - largest)
    return largest + math.log(total)


@njit(nogil=True)
def constants(points, d, components, gamma, m):
    """What does not depend on what is differentiated: of the densities, and of the prior."""
    degrees = d + m + 1
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(1, d + 1):
        log_gamma += math.lgamma(0.5 * degrees + 0.5 * (1 - j))
    prior = degrees * d * (math.log(gamma) - 0.5 * math.log(2.0)) - log_gamma
    return -0.5 * points * d * math.log(2.0 * math.pi) - components * prior


@njit(nogil=True)
def by_element(alphas, means, icf, x, gamma, m):
    n, d = x.shape
    components = len(alphas)
    diagonal = np.empty((components, d))
    log_det = np.zeros(components)
    prior = 0.0
    for k in range(components):
        for i in range(d):
            diagonal[k, i] = math.exp(icf[k, i])
            log_det[k] += icf[k, i]
            prior += 0.5 * gamma * gamma * diagonal[k, i] * diagonal[k, i]
        for i in range(d, icf.shape[1]):
            prior += 0.5 * gamma * gamma * icf[k, i] * icf[k, i]
        prior -= m * log_det[k]

    terms = np.empty(components)
    q = np.empty(d)
    total = 0.0
    for p in range(n):
        for k in range(components):
            for i in range(d):
                q[i] = diagonal[k, i] * (x[p, i] - means[k, i])
            at = d
            for i in range(d):
                centred = x[p, i] - means[k, i]
                for j in range(i + 1, d):
                    q[j] += icf[k, at] * centred
                    at += 1
            square = 0.0
            for i in range(d):
                square += q[i] * q[i]
            terms[k] = alphas[k] + log_det[k] - 0.5 * square
        total += log_sum_exp(terms)
    return total - n * log_sum_exp(alphas) + prior + constants(n, d, components, gamma, m)


def whole_array(alphas, means, icf, x, gamma, m):
    n, d = x.shape
    components = len(alphas)
    terms = np.empty((n, components))
    for k in range(components):
        q = np.diag(np.exp(icf[k, :d]))
        at = d
        for i in range(d):
            q[i + 1 :, i] = icf[k, at : at + d - 1 - i]
            at += d - 1 - i
        y = (x - means[k]) @ q.T
        terms[:, k] = alphas[k] + np.sum(icf[k, :d]) - 0.5 * np.sum(y * y, axis=1)
    largest = np.max(terms, axis=1)
    total = np.sum(largest + np.log(np.sum(np.exp(terms - largest.reshape(n, 1)), axis=1)))
    most = np.max(alphas)
    weights = most + np.log(np.sum(np.exp(alphas - most)))
    prior = 0.5 * gamma**2 * (np.sum(np.exp(2.0 * icf[:, :d])) + np.sum(icf[:, d:] ** 2)) - m * np.sum(icf[:, :d])
    return total - n * weights + prior + constants(n, d, components, gamma, m)


# ------------------------------------------------------------------------------------------------- by hand


@njit(nogil=True, error_model="numpy")
def of_prior_and_weights(alphas, icf, n, d, gamma, m):
    """What the prior and the normalisation of the weights give the adjoints of alphas and icf."""
    components = len(alphas)
    largest = np.max(alphas)
    weights = np.exp(alphas - largest)
    alphas_b = -n * weights / np.sum(weights)
    icf_b = np.empty_like(icf)
    for k in range(components):
        for i in range(d):
            icf_b[k, i] = gamma * gamma * math.exp(2.0 * icf[k, i]) - m
        for i in range(d, icf.shape[1]):
            icf_b[k, i] = gamma * gamma * icf[k, i]
    return alphas_b, icf_b


@njit(nogil=True, error_model="numpy")
def point_by_point(alphas, means, icf, x, gamma, m):
    """Points are independent, so each goes forward and back at once: nothing is kept from one to the next.

    The columns of Q are slices, whose elements need no check for an index below zero.
    """
    n, d = x.shape
    components = len(alphas)
    diagonal = np.exp(icf[:, :d])
    log_det = np.sum(icf[:, :d], axis=1)
    alphas_b, icf_b = of_prior_and_weights(alphas, icf, n, d, gamma, m)
    means_b = np.zeros_like(means)
    terms = np.empty(components)
    ys = np.empty((components, d))
    centred = np.empty((components, d))
    g = np.empty(d)
    for p in range(n):
        largest = -np.inf
        for k in range(components):
            y, c, row = ys[k], centred[k], icf[k]
            for i in range(d):
                c[i] = x[p, i] - means[k, i]
                y[i] = diagonal[k, i] * c[i]
            at = d
            for i in range(d - 1):
                below, column = y[i + 1 :], row[at : at + d - 1 - i]
                for j in range(len(column)):
                    below[j] += column[j] * c[i]
                at += d - 1 - i
            square = 0.0
            for i in range(d):
                square += y[i] * y[i]
            terms[k] = alphas[k] + log_det[k] - 0.5 * square
            largest = max(largest, terms[k])
        total = 0.0
        for k in range(components):
            terms[k] = math.exp(terms[k] - largest)
            total += terms[k]
        for k in range(components):
            weight = terms[k] / total
            y, c, row, row_b = ys[k], centred[k], icf[k], icf_b[k]
            alphas_b[k] += weight
            for i in range(d):
                g[i] = -weight * y[i]
            at = d
            for i in range(d):
                below, column, column_b = g[i + 1 :], row[at : at + d - 1 - i], row_b[at : at + d - 1 - i]
                row_b[i] += weight + g[i] * diagonal[k, i] * c[i]
                mean_b = g[i] * diagonal[k, i]
                for j in range(len(column)):
                    column_b[j] += below[j] * c[i]
                    mean_b += below[j] * column[j]
                means_b[k, i] -= mean_b
                at += d - 1 - i
    return alphas_b, means_b, icf_b


@njit(nogil=True, error_model="numpy")
def by_matrices(alphas, means, icf, x, gamma, m):
    """Component by component for all points, in products of matrices."""
    n, d = x.shape
    components = len(alphas)
    alphas_b, icf_b = of_prior_and_weights(alphas, icf, n, d, gamma, m)
    means_b = np.empty_like(means)
    factors = np.zeros((components, d, d))
    ys = np.empty((components, n, d))
    terms = np.empty((components, n))
    centred = np.empty((n, d))
    for k in range(components):
        at = d
        for i in range(d):
            factors[k, i, i] = math.exp(icf[k, i])
            for j in range(i + 1, d):
                factors[k, j, i] = icf[k, at]
                at += 1
        for p in range(n):
            for i in range(d):
                centred[p, i] = x[p, i] - means[k, i]
        y = ys[k]
        np.dot(centred, factors[k].T, y)
        base = alphas[k] + np.sum(icf[k, :d])
        for p in range(n):
            square = 0.0
            for i in range(d):
                square += y[p, i] * y[p, i]
            terms[k, p] = base - 0.5 * square
    largest = terms[0].copy()
    for k in range(1, components):
        for p in range(n):
            largest[p] = max(largest[p], terms[k, p])
    total = np.zeros(n)
    for k in range(components):
        for p in range(n):
            terms[k, p] = math.exp(terms[k, p] - largest[p])
            total[p] += terms[k, p]
    for k in range(components):
        y = ys[k]
        weight = 0.0
        for p in range(n):
            w = terms[k, p] / total[p]
            weight += w
            for i in range(d):
                y[p, i] *= -w
                centred[p, i] = x[p, i] - means[k, i]
        alphas_b[k] += weight
        factor_b = np.dot(y.T, centred)
        means_b[k] = -np.dot(np.sum(y, axis=0), factors[k])
        at = d
        for i in range(d):
            icf_b[k, i] += weight + factor_b[i, i] * factors[k, i, i]
            for j in range(i + 1, d):
                icf_b[k, at] += factor_b[j, i]
                at += 1
    return alphas_b, means_b, icf_b


# --------------------------------------------------------------------------------------------------- peers


def places(d):
    """Where an element of Q stands in a row of icf that begins with a zero instead of its diagonal."""
    found = np.zeros((d, d), dtype=int)
    found.T[np.triu_indices(d, 1)] = np.arange(1, d * (d - 1) // 2 + 1)
    return found


def batched(np, log_sum_exp, zeros, x, gamma, m):
    """The function in the NumPy of a peer, for all points and components at once."""
    n, d = x.shape
    place = places(d)

    def loss(alphas, means, icf):
        components = len(alphas)
        diagonal = np.exp(icf[:, :d])
        below = np.concatenate((zeros((components, 1)), icf[:, d:]), 1)[:, place]
        centred = x[:, None, :] - means[None, :, :]
        y = diagonal * centred + np.einsum("kij,nkj->nki", below, centred)
        terms = alphas + np.sum(icf[:, :d], 1) - 0.5 * np.sum(y * y, 2)
        prior = 0.5 * gamma**2 * (np.sum(diagonal**2) + np.sum(icf[:, d:] ** 2)) - m * np.sum(icf[:, :d])
        total = np.sum(log_sum_exp(terms, 1)) - n * log_sum_exp(alphas, 0)
        return total + prior + constants(n, d, components, gamma, m)

    return loss


def in_jax(alphas, means, icf, x, gamma, m):
    import jax

    jax.config.update("jax_enable_x64", True)
    loss = batched(jax.numpy, jax.scipy.special.logsumexp, np.zeros, x, gamma, m)
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    return lambda alphas, means, icf, x, gamma, m: tuple(map(np.asarray, gradient(alphas, means, icf)))


def in_torch(alphas, means, icf, x, gamma, m):
    import torch

    points = torch.tensor(x)

    def gradient(alphas, means, icf, x, gamma, m):
        leaves = [torch.tensor(a, requires_grad=True) for a in (alphas, means, icf)]
        loss = batched(torch, torch.logsumexp, lambda s: torch.zeros(s, dtype=torch.float64), points, gamma, m)
        loss(*leaves).backward()
        return tuple(leaf.grad.numpy() for leaf in leaves)

    return gradient


def in_autograd(alphas, means, icf, x, gamma, m):
    import autograd

    anp = autograd.numpy

    def log_sum_exp(a, axis):
        largest = anp.max(a, axis=axis, keepdims=True)
        return anp.squeeze(largest, axis) + anp.log(anp.sum(anp.exp(a - largest), axis=axis))

    gradient = autograd.grad(batched(anp, log_sum_exp, np.zeros, x, gamma, m), (0, 1, 2))
    return lambda alphas, means, icf, x, gamma, m: gradient(alphas, means, icf)


MODEL = Model(
    name="mixture",
    wrt=("alphas", "means", "icf"),
    sizes={"n 1 000, d 10, k 25": (1000, 10, 25)},
    small=(7, 3, 4),
    arguments=arguments,
    by_element=by_element,
    whole_array=whole_array,
    by_hand={
        "point by point": lambda *args: point_by_point,
        "by matrices": lambda *args: by_matrices,
    },
    trip="point and component",
    trips=lambda points, d, components: points * components,
    # Points are independent: each can go back at once, from what the last k components left in a buffer.
    least=lambda points, d, components: 0.0,
    peers={"jax": in_jax, "torch": in_torch, "autograd": in_autograd},
)
