"""Tapes with a memory budget end well: closed, collected, forked, killed, at the end of the interpreter."""

import gc
import signal
import sys
import threading
import time

import pytest
from layers_tools import LEAST, SLAB, descriptors, eventually, nothing_left, numbers, python, small_tape, threads

from tape import Budget, TapeBusyError, TapeClosedError
from tape.testing import FaultStore, MemoryStore

BUSY = {"delay": 0.01}  # a store that has something under way at most times


@pytest.fixture
def before():
    return threads(), descriptors()


# Closed and collected.


def test_close_with_transfers_under_way(before, tmp_path):
    budget = Budget(8 * SLAB)
    for seed in range(5):
        store = FaultStore(MemoryStore(), seed=seed, **BUSY)
        tape = small_tape(store, budget)
        tape.extend(numbers(10_000))
        if seed % 2:
            tape.popn(3000)  # and something is read ahead
        tape.close()
        assert budget.used_bytes == 0
        assert store.inner._slots == {}
    assert nothing_left(before)


def test_a_tape_is_collected_with_transfers_under_way(before):
    budget = Budget(8 * SLAB)
    for seed in range(5):
        store = FaultStore(MemoryStore(), seed=seed, **BUSY)
        tape = small_tape(store, budget)
        tape.extend(numbers(10_000))
        del tape
        assert budget.used_bytes == 0
        assert store.inner._slots == {}
    assert nothing_left(before)


def test_others_may_use_a_tape_while_it_closes(before):
    budget = Budget(8 * SLAB)
    for seed in range(5):
        tape = small_tape(FaultStore(MemoryStore(), seed=seed, **BUSY), budget)
        tape.extend(numbers(10_000))
        found = []

        def use(tape=tape, found=found):
            while True:
                try:
                    tape.traffic()
                    tape.push(1.0)
                    tape.pop()
                except TapeBusyError:  # it is being closed
                    time.sleep(0.001)
                except TapeClosedError:
                    return
                except BaseException as error:
                    found.append(error)
                    raise

        users = [threading.Thread(target=use) for _ in range(2)]
        for user in users:
            user.start()
        time.sleep(0.002)
        tape.close()
        for user in users:
            user.join()
        assert not found
        assert budget.used_bytes == 0
    del tape, use
    assert nothing_left(before)


class Collects(MemoryStore):
    """The garbage collector comes by in the thread that carries a slab."""

    def write(self, data):
        slot = super().write(data)
        gc.collect()
        return slot


def test_a_tape_is_collected_in_the_thread_that_writes_its_slab(before):
    budget = Budget(16 * SLAB)
    gc.disable()
    try:
        for _ in range(5):
            tape = small_tape(Collects(), budget)
            cycle = [tape]
            cycle.append(cycle)
            tape.extend(numbers(7500))  # the writers start
            del tape, cycle
            assert eventually(lambda: budget.used_bytes == 0)
    finally:
        gc.enable()
    assert nothing_left(before)


class Meddles(MemoryStore):
    """Does `meddle` in the thread that carries a slab, once."""

    def __init__(self, meddle):
        super().__init__()
        self.meddle, self.outcome = meddle, None

    def write(self, data):
        meddle, self.meddle = self.meddle, None
        if meddle:
            try:
                self.outcome = meddle()
            except BaseException as error:
                self.outcome = error
        return super().write(data)


def test_a_store_cannot_close_the_tape_that_it_works_for(before):
    tape = None
    store = Meddles(lambda: tape.close())
    tape = small_tape(store, 16 * SLAB)
    tape.extend(numbers(7500))
    assert eventually(lambda: store.outcome is not None)
    assert isinstance(store.outcome, TapeBusyError)
    assert "a store cannot close" in str(store.outcome) or "in use" in str(store.outcome)
    assert tape.popn(7500).tolist() == numbers(7500).tolist()
    tape.close()


def test_a_store_that_pushes_on_its_own_budget_does_not_wait_for_itself(before):
    budget = Budget(LEAST + 4 * SLAB)

    def more():
        tape = small_tape(MemoryStore(), budget)
        try:
            tape.extend(numbers(100_000))
            return len(tape)
        finally:
            del tape

    class Pushes(MemoryStore):
        def write(self, data):
            try:
                outcomes.append(more())
            except MemoryError as error:
                outcomes.append(error)
            return super().write(data)

    outcomes = []
    tape = small_tape(Pushes(), budget)
    for k in range(40):
        tape.extend(numbers(500, 500 * k))
    assert tape.popn(20_000).tolist() == numbers(20_000).tolist()
    tape.close()
    assert outcomes
    assert all(isinstance(x, MemoryError) for x in outcomes)
    assert eventually(lambda: budget.used_bytes == 0)
    assert nothing_left(before)


# The end of the interpreter.


def test_an_unclosed_tape_is_freed_where_the_warning_is_an_error():
    out, err = python(
        """
        budget = Budget(32768)
        t = small(MemoryStore(), budget)
        t.extend(np.arange(20000.0))
        del t
        print(budget.used_bytes)
        t = small(MemoryStore(), budget)
        t.extend(np.arange(20000.0))
        print(t.popn(20000).sum())
        t.close()
        """,
        *("-X", "dev", "-W", "error"),
    )
    assert out.split() == ["0", "199990000.0"]
    assert "ResourceWarning: unclosed tape of 160000 bytes" in err


