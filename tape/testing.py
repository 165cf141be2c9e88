"""The contract suite that any store must pass, and stores to test with.

`check_store` tests a store of your own; `MemoryStore` is an example of one; `FaultStore` shows how a program takes a
disk that fills up, fails, tears or lies.
"""

import errno
import os
import random
import threading
import time
from collections.abc import Callable

from tape.errors import SpillError
from tape.faults import FaultStore, MemoryStore
from tape.store import Store

__all__ = ["FaultStore", "MemoryStore", "check_store"]

SIZES = (1, 8, 4095, 4096, 4097, 65_536, 100_001, 1 << 20)
PATIENCE = 60.0  # seconds for what takes well under one


def check_store(make: Callable[[], Store], *, seed: int = 0) -> None:
    """Test a store against the contract of `tape.Store`; AssertionError names the clause that it breaks.

    `make` returns a new, empty, open store at each call.  It must have room for about 16 MiB.
    """
    for clause in CLAUSES:
        store = make()
        checker = _Checker(store, clause.__name__.strip("_").replace("_", " "), random.Random(seed))
        try:
            clause(checker)
        finally:
            store.close()
    _no_descriptor_is_leaked(make, random.Random(seed))


class _Checker:
    """A store under test, seen as a tape sees it: through memoryviews that are gone after the call."""

    def __init__(self, store: Store, clause: str, chance: random.Random) -> None:
        self.store, self.clause, self.chance = store, clause, chance

    def require(self, kept: bool, text: str) -> None:
        if not kept:
            raise AssertionError(f"{type(self.store).__name__}: {self.clause}: {text}")

    def write(self, data: bytes) -> int:
        memory = bytearray(data)
        view = memoryview(memory)
        slot = self.store.write(view)
        self._release(view, memory, "write")
        memory[:] = b"\xa5" * len(memory)  # the next slab is pushed there
        self.require(isinstance(slot, int) and slot >= 0, f"write() returned {slot!r}, and a slot is an int from 0 up")
        return slot

    def read(self, slot: int, size: int) -> bytes:
        memory = bytearray(b"\x5a" * size)
        view = memoryview(memory)
        self.store.read(slot, view)
        self._release(view, memory, "read")
        return bytes(memory)

    def expect(self, slot: int, data: bytes, when: str) -> None:
        found = self.read(slot, len(data))
        if found != data:
            at = next(i for i, (a, b) in enumerate(zip(found, data, strict=True)) if a != b)
            self.require(False, f"slot {slot} of {len(data)} bytes came back changed from byte {at} on, {when}")

    def _release(self, view: memoryview, memory: bytearray, operation: str) -> None:
        try:
            view.release()
            memory.append(0)  # refused while a part of the view is kept somewhere
            del memory[-1]
        except BufferError:
            self.require(False, f"{operation}() keeps the memoryview after the call, when its memory is another's")


def _what_was_written_is_read(c: _Checker) -> None:
    for size in SIZES:
        for data in (bytes(size), b"\xff" * size, c.chance.randbytes(size)):
            c.expect(c.write(data), data, "right after it was written")


def _many_slots_live_at_once(c: _Checker) -> None:
    written = {}
    for i in range(200):
        data = i.to_bytes(4, "little") * c.chance.randrange(1, 4000)
        slot = c.write(data)
        c.require(slot not in written, f"slot {slot} was given out twice")
        written[slot] = data
    for slot in c.chance.sample(sorted(written), len(written)):
        c.expect(slot, written[slot], f"with {len(written)} slots written")


def _a_slot_stays_as_it_is(c: _Checker) -> None:
    data = c.chance.randbytes(10_000)
    slot = c.write(data)
    for _ in range(3):
        c.expect(slot, data, "after it was read")
    for size in SIZES:
        c.write(c.chance.randbytes(size))
        c.expect(slot, data, "after another was written")


def _a_freed_slot_makes_room_for_others(c: _Checker) -> None:
    live: dict[int, bytes] = {}
    for _ in range(300):
        if len(live) > 10 or (live and c.chance.random() < 0.4):
            slot = c.chance.choice(sorted(live))
            c.store.free(slot)
            del live[slot]
        data = c.chance.randbytes(c.chance.choice(SIZES[:-1]))
        slot = c.write(data)
        c.require(slot not in live, f"slot {slot} was given out while it was in use")
        live[slot] = data
        for other in c.chance.sample(sorted(live), min(3, len(live))):
            c.expect(other, live[other], "after others were freed and written")


def _threads_do_not_disturb_each_other(c: _Checker) -> None:
    broken: list[BaseException] = []
    seeds = [c.chance.random() for _ in range(4)]

    def work(seed: float) -> None:
        mine = _Checker(c.store, c.clause, random.Random(seed))
        live: dict[int, bytes] = {}
        try:
            for _ in range(80):
                step = mine.chance.random()
                if step < 0.5 or not live:
                    data = mine.chance.randbytes(mine.chance.randrange(1, 60_000))
                    slot = mine.write(data)
                    mine.require(slot not in live, f"slot {slot} was given out while it was in use")
                    live[slot] = data
                elif step < 0.8:
                    slot = mine.chance.choice(sorted(live))
                    mine.expect(slot, live[slot], "while other threads wrote and freed")
                else:
                    slot = mine.chance.choice(sorted(live))
                    c.store.free(slot)
                    del live[slot]
            for slot, data in live.items():
                mine.expect(slot, data, "when other threads were done or nearly so")
        except BaseException as error:  # told by the thread that waits
            broken.append(error)

    threads = [threading.Thread(target=work, args=(s,), daemon=True) for s in seeds]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    c.require(not any(t.is_alive() for t in threads), f"four threads did not come to an end in {PATIENCE:.0f} s")
    if broken:
        raise AssertionError(f"{type(c.store).__name__}: {c.clause}: {broken[0]}") from broken[0]


def _a_closed_store_refuses(c: _Checker) -> None:
    slot = c.write(b"x" * 5000)
    c.store.close()
    c.store.close()
    for operation, use in (("write", lambda: c.write(b"x" * 5000)), ("read", lambda: c.read(slot, 5000))):
        try:
            use()
        except AssertionError:
            raise
        except Exception:
            continue
        c.require(False, f"{operation}() works after close()")


def _an_error_can_be_told(c: _Checker) -> None:
    for status, operation in ((errno.ENOSPC, "write"), (errno.EIO, "read"), (-2, "write"), (-3, "read")):
        error = c.store.error(status, 4096, operation)
        c.require(isinstance(error, SpillError), f"error({status}, ...) returned {error!r}, and not a SpillError")


CLAUSES = (
    _what_was_written_is_read,
    _many_slots_live_at_once,
    _a_slot_stays_as_it_is,
    _a_freed_slot_makes_room_for_others,
    _threads_do_not_disturb_each_other,
    _a_closed_store_refuses,
    _an_error_can_be_told,
)


def _no_descriptor_is_leaked(make: Callable[[], Store], chance: random.Random) -> None:
    if not os.path.isdir("/proc/self/fd"):
        return
    rounds = 8
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(rounds):
        store = make()
        checker = _Checker(store, "no descriptor is leaked", chance)
        checker.write(b"x" * 5000)
        store.close()
    after = len(os.listdir("/proc/self/fd"))
    # Other threads of the process may open files too; a leak here is one in every round.
    lost = after - before
    checker.require(lost < rounds, f"{lost} more are open after {rounds} stores were closed")
