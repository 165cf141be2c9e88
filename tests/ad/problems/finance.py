"""Prices of options and their Greeks.

* F. Black and M. Scholes, J. Political Economy 81 (1973); the Greeks of a European call as in J. C. Hull, Options,
  Futures, and Other Derivatives; Hull's example S = 42, K = 40, r = 0.1, sigma = 0.2, T = 0.5 has the price 4.76.
* Monte Carlo with given normal numbers: the pathwise derivatives of M. Broadie and P. Glasserman, Management Science 42
  (1996), in closed form for European and Asian calls.
* The binomial tree of J. C. Cox, S. A. Ross and M. Rubinstein, J. Financial Economics 7 (1979), an American put.
* Implicit finite differences for the Black-Scholes equation, a tridiagonal system a step.
"""

import math

import numpy as np
from numba import njit

from problems.case import case

RNG = np.random.default_rng(9)
ROOT2 = math.sqrt(2.0)
NORMALS = RNG.normal(size=40)
PATHS = RNG.normal(size=(12, 8))


def normal_cdf(x):
    return 0.5 * (1.0 + math.erf(x / ROOT2))


def normal_pdf(x):
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


# -------------------------------------------------------------------------------------------------- closed form


def call_greeks(spot, strike, rate, sigma, maturity):
    """Delta, the derivative to the strike, rho, vega and minus theta."""
    root = math.sqrt(maturity)
    d1 = (math.log(spot / strike) + (rate + 0.5 * sigma**2) * maturity) / (sigma * root)
    d2 = d1 - sigma * root
    discount = math.exp(-rate * maturity)
    decay = spot * normal_pdf(d1) * sigma / (2.0 * root) + rate * strike * discount * normal_cdf(d2)
    return (
        normal_cdf(d1),
        -discount * normal_cdf(d2),
        strike * maturity * discount * normal_cdf(d2),
        spot * normal_pdf(d1) * root,
        decay,
    )


@njit
def phi(x):
    return 0.5 * math.erfc(-x / ROOT2)


@case(42.0, 40.0, 0.1, 0.2, 0.5, wrt="spot strike rate sigma maturity", exact=call_greeks, published="4.76")
def black_scholes_call(spot, strike, rate, sigma, maturity):
    root = math.sqrt(maturity)
    d1 = (math.log(spot / strike) + (rate + 0.5 * sigma**2) * maturity) / (sigma * root)
    d2 = d1 - sigma * root
    return spot * phi(d1) - strike * math.exp(-rate * maturity) * phi(d2)


# ---------------------------------------------------------------------------------------------------- Monte Carlo


def european_greeks(spot, strike, rate, sigma, maturity, normals):
    """Pathwise."""
    root = math.sqrt(maturity)
    end = spot * np.exp((rate - 0.5 * sigma**2) * maturity + sigma * root * normals)
    discount = math.exp(-rate * maturity)
    payoff, paid = np.maximum(end - strike, 0.0), end > strike
    by_maturity = end * (rate - 0.5 * sigma**2 + 0.5 * sigma * normals / root)
    return (
        discount * np.mean(paid * end) / spot,
        -discount * np.mean(paid),
        discount * maturity * np.mean(paid * end - payoff),
        discount * np.mean(paid * end * (root * normals - sigma * maturity)),
        discount * np.mean(paid * by_maturity - rate * payoff),
    )


EUROPEAN = (100.0, 105.0, 0.05, 0.2, 0.75, NORMALS)


@case(*EUROPEAN, wrt="spot strike rate sigma maturity", exact=european_greeks)
def monte_carlo_call(spot, strike, rate, sigma, maturity, normals):
    total = 0.0
    for i in range(len(normals)):
        drift = (rate - 0.5 * sigma * sigma) * maturity
        end = spot * math.exp(drift + sigma * math.sqrt(maturity) * normals[i])
        total += max(end - strike, 0.0)
    return math.exp(-rate * maturity) * total / len(normals)


