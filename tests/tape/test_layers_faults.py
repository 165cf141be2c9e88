"""What goes wrong with the store of a tape with a budget: full disks, failing reads, flipped bits, slow stores."""

import ctypes
import errno
import os
import signal
import subprocess
import threading
import time

import numba
import numpy as np
import pytest
from layers_tools import ITEMS, LEAST, SLAB, eventually, numbers, settled, small_tape

from tape import (
    Budget,
    SpillCorruptionError,
    SpillError,
    Tape,
    TapeEmptyError,
    TapeMemoryError,
    TapeValueError,
    capi,
)
from tape.disk import FileStore, MmapStore
from tape.testing import FaultStore, MemoryStore

ALL = range(1, 10**9)


def check_all(tape, n):
    """All of numbers(n) is on the tape, and comes off."""
    assert len(tape) == n
    assert np.array_equal(tape.popn(n), numbers(n))
    assert len(tape) == 0


# A budget that is too small.


@pytest.mark.parametrize(
    ("slab", "least"), [(4096, LEAST), (10_000, 512 + 4096 + 4 * 12288), (65536, 512 + 5 * 4096 + 4 * 65536)]
)
def test_a_budget_below_the_minimum_is_named(slab, least):
    for memory in (0, 1, least - 1):
        with pytest.raises(TapeValueError, match=f"memory: {memory} bytes; a tape .* needs at least {least}"):
            Tape(memory=memory, slab_bytes=slab, spill_dir=MemoryStore())
    tape = Tape(memory=least, slab_bytes=slab, spill_dir=MemoryStore())
    tape.extend(numbers(10 * slab))
    check_all(tape, 10 * slab)
    tape.close()


def test_a_budget_that_is_lowered_under_a_tape():
    budget = Budget(16 * SLAB)
    tape = small_tape(MemoryStore(), budget)
    tape.extend(numbers(20_000))
    budget.memory = LEAST
    tape.extend(numbers(5_000, 20_000))
    assert budget.used_bytes <= LEAST
    budget.memory = SLAB
    left = len(tape)
    with pytest.raises(TapeMemoryError, match=f"budget of {SLAB} bytes"):
        tape.extend(numbers(2 * ITEMS))
    assert len(tape) == left
    with pytest.raises(TapeMemoryError):
        tape.popn(20_000)
    assert len(tape) == left
    budget.memory = 8 * SLAB
    check_all(tape, 25_000)
    tape.close()


# A full disk.


def test_a_failed_extend_that_is_larger_than_memory_leaves_the_tape_as_it_was():
    """Its beginning must not have been spilled by then: reading it back may be what fails next."""
    for full in range(9, 40, 5):
        for held in (0, 1, ITEMS, 5000, 5120 + 64):
            store = FaultStore(MemoryStore(), full_after=full * SLAB)
            tape = small_tape(store)
            tape.extend(numbers(held))
            with pytest.raises(SpillError, match="No space left") as caught:
                tape.extend(numbers(200_000))
            assert caught.value.errno == errno.ENOSPC
            check_all(tape, held)
            tape.close()
            assert store.inner._slots == {}


PUSHES = {}


@numba.njit(nogil=True)
def push_without_gil(tape, start, n):
    for i in range(n):
        tape.push(start + i * 1.0)


@numba.njit
def push_with_gil(tape, start, n):
    for i in range(n):
        tape.push(start + i * 1.0)


def push_python(tape, start, n):
    for i in range(n):
        tape.push(start + float(i))


def extend(tape, start, n):
    tape.extend(numbers(n, start))


def push_capi(prototype):
    """What a program in C does, without the GIL (CFUNCTYPE) or with it (PYFUNCTYPE)."""
    push = prototype(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(capi.SYMBOLS["push"])

    def use(tape, start, n):
        x = ctypes.c_double()
        with tape.claimed() as handle:
            for i in range(n):
                x.value = start + i
                status = push(handle, ctypes.addressof(x), 8)
                if status == capi.STATUS["SPILL"]:
                    break
                assert status == 0
        if status:
            raise tape.spill_error()

    return use


WAYS = {
    "extend": extend,
    "push": push_python,
    "nogil": push_without_gil,
    "gil": push_with_gil,
    "C": push_capi(ctypes.CFUNCTYPE),
    "C, GIL": push_capi(ctypes.PYFUNCTYPE),
}
every_way = pytest.mark.parametrize("use", WAYS.values(), ids=WAYS)


@every_way
@pytest.mark.parametrize("cure", ["room", "place"])
def test_a_full_disk_and_its_cure(use, cure):
    full = FaultStore(MemoryStore(), full_after=10 * SLAB)
    second = MemoryStore()
    tape = small_tape(full)
    tape.push(-1.0)
    tape.pop()  # compiled for a tape that is not full
    for _ in range(2):
        with pytest.raises(SpillError) as caught:
            use(tape, len(tape), 40_000)
        error = caught.value if caught.value.errno else tape.spill_error()
        assert error.errno == errno.ENOSPC
        assert "FaultStore.write() failed" in str(error)
    held = len(tape)
    assert held <= 18 * ITEMS + 64
    assert np.array_equal(tape[:], numbers(held))
    if cure == "room":
        full.armed = False
    else:
        tape.add_spill_dir(second)
    use(tape, held, 40_000 - held)
    if cure == "place":
        assert len(second._slots) > 50
    check_all(tape, 40_000)
    tape.close()
    assert full.inner._slots == {}
    assert second._slots == {}


@pytest.fixture
def tiny(tmp_path):
    """A file system of 256 KiB."""
    where = tmp_path / "tiny"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", where], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a file system takes root")
    yield where
    subprocess.run(["umount", where], check=True)


