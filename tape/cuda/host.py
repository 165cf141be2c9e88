"""The layer under page-locked memory: a `Tape` of bytes, which spills to disk and reads ahead by itself."""

import os

from tape.core import Mark, Tape
from tape.cuda.device import Bytes
from tape.cuda.hostcopy import copy_bytes
from tape.stats import LayerStats
from tape.store import Store

__all__ = ["HostStack"]


class HostStack:
    """Whole slabs in pageable memory and on disk, the last one in first out."""

    def __init__(
        self,
        slab_bytes: int,
        memory: int | None,
        spill_dir: str | os.PathLike[str] | Store | None,
        spill_limit: int | str | None,
        compress: str | None,
    ) -> None:
        self.tape = Tape(
            "u1",
            memory=memory,
            spill_dir=spill_dir,
            slab_bytes=slab_bytes,
            spill_limit=spill_limit,
            compress=compress,
        )
        self._below: list[tuple[Mark, int]] = []  # where each slab begins, and its bytes

    def __len__(self) -> int:
        return len(self._below)

    @property
    def nbytes(self) -> int:
        return 0 if self.tape.closed else self.tape.nbytes

    def push(self, data: Bytes) -> None:
        """Add a slab.  Raises what `Tape.reserve` raises; the layer is then as it was."""
        mark = self.tape.mark()
        room = self.tape.reserve(len(data))
        copy_bytes((room, data))
        self._below.append((mark, len(data)))

    def pop(self, out: Bytes) -> None:
        """Take the newest slab off, into the beginning of `out`.

        Raises what `Tape.peek` raises; the slab is then still there.
        """
        mark, nbytes = self._below[-1]
        self._copy_top(out[:nbytes])
        self.tape.rewind(mark)
        self._below.pop()

    def _copy_top(self, out: Bytes) -> None:
        copy_bytes((out, self.tape.peek(len(out))))  # a view, which would pin the slab if it lived on

    def keep(self, count: int) -> None:
        """Drop slabs, unread, until `count` are left."""
        if count < len(self._below):
            self.tape.rewind(self._below[count][0])
            del self._below[count:]

    def traffic(self) -> LayerStats | None:
        """What the tape has where, and moved, if it has a budget."""
        return self.tape.traffic()

    def close(self) -> None:
        """Forget everything."""
        self._below.clear()
        self.tape.close()
