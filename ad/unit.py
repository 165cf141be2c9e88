"""A generated function, and how the user's statements become part of one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ad import runtime
from ad.function import Function, Options, is_element, kind_of
from ad.helpers import GATHER, SCATTER
from ad.ir import (
    AddTo,
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Computed,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    Like,
    MultiAssign,
    Pop,
    Push,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    expressions,
    map_expressions,
    substitute,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive

__all__ = ["SWEEP_BACK", "Effects", "Importer", "Unit", "effects"]

SWEEP_BACK = "reverse sweep"
"""The comment above the second half of a gradient; set apart by an empty line."""

_CHECKED = {
    "/": Primitive(runtime.div, ()),
    "//": Primitive(runtime.floordiv, ()),
    "%": Primitive(runtime.mod, ()),
}


@dataclass(eq=False)
class Unit:
    """One function of a generated module.  A Call whose callee is a Unit calls it; `tape` is its handle's name."""

    name: str
    params: tuple[str, ...]
    body: Block
    options: Options
    doc: str
    tape: str | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)
    single: bool = False
    """Whether floats are recorded in single precision."""
    bits: str | None = None
    """The variable that gathers decisions of branches, where there are any to record."""
    facts: Any = None
    """What is known about it besides (a records.Facts)."""
    result_kind: Kind | None = None
    """What it returns, where that is one number."""
    lanes: str | None = None
    """The array with the handles of the lanes, of a gradient that has loops in lanes."""
    parallel: bool = False
    """Whether its loops over ``prange`` are compiled with threads."""
    schedules: tuple[Computed, ...] = ()
    """What a gradient is to be called with (`ad.scheduling.scheduled`)."""

    def fill(self, made: "Unit") -> None:
        """Become what another object is: a function that calls itself is met before it is made."""
        self.__dict__.update(made.__dict__)

    def is_array(self, e: Expr) -> bool:
        return kind_of(e, self.kinds).is_array


@dataclass(frozen=True)
class Importer:
    """Makes the user's code part of a generated function.

    Divisions of numbers are checked as Python does, unless that was done `before`; what is called becomes generated
    functions; index arrays go through functions that check them, which Numba does not.
    """

    kinds: Mapping[str, Kind]
    primal: Callable[[Function], Unit]
    before: bool = False

    def expr(self, e: Expr) -> Expr:
        return substitute(e, self._change)

    def _change(self, part: Expr) -> Expr | None:
        match part:
            case Binary(op, left, right, checked=True) if not self.before and self._may_fail(left, right):
                return Call(_CHECKED[op], (self.expr(left), self.expr(right)))
            case Call(Function() as callee, args):
                return Call(self.primal(callee), tuple(self.expr(a) for a in args))
            case Call(Primitive(home=None, result="float") as callee, args):
                # Whatever a user's function returns, the tape and the adjoint take it as a float.
                return Cast(Kind.FLOAT, Call(callee, tuple(self.expr(a) for a in args)))
            case Index(array, index) if not is_element(index, self.kinds):
                return Call(GATHER, (Var(array), self.expr(index)))
        return None

    def _may_fail(self, left: Expr, right: Expr) -> bool:
        numbers = not kind_of(left, self.kinds).is_array and not kind_of(right, self.kinds).is_array
        return numbers and not _nonzero(right)

    def block(self, block: Block) -> Block:
        return tuple(self.stmt(s) for s in block)

    def stmt(self, s: Stmt) -> Stmt:
        new = map_expressions(s, self.expr)
        match new:
            case Store(array, index, value) if isinstance(s, Store) and not is_element(s.index, self.kinds):
                return MultiAssign((), Call(SCATTER, (Var(array), index, value)), line=s.line, source=s.source)
            case For(body=body) | While(body=body):
                return replace(new, body=self.block(body))
            case If(_, then, orelse):
                return replace(new, then=self.block(then), orelse=self.block(orelse))
        return new


def _nonzero(e: Expr) -> bool:
    return isinstance(e, Const) and e.value != 0


def _changed(e: Expr) -> set[str]:
    """The arrays that a call for its effect may write to."""
    args = e.args if isinstance(e, Call) else ()
    return {a.name if isinstance(a, Var) else a.array for a in args if isinstance(a, Var | Index)}


@dataclass(frozen=True)
class Effects:
    """The names that statements read and write."""

    reads: set[str]
    writes: set[str]


def effects(stmts: Iterable[Stmt]) -> Effects:
    reads: set[str] = set()
    writes: set[str] = set()
    for s in walk_stmts(tuple(stmts)):
        exprs = expressions(s)
        match s:
            case Assign(target):
                writes.add(target)
            case AddTo(target):
                exprs = (target, *exprs)
                writes.add(target.name if isinstance(target, Var) else target.array)
            case Store(array=array):
                reads.add(array)
                writes.add(array)
            case Rebind(targets, sources):
                reads.update(sources)
                writes.update(targets)
            case MultiAssign(targets, value):
                writes.update(targets)
                writes.update(_changed(value))
            case For(var=var):
                writes.add(var)
            case Push((Var(name),), exchanged=True):
                writes.add(name)
            case Pop((Var(name),), exchanged=True):
                reads.add(name)
                writes.add(name)
            case Pop(targets):
                writes.update(t.name if isinstance(t, Var) else t.array for t in targets)
                reads.update(t.array for t in targets if isinstance(t, Index))
                exprs = tuple(t.index for t in targets if isinstance(t, Index))
        for e in exprs:
            for part in walk(e):
                match part:
                    case Var(name) | Index(name, _) | Len(name, _) | Like(name):
                        reads.add(name)
    return Effects(reads, writes)
