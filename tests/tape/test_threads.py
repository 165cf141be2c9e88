"""Thread-safe tapes: what every operation means there; test_threads_stress.py has all of them at once."""

import ctypes
import gc
import threading

import numba
import numpy as np
import pytest
from layers_tools import PATIENCE, SLAB, numbers, python, small_tape
from numba import njit
from threads_tools import drain, fill, in_thread

from tape import (
    Budget,
    Reader,
    SlabPool,
    SpillError,
    Tape,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeIndexError,
    TapeMarkError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
    capi,
)
from tape.numba import failed, pop, push, push_array
from tape.testing import FaultStore, MemoryStore


def shared(dtype="f8", **options):
    return Tape(dtype, thread_safe=True, **options)


def test_it_says_what_it_is():
    assert shared().thread_safe and not Tape().thread_safe
    assert repr(shared()) == "<thread-safe Tape float64: 0 items (0 bytes) inline>"


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "?", "c16", "i2", "S3", [("a", "i4"), ("b", "f8")]])
def test_all_dtypes(dtype):
    tape, items = shared(dtype), np.zeros(1000, dtype)
    items[::3] = np.ones(1, dtype)
    for item in items:
        tape.push(item)
    tape.extend(items)
    assert len(tape) == 2000
    assert np.array_equal(tape.popn(1000), items)
    assert np.array_equal(tape[:], items) and tape[997] == tape.peek(3)[0]
    for item in items[:-11:-1]:
        assert tape.pop() == item


def test_what_a_call_pushes_lies_together():
    tape = shared()
    for k in range(3):
        tape.extend(numbers(1000, k))
    block = tape.reserve(500)
    block[:] = 7.0
    assert len(tape) == 3500 and (tape[-500:] == 7.0).all()
    with pytest.raises(TapeBusyError, match="pins"):
        tape.pop()
    in_thread(tape.push, 1.0)
    del block
    assert tape.pop() == 1.0 and tape.pop() == 7.0


def test_memory_errors_change_nothing():
    tape = shared(pool=SlabPool(limit=4096))
    fill(tape, 0, 64 + 512)
    for use in (lambda: tape.push(1.0), lambda: tape.extend(np.ones(10)), lambda: tape.reserve(1)):
        with pytest.raises(TapeMemoryError):
            use()
    with pytest.raises(TapeMemoryError):
        fill(tape, 0, 1)
    assert np.array_equal(tape[:], numbers(576))


def test_marks_are_positions_whoever_pushed():
    tape = shared()
    tape.extend(numbers(100))
    mark = tape.mark()
    in_thread(fill, tape, 0, 1000)
    assert mark.live and mark.position == 100 and len(tape) == 1100
    in_thread(tape.rewind, mark)
    assert len(tape) == 100 and mark.live
    in_thread(tape.pop)
    assert not mark.live
    with pytest.raises(TapeMarkError, match="popped past"):
        tape.rewind(mark)


def test_compiled_marks():
    @njit(nogil=True)
    def there_and_back(tape):
        mark = tape.mark()
        tape.push(1.0)
        tape.rewind(mark)
        return mark

    tape = shared()
    tape.push(0.0)
    assert there_and_back(tape) > 0 and len(tape) == 1


def test_looking():
    tape = shared()
    tape.extend(numbers(1000))
    assert tape[-1] == tape.peek() == 999.0 and tape[0] == 0.0
    assert np.array_equal(tape[::-7], numbers(1000)[::-7]) and np.array_equal(tape[5:900:9], numbers(1000)[5:900:9])
    assert list(tape) == numbers(1000).tolist() and list(reversed(tape)) == numbers(1000)[::-1].tolist()
    for index in (1000, -1001, 2**62, -(2**62)):
        with pytest.raises(TapeIndexError, match="1000 items"):
            tape[index]
    tape.clear()
    with pytest.raises(TapeEmptyError):
        tape.peek()


def test_iterating_while_others_pop():
    tape = shared()
    tape.extend(numbers(100))
    seen = []
    for x in tape:
        seen.append(x)
        in_thread(tape.popn, min(9, len(tape)))
    assert seen == numbers(10).tolist()


