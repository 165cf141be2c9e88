"""A matrix of small programs, each against dual numbers (to rounding) and central differences.

The gradient runs compiled; the reference is the plain Python function.  Arguments that are floats or float arrays are
differentiated with respect to.
"""

# The programs are as people write them.

import math
import math as m
from math import exp, sin

import numpy as np
import pytest
from numba import njit

import ad

A3 = np.array([0.5, -1.25, 2.0])
B3 = np.array([1.5, 0.75, -0.5])
HALF = 0.5
COUNT = 3
CASES = []


def case(*args, name=""):
    def register(f):
        CASES.append(pytest.param(f, args, id=f.__name__ + (f"-{name}" if name else "")))
        return f

    return register


# ------------------------------------------------------------------------------------------ straight line


@case(1.5, -0.5)
def product(x, y):
    return x * y


@case(1.5)
def square_in_place(x):
    x = x * x
    return x


@case(1.5, 0.5)
def overwritten_after_use(x, y):
    z = x * y
    x = z * z
    y = x * z
    return y + z * x


@case(0.7)
def copies(x):
    y = x
    z = y
    x = x * z
    y = y * x
    return x + y * z


@case(0.7, 1.3)
def swap(x, y):
    x, y = y, x
    return x * x * y


@case(0.7, 1.3, -0.4)
def rotate(x, y, z):
    x, y, z = y * z, z * x, x * y
    return x + 2.0 * y + 3.0 * z * x


@case(0.7, 1.3)
def tuple_without_conflict(x, y):
    a, b = x * y, x + y
    return a / b


@case(0.7)
def chain_assignment(x):
    a = b = x * x
    a = a * b
    return a + b


@case(0.7)
def augmented(x):
    y = x
    y += x
    y *= x
    y -= 0.5 * x
    y /= 1.0 + x
    y **= 2
    return y


@case(0.7)
def annotated(x):
    """A docstring, a pass and annotations change nothing."""
    y: float = x * x
    z: float
    pass
    z = y * x
    return z


@case(2.5, 1.5)
def all_operators(x, y):
    return x + y - x * y / (x - 3.0) + x**y - (-x) + (+y) + x // y + x % y


