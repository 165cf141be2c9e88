"""Reverse loops in the form that vectorises: which loops take it, that numbers stay, and that the compiler does it."""

import linecache
import math
import platform
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpreted_gradient as interpreted
from numba import njit
from reference import dual_gradient as on_dual_numbers
from reference.compare import assert_near

import ad
from ad.elements import inside
from ad.guard import Guarded

RNG = np.random.default_rng(20)


def numbers(*shape):
    return RNG.uniform(0.5, 1.5, shape)


# --------------------------------------------------------------------------------------------- loops that do


def stencil(u, v, c):
    for i in range(1, len(u) - 1):
        v[i] = u[i] - c * u[i] * (u[i] - u[i - 1]) + c * (u[i + 1] - 2.0 * u[i] + u[i - 1])
    return np.sum(v * v)


def far_neighbours(u, v, c):
    for i in range(3, len(u) - 2):
        v[i] = u[i - 3] * u[i - 3] * u[i + 2] + c * u[i - 1] / u[i]
    return np.sum(v * v)


def new_contents_are_read(u, v, c):
    """v is read after it was written to, w before: they come back after the loop, and before it."""
    w = v * 0.5
    for _ in range(2):
        for i in range(len(u)):
            w[i] = c * w[i] * w[i] + u[i]
            v[i] -= c * u[i]
            u[i] = u[i] + v[i] * v[i]
    return np.sum(v * w) + np.sum(u)


def reductions(u, v, c):
    total = 0.0
    largest = v[0]
    for i in range(len(u)):
        total += c * u[i] * v[i]
        v[i] = u[i] * largest
    for i in range(len(v)):
        total += v[i] * u[i]
    return total * largest


def into_one_element(u, v, c):
    for i in range(len(u)):
        v[2] += c * u[i] * u[i]
    for i in range(len(u)):
        u[i] *= v[2]
    return np.sum(u) + v[2]


def rows(u, v, c):
    n = len(u)
    w, x = u.reshape(1, n) * v.reshape(n, 1), u.reshape(n, 1) * v.reshape(1, n)
    for _ in range(2):
        for i in range(1, n):
            for j in range(n - 1):
                w[i, j] -= c * (x[i, j + 1] - x[i - 1, j]) * w[i, j] * u[j]
    return np.sum(w * x)


def columns(u, v, c):
    """The loop goes along the first axis, and the rows beside one another are other elements."""
    n = len(u)
    w, x = np.zeros((n, n)), u.reshape(1, n) * v.reshape(n, 1)
    for j in range(1, n):
        for i in range(n):
            w[i, j] = x[i, j] * x[i, j - 1] + c * u[i]
    return np.sum(w * x)


DO = [
    stencil,
    far_neighbours,
    new_contents_are_read,
    reductions,
    into_one_element,
    rows,
    columns,
]

# ------------------------------------------------------------------------------------------- loops that must not


def from_the_trip_before(u, v, c):
    for i in range(1, len(u)):
        u[i] = c * u[i - 1] * u[i]
    return np.sum(u * v)


def carried_number(u, v, c):
    x = c
    for i in range(len(u)):
        x = math.sin(x + u[i])
        v[i] = x * u[i]
    return np.sum(v * v)


def from_the_end(u, v, c):
    """u[i - 1] of the first trip is the last element."""
    for i in range(len(u)):
        v[i] = c * u[i] * u[i - 1]
    return np.sum(v * v)


def unknown_start(u, v, c):
    start = int(10.0 * c) - 1  # 0
    for i in range(start, len(u)):
        v[i] = u[i] * u[i - 1]
    return np.sum(v * v)


def through_an_index(u, v, c):
    order = np.argsort(u)
    for i in range(len(u)):
        v[order[i]] = c * u[i] * u[i]
    return np.sum(v * u)


def two_names(u, v, c):
    w = u[1:]
    for i in range(len(u) - 1):
        u[i] = c * w[i] * u[i]
    return np.sum(u * v)