@pytest.mark.parametrize("kind", [FileStore, MmapStore])
@pytest.mark.parametrize("use", [extend, push_without_gil, push_with_gil], ids=["extend", "nogil", "gil"])
@pytest.mark.parametrize("cure", ["room", "place"])
def test_a_disk_that_is_really_full(tiny, tmp_path, kind, use, cure):
    ballast = tiny / "ballast"
    ballast.write_bytes(bytes(128 * 1024))
    with kind(tiny) as store:
        tape = small_tape(store)
        with pytest.raises(SpillError):
            use(tape, 0, 26_000)
        error = tape.spill_error()
        assert error.errno == errno.ENOSPC
        assert error.directory == str(tiny)
        assert error.wanted == SLAB
        assert error.free < SLAB
        assert "add_spill_dir" in str(error)
        held = len(tape)
        assert np.array_equal(tape[:], numbers(held))
        if cure == "room":
            ballast.unlink()
        else:
            tape.add_spill_dir(tmp_path)
        use(tape, held, 26_000 - held)
        check_all(tape, 26_000)
        tape.close()
        assert store.used_bytes == 0


def test_a_full_store_of_one_tape_does_not_stop_another():
    budget = Budget(16 * SLAB)
    full = small_tape(FaultStore(MemoryStore(), fail_write=ALL), budget)
    fine = small_tape(MemoryStore(), budget)
    full.extend(numbers(3 * ITEMS))
    fine.extend(numbers(30_000))
    with pytest.raises(SpillError):
        full.extend(numbers(30_000))
    fine.extend(numbers(10_000, 30_000))
    check_all(full, 3 * ITEMS)
    check_all(fine, 40_000)
    full.close()
    fine.close()
    assert budget.used_bytes == 0


# Reads that fail, bits that flip.


@numba.njit
def pop_all(tape, out):
    for i in range(len(out)):
        out[i] = tape.pop()


def pop_compiled(tape):
    out = np.full(len(tape), -1.0)
    try:
        pop_all(tape, out)
    finally:
        popped.extend(out[out >= 0])


def pop_one_by_one(tape):
    while True:
        try:
            popped.append(tape.pop())
        except TapeEmptyError:
            return


def pop_blocks(tape):
    while len(tape):
        n = min(100, len(tape))
        popped.extend(tape.popn(n)[::-1])


popped = []


@pytest.mark.parametrize("pop", [pop_compiled, pop_one_by_one, pop_blocks])
@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ({"flip_read": ALL}, SpillCorruptionError),
        ({"flip_write": [3]}, SpillCorruptionError),
        ({"fail_read": ALL, "code": errno.EIO}, SpillError),
    ],
)
def test_what_does_not_come_back_is_an_error_each_time(pop, prefetch, faults, kind):
    n = 12_000
    popped.clear()
    store = FaultStore(MemoryStore(), **faults)
    tape = small_tape(store, prefetch=prefetch)
    for k in range(0, n, 500):
        tape.extend(numbers(500, k))
    lefts = []
    for _ in range(3):
        with pytest.raises(SpillError):
            pop(tape)
        error = tape.spill_error()
        assert type(error) is kind
        if kind is SpillCorruptionError:
            first = int(str(error).split("(from item ")[1].split(",")[0])
            # A block that begins in the bad slab stays whole above it.
            assert first + ITEMS <= len(tape) < first + ITEMS + (100 if pop is pop_blocks else 1)
            assert f"slab {first // ITEMS} of the tape" in str(error)
        else:
            assert error.errno == errno.EIO
        lefts.append(len(tape))
    assert lefts == [lefts[0]] * 3
    assert popped == numbers(n)[lefts[0] :][::-1].tolist()  # right to the last one above
    tape.extend(numbers(2 * ITEMS, lefts[0]))  # and on it goes above
    assert np.array_equal(tape.popn(2 * ITEMS), numbers(2 * ITEMS, lefts[0]))
    store.armed = False
    if "flip_write" not in faults:
        check_all(tape, lefts[0])
    tape.clear()
    tape.close()
    assert store.inner._slots == {}


