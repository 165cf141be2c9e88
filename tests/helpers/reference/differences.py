"""Derivatives by differences: central ones with Richardson extrapolation, and the complex step.

Sources: Ridders (1982), "Accurate computation of F'(x) and F'(x)F''(x)"; Squire and Trapp (1998), "Using complex
variables to estimate derivatives of real functions".
"""

import functools
import warnings
from typing import NamedTuple

import numpy as np

from reference.clones import Clones, mapped
from reference.leaves import copied, fresh, is_active

EPS = np.finfo(float).eps
LEVELS = 10  # halvings of the step
TINY = 1e-40  # the complex step: its square is nothing beside a number
NOT_ANALYTIC = {"abs", "absolute", "fabs", "real", "imag", "conj", "conjugate", "angle", "vdot", "var", "std", "norm"}
NOT_ANALYTIC |= {"sign", "copysign", "hypot", "complex"}


class Differences(NamedTuple):
    """`derivatives` have the shapes of the arguments; so have `errors`, which say how far off they may be."""

    value: float
    derivatives: list
    errors: list


def difference_gradient(function, args, wrt, step=2e-2):
    """Value, and derivatives with respect to the arguments at the positions `wrt`, of a function with a float result.

    `step` is the largest step, relative to numbers above 1; it is halved `LEVELS` times.  Where the function names
    nothing that is not analytic, runs on complex numbers, and the complex step agrees with differences, it is what
    counts, since nothing cancels in it.  Differences are taken in double precision, also where arguments are single.
    """
    clones = Clones()
    plain, args = clones.converted(function), clones.converted(tuple(args))
    analytic = not clones.names & NOT_ANALYTIC
    value = plain(*fresh(args))
    found, k = [], 0
    for x in _leaves([args[i] for i in wrt]):
        for number in np.ravel(np.float64(x)):
            at = functools.partial(_called, plain, args, wrt, k)
            slope, error = _extrapolated(at, step * max(abs(number), 1.0))
            found.append(_complex_step(at, slope, error) if analytic else (slope, error))
            k += 1

    def shaped(which):
        parts = iter(found)

        def of(x):
            if not is_active(x):
                return None
            listed = [next(parts)[which] for _ in range(np.size(x))]
            return np.array(listed).reshape(x.shape) if isinstance(x, np.ndarray) else listed[0]

        return [mapped(of, args[i]) for i in wrt]

    return Differences(value, shaped(0), shaped(1))


def _called(plain, args, wrt, k, h):
    return plain(*_moved(args, wrt, k, h))


def _complex_step(at, slope, error):
    """The derivative and its error by the complex step if it confirms those of differences, else these."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exact = complex(at(1j * TINY)).imag / TINY
    except Exception:  # whatever a program does with complex numbers that it was not written for
        return slope, error
    agrees = abs(exact - slope) <= 10.0 * error + 1e-9 * abs(exact)
    return (exact, 64.0 * EPS * max(abs(exact), abs(at(0.0)))) if agrees else (slope, error)


def _extrapolated(at, h):
    """Central differences for halved steps, extrapolated to zero; the entry of Ridders' table that changes least."""
    best, least = np.nan, np.inf
    above = []
    for level in range(LEVELS):
        high, low = at(h), at(-h)
        row = [(high - low) / (2.0 * h)]
        rounding = 4.0 * EPS * max(abs(high), abs(low)) / h
        for j in range(level):
            row.append(row[j] + (row[j] - above[j]) / (4.0 ** (j + 1) - 1.0))
            error = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - above[j])) + rounding
            if error < least:
                best, least = row[j + 1], error
        above = row
        h *= 0.5
    return float(best), float(least)


def _leaves(x):
    if isinstance(x, tuple | list):
        for a in x:
            yield from _leaves(a)
    elif is_active(x):
        yield x


def _moved(args, wrt, k, h):
    """Copies of the arguments in which active number `k` of those in `wrt` is moved by `h`, real or imaginary."""
    kind = np.result_type(np.float64, type(h))

    def moved(x):
        nonlocal k
        if not is_active(x):
            return copied(x)
        n = np.size(x)
        k -= n
        here = -n <= k < 0
        if not isinstance(x, np.ndarray):
            return float(x) + h if here else float(x)
        x = copied(x, kind)
        if here:
            x[np.unravel_index(k + n, x.shape)] += h
        return x

    def still(x):
        return copied(x, kind) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else copied(x)

    return [mapped(moved if i in wrt else still, a) for i, a in enumerate(args)]