def twice(u, v, c):
    for i in range(len(u)):
        v[i] = u[i] * c
        v[i] = v[i] * v[i]
        v[i] = v[i] * u[i]
    return np.sum(v)


def carried_index(u, v, c):
    k = 0
    for i in range(len(u)):
        v[k] = c * u[i] * u[i]
        k = (k + 2) % len(u)
    return np.sum(v * u)


def stepped(u, v, c):
    for i in range(0, len(u), 2):
        v[i] = c * u[i] * u[i]
    return np.sum(v * v)


def conditional(u, v, c):
    for i in range(len(u)):
        if u[i] > 1.0:
            v[i] = c * u[i] * u[i]
    return np.sum(v * v)


def left(u, v, c):
    for i in range(len(u)):
        v[i] = c * u[i] * u[i]
        if v[i] > 0.2:
            break
    return np.sum(v * v)


def at_a_distance_that_varies(u, v, c):
    n = len(u)
    for k in range(1, n):
        for i in range(k, n):
            v[i] = v[i] + c * u[i] * u[i - k]
    return np.sum(v * v)


DO_NOT = [
    at_a_distance_that_varies,
    from_the_trip_before,
    carried_number,
    from_the_end,
    unknown_start,
    through_an_index,
    two_names,
    twice,
    carried_index,
    stepped,
    conditional,
    left,
]


def in_place(source):
    """Whether a generated text reaches elements by what `inside` gives, in the sweep back."""
    return "inside(" in source


@pytest.mark.parametrize("n", [3, 4, 5, 9])
@pytest.mark.parametrize("f", [*DO, *DO_NOT], ids=lambda f: f.__name__)
def test_against_dual_numbers(f, n, interpreted_gradient, dual_gradient):
    args = numbers(n), numbers(n), 0.1
    value, expected = dual_gradient(f, args, (0, 1, 2))
    found_value, found, source = interpreted_gradient(f, args, (0, 1, 2))
    assert math.isclose(found_value, value, rel_tol=1e-13)
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)
    assert in_place(source) is (f in DO)


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("f", [stencil, far_neighbours, new_contents_are_read])
def test_hardly_any_trips(f, n, interpreted_gradient, dual_gradient):
    args = numbers(n), numbers(n), 0.1
    value, expected = dual_gradient(f, args, (0, 1, 2))
    found_value, found, _ = interpreted_gradient(f, args, (0, 1, 2))
    assert math.isclose(found_value, value, rel_tol=1e-13)
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 11, 12, 13, 1000])
def test_any_length(n):
    """Compiled, for loops that are all ends and around the lengths of vectors, against the adjoint in whole arrays."""
    u, v, c = numbers(n), numbers(n), 0.1
    found_u, found_v, found_c = ad.grad(stencil, wrt=("u", "v", "c"))(u, v, c)
    w = v.copy()
    w[1:-1] = u[1:-1] - c * u[1:-1] * (u[1:-1] - u[:-2]) + c * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    g = 2.0 * w
    expected = np.zeros(n)
    expected[1:-1] += g[1:-1] * (1.0 - c * (2.0 * u[1:-1] - u[:-2]) - 2.0 * c)
    expected[:-2] += g[1:-1] * (c * u[1:-1] + c)
    expected[2:] += g[1:-1] * c
    np.testing.assert_allclose(found_u, expected, rtol=1e-12, atol=1e-12)
    expected = np.where((np.arange(n) > 0) & (np.arange(n) < n - 1), 0.0, g)
    np.testing.assert_allclose(found_v, expected, rtol=1e-12)
    derivative = g[1:-1] @ (-u[1:-1] * (u[1:-1] - u[:-2]) + u[2:] - 2.0 * u[1:-1] + u[:-2])
    assert math.isclose(found_c, derivative, rel_tol=1e-10)


