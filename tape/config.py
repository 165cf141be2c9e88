"""Settings of the process: from the environment, read once and here only, or by `configure`.

``LAYERED_TAPE_MEMORY``
    A size such as ``1 GiB``: the memory that all tapes without a budget of their own share.  Unset or empty: no limit.
``LAYERED_TAPE_SPILL_DIR``
    The directory that slabs go to which have no room in memory, where a tape is not given another one.
"""

import os
import threading
from dataclasses import dataclass

from tape.budget import Budget
from tape.errors import TapeTypeError
from tape.sizes import parse_bytes

__all__ = ["Settings", "configure", "settings"]

_MEMORY = "LAYERED_TAPE_MEMORY"
_SPILL_DIR = "LAYERED_TAPE_SPILL_DIR"


@dataclass(frozen=True)
class Settings:
    """What holds for tapes that are not told otherwise."""

    budget: Budget | None
    """Shared by all tapes that have none of their own."""
    spill_dir: str | None
    """None for a sensible one (see `tape.spilldir`)."""


class _Unset:
    def __repr__(self) -> str:
        return "unchanged"


_UNSET = _Unset()
_lock = threading.Lock()
_current: Settings | None = None


def settings() -> Settings:
    """The settings in force.  Raises TapeValueError, naming the variable, if the environment makes no sense."""
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                memory = os.environ.get(_MEMORY)
                budget = Budget(parse_bytes(memory, _MEMORY)) if memory else None
                _current = Settings(budget, os.environ.get(_SPILL_DIR) or None)
    return _current


def configure(
    *,
    memory: int | str | Budget | _Unset | None = _UNSET,
    spill_dir: str | os.PathLike[str] | _Unset | None = _UNSET,
) -> None:
    """Set what holds for tapes made from now on that are not told otherwise.

    Parameters
    ----------
    memory : int, str, Budget or None
        The memory that all tapes share which have no budget of their own, as a hard limit; None for no limit.
    spill_dir : path or None
        Where their slabs go beyond that; None for the default.

    Raises
    ------
    TapeTypeError, TapeValueError
        For what is no size or path.
    """
    global _current
    now = settings()
    budget, directory = now.budget, now.spill_dir
    if not isinstance(memory, _Unset):
        budget = memory if memory is None or isinstance(memory, Budget) else Budget(memory)
    if not isinstance(spill_dir, _Unset):
        if spill_dir is not None and not isinstance(spill_dir, str | os.PathLike):
            raise TapeTypeError(f"spill_dir: a path or None, not {type(spill_dir).__name__}")
        directory = None if spill_dir is None else os.fspath(spill_dir)
    with _lock:
        _current = Settings(budget, directory)