def test_a_compiled_loop_keeps_nobody_out():
    """Each thread waits for what only the other one pushes."""

    @njit(nogil=True)
    def wait_for(tape, n):
        while len(tape) < n:
            pass
        tape.push(-1.0)

    tape = shared()
    tape.push(0.0)
    wait_for(tape, 1)
    thread = threading.Thread(target=wait_for, args=(tape, 100), daemon=True)
    thread.start()
    while len(tape) < 100:
        tape.push(1.0)
    thread.join(PATIENCE)
    assert not thread.is_alive() and -1.0 in tape[:]


def test_claims_are_shared():
    tape = shared()
    with tape.claimed() as handle, tape.claimed() as other:
        assert handle == other == tape.handle
        tape.push(1.0)
    assert tape.pop() == 1.0


def test_reserve_in_compiled_code_is_refused():
    with pytest.raises(TapeMemoryError, match="thread-safe"):
        njit(lambda t: t.reserve(3).sum())(shared())


def test_the_other_methods_in_compiled_code():
    @njit(nogil=True)
    def use(tape, items):
        tape.extend(items)
        out = np.empty(items.size)
        tape.popn(items.size, out)
        tape.extend(out)
        return tape[-1], tape[0], tape.peek(), len(tape), tape.popn(2)

    last, first, newest, length, two = use(shared(), numbers(1000))
    assert (last, first, newest, length, two.tolist()) == (999.0, 0.0, 999.0, 1000, [998.0, 999.0])


