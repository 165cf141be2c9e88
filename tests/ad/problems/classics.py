"""Small functions that the literature of automatic differentiation opens with.

* Speelpenning's product x_1 x_2 ... x_n: B. Speelpenning, Compiling fast partial derivatives of functions given by
  algorithms, PhD thesis, University of Illinois (1980).  The derivative is the product of the others.
* Rosenbrock's function in n dimensions (the chained form): H. H. Rosenbrock, Computer Journal 3 (1960); the form of
  J. Dixon and D. Mills, JOTA 80 (1994).
* Helmholtz energy of a mixed fluid with the Peng-Robinson equation of state: A. Griewank, On automatic differentiation,
  in Mathematical Programming (1989), example 2.
* The lighthouse and the "simple example" (x1 / x2 + sin(x1 / x2) - exp(x2)) (x1 / x2 - exp(x2)): A. Griewank and
  A. Walther, Evaluating Derivatives, 2nd ed. (2008), sections 2.1 and 1.3.
"""

import math

import numpy as np

from problems.case import case

RNG = np.random.default_rng(1)
N = 7
X = RNG.uniform(0.5, 1.5, N)
FRACTIONS = RNG.uniform(0.02, 0.12, N)
SIZES = RNG.uniform(0.3, 0.9, N)
ATTRACTION = RNG.uniform(0.1, 1.0, (N, N))
GAS_CONSTANT = 8.31446
ROOT2 = math.sqrt(2.0)


# --------------------------------------------------------------------------------------------------- product


def product_of_others(x):
    return np.array([np.prod(np.delete(x, i)) for i in range(len(x))])


@case(X, wrt="x", exact=product_of_others)
@case(np.array([1.5, 0.0, 2.0, -0.5]), wrt="x", exact=product_of_others, name="with_a_zero")
def speelpenning(x):
    p = 1.0
    for i in range(len(x)):
        p *= x[i]
    return p


@case(X, wrt="x", exact=product_of_others)
def speelpenning_over_elements(x):
    p = 1.0
    for value in x:
        p *= value
    return p


@case(X, wrt="x", exact=product_of_others)
def speelpenning_of_array(x):
    return np.prod(x)


@case(X, wrt="x", exact=product_of_others)
def speelpenning_by_halves(x):
    """A tree of pairwise products in place."""
    p = x.copy()
    n = len(p)
    while n > 1:
        half = n // 2
        for i in range(half):
            p[i] = p[2 * i] * p[2 * i + 1]
        if n % 2 == 1:
            p[half] = p[n - 1]
            half += 1
        n = half
    return p[0]


# ------------------------------------------------------------------------------------------------ Rosenbrock


def rosenbrock_gradient(x):
    g = np.zeros_like(x)
    t = x[1:] - x[:-1] ** 2
    g[:-1] = -400.0 * x[:-1] * t - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * t
    return g


@case(np.linspace(-1.2, 1.1, 10), wrt="x", exact=rosenbrock_gradient)
def rosenbrock(x):
    f = 0.0
    for i in range(x.size - 1):
        f += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return f


@case(np.linspace(-1.2, 1.1, 10), wrt="x", exact=rosenbrock_gradient)
def rosenbrock_of_slices(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1.0 - x[:-1]) ** 2.0)


# ------------------------------------------------------------------------------------------------- Helmholtz


def helmholtz_gradient(x, b, a, temperature):
    """Of the energy with respect to x and the temperature."""
    a = a.reshape(len(x), len(x))
    rt = GAS_CONSTANT * temperature
    bx, ax = b @ x, x @ a @ x
    free = 1.0 - bx
    ideal = np.log(x / free) + 1.0 + np.sum(x) * b / free
    low, high = 1.0 + (1.0 - ROOT2) * bx, 1.0 + (1.0 + ROOT2) * bx
    quotient = np.log(high / low)
    slope = ((1.0 + ROOT2) / high - (1.0 - ROOT2) / low) * b
    factor = 1.0 / (math.sqrt(8.0) * bx)
    excess = -factor * ((a + a.T) @ x * quotient - ax / bx * b * quotient + ax * slope)
    return rt * ideal + excess, GAS_CONSTANT * np.sum(x * np.log(x / free))


@case(FRACTIONS, SIZES, ATTRACTION.ravel(), 320.0, wrt="x temperature", exact=helmholtz_gradient)
def helmholtz(x, b, a, temperature):
    n = len(x)
    bx = 0.0
    for i in range(n):
        bx += b[i] * x[i]
    ideal = 0.0
    for i in range(n):
        ideal += x[i] * math.log(x[i] / (1.0 - bx))
    ax = 0.0
    for i in range(n):
        for j in range(n):
            ax += x[i] * a[i * n + j] * x[j]
    quotient = (1.0 + (1.0 + ROOT2) * bx) / (1.0 + (1.0 - ROOT2) * bx)
    return GAS_CONSTANT * temperature * ideal - ax / (math.sqrt(8.0) * bx) * math.log(quotient)


@case(FRACTIONS, SIZES, ATTRACTION, 320.0, wrt="x temperature", exact=helmholtz_gradient)
def helmholtz_of_arrays(x, b, a, temperature):
    bx = np.dot(b, x)
    ideal = np.sum(x * np.log(x / (1.0 - bx)))
    quotient = (1.0 + (1.0 + ROOT2) * bx) / (1.0 + (1.0 - ROOT2) * bx)
    return GAS_CONSTANT * temperature * ideal - x @ a @ x / (math.sqrt(8.0) * bx) * np.log(quotient)


# ---------------------------------------------------------------------------------------- Griewank and Walther


def lighthouse_gradient(nu, gamma, omega, t):
    """Of y1 + y2, where y1 = nu tan(omega t) / (gamma - tan(omega t)) and y2 = gamma y1."""
    tangent = math.tan(omega * t)
    below = gamma - tangent
    secant = 1.0 + tangent**2
    by_tangent = nu * gamma / below**2 * (1.0 + gamma)
    by_nu = tangent / below * (1.0 + gamma)
    by_gamma = -nu * tangent / below**2 * (1.0 + gamma) + nu * tangent / below
    return by_nu, by_gamma, by_tangent * secant * t, by_tangent * secant * omega


@case(3.0, 2.2, 0.4, 1.3, wrt="nu gamma omega t", exact=lighthouse_gradient)
def lighthouse(nu, gamma, omega, t):
    tangent = math.tan(omega * t)
    y1 = nu * tangent / (gamma - tangent)
    y2 = gamma * y1
    return y1 + y2


def simple_gradient(x1, x2):
    a, e = x1 / x2, math.exp(x2)
    left, right = a + math.sin(a) - e, a - e
    by_a = (1.0 + math.cos(a)) * right + left
    return by_a / x2, -by_a * a / x2 - e * (left + right)


@case(1.5, 0.5, wrt="x1 x2", exact=simple_gradient, published="2.017 3.012 -13.72")
def simple_example(x1, x2):
    return (math.sin(x1 / x2) + x1 / x2 - math.exp(x2)) * (x1 / x2 - math.exp(x2))
