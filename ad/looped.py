"""Statements about whole arrays, written as loops over their elements.

``u[1:-1] -= c * (h[1:] - h[:-1])`` becomes the loop that an author writes who does not know NumPy.  Its adjoint is that
of the loop: it gathers (see `ad.gather`), makes no temporary arrays and does not read the adjoint of each operand once
more for each of its terms.  Measured on shallow water, 128 x 128: 60 to 33 ms.

Expressions that such a statement reads become a part of it, ``np.roll`` among them: what it rolls over the ends has
statements of its own.

So it is for stencils, statements that read several elements of an array: others gain nothing, and rows of few elements
lose (three elements to a row: 3.4 times the time).

That is done where it is the same: lengths are equal, no element is read after it was written to, and what is computed
takes no longer than keeping it.  What lengths must be for that is assumed: the gradient looks at them first, and where
they are otherwise another one is made that assumes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Literal

import numpy as np

from ad.activity import Activity
from ad.alias import Aliases
from ad.element import Axis, Element, Lengths, Unfit, index_of
from ad.extents import Extents
from ad.flow import without
from ad.function import Function, kind_of, kind_of_part
from ad.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Slice,
    Stmt,
    Store,
    Unary,
    Var,
    While,
    assigned,
    expressions,
    names,
    shape_of,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive
from ad.ranges import shifted
from ad.renewals import FLOATS, Renewals

__all__ = ["looped"]

_Piece = tuple[tuple[Literal["low", "high"], int] | None, Expr, Expr]
"""Where one element is, or None for a loop; and the range of the loop."""

_PIECES = 9
"""The most pieces that an array is written in."""
_SHORT = 3
"""Operators of an expression that is computed again wherever it is read."""


def looped(f: Function, wrt: set[str], assume: bool) -> tuple[Function, list[Expr]]:
    """The function with loops in the place of what it does with whole arrays, for derivatives by `wrt`.

    And what it assumes, in terms of parameters; nothing if it must not `assume`.
    """
    if not any(kind.is_array for kind in f.kinds.values()):
        return f, []
    tried = Renewals(f)
    while True:
        writing = _Writing(tried.rewritten(), tried.names(), wrt, assume)
        body = writing.written()
        if not tried.give_up(body, writing.kinds, writing.left, writing.stencils):
            return replace(writing.f, body=body), writing.lengths.assumed()


class _Writing:
    """One try to write a function with loops; `left` are the statements that stay as they are."""

    def __init__(self, f: Function, renewed: set[str], wrt: set[str], assume: bool) -> None:
        self.f = f
        self.renewed = renewed
        self.stencils: set[str] = set()
        """The arrays of statements that are stencils."""
        self.kinds = f.kinds
        self.lengths = Lengths(Extents(f), f.kinds, assume)
        self.activity = Activity(f.body, f.kinds, wrt, {f.result})
        self.aliases = Aliases(f.body, f.kinds, self.activity.shared)
        self.left: list[Store] = []
        self.inlined: dict[str, Expr] = {}
        """What arrays stand for at this point."""
        self.hidden: set[str] = set()
        """Arrays that were ever inlined."""
        self.read = Counter(name for s in walk_stmts(f.body) for e in expressions(s) for name in _arrays(e))

    def written(self) -> Block:
        body = self.block(self.f.body)
        while True:
            read = {name for s in walk_stmts(body) for name in names(*expressions(s))}
            read |= {name.removesuffix(shape_of("")) for name in read} | {self.f.result}
            gone = {name for name in self.hidden if name not in read}
            if not gone:
                return body
            self.hidden -= gone
            body = without(body, gone)

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            out += self.stmt(s)
            self.forget(s)
            if isinstance(s, Assign) and self.may_move(s):
                self.inlined[s.target] = s.value
        return tuple(out)

    def stmt(self, s: Stmt) -> Sequence[Stmt]:
        match s:
            case Store() if self.activity.has_adjoint(s):
                before = list(self.lengths.equal), dict(self.lengths.least)
                try:
                    return self.stored(s)
                except Unfit:
                    self.lengths.equal, self.lengths.least = before
                    self.left.append(s)
            case For(body=body) | While(body=body):
                return [replace(s, body=self.inner(s, body))]
            case If(_, then, orelse):
                return [replace(s, then=self.inner(s, then), orelse=self.inner(s, orelse))]
        return [s]

    def inner(self, s: Stmt, block: Block) -> Block:
        """A block within a statement, at the beginning of which only what the statement leaves alone is known."""
        self.forget(s)
        before = dict(self.inlined)
        block = self.block(block)
        self.inlined = before
        return block

    def forget(self, s: Stmt) -> None:
        """What depends on what a statement changes is not to be computed later."""
        changed = assigned((s,))
        for p in walk_stmts((s,)):
            if isinstance(p, Store):
                changed |= self.aliases.before[p].sharing(p.array)
        self.inlined = {
            name: e for name, e in self.inlined.items() if name not in changed and changed.isdisjoint(names(e))
        }

    def may_move(self, s: Assign) -> bool:
        """Whether an array may be computed where it is read."""
        if (
            self.kinds[s.target].dtype != "float64"
            or not self.kinds[s.target].is_array
            or self.lengths.extents.counts[s.target] > 1
        ):
            return False
        if s.target in names(s.value) or s.target in self.f.params:
            return False
        work = sum(isinstance(e, Unary | Binary | Call) and not _is_roll(e) for e in walk(s.value))
        return self.read[s.target] == 1 or work <= _SHORT

    def stored(self, s: Store) -> list[Stmt]:
        """The loops that write what a statement writes."""
        kind = kind_of_part(self.kinds[s.array], s.index, self.kinds)
        if kind not in FLOATS or not kind_of(s.value, self.kinds).is_array:
            raise Unfit
        parts = self.lengths.parts(s.array, s.index)
        main = self.axes(s, parts)
        element = self.element(s, parts, main)
        element.of(s.value)
        if element.is_stencil:
            self.stencils |= {s.array, *element.read_at}
        elif s.array not in self.renewed:
            raise Unfit
        pieces = [self.pieces(axis, *reach) for axis, reach in zip(main, element.reached, strict=True)]
        out: list[Stmt] = []
        if len(list(product(*pieces))) > _PIECES:
            raise Unfit
        for places in product(*pieces):
            middle = all(at is None for at, _, _ in places)
            axes = main if middle else self.axes(s, parts)
            axes = [replace(axis, at=at) for axis, (at, _, _) in zip(axes, places, strict=True)]
            out += self.loops(s, parts, axes, [(start, stop) for _, start, stop in places])
        self.hidden |= self.inlined.keys()
        return out

    def axes(self, s: Store, parts: Sequence[Expr]) -> list[Axis]:
        found: list[Axis] = []
        for k, part in enumerate(parts):
            if isinstance(part, Slice):
                var = self.fresh("ijkl"[min(len(found), 3)], Kind.INT)
                found.append(self.lengths.covered(s.array, k, part, var))
        return found

    def pieces(self, axis: Axis, low: int, high: int) -> list[_Piece]:
        """The pieces along an axis, of which elements up to `low` (below zero) and `high` further on are read."""
        if low == high == 0:
            return [(None, Const(axis.start), axis.stop)]
        self.lengths.check_least(axis.length, high - low)
        first, last = -low, shifted(axis.stop, -high)
        ends: list[_Piece] = [(("low", n), Const(n), Const(n + 1)) for n in range(first)]
        middle: _Piece = (None, Const(first), last)
        return [*ends, middle, *((("high", n), shifted(axis.stop, -n), axis.stop) for n in range(high, 0, -1))]

    def element(self, s: Store, parts: Sequence[Expr], axes: Sequence[Axis]) -> Element:
        todo = iter(axes)
        place = Index(s.array, index_of([next(todo).moved(0) if isinstance(p, Slice) else p for p in parts]))

        def reads(e: Index) -> None:
            params = self.f.params
            given = e.array in params and s.array in params
            shares = given or e.array in self.aliases.before[s].sharing(s.array)
            if shares and e != place:
                raise Unfit

        return Element(self.lengths, axes, reads, self.inlined, self.fresh, place)

    def loops(self, s: Store, parts: Sequence[Expr], axes: list[Axis], ranges: list[tuple[Expr, Expr]]) -> list[Stmt]:
        element = self.element(s, parts, axes)
        value = element.of(s.value)
        where: dict[str, Any] = {"line": s.line, "source": s.source}
        made: Stmt = replace(s, index=element.place.index, value=value)
        for axis, (start, stop) in reversed(list(zip(axes, ranges, strict=True))):
            if axis.at is None:
                made = For(axis.var, start, stop, Const(1), (made,), **where)
        return [*(Assign(name, e, **where) for name, e in element.before), made]

    def fresh(self, wish: str, kind: Kind) -> str:
        name = self.f.namer.fresh(wish)
        self.kinds[name] = kind
        return name


def _arrays(e: Expr) -> Iterator[str]:
    """The names that an expression reads, as often as it does."""
    for part in walk(e):
        match part:
            case Var(name) | Index(name, _):
                yield name


def _is_roll(e: Expr) -> bool:
    return isinstance(e, Call) and isinstance(e.callee, Primitive) and e.callee.function is np.roll
