"""Sums in which what is the same at every trip of a loop stands in one place: fewer operations are left for each trip.

``1.0 - (a - b) * c - c * a - d * 2.0`` with c and d the same at every trip is ``1.0 - d * 2.0 - c * (a - b + a)``.  It
reassociates, so the last digits may change.
"""

from collections.abc import Callable, Iterator

from ad.ir import Binary, Expr, Unary
from ad.symbolic import ONE, add, mul, neg, sub

__all__ = ["collected"]

_Term = tuple[bool, Expr]
"""Whether it is subtracted, and what is."""


def collected(e: Expr, varies: Callable[[Expr], bool]) -> Expr:
    """A sum with fewer operations that vary."""
    groups: dict[tuple[Expr, ...], list[_Term]] = {}
    for negative, term in _terms(e, False):
        factors = list(_factors(term))
        rest = [f for f in factors if varies(f)]
        same = tuple(sorted((f for f in factors if not varies(f)), key=repr)) if rest else ()
        groups.setdefault(same if rest else (ONE,), []).append((negative, _product(rest) if rest else term))
    ordered = sorted(groups.items(), key=lambda item: item[0] != (ONE,))
    return _sum([_group(same, terms) for same, terms in ordered])


def _group(same: tuple[Expr, ...], terms: list[_Term]) -> _Term:
    negative = all(minus for minus, _ in terms)
    return negative, mul(_product(same), _sum([(minus is not negative, term) for minus, term in terms]))


def _terms(e: Expr, negative: bool) -> Iterator[_Term]:
    match e:
        case Binary("+" | "-" as op, left, right):
            yield from _terms(left, negative)
            yield from _terms(right, negative is not (op == "-"))
        case Unary("-", operand):
            yield from _terms(operand, not negative)
        case _:
            yield negative, e


def _factors(e: Expr) -> Iterator[Expr]:
    match e:
        case Binary("*", left, right):
            yield from _factors(left)
            yield from _factors(right)
        case _:
            yield e


def _product(factors: list[Expr] | tuple[Expr, ...]) -> Expr:
    total: Expr = ONE
    for f in factors:
        total = mul(total, f)
    return total


def _sum(terms: list[_Term]) -> Expr:
    """The sum of terms, with one that is not subtracted in front if there is any."""
    first = next((k for k, (negative, _) in enumerate(terms) if not negative), 0)
    negative, total = terms[first]
    total = neg(total) if negative else total
    for k, (minus, term) in enumerate(terms):
        if k != first:
            total = sub(total, term) if minus else add(total, term)
    return total
