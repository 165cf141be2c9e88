"""An example: derivatives of an ensemble of Lorenz trajectories, a thread each, recorded and reversed on the device.

    python -m tape.cuda.ensemble [--members N] [--steps N] [--device-memory SIZE]

The value of a member is x + y + z after so many steps of Euler's method, and six derivatives of it are wanted: by the
initial state and by the three parameters (the model: E. N. Lorenz, Deterministic Nonperiodic Flow, 1963).  Every step
records the three numbers that its adjoint needs.  `gradients` keeps them in lanes within one kernel;
`gradients_on_tape` has a kernel for each stretch of steps, whose lanes are an item of a `DeviceTape`, so that the
records may be more than the device holds.
"""

import argparse
import math
import time

import numpy as np
import numpy.typing as npt
from numba import cuda

from tape.cuda.devicetape import DeviceTape
from tape.cuda.lanes import Lanes, pop, push, shape

__all__ = ["gradients", "gradients_on_tape", "members"]

SIGMA, RHO, BETA, DT = 10.0, 28.0, 8.0 / 3.0, 1e-3
THREADS = 128  # of a block
RECORDED = 3  # numbers a step

Array = npt.NDArray[np.float64]


def members(count: int, seed: int = 0) -> Array:
    """Initial states and parameters, shape ``(6, count)``: x, y, z, sigma, rho, beta, each near a common one."""
    middle = np.array([1.0, 1.0, 1.0, SIGMA, RHO, BETA])[:, None]
    return middle * (1.0 + 0.1 * np.random.default_rng(seed).standard_normal((6, count)))


@cuda.jit(device=True)
def _forward(lanes, i, top, x, y, z, sigma, rho, beta, steps):
    for _ in range(steps):
        top = push(lanes, i, top, x)
        top = push(lanes, i, top, y)
        top = push(lanes, i, top, z)
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + DT * dx
        y = y + DT * dy
        z = z + DT * dz
    return top, x, y, z


@cuda.jit(device=True)
def _reverse(lanes, i, top, g, sigma, rho, beta, steps):
    """The adjoint of `_forward`: `g` has the six derivatives."""
    gx, gy, gz, gs, gr, gb = g
    for _ in range(steps):
        top, z = pop(lanes, i, top)
        top, y = pop(lanes, i, top)
        top, x = pop(lanes, i, top)
        gdx = DT * gx
        gdy = DT * gy
        gdz = DT * gz
        gs += gdx * (y - x)
        gr += gdy * x
        gb -= gdz * z
        ny = gy + gdx * sigma - gdy + gdz * x
        nz = gz - gdy * x - gdz * beta
        gx += gdy * (rho - z) + gdz * y - gdx * sigma
        gy = ny
        gz = nz
    return gx, gy, gz, gs, gr, gb


@cuda.jit
def _both(start, steps, lanes, value, gradient):
    i = cuda.grid(1)
    if i < start.shape[1]:
        sigma, rho, beta = start[3, i], start[4, i], start[5, i]
        top, x, y, z = _forward(lanes, i, 0, start[0, i], start[1, i], start[2, i], sigma, rho, beta, steps)
        value[i] = x + y + z
        g = _reverse(lanes, i, top, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), sigma, rho, beta, steps)
        for k in range(6):
            gradient[k, i] = g[k]


@cuda.jit
def _record(start, state, steps, lanes):
    i = cuda.grid(1)
    if i < start.shape[1]:
        sigma, rho, beta = start[3, i], start[4, i], start[5, i]
        _, x, y, z = _forward(lanes, i, 0, state[0, i], state[1, i], state[2, i], sigma, rho, beta, steps)
        state[0, i], state[1, i], state[2, i] = x, y, z


@cuda.jit
def _unroll(start, steps, lanes, gradient):
    i = cuda.grid(1)
    if i < start.shape[1]:
        g = (gradient[0, i], gradient[1, i], gradient[2, i], gradient[3, i], gradient[4, i], gradient[5, i])
        g = _reverse(lanes, i, RECORDED * steps, g, start[3, i], start[4, i], start[5, i], steps)
        for k in range(6):
            gradient[k, i] = g[k]


def gradients(start: Array, steps: int, lanes: Lanes | None = None) -> tuple[Array, Array]:
    """Values, shape ``(n,)``, and derivatives, shape ``(6, n)``, of the members `start`, shape ``(6, n)``.

    `lanes` to use again: of float64, for n threads, with room for three items a step.
    """
    count = start.shape[1]
    if lanes is None:
        lanes = Lanes("f8", count, RECORDED * steps)
    value, gradient = cuda.device_array(count, np.float64), cuda.device_array((6, count), np.float64)
    _both[-(-count // THREADS), THREADS](cuda.to_device(start), steps, lanes.argument, value, gradient)
    lanes.check()
    return value.copy_to_host(), gradient.copy_to_host()


def gradients_on_tape(start: Array, steps: int, stretch: int, tape: DeviceTape | None = None) -> tuple[Array, Array]:
    """The same, with a kernel for every `stretch` steps, which the number of steps must be a multiple of.

    `tape`: of float64 and of the shape ``lanes.shape(n, 3 * stretch)``; it must be empty, and is so afterwards.
    """
    count, depth = start.shape[1], RECORDED * stretch
    stretches, rest = divmod(steps, stretch)
    if rest:
        raise ValueError(f"steps: {steps} is no multiple of the {stretch} that one kernel does")
    own = DeviceTape("f8", shape(count, depth)) if tape is None else tape
    grid = -(-count // THREADS), THREADS
    given, state = cuda.to_device(start), cuda.to_device(start[:3].copy())
    first = np.zeros((6, count))
    first[:3] = 1.0
    gradient = cuda.to_device(first)
    try:
        block = own.reserve()
        lanes = Lanes("f8", count, depth, block=block)
        for k in range(stretches):
            if k:
                block = own.reserve()
            _record[grid](given, state, stretch, lanes.over(block))
        value = state.copy_to_host().sum(axis=0)
        for _ in range(stretches):
            _unroll[grid](given, stretch, lanes.over(own.peek()), gradient)
            own.drop()
        lanes.check()
    finally:
        if tape is None:
            own.close()
    return value, gradient.copy_to_host()


def main() -> None:
    """Print the mean derivatives of an ensemble, and where its records were."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--members", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--stretch", type=int, default=100, help="steps of one kernel")
    parser.add_argument("--device-memory", default="64 MiB", help="for the records, of 24 bytes a step and member")
    options = parser.parse_args()
    start = members(options.members)
    steps = math.ceil(options.steps / options.stretch) * options.stretch
    with DeviceTape(
        "f8", shape(options.members, RECORDED * options.stretch), device_memory=options.device_memory
    ) as tape:
        before = time.perf_counter()
        _value, gradient = gradients_on_tape(start, steps, options.stretch, tape)
        seconds = time.perf_counter() - before
        for name, row in zip(("x", "y", "z", "sigma", "rho", "beta"), gradient, strict=True):
            print(f"d/d {name:5s}  mean {row.mean():+.6e}  spread {row.std():.1e}")
        print(f"{options.members} members, {steps} steps: {seconds:.2f} s, compilation included")
        print(tape.stats())


if __name__ == "__main__":
    main()
