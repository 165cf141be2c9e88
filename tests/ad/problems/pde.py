"""Partial differential equations on grids, with adjoints coded by hand.

* Burgers' equation u_t + u u_x = nu u_xx: J. M. Burgers, Advances in Applied Mechanics 1 (1948); upwind differences,
  and the inversion for the initial state from the final one.
* Heat equation in two dimensions: explicit steps, whose gradient is that of powers of a symmetric matrix, and
  Gauss-Seidel sweeps that overwrite the field, whose adjoint takes the same points in the opposite order.
* Wave equation with a map of speeds and a receiver: the gradient of full waveform inversion, A. Tarantola, Inversion of
  seismic reflection data in the acoustic approximation, Geophysics 49 (1984).
"""

import numpy as np

from problems.case import case

RNG = np.random.default_rng(11)

# ----------------------------------------------------------------------------------------------------- Burgers

POINTS = 14
GRID = np.linspace(0.0, 1.0, POINTS)
START = np.sin(2.0 * np.pi * GRID) + 0.3 + 0.05 * RNG.normal(size=POINTS)
OBSERVED = 0.5 * np.sin(2.0 * np.pi * GRID)
BURGERS = (START, OBSERVED, 0.03, 1.0 / (POINTS - 1), 0.02, 12)


def burgers_gradient(start, observed, nu, dx, dt, steps):
    """With respect to the initial state, the observations and the viscosity; the ends are held."""
    path = [start]
    for _ in range(steps):
        u = path[-1]
        new, inner = u.copy(), u[1:-1]
        slope = np.where(inner > 0.0, inner - u[:-2], u[2:] - inner) / dx
        new[1:-1] += dt * (nu * (u[2:] - 2.0 * inner + u[:-2]) / dx**2 - inner * slope)
        path.append(new)
    bar = dx * (path[-1] - observed)
    by_observed, by_nu = -bar, 0.0
    for u in reversed(path[:-1]):
        inner, mid = u[1:-1], dt * bar[1:-1]
        right = inner > 0.0
        slope = np.where(right, inner - u[:-2], u[2:] - inner) / dx
        by_nu += np.sum(mid * (u[2:] - 2.0 * inner + u[:-2])) / dx**2
        slope_bar = -mid * inner / dx
        bar = bar.copy()
        bar[1:-1] += -mid * slope + np.where(right, slope_bar, -slope_bar) - 2.0 * nu / dx**2 * mid
        bar[:-2] += nu / dx**2 * mid - np.where(right, slope_bar, 0.0)
        bar[2:] += nu / dx**2 * mid + np.where(right, 0.0, slope_bar)
    return bar, by_observed, by_nu


@case(*BURGERS, wrt="start observed nu", exact=burgers_gradient)
def burgers_inversion(start, observed, nu, dx, dt, steps):
    n = len(start)
    u = start.copy()
    v = np.empty(n)
    for _ in range(steps):
        v[0] = u[0]
        v[n - 1] = u[n - 1]
        for i in range(1, n - 1):
            if u[i] > 0.0:
                slope = (u[i] - u[i - 1]) / dx
            else:
                slope = (u[i + 1] - u[i]) / dx
            v[i] = u[i] - dt * u[i] * slope + nu * dt / dx**2 * (u[i + 1] - 2.0 * u[i] + u[i - 1])
        u, v = v, u
    misfit = 0.0
    for i in range(n):
        misfit += 0.5 * dx * (u[i] - observed[i]) ** 2
    return misfit


@case(*BURGERS, wrt="start observed nu", exact=burgers_gradient)
def burgers_inversion_by_slices(start, observed, nu, dx, dt, steps):
    """The initial state itself is carried on."""
    u = start
    for _ in range(steps):
        mid = u[1:-1]
        back, ahead = mid - u[:-2], u[2:] - mid
        change = nu / dx**2 * (ahead - back) - mid * np.where(mid > 0.0, back, ahead) / dx
        u[1:-1] += dt * change
    return 0.5 * dx * np.sum((u - observed) ** 2)


@case(*BURGERS, wrt="start observed nu", exact=burgers_gradient)
def burgers_inversion_with_history(start, observed, nu, dx, dt, steps):
    """All times are rows of one array; a step reads one row and writes the next."""
    n = start.size
    history = np.zeros((steps + 1, n))
    history[0] = start
    for k in range(steps):
        u, new = history[k], history[k + 1]
        new[0], new[-1] = u[0], u[-1]
        for i in range(1, n - 1):
            slope = u[i] - u[i - 1] if u[i] > 0.0 else u[i + 1] - u[i]
            new[i] = u[i] - dt / dx * u[i] * slope + nu * dt / dx**2 * (u[i + 1] - 2.0 * u[i] + u[i - 1])
    return 0.5 * dx * np.sum((history[-1] - observed) ** 2)


@case(*BURGERS[:-1], 1, wrt="start observed nu", exact=burgers_gradient)
def burgers_one_step(start, observed, nu, dx, dt, steps):
    """One step needs no array of its own."""
    n = len(start)
    misfit = 0.5 * dx * ((start[0] - observed[0]) ** 2 + (start[n - 1] - observed[n - 1]) ** 2)
    for i in range(1, n - 1):
        u = start[i]
        back = u - start[i - 1]
        ahead = start[i + 1] - u
        new = u + dt * (nu / dx**2 * (ahead - back) - u * (back if u > 0.0 else ahead) / dx)
        misfit += 0.5 * dx * (new - observed[i]) ** 2
    return misfit


# -------------------------------------------------------------------------------------------------------- heat

