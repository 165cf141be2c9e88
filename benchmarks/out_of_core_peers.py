"""What else a user could do whose gradient records more than the memory has, beside the tape: Lorenz-63 in one run.

    python benchmarks/out_of_core_peers.py [--mib 1024] [--memory "128 MiB"] [--limit "384 MiB"] [--rounds 3]

The adjoint by hand is the same everywhere, 24 bytes a step and `--mib` of them in all; what differs is where it keeps
them: on the tape, in a NumPy array, in a numpy.memmap; and, with all in RAM, what the operating system's own swap makes
of it (a swap file made for this run, as root).  What does not keep all in RAM is held to `--limit` of memory, that of
Python and Numba included, by a memory cgroup (see benchmarks/confined.py).  PyTorch records operation by operation;
its saved tensors go to disk by `torch.autograd.graph.saved_tensors_hooks`, for fewer steps and without a limit.

Every run is a process of its own and calls twice, on fresh memory and files and on those of the first call.  Runs take
turns; medians of rounds, in nanoseconds a step.  What cannot be had on this machine is skipped with a word.
"""

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import confined
from benchmarks.swapfile import swap_file
from benchmarks.tables import number, table
from tape.sizes import format_bytes, parse_bytes
from tape.spilldir import default_directory

STEP_BYTES = 24
MIB = 1 << 20
CALLS = 2

# ------------------------------------------------------------------------------------------------ children


def timed(call, steps):
    """Figures of a few calls that return a gradient."""
    times, gradients = [], []
    for _ in range(CALLS):
        start = time.perf_counter()
        gradient = call()
        times.append((time.perf_counter() - start) / steps * 1e9)
        gradients.append([float(g).hex() for g in gradient])
    return {"ns": times, "gradients": gradients}


def on_tape(steps, memory=None, spill_dir=None):
    from benchmarks import lorenz
    from tape import SlabPool, Tape

    options = {} if memory is None else {"memory": memory, "spill_dir": spill_dir}
    tape = Tape("f8", pool=SlabPool(retain=None), **options)

    def call(steps):
        gradient = lorenz.on_tape(tape.handle, *lorenz.point_and_parameters(steps))
        tape.raise_failed()
        return gradient

    call(1000)
    return timed(lambda: call(steps), steps)


def on_rows(rows, steps):
    from benchmarks import lorenz

    lorenz.on_array(rows, *lorenz.point_and_parameters(1000))
    return timed(lambda: lorenz.on_array(rows, *lorenz.point_and_parameters(steps)), steps)


def on_array(steps):
    return on_rows(np.empty((steps, 3)), steps)


def on_memmap(steps, spill_dir):
    with tempfile.TemporaryFile(dir=spill_dir) as file:
        rows = np.memmap(file, dtype="f8", mode="w+", shape=(steps, 3))
        return on_rows(rows.view(np.ndarray), steps)


def tensors_in_one_file(folder):
    """Hooks that append the bytes of each saved tensor to one file."""
    import torch

    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (lives as long as the hooks)

    def pack(tensor):
        data = tensor.detach().numpy()
        return os.lseek(file.fileno(), 0, os.SEEK_CUR), os.write(file.fileno(), data.tobytes()), data.dtype, data.shape

    def unpack(saved):
        at, size, dtype, shape = saved
        return torch.from_numpy(np.frombuffer(os.pread(file.fileno(), size, at), dtype).reshape(shape).copy())

    return pack, unpack


def tensors_in_files(folder):
    """Hooks that save each tensor to a file of its own, as PyTorch's tutorial does."""
    import torch

    class Saved:
        def __init__(self, tensor, name):
            self.name = name
            torch.save(tensor.detach(), name)

        def __del__(self):
            os.remove(self.name)

    made = iter(range(1 << 62))
    return lambda tensor: Saved(tensor, f"{folder}/{next(made)}.pt"), lambda saved: torch.load(saved.name)


HOOKS = {"one file": tensors_in_one_file, "a file each": tensors_in_files}


def in_torch(steps, hooks, spill_dir):
    import torch

    from benchmarks import lorenz

    torch.set_num_threads(1)
    arguments = (*lorenz.POINT, *lorenz.PARAMETERS)
    gradient = lorenz.in_torch(steps)
    lorenz.in_torch(10)(*arguments)
    with tempfile.TemporaryDirectory(dir=spill_dir) as folder, ExitStack() as stack:
        if hooks:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(*HOOKS[hooks](folder)))
        figures = timed(lambda: gradient(*arguments), steps)
    expected = lorenz.on_array(np.empty((steps, 3)), *arguments, lorenz.DT, steps)
    if not np.allclose([float.fromhex(g) for g in figures["gradients"][-1]], expected, rtol=1e-8):
        raise AssertionError("another gradient than the adjoint by hand has")
    return {"ns": figures["ns"]}


CHILDREN = {"tape": on_tape, "array": on_array, "memmap": on_memmap, "torch": in_torch}

# -------------------------------------------------------------------------------------------------- parent


