"""Which names stand for the same memory.

Arrays that are never written to in place are values: whether two names share one makes no difference.  The others are
*shared*: all that may stand for parts of the same memory as something that is written to.  For these the analysis
knows, before and after every statement,

* by a symbol for each name, which names surely stand for the same array, and what is a view of what;
* by pairs of names, which may share memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ad.arrays.references import view_at
from ad.flow import raises
from ad.function import kind_of
from ad.ir import (
    Assign,
    Block,
    Call,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    walk_stmts,
)
from ad.primitive import Primitive

__all__ = ["VIEW_AT", "Aliases", "Part", "State", "Symbol", "definitions", "root_of", "shared_arrays", "viewed"]

Part = tuple[Stmt | None, str]
"""A block, named by its statement and field; ``(None, "body")`` is the function's."""

VIEW_AT = Primitive(
    view_at, (lambda g, ans, *_: g, None, None, None), lambda base, at, shape, steps: Kind(base.dtype, shape.ndim)
)
"""A view made from numbers; as of every view of a shared array, its rule is not asked for."""

_VIEWS = (np.transpose, np.reshape, np.swapaxes, np.flip, np.diagonal, np.real, np.imag, view_at)


def viewed(e: Expr, kinds: dict[str, Kind]) -> str | None:
    """The array that a value is, or is a view of; None for a fresh array or a number."""
    match e:
        case Var(name) if kinds[name].is_array:
            return name
        case Index(array, index):
            parts = index.parts if isinstance(index, Items) else (index,)
            copies = any(isinstance(p, Var) and kinds[p.name].is_array for p in parts)
            element = all(not isinstance(p, Var) or not kinds[p.name].is_array for p in parts)
            return array if not copies and element and _is_array(e, kinds) else None
        case Call(Primitive(function=function), (first, *_)) if function in _VIEWS:
            return viewed(first, kinds)
    return None


def _is_array(e: Index, kinds: dict[str, Kind]) -> bool:
    return kind_of(e, kinds).is_array


