"""What generated code calls besides math, numpy and the tape.

Generated functions are compiled without Python's check of divisions, because a derivative is to be infinite or NaN
where it is.  Divisions of the user's own that Python checks go through these.
"""

from numba import njit

__all__ = ["div", "floordiv", "mod"]


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
