"""What the tests of whole-array helpers have in common."""

import linecache
from itertools import count

import numpy as np
from numba import njit

from ad.arrays.accumulate import add_to

_numbers = count()


def jitted(text, **names):
    """A lambda, given as text, compiled; axes and bools in it are literals, as in generated code."""
    filename = f"<array rule {next(_numbers)}>"
    linecache.cache[filename] = (len(text), None, [text + "\n"], filename)
    return njit(nogil=True, error_model="numpy")(eval(compile(text, filename, "eval"), {"np": np, **names}))


def layouts(x):
    """The same values in C order, in Fortran order, and as a view that is not contiguous."""
    holes = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    view = holes[tuple(slice(None, None, 2) for _ in x.shape)][..., ::-1]
    view[...] = x
    return np.ascontiguousarray(x), np.asfortranarray(x), view


def numbers(shape, seed=0, dtype="f8"):
    """Random normal numbers; complex ones for a complex dtype."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x, dtype)


def by_complex_step(f, x, g):
    """sum(g * df/dx) for each element of `x`, to rounding, where `f` is analytic and written for complex numbers."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        z = x.astype(complex)
        z[i] += 1e-30j
        out[i] = np.sum(g * np.imag(f(z)) / 1e-30)
    return out


def by_differences(f, x, g, h=1e-5):
    """sum(g * df/dx) for each element of `x`, to about 1e-9: central differences, extrapolated once."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):

        def slope(h, i=i):
            up, down = x.copy(), x.copy()
            up[i] += h
            down[i] -= h
            return (f(up) - f(down)) / (2 * h)

        out[i] = np.sum(g * (4 * slope(h / 2) - slope(h)) / 3)
    return out


def contribution(x, value):
    """What a rule's result adds to the adjoint of `x`."""
    xb = np.zeros(np.shape(x), getattr(x, "dtype", float))
    add_to(xb, value)
    return xb