def test_what_lies_above_a_bad_slab_can_be_taken_in_one_block():
    store = FaultStore(MemoryStore(), flip_read=ALL)
    tape = small_tape(store, prefetch=False)
    tape.extend(numbers(10_000))
    mark = tape.mark()
    with pytest.raises(SpillCorruptionError):
        for _ in range(10_000):
            tape.pop()
    border = len(tape)
    tape.extend(numbers(100, border))
    assert tape.popn(100).tolist() == numbers(100, border).tolist()
    assert len(tape) == border
    assert not mark.live
    mark = tape.mark()
    for n in (1, 100, 2000):
        tape.extend(numbers(n))
        tape.rewind(mark)
        assert len(tape) == border
    with pytest.raises(SpillCorruptionError):
        tape.pop()
    tape.close()


def test_an_error_while_looking_changes_nothing():
    store = FaultStore(MemoryStore(), flip_read=ALL)
    tape = small_tape(store)
    tape.extend(numbers(10_000))
    for look in (
        lambda: [tape[i] for i in range(0, 5000, 50)],
        lambda: tape[:],
        lambda: list(tape),
        lambda: tape[5000:20:-1],
    ):
        with pytest.raises(SpillCorruptionError):
            look()
    assert tape[-1] == 9999
    assert len(tape) == 10_000
    store.armed = False
    check_all(tape, 10_000)
    tape.close()


# Looking, then moving on.


def test_looking_ahead_ends_where_the_cursor_moves():
    """What was to be looked at next may be gone from the tape."""
    tape = small_tape(MemoryStore())
    for _ in range(5):
        tape.extend(numbers(20 * ITEMS))
        mark = tape.mark()
        tape.extend(numbers(200 * ITEMS, 20 * ITEMS))
        for i in range(200, 150, -1):
            assert tape[i * ITEMS] == i * ITEMS
        tape.rewind(mark)
        settled(tape)
        for i in range(10):
            assert tape[i * ITEMS] == i * ITEMS
        check_all(tape, 20 * ITEMS)
    tape.close()


# Stores that need the GIL, and slow ones.


class Blocks(MemoryStore):
    """Every write runs Python for a while, letting other threads have the GIL and taking it back."""

    def write(self, data):
        for _ in range(20):
            time.sleep(0)
        return super().write(data)


@every_way
def test_a_store_written_in_python_and_a_loop_with_the_gil(use):
    tape = small_tape(Blocks())
    use(tape, 0, 20_000)
    assert len(tape) == 20_000
    out = np.empty(20_000)
    pop_all(tape, out)
    assert np.array_equal(out[::-1], numbers(20_000))
    tape.close()


def test_others_find_the_tape_busy_while_a_push_waits():
    gate = threading.Event()

    class Gate(MemoryStore):
        def write(self, data):
            assert gate.wait(30)
            return super().write(data)

    tape = small_tape(Gate())
    pusher = threading.Thread(target=extend, args=(tape, 0, 20_000))
    pusher.start()
    assert eventually(lambda: tape.traffic().write_stalls > 0)
    for use in (lambda: tape.push(1.0), lambda: tape.pop(), lambda: len(tape), tape.close, tape.mark):
        with pytest.raises(BufferError, match="in use"):
            use()
    assert "in use" in repr(tape)
    gate.set()
    pusher.join()
    check_all(tape, 20_000)
    tape.close()


# Interrupts.


class Slow(MemoryStore):
    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def write(self, data):
        self.gate.wait(30)
        return super().write(data)

    def read(self, slot, out):
        self.gate.wait(30)
        super().read(slot, out)


def interrupt_when(stalled):
    """Send SIGINT to this process once something stalls."""

    def send():
        if eventually(stalled):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("use", [extend, push_python], ids=["extend", "push"])
def test_an_interrupt_ends_a_push_that_waits(use):
    store = Slow()
    tape = small_tape(store)
    for _ in range(3):
        stalls, before = tape.traffic().write_stalls, len(tape)
        sender = interrupt_when(lambda stalls=stalls: tape.traffic().write_stalls > stalls)
        with pytest.raises(KeyboardInterrupt):
            use(tape, before, 20_000 - before)
        sender.join()
        held = len(tape)
        assert held == before if use is extend else held >= before
    store.gate.set()
    assert np.array_equal(tape[:], numbers(held))
    use(tape, held, 20_000 - held)
    check_all(tape, 20_000)
    tape.close()
    assert store._slots == {}


