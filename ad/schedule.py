"""When to save and restore within one block: pushes that stand close together become one.

A save of a variable has a first place to push it (before it is overwritten) and a last place to pop it (before an
adjoint reads the old value).  Pushing may move up as long as the variable does not change there, popping may move
towards the end of the block as long as no adjoint there needs the newer value.  Pushes and pops nest like brackets, so
neither moves across a statement that uses the tape itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ad.ir import Stmt
from ad.records import Record
from ad.unit import Effects

__all__ = ["Group", "Item", "Saved", "Step", "merge", "weave"]


@dataclass(frozen=True)
class Item:
    """One save.  Gap g of a block lies before its statement g; the last one is at its end."""

    name: str
    push: int
    pop: int
    alone: bool = False  # an array
    record: Record | None = None


@dataclass(frozen=True)
class Step:
    """What moving across a statement has to respect: its own effects, those of its adjoint, and use of the tape."""

    forward: Effects
    reverse: Effects
    uses_tape: bool


@dataclass(frozen=True)
class Group:
    """Saves that are pushed and popped as one."""

    names: tuple[str, ...]
    push: int
    pop: int
    records: tuple[Record | None, ...] = ()


def merge(items: Sequence[Item], steps: Sequence[Step]) -> list[Group]:
    """Group saves, given in the order of their pushes.  Pop the groups in the opposite order."""
    groups: list[list[Item]] = []
    for item in items:
        if groups and _fits([*groups[-1], item], steps):
            groups[-1].append(item)
        else:
            groups.append([item])
    return [
        Group(tuple(i.name for i in g), g[0].push, max(i.pop for i in g), tuple(i.record for i in g)) for g in groups
    ]


def _fits(group: list[Item], steps: Sequence[Step]) -> bool:
    if any(item.alone for item in group):
        return False
    push, pop = group[0].push, max(i.pop for i in group)
    if len({i.name for i in group}) < len(group) or any(s.uses_tape for s in steps[push:pop]):
        return False
    for item in group:
        if any(item.name in s.forward.writes for s in steps[push : item.push]):
            return False
        if any(item.name in s.reverse.reads | s.reverse.writes for s in steps[item.pop : pop]):
            return False
    return True


@dataclass(frozen=True)
class Saved:
    """The statements that save something in the forward sweep, and those that restore it, with their gaps."""

    push: int
    pop: int
    keep: list[Stmt]
    restore: list[Stmt]


def weave(
    pieces: Sequence[tuple[list[Stmt], list[Stmt]]], saved: Sequence[Saved], at_end: Sequence[Stmt] = ()
) -> tuple[list[Stmt], list[Stmt]]:
    """Both sweeps of a block: those of its statements, with the saves in their gaps.

    `at_end` comes after what is restored at the end of the block, where its reverse sweep begins.
    """
    forward: list[Stmt] = []
    reverse: list[Stmt] = []
    for gap in range(len(pieces) + 1):
        forward += [s for save in saved if save.push == gap for s in save.keep]
        if gap < len(pieces):
            forward += pieces[gap][0]
    for gap in range(len(pieces), -1, -1):
        reverse += [s for save in reversed(saved) if save.pop == gap for s in save.restore]
        if gap == len(pieces):
            reverse += at_end
        if gap > 0:
            reverse += pieces[gap - 1][1]
    return forward, reverse
