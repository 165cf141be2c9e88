"""What a `DeviceTape` has where, frozen."""

from dataclasses import dataclass
from typing import Self

from tape.cuda.movement import SlabStack
from tape.errors import TapeError
from tape.sizes import format_bytes
from tape.stats import LayerStats

__all__ = ["DeviceStats"]


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """A `DeviceTape` at one moment.  Sizes in bytes."""

    items: int = 0
    bytes: int = 0
    slab_bytes: int = 0
    device_bytes: int = 0
    """Device memory that the tape holds."""
    device_limit: int = 0
    """... and may hold: the budget, or less where the device refused."""
    device_slabs: int = 0
    """Slabs on the device."""
    pinned_bytes: int = 0
    """Page-locked memory that the tape holds."""
    pinned_slabs: int = 0
    """Slabs that are there and not on the device."""
    host_slabs: int = 0
    """Slabs on the host tape: in pageable memory or on disk."""
    bytes_to_host: int = 0
    bytes_to_device: int = 0
    clean: int = 0
    """Slabs that left the device without a copy: that of an earlier time was still good."""
    prefetch_hits: int = 0
    """Slabs that were on the device, or on their way, before they were asked for."""
    prefetch_misses: int = 0
    """Slabs that were not."""
    waits: int = 0
    """How often the program waited for the device, to use page-locked memory again."""
    wait_seconds: float = 0.0
    refusals: int = 0
    """How often the device had less memory than the budget."""
    error: TapeError | None = None
    """Why slabs are not moved ahead at present: the call that needs one will raise it, if it is not repaired."""
    host: LayerStats | None = None
    """What the host tape has where, if it has a budget."""

    @classmethod
    def of(cls, items: int, item_bytes: int, stack: SlabStack | None) -> Self:
        if stack is None:
            return cls()
        counts = stack.counts
        return cls(
            items=items,
            bytes=items * item_bytes,
            slab_bytes=stack.slab_bytes,
            device_bytes=stack.device_bytes,
            device_limit=stack.most * stack.slab_bytes,
            device_slabs=stack.device_slabs,
            pinned_bytes=stack.pinned_bytes,
            pinned_slabs=stack.page_slabs,
            host_slabs=len(stack.host),
            bytes_to_host=counts.out_bytes,
            bytes_to_device=counts.in_bytes,
            clean=counts.clean,
            prefetch_hits=counts.ahead,
            prefetch_misses=counts.late,
            waits=counts.waits,
            wait_seconds=counts.wait_seconds,
            refusals=counts.refused,
            error=counts.errors[0] if counts.errors else None,
            host=stack.host.traffic(),
        )

    def __str__(self) -> str:
        text = (
            f"{self.items} items ({format_bytes(self.bytes)}): {self.device_slabs} slabs on the device "
            f"({format_bytes(self.device_bytes)} of {format_bytes(self.device_limit)}), {self.pinned_slabs} in "
            f"page-locked memory ({format_bytes(self.pinned_bytes)}), {self.host_slabs} on the host tape"
        )
        text += (
            f"\nto the host {format_bytes(self.bytes_to_host)}, to the device {format_bytes(self.bytes_to_device)}; "
            f"{self.prefetch_hits} of {self.prefetch_hits + self.prefetch_misses} slabs were read ahead; "
            f"{self.waits} waits, {self.wait_seconds:.2f} s"
        )
        if self.refusals:
            text += f"\nthe device refused memory {self.refusals} times"
        if self.error is not None:
            text += f"\nslabs are not moved ahead: {self.error}"
        return text if self.host is None else f"{text}\n{self.host}"
