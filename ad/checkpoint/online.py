"""Schedules for sweeps whose length is not known before they end.

They yield one step at a time, until `length` says how many there were; then the steps between two snapshots are
reversed by binomial checkpointing with the places that are free.
"""

from collections.abc import Callable, Iterator, Sequence

from ad.checkpoint.actions import Action, Advance, Discard, End, Level, Restore, Store
from ad.checkpoint.binomial import Base, segments
from ad.errors import ADValueError

__all__ = ["Length", "dynamic", "periodic"]

Length = int | Callable[[], int | None]
"""How many steps there are, or what says so; None as long as that is not known."""

_FIRST = 2**62
"""The level of state 0, which is never given up."""


def dynamic(length: Length, ram: int, disk: int = 0, bases: Sequence[Base] = ()) -> Iterator[Action]:
    """Dynamic checkpointing with minimal repetition, in memory.

    Source: Wang, Moin and Iaccarino (2009), "Minimal repetition dynamic checkpointing algorithm for unsteady adjoint
    calculation", SIAM Journal on Scientific Computing 31(4), algorithm 1, with the steps between snapshots reversed by
    binomial checkpointing.  Whenever the sweep ends, no step is repeated more often than in the binomial optimum for so
    many steps and one snapshot less; all steps together are, as far as it was tried, at most 1.5 times the fewest.
    Every state of the forward sweep is copied once.

    With `bases` it goes on from the last one of these snapshots.
    """
    # Those in memory from the oldest to the newest, each with its grade (in the source: its level), and those that may
    # be given up: they are older than one of a higher grade.
    held = {step: _FIRST for step, where in bases if where is Level.RAM}
    spare: list[int] = []
    below = [base for base in bases if base[1] is not Level.RAM]
    at = begin = 0
    if bases:
        at, where = bases[-1]
        begin = at
        yield Restore(at, where, True)
    elif not _ended(length, 0):
        yield Store(0, Level.RAM)
        held[0] = _FIRST
    while not _ended(length, at):
        if at > begin:
            grade = 0
            if len(held) >= ram:
                if spare:
                    given_up = spare.pop()
                    del held[given_up]
                elif held and (newest := next(reversed(held.items())))[1] != _FIRST:
                    given_up, grade = newest[0], newest[1] + 1
                    del held[given_up]
                    spare = _lower(held, grade)
                else:  # there is no place but that of state 0
                    given_up = None
                if given_up is not None:
                    yield Discard(given_up, Level.RAM)
            if len(held) < ram:
                yield Store(at, Level.RAM)
                held[at] = grade
        yield Advance(at, at + 1)
        at += 1
    yield End(at)
    yield from segments(sorted(below + [(step, Level.RAM) for step in held]), at, ram, disk)


def _lower(held: dict[int, int], grade: int) -> list[int]:
    """The newest snapshots, as far as they have a lower grade, oldest first.

    There are no others of a lower grade: where no snapshot can be given up, grades fall from the oldest to the newest.
    """
    found: list[int] = []
    for step, other in reversed(held.items()):
        if other >= grade:
            break
        found.append(step)
    return found[::-1]


def _ended(length: Length, at: int) -> bool:
    known = length() if callable(length) else length
    return known is not None and at >= known


def periodic(
    length: Length, ram: int, disk: int | None, bases: Sequence[Base] = (), *, period: int
) -> Iterator[Action]:
    """Every so many steps a snapshot on disk, and binomial checkpointing in memory between them.

    Source: Pringle, Jones, Goswami, Narayanan and Goldberg (2016), "Providing the ARCHER community with adjoint
    modelling tools for high-performance oceanographic and cryospheric computation", version 1.1.  Of n steps it takes
    ``n + (n / period) fewest_steps(period, ram + 1)``, and ``n / period`` snapshots are on disk at the end.
    """
    if period < 1:
        raise ADValueError(f"period: a number of steps, not {period}")
    stored = list(bases)
    at = 0
    if bases:
        at, where = bases[-1]
        yield Restore(at, where, True)
    while not _ended(length, at):
        if not stored or at >= stored[-1][0] + period:
            yield Store(at, Level.DISK)
            stored.append((at, Level.DISK))
        yield Advance(at, at + 1)
        at += 1
    yield End(at)
    yield from segments(stored, at, ram, 0)
