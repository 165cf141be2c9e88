"""The measurements behind the sizes in tape/stack.pxd: the inline buffer, the first slab, the largest slab.

    python benchmarks/slab_size.py

One loop of N pushes and N pops on a recycled tape, with the largest slab bounded; nanoseconds per item.
"""

import sys
from pathlib import Path

import numpy as np

from tape import SlabPool, Tape

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import compiled

SLABS = ["64", "1 KiB", "4 KiB", "16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "16 MiB"]
LENGTHS = [64, 512, 4096, 32_768, 1_000_000, 10_000_000]


def main():
    loops = compiled.loops()
    tapes = {slab: Tape("f8", slab_bytes=slab, pool=SlabPool()) for slab in SLABS}
    print("recycled: ns per push + pop\n" + " " * 10 + "".join(f"{n:>12d}" for n in LENGTHS))
    table = {slab: [] for slab in SLABS}
    for n in LENGTHS:
        samples = {slab: [] for slab in SLABS}
        for _ in range(max(5, min(2000, 20_000_000 // n // len(SLABS)))):
            for slab, tape in tapes.items():
                samples[slab].append(sum(loops.push_pop(tape, n)[:2]))
        for slab in SLABS:
            table[slab].append(np.median(samples[slab]))
    for slab, row in table.items():
        print(f"{slab:10s}" + "".join(f"{t:12.2f}" for t in row))

    print("\nfrom the operating system: ns per push + pop")
    for slab in SLABS[2:]:
        row = []
        for n in LENGTHS:
            lives = max(3, 1_000_000 // n)
            fresh = []
            for _ in range(lives):
                tape = Tape("f8", slab_bytes=slab, pool=SlabPool(retain=0))
                fresh.append(sum(loops.push_pop(tape, n)[:2]))
            row.append(np.median(fresh))
        print(f"{slab:10s}" + "".join(f"{t:12.2f}" for t in row))


if __name__ == "__main__":
    main()
