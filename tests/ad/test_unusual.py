"""Code that is unusual, but Python: it has the right gradient, or is refused in so many words."""

import ast
import functools
import inspect
import math
import sys
import warnings

import numpy as np
import pytest
from _pytest.assertion.rewrite import rewrite_asserts
from texts import define, module

import ad

SINGLE = np.float32(2.1)
SINGLE_COMPLEX = np.complex64(0.3 + 2.0j)
SMALL_INT = np.int16(3)
single = np.float32
described = np.dtype("f4")
named = "float32"


@pytest.fixture
def check(dual_gradient, interpreted_gradient):
    """Compare a function's adjoint, run as plain Python, with dual numbers."""

    def compare(f, *args, wrt=None, rtol=1e-12):
        wrt = wrt or tuple(i for i, a in enumerate(args) if isinstance(a, float | np.ndarray))
        expected_value, expected = dual_gradient(f, args, wrt)
        value, found, text = interpreted_gradient(f, args, wrt)
        assert value == pytest.approx(expected_value, rel=rtol)
        for mine, reference in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, reference, rtol=rtol, err_msg=text)
        return text

    return compare


# --------------------------------------------------------------------------- what the module and arguments hold


def scaled(x, f):
    return f(x) * x


@pytest.mark.parametrize("f", [math.sin, np.sin, abs, np.exp])
def test_functions_with_rules_as_arguments(f, check):
    check(scaled, -0.7, f)


def test_functions_with_rules_as_arguments_compiled():
    g = ad.grad(scaled)
    assert g(0.7, math.sin) == pytest.approx(0.7 * math.cos(0.7) + math.sin(0.7), rel=1e-15)
    assert g(0.7, ad.stop_gradient) == 0.7


def test_a_function_with_the_wrong_number_of_arguments_is_refused():
    def apply(x, f):
        return f(x)

    with pytest.raises(ad.UnsupportedSyntax, match="takes 2 scalar arguments here, not 1"):
        ad.grad(apply)(0.7, math.hypot)
    with pytest.raises(ad.UnsupportedSyntax, match=r"list\(\) is not supported|f\(\) is not supported"):
        ad.grad(apply)(0.7, list)


def test_constants_of_numpys_types(check):
    def f(x):
        y = SINGLE * SINGLE  # in single precision
        return x * y + (x * SINGLE_COMPLEX).real * x**SMALL_INT + x * (SMALL_INT / 2)

    assert "np.float32(SINGLE)" in check(f, 0.7, rtol=1e-6)
    square = float(SINGLE * SINGLE)
    assert square != float(SINGLE) ** 2
    x, c = 0.7, float(SINGLE_COMPLEX.real)
    assert ad.grad(f)(x) == pytest.approx(square + c * 4 * x**3 + 1.5, rel=1e-15)


def test_types_as_dtypes(check):
    def globals_(x):
        a, b, c = np.zeros(2, single), np.full(2, x, dtype=described), np.array([x, x], named)
        a[1] = b[0] * c[1]
        return a[1] * single(x)

    def variables(x):
        dtype, text = np.float32, "complex128"
        a, b = np.zeros(2, dtype), np.zeros(2, dtype=text)
        a[1] = x * x
        b[0] = a[1] * 1j
        return b[0].imag * dtype(x)

    def argument(x, dtype):
        a = np.zeros(2, dtype)
        a[1] = x * x
        return a[1] * dtype(x)

    for f, more in ((globals_, ()), (variables, ()), (argument, (np.float32,))):
        check(f, 0.7, *more, rtol=1e-6)
    assert ad.grad(argument)(0.7, float) == pytest.approx(3 * 0.7**2, rel=1e-15)


# ------------------------------------------------------------------------------------------------------- names

BUILTINS = "range len sum abs float int bool complex min max pow divmod print enumerate zip reversed".split()
GENERATED = """
    g np stop skip returned result trips _tape total add_to push pop push_bit pop_bit x_b s_b math float64 nb ad Guarded
    value status njit div _bits holds chosen part args handle t1 a1 failed array_sum slice
""".split()


