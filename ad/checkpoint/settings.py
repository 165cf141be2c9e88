"""What a sweep is told, checked; how many snapshots that makes, and which schedule."""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ad.checkpoint.actions import Action, Advance, Level
from ad.checkpoint.binomial import Base, binomial, segments, steps_left
from ad.checkpoint.directory import state_checksum
from ad.checkpoint.executor import Executor
from ad.checkpoint.layout import Layout, Misfit, apart
from ad.checkpoint.library import disk_revolve, h_revolve, mixed, periodic_disk_revolve
from ad.checkpoint.online import dynamic
from ad.checkpoint.saves import Files
from ad.checkpoint.storage import Disk, Memory, Place, Storage, slot_bytes
from ad.errors import ADTypeError, ADValueError
from tape.sizes import format_bytes, parse_bytes

__all__ = ["NO_DISK", "SCHEDULES", "Schedule", "Settings", "name_of"]

Schedule = Callable[..., Iterable[Action]]
"""Makes the actions for n steps, so many snapshots in memory, and so many on disk (None for any number)."""

SCHEDULES: dict[str, Schedule] = {
    "binomial": binomial,
    "dynamic": dynamic,
    "mixed": mixed,
    "h_revolve": h_revolve,
    "disk_revolve": disk_revolve,
    "periodic_disk_revolve": periodic_disk_revolve,
}
NO_DISK = (binomial, dynamic, mixed)
"""Those that use the disk only if they are told how many snapshots may be there."""
_ANY = 2**62
"""More snapshots than there are."""
_LEAST_DISK_MEMORY = 1 << 16
"""What a tape needs that spills."""


