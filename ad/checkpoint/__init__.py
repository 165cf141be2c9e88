"""Checkpointing: a time loop and its adjoint with few states in memory.

Schedules are data, iterators of actions: `Advance`, `Store`, `Restore`, `Discard`, `End` and `Reverse`, on snapshots at
a `Level`.  `checkpointed_sweep` carries them out; `validate` goes through one without a program.
"""

from ad.checkpoint.actions import Action, Advance, Discard, End, Level, Restore, Reverse, Store
from ad.checkpoint.binomial import binomial, fewest_steps
from ad.checkpoint.directory import ResumeError, ResumeWarning
from ad.checkpoint.library import disk_revolve, h_revolve, mixed, periodic_disk_revolve
from ad.checkpoint.online import dynamic, periodic
from ad.checkpoint.simulate import Counts, validate
from ad.checkpoint.sweep import Sweep, checkpointed_sweep

__all__ = [
    "Action",
    "Advance",
    "Counts",
    "Discard",
    "End",
    "Level",
    "Restore",
    "ResumeError",
    "ResumeWarning",
    "Reverse",
    "Store",
    "Sweep",
    "binomial",
    "checkpointed_sweep",
    "disk_revolve",
    "dynamic",
    "fewest_steps",
    "h_revolve",
    "mixed",
    "periodic",
    "periodic_disk_revolve",
    "validate",
]
