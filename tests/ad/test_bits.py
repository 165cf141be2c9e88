"""Branch decisions that compiled code packs into words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numba.core.errors import TypingError

from ad.bits import pop_bit, push_bit
from ad.guard import Guarded
from ad.runtime import PopFailed, pop, pop_int
from tape import Tape, TapeEmptyError
from tape.numba import push

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy")


@guarded
def forward(handle, plan):
    """Record a plan: 0 and 1 are decisions, 2 a number, 3 a call with decisions of its own."""
    bits = 1
    for i in range(plan.size):
        if plan[i] <= 1:
            bits = push_bit(handle, bits, plan[i] == 1)
        elif plan[i] == 2:
            push(handle, i * 0.5, i)
        else:
            push(handle, inner_forward(handle, i))
    return bits


@guarded
def inner_forward(handle, n):
    bits = 1
    for i in range(n % 130):
        bits = push_bit(handle, bits, i % 3 == 0)
    return bits


@guarded
def reverse(handle, bits, plan):
    """The first position, from behind, at which something else came back; -1 if all is well."""
    for i in range(plan.size - 1, -1, -1):
        if plan[i] <= 1:
            decision, bits = pop_bit(handle, bits)
            if decision != (plan[i] == 1):
                return i
        elif plan[i] == 2:
            if pop_int(handle) != i or pop(handle) != i * 0.5:
                return i
        else:
            if not inner_reverse(handle, i):
                return i
    return -1 if bits == 1 else -2


@guarded
def inner_reverse(handle, n):
    bits = pop_int(handle)
    for i in range(n % 130 - 1, -1, -1):
        decision, bits = pop_bit(handle, bits)
        if decision != (i % 3 == 0):
            return False
    return bits == 1


plans = st.one_of(
    st.lists(st.integers(0, 3), max_size=400),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 130)), max_size=8).map(
        lambda runs: [kind for kind, n in runs for _ in range(n)]
    ),
)


@given(plans, st.sampled_from([64, None]))
def test_decisions_among_other_things(plan, slab):
    plan = np.array(plan, np.int64)
    tape = Tape("f8", slab_bytes=slab)
    bits = forward(tape.handle, plan)
    assert reverse(tape.handle, bits, plan) == -1
    assert len(tape) == 0


@pytest.mark.parametrize("n", [0, 1, 62, 63, 64, 125, 126, 127, 6300])
@pytest.mark.parametrize("kind", [0, 1])
def test_a_word_holds_63(n, kind):
    plan = np.full(n, kind)
    tape = Tape("f8")
    bits = forward(tape.handle, plan)
    assert len(tape) == n // 63
    rest = n % 63
    assert bits == (1 << rest) | (kind * ((1 << rest) - 1))
    assert reverse(tape.handle, bits, plan) == -1


def test_too_few():
    tape = Tape("f8")
    with pytest.raises(PopFailed):
        reverse(tape.handle, 1, np.ones(1, np.int64))
    with pytest.raises(TapeEmptyError):
        tape.raise_failed()


@pytest.mark.parametrize(
    "bad",
    [
        lambda h, bits, x: push_bit(h, bits, x),
        lambda h, bits, x: push_bit(h, x, True),
        lambda h, bits, x: pop_bit(h, x),
    ],
)
def test_misuse_does_not_compile(bad):
    tape = Tape("f8")
    with pytest.raises(TypingError):
        guarded(bad)(tape.handle, 1, 0.5)
