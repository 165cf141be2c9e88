"""Pageable host memory to a device and back, through two page-locked pages: one is filled while the other is copied."""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tape.cuda.device import Bytes, Device
from tape.cuda.pinned import give_block, take_block
from tape.cuda.places import Events, Page
from tape.errors import DeviceError

__all__ = ["PAGE_BYTES", "Staging", "staging"]

PAGE_BYTES = 16 << 20  # enough for several threads to fill

Window = tuple[int, int, Callable[[Bytes], None]]
"""A device address, bytes from there on, a page at most, and what is done with the page that they go through."""


class Staging:
    """The pages, and a stream for the copies.  One thread at a time."""

    def __init__(self, device: Device, page_bytes: int = PAGE_BYTES) -> None:
        self.device = device
        self._events = Events(device)
        block = take_block(device, 2 * page_bytes, 2 * 4096)
        self._block: Bytes | None = block
        self.page_bytes = len(block) // 2
        self._pages = [Page(self._events, block[k * self.page_bytes :][: self.page_bytes]) for k in range(2)]
        self._next = 0
        self._stream = device.new_stream()

    def _page(self) -> Page:
        """The page that was used longest ago."""
        page = self._pages[self._next]
        self._next = 1 - self._next
        return page

    def after(self, stream: Any) -> None:
        """Copies from now on begin after what was given to `stream` so far."""
        self._order(stream, self._stream)

    def before(self, stream: Any) -> None:
        """What is given to `stream` from now on begins after the copies so far."""
        self._order(self._stream, stream)

    def _order(self, first: Any, second: Any) -> None:
        event = self._events.record(first)
        try:
            self.device.wait(second, event)
        finally:
            self._events.release([event])

    def upload(self, windows: Iterable[Window]) -> None:
        """Queue copies to the device of what each window's function writes to the page."""
        for address, nbytes, fill in windows:
            page = self._page()
            page.settle()
            part = page.memory[:nbytes]
            fill(part)
            page.use(self._stream)
            self.device.to_device(address, part, self._stream)
            page.seal()

    def download(self, windows: Iterable[Window]) -> None:
        """Copy from the device what each window's function then takes from the page."""
        waiting: deque[tuple[Page, int, Callable[[Bytes], None]]] = deque()

        def drain() -> None:
            page, nbytes, take = waiting.popleft()
            page.settle()
            take(page.memory[:nbytes])

        for address, nbytes, take in windows:
            if len(waiting) == 2:
                drain()
            page = self._page()
            page.use(self._stream)
            self.device.to_host(page.memory[:nbytes], address, self._stream)
            page.seal()
            waiting.append((page, nbytes, take))
        while waiting:
            drain()

    def settle(self) -> None:
        """Wait for all copies."""
        for page in self._pages:
            page.settle()

    def close(self) -> None:
        """Wait for what is under way, and keep the pages for the next one.  A second close does nothing."""
        block, self._block = self._block, None
        if block is None:
            return
        try:
            self.settle()
            self.device.drop_stream(self._stream)
        except DeviceError:  # the device is gone, and the pages with it
            return
        give_block(self.device, block)


_lock = threading.Lock()
_idle: "weakref.WeakKeyDictionary[Device, Staging]" = weakref.WeakKeyDictionary()


@contextmanager
def staging(device: Device) -> Iterator[Staging]:
    """The staging of a device, kept from one use to the next; a further one while another thread has it."""
    with _lock:
        found = _idle.pop(device, None)
    used = Staging(device) if found is None else found
    try:
        yield used
    except BaseException:
        used.close()
        raise
    with _lock:
        spare = _idle.setdefault(device, used) is not used
    if spare:
        used.close()
