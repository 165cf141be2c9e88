"""Pieces of memory that several streams use in turn, each after the one before it."""

from collections.abc import Hashable
from typing import Any

from tape.cuda.device import Bytes, Device, Memory

__all__ = ["Events", "Page", "Place", "SlabMemory"]


class Events:
    """Events to use again: making one costs a call into the driver."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._idle: list[Any] = []

    def record(self, stream: Any) -> Any:
        """An event that stands for all that was given to `stream` so far."""
        event = self._idle.pop() if self._idle else self.device.new_event()
        try:
            self.device.record(event, stream)
        except BaseException:
            self._idle.append(event)
            raise
        return event

    def release(self, events: list[Any]) -> None:
        """Whoever had to wait for these was told so; the list is empty afterwards."""
        self._idle.extend(events)
        events.clear()


class Place:
    """Memory, and what has to be done with it before another stream may touch it.

    The stream that uses it now is not asked for an event until another one comes, or until `seal`.  Reading counts as
    use: the one who comes next may write.
    """

    _late: Hashable | None = None
    """A stream that may still be given work which reads the memory."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._user: Hashable | None = None
        self._used = False
        self._before: list[Any] = []

    def use(self, stream: Hashable, reads: bool = False) -> None:
        """What is given to `stream` from now on may touch the memory, or if it `reads` only look at it."""
        if self._used and self._user == stream:
            return
        self.seal()
        if self._late is not None and not reads:
            if self._late != stream:
                self._before.append(self._events.record(self._late))
            self._late = None
        for event in self._before:
            self._events.device.wait(stream, event)
        self._events.release(self._before)
        self._user, self._used = stream, True

    def seal(self, late: bool = False) -> None:
        """The stream that uses the memory is done with it: what it is given later need not be waited for.

        With `late` it may yet be given work that reads; who comes to write has to wait for that too.
        """
        if self._used:
            self._before.append(self._events.record(self._user))
            if late:
                self._late = self._user
            self._user, self._used = None, False

    def settle(self) -> None:
        """Wait until all is done, so that the host may touch the memory."""
        self.seal()
        for event in self._before:
            self._events.device.synchronize(event)
        self._events.release(self._before)

    @property
    def settled(self) -> bool:
        """Whether the host would not have to wait."""
        return not self._used and all(self._events.device.done(event) for event in self._before)


class SlabMemory(Place):
    """The device memory of a slab."""

    def __init__(self, events: Events, memory: Memory) -> None:
        super().__init__(events)
        self.memory, self.address = memory, memory.address


class Page(Place):
    """A slab's worth of page-locked host memory."""

    def __init__(self, events: Events, memory: Bytes) -> None:
        super().__init__(events)
        self.memory = memory
