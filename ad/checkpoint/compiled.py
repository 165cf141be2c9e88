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

from numba import njit

__all__ = ["default_snapshots", "following", "following_in_stage", "stage_end"]

_NEVER = 2**62
_TOO_LONG = 4e18


@njit(nogil=True, error_model="numpy")
def stride(n, s):
    """How far to go before the next snapshot, for n >= 2 steps and s >= 1 snapshots; see `binomial.stride`."""
    s = min(s, n - 1)
    if s == 1:
        return n - 1
    r, before, reach = 0, 0, 1  # reach is comb(s + r, s), before is that of one repetition less
    while reach < n:
        r += 1
        before = reach
        reach = n if float(reach) * (s + r) > _TOO_LONG else reach * (s + r) // r
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
