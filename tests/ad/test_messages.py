"""Errors: what is outside the subset is refused at its line, with what to write instead."""

import functools
import math
import traceback

import numpy as np
import pytest
import texts
from numba import njit

import ad

TABLE = {"a": 1.0}
WEIGHTS = np.ones(3)
HALF = np.float16(1.0)
HUGE = 2**70


def helper(x):
    return x * x


def with_list(x):
    return [x][0]


def recursive(x, n=3):
    return x if n == 0 else recursive(x * x, n - 1)


def ping(x):
    return pong(x)


def pong(x):
    return ping(x)


# text of the body, the number of its offending line (from 1), what the message says
REFUSED = [
    ("x[0] = 1.0\nreturn x", 1, "x is a float: it cannot be indexed"),
    ("x[0] += 1.0\nreturn x", 1, "cannot be indexed"),
    ("x.real = 1.0\nreturn x", 1, "only variables and parts of arrays"),
    ("y = [x, x]\nreturn x", 1, "a list is not supported"),
    ("y = {1: x}\nreturn x", 1, "a dictionary"),
    ("y = [x for i in range(3)]\nreturn x", 1, "write a loop"),
    ("y = (x for i in range(3))\nreturn x", 1, "a generator"),
    ("class C:\n    pass\nreturn x", 1, "a class inside"),
    ("import os\nreturn x", 1, "import at the top"),
    ("global TABLE\nreturn x", 1, "global"),
    ("try:\n    x = 1.0 / x\nexcept ZeroDivisionError:\n    pass\nreturn x", 1, "try is not supported"),
    ("with open('f'):\n    pass\nreturn x", 1, "with is not supported"),
    ("del x\nreturn 1.0", 1, "del"),
    ("match n:\n    case 1:\n        pass\nreturn x", 1, "match is not supported: write if"),
    ("for i in range(0, 5, 0):\n    x += 1.0\nreturn x", 1, "cannot be 0"),
    ("for i in range(x):\n    x += 1.0\nreturn x", 1, "must be an int"),
    ("return", 1, "return a number"),
    ("return None", 1, "None"),
    ("return x, x", 1, "return one number"),
    ("return x > 0.0", 1, "returns a bool"),
    ("return 'text'", 1, "'text'"),
    ("return 1j * x", 1, "returns a complex number"),
    ("x = x + 1.0", 1, "end it with return"),
    ("if x > 0.0:\n    return x", 1, "end it with return"),
    ("yield x", 1, "generator"),
    ("x = (y := 2.0) * x\nreturn x", 1, "inside an expression"),
    ("y = x @ x\nreturn y", 1, "matrix"),
    ("if n in a:\n    x = 0.0\nreturn x", 1, "is and in"),
    ("y = x or 1.0\nreturn y", 1, "and, or of numbers"),
    ("return a[0, 0] * x", 1, "2 indices for an array of 1 dimension"),
    ("return a.shape[1] * x", 1, "has no item 1"),
    ("return a * x", 1, "returns a 1-D float64 array"),
    ("return math.sin(a) * x", 1, "whole array"),
    ("return a[x]", 1, "an index must be an int"),
    ("return a[n > 1] * x", 1, "an index must be an int"),
    ("return x[0]", 1, "cannot be indexed"),
    ("return len(x) * x", 1, "cannot be indexed"),
    ("return x * WEIGHTS", 1, "returns a 1-D float64 array"),
    ("return x * TABLE", 1, "pass it as an argument"),
    ("return x * TABLE['a']", 1, "pass it as an argument"),
    ("return x * HALF", 1, "write float(...) of it"),
    ("k = np.zeros(3, 'f2')\nreturn x", 1, "not supported as a dtype"),
    ("return x * HUGE", 1, "64 bits"),
    ("return x * 100000000000000000000", 1, "64 bits"),
    ("return x * unknown", 1, "not defined"),
    ("return unknown(x)", 1, "not defined"),
    ("return math.unknown(x)", 1, "not defined"),
    ("return helper", 1, "call it"),
    ("return x(1.0)", 1, "is a variable"),
    ("return helper(*[x])", 1, "a list is not supported"),
    ("return helper(**{'x': x})", 1, "one by one"),
    ("return helper(x, x)", 1, "too many"),
    ("return helper()", 1, "missing"),
    ("return math.sin(x, x)", 1, "takes 1 scalar argument"),
    ("return math.fmod(x, 2.0)", 1, "np.fmod"),
    ("return round(x)", 1, "np.rint"),
    ("return divmod(x, 2.0)", 1, "several results"),
    ("return math.sin(x=x)", 1, "by position"),
    ("return math.frobnicate(x)", 1, "not defined"),
    ("return open(x)", 1, "defvjp"),
    ("return range(3)", 1, "for statement"),
    ("return n ** n * x", 1, "float(a) ** n"),
    ("return 2 ** -1 * x", 1, "float(a) ** n"),
    ("return np.power(n, 2) * x", 1, "float(a) ** n"),
    ("return math.sin(x > 0.0)", 1, "int(...)"),
    ("return x if x > 0.0 else (x > 1.0)", 1, "the other a number"),
    ("flag = x > 0.0\nflag = 2.0\nreturn x", 2, "bool at one place"),
    ("if n > 0:\n    y = x\nreturn y", 3, "may have no value"),
    ("while x > 1.0:\n    y = x\n    x = x - 1.0\nreturn y", 4, "may have no value"),
    ("y = y + x\nreturn y", 1, "value"),
    ("a, b = x\nreturn a", 1, "only tuples and arrays can be unpacked"),
    ("a, b = x, x, x\nreturn a", 1, "2 variables on the left, 3 values"),
    (
        "for t in range(n):\n    x = x * 2.0\n    try:\n        x = 1.0\n    finally:\n        pass\nreturn x",
        3,
        "try is not supported",
    ),
    (
        "w = a\nfor i in range(n):\n    w[0] = x\n    w = w[1:] if i < 1 else np.ones(2)\nreturn w[0]",
        4,
        "may stand for the same array",
    ),
    ("y = a[0, 1, 2]\nreturn y", 1, "3 indices for an array of 1 dimension"),
    ("return a[0.5] * x", 1, "an index must be an int, not a float"),
    ("y = a[::0]\nreturn x", 1, "the step of a slice cannot be 0"),
    ("if a > 0.0:\n    x = 2.0\nreturn x", 1, "an array has no truth value"),
    (
        "def bump():\n    a[0] += x\n    return a[0]\nif x < a[0] < bump():\n    x = 2.0\nreturn x",
        4,
        "what writes to arrays cannot stand in a chain of comparisons",
    ),
    ("y = (x, 1.0)[n]\nreturn y", 1, "constant indices only"),
    ("y = math.sin(a)\nreturn x", 1, "write np.sin"),
    ("b = a if x > 0.0 else 1.0\nreturn x", 1, "one side of this expression is a 1-D float64 array"),
    (
        "if x > 0.0:\n    b = a\nelse:\n    b = np.ones((2, 2))\nreturn x",
        4,
        "at one place and a 2-D float64 array at another",
    ),
    ("a[0] = a\nreturn x", 1, "does not fit into"),
    ("k = np.zeros(3, dtype=np.int64)\nk[0] = x\nreturn x", 2, "a float does not fit into an array of int64"),
    ("k = np.zeros(3, dtype='text')\nreturn x", 1, "is no dtype"),
    ("y = np.sum(a, axis=n)\nreturn y", 1, "axis must be a constant"),
    ("raise x\nreturn x", 1, "only classes of exceptions"),
    ("print(x, end='')\nreturn x", 1, "takes no keywords"),
    ("for v in (a, x):\n    if x > 0.0:\n        break\nreturn x", 1, "in a loop over a tuple"),
    ("for v in x:\n    x += 1.0\nreturn x", 1, "a loop needs a range or an array"),
    ("r = range(n)\nreturn x", 1, "a range as a variable"),
    ("y = np.fft.fft(a)\nreturn x", 1, "is not supported"),
    ("y = np.array([[x, x], [x]])\nreturn x", 1, "different lengths"),
    ("y = f'{x}'\nreturn x", 1, "a formatted string"),
    ("return x @ x", 1, "matrix product"),
    ("y = np.full(3, x, np.float64)\nreturn y[0] * nothing", 2, "not defined"),
]

