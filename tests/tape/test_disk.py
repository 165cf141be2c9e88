"""Stores on disk: slots and the file they lie in, wrong use, and what happens when the disk says no."""

import contextlib
import errno
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tape import SpillError, SpillWarning, TapeTypeError, TapeValueError
from tape import spilldir as spilldir_module
from tape.disk import DiskStore, FileStore, MmapStore, check_directory, default_directory, is_ram_backed

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


@contextlib.contextmanager
def small_disk(tmp_path, kind):
    """A file system of 4 MiB or a little less, or a skip that says why there is none."""
    if not LINUX or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    where = tmp_path / "small"
    where.mkdir()
    commands = [["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", where]]
    if kind != "tmpfs":
        image = tmp_path / "image"
        image.write_bytes(bytes(4 * MIB))
        commands = [[f"mkfs.{kind}", "-q", "-F", "-b", "4096", "-m", "0", image], ["mount", "-o", "loop", image, where]]
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no {kind} can be mounted here: {getattr(error, 'stderr', error)}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


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


# Where the disk says no.


# ext2 cannot allocate ahead, and so can nothing with allocate=False.
@every_kind
@pytest.mark.parametrize(("disk", "allocate"), [("tmpfs", True), ("tmpfs", False), ("ext4", True), ("ext2", True)])
def test_a_full_disk(tmp_path, kind, disk, allocate):
    with small_disk(tmp_path, disk) as where, KINDS[kind](where, _allocate=allocate) as store:
        data = os.urandom(300 << 10)
        slots = []
        with pytest.raises(SpillError, match=r"no space left in .*a slab of 300 KiB is to be written") as caught:
            for _ in range(20):
                slots.append(store.write(data))
        assert 8 <= len(slots) <= 13
        assert caught.value.errno == errno.ENOSPC
        assert isinstance(caught.value, OSError)
        assert caught.value.directory == str(where)
        assert caught.value.wanted == len(data)
        assert 0 <= caught.value.free <= 4 * MIB
        assert "add_spill_dir()" in str(caught.value)
        used, file = store.used_bytes, store.file_bytes
        assert used == len(slots) * len(data)
        assert used <= file <= 4 * MIB
        for _ in range(3):
            with pytest.raises(SpillError):
                store.write(data)
        assert (store.used_bytes, store.file_bytes) == (used, file)
        for slot in slots:
            assert read(store, slot, len(data)) == data
        store.free(slots[0])
        other = store.write(data[::-1])
        assert other == slots[0]
        assert read(store, other, len(data)) == data[::-1]
        store.free(other)
        small = [store.write(bytes([k]) * 4096) for k in range(75)]
        assert [read(store, slot, 4096)[0] for slot in small] == list(range(75))
        assert read(store, slots[1], len(data)) == data
        if disk == "tmpfs":
            # Room that somebody else makes is found too.
            subprocess.run(["mount", "-o", "remount,size=8m", where], check=True)
            assert read(store, store.write(data), len(data)) == data


@every_kind
def test_a_full_disk_and_threads(tmp_path, kind):
    with small_disk(tmp_path, "tmpfs") as where, KINDS[kind](where) as store:
        wrong, full = [], []

        def work(k):
            data = bytes([k]) * 150_000
            live = []
            for _ in range(60):
                try:
                    live.append(store.write(data))
                except SpillError as error:
                    full.append(error.errno)
                    if live:
                        store.free(live.pop())
            wrong.extend(slot for slot in live if read(store, slot, 150_000) != data)
            for slot in live:
                store.free(slot)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert set(full) == {errno.ENOSPC}
        assert store.used_bytes == 0


