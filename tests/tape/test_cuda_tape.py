"""`DeviceTape` on a fake device: what lies where, in what order it is moved, and what that costs."""

import gc
import threading

import numpy as np
import pytest
from device_tools import PER_SLAB, SLAB, WIDTH, FakeDevice, item, pop_all, popped, push_all, small
from hypothesis import given
from hypothesis import strategies as st

from tape import (
    DeviceError,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeMarkError,
    TapeTypeError,
    TapeValueError,
)
from tape.cuda import DeviceTape, release_pinned
from tape.cuda.testing import FakeArray, check_device
from tape.testing import MemoryStore


@pytest.mark.parametrize("seed", range(5))
def test_the_fake_device_keeps_the_contract_of_devices(seed):
    check_device(FakeDevice(seed=seed))


def test_the_contract_of_devices_finds_streams_without_order():
    class Careless(FakeDevice):
        def wait(self, stream, event):
            pass

    with pytest.raises(AssertionError, match="a stream begins after the events"):
        for seed in range(20):
            check_device(Careless(seed=seed))


# ------------------------------------------------------------------------------------------- the layers


@pytest.mark.parametrize("slabs, pages", [(2, 1), (2, 2), (3, 1), (4, 3), (16, 2), (5, 40)])
@pytest.mark.parametrize("seed", range(4))
def test_what_was_pushed_comes_back_through_all_layers(slabs, pages, seed):
    device = FakeDevice(seed=seed)
    with small(device, slabs, pages) as tape:
        push_all(tape, device, range(200))
        assert device.used_bytes >= tape.stats().device_bytes == slabs * SLAB
        now = tape.stats()
        assert now.device_slabs + now.pinned_slabs + now.host_slabs == 200 // PER_SLAB
        assert now.host_slabs > 0 or pages >= 40
        pop_all(tape, device, range(200))
        assert len(tape) == 0


def test_a_tape_without_events_would_be_wrong():
    """The fake device tells: without the waits that the tape asks for, other values come back."""

    class Careless(FakeDevice):
        def wait(self, stream, event):
            pass

    wrong = 0
    for seed in range(10):
        device = Careless(seed=seed)
        with small(device, 3, 8) as tape:
            push_all(tape, device, range(100))
            wrong += any(not np.array_equal(device.read(tape.pop()), item(n)) for n in reversed(range(100)))
    assert wrong > 5


def test_streams_of_the_program_are_ordered_among_each_other():
    for seed in range(10):
        device = FakeDevice(seed=seed)
        streams = [None, device.new_stream(), device.new_stream()]
        with small(device) as tape:
            for n in range(90):
                stream = streams[n % 3]
                array = device.empty((WIDTH,), np.dtype("f8"), stream)
                device.fill(array, n, stream)
                tape.push(array, stream)
            for n in reversed(range(90)):
                stream = streams[n % 2]
                assert (device.read(tape.pop(stream=stream), stream) == n).all()


def test_a_producers_stream_is_waited_for():
    """The stream in an array's interface is the one that its values come from."""

    class Streamed(FakeArray):
        @property
        def __cuda_array_interface__(self):
            return {**super().__cuda_array_interface__, "stream": 1}

    for seed in range(10):
        device = FakeDevice(seed=seed)
        other = device.new_stream()
        with small(device) as tape:
            assert device._streams[1] is other
            made = device.empty((WIDTH,), np.dtype("f8"), other)
            device.fill(made, 7.0, other)
            tape.push(Streamed(made.address, made.shape, made.dtype, None, made))
            assert (device.read(tape.pop()) == 7.0).all()


def test_views_are_written_and_read_where_they_lie():
    for seed in range(5):
        device = FakeDevice(seed=seed)
        with small(device) as tape:
            for n in range(100):
                device.fill(tape.reserve(), n)
                assert "copy" not in device.log
            for n in reversed(range(100)):
                assert (device.read(tape.peek()) == n).all()
                tape.drop()
            assert "copy" not in device.log and len(tape) == 0


