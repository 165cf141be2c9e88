"""Shapes of arrays that are numbers when a function is read, and whole numbers that are.

A shape has a number or None, which is any, for each axis.  A name has a known shape where every definition gives it
that one.  The analysis begins with the hope that all will agree, and ends when no definition contradicts.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ad.flow import is_placeholder, raises
from ad.function import kind_of
from ad.helpers import astype
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    BoolOp,
    Call,
    Cast,
    Compare,
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
    Select,
    Slice,
    Unary,
    Var,
    assigned,
    children,
    expressions,
    names,
    walk_stmts,
)
from ad.primitive import Primitive

__all__ = [
    "ALIKE",
    "MADE",
    "MOVES",
    "PRODUCTS",
    "REDUCTIONS",
    "SQUARES",
    "Shape",
    "Sizes",
    "Unknown",
    "checked_lengths",
]

Shape = tuple[int | None, ...]

MADE = (np.zeros, np.ones, np.empty, np.full)
"""Functions that make an array of a shape."""
ALIKE = (astype, np.copy, np.zeros_like, np.ones_like, np.empty_like, np.full_like)
"""Functions that make an array of the shape of another."""
MOVES = (np.transpose, np.swapaxes, np.flip, np.reshape, np.roll, np.concatenate, np.stack)
"""Functions that give the elements of their first argument other places."""
SQUARES = (np.eye, np.identity)
REDUCTIONS = (np.sum, np.prod, np.mean, np.max, np.min, np.any, np.all, np.trace)
PRODUCTS = (np.matmul, np.dot, np.outer)

_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
_TRIED = 64
"""How many elements arrays have at most whose new shape is found by trying."""


def checked_lengths(body: Block, given: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes of parameters, with the lengths that the function makes sure of before it reads them.

    By ``assert len(y) == 3``, an if that raises, or ``a, b, c = y``.
    """
    found = dict(given)
    read: set[str] = set()
    for s in body:
        match s:
            case If(Compare(Len(array, int() as axis), (op,), (Const(int() as n),)), then, orelse) if array in given:
                passes = (op == "==" and raises(orelse)) or (op == "!=" and raises(then))
                if passes and array not in read:
                    found[array] = (*found[array][:axis], n, *found[array][axis + 1 :])
        read |= {name for p in walk_stmts((s,)) for name in names(*expressions(p))} | assigned((s,))
    return found


class Unknown(Exception):
    """A number or a shape that is not known before the program runs."""