@needs_linux
@pytest.mark.parametrize("call", ["FileStore(where, _allocate=%s)", "MmapStore(where, _allocate=%s)"])
@pytest.mark.parametrize("allocate", [True, False])
def test_a_limit_on_the_size_of_files(tmp_path, call, allocate):
    program = f"""
        import errno, resource, sys
        from tape.disk import FileStore, MmapStore
        from tape import SpillError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        where = sys.argv[1]
        store = {call % allocate}
        slots = []
        try:
            for _ in range(9):
                slots.append(store.write(b"x" * 300_000))
        except SpillError as error:
            assert error.errno == errno.EFBIG, error
            assert "ulimit -f" in str(error), error
        out = bytearray(300_000)
        for slot in slots:
            store.read(slot, out)
            assert out == b"x" * 300_000
        store.free(slots[0])
        store.write(b"y" * 300_000)
        print(len(slots), store.file_bytes <= 1 << 20)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "3 True\n"), done.stderr


@every_kind
def test_the_limit(tmp_path, kind):
    with KINDS[kind](tmp_path, limit="1 MiB") as store:
        assert store.limit == MIB
        slots = [store.write(bytes([k]) * (300 << 10)) for k in range(3)]
        with pytest.raises(SpillError, match=r"limit: 300 KiB are to be written, .* of 1 MiB are in use; raise"):
            store.write(bytes(300 << 10))
        assert store.file_bytes <= MIB
        fitting = MIB - 3 * (300 << 10)
        store.write(bytes(fitting))
        assert store.file_bytes == store.used_bytes == MIB
        store.free(slots[1])
        assert read(store, store.write(b"z" * (300 << 10)), 300 << 10) == b"z" * (300 << 10)
        assert read(store, slots[2], 300 << 10) == b"\2" * (300 << 10)
    with KINDS[kind](tmp_path, limit=0) as store, pytest.raises(SpillError, match="0 B of 0 B"):
        store.write(b"x")
    with pytest.raises(TapeValueError, match="limit"):
        KINDS[kind](tmp_path, limit="much")


@every_kind
def test_directories_that_cannot_be_used(tmp_path, kind):
    missing = tmp_path / "missing"
    with pytest.raises(SpillError, match=r"cannot spill to .*missing: .*; name a directory that exists") as caught:
        KINDS[kind](missing)
    assert (caught.value.errno, caught.value.directory) == (errno.ENOENT, str(missing))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SpillError, match="cannot spill to") as caught:
        KINDS[kind](file)
    assert caught.value.errno == errno.ENOTDIR
    for bad in (3.5, None, object()):
        with pytest.raises(TapeTypeError, match="directory: a path"):
            KINDS[kind](bad)
    with pytest.raises(SpillError, match="missing"):
        check_directory(missing)
    with pytest.raises(TapeTypeError, match="spill_dir: a path"):
        check_directory(3)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
def test_a_directory_of_somebody_else(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(SpillError, match="cannot spill to") as caught:
            FileStore(closed)
    finally:
        os.seteuid(me)
    assert caught.value.errno == errno.EACCES
    assert caught.value.directory == str(closed)


def test_the_directory_is_told_absolutely(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FileStore(".") as store:
        monkeypatch.chdir("/")
        assert store.directory == str(tmp_path)
        assert read(store, store.write(b"abc"), 3) == b"abc"
    assert check_directory(os.fsencode(tmp_path)) == str(tmp_path)


# Directories in memory.


@needs_linux
def test_a_directory_in_memory_is_warned_of(tmp_path, monkeypatch):
    if not is_ram_backed("/dev/shm"):
        pytest.skip("no tmpfs on /dev/shm")
    assert not is_ram_backed("/dev/shm/missing")
    with pytest.warns(SpillWarning, match="/dev/shm lies in memory") as caught:
        assert check_directory("/dev/shm") == "/dev/shm"
    assert caught[0].filename == __file__
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not is_ram_backed(tmp_path):
        assert default_directory() == check_directory(tmp_path) == str(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    if not is_ram_backed("/var/tmp") and os.access("/var/tmp", os.W_OK):
        assert default_directory() == "/var/tmp"
    monkeypatch.setattr(spilldir_module, "is_ram_backed", lambda path: True)
    with pytest.warns(SpillWarning, match="no spilling") as caught:
        assert default_directory() == "/dev/shm"
    assert caught[0].filename == __file__


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


def test_other_errors_are_told(tmp_path):
    with FileStore(tmp_path) as store:
        error = store.error(errno.EIO, 5 * MIB, "read")
        assert str(error) == f"a read of 5 MiB in {tmp_path} failed: {os.strerror(errno.EIO)}"
        assert error.errno == errno.EIO
        assert "quota" in str(store.error(errno.EDQUOT, MIB, "write"))
