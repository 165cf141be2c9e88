"""Sums of expressions that are not made, arrays that need not be copied, and what is computed again instead."""

import math

import numpy as np
import pytest
from arraytypes import broadcastable, kinds, numbers
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st
from numba import njit

from ad.arrays.accumulate import add_to, total
from ad.arrays.evaluate import SUM, UPDATE
from ad.arrays.moves import array_reshape, array_roll
from ad.arrays.reductions import array_sum
from ad.fuse import Fusing
from ad.guard import Guarded

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy", boundscheck=True)
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def laid_out(values, layout):
    """The same array in C order, in Fortran order, or backward along the first axis."""
    if layout == "A" and values.ndim:
        return np.ascontiguousarray(values[::-1])[::-1]
    return np.asfortranarray(values) if layout == "F" else np.ascontiguousarray(values)


@pytest.fixture
def operations(monkeypatch):
    """The operations of whole arrays that a function has after fusing, by its name."""
    found = {}
    run = Fusing.run_pass

    def listed(self, state):
        result = run(self, state)
        insts = [inst for block in state.func_ir.blocks.values() for inst in block.body]
        values = [getattr(inst, "value", None) for inst in insts]
        calls = [state.typemap[v.func.name] for v in values if getattr(v, "op", None) == "call"]
        names = [getattr(getattr(kind, "typing_key", None), "__name__", None) for kind in calls]
        found[state.func_id.func_name] = [getattr(v, "op", None) for v in values] + names
        return result

    monkeypatch.setattr(Fusing, "run_pass", listed)
    return found


# -------------------------------------------------------------------------------------------------- sums

WAYS = {
    1: ["np.sum({})", "total({})", "array_sum({}, axis=0)", "array_sum({}, axis=0, keepdims=True)"],
    2: ["np.sum({})", "array_sum({}, axis=0)", "array_sum({}, axis=-1)", "array_sum({}, axis=1, keepdims=True)"],
    3: [
        "np.sum({})",
        "array_sum({}, axis=0)",
        "array_sum({}, axis=1)",
        "array_sum({}, axis=2)",
        "array_sum({}, axis=(0, 2))",
        "array_sum({}, axis=(-2, -1), keepdims=True)",
        "array_sum({}, axis=(0, 1, 2))",
    ],
}
NAMES = {"np": np, "total": total, "array_sum": array_sum}


def sums(ndim):
    return eval("lambda a, b: (" + ", ".join(w.format("a * b - 0.5") for w in WAYS[ndim]) + ",)", dict(NAMES))


def plain_sums(ndim, a, b):
    ways = (w.replace("array_sum", "np.sum").replace("total", "np.sum") for w in WAYS[ndim])
    return [eval(w.format("(a * b - 0.5)"), {"np": np, "a": a, "b": b}) for w in ways]


compiled_sums = {ndim: guarded(sums(ndim)) for ndim in WAYS}


