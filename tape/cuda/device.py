"""What a device tape asks of a device.

`NumbaDevice`, `SimulatorDevice` and `tape.cuda.testing.FakeDevice` keep this contract, and
`tape.cuda.testing.check_device` tests it.

Memory is addressed by plain integers.  A stream is whatever the device takes for one; work given to a stream is done in
its order, and streams are ordered among each other by events alone.  Nothing here waits for the device but
`synchronize`, and nothing calls back: a callback of the driver needs the GIL, and can wait for ever for a thread that
waits in the driver.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Device", "Memory", "Source"]

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Source:
    """A contiguous array in device memory, whoever made it."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: Any
    """Keeps the memory alive."""
    readonly: bool = False

    @property
    def nbytes(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


class Memory(Protocol):
    """Device memory, as long as the object lives."""

    @property
    def address(self) -> int:
        """A multiple of 256."""


class Device(Protocol):
    """One device.  Calls that it refuses raise `tape.DeviceError`, and leave nothing half queued."""

    name: str

    def enter(self) -> None:
        """Make the device ready for the calling thread; raises DeviceError if another one is current there."""

    def free_bytes(self) -> int:
        """Memory that could be had now."""

    # ------------------------------------------------------------------------------------------ memory

    def alloc(self, nbytes: int) -> Memory:
        """New device memory.  Raises TapeMemoryError if there is none.

        It is given back when the object goes; its owner sees to it that no stream uses it any more.
        """

    def flush(self) -> None:
        """Give what is free back to the system now, if the device would keep it for a while."""

    def alloc_pinned(self, nbytes: int) -> Bytes:
        """Page-locked host memory, which lives as long as the array.  Raises TapeMemoryError if there is none."""

    # ------------------------------------------------------------------------------------------- order

    def new_stream(self) -> Any:
        """A stream that nothing but events orders with others."""

    def drop_stream(self, stream: Any) -> None:
        """Give back a stream whose work is done."""

    def stream(self, given: Any) -> Hashable:
        """The stream that a user's object stands for; None is the default one.  Equal streams are equal objects."""

    def new_event(self) -> Any:
        """An event; until it is recorded waiting for it is nothing."""

    def record(self, event: Any, stream: Any) -> None:
        """`event` stands for all that was given to `stream` so far.  Waits that were asked for before keep theirs."""

    def wait(self, stream: Any, event: Any) -> None:
        """What is given to `stream` from now on begins after what `event` stands for now."""

    def synchronize(self, event: Any) -> None:
        """Wait, without the GIL, until that is done.  Raises DeviceError if something on the way failed."""

    def done(self, event: Any) -> bool:
        """Whether it is done already."""

    # ------------------------------------------------------------------------------------------ copies

    def to_host(self, host: Bytes, address: int, stream: Any) -> None:
        """Queue a copy of device memory to page-locked memory, all of `host`."""

    def to_device(self, address: int, host: Bytes, stream: Any) -> None:
        """Queue a copy of page-locked memory, all of `host`, to device memory."""

    def copy(self, address: int, source: int, nbytes: int, stream: Any) -> None:
        """Queue a copy within device memory."""

    # ------------------------------------------------------------------------------------------ arrays

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        """A new device array, for work on `stream`.  Raises TapeMemoryError if there is no memory."""

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any, owner: Any) -> Any:
        """A device array over memory that is there, for work on `stream`; it keeps `owner` alive."""

    def source(self, array: Any, stream: Any, name: str = "array") -> Source:
        """The memory of a user's device array; `stream` waits for what the array's own stream still does to it.

        Raises TapeTypeError for what is no device array, TapeValueError for one that is not contiguous, DeviceError for
        one on another device.
        """
