"""What reading ahead is worth: a spilled gradient with it and without, interleaved, in one run.

    python benchmarks/prefetch.py [--steps N]

The model is that of ``python -m ad demo``, whose reverse sweep computes about as long as the disk reads.  In RAM,
spilled with reading ahead, and spilled without (each slab is read when it is asked for); medians, and their ratio.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from ad.demo import YEARS, Calibration, first_guess, read_record

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.timing import interleaved


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000_000, help="Runge-Kutta steps (20000000)")
    parser.add_argument("--memory", default="64 MiB")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    record = read_record()
    problem = Calibration(record, options.steps // YEARS)
    logs = np.log(first_guess(record))
    spilled = problem.gradient.with_options(memory=options.memory)
    without = spilled.with_options(prefetch=False)
    arguments = problem.arguments(np.exp(logs))
    found = {}

    def timed(name, gradient):
        def use():
            start = time.perf_counter()
            found.setdefault(name, []).append(gradient(*arguments))
            return time.perf_counter() - start

        return use

    medians = interleaved(
        {
            "in RAM": timed("in RAM", problem.gradient),
            "spilled": timed("spilled", spilled),
            "spilled, no reading ahead": timed("spilled, no reading ahead", without),
        },
        rounds=options.rounds,
    )
    for name, t in medians.items():
        print(f"{name:28s} {t:7.3f} s")
    print(f"without reading ahead / with: {medians['spilled, no reading ahead'] / medians['spilled']:.2f}")
    print(spilled.traffic())
    assert len({repr(g) for gradients in found.values() for g in gradients}) == 1, "the gradients differ"


if __name__ == "__main__":
    main()
