"""What the size of slabs and the kind of store of a tape with a memory budget rest on.

    python benchmarks/spill_sizes.py [--mib 1024] [--memory "256 MiB"] [--rounds 3] [--spill-dir DIR] [--json FILE]

The adjoint of Lorenz-63 by hand, 24 bytes a step, on a tape that spills: the tape's bytes over the time of each sweep,
in MB/s, for every size of slabs and every store.  Configurations take turns; medians of rounds, the first of which only
warms up.  Each size has a pool of its own, so that no memory comes fresh from the operating system after that.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import lorenz
from benchmarks.tables import table
from tape import SlabPool, Tape
from tape.disk import FileStore, MmapStore, default_directory
from tape.errors import TapeValueError
from tape.sizes import format_bytes

STEP_BYTES = 24
SIZES = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]
STORES = {
    "FileStore, direct": lambda where: FileStore(where),
    "FileStore, buffered": lambda where: FileStore(where, direct=False),
    "MmapStore": lambda where: MmapStore(where),
}


def sweeps(steps, memory, size, store, pool):
    """Seconds of the forward and the reverse sweep; the gradient."""
    arguments = lorenz.point_and_parameters(steps)
    up, down = lorenz.tape_sweeps
    with Tape("f8", memory=memory, slab_bytes=size, spill_dir=store, pool=pool) as tape:
        start = time.perf_counter()
        up(tape.handle, *arguments)
        tape.raise_failed()
        middle = time.perf_counter()
        gradient = down(tape.handle, *arguments[3:])
        tape.raise_failed()
        return middle - start, time.perf_counter() - middle, gradient


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=float, default=1024, help="the size of the whole tape (1024)")
    parser.add_argument("--memory", default="256 MiB", help="what it may keep in memory (256 MiB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spill-dir", default=None, help="a directory on the disk to be measured")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    options = parser.parse_args()
    where = options.spill_dir or default_directory()
    steps = int(options.mib * (1 << 20)) // STEP_BYTES

    pools = {size: SlabPool(retain=None) for size in SIZES}
    times = {(name, size): [] for name in STORES for size in SIZES}
    gradients, direct = set(), None
    for k in range(1 + options.rounds):
        for name, size in list(times):
            with STORES[name](where) as store:
                try:
                    *both, gradient = sweeps(steps, options.memory, size, store, pools[size])
                except TapeValueError as error:
                    print(f"left out: slabs of {format_bytes(size)}: {error}", file=sys.stderr)
                    del times[name, size]
                    continue
                if name == "FileStore, direct":
                    direct = store.direct
            gradients.add(gradient)
            if k:
                times[name, size].append(both)
            print(f"round {k}: {name}, {format_bytes(size)}: {sum(both):.2f} s", file=sys.stderr, flush=True)

    print(f"\nA tape of {options.mib:g} MiB on {options.memory} of memory, spilled to {where}")
    if not direct:
        print("(which has no direct I/O: FileStore is buffered in both rows)")
    columns = [format_bytes(size) for size in SIZES]
    for k, sweep in enumerate(("forward", "reverse")):
        rows = {}
        for name in STORES:
            found = [[sample[k] for sample in times.get((name, size), ())] for size in SIZES]
            rows[name] = [f"{steps * STEP_BYTES / 1e6 / median(seconds):.0f}" if seconds else "-" for seconds in found]
        print(f"\n{sweep} sweep, MB/s over the size of slabs\n{table(columns, rows)}")
    print(f"\n{'gradients equal to the last bit' if len(gradients) == 1 else 'GRADIENTS DIFFER'}")
    if options.json:
        runs = [{"store": name, "slab_bytes": size, "seconds": found} for (name, size), found in times.items()]
        options.json.write_text(json.dumps({"steps": steps, "memory": options.memory, "runs": runs}, indent=2) + "\n")
    sys.exit(len(gradients) != 1)


if __name__ == "__main__":
    main()
