"""Frozen snapshots of a tape and of a pool."""

from dataclasses import dataclass

from tape.sizes import format_bytes

__all__ = ["PoolStats", "TapeStats"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A `SlabPool` at one moment.  Sizes in bytes."""

    used_slabs: int
    used_bytes: int
    free_slabs: int
    free_bytes: int
    high_bytes: int
    """Most bytes that were ever in use at once."""
    allocations: int
    """Slabs taken from the operating system so far."""
    recycled: int
    """Slabs handed out again so far."""
    limit: int | None
    retain: int | None


@dataclass(frozen=True, slots=True)
class LayerStats:
    bytes: int
    resident_bytes: int
    spilled_bytes: int
    budget_bytes: int
    file_bytes: int
    bytes_written: int
    bytes_read: int
    write_stalls: int
    write_stall_seconds: float
    read_stalls: int
    read_stall_seconds: float
    prefetch_hits: int
    prefetch_misses: int
    write_seconds: float
    read_seconds: float


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
