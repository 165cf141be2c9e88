"""More, Garbow and Hillstrom's problems that fit data or samples: 8 to 12 and 15 to 19 (see `leastsquares`)."""

import math

import numpy as np

from problems.leastsquares import Problem

# ---------------------------------------------------------------------------------------------------- 8: Bard

BARD_Y = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard_model(x, y):
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    w = np.minimum(u, v)
    below = v * x[1] + w * x[2]
    r = y - (x[0] + u / below)
    return r, np.column_stack((-np.ones(15), u * v / below**2, u * w / below**2))


BARD = Problem(8, bard_model, [1.0, 1.0, 1.0], (BARD_Y,), minimum="8.21487e-3")


@BARD.program
def bard(x, y):
    f = 0.0
    for i in range(len(y)):
        u = i + 1
        v = 15 - i
        w = min(u, v)
        r = y[i] - (x[0] + u / (v * x[1] + w * x[2]))
        f += r * r
    return f


@BARD.program
def bard_residuals(x, y):
    n = y.shape[0]
    r = np.empty(n)
    for i in range(n // 2 + 1):
        u, v = i + 1.0, 15.0 - i
        r[i] = y[i] - x[0] - u / (v * x[1] + u * x[2])
        r[n - 1 - i] = y[n - 1 - i] - x[0] - v / (u * x[1] + u * x[2])
    return np.sum(r * r)


# ------------------------------------------------------------------------------------------------ 9: Gaussian

HALF_BELL = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
BELL_Y = np.array([*HALF_BELL, 0.3989, *reversed(HALF_BELL)])


def gaussian_model(x, y):
    d = 0.5 * (8.0 - np.arange(1, 16)) - x[2]
    e = np.exp(-0.5 * x[1] * d**2)
    return x[0] * e - y, np.column_stack((e, -0.5 * x[0] * d**2 * e, x[0] * x[1] * d * e))


GAUSSIAN = Problem(9, gaussian_model, [0.4, 1.0, 0.0], (BELL_Y,), minimum="1.12793e-8", at_start="3.89e-6")


@GAUSSIAN.program
def gaussian(x, y):
    f = 0.0
    for i in range(y.size):
        t = (7 - i) / 2
        r = x[0] * math.exp(-x[1] * (t - x[2]) ** 2 / 2) - y[i]
        f += r**2
    return f


@GAUSSIAN.program
def gaussian_residuals(x, y):
    amplitude, precision, center = x
    t = 3.5 - 0.5 * np.arange(15)
    r = amplitude * np.exp(-0.5 * precision * (t - center) ** 2) - y
    return r @ r


# --------------------------------------------------------------------------------------------------- 10: Meyer

MEYER_Y = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872], float
)


def meyer_model(x, y):
    t = 45.0 + 5.0 * np.arange(1, 17) + x[2]
    e = np.exp(x[1] / t)
    return x[0] * e - y, np.column_stack((e, x[0] * e / t, -x[0] * x[1] * e / t**2))


MEYER = Problem(
    10,
    meyer_model,
    [0.02, 4000.0, 250.0],
    (MEYER_Y,),
    minimum="87.9458",
    near=np.array([5.61e-3, 6.18e3, 345.2]),
)


@MEYER.program
def meyer(x, y):
    f = 0.0
    for i in range(16):
        r = x[0] * math.exp(x[1] / (50.0 + 5.0 * i + x[2])) - y[i]
        f = f + r * r
    return f


@MEYER.program
def meyer_residuals(x, y):
    r = np.empty_like(y)
    t = 45.0
    i = 0
    while i < 16:
        t += 5.0
        r[i] = x[0] * math.exp(x[1] / (t + x[2]))
        i += 1
    r -= y
    return np.sum(r**2)


# ------------------------------------------------------------------------------ 11: Gulf research and development


def gulf_model(x):
    t = np.arange(1, 100) / 100.0
    d = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0) - x[1]
    a = np.abs(d) ** x[2] / x[0]
    e = np.exp(-a)
    by_a = -e
    return e - t, np.column_stack((-by_a * a / x[0], -by_a * a * x[2] / d, by_a * a * np.log(np.abs(d))))


GULF = Problem(
    11,
    gulf_model,
    [5.0, 2.5, 0.15],
    minimizer=np.array([50.0, 25.0, 1.5]),
    near=np.array([45.0, 24.0, 1.4]),
    at_start="12.1",
)


