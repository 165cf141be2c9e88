"""Run an undecorated Python function on duals: `dual_gradient`."""

import cmath
import math
import types

import numpy as np

from reference.clones import Clones, mapped
from reference.dual import Dual, DualArray, is_dual
from reference.functions import BUILTINS, ScalarType, for_duals, lifted
from reference.leaves import count, is_active


class _Namespace:
    """A module whose functions take duals."""

    def __init__(self, module, run):
        self._module = module
        self._run = run

    def __getattr__(self, name):
        return self._run.converted(getattr(self._module, name))


class _OnDuals(Clones):
    builtins = BUILTINS

    def __init__(self, width):
        super().__init__()
        self._width = width

    def is_cloned(self, x):
        return super().is_cloned(x) and not _of_library(x)

    def convert(self, x):
        if isinstance(x, types.ModuleType):
            return _Namespace(x, self) if x in (np, np.linalg, math, cmath) else x
        if isinstance(x, type):
            return ScalarType(x) if issubclass(x, np.generic) else x
        if callable(x) and _of_library(x):
            return for_duals(x, self._width)
        return lifted(x, self._width)


def _of_library(x):
    home = (getattr(x, "__module__", None) or "").partition(".")[0]
    return isinstance(x, np.ufunc) or home in ("numpy", "math", "cmath")


def dual_gradient(function, args, wrt):
    """Value and derivatives with respect to the arguments at the positions `wrt`, in that order.

    A derivative has the shape of its argument: nested tuples for a tuple, with None for what is no float.  Where the
    result is an array, its shape goes before that of the argument; where it is a tuple, each item has derivatives.
    """
    width = max(sum(count(args[i]) for i in wrt), 1)
    run, units = _OnDuals(width), iter(np.eye(width))

    def seeded(x):
        if not is_active(x):
            return copied(x)
        if not isinstance(x, np.ndarray):
            return Dual(x, next(units))
        x = lifted(x, width)
        for index in np.ndindex(x.shape):
            x.slope[index] = next(units)
        return x

    def copied(x):
        return x.copy() if isinstance(x, np.ndarray) and x.dtype.kind in "iub" else run.converted(x)

    inputs = [mapped(seeded if i in wrt else copied, a) for i, a in enumerate(args)]
    result = run.converted(function)(*inputs)

    def derivatives(leaf):
        slope = np.array(leaf.slope) if is_dual(leaf) else np.zeros((*np.shape(leaf), width))
        start = 0

        def part(x):
            nonlocal start
            if not is_active(x):
                return None
            start, first = start + np.size(x), start
            found = slope[..., first:start].reshape(slope.shape[:-1] + np.shape(x))
            return found if found.ndim else found.item()

        return [mapped(part, args[i]) for i in wrt]

    return mapped(_value, result), mapped(derivatives, result)


def _value(x):
    if isinstance(x, DualArray):
        return np.array(x.value)
    return x.value if isinstance(x, Dual) else x
