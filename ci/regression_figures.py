"""Prints one JSON object: each figure as its time over that of a reference measured in turn with it.

    python ci/regression_figures.py [FIGURE ...]

The minimum of many short rounds is taken on both sides: noise only ever adds, and a short round can escape it.
"""

import json
import sys
import time
from collections import deque

import numpy as np
from numba import njit

from tape import Tape

N = 10_000


@njit(nogil=True)
def push(tape, n):
    for i in range(n):
        tape.push(float(i))


@njit(nogil=True)
def pop(tape, n):
    total = 0.0
    for _ in range(n):
        total += tape.pop()
    return total


@njit(nogil=True)
def store(data, n):
    """The reference of push: a compare, a store and an add a turn, like it, on a bare array."""
    k = 0
    for i in range(n):
        if k == data.size:
            k = 0
        data[k] = float(i)
        k += 1


@njit(nogil=True)
def add_up(data):
    """The reference of pop: the latency of one addition a turn."""
    total = 0.0
    for i in range(data.size):
        total += data[i]
    return total


def lorenz(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


def numba_push():
    tape, data = Tape("f8"), np.ones(N)
    return tape.clear, lambda: push(tape, N), lambda: store(data, N)


def numba_pop():
    tape, data = Tape("f8"), np.ones(N)
    return lambda: tape.extend(data), lambda: pop(tape, N), lambda: add_up(data)


def python_push():
    tape, items = Tape("f8"), [1.0] * N
    return tape.clear, lambda: deque(map(tape.push, items), 0), lambda: deque(map([].append, items), 0)


def extend():
    tape, block, out = Tape("f8"), np.ones(10 * N), np.ones(10 * N)
    return tape.clear, lambda: tape.extend(block), lambda: np.copyto(out, block)


def lorenz_gradient():
    import ad

    arguments = (1.0, 1.0, 1.0, 10.0, 28.0, 8 / 3, 1e-3, N)
    primal, gradient = njit(nogil=True)(lorenz), ad.grad(lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    return lambda: None, lambda: gradient(*arguments), lambda: primal(*arguments)


# Each gives what is done before, what is timed, and the reference.
FIGURES = {use.__name__: use for use in (numba_push, numba_pop, python_push, extend, lorenz_gradient)}


def seconds(use):
    start = time.perf_counter()
    use()
    return time.perf_counter() - start


def main():
    chosen = {name: FIGURES[name]() for name in sys.argv[1:] or FIGURES}
    best = {name: [float("inf")] * 2 for name in chosen}
    for k in range(2000):
        for name, (before, use, reference) in chosen.items():
            before()
            times = seconds(use), seconds(reference)
            if k:
                best[name] = [min(a, b) for a, b in zip(best[name], times)]
    print(json.dumps({name: used / reference for name, (used, reference) in best.items()}))


if __name__ == "__main__":
    main()
