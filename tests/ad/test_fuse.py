"""Expressions of whole arrays, compiled into loops: NumPy's results for any shapes, layouts, types and overlaps."""

import numpy as np
import pytest
from arraytypes import broadcastable, kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from numba import njit

from ad.arrays.accumulate import add_fitting, add_to
from ad.arrays.evaluate import UPDATE
from ad.arrays.moves import array_roll, roll_vjp
from ad.fuse import Fusing
from ad.guard import Guarded

OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": True}
guarded = njit(pipeline_class=Guarded, **OPTIONS)
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LAYOUTS = st.sampled_from("CFA")


def laid_out(values, layout):
    """The same array in C order, in Fortran order, or with gaps between its elements and the last axis backward."""
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "C" or not values.ndim:
        return np.ascontiguousarray(values)
    wide = np.full((*values.shape[:-1], 2 * values.shape[-1]), 99.0, values.dtype)
    view = wide[..., ::2][..., ::-1]
    view[...] = values
    return view


def numbers(shape, dtype="f8", seed=0):
    generator = np.random.default_rng([seed, *shape])
    values = generator.integers(-9, 10, shape)
    if np.dtype(dtype).kind == "c":
        return (values + 1j * generator.integers(-9, 10, shape)).astype(dtype)
    return (values / 4 if np.dtype(dtype).kind == "f" else values).astype(dtype)


def broadcast_back(value, shape):
    """What `add_to` adds to an adjoint of that shape."""
    whole = np.broadcast_to(value, np.broadcast_shapes(np.shape(value), shape))
    ahead = whole.ndim - len(shape)
    whole = whole.sum(tuple(range(ahead)))
    return whole.sum(tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


# ---------------------------------------------------------------------------------------------- new arrays


def expression(a, b, x):
    t = a * b - x
    return np.where(t > a, t, -a) + 0.5 * t**2 / (1.0 + b * b)


compiled_expression = guarded(expression)


@SETTINGS
@given(st.data())
@pytest.mark.parametrize("types", ["1A 1C", "2F 2C", "2C 1A", "1C 3C", "3A 2F"])
def test_a_new_array(types, data):
    wanted = kinds(types)
    shapes = data.draw(broadcastable(wanted))
    a, b = (laid_out(numbers(shape, seed=k), wanted[k][1]) for k, shape in enumerate(shapes))
    found = compiled_expression(a, b, 1.5)
    np.testing.assert_array_equal(found, expression(a, b, 1.5), strict=True)


def test_a_long_row_and_what_is_left_of_it():
    for n in range(70):
        a, b = numbers((n,)), numbers((n,), seed=1)
        np.testing.assert_array_equal(compiled_expression(a, b, 1.5), expression(a, b, 1.5))


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (3, 2)), ((0,), (2,))])
def test_shapes_that_do_not_broadcast(shapes):
    with pytest.raises(ValueError, match="do not broadcast"):
        compiled_expression(numbers(shapes[0]), numbers(shapes[1]), 1.5)


def mixed(a, b):
    return a * b - (a + b)


compiled_mixed, plain_mixed = guarded(mixed), njit(**OPTIONS)(mixed)


@pytest.mark.parametrize(
    "dtypes", ["f4 f4", "f4 f8", "c16 f8", "c8 f4", "i8 f8", "i4 i4", "i1 i1", "u1 i8", "? f8", "c8 c16", "i4 f4"]
)
def test_the_types_are_those_of_numba(dtypes):
    first, second = dtypes.split()
    a, b = numbers((3, 4), first), numbers((4,), second, seed=1)
    found, expected = compiled_mixed(a, b), plain_mixed(a, b)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_division_by_zero_is_no_error():
    quotient = guarded(lambda a, b: a / b + 1.0)
    found = quotient(np.array([1.0, 0.0, -1.0]), np.zeros(3))
    np.testing.assert_array_equal(found, [np.inf, np.nan, -np.inf])


def test_arrays_without_dimensions():
    mixed = guarded(lambda a, b: a * b + 1.0)
    np.testing.assert_array_equal(mixed(np.array(2.0), np.arange(3.0)), [1.0, 3.0, 5.0])


# ------------------------------------------------------------------------------------------ adding to adjoints


@guarded
def accumulate(target, a, b):
    share = a * 2.0
    add_to(target, share - b)
    add_to(target, 0.5)


@SETTINGS
@given(st.data())
@pytest.mark.parametrize("types", ["1C 1A 1C", "1A 1C 2C", "2F 2C 1C", "2C 3A 1C", "3C 1C 3C", "1C 2F 2C"])
def test_adding_to_an_adjoint(types, data):
    wanted = kinds(types)
    shapes = data.draw(broadcastable(wanted, min_side=1, max_side=4))
    target, a, b = (laid_out(numbers(shape, seed=k), wanted[k][1]) for k, shape in enumerate(shapes))
    expected = target + broadcast_back(2.0 * a - b, target.shape) + 0.5
    accumulate(target, a, b)
    np.testing.assert_array_equal(target, expected)


