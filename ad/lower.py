"""Rewrite a function so that its reverse sweep is simple, and plan the adjoint of every assignment.

After this pass
* active conditional expressions are ``if`` statements, active calls of user functions statements of their own;
* expensive subexpressions whose value an adjoint needs have a name, so that none is computed twice;
* functions of whole arrays take variables, and stand alone where their result is an array;
* an ``if`` with adjoint work decides on a variable, a ``while`` and a loop with a break count their trips, and bounds
  of a ``for`` are either cheap expressions that its body leaves alone, or variables.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ad.activity import Activity, differentiable, influences
from ad.alias import Aliases, definitions, viewed
from ad.derive import Contributions, contributions
from ad.extents import Extents
from ad.function import Function, kind_of, kind_of_part
from ad.ir import (
    Assign,
    Binary,
    Block,
    BoolOp,
    Break,
    Call,
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
    Stmt,
    Store,
    Unary,
    Var,
    While,
    assigned,
    children,
    names,
    rebuild,
    replacing,
    shape_of,
    substitute,
    walk,
    walk_stmts,
)
from ad.loans import Loans
from ad.primitive import Primitive, primitive

__all__ = ["SEED", "Lowered", "Plan", "active_args", "derive_assign", "lower"]

Reads = Callable[[Function, tuple[bool, ...]], tuple[bool, ...]]

SEED = "adjoint of the target"
"""Stands for the adjoint of what is assigned; not an identifier, so that no variable has this name."""


@dataclass(frozen=True)
class Plan:
    """How the adjoint of an assignment is computed.

    `uses_result` says that it reads the assigned value after the assignment instead of computing it again;
    `needs` are the scalar variables whose value *before* the assignment it reads; what it adds to the adjoints of the
    arrays `fits` is known to have their shapes, and what it adds to those of `sums` to have others.  The adjoint of the
    target may be `small`: it broadcasts to the shape of the target, and what is computed from it has the right shape
    all the same.
    """

    uses_result: bool
    needs: frozenset[str]
    fits: frozenset[str] = frozenset()
    sums: frozenset[str] = frozenset()
    small: bool = False


@dataclass(frozen=True, eq=False)
class Lowered:
    function: Function
    activity: Activity
    aliases: Aliases
    plans: dict[Stmt, Plan]
    loans: Loans

    @cached_property
    def extents(self) -> Extents:
        return Extents(self.function)


def lower(f: Function, wrt: set[str], reads: Reads) -> Lowered:
    """Lower `f` for derivatives with respect to the parameters `wrt`.

    `reads` tells which arguments the reverse of a called function reads, for a mask of its active parameters.
    """
    kinds = dict(f.kinds)
    activity = Activity(f.body, kinds, wrt, {f.result})
    f = replace(f, kinds=kinds, namer=f.namer.copy())
    lowering = _Lower(f, activity)
    body = lowering.block(f.body)
    final = Activity(body, kinds, wrt, {f.result})
    aliases = Aliases(body, kinds, final.shared)
    loans = Loans(f, kinds, body, frozenset(final.shared))
    plans = _Planner(final, kinds, reads, loans).plan_all(body)
    return Lowered(replace(f, body=body), final, aliases, plans, loans)


class _Lower:
    def __init__(self, f: Function, activity: Activity) -> None:
        self.f = f
        self.kinds = f.kinds
        self.activity = activity
        counts = Counter(s.var for s in walk_stmts(f.body) if isinstance(s, For))
        self.moving = {s.target for s in walk_stmts(f.body) if isinstance(s, Assign)}
        self.moving |= {var for var, n in counts.items() if n > 1}

    def fresh(self, wish: str, kind: Kind) -> str:
        name = self.f.namer.fresh(wish)
        self.kinds[name] = kind
        return name

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            self.stmt(s, out)
        return tuple(out)

    def stmt(self, s: Stmt, out: list[Stmt]) -> None:
        if isinstance(s, Assign) and viewed(s.value, self.kinds) in self.activity.shared:
            self.view(s.target, s.value, s, out)
            return
        if not self.activity.has_work(s):
            out.append(s)
            return
        if isinstance(s, For | While) and not self.activity.has_adjoint(s):
            s = replace(s, checkpoints=None)  # no trip of it would be reversed
        match s:
            case Assign(target, value):
                self.assign(target, value, self.activity.varied_before(s), s, out)
            case Store():
                self.store(s, out)
            case Rebind():
                out.append(s)
            case For():
                self.for_loop(s, out)
            case While(body=body) if s.checkpoints is not None:
                out.append(replace(s, body=self.block(body)))
            case While(cond, body):
                trips, start, count = self.counter(s)
                out.append(start)
                out.append(replace(s, body=(count, *self.block(body)), trips=trips))
            case If(cond, then, orelse):
                overwritten = assigned((*then, *orelse))
                if not (isinstance(cond, Var) and cond.name not in overwritten):
                    branch = self.fresh("branch", Kind.BOOL)
                    out.append(Assign(branch, cond, line=s.line, source=s.source))
                    cond = Var(branch)
                out.append(replace(s, cond=cond, then=self.block(then), orelse=self.block(orelse)))

    def counter(self, s: Stmt) -> tuple[str, Stmt, Stmt]:
        """A variable that counts the trips of a loop: its name, its start and its increment."""
        trips = self.fresh("trips", Kind.INT)
        start = Assign(trips, Const(0), line=s.line, source=s.source)
        return trips, start, Assign(trips, Binary("+", Var(trips), Const(1)), line=s.line, source=s.source)

    def for_loop(self, s: For, out: list[Stmt]) -> None:
        # The body may give a name to an array of another shape, but writing to one leaves its shape alone.
        overwritten = assigned(s.body) | {s.var}
        overwritten |= {shape_of(name) for part in walk_stmts(s.body) for name in definitions(part)}
        bounds: list[Expr] = []
        for what, bound in (("start", s.start), ("stop", s.stop), ("step", s.step)):
            if not _simple(bound) or names(bound) & overwritten:
                name = self.fresh(f"{s.var}_{what}", Kind.INT)
                out.append(Assign(name, bound, line=s.line, source=s.source))
                bound = Var(name)
            bounds.append(bound)
        start, stop, step = bounds
        body = self.block(s.body)
        trips = None
        if leaves(s.body) and s.checkpoints is None:
            trips, zero, count = self.counter(s)
            out.append(zero)
            body = (count, *body)
        out.append(replace(s, start=start, stop=stop, step=step, body=body, trips=trips))

    def store(self, s: Store, out: list[Stmt]) -> None:
        """A write to a part of an array; what its adjoint reads has a name where that pays."""
        varied = set(self.activity.varied_before(s))
        s = replace(s, index=self.settled(s, out))
        if not differentiable(s.value, self.kinds) & varied:
            out.append(s)
            return
        value = self.value(s.value, varied, s, out)
        value = self.keep_expensive(s.array, value, varied, s, out, itself=True)
        out.append(replace(s, value=value))

    def settled(self, s: Store, out: list[Stmt]) -> Expr:
        """The index of a write; what reads the same array, which the write may change, or is a call has a name."""
        own = self.activity.shared[s.array]

        def change(e: Expr) -> Expr | None:
            if not names(e) & own and not _calls_function(e):
                return e
            if isinstance(e, Items | Slice):
                return None
            kind = kind_of(e, self.kinds)
            name = self.fresh(f"{s.array}_at", kind)
            self.put(name, Call(primitive(np.copy), (e,)) if kind.is_array else e, s, out)
            return Var(name)

        return substitute(s.index, change)

    def put(self, target: str, value: Expr, at: Stmt, out: list[Stmt]) -> None:
        out.append(Assign(target, value, line=at.line, source=at.source))

    def assign(self, target: str, value: Expr, varied: set[str], at: Stmt, out: list[Stmt]) -> None:
        if viewed(value, self.kinds) in self.activity.shared:
            self.view(target, value, at, out)
            return
        if not differentiable(value, self.kinds) & varied:
            self.put(target, value, at, out)
            return
        if isinstance(value, Select) and not kind_of(value.cond, self.kinds).is_array:
            self.select(target, value, varied, at, out)
            return
        varied = set(varied)
        may_read = _is_call(value) and self.kinds[target].is_array  # the adjoint of the target is put aside then
        if (_is_call(value) or _is_whole(value)) and (may_read or target not in names(value)):
            value = self.arguments(value, varied, at, out)
            if may_read or target not in names(value):
                self.put(target, value, at, out)
                return
        value = self.value(value, varied, at, out)
        value = self.keep_expensive(target, value, varied, at, out, itself=target in self.activity.shared)
        self.put(target, value, at, out)

    def view(self, target: str, value: Expr, at: Stmt, out: list[Stmt]) -> None:
        """A view is made again in the reverse sweep: its indices and shape are variables that stay as they are."""

        def view(e: Expr) -> Expr:
            match e:
                case Index():
                    return replace(e, index=substitute(e.index, settled))
                case Call(args=(base, *more)):
                    return replace(e, args=(view(base), *(substitute(arg, settled) for arg in more)))
            return e

        def settled(e: Expr) -> Expr | None:
            if isinstance(e, Items | Slice):
                return None
            if isinstance(e, Marker | Const) or not {n.removesuffix(".shape") for n in names(e)} & self.moving:
                return e
            name = self.fresh(f"{target}_at", Kind.INT)
            self.put(name, e, at, out)
            return Var(name)

        self.put(target, view(value), at, out)

    def select(self, target: str, e: Select, varied: set[str], at: Stmt, out: list[Stmt]) -> None:
        branch = self.fresh("branch", Kind.BOOL)
        sides: list[Block] = []
        for side in (e.then, e.orelse):
            stmts: list[Stmt] = []
            self.assign(target, side, varied, at, stmts)
            sides.append(tuple(stmts))
        self.put(branch, e.cond, at, out)
        out.append(If(Var(branch), sides[0], sides[1], line=at.line, source=at.source))

    def value(self, e: Expr, varied: set[str], at: Stmt, out: list[Stmt]) -> Expr:
        """Make statements of the active choices and calls inside an expression."""
        if not differentiable(e, self.kinds) & varied:
            return e
        kind = kind_of(e, self.kinds)
        if isinstance(e, Select) and not kind.is_array:
            name = self.fresh("chosen", kind)
            self.select(name, e, varied, at, out)
            varied.add(name)
            return Var(name)
        if _is_call(e) or _is_whole(e):
            e = self.arguments(e, varied, at, out)
            if _is_call(e) or kind.is_array:
                name = self.fresh(_value_name(e), kind)
                self.put(name, e, at, out)
                varied.add(name)
                return Var(name)
            return e
        return rebuild(e, tuple(self.value(part, varied, at, out) for part in children(e)))

    def arguments(self, call: Expr, varied: set[str], at: Stmt, out: list[Stmt]) -> Expr:
        """Name the expensive arguments of a call: its reverse reads them again."""
        args: list[Expr] = []
        for arg in children(call):
            if isinstance(arg, Items):
                args.append(self.arguments(arg, varied, at, out) if _is_joined(call) else arg)
                continue
            whole = (
                (_is_whole(call) or isinstance(call, Items))
                and not isinstance(arg, Var | Items)
                and kind_of(arg, self.kinds).is_array
            )
            if whole or any(_expensive(p) or isinstance(p, Select) for p in walk(arg)):
                name = self.fresh("argument", kind_of(arg, self.kinds))
                self.assign(name, arg, varied, at, out)
                if differentiable(arg, self.kinds) & varied:
                    varied.add(name)
                arg = Var(name)
            args.append(arg)
        return rebuild(call, tuple(args))

    def with_seed(self, e: Expr) -> dict[str, Kind]:
        return self.kinds | {SEED: kind_of(e, self.kinds)}

    def keep_expensive(
        self, target: str, e: Expr, varied: set[str], at: Stmt, out: list[Stmt], itself: bool = False
    ) -> Expr:
        """Name the expensive parts of `e` whose value its adjoint needs; `e` too where the target does not keep it."""
        while True:
            found = contributions(e, Var(SEED), self.with_seed(e), varied)
            values = [*found.values(), *(t.index for t in found if isinstance(t, Index))]
            needed = {part for v in values for part in walk(v)}
            inner = [p for p in _eager(e) if p is not e and p in needed and _expensive(p)]
            # A value that overwrites what its own adjoint needs is computed into another variable first.
            overwrites = itself or target in names(*_with_result(found, e, target, only_old=True))
            if _expensive(e) and e in needed and overwrites:
                inner.append(e)
            if not inner:
                return e
            part = next(p for p in inner if not any(q in inner for q in walk(p) if q is not p))
            name = self.fresh(_value_name(part), kind_of(part, self.kinds))
            self.put(name, part, at, out)
            if differentiable(part, self.kinds) & varied:
                varied.add(name)
            e = substitute(e, replacing(part, Var(name)))


def _is_call(e: Expr) -> bool:
    return isinstance(e, Call) and isinstance(e.callee, Function)


def _is_whole(e: Expr) -> bool:
    """Whether an expression is a function of whole arrays, not one element by element."""
    return isinstance(e, Call) and isinstance(e.callee, Primitive) and not e.callee.elementwise


def _is_joined(e: Expr) -> bool:
    return isinstance(e, Call) and isinstance(e.callee, Primitive) and e.callee.function in (np.concatenate, np.stack)


def leaves(body: Block) -> bool:
    """Whether there is a break of the loop with this body."""
    return any(isinstance(s, Break) or (isinstance(s, If) and (leaves(s.then) or leaves(s.orelse))) for s in body)


def _with_result(found: Contributions, e: Expr, target: str, only_old: bool = False) -> list[Expr]:
    """All that the contributions read, with the target's new value in place of `e` (or left out)."""
    new = Const(0.0, "result") if only_old else Var(target)
    shares = [substitute(c, replacing(e, new)) for c in found.values()]
    return [*shares, *(t.index for t in found if isinstance(t, Index))]


