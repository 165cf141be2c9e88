"""Tapes with memory budgets under random operations, faults, threads and budgets, for as long as you like.

Every tape is compared with a list that holds the same.  When all tapes of a round are closed, nothing may be left of
them, neither memory nor slots nor threads nor descriptors; and the process may not grow.
The seed of a failure is printed; which thread comes first stays chance.
"""

import argparse
import faulthandler
import gc
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter

import numba
import numpy as np
import psutil

from tape import Budget, Reader, SlabPool, SpillError, Tape, TapeMemoryError
from tape.disk import FileStore, MmapStore
from tape.testing import FaultStore, MemoryStore

STALLED = 60  # seconds without an operation: the stacks of all threads, and the end
GROWTH = 48 << 20  # bytes of resident memory that an allocator may keep back
SLAB = 4096


@numba.njit(nogil=True)
def push_all(tape, items):
    for x in items:
        tape.push(x)


@numba.njit
def push_all_with_gil(tape, items):
    for x in items:
        tape.push(x)


@numba.njit(nogil=True)
def pop_all(tape, out):
    for i in range(len(out)):
        out[len(out) - 1 - i] = tape.pop()


def compile_all():
    """In one thread: what Numba loads at the first compilation, other threads do not wait for."""
    with Tape() as tape:
        push_all(tape, np.zeros(2))
        push_all_with_gil(tape, np.zeros(2))
        pop_all(tape, np.zeros(4))


