"""Reverse mode, IR -> IR: from a lowered function to its forward and reverse sweep.

Adjoints begin with their first contribution (ad/adjoints.py); only where sweeps of loops and branches meet is a zero
written out.  The adjoint of an assignment uses up the adjoint of its target.  Loops run backward over the same indices,
branches follow the recorded decision.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from ad.activity import differentiable
from ad.adjoints import Adjoints, State
from ad.alias import Part, viewed
from ad.ascending import ascends
from ad.bindings import Bindings
from ad.breaks import ends_with_breaks, flag_breaks
from ad.counting import FORWARD, REVERSED, Counted, Counting, in_parts
from ad.derive import Contributions, contributions
from ad.exchange import beside, find_exchanges
from ad.flow import Liveness
from ad.function import Function, is_element, kind_of, kind_of_part
from ad.helpers import (
    COPY,
    HOLD,
    SET_ZERO_AT,
    TAKE_AND_CLEAR,
    TAKE_AND_CLEAR_AT,
)
from ad.hoist import hoisted
from ad.ir import (
    Assign,
    Binary,
    Block,
    Break,
    Call,
    Comment,
    Computed,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    MultiAssign,
    Planned,
    Pop,
    Push,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    shape_of,
    walk_stmts,
)
from ad.lower import Lowered, active_args, derive_assign
from ad.parallel import Roles, roles
from ad.planned import finished, trial
from ad.ranges import backward, trips_of
from ad.records import Facts, Record, Replayed, Site
from ad.recurrence import shortened
from ad.regions import Region, bound_names, is_only_added_to
from ad.replays import Replay
from ad.schedule import Group, Item, Saved, Step, merge, weave
from ad.symbolic import ZERO, neg
from ad.tbr import Saves
from ad.terms import line_of
from ad.trips import Context
from ad.unit import Importer, Unit, effects
from ad.vector import vectorised

__all__ = ["Pair", "Sweeps", "sweep"]


@dataclass(frozen=True, eq=False)
class Pair:
    """The two sweeps of a called function, for a mask of active parameters.

    `reads` tells which arguments the reverse sweep takes; it also takes the adjoints of active arrays and of the
    result, and returns those of the active scalars.  Of a function to be run again `forward` is the function itself,
    and the reverse sweep begins by a forward sweep.
    """

    forward: Unit
    reverse: Unit
    active: tuple[bool, ...]
    reads: tuple[bool, ...]


Pairs = Callable[[Function, tuple[bool, ...]], Pair]
Primals = Callable[[Function], Unit]

_SHAPE = shape_of("")


@dataclass(frozen=True, eq=False)
class Sweeps:
    """The two sweeps as blocks, and the adjoints of the parameters at the end."""

    forward: list[Stmt]
    reverse: list[Stmt]
    adjoints: dict[str, Expr]
    tape: str | None
    counts: str | None
    lanes: str | None
    bits: str | None
    adjoint_names: dict[str, str]
    kinds: dict[str, Kind]
    facts: Facts


def sweep(
    lowered: Lowered,
    saves: Saves,
    seed: Expr | None,
    split: bool,
    pairs: Pairs,
    primals: Primals,
    schedules: list[Computed],
    exact: bool = True,
    parallel: bool = False,
    counting: Counting | None = None,
) -> Sweeps:
    """Generate both sweeps.  The adjoint of the result starts as `seed`; without it the caller gives it in a variable,
    and adjoints of arrays to add to.

    `split` says that the two sweeps become separate functions, `exact` that floats are recorded as they are, not in
    single precision, `parallel` that loops over ``prange`` run in lanes.  `schedules` gets those that loops ask for.
    With `counting`, trips of marked loops are counted.
    """
    generator = _Sweep(lowered, saves, split, pairs, primals, schedules, exact, parallel, counting)
    return generator.run(seed)


@dataclass
class _Sweep:
    lowered: Lowered
    saves: Saves
    split: bool
    pairs: Pairs
    primals: Primals
    schedules: list[Computed]
    exact: bool
    parallel: bool = False
    counting: Counting | None = None
    uses_tape: bool = False

    def __post_init__(self) -> None:
        f = self.lowered.function
        self.f = f
        self.activity = self.lowered.activity
        self.aliases = self.lowered.aliases
        self.shared = self.aliases.shared
        self.kinds = dict(f.kinds)
        self.importer = Importer(self.kinds, self.primals)
        self.unchecked = Importer(self.kinds, self.primals, before=True)
        self.tape = f.namer.fresh("_tape")
        self.counts = None if self.counting is None else f.namer.fresh("_counts")
        if self.counts is not None:
            self.kinds[self.counts] = Kind.INT
        self.bits = f.namer.fresh("_bits")
        self.lanes = f.namer.fresh("_lanes")
        self.in_lanes: dict[Stmt, Block] = {}
        """What has lanes run loops; the loops stand for the last statement of each."""
        self.lane_names: dict[str, str] = {}
        self.loops_in_lanes: list[tuple[Stmt, Roles, frozenset[str]]] = []
        self.uses_bits = False
        self.again = False  # whether what is under way is part of a loop that runs again from snapshots
        self.nobody = f.namer.fresh("_")  # the variable of loops that only count
        small = {s.target for s, plan in self.lowered.plans.items() if plan.small and isinstance(s, Assign)}
        self.lenders = self.lowered.loans.lenders
        self.adjoints = Adjoints(f.namer, self.kinds, self.shared, small, self.plain, self.lowered.loans)
        order = [*f.params, *f.kinds]
        self.order = {name: order.index(name) for name in order}
        live = Liveness(f.body, {f.result})
        active = {n for s in walk_stmts(f.body) for n in self.activity.before(s) | self.activity.after(s)}
        self.shadowed = {n for n in self.shared if n in active}
        self.bindings = Bindings(f, self.aliases, self.adjoints.of, self.shadowed, live.after.__getitem__)
        self.extents = self.lowered.extents
        self.loop_numbers = count(1)
        lasting = self.exact and not self.split
        self.roles = self.find_roles() if self.parallel else {}
        self.exchanges = find_exchanges(self.lowered, self.saves, self.roles) if lasting else {}
        self.held: list[str] = []
        self.around: list[For | While] = []
        self.kept: list[Site] = []
        self.derived: list[tuple[Stmt, Contributions]] = []
        self.calls: list[tuple[Stmt, Pair]] = []
        self.replayed: dict[Stmt, Replayed] = {}

    def run(self, seed: Expr | None) -> Sweeps:
        f = self.f
        state: State = {f.result: Var(self.adjoints.of(f.result)) if seed is None else seed}
        if self.split:
            self.saves.at_end[None, "body"] = self.saves.at_exit
        if seed is None:  # the caller's adjoints of arrays are added to in place
            self.adjoints.given = {p for p in f.params if self.kinds[p].is_array}
        forward, reverse = self.block(f.body, (None, "body"), False, state)
        if self.uses_bits:
            forward.insert(0, Assign(self.bits, Const(1)))
            if self.split:  # those that fill no word yet
                site = self.site(f.body, len(f.body), [Record(self.bits, frozenset(), None, ends=True)])
                forward.append(Push((Var(self.bits),), Kind.INT, site=site))
                reverse.insert(0, Pop((Var(self.bits),), Kind.INT, site=site))
        if self.held:
            reverse.append(MultiAssign((), Call(HOLD, tuple(Var(name) for name in self.held))))
        moved: dict[Stmt, Stmt] = {}
        facts = Facts(
            f,
            with_loops(forward, self.in_lanes, moved),
            self.activity,
            tuple(self.kept),
            {adjoint: name for name, adjoint in self.adjoints.names.items()},
            tuple(self.derived),
            tuple(self.bindings.remade),
            tuple(s for stmts in (*self.saves.again.values(), *self.saves.arrays.values()) for s in stmts),
            tuple(self.calls),
            tuple(self.loops_in_lanes),
            {
                moved.get(s, s): replace(again, recorded=with_loops(again.recorded, self.in_lanes, {}))
                for s, again in self.replayed.items()
            },
        )
        tape, counts = (self.tape, self.counts) if self.uses_tape else (None, None)
        bits = self.bits if self.uses_bits else None
        lanes = self.lanes if self.in_lanes else None
        found = dict(state), tape, counts, lanes, bits, self.adjoints.names, self.kinds, facts
        return Sweeps(forward, reverse, *found)

    def has_shadow(self, name: str) -> bool:
        return name in self.shadowed

    def imported(self, block: Block) -> Block:
        return self.importer.block(block)

    def plain(self, e: Expr) -> Expr:
        """A forward expression in the reverse sweep: it was checked before."""
        return self.unchecked.expr(e)

    # --------------------------------------------------------------------------------------------- blocks

    def block(self, block: Block, part: Part, in_loop: bool, state: State) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a block.  `state` goes from the end of the block to its beginning."""
        home = self.bindings.enter(block, part, not in_loop and not self.split and not self.again)
        at_end = list(self.unchecked.block(self.saves.again.get(part, ())))
        at_end += home.at(self.aliases.at_end[part], True) if part in self.aliases.at_end else []
        pieces: list[tuple[list[Stmt], list[Stmt]]] = []
        for s in reversed(block):
            live = self.lenders(self.activity.after(s))
            for name in [n for n in state if n not in live]:
                del state[name]
            forward, reverse = self.stmt(s, in_loop, state)
            if s in self.exchanges:
                forward, reverse = self.exchange(s, forward, reverse)
            if part[0] is None:
                forward = [*self.hold(s), *forward]
            if reverse:
                made = [Assign(p.target, self.plain(p.value)) for p in self.saves.arrays.get(s, ())]
                reverse = [reverse[0], *made, *reverse[1:]]  # after the comment
            found = effects(reverse)
            lost = home.unresolved(s, found.reads | found.writes)
            if lost is not None:
                self.bindings.refuse(s, lost, "")
            if home.pending:
                reverse = [*reverse, *home.at(self.aliases.before[s], False)]
            pieces.append((forward, reverse))
        self.bindings.bound -= {n for n in self.shared if self.aliases.homes.get(n) == part}
        pieces.reverse()
        steps = [Step(effects(a), effects(b), _uses_tape(a)) for a, b in pieces]
        items = self.items(block, part, steps)
        saved = self.on_tape(merge(items, steps), block) if in_loop or self.split else self.in_locals(items, block)
        return weave(pieces, saved, at_end)

    def exchange(self, s: Stmt, forward: list[Stmt], reverse: list[Stmt]) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a statement before which arrays are given other memory."""
        self.uses_tape = True
        early: list[Stmt] = []
        late: list[Stmt] = []
        for found in sorted(self.exchanges[s], key=lambda e: not e.early):
            site = Site((Record(found.array, found.needs, s),), s)
            array, kind = (Var(found.array),), self.kinds[found.array]
            before: list[Stmt] = []
            after: list[Stmt] = []
            if found.updates or found.borders:
                old = self.f.namer.fresh(f"{found.array}_old")
                self.kinds[old] = kind
                before = [Assign(old, Var(found.array))]
                parts = [self.importer.expr(part) for part in found.borders]
                after = [Store(found.array, part, Index(old, part)) for part in parts]
                forward = beside(forward, found.array, old) if found.updates else forward
            forward = [*before, Push(array, kind, site=site, exchanged=True), *after, *forward]
            (early if found.early else late).append(Pop(array, kind, site=site, exchanged=True))
        return forward, [*reverse[:1], *early, *reverse[1:], *late]  # after the comment

    def hold(self, s: Stmt) -> list[Stmt]:
        """Names for the arrays that are given other memory in a loop, until the end of the reverse sweep."""
        inside = [found.array for p in walk_stmts((s,)) for found in self.exchanges.get(p, ())]
        out: list[Stmt] = []
        for name in sorted(set().union(*(self.extents.groups.get(array, {array}) for array in inside))):
            self.held.append(self.f.namer.fresh(f"{name}_0"))
            self.kinds[self.held[-1]] = self.kinds[name]
            out.append(Assign(self.held[-1], Var(name)))
        return out

    def items(self, block: Block, part: Part, steps: list[Step]) -> list[Item]:
        items: list[Item] = []
        for k, s in enumerate(block):
            if isinstance(s, Store) or (isinstance(s, Assign) and s.target in self.shared):
                continue  # saved where the statement is
            plan = self.lowered.plans.get(s) if isinstance(s, Assign) else None
            late = isinstance(s, For) and self.activity.has_work(s)  # the reverse loop sets the variable itself
            late = late or steps[k].uses_tape or (plan is not None and plan.uses_result)
            saved = self.saves.before.get(s, {})
            for v in self.sorted(saved):
                items.append(Item(v, k, k if late else k + 1, self.alone(v), Record(v, saved[v], s)))
        n, saved = len(block), self.saves.at_end.get(part, {})
        for v in self.sorted(saved):
            items.append(Item(v, n, n, self.alone(v), Record(v, saved[v], part[0], ends=True)))
        return items

    def alone(self, name: str) -> bool:
        return self.kinds[name.removesuffix(_SHAPE)].is_array

    def sorted(self, variables: Collection[str]) -> list[str]:
        """In the order of the variables; of an array whose contents are saved the shape is not saved too."""
        kept = [v for v in variables if not (v.endswith(_SHAPE) and v.removesuffix(_SHAPE) in variables)]
        return sorted(kept, key=lambda v: self.order[v.removesuffix(_SHAPE)])

    def on_tape(self, groups: list[Group], block: Block) -> list[Saved]:
        self.uses_tape = self.uses_tape or bool(groups)
        saved: list[Saved] = []
        for group in groups:
            push: list[Stmt] = []
            pop: list[Stmt] = []
            records = dict(zip(group.names, group.records, strict=True))
            for names, kind in self.by_kind(group.names):
                shape_only = names[0].endswith(_SHAPE)
                values = tuple(Var(n.removesuffix(_SHAPE)) for n in names)
                site = self.site(block, group.push, [records[n] for n in names])
                push.append(Push(values, kind, shape_only, site))
                pop.insert(0, Pop(values, kind, shape_only, site))
            saved.append(Saved(group.push, group.pop, push, pop))
        return saved

    def site(self, block: Block, gap: int, records: Iterable[Record | None]) -> Site:
        at = block[min(gap, len(block) - 1)] if block else None
        return Site(tuple(r for r in records if r is not None), at)

    def by_kind(self, group: Iterable[str]) -> list[tuple[tuple[str, ...], Kind]]:
        """Floats, ints and decisions are pushed apart: different functions pop them.  Arrays go one by one."""
        names = self.sorted(set(group))
        kinds = {n: self.kinds[n.removesuffix(_SHAPE)] for n in names}
        floats = tuple(n for n in names if kinds[n] is Kind.FLOAT)
        ints = tuple(n for n in names if kinds[n] is Kind.INT)
        decisions = tuple(n for n in names if kinds[n] is Kind.BOOL)
        self.uses_bits = self.uses_bits or bool(decisions)
        rest = [((n,), kinds[n]) for n in names if kinds[n] not in (Kind.FLOAT, Kind.INT, Kind.BOOL)]
        parts = ((floats, Kind.FLOAT), (ints, Kind.INT), (decisions, Kind.BOOL))
        return [(part, kind) for part, kind in parts if part] + rest

    def in_locals(self, items: list[Item], block: Block) -> list[Saved]:
        """Outside of loops a local variable keeps the value.  An array that is a value is kept by reference."""
        saved: list[Saved] = []
        for item in items:
            name = item.name.removesuffix(_SHAPE)
            copy = self.f.namer.fresh(f"{name}_1")
            keep, restore = Assign(copy, Var(name)), Assign(name, Var(copy))
            saved.append(Saved(item.push, item.pop, [keep], [restore]))
            if not self.again:  # until the end of a trip only
                self.kept.append(self.site(block, item.push, [item.record]))
        return saved

    # ----------------------------------------------------------------------------------------- statements

    def comment(self, s: Stmt) -> Comment:
        source = s.source or self.f.source
        of = f" of {source.name}()" if s.source is not None else ""
        return Comment(f"line {s.line}{of}: {source.line(s.line)}", line=s.line, source=s.source)

    def stmt(self, s: Stmt, in_loop: bool, state: State) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a statement; `state` goes from after it to before it."""
        if isinstance(s, Assign) and s.target in self.shared:
            return self.assign_shared(s, in_loop, state)
        if not self.activity.has_work(s):
            if isinstance(s, For) and s in self.roles:
                in_lanes = self.parallel_loop(s, [], list(self.imported(s.body)), [])
                assert in_lanes is not None, "there are no adjoints that lanes could share"
                return in_lanes
            return list(self.imported((s,))), [_count_back(s)] if s in self.saves.counted else []
        match s:
            case Assign(value=Call(Function(), _) as call) if self.call_is_active(s, call):
                return self.call(s, call, state.get(s.target), state)
            case Assign():
                reverse = self.assign(s, state)
                return list(self.imported((s,))), [self.comment(s), *reverse] if reverse else []
            case Store():
                return self.store(s, state)
            case Rebind(targets, sources):
                back: list[Stmt] = [Rebind(sources, targets)]
                if self.has_shadow(targets[0]):
                    adjoints = tuple(tuple(self.adjoints.of(n) for n in part) for part in (sources, targets))
                    back.append(Rebind(*adjoints))
                return [s], [self.comment(s), *back]
            case For() | While() if s.checkpoints is not None:
                return self.run_again(s, state)
            case For():
                return self.for_loop(s, state)
            case While():
                return self.while_loop(s, state)
            case If():
                return self.branch(s, in_loop, state)
        raise AssertionError(s)

    def assign(self, s: Assign, state: State) -> list[Stmt]:
        if s.target in self.lowered.loans.found:
            return self.adjoints.repaid(s.target, state)
        seed = state.get(s.target)
        if seed is None or s not in self.lowered.plans:
            return []
        plan = self.lowered.plans[s]
        found = derive_assign(s, seed, plan.uses_result, self.kinds, self.activity.varied_before(s))
        self.derived.append((s, found))
        return self.adjoints.accumulate(s.target, found, state, plan)

    def assign_shared(self, s: Assign, in_loop: bool, state: State) -> tuple[list[Stmt], list[Stmt]]:
        """An array that may be written to in place gets a name."""
        forward = list(self.imported((s,)))
        reverse: list[Stmt] = []
        keeps = not in_loop and not self.split
        fresh = viewed(s.value, self.kinds) is None and s in self.lowered.plans and self.has_shadow(s.target)
        seed = Var(self.adjoints.of(s.target))
        varied = self.activity.varied_before(s)
        if fresh and self.aliases.count[s.target] > 1 and differentiable(s.value, self.kinds) & varied:
            seed = Var(self.adjoints.seed(self.kinds[s.target]))
            reverse.append(Assign(seed.name, Var(self.adjoints.of(s.target))))
        if self.aliases.count[s.target] > 1:
            saved = self.saves.before.get(s, {})
            site = Site(tuple(Record(v, saved[v], s) for v in self.sorted(saved)), s)
            if saved and keeps:
                copy = self.f.namer.fresh(f"{s.target}_1")
                forward.insert(0, Assign(copy, Var(s.target)))
                reverse.append(Assign(s.target, Var(copy)))
                if not self.again:
                    self.kept.append(site)
            elif saved:
                self.uses_tape = True
                shape_only = s.target not in saved
                forward.insert(0, Push((Var(s.target),), self.kinds[s.target], shape_only, site))
                reverse.append(Pop((Var(s.target),), self.kinds[s.target], shape_only, site))
                self.bindings.replaced |= self.aliases.before[s].sharing(s.target)
            reverse += self.bindings.old_binding(s, bool(saved), keeps and not self.again)
        if fresh and isinstance(s.value, Call) and isinstance(s.value.callee, Function):
            if self.call_is_active(s, s.value):
                _, (_, *back) = self.call(s, s.value, seed, state)
                reverse += back
        elif fresh:
            found = derive_assign(s, seed, False, self.kinds, varied)
            self.derived.append((s, found))
            reverse += self.adjoints.accumulate(None, found, state)
        return forward, [self.comment(s), *reverse] if reverse else []

    def store(self, s: Store, state: State) -> tuple[list[Stmt], list[Stmt]]:
        """A part of an array is written to.  The old contents come back, the adjoint of the part goes to the value."""
        forward = list(self.imported((s,)))
        reverse: list[Stmt] = []
        index = self.plain(s.index)
        kind = kind_of_part(self.kinds[s.array], s.index, self.kinds)
        saved = self.saves.before.get(s)
        if saved:
            self.uses_tape = True
            part = Index(s.array, index)
            site = Site((Record(s.array, saved[s.array], s),), s)
            forward.insert(0, Push((self.importer.expr(part),), kind, site=site))
            reverse.append(Pop((part,), kind, site=site))
        if self.has_shadow(s.array) and self.activity.has_adjoint(s):
            reverse += self.store_adjoint(s, index, kind, state)
        return forward, [self.comment(s), *reverse] if reverse else []

    def store_adjoint(self, s: Store, index: Expr, kind: Kind, state: State) -> list[Stmt]:
        part = Index(self.adjoints.of(s.array), index)
        varied = self.activity.varied_before(s)
        views = is_element(s.index, self.kinds)
        value_kind = kind_of(s.value, self.kinds)
        if not differentiable(s.value, self.kinds) & varied:
            if s.op:
                return []
            if not views:
                return [MultiAssign((), Call(SET_ZERO_AT, (Var(part.array), part.index)))]
            return [Store(part.array, part.index, ZERO)]
        self.kinds[part.array] = self.kinds[s.array]
        whole = value_kind.is_array or not kind.is_array
        seed: Expr
        out: list[Stmt] = []
        own = self.activity.shared[s.array] & differentiable(s.value, self.kinds)
        name = self.adjoints.seed(kind)
        if not s.op:
            if kind.is_array:
                take = TAKE_AND_CLEAR if views else TAKE_AND_CLEAR_AT
                out.append(Assign(name, Call(take, (part,) if views else (Var(part.array), part.index))))
            else:
                out += [Assign(name, part), Store(part.array, part.index, ZERO)]
            seed = Var(name)
        elif own or not whole or not isinstance(s.value, Var | Index):
            out.append(Assign(name, Call(COPY, (part,)) if kind.is_array else part))
            seed = Var(name)
        else:
            seed = part
        if s.op == "-":
            seed = neg(seed)
        found = contributions(s.value, seed, self.kinds, varied)
        self.derived.append((s, found))
        return out + self.adjoints.accumulate(None, found, state, self.lowered.plans[s])

    def call_is_active(self, s: Assign, call: Call) -> bool:
        return any(active_args(call, self.kinds, self.activity.varied_before(s)))

    def call(self, s: Assign, call: Call, seed: Expr | None, state: State) -> tuple[list[Stmt], list[Stmt]]:
        varied = self.activity.varied_before(s)
        active = active_args(call, self.kinds, varied)
        pair = self.pairs(call.callee, active)
        handle = (Var(self.tape),) if self.counts is None else (Var(self.tape), Var(self.counts))
        self.uses_tape = self.uses_tape or pair.reverse.tape is not None
        checked = tuple(self.importer.expr(a) for a in call.args)
        front = handle if pair.forward.tape else ()
        forward: list[Stmt] = [Assign(s.target, Call(pair.forward, front + checked), line=s.line, source=s.source)]
        if seed is None and pair.forward.tape is None:
            return forward, []
        seed = seed if seed is not None else ZERO
        self.calls.append((s, pair))

        arrays = [a.name for a in call.args if isinstance(a, Var) and self.kinds[a.name].is_array]
        aside: list[Stmt] = []
        if s.target in arrays and seed == Var(self.adjoints.of(s.target)):
            seed, old = Var(self.adjoints.seed(self.kinds[s.target])), seed
            aside.append(Assign(seed.name, old))
        state.pop(s.target, None)
        args = [self.plain(a) for a, read in zip(call.args, pair.reads, strict=True) if read]
        floats: list[Expr] = []
        zeros: list[Stmt] = []
        for arg, carries in zip(call.args, active, strict=True):
            if carries and isinstance(arg, Var) and arg.name in arrays:
                zeros += self.adjoints.begun(arg.name, state)
                args.append(Var(self.adjoints.of(arg.name)))
            elif carries:
                floats.append(arg)
        back = Call(pair.reverse, (*(handle if pair.reverse.tape else ()), *args, seed))
        # The adjoint of a plain variable that has none yet is assigned by the call itself.
        targets: list[str] = []
        rest: list[tuple[Expr, str]] = []
        for i, arg in enumerate(floats):
            if isinstance(arg, Var) and arg.name not in state and floats.count(arg) == 1:
                targets.append(self.adjoints.of(arg.name))
                state[arg.name] = Var(self.adjoints.of(arg.name))
                continue
            name = self.adjoints.temporary(i, kind_of(arg, self.kinds))
            targets.append(name)
            rest.append((arg, name))
        reverse: list[Stmt] = [self.comment(s), *aside, *zeros, MultiAssign(tuple(targets), back)]
        for arg, name in rest:
            found = contributions(arg, Var(name), self.kinds, varied)
            for place, value in found.items():
                plain = self.plain(value)
                if isinstance(place, Index):
                    reverse += self.adjoints.add_part(replace(place, index=self.plain(place.index)), plain, state)
                else:
                    reverse += self.adjoints.add(place.name, plain, state)
        return forward, reverse

    def branch(self, s: If, in_loop: bool, state: State) -> tuple[list[Stmt], list[Stmt]]:
        after = dict(state)
        sides: list[tuple[list[Stmt], list[Stmt], State]] = []
        for name, part in (("then", s.then), ("orelse", s.orelse)):
            side = dict(after)
            sides.append((*self.block(part, (s, name), in_loop, side), side))
        live = self.lenders(self.activity.before(s))
        zeros: list[Stmt] = []
        state.clear()
        for name in self.sorted({*sides[0][2], *sides[1][2]} & live):
            values = [side.get(name) for _, _, side in sides]
            if values[0] == values[1] and values[0] is not None:
                state[name] = values[0]
                continue
            adjoint = self.adjoints.of(name)
            state[name] = Var(adjoint)
            for value, (_, stmts, _), (_, other, _) in zip(values, sides, (sides[1], sides[0]), strict=True):
                if value is None and not stmts and other and name not in after:
                    zeros.append(Assign(adjoint, self.adjoints.zero(name)))
                elif value is None or isinstance(value, Const):
                    stmts.append(Assign(adjoint, value or self.adjoints.zero(name)))
        forward = [If(self.plain(s.cond), tuple(sides[0][0]), tuple(sides[1][0]), line=s.line, source=s.source)]
        if not sides[0][1] and not sides[1][1]:
            return list(forward), zeros
        back = If(s.cond, tuple(sides[0][1]), tuple(sides[1][1]))
        return list(forward), [*zeros, self.comment(s), back]

    def enter_loop(self, s: For | While, state: State) -> tuple[list[Stmt], State]:
        """Write out the adjoints that a reverse loop accumulates; the state within."""
        touched = self.touched(s.body)
        head = self.activity.at_head(s)
        end = self.activity.after(s.body[-1])
        before: list[Stmt] = []
        for name in self.sorted((head | end) & touched):
            if isinstance(state.get(name), Const) and self.passes(name, s.body):
                continue
            if self.kinds[name].is_array and name not in state:
                before += self.adjoints.begun(name, state)
            elif not isinstance(state.get(name), Var) and self.adjoints.tracked(name):
                before.append(Assign(self.adjoints.of(name), state.get(name, self.adjoints.zero(name))))
                state[name] = Var(self.adjoints.of(name))
        return before, {n: e for n, e in state.items() if n in end}

    def touched(self, block: Block) -> set[str]:
        """The variables whose adjoints a block may read or change."""
        found = assigned(block)
        for s in walk_stmts(block):
            if isinstance(s, Assign | Store) and self.activity.has_adjoint(s):
                found |= self.activity.before(s) & differentiable(s.value, self.kinds)
        return {name for name in found if self.adjoints.tracked(name)}

    def passes(self, name: str, block: Block) -> bool:
        """Whether an adjoint goes through a block unchanged, as that of a sum does."""
        if self.kinds[name].is_array:
            return False
        for s in walk_stmts(block):
            if isinstance(s, Store) and name in differentiable(s.value, self.kinds):
                return False
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

    def loop_body(self, s: For | While, state: State) -> tuple[list[Stmt], list[Stmt], list[Stmt]]:
        before, inside = self.enter_loop(s, state)
        again, outside = s.checkpoints is not None, (self.split, self.again)
        self.around.append(s)
        if again:  # it is reversed at once
            self.split, self.again = False, True
        forward, reverse = self.block(s.body, (s, "body"), not again, inside)
        self.split, self.again = outside
        self.around.pop()
        for name in self.sorted(self.activity.at_head(s) & self.touched(s.body)):
            value = inside.get(name)
            settled = isinstance(value, Var) or (value is not None and value == state.get(name))
            if self.adjoints.tracked(name) and not settled:
                reverse.append(Assign(self.adjoints.of(name), value or self.adjoints.zero(name)))
        live = self.lenders(self.activity.before(s))
        for name in [n for n in state if n not in live]:
            del state[name]
        return before, forward, reverse

    def with_breaks(self, s: For | While, body: list[Stmt]) -> tuple[list[Stmt], list[Stmt]]:
        """A forward loop's body, left only after what a trip records at its end; and what comes before the loop."""
        if ends_with_breaks(body):
            return [], body
        stop = self.f.namer.fresh("stop")
        self.kinds[stop] = Kind.BOOL
        flagged = flag_breaks(tuple(body), stop)
        return [Assign(stop, Const(False))], [*flagged, If(Var(stop), (Break(),), ())]

    def for_loop(self, s: For, state: State) -> tuple[list[Stmt], list[Stmt]]:
        before, forward, reverse = self.loop_body(s, state)
        if s in self.roles and (in_lanes := self.parallel_loop(s, before, forward, reverse)) is not None:
            return in_lanes
        bounds = [self.importer.expr(e) for e in (s.start, s.stop, s.step)]
        there, back = self.loops(s, bounds, forward, reverse, self.context(s))
        return there, [*before, self.comment(s), *back] if back else before

    def loops(
        self, s: For, bounds: Sequence[Expr], forward: list[Stmt], reverse: list[Stmt], context: Context
    ) -> tuple[list[Stmt], list[Stmt]]:
        """Both sweeps of a loop from those of its body; `bounds` are those of the forward loop."""
        start, forward = self.with_breaks(s, forward)
        found = vectorised(s, forward, reverse, context) if _works(reverse) else None
        counted = self.counted(s, None) if s.counted and _works(reverse) else None
        pushes: list[Stmt] = []
        early: list[Stmt] = []
        late: list[Stmt] = []
        if found is not None:
            pushes, forward, back = found
        else:
            more = any(_uses_tape((f,)) for f in forward if not isinstance(f, Push))
            rows = hoisted(s, forward, reverse, context, more)
            if rows is not None:
                pushes, forward, early, reverse, late = rows
            reverse = shortened(reverse, context.carried, self.kinds, self.adjoints.fresh)
            bounds_back = (s.start, s.stop, s.step) if ascends(s, reverse, context) else backward(s)
            loop_back = For(s.var, *bounds_back, tuple(reverse))
            parts = [loop_back] if counted is None else self.in_parts(loop_back, counted, REVERSED)
            back = [*early, *parts, *late]
        loop = For(s.var, bounds[0], bounds[1], bounds[2], tuple(forward), line=s.line, source=s.source)
        if not _works(reverse):
            return [*start, loop], []
        if counted is None:
            return [*start, *pushes, loop], back
        if found is not None:  # independent trips, in a form that counting would spoil
            trips = trips_of(s)
            return [*start, *pushes, loop, counted.add(FORWARD, trips)], [*back, counted.add(REVERSED, trips)]
        return [*start, *pushes, *self.in_parts(loop, counted, FORWARD)], back

    def in_parts(self, loop: For, counted: Counted, what: int) -> list[Stmt]:
        return in_parts(loop, counted, what, self.kinds, self.adjoints.fresh)

    def counted(self, s: For | While, planned: Planned | None) -> Counted | None:
        """What counts the trips of a marked loop."""
        if self.counting is None or self.counts is None:
            return None
        return self.counting.counted(self.counts, line_of(s.source or self.f.source, s.line), planned)

    # ---------------------------------------------------------------------------------------------- lanes

    def find_roles(self) -> dict[Stmt, Roles]:
        """The loops that run in lanes; what made them ready for the sweeps may have left one in another form."""
        loops = [s for s in walk_stmts(self.f.body) if isinstance(s, For) and s.parallel]
        found = {s: roles(s, self.kinds, self.aliases.before[s].may_share) for s in loops}
        return {s: known for s, known in found.items() if not known.problems}

    def span(self, s: For, near: tuple[int, int] | None) -> int | None:
        """How far apart elements are that a trip reaches along an axis; None where one could be below zero."""
        least = self.extents.least(s.start, self.around)
        rises = isinstance(s.step, Const) and s.step.value > 0
        if near is None or least is None or not rises or least + near[0] < 0:
            return None
        return near[1] - near[0]

    def parallel_loop(
        self, s: For, before: list[Stmt], forward: list[Stmt], reverse: list[Stmt]
    ) -> tuple[list[Stmt], list[Stmt]] | None:
        """Both sweeps of a loop in lanes, from those of its body: each lane has the loop over its own trips.

        None where the reverse sweep does anything but add to an adjoint that lanes share.
        """
        first, end = self.adjoints.fresh("first", Kind.INT), self.adjoints.fresh("end", Kind.INT)
        part = replace(s, start=Var(first), stop=Var(end))
        context = self.context(s)
        around = For(first, s.start, s.stop, s.step, (part,))
        context = replace(context, around=[*context.around, around])
        step = self.importer.expr(s.step)
        there, back = self.loops(part, [part.start, part.stop, step], forward, reverse, context)
        known, shadows = self.roles[s], {adjoint: name for name, adjoint in self.adjoints.names.items()}
        given = bound_names(back)
        outer = {a for a in given if a in shadows and shadows[a] not in known.private}
        if any(self.kinds[a].is_array or not is_only_added_to(a, back) for a in outer):
            return None
        read = {a for a in effects(back).reads - given if a in shadows and self.kinds[a].is_array}
        copied = {a for a in read if shadows[a] not in known.rows}
        near = {a: span for a in copied if (span := self.span(s, known.near.get(shadows[a]))) is not None}
        copied -= near.keys()
        self.loops_in_lanes.insert(0, (s, known, frozenset(shadows[a] for a in copied)))
        if any(isinstance(p, Push) and p.kind is Kind.BOOL for p in walk_stmts(tuple(there))):
            site = self.site(s.body, len(s.body), [Record(self.bits, frozenset(), None, ends=True)])
            there = [Assign(self.bits, Const(1)), *there, Push((Var(self.bits),), Kind.INT, site=site)]
            back = [Pop((Var(self.bits),), Kind.INT, site=site), *back]
        self.uses_tape = True
        region = Region(
            f"{self.f.name}_line{s.line}",
            f"line {s.line}: {(s.source or self.f.source).line(s.line)}",
            (s.start, s.stop, s.step),
            max(near.values(), default=0),
            first,
            end,
            self.tape,
            self.lanes,
            self.bits,
            self.kinds,
            self.adjoints.fresh,
            self.lane_names,
            self.f.options,
            not self.exact,
        )
        forward = region.sweep("forward", there, known.sums & bound_names(there), ())
        self.in_lanes |= dict.fromkeys(forward, ())
        self.in_lanes[forward[-1]] = tuple(there)
        if not back:
            return forward, before
        return forward, [*before, self.comment(s), *region.sweep("reverse", back, outer, copied)]

    def context(self, s: For) -> Context:
        """What is known about the surroundings of a loop."""
        shadows = {adjoint: name for name, adjoint in self.adjoints.names.items()}
        state = self.aliases.before[s]

        def share(a: str, b: str) -> bool:
            if (a in shadows) != (b in shadows):
                return False
            one, other = (self.lowered.loans.root(shadows.get(n, n)) for n in (a, b))
            # The caller's arrays may be one and the same, and so may its adjoints of them.
            given = one in self.adjoints.given and other in self.adjoints.given and self.kinds[one] is self.kinds[other]
            return given or other in state.sharing(one)

        number = self.loop_numbers.__next__
        return Context(self.kinds, self.extents, share, self.around, self.carried(s), self.adjoints.fresh, number)

    def carried(self, s: For | While) -> frozenset[str]:
        """The adjoints that one trip leaves to another, or to what comes after the loop."""
        active = (self.adjoints.names.get(name) for name in self.activity.at_head(s))
        return frozenset(name for name in active if name is not None)

    def run_again(self, s: For | While, state: State) -> tuple[list[Stmt], list[Stmt]]:
        """A loop marked by `ad.checkpointed`."""
        self.uses_tape = True
        before, recorded, reverse = self.loop_body(s, state)
        reverse = shortened(reverse, self.carried(s), self.kinds, self.adjoints.fresh)
        saves, wanted = self.saves.around.get(s, {}), self.saves.wanted[s]
        how = self.adjoints.fresh, self.by_kind, self.bindings.shown, self.number(s)
        planned = s.checkpoints.planned if s.checkpoints is not None else None
        replay = Replay(s, self.lowered, saves, wanted, self.split, self.kinds, *how, self.counted(s, planned))
        again = self.unchecked.block(s.body)
        back = replay.reverse(again, recorded, reverse)
        planning: list[Stmt] = []
        if planned is not None:
            assert isinstance(s, For)
            adjoints = {adjoint: name for name, adjoint in self.adjoints.names.items()}
            fresh = self.adjoints.fresh
            planning = trial(planned, s.var, replay, again, recorded, reverse, adjoints, self.kinds, fresh)
            back.append(finished(planned))
        forward = replay.forward(self.importer.block(s.body), planning)
        self.replayed[replay.loop] = Replayed(tuple(replay.groups), tuple(recorded))
        return forward, [*before, self.comment(s), *back]

    def number(self, s: For | While) -> int | None:
        """By which number generated code asks for a schedule that is computed."""
        computed = s.checkpoints.computed if s.checkpoints is not None else None
        if computed is None:
            return None
        if computed not in self.schedules:
            self.schedules.append(computed)
        return self.schedules.index(computed)

    def while_loop(self, s: While, state: State) -> tuple[list[Stmt], list[Stmt]]:
        before, forward, reverse = self.loop_body(s, state)
        cond = self.importer.expr(s.cond)
        start, forward = self.with_breaks(s, forward)
        loop = While(cond, tuple(forward), line=s.line, source=s.source)
        if not _works(reverse):
            return [*start, loop], before
        assert s.trips is not None
        reverse = shortened(reverse, self.carried(s), self.kinds, self.adjoints.fresh)
        back = For(self.nobody, Const(0), Var(s.trips), Const(1), tuple(reverse), trips=s.trips)
        return [*start, loop], [*before, self.comment(s), back]


