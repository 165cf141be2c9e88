"""`DeviceTape`: the stack as a program that drives a GPU sees it."""

import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from tape.convert import fixed_dtype
from tape.cuda.device import Device, Source
from tape.cuda.host import HostStack
from tape.cuda.layout import Layout
from tape.cuda.marks import DeviceMark, Marks
from tape.cuda.movement import Slab, SlabStack
from tape.cuda.select import current_device
from tape.cuda.stats import DeviceStats
from tape.errors import (
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeMarkError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
)
from tape.sizes import format_bytes, parse_bytes
from tape.store import Store

__all__ = ["DeviceTape"]


class DeviceTape:
    """A stack of device arrays of one dtype and shape: in device memory, and beyond that on the host and on disk.

    Slabs of `device_memory` bytes in all hold the newest items.  When they are full, the oldest go to page-locked host
    memory, by copies on a stream of the tape's own, beside the program's kernels; beyond that to a host tape with all
    that it can do (a memory budget, spilling to disk, compression).  On the way back they are read ahead of the pops.

    Parameters
    ----------
    dtype : dtype-like
        Any NumPy dtype of fixed size without Python objects.
    shape : tuple of int, int or None
        That of an item.  ``None``: that of the first array pushed.
    device_memory : int, str or None
        Most device memory for slabs, at least two of them.  ``None``: half of what is free now.  Where the device
        refuses before that, the tape goes on with what it has.
    memory : int, str or None
        Most host memory: the page-locked part, and the budget of the host tape.  ``None`` for no limit.
    spill_dir : path, Store or None
        Where slabs go that have no room in `memory`, as for `tape.Tape`.
    pinned : int, str or None
        Page-locked memory, a part of `memory`; taken when the first slab leaves the device, and kept for the next tape
        of the process (`tape.cuda.release_pinned`).  ``None`` for 1 GiB, but half of `memory` at most.  What fits
        into it goes at the rate of the bus; what does not takes another copy on the host, in the calling thread.
    slab_bytes : int, str or None
        Bytes of a slab.  ``None`` for up to 32 MiB, but a 16th of `device_memory` and a 32nd of `memory` at most.
    expected : int or None
        Items that the tape will hold at most, if that is known, as in a time loop: slabs that will not have room then
        leave as soon as they are full.  ``None``: the tape goes by its last sweep, and the first time is slower where
        the bus is as slow as the kernels.  A wrong number costs time only.
    spill_limit, compress
        As for `tape.Tape`.
    device : Device or None
        Where the slabs are; ``None`` for the device that is current in Numba.

    Raises
    ------
    ImportError
        If the package ``numba-cuda`` is missing.
    DeviceError
        If there is no GPU.
    TapeValueError
        If the sizes do not go together; the message says what is needed.

    Notes
    -----
    Every call takes a `stream`: Numba's, CuPy's or PyTorch's, or a handle; ``None`` is the default stream.  What a call
    does is queued there, and the program goes on: it waits for the device only where host memory has to be used again.
    Different streams may be used in turn; the tape orders them.  Views (`reserve`, `peek`) are for work on the stream
    that they were asked for, given to it before the next call of the tape; what `reserve` gave may also be read by work
    that is given to that stream before the call after the next.

    One thread at a time.  A failed call leaves the tape as it was, except that after a `DeviceError` what lay in device
    memory may be lost with the device.

    Sources: CUDA C++ Programming Guide, "Asynchronous Concurrent Execution"; the order of eviction is that of
    `tape.residency`.
    """

    def __init__(
        self,
        dtype: npt.DTypeLike = "f8",
        shape: int | tuple[int, ...] | None = None,
        *,
        device_memory: int | str | None = None,
        memory: int | str | None = None,
        spill_dir: str | os.PathLike[str] | Store | None = None,
        pinned: int | str | None = None,
        slab_bytes: int | str | None = None,
        expected: int | None = None,
        spill_limit: int | str | None = None,
        compress: str | None = None,
        device: Device | None = None,
    ) -> None:
        self._closed = True  # should the rest fail
        self._lock = threading.Lock()
        self._dtype = fixed_dtype(dtype)
        self._device = current_device() if device is None else device
        self._device.enter()
        if device_memory is None:
            device_memory = self._device.free_bytes() // 2
        self._device_memory = parse_bytes(device_memory, "device_memory")
        self._sizes = [
            None if size is None else parse_bytes(size, name)
            for size, name in ((memory, "memory"), (pinned, "pinned"), (slab_bytes, "slab_bytes"))
        ]
        self._expected = 0 if expected is None else _count(expected, "expected")
        self._host_options = (spill_dir, spill_limit, compress)
        self._shape: tuple[int, ...] | None = None
        self._item_bytes = 0
        self._stack: SlabStack | None = None
        self._length = 0
        self._marks = Marks()
        self._finalizer: Callable[[], Any] | None = None
        self._closed = False
        if shape is not None:
            self._open((shape,) if isinstance(shape, int) else tuple(shape))

    def _open(self, shape: tuple[int, ...]) -> SlabStack:
        """Make the slabs for items of `shape`, now that it is known."""
        item = math.prod(shape) * self._dtype.itemsize
        if item <= 0:
            raise TapeValueError(f"shape: {shape} has no items, and a tape holds arrays that have some")
        layout = Layout.of(item, self._device_memory, *self._sizes)
        host = HostStack(layout.slab_bytes, layout.host_memory, *self._host_options)
        expected = -(-self._expected // (layout.slab_bytes // item))
        stack = SlabStack(self._device, layout.slab_bytes, layout.slabs, layout.pages, host, expected)
        # The stack, not the tape: what is finalised must not keep it alive.
        finalizer = weakref.finalize(self, stack.close)
        finalizer.atexit = False  # the driver may be gone by then, and takes all memory back itself
        self._stack, self._finalizer = stack, finalizer
        self._shape, self._item_bytes = shape, item
        return stack

    # ------------------------------------------------------------------------------------------- edges

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise TapeBusyError("the tape is in use by another thread")
        try:
            if self._closed:
                raise TapeClosedError("the tape is closed")
            self._device.enter()
            yield
        finally:
            self._lock.release()

    def _ready(self) -> SlabStack:
        if self._stack is None:
            raise TapeTypeError("the tape has no shape yet: give it shape=, or push an array first")
        return self._stack

    def _at_least(self, n: int) -> None:
        if n > self._length:
            raise TapeEmptyError(f"not enough items: {n} wanted, and the tape holds {self._length}")

    def _fits(self, array: Source, n: int | None, name: str) -> None:
        """Check an array of one item (`n` None) or of `n`; the first one gives the tape its shape."""
        if array.dtype != self._dtype:
            raise TapeTypeError(
                f"{name}: an array of dtype {array.dtype} for a {self._dtype} tape; convert it with astype()"
            )
        if self._shape is None:
            self._open(array.shape if n is None else array.shape[1:])
        assert self._shape is not None
        wanted = self._shape if n is None else (n, *self._shape)
        if array.shape != wanted:
            raise TapeValueError(f"{name}: an array of shape {array.shape} where {wanted} is wanted")

    # --------------------------------------------------------------------------------------- pushing

    def push(self, array: Any, stream: Any = None) -> None:
        """Push a copy of a device array: of Numba, or with ``__cuda_array_interface__`` or DLPack.

        Raises
        ------
        TapeTypeError, TapeValueError
            For an array in host memory or of another dtype; for another shape or a strided array.
        TapeMemoryError, SpillError
            If there is room nowhere; the tape is then as it was.
        """
        with self._turn():
            own = self._device.stream(stream)
            source = self._device.source(array, own)
            self._fits(source, None, "array")
            with self._all_or_nothing():
                self._copy_in(source.address, 1, own)

    def extend(self, arrays: Any, stream: Any = None) -> None:
        """Push the items of one device array of shape ``(n, *shape)``, first one first; all of them or none."""
        with self._turn():
            own = self._device.stream(stream)
            source = self._device.source(arrays, own, "arrays")
            if not source.shape:
                raise TapeValueError("arrays: an array of several items is wanted, and this one has no dimensions")
            self._fits(source, source.shape[0], "arrays")
            with self._all_or_nothing():
                self._copy_in(source.address, source.shape[0], own)

    def reserve(self, n: SupportsIndex | None = None, stream: Any = None) -> Any:
        """Push an item to be filled in by kernels: a device array over its memory, not initialised.

        Given a number, `n` items: shape ``(n, *shape)``, at most `max_reserve`.  The array is for work on `stream` that
        is given to it before the next call of the tape.
        """
        with self._turn():
            stack = self._ready()
            count = 1 if n is None else _count(n)
            if count > self.max_reserve or count == 0:
                raise TapeValueError(f"n: {count} items; one block has from 1 to max_reserve = {self.max_reserve}")
            own = self._device.stream(stream)
            with self._all_or_nothing():
                slab = self._writable(own, count)
                view = self._view(slab, slab.used, count if n is not None else None, own)
                slab.used += count * self._item_bytes
                self._length += count
            assert stack.top is slab
            return view

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = self._length
        try:
            yield
        except BaseException:
            self._cut(before)
            raise

    def _writable(self, stream: Any, count: int) -> Slab:
        """The top slab, with room for `count` items, for writing on `stream`."""
        stack = self._ready()
        if stack.slabs and stack.top.used + count * self._item_bytes <= stack.slab_bytes:
            slab = stack.bring()
        else:
            slab = stack.grow()
        stack.written(slab)
        assert slab.memory is not None
        slab.memory.use(stream)
        return slab

    def _copy_in(self, address: int, count: int, stream: Any) -> None:
        item = self._item_bytes
        while count > 0:
            slab = self._writable(stream, 1)
            assert slab.memory is not None
            now = min(count, (self._ready().slab_bytes - slab.used) // item)
            self._device.copy(slab.memory.address + slab.used, address, now * item, stream)
            slab.used += now * item
            self._length += now
            address += now * item
            count -= now

    # --------------------------------------------------------------------------------------- popping

    def pop(self, out: Any = None, stream: Any = None) -> Any:
        """Take the newest item off: a new device array, or `out`, filled on `stream`.

        Raises
        ------
        TapeEmptyError
            If there is none.
        SpillError
            If its slab cannot be read; the item is then still there.
        """
        with self._turn():
            return self._take(None, out, stream)

    def popn(self, n: SupportsIndex, out: Any = None, stream: Any = None) -> Any:
        """Take the newest `n` items off: a device array of shape ``(n, *shape)``, in the order of pushing."""
        with self._turn():
            return self._take(_count(n), out, stream)

    def _take(self, n: int | None, out: Any, stream: Any) -> Any:
        count = 1 if n is None else n
        self._at_least(count)
        self._ready()
        assert self._shape is not None
        own = self._device.stream(stream)
        room = out
        if out is None:
            room = self._device.empty(self._shape if n is None else (n, *self._shape), self._dtype, own)
        if count == 0:
            return room
        target = self._device.source(room, own, "out")
        self._fits(target, n, "out")
        if target.readonly:
            raise TapeValueError("out: the array is read-only")
        end = target.address + count * self._item_bytes
        taken = 0
        try:
            while taken < count:
                slab = self._readable(own)
                assert slab.memory is not None
                nbytes = min((count - taken) * self._item_bytes, slab.used)
                end -= nbytes
                self._device.copy(end, slab.memory.address + slab.used - nbytes, nbytes, own)
                self._sink(nbytes)
                taken += nbytes // self._item_bytes
        except BaseException:
            # What was taken already is in `room`: back with it.  The memory that it had is free.
            self._copy_in(target.address + (count - taken) * self._item_bytes, taken, own)
            raise
        self._marks.end(self._length)
        return room

    def peek(self, n: SupportsIndex | None = None, stream: Any = None) -> Any:
        """The newest item, or the newest `n`, where they lie: a device array to read from.

        It is for work on `stream` that is given to it before the next call of the tape, `drop` for example.  Items on
        both sides of a slab border have no common array: TapeValueError.
        """
        with self._turn():
            count = 1 if n is None else _count(n)
            self._at_least(max(count, 1))
            if count == 0:
                raise TapeValueError("n: 0 items have no place")
            own = self._device.stream(stream)
            slab = self._readable(own)
            if count * self._item_bytes > slab.used:
                raise TapeValueError(f"the newest {count} items lie on both sides of a slab border; popn() copies them")
            return self._view(slab, slab.used - count * self._item_bytes, None if n is None else count, own)

    def drop(self, n: SupportsIndex = 1) -> None:
        """Take the newest `n` items off, unread."""
        with self._turn():
            count = _count(n)
            self._at_least(count)
            self._cut(self._length - count)
            if count and self._length:
                self._ready().read_ahead()
            self._marks.end(self._length)

    def _readable(self, stream: Any) -> Slab:
        """The top slab, on the device, for reading on `stream`."""
        stack = self._ready()
        late = stack.top.memory is None
        slab = stack.bring()
        if late:
            stack.read_ahead()
        assert slab.memory is not None
        slab.memory.use(stream)
        return slab

    def _sink(self, nbytes: int) -> None:
        """Take bytes of the top slab off."""
        stack = self._ready()
        stack.top.used -= nbytes
        self._length -= nbytes // self._item_bytes
        if stack.top.used == 0:
            stack.cut(len(stack.slabs) - 1)
            stack.read_ahead()

    def _cut(self, length: int) -> None:
        """Drop items until `length` are left, and slabs on top that are then empty."""
        stack = self._stack
        if stack is None:
            return
        over = (self._length - length) * self._item_bytes
        count = len(stack.slabs)
        while count and over >= stack.slabs[count - 1].used:
            count -= 1
            over -= stack.slabs[count].used
        stack.cut(count)
        if over:
            stack.top.used -= over
        self._length = length

    def _view(self, slab: Slab, offset: int, n: int | None, stream: Any) -> Any:
        assert slab.memory is not None and self._shape is not None
        shape = self._shape if n is None else (n, *self._shape)
        return self._device.view(slab.memory.address + offset, shape, self._dtype, stream, slab.memory.memory)

    # ------------------------------------------------------------------------------------------- marks

    def mark(self) -> DeviceMark:
        """A mark of the present length, to `rewind` to.  Marks nest.  Popping past a mark ends it."""
        with self._turn():
            return self._marks.take(self, self._length)

    def rewind(self, mark: DeviceMark) -> None:
        """Drop all that was pushed since `mark`, later marks included.  The mark stays good.

        Raises TapeMarkError if the tape was popped past the mark, or the mark is another tape's; SpillError if the slab
        on disk in which the mark lies cannot be read.
        """
        if not isinstance(mark, DeviceMark):
            raise TapeTypeError(f"mark: a DeviceMark, not {type(mark).__name__}")
        with self._turn():
            if mark.tape is not self or not mark.live:
                raise TapeMarkError("the tape was popped past this mark, or the mark is another tape's")
            self._cut(mark.position)
            self._marks.keep(mark)

    # ------------------------------------------------------------------------------------- end of life

    def clear(self) -> None:
        """Drop all items.  The memory stays with the tape for its next growth."""
        with self._turn():
            self._cut(0)
            self._marks.end(self._length)

    def close(self) -> None:
        """Drop all items, give all memory back, and refuse all further use.  A second close does nothing.

        It waits for the copies that are under way.
        """
        if self._closed:
            return
        with self._turn():
            self._closed = True
            self._marks.end(-1)
            self._length = 0
            if self._finalizer is not None:
                self._finalizer()

    @property
    def closed(self) -> bool:
        return self._closed

    def __enter__(self) -> Self:
        if self._closed:
            raise TapeClosedError("the tape is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TapeTypeError("a tape is memory of this process and cannot be pickled or copied")

    # ------------------------------------------------------------------------------------- observation

    def __len__(self) -> int:
        return self._length

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of an item; None as long as it is not known."""
        return self._shape

    @property
    def itemsize(self) -> int:
        """Bytes of one item; 0 as long as its shape is not known."""
        return self._item_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the items on the tape."""
        return self._length * self._item_bytes

    @property
    def device(self) -> Device:
        return self._device

    @property
    def max_reserve(self) -> int:
        """Most items that one `reserve` can give: those of a slab."""
        return self._ready().slab_bytes // self._item_bytes

    def stats(self) -> DeviceStats:
        """A snapshot of where the bytes are, and what was moved; of a closed tape too."""
        return DeviceStats.of(self._length, self._item_bytes, self._stack)

    def __repr__(self) -> str:
        about = f"{self._dtype}{'' if self._shape is None else list(self._shape)}"
        if self._closed:
            return f"<DeviceTape {about}: closed>"
        return f"<DeviceTape {about}: {self._length} items ({format_bytes(self.nbytes)}) on {self._device.name}>"


def _count(n: SupportsIndex, name: str = "n") -> int:
    try:
        count = n.__index__()
    except AttributeError:
        raise TapeTypeError(f"{name}: a number of items, not {type(n).__name__}") from None
    if count < 0:
        raise TapeValueError(f"{name}: {count} items; a number of items is not negative")
    if count > 2**62:
        raise TapeMemoryError(f"{name}: {count} items are more than any machine holds")
    return count