class Watch:
    """What all threads report to."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = Counter()
        self.failures = []
        self.alive()

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def alive(self):
        faulthandler.dump_traceback_later(STALLED, exit=True)


def require(holds, text):
    if not holds:
        raise AssertionError(text)


def new_store(chance, where):
    """A store that a tape is given, from fine to hopeless."""
    inner = chance.choice([MemoryStore, lambda: FileStore(where), lambda: MmapStore(where)])()
    seed = chance.randrange(10**9)
    faults = chance.choice(
        [
            {},
            {"delay": 0.002},
            {"fail_rate": chance.choice([0.02, 0.2, 0.5])},
            {"fail_rate": 0.1, "delay": 0.001},
            {"full_after": chance.randrange(10, 200) * SLAB},
            {"flip_read": range(chance.randrange(1, 20), 10**9, chance.randrange(1, 20))},
        ]
    )
    return FaultStore(inner, seed=seed, **faults) if faults else inner


class Life:
    """One tape from its beginning to its end, and the list beside it."""

    def __init__(self, watch, chance, budget, pool, where):
        self.watch, self.chance = watch, chance
        self.numbers = np.random.default_rng(chance.randrange(10**9))
        self.store = new_store(chance, where)
        self.more = []
        self.tape = Tape(
            "f8",
            memory=budget,
            slab_bytes=SLAB * chance.choice([1, 1, 2]),
            pool=pool,
            spill_dir=self.store,
            prefetch=chance.random() < 0.8,
        )
        self.model = []

    def run(self, rounds):
        up = True
        for _ in range(rounds):
            # Sweeps: for a while it goes up more than down, then down more than up.
            up ^= self.chance.random() < 0.05
            name = self.chance.choice(STEPS)
            if name in ("popn", "compiled_pops") if up else name in ("extend", "compiled"):
                name = self.chance.choice(STEPS)
            step = getattr(self, name)
            try:
                step()
            except SpillError:  # and nothing changed but what `step` knows of
                self.watch.count("spill errors")
            except TapeMemoryError:
                self.watch.count("memory errors")
            require(len(self.tape) == len(self.model), f"{step.__name__}: {len(self.tape)} items for {len(self.model)}")
            self.watch.count("operations")

    def some(self):
        return self.chance.choice([1, 10, 300, 3000, 9000])

    def extend(self):
        new = self.numbers.random(self.chance.randrange(self.some()))
        self.tape.extend(new)
        self.model += new.tolist()

    def compiled(self):
        new = self.numbers.random(self.chance.randrange(self.some()))
        push = self.chance.choice([push_all, push_all_with_gil])
        before = len(self.model)
        try:
            push(self.tape, new)
        finally:  # a loop that fails has got as far as it has got
            self.model += new[: len(self.tape) - before].tolist()

    def compiled_pops(self):
        out = np.empty(min(self.chance.randrange(self.some()), len(self.model)))
        left, before = len(self.model) - len(out), len(self.model)
        try:
            pop_all(self.tape, out)
        finally:
            taken = before - len(self.tape)
            same = taken == 0 or out[len(out) - taken :].tolist() == self.model[before - taken :]
            del self.model[before - taken :]
            require(same, f"pop in a loop from {before} down to {left}: other items than were pushed")

    def popn(self):
        n = min(self.chance.randrange(self.some()), len(self.model))
        left = len(self.model) - n
        found = self.tape.popn(n).tolist()
        require(found == self.model[left:], f"popn({n}) at {left}: other items than were pushed")
        del self.model[left:]

    def look(self):
        if self.model:
            i = self.chance.randrange(len(self.model))
            require(self.tape[i] == self.model[i], f"[{i}]: another item than was pushed")
            require(self.tape[i : i + 900].tolist() == self.model[i : i + 900], f"[{i}:]: other items than were pushed")

    def iterate(self):
        low = self.chance.randrange(len(self.model) + 1)
        items = (
            self.tape[i] for i in self.chance.choice([range(low, len(self.model), 64), range(low, 0, -64)]) if i < low
        )
        for _ in items:
            pass

    def rewind(self):
        mark = self.tape.mark()
        for _ in range(self.chance.randrange(4)):
            new = self.numbers.random(self.chance.randrange(2000))
            self.tape.extend(new)
            self.model += new.tolist()
            self.tape.rewind(mark)  # reads the slab that the mark is in, and may fail
            del self.model[mark.position :]

    def read(self):
        with Reader(self.tape) as reader:
            left = len(self.model)
            while left and self.chance.random() < 0.9:
                n = min(left, self.chance.randrange(1, 2000))
                found = reader.popn(n).tolist()
                require(found == self.model[left - n : left], f"reader at {left}: other items than were pushed")
                left -= n

    def reserve(self):
        n = self.chance.randrange(self.tape.max_reserve + 1)
        before = len(self.model)
        new = self.numbers.random(n)
        view = self.tape.reserve(n)
        view[:] = new
        self.model += new.tolist()
        try:
            self.tape.extend(new)
            self.model += new.tolist()
        except (SpillError, TapeMemoryError):
            self.watch.count("errors beside a view")
        require(view.tolist() == self.model[before : before + n], "a view shows other items than were written")

    def place(self):
        if len(self.more) < 3:
            self.more.append(MemoryStore())
            self.tape.add_spill_dir(self.more[-1])

    def spare(self):
        self.tape.release()

    def clear(self):
        if self.chance.random() < 0.2:
            self.tape.clear()
            self.model.clear()

    def end(self):
        """All comes off that the store gives back, or the tape is closed or dropped in the middle of everything."""
        if self.chance.random() < 0.7:
            if isinstance(self.store, FaultStore):
                self.store.armed = False
            while self.model:
                before = len(self.model)
                try:
                    self.popn()
                except TapeMemoryError:
                    self.watch.count("memory errors")
                    time.sleep(0.001)
                except SpillError:  # a store that keeps on lying
                    require(isinstance(self.store, FaultStore), "a good store failed")
                    require(len(self.tape) == before, "a pop that failed took something")
                    break
        traffic = self.tape.traffic()
        self.watch.count("bytes written", traffic.bytes_written)
        self.watch.count("bytes read", traffic.bytes_read)
        if self.chance.random() < 0.7:
            self.tape.close()
        self.tape = None
        gc.collect(0)
        for store in (self.store, *self.more):
            inner = store.inner if isinstance(store, FaultStore) else store
            used = sum(map(len, inner._slots.values())) if isinstance(inner, MemoryStore) else inner.used_bytes
            require(used == 0, f"{used} bytes are left in {inner!r}")
            store.close()


STEPS = [
    *("extend",) * 4,
    *("popn",) * 4,
    *("compiled", "compiled_pops", "look", "iterate", "rewind", "read", "reserve", "place", "spare", "clear"),
]


def one_thread(watch, seed, budget, pool, where):
    try:
        chance = random.Random(seed)
        for _ in range(3):
            life = Life(watch, chance, budget, pool, where)
            life.run(chance.randrange(10, 120))
            life.end()
            watch.count("tapes")
            watch.alive()
    except BaseException as error:
        watch.failures.append((seed, error))
        raise


def one_round(watch, seed, where):
    """Some threads with tapes on one budget, or each on its own."""
    chance = random.Random(seed)
    count = chance.randrange(1, 6)
    budgets = [Budget(chance.randrange(5, 20) * 2 * SLAB * count)] * count
    if chance.random() < 0.3:
        budgets = [Budget(chance.randrange(5, 20) * 2 * SLAB) for _ in range(count)]
    pool = SlabPool(retain=chance.choice([0, 1 << 20]))
    workers = [
        threading.Thread(target=one_thread, args=(watch, f"{seed} {i}", budgets[i], pool, where)) for i in range(count)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(0.002)
        if chance.random() < 0.2:  # somebody looks on
            for budget in budgets:
                require(budget.used_bytes <= budget.memory, f"{budget!r} is overdrawn")
                repr(budget)
    for worker in workers:
        worker.join()
    if watch.failures:
        return
    gc.collect()
    require(all(budget.used_bytes == 0 for budget in budgets), f"memory is left in {budgets}")
    require(all(budget.high_bytes <= budget.memory for budget in budgets), f"{budgets} were overdrawn")
    require(pool.stats().used_bytes == 0, f"slabs are left in {pool}")


class Process:
    """The threads, descriptors and memory of this process."""

    def __init__(self):
        self.process = psutil.Process()

    def figures(self):
        return self.process.num_threads(), self.process.num_fds(), self.process.memory_info().rss

    def settled(self, threads, descriptors):
        """Whether there are no more than before; a thread that ended is counted a while longer."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            now = self.figures()
            if now[0] <= threads and now[1] <= descriptors:
                return True
            time.sleep(0.01)
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    compile_all()
    watch, process = Watch(), Process()
    start = told = time.monotonic()
    rounds, base = 0, None
    with tempfile.TemporaryDirectory() as where:
        while time.monotonic() - start < 60 * options.minutes:
            one_round(watch, f"{options.seed} {rounds}", where)
            watch.alive()
            rounds += 1
            if watch.failures:
                break
            if rounds == 20:  # compiled, imported, and the allocator has what it keeps
                base = process.figures()
            if base:
                require(
                    process.settled(*base[:2]), f"threads and descriptors: {base[:2]}, and now {process.figures()[:2]}"
                )
                grown = process.figures()[2] - base[2]
                require(grown < GROWTH, f"resident memory grew by {grown >> 20} MiB in {rounds} rounds")
            if time.monotonic() - told >= 10:
                told += 10
                threads, descriptors, resident = process.figures()
                print(
                    f"{told - start:6.0f} s  {rounds} rounds  {watch.counts['operations']} operations  "
                    f"{watch.counts['bytes written'] >> 20} MiB written  {watch.counts['spill errors']} spill errors  "
                    f"{threads} threads  {descriptors} descriptors  {resident >> 20} MiB resident",
                    flush=True,
                )
        require(os.listdir(where) == [], f"files are left in {where}")
    faulthandler.cancel_dump_traceback_later()
    for seed, error in watch.failures:
        print(f"FAILED with seed {seed!r}: {error!r}")
    counts = ", ".join(f"{count} {what}" for what, count in sorted(watch.counts.items()))
    print(f"{'FAILED' if watch.failures else 'passed'}: {rounds} rounds in {time.monotonic() - start:.0f} s, {counts}")
    return 1 if watch.failures else 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
