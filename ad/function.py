"""A function in typed IR, and the flags it is compiled with."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from ad.ir import (
    Binary,
    Block,
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
    Place,
    Select,
    Slice,
    Unary,
    Var,
)
from ad.names import Namer
from ad.numbatypes import OPERATOR_FUNCTIONS, NoSuchOperation, result_of
from ad.primitive import Primitive
from ad.rules import result_kind
from ad.source import Source

__all__ = ["Function", "Inlined", "Options", "Small", "arithmetic", "is_element", "kind_of", "kind_of_part"]


@dataclass(frozen=True)
class Options:
    """How a function is compiled.

    `checked` is Python's division: by zero it raises ZeroDivisionError.  `boundscheck` makes an index out of bounds an
    IndexError.  `fastmath` is passed on to Numba as it is.  `parallel` says that ``prange`` is more than ``range``.
    """

    checked: bool = True
    boundscheck: bool = True
    fastmath: Any = False
    parallel: bool = True

    def beside(self, other: "Options") -> "Options":
        """Those of a function that has the body of another one in it: nothing is less exact or safe than in either.

        `checked` stays its own: each division knows where it is from.
        """
        fastmath = self.fastmath if self.fastmath == other.fastmath else False
        return replace(self, boundscheck=self.boundscheck or other.boundscheck, fastmath=fastmath)

    @classmethod
    def of(cls, dispatcher: Dispatcher | None, caller: "Options | None" = None) -> "Options":
        """The flags of the user's own compilation; those of the Python language where there is none.

        As in Numba, a function takes its error model and its fastmath from its caller where it names none itself.
        """
        if dispatcher is None:
            return cls()
        options, caller = dispatcher.targetoptions, caller or cls()
        fastmath = options.get("fastmath", caller.fastmath)
        if isinstance(fastmath, set):
            fastmath = tuple(sorted(fastmath))
        return cls(
            checked=options["error_model"] == "python" if "error_model" in options else caller.checked,
            boundscheck=bool(options.get("boundscheck")),
            fastmath=fastmath,
            parallel=bool(options.get("parallel")),
        )


@dataclass(frozen=True)
class Inlined:
    """A function whose body was put in the place of a call, and where that stands."""

    name: str
    source: Source
    line: int


@dataclass(frozen=True)
class Small:
    """A small array that became so many numbers, and where it is first given a value."""

    name: str
    size: int
    source: Source | None
    line: int


@dataclass(eq=False)
class Function:
    """A function whose variables all have a kind.  Its body ends with `result` assigned.

    `copied` are the parameters that it writes to in place: it works on copies of them.  `constants` are arrays of its
    module or closure, as they were when it was read: the values of the last parameters.  A function that calls itself
    is met before its body is known: it is `complete` when that has been filled in.  `called` says what the user calls
    a variable, `inlined` whose bodies were put in the place of calls, `small` which arrays became numbers; `variants`
    are the same function with numbers in the place of arrays (ad.scalars).  `rerun` says that the reverse sweep runs
    calls of it again, instead of having their inside recorded.
    """

    source: Source
    params: tuple[str, ...]
    param_kinds: tuple[Kind, ...]
    kinds: dict[str, Kind]
    body: Block
    result: str
    namer: Namer
    options: Options
    result_place: Place | None = None
    copied: tuple[str, ...] = ()
    constants: tuple[Any, ...] = ()
    complete: bool = True
    called: Mapping[str, str] = field(default_factory=dict)
    inlined: tuple[Inlined, ...] = ()
    small: tuple[Small, ...] = ()
    variants: dict[Any, "Function | None"] = field(default_factory=dict)
    rerun: bool = False

    def fill(self, made: "Function") -> None:
        """Become what another object is."""
        self.__dict__.update(made.__dict__)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def result_kind(self) -> Kind:
        return self.kinds[self.result]


def kind_of(e: Expr, kinds: Mapping[str, Kind]) -> Kind:
    """The kind of a typed expression."""
    match e:
        case Const(value):
            return _constant_kind(value)
        case Var(name) | Like(name):
            return kinds[name]
        case Unary("not", operand):
            kind = kind_of(operand, kinds)
            return Kind("bool", kind.ndim)
        case Unary(op, operand):
            return arithmetic(op, kind_of(operand, kinds))
        case Binary("**", left, Const(int())):
            return arithmetic("**", kind_of(left, kinds), Kind.INT)
        case Binary(op, left, right):
            return arithmetic(op, kind_of(left, kinds), kind_of(right, kinds))
        case Compare(left, _, rest):
            return Kind("bool", max(kind_of(part, kinds).ndim for part in (left, *rest)))
        case BoolOp(_, values):
            return Kind("bool", max(kind_of(v, kinds).ndim for v in values))
        case Select(cond, then, orelse):
            return _select_kind(*(kind_of(part, kinds) for part in (cond, then, orelse)))
        case Index(array, index):
            return kind_of_part(kinds[array], index, kinds)
        case Len():
            return Kind.INT
        case Items(parts):
            return _items_kind([kind_of(p, kinds) for p in parts])
        case Slice() | Marker():
            return Kind("none")
        case Cast(kind, _):
            return kind
        case Call(Primitive() as callee, args, keywords):
            return result_kind(callee, tuple(kind_of(a, kinds) for a in args), keywords)
        case Call(callee, _):  # a Function, or a Unit made of it
            return callee.result_kind
    raise AssertionError(f"no kind for {e!r}")


def _items_kind(parts: list[Kind]) -> Kind:
    """A shape; or what several arrays are alike in."""
    arrays = [k for k in parts if k.is_array]
    if not arrays:
        return Kind("shape", len(parts))
    return Kind(str(np.result_type(*(k.dtype for k in arrays))), arrays[0].ndim)


def _constant_kind(value: Any) -> Kind:
    if value is None or isinstance(value, tuple | str):
        return Kind("none")
    for types, kind in ((bool, Kind.BOOL), (int, Kind.INT), (float, Kind.FLOAT), (complex, Kind("complex128"))):
        if isinstance(value, types):
            return kind
    raise AssertionError(f"no kind for {value!r}")


def _select_kind(cond: Kind, then: Kind, orelse: Kind) -> Kind:
    if then is orelse and cond.ndim <= then.ndim:
        return then
    found = result_of(operator.add, (then, orelse))
    assert found is not None, (then, orelse)
    ndim = max(cond.ndim, then.ndim, orelse.ndim)
    return Kind(found.dtype, ndim) if ndim else found.scalar


def kind_of_part(array: Kind, index: Expr, kinds: Mapping[str, Kind]) -> Kind:
    """The kind of ``array[index]``."""
    ndim = array.ndim
    for part in index.parts if isinstance(index, Items) else (index,):
        if isinstance(part, Slice):
            continue
        if isinstance(part, Marker):
            ndim += part.text == "None"
            continue
        kind = kind_of(part, kinds)
        ndim += 1 - kind.ndim if kind.dtype == "bool" else kind.ndim - 1
    return Kind(array.dtype, ndim) if ndim > 0 else array.scalar


_PLAIN = frozenset({Kind.FLOAT, Kind.INT, Kind.BOOL})
_SIMPLE = frozenset({"+", "-", "*", "/", "//", "%", "**"})


def arithmetic(op: str, *kinds: Kind) -> Kind:
    """The kind of an operator's result; bools count as integers."""
    if _PLAIN.issuperset(kinds) and op in _SIMPLE:
        return Kind.FLOAT if op == "/" or Kind.FLOAT in kinds else Kind.INT
    found = result_of(OPERATOR_FUNCTIONS[op, len(kinds)], kinds)
    if found is None:
        raise NoSuchOperation(op, kinds)
    return found


def is_element(index: Expr, kinds: Mapping[str, Kind]) -> bool:
    """Whether an index names one element by ints alone, or is a view: nothing is copied, nothing is met twice."""
    parts = index.parts if isinstance(index, Items) else (index,)
    return all(isinstance(p, Slice | Marker) or not kind_of(p, kinds).is_array for p in parts)
