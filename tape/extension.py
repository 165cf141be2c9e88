"""Numba's way in: it calls `init` before it compiles anything, and importing these modules registers all."""

import tape.numba
import tape.numbareader  # noqa: F401

__all__ = ["init"]


def init() -> None:
    """The entry point."""
