"""Shallow water in a closed square basin: waves of finite height on a staggered grid, forward-backward in time.

F. Mesinger and A. Arakawa, Numerical Methods Used in Atmospheric Models (1976): first the velocities on the faces of
the cells from the slope of the surface, then the depths from what flows through the faces.  `gravity` is g dt / dx and
`rate` is dt / dx.  Velocities through the walls are zero and stay so.  The result is the sum of squares of the final
depths, the gradient that by the initial ones.
"""

import numpy as np
from numba import njit

from .model import Model


def arguments(n, steps):
    x = (np.arange(n) + 0.5) / n - 0.5
    h = 1.0 + 0.3 * np.exp(-40.0 * ((x[:, None] - 0.1) ** 2 + (x[None, :] + 0.15) ** 2))
    return h, 0.1, 0.1, steps


@njit(nogil=True)
def by_element(h, gravity, rate, steps):
    n = len(h)
    h = h.copy()
    u = np.zeros((n + 1, n))
    v = np.zeros((n, n + 1))
    fu = np.zeros((n + 1, n))
    fv = np.zeros((n, n + 1))
    for _ in range(steps):
        for i in range(1, n):
            for j in range(n):
                u[i, j] -= gravity * (h[i, j] - h[i - 1, j])
                fu[i, j] = 0.5 * u[i, j] * (h[i, j] + h[i - 1, j])
        for i in range(n):
            for j in range(1, n):
                v[i, j] -= gravity * (h[i, j] - h[i, j - 1])
                fv[i, j] = 0.5 * v[i, j] * (h[i, j] + h[i, j - 1])
        for i in range(n):
            for j in range(n):
                h[i, j] -= rate * (fu[i + 1, j] - fu[i, j] + fv[i, j + 1] - fv[i, j])
    total = 0.0
    for i in range(n):
        for j in range(n):
            total += h[i, j] * h[i, j]
    return total


def whole_array(h, gravity, rate, steps):
    n = len(h)
    h = h.copy()
    u = np.zeros((n + 1, n))
    v = np.zeros((n, n + 1))
    fu = np.zeros((n + 1, n))
    fv = np.zeros((n, n + 1))
    for _ in range(steps):
        u[1:-1] -= gravity * (h[1:] - h[:-1])
        v[:, 1:-1] -= gravity * (h[:, 1:] - h[:, :-1])
        fu[1:-1] = 0.5 * u[1:-1] * (h[1:] + h[:-1])
        fv[:, 1:-1] = 0.5 * v[:, 1:-1] * (h[:, 1:] + h[:, :-1])
        h -= rate * (fu[1:] - fu[:-1] + fv[:, 1:] - fv[:, :-1])
    return np.sum(h * h)


# ------------------------------------------------------------------------------------------------- by hand


@njit(nogil=True, error_model="numpy")
def forward(hs, us, vs, h, gravity, rate, steps):
    """The states are computed where they are kept, row by row of the basin: a row is still at hand for the next one."""
    n = len(h)
    hs[0] = h
    half = 0.5 * rate
    fu = np.zeros((n + 1, n))
    fv = np.zeros(n + 1)
    for t in range(steps):
        h, new = hs[t], hs[t + 1]
        u, v, up, vp = us[t], vs[t], us[t + 1], vs[t + 1]
        for i in range(n):
            if i < n - 1:
                for j in range(n):
                    up[i + 1, j] = u[i + 1, j] - gravity * (h[i + 1, j] - h[i, j])
                    fu[i + 1, j] = up[i + 1, j] * (h[i + 1, j] + h[i, j])
            for j in range(1, n):
                vp[i, j] = v[i, j] - gravity * (h[i, j] - h[i, j - 1])
                fv[j] = vp[i, j] * (h[i, j] + h[i, j - 1])
            for j in range(n):
                new[i, j] = h[i, j] - half * (fu[i + 1, j] - fu[i, j] + fv[j + 1] - fv[j])


