"""Stacks that the threads of a kernel keep: a lane each, in a block of device memory.

The item at depth k of a thread lies beside those at depth k of the other threads of its warp, so a warp that pushes
or pops in step moves whole lines of memory (CUDA C++ Programming Guide, "Device Memory Accesses").  Each warp has its
part of the block to itself; nothing is shared, so nothing is locked.  How many items a thread has is a number that the
kernel keeps, in a register::

    from tape.cuda.lanes import Lanes, pop, push

    @cuda.jit
    def kernel(lanes, x):
        i = cuda.grid(1)
        if i < x.size:
            top = 0
            for k in range(steps):
                top = push(lanes, i, top, x[i])
                ...
            for k in range(steps):
                top, value = pop(lanes, i, top)
                ...

    lanes = Lanes("f8", threads, depth)
    kernel[blocks, 128](lanes.argument, x)
    lanes.check()

A push that finds its lane full stores nothing and says so, a pop from an empty one too: `Lanes.check` raises what
they said, with the depth that would have been enough.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import cuda

from tape.convert import fixed_dtype
from tape.errors import TapeEmptyError, TapeMemoryError, TapeTypeError, TapeValueError

__all__ = ["WARP", "Argument", "Lanes", "pop", "push", "shape"]

WARP = 32  # of all GPUs so far
_SHIFT, _MASK = 5, 31  # thread // WARP and thread % WARP, for numbers that are not negative


class Argument(NamedTuple):
    """What a kernel is given."""

    block: Any
    """Device array of `shape(threads, depth)`."""
    trouble: Any
    """Device array of two int64: the depth that a full lane would have needed, and pops from empty lanes."""


def shape(threads: int, depth: int) -> tuple[int, int, int]:
    """Of the block for so many threads, with lanes of `depth` items: also that of an item of a `DeviceTape`."""
    if threads < 1 or depth < 1:
        raise TapeValueError(f"{threads} threads with lanes of {depth} items: one at least of each is wanted")
    return -(-threads // WARP), depth, WARP


@cuda.jit(device=True)
def push(lanes, thread, top, x):
    """Push `x` on the lane of `thread`, which has `top` items; returns how many it has then."""
    if top < lanes.block.shape[1]:
        lanes.block[thread >> _SHIFT, top, thread & _MASK] = x
    else:
        cuda.atomic.max(lanes.trouble, 0, top + 1)
    return top + 1


@cuda.jit(device=True)
def pop(lanes, thread, top):
    """Take the newest of the `top` items of `thread` off; returns how many are left, and the item."""
    place = top - 1
    if place < 0:
        cuda.atomic.add(lanes.trouble, 1, 1)
        place = 0
    elif place >= lanes.block.shape[1]:  # pushed to a full lane: `trouble` has it already
        place = lanes.block.shape[1] - 1
    return top - 1, lanes.block[thread >> _SHIFT, place, thread & _MASK]


class Lanes:
    """A block of lanes, and what went wrong in it.

    Parameters
    ----------
    dtype : dtype-like
        Of the items: one that Numba knows on the device.
    threads, depth : int
        Lanes, and the most items of one.
    block : device array, optional
        Memory for them, of shape ``shape(threads, depth)``: that of `DeviceTape.reserve` or `DeviceTape.peek`, for
        example, so that the layers of a tape lie under the lanes.

    Raises
    ------
    TapeTypeError, TapeValueError
        For a `block` of another dtype or shape.
    """

    def __init__(self, dtype: npt.DTypeLike, threads: int, depth: int, *, block: Any = None) -> None:
        self.dtype, self.threads, self.depth = fixed_dtype(dtype), threads, depth
        self._trouble = cuda.to_device(np.zeros(2, np.int64))
        self.block = cuda.device_array(shape(threads, depth), self.dtype) if block is None else self._checked(block)

    def _checked(self, block: Any) -> Any:
        if block.dtype != self.dtype:
            raise TapeTypeError(f"block: an array of dtype {block.dtype} for lanes of {self.dtype}")
        if tuple(block.shape) != shape(self.threads, self.depth):
            raise TapeValueError(
                f"block: an array of shape {tuple(block.shape)}; {self.threads} lanes of {self.depth} items have "
                f"{shape(self.threads, self.depth)}"
            )
        return block

    def over(self, block: Any) -> Argument:
        """What a kernel is given that works on another block of the same shape; trouble is told here."""
        return Argument(self._checked(block), self._trouble)

    @property
    def argument(self) -> Argument:
        """What a kernel is given."""
        return Argument(self.block, self._trouble)

    def check(self, stream: Any = 0) -> None:
        """Wait for the kernels so far on a stream of Numba, and raise what went wrong in them; then it is forgotten.

        Raises
        ------
        TapeMemoryError
            If a lane was too short; the message has the depth that the longest would have needed.
        TapeEmptyError
            If a thread popped more than it had pushed.
        """
        found = self._trouble.copy_to_host(stream=stream)
        if stream:
            stream.synchronize()
        deepest, empty = (int(n) for n in found)
        if not deepest and not empty:
            return
        self._trouble.copy_to_device(np.zeros(2, np.int64), stream=stream)
        if deepest:
            raise TapeMemoryError(f"a thread pushed {deepest} items at once, and lanes have room for {self.depth}")
        raise TapeEmptyError(f"threads popped {empty} items more than they had pushed")
