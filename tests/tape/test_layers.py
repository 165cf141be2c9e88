"""A tape with a memory budget against a Python list: the rules of all tapes, and those of one that spills."""

import tempfile

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from layers_tools import SLAB, descriptors, eventually, nothing_left, threads
from tape_machine import VALUES, Records, TapeMachine

from tape import Budget, Reader, SlabPool, SpillError, Tape, TapeEmptyError, TapeMemoryError
from tape.disk import FileStore, MmapStore
from tape.testing import FaultStore, MemoryStore

MANY = st.one_of(st.integers(400, 1500), st.integers(400, 6000))

STORES = {
    "memory": lambda seed: MemoryStore(),
    "file": lambda seed: FileStore(tempfile.gettempdir()),
    "mmap": lambda seed: MmapStore(tempfile.gettempdir()),
    "slow": lambda seed: FaultStore(MemoryStore(), delay=0.001, seed=seed),
    "faulty": lambda seed: FaultStore(MemoryStore(), fail_rate=0.3, seed=seed),
    "faulty and slow": lambda seed: FaultStore(MemoryStore(), fail_rate=0.2, delay=0.0005, seed=seed),
    "lying": lambda seed: FaultStore(MemoryStore(), flip_read=range(2, 10**9, 3), seed=seed),
    "full": lambda seed: FaultStore(FileStore(tempfile.gettempdir()), full_after=20 * SLAB, seed=seed),
}


class Mended:
    """A tape whose operations do not fail: what went wrong must have changed nothing, is then mended, and tried again.

    A store that fails is told to work for once; more memory is given where views and readers hold all there is.
    """

    def __init__(self, tape, machine):
        self.__dict__.update(tape=tape, machine=machine)

    def attempt(self, use):
        machine = self.machine
        length = len(self.tape)
        for _ in range(20):
            try:
                return use()
            except SpillError:
                assert isinstance(machine.store, FaultStore), "a store that works, and yet an error"
                mend = True
            except TapeMemoryError:
                assert machine.views or machine.readers, "nothing holds memory, and yet there is none"
                mend = False
            assert len(self.tape) == length
            if mend:
                machine.store.armed = False
                machine.mended += 1
            else:
                machine.budget.memory += SLAB * machine.slabs
        raise AssertionError("still not")

    def settle(self):
        """Faults again."""
        if isinstance(self.machine.store, FaultStore):
            self.machine.store.armed = True

    def __getattr__(self, name):
        found = getattr(self.tape, name)
        if not callable(found):
            return found

        def use(*args, **options):
            try:
                return self.attempt(lambda: found(*args, **options))
            finally:
                self.settle()

        return use

    def __len__(self):
        return len(self.tape)

    def __getitem__(self, index):
        try:
            return self.attempt(lambda: self.tape[index])
        finally:
            self.settle()

    def __iter__(self):
        for i in range(len(self)):
            yield self[i]

    def __reversed__(self):
        for i in range(len(self) - 1, -1, -1):
            yield self[i]


