"""Where compiled loops store their snapshots (`ad.checkpointed`): numbers of steps, one at a time.

Snapshots are a stack, on the tape.  What a loop has to know is which step to store next; the reverse sweep begins with
the newest snapshot every time.  So a schedule is a few functions of whole numbers, and needs no memory of its own.

* `following` is binomial checkpointing for a known number of steps, as `ad.checkpoint.binomial` has it.
* `stage_end` and `following_in_stage` are for an unknown number, with s snapshots.  Stage r has the steps from
  comb(s + r - 1, s) to comb(s + r, s); it has a snapshot of its first step, and between the steps in it binomial
  checkpointing with the s - 2 places that are left beside that and the snapshot of step 0.  When it ends, all snapshots
  but that of step 0 are dropped.  That is what binomial checkpointing stores of comb(s + r, s) steps, so wherever
  the end is, no step is repeated more often than with a known number; but the way to the last step is gone twice.
"""

import numpy as np
from numba import njit

__all__ = [
    "binomial_repeats",
    "default_snapshots",
    "following",
    "following_in_stage",
    "online_repeats",
    "periodic_repeats",
    "stage_end",
    "table_repeats",
]

_NEVER = 2**62
_TOO_LONG = 4e18


@njit(nogil=True, error_model="numpy")
def _repetitions(n, s):
    """The fewest r with which s snapshots reach n steps, comb(s + r, s) >= n; and how far they do with one less."""
    r, before, reach = 0, 0, 1
    while reach < n:
        r += 1
        before = reach
        reach = n if float(reach) * (s + r) > _TOO_LONG else reach * (s + r) // r
    return r, before


@njit(nogil=True, error_model="numpy")
def stride(n, s):
    """How far to go before the next snapshot, for n >= 2 steps and s >= 1 snapshots; see `binomial.stride`."""
    s = min(s, n - 1)
    if s == 1:
        return n - 1
    r, before = _repetitions(n, s)
    last = before * (r - 1) // (s + r - 1)
    after = before - last
    after += after * (s - 1) // (s + r - 2)
    return min(max(last, n - after), before)


@njit(nogil=True, error_model="numpy")
def following(at, n, places):
    """The step to store after the step `at` of n, with so many places, one of which has the snapshot of `at`.

    After all others that is n - 1, the last one; then there is none.
    """
    if n - at < 2:
        return _NEVER
    return at + stride(n - at, places)


@njit(nogil=True, error_model="numpy")
def stage_end(at, snapshots):
    """The step with which the stage ends that `at` is in, for an unknown number of steps."""
    if snapshots == 1:
        return _NEVER
    r, reach = 0, 1
    while reach <= at:
        r += 1
        reach = _NEVER if float(reach) * (snapshots + r) > _TOO_LONG else reach * (snapshots + r) // r
    return reach


@njit(nogil=True, error_model="numpy")
def following_in_stage(at, end, places):
    """The step to store after the step `at` of a stage; the last step of a stage is none."""
    found = following(at, end, places)
    return end if found >= end - 1 else found


@njit(nogil=True, error_model="numpy")
def default_snapshots(n):
    """The fewest with which no step is taken more than twice before it is reversed: about the root of 2 n."""
    s = 1
    while (s + 1) * (s + 2) // 2 < n:
        s += 1
    return s


# ------------------------------------------------------------------------- how many steps the reverse sweep takes again


@njit(nogil=True, error_model="numpy")
def fewest(n, s):
    """`binomial.fewest_steps`: what it takes to reverse n steps from the snapshot before them, with s places for it and
    others.
    """
    if n < 2:
        return 0
    s = min(s, n - 1)
    r, before = _repetitions(n, s)
    # r n - comb(s + r, s + 1); the division comes out even.
    return r * n - (before // (s + 1) * (s + r) + before % (s + 1) * (s + r) // (s + 1))


@njit(nogil=True, error_model="numpy")
def binomial_repeats(trips, n, places):
    """Steps that are taken again, of a sweep of n steps that ended after `trips` of them; see `following`."""
    if trips == n:
        return fewest(n, places) - max(n - 1, 0)
    total, at, free = 0, 0, places
    while at < trips:
        end = min(following(at, n, free), trips)
        total += fewest(end - at, free)
        at = end
        free -= 1
    return total


@njit(nogil=True, error_model="numpy")
def online_repeats(trips, snapshots):
    """The same for an unknown number of steps, which were `trips` in the end; see `stage_end`."""
    total, at, free = 0, 0, snapshots
    end = stage_end(0, snapshots)
    while end < trips:
        at = end
        end = stage_end(at, snapshots)
    if at > 0:  # all snapshots before this stage were dropped but that of step 0
        total += fewest(at, free)
        free -= 1
    while at < trips:
        until = min(following_in_stage(at, end, free), trips)
        total += fewest(until - at, free)
        at = until
        free -= 1
    return total


@njit(nogil=True, error_model="numpy")
def periodic_repeats(trips, period, between):
    """The same with a snapshot every `period` steps, and so many places between two of them, the first one included."""
    total, free = 0, between
    for at in range((trips - 1) // period * period, -1, -period):
        total += fewest(min(period, trips - at), free)
        free += 1
    return total


@njit(nogil=True, error_model="numpy")
def table_repeats(table, n):
    """The same for n steps by a table of what to store when; see `orders.stack_orders`."""
    total, held, at = 0, 0, 0
    stack = np.empty(len(table), np.int64)
    for step in range(n, -1, -1):  # the forward sweep, and then the way to each step that is reversed
        if step < n:
            held -= 1
            total += step - stack[held]
        while table[at] >= 0:
            stack[held] = table[at]
            held += 1
            at += 1
        at += 1
    return total