class Sizes:
    """What is known of the arrays of a body; `given` are the shapes of its parameters."""

    def __init__(self, body: Block, kinds: Mapping[str, Kind], given: Mapping[str, Shape]) -> None:
        self.kinds = kinds
        self.shapes: dict[str, Shape] = dict(given)
        self.counts: Counter[str] = Counter(list(given))
        self.values: dict[str, Expr] = {}
        self.defined: list[tuple[str, Expr]] = []
        for s in walk_stmts(body):
            match s:
                case Assign(target) if is_placeholder(s):
                    self.counts[target] += 1
                case Assign(target, value):
                    self.defined.append((target, value))
                case For(var=var):
                    self.counts[var] += 2
                case Rebind(targets, sources):
                    self.defined += zip(targets, (Var(name) for name in sources), strict=True)
        for target, value in self.defined:
            self.counts[target] += 1
            self.values[target] = value
        arrays = [(t, e) for t, e in self.defined if kinds[t].is_array]
        while any([self.changes(target, value) for target, value in arrays]):
            pass

    def changes(self, target: str, value: Expr) -> bool:
        """Whether a definition gives a name another shape than was thought."""
        found = self.shape(value)
        old = self.shapes.get(target)
        if found is None or old == found:
            return False
        self.shapes[target] = found if old is None else tuple(a if a == b else None for a, b in zip(old, found))
        return self.shapes[target] != old

    # ---------------------------------------------------------------------------------------------- numbers

    def number(self, e: Expr) -> int:
        """A whole number.  Raises Unknown where it is not known."""
        match e:
            case Const(int() as value) if not isinstance(value, bool):
                return value
            case Var(name) if self.counts[name] == 1 and name in self.values and self.kinds[name] is Kind.INT:
                return self.number(self.values[name])
            case Len(array, axis):
                shape = self.shapes.get(array, (None,))
                wanted = shape if axis is None else shape[axis : axis + 1]
                sizes = [n for n in wanted if n is not None]
                if len(sizes) == len(wanted):
                    return int(np.prod(sizes))
            case Unary("-", operand):
                return -self.number(operand)
            case Binary(op, left, right) if op in _ARITHMETIC:
                return _ARITHMETIC[op](self.number(left), self.number(right))
            case Call(Primitive(function=function), args) if function in (min, max):
                return int(function(self.number(a) for a in args))
        raise Unknown

    def numbers(self, e: Expr) -> Any:
        """A number, or a tuple of these, as an argument of a function of NumPy's."""
        return tuple(self.number(p) for p in e.parts) if isinstance(e, Items) else self.number(e)

    def perhaps(self, e: Expr) -> int | None:
        """A number, or None where it is not known."""
        try:
            return self.number(e)
        except Unknown:
            return None

    def truth(self, e: Expr) -> bool:
        """Whether a comparison of whole numbers holds.  Raises Unknown where they are not known."""
        match e:
            case Compare(left, (op,), (right,)):
                return bool(_COMPARISONS[op](self.number(left), self.number(right)))
            case Unary("not", operand):
                return not self.truth(operand)
        raise Unknown

    def index(self, e: Expr) -> Any:
        """An index as NumPy takes it.  Raises Unknown where it is not known."""
        match e:
            case Items(parts):
                return tuple(self.index(p) for p in parts)
            case Slice(start, stop, step):
                return slice(*(None if isinstance(p, Marker) else self.number(p) for p in (start, stop, step)))
            case Marker(text):
                return {"None": None, "...": ...}[text]
        return self.number(e)

    # ----------------------------------------------------------------------------------------------- shapes

    def shape(self, e: Expr) -> Shape | None:
        """The shape of a value, () of a number; None where nothing is known of it yet."""
        match e:
            case Var(name):
                return self.shapes.get(name) if self.kinds[name].is_array else ()
            case Index(array, index):
                base = self.shapes.get(array)
                return None if base is None else self.part(base, index, e)
            case Const() | Len():
                return ()
            case Call(Primitive() as callee, args, keywords) if not callee.elementwise:
                return self.of_call(callee.function, args, dict(keywords), e)
            case Call(Primitive(home=None)):  # a user's may make a number of an array
                return self.any(e)
            case Unary() | Binary() | Compare() | BoolOp() | Select() | Cast() | Call(Primitive()):
                return self.broadcast([self.shape(p) for p in children(e)])
        return self.any(e)

    def known(self, e: Expr) -> tuple[int, ...]:
        """The shape of a value.  Raises Unknown where an axis has an unknown length."""
        shape = self.shape(e)
        sizes = tuple(n for n in shape or () if n is not None)
        if shape is None or len(sizes) < len(shape):
            raise Unknown
        return sizes

    def any(self, e: Expr) -> Shape:
        return (None,) * kind_of(e, self.kinds).ndim

    def broadcast(self, shapes: list[Shape | None]) -> Shape | None:
        found = [s for s in shapes if s is not None]
        if len(found) < len(shapes):
            return None
        ndim = max(map(len, found))
        axes = zip(*((1,) * (ndim - len(s)) + s for s in found), strict=True)
        return tuple(self.common({n for n in axis if n != 1}) for axis in axes)

    def common(self, lengths: set[int | None]) -> int | None:
        """The length of an axis where operands have these; what does not fit raises when the program runs."""
        return 1 if not lengths else lengths.pop() if len(lengths) == 1 else None

    def part(self, base: Shape, index: Expr, e: Expr) -> Shape:
        """The shape of a part of an array."""
        out: list[int | None] = []
        axes = list(base)
        for part in index.parts if isinstance(index, Items) else (index,):
            if isinstance(part, Marker) and part.text == "None":
                out.append(1)
            elif isinstance(part, Slice):
                out.append(self.stretch(axes.pop(0), part))
            elif isinstance(part, Marker) or kind_of(part, self.kinds).is_array:
                return self.any(e)
            else:
                axes.pop(0)
        return (*out, *axes)

    def stretch(self, length: int | None, part: Slice) -> int | None:
        """How much of an axis there is in a slice."""
        if part == WHOLE_AXIS or length is None:
            return length if part == WHOLE_AXIS else None
        try:
            return len(range(*self.index(part).indices(length)))
        except Unknown:
            return None

    def of_call(self, function: Any, args: tuple[Expr, ...], keywords: dict[str, Any], e: Expr) -> Shape | None:
        if function in ALIKE:
            return self.shape(args[0])
        try:
            if function in MADE:
                return tuple(map(self.perhaps, args[0].parts if isinstance(args[0], Items) else args[:1]))
            if function in SQUARES:
                return self.perhaps(args[0]), self.perhaps(args[-1])
            if function in MOVES or function in REDUCTIONS:
                return self.tried(function, args, keywords)
            if function in PRODUCTS:
                return tuple(np.shape(function(self.blank(args[0]), self.blank(args[1]))))
        except (Unknown, ValueError, IndexError):
            parts = args[0].parts if isinstance(args[0], Items) else args
            if any(not isinstance(p, Items) and self.shape(p) is None for p in parts):
                return None
        return self.any(e)

    def tried(self, function: Any, args: tuple[Expr, ...], keywords: dict[str, Any]) -> Shape:
        """The shape of what a function makes of an array, or of several, found by trying."""
        first, *more = args
        parts = first.parts if isinstance(first, Items) else (first,)
        found = [self.blank(p) for p in parts]
        made = function(found if isinstance(first, Items) else found[0], *map(self.numbers, more), **keywords)
        return tuple(np.shape(made))

    def blank(self, e: Expr) -> np.ndarray:
        """An array of the shape of a small one."""
        shape = self.known(e)
        if np.prod(shape) > _TRIED:
            raise Unknown
        return np.zeros(shape)


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
