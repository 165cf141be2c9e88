"""Expressions of small arrays, element by element.

An array of a known shape is an array of NumPy's here, whose elements are expressions: what moves elements is done by
NumPy itself.  What cannot be done raises `Whole` with the names of the arrays that must stay arrays for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ad.function import Function, kind_of
from ad.helpers import astype
from ad.ir import (
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
    Marker,
    Select,
    Slice,
    Unary,
    Var,
    children,
    rebuild,
    walk,
)
from ad.primitive import Primitive, primitive
from ad.sizes import MOVES, PRODUCTS, REDUCTIONS, SQUARES, Sizes, Unknown
from ad.special import larger, smaller

__all__ = ["DTYPES", "MOST", "Special", "Spread", "Whole", "converted", "objects"]

DTYPES = ("float64", "complex128", "int64", "bool")
"""What elements may be: numbers for which compiled code rounds as for arrays."""

MOST = 9
"""How many elements a small array may have: those of a 3 x 3 matrix."""
Special = Callable[[Function, Mapping[str, tuple[int, ...]]], Function | None]

_T = TypeVar("_T")
_LIGHT = 2
"""How many operators an expression has at most that is written out for every element."""
_LONG = 60
"""How many nodes the terms of a sum have at most together that are not given names."""
_FILLED = {np.zeros: 0, np.empty: 0, np.zeros_like: 0, np.empty_like: 0, np.ones: 1, np.ones_like: 1}
_AS_FUNCTIONS = {"//": primitive(np.floor_divide), "%": primitive(np.mod)}


class Whole(Exception):
    """Arrays that are needed as arrays."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = set(names)


