"""Two classical analyses of a function: which variables are surely assigned, and which are still read later."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from ad.function import Function
from ad.ir import (
    Assign,
    Block,
    Call,
    Compare,
    Const,
    Dtype,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Len,
    Place,
    Raise,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    expressions,
    names,
    walk,
)
from ad.primitive import Primitive, primitive
from ad.source import Source

__all__ = [
    "Liveness",
    "check_assigned",
    "empty",
    "is_placeholder",
    "never_empty",
    "raises",
    "run_at_least_once",
    "without",
]


def never_empty(loop: For) -> bool:
    """Whether a loop surely runs at least once."""
    if loop.runs:
        return True
    bounds = (loop.start, loop.stop, loop.step)
    if not all(isinstance(b, Const) for b in bounds):
        return False
    return len(range(*(int(b.value) for b in bounds if isinstance(b, Const)))) > 0


def run_at_least_once(
    body: Block,
    params: set[str],
    result: str,
    kinds: Mapping[str, Kind],
    shared: Collection[str],
    called: Mapping[str, str],
) -> Block:
    """The body with a check before each loop that gives a value to what is read after it.

    Python raises UnboundLocalError where such a loop does not run.  The names of `shared` arrays get an empty one
    before it, so that they stand for an array at the start of every trip.  `called` is what the user calls variables.
    """
    live = Liveness(body, {result})

    def block(stmts: Block, known: set[str]) -> tuple[Block, set[str]]:
        out: list[Stmt] = []
        for s in stmts:
            match s:
                case For(var=var, body=inner):
                    new, after = block(inner, known | {var})
                    missing = (live.after[s] & (after | {var})) - known
                    runs = never_empty(s) or bool(missing)
                    if missing and not never_empty(s):
                        name = sorted(missing)[0]
                        out.append(_not_empty(s, called.get(name, name)))
                    out += [empty(name, kinds[name], s.line, s.source) for name in sorted(missing & {*shared})]
                    out.append(replace(s, body=new, runs=runs))
                    known = after if runs else known
                case While(body=inner):
                    new, after = block(inner, known)
                    endless = isinstance(s.cond, Const) and s.cond.value
                    if endless:
                        missing = (live.after[s] & after) - known
                        out += [empty(name, kinds[name], s.line, s.source) for name in sorted(missing & {*shared})]
                    out.append(replace(s, body=new))
                    known = after if endless else known
                case If(_, then, orelse):
                    (then, a), (orelse, b) = block(then, known), block(orelse, known)
                    out.append(replace(s, then=then, orelse=orelse))
                    known = b if raises(then) else a if raises(orelse) else a & b
                case _:
                    out.append(s)
                    known = known | assigned((s,))
        return tuple(out), known

    return block(body, params)[0]


def _not_empty(s: For, name: str) -> Stmt:
    trips = Call(Primitive(len, (), "int"), (Call(Primitive(range, (), "int"), (s.start, s.stop, s.step)),))
    text = f"{name} has no value: the loop that gives it one (line {s.line}) did not run"
    error = Raise(UnboundLocalError, (Const(text),), line=s.line, source=s.source)
    return If(Compare(trips, ("==",), (Const(0),)), (error,), (), line=s.line, source=s.source)


def empty(name: str, kind: Kind, line: int, source: Source | None) -> Stmt:
    """An array without elements for a name that must stand for one."""
    zeros = (Const(0),) * kind.ndim
    shape = zeros[0] if kind.ndim == 1 else Items(zeros)
    made = Call(primitive(np.empty), (shape,), (("dtype", Dtype(kind.dtype)),))
    return Assign(name, made, line=line, source=source)


def is_placeholder(s: Assign) -> bool:
    """Whether a statement is one of `empty`: calls that the user wrote have a place in the file."""
    match s.value:
        case Call(Primitive(function=np.empty), (size,), at=None):
            return all(n == Const(0) for n in (size.parts if isinstance(size, Items) else (size,)))
    return False


def check_assigned(f: Function) -> None:
    """Raise UnsupportedSyntax for a variable that is read where it may have no value yet."""
    _Assigned(f).run()


class _Assigned:
    def __init__(self, f: Function) -> None:
        self.f = f

    def run(self) -> None:
        known = self.block(self.f.body, set(self.f.params))
        if self.f.result not in known:
            self.f.source.refuse(
                f"{self.f.result} may have no value when the function returns it: {_CURE}", self.f.result_place
            )

    def block(self, block: Block, known: set[str]) -> set[str]:
        for s in block:
            known = self.stmt(s, known)
        return known

    def read(self, s: Stmt, known: set[str]) -> None:
        self.check(expressions(s), known, s.source or self.f.source, Place(s.line))

    def check(self, exprs: Iterable[Expr], known: set[str], source: Source, line: Place) -> None:
        for e in exprs:
            for part in walk(e):
                match part:
                    case Var(name) | Index(name, _) | Len(name, _) if name not in known:
                        shown = self.f.called.get(name, name)
                        source.refuse(f"{shown} may have no value here: {_CURE}", part.at or e.at or line)

    def stmt(self, s: Stmt, known: set[str]) -> set[str]:
        self.read(s, known)
        match s:
            case Assign(target, _):
                return known | {target}
            case Store(array=array):
                self.check((Var(array),), known, s.source or self.f.source, Place(s.line))
            case Rebind(targets, sources):
                self.check([Var(n) for n in sources], known, s.source or self.f.source, Place(s.line))
                return known | set(targets)
            case For(var=var, body=body):
                after = self.block(body, known | {var})
                return after if never_empty(s) else known
            case While(cond, body):
                after = self.block(body, known)
                return after if isinstance(cond, Const) and cond.value else known
            case If(_, then, orelse):
                a, b = self.block(then, known), self.block(orelse, known)
                return b if raises(then) else a if raises(orelse) else a & b
        return known


def raises(block: Block) -> bool:
    """Whether a block surely ends in an exception."""
    if not block:
        return False
    last = block[-1]
    return isinstance(last, Raise) or (isinstance(last, If) and raises(last.then) and raises(last.orelse))


_CURE = "give it one before the loop or in the other branch"


class Liveness:
    """For every statement of a block, nested ones included, the variables that may still be read.

    `after` and `before` map a statement to those read from there on; `live` are those read after the block.
    """

    def __init__(self, block: Block, live: set[str]) -> None:
        self.after: dict[Stmt, set[str]] = {}
        self.before: dict[Stmt, set[str]] = {}
        self.block(block, live)

    def next_trip(self, s: For | While) -> set[str]:
        """The variables that another trip through a loop may read."""
        again = _arrays(names(s.cond)) if isinstance(s, While) else set()
        return again | (self.before[s.body[0]] - {s.var} if isinstance(s, For) else self.before[s.body[0]])

    def block(self, block: Block, live: set[str]) -> set[str]:
        for s in reversed(block):
            self.after[s] = self.after.get(s, set()) | live
            live = self.stmt(s, live)
            self.before[s] = self.before.get(s, set()) | live
        return live

    def stmt(self, s: Stmt, live: set[str]) -> set[str]:
        """The variables that may be read from before the statement on."""
        reads = _arrays(names(*expressions(s)))
        match s:
            case Assign(target, _):
                return (live - {target}) | reads
            case Store(array=array):
                return live | reads | {array}
            case Rebind(targets, sources):
                return (live - set(targets)) | {r for t, r in zip(targets, sources, strict=True) if t in live}
            case For(var=var, body=body):
                head = set(live)
                while True:
                    trip = self.block(body, head) - {var}
                    if trip <= head:
                        # A loop that surely runs is not passed by; check_assigned counts on that too.
                        return (trip if never_empty(s) else head) | reads
                    head |= trip
            case While(body=body):
                head = live | reads
                while True:
                    more = head | self.block(body, head)
                    if more == head:
                        return head
                    head = more
            case If(_, then, orelse):
                return self.block(then, live) | self.block(orelse, live) | reads
        return live | reads


def _arrays(found: set[str]) -> set[str]:
    """The variables behind names; that of an array where its shape is read."""
    return {name.removesuffix(".shape") for name in found}


def without(block: Block, gone: Collection[str], value: type[Expr] = Expr) -> Block:
    """A block without the assignments of such a value to some variables, and without ifs that had nothing else."""
    out: list[Stmt] = []
    for s in block:
        match s:
            case Assign(target) if target in gone and isinstance(s.value, value):
                continue
            case For(body=body) | While(body=body):
                inner = without(body, gone, value)
                s = replace(s, body=inner) if inner != body else s
            case If(_, then, orelse):
                sides = without(then, gone, value), without(orelse, gone, value)
                if sides != (then, orelse):
                    if not any(sides):
                        continue
                    s = replace(s, then=sides[0], orelse=sides[1])
        out.append(s)
    return tuple(out)
