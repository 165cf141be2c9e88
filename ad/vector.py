"""Reverse loops whose trips are independent of one another, in a form that vectorises.

The adjoint of a stencil, statement by statement, adds to several elements of the same arrays at every trip, and takes
the old contents of another from the tape one by one.  No compiler vectorises that.  Where the trips of the innermost
loop do not depend on one another:

* what the loop overwrites is recorded and restored as one part of the array, before the loop;
* elements that belong to one trip alone are kept in variables and written once;
* what several trips add to an element is gathered (see `ad.gather`);
* the range of all indices is checked once, so that no access looks for an index below zero (see `ad.elements.inside`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ad.gather import gathered
from ad.ir import (
    AddTo,
    Assign,
    Call,
    Comment,
    Const,
    Expr,
    For,
    Index,
    Items,
    Kind,
    Pop,
    Push,
    Stmt,
    Store,
    Var,
    assigned,
    expressions,
    names,
    substitute,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive
from ad.symbolic import add
from ad.trips import Add, Context, Dependent, Part, Place, Places, Trip, bracketed, reached, restored_late

__all__ = ["vectorised"]

_FEW = 8
"""Loops that are known to have no more trips stay as they are: the compiler unrolls them."""


def vectorised(
    s: For, forward: Sequence[Stmt], reverse: Sequence[Stmt], context: Context
) -> tuple[list[Stmt], list[Stmt], list[Stmt]] | None:
    """What comes before the forward loop, its body, and the reverse loops; None where the loop has to stay as it is.

    `forward` and `reverse` are the bodies of the two loops.
    """
    try:
        return _Loop(s, forward, reverse, context).run()
    except Dependent:
        return None


@dataclass
class _Loop:
    s: For
    forward: Sequence[Stmt]
    reverse: Sequence[Stmt]
    context: Context
    now: dict[str, Expr] = field(default_factory=dict)
    """What a variable stands for at this point of a trip."""

    def run(self) -> tuple[list[Stmt], list[Stmt], list[Stmt]]:
        s = self.s
        if s.step != Const(1) or s.trips is not None or _few(s):
            raise Dependent
        self.given = _given(self.reverse)
        self.places = Places(s, self.context, {s.var} | assigned(tuple(self.forward)) | self.given)
        self.trip = Trip(self.places)
        self.accesses = self.find_accesses()
        self.check_arrays()
        parts, body = self.recorded()
        comment: Comment | None = None
        for r in self.reverse:
            if isinstance(r, Comment):
                comment = r
            else:
                self.take(r, comment)
        if not (self.trip.adds or self.trip.sums or self.trip.elements):
            raise Dependent
        pushes, early, late = bracketed(parts)
        return pushes, body, [*early, *gathered(self.trip), *late]

    def find_accesses(self) -> list[tuple[str, Place]]:
        """All accesses of the reverse body: reads ("r"), writes ("w") and sums ("a")."""
        found: list[tuple[str, Place]] = []
        for r in self.reverse:
            match r:
                case Comment() | Assign() | AddTo(Var()):
                    pass
                case AddTo(Index() as target):
                    found.append(("a", self.places.of(target)))
                case Store(array, index, _, ""):
                    found.append(("w", self.places.of(Index(array, index))))
                case Pop((Index() as target,), kind) if not kind.is_array:
                    found.append(("w", self.places.of(target)))
                case _:
                    raise Dependent
            for root in expressions(r):
                for e in walk(root):
                    match e:
                        case Index():
                            found.append(("r", self.places.of(e)))
                        case Var(name) if name in self.context.kinds and self.context.kinds[name].is_array:
                            raise Dependent
                        case Call(Primitive() as callee) if not callee.elementwise:
                            raise Dependent
                        case Call(callee) if not isinstance(callee, Primitive):
                            raise Dependent
        return found

    def check_arrays(self) -> None:
        """What a trip writes, or reads and adds to, no other trip may touch."""
        self.private: set[str] = set()
        for how, place in self.accesses:
            if how == "r":
                continue
            others = [(h, p) for h, p in self.accesses if self.context.share(p.array, place.array)]
            if how == "a" and all(h == "a" for h, _ in others):
                continue
            if place.axis is None or any(p != place for _, p in others):
                raise Dependent
            self.private.add(place.array)

    def recorded(self) -> tuple[list[Part], list[Stmt]]:
        """The parts whose records take the place of those of elements, and the forward body without them."""
        parts: list[Part] = []
        body: list[Stmt] = []
        for f in self.forward:
            match f:
                case Push((Index() as element,), kind, site=site) if not kind.is_array:
                    late = self.is_restored_late(element)
                    part = self.part(self.places.of(element))
                    kind = Kind(self.context.kinds[element.array].dtype, 1)
                    parts.append(Part(Push((part,), kind, site=site, line=f.line, source=f.source), part, late))
                case Assign() | Store():
                    body.append(f)
                case _ if any(isinstance(p, Push) for p in walk_stmts((f,))):
                    raise Dependent
                case _:
                    body.append(f)
        if sum(isinstance(r, Pop) for r in self.reverse) != len(parts):
            raise Dependent
        return parts, body

    def is_restored_late(self, element: Index) -> bool:
        """Whether a trip reads the new contents of an element, and then it must not read the old ones."""
        stores = [p for p in walk_stmts(tuple(self.forward)) if isinstance(p, Store)]
        if sum(self.context.share(p.array, element.array) for p in stores) != 1:
            raise Dependent  # what it holds when it is recorded, it must hold already before the loop
        return restored_late(element, self.reverse, [_reads(r, element.array) for r in self.reverse])

    def part(self, place: Place) -> Index:
        """All elements that the trips reach."""
        along = reached(self.s, place.offset)
        assert place.axis is not None
        parts = [*place.others[: place.axis], along, *place.others[place.axis :]]
        return Index(place.array, Items(tuple(parts)) if len(parts) > 1 else along)

    # ------------------------------------------------------------------------------ a trip as expressions

    def take(self, r: Stmt, comment: Comment | None) -> None:
        match r:
            case Assign(target, value):
                value = self.value(value)
                summed = any(name == target for name, _, _ in self.trip.sums)
                if self.context.kinds[target].is_array or summed or target in self.context.carried:
                    raise Dependent
                self.define(target, value, comment)
            case AddTo(Var(name), value) if name in self.now:
                self.define(name, add(self.now[name], self.value(value)), comment)
            case AddTo(Var(name), value):
                self.trip.sums.append((name, self.value(value), comment))
            case AddTo(Index(array) as target, value) if array in self.private:
                _, old = self.trip.elements.get(self.places.of(target), (target, target))
                self.element(target, add(old, self.value(value)), comment)
            case AddTo(Index() as target, value):
                self.trip.adds.append(Add(self.places.of(target), target, self.value(value), comment))
            case Store(array, index, value):
                self.element(Index(array, index), self.value(value), comment)

    def value(self, e: Expr) -> Expr:
        def change(part: Expr) -> Expr | None:
            match part:
                case Var(name):
                    return self.now.get(name)
                case Index(array) if array in self.private and (place := self.places.of(part)) in self.trip.elements:
                    return self.trip.elements[place][1]
            return None

        if (names(e) & self.given) - self.now.keys():
            raise Dependent  # what the trip before left
        return substitute(e, change)

    def define(self, name: str, value: Expr, comment: Comment | None) -> None:
        if isinstance(value, Const | Var):
            self.now[name] = value
            return
        fresh = name if name not in self.trip.temporaries else self.context.fresh(name, self.context.kinds[name])
        self.trip.define(fresh, value, comment)
        self.now[name] = Var(fresh)

    def element(self, place: Index, value: Expr, comment: Comment | None) -> None:
        """The new value of an element that belongs to the trip."""
        if not isinstance(value, Const | Var):
            kind = self.context.kinds[place.array].scalar
            name = self.context.fresh(f"{place.array}_i", kind)
            self.trip.define(name, value, comment)
            value = Var(name)
        self.trip.elements[self.places.of(place)] = place, value


def _reads(s: Stmt, array: str) -> bool:
    return any(isinstance(e, Index) and e.array == array for root in expressions(s) for e in walk(root))


def _few(s: For) -> bool:
    return isinstance(s.start, Const) and isinstance(s.stop, Const) and s.stop.value - s.start.value <= _FEW


def _given(stmts: Sequence[Stmt]) -> set[str]:
    """The numbers that statements give values or add to."""
    found = {s.target for s in stmts if isinstance(s, Assign)}
    return found | {s.target.name for s in stmts if isinstance(s, AddTo) and isinstance(s.target, Var)}
