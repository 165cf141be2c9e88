"""Host tapes to a device and back, and device memory as their store, on a fake device."""

import errno
import itertools

import numpy as np
import pytest
from device_tools import FakeDevice
from layers_tools import LEAST, SLAB, numbers, small_tape

from tape import DeviceError, SpillError, Tape, TapeMemoryError, TapeTypeError, TapeValueError
from tape.cuda import DeviceStore, staging, transfer
from tape.cuda.hostcopy import copy_bytes
from tape.testing import FaultStore, MemoryStore, check_store

PAGE = 8192


@pytest.fixture(params=range(3))
def device(request, monkeypatch):
    """The device that is current, with small pages."""
    made = FakeDevice(seed=request.param)
    monkeypatch.setattr(transfer, "current_device", lambda: made)
    monkeypatch.setattr(staging.Staging.__init__, "__defaults__", (PAGE,))
    return made


def filled(n, **options):
    tape = Tape("f8", **options)
    tape.extend(numbers(n))
    return tape


@pytest.mark.parametrize("n", [0, 1, 60, 1024, 1025, 30_000])
def test_a_tape_goes_to_the_device_and_comes_back(device, n):
    tape = filled(n)
    array = tape.to_device()
    assert array.shape == (n,) and array.dtype == "f8" and len(tape) == n
    np.testing.assert_array_equal(device.read(array), numbers(n))
    back = Tape.from_device(array)
    np.testing.assert_array_equal(back[:], numbers(n))


def test_parts_and_out(device):
    tape = filled(10_000)
    for start, stop in ((0, 5), (100, 9_000), (-5, None), (7, 7), (9, 3), (None, -9_990), (5, 10**6)):
        np.testing.assert_array_equal(device.read(tape.to_device(start, stop)), numbers(10_000)[start:stop])
    out = device.empty((100,), np.dtype("f8"), None)
    assert tape.to_device(50, 150, out=out) is out
    np.testing.assert_array_equal(device.read(out), numbers(100, 50))


def test_the_users_stream_is_waited_for_and_waits(device):
    tape = filled(5_000)
    stream = device.new_stream()
    for k in range(10):
        out = device.empty((5_000,), np.dtype("f8"), stream)
        device.fill(out, -1.0, stream)  # before the copies
        tape.to_device(out=out, stream=stream)
        device.launch(stream, lambda out=out, k=k: device._of(out).__imul__(k))  # after them
        np.testing.assert_array_equal(device.read(out, stream), numbers(5_000) * k)
        device.fill(out, k, stream)
        assert (Tape.from_device(out, stream=stream)[:] == k).all()


@pytest.mark.parametrize("dtype", ["f4", "?", "c16", [("a", "i8"), ("b", "f4", (3,))], "V10000"])
def test_every_dtype(device, dtype):
    items = np.zeros(50, dtype)
    items.view("u1")[:] = np.arange(items.nbytes) % 2
    tape = Tape(dtype)
    tape.extend(items)
    array = tape.to_device()
    assert device.read(array).tobytes() == items.tobytes()
    back = Tape.from_device(array)
    assert back.dtype == items.dtype and back[:].tobytes() == items.tobytes()


def test_a_tape_beyond_its_memory(device):
    store = MemoryStore()
    with small_tape(store, memory=LEAST) as tape:
        tape.extend(numbers(20_000))
        array = tape.to_device()
        np.testing.assert_array_equal(device.read(array), numbers(20_000))
        with Tape.from_device(array, memory=LEAST, slab_bytes=SLAB, spill_dir=store) as back:
            assert back.traffic().spilled_bytes > 0
            np.testing.assert_array_equal(back.popn(20_000), numbers(20_000))


