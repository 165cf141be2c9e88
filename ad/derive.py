"""The derivative of one expression: what it adds to the adjoints of the variables and elements that it reads."""

from collections import Counter
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ad.activity import Known, differentiable
from ad.arrays.moves import concatenate_vjp, stack_vjp
from ad.errors import ADTypeError
from ad.function import kind_of
from ad.helpers import REAL, TOTAL
from ad.ir import (
    Binary,
    Call,
    Cast,
    Const,
    Expr,
    Index,
    Items,
    Kind,
    Len,
    Marker,
    Select,
    Slice,
    Unary,
    Var,
    children,
    rebuild,
    replacing,
    substitute,
    walk,
)
from ad.primitive import Primitive, primitive
from ad.rules import OPERATORS, on_arrays
from ad.symbolic import ZERO, add, conjugate, is_negated, lift, mul, neg, sub, unlift

__all__ = ["Contributions", "contributions", "share"]

Contributions = dict[Var | Index, Expr]


def contributions(e: Expr, seed: Expr, kinds: dict[str, Kind], varied: set[str]) -> Contributions:
    """Map every varied variable or array element that `e` reads to its share of the adjoint `seed`.

    The values are expressions over `seed` and the values that the forward sweep had.  Active conditional expressions
    and active calls of user functions do not occur: lower.py has made statements of them.
    """
    terms: dict[Var | Index, list[Expr]] = {}
    _Deriver(kinds, varied, terms).derive(e, seed)
    sums = {target: total for target, parts in terms.items() if (total := _sum(parts)) is not None}
    sums = {target: _on_arrays(total, kinds) for target, total in sums.items()}
    known = set(walk(e))
    if not any(_is_int(part, kinds) for part in known if not children(part)):
        return sums
    return {target: _floating(total, kinds, known) for target, total in sums.items()}


def _is_int(e: Expr, kinds: dict[str, Kind]) -> bool:
    return not isinstance(e, Marker | Items | Slice) and kind_of(e, kinds) is Kind.INT


def _on_arrays(e: Expr, kinds: dict[str, Kind]) -> Expr:
    """Functions of scalars as those of arrays where they meet arrays: rules are written once for both."""

    def change(part: Expr) -> Expr | None:
        match part:
            case Call(Primitive() as callee, args, keywords) if callee.elementwise:
                new = tuple(substitute(a, change) for a in args)
                if any(kind_of(a, kinds).is_array for a in new):
                    return Call(on_arrays(callee), new, keywords)
                return Call(callee, new, keywords)
            case Select(cond, then, orelse) if not kind_of(cond, kinds).is_array:
                sides = [substitute(side, change) for side in (then, orelse)]
                return Select(substitute(cond, change), *_alike(sides, kinds))
        return None

    return substitute(e, change)


def _alike(sides: list[Expr], kinds: dict[str, Kind]) -> list[Expr]:
    """The sides of a choice by one condition, both arrays where one is."""
    arrays = [side for side in sides if kind_of(side, kinds).is_array]
    if len(arrays) != 1:
        return sides
    kind = kind_of(arrays[0], kinds)
    like = next(p for p in walk(arrays[0]) if isinstance(p, Var | Index) and kind_of(p, kinds).ndim == kind.ndim)
    return [side if side is arrays[0] else Call(primitive(np.full_like), (like, side)) for side in sides]


def _floating(e: Expr, kinds: dict[str, Kind], known: set[Expr]) -> Expr:
    """The share as a float.

    With a seed of 1 folded away, a product of ints may be left that the function itself never forms and that could
    overflow; expressions in `known` are its own.
    """
    if kind_of(e, kinds) is Kind.INT and (e in known or not isinstance(e, Binary)):
        return Const(float(e.value)) if isinstance(e, Const) and e.name is None else Cast(Kind.FLOAT, e)
    if e in known or isinstance(e, Index | Call):
        return e
    match e:
        case Binary("**", left, right):
            return Binary("**", _floating(left, kinds, known), right)
        case Binary(op, left, right) if kind_of(e, kinds) is Kind.INT:
            return Binary(op, _floating(left, kinds, known), right)
        case Binary() | Unary():
            parts = tuple(
                p if kind_of(p, kinds) is Kind.INT and p in known else _below(p, kinds, known) for p in children(e)
            )
            return rebuild(e, parts)
        case Select(cond, then, orelse):
            return Select(cond, _floating(then, kinds, known), _floating(orelse, kinds, known))
    return e


