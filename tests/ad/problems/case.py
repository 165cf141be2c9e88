"""A case: a program as people write it for Numba, its arguments, and what its gradient is."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType

__all__ = ["CASES", "Case", "case"]


@dataclass(frozen=True, eq=False)
class Case:
    """`function` at `args`, to be differentiated with respect to the arguments that `wrt` names.

    `exact(*args)` gives the gradient by a formula or code of its own, one array or number for each name in `wrt`; None
    where the complex step is the reference.  `published` has digits from the literature: the value, then as many
    components of the gradient as there are.  `step` is the relative step of the differences: small where a branch is
    near.  Without `analytic` there is no complex step: the program has complex numbers already.
    """

    name: str
    function: FunctionType
    args: tuple
    wrt: tuple[str, ...]
    exact: Callable | None
    published: str
    step: float
    analytic: bool

    @property
    def positions(self):
        """Where in `args` the arguments of `wrt` are."""
        names = self.function.__code__.co_varnames
        return tuple(names.index(name) for name in self.wrt)

    def expected(self):
        """The gradient by formula, as a tuple; None where there is none."""
        if self.exact is None:
            return None
        found = self.exact(*self.args)
        return found if isinstance(found, tuple) else (found,)


CASES = []


def case(*args, wrt, exact=None, name="", published="", step=1e-3, analytic=True):
    """Register a function as a case and leave it as it is; `wrt` names arguments, with spaces between.

    A case is called after its module and function; `name` tells several of one function apart.
    """

    def register(function):
        family = function.__module__.rpartition(".")[2]
        full = f"{family}.{function.__name__}" + (f".{name}" if name else "")
        if any(c.name == full for c in CASES):
            raise ValueError(f"there is a case {full} already: give this one a name")
        CASES.append(Case(full, function, args, tuple(wrt.split()), exact, published, step, analytic))
        return function

    return register