@GULF.program
def gulf(x):
    f = 0.0
    for i in range(1, 100):
        t = i / 100
        y = 25.0 + (-50.0 * math.log(t)) ** (2.0 / 3.0)
        r = math.exp(-(abs(y - x[1]) ** x[2]) / x[0]) - t
        f += r * r
    return f


@GULF.program
def gulf_residuals(x):
    t = np.linspace(0.01, 0.99, 99)
    r = np.abs(25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0) - x[1])
    for i in range(99):
        r[i] = np.exp(-(r[i] ** x[2]) / x[0]) - t[i]
    return np.dot(r, r)


# --------------------------------------------------------------------------------------- 12: Box three-dimensional


def box_model(x):
    t = 0.1 * np.arange(1, 11)
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t) - np.exp(-10.0 * t)
    return a - b - x[2] * c, np.column_stack((-t * a, t * b, -c))


BOX = Problem(12, box_model, [0.0, 10.0, 20.0], minimizer=np.array([1.0, 10.0, 1.0]), at_start="1.03e3")


@BOX.program
def box(x):
    f = 0.0
    for i in range(1, 11):
        t = 0.1 * i
        r = math.exp(-t * x[0]) - math.exp(-t * x[1]) - x[2] * (math.exp(-t) - math.exp(-10.0 * t))
        f += r * r
    return f


@BOX.program
def box_residuals(x):
    t = np.arange(1, 11) / 10.0
    r = np.exp(-t * x[0])
    r -= np.exp(-t * x[1])
    r -= x[2] * (np.exp(-t) - np.exp(-10.0 * t))
    return np.sum(r * r)


# ------------------------------------------------------------------------------------- 15: Kowalik and Osborne

KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne_model(x, y, u):
    above, below = u * u + u * x[1], u * u + u * x[2] + x[3]
    slope = x[0] * above / below**2
    return y - x[0] * above / below, np.column_stack((-above / below, -x[0] * u / below, slope * u, slope))


KOWALIK_OSBORNE = Problem(
    15,
    kowalik_osborne_model,
    [0.25, 0.39, 0.415, 0.39],
    (KOWALIK_Y, KOWALIK_U),
    minimum="3.07505e-4",
)


@KOWALIK_OSBORNE.program
def kowalik_osborne(x, y, u):
    f = 0.0
    for i in range(len(y)):
        r = y[i] - x[0] * (u[i] ** 2 + u[i] * x[1]) / (u[i] ** 2 + u[i] * x[2] + x[3])
        f += r * r
    return f


@KOWALIK_OSBORNE.program
def kowalik_osborne_residuals(x, y, u):
    r = np.zeros(len(y))
    for i, (yi, ui) in enumerate(zip(y, u)):
        r[i] = yi - x[0] * ui * (ui + x[1]) / (ui * (ui + x[2]) + x[3])
    return np.sum(r**2)


# ------------------------------------------------------------------------------------------ 16: Brown and Dennis


def brown_dennis_model(x):
    t = np.arange(1, 21) / 5.0
    a, b = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return a**2 + b**2, 2.0 * np.column_stack((a, a * t, b, b * np.sin(t)))


BROWN_DENNIS = Problem(16, brown_dennis_model, [25.0, 5.0, -5.0, -1.0], minimum="85822.2", at_start="7.93e6")


@BROWN_DENNIS.program
def brown_dennis(x):
    f = 0.0
    for i in range(1, 21):
        t = i / 5
        r = (x[0] + t * x[1] - math.exp(t)) ** 2 + (x[2] + x[3] * math.sin(t) - math.cos(t)) ** 2
        f += r * r
    return f


@BROWN_DENNIS.program
def brown_dennis_residuals(x):
    parts = np.empty((2, 20))
    for i in range(20):
        t = (i + 1) / 5
        parts[0, i] = x[0] + t * x[1] - math.exp(t)
        parts[1, i] = x[2] + x[3] * math.sin(t) - math.cos(t)
    return np.sum((parts**2).sum(axis=0) ** 2)


# ------------------------------------------------------------------------------------------------ 17: Osborne 1

OSBORNE1_Y = np.array(
    """
    0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 0.718 0.685 0.658 0.628 0.603 0.580
    0.558 0.538 0.522 0.506 0.490 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 0.414 0.411 0.406
    """.split(),
    float,
)


def osborne1_model(x, y):
    t = 10.0 * np.arange(33)
    a, b = np.exp(-t * x[3]), np.exp(-t * x[4])
    r = y - (x[0] + x[1] * a + x[2] * b)
    return r, np.column_stack((-np.ones(33), -a, -b, t * x[1] * a, t * x[2] * b))


