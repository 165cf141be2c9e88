"""Views whose adjoint is a view of the adjoint of what they are a part of.

The adjoint of ``w = weights[k]`` could be an array of zeros that everything is added to which reads `w`, and which is
added to ``weights_b[k]`` in the end.  It may as well be ``weights_b[k]`` itself, *lent* to `w`: an array less to make,
to fill with zeros and to add for each view, which is most of the work where rows are short.  Of arrays that are written
to it always is (ad/bindings.py); here it is of those that are not, where

* view and array are given a value once, and the index does not change;
* what reads the view comes behind it in its block, or in loops there.  A branch would have to begin the adjoint of the
  whole array on both of its sides.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ad.alias import viewed
from ad.function import Function
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
    Items,
    Kind,
    Len,
    Marker,
    Rebind,
    Slice,
    Stmt,
    Unary,
    Var,
    While,
    children,
    expressions,
    names,
    shape_of,
    walk,
)
from ad.primitive import Primitive

__all__ = ["Loan", "Loans"]

_VIEWS = (np.reshape, np.transpose, np.swapaxes, np.flip)
_Path = tuple[tuple[Stmt, str], ...]


@dataclass(frozen=True)
class Loan:
    """What a name is a view of, and the expression."""

    base: str
    view: Expr

    @property
    def reshapes(self) -> bool:
        """Whether that is a view in some layouts only."""
        match self.view:
            case Call(Primitive(function=function)):
                return function is np.reshape
        return False


class Loans:
    """The loans of a function; `shared` are the arrays that are written to under any name."""

    def __init__(self, f: Function, kinds: dict[str, Kind], body: Block, shared: frozenset[str]) -> None:
        self.found: dict[str, Loan] = {}
        if any(isinstance(s, For) and s.parallel for s, _ in _walk(body, ())):
            return  # lanes have adjoints of their own, of whole arrays
        uses = _Uses()
        for s, path in _walk(body, ()):
            uses.take(s, path)
        still = {name for name in kinds if uses.counts[name] == (name not in f.params)}
        for s, path in _walk(body, ()):
            if not isinstance(s, Assign) or s.target == f.result or uses.counts[s.target] != 1:
                continue
            base = _base(s.value, kinds)
            if base in (None, s.target) or {s.target, base} & shared or not kinds[base].is_float:
                continue
            steady = base in still and all(_is_steady(part, still) for part in children(s.value))
            if steady and all(_is_near(path, other) for other in uses.paths.get(s.target, ())):
                self.found[s.target] = Loan(base, s.value)
        for call in uses.calls:
            # What is called may take its arguments to share no memory.
            roots = Counter(map(self.root, call))
            for name in call:
                if roots[self.root(name)] > 1:
                    self.found.pop(name, None)

    @cached_property
    def bases(self) -> frozenset[str]:
        """The arrays that adjoints of others are a part of."""
        return frozenset(loan.base for loan in self.found.values())

    def root(self, name: str) -> str:
        while name in self.found:
            name = self.found[name].base
        return name

    def lenders(self, names: Iterable[str]) -> set[str]:
        """These names, and those of all arrays that the adjoints of these are a part of."""
        found = set(names)
        for name in names:
            while name in self.found:
                name = self.found[name].base
                found.add(name)
        return found

    def needs(self, name: str) -> set[str]:
        """What the adjoint of an array begins with: the shape, or the places where it is in another."""
        if name not in self.found:
            return {shape_of(name)}
        loan = self.found[name]
        return (names(*children(loan.view)) - {loan.base}) | self.needs(loan.base)


@dataclass
class _Uses:
    counts: Counter[str] = field(default_factory=Counter)
    """How often names are given something."""
    paths: dict[str, list[_Path]] = field(default_factory=dict)
    """Where names are read."""
    calls: list[list[str]] = field(default_factory=list)
    """The arrays that the user's functions are given together."""

    def take(self, s: Stmt, path: _Path) -> None:
        match s:
            case Assign(target):
                self.counts[target] += 1
            case Rebind(targets):
                self.counts.update(targets)
            case For(var=var):
                # Steady within its loop, which all that uses a view made there is in.
                self.counts[var] += 1
        for e in expressions(s):
            for name in names(e):
                self.paths.setdefault(name.removesuffix(shape_of("")), []).append(path)
            for part in walk(e):
                if isinstance(part, Call) and isinstance(part.callee, Function):
                    self.calls.append([a.name for a in part.args if isinstance(a, Var)])


def _walk(block: Block, path: _Path) -> Iterator[tuple[Stmt, _Path]]:
    """All statements, with what they are inside of."""
    for s in block:
        yield s, path
        match s:
            case For(body=body) | While(body=body):
                yield from _walk(body, (*path, (s, "body")))
            case If(_, then, orelse):
                yield from _walk(then, (*path, (s, "then")))
                yield from _walk(orelse, (*path, (s, "orelse")))


def _base(value: Expr, kinds: dict[str, Kind]) -> str | None:
    """The array that a value is a view of."""
    match value:
        case Index():
            return viewed(value, kinds)
        case Call(Primitive(function=function), (Var(name), *_)) if function in _VIEWS:
            return name
    return None


def _is_steady(part: Expr, still: set[str]) -> bool:
    """Whether a part of an index, or an argument, is always the same number."""
    match part:
        case Var(name):
            return name in still
        case Len(array):
            return array in still
        case Const() | Marker():
            return True
        case Unary() | Binary() | Slice() | Items():
            return all(_is_steady(p, still) for p in children(part))
    return False


def _is_near(path: _Path, other: _Path) -> bool:
    """Whether a use is in the block of the view, or in loops there."""
    inner = other[len(path) :]
    return other[: len(path)] == path and (not inner or inner[0][1] == "body")
