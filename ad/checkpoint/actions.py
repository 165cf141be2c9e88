"""What a checkpointing schedule is made of: actions, as data.

A sweep has one working state.  `Advance` moves it forward, `Store` copies it to where snapshots lie and `Restore`
brings it back; `End` says that it is the final state, whose adjoint the reverse sweep begins with; `Reverse` uses it up
for the adjoint of the step that begins there.  State k is the state before step k, so that a sweep of n steps has
states 0 to n.
"""

from enum import Enum
from typing import NamedTuple, TypeAlias

__all__ = ["Action", "Advance", "Discard", "End", "Level", "Restore", "Reverse", "Store"]


class Level(Enum):
    """Where a snapshot lies."""

    WORK = "work"
    """Beside the working state: one copy, which lives only until the first step is reversed."""
    RAM = "RAM"
    DISK = "disk"
    """A stack: what is restored or discarded is the newest there."""

    __hash__ = object.__hash__  # that of Enum is a function of Python's, and these are the keys of every action


class Advance(NamedTuple):
    """Take the steps start to stop - 1: the working state is `start` before and `stop` afterwards."""

    start: int
    stop: int


class Store(NamedTuple):
    """Copy the working state, which is `step`, to a level."""

    step: int
    level: Level


class Restore(NamedTuple):
    """Make the snapshot `step` the working state; unless `keep`, its place is free afterwards."""

    step: int
    level: Level
    keep: bool


class Discard(NamedTuple):
    """Free the place of a snapshot."""

    step: int
    level: Level


class End(NamedTuple):
    """The working state, which is `step`, is the final one: its adjoint begins the reverse sweep."""

    step: int


class Reverse(NamedTuple):
    """Take the adjoint over `step`, from the working state, which is `step` and is used up."""

    step: int


Action: TypeAlias = Advance | Store | Restore | Discard | End | Reverse