def test_the_last_item_can_be_read_while_the_next_is_written():
    """As in a time loop; whatever other streams do then."""
    for seed in range(20):
        device = FakeDevice(seed=seed)
        ours, others = device.new_stream(), device.new_stream()
        with small(device, slabs=2, pages=50, shape=(8 * WIDTH,)) as tape:  # an item to a slab
            before = tape.reserve(stream=ours)
            device.fill(before, 1.0, ours)
            total = 1
            for k in range(20):
                after = tape.reserve(stream=ours)
                device.launch(ours, Sum(device, before, after))
                before, total = after, total + 1
                if k % 4 == 3:
                    device.fill(tape.reserve(stream=others), -5.0, others)
                    tape.drop()
            assert (device.read(tape.pop(stream=ours), ours) == total).all()


class Sum:
    """A kernel: the next item is the last one plus 1."""

    def __init__(self, device, before, after):
        self.device, self.before, self.after = device, before, after

    def __call__(self):
        self.device._of(self.after)[:] = self.device._of(self.before) + 1.0


def test_blocks_of_items():
    device = FakeDevice()
    with small(device) as tape:
        values = np.stack([item(n) for n in range(50)])
        tape.extend(device.array(values[:3]))
        tape.extend(device.array(values[3:]))
        device.fill(tape.reserve(PER_SLAB), 5.0)
        assert (device.read(tape.peek(PER_SLAB)) == 5.0).all()
        assert device.read(tape.popn(PER_SLAB)).shape == (PER_SLAB, WIDTH)
        np.testing.assert_array_equal(device.read(tape.popn(29)), values[21:])
        out = device.empty((21, WIDTH), np.dtype("f8"), None)
        assert tape.popn(21, out) is out
        np.testing.assert_array_equal(device.read(out), values[:21])
        assert device.read(tape.popn(0)).shape == (0, WIDTH)


def test_a_block_that_does_not_fit_a_slab_begins_a_new_one():
    device = FakeDevice()
    with small(device) as tape:
        for k in range(12):
            device.fill(tape.reserve(5), k)  # of eight
        for k in reversed(range(12)):
            assert (device.read(tape.popn(5)) == k).all()


def test_items_of_every_kind():
    device = FakeDevice()
    for dtype in ("f4", "i1", "c16", "?", [("a", "f8"), ("b", "i4")]):
        values = np.zeros((3, 2), dtype)
        values.view("u1")[:] = 1
        with DeviceTape(dtype, device=device, device_memory="1 MiB") as tape:
            assert tape.shape is None and tape.itemsize == 0 and repr(tape)
            tape.push(device.array(values))
            assert tape.shape == (3, 2) and tape.itemsize == values.nbytes
            assert device.read(tape.pop()).tobytes() == values.tobytes()
    with DeviceTape("f8", (), device=device, device_memory="1 MiB") as tape:
        tape.extend(device.array(np.arange(1000.0)))
        assert device.read(tape.pop()) == 999.0


def test_an_item_larger_than_a_slab_would_be_gets_one_of_its_own():
    device = FakeDevice()
    with DeviceTape("f8", (2000,), device=device, device_memory=40_000, pinned=20_000, slab_bytes=4096) as tape:
        for n in range(5):
            tape.push(device.array(np.full(2000, float(n))))
        assert tape.stats().slab_bytes == 16_384
        for n in reversed(range(5)):
            assert (device.read(tape.pop()) == n).all()


# --------------------------------------------------------------------------------------------- memory


def test_nothing_is_moved_while_there_is_room_on_the_device():
    device = FakeDevice()
    with small(device, slabs=8) as tape:
        for _ in range(3):
            push_all(tape, device, range(7 * PER_SLAB))
            pop_all(tape, device, range(7 * PER_SLAB))
        now = tape.stats()
        assert now.bytes_to_host == now.bytes_to_device == now.pinned_bytes == 0


