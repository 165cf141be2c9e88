"""The gradient of Lorenz-63 by everyone, in one run.

    python benchmarks/peers.py [--json FILE]

Peers that are not installed are skipped (jax, torch, autograd, xad, tangent-ad).  Slow ones run fewer steps; all
figures are nanoseconds per step, medians of interleaved rounds, and the ratio to the Numba primal of the same run.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numba import njit

import ad
from tape import Tape

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import lorenz
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


def ours():
    """Candidates with all the steps: the primal, the adjoint by hand, and ad's."""
    primal = njit(nogil=True)(lorenz.lorenz)
    tape = Tape("f8")
    gradient = ad.grad(lorenz.lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    rest = (lorenz.DT, lorenz.STEPS)
    return (
        calls(primal, *ARGUMENTS, *rest, number=20),
        # the tape itself, not its handle: a handle does not keep it alive
        calls(lambda *args: lorenz.by_hand(tape.handle, *args), *ARGUMENTS, *rest, number=20),
        calls(gradient, *ARGUMENTS, *rest, number=20),
        lambda steps: gradient(*ARGUMENTS, lorenz.DT, steps),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    primal, by_hand, gradient, reference = ours()
    candidates = {"primal, Numba": primal, "by hand, Numba on a tape": by_hand, "ad.grad": gradient}
    steps = dict.fromkeys(candidates, lorenz.STEPS)
    for name, make, n in PEERS:
        try:
            peer = make(n)
            found = peer(*ARGUMENTS)
        except Exception as error:  # a peer may fail in any way on this Python; the others still run
            print(f"skipped: {name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        expected = reference(n)
        agrees = np.allclose(np.asarray(found, float), expected, rtol=1e-8)
        print(f"{name}: {n} steps, {'agrees' if agrees else f'DISAGREES: {found} instead of {expected}'}")
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
