"""Which slabs are on the device, and how the others come and go.

Slabs are numbered from the oldest.  Those on the device are the newest ones without a gap, those on the host stack
the oldest ones, and what lies between has a page-locked page::

    0 ... host ... | ... pages ... | ... device ... top

What is pushed last is popped first, so the oldest slab on the device is always the right one to leave, and the newest
that is not there the right one to come.  Copies go one slab at a time, out and in on a stream each.  A page that was
copied out stays good until its slab is written to: a slab that has one leaves the device without a copy.

Room is found before anything is changed, so a call that fails leaves all as it was.  Errors of work that was only
done ahead are left for the call that cannot do without it.
"""

import contextlib
import time
from collections import deque
from dataclasses import dataclass, field

from tape.cuda.device import Bytes, Device
from tape.cuda.host import HostStack
from tape.cuda.pinned import give_block, take_block
from tape.cuda.places import Events, Page, Place, SlabMemory
from tape.errors import TapeError, TapeMemoryError

__all__ = ["Slab", "SlabStack"]


@dataclass(slots=True, eq=False)
class Slab:
    """A slab and where it is; all of its `used` bytes are in each place that is set."""

    number: int
    used: int = 0
    memory: SlabMemory | None = None
    page: Page | None = None


@dataclass(slots=True)
class Counts:
    """What was moved."""

    out_bytes: int = 0
    out_slabs: int = 0
    in_bytes: int = 0
    in_slabs: int = 0
    clean: int = 0
    ahead: int = 0
    late: int = 0
    waits: int = 0
    wait_seconds: float = 0.0
    refused: int = 0
    """Times that the device had no memory, although the budget had."""
    most_device: int = 0
    errors: list[TapeError] = field(default_factory=list)
    """The last error of work that was done ahead, if it was not repeated with success."""