class Spread:
    """Writes expressions without the arrays `elements`, which have names for their elements.

    What they need to have computed before is in `before`, under names of `fresh`.  `special` gives functions that take
    numbers in the place of arrays.
    """

    def __init__(
        self,
        sizes: Sizes,
        kinds: Mapping[str, Kind],
        elements: Mapping[str, Any],
        fresh: Callable[[str, Kind], str],
        special: Special,
    ) -> None:
        self.sizes = sizes
        self.kinds = kinds
        self.elements = elements
        self.fresh = fresh
        self.special = special
        self.before: list[tuple[str, Expr]] = []
        self.eager = True

    def touched(self, *exprs: Expr) -> set[str]:
        found = {part for e in exprs for part in walk(e) if isinstance(part, Var | Index | Len)}
        return {p.name if isinstance(p, Var) else p.array for p in found} & self.elements.keys()

    def lazily(self, e: Expr) -> Expr:
        """What is computed under a condition only, so that nothing of it may be computed before."""
        eager, self.eager = self.eager, False
        try:
            return self.rewritten(e)
        finally:
            self.eager = eager

    # ---------------------------------------------------------------------------------------------- numbers

    def rewritten(self, e: Expr) -> Expr:
        """A number, or an array that is none of `elements`."""
        if not self.touched(e):
            return e
        match e:
            case Var(name) if name in self.elements:
                raise Whole({name})
            case Len(name) if name in self.elements:
                return Const(self.sizes.number(e))
            case Index(name, index) if name in self.elements:
                found = self.places(name, index)
                if isinstance(found, np.ndarray):
                    raise Whole({name})
                return Var(found, at=e.at)
            case Call(Primitive()) if self.is_reduced(e):
                return self.tried(lambda: self.of_call(e).item(), lambda: self.rebuilt(e))
            case Call(Function() as callee, args):
                return self.call(callee, args, e)
            case Select(cond, then, orelse):
                return replace(e, cond=self.rewritten(cond), then=self.lazily(then), orelse=self.lazily(orelse))
            case BoolOp(_, (first, *rest)):
                return replace(e, values=(self.rewritten(first), *map(self.lazily, rest)))
            case Compare(left, _, (first, *rest)):
                return replace(e, left=self.rewritten(left), rest=(self.rewritten(first), *map(self.lazily, rest)))
        return self.rebuilt(e)

    def rebuilt(self, e: Expr) -> Expr:
        return rebuild(e, tuple(self.rewritten(p) for p in children(e)))

    def tried(self, first: Callable[[], _T], otherwise: Callable[[], _T]) -> _T:
        """What one function makes; where that needs arrays, what another one makes, which may do with less."""
        known = len(self.before)
        try:
            return first()
        except Whole:
            del self.before[known:]
            return otherwise()

    def call(self, callee: Function, args: tuple[Expr, ...], e: Call) -> Expr:
        """A call of a user's function, with numbers in the place of arrays."""
        arrays = {p: a.name for p, a in zip(callee.params, args, strict=True) if isinstance(a, Var)}
        shapes = {p: self.elements[name].shape for p, name in arrays.items() if name in self.elements}
        if shapes:
            special = self.special(callee, shapes)
            if special is None:
                raise Whole({arrays[p] for p in shapes})
            callee = special
        new: list[Expr] = []
        for a in args:
            new += self.array(a).flat if isinstance(a, Var) and a.name in self.elements else [self.rewritten(a)]
        return replace(e, callee=callee, args=tuple(new))

    def is_reduced(self, e: Call) -> bool:
        return e.callee.function in (*REDUCTIONS, *PRODUCTS) and not kind_of(e, self.kinds).is_array

    def places(self, name: str, index: Expr) -> Any:
        """The names of elements."""
        try:
            return self.elements[name][self.sizes.index(index)]
        except (Unknown, IndexError, KeyError):
            raise Whole({name}) from None

    def settled(self, e: Expr) -> Expr:
        """A number that is written several times: under a name, where it takes long."""
        heavy = any(not isinstance(p, Binary | Unary | Cast | Const | Var | Len) for p in walk(e))
        long = sum(isinstance(p, Binary | Unary) for p in walk(e)) > _LIGHT
        return self.named(e) if heavy or long else e

    def named(self, e: Expr) -> Expr:
        if not self.eager or isinstance(e, Var | Const):
            return e
        name = self.fresh("part", kind_of(e, self.kinds))
        self.before.append((name, e))
        return Var(name)

    # ----------------------------------------------------------------------------------------------- arrays

    def array(self, e: Expr) -> Any:
        """The elements of an array of a known shape."""
        if kind_of(e, self.kinds).dtype not in DTYPES:
            raise Whole(self.touched(e))
        match e:
            case Var(name):
                return self.array(Index(name, Marker("...")))
            case Index(name, index):
                return self.of_part(name, index)
            case Call(Primitive() as callee) if not callee.elementwise:
                return self.of_call(e)
            case Select(_, then, orelse) if not (_is_polynomial(then) and _is_polynomial(orelse)):
                # Of arrays both sides are computed and differentiated, of numbers one.
                raise Whole(self.touched(e))
            case Unary() | Binary() | Compare() | BoolOp() | Select() | Cast() | Call(Primitive()):
                return self.by_element(e)
        raise Whole(self.touched(e))

    def shape(self, e: Expr) -> tuple[int, ...]:
        try:
            return self.sizes.known(e)
        except Unknown:
            raise Whole(self.touched(e)) from None

    def filled(self, e: Expr, value: Callable[[tuple[int, ...]], Expr]) -> Any:
        """The elements of the shape of `e`, from their indices."""
        made = np.empty(self.shape(e), dtype=object)
        for at in np.ndindex(made.shape):
            made[at] = value(at)
        return made

    def of_part(self, name: str, index: Expr) -> Any:
        if name in self.elements:
            found = self.places(name, index)
            return objects([Var(n) for n in np.asarray(found, dtype=object).flat], np.shape(found))
        indices = self.indices(name, index)
        return objects([Index(name, at) for at in indices.flat], indices.shape)

    def indices(self, name: str, index: Expr) -> Any:
        """The indices of the elements in a part of an array that stays one."""
        parts = list(index.parts if isinstance(index, Items) else (index,))
        if parts == [Marker("...")]:
            parts = []
        shape = self.sizes.shapes.get(name, ())
        parts += [WHOLE_AXIS] * (len(shape) - len(parts))
        axes: list[list[Expr]] = []
        sizes: list[int] = []
        for part, length in zip(parts, shape, strict=False):
            if isinstance(part, Marker) or len(parts) > len(shape) or (isinstance(part, Slice) and length is None):
                raise Whole(self.touched(index))
            if not isinstance(part, Slice):
                if kind_of(part, self.kinds).is_array:  # an index array, or a mask
                    raise Whole(self.touched(index))
                axes.append([self.settled(self.rewritten(part))])
                continue
            try:
                axes.append([Const(i) for i in range(length or 0)[self.sizes.index(part)]])
            except Unknown:
                raise Whole(self.touched(index)) from None
            sizes.append(len(axes[-1]))
        return objects([at[0] if len(at) == 1 else Items(at) for at in product(*axes)], tuple(sizes))

    def by_element(self, e: Expr) -> Any:
        """An operator, or a function of numbers, of the elements in the same place."""
        shape, kind = self.shape(e), kind_of(e, self.kinds)
        operands = [self.operand(p, shape) for p in children(e)]

        def made(at: tuple[int, ...]) -> Expr:
            new = rebuild(e, tuple(operand[at] for operand in operands))
            match new:
                case Binary("//" | "%" as op, left, right):
                    new = Call(_AS_FUNCTIONS[op], (left, right))  # which divide by zero as arrays do
                case Binary("**", left, right) if kind.dtype == "int64" and not isinstance(right, Const):
                    raise Whole(self.touched(e))
                case Binary():
                    new = replace(new, checked=False)
                case Cast():
                    new = replace(new, kind=kind.scalar)
            if kind_of(new, self.kinds) is not kind.scalar:
                raise Whole(self.touched(e))
            return new

        return self.filled(e, made)

    def operand(self, e: Expr, shape: tuple[int, ...]) -> Any:
        """The elements of an operand, or the one number, for every element of the result."""
        is_array = kind_of(e, self.kinds).is_array
        found = self.array(e) if is_array else objects([self.rewritten(e)], ())
        if found.shape != shape:
            found = objects([self.settled(part) for part in found.flat], found.shape)
        try:
            return np.broadcast_to(found, shape)
        except ValueError:
            raise Whole(self.touched(e)) from None

    # ------------------------------------------------------------------------------------------------ calls

    def of_call(self, e: Call) -> Any:
        function, kind = e.callee.function, kind_of(e, self.kinds)
        if function in _FILLED:
            return self.filled(e, lambda at: converted(Const(_FILLED[function]), kind.scalar, self.kinds))
        if function in SQUARES:
            return self.filled(e, lambda at: converted(Const(int(at[0] == at[1])), kind.scalar, self.kinds))
        if function in (np.full, np.full_like):
            value = converted(self.settled(self.rewritten(e.args[1])), kind.scalar, self.kinds)
            if value is None:
                raise Whole(self.touched(e))
            return self.filled(e, lambda at: value)
        if function in (np.copy, astype):
            found = self.array(e.args[0])
            new = [converted(part, kind.scalar, self.kinds) for part in found.flat]
            if None in new:
                raise Whole(self.touched(e))
            return objects(new, found.shape)
        if function in REDUCTIONS:
            return self.reduction(e)
        if function in PRODUCTS:
            return self.product(e)
        if function in MOVES:
            return self.moved(e)
        raise Whole(self.touched(e))

    def moved(self, e: Call) -> Any:
        self.shape(e)  # so that it fits
        first, *more = e.args
        parts = [self.array(p) for p in (first.parts if isinstance(first, Items) else (first,))]
        given = parts if isinstance(first, Items) else parts[0]
        made = e.callee.function(given, *map(self.sizes.numbers, more), **dict(e.keywords))
        kind = kind_of(e, self.kinds)
        if any(kind_of(part, self.kinds) is not kind.scalar for part in made.flat):
            raise Whole(self.touched(e))
        return made.copy()

    def reduction(self, e: Call) -> Any:
        """From left to right, as compiled code does."""
        arg = e.args[0]
        self.shape(e), self.shape(arg)
        found, keywords = self.array(arg), dict(e.keywords)
        if sum(sum(1 for _ in walk(part)) for part in found.flat) > _LONG:
            found = objects([self.named(part) for part in found.flat], found.shape)
        function, axis, keep = e.callee.function, keywords.get("axis"), keywords.get("keepdims", False)
        if isinstance(axis, tuple) or set(keywords) - {"axis", "keepdims", "offset"}:
            raise Whole(self.touched(e))
        if function is np.trace:
            found = np.diagonal(found, keywords.get("offset", 0))
        rows = found.reshape(1, -1)[0] if axis is None else np.moveaxis(found, axis, -1)
        made = np.empty(rows.shape[:-1], dtype=object)
        for at in np.ndindex(made.shape):
            made[at] = self.folded(function, list(rows[at]), e)
        if keep:
            made = made.reshape(self.shape(e))
        return made

    def folded(self, function: Any, items: list[Expr], e: Call) -> Expr:
        kind = kind_of(e, self.kinds).scalar
        if not items:
            raise Whole(self.touched(e))
        if function in (np.any, np.all):
            tests = [converted(item, Kind.BOOL, self.kinds) for item in items]
            return BoolOp("or" if function is np.any else "and", tuple(tests)) if len(tests) > 1 else tests[0]
        if function in (np.max, np.min):
            if kind not in (Kind.FLOAT, Kind.INT):
                raise Whole(self.touched(e))
            best = primitive(larger if function is np.max else smaller)
            return reduce(lambda a, b: Call(best, (a, b)), items)
        items = [Cast(Kind.INT, i) if kind_of(i, self.kinds) is Kind.BOOL else i for i in items]
        total = reduce(lambda a, b: Binary("*" if function is np.prod else "+", a, b), items)
        return Binary("/", total, Const(float(len(items)))) if function is np.mean else total

    def product(self, e: Call) -> Any:
        """np.dot, np.matmul and np.outer."""
        self.shape(e)
        left, right = (self.array(a) for a in e.args)
        kind = kind_of(e, self.kinds).scalar
        if left.ndim > 1 or right.ndim > 1 or e.callee.function is np.outer:
            left, right = (objects([self.settled(p) for p in side.flat], side.shape) for side in (left, right))
        if e.callee.function is np.outer:
            made = np.empty((left.size, right.size), dtype=object)
            for i, j in np.ndindex(made.shape):
                made[i, j] = Binary("*", left.flat[i], right.flat[j])
        else:
            rows, columns = left.reshape(-1, left.shape[-1]), right.reshape(right.shape[0], -1)
            made = np.empty((len(rows), columns.shape[1]), dtype=object)
            for i, j in np.ndindex(made.shape):
                made[i, j] = reduce(_plus, map(_times, rows[i], columns[:, j]))
        if kind is Kind.BOOL or any(kind_of(part, self.kinds) is not kind for part in made.flat):
            raise Whole(self.touched(e))
        return made.reshape((*left.shape[:-1], *right.shape[1:]) if e.callee.function is not np.outer else made.shape)