@SETTINGS
@drawn(st.data())
@pytest.mark.parametrize(
    "types",
    [
        "1A 1C",
        "2F 2C",
        "3F 3A",
        pytest.param("1C 1C", marks=pytest.mark.thorough),
        pytest.param("2C 1A", marks=pytest.mark.thorough),
        pytest.param("3C 2C", marks=pytest.mark.thorough),
    ],
)
def test_sums_of_expressions(types, data):
    wanted = kinds(types)
    ndim = wanted[0][0]
    shapes = data.draw(broadcastable(wanted, max_side=9))
    a, b = (laid_out(numbers(shape, seed=k), wanted[k][1]) for k, shape in enumerate(shapes))
    for found, expected in zip(compiled_sums[ndim](a, b), plain_sums(ndim, a, b), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert np.shape(found) == np.shape(expected)


@pytest.mark.parametrize("last", range(1, 10))
@pytest.mark.parametrize(
    "shapes",
    [
        "5 1 n, 1 7 n",
        "5 7 1, 5 7 n",
        "1 1 n, 5 7 1",
        *(pytest.param(s, marks=pytest.mark.thorough) for s in ("5 7 n, 7 1", "5 300 n, n")),
    ],
)
def test_sums_over_short_rows_and_along_them(last, shapes):
    first, second = (tuple(last if n == "n" else int(n) for n in s.split()) for s in shapes.split(","))
    a, b = numbers(first), numbers(second, seed=1)
    for found, expected in zip(compiled_sums[3](a, b), plain_sums(3, a, b), strict=True):
        np.testing.assert_array_equal(found, expected)


@guarded
def whole_and_columns(a, b):
    return np.sum(a * b), array_sum(a * b, axis=0)


@pytest.mark.parametrize("layouts", ["FF", "FC", "FA"])
def test_sums_over_columns_in_memory(layouts):
    a, b = (laid_out(numbers((5, 12), seed=k), layout) for k, layout in enumerate(layouts))
    whole, columns = whole_and_columns(a, b)
    assert whole == np.sum(a * b)
    np.testing.assert_array_equal(columns, np.sum(a * b, axis=0))


@pytest.mark.parametrize(
    "dtype",
    [
        "f4",
        "c16",
        "?",
        pytest.param("c8", marks=pytest.mark.thorough),
        pytest.param("i8", marks=pytest.mark.thorough),
        pytest.param("i4", marks=pytest.mark.thorough),
    ],
)
def test_types_of_sums(dtype):
    @guarded
    def f(a):
        return np.sum(a * a), array_sum(a * a, axis=0)

    a = numbers((3, 5), dtype)
    whole, columns = f(a)
    np.testing.assert_array_equal(whole, np.sum(a * a))
    np.testing.assert_array_equal(columns, np.sum(a * a, axis=0))
    assert columns.dtype == np.sum(a * a, axis=0).dtype


def test_a_sum_makes_no_array(operations):
    @guarded
    def fused(a, b):
        t = a - b
        return array_sum(t * t, axis=1) + np.sum(np.exp(a))

    a, b = numbers((4, 3)), numbers((4, 1), seed=1)
    np.testing.assert_allclose(fused(a, b), np.sum((a - b) ** 2, axis=1) + np.sum(np.exp(a)), rtol=1e-14)
    assert operations["fused"].count(SUM) == 2
    assert operations["fused"].count("arrayexpr") == 1  # the sum of both


def test_what_is_needed_besides_is_made(operations):
    @guarded
    def made(a):
        t = np.exp(a)
        return array_sum(t, axis=0), t

    a = numbers((4, 3))
    s, t = made(a)
    np.testing.assert_allclose(s, np.sum(np.exp(a), axis=0), rtol=1e-14)
    np.testing.assert_allclose(t, np.exp(a), rtol=1e-15)
    assert operations["made"].count(SUM) == 0


def test_a_sum_is_of_what_was_there_before():
    def early(a, b):
        t = a * b
        a[0] = 100.0
        b[:] = a - b
        return np.sum(t)

    a, b = numbers((6,)), numbers((6,), seed=1)
    assert guarded(early)(a.copy(), b.copy()) == early(a.copy(), b.copy())


def test_a_sum_of_what_is_rolled():
    @guarded
    def rolled(a, k):
        return np.sum(a * array_roll(a, k)), array_sum(array_roll(a, k) * a, axis=0)

    for n in range(7):
        for k in (-3, 0, 1, 12):
            a = numbers((n,))
            assert rolled(a, k) == (np.sum(a * np.roll(a, k)),) * 2


def test_no_number_is_lost():
    for a, expected in (([1.0, np.nan], np.nan), ([np.inf, -np.inf], np.nan), ([np.inf, 1.0], np.inf), ([-0.0], -0.5)):
        for found in compiled_sums[1](np.array(a), np.ones(1)):
            np.testing.assert_equal(np.ravel(found)[0], expected)


@pytest.mark.parametrize("way", range(4))
def test_long_sums_are_sums_of_sums(way):
    a = np.random.default_rng(way).uniform(0.0, 1.0, 1_000_000)
    exact = math.fsum((a * a - 0.5).tolist())
    found = np.ravel(compiled_sums[1](a, a)[way])[0]
    assert abs(found - exact) <= 4 * np.spacing(abs(exact))
    one_by_one = np.cumsum(a * a - 0.5)[-1]
    assert abs(found - exact) <= abs(one_by_one - exact)


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ValueError, match="do not broadcast"):
        compiled_sums[2](numbers((2, 3)), numbers((2,), seed=1))


