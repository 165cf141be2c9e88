"""What generated code calls besides math, numpy and the tape's own functions.

Generated functions are compiled without Python's check of divisions, because a derivative is to be infinite or NaN
where it is.  Divisions of the user's own that Python checks go through these.
"""

from numba import njit
from numba.core import types

from tape.handle import popper

__all__ = ["PopFailed", "div", "floordiv", "mod", "pop", "pop_complex", "pop_int"]


class PopFailed(Exception):
    """What generated code is left by where the tape cannot give back what was recorded; the tape knows why.

    Going on with other numbers would be dangerous: they may be bounds of loops, or indices without a bounds check.
    """


pop = popper(types.float64, "pop", "`tape.numba.pop`, or PopFailed.", PopFailed)
pop_int = popper(types.int64, "pop_int", "`tape.numba.pop_int`, or PopFailed.", PopFailed)


@njit(nogil=True, error_model="numpy")
def pop_complex(handle):
    """The newest complex number: two words, the real part below."""
    re, im = pop(handle, 2)
    return complex(re, im)


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
