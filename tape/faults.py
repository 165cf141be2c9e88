"""Stores for tests: one in memory, and one that fails where it is told to."""

import errno
import os
import random
import threading
import time
from collections.abc import Container
from itertools import count

from tape.errors import SpillError, TapeValueError
from tape.store import Store

__all__ = ["FaultStore", "MemoryStore"]


class MemoryStore(Store):
    """Slabs as bytes in a dict: no gain in memory, and all of the contract.  A store of your own may look like this."""

    def __init__(self) -> None:
        self._slots: dict[int, bytes] | None = {}
        self._numbers = count()
        self._lock = threading.Lock()

    def _open(self) -> dict[int, bytes]:
        if self._slots is None:
            raise SpillError("this MemoryStore is closed")
        return self._slots

    def write(self, data: memoryview) -> int:
        """Keep a copy: the memory of `data` is used for something else after the call."""
        kept = bytes(data)
        with self._lock:
            slot = next(self._numbers)
            self._open()[slot] = kept
        return slot

    def read(self, slot: int, out: memoryview) -> None:
        """Fill `out`, which is as large as what was written."""
        with self._lock:
            kept = self._open().get(slot)
        if kept is None or len(kept) != len(out):
            raise TapeValueError(f"slot {slot} holds no {len(out)} bytes")
        out[:] = kept

    def free(self, slot: int) -> None:
        """Forget a slot."""
        with self._lock:
            if self._open().pop(slot, None) is None:
                raise TapeValueError(f"slot {slot} holds nothing")

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            self._slots = None


# Which of the operations (1 is the first): one, several, any container, or none.
Which = int | Container[int] | None


def _listed(which: Which, n: int) -> bool:
    return which is not None and (n == which if isinstance(which, int) else n in which)


class FaultStore(Store):
    """A store that passes all to another one, and fails where it is told to.

    Writes and reads are counted from 1.  The same seed gives the same faults to the n-th write and the n-th read,
    whatever threads they come from.

    Parameters
    ----------
    inner : Store
        Where slabs go.  It is closed with this one.
    fail_write, fail_read : int, container of ints, or None
        These raise ``OSError(code)``; the inner store does not see them.  ``range(3, 10**9)``: from the third on.
    fail_rate : float
        Part of all writes and reads that do the same.
    full_after : int or None
        Writes fail that would bring the bytes written in total above this.
    code : int
        The errno of the failures above.
    tear_write : int, container of ints, or None
        Of these writes only a beginning reaches the inner store.  They raise ``OSError(EIO)``.
    silent : bool
        Torn writes return as if all were well; the slot ends in zeros.
    flip_write, flip_read : int, container of ints, or None
        One bit of the data is inverted, and nothing is raised.
    delay : float
        Most seconds that an operation waits before it starts; how long is random.

    Attributes
    ----------
    armed : bool
        False: all passes unharmed (the disk was mended).
    writes, reads, frees, faults, bytes_written : int
        What was asked for so far, and how many of the answers were faults; `bytes_written` is of writes that succeeded.
    """

    def __init__(
        self,
        inner: Store,
        *,
        fail_write: Which = None,
        fail_read: Which = None,
        fail_rate: float = 0.0,
        full_after: int | None = None,
        code: int = errno.ENOSPC,
        tear_write: Which = None,
        silent: bool = False,
        flip_write: Which = None,
        flip_read: Which = None,
        delay: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.inner = inner
        self.armed = True
        self.writes = self.reads = self.frees = self.faults = self.bytes_written = 0
        self._fail = {"write": fail_write, "read": fail_read}
        self._flip = {"write": flip_write, "read": flip_read}
        self._fail_rate, self._full_after, self._code = fail_rate, full_after, code
        self._tear_write, self._silent = tear_write, silent
        self._delay, self._seed = delay, seed
        self._lock = threading.Lock()

    def write(self, data: memoryview) -> int:
        """Pass to the inner store, or fail."""
        size = len(data)
        with self._lock:
            self.writes += 1
            n, armed = self.writes, self.armed
            full = armed and self._full_after is not None and self.bytes_written + size > self._full_after
            if not full:
                self.bytes_written += size
        try:
            return self._write(data, n, armed, full)
        except BaseException:
            if not full:
                with self._lock:
                    self.bytes_written -= size
            raise

    def _write(self, data: memoryview, n: int, armed: bool, full: bool) -> int:
        if not armed:
            return self.inner.write(data)
        chance = self._begin("write", n)
        if full:
            self._fail_now("write", n)
        if _listed(self._tear_write, n):
            self._count_fault()
            torn = bytearray(len(data))
            whole = chance.randrange(max(1, len(data)))
            torn[:whole] = data[:whole]
            slot = self.inner.write(memoryview(torn))
            if self._silent:
                return slot
            self.inner.free(slot)
            raise OSError(errno.EIO, f"write {n} was torn after {whole} bytes, as it was told to be")
        if _listed(self._flip["write"], n) and len(data):
            changed = bytearray(data)
            self._invert_a_bit(memoryview(changed), chance)
            return self.inner.write(memoryview(changed))
        return self.inner.write(data)

    def read(self, slot: int, out: memoryview) -> None:
        """Pass to the inner store, or fail."""
        with self._lock:
            self.reads += 1
            n, armed = self.reads, self.armed
        if not armed:
            self.inner.read(slot, out)
            return
        chance = self._begin("read", n)
        self.inner.read(slot, out)
        if _listed(self._flip["read"], n) and len(out):
            self._invert_a_bit(out, chance)

    def free(self, slot: int) -> None:
        """Pass to the inner store."""
        with self._lock:
            self.frees += 1
        self.inner.free(slot)

    def close(self) -> None:
        """Close the inner store."""
        self.inner.close()

    def _begin(self, operation: str, n: int) -> random.Random:
        """Wait and fail, if that is what the n-th is to do; return the source of its other chances."""
        # Of the number of the operation, not of the order in which threads come by.
        chance = random.Random(f"{self._seed} {operation} {n}")
        pause, risk = chance.random() * self._delay, chance.random()
        if pause:
            time.sleep(pause)
        if _listed(self._fail[operation], n) or risk < self._fail_rate:
            self._fail_now(operation, n)
        return chance

    def _fail_now(self, operation: str, n: int) -> None:
        self._count_fault()
        raise OSError(self._code, f"{os.strerror(self._code)}: {operation} {n} failed, as it was told to")

    def _count_fault(self) -> None:
        with self._lock:
            self.faults += 1

    def _invert_a_bit(self, data: memoryview, chance: random.Random) -> None:
        self._count_fault()
        bit = chance.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
