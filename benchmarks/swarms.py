"""Programs with a loop over prange: an ensemble of trajectories, a sum over data, and a stencil in a time loop."""

import math

import numpy as np
from numba import prange


def ensemble(starts, parameters, steps, dt):
    """Lorenz's equations from each of some starts."""
    total = 0.0
    for i in prange(len(starts)):
        x, y, z = starts[i, 0], starts[i, 1], starts[i, 2]
        for _ in range(steps):
            dx, dy, dz = parameters[0] * (y - x), x * (parameters[1] - z) - y, x * y - parameters[2] * z
            x += dt * dx
            y += dt * dy
            z += dt * dz
        total += x * x + y * y + z * z
    return total


def mixture(weights, means, scales, data):
    """The likelihood of points under a mixture of Gaussians with diagonal covariances (all logarithms)."""
    total = 0.0
    for i in prange(len(data)):
        terms = np.empty(len(weights))
        for k in range(len(weights)):
            square = 0.0
            for j in range(data.shape[1]):
                square += ((data[i, j] - means[k, j]) * math.exp(-scales[k, j])) ** 2 + 2.0 * scales[k, j]
            terms[k] = weights[k] - 0.5 * square
        most = terms[0]
        for k in range(1, len(terms)):
            most = max(most, terms[k])
        parts = 0.0
        for k in range(len(terms)):
            parts += math.exp(terms[k] - most)
        total += math.log(parts) + most
    return total


def stencil(u, steps):
    """Burgers' equation by rows of a plane."""
    v = u.copy()
    for _ in range(steps):
        for i in prange(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j]
                v[i, j] = u[i, j] + 0.1 * around - 0.05 * u[i, j] * (u[i + 1, j] - u[i - 1, j])
        u, v = v, u
    return np.sum(u * u)


def programs():
    """By name, a function and arguments."""
    rng = np.random.default_rng(1)
    starts = rng.normal(size=(64, 3))
    k, d = 12, 8
    weights, means, scales = rng.normal(size=k), rng.normal(size=(k, d)), 0.1 * rng.normal(size=(k, d))
    return {
        "ensemble": (ensemble, (starts, np.array([10.0, 28.0, 8.0 / 3.0]), 4000, 0.002)),
        "mixture": (mixture, (weights, means, scales, rng.normal(size=(6000, d)))),
        "stencil": (stencil, (rng.normal(size=(400, 400)), 12)),
    }
