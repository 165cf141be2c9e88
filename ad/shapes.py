"""Which arrays surely have the same shape, whatever the arguments are.

Then the first contribution to an adjoint is the adjoint: nothing is to be summed over axes that were broadcast, and
the shape of the variable need not be known when its adjoint begins.

A shape is known by the name of an array that is made once: an argument, or what is assigned outside of loops.  A
variable to which every assignment gives the same known shape has it at all times.  The analysis begins with the hope
that all will agree, and ends when no assignment contradicts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ad.function import kind_of
from ad.ir import (
    Assign,
    Binary,
    Block,
    BoolOp,
    Call,
    Cast,
    Compare,
    Expr,
    For,
    If,
    Kind,
    Rebind,
    Select,
    Unary,
    Var,
    While,
    children,
    shape_of,
)
from ad.lower import SEED, Lowered, derive_assign
from ad.primitive import Primitive

__all__ = ["fitted"]

_ALIKE = {np.roll, np.copy, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.flip}
"""Functions whose result has the shape of the first argument."""

_Shapes = dict[str, str | None]
"""The known shapes by variable: None where it is not known; a variable that is missing may still have any."""
_ANY = ""


def fitted(lowered: Lowered) -> Lowered:
    """The function with plans that say which contributions have the shapes of their adjoints."""
    kinds = lowered.function.kinds
    shapes = _known(lowered)
    plans = dict(lowered.plans)
    for s, plan in plans.items():
        if not isinstance(s, Assign) or not kinds[s.target].is_array or s.target in lowered.aliases.shared:
            continue
        if isinstance(s.value, Call) and not isinstance(s.value.callee, Primitive):
            continue
        own = kinds | {SEED: kinds[s.target]}
        found = derive_assign(s, Var(SEED), plan.uses_result, own, lowered.activity.varied_before(s))
        known = shapes | {SEED: shapes.get(s.target)}
        fits = {
            place.name
            for place, value in found.items()
            if isinstance(place, Var) and kinds[place.name].is_array and place.name not in lowered.aliases.shared
            if shapes.get(place.name) is not None and _shape(value, known, own) == shapes[place.name]
        }
        plans[s] = replace(plan, needs=plan.needs - {shape_of(name) for name in fits}, fits=frozenset(fits))
    return replace(lowered, plans=plans)


def _known(lowered: Lowered) -> _Shapes:
    f = lowered.function
    assignments = list(_assignments(f.body, False))
    counts = Counter(target for target, _, _ in assignments)
    shapes: _Shapes = {p: p for p in f.params if f.kinds[p].is_array}
    while True:
        changed = False
        for target, value, in_loop in assignments:
            if not f.kinds[target].is_array:
                continue
            found = _shape(value, shapes, f.kinds)
            if found is None and counts[target] == 1 and not in_loop:
                found = target
            if found == _ANY:
                continue
            new = found if shapes.get(target, found) == found else None
            if target not in shapes or shapes[target] != new:
                shapes[target], changed = new, True
        if not changed:
            return shapes


def _assignments(block: Block, in_loop: bool) -> Iterator[tuple[str, Expr, bool]]:
    for s in block:
        match s:
            case Assign(target, value):
                yield target, value, in_loop
            case Rebind(targets, sources):
                for target, source in zip(targets, sources, strict=True):
                    yield target, Var(source), in_loop
            case For(body=body) | While(body=body):
                yield from _assignments(body, True)
            case If(_, then, orelse):
                yield from _assignments((*then, *orelse), in_loop)


def _shape(e: Expr, shapes: Mapping[str, str | None], kinds: dict[str, Kind]) -> str | None:
    """The known shape of an array; None where it has none, and _ANY where that is still open."""
    match e:
        case Var(name):
            return shapes.get(name, _ANY)
        case Call(Primitive(function=function), (first, *_)) if function in _ALIKE:
            return _shape(first, shapes, kinds)
        case Call(Primitive() as callee) if not callee.elementwise:
            return None
        case Unary() | Binary() | Compare() | BoolOp() | Select() | Cast() | Call(Primitive()):
            parts = [p for p in children(e) if kind_of(p, kinds).is_array]
            if any(kind_of(p, kinds).ndim != kind_of(e, kinds).ndim for p in parts):
                return None
            found = {_shape(p, shapes, kinds) for p in parts}
            known = found - {_ANY}
            return _ANY if not known else next(iter(known)) if len(known) == 1 else None
    return None
