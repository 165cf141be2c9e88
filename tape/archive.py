"""Tapes in files: `save` and `load`.

A file is, with every number little-endian::

    magic, format version, length of the header         8 + 4 + 4 bytes
    header: dtype, itemsize, items, items a chunk       JSON
    seal                                                8 bytes
    for each chunk: its items, seal
    items, seal

The first seal is the XXH64 of all before it; each further one is that of the seal before and of the XXH64 of the chunk
(at the end: of the number of items), so that what was damaged, swapped or taken from another file is found and named.
"""

import contextlib
import json
import os
import secrets
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tape.checksum import xxh64
from tape.convert import fixed_dtype
from tape.errors import ArchiveError, TapeBusyError, TapeTypeError, TapeValueError

__all__ = ["load", "save"]

# As in PNG: what takes the file for text, or for 7-bit, damages the magic.
MAGIC = b"\x93TAPE\r\n\x1a"
VERSION = 1
CHUNK_BYTES = 2**20
MOST_CHUNK_BYTES = 2**24  # what a reader accepts; an item that is larger has a chunk for itself
MOST_HEADER_BYTES = 2**20

_PREAMBLE = struct.Struct("<8sII")
_SEAL = struct.Struct("<Q")
_PAIR = struct.Struct("<QQ")


class Items(Protocol):
    """What is used of a tape."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> npt.NDArray[Any]: ...
    def extend(self, items: npt.NDArray[Any], /) -> None: ...
    def close(self) -> None: ...


Made = TypeVar("Made", bound=Items)
Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# ------------------------------------------------------------------------------------------------ layout


@dataclass(frozen=True)
class _Layout:
    """What the header says, and what follows from it."""

    dtype: np.dtype[Any]
    items: int
    chunk_items: int
    header: bytes
    """All from the magic to the end of the header."""

    @property
    def chunks(self) -> int:
        return -(-self.items // self.chunk_items)

    def chunk(self, k: int) -> slice:
        """The items of a chunk."""
        return slice(k * self.chunk_items, min((k + 1) * self.chunk_items, self.items))

    def offset(self, k: int) -> int:
        """Where chunk `k` begins in the file; for k = chunks, where the end record does."""
        items = min(k * self.chunk_items, self.items)
        return len(self.header) + _SEAL.size * (1 + k) + items * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        return self.offset(self.chunks) + _PAIR.size


def _plan(dtype: np.dtype[Any], items: int) -> _Layout:
    """The layout of a new file."""
    chunk_items = max(1, CHUNK_BYTES // dtype.itemsize)
    try:
        described = _describe(dtype)
        fields = {"dtype": described, "itemsize": dtype.itemsize, "items": items, "chunk_items": chunk_items}
        text = json.dumps(fields).encode("ascii")
        same = len(text) <= MOST_HEADER_BYTES and _dtype(described) == dtype
    except (TypeError, RecursionError):  # titles of fields may be any object
        same = False
    if not same:
        raise TapeTypeError(f"dtype: {dtype} is not one that a file can describe; save tape[:] by means of your own")
    return _Layout(dtype, items, chunk_items, _PREAMBLE.pack(MAGIC, VERSION, len(text)) + text)


def _describe(dtype: np.dtype[Any]) -> Any:
    """A dtype in JSON.  Unlike `descr` of .npy this keeps alignment, and fields that overlap or lie in any order."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _describe(base), "shape": list(shape)}
    if dtype.names is None or dtype.fields is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [_describe(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "titles": [field[2] if len(field) > 2 else None for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _dtype(described: Any) -> np.dtype[Any]:
    """The dtype that `_describe` described."""
    if isinstance(described, str):
        return np.dtype(described)
    if "base" in described:
        return np.dtype((_dtype(described["base"]), tuple(described["shape"])))
    return np.dtype(
        {
            "names": described["names"],
            "formats": [_dtype(part) for part in described["formats"]],
            "offsets": described["offsets"],
            "titles": described["titles"],
            "itemsize": described["itemsize"],
        },
        align=described["aligned"],
    )


def _memory(items: npt.NDArray[Any]) -> memoryview:
    return items.view("u1").data


def _link(seal: int, number: int) -> int:
    """The seal that follows `seal`."""
    return xxh64(_PAIR.pack(seal, number))


# --------------------------------------------------------------------------------------------------- save


def save(tape: Items, path: Path) -> None:
    """Write the items of `tape` to the file `path`, which gets that name only when it is whole and on the disk.

    A file that was there is replaced then, and keeps its permissions; after a failure it is as it was, and so is the
    tape.  The tape is read once, from its oldest item to its newest.

    Raises
    ------
    TapeBusyError
        If a compiled loop has the tape, or another thread changed its length meanwhile.
    TapeTypeError
        If the dtype is an extension of NumPy, which a file cannot describe.
    TapeValueError
        If `path` is something else than a file: a directory, a device.
    OSError
        What the operating system reports: no such directory, no space.
    """
    target = os.path.realpath(os.fsdecode(path))  # of a link, the file that it leads to is replaced
    layout = _plan(tape.dtype, len(tape))
    tape[:0]  # raises if the tape is closed
    mode = 0o666
    try:
        there = os.stat(target).st_mode
    except FileNotFoundError:
        there = None
    if there is not None:
        if not stat.S_ISREG(there):
            raise TapeValueError(f"path: {target} is there and no file; a tape is saved to a file")
        mode = there & 0o777
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".tape-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            if there is not None:
                os.chmod(temporary, mode)  # the umask took its part of it
            _write(file, layout, tape)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _write(file: BufferedWriter, layout: _Layout, tape: Items) -> None:
    seal = xxh64(layout.header)
    file.write(layout.header + _SEAL.pack(seal))
    for k in range(layout.chunks):
        part = layout.chunk(k)
        items = tape[part]
        if len(items) != part.stop - part.start:
            raise TapeBusyError("the tape was popped while it was being saved; nothing was saved")
        data = _memory(items)
        seal = _link(seal, xxh64(data))
        file.write(data)
        file.write(_SEAL.pack(seal))
    if len(tape) != layout.items:
        raise TapeBusyError("the tape was changed while it was being saved; nothing was saved")
    file.write(_PAIR.pack(layout.items, _link(seal, layout.items)))


def _sync_directory(directory: str) -> None:
    """Make the new name outlast a power failure, where that can be asked for; the file is whole in any case."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


# --------------------------------------------------------------------------------------------------- load


def load(path: Path, make: Callable[[np.dtype[Any]], Made]) -> Made:
    """A tape with the items of the file `path`: `make` is called with their dtype, what it returns is filled.

    Raises
    ------
    ArchiveError
        If the file is no saved tape, is of a newer version or is damaged: the message says where.  The tape that was
        begun is closed.
    OSError
        What the operating system reports: no such file, no permission.
    """
    name = os.fsdecode(path)
    if not stat.S_ISREG(os.stat(name).st_mode):  # to open a pipe would wait for who writes to it
        raise ArchiveError(f"{name} is no file")
    with open(name, "rb") as file:
        layout = _read_header(file, name)
        tape = make(layout.dtype)
        try:
            _read_items(file, name, layout, tape)
        except BaseException:
            tape.close()
            raise
    return tape


def _read_header(file: BufferedReader, name: str) -> _Layout:
    """Read and check all before the first chunk.  Nothing is allocated that the file does not hold."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(_PREAMBLE.size)
    if start[: len(MAGIC)] != MAGIC:
        raise ArchiveError(f"{name} is not a saved tape" + (": it is empty" if not start else ""))
    if len(start) < _PREAMBLE.size:
        raise ArchiveError(f"{name} is truncated: it ends in its header")
    _, version, length = _PREAMBLE.unpack(start)
    if version > VERSION:
        raise ArchiveError(f"{name} has format version {version}, and this release reads up to {VERSION}: update it")
    if not 0 < length <= MOST_HEADER_BYTES or version < 1:
        raise ArchiveError(f"{name} is damaged: it has no header of version {VERSION}")
    text = file.read(length)
    sealed = file.read(_SEAL.size)
    if len(sealed) < _SEAL.size:
        raise ArchiveError(f"{name} is truncated: it ends in its header")
    if sealed != _SEAL.pack(xxh64(start + text)):
        raise ArchiveError(f"{name} is damaged: the header does not agree with its checksum")
    layout = _parse(start, text, name)
    if size < layout.file_bytes:
        raise ArchiveError(f"{name} is truncated: {size} bytes of {layout.file_bytes}")
    if size > layout.file_bytes:
        raise ArchiveError(f"{name} is damaged: {size - layout.file_bytes} bytes follow its end at {layout.file_bytes}")
    return layout


def _parse(start: bytes, text: bytes, name: str) -> _Layout:
    """The layout that a header tells of, which need not come from `save` though its checksum is right."""
    try:
        fields = json.loads(text)
        dtype = fixed_dtype(_dtype(fields["dtype"]))
        itemsize, items, chunk_items = fields["itemsize"], fields["items"], fields["chunk_items"]
        sound = (
            all(type(number) is int for number in (itemsize, items, chunk_items))
            and itemsize == dtype.itemsize
            and 0 <= items <= 2**62
            and (chunk_items == 1 or 1 < chunk_items <= MOST_CHUNK_BYTES // itemsize)
        )
    except Exception as error:  # whatever JSON and NumPy make of it
        raise ArchiveError(f"{name} has a header that this release cannot read ({error})") from error
    if not sound:
        raise ArchiveError(f"{name} has a header of impossible sizes")
    return _Layout(dtype, items, chunk_items, start + text)


def _read_items(file: BufferedReader, name: str, layout: _Layout, tape: Items) -> None:
    seal = xxh64(layout.header)
    room = np.empty(min(layout.chunk_items, layout.items), layout.dtype)
    for k in range(layout.chunks):
        part = layout.chunk(k)
        items = room[: part.stop - part.start]
        data = _memory(items)
        where = f"{name}: chunk {k + 1} of {layout.chunks}, at byte {layout.offset(k)},"
        got = file.readinto(data)
        sealed = file.read(_SEAL.size)
        if got < data.nbytes or len(sealed) < _SEAL.size:
            raise ArchiveError(f"{where} is truncated")
        seal = _link(seal, xxh64(data))
        if sealed != _SEAL.pack(seal):
            raise ArchiveError(f"{where} does not agree with its checksum")
        tape.extend(items)
    if file.read(_PAIR.size + 1) != _PAIR.pack(layout.items, _link(seal, layout.items)):
        raise ArchiveError(f"{name}: the end, at byte {layout.offset(layout.chunks)}, does not agree with the rest")
