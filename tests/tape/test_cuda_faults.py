"""`DeviceTape` when memory runs out, a disk fills or a device fails: clear errors, nothing lost, nothing hung."""

from types import SimpleNamespace

import numpy as np
import pytest
from device_tools import PER_SLAB, SLAB, WIDTH, FakeDevice, item, pop_all, popped, push_all, small
from hypothesis import given
from hypothesis import strategies as st

from tape import DeviceError, SpillCorruptionError, SpillError, TapeError, TapeMemoryError
from tape.testing import FaultStore, MemoryStore


def test_a_device_with_less_memory_than_the_budget_falls_back_to_the_host():
    device = FakeDevice(memory=3 * SLAB + 8 * WIDTH * 2)
    with small(device, slabs=100) as tape:
        view = device.empty((WIDTH,), np.dtype("f8"), None)
        for n in range(200):
            device.fill(view, n)
            tape.push(view)
        now = tape.stats()
        assert now.device_slabs == 3 and now.device_limit == 3 * SLAB and now.refusals == 1
        assert "refused" in str(now)
        for n in reversed(range(200)):
            assert (device.read(tape.pop(view)) == n).all()


def test_even_to_two_slabs():
    device = FakeDevice(memory=2 * SLAB + 8 * WIDTH * 2)
    with small(device, slabs=100, pages=1) as tape:
        view = device.empty((WIDTH,), np.dtype("f8"), None)
        for n in range(100):
            device.fill(view, n)
            tape.push(view)
        for n in reversed(range(100)):
            assert (device.read(tape.pop(view)) == n).all()


def test_a_device_without_any_memory_refuses_the_push():
    device = FakeDevice(memory=4 * SLAB)
    with small(device) as tape:
        array = device.array(item(4))
        for number in (1, 2):  # of a single slab the tape could not make good what it promises of the last item
            device.fail("alloc", number)
            with pytest.raises(TapeMemoryError):
                tape.push(array)
            assert len(tape) == 0
        tape.push(array)
        assert tape.stats().device_limit == 4 * SLAB
        assert popped(tape, device) == 4


