"""A small structured intermediate representation (IR).

Both the user's function and its adjoint are trees of these nodes.  Expressions are pure: they may be evaluated twice,
never for their effect.  They compare by structure, so that equal subexpressions can be found.  Statements compare by
identity, so that an analysis can keep what it knows about each of them in a dictionary.

Every node has its source line; expressions carry their place in the file for error messages.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

__all__ = [
    "AddTo",
    "Assign",
    "Binary",
    "Block",
    "BoolOp",
    "Call",
    "Cast",
    "Comment",
    "Compare",
    "Const",
    "Expr",
    "For",
    "If",
    "Index",
    "Kind",
    "Len",
    "MultiAssign",
    "Place",
    "Pop",
    "Push",
    "Return",
    "Select",
    "Stmt",
    "Unary",
    "Var",
    "While",
    "assigned",
    "children",
    "names",
    "parts_of",
    "rebuild",
    "replacing",
    "substitute",
    "walk",
    "walk_stmts",
]


class Kind(Enum):
    """What a variable holds."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    FLOATS = "1-D float64 array"
    INTS = "1-D int64 array"

    @property
    def is_array(self) -> bool:
        return self in (Kind.FLOATS, Kind.INTS)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands in the user's file: line from 1, columns from 0."""

    line: int
    column: int = 0
    end_line: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Expr:
    at: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Const(Expr):
    """A number or bool.  `name` is what the source calls it: ``math.pi``, or a constant of the module."""

    value: float | int | bool
    name: str | None = None

    def _key(self) -> tuple[type, str, str | None]:
        return type(self.value), repr(self.value), self.name  # repr tells 1 from 1.0, 0.0 from -0.0; nan equals nan

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@dataclass(frozen=True, slots=True)
class Var(Expr):
    name: str


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    op: str  # "-", "+", "not"
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    op: str  # "+", "-", "*", "/", "//", "%", "**"
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Compare(Expr):
    """A comparison, chained where `ops` has more than one."""

    left: Expr
    ops: tuple[str, ...]
    rest: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class BoolOp(Expr):
    op: str  # "and", "or"
    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """``then if cond else orelse``"""

    cond: Expr
    then: Expr
    orelse: Expr


@dataclass(frozen=True, slots=True)
class Index(Expr):
    """An element of an array."""

    array: str
    index: Expr


@dataclass(frozen=True, slots=True)
class Len(Expr):
    array: str


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    kind: Kind
    operand: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A call of `callee`: a rules.Primitive, a parse.UserFunction, or (typed) a library.Function or its parts."""

    callee: Any
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stmt:
    line: int = field(default=0, kw_only=True)


Block = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Stmt):
    target: str
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class For(Stmt):
    """``for var in range(start, stop, step)``"""

    var: str
    start: Expr
    stop: Expr
    step: Expr
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class While(Stmt):
    """`trips` names the variable that counts the trips, where the reverse sweep needs it."""

    cond: Expr
    body: Block
    trips: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class If(Stmt):
    cond: Expr
    then: Block
    orelse: Block


@dataclass(frozen=True, slots=True, eq=False)
class Return(Stmt):
    values: tuple[Expr, ...]


# ---------------------------------------------------------------- nodes that only generated functions have


@dataclass(frozen=True, slots=True, eq=False)
class AddTo(Stmt):
    """``target += value``"""

    target: Var | Index
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class MultiAssign(Stmt):
    """``a, b = value``, or a call for its effect where there is no target."""

    targets: tuple[str, ...]
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Push(Stmt):
    """Record variables of one kind as one block of the tape."""

    names: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Pop(Stmt):
    """Take a block off the tape again, in the order in which it was pushed."""

    names: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Comment(Stmt):
    text: str


# ------------------------------------------------------------------------------------------- walking


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions."""
    match e:
        case Unary(_, a) | Index(_, a) | Cast(_, a):
            return (a,)
        case Binary(_, a, b):
            return (a, b)
        case Compare(a, _, rest):
            return (a, *rest)
        case BoolOp(_, values):
            return values
        case Select(c, a, b):
            return (c, a, b)
        case Call(_, args):
            return args
    return ()


def rebuild(e: Expr, parts: tuple[Expr, ...]) -> Expr:
    """The same node with other direct subexpressions."""
    match e:
        case Unary() | Cast():
            return replace(e, operand=parts[0])
        case Index():
            return replace(e, index=parts[0])
        case Binary():
            return replace(e, left=parts[0], right=parts[1])
        case Compare():
            return replace(e, left=parts[0], rest=parts[1:])
        case BoolOp():
            return replace(e, values=parts)
        case Select():
            return replace(e, cond=parts[0], then=parts[1], orelse=parts[2])
        case Call():
            return replace(e, args=parts)
    return e


def walk(e: Expr) -> Iterator[Expr]:
    """The expression and all its subexpressions, outermost first."""
    yield e
    for part in children(e):
        yield from walk(part)


def substitute(e: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Replace, outermost first, every subexpression for which `change` gives another."""
    changed = change(e)
    if changed is not None:
        return changed
    parts = children(e)
    new = tuple(substitute(part, change) for part in parts)
    return e if all(a is b for a, b in zip(parts, new, strict=True)) else rebuild(e, new)


def replacing(old: Expr, new: Expr) -> Callable[[Expr], Expr | None]:
    """The change, for `substitute`, of every `old` into `new`."""
    return lambda e: new if e == old else None


def names(*exprs: Expr) -> set[str]:
    """The scalar variables that expressions read.  (Arrays are never overwritten, so no analysis asks for them.)"""
    return {part.name for e in exprs for part in walk(e) if isinstance(part, Var)}


def parts_of(s: Stmt) -> Block:
    """The statements directly inside a statement."""
    match s:
        case For(body=body) | While(body=body):
            return body
        case If(then=then, orelse=orelse):
            return (*then, *orelse)
    return ()


def walk_stmts(block: Block) -> Iterator[Stmt]:
    """All statements of a block, nested ones included, in source order."""
    for s in block:
        yield s
        yield from walk_stmts(parts_of(s))


def assigned(block: Block) -> set[str]:
    """The variables that a block may assign."""
    found: set[str] = set()
    for s in walk_stmts(block):
        match s:
            case Assign(target=target):
                found.add(target)
            case For(var=var):
                found.add(var)
            case While(trips=str(trips)):
                found.add(trips)
    return found
