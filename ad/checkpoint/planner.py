"""What to record of a loop, what to run again, and from how many snapshots: the plan that takes the least time.

Of n trips the last ones are recorded as they go, and those before them are run again in blocks of k trips, each
recorded as a whole in the reverse sweep; the states at the beginnings of blocks are had by binomial checkpointing with
s snapshots.  Everything lies on one tape.  What is above the memory limit goes to disk while the forward sweep goes on,
the oldest first, and comes back ahead of the reverse sweep.  So (k, s) covers, at its corners: recording all (no trip
is run again), in memory or spilled; snapshots in memory; snapshots on disk; and blocks whose records fit in a cache.

The model of time, with U, R, B the seconds in which a trip runs, runs recording, and is reversed, and c those in which
a snapshot is copied; m blocks of k trips are run again, t trips are not::

    forward   m k U + t R + s c             but no less than the bytes that go to disk over its rate of writing
    reverse   F(m, s) k U + m (k R + k B + 2 c) + t B         but no less than those that come back over its rate

F(m, s) is the fewest blocks that have to be advanced again (Griewank and Walther 2000).  R and B depend on the bytes
that are recorded at a time: they are measured for blocks that fit in a cache and for blocks that do not.  Memory that
no tape of the process has used before costs more the first time.

Snapshots at two levels are those of Aupy, Herrmann, Hovland and Robert (2016), "Optimal multistage algorithm for
adjoint computation", SIAM Journal on Scientific Computing 38(3), and of Herrmann and Pallez (2020), "H-Revolve", ACM
Transactions on Mathematical Software 46(2), who give optimal schedules for costs of writing and reading that do not
overlap with the steps.  Here they do, and the tape decides what is on which level; what is left to choose is k and s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, log

from ad.checkpoint.binomial import fewest_steps

__all__ = ["Choice", "Costs", "Disk", "Speed", "choices", "evaluate", "fastest"]

_RATIO = 1.25
"""Of the block lengths that are looked at."""
_MORE = 2
"""Of the numbers of snapshots, those of which not all find place in memory."""
_EQUAL = 1.02
"""How much slower a choice may be that is as good."""
_REPETITIONS = 50
"""Plans by which a trip would run more often are looked at only if there is no other one."""


@dataclass(frozen=True)
class Speed:
    """How fast trips are recorded and reversed in blocks of so many bytes: seconds for one trip."""

    bytes: float
    record: float
    reverse: float


@dataclass(frozen=True)
class Costs:
    """What was measured of a loop: seconds and bytes of one trip, and of one snapshot.

    `speeds` are sorted by their bytes.  `fresh` are the seconds that a byte of memory takes the first time, where more
    than `used` bytes are needed.
    """

    advance: float
    speeds: tuple[Speed, ...]
    record_bytes: float
    snapshot_bytes: int
    copy: float
    fresh: float = 0.0
    used: int = 0

    def speed(self, nbytes: float) -> Speed:
        """In blocks of so many bytes: between two that were measured it goes by the logarithm."""
        below = above = self.speeds[0]
        for above in self.speeds:
            if above.bytes > nbytes:
                break
            below = above
        if not below.bytes < nbytes < above.bytes:
            return below
        part = log(nbytes / below.bytes) / log(above.bytes / below.bytes)
        record = below.record + part * (above.record - below.record)
        return Speed(nbytes, record, below.reverse + part * (above.reverse - below.reverse))


@dataclass(frozen=True)
class Disk:
    """Bytes a second."""

    write: float
    read: float


@dataclass(frozen=True)
class Choice:
    """A choice, and what the model expects of it.

    The first `again` trips of a loop are run again in blocks of `block` trips, the rest is recorded at once.  `forward`
    and `reverse` are the seconds of the sweeps without a disk, `bytes` are on the tape when the forward sweep ends, and
    so many are `written` to disk and `read` again.
    """

    block: int
    again: int
    snapshots: int
    forward: float
    reverse: float
    bytes: float
    written: float
    read: float

    def seconds(self, disk: Disk | None) -> float:
        """How long it takes; for ever where it needs a disk and there is none."""
        if not self.written:
            return self.forward + self.reverse
        if disk is None:
            return float("inf")
        return max(self.forward, self.written / disk.write) + max(self.reverse, self.read / disk.read)

    def __str__(self) -> str:
        where = "in part on disk" if self.written else "in memory"
        if not self.again:
            return f"all trips recorded, {where}"
        blocks = self.again // self.block
        what = f"{blocks} blocks of {self.block} trips" if self.block > 1 else f"{blocks} trips"
        count = "all" if self.snapshots >= blocks else str(self.snapshots)
        return f"{what} run again, {count} snapshots, {where}"


def evaluate(costs: Costs, trips: int, block: int, blocks: int, snapshots: int, memory: float) -> Choice:
    """What a choice would take: `blocks` times `block` trips are run again, the rest of `trips` is not."""
    again = blocks * block
    rest = trips - again
    each = costs.record_bytes
    last, inner = costs.speed(rest * each), costs.speed(block * each)
    kept = (snapshots + 1) * costs.snapshot_bytes if blocks else 0  # one more is that of the last block
    held = kept + rest * each
    forward = again * costs.advance + rest * last.record + (snapshots + 1) * costs.copy
    forward += costs.fresh * max(min(held, memory) - costs.used, 0.0)
    reverse = rest * last.reverse + again * (inner.record + inner.reverse) + 2 * blocks * costs.copy
    reverse += (fewest_steps(blocks, snapshots) - blocks + 1 if blocks else 0) * block * costs.advance
    written = max(held - memory, kept + block * each - memory if blocks else 0.0, 0.0)
    read = written
    if blocks:
        # A block finds the memory full of what was read ahead, which is read once more then: as much as has to make
        # room, or all that is on disk below it.
        above = costs.snapshot_bytes + block * each
        most = min(above, memory, written)
        read += (written - most / 2) / costs.snapshot_bytes * most
        more = blocks * max(above - memory, 0.0)
        written, read = written + more, read + more
    return Choice(block, again, snapshots if blocks else 0, forward, reverse, held, written, read)


def choices(costs: Costs, trips: int, memory: float) -> list[Choice]:
    """Those that are looked at for a loop of `trips`: block lengths that differ by a quarter, each with as many
    snapshots as find place in memory beside a block, with all, and with some numbers between.
    """
    found = [evaluate(costs, trips, trips, 0, 0, memory)]
    if not found[0].written:
        return found  # there is nothing to save
    for block in _lengths(trips - 1):
        if block > 1 and costs.snapshot_bytes + block * costs.record_bytes > memory:
            break  # each block would go to disk and come back
        blocks = (trips - 1) // block
        room = (memory - block * costs.record_bytes) / max(costs.snapshot_bytes, 1) - 1
        fitting = int(min(max(room, 1), blocks))
        if comb(fitting + _REPETITIONS, fitting) < blocks:
            fitting = min(_REPETITIONS, blocks)
        while True:
            found.append(evaluate(costs, trips, block, blocks, fitting, memory))
            if fitting == blocks:
                break
            fitting = min(_MORE * fitting, blocks)
    return found


def fastest(found: list[Choice], disk: Disk | None) -> Choice:
    """The one of the choices that takes the least time; of those that are as good as equal, the one with least on disk,
    and the shortest blocks: caches are shared, and more of them is left to others.
    """
    least = min(choice.seconds(disk) for choice in found)
    equal = [choice for choice in found if choice.seconds(disk) <= _EQUAL * least]
    return min(equal, key=lambda choice: (choice.written, choice.block))


def _lengths(most: int) -> Iterator[int]:
    length = 1
    while length <= most:
        yield length
        length = max(length + 1, int(length * _RATIO))
