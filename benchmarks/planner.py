"""The planner of marked loops beside what one could choose by hand: is it among the best, and its prediction right?

    python benchmarks/planner.py [--rounds 5] [PROBLEM ...]

For each problem, a loop and a memory limit far below what the loop records, the gradient takes turns with all choices
under the same limit: recording everything, which spills (`store_all`); binomial snapshots (few, as many as find place
in memory, the default number, and one for each trip, which go to disk); blocks of trips by hand, as many trips as
blocks, with all their snapshots; and the planner, with its trials at every call.  Printed are medians, over the fastest
choice by hand, and for the planner what it chose, and what it predicted of the loop and measured.

Wanted: the planner within 15 % of the best choice by hand, its prediction within 30 %.
"""

import argparse
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from math import isqrt
from pathlib import Path
from textwrap import dedent, indent

import numpy as np

import ad
from ad.checkpoint.compiled import default_snapshots

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.tables import table
from benchmarks.timing import interleaved, seconds
from tape.sizes import format_bytes, parse_bytes


@dataclass(frozen=True)
class Problem:
    """``for t in range(n)``, with what is before, in and after it; `state` are the bytes of a snapshot."""

    name: str
    params: str
    start: str
    body: str
    result: str
    wrt: tuple[str, ...]
    args: tuple
    trips: int
    state: int
    memory: str

    def text(self, name, mark, blocks):
        loops = f"for t in {mark}:" if not blocks else f"for first in {mark}:\n    for t in range(first, first + k):"
        deep = "        " if blocks else "    "
        lines = [dedent(self.start).strip(), loops, indent(dedent(self.body).strip(), deep), f"return {self.result}"]
        return f"def {name}({self.params}, n, k, s):\n" + indent("\n".join(lines), "    ") + "\n"


def random(*shape, low=0.5, high=1.5):
    return np.random.default_rng(7).uniform(low, high, shape)


PROBLEMS = [
    Problem(
        "Lorenz: 3 numbers, cheap steps",
        "x, y, z, rho",
        "",
        """
        dx = 10.0 * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - 8.0 / 3.0 * z
        x += 1e-4 * dx
        y += 1e-4 * dy
        z += 1e-4 * dz
        """,
        "x + y + z",
        ("rho",),
        (1.0, 1.0, 1.0, 28.0),
        4_000_000,
        32,
        "8 MiB",
    ),
    Problem(
        "heat: 200 numbers, many steps",
        "u, c",
        "u = u.copy()",
        """
        left = u[0]
        for i in range(1, len(u) - 1):
            old = u[i]
            u[i] = old + c * old * (left - 2.0 * old + u[i + 1])
            left = old
        """,
        "np.sum(u * u)",
        ("u", "c"),
        (random(200), 0.1),
        90_000,
        1650,
        "8 MiB",
    ),
    Problem(
        "wave: 2 x 1 MB, stencil",
        "c",
        "u = np.zeros(c.shape)\nv = np.zeros(c.shape)\ntotal = 0.0",
        """
        for i in range(1, c.shape[0] - 1):
            for j in range(1, c.shape[1] - 1):
                v[i, j] = 2.0 * u[i, j] - v[i, j] + c[i, j] * (
                    u[i + 1, j] + u[i - 1, j] + u[i, j + 1] + u[i, j - 1] - 4.0 * u[i, j]
                )
        v[c.shape[0] // 2, c.shape[1] // 2] += np.sin(0.1 * t)
        u, v = v, u
        total += u[3, 3] ** 2
        """,
        "total",
        ("c",),
        (random(360, 360, low=0.1, high=0.2),),
        1024,
        2_073_700,
        "64 MiB",
    ),
    Problem(
        "reaction: 2000 numbers, dear steps",
        "u, a",
        "u = u.copy()",
        """
        for i in range(len(u)):
            u[i] = u[i] + 0.01 * np.tanh(a[i] * np.sin(u[i])) * np.exp(-u[i] * u[i])
        """,
        "np.sum(u)",
        ("u", "a"),
        (random(2000), random(2000)),
        3_200,
        16_100,
        "16 MiB",
    ),
    Problem(
        "substeps: records 40 x the state",
        "u, c",
        "u = u.copy()",
        """
        for k2 in range(40):
            for i in range(1, len(u)):
                u[i] = u[i] - c * u[i] * (u[i] - u[i - 1])
        """,
        "np.sum(u * u)",
        ("u", "c"),
        (random(10_000), 0.02),
        144,
        80_100,
        "24 MiB",
    ),
    Problem(
        "large state: 32 MB, few steps",
        "u, c",
        "u = u.copy()",
        """
        for i in range(1, len(u)):
            u[i] = u[i] - c * u[i] * (u[i] - u[i - 1])
        """,
        "np.sum(u * u)",
        ("u", "c"),
        (random(4_000_000), 0.02),
        36,
        32_000_100,
        "256 MiB",
    ),
    Problem(
        "whole arrays: 3 fields, many temporaries",
        "h, g",
        "u = np.zeros_like(h)\nv = np.zeros_like(h)",
        """
        u = u - 0.1 * g * (np.roll(h, -1, 1) - h) * h
        v = v - 0.1 * g * (np.roll(h, -1, 0) - h) * h
        h = h - 0.1 * (h * (u - np.roll(u, 1, 1)) + h * (v - np.roll(v, 1, 0)))
        """,
        "np.sum(h * h)",
        ("h", "g"),
        (random(200, 200, low=0.99, high=1.01), 0.05),
        784,
        960_200,
        "48 MiB",
    ),
]