# Text of bodies that are taken.
TAKEN = [
    "y = (x, x)\nreturn x",
    "f = lambda t: t\nreturn x",
    "def f(t):\n    return t\nreturn x",
    "assert x > 0.0\nreturn x",
    "if x < 0.0:\n    raise ValueError('x')\nreturn x",
    "for i in range(n):\n    if x > 1.0:\n        break\nreturn x",
    "for i in range(n):\n    if x > 1.0:\n        continue\n    x += 1.0\nreturn x",
    "for i in range(n):\n    if x > 1.0:\n        return x\nreturn x",
    "for i in range(n):\n    x += 1.0\nelse:\n    x = 0.0\nreturn x",
    "while x > 1.0:\n    x -= 1.0\nelse:\n    x = 0.0\nreturn x",
    "for v in a:\n    x += v\nreturn x",
    "for i, v in enumerate(a):\n    x += v\nreturn x",
    "for i in enumerate(a):\n    x += 1.0\nreturn x",
    "print(x)\nreturn x",
    "math.sin(x)\nreturn x",
    "if x > 0.0:\n    if n > 1:\n        return x\n    x = 2.0\nx = x * x\nx = x + 1.0\nreturn x",
    "y = n & 1\nreturn x * y",
    "y = ~n\nreturn x * y",
    "if n is None:\n    x = 0.0\nreturn x",
    "return a[0:2][0]",
    "b = a[0:2]\nreturn x",
    "b = a\nreturn b[0]",
    "return a.ndim * x",
    "return a.sum() * x",
    "return WEIGHTS[0] * x",
    "return np.where(x > 0.0, x, 0.0)",
    "return np.sum(a)",
    "return np.clip(x, 0.0, 1.0)",
    "return np.float32(x)",
    "for i in range(n):\n    y = x\nreturn y",
    "for i in range(n):\n    x = x * 2.0\nreturn x * i",
    "(a, b), c = (x, x), x\nreturn a",
]