@pytest.mark.parametrize("told", [False, True])
def test_what_will_have_no_room_leaves_at_once(told):
    """Where the length of a sweep is known: from the one before, or from the user."""
    device = FakeDevice()
    with small(device, slabs=16, pages=100, expected=20 * PER_SLAB if told else None) as tape:
        if not told:
            push_all(tape, device, range(20 * PER_SLAB))
            pop_all(tape, device, range(20 * PER_SLAB))
        before = tape.stats()
        push_all(tape, device, range(6 * PER_SLAB))
        assert tape.stats().bytes_to_host - before.bytes_to_host == 4 * SLAB
        push_all(tape, device, range(6 * PER_SLAB, 20 * PER_SLAB))
        assert 4 * SLAB <= tape.stats().bytes_to_host - before.bytes_to_host <= 6 * SLAB
        pop_all(tape, device, range(20 * PER_SLAB))
        assert tape.stats().bytes_to_device - before.bytes_to_device == 4 * SLAB


def test_a_wrong_expectation_is_put_up_with():
    device = FakeDevice()
    for expected in (1, 10**9):
        with small(device, slabs=4, pages=3, expected=expected) as tape:
            for count in (200, 20, 200):
                push_all(tape, device, range(count))
                pop_all(tape, device, range(count))
    with pytest.raises(TapeTypeError, match="expected"):
        small(device, expected=1.5)


def test_no_more_than_the_lead_is_copied_for_nothing_in_a_long_sweep():
    device = FakeDevice()
    with small(device, slabs=16, pages=200) as tape:
        for _ in range(160 * PER_SLAB):
            tape.reserve()
        assert 144 * SLAB <= tape.stats().bytes_to_host <= 147 * SLAB


def test_the_budgets_hold():
    device = FakeDevice(memory=10 * SLAB, pinned=3 * SLAB)
    with small(device, slabs=4, pages=3) as tape:
        view = device.empty((WIDTH,), np.dtype("f8"), None)
        device.fill(view, 1.0)
        for _ in range(1000):
            tape.push(view)
        assert device.most_bytes <= 4 * SLAB + view.nbytes and device.pinned_bytes == 3 * SLAB
        assert len(tape._stack.host) == 1000 // PER_SLAB - 4 - tape.stats().pinned_slabs


def test_beyond_the_host_budget_slabs_go_to_the_store():
    device = FakeDevice()
    store = MemoryStore()
    with small(device, slabs=2, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(400))
        assert tape.stats().host.spilled_bytes > 20 * SLAB
        assert tape.stats().host.budget_bytes == 12 * SLAB
        pop_all(tape, device, range(400))


def test_a_slab_that_was_not_changed_leaves_without_a_copy():
    device = FakeDevice()
    with small(device, slabs=4, pages=20) as tape:
        push_all(tape, device, range(10 * PER_SLAB))
        tape.drop(2 * PER_SLAB)
        pop_all(tape, device, range(6 * PER_SLAB, 8 * PER_SLAB))
        before = tape.stats()
        push_all(tape, device, range(4 * PER_SLAB))
        after = tape.stats()
        assert after.clean > before.clean
        assert after.bytes_to_host - before.bytes_to_host < 4 * SLAB
        pop_all(tape, device, [*range(6 * PER_SLAB), *range(4 * PER_SLAB)])


def test_a_slab_that_was_changed_is_copied_again():
    device = FakeDevice()
    with small(device, slabs=3, pages=20) as tape:
        push_all(tape, device, range(10 * PER_SLAB))
        pop_all(tape, device, range(4 * PER_SLAB + 3, 10 * PER_SLAB))
        push_all(tape, device, range(1000, 1000 + 6 * PER_SLAB))  # into a slab that has a page, and on
        pop_all(tape, device, [*range(4 * PER_SLAB + 3), *range(1000, 1000 + 6 * PER_SLAB)])


