"""Lengths of arrays as expressions that can be compared, and what statements overwrite from end to end.

A length is known in terms of parameters that nothing is assigned to, and of the lengths of parameters.  Two that are
known and equal are the same at every point of the function; what is not known may be anything.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from ad.function import Function, kind_of
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expr,
    For,
    Index,
    Items,
    Len,
    Rebind,
    Stmt,
    Store,
    Unary,
    Var,
    assigned,
    children,
    expressions,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive
from ad.ranges import shifted

__all__ = ["Extents"]

_ALIKE = (np.copy, np.empty_like, np.zeros_like, np.ones_like, np.full_like)
_MADE = (np.empty, np.zeros, np.ones, np.full)


class Extents:
    """The lengths of the arrays of a function."""

    def __init__(self, f: Function) -> None:
        self.params = frozenset(f.params)
        self.kinds = f.kinds
        self.counts: Counter[str] = Counter()
        self.values: dict[str, Expr] = {}
        self.groups: dict[str, set[str]] = {}
        """Arrays that change places with one another."""
        for s in walk_stmts(f.body):
            match s:
                case Assign(target, value):
                    self.counts[target] += 1
                    self.values[target] = value
                case For(var=var):
                    self.counts[var] += 2
                case Rebind(targets, sources):
                    joined = set().union(*(self.groups.get(n, {n}) for n in (*targets, *sources)))
                    self.groups.update(dict.fromkeys(joined, joined))
        self.known: dict[tuple[str, int], Expr | None] = {}

    def value(self, e: Expr) -> Expr | None:
        """A number in terms of parameters; None where it is not known."""
        match e:
            case Const():
                return e
            case Len(array, int() as axis):
                return self.length(array, axis)
            case Var(name) if name in self.params and self.counts[name] == 0:
                return e
            case Var(name) if self.counts[name] == 1 and name in self.values and name not in self.params:
                return self.value(self.values[name])
            case Binary("+" | "-" as op, left, Const(int() as n)):
                a = self.value(left)
                return shifted(a, n if op == "+" else -n) if a is not None else None
            case Binary("+" | "-" | "*" as op, left, right):
                a, b = self.value(left), self.value(right)
                return Binary(op, a, b) if a is not None and b is not None else None
        return None

    def length(self, array: str, axis: int) -> Expr | None:
        """The length of an array along an axis; None where it is not known."""
        key = array, axis
        if key not in self.known:
            self.known[key] = None  # for what is defined by itself
            group = self.groups.get(array, {array})
            found = {self.own(name, axis) for name in group if not self.is_alike(name, group - {name})}
            self.known[key] = found.pop() if len(found) == 1 else None
        return self.known[key]

    def is_alike(self, array: str, others: set[str]) -> bool:
        """Whether a name is first given an array with the lengths of one of others."""
        match self.values.get(array):
            case Call(Primitive(function=function), (Var(other), *_)) if function in _ALIKE:
                return self.counts[array] == 1 and other in others
        return False

    def own(self, array: str, axis: int) -> Expr | None:
        """The length of the array that a name is first given."""
        if array in self.params:
            return Len(array, axis) if self.counts[array] == 0 else None
        return self.made(self.values[array], axis, self.kinds[array].ndim) if self.counts[array] == 1 else None

    def made(self, e: Expr, axis: int, ndim: int) -> Expr | None:
        """The length of the array that an expression makes."""
        match e:
            case Var(other):
                return self.length(other, axis) if self.kinds[other].ndim == ndim else None
            case Call(Primitive(function=function), (Var(other), *_)) if function in _ALIKE:
                return self.length(other, axis)
            case Call(Primitive(function=function), (Items(parts), *_)) if function in _MADE:
                return self.value(parts[axis])
            case Call(Primitive(function=function), (size, *_)) if function in _MADE and axis == 0:
                return self.value(size) if ndim == 1 else None
            case Unary() | Binary():
                arrays = [part for part in children(e) if kind_of(part, self.kinds).is_array]
                found = {self.made(part, axis, ndim) for part in arrays}
                return found.pop() if len(found) == 1 else None
        return None

    def overwritten(self, s: Stmt) -> set[str]:
        """The arrays that a statement gives new contents from end to end, whatever they held."""
        return set(self._overwritten(s, {})) - assigned_names(s)

    def _overwritten(self, s: Stmt, extents: Mapping[str, Expr]) -> Iterator[str]:
        match s:
            case Store(array, index, _, ""):
                parts = index.parts if isinstance(index, Items) else (index,)
                names = [p.name for p in parts if isinstance(p, Var)]
                whole = len(parts) == self.kinds[array].ndim and len(set(names)) == len(names)
                if whole and all(self.spans(array, k, p, extents) for k, p in enumerate(parts)):
                    yield array
            case For(var, Const(0), stop, Const(1), body, None):
                extent = self.value(stop)
                if extent is not None and var not in assigned(body):
                    for inner in body:
                        yield from self._overwritten(inner, {**extents, var: extent})

    def spans(self, array: str, axis: int, part: Expr, extents: Mapping[str, Expr]) -> bool:
        """Whether a part of an index goes over an axis from end to end."""
        if part == WHOLE_AXIS:
            return True
        return isinstance(part, Var) and part.name in extents and extents[part.name] == self.length(array, axis)

    def least(self, e: Expr, loops: Sequence[Stmt]) -> int | None:
        """A number that a whole number inside of loops is never below; None where none is known."""
        match e:
            case Const(int() as value):
                return value
            case Len():
                return 0
            case Var(name):
                around = [s for s in loops if isinstance(s, For) and s.var == name]
                if around:
                    rises = isinstance(around[-1].step, Const) and around[-1].step.value > 0
                    still = name not in assigned(around[-1].body)
                    return self.least(around[-1].start, loops[: loops.index(around[-1])]) if rises and still else None
                return self.least(self.values[name], ()) if self.counts[name] == 1 and name in self.values else None
            case Binary("+", left, right):
                a, b = self.least(left, loops), self.least(right, loops)
                return a + b if a is not None and b is not None else None
            case Binary("-", left, Const(int() as value)):
                a = self.least(left, loops)
                return a - value if a is not None else None
        return None

    def apart(self, s: Store, loops: Sequence[Stmt], around: Sequence[Stmt]) -> bool:
        """Whether a write inside of loops meets another element at every trip of these; `around` are all around it."""
        moving: set[str] = set()
        for part in s.index.parts if isinstance(s.index, Items) else (s.index,):
            name, least = _moving(part), self.least(part, around)
            # An index below zero counts from the end, and could meet the same element as another.
            if name is not None and least is not None and least >= 0:
                moving.add(name)
        steady = all(isinstance(p, For) and p.var in moving and p.var not in assigned(p.body) for p in loops)
        return steady and s.array not in assigned_names(loops[0])

    def same_element(self, s: Store, readers: Collection[Stmt], loop: Stmt) -> bool:
        """Whether statements read, of the array that one writes to, no other element, and that only after it."""
        body = loop.body if isinstance(loop, For) else ()
        if s not in body or any(p not in body[body.index(s) + 1 :] for p in readers):
            return False
        if {p.name for p in walk(s.index) if isinstance(p, Var)} & assigned(body):
            return False
        reads = [e for p in readers for root in expressions(p) for e in walk(root)]
        others = [e for e in reads if isinstance(e, Index) and e.array == s.array and e.index != s.index]
        return not others and Var(s.array) not in reads


def _moving(part: Expr) -> str | None:
    """The variable of an index that is one, or one with a number added to it."""
    match part:
        case Var(name) | Binary("+" | "-", Var(name), Const()):
            return name
    return None


def assigned_names(s: Stmt) -> set[str]:
    """The names that a statement gives numbers or arrays to."""
    block: Block = (s,)
    found = {p.target for p in walk_stmts(block) if isinstance(p, Assign)}
    return found.union(*(p.targets for p in walk_stmts(block) if isinstance(p, Rebind)))
