"""Frozen snapshots of a tape, of its layers and of a pool."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from tape.sizes import format_bytes

__all__ = ["LayerStats", "PoolStats", "TapeStats", "together"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A `SlabPool` at one moment.  Sizes in bytes."""

    used_slabs: int
    """Slabs of tapes."""
    used_bytes: int
    free_slabs: int
    free_bytes: int
    arrays: int
    """Slabs that hold an array of a function that `ad` generated, results that the program keeps among them.

    Arrays of less than 4 KB are not among them: each thread keeps up to 64 KB of memory of every size for its own.
    """
    array_bytes: int
    high_bytes: int
    """Most bytes that tapes ever had at once."""
    allocations: int
    """Slabs taken from the operating system so far."""
    recycled: int
    """Slabs handed out again so far."""
    limit: int | None
    retain: int | None


@dataclass(frozen=True, slots=True)
class LayerStats:
    """Where the bytes of a tape with a memory budget are, and went so far (`Tape.traffic`).

    Sizes in bytes, times in seconds.
    """

    bytes: int
    """Of the items on the tape."""
    resident_bytes: int
    """Of the slabs that are in memory."""
    spilled_bytes: int
    """Of the slabs that are only in the store."""
    budget_bytes: int
    """The limit on `resident_bytes`."""
    file_bytes: int
    """What the store occupies: as much as the deepest spill needed, compressed if that is asked for."""
    bytes_written: int
    """To the store, so far: bytes of slabs, before they are compressed."""
    bytes_read: int
    """From the store, so far: bytes of slabs."""
    write_stalls: int
    """How often a push had to wait until a slab was written."""
    write_stall_seconds: float
    """How long pushes waited, all in all."""
    read_stalls: int
    """How often a pop had to wait until a slab was read."""
    read_stall_seconds: float
    """How long pops waited, all in all."""
    prefetch_hits: int
    """Slabs that were back in memory, or on their way, before they were asked for."""
    prefetch_misses: int
    """Slabs that were not."""
    write_seconds: float
    """Time spent in writing to the store, beside the program or not."""
    read_seconds: float
    """Time spent in reading from the store, beside the program or not."""

    @property
    def write_rate(self) -> float:
        """Bytes a second while writing; 0.0 if nothing was written."""
        return self.bytes_written / self.write_seconds if self.write_seconds > 0 else 0.0

    @property
    def read_rate(self) -> float:
        """Bytes a second while reading; 0.0 if nothing was read."""
        return self.bytes_read / self.read_seconds if self.read_seconds > 0 else 0.0

    def __str__(self) -> str:
        text = (
            f"{format_bytes(self.bytes)} on the tape: {format_bytes(self.resident_bytes)} in memory "
            f"(budget {format_bytes(self.budget_bytes)}), {format_bytes(self.spilled_bytes)} spilled "
            f"(store {format_bytes(self.file_bytes)})"
        )
        if not (self.bytes_written or self.bytes_read or self.write_stalls or self.read_stalls):
            return text + "; nothing was moved yet"
        text += (
            f"\nwritten {format_bytes(self.bytes_written)} at {format_bytes(round(self.write_rate))}/s "
            f"({_stalls(self.write_stalls, self.write_stall_seconds)}), read {format_bytes(self.bytes_read)} at "
            f"{format_bytes(round(self.read_rate))}/s ({_stalls(self.read_stalls, self.read_stall_seconds)})"
        )
        wanted = self.prefetch_hits + self.prefetch_misses
        return text + (f"; {self.prefetch_hits} of {wanted} slabs were read ahead" if wanted else "")


@dataclass(frozen=True, slots=True)
class TapeStats:
    """A `Tape` at one moment.  Sizes in bytes."""

    items: int
    bytes: int
    layer: str
    """Where the newest item lies: ``"inline"`` (in the object itself) or ``"slabs"``."""
    slabs: int
    """Slabs that hold items."""
    slab_bytes: int
    spare_slabs: int
    """Slabs that the tape keeps for its next growth."""
    spare_bytes: int
    high_bytes: int
    """Most bytes of slabs that held items at once."""
    allocations: int
    """Slabs that this tape took from its pool so far."""
    marks: int
    pins: int
    """Live views into the tape."""
    pool: PoolStats
    layers: LayerStats | None = None
    """What a tape with a memory budget has where, and moved."""

    def __str__(self) -> str:
        return (
            f"{self.items} items ({format_bytes(self.bytes)}) in {self.layer}: "
            f"{self.slabs} slabs ({format_bytes(self.slab_bytes)}), {self.spare_slabs} spare "
            f"({format_bytes(self.spare_bytes)}), at most {format_bytes(self.high_bytes)}; "
            f"pool: {format_bytes(self.pool.used_bytes)} in use, {format_bytes(self.pool.free_bytes)} free"
        )


_Stats = TypeVar("_Stats", LayerStats, TapeStats)
_SHARED = {"budget_bytes", "layer", "pool", "layers"}
_GOES_ON = (
    "bytes_written",
    "bytes_read",
    "write_stalls",
    "write_stall_seconds",
    "read_stalls",
    "read_stall_seconds",
    "prefetch_hits",
    "prefetch_misses",
    "write_seconds",
    "read_seconds",
)
"""Of layers: what is counted from the beginning of the tape on."""


def together(parts: Sequence[_Stats]) -> _Stats:
    """The snapshots of a tape and of its lanes as one: what they share as the first one has it, the rest added up."""
    own = [f.name for f in fields(parts[0]) if f.name not in _SHARED]
    return replace(parts[0], **{name: sum(getattr(part, name) for part in parts) for name in own})


def since(now: LayerStats, then: LayerStats) -> LayerStats:
    """What a tape has and where, of now, and what it moved since then."""
    return replace(now, **{name: getattr(now, name) - getattr(then, name) for name in _GOES_ON})


def _stalls(count: int, seconds: float) -> str:
    return f"{count} stall{'' if count == 1 else 's'}, {seconds:.2f} s" if count else "no stalls"
