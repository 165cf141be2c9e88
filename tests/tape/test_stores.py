"""The contract of stores, the suite that tests for it, and stores that break it on purpose."""

import errno
import os
import threading

import pytest

from tape import SpillError, Store
from tape.disk import FileStore, MmapStore
from tape.testing import FaultStore, MemoryStore, check_store

KINDS = {
    "direct": lambda where, **k: FileStore(where, **k),
    "buffered": lambda where, **k: FileStore(where, direct=False, **k),
    "mmap": lambda where, **k: MmapStore(where, **k),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def read(store, slot, n):
    out = bytearray(n)
    store.read(slot, out)
    return bytes(out)


# The contract.


@every_kind
@pytest.mark.parametrize("allocate", [True, False])
def test_disk_stores_keep_the_contract(tmp_path, kind, allocate):
    check_store(lambda: KINDS[kind](tmp_path, _allocate=allocate))


@every_kind
def test_disk_stores_keep_the_contract_on_tmpfs(kind):
    if not os.path.isdir("/dev/shm"):
        pytest.skip("no /dev/shm")
    check_store(lambda: KINDS[kind]("/dev/shm"), seed=1)


def test_memory_and_fault_store_keep_the_contract(tmp_path):
    check_store(MemoryStore)
    check_store(lambda: FaultStore(MemoryStore()))
    check_store(lambda: FaultStore(FileStore(tmp_path)), seed=2)


class KeepsTheView(MemoryStore):
    def write(self, data):
        self.kept = data[:]
        return super().write(data)


class Forgets(MemoryStore):
    def read(self, slot, out):
        super().read(slot, out)
        self._slots[slot] = bytes(len(out))


class Overlaps(MemoryStore):
    def write(self, data):
        super().write(data)
        self._slots[7] = bytes(data)
        return 7


class Negative(MemoryStore):
    def write(self, data):
        return -1 - super().write(data)


class StaysOpen(MemoryStore):
    def close(self):
        pass


class Leaks(MemoryStore):
    def close(self):
        if self._slots is not None:
            self.leaked = os.open(os.devnull, os.O_RDONLY)
            LEAKED.append(self.leaked)
        super().close()


class NotThreadSafe(MemoryStore):
    """Two writes at once get the same slot."""

    def __init__(self):
        super().__init__()
        self.inside = 0

    def write(self, data):
        self.inside += 1
        slot = super().write(data)
        threading.Event().wait(0.001)
        if self.inside > 1:
            self._slots[slot] = bytes(len(data))
        self.inside -= 1
        return slot


class Speechless(MemoryStore):
    def error(self, status, nbytes, operation):
        return None


LEAKED = []


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (KeepsTheView, "keeps the memoryview"),
        (Forgets, "a slot stays as it is"),
        (Overlaps, "given out twice"),
        (Negative, "an int from 0 up"),
        (StaysOpen, r"write\(\) works after close\(\)"),
        (NotThreadSafe, "threads do not disturb each other"),
        (Speechless, "an error can be told"),
        (lambda: FaultStore(MemoryStore(), flip_read=[3]), "came back changed from byte 0 on"),
        (lambda: FaultStore(MemoryStore(), tear_write=[20], silent=True), "right after it was written"),
    ],
)
def test_the_contract_suite_finds_what_is_broken(broken, clause):
    with pytest.raises(AssertionError, match=clause):
        check_store(broken)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors cannot be counted here")
def test_the_contract_suite_finds_lost_descriptors():
    try:
        with pytest.raises(AssertionError, match="8 more are open after 8 stores"):
            check_store(Leaks)
    finally:
        while LEAKED:
            os.close(LEAKED.pop())


# Faults.


def attempt(store, n):
    """What n writes and n reads do: the errno, or whether the data came back."""
    results = []
    for k in range(n):
        data = bytes([k + 1]) * 1000
        try:
            slot = store.write(memoryview(data))
            results.append(read(store, slot, 1000) == data)
        except OSError as error:
            results.append(error.errno)
    return results


@pytest.mark.parametrize(
    ("faults", "wanted", "count"),
    [
        ({"fail_write": 2}, [True, errno.ENOSPC, True, True], 1),
        ({"fail_write": [1, 3], "code": errno.EIO}, [errno.EIO, True, errno.EIO, True], 2),
        ({"fail_read": range(2, 9)}, [True, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC], 3),
        ({"full_after": 2500, "code": errno.EDQUOT}, [True, True, errno.EDQUOT, errno.EDQUOT], 2),
        ({"tear_write": 3}, [True, True, errno.EIO, True], 1),
        ({"tear_write": 3, "silent": True}, [True, True, False, True], 1),
        ({"flip_write": 1}, [False, True, True, True], 1),
        ({"flip_read": [4]}, [True, True, True, False], 1),
        ({"fail_rate": 1.0}, [errno.ENOSPC] * 4, 4),
        ({"delay": 0.001}, [True] * 4, 0),
    ],
)
def test_each_fault(faults, wanted, count):
    inner = MemoryStore()
    store = FaultStore(inner, **faults)
    assert attempt(store, 4) == wanted
    assert store.writes == 4
    assert store.faults == count
    store.armed = False
    assert attempt(store, 4) == [True] * 4
    assert store.faults == count
    store.close()
    with pytest.raises(SpillError, match="closed"):
        inner.write(memoryview(b"x"))


def test_what_a_fault_leaves():
    store = FaultStore(MemoryStore(), tear_write=1, flip_read=2, seed=5)
    with pytest.raises(OSError, match="torn after"):
        store.write(memoryview(bytes(100)))
    assert not store.inner._slots
    assert store.bytes_written == 0
    slot = store.write(memoryview(bytes(100)))
    assert read(store, slot, 100) == bytes(100)
    assert sum(byte.bit_count() for byte in read(store, slot, 100)) == 1
    store.free(slot)
    assert (store.writes, store.reads, store.frees, store.bytes_written) == (2, 2, 1, 100)


def test_faults_are_of_the_seed_not_of_the_threads():
    def run(seed, workers):
        store = FaultStore(MemoryStore(), fail_rate=0.3, delay=1e-4, seed=seed)
        work = [threading.Thread(target=attempt, args=(store, 60 // workers)) for _ in range(workers)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        return store

    def failed_writes(seed):
        store = FaultStore(MemoryStore(), fail_rate=0.3, seed=seed)
        results = []
        for _ in range(60):
            try:
                store.write(memoryview(b"x"))
                results.append(True)
            except OSError:
                results.append(False)
        return results

    assert failed_writes(1) == failed_writes(1) != failed_writes(2)
    assert 8 <= failed_writes(1).count(False) <= 28
    many, one = run(1, 4), run(1, 1)
    assert many.writes == one.writes == 60
    # How many reads there are depends on the writes that failed, so all counts are those of one thread.
    assert (many.reads, many.faults) == (one.reads, one.faults)


def test_an_error_keeps_the_errno_of_a_python_store():
    assert isinstance(Store().error(errno.ENOSPC, 10, "write"), SpillError)
    assert "closed" in str(MemoryStore().error(-3, 10, "write"))
