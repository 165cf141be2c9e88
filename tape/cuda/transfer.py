"""`Tape.to_device` and `Tape.from_device`: host tapes to device arrays and back."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tape.core import Tape
from tape.cuda.device import Bytes, Device, Source
from tape.cuda.hostcopy import copy_bytes
from tape.cuda.select import current_device
from tape.cuda.staging import Window, staging
from tape.errors import TapeBusyError, TapeTypeError, TapeValueError

__all__ = ["from_device", "to_device"]


def to_device(
    tape: Tape, start: int | None, stop: int | None, out: Any, stream: Any, device: Device | None = None
) -> Any:
    """The items ``tape[start:stop]`` as a device array of shape ``(n,)``; see `Tape.to_device`."""
    own = current_device() if device is None else device
    own.enter()
    queue = own.stream(stream)
    first, last, _ = slice(start, stop).indices(len(tape))
    count = max(last - first, 0)
    array = own.empty((count,), tape.dtype, queue) if out is None else out
    target = own.source(array, queue, "out")
    _check_out(target, count, tape.dtype)
    if count == 0:
        return array
    nbytes, begin = count * tape.itemsize, first * tape.itemsize

    def windows(page_bytes: int) -> Iterator[Window]:
        for offset in range(0, nbytes, page_bytes):
            yield (
                target.address + offset,
                min(page_bytes, nbytes - offset),
                lambda page, offset=offset: _read(tape, begin + offset, page),  # type: ignore[misc]
            )

    with staging(own) as through:
        through.after(queue)  # new memory too: it may be what a kernel there has just given back
        try:
            through.upload(windows(through.page_bytes))
        finally:
            through.before(queue)
    return array


def _check_out(target: Source, count: int, dtype: np.dtype[Any]) -> None:
    if target.dtype != dtype:
        raise TapeTypeError(f"out: an array of dtype {target.dtype} for items of {dtype}")
    if target.shape != (count,):
        raise TapeValueError(f"out: an array of shape {target.shape} where {(count,)} is wanted")
    if target.readonly:
        raise TapeValueError("out: the array is read-only")


def _read(tape: Tape, position: int, page: Bytes) -> None:
    """Fill `page` with the bytes of the tape from `position` on."""
    if tape.budget is not None or tape.thread_safe:  # slabs may go: the tape copies them one by one
        tape._read_bytes(position, page)
        return
    done, pairs = 0, []
    while done < len(page):  # slabs do not move, so several threads may copy from them
        address, run = tape._run(position + done)
        now = min(run, len(page) - done)
        memory = (ctypes.c_uint8 * now).from_address(address)
        pairs.append((page[done : done + now], np.frombuffer(memoryview(memory), np.uint8)))
        done += now
    copy_bytes(*pairs)


def from_device(
    make: Callable[..., Tape], array: Any, stream: Any, options: dict[str, Any], device: Device | None = None
) -> Tape:
    """A new tape with the items of a device array in C order; see `Tape.from_device`."""
    own = current_device() if device is None else device
    own.enter()
    queue = own.stream(stream)
    source = own.source(array, queue)
    tape = make(source.dtype, **options)
    try:
        if source.nbytes:
            with staging(own) as through:
                through.after(queue)
                through.download(_blocks(tape, source, through.page_bytes))
    except BaseException:
        with contextlib.suppress(TapeBusyError):  # the frames of the exception keep views of the tape
            tape.close()
        raise
    return tape


def _blocks(tape: Tape, source: Source, page_bytes: int) -> Iterator[Window]:
    """Windows whose pages are copied to what is reserved on the tape, block by block."""
    most = tape.max_reserve or page_bytes // tape.itemsize
    items = max(1, min(most, page_bytes // tape.itemsize))
    total = source.nbytes // tape.itemsize
    for begin in range(0, total, items):
        block = tape.reserve(min(items, total - begin)).view(np.uint8)
        for offset in range(0, len(block), page_bytes):
            part = block[offset : offset + page_bytes]
            yield (
                source.address + begin * tape.itemsize + offset,
                len(part),
                lambda page, part=part: copy_bytes((part, page)),  # type: ignore[misc]
            )
