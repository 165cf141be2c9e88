"""What an expression of the user's can stand for: IR, or something that is taken apart before there is any IR.

Tuples are sets of variables, functions and None are known when the function is read.  So the IR has numbers and arrays
only.
"""

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ad.function import Inlined, Options
from ad.ir import Expr, Kind, Stmt
from ad.names import Namer
from ad.source import Source

if TYPE_CHECKING:
    from ad.parse import Scope

__all__ = [
    "NONE",
    "Build",
    "FunctionValue",
    "NoneValue",
    "NotOfNumbers",
    "RangeValue",
    "Text",
    "TupleValue",
    "UserFunction",
    "Value",
]


class NotOfNumbers(Exception):
    """A called function is not one of numbers and read arrays to a number: its body takes the place of the call."""


@dataclass(frozen=True)
class UserFunction:
    """A function of the user that another one calls, with the flags it was compiled with."""

    function: Any
    dispatcher: Any = None


@dataclass(frozen=True)
class TupleValue:
    """A tuple, or a named tuple of class `cls`."""

    items: tuple["Value", ...]
    cls: type | None = None


@dataclass(frozen=True)
class FunctionValue:
    """A function that is a variable or an argument: one of the user's, or a def or lambda with its scope.

    `defaults` are those of its parameters, computed where it is defined.
    """

    function: UserFunction | ast.FunctionDef | ast.Lambda
    scope: "Scope | None" = None
    defaults: tuple[tuple[str, "Value"], ...] = ()

    @property
    def name(self) -> str:
        match self.function:
            case UserFunction(function):
                return str(getattr(function, "__name__", function))
            case ast.FunctionDef(name):
                return name
        return "<lambda>"


@dataclass(frozen=True)
class NoneValue:
    pass


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class RangeValue:
    """``range(start, stop, step)``, or ``prange`` where it is `parallel`."""

    start: Expr
    stop: Expr
    step: Expr
    parallel: bool = False


NONE = NoneValue()
Value = Expr | TupleValue | FunctionValue | NoneValue | Text | RangeValue


@dataclass
class Build:
    """What the scopes of one function have in common.

    `out` is the block under way.  A variable that holds an int at one place and a float at another is `widened`: the
    function is read again, with all its values converted.  `probing` asks whether it is a function of numbers.
    `called` and `inlined` are those of the function, as is `rerun`.
    """

    source: Source
    options: Options
    library: Any
    namer: Namer
    widened: dict[str, Kind]
    kinds: dict[str, Kind] = field(default_factory=dict)
    out: list[Stmt] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    constants: dict[int, tuple[str, Any]] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    inlined: list[Inlined] = field(default_factory=list)
    changed: bool = False
    probing: bool = False
    rerun: bool = False
