"""The text of adjoints: as one would write them by hand."""

import ast
import math

import numpy as np
import pytest
from numba import njit

import ad

SIGMA = 10.0


def lorenz(sigma, rho, beta, x, y, z, steps, dt):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x += dt * dx
        y += dt * dy
        z += dt * dz
    return x + y + z


LORENZ = '''\
from numba import njit
from ad.runtime import pop
from tape.numba import failed, push


@njit(nogil=True, error_model="numpy", boundscheck=True)
def lorenz_grad(_tape, sigma, rho, beta, x, y, z, steps, dt):
    """Value and gradient of lorenz() with respect to sigma, rho, beta, x, y, z."""
    # forward sweep
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        push(_tape, x, y, z)
        x += dt * dx
        y += dt * dy
        z += dt * dz
    result = x + y + z
    status = failed(_tape)
    if status:
        return status, result, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0

    # reverse sweep
    sigma_b = rho_b = beta_b = 0.0
    x_b = y_b = z_b = 1.0
    # line {18}: for _ in range(steps):
    for _ in range(steps - 1, -1, -1):
        x, y, z = pop(_tape, 3)
        # lines {19} to {24}: each adjoint as one sum
        beta_b -= z_b * (dt * z)
        rho_b += y_b * (dt * x)
        sigma_b += x_b * (dt * (y - x))
        x_b, y_b, z_b = (
            x_b * (1.0 - dt * sigma) + z_b * (dt * y) + y_b * (dt * (rho - z)),
            y_b * (1.0 - dt) + z_b * (dt * x) + x_b * (dt * sigma),
            z_b * (1.0 - dt * beta) - y_b * (dt * x),
        )
    return status, result, sigma_b, rho_b, beta_b, x_b, y_b, z_b
'''


def at_line(text, first):
    """The expected text with line numbers counted from the function's own."""
    for k in range(30):
        text = text.replace(f"{{{17 + k}}}", str(first + k))
    return text


def test_lorenz():
    g = ad.grad(lorenz, wrt=("sigma", "rho", "beta", "x", "y", "z"))
    g(10.0, 28.0, 8.0 / 3.0, 1.0, 1.0, 1.0, 10, 0.01)
    assert g.source == at_line(LORENZ, lorenz.__code__.co_firstlineno)


def code(source):
    """The text without its comments."""
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#"))


def straight(x, y):
    z = x * y
    w = math.exp(z) + x
    return w * w / y


def test_straight_line_code_has_no_zeros_and_no_tape():
    source = ad.grad(straight).source
    assert "= 0.0" not in source and "1.0 *" not in source and "tape" not in source
    assert code(source).count("math.exp") == 1


def accumulating(x, n):
    s = 0.0
    for i in range(n):
        s += x * i
    return s


def test_a_sum_needs_neither_tape_nor_adjoint():
    g = ad.grad(accumulating, wrt="x")
    g(1.0, 3)
    assert "tape" not in g.source and "s_b" not in g.source


def expensive(x, n):
    s = x
    for _ in range(n):
        s = math.exp(-s) * math.sqrt(1.0 + x) * s
    return s


def test_expensive_calls_are_not_repeated():
    g = ad.grad(expensive, wrt="x")
    g(1.0, 3)
    assert code(g.source).count("math.exp(") == 1
    assert code(g.source).count("math.sqrt(") == 1


def linear(x, n):
    s = x
    for i in range(n):
        s = 0.5 * s + 2.0 * i * x
    return s


def test_linear_loops_record_nothing():
    g = ad.grad(linear, wrt="x")
    g(1.0, 3)
    assert "tape" not in g.source


def semi_implicit(q, p, n):
    for _ in range(n):
        p -= 0.1 * q * q
        q += 0.1 * p * p
    return q * p


def test_values_needed_in_between_are_popped_in_between():
    g = ad.grad(semi_implicit, wrt=("q", "p"))
    found = g(0.5, 0.25, 3)
    ad.check_grads(semi_implicit, (0.5, 0.25, 3))
    assert found and g.source.count("push(") >= 1


@pytest.mark.parametrize("f", [lorenz, straight, accumulating, expensive, linear, semi_implicit])
def test_source_is_python_and_always_the_same(f):
    def text():
        g = ad.grad(f)
        arguments = {"n": 3, "steps": 3}
        g(**{name: arguments.get(name, 1.5) for name in f.__code__.co_varnames[: f.__code__.co_argcount]})
        return g.source

    source = text()
    tree = ast.parse(source)
    assert source == text(), "the same text every time"
    assert ast.get_docstring(tree.body[-1])
    assert all(len(line) <= 120 and line == line.rstrip() for line in source.splitlines())
    assert "\n\n\n\n" not in source


def test_source_before_the_first_call():
    assert "def straight_grad(x, y):" in ad.grad(straight).source

    def f(a, x):
        return a[0] * x

    assert "def f_grad(a, x):" in ad.grad(f).source

    def g(a, x, n, i):
        total = 0.0
        for k in range(n - 1):
            total += a[k + i] * x
        return total

    gradient = ad.grad(g, wrt=("a", "x"))
    assert "for k in range(n - 1):" in gradient.source
    assert gradient(np.ones(5), 2.0, 4, 1)[1] == 3.0

    def h(x, n):
        last = n + 1
        for _ in range(last):
            x = x * x
        return x

    with pytest.raises(ad.ADError, match="call h_grad once"):
        _ = ad.grad(h).source


def test_source_follows_the_latest_kinds():
    def f(x, y):
        return x * y

    g = ad.grad(f)
    g(1.0, 2.0)
    both = g.source
    g(1.0, 2)
    assert g.source != both
    g(1.0, 3.0)
    assert g.source in (both, g.source)


@njit
def inner(x):
    return x * x * SIGMA


def outer(x):
    return inner(x) * SIGMA


def test_called_functions_and_constants():
    g = ad.grad(outer)
    assert g(1.5) == pytest.approx(2 * 1.5 * 100.0)
    assert "SIGMA = 10.0" in g.source
    assert "def inner(x):" in g.source and "def inner_reverse(" in g.source
    scope = {}
    exec(g.source, scope)
    assert scope["outer_grad"](1.5) == ad.value_and_grad(outer)(1.5)


def test_flags_follow_the_users_compilation():
    @njit(fastmath=True, boundscheck=True, error_model="numpy")
    def f(a, x):
        return a[0] / x

    source = ad.grad(f).source
    assert 'nogil=True, error_model="numpy", boundscheck=True, fastmath=True)' in source
    assert "div(" not in source
    plain = ad.grad(njit(f.py_func)).source
    assert 'nogil=True, error_model="numpy")' in plain
    assert "div(a[0], x)" in plain

    @njit(fastmath={"contract", "nsz"})
    def h(x):
        return x * x

    assert "fastmath={'contract', 'nsz'}" in ad.grad(h).source
    assert ad.grad(h)(3.0) == 6.0


def test_constants_of_two_modules_do_not_mix():
    def make(rate):
        def step(x):
            return x * rate

        return step

    first, second = make(2.0), make(3.0)

    def both(x):
        return first(x) * second(x)

    assert ad.grad(both)(1.5) == pytest.approx(2 * 1.5 * 6.0)


def test_a_function_of_another_name():
    def f(x):
        return x * 4.0

    f.__name__ = "not an identifier"
    assert ad.grad(f)(1.0) == 4.0
