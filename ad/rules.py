"""The built-in derivative rules, and the conventions where a function has no derivative.

* ``abs`` at 0: 0.
* ``max`` and ``min`` (also np.maximum, np.fmax, ...): all to the argument that Python's own functions return, which is
  the first of equal ones.  A NaN that NumPy's functions pass on or skip counts as in a comparison: it is never larger.
* ``floor``, ``ceil``, ``trunc``, ``rint``, ``//``, ``int()``, ``sign`` and comparisons are piecewise constant: 0
  everywhere.
* ``a % b`` and np.fmod: d/da is 1, d/db is minus the quotient that was cut off, also at the jumps.
* ``copysign(x, y)``: 0 with respect to y.
* ``x ** y``: d/dx is 0 where y is 0, also at x = 0; d/dy is 0 where x is 0 and y positive, and NaN for negative x,
  where the function exists at whole y only.  Negative x with a whole exponent is right with respect to x.
* sqrt, log, asin, ... at the end of their domain: as IEEE arithmetic has it (sqrt at 0: infinity); hypot, atan2 at the
  origin: NaN.  A zero adjoint times an infinite derivative is NaN, not 0; guard with ``if`` where that matters.
* NaN in, NaN out.

Rules that are written with `ans` use the value that the forward sweep computed; it is then kept.
"""

import math
import operator
from functools import partial
from typing import Any

import numpy as np

from ad.ir import Kind
from ad.numbatypes import NoSuchOperation, result_of
from ad.primitive import Primitive, defvjp, find, primitive
from ad.special import digamma, larger, smaller
from ad.symbolic import call, where

__all__ = [
    "ADVICE",
    "OPERATORS",
    "Primitive",
    "call",
    "defvjp",
    "find",
    "on_arrays",
    "primitive",
    "result_kind",
    "where",
]

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)

sqrt, exp, log, sin, cos, sinh, cosh, trunc, hypot, copysign, ldexp, sign = (
    partial(call, f)
    for f in (
        math.sqrt,
        math.exp,
        math.log,
        math.sin,
        math.cos,
        math.sinh,
        math.cosh,
        np.trunc,
        math.hypot,
        math.copysign,
        math.ldexp,
        np.sign,
    )
)


def _same(functions: tuple[Any, ...], *vjps: Any, **options: Any) -> None:
    for function in functions:
        defvjp(function, *vjps, **options)


# ----------------------------------------------------------------------------------------------- operators


def _power_base(g: Any, ans: Any, x: Any, y: Any) -> Any:
    n = y.constant
    if n is None:
        return g * where(y != 0, y * x ** (y - 1), 0.0)
    if n == 0:
        return 0.0
    if n == 1:
        return g
    if n == 2:
        return 2.0 * x * g
    if n == 0.5:
        return 0.5 * g / ans
    if n == -1:
        return -g * ans * ans
    return float(n) * x ** (n - 1) * g


def _power_exponent(g: Any, ans: Any, x: Any, y: Any) -> Any:
    if x.constant is not None and x.constant > 0:
        return g * ans * math.log(x.constant)
    return g * where((x == 0) & (y > 0), 0.0, ans * log(x))


