"""asv: gradients by ad, as time and as a ratio to the primal of the same run."""

from numba import njit

import ad
from tape import Tape

from . import lorenz
from .timing import calls, interleaved

WRT = ("x", "y", "z", "sigma", "rho", "beta")
ARGUMENTS = (*lorenz.POINT, *lorenz.PARAMETERS, lorenz.DT, lorenz.STEPS)


def three_operations(x, y):
    return x * y + x


class Lorenz:
    """20 000 steps of Lorenz-63, six derivatives."""

    timeout = 300

    def setup(self):
        self.primal = njit(nogil=True)(lorenz.lorenz)
        self.tape = Tape("f8")
        self.gradient = ad.grad(lorenz.lorenz, wrt=WRT)
        self.primal(*ARGUMENTS)
        self.gradient(*ARGUMENTS)
        lorenz.on_tape(self.tape.handle, *ARGUMENTS)

    def time_gradient(self):
        self.gradient(*ARGUMENTS)

    def time_by_hand(self):
        lorenz.on_tape(self.tape.handle, *ARGUMENTS)

    def track_gradient_over_primal(self):
        medians = interleaved(
            {
                "primal": calls(self.primal, *ARGUMENTS, number=20),
                "gradient": calls(self.gradient, *ARGUMENTS, number=20),
            },
            rounds=21,
        )
        return medians["gradient"] / medians["primal"]

    track_gradient_over_primal.unit = "x primal"


class Call:
    """The cost of a call itself: a function of three operations."""

    def setup(self):
        self.primal = njit(three_operations)
        self.gradient = ad.grad(three_operations)
        self.primal(1.0, 2.0)
        self.gradient(1.0, 2.0)

    def time_primal_1000(self):
        primal = self.primal
        for _ in range(1000):
            primal(1.0, 2.0)

    def time_gradient_1000(self):
        gradient = self.gradient
        for _ in range(1000):
            gradient(1.0, 2.0)
