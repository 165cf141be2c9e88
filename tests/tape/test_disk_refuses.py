"""Stores on disk: what happens when the disk or the directory says no, or lies in memory."""

import contextlib
import errno
import os
import subprocess
import sys
import tempfile
import textwrap
import threading

import pytest

from tape import SpillError, SpillWarning, TapeTypeError, TapeValueError
from tape import spilldir as spilldir_module
from tape.disk import FileStore, MmapStore, check_directory, default_directory, is_ram_backed

MIB = 1 << 20
LINUX = sys.platform == "linux"
needs_linux = pytest.mark.skipif(not LINUX, reason="Linux only")

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


def test_other_errors_are_told(tmp_path):
    with FileStore(tmp_path) as store:
        error = store.error(errno.EIO, 5 * MIB, "read")
        assert str(error) == f"a read of 5 MiB in {tmp_path} failed: {os.strerror(errno.EIO)}"
        assert error.errno == errno.EIO
        assert "quota" in str(store.error(errno.EDQUOT, MIB, "write"))
