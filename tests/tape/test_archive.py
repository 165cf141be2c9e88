"""Tapes in files: what comes back, what is refused, and what is left after a failure."""

import errno
import json
import os
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tape import ArchiveError, SlabPool, Tape, TapeBusyError, TapeClosedError, TapeTypeError, TapeValueError, archive
from tape.checksum import xxh64

PADDED = np.dtype([("flag", "u1"), ("x", "f8"), ("part", [("n", "i2"), ("c", "c8", (2, 3))])], align=True)
MIXED = np.dtype({"names": ["b", "a"], "formats": ["<f4", ">i2"], "offsets": [0, 2], "itemsize": 11})
TITLED = np.dtype([(("a title", "a"), "f8"), ("ünïcode", "U2")])
DTYPES = ["f8", "f4", "i8", "?", "c16", "S5", "U3", "M8[ns]", "m8[25s]", ">f8", "V7", PADDED, MIXED, TITLED]


def sample(dtype, n):
    """n items with random bytes in all their places; those of text and truth are of their kind."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(n)
    if dtype.kind in "SU":
        return rng.integers(0, 99_999, n).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, n).astype(dtype)
    return np.frombuffer(rng.bytes(n * dtype.itemsize), dtype)


def saved(path, items, **options):
    """Save a tape with these items; they are compared by their bytes, as NaN is not equal to itself."""
    with Tape(items.dtype, **options) as tape:
        tape.extend(items)
        tape.save(path)
        assert tape[:].tobytes() == items.tobytes()
    return path


@pytest.fixture
def small(tmp_path):
    """A file with two chunks of two items and one of one."""
    path = tmp_path / "small.tape"
    write_file(path, header("f8", 5, 2), [struct.pack("<2d", 1, 2), struct.pack("<2d", 3, 4), struct.pack("<d", 5)], 5)
    assert list(Tape.load(path)) == [1, 2, 3, 4, 5]
    return path


def header(dtype, items, chunk_items, itemsize=None):
    if itemsize is None:
        itemsize = np.dtype(dtype).itemsize
    return json.dumps({"dtype": dtype, "itemsize": itemsize, "items": items, "chunk_items": chunk_items}).encode()


def write_file(path, text, chunks=(), items=0, version=1):
    """A file by the description of the format, not by the code."""
    head = b"\x93TAPE\r\n\x1a" + struct.pack("<II", version, len(text)) + text
    seal = xxh64(head)
    with open(path, "wb") as file:
        file.write(head + struct.pack("<Q", seal))
        for data in chunks:
            seal = xxh64(struct.pack("<QQ", seal, xxh64(data)))
            file.write(data + struct.pack("<Q", seal))
        file.write(struct.pack("<QQ", items, xxh64(struct.pack("<QQ", seal, items))))


# ---------------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 3000])
def test_what_is_saved_comes_back(tmp_path, dtype, n):
    items = sample(dtype, n)
    with Tape.load(saved(tmp_path / "a.tape", items)) as back:
        assert back.dtype == items.dtype
        assert back.dtype.isalignedstruct == items.dtype.isalignedstruct
        assert back.dtype.fields == items.dtype.fields
        assert back[:].tobytes() == items.tobytes()


@pytest.mark.parametrize(
    ("dtype", "n"),
    [("f8", 131_071), ("f8", 131_072), ("f8", 131_073), ("f8", 1_000_000), ("V700001", 4), ("V1500000", 3)],
)
def test_several_chunks_come_back(tmp_path, dtype, n):
    items = sample(dtype, n)
    with Tape.load(saved(tmp_path / "a.tape", items, slab_bytes="3 MiB")) as back:
        assert back[:].tobytes() == items.tobytes()


@given(st.binary(max_size=300), st.sampled_from([1, 3, 8]), st.integers(1, 20))
def test_any_length_in_chunks_of_any_size(tmp_path_factory, data, itemsize, chunk_items):
    path = tmp_path_factory.getbasetemp() / "any.tape"
    items = np.frombuffer(data[: len(data) // itemsize * itemsize], f"V{itemsize}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "CHUNK_BYTES", chunk_items * itemsize)
        saved(path, items)
    with Tape.load(path) as back:
        assert back[:].tobytes() == items.tobytes()


def test_the_format_is_the_one_described(tmp_path):
    """A file of the first release is read by every later one."""
    path = saved(tmp_path / "a.tape", np.array([1.0, -2.5]))
    write_file(tmp_path / "b.tape", header("<f8", 2, 131_072), [struct.pack("<2d", 1.0, -2.5)], 2)
    assert path.read_bytes() == (tmp_path / "b.tape").read_bytes()


def test_load_takes_the_options_of_a_tape(tmp_path):
    pool = SlabPool()
    with Tape.load(saved(tmp_path / "a.tape", np.arange(10_000.0)), pool=pool, slab_bytes=8192) as back:
        assert back.pool is pool
        assert back.stats().slabs == pytest.approx(10, abs=1)
    with pytest.raises(TypeError, match="dtype"):
        Tape.load(tmp_path / "a.tape", dtype="f4")


def test_paths_of_every_kind(tmp_path, monkeypatch):
    items = np.arange(3.0)
    monkeypatch.chdir(tmp_path)
    for path in ["a", b"b", tmp_path / "c", "x" * 255]:
        saved(path, items)
        assert list(Tape.load(path)) == [0, 1, 2]
    for bad in [None, 3, 1.5]:
        with pytest.raises(TypeError, match=type(bad).__name__):
            saved(bad, items)
        with pytest.raises(TypeError, match=type(bad).__name__):
            Tape.load(bad)


# ------------------------------------------------------------------------------------------ damaged files


def test_every_damaged_byte_is_found(small):
    whole = small.read_bytes()
    for i in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            small.write_bytes(whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :])
            with pytest.raises(ArchiveError, match=r"small\.tape"):
                Tape.load(small)


def test_every_truncation_is_found(small):
    whole = small.read_bytes()
    for i in range(len(whole)):
        small.write_bytes(whole[:i])
        with pytest.raises(ArchiveError, match="truncated" if i >= 8 else "not a saved tape"):
            Tape.load(small)


def test_trailing_bytes_are_found(small):
    small.write_bytes(small.read_bytes() + b"\0")
    with pytest.raises(ArchiveError, match="1 bytes follow"):
        Tape.load(small)


def test_the_message_names_chunk_and_place(small):
    whole = bytearray(small.read_bytes())
    place = whole.index(struct.pack("<2d", 3, 4))
    whole[place + 8] ^= 1
    small.write_bytes(whole)
    with pytest.raises(ArchiveError, match=rf"chunk 2 of 3, at byte {place},"):
        Tape.load(small)


def test_swapped_chunks_are_found(small):
    whole = small.read_bytes()
    place = whole.index(struct.pack("<2d", 1, 2))
    small.write_bytes(whole[:place] + whole[place + 24 : place + 48] + whole[place : place + 24] + whole[place + 48 :])
    with pytest.raises(ArchiveError, match="chunk 1 of 3"):
        Tape.load(small)


@pytest.mark.parametrize("foreign", [b"", b"PK\3\4" * 10, bytes(100), b"\x93NUMPY\1\0" + bytes(60)])
def test_foreign_files_are_refused(tmp_path, foreign):
    (tmp_path / "x").write_bytes(foreign)
    with pytest.raises(ArchiveError, match="not a saved tape"):
        Tape.load(tmp_path / "x")


def test_newer_versions_are_refused(tmp_path):
    write_file(tmp_path / "x", b"whatever", version=2)
    with pytest.raises(ArchiveError, match="version 2"):
        Tape.load(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (header("f8", 2**62, 1), "truncated"),
        (header("f8", 2**70, 1), "impossible"),
        (header("f8", -1, 1), "impossible"),
        (header("f8", 10, 2**40), "impossible"),
        (header("f8", 10, 0), "impossible"),
        (header("f8", 10, -3), "impossible"),
        (header("f8", 10.0, 3), "impossible"),
        (header("f8", True, 3), "impossible"),
        (header("f8", 1, 1, itemsize=4), "impossible"),
        (header("V2147483647", 2**40, 1), "truncated"),
        (header("V9999999999", 1, 1, itemsize=1), "cannot read"),
        (header("O", 1, 1), "Python objects"),
        (
            header({"names": ["a"], "formats": ["O"], "offsets": [0], "titles": [None], "itemsize": 8}, 1, 1, 8),
            "cannot",
        ),
        (
            header({"names": ["a"], "formats": ["f8"], "offsets": [-8], "titles": [None], "itemsize": 8}, 1, 1, 8),
            "cannot",
        ),
        (header({"base": "f8", "shape": [2]}, 1, 1, 16), "array type"),
        (header({"base": "f8", "shape": [2**62]}, 1, 1, 16), "cannot read"),
        (header("S", 1, 1, 1), "no size"),
        (header("no such", 1, 1, 1), "cannot read"),
        (header(None, 1, 1, 8), "cannot read"),
        (header(7, 1, 1, 8), "cannot read"),
        (b'{"dtype": "f8"}', "cannot read"),
        (b"[]", "cannot read"),
        (b"\xff\xfe", "cannot read"),
        (b"1" * 5000, "cannot read"),
        (b"[" * 100_000, "cannot read"),
        (b'{"base":' * 100_000, "cannot read"),
    ],
    ids=lambda x: str(x[:60]),
)
def test_headers_with_a_good_checksum_are_not_trusted(tmp_path, text, word):
    write_file(tmp_path / "x", text)
    with pytest.raises(ArchiveError, match=word):
        Tape.load(tmp_path / "x")


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.write(b"\x93TAPE\r\n\x1a" + struct.pack("<II", 1, 2**32 - 1))
        file.truncate(2**33)
    with pytest.raises(ArchiveError, match="no header"):
        Tape.load(tmp_path / "x")


class Recorded:
    """What `load` fills, seen from outside."""

    def __init__(self, dtype, fail_at=None):
        self.items, self.closed, self.fail_at = [], False, fail_at

    def extend(self, items):
        if len(self.items) == self.fail_at:
            raise MemoryError("no room")
        self.items += list(items)

    def close(self):
        self.closed = True


def test_a_half_filled_tape_is_closed(small):
    made = []

    def make(dtype):
        made.append(Recorded(dtype))
        return made[-1]

    assert archive.load(small, make) is made[0]
    assert not made[0].closed
    whole = bytearray(small.read_bytes())
    whole[whole.index(struct.pack("<d", 5))] ^= 1
    small.write_bytes(whole)
    with pytest.raises(ArchiveError, match="chunk 3"):
        archive.load(small, make)
    assert made[1].closed
    assert made[1].items == [1, 2, 3, 4]


def test_a_tape_that_cannot_take_it_all_is_closed(small):
    tape = Recorded("f8", fail_at=2)
    with pytest.raises(MemoryError, match="no room"):
        archive.load(small, lambda dtype: tape)
    assert tape.closed


def test_no_memory_is_leaked_by_a_refused_file(tmp_path):
    path = saved(tmp_path / "a.tape", np.arange(300_000.0))
    whole = bytearray(path.read_bytes())
    whole[-20] ^= 1
    path.write_bytes(whole)
    pool = SlabPool()
    with pytest.raises(ArchiveError, match="chunk 3"):
        Tape.load(path, pool=pool)
    assert pool.stats().used_bytes == 0


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    with pytest.raises(ArchiveError, match="no file"):
        Tape.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ArchiveError, match="no file"):
            Tape.load(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="missing"):
        Tape.load(tmp_path / "missing")


# ---------------------------------------------------------------------------------------------- failures


@pytest.fixture
def tape():
    with Tape("f8") as tape:
        tape.extend(np.arange(500_000.0))
        yield tape


def check_nothing_happened(tape, directory, old):
    """The old file alone is there, as it was, and the tape is as it was."""
    assert sorted(os.listdir(directory)) == (["a.tape"] if old is not None else [])
    if old is not None:
        assert (directory / "a.tape").read_bytes() == old
    assert len(tape) == 500_000
    assert (tape[:] == np.arange(500_000.0)).all()


@pytest.fixture(params=[None, b"what was there"], ids=["new", "old"])
def old(request, tmp_path):
    if request.param is not None:
        (tmp_path / "a.tape").write_bytes(request.param)
    return request.param


def test_a_file_too_large_for_its_limit(tape, tmp_path, old):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, hard))
    try:
        with pytest.raises(OSError) as caught:
            tape.save(tmp_path / "a.tape")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    check_nothing_happened(tape, tmp_path, old)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 2 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a file system to fill, where it may")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(tape, full_disk):
    (full_disk / "a.tape").write_bytes(b"what was there")
    with pytest.raises(OSError) as caught:
        tape.save(full_disk / "a.tape")
    assert caught.value.errno == errno.ENOSPC
    check_nothing_happened(tape, full_disk, b"what was there")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()], ids=repr)
def test_a_failure_at_the_last_steps(tape, tmp_path, monkeypatch, old, call, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        tape.save(tmp_path / "a.tape")
    check_nothing_happened(tape, tmp_path, old)


def test_a_directory_that_cannot_be_synced_is_no_failure(tape, tmp_path, monkeypatch):
    sync = os.fsync

    def of_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not supported")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    tape.save(tmp_path / "a.tape")
    assert len(Tape.load(tmp_path / "a.tape")) == 500_000


def test_directories_that_are_missing_or_read_only(tape, tmp_path):
    with pytest.raises(FileNotFoundError):
        tape.save(tmp_path / "missing" / "a.tape")
    check_nothing_happened(tape, tmp_path, None)
    if os.geteuid() == 0:
        place = "/proc"  # where even root creates no file
        if not os.path.isdir(place):
            pytest.skip("root may write anywhere here")
        with pytest.raises(OSError):
            tape.save(f"{place}/a.tape")
    else:
        tmp_path.chmod(0o555)
        with pytest.raises(PermissionError):
            tape.save(tmp_path / "a.tape")
        tmp_path.chmod(0o755)
    check_nothing_happened(tape, tmp_path, None)


def test_only_files_are_replaced(tape, tmp_path):
    (tmp_path / "place").mkdir()
    with pytest.raises(TapeValueError, match="no file"):
        tape.save(tmp_path / "place")
    if hasattr(os, "mkfifo"):
        (tmp_path / "place").rmdir()
        os.mkfifo(tmp_path / "place")
        with pytest.raises(TapeValueError, match="no file"):
            tape.save(tmp_path / "place")
    assert os.listdir(tmp_path) == ["place"]


def test_links_and_permissions_are_kept(tape, tmp_path):
    (tmp_path / "a.tape").write_bytes(b"")
    (tmp_path / "link").symlink_to("a.tape")
    for mode in (0o600, 0o664):
        (tmp_path / "a.tape").chmod(mode)
        tape.save(tmp_path / "link")
        assert stat.S_IMODE((tmp_path / "a.tape").stat().st_mode) == mode
    assert (tmp_path / "link").is_symlink()
    assert len(Tape.load(tmp_path / "a.tape")) == 500_000


def test_a_new_file_has_the_permissions_of_any_other(tape, tmp_path):
    (tmp_path / "other").write_bytes(b"")
    tape.save(tmp_path / "a.tape")
    assert (tmp_path / "a.tape").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_busy_and_closed_tapes_are_refused(tape, tmp_path, old):
    with tape.claimed(), pytest.raises(TapeBusyError):
        tape.save(tmp_path / "a.tape")
    check_nothing_happened(tape, tmp_path, old)
    closed = Tape("f8")
    closed.close()
    with pytest.raises(TapeClosedError):
        closed.save(tmp_path / "a.tape")
    check_nothing_happened(tape, tmp_path, old)


@pytest.mark.parametrize("change", [lambda t: t.clear(), lambda t: t.push(1.0), lambda t: t.close()])
def test_a_tape_that_changes_meanwhile_is_not_saved(tmp_path, monkeypatch, old, change):
    with Tape("f8") as tape:
        tape.extend(np.arange(300_000.0))
        calls = []

        def checksum(data):
            calls.append(1)
            if len(calls) == 3:
                change(tape)
            return xxh64(data)

        monkeypatch.setattr(archive, "xxh64", checksum)
        with pytest.raises((TapeBusyError, TapeClosedError)):
            tape.save(tmp_path / "a.tape")
    assert os.listdir(tmp_path) == ([] if old is None else ["a.tape"])


def test_views_and_marks_do_not_hinder(tape, tmp_path):
    view, mark = tape.peek(3), tape.mark()
    tape.save(tmp_path / "a.tape")
    assert mark.live
    assert (view == [499_997, 499_998, 499_999]).all()


def test_dtypes_that_a_file_cannot_describe_are_refused(tmp_path):
    class Title:
        pass

    odd = np.dtype({"names": ["a"], "formats": ["f8"], "titles": [Title()]})
    with Tape(odd) as tape, pytest.raises(TapeTypeError, match="describe"):
        tape.save(tmp_path / "a.tape")
    assert os.listdir(tmp_path) == []
