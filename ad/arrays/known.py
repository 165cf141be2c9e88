"""What the fusing of expressions (`ad.fuse`) knows about helpers: they enter themselves here when they are defined."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ADDS", "FITTING", "FRESH", "READS", "ROLLS", "SUMS", "VIEWS", "WRITES_NOTHING"]

WRITES_NOTHING: set[Callable[..., Any]] = set()
"""Functions that write to no array."""
ADDS: set[Callable[..., Any]] = set()
"""``f(a, value)``, which adds to an array."""
FITTING: set[Callable[..., Any]] = set()
"""Those of them whose value has the shape of the array."""
FRESH: set[Callable[..., Any]] = {np.zeros_like, np.empty_like, np.ones_like, np.copy, np.zeros, np.empty, np.ones}
"""Functions that return a new array."""
READS: set[Callable[..., Any]] = {np.zeros_like, np.empty_like, np.ones_like, np.copy, len}
"""Functions that only read an array, keep nothing of it, and return nothing that is a part of it; sums are others."""
SUMS: set[Callable[..., Any]] = {np.sum}
"""``f(a)`` or ``f(a, axis, keepdims)``: sums, new arrays or numbers."""
VIEWS: set[Callable[..., Any]] = set()
"""Functions that return a new array or a view of their first argument, and only read the others."""
ROLLS: dict[Callable[..., Any], int] = {}
"""``f(a, shift)``, with the sign of the shift."""
