"""Statements about whole arrays, written as loops over their elements.

``u[1:-1] -= c * (h[1:] - h[:-1])`` becomes the loop that an author writes who does not know NumPy.  Its adjoint is that
of the loop: it gathers (see `ad.gather`), makes no temporary arrays and does not read the adjoint of each operand once
more for each of its terms.  Measured on shallow water, 128 x 128: 60 to 33 ms.

Expressions that such a statement reads become a part of it, ``np.roll`` among them: what it rolls over the ends has
statements of its own.

So it is for stencils, statements that read several elements of an array: others gain nothing, and rows of few elements
lose (three elements to a row: 3.4 times the time).

An array that each trip of a loop makes anew, ``u = u + ...``, is written to in place, or where its neighbours are read
beside the old one, and the two change places: then nothing has to be copied to the tape (see `ad.exchange`).  Measured
on Burgers' equation, 64 cells: 0.76 to 0.35 ms.

That is done where it is the same: lengths are equal, no element is read after it was written to, and what is computed
takes no longer than keeping it.  What lengths must be for that is assumed: the gradient looks at them first, and where
they are otherwise another one is made that assumes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from ad.activity import Activity
from ad.alias import Aliases, viewed
from ad.element import Axis, Element, Lengths, Unfit, index_of
from ad.extents import Extents
from ad.function import Function, kind_of, kind_of_part
from ad.ir import (
    WHOLE_AXIS,
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
    Rebind,
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
from ad.primitive import Primitive, primitive
from ad.ranges import shifted
from ad.webs import rename

__all__ = ["looped"]

_Piece = tuple[tuple[Literal["low", "high"], int] | None, Expr, Expr]
"""Where one element is, or None for a loop; and the range of the loop."""

_FLOATS = tuple(Kind("float64", ndim) for ndim in (1, 2, 3))
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
    tried = _Renewals(f)
    while True:
        writing = _Writing(tried.rewritten(), tried.names(), wrt, assume)
        body = writing.written()
        if not tried.give_up(body, writing):
            return replace(writing.f, body=body), writing.lengths.assumed()


# ------------------------------------------------------------------------------------ arrays that are made anew


@dataclass
class _Renewal:
    """An array that each trip of a loop makes anew: `s` does it, and the loop is the statement `at` of the function."""

    s: Assign
    at: int
    beside: bool = False
    """Whether it is written beside the old one."""
    new: str = ""
    other: str = ""
    """Names for the array, and for the one beside it."""


class _Renewals:
    """Arrays to be written to in place, or beside the old one, as far as all that reads them in the loop is looped."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self.found = {r.s.target: r for r in self.candidates()}

    def candidates(self) -> Iterator[_Renewal]:
        body, kinds = self.f.body, self.f.kinds
        for k, loop in enumerate(body):
            if not isinstance(loop, For | While):
                continue
            for s in loop.body:
                if not isinstance(s, Assign) or kinds[s.target] not in _FLOATS or viewed(s.value, kinds) is not None:
                    continue
                once = _made(loop.body)[s.target] == 1 and s.target not in _made(body[k + 1 :])
                known = s.target in self.f.params or any(
                    isinstance(p, Assign) and p.target == s.target for p in body[:k]
                )
                swapped = any(isinstance(p, Rebind) and s.target in p.targets for p in walk_stmts(body))
                if once and known and not swapped:
                    yield _Renewal(s, k)

    def rewritten(self) -> Function:
        """The function with what is still to be tried."""
        f = replace(self.f, kinds=dict(self.f.kinds), namer=self.f.namer.copy())
        body = list(f.body)
        for at in sorted({r.at for r in self.found.values()}, reverse=True):
            here = [r for r in self.found.values() if r.at == at]
            where: dict[str, Any] = {"line": body[at].line, "source": body[at].source}
            new: dict[str, str] = {}
            first: list[Stmt] = []
            for r in here:
                name = r.s.target
                r.new, r.other = f.namer.fresh(name), f.namer.fresh(name)
                new[name] = r.new
                f.kinds.update({r.new: f.kinds[name], r.other: f.kinds[name]})
                first.append(Assign(r.new, Call(primitive(np.copy), (Var(name),)), **where))
                if r.beside:
                    first.append(Assign(r.other, Call(primitive(np.empty_like), (Var(r.new),)), **where))
            loop = body[at]
            assert isinstance(loop, For | While)
            loop = replace(loop, body=tuple(p for s in loop.body for p in self.replaced(s)))
            body[at:] = [*first, *rename((loop, *body[at + 1 :]), new)]
        return replace(f, body=tuple(body))

    def replaced(self, s: Stmt) -> list[Stmt]:
        r = next((r for r in self.found.values() if r.s is s), None)
        if r is None:
            return [s]
        name = r.s.target
        where: dict[str, Any] = {"line": s.line, "source": s.source}
        stored = Store(r.other if r.beside else name, WHOLE_AXIS, r.s.value, **where)
        return [stored, Rebind((name, r.other), (r.other, name), **where)] if r.beside else [stored]

    def names(self) -> set[str]:
        return {name for r in self.found.values() for name in (r.new, r.other)}

    def give_up(self, body: Block, writing: "_Writing") -> bool:
        """Try others where something is done with whole arrays still, or no stencil gains; False if nothing is."""
        changed = False
        gains = {r.at for r in self.found.values() if {r.new, r.other} & writing.stencils}
        for name, r in list(self.found.items()):
            stays = any(s.array in (r.new, r.other) and s.index == WHOLE_AXIS for s in writing.left)
            if stays and not r.beside:
                r.beside = changed = True
            elif stays or r.at not in gains or _read_whole(body, writing.kinds, r):
                del self.found[name]
                changed = True
        return changed