def _value_name(e: Expr) -> str:
    return f"{e.callee.name}_value" if isinstance(e, Call) else "chosen" if isinstance(e, Select) else "power_value"


def _expensive(e: Expr) -> bool:
    """Whether computing a value again costs more than keeping it."""
    if isinstance(e, Items | Slice | Marker):
        return False
    if all(isinstance(part, Const | Call | Unary | Binary) for part in walk(e)):
        return _calls_function(e)  # the compiler folds constants
    match e:
        case Call(Primitive() as callee, _):
            return not callee.cheap
        case Call():
            return True
        case Binary("**", _, right):
            return not (isinstance(right, Const) and isinstance(right.value, int) and abs(right.value) <= 4)
        case Select():
            return any(_expensive(part) for part in walk(e) if part is not e)
    return False


def _calls_function(e: Expr) -> bool:
    return any(_is_call(part) for part in walk(e))


def _eager(e: Expr) -> Iterator[Expr]:
    """The subexpressions that are computed whatever the conditions in `e` say."""
    yield e
    parts = children(e)
    if isinstance(e, Select | BoolOp):
        parts = parts[:1]
    elif isinstance(e, Compare):
        parts = parts[:2]
    for part in parts:
        yield from _eager(part)


def _simple(e: Expr) -> bool:
    match e:
        case Const() | Var() | Len():
            return True
        case Unary("-", operand):
            return _simple(operand)
        case Binary("+" | "-" | "*", left, right):
            return _simple(left) and _simple(right)
    return False


