"""More, Garbow and Hillstrom's problems of any dimension: 20 to 25 (see `leastsquares`)."""

import math

import numpy as np

from problems.leastsquares import Problem

# -------------------------------------------------------------------------------------------------- 20: Watson


def watson_model(x):
    j = np.arange(len(x))
    t = np.arange(1, 30)[:, None] / 29.0
    powers = t**j
    slopes = np.hstack((np.zeros((29, 1)), j[1:] * powers[:, :-1]))
    value = powers @ x
    jacobian = np.zeros((31, len(x)))
    jacobian[:29] = slopes - 2.0 * value[:, None] * powers
    jacobian[29, 0] = 1.0
    jacobian[30, :2] = -2.0 * x[0], 1.0
    return np.array([*(slopes @ x - value**2 - 1.0), x[0], x[1] - x[0] ** 2 - 1.0]), jacobian


WATSON = Problem(20, watson_model, np.zeros(6), minimum="2.28767e-3", at_start="30")
Problem(20, watson_model, np.zeros(9), minimum="1.39976e-6", at_start="30")
Problem(20, watson_model, np.zeros(12), minimum="4.72238e-10", at_start="30")


@WATSON.program
def watson(x):
    n = len(x)
    f = x[0] ** 2 + (x[1] - x[0] ** 2 - 1.0) ** 2
    for i in range(1, 30):
        t = i / 29
        slope = 0.0
        value = x[0]
        power = 1.0
        for j in range(1, n):
            slope += j * x[j] * power
            power *= t
            value += x[j] * power
        r = slope - value * value - 1.0
        f += r * r
    return f


@WATSON.program
def watson_residuals(x):
    """Horner's scheme from the back, a residual at a time."""
    n = x.size
    r = np.full(31, -1.0)
    for i in range(29):
        t = (i + 1) / 29.0
        value, slope = 0.0, 0.0
        for j in range(n - 1, -1, -1):
            slope = slope * t + value
            value = value * t + x[j]
        r[i] += slope - value**2
    r[29] = x[0]
    r[30] += x[1] - x[0] ** 2
    return np.dot(r, r)


# ------------------------------------------------------------------------------------- 21: extended Rosenbrock


def extended_rosenbrock_model(x):
    odd, even = x[::2], x[1::2]
    n = len(x)
    r, jacobian = np.empty(n), np.zeros((n, n))
    r[::2], r[1::2] = 10.0 * (even - odd**2), 1.0 - odd
    k = np.arange(0, n, 2)
    jacobian[k, k], jacobian[k, k + 1], jacobian[k + 1, k] = -20.0 * odd, 10.0, -1.0
    return r, jacobian


EXTENDED_ROSENBROCK = Problem(
    21, extended_rosenbrock_model, np.tile([-1.2, 1.0], 5), minimizer=np.ones(10), at_start="121"
)


@EXTENDED_ROSENBROCK.program
def extended_rosenbrock(x):
    f = 0.0
    for i in range(0, len(x), 2):
        f += 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return f


@EXTENDED_ROSENBROCK.program
def extended_rosenbrock_residuals(x):
    r = np.empty_like(x)
    r[0::2] = 10.0 * (x[1::2] - x[0::2] ** 2)
    r[1::2] = 1.0 - x[0::2]
    return np.sum(r**2)


# -------------------------------------------------------------------------------- 22: extended Powell singular


def extended_powell_model(x):
    n = len(x)
    a, b, c, d = x.reshape(-1, 4).T
    r, jacobian = np.empty(n), np.zeros((n, n))
    r[0::4], r[1::4] = a + 10.0 * b, math.sqrt(5.0) * (c - d)
    r[2::4], r[3::4] = (b - 2.0 * c) ** 2, math.sqrt(10.0) * (a - d) ** 2
    k = np.arange(0, n, 4)
    jacobian[k, k], jacobian[k, k + 1] = 1.0, 10.0
    jacobian[k + 1, k + 2], jacobian[k + 1, k + 3] = math.sqrt(5.0), -math.sqrt(5.0)
    jacobian[k + 2, k + 1], jacobian[k + 2, k + 2] = 2.0 * (b - 2.0 * c), -4.0 * (b - 2.0 * c)
    jacobian[k + 3, k], jacobian[k + 3, k + 3] = math.sqrt(40.0) * (a - d), -math.sqrt(40.0) * (a - d)
    return r, jacobian


EXTENDED_POWELL = Problem(
    22, extended_powell_model, np.tile([3.0, -1.0, 0.0, 1.0], 3), minimizer=np.zeros(12), at_start="645"
)


@EXTENDED_POWELL.program
def extended_powell(x):
    f = 0.0
    for i in range(len(x) // 4):
        a, b, c, d = x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]
        f += (a + 10.0 * b) ** 2 + 5.0 * (c - d) ** 2 + (b - 2.0 * c) ** 4 + 10.0 * (a - d) ** 4
    return f


