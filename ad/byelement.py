"""Statements about small arrays, element by element."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ad.dominance import Dominance
from ad.flow import is_placeholder
from ad.function import kind_of
from ad.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    map_expressions,
    names,
)
from ad.names import Namer
from ad.sizes import Shape, Sizes, Unknown
from ad.spread import MOST, Special, Spread, Whole, converted, objects

__all__ = ["Writing"]


def _parts(name: str, shape: Shape, line: str) -> Any:
    """Names for the elements of an array: that of the second of `y` is ``y_1``."""
    sizes = tuple(n or 0 for n in shape)
    return objects([f"{name}{line}{'_'.join(map(str, at))}" for at in np.ndindex(sizes)], sizes)


_Pairs = list[tuple[str, Expr]]
"""Names and their new values."""


class Writing:
    """One try to write a body without the arrays `chosen`; `whole` gets the names of those that are needed after all.

    `special` gives a function that takes numbers in the place of some arrays, where there can be one.
    """

    def __init__(
        self,
        chosen: set[str],
        sizes: Sizes,
        dominance: Dominance,
        kinds: dict[str, Kind],
        namer: Namer,
        called: Mapping[str, str],
        special: Special,
    ) -> None:
        self.kinds = kinds
        self.namer = namer
        self.whole: set[str] = set()
        self.made: set[str] = set()
        """The names that there are for elements, and for what expressions of them need."""
        self.first: dict[str, Stmt] = {}
        self.elements: dict[str, Any] = {}
        self.sizes = sizes
        self.bases: dict[str, str] = {}
        """What is a view of another one: each of the two stands for one array at all times."""
        for name in sorted(chosen):
            base = self.base(name, chosen, dominance)
            if base is not None:
                self.bases[name] = base
        self.name_elements(sorted(chosen - self.bases.keys()), called)
        self.spread = Spread(sizes, self.kinds, self.elements, self.fresh, special)

    def name_elements(self, arrays: list[str], called: Mapping[str, str]) -> None:
        shown = {name: name for name in arrays}
        for view in self.bases:
            root = self.root(view)
            if root not in called and view in called and self.sizes.shapes[view] == self.sizes.shapes[root]:
                shown[root] = view  # the name of an array that the user's code gives to a nameless one
        free = self.namer.copy()
        wishes = {name: _parts(shown[name], self.sizes.shapes[name], "_") for name in arrays if shown[name] in called}
        if any(free.fresh(wish) != wish for parts in wishes.values() for wish in parts.flat):
            wishes = {}  # ``y_1`` may be another array
        for name in arrays:
            parts = wishes.get(name, _parts(shown[name], self.sizes.shapes[name], "__"))
            found = [self.fresh(wish, self.kinds[name].scalar) for wish in parts.flat]
            self.elements[name] = objects(found, parts.shape)
        for name in self.bases:
            self.elements[name] = self.view(name)

    def base(self, name: str, chosen: set[str], dominance: Dominance) -> str | None:
        """The array that a name is a view of, by numbers that are known."""
        match self.sizes.values.get(name):
            case (Var(base) | Index(base)) as value if base in chosen and dominance.covered(name, base):
                try:
                    if isinstance(value, Index):
                        np.empty(self.sizes.known(Var(base)), bool)[self.sizes.index(value.index)]
                except (Unknown, IndexError):
                    return None
                return base
        return None

    def root(self, name: str) -> str:
        return self.root(self.bases[name]) if name in self.bases else name

    def view(self, name: str) -> Any:
        """The names of the elements of a view."""
        if name not in self.elements:
            base = self.view(self.bases[name])
            match self.sizes.values[name]:
                case Index(_, index):
                    base = base[self.sizes.index(index)]
            self.elements[name] = base
        return self.elements[name]

    def fresh(self, wish: str, kind: Kind) -> str:
        name = self.namer.fresh(wish)
        self.kinds[name] = kind
        self.made.add(name)
        return name

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            try:
                out += self.stmt(s)
            except Whole as needed:
                assert needed.names, s
                self.whole |= needed.names
                self.spread.before.clear()
        return tuple(out)

    def stmt(self, s: Stmt) -> Block:
        match s:
            case Assign(target) if target in self.bases:
                self.first.setdefault(target, s)
                return ()
            case Assign(target) | Store(array=target) if target in self.elements:
                try:
                    pairs = self.assigned(s) if isinstance(s, Assign) else self.stored(s)
                except Whole as needed:
                    raise Whole({target} | needed.names) from None
                return (*self.before(s), *self.at_once(pairs, s))
            case Store(value=value) if kind_of(value, self.kinds).is_array and self.spread.touched(value):
                return self.spread.tried(lambda: self.stored_by_element(s), lambda: self.simple(s))
            case Rebind(targets, sources) if self.elements.keys() & {*targets, *sources}:
                return self.at_once(self.rebound(s), s)
            case While(cond, body):
                return (replace(s, cond=self.spread.lazily(cond), body=self.block(body)),)
        return self.simple(s)

    def simple(self, s: Stmt) -> Block:
        """A statement that stays what it is."""
        new = map_expressions(s, self.spread.rewritten)
        before = self.before(s)
        match new:
            case If(_, then, orelse):
                new = replace(new, then=self.block(then), orelse=self.block(orelse))
            case For(body=body):
                new = replace(new, body=self.block(body))
        return (*before, new)

    def before(self, s: Stmt) -> Block:
        """What the expressions of a statement need to have computed before."""
        found = self.spread.before
        self.spread.before = []
        return tuple(Assign(name, value, line=s.line, source=s.source) for name, value in found)

    def at_once(self, pairs: _Pairs, s: Stmt) -> Block:
        """Assignments that all read what was there before any of them."""
        out: list[Stmt] = []
        last: list[Stmt] = []
        at: dict[str, Any] = {"line": s.line, "source": s.source}
        for k, (target, value) in enumerate(pairs):
            if value == Var(target):
                continue
            if any(target in names(later) for _, later in pairs[k + 1 :]):
                name = self.fresh(f"{target}_new", self.kinds[target])
                last.append(Assign(target, Var(name), **at))
                target = name
            out.append(Assign(target, value, **at))
        return (*out, *last)

    def pairs(self, targets: Any, values: Any, kind: Kind) -> _Pairs:
        """Names of elements, and their values as numbers of their kind."""
        new = [converted(value, kind, self.kinds) for value in values.flat]
        if targets.shape != values.shape or None in new:
            raise Whole(())
        return list(zip(targets.flat, new, strict=True))

    def assigned(self, s: Assign) -> _Pairs:
        places, kind = self.elements[s.target], self.kinds[s.target].scalar
        self.first.setdefault(s.target, s)
        if is_placeholder(s):
            return [(name, converted(Const(0), kind, self.kinds)) for name in places.flat]
        return self.pairs(places, self.spread.array(s.value), kind)

    def stored(self, s: Store) -> _Pairs:
        places = np.asarray(self.spread.places(s.array, s.index), dtype=object)
        values = self.values(s.value, places.shape)
        if s.op:
            added = [Binary(s.op, Var(n), v) for n, v in zip(places.flat, values.flat, strict=True)]
            values = objects(added, places.shape)
        return self.pairs(places, values, self.kinds[s.array].scalar)

    def values(self, e: Expr, shape: tuple[int, ...]) -> Any:
        """The elements of what is stored into a part of this shape."""
        kind = kind_of(e, self.kinds)
        if kind.ndim > len(shape):
            raise Whole(self.spread.touched(e))
        return self.spread.operand(e, shape)

    def stored_by_element(self, s: Store) -> Block:
        """A small array is stored into a part of one that stays an array."""
        indices = self.spread.indices(s.array, s.index)
        values = self.values(s.value, indices.shape)
        kinds = self.kinds[s.array], kind_of(s.value, self.kinds)
        if indices.size > MOST or (kinds[1].is_float and not kinds[0].is_float):
            raise Whole(())
        if any(self.kinds[n].is_array for v in values.flat for n in names(v) if n in self.kinds):
            # What is stored first may be what others read.
            values = objects([self.spread.named(v) for v in values.flat], values.shape)
        before = self.before(s)
        new = [replace(s, index=at, value=v) for at, v in zip(indices.flat, values.flat, strict=True)]
        return (*before, *new)

    def rebound(self, s: Rebind) -> _Pairs:
        known = [n for n in (*s.targets, *s.sources) if n in self.elements]
        if len(known) < 2 * len(s.targets) or len({self.elements[n].shape for n in known}) > 1:
            raise Whole(known)
        sides = zip(s.targets, s.sources, strict=True)
        return [
            (name, Var(old))
            for target, source in sides
            for name, old in zip(self.elements[target].flat, self.elements[source].flat, strict=True)
        ]
