"""A case: a program as people write it for Numba, its arguments, and what its gradient is."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

__all__ = ["CASES", "Case", "case"]


@dataclass(frozen=True, eq=False)
class Case:
    """`function` at `args`, to be differentiated with respect to the arguments that `wrt` names.

    `exact(*args)` gives the gradient by a formula or code of its own, one array or number for each name in `wrt`; None
    where the complex step is the reference.  `published` has digits from the literature: the value, then as many
    components of the gradient as there are.  `tolerance` is relative.  `step` is the relative step of the differences:
    small where a branch is near.
    """

    name: str
    function: FunctionType
    args: tuple[Any, ...]
    wrt: tuple[str, ...]
    exact: Callable[..., Any] | None
    published: str
    tolerance: float
    step: float

    @property
    def positions(self) -> tuple[int, ...]:
        """Where in `args` the arguments of `wrt` are."""
        names = self.function.__code__.co_varnames
        return tuple(names.index(name) for name in self.wrt)

    def expected(self) -> tuple[Any, ...] | None:
        """The gradient by formula, as a tuple."""
        if self.exact is None:
            return None
        found = self.exact(*self.args)
        return found if isinstance(found, tuple) else (found,)


CASES: list[Case] = []


def case(
    *args: Any,
    wrt: str,
    exact: Callable[..., Any] | None = None,
    name: str = "",
    published: str = "",
    tolerance: float = 1e-10,
    step: float = 1e-3,
) -> Callable[[FunctionType], FunctionType]:
    """Register a function as a case and leave it as it is; `wrt` names arguments, with spaces between.

    A case is called after its module and function; `name` tells several of one function apart.
    """

    def register(function: FunctionType) -> FunctionType:
        family = function.__module__.rpartition(".")[2]
        full = f"{family}.{function.__name__}" + (f".{name}" if name else "")
        if any(c.name == full for c in CASES):
            raise ValueError(f"there is a case {full} already: give this one a name")
        CASES.append(Case(full, function, args, tuple(wrt.split()), exact, published, tolerance, step))
        return function

    return register
