"""Schedules for a compiled loop: what it stores when, on one stack."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad import ADValueError
from ad.checkpoint import (
    Advance,
    Discard,
    End,
    Level,
    Restore,
    Reverse,
    Store,
    binomial,
    disk_revolve,
    dynamic,
    h_revolve,
    mixed,
    periodic,
    periodic_disk_revolve,
    validate,
)
from ad.checkpoint.orders import NONE, stack_orders

RAM, DISK, WORK = Level.RAM, Level.DISK, Level.WORK


def carried_out(table, n):
    """The steps that a loop takes by a table, those that are reversed not counted, and the most that it holds."""
    reads = iter(table.tolist())
    stack, most, taken = [], 0, 0

    def run(at, stop):
        nonlocal most, taken
        due = next(reads)
        while at < stop:
            if at == due:
                stack.append(at)
                most = max(most, len(stack))
                due = next(reads)
            at += 1
            taken += 1
        assert due == NONE

    run(0, n)
    for step in reversed(range(n)):
        run(stack.pop(), step)
    assert not stack and next(reads, None) is None
    return taken, most


def check(schedule, n, ram, disk):
    counts = validate(schedule(n, ram, disk), n, ram, disk)
    table = stack_orders(schedule(n, ram, disk), n, ram, disk)
    assert table.dtype == np.int64
    taken, most = carried_out(table, n)
    assert taken == counts.forward
    assert most <= counts.most[RAM] + counts.most[DISK] + counts.most[WORK]


LENGTHS = [0, 1, 2, 3, 4, 7, 8, 13, 20, 33, 50]


@pytest.mark.parametrize("n", LENGTHS)
def test_ours(n):
    for ram in (1, 2, 3, 5, 60):
        for disk in (0, 1, 4):
            check(binomial, n, ram, disk)
        check(dynamic, n, ram, 0)
        check(partial(periodic, period=4), n, ram, None)


@pytest.mark.parametrize("n", LENGTHS)
def test_those_of_the_package(n):
    pytest.importorskip("checkpoint_schedules")
    for ram in (1, 2, 3, 5):
        for costs in ({}, {"write": 5.0, "read": 3.0}, {"write": 0.1, "read": 10.0}, {"write": 100.0, "read": 0.0}):
            for disk in (1, 2, 4):
                check(partial(h_revolve, **costs), n, ram, disk)
            check(partial(disk_revolve, **costs), n, ram, None)
            check(partial(periodic_disk_revolve, **costs), n, ram, None)
        check(mixed, n, ram, 0)
        check(mixed, n, 0, ram)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_numbers_and_costs_that_come_as_they_like(data):
    pytest.importorskip("checkpoint_schedules")
    n, ram, disk = (data.draw(st.integers(*within)) for within in ((0, 120), (1, 12), (1, 12)))
    costs = {name: data.draw(st.floats(0.0, 50.0)) for name in ("write", "read")}
    check(partial(h_revolve, **costs), n, ram, disk)
    check(partial(disk_revolve, **costs), n, ram, None)


def test_the_table():
    actions = [
        Store(0, DISK),
        Advance(0, 2),
        Store(2, RAM),
        Advance(2, 4),
        End(4),
        Restore(2, RAM, True),
        Advance(2, 3),
        Reverse(3),
        Restore(2, RAM, False),
        Reverse(2),
        Restore(0, DISK, False),
        Store(0, RAM),
        Advance(0, 1),
        Reverse(1),
        Restore(0, RAM, False),
        Reverse(0),
    ]
    assert stack_orders(actions, 4, 1, 1).tolist() == [0, 2, NONE, 2, NONE, NONE, 0, NONE, NONE]


def reversed_from_the_start(n, *before):
    """`before`, and then every step from the snapshot of step 0."""
    return [*before, End(n), *(a for i in reversed(range(n)) for a in (Restore(0, RAM, True), *forward(i), Reverse(i)))]


def forward(stop):
    return [Advance(0, stop)] if stop else []


def test_what_nothing_comes_of_is_left_out():
    """Snapshots that are never restored, discarded, or restored for nothing; places are free after the last use."""
    plain = stack_orders(reversed_from_the_start(3, Store(0, RAM), Advance(0, 3)), 3, 1, 0)
    assert plain.tolist() == [0, NONE, 0, NONE, 0, NONE, NONE]
    never = [Store(0, RAM), Advance(0, 1), Store(1, DISK), Advance(1, 2), Store(2, RAM), Advance(2, 3)]
    for more in ([], [Discard(2, RAM), Discard(1, DISK)]):
        assert np.array_equal(stack_orders(reversed_from_the_start(3, *never, *more), 3, 2, 1), plain)
    detour = reversed_from_the_start(3, Store(0, RAM), Advance(0, 3))
    detour[3:3] = [Restore(0, RAM, True), Advance(0, 1)]
    assert np.array_equal(stack_orders(detour, 3, 1, 0), plain)


def test_two_copies_of_one_state_are_one_snapshot():
    actions = [
        *(Store(0, DISK), Store(0, RAM), Advance(0, 3), End(3)),
        *(Restore(0, RAM, True), Advance(0, 2), Reverse(2)),
        *(Restore(0, RAM, False), Advance(0, 1), Reverse(1)),
        *(Restore(0, DISK, False), Reverse(0)),
    ]
    assert stack_orders(actions, 3, 1, 1).tolist() == [0, NONE, 0, NONE, 0, NONE, NONE]


SWAPPED = [
    *(Store(0, DISK), Advance(0, 1), Store(1, RAM), Advance(1, 3), End(3)),
    *(Restore(0, DISK, True), Advance(0, 2), Reverse(2), Restore(1, RAM, False), Reverse(1), Restore(0, DISK, False)),
    Reverse(0),
]
TWICE = [
    *(Store(0, RAM), Advance(0, 3), End(3)),
    *(Restore(0, RAM, True), Advance(0, 1), Store(1, DISK), Restore(0, RAM, True), Advance(0, 2), Reverse(2)),
    *(Restore(1, DISK, False), Reverse(1), Restore(0, RAM, False), Reverse(0)),
]


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        (SWAPPED, r"action 6 is Restore\(step=0,.*but the snapshot of step 1 is newer, and needed later"),
        (TWICE, r"action 7 is Restore\(step=0,.*but one goes back only to reverse a step, and once for each"),
        ([Store(0, RAM), Advance(0, 2), Restore(0, RAM, True), *TWICE[1:]], "action 3 is .* only to reverse a step"),
        ([Store(0, RAM), *TWICE[1:2], End(3)], "the schedule ends with 3 steps not reversed"),
        ([Store(0, RAM), Advance(0, 3), Store(3, RAM)], "all 1 places there are taken"),
        ([Store(0, RAM), Advance(0, 3), End(3), Restore(1, RAM, False)], "no such snapshot is there"),
        ([Store(0, RAM), "Advance"], "'Advance', which is no action"),
    ],
)
def test_what_is_refused(actions, text):
    with pytest.raises(ADValueError, match=text):
        stack_orders(actions, 3, 1, 1)
    if actions in (SWAPPED, TWICE):
        validate(actions, 3, 1, 1)  # the driver carries them out
