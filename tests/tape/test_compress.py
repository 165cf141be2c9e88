"""Spilled slabs that are packed on their way: by whom, when, and what happens when something fails below."""

import errno
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from numba import njit

from tape import SpillCorruptionError, SpillError, Store, Tape, TapeTypeError, TapeValueError
from tape import compress as compress_module
from tape.compress import CompressedStore, check_codec
from tape.disk import FileStore
from tape.testing import FaultStore, MemoryStore, check_store

pytest.importorskip("blosc2", reason="needs the extra `compress`")

MIB = 1 << 20
CODECS = ["lz4", "zstd", "auto"]
every_codec = pytest.mark.parametrize("codec", CODECS)

RANDOM = np.random.default_rng(0)
# Half a MiB that packs to about a third: two of eight bytes are noise.
SMOOTH = (np.linspace(1.0, 2.0, 65_536).view("u8") >> 16 << 16 | RANDOM.integers(0, 1 << 16, 65_536, "u8")).tobytes()
NOISE = RANDOM.bytes(len(SMOOTH))


def read(store, slot, n):
    out = bytearray(n)
    store.read(slot, memoryview(out))
    return bytes(out)


# ------------------------------------------------------------------------------------------------ the store


@every_codec
@pytest.mark.parametrize("inner", ["memory", "file", "fault"])
def test_the_contract(tmp_path, codec, inner):
    make = {
        "memory": MemoryStore,
        "file": lambda: FileStore(tmp_path),
        "fault": lambda: FaultStore(MemoryStore(), delay=1e-4),
    }[inner]
    check_store(lambda: CompressedStore(make(), codec=codec))


@pytest.mark.parametrize("itemsize", [1, 3, 8, 16, 255, 256, 1000])
def test_item_sizes(itemsize):
    with CompressedStore(MemoryStore(), itemsize=itemsize) as store:
        for data in (SMOOTH, NOISE, b"x", SMOOTH[:1001]):
            assert read(store, store.write(memoryview(data)), len(data)) == data


def test_what_it_says_of_itself(tmp_path):
    with CompressedStore(FileStore(tmp_path), codec="zstd") as store:
        assert (store.ratio, store.raw_slabs, store.compressed_slabs, store.codec) == (1.0, 0, 0, "zstd")
        assert store.file_bytes == store.used_bytes == 0
        slot = store.write(memoryview(SMOOTH))
        assert store.ratio > 1.5
        assert (store.raw_slabs, store.compressed_slabs) == (0, 1)
        assert 0 < store.used_bytes == store.inner.used_bytes < len(SMOOTH) // 1.5
        assert store.file_bytes == store.inner.file_bytes
        assert "zstd" in repr(store) and str(tmp_path) in repr(store)
        used = store.used_bytes
        noise = store.write(memoryview(NOISE))
        assert (store.raw_slabs, store.compressed_slabs) == (1, 1)
        assert store.used_bytes - used == len(NOISE), "kept as it was, to the byte"
        assert (read(store, noise, len(NOISE)), read(store, slot, len(SMOOTH))) == (NOISE, SMOOTH)
        store.free(slot)
        store.free(noise)
        assert store.used_bytes == 0 and not store._packed
    assert store.file_bytes == 0
    assert CompressedStore(MemoryStore()).file_bytes == 0, "a store that does not say"


def test_slots_that_are_none():
    with CompressedStore(MemoryStore()) as store:
        slot = store.write(memoryview(SMOOTH))
        with pytest.raises(TapeValueError, match=f"slot {slot} holds {len(SMOOTH)} bytes, not 5"):
            read(store, slot, 5)
        store.free(slot)
        with pytest.raises(TapeValueError):
            store.free(slot)
        with pytest.raises(TapeValueError):
            read(store, slot, len(SMOOTH))


def test_more_than_blosc2_takes_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(compress_module, "_LARGEST", 1000)
    with CompressedStore(MemoryStore()) as store:
        for size, packed in ((1001, 0), (1000, 1)):
            assert read(store, store.write(memoryview(bytes(size))), size) == bytes(size)
            assert store.compressed_slabs == packed


