"""Generated modules on disk, so that Numba can keep their machine code from one process to the next.

A file is named after the hash of its content and written at once (a temporary file that takes the final name).  What
stands in it is compared with what was generated and is never executed: a file that was damaged or planted does no
harm.  The machine code beside it is Numba's and trusted, so the directory must be the user's own.
"""

import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path

from ad.config import cache_directory

__all__ = ["discard", "store"]

_log = logging.getLogger("ad")


def store(name: str, text: str) -> Path | None:
    """Write a module unless it is there already; None where the cache directory cannot be used."""
    directory = cache_directory()
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = directory / f"{name}_{digest}.py"
    try:
        _prepare(directory)
        _prepare(directory / "__pycache__")
        if not _holds(path, text):
            _write(path, text)
    except OSError as error:
        _log.info("generated code is not cached in %s: %s", directory, error)
        return None
    return path


def discard(path: Path) -> None:
    """Remove a module and the machine code beside it, as far as possible."""
    for victim in (path, *path.parent.joinpath("__pycache__").glob(f"{path.stem}.*")):
        try:
            victim.unlink(missing_ok=True)
        except OSError as error:
            _log.info("%s could not be removed: %s", victim, error)


def _prepare(directory: Path) -> None:
    """Make a directory for the user alone; raise OSError unless it is one that no one else can write to."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise PermissionError(f"{directory} belongs to another user, or others may write to it")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(f"{directory} is not writable")


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