def by_hand(problem):
    """The choices: name -> mark, trips of a block (0 for none), snapshots, trips."""
    n, block = problem.trips, isqrt(problem.trips)
    fitting = max(int(0.85 * parse_bytes(problem.memory)) // problem.state - 2, 1)
    marked = "ad.checkpointed(range(n), snapshots=s)"
    return {
        "record all, spilled": ('ad.checkpointed(range(n), schedule="store_all")', 0, 1),
        "4 snapshots": (marked, 0, 4),
        f"{min(fitting, n)} snapshots, in memory": (marked, 0, min(fitting, n)),
        "snapshots by default": (marked, 0, default_snapshots(n)),
        "a snapshot of every trip": (marked, 0, n),
        f"blocks of {block} trips": ("ad.checkpointed(range(0, n, k), snapshots=s)", block, n // block),
    }


def functions(problem, directory):
    """One for each choice; `None` is that of the planner."""
    choices = {**by_hand(problem), None: ("ad.checkpointed(range(n))", 0, 1)}
    path = Path(directory) / f"planner_{problem.name.partition(':')[0].replace(' ', '_')}.py"
    marks = list(dict.fromkeys((mark, block) for mark, block, _ in choices.values()))
    texts = [problem.text(f"f{i}", mark, block) for i, (mark, block) in enumerate(marks)]
    path.write_text("\n\n".join(["import numpy as np\n\nimport ad\n", *texts]))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return {name: (getattr(module, f"f{marks.index(c[:2])}"), *c[1:]) for name, c in choices.items()}


MOST = 4.0
"""Seconds that a choice may take to be one of those that take turns; others are measured once."""


def compare(problem, rounds, directory):
    """Seconds of each choice, and what the planner reports of the call that took the median."""
    candidates, plans, calls = {}, [], iter(range(10**6))
    memory = parse_bytes(problem.memory)
    for name, (f, block, snapshots) in functions(problem, directory).items():
        g = ad.grad(f, problem.wrt)
        g(*problem.args, 2 * (block or 2), block or 1, snapshots, memory=memory)  # compiled
        args = (*problem.args, problem.trips, block or 1, snapshots)
        if name is None:

            def planned(g=g, args=args):
                took = seconds(partial(g, *args, memory=memory + 8 * next(calls)))  # another limit, another trial
                plans.append((took, g.report().planned[0]))
                return took

            candidates["planner"] = planned
        else:
            candidates[name] = partial(seconds, partial(g, *args, memory=memory))
    slow = {}
    for name in [n for n in candidates if n != "planner"]:
        took = candidates[name]()
        if took > MOST:
            slow[name] = took
            del candidates[name]
    medians = {**interleaved(candidates, rounds), **slow}
    _, plan = sorted(plans[1:], key=lambda p: p[0])[len(plans[1:]) // 2]
    return medians, plan


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", help="parts of the names of problems; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for problem in PROBLEMS:
            if options.problems and not any(part in problem.name for part in options.problems):
                continue
            medians, plan = compare(problem, options.rounds, directory)
            best = min(took for name, took in medians.items() if name != "planner")
            rows = {name: [f"{took:.3f}", f"{took / best:.2f}"] for name, took in medians.items()}
            print(f"\n{problem.name}; {problem.trips} trips, memory {problem.memory}")
            print(table(["s", "x best by hand"], rows))
            costs = plan.costs
            print(f"  a trip records {format_bytes(round(costs.record_bytes))}; it takes {1e6 * costs.advance:.3g} us")
            print(f"  chosen: {plan.choice}")
            print(
                f"  predicted {plan.predicted_seconds:.3f} s and {format_bytes(plan.predicted_bytes)}, "
                f"was {plan.seconds:.3f} s and {format_bytes(plan.bytes)}; tried for {plan.trial_seconds:.3f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
