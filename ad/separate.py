"""Tell arrays apart before anything is derived: what shares a name for no reason, what a branch decides, what is an
argument that must not change."""

from dataclasses import replace

import numpy as np

from ad.alias import shared_arrays, viewed
from ad.ir import (
    Assign,
    Block,
    Call,
    Expr,
    For,
    If,
    Kind,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    assigned,
    expressions,
    map_expressions,
    names,
    walk_stmts,
)
from ad.names import Namer
from ad.primitive import primitive
from ad.references import without_carried_references
from ad.reshapes import check_reshapes
from ad.source import Source
from ad.webs import rename_arrays, rename_webs

__all__ = ["separated"]

_MOST = 4
"""How often the rest of a block may be doubled."""


def separated(
    body: Block,
    kinds: dict[str, Kind],
    params: tuple[str, ...],
    result: str,
    namer: Namer,
    source: Source,
    called: dict[str, str],
) -> tuple[Block, tuple[str, ...]]:
    """The body with arrays that only share a name renamed apart, and the parameters that it works on copies of.

    `kinds` and `called` get what new names hold, and what the user calls them.
    """
    shared = shared_arrays(body, kinds)
    body = _without_swaps(body, kinds, set(shared), namer)
    if not shared:
        return body, ()
    body = _renamed(body, kinds, set(shared), params, result, namer, called)
    shared = shared_arrays(body, kinds)
    body = without_carried_references(body, kinds, shared, params, result, namer)
    shared = shared_arrays(body, kinds)
    body = _Branches(kinds, set(shared)).block(body, 0)
    body = _renamed(body, kinds, set(shared), params, result, namer, called)
    shared = shared_arrays(body, kinds)
    body = _without_swaps(body, kinds, set(shared), namer)  # of a name that is written to only as another array
    body = _without_overlap(body, kinds, shared)
    copied = tuple(p for p in params if p in shared)
    checks, body = check_reshapes(body, kinds, shared, copied, source)
    copies: list[Stmt] = []
    new: dict[str, str] = {}
    for p in copied:
        new[p] = namer.fresh(p)
        kinds[new[p]] = kinds[p]
        called[new[p]] = called.get(p, p)
        value: Expr = Call(primitive(np.copy), (Var(p),))
        copies.append(Assign(new[p], value, line=source.tree.lineno))
    return (*copies, *checks, *rename_arrays(body, new)), copied


def _renamed(
    body: Block,
    kinds: dict[str, Kind],
    shared: set[str],
    params: tuple[str, ...],
    result: str,
    namer: Namer,
    called: dict[str, str],
) -> Block:
    """The body with the webs of shared arrays renamed apart."""
    body, origin = rename_webs(body, shared, params, namer, result)
    for name, old in origin.items():
        kinds[name] = kinds[old]
        called[name] = called.get(old, old)
    return body


def _without_swaps(block: Block, kinds: dict[str, Kind], shared: set[str], namer: Namer) -> Block:
    """``u, v = v, u`` of arrays that nobody writes to is one assignment after another, as for numbers.

    So is what is no exchange any more since its names were told apart: ``u, v = w, u``.
    """
    out: list[Stmt] = []
    for s in block:
        match s:
            case Rebind(targets, sources) if {*targets} != {*sources} and shared.issuperset(targets):
                pending = dict(zip(targets, sources, strict=True))
                while free := [target for target in pending if target not in pending.values()]:
                    out += [Assign(t, Var(pending.pop(t)), line=s.line, source=s.source) for t in free]
                if pending:
                    out.append(replace(s, targets=tuple(pending), sources=tuple(pending.values())))
                continue
            case Rebind(targets, sources) if not shared.intersection(targets):
                at = {"line": s.line, "source": s.source}
                old = {name: namer.fresh(f"{name}_old") for name in sources}
                kinds |= {old[name]: kinds[name] for name in sources}
                out += [Assign(old[name], Var(name), **at) for name in sources]
                out += [Assign(t, Var(old[name]), **at) for t, name in zip(targets, sources, strict=True)]
                continue
            case If(_, then, orelse):
                then, orelse = (_without_swaps(part, kinds, shared, namer) for part in (then, orelse))
                s = replace(s, then=then, orelse=orelse)
            case For(body=body) | While(body=body):
                s = replace(s, body=_without_swaps(body, kinds, shared, namer))
        out.append(s)
    return tuple(out)


def _without_overlap(block: Block, kinds: dict[str, Kind], shared: dict[str, frozenset[str]]) -> Block:
    """``u[1:] += u[:-1]`` adds a copy: NumPy sees that the two overlap, Numba does not."""
    out: list[Stmt] = []
    for s in block:
        match s:
            case Store(array, _, value, op) if op and viewed(value, kinds) in shared[array]:
                s = replace(s, value=Call(primitive(np.copy), (value,)))
            case If(_, then, orelse):
                then, orelse = (_without_overlap(part, kinds, shared) for part in (then, orelse))
                s = replace(s, then=then, orelse=orelse)
            case For(body=body) | While(body=body):
                s = replace(s, body=_without_overlap(body, kinds, shared))
        out.append(s)
    return tuple(out)


class _Branches:
    """Where a branch decides which array a name stands for, what follows is put into both sides.

    So a name stands for one array at every place, which the reverse sweep needs to know.
    """

    def __init__(self, kinds: dict[str, Kind], shared: set[str]) -> None:
        self.kinds = kinds
        self.shared = shared

    def block(self, block: Block, doubled: int) -> Block:
        out: list[Stmt] = []
        for i, s in enumerate(block):
            rest = block[i + 1 :]
            if isinstance(s, If) and rest and doubled < _MOST and self.decides(s, rest):
                then = self.block((*s.then, *rest), doubled + 1)
                orelse = self.block((*s.orelse, *copied_block(rest)), doubled + 1)
                out.append(replace(s, then=then, orelse=orelse))
                return tuple(out)
            out.append(self.inner(s, doubled))
        return tuple(out)

    def inner(self, s: Stmt, doubled: int) -> Stmt:
        match s:
            case If(_, then, orelse):
                return replace(s, then=self.block(then, doubled), orelse=self.block(orelse, doubled))
            case For(body=body) | While(body=body):
                return replace(s, body=self.block(body, doubled))
        return s

    def decides(self, s: If, rest: Block) -> bool:
        """Whether a name stands for another array after one side of an if than after the other, and is used."""
        used = assigned(rest) | {n for r in walk_stmts(rest) for n in names(*expressions(r))}
        return any(
            isinstance(part, Assign)
            and part.target in self.shared
            and part.target in used
            and viewed(part.value, self.kinds) is not None
            for part in (*s.then, *s.orelse)
        )


def copied_block(block: Block) -> Block:
    """The same statements as objects of their own."""
    out: list[Stmt] = []
    for s in block:
        new = map_expressions(s, lambda e: e)
        match new:
            case If(_, then, orelse):
                new = replace(new, then=copied_block(then), orelse=copied_block(orelse))
            case For(body=body) | While(body=body):
                new = replace(new, body=copied_block(body))
        out.append(new)
    return tuple(out)
