"""Which values the reverse sweep computes again at the end of a block instead of taking them off the tape.

A number that a trip of a loop computes is lost at the end of the trip.  It need not be recorded where the statement
that gave it its value can be run again: it is cheap, and what it reads has the same values at the end of the block,
where the reverse sweep begins, because it was not changed since, is itself computed again, or is restored for others.
An array counts as restored only where an adjoint needs its contents anyway, or where nothing writes to it any more
before the reverse sweep: otherwise every overwritten element of it would have to be recorded instead.

A load and a few operations take less time than a store and a load of the tape, which in long loops goes through memory;
a decision or an index is computed again only from whole numbers, so that it is the same even where recorded floats are
rounded.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ad.alias import Aliases, definitions
from ad.function import Function, kind_of
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
    For,
    If,
    Index,
    Items,
    Kind,
    Len,
    Rebind,
    Select,
    Stmt,
    Store,
    Unary,
    Var,
    assigned,
    shape_of,
    walk,
    walk_stmts,
)
from ad.primitive import Primitive

__all__ = ["Again", "Recompute"]

_WORTH = 16
"""The most operations that are run again for one value; a push and a pop take the time of about as many."""
_COST = {"/": 4, "//": 8, "%": 8, "**": 4}


@dataclass
class Again:
    """What is computed again at the end of a block, in this order; what it `needs` besides; and the values gained."""

    stmts: tuple[Stmt, ...] = ()
    needs: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)


@dataclass
class _Definition:
    """The statement of a block, at a position, that gives some numbers their values; what it reads; its cost."""

    position: int
    stmt: Assign | If
    targets: set[str]
    reads: set[str]
    arrays: set[str]
    cost: int


class Recompute:
    """Decides for the blocks of one function; `groups` tell what shared arrays may ever share their memory with.

    `exact` says that recorded floats are not rounded; otherwise only whole numbers and decisions are computed again.
    """

    def __init__(self, f: Function, aliases: Aliases, groups: Mapping[str, frozenset[str]], exact: bool) -> None:
        self.exact = exact
        self.kinds = f.kinds
        self.aliases = aliases
        self.groups = groups
        self.counts: Counter[str] = Counter()
        self.rebound: set[str] = set()
        self.outermost: dict[Stmt, int] = {}
        """The position in the function of each statement, or of the outermost statement around it."""
        self.rest: Block = ()
        """Of a trip that is reversed at once, the statement under way and those after it."""
        self.made: dict[str, int] = {}
        self.written: dict[str, int] = {}
        for k, top in enumerate(f.body):
            for s in walk_stmts((top,)):
                self.outermost[s] = k
                match s:
                    case Assign(target):
                        self.counts[target] += 1
                        self.made[target] = k
                    case For(var=var):
                        self.counts[var] += 1
                    case Rebind(targets):
                        self.rebound.update(targets)
                    case Store(array):
                        self.written[array] = k

    def group(self, array: str) -> frozenset[str]:
        return self.groups.get(array, frozenset({array}))

    def at_end(self, block: Block, lost: Collection[str], required: Collection[str]) -> Again:
        """What of the `lost` values to compute again at the end of a block, when `required` will be there."""
        out = Again()
        wanted = [name for name in lost if name in self.kinds and not self.kinds[name].is_array]
        if not self.exact:
            wanted = [name for name in wanted if not self.kinds[name].is_float]
        if not wanted:
            return out
        search = _Search(self, block, set(lost), set(required))
        chosen: dict[int, _Definition] = {}
        for name in sorted(wanted, key=search.position):
            found = search.resolve(name)
            if found is None:
                continue
            new = [d for d in found.definitions if d.position not in chosen]
            if sum(d.cost for d in new) > _WORTH:
                continue
            chosen.update((d.position, d) for d in new)
            out.needs |= found.needs
        stmts = [chosen[k] for k in sorted(chosen)]
        out.stmts = tuple(d.stmt for d in stmts)
        out.values = set().union(*(d.targets for d in stmts))
        return out

    def settled(self, array: str, s: Stmt) -> bool:
        """Whether an array stands under its name, and stays as it is, from the outermost statement around `s` on."""
        begin, names = self.outermost[s], self.group(array)
        if self.counts[array] > 1 or names & self.rebound:
            return False
        return self.made.get(array, -1) < begin and all(self.written.get(name, -1) < begin for name in names)

    def left_alone(self, array: str) -> bool:
        """Whether nothing writes to an array from the statement under way to the end of a trip reversed at once."""
        if not self.rest:
            return False
        names = self.group(array)
        for s in walk_stmts(self.rest[:1]):
            if isinstance(s, Rebind | Assign) and names & set(definitions(s)):
                return False
            if isinstance(s, Store) and array in self.aliases.before[s].sharing(s.array):
                return False
        return not any(isinstance(s, Store) and s.array in names for s in walk_stmts(self.rest[1:]))


@dataclass
class _Found:
    definitions: list[_Definition] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)


class _Search:
    """Looks in one block for what a value can be computed from at its end."""

    def __init__(self, home: Recompute, block: Block, lost: set[str], required: set[str]) -> None:
        self.home = home
        self.block = block
        self.lost = lost
        self.required = required
        self.changed = [assigned((s,)) for s in block]
        self.rebound = {name for p in walk_stmts(block) for name in definitions(p)}
        self.own: Counter[str] = Counter(name for names in self.changed for name in names)
        self.definitions: dict[str, _Definition] = {}
        for k, s in enumerate(block):
            definition = self.definition(k, s)
            if definition is not None:
                self.definitions.update(dict.fromkeys(definition.targets, definition))
        self.known: dict[str, _Found | None] = {}

    def position(self, name: str) -> int:
        found = self.definitions.get(name)
        return len(self.block) if found is None else found.position

    def definition(self, k: int, s: Stmt) -> _Definition | None:
        """A statement as a definition, if it can be run again at all."""
        if not isinstance(s, Assign | If):
            return None
        targets = _numbers(s)
        if targets is None or not targets:
            return None
        kinds, counts = self.home.kinds, self.home.counts
        inside = Counter(p.target for p in walk_stmts((s,)) if isinstance(p, Assign))
        if any(kinds[t].is_array or self.own[t] != 1 or counts[t] != inside[t] for t in targets):
            return None
        parts = list(_evaluated(s))
        if not all(_again(p, kinds) for e in parts for p in walk(e)):
            return None
        reads = {p.name for e in parts for p in walk(e) if isinstance(p, Var)}
        arrays = {p.array for e in parts for p in walk(e) if isinstance(p, Index)}
        arrays |= {shape_of(p.array) for e in parts for p in walk(e) if isinstance(p, Len)}
        floats = any(kinds[n].is_float for n in (*reads, *(a for a in arrays if not a.endswith(_SHAPE))))
        if targets & reads or (floats and not all(kinds[t].is_float for t in targets)):
            return None
        return _Definition(k, s, targets, reads, arrays, sum(_cost(p) for e in parts for p in walk(e)))

    def resolve(self, name: str) -> _Found | None:
        """The definitions to run again, in some order, for the value of a number at the end of the block."""
        if name not in self.known:
            self.known[name] = None
            self.known[name] = self.search(name)
        return self.known[name]

    def search(self, name: str) -> _Found | None:
        definition = self.definitions.get(name)
        if definition is None:
            return None
        found = _Found([definition])
        later = set().union(*self.changed[definition.position :])
        for array in definition.arrays:
            if not self.array_is_there(array, definition, later):
                return None
            found.needs.add(array)
        for read in definition.reads:
            if read in later:
                return None
            if self.own[read] == 0 or (read in self.required and read not in self.lost):
                found.needs.add(read)
                continue
            part = self.resolve(read)
            if part is not None:
                found.definitions += part.definitions
                found.needs |= part.needs
            elif read in self.required:
                found.needs.add(read)
            else:
                return None
        return found

    def array_is_there(self, array: str, definition: _Definition, later: set[str]) -> bool:
        """Whether the contents of an array, or its shape, are at the end of the block what they were."""
        name, home = _array(array), self.home
        if home.group(name) & self.rebound:
            return False
        if not array.endswith(_SHAPE) and home.aliases.before[definition.stmt].sharing(name) & later:
            return False
        return array in self.required or home.settled(name, definition.stmt) or home.left_alone(name)


_SHAPE = shape_of("")


def _array(name: str) -> str:
    return name.removesuffix(_SHAPE)


def _numbers(s: Stmt) -> set[str] | None:
    """The numbers that a statement surely assigns, if it does nothing else."""
    match s:
        case Assign(target):
            return {target}
        case If(_, then, orelse):
            sides = []
            for side in (then, orelse):
                found: set[str] = set()
                for p in side:
                    targets = _numbers(p)
                    if targets is None:
                        return None
                    found |= targets
                sides.append(found)
            return sides[0] if sides[0] == sides[1] else None
    return None


def _evaluated(s: Stmt) -> Iterator[Expr]:
    match s:
        case Assign(value=value):
            yield value
        case If(cond, then, orelse):
            yield cond
            for p in (*then, *orelse):
                yield from _evaluated(p)


def _again(e: Expr, kinds: dict[str, Kind]) -> bool:
    """Whether a part of an expression, apart from its own parts, is a cheap operation on numbers."""
    match e:
        case Var() | Index():
            return not kind_of(e, kinds).is_array
        case Binary("**", _, right):
            return isinstance(right, Const) and isinstance(right.value, int) and abs(right.value) <= 4
        case Call(Primitive() as callee, _, keywords):
            return callee.cheap and callee.elementwise and not keywords
        case Const() | Unary() | Binary() | Compare() | BoolOp() | Select() | Cast() | Len() | Items():
            return True
    return False


def _cost(e: Expr) -> int:
    match e:
        case Binary(op):
            return _COST.get(op, 1)
        case Call() | Select():
            return 2
        case Index() | Compare() | BoolOp() | Cast():
            return 1
    return 0
