"""Every built-in rule against a closed form that is written down independently, over its domain."""

import math
import operator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba import njit, types
from scipy import special

import ad
from ad.ir import Kind
from ad.primitive import find
from ad.rules import ADVICE, OPERATORS, result_kind

EVERYWHERE = (-30.0, 30.0)
POSITIVE = (1e-3, 1e3)
UNIT = (-0.999, 0.999)


def digamma(x):
    return float(special.digamma(x))


# function: (domain, derivative)
UNARY = {
    math.sqrt: (POSITIVE, lambda x: 0.5 * x**-0.5),
    math.exp: (EVERYWHERE, math.exp),
    math.expm1: (EVERYWHERE, math.exp),
    math.exp2: (EVERYWHERE, lambda x: math.log(2.0) * 2.0**x),
    math.log: (POSITIVE, lambda x: 1.0 / x),
    math.log1p: ((-0.99, 1e3), lambda x: 1.0 / (1.0 + x)),
    math.log2: (POSITIVE, lambda x: 1.0 / (x * math.log(2.0))),
    math.log10: (POSITIVE, lambda x: 1.0 / (x * math.log(10.0))),
    math.sin: (EVERYWHERE, math.cos),
    math.cos: (EVERYWHERE, lambda x: -math.sin(x)),
    math.tan: ((-1.5, 1.5), lambda x: 1.0 / math.cos(x) ** 2),
    math.asin: (UNIT, lambda x: (1.0 - x * x) ** -0.5),
    math.acos: (UNIT, lambda x: -((1.0 - x * x) ** -0.5)),
    math.atan: (EVERYWHERE, lambda x: 1.0 / (1.0 + x * x)),
    math.sinh: (EVERYWHERE, math.cosh),
    math.cosh: (EVERYWHERE, math.sinh),
    math.tanh: ((-3.0, 3.0), lambda x: 1.0 / math.cosh(x) ** 2),
    math.asinh: (EVERYWHERE, lambda x: (x * x + 1.0) ** -0.5),
    math.acosh: ((1.001, 1e3), lambda x: (x * x - 1.0) ** -0.5),
    math.atanh: (UNIT, lambda x: 1.0 / (1.0 - x * x)),
    math.erf: ((-5.0, 5.0), lambda x: 2.0 / math.sqrt(math.pi) * math.exp(-x * x)),
    math.erfc: ((-5.0, 5.0), lambda x: -2.0 / math.sqrt(math.pi) * math.exp(-x * x)),
    math.gamma: ((0.1, 20.0), lambda x: math.gamma(x) * digamma(x)),
    math.lgamma: ((-9.99, 200.0), digamma),
    math.fabs: (EVERYWHERE, lambda x: math.copysign(1.0, x)),
    math.degrees: (EVERYWHERE, lambda x: 180.0 / math.pi),
    math.radians: (EVERYWHERE, lambda x: math.pi / 180.0),
    abs: (EVERYWHERE, lambda x: math.copysign(1.0, x)),
    operator.neg: (EVERYWHERE, lambda x: -1.0),
    operator.pos: (EVERYWHERE, lambda x: 1.0),
    np.cbrt: (POSITIVE, lambda x: x ** (-2.0 / 3.0) / 3.0),
    np.square: (EVERYWHERE, lambda x: 2.0 * x),
    np.reciprocal: (POSITIVE, lambda x: -1.0 / x**2),
    np.sinc: ((0.1, 5.0), lambda x: (math.cos(math.pi * x) - np.sinc(x)) / x),
    np.negative: (EVERYWHERE, lambda x: -1.0),
    np.positive: (EVERYWHERE, lambda x: 1.0),
}
TWINS = {
    math.sqrt: (np.sqrt,),
    math.exp: (np.exp,),
    math.expm1: (np.expm1,),
    math.exp2: (np.exp2,),
    math.log: (np.log,),
    math.log1p: (np.log1p,),
    math.log2: (np.log2,),
    math.log10: (np.log10,),
    math.sin: (np.sin,),
    math.cos: (np.cos,),
    math.tan: (np.tan,),
    math.asin: (np.arcsin,),
    math.acos: (np.arccos,),
    math.atan: (np.arctan,),
    math.sinh: (np.sinh,),
    math.cosh: (np.cosh,),
    math.tanh: (np.tanh,),
    math.asinh: (np.arcsinh,),
    math.acosh: (np.arccosh,),
    math.atanh: (np.arctanh,),
    math.fabs: (np.fabs, np.abs),
    math.degrees: (np.degrees, np.rad2deg),
    math.radians: (np.radians, np.deg2rad),
}
for _function, _others in TWINS.items():
    UNARY |= dict.fromkeys(_others, UNARY[_function])

