"""Gradients of loops over prange with two threads, beside two independent serial gradients in two threads.

    python benchmarks/parallel.py

Milliseconds, medians of interleaved rounds.  `scaling` is how much faster two threads are than one: of the parallel
gradient, and of two serial ones that run at the same time; what the machine's cores share (the bus, the cache, the
clock) slows both down.  The ratio is the one over the other.  On a machine that others use too, look at the ratios.
"""

import functools
import os
import sys
from pathlib import Path

import numba
import numpy as np

import ad

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.swarms import programs
from benchmarks.tables import table
from benchmarks.threads import at_once
from benchmarks.timing import interleaved, seconds

COLUMNS = ("primal", "2 threads", "gradient", "2 threads", "2 at once", "scaling", "2 at once", "ratio", "difference")


def candidates(function, args):
    """Functions that give seconds, by name."""
    primal, threaded = numba.njit(nogil=True)(function), numba.njit(parallel=True, nogil=True)(function)
    serial, parallel = ad.grad(primal), ad.grad(function)
    return {
        "primal": lambda: seconds(primal, *args),
        "primal in lanes": lambda: seconds(threaded, *args),
        "serial": lambda: seconds(serial, *args),
        "parallel": lambda: seconds(parallel, *args),
        "two": lambda: at_once([functools.partial(serial, *args)] * 2),
    }


def scaling(figures):
    """That of the parallel gradient, and of two serial ones at once."""
    return figures["serial"] / figures["parallel"], 2.0 * figures["serial"] / figures["two"]


def difference(function, args):
    """The most by which the parallel gradient differs from the serial one, relative to the largest derivative."""
    found, expected = ad.grad(function)(*args), ad.grad(numba.njit(function))(*args)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


def main(rounds=21):
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    print(f"{os.cpu_count()} cores, {numba.get_num_threads()} threads; milliseconds")
    rows = {}
    for name, (function, args) in programs().items():
        figures = interleaved(candidates(function, args), rounds, warmup=2)
        ours, two = scaling(figures)
        rows[name] = [f"{1e3 * t:.2f}" for t in figures.values()]
        rows[name] += [f"{ours:.2f}", f"{two:.2f}", f"{ours / two:.2f}", f"{difference(function, args):.0e}"]
    print(f"threading layer {numba.threading_layer()}")
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