@pytest.mark.parametrize("name", BUILTINS)
def test_a_builtins_name_is_what_it_stands_for(name, check):
    cube = define("return t * t * t", "t", "cube")
    check(define(f"{name} = x * 2.0\nreturn {name} * {name}", "x"), 0.7)
    check(define(f"def {name}(t):\n    return t * t * t\nreturn {name}(x)", "x"), 0.7)
    check(define(f"{name} = lambda t: t * t * t\nreturn {name}(x)", "x"), 0.7)
    check(define(f"return {name} * {name}", name), 0.7)
    check(define(f"return {name}(x)", f"x, {name}"), 0.7, cube, wrt=(0,))
    check(define(f"return {name}(x)", "x", scope={name: cube}), 0.7)
    check(define(f"return {name} * x", "x", scope={name: 2.5}), 0.7)
    for f, args in (
        (define(f"return {name}(x)", f"x, {name}"), (0.7, 2.0)),
        (define(f"{name} = 1.0 * x\nreturn {name}(x)", "x"), (0.7,)),
    ):
        with pytest.raises(ad.UnsupportedSyntax, match=f"{name} is a variable here, not a function"):
            ad.grad(f, wrt="x")(*args)


@pytest.mark.parametrize(
    "head", ["i in range(n)", "i in len(a)", "i, v in enumerate(a)", "u, v in zip(a, a)", "v in reversed(a)"]
)
def test_loops_over_a_function_of_a_builtins_name(head):
    name = head.split("in ")[1].partition("(")[0]
    f = define(f"for {head}:\n    x = x * 2.0\nreturn x", "x, n, a", scope={name: define("return 2.0", "*t", name)})
    with pytest.raises(ad.UnsupportedSyntax):
        ad.grad(f, wrt="x")(0.7, 3, np.ones(3))


@pytest.mark.parametrize("name", GENERATED)
def test_names_that_generated_code_uses(name, check):
    """As a parameter, a variable, a function and a constant; with branches, loops and an early return to record."""
    loop = f"s = 0.0\nfor i in range(n):\n    if {name} > 100.0:\n        return s\n    {name} = {name} * 1.5 + s\n"
    loop += f"    s = s / {name} + {name}\nreturn s"
    check(define(loop, f"{name}, n"), 0.7, 3)
    check(define(f"{name} = x * x\n{loop}", "x, n"), 0.7, 3)
    square = define("return t * t / 3.0", "t", name)
    calls = f"for i in range(n):\n    x = {name}(x) + {name}(x) / x\nreturn x"
    check(define(calls, "x, n", scope={name: square}), 0.7, 3)
    check(define(f"def {name}(t):\n    return t / x\n{calls}", "x, n"), 0.7, 3)
    check(define(f"for i in range(n):\n    x = x * {name} + 1.0 / x\nreturn x", "x, n", scope={name: 1.25}), 0.7, 3)
    body = f"for i in range(n):\n    a[i] = a[i] * {name}[i] + 1.0 / a[i]\nreturn a.sum()"
    check(define(body, "a, n", scope={name: np.array([1.0, 2.0, 3.0])}), np.array([0.5, 0.7, 0.9]), 3)


@pytest.mark.parametrize("name", ["np", "math", "g", "stop", "add_to"])
def test_names_that_generated_code_uses_compiled(name):
    loop = f"for i in range(n):\n    if {name} > 100.0:\n        return s\n    a[i] += {name}\n    s += a[i] * {name}\n"
    a, x = np.array([0.5, 0.25]), 0.7
    found = ad.grad(define(f"s = 0.0\n{loop}return s", f"a, {name}, n"), wrt=name)(a, x, 2)
    assert found == pytest.approx(np.sum(a) + 4 * x, rel=1e-15)


def test_modules_and_functions_by_other_names(check):
    scope = {"xp": np, "m": math, "sine": np.sin, "math": np, "np": math}
    check(define("return xp.sum(xp.sin(a)) * m.pi * sine(x)", "x, a", scope=scope), 0.7, np.array([0.5, 0.25]))
    check(define("return math.sum(math.exp(a)) * np.exp(x) * np.pi", "x, a", scope=scope), 0.7, np.array([0.5, 0.25]))


def test_names_beyond_ascii(check):
    check(define("δ = θ * 2.0\nñ_1 = math.sin(δ)\n变量 = ñ_1 * δ\nreturn 变量", "θ"), 0.7)
    check(define("ﬁ = \U0001d431 * 2.0\nreturn fi * x", "x"), 0.7)  # one name each, says Python
    f = define("βδθ = θ\nreturn [βδθ]", "θ")
    with pytest.raises(ad.UnsupportedSyntax, match="a list") as caught:
        ad.grad(f)(0.7)
    assert caught.value.text[caught.value.offset - 1 : caught.value.end_offset - 1] == "[βδθ]"


