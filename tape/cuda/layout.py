"""How much memory of each kind a device tape takes, from what its user said."""

from dataclasses import dataclass
from typing import Self

from tape.errors import TapeValueError

__all__ = ["Layout"]

# By measurement (benchmarks/gpu.py): from 8 MiB on a slab goes over the bus at the rate of a bare copy.
_MOST_SLAB_BYTES = 32 << 20
_LEAST_SLABS = 16
_LEAST_HOST_SLABS = 32
_PINNED_BYTES = 1 << 30
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a device tape."""

    slab_bytes: int
    slabs: int
    """Most slabs on the device."""
    pages: int
    """Slabs in page-locked memory."""
    host_memory: int | None
    """Budget of the host tape; None for no limit."""

    @classmethod
    def of(cls, item: int, device_memory: int, memory: int | None, pinned: int | None, slab: int | None) -> Self:
        """For items of `item` bytes.  Raises TapeValueError where the sizes do not go together."""
        if slab is None:
            slab = min(_MOST_SLAB_BYTES, device_memory // _LEAST_SLABS)
            if memory is not None:
                slab = min(slab, memory // _LEAST_HOST_SLABS)
        slab = -(-max(slab, item) // _PAGE) * _PAGE
        if device_memory < 2 * slab:
            raise TapeValueError(
                f"device_memory: {device_memory} bytes; a tape of items of {item} bytes, in slabs of {slab}, needs two "
                f"of them: {2 * slab}"
            )
        if pinned is None:
            pinned = max(2 * slab, _PINNED_BYTES if memory is None else min(_PINNED_BYTES, memory // 2))
        elif pinned < slab:
            raise TapeValueError(f"pinned: {pinned} bytes; a slab of this tape has {slab}, and one at least is needed")
        pages = pinned // slab
        host = None if memory is None else memory - pages * slab
        if host is not None and host <= 0:
            raise TapeValueError(
                f"memory: {memory} bytes, of which {pages * slab} are page-locked; that leaves nothing for the slabs "
                "beyond those"
            )
        return cls(slab, device_memory // slab, pages, host)
