"""One element of an expression of whole arrays: what a loop over the elements computes (see `ad.looped`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ad.extents import Extents
from ad.function import kind_of
from ad.ir import (
    NOTHING,
    WHOLE_AXIS,
    Binary,
    Call,
    Compare,
    Const,
    Expr,
    Index,
    Items,
    Kind,
    Len,
    Marker,
    Slice,
    Unary,
    Var,
    children,
    rebuild,
    walk,
)
from ad.primitive import Primitive
from ad.ranges import shifted, split

__all__ = ["Axis", "Element", "Lengths", "Unfit", "index_of"]

_Length = tuple[Expr | None, int]
"""Something (or nothing) in terms of parameters, and a number that is added to it."""

_LARGEST = 40
"""How many operators an expression may have."""


class Unfit(Exception):
    """What stays as it is."""


@dataclass(frozen=True)
class Axis:
    """What a part of an array covers along an axis: `length` elements from `start` on, to `stop`.

    An element is at the value of `var`; at its place from the start, ``("low", 0)`` for the first one; or from the end,
    ``("high", 1)`` for the last one.
    """

    var: str
    start: int
    stop: Expr
    length: _Length
    whole: bool
    at: tuple[Literal["low", "high"], int] | None = None

    def moved(self, by: int) -> Expr:
        """The index of the element that is `by` further on."""
        if self.at is None:
            return shifted(Var(self.var), by)
        side, n = self.at
        return Const(n + by) if side == "low" else shifted(self.stop, by - n)

    def rolled(self, by: int) -> Expr:
        """The same where what goes over one end comes in at the other one."""
        if self.at is None:
            return shifted(Var(self.var), by)
        side, n = self.at
        place = n + by if side == "low" else by - n
        return Const(place) if place >= 0 else shifted(self.stop, place)


@dataclass
class Lengths:
    """Which lengths are equal, and what is assumed for that."""

    extents: Extents
    kinds: Mapping[str, Kind]
    assume: bool
    equal: list[tuple[Expr, Expr]] = field(default_factory=list)
    least: dict[_Length, int] = field(default_factory=dict)

    def assumed(self) -> list[Expr]:
        """What is to be checked first."""
        equal: list[Expr] = [Compare(a, ("==",), (b,)) for a, b in self.equal]
        least = [(shifted(base or Const(0), more), n) for (base, more), n in self.least.items()]
        return equal + [Compare(length, (">=",), (Const(n),)) for length, n in least]

    def check_least(self, a: _Length, n: int) -> None:
        """Raise where a length may be less than `n`."""
        if a[0] is None and a[1] >= n:
            return
        if not self.assume:
            raise Unfit
        self.least[a] = max(n, self.least.get(a, 0))

    def check_equal(self, a: _Length, b: _Length) -> None:
        """Raise where two lengths may differ."""
        if a[1] != b[1]:
            raise Unfit
        one, other = (self.same_as(base) for base in (a[0], b[0]))
        if one == other:
            return
        if one is None or other is None or not self.assume:
            raise Unfit
        self.equal.append((one, other))

    def same_as(self, e: Expr | None) -> Expr | None:
        """One of the numbers that are assumed to be equal to one."""
        for one, other in self.equal:
            if e == other:
                e = one
        return e

    def parts(self, array: str, index: Expr) -> list[Expr]:
        """An index for each axis of an array."""
        parts = list(index.parts) if isinstance(index, Items) else [index]
        plain = [
            isinstance(p, Slice) or (not isinstance(p, Marker) and kind_of(p, self.kinds) is Kind.INT) for p in parts
        ]
        if not all(plain):
            raise Unfit
        # Out of bounds, it would be so without elements too.
        for axis, p in enumerate(parts):
            length = self.extents.length(array, axis)
            if isinstance(p, Const) and length is not None:
                self.check_least(split(length), p.value + 1 if p.value >= 0 else -p.value)
        return parts + [WHOLE_AXIS] * (self.kinds[array].ndim - len(parts))

    def covered(self, array: str, axis: int, part: Slice, var: str) -> Axis:
        """What a slice covers: no elements where their number is below zero."""
        start = 0 if part.start == NOTHING else part.start.value if isinstance(part.start, Const) else -1
        length = self.extents.length(array, axis)
        if part.step not in (NOTHING, Const(1)) or start < 0 or length is None:
            raise Unfit
        base, more = split(length)
        cut = self.cut(part, (base, more))
        return Axis(var, start, shifted(Len(array, axis), -cut), (base, more - start - cut), start == cut == 0)

    def cut(self, part: Slice, length: _Length) -> int:
        """How many elements a slice leaves out at the end."""
        match part.stop:
            case _ if part.stop == NOTHING:
                return 0
            case Unary("-", Const(int() as n)) if n > 0:
                return n
            case Const(int() as n) if n < 0:
                return -n
        stop = self.extents.value(part.stop)
        if stop is not None:
            base, more = split(stop)
            # Below zero it would count from the end: that of an array without elements is still none.
            if base == length[0] and base is not None and length[1] - more in (0, 1):
                return length[1] - more
        raise Unfit


@dataclass
class Element:
    """An element of what a statement computes, at a place along each of the axes.

    `reads` looks at each element of an array that is read, and may raise Unfit; `inlined` are arrays that are
    expressions.
    """

    lengths: Lengths
    axes: Sequence[Axis]
    reads: Callable[[Index], None]
    inlined: Mapping[str, Expr]
    fresh: Callable[[str, Kind], str]
    place: Index
    """Where it goes to."""
    before: list[tuple[str, Expr]] = field(default_factory=list)
    """Numbers that are the same for all elements."""
    reached: list[tuple[int, int]] = field(default_factory=list)
    """The furthest that elements are rolled along each axis, down and up."""
    read_at: dict[str, set[Expr]] = field(default_factory=dict)
    """The indices at which arrays are read."""
    size: int = 0

    def __post_init__(self) -> None:
        self.kinds = self.lengths.kinds
        self.reached = [(0, 0)] * len(self.axes)

    def of(self, e: Expr, by: tuple[int, ...] = ()) -> Expr:
        """The element, `by` further on along the axes of the expression."""
        kind = kind_of(e, self.kinds)
        if not kind.is_array:
            return self.number(e, kind)
        by = by or (0,) * kind.ndim
        match e:
            case Var(name) if name in self.inlined:
                return self.of(self.inlined[name], by)
            case Var(name):
                return self.read(name, [WHOLE_AXIS] * kind.ndim, by)
            case Index(name, index) if name not in self.inlined:
                return self.read(name, self.lengths.parts(name, index), by)
            case Call(Primitive(function=np.roll)):
                return self.of(e.args[0], self.rolled(e, by))
            case Unary("-" | "+") | Binary("+" | "-" | "*" | "/"):
                return self.made(e, by)
            case Binary("**", base, Const(int() as n)) if n in (2, 3):
                return Binary("**", self.of(base, self.own(base, by)), Const(n))
            case Call(Primitive(elementwise=True, cheap=True), _, ()):
                return self.made(e, by)
        raise Unfit

    def made(self, e: Expr, by: tuple[int, ...]) -> Expr:
        self.size += 1
        if self.size > _LARGEST:
            raise Unfit
        return rebuild(e, tuple(self.of(part, self.own(part, by)) for part in children(e)))

    def own(self, e: Expr, by: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the axes that an operand has."""
        ndim = kind_of(e, self.kinds).ndim if kind_of(e, self.kinds).is_array else 0
        if any(by[: len(by) - ndim]) and ndim:
            raise Unfit
        return by[len(by) - ndim :]

    def rolled(self, e: Call, by: tuple[int, ...]) -> tuple[int, ...]:
        """How far on an element of what is rolled is."""
        given = dict(zip(("shift", "axis"), e.args[1:])) | {k: Const(v) for k, v in e.keywords}
        shift, axis = _integer(given["shift"]), _integer(given.get("axis", Const(0)))
        if shift is None or axis is None or not -len(by) <= axis < len(by) or ("axis" not in given and len(by) > 1):
            raise Unfit
        return tuple(n - shift if k == axis % len(by) else n for k, n in enumerate(by))

    def number(self, e: Expr, kind: Kind) -> Expr:
        """A number that all elements are computed with."""
        if kind not in (Kind.FLOAT, Kind.INT):
            raise Unfit
        if all(isinstance(part, Var | Const | Unary | Binary) for part in walk(e)):
            return e
        name = self.fresh("factor", kind)
        self.before.append((name, e))
        return Var(name)

    def read(self, array: str, parts: Sequence[Expr], by: tuple[int, ...]) -> Expr:
        if self.kinds[array].dtype != "float64" or len(by) > len(self.axes):
            raise Unfit
        first = len(self.axes) - len(by)
        index: list[Expr] = []
        todo = 0
        for k, part in enumerate(parts):
            if not isinstance(part, Slice):
                index.append(part)
                continue
            own, axis, n = self.lengths.covered(array, k, part, ""), self.axes[first + todo], by[todo]
            self.lengths.check_equal(axis.length, own.length)
            if n == 0:
                index.append(axis.moved(own.start - axis.start))
            elif axis.whole and own.whole:
                low, high = self.reached[first + todo]
                self.reached[first + todo] = min(low, n), max(high, n)
                index.append(axis.rolled(n))
            else:
                raise Unfit
            todo += 1
        found = Index(array, index_of(index))
        self.reads(found)
        self.read_at.setdefault(array, set()).add(found.index)
        return found

    @property
    def is_stencil(self) -> bool:
        """Whether several elements of an array are read."""
        return any(len(places) > 1 for places in self.read_at.values())


def index_of(parts: Sequence[Expr]) -> Expr:
    return Items(tuple(parts)) if len(parts) > 1 else parts[0]


def _integer(e: Expr) -> int | None:
    match e:
        case Const(int() as n) if not isinstance(n, bool):
            return n
        case Unary("-", Const(int() as n)):
            return -n
    return None
