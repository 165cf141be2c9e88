"""Lanes: tapes beside a tape, one for each thread, which no two threads ever wait for.

A thread finds its lane in its own thread-local storage, and compiled code finds it by number in an array of handles, so
no lock is anywhere: neither where a lane is asked for nor where it is pushed to.
"""

from __future__ import annotations

import operator
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from tape.errors import TapeBusyError, TapeClosedError, TapeError, TapeTypeError, TapeValueError

if TYPE_CHECKING:
    from tape.core import Tape

__all__ = ["Lanes"]


class _Stay:
    """That a thread has a lane: it lies in the thread's local storage, and goes with it."""

    def __init__(self, lanes: Lanes, number: int) -> None:
        self._lanes = weakref.ref(lanes)
        self.number = number

    def __del__(self) -> None:
        lanes = self._lanes()
        if lanes is not None:
            lanes._left_behind(self.number)


class Lanes(Sequence["Tape"]):
    """The lanes of a tape, in the order in which they were made (`Tape.lanes`).

    Each is a `Tape` of its own, for one thread at a time, with the dtype, the pool, the memory budget and the spill
    options of the tape that it belongs to (``spill_limit`` counts for each).  None is ever taken out of the sequence.
    """

    def __init__(self, make: Callable[[], Tape]) -> None:
        self._make = make
        # Appending to a list and both ends of a deque are atomic in Python, so these need no lock.
        self._lanes: list[Tape] = []
        self._without_thread: deque[int] = deque()
        self._local = threading.local()
        self._closed = False

    def __len__(self) -> int:
        return len(self._lanes)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Tape: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tape]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Tape | list[Tape]:
        return self._lanes[index]

    def __iter__(self) -> Iterator[Tape]:
        return iter(tuple(self._lanes))

    def __repr__(self) -> str:
        return f"<{len(self)} lanes>"

    def mine(self) -> Tape:
        """The lane of the calling thread (see `Tape.lane`)."""
        stay = getattr(self._local, "stay", None)
        if stay is None:
            stay = self._local.stay = _Stay(self, self._vacant())
        return self._lanes[stay.number]

    def numbered(self, k: SupportsIndex) -> Tape:
        """Lane `k`, which is made if there are not as many yet."""
        number = operator.index(k)
        if number < 0:
            raise TapeValueError(f"k: lane {number}; lanes are numbered from 0")
        while len(self._lanes) <= number:  # another thread may add some too, which then are there early
            self._add()
        return self._lanes[number]

    def _add(self) -> Tape:
        if self._closed:
            raise TapeClosedError("the tape of these lanes is closed")
        lane = self._make()
        self._lanes.append(lane)
        return lane

    def _vacant(self) -> int:
        """A lane for a thread that has none: an empty one that a thread left behind, or a new one."""
        for _ in range(len(self._without_thread)):
            try:
                number = self._without_thread.popleft()
            except IndexError:  # others were faster
                break
            with suppress(TapeBusyError):  # compiled code has it
                if not len(self._lanes[number]):
                    return number
            self._without_thread.append(number)
        lane = self._add()
        return next(k for k, other in enumerate(self._lanes) if other is lane)

    def _left_behind(self, number: int) -> None:
        """The thread of a lane has ended: what is on it stays, and slabs without items go back to the pool."""
        with suppress(TapeError):  # closed, or in use by a thread that was handed it
            self._lanes[number].release()
        self._without_thread.append(number)

    def claimed(self, n: SupportsIndex | None = None) -> _Claims:
        """A context that has the first `n` lanes (made if need be; all of them without `n`) for compiled code.

        It gives their handles, an array of uint64, for the functions of `tape.numba`::

            with t.lanes.claimed(8) as lanes:
                forward(lanes, ...)         # for k in prange(lanes.size): ... push(lanes[k], x)
                reverse(lanes, ...)         # for k in prange(lanes.size): ... pop(lanes[k])

        In it every other use of these lanes raises `TapeBusyError`.  No two threads may use the same handle at once.
        At its end the first failure of a push or pop is raised.

        Raises
        ------
        TapeTypeError
            If the items are not words of 8 bytes.
        TapeBusyError
            If a lane is in use.
        """
        if n is None:
            return _Claims(list(self._lanes))
        count = operator.index(n)
        if count < 0:
            raise TapeValueError(f"n: {count} lanes; a number of lanes is not negative")
        return _Claims([self.numbered(k) for k in range(count)])

    def close(self) -> None:
        """Close all lanes, as `Tape.close` does; one in use or pinned stays open, and raises `TapeBusyError`."""
        self._closed = True
        refused = None
        for lane in self:
            try:
                lane.close()
            except TapeBusyError as error:
                refused = error
        if refused is not None:
            raise refused

    def __reduce__(self) -> str:
        raise TapeTypeError("lanes are memory of this process and cannot be pickled or copied")


class _Claims:
    """What `Lanes.claimed` returns."""

    def __init__(self, lanes: list[Tape]) -> None:
        self._lanes = lanes
        self._stack = ExitStack()

    def __enter__(self) -> npt.NDArray[np.uint64]:
        with ExitStack() as stack:
            handles = [stack.enter_context(lane.claimed()) for lane in self._lanes]
            self._stack = stack.pop_all()
        return np.array(handles, np.uint64)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        failures = []
        for lane in self._lanes:
            try:
                lane.raise_failed()
            except TapeError as error:
                failures.append(error)
        if failures and kind is None:
            raise failures[0]
