"""Stores on disk: slots, the file they lie in, closing and wrong use."""

import contextlib
import errno
import os
import pickle
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tape import SpillError, TapeTypeError, TapeValueError
from tape.disk import DiskStore, FileStore, MmapStore, is_ram_backed

MIB = 1 << 20
BLOCK = 4096
LINUX = sys.platform == "linux"
needs_linux = pytest.mark.skipif(not LINUX, reason="Linux only")

KINDS = {
    "direct": lambda where, **k: FileStore(where, **k),
    "buffered": lambda where, **k: FileStore(where, direct=False, **k),
    "mmap": lambda where, **k: MmapStore(where, **k),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def size_in_file(n):
    return max(BLOCK, -(-n // BLOCK) * BLOCK)


def read(store, slot, n):
    out = bytearray(n)
    store.read(slot, out)
    return bytes(out)


def descriptors_of(store_directory):
    """(descriptor, flags) of the unnamed files of this process in a directory."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(store_directory)):
                info = Path(f"/proc/self/fdinfo/{name}").read_text()
                found.append((int(name), int(info.split("flags:")[1].split()[0], 8)))
    return sorted(found)


# Any order of writes, reads and frees, against a dict and a model of first fit.


class DiskModel(RuleBasedStateMachine):
    make = staticmethod(lambda where: FileStore(where))

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.make(self.folder.name)
        self.live = {}

    def teardown(self):
        for slot, data in self.live.items():
            assert read(self.store, slot, len(data)) == data
        self.store.close()
        self.folder.cleanup()

    def gaps(self):
        at = 0
        for slot in sorted(self.live):
            yield at, slot - at
            at = slot + size_in_file(len(self.live[slot]))
        yield at, self.store.file_bytes - at

    @rule(
        n=st.one_of(st.integers(0, 20_000), st.sampled_from([4096, 8192, 1 << 18])),
        fill=st.binary(min_size=1, max_size=9),
    )
    def write(self, n, fill):
        data = (fill * (n // len(fill) + 1))[:n]
        need, before, gaps = size_in_file(n), self.store.file_bytes, list(self.gaps())
        slot = self.store.write(data)
        # The first part that fits; else the file grows from its free tail on.
        assert slot == next((at for at, room in gaps if room >= need), gaps[-1][0])
        if any(room >= need for _, room in gaps):
            assert self.store.file_bytes == before
        else:
            assert self.store.file_bytes <= max(before + before // 8, gaps[-1][0] + need)
        self.live[slot] = data

    @precondition(lambda self: self.live)
    @rule(choose=st.randoms(use_true_random=False))
    def read(self, choose):
        slot = choose.choice(sorted(self.live))
        assert read(self.store, slot, len(self.live[slot])) == self.live[slot]

    @precondition(lambda self: self.live)
    @rule(choose=st.randoms(use_true_random=False))
    def free(self, choose):
        slot = choose.choice(sorted(self.live))
        self.store.free(slot)
        del self.live[slot]
        for use in (lambda: self.store.free(slot), lambda: self.store.read(slot, bytearray(8))):
            with pytest.raises(TapeValueError, match=f"slot {slot} holds n"):
                use()

    @precondition(lambda self: self.live)
    @rule(choose=st.randoms(use_true_random=False), off=st.sampled_from([1, -1, 4096]))
    def read_another_size(self, choose, off):
        slot = choose.choice(sorted(self.live))
        if len(self.live[slot]) + off >= 0:
            with pytest.raises(TapeValueError, match="another size"):
                self.store.read(slot, bytearray(len(self.live[slot]) + off))

    @invariant()
    def sizes_are_true(self):
        assert self.store.used_bytes == sum(size_in_file(len(data)) for data in self.live.values())
        assert self.store.used_bytes <= self.store.file_bytes


class MmapModel(DiskModel):
    make = staticmethod(lambda where: MmapStore(where))


class UnallocatedModel(DiskModel):
    make = staticmethod(lambda where: FileStore(where, direct=False, _allocate=False))


for _model in (DiskModel, MmapModel, UnallocatedModel):
    _model.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestFileStore = DiskModel.TestCase
TestMmapStore = MmapModel.TestCase
TestUnallocated = UnallocatedModel.TestCase


@every_kind
@pytest.mark.parametrize("n", [0, 1, 4096, 3 * MIB + 5, 17 * MIB])
def test_data_anywhere_in_memory(tmp_path, kind, n):
    # Direct I/O takes aligned memory as it is and copies the rest; more than one window of the page cache.
    backing = bytearray(os.urandom(n + 2 * BLOCK))
    with KINDS[kind](tmp_path) as store:
        for start in (0, 1, 64, 4095):
            data = memoryview(backing)[start : start + n]
            slot = store.write(data)
            out = bytearray(b"\xaa" * (n + 2 * BLOCK))
            store.read(slot, memoryview(out)[start : start + n])
            assert out[start : start + n] == data
            assert out[:start] == b"\xaa" * start
            assert out[start + n :] == b"\xaa" * (2 * BLOCK - start)
            store.free(slot)
        assert store.file_bytes <= size_in_file(n) * 9 // 8


@every_kind
def test_a_deep_spill_is_given_back(tmp_path, kind):
    with KINDS[kind](tmp_path) as store:
        data = bytes(8 * MIB)
        slots = [store.write(data) for _ in range(20)]
        (fd, _), *_ = descriptors_of(tmp_path) if LINUX else [(None, 0)]
        deep = store.file_bytes
        assert 160 * MIB <= deep <= 180 * MIB
        for slot in reversed(slots[4:]):
            store.free(slot)
        assert 32 * MIB <= store.file_bytes <= 96 * MIB
        assert store.used_bytes == 32 * MIB
        if LINUX:
            assert os.fstat(fd).st_size == store.file_bytes
        again = store.write(b"y" * (8 * MIB))
        assert read(store, again, 8 * MIB) == b"y" * (8 * MIB)
        assert read(store, slots[3], 8 * MIB) == data


# The file.


@needs_linux
@every_kind
def test_the_file_is_unnamed_and_private(tmp_path, kind):
    before = os.umask(0)
    try:
        store = KINDS[kind](tmp_path)
    finally:
        os.umask(before)
    with store:
        store.write(b"x" * 10_000)
        assert os.listdir(tmp_path) == []
        found = descriptors_of(tmp_path)
        assert len(found) == (2 if kind == "direct" and store.direct else 1)
        for fd, _ in found:
            about = os.fstat(fd)
            assert about.st_nlink == 0
            assert stat.S_IMODE(about.st_mode) == 0o600
            assert not os.get_inheritable(fd)
    assert descriptors_of(tmp_path) == []


@needs_linux
def test_a_directory_without_unnamed_files(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    with FileStore(tmp_path) as store:
        assert os.listdir(tmp_path) == []
        assert read(store, store.write(b"abc"), 3) == b"abc"
        assert stat.S_IMODE(os.fstat(descriptors_of(tmp_path)[0][0]).st_mode) == 0o600


@needs_linux
@every_kind
def test_the_page_cache_is_left_alone(tmp_path, kind):
    if is_ram_backed(tmp_path):
        pytest.skip("the directory lies in memory")

    def cached():
        text = Path("/proc/meminfo").read_text()
        return sum(int(text.split(f"\n{name}:")[1].split()[0]) for name in ("Cached", "Dirty", "Writeback"))

    # Another program may read or write a lot at the same time: one round of three must be quiet.
    grown = []
    for _ in range(3):
        with KINDS[kind](tmp_path) as store:
            data = bytes(32 * MIB)
            before = cached()
            slots = [store.write(data) for _ in range(4)]
            for slot in slots:
                store.read(slot, bytearray(32 * MIB))
            grown.append(cached() - before)
        if grown[-1] < 64 << 10:
            return
    raise AssertionError(f"the page cache grew by {grown} KiB while 128 MiB were written and read")


@needs_linux
def test_direct_io_that_is_refused_is_not_tried_again(tmp_path):
    with FileStore(tmp_path) as store:
        if not store.direct:
            pytest.skip("no direct I/O in the directory for temporary files")
        kept = store.write(b"k" * 10_000)
        (fd,) = [fd for fd, flags in descriptors_of(tmp_path) if flags & os.O_DIRECT]
        # A file that answers EINVAL to what is no number.
        other = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        os.dup2(other, fd)
        os.close(other)
        slot = store.write(b"x" * 10_000)
        assert not store.direct
        assert read(store, slot, 10_000) == b"x" * 10_000
        assert read(store, kept, 10_000) == b"k" * 10_000


@needs_linux
@every_kind
def test_a_file_that_was_cut_behind_our_back(tmp_path, kind):
    with KINDS[kind](tmp_path) as store:
        slot = store.write(b"x" * 100_000)
        os.ftruncate(descriptors_of(tmp_path)[0][0], 0)
        with pytest.raises(SpillError, match=r"a read of 97.7 KiB in .* failed") as caught:
            store.read(slot, bytearray(100_000))
        assert caught.value.errno == errno.EIO


# Closing, wrong use, forks.


@every_kind
def test_closing(tmp_path, kind):
    store = KINDS[kind](tmp_path)
    slot = store.write(b"x" * 5000)
    assert f"in {tmp_path}" in repr(store)
    store.close()
    store.close()
    for use in (lambda: store.write(b"x"), lambda: store.read(slot, bytearray(5000)), lambda: store.free(slot)):
        with pytest.raises(SpillError, match=f"the spill file in {tmp_path} is closed"):
            use()
    assert (store.file_bytes, store.used_bytes) == (0, 0)
    assert repr(store) == f"<{type(store).__name__}: closed>"


@needs_linux
@every_kind
def test_closing_while_others_write_and_read(tmp_path, kind):
    for _ in range(5):
        store = KINDS[kind](tmp_path)
        data = os.urandom(MIB)
        first = store.write(data)
        started, wrong = threading.Barrier(5), []

        def work(store=store, data=data, first=first, started=started, wrong=wrong):
            started.wait()
            try:
                while True:
                    slot = store.write(data)
                    for each in (first, slot):
                        if read(store, each, MIB) != data:
                            wrong.append(each)
                    store.free(slot)
            except SpillError as error:
                if "closed" not in str(error):
                    wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        threading.Event().wait(0.01)
        store.close()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not wrong
        assert descriptors_of(tmp_path) == []


@every_kind
def test_a_slot_that_is_freed_while_it_is_read(tmp_path, kind):
    # Wrong use, which must not read another's data into a slab nor cut the file below a map.
    data = os.urandom(96 * MIB)
    with KINDS[kind](tmp_path) as store:
        slot = store.write(data)
        out = bytearray(len(data))
        reader = threading.Thread(target=store.read, args=(slot, out))
        reader.start()
        while reader.is_alive() and not any(out[:1]) and data[0]:
            pass
        with contextlib.suppress(TapeValueError):
            store.free(slot)
        other = store.write(b"z" * MIB)
        reader.join()
        assert out == data
        assert read(store, other, MIB) == b"z" * MIB
        store.free(other)
        assert store.used_bytes == 0


def test_wrong_arguments(tmp_path):
    store = FileStore(tmp_path)
    slot = store.write(b"abcd")
    for bad in (-1, 5, 4096, 2**63, -(2**70)):
        with pytest.raises(TapeValueError, match="holds no"):
            store.read(bad, bytearray(4))
        with pytest.raises(TapeValueError, match="holds nothing"):
            store.free(bad)
    for bad in ("0", 0.0, None):
        with pytest.raises(TapeTypeError, match="a slot is the int"):
            store.read(bad, bytearray(4))
    for bad in ("text", None, memoryview(b"abcdef")[::2]):
        with pytest.raises(TapeTypeError, match="data: a contiguous buffer"):
            store.write(bad)
    with pytest.raises(TapeTypeError, match="out: a contiguous writable buffer"):
        store.read(slot, b"abcd")
    assert read(store, slot, 4) == b"abcd"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(store)
    with pytest.raises(TapeValueError, match="is open in"):
        store.__init__(tmp_path)
    with pytest.raises(TapeTypeError, match="make a FileStore"):
        DiskStore()
    with pytest.raises(TypeError):
        type("Mine", (FileStore,), {})
    never_opened = MmapStore.__new__(MmapStore)
    with pytest.raises(SpillError, match="closed"):
        never_opened.write(b"x")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@every_kind
def test_a_fork_cannot_touch_the_file_of_its_parent(tmp_path, kind):
    with KINDS[kind](tmp_path) as store:
        slot = store.write(b"x" * 5000)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for use in (
                    lambda: store.write(b"y" * 5000),
                    lambda: store.free(slot),
                    lambda: read(store, slot, 5000),
                ):
                    try:
                        use()
                        code = 2
                        break
                    except SpillError as error:
                        code = 0 if "parent process" in str(error) else 3
                store.close()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert read(store, slot, 5000) == b"x" * 5000
