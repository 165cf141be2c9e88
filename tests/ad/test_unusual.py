"""Code that is unusual, but Python: it has the right gradient, or is refused in so many words."""

import ast
import math

import numpy as np
import pytest
from _pytest.assertion.rewrite import rewrite_asserts
from texts import define

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
    in_parentheses(70),
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
    f = define(negations(450), "x, n")
    with pytest.raises(ad.UnsupportedSyntax, match="nested too deep"):
        ad.grad(f, wrt="x")(0.99, 2)


def test_more_loops_in_one_another_than_python_takes():
    def loops(n):
        return "".join("    " * d + f"for i{d} in range(n):\n" for d in range(n)) + "    " * n

    inner = define(loops(11) + "x = x * 1.1\nreturn x, n", "x, n", "inner")
    f = define(loops(11) + "x, n = inner(x, n)\nreturn x", "x, n", scope={"inner": inner})
    with pytest.raises(ad.ADError, match="too many statically nested blocks"):
        ad.grad(f)(0.7, 1)
