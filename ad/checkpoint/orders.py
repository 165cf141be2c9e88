"""Schedules for a compiled loop, which has all snapshots on one stack: what it stores when, as whole numbers.

Such a loop takes the newest snapshot for each step that it reverses, and runs steps from there up to that one.  So all
that it has to know is before which steps to store, in the forward sweep and on the way to each step that is reversed.
A snapshot that is taken and has to stay is stored again at once, as the first one of its way.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Never

import numpy as np
import numpy.typing as npt

from ad.checkpoint.actions import Action, Advance, Discard, End, Level, Restore, Reverse, Store
from ad.checkpoint.simulate import Simulation
from ad.errors import ADValueError

__all__ = ["NONE", "stack_orders"]

NONE = -1
"""Stands where no more steps are to be stored."""


class _Used(NamedTuple):
    """An action that is needed, its number in the schedule, and whether a snapshot is restored once more."""

    number: int
    action: Action
    again: bool = False


def stack_orders(actions: Iterable[Action], n: int, ram: int | None, disk: int | None) -> npt.NDArray[np.int64]:
    """The steps to store, by a schedule for n steps with so many snapshots in memory and on disk (None: any number).

    Those of the forward sweep come first, then those on the way to step n - 1, to n - 2, and so on; each of these lists
    ends with `NONE`.  Where a snapshot lies makes no difference, nor does what is stored and never used.

    Raises ADValueError for a schedule that cannot be carried out, or not on a stack.
    """
    found: list[int] = []
    stack: list[int] = []
    copies: list[set[Level]] = []
    """Where the schedule has each of them."""
    ready = False  # whether a step is to be reversed next, and nothing was done for that yet
    for number, action, again in _used(list(Simulation(n, ram, disk).checked(actions))):
        match action:
            case Store(step, level):
                if not stack or stack[-1] != step:
                    stack.append(step)
                    copies.append(set())
                    found.append(step)
                copies[-1].add(level)
            case Restore(step, level):
                if not ready:
                    _refuse(number, action, "one goes back only to reverse a step, and once for each")
                if stack[-1] != step:
                    _refuse(number, action, f"the snapshot of step {stack[-1]} is newer, and needed later")
                ready = False
                if not again:
                    copies[-1].remove(level)
                if copies[-1]:
                    found.append(step)
                else:
                    stack.pop()
                    copies.pop()
            case End() | Reverse():
                found.append(NONE)
                ready = True
    return np.array(found, np.int64)


def _used(actions: list[Action]) -> Iterator[_Used]:
    """The actions without those that nothing comes of, and without `Discard`: places are free after their last use."""
    found: list[_Used] = []
    later: set[tuple[int, Level]] = set()
    needed = False  # whether anything comes of the working state
    for number in range(len(actions), 0, -1):
        action = actions[number - 1]
        match action:
            case Restore(step, level):
                if not needed:
                    continue
                found.append(_Used(number, action, (step, level) in later))
                later.add((step, level))
                needed = False
                continue
            case Store(step, level):
                if (step, level) not in later:
                    continue
                later.remove((step, level))
            case Discard() | Advance():
                continue
        needed = True
        found.append(_Used(number, action))
    return reversed(found)


def _refuse(number: int, action: Action, why: str) -> Never:
    raise ADValueError(
        f"the schedule is none for a compiled loop, whose snapshots are a stack: action {number} is {action}, but {why}"
    )
