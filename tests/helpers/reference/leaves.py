"""The numbers in arguments that one differentiates with respect to."""

import numpy as np

from reference.clones import mapped


def is_active(x):
    """Whether one differentiates with respect to a value: a float or an array of floats."""
    return isinstance(x, float | np.floating) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def count(x):
    """How many numbers of an argument, or of what a tuple holds, are active."""
    if isinstance(x, tuple):
        return sum(map(count, x))
    return np.size(x) if is_active(x) else 0


def active(args):
    """The positions of the arguments that `ad` differentiates with respect to by default."""
    return [i for i, a in enumerate(args) if count(a) or is_active(a)]


def empty_like(x, dtype=None):
    """An array as `x`; not contiguous where `x` is not."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.forc or not x.ndim:
        return np.empty_like(x, dtype)
    return np.empty((*x.shape[:-1], 2 * x.shape[-1]), dtype)[..., ::2]


def copied(x, dtype=None):
    """A copy of an array with the same layout in memory; other values as they are."""
    if not isinstance(x, np.ndarray):
        return x
    found = empty_like(x, dtype)
    found[...] = x
    return found


def fresh(args):
    """Copies of arguments, for a function that may write them."""
    return mapped(copied, tuple(args))
