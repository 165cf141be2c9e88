"""`CompressedStore`: slabs on their way to another store, made smaller by Blosc2 (the extra `compress`).

Bytes are first shuffled by the size of an item, so that signs and exponents lie together; then LZ4 or Zstandard packs
them.  Blosc2 holds the GIL while it works (unless the program told it not to, `blosc2.set_releasegil`) and is asked for
one thread a slab, since a tape has two writers and two readers.  It trusts what it unpacks, so packed bytes carry a
checksum, which is looked at first.
"""

import importlib
import statistics
import threading
import time
from collections import deque
from typing import Any

from tape.checksum import xxh64
from tape.errors import SpillCorruptionError, TapeTypeError, TapeValueError
from tape.store import Store

__all__ = ["CODECS", "CompressedStore", "check_codec"]

CODECS = ("auto", "lz4", "zstd")

RAW, STRONGEST = "raw", "zstd"
_LEVELS = {"lz4": 5, "zstd": 1}  # for zstd, more takes three times as long for a few percent
_LARGEST = 2**31 - 1 - 32  # bytes that Blosc2 takes at once

_TRIALS = 3  # slabs for each way, before one is chosen
_RECHECK = 64  # one slab of so many goes one of the other ways
_GAIN = 0.9  # of the time of a raw slab: what packing must stay below to be worth the processor that it takes
_SAMPLES = 5


def check_codec(codec: object, name: str = "compress") -> str:
    """One of `CODECS`.  Raises TapeTypeError or TapeValueError, naming the argument."""
    if not isinstance(codec, str):
        raise TapeTypeError(f"{name}: one of {', '.join(map(repr, CODECS))}, not {type(codec).__name__}")
    if codec not in CODECS:
        raise TapeValueError(f"{name}: {codec[:40]!r}; it is one of {', '.join(map(repr, CODECS))}")
    return codec


def _blosc2() -> Any:
    try:
        return importlib.import_module("blosc2")
    except ImportError as error:
        raise ImportError('compress needs blosc2: pip install "layered-tape[compress]"') from error


