"""A gradient whose records would not fit in the memory of the machine: a 2-D wave, 8000 steps, more than 40 GB of tape.

    python benchmarks/planner_long.py [--steps 8000] [--size 820] [--memory "512 MiB"] [--without-spilling]

The function itself; the gradient with `ad.checkpointed` and a memory limit, of which the planner makes the most; and
the same limit without the mark, which spills all to disk: each in a process of its own, seconds and the most memory
that it has used, beside what it had before the call.  Wanted: no more than the limit and the arrays of the model.

It writes up to the whole tape to the directory for temporary files.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numba import njit

import ad

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.tables import table
from tape.sizes import format_bytes, parse_bytes


@njit
def wave(c, n):
    u = np.zeros(c.shape)
    v = np.zeros(c.shape)
    total = 0.0
    for t in range(n):
        for i in range(1, c.shape[0] - 1):
            for j in range(1, c.shape[1] - 1):
                around = u[i + 1, j] + u[i - 1, j] + u[i, j + 1] + u[i, j - 1] - 4.0 * u[i, j]
                v[i, j] = 2.0 * u[i, j] - v[i, j] + c[i, j] * around
        v[c.shape[0] // 2, c.shape[1] // 2] += np.sin(0.01 * t)
        u, v = v, u
        total += u[3, 3] ** 2
    return total


@njit
def wave_marked(c, n):
    u = np.zeros(c.shape)
    v = np.zeros(c.shape)
    total = 0.0
    for t in ad.checkpointed(range(n)):
        for i in range(1, c.shape[0] - 1):
            for j in range(1, c.shape[1] - 1):
                around = u[i + 1, j] + u[i - 1, j] + u[i, j + 1] + u[i, j - 1] - 4.0 * u[i, j]
                v[i, j] = 2.0 * u[i, j] - v[i, j] + c[i, j] * around
        v[c.shape[0] // 2, c.shape[1] // 2] += np.sin(0.01 * t)
        u, v = v, u
        total += u[3, 3] ** 2
    return total


def peak_memory():
    """The most that the process has used since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def measured(what, size, steps, memory):
    """In this process: seconds, the memory before and the most during the call, and what was written."""
    c = np.random.default_rng(1).uniform(0.1, 0.2, (size, size))
    g = {"planner": ad.grad(wave_marked, "c"), "spilled": ad.grad(wave, "c")}.get(what)
    options = {} if g is None else {"memory": memory}
    run = wave if g is None else g
    run(c[:50, :50].copy(), 2, **options)
    forget_peak()
    before = peak_memory()
    start = time.perf_counter()
    found = run(c, steps, **options)
    took = time.perf_counter() - start
    result = {"seconds": took, "before": before, "peak": peak_memory(), "result": float(np.sum(found))}
    if g is not None:
        result["written"] = g.traffic().bytes_written
    if what == "planner":
        (plan,) = g.report().planned
        result |= {
            "choice": plan.choice,
            "predicted": plan.predicted_seconds,
            "loop": plan.seconds,
            "tried": plan.trial_seconds,
            "records": plan.trips * plan.costs.record_bytes,
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--size", type=int, default=820)
    parser.add_argument("--memory", default="512 MiB")
    parser.add_argument("--without-spilling", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.size, options.steps, parse_bytes(options.memory))))
        return
    rows, first = {}, None
    for what in ["function", "planner"] + ["spilled"] * (not options.without_spilling):
        command = [sys.executable, __file__, *sys.argv[1:], "--only", what]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        first = first or found["seconds"]
        grown = format_bytes(found["peak"] - found["before"])
        rows[what] = [f"{found['seconds']:.1f}", f"{found['seconds'] / first:.1f}", format_bytes(found["peak"]), grown]
        rows[what].append(format_bytes(found.get("written", 0)))
        if what == "planner":
            plan = found
        elif what == "spilled":
            assert found["result"] == plan["result"], "the gradients differ"
    arrays = format_bytes(8 * options.size**2)
    print(f"{options.steps} steps of a wave on {options.size} x {options.size} ({arrays} an array), {options.memory}")
    print(f"recorded it would be {plan['records'] / 1e9:.1f} GB")
    print(table(["s", "x function", "peak", "grown by", "written"], rows))
    print(f"chosen: {plan['choice']}; tried for {plan['tried']:.2f} s")
    print(f"the loop: predicted {plan['predicted']:.1f} s, was {plan['loop']:.1f} s")


if __name__ == "__main__":
    main()
