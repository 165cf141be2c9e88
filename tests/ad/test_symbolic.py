"""Factoring out: coefficients of expressions that are linear in a variable."""

import pytest

from ad.ir import Binary, Call, Const, Unary, Var
from ad.primitive import primitive
from ad.symbolic import coefficient

g, a, b = Var("g"), Var("a"), Var("b")


def times(x, y):
    return Binary("*", x, y)


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (g, Const(1.0)),
        (Unary("-", g), Const(-1.0)),
        (times(g, a), a),
        (times(a, g), a),
        (Binary("/", g, a), Binary("/", Const(1.0), a)),
        (times(times(a, g), b), times(a, b)),
        (Binary("+", times(g, a), times(b, g)), Binary("+", a, b)),
        (Binary("-", g, times(g, a)), Binary("-", Const(1.0), a)),
        (Binary("-", times(g, a), Unary("-", g)), Binary("+", a, Const(1.0))),
    ],
)
def test_linear(e, expected):
    assert coefficient(e, "g") == expected


@pytest.mark.parametrize(
    "e",
    [
        a,
        Const(0.0),
        times(g, g),
        Binary("+", times(g, a), b),
        Binary("/", a, g),
        Binary("**", g, Const(1.0)),
        Call(primitive(abs), (g,)),
        times(a, Binary("+", g, b)),
    ],
)
def test_anything_else(e):
    assert coefficient(e, "g") is None
