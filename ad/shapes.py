"""Which contributions to adjoints surely have the shapes of these, whatever the arguments are.

Then the first one is the adjoint: nothing is to be summed over axes that were broadcast, and the shape of the variable
need not be known when its adjoint begins.

`ad.dims` says what is known of shapes.  Here it is followed through the statements; where ways meet, what differs gets
a new atom.  What is written to a part of an array fits into it, or there is no derivative: where the statement that
writes runs, the lengths of the value are those of the part, or 1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ad.alias import Part, definitions
from ad.derive import Contributions, contributions
from ad.dims import ONE, Dim, Shape, Shapes, State, is_constant
from ad.function import is_element, kind_of, kind_of_part
from ad.ir import (
    Assign,
    Block,
    Call,
    Expr,
    For,
    If,
    Index,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    expressions,
    names,
    shape_of,
    walk,
    walk_stmts,
)
from ad.lower import SEED, Lowered, Plan, derive_assign, leaves
from ad.primitive import Primitive

__all__ = ["fitted"]

_Fact = tuple[Any, Dim]
"""An atom, and the length that it is where it is not 1."""


def fitted(lowered: Lowered) -> Lowered:
    """The function with plans that say which contributions have the shapes of their adjoints."""
    if not any(kind.is_array for kind in lowered.function.kinds.values()):
        return lowered
    flow = _Flow(lowered)
    flow.run()
    fitting = _Fitting(lowered, flow)
    for s in flow.states:
        fitting.fit(s)
    for s in flow.states:
        fitting.narrow(s)
    return replace(lowered, plans=fitting.plans)


# ------------------------------------------------------------------------------------ through the statements


@dataclass(eq=False)
class _Home:
    """A block, with what its stores say about lengths."""

    outer: "_Home | None" = None
    whole: bool = True
    """Whether all its statements run where one does."""
    facts: list[_Fact] = field(default_factory=list)

    @cached_property
    def lengths(self) -> "_Lengths":
        """What holds of this trip through the block, where all its statements run."""
        return _Lengths(self.known())

    def known(self) -> Iterator[_Fact]:
        if self.whole:
            yield from self.facts
        home = self.outer
        while home is not None:
            if home.whole:
                yield from (fact for fact in home.facts if is_constant(fact[1] | {fact[0]}))
            home = home.outer


class _Flow:
    """The shapes before each statement that has an adjoint."""

    def __init__(self, lowered: Lowered) -> None:
        self.f = lowered.function
        self.kinds = self.f.kinds
        self.plans = lowered.plans
        self.states: dict[Stmt, State] = {}
        self.homes: dict[Stmt, _Home] = {}
        self.always: dict[str, Shape | None] = {}
        """The shapes that variables have whenever they have one; None where these differ."""

    def followed(self, name: str) -> bool:
        kind = self.kinds[name]
        return kind.is_array or kind is Kind.INT

    def run(self) -> None:
        state: State = {}
        for p in self.f.params:
            if self.followed(p):
                axes = range(self.kinds[p].ndim) if self.kinds[p].is_array else (None,)
                state[p] = tuple(frozenset({("entry", p, axis)}) for axis in axes)
        self.always |= state
        self.block(self.f.body, state, _Home())

    def block(self, block: Block, state: State, home: _Home | None) -> State:
        """The state after a block; with a `home` the states in it are settled, and are kept."""
        for s in block:
            if home is not None and s in self.plans and isinstance(s, Assign | Store):
                self.states[s], self.homes[s] = dict(state), home
            match s:
                case Assign(target, value) if self.followed(target):
                    shapes = Shapes(self.kinds, state, s)
                    new = shapes.of(value) if self.kinds[target].is_array else (shapes.value(value),)
                    self.set(state, target, new, home)
                case Rebind(targets, sources):
                    found = [state.get(source) for source in sources]
                    for target, shape in zip(targets, found, strict=True):
                        if shape is not None:
                            self.set(state, target, shape, home)
                case Store(array) if home is not None and array in state:
                    home.facts += self.stored(s, Shapes(self.kinds, state, s))
                case If(_, then, orelse):
                    homes = [None if home is None else _Home(home, not leaves(part)) for part in (then, orelse)]
                    sides = [self.block(p, dict(state), h) for p, h in zip((then, orelse), homes, strict=True)]
                    state = self.joined(s, "join", *sides)
                case For() | While():
                    state = self.loop(s, state, home)
        return state

    def loop(self, s: For | While, state: State, home: _Home | None) -> State:
        head = state
        while True:
            start = dict(head)
            if isinstance(s, For):
                start[s.var] = (frozenset({("head", s, s.var, None)}),)
            end = self.block(s.body, dict(start), None)
            more = self.joined(s, "head", head, end)
            if more == head:
                break
            head = more
        if isinstance(s, For):
            head.pop(s.var, None)
        if home is not None:
            self.block(s.body, dict(start), _Home(home, not leaves(s.body)))
        if leaves(s.body):
            changed = {p.target for p in walk_stmts(s.body) if isinstance(p, Assign)}
            changed = changed.union(*(p.targets for p in walk_stmts(s.body) if isinstance(p, Rebind)))
            head = {n: self.fresh(s, "exit", n, shape) if n in changed else shape for n, shape in head.items()}
        return head

    def fresh(self, s: Stmt, what: str, name: str, shape: Shape) -> Shape:
        axes = range(len(shape)) if self.kinds[name].is_array else (None,)
        return tuple(frozenset({(what, s, name, axis)}) for axis in axes)

    def joined(self, s: Stmt, what: str, a: State, b: State) -> State:
        """What holds whichever way was taken."""
        out: State = {}
        for name in a.keys() & b.keys():
            new = self.fresh(s, what, name, a[name])
            out[name] = tuple(m if m == n else other for m, n, other in zip(a[name], b[name], new, strict=True))
        return out

    def set(self, state: State, name: str, shape: Shape, home: _Home | None) -> None:
        state[name] = shape
        if home is not None:
            self.always[name] = shape if self.always.get(name, shape) == shape else None

    def stored(self, s: Store, shapes: Shapes) -> Iterator[_Fact]:
        """What a statement that writes to a part of an array says about lengths."""
        if not is_element(s.index, self.kinds):
            return
        part, value = shapes.of(Index(s.array, s.index)), shapes.of(s.value)
        for length, wanted in zip(value[::-1], part[::-1]):
            yield from ((atom, wanted) for atom in length - wanted)


# ---------------------------------------------------------------------------------------------- the plans


class _Fitting:
    def __init__(self, lowered: Lowered, flow: _Flow) -> None:
        self.lowered = lowered
        self.flow = flow
        self.kinds = lowered.function.kinds
        self.shared = lowered.aliases.shared
        self.places: dict[Stmt, tuple[Part, int]] = {}
        self.definitions: dict[str, list[Stmt]] = {}
        self.place(lowered.function.body, (None, "body"))
        self.plans = dict(lowered.plans)
        self.loans = lowered.loans
        self.found: dict[Stmt, tuple[Contributions, Shapes]] = {}
        """What adjoints add to others, and what its shapes are."""
        self.users: dict[str, list[Stmt]] = {}
        for s, plan in lowered.plans.items():
            for need in plan.needs:
                self.users.setdefault(need, []).append(s)

    def place(self, block: Block, part: Part) -> None:
        for k, s in enumerate(block):
            self.places[s] = part, k
            for name in definitions(s):
                self.definitions.setdefault(name, []).append(s)
            match s:
                case For(body=body) | While(body=body):
                    self.place(body, (s, "body"))
                case If(_, then, orelse):
                    self.place(then, (s, "then"))
                    self.place(orelse, (s, "orelse"))

    def fit(self, s: Stmt) -> None:
        """Find out what of a statement's contributions has the shapes of the adjoints that it is added to."""
        state, plan = self.flow.states[s], self.plans[s]
        if not self.matters(s):
            return
        found, more, kinds = self.contributions(s, plan, state)
        self.found[s] = found, Shapes(kinds, state | more, s)
        fits: set[str] = set()
        sums: set[str] = set()
        for place, value in found.items():
            if isinstance(place, Var) and place.name in state and self.is_value(place.name):
                own, shape = state[place.name], self.found[s][1].of(value)
                if self.flow.homes[s].lengths.alike(shape, own):
                    if kind_of(value, kinds) is self.kinds[place.name]:
                        fits.add(place.name)
                elif len(shape) > len(own) or any(n == ONE != m for m, n in zip(shape[::-1], own[::-1])):
                    sums.add(place.name)
        parts = {place.array for place in found if isinstance(place, Index)}
        gone = {shape_of(name) for name in fits - parts if self.is_settled(name)} - names(*found.values())
        reached = {place.array if isinstance(place, Index) else place.name for place in found}
        gone -= set().union(*(self.loans.needs(name) for name in reached & self.loans.found.keys()))
        self.plans[s] = replace(plan, needs=plan.needs - gone, fits=frozenset(fits), sums=frozenset(sums))

    def narrow(self, s: Stmt) -> None:
        """Let the adjoint of a target be smaller, where it is only multiplied by something that is not."""
        if not (isinstance(s, Assign) and self.is_value(s.target) and self.is_local(s.target)):
            return
        if s.target in self.loans.found or s.target in self.loans.bases:
            return  # of which there are parts
        if isinstance(s.value, Call) and not isinstance(s.value.callee, Primitive):
            return  # a function takes the whole adjoint of its result
        users = self.users.get(shape_of(s.target), [])
        if len(users) != 1 or not self.found.keys() >= {s, *users} or s.target in self.plans[users[0]].fits:
            return
        [user] = users
        found, shapes = self.found[user]
        share, found = found.get(Var(s.target)), self.found[s][0]
        if share is None or not self.is_left_alone(share, user) or shape_of(s.target) in names(*found.values()):
            return
        large = self.found[s][1]
        small = Shapes(large.kinds, {**large.state, SEED: shapes.of(share)}, s)
        if all(_same_shapes(value, large, small) for value in found.values()):
            self.plans[s] = replace(self.plans[s], small=True)
            plan = self.plans[user]
            if shape_of(s.target) not in names(*self.found[user][0].values()):
                plan = replace(plan, needs=plan.needs - {shape_of(s.target)})
            self.plans[user] = plan

    def is_left_alone(self, share: Expr, user: Stmt) -> bool:
        """Whether nothing is added later to what a contribution of a statement is, or is a view of."""
        match user:
            case Assign(target) if not self.kinds[target].is_array:
                return True
            case Assign(target, value):
                return self.is_value(target) and target not in names(value) and share != Var(SEED)
        return False

    def matters(self, s: Stmt) -> bool:
        """Whether a statement may add to the adjoint of an array, or its own adjoint is one."""
        if isinstance(s, Assign) and self.kinds[s.target].is_array:
            return True
        return any(isinstance(p, Var) and self.is_value(p.name) for e in expressions(s) for p in walk(e))

    def is_value(self, name: str) -> bool:
        """Whether a variable stands for an array that is never written to in place."""
        return self.kinds[name].is_array and name not in self.shared

    def contributions(self, s: Stmt, plan: Plan, state: State) -> tuple[Contributions, State, dict[str, Kind]]:
        """What the adjoint of a statement adds to others; the shapes of what it reads besides; and all kinds."""
        varied = self.lowered.activity.varied_before(s)
        shapes = Shapes(self.kinds, state, s)
        match s:
            case Assign(target, value) if self.is_value(target) or not self.kinds[target].is_array:
                if isinstance(value, Call) and not isinstance(value.callee, Primitive):
                    return {}, {}, {}
                own = {**self.kinds, SEED: self.kinds[target]}
                after = dict.fromkeys([SEED, target] if plan.uses_result else [SEED], shapes.of(value))
                return derive_assign(s, Var(SEED), plan.uses_result, own, varied), after, own
            case Store(array, index, value):
                own = {**self.kinds, SEED: kind_of_part(self.kinds[array], index, self.kinds)}
                after = {SEED: shapes.of(Index(array, index))}
                return contributions(value, Var(SEED), own, varied), after, own
        return {}, {}, {}

    def is_settled(self, name: str) -> bool:
        """Whether the shape of a variable is always the same, or nothing needs it where its adjoint begins to fit."""
        always = self.flow.always.get(name)
        return (always is not None and all(map(is_constant, always))) or self.is_local(name)

    def is_local(self, name: str) -> bool:
        """Whether all contributions to an adjoint come from later statements of the block that makes the variable."""
        if len(self.definitions.get(name, ())) != 1:
            return False
        part, k = self.places[self.definitions[name][0]]
        return all(self.places[s][0] == part and self.places[s][1] > k for s in self.users.get(shape_of(name), ()))


