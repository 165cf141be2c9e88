"""Numba's CUDA simulator (``NUMBA_ENABLE_CUDASIM=1``) as a device: everything is done at once, in host memory.

It shows that programs and kernels are right.  It cannot show that streams are ordered, that copies overlap, or what
happens when memory runs out: `tape.cuda.testing.FakeDevice` does.
"""

import ctypes
from typing import Any

import numpy as np
from numba import cuda

from tape.cuda.device import Bytes, Source
from tape.errors import TapeMemoryError, TapeTypeError, TapeValueError

__all__ = ["SimulatorDevice"]

_FREE_BYTES = 1 << 30  # what it says is free; the simulator does not count


class _Memory:
    __slots__ = ("address", "array")

    def __init__(self, nbytes: int) -> None:
        room = np.empty(nbytes + 256, np.uint8)
        start = -room.ctypes.data % 256
        self.array = room[start : start + nbytes]
        self.address = self.array.ctypes.data


class SimulatorDevice:
    """The simulated device."""

    name = "the CUDA simulator"

    def enter(self) -> None:
        """There is one device only."""

    def free_bytes(self) -> int:
        """An invented number."""
        return _FREE_BYTES

    def alloc(self, nbytes: int) -> _Memory:
        """Host memory."""
        try:
            return _Memory(nbytes)
        except MemoryError as error:
            raise TapeMemoryError(str(error)) from None

    def flush(self) -> None:
        """Nothing to do."""

    def alloc_pinned(self, nbytes: int) -> Bytes:
        """Host memory."""
        return np.empty(nbytes, np.uint8)

    def new_stream(self) -> Any:
        """A stream that does nothing."""
        return cuda.stream()

    def drop_stream(self, stream: Any) -> None:
        """Nothing to do."""

    def stream(self, given: Any) -> Any:
        """Any object."""
        return 0 if given is None else given

    def new_event(self) -> Any:
        """An event that does nothing."""
        return cuda.event()

    def record(self, event: Any, stream: Any) -> None:
        """Nothing to do."""

    def wait(self, stream: Any, event: Any) -> None:
        """Nothing to do."""

    def synchronize(self, event: Any) -> None:
        """Nothing to do."""

    def done(self, event: Any) -> bool:
        """Everything is done at once."""
        return True

    def to_host(self, host: Bytes, address: int, stream: Any) -> None:
        """A copy."""
        ctypes.memmove(host.ctypes.data, address, len(host))

    def to_device(self, address: int, host: Bytes, stream: Any) -> None:
        """A copy."""
        ctypes.memmove(address, host.ctypes.data, len(host))

    def copy(self, address: int, source: int, nbytes: int, stream: Any) -> None:
        """A copy."""
        ctypes.memmove(address, source, nbytes)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> Any:
        """A device array of the simulator."""
        return cuda.device_array(shape, dtype)

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any, owner: _Memory) -> Any:
        """A device array of the simulator over a part of `owner`."""
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        offset = address - owner.address
        nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        return FakeCUDAArray(owner.array[offset : offset + nbytes].view(dtype).reshape(shape))

    def source(self, array: Any, stream: Any, name: str = "array") -> Source:
        """Device arrays of the simulator have no interface for others."""
        if not getattr(array, "__cuda_ndarray__", False):
            raise TapeTypeError(f"{name}: an array in device memory is wanted, not {type(array).__name__}")
        if not array.is_c_contiguous():
            raise TapeValueError(f"{name}: a strided array; make it contiguous (C order) first")
        return Source(array.ctypes.data, tuple(array.shape), array.dtype, array)
