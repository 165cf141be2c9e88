"""To-be-recorded analysis: which values must be saved so that the reverse sweep finds them.

A value is *required* where an adjoint of an earlier statement (in execution) reads it.  A required value is saved

* before a statement that overwrites its variable, or
* at the end of the loop body or branch that computed it, where the next trip does not read the variable any more but
  would overwrite it (before the first trip there was nothing to save).

What is never overwritten is read directly.  A compound statement without adjoint work is one assignment to all that it
may assign.  The sets grow monotonically, so the fixpoint over loops saves too much rather than too little.

Of an array may be required the contents, or only the shape (`ad.ir.shape_of`).  A part of a shared array that is
written to is saved where the contents are required under any name that may share its memory.  What is a view of another
array needs no saving itself: it is made again.

A variable that is not surely assigned at the start of a block is not live there (flow.py refuses to read it), hence
saved at the end of the block that assigned it: nothing without a value is ever saved.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ad.alias import Part, State, viewed
from ad.extents import assigned_names
from ad.flow import Liveness
from ad.ir import (
    Assign,
    Binary,
    Block,
    Const,
    For,
    If,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    names,
    shape_of,
    walk_stmts,
)
from ad.lower import Lowered
from ad.recompute import Recompute
from ad.replays import changed_arrays, read_again

__all__ = ["Required", "Saves", "find_saves"]

Required = dict[str, frozenset[Stmt]]
"""What is required, each with the statements whose adjoints read it."""


@dataclass
class Saves:
    """The variables saved before statements and at the ends of blocks; `at_exit` are those required at the end.

    `again` are statements that the reverse sweep runs again at the end of a block, instead of saving what they compute,
    `counted` those that add a fixed whole number to a whole number, which the reverse sweep subtracts, and `arrays`
    those that it runs again before the adjoint of a statement.  Of loops that it runs again from snapshots, `around`
    has the arrays that are saved before them, and put back after their reverse sweep, and `wanted` what anything but
    they themselves reads as it was before them, or trips as it was before these.
    """

    before: dict[Stmt, Required] = field(default_factory=dict)
    at_end: dict[Part, Required] = field(default_factory=dict)
    at_exit: Required = field(default_factory=dict)
    again: dict[Part, tuple[Stmt, ...]] = field(default_factory=dict)
    counted: set[Stmt] = field(default_factory=set)
    around: dict[Stmt, Required] = field(default_factory=dict)
    wanted: dict[Stmt, set[str]] = field(default_factory=dict)
    arrays: dict[Stmt, tuple[Assign, ...]] = field(default_factory=dict)


def find_saves(lowered: Lowered, split: bool, exact: bool = True) -> Saves:
    """What to save.

    `split` says that the two sweeps are separate functions, so that locals are lost between them, `exact` that floats
    are recorded as they are: of rounded ones nothing is computed again.
    """
    analysis = _Tbr(lowered, split, exact)
    required = analysis.block(lowered.function.body, {}, (None, "body"), False, set())
    changing = assigned(lowered.function.body)
    lost = {v: needs for v, needs in required.items() if _name(v) in changing}
    if split:
        again, more = analysis.again(lowered.function.body, (None, "body"), lost, required)
        lost = _union(_without(lost, again), {v: needs for v, needs in more.items() if _name(v) in changing})
    analysis.saves.at_exit = lost
    return analysis.saves


class _Tbr:
    def __init__(self, lowered: Lowered, split: bool, exact: bool) -> None:
        self.lowered = lowered
        self.split = split
        self.saves = Saves()
        self.loops: list[tuple[For | While, Required]] = []
        """Those around what is looked at, each with what was required before it."""
        self.aliases = lowered.aliases
        body = lowered.function.body
        self.live = Liveness(body, {lowered.function.result})
        self.assignments = Counter(_targets(body))
        self.extents = lowered.extents
        self.recompute = Recompute(lowered.function, self.aliases, lowered.activity.shared, exact)
        self.views = {
            s.target
            for s in walk_stmts(body)
            if isinstance(s, Assign)
            and s.target in self.aliases.shared
            and self.assignments[s.target] == 1
            and viewed(s.value, lowered.function.kinds) is not None
            and self.moved(s) is None
        }

    def save(self, s: Stmt, variables: Required) -> None:
        if variables:
            self.saves.before[s] = _union(self.saves.before.get(s, {}), variables)

    def block(self, block: Block, required: Required, part: Part, in_loop: bool, live: set[str]) -> Required:
        """What is required after a block; what dies at its end is saved there."""
        for s in block:
            required = self.stmt(s, required, in_loop)
            required = self.renewed(s, required)
        if part[0] is None:
            return required
        own = Counter(_targets(block))
        dying = {
            v
            for v in own
            if v not in live and v not in self.views and (in_loop or self.split or self.assignments[v] > own[v])
        }
        found = _named(required, dying)
        again, more = self.again(block, part, found, required)
        self.saves.at_end[part] = _without(found, again)
        return _union(_without(required, found), more)

    def again(self, block: Block, part: Part, lost: Required, required: Required) -> tuple[set[str], Required]:
        """What of the values lost at the end of a block is computed again there, and what else that requires."""
        found = self.recompute.at_end(block, lost, required)
        self.saves.again[part] = found.stmts
        if not found.stmts:
            return set(), {}
        needs = self.shared(found.needs - lost.keys(), self.aliases.at_end[part])
        return found.values, dict.fromkeys(needs, frozenset(walk_stmts(found.stmts)))

    def stmt(self, s: Stmt, required: Required, in_loop: bool) -> Required:
        """What is required after a statement."""
        plan = self.lowered.plans.get(s)
        if plan is not None:
            required = _needed(required, self.shared(plan.needs, self.aliases.before[s]), s)
        if isinstance(s, Assign):
            moved = self.moved(s)
            old = _named(required, {s.target})
            if old and _counts(s, self.lowered.function.kinds):
                self.saves.counted.add(s)
                return required
            if s.target not in self.views:
                self.save(s, old)
            required = _without(required, old)
            if plan is not None and plan.uses_result:
                required = _needed(required, {s.target}, s)
            if moved is not None:
                # The contents live on under the new name.
                for old_name, new_name in ((moved, s.target), (shape_of(moved), shape_of(s.target))):
                    if old_name in required:
                        required = _union(_without(required, {old_name}), {new_name: required[old_name]})
            elif s.target in self.aliases.shared and isinstance(s.value, Var) and s.value.name in required:
                required = _union(required, {s.target: required[s.value.name]})
            return required
        if isinstance(s, Store):
            return self.store(s, required)
        if isinstance(s, Rebind):
            new = dict(zip(s.sources, s.targets, strict=True))
            return {_renamed(r, new): needs for r, needs in required.items()}
        if not self.lowered.activity.has_work(s):
            return self.passive(s, required)
        if isinstance(s, For | While) and s.checkpoints is not None:
            return self.run_again(s, required)
        match s:
            case For(var, start, stop, step, body, trips):
                required = _needed(required, self.shared(names(start, stop, step), self.aliases.before[s]), s)
                old = _named(required, {var})
                self.save(s, old)
                out = self.loop(s, body, _without(required, old), {var})
                return _needed(out, {trips}, s) if trips else out
            case While(_, body, trips):
                out = self.loop(s, body, required, set())
                return _needed(out, {trips}, s) if trips else out
            case If(cond, then, orelse):
                required = _needed(required, names(cond), s)
                live = self.live.after[s]
                return _union(
                    self.block(then, required, (s, "then"), in_loop, live),
                    self.block(orelse, required, (s, "orelse"), in_loop, live),
                )
        return required

    def shared(self, needs: Iterable[str], state: State) -> set[str]:
        """What is needed, under all names that it may go by."""
        found: set[str] = set()
        for name in needs:
            found |= state.sharing(name) if name in self.aliases.shared else {name}
        return found

    def first_time(self, s: Store, required: Required) -> bool:
        """Whether a write meets only elements whose contents nothing has needed since some loop around it began."""
        if self.aliases.before[s].sharing(s.array) != {s.array}:
            return False
        around = [loop for loop, _ in self.loops]
        for depth in range(len(self.loops) - 1, -1, -1):
            loop, before = self.loops[depth]
            if not self.extents.apart(s, around[depth:], around):
                return False
            if s.array in before:
                continue
            if all(p is s or not isinstance(p, Store) or p.array != s.array for p in walk_stmts((loop,))):
                inside = required.get(s.array, frozenset()).intersection(walk_stmts((loop,)))
                return self.extents.same_element(s, inside, self.loops[-1][0])
        return False

    def renewed(self, s: Stmt, required: Required) -> Required:
        """What is required after a statement that overwrites arrays from end to end.

        Their old contents, which it saved, are not what they hold any more.
        """
        out = dict(required)
        for name in self.extents.overwritten(s) & required.keys():
            if self.aliases.after[s].sharing(name) == {name}:
                out[name] = required[name].intersection(walk_stmts((s,)))
                if not out[name]:
                    del out[name]
        return out

    def moved(self, s: Assign) -> str | None:
        """The name whose array an assignment takes over: it is not used any more."""
        if s.target not in self.aliases.shared or not isinstance(s.value, Var):
            return None
        name = s.value.name
        return None if name in self.live.after[s] else name

    def store(self, s: Store, required: Required) -> Required:
        state = self.aliases.before[s]
        found = [required[name] for name in state.sharing(s.array) if name in required]
        if found and not self.first_time(s, required):
            self.save(s, {s.array: frozenset().union(*found)})
            # The old contents are put back where they were.
            required = _needed(required, self.shared(names(s.index), state), s)
        return required

    def passive(self, s: Stmt, required: Required) -> Required:
        """A statement without adjoint work: one assignment to all that it may assign."""
        old = _named(required, assigned((s,)) - self.aliases.shared)
        self.save(s, old)
        return _without(required, old)

    def run_again(self, s: For | While, required: Required) -> Required:
        """What is required after a loop whose trips are run again from snapshots.

        A trip is reversed as soon as it has recorded, so what it requires is there, and nothing is lost at its end.
        """
        state = self.aliases.before[s]
        changed = assigned((s,)) | changed_arrays(s, self.aliases)
        old = _named(required, assigned((s,)) - self.aliases.shared)
        self.save(s, old)
        given = assigned_names(s)
        kept = {
            r: needs
            for r, needs in _named(required, changed & self.aliases.shared).items()
            if r in changed or _name(r) in given  # to write to an array leaves its shape alone
        }
        self.saves.around[s] = _union(self.saves.around.get(s, {}), kept)
        live = self.live.before[s] | self.live.before[s.body[0]]
        self.saves.wanted[s] = self.saves.wanted.get(s, set()) | live | {_name(r) for r in required}
        outside = self.loops, self.split, self.recompute.rest
        self.loops, self.split = [], False
        inside: Required = {}
        for k, part in enumerate(s.body):
            self.recompute.rest = s.body[k:]
            inside = self.renewed(part, self.stmt(part, inside, False))
        self.loops, self.split, self.recompute.rest = outside
        inside = {r: needs for r, needs in inside.items() if _name(r) not in changed}
        reads = {r for r in read_again(s) if _name(r) not in changed}
        if isinstance(s, For):
            reads |= names(s.start, s.stop, s.step)
        out = _union(_without(_without(required, old), kept), inside)
        return _needed(out, self.shared(reads, state), s)

    def loop(self, s: For | While, body: Block, required: Required, own: set[str]) -> Required:
        live = self.live.next_trip(s)
        head = required
        self.loops.append((s, required))
        while True:
            more = _union(head, _without(self.block(body, head, (s, "body"), True, live), own))
            if more == head:
                self.loops.pop()
                return head
            head = more


def _counts(s: Assign, kinds: Mapping[str, Kind]) -> bool:
    """Whether an assignment adds a fixed whole number to a whole number."""
    match s.value:
        case Binary("+" | "-", Var(name), Const(int())):
            return name == s.target and kinds[name] is Kind.INT
    return False


def _needed(required: Required, names: Iterable[str], by: Stmt) -> Required:
    return _union(required, dict.fromkeys(names, frozenset({by})))


def _union(a: Required, b: Required) -> Required:
    return {**a, **{name: needs | a[name] if name in a else needs for name, needs in b.items()}}


def _without(required: Required, names: Iterable[str]) -> Required:
    left_out = set(names)
    return {r: needs for r, needs in required.items() if r not in left_out}


def _named(required: Required, variables: set[str]) -> Required:
    """What is required of some variables: their values, or their shapes."""
    return {r: needs for r, needs in required.items() if _name(r) in variables}


def _name(required: str) -> str:
    return required.removesuffix(".shape")


def _renamed(required: str, new: dict[str, str]) -> str:
    name = _name(required)
    return new.get(name, name) + required[len(name) :]


def _targets(block: Block) -> list[str]:
    found = []
    for s in walk_stmts(block):
        if isinstance(s, Assign):
            found.append(s.target)
        elif isinstance(s, For):
            found.append(s.var)
        elif isinstance(s, Rebind):
            found += s.targets
    return found
