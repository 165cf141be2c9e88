"""A generated function, and how the user's statements become part of one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ad import runtime
from ad.function import Function, Options, kind_of
from ad.ir import (
    AddTo,
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    MultiAssign,
    Pop,
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

__all__ = ["SWEEP_BACK", "Effects", "Unit", "effects", "import_block", "import_expr"]

SWEEP_BACK = "reverse sweep"
"""The comment above the second half of a gradient; set apart by an empty line."""

_CHECKED = {
    "/": Primitive(runtime.div, ()),
    "//": Primitive(runtime.floordiv, ()),
    "%": Primitive(runtime.mod, ()),
}


@dataclass(frozen=True, eq=False)
class Unit:
    """One function of a generated module.  A Call whose callee is a Unit calls it; `tape` is its handle's name."""

    name: str
    params: tuple[str, ...]
    body: Block
    options: Options
    doc: str
    tape: str | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)

    def is_array(self, e: Expr) -> bool:
        return kind_of(e, self.kinds).is_array


def import_expr(e: Expr, checked: Mapping[str, Kind] | None, primal: Callable[[Function], Unit]) -> Expr:
    """A forward expression as generated code computes it: with Python's checks, calling generated functions.

    `checked` are the kinds of variables where divisions of numbers are checked, else None.
    """

    def change(part: Expr) -> Expr | None:
        match part:
            case Binary("/" | "//" | "%" as op, left, right) if _is_checked(left, right, checked):
                return Call(_CHECKED[op], (again(left), again(right)))
            case Call(Function() as callee, args):
                return Call(primal(callee), tuple(again(a) for a in args))
            case Call(Primitive(home=None, result="float") as callee, args):
                # Whatever a user's function returns, the tape and the adjoint take it as a float.
                return Cast(Kind.FLOAT, Call(callee, tuple(again(a) for a in args)))
        return None

    def again(part: Expr) -> Expr:
        return substitute(part, change)

    return again(e)


def import_block(block: Block, checked: Mapping[str, Kind] | None, primal: Callable[[Function], Unit]) -> Block:
    """Statements of the user as part of a generated function."""

    def expr(e: Expr) -> Expr:
        return import_expr(e, checked, primal)

    def stmt(s: Stmt) -> Stmt:
        match s:
            case For(start=start, stop=stop, step=step, body=body):
                return replace(s, start=expr(start), stop=expr(stop), step=expr(step), body=again(body))
            case While(cond=cond, body=body):
                return replace(s, cond=expr(cond), body=again(body))
            case If(cond=cond, then=then, orelse=orelse):
                return replace(s, cond=expr(cond), then=again(then), orelse=again(orelse))
        return map_expressions(s, expr)

    def again(part: Block) -> Block:
        return tuple(stmt(s) for s in part)

    return again(block)


def _is_checked(left: Expr, right: Expr, kinds: Mapping[str, Kind] | None) -> bool:
    if kinds is None or _nonzero(right):
        return False
    return not kind_of(left, kinds).is_array and not kind_of(right, kinds).is_array


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
            case Pop(targets):
                writes.update(t.name if isinstance(t, Var) else t.array for t in targets)
                reads.update(t.array for t in targets if isinstance(t, Index))
                exprs = tuple(t.index for t in targets if isinstance(t, Index))
        for e in exprs:
            for part in walk(e):
                match part:
                    case Var(name) | Index(name, _) | Len(name, _):
                        reads.add(name)
    return Effects(reads, writes)