PRIVATE = module(
    """
__K = 2.0
_A__K = 3.0
_B__K = 5.0


def outside(x):
    return x * __K


class A:
    @staticmethod
    def method(__x, y):
        __z = __x * y
        return __z * __K

    @staticmethod
    def with_closure(x):
        __c = x * x

        def inner(y):
            return y * __c * __K

        return inner(x)

    class __B:
        @staticmethod
        def method(x):
            return x * __K

    B = __B
"""
)


def test_names_that_python_mangles(check):
    for f, args in (
        (PRIVATE["outside"], (0.7,)),
        (PRIVATE["A"].method, (0.7, 0.3)),
        (PRIVATE["A"].with_closure, (0.7,)),
        (PRIVATE["A"].B.method, (0.7,)),
    ):
        check(f, *args)
    check(define("return f(x, 2.0)", "x", "caller", {"f": PRIVATE["A"].method}), 0.7)


# ------------------------------------------------------------------------------------------------- statements


def test_assertions_that_pytest_has_rewritten():
    """pytest compiles this file to other code than stands in it."""

    def f(x):
        assert x > 0.0, "must be positive"
        y = x * x
        assert 0.0 < y < 9.0 and not math.isnan(y)
        return y

    assert "@pytest_ar" in f.__code__.co_names, "pytest rewrites no assertions here"
    g = ad.grad(f)
    assert g(1.5) == 3.0
    with pytest.raises(AssertionError, match="must be positive"):
        g(-1.0)
    with pytest.raises(AssertionError):
        g(3.0)


def test_rewritten_assertions_that_have_changed(tmp_path, pytestconfig):
    path = tmp_path / "test_model.py"
    path.write_text("def f(x):\n    assert x > 0.0\n    return x * 2.0\n")
    tree = ast.parse(path.read_text(), str(path))
    rewrite_asserts(tree, path.read_bytes(), str(path), pytestconfig)
    scope = {}
    exec(compile(tree, str(path), "exec"), scope)
    assert ad.grad(scope["f"])(1.0) == 2.0
    path.write_text("def f(x):\n    assert x > 0.0\n    return x * 3.0\n")
    with pytest.raises(ad.ADError, match="has changed since"):
        ad.grad(scope["f"])(1.0)


