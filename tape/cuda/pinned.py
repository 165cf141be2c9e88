"""Page-locked memory: one block for a tape, taken once, kept for the next tape.

Locking pages costs about as much as writing them, and the driver may stop the device for it; giving them back too.
"""

import threading
import weakref

from tape.cuda.device import Bytes, Device
from tape.errors import TapeMemoryError

__all__ = ["give_block", "release_pinned", "take_block"]

_lock = threading.Lock()
_idle: "weakref.WeakKeyDictionary[Device, list[Bytes]]" = weakref.WeakKeyDictionary()


def take_block(device: Device, nbytes: int, least: int) -> Bytes:
    """A block of `nbytes`; where there are not so many, of half of that, and so on down to `least`.

    Raises TapeMemoryError if not even those can be had.
    """
    with _lock:
        idle = _idle.get(device, [])
        fit = min((b for b in idle if nbytes <= len(b) <= 2 * nbytes), key=len, default=None)
        if fit is not None:
            idle[:] = [b for b in idle if b is not fit]
            return fit
    while True:
        try:
            return device.alloc_pinned(nbytes)
        except TapeMemoryError:
            if release_pinned(device):
                continue
            if nbytes <= least:
                raise
            nbytes = max(nbytes // 2, least)


def give_block(device: Device, block: Bytes) -> None:
    """Keep a block, which no stream uses any more, for the next tape."""
    with _lock:
        _idle.setdefault(device, []).append(block)


def release_pinned(device: Device | None = None) -> int:
    """Give the page-locked memory that no tape uses back to the system; the number of bytes."""
    with _lock:
        blocks = [b for d, kept in _idle.items() if device is None or d is device for b in kept]
        if device is None:
            _idle.clear()
        else:
            _idle.pop(device, None)
    return sum(len(b) for b in blocks)
