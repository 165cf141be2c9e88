"""What generated code calls on the device.

A lane holds words of 8 bytes, seen as floats and as ints.  As in `tape.cuda.lanes`, the words of a warp at one depth
lie side by side; a push to a full lane is counted and not stored.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import cuda
from numba.cuda.core import config

DEPTH, EMPTY, ZERO = 0, 1, 2  # what `trouble` counts: depth wanted, pops from an empty lane, divisions by zero
FULL = 1 << 62


class Lane(NamedTuple):
    """The stack of a thread; `top` is a cell with the number of words on it."""

    floats: object
    ints: object
    trouble: object
    thread: int
    top: object


int64 = np.int64


def device(**options):
    """The decorator of generated functions."""
    return cuda.jit(device=True, **options)


@cuda.jit(device=True)
def _push_float(lane, x):
    top = lane.top[0]
    if top < lane.floats.shape[1]:
        lane.floats[lane.thread >> 5, top, lane.thread & 31] = x
    else:
        cuda.atomic.max(lane.trouble, DEPTH, top + 1)
    lane.top[0] = top + 1


@cuda.jit(device=True)
def _push_int(lane, x):
    top = lane.top[0]
    if top < lane.ints.shape[1]:
        lane.ints[lane.thread >> 5, top, lane.thread & 31] = x
    else:
        cuda.atomic.max(lane.trouble, DEPTH, top + 1)
    lane.top[0] = top + 1


def push(lane, x):
    """Push a float, or an int or bool."""
    if isinstance(x, float):  # in the simulator, which runs this as it stands
        _push_float(lane, x)
    else:
        _push_int(lane, x)


if not config.ENABLE_CUDASIM:
    from numba.cuda import types
    from numba.cuda.extending import overload

    @overload(push)
    def _push(lane, x):
        if isinstance(x, types.Float):
            return lambda lane, x: _push_float(lane, x)
        if isinstance(x, types.Integer | types.Boolean):
            return lambda lane, x: _push_int(lane, x)
        return None


@cuda.jit(device=True)
def _place(lane):
    """Where the newest word is, which is taken off; of a lane that was too short, any place."""
    place = lane.top[0] - 1
    lane.top[0] = place
    if place < 0:
        cuda.atomic.add(lane.trouble, EMPTY, 1)
        return 0
    return min(place, lane.floats.shape[1] - 1)


@cuda.jit(device=True)
def pop_float(lane):
    """Take a float off."""
    place = _place(lane)
    return lane.floats[lane.thread >> 5, place, lane.thread & 31]


@cuda.jit(device=True)
def pop_int(lane):
    """Take an int off; of a lane that was too short 0, since it may be the number of rounds of a loop."""
    short = lane.top[0] > lane.ints.shape[1]
    place = _place(lane)
    if short:
        return 0
    return lane.ints[lane.thread >> 5, place, lane.thread & 31]


@cuda.jit(device=True)
def push_bit(lane, bits, decision):
    """As `ad.bits.push_bit`, with 62 decisions to a word."""
    more = (bits << 1) | (1 if decision else 0)
    if more >= FULL:
        _push_int(lane, more)
        more = 1
    return more


@cuda.jit(device=True)
def pop_bit(lane, bits):
    """As `ad.bits.pop_bit`."""
    if bits <= 1:
        bits = pop_int(lane)
    return (bits & 1) == 1, bits >> 1


@cuda.jit(device=True)
def div(lane, a, b):
    """``a / b``; notes a division by zero."""
    if b == 0:
        cuda.atomic.add(lane.trouble, ZERO, 1)
        b = b + 1
    return a / b


@cuda.jit(device=True)
def floordiv(lane, a, b):
    """``a // b``; notes a division by zero."""
    if b == 0:
        cuda.atomic.add(lane.trouble, ZERO, 1)
        b = b + 1
    return a // b


@cuda.jit(device=True)
def mod(lane, a, b):
    """``a % b``; notes a division by zero."""
    if b == 0:
        cuda.atomic.add(lane.trouble, ZERO, 1)
        b = b + 1
    return a % b


# ------------------------------------------------------------------------- NumPy's functions of one or two numbers


def _elementary(function):
    return cuda.jit(device=True)(function)


exp = _elementary(lambda x: math.exp(x))
expm1 = _elementary(lambda x: math.expm1(x))
exp2 = _elementary(lambda x: 2.0**x)
log1p = _elementary(lambda x: math.log1p(x))
sqrt = _elementary(lambda x: math.sqrt(x))
fabs = _elementary(lambda x: math.fabs(x))
absolute = _elementary(lambda x: abs(x))
square = _elementary(lambda x: x * x)
reciprocal = _elementary(lambda x: 1.0 / x)
negative = _elementary(lambda x: -x)
power = _elementary(lambda x, y: x**y)
add = _elementary(lambda x, y: x + y)
subtract = _elementary(lambda x, y: x - y)
multiply = _elementary(lambda x, y: x * y)
copysign = _elementary(lambda x, y: math.copysign(x, y))


@cuda.jit(device=True)
def sign(x):
    """-1, 0 or 1; NaN of NaN."""
    if x > 0:
        return 1.0
    if x < 0:
        return -1.0
    return x * 1.0


@cuda.jit(device=True)
def logaddexp(x, y):
    """The logarithm of the sum of two exponentials."""
    if x == y:  # two infinities too
        return x + math.log(2.0)
    return max(x, y) + math.log1p(math.exp(-abs(x - y)))
