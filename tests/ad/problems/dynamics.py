"""Ordinary differential equations in fixed steps.

* Van der Pol's oscillator x'' = mu (1 - x^2) x' - x: B. van der Pol, Philosophical Magazine 2 (1926).
* Lorenz-63: E. N. Lorenz, Deterministic nonperiodic flow, J. Atmos. Sci. 20 (1963).
* Lorenz-96: E. N. Lorenz, Predictability: a problem partly solved, ECMWF seminar (1996); x_i' = (x_{i+1} - x_{i-2})
  x_{i-1} - x_i + F on a circle.  Its adjoint is coded by hand below.
* Linear decay and the harmonic oscillator have gradients in closed form: those of powers of the step's matrix.
* Lotka-Volterra with a forcing read from an array, by Heun's method.
"""

import numpy as np
from numba import njit

from problems.case import case

RNG = np.random.default_rng(2)


# ------------------------------------------------------------------------------------------------- van der Pol


@case(1.5, 2.0, 0.3, 0.02, 60, wrt="mu x v dt")
def van_der_pol_euler(mu, x, v, dt, steps):
    for _ in range(steps):
        a = mu * (1.0 - x * x) * v - x
        x += dt * v
        v += dt * a
    return x * x + 0.5 * v


@case(1.5, 2.0, 0.3, 0.05, 40, wrt="mu x v dt")
def van_der_pol_rk4(mu, x, v, dt, steps):
    for _ in range(steps):
        k1x = v
        k1v = mu * (1.0 - x**2) * v - x
        x2, v2 = x + 0.5 * dt * k1x, v + 0.5 * dt * k1v
        k2x = v2
        k2v = mu * (1.0 - x2**2) * v2 - x2
        x3, v3 = x + 0.5 * dt * k2x, v + 0.5 * dt * k2v
        k3x = v3
        k3v = mu * (1.0 - x3**2) * v3 - x3
        x4, v4 = x + dt * k3x, v + dt * k3v
        k4x = v4
        k4v = mu * (1.0 - x4**2) * v4 - x4
        x += dt / 6.0 * (k1x + 2.0 * k2x + 2.0 * k3x + k4x)
        v += dt / 6.0 * (k1v + 2.0 * k2v + 2.0 * k3v + k4v)
    return x * x + 0.5 * v


@njit
def acceleration(x, v, mu):
    return mu * (1.0 - x * x) * v - x


@njit
def rk4_step(x, v, mu, dt):
    k1x, k1v = v, acceleration(x, v, mu)
    k2x, k2v = v + 0.5 * dt * k1v, acceleration(x + 0.5 * dt * k1x, v + 0.5 * dt * k1v, mu)
    k3x, k3v = v + 0.5 * dt * k2v, acceleration(x + 0.5 * dt * k2x, v + 0.5 * dt * k2v, mu)
    k4x, k4v = v + dt * k3v, acceleration(x + dt * k3x, v + dt * k3v, mu)
    x = x + dt / 6.0 * (k1x + 2.0 * k2x + 2.0 * k3x + k4x)
    v = v + dt / 6.0 * (k1v + 2.0 * k2v + 2.0 * k3v + k4v)
    return x, v


@case(1.5, 2.0, 0.3, 0.05, 40, wrt="mu x v dt")
def van_der_pol_rk4_by_calls(mu, x, v, dt, steps):
    for _ in range(steps):
        x, v = rk4_step(x, v, mu, dt)
    return x * x + 0.5 * v


@case(1.5, np.array([2.0, 0.3]), 0.05, 25, wrt="mu start dt")
def van_der_pol_trajectory(mu, start, dt, steps):
    """The whole path is kept, and the misfit to a cosine summed up at the end."""
    path = np.zeros((steps + 1, 2))
    path[0] = start
    for n in range(steps):
        x, v = path[n, 0], path[n, 1]
        path[n + 1, 0] = x + dt * v
        path[n + 1, 1] = v + dt * (mu * (1.0 - x * x) * v - x)
    misfit = 0.0
    for n in range(steps + 1):
        misfit += (path[n, 0] - 2.0 * np.cos(n * dt)) ** 2 * dt
    return misfit


# -------------------------------------------------------------------------------------- what has a closed form


def decay_gradient(y, rate, dt, steps):
    """Of y (1 - rate dt)^steps."""
    factor = 1.0 - rate * dt
    return factor**steps, -steps * dt * y * factor ** (steps - 1), -steps * rate * y * factor ** (steps - 1)


@case(1.7, 0.8, 0.1, 30, wrt="y rate dt", exact=decay_gradient)
def decay_euler(y, rate, dt, steps):
    for _ in range(steps):
        y = y - dt * rate * y
    return y


