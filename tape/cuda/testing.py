"""The contract suite that any device must pass, and a device to test with.

`check_device` tests a device of your own; `FakeDevice` is one without hardware, which orders work by chance, has a
budget and a clock, and fails where it is told to.
"""

from typing import Any

import numpy as np

from tape.cuda.device import Device
from tape.cuda.fake import FakeArray, FakeDevice
from tape.errors import TapeMemoryError, TapeTypeError, TapeValueError

__all__ = ["FakeArray", "FakeDevice", "check_device"]


def check_device(device: Device) -> None:
    """Test a device against the contract of `tape.cuda.device.Device`; AssertionError names the clause it breaks."""
    for clause in _CLAUSES:
        device.enter()
        clause(device)


def _require(kept: bool, clause: str) -> None:
    if not kept:
        raise AssertionError(f"device contract: {clause}")


def _settle(device: Device, stream: Any) -> None:
    event = device.new_event()
    device.record(event, stream)
    device.synchronize(event)
    _require(device.done(event), "an event is done after the host waited for it")


def _bytes_go_there_and_back(device: Device) -> None:
    chance = np.random.default_rng(0)
    stream = device.new_stream()
    for nbytes in (1, 255, 4096, 1_000_003):
        memory = device.alloc(nbytes)
        _require(memory.address % 256 == 0, "memory is aligned to 256 bytes")
        out, back = device.alloc_pinned(nbytes), device.alloc_pinned(nbytes)
        out[:] = chance.integers(0, 256, nbytes, np.uint8)
        other = device.alloc(nbytes)
        device.to_device(memory.address, out, stream)
        device.copy(other.address, memory.address, nbytes, stream)
        device.to_host(back, other.address, stream)
        _settle(device, stream)
        _require(np.array_equal(out, back), f"{nbytes} bytes come back as they went")
    device.drop_stream(stream)


def _events_order_streams(device: Device) -> None:
    first, second = device.new_stream(), device.new_stream()
    nbytes = 1 << 20
    memory = device.alloc(nbytes)
    pages = [device.alloc_pinned(nbytes) for _ in range(2)]
    back = device.alloc_pinned(nbytes)
    event = device.new_event()
    device.wait(first, event)  # never recorded: nothing to wait for
    for round in range(20):
        page = pages[round % 2]
        page[:] = round
        device.wait(first, event)
        device.to_device(memory.address, page, first)
        device.record(event, first)
        device.wait(second, event)
        device.to_host(back, memory.address, second)
        device.record(event, second)  # recorded again: waits that were asked for keep the moment they had
        if round % 3 == 0:
            device.synchronize(event)
            _require(bool((back == round).all()), "a stream begins after the events that it was told to wait for")
    _settle(device, second)
    _require(bool((back == 19).all()), "a stream begins after the events that it was told to wait for")
    device.drop_stream(first)
    device.drop_stream(second)


def _arrays_show_memory(device: Device) -> None:
    stream = device.stream(None)
    _require(device.stream(None) == stream, "equal streams are equal objects")
    for dtype in (np.dtype("f8"), np.dtype("i2"), np.dtype("c16"), np.dtype([("a", "f4"), ("b", "i8")])):
        made = device.empty((3, 4), dtype, stream)
        source = device.source(made, stream)
        _require((source.shape, source.dtype) == ((3, 4), dtype), f"shape and dtype of an array of {dtype} are kept")
        page, back = device.alloc_pinned(source.nbytes), device.alloc_pinned(source.nbytes)
        page[:] = np.arange(source.nbytes) % 251
        device.to_device(source.address, page, stream)
        memory = device.alloc(256 + source.nbytes)
        device.copy(memory.address + 256, source.address, source.nbytes, stream)
        view = device.view(memory.address + 256, (12,), dtype, stream, memory)
        seen = device.source(view, stream)
        _require((seen.address, seen.shape) == (memory.address + 256, (12,)), "a view lies where it was asked for")
        del memory
        device.to_host(back, seen.address, stream)
        _settle(device, stream)
        _require(np.array_equal(page, back), "a view keeps its memory")


def _what_is_no_device_array_is_refused(device: Device) -> None:
    stream = device.stream(None)
    for wrong in (np.zeros(3), 1.0, None, [1.0]):
        try:
            device.source(wrong, stream)
        except (TapeTypeError, TapeValueError):
            continue
        _require(False, f"{wrong!r} is refused as a source")


def _memory_runs_out(device: Device) -> None:
    try:
        device.alloc(device.free_bytes() + (1 << 40))
    except TapeMemoryError:
        return
    except MemoryError:
        _require(False, "memory that is not there is a TapeMemoryError")
    _require(False, "memory that is not there is refused")


_CLAUSES = (
    _bytes_go_there_and_back,
    _events_order_streams,
    _arrays_show_memory,
    _what_is_no_device_array_is_refused,
    _memory_runs_out,
)
