"""More, Garbow and Hillstrom's problems of few variables without data: 1 to 7, 13 and 14 (see `leastsquares`)."""

import math

import numpy as np

from problems.leastsquares import Problem

# --------------------------------------------------------------------------------------------- 1: Rosenbrock


def rosenbrock_model(x):
    a, b = x
    return np.array([10.0 * (b - a * a), 1.0 - a]), np.array([[-20.0 * a, 10.0], [-1.0, 0.0]])


ROSENBROCK = Problem(1, rosenbrock_model, [-1.2, 1.0], minimizer=np.ones(2), at_start="24.2")


@ROSENBROCK.program
def rosenbrock(x):
    return (10.0 * (x[1] - x[0] ** 2)) ** 2 + (1.0 - x[0]) ** 2


@ROSENBROCK.program
def rosenbrock_residuals(x):
    r = np.empty(2)
    r[0] = 10.0 * (x[1] - x[0] ** 2)
    r[1] = 1.0 - x[0]
    return r @ r


# ---------------------------------------------------------------------------------- 2: Freudenstein and Roth


def freudenstein_roth_model(x):
    a, b = x
    r = np.array([-13.0 + a + ((5.0 - b) * b - 2.0) * b, -29.0 + a + ((b + 1.0) * b - 14.0) * b])
    return r, np.array([[1.0, 10.0 * b - 3.0 * b * b - 2.0], [1.0, 3.0 * b * b + 2.0 * b - 14.0]])


FREUDENSTEIN_ROTH = Problem(
    2, freudenstein_roth_model, [0.5, -2.0], minimum="48.9842", minimizer=np.array([5.0, 4.0]), at_start="400.5"
)


@FREUDENSTEIN_ROTH.program
def freudenstein_roth(x):
    r1 = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    r2 = -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]
    return r1 * r1 + r2 * r2


@FREUDENSTEIN_ROTH.program
def freudenstein_roth_residuals(x):
    r = np.zeros(2)
    for i in range(2):
        sign = 1.0 - 2.0 * i
        r[i] += x[0] - (13.0 + 16.0 * i)
        r[i] += ((3.0 + 2.0 * sign - sign * x[1]) * x[1] - (8.0 - 6.0 * sign)) * x[1]
    return r[0] * r[0] + r[1] * r[1]


# ------------------------------------------------------------------------------------- 3: Powell badly scaled


def powell_badly_scaled_model(x):
    a, b = x
    r = np.array([1e4 * a * b - 1.0, math.exp(-a) + math.exp(-b) - 1.0001])
    return r, np.array([[1e4 * b, 1e4 * a], [-math.exp(-a), -math.exp(-b)]])


POWELL_BADLY_SCALED = Problem(3, powell_badly_scaled_model, [0.0, 1.0], at_start="1.14")


@POWELL_BADLY_SCALED.program
def powell_badly_scaled(x):
    return (1e4 * x[0] * x[1] - 1.0) ** 2 + (math.exp(-x[0]) + math.exp(-x[1]) - 1.0001) ** 2


@POWELL_BADLY_SCALED.program
def powell_badly_scaled_residuals(x):
    r = np.array([1e4, -1.0001])
    for i in range(2):
        r[0] *= x[i]
        r[1] += np.exp(-x[i])
    r[0] -= 1.0
    return np.sum(r * r)


# -------------------------------------------------------------------------------------- 4: Brown badly scaled


def brown_badly_scaled_model(x):
    a, b = x
    return np.array([a - 1e6, b - 2e-6, a * b - 2.0]), np.array([[1.0, 0.0], [0.0, 1.0], [b, a]])


BROWN_BADLY_SCALED = Problem(
    4, brown_badly_scaled_model, [1.0, 1.0], minimizer=np.array([1e6, 2e-6]), at_start="1.00e12"
)


@BROWN_BADLY_SCALED.program
def brown_badly_scaled(x):
    a = x[0]
    b = x[1]
    return (a - 1e6) ** 2 + (b - 2e-6) ** 2 + (a * b - 2.0) ** 2


@BROWN_BADLY_SCALED.program
def brown_badly_scaled_residuals(x):
    r = np.empty(3)
    r[:2] = x
    r[0] -= 1e6
    r[1] -= 2e-6
    r[2] = x[0] * x[1] - 2.0
    return np.sum(r**2)


# --------------------------------------------------------------------------------------------------- 5: Beale

BEALE_Y = np.array([1.5, 2.25, 2.625])


def beale_model(x, y):
    a, b = x
    i = np.arange(1, 4)
    return y - a * (1.0 - b**i), np.column_stack((b**i - 1.0, a * i * b ** (i - 1)))


BEALE = Problem(5, beale_model, [1.0, 1.0], (BEALE_Y,), minimizer=np.array([3.0, 0.5]), at_start="14.203125")


@BEALE.program
def beale(x, y):
    f = 0.0
    for i in range(3):
        r = y[i] - x[0] * (1.0 - x[1] ** (i + 1))
        f += r * r
    return f


@BEALE.program
def beale_residuals(x, y):
    r = y.copy()
    power = 1.0
    for i in range(3):
        power *= x[1]
        r[i] -= x[0] * (1.0 - power)
    return np.dot(r, r)


# ------------------------------------------------------------------------------------- 6: Jennrich and Sampson


def jennrich_sampson_model(x):
    i = np.arange(1, 11)
    e = np.exp(np.outer(i, x))
    return 2.0 + 2.0 * i - e.sum(axis=1), -i[:, None] * e


JENNRICH_SAMPSON = Problem(6, jennrich_sampson_model, [0.3, 0.4], minimum="124.362")


