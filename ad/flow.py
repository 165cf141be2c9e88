"""Two classical analyses of a function: which variables are surely assigned, and which are still read later."""

from collections.abc import Iterable

from ad.function import Function
from ad.ir import (
    AddTo,
    Assign,
    Block,
    Const,
    Expr,
    For,
    If,
    MultiAssign,
    Return,
    Stmt,
    Var,
    While,
    names,
    walk,
)

__all__ = ["Liveness", "check_assigned", "never_empty"]


def never_empty(loop: For) -> bool:
    """Whether a loop surely runs at least once."""
    bounds = (loop.start, loop.stop, loop.step)
    if not all(isinstance(b, Const) for b in bounds):
        return False
    return len(range(*(int(b.value) for b in bounds if isinstance(b, Const)))) > 0


def check_assigned(f: Function) -> None:
    """Raise UnsupportedSyntax for a variable that is read where it may have no value yet."""
    _Assigned(f).run()


class _Assigned:
    def __init__(self, f: Function) -> None:
        self.f = f

    def run(self) -> None:
        known = self.block(self.f.body, set(self.f.params))
        if self.f.result not in known:
            self.f.source.refuse(
                f"{self.f.result} may have no value when the function returns it: {_CURE}", self.f.result_place
            )

    def block(self, block: Block, known: set[str]) -> set[str]:
        for s in block:
            known = self.stmt(s, known)
        return known

    def read(self, exprs: Iterable[Expr], known: set[str]) -> None:
        for e in exprs:
            for part in walk(e):
                if isinstance(part, Var) and part.name not in known:
                    self.f.source.refuse(f"{part.name} may have no value here: {_CURE}", part.at or e.at)

    def stmt(self, s: Stmt, known: set[str]) -> set[str]:
        match s:
            case Assign(target, value):
                self.read([value], known)
                return known | {target}
            case For(var, start, stop, step, body):
                self.read([start, stop, step], known)
                after = self.block(body, known | {var})
                return after if never_empty(s) else known
            case While(cond, body):
                self.read([cond], known)
                self.block(body, known)
                return known
            case If(cond, then, orelse):
                self.read([cond], known)
                return self.block(then, known) & self.block(orelse, known)
        raise AssertionError(s)


_CURE = "give it one before the loop or in the other branch"


class Liveness:
    """For every statement of a block, nested ones included, the variables that may still be read.

    `after` and `before` map a statement to those read from there on; `live` are those read after the block.
    """

    def __init__(self, block: Block, live: set[str]) -> None:
        self.after: dict[Stmt, set[str]] = {}
        self.before: dict[Stmt, set[str]] = {}
        self.block(block, live)

    def next_trip(self, s: For | While) -> set[str]:
        """The variables that another trip through a loop may read."""
        again = set(names(s.cond)) if isinstance(s, While) else set()
        return again | (self.before[s.body[0]] - {s.var} if isinstance(s, For) else self.before[s.body[0]])

    def block(self, block: Block, live: set[str]) -> set[str]:
        for s in reversed(block):
            self.after[s] = self.after.get(s, set()) | live
            live = self.stmt(s, live)
            self.before[s] = self.before.get(s, set()) | live
        return live

    def stmt(self, s: Stmt, live: set[str]) -> set[str]:
        """The variables that may be read from before the statement on."""
        match s:
            case Assign(target, value):
                return (live - {target}) | names(value)
            case MultiAssign(targets, value):
                return (live - set(targets)) | names(value)
            case AddTo(target, value):
                return live | names(target, value)
            case For(var, start, stop, step, body):
                head = set(live)
                while True:
                    trip = self.block(body, head) - {var}
                    if trip <= head:
                        # A loop that surely runs is not passed by; check_assigned counts on that too.
                        return (trip if never_empty(s) else head) | names(start, stop, step)
                    head |= trip
            case While(cond, body):
                head = live | names(cond)
                while True:
                    more = head | self.block(body, head)
                    if more == head:
                        return head
                    head = more
            case If(cond, then, orelse):
                return self.block(then, live) | self.block(orelse, live) | names(cond)
            case Return(values):
                return live | names(*values)
        return live