def define(body, arguments="x, n=2, a=None", name="f", scope=None):
    return texts.define(body, arguments, name, {**globals(), **(scope or {})})


@pytest.mark.parametrize(("body", "line", "message"), REFUSED, ids=lambda v: repr(v)[:50])
def test_refused_with_place_and_advice(body, line, message):
    f = define(body)
    with pytest.raises(ad.UnsupportedSyntax) as caught:
        ad.grad(f, wrt="x")(1.5, 2, np.ones(3))
    error = caught.value
    assert message in error.msg, f"the message is {error.msg!r}"
    assert error.filename == f.__code__.co_filename
    assert error.lineno == line + 1, f"line {error.lineno - 1} of the body, not {line}"
    assert error.text.strip() == body.splitlines()[line - 1].strip()
    shown = "".join(traceback.format_exception_only(error))
    assert error.text.strip() in shown and "^" in shown, "the traceback shows the line and marks the place"
    assert isinstance(error, ad.ADError) and isinstance(error, SyntaxError)


@pytest.mark.parametrize("body", TAKEN, ids=lambda v: repr(v)[:50])
def test_taken(body, dual_gradient, interpreted_gradient):
    f = define(body)
    args = 1.5, 2, np.array([0.5, 1.5, -0.25])
    expected_value, expected = dual_gradient(f, args, (0,))
    value, found, _ = interpreted_gradient(f, args, (0,))
    assert value == pytest.approx(expected_value)
    assert found == pytest.approx(expected)


