"""Shallow water in one and two dimensions.

P. D. Lax and B. Wendroff, Systems of conservation laws, Comm. Pure Appl. Math. 13 (1960), in two steps on a circle; a
staggered grid (A. Arakawa and V. R. Lamb, Methods in Computational Physics 17 (1977)) with upwind fluxes between walls.
Both keep the mass: its gradient with respect to the initial heights is 1 everywhere, and 0 to the velocities.
"""

import numpy as np

from problems.case import case

RNG = np.random.default_rng(12)
GRAVITY = 9.81
HEIGHTS = 1.0 + 0.1 * RNG.normal(size=12)
MOMENTA = 0.1 * RNG.normal(size=12)
DEPTHS = 1.0 + 0.1 * RNG.normal(size=(5, 4))
WALLED_U = np.zeros((6, 4))
WALLED_U[1:-1] = 0.3 * RNG.normal(size=(4, 4))
WALLED_V = np.zeros((5, 5))
WALLED_V[:, 1:-1] = 0.3 * RNG.normal(size=(5, 3))


def mass_gradient(h, q, *rest):
    return np.ones_like(h), np.zeros_like(q)


@case(HEIGHTS, MOMENTA, 0.1, 6, 1.0, 0.0, wrt="h q", exact=mass_gradient, name="mass")
@case(HEIGHTS, MOMENTA, 0.1, 6, 0.2, 1.0, wrt="h q ratio", name="energy")
def lax_wendroff(h, q, ratio, steps, mass, energy):
    """Heights and momenta; `ratio` is dt / dx.  Works in the arrays that it gets."""
    n = len(h)
    half_h, half_q = np.empty(n), np.empty(n)
    for _ in range(steps):
        for i in range(n):
            j = (i + 1) % n
            flux = q[j] ** 2 / h[j] + 0.5 * GRAVITY * h[j] ** 2 - q[i] ** 2 / h[i] - 0.5 * GRAVITY * h[i] ** 2
            half_h[i] = 0.5 * (h[i] + h[j]) - 0.5 * ratio * (q[j] - q[i])
            half_q[i] = 0.5 * (q[i] + q[j]) - 0.5 * ratio * flux
        for i in range(n):
            right = half_q[i] ** 2 / half_h[i] + 0.5 * GRAVITY * half_h[i] ** 2
            left = half_q[i - 1] ** 2 / half_h[i - 1] + 0.5 * GRAVITY * half_h[i - 1] ** 2
            h[i] -= ratio * (half_q[i] - half_q[i - 1])
            q[i] -= ratio * (right - left)
    total = 0.0
    for i in range(n):
        total += mass * h[i] + energy * 0.5 * (q[i] ** 2 / h[i] + GRAVITY * h[i] ** 2)
    return total


@case(HEIGHTS, MOMENTA, 0.1, 6, 1.0, 0.0, wrt="h q", exact=mass_gradient, name="mass")
@case(HEIGHTS, MOMENTA, 0.1, 6, 0.2, 1.0, wrt="h q ratio", name="energy")
def lax_wendroff_by_roll(h, q, ratio, steps, mass, energy):
    for _ in range(steps):
        flux = q**2 / h + 0.5 * GRAVITY * h**2
        half_h = 0.5 * (h + np.roll(h, -1)) - 0.5 * ratio * (np.roll(q, -1) - q)
        half_q = 0.5 * (q + np.roll(q, -1)) - 0.5 * ratio * (np.roll(flux, -1) - flux)
        flux = half_q**2 / half_h + 0.5 * GRAVITY * half_h**2
        h = h - ratio * (half_q - np.roll(half_q, 1))
        q = q - ratio * (flux - np.roll(flux, 1))
    return np.sum(mass * h + energy * 0.5 * (q**2 / h + GRAVITY * h**2))


def walled_mass_gradient(h, u, v, *rest):
    return np.ones_like(h), np.zeros_like(u), np.zeros_like(v)


@case(DEPTHS, WALLED_U, WALLED_V, 0.05, 4, 1.0, 0.0, wrt="h u v", exact=walled_mass_gradient, name="mass")
@case(DEPTHS, WALLED_U, WALLED_V, 0.05, 4, 0.0, 1.0, wrt="h u v dt", name="energy")
def staggered(h, u, v, dt, steps, mass, energy):
    """Depths in cells, velocities on the faces between; those of the walls stay zero."""
    rows, columns = h.shape
    for _ in range(steps):
        u[1:-1] -= dt * GRAVITY * (h[1:] - h[:-1])
        v[:, 1:-1] -= dt * GRAVITY * (h[:, 1:] - h[:, :-1])
        before = h.copy()
        for i in range(rows - 1):
            for j in range(columns):
                flux = dt * u[i + 1, j] * (before[i, j] if u[i + 1, j] > 0.0 else before[i + 1, j])
                h[i, j] -= flux
                h[i + 1, j] += flux
        for i in range(rows):
            for j in range(columns - 1):
                flux = dt * v[i, j + 1] * (before[i, j] if v[i, j + 1] > 0.0 else before[i, j + 1])
                h[i, j] -= flux
                h[i, j + 1] += flux
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            squares = u[i, j] ** 2 + u[i + 1, j] ** 2 + v[i, j] ** 2 + v[i, j + 1] ** 2
            total += mass * h[i, j] + energy * (0.25 * squares * h[i, j] + 0.5 * GRAVITY * h[i, j] ** 2)
    return total