FIELD = RNG.normal(size=(6, 5))
WEIGHTS = RNG.normal(size=(6, 5))


def laplacian(rows, columns):
    """As a matrix on all points, with zeros for those of the boundary."""
    matrix = np.zeros((rows, columns, rows, columns))
    for i in range(1, rows - 1):
        for j in range(1, columns - 1):
            matrix[i, j, i, j] = -4.0
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                matrix[i, j, a, b] = 1.0
    return matrix.reshape(rows * columns, rows * columns)


def heat_gradient(u, weights, r, steps):
    """Of the sum of w (I + r L)^steps u."""
    around = laplacian(*u.shape)
    a = np.eye(u.size) + r * around
    powers = [np.linalg.matrix_power(a, k) for k in range(steps + 1)]
    flat, w = u.ravel(), weights.ravel()
    by_r = sum(w @ powers[steps - 1 - k] @ around @ powers[k] @ flat for k in range(steps))
    return (w @ powers[steps]).reshape(u.shape), (powers[steps] @ flat).reshape(u.shape), by_r


@case(FIELD, WEIGHTS, 0.2, 6, wrt="u weights r", exact=heat_gradient)
def heat_by_slices(u, weights, r, steps):
    for _ in range(steps):
        u[1:-1, 1:-1] += r * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1])
    return np.sum(weights * u)


@case(FIELD, WEIGHTS, 0.2, 6, wrt="u weights r", exact=heat_gradient)
def heat_with_two_arrays(u, weights, r, steps):
    rows, columns = u.shape
    new = u.copy()
    for _ in range(steps):
        for i in range(1, rows - 1):
            for j in range(1, columns - 1):
                new[i, j] = u[i, j] + r * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j])
        u, new = new, u
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            total += weights[i, j] * u[i, j]
    return total


def heat_in_place_gradient(u, r, sweeps):
    """The points backward: each reads its neighbours as they were then."""
    u = u.copy()
    points = [(i, j) for i in range(1, u.shape[0] - 1) for j in range(1, u.shape[1] - 1)]
    around = []
    for _ in range(sweeps):
        for i, j in points:
            around.append(u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j])
            u[i, j] += r * around[-1]
    bar, by_r = 2.0 * u, 0.0
    for _ in range(sweeps):
        for i, j in reversed(points):
            mine = bar[i, j]
            by_r += mine * around.pop()
            bar[i, j] -= 4.0 * r * mine
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                bar[a, b] += r * mine
    return bar, by_r


@case(FIELD, 0.23, 3, wrt="u r", exact=heat_in_place_gradient)
def heat_in_place(u, r, sweeps):
    for _ in range(sweeps):
        for i in range(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                u[i, j] += r * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j])
    return np.sum(u**2)


# -------------------------------------------------------------------------------------------------------- wave

STEPS = 10
PULSE = np.zeros((7, 6))
PULSE[2:4, 2:4] = 1.0 + 0.2 * RNG.normal(size=(2, 2))
SPEED = RNG.uniform(0.2, 0.4, (7, 6))
TRACE = 0.1 * RNG.normal(size=STEPS)


def wave_gradient(start, squared, trace):
    """u_k+1 = 2 u_k - u_k-1 + c2 L u_k, seen at (4, 4): the field of multipliers runs backward in time."""
    around = laplacian(*start.shape)
    c2 = squared.ravel()
    place = 4 * start.shape[1] + 4
    path = [start.ravel(), start.ravel()]
    for _ in trace:
        path.append(2.0 * path[-1] - path[-2] + c2 * (around @ path[-1]))
    bars = [np.zeros(c2.size) for _ in path]
    by_c2 = np.zeros(c2.size)
    for k in range(len(trace) + 1, 1, -1):
        bars[k][place] += path[k][place] - trace[k - 2]
        by_c2 += bars[k] * (around @ path[k - 1])
        bars[k - 1] += 2.0 * bars[k] + around.T @ (c2 * bars[k])
        bars[k - 2] -= bars[k]
    return (bars[0] + bars[1]).reshape(start.shape), by_c2.reshape(start.shape)


@case(PULSE, SPEED, TRACE, wrt="start squared", exact=wave_gradient)
def wave_by_slices(start, squared, trace):
    """The three times change places; points of the boundary stay as they are."""
    before, now = start.copy(), start.copy()
    following = start.copy()
    misfit = 0.0
    for k in range(len(trace)):
        around = now[:-2, 1:-1] + now[2:, 1:-1] + now[1:-1, :-2] + now[1:-1, 2:] - 4.0 * now[1:-1, 1:-1]
        following[1:-1, 1:-1] = 2.0 * now[1:-1, 1:-1] - before[1:-1, 1:-1] + squared[1:-1, 1:-1] * around
        before, now, following = now, following, before
        misfit += 0.5 * (now[4, 4] - trace[k]) ** 2
    return misfit


@case(PULSE, SPEED, TRACE, wrt="start squared", exact=wave_gradient)
def wave_by_elements(start, squared, trace):
    """The new time is written over the one before the last."""
    rows, columns = start.shape
    u = np.empty((2, rows, columns))
    u[0] = start
    u[1] = start
    misfit = 0.0
    for k in range(len(trace)):
        now, other = u[(k + 1) % 2], u[k % 2]
        for i in range(1, rows - 1):
            for j in range(1, columns - 1):
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1] - 4.0 * now[i, j]
                other[i, j] = 2.0 * now[i, j] - other[i, j] + squared[i, j] * around
        misfit += 0.5 * (other[4, 4] - trace[k]) ** 2
    return misfit
