"""The names of shared arrays in the reverse sweep.

At every point of the reverse sweep a name stands for the array that it stood for at that point of the forward sweep,
and the name of its adjoint for the shadow of that array.  References are never recorded: a name that a trip of a loop
gives to an array of its own gets it back by one of these ways, tried in this order, from the end of its block on.

* Another name still stands for the same array: the two share.
* It is a view of an array that has its name again: the view is made again.
* It is an array of this trip: contents (or the shape alone) come from the tape, where adjoints read them, and its
  shadow is new.

Where a name was given to another array while the old one was still its own, the old one comes back in the same way.
What cannot be told apart is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Never

from ad.alias import Aliases, Part, State, Symbol, definitions, root_of, viewed
from ad.function import Function
from ad.helpers import ZEROS_LIKE
from ad.ir import Assign, Block, Call, Expr, Index, Place, Stmt, Var, parts_of, substitute
from ad.source import Source

__all__ = ["Bindings", "rebased"]


@dataclass
class Bindings:
    """Finds the statements that bring names back.

    `adjoint` gives the name of a shadow, `shadowed` are the arrays that have one, `live_after` what is read after a
    statement.
    """

    f: Function
    aliases: Aliases
    adjoint: Callable[[str], str]
    shadowed: set[str]
    live_after: Callable[[Stmt], set[str]]
    bound: set[str] = field(default_factory=set)
    remade: list[tuple[str, Expr]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    """Names of arrays that the reverse sweep has new ones for: what such a name keeps is out of date."""

    def enter(self, block: Block, part: Part, keeps: bool) -> "Home":
        """Begin with the end of a block."""
        own = [name for name in self.order(block) if self.aliases.homes.get(name) == part]
        moved = {name for s in block if (name := self.moved(s)) is not None}
        return Home(self, own, moved, keeps)

    def order(self, block: Block) -> list[str]:
        found: list[str] = []

        def visit(stmts: Block) -> None:
            for s in stmts:
                for name in definitions(s):
                    if name in self.aliases.shared and name not in found:
                        found.append(name)
                visit(parts_of(s))

        visit(block)
        return found

    def moved(self, s: Stmt) -> str | None:
        """The name whose array a statement takes over; it is not used any more."""
        match s:
            case Assign(target, Var(name)) if target in self.aliases.shared:
                return None if name in self.live_after(s) else name
        return None

    def has_shadow(self, name: str) -> bool:
        return name in self.shadowed

    def alias(self, name: str, other: str, keeps: bool) -> list[Stmt]:
        out: list[Stmt] = [] if keeps else [Assign(name, Var(other))]
        if self.has_shadow(name):
            out.append(Assign(self.adjoint(name), Var(self.adjoint(other))))
        return out

    def fresh_shadow(self, name: str) -> list[Stmt]:
        if not self.has_shadow(name):
            return []
        return [Assign(self.adjoint(name), Call(ZEROS_LIKE, (Var(name),)))]

    def old_binding(self, s: Assign, saved: bool, keeps: bool) -> list[Stmt]:
        """What the target of an assignment stood for before it.

        `saved` says that the contents, or a shape, were saved, so that the name already stands for an array again.
        """
        target = s.target
        before, after = self.aliases.before[s], self.aliases.after[s]
        if target not in before.symbols:
            return []
        for other in sorted(before.same(target)):
            if other in self.bound and after.symbols.get(other) == before.symbols[target]:
                if saved:
                    out: list[Stmt] = [Assign(other, Var(target))]
                    return out + self.alias(target, other, True)
                return self.alias(target, other, keeps)
        base = viewed(s.value, self.aliases.kinds)
        if base is not None and base in before.sharing(target):
            self.refuse(s, target, base)
        for other in sorted(before.sharing(target) - {target}):
            if other in self.live_after(s) and other in before.symbols:
                self.refuse(s, target, other)
        return self.fresh_shadow(target)

    def refuse(self, s: Stmt, name: str, other: str) -> Never:
        source: Source = s.source or self.f.source
        who, one = self.shown(name, other)
        source.refuse(
            f"{who} may stand for the same array here while one of them is given another: swap them (a, b = b, a), or "
            f"write {one}[:] = ...",
            Place(s.line),
        )

    def shown(self, first: str, second: str) -> tuple[str, str]:
        """What the user calls two arrays, and one of them.  Parts of expressions have no name of the user's."""
        known = list(dict.fromkeys(self.f.called[n] for n in (first, second) if n in self.f.called))
        match known:
            case []:
                return "two names", "a"
            case [one]:
                return f"{one} and another name", one
        return f"{known[0]} and {known[1]}", known[-1]