@EXTENDED_POWELL.program
def extended_powell_residuals(x):
    """Blocks of four as rows of a view."""
    blocks = x.reshape(len(x) // 4, 4)
    r = np.empty_like(blocks)
    for i in range(blocks.shape[0]):
        block = blocks[i]
        row = r[i]
        row[0] = block[0] + 10.0 * block[1]
        row[1] = 5.0**0.5 * (block[2] - block[3])
        row[2] = (block[1] - 2.0 * block[2]) ** 2
        row[3] = 10.0**0.5 * (block[0] - block[3]) ** 2
    return np.sum(r * r)


# ------------------------------------------------------------------------------------------ 23, 24: penalties


def penalty1_model(x):
    a = math.sqrt(1e-5)
    return np.array([*(a * (x - 1.0)), x @ x - 0.25]), np.vstack((a * np.eye(len(x)), 2.0 * x))


PENALTY1 = Problem(23, penalty1_model, [1.0, 2.0, 3.0, 4.0], minimum="2.24997e-5", at_start="885.06264")
Problem(23, penalty1_model, np.arange(1.0, 11.0), minimum="7.08765e-5")


@PENALTY1.program
def penalty1(x):
    penalty = -0.25
    f = 0.0
    for i in range(len(x)):
        penalty += x[i] ** 2
        f += 1e-5 * (x[i] - 1.0) ** 2
    return f + penalty * penalty


@PENALTY1.program
def penalty1_residuals(x):
    n = len(x)
    r = np.empty(n + 1)
    r[:n] = np.sqrt(1e-5) * (x - 1.0)
    r[n] = np.sum(x**2) - 0.25
    return r @ r


def penalty2_model(x):
    n = len(x)
    a = math.sqrt(1e-5)
    e = np.exp(x / 10.0)
    i = np.arange(1, n + 1)
    y = np.exp(i / 10.0) + np.exp((i - 1) / 10.0)
    r = [x[0] - 0.2, *(a * (e[1:] + e[:-1] - y[1:])), *(a * (e[1:] - math.exp(-0.1))), (n + 1 - i) @ x**2 - 1.0]
    jacobian = np.zeros((2 * n, n))
    jacobian[0, 0] = 1.0
    jacobian[1:n, 1:] = np.diag(0.1 * a * e[1:])
    jacobian[1:n, :-1] += np.diag(0.1 * a * e[:-1])
    jacobian[n : 2 * n - 1, 1:] = np.diag(0.1 * a * e[1:])
    jacobian[-1] = 2.0 * (n + 1 - i) * x
    return np.array(r), jacobian


PENALTY2 = Problem(24, penalty2_model, np.full(4, 0.5), minimum="9.37629e-6")
Problem(24, penalty2_model, np.full(10, 0.5), minimum="2.93660e-4")


@PENALTY2.program
def penalty2(x):
    n = len(x)
    weighted = -1.0
    for j in range(n):
        weighted += (n - j) * x[j] ** 2
    f = (x[0] - 0.2) ** 2 + weighted**2
    for i in range(1, n):
        y = math.exp((i + 1) / 10) + math.exp(i / 10)
        f += 1e-5 * (math.exp(x[i] / 10.0) + math.exp(x[i - 1] / 10.0) - y) ** 2
        f += 1e-5 * (math.exp(x[i] / 10.0) - math.exp(-0.1)) ** 2
    return f


@PENALTY2.program
def penalty2_residuals(x):
    n = len(x)
    r = np.zeros(2 * n)
    r[0] = x[0] - 0.2
    last = np.exp(x[0] / 10.0)
    for i in range(1, n):
        e = np.exp(x[i] / 10.0)
        r[i] = 1e-5**0.5 * (e + last - np.exp((i + 1) / 10) - np.exp(i / 10))
        r[n + i - 1] = 1e-5**0.5 * (e - np.exp(-0.1))
        last = e
    r[-1] = -1.0
    for j in range(n):
        r[-1] += (n - j) * x[j] * x[j]
    return np.sum(r * r)


# ------------------------------------------------------------------------------------ 25: variably dimensioned


def variably_dimensioned_model(x):
    j = np.arange(1.0, len(x) + 1.0)
    s = j @ (x - 1.0)
    return np.array([*(x - 1.0), s, s * s]), np.vstack((np.eye(len(x)), j, 2.0 * s * j))


VARIABLY_DIMENSIONED = Problem(25, variably_dimensioned_model, 1.0 - np.arange(1, 11) / 10.0, minimizer=np.ones(10))


@VARIABLY_DIMENSIONED.program
def variably_dimensioned(x):
    f = 0.0
    s = 0.0
    for j in range(len(x)):
        f += (x[j] - 1.0) ** 2
        s += (j + 1) * (x[j] - 1.0)
    return f + s**2 + s**4


@VARIABLY_DIMENSIONED.program
def variably_dimensioned_residuals(x):
    n = len(x)
    r = np.zeros(n + 2)
    for j in range(n):
        r[j] = x[j] - 1.0
        r[n] += (j + 1) * r[j]
    r[n + 1] = r[n] ** 2
    return np.dot(r, r)
