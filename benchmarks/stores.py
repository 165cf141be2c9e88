"""Which store on disk is the default: write and read rates of each over the size of slabs.

    python benchmarks/stores.py [directory] [MiB per measurement] [rounds]

Slabs are aligned to 64 bytes, as those of a pool are; "direct, aligned" has them aligned to a page, and copies nothing.
Reading is in the order of a reverse sweep.  Medians of rounds in which the stores take turns, in MB/s.
"""

import mmap
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from tape.disk import FileStore, MmapStore, default_directory
from tape.sizes import format_bytes

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.timing import seconds

SIZES = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]
STORES = {
    "direct": (lambda where: FileStore(where), 64),
    "direct, aligned": (lambda where: FileStore(where), 0),
    "buffered": (lambda where: FileStore(where, direct=False), 64),
    "mmap": (lambda where: MmapStore(where), 64),
}


def sweep(make, offset, where, size, number):
    """Seconds to write `number` slabs, to read them back, and to do both again in the space of the first."""
    data = memoryview(mmap.mmap(-1, size + 4096))[offset : offset + size]
    np.frombuffer(data, np.uint8)[:] = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    out = memoryview(mmap.mmap(-1, size + 4096))[offset : offset + size]
    slots = []

    def write():
        slots.extend(store.write(data) for _ in range(number))

    def read():
        for slot in reversed(slots):
            store.read(slot, out)
            store.free(slot)
        slots.clear()

    with make(where) as store:
        return [seconds(use) for use in (write, read, write, read)]


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else default_directory()
    total = (int(sys.argv[2]) if len(sys.argv) > 2 else 512) << 20
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    times = defaultdict(list)
    for _ in range(rounds):
        for size in SIZES:
            for name, (make, offset) in STORES.items():
                times[name, size].append(sweep(make, offset, where, size, total // size))
    for k, what in enumerate(["write", "read", "write again", "read again"]):
        print(f"\n{what + ', MB/s':20s}" + "".join(f"{format_bytes(size):>12s}" for size in SIZES))
        for name in STORES:
            rates = [total / 1e6 / statistics.median(sample[k] for sample in times[name, size]) for size in SIZES]
            print(f"{name:20s}" + "".join(f"{rate:12.0f}" for rate in rates))


if __name__ == "__main__":
    main()
