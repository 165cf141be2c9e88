"""A small structured intermediate representation (IR).

Both the user's function and its adjoint are trees of these nodes.  Expressions are pure: they may be evaluated twice,
never for their effect.  They compare by structure, so that equal subexpressions can be found.  Statements compare by
identity, so that an analysis can keep what it knows about each of them in a dictionary.

Every node has its source line; expressions carry their place in the file for error messages.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

__all__ = [
    "NOTHING",
    "AddTo",
    "Assign",
    "Attempt",
    "Binary",
    "Block",
    "BoolOp",
    "Break",
    "Call",
    "Cast",
    "Checkpoints",
    "Comment",
    "Compare",
    "Computed",
    "Const",
    "Count",
    "Do",
    "Dtype",
    "Expr",
    "For",
    "If",
    "Index",
    "Items",
    "Kind",
    "Len",
    "Like",
    "Marker",
    "MultiAssign",
    "Place",
    "Planned",
    "Pop",
    "Push",
    "Raise",
    "Rebind",
    "Return",
    "Select",
    "Slice",
    "Stmt",
    "Store",
    "Unary",
    "Var",
    "While",
    "assigned",
    "children",
    "expressions",
    "map_expressions",
    "names",
    "parts_of",
    "rebuild",
    "replacing",
    "shape_of",
    "substitute",
    "walk",
    "walk_stmts",
]


class Kind:
    """What a variable holds: a scalar, or an array of `ndim` dimensions.  There is one object for each kind.

    Integers of any size count as int64 where they are scalars.
    """

    __slots__ = ("dtype", "ndim")
    dtype: str
    ndim: int

    _made: ClassVar[dict[tuple[str, int], "Kind"]] = {}
    FLOAT: ClassVar["Kind"]
    INT: ClassVar["Kind"]
    BOOL: ClassVar["Kind"]
    FLOATS: ClassVar["Kind"]
    INTS: ClassVar["Kind"]

    def __new__(cls, dtype: str, ndim: int = 0) -> "Kind":
        kind = cls._made.get((dtype, ndim))
        if kind is None:
            kind = object.__new__(cls)
            kind.dtype, kind.ndim = dtype, ndim
            kind = cls._made.setdefault((dtype, ndim), kind)
        return kind

    def __reduce__(self) -> Any:
        return Kind, (self.dtype, self.ndim)

    def __repr__(self) -> str:
        return f"Kind({self.dtype!r}, {self.ndim})"

    @property
    def is_array(self) -> bool:
        return self.ndim > 0

    @property
    def is_float(self) -> bool:
        """Whether there are derivatives with respect to it."""
        return self.dtype in ("float64", "float32", "complex128", "complex64")

    @property
    def is_complex(self) -> bool:
        return self.dtype in ("complex128", "complex64")

    @property
    def scalar(self) -> "Kind":
        """The kind of its elements."""
        return Kind(self.dtype if self.dtype == "bool" or self.is_float else "int64")

    def __str__(self) -> str:
        if self.ndim:
            return f"{self.ndim}-D {self.dtype} array"
        return {"float64": "float", "int64": "int", "complex128": "complex"}.get(self.dtype, self.dtype)


Kind.FLOAT, Kind.INT, Kind.BOOL = Kind("float64"), Kind("int64"), Kind("bool")
Kind.FLOATS, Kind.INTS = Kind("float64", 1), Kind("int64", 1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands in the user's file: line from 1, columns from 0."""

    line: int
    column: int = 0
    end_line: int | None = None
    end_column: int | None = None


@dataclass(frozen=True)
class Dtype:
    """A dtype as the value of a keyword."""

    name: str


@dataclass(frozen=True, slots=True)
class Expr:
    at: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Const(Expr):
    """A number or bool.  `name` is what the source calls it: ``math.pi``, or a constant of the module.

    Text and None occur as arguments of calls only.
    """

    value: Any
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
    """`checked` is a division by the function that it comes from: by zero it raises ZeroDivisionError."""

    op: str  # "+", "-", "*", "/", "//", "%", "**"
    left: Expr
    right: Expr
    checked: bool = field(default=False, compare=False, kw_only=True)


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
    """An element or a part of an array.

    The index is an int, an array of ints or bools, a Slice, a Marker, or Items of these.
    """

    array: str
    index: Expr


