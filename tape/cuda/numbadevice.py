"""A GPU, through Numba's CUDA target (the package ``numba-cuda``).

Memory comes from Numba, so that the memory manager which the user gave it (CuPy's, RMM's) is respected.  Streams,
events and copies go to the driver by ``cuda.bindings``, on which numba-cuda itself stands: Numba's own streams wait for
the default stream and it for them, so that nothing would overlap with kernels there.
"""

from typing import Any

import numpy as np
from cuda.bindings import driver
from numba import cuda
from numba.cuda.cudadrv.driver import CudaAPIError
from numba.cuda.cudadrv.error import CudaDriverError, CudaSupportError

from tape.cuda.device import Bytes, Source
from tape.cuda.interop import foreign_array
from tape.errors import DeviceError, TapeMemoryError, TapeTypeError
from tape.sizes import format_bytes

__all__ = ["NumbaDevice", "current_ordinal"]

_SUCCESS = driver.CUresult.CUDA_SUCCESS
_NO_MEMORY = driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
_NOT_READY = driver.CUresult.CUDA_ERROR_NOT_READY


def _check(status: Any, doing: str) -> None:
    if status != _SUCCESS:
        raise DeviceError(
            f"the GPU failed at {doing}: {getattr(status, 'name', status)}. If a kernel or copy before it failed, what "
            "lay in device memory is lost; Numba, CuPy and the like cannot use the device in this process any more"
        )


def current_ordinal() -> int:
    """Number of the device that is current in Numba.  Raises DeviceError if there is none."""
    try:
        return int(cuda.get_current_device().id)
    except (CudaSupportError, CudaDriverError) as error:
        raise DeviceError(f"there is no GPU to use: {' '.join(str(error).split())}") from None
    except Exception as error:  # cuda.bindings: the driver's library is not there
        raise DeviceError(f"there is no GPU to use: {error}") from None


class _Memory:
    """What Numba's memory manager gave; given back when the last reference goes, that of a view included."""

    __slots__ = ("address", "pointer")

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer
        self.address = int(pointer.device_ctypes_pointer.value)


