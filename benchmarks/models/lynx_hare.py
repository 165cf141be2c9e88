"""The negative log-likelihood of a century-old record of predators and prey: the model of `python -m ad demo`.

Lotka and Volterra's equations by Runge and Kutta's classical method, and log-normal counts (see ad/demo.py).  The
gradient is that by all eight parameters.
"""

import math

import numpy as np
from numba import njit

from ad.demo import PARAMETERS, PUBLISHED, YEARS, misfit, negative_log_likelihood, read_record

from .model import Model


def arguments(steps_per_year):
    record = read_record()
    return (*PUBLISHED, record.hares, record.lynxes, steps_per_year)


def whole_array(alpha, beta, gamma, delta, u0, v0, sigma_u, sigma_v, hares, lynxes, steps_per_year):
    def rate(y):
        return np.array([(alpha - beta * y[1]) * y[0], (delta * y[0] - gamma) * y[1]])

    h = 1.0 / steps_per_year
    y = np.array([u0, v0])
    loss = misfit(hares[0], y[0], sigma_u) + misfit(lynxes[0], y[1], sigma_v)
    for year in range(1, len(hares)):
        for _ in range(steps_per_year):
            k1 = rate(y)
            k2 = rate(y + 0.5 * h * k1)
            k3 = rate(y + 0.5 * h * k2)
            k4 = rate(y + h * k3)
            y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        loss += misfit(hares[year], y[0], sigma_u) + misfit(lynxes[year], y[1], sigma_v)
    return loss


# ------------------------------------------------------------------------------------------------- by hand


@njit(nogil=True, error_model="numpy")
def misfit_back(observed, predicted, sigma):
    """The derivatives of a misfit by the prediction and by the scale."""
    z = (math.log(observed) - math.log(predicted)) / sigma
    return -z / (sigma * predicted), (1.0 - z * z) / sigma


@njit(nogil=True, error_model="numpy")
def stages(u, v, alpha, beta, gamma, delta, h):
    """Where the rates of a step are taken: its beginning, twice its middle, its end."""
    half = 0.5 * h
    ua, va = u + half * ((alpha - beta * v) * u), v + half * ((delta * u - gamma) * v)
    ub, vb = u + half * ((alpha - beta * va) * ua), v + half * ((delta * ua - gamma) * va)
    uc, vc = u + h * ((alpha - beta * vb) * ub), v + h * ((delta * ub - gamma) * vb)
    return u, v, ua, va, ub, vb, uc, vc


@njit(nogil=True, error_model="numpy")
def advance(points, alpha, beta, gamma, delta, h):
    u, v, ua, va, ub, vb, uc, vc = points
    u1, v1 = (alpha - beta * v) * u, (delta * u - gamma) * v
    u2, v2 = (alpha - beta * va) * ua, (delta * ua - gamma) * va
    u3, v3 = (alpha - beta * vb) * ub, (delta * ub - gamma) * vb
    u4, v4 = (alpha - beta * vc) * uc, (delta * uc - gamma) * vc
    return u + h / 6.0 * (u1 + 2.0 * u2 + 2.0 * u3 + u4), v + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)


@njit(nogil=True, error_model="numpy")
def of_rate(ru, rv, u, v, alpha, beta, gamma, delta, bars):
    """From the adjoints (ru, rv) of a rate to those of its point, and of the four parameters (`bars`, added to)."""
    a_b, b_b, g_b, d_b = bars
    tu, tv = ru * u, rv * v
    bars = a_b + tu, b_b - tu * v, g_b - tv, d_b + tv * u
    return ru * (alpha - beta * v) + tv * delta, rv * (delta * u - gamma) - tu * beta, bars


@njit(nogil=True, error_model="numpy")
def retreat(points, u_b, v_b, alpha, beta, gamma, delta, h, bars):
    """The reverse of a step: its four rates, the last one first."""
    u, v, ua, va, ub, vb, uc, vc = points
    half, third, sixth = 0.5 * h, h / 3.0, h / 6.0
    tu, tv = third * u_b, third * v_b
    uc_b, vc_b, bars = of_rate(sixth * u_b, sixth * v_b, uc, vc, alpha, beta, gamma, delta, bars)
    ub_b, vb_b, bars = of_rate(tu + h * uc_b, tv + h * vc_b, ub, vb, alpha, beta, gamma, delta, bars)
    ua_b, va_b, bars = of_rate(tu + half * ub_b, tv + half * vb_b, ua, va, alpha, beta, gamma, delta, bars)
    first = sixth * u_b + half * ua_b, sixth * v_b + half * va_b
    u0_b, v0_b, bars = of_rate(*first, u, v, alpha, beta, gamma, delta, bars)
    return u_b + uc_b + ub_b + ua_b + u0_b, v_b + vc_b + vb_b + va_b + v0_b, bars


@njit(nogil=True, error_model="numpy")
def store_populations(row, points):
    row[0], row[1] = points[0], points[1]


@njit(nogil=True, error_model="numpy")
def load_populations(row, alpha, beta, gamma, delta, h):
    return stages(row[0], row[1], alpha, beta, gamma, delta, h)


@njit(nogil=True, error_model="numpy")
def store_points(row, points):
    row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = points


@njit(nogil=True, error_model="numpy")
def load_points(row, alpha, beta, gamma, delta, h):
    return row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]