@pytest.mark.parametrize("error", [MemoryError, RuntimeError("Could not compress the data")])
def test_what_blosc2_cannot_pack_stays_as_it_is(error):
    with CompressedStore(MemoryStore()) as store:

        class Fails(type(store._blosc2)):
            Codec, Filter = store._blosc2.Codec, store._blosc2.Filter

            def compress2(self, *args, **settings):
                raise error

        store._blosc2 = Fails("blosc2")
        assert read(store, store.write(memoryview(SMOOTH)), len(SMOOTH)) == SMOOTH
        assert store.raw_slabs == 1


def test_what_it_refuses():
    with pytest.raises(TapeTypeError, match="inner: a Store, not str"):
        CompressedStore("/tmp")
    with pytest.raises(TapeValueError, match="codec: 'gzip'; it is one of 'auto', 'lz4', 'zstd'"):
        CompressedStore(MemoryStore(), codec="gzip")
    with pytest.raises(TapeTypeError, match="compress: one of 'auto', 'lz4', 'zstd', not bool"):
        check_codec(True)
    with pytest.raises(TapeValueError, match="itemsize: 0"):
        CompressedStore(MemoryStore(), itemsize=0)


def test_without_blosc2(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "blosc2", None)
    message = r'compress needs blosc2: pip install "layered-tape\[compress\]"'
    with pytest.raises(ImportError, match=message):
        CompressedStore(MemoryStore())
    with pytest.raises(ImportError, match=message):
        Tape(memory=MIB, spill_dir=tmp_path, compress="auto")
    with Tape(memory=MIB, spill_dir=tmp_path) as t:
        with pytest.raises(ImportError, match=message):
            t.add_spill_dir(tmp_path, compress="lz4")
        t.extend(np.arange(300_000.0))
        assert t.pop() == 299_999.0


def test_blosc2_is_not_imported_unless_asked_for():
    program = "import sys, tape, ad; tape.Tape(memory='1 MiB').close(); sys.exit('blosc2' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ----------------------------------------------------------------------------------------------- mode "auto"


class Slow(MemoryStore):
    """A disk of so many seconds a MiB, to write and to read."""

    def __init__(self, write, read=0.0):
        super().__init__()
        self.write_seconds, self.read_seconds = write, read

    def write(self, data):
        time.sleep(len(data) / MIB * self.write_seconds)
        return super().write(data)

    def read(self, slot, out):
        kept = self._slots[slot]
        time.sleep(len(kept) / MIB * self.read_seconds)
        super().read(slot, out)


def fill(store, data, number):
    return [store.write(memoryview(data)) for _ in range(number)]


@pytest.mark.measures
def test_auto_packs_where_the_disk_is_slow():
    with CompressedStore(Slow(0.1), codec="auto") as store:
        assert store.codec == "raw"
        slots = fill(store, SMOOTH, 12)
        assert store.codec in ("lz4", "zstd")
        assert store.raw_slabs == 3, "a trial of each way, then the best"
        assert store.compressed_slabs == 9
        assert all(read(store, slot, len(SMOOTH)) == SMOOTH for slot in slots)


@pytest.mark.measures
def test_auto_does_not_pack_where_nothing_is_gained():
    with CompressedStore(Slow(0.01), codec="auto") as noisy:
        fill(noisy, NOISE, 20)
        assert (noisy.codec, noisy.compressed_slabs) == ("raw", 0)


def test_auto_follows_the_measurements():
    """Of the choice alone, with times that are given."""
    seconds = {"raw": 1.0, "lz4": 0.5, "zstd": 0.8}

    def go(number, size=1000):
        taken = []
        for _ in range(number):
            taken.append(choice.next(size))
            choice.wrote(taken[-1], size, seconds[taken[-1]])
        return taken

    choice = compress_module._Choice()
    assert go(9) == ["raw", "lz4", "zstd"] * 3
    assert set(go(50)) == {"lz4"}
    seconds.update(lz4=2.0)
    assert set(go(8)) == {"lz4", "raw"} or choice.best != "lz4"
    assert choice.best == "zstd", "the medians of the latest five"
    seconds.update(zstd=0.95)
    go(6)
    assert choice.best == "raw", "a gain of a twentieth is not worth the processor"
    seconds.update(zstd=0.1)
    assert {"lz4", "zstd"} < set(go(1000)), "the others are looked at now and then"
    assert choice.best == "zstd"
    for way, reading in (("raw", 0.0), ("lz4", 0.0), ("zstd", 5.0)):
        choice.read(way, 1000, reading)
    assert choice.best == "raw", "what reading takes counts too, once it is known"
    assert go(4, size=10) == ["raw"] * 4 and choice.best == "raw", "small slabs say nothing"
    assert go(3, size=2000) == ["raw", "lz4", "zstd"], "slabs have grown: from the start"


