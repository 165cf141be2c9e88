"""Rewrite a function so that its reverse sweep is simple, and plan the adjoint of every assignment.

After this pass
* active conditional expressions are ``if`` statements, active calls of user functions statements of their own;
* expensive subexpressions whose value an adjoint needs have a name, so that none is computed twice;
* an ``if`` with adjoint work decides on a variable, a ``while`` counts its trips, and bounds of a ``for`` are either
  cheap expressions that its body leaves alone, or variables.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ad.activity import Activity, differentiable, influences
from ad.derive import Contributions, contributions
from ad.function import Function, kind_of
from ad.ir import (
    Assign,
    Binary,
    Block,
    BoolOp,
    Call,
    Compare,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    Select,
    Stmt,
    Unary,
    Var,
    While,
    assigned,
    children,
    names,
    rebuild,
    replacing,
    substitute,
    walk,
)
from ad.primitive import Primitive

__all__ = ["Lowered", "Plan", "active_args", "derive_assign", "lower"]

Reads = Callable[[Function, tuple[bool, ...]], tuple[bool, ...]]

_SEED = "adjoint of the target"  # not an identifier: no variable has this name


@dataclass(frozen=True)
class Plan:
    """How the adjoint of an assignment is computed.

    `uses_result` says that it reads the assigned value after the assignment instead of computing it again;
    `needs` are the scalar variables whose value *before* the assignment it reads.
    """

    uses_result: bool
    needs: frozenset[str]


@dataclass(frozen=True, eq=False)
class Lowered:
    function: Function
    activity: Activity
    plans: dict[Assign, Plan]


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
    plans = _Planner(final, kinds, reads).plan_all(body)
    return Lowered(replace(f, body=body), final, plans)


class _Lower:
    def __init__(self, f: Function, activity: Activity) -> None:
        self.f = f
        self.kinds = f.kinds
        self.activity = activity

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
        if not self.activity.has_adjoint(s):
            out.append(s)
            return
        match s:
            case Assign(target, value):
                self.assign(target, value, self.activity.varied_before(s), s.line, out)
            case For():
                self.for_loop(s, out)
            case While(cond, body):
                trips = self.fresh("trips", Kind.INT)
                count = Assign(trips, Binary("+", Var(trips), Const(1)), line=s.line)
                out.append(Assign(trips, Const(0), line=s.line))
                out.append(While(cond, (*self.block(body), count), trips, line=s.line))
            case If(cond, then, orelse):
                overwritten = assigned((*then, *orelse))
                if not (isinstance(cond, Var) and cond.name not in overwritten):
                    branch = self.fresh("branch", Kind.BOOL)
                    out.append(Assign(branch, cond, line=s.line))
                    cond = Var(branch)
                out.append(If(cond, self.block(then), self.block(orelse), line=s.line))

    def for_loop(self, s: For, out: list[Stmt]) -> None:
        overwritten = assigned(s.body) | {s.var}
        bounds: list[Expr] = []
        for what, bound in (("start", s.start), ("stop", s.stop), ("step", s.step)):
            if not _simple(bound) or names(bound) & overwritten:
                name = self.fresh(f"{s.var}_{what}", Kind.INT)
                out.append(Assign(name, bound, line=s.line))
                bound = Var(name)
            bounds.append(bound)
        start, stop, step = bounds
        out.append(For(s.var, start, stop, step, self.block(s.body), line=s.line))

    def assign(self, target: str, value: Expr, varied: set[str], line: int, out: list[Stmt]) -> None:
        if not differentiable(value, self.kinds) & varied:
            out.append(Assign(target, value, line=line))
            return
        if isinstance(value, Select):
            self.select(target, value, varied, line, out)
            return
        varied = set(varied)
        if _is_call(value) and target not in names(value):
            value = self.arguments(value, varied, line, out)
            if target not in names(value):
                out.append(Assign(target, value, line=line))
                return
        value = self.value(value, varied, line, out)
        value = self.keep_expensive(target, value, varied, line, out)
        out.append(Assign(target, value, line=line))

    def select(self, target: str, e: Select, varied: set[str], line: int, out: list[Stmt]) -> None:
        branch = self.fresh("branch", Kind.BOOL)
        sides: list[Block] = []
        for side in (e.then, e.orelse):
            stmts: list[Stmt] = []
            self.assign(target, side, varied, line, stmts)
            sides.append(tuple(stmts))
        out.append(Assign(branch, e.cond, line=line))
        out.append(If(Var(branch), sides[0], sides[1], line=line))

    def value(self, e: Expr, varied: set[str], line: int, out: list[Stmt]) -> Expr:
        """Make statements of the active choices and calls inside an expression."""
        if not differentiable(e, self.kinds) & varied:
            return e
        if isinstance(e, Select):
            name = self.fresh("chosen", Kind.FLOAT)
            self.select(name, e, varied, line, out)
            varied.add(name)
            return Var(name)
        if _is_call(e):
            e = self.arguments(e, varied, line, out)
            name = self.fresh(_value_name(e), Kind.FLOAT)
            out.append(Assign(name, e, line=line))
            varied.add(name)
            return Var(name)
        return rebuild(e, tuple(self.value(part, varied, line, out) for part in children(e)))

    def arguments(self, call: Expr, varied: set[str], line: int, out: list[Stmt]) -> Expr:
        """Name the expensive arguments of a call: its reverse reads them again."""
        args: list[Expr] = []
        for arg in children(call):
            if any(_expensive(p) or isinstance(p, Select) for p in walk(arg)):
                name = self.fresh("argument", kind_of(arg, self.kinds))
                self.assign(name, arg, varied, line, out)
                if differentiable(arg, self.kinds) & varied:
                    varied.add(name)
                arg = Var(name)
            args.append(arg)
        return rebuild(call, tuple(args))

    def keep_expensive(self, target: str, e: Expr, varied: set[str], line: int, out: list[Stmt]) -> Expr:
        """Name the expensive parts of `e` whose value its adjoint needs."""
        while True:
            found = contributions(e, Var(_SEED), self.kinds, varied)
            values = [*found.values(), *(t.index for t in found if isinstance(t, Index))]
            needed = {part for v in values for part in walk(v)}
            inner = [p for p in _eager(e) if p is not e and p in needed and _expensive(p)]
            # A value that overwrites what its own adjoint needs is computed into another variable first.
            if _expensive(e) and e in needed and target in names(*_with_result(found, e, target, only_old=True)):
                inner.append(e)
            if not inner:
                return e
            part = next(p for p in inner if not any(q in inner for q in walk(p) if q is not p))
            name = self.fresh(_value_name(part), kind_of(part, self.kinds))
            out.append(Assign(name, part, line=line))
            if differentiable(part, self.kinds) & varied:
                varied.add(name)
            e = substitute(e, replacing(part, Var(name)))


def _is_call(e: Expr) -> bool:
    return isinstance(e, Call) and isinstance(e.callee, Function)


def _with_result(found: Contributions, e: Expr, target: str, only_old: bool = False) -> list[Expr]:
    """All that the contributions read, with the target's new value in place of `e` (or left out)."""
    new = Const(0.0, "result") if only_old else Var(target)
    shares = [substitute(c, replacing(e, new)) for c in found.values()]
    return [*shares, *(t for t in found if isinstance(t, Index))]