@njit(nogil=True, error_model="numpy")
def reverse(hs, us, vs, gravity, rate, steps):
    """Gathered, row by row.  `hb` and `new` have a rim, which stays zero; so do the walls of `ub` and `vb`."""
    n = hs.shape[1]
    hb = np.zeros((n + 2, n + 2))
    new = np.zeros((n + 2, n + 2))
    ub = np.zeros((n + 1, n))
    vb = np.zeros((n, n + 1))
    half = 0.5 * rate
    for i in range(n):
        for j in range(n):
            hb[i + 1, j + 1] = 2.0 * hs[steps, i, j]
    for t in range(steps - 1, -1, -1):
        h, u, v = hs[t], us[t + 1], vs[t + 1]
        for i in range(n):
            if i < n - 1:
                for j in range(n):
                    ub[i + 1, j] += half * (hb[i + 2, j + 1] - hb[i + 1, j + 1]) * (h[i + 1, j] + h[i, j])
            for j in range(1, n):
                vb[i, j] += half * (hb[i + 1, j + 1] - hb[i + 1, j]) * (h[i, j] + h[i, j - 1])
            for j in range(n):
                g = hb[i + 1, j + 1]
                below, above = u[i, j] * (g - hb[i, j + 1]), u[i + 1, j] * (hb[i + 2, j + 1] - g)
                left, right = v[i, j] * (g - hb[i + 1, j]), v[i, j + 1] * (hb[i + 1, j + 2] - g)
                slopes = ub[i + 1, j] - ub[i, j] + vb[i, j + 1] - vb[i, j]
                new[i + 1, j + 1] = g + half * (below + above + left + right) + gravity * slopes
        hb, new = new, hb
    return (hb[1:-1, 1:-1].copy(),)


@njit(nogil=True, error_model="numpy")
def adjoint(hs, us, vs, h, gravity, rate, steps):
    forward(hs, us, vs, h, gravity, rate, steps)
    return reverse(hs, us, vs, gravity, rate, steps)


def by_hand(h, gravity, rate, steps):
    n = len(h)
    hs = np.zeros((steps + 1, n, n))
    us = np.zeros((steps + 1, n + 1, n))
    vs = np.zeros((steps + 1, n, n + 1))
    return lambda *args: adjoint(hs, us, vs, *args)


# --------------------------------------------------------------------------------------------------- peers


def without_writing(pad):
    """A step of the velocities of the inner faces and the depths, for those who cannot write in place.

    `pad` puts walls where nothing flows around an array along an axis.
    """

    def advance(h, u, v, gravity, rate):
        u = u - gravity * (h[1:] - h[:-1])
        v = v - gravity * (h[:, 1:] - h[:, :-1])
        fu = pad(0.5 * u * (h[1:] + h[:-1]), 0)
        fv = pad(0.5 * v * (h[:, 1:] + h[:, :-1]), 1)
        return h - rate * (fu[1:] - fu[:-1] + fv[:, 1:] - fv[:, :-1]), u, v

    return advance


def in_jax(h, gravity, rate, steps):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    advance = without_writing(lambda a, axis: jnp.pad(a, [(1, 1) if k == axis else (0, 0) for k in range(2)]))

    def loss(h, gravity, rate):
        n = len(h)
        state = h, jnp.zeros((n - 1, n)), jnp.zeros((n, n - 1))
        (h, _, _), _ = jax.lax.scan(lambda s, _: (advance(*s, gravity, rate), None), state, None, length=steps)
        return jnp.sum(h * h)

    gradient = jax.jit(jax.grad(loss))
    return lambda h, gravity, rate, steps: (np.asarray(gradient(h, gravity, rate)),)


def in_torch(h, gravity, rate, steps):
    import torch

    pad = torch.nn.functional.pad
    advance = without_writing(lambda a, axis: pad(a, (0, 0, 1, 1) if axis == 0 else (1, 1, 0, 0)))

    def gradient(h, gravity, rate, steps):
        start = torch.tensor(h, requires_grad=True)
        n = len(h)
        h = start
        u, v = torch.zeros((n - 1, n), dtype=h.dtype), torch.zeros((n, n - 1), dtype=h.dtype)
        for _ in range(steps):
            h, u, v = advance(h, u, v, gravity, rate)
        torch.sum(h * h).backward()
        return (start.grad.numpy(),)

    return gradient


def in_autograd(h, gravity, rate, steps):
    import autograd

    anp = autograd.numpy

    def walls(a, axis):
        wall = np.zeros((1, a.shape[1]) if axis == 0 else (a.shape[0], 1))
        return anp.concatenate((wall, a, wall), axis=axis)

    advance = without_writing(walls)

    def loss(h, gravity, rate, steps):
        n = len(h)
        u, v = np.zeros((n - 1, n)), np.zeros((n, n - 1))
        for _ in range(steps):
            h, u, v = advance(h, u, v, gravity, rate)
        return anp.sum(h * h)

    return autograd.grad(loss, [0])


MODEL = Model(
    name="shallow_water",
    wrt=("h",),
    sizes={"128 x 128 x 200": (128, 200)},
    small=(9, 6),
    arguments=arguments,
    by_element=by_element,
    whole_array=whole_array,
    by_hand={"gather": by_hand},
    trip="cell and step",
    trips=lambda n, steps: n * n * steps,
    # Depth and both velocities: each flux is the product of a velocity and the mean of two depths.
    least=lambda n, steps: 24.0,
    peers={"jax": in_jax, "torch": in_torch, "autograd": in_autograd},
)