def _same_shapes(e: Expr, a: Shapes, b: Shapes) -> bool:
    """Whether an expression has the same shape in both, and so has what functions of whole arrays are called with."""
    calls = (p for p in walk(e) if isinstance(p, Call) and isinstance(p.callee, Primitive) and not p.callee.elementwise)
    return all(a.of(p) == b.of(p) for p in (e, *(arg for call in calls for arg in call.args)))


class _Lengths:
    """Tells by facts which lengths are the same.

    An atom is *below* another if it is 1 or the same.  Those below one another are the same.
    """

    def __init__(self, facts: Iterable[_Fact]) -> None:
        self.below: dict[Any, set[Any]] = {}
        self.ones: set[Any] = set()
        for atom, wanted in facts:
            if not wanted:
                self.ones.add(atom)
            elif len(wanted) == 1:
                self.below.setdefault(atom, set()).update(wanted)

    def above(self, atom: Any) -> set[Any]:
        """All that an atom is below, itself included."""
        found, todo = {atom}, [atom]
        while todo:
            more = self.below.get(todo.pop(), set()) - found
            found |= more
            todo += more
        return found

    def alike(self, a: Shape, b: Shape) -> bool:
        return len(a) == len(b) and all(m == n or self.same(m, n) for m, n in zip(a, b, strict=True))

    def same(self, a: Dim, b: Dim) -> bool:
        """Whether every atom of one length is 1 or below one of the other, and the other way round."""
        return self.is_below(a - b, b) and self.is_below(b - a, a)

    def is_below(self, a: Dim, b: Dim) -> bool:
        return all(atom in self.ones or self.above(atom) & b for atom in a)
