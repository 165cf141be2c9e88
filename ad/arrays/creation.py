"""Arrays made from numbers, and the rules for these numbers; they return scalars.

    np.full(shape, x)                  total(g), of ad.arrays.accumulate
    np.linspace(a, b, n, endpoint)     linspace_vjp_start(g, endpoint), linspace_vjp_stop(g, endpoint)
    np.arange(a, b, step)              total(g) for a; arange_vjp_step(g); the number of elements is constant

Forward, for endpoint=False, which Numba does not compile: array_linspace(start, stop, num, endpoint).

As they are registered:

    defvjp(np.full, None, lambda g, ans, shape, x: call(total, g))
    defvjp(
        np.linspace,
        lambda g, ans, start, stop, num=50, endpoint=True: call(linspace_vjp_start, g, endpoint),
        lambda g, ans, start, stop, num=50, endpoint=True: call(linspace_vjp_stop, g, endpoint),
    )
"""

from typing import Any

import numpy as np

from ad.arrays.accumulate import total
from ad.arrays.compiled import guarded
from ad.arrays.known import WRITES_NOTHING

__all__ = ["arange_vjp_step", "array_linspace", "linspace_vjp_start", "linspace_vjp_stop"]


@guarded
def array_linspace(start: float, stop: float, num: int, endpoint: bool) -> Any:
    """np.linspace of float64.  Raises ValueError for a negative `num`."""
    if num < 0:
        raise ValueError("the number of samples must not be negative")
    steps = num - 1 if endpoint else num
    out = np.empty(num)
    for i in range(num):
        out[i] = start + i * ((stop - start) / steps) if i else start
    if endpoint and num > 1:
        out[-1] = stop
    return out


@guarded
def linspace_vjp_stop(g: Any, endpoint: bool) -> float:
    """The rule of np.linspace for the end."""
    steps = len(g) - 1 if endpoint else len(g)
    s = 0.0
    for i in range(1, len(g)):
        s += g[i] * (i / steps)
    return s


@guarded
def linspace_vjp_start(g: Any, endpoint: bool) -> float:
    """The rule of np.linspace for the start."""
    return total(g) - linspace_vjp_stop(g, endpoint)


@guarded
def arange_vjp_step(g: Any) -> float:
    """The rule of np.arange for the step."""
    s = 0.0
    for i in range(len(g)):
        s += g[i] * i
    return s


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
