"""Elementwise functions of NumPy on arrays, and of `math` on elements."""

import math

import numpy as np
from cases import case, values

POSITIVE = np.abs(values(4)) + 0.2
UNIT = values(4) * 0.6
ABOVE_ONE = POSITIVE + 1.0


@case(POSITIVE)
def roots(a):
    return np.sum(np.sqrt(a) + np.cbrt(a) * a + np.square(a) + np.reciprocal(a))


@case(values(4))
def exponentials(a):
    return np.sum(np.exp(a) * a + np.expm1(a) + np.exp2(a))


@case(POSITIVE)
def logarithms(a):
    return np.sum(np.log(a) * a + np.log1p(a) + np.log2(a) + np.log10(a) * a)


@case(values(4))
def trigonometry(a):
    return np.sum(np.sin(a) * np.cos(a) + np.tan(a) + np.arctan(a) * a)


@case(UNIT)
def inverse_trigonometry(a):
    return np.sum(np.arcsin(a) * np.arccos(a) + np.arctan(a))


@case(values(4))
def hyperbolic(a):
    return np.sum(np.sinh(a) * np.cosh(a) + np.tanh(a))


@case(UNIT, ABOVE_ONE)
def inverse_hyperbolic(a, b):
    return np.sum(np.arcsinh(a) * np.arctanh(a) + np.arccosh(b) * b)


@case(values(4), values(4, start=4))
def of_two_arguments(a, b):
    return np.sum(np.hypot(a, b) + np.arctan2(a, b) * a + np.logaddexp(a, b) + np.copysign(a, b) * b)


@case(POSITIVE, values(4))
def operators_by_name(a, b):
    c = np.add(a, b) * np.subtract(a, b) + np.multiply(a, b) + np.divide(b, a) + np.power(a, b) + np.negative(b)
    return np.sum(c)


@case(values(4), values(4, start=5))
def extremes(a, b):
    c = np.maximum(a, b) * np.minimum(a, b) + np.maximum(a, 0.1) + np.minimum(0.3, b) + np.fmax(a, b) * np.fmin(b, 0.2)
    return np.sum(c * a)


@case(values(4), POSITIVE)
def remainders(a, b):
    return np.sum(np.mod(a, b) * a + np.fmod(a, b) + np.remainder(a, 0.37) + np.floor_divide(a, b) * b)


@case(values(5))
def rounding(a):
    s = np.floor(2.0 * a) + np.ceil(a) * a + np.trunc(3.0 * a) + np.rint(a + 0.2) * a + np.sign(a)
    return np.sum(s * a)


@case(values(5))
def absolute_values(a):
    return np.sum(np.abs(a) * a + np.fabs(a))


@case(values(5), without_numba="Numba has no abs() of arrays")
def absolute_values_of_python(a):
    return np.sum(abs(a) * a)


@case(values(4))
def angles(a):
    return np.sum(np.deg2rad(a) * a + np.radians(a) + np.rad2deg(a) + np.degrees(a))


@case(values(4))
def clipped(a):
    return np.sum(np.clip(a, -0.5, 0.9) * a)


@case(values(6), -0.4, 0.8)
def clipped_between_variables(a, low, high):
    b = np.clip(a, low, high)
    return np.sum(b * b + b)


@case(values(4), values(4, start=4))
def chosen(a, b):
    c = np.where(a > 0.0, np.sin(a) * b, a * a)
    d = np.where(c > b, c, 0.5)
    return np.sum(c * d)


@case(values(3, 4), 0.7)
def where_with_broadcasting(a, x):
    c = np.where(a > 0.0, x, a * x)
    d = np.where(a[0] > 0.0, c, a[1])
    return np.sum(c * d)


@case(values(4), 0.7)
def into_an_array(a, x):
    b = np.zeros(4)
    np.multiply(a, x, b)
    np.sin(b, a)
    np.add(a, b, a)
    return np.sum(a * b)


@case(1.7, 0.6)
def scalars_of_math(x, y):
    s = math.sqrt(x) + math.exp(y) * math.log(x) + math.log10(x) + math.log2(x) + math.log1p(y) * math.expm1(y)
    s += math.sin(x) * math.cos(y) + math.tan(y) + math.asin(y) * math.acos(y) + math.atan(x) + math.atan2(x, y)
    s += math.sinh(x) * math.cosh(y) + math.tanh(x) + math.asinh(x) + math.acosh(x) * math.atanh(y)
    return s + math.hypot(x, y) + math.pow(x, y) + math.fabs(x) + math.copysign(x, -y)


@case(1.7, 0.6)
def more_of_math(x, y):
    s = math.erf(x) * math.erfc(y) + math.gamma(x) * math.lgamma(y) + math.degrees(x) * math.radians(y)
    k = math.floor(x) + math.ceil(y) + math.trunc(x)
    return s * k + math.ldexp(x, 3) * y


@case(1.7, 0.6, without_numba="Numba has no math.fmod")
def remainder_of_math(x, y):
    return math.fmod(x, y) * x


@case(0.7, 1.3)
def numpy_on_scalars(x, y):
    return np.sin(x) * np.exp(y) + np.maximum(x, y) * np.sqrt(y) + np.tanh(x) ** 2 + np.where(x > y, x, y * y)


@case(values(4), 1.3)
def math_on_elements(a, x):
    s = 0.0
    for i in range(len(a)):
        s += math.sin(a[i] * x) * math.exp(-a[i]) + math.atan2(a[i], x) + abs(a[i]) + max(a[i], x) * min(a[i], 0.1)
    return s


@case(values(6))
def relu_and_sigmoid(a):
    hidden = np.maximum(a, 0.0) + 0.01 * np.minimum(a, 0.0)
    out = 1.0 / (1.0 + np.exp(-hidden))
    return -np.sum(np.log(out) * a)


@case(values(4), 0.7)
def minimum_and_maximum_of_several(a, x):
    return max(a[0], x, a[1]) * min(a[2], a[3], x, 0.3) + max(x, 1) * min(2, x)


@case(values(3), 0.7)
def predicates(a, x):
    s = 0.0
    for y in a:
        if np.isnan(y) or math.isinf(y) or not np.isfinite(y):
            return 0.0
        s += y * x
    if np.any(a > 5.0) or not np.all(a < 5.0):
        return x
    return s * s
