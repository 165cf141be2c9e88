"""One tape that threads share, and lanes, beside a tape behind std::mutex and one behind a naive spinlock, in one run.

    python benchmarks/threads.py

Figures are nanoseconds per item over all threads: from the start of the first to the end of the last, divided by all
that was pushed; medians of interleaved rounds.  On a machine that others use too, look at the ratios.
Needs a C++ compiler and Cython.
"""

import ctypes
import functools
import os
import sys
import threading
import time
from pathlib import Path

from tape import Tape

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import compiled
from benchmarks.tables import table
from benchmarks.timing import interleaved

THREADS = (1, 2, 4, 8)
ITEMS = 2_000_000
FILL = 19_200  # items that a thread pushes before it empties the tape: they stay in the cache
BLOCK = 64


def at_once(work):
    """Seconds from the start of the first of some functions to the end of the last, each in a thread of its own."""
    barrier = threading.Barrier(len(work))
    starts, ends = [], []

    def run(use):
        barrier.wait()
        starts.append(time.perf_counter())
        use()
        ends.append(time.perf_counter())

    threads = [threading.Thread(target=run, args=(use,)) for use in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(ends) - min(starts)


def candidates(threads, blocks, items=ITEMS):
    """What is compared, each a function that gives nanoseconds per item; `blocks`: 64 items a push."""
    cpp, loops = compiled.reference(), compiled.loops()
    fill = FILL // BLOCK if blocks else FILL
    times = max(1, items // threads // FILL)
    per_item = 1e9 / (FILL * times * threads)

    def native(name):
        tape = ctypes.c_void_p(getattr(cpp, f"{name}_new")())
        push = getattr(cpp, f"{name}_{'extend' if blocks else 'push'}")
        work = functools.partial(push, tape, ctypes.c_long(fill), ctypes.c_long(times))
        return lambda: at_once([work] * threads) * per_item

    def ours(tapes):
        push = loops.extend_clear if blocks else loops.push_clear
        work = [functools.partial(push, tape, fill, times) for tape in tapes]
        return lambda: at_once(work) * per_item

    lanes = Tape("f8")
    return {
        "std::mutex, C++": native("mutex"),
        "naive spinlock, C++": native("naive"),
        "thread-safe tape": ours([Tape("f8", thread_safe=True)] * threads),
        "a lane for each": ours([lanes.lane(k) for k in range(threads)]),
    }


def main(rounds=15):
    print(f"{os.cpu_count()} cores; ns per item over all threads, and the part of std::mutex in the same run")
    for blocks in (False, True):
        rows = {}
        for threads in THREADS:
            figures = interleaved(candidates(threads, blocks), rounds, warmup=2)
            for name, figure in figures.items():
                rows.setdefault(name, []).append(f"{figure:6.2f} ({figure / figures['std::mutex, C++']:.2f})")
        print(f"\n{'blocks of 64' if blocks else 'item by item'}")
        print(table([f"{n} thread{'s' * (n > 1)}" for n in THREADS], rows))


if __name__ == "__main__":
    main()
