"""Schedules without a program: whether one does what it should within its storage, and what it costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ad.checkpoint.actions import Action, Advance, Discard, End, Level, Restore, Reverse, Store
from ad.checkpoint.binomial import Base
from ad.errors import ADValueError

__all__ = ["Counts", "Simulation", "validate"]


def _none() -> dict[Level, int]:
    return dict.fromkeys(Level, 0)


@dataclass
class Counts:
    """What a schedule does, or a sweep did."""

    forward: int = 0
    """Steps forward, recomputed ones included."""
    reverse: int = 0
    """Steps of the adjoint."""
    stored: dict[Level, int] = field(default_factory=_none)
    """Snapshots written, by level."""
    restored: dict[Level, int] = field(default_factory=_none)
    """Snapshots read, by level."""
    most: dict[Level, int] = field(default_factory=_none)
    """Most snapshots at a time, by level."""

    def __str__(self) -> str:
        """For a reader: the steps, and the snapshots of each level that was used."""
        parts = [f"{self.forward} steps forward, {self.reverse} reverse"]
        for level in (Level.RAM, Level.DISK):
            if self.stored[level] or self.restored[level]:
                parts.append(
                    f"{level.value}: {self.stored[level]} snapshots stored, {self.restored[level]} restored, "
                    f"at most {self.most[level]} at a time"
                )
        return "; ".join(parts)


class Simulation:
    """A sweep of n steps (None: as many as there are before `End`) of which only the numbers of states are kept.

    `apply` takes one action after another and raises ADValueError at the first that cannot be carried out: it uses a
    state that is not there, or a place that is not free.
    """

    def __init__(
        self, n: int | None, ram: int | None, disk: int | None, bases: Sequence[Base] = (), todo: int | None = None
    ) -> None:
        self.n = n
        self.at: int | None = None if bases else 0
        """The working state, if there is one."""
        self.todo = todo
        """Steps that remain to be reversed, once the final state was reached."""
        self.counts = Counts()
        self.held: Mapping[Level, list[int]] = {level: [k for k, where in bases if where is level] for level in Level}
        self._room = {Level.WORK: 1, Level.RAM: ram, Level.DISK: disk}
        self._number = 0

    def apply(self, action: Action) -> None:
        self._number += 1
        match action:
            case Advance(start, stop):
                self._needs(action, self.at == start, f"the working state is {self._state}")
                self._needs(action, start < stop, "it goes nowhere")
                self._needs(action, self.n is None or stop <= self.n, f"there are {self.n} steps")
                self.at = stop
                self.counts.forward += stop - start
            case Store(step, level):
                held, room = self.held[level], self._room[level]
                self._needs(action, self.at == step, f"the working state is {self._state}")
                self._needs(action, step not in held, "it is there already")
                self._needs(action, room is None or len(held) < room, f"all {room} places there are taken")
                held.append(step)
                self.counts.stored[level] += 1
                self.counts.most[level] = max(self.counts.most[level], len(held))
            case Restore(step, level, keep):
                self._take(action, step, level, keep)
                self.at = step
                self.counts.restored[level] += 1
            case Discard(step, level):
                self._take(action, step, level, False)
            case End(step):
                self._needs(action, self.at == step, f"the working state is {self._state}")
                self._needs(action, self.todo is None, "the final state was reached before")
                self._needs(action, self.n is None or step == self.n, f"there are {self.n} steps")
                self.n = self.todo = step
            case Reverse(step):
                self._needs(action, self.todo is not None, "the final state was not reached yet")
                self._needs(action, self.todo == step + 1, f"the steps to reverse are those below {self.todo}")
                self._needs(action, self.at == step, f"the working state is {self._state}")
                self.todo, self.at = step, None
                self.counts.reverse += 1
            case _:
                raise ADValueError(f"the schedule has {action!r}, which is no action of ad.checkpoint")

    def end(self) -> Counts:
        """Raises ADValueError unless all steps were reversed."""
        if self.todo is None:
            raise ADValueError(f"the schedule ends after {self._number} actions without an End")
        if self.todo > 0:
            raise ADValueError(f"the schedule ends with {self.todo} steps not reversed")
        return self.counts

    def checked(self, actions: Iterable[Action]) -> Iterator[Action]:
        """The same actions, each one looked at before it is carried out."""
        for action in actions:
            self.apply(action)
            yield action
        self.end()

    @property
    def _state(self) -> str:
        return "used up" if self.at is None else str(self.at)

    def _take(self, action: Action, step: int, level: Level, keep: bool) -> None:
        held = self.held[level]
        self._needs(action, step in held, "no such snapshot is there")
        self._needs(action, level is not Level.DISK or held[-1] == step, f"the newest one there is that of {held[-1:]}")
        if not keep:
            held.remove(step)

    def _needs(self, action: Action, holds: bool, why: str) -> None:
        if not holds:
            raise ADValueError(f"the schedule cannot be carried out: action {self._number} is {action}, but {why}")


def validate(
    actions: Iterable[Action], n: int, snapshots: int | None = None, disk_snapshots: int | None = None
) -> Counts:
    """Go through a schedule without a program.

    Parameters
    ----------
    actions : iterable of actions
    n : int
        The number of steps.
    snapshots, disk_snapshots : int or None
        How many snapshots may be in memory and on disk at a time; None for any number.

    Returns
    -------
    Counts
        What it costs.

    Raises
    ------
    ADValueError
        At the first action that cannot be carried out, and if the schedule does not reverse all steps.
    """
    simulation = Simulation(n, snapshots, disk_snapshots)
    for action in actions:
        simulation.apply(action)
    return simulation.end()