class Settings:
    """The arguments of `checkpointed_sweep` that the schedule and the storage follow from, checked."""

    def __init__(
        self,
        state: Any,
        n: Any,
        until: Any,
        snapshots: Any,
        memory: Any,
        disk_snapshots: Any,
        schedule: Any,
        gradient: Any,
        tag: Any,
    ) -> None:
        self.n = _length(n, until)
        self.layout = Layout(state, "state")
        try:
            self.layout.flat(state)
        except Misfit as error:
            raise ADValueError(str(error)) from None
        apart(self.layout, state)
        self.parameters, self.arrays = _parameters(gradient)
        self.schedule = _schedule(schedule, self.n)
        self.disk = _count("disk_snapshots", disk_snapshots)
        if self.disk is None and self.schedule in NO_DISK:
            self.disk = 0
        if self.schedule is dynamic and self.disk:
            raise ADValueError(
                "disk_snapshots: the schedule for sweeps of unknown length has none; give schedule="
                "functools.partial(ad.checkpoint.periodic, period=...), which stores on disk every so many steps"
            )
        self.disk_memory = Disk.memory(self.layout)
        self.ram = self._in_memory(_count("snapshots", snapshots), memory)
        if self.n != 0 and not self.ram and self.disk == 0:
            raise ADValueError("snapshots: at least one is needed, that of the initial state")
        if not isinstance(tag, str):
            raise ADTypeError(f"tag: a string, not {type(tag).__name__}")
        self._tag = tag
        self._start = state_checksum(self.layout, state)

    def _in_memory(self, snapshots: int | None, memory: Any) -> int:
        """The number of snapshots that may be in memory."""
        if memory is None:
            return _ANY if snapshots is None else snapshots
        if snapshots is not None:
            raise ADValueError("snapshots and memory say the same thing in two ways: give one of them")
        room = limit = parse_bytes(memory, "memory")
        if self.disk != 0:
            self.disk_memory = max(min(self.disk_memory, limit // 4), _LEAST_DISK_MEMORY)
            room -= self.disk_memory
        each, way = slot_bytes(self.layout), format_bytes(self.disk_memory)
        found = room // each - 1  # the last step has a copy of its own
        if found < (1 if self.disk == 0 else 0):
            raise ADValueError(
                f"memory: {format_bytes(limit)} are not enough: a state has {format_bytes(each)}, the last step needs "
                + ("a copy and a sweep a snapshot" if self.disk == 0 else f"a copy, the way to disk {way}")
            )
        return found

    def storage(self, spill_dir: Place, files: Files | None) -> dict[Level, Storage]:
        """Where snapshots go, by level."""
        found: dict[Level, Storage] = {Level.WORK: Memory(self.layout, 1), Level.RAM: Memory(self.layout, self.ram)}
        if files is not None:
            found[Level.DISK] = files
        elif self.disk != 0:
            found[Level.DISK] = Disk(self.layout, self.disk, spill_dir, self.disk_memory)
        return found

    def facts(self) -> dict[str, Any]:
        """What must be the same when a sweep is resumed."""
        return {
            "n": self.n,
            "schedule": name_of(self.schedule),
            "snapshots": None if self.ram == _ANY else self.ram,
            "disk_snapshots": self.disk,
            "state": str(self.layout),
            "initial state (checksum)": self._start,
            "gradient": str(self.parameters),
            "tag": self._tag,
        }

    @property
    def trusted(self) -> bool:
        """Whether the schedule is one of ours, which the tests have checked."""
        return self.schedule in (binomial, dynamic)

    def plan(self, executor: Executor, bases: Sequence[Base]) -> Iterable[Action]:
        """The schedule; or, if there are snapshots already, what goes on from these."""
        length = executor.length if executor.n is None else executor.n
        if executor.todo is not None:
            return segments(bases, executor.todo, self.ram, self.disk or 0)
        if not bases:
            return self.schedule(length, self.ram, self.disk)
        if "bases" in inspect.signature(self.schedule).parameters:
            return self.schedule(length, self.ram, self.disk, bases=bases)
        if executor.n is None:
            return dynamic(length, self.ram, 0, bases)
        return binomial(executor.n, self.ram, self.disk or 0, bases)

    def steps_left(self, executor: Executor, bases: Sequence[Base]) -> int | None:
        """The forward steps of the plan; None where that is not known."""
        if executor.n is None:
            return None
        if executor.todo is not None or self.schedule is binomial:
            return steps_left(bases, executor.n, self.ram, self.disk or 0, executor.todo)
        return sum(a.stop - a.start for a in self.plan(executor, bases) if isinstance(a, Advance))


def _length(n: Any, until: Any) -> int | None:
    if n is None:
        if not callable(until):
            raise ADTypeError("until: with n=None, a function (state, i) that says whether state i is the final one")
        return None
    if until is not None:
        raise ADValueError("until is for n=None: n says already where the sweep ends")
    found = _count("n", n)
    assert found is not None
    return found


def _count(name: str, value: Any) -> int | None:
    """A number that is not negative, or None."""
    if value is None:
        return None
    try:
        found = operator.index(value)
    except TypeError:
        found = None
    if found is None or isinstance(value, bool):
        raise ADTypeError(f"{name}: a whole number, not {type(value).__name__}")
    if found < 0:
        raise ADValueError(f"{name}: {found} is negative")
    return found


def _schedule(schedule: Any, n: int | None) -> Schedule:
    if schedule is None:
        return binomial if n is not None else dynamic
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ADValueError(f"schedule: there is no {schedule!r}; there are {', '.join(SCHEDULES)}")
        schedule = SCHEDULES[schedule]
        if n is None and schedule is not dynamic:
            raise ADValueError(f"schedule: {name_of(schedule)} needs to know n; without it there is 'dynamic'")
    if not callable(schedule):
        raise ADTypeError(f"schedule: a name or a function, not {type(schedule).__name__}")
    found: Schedule = schedule
    return found


def name_of(schedule: Any) -> str:
    """What a schedule is called: a function, with the arguments that a `functools.partial` of it fixes."""
    if isinstance(schedule, partial):
        given = [*map(repr, schedule.args), *(f"{key}={value!r}" for key, value in sorted(schedule.keywords.items()))]
        return f"{name_of(schedule.func)}({', '.join(given)})"
    return getattr(schedule, "__qualname__", type(schedule).__qualname__)


def _parameters(gradient: Any) -> tuple[Layout, list[npt.NDArray[Any]]]:
    """The arrays of the gradient."""
    layout = Layout(gradient, "gradient")
    arrays = layout.flat(gradient)
    for leaf, x in zip(layout.leaves, arrays):
        if leaf.kind is not np.ndarray:
            raise ADTypeError(
                f"{leaf.path} is a number; vjp_step adds to arrays in place, so give one of no dimensions"
            )
        if not x.flags.writeable:
            raise ADValueError(f"{leaf.path} is read-only, and vjp_step adds to it")
    return layout, arrays
