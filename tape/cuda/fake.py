"""A device to test with, which needs no GPU and is harsher than one.

Work is queued and done later, in an order that is drawn by chance among all that streams and events allow, so what is
not ordered goes wrong soon.  It has a budget of bytes and a clock that shows what overlaps, and fails where it is told.
"""

import ctypes
import functools
import random
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tape.cuda.device import Bytes, Source
from tape.cuda.interop import foreign_array
from tape.errors import DeviceError, TapeMemoryError, TapeTypeError

__all__ = ["FakeArray", "FakeDevice"]

_POISON = 0xA5


def _alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """One thread at a time: a real driver has locks of its own."""

    @functools.wraps(method)
    def locked(self: "FakeDevice", *arguments: Any, **options: Any) -> Any:
        with self._lock:
            return method(self, *arguments, **options)

    return locked


class _Moment:
    """What an event stood for when it was recorded."""

    __slots__ = ("done", "time")

    def __init__(self) -> None:
        self.done = False
        self.time = 0.0


class FakeEvent:
    """An event: at first it stands for nothing."""

    def __init__(self) -> None:
        self.moment: _Moment | None = None


class FakeStream:
    """A queue of work."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: deque[tuple[str, Any, float, str, int]] = deque()
        self.time = 0.0
        self.dropped = False

    def __repr__(self) -> str:
        return f"<FakeStream {self.name}: {len(self.queue)} queued>"


class FakeMemory:
    """Memory of a `FakeDevice`, full of rubbish at first and again when it goes: after the work that is queued then."""

    def __init__(self, device: "FakeDevice", nbytes: int) -> None:
        self._device, self.nbytes = device, nbytes
        room = np.full(nbytes + 256, _POISON, np.uint8)
        start = -room.ctypes.data % 256
        self.array = room[start : start + nbytes]
        self.address = self.array.ctypes.data
        device.live[self.address] = self.array

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._device.bury(self.array)


class FakeArray:
    """An array in the memory of a `FakeDevice`.  The memory may be read only through the device."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any, owner: Any) -> None:
        self.address, self.shape, self.dtype, self.stream, self.owner = address, shape, dtype, stream, owner

    @property
    def nbytes(self) -> int:
        """Bytes of the items."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "stream": None,
            "version": 3,
        }


class FakeDevice:
    """A device without hardware.

    Parameters
    ----------
    memory, pinned : int
        Bytes of device memory, and of host memory that can be locked.
    rate : float
        Bytes a second over the bus, each way, on the clock of the device; 0 for infinitely fast.
    seed : int
        Of the order in which work is done.
    """

    def __init__(self, memory: int = 1 << 30, pinned: int = 1 << 30, rate: float = 0.0, seed: int = 0) -> None:
        self.name = "a fake device"
        self._lock = threading.RLock()
        self.memory, self.pinned, self.rate = memory, pinned, rate
        self.used_bytes = self.most_bytes = self.pinned_bytes = self.waits = 0
        self.now = 0.0
        """What the clock shows to the host, in seconds."""
        self.live: dict[int, Bytes] = {}
        self.log: list[str] = []
        """Kinds of work, in the order in which it was asked for."""
        self.current = True
        self._chance = random.Random(seed)
        self._default = FakeStream("default")
        self._streams = [self._default]
        self._engines = dict.fromkeys(("out", "in", "compute"), 0.0)
        self._failing: dict[str, set[int]] = {}
        self._asked: dict[str, int] = {}
        self._dead: DeviceError | None = None
        self._queued = 0  # work that was queued so far
        self._dead_memory: deque[tuple[int, Bytes]] = deque()

    # --------------------------------------------------------------------------------- what goes wrong

    def fail(self, kind: str, *numbers: int) -> None:
        """Refuse the calls with these numbers, 1 being the next.

        `kind` is "alloc", "pinned", "record", "wait", "to_host", "to_device" or "copy".
        """
        asked = self._asked.get(kind, 0)
        self._failing.setdefault(kind, set()).update(asked + n for n in numbers)

    @_alone
    def break_down(self, stream: Any = None) -> None:
        """Queue work on a stream that fails, and with it the device for ever, as a kernel's illegal access does."""
        self._queue(self.stream(stream), "break", None)

    def _call(self, kind: str) -> None:
        if self._dead is not None:
            raise DeviceError(str(self._dead))
        number = self._asked[kind] = self._asked.get(kind, 0) + 1
        self.log.append(kind)
        if number in self._failing.get(kind, ()):
            if kind in ("alloc", "pinned"):
                raise TapeMemoryError(f"a fake device has no memory: {kind} {number} was told to fail")
            raise DeviceError(f"a fake device failed: {kind} {number} was told to")

    # ------------------------------------------------------------------------------------------ memory

    def enter(self) -> None:
        """Raises DeviceError if `current` is false."""
        if not self.current:
            raise DeviceError("the tape is on a fake device, and another one is current in this thread")

    def free_bytes(self) -> int:
        """What is left of the budget."""
        return self.memory - self.used_bytes

    @_alone
    def alloc(self, nbytes: int) -> FakeMemory:
        """Memory within the budget."""
        self._call("alloc")
        if nbytes > self.free_bytes():
            self._finish_dead()
        if nbytes > self.free_bytes():
            raise TapeMemoryError(f"a fake device has {self.free_bytes()} bytes left, and {nbytes} were asked for")
        self.used_bytes += nbytes
        self.most_bytes = max(self.most_bytes, self.used_bytes)
        return FakeMemory(self, nbytes)

    @_alone
    def bury(self, array: Bytes) -> None:
        """Free memory, as a driver does it: when what is queued now is done."""
        self._dead_memory.append((self._queued, array))
        self._mourn()

    def _mourn(self) -> None:
        heads = [s.queue[0][4] for s in self._streams if s.queue]
        while self._dead_memory and (not heads or self._dead_memory[0][0] <= min(heads)):
            _, array = self._dead_memory.popleft()
            self.used_bytes -= len(array)
            self.live.pop(array.ctypes.data, None)
            array[:] = _POISON

    def _finish_dead(self) -> None:
        while self._dead_memory and self._step():
            pass

    def flush(self) -> None:
        """Nothing to do, but for a device that failed."""
        self._alive()

    @_alone
    def alloc_pinned(self, nbytes: int) -> Bytes:
        """Memory within the budget; what goes does not come back to it."""
        self._call("pinned")
        if self.pinned_bytes + nbytes > self.pinned:
            raise TapeMemoryError(f"no {nbytes} bytes can be locked: {self.pinned_bytes} of {self.pinned} are")
        self.pinned_bytes += nbytes
        return np.full(nbytes, _POISON, np.uint8)

    # ------------------------------------------------------------------------------------------- order

    @_alone
    def new_stream(self) -> FakeStream:
        """One more stream."""
        stream = FakeStream(str(len(self._streams)))
        self._streams.append(stream)
        return stream

    @_alone
    def drop_stream(self, stream: FakeStream) -> None:
        """One stream less.  Copies and kernels in it must be done, unless the device failed."""
        if self._dead is None and any(kind == "run" for kind, *_ in stream.queue):
            raise AssertionError(f"{stream} is dropped with work in it")
        stream.dropped = True
        self._sweep()

    def _sweep(self) -> None:
        self._streams = [s for s in self._streams if s.queue or not s.dropped]

    def stream(self, given: Any) -> FakeStream:
        """A `FakeStream` itself; None for the default one."""
        if given is None:
            return self._default
        if not isinstance(given, FakeStream):
            raise TapeTypeError(f"stream: a FakeStream, not {type(given).__name__}")
        return given

    def new_event(self) -> FakeEvent:
        """An event that stands for nothing."""
        return FakeEvent()

    @_alone
    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        """Queued like other work."""
        self._call("record")
        event.moment = _Moment()
        self._queue(stream, "record", event.moment)

    @_alone
    def wait(self, stream: FakeStream, event: FakeEvent) -> None:
        """Queued like other work."""
        self._call("wait")
        if event.moment is not None:
            self._queue(stream, "wait", event.moment)

    @_alone
    def done(self, event: FakeEvent) -> bool:
        """Some of the work is done meanwhile, or none."""
        for _ in range(self._chance.randrange(3)):
            self._step()
        self._alive()
        return event.moment is None or event.moment.done

    @_alone
    def synchronize(self, event: FakeEvent) -> None:
        """Do work, in any order that is allowed, until that of the event is done; AssertionError if it never is."""
        self._alive()
        moment = event.moment
        if moment is None:
            return
        self.waits += not moment.done
        while not moment.done:
            if not self._step():
                raise AssertionError(f"the program would wait for ever: {self._streams}")
            self._alive()
        self.now = max(self.now, moment.time)

    @_alone
    def finish(self) -> None:
        """Do all work that is queued."""
        while self._step():
            pass
        self._alive()
        self.now = max(self.now, *(s.time for s in self._streams))

    def _alive(self) -> None:
        if self._dead is not None:
            raise DeviceError(str(self._dead))

    def _queue(self, stream: FakeStream, kind: str, what: Any, engine: str = "") -> None:
        stream.queue.append((kind, what, self.now, engine, self._queued))
        self._queued += 1

    def _step(self) -> bool:
        """Do the next work of a stream; whether there was any."""
        if self._dead is not None:
            return False
        able = [s for s in self._streams if s.queue and not (s.queue[0][0] == "wait" and not s.queue[0][1].done)]
        if not able:
            return False
        stream = self._chance.choice(able)
        kind, what, asked, engine, _ = stream.queue.popleft()
        stream.time = max(stream.time, asked)
        if kind == "wait":
            stream.time = max(stream.time, what.time)
        elif kind == "record":
            what.done, what.time = True, stream.time
        elif kind == "break":
            self._dead = DeviceError("a fake device failed: work that was under way accessed no memory of its own")
        else:
            work, seconds = what
            work()
            start = max(stream.time, self._engines[engine])
            stream.time = self._engines[engine] = start + seconds
        if stream.dropped:
            self._sweep()
        self._mourn()
        return True

    @_alone
    def launch(self, stream: Any, work: Callable[[], object], seconds: float = 0.0) -> None:
        """Queue a kernel: a function of no arguments, and how long it takes on the clock."""
        self._alive()
        self._queue(self.stream(stream), "run", (work, seconds), "compute")

    # ------------------------------------------------------------------------------------------ copies

    @_alone
    def _check(self, address: int, nbytes: int) -> None:
        for start, array in self.live.items():
            if start <= address and address + nbytes <= start + len(array):
                return
        raise AssertionError(f"{nbytes} bytes at {address:#x} are no memory of the device")

    @_alone
    def _copy(self, kind: str, target: int, source: int, nbytes: int, stream: FakeStream, keep: Any) -> None:
        def work() -> None:
            ctypes.memmove(target, source, nbytes)
            del kept[:]

        self._call(kind)
        kept = [keep]
        engine = {"to_host": "out", "to_device": "in"}.get(kind, "compute")
        seconds = nbytes / self.rate if self.rate and engine != "compute" else 0.0
        self._queue(stream, "run", (work, seconds), engine)

    def to_host(self, host: Bytes, address: int, stream: FakeStream) -> None:
        """Done later."""
        self._check(address, len(host))
        self._copy("to_host", host.ctypes.data, address, len(host), stream, host)

    def to_device(self, address: int, host: Bytes, stream: FakeStream) -> None:
        """Done later."""
        self._check(address, len(host))
        self._copy("to_device", address, host.ctypes.data, len(host), stream, host)

    def copy(self, address: int, source: int, nbytes: int, stream: FakeStream) -> None:
        """Done later."""
        self._check(address, nbytes)
        self._check(source, nbytes)
        self._copy("copy", address, source, nbytes, stream, None)

    # ------------------------------------------------------------------------------------------ arrays

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any) -> FakeArray:
        """A `FakeArray` over new memory."""
        memory = self.alloc(max(int(np.prod(shape, dtype=object)) * dtype.itemsize, 1))
        return self.view(memory.address, shape, dtype, stream, memory)

    def view(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: Any, owner: Any) -> FakeArray:
        """A `FakeArray`."""
        return FakeArray(address, shape, dtype, stream, owner)

    def source(self, array: Any, stream: FakeStream, name: str = "array") -> Source:
        """By the protocols that real arrays have.  A stream in them is the number of one of the fake streams."""

        def follow(producer: int) -> None:
            event = self.new_event()
            self.record(event, self._streams[producer])
            self.wait(stream, event)

        found = foreign_array(array, self._streams.index(stream), follow, 0, name)
        if found.nbytes:
            self._check(found.address, found.nbytes)
        return found

    # ------------------------------------------------------------------------------------ for the test

    def array(self, values: npt.ArrayLike) -> FakeArray:
        """A device array with these values, there at once."""
        host = np.asarray(values, order="C")
        found = self.empty(host.shape, host.dtype, self._default)
        ctypes.memmove(found.address, host.ctypes.data, host.nbytes)
        return found

    def fill(self, array: FakeArray, value: Any, stream: Any = None, seconds: float = 0.0) -> None:
        """Launch a kernel that writes `value` to all items."""
        self.launch(stream, lambda: self._of(array).fill(value), seconds)

    def read(self, array: FakeArray, stream: Any = None) -> npt.NDArray[Any]:
        """The values that work on `stream` sees; waits for it."""
        found: list[npt.NDArray[Any]] = []
        event = self.new_event()
        own = self.stream(stream)
        self.launch(own, lambda: found.append(self._of(array).copy()))
        self.record(event, own)
        self.synchronize(event)
        return found[0]

    def _of(self, array: FakeArray) -> npt.NDArray[Any]:
        self._check(array.address, array.nbytes)
        memory = (ctypes.c_uint8 * array.nbytes).from_address(array.address)
        return np.frombuffer(memoryview(memory), np.uint8).view(array.dtype).reshape(array.shape)