@case(-2.5, 1.5)
def floor_and_modulo_of_negatives(x, y):
    return (x // y) * x + (x % y) * y


@case(2.0)
def powers(x):
    return x**2 + x**3 + x**0.5 + x**-1 + x**1 + x**0 + x**2.5 + 2.0**x + x**-2


@case(1.7, 3)
def power_by_int(x, n):
    return x**n + x ** (n - 3) + x**-n


@case(-1.7, 3)
def negative_base(x, n):
    return x**n + x ** (n + 1)


@case(2.0, 3)
def ints_and_floats(x, n):
    k = n // 2 + n % 2
    return n * x + k / 4 + 2 * x / n - k


@case(2.0, 3)
def int_factors(x, n):
    k = n * n
    return x * n * n + k * x * n + x / n + n * n / x + (n - 1) * (x - n) * n + x * -n


@case(0.5, 4_000_000_000)
def int_factors_do_not_overflow(x, n):
    return x * n * n * 1e-18


@case(2.0)
def int_becomes_float(x):
    s = 0
    s = s + x
    s = s * 2
    return s * x


@case(2.0)
def constants(x):
    a = 3
    b = 2.0 * a
    c = b * math.pi + np.e
    return x * c + HALF * x * x * COUNT


@case(2.0)
def constant_result(x):
    y = x * 0.0
    return 3.0 + y


@case(2.0)
def no_dependence(x):
    return 3.0


@case(2.0, 3.0)
def one_argument_unused(x, y):
    return y * y


@case(1.5)
def argument_returned(x):
    return x


@case(1.5, 2.0)
def same_twice(x, y):
    return x * x * y * x + y / y + x - x


@case(0.3, 0.9)
def deep_expression(x, y):
    return math.sin(x * math.exp(y * math.cos(x + y * math.sqrt(x * x + 1.0)))) / (1.0 + math.tanh(x) ** 2)


@case(0.3)
def value_used_twice(x):
    return math.exp(x) * math.exp(x) + math.exp(x)


@case(0.3)
def result_overwrites_argument(x):
    x = math.exp(x)
    x = math.sqrt(x)
    x = x / (1.0 + x)
    x = math.tanh(x) * x
    return x


@case(1.3, 0.4)
def power_overwrites_its_base(x, y):
    x = x**y
    y = x**y
    return x * y


@case(1.3)
def imported_names(x):
    return m.log(x) + sin(x) * exp(x) + np.log(x)


@case(1.3)
def logarithm_to_a_base(x):
    return math.log(x, 3.0) + math.log(2.0, x)


# ------------------------------------------------------------------------------------------------ names


@case(1.3)
def shadows_a_module(x):
    math = x * 2.0
    np = math * math
    return np + math


@case(1.3, 0.5)
def named_like_helpers(push, pop):
    njit = push * pop
    _tape = njit
    status = 1.0
    for range_ in range(3):
        _tape = _tape * njit + push
        status = status * pop
    return _tape + status


@case(1.3, 0.5)
def named_like_adjoints(x, x_b):
    y_b = x * x_b
    t1 = y_b * y_b
    x = t1 * x + x_b
    return x * t1


@case(1.3, 0.5)
def named_like_builtins(len, min):
    max = len * min
    float = max + len
    abs = float * max
    return abs + len


@case(1.3)
def underscore_is_a_variable(x):
    s = 0.0
    for _ in range(3):
        k = 0
        while k < 2:
            x = x * 0.5 + _ * x
            k += 1
        s += x * _
    return s


# ---------------------------------------------------------------------------------------------- branches


@case(1.5, 0.5, name="then")
@case(-1.5, 0.5, name="else")
def branch(x, y):
    if x > 0.0:
        z = x * y
    else:
        z = x - y * y
    return z * z


@case(1.5, name="then")
@case(-1.5, name="skip")
def branch_without_else(x):
    y = x * x
    if x > 0.0:
        y = y * x
    return y


@case(0.5)
@case(1.5, name="middle")
@case(2.5, name="last")
def elif_chain(x):
    if x < 1.0:
        y = x
    elif x < 2.0:
        y = x * x
    else:
        y = x * x * x
    return y


@case(1.5, 0.5)
@case(-1.5, 0.5, name="other")
def nested_branches(x, y):
    z = 1.0
    if x > 0.0:
        if y > 0.0:
            z = x * y
        else:
            z = x / y
        z = z * z
    elif y > 0.0:
        z = y * y * x
    return z


@case(1.5)
@case(-1.5, name="other")
def condition_is_overwritten(x):
    flag = x > 0.0
    y = x
    if flag:
        y = x * x
        flag = False
    x = y * y
    if flag:
        x = x * y
    return x


@case(1.5)
@case(-1.5, name="other")
def branch_on_what_changes(x):
    if x > 0.0:
        x = -x * x
    else:
        x = x * x * x
    if x > 0.0:
        x = x * 2.0
    return x * x


@case(1.5)
@case(0.5, name="other")
def derivative_ends_in_branch(x):
    y = x * x
    if x > 1.0:
        y = 2.0
    return y * x


@case(1.5)
@case(-0.5, name="middle")
@case(-2.5, name="last")
def early_returns(x):
    if x > 0.0:
        return x * x
    y = x * 3.0
    if y < -2.0:
        return y * x
    z = y * y
    return z * x


@case(1.5)
@case(-1.5, name="other")
def return_in_both(x):
    if x > 0.0:
        return 2.0 * x * x
    else:
        return 1


@case(0.5, 1.5)
@case(1.5, 0.5, name="other")
def conditional_expression(x, y):
    a = x if x > y else y * y
    return a * (x * y if a > 1.0 else x) + (1.0 if y > 0.0 else x)


@case(0.5, 1.5)
@case(-0.5, 1.5, name="other")
def nested_conditional_expression(x, y):
    return (x * x if y > 0.0 else y) if x > 0.0 else (y * (x if y > 1.0 else 2.0 * x))


@case(0.0, 2.0)
def guard_protects(x, y):
    return y * (1.0 / x if x != 0.0 else 3.0)


@case(0.5, 3)
@case(0.5, 2, name="other")
def boolean_operators(x, n):
    flag = n > 2 and not n == 4 or x < 0.0
    y = x * x if flag else x
    if 0.0 < x < 1.0 and (n > 2 or x > 0.75):
        y = y * x
    return y if n else x


@case(0.5, True)
@case(0.5, False, name="false")
def bool_argument(x, flag):
    y = x * x
    if flag:
        y = y * x
    return y * (2.0 if not flag else x)


@case(math.nan)
def nan_takes_the_else_branch(x):
    y = 2.0
    if x > 0.0:
        y = 3.0
    if x != x:
        return 5.0
    return x * y


# ------------------------------------------------------------------------------------------------- loops


@case(1.1, 4)
@case(1.1, 0, name="none")
@case(1.1, 1, name="once")
def loop(x, n):
    s = 0.0
    for i in range(n):
        s = s + x**i
    return s


@case(1.1, 4)
@case(1.1, 0, name="none")
def loop_carried(x, n):
    y = 1.0
    for i in range(n):
        y = math.sin(y * x) + y * y * 0.1
    return y


@case(1.1)
def constant_steps(x):
    s = x
    for i in range(10, 0, -3):
        s = s * 0.9 + i * x * s
    for i in range(-3, 9, 5):
        s = s * s * 0.1 + i * x
    for i in range(5, 5):
        s = s * s
    return s


@case(1.1, 2, 9, 3)
@case(1.1, 9, 2, -2, name="down")
@case(1.1, 2, 9, -1, name="none")
@case(1.1, 2, 3, 5, name="once")
@case(1.1, -4, 7, 11, name="long")
def any_range(x, start, stop, step):
    s = x
    for i in range(start, stop, step):
        s = math.sin(s + i * x) * s + i
    return s


@case(1.1, 5)
@case(1.1, 0, name="none")
def loops_down(x, n):
    s = x
    for i in range(n, 0, -1):
        s = s * x * 0.5 + i
    for i in range(n - 1, -1, -1):
        s = s * x * 0.5 + i * s
    return s


@case(1.1, 4)
def variable_after_loop(x, n):
    i = 7
    s = x
    for i in range(n):
        s = s * x + i
    return s * x**i


@case(1.1)
def variable_after_constant_loop(x):
    s = x
    for i in range(1, 4):
        t = s * i
        s = t * x
    return s * i * t


@case(1.1, 4)
def variable_is_changed(x, n):
    s = x
    for i in range(n):
        s = s * x + i
        i = 2 * i + 1
        s = s + i * x * s
    return s


@case(1.1, 3)
def same_variable_nested(x, n):
    s = x
    for i in range(n):
        for i in range(2):
            s = math.sin(s * x) + i
        s = s * (i + 1) * 0.5
    return s


@case(1.1, 3)
def same_variable_twice(x, n):
    s = x
    for i in range(n):
        s = s * x + i
    for i in range(2 * n):
        s = 0.5 * s * math.cos(x * i)
    return s


@case(1.1, 3)
def bound_is_changed(x, n):
    s = x
    for i in range(n):
        n = n + 2
        s = math.sin(s) * x * n
    return s * n


@case(1.1, 3)
def bound_is_the_variable(x, n):
    s = x
    for n in range(n):
        s = math.sin(s * x) + n
    return s * n


@case(2.3)
def bound_from_active_value(x):
    s = x
    for i in range(int(x * 2.0)):
        s = s * 0.5 * x
        x = x * 0.9
    return s


@case(1.1, 3)
@case(1.1, 0, name="none")
def nested(x, n):
    s = 0.0
    for i in range(n):
        t = x
        for j in range(i + 1):
            t = t * x + j
            s = s + t * t * 0.01
        s = s * 0.5
    return s


@case(1.1, 2)
def three_deep(x, n):
    s = 1.0
    for i in range(n):
        a = x * i
        for j in range(i, n + 1):
            b = a * j + x
            for k in range(j):
                s = math.sin(s * b) + a * k
                b = b * 0.9
    return s


@case(1.1, 4)
def local_of_the_body(x, n):
    s = x
    for i in range(n):
        t = s * s
        u = t * t
        s = math.sin(u * t * x)
    return s


@case(1.1, 4)
def local_reused_in_the_body(x, n):
    s = x
    for i in range(n):
        t = s * x
        s = s + t * t * 0.1
        t = s * x
        s = s - t * t * t * 0.01
    return s


@case(1.1, 4)
def branch_in_loop(x, n):
    s = x
    for i in range(n):
        if i % 2 == 0:
            s = s * x
        else:
            t = s * s
            s = t * 0.25
    return s


@case(1.1, 4)
def accumulator_is_reset(x, n):
    s = 0.0
    total = x
    for i in range(n):
        s = 0.0
        for j in range(i):
            s = s + x * j * total * 0.1
        total = total + s * s
    return total


@case(1.1, 4)
@case(1.1, 0, name="none")
def overwritten_by_constant(x, n):
    y = x
    for i in range(n):
        y = 2.0
    return y * x


@case(1.1, 4)
def overwritten_in_two_steps(x, n):
    y = x
    for i in range(n):
        y = 1.0
        y = 2.0
    return y * x


@case(1.1, 5)
def fibonacci(x, n):
    a, b = x, 1.0
    for _ in range(n):
        a, b = b, a + b * x
    return a * b


@case(1.1, 4)
def only_ints_in_loop(x, n):
    k = 1
    for i in range(n):
        k = k * 2 % 7
    y = x * k
    for i in range(n):
        k = k + i
    return y * y * k


@case(1.1, 0.9, 1.2, 10)
def lorenz(x, y, z, n):
    for i in range(n):
        dx = 10.0 * (y - x)
        dy = x * (28.0 - z) - y
        dz = x * y - 8.0 / 3.0 * z
        x += 0.01 * dx
        y += 0.01 * dy
        z += 0.01 * dz
    return x + y * z


@case(1.1, 0.9, 10)
def semi_implicit(q, p, n):
    for i in range(n):
        p -= 0.1 * math.sin(q)
        q += 0.1 * p
    return 0.5 * p * p - math.cos(q)


# ------------------------------------------------------------------------------------------------- while


@case(9.5)
@case(0.5, name="none")
def while_on_active(x):
    y = x
    while y > 1.0:
        y = y * 0.5 * math.sqrt(x * 0.2)
    return y * x


@case(2.0)
def newton(x):
    y = x
    k = 0
    while abs(y * y - x) > 1e-13 and k < 60:
        y = 0.5 * (y + x / y)
        k += 1
    return y


@case(1.1, 3)
def while_in_for(x, n):
    s = x
    for i in range(n):
        k = 0
        while k < i and s < 40.0:
            s = s * x + k
            k = k + 1
    return s


@case(1.1)
def for_in_while(x):
    s, k = x, 5
    while k > 1:
        for j in range(k):
            s = math.sin(s * x + j)
        k = k // 2
    return s * k


@case(2.2)
def two_whiles(x):
    y = x
    while y < 9.0:
        y = y * x
    while y > 1.0:
        y = y / 3.0
    return y


# ------------------------------------------------------------------------------------------------ arrays


@case(A3, B3)
def dot(a, b):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * b[i]
    return s


@case(A3)
def same_element_twice(a):
    i = 1
    j = 1
    return a[i] * a[j] * a[0] + a[-1] * a[2]


@case(A3, 0.4)
def horner(a, x):
    y = 0.0
    for i in range(a.size - 1, -1, -1):
        y = y * x + a[i]
    return y


@case(A3, np.array([2, 0, 2, 1]), 1.5)
def index_array(a, index, x):
    s = x
    for i in range(index.shape[0]):
        s = s * 0.5 + a[index[i]] * s * (index[i] + 1)
    return s


@case(A3, 2)
def index_is_changed(a, k):
    y = a[k] * a[k]
    k = 0
    z = a[k] * y
    for i in range(3):
        k = (k + 2) % 3
        z = z * a[k] + 1.0
    return z


@case(A3)
def speelpenning(a):
    p = 1.0
    for i in range(len(a)):
        p *= a[i]
    return p


@case(A3, B3)
def rosenbrock(a, b):
    s = 0.0
    for i in range(len(a) - 1):
        s += 100.0 * (a[i + 1] - a[i] ** 2) ** 2 + (b[i] - a[i]) ** 2
    return s


@case(A3)
def largest(a):
    best = a[0]
    for i in range(1, len(a)):
        if a[i] > best:
            best = a[i]
    return best * best


@case(np.array([]), 2.0)
def empty_array(a, x):
    s = x
    for i in range(len(a)):
        s *= a[i]
    return s


@case(A3)
def two_names_of_one_index(a):
    s = 0.0
    for i in range(len(a)):
        j = len(a) - 1 - i
        s += a[i] * a[j] * (i + 1) + max(a[i], a[j])
    return s


# ------------------------------------------------------------------------------------------------- calls


def cube(x):
    return x * x * x


@njit
def scaled(x, y=2.0, k=3):
    return x * y / k


def total_of(a, x):
    s = 0.0
    for i in range(len(a)):
        s = s * x + a[i]
    return s


def steps(x, n):
    while n > 0:
        x = math.sin(x) + 0.1 * n * x
        n -= 1
    return x


def piecewise(x):
    if x > 1.0:
        return cube(x)
    return steps(x, 2)


def scale_factor(n):
    return 0.5 * n + 1.0


@case(1.5)
def calls(x):
    y = cube(x)
    return y * cube(y * 0.2) + cube(x) * x


@case(1.5, 0.5)
def calls_with_defaults(x, y):
    return scaled(x) + scaled(x, y) + scaled(y, k=2) + scaled(x * y, k=5, y=x)


@case(1.5)
def same_argument_twice(x):
    return scaled(x, x) + scaled(x * x, x)


@case(1.5)
def call_overwrites_its_argument(x):
    x = cube(x)
    x = steps(x * 0.3, 2)
    return x * x


@case(A3, B3, 0.6)
def calls_with_arrays(a, b, x):
    return total_of(a, x) * total_of(b, total_of(a, x)) + total_of(a, 0.5)


@case(1.1, 3)
def calls_in_loops(x, n):
    s = x
    for i in range(n):
        s = 0.1 * steps(s * x, i) + cube(s) * 0.01
        if s > 0.2:
            s = piecewise(s)
    return s


@case(0.7)
@case(1.7, name="other")
def calls_of_calls(x):
    return piecewise(x) * piecewise(2.0 * x)


@case(0.7, 3)
def inactive_calls(x, n):
    y = 0.0
    for i in range(n):
        y += x * scale_factor(i) * x
    return y / scale_factor(n)


@case(A3, 0.5)
def call_in_index(a, x):
    return a[int(scale_factor(2))] * x + (cube(x) if scale_factor(1) > 0.0 else x)


@case(0.7, name="closure")
def plain_number(x):
    return x * HALF


def _closure():
    rate = 0.25
    steps_taken = 3

    def inner(x):
        s = x
        for _ in range(steps_taken):
            s = s + rate * x * s
        return s

    return inner


CASES.append(pytest.param(_closure(), (1.5,), id="closure_over_constants"))


@njit(error_model="numpy")
def _numpy_division(x, y):
    return x / y + x


CASES.append(pytest.param(_numpy_division, (1.5, 0.5), id="numpy_error_model"))


@njit(fastmath=True)
def _fast(a, x):
    s = x
    for i in range(len(a)):
        s = s * a[i] + x
    return s


CASES.append(pytest.param(_fast, (A3, 0.5), id="fastmath"))


# ----------------------------------------------------------------------------------------- functions used


@case(0.6, 1.7)
def kinks_and_jumps(x, y):
    return (
        abs(x - y) * x
        + max(x, y) * min(x, y)
        + max(x, 1.0, y * 0.1)
        + math.floor(y) * x
        + math.ceil(x) * y
        + int(y) * x
        + float(int(y)) * x
        + np.sign(x) * y
    )


@case(0.6, 1.7)
def numpy_scalars(x, y):
    return np.maximum(x, y) * np.square(x) + np.hypot(x, y) + np.power(x, y) + np.arctan2(x, y) + np.float64(x) * y


@case(1.4)
def statistics_functions(x):
    return math.erf(x) * math.gamma(x) + math.lgamma(x) / math.erfc(x) + math.log1p(x) * math.expm1(x)


@pytest.mark.parametrize(("f", "args"), CASES)
def test_gradient(f, args, dual_gradient, interpreted_gradient):
    wrt = [i for i, a in enumerate(args) if isinstance(a, float) or (isinstance(a, np.ndarray) and a.dtype == float)]
    gradient = ad.value_and_grad(f)
    value, found = gradient(*args)
    found = (found,) if len(wrt) == 1 else found
    expected_value, expected = dual_gradient(f, args, wrt)

    assert value == pytest.approx(expected_value, rel=1e-14, nan_ok=True), f"value of\n{gradient.source}"
    for i, mine, reference in zip(wrt, found, expected, strict=True):
        note = f"argument {i}: {mine} instead of {reference} in\n{gradient.source}"
        assert np.shape(mine) == np.shape(args[i]), note
        assert type(mine) is (np.ndarray if isinstance(args[i], np.ndarray) else float), note
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-13, err_msg=note)

    # The generated text is plain Python too, with every name assigned before it is read.
    _, interpreted, _ = interpreted_gradient(f, args, wrt)
    for mine, reference in zip(interpreted, expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-13)

    plain = getattr(f, "py_func", f)
    for i, reference in zip(wrt, expected, strict=True):
        for k in range(np.size(args[i])):
            difference = central_difference(plain, args, i, k)
            exact = np.ravel(reference)[k]
            note = f"argument {i}[{k}]: {exact} but differences {difference}"
            assert difference == pytest.approx(exact, rel=2e-6, abs=2e-7, nan_ok=True), note


def central_difference(f, args, i, k):
    def at(h):
        moved = list(args)
        if isinstance(args[i], np.ndarray):
            moved[i] = args[i].copy()
            moved[i][k] += h
        else:
            moved[i] = args[i] + h
        return f(*moved)

    h = 1e-5
    if f is guard_protects and i == 0:
        return 0.0  # the function is not continuous there: its branch is what counts
    return (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h)
