"""Settings from the environment, read here and nowhere else.

``LAYERED_TAPE_CACHE_DIR``
    An absolute path: where generated modules and their compiled code are kept, instead of the user's cache directory.
    Modules with functions that call themselves, or with functions of the caller's, are compiled by each process.
"""

import os
from pathlib import Path

from platformdirs import user_cache_path

from ad.errors import ADValueError

__all__ = ["cache_directory"]

_VARIABLE = "LAYERED_TAPE_CACHE_DIR"


def cache_directory() -> Path:
    """The directory for generated modules; it need not exist.  Raises ADValueError for a relative path."""
    value = os.environ.get(_VARIABLE)
    if not value:
        return user_cache_path("layered-tape")
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ADValueError(f"{_VARIABLE} must be an absolute path, not {value!r}")
    return path