LAYOUTS = {
    "C": lambda a: a,
    "every second": lambda a: np.repeat(a, 2)[::2],
    "backward": lambda a: a[::-1].copy()[::-1],
    "float32": lambda a: a.astype(np.float32),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    u, v = numbers(40), numbers(40)
    expected = ad.grad(stencil, wrt=("u", "v"))(u, v, 0.1)
    mine = LAYOUTS[layout](u), LAYOUTS[layout](v)
    found = ad.grad(stencil, wrt=("u", "v"))(*mine, 0.1)
    for a, b, like in zip(found, expected, mine, strict=True):
        assert a.dtype == like.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5 if layout == "float32" else 1e-13, atol=1e-6)


def test_complex_numbers(interpreted_gradient, dual_gradient):
    def f(z, x):
        w = z.copy()
        for i in range(1, len(z)):
            w[i] = x * z[i] * z[i - 1] + w[i]
        return np.sum(w.real * w.imag)

    args = numbers(5) + 1j * numbers(5), 0.7
    _, expected = dual_gradient(f, args, (0, 1))
    _, found, source = interpreted_gradient(f, args, (0, 1))
    assert in_place(source)
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)


def test_one_array_in_two_places_of_a_call():
    """The callee's adjoints of its arguments are the same memory there: nothing may take them to be apart."""

    @njit
    def product(a, b, c):
        total = 0.0
        for i in range(1, len(a)):
            total += c * a[i] * b[i - 1] * b[i]
        return total

    def f(u, c):
        total = 0.0
        for _ in range(2):  # so that it is called, and not put in
            total += math.sin(product(u, u, c))
        return total

    u, c = numbers(30), 0.1
    ad.check_grads(f, (u, c), wrt=("u", "c"))
    found = ad.grad(f, wrt="u")(u, c)
    inner = c * np.sum(u[1:] * u[:-1] * u[1:])
    expected = np.zeros(30)
    expected[1:] += 2.0 * u[1:] * u[:-1]
    expected[:-1] += u[1:] ** 2
    np.testing.assert_allclose(found, 2.0 * math.cos(inner) * c * expected, rtol=1e-12)


def test_arrays_that_change_places():
    """From trip to trip of the loop around, each name stands for the memory that the other stood for."""

    def f(u, c, steps):
        v = np.zeros(len(u))
        for _ in range(steps):
            for i in range(1, len(u)):
                v[i] = u[i] + c * u[i] * u[i - 1]
            v[0] = 0.5 * u[0]
            u, v = v, u
        return np.sum(u * u)

    u = numbers(100)
    ad.check_grads(f, (u, 0.1, 7), wrt=("u", "c"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=4), st.integers(0, 3), st.integers(9, 20))
def test_any_offsets(offsets, more, n):
    first, last = max(0, -min(offsets)), max(0, max(offsets))
    places = [f"u[i + {o}]" if o >= 0 else f"u[i - {-o}]" for o in offsets]
    terms = " + ".join(f"{k}.0 * {place} * u[i]" for k, place in enumerate(places, 1))
    text = (
        "def f(u, v, c):\n"
        f"    for i in range({first}, len(u) - {last + more}):\n"
        f"        v[i] = c * v[i] + {terms}\n"
        "    return (v * v).sum()\n"
    )
    f = defined(text)
    args = numbers(n), numbers(n), 0.1
    _, expected = on_dual_numbers(f, args, (0, 1, 2))
    _, found, source = interpreted(f, args, (0, 1, 2))
    assert in_place(source)
    assert_near(list(found), expected, rtol=1e-11, atol=1e-12)


def defined(text):
    """A function with a source file of its own."""
    filename = f"<offsets {abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"np": np}
    exec(compile(text, filename, "exec"), scope)
    return scope["f"]


