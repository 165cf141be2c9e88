"""Partial derivatives of elementwise functions, on plain numbers and arrays.

`PARTIALS[name]` has one function for each argument, of the arguments and the result; None where the derivative is zero.
"""

import math

import numpy as np
from scipy import special

LN2, LN10 = math.log(2.0), math.log(10.0)


def _power_x(x, y, z):
    return y * x ** np.where(y == 0, 1.0, y - 1)


def _power_y(x, y, z):
    return np.where(x == 0, np.where(y > 0, 0.0, np.nan), z * np.log(np.where(x == 0, 1.0, x)))


def _remainder_y(x, y, z):
    return -np.rint((x - z) / y)


PARTIALS = {
    "add": (lambda x, y, z: 1.0, lambda x, y, z: 1.0),
    "subtract": (lambda x, y, z: 1.0, lambda x, y, z: -1.0),
    "multiply": (lambda x, y, z: y, lambda x, y, z: x),
    "divide": (lambda x, y, z: 1.0 / y, lambda x, y, z: -z / y),
    "floor_divide": (None, None),
    "mod": (lambda x, y, z: 1.0, _remainder_y),
    "fmod": (lambda x, y, z: 1.0, _remainder_y),
    "pow": (_power_x, _power_y),
    "hypot": (lambda x, y, z: x / z, lambda x, y, z: y / z),
    "atan2": (lambda x, y, z: y / (x * x + y * y), lambda x, y, z: -x / (x * x + y * y)),
    "copysign": (lambda x, y, z: np.copysign(1.0, x) * np.copysign(1.0, y), None),
    "ldexp": (lambda x, y, z: np.ldexp(1.0, y), None),
    "logaddexp": (lambda x, y, z: np.exp(x - z), lambda x, y, z: np.exp(y - z)),
    "logaddexp2": (lambda x, y, z: np.exp2(x - z), lambda x, y, z: np.exp2(y - z)),
    "maximum": (lambda x, y, z: np.where(y > x, 0.0, 1.0), lambda x, y, z: np.where(y > x, 1.0, 0.0)),
    "minimum": (lambda x, y, z: np.where(y < x, 0.0, 1.0), lambda x, y, z: np.where(y < x, 1.0, 0.0)),
    "negative": (lambda x, y: -1.0,),
    "positive": (lambda x, y: 1.0,),
    "abs": (lambda x, y: np.sign(x),),
    "sqrt": (lambda x, y: 0.5 / y,),
    "cbrt": (lambda x, y: 1.0 / (3.0 * y * y),),
    "square": (lambda x, y: 2.0 * x,),
    "reciprocal": (lambda x, y: -1.0 / (x * x),),
    "exp": (lambda x, y: y,),
    "expm1": (lambda x, y: np.exp(x),),
    "exp2": (lambda x, y: y * LN2,),
    "log": (lambda x, y: 1.0 / x,),
    "log1p": (lambda x, y: 1.0 / (1.0 + x),),
    "log2": (lambda x, y: 1.0 / (x * LN2),),
    "log10": (lambda x, y: 1.0 / (x * LN10),),
    "sin": (lambda x, y: np.cos(x),),
    "cos": (lambda x, y: -np.sin(x),),
    "tan": (lambda x, y: 1.0 / np.cos(x) ** 2,),
    "asin": (lambda x, y: 1.0 / np.sqrt(1.0 - x * x),),
    "acos": (lambda x, y: -1.0 / np.sqrt(1.0 - x * x),),
    "atan": (lambda x, y: 1.0 / (1.0 + x * x),),
    "sinh": (lambda x, y: np.cosh(x),),
    "cosh": (lambda x, y: np.sinh(x),),
    "tanh": (lambda x, y: 1.0 / np.cosh(x) ** 2,),
    "asinh": (lambda x, y: 1.0 / np.sqrt(x * x + 1.0),),
    "acosh": (lambda x, y: 1.0 / np.sqrt(x * x - 1.0),),
    "atanh": (lambda x, y: 1.0 / (1.0 - x * x),),
    "erf": (lambda x, y: 2.0 / math.sqrt(math.pi) * np.exp(-x * x),),
    "erfc": (lambda x, y: -2.0 / math.sqrt(math.pi) * np.exp(-x * x),),
    "gamma": (lambda x, y: y * special.digamma(x),),
    "lgamma": (lambda x, y: special.digamma(x),),
    "degrees": (lambda x, y: 180.0 / math.pi,),
    "radians": (lambda x, y: math.pi / 180.0,),
    "sinc": (lambda x, y: np.where(x == 0, 0.0, (np.cos(math.pi * x) - y) / np.where(x == 0, 1.0, x)),),
    **{name: (None,) for name in ("floor", "ceil", "trunc", "rint", "round", "sign", "fix")},
}

NAMES = {
    "fabs": "abs",
    "absolute": "abs",
    "power": "pow",
    "float_power": "pow",
    "true_divide": "divide",
    "remainder": "mod",
    "fmax": "maximum",
    "fmin": "minimum",
    "deg2rad": "radians",
    "rad2deg": "degrees",
    "conj": "conjugate",
    "arctan2": "atan2",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "neg": "negative",
    "pos": "positive",
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}
"""Other spellings, of NumPy, `math` and `operator`."""

COMPLEX = {
    "real": lambda z, slope: slope.real,
    "imag": lambda z, slope: slope.imag,
    "conjugate": lambda z, slope: np.conj(slope),
    "abs": lambda z, slope: (np.conj(np.asarray(z))[..., None] * slope).real / np.abs(np.asarray(z))[..., None],
    "angle": lambda z, slope: (slope / np.asarray(z)[..., None]).imag,
}
"""Slopes of functions of one argument that are not analytic, from the argument and its slopes."""