TAKEN = [
    "return x * x if 0.0 < x < 1.0 < n < 9 else x",
    "y = z = x * 2.0\ny = y * 3.0\nreturn y * z",
    "b = c = a * 2.0\nb[0] = x\nreturn np.sum(c * c) * x",
    "a[0] = y = a[1] = x * 2.0\nreturn y * a[0] * a[1]",
    "f = lambda p, q: p * q\nreturn f(*(x, 2.0)) * f(q=x, p=3.0)",
    "def f(p, /, q=2.0, *, r=x):\n    return p * q * r\nreturn f(x) * f(x, r=2.0, q=x)",
    "z = x * x\ndef f(p, q=z):\n    return p * q\nz = 5.0\nreturn f(x) * z",
    "z = x * x\ndef f(p):\n    return p * z\nz = 5.0 * x\nreturn f(x)",
    "s = 0.0\nfor i in range(n):\n    c = x * i\n    def f(p):\n        return p * c\n    s += f(x)\nreturn s",
    "return (lambda p: p * p)(x) * 2.0",
    "f = lambda p, q=x: p * q\nx = 3.0 * x\nreturn f(x)",
    "f = lambda p: p * p\ny = f(x)\nf = lambda p: p * 3.0\nreturn f(y)",
    "p = (x, 1.0)\np += (x * x,)\nreturn p[2] * p[0]",
    "'''doc'''\n'text'\n3.0\n...\npass\nreturn x * x",
    "y = x; z = y * y; y *= z\nreturn y; z = 3.0",
    "y = x \\\n    * x + \\\n    x\nreturn (y *\n    y)",
    "if n > 1: x = x * x; x = x + 1.0\nfor i in range(n): x *= 1.1\nreturn x",
    "y: float = x * x\nz: 'anything'\nz = y\na[0]: float = z\nreturn z * a[0]",
    "if n:\n    x = x * x\nwhile n:\n    n -= 1\n    x *= 1.1\nreturn x if not x else x * 2.0",
    "return x * 0xFF * 1_000 * 0b11 * 1e-3 * 0o17",
    "(p, (q, r)), s = (x, (x * x, 2.0)), 3.0\nreturn p * q * r * s",
    "i, a[i] = 1, x\nreturn a[1] * a[0]",
    "a[0], a[1] = a[1], a[0]\nreturn a[0] * x + a[1] ** 2",
    "i = 0\na[i] += x * a[i]\ni += 1\na[i] *= a[i - 1]\na[i] /= x\na[i] **= 2\nreturn np.sum(a)",
    "for i in range(n):\n    x = x * 1.1\n    i = i + 5\n    x = x + i\nreturn x * i",
    "i = 7\nfor i in range(0):\n    x = x * 1.1 + i\nreturn x * i",
    "for x in a:\n    x = x * x\nreturn x",
    "for a[0] in range(n):\n    x = x * 1.1 + a[0]\nreturn x * a[0]",
    "for i, (p, q) in enumerate(zip(a, a)):\n    x += p * q * i\nreturn x",
    "return x * x\nx = undefined(3)",
    "if False:\n    x = undefined\nif n is None:\n    global TABLE\nreturn x * x",
    "lo, hi = 1, n\nfor i in range(hi, lo - 1, -1):\n    x = x * i\nreturn x",
    "return x * (n > 2) + True * x - (-(n > 1)) * x",
]
REFUSED = [
    ("while (x := x * 1.5) < 3.0:\n    pass\nreturn x", 1, "inside an expression"),
    ("y, *z = x, 2.0, 3.0\nreturn y", 1, "would be a list"),
    ("y = x\ndel y\nreturn x", 2, "del is not supported"),
    ("def f():\n    nonlocal x\n    x = 2.0\nf()\nreturn x", 2, "nonlocal is not supported"),
    ("def f():\n    global TABLE\n    return x\nreturn f()", 2, "global is not supported"),
    ("def f(*p):\n    return x\nreturn f(x)", 1, "name every argument"),
    ("f = lambda **k: x\nreturn f()", 1, "name every argument"),
    ("x.real += 1.0\nreturn x", 1, "only variables and parts of arrays"),
    ("f = (lambda p: p) if x > 1.0 else (lambda p: p * p)\nreturn f(x)", 1, "write if and else"),
    ("if x > 0.2:\n    f = lambda p: p * p\nelse:\n    f = lambda p: p\nreturn f(x)", 1, "in one branch"),
    ("if x < 0.0:\n    raise ValueError(f'{x} is bad')\nreturn x", 2, "a formatted string"),
    ("if x < 0.0:\n    raise ValueError('%g' % x)\nreturn x", 2, "cannot stand here"),
    ("if x < 0.0:\n    raise ValueError('a') from None\nreturn x", 2, "no cause"),
    ("if x < 0.0:\n    raise\nreturn x", 2, "needs an exception"),
    ("y = {x for _ in range(3)}\nreturn x", 1, "a set is not supported"),
    ("y = {i: x for i in range(3)}\nreturn x", 1, "a dictionary is not supported"),
    ("try:\n    y = x\nexcept* ValueError:\n    y = 0.0\nreturn y", 1, "try is not supported"),
    ("yield from a\nreturn x", 1, "a generator"),
    ("async def g():\n    pass\nreturn x", 1, "a coroutine inside the function is not supported"),
    ("y = b'a'\nreturn x", 1, "only numbers are"),
    ("y = ...\nreturn x", 1, "only numbers are"),
    ("m = np.eye(3)\nm @= m\nreturn x", 2, "write a = a @ b"),
    ("b = ~(n > 2)\nreturn x if b else 2.0", 1, "write not"),
    ("return a[*(0,)] * x", 1, "* is not supported here"),
    ("return x if n in (1, 2) else x * x", 1, "is and in are not supported"),
]


@pytest.mark.parametrize("body", TAKEN, ids=lambda b: repr(b)[:50])
def test_taken(body, check):
    check(define(body, "x, n, a"), 0.7, 2, np.array([0.5, 1.5, -0.25]))


@pytest.mark.parametrize(("body", "line", "message"), REFUSED, ids=lambda v: repr(v)[:50])
def test_refused_with_place(body, line, message):
    f = define(body, "x, n, a")
    with pytest.raises(ad.UnsupportedSyntax) as caught:
        ad.grad(f, wrt="x")(0.7, 2, np.ones(3))
    error = caught.value
    assert message in error.msg, f"the message is {error.msg!r}"
    assert (error.filename, error.lineno) == (f.__code__.co_filename, line + 1)
    assert error.text.strip() == body.splitlines()[line - 1].strip()


