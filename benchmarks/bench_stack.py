"""asv: the tape alone.  The lengths bracket the inline buffer (64 items of 8 bytes), the first slabs (576, 2624) and
the caches (L1 4096, L2 131 072 items), up to memory (1e7).
"""

import subprocess
import sys

import numpy as np
from numba import njit

from tape import SlabPool, Tape

from . import compiled, threads

BRACKETS = [64, 65, 576, 577, 4096, 32_768, 131_072, 10_000_000]


@njit(nogil=True)
def push_all(tape, n):
    for i in range(n):
        tape.push(float(i))


@njit(nogil=True)
def pop_all(tape, n):
    total = 0.0
    for _ in range(n):
        total += tape.pop()
    return total


class Numba:
    """One compiled loop of pushes and one of pops, on a recycled tape."""

    params = BRACKETS
    param_names = ["n"]

    def setup(self, n):
        self.tape = Tape("f8")
        push_all(self.tape, n)
        pop_all(self.tape, n)

    def time_push_pop(self, n):
        push_all(self.tape, n)
        pop_all(self.tape, n)


class Cython:
    """The same loops in Cython, and whole lives of a tape; nanoseconds per item, and against std::vector."""

    params = BRACKETS
    param_names = ["n"]
    timeout = 300

    def setup(self, n):
        self.loops = compiled.loops()
        self.tape = Tape("f8")
        self.loops.push_pop(self.tape, n)

    def _median(self, which, n):
        return float(np.median([self.loops.push_pop(self.tape, n)[which] for _ in range(7)]))

    def track_push(self, n):
        return self._median(0, n)

    def track_pop(self, n):
        return self._median(1, n)

    def track_life(self, n):
        lives = max(3, 1_000_000 // n)
        return float(np.median([self.loops.life(n, lives, True) for _ in range(5)])) / n

    track_push.unit = track_pop.unit = track_life.unit = "ns/item"


class Fresh:
    """Pushes into memory that comes from the operating system just then."""

    def setup(self):
        push_all(Tape("f8"), 10)

    def time_push_1e7(self):
        push_all(Tape("f8", pool=SlabPool(retain=0)), 10_000_000)


class Python:
    """Operations from Python, a thousand a time."""

    params = ["f8", "f4", "i8", "?"]
    param_names = ["dtype"]

    def setup(self, dtype):
        self.tape = Tape(dtype)
        self.item = np.ones(1, dtype)[0].item()

    def time_push_pop(self, dtype):
        push, pop, item = self.tape.push, self.tape.pop, self.item
        for _ in range(1000):
            push(item)
        for _ in range(1000):
            pop()


class Blocks:
    """extend and popn, across every threshold."""

    params = BRACKETS
    param_names = ["n"]

    def setup(self, n):
        self.tape = Tape("f8")
        self.data = np.ones(n)
        self.out = np.empty(n)
        self.tape.extend(self.data)
        self.tape.clear()

    def time_extend_popn(self, n):
        self.tape.extend(self.data)
        self.tape.popn(n, out=self.out)

    def time_copy_twice(self, n):
        """What the two would cost as plain copies."""
        np.copyto(self.out, self.data)
        np.copyto(self.data, self.out)


class Access:
    """Random access on a long tape."""

    def setup(self):
        self.tape = Tape("f8", slab_bytes=4096)
        self.tape.extend(np.ones(5_000_000))
        self.indices = np.random.default_rng(0).integers(0, 5_000_000, 1000).tolist()

    def time_getitem_1000(self):
        tape = self.tape
        for i in self.indices:
            tape[i]


class FirstUse:
    """What a user waits for at first."""

    timeout = 120

    def _run(self, code):
        subprocess.run([sys.executable, "-c", code], check=True)

    def time_import_tape(self):
        self._run("import tape; tape.Tape().push(1.0)")

    def time_compile_push(self):
        self._run("import numba, tape\nnumba.njit(lambda t: t.push(1.0))(tape.Tape())")

    def time_python_alone(self):
        """An interpreter that imports NumPy, to be taken off the others."""
        self._run("import numpy")


class Threads:
    """What threads share, and lanes: nanoseconds per item over all threads."""

    params = ([1, 2, 4], [False, True], ["std::mutex, C++", "thread-safe tape", "a lane for each"])
    param_names = ["threads", "blocks", "tape"]
    timeout = 300

    def setup(self, number, blocks, name):
        self.use = threads.candidates(number, blocks)[name]
        self.use()

    def track_push(self, number, blocks, name):
        return float(np.median([self.use() for _ in range(7)]))

    track_push.unit = "ns/item"