@case(*EUROPEAN, wrt="spot strike rate sigma maturity", exact=european_greeks)
def monte_carlo_call_of_arrays(spot, strike, rate, sigma, maturity, normals):
    end = spot * np.exp((rate - 0.5 * sigma**2) * maturity + sigma * np.sqrt(maturity) * normals)
    return np.exp(-rate * maturity) * np.mean(np.maximum(end - strike, 0.0))


def asian_greeks(spot, strike, rate, sigma, maturity, normals):
    n = normals.shape[1]
    dt = maturity / n
    times = dt * np.arange(1, n + 1)
    walk = math.sqrt(dt) * np.cumsum(normals, axis=1)
    path = spot * np.exp((rate - 0.5 * sigma**2) * times + sigma * walk)
    discount = math.exp(-rate * maturity)
    mean = path.mean(axis=1)
    paid = mean > strike
    payoff = np.maximum(mean - strike, 0.0)
    return (
        discount * np.mean(paid * mean) / spot,
        discount * (np.mean(paid * (path * times).mean(axis=1)) - maturity * np.mean(payoff)),
        discount * np.mean(paid * (path * (walk - sigma * times)).mean(axis=1)),
    )


@case(100.0, 100.0, 0.03, 0.4, 1.0, PATHS, wrt="spot rate sigma", exact=asian_greeks)
def monte_carlo_asian(spot, strike, rate, sigma, maturity, normals):
    """Paths that are surely worth nothing are left early."""
    paths, steps = normals.shape
    dt = maturity / steps
    drift, spread = (rate - 0.5 * sigma**2) * dt, sigma * np.sqrt(dt)
    total = 0.0
    for i in range(paths):
        price = spot
        mean = 0.0
        for j in range(steps):
            price *= np.exp(drift + spread * normals[i, j])
            mean += price / steps
        if mean <= strike:
            continue
        total += mean - strike
    return np.exp(-rate * maturity) * total / paths


# ------------------------------------------------------------------------------------------------- tree and grid


@case(50.0, 52.0, 0.05, 0.3, 1.0, 10, wrt="spot strike rate sigma maturity")
def american_put_on_a_tree(spot, strike, rate, sigma, maturity, steps):
    """Backward in place; at each node the better of exercise and going on."""
    dt = maturity / steps
    up = np.exp(sigma * np.sqrt(dt))
    discount = np.exp(-rate * dt)
    p = (1.0 / discount - 1.0 / up) / (up - 1.0 / up)
    values = np.empty(steps + 1)
    for j in range(steps + 1):
        values[j] = max(strike - spot * up ** (2 * j - steps), 0.0)
    for n in range(steps - 1, -1, -1):
        for j in range(n + 1):
            go_on = discount * (p * values[j + 1] + (1.0 - p) * values[j])
            values[j] = max(go_on, strike - spot * up ** (2 * j - n))
    return values[0]


@case(1.0, 0.05, 0.3, 1.0, 20, 8, wrt="strike rate sigma maturity")
def put_by_implicit_steps(strike, rate, sigma, maturity, points, steps):
    """Thomas' algorithm in place; the value at the strike times 1.25."""
    ds = 3.0 / points
    dt = maturity / steps
    v = np.empty(points + 1)
    for i in range(points + 1):
        v[i] = max(strike - i * ds, 0.0)
    c = np.empty(points + 1)
    for n in range(1, steps + 1):
        v[0] = strike * np.exp(-rate * n * dt)
        v[points] = 0.0
        c[0] = 0.0
        for i in range(1, points):
            lower = 0.5 * dt * (rate * i - sigma**2 * i**2)
            upper = -0.5 * dt * (rate * i + sigma**2 * i**2)
            pivot = 1.0 + dt * (sigma**2 * i**2 + rate) - lower * c[i - 1]
            c[i] = upper / pivot
            v[i] = (v[i] - lower * v[i - 1]) / pivot
        for i in range(points - 1, 0, -1):
            v[i] -= c[i] * v[i + 1]
    place = 1.25 * strike / ds
    i = int(place)
    return v[i] + (place - i) * (v[i + 1] - v[i])