class NumbaDevice:
    """The device of this number; its primary context, as Numba uses it."""

    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        self._context = cuda.current_context()
        name = self._context.device.name
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self._handle = self._current()

    @staticmethod
    def _current() -> int:
        status, handle = driver.cuCtxGetCurrent()
        _check(status, "asking for its context")
        return int(handle)

    def enter(self) -> None:
        """Make the device current in a thread that has none."""
        handle = self._current()
        if handle == 0:
            cuda.current_context()
            handle = self._current()
        if handle != self._handle:
            raise DeviceError(
                f"the tape is on device {self.ordinal} ({self.name}), and another one is current in this thread: "
                f"use it in `with cuda.gpus[{self.ordinal}]:`"
            )

    def free_bytes(self) -> int:
        """Memory that could be had now."""
        try:
            return int(self._context.get_memory_info().free)
        except NotImplementedError:  # a memory manager of the user's that does not tell
            status, free, _total = driver.cuMemGetInfo()
            _check(status, "asking for its free memory")
            return int(free)

    def alloc(self, nbytes: int) -> _Memory:
        """Memory from Numba's memory manager."""
        try:
            return _Memory(self._context.memalloc(nbytes))
        except (CudaAPIError, MemoryError) as error:
            if isinstance(error, MemoryError) or error.code == _NO_MEMORY:
                raise TapeMemoryError(f"{self.name} has no {format_bytes(nbytes)} of memory left") from None
            raise DeviceError(f"the GPU failed at an allocation: {error}") from error

    def flush(self) -> None:
        """Numba frees some pieces at a time; other libraries in the process would miss up to ten slabs."""
        pending = getattr(self._context.memory_manager, "deallocations", None)
        if pending is None:
            return
        try:
            pending.clear()
        except CudaAPIError as error:
            raise DeviceError(f"the GPU failed at giving memory back: {error}") from error

    def alloc_pinned(self, nbytes: int) -> Bytes:
        """Page-locked memory from Numba."""
        try:
            return cuda.pinned_array(nbytes, np.uint8)
        except (CudaAPIError, MemoryError) as error:
            if isinstance(error, MemoryError) or error.code == _NO_MEMORY:
                raise TapeMemoryError(f"the system has no {format_bytes(nbytes)} of memory to lock") from None
            raise DeviceError(f"the GPU failed at locking memory: {error}") from error

    # ------------------------------------------------------------------------------------------- order

    def new_stream(self) -> int:
        """A stream that does not wait for the default stream, nor it for this one."""
        status, stream = driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
        _check(status, "making a stream")
        return int(stream)

    def drop_stream(self, stream: int) -> None:
        """Give a stream back."""
        _check(driver.cuStreamDestroy(stream)[0], "giving a stream back")

    def stream(self, given: Any) -> int:
        """The handle of a stream of Numba, CuPy or PyTorch, of one that has ``__cuda_stream__``, or a handle itself."""
        if given is None:
            return 0
        if isinstance(given, int) and not isinstance(given, bool):
            return given
        protocol = getattr(given, "__cuda_stream__", None)
        if protocol is not None:
            return int((protocol() if callable(protocol) else protocol)[1])
        for name in ("ptr", "cuda_stream", "handle"):
            handle = getattr(given, name, None)
            if handle is not None:
                return int(handle)
        raise TapeTypeError(
            f"stream: a stream of Numba, CuPy or PyTorch, its handle, or None, not {type(given).__name__}"
        )

    def new_event(self) -> Any:
        """An event without a time, which costs less."""
        status, event = driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING)
        _check(status, "making an event")
        return event

    def record(self, event: Any, stream: int) -> None:
        """`event` stands for all that was given to `stream` so far."""
        _check(driver.cuEventRecord(event, stream)[0], "recording an event")

    def wait(self, stream: int, event: Any) -> None:
        """What follows on `stream` waits."""
        _check(driver.cuStreamWaitEvent(stream, event, 0)[0], "ordering two streams")

    def synchronize(self, event: Any) -> None:
        """The host waits."""
        _check(driver.cuEventSynchronize(event)[0], "work that was under way")

    def done(self, event: Any) -> bool:
        """Whether the host would not wait."""
        status = driver.cuEventQuery(event)[0]
        if status == _NOT_READY:
            return False
        _check(status, "work that was under way")
        return True

    # ------------------------------------------------------------------------------------------ copies

    def to_host(self, host: Bytes, address: int, stream: int) -> None:
        """Asynchronous, `host` being page-locked."""
        _check(driver.cuMemcpyDtoHAsync(host.ctypes.data, address, len(host), stream)[0], "a copy to the host")

    def to_device(self, address: int, host: Bytes, stream: int) -> None:
        """Asynchronous, `host` being page-locked."""
        _check(driver.cuMemcpyHtoDAsync(address, host.ctypes.data, len(host), stream)[0], "a copy to the device")

    def copy(self, address: int, source: int, nbytes: int, stream: int) -> None:
        """Within device memory."""
        _check(driver.cuMemcpyDtoDAsync(address, source, nbytes, stream)[0], "a copy on the device")

    # ------------------------------------------------------------------------------------------ arrays

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], stream: int) -> Any:
        """A Numba device array."""
        nbytes = max(int(np.prod(shape, dtype=object)) * dtype.itemsize, 1)
        memory = self.alloc(nbytes)
        return self.view(memory.address, shape, dtype, stream, memory)

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: int, owner: Any) -> Any:
        """A Numba device array, bound to `stream`."""
        described: dict[str, Any] = {
            "shape": shape,
            "strides": None,
            "typestr": dtype.str,
            "data": (address, False),
            "stream": stream or None,
            "version": 3,
        }
        array = cuda.from_cuda_array_interface(described, owner=owner, sync=False)
        return array if dtype.fields is None else array.view(dtype)

    def source(self, array: Any, stream: int, name: str = "array") -> Source:
        """By the CUDA array interface or DLPack; that the memory is this device's is asked of the driver."""

        def follow(producer: int) -> None:
            if producer != stream:
                event = self.new_event()
                try:
                    self.record(event, producer)
                    self.wait(stream, event)
                finally:
                    driver.cuEventDestroy(event)

        found = foreign_array(array, stream, follow, self.ordinal, name)
        if found.nbytes:
            attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
            status, ordinal = driver.cuPointerGetAttribute(attribute, found.address)
            if status != _SUCCESS:
                raise TapeTypeError(f"{name}: the driver knows of no memory at {found.address:#x}")
            if int(ordinal) != self.ordinal:
                raise DeviceError(f"{name}: it is on device {ordinal}, and the tape on device {self.ordinal}")
        return found