def test_arrays_of_more_dimensions_are_taken_in_c_order(device):
    values = numbers(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(Tape.from_device(device.array(values))[:], numbers(24))


def test_a_failure_leaves_no_copy_under_way_and_the_next_call_works(device):
    tape = filled(20_000)
    for kind in ("to_device", "record", "wait"):
        for number in range(1, 6):
            device.fail(kind, number)
            with pytest.raises(DeviceError):
                for _ in range(3):
                    tape.to_device()
            device._failing.clear()
            np.testing.assert_array_equal(device.read(tape.to_device()), numbers(20_000))
    device.fail("alloc", 1)
    with pytest.raises(TapeMemoryError):
        tape.to_device()
    array = tape.to_device()
    for number in range(1, 6):
        device.fail("to_host", number)
        with pytest.raises(DeviceError):
            Tape.from_device(array)
        np.testing.assert_array_equal(Tape.from_device(array)[:], numbers(20_000))
    with pytest.raises(SpillError):
        Tape.from_device(
            array, memory=LEAST, slab_bytes=SLAB, spill_dir=FaultStore(MemoryStore(), fail_write=range(1, 99))
        )
    with small_tape(FaultStore(MemoryStore(), fail_read=range(1, 10**9)), memory=LEAST) as spilled:
        spilled.extend(numbers(20_000))
        with pytest.raises(SpillError):
            spilled.to_device()


def test_arrays_that_do_not_fit_are_refused(device):
    tape = filled(100)
    with pytest.raises(TapeTypeError, match="dtype"):
        tape.to_device(out=device.array(np.zeros(100, "f4")))
    with pytest.raises(TapeValueError, match="shape"):
        tape.to_device(out=device.array(np.zeros(99)))
    with pytest.raises(TapeTypeError, match="host memory"):
        tape.to_device(out=np.zeros(100))
    with pytest.raises(TapeTypeError):
        Tape.from_device(np.zeros(100))


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"layered-tape\[cuda\]"):
        Tape().to_device()


def test_copies_by_several_threads():
    chance = np.random.default_rng(0)
    for n in (0, 1, 4097, (8 << 20) + 3, 20_000_001):
        source = chance.integers(0, 256, n, np.uint8)
        target = np.zeros(n, np.uint8)
        copy_bytes((target, source))
        np.testing.assert_array_equal(target, source)
        target[:] = 0
        cuts = [0, *sorted(chance.integers(0, n + 1, 20)), n]
        copy_bytes(*((target[a:b], source[a:b]) for a, b in itertools.pairwise(cuts)))
        np.testing.assert_array_equal(target, source)


# ----------------------------------------------------------------------------------------- the store


@pytest.mark.parametrize("seed", range(3))
def test_the_store_keeps_the_contract_of_stores(seed):
    device = FakeDevice(seed=seed)
    check_store(lambda: DeviceStore("64 MiB", device=device), seed=seed)


def test_a_host_tape_that_spills_to_a_device():
    device = FakeDevice()
    with DeviceStore(device=device) as store:
        with small_tape(store) as tape:
            tape.extend(numbers(100_000))
            assert store.used_bytes > 100 * SLAB and device.used_bytes == store.used_bytes
            np.testing.assert_array_equal(tape.popn(100_000), numbers(100_000))
        with small_tape(store) as tape:  # memory that is there is used again
            before = device.log.count("alloc")
            tape.extend(numbers(50_000))
            assert device.log.count("alloc") == before
        assert repr(store)
    device.finish()
    assert device.used_bytes == 0


def test_a_full_device_is_a_full_disk_and_the_next_place_is_tried():
    for device, limit in ((FakeDevice(), 20 * SLAB), (FakeDevice(memory=20 * SLAB), 1 << 30)):
        with DeviceStore(limit, device=device) as store, small_tape(store) as tape:
            with pytest.raises(SpillError, match="no room on a fake device") as found:
                tape.extend(numbers(100_000))
            assert found.value.errno == errno.ENOSPC
            tape.add_spill_dir(MemoryStore())
            tape.extend(numbers(100_000))
            np.testing.assert_array_equal(tape.popn(100_000), numbers(100_000))


def test_slabs_of_another_size_take_the_place_of_those_that_are_gone():
    device = FakeDevice()
    with DeviceStore(64 * SLAB, device=device) as store:
        small = [store.write(memoryview(bytes(SLAB))) for _ in range(64)]
        with pytest.raises(SpillError):
            store.write(memoryview(bytes(4 * SLAB)))
        for slot in small[:32]:
            store.free(slot)
        large = store.write(memoryview(b"x" * 4 * SLAB))
        out = bytearray(4 * SLAB)
        store.read(large, memoryview(out))
        assert bytes(out) == b"x" * 4 * SLAB and device.used_bytes <= 64 * SLAB


def test_a_device_that_fails_is_a_spill_error_and_the_tape_is_whole():
    device = FakeDevice()
    with DeviceStore(device=device) as store, small_tape(store) as tape:
        device.fail("to_device", 3)
        device.fail("to_host", 2)
        pushed = 0
        while pushed < 40_000:
            try:
                tape.extend(numbers(100, pushed))
                pushed += 100
            except SpillError as error:
                assert isinstance(error.__cause__, DeviceError)
        while pushed:
            try:
                got = tape.popn(100)
            except SpillError:
                continue
            pushed -= 100
            np.testing.assert_array_equal(got, numbers(100, pushed))