def _value_name(e: Expr) -> str:
    return f"{e.callee.name}_value" if isinstance(e, Call) else "chosen" if isinstance(e, Select) else "power_value"


def _expensive(e: Expr) -> bool:
    """Whether computing a value again costs more than keeping it."""
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

    def __init__(self, activity: Activity, kinds: dict[str, Kind], reads: Reads) -> None:
        self.activity = activity
        self.kinds = kinds
        self.reads = reads
        self.kept: set[str] = set()
        self.plans: dict[Assign, Plan] = {}

    def plan_all(self, block: Block) -> dict[Assign, Plan]:
        for _ in range(2):
            self.block(block, False)
            self.kept = {name for plan in self.plans.values() for name in plan.needs}
        return self.plans

    def block(self, block: Block, in_loop: bool) -> None:
        for s in block:
            match s:
                case Assign():
                    if self.activity.has_adjoint(s):
                        self.plans[s] = self.plan(s, self.activity.varied_before(s), in_loop)
                case For(body=body) | While(body=body):
                    self.block(body, True)
                case If(then=then, orelse=orelse):
                    self.block(then, in_loop)
                    self.block(orelse, in_loop)

    def plan(self, s: Assign, varied: set[str], in_loop: bool) -> Plan:
        value = s.value
        if isinstance(value, Call) and _is_call(value):
            return Plan(False, frozenset(self.call_needs(value, varied)))
        found = contributions(value, Var(_SEED), self.kinds, varied)
        occurs = any(part == value for c in found.values() for part in walk(c))
        available = s.target not in names(value) and (not in_loop or s.target in self.kept)
        uses_result = occurs and not isinstance(value, Var | Const) and (_expensive(value) or available)
        exprs = [*found.values(), *(t for t in found if isinstance(t, Index))]
        if uses_result:
            exprs = _with_result(found, value, s.target, only_old=True)
        return Plan(uses_result, frozenset(self.scalars(names(*exprs))))

    def scalars(self, found: set[str]) -> set[str]:
        return {n for n in found if n != _SEED and not self.kinds[n].is_array}

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
                part = contributions(arg, Var(_SEED), self.kinds, varied)
                found |= names(*part.values(), *(t for t in part if isinstance(t, Index)))
        return self.scalars(found)
