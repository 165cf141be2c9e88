"""What a gradient costs over the function itself, for every program of the correctness matrix.

    python benchmarks/matrix.py [--only TEXT] [--worst N] [--json FILE]

It takes an hour or more, nearly all of it compiling: with --json a run that was stopped goes on where it was.

The programs are small: 3 to 20 elements, some microseconds.  So the fixed costs of a call, the arrays of the adjoints
and the copies on entry are a good part of most ratios; where a case has arguments that record much, those are taken.
Each figure is the least of single calls, primal and gradient in turn, on fresh copies of the arguments.  Programs that
Numba does not compile, or that `ad` refuses, are left out.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from cases import load, pending  # noqa: E402
from reference import fresh  # noqa: E402

import ad  # noqa: E402

ROUNDS = 60


def least(uses, args):
    """The least time of a call of each of several functions, in seconds."""
    found = [float("inf")] * len(uses)
    for _ in range(ROUNDS):
        for k, use in enumerate(uses):
            given = fresh(args)
            start = time.perf_counter()
            use(*given)
            found[k] = min(found[k], time.perf_counter() - start)
    return found


def measure(case):
    """Seconds of the function and of its gradient; None where one of them is not to be had."""
    args = case.spill if case.spill is not None else case.args
    primal = case.function if isinstance(case.function, Dispatcher) else njit(case.function)
    gradient = ad.grad(case.function)
    try:
        primal(*fresh(args))
        gradient(*fresh(args))
    except (NumbaError, ad.ADError):
        return None
    return least((primal, gradient), args)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="programs whose names contain this")
    parser.add_argument("--worst", type=int, default=15, help="how many of the largest ratios to print (15)")
    parser.add_argument("--json", type=Path, help="keep the figures in this file, and take those that are there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    chosen, seen = [], set()
    for case in load():
        taken = options.only in case.id and not {case.id, case.program} & pending()
        if taken and not case.without_numba and case.program not in seen:
            seen.add(case.program)
            chosen.append(case)
    figures = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for case in chosen:
        if case.program not in figures:
            figures[case.program] = measure(case)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=2) + "\n")
    figures = {name: found for name, found in figures.items() if found is not None}
    table = sorted(((b / a, a, b, name) for name, (a, b) in figures.items()), reverse=True)
    print(f"{'':60s} {'primal us':>10s} {'gradient us':>12s} {'ratio':>7s}")
    for ratio, a, b, name in table[: options.worst]:
        print(f"{name:60s} {a * 1e6:10.2f} {b * 1e6:12.2f} {ratio:7.1f}")
    ratios = [row[0] for row in table]
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"\n{len(ratios)} programs of {len(chosen)}: median {median:.2f}, quarters {low:.2f} and {high:.2f}")


if __name__ == "__main__":
    main()
