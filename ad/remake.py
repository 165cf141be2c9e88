"""Which arrays the reverse sweep makes again where an adjoint reads them, instead of taking them off the tape.

An array that a trip of a loop computes is lost at its end.  To record it costs a pass through memory, to take it back
another; to make it again from what is there anyway costs one at most.  So an array that is never written to in place is
made again if few cheap operations give it, by a statement of the same block as those whose adjoints read it, and if
what these operations read

* is not changed between the two, so that it is the same when the adjoint's turn comes;
* is required there anyway, or is made again itself, or is a number, or never changes; or has fewer dimensions, and is
  recorded in its place.

Numbers are the business of `ad.recompute`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ad.function import kind_of
from ad.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Len,
    Marker,
    Rebind,
    Select,
    Slice,
    Stmt,
    Unary,
    Var,
    While,
    assigned,
    names,
    shape_of,
    walk,
    walk_stmts,
)
from ad.lower import Lowered, Plan
from ad.primitive import Primitive

__all__ = ["remade"]

_WORTH = 8
"""The most operations for each element; below that it is memory that takes the time."""
_MOVES = {np.roll: 2, np.reshape: 0, np.transpose: 0, np.swapaxes: 0, np.flip: 0}
"""What operations that only move elements count."""


def remade(lowered: Lowered, split: bool) -> tuple[Lowered, dict[Stmt, tuple[Assign, ...]]]:
    """The function with plans that do without such arrays, and what makes these again, before which adjoint."""
    search = _Search(lowered)
    search.block(lowered.function.body, split)
    return replace(lowered, plans=search.plans), {s: tuple(found) for s, found in search.made.items()}


@dataclass
class _Found:
    """The statements that give an array its value, in order; what they need; how many operations they are."""

    stmts: list[Assign] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    cost: int = 0


class _Search:
    def __init__(self, lowered: Lowered) -> None:
        body = lowered.function.body
        self.kinds = lowered.function.kinds
        self.shared = lowered.aliases.shared
        self.plans: dict[Stmt, Plan] = dict(lowered.plans)
        self.made: dict[Stmt, list[Assign]] = {}
        self.counts: Counter[str] = Counter(_targets(body))
        self.results = {s.target for s, plan in self.plans.items() if plan.uses_result and isinstance(s, Assign)}

    def block(self, block: Block, lost: bool) -> None:
        """`lost` says that what a block computes is not there any more when its adjoints run."""
        for s in block:
            match s:
                case For(body=body, checkpoints=marked) | While(body=body, checkpoints=marked):
                    self.block(body, marked is None)  # a trip that runs again is reversed at once
                case If(_, then, orelse):
                    self.block(then, lost)
                    self.block(orelse, lost)
        if lost:
            self.search(block)

    def search(self, block: Block) -> None:
        self.changed = [assigned((s,)) for s in block]
        self.places = {k: s for k, s in enumerate(block) if s in self.plans}
        self.owners = {k: self.plans[s] for k, s in self.places.items()}
        self.definitions = {
            s.target: (k, s, cost)
            for k, s in enumerate(block)
            if isinstance(s, Assign) and (cost := self.cost(s)) is not None
        }
        for name in reversed(self.definitions):  # what is read last first: what it reads may then go, too
            users = [s for s, plan in self.plans.items() if not plan.needs.isdisjoint((name, shape_of(name)))]
            worth = _WORTH if any(name in self.plans[s].needs for s in users) else 0  # a view; shapes alone are cheap
            places = {s: k for k, s in enumerate(block) if s in users}
            if not users or len(places) < len(users) or min(places.values()) <= self.definitions[name][0]:
                continue
            first = max(users, key=places.__getitem__)  # backward; the others find it made
            how = self.resolve(name, places[first], first, self.kinds[name].ndim)
            if how is not None and how.cost <= worth:
                self.use(first, places[first], how)

    def cost(self, s: Assign) -> int | None:
        """How many operations make the array that a statement assigns, if it can be made again at all."""
        name = s.target
        if not self.kinds[name].is_array or name in self.shared or self.counts[name] != 1 or name in self.results:
            return None
        parts = [_cost(part, self.kinds) for part in walk(s.value)]
        return None if None in parts else sum(part for part in parts if part is not None)

    def resolve(self, name: str, place: int, user: Stmt, most: int) -> _Found | None:
        """How to make an array again where the adjoint of the statement at `place` begins.

        Arrays of less than `most` dimensions may be recorded for that.
        """
        position, s, cost = self.definitions[name]
        if position >= place:
            return None
        between = set().union(*self.changed[position + 1 : place])
        own = self.plans[user]
        found = _Found(cost=cost)
        for read in names(s.value):
            base = read.removesuffix(shape_of(""))
            if base in between or base in self.shared or (own.uses_result and base in self.changed[place]):
                return None
            if not self.kinds[base].is_array or not self.counts[base] or self.is_required(read, place):
                found.needs.add(read)
                continue
            inner = self.resolve(base, place, user, most) if base in self.definitions else None
            if inner is None and self.kinds[base].ndim < most:
                found.needs.add(read)
                continue
            if inner is None:
                return None
            found.stmts += [p for p in inner.stmts if p not in found.stmts]
            found.needs |= inner.needs
            found.cost += inner.cost
        found.stmts.append(s)
        return found

    def is_required(self, read: str, place: int) -> bool:
        """Whether the adjoint of the statement at `place`, or one that runs later, needs what is read anyway."""
        base = read.removesuffix(shape_of(""))
        for k in range(place, -1, -1):
            if k < place and base in self.changed[k]:
                return self.owners[k].uses_result and read == base if k in self.owners else False
            if k in self.owners and read in self.owners[k].needs:
                return True
        return False

    def use(self, s: Stmt, place: int, how: _Found) -> None:
        """Make arrays again before the adjoint of a statement; those that run later find them."""
        made = self.made.setdefault(s, [])
        made += [p for p in how.stmts if p not in made]
        made.sort(key=lambda p: self.definitions[p.target][0])
        self.plans[s] = replace(self.plans[s], needs=self.plans[s].needs | how.needs)
        for k, p in self.places.items():
            gone = {
                n for m in made if self.definitions[m.target][0] < k <= place for n in (m.target, shape_of(m.target))
            }
            self.plans[p] = replace(self.plans[p], needs=self.plans[p].needs - gone)
        self.owners = {k: self.plans[p] for k, p in self.places.items()}


def _targets(block: Block) -> Iterator[str]:
    for s in walk_stmts(block):
        match s:
            case Assign(target=target):
                yield target
            case For(var=var):
                yield var
            case Rebind(targets=targets):
                yield from targets


def _cost(e: Expr, kinds: Mapping[str, Kind]) -> int | None:
    """What a part of an expression, apart from its own parts, costs for an element; None for what is not cheap."""
    match e:
        case Var() | Const() | Len() | Items() | Slice() | Marker():
            return 0
        case Index(array):
            return 0 if kinds[array].is_array else None
        case Binary("**", _, right):
            return 2 if isinstance(right, Const) and isinstance(right.value, int) and 0 <= right.value <= 4 else None
        case Binary("//" | "%") | Binary(checked=True) if not kind_of(e, kinds).is_array:
            return None
        case Binary("//" | "%"):
            return 8
        case Binary("/"):
            return 4
        case Unary() | Binary() | Compare() | Select() | Cast():
            return 1
        case Call(Primitive() as callee, _, keywords):
            if callee.function in _MOVES:
                return _MOVES[callee.function]
            return 2 if callee.cheap and callee.elementwise and not keywords else None
    return None