def test_a_wrapper_is_differentiated_with_what_it_wraps(check):
    def twice(f):
        @functools.wraps(f)
        def wrapper(x):
            return 2.0 * f(x)

        return wrapper

    @twice
    @twice
    def f(x):
        return x * x

    check(f, 0.7)
    with pytest.raises(ad.ADTypeError, match="must be a plain Python function"):
        ad.grad(functools.lru_cache(f))


def test_warnings_of_python_about_the_file_are_not_repeated():
    with warnings.catch_warnings(action="ignore"):
        f = define("assert (x, 'always')\nreturn x if n is 3 else x * x", "x, n")
        g = define("assert (x, 'always')\nreturn x * x", "x")
    with pytest.raises(ad.UnsupportedSyntax, match="is compares identities"):
        ad.grad(f, wrt="x")(0.7, 3)
    assert ad.grad(g)(0.5) == 1.0


# ---------------------------------------------------------------------------------------- much of the same


def nested_loops(depth):
    head = "".join("    " * d + f"for i{d} in range(n):\n" for d in range(depth))
    return f"s = x\n{head}{'    ' * depth}s = s * x + 0.1\nreturn s"


def else_ifs(count):
    more = "".join(f"elif n == {k}:\n    y = x * {k} + 0.5\n" for k in range(1, count))
    return f"if n == 0:\n    y = x\n{more}else:\n    y = x * x\nreturn y"


def early_returns(count):
    return "".join(f"if n == {k}:\n    return x * {k}.5\n" for k in range(count)) + "return x * x"


def skipped_trips(count):
    body = "".join(f"    if i == {k}:\n        continue\n    x = x * 1.{k}\n" for k in range(count))
    return f"for i in range(n):\n{body}return x * x"


def choices(count):
    return "return " + " if n > 3 else ".join(f"x * {k}.5" for k in range(count))


def in_each_other(count):
    """``math.sin(math.sin(...))``"""
    return "return " + "math.sin(" * count + "x" + ")" * count


def in_parentheses(count):
    return "return " + "(x + 0.9 * " * count + "x" + ")" * count


def terms(count):
    return "return " + " + ".join(f"x * {k}.5" for k in range(count))


def factors(count):
    return "return " + " * ".join("x" for _ in range(count))


def statements(count):
    return "s = x\n" + "".join(f"s = s * 0.99 + x * {k}.0\n" for k in range(count)) + "return s"


def negations(count):
    return f"return {'-' * count}x if {'not ' * count}n > 0 else x * x"


MUCH = [
    nested_loops(8),
    else_ifs(60),
    early_returns(60),
    skipped_trips(60),
    choices(60),
    in_each_other(60),
    in_parentheses(30),
    terms(1000),
    factors(300),
    statements(1000),
    negations(100),
]
TOO_MUCH = [else_ifs(95), early_returns(95), skipped_trips(95), choices(95), else_ifs(300), in_each_other(190)]


@pytest.mark.parametrize("body", MUCH, ids=lambda b: f"{len(b)}")
def test_much_of_the_same(body, check):
    check(define(body, "x, n"), 0.99, 2, wrt=(0,))


@pytest.mark.parametrize("body", TOO_MUCH, ids=lambda b: f"{len(b)}")
def test_too_deep(body):
    with pytest.raises(ad.UnsupportedSyntax, match="nested too deep") as caught:
        ad.grad(define(body, "x, n"), wrt="x")(0.99, 2)
    assert caught.value.text.strip() in body


def test_too_deep_for_the_analyses():
    f = define(negations(150), "x, n")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        with pytest.raises(ad.UnsupportedSyntax, match="nested too deep"):
            ad.grad(f, wrt="x")(0.99, 2)
    finally:
        sys.setrecursionlimit(limit)


def test_more_loops_in_one_another_than_python_takes():
    def loops(n):
        return "".join("    " * d + f"for i{d} in range(n):\n" for d in range(n)) + "    " * n

    inner = define(loops(11) + "x = x * 1.1\nreturn x, n", "x, n", "inner")
    f = define(loops(11) + "x, n = inner(x, n)\nreturn x", "x, n", scope={"inner": inner})
    with pytest.raises(ad.ADError, match="too many statically nested blocks"):
        ad.grad(f)(0.7, 1)
