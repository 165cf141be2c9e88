"""A gradient whose tape is many times its memory: that it works in that memory, and is as fast as the disk allows.

    python benchmarks/out_of_core.py [--gib 4] [--memory "256 MiB"] [--limit "512 MiB"] [--rounds 3] [--json FILE]

Lorenz-63 with 24 bytes a step on the tape, the whole of it `--gib`.  Every run is a process of its own, compiled before
it is measured; those that spill, and the disk by itself, are held to `--limit` by a memory cgroup (see
benchmarks/confined.py), which has to hold what Python, NumPy and Numba take too.  Each calls twice: the first time it
gets its memory from the operating system, the second time it has it.  Runs take turns; medians of rounds.

"by hand" is the adjoint that an expert writes, in two functions, so that its sweeps can be timed apart.  The bound is
what the same machine needs if computing and carrying overlap perfectly:

    max(forward sweep in RAM, bytes written / the disk's rate) + max(reverse sweep in RAM, bytes read / the disk's rate)

with the sweeps of the second call in RAM, and the disk's rates from the second call of a run that moves as many bytes
through the same kind of store, in slabs of the same size, from and to buffers used again, by two threads that write and
then two that read from the end and free what they read: the tape's own pattern, without any computation.  The bound is
formed round by round, and compared with the runs of its round, because the rates of a disk drift.
"""

import argparse
import json
import mmap
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import confined
from benchmarks.tables import number, table
from benchmarks.timing import seconds
from tape.sizes import format_bytes, parse_bytes
from tape.spilldir import default_directory

STEP_BYTES = 24
THREADS = 2  # of each kind, as the tape has
MIB = 1 << 20

# ------------------------------------------------------------------------------------------------ children


TRAFFIC = ["bytes_written", "bytes_read", "write_stall_seconds", "read_stall_seconds", "read_stalls"]
TRAFFIC += ["write_seconds", "read_seconds", "prefetch_hits", "prefetch_misses"]


def moved_since(before, now):
    """What a tape with a budget moved between two looks at its traffic."""
    return {} if now is None else {name: getattr(now, name) - getattr(before, name, 0) for name in TRAFFIC}


def in_lists(calls):
    """One dict of lists from a list of dicts, one a call."""
    return {name: [call[name] for call in calls] for name in calls[0]}