def test_pinned_memory_is_kept_for_the_next_tape_and_can_be_given_back():
    device = FakeDevice()
    for _ in range(3):
        with small(device, slabs=2, pages=4) as tape:
            push_all(tape, device, range(60))
    assert device.pinned_bytes == 4 * SLAB and device.log.count("pinned") == 1
    assert release_pinned(device) == 4 * SLAB and release_pinned(device) == 0


def test_memory_goes_back_when_the_tape_goes():
    device = FakeDevice()
    tape = small(device)
    push_all(tape, device, range(100))
    tape.close()
    tape.close()
    device.finish()
    gc.collect()
    assert device.used_bytes == 0 and device._streams == [device._default]
    with pytest.raises(TapeClosedError):
        tape.pop()
    assert tape.closed and "closed" in repr(tape) and tape.stats().items == 0
    tape = small(device)
    push_all(tape, device, range(100))
    del tape
    gc.collect()
    device.finish()
    assert device.used_bytes == 0


def test_a_view_keeps_its_memory_when_the_tape_is_closed():
    device = FakeDevice()
    with small(device) as tape:
        tape.push(device.array(item(3)))
        view = tape.peek()
    np.testing.assert_array_equal(device.read(view), item(3))


# ------------------------------------------------------------------------------------------- overlap