def _below(e: Expr, kinds: dict[str, Kind], known: set[Expr]) -> Expr:
    return e if isinstance(e, Const) else _floating(e, kinds, known)


def _sum(parts: list[Expr]) -> Expr | None:
    """The sum of shares, equal products taken together; None where they cancel."""
    coefficients: dict[_Product, float] = {}
    first: dict[_Product, Expr] = {}
    alone: dict[_Product, bool] = {}
    for part in parts:
        coefficient, factors = _factors(part)
        key = frozenset(Counter(factors).items())
        alone[key] = key not in coefficients
        coefficients[key] = coefficients.get(key, 0.0) + coefficient
        first.setdefault(key, part)
    terms = [
        first[key] if alone[key] else _product(coefficient, _factors(first[key])[1])
        for key, coefficient in coefficients.items()
        if coefficient != 0.0 or alone[key]
    ]
    # What is subtracted comes last.
    negative = [neg(term) for term in terms if is_negated(term)]
    positive = [term for term in terms if not is_negated(term)]
    if not positive:
        return neg(reduce(add, negative)) if negative else None
    return reduce(sub, negative, reduce(add, positive))


_Product = frozenset[tuple[Expr, int]]


def _factors(e: Expr) -> tuple[float, list[Expr]]:
    """A product as its constant and its other factors."""
    match e:
        case Unary("-", operand):
            coefficient, factors = _factors(operand)
            return -coefficient, factors
        case Binary("*", left, right):
            (a, left_factors), (b, right_factors) = _factors(left), _factors(right)
            return a * b, left_factors + right_factors
        case Const(float(value), None):
            return value, []
    return 1.0, [e]


def _product(coefficient: float, factors: list[Expr]) -> Expr:
    total: Expr = Const(abs(coefficient))
    for factor in factors:
        total = mul(total, factor)
    return neg(total) if coefficient < 0.0 else total


