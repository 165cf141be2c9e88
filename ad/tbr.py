"""To-be-recorded analysis: which values must be saved so that the reverse sweep finds them.

A value is *required* where an adjoint of an earlier statement (in execution) reads it.  A required value is saved

* before a statement that overwrites its variable, or
* at the end of the loop body or branch that computed it, where the next trip does not read the variable any more but
  would overwrite it (before the first trip there was nothing to save).

What is never overwritten is read directly.  A compound statement without adjoint work is one assignment to all that it
may assign.  The sets grow monotonically, so the fixpoint over loops saves too much rather than too little.

A variable that is not surely assigned at the start of a block is not live there (flow.py refuses to read it), hence
saved at the end of the block that assigned it: nothing without a value is ever saved.
"""

from collections import Counter
from dataclasses import dataclass, field

from ad.flow import Liveness
from ad.ir import Assign, Block, For, If, Stmt, While, assigned, names, walk_stmts
from ad.lower import Lowered

__all__ = ["Part", "Saves", "find_saves"]

Part = tuple[Stmt | None, str]
"""A block, named by its statement and field; ``(None, "body")`` is the function's."""


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
    analysis.saves.at_exit = {v for v in required if v in changing}
    return analysis.saves


class _Tbr:
    def __init__(self, lowered: Lowered, split: bool) -> None:
        self.lowered = lowered
        self.split = split
        self.saves = Saves()
        body = lowered.function.body
        self.live = Liveness(body, {lowered.function.result})
        self.assignments = Counter(_targets(body))

    def save(self, s: Stmt, variables: set[str]) -> None:
        if variables:
            self.saves.before.setdefault(s, set()).update(variables)

    def block(self, block: Block, required: set[str], part: Part, in_loop: bool, live: set[str]) -> set[str]:
        """The variables required after a block; those that die at its end are saved there."""
        for s in block:
            required = self.stmt(s, required, in_loop)
        if part[0] is None:
            return required
        own = Counter(_targets(block))
        dying = {
            v
            for v in required & own.keys()
            if v not in live and (in_loop or self.split or self.assignments[v] > own[v])
        }
        if dying:
            self.saves.at_end.setdefault(part, set()).update(dying)
        return required - dying

    def stmt(self, s: Stmt, required: set[str], in_loop: bool) -> set[str]:
        """The variables required after a statement."""
        if isinstance(s, Assign):
            plan = self.lowered.plans.get(s)
            if plan is not None:
                required = required | plan.needs
            self.save(s, required & {s.target})
            required = required - {s.target}
            return required | {s.target} if plan is not None and plan.uses_result else required
        if not self.lowered.activity.has_adjoint(s):
            overwritten = assigned((s,))
            self.save(s, required & overwritten)
            return required - overwritten
        match s:
            case For(var, start, stop, step, body):
                required = required | names(start, stop, step)
                self.save(s, required & {var})
                return self.loop(s, body, required - {var}, {var})
            case While(_, body, trips):
                out = self.loop(s, body, required, set())
                return out | {trips} if trips else out
            case If(cond, then, orelse):
                required = required | names(cond)
                after = self.live.after[s]
                return self.block(then, required, (s, "then"), in_loop, after) | self.block(
                    orelse, required, (s, "orelse"), in_loop, after
                )
        raise AssertionError(s)

    def loop(self, s: For | While, body: Block, required: set[str], own: set[str]) -> set[str]:
        live = self.live.next_trip(s)
        head = required
        while True:
            more = head | (self.block(body, head, (s, "body"), True, live) - own)
            if more == head:
                return head
            head = more


def _targets(block: Block) -> list[str]:
    found = []
    for s in walk_stmts(block):
        if isinstance(s, Assign):
            found.append(s.target)
        elif isinstance(s, For):
            found.append(s.var)
    return found
