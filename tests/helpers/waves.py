"""A wave in two dimensions: a loop over time whose arrays change places."""

import numpy as np
from numba import njit

RNG = np.random.default_rng(3)
PULSE, SPEED = RNG.normal(size=(40, 50)), RNG.uniform(0.1, 0.2, (40, 50))


@njit
def wave(start, c2, n):
    before, now, following = start.copy(), start.copy(), start.copy()
    misfit = 0.0
    for _ in range(n):
        for i in range(1, start.shape[0] - 1):
            for j in range(1, start.shape[1] - 1):
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1] - 4.0 * now[i, j]
                following[i, j] = 2.0 * now[i, j] - before[i, j] + c2[i, j] * around
        before, now, following = now, following, before
        misfit += 0.5 * now[2, 3] ** 2
    return misfit