def test_one_stall_does_not_change_the_choice():
    choice = compress_module._Choice()
    for _ in range(9):
        way = choice.next(1000)
        choice.wrote(way, 1000, {"raw": 1.0, "lz4": 0.5, "zstd": 0.6}[way])
    choice.wrote("lz4", 1000, 100.0)
    assert choice.best == "lz4"


def test_auto_packs_from_half_of_the_limit_on(tmp_path):
    size = len(SMOOTH)
    with CompressedStore(FileStore(tmp_path, limit=4 * size), codec="auto") as store:
        store._choice._size = 2 * size  # nothing is tried
        slots = fill(store, SMOOTH, 6)
        assert (store.raw_slabs, store.compressed_slabs, store.codec) == (3, 3, "raw")
        assert all(read(store, slot, size) == SMOOTH for slot in slots)
        with pytest.raises(SpillError, match="at its limit"):
            store.write(memoryview(NOISE))
        for slot in slots:
            store.free(slot)
        fill(store, SMOOTH, 1)
        assert store.raw_slabs == 4, "there is room again"


def test_auto_packs_what_a_full_disk_refuses():
    size = len(SMOOTH)
    with CompressedStore(FaultStore(MemoryStore(), full_after=size + size // 2), codec="auto") as store:
        store._choice._size = 2 * size
        slots = fill(store, SMOOTH, 2)
        assert (store.raw_slabs, store.compressed_slabs) == (1, 1)
        assert all(read(store, slot, size) == SMOOTH for slot in slots)
        with pytest.raises(OSError, match="failed, as it was told to"):
            fill(store, SMOOTH, 2)


def test_a_fixed_codec_has_no_second_try():
    inner = FaultStore(MemoryStore(), fail_write=1)
    with CompressedStore(inner, codec="lz4") as store:
        with pytest.raises(OSError, match="write 1 failed"):
            store.write(memoryview(SMOOTH))
        assert inner.writes == 1
    inner = FaultStore(MemoryStore(), fail_write=1)
    with CompressedStore(inner, codec="auto") as store:
        assert read(store, store.write(memoryview(SMOOTH)), len(SMOOTH)) == SMOOTH
        assert inner.writes == 2


# ------------------------------------------------------------------------------------------- below a tape


@njit
def push_holding_the_gil(t, n):
    for i in range(n):
        t.push(i * 0.001)


@njit
def pop_holding_the_gil(t, n):
    total = 0.0
    for _ in range(n):
        total = 0.5 * total + t.pop()
    return total


push_nogil = njit(nogil=True)(push_holding_the_gil.py_func)
pop_nogil = njit(nogil=True)(pop_holding_the_gil.py_func)
N = 500_000

LOOPS = {
    "holding the GIL": (push_holding_the_gil, pop_holding_the_gil),
    "nogil": (push_nogil, pop_nogil),
    "Python": (push_holding_the_gil.py_func, pop_holding_the_gil.py_func),
}


@every_codec
@pytest.mark.parametrize("loop", LOOPS)
def test_loops(tmp_path, codec, loop):
    push, pop = LOOPS[loop]
    n = N if loop != "Python" else N // 4
    with Tape() as plain:
        push(plain, n)
        expected = pop(plain, n)
    with Tape(memory="512 KiB", spill_dir=tmp_path, compress=codec) as t:
        for _ in range(2):
            push(t, n)
            assert pop(t, n) == expected
        traffic = t.traffic()
        assert traffic.bytes_written > n * 8 // 2
        assert traffic.bytes_read > n * 8 // 2
        if codec != "auto":
            assert 0 < traffic.file_bytes < n * 8 // 2, "the gain"


@pytest.mark.parametrize("loop", ["holding the GIL", "nogil"])
def test_two_loops_at_once(tmp_path, loop):
    """Two threads that push and pop, their four writers and four readers, and one GIL."""
    push, pop = LOOPS[loop]
    found = []

    def work():
        with Tape(memory="512 KiB", spill_dir=tmp_path, compress="lz4") as t:
            push(t, N)
            found.append(pop(t, N))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == 2 and found[0] == found[1]


@pytest.mark.parametrize("dtype", ["f4", "?", "c16", [("a", "f8"), ("b", "i2")], "S300"])
def test_dtypes(tmp_path, dtype):
    dtype = np.dtype(dtype)
    items = np.frombuffer((SMOOTH + NOISE)[: MIB // dtype.itemsize * dtype.itemsize], dtype)
    if dtype.kind == "b":
        items = items.view("u1") > 128
    with Tape(dtype, memory="512 KiB", spill_dir=tmp_path, compress="zstd") as t:
        t.extend(items)
        assert t.traffic().bytes_written
        assert t.popn(len(items)).tobytes() == items.tobytes()


LATER = range(4, 10**9)
FAULTS = {
    "writes fail": ({"fail_write": LATER}, SpillError),
    "reads fail": ({"fail_read": LATER}, SpillError),
    "reads lie": ({"flip_read": LATER}, SpillCorruptionError),
    "writes lie": ({"flip_write": LATER}, SpillCorruptionError),
    "writes are torn": ({"tear_write": LATER, "silent": True}, SpillCorruptionError),
    "both fail now and then": ({"fail_rate": 0.3, "delay": 1e-4}, SpillError),
}


@every_codec
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_below(codec, loop, fault):
    """An error of the right kind, and the tape is good for the next use."""
    push, pop = LOOPS[loop]
    settings, kind = FAULTS[fault]
    n = N // 8
    with Tape() as plain:
        push(plain, n)
        expected = pop(plain, n)
    inner = FaultStore(MemoryStore(), **settings)
    with CompressedStore(inner, codec=codec) as store, Tape(memory="128 KiB", spill_dir=store) as t:
        with pytest.raises(kind) as caught:
            for _ in range(20):
                push(t, n)
                assert pop(t, n) == expected
        assert type(caught.value) is kind, caught.value
        if kind is SpillError:
            assert caught.value.errno in (errno.ENOSPC, None), caught.value
        t.clear()
        inner.armed = False
        push(t, n)
        assert pop(t, n) == expected


class Damages(MemoryStore):
    """What is read differs from what was written by one changed part."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def read(self, slot, out):
        super().read(slot, out)
        self.change(out)


def header_says_more(out):
    out[4:8] = (2**31 - 1).to_bytes(4, "little")  # of bytes to unpack to: beyond the slab


def zeros(out):
    out[:] = bytes(len(out))


def one_bit(out):
    out[len(out) // 2] ^= 16


def noise(out):
    out[:] = NOISE[: len(out)]


@pytest.mark.parametrize("change", [header_says_more, zeros, one_bit, noise])
@every_codec
def test_damaged_bytes(change, codec):
    with CompressedStore(Damages(change), codec="lz4" if codec == "auto" else codec) as store:
        slot = store.write(memoryview(SMOOTH))
        with pytest.raises(SpillCorruptionError, match=rf"slot {slot} of .*its checksum differs"):
            read(store, slot, len(SMOOTH))
    items = np.frombuffer(SMOOTH * 4)
    with CompressedStore(Damages(change), codec=codec) as store, Tape(memory="512 KiB", spill_dir=store) as t:
        t.extend(items)
        assert store.compressed_slabs
        with pytest.raises(SpillCorruptionError, match="checksum differs"):
            t.popn(len(items))
        with pytest.raises(SpillCorruptionError):
            while True:
                t.pop()
        assert len(t) > 0, "what lies below stays"
        t.clear()


def test_disk_limit(tmp_path):
    """Packed, a limit holds more; and beyond it all that was pushed is there."""
    items = np.frombuffer(SMOOTH * 6)
    with Tape(memory="512 KiB", spill_dir=tmp_path, spill_limit="2 MiB") as t, pytest.raises(SpillError):
        t.extend(items)
    for codec in CODECS:
        with Tape(memory="512 KiB", spill_dir=tmp_path, spill_limit="2 MiB", compress=codec) as t:
            t.extend(items)
            assert t.traffic().file_bytes <= 2 * MIB < t.traffic().bytes_written
            np.testing.assert_array_equal(t.popn(len(items)), items)
            t.extend(items)
            with pytest.raises(SpillError, match="at its limit") as caught:
                for _ in range(20):
                    t.extend(items)
            assert caught.value.directory == str(tmp_path)
            assert len(t) >= len(items)
            while len(t):  # in pieces that memory has room for
                end = len(t) % len(items) or len(items)
                count = min(end, 1000)
                np.testing.assert_array_equal(t.popn(count), items[end - count : end])


def test_a_second_directory(tmp_path):
    items = np.frombuffer(NOISE * 8)
    with Tape(memory="512 KiB", spill_dir=tmp_path, spill_limit="1 MiB", compress="lz4") as t:
        t.add_spill_dir(tmp_path, compress="zstd")
        t.extend(items)
        np.testing.assert_array_equal(t.popn(len(items)).view("u8"), items.view("u8"))
        with pytest.raises(TapeValueError, match="compress: 'no'"):
            t.add_spill_dir(tmp_path, compress="no")


def test_options(tmp_path):
    for memory in (None, MIB):
        with pytest.raises(TapeValueError, match="compress: 'best'; it is one of"):
            Tape(memory=memory, compress="best")
        with pytest.raises(TapeTypeError, match=r"compress: .*not int"):
            Tape(memory=memory, compress=9)
    with MemoryStore() as store, pytest.raises(TapeTypeError, match="compress: wrap a given Store"):
        Tape(memory=MIB, spill_dir=store, compress="lz4")
    items = np.frombuffer(SMOOTH)
    with Tape() as t:
        t.extend(items)
        t.save(tmp_path / "saved")
    with Tape.load(tmp_path / "saved", memory="256 KiB", spill_dir=tmp_path, compress="lz4") as t:
        np.testing.assert_array_equal(t.popn(len(items)), items)
        assert "store" in str(t.traffic())


def test_an_error_of_the_store_stays_what_it_is():
    class Says(Store):
        def write(self, data):
            raise SpillError("the tape drive is on fire", errno.EIO, "/dev/st0", 5, 7)

    with Says() as store, Tape(memory=MIB, spill_dir=store) as t:
        with pytest.raises(SpillError, match=r"Says.write\(\) failed: the tape drive is on fire") as caught:
            t.extend(np.zeros(300_000))
        error = caught.value
        assert (error.errno, error.directory, error.wanted, error.free) == (errno.EIO, "/dev/st0", 5, 7)
        assert isinstance(error.__cause__, SpillError)


# ------------------------------------------------------------------------------------------- ends of all kinds

ENDS = {
    "left open": "held.append(t)",
    "outliving the classes": "tape.compress.held = t; del t",
    "in a cycle": "held.append(held); held.append(t); del t, held; gc.collect()",
    "forked": """
        if os.fork() == 0:
            try:
                t.close()
            finally:
                os._exit(0)
        os.wait()
        assert (t.popn(400_000) == items).all()
    """,
}


@pytest.mark.slow
@every_codec
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_process(tmp_path, codec, end):
    if end == "forked" and not hasattr(sys, "getdlopenflags"):
        pytest.skip("no fork here")
    program = f"""
        import faulthandler, gc, os, sys
        faulthandler.dump_traceback_later(30, exit=True)
        import numpy as np
        import tape.compress
        from tape import Tape
        held = []
        items = np.arange(400_000.0)
        t = Tape(memory="512 KiB", spill_dir=sys.argv[1], compress={codec!r})
        t.extend(items)
    """
    program = textwrap.dedent(program) + textwrap.dedent(ENDS[end]) + "\nprint('ok')"
    # Python 3.12 and later advise against the fork that is tested here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
    assert not list(tmp_path.iterdir())
