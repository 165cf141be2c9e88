"""What a file of this folder says about its model."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Model:
    """A function that returns one float, in several forms, and its adjoints by hand.

    All forms take the same arguments.  Makers take them too and return a function of them: what a gradient needs room
    for is made there once, as `ad` keeps its tape between calls.
    """

    name: str
    wrt: Sequence[str]
    """The arguments that gradients are taken of."""
    sizes: Mapping[str, tuple[int, ...]]
    """What is measured, by name."""
    small: tuple[int, ...]
    """What tests run, and what is run before anything is measured."""
    arguments: Callable[..., tuple[Any, ...]]
    """The arguments of a size."""
    by_element: Function
    """As one writes it for Numba: loops over elements."""
    by_hand: Mapping[str, Callable[..., Function]]
    """Makers of adjoints by hand in Numba.

    The first is the best one that we know for the loops as they stand, and what others are compared with; some of the
    rest do the work in another order."""
    trip: str
    """What bytes are counted over, in words."""
    trips: Callable[..., int]
    """How many of these a size has."""
    least: Callable[..., float]
    """The fewest bytes a trip that we know how to do with, for a size; the reason stands beside it."""
    whole_array: Function | None = None
    """As one writes it in NumPy; None where the model has no arrays to speak of."""
    peers: Mapping[str, Callable[..., Function]] = field(default_factory=dict)
    """Makers of gradients by others; what they import is imported by the maker."""
    slow: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Smaller sizes for peers (and for `numpy`, the whole arrays themselves) that would take minutes; their times are
    scaled by the number of trips."""


def with_numpy(function: Function, numpy: Any, **names: Any) -> Function:
    """The same text, where `np` (and `names`) are something else: autograd's NumPy, say."""
    inside = {**function.__globals__, "np": numpy, **names}
    return types.FunctionType(function.__code__, inside, function.__name__, function.__defaults__)
