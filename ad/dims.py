"""Shapes of arrays as far as a program tells them, whatever its arguments are.

A length is a set of atoms, and the length to which these are broadcast: none of them is 1.  An atom is a constant, a
length or a whole number at the start of the function or of a trip of a loop, or a calculation with such.  Lengths
that are the same set are the same; of others nothing is known.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ad.arrays import linear, moves, reductions
from ad.function import is_element, kind_of
from ad.ir import (
    NOTHING,
    WHOLE_AXIS,
    Binary,
    BoolOp,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    Index,
    Items,
    Kind,
    Len,
    Like,
    Marker,
    Select,
    Slice,
    Stmt,
    Unary,
    Var,
    children,
)
from ad.primitive import Primitive

__all__ = ["ONE", "Dim", "Shape", "Shapes", "State", "broadcast", "is_constant"]

Dim = frozenset[Any]
Shape = tuple[Dim, ...]
State = dict[str, Shape]
"""The shapes of arrays and, as if they had one dimension, the values of whole numbers."""

ONE: Dim = frozenset()
_LARGEST = 8
"""How many atoms a calculation may have."""

_MADE = (np.zeros, np.ones, np.empty, np.full)
_LIKE: dict[Any, int] = {
    **dict.fromkeys((np.roll, np.copy, np.flip, np.sort, np.cumsum, np.cumprod, np.tril, np.triu), 0),
    **dict.fromkeys((np.zeros_like, np.ones_like, np.empty_like, np.full_like), 0),
    **dict.fromkeys((moves.roll_vjp, moves.array_flip), 0),
    **dict.fromkeys((moves.reshape_vjp, moves.repeat_vjp, moves.tile_vjp, linear.matmul_vjp_left), 1),
    **dict.fromkeys((reductions.prod_vjp, reductions.max_vjp, reductions.min_vjp, reductions.var_vjp), 1),
    **dict.fromkeys((linear.matmul_vjp_right, reductions.std_vjp), 2),
}
"""Functions whose result has the shape of an argument, if it has as many dimensions: the place of that argument."""
_REDUCED = (np.sum, np.prod, np.mean, np.max, np.min, np.var, np.std, np.any, np.all)


def is_constant(dim: Dim) -> bool:
    """Whether a length is the same throughout a call of the function."""
    return all(
        kind in ("number", "entry") or (kind in ("op", "slice") and all(map(is_constant, _dims(rest))))
        for kind, *rest in dim
    )


def _dims(parts: Iterable[Any]) -> list[Dim]:
    return [part for part in parts if isinstance(part, frozenset)]


def _is_length(dim: Dim) -> bool:
    """Whether a whole number is surely none below zero."""
    for kind, *rest in dim:
        if kind == "op" and not (rest[0] in ("+", "*") and all(map(_is_length, rest[1:]))):
            return False
        if kind == "number" and rest[0] < 0:
            return False
        if kind != "op" and kind != "number" and rest[-1] is None:
            return False
    return True


class Shapes:
    """Shapes of the expressions of one statement `s`, where `state` holds."""

    def __init__(self, kinds: Mapping[str, Kind], state: Mapping[str, Shape], s: Stmt) -> None:
        self.kinds = kinds
        self.state = state
        self.s = s

    def unknown(self, what: Any, kind: Kind) -> Shape:
        axes = range(kind.ndim) if kind.is_array else (None,)
        return tuple(frozenset({("made", self.s, what, axis)}) for axis in axes)

    def of(self, e: Expr) -> Shape:
        """The shape of a value; that of a number is empty."""
        kind = kind_of(e, self.kinds)
        if not kind.is_array:
            return ()
        found = self.array(e, kind)
        return found if found is not None else self.unknown(e, kind)

    def value(self, e: Expr) -> Dim:
        """The value of a whole number."""
        match e:
            case Const(int() as n) if not isinstance(n, bool):
                return ONE if n == 1 else frozenset({("number", n)})
            case Var(name) if name in self.state:
                return self.state[name][0]
            case Len(array, int() as axis) if array in self.state:
                return self.state[array][axis]
            case Binary("+" | "-" | "*" as op, left, right):
                a, b = self.value(left), self.value(right)
                if sum(map(_size, (a, b))) <= _LARGEST:
                    return frozenset({("op", op, a, b)})
        return frozenset({("made", self.s, e, None)})

    def array(self, e: Expr, kind: Kind) -> Shape | None:
        match e:
            case Var(name) | Like(name):
                return self.state.get(name)
            case Index(name, index):
                return self.part(name, index)
            case Call(Primitive(function=function) as callee, args, keywords) if not callee.elementwise:
                return self.whole(function, args, dict(keywords), kind)
            case Select(cond, then, orelse) if not kind_of(cond, self.kinds).is_array:
                sides = self.of(then), self.of(orelse)
                return sides[0] if sides[0] == sides[1] else None
            case Unary() | Binary() | Compare() | BoolOp() | Select() | Cast() | Call(Primitive()):
                return broadcast([self.of(part) for part in children(e)])
        return None

    def part(self, name: str, index: Expr) -> Shape | None:
        if name not in self.state or not is_element(index, self.kinds):
            return None
        parts = index.parts if isinstance(index, Items) else (index,)
        missing = len(self.state[name]) - sum(p not in (_NEW, _REST) for p in parts)
        if _REST not in parts:
            parts = (*parts, _REST)
        lengths = iter(self.state[name])
        found: list[Dim] = []
        for p in parts:
            if p == _REST:
                found += [next(lengths) for _ in range(missing)]
            elif p == _NEW:
                found.append(ONE)
            elif p == WHOLE_AXIS:
                found.append(next(lengths))
            elif isinstance(p, Slice):
                ends = tuple(None if x == NOTHING else self.value(x) for x in (p.start, p.stop, p.step))
                found.append(frozenset({("slice", *ends, next(lengths), 0)}))
            else:
                next(lengths)
        return tuple(found)

    def whole(self, function: Any, args: tuple[Expr, ...], keywords: dict[str, Any], kind: Kind) -> Shape | None:
        """The shape of the result of a function of whole arrays."""
        if function in _LIKE:
            found = self.of(args[_LIKE[function]])
            return found if len(found) == kind.ndim else None
        if function in _MADE or function is np.reshape:
            size = args[0 if function in _MADE else 1]
            parts = size.parts if isinstance(size, Items) else (size,)
            if len(parts) != kind.ndim or any(kind_of(p, self.kinds) is not Kind.INT for p in parts):
                return None
            lengths = tuple(self.value(p) for p in parts)
            return lengths if function in _MADE or all(map(_is_length, lengths)) else None
        if function is reductions.sum_vjp:
            return self.widened(self.of(args[0]), keywords["axis"])
        if function in _REDUCED or function is reductions.mean_vjp:
            rule = function not in _REDUCED
            axis = _constant(args[2]) if rule and len(args) > 2 else keywords.get("axis")
            if rule and not kind_of(args[0], self.kinds).is_array:
                return ()
            return self.reduced(self.of(args[1 if rule else 0]), axis, rule or keywords.get("keepdims", False))
        if function is np.transpose and len(args) == 1 and not keywords:
            return self.of(args[0])[::-1]
        if function in (np.matmul, np.dot):
            a, b = (self.of(arg) for arg in args)
            return (*a[:-1], *b[:-2], *b[-1:]) if len(b) > 1 else a[:-1]
        return None

    def reduced(self, shape: Shape, axis: Any, keeps: bool) -> Shape | None:
        axes = axis if isinstance(axis, tuple) else range(len(shape)) if axis is None else (axis,)
        if not all(isinstance(a, int) for a in axes):
            return None
        gone = {a % len(shape) for a in axes}
        return tuple(ONE if k in gone else n for k, n in enumerate(shape) if keeps or k not in gone)

    def widened(self, shape: Shape, axis: Any) -> Shape:
        """The shape with axes of length 1, if it has any."""
        axes = axis if isinstance(axis, tuple) else (axis,)
        ndim = len(shape) + len(axes)
        new, rest = {a % ndim for a in axes}, iter(shape)
        return tuple(ONE if k in new else next(rest) for k in range(ndim)) if shape else ()


_REST, _NEW = Marker("..."), Marker("None")


def _constant(e: Expr) -> Any:
    return e.value if isinstance(e, Const) else e


def broadcast(shapes: list[Shape]) -> Shape:
    """The shape to which others broadcast."""
    ndim = max(map(len, shapes), default=0)
    return tuple(frozenset().union(*(s[k] for s in shapes if len(s) >= -k)) for k in range(-ndim, 0))


def _size(dim: Dim) -> int:
    """How many atoms a length is made of."""
    return sum(1 + sum(map(_size, _dims(atom))) for atom in dim)
