"""The gradients of the models in benchmarks/models by everyone, in one run.

    python benchmarks/gradients.py [--only MODEL ...] [--no-peers] [--threads] [--rounds N] [--json FILE]

Each model is differentiated by `ad` as loops over elements and as whole arrays, by hand in Numba, and by JAX, PyTorch
and autograd.  Every gradient is compared with that by hand before anything is measured; one that differs is reported
and left out, and the exit status is 1.  Peers that are not installed, or fail, are skipped.  The primal is the loops
over elements, compiled by Numba.

Times are medians of interleaved rounds (of three, where a call takes long).  Each library has one thread, so that it is
processor time that is measured, which other work on the machine disturbs less; with `--threads` each has as many as it
likes, and it is the time on the wall.
"""

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

import ad

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.models import MODELS
from benchmarks.tables import number, table
from benchmarks.timing import calls, interleaved

SLOW = 0.25  # seconds a call, from which fewer rounds must do
SHORT = 2e-3  # seconds that one measurement lasts at least
BY_ELEMENT, WHOLE_ARRAY = "ad, by element", "ad, whole arrays"


def as_tuple(gradients):
    return tuple(gradients) if isinstance(gradients, tuple | list) else (gradients,)


def agree(found, expected, rtol=1e-8):
    """To so many digits of each element, or of the largest one where they cancel."""
    pairs = list(zip(as_tuple(found), as_tuple(expected), strict=True))
    return all(np.allclose(a, b, rtol=rtol, atol=1e-2 * rtol * np.max(np.abs(b))) for a, b in pairs)


def recorded(gradient, arguments):
    """The most bytes that were on the tape, rounded up to whole slabs; on a thread, so on a tape, of its own."""
    found = []

    def call():
        gradient(*arguments)
        stats = gradient.stats()
        found.append(stats.high_bytes if stats is not None else 0)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found[0]


class Candidates:
    """What is measured of a model and size: functions, each with how many calls of it make the whole."""

    def __init__(self, model, size):
        self.model, self.size = model, size
        self.arguments = model.arguments(*size)
        name, make = next(iter(model.by_hand.items()))
        self.base = f"by hand, {name}"
        self.by_hand = make(*self.arguments)
        self.expected = {size: as_tuple(self.by_hand(*self.arguments))}
        self.uses = {"primal": (model.by_element, self.arguments, 1.0)}
        if model.whole_array is not None:
            few = model.slow.get("numpy", size)
            scale = model.trips(*size) / model.trips(*few)
            self.uses["primal, NumPy"] = model.whole_array, model.arguments(*few), scale
        self.disagree = False

    def reference(self, size):
        """The gradient by hand of another size."""
        if size not in self.expected:
            arguments = self.model.arguments(*size)
            self.expected[size] = as_tuple(next(iter(self.model.by_hand.values()))(*arguments)(*arguments))
        return self.expected[size]

    def add(self, name, make, size=None):
        size = size or self.size
        arguments = self.arguments if size == self.size else self.model.arguments(*size)
        try:
            use = make(*arguments)
            found = use(*arguments)
        except Exception as error:  # one may fail in any way; the others still run
            print(f"  skipped: {name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}", flush=True)
            return None
        if not agree(found, self.reference(size)):
            print(f"  DISAGREES: {name}", flush=True)
            self.disagree = True
            return None
        self.uses[name] = use, arguments, self.model.trips(*self.size) / self.model.trips(*size)
        return use

    def measure(self, rounds, clock):
        """Seconds a call by name."""
        quick, slow = {}, {}
        for name, (use, arguments, _) in self.uses.items():
            use(*arguments)  # the primal has not run yet
            once = calls(use, *arguments, number=1, clock=clock)()
            group = quick if once < SLOW else slow
            group[name] = calls(use, *arguments, number=max(1, round(SHORT / once)), clock=clock)
        medians = interleaved(quick, rounds) | interleaved(slow, min(rounds, 3), warmup=0)
        return {name: medians[name] * scale for name, (_, _, scale) in self.uses.items()}


def run(model, size, rounds, peers, clock):
    """Seconds by name, bytes a trip by name, the name of the best adjoint by hand, and whether all agree."""
    candidates = Candidates(model, size)
    candidates.uses[candidates.base] = candidates.by_hand, candidates.arguments, 1.0
    for name, make in list(model.by_hand.items())[1:]:
        candidates.add(f"by hand, {name}", make)
    bytes_a_trip = {}
    for name, function in ((BY_ELEMENT, model.by_element), (WHOLE_ARRAY, model.whole_array)):
        if function is not None:
            gradient = ad.grad(function, wrt=tuple(model.wrt))
            if candidates.add(name, lambda *_, g=gradient: g) is not None:
                bytes_a_trip[name] = recorded(gradient, candidates.arguments) / model.trips(*size)
    bytes_a_trip["least"] = model.least(*size)
    for name, make in model.peers.items() if peers else ():
        candidates.add(name, make, model.slow.get(name))
    return candidates.measure(rounds, clock), bytes_a_trip, candidates.base, not candidates.disagree


def show(model, seconds_by_name, bytes_a_trip, base):
    primal, hand = seconds_by_name["primal"], seconds_by_name[base]
    rows = {
        name: [
            number(t, "{:.3f}", 1e-3),
            number(t / primal),
            number(t / hand),
            number(bytes_a_trip.get(name), "{:.1f}"),
        ]
        for name, t in seconds_by_name.items()
    }
    print(table(["ms", "/ primal", "/ by hand", "bytes"], rows))
    least = bytes_a_trip["least"]
    print(f"bytes: of the slabs that were filled, a {model.trip}; by hand {least:.1f} would do\n", flush=True)


def on_one_thread():
    """Start again with the settings that libraries read when they are loaded."""
    settings = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"], "1")
    settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--no-peers", action="store_true", help="only ad and what is written by hand")
    parser.add_argument("--threads", action="store_true", help="let libraries use threads")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of what is quick (default: 15)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    if not options.threads:
        on_one_thread()
    clock = time.perf_counter if options.threads else time.process_time

    figures, good = {}, True
    for name in options.only or MODELS:
        model = MODELS[name]
        for label, size in model.sizes.items():
            print(f"{name}: {label}", flush=True)
            times, bytes_a_trip, base, agreed = run(model, size, options.rounds, not options.no_peers, clock)
            show(model, times, bytes_a_trip, base)
            figures.setdefault(name, {})[label] = {"seconds": times, "bytes": bytes_a_trip, "by hand": base}
            good &= agreed
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