@dataclass(frozen=True, slots=True)
class Items(Expr):
    """``a, b, ...``: the indices of several dimensions, or a shape."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Slice(Expr):
    """``start:stop:step``; what is left out is a Marker without text."""

    start: Expr
    stop: Expr
    step: Expr


@dataclass(frozen=True, slots=True)
class Marker(Expr):
    """What stands in an index and is no value: nothing, ``...`` or None (a new axis)."""

    text: str


NOTHING = Marker("")
"""Where a slice says nothing."""
WHOLE_AXIS = Slice(NOTHING, NOTHING, NOTHING)
"""``:``"""


@dataclass(frozen=True, slots=True)
class Len(Expr):
    """The length of an array along an axis; the number of all its elements where that is None."""

    array: str
    axis: int | None = 0


@dataclass(frozen=True, slots=True)
class Like(Expr):
    """An array of which only the shape is read."""

    array: str


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    kind: Kind
    operand: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A call of `callee`: a rules.Primitive, a function.Function, or in generated code a unit.Unit.

    `keywords` are fixed when the program is written: an axis, a flag.
    """

    callee: Any
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Stmt:
    """`source` is the function that the line belongs to where that is another one, whose body was put in here."""

    line: int = field(default=0, kw_only=True)
    source: Any = field(default=None, kw_only=True)


Block = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Stmt):
    target: str
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Store(Stmt):
    """``array[index] = value``, or with an `op` of + or - the same in place: ``array[index] += value``."""

    array: str
    index: Expr
    value: Expr
    op: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Rebind(Stmt):
    """``a, b = b, a`` of arrays: names change places, nothing is copied."""

    targets: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """The part of a marked loop that is run again in blocks, and the names of its numbers (ad.planned).

    `planner` is what generated code consults, as loop `number`.  Of `trips` in all the first ones are run `again`,
    in blocks of `block` trips, with so many `snapshots`.
    """

    planner: str
    number: int
    trips: str
    again: str
    block: str
    snapshots: str


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A schedule that is computed in Python: a function ``(n, snapshots, disk_snapshots)`` -> actions of ad.checkpoint.

    `at` is the file and line of the loop.
    """

    function: Callable[..., Any]
    at: str


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """How the reverse sweep has the states of a loop that is marked by `ad.checkpointed`.

    The numbers are constants or variables.  Without one of `snapshots` there is a default; `period` is that of the
    schedule of this name, `disk` is for a schedule that is `computed`.  A loop is `open` of which nothing was said: it
    may be `planned`.
    """

    schedule: str
    snapshots: Expr | None
    period: Expr | None
    open: bool = False
    planned: Planned | None = None
    disk: Expr | None = None
    computed: Computed | None = None

    @property
    def numbers(self) -> tuple[Expr, ...]:
        return tuple(e for e in (self.snapshots, self.period, self.disk) if e is not None)


@dataclass(frozen=True, slots=True, eq=False)
class For(Stmt):
    """``for var in range(start, stop, step)``

    `trips` names the variable that counts the trips of a loop with a break, where the reverse sweep needs it.  `runs`
    says that it is known to run at least once, `parallel` that it is one over ``prange``.  One that is `counted` has
    trips of a marked loop, those that are not run again.
    """

    var: str
    start: Expr
    stop: Expr
    step: Expr
    body: Block
    trips: str | None = None
    runs: bool = False
    parallel: bool = False
    checkpoints: Checkpoints | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class While(Stmt):
    """`trips` names the variable that counts the trips, where the reverse sweep needs it."""

    cond: Expr
    body: Block
    trips: str | None = None
    checkpoints: Checkpoints | None = None


@dataclass(frozen=True, slots=True, eq=False)
class If(Stmt):
    cond: Expr
    then: Block
    orelse: Block


@dataclass(frozen=True, slots=True, eq=False)
class Break(Stmt):
    """Leaves the innermost loop.  It is always the last thing that a trip through the body does."""


@dataclass(frozen=True, slots=True, eq=False)
class Raise(Stmt):
    """``raise error(args)``"""

    error: type[BaseException]
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Do(Stmt):
    """A call for its effect, as that of print; a part of the forward sweep only."""

    call: Call


@dataclass(frozen=True, slots=True, eq=False)
class Return(Stmt):
    values: tuple[Expr, ...]


# ---------------------------------------------------------------- nodes that only generated functions have


@dataclass(frozen=True, slots=True, eq=False)
class AddTo(Stmt):
    """``target += value``; a sum of floats in `any_order` may be added up otherwise than trip by trip."""

    target: Var | Index
    value: Expr
    any_order: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MultiAssign(Stmt):
    """``a, b = value``, or a call for its effect where there is no target."""

    targets: tuple[str, ...]
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Push(Stmt):
    """Record values of one kind as one block of the tape: scalars, or a single array.

    `shape_only` says that an array's contents do not matter.  `site` tells what it records, and why (a records.Site).
    An array that is `exchanged` is given other memory: what it holds afterwards is undefined.
    """

    values: tuple[Expr, ...]
    kind: Kind
    shape_only: bool = False
    site: Any = None
    exchanged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Pop(Stmt):
    """Take a block off the tape again, in the order in which it was pushed.

    A variable gets what was recorded; a part of an array (an Index) is filled with it.  `site` is that of the push.  An
    array that is `refilled` keeps its memory if that has the right shape.
    """

    targets: tuple[Var | Index, ...]
    kind: Kind
    shape_only: bool = False
    site: Any = None
    exchanged: bool = False
    refilled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Attempt(Stmt):
    """``try: body``; any exception ends it, and then `failed` is done."""

    body: Block
    failed: Block


@dataclass(frozen=True, slots=True, eq=False)
class Count(Stmt):
    """Add to a number that another thread looks at meanwhile; `counts` is the address of all of them (ad.counting)."""

    counts: Expr
    slot: int
    amount: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Comment(Stmt):
    """A line of text; `line` and `source` say which statement of the user's what follows belongs to."""

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
        case BoolOp(_, values) | Items(values):
            return values
        case Select(c, a, b) | Slice(c, a, b):
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
        case Items():
            return replace(e, parts=parts)
        case Slice():
            return replace(e, start=parts[0], stop=parts[1], step=parts[2])
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


