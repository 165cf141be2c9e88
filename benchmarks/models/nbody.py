"""Bodies that attract each other: softened gravity, all pairs, symplectic Euler.

S. J. Aarseth, Monthly Notices of the Royal Astronomical Society 126 (1963), for the softening.  The result is the sum
of squares of the final positions, the gradient that by the initial positions and velocities and by the masses.
"""

import math

import numpy as np
from numba import njit

from .model import Model, with_numpy


def arguments(bodies, steps):
    rng = np.random.default_rng(7)
    return rng.normal(size=(bodies, 3)), 0.3 * rng.normal(size=(bodies, 3)), rng.uniform(0.5, 1.5, bodies), 2e-3, steps


SOFTENING = 0.05


@njit(nogil=True)
def by_element(x, v, m, dt, steps):
    n = len(x)
    x = x.copy()
    v = v.copy()
    a = np.zeros((n, 3))
    for _ in range(steps):
        for i in range(n):
            for k in range(3):
                a[i, k] = 0.0
        for i in range(n):
            for j in range(i + 1, n):
                dx = x[j, 0] - x[i, 0]
                dy = x[j, 1] - x[i, 1]
                dz = x[j, 2] - x[i, 2]
                square = dx * dx + dy * dy + dz * dz + SOFTENING
                s = 1.0 / (square * math.sqrt(square))
                a[i, 0] += m[j] * s * dx
                a[i, 1] += m[j] * s * dy
                a[i, 2] += m[j] * s * dz
                a[j, 0] -= m[i] * s * dx
                a[j, 1] -= m[i] * s * dy
                a[j, 2] -= m[i] * s * dz
        for i in range(n):
            for k in range(3):
                v[i, k] += dt * a[i, k]
                x[i, k] += dt * v[i, k]
    total = 0.0
    for i in range(n):
        for k in range(3):
            total += x[i, k] * x[i, k]
    return total


def whole_array(x, v, m, dt, steps):
    n = len(x)
    for _ in range(steps):
        d = np.reshape(x, (1, n, 3)) - np.reshape(x, (n, 1, 3))
        square = np.sum(d * d, axis=2) + SOFTENING
        pull = m / (square * np.sqrt(square))
        v = v + dt * np.sum(np.reshape(pull, (n, n, 1)) * d, axis=1)
        x = x + dt * v
    return np.sum(x * x)


# ------------------------------------------------------------------------------------------------- by hand


@njit(nogil=True, error_model="numpy")
def by_pairs(xs, x, v, m, dt, steps):
    """The loop over pairs as it stands, and the same loop again on the way back; kept are the positions."""
    n = len(x)
    v = v.copy()
    a = np.empty((n, 3))
    xs[0] = x
    for t in range(steps):
        x, new = xs[t], xs[t + 1]
        a[:] = 0.0
        for i in range(n):
            for j in range(i + 1, n):
                dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
                square = dx * dx + dy * dy + dz * dz + SOFTENING
                s = 1.0 / (square * math.sqrt(square))
                mi, mj = m[i] * s, m[j] * s
                a[i, 0] += mj * dx
                a[i, 1] += mj * dy
                a[i, 2] += mj * dz
                a[j, 0] -= mi * dx
                a[j, 1] -= mi * dy
                a[j, 2] -= mi * dz
        for i in range(n):
            for k in range(3):
                v[i, k] += dt * a[i, k]
                new[i, k] = x[i, k] + dt * v[i, k]

    xb = 2.0 * xs[steps]
    vb = np.zeros((n, 3))
    mb = np.zeros(n)
    for t in range(steps - 1, -1, -1):
        x = xs[t]
        for i in range(n):
            for k in range(3):
                vb[i, k] += dt * xb[i, k]
                a[i, k] = dt * vb[i, k]  # the adjoint of the acceleration
        for i in range(n):
            # What belongs to the first body of a pair stays in registers.
            x0, x1, x2, mi = x[i, 0], x[i, 1], x[i, 2], m[i]
            a0, a1, a2 = a[i, 0], a[i, 1], a[i, 2]
            b0 = b1 = b2 = mib = 0.0
            for j in range(i + 1, n):
                dx, dy, dz = x[j, 0] - x0, x[j, 1] - x1, x[j, 2] - x2
                square = dx * dx + dy * dy + dz * dz + SOFTENING
                inverse = 1.0 / square
                s = inverse * math.sqrt(inverse)
                mj = m[j]
                along_i = a0 * dx + a1 * dy + a2 * dz
                along_j = a[j, 0] * dx + a[j, 1] * dy + a[j, 2] * dz
                mb[j] += s * along_i
                mib -= s * along_j
                f = 3.0 * inverse * (mj * along_i - mi * along_j)
                c0 = s * (mj * a0 - mi * a[j, 0] - f * dx)
                c1 = s * (mj * a1 - mi * a[j, 1] - f * dy)
                c2 = s * (mj * a2 - mi * a[j, 2] - f * dz)
                xb[j, 0] += c0
                xb[j, 1] += c1
                xb[j, 2] += c2
                b0 += c0
                b1 += c1
                b2 += c2
            xb[i, 0] -= b0
            xb[i, 1] -= b1
            xb[i, 2] -= b2
            mb[i] += mib
    return xb, vb, mb


