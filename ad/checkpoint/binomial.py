"""Binomial checkpointing: the fewest forward steps for a given number of snapshots.

Source: Griewank and Walther (2000), "Algorithm 799: Revolve", ACM Transactions on Mathematical Software 26(1).  With s
snapshots, and r the repetition number, for which ``comb(s + r - 1, s) < n <= comb(s + r, s)``, the states before n
steps are had one after another, the last one first, by no fewer than ``r n - comb(s + r, s + 1)`` steps.

It is written here, though `checkpoint_schedules` has it, because everything else rests on it: where Numba is installed,
that package compiles a few additions for 4 seconds before the first action, and takes three times as long for each one.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import comb

from ad.checkpoint.actions import Action, Advance, End, Level, Restore, Reverse, Store
from ad.errors import ADValueError

__all__ = ["Base", "binomial", "fewest_steps", "segments", "steps_left"]

Base = tuple[int, Level]
"""A snapshot that is there: its step, and where it lies."""


def repetitions(n: int, s: int) -> int:
    """The least r with ``n <= comb(s + r, s)``: how often a step is repeated at most."""
    r, reach = 0, 1
    while reach < n:
        r += 1
        reach = reach * (s + r) // r
    return r


def fewest_steps(n: int, s: int) -> int:
    """Forward steps by which the states n - 1, ..., 0 are had one after another, with s >= 1 snapshots, that of state 0
    included.  A sweep takes one step more: the one into the final state.
    """
    if n < 2:
        return 0
    if s < 1:
        raise ADValueError("snapshots: at least one is needed, that of the initial state")
    s = min(s, n - 1)
    r = repetitions(n, s)
    return r * n - comb(s + r, s + 1)


@lru_cache(maxsize=2**14)
def stride(n: int, s: int) -> int:
    """How far to go from a snapshot before the next one is stored, to reverse n >= 2 steps with s >= 1 snapshots.

    Several strides take the fewest steps (figure 4 of the source); this one, that of Revolve, writes the fewest
    snapshots and reads those at the bottom of the stack least often.
    """
    s = min(s, n - 1)
    if s == 1:
        return n - 1
    r = repetitions(n, s)
    after = comb(s + r - 2, s - 1) + comb(s + r - 3, s - 2)
    return min(max(comb(s + r - 2, s), n - after), comb(s + r - 1, s))


def _reverse(start: int, stop: int, levels: Sequence[Level], stored: bool, ends: bool) -> Iterator[Action]:
    """Reverse the steps stop - 1 to start, from the working state `start`, with a snapshot in each of `levels` at most.

    The first one is that of `start` itself, which may be `stored` already.  If it `ends`, the sweep has not been to
    `stop` yet, and that is the final state.
    """
    stack = [start] if stored else []
    at = start
    for step in reversed(range(start, stop)):
        while at < step:
            there = bool(stack) and stack[-1] == at
            if not there:
                yield Store(at, levels[len(stack)])
                stack.append(at)
            target = at + stride(step + 1 - at, len(levels) - len(stack) + 1)
            yield Advance(at, target)
            at = target
        if ends and step == stop - 1:
            # A step may overwrite the state that it is given.
            yield Store(step, Level.WORK)
            yield Advance(step, stop)
            yield End(stop)
            yield Restore(step, Level.WORK, False)
        yield Reverse(step)
        if step > start:
            at = stack[-1]
            keep = at < step - 1
            yield Restore(at, levels[len(stack) - 1], keep)
            if not keep:
                stack.pop()


def binomial(n: int, ram: int, disk: int, bases: Sequence[Base] = ()) -> Iterator[Action]:
    """A whole sweep of n steps with so many snapshots in memory and on disk.

    With ``n <= ram + disk`` nothing is computed twice.  Those on disk are the first ones, which are used least often
    (Stumm and Walther 2009, "Multistage approaches for optimal offline checkpointing", SIAM Journal on Scientific
    Computing 31(3)).

    With `bases`, state 0 among them, it goes on from the last one of these snapshots.
    """
    if n == 0:
        yield End(0)
        return
    if n > 1 and not bases and ram + disk < 1:
        raise ADValueError("snapshots: at least one is needed, that of the initial state")
    if not bases:
        yield from _reverse(0, n, _levels(bases, n, ram, disk), stored=False, ends=True)
        return
    *below, (start, level) = bases
    again = n - start > 1
    yield Restore(start, level, again)
    if start == n:
        yield End(n)
    else:
        yield from _reverse(start, n, _levels(bases, n - start, ram, disk), stored=again, ends=True)
    yield from segments(below, start, ram, disk)


def segments(bases: Sequence[Base], stop: int, ram: int, disk: int) -> Iterator[Action]:
    """Reverse the steps stop - 1 to 0 from snapshots that are there, the first one of state 0; each segment between two
    of them with the fewest steps for the places that are free then.
    """
    for k in reversed(range(len(bases))):
        start, level = bases[k]
        again = stop - start > 1
        yield Restore(start, level, again)
        yield from _reverse(start, stop, _levels(bases[: k + 1], stop - start, ram, disk), stored=again, ends=False)
        stop = start


def steps_left(bases: Sequence[Base], n: int, ram: int, disk: int, todo: int | None = None) -> int:
    """The forward steps of `binomial` for n steps, or of `segments` if those from `todo` on are reversed already."""
    if n == 0:
        return 0
    total = 0 if todo is not None else 1  # that into the final state
    stop = n if todo is None else todo
    for k in reversed(range(max(len(bases), 1))):
        start = bases[k][0] if bases else 0
        total += fewest_steps(stop - start, len(_levels(bases[: k + 1], stop - start, ram, disk)))
        stop = start
    return total


def _levels(bases: Sequence[Base], n: int, ram: int, disk: int) -> list[Level]:
    """Where snapshots may lie to reverse n steps from the last one of `bases`: there, and where places are free."""
    used = [level for _, level in bases]
    ram = min(max(ram - used.count(Level.RAM), 0), n)
    disk = min(max(disk - used.count(Level.DISK), 0), n - ram)
    return [*used[-1:], *[Level.DISK] * disk, *[Level.RAM] * ram]
