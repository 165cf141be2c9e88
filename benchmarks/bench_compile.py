"""asv: the first call of a gradient, from source to machine code, in seconds of processor time.

    python benchmarks/bench_compile.py

prints the same beside what Numba takes to compile the function itself: for Lorenz, for a stencil over whole arrays, and
for loops of more and more statements, where it should grow about as the number of statements does.
"""

import linecache
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

import ad

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import lorenz
from benchmarks.tables import table

STATEMENTS = [25, 50, 100, 200]
LORENZ = (lorenz.lorenz, (*lorenz.POINT, *lorenz.PARAMETERS, lorenz.DT, 100))


def heat(start, steps, nu):
    u = start.copy()
    for _ in range(steps):
        u[1:-1] = u[1:-1] + nu * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return np.sum(u * u)


HEAT = (heat, (np.linspace(0.0, 1.0, 20), 5, 0.1))


def statements(count, of_arrays):
    """A function with a loop of `count` statements, and arguments for it."""
    lines = ["def program(x, y, n):", "    for i in range(n):"]
    for k in range(count):
        left, right = ("x", "y") if k % 2 else ("y", "x")
        if of_arrays:
            lines.append(
                f"        {left}[{k} % 5] = {right}[{k} % 3] * {right}[i] + 0.{k + 1} * np.sin({left}[{k} % 4])"
            )
        else:
            lines.append(f"        {left} = {right} * {left} + 0.{k + 1} * math.sin({left})")
    lines.append("    return " + ("x[0] * y[1]" if of_arrays else "x * y"))
    text = "\n".join(lines) + "\n"
    filename = f"<{count} statements of {'arrays' if of_arrays else 'numbers'}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"math": math, "np": np}
    exec(compile(text, filename, "exec"), scope)
    arguments = (np.linspace(0.1, 0.5, 5), np.linspace(0.2, 0.7, 5), 3) if of_arrays else (0.3, 0.4, 3)
    return scope["program"], arguments


def first_call(function, arguments):
    """Processor seconds of the first call of a gradient that is not in the cache on disk."""
    known = os.environ.get("LAYERED_TAPE_CACHE_DIR")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["LAYERED_TAPE_CACHE_DIR"] = directory
        try:
            return processor_seconds(ad.grad(function), arguments)
        finally:
            del os.environ["LAYERED_TAPE_CACHE_DIR"]
            if known is not None:
                os.environ["LAYERED_TAPE_CACHE_DIR"] = known


def processor_seconds(function, arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def warm_up():
    """Numba's own start, which the first compilation of a process pays."""
    njit(lorenz.lorenz)(*LORENZ[1])
    first_call(*statements(1, False))


class FirstCall:
    """Of a process in which Numba has compiled something before."""

    number = 1
    repeat = 3
    timeout = 300

    def setup(self):
        warm_up()

    def time_lorenz(self):
        first_call(*LORENZ)

    def time_heat(self):
        first_call(*HEAT)

    def track_growth_of_numbers(self):
        return growth(False)

    def track_growth_of_arrays(self):
        return growth(True)

    track_growth_of_numbers.unit = track_growth_of_arrays.unit = "power of the number of statements"


def growth(of_arrays):
    """The power of the number of statements with which the first call grows, from 50 to 200: 1 is linear."""
    short, long = (first_call(*statements(count, of_arrays)) for count in (50, 200))
    return math.log(long / short) / math.log(200 / 50)


COLD = """
import sys, time
start = time.perf_counter()
sys.path.insert(0, sys.argv[1])
import ad
from benchmarks.bench_compile import LORENZ
function, arguments = LORENZ
gradient = ad.grad(function)
imported = time.perf_counter()
gradient(*arguments)
print(imported - start, time.perf_counter() - imported)
"""


def cold_and_warm():
    """A first process, with an empty cache, and a second: seconds of the imports and of the first call."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "LAYERED_TAPE_CACHE_DIR": directory}
        command = [sys.executable, "-c", COLD, str(Path(__file__).parents[1])]
        for _ in range(2):
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            yield tuple(map(float, done.stdout.split()))


def main():
    rows = dict(zip(("first process", "second process"), cold_and_warm(), strict=True))
    print("Lorenz, s of the clock")
    print(table(["imports", "first call"], {name: [f"{t:.2f}" for t in row] for name, row in rows.items()}))

    warm_up()
    programs = {"Lorenz": LORENZ, "heat, whole arrays": HEAT}
    for of_arrays in (False, True):
        kind = "elements of arrays" if of_arrays else "numbers"
        programs |= {f"{count} statements of {kind}": statements(count, of_arrays) for count in STATEMENTS}
    rows = {}
    for name, (function, arguments) in programs.items():
        itself, gradient = processor_seconds(njit(function), arguments), first_call(function, arguments)
        rows[name] = [f"{itself:.2f}", f"{gradient:.2f}", f"{gradient / itself:.1f}"]
    print("\nfirst call in a warm process, s of processor time")
    print(table(["function", "gradient", "ratio"], rows))


if __name__ == "__main__":
    main()
