"""asv: a tape above its memory budget, and what a budget costs below it.

Small, so that a quick pass takes seconds; how the times compare with what the disk allows is in out_of_core.py.
"""

from statistics import median

from numba import njit

from tape import SlabPool, Tape

from .bench_stack import pop_all, push_all
from .timing import interleaved, seconds

BUDGET = 8 << 20
ITEMS = 4 * BUDGET // 8


@njit(nogil=True)
def swing(tape, reach, times):
    """Up and down by `reach` items around where the tape is."""
    total = 0.0
    for _ in range(times):
        for i in range(reach):
            tape.push(float(i))
        for _ in range(reach):
            total += tape.pop()
    return total


class Spill:
    """Pushes of four times the budget, and pops of all of it, as Numba compiles them."""

    params = [True, False]
    param_names = ["prefetch"]
    timeout = 300

    def setup(self, prefetch):
        self.tape = Tape("f8", memory=BUDGET, prefetch=prefetch)
        self.sweeps()

    def teardown(self, prefetch):
        self.tape.close()

    def sweeps(self):
        return seconds(push_all, self.tape, ITEMS), seconds(pop_all, self.tape, ITEMS)

    def _median(self, which):
        return median(self.sweeps()[which] for _ in range(9)) / ITEMS * 1e9

    def track_push(self, prefetch):
        return self._median(0)

    def track_pop(self, prefetch):
        return self._median(1)

    track_push.unit = track_pop.unit = "ns/item"

    def _moved(self, figure):
        before = getattr(self.tape.traffic(), figure)
        self.sweeps()
        return (getattr(self.tape.traffic(), figure) - before) / (8 * ITEMS)

    def track_written(self, prefetch):
        return self._moved("bytes_written")

    def track_read(self, prefetch):
        return self._moved("bytes_read")

    track_written.unit = track_read.unit = "bytes a byte of tape"


class Turn:
    """To and fro around the border of a slab, with most of the tape on disk: nothing may be moved for it."""

    timeout = 300
    REACH = 1000
    TIMES = 1000

    def setup(self):
        self.tape = Tape("f8", memory=BUDGET)
        push_all(self.tape, ITEMS)
        above = self.tape.nbytes - self.tape.traffic().bytes  # the border of the top slab
        pop_all(self.tape, above // 8 + self.REACH // 2)
        swing(self.tape, self.REACH, self.TIMES)

    def teardown(self):
        self.tape.close()

    def time_swing(self):
        swing(self.tape, self.REACH, self.TIMES)

    def track_moved(self):
        before = self.tape.traffic()
        swing(self.tape, self.REACH, self.TIMES)
        now = self.tape.traffic()
        return now.bytes_written + now.bytes_read - before.bytes_written - before.bytes_read

    track_moved.unit = "bytes"


class Below:
    """A budget that is never reached, over none: push and pop in compiled loops, in turn in one process."""

    timeout = 300

    def setup(self):
        pool = SlabPool()
        self.plain, self.held = Tape("f8", pool=pool), Tape("f8", memory=16 * BUDGET, pool=pool)

    def teardown(self):
        self.held.close()

    def _ratio(self, before, use, after):
        def timed(tape):
            before(tape)
            took = seconds(use, tape, ITEMS)
            after(tape)
            return took

        medians = interleaved(
            {"plain": lambda: timed(self.plain), "held": lambda: timed(self.held)},
            rounds=31,
        )
        return medians["held"] / medians["plain"]

    def track_push(self):
        return self._ratio(lambda tape: None, push_all, lambda tape: tape.clear())

    def track_pop(self):
        return self._ratio(lambda tape: push_all(tape, ITEMS), pop_all, lambda tape: None)

    track_push.unit = track_pop.unit = "x without a budget"