POWER = (
    (POSITIVE, (-3.0, 3.0)),
    lambda x, y: y * x ** (y - 1.0),
    lambda x, y: x**y * math.log(x),
)
SUM_OF_SQUARES = ((0.1, 30.0), (-30.0, 30.0))
ANY = (EVERYWHERE, EVERYWHERE)
MODULO = (ANY, lambda x, y: 1.0, lambda x, y: -(x // y))
LARGER = (ANY, lambda x, y: float(x > y), lambda x, y: float(y > x))
SMALLER = (ANY, lambda x, y: float(x < y), lambda x, y: float(y < x))
PLUS = (ANY, lambda x, y: 1.0, lambda x, y: 1.0)
MINUS = (ANY, lambda x, y: 1.0, lambda x, y: -1.0)
TIMES = (ANY, lambda x, y: y, lambda x, y: x)
OVER = ((EVERYWHERE, (0.1, 30.0)), lambda x, y: 1.0 / y, lambda x, y: -x / y**2)
BINARY = {
    operator.add: PLUS,
    np.add: PLUS,
    operator.sub: MINUS,
    np.subtract: MINUS,
    operator.mul: TIMES,
    np.multiply: TIMES,
    operator.truediv: OVER,
    np.divide: OVER,
    operator.mod: MODULO,
    np.mod: MODULO,
    np.fmod: (ANY, lambda x, y: 1.0, lambda x, y: -math.trunc(x / y)),
    operator.pow: POWER,
    math.pow: POWER,
    np.power: POWER,
    np.float_power: POWER,
    math.atan2: (SUM_OF_SQUARES, lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    np.arctan2: (SUM_OF_SQUARES, lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    math.hypot: (SUM_OF_SQUARES, lambda x, y: x / math.hypot(x, y), lambda x, y: y / math.hypot(x, y)),
    np.hypot: (SUM_OF_SQUARES, lambda x, y: x / math.hypot(x, y), lambda x, y: y / math.hypot(x, y)),
    math.copysign: (ANY, lambda x, y: math.copysign(1.0, x) * math.copysign(1.0, y), lambda x, y: 0.0),
    np.copysign: (ANY, lambda x, y: math.copysign(1.0, x) * math.copysign(1.0, y), lambda x, y: 0.0),
    np.logaddexp: (ANY, lambda x, y: 1.0 / (1.0 + math.exp(y - x)), lambda x, y: 1.0 / (1.0 + math.exp(x - y))),
    max: LARGER,
    np.maximum: LARGER,
    np.fmax: LARGER,
    min: SMALLER,
    np.minimum: SMALLER,
    np.fmin: SMALLER,
}
CONSTANT = {
    math.floor,
    math.ceil,
    math.trunc,
    np.floor,
    np.ceil,
    np.trunc,
    np.rint,
    np.sign,
    math.isnan,
    math.isinf,
    math.isfinite,
    np.isnan,
    np.isinf,
    np.isfinite,
    operator.floordiv,
    np.floor_divide,
    math.gcd,
}
TESTED_ELSEWHERE = {math.ldexp, np.real, np.imag, np.conj, np.angle}  # the last four in the matrix

SYMBOLS = {
    operator.add: "{} + {}",
    operator.sub: "{} - {}",
    operator.mul: "{} * {}",
    operator.truediv: "{} / {}",
    operator.mod: "{} % {}",
    operator.pow: "{} ** {}",
    operator.neg: "-{}",
    operator.pos: "+{}",
}


def text_of(function):
    if function in SYMBOLS:
        return SYMBOLS[function]
    home = {"math": "math.", "numpy": "np."}.get(getattr(function, "__module__", ""), "np.")
    home = "" if function in (abs, min, max) else home
    return f"{home}{function.__name__}({', '.join(['{}'] * len(find(function).vjps))})"


def make(function, source_of):
    names = ("x", "y")[: len(find(function).vjps)]
    body = text_of(function).format(*names)
    return source_of(f"def f({', '.join(names)}):\n    return {body}\n")


@pytest.fixture(scope="module")
def source_of():
    """A function from text, found again through linecache as in an interactive session."""
    import linecache

    count = 0

    def define(text):
        nonlocal count
        count += 1
        filename = f"<rule {count}>"
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        scope = {"math": math, "np": np}
        exec(compile(text, filename, "exec"), scope)
        return scope["f"]

    return define


def test_every_rule_is_tested():
    from ad.primitive import _registry

    # Those of functions of whole arrays: the matrix of programs, and test_array_*.py.
    elementwise = {f for f, rule in _registry.items() if rule.elementwise}
    ours = {f for f in elementwise if getattr(f, "__module__", "") in ("math", "numpy", "builtins", "_operator", None)}
    missing = ours - UNARY.keys() - BINARY.keys() - CONSTANT - TESTED_ELSEWHERE
    assert not missing, f"rules without a test: {missing}"


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_unary(function, source_of):
    (low, high), derivative = UNARY[function]
    gradient = ad.value_and_grad(make(function, source_of))

    @given(st.floats(low, high))
    @settings(max_examples=60)
    def check(x):
        if function in (math.gamma, math.lgamma, math.fabs, np.fabs, abs, np.abs):
            assume(abs(x - round(x)) > 1e-3 or x > 1.5)
        value, found = gradient(x)
        assert value == pytest.approx(float(function(x)), rel=1e-13, abs=1e-15)
        exact = derivative(x)
        assert found == pytest.approx(exact, rel=1e-11, abs=1e-13 * max(1.0, abs(value))), f"at {x!r}"

    check()


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_binary(function, source_of):
    (first, second), by_x, by_y = BINARY[function]
    gradient = ad.value_and_grad(make(function, source_of))

    @given(st.floats(*first), st.floats(*second))
    @settings(max_examples=60)
    def check(x, y):
        assume(abs(x - y) > 1e-6 and abs(x) > 1e-6 and abs(y) > 1e-3)
        value, (dx, dy) = gradient(x, y)
        assert value == pytest.approx(float(function(x, y)), rel=1e-13, abs=1e-300)
        assert dx == pytest.approx(by_x(x, y), rel=1e-11, abs=1e-14), f"d/dx at {x!r}, {y!r}"
        assert dy == pytest.approx(by_y(x, y), rel=1e-11, abs=1e-14), f"d/dy at {x!r}, {y!r}"

    check()


def test_piecewise_constant_functions(source_of):
    f = source_of(
        "def f(x, n):\n"
        "    s = math.floor(x) + math.ceil(x) + math.trunc(x) + np.floor(x) + np.ceil(x) + np.trunc(x) + np.rint(x)\n"
        "    s = s + np.sign(x) + x // 0.3 + np.floor_divide(x, 0.3) + int(x) + math.gcd(n, 6)\n"
        "    if math.isnan(x) or math.isinf(x) or not math.isfinite(x) or np.isnan(x) or np.isinf(x):\n"
        "        s = s * x\n"
        "    if np.isfinite(x):\n"
        "        s = s + 1.0\n"
        "    return s + 3.0 * x\n"
    )
    value, slope = ad.value_and_grad(f)(1.7, 4)
    assert value == pytest.approx(f(1.7, 4))
    assert slope == 3.0


def test_ldexp(source_of):
    f = source_of("def f(x, n):\n    return math.ldexp(x * x, n)\n")
    assert ad.value_and_grad(f)(1.5, 3) == (18.0, 24.0)


class TestConventions:
    """What the docstring of ad.rules promises at points without a derivative."""

    def gradient(self, source_of, text, *args):
        names = ("x", "y")[: len(args)]
        return ad.grad(source_of(f"def f({', '.join(names)}):\n    return {text}\n"))(*args)

    def test_abs_at_zero(self, source_of):
        for text in ("abs(x)", "math.fabs(x)", "np.abs(x)", "np.fabs(x)"):
            assert self.gradient(source_of, text, 0.0) == 0.0

    def test_ties_go_to_the_first(self, source_of):
        for name in ("max", "min", "np.maximum", "np.minimum", "np.fmax", "np.fmin"):
            assert self.gradient(source_of, f"{name}(x, y)", 2.0, 2.0) == (1.0, 0.0), name

    def test_powers(self, source_of):
        assert self.gradient(source_of, "x ** y", 0.0, 2.0) == (0.0, 0.0)
        assert self.gradient(source_of, "x ** y", 0.0, 1.0) == (1.0, 0.0)
        assert self.gradient(source_of, "x ** y", 0.0, 0.5) == (math.inf, 0.0)
        assert self.gradient(source_of, "x ** y", 3.0, 0.0) == (0.0, math.log(3.0))
        dx, dy = self.gradient(source_of, "x ** y", 0.0, 0.0)
        assert dx == 0.0 and dy == -math.inf
        dx, dy = self.gradient(source_of, "x ** y", -2.0, 3.0)
        assert dx == pytest.approx(12.0) and math.isnan(dy)
        assert self.gradient(source_of, "x ** 0", 0.0) == 0.0
        assert self.gradient(source_of, "x ** 1", 0.0) == 1.0
        assert self.gradient(source_of, "x ** 3", -2.0) == 12.0
        assert self.gradient(source_of, "x ** 3.0", -2.0) == 12.0
        assert self.gradient(source_of, "x ** -1", -2.0) == -0.25
        assert self.gradient(source_of, "0.0 ** x", 2.0) == 0.0

    def test_ends_of_domains_are_infinite(self, source_of):
        assert self.gradient(source_of, "math.sqrt(x)", 0.0) == math.inf
        assert self.gradient(source_of, "math.asin(x)", 1.0) == math.inf
        assert self.gradient(source_of, "math.log(x)", 0.0) == math.inf
        assert self.gradient(source_of, "math.log1p(x)", -1.0) == math.inf

    def test_origin_is_nan(self, source_of):
        assert all(math.isnan(d) for d in self.gradient(source_of, "math.hypot(x, y)", 0.0, 0.0))
        assert all(math.isnan(d) for d in self.gradient(source_of, "math.atan2(x, y)", 0.0, 0.0))

    def test_zero_times_infinity(self, source_of):
        assert math.isnan(self.gradient(source_of, "y * math.sqrt(x)", 0.0, 0.0)[0])
        assert math.isnan(self.gradient(source_of, "0.0 * math.sqrt(x)", 0.0))
        assert self.gradient(source_of, "math.sqrt(x) if x > 0.0 else 0.0", 0.0) == 0.0

    def test_modulo_at_the_jump(self, source_of):
        assert self.gradient(source_of, "x % y", 4.0, 2.0) == (1.0, -2.0)
        assert self.gradient(source_of, "x % y", -1.0, 4.0) == (1.0, 1.0)
        assert self.gradient(source_of, "np.fmod(x, y)", -5.0, 4.0) == (1.0, 1.0)

    def test_sinc_at_zero(self, source_of):
        assert self.gradient(source_of, "np.sinc(x)", 0.0) == 0.0

    def test_nan_stays_nan(self, source_of):
        for text in ("math.sin(x)", "x * x", "math.exp(x)", "x ** 2.5", "abs(x)"):
            assert math.isnan(self.gradient(source_of, text, math.nan)), text


def _calling(function, arity=1):
    return (lambda x: function(x)) if arity == 1 else (lambda x, y: function(x, y))


@pytest.mark.parametrize("kinds", [(Kind.FLOAT,), (Kind.INT,)], ids=["float", "int"])
def test_kinds_are_those_of_numba_unary(kinds):
    of = {Kind.FLOAT: types.float64, Kind.INT: types.int64}
    for function in [*UNARY, *(CONSTANT - {operator.floordiv, np.floor_divide, math.gcd})]:
        if function in (operator.neg, operator.pos, math.log):
            continue
        compiled = njit(_calling(function))
        compiled.compile((of[kinds[0]],))
        found = str(compiled.nopython_signatures[0].return_type).rstrip("0123456789")
        assert found == result_kind(find(function), kinds).dtype.rstrip("0123456789"), f"{function} of {kinds}"


@pytest.mark.parametrize("kinds", [(Kind.FLOAT, Kind.INT), (Kind.INT, Kind.INT)], ids=["float-int", "int-int"])
def test_kinds_are_those_of_numba_binary(kinds):
    of = {Kind.FLOAT: types.float64, Kind.INT: types.int64}
    for function in [*BINARY, operator.floordiv, np.floor_divide, math.ldexp]:
        compiled = njit(_calling(function, 2))
        compiled.compile(tuple(of[k] for k in kinds))
        found = str(compiled.nopython_signatures[0].return_type).rstrip("0123456789")
        assert found == result_kind(find(function), kinds).dtype.rstrip("0123456789"), f"{function} of {kinds}"


def test_operators_have_rules():
    assert {symbol for symbol, _ in OPERATORS} == {"+", "-", "*", "/", "//", "%", "**"}


def test_advice_is_for_functions_without_a_rule():
    assert not [f for f in ADVICE if find(f)]


# ------------------------------------------------------------------------------------------- user's rules


@njit
def smooth_step(x, width):
    z = min(max(x / width, 0.0), 1.0)
    return z * z * (3.0 - 2.0 * z)


@njit
def counted(x):
    return math.cos(x) * 2.0


def uses_rules(x, y):
    s = x
    for _ in range(3):
        s = s * smooth_step(s, y) + counted(s * y)
    return s


def test_users_rules(dual_gradient):
    def inside(x, width):
        return (x / width > 0.0) & (x / width < 1.0)

    slope = ad.rules.where
    ad.defvjp(
        smooth_step,
        lambda g, ans, x, w: g * slope(inside(x, w), 6.0 * (x / w) * (1.0 - x / w) / w, 0.0),
        lambda g, ans, x, w: g * slope(inside(x, w), -6.0 * (x / w) ** 2 * (1.0 - x / w) / w, 0.0),
    )
    ad.defvjp(counted, lambda g, ans, x: -2.0 * g * np.sin(x))
    gradient = ad.grad(uses_rules)
    _, expected = dual_gradient(uses_rules, (0.3, 0.9), (0, 1))
    assert gradient(0.3, 0.9) == pytest.approx(expected, rel=1e-12)
    assert "np.sin" in gradient.source
    ad.check_grads(uses_rules, (0.3, 0.9))


def test_bad_rules():
    with pytest.raises(ad.ADTypeError, match="a function"):
        ad.defvjp(3.0, lambda g, ans, x: g)
    with pytest.raises(ad.ADValueError, match="one rule for each argument"):
        ad.defvjp(counted)
    with pytest.raises(ad.ADTypeError, match="rule 0"):
        ad.defvjp(counted, 3.0)
    with pytest.raises(ad.ADValueError, match="result"):
        ad.defvjp(counted, None, result="complex")


@njit
def badly_ruled(x):
    return x


def uses_bad_rule(x):
    return badly_ruled(x) * x


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, ans: g, "the rule of badly_ruled"),
        (lambda g, ans, x: g * math.cos(x), "NumPy's functions"),
        (lambda g, ans, x: g if x > 0 else 0.0, "where"),
        (lambda g, ans, x: "g", "numbers"),
    ],
)
def test_messages_of_bad_rules(rule, message):
    ad.defvjp(badly_ruled, rule)
    with pytest.raises(ad.ADTypeError, match=message):
        ad.grad(uses_bad_rule)(1.0)
