"""A reference that shares nothing with `ad`: the undecorated Python function run on dual numbers.

`dual_gradient` runs a function with math, numpy and the functions that it calls replaced by versions for `Dual`.
"""

import builtins
import math
import types

import numpy as np
from numba.core.dispatcher import Dispatcher
from scipy import special


class Dual:
    """A number and its derivatives with respect to all inputs."""

    def __init__(self, value, slope):
        self.value = float(value)
        self.slope = slope

    def _with(self, other, value, mine, others):
        if isinstance(other, Dual):
            return Dual(value, mine * self.slope + others * other.slope)
        return Dual(value, mine * self.slope)

    def __add__(self, other):
        return self._with(other, self.value + real(other), 1.0, 1.0)

    __radd__ = __add__

    def __sub__(self, other):
        return self._with(other, self.value - real(other), 1.0, -1.0)

    def __rsub__(self, other):
        return Dual(real(other) - self.value, -self.slope)

    def __mul__(self, other):
        return self._with(other, self.value * real(other), real(other), self.value)

    __rmul__ = __mul__

    def __truediv__(self, other):
        quotient = self.value / real(other)
        return self._with(other, quotient, 1.0 / real(other), -quotient / real(other))

    def __rtruediv__(self, other):
        quotient = real(other) / self.value
        return Dual(quotient, -quotient / self.value * self.slope)

    def __floordiv__(self, other):
        return Dual(self.value // real(other), 0.0 * self.slope)

    def __rfloordiv__(self, other):
        return Dual(real(other) // self.value, 0.0 * self.slope)

    def __mod__(self, other):
        return self._with(other, self.value % real(other), 1.0, -(self.value // real(other)))

    def __rmod__(self, other):
        return Dual(real(other) % self.value, -(real(other) // self.value) * self.slope)

    def __pow__(self, other):
        return power(self, other)

    def __rpow__(self, other):
        return power(Dual(other, 0.0 * self.slope), self)

    def __neg__(self):
        return Dual(-self.value, -self.slope)

    def __pos__(self):
        return self

    def __abs__(self):
        return Dual(abs(self.value), float(np.sign(self.value)) * self.slope)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __lt__(self, other):
        return self.value < real(other)

    def __le__(self, other):
        return self.value <= real(other)

    def __gt__(self, other):
        return self.value > real(other)

    def __ge__(self, other):
        return self.value >= real(other)

    def __eq__(self, other):
        return self.value == real(other)

    def __ne__(self, other):
        return self.value != real(other)

    __hash__ = None


def real(x):
    return x.value if isinstance(x, Dual) else x


def power(x, y):
    value = real(x) ** real(y)
    slope = 0.0
    if isinstance(x, Dual):
        b = real(y)
        slope = slope + (b * real(x) ** (b - 1) if b != 0 else 0.0) * x.slope
    if isinstance(y, Dual) and np.any(y.slope):
        slope = slope + (value * math.log(real(x)) if real(x) > 0 else 0.0 if real(y) > 0 else math.nan) * y.slope
    return Dual(value, slope)


SLOPES = {
    "sqrt": lambda x, y: 0.5 / y,
    "exp": lambda x, y: y,
    "expm1": lambda x, y: math.exp(x),
    "exp2": lambda x, y: y * math.log(2.0),
    "cbrt": lambda x, y: 1.0 / (3.0 * y * y),
    "log": lambda x, y: 1.0 / x,
    "log1p": lambda x, y: 1.0 / (1.0 + x),
    "log2": lambda x, y: 1.0 / (x * math.log(2.0)),
    "log10": lambda x, y: 1.0 / (x * math.log(10.0)),
    "sin": lambda x, y: math.cos(x),
    "cos": lambda x, y: -math.sin(x),
    "tan": lambda x, y: 1.0 / math.cos(x) ** 2,
    "asin": lambda x, y: 1.0 / math.sqrt(1.0 - x * x),
    "acos": lambda x, y: -1.0 / math.sqrt(1.0 - x * x),
    "atan": lambda x, y: 1.0 / (1.0 + x * x),
    "sinh": lambda x, y: math.cosh(x),
    "cosh": lambda x, y: math.sinh(x),
    "tanh": lambda x, y: 1.0 / math.cosh(x) ** 2,
    "asinh": lambda x, y: 1.0 / math.sqrt(x * x + 1.0),
    "acosh": lambda x, y: 1.0 / math.sqrt(x * x - 1.0),
    "atanh": lambda x, y: 1.0 / (1.0 - x * x),
    "erf": lambda x, y: 2.0 / math.sqrt(math.pi) * math.exp(-x * x),
    "erfc": lambda x, y: -2.0 / math.sqrt(math.pi) * math.exp(-x * x),
    "gamma": lambda x, y: y * float(special.digamma(x)),
    "lgamma": lambda x, y: float(special.digamma(x)),
    "fabs": lambda x, y: float(np.sign(x)),
    "degrees": lambda x, y: 180.0 / math.pi,
    "radians": lambda x, y: math.pi / 180.0,
    "square": lambda x, y: 2.0 * x,
    "reciprocal": lambda x, y: -1.0 / x**2,
    "sinc": lambda x, y: 0.0 if x == 0 else (math.cos(math.pi * x) - y) / x,
}
ALIASES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "deg2rad": "radians",
    "rad2deg": "degrees",
    "abs": "fabs",
    "absolute": "fabs",
}


def _binary_slopes(name, x, y, z):
    match name:
        case "hypot":
            return x / z, y / z
        case "atan2" | "arctan2":
            return y / (x * x + y * y), -x / (x * x + y * y)
        case "copysign":
            return math.copysign(1.0, x) * math.copysign(1.0, y), 0.0
        case "fmod":
            return 1.0, -float(np.trunc(x / y))
        case "mod" | "remainder":
            return 1.0, -(x // y)
        case "maximum" | "fmax":
            return (0.0, 1.0) if y > x else (1.0, 0.0)
        case "minimum" | "fmin":
            return (0.0, 1.0) if y < x else (1.0, 0.0)
        case "logaddexp":
            return math.exp(x - z), math.exp(y - z)
        case "ldexp":
            return math.ldexp(1.0, int(y)), 0.0
        case "add":
            return 1.0, 1.0
        case "subtract":
            return 1.0, -1.0
        case "multiply":
            return y, x
        case "divide" | "true_divide":
            return 1.0 / y, -x / y**2
    raise NotImplementedError(name)


def lifted(function):
    """A function of math or numpy for duals."""
    name = ALIASES.get(function.__name__, function.__name__)

    def call(*args):
        if not any(isinstance(a, Dual) for a in args):
            value = function(*args)
            return value.item() if isinstance(value, np.generic) else value
        if name in ("pow", "power", "float_power"):
            return power(*args)
        if len(args) == 2 and name == "log":
            return call(args[0]) / call(args[1])
        value = function(*(real(a) for a in args))
        if isinstance(value, bool | int | np.bool_) or name in ("floor", "ceil", "trunc", "rint", "sign"):
            return value
        if len(args) == 1:
            return Dual(value, SLOPES[name](real(args[0]), float(value)) * args[0].slope)
        slopes = _binary_slopes(name, *(real(a) for a in args), float(value))
        return Dual(value, sum(s * a.slope for s, a in zip(slopes, args, strict=True) if isinstance(a, Dual)))

    return call


class _Namespace:
    """A module whose functions take duals."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if found in (np.float64,):
            return to_float
        return lifted(found) if callable(found) else found


def to_float(x):
    return x if isinstance(x, Dual) else float(x)


def on_duals(function, seen=None):
    """The same function, computing with duals wherever it meets them."""
    seen = {} if seen is None else seen
    plain = function.py_func if isinstance(function, Dispatcher) else function
    if plain in seen:
        return seen[plain]
    scope = {"float": to_float, "__builtins__": builtins}
    clone = types.FunctionType(plain.__code__, scope, plain.__name__, plain.__defaults__, plain.__closure__)
    clone.__kwdefaults__ = plain.__kwdefaults__
    seen[plain] = clone
    for name, value in plain.__globals__.items():
        if name not in plain.__code__.co_names:
            continue
        if value in (math, np) if isinstance(value, types.ModuleType) else False:
            scope[name] = _Namespace(value)
        elif isinstance(value, types.FunctionType | Dispatcher):
            scope[name] = on_duals(value, seen)
        elif isinstance(value, types.BuiltinFunctionType | np.ufunc) and value.__module__ != "builtins":
            scope[name] = lifted(value)
        else:
            scope[name] = value
    return clone


def dual_gradient(function, args, wrt):
    """Value and derivatives with respect to the arguments at the positions `wrt`, in that order."""
    total = sum(np.size(args[i]) for i in wrt)
    inputs, at = list(args), 0
    for i in wrt:
        if isinstance(args[i], np.ndarray):
            units = np.eye(total)[at : at + args[i].size]
            inputs[i] = np.array([None] * args[i].size, dtype=object)
            for k, (value, unit) in enumerate(zip(args[i], units, strict=True)):
                inputs[i][k] = Dual(value, unit)
        else:
            inputs[i] = Dual(args[i], np.eye(total)[at])
        at += np.size(args[i])
    result = on_duals(function)(*inputs)
    slope = result.slope + np.zeros(total) if isinstance(result, Dual) else np.zeros(total)
    found, at = [], 0
    for i in wrt:
        n = np.size(args[i])
        found.append(slope[at : at + n] if isinstance(args[i], np.ndarray) else float(slope[at]))
        at += n
    return real(result), found