def test_loop_variable_that_becomes_a_float():
    # Assigning to the loop variable is fine: the loop counts with one of its own.
    f = define("for i in range(n):\n    i = i * 0.5\n    x = x + i * x\nreturn x")
    assert ad.grad(f, wrt="x")(1.5, 3, np.ones(3)) == pytest.approx(1.0 * 1.5 * 2.0)


def test_array_overwritten_by_a_number(interpreted_gradient):
    f = define("s = a[0] * x\na = 3.0\nreturn a * x * s")
    assert interpreted_gradient(f, (1.5, 2, np.array([0.5])), (0,))[1] == [pytest.approx(4.5)]
    f = define("for i in range(n):\n    a = 3.0\nreturn a * x")
    with pytest.raises(ad.UnsupportedSyntax, match="give one of them another name") as caught:
        ad.grad(f, wrt="x")(1.5, 2, np.ones(3))
    assert caught.value.lineno == 3


def test_error_inside_a_called_function_points_there():
    f = define("return with_list(x)")
    with pytest.raises(ad.UnsupportedSyntax, match="a list is not supported") as caught:
        ad.grad(f, wrt="x")(1.5, 2, np.ones(3))
    assert caught.value.filename == __file__
    assert caught.value.lineno == with_list.__code__.co_firstlineno + 1


def test_recursion():
    assert ad.grad(recursive)(1.5) == pytest.approx(8 * 1.5**7)
    with pytest.raises(ad.ADError, match=r"recursion|Numba cannot compile"):  # for ever
        ad.grad(ping)(1.5)


def writes_and_calls_itself(a, n):
    if n > 0:
        a[n] *= 2.0
        writes_and_calls_itself(a, n - 1)


def test_recursion_that_writes():
    f = define("writes_and_calls_itself(a, n)\nreturn a[0] * x")
    with pytest.raises(ad.UnsupportedSyntax, match=r"writes_and_calls_itself\(\) calls itself"):
        ad.grad(f)(1.5, 2, np.ones(3))


def test_lambda():
    with pytest.raises(ad.UnsupportedSyntax, match="write a function with def"):
        ad.grad(lambda x: x)(1.0)


def test_coroutine():
    async def f(x):
        return x

    with pytest.raises(ad.UnsupportedSyntax, match="coroutine"):
        ad.grad(f)(1.0)


def test_star_arguments():
    def f(x, *rest):
        return x

    with pytest.raises(ad.ADTypeError, match="name every argument"):
        ad.grad(f)


def test_decorated_function_is_not_taken_for_the_inner_one():
    def doubled(f):
        @functools.wraps(f)
        def wrapper(*args):
            return 2.0 * f(*args)

        return wrapper

    @doubled
    def f(x):
        return x * x

    with pytest.raises(ad.ADTypeError, match="name every argument"):
        ad.grad(f)


def test_source_is_missing():
    scope = {}
    exec("def f(x):\n    return x\n", scope)
    with pytest.raises(ad.ADError, match=r"source of f\(\) is not available.*exec"):
        ad.grad(scope["f"])(1.0)


def test_source_has_changed(tmp_path):
    path = tmp_path / "model.py"
    path.write_text("def f(x):\n    return x * 2.0\n")
    scope = {}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    assert ad.grad(scope["f"])(1.0) == 2.0
    path.write_text("def f(x):\n    return x * 3.0\n")
    with pytest.raises(ad.ADError, match="has changed since"):
        ad.grad(scope["f"])(1.0)
    path.write_text("def f(x:\n")
    with pytest.raises(ad.ADError, match="cannot be parsed"):
        ad.grad(scope["f"])(1.0)
    path.write_text("\n\n\n")
    with pytest.raises(ad.ADError, match="is not at line 1"):
        ad.grad(scope["f"])(1.0)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (3.0, "plain Python function"),
        (math.sin, "write a plain function around it"),
        (np.sin, "plain Python function"),
        (float, "write a plain function around it"),
        (functools.partial(helper, 1.0), "functools.partial"),
        ("text".upper, "write a plain function around it"),
    ],
)
def test_not_a_function(f, message):
    with pytest.raises(ad.ADTypeError, match=message):
        ad.grad(f)


