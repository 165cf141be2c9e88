"""A function of a number that compiled code calls, which counts its calls."""

import ctypes

from numba import njit

import ad

calls = 0


@ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
def _counted(x):
    global calls
    calls += 1
    return x


@njit
def tick(x):
    return _counted(x)


ad.defvjp(tick, lambda g, ans, x: g)


def taken():
    """The calls since this was last asked."""
    global calls
    found, calls = calls, 0
    return found