def plans(options, steps):
    """Name -> (settings of a child, whether it is confined, whether it may swap)."""
    disk = {"spill_dir": options.spill_dir}
    torch = {"child": "torch", "steps": options.torch_steps, **disk}
    return {
        "tape, all in RAM": ({"child": "tape", "steps": steps}, False, False),
        "NumPy array, all in RAM": ({"child": "array", "steps": steps}, False, False),
        "tape, spilled": ({"child": "tape", "steps": steps, "memory": options.memory, **disk}, True, False),
        "numpy.memmap": ({"child": "memmap", "steps": steps, **disk}, True, False),
        "tape, all in RAM and swap": ({"child": "tape", "steps": steps}, True, True),
        "NumPy array, in RAM and swap": ({"child": "array", "steps": steps}, True, True),
        "PyTorch, all in RAM": ({**torch, "hooks": None}, False, False),
        "PyTorch, hooks, one file": ({**torch, "hooks": "one file"}, False, False),
        "PyTorch, hooks, a file each": ({**torch, "hooks": "a file each"}, False, False),
    }


def measure(options, steps):
    """Reports by name, one a round, and why others were skipped."""
    reports, skipped = {}, {}
    if importlib.util.find_spec("torch") is None:
        skipped.update({name: "it is not installed" for name in plans(options, steps) if name.startswith("PyTorch")})
    with ExitStack() as stack:
        try:
            stack.enter_context(swap_file(options.spill_dir, steps * STEP_BYTES * 5 // 4 + 64 * MIB))
        except OSError as error:
            skipped.update({name: f"no swap: {error}" for name, plan in plans(options, steps).items() if plan[2]})
        for k in range(options.rounds):
            for name, (settings, held, swap) in plans(options, steps).items():
                if name in skipped:
                    continue
                try:
                    report = confined.run(__file__, settings, limit=options.limit if held else None, swap=swap)
                except confined.NoCgroupError as error:
                    skipped[name] = f"no memory cgroup: {error}"
                    continue
                reports.setdefault(name, []).append(report)
                took = report.error or f"{report.figures['ns'][-1]:.1f} ns a step"
                print(f"round {k + 1} of {options.rounds}: {name}: {took}", file=sys.stderr, flush=True)
    return reports, skipped


COLUMNS = ["first call", "again", "/ in RAM", "peak RSS", "cgroup", "failed"]


def row(reports, base):
    well = [report for report in reports if not report.error]
    if not well:
        return [f"failed: {reports[-1].error}"]
    first, again = (median(report.figures["ns"][k] for report in well) for k in (0, -1))
    peak, group = (median(getattr(report, name) for report in well) for name in ("peak_rss", "peak_group"))
    return [
        *(number(ns, "{:.1f}" if ns < 1000 else "{:.0f}") for ns in (first, again)),
        number(again / base, "{:.2f}" if again < 100 * base else "{:.0f}"),
        *(number(size or None, "{:.0f}", MIB) for size in (peak, group)),
        f"{len(reports) - len(well)} of {len(reports)}",
    ]


def show(options, steps, reports, skipped):
    """Print it all; whether the gradients are as they should be."""
    in_ram = reports["tape, all in RAM"]
    if any(report.error for report in in_ram):
        sys.exit(f"tape, all in RAM: {in_ram[-1].error}")
    base = median(report.figures["ns"][-1] for report in in_ram)
    rows = {name: row(rounds, base) for name, rounds in reports.items()}
    rows.update({name: [f"skipped: {why}"] for name, why in skipped.items()})
    held_by = ", ".join({report.confined_by for rounds in reports.values() for report in rounds} - {""})
    print(f"""
Lorenz-63, {steps} steps, {format_bytes(steps * STEP_BYTES)} recorded; PyTorch {options.torch_steps} steps.
What is not all in RAM is held by {held_by}; the tape's own budget is {options.memory};
files are in {options.spill_dir}.
Nanoseconds a step; memory at its peak, of the process and of its cgroup, in MiB; rounds that failed.
""")
    print(table(COLUMNS, rows) + "\n")
    found = [g for rounds in reports.values() for r in rounds for g in r.figures.get("gradients", ())]
    equal = len(set(map(tuple, found))) == 1
    print(f"{len(found)} gradients by hand, wherever kept: {'equal to the last bit' if equal else 'NOT EQUAL'}")
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=float, default=1024, help="what is recorded in all (1024)")
    parser.add_argument("--memory", default="128 MiB", help="the budget of the tape that spills (128 MiB)")
    parser.add_argument("--limit", default="384 MiB", help="what a process may take in all (384 MiB)")
    parser.add_argument("--torch-steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spill-dir", default=None, help="a directory on the disk to be measured")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        settings = json.loads(options.child)
        print(json.dumps(CHILDREN[settings.pop("child")](**settings)))
        return
    # Also when it is told to end, the swap file must go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    options.limit = parse_bytes(options.limit, "--limit")
    options.spill_dir = options.spill_dir or default_directory()
    steps = int(options.mib * MIB) // STEP_BYTES
    reports, skipped = measure(options, steps)
    equal = show(options, steps, reports, skipped)
    if options.json:
        about = {"steps": steps, "memory": options.memory, "limit": options.limit, "skipped": skipped}
        options.json.write_text(json.dumps({**about, "runs": confined.as_json(reports)}, indent=2) + "\n")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
