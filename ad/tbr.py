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
from collections.abc import Iterable
from dataclasses import dataclass, field

from ad.alias import Part, State, viewed
from ad.flow import Liveness
from ad.ir import Assign, Block, For, If, Rebind, Stmt, Store, Var, While, assigned, names, shape_of, walk_stmts
from ad.lower import Lowered

__all__ = ["Saves", "find_saves"]


@dataclass
class Saves:
    """The variables saved before statements and at the ends of blocks; `at_exit` are those required at the end."""

    before: dict[Stmt, set[str]] = field(default_factory=dict)
    at_end: dict[Part, set[str]] = field(default_factory=dict)
    at_exit: set[str] = field(default_factory=set)


def find_saves(lowered: Lowered, split: bool) -> Saves:
    """What to save.  `split` says that the two sweeps are separate functions, so that locals are lost between them."""
    analysis = _Tbr(lowered, split)
    required = analysis.block(lowered.function.body, set(), (None, "body"), False, set())
    changing = assigned(lowered.function.body)
    analysis.saves.at_exit = {v for v in required if _name(v) in changing}
    return analysis.saves


class _Tbr:
    def __init__(self, lowered: Lowered, split: bool) -> None:
        self.lowered = lowered
        self.split = split
        self.saves = Saves()
        self.aliases = lowered.aliases
        body = lowered.function.body
        self.live = Liveness(body, {lowered.function.result})
        self.assignments = Counter(_targets(body))
        self.views = {
            s.target
            for s in walk_stmts(body)
            if isinstance(s, Assign)
            and s.target in self.aliases.shared
            and self.assignments[s.target] == 1
            and viewed(s.value, lowered.function.kinds) is not None
            and self.moved(s) is None
        }

    def save(self, s: Stmt, variables: set[str]) -> None:
        if variables:
            self.saves.before.setdefault(s, set()).update(variables)

    def block(self, block: Block, required: set[str], part: Part, in_loop: bool, live: set[str]) -> set[str]:
        """What is required after a block; what dies at its end is saved there."""
        for s in block:
            required = self.stmt(s, required, in_loop)
        if part[0] is None:
            return required
        own = Counter(_targets(block))
        dying = {
            v
            for v in own
            if v not in live and v not in self.views and (in_loop or self.split or self.assignments[v] > own[v])
        }
        found = {r for r in required if _name(r) in dying}
        if found:
            self.saves.at_end.setdefault(part, set()).update(found)
        return required - found

    def stmt(self, s: Stmt, required: set[str], in_loop: bool) -> set[str]:
        """What is required after a statement."""
        plan = self.lowered.plans.get(s)
        if plan is not None:
            required = required | self.shared(plan.needs, self.aliases.before[s])
        if isinstance(s, Assign):
            moved = self.moved(s)
            old = required & {s.target, shape_of(s.target)}
            if s.target not in self.views:
                self.save(s, old)
            required = required - old
            if plan is not None and plan.uses_result:
                required = required | {s.target}
            if moved is not None:
                # The contents live on under the new name.
                for old_name, new_name in ((moved, s.target), (shape_of(moved), shape_of(s.target))):
                    if old_name in required:
                        required = (required - {old_name}) | {new_name}
            elif s.target in self.aliases.shared and isinstance(s.value, Var) and s.value.name in required:
                required = required | {s.target}
            return required
        if isinstance(s, Store):
            return self.store(s, required)
        if isinstance(s, Rebind):
            new = dict(zip(s.sources, s.targets, strict=True))
            return {_renamed(r, new) for r in required}
        if not self.lowered.activity.has_work(s):
            return self.passive(s, required)
        match s:
            case For(var, start, stop, step, body, trips):
                required = required | self.shared(names(start, stop, step), self.aliases.before[s])
                self.save(s, required & {var})
                out = self.loop(s, body, required - {var}, {var})
                return out | {trips} if trips else out
            case While(_, body, trips):
                out = self.loop(s, body, required, set())
                return out | {trips} if trips else out
            case If(cond, then, orelse):
                required = required | names(cond)
                after = self.live.after[s]
                return self.block(then, required, (s, "then"), in_loop, after) | self.block(
                    orelse, required, (s, "orelse"), in_loop, after
                )
        return required

    def shared(self, needs: Iterable[str], state: State) -> set[str]:
        """What is needed, under all names that it may go by."""
        found: set[str] = set()
        for name in needs:
            found |= state.sharing(name) if name in self.aliases.shared else {name}
        return found

    def moved(self, s: Assign) -> str | None:
        """The name whose array an assignment takes over: it is not used any more."""
        if s.target not in self.aliases.shared or not isinstance(s.value, Var):
            return None
        name = s.value.name
        return None if name in self.live.after[s] else name

    def store(self, s: Store, required: set[str]) -> set[str]:
        state = self.aliases.before[s]
        if required & state.sharing(s.array):
            self.save(s, {s.array})
            required = required | self.shared(names(s.index), state)  # to put the old contents back where they were
        return required

    def passive(self, s: Stmt, required: set[str]) -> set[str]:
        """A statement without adjoint work: one assignment to all that it may assign."""
        scalars = assigned((s,)) - self.aliases.shared
        old = {r for r in required if _name(r) in scalars}
        self.save(s, old)
        return required - old

    def loop(self, s: For | While, body: Block, required: set[str], own: set[str]) -> set[str]:
        live = self.live.next_trip(s)
        head = required
        while True:
            more = head | (self.block(body, head, (s, "body"), True, live) - own)
            if more == head:
                return head
            head = more


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