@njit(nogil=True, error_model="numpy")
def by_columns(xs, x, v, m, dt, steps):
    """Every pair twice, coordinate by coordinate: twice the work, in vectors over the bodies."""
    n = len(x)
    v = v.T.copy()
    a = np.empty((3, n))
    xs[0] = x.T
    for t in range(steps):
        x, new = xs[t], xs[t + 1]
        a[:] = 0.0
        for j in range(n):
            x0, x1, x2, mj = x[0, j], x[1, j], x[2, j], m[j]
            for i in range(n):
                dx, dy, dz = x0 - x[0, i], x1 - x[1, i], x2 - x[2, i]
                square = dx * dx + dy * dy + dz * dz + SOFTENING
                s = mj / (square * math.sqrt(square))
                a[0, i] += s * dx
                a[1, i] += s * dy
                a[2, i] += s * dz
        for k in range(3):
            for i in range(n):
                v[k, i] += dt * a[k, i]
                new[k, i] = x[k, i] + dt * v[k, i]

    xb = 2.0 * xs[steps]
    vb = np.zeros((3, n))
    mb = np.zeros(n)
    for t in range(steps - 1, -1, -1):
        x = xs[t]
        for k in range(3):
            for i in range(n):
                vb[k, i] += dt * xb[k, i]
                a[k, i] = dt * vb[k, i]
        for j in range(n):
            x0, x1, x2, mj = x[0, j], x[1, j], x[2, j], m[j]
            a0, a1, a2 = a[0, j], a[1, j], a[2, j]
            for i in range(n):
                # What a pair adds to body i: as the one that is pulled, and as the one that pulls.
                dx, dy, dz = x0 - x[0, i], x1 - x[1, i], x2 - x[2, i]
                square = dx * dx + dy * dy + dz * dz + SOFTENING
                inverse = 1.0 / square
                s = inverse * math.sqrt(inverse)
                mi = m[i]
                along_j = a0 * dx + a1 * dy + a2 * dz
                along_i = a[0, i] * dx + a[1, i] * dy + a[2, i] * dz
                mb[i] -= s * along_j
                f = 3.0 * inverse * (mj * along_i - mi * along_j)
                xb[0, i] -= s * (mj * a[0, i] - mi * a0 - f * dx)
                xb[1, i] -= s * (mj * a[1, i] - mi * a1 - f * dy)
                xb[2, i] -= s * (mj * a[2, i] - mi * a2 - f * dz)
    return xb.T.copy(), vb.T.copy(), mb


def in_pairs(x, v, m, dt, steps):
    xs = np.zeros((steps + 1, len(x), 3))
    return lambda *args: by_pairs(xs, *args)


def in_columns(x, v, m, dt, steps):
    xs = np.zeros((steps + 1, 3, len(x)))
    return lambda *args: by_columns(xs, *args)


# --------------------------------------------------------------------------------------------------- peers


def in_jax(x, v, m, dt, steps):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def loss(x, v, m, dt):
        def advance(state, _):
            x, v = state
            d = x[None, :, :] - x[:, None, :]
            square = jnp.sum(d * d, axis=2) + SOFTENING
            pull = m / (square * jnp.sqrt(square))
            v = v + dt * jnp.sum(pull[:, :, None] * d, axis=1)
            return (x + dt * v, v), None

        (x, v), _ = jax.lax.scan(advance, (x, v), None, length=steps)
        return jnp.sum(x * x)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    return lambda x, v, m, dt, steps: tuple(map(np.asarray, gradient(x, v, m, dt)))


def in_torch(x, v, m, dt, steps):
    import torch

    def gradient(x, v, m, dt, steps):
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, v, m)]
        x, v, m = leaves
        for _ in range(steps):
            d = x[None, :, :] - x[:, None, :]
            square = torch.sum(d * d, dim=2) + SOFTENING
            pull = m / (square * torch.sqrt(square))
            v = v + dt * torch.sum(pull[:, :, None] * d, dim=1)
            x = x + dt * v
        torch.sum(x * x).backward()
        return tuple(leaf.grad.numpy() for leaf in leaves)

    return gradient


def in_autograd(x, v, m, dt, steps):
    import autograd

    return autograd.grad(with_numpy(whole_array, autograd.numpy), [0, 1, 2])


MODEL = Model(
    name="nbody",
    wrt=("x", "v", "m"),
    sizes={"16 bodies x 500": (16, 500)},
    small=(5, 6),
    arguments=arguments,
    by_element=by_element,
    whole_array=whole_array,
    by_hand={"by pairs": in_pairs, "by columns": in_columns},
    trip="body and step",
    trips=lambda bodies, steps: bodies * steps,
    # The three coordinates: distances and forces are computed again from them.
    least=lambda bodies, steps: 24.0,
    peers={"jax": in_jax, "torch": in_torch, "autograd": in_autograd},
)