class LayersMachine(TapeMachine):
    """The machine of all tapes, with a budget from the least that there can be."""

    @initialize(
        spare=st.sampled_from([0, 0, 1, 3, 12]),
        slabs=st.sampled_from([1, 1, 2, 4]),
        kind=st.sampled_from(sorted(STORES)),
        prefetch=st.sampled_from([True, True, False]),
        seed=st.integers(0, 1000),
        filled=st.sampled_from([8000, 3000, 0]),
        thread_safe=st.booleans(),
    )
    def start(self, spare, slabs, kind, prefetch, seed, filled, thread_safe):
        self.counts = threads(), descriptors()
        self.slabs, self.kind, self.prefetch = slabs, kind, prefetch
        small = {1: 0, 2: 4096, 4: 4096}[slabs]
        self.budget = Budget(512 + small + (4 + spare) * slabs * SLAB)
        self.store = STORES[kind](seed)
        self.more = []
        self.readers = []  # [reader, position, bottom, top]
        self.mended = 0
        self.pool = SlabPool(retain=40_000)
        self.begin(
            Mended(
                Tape(
                    self.dtype,
                    memory=self.budget,
                    slab_bytes=slabs * SLAB,
                    spill_dir=self.store,
                    pool=self.pool,
                    prefetch=prefetch,
                    thread_safe=thread_safe,
                ),
                self,
            )
        )

        self.items = [self.item(k) for k in range(filled)]
        self.tape.extend(np.array(self.items, dtype=self.dtype))

    def refused(self, left):
        return super().refused(left) or any(top > left for _, _, _, top in self.readers)

    @rule(n=MANY, k=VALUES)
    def extend_far(self, n, k):
        new = [self.item(k + j) for j in range(n)]
        self.grow(lambda: self.tape.extend(np.array(new, dtype=self.tape.dtype)), new)

    @rule(n=MANY)
    def pop_far(self, n):
        n = min(n, len(self.items))
        left = len(self.items) - n
        if n and not self.refused(left):
            assert self.tape.popn(n).tolist() == [self.plain(x) for x in self.items[left:]]
            self.shrink(left)

    @rule(n=st.integers(0, 1500))
    def pop_one_by_one(self, n):
        for _ in range(n):
            left = len(self.items) - 1
            if left < 0 or self.refused(left):
                break
            assert self.tape.pop() == self.items[left]
            self.shrink(left)

    @rule(at=st.floats(0, 1), n=st.integers(0, 1500))
    def look_far(self, at, n):
        start = int(at * len(self.items))
        part = self.items[start : start + n]
        assert self.tape[start : start + n].tolist() == [self.plain(x) for x in part]
        for i in range(start, start + len(part), 100):
            assert self.tape[i] == self.items[i]

    @rule(data=st.data())
    def open_reader(self, data):
        live = [(mark, position) for mark, position, live in self.marks if live]
        mark, bottom = data.draw(st.sampled_from([(None, 0), *live]))
        reader = Reader(self.tape.tape, mark)
        self.readers.append([reader, len(self.items), bottom, len(self.items)])

    @precondition(lambda self: getattr(self, "readers", None))
    @rule(data=st.data(), n=st.integers(0, 2000))
    def read(self, data, n):
        entry = data.draw(st.sampled_from(self.readers))
        reader, position, bottom, _ = entry
        assert len(reader) == position - bottom
        if n > position - bottom:
            with pytest.raises(TapeEmptyError):
                reader.popn(n)
            return
        entry[1] = position - n
        found = self.tape.attempt(lambda: reader.popn(n))
        self.tape.settle()
        assert found.tolist() == [self.plain(x) for x in self.items[position - n : position]]

    @precondition(lambda self: getattr(self, "readers", None))
    @rule(data=st.data(), again=st.booleans())
    def end_reader(self, data, again):
        entry = data.draw(st.sampled_from(self.readers))
        if again:
            entry[0].restart()
            entry[1] = entry[3]
        else:
            entry[0].close()
            self.readers.remove(entry)

    @rule()
    def add_place(self):
        if len(self.more) < 3:
            self.more.append(MemoryStore())
            self.tape.add_spill_dir(self.more[-1])

    def account(self, stats):
        assert self.budget.used_bytes <= self.budget.memory
        assert self.budget.high_bytes <= self.budget.memory
        layers = stats.layers
        assert layers.resident_bytes == self.budget.used_bytes or self.in_flight()
        assert self.prefetch or layers.prefetch_hits == 0
        # What was dropped on its way lands a moment later.
        assert eventually(self.covered)
        assert self.mended == 0 or isinstance(self.store, FaultStore)

    def in_flight(self):
        return eventually(lambda: self.tape.tape.traffic().resident_bytes == self.budget.used_bytes)

    def covered(self):
        stats = self.tape.tape.stats()
        layers = stats.layers
        held = stats.slab_bytes + stats.spare_bytes
        return layers.resident_bytes + layers.spilled_bytes == held and stats.pool.used_bytes == layers.resident_bytes

    def teardown(self):
        if not hasattr(self, "tape"):
            return
        self.views.clear()
        for reader, *_ in self.readers:
            reader.close()
        left = len(self.items)
        while left:
            n = min(left, 700)
            assert self.tape.popn(n).tolist() == [self.plain(x) for x in self.items[left - n : left]]
            left -= n
        self.tape.close()
        assert self.budget.used_bytes == 0
        assert self.pool.stats().used_bytes == 0
        for store in (self.store, *self.more):
            inner = store.inner if isinstance(store, FaultStore) else store
            assert len(inner._slots) == 0 if isinstance(inner, MemoryStore) else inner.used_bytes == 0
            store.close()
        assert nothing_left(self.counts)


class RecordLayersMachine(Records, LayersMachine):
    def item(self, k):
        return super().item(k % 2**31)


LayersMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
RecordLayersMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=50, deadline=None)

TestLayers = LayersMachine.TestCase
TestRecordLayers = RecordLayersMachine.TestCase
