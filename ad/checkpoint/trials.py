"""How many trips of a loop are tried, how often, and what these trials say of its costs."""

from collections.abc import Iterator

from ad.checkpoint.planner import Costs, Speed

__all__ = ["Trials"]

_SMALL, _LARGE = 1 << 18, 1 << 25
"""Bytes of the records that are tried: what fits in a cache of each core, and what does not."""
_PAGES = 1 << 20
"""Bytes by which it can be told what memory costs the first time."""
_SHARE = 0.01
"""The part of the time of the loop that a trial may take, and seconds that it always may:"""
_FREE = 1e-3


class Trials:
    """The trials of a loop of so many trips, whose snapshots have so many bytes, for so much memory.

    The first one is of one trip, and says whether records of all have room: then there are no others.  The next ones
    are of blocks that fit in a cache, and of blocks that do not, each length twice: the first one touches pages, and
    code.
    """

    def __init__(self, trips: int, snapshot_bytes: int, memory: float) -> None:
        self.trips = trips
        self.snapshot_bytes = snapshot_bytes
        self.memory = memory
        self.fits = trips < 2
        """Whether it is known that records of all trips have room."""
        self._advance = self._copy = self._first = float("inf")
        self._speeds: dict[int, Speed] = {}
        self.record_bytes = 0.0
        self._fresh = 0.0
        self._touched = 0
        self._plan = self._lengths()

    def next(self) -> int:
        """How many trips to try now; 0 when it is enough."""
        return next(self._plan)

    def note(self, tried: int, copy: float, advance: float, record: float, reverse: float, nbytes: int) -> None:
        """The seconds that a trial took: to copy a snapshot, and to run, record and reverse so many trips."""
        self._copy = min(self._copy, copy)
        self._advance = min(self._advance, advance / tried)
        self.record_bytes = nbytes / tried
        if nbytes > self._touched:
            self._touched, self._first = nbytes, record
        elif nbytes == self._touched >= _PAGES:
            self._fresh = max(self._first - record, 0.0) / nbytes
        self._speeds[tried] = Speed(nbytes, record / tried, reverse / tried)

    @property
    def costs(self) -> Costs:
        """What the trials say."""
        speeds = sorted(self._speeds.values(), key=lambda s: s.bytes)
        return Costs(
            self._advance, tuple(speeds), self.record_bytes, self.snapshot_bytes, self._copy, self._fresh, self._touched
        )

    def _lengths(self) -> Iterator[int]:
        if not self.fits:
            yield 1
            self.fits = self.record_bytes * self.trips <= self.memory
        if not self.fits:
            lengths = set[int]()
            for nbytes in (_SMALL, _LARGE):
                length = self._allowed(nbytes)
                if length > max(lengths, default=0):
                    if length > 1:  # one trip was tried before
                        yield length
                    lengths.add(length)
                    yield length
            if 1 not in lengths:
                del self._speeds[1]  # that was the first run of all
        while True:
            yield 0

    def _allowed(self, nbytes: int) -> int:
        """How many trips with about so many bytes may be tried."""
        most = int(min(nbytes, self.memory / 2) / max(self.record_bytes, 1.0))
        latest = self._speeds[max(self._speeds)]
        trip = self._advance + latest.record + latest.reverse
        allowed = max(_FREE, _SHARE * self.trips * trip)
        return max(1, min(most, self.trips // 4, int(allowed / trip)))