def oscillator_gradient(x, v, omega, dt, steps):
    """Of 3 x + v after `steps` of symplectic Euler: z -> M z, and dM/d omega by the product rule."""
    kick = np.array([[1.0, 0.0], [-(omega**2) * dt, 1.0]])
    drift = np.array([[1.0, dt], [0.0, 1.0]])
    step = drift @ kick
    by_omega = drift @ np.array([[0.0, 0.0], [-2.0 * omega * dt, 0.0]])
    z, weights = np.array([x, v]), np.array([3.0, 1.0])
    powers = [np.linalg.matrix_power(step, n) for n in range(steps + 1)]
    slope = sum(weights @ powers[steps - 1 - n] @ by_omega @ powers[n] @ z for n in range(steps))
    by_x, by_v = weights @ powers[steps]
    return by_x, by_v, slope


@case(0.4, -1.1, 1.9, 0.1, 50, wrt="x v omega", exact=oscillator_gradient)
def oscillator_symplectic(x, v, omega, dt, steps):
    for _ in range(steps):
        v -= dt * omega**2 * x
        x += dt * v
    return 3.0 * x + v


# ------------------------------------------------------------------------------------------------------ Lorenz


@case(1.0, 1.2, 0.9, 10.0, 28.0, 8.0 / 3.0, 0.01, 60, wrt="x y z sigma rho beta")
def lorenz63(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


@njit
def lorenz63_tendency(s, p, ds):
    ds[0] = p[0] * (s[1] - s[0])
    ds[1] = s[0] * (p[1] - s[2]) - s[1]
    ds[2] = s[0] * s[1] - p[2] * s[2]


@case(np.array([1.0, 1.2, 0.9]), np.array([10.0, 28.0, 8.0 / 3.0]), 0.02, 20, wrt="s p")
def lorenz63_rk4_in_place(s, p, dt, steps):
    """State, stages and tendencies are arrays that a callee fills."""
    k1, k2, k3, k4 = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for _ in range(steps):
        lorenz63_tendency(s, p, k1)
        lorenz63_tendency(s + 0.5 * dt * k1, p, k2)
        lorenz63_tendency(s + 0.5 * dt * k2, p, k3)
        lorenz63_tendency(s + dt * k3, p, k4)
        s += dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return s[0] * s[0] + s[1] - s[2]


def lorenz96_gradient(x, forcing, dt, steps):
    """Euler's steps backward: x_bar += dt J(x)^T x_bar."""
    path = [x]
    for _ in range(steps):
        x = path[-1]
        path.append(x + dt * ((np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + forcing))
    bar, by_forcing = path[-1].copy(), 0.0
    for x in reversed(path[:-1]):
        by_forcing += dt * np.sum(bar)
        times = bar * np.roll(x, 1)
        back = np.roll(times, 1) - np.roll(times, -2) + np.roll(bar * (np.roll(x, -1) - np.roll(x, 2)), -1)
        bar = bar + dt * (back - bar)
    return bar, by_forcing


LORENZ96 = 8.0 + 0.5 * RNG.normal(size=10)


@case(LORENZ96, 8.0, 0.02, 15, wrt="x forcing", exact=lorenz96_gradient)
def lorenz96(x, forcing, dt, steps):
    n = len(x)
    x = x.copy()
    dx = np.empty(n)
    for _ in range(steps):
        for i in range(n):
            dx[i] = (x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + forcing
        for i in range(n):
            x[i] += dt * dx[i]
    energy = 0.0
    for i in range(n):
        energy += 0.5 * x[i] ** 2
    return energy


@case(LORENZ96, 8.0, 0.02, 15, wrt="x forcing", exact=lorenz96_gradient)
def lorenz96_by_roll(x, forcing, dt, steps):
    for _ in range(steps):
        x = x + dt * ((np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + forcing)
    return 0.5 * np.sum(x**2)


@case(LORENZ96, 8.0, 0.02, 1, wrt="x forcing", exact=lorenz96_gradient)
def lorenz96_one_step(x, forcing, dt, steps):
    """One step needs no array of its own."""
    n = len(x)
    energy = 0.0
    for i in range(n):
        new = x[i] + dt * ((x[(i + 1) % n] - x[(i - 2) % n]) * x[(i - 1) % n] - x[i] + forcing)
        energy += 0.5 * new * new
    return energy


# ----------------------------------------------------------------------------------------------- Lotka-Volterra


@case(np.array([0.9, 0.6, 0.8, 1.1]), RNG.uniform(0.8, 1.2, 40), 1.3, 0.7, 0.1, wrt="p season x y")
def lotka_volterra_heun(p, season, x, y, dt):
    total = 0.0
    for n in range(len(season)):
        growth = p[0] * season[n]
        fx, fy = x * (growth - p[1] * y), y * (p[2] * x - p[3])
        xe, ye = x + dt * fx, y + dt * fy
        x += 0.5 * dt * (fx + xe * (growth - p[1] * ye))
        y += 0.5 * dt * (fy + ye * (p[2] * xe - p[3]))
        total += np.log(x) ** 2 + np.log(y) ** 2
    return total / len(season)