class _Deriver:
    """Goes down an expression with the adjoint of each part.

    The adjoint of a complex z is dL/d(Re z) + i dL/d(Im z).  Through a holomorphic f it is multiplied by the conjugate
    of f'(z): so rules, which multiply by f'(z), are given the conjugate and their result is conjugated.
    """

    def __init__(self, kinds: dict[str, Kind], varied: set[str], terms: dict[Var | Index, list[Expr]]) -> None:
        self.kinds = kinds
        self.varied = varied
        self.terms = terms
        self.known: Known = {}

    def active(self, e: Expr) -> bool:
        return bool(differentiable(e, self.kinds, self.known) & self.varied)

    def derive(self, e: Expr, seed: Expr) -> None:
        if not self.active(e):
            return
        if not kind_of(e, self.kinds).is_array and kind_of(seed, self.kinds).is_array:
            seed = Call(TOTAL, (seed,))
        match e:
            case Var():
                self.terms.setdefault(Var(e.name), []).append(seed)
            case Index():
                self.terms.setdefault(e, []).append(seed)
            case Cast(_, operand):
                self.derive(operand, seed)
            case Unary(op, operand):
                self.chain(OPERATORS[op, 1], e, (operand,), seed)
            case Binary(op, left, right):
                self.chain(OPERATORS[op, 2], e, (left, right), seed)
            case Call(Primitive(function=np.concatenate | np.stack) as callee, (Items(parts),), keywords):
                self.joined(callee, parts, dict(keywords).get("axis", 0), seed)
            case Call(Primitive() as callee, args, keywords):
                self.chain(callee, e, args, seed, keywords)
            case Select(cond, then, orelse) if kind_of(cond, self.kinds).is_array:
                self.derive(then, Select(cond, seed, ZERO))
                self.derive(orelse, Select(cond, ZERO, seed))
            case _:
                raise AssertionError(f"not lowered: {e!r}")

    def joined(self, callee: Primitive, parts: tuple[Expr, ...], axis: int, seed: Expr) -> None:
        """Arrays that were joined: each gets its part of the adjoint."""
        start: Expr = Const(0)
        for i, part in enumerate(parts):
            if callee.function is np.stack:
                share = Call(primitive(stack_vjp), (seed, Const(i), Const(axis)))
            else:
                assert isinstance(part, Var)
                length = Len(part.name, axis)
                stop: Expr = length if i == 0 else Binary("+", start, length)
                share = Call(primitive(concatenate_vjp), (seed, start, stop, Const(axis)))
                start = stop
            self.derive(part, share)

    def chain(
        self, rule: Primitive, e: Expr, args: tuple[Expr, ...], seed: Expr, keywords: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        holomorphic = rule.holomorphic and any(kind_of(part, self.kinds).is_complex for part in (e, *args))
        if holomorphic:
            seed = conjugate(seed)
        for arg, vjp in zip(args, rule.vjps, strict=False):
            if vjp is None or not self.active(arg):
                continue
            try:
                found = vjp(lift(seed), lift(e), *(lift(a) for a in args), **dict(keywords))
                part = conjugate(unlift(found)) if holomorphic else unlift(found)
                if not kind_of(arg, self.kinds).is_complex and kind_of(part, self.kinds).is_complex:
                    part = Call(REAL, (part,))  # the adjoint of a real variable is real
            except TypeError as error:
                raise ADTypeError(f"the rule of {rule.name}() failed: {error}") from error
            if not (isinstance(found, int | float) and found == 0):
                self.derive(arg, part)


# ----------------------------------------------------------------------------- naming what occurs twice


def share(
    exprs: list[Expr], kinds: dict[str, Kind], fresh: Callable[[Kind], str]
) -> tuple[list[tuple[str, Expr]], list[Expr]]:
    """Name the subexpressions that occur more than once, so that each is computed once.

    `fresh` gives the names.  Returns the definitions in the order to compute them, and the rewritten expressions.
    What is computed only under a condition does not make a definition, but uses one.
    """
    defined: dict[str, Expr] = {}
    while True:
        counts: dict[Expr, int] = {}
        for e in (*exprs, *defined.values()):
            _count(e, counts)
        repeated = [e for e, n in counts.items() if n > 1 and _worth(e, kinds)]
        if not repeated:
            return _ordered(defined), exprs
        best = max(repeated, key=lambda e: sum(1 for _ in walk(e)))
        name = fresh(kind_of(best, kinds))
        swap = replacing(best, Var(name))
        exprs = [substitute(e, swap) for e in exprs]
        defined = {n: substitute(e, swap) for n, e in defined.items()}
        defined[name] = best


def _count(e: Expr, counts: dict[Expr, int]) -> None:
    if isinstance(e, Binary | Call):
        counts[e] = counts.get(e, 0) + 1
    parts = children(e)[:1] if isinstance(e, Select) else children(e)
    for part in parts:
        _count(part, counts)


def _worth(e: Expr, kinds: dict[str, Kind]) -> bool:
    """Whether a subexpression is better computed once.  An array of few operations is not: it would go to memory."""
    kind = kind_of(e, kinds)
    if not kind.is_array or not kind.is_float:
        return kind.is_float
    parts = [part for part in walk(e) if not isinstance(part, Var | Const | Index) and kind_of(part, kinds).is_array]
    return len(parts) > _FEW or any(not _is_quick(part) for part in parts)


_FEW = 4


def _is_quick(e: Expr) -> bool:
    match e:
        case Binary(op):
            return op in ("+", "-", "*")
        case Call(Primitive() as callee):
            return callee.cheap and callee.elementwise
    return isinstance(e, Unary)


def _ordered(defined: dict[str, Expr]) -> list[tuple[str, Expr]]:
    out: list[tuple[str, Expr]] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in done:
            return
        done.add(name)
        for part in walk(defined[name]):
            if isinstance(part, Var) and part.name in defined:
                visit(part.name)
        out.append((name, defined[name]))

    for name in defined:
        visit(name)
    return out