@SETTINGS
@given(st.data())
def test_adding_what_shares_memory(data):
    base = numbers((12,))
    parts = st.tuples(st.integers(0, 4), st.sampled_from([1, 2]))
    (i, p), (j, q), (k, r) = (data.draw(parts) for _ in range(3))
    target, a, b = (base[s : s + 4 * t : t] for s, t in ((i, p), (j, q), (k, r)))
    expected = base.copy()
    expected[i : i + 4 * p : p] += 2.0 * a - b + 0.5
    accumulate(target, a, b)
    np.testing.assert_array_equal(base, expected)


@pytest.mark.parametrize("rows", [7, 256, 257, 600])
@pytest.mark.parametrize("target", [(3,), (1, 3), (1, 1), (2, 1, 3), (2, 1, 1)])
def test_short_rows(rows, target):
    """They are gone through along the axis before, in blocks."""
    a, b = numbers((2, rows, 3)), numbers((rows, 1), seed=1)
    np.testing.assert_array_equal(compiled_expression(a, b, 1.5), expression(a, b, 1.5))
    x = numbers(target, seed=2)
    expected = x + broadcast_back(2.0 * a - b, target) + 0.5
    accumulate(x, a, b)
    np.testing.assert_array_equal(x, expected)


def test_adding_an_adjoint_to_a_row_of_itself():
    x = numbers((1, 3))
    expected = x + np.sum(2.0 * x - numbers((4, 3)), axis=0) + 0.5
    accumulate(x, x, numbers((4, 3)))
    np.testing.assert_array_equal(x, expected)


def test_a_complex_contribution_to_a_real_adjoint():
    x = numbers((5,))
    expected = x + (2.0 * numbers((5,), "c16")).real + 0.5
    accumulate(x, numbers((5,), "c16"), np.zeros(5))
    np.testing.assert_array_equal(x, expected)


# --------------------------------------------------------------------------------------- writing to a part


def store(x, a, b):
    x[1:-1] -= 0.5 * (a[1:] - a[:-1])
    x[1:] += b
    x[:-1] = x[1:] * 2.0 + b
    x[2:] = x[:-2] - x[1:-1]
    x *= 2.0


compiled_store = guarded(store)


@SETTINGS
@given(st.data())
@pytest.mark.parametrize(
    "types",
    [
        "1C 1A 1C",
        "2F 2C 2C",
        "3A 3F 2C",
        pytest.param("1A 1C 1C", marks=pytest.mark.thorough),
        pytest.param("2C 2A 1C", marks=pytest.mark.thorough),
        pytest.param("3C 3C 3C", marks=pytest.mark.thorough),
    ],
)
def test_writing_to_a_part(types, data):
    (ndim, first), (_, second), (least, _) = kinds(types)
    shape = data.draw(array_shapes(min_dims=ndim, max_dims=ndim, min_side=3, max_side=6))
    n = shape[0]
    x = laid_out(numbers(shape), first)
    a = laid_out(numbers((n - 1, *shape[1:]), seed=1), second)
    b = numbers(shape[1:], seed=2) if least < ndim else numbers((n - 1, *shape[1:]), seed=3)
    expected = x.copy()
    store(expected, a, b)
    compiled_store(x, a, b)
    np.testing.assert_array_equal(x, expected)


def test_writing_what_does_not_fit():
    with pytest.raises(ValueError):
        compiled_store(numbers((6,)), numbers((5,)), numbers((3,)))


# ------------------------------------------------------------------------------------- what may move, and what not


def moved(a, b):
    t = a * 2.0
    u = b + 1.0
    a[0] = 7.0  # t is of before
    v = t - u
    b = b * b  # another array under the name
    w = v + b
    return w * w + t


def test_an_expression_stays_before_what_changes_it():
    a, b = numbers((6,)), numbers((6,), seed=1)
    np.testing.assert_array_equal(guarded(moved)(a.copy(), b), moved(a.copy(), b))


def test_only_what_is_needed_once_is_an_operand():
    @guarded
    def chain(a, b):
        once = a * b
        twice = np.exp(once - a)
        return twice * twice + b, twice

    a, b = numbers((6,)), numbers((6,), seed=1)
    first, second = chain(a, b)
    np.testing.assert_allclose(second, np.exp(a * b - a), rtol=1e-15)
    np.testing.assert_array_equal(first, second * second + b)


def test_expressions_are_gathered(monkeypatch):
    """No array is made of the three statements."""
    counts = []
    run = Fusing.run_pass

    def counted(self, state):
        result = run(self, state)
        if state.func_id.func_name == "gathered":
            body = [
                inst.value for block in state.func_ir.blocks.values() for inst in block.body if hasattr(inst, "value")
            ]
            counts.append([getattr(value, "op", None) for value in body])
        return result

    monkeypatch.setattr(Fusing, "run_pass", counted)

    @guarded
    def gathered(x, a, b):
        t = a * b
        left = array_roll(t + 1.0, 1)
        add_to(x, left - t * 2.0)
        return x

    gathered(numbers((5,)), numbers((5,)), numbers((5,)))
    assert counts[0].count(UPDATE) == 1
    assert counts[0].count("arrayexpr") == 0


