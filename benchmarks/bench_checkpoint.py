"""asv: checkpointed sweeps: the steps that are computed again, and what the driver costs beside the calls.

    python benchmarks/bench_checkpoint.py

prints, for loops whose functions do nothing, the driver's microseconds per call of one of them; and, for a field of a
million numbers that is read and written once in each step, the time of a sweep over that of its calls alone.
Wanted: a few microseconds, and no more than the snapshots take, which are copied once in and once out.

Then, for a marked loop (`ad.checkpointed`) over steps of a wave equation, the gradient's time over that of the gradient
that records all steps, and over that of the function, in the same process.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from numba import njit

import ad
from ad.checkpoint import fewest_steps, periodic

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.tables import table
from benchmarks.timing import calls, interleaved

N = 2000
FIELD = 10**6


def step(u, i):
    return u


def vjp_step(u, adjoint, i):
    return adjoint


def step_of_field(u, i):
    u *= 0.999
    return u


def vjp_of_field(u, adjoint, i):
    adjoint *= 0.999
    return adjoint


NEST = {"u": np.zeros(4), "v": (np.zeros(4), np.zeros((2, 2))), "t": 0.0}
OPTIONS = {
    "all stored": {},
    "30 snapshots": {"snapshots": 30},
    "5 snapshots": {"snapshots": 5},
    "unknown length": {"snapshots": 30, "n": None, "until": lambda u, i: i == N},
    "30 on disk": {"snapshots": 0, "disk_snapshots": 30},
    "periodic": {"snapshots": 10, "schedule": partial(periodic, period=100)},
}


def sweep(state, step=step, vjp_step=vjp_step, n=N, **options):
    return ad.checkpointed_sweep(step, vjp_step, state, n, adjoint=0.0, **options)


def alone(state, forward, step=step, vjp_step=vjp_step, n=N):
    """The same calls without the driver."""
    for i in range(forward):
        state = step(state, i)
    adjoint = 0.0
    for i in range(n):
        adjoint = vjp_step(state, adjoint, i)


def overhead(state, options, rounds=7):
    """The steps forward, and the driver's seconds for a call of `step` or `vjp_step`."""
    forward = sweep(state, **options).counts.forward
    clock = time.process_time
    candidates = {
        "sweep": calls(partial(sweep, state, **options), number=1, clock=clock),
        "alone": calls(alone, state, forward, number=1, clock=clock),
    }
    medians = interleaved(candidates, rounds)
    return forward, (medians["sweep"] - medians["alone"]) / (forward + N)


def of_a_field(snapshots, n=200, rounds=5):
    """Steps forward, snapshots stored, and the seconds of a sweep over those of its calls alone."""
    field, adjoint = np.ones(FIELD), np.ones(FIELD)
    run = partial(ad.checkpointed_sweep, step_of_field, vjp_of_field, field, n, adjoint=adjoint, snapshots=snapshots)
    counts = run().counts
    candidates = {
        "sweep": calls(run, number=1, clock=time.process_time),
        "alone": calls(
            lambda: (
                [step_of_field(field, i) for i in range(counts.forward)]
                and [vjp_of_field(None, adjoint, i) for i in range(n)]
            ),
            number=1,
            clock=time.process_time,
        ),
    }
    medians = interleaved(candidates, rounds)
    return counts, medians["sweep"] / medians["alone"]


@njit
def wave(start, c2, n):
    before, now, following = start.copy(), start.copy(), start.copy()
    for _ in range(n):
        for i in range(1, start.shape[0] - 1):
            for j in range(1, start.shape[1] - 1):
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1] - 4.0 * now[i, j]
                following[i, j] = 2.0 * now[i, j] - before[i, j] + c2[i, j] * around
        before, now, following = now, following, before
    return np.sum(now * now)


@njit
def marked_wave(start, c2, n, snapshots):
    before, now, following = start.copy(), start.copy(), start.copy()
    for _ in ad.checkpointed(range(n), snapshots=snapshots):
        for i in range(1, start.shape[0] - 1):
            for j in range(1, start.shape[1] - 1):
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1] - 4.0 * now[i, j]
                following[i, j] = 2.0 * now[i, j] - before[i, j] + c2[i, j] * around
        before, now, following = now, following, before
    return np.sum(now * now)


def of_marked_loops(side=256, n=200, snapshots=(5, 20, 200), rounds=5):
    """Seconds of the function, of the gradient that records all, and by the number of snapshots."""
    rng = np.random.default_rng(1)
    start, c2 = rng.normal(size=(side, side)), rng.uniform(0.1, 0.2, (side, side))
    recorded, marked = ad.grad(wave, ("start", "c2")), ad.grad(marked_wave, ("start", "c2"))
    clock = time.process_time
    candidates = {
        "function": calls(wave, start, c2, n, number=1, clock=clock),
        "recorded": calls(recorded, start, c2, n, number=1, clock=clock),
    }
    candidates |= {s: calls(marked, start, c2, n, s, number=1, clock=clock) for s in snapshots}
    return interleaved(candidates, rounds)


class Marked:
    params = [5, 20, 200]
    param_names = ("snapshots",)

    def track_ratio(self, snapshots):
        medians = of_marked_loops(snapshots=(snapshots,))
        return medians[snapshots] / medians["recorded"]

    track_ratio.unit = "times the gradient that records all"


class Driver:
    params = list(OPTIONS)
    param_names = ("options",)

    def track_microseconds_per_call(self, options):
        return overhead(NEST["u"], OPTIONS[options])[1] * 1e6

    track_microseconds_per_call.unit = "us"


class Recomputed:
    params = [1, 3, 10, 30, 100]
    param_names = ("snapshots",)

    def track_steps_over_n(self, snapshots):
        return sweep(NEST["u"], snapshots=snapshots, n=500).counts.forward / 500

    track_steps_over_n.unit = "steps forward a step"


class Field:
    params = [20, 200]
    param_names = ("snapshots",)

    def track_ratio(self, snapshots):
        return of_a_field(snapshots)[1]

    track_ratio.unit = "times the calls alone"


def main():
    rows = {}
    for name, options in OPTIONS.items():
        forward, array = overhead(NEST["u"], options)
        _, nest = overhead(NEST, options)
        snapshots = options.get("snapshots", N) + options.get("disk_snapshots", 0)
        rows[name] = [str(forward), str(fewest_steps(N, snapshots) + 1), f"{array * 1e6:.1f}", f"{nest * 1e6:.1f}"]
    print(f"{N} steps")
    print(table(["steps forward", "fewest", "us a call, array", "us a call, nest of 4"], rows))
    rows = {}
    for snapshots in (5, 20, 200):
        counts, ratio = of_a_field(snapshots)
        copies = sum(counts.stored.values()) + sum(counts.restored.values())
        rows[f"{snapshots} snapshots"] = [str(counts.forward), str(copies), f"{ratio:.2f}"]
    print(f"\n200 steps in place on {FIELD} numbers")
    print(table(["steps forward", "copies", "time over that of the calls"], rows))
    medians = of_marked_loops()
    rows = {"all recorded": ["200", "1.00", f"{medians['recorded'] / medians['function']:.1f}"]}
    for snapshots in (5, 20, 200):
        t = medians[snapshots]
        steps, ratio = fewest_steps(200, snapshots) + 201, t / medians["recorded"]
        rows[f"{snapshots} snapshots"] = [str(steps), f"{ratio:.2f}", f"{t / medians['function']:.1f}"]
    print("\nMarked loop: 200 steps of a wave equation, 256 x 256")
    print(table(["steps forward", "time over all recorded", "over the function"], rows))


if __name__ == "__main__":
    main()