def with_loops(block: Sequence[Stmt], loops: Mapping[Stmt, Block], moved: dict[Stmt, Stmt]) -> Block:
    """A block with loops in the place of what has lanes run them; `moved` gets what stands for others then."""
    out: list[Stmt] = []
    for s in block:
        new = s
        match s:
            case _ if s in loops:
                out += loops[s]
                continue
            case For(body=body) | While(body=body):
                inner = with_loops(body, loops, moved)
                new = replace(s, body=inner) if inner != body else s
            case If(_, then, orelse):
                sides = with_loops(then, loops, moved), with_loops(orelse, loops, moved)
                new = replace(s, then=sides[0], orelse=sides[1]) if sides != (then, orelse) else s
        if new is not s:
            moved[s] = new
        out.append(new)
    return tuple(out)


def _count_back(s: Stmt) -> Stmt:
    assert isinstance(s, Assign) and isinstance(s.value, Binary)
    return Assign(s.target, replace(s.value, op="-" if s.value.op == "+" else "+"))


def _works(stmts: Sequence[Stmt]) -> bool:
    return any(not isinstance(s, Comment) for s in stmts)


def _uses_tape(stmts: Sequence[Stmt]) -> bool:
    for s in walk_stmts(tuple(stmts)):
        if isinstance(s, Push):
            return True
        if isinstance(s, Assign) and isinstance(s.value, Call):
            callee = s.value.callee
            if isinstance(callee, Unit) and callee.tape is not None:
                return True
    return False