def test_closing_while_others_push():
    tape = shared()

    @njit(nogil=True)
    def to_and_fro(tape):
        while True:
            tape.push(1.0)
            tape.pop()

    closed = Tape()
    closed.close()
    with pytest.raises(TapeClosedError):
        to_and_fro(closed)  # compiles it
    ends = []

    def until_closed():
        with pytest.raises(TapeClosedError):
            to_and_fro(tape)
        ends.append(1)

    view = tape.reserve(1)  # at the bottom: none of them pops more than it pushed
    threads = [threading.Thread(target=until_closed, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    with pytest.raises(TapeBusyError):
        tape.close()
    del view
    tape.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(ends) == 3 and tape.closed and len(tape) == 0
    tape.close()
    for use in (tape.push, tape.extend, tape.popn, tape.reserve, tape.__getitem__):
        with pytest.raises(TapeClosedError):
            use(1.0 if use == tape.push else [1.0] if use == tape.extend else 1)
    assert tape.stats().layer == "closed" and "closed" in repr(tape)


def test_a_dropped_tape_gives_all_back():
    pool = SlabPool()
    tape = shared(pool=pool)
    tape.extend(np.zeros(100_000))
    del tape
    gc.collect()
    assert pool.stats().used_slabs == 0


def test_readers():
    tape = shared()
    tape.extend(numbers(100))
    mark = tape.mark()
    tape.extend(numbers(1000))
    with Reader(tape, mark) as reader, Reader(tape) as whole:
        in_thread(tape.push, -1.0)
        assert in_thread(reader.popn, 1000).tolist() == numbers(1000).tolist()
        assert in_thread(njit(lambda r: r.pop() + r.pop()), whole) == 999.0 + 998.0
        tape.pop()
        with pytest.raises(TapeBusyError):
            tape.pop()
        claimed = reader._claim()  # as compiled code does
        for use in (reader.pop, reader.restart, reader.close):
            with pytest.raises(TapeBusyError, match="reader is in use"):
                use()
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(capi.SYMBOLS["reader_leave"])(claimed)
    tape.popn(1000 + 1)
    with pytest.raises(TapeMarkError):
        Reader(tape, mark)


def test_errors_of_python_values():
    tape = shared("i8")
    for wrong, error in (("x", TapeTypeError), (1.5, TapeTypeError), (2**70, TapeValueError)):
        with pytest.raises(error):
            tape.push(wrong)
    assert len(tape) == 0


# ------------------------------------------------------------------------------------------------ by handle


@njit(parallel=True, nogil=True)
def push_everywhere(handle, n):
    for i in numba.prange(n):
        push(handle, float(i), i)


@njit(parallel=True, nogil=True)
def pop_everywhere(handle, n, out):
    for i in numba.prange(n):
        x, _ = pop(handle, 2)
        out[i] = x


def test_prange_on_one_tape():
    tape, n = shared(), 20_000
    out = np.zeros(n)
    with tape.claimed() as handle:
        push_everywhere(handle, n)
        assert len(tape) == 2 * n
        words = tape[:].reshape(n, 2)
        assert np.array_equal(words[:, 0], words[:, 1].view("i8"))  # blocks are whole
        pop_everywhere(handle, n, out)
    assert np.array_equal(np.sort(out), numbers(n)) and len(tape) == 0
    tape.raise_failed()


def test_a_failure_by_handle_sticks_for_all():
    tape = shared(pool=SlabPool(limit=4096))

    @njit
    def status(handle):
        return failed(handle)

    with tape.claimed() as handle:
        push_everywhere(handle, 10_000)
        assert status(handle) != 0
        tape.clear()
        tape.push(1.0)
        push_everywhere(handle, 1)  # all is well again
        assert status(handle) == 0 and len(tape) == 3
        push_everywhere(handle, 10_000)
        tape.popn(70)
        tape.extend(numbers(70))  # it has room, and yet nothing comes after what failed
        push_everywhere(handle, 1)
        assert len(tape) == 575
    with pytest.raises(TapeMemoryError):
        tape.raise_failed()
    tape.raise_failed()
    assert len(tape) == 575
    with tape.claimed() as handle:
        pop_everywhere(handle, 1000, np.zeros(1000))
    with pytest.raises(TapeEmptyError):
        tape.raise_failed()


def test_arrays_by_handle():
    @njit(nogil=True)
    def record(handle, a):
        push_array(handle, a)

    tape = shared()
    with tape.claimed() as handle:
        record(handle, np.arange(6.0).reshape(2, 3)[:, ::2])
    assert tape[:4].tolist() == [0.0, 2.0, 3.0, 5.0] and len(tape) == 6


# ---------------------------------------------------------------------------------------------- beyond memory


@pytest.mark.parametrize("store", [None, MemoryStore], ids=["disk", "python"])
def test_spilled_and_read_back(store):
    with small_tape(store and store(), thread_safe=True) as tape:
        for _ in range(2):
            fill(tape, 0, 20_000)
            assert tape.traffic().spilled_bytes > 0
            assert np.array_equal(tape[:], numbers(20_000))
            assert tape[5] == 5.0 and tape[-1] == 19_999.0
            view = tape.reserve(10)
            view[:] = 1.0
            del view
            tape.popn(10)
            assert drain(tape, 20_000) == numbers(20_000).sum()
        assert tape.budget.high_bytes <= tape.budget.memory


def test_a_full_disk_is_told_to_each():
    store = FaultStore(MemoryStore(), full_after=10 * SLAB)
    with small_tape(store, thread_safe=True) as tape:
        for _ in range(2):
            with pytest.raises(SpillError):
                in_thread(fill, tape, 0, 100_000)
        with pytest.raises(SpillError, match="No space"):
            tape.extend(numbers(100_000))
        assert tape[:1000].tolist() == numbers(1000).tolist() and tape.pop() >= 0
    with small_tape(FaultStore(MemoryStore(), fail_write=range(1, 10**9)), thread_safe=True) as tape:
        with pytest.raises(OSError):
            tape.extend(numbers(100_000))
        assert len(tape) == 0
        tape.push(1.0)


class Slow(MemoryStore):
    """A store in Python, which takes the GIL for a while."""

    def write(self, data):
        sum(range(2000))
        return super().write(data)


def test_the_gil_and_the_lock():
    """Threads that spill through a store in Python, push from Numba without the GIL and with it, and from Python."""
    with small_tape(Slow(), thread_safe=True) as tape:
        n = 30_000
        holding = njit(fill.py_func)  # with the GIL all the time
        holding(tape, 0, 1)
        drain(tape, 1)

        def from_python():
            for i in range(n // 10):
                tape.push(float(i))

        work = [(fill, tape, 0, n), (holding, tape, 0, n), (from_python,), (tape.extend, numbers(n))]
        threads = [threading.Thread(target=use, args=args, daemon=True) for use, *args in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        assert len(tape) == 3 * n + n // 10
        assert drain(tape, len(tape)) == 3 * numbers(n).sum() + numbers(n // 10).sum()


def test_a_store_that_uses_the_tape_it_works_for_is_refused():
    refused = []

    class Curious(MemoryStore):
        def write(self, data):
            for use in (lambda: tape.push(1.0), lambda: len(tape), tape.close, lambda: tape[0]):
                try:
                    use()
                except TapeBusyError as error:
                    refused.append(str(error))
            return super().write(data)

    with small_tape(Curious(), memory=512 + 4 * SLAB, thread_safe=True) as tape:
        fill(tape, 0, 50_000)
        assert len(tape) >= 50_000
    assert any("working for" in text for text in refused)


def test_two_tapes_on_one_budget():
    budget = Budget(16 * SLAB)
    one, two = (small_tape(MemoryStore(), budget, thread_safe=True) for _ in range(2))
    threads = [threading.Thread(target=fill, args=(t, 0, 20_000), daemon=True) for t in (one, two) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert drain(one, 40_000) == drain(two, 40_000) == 2 * numbers(20_000).sum()
    one.close()
    two.close()


# ---------------------------------------------------------------------------------------- forks and signals


def test_a_fork_between_two_operations():
    out, _ = python(
        """
        t = Tape("f8", thread_safe=True)
        t.extend(range(1000))
        def work():
            t.push(1.0)
            print(len(t), t.popn(3).tolist())
        child(work)
        print(len(t))
        """
    )
    assert out.split("\n")[:2] == ["1001 [998.0, 999.0, 1.0]", "1000"]


# A thread waits for the disk with the tape, until `go`.
IN_THE_MIDDLE = """
        entered, go = threading.Event(), threading.Event()
        class Held(MemoryStore):
            def write(self, data):
                entered.set()
                go.wait(20)
                return super().write(data)
        t = small(Held(), memory=512 + 4 * 4096, thread_safe=True)
        thread = threading.Thread(target=t.extend, args=(np.zeros(20_000),))
        thread.start()
        entered.wait(20)
        while not t.traffic().write_stalls:
            time.sleep(0.01)
"""


def test_a_fork_in_the_middle_of_an_operation_of_another_thread():
    out, _ = python(
        IN_THE_MIDDLE
        + """
        def work():
            try:
                t.push(1.0)
            except TapeBusyError as error:
                print(error)
        child(work)
        go.set()
        thread.join()
        print(len(t))
        """
    )
    assert "forked" in out and out.strip().endswith("20000")


def test_ctrl_c_ends_the_wait_for_another_thread():
    out, _ = python(
        IN_THE_MIDDLE
        + """
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            t.push(1.0)
        except KeyboardInterrupt as error:
            print("stopped", type(error).__name__)
        go.set()
        thread.join()
        print(len(t))
        """
    )
    assert out.split() == ["stopped", "TapeInterrupt", "20000"] or out.split() == [
        "stopped",
        "KeyboardInterrupt",
        "20000",
    ]


def test_saving_while_others_push_and_pop(tmp_path):
    tape = shared()
    tape.extend(numbers(1_000_000))
    done = threading.Event()
    refused = []

    def to_and_fro():
        while not done.is_set():
            tape.push(-1.0)
            try:
                tape.pop()
                tape.popn(2)
                tape.extend([-2.0, -2.0])
            except TapeBusyError:
                refused.append(1)

    thread = threading.Thread(target=to_and_fro, daemon=True)
    thread.start()
    tape.save(tmp_path / "tape")
    done.set()
    thread.join(PATIENCE)
    saved = Tape.load(tmp_path / "tape", thread_safe=True)
    assert saved.thread_safe and np.array_equal(saved[:999_000], numbers(999_000))
    assert len(saved) >= 999_990
    tape.popn(10)  # nothing is held any more
