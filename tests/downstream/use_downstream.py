"""Run against the built extension by tests/test_downstream.py; every line must hold."""

import threading

import downstream
import numpy as np
import pytest

from tape import SlabPool, Tape, TapeBusyError, TapeClosedError, TapeEmptyError, TapeMemoryError, TapeTypeError

items = np.random.default_rng(0).standard_normal(100_000)
tape = Tape("f8")
downstream.push_all(tape, items)
assert np.array_equal(tape[:], items)
out = np.empty_like(items)
downstream.pop_all(tape, out)
assert np.array_equal(out, items)

assert downstream.words(Tape("i8"), 10_000) == 10_000 * 9_999 // 2
assert downstream.singles(Tape("f4"), 1000) == 1000 * 999 // 2
for n in (0, 1, 21, 22, 170, 171, 5000):
    assert downstream.blocks(n), n
assert downstream.opaque(2.5) == 2.5

with pytest.raises(TapeEmptyError):
    downstream.pop_all(tape, out)
with pytest.raises(TapeTypeError, match="float32"):
    downstream.singles(tape, 1)
small = Tape("f8", pool=SlabPool(limit=4096))
with pytest.raises(TapeMemoryError):
    downstream.push_all(small, items)
assert np.array_equal(small[:], items[: 64 + 512])
tape.close()
with pytest.raises(TapeClosedError):
    downstream.push_all(tape, items)

with Tape("f8", memory="64 KiB") as spilling:
    for _ in range(2):
        downstream.push_all(spilling, items)
        assert spilling.traffic().spilled_bytes > 10 * 65536
        out[:] = 0.0
        assert np.isclose(downstream.read_twice(spilling, out), 2.0 * items.sum())
        assert np.array_equal(out, items) and len(spilling) == len(items)
        out[:] = 0.0
        downstream.pop_all(spilling, out)
        assert np.array_equal(out, items)
    assert spilling.traffic().prefetch_hits > 0 and spilling.budget.high_bytes <= 65536

shared = Tape("f8", thread_safe=True)
work = [threading.Thread(target=downstream.push_all, args=(shared, items)) for _ in range(4)]
work += [threading.Thread(target=downstream.fill_in_place, args=(shared, float(k), 1000)) for k in range(4)]
for thread in work:
    thread.start()
for thread in work:
    thread.join()
assert len(shared) == 4 * len(items) + 4000
assert np.isclose(shared[:].sum(), 4 * items.sum() + 6000)
out = np.empty(len(shared))
downstream.pop_all(shared, out)
assert np.isclose(out.sum(), 4 * items.sum() + 6000) and len(shared) == 0

rows = np.arange(12.0).reshape(3, 4)
tape = Tape("f8")
assert downstream.on_lanes(tape, rows) == (rows * [1, 2, 3, 4]).sum(1).tolist()
assert [len(lane) for lane in tape.lanes] == [0, 0, 0]
tape.lane(1).push(1.0)
with pytest.raises(TapeTypeError, match="float32"):
    downstream.on_lanes(Tape("f4"), rows)
with tape.lanes.claimed(2), pytest.raises(TapeBusyError):
    downstream.on_lanes(tape, rows)
tape.lane(0).push(1.0)  # no claim was left behind

tape = Tape("f8")
for use in (lambda: tape.push(1.0), tape.close, lambda: downstream.push_all(tape, items)):
    with pytest.raises(TapeBusyError, match="in use"):
        downstream.while_claimed(tape, use)
tape.push(1.0)
print("downstream: all holds")
