"""Where to spill: a directory on a disk, not in memory."""

import os
import tempfile
import warnings

from tape.errors import SpillWarning, TapeTypeError
from tape.spillfile import is_ram_backed, open_unnamed

__all__ = ["check_directory", "default_directory", "is_ram_backed"]


def default_directory(stacklevel: int = 2) -> str:
    """The directory for temporary files; ``/var/tmp`` if that lies in memory; warns if both do."""
    first = tempfile.gettempdir()
    if not is_ram_backed(first):
        return first
    if os.access("/var/tmp", os.W_OK | os.X_OK) and not is_ram_backed("/var/tmp"):
        return "/var/tmp"
    _warn(first, stacklevel + 1)
    return first


def check_directory(path: str | os.PathLike[str], stacklevel: int = 2) -> str:
    """The absolute path of a directory to spill to.

    Raises `SpillError` if no file can be made there; warns (`SpillWarning`) if it lies in memory.
    `stacklevel` says whose line the warning shows, as in `warnings.warn`.
    """
    where = as_directory(path, "spill_dir")
    os.close(open_unnamed(where))
    if is_ram_backed(where):
        _warn(where, stacklevel + 1)
    return where


def as_directory(path: str | os.PathLike[str], name: str) -> str:
    """The absolute form of `path`, for a message that is read after a chdir."""
    try:
        return os.path.abspath(os.fsdecode(path))
    except TypeError:
        raise TapeTypeError(f"{name}: a path, not {type(path).__name__}") from None


def _warn(where: str, stacklevel: int) -> None:
    warnings.warn(
        f"{where} lies in memory, and spilling to memory is no spilling: name a directory on a disk (spill_dir)",
        SpillWarning,
        stacklevel=stacklevel,
    )
