"""asv: the second call of a gradient: what the call itself costs, and how many fresh pages it touches.

    python benchmarks/bench_second_call.py

prints, for each program, page faults and processor time of a call whose result was dropped, with the pool and with
Numba's own allocation; and the call of a gradient of three operations beside Numba's call of the function itself.
Wanted: no page but those of the results, and at most 1 us more than Numba's call.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

import ad
import ad.pooled
from tape import default_pool

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import lorenz
from benchmarks.tables import table
from benchmarks.timing import calls, interleaved


def three_operations(x, y):
    return x * y + x


def burgers(u, c, d, steps):
    n = len(u)
    u = u.copy()
    v = np.empty_like(u)
    for _ in range(steps):
        v[0] = u[0] - c * u[0] * (u[0] - u[n - 1]) + d * (u[1] - 2.0 * u[0] + u[n - 1])
        for i in range(1, n - 1):
            v[i] = u[i] - c * u[i] * (u[i] - u[i - 1]) + d * (u[i + 1] - 2.0 * u[i] + u[i - 1])
        v[n - 1] = u[n - 1] - c * u[n - 1] * (u[n - 1] - u[n - 2]) + d * (u[0] - 2.0 * u[n - 1] + u[n - 2])
        u, v = v, u
    total = 0.0
    for i in range(n):
        total += u[i] * u[i]
    return total


def burgers_arrays(u, c, d, steps):
    for _ in range(steps):
        left = np.roll(u, 1)
        u = u - c * u * (u - left) + d * (np.roll(u, -1) - 2.0 * u + left)
    return np.sum(u * u)


def wave(u, steps, c):
    """The wave equation on a square, leapfrog, in place by slices."""
    before = u.copy()
    for _ in range(steps):
        after = 2.0 * u - before
        after[1:-1, 1:-1] += c * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1])
        before = u
        u = after
    return np.sum(u * u)


def smooth(n):
    return 1.0 + 0.5 * np.sin(2.0 * np.pi * np.arange(n) / n)


PROGRAMS = {
    "Lorenz, 20 000 steps": (lorenz.lorenz, (*lorenz.POINT, *lorenz.PARAMETERS, lorenz.DT, lorenz.STEPS)),
    "Burgers by element, 4 096 x 1 000": (burgers, (smooth(4096), 0.2, 0.1, 1000)),
    "Burgers by element, 1 000 000 x 20": (burgers, (smooth(1_000_000), 0.2, 0.1, 20)),
    "Burgers in arrays, 1 000 000 x 20": (burgers_arrays, (smooth(1_000_000), 0.2, 0.1, 20)),
    "wave in slices, 128 x 128 x 200": (wave, (np.outer(smooth(128), smooth(128)), 200, 0.2)),
    "wave in slices, 1 000 x 1 000 x 20": (wave, (np.outer(smooth(1000), smooth(1000)), 20, 0.2)),
}


def second_calls(function, arguments, rounds=7):
    """Page faults, slabs from the operating system and processor seconds of a later call: the least, and the median."""
    gradient = ad.grad(function)
    gradient(*arguments)
    faults, slabs, seconds = [], [], []
    for _ in range(rounds):
        before, taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, default_pool().stats().allocations
        start = time.process_time()
        gradient(*arguments)
        seconds.append(time.process_time() - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        slabs.append(default_pool().stats().allocations - taken)
    return min(faults), min(slabs), statistics.median(seconds)


def overhead(rounds=51):
    """Seconds of the call of the function of three operations, compiled by Numba, and of its gradient."""
    primal, gradient = njit(three_operations), ad.grad(three_operations)
    candidates = {
        "primal": calls(primal, 1.0, 2.0, number=5000),
        "gradient": calls(gradient, 1.0, 2.0, number=5000),
    }
    primal(1.0, 2.0)
    gradient(1.0, 2.0)
    return interleaved(candidates, rounds=rounds)


class SecondCall:
    params = list(PROGRAMS)
    param_names = ("program",)
    timeout = 300

    def setup(self, program):
        self.figures = second_calls(*PROGRAMS[program])

    def track_page_faults(self, program):
        return self.figures[0]

    def track_slabs(self, program):
        return self.figures[1]

    track_page_faults.unit = "pages"
    track_slabs.unit = "slabs"


class Overhead:
    def track_gradient_minus_primal(self):
        medians = overhead()
        return (medians["gradient"] - medians["primal"]) * 1e9

    track_gradient_minus_primal.unit = "ns"


def in_a_process(pooled):
    """The figures of all programs, from code that is compiled with the pool or without."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {"LAYERED_TAPE_CACHE_DIR": directory, "PATH": ""}
        command = [sys.executable, __file__, "pool" if pooled else "malloc"]
        return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    if len(sys.argv) > 1:
        if sys.argv[1] == "malloc":
            ad.pooled.LEAST = sys.maxsize
        print(json.dumps({name: second_calls(*program) for name, program in PROGRAMS.items()}))
        return
    rows = {}
    found = {pooled: in_a_process(pooled) for pooled in (False, True)}
    for name in PROGRAMS:
        (faults, _, seconds), (faults_pooled, slabs, seconds_pooled) = found[False][name], found[True][name]
        rows[name] = [
            str(faults),
            str(faults_pooled),
            str(slabs),
            f"{seconds * 1e3:.2f}",
            f"{seconds_pooled * 1e3:.2f}",
            f"{seconds / seconds_pooled:.2f}",
        ]
    print(table(["faults, malloc", "faults, pool", "new slabs", "ms, malloc", "ms, pool", "gain"], rows))
    medians = overhead()
    primal, gradient = medians["primal"] * 1e9, medians["gradient"] * 1e9
    print(f"\nthree operations: Numba {primal:.0f} ns, gradient {gradient:.0f} ns, {gradient - primal:.0f} ns more")


if __name__ == "__main__":
    main()