def test_an_adjoint_is_factored_out_where_that_is_less_work(interpreted_gradient):
    def f(u, c, d):
        v = np.zeros(len(u))
        for i in range(1, len(u)):
            v[i] = c * u[i] * (u[i] - u[i - 1]) + d * u[i] + d * u[i - 1] * u[i - 1]
        return np.sum(v * v)

    _, _, source = interpreted_gradient(f, (numbers(9), 0.3, 0.7), (0,))
    gathering = source[source.index("for i in range(1, last)") :]
    assert re.search(r"\+= (g(_\d)?) \* \(.*\) \+ (g(_\d)?) \* \(", gathering)

    def nothing_in_common(u, c, d):
        v = np.zeros(len(u))
        for i in range(1, len(u)):
            v[i] = c * u[i] + d * u[i - 1]
        return np.sum(v * v)

    _, _, source = interpreted_gradient(nothing_in_common, (numbers(9), 0.3, 0.7), (0,))
    assert re.search(r"\+= g(_\d)? \* d \+ g(_\d)? \* c\n", source)


# ---------------------------------------------------------------------------------------------- records and rows


def test_a_part_is_recorded_at_once():
    g = ad.grad(stencil, wrt="u")
    g(numbers(9), numbers(9), 0.1)
    assert "push_array" not in g.source  # nothing reads what v held before

    def steps(u, v, c):
        for _ in range(3):
            for i in range(1, len(u) - 1):
                v[i] = u[i] * u[i - 1] * c
            u, v = v, u
        return np.sum(u)

    g = ad.grad(steps, wrt="u")
    g(numbers(9), numbers(9), 0.1)
    assert "push_array(_tape, v_1[1:len(u_1) - 1])" in g.source and "push(_tape" not in g.source


def test_rows_are_recorded_at_once():
    g = ad.grad(rows, wrt="u")
    g(numbers(5), numbers(5), 0.1)
    pushes = re.findall(r"push\w*\(.*\)", g.source)
    assert pushes == ["push_array(_tape, w[1:n, 0:n - 1])"]


def test_rows_that_others_read_are_not(interpreted_gradient, dual_gradient):
    def f(u, c):
        n = len(u)
        total = 0.0
        for _ in range(2):
            for i in range(1, n):
                total += u[i - 1, 0] * u[i - 1, 0] * c
                for j in range(n):
                    u[i, j] *= c * u[i, j]
        return np.sum(u) * total

    args = numbers(4, 4), 0.3
    _, expected = dual_gradient(f, args, (0, 1))
    _, found, source = interpreted_gradient(f, args, (0, 1))
    assert "push_array(_tape, u_1[i, 0:n])" in source
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)


# -------------------------------------------------------------------------------------------------------- inside


@njit(pipeline_class=Guarded)
def summed(a, b, start, stop):
    a_in, b_in = inside(1, (a, 0, start, stop), (b, 0, start - 1, stop - 1))
    keep = np.zeros(1)
    for i in range(start, stop):
        keep[0] += a_in[i] * b_in[i - 1]
    return keep[0]


@pytest.mark.parametrize("function", [summed, summed.py_func], ids=["compiled", "plain"])
def test_inside(function):
    a, b = np.arange(1.0, 7.0), np.arange(2.0, 8.0)
    assert function(a, b, 1, 6) == a[1:] @ b[:-1]
    assert function(a, b, 4, 2) == 0.0
    assert function(a, b, 9, 9) == 0.0
    for start, stop in ((0, 3), (1, 7), (-3, -1), (6, 8)):
        with pytest.raises(IndexError, match="out of bounds"):
            function(a, b, start, stop)


def test_an_index_out_of_bounds_is_found_before_anything_is_written():
    def f(u, v):
        for i in range(len(u)):
            v[i] = u[i] * u[i + 1]
        return np.sum(v)

    for function in (f, njit(f)):
        with pytest.raises(IndexError):
            ad.grad(function, wrt="u")(numbers(5), numbers(5))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="looks for vectors of x86")
@pytest.mark.parametrize("f", [stencil, rows], ids=lambda f: f.__name__)
def test_the_compiler_vectorises(f):
    g = ad.grad(njit(f), wrt="u")
    g(numbers(9), numbers(9), 0.1)
    kernel = g._likely_special().kernel.function
    [text] = kernel.inspect_llvm().values()
    body = text[text.index("define") :]
    assert len(re.findall(r"fmul[^\n]*<\d+ x double>", body)) >= 3