OSBORNE1 = Problem(
    17,
    osborne1_model,
    [0.5, 1.5, -1.0, 0.01, 0.02],
    (OSBORNE1_Y,),
    minimum="5.46489e-5",
)


@OSBORNE1.program
def osborne1(x, y):
    f = 0.0
    for i in range(y.size):
        t = 10.0 * i
        r = y[i] - (x[0] + x[1] * math.exp(-t * x[3]) + x[2] * math.exp(-t * x[4]))
        f += r * r
    return f


@OSBORNE1.program
def osborne1_residuals(x, y):
    r = y - x[0]
    for k in range(1, 3):
        for i in range(r.size):
            r[i] -= x[k] * math.exp(-10.0 * i * x[k + 2])
    return np.dot(r, r)


# ----------------------------------------------------------------------------------------------- 18: Biggs EXP6


def biggs_model(x):
    t = 0.1 * np.arange(1, 14)
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    r = x[2] * a - x[3] * b + x[5] * c - y
    return r, np.column_stack((-t * x[2] * a, t * x[3] * b, a, -b, -t * x[5] * c, c))


BIGGS = Problem(
    18,
    biggs_model,
    [1.0, 2.0, 1.0, 1.0, 1.0, 1.0],
    minimum="5.65565e-3",
    minimizer=np.array([1.0, 10.0, 1.0, 5.0, 4.0, 3.0]),
    near=np.array([1.7, 17.0, 1.2, 5.2, 1.7, 1.2]),
    at_start="0.779",
)


@BIGGS.program
def biggs_exp6(x):
    f = 0.0
    for i in range(1, 14):
        t = i / 10
        y = math.exp(-t) - 5.0 * math.exp(-10.0 * t) + 3.0 * math.exp(-4.0 * t)
        r = x[2] * math.exp(-t * x[0]) - x[3] * math.exp(-t * x[1]) + x[5] * math.exp(-t * x[4]) - y
        f += r * r
    return f


@BIGGS.program
def biggs_exp6_residuals(x):
    t = np.linspace(0.1, 1.3, 13)
    r = 5.0 * np.exp(-10.0 * t) - np.exp(-t) - 3.0 * np.exp(-4.0 * t)
    r = r + x[2] * np.exp(-t * x[0])
    r = r - x[3] * np.exp(-t * x[1])
    r = r + x[5] * np.exp(-t * x[4])
    return (r * r).sum()


# ------------------------------------------------------------------------------------------------ 19: Osborne 2

OSBORNE2_Y = np.array(
    """
    1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608 0.655 0.616 0.606 0.602 0.626
    0.651 0.724 0.649 0.649 0.694 0.644 0.624 0.661 0.612 0.558 0.533 0.495 0.500 0.423 0.395 0.375 0.372 0.391
    0.396 0.405 0.428 0.429 0.523 0.562 0.607 0.653 0.672 0.708 0.633 0.668 0.645 0.632 0.591 0.559 0.597 0.625
    0.739 0.710 0.729 0.720 0.636 0.581 0.428 0.292 0.162 0.098 0.054
    """.split(),
    float,
)


def osborne2_model(x, y):
    t = np.arange(65)[:, None] / 10.0
    decay = np.exp(-t * x[4])
    d = t - x[8:]
    bells = np.exp(-(d**2) * x[5:8])
    r = y - (x[0] * decay[:, 0] + bells @ x[1:4])
    weighted = x[1:4] * bells
    columns = -decay, -bells, t * x[0] * decay, d**2 * weighted, -2.0 * d * x[5:8] * weighted
    return r, np.hstack(columns)


OSBORNE2 = Problem(
    19,
    osborne2_model,
    [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5],
    (OSBORNE2_Y,),
    minimum="4.01377e-2",
)


@OSBORNE2.program
def osborne2(x, y):
    f = 0.0
    for i in range(len(y)):
        t = i / 10.0
        model = x[0] * math.exp(-t * x[4])
        for k in range(1, 4):
            model += x[k] * math.exp(-((t - x[k + 7]) ** 2) * x[k + 4])
        f += (y[i] - model) ** 2
    return f


@OSBORNE2.program
def osborne2_residuals(x, y):
    heights, widths, places = x[1:4], x[5:8], x[8:]
    r = y.copy()
    for i in range(len(y)):
        t = i / 10.0
        r[i] -= x[0] * math.exp(-t * x[4])
        r[i] -= np.sum(heights * np.exp(-((t - places) ** 2) * widths))
    return r @ r
