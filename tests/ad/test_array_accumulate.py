"""Adding up adjoints: broadcasting backward, mixed precision, memory that is shared."""

import numpy as np
import pytest
from array_rules import jitted, layouts, numbers
from hypothesis import given
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from ad.arrays.accumulate import add_to, take_and_clear, total, zero

compiled_add_to = jitted("lambda target, value: add_to(target, value)", add_to=add_to)


def expected(target, value):
    """The definition: both broadcast, then summed over what `target` has not."""
    value = np.asarray(value)
    if target.dtype.kind != "c":
        value = value.real
    shape = np.broadcast_shapes(target.shape, value.shape)
    full = np.broadcast_to(value, shape)
    full = full.sum(axis=tuple(range(len(shape) - target.ndim)))
    long = tuple(i for i, n in enumerate(target.shape) if n == 1)
    return (target + full.sum(axis=long, keepdims=True)).astype(target.dtype)


def check(add, target, value, rtol=1e-13):
    wanted = expected(target, value)
    add(target, value)
    np.testing.assert_allclose(target, wanted, rtol=rtol, atol=rtol)


SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((4,), (3, 4)),
    ((3, 1), (3, 4)),
    ((1, 4), (3, 4)),
    ((1, 1), (3, 4)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((3, 1), (2, 3, 4)),
    ((1,), (0,)),
    ((4,), (0, 4)),
    ((0, 4), (4,)),
    ((0,), (0,)),
    ((1, 3, 1, 2), (2, 3, 2, 2)),
    ((3,), ()),
    ((), (3,)),
    ((), ()),
]


@pytest.mark.parametrize(("target", "value"), SHAPES, ids=str)
def test_broadcasting_backward(target, value):
    check(compiled_add_to, numbers(target), numbers(value, 1))


@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
def test_any_shapes(shapes):
    check(add_to, numbers(shapes.input_shapes[0]), numbers(shapes.input_shapes[1], 1))


@pytest.mark.parametrize(("own", "other"), [(0, 0), (1, 1), (0, 2), (2, 1), (2, 2)])
def test_layouts(own, other):
    target, value = layouts(numbers((3, 4)))[own], layouts(numbers((3, 4), 1))[other]
    check(compiled_add_to, target, value)
    check(compiled_add_to, target[:1], value)


def test_a_strided_target_changes_nothing_else():
    whole = np.zeros((4, 6))
    compiled_add_to(whole[1:3, ::2], np.ones((2, 3)))
    assert whole.sum() == 6.0
    compiled_add_to(whole[1:3, ::2], 2.0)
    assert whole.sum() == 18.0


@pytest.mark.parametrize(
    ("target", "value"),
    [("f4", "f8"), ("f8", "f4"), ("f8", "c16"), ("c16", "f8"), ("c16", "c16"), ("f4", "i8")],
)
def test_dtypes(target, value):
    check(
        compiled_add_to,
        numbers((3, 4), dtype=target),
        (numbers(4, 1, "c16" if value == "c16" else "f8") * 10).astype(value),
        1e-6,
    )


@pytest.mark.parametrize("value", [2.5, 2, True, np.float32(2.5), 1.5 + 2j])
def test_scalars(value):
    check(compiled_add_to, numbers((3, 4)), value)
    check(compiled_add_to, numbers((3, 4), dtype="f4"), value, 1e-6)
    check(compiled_add_to, numbers((3, 4)).T[::2], value)


@pytest.mark.parametrize("add", [add_to, compiled_add_to])
def test_memory_that_is_shared(add):
    for up, down in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:], np.s_[::-1]), (np.s_[:], np.s_[:])):
        u = numbers(9)
        wanted = u.copy()
        wanted[up] += u[down]
        add(u[up], u[down])
        assert np.array_equal(u, wanted)
    u = numbers((3, 3))
    wanted = u + u.T
    add(u, u.T)
    assert np.array_equal(u, wanted)
    u = numbers((3, 3))
    wanted = u + u[1]
    add(u, u[1])
    assert np.array_equal(u, wanted)


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (3, 2)), ((2, 3), (2,)), ((0,), (2,))])
@pytest.mark.parametrize("add", [add_to, compiled_add_to])
def test_shapes_that_do_not_broadcast(add, shapes):
    with pytest.raises(ValueError, match="do not broadcast"):
        add(np.zeros(shapes[0]), np.zeros(shapes[1]))


# ----------------------------------------------------------------------------------------- the others


def test_total():
    f = jitted("lambda x: total(x)", total=total)
    for n in (0, 1, 7, 8, 127, 128, 129, 8192, 8193, 600_000):
        x = numbers(n)
        assert f(x) == total(x) == pytest.approx(x.sum(), rel=1e-14)
    for x in layouts(numbers((3, 4))):
        assert f(x) == pytest.approx(x.sum(), rel=1e-14)
    assert f(2.5) == total(2.5) == 2.5
    assert f(numbers((3, 4), dtype="c16")) == pytest.approx(numbers((3, 4), dtype="c16").sum(), rel=1e-14)


@pytest.mark.parametrize("n", [128, 8192, 524_288, 3_000_001])
def test_long_sums_are_exact_to_rounding(n):
    x = np.full(n, np.float32(0.1))
    assert jitted("lambda x: total(x)", total=total)(x) == pytest.approx(n * float(np.float32(0.1)), rel=1e-6)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 3), ()])
def test_take_and_clear(shape):
    f = jitted("lambda v: take_and_clear(v)", take_and_clear=take_and_clear)
    for u in (*layouts(numbers(shape)), numbers(shape, dtype="f4")) if shape else (numbers(shape),):
        before = u.copy()
        taken = f(u)
        assert np.array_equal(taken, before)
        assert taken.dtype == u.dtype
        assert not u.any()
        assert not np.shares_memory(taken, u)


def test_zero_leaves_the_rest():
    f = jitted("lambda v: zero(v)", zero=zero)
    u = np.ones((4, 5))
    f(u[1:3, 1:])
    assert u.sum() == 12.0
    f(u.T)
    assert not u.any()
