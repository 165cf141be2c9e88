"""Loops that are left early, in the forward sweep: only after what a trip records at its end."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ad.ir import Assign, Block, Break, Const, If, Stmt

__all__ = ["ends_with_breaks", "flag_breaks"]


def ends_with_breaks(block: Sequence[Stmt]) -> bool:
    """Whether nothing comes after any break."""
    for i, s in enumerate(block):
        inner = [s.then, s.orelse] if isinstance(s, If) else []
        breaks = isinstance(s, Break) or any(isinstance(x, Break) for part in inner for x in _own(part))
        if breaks and i < len(block) - 1:
            return False
        if not all(ends_with_breaks(part) for part in inner):
            return False
    return True


def _own(block: Block) -> Iterator[Stmt]:
    """The statements of a block that belong to the same loop."""
    for s in block:
        yield s
        if isinstance(s, If):
            yield from _own((*s.then, *s.orelse))


def flag_breaks(block: Block, stop: str) -> Block:
    """A block with its breaks replaced by a flag."""
    out: list[Stmt] = []
    for s in block:
        match s:
            case Break():
                out.append(Assign(stop, Const(True), line=s.line))
            case If(_, then, orelse):
                out.append(replace(s, then=flag_breaks(then, stop), orelse=flag_breaks(orelse, stop)))
            case _:
                out.append(s)
    return tuple(out)
