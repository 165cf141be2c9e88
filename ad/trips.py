"""A trip of a reverse loop as expressions, and what it reaches: what `ad.vector` finds and `ad.gather` writes down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ad.extents import Extents
from ad.ir import (
    NOTHING,
    Binary,
    Call,
    Comment,
    Const,
    Expr,
    For,
    Index,
    Items,
    Kind,
    Marker,
    Pop,
    Push,
    Slice,
    Stmt,
    Var,
    names,
    walk,
)
from ad.ranges import shifted

__all__ = [
    "Add",
    "Context",
    "Dependent",
    "Part",
    "Place",
    "Places",
    "Stream",
    "Trip",
    "bracketed",
    "offset_of",
    "reached",
    "restored_late",
]


@dataclass(frozen=True)
class Context:
    """What is known about the function around a loop.

    `share` tells whether two arrays of the reverse sweep may share memory, `around` are the loops around this one.
    `carried` are the adjoints that one trip leaves to another, or to what comes after the loop.
    """

    kinds: dict[str, Kind]
    extents: Extents
    share: Callable[[str, str], bool]
    around: Sequence[Stmt]
    carried: frozenset[str]
    fresh: Callable[[str, Kind], str]
    number: Callable[[], int]
    """Another number at every call."""


Stream = tuple[str, int | None, tuple[Expr, ...]]


@dataclass(frozen=True)
class Place:
    """An element of an array as a loop reaches it: along an axis at an offset, or (None) the same one at each trip."""

    array: str
    axis: int | None
    others: tuple[Expr, ...]
    offset: int

    @property
    def stream(self) -> Stream:
        """What it goes along."""
        return self.array, self.axis, self.others


class Dependent(Exception):
    """The trips of the loop may depend on one another, or it has not the form."""


@dataclass(frozen=True)
class Part:
    """What all trips record of an array at once; it comes back `late` where that is after reads of the new contents."""

    push: Push
    place: Index
    late: bool


def bracketed(parts: Sequence[Part]) -> tuple[list[Stmt], list[Stmt], list[Stmt]]:
    """The pushes of parts in an order that their pops allow; the pops that come early, and those that come late."""
    ordered = sorted(parts, key=lambda part: not part.late)
    early, late = (
        [Pop((p.place,), p.push.kind, site=p.push.site) for p in reversed(ordered) if p.late is when]
        for when in (False, True)
    )
    return [p.push for p in ordered], list(early), list(late)


def restored_late(element: Index, reverse: Sequence[Stmt], reads: Sequence[bool]) -> bool:
    """Whether a trip reads the new contents of what it restores, and then it must not read the old ones.

    `reads` says which statements of the reverse body read the array, the pop not counted.
    """
    at = [k for k, r in enumerate(reverse) if isinstance(r, Pop) and r.targets == (element,)]
    if len(at) != 1 or (any(reads[: at[0]]) and any(reads[at[0] + 1 :])):
        raise Dependent
    return any(reads[: at[0]])


def reached(s: For, offset: int) -> Slice:
    """What a loop reaches along an axis at an offset."""
    return Slice(shifted(s.start, offset), shifted(s.stop, offset), NOTHING)


@dataclass
class Add:
    """``place += value``, where the trips add to an array."""

    place: Place
    target: Index
    value: Expr
    comment: Comment | None


@dataclass
class Places:
    """Where the accesses of a loop go; Dependent for one that does not go along an axis."""

    s: For
    context: Context
    varying: set[str]
    """What the trips give values."""

    def __post_init__(self) -> None:
        self.least = self.context.extents.least(self.s.start, self.context.around)

    def of(self, e: Index) -> Place:
        parts = e.index.parts if isinstance(e.index, Items) else (e.index,)
        if len(parts) != self.context.kinds[e.array].ndim:
            raise Dependent
        axis, offset = None, 0
        others: list[Expr] = []
        for k, part in enumerate(parts):
            moved = offset_of(part, self.s.var)
            if moved is not None and axis is None:
                axis, offset = k, moved
            elif names(part) & self.varying or any(isinstance(p, Call | Slice | Marker) for p in walk(part)):
                raise Dependent
            else:
                others.append(part)
        if axis is not None and (self.least is None or self.least + offset < 0):
            raise Dependent
        return Place(e.array, axis, tuple(others), offset)


@dataclass
class Trip:
    """What a trip does; its statements may be carried out in any order that gives variables their values first."""

    places: Places
    temporaries: dict[str, Expr] = field(default_factory=dict)
    """Variables of a trip and their values, in this order."""
    comments: dict[str, Comment | None] = field(default_factory=dict)
    """Which line of the function a variable belongs to."""
    adds: list[Add] = field(default_factory=list)
    sums: list[tuple[str, Expr, Comment | None]] = field(default_factory=list)
    """Numbers that the trips add to."""
    elements: dict[Place, tuple[Index, Expr]] = field(default_factory=dict)
    """Elements that belong to a trip, and their values when it ends."""

    def define(self, name: str, value: Expr, comment: Comment | None) -> None:
        self.temporaries[name] = value
        self.comments[name] = comment

    def needed(self, roots: Sequence[Expr]) -> list[str]:
        """The variables that expressions rest on."""
        found: set[str] = set()
        todo = list(roots)
        while todo:
            for name in names(todo.pop()) - found:
                if name in self.temporaries:
                    found.add(name)
                    todo.append(self.temporaries[name])
        return [t for t in self.temporaries if t in found]


def offset_of(e: Expr, var: str) -> int | None:
    """What an index adds to the variable of the loop."""
    match e:
        case Var(name) if name == var:
            return 0
        case Binary("+" | "-" as op, Var(name), Const(int() as value)) if name == var:
            return value if op == "+" else -value
        case Binary("+", Const(int() as value), Var(name)) if name == var:
            return value
    return None
