"""Copies of functions that refer to other things by the same names."""

import builtins
import types

from numba import njit
from numba.core.dispatcher import Dispatcher


def mapped(function, x):
    """A function of what is no tuple, on nested tuples and named tuples."""
    if isinstance(x, tuple):
        items = [mapped(function, a) for a in x]
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    return function(x)


class Clones:
    """Undecorated clones of functions and of all that they call; each object is converted once."""

    builtins = {}  # noqa: RUF012

    def __init__(self):
        self._made = {}
        self.names = set()  # all that the functions refer to

    def converted(self, x):
        """What stands for a value: a function, module, array, tuple or anything else."""
        return mapped(self._once, x)

    def convert(self, x):
        """What stands for a value that is no function and no tuple."""
        return x

    def is_cloned(self, x):
        return isinstance(x, types.FunctionType | Dispatcher)

    def wrapped(self, clone):
        """What stands for a function, given its clone, which is not complete yet."""
        return clone

    def _once(self, x):
        if id(x) not in self._made:
            if self.is_cloned(x):
                self._clone(x)
            else:
                self._keep(x, self.convert(x))
        return self._made[id(x)][1]

    def _keep(self, x, made):
        self._made[id(x)] = (x, made)  # x as well: its id may not be given to another object

    def _clone(self, x):
        function = getattr(x, "py_func", x)
        scope = {**self.builtins, "__builtins__": builtins, "__name__": function.__module__}
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        clone = types.FunctionType(function.__code__, scope, function.__name__, None, cells)
        clone.__defaults__ = self.converted(function.__defaults__)
        keywords = function.__kwdefaults__ or {}
        clone.__kwdefaults__ = {name: self.converted(value) for name, value in keywords.items()}
        self._keep(x, self.wrapped(clone))  # before what it refers to: that may be the function itself
        names = set(_names(function.__code__))
        self.names |= names
        for name in names:
            if name in function.__globals__:
                scope[name] = self.converted(function.__globals__[name])
        for mine, cell in zip(cells, function.__closure__ or (), strict=True):
            mine.cell_contents = self.converted(cell.cell_contents)


class Compiled(Clones):
    """Functions compiled by Numba, and what they call as well."""

    def is_cloned(self, x):
        return isinstance(x, types.FunctionType) and (x.__module__ or "").partition(".")[0] != "numpy"

    def wrapped(self, clone):
        return njit(clone)


def _names(code):
    """The names that code and the functions within it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
