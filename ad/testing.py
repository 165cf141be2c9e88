"""`check_grads`: compare a gradient with finite differences, and test the order of the Taylor remainder.

Central differences see a wrong derivative.  The remainder ``f(x + h d) - f(x) - h g.d`` of a right one falls with the
square of h; the order tells a derivative that is slightly wrong from rounding, which differences alone cannot.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ad.arguments import adapt
from ad.errors import ADTypeError
from ad.transforms import Gradient, Wrt, value_and_grad

__all__ = ["GradientCheck", "check_grads"]


@dataclass(frozen=True)
class GradientCheck:
    """What `check_grads` found.

    `error` is the largest relative difference to central differences, `rates` the observed orders of the Taylor
    remainder between successive halvings of the step (2 for a right gradient; empty where the function is linear to
    rounding), `remainders` the pairs of step and remainder behind them.
    """

    error: float
    rates: tuple[float, ...]
    remainders: tuple[tuple[float, float], ...]


def check_grads(
    f: Callable[..., float] | Gradient,
    args: Sequence[Any],
    wrt: Wrt = None,
    *,
    directions: int = 3,
    rtol: float = 1e-6,
    step: float = 1e-2,
    seed: int = 0,
) -> GradientCheck:
    """Check the gradient of `f` at `args`.

    Parameters
    ----------
    f:
        The function, or a gradient of it made by `ad.grad` or `ad.value_and_grad`, whose options hold here too.
    args:
        Its positional arguments.
    wrt:
        As for `ad.grad`.
    directions:
        How many random directions to try for each argument.
    rtol:
        The largest relative difference between the derivative in a direction and the best central difference.
    step:
        The largest relative step; it is halved until rounding takes over.
    seed:
        Of the random directions.

    Raises AssertionError, which names the argument and the numbers, where the gradient is wrong.

    Source: the Taylor test as in Farrell, Ham, Funke and Rognes (2013), "Automated derivation of the adjoint of
    high-level transient finite element programs", section 5.
    """
    check = _Check(f, args, wrt)
    rng = np.random.default_rng(seed)
    error = 0.0
    for name in check.wrt:
        for _ in range(directions):
            error = max(error, check.differences(check.direction(rng, [name]), name, rtol, step))
    rates, remainders = check.taylor(check.direction(rng, check.wrt), step)
    return GradientCheck(error, rates, remainders)


_Direction = dict[str, Any]


class _Check:
    def __init__(self, f: Any, args: Sequence[Any], wrt: Any) -> None:
        options: Any = {}
        if isinstance(f, Gradient):
            wrt = f._wrt_given if wrt is None else wrt
            options = f._options
            f = f._user.dispatcher or f._plain
        if isinstance(args, str) or not isinstance(args, Sequence):
            raise ADTypeError(f"check_grads: args is the tuple of the function's arguments, not {args!r}")
        self.gradient = value_and_grad(f, wrt).with_options(**options)
        self.name = self.gradient._plain.__name__
        names = self.gradient._names
        self.args = [adapt(n, a) for n, a in zip(names, args, strict=False)]
        self.value, found = self.gradient(*args)
        bound = self.gradient._signature.bind(*args)
        bound.apply_defaults()
        self.args = list(bound.arguments.values())
        chosen = self.gradient._wrt
        if chosen is None:
            chosen = tuple(n for n, a in zip(names, self.args, strict=True) if _is_float(a))
        self.wrt = list(chosen)
        bare = self.gradient._bare and len(chosen) == 1
        self.derivatives = dict(zip(chosen, (found,) if bare else found, strict=True))
        self.names = names

    def direction(self, rng: np.random.Generator, wrt: Sequence[str]) -> _Direction:
        """A random direction in some of the arguments, each in proportion to its size."""
        found: _Direction = {}
        for name in wrt:
            value = np.asarray(self.args[self.names.index(name)])
            scale = np.where(value == 0.0, 1.0, np.abs(value))
            found[name] = rng.choice([-1.0, 1.0], value.shape) * rng.uniform(0.5, 1.5, value.shape) * scale
        return found

    def slope(self, d: _Direction) -> float:
        return float(sum(np.sum(self.derivatives[name] * part) for name, part in d.items()))

    def at(self, d: _Direction, h: float) -> float:
        moved = list(self.args)
        for name, part in d.items():
            i = self.names.index(name)
            value = self.args[i] + h * part
            moved[i] = value if isinstance(self.args[i], np.ndarray) else float(value)
        return float(self.gradient.primal(*moved))

    def differences(self, d: _Direction, name: str, rtol: float, step: float) -> float:
        slope = self.slope(d)
        best, closest = math.inf, math.nan
        for k in range(8):  # further down, rounding is all there is
            h = step * 0.25**k
            found = (self.at(d, h) - self.at(d, -h)) / (2.0 * h)
            rounding = 4.0 * np.finfo(float).eps * abs(self.value) / h
            error = float(max(abs(found - slope) - rounding, 0.0) / max(abs(slope), abs(found), 1e-300))
            if error < best:
                best, closest = error, found
            if best <= rtol * 1e-3:
                break
        if not best <= rtol:
            raise AssertionError(
                f"the gradient of {self.name}() with respect to {name!r} is wrong: in a random direction "
                f"it gives {slope:.12g}, central differences {closest:.12g} (relative difference {best:.2g}, allowed "
                f"{rtol:.2g}). If the function has a kink or jump here, move the arguments; if it has its own rules by "
                "defvjp, check these; else please report it with the function."
            )
        return best

    def taylor(self, d: _Direction, step: float) -> tuple[tuple[float, ...], tuple[tuple[float, float], ...]]:
        """The orders of the remainder over the halvings where rounding does not matter."""
        slope = self.slope(d)
        floor = 1e3 * np.finfo(float).eps * max(abs(self.value), abs(slope) * step)
        remainders: list[tuple[float, float]] = []
        for k in range(12):
            h = step * 0.5**k
            remainder = abs(self.at(d, h) - self.value - h * slope)
            if not remainder > floor:
                break
            remainders.append((h, remainder))
        rates = tuple(math.log2(a / b) for (_, a), (_, b) in pairwise(remainders))
        # The first steps may be too large for the square to lead: the last ones count.
        tail = rates[-3:]
        if len(tail) >= 2 and max(tail) < 1.8:
            listed = ", ".join(f"{h:.1e}: {r:.1e}" for h, r in remainders)
            raise AssertionError(
                f"the Taylor remainder of {self.name}() falls with order {tail[-1]:.2f}, not 2, along a random "
                f"direction in {', '.join(self.wrt)}: steps and remainders are {listed}. The gradient is inexact, or "
                "the function is not smooth here: move the arguments, or pass a smaller step."
            )
        return rates, tuple(remainders)


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