def shape_of(array: str) -> str:
    """Stands for the shape of an array in sets of names: it is read without the contents."""
    return f"{array}.shape"


def names(*exprs: Expr) -> set[str]:
    """What expressions read: scalar variables, arrays, and (as `shape_of`) shapes of arrays."""
    found: set[str] = set()
    for e in exprs:
        for part in walk(e):
            match part:
                case Var(name) | Index(name, _):
                    found.add(name)
                case Len(array) | Like(array):
                    found.add(shape_of(array))
    return found


def parts_of(s: Stmt) -> Block:
    """The statements directly inside a statement."""
    match s:
        case For(body=body) | While(body=body):
            return body
        case If(then=then, orelse=orelse):
            return (*then, *orelse)
        case Attempt(body, failed):
            return (*body, *failed)
    return ()


def walk_stmts(block: Block) -> Iterator[Stmt]:
    """All statements of a block, nested ones included, in source order."""
    for s in block:
        yield s
        yield from walk_stmts(parts_of(s))


def assigned(block: Block) -> set[str]:
    """The variables that a block may assign, and the arrays that it writes to by these names."""
    found: set[str] = set()
    for s in walk_stmts(block):
        match s:
            case Assign(target=target):
                found.add(target)
            case For(var=var):
                found.add(var)
            case Rebind(targets=targets):
                found.update(targets)
            case Store(array=array):
                found.add(array)
    return found


def expressions(s: Stmt) -> tuple[Expr, ...]:
    """The expressions of a statement itself, not of those within it; what is written to is not among them."""
    match s:
        case Assign(value=value) | MultiAssign(value=value) | AddTo(value=value):
            return (value,)
        case Store(index=index, value=value):
            return (index, value)
        case For(start=start, stop=stop, step=step, checkpoints=marked):
            return (start, stop, step, *(marked.numbers if marked is not None else ()))
        case While(cond=cond, checkpoints=marked):
            return (cond, *(marked.numbers if marked is not None else ()))
        case If(cond=cond):
            return (cond,)
        case Return(values) | Push(values=values):
            return values
        case Raise(args=args):
            return args
        case Do(call=call):
            return (call,)
        case Count(counts, _, amount):
            return (counts, amount)
    return ()


def map_expressions(s: Stmt, change: Callable[[Expr], Expr]) -> Stmt:
    """The same statement with other expressions; blocks within it as they are."""
    match s:
        case Assign() | MultiAssign() | AddTo():
            return replace(s, value=change(s.value))
        case Store():
            return replace(s, index=change(s.index), value=change(s.value))
        case For():
            return replace(s, start=change(s.start), stop=change(s.stop), step=change(s.step))
        case While() | If():
            return replace(s, cond=change(s.cond))
        case Return() | Push():
            return replace(s, values=tuple(change(v) for v in s.values))
        case Raise():
            return replace(s, args=tuple(change(a) for a in s.args))
        case Count():
            return replace(s, counts=change(s.counts), amount=change(s.amount))
        case Do():
            call = change(s.call)
            assert isinstance(call, Call)
            return replace(s, call=call)
    return replace(s)