@pytest.mark.parametrize(
    "pop", [lambda t: t.popn(10_000), lambda t: [t.pop() for _ in range(10_000)], lambda t: t[700]]
)
def test_an_interrupt_ends_a_pop_or_look_that_waits(pop):
    store = Slow()
    store.gate.set()
    tape = small_tape(store)
    tape.extend(numbers(12_000))
    settled(tape)
    store.gate.clear()
    for _ in range(3):
        stalls = tape.traffic().read_stalls
        sender = interrupt_when(lambda stalls=stalls: tape.traffic().read_stalls > stalls)
        with pytest.raises(KeyboardInterrupt):
            pop(tape)
        sender.join()
    store.gate.set()
    check_all(tape, len(tape))
    tape.close()
    assert store._slots == {}


def test_close_after_an_interrupted_read():
    """The slab is still to be read then, and nobody waits for it."""
    store = Slow()
    store.gate.set()
    budget = Budget(8 * SLAB)
    tape = small_tape(store, budget)
    tape.extend(numbers(12_000))
    settled(tape)
    store.gate.clear()
    sender = interrupt_when(lambda: tape.traffic().read_stalls > 0)
    with pytest.raises(KeyboardInterrupt):
        tape.popn(12_000)
    sender.join()
    opener = threading.Timer(0.05, store.gate.set)
    opener.start()
    tape.close()
    assert budget.used_bytes == 0
    assert store._slots == {}
    opener.join()


def test_generated_code_is_not_interrupted_but_its_caller_is():
    """A loop on a plain handle, with the GIL: nothing it calls may leave an exception behind."""
    from tape.numba import push

    @numba.njit
    def fill(handle, n):
        for i in range(n):
            push(handle, i * 1.0)

    store = Slow()
    tape = small_tape(store)
    fill(tape.handle, 0)
    sender = interrupt_when(lambda: tape.traffic().write_stalls > 0)
    opener = threading.Timer(0.5, store.gate.set)
    opener.start()
    with pytest.raises(KeyboardInterrupt):
        fill(tape.handle, 20_000)
        time.sleep(10)
    sender.join()
    opener.join()
    tape.raise_failed()
    check_all(tape, 20_000)
    tape.close()


# Exceptions in the middle.


def test_an_exception_in_a_with_block_closes_the_tape():
    budget = Budget(8 * SLAB)
    store = FaultStore(MemoryStore(), delay=0.005)
    with pytest.raises(ZeroDivisionError), small_tape(store, budget) as tape:
        tape.extend(numbers(12_000))
        tape.popn(2000)
        raise ZeroDivisionError("in the middle")
    assert tape.closed
    assert budget.used_bytes == 0
    assert store.inner._slots == {}


def test_a_spill_error_in_a_with_block_is_what_is_raised():
    store = FaultStore(MemoryStore(), fail_write=ALL)
    with pytest.raises(SpillError, match="No space"), small_tape(store) as tape:
        tape.extend(numbers(12_000))
    assert tape.closed
    assert store.inner._slots == {}


# What a store may raise.


@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(errno.EIO, "bad"), MemoryError(), SystemExit(3), KeyboardInterrupt()]
)
def test_whatever_a_store_raises_is_the_cause(error):
    class Raises(MemoryStore):
        def write(self, data):
            raise error

    tape = small_tape(Raises())
    with pytest.raises(SpillError) as caught:
        tape.extend(numbers(20_000))
    assert caught.value.__cause__ is error
    assert caught.value.errno == getattr(error, "errno", None)
    tape.add_spill_dir(MemoryStore())
    tape.extend(numbers(20_000))
    check_all(tape, 20_000)
    tape.close()


@pytest.mark.parametrize("slot", [-1, None, "x", 2**63, 1.5])
def test_slots_that_are_none(slot):
    class Odd(MemoryStore):
        def write(self, data):
            return slot

    tape = small_tape(Odd())
    with pytest.raises(SpillError):
        tape.extend(numbers(20_000))
    assert len(tape) == 0
    tape.close()


def test_random_faults_lose_nothing():
    for seed in range(15):
        store = FaultStore(MemoryStore(), fail_rate=0.2, delay=0.0005, seed=seed)
        tape = small_tape(store, 6 * SLAB)
        chance = np.random.default_rng(seed)
        held = 0
        for _ in range(30):
            n = int(chance.integers(0, 3000))
            try:
                if chance.random() < 0.6:
                    tape.extend(numbers(n, held))
                    held += n
                else:
                    n = min(n, held)
                    assert np.array_equal(tape.popn(n), numbers(n, held - n))
                    held -= n
            except SpillError:
                pass
            assert len(tape) == held
        store.armed = False
        check_all(tape, held)
        tape.close()
        assert store.inner._slots == {}