# ------------------------------------------------------------------------------------------------- np.roll


def rolled(u, v, k):
    left, right = array_roll(u, 1), array_roll(u, -k)
    return u * (u - left) + 0.5 * (right - 2.0 * v + left)


compiled_rolled = guarded(rolled)


@SETTINGS
@given(st.integers(0, 9), st.integers(-20, 20), LAYOUTS)
def test_rolls_are_read_in_place(n, k, layout):
    u, v = laid_out(numbers((n,)), layout), numbers((n,), seed=1)
    left, right = np.roll(u, 1), np.roll(u, -k)
    np.testing.assert_array_equal(compiled_rolled(u, v, k), u * (u - left) + 0.5 * (right - 2.0 * v + left))


def test_a_roll_of_one_element_is_repeated():
    u, v = np.array([2.0]), numbers((5,))
    np.testing.assert_array_equal(compiled_rolled(u, v, 3), 0.5 * (4.0 - 2.0 * v))


@guarded
def add_rolled(target, u, k):
    add_to(target, roll_vjp(u, k, None))


@SETTINGS
@given(st.integers(1, 8), st.integers(-9, 9), st.booleans())
def test_adding_a_roll(n, k, own):
    target = numbers((n,))
    u = target if own else numbers((n,), seed=1)
    expected = target + np.roll(u, -k)
    add_rolled(target, u, k)
    np.testing.assert_array_equal(target, expected)


def test_adding_a_roll_to_two_dimensions():
    target, u = numbers((3, 4)), numbers((4,))
    expected = target + np.roll(u, 1)
    add_rolled(target, u, -1)
    np.testing.assert_array_equal(target, expected)


def ring(g, u, c, k):
    """The adjoint of a step on a ring: what is added is rolled, and computed."""
    left = array_roll(u, k)
    share = g * (c * u) + g
    new = g - g * (u - left) * c
    add_fitting(new, roll_vjp(g * 0.5, -k, None))
    add_fitting(new, roll_vjp(share, k, None))
    return new


compiled_ring = guarded(ring)


@SETTINGS
@given(st.integers(0, 9), st.integers(-20, 20), LAYOUTS)
def test_what_is_rolled_may_be_an_expression(n, k, layout):
    g, u = laid_out(numbers((n,)), layout), numbers((n,), seed=1)
    expected = g - g * (u - np.roll(u, k)) * 0.25 + np.roll(g * 0.5, k) + np.roll(g * (0.25 * u) + g, -k)
    np.testing.assert_array_equal(compiled_ring(g, u, 0.25, k), expected)


def test_what_is_rolled_may_be_repeated():
    rolled = guarded(lambda a, b, c: array_roll(a * b, 1) + c)
    a, b, c = numbers((1,)), numbers((5,), seed=1), numbers((5,), seed=2)
    np.testing.assert_array_equal(rolled(a, b, c), np.roll(a * b, 1) + c)
    np.testing.assert_array_equal(rolled(a, a, c), a * a + c)


@pytest.mark.parametrize("first, second", [("f8", "f4"), ("f4", "f8"), ("f8", "c16"), ("c16", "f8"), ("c16", "c16")])
def test_what_fits_is_part_of_the_array(first, second):
    """As if it was added in place: rounded to its dtype, and the real part of it where that is real."""

    @guarded
    def made(a, b):
        x = a * a
        add_fitting(x, b * 0.3)
        add_fitting(x, b)
        return x

    a, b = numbers((4,), first), numbers((4,), second, seed=1)
    expected = a * a
    for share in (b * 0.3, b):
        share = share if expected.dtype.kind == "c" else share.real
        expected = (expected + share).astype(expected.dtype)
    found = made(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if "f4" in (first, second) else 1e-15)
    assert found.dtype == expected.dtype


def test_what_was_read_stays_what_it_was():
    @guarded
    def read_between(a, b, n):
        x = a * b
        for _ in range(n):
            y = x + 1.0
            z = x * 2.0
            w = z * z
            add_fitting(z, y)
            add_fitting(w, z)
            add_fitting(z, z)
            x = z + w
        return x, y, z, w

    def plain(a, b, n):
        x = a * b
        for _ in range(n):
            y = x + 1.0
            z = x * 2.0
            w = z * z
            z = z + y
            w = w + z
            z = z + z
            x = z + w
        return x, y, z, w

    a, b = numbers((4,)), numbers((4,), seed=1)
    for found, expected in zip(read_between(a, b, 3), plain(a, b, 3), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_one_loop_for_the_adjoint_of_a_ring(monkeypatch):
    counts = []
    run = Fusing.run_pass

    def counted(self, state):
        result = run(self, state)
        if state.func_id.func_name == "ring":
            values = [getattr(i, "value", None) for b in state.func_ir.blocks.values() for i in b.body]
            counts.append([value.op for value in values if hasattr(value, "op")])
        return result

    monkeypatch.setattr(Fusing, "run_pass", counted)
    guarded(ring)(numbers((5,)), numbers((5,), seed=1), 0.25, 1)
    assert counts[0].count("arrayexpr") == 1 and UPDATE not in counts[0]
