"""Does compression of spilled slabs pay?  Ratio and rates of each way, over data of three kinds.

    python benchmarks/compress.py [directory] [MiB per measurement] [rounds]

A tape with a budget of 16 MiB is filled and emptied by a compiled loop that holds no GIL; rates are of the whole sweep,
waits included, in MB of items a second.  Medians of rounds in which the ways take turns.  The last column says how most
slabs went in the end.
"""

import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numba import njit

from tape import Tape
from tape.compress import CompressedStore
from tape.disk import FileStore, default_directory

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.timing import seconds

WAYS = [None, "lz4", "zstd", "auto"]
MEMORY = "16 MiB"


@njit
def lorenz(n):
    """The states of Lorenz-63, as a reverse sweep needs them."""
    states = np.empty((n, 3))
    x, y, z = 1.0, 1.0, 1.0
    for i in range(n):
        states[i, 0], states[i, 1], states[i, 2] = x, y, z
        dx, dy, dz = 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8 / 3 * z
        x, y, z = x + 1e-4 * dx, y + 1e-4 * dy, z + 1e-4 * dz
    return states.ravel()


@njit(nogil=True)
def fill(t, items):
    for i in range(items.size):
        t.push(items[i])


@njit(nogil=True)
def empty(t, n):
    total = 0.0
    for _ in range(n):
        total += t.pop()
    return total


def sweep(where, way, items):
    """Seconds to push and to pop all, ratio, and what most slabs were packed with."""
    store = FileStore(where)
    if way is not None:
        store = CompressedStore(store, codec=way)
    with store, Tape(memory=MEMORY, spill_dir=store) as tape:
        times = [seconds(fill, tape, items), seconds(empty, tape, items.size)]
        return (*times, getattr(store, "ratio", 1.0), getattr(store, "codec", "raw"))


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else default_directory()
    number = (int(sys.argv[2]) if len(sys.argv) > 2 else 256) * (1 << 17) // 3 * 3
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    data = {
        "Lorenz states": lorenz(number // 3),
        "integers": np.arange(number, dtype=np.float64),
        "random bits": np.random.default_rng(0).integers(0, 1 << 64, number, np.uint64).view(np.float64),
    }
    sweep(where, "auto", data["integers"][:1000])  # compiles
    print(f"{'':16s}{'compress':>10s}{'ratio':>8s}{'push, MB/s':>12s}{'pop, MB/s':>12s}   way")
    for name, items in data.items():
        found = defaultdict(list)
        for _ in range(rounds):
            for way in WAYS:
                found[way].append(sweep(where, way, items))
        for way in WAYS:
            push, pop, ratio = (statistics.median(sample[k] for sample in found[way]) for k in range(3))
            rates = "".join(f"{items.nbytes / 1e6 / time:12.0f}" for time in (push, pop))
            print(f"{name:16s}{way!s:>10s}{ratio:8.2f}{rates}   {found[way][-1][3]}")


if __name__ == "__main__":
    main()
