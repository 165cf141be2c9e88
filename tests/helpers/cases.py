"""The register of the matrix of programs: `@case(*args)` beside each program, `load` for the tests."""

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MATRIX = Path(__file__).parents[1] / "ad" / "matrix"
_CASES = []


@dataclass(frozen=True, eq=False)
class Case:
    """A program and arguments for it.

    `spill` are arguments with which it records more than fits a small memory; None where it records little.
    `without_numba` says why Numba does not compile the program; `single` that it computes in single precision;
    `thorough` that the default run does not compile it.
    """

    function: Callable
    args: tuple
    name: str = ""
    spill: tuple | None = None
    without_numba: str = ""
    single: bool = False
    thorough: bool = False

    @property
    def program(self):
        return f"{self.function.__module__.removeprefix('matrix_')}.{self.function.__name__}"

    @property
    def id(self):
        return f"{self.program}-{self.name}".replace(" ", "-") if self.name else self.program


def case(*args, **more):
    """Register a function of the matrix to be run with these arguments."""

    def register(f):
        _CASES.append(Case(f, args, **more))
        return f

    return register


def values(*shape, start=0):
    """An array of numbers of moderate size and both signs, no two of them close."""
    k = np.arange(start, start + int(np.prod(shape)))
    return (1.1 * np.sin(2.3 * k + 1.0)).reshape(shape)


@functools.cache
def load():
    """All cases of the matrix."""
    for path in sorted(MATRIX.glob("*.py")):
        _module(path)
    ids = [c.id for c in _CASES]
    assert len(ids) == len(set(ids)), f"programs of one name: {sorted(i for i in ids if ids.count(i) > 1)}"
    return tuple(_CASES)


@functools.cache
def pending():
    """The programs that `ad` does not take yet, as theme.function or theme.function-case."""
    by_theme = _module(MATRIX / "pending.py").PENDING
    return frozenset(f"{theme}.{name}" for theme, names in by_theme.items() for name in names.split())


def _module(path):
    name = f"matrix_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
