"""Bodies that attract each other: energies, forces, symplectic integration.

The force is minus the gradient of the energy: with softening epsilon (S. J. Aarseth, MNRAS 126 (1963)) that of body j
on body i is G m_i m_j (x_j - x_i) / (r^2 + epsilon^2)^(3/2).  Leapfrog: L. Verlet, Physical Review 159 (1967); it keeps
the total momentum, whose gradient is m_i with respect to velocities and 0 with respect to positions.  The potential of
J. E. Lennard-Jones, Proceedings of the Physical Society 43 (1931).
"""

import math

import numpy as np
from numba import njit

from problems.case import case

RNG = np.random.default_rng(16)
N = 4
PLACES = RNG.normal(size=(N, 3)) + np.arange(N)[:, None]
SPEEDS = 0.3 * RNG.normal(size=(N, 3))
MASSES = RNG.uniform(0.5, 1.5, N)
G = 1.0


# ---------------------------------------------------------------------------------------------------- energies


def energy_gradient(x, v, m, softening):
    shape = x.shape
    x, v = x.reshape(-1, 3), v.reshape(-1, 3)
    apart = x[:, None] - x
    square = (apart**2).sum(axis=2) + softening**2
    np.fill_diagonal(square, np.inf)
    pairs = G * np.outer(m, m) / square**1.5
    by_x = np.einsum("ij,ijk->ik", pairs, apart)
    by_m = 0.5 * (v**2).sum(axis=1) - G * (m / np.sqrt(square)).sum(axis=1)
    return by_x.reshape(shape), (m[:, None] * v).reshape(shape), by_m, 0.5 * softening * pairs.sum()


@case(PLACES.ravel(), SPEEDS.ravel(), MASSES, 0.2, wrt="x v m softening", exact=energy_gradient)
def energy_by_scalars(x, v, m, softening):
    n = len(m)
    total = 0.0
    for i in range(n):
        total += 0.5 * m[i] * (v[3 * i] ** 2 + v[3 * i + 1] ** 2 + v[3 * i + 2] ** 2)
        for j in range(i):
            square = softening**2
            for k in range(3):
                square += (x[3 * i + k] - x[3 * j + k]) ** 2
            total -= G * m[i] * m[j] / math.sqrt(square)
    return total


@case(PLACES, SPEEDS, MASSES, 0.2, wrt="x v m softening", exact=energy_gradient)
def energy_of_rows(x, v, m, softening):
    total = 0.5 * np.sum(m * np.sum(v**2, axis=1))
    for i in range(len(m)):
        for j in range(i + 1, len(m)):
            apart = x[i] - x[j]
            total -= G * m[i] * m[j] / np.sqrt(apart @ apart + softening**2)
    return total


def lennard_jones_gradient(x, depth, size):
    x = x.reshape(-1, 3)
    apart = x[:, None] - x
    square = (apart**2).sum(axis=2)
    np.fill_diagonal(square, np.inf)
    sixth = (size**2 / square) ** 3
    by_square = 4.0 * depth * (-6.0 * sixth**2 + 3.0 * sixth) / square
    by_x = 2.0 * np.einsum("ij,ijk->ik", by_square, apart)
    by_depth = 0.5 * np.sum(4.0 * (sixth**2 - sixth))
    by_size = 0.5 * np.sum(4.0 * depth * (12.0 * sixth**2 - 6.0 * sixth)) / size
    return by_x.ravel(), by_depth, by_size


@case(PLACES.ravel(), 0.7, 1.1, wrt="x depth size", exact=lennard_jones_gradient)
def lennard_jones(x, depth, size):
    n = len(x) // 3
    total = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            dx = x[3 * i] - x[3 * j]
            dy = x[3 * i + 1] - x[3 * j + 1]
            dz = x[3 * i + 2] - x[3 * j + 2]
            sixth = (size * size / (dx * dx + dy * dy + dz * dz)) ** 3
            total += 4.0 * depth * (sixth * sixth - sixth)
    return total


# -------------------------------------------------------------------------------------------------- integration


@case(1.0, 0.2, 0.1, 1.1, 1.0, 0.05, 30, wrt="x y u v mu")
def kepler_leapfrog(x, y, u, v, mu, dt, steps):
    """One body around a fixed center; the value mixes its place and its energy."""
    for _ in range(steps):
        cube = (x * x + y * y) ** 1.5
        u -= 0.5 * dt * mu * x / cube
        v -= 0.5 * dt * mu * y / cube
        x += dt * u
        y += dt * v
        cube = (x * x + y * y) ** 1.5
        u -= 0.5 * dt * mu * x / cube
        v -= 0.5 * dt * mu * y / cube
    return x + 2.0 * y + 0.5 * (u * u + v * v) - mu / math.hypot(x, y)


@njit
def accelerations(x, m, softening, a):
    """Each pair once; both of its bodies get their share."""
    a[:] = 0.0
    for i in range(len(m)):
        for j in range(i):
            square = softening**2
            for k in range(3):
                square += (x[j, k] - x[i, k]) ** 2
            factor = G / (square * np.sqrt(square))
            for k in range(3):
                a[i, k] += factor * m[j] * (x[j, k] - x[i, k])
                a[j, k] += factor * m[i] * (x[i, k] - x[j, k])


def momentum_gradient(x, v, m, softening, dt, steps, weights, kinetic):
    return np.zeros_like(x), np.outer(m, weights)


@case(
    PLACES,
    SPEEDS,
    MASSES,
    0.2,
    0.05,
    8,
    np.array([1.0, -2.0, 0.5]),
    0.0,
    wrt="x v",
    exact=momentum_gradient,
    name="momentum",
)
@case(PLACES, SPEEDS, MASSES, 0.2, 0.05, 8, np.zeros(3), 1.0, wrt="x v m softening dt", name="kinetic_energy")
def leapfrog(x, v, m, softening, dt, steps, weights, kinetic):
    """Kick, drift, kick in the arrays of the caller."""
    a = np.empty_like(x)
    accelerations(x, m, softening, a)
    for _ in range(steps):
        v += 0.5 * dt * a
        x += dt * v
        accelerations(x, m, softening, a)
        v += 0.5 * dt * a
    total = 0.0
    for i in range(len(m)):
        for k in range(3):
            total += m[i] * (weights[k] * v[i, k] + kinetic * 0.5 * v[i, k] ** 2)
    return total


@case(
    np.array([0.0, 0.5, 1.1, 1.4, 2.0]),
    np.array([0.0, 0.3, -0.2, 0.4, 0.0]),
    1.3,
    0.25,
    0.1,
    20,
    wrt="x v stiffness cubic",
)
def fermi_pasta_ulam(x, v, stiffness, cubic, dt, steps):
    """A chain with held ends: E. Fermi, J. Pasta and S. Ulam, Los Alamos report LA-1940 (1955); symplectic Euler."""
    n = len(x)
    for _ in range(steps):
        for i in range(1, n - 1):
            right, left = x[i + 1] - x[i], x[i] - x[i - 1]
            v[i] += dt * (stiffness * (right - left) + cubic * (right**3 - left**3))
        for i in range(1, n - 1):
            x[i] += dt * v[i]
    return np.sum(x**2) + 0.5 * np.sum(v)
