"""Reverse mode, IR -> IR: from a lowered function to its forward and reverse sweep.

The adjoint of a variable lives in a variable of its own.  It is zero until the first contribution, which is then an
assignment; only where sweeps of loops and branches meet is a zero written out.  The adjoint of an assignment uses up
the adjoint of its target.  Loops run backward over the same indices, branches follow the recorded decision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from ad.activity import differentiable
from ad.derive import contributions, share
from ad.function import Function
from ad.ir import (
    AddTo,
    Assign,
    Block,
    Call,
    Comment,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    MultiAssign,
    Pop,
    Push,
    Stmt,
    Var,
    While,
    assigned,
    walk_stmts,
)
from ad.lower import Lowered, active_args, derive_assign
from ad.ranges import backward
from ad.schedule import Group, Item, Saved, Step, merge, weave
from ad.symbolic import ZERO, add
from ad.tbr import Part, Saves
from ad.unit import Unit, effects, import_block, import_expr

__all__ = ["Pair", "Sweeps", "sweep"]


@dataclass(frozen=True, eq=False)
class Pair:
    """The two sweeps of a called function, for a mask of active parameters.

    `reads` tells which arguments the reverse sweep takes; it also takes the adjoints of active arrays and of the
    result, and returns those of the active scalars.
    """

    forward: Unit
    reverse: Unit
    active: tuple[bool, ...]
    reads: tuple[bool, ...]


Pairs = Callable[[Function, tuple[bool, ...]], Pair]
Primals = Callable[[Function], Unit]

_State = dict[str, Expr]
"""The adjoints that may be nonzero, by variable: a Var where it was computed, a Const for one known beforehand."""


@dataclass(frozen=True, eq=False)
class Sweeps:
    """The two sweeps as blocks, and the adjoints of the parameters at the end."""

    forward: list[Stmt]
    reverse: list[Stmt]
    adjoints: dict[str, Expr]
    tape: str | None
    adjoint_names: dict[str, str]


def sweep(lowered: Lowered, saves: Saves, seed: Expr | None, split: bool, pairs: Pairs, primals: Primals) -> Sweeps:
    """Generate both sweeps.  The adjoint of the result starts as `seed`, or as the variable that stands for it."""
    generator = _Sweep(lowered, saves, split, pairs, primals)
    return generator.run(seed)


@dataclass
class _Sweep:
    lowered: Lowered
    saves: Saves
    split: bool
    pairs: Pairs
    primals: Primals
    adjoint_names: dict[str, str] = field(default_factory=dict)
    uses_tape: bool = False

    def __post_init__(self) -> None:
        f = self.lowered.function
        self.f = f
        self.activity = self.lowered.activity
        self.kinds = dict(f.kinds)
        self.tape = f.namer.fresh("_tape")
        self.nobody = f.namer.fresh("_")  # the variable of loops that only count
        self.temporaries: list[str] = []
        order = [*f.params, *f.kinds]
        self.order = {name: order.index(name) for name in order}

    def run(self, seed: Expr | None) -> Sweeps:
        f = self.f
        state: _State = {f.result: Var(self.adjoint(f.result)) if seed is None else seed}
        if self.split:
            self.saves.at_end[None, "body"] = self.saves.at_exit
        forward, reverse = self.block(f.body, (None, "body"), False, state)
        return Sweeps(forward, reverse, dict(state), self.tape if self.uses_tape else None, self.adjoint_names)

    # ---------------------------------------------------------------------------------------------- names

    def adjoint(self, name: str) -> str:
        if name not in self.adjoint_names:
            fresh = self.f.namer.fresh(f"{name}_b")
            self.adjoint_names[name] = fresh
            self.kinds[fresh] = self.kinds[name]
        return self.adjoint_names[name]

    def temporary(self, n: int) -> str:
        """The n-th name for temporaries; statements share them."""
        while len(self.temporaries) <= n:
            name = self.f.namer.fresh(f"t{len(self.temporaries) + 1}")
            self.kinds[name] = Kind.FLOAT
            self.temporaries.append(name)
        return self.temporaries[n]

    def imported(self, block: Block) -> Block:
        return import_block(block, self.f.options.checked, self.primals)

    def plain(self, e: Expr) -> Expr:
        """A forward expression in the reverse sweep: it was checked before."""
        return import_expr(e, False, self.primals)

    # --------------------------------------------------------------------------------------------- blocks

    def block(self, block: Block, part: Part, in_loop: bool, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a block.  `state` goes from the end of the block to its beginning."""
        pieces: list[tuple[list[Stmt], list[Stmt]]] = []
        for s in reversed(block):
            live = self.activity.after(s)
            for name in [n for n in state if n not in live]:
                del state[name]
            pieces.append(self.stmt(s, in_loop, state))
        pieces.reverse()
        steps = [Step(effects(a), effects(b), _uses_tape(a)) for a, b in pieces]
        items = self.items(block, part, steps)
        saved = self.on_tape(merge(items, steps)) if in_loop or self.split else self.in_locals(items)
        return weave(pieces, saved)

    def items(self, block: Block, part: Part, steps: list[Step]) -> list[Item]:
        items: list[Item] = []
        for k, s in enumerate(block):
            plan = self.lowered.plans.get(s) if isinstance(s, Assign) else None
            late = isinstance(s, For) and self.activity.has_adjoint(s)  # the reverse loop sets the variable itself
            late = late or steps[k].uses_tape or (plan is not None and plan.uses_result)
            items += [Item(v, k, k if late else k + 1) for v in self.sorted(self.saves.before.get(s, set()))]
        n = len(block)
        return items + [Item(v, n, n) for v in self.sorted(self.saves.at_end.get(part, set()))]

    def sorted(self, variables: set[str]) -> list[str]:
        return sorted(variables, key=lambda v: self.order[v])

    def on_tape(self, groups: list[Group]) -> list[Saved]:
        self.uses_tape = self.uses_tape or bool(groups)
        saved: list[Saved] = []
        for group in groups:
            parts = self.by_kind(group)
            push: list[Stmt] = [Push(names, kind) for names, kind in parts]
            pop: list[Stmt] = [Pop(names, kind) for names, kind in reversed(parts)]
            saved.append(Saved(group.push, group.pop, push, pop))
        return saved

    def by_kind(self, group: Group) -> list[tuple[tuple[str, ...], Kind]]:
        """Floats and the others are pushed apart: they are popped by different functions."""
        names = self.sorted(set(group.names))
        floats = tuple(n for n in names if self.kinds[n] is Kind.FLOAT)
        others = tuple(n for n in names if self.kinds[n] is not Kind.FLOAT)
        return [(part, kind) for part, kind in ((floats, Kind.FLOAT), (others, Kind.INT)) if part]

    def in_locals(self, items: list[Item]) -> list[Saved]:
        """Outside of loops a local variable keeps the value."""
        saved: list[Saved] = []
        for item in items:
            copy = self.f.namer.fresh(f"{item.name}_1")
            keep, restore = Assign(copy, Var(item.name)), Assign(item.name, Var(copy))
            saved.append(Saved(item.push, item.pop, [keep], [restore]))
        return saved

    # ----------------------------------------------------------------------------------------- statements

    def comment(self, s: Stmt) -> Comment:
        return Comment(f"line {s.line}: {self.f.source.line(s.line)}")

    def stmt(self, s: Stmt, in_loop: bool, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a statement; `state` goes from after it to before it."""
        if not self.activity.has_adjoint(s):
            return list(self.imported((s,))), []
        match s:
            case Assign(value=Call(Function(), _) as call) if self.call_is_active(s, call):
                return self.call(s, call, state)
            case Assign():
                reverse = self.assign(s, state)
                return list(self.imported((s,))), [self.comment(s), *reverse] if reverse else []
            case For():
                return self.for_loop(s, state)
            case While():
                return self.while_loop(s, state)
            case If():
                return self.branch(s, in_loop, state)
        raise AssertionError(s)

    def assign(self, s: Assign, state: _State) -> list[Stmt]:
        seed = state.get(s.target)
        if seed is None:
            return []
        plan = self.lowered.plans[s]
        found = derive_assign(s, seed, plan.uses_result, self.kinds, self.activity.varied_before(s))
        return self.accumulate(s.target, found, state)

    def accumulate(self, target: str, found: dict[Var | Index, Expr], state: _State) -> list[Stmt]:
        """Add contributions to the adjoints of what an assignment read; its target's adjoint is used up."""
        seed = state.pop(target)
        places = [replace(t, index=self.plain(t.index)) if isinstance(t, Index) else t for t in found]
        number = count()
        definitions, raw = share(list(found.values()), self.kinds, lambda: self.temporary(next(number)))
        definitions = [(name, self.plain(value)) for name, value in definitions]
        shares = [self.plain(e) for e in raw]
        out: list[Stmt] = [Assign(name, value) for name, value in definitions]
        own: list[Stmt] = []
        for place, value in zip(places, shares, strict=True):
            if place == Var(target):
                state[target] = value
                if value != seed and not isinstance(value, Const):
                    own = [Assign(self.adjoint(target), value)]
                    state[target] = Var(self.adjoint(target))
            elif isinstance(place, Index):
                out.append(AddTo(Index(self.adjoint(place.array), place.index), value))
            else:
                out += self.add(place.name, value, state)
        return out + own

    def add(self, name: str, value: Expr, state: _State) -> list[Stmt]:
        """Add to the adjoint of a variable.  A constant is only noted: it goes into what uses it."""
        old = state.get(name)
        if old is None and isinstance(value, Const):
            state[name] = value
            return []
        adjoint = self.adjoint(name)
        state[name] = Var(adjoint)
        if old is None:
            return [Assign(adjoint, value)]
        if isinstance(old, Const):
            return [Assign(adjoint, add(old, value))]
        return [AddTo(Var(adjoint), value)]

    def call_is_active(self, s: Assign, call: Call) -> bool:
        return any(active_args(call, self.kinds, self.activity.varied_before(s)))

    def call(self, s: Assign, call: Call, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        varied = self.activity.varied_before(s)
        active = active_args(call, self.kinds, varied)
        pair = self.pairs(call.callee, active)
        handle: tuple[Expr, ...] = (Var(self.tape),)
        self.uses_tape = self.uses_tape or pair.forward.tape is not None
        checked = tuple(import_expr(a, self.f.options.checked, self.primals) for a in call.args)
        front = handle if pair.forward.tape else ()
        forward: list[Stmt] = [Assign(s.target, Call(pair.forward, front + checked), line=s.line)]
        seed = state.get(s.target)
        if seed is None and pair.reverse.tape is None:
            return forward, []
        seed = seed if seed is not None else ZERO

        arrays = [a.name for a in call.args if isinstance(a, Var) and self.kinds[a.name].is_array]
        args = [self.plain(a) for a, read in zip(call.args, pair.reads, strict=True) if read]
        floats: list[Expr] = []
        for arg, carries in zip(call.args, active, strict=True):
            if carries and isinstance(arg, Var) and arg.name in arrays:
                args.append(Var(self.adjoint(arg.name)))
            elif carries:
                floats.append(arg)
        back = Call(pair.reverse, (*(handle if pair.reverse.tape else ()), *args, seed))
        state.pop(s.target, None)
        # The adjoint of a plain variable that has none yet is assigned by the call itself.
        targets: list[str] = []
        rest: list[tuple[Expr, str]] = []
        for i, arg in enumerate(floats):
            if isinstance(arg, Var) and arg.name not in state and floats.count(arg) == 1:
                targets.append(self.adjoint(arg.name))
                state[arg.name] = Var(self.adjoint(arg.name))
                continue
            name = self.temporary(i)
            targets.append(name)
            rest.append((arg, name))
        reverse: list[Stmt] = [self.comment(s), MultiAssign(tuple(targets), back)]
        for arg, name in rest:
            found = contributions(arg, Var(name), self.kinds, varied)
            for place, value in found.items():
                plain = self.plain(value)
                if isinstance(place, Index):
                    index = self.plain(place.index)
                    reverse.append(AddTo(Index(self.adjoint(place.array), index), plain))
                else:
                    reverse += self.add(place.name, plain, state)
        return forward, reverse

    def branch(self, s: If, in_loop: bool, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        after = dict(state)
        sides: list[tuple[list[Stmt], list[Stmt], _State]] = []
        for name, part in (("then", s.then), ("orelse", s.orelse)):
            side = dict(after)
            sides.append((*self.block(part, (s, name), in_loop, side), side))
        live = self.activity.before(s)
        zeros: list[Stmt] = []
        state.clear()
        for name in self.sorted({*sides[0][2], *sides[1][2]} & live):
            values = [side.get(name) for _, _, side in sides]
            if values[0] == values[1] and values[0] is not None:
                state[name] = values[0]
                continue
            adjoint = self.adjoint(name)
            state[name] = Var(adjoint)
            for value, (_, stmts, _), (_, other, _) in zip(values, sides, (sides[1], sides[0]), strict=True):
                if value is None and not stmts and other and name not in after:
                    zeros.append(Assign(adjoint, ZERO))
                elif value is None or isinstance(value, Const):
                    stmts.append(Assign(adjoint, value or ZERO))
        forward = [If(import_expr(s.cond, False, self.primals), tuple(sides[0][0]), tuple(sides[1][0]), line=s.line)]
        if not sides[0][1] and not sides[1][1]:
            return list(forward), zeros
        back = If(s.cond, tuple(sides[0][1]), tuple(sides[1][1]))
        return list(forward), [*zeros, self.comment(s), back]

    def enter_loop(self, s: For | While, state: _State) -> tuple[list[Stmt], _State]:
        """Write out the adjoints that a reverse loop accumulates; the state within."""
        touched = self.touched(s.body)
        head = self.activity.at_head(s)
        end = self.activity.after(s.body[-1])
        before: list[Stmt] = []
        for name in self.sorted((head | end) & touched):
            if isinstance(state.get(name), Const) and self.passes(name, s.body):
                continue
            if not isinstance(state.get(name), Var) and self.kinds[name] is Kind.FLOAT:
                before.append(Assign(self.adjoint(name), state.get(name, ZERO)))
                state[name] = Var(self.adjoint(name))
        return before, {n: e for n, e in state.items() if n in end}

    def touched(self, block: Block) -> set[str]:
        """The variables whose adjoints a block may read or change."""
        found = assigned(block)
        for s in walk_stmts(block):
            if isinstance(s, Assign) and self.activity.has_adjoint(s):
                found |= self.activity.before(s) & differentiable(s.value, self.kinds)
        return found

    def passes(self, name: str, block: Block) -> bool:
        """Whether an adjoint goes through a block unchanged, as that of a sum does."""
        for s in walk_stmts(block):
            if not isinstance(s, Assign):
                continue
            if not self.activity.has_adjoint(s):
                if name == s.target:
                    return False
                continue
            if isinstance(s.value, Call) and isinstance(s.value.callee, Function):
                if name == s.target or name in effects((s,)).reads:
                    return False
                continue
            varied = self.activity.varied_before(s)
            if name == s.target:
                found = contributions(s.value, Var(name), self.kinds, varied)
                if found.get(Var(name)) != Var(name):
                    return False
            elif name in differentiable(s.value, self.kinds):
                return False
        return True

    def loop_body(self, s: For | While, state: _State) -> tuple[list[Stmt], list[Stmt], list[Stmt]]:
        before, inside = self.enter_loop(s, state)
        forward, reverse = self.block(s.body, (s, "body"), True, inside)
        for name in self.sorted(self.activity.at_head(s) & self.touched(s.body)):
            value = inside.get(name)
            settled = isinstance(value, Var) or (value is not None and value == state.get(name))
            if self.kinds[name] is Kind.FLOAT and not settled:
                reverse.append(Assign(self.adjoint(name), value or ZERO))
        live = self.activity.before(s)
        for name in [n for n in state if n not in live]:
            del state[name]
        return before, forward, reverse

    def for_loop(self, s: For, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        before, forward, reverse = self.loop_body(s, state)
        bounds = [import_expr(e, self.f.options.checked, self.primals) for e in (s.start, s.stop, s.step)]
        loop = For(s.var, bounds[0], bounds[1], bounds[2], tuple(forward), line=s.line)
        if not reverse:
            return [loop], before
        back = For(s.var, *backward(s), tuple(reverse))
        return [loop], [*before, self.comment(s), back]

    def while_loop(self, s: While, state: _State) -> tuple[list[Stmt], list[Stmt]]:
        before, forward, reverse = self.loop_body(s, state)
        cond = import_expr(s.cond, self.f.options.checked, self.primals)
        loop = While(cond, tuple(forward), line=s.line)
        if not reverse:
            return [loop], before
        assert s.trips is not None
        back = For(self.nobody, Const(0), Var(s.trips), Const(1), tuple(reverse))
        return [loop], [*before, self.comment(s), back]


def _uses_tape(stmts: Sequence[Stmt]) -> bool:
    for s in walk_stmts(tuple(stmts)):
        if isinstance(s, Push):
            return True
        if isinstance(s, Assign) and isinstance(s.value, Call):
            callee = s.value.callee
            if isinstance(callee, Unit) and callee.tape is not None:
                return True
    return False
