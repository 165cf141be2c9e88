"""Tapes with a memory budget end well: closed, collected, forked, killed, at the end of the interpreter."""

import gc
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
                except TapeBusyError:
                    time.sleep(0.001)
                except TapeClosedError:
                    return
                except BaseException as error:
                    found.append(error)
                    raise

        users = [threading.Thread(target=use) for _ in range(2)]
        for user in users:
            user.start()
        closed = False
        while not closed:
            try:
                tape.close()
                closed = True
            except TapeBusyError:  # a push waits for the store
                time.sleep(0.001)
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
