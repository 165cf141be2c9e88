"""Assignments that numbers can do without: of what is a number at once, and of what nobody reads."""

from collections import Counter
from collections.abc import Set
from dataclasses import replace

from ad.flow import Liveness
from ad.ir import (
    Assign,
    Block,
    Break,
    Const,
    For,
    If,
    Stmt,
    Var,
    While,
    assigned,
    expressions,
    names,
    walk_stmts,
)

__all__ = ["without_copies"]


def without_copies(body: Block, made: Set[str], result: str) -> Block:
    """The body without needless assignments of the numbers `made`."""
    body = _live(body, made, result)
    body = _Joining(body, made).block(body)
    return _live(body, made, result)


class _Joining:
    """A number that is only computed to be given another name gets that name at once."""

    def __init__(self, body: Block, made: Set[str]) -> None:
        self.made = made
        self.reads: Counter[str] = Counter()
        self.definitions: Counter[str] = Counter()
        for s in walk_stmts(body):
            for e in expressions(s):
                self.reads.update(names(e))
            if isinstance(s, Assign):
                self.definitions[s.target] += 1

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            match s:
                case Assign(target, Var(name)) if self.is_once(name):
                    found = self.found(name, target, out)
                    if found is not None:
                        out[out.index(found)] = replace(found, target=target)
                        continue
                case If(_, then, orelse):
                    s = replace(s, then=self.block(then), orelse=self.block(orelse))
                case For(body=body) | While(body=body):
                    s = replace(s, body=self.block(body))
            out.append(s)
        return tuple(out)

    def is_once(self, name: str) -> bool:
        return name in self.made and self.reads[name] == self.definitions[name] == 1

    def found(self, name: str, target: str, before: list[Stmt]) -> Assign | None:
        """What computes a number, if the other name stands for nothing that is needed from there on."""
        for s in reversed(before):
            if isinstance(s, Assign) and s.target == name:
                return s
            inner = tuple(walk_stmts((s,)))
            used = {n for p in inner for n in names(*expressions(p))}
            if target in used | assigned((s,)) or any(isinstance(p, Break) for p in inner):
                return None
        return None


def _live(body: Block, made: Set[str], result: str) -> Block:
    """The body without what is given a number that nobody reads."""
    while dead := _dead(body, made, result):
        body = _without(body, dead)
    return body


def _dead(body: Block, made: Set[str], result: str) -> set[Stmt]:
    live = Liveness(body, {result})
    return {
        s
        for s in walk_stmts(body)
        if isinstance(s, Assign)
        and s.target in made
        and isinstance(s.value, Const | Var)
        and s.target not in live.after[s]
    }


def _without(block: Block, dead: set[Stmt]) -> Block:
    out: list[Stmt] = []
    for s in block:
        match s:
            case If(_, then, orelse):
                s = replace(s, then=_without(then, dead), orelse=_without(orelse, dead))
            case For(body=body) | While(body=body):
                s = replace(s, body=_without(body, dead))
        if s not in dead:
            out.append(s)
    return tuple(out)
