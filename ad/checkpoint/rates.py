"""How fast a tape writes to a directory and reads from it: measured once in a process."""

import threading
import time

import numpy as np

from ad.checkpoint.planner import Disk
from tape import LayerStats, SlabPool, Tape

__all__ = ["disk_rates", "known_rates"]

_BYTES = 64 << 20
"""What is written for a measurement, and read again; less where that takes longer than `_SECONDS` each."""
_SECONDS = 0.25
_MEMORY = 32 << 20
"""The most that the tape has for it: with less memory slabs are smaller, and the disk is slower."""
_lock = threading.Lock()
_known: dict[tuple[str | None, str | None, int], Disk] = {}


def known_rates(directory: str | None, compress: str | None, memory: int) -> Disk | None:
    """What was measured before, or None."""
    return _known.get((directory, compress, _like(memory)))


def disk_rates(directory: str | None, compress: str | None, memory: int) -> Disk:
    """The rates of a directory (None: the one for temporary files); the first time some MiB are written there.

    Raises the errors of a tape where nothing can be written.
    """
    with _lock:
        memory = _like(memory)
        found = _known.get((directory, compress, memory))
        if found is None:
            found = _known[directory, compress, memory] = _measured(directory, compress, memory)
        return found


def _like(memory: int) -> int:
    """The memory that is measured with for a limit: a power of two."""
    return min(1 << (memory - 1).bit_length(), _MEMORY)


def _measured(directory: str | None, compress: str | None, memory: int) -> Disk:
    block = np.random.default_rng(0).standard_normal(1 << 17)  # numbers that no codec finds anything in
    # With a pool of its own: its slabs are not kept, in addition to what the tape of the gradient may have.
    with Tape("f8", memory=memory, spill_dir=directory, compress=compress, pool=SlabPool()) as tape:

        def moved() -> LayerStats:
            found = tape.traffic()
            assert found is not None
            return found

        end = time.perf_counter() + _SECONDS
        while tape.nbytes < _BYTES + memory and (time.perf_counter() < end or not moved().bytes_written):
            tape.extend(block)
        end = time.perf_counter() + _SECONDS
        while len(tape) and (time.perf_counter() < end or not moved().bytes_read):
            tape.popn(len(block), out=block)
        found = moved()
        tape.clear()
    return Disk(found.write_rate, found.read_rate)
