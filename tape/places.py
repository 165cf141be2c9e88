"""Which store a tape gets for a place to spill to."""

import os

from tape import config
from tape.compress import CompressedStore, check_codec
from tape.disk import FileStore, check_directory, default_directory
from tape.store import Store

__all__ = ["open_store"]


def open_store(
    place: str | os.PathLike[str] | None, limit: int | str | None, compress: str | None, itemsize: int
) -> Store:
    """A new store in a directory; None for that of the settings, or else one that is on a disk.

    With `compress` slabs of items of `itemsize` bytes are packed on their way.

    Raises SpillError if there is no such directory or it cannot be written to; warns if it lies in memory.
    """
    if compress is not None:
        check_codec(compress)
    if place is None:
        place = config.settings().spill_dir
    directory = default_directory(stacklevel=4) if place is None else check_directory(place, stacklevel=4)
    store = FileStore(directory, limit=limit)
    return store if compress is None else CompressedStore(store, codec=compress, itemsize=itemsize)
