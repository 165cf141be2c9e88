"""Arithmetic on IR expressions: how derivative rules are written, and how their results are kept short.

A rule is a Python function over `Sym` values; what it computes becomes part of the adjoint's source.  NumPy's ufuncs
work on them as they are (``np.cos(x)``), any other function by `call`, a case distinction by `where`.

The constructors below fold what an author would not have written: products with one, sums with zero, signs that belong
further out.  They never reassociate (but `coefficient` does), and never drop a factor of zero (zero times infinity is
not zero).
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ad.errors import ADTypeError
from ad.ir import Binary, BoolOp, Call, Compare, Const, Expr, Like, Select, Unary, Var, names
from ad.primitive import primitive

__all__ = [
    "ONE",
    "ZERO",
    "Sym",
    "add",
    "call",
    "coefficient",
    "conjugate",
    "div",
    "is_negated",
    "lift",
    "like",
    "mul",
    "neg",
    "power",
    "sub",
    "unlift",
    "where",
]

ZERO = Const(0.0)
ONE = Const(1.0)


def _is(e: Expr, value: float) -> bool:
    return isinstance(e, Const) and e.name is None and not isinstance(e.value, bool) and e.value == value


def _number(e: Expr) -> float | int | None:
    return e.value if isinstance(e, Const) and e.name is None and not isinstance(e.value, bool) else None


def _negated(e: Expr) -> Expr | None:
    """x where `e` is -x, else None."""
    if isinstance(e, Unary) and e.op == "-":
        return e.operand
    value = _number(e)
    if value is not None and not isinstance(value, complex) and value < 0:
        return Const(-value)
    if isinstance(e, Binary) and e.op == "/" and isinstance(e.left, Const) and _negated(e.left) is not None:
        return Binary("/", neg(e.left), e.right)
    return None


def is_negated(e: Expr) -> bool:
    return _negated(e) is not None


def neg(a: Expr) -> Expr:
    inner = _negated(a)
    if inner is not None:
        return inner
    value = _number(a)
    if value:
        return Const(-value)
    if isinstance(a, Binary) and a.op == "/" and _number(a.left) is not None:
        return Binary("/", neg(a.left), a.right)
    return Unary("-", a)


def add(a: Expr, b: Expr) -> Expr:
    inner = _negated(b)
    if inner is not None:
        return sub(a, inner)
    return Binary("+", a, b)


def sub(a: Expr, b: Expr) -> Expr:
    inner = _negated(b)
    if inner is not None:
        return add(a, inner)
    return Binary("-", a, b)


def mul(a: Expr, b: Expr) -> Expr:
    if _is(a, 1.0):
        return b
    if _is(b, 1.0):
        return a
    for x, y, swap in ((a, b, False), (b, a, True)):
        inner = _negated(x)
        if inner is not None:
            return neg(mul(y, inner) if swap else mul(inner, y))
    m, n = _number(a), _number(b)
    if m is not None and n is not None:
        return Const(m * n if isinstance(m, complex) or isinstance(n, complex) else float(m) * float(n))
    return Binary("*", a, b)


def div(a: Expr, b: Expr) -> Expr:
    if _is(b, 1.0):
        return a
    for x, make in ((a, lambda inner: div(inner, b)), (b, lambda inner: div(a, inner))):
        inner = _negated(x)
        if inner is not None:
            return neg(make(inner))
    return Binary("/", a, b)


def power(a: Expr, b: Expr) -> Expr:
    if _is(b, 1.0):
        return a
    return Binary("**", a, b)


def coefficient(e: Expr, name: str) -> Expr | None:
    """c where `e` is ``name * c``, as written in sums, products and quotients; None where it is no such thing."""
    match e:
        case Var(found) if found == name:
            return ONE
        case Unary("-", operand):
            c = coefficient(operand, name)
            return c and neg(c)
        case Binary("+" | "-" as op, left, right):
            a, b = coefficient(left, name), coefficient(right, name)
            return a and b and (add(a, b) if op == "+" else sub(a, b))
        case Binary("*", left, right) if name not in names(right):
            c = coefficient(left, name)
            return c and mul(c, right)
        case Binary("*", left, right) if name not in names(left):
            c = coefficient(right, name)
            return c and mul(left, c)
        case Binary("/", left, right) if name not in names(right):
            c = coefficient(left, name)
            return c and div(c, right)
    return None


def conjugate(a: Expr) -> Expr:
    match a:
        case Const(value):
            return Const(value.conjugate()) if isinstance(value, complex) else a
        case Call(callee, (inner,)) if callee.function is np.conj:
            return inner
    return Call(primitive(np.conj), (a,))


class Sym:
    """A symbolic value: an expression with Python's operators on it."""

    __array_priority__ = 1000
    __slots__ = ("expr",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    @property
    def constant(self) -> float | int | None:
        """The number that this value always has, or None."""
        return self.expr.value if isinstance(self.expr, Const) and not isinstance(self.expr.value, bool) else None

    def __neg__(self) -> "Sym":
        return Sym(neg(self.expr))

    def __pos__(self) -> "Sym":
        return self

    def __abs__(self) -> "Sym":
        return call(abs, self)

    def __bool__(self) -> bool:
        raise ADTypeError("a derivative rule cannot branch on a symbolic value: use ad.rules.where(condition, a, b)")

    def __float__(self) -> float:
        raise ADTypeError(
            "a derivative rule computes with symbolic values: use NumPy's functions (np.cos(x)) or "
            "ad.rules.call(function, x), not math's"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> "Sym":
        if method != "__call__" or kwargs:
            return NotImplemented
        if ufunc in _OPERATOR_UFUNCS:
            return _OPERATOR_UFUNCS[ufunc](*(Sym(unlift(x)) for x in inputs))
        return call(ufunc, *inputs)


def _binary(make: Callable[[Expr, Expr], Expr]) -> tuple[Callable[[Any, Any], Sym], Callable[[Any, Any], Sym]]:
    def forward(a: Any, b: Any) -> Sym:
        return Sym(make(unlift(a), unlift(b)))

    def backward(b: Any, a: Any) -> Sym:
        return Sym(make(unlift(a), unlift(b)))

    return forward, backward


def _compare(op: str) -> Callable[[Any, Any], Sym]:
    return lambda a, b: Sym(Compare(unlift(a), (op,), (unlift(b),)))


for _name, _make in {
    "add": add,
    "sub": sub,
    "mul": mul,
    "truediv": div,
    "pow": power,
    "floordiv": lambda a, b: Binary("//", a, b),
    "mod": lambda a, b: Binary("%", a, b),
}.items():
    _forward, _backward = _binary(_make)
    setattr(Sym, f"__{_name}__", _forward)
    setattr(Sym, f"__r{_name}__", _backward)
for _name, _op in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    setattr(Sym, f"__{_name}__", _compare(_op))

for _op in ("and", "or"):
    setattr(Sym, f"__{_op}__", lambda a, b, op=_op: Sym(BoolOp(op, (unlift(a), unlift(b)))))

_OPERATOR_UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.negative: operator.neg,
    np.power: operator.pow,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
}


def lift(e: Expr) -> Any:
    """An expression as a value to compute with in a rule."""
    return Sym(e)


def unlift(x: Any) -> Expr:
    """The expression of a symbolic value or plain number."""
    if isinstance(x, Sym):
        return x.expr
    if isinstance(x, bool | int | float | complex | tuple) or x is None:
        return Const(x)
    if isinstance(x, np.floating | np.integer):
        return Const(x.item())
    raise ADTypeError(f"a derivative rule computes with its arguments and numbers, not with {x!r}")


def call(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """A call of `function` in a derivative rule, where plain Python would not do (``call(math.sin, x)``).

    Keywords are given as they are: numbers, tuples of these, None.

    The function must have a rule of its own or be one that Numba compiles.
    """
    return Sym(Call(primitive(function), tuple(unlift(a) for a in args), tuple(keywords.items())))


def like(x: Any) -> Any:
    """An argument of a `call` of which only the shape is read."""
    return Sym(Like(x.expr.name)) if isinstance(x, Sym) and isinstance(x.expr, Var) else x


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b`` in a derivative rule; the other one is not computed."""
    return Sym(Select(unlift(condition), unlift(a), unlift(b)))
