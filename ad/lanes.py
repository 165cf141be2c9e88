"""What generated code calls around a loop that runs in lanes: each does a part of the trips, on a tape of its own."""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from ad.arrays.compiled import OPTIONS, compiled

__all__ = ["LaneFailed", "add_lanes", "check_lanes", "lane_copies", "lane_copy", "lane_parts", "lane_sum"]


class LaneFailed(Exception):
    """What generated code is left by where a trip in a lane has raised: Numba loses what that was."""


@compiled
def lane_parts(start: int, stop: int, step: int, n: int, span: int) -> Any:
    """The start and the stop of each of `n` parts of a loop, which are contiguous and equally long but for one trip.

    The first part is all of the loop where an index would be below zero, which counts from the end of an array and
    could meet the element of another trip, and where a part would not reach over `span` elements.
    """
    trips = len(range(start, stop, step))
    share, more = trips // n, trips % n
    alone = share * abs(step) < span or (trips > 0 and min(start, start + (trips - 1) * step) < 0)
    parts = np.empty((n, 2), np.int64)
    first = start
    for k in range(n):
        count = share + (k < more)
        if alone:
            count = trips if k == 0 else 0
        end = first + step * count
        parts[k, 0], parts[k, 1] = first, end
        first = end
    return parts


@njit(**OPTIONS)
def check_lanes(failed):
    """Raise LaneFailed if a lane has failed."""
    for k in range(len(failed)):
        if failed[k]:
            raise LaneFailed


@njit(**OPTIONS)
def lane_sum(values):
    """The sum of what the lanes have added up, in the order of the lanes."""
    total = values[0]
    for k in range(1, len(values)):
        total += values[k]
    return total


_APART = 128
"""Bytes between what two lanes write to: closer by, each would take the cache line from the other at every addition."""


@register_jitable
def _spread(adjoint: Any) -> int:
    """How many copies of an array lie between those of two lanes: in small ones every element is close to a border."""
    size = adjoint.size * adjoint.itemsize
    return 1 + _APART // max(size, 1) if size < 8 * _APART else 1


@compiled
def lane_copies(adjoint: Any, lanes: int) -> Any:
    """Zeros for each lane to add to, in the place of the adjoint of an array that all lanes read from."""
    return np.zeros((lanes * _spread(adjoint), *adjoint.shape), adjoint.dtype)


@compiled
def lane_copy(copies: Any, k: int, lanes: int) -> Any:
    """That of lane `k`."""
    return copies[k * (len(copies) // lanes)]


@compiled
def add_lanes(adjoint: Any, copies: Any) -> None:
    """Add what the lanes have added to their copies, in the order of the lanes."""
    for k in range(0, len(copies), _spread(adjoint)):
        adjoint += copies[k]