class SlabStack:
    """A stack of slabs over device memory, page-locked memory and a host tape.

    Parameters
    ----------
    device : Device
    slab_bytes : int
        Bytes of a slab.
    most : int
        Most slabs on the device, at least 2.
    pages : int
        Slabs of page-locked memory, at least 1; taken when the first slab has to leave the device.
    host : HostStack
    expected : int
        Slabs that there will be, if that is known, else 0.
    """

    def __init__(
        self, device: Device, slab_bytes: int, most: int, pages: int, host: HostStack, expected: int = 0
    ) -> None:
        self.device, self.slab_bytes, self.host = device, slab_bytes, host
        self.slabs: list[Slab] = []
        self.counts = Counts()
        self.most, self.expected = most, expected
        self._peak = 0  # slabs that there were since the stack was empty
        self._wanted_pages = pages
        self._events = Events(device)
        self._free: deque[SlabMemory] = deque()  # what was used longest ago comes first
        self._made = 0
        self._on_device = 0  # slabs with device memory: the newest ones
        self._block: Bytes | None = None
        self._pages: deque[Page] = deque()
        self._page_count = 0
        self._out, self._in = device.new_stream(), device.new_stream()

    # ------------------------------------------------------------------------------------ for the tape

    @property
    def top(self) -> Slab:
        return self.slabs[-1]

    def grow(self) -> Slab:
        """A new, empty slab on top.  Raises TapeMemoryError or SpillError if there is room nowhere."""
        if self.slabs and self.slabs[-1].memory is not None:
            # Nothing more is written there: the copy out need not wait for what the stream is given from now on.  But
            # the kernel that writes the next item may read the last one.
            self.slabs[-1].memory.seal(late=True)
        memory = self._room()
        slab = Slab(len(self.slabs), 0, memory)
        self.slabs.append(slab)
        self._on_device += 1
        self._peak = max(self._peak, len(self.slabs))
        self.counts.most_device = max(self.counts.most_device, self._made)
        self._write_behind()
        return slab

    def written(self, slab: Slab) -> None:
        """The device memory of `slab` is about to change: its page, if it has one, is of no use any more."""
        if slab.page is not None:
            self._pages.append(slab.page)
            slab.page = None

    def bring(self) -> Slab:
        """The top slab, on the device.  Raises SpillError if it cannot be read."""
        slab = self.slabs[-1]
        if slab.memory is None:
            self.counts.late += 1
            self._fetch(slab)
        return slab

    def cut(self, count: int) -> None:
        """Drop slabs, wherever they are, until `count` are left.

        Raises SpillError, having dropped none, where the host tape cannot sink so far without reading what it cannot.
        """
        self.host.keep(count)
        if count == 0 and self._peak > 1:
            self.expected, self._peak = self._peak, 0
        while len(self.slabs) > count:
            slab = self.slabs.pop()
            if slab.page is not None:
                self._pages.append(slab.page)
            if slab.memory is not None:
                self._free.append(slab.memory)
                self._on_device -= 1
                with contextlib.suppress(TapeError):  # the next one who uses it asks again, and can fail
                    slab.memory.seal()

    def read_ahead(self) -> None:
        """Queue copies of the slabs below into device memory that is free, but for what the next push takes."""
        spare = 1 if self.most > 2 else 0
        while self._on_device < len(self.slabs) and len(self._free) + self.most - self._made > spare:
            try:
                self._fetch(self.slabs[-1 - self._on_device])
            except TapeError as error:
                self.counts.errors[:] = [error]
                return
            self.counts.ahead += 1
        self.counts.errors.clear()

    def close(self) -> None:
        """Wait for what is under way and give all memory back.  Errors of the device end the wait, not the closing."""
        idle = self._settle_all()
        self.slabs.clear()
        self._on_device = self._made = 0
        for stream in (self._out, self._in):
            with contextlib.suppress(TapeError):
                self.device.drop_stream(stream)
        self._free.clear()
        self._pages.clear()
        if self._block is not None and idle:
            give_block(self.device, self._block)
        self._block = None
        with contextlib.suppress(TapeError):
            self.device.flush()
        self.host.close()

    def _settle_all(self) -> bool:
        """Wait for all that is under way; whether nothing failed."""
        places: list[Place] = [*self._free, *self._pages]
        for slab in self.slabs:
            places += [p for p in (slab.memory, slab.page) if p is not None]
        idle = True
        for place in places:
            try:
                place.settle()
            except TapeError:
                idle = False
        return idle

    # ------------------------------------------------------------------------------------------- bytes

    @property
    def device_bytes(self) -> int:
        """Device memory that the tape holds."""
        return self._made * self.slab_bytes

    @property
    def pinned_bytes(self) -> int:
        return 0 if self._block is None else len(self._block)

    @property
    def page_slabs(self) -> int:
        """Slabs that are in page-locked memory and not on the device."""
        return len(self.slabs) - self._on_device - len(self.host)

    @property
    def device_slabs(self) -> int:
        return self._on_device

    # ----------------------------------------------------------------------------------- device memory

    def _room(self) -> SlabMemory:
        """Device memory for a slab: free, new, or that of the oldest slab there."""
        if self._free:
            return self._free.popleft()
        if self._made == 0:
            return self._make_two()
        if self._made < self.most:
            try:
                return self._make()
            except TapeMemoryError:
                pass
        if self._on_device == 0:
            raise TapeMemoryError("no device memory for a slab of the tape")
        return self._evict(self.slabs[-self._on_device])

    def _make_two(self) -> SlabMemory:
        """The first slab, and one more, or none: while the next item is written, the last one is read."""
        most = self.most
        try:
            first = self._make()
            self._free.append(self._make())
        except BaseException:
            self._made, self.most = 0, most
            raise
        return first

    def _make(self) -> SlabMemory:
        try:
            memory = SlabMemory(self._events, self.device.alloc(self.slab_bytes))
        except TapeMemoryError:
            self.counts.refused += 1
            self.most = max(self._made, 2)  # the device has no more than this for us: go on with it
            raise
        self._made += 1
        return memory

    def _evict(self, slab: Slab) -> SlabMemory:
        """Take the device memory of the oldest slab there, which is copied out before, if it was not yet."""
        memory = slab.memory
        assert memory is not None
        if slab.page is None:
            self._copy_out(slab)
        else:
            self.counts.clean += 1
        slab.memory = None
        self._on_device -= 1
        return memory

    @property
    def _lead(self) -> int:
        """Slabs that are copied out before their memory is needed."""
        return min(max(1, self.most // 8), self.most - 1, (self._page_count or self._wanted_pages) - 1)

    def _write_behind(self) -> None:
        """Copy out slabs whose memory will be needed, so that nobody waits for it then.

        Where the length of the sweep is known, from the last one or from the user, so are the slabs that will have to
        leave: they go as soon as they are full.  If copies began only when the device is full, the bus would be idle
        up to there, and behind ever after where it is the slower one.
        """
        there = len(self.slabs) - self._on_device
        soon = len(self.slabs) - self.most + self._lead
        sure = self.expected - self.most
        for slab in self.slabs[there : min(max(soon, sure, 0), len(self.slabs) - 1)]:
            if slab.page is not None:
                continue
            if slab.number >= soon and not (self._pages or self._block is None):
                return  # early, and not at the cost of a page that is in use
            try:
                self._copy_out(slab)
            except TapeError as error:
                self.counts.errors[:] = [error]
                return
        self.counts.errors.clear()

    def _copy_out(self, slab: Slab) -> None:
        assert slab.memory is not None
        page = self._page(slab)
        try:
            page.use(self._out)
            slab.memory.use(self._out, reads=True)
            self.device.to_host(page.memory[: slab.used], slab.memory.address, self._out)
            page.seal()
            slab.memory.seal()
        except BaseException:
            self._pages.append(page)
            raise
        slab.page = page
        self.counts.out_bytes += slab.used
        self.counts.out_slabs += 1

    def _fetch(self, slab: Slab) -> None:
        """Queue the copy of the newest slab that is not on the device into free memory there."""
        memory = self._free.popleft() if self._free else self._make()
        try:
            page = slab.page
            if page is None:
                page = self._page(slab)
                try:
                    self._wait(page)
                    self.host.pop(page.memory)
                except BaseException:
                    self._pages.append(page)
                    raise
                slab.page = page
            page.use(self._in)
            memory.use(self._in)
            self.device.to_device(memory.address, page.memory[: slab.used], self._in)
            page.seal()
            memory.seal()
        except BaseException:
            self._free.appendleft(memory)
            raise
        slab.memory = memory
        self._on_device += 1
        self.counts.in_bytes += slab.used
        self.counts.in_slabs += 1

    # ------------------------------------------------------------------------------------------- pages

    def _page(self, wanted: Slab) -> Page:
        """A page for a slab: free, that of a slab which will not need it soon, or that of the oldest that has one."""
        if self._block is None:
            self._lock_pages()
        if self._pages:
            return self._pages.popleft()
        # Newest first: its page will be needed last.  What was copied out for the next pushes is left alone.
        kept = len(self.slabs) - self._on_device + self._lead
        for slab in reversed(self.slabs[kept:]):
            if slab.page is not None and slab is not wanted:
                found, slab.page = slab.page, None
                return found
        oldest = self.slabs[len(self.host)]
        page = oldest.page
        if page is None or oldest.memory is not None:
            raise TapeMemoryError("no page-locked memory for a slab of the tape: all of it is in use")
        self._wait(page)
        self.host.push(page.memory[: oldest.used])
        oldest.page = None
        return page

    def _wait(self, page: Page) -> None:
        """The host waits until the device is done with a page."""
        if page.settled:
            page.settle()
            return
        start = time.perf_counter()
        page.settle()
        self.counts.waits += 1
        self.counts.wait_seconds += time.perf_counter() - start

    def _lock_pages(self) -> None:
        block = take_block(self.device, self._wanted_pages * self.slab_bytes, self.slab_bytes)
        self._block = block
        self._page_count = min(len(block) // self.slab_bytes, self._wanted_pages)
        for k in range(self._page_count):
            self._pages.append(Page(self._events, block[k * self.slab_bytes : (k + 1) * self.slab_bytes]))
