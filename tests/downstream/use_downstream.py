"""Run against the built extension by tests/test_downstream.py; every line must hold."""

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

tape = Tape("f8")
for use in (lambda: tape.push(1.0), tape.close, lambda: downstream.push_all(tape, items)):
    with pytest.raises(TapeBusyError, match="in use"):
        downstream.while_claimed(tape, use)
tape.push(1.0)
print("downstream: all holds")
