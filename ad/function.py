"""A function in typed IR, and the flags it is compiled with."""

from dataclasses import dataclass
from typing import Any

from numba.core.dispatcher import Dispatcher

from ad.ir import (
    Assign,
    Binary,
    Block,
    BoolOp,
    Call,
    Cast,
    Compare,
    Const,
    Expr,
    Index,
    Kind,
    Len,
    Place,
    Select,
    Unary,
    Var,
)
from ad.names import Namer
from ad.primitive import Primitive
from ad.rules import result_kind
from ad.source import Source

__all__ = ["Function", "Options", "kind_of"]


@dataclass(frozen=True)
class Options:
    """How a function is compiled.

    `checked` is Python's division: by zero it raises ZeroDivisionError.  `boundscheck` makes an index out of bounds an
    IndexError.  `fastmath` is passed on to Numba as it is.
    """

    checked: bool = True
    boundscheck: bool = True
    fastmath: Any = False

    @classmethod
    def of(cls, dispatcher: Dispatcher | None) -> "Options":
        """The flags of the user's own compilation; those of the Python language where there is none."""
        if dispatcher is None:
            return cls()
        options = dispatcher.targetoptions
        fastmath = options.get("fastmath", False)
        return cls(
            checked=options.get("error_model", "python") == "python",
            boundscheck=bool(options.get("boundscheck")),
            fastmath=tuple(sorted(fastmath)) if isinstance(fastmath, set) else bool(fastmath),
        )


@dataclass(frozen=True, eq=False)
class Function:
    """A function whose variables all have a kind.  Its body ends with `result` assigned."""

    source: Source
    params: tuple[str, ...]
    param_kinds: tuple[Kind, ...]
    kinds: dict[str, Kind]
    body: Block
    result: str
    namer: Namer
    options: Options
    result_place: Place | None = None

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def result_kind(self) -> Kind:
        return self.kinds[self.result]


def kind_of(e: Expr, kinds: dict[str, Kind]) -> Kind:
    """The kind of a typed expression."""
    match e:
        case Const(value):
            return Kind.BOOL if isinstance(value, bool) else Kind.INT if isinstance(value, int) else Kind.FLOAT
        case Var(name):
            return kinds[name]
        case Unary(op, operand):
            return Kind.BOOL if op == "not" else arithmetic(op, kind_of(operand, kinds))
        case Binary(op, left, right):
            return arithmetic(op, kind_of(left, kinds), kind_of(right, kinds))
        case Compare() | BoolOp():
            return Kind.BOOL
        case Select(_, then, orelse):
            found = {kind_of(then, kinds), kind_of(orelse, kinds)}
            return Kind.FLOAT if Kind.FLOAT in found else found.pop()
        case Index(array, _):
            return Kind.INT if kinds[array] is Kind.INTS else Kind.FLOAT
        case Len():
            return Kind.INT
        case Cast(kind, _):
            return kind
        case Call(Primitive() as callee, args):
            return result_kind(callee, tuple(kind_of(a, kinds) for a in args))
        case Call(Function() as callee, _):
            return callee.result_kind
    raise AssertionError(f"no kind for {e!r}")


def arithmetic(op: str, *kinds: Kind) -> Kind:
    """The kind of an operator's result; bools count as integers."""
    return Kind.FLOAT if op == "/" or Kind.FLOAT in kinds else Kind.INT


def is_copy(s: Assign) -> bool:
    return isinstance(s.value, Var)