def by_ad(steps, memory, spill_dir, calls):
    """The whole call of a gradient that `ad` made."""
    import ad
    from benchmarks import lorenz
    from tape.slab import default_pool

    default_pool().retain = None
    gradient = ad.grad(lorenz.lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    gradient = gradient.with_options(memory=memory, spill_dir=spill_dir)
    gradient(*lorenz.point_and_parameters(1000))

    def call():
        before, busy, start = gradient.traffic(), time.process_time(), time.perf_counter()
        found = gradient(*lorenz.point_and_parameters(steps))
        total, busy = time.perf_counter() - start, time.process_time() - busy
        return {
            "total": total,
            "busy": busy,
            "gradient": [float(g).hex() for g in found],
            **moved_since(before, gradient.traffic()),
        }

    return {"at_start": confined.memory_of(), **in_lists([call() for _ in range(calls)])}


def by_hand(steps, memory, spill_dir, calls, prefetch=True):
    """The two sweeps of the adjoint by hand, each by itself."""
    from benchmarks import lorenz
    from tape import SlabPool, Tape

    up, down = lorenz.tape_sweeps
    options = {} if memory is None else {"memory": memory, "spill_dir": spill_dir, "prefetch": prefetch}
    tape = Tape("f8", pool=SlabPool(retain=None), **options)

    def call(steps):
        before, arguments = tape.traffic(), lorenz.point_and_parameters(steps)
        busy, start = time.process_time(), time.perf_counter()
        up(tape.handle, *arguments)
        tape.raise_failed()
        middle = time.perf_counter()
        found = down(tape.handle, *arguments[3:])
        tape.raise_failed()
        end = time.perf_counter()
        return {
            "forward": middle - start,
            "reverse": end - middle,
            "total": end - start,
            "busy": time.process_time() - busy,
            "gradient": [g.hex() for g in found],
            **moved_since(before, tape.traffic()),
        }

    call(1000)
    figures = {"at_start": confined.memory_of(), **in_lists([call(steps) for _ in range(calls)])}
    return figures if memory is None else {"slab": tape.max_reserve * 8, **figures}


def in_threads(use, items, buffers):
    """Call `use(item, buffer)` for all items in order: a thread for each buffer."""
    queue, lock, failures = iter(items), threading.Lock(), []

    def work(buffer):
        try:
            while True:
                with lock:
                    item = next(queue, None)
                if item is None:
                    return
                use(item, buffer)
        except Exception as error:  # raised where the threads were started
            failures.append(error)

    threads = [threading.Thread(target=work, args=(buffer,)) for buffer in buffers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def disk_alone(slab, written, read, spill_dir, calls):
    """The store of a tape, its pattern, and nothing else."""
    from tape.disk import FileStore

    buffers = [memoryview(mmap.mmap(-1, slab)) for _ in range(THREADS)]
    for buffer in buffers:
        np.frombuffer(buffer, np.uint8)[:] = np.random.default_rng(0).integers(0, 256, slab, np.uint8)
    slots = [0] * (written // slab)
    kept = max(len(slots) - read // slab, 0)
    with FileStore(spill_dir) as store:

        def write(k, buffer):
            slots[k] = store.write(buffer)

        def fetch(k, buffer):
            store.read(slots[k], buffer)
            store.free(slots[k])

        def call():
            busy = time.process_time()
            forward = seconds(in_threads, write, range(len(slots)), buffers)
            reverse = seconds(in_threads, fetch, range(len(slots) - 1, kept - 1, -1), buffers)
            for slot in slots[:kept]:
                store.free(slot)
            return {
                "forward": forward,
                "reverse": reverse,
                "total": forward + reverse,
                "busy": time.process_time() - busy,
                "bytes_written": len(slots) * slab,
                "bytes_read": (len(slots) - kept) * slab,
                "write_seconds": forward,
                "read_seconds": reverse,
            }

        at_start = confined.memory_of()
        return {"at_start": at_start, "direct": store.direct, **in_lists([call() for _ in range(calls)])}


CHILDREN = {"ad": by_ad, "by hand": by_hand, "disk": disk_alone}

# -------------------------------------------------------------------------------------------------- parent


def plans(options, steps):
    """Name -> (settings of a child, whether it is confined).  The disk comes last: it moves what the tape moved."""
    spilled = {"steps": steps, "memory": options.memory, "spill_dir": options.spill_dir, "calls": 2}
    in_ram = {**spilled, "memory": None}
    return {
        "ad, in RAM": ({"child": "ad", **in_ram}, False),
        "ad, spilled": ({"child": "ad", **spilled}, True),
        "by hand, in RAM": ({"child": "by hand", **in_ram}, False),
        "by hand, spilled": ({"child": "by hand", **spilled}, True),
        "by hand, no prefetch": ({"child": "by hand", **spilled, "prefetch": False}, True),
        "the disk alone": ({"child": "disk", "spill_dir": options.spill_dir, "calls": 2}, True),
    }


def measure(options, steps):
    """Reports by name, one a round."""
    reports = {name: [] for name in plans(options, steps)}
    for k in range(options.rounds):
        for name, (settings, held) in plans(options, steps).items():
            if settings["child"] == "disk":
                moved = reports["by hand, spilled"][-1].figures
                settings.update(slab=moved["slab"], written=moved["bytes_written"][-1], read=moved["bytes_read"][-1])
            report = confined.run(__file__, settings, limit=options.limit if held else None)
            held_by = f", in {report.confined_by}" if report.confined_by else ""
            if report.error:
                sys.exit(f"{name}{held_by}: {report.error}")
            reports[name].append(report)
            took = f"{report.figures['total'][-1]:.1f} s{held_by}"
            print(f"round {k + 1} of {options.rounds}: {name}: {took}", file=sys.stderr, flush=True)
    return reports


def figure(report, name, call=-1):
    """A figure of one run, of one call where there are several; None for a run that has none of this name."""
    value = report.figures.get(name)
    return value[call] if isinstance(value, list) else value


def middle(reports, name, call=-1):
    """The median over rounds."""
    values = [figure(report, name, call) for report in reports]
    return None if None in values else median(values)


def bound_of(disk, ram, spilled):
    """The least that the sweeps of a run could take, forward and reverse, by the other runs of its round."""
    write_rate = figure(disk, "bytes_written") / figure(disk, "forward")
    read_rate = figure(disk, "bytes_read") / figure(disk, "reverse")
    return (
        max(figure(ram, "forward"), figure(spilled, "bytes_written") / write_rate),
        max(figure(ram, "reverse"), figure(spilled, "bytes_read") / read_rate),
    )


COLUMNS = [
    "total",
    "forward",
    "reverse",
    "waited",
    "CPU",
    "/ bound",
    "ns/step",
    "peak RSS",
    "anon",
    "at start",
    "cgroup",
]
COLUMNS += ["written", "read", "write MB/s", "read MB/s"]


def row(reports, steps, bounds, call):
    def of(name):
        return middle(reports, name, call)

    def rate(moved, time):
        return number(of(moved) / of(time) / 1e6 if of(moved) and of(time) else None, "{:.0f}")

    over = median(figure(report, "total", call) / sum(bound) for report, bound in zip(reports, bounds))
    waited = [of("write_stall_seconds"), of("read_stall_seconds")]
    memory = [median(getattr(report, name) for report in reports) for name in ("peak_rss", "peak_anon")]
    memory.append(median(report.figures["at_start"].get("VmRSS", 0) for report in reports))
    memory.append(median(report.peak_group for report in reports))
    return [
        *(number(of(name)) for name in ("total", "forward", "reverse")),
        number(None if None in waited else sum(waited)),
        number(of("busy")),
        number(None if of("bytes_written") is None else over),
        number(of("total"), "{:.2f}", steps * 1e-9),
        *(number(peak or None, "{:.0f}", MIB) for peak in memory),
        *(number(of(name), "{:.0f}", MIB) for name in ("bytes_written", "bytes_read")),
        rate("bytes_written", "write_seconds"),
        rate("bytes_read", "read_seconds"),
    ]


def compare(reports):
    """The gradients of all runs, to the last bit; lines for the reader, and whether all is well."""
    lines, well, first = [], True, {}
    for kind in ("ad", "by hand"):
        found = [
            tuple(gradient)
            for name, rounds in reports.items()
            if name.startswith(kind)
            for report in rounds
            for gradient in report.figures["gradient"]
        ]
        sound = all(np.isfinite(float.fromhex(g)) and float.fromhex(g) != 0 for g in found[0])
        equal = len(set(found)) == 1
        well &= sound and equal
        lines.append(
            f"{kind}: {len(found)} gradients, in RAM and spilled, "
            + ("equal to the last bit" if equal else "NOT EQUAL")
            + ("" if sound else "; BUT THERE IS NOTHING TO COMPARE, they are not finite numbers other than 0")
        )
        first[kind] = np.array([float.fromhex(g) for g in found[0]])
    apart = np.max(np.abs(first["ad"] / first["by hand"] - 1))
    well &= bool(apart < 1e-6)
    lines.append(f"ad and by hand differ by {apart:.1e} of a derivative at the most (they round in another order)")
    return lines, well


def show(options, steps, reports):
    """Print it all; the bounds of each round, and whether the gradients are as they should be."""
    columns = [reports[name] for name in ("the disk alone", "by hand, in RAM", "by hand, spilled")]
    bounds = [bound_of(*of_a_round) for of_a_round in zip(*columns)]
    rows = {}
    for name, rounds in reports.items():
        rows[f"{name}: first call"] = row(rounds, steps, bounds, 0)
        rows[f"{name}: again"] = row(rounds, steps, bounds, -1)
    least = [median(map(sum, bounds)), *(median(bound[k] for bound in bounds) for k in range(2))]
    rows["bound"] = [*map(number, least), *["-"] * (len(COLUMNS) - 3)]
    held_by = ", ".join({report.confined_by for rounds in reports.values() for report in rounds} - {""})
    print(f"""
Lorenz-63, {steps} steps, a tape of {format_bytes(steps * STEP_BYTES)} on {options.memory} of memory, spilled to
{options.spill_dir}; runs that spill are held by {held_by}, Python and Numba included.
Seconds, those that the sweeps waited for the disk, and those of all threads on processors; memory at its peak, before
the first push, and of the cgroup at its peak, in MiB; bytes moved, in MiB; rates while at least one transfer was under
way.  {os.cpu_count()} processors; the load of the machine was {options.load:.1f} before it all.
""")
    print(table(COLUMNS, rows) + "\n")
    for name, rounds in reports.items():
        if name.startswith("by hand") and not name.endswith("in RAM"):
            for k, sweep in enumerate(("forward", "reverse")):
                ratios = [figure(report, sweep) / bound[k] for report, bound in zip(rounds, bounds)]
                print(f"{name}, {sweep} over its bound, by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    lines, well = compare(reports)
    print("\n".join(lines))
    return bounds, well


def room_for(options, tape_bytes):
    """Leave where the machine cannot hold what is compared."""
    free = shutil.disk_usage(options.spill_dir).free
    if free < 1.2 * tape_bytes:
        sys.exit(f"{options.spill_dir} has {format_bytes(free)} free; name another --spill-dir, or fewer --gib")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return
    if available < 1.1 * tape_bytes + (512 << 20):
        sys.exit(f"the run in RAM does not fit into {format_bytes(available)} that are free; fewer --gib")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=4, help="the size of the whole tape (4)")
    parser.add_argument("--memory", default="256 MiB", help="what the spilled tape may keep in memory (256 MiB)")
    parser.add_argument("--limit", default="512 MiB", help="what a process that spills may take in all (512 MiB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spill-dir", default=None, help="a directory on the disk to be measured")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        settings = json.loads(options.child)
        print(json.dumps(CHILDREN[settings.pop("child")](**settings)))
        return
    options.limit = parse_bytes(options.limit, "--limit")
    options.spill_dir = options.spill_dir or default_directory()
    options.load = os.getloadavg()[0]
    steps = int(options.gib * (1 << 30)) // STEP_BYTES
    room_for(options, steps * STEP_BYTES)
    reports = measure(options, steps)
    bounds, well = show(options, steps, reports)
    if options.json:
        about = {
            "steps": steps,
            "memory": options.memory,
            "limit": options.limit,
            "bounds": bounds,
            "load": options.load,
        }
        options.json.write_text(json.dumps({**about, "runs": confined.as_json(reports)}, indent=2) + "\n")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