@dataclass
class Home:
    """The names of one block that are still to be brought back, while its reverse sweep goes towards its beginning."""

    bindings: Bindings
    pending: list[str]
    moved: set[str]
    keeps: bool

    def at(self, state: State, end: bool) -> list[Stmt]:
        """What can be brought back at this place."""
        b = self.bindings
        out: list[Stmt] = []
        progress = True
        while progress:
            progress = False
            for name in list(self.pending):
                found = self.bring(name, state, end)
                if found is not None:
                    out += found
                    self.pending.remove(name)
                    b.bound.add(name)
                    progress = True
        return out

    def bring(self, name: str, state: State, end: bool) -> list[Stmt] | None:
        b = self.bindings
        symbol = state.symbols.get(name)
        if symbol is None:
            return None
        keeps = self.keeps and name not in b.replaced
        for other in sorted(state.same(name)):
            if other in b.bound:
                return b.alias(name, other, keeps)
        if symbol.base is not None:
            made = self.view(symbol, state)
            if made is None:
                return None
            value, base = made
            out: list[Stmt] = [] if keeps else [Assign(name, value)]
            if not keeps:
                b.remade.append((name, value))
            if b.has_shadow(name):
                out.append(Assign(b.adjoint(name), rebased(value, base, b.adjoint(base))))
            return out
        made_here = b.aliases.homes.get(symbol.key[1]) == b.aliases.homes[name]
        if end and name not in self.moved and made_here:
            self.check(name, symbol, state)
            return b.fresh_shadow(name)
        return None

    def view(self, symbol: Symbol, state: State) -> tuple[Expr, str] | None:
        """A view as an expression of a name that is there, and that name."""
        assert symbol.base is not None and symbol.view is not None
        old = viewed(symbol.view, self.bindings.aliases.kinds)
        assert old is not None
        for other, found in state.symbols.items():
            if found == symbol.base and other in self.bindings.bound:
                return rebased(symbol.view, old, other), other
        return None

    def unresolved(self, s: Stmt, used: set[str]) -> str | None:
        """A name that the reverse of a statement uses although it could not be brought back."""
        b = self.bindings
        lost = [n for n in self.pending if n in used]
        if not parts_of(s):
            lost += [n for n in b.shadowed if b.adjoint(n) in used and n not in b.bound]
        return min(lost, default=None)

    def check(self, name: str, symbol: Symbol, state: State) -> None:
        """Raise where the array may have another name that has a shadow of its own."""
        b = self.bindings
        if not b.has_shadow(name):
            return
        for other in sorted(state.sharing(name) - {name}):
            theirs = state.symbols.get(other)
            if theirs is None or other not in b.bound or root_of(theirs) == root_of(symbol):
                continue
            who, one = b.shown(name, other)
            at = symbol.key[0]
            assert isinstance(at, Stmt)
            source: Source = at.source or b.f.source
            source.refuse(
                f"{who} may be the same array here, which cannot be told before the program runs: give one of them a "
                f"copy, {one}.copy()",
                Place(at.line),
            )


def rebased(e: Expr, old: str, new: str) -> Expr:
    """A view of one array as one of another."""

    def change(part: Expr) -> Expr | None:
        match part:
            case Var(name) if name == old:
                return Var(new)
            case Index(name, index) if name == old:
                return Index(new, index)
        return None

    return substitute(e, change)
