"""Loops that run until something happens: Newton, bisection, fixed points, adaptive steps, series.

* Newton's method on Kepler's equation E - e sin E = M: by the implicit function theorem dE/dM = 1 / (1 - e cos E) and
  dE/de = sin E / (1 - e cos E).  The derivative of the iteration is that of its limit: J. C. Gilbert, Automatic
  differentiation and iterative processes, Optimization Methods and Software 1 (1992).
* Bisection: the derivative of the program is that of the bracket it ends in, here a part of a bracket that scales with
  an argument; one step of Newton's at the end makes it that of the root.
* Period of the pendulum by Gauss's arithmetic-geometric mean; dK/dk = (E - (1 - k^2) K) / (k (1 - k^2)).
* Adaptive steps: Heun's method with Euler's in it and the standard controller (E. Hairer, S. Norsett and G. Wanner,
  Solving Ordinary Differential Equations I, section II.4); steps that are refused are computed again.
"""

import math

import numpy as np
from numba import njit
from scipy import special

from problems.case import case

# ------------------------------------------------------------------------------------------------------- Newton


def kepler_root(mean, eccentricity):
    anomaly = mean
    for _ in range(60):
        anomaly -= (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
    return anomaly


def kepler_gradient(mean, eccentricity):
    anomaly = kepler_root(mean, eccentricity)
    below = 1.0 - eccentricity * math.cos(anomaly)
    return 1.0 / below, math.sin(anomaly) / below


@case(1.3, 0.6, wrt="mean eccentricity", exact=kepler_gradient)
def kepler_newton(mean, eccentricity):
    anomaly = mean
    change = 1.0
    while abs(change) > 1e-10:
        change = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        anomaly -= change
    return anomaly


@case(1.3, 0.6, wrt="mean eccentricity", exact=kepler_gradient)
def kepler_newton_with_break(mean, eccentricity):
    anomaly = mean
    for _ in range(50):
        change = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        anomaly -= change
        if abs(change) <= 1e-10:
            break
    return anomaly


@case(1.3, 0.6, wrt="mean eccentricity", exact=kepler_gradient)
def kepler_newton_with_return(mean, eccentricity):
    anomaly = mean
    for _ in range(50):
        change = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        anomaly -= change
        if abs(change) <= 1e-10:
            return anomaly
    return math.nan


def newton_system_gradient(x, a, b):
    """x^2 + y^2 = a, x y = b, and the value x + 2 y: the implicit function theorem with two unknowns."""
    x, y = x
    for _ in range(60):
        jacobian = np.array([[2.0 * x, 2.0 * y], [y, x]])
        x, y = np.array([x, y]) - np.linalg.solve(jacobian, [x * x + y * y - a, x * y - b])
    jacobian = np.array([[2.0 * x, 2.0 * y], [y, x]])
    return tuple(np.linalg.solve(jacobian.T, [1.0, 2.0]))


@case(np.array([2.0, 0.6]), 4.5, 1.2, wrt="a b", exact=newton_system_gradient)
def newton_system(x, a, b):
    x = x.copy()
    step = np.ones(2)
    while np.max(np.abs(step)) > 1e-9:
        f0 = x[0] ** 2 + x[1] ** 2 - a
        f1 = x[0] * x[1] - b
        det = 2.0 * x[0] ** 2 - 2.0 * x[1] ** 2
        step[0] = (x[0] * f0 - 2.0 * x[1] * f1) / det
        step[1] = (2.0 * x[0] * f1 - x[1] * f0) / det
        x -= step
    return x[0] + 2.0 * x[1]


# ---------------------------------------------------------------------------------------------------- bisection


def bracket_gradient(p, tolerance):
    return bisection_of_scaled_bracket(p, tolerance) / p


@case(1.7, 1e-3, wrt="p", exact=bracket_gradient, step=1e-7)
def bisection_of_scaled_bracket(p, tolerance):
    """A root of x^3 + x = p in (0, p); it ends where the middle is good enough."""
    low = 0.0
    high = p
    for _ in range(100):
        middle = 0.5 * (low + high)
        residual = middle**3 + middle - p
        if abs(residual) < tolerance:
            return middle
        if residual > 0.0:
            high = middle
        else:
            low = middle
    return math.nan


def cubic_gradient(p):
    x = p
    for _ in range(60):
        x -= (x**3 + x - p) / (3.0 * x * x + 1.0)
    return 1.0 / (3.0 * x * x + 1.0)


@case(1.7, wrt="p", exact=cubic_gradient)
def bisection_and_newton(p):
    low = 0.0
    high = 4.0
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        if middle**3 + middle > p:
            high = middle
        else:
            low = middle
    x = 0.5 * (low + high)
    return x - (x**3 + x - p) / (3.0 * x * x + 1.0)


# ------------------------------------------------------------------------------------------ means, fixed points


def pendulum_gradient(length, gravity, amplitude):
    """T = 4 sqrt(l / g) K(k), k = sin(amplitude / 2)."""
    k = math.sin(0.5 * amplitude)
    complete, second = special.ellipk(k * k), special.ellipe(k * k)
    slope = (second - (1.0 - k * k) * complete) / (k * (1.0 - k * k))
    period = 4.0 * math.sqrt(length / gravity) * complete
    by_amplitude = 4.0 * math.sqrt(length / gravity) * slope * 0.5 * math.cos(0.5 * amplitude)
    return 0.5 * period / length, -0.5 * period / gravity, by_amplitude


@njit
def arithmetic_geometric_mean(a, b):
    while abs(a - b) > 1e-9 * a:
        a, b = 0.5 * (a + b), math.sqrt(a * b)
    return 0.5 * (a + b)


@case(1.1, 9.81, 1.9, wrt="length gravity amplitude", exact=pendulum_gradient)
def pendulum_period(length, gravity, amplitude):
    mean = arithmetic_geometric_mean(1.0, math.cos(0.5 * amplitude))
    return 2.0 * math.pi * math.sqrt(length / gravity) / mean


def fixed_point_gradient(w, b):
    """x = tanh(w x + b) and the value sum x^2: the adjoint is (I - w^T D)^-1 applied to 2 x, D = 1 - x^2."""
    x = np.zeros_like(b)
    for _ in range(2000):
        x = np.tanh(w @ x + b)
    slope = 1.0 - x**2
    bar = slope * np.linalg.solve(np.eye(len(b)) - w.T * slope, 2.0 * x)
    return np.outer(bar, x), bar


CONTRACTION = 0.15 * np.random.default_rng(10).normal(size=(4, 4))


@case(CONTRACTION, np.array([0.3, -0.7, 1.1, 0.2]), wrt="w b", exact=fixed_point_gradient)
def fixed_point(w, b):
    x = np.zeros(len(b))
    while True:
        new = np.tanh(w @ x + b)
        change = np.max(np.abs(new - x))
        x = new
        if change < 1e-15:
            break
    return np.sum(x**2)


def bessel_gradient(x):
    return -special.j1(x)


@case(2.3, wrt="x", exact=bessel_gradient, published="0.05554")
def bessel_j0_series(x):
    """The power series, until a term is too small to matter; J0(2.3) = 0.05554 (Abramowitz and Stegun, table 9.1)."""
    quarter = 0.25 * x * x
    term = 1.0
    total = 1.0
    k = 0
    while abs(term) > 1e-18:
        k += 1
        term *= -quarter / (k * k)
        total += term
    return total


# ------------------------------------------------------------------------------------------------ adaptive steps


@case(0.2, 1.0, 2.5, 1e-3, wrt="y rate end", step=1e-4)
def adaptive_heun(y, rate, end, tolerance):
    """Logistic growth with a forcing; a refused step is computed again with a smaller one."""
    t = 0.0
    h = 0.5
    while t < end:
        if t + h > end:
            h = end - t
        k1 = rate * y * (1.0 - y) + 0.1 * math.sin(3.0 * t)
        guess = y + h * k1
        k2 = rate * guess * (1.0 - guess) + 0.1 * math.sin(3.0 * (t + h))
        error = abs(0.5 * h * (k2 - k1)) / tolerance + 1e-10
        if error <= 1.0:
            t += h
            y += 0.5 * h * (k1 + k2)
        h *= min(max(0.9 / math.sqrt(error), 0.2), 5.0)
    return y


@case(np.array([1.0, 0.0]), 1.4, 3.0, 2e-3, wrt="y mu end", step=1e-4)
def adaptive_van_der_pol(y, mu, end, tolerance):
    """The state is an array; refused steps go on with the next turn of the loop."""
    y = y.copy()
    k1, k2 = np.empty(2), np.empty(2)
    t, h = 0.0, 0.1
    while True:
        last = t + h >= end
        if last:
            h = end - t
        k1[0] = y[1]
        k1[1] = mu * (1.0 - y[0] ** 2) * y[1] - y[0]
        guess = y + h * k1
        k2[0] = guess[1]
        k2[1] = mu * (1.0 - guess[0] ** 2) * guess[1] - guess[0]
        error = 0.5 * h * np.sqrt(np.sum((k2 - k1) ** 2)) / tolerance
        factor = min(max(0.9 / np.sqrt(error), 0.2), 5.0)
        if error > 1.0:
            h *= factor
            continue
        y += 0.5 * h * (k1 + k2)
        if last:
            return y[0] + 2.0 * y[1]
        t += h
        h *= factor
