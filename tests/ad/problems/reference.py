"""Gradients without `ad`: the complex step, and differences along a direction.

Complex step: Squire and Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review 40, 1998.
With h = 1e-30 there is no truncation and no cancellation: f'(x) = Im f(x + ih) / h to rounding.  The plain Python
function runs on complex numbers; math and numpy are replaced by versions that continue |x|, max and the like from the
real axis as they are there, and whose new arrays are complex.
"""

import math
from types import FunctionType, ModuleType

import numpy as np
from scipy import special

__all__ = ["assert_gradient", "complex_step", "copies", "difference_along", "plain"]

H = 1e-30


def plain(function, substitutes=None):
    """The function without Numba: what it calls is plain Python too; `substitutes` replace what its modules use."""
    function = getattr(function, "py_func", function)
    return _copy(function, _Namespaces(substitutes or {}))


class _Namespaces(dict):
    """The globals of each module, with functions that live in copies of these."""

    def __init__(self, substitutes):
        super().__init__()
        self.substitutes = substitutes

    def of(self, variables):
        module = variables["__name__"]
        if module not in self:
            self[module] = {}
            self[module] |= {name: _copy(value, self) for name, value in variables.items()} | self.substitutes
        return self[module]


def _copy(value, namespaces):
    value = getattr(value, "py_func", value)
    if not isinstance(value, FunctionType) or not value.__module__.startswith("problems."):
        return value
    copied = FunctionType(
        value.__code__, namespaces.of(value.__globals__), value.__name__, value.__defaults__, value.__closure__
    )
    copied.__kwdefaults__ = value.__kwdefaults__
    return copied


# ----------------------------------------------------------------------------------------- numbers x + ih


def _abs(x):
    return np.where(np.real(x) < 0.0, -x, x)[()]


def _arctan2(y, x):
    angle = np.arctan2(np.real(y), np.real(x))
    slope = (np.real(x) * np.imag(y) - np.real(y) * np.imag(x)) / (np.real(x) ** 2 + np.real(y) ** 2)
    return angle + 1j * slope


def _new(make):
    """A maker of arrays: floats become complex."""

    def made(*args, **kwargs):
        array = make(*args, **kwargs)
        return array.astype(complex) if array.dtype.kind == "f" else array

    return made


class _Replaced(ModuleType):
    """A module in which some names mean something else."""

    def __init__(self, module, **others):
        super().__init__(module.__name__)
        self._module = module
        self.__dict__.update(others)

    def __getattr__(self, name):
        return getattr(self._module, name)


_NUMPY = _Replaced(
    np,
    **{name: _new(getattr(np, name)) for name in "array zeros empty ones full eye linspace zeros_like".split()},
    **{name: _new(getattr(np, name)) for name in "empty_like ones_like full_like".split()},
    abs=_abs,
    arctan2=_arctan2,
    hypot=lambda x, y: np.sqrt(x * x + y * y),
    float64=np.complex128,
    floor=lambda x: np.floor(np.real(x)),
)
_RENAMED = {"atan": "arctan", "asin": "arcsin", "acos": "arccos", "pow": "power"}
_SAME = "exp log log1p expm1 sqrt sin cos tan sinh cosh tanh".split()
_MATH = _Replaced(
    math,
    **{name: getattr(np, name) for name in _SAME},
    **{name: getattr(np, other) for name, other in _RENAMED.items()},
    fabs=_abs,
    atan2=_arctan2,
    hypot=_NUMPY.hypot,
    erf=special.erf,
    erfc=special.erfc,
    gamma=special.gamma,
    lgamma=special.loggamma,
    floor=lambda x: math.floor(np.real(x)),
)
_COMPLEX = {
    "np": _NUMPY,
    "math": _MATH,
    "abs": _abs,
    "float": complex,
    "int": lambda x: int(np.real(x)),
}


def complex_step(function, args, positions):
    """The gradient with respect to the arguments at `positions`; each a float or an array of floats."""
    run = plain(function, _COMPLEX)
    found = []
    for position in positions:
        slopes = np.empty(np.shape(args[position]))
        for k in range(slopes.size):
            moved = [_on_complex(a) for a in args]
            value = np.array(args[position], complex)
            value.ravel()[k] += 1j * H
            moved[position] = value[()]
            slopes.ravel()[k] = np.imag(run(*moved)) / H
        found.append(slopes)
    return found


def _on_complex(value):
    """A copy; arrays of floats become complex, since the program may write into them."""
    if isinstance(value, np.ndarray):
        return value.astype(complex) if value.dtype.kind == "f" else value.copy()
    return value


# ------------------------------------------------------------------------------------------- differences


def difference_along(function, args, directions, step):
    """The derivative along a direction: central differences, extrapolated twice (Richardson).

    `directions` maps positions to what is added to the argument there for a step of 1.
    """
    run = plain(function)

    def at(t):
        moved = copies(args)
        for position, direction in directions.items():
            moved[position] = args[position] + t * direction
        return run(*moved)

    first, second, third = ((at(h) - at(-h)) / (2.0 * h) for h in (step, step / 2.0, step / 4.0))
    better, best = second + (second - first) / 3.0, third + (third - second) / 3.0
    return best + (best - better) / 15.0


# ----------------------------------------------------------------------------------------------------- for tests


def copies(args):
    """Arguments for one call: programs may write into their arrays."""
    return [a.copy() if isinstance(a, np.ndarray) else a for a in args]


def assert_gradient(case, found, expected):
    """Components agree to 1e-10 of their own size, or to 1e-12 of the largest one's."""
    largest = [np.max(np.abs(e), initial=0.0) for e in expected]
    for name, mine, reference, scale in zip(case.wrt, found, expected, largest, strict=True):
        note = f"argument {name}"
        assert np.shape(mine) == np.shape(reference), note
        np.testing.assert_allclose(mine, reference, rtol=1e-10, atol=1e-12 * (scale or max(largest)), err_msg=note)