# ------------------------------------------------------------------------------------------------- plans


def derive_assign(s: Assign, seed: Expr, uses_result: bool, kinds: dict[str, Kind], varied: set[str]) -> Contributions:
    """The contributions of an assignment whose target's adjoint is `seed`."""
    found = contributions(s.value, seed, kinds, varied)
    if not uses_result:
        return found
    return {t: substitute(c, replacing(s.value, Var(s.target))) for t, c in found.items()}


def active_args(call: Call, kinds: dict[str, Kind], varied: set[str]) -> tuple[bool, ...]:
    """Which arguments of a call of a user function carry a derivative."""
    return tuple(
        matters and bool(differentiable(arg, kinds) & varied)
        for arg, matters in zip(call.args, influences(call.callee), strict=True)
    )


class _Planner:
    """Plans in two passes: the first finds which results are kept anyway, because another adjoint needs them."""

    def __init__(self, activity: Activity, kinds: dict[str, Kind], reads: Reads, loans: Loans) -> None:
        self.activity = activity
        self.loans = loans
        self.kinds = kinds
        self.reads = reads
        self.kept: set[str] = set()
        self.plans: dict[Stmt, Plan] = {}

    def plan_all(self, block: Block) -> dict[Stmt, Plan]:
        for _ in range(2):
            self.block(block, False)
            self.kept = {name for plan in self.plans.values() for name in plan.needs}
        return self.plans

    def block(self, block: Block, in_loop: bool) -> None:
        for s in block:
            match s:
                case Assign():
                    if self.activity.has_adjoint(s) or self.is_made_again(s):
                        self.plans[s] = self.plan(s, self.activity.varied_before(s), in_loop)
                case Store():
                    if self.activity.has_adjoint(s):
                        self.plans[s] = self.plan_store(s, self.activity.varied_before(s))
                case For(body=body) | While(body=body):
                    self.block(body, True)
                case If(then=then, orelse=orelse):
                    self.block(then, in_loop)
                    self.block(orelse, in_loop)

    def is_made_again(self, s: Assign) -> bool:
        """Whether the reverse sweep may read a view, also one that has no adjoint."""
        shared = s.target in self.activity.shared and s.target in self.activity.read
        return shared and viewed(s.value, self.kinds) is not None

    def plan(self, s: Assign, varied: set[str], in_loop: bool) -> Plan:
        value = s.value
        if s.target in self.activity.shared and viewed(value, self.kinds) is not None:
            return Plan(False, frozenset(names(*children(value))))
        if s.target in self.loans.found:
            return Plan(False, frozenset())
        if isinstance(value, Call) and _is_call(value):
            return Plan(False, frozenset(self.call_needs(value, varied)))
        found = contributions(value, Var(SEED), self.kinds | {SEED: self.kinds[s.target]}, varied)
        occurs = any(part == value for c in found.values() for part in walk(c))
        available = s.target not in names(value) and (not in_loop or s.target in self.kept)
        # A shared array may be written to after the assignment.
        keeps = s.target not in self.activity.shared and (_expensive(value) or available)
        uses_result = occurs and keeps and not isinstance(value, Var | Const)
        exprs = [*found.values(), *(t.index for t in found if isinstance(t, Index))]
        if uses_result:
            exprs = _with_result(found, value, s.target, only_old=True)
        return Plan(uses_result, frozenset((names(*exprs) | self.shapes(found)) - {SEED}))

    def shapes(self, found: Contributions) -> set[str]:
        """The shapes that the adjoints of arrays are made with."""
        arrays = {t.name if isinstance(t, Var) else t.array for t in found}
        return set().union(*(self.loans.needs(a) for a in arrays if self.kinds[a].is_array))

    def plan_store(self, s: Store, varied: set[str]) -> Plan:
        seed = {SEED: kind_of_part(self.kinds[s.array], s.index, self.kinds)}
        found = contributions(s.value, Var(SEED), self.kinds | seed, varied)
        exprs = [*found.values(), *(t for t in found if isinstance(t, Index)), s.index]
        reads = names(*(e if not isinstance(e, Index) else e.index for e in exprs))
        return Plan(False, frozenset((reads | self.shapes(found) | {shape_of(s.array)}) - {SEED}))

    def call_needs(self, call: Call, varied: set[str]) -> set[str]:
        """What the reverse of a call reads: arguments of the callee, and what their own derivatives need."""
        active = active_args(call, self.kinds, varied)
        if not any(active):
            return set()
        found: set[str] = set()
        for arg, read, matters in zip(call.args, self.reads(call.callee, active), active, strict=True):
            if read:
                found |= names(arg)
            if matters and not isinstance(arg, Var):
                part = contributions(arg, Var(SEED), self.kinds | {SEED: kind_of(arg, self.kinds)}, varied)
                found |= names(*part.values(), *(t.index for t in part if isinstance(t, Index)))
            if matters:
                arrays = (n for n in names(arg) if n in self.kinds and self.kinds[n].is_array)
                found |= set().union(*map(self.loans.needs, arrays))
        return found - {SEED}
