"""Which variables vary with the inputs, and which are useful for the result: adjoint work only where both hold.

Flow-sensitive over the structured IR: the sets are those before and after every statement, with a fixpoint for loops.
A name stands for a float variable or a float array.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ad.alias import shared_arrays, viewed
from ad.function import Function, kind_of
from ad.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Rebind,
    Select,
    Stmt,
    Store,
    Unary,
    Var,
    While,
    assigned,
    expressions,
    names,
    parts_of,
    walk_stmts,
)
from ad.primitive import Primitive
from ad.rules import OPERATORS

__all__ = ["Activity", "Known", "differentiable", "influences"]


Known = dict[int, set[str]]
"""What `differentiable` has found out about subexpressions, by their ids."""


def differentiable(e: Expr, kinds: dict[str, Kind], known: Known | None = None) -> set[str]:
    """The variables and arrays that a value depends on in a differentiable way.

    With the same `known`, which is for the time that an expression lives, each part of it is looked at once.
    """
    known = {} if known is None else known
    if id(e) not in known:
        known[id(e)] = _differentiable(e, kinds, known)
    return known[id(e)]


def _differentiable(e: Expr, kinds: dict[str, Kind], known: Known) -> set[str]:
    match e:
        case Var(name) | Index(name, _):
            return {name} if kinds[name].is_float else set()
        case Unary(op, operand):
            return set() if op in ("not", "~") else differentiable(operand, kinds, known)
        case Binary(op, left, right):
            rule = OPERATORS.get((op, 2))
            return _through(rule, (left, right), kinds, known) if rule is not None else set()
        case Select(_, then, orelse):
            return differentiable(then, kinds, known) | differentiable(orelse, kinds, known)
        case Cast(kind, operand) if kind.is_float:
            return differentiable(operand, kinds, known)
        case Items(parts):
            return set().union(*(differentiable(p, kinds, known) for p in parts))
        case Call(Primitive() as callee, args):
            return _through(callee, args, kinds, known)
        case Call(Function() as callee, args):
            used = [a for a, matters in zip(args, influences(callee), strict=True) if matters]
            return set().union(*(differentiable(a, kinds, known) for a in used))
    return set()


def _through(p: Primitive, args: tuple[Expr, ...], kinds: dict[str, Kind], known: Known) -> set[str]:
    if p.result in ("int", "bool") or (p.result == "same" and not any(kind_of(a, kinds).is_float for a in args)):
        return set()
    found = [differentiable(a, kinds, known) for a, v in zip(args, p.vjps, strict=False) if v is not None]
    return set().union(*found)


_influences: WeakKeyDictionary[Function, tuple[bool, ...]] = WeakKeyDictionary()


def influences(f: Function) -> tuple[bool, ...]:
    """For each parameter, whether the result depends on it in a differentiable way."""
    if f not in _influences:
        floats = {p for p, k in zip(f.params, f.param_kinds, strict=True) if k.is_float}
        _influences[f] = tuple(p in floats for p in f.params)  # for calls of itself
        useful = Activity(f.body, f.kinds, floats, {f.result}).useful_at_entry
        _influences[f] = tuple(p in useful and p in floats for p in f.params)
    return _influences[f]


@dataclass
class _Sets:
    before: dict[Stmt, set[str]] = field(default_factory=dict)
    after: dict[Stmt, set[str]] = field(default_factory=dict)

    def add(self, s: Stmt, before: Iterable[str], after: Iterable[str]) -> None:
        self.before.setdefault(s, set()).update(before)
        self.after.setdefault(s, set()).update(after)


class Activity:
    """The activity of a block, given what varies before it and what is useful after it.

    Shared arrays vary, and are useful, together with all that they may share memory with.
    """

    def __init__(self, body: Block, kinds: dict[str, Kind], varied: set[str], useful: set[str]) -> None:
        self.kinds = kinds
        self.shared = shared_arrays(body, kinds)
        self._varied = _Sets()
        self._useful = _Sets()
        self._forward(body, set(varied))
        self.at_entry: set[str] = set()
        self.useful_at_entry = self._backward(body, {u for u in useful if kinds[u].is_float})
        if body:
            self.at_entry = self.before(body[0])
        self.read: set[str] = set()
        """What the reverse sweep may read of the values of the forward sweep."""
        stmts = list(walk_stmts(body))
        again = {e for s in stmts if self.runs_again(s) for part in walk_stmts((s,)) for e in expressions(part)}
        while True:
            found = {name.removesuffix(".shape") for s in stmts for name in names(*self.reads(s))}
            found |= {name.removesuffix(".shape") for name in names(*again)}
            if self.with_shared(found) == self.read:
                break
            self.read = self.with_shared(found)

    def before(self, s: Stmt) -> set[str]:
        """The names that have an adjoint before a statement."""
        return self._varied.before[s] & self._useful.before[s]

    def after(self, s: Stmt) -> set[str]:
        return self._varied.after[s] & self._useful.after[s]

    def at_head(self, s: For | While) -> set[str]:
        """The names that have an adjoint where a trip through a loop begins or the loop is left."""
        return self._varied.before[s.body[0]] & self._useful.before[s]

    def anywhere(self) -> tuple[set[str], set[str], set[str]]:
        """The names that vary somewhere, those that are useful somewhere, and those that are both at once."""
        varied, useful, both = set[str](), set[str](), set[str]()
        for vary, use in ((self._varied.before, self._useful.before), (self._varied.after, self._useful.after)):
            for s in vary:
                varied |= vary[s]
                useful |= use[s]
                both |= vary[s] & use[s]
        return varied, useful, both

    def varied_before(self, s: Stmt) -> set[str]:
        return self._varied.before[s]

    def is_active(self, e: Expr, s: Stmt) -> bool:
        """Whether a subexpression of a statement varies differentiably."""
        return bool(differentiable(e, self.kinds) & self._varied.before[s])

    def reads(self, s: Stmt) -> tuple[Expr, ...]:
        """What the reverse of a statement may read: for an adjoint, or to bring back what others read."""
        if self.has_adjoint(s):
            return expressions(s)
        if not self.has_work(s):
            return ()
        match s:
            case Store(index=index):
                return (index,)
            case Assign(value=value) if viewed(value, self.kinds) is not None:
                return (value,)
            case For():
                return expressions(s)
        return ()

    def has_work(self, s: Stmt) -> bool:
        """Whether the reverse sweep has something to do: an adjoint, or to bring back what adjoints read."""
        if self.has_adjoint(s):
            return True
        return any(
            (isinstance(part, Store) and part.array in self.read)
            or (isinstance(part, Assign) and part.target in self.shared and part.target in self.read)
            or (isinstance(part, Rebind) and not self.read.isdisjoint(part.targets))
            for part in walk_stmts((s,))
        )

    def runs_again(self, s: Stmt) -> bool:
        """Whether the reverse sweep runs trips of a loop again, from snapshots."""
        return isinstance(s, For | While) and s.checkpoints is not None and self.has_adjoint(s)

    def has_adjoint(self, s: Stmt) -> bool:
        """Whether the reverse sweep has something to do for a statement."""
        match s:
            case Assign(target, _):
                return target in self._useful.after[s] and (
                    target in self._varied.before[s] or target in self._varied.after[s]
                )
            case Store(array=array):
                return array in self._useful.after[s] and array in self._varied.after[s]
            case Rebind(targets=targets):
                return any(t in self._useful.after[s] and t in self._varied.before[s] for t in targets)
            case For() | While() | If():
                # An adjoint may end within, where its variable is overwritten by what does not vary.
                through = self._varied.before[s] & self._useful.after[s]
                return bool(through & assigned((s,))) or any(self.has_adjoint(part) for part in parts_of(s))
        return False

    def _forward(self, block: Block, varied: set[str]) -> set[str]:
        for s in block:
            before = set(varied)
            varied = self._vary(s, varied)
            self._varied.add(s, before, varied)
        return varied

    def _vary(self, s: Stmt, varied: set[str]) -> set[str]:
        match s:
            case Assign(target, value):
                depends = self.kinds[target].is_float and differentiable(value, self.kinds) & varied
                if target in self.shared:
                    return varied | self.shared[target] if depends else varied
                return varied | {target} if depends else varied - {target}
            case Rebind(targets):
                # Shared arrays vary together, so there is nothing to do; of others it is a run of assignments.
                assert self.shared.keys() >= {*targets}, s
            case Store(array=array, value=value):
                depends = self.kinds[array].is_float and differentiable(value, self.kinds) & varied
                return varied | self.shared[array] if depends else varied
            case For(body=body) | While(body=body):
                while True:
                    more = varied | self._forward(body, varied)
                    if more == varied:
                        return varied
                    varied = more
            case If(_, then, orelse):
                return self._forward(then, varied) | self._forward(orelse, varied)
        return varied

    def _backward(self, block: Block, useful: set[str]) -> set[str]:
        for s in reversed(block):
            after = set(useful)
            useful = self._use(s, useful)
            self._useful.add(s, useful, after)
        return useful

    def _use(self, s: Stmt, useful: set[str]) -> set[str]:
        match s:
            case Assign(target, value):
                if target in self.shared and target in useful:
                    return useful | self.with_shared(differentiable(value, self.kinds))
                if target in useful:
                    return (useful - {target}) | self.with_shared(differentiable(value, self.kinds))
            case Store(array=array, value=value):
                if array in useful and self.kinds[array].is_float:
                    return useful | self.with_shared(differentiable(value, self.kinds))
            case For(body=body) | While(body=body):
                while True:
                    more = useful | self._backward(body, useful)
                    if more == useful:
                        return useful
                    useful = more
            case If(_, then, orelse):
                return self._backward(then, useful) | self._backward(orelse, useful)
        return useful

    def with_shared(self, found: set[str]) -> set[str]:
        return found.union(*(self.shared[name] for name in found if name in self.shared))