@pytest.mark.parametrize("pinned, expected", [(20, 16), (10, 10), (1, 1)])
def test_less_pinned_memory_is_put_up_with(pinned, expected):
    device = FakeDevice(pinned=pinned * SLAB)
    with small(device, pages=16) as tape:
        push_all(tape, device, range(300))
        assert tape.stats().pinned_bytes in {expected * SLAB, expected // 2 * SLAB, 8 * SLAB}
        pop_all(tape, device, range(300))


def test_no_pinned_memory_refuses_the_push_that_needs_it():
    device = FakeDevice(pinned=0)
    with small(device, slabs=3) as tape:
        with pytest.raises(TapeMemoryError, match="locked"):
            push_all(tape, device, range(100))
        assert len(tape) == 3 * PER_SLAB and tape.stats().error is not None
        device.pinned = 1 << 20
        push_all(tape, device, range(3 * PER_SLAB, 100))
        pop_all(tape, device, range(100))


def test_a_full_disk_and_its_cure():
    device = FakeDevice()
    store = FaultStore(MemoryStore(), fail_write=range(20, 10**9))
    with small(device, slabs=2, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        with pytest.raises(SpillError, match="No space left"):
            push_all(tape, device, range(1000))
        full = len(tape)
        assert full % PER_SLAB == 0 and "not moved ahead" in str(tape.stats())
        with pytest.raises(SpillError):
            tape.push(device.array(item(full)))
        assert len(tape) == full
        pop_all(tape, device, range(full - 50, full))
        tape._stack.host.tape.add_spill_dir(MemoryStore())
        push_all(tape, device, range(full - 50, full + 100))
        assert tape.stats().error is None
        pop_all(tape, device, range(full + 100))


def test_what_lies_above_a_slab_that_cannot_be_read_can_be_popped():
    device = FakeDevice()
    store = FaultStore(MemoryStore(), fail_read=range(1, 10**9))
    with small(device, slabs=3, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(400))
        expected = list(range(400))
        failed = 0
        while expected:
            try:
                number = popped(tape, device)
            except SpillError:
                failed += 1
                assert len(tape) == len(expected) <= 400 - 3 * PER_SLAB
                store.armed = failed < 3
                continue
            assert number == expected.pop()
        assert failed == 3


def test_a_corrupt_slab_is_never_a_wrong_number():
    device = FakeDevice()
    store = FaultStore(MemoryStore(), flip_write=5)
    with small(device, slabs=3, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(400))
        expected = list(range(400))
        with pytest.raises(SpillCorruptionError):
            while True:
                assert popped(tape, device) == expected.pop()
        # Which slab is the fifth to be written is up to the writers.
        assert 0 < len(tape) == len(expected) < 100
        assert len(tape) % PER_SLAB == 0


def test_a_block_that_cannot_be_read_whole_is_not_taken():
    device = FakeDevice()
    store = FaultStore(MemoryStore(), fail_read=range(2, 1000))
    with small(device, slabs=3, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(400))
        mark = tape.mark()
        with pytest.raises(SpillError):
            tape.popn(400)
        assert len(tape) == 400 and mark.live
        pop_all(tape, device, range(350, 400))


def test_a_block_that_cannot_be_pushed_whole_is_not_pushed():
    device = FakeDevice()
    store = FaultStore(MemoryStore(), fail_write=range(1, 10**9))
    with small(device, slabs=2, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(20))
        with pytest.raises(SpillError):
            tape.extend(device.array(np.zeros((400, WIDTH))))
        assert len(tape) == 20
        pop_all(tape, device, range(20))


@pytest.mark.parametrize("kind", ["record", "wait", "to_host", "to_device", "copy"])
def test_a_call_that_the_device_refuses_changes_nothing(kind):
    """Each call into the device fails once, in a sweep there and back."""
    for seed in range(3):
        device = FakeDevice(seed=seed)
        with small(device, slabs=3, pages=2) as tape:
            refused = pushed = attempts = 0
            view = device.empty((WIDTH,), np.dtype("f8"), None)
            while pushed < 200:
                device.fill(view, pushed)
                attempts += 1
                if attempts % 3 == 0:
                    device.fail(kind, 1 + attempts % 4)
                try:
                    tape.push(view)
                    pushed += 1
                except DeviceError:
                    refused += 1
                    device._failing.clear()
                assert len(tape) == pushed
            while pushed:
                attempts += 1
                if attempts % 3 == 0:
                    device.fail(kind, 1 + attempts % 4)
                try:
                    tape.pop(view)
                    pushed -= 1
                except DeviceError:
                    refused += 1
                    device._failing.clear()
                    assert len(tape) == pushed
                    continue
                if kind == "record":
                    device._failing.clear()  # reading records too
                assert (device.read(view) == pushed).all(), pushed
            assert refused > 0 or tape.stats().prefetch_misses > 0


def test_a_device_that_breaks_down_is_an_error_and_no_hang():
    """As after a kernel's illegal access: the driver refuses everything from then on."""
    for seed in range(10):
        device = FakeDevice(seed=seed)
        tape = small(device, slabs=3, pages=2)
        push_all(tape, device, range(60))
        device.break_down()
        with pytest.raises(DeviceError, match="under way"):
            for n in range(1000):
                tape.push(device.array(item(n)))
        with pytest.raises(DeviceError):
            tape.pop()
        assert len(tape) >= 59 and repr(tape) and str(tape.stats())
        tape.close()
        assert tape.closed


def test_memory_that_a_failed_gpu_does_not_take_back_is_a_device_error():
    """What Numba raises then, without a GPU."""
    pytest.importorskip("numba_cuda")
    from numba.cuda.cudadrv.driver import CudaAPIError

    from tape.cuda.numbadevice import NumbaDevice

    class Pending:
        def clear(self):
            raise CudaAPIError(700, "Call to cuMemFree results in CUDA_ERROR_ILLEGAL_ADDRESS")

    device = object.__new__(NumbaDevice)
    device._context = SimpleNamespace(memory_manager=SimpleNamespace(deallocations=Pending()))
    with pytest.raises(DeviceError, match="giving memory back"):
        device.flush()
    device._context = SimpleNamespace(memory_manager=object())  # a memory manager of the user's that frees at once
    device.flush()


@given(st.integers(0, 2**20), st.lists(st.integers(0, 99), min_size=5, max_size=40))
def test_random_faults_lose_nothing(seed, steps):
    device = FakeDevice(seed=seed)
    store = FaultStore(MemoryStore(), fail_write={3, 4, 9}, fail_read={2, 5, 6, 7})
    model = []
    view = device.empty((WIDTH,), np.dtype("f8"), None)
    with small(device, 3, 2, memory=14 * SLAB, spill_dir=store) as tape:
        for step in steps:
            device._failing.clear()
            device.fail(("to_host", "to_device", "copy", "record", "wait", "alloc", "pinned")[step % 7], 1 + step // 7)
            for k in range(step):
                try:
                    if step % 3:
                        device.fill(view, step * 100 + k)
                        tape.push(view)
                        model.append(step * 100 + k)
                    elif model:
                        tape.pop(view)
                        number = model.pop()
                        device._failing.clear()
                        assert (device.read(view) == number).all()
                except TapeError:
                    pass
                assert len(tape) == len(model)
        device._failing.clear()
        patience = 50
        while model:
            try:
                tape.pop(view)
            except SpillError:
                patience -= 1
                assert patience
                continue
            assert (device.read(view) == model.pop()).all()
