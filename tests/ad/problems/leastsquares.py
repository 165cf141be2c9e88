"""Test problems of nonlinear least squares: residuals, Jacobian, standard start and published minimum.

J. J. More, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization software, ACM Transactions on
Mathematical Software 7 (1981), 17-41: problems 1 to 35.  A problem has a model, the residuals and their Jacobian in
NumPy, coded by hand; the programs compute the sum of squares in other ways, and their gradient is 2 J^T r.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from problems.case import case

__all__ = ["PROBLEMS", "Problem"]

PROBLEMS = []


@dataclass(eq=False)
class Problem:
    """`model(x, *data)` gives residuals (m) and Jacobian (m, n).

    `minimum` has the digits that the paper prints, a search from `near` finds it, and at `minimizer` all residuals are
    zero.  `at_start` is the value at the standard start: by hand where it is short, else as Algorithm 566 (the paper's
    programs) prints it.
    """

    number: int
    model: Callable
    start: np.ndarray
    data: tuple = ()
    minimum: str = "0"
    minimizer: np.ndarray | None = None
    near: np.ndarray | None = None
    at_start: str = ""
    programs: list = field(default_factory=list)

    def __post_init__(self):
        self.start = np.array(self.start, float)
        PROBLEMS.append(self)

    def gradient(self, x, *data):
        """Of the sum of squares."""
        residuals, jacobian = self.model(x, *data)
        return 2.0 * jacobian.T @ residuals

    def program(self, function):
        """Register a function of (x, *data) that computes the sum of squares, as a case at the standard start.

        Zeros there would hide parts of the gradient: they become 0.1.
        """
        self.programs.append(function)
        point = np.where(self.start == 0.0, 0.1, self.start)
        return case(point, *self.data, wrt="x", exact=self.gradient)(function)
