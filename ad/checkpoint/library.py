"""Schedules of the package `checkpoint_schedules` (the extra ``layered-tape[checkpointing]``), in actions of ours.

It writes the forward data that the adjoint of a step needs apart from the data that a step can be restarted from; here
both are the state before the step.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from typing import Any

from ad.checkpoint.actions import Action, Advance, End, Level, Restore, Reverse, Store
from ad.checkpoint.binomial import binomial
from ad.errors import ADValueError

__all__ = ["disk_revolve", "h_revolve", "mixed", "periodic_disk_revolve"]


def h_revolve(n: int, ram: int, disk: int | None, *, write: float = 2.0, read: float = 2.0) -> list[Action]:
    """H-Revolve: the least time with so many snapshots in memory, which cost nothing, and on disk, which cost as many
    steps as `write` and `read` say.

    Source: Herrmann and Pallez (2020), "H-Revolve: a framework for adjoint computation on synchronous hierarchical
    platforms", ACM Transactions on Mathematical Software 46(2).  Its tables take time and memory with the square of n.
    """
    if disk is None:
        raise ADValueError("h_revolve needs to know how many snapshots may be on disk: give disk_snapshots=")
    if n < 2:  # a list index of the package is out of range
        return list(binomial(n, ram, 0))
    ram, disk = _places("h_revolve", n, ram), min(disk, n)
    return translated(_library().HRevolve(n, ram, disk, wd=write, rd=read), n)


def disk_revolve(n: int, ram: int, disk: int | None, *, write: float = 2.0, read: float = 2.0) -> list[Action]:
    """Disk-Revolve: the same with any number of snapshots on disk.

    Source: Aupy, Herrmann, Hovland and Robert (2016), "Optimal multistage algorithm for adjoint computation", SIAM
    Journal on Scientific Computing 38(3).  Its tables take time and memory with the square of n.
    """
    _unbounded("disk_revolve", disk)
    if n < 2:
        return list(binomial(n, ram, 0))
    return translated(_library().DiskRevolve(n, _places("disk_revolve", n, ram), wd=write, rd=read), n)


def periodic_disk_revolve(n: int, ram: int, disk: int | None, *, write: float = 2.0, read: float = 2.0) -> list[Action]:
    """Disk-Revolve with a constant distance between snapshots on disk, for many steps.

    Source: Aupy and Herrmann (2017), "Periodicity in optimal hierarchical checkpointing schemes for adjoint
    computations", Optimization Methods and Software 32(3).
    """
    _unbounded("periodic_disk_revolve", disk)
    if n < 2:
        return list(binomial(n, ram, 0))
    ram = _places("periodic_disk_revolve", n, ram)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the period
        schedule = _library().PeriodicDiskRevolve(n, ram, wd=write, rd=read)
    return translated(schedule, n)


def mixed(n: int, ram: int, disk: int | None) -> list[Action]:
    """Snapshots to restart from mixed with such of single steps: on disk, if there is place on disk only, else in
    memory.

    Source: Maddison (2024), "Step-based checkpointing with high-level algorithmic differentiation", Journal of
    Computational Science 82.  It is made for adjoints that need a forward step to be repeated before they reverse it.
    """
    if ram and disk:
        raise ADValueError("mixed has one level of storage: give snapshots=0, or no disk_snapshots=")
    if n < 2:
        return list(binomial(n, ram, 0))
    library = _library()
    level = library.StorageType.RAM if ram else library.StorageType.DISK
    return translated(library.MixedCheckpointSchedule(n, ram or disk or 0, storage=level), n)


def _unbounded(name: str, disk: int | None) -> None:
    if disk is not None:
        raise ADValueError(
            f"{name} takes as many snapshots on disk as it likes: leave disk_snapshots= out, or use h_revolve"
        )


def _places(name: str, n: int, ram: int) -> int:
    """The snapshots in memory, no more than can be used: the tables have a row for each."""
    if ram < 1:
        raise ADValueError(f"{name} needs at least one snapshot in memory: give snapshots=")
    return min(ram, n)


def _library() -> Any:
    try:
        import checkpoint_schedules
    except ImportError as error:
        message = 'this schedule needs checkpoint_schedules: pip install "layered-tape[checkpointing]"'
        raise ImportError(message) from error
    return checkpoint_schedules


def translated(schedule: Iterable[Any], n: int) -> list[Action]:
    """The actions of a schedule of the package for n steps."""
    return _freed(_actions(schedule, n))


def _freed(actions: Iterable[Action]) -> list[Action]:
    """With every place freed at its last use; some schedules of the package leave snapshots on disk behind."""
    found: list[Action] = []
    used: set[tuple[int, Level]] = set()
    for action in reversed(list(actions)):
        match action:
            case Restore(step, level):
                action = Restore(step, level, (step, level) in used)
                used.add((step, level))
            case Store(step, level):
                if (step, level) not in used:
                    continue
                used.remove((step, level))
        found.append(action)
    return found[::-1]


def _actions(schedule: Iterable[Any], n: int) -> Iterator[Action]:
    levels = {"RAM": Level.RAM, "DISK": Level.DISK}
    ended = False
    for action in schedule:
        match type(action).__name__:
            case "Forward":
                level = levels.get(action.storage.name)
                for start, stop in _parts(action):
                    last = stop == n and not ended
                    if level is not None and (action.write_adj_deps or (action.write_ics and start == action.n0)):
                        yield Store(start, level)
                    if last and stop - start > 1:
                        yield Advance(start, stop - 1)
                        start = stop - 1
                    if last:
                        yield from (
                            Store(start, Level.WORK),
                            Advance(start, n),
                            End(n),
                            Restore(start, Level.WORK, False),
                        )
                        ended = True
                    elif not action.write_adj_deps or level is not None:
                        yield Advance(start, stop)
            case "Reverse":
                yield Reverse(action.n0)
            case "Copy":
                yield Restore(action.n, levels[action.from_storage.name], True)
            case "Move" if action.to_storage.name == "WORK":
                yield Restore(action.n, levels[action.from_storage.name], False)
            case "EndReverse":
                return


def _parts(action: Any) -> Iterator[tuple[int, int]]:
    """The parts of a `Forward` that begin where something is stored."""
    if action.write_adj_deps:
        yield from ((i, i + 1) for i in range(action.n0, action.n1))
    else:
        yield action.n0, action.n1