@pytest.mark.parametrize("flags", [(), ("-X", "dev")], ids=["plain", "dev"])
@pytest.mark.parametrize("store", ["'/var/tmp'", "MemoryStore()", "FaultStore(MemoryStore(), delay=0.01)"])
def test_the_interpreter_ends_with_spilled_tapes(flags, store):
    out, err = python(
        f"""
        tapes = [small({store}) for _ in range(2)]
        for t in tapes:
            t.extend(np.arange(10000.0))
        tapes[0].popn(4000)
        tapes.append(tapes)
        other = small({store})
        other.extend(np.arange(10000.0))
        print(len(other))
        """,
        *flags,
    )
    assert out.split() == ["10000"]
    assert [line for line in err.splitlines() if "ResourceWarning: unclosed tape of" not in line] == []
    assert bool(err) == bool(flags)


def test_tapes_work_when_the_threads_are_gone():
    """In functions that run at the exit of the interpreter, whatever was begun before."""
    out, err = python(
        """
        import atexit, tape.budget
        budget = Budget(32768)
        old = small(MemoryStore(), budget)
        old.extend(np.arange(10000.0))
        def use():
            tape.budget._stop_threads()     # also when it is called twice
            store = MemoryStore()
            for memory in (budget, Budget(32768)):
                t = small(store, memory)
                for _ in range(3):
                    t.extend(np.arange(10000.0))
                    print(t.popn(10000).sum())
                print(len(store._slots) < 20)
                t.close()
            print(old.popn(10000).sum(), len(store._slots))
        atexit.register(use)
        """
    )
    assert out.split() == [*["49995000.0"] * 3, "True"] * 2 + ["49995000.0", "0"]
    assert err == ""


def test_a_process_that_had_a_second_interpreter():
    """There PyGILState_Check() says that every thread has the GIL."""
    pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
    out, _ = python(
        """
        import numba
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        @numba.njit(nogil=True)
        def fill(t, n):
            for i in range(n):
                t.push(i * 1.0)
        t = small(FaultStore(MemoryStore(), delay=0.002))
        t.push(0.0)
        interpreters.create()
        fill(t, 20000)
        print(len(t))
        t.close()
        """
    )
    assert out.split() == ["20001"]


# Forks.


@pytest.mark.parametrize("store", ["'/var/tmp'", "MemoryStore()", "FaultStore(MemoryStore(), delay=0.01)"])
def test_a_child_gets_an_error_and_a_budget_of_its_own(store):
    out, err = python(
        f"""
        threads = len(os.listdir("/proc/self/task"))
        budget = Budget(32768)
        tape.configure(memory=budget)
        t = Tape(slab_bytes=4096, spill_dir={store})
        t.extend(np.arange(20000.0))
        t.popn(2000)            # so that something may be on its way back
        def work():
            held = budget.used_bytes
            try:
                while True:
                    assert t.pop() == len(t)
            except SpillError as error:
                print("forked from" in str(error), 0 < len(t) < 18000)
            left = len(t)
            try:
                while True:
                    t.pop()
            except SpillError:
                print(len(t) == left)
            try:
                t.extend(np.arange(20000.0))
            except SpillError as error:
                print("nothing more can be spilled" in str(error), len(t) == left)
            for _ in range(2):
                u = Tape(slab_bytes=4096)
                u.extend(np.arange(20000.0))
                print(u.popn(20000).sum(), budget.used_bytes <= budget.memory)
                u.close()
            t.clear()
            t.extend(np.arange(500.0))
            print(t.popn(500).sum())
            t.close()
            print(held, budget.used_bytes)
        child(work)
        print(t.popn(18000).sum())
        t.close()
        time.sleep(0.05)
        print(budget.used_bytes, len(os.listdir("/proc/self/task")) <= threads)
        """
    )
    lines = ["True True", "True", "True True", *["199990000.0 True"] * 2, "124750.0", "0 0", "161991000.0", "0 True"]
    assert out.splitlines() == lines, out + err


def test_a_child_ends_cleanly_with_the_tapes_of_its_parent():
    out, err = python(
        """
        t = small("/var/tmp")
        t.extend(np.arange(20000.0))
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
            print(t.popn(20000).sum())
            t.close()
        """
    )
    assert (out.split(), err) == (["199990000.0"], "")


def test_forks_at_any_moment():
    out, err = python(
        """
        t = small(FaultStore(MemoryStore(), delay=0.003))
        tape.configure(memory=t.budget)
        t.extend(np.arange(10.0))   # what is imported at first use holds a lock
        t.clear()
        done = threading.Event()
        def use():
            n = 0
            while not done.is_set():
                t.extend(np.arange(5000.0))
                assert t.popn(5000).sum() == 12497500.0
                n += 1
            print(n > 0)
        def work():
            u = Tape(slab_bytes=4096, spill_dir=MemoryStore())
            u.extend(np.arange(5000.0))
            assert u.popn(5000).sum() == 12497500.0
            u.close()
        user = threading.Thread(target=use)
        user.start()
        for _ in range(30):
            child(work)
        done.set()
        user.join()
        t.close()
        """
    )
    assert (out.split(), err) == (["True"], "")


# Violence.


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_that_is_killed_leaves_nothing(tmp_path):
    code = f"""
        t = small({str(tmp_path)!r})
        t.extend(np.arange(100000.0))
        print(t.traffic().file_bytes > 100000, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    out, _ = python(code, expect=-signal.SIGKILL)
    assert out.split() == ["True"]
    assert list(tmp_path.iterdir()) == []