def sweeps(store, load, words):
    """The adjoint with so many words kept of a step."""

    @njit(nogil=True, error_model="numpy")
    def adjoint(rows, alpha, beta, gamma, delta, u0, v0, sigma_u, sigma_v, hares, lynxes, steps_per_year):
        h = 1.0 / steps_per_year
        years = len(hares) - 1
        ends = np.empty((years + 1, 2))
        u, v = ends[0] = u0, v0
        for year in range(years):
            for k in range(steps_per_year):
                points = stages(u, v, alpha, beta, gamma, delta, h)
                store(rows[year * steps_per_year + k], points)
                u, v = advance(points, alpha, beta, gamma, delta, h)
            ends[year + 1] = u, v

        u_b = v_b = su_b = sv_b = 0.0
        bars = 0.0, 0.0, 0.0, 0.0
        for year in range(years, -1, -1):
            by_u, by_su = misfit_back(hares[year], ends[year, 0], sigma_u)
            by_v, by_sv = misfit_back(lynxes[year], ends[year, 1], sigma_v)
            u_b, v_b, su_b, sv_b = u_b + by_u, v_b + by_v, su_b + by_su, sv_b + by_sv
            if year > 0:
                for k in range(steps_per_year - 1, -1, -1):
                    points = load(rows[(year - 1) * steps_per_year + k], alpha, beta, gamma, delta, h)
                    u_b, v_b, bars = retreat(points, u_b, v_b, alpha, beta, gamma, delta, h, bars)
        return *bars, u_b, v_b, su_b, sv_b

    def maker(*args):
        rows = np.zeros((YEARS * args[-1], words))
        return lambda *args: adjoint(rows, *args)

    return maker


# --------------------------------------------------------------------------------------------------- peers


def one_step(u, v, alpha, beta, gamma, delta, h):
    """For those who cannot add in place."""

    def rate(u, v):
        return (alpha - beta * v) * u, (delta * u - gamma) * v

    u1, v1 = rate(u, v)
    u2, v2 = rate(u + 0.5 * h * u1, v + 0.5 * h * v1)
    u3, v3 = rate(u + 0.5 * h * u2, v + 0.5 * h * v2)
    u4, v4 = rate(u + h * u3, v + h * v3)
    return u + h / 6.0 * (u1 + 2.0 * u2 + 2.0 * u3 + u4), v + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)


def misfit_by(log):
    def misfit(observed, predicted, sigma):
        z = (log(observed) - log(predicted)) / sigma
        return 0.5 * z * z + log(sigma * observed) + 0.5 * math.log(2.0 * math.pi)

    return misfit


def in_jax(*args):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    misfit = misfit_by(jnp.log)
    steps_per_year = args[-1]

    def loss(alpha, beta, gamma, delta, u0, v0, sigma_u, sigma_v, hares, lynxes):
        def step(state, _):
            return one_step(*state, alpha, beta, gamma, delta, 1.0 / steps_per_year), None

        def year(state, counts):
            state, _ = jax.lax.scan(step, state, None, length=steps_per_year)
            return state, misfit(counts[0], state[0], sigma_u) + misfit(counts[1], state[1], sigma_v)

        _, terms = jax.lax.scan(year, (u0, v0), (hares[1:], lynxes[1:]))
        return misfit(hares[0], u0, sigma_u) + misfit(lynxes[0], v0, sigma_v) + jnp.sum(terms)

    gradient = jax.jit(jax.grad(loss, argnums=tuple(range(8))))
    return lambda *args: tuple(map(float, gradient(*args[:-1])))


def eagerly(log):
    misfit = misfit_by(log)

    def loss(alpha, beta, gamma, delta, u, v, sigma_u, sigma_v, hares, lynxes, steps_per_year):
        loss = misfit(hares[0], u, sigma_u) + misfit(lynxes[0], v, sigma_v)
        for year in range(1, len(hares)):
            for _ in range(steps_per_year):
                u, v = one_step(u, v, alpha, beta, gamma, delta, 1.0 / steps_per_year)
            loss = loss + misfit(hares[year], u, sigma_u) + misfit(lynxes[year], v, sigma_v)
        return loss

    return loss


def in_torch(*args):
    import torch

    loss = eagerly(lambda x: torch.log(torch.as_tensor(x)))

    def gradient(*args):
        leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in args[:8]]
        loss(*leaves, *args[8:]).backward()
        return tuple(leaf.grad.item() for leaf in leaves)

    return gradient


def in_autograd(*args):
    import autograd

    return autograd.grad(eagerly(autograd.numpy.log), list(range(8)))


MODEL = Model(
    name="lynx_hare",
    wrt=PARAMETERS,
    sizes={"20 years x 10 000": (10_000,)},
    small=(10,),
    arguments=arguments,
    by_element=negative_log_likelihood,
    whole_array=whole_array,
    by_hand={
        "points kept": sweeps(store_points, load_points, 8),
        "populations kept": sweeps(store_populations, load_populations, 2),
    },
    trip="step",
    trips=lambda steps_per_year: YEARS * steps_per_year,
    # Both populations: the points of the step are computed again from them (which takes longer than to keep them).
    least=lambda steps_per_year: 16.0,
    peers={"jax": in_jax, "torch": in_torch, "autograd": in_autograd},
    slow={"numpy": (100,), "torch": (100,), "autograd": (100,)},
)
