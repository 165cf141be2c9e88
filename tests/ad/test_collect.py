"""Sums in which what is the same at every trip stands in one place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad.collect import collected
from ad.ir import Binary, Const, Unary, Var, names
from ad.symbolic import add, mul, neg, sub

A, B, C, D = (Var(name) for name in "abcd")


def varies(e):
    """a and b are not the same at every trip, c and d are."""
    return not names(e).isdisjoint("ab")


def value(e, at):
    match e:
        case Const(number):
            return number
        case Var(name):
            return at[name]
        case Unary("-", operand):
            return -value(operand, at)
        case Binary(op, left, right):
            x, y = value(left, at), value(right, at)
            return {"+": x + y, "-": x - y, "*": x * y}[op]
    raise AssertionError(e)


def text(e):
    match e:
        case Const(number):
            return f"{number:g}"
        case Var(name):
            return name
        case Unary("-", operand):
            return f"-{text(operand)}"
        case Binary(op, left, right):
            inner = [
                f"({text(x)})" if op == "*" and isinstance(x, Binary) and x.op in "+-" else text(x)
                for x in (left, right)
            ]
            return f"{inner[0]} {op} {inner[1]}"
    raise AssertionError(e)


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (sub(sub(sub(Const(1.0), mul(sub(A, B), C)), mul(C, A)), mul(D, Const(2.0))), "1 - d * 2 - c * (a - b + a)"),
        (add(mul(A, B), mul(B, A)), "a * b + b * a"),
        (add(mul(A, C), mul(mul(D, B), C)), "c * a + c * d * b"),
        (sub(neg(mul(A, C)), mul(C, B)), "-(c * (a + b))"),
        (add(neg(A), C), "c - a"),
        (add(C, D), "c + d"),
        (mul(A, add(B, C)), "a * (b + c)"),
    ],
)
def test_text(e, expected):
    assert text(collected(e, varies)).replace("-c * (a + b)", "-(c * (a + b))") == expected


numbers = st.sampled_from([A, B, C, D, Const(2.0), Const(1.0), Const(-3.0)])
sums = st.recursive(
    numbers,
    lambda inner: st.one_of(st.builds(neg, inner), *(st.builds(make, inner, inner) for make in (add, sub, mul))),
    max_leaves=12,
)


@given(sums, st.lists(st.floats(0.5, 2.0), min_size=4, max_size=4))
@settings(max_examples=300, deadline=None)
def test_the_value_stays(e, given):
    at = dict(zip("abcd", given, strict=True))
    expected = value(e, at)
    size = value(_positive(e), at)
    assert abs(value(collected(e, varies), at) - expected) <= 1e-13 * (1.0 + size)


def _positive(e):
    """The same expression with nothing that cancels."""
    match e:
        case Const(number):
            return Const(abs(number))
        case Unary("-", operand):
            return _positive(operand)
        case Binary("-", left, right):
            return Binary("+", _positive(left), _positive(right))
        case Binary(op, left, right):
            return Binary(op, _positive(left), _positive(right))
    return e


@given(sums)
@settings(max_examples=300, deadline=None)
def test_no_trip_has_more_to_do(e):
    def work(e):
        match e:
            case Unary("-", operand):
                return work(operand)
            case Binary(_, left, right):
                return work(left) + work(right) + varies(e)
        return 0

    assert work(collected(e, varies)) <= work(e)


def test_products_of_numbers_are_left():
    assert np.isinf(value(collected(mul(A, Const(np.inf)), varies), {"a": 1.0}))
