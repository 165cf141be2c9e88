"""Calls after the first one: quick for arguments like those before, and right for any others."""

import math
from typing import NamedTuple

import numpy as np
import pytest

import ad
from ad.fastcall import builder, checked_call
from ad.ir import Kind
from ad.library import Constant, TupleOf

VECTOR = Kind("float64", 1)
SHARED = np.arange(4.0)


class Params(NamedTuple):
    growth: float
    rates: np.ndarray
    steps: int


class Others(NamedTuple):
    growth: float
    rates: np.ndarray
    steps: int


def quick(examples, structures):
    """A call that returns the leaves, and tells of anything else."""
    return checked_call(examples, structures, lambda *leaves: leaves, "{}", lambda *args: ("otherwise", *args))


def test_leaves_of_tuples():
    rates = np.ones(3)
    structure = TupleOf((Kind.FLOAT, VECTOR, Kind.INT), Params)
    call = quick((Params(1.0, rates, 2), 3.0), (structure, Kind.FLOAT))
    others = np.zeros(7)
    assert call(Params(5.0, others, 1), 4.0) == (5.0, others, 1, 4.0)
    for argument in (
        (5.0, others, 1),
        Others(5.0, others, 1),
        Params(5, others, 1),
        Params(5.0, others.astype("f4"), 1),
        Params(5.0, np.zeros((2, 2)), 1),
        Params(5.0, others, True),
    ):
        assert call(argument, 4.0)[0] == "otherwise"


def test_nested_and_empty_tuples():
    call = quick((((1.0, ()), 2),), (TupleOf((TupleOf((Kind.FLOAT, TupleOf(()))), Kind.INT)),))
    assert call(((3.0, ()), 4)) == (3.0, 4)
    assert call(((3.0, (1.0,)), 4))[0] == "otherwise"
    assert call(((3.0,), 4))[0] == "otherwise"
    assert call((3.0, 4))[0] == "otherwise"


def test_constants_are_compared_and_not_passed():
    call = quick(
        (None, math.sin, (1.0, None)), (Constant(None), Constant(math.sin), TupleOf((Kind.FLOAT, Constant(None))))
    )
    assert call(None, math.sin, (2.0, None)) == (2.0,)
    assert call(None, math.cos, (2.0, None))[0] == "otherwise"
    assert call(0.0, math.sin, (2.0, None))[0] == "otherwise"
    assert call(None, math.sin, (2.0, 0.0))[0] == "otherwise"


def test_builder():
    build = builder(
        [Kind.FLOAT, TupleOf((Kind.INT, VECTOR, TupleOf(()))), TupleOf((Kind.FLOAT, VECTOR, Kind.INT), Params)]
    )
    assert build("abcd") == ["a", (None, "b", ()), Params("c", "d", None)]
    assert builder([])(()) == []


def model(p, x):
    total = 0.0
    for _ in range(p.steps):
        x = x + p.growth * x * (1.0 - x)
        total += x * p.rates[0] * p.rates[1]
    return total


def test_gradients_by_tuples_call_after_call():
    g = ad.value_and_grad(model, wrt=("p", "x"))
    rng = np.random.default_rng(3)
    for steps in (3, 1, 5):
        p, x = Params(rng.uniform(), rng.uniform(size=2), steps), rng.uniform()
        value, (by_p, by_x) = g(p, x)
        assert math.isclose(value, model(p, x), rel_tol=1e-14)
        assert isinstance(by_p, Params) and by_p.steps is None

        def near(h, p=p, x=x):
            return model(p._replace(growth=p.growth + h), x)

        assert math.isclose(by_p.growth, (near(1e-6) - near(-1e-6)) / 2e-6, rel_tol=1e-6, abs_tol=1e-8)
        assert math.isclose(by_x, (model(p, x + 1e-6) - model(p, x - 1e-6)) / 2e-6, rel_tol=1e-6, abs_tol=1e-8)
    # Other classes, other kinds, and back again.
    other = Others(p.growth, p.rates, p.steps)
    by_other = g(other, x)[1][0]
    assert isinstance(by_other, Others) and by_other.growth == by_p.growth
    by_single = g(p._replace(rates=p.rates.astype("f4")), x)[1][0]
    assert by_single.rates.dtype == np.float32
    assert g(p, x)[1][0].growth == by_p.growth
    with pytest.raises(ad.ADTypeError, match=r"'p\[1\]' is a list"):
        g(p._replace(rates=[1.0, 2.0]), x)


def test_a_call_after_one_with_a_tuple_does_not_keep_its_arrays():
    def f(pair):
        return np.sum(pair[0] * pair[1])

    g = ad.grad(f)
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    g((a, b))
    found = g((b, a))
    np.testing.assert_array_equal(found[0], a)
    np.testing.assert_array_equal(found[1], b)


def test_arrays_of_the_module_come_with_tuples():
    def f(pair):
        return np.sum(SHARED * pair[0]) * pair[1]

    g = ad.grad(f)
    for scale in (1.0, 2.0):
        by_array, by_scale = g((np.ones(4), scale))
        np.testing.assert_array_equal(by_array, scale * SHARED)
        assert by_scale == SHARED.sum()