class _Choice:
    """Which way is the fastest, by what the transfers so far took; a second of writing counts like one of reading.

    Slabs grow, and small ones take longer for a byte: only those of the largest size so far are compared.
    """

    def __init__(self) -> None:
        self.best = RAW
        self._lock = threading.Lock()
        self._size = 0
        self._writes = 0
        self._forget()

    def _forget(self) -> None:
        self._written = {way: deque[float](maxlen=_SAMPLES) for way in (RAW, "lz4", "zstd")}
        self._read = {way: deque[float](maxlen=_SAMPLES) for way in self._written}

    def next(self, size: int) -> str:
        """The way that the next slab goes."""
        with self._lock:
            if size > self._size:
                self._size, self._writes = size, 0
                self._forget()
            elif size < self._size:
                return self.best
            n, ways = self._writes, list(self._written)
            self._writes += 1
            if n < _TRIALS * len(ways):
                return ways[n % len(ways)]
            if n % _RECHECK == 0:
                ways.remove(self.best)
                return ways[n // _RECHECK % len(ways)]
            return self.best

    def wrote(self, way: str, size: int, seconds: float) -> None:
        self._took(self._written, way, size, seconds)

    def read(self, way: str, size: int, seconds: float) -> None:
        self._took(self._read, way, size, seconds)

    def _took(self, samples: dict[str, deque[float]], way: str, size: int, seconds: float) -> None:
        with self._lock:
            if size != self._size:
                return
            samples[way].append(seconds)
            if not all(self._written.values()):
                return
            # Medians: a thread that waits for the GIL or the processor says nothing about the way.
            costs = {w: statistics.median(self._written[w]) for w in self._written}
            if all(self._read.values()):
                costs = {w: cost + statistics.median(self._read[w]) for w, cost in costs.items()}
            packed = min("lz4", "zstd", key=costs.__getitem__)
            self.best = packed if costs[packed] < _GAIN * costs[RAW] else RAW


class CompressedStore(Store):
    """A store that packs slabs before another one keeps them; what does not shrink is kept as it is.

    Parameters
    ----------
    inner : Store
        Where slabs go.  It is closed with this one.
    codec : {"lz4", "zstd", "auto"}
        ``"lz4"`` is fast, ``"zstd"`` smaller.  ``"auto"`` packs only where that saves time: it sends some slabs each
        way, measures, and goes on with the fastest, looking at the others now and then.  It packs anyway from the time
        that half of the limit of `inner` is used, and what `inner` refuses otherwise, such as a full disk.
    itemsize : int
        Bytes of an item, by which the bytes are shuffled.

    Raises
    ------
    ImportError
        Without Blosc2; the message names the extra to install.

    Notes
    -----
    Every transfer under way has a packed copy of its slab, which no memory budget counts: up to four at once.
    """

    def __init__(self, inner: Store, *, codec: str = "lz4", itemsize: int = 8) -> None:
        if not isinstance(inner, Store):
            raise TapeTypeError(f"inner: a Store, not {type(inner).__name__}")
        self.inner = inner
        self.asked = check_codec(codec, "codec")
        if itemsize < 1:
            raise TapeValueError(f"itemsize: {itemsize}; an item has at least one byte")
        self._blosc2 = _blosc2()
        self._typesize = itemsize if itemsize <= 255 else 8 if itemsize % 8 == 0 else 1
        self._choice = _Choice() if codec == "auto" else None
        # By slot: the codec, the size, the packed size, and the checksum of the packed bytes.  Slots not in here are
        # raw.  There is no lock around it: a child process may close a store that a thread of the parent was using.
        self._packed: dict[int, tuple[str, int, int, int]] = {}
        self._counting = threading.Lock()
        self._raw_slabs = self._packed_slabs = self._bytes = self._stored = 0

    def write(self, data: memoryview) -> int:
        """Pack and pass on; what `inner` raises is raised."""
        choice, size = self._choice, len(data)
        way = self.asked if choice is None else STRONGEST if self._short() else choice.next(size)
        start = time.perf_counter()
        try:
            slot = self._put(data, way)
        except OSError:  # SpillError is one
            if choice is None or way == STRONGEST:
                raise
            return self._put(data, STRONGEST)  # slower than the best way, but there may be room for it
        if choice is not None:
            choice.wrote(way, size, time.perf_counter() - start)
        return slot

    def _short(self) -> bool:
        """Whether room is worth more than time."""
        limit: int | None = getattr(self.inner, "limit", None)
        return limit is not None and 2 * self.used_bytes > limit

    def _put(self, data: memoryview, way: str) -> int:
        size = stored = len(data)
        packed = self._pack(data, way) if way != RAW and size <= _LARGEST else None
        if packed is None or len(packed) >= size:
            slot = self.inner.write(data)
        else:
            stored = len(packed)
            note = way, size, stored, xxh64(packed)
            slot = self.inner.write(memoryview(packed))
            self._packed[slot] = note
        with self._counting:
            self._raw_slabs += stored == size
            self._packed_slabs += stored < size
            self._bytes += size
            self._stored += stored
        return slot

    def _pack(self, data: memoryview, codec: str) -> bytes | None:
        """The packed bytes; None if there is no memory for them, or Blosc2 cannot."""
        blosc2 = self._blosc2
        try:
            return blosc2.compress2(
                data,
                codec=blosc2.Codec[codec.upper()],
                clevel=_LEVELS[codec],
                typesize=self._typesize,
                filters=[blosc2.Filter.SHUFFLE],
                filters_meta=[0],
                nthreads=1,
            )
        except (MemoryError, RuntimeError):
            return None

    def read(self, slot: int, out: memoryview) -> None:
        """Fill `out`; SpillCorruptionError if what `inner` holds is not what was written there."""
        start = time.perf_counter()
        note = self._packed.get(slot)
        if note is None:
            way = RAW
            self.inner.read(slot, out)
        else:
            way, size, stored, checksum = note
            if size != len(out):
                raise TapeValueError(f"slot {slot} holds {size} bytes, not {len(out)}")
            packed = bytearray(stored)
            self.inner.read(slot, memoryview(packed))
            if xxh64(packed) != checksum:
                raise SpillCorruptionError(
                    f"slot {slot} of {self.inner!r} ({stored} bytes, packed) did not come back as it was written: its "
                    "checksum differs"
                )
            self._blosc2.decompress2(packed, dst=out, nthreads=1)
        if self._choice is not None:
            self._choice.read(way, len(out), time.perf_counter() - start)

    def free(self, slot: int) -> None:
        """Forget a slot."""
        self._packed.pop(slot, None)  # before another thread can be given the same number
        self.inner.free(slot)

    def close(self) -> None:
        """Close the inner store."""
        self.inner.close()
        self._packed.clear()

    @property
    def codec(self) -> str:
        """What most slabs are packed with now: ``"lz4"``, ``"zstd"``, or ``"raw"`` where packing does not pay."""
        return self.asked if self._choice is None else self._choice.best

    @property
    def ratio(self) -> float:
        """Bytes of all slabs written so far, over the bytes that the inner store was given; 1.0 before the first."""
        return self._bytes / self._stored if self._stored else 1.0

    @property
    def raw_slabs(self) -> int:
        """Slabs written so far as they were."""
        return self._raw_slabs

    @property
    def compressed_slabs(self) -> int:
        """Slabs written so far and packed."""
        return self._packed_slabs

    @property
    def file_bytes(self) -> int:
        """What the inner store occupies."""
        return getattr(self.inner, "file_bytes", 0)

    @property
    def used_bytes(self) -> int:
        """What live slots take of that."""
        return getattr(self.inner, "used_bytes", 0)

    def __repr__(self) -> str:
        return f"<CompressedStore over {self.inner!r}: {self.codec}, {self.ratio:.2f} to 1>"