def shared_arrays(body: Block, kinds: dict[str, Kind]) -> dict[str, frozenset[str]]:
    """The shared arrays, each with all that may stand for the same memory at any time."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (up := parent.get(name, name)) != name:
            name = up
        return name

    written: set[str] = set()
    for s in walk_stmts(body):
        match s:
            case Assign(target, value):
                base = viewed(value, kinds)
                if base is not None:
                    parent[root(target)] = root(base)
            case Rebind(targets, sources):
                for name in (*targets, *sources):
                    parent[root(name)] = root(targets[0])
            case Store(array=array):
                written.add(array)
    roots = {root(name) for name in written}
    classes: dict[str, set[str]] = {}
    for name, kind in kinds.items():
        if kind.is_array and root(name) in roots:
            classes.setdefault(root(name), set()).add(name)
    return {name: frozenset(members) for members in classes.values() for name in members}


@dataclass(frozen=True)
class Symbol:
    """One array.  A view has the symbol that it is a view of, and the expression that makes it."""

    key: tuple[object, str]
    base: "Symbol | None" = None
    view: Expr | None = None


def root_of(symbol: Symbol) -> Symbol:
    """What a view is a view of in the end."""
    while symbol.base is not None:
        symbol = symbol.base
    return symbol


def definitions(s: Stmt) -> tuple[str, ...]:
    """The names that a statement itself gives an array to."""
    match s:
        case Assign(target):
            return (target,)
        case Rebind(targets):
            return targets
    return ()


@dataclass(frozen=True)
class State:
    symbols: dict[str, Symbol] = field(default_factory=dict)
    pairs: frozenset[frozenset[str]] = frozenset()

    def without(self, names: set[str]) -> "State":
        symbols = {n: s for n, s in self.symbols.items() if n not in names}
        return State(symbols, frozenset(p for p in self.pairs if p.isdisjoint(names)))

    def may_share(self, a: str, b: str) -> bool:
        return a == b or frozenset((a, b)) in self.pairs

    def sharing(self, name: str) -> set[str]:
        """All names that may share memory with `name`, itself included."""
        return {name}.union(*(pair for pair in self.pairs if name in pair))

    def same(self, name: str) -> set[str]:
        """All names that surely stand for the same array as `name`, itself excluded."""
        symbol = self.symbols.get(name)
        return {n for n, s in self.symbols.items() if s == symbol and n != name} if symbol is not None else set()


class Aliases:
    """The analysis of a function's body; `shared` are the names that it is about."""

    def __init__(self, body: Block, kinds: dict[str, Kind], shared: Iterable[str]) -> None:
        self.kinds = kinds
        self.shared = frozenset(shared)
        self.before: dict[Stmt, State] = {}
        self.after: dict[Stmt, State] = {}
        self.at_end: dict[Part, State] = {}
        self.paths: dict[str, list[tuple[Stmt, ...]]] = {name: [] for name in self.shared}
        self.homes: dict[str, Part] = {}
        self.count: dict[str, int] = {}
        self.find_homes(body)
        self.at_end[None, "body"] = self.block(body, State())

    def find_homes(self, body: Block) -> None:
        """The innermost block of each name in which all its definitions are."""
        parts: dict[str, list[tuple[Part, ...]]] = {name: [] for name in self.shared}

        def visit(block: Block, path: tuple[Part, ...]) -> None:
            for s in block:
                for name in definitions(s):
                    if name in parts:
                        parts[name].append(path)
                        self.paths[name].append(tuple(part[0] for part in path if part[0] is not None))
                match s:
                    case For(body=inner) | While(body=inner):
                        visit(inner, (*path, (s, "body")))
                    case If(_, then, orelse):
                        visit(then, (*path, (s, "then")))
                        visit(orelse, (*path, (s, "orelse")))

        visit(body, ((None, "body"),))
        for name, paths in parts.items():
            self.count[name] = len(paths)
            if paths:
                common = [p for p, *others in zip(*paths) if all(p == o for o in others)]
                self.homes[name] = common[-1]

    def block(self, block: Block, state: State) -> State:
        for s in block:
            self.before[s] = state
            state = self.stmt(s, state)
            self.after[s] = state
        return state

    def stmt(self, s: Stmt, state: State) -> State:
        match s:
            case Assign(target, value) if target in self.shared:
                return self.bound(s, target, value, state)
            case Rebind(targets, sources):
                return self.renamed(targets, sources, state)
            case If(_, then, orelse):
                a, b = self.block(then, state), self.block(orelse, state)
                self.at_end[s, "then"], self.at_end[s, "orelse"] = a, b
                return b if raises(then) else a if raises(orelse) else _join(s, a, b)
            case For(body=body) | While(body=body):
                inner = {n for n in self.shared if all(s in path for path in self.paths[n])}
                while True:
                    end = self.block(body, state)
                    self.at_end[s, "body"] = end
                    # What is made within a trip is not carried to the next one.
                    more = _join(s, state, end.without(inner))
                    if more == state:
                        return state
                    state = more
        return state

    def bound(self, s: Stmt, target: str, value: Expr, state: State) -> State:
        base = viewed(value, self.kinds)
        symbols = dict(state.symbols)
        symbol = Symbol((s, target))
        if base is not None and base in symbols:
            own = symbols[base]
            symbol = own if isinstance(value, Var) else Symbol((s, target), own, value)
        pairs = state.pairs if base == target else frozenset(p for p in state.pairs if target not in p)
        if base is not None and base != target:
            pairs |= {frozenset((target, other)) for other in state.sharing(base) if other != target}
        symbols[target] = symbol
        return State(symbols, pairs)

    def renamed(self, targets: tuple[str, ...], sources: tuple[str, ...], state: State) -> State:
        symbols = dict(state.symbols)
        for target, source in zip(targets, sources, strict=True):
            if source in state.symbols:
                symbols[target] = state.symbols[source]
        new = dict(zip(sources, targets, strict=True))
        pairs = frozenset(frozenset(new.get(name, name) for name in pair) for pair in state.pairs)
        return State(symbols, pairs)


def _join(s: Stmt, a: State, b: State) -> State:
    """What holds whichever way was taken.  A name without an array on one of them is not read any more."""
    symbols = {}
    for name, first in a.symbols.items():  # in an order that is the same in every process, and so is what comes of it
        if name in b.symbols:
            symbols[name] = first if first == b.symbols[name] else Symbol((s, name))
    return State(symbols, frozenset(pair for pair in a.pairs | b.pairs if pair <= symbols.keys()))
