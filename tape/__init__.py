"""A layered tape: the stack that reverse-mode automatic differentiation runs on."""

from importlib.metadata import version as _version

from tape.budget import Budget
from tape.config import configure
from tape.core import Mark, Tape
from tape.errors import (
    ArchiveError,
    DeviceError,
    SpillCorruptionError,
    SpillError,
    SpillWarning,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeError,
    TapeIndexError,
    TapeInterrupt,
    TapeMarkError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
)
from tape.lanes import Lanes
from tape.reader import Reader
from tape.slab import SlabPool, default_pool
from tape.stats import LayerStats, PoolStats, TapeStats
from tape.store import Store
from tape.watch import watch

__all__ = [
    "ArchiveError",
    "Budget",
    "DeviceError",
    "Lanes",
    "LayerStats",
    "Mark",
    "PoolStats",
    "Reader",
    "SlabPool",
    "SpillCorruptionError",
    "SpillError",
    "SpillWarning",
    "Store",
    "Tape",
    "TapeBusyError",
    "TapeClosedError",
    "TapeEmptyError",
    "TapeError",
    "TapeIndexError",
    "TapeInterrupt",
    "TapeMarkError",
    "TapeMemoryError",
    "TapeStats",
    "TapeTypeError",
    "TapeValueError",
    "configure",
    "default_pool",
    "watch",
]

__version__ = _version("layered-tape")