def _read_whole(body: Block, kinds: Mapping[str, Kind], r: _Renewal) -> bool:
    """Whether the loop reads an array other than by element."""
    made = next(k for k, s in enumerate(body) if isinstance(s, Assign) and s.target == r.new)
    loop = next(s for s in body[made:] if isinstance(s, For | While))
    for s in walk_stmts((loop,)):
        for root in expressions(s):
            for e in walk(root):
                read = e.name if isinstance(e, Var) else e.array if isinstance(e, Index) else None
                if read in (r.new, r.other) and kind_of(e, kinds).is_array:
                    return True
    return False


# ------------------------------------------------------------------------------------------------ the loops


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
        self.made = _made(f.body)
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
            body = _without(body, gone)

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
        if self.kinds[s.target].dtype != "float64" or not self.kinds[s.target].is_array or self.made[s.target] > 1:
            return False
        if s.target in names(s.value) or s.target in self.f.params:
            return False
        work = sum(isinstance(e, Unary | Binary | Call) and not _is_roll(e) for e in walk(s.value))
        return self.read[s.target] == 1 or work <= _SHORT

    def stored(self, s: Store) -> list[Stmt]:
        """The loops that write what a statement writes."""
        kind = kind_of_part(self.kinds[s.array], s.index, self.kinds)
        if kind not in _FLOATS or not kind_of(s.value, self.kinds).is_array:
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

        return Element(self.lengths, axes, reads, self.inlined, self.activity.varied_before(s), self.fresh, place)

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


def _made(block: Block) -> Counter[str]:
    """How often a block assigns variables."""
    return Counter(s.target for s in walk_stmts(block) if isinstance(s, Assign))


def _arrays(e: Expr) -> Iterator[str]:
    """The names that an expression reads, as often as it does."""
    for part in walk(e):
        match part:
            case Var(name) | Index(name, _):
                yield name


def _is_roll(e: Expr) -> bool:
    return isinstance(e, Call) and isinstance(e.callee, Primitive) and e.callee.function is np.roll


def _without(block: Block, gone: set[str]) -> Block:
    """A block without the assignments of arrays that nothing reads."""
    out: list[Stmt] = []
    for s in block:
        match s:
            case Assign(target) if target in gone:
                continue
            case For(body=body) | While(body=body):
                s = replace(s, body=_without(body, gone))
            case If(_, then, orelse):
                s = replace(s, then=_without(then, gone), orelse=_without(orelse, gone))
        out.append(s)
    return tuple(out)
