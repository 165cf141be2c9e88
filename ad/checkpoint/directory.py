"""The directory of a sweep that can be resumed: snapshots and adjoints as files, each whole or not there at all.

Files are saved tapes (`tape.archive`): written under another name, forced to the disk, then renamed, with a checksum
for every chunk::

    sweep.tape              what the sweep is; it must be the same when the sweep is resumed
    state-K.tape            the state before step K
    final-K.tape            the state after the last step, K - 1
    adjoint-K.tape          the adjoint of state K, and the gradient as it was then

Of adjoints the newest two are kept, of states those that the reverse sweep has not passed.
"""

import contextlib
import json
import os
import re
import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ad.checkpoint.layout import Layout, Leaf
from ad.checkpoint.storage import Bytes, Order, as_bytes, from_bytes
from ad.errors import ADError
from tape import ArchiveError, Tape
from tape.archive import load, save
from tape.checksum import xxh64

try:
    import fcntl
except ImportError:  # not POSIX: nothing keeps two processes apart
    fcntl = None  # type: ignore[assignment]

__all__ = ["Directory", "ResumeError", "ResumeWarning", "state_checksum"]

FORMAT = 1

_HEADER = struct.Struct("<8sqQ")  # kind, step, sweep; the order of each leaf follows
_LEFT = re.compile(r"\.tape-[0-9a-f]+\.tmp")
_SWEEP, _LOCK = "sweep.tape", "lock"


class ResumeError(ADError, OSError):
    """The directory is another sweep's, in use by another process, or holds what is no sweep."""


class ResumeWarning(UserWarning):
    """A file of the directory is damaged; the sweep goes on from an older one."""


def _name(kind: str, step: int) -> str:
    return f"{kind}-{step}.tape"


class _Record:
    """Arrays of bytes that follow each other as if they were the items of a tape: what `save` and `load` take."""

    def __init__(self, parts: Iterable[Bytes]) -> None:
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in self._parts])
        self.filled = 0

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: slice) -> Bytes:
        return np.concatenate([np.empty(0, np.uint8), *self._pieces(*index.indices(len(self))[:2])])

    def extend(self, items: Bytes) -> None:
        """Fill in, where `load` has come to."""
        if self.filled + len(items) > len(self):
            raise ArchiveError(f"it holds more than the {len(self)} bytes that were expected")
        at = 0
        for piece in self._pieces(self.filled, self.filled + len(items)):
            piece[:] = items[at : at + len(piece)]
            at += len(piece)
        self.filled += len(items)

    def close(self) -> None:
        pass

    def _pieces(self, start: int, stop: int) -> list[Bytes]:
        k = int(np.searchsorted(self._ends, start, "right"))
        pieces = []
        while start < stop:
            first = int(self._ends[k]) - len(self._parts[k])
            piece = self._parts[k][start - first : stop - first]
            pieces.append(piece)
            start += len(piece)
            k += 1
        return pieces


def state_checksum(layout: Layout, value: Any) -> str:
    """A number that tells one state from another."""
    sums = [xxh64(as_bytes(leaf, x)[0].data) for leaf, x in zip(layout.leaves, layout.flat(value))]
    return f"{xxh64(struct.pack(f'<{len(sums)}Q', *sums)):016x}"


class Directory:
    """The directory `path`, made if it is not there, locked for this process, of the sweep that `facts` describe.

    Raises ResumeError if it is in use, holds something else, or belongs to a sweep of other facts; the message says
    which.
    """

    def __init__(self, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
        self.path = Path(os.path.abspath(path))
        self.path.mkdir(parents=True, exist_ok=True)
        self._refuse_others()
        self._lock = self._locked()
        try:
            text = json.dumps({"format": FORMAT, **facts}).encode()
            self.fingerprint = xxh64(text)
            self._claim(text)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._lock)

    def _locked(self) -> int:
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise ResumeError(f"resume_dir: {self.path} is in use by another sweep") from error
        return descriptor

    def _refuse_others(self) -> None:
        """Raise if there are files, and no sweep; nothing is touched then."""
        names = os.listdir(self.path)
        others = [name for name in names if name != _LOCK and not _LEFT.fullmatch(name)]
        if others and _SWEEP not in names:
            raise ResumeError(f"resume_dir: {self.path} holds {others[0]}, and no sweep; name an empty directory")

    def _claim(self, text: bytes) -> None:
        """Check that it is this sweep's directory, or make it so."""
        if not (self.path / _SWEEP).exists():
            with Tape("u1") as tape:
                tape.extend(np.frombuffer(text, np.uint8))
                tape.save(self.path / _SWEEP)
            return
        try:
            with Tape.load(self.path / _SWEEP) as tape:
                found = json.loads(tape[:].tobytes())
        except (ArchiveError, ValueError) as error:
            raise ResumeError(
                f"resume_dir: the description of the sweep is damaged ({error}); delete {self.path}"
            ) from error
        wanted = json.loads(text)
        for key in wanted:
            if key not in found or found[key] != wanted[key]:
                raise ResumeError(
                    f"resume_dir: {self.path} is of another sweep: its {key} is {found.get(key)!r}, and not "
                    f"{wanted[key]!r}; delete it, or name another directory"
                )
        for name in os.listdir(self.path):
            if _LEFT.fullmatch(name):  # of a process that was killed while it wrote
                os.unlink(self.path / name)

    # ------------------------------------------------------------------------------------------ records

    def write(self, kind: str, step: int, leaves: Sequence[Leaf], values: Sequence[Any]) -> None:
        """Write the leaves of a state, or of an adjoint and a gradient, as one file."""
        packed = [as_bytes(leaf, x) for leaf, x in zip(leaves, values)]
        orders = "".join(order for _, order in packed).encode()
        header = np.frombuffer(self._header(kind, step) + orders, np.uint8)
        save(_Record([header, *(data for data, _ in packed)]), self.path / _name(kind, step))

    def read(self, kind: str, step: int, leaves: Sequence[Leaf]) -> list[Any] | None:
        """The leaves in a file; None, with a warning, if it is damaged, and the file is removed."""
        path = self.path / _name(kind, step)
        header = np.empty(_HEADER.size + len(leaves), np.uint8)
        data = [np.empty(leaf.nbytes, np.uint8) for leaf in leaves]
        record = _Record([header, *data])
        try:
            load(path, lambda dtype: record)
            if record.filled < len(record) or header[: _HEADER.size].tobytes() != self._header(kind, step):
                raise ArchiveError(f"{path} is not what its name says")
        except (ArchiveError, OSError) as error:
            warnings.warn(f"{error}; the sweep goes on from an older file", ResumeWarning, stacklevel=2)
            self.remove(kind, step)
            return None
        orders: list[Order] = ["F" if c == ord("F") else "C" for c in header[_HEADER.size :]]
        return [from_bytes(leaf, x, order) for leaf, x, order in zip(leaves, data, orders)]

    def _header(self, kind: str, step: int) -> bytes:
        return _HEADER.pack(kind.encode(), step, self.fingerprint)

    def remove(self, kind: str, step: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / _name(kind, step))

    def numbers(self, kind: str) -> list[int]:
        """The K of the files ``kind-K.tape``, in order."""
        found = map(re.compile(rf"{kind}-(\d+)\.tape").fullmatch, os.listdir(self.path))
        return sorted(int(match[1]) for match in found if match)
