"""References that a loop carries from trip to trip become numbers.

``row = first`` before a loop and ``row = table[i]`` at the end of its body: what `row` stands for at the start of a
trip depends on the trip.  The reverse sweep needs to know, and references cannot be recorded.  Numbers can: which array
it is a view of, where it begins, its lengths and its steps.  At the start of every trip the view is made anew from
these (ad/arrays/references.py):

    row_in, row_at, row_n, row_step = ...           behind each assignment to the name
    if row_in == 0: row = view_at(first, ...)       at the head of the loop, and behind it
    else: row = view_at(table, ...)

That is possible where each array that the name may be a view of goes by a name of its own all the while.  One that is
made before the loop, under the name itself, gets such a name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ad.alias import VIEW_AT, viewed
from ad.arrays.references import offset_in, step_of
from ad.flow import Liveness
from ad.ir import (
    Assign,
    Block,
    Call,
    Compare,
    Const,
    Expr,
    For,
    If,
    Items,
    Kind,
    Len,
    Rebind,
    Stmt,
    Var,
    While,
    names,
    substitute,
)
from ad.names import Namer
from ad.primitive import Primitive

__all__ = ["without_carried_references"]

_OFFSET = Primitive(offset_in, (None, None), lambda *_: Kind.INT)
_STEP = Primitive(step_of, (None, None), lambda *_: Kind.INT)
_Loops = tuple[For | While, ...]


def without_carried_references(
    body: Block, kinds: dict[str, Kind], shared: Iterable[str], params: tuple[str, ...], result: str, namer: Namer
) -> Block:
    """The body with such references made anew in every trip; `kinds` gets what new names hold."""
    return _References(body, kinds, set(shared), params, result, namer).block(body)


@dataclass(frozen=True)
class _Carried:
    """A name that stands for a part of one of several arrays: its loops, these arrays, and the numbers."""

    name: str
    loops: _Loops
    roots: tuple[str, ...]
    which: str
    at: str
    lengths: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        which = (self.which,) if len(self.roots) > 1 else ()
        return (*which, self.at, *self.lengths, *self.steps)


class _References:
    def __init__(
        self,
        body: Block,
        kinds: dict[str, Kind],
        shared: set[str],
        params: tuple[str, ...],
        result: str,
        namer: Namer,
    ) -> None:
        self.kinds = kinds
        self.shared = shared
        self.params = params
        self.namer = namer
        self.live = Liveness(body, {result})
        self.definitions: dict[str, list[tuple[Assign, _Loops]]] = {}
        self.rebound: set[str] = set()
        self.find(body, ())
        self.own: dict[str, str] = {}
        found = (self.carried(name) for name in list(self.definitions))
        self.all = {c.name: c for c in found if c is not None}

    def find(self, block: Block, loops: _Loops) -> None:
        for s in block:
            match s:
                case Assign(target) if target in self.shared:
                    self.definitions.setdefault(target, []).append((s, loops))
                case Rebind(targets, sources):
                    self.rebound.update(targets, sources)
                case For(body=body) | While(body=body):
                    self.find(body, (*loops, s))
                case If(_, then, orelse):
                    self.find(then, loops)
                    self.find(orelse, loops)

    # ------------------------------------------------------------------------------------ what is carried

    def carried(self, name: str) -> _Carried | None:
        definitions = self.definitions[name]
        around = dict.fromkeys(loop for _, loops in definitions for loop in loops)
        loops = tuple(loop for loop in around if name in self.live.next_trip(loop))
        if not loops or name in self.rebound or name in self.params:
            return None
        if any(isinstance(loop, While) and name in names(loop.cond) for loop in loops):
            return None  # read before a trip begins
        roots: dict[str, None] = {}
        for s, _ in definitions:
            root = self.root(s, name, loops)
            if root is None:
                return None
            if root != name:
                roots[root] = None
        ndim = self.kinds[name].ndim
        return _Carried(
            name,
            loops,
            tuple(roots),
            self.number(f"{name}_in"),
            self.number(f"{name}_at"),
            tuple(self.number(f"{name}_n") for _ in range(ndim)),
            tuple(self.number(f"{name}_step") for _ in range(ndim)),
        )

    def root(self, s: Assign, name: str, loops: _Loops) -> str | None:
        """The array that an assignment makes `name` a part of: `name` for the one that it is a part of before."""
        base = viewed(s.value, self.kinds)
        if base is None:
            return self.own_root(s, name, loops)
        while base != name:
            definitions = self.definitions.get(base, [])
            if base in self.rebound or len(definitions) + (base in self.params) != 1:
                return None
            if not definitions:
                return base
            [(made, path)] = definitions
            further = viewed(made.value, self.kinds)
            if further is None:
                return base if set(loops).isdisjoint(path) else None
            base = further
        return name

    def own_root(self, s: Assign, name: str, loops: _Loops) -> str | None:
        """A name of its own for an array that is made under `name`, once, before its loops."""
        made = [(other, path) for other, path in self.definitions[name] if viewed(other.value, self.kinds) is None]
        if len(made) > 1 or not set(loops).isdisjoint(made[0][1]):
            return None
        if name not in self.own:
            self.own[name] = self.namer.fresh(f"{name}_own")
            self.kinds[self.own[name]] = self.kinds[name]
        return self.own[name]

    def number(self, wish: str) -> str:
        name = self.namer.fresh(wish)
        self.kinds[name] = Kind.INT
        return name

    # ------------------------------------------------------------------------------------------ rewriting

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            match s:
                case Assign(target) if target in self.all:
                    out += self.assignment(s, self.all[target])
                case For(body=body) | While(body=body):
                    out += self.loop(s, body)
                case If(_, then, orelse):
                    out.append(replace(s, then=self.block(then), orelse=self.block(orelse)))
                case _:
                    out.append(s)
        return tuple(out)

    def assignment(self, s: Assign, c: _Carried) -> list[Stmt]:
        root = self.root(s, c.name, c.loops)
        assert root is not None
        out: list[Stmt] = [s]
        if root == self.own.get(c.name):
            out = [replace(s, target=root), replace(s, value=Var(root))]
        note = _Writer(s)
        if root == c.name:
            out += note.chosen(c.which, [[note.assign(c.at, _offset(c.name, r))] for r in c.roots])
        else:
            if len(c.roots) > 1:
                out.append(note.assign(c.which, Const(c.roots.index(root))))
            out.append(note.assign(c.at, _offset(c.name, root)))
        for axis, (length, step) in enumerate(zip(c.lengths, c.steps, strict=True)):
            out.append(note.assign(length, Len(c.name, axis)))
            out.append(note.assign(step, Call(_STEP, (Var(c.name), Const(axis)))))
        return out

    def loop(self, s: For | While, body: Block) -> list[Stmt]:
        here = [c for c in self.all.values() if s in c.loops]
        heads = [stmt for c in here for stmt in self.again(c, s)]
        new = replace(s, body=(*heads, *self.block(body)))
        if isinstance(new, While):
            new = replace(new, cond=substitute(new.cond, self.lengths(here)))
        after = [stmt for c in here if c.name in self.live.after[s] for stmt in self.again(c, s)]
        return [new, *after]

    def lengths(self, here: list[_Carried]) -> Callable[[Expr], Expr | None]:
        known: dict[tuple[str, int | None], Expr] = {
            (c.name, axis): Var(n) for c in here for axis, n in enumerate(c.lengths)
        }

        def change(e: Expr) -> Expr | None:
            return known.get((e.array, e.axis)) if isinstance(e, Len) else None

        return change

    def again(self, c: _Carried, s: Stmt) -> list[Stmt]:
        """Make the view from the numbers.  These get names that stay as they are until the end of the block."""
        note = _Writer(s)
        settled = {name: self.number(name) for name in c.numbers}
        out: list[Stmt] = [note.assign(new, Var(old)) for old, new in settled.items()]
        shape, steps = (Items(tuple(Var(settled[n]) for n in part)) for part in (c.lengths, c.steps))
        made: list[list[Stmt]] = [
            [note.assign(c.name, Call(VIEW_AT, (Var(root), Var(settled[c.at]), shape, steps)))] for root in c.roots
        ]
        return out + note.chosen(settled.get(c.which, c.which), made)


def _offset(name: str, root: str) -> Expr:
    return Call(_OFFSET, (Var(name), Var(root)))


@dataclass(frozen=True)
class _Writer:
    """Writes statements that belong to one of the user's."""

    at: Stmt

    def assign(self, target: str, value: Expr) -> Assign:
        return Assign(target, value, line=self.at.line, source=self.at.source)

    def chosen(self, which: str, sides: list[list[Stmt]]) -> list[Stmt]:
        """The side whose number a variable has."""
        *others, last = enumerate(sides)
        block = last[1]
        for k, side in reversed(others):
            cond = Compare(Var(which), ("==",), (Const(k),))
            block = [If(cond, tuple(side), tuple(block), line=self.at.line, source=self.at.source)]
        return block