@pytest.mark.parametrize("kernel", [0.2, 0.5, 0.75, 0.9, 1.0, 3.0])
def test_a_sweep_takes_as_long_as_the_slower_of_kernels_and_bus(kernel):
    """On the device's clock, with a history of four times its memory: not the sum of the two."""
    device = FakeDevice(rate=SLAB)
    slabs = 128
    with small(device, slabs=slabs // 4, pages=slabs, expected=slabs * PER_SLAB) as tape:
        for _ in range(slabs):  # `kernel` is in seconds for a slab, which takes one over the bus
            for k in range(PER_SLAB):
                device.fill(tape.reserve(), k, seconds=kernel / PER_SLAB)
        device.finish()
        forward = device.now
        assert tape.stats().waits == 0
        moved = tape.stats().bytes_to_host / SLAB
        assert forward <= 1.1 * max(kernel * slabs, moved)
        assert moved <= 0.8 * slabs
        for _ in range(slabs * PER_SLAB):
            device.fill(tape.peek(), 0.0, seconds=kernel / PER_SLAB)
            tape.drop()
        device.finish()
        moved = tape.stats().bytes_to_device / SLAB
        assert device.now - forward <= 1.1 * max(kernel * slabs, moved)


def test_the_clock_can_tell():
    """On a device whose streams are all the default one the same sweep takes the sum of the two."""

    class Serial(FakeDevice):
        def new_stream(self):
            return self._default

        def drop_stream(self, stream):
            pass

    device = Serial(rate=SLAB)
    with small(device, slabs=8, pages=64) as tape:
        for _ in range(64 * PER_SLAB):
            device.fill(tape.reserve(), 1.0, seconds=1.0 / PER_SLAB)
        device.finish()
        assert device.now >= 64 + 56


# --------------------------------------------------------------------------------------------- marks


def test_marks():
    device = FakeDevice()
    with small(device) as tape:
        push_all(tape, device, range(5))
        outer = tape.mark()
        push_all(tape, device, range(5, 100))
        inner = tape.mark()
        push_all(tape, device, range(100, 150))
        tape.rewind(inner)
        assert len(tape) == 100 and inner.live
        push_all(tape, device, range(100, 103))
        tape.rewind(outer)
        assert len(tape) == 5 and outer.live and not inner.live and "dead" in repr(inner)
        with pytest.raises(TapeMarkError):
            tape.rewind(inner)
        push_all(tape, device, range(5, 90))
        pop_all(tape, device, range(3, 90))
        assert not outer.live
        with pytest.raises(TapeMarkError):
            tape.rewind(outer)
        pop_all(tape, device, range(3))
        kept = tape.mark()
        push_all(tape, device, range(100))
        tape.rewind(kept)
        assert len(tape) == 0
        with small(device) as other, pytest.raises(TapeMarkError):
            other.rewind(kept)
    assert not kept.live


def test_rewinding_reads_no_more_than_where_it_ends():
    device = FakeDevice()
    store = MemoryStore()
    with small(device, slabs=2, pages=2, memory=14 * SLAB, spill_dir=store) as tape:
        push_all(tape, device, range(3))
        mark = tape.mark()
        push_all(tape, device, range(3, 400))
        before, read = len(device.log), tape.stats().host.bytes_read
        tape.rewind(mark)
        assert "to_device" not in device.log[before:] and len(tape) == 3
        assert tape.stats().host.bytes_read - read <= 2 * SLAB
        pop_all(tape, device, range(3))
        push_all(tape, device, range(400))
        tape.clear()
        assert len(tape) == 0


# ------------------------------------------------------------------------------------------ refusals


def test_arrays_that_do_not_fit_are_refused():
    device = FakeDevice()
    with small(device) as tape:
        for wrong in (device.array(np.zeros(WIDTH, "f4")), np.zeros(WIDTH), 3.0, None):
            with pytest.raises(TapeTypeError):
                tape.push(wrong)
        with pytest.raises(TapeValueError, match=r"shape \(3,\)"):
            tape.push(device.array(np.zeros(3)))
        with pytest.raises(TapeTypeError, match="stream"):
            tape.push(device.array(item(0)), stream="s")
        with pytest.raises(TapeValueError):
            tape.extend(device.array(np.zeros((2, 3))))
        with pytest.raises(TapeValueError, match="dimensions"):
            tape.extend(device.array(np.zeros(())))
        for wrong in (0, -1, PER_SLAB + 1):
            with pytest.raises(TapeValueError):
                tape.reserve(wrong)
        with pytest.raises(TapeTypeError):
            tape.popn(1.5)
        for use in (tape.pop, tape.peek, tape.drop, lambda: tape.popn(1)):
            with pytest.raises(TapeEmptyError):
                use()
        push_all(tape, device, range(PER_SLAB + 1))
        with pytest.raises(TapeEmptyError):
            tape.popn(PER_SLAB + 2)
        with pytest.raises(TapeValueError, match="border"):
            tape.peek(2)
        with pytest.raises(TapeTypeError, match="out"):
            tape.pop(np.zeros(WIDTH))
        with pytest.raises(TapeTypeError, match="DeviceMark"):
            tape.rewind(3)
        pop_all(tape, device, range(PER_SLAB + 1))


class Strided:
    """A view with gaps, as others describe it."""

    def __init__(self, array, **changes):
        self.array, self.changes = array, changes

    @property
    def __cuda_array_interface__(self):
        return {**self.array.__cuda_array_interface__, **self.changes}


def test_strides_masks_and_read_only_arrays():
    device = FakeDevice()
    with small(device) as tape:
        array = device.array(item(1))
        tape.push(Strided(array, strides=(8,)))
        with pytest.raises(TapeValueError, match="strided"):
            tape.push(Strided(array, strides=(16,)))
        with pytest.raises(TapeTypeError, match="masked"):
            tape.push(Strided(array, mask=array))
        with pytest.raises(TapeValueError, match="read-only"):
            tape.pop(Strided(array, data=(array.address, True)))
        assert popped(tape, device) == 1


class Exported:
    """Speaks DLPack, for memory that is said to be a device's."""

    def __init__(self, array, host, kind=2, number=0):
        self.array, self.host, self.where, self.stream = array, host, (kind, number), None

    def __dlpack_device__(self):
        return self.where

    def __dlpack__(self, *, stream):
        self.stream = stream
        return self.host.__dlpack__()


def test_dlpack():
    device = FakeDevice()
    array = device.array(np.zeros((4, WIDTH)))
    host = device._of(array)
    with small(device) as tape:
        host[:] = item(5)
        exported = Exported(array, host[1])
        tape.push(exported)
        assert exported.stream == 1  # what DLPack calls the default stream
        assert popped(tape, device) == 5
        tape.extend(Exported(array, host[1:3]))
        assert popped(tape, device) == popped(tape, device) == 5
        with pytest.raises(TapeValueError, match="strided"):
            tape.push(Exported(array, host.reshape(-1)[::4]))
        with pytest.raises(DeviceError, match="device 1"):
            tape.push(Exported(array, host[1], number=1))
        with pytest.raises(TapeTypeError):
            tape.push(Exported(array, host[1], kind=1))  # host memory


def test_sizes_that_do_not_go_together():
    device = FakeDevice(memory=1 << 20)
    for options, text in (
        ({"device_memory": SLAB}, "device_memory: 4096 bytes"),
        ({"pinned": SLAB // 2}, "pinned: 2048 bytes"),
        ({"memory": 3 * SLAB, "pinned": 3 * SLAB}, "leaves nothing"),
        ({"memory": 5 * SLAB, "pinned": 2 * SLAB}, "needs at least"),
        ({"shape": (3, 0)}, "no items"),
    ):
        with pytest.raises(TapeValueError, match=text):
            DeviceTape(**{"shape": 8, "device": device, "slab_bytes": SLAB, "device_memory": 4 * SLAB, **options})
    with DeviceTape("f8", 8, device=device) as tape:
        assert tape.stats().device_limit == 1 << 19  # half of what is free
    with pytest.raises(TapeTypeError):
        DeviceTape("O", device=device)


def test_one_thread_at_a_time():
    device = FakeDevice()
    found = []

    def intrude():
        try:
            tape.push(array)
        except Exception as error:
            found.append(error)

    class Slow(FakeDevice):
        def copy(self, *arguments):
            thread = threading.Thread(target=intrude)
            thread.start()
            thread.join()
            super().copy(*arguments)

    device = Slow()
    with small(device) as tape:
        array = device.array(item(1))
        tape.push(array)
        assert isinstance(found[0], TapeBusyError) and len(tape) == 1


def test_another_device_is_current():
    device = FakeDevice()
    tape = small(device)
    tape.push(device.array(item(1)))
    device.current = False
    with pytest.raises(DeviceError, match="another one is current"):
        tape.pop()
    device.current = True
    assert popped(tape, device) == 1
    tape.close()


# --------------------------------------------------------------------------------- against a model


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**20), st.lists(st.integers(0, 99), max_size=80))
def test_it_is_a_stack(slabs, pages, seed, steps):
    device = FakeDevice(seed=seed)
    model = []
    marks = []
    with small(device, slabs, pages) as tape:
        for step in steps:
            action, n = step % 8, 1 + step // 4
            if action in (0, 1):
                new = [len(model) * 7 + k for k in range(n)]
                tape.extend(device.array(np.stack([item(k) for k in new])))
                model += new
            elif action == 2:
                tape.push(device.array(item(step)))
                model.append(step)
            elif action == 3:
                n = min(n, len(model))
                values = device.read(tape.popn(n))
                expected = np.stack([item(k) for k in model[len(model) - n :]]) if n else np.empty((0, WIDTH))
                np.testing.assert_array_equal(values, expected)
                del model[len(model) - n :]
            elif action == 4 and model:
                assert popped(tape, device) == model.pop()
            elif action == 5:
                marks.append((tape.mark(), len(model)))
            elif action == 6 and marks:
                mark, length = marks.pop()
                if mark.live:
                    tape.rewind(mark)
                    del model[length:]
            elif action == 7 and model:
                np.testing.assert_array_equal(device.read(tape.peek()), item(model[-1]))
                tape.drop()
                model.pop()
            assert len(tape) == len(model)
            marks = [(m, length) for m, length in marks if length <= len(model)]
        pop_all(tape, device, model)
