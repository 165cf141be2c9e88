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

from numba import njit

import ad
import ad.pooled
from tape import default_pool

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import lorenz
from benchmarks.bench_gradient import ARGUMENTS, WRT, three_operations
from benchmarks.models.burgers import MODEL as BURGERS
from benchmarks.models.shallow_water import MODEL as SHALLOW_WATER
from benchmarks.tables import table
from benchmarks.timing import calls, interleaved


def model(model, form, *size):
    return getattr(model, form), model.wrt, model.arguments(*size)


PROGRAMS = {
    "Lorenz, 20 000 steps": (lorenz.lorenz, WRT, ARGUMENTS),
    "Burgers by element, 4 096 x 1 000": model(BURGERS, "by_element", 4096, 1000),
    "Burgers by element, 1 000 000 x 20": model(BURGERS, "by_element", 1_000_000, 20),
    "Burgers in arrays, 1 000 000 x 20": model(BURGERS, "whole_array", 1_000_000, 20),
    "shallow water by element, 128 x 128 x 200": model(SHALLOW_WATER, "by_element", 128, 200),
    "shallow water in arrays, 128 x 128 x 200": model(SHALLOW_WATER, "whole_array", 128, 200),
    "shallow water in arrays, 1 000 x 1 000 x 5": model(SHALLOW_WATER, "whole_array", 1000, 5),
}


def second_calls(function, wrt, arguments, rounds=7):
    """Page faults, slabs from the operating system and processor seconds of a later call: the least, and the median."""
    gradient = ad.grad(function, wrt=wrt)
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


def overhead():
    """Seconds of the call of the function of three operations, compiled by Numba, and of its gradient."""
    functions = {"primal": njit(three_operations), "gradient": ad.grad(three_operations)}
    # Rounds far shorter than a slice of the scheduler: most of them are not interrupted.
    candidates = {name: calls(use, 1.0, 2.0, number=200) for name, use in functions.items()}
    return interleaved(candidates, rounds=501, warmup=5)


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
