"""What generated code calls besides math, numpy and the tape's own functions.

Generated functions are compiled without Python's check of divisions, because a derivative is to be infinite or NaN
where it is.  Divisions of the user's own that Python checks go through these.
"""

from numba import njit
from numba.core import types

from tape.handle import popper

__all__ = [
    "NotAsAssumed",
    "PopFailed",
    "div",
    "floordiv",
    "mod",
    "pop",
    "pop_complex",
    "pop_complex_f4",
    "pop_f4",
    "pop_int",
]


class PopFailed(Exception):
    """What generated code is left by where the tape cannot give back what was recorded; the tape knows why.

    Going on with other numbers would be dangerous: they may be bounds of loops, or indices without a bounds check.
    """


class NotAsAssumed(Exception):
    """What a gradient is left by, before it does anything, where its arguments are not as it assumes."""


pop = popper(types.float64, "pop", "`tape.numba.pop`, or PopFailed.", PopFailed)
pop_int = popper(types.int64, "pop_int", "`tape.numba.pop_int`, or PopFailed.", PopFailed)
pop_complex = popper(types.complex128, "pop_complex", "The same for complex numbers that `push` recorded.", PopFailed)
pop_f4 = popper(types.float64, "pop_f4", "The same for floats that `push_f4` recorded.", PopFailed, size=4)
pop_complex_f4 = popper(
    types.complex128, "pop_complex_f4", "The same for complex numbers that `push_f4` recorded.", PopFailed, size=4
)


@njit(nogil=True, error_model="numpy")
def div(a, b):
    """``a / b``; raises ZeroDivisionError."""
    if b == 0:
        raise ZeroDivisionError("division by zero")
    return a / b


@njit(nogil=True, error_model="numpy")
def floordiv(a, b):
    """``a // b``; raises ZeroDivisionError."""
    if b == 0:
        raise ZeroDivisionError("integer division or modulo by zero")
    return a // b


@njit(nogil=True, error_model="numpy")
def mod(a, b):
    """``a % b``; raises ZeroDivisionError."""
    if b == 0:
        raise ZeroDivisionError("integer division or modulo by zero")
    return a % b


@njit(nogil=True, error_model="numpy")
def assume(condition):
    """Nothing, or NotAsAssumed."""
    if not condition:
        raise NotAsAssumed