defvjp(operator.add, lambda g, ans, x, y: g, lambda g, ans, x, y: g, cheap=True, result="same")
defvjp(operator.sub, lambda g, ans, x, y: g, lambda g, ans, x, y: -g, cheap=True, result="same")
defvjp(operator.mul, lambda g, ans, x, y: g * y, lambda g, ans, x, y: g * x, cheap=True, result="same")
defvjp(operator.truediv, lambda g, ans, x, y: g / y, lambda g, ans, x, y: -(g / y) * ans, cheap=True)
defvjp(operator.floordiv, None, None, cheap=True, result="same")
defvjp(operator.mod, lambda g, ans, x, y: g, lambda g, ans, x, y: -g * (x // y), cheap=True, result="same")
defvjp(operator.pow, _power_base, _power_exponent, result="same")
defvjp(operator.neg, lambda g, ans, x: -g, cheap=True, result="same")
defvjp(operator.pos, lambda g, ans, x: g, cheap=True, result="same")

OPERATORS: dict[tuple[str, int], Primitive] = {
    (symbol, arity): primitive(function)
    for symbol, arity, function in (
        ("+", 2, operator.add),
        ("-", 2, operator.sub),
        ("*", 2, operator.mul),
        ("/", 2, operator.truediv),
        ("//", 2, operator.floordiv),
        ("%", 2, operator.mod),
        ("**", 2, operator.pow),
        ("-", 1, operator.neg),
        ("+", 1, operator.pos),
    )
}

for _ufunc, _op in (
    (np.add, operator.add),
    (np.subtract, operator.sub),
    (np.multiply, operator.mul),
    (np.divide, operator.truediv),
    (np.floor_divide, operator.floordiv),
    (np.mod, operator.mod),
    (np.power, operator.pow),
    (np.negative, operator.neg),
    (np.positive, operator.pos),
):
    _rule = primitive(_op)
    defvjp(_ufunc, *_rule.vjps, result=_rule.result, cheap=_rule.cheap)
_same((math.pow, np.float_power), _power_base, _power_exponent)

# --------------------------------------------------------------------------------- powers and logarithms

_same((math.sqrt, np.sqrt), lambda g, ans, x: 0.5 * g / ans)
defvjp(np.cbrt, lambda g, ans, x: g / (3.0 * ans * ans))
defvjp(np.square, lambda g, ans, x: 2.0 * x * g, cheap=True, result="same")
defvjp(np.reciprocal, lambda g, ans, x: -g * ans * ans, cheap=True, result="same")
_same((math.exp, np.exp), lambda g, ans, x: g * ans)
_same((math.expm1, np.expm1), lambda g, ans, x: g * exp(x))
_same((math.exp2, np.exp2), lambda g, ans, x: _LN2 * ans * g)
_same((math.log, np.log), lambda g, ans, x: g / x)
_same((math.log1p, np.log1p), lambda g, ans, x: g / (1.0 + x))
_same((math.log2, np.log2), lambda g, ans, x: g / (_LN2 * x))
_same((math.log10, np.log10), lambda g, ans, x: g / (_LN10 * x))
defvjp(np.logaddexp, lambda g, ans, x, y: g * exp(x - ans), lambda g, ans, x, y: g * exp(y - ans))
_same((math.ldexp,), lambda g, ans, x, n: ldexp(g, n), None, cheap=True)

# --------------------------------------------------------------------- trigonometric and hyperbolic

_same((math.sin, np.sin), lambda g, ans, x: g * cos(x))
_same((math.cos, np.cos), lambda g, ans, x: -g * sin(x))
_same((math.tan, np.tan), lambda g, ans, x: g * (1.0 + ans * ans))
_same((math.asin, np.arcsin), lambda g, ans, x: g / sqrt((1.0 - x) * (1.0 + x)))
_same((math.acos, np.arccos), lambda g, ans, x: -g / sqrt((1.0 - x) * (1.0 + x)))
_same((math.atan, np.arctan), lambda g, ans, x: g / (1.0 + x * x))
_same(
    (math.atan2, np.arctan2),
    lambda g, ans, y, x: g * x / (x * x + y * y),
    lambda g, ans, y, x: -g * y / (x * x + y * y),
)
_same((math.sinh, np.sinh), lambda g, ans, x: g * cosh(x))
_same((math.cosh, np.cosh), lambda g, ans, x: g * sinh(x))
_same((math.tanh, np.tanh), lambda g, ans, x: g * (1.0 - ans * ans))
_same((math.asinh, np.arcsinh), lambda g, ans, x: g / hypot(x, 1.0))
_same((math.acosh, np.arccosh), lambda g, ans, x: g / (sqrt(x - 1.0) * sqrt(x + 1.0)))
_same((math.atanh, np.arctanh), lambda g, ans, x: g / ((1.0 - x) * (1.0 + x)))
_same((math.hypot, np.hypot), lambda g, ans, x, y: g * (x / ans), lambda g, ans, x, y: g * (y / ans))
_same((math.degrees, np.degrees, np.rad2deg), lambda g, ans, x: g * (180.0 / math.pi), cheap=True)
_same((math.radians, np.radians, np.deg2rad), lambda g, ans, x: g * (math.pi / 180.0), cheap=True)
defvjp(
    np.sinc,
    lambda g, ans, x: g * where(x == 0.0, 0.0, (cos(math.pi * x) - ans) / x),
)

# ---------------------------------------------------------------------------------------- complex numbers

defvjp(np.real, lambda g, ans, z: g, cheap=True, result="same", holomorphic=False)
defvjp(np.imag, lambda g, ans, z: 1j * g, cheap=True, result="same", holomorphic=False)
defvjp(np.conj, lambda g, ans, z: call(np.conj, g), cheap=True, result="same", holomorphic=False)
defvjp(np.angle, lambda g, ans, z: g * 1j * z / (call(np.real, z) ** 2 + call(np.imag, z) ** 2), holomorphic=False)

# --------------------------------------------------------------------------------------- special functions

_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

defvjp(math.erf, lambda g, ans, x: _TWO_OVER_SQRT_PI * exp(-(x * x)) * g)
defvjp(math.erfc, lambda g, ans, x: -_TWO_OVER_SQRT_PI * exp(-(x * x)) * g)
defvjp(math.gamma, lambda g, ans, x: g * ans * call(digamma, x))
defvjp(math.lgamma, lambda g, ans, x: g * call(digamma, x))

# --------------------------------------------------------------------------- kinks, jumps and constants

_same((abs, np.abs), lambda g, ans, x: g * sign(x), cheap=True, result="same", holomorphic=False)
_same((math.fabs, np.fabs), lambda g, ans, x: g * sign(x), cheap=True)
for _functions, _second in (
    ((max, np.maximum, np.fmax), lambda x, y: y > x),
    ((min, np.minimum, np.fmin), lambda x, y: y < x),
    ((larger,), lambda x, y: (y > x) | ((y != y) & (x == x))),
    ((smaller,), lambda x, y: (y < x) | ((y != y) & (x == x))),
):
    _same(
        _functions,
        lambda g, ans, x, y, second=_second: where(second(x, y), 0.0, g),
        lambda g, ans, x, y, second=_second: where(second(x, y), g, 0.0),
        cheap=True,
        result="same",
    )
_same(
    (math.copysign, np.copysign),
    lambda g, ans, x, y: g * copysign(1.0, x) * copysign(1.0, y),
    None,
    cheap=True,
)
defvjp(np.fmod, lambda g, ans, x, y: g, lambda g, ans, x, y: -g * trunc(x / y), cheap=True, result="same")
_same((math.floor, math.ceil, math.trunc), None, result="int", cheap=True)
_same((np.floor, np.ceil, np.trunc, np.sign), None, result="same", cheap=True)
defvjp(np.rint, None, cheap=True)
_same((math.isnan, math.isinf, math.isfinite, np.isnan, np.isinf, np.isfinite), None, result="bool", cheap=True)
defvjp(math.gcd, None, None, result="int")

# What to write instead of functions that have no rule.
ADVICE: dict[Any, str] = {
    math.fmod: "write np.fmod(x, y)",
    math.cbrt: "write np.cbrt(x)",
    math.remainder: "write x - y * np.rint(x / y)",
    math.fsum: "write np.sum(a)",
    math.prod: "write np.prod(a)",
    math.dist: "write np.sqrt(np.sum((a - b) ** 2))",
    math.frexp: "compute what it returns with math.floor and math.log2",
    math.modf: "write x - math.trunc(x) and math.trunc(x)",
    math.isqrt: "write int(math.sqrt(n))",
    math.factorial: "write math.gamma(n + 1.0)",
    math.comb: "write math.exp of a difference of math.lgamma values",
    math.isclose: "write abs(a - b) <= tolerance",
    np.heaviside: "write 1.0 if x > 0.0 else 0.0",
    np.round: "write np.rint(x)",
    np.around: "write np.rint(x)",
    np.vdot: "write np.sum(np.conj(a) * b)",
    np.inner: "write np.dot(a, b)",
    np.average: "write np.sum(w * a) / np.sum(w)",
    np.nansum: "write np.sum(np.where(np.isnan(a), 0.0, a))",
    np.median: "take the middle of np.sort(a)",
    np.expand_dims: "write a[None] or a[:, None]",
    np.squeeze: "write a[0], or np.reshape",
    np.append: "write np.concatenate((a, b))",
    np.nonzero: "write a loop, or use the mask itself as an index",
    np.flatnonzero: "write a loop, or use the mask itself as an index",
    round: "write np.rint(x), or math.floor(x + 0.5)",
    sum: "write np.sum(a), or a loop that adds up",
    any: "write np.any(a)",
    all: "write np.all(a)",
    sorted: "write np.sort(a)",
    print: "it returns nothing: write it as a statement of its own",
    enumerate: "it belongs into a for statement",
    zip: "it belongs into a for statement",
    reversed: "it belongs into a for statement",
    map: "write a loop",
    filter: "write a loop",
    list: "use a tuple, or np.array([...])",
    tuple: "write (x, y) with the items",
    isinstance: "decide outside of the function",
}


_PLAIN = frozenset({Kind.FLOAT, Kind.INT, Kind.BOOL})


def result_kind(p: Primitive, args: tuple[Kind, ...], keywords: tuple[tuple[str, Any], ...] = ()) -> Kind:
    """What a primitive returns for arguments of these kinds (as Numba types it; tested against it).

    Raises NoSuchOperation where Numba has no such function.
    """
    if callable(p.result):
        return p.result(*args, **dict(keywords))
    if _PLAIN.issuperset(args) or p.home is None:
        if p.result != "same":
            return Kind({"float": "float64", "int": "int64", "bool": "bool"}[p.result])
        return Kind.FLOAT if Kind.FLOAT in args else Kind.INT
    function = on_arrays(p).function if any(k.is_array for k in args) else p.function
    found = result_of(function, args)
    if found is None:
        raise NoSuchOperation(f"{p.name}()", args)
    return found


def on_arrays(p: Primitive) -> Primitive:
    """The function of NumPy that does for arrays what a function of scalars does."""
    return _ON_ARRAYS.get(p, p)


_INVERSE = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2"}
_INVERSE |= {"asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}
_ON_ARRAYS: dict[Primitive, Primitive] = {}
for _scalar, _array in (
    (abs, np.abs),
    (min, np.minimum),
    (max, np.maximum),
    *((getattr(math, name), getattr(np, _INVERSE.get(name, name), None)) for name in dir(math)),
):
    if _array is not None and (_found := find(_scalar)) is not None:
        _ON_ARRAYS[_found] = primitive(_array)