def test_method():
    class Model:
        def loss(self, x):
            return x

    with pytest.raises(ad.ADTypeError, match="arguments"):
        ad.grad(Model().loss)


def test_gradient_of_a_gradient():
    with pytest.raises(ad.ADTypeError, match="derivatives of derivatives"):
        ad.grad(ad.grad(helper))


def two(x, y, n=3):
    return x * y * n


@pytest.mark.parametrize(
    ("wrt", "error", "message"),
    [
        ("z", ad.ADValueError, "no argument 'z'; it has x, y, n"),
        (7, ad.ADValueError, "no index 7"),
        ((), ad.ADValueError, "empty"),
        (("x", 0), ad.ADValueError, "'x' twice"),
        (2.0, ad.ADTypeError, "a name, an index"),
        ((None,), ad.ADTypeError, "a name, an index"),
        ((True,), ad.ADTypeError, "a name, an index"),
    ],
)
def test_bad_wrt(wrt, error, message):
    with pytest.raises(error, match=message):
        ad.grad(two, wrt=wrt)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, 2.0), {}, r"'x' is an int.*float\(x\)"),
        ((True, 2.0), {}, "'x' is a bool"),
        ((np.float16(1.0), 2.0), {}, r"'x' is a float16.*float\(x\)"),
        ((np.complex64(1.0), 2.0), {}, r"'x' is a complex64.*complex\(x\)"),
        (([1.0], 2.0), {}, r"'x' is a list: pass np.array"),
        ((None, 2.0), {}, "'x' holds no float"),
        (({}, 2.0), {}, "'x' is a dict"),
        (((1.0, {}), 2.0), {}, r"'x\[1\]' is a dict"),
        ((1.0, "a"), {}, "'y' holds no float"),
        ((np.array(1.0), 2.0), {}, r"without dimensions: pass float\(x\)"),
        ((np.ones(2, dtype="f2"), 2.0), {}, "float16, which Numba.*astype"),
        ((np.ones(2, dtype=">f8"), 2.0), {}, "astype"),
        ((np.ones(2, dtype="i4"), 2.0), {}, "array of ints.*astype"),
        ((np.ones(2, dtype=bool), 2.0), {}, "array of bools.*astype"),
        ((np.ones(2, dtype=int), 2.0), {}, "array of ints.*astype"),
        ((np.array(["a"]), 2.0), {}, "array of <U1"),
        ((np.ma.masked_array([1.0]), 2.0), {}, "masked"),
        ((1.0, 2.0, 2**63), {}, "64 bits"),
        ((1.0,), {}, "missing a required argument: 'y'"),
        ((1.0, 2.0, 3, 4), {}, "too many"),
        ((1.0,), {"z": 1.0}, "missing a required argument|unexpected"),
        ((1.0, 2.0), {"x": 1.0}, "multiple values"),
    ],
)
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(ad.ADTypeError, match=message) as caught:
        ad.grad(two, wrt=("x", "y"))(*args, **kwargs)
    assert isinstance(caught.value, TypeError)


def test_no_float_argument():
    with pytest.raises(ad.ADTypeError, match="no float argument"):
        ad.grad(helper)(1)


def test_integer_result():
    def f(x, n):
        return n + int(x)

    with pytest.raises(ad.ADTypeError, match="returns an int"):
        ad.grad(f, wrt="x")(1.0, 2)


@njit
def opaque(x):
    return str(int(x))


def uses_opaque(x):
    return opaque(x)


def test_numbas_own_refusal_is_explained():
    ad.defvjp(opaque, lambda g, ans, x: g)
    with pytest.raises(ad.ADError, match="Numba cannot compile the generated uses_opaque_grad"):
        ad.grad(uses_opaque)(1.0)