@JENNRICH_SAMPSON.program
def jennrich_sampson(x):
    f = 0.0
    for i in range(1, 11):
        r = 2.0 + 2.0 * i - (math.exp(i * x[0]) + math.exp(i * x[1]))
        f += r * r
    return f


@JENNRICH_SAMPSON.program
def jennrich_sampson_residuals(x):
    r = np.linspace(4.0, 22.0, 10)
    for j in range(2):
        base = math.exp(x[j])
        power = base
        for i in range(10):
            r[i] -= power
            power *= base
    return (r**2).sum()


# -------------------------------------------------------------------------------------------- 7: helical valley


def helical_valley_model(x):
    a, b, c = x
    radius = math.hypot(a, b)
    turn = math.atan2(b, a) / (2.0 * math.pi)
    turn += 1.0 if turn < -0.25 else 0.0
    r = np.array([10.0 * (c - 10.0 * turn), 10.0 * (radius - 1.0), c])
    factor = 50.0 / (math.pi * radius**2)
    return r, np.array([[factor * b, -factor * a, 10.0], [10.0 * a / radius, 10.0 * b / radius, 0.0], [0.0, 0.0, 1.0]])


HELICAL_VALLEY = Problem(
    7, helical_valley_model, [-1.0, 0.0, 0.0], minimizer=np.array([1.0, 0.0, 0.0]), at_start="2500"
)


@HELICAL_VALLEY.program
def helical_valley(x):
    if x[0] > 0.0:
        turn = math.atan(x[1] / x[0]) / (2.0 * math.pi)
    elif x[0] < 0.0:
        turn = math.atan(x[1] / x[0]) / (2.0 * math.pi) + 0.5
    else:
        turn = 0.25 if x[1] >= 0.0 else -0.25
    radius = math.sqrt(x[0] ** 2 + x[1] ** 2)
    return 100.0 * ((x[2] - 10.0 * turn) ** 2 + (radius - 1.0) ** 2) + x[2] ** 2


@HELICAL_VALLEY.program
def helical_valley_residuals(x):
    r = np.empty_like(x)
    turn = math.atan(x[1] / x[0]) / (2.0 * math.pi)
    if x[0] < 0.0:
        turn += 0.5
    r[0] = 10.0 * (x[2] - 10.0 * turn)
    r[1] = 10.0 * (math.hypot(x[0], x[1]) - 1.0)
    r[-1] = x[-1]
    return r @ r


# ------------------------------------------------------------------------------------------ 13: Powell singular


def powell_singular_model(x):
    a, b, c, d = x
    r = np.array([a + 10.0 * b, math.sqrt(5.0) * (c - d), (b - 2.0 * c) ** 2, math.sqrt(10.0) * (a - d) ** 2])
    u, v = 2.0 * (b - 2.0 * c), 2.0 * math.sqrt(10.0) * (a - d)
    w = math.sqrt(5.0)
    return r, np.array([[1.0, 10.0, 0.0, 0.0], [0.0, 0.0, w, -w], [0.0, u, -2.0 * u, 0.0], [v, 0.0, 0.0, -v]])


POWELL_SINGULAR = Problem(13, powell_singular_model, [3.0, -1.0, 0.0, 1.0], minimizer=np.zeros(4), at_start="215")


@POWELL_SINGULAR.program
def powell_singular(x):
    f = (x[0] + 10.0 * x[1]) ** 2 + 5.0 * (x[2] - x[3]) ** 2
    return f + (x[1] - 2.0 * x[2]) ** 4 + 10.0 * (x[0] - x[3]) ** 4


@POWELL_SINGULAR.program
def powell_singular_residuals(x):
    r = np.empty(4)
    r[0] = x[0] + 10.0 * x[1]
    r[1] = x[2] - x[3]
    r[2] = (x[1] - 2.0 * x[2]) ** 2
    r[3] = (x[0] - x[3]) ** 2
    r[1::2] *= np.sqrt(np.array([5.0, 10.0]))
    return np.sum(r * r)


# ----------------------------------------------------------------------------------------------------- 14: Wood


def wood_model(x):
    a, b, c, d = x
    s, t = math.sqrt(90.0), math.sqrt(10.0)
    r = np.array([10.0 * (b - a * a), 1.0 - a, s * (d - c * c), 1.0 - c, t * (b + d - 2.0), (b - d) / t])
    jacobian = np.zeros((6, 4))
    jacobian[0, :2] = -20.0 * a, 10.0
    jacobian[1, 0] = jacobian[3, 2] = -1.0
    jacobian[2, 2:] = -2.0 * s * c, s
    jacobian[4, 1::2] = t
    jacobian[5, 1::2] = 1.0 / t, -1.0 / t
    return r, jacobian


WOOD = Problem(14, wood_model, [-3.0, -1.0, -3.0, -1.0], minimizer=np.ones(4), at_start="19192")


@WOOD.program
def wood(x):
    f = 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2 + 90.0 * (x[3] - x[2] ** 2) ** 2 + (1.0 - x[2]) ** 2
    return f + 10.0 * (x[1] + x[3] - 2.0) ** 2 + 0.1 * (x[1] - x[3]) ** 2


@WOOD.program
def wood_residuals(x):
    r = np.empty(6)
    for k in range(2):
        r[2 * k] = x[2 * k + 1] - x[2 * k] * x[2 * k]
        r[2 * k + 1] = 1.0 - x[2 * k]
    r[0] *= 10.0
    r[2] *= math.sqrt(90.0)
    r[4] = math.sqrt(10.0) * (x[1] + x[3] - 2.0)
    r[5] = (x[1] - x[3]) / math.sqrt(10.0)
    f = 0.0
    for value in r:
        f += value**2
    return f
