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

__all__ = ["check_assigned", "live_after", "never_empty"]


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
            self.f.source.refuse(f"{self.f.result} may have no value when the function returns it: {_CURE}", None)

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


def live_after(block: Block, live: set[str]) -> dict[Stmt, set[str]]:
    """For every statement of a block, nested ones included, the variables that may be read after it.

    `live` are those read after the block.
    """
    analysis = _Live()
    analysis.block(block, live)
    return analysis.after


class _Live:
    def __init__(self) -> None:
        self.after: dict[Stmt, set[str]] = {}

    def block(self, block: Block, live: set[str]) -> set[str]:
        for s in reversed(block):
            self.after[s] = self.after.get(s, set()) | live
            live = self.stmt(s, live)
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
                    more = head | (self.block(body, head) - {var})
                    if more == head:
                        return head | names(start, stop, step)
                    head = more
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
