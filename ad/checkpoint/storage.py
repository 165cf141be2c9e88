"""Where the snapshots of a sweep are: in memory and on disk, both by way of tapes."""

import contextlib
import os
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ad.checkpoint.layout import Layout, Leaf
from ad.errors import ADValueError
from tape import Mark, Tape, TapeBusyError
from tape.store import Store as TapeStore

__all__ = ["Disk", "Memory", "Storage", "as_bytes", "slot_bytes"]

Bytes = npt.NDArray[np.uint8]
Order = Literal["C", "F"]
Place = str | os.PathLike[str] | TapeStore | None

_LINE = 64  # bytes that arrays in a slot are aligned to
_BLOCK = 1 << 18
_WRITE_BEHIND = 4 << 20  # bytes at least, so that a snapshot is on its way to disk while the next steps are taken


class Storage(Protocol):
    """One level of storage: snapshots by the number of their state."""

    def store(self, step: int, leaves: list[Any]) -> None: ...
    def restore(self, step: int, keep: bool) -> list[Any]: ...
    def discard(self, step: int) -> None: ...
    def steps(self) -> list[int]: ...
    def close(self) -> None: ...


def _order(x: npt.NDArray[Any]) -> Order:
    """Snapshots keep the order of contiguous arrays in memory: sums and products of matrices depend on it in the last
    bit.
    """
    return "F" if x.flags.f_contiguous and not x.flags.c_contiguous else "C"


def as_bytes(leaf: Leaf, x: Any) -> tuple[Bytes, Order]:
    """The memory of a leaf, copied only if it has gaps, and its order."""
    array = x if leaf.kind is np.ndarray else np.array(x, leaf.dtype)
    order = _order(array)
    array = np.ascontiguousarray(array.T if order == "F" else array)
    return array.reshape(-1).view(np.uint8), order


def from_bytes(leaf: Leaf, data: Bytes, order: Order) -> Any:
    """A leaf over this memory."""
    array = data.view(leaf.dtype).reshape(leaf.shape, order=order)
    if leaf.kind is np.ndarray:
        return array
    return array.item() if leaf.kind in (bool, int, float, complex) else array[()]


def _parts(layout: Layout) -> list[tuple[Leaf, slice]]:
    """Which bytes of a slot are for which array, each aligned; numbers have none."""
    parts, at = [], 0
    for leaf in layout.leaves:
        nbytes = leaf.nbytes if leaf.kind is np.ndarray else 0
        parts.append((leaf, slice(at, at + nbytes)))
        at += -(-nbytes // _LINE) * _LINE
    return parts


def slot_bytes(layout: Layout) -> int:
    """The memory of a snapshot."""
    return max(sum(-(-(part.stop - part.start) // _LINE) * _LINE for _, part in _parts(layout)), _LINE)


def _missing(step: int, where: str) -> ADValueError:
    return ADValueError(f"the schedule restores the snapshot of state {step} from {where}, and there is none")


def _close(tape: Tape) -> None:
    # The frames of an error under way may keep a view alive; the tape then goes with them.
    with contextlib.suppress(TapeBusyError):
        tape.close()


class Memory:
    """Snapshots in blocks of one tape, which are never moved, and are used again; numbers are kept as they are.

    Raises ADValueError if there are to be more than `room` (None for any number).
    """

    def __init__(self, layout: Layout, room: int | None) -> None:
        self._parts = _parts(layout)
        self._room = room
        self._bytes = slot_bytes(layout)
        # Large snapshots have a slab each, of just their size.
        large = self._bytes if self._bytes > _BLOCK else None
        self._tape = Tape(f"V{_LINE}", slab_bytes=large)
        self._used: dict[int, list[Any]] = {}
        self._free: list[list[Any]] = []

    def store(self, step: int, leaves: list[Any]) -> None:
        if not self._free:
            if self._room is not None and len(self._used) >= self._room:
                raise ADValueError(f"the schedule stores more than the {self._room} snapshots that have room in memory")
            self._grow()
        slot = self._free.pop()
        self._used[step] = slot
        for k, x in enumerate(leaves):
            place = slot[k]
            if type(x) is not np.ndarray:
                slot[k] = x
                continue
            if x.ndim > 1 and (order := _order(x)) != _order(place):
                slot[k] = place = place.reshape(-1, order="A").reshape(x.shape, order=order)
            place[...] = x

    def restore(self, step: int, keep: bool) -> list[Any]:
        slot = self._used.get(step)
        if slot is None:
            raise _missing(step, "memory")
        found = [x.copy(order="K") if type(x) is np.ndarray else x for x in slot]
        if not keep:
            self.discard(step)
        return found

    def discard(self, step: int) -> None:
        if step not in self._used:
            raise _missing(step, "memory")
        self._free.append(self._used.pop(step))

    def steps(self) -> list[int]:
        return list(self._used)

    def close(self) -> None:
        self._used.clear()
        self._free.clear()
        _close(self._tape)

    def _grow(self) -> None:
        """One more slot; of small ones as many as there are, so that a block of the tape has many."""
        more = max(min(len(self._used), _BLOCK // self._bytes), 1)
        if self._room is not None:
            more = min(more, self._room - len(self._used))
        block = self._tape.reserve(more * self._bytes // _LINE).view(np.uint8)
        self._free += [self._slot(block[k * self._bytes : (k + 1) * self._bytes]) for k in range(more)]

    def _slot(self, block: Bytes) -> list[Any]:
        """The arrays of a slot, and a place for each number."""
        return [
            None if leaf.kind is not np.ndarray else block[part].view(leaf.dtype).reshape(leaf.shape)
            for leaf, part in self._parts
        ]


class Disk:
    """Snapshots on a tape that keeps only the newest bytes in memory: a stack.

    They are written behind the steps and read ahead of the reverse sweep, by the threads of the tape, to a file without
    a name in `place`.  Raises ADValueError where one is restored that is not the newest.
    """

    def __init__(self, layout: Layout, room: int | None, place: Place, memory: int) -> None:
        self._leaves = layout.leaves
        self._room = room
        self._tape = Tape("u1", memory=memory, spill_dir=place)
        self._held: list[tuple[int, Mark, list[Order]]] = []

    @staticmethod
    def memory(layout: Layout) -> int:
        """The memory for snapshots on their way: two of them."""
        return max(2 * layout.nbytes, _WRITE_BEHIND)

    def store(self, step: int, leaves: list[Any]) -> None:
        if self._room is not None and len(self._held) >= self._room:
            raise ADValueError(f"the schedule stores more than the {self._room} snapshots that may be on disk")
        mark, orders = self._tape.mark(), []
        for leaf, x in zip(self._leaves, leaves):
            data, order = as_bytes(leaf, x)
            self._tape.extend(data)
            orders.append(order)
        self._held.append((step, mark, orders))

    def restore(self, step: int, keep: bool) -> list[Any]:
        mark, orders = self._newest(step)
        at, found = mark.position, []
        for leaf, order in zip(self._leaves, orders):
            found.append(from_bytes(leaf, self._tape[at : at + leaf.nbytes], order))
            at += leaf.nbytes
        if not keep:
            self.discard(step)
        return found

    def discard(self, step: int) -> None:
        mark, _ = self._newest(step)
        self._tape.rewind(mark)
        self._held.pop()

    def steps(self) -> list[int]:
        return [step for step, _, _ in self._held]

    def close(self) -> None:
        _close(self._tape)

    def _newest(self, step: int) -> tuple[Mark, list[Order]]:
        if not self._held or self._held[-1][0] != step:
            raise _missing(step, "the top of the disk")
        return self._held[-1][1:]