def objects(items: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """An array of NumPy's with these as its elements."""
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made.reshape(shape)


def converted(e: Expr, kind: Kind, kinds: Mapping[str, Kind]) -> Any:
    """A number as one of another kind; None where that would lose something."""
    found = kind_of(e, kinds)
    if found is kind:
        return e
    if kind is Kind.BOOL:
        if isinstance(e, Const):
            return Const(bool(e.value))
        return Compare(e, ("!=",), (Const(0),))
    if (found.is_float and not kind.is_float) or (found.is_complex and not kind.is_complex):
        return None
    if isinstance(e, Const) and e.name is None and kind.is_float:
        return Const(complex(e.value) if kind.is_complex else float(e.value))
    return Cast(kind, Cast(Kind.INT, e) if found is Kind.BOOL and kind.is_float else e)


def _plus(a: Expr, b: Expr) -> Expr:
    return Binary("+", a, b)


def _times(a: Expr, b: Expr) -> Expr:
    return Binary("*", a, b)


def _is_polynomial(e: Expr) -> bool:
    """Whether the derivative of an expression is finite where its variables are."""
    return all(
        isinstance(p, Var | Const | Index | Len | Slice | Marker | Items)
        or (isinstance(p, Unary | Binary) and p.op in ("+", "-", "*"))
        for p in walk(e)
    )