# -------------------------------------------------------------------------------- arrays whose names are all known


def views(a, b, out):
    t = a + b
    v = array_reshape(t, (t.size,))
    e = v * 2.0
    out[...] = 3.0  # is no part of t
    first = e + out
    u = array_reshape(first, (first.size,))
    f = u + 1.0
    u[0] = 50.0  # f is of before
    return first, f


def test_views_of_arrays_made_here():
    a, b, out = numbers((6,)), numbers((6,), seed=1), numbers((6,), seed=2)
    for found, expected in zip(guarded(views)(a, b, out.copy()), views(a, b, out.copy()), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_expression_of_a_view_may_move(operations):
    @guarded
    def moving(a, x, y):
        t = a * 2.0
        e = array_reshape(t, (2, 3)) + 1.0
        add_to(x, a)
        add_to(y, e)

    a, x, y = numbers((6,)), numbers((6,), seed=1), numbers((2, 3), seed=2)
    expected = y + (2.0 * a).reshape(2, 3) + 1.0
    moving(a, x, y)
    np.testing.assert_array_equal(y, expected)
    assert operations["moving"].count("arrayexpr") == 1  # t
    assert operations["moving"].count(UPDATE) == 2


def copied(a):
    t = a * 2.0
    c = np.copy(array_reshape(t, (t.size,)))
    c[0] = 7.0
    return c


def needed_later(a):
    t = a * 2.0
    c = np.copy(t)
    c[0] = 7.0
    return c + t


def needed_by_a_view(a):
    t = a * 2.0
    v = array_reshape(t, (t.size,))
    c = np.copy(t)
    c[0] = 7.0
    return c + v


def needed_by_what_waits(a):
    t = a * 2.0
    e = t + 1.0
    c = np.copy(t)
    c[0] = 7.0
    return c + e


def needed_by_the_next_trip(a):
    t = a * 2.0
    for _ in range(3):
        c = np.copy(t)
        c[0] += 7.0
        a = a + c
    return a


def given(a):
    c = np.copy(a)
    c[0] = 7.0
    return c


def kept_by_another_name(a):
    t = a * 2.0
    u = t
    c = np.copy(t)
    c[0] = 7.0
    return c + u


CASES = [copied, needed_later, needed_by_a_view, needed_by_what_waits, needed_by_the_next_trip, given]
CASES.append(kept_by_another_name)


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_copies_of_what_is_no_longer_needed(function, operations):
    a = numbers((6,))
    expected = function(a.copy())
    np.testing.assert_array_equal(guarded(function)(a), expected)
    np.testing.assert_array_equal(a, numbers((6,)))
    assert operations[function.__name__].count("copy") == (function not in (copied, needed_by_what_waits))


# ------------------------------------------------------------------------------------ what is computed again


def twice(a, b, x):
    d = a - b
    s = np.sum(d * d)
    add_to(x, d * 2.0)
    return s


def changed_between(a, b, x):
    d = a - b
    s = np.sum(d * d)
    a[0] = 9.0
    add_to(x, d * 2.0)
    return s


def given_away(a, b, x):
    d = a - b
    s = np.sum(d * d)
    return s, d * 2.0, d


def slow(a, b, x):
    d = np.exp(a)
    s = np.sum(d * b)
    add_to(x, d * 2.0)
    return s


@pytest.mark.parametrize(
    ("function", "made"),
    [(twice, 0), (changed_between, 1), (given_away, 2), (slow, 1)],
    ids=["twice", "changed between", "given away", "slow"],
)
def test_cheap_expressions_are_computed_again(function, made, operations):
    def plain(x):
        a, b = numbers((5, 1)), numbers((1, 3), seed=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(function.__globals__, "add_to", lambda x, value: np.add(x, value, out=x))
            return function(a, b, x)

    x, y = np.zeros((5, 3)), np.zeros((5, 3))
    expected = plain(x)
    found = guarded(function)(numbers((5, 1)), numbers((1, 3), seed=1), y)
    found, expected = (r if isinstance(r, tuple) else (r,) for r in (found, expected))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    np.testing.assert_allclose(y, x, rtol=1e-14)
    assert operations[function.__name__].count("arrayexpr") == made
