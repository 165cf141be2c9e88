"""asv: gradients of loops over prange, and how two threads scale beside two serial gradients in two threads."""

import numba

import ad

from .parallel import candidates, scaling
from .swarms import programs
from .timing import interleaved


class Lanes:
    """Two threads."""

    timeout = 600
    params = ("ensemble", "mixture", "stencil")
    param_names = ("program",)

    def setup(self, program):
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        function, self.args = programs()[program]
        self.primal = numba.njit(parallel=True, nogil=True)(function)
        self.serial, self.parallel = ad.grad(numba.njit(function)), ad.grad(function)
        for call in (self.primal, self.serial, self.parallel):
            call(*self.args)

    def time_primal(self, program):
        self.primal(*self.args)

    def time_gradient(self, program):
        self.parallel(*self.args)

    def time_serial_gradient(self, program):
        self.serial(*self.args)

    def track_scaling_over_two_serial(self, program):
        function, args = programs()[program]
        ours, two = scaling(interleaved(candidates(function, args), rounds=11))
        return ours / two

    track_scaling_over_two_serial.unit = "x two serial gradients"
