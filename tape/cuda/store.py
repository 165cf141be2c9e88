"""`DeviceStore`: device memory as the place that host tapes spill to."""

import bisect
import errno
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tape.cuda.device import Bytes, Device, Memory
from tape.cuda.hostcopy import copy_bytes
from tape.cuda.select import current_device
from tape.cuda.staging import Staging, Window
from tape.errors import SpillError, TapeMemoryError, TapeValueError
from tape.sizes import format_bytes, parse_bytes
from tape.store import Store

__all__ = ["DeviceStore"]

_PAGE_BYTES = 4 << 20  # what slabs of host tapes grow to
_ROUND = 4096


class DeviceStore(Store):
    """Slabs of host tapes in the memory of a GPU, which is nearer than a disk::

        with DeviceStore("16 GiB") as store, Tape(memory="1 GiB", spill_dir=store) as t:
            t.add_spill_dir("/scratch")      # where slabs go when the GPU is full
            ...

    Parameters
    ----------
    device_memory : int, str or None
        Most memory to take; ``None`` for half of what is free now.  It is taken as it is needed, and kept for other
        slabs until the store is closed.
    device : Device or None
        ``None`` for the device that is current in Numba.

    Raises
    ------
    ImportError, DeviceError
        If the package ``numba-cuda`` or a GPU is missing.

    Notes
    -----
    A write that finds no room raises SpillError with ``errno.ENOSPC``, like a full disk.  Slabs go through page-locked
    pages, two for each thread that moves slabs at once.
    """

    def __init__(self, device_memory: int | str | None = None, *, device: Device | None = None) -> None:
        self._device = current_device() if device is None else device
        self._device.enter()
        self.limit = (
            self._device.free_bytes() // 2 if device_memory is None else parse_bytes(device_memory, "device_memory")
        )
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._slots: dict[int, tuple[Memory, int]] = {}
        self._free: list[tuple[int, int, Memory]] = []  # by size; the second number keeps memories from being compared
        self._sizes: dict[int, int] = {}
        self._stagings: list[Staging] = []
        self._busy = 0
        self._open = True
        self.used_bytes = 0
        """Device memory that the store holds."""

    # ---------------------------------------------------------------------------------------- contract

    def write(self, data: memoryview) -> int:
        """Copy a slab to the device; the number of its slot."""
        source = np.frombuffer(data, np.uint8)
        self._device.enter()
        memory = self._room(len(source))
        try:
            with self._staging() as staging:
                staging.upload(self._windows(memory, source, into_page=True, page_bytes=staging.page_bytes))
                staging.settle()
        except BaseException:
            with self._lock:
                self._give_back(memory)
            raise
        with self._lock:
            slot = next(self._numbers)
            self._slots[slot] = memory, len(source)
        return slot

    def read(self, slot: int, out: memoryview) -> None:
        """Copy a slab back."""
        target = np.frombuffer(out, np.uint8)
        with self._lock:
            self._check_open()
            found = self._slots.get(slot)
        if found is None or found[1] != len(target):
            raise TapeValueError(f"slot {slot} holds no {len(target)} bytes")
        self._device.enter()
        with self._staging() as staging:
            staging.download(self._windows(found[0], target, into_page=False, page_bytes=staging.page_bytes))

    def free(self, slot: int) -> None:
        """Forget a slab; its memory serves the next one."""
        with self._lock:
            found = self._slots.pop(slot, None)
            if found is None:
                raise TapeValueError(f"slot {slot} holds nothing")
            self._give_back(found[0])

    def close(self) -> None:
        """Forget all, and give the memory back.  A second close does nothing."""
        with self._lock:
            self._open = False
            idle, self._stagings = self._stagings, []
            self._slots.clear()
            self._free.clear()
            self._sizes.clear()
            self.used_bytes = 0
        for staging in idle:
            staging.close()

    # ------------------------------------------------------------------------------------------- parts

    def _check_open(self) -> None:
        if not self._open:
            raise SpillError("this DeviceStore is closed")

    def _room(self, nbytes: int) -> Memory:
        """Memory for a slab: that of one which is gone, of up to twice the size, or new."""
        wanted = max(-(-nbytes // _ROUND), 1) * _ROUND
        with self._lock:
            self._check_open()
            at = bisect.bisect_left(self._free, (wanted, -1))
            if at < len(self._free) and self._free[at][0] <= 2 * wanted:
                return self._free.pop(at)[2]
            while self._free and self.used_bytes + wanted > self.limit:
                self._forget(self._free.pop()[2])
            if self.used_bytes + wanted > self.limit:
                raise self._full(nbytes, f"{format_bytes(self.used_bytes)} of {format_bytes(self.limit)} are in use")
            while True:
                try:
                    memory = self._device.alloc(wanted)
                    break
                except TapeMemoryError as error:
                    if not self._free:
                        raise self._full(nbytes, str(error)) from error
                    self._forget(self._free.pop()[2])
            self._sizes[memory.address] = wanted
            self.used_bytes += wanted
            return memory

    def _full(self, nbytes: int, why: str) -> SpillError:
        where = self._device.name
        return SpillError(f"no room on {where} for a slab of {nbytes} bytes: {why}", errno.ENOSPC, where, nbytes)

    def _give_back(self, memory: Memory) -> None:
        size = self._sizes.get(memory.address)
        if size is not None:  # else the store was closed meanwhile
            bisect.insort(self._free, (size, memory.address, memory))

    def _forget(self, memory: Memory) -> None:
        self.used_bytes -= self._sizes.pop(memory.address)

    @contextmanager
    def _staging(self) -> Iterator[Staging]:
        with self._lock:
            found = self._stagings.pop() if self._stagings else None
        used = Staging(self._device, _PAGE_BYTES) if found is None else found
        try:
            yield used
        except BaseException:
            used.close()
            raise
        with self._lock:
            if self._open:
                self._stagings.append(used)
                return
        used.close()

    @staticmethod
    def _windows(memory: Memory, host: Bytes, into_page: bool, page_bytes: int) -> Iterator[Window]:
        for start in range(0, len(host), page_bytes):
            part = host[start : start + page_bytes]

            def copy(page: Bytes, part: Bytes = part) -> None:
                copy_bytes((page, part) if into_page else (part, page))

            yield memory.address + start, len(part), copy

    def __repr__(self) -> str:
        return f"<DeviceStore on {self._device.name}: {len(self._slots)} slabs, {format_bytes(self.used_bytes)}>"
