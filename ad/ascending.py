"""Whether a reverse loop may run upwards: its trips give the same in any order.

The reverse sweep of a loop goes through its trips backwards.  Memory is read ahead for those who go forwards: the rows
of a grid from the last to the first, each from left to right, take 1.5 x the time of the same rows in the other order.
Trips commute if each writes to elements of its own, and to others only adds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ad.helpers import INSIDE
from ad.ir import (
    AddTo,
    Assign,
    Call,
    Comment,
    Const,
    Expr,
    For,
    If,
    Index,
    Items,
    MultiAssign,
    Stmt,
    Store,
    Var,
    expressions,
    names,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive
from ad.trips import Context, Dependent, offset_of
from ad.windows import windowed

__all__ = ["ascends"]


def ascends(s: For, reverse: Sequence[Stmt], context: Context) -> bool:
    """Whether the trips of a loop, the reverse body of which is given, may be reversed from the first to the last."""
    if s.step != Const(1) or s.trips is not None:
        return False
    try:
        _Trips(s, reverse, context).check()
    except Dependent:
        return False
    return True


@dataclass(frozen=True)
class _Access:
    array: str
    index: Expr | None
    """None for all of the array."""
    adds: bool = False
    writes: bool = False


@dataclass
class _Trips:
    s: For
    reverse: Sequence[Stmt]
    context: Context

    def check(self) -> None:
        self.bases = dict(windowed(self.reverse))
        self.given = {s.target for s in walk_stmts(tuple(self.reverse)) if isinstance(s, Assign)}
        self.sums: set[str] = set()
        self.read: set[str] = set()
        accesses = list(self.accesses(self.reverse, {self.s.var}))
        if self.sums & (self.given | self.read) or self.context.carried & self.given:
            raise Dependent
        for access in accesses:
            if access.adds or access.writes:
                others = [o for o in accesses if self.context.share(o.array, access.array)]
                if not all(o.adds for o in others) and not self.own(others):
                    raise Dependent

    def accesses(self, stmts: Sequence[Stmt], known: set[str]) -> Iterator[_Access]:
        """How statements reach arrays; `known` are the numbers that the trip has given a value by then."""
        for s in stmts:
            match s:
                case MultiAssign(_, Call(callee)) if callee is INSIDE:
                    continue
                case Comment() | For(trips=None) | If() | AddTo(Var()) | AddTo(Index()) | Store(op=""):
                    pass
                case Assign(target) if not self.context.kinds[target].is_array:
                    pass
                case _:
                    raise Dependent
            for e in expressions(s):
                yield from self.reads(e, known)
            match s:
                case Assign(target):
                    known.add(target)
                case AddTo(Var(name)) if name not in known:
                    self.sums.add(name)
                case AddTo(Index(array, index)):
                    yield from self.reads(index, known)
                    yield _Access(self.base(array), index, adds=True)
                case Store(array, index):
                    yield _Access(self.base(array), index, writes=True)
                case For(var, body=body):
                    yield from self.accesses(body, known | {var})
                case If(_, then, orelse):
                    yield from self.accesses(then, set(known))
                    yield from self.accesses(orelse, set(known))

    def reads(self, root: Expr, known: set[str]) -> Iterator[_Access]:
        self.read |= names(root)
        if (names(root) & self.given) - known:
            raise Dependent  # what the trip before left
        for e in walk(root):
            match e:
                case Index(array, index):
                    yield _Access(self.base(array), index)
                case Var(name) if name in self.context.kinds and self.context.kinds[name].is_array:
                    yield _Access(self.base(name), None)
                case Call(Primitive() as callee) if callee.elementwise:
                    pass
                case Call():
                    raise Dependent

    def base(self, array: str) -> str:
        return self.bases.get(array, array)

    def own(self, accesses: Sequence[_Access]) -> bool:
        """Whether no two trips reach the same element of an array."""
        if len({a.array for a in accesses}) > 1:
            return False
        parts = [a.index.parts if isinstance(a.index, Items) else (a.index,) for a in accesses]
        least = self.context.extents.least(self.s.start, self.context.around)
        for along in zip(*parts, strict=False):
            offsets = {offset_of(e, self.s.var) if e is not None else None for e in along}
            [offset] = offsets if len(offsets) == 1 else [None]
            if offset is not None and least is not None and least + offset >= 0:
                return True
        return False
