"""What a gradient with ``debug=True`` calls: is this finite, and is what was popped the tag that was pushed?

Findings go into `notes`, an array of the call: the first value and the first adjoint that are not finite, each as the
number of its place in the program and the real and imaginary part; and the two tags that did not match.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from ad.arrays.compiled import OPTIONS, Function, is_array

__all__ = ["ADJOINT", "TAGS", "VALUE", "Mismatched", "check_adjoint", "check_tag", "check_value", "new_notes"]

VALUE, ADJOINT, TAGS = 0, 3, 6
"""Where in the notes each of the findings begins."""


class Mismatched(Exception):
    """What generated code is left by where a pop meets another push than its own; the notes say which."""


def new_notes() -> Any:
    """Notes for one call."""
    return np.zeros(8)


def _check(at: int) -> Function:
    def number(notes: Any, place: Any, x: Any) -> None:
        if notes[at] == 0.0 and not np.isfinite(x):
            notes[at] = place
            notes[at + 1] = x.real
            notes[at + 2] = x.imag

    def array(notes: Any, place: Any, x: Any) -> None:
        if notes[at] == 0.0:
            for item in x.flat:
                if not np.isfinite(item):
                    notes[at] = place
                    notes[at + 1] = item.real
                    notes[at + 2] = item.imag
                    break

    return lambda notes, place, x: array if is_array(x) else number


_value, _adjoint = _check(VALUE), _check(ADJOINT)


def check_value(notes: Any, place: Any, x: Any) -> None:
    """Note a number, or the first of an array, that is not finite; unless there was one before."""
    _value(notes, place, x)(notes, place, x)


def check_adjoint(notes: Any, place: Any, x: Any) -> None:
    """The same for adjoints."""
    _adjoint(notes, place, x)(notes, place, x)


# Places are literals in the source: one function for all of them.
overload(check_value, jit_options=OPTIONS, strict=False)(_value)
overload(check_adjoint, jit_options=OPTIONS, strict=False)(_adjoint)


@njit(nogil=True, _nrt=False)  # an exit with an error would keep the notes
def check_tag(notes, tag, found):
    """Leave by `Mismatched` where another tag was found than that of this place."""
    if found != tag:
        notes[TAGS] = tag
        notes[TAGS + 1] = found
        raise Mismatched
