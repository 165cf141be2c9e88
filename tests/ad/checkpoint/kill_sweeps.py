"""A program that kills sweeps at random moments, and lets others go on from what they left; for test_resume.

It imports `ad` once and forks a process for each sweep.  It prints a line of JSON for each one that was killed.
"""

import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import timeloops

import ad
from ad.checkpoint import periodic

os.fsync = lambda descriptor: None  # what a killed process wrote is there all the same, and disks may be slow

N = 20
VARIANTS = [
    {"n": N, "snapshots": 3, "save_every": 0.0},
    {"n": N, "snapshots": 2, "disk_snapshots": 3, "save_every": 0.005},
    {"n": None, "until": lambda state, i: i == N, "snapshots": 3, "save_every": 0.002},
    {"n": None, "until": lambda s, i: i == N, "snapshots": 1, "schedule": partial(periodic, period=5)},
]


class SlowModel(timeloops.Model):
    def step(self, state, i):
        time.sleep(2e-4)
        return super().step(state, i)


def sweep(variant, directory, result=None, begun=None):
    options = dict(VARIANTS[variant])
    model, gradient = SlowModel(), np.zeros(2)

    def step(state, i):
        if model.forward == 0 and begun is not None:
            os.write(begun, b"!")
        return model.step(state, i)

    found = ad.checkpointed_sweep(
        step,
        model.vjp_step,
        timeloops.start(),
        options.pop("n"),
        adjoint=model.adjoint,
        gradient=gradient,
        resume_dir=directory,
        **options,
    )
    if result is not None:
        np.savez(result, u=found.adjoint["u"], v=found.adjoint["v"][0], p=gradient, final=found.state["u"])
        Path(f"{result}.counts").write_text(f"{found.counts.forward} {found.counts.reverse}")


def forked(*arguments):
    """Run a sweep in another process."""
    process = os.fork()
    if process == 0:
        try:
            sweep(*arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return process


def ended(process):
    """Whether a process ended well."""
    return os.waitpid(process, 0)[1] == 0


def same(a, b):
    return all(a[key].tobytes() == b[key].tobytes() for key in a)


def main(directory, trials, seed):
    rng = random.Random(seed)
    begins, begun = os.pipe()
    for variant in range(len(VARIANTS)):
        reference = directory / f"reference-{variant}.npz"
        process = forked(variant, directory / f"r{variant}", reference, begun)
        os.read(begins, 1)
        start = time.perf_counter()
        assert ended(process)
        duration = time.perf_counter() - start
        wanted = dict(np.load(reference))
        for trial in range(trials):
            where, result = directory / f"{variant}-{trial}", directory / f"result-{variant}-{trial}.npz"
            process = forked(variant, where, None, begun)
            os.read(begins, 1)
            time.sleep(rng.uniform(0.0, 0.9) * duration)
            os.kill(process, signal.SIGKILL)
            killed = not ended(process)
            went_on = ended(forked(variant, where, result))
            forward, reverse = map(int, Path(f"{result}.counts").read_text().split()) if went_on else (0, 0)
            found = {"variant": variant, "killed": killed, "went on": went_on, "forward": forward, "reverse": reverse}
            print(json.dumps({**found, "same": went_on and same(wanted, dict(np.load(result)))}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
