"""The model of a tape: a Python list, and rules for all operations."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tape import (
    SlabPool,
    Tape,
    TapeBusyError,
    TapeEmptyError,
    TapeIndexError,
    TapeMarkError,
    TapeMemoryError,
    TapeValueError,
)

VALUES = st.integers(-(2**31), 2**31)
COUNTS = st.one_of(st.integers(0, 10), st.integers(0, 400))


class TapeMachine(RuleBasedStateMachine):
    """The list, the live marks and the live views are the model; the tape must agree with it after every step."""

    dtype = "i8"
    options: ClassVar[dict] = {}

    @initialize(slab=st.sampled_from([64, 72, 640, None]), limit=st.sampled_from([None, 4096, 20_000]))
    def start(self, slab, limit):
        self.pool = SlabPool(limit=limit, retain=10_000)
        self.begin(Tape(self.dtype, slab_bytes=slab, pool=self.pool, **self.options))

    def begin(self, tape):
        self.tape = tape
        self.items = []
        self.marks = []  # (mark, position, live)
        self.views = []  # (array, position of its end, contents)

    def item(self, k):
        return k

    def refused(self, left):
        return any(end > left for _, end, _ in self.views)

    def shrink(self, left):
        del self.items[left:]
        self.marks = [(m, p, live and p <= left) for m, p, live in self.marks]

    def grow(self, use, new):
        """Out of memory is allowed where the pool has a limit, and must change nothing."""
        try:
            use()
        except TapeMemoryError:
            assert self.pool.limit is not None, "no limit, and yet no memory"
        else:
            self.items += new
            return True
        return False

    @rule(k=VALUES)
    def push(self, k):
        self.grow(lambda: self.tape.push(self.item(k)), [self.item(k)])

    @rule()
    def pop(self):
        if not self.items:
            with pytest.raises(TapeEmptyError):
                self.tape.pop()
        elif self.refused(len(self.items) - 1):
            with pytest.raises(TapeBusyError):
                self.tape.pop()
        else:
            assert self.tape.pop() == self.items[-1]
            self.shrink(len(self.items) - 1)

    @rule(n=COUNTS, k=VALUES)
    def extend(self, n, k):
        new = [self.item(k + j) for j in range(n)]
        self.grow(lambda: self.tape.extend(np.array(new, dtype=self.tape.dtype)), new)

    @rule(n=COUNTS)
    def popn(self, n):
        left = len(self.items) - n
        if left < 0:
            with pytest.raises(TapeEmptyError):
                self.tape.popn(n)
        elif n and self.refused(left):
            with pytest.raises(TapeBusyError):
                self.tape.popn(n)
        else:
            assert self.tape.popn(n).tolist() == [self.plain(x) for x in self.items[left:]]
            self.shrink(left)

    def plain(self, x):
        return x

    @rule(n=COUNTS, k=VALUES, keep=st.booleans())
    def reserve(self, n, k, keep):
        new = [self.item(k + j) for j in range(n)]
        held = []
        if self.tape.max_reserve is not None and n > self.tape.max_reserve:
            with pytest.raises(TapeValueError, match="max_reserve"):
                self.tape.reserve(n)
            return

        def use():
            view = self.tape.reserve(n)
            view[:] = new
            held.append(view)

        if self.grow(use, new) and keep and n:
            self.views.append((held[0], len(self.items), [self.plain(x) for x in new]))

    @rule(n=COUNTS)
    def peek(self, n):
        if n > len(self.items):
            with pytest.raises(TapeEmptyError):
                self.tape.peek(n)
            return
        expected = [self.plain(x) for x in self.items[len(self.items) - n :]]
        try:
            view = self.tape.peek(n)
        except TapeValueError:
            assert n > 1, "a single item is always contiguous"
            return
        assert view.tolist() == expected
        if n:
            self.views.append((view, len(self.items), expected))

    @rule(data=st.data())
    def drop_view(self, data):
        if self.views:
            del self.views[data.draw(st.integers(0, len(self.views) - 1))]

    @rule()
    def mark(self):
        self.marks.append((self.tape.mark(), len(self.items), True))

    @rule(data=st.data())
    def rewind(self, data):
        if not self.marks:
            return
        mark, position, live = self.marks[data.draw(st.integers(0, len(self.marks) - 1))]
        if not live:
            with pytest.raises(TapeMarkError):
                self.tape.rewind(mark)
        elif self.refused(position):
            with pytest.raises(TapeBusyError):
                self.tape.rewind(mark)
        else:
            self.tape.rewind(mark)
            self.shrink(position)

    @rule(data=st.data())
    def drop_mark(self, data):
        if self.marks:
            del self.marks[data.draw(st.integers(0, len(self.marks) - 1))]

    @rule()
    def clear(self):
        if self.refused(0):
            with pytest.raises(TapeBusyError):
                self.tape.clear()
        else:
            self.tape.clear()
            self.shrink(0)

    @rule()
    def release(self):
        self.tape.release()

    @rule(i=st.integers(-500, 500))
    def index(self, i):
        if -len(self.items) <= i < len(self.items):
            assert self.tape[i] == self.items[i]
        else:
            with pytest.raises(TapeIndexError):
                self.tape[i]

    @rule(s=st.slices(500))
    def slice(self, s):
        assert self.tape[s].tolist() == [self.plain(x) for x in self.items[s]]

    @rule()
    def iterate(self):
        assert list(self.tape) == self.items
        assert list(reversed(self.tape)) == self.items[::-1]

    @invariant()
    def agrees(self):
        if not hasattr(self, "tape"):
            return
        assert len(self.tape) == len(self.items)
        assert not self.items or self.tape.peek() == self.items[-1]
        for mark, position, live in self.marks:
            assert mark.live == live
            assert not live or mark.position == position
        for view, _, contents in self.views:
            assert view.tolist() == contents
        stats = self.tape.stats()
        assert stats.pins == len(self.views)
        self.account(stats)

    def account(self, stats):
        """All memory is where the figures say."""
        pool = self.pool.stats()
        assert pool.used_slabs == stats.slabs + stats.spare_slabs
        assert pool.used_bytes == stats.slab_bytes + stats.spare_bytes
        assert pool.free_bytes <= 10_000
        assert pool.limit is None or pool.used_bytes + pool.free_bytes <= pool.limit

    def teardown(self):
        if not hasattr(self, "tape"):
            return
        self.views.clear()
        self.tape.close()
        assert self.pool.stats().used_slabs == 0
        assert self.pool.stats().used_bytes == 0


class Records:
    """Items of 24 bytes, which fill neither the inline buffer nor a slab exactly."""

    dtype = np.dtype([("a", "i8"), ("b", "f8"), ("c", "i4"), ("d", "i4")])

    def item(self, k):
        return np.array((k, k / 2, k % 1000, 7), dtype=self.dtype)[()]

    def plain(self, x):
        return x.tolist()
