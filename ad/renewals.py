"""Arrays that each trip of a loop makes anew, ``u = u + ...``, written to in place.

Or beside the old one, where that is read again, and the two change places: then nothing has to be copied to the tape
(see `ad.exchange`).  Measured on Burgers' equation, 64 cells: 0.76 to 0.35 ms.

The array is the loop's own, a copy that no other name stands for, and nothing in the loop reads it other than by
element: so no one can tell the difference.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ad.alias import viewed
from ad.function import Function, kind_of
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Block,
    Call,
    For,
    Index,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    expressions,
    walk,
    walk_stmts,
)
from ad.primitive import primitive
from ad.webs import rename_arrays

__all__ = ["FLOATS", "Renewals"]

FLOATS = tuple(Kind("float64", ndim) for ndim in (1, 2, 3))


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


class Renewals:
    """Arrays to be written to in place, or beside the old one, as far as all that reads them in the loop is looped."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self.found = {r.s.target: r for r in self.candidates()}

    def candidates(self) -> Iterator[_Renewal]:
        body, kinds = self.f.body, self.f.kinds
        swapped = {name for p in walk_stmts(body) if isinstance(p, Rebind) for name in p.targets}
        for k, loop in enumerate(body):
            if not isinstance(loop, For | While) or loop.checkpoints is not None:  # what is beside would be state
                continue
            inside, later = _assignments(loop.body), _assignments(body[k + 1 :])
            for s in loop.body:
                if not isinstance(s, Assign) or kinds[s.target] not in FLOATS or viewed(s.value, kinds) is not None:
                    continue
                once = inside[s.target] == 1 and s.target not in later
                known = s.target in self.f.params or any(
                    isinstance(p, Assign) and p.target == s.target for p in body[:k]
                )
                if once and known and s.target not in swapped:
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
            body[at:] = [*first, *rename_arrays((loop, *body[at + 1 :]), new)]
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

    def give_up(self, body: Block, kinds: Mapping[str, Kind], left: Sequence[Store], stencils: set[str]) -> bool:
        """Try others where something is done with whole arrays still, or no stencil gains; False if nothing is.

        `body` is what was written for the last try, `left` are the statements that it left as they were, `stencils`
        the arrays of those that are stencils.
        """
        stay = [
            r for r in self.found.values() if any(s.array in (r.new, r.other) and s.index == WHOLE_AXIS for s in left)
        ]
        beside = [r for r in stay if not r.beside]
        for r in beside:
            r.beside = True
        if beside:
            return True
        gains = {r.at for r in self.found.values() if {r.new, r.other} & stencils}
        gone = [r for r in self.found.values() if r in stay or r.at not in gains or _read_whole(body, kinds, r)]
        for r in gone:
            del self.found[r.s.target]
        return bool(gone)


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


def _assignments(block: Block) -> Counter[str]:
    """How often a block assigns variables."""
    return Counter(s.target for s in walk_stmts(block) if isinstance(s, Assign))
