"""Functions of numbers that derivative rules and generated code need and the standard library lacks."""

import math

from numba import njit

__all__ = ["digamma", "larger", "smaller"]

# Bernoulli numbers B_2k / 2k of the asymptotic series (Abramowitz and Stegun 6.3.18).
_SERIES = (
    1.0 / 12.0,
    -1.0 / 120.0,
    1.0 / 252.0,
    -1.0 / 240.0,
    1.0 / 132.0,
    -691.0 / 32760.0,
    1.0 / 12.0,
)


@njit(nogil=True, error_model="numpy")
def digamma(x: float) -> float:
    """The logarithmic derivative of the gamma function, to about 1e-14 relative to max(1, |digamma|).

    NaN at the poles 0, -1, -2, ...  Reflection for negative x, recurrence up to 10, then the asymptotic series.
    """
    result = 0.0
    if x <= 0.0:
        if x == math.floor(x):
            return math.nan
        fraction = x - math.floor(x)
        result = -math.pi / math.tan(math.pi * fraction)
        x = 1.0 - x
    while x < 10.0:
        result -= 1.0 / x
        x += 1.0
    w = 1.0 / (x * x)
    tail = 0.0
    for term in _SERIES[::-1]:
        tail = w * (term + tail)
    return result + math.log(x) - 0.5 / x - tail


@njit(nogil=True, error_model="numpy")
def larger(x: float, y: float) -> float:
    """The larger of two elements, the first of equal ones, or the first NaN: of many in turn, np.max."""
    return y if y > x or (y != y and x == x) else x


@njit(nogil=True, error_model="numpy")
def smaller(x: float, y: float) -> float:
    """The smaller of two elements, the first of equal ones, or the first NaN: of many in turn, np.min."""
    return y if y < x or (y != y and x == x) else x
