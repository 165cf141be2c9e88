"""The gradient of Lorenz-63 by everyone, in one run.

    python benchmarks/peers.py [--json FILE]

Peers that are not installed are skipped (jax, torch, autograd, xad, tangent-ad), and so is std::vector without a C++
compiler; every result is compared with ad's.  Slow peers run fewer steps; all figures are nanoseconds per step, medians
of interleaved rounds, and the ratio to the Numba primal of the same run.  The tape by itself is in benchmarks/stack.py.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import float64, njit
from numba.typed import List

import ad
from tape import Tape

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import compiled, lorenz
from benchmarks.timing import calls, interleaved

ARGUMENTS = (*lorenz.POINT, *lorenz.PARAMETERS)
# name, maker of a gradient function for a number of steps, that number
PEERS = [
    ("jax, scan + jit", lorenz.in_jax, lorenz.STEPS),
    ("xad", lorenz.in_xad, 2000),
    ("tangent-ad", lorenz.in_tangent, 1000),
    ("torch, eager", lorenz.in_torch, 400),
    ("autograd", lorenz.in_autograd, 100),
]


def report(name, steps, found, expected):
    agrees = np.allclose(np.asarray(found, float), expected, rtol=1e-8)
    print(f"{name}: {steps} steps, {'agrees' if agrees else f'DISAGREES: {found} instead of {expected}'}", flush=True)


def ours():
    """Candidates with all the steps: the primal, ad's gradient, and the adjoint by hand on each kind of store."""
    primal = njit(nogil=True)(lorenz.lorenz)
    gradient = ad.grad(lorenz.lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    tape, rows, items = Tape("f8"), np.empty((lorenz.STEPS, 3)), List.empty_list(float64)
    functions = {
        "primal, Numba": primal,
        "ad.grad": gradient,
        "by hand, Numba on a tape": lambda *args: lorenz.on_tape(tape.handle, *args),
        "by hand, Numba on an array": lambda *args: lorenz.on_array(rows, *args),
        "by hand, Numba on a List": lambda *args: lorenz.on_list(items, *args),
    }
    try:
        functions["by hand, C++ on std::vector"] = lorenz.on_vector(compiled.reference())
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: std::vector: {error}")
    return functions, gradient


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    functions, gradient = ours()
    arguments = (*ARGUMENTS, lorenz.DT, lorenz.STEPS)
    expected = gradient(*arguments)
    for name, use in functions.items():
        if name != "primal, Numba":
            report(name, lorenz.STEPS, use(*arguments), expected)
    candidates = {name: calls(use, *arguments, number=20) for name, use in functions.items()}
    steps = dict.fromkeys(candidates, lorenz.STEPS)
    for name, make, n in PEERS:
        try:
            peer = make(n)
            found = peer(*ARGUMENTS)
        except Exception as error:  # a peer may fail in any way on this Python; the others still run
            print(f"skipped: {name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        report(name, n, found, gradient(*ARGUMENTS, lorenz.DT, n))
        candidates[name] = calls(peer, *ARGUMENTS, number=5 if n == lorenz.STEPS else 1)
        steps[name] = n

    medians = interleaved(candidates, rounds=15)
    table = {name: t / steps[name] * 1e9 for name, t in medians.items()}
    base = table["primal, Numba"]
    print(f"\nLorenz-63, explicit Euler, six derivatives\n{'':28s} {'ns/step':>10s} {'/ primal':>10s}")
    for name, t in sorted(table.items(), key=lambda item: item[1]):
        print(f"{name:28s} {t:10.2f} {t / base:10.2f}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
