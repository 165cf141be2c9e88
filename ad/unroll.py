"""Loops of few trips, written out: an index that such a loop counts is a number in each of them."""

from collections.abc import Mapping
from dataclasses import replace

from ad.flow import Liveness
from ad.ir import (
    Assign,
    Block,
    Break,
    Const,
    Expr,
    For,
    If,
    Index,
    Stmt,
    Store,
    Var,
    While,
    expressions,
    map_expressions,
    parts_of,
    substitute,
    walk,
    walk_stmts,
)
from ad.sizes import Sizes, Unknown

__all__ = ["unrolled"]

_TRIPS = 9
_STATEMENTS = 200
"""How many statements a loop may become."""


def unrolled(body: Block, arrays: set[str], sizes: Sizes, live: Liveness) -> Block:
    """The body with those loops of few trips written out whose counters are indices of some arrays."""
    return _Unrolling(arrays, sizes, live).block(body, {})


class _Unrolling:
    def __init__(self, arrays: set[str], sizes: Sizes, live: Liveness) -> None:
        self.arrays = arrays
        self.sizes = sizes
        self.live = live

    def block(self, block: Block, counters: Mapping[str, Const]) -> Block:
        return tuple(new for s in block for new in self.stmt(s, counters))

    def stmt(self, s: Stmt, counters: Mapping[str, Const]) -> Block:
        def change(e: Expr) -> Expr | None:
            return counters.get(e.name) if isinstance(e, Var) else None

        new = map_expressions(s, lambda e: substitute(e, change)) if counters or parts_of(s) else s
        match new:
            case For(var, body=body):
                trips = self.trips(new)
                if trips is not None:
                    out = tuple(p for k in trips for p in self.block(body, {**counters, var: Const(k)}))
                    if len(list(walk_stmts(out))) <= _STATEMENTS:
                        last = [Assign(var, Const(k), line=s.line, source=s.source) for k in trips[-1:]]
                        return (*out, *last) if var in self.live.after[s] else out
                inner = {name: k for name, k in counters.items() if name != var}
                return (replace(new, body=self.block(body, inner)),)
            case While(body=body):
                return (replace(new, body=self.block(body, counters)),)
            case If(cond, then, orelse):
                # Elsewhere it may be what makes sure of a length.
                known = self.truth(cond) if counters else None
                if known is not None:
                    return self.block(then if known else orelse, counters)
                return (replace(new, then=self.block(then, counters), orelse=self.block(orelse, counters)),)
        return (new,)

    def trips(self, s: For) -> range | None:
        """The values of the counter of a loop that may be written out."""
        if not self.counts(s) or _leaves(s.body):
            return None
        try:
            found = range(self.sizes.number(s.start), self.sizes.number(s.stop), self.sizes.number(s.step))
        except Unknown:
            return None
        return found if len(found) <= _TRIPS else None

    def truth(self, cond: Expr) -> bool | None:
        """Whether a condition holds; None where that is not known."""
        try:
            return self.sizes.truth(cond)
        except Unknown:
            return None

    def counts(self, loop: For) -> bool:
        """Whether the counter of a loop is in an index of one of the arrays."""
        for s in walk_stmts(loop.body):
            parts = [p for e in expressions(s) for p in walk(e) if isinstance(p, Index)]
            indices = [p.index for p in parts if p.array in self.arrays]
            if isinstance(s, Store) and s.array in self.arrays:
                indices.append(s.index)
            if any(Var(loop.var) in walk(i) for i in indices):
                return True
        return False


def _leaves(body: Block) -> bool:
    """Whether a loop with this body may be left before its end."""
    return any(isinstance(s, Break) or (isinstance(s, If) and _leaves((*s.then, *s.orelse))) for s in body)
