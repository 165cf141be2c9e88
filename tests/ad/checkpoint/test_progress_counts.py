"""The trips that a gradient with ``progress=True`` counts: those that there are, as many as it said there would be."""

from math import sin

import numpy as np
import pytest
from numba import njit, prange
from terminal import counts_of, shown

import ad
from ad.checkpoint import (
    Advance,
    End,
    Level,
    Restore,
    Reverse,
    Store,
    binomial,
    fewest_steps,
    h_revolve,
    validate,
)
from ad.checkpoint.compiled import (
    binomial_repeats,
    default_snapshots,
    following,
    following_in_stage,
    online_repeats,
    periodic_repeats,
    stage_end,
    table_repeats,
)
from ad.checkpoint.orders import stack_orders


def by_snapshots(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s):
        x = 0.75 * x * (1.5 - x)
    return x


def by_default(x, n):
    for _ in ad.checkpointed(range(3, n + 3)):
        x = 0.75 * x * (1.5 - x)
    return x


def online(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s, schedule="online"):
        x = 0.75 * x * (1.5 - x)
    return x


def while_by_default(x, n):
    k = 0
    while ad.checkpointed(k < n):
        x = 0.75 * x * (1.5 - x)
        k += 1
    return x


def periodic(x, n, period, s):
    for _ in ad.checkpointed(range(n), schedule="periodic", period=period, snapshots=s):
        x = 0.75 * x * (1.5 - x)
    return x


def left_early(x, n, m, s):
    for i in ad.checkpointed(range(n), snapshots=s):
        x = 0.75 * x * (1.5 - x)
        if i == m:
            break
    return x


def left_early_periodic(x, n, m, period, s):
    for i in ad.checkpointed(range(n), schedule="periodic", period=period, snapshots=s):
        x = 0.75 * x * (1.5 - x)
        if i == m:
            break
    return x


@pytest.mark.parametrize("s", [1, 2, 3, 7])
def test_binomial(s, terminal):
    g = ad.grad(by_snapshots, "x")
    for n in (1, 2, 3, 8, 21, 40):
        assert shown(g, terminal, 0.3, n, s) == [(n, fewest_steps(n, s) - (n - 1), n)]
    g(0.3, 0, s, progress=True)
    assert "no marked loop was reached" in terminal.lines[-1]


def test_binomial_by_default(terminal):
    g = ad.value_and_grad(by_default, "x")
    assert shown(g, terminal, 0.3, 50) == [(50, fewest_steps(50, default_snapshots(50)) - 49, 50)]


def test_online(terminal):
    """What is run again is known when the forward sweep ends; `shown` looks whether it was that."""
    g = ad.grad(online, "x")
    for s in (1, 2, 3, 5):
        for n in (1, 2, 4, 9, 10, 11, 27, 36):
            assert shown(g, terminal, 0.3, n, s) == [(n, online_repeats(n, s), n)]
    g = ad.grad(while_by_default, "x")
    for n in (1, 2, 3, 4, 7, 30):
        ((forward, again, back),) = shown(g, terminal, 0.3, n)
        assert forward == back == n and again < n


def test_periodic(terminal):
    g = ad.grad(periodic, "x")
    for n, period, s in ((1, 1, 1), (20, 4, 1), (21, 5, 2), (24, 8, 8), (3, 10, 2)):
        assert shown(g, terminal, 0.3, n, period, s) == [(n, periodic_repeats(n, period, s), n)]
    assert periodic_repeats(20, 4, 1) >= 5 * fewest_steps(4, 4), "more places are free in the lower ones"


def test_left_early(terminal):
    g = ad.grad(left_early, "x")
    for n, m, s in ((20, 0, 3), (20, 1, 3), (20, 7, 3), (33, 31, 4), (20, 50, 3), (20, 5, 1)):
        trips = min(m + 1, n)
        assert shown(g, terminal, 0.3, n, m, s) == [(trips, binomial_repeats(trips, n, s), trips)]
    g = ad.grad(left_early_periodic, "x")
    for m in (0, 4, 5, 11):
        assert shown(g, terminal, 0.3, 30, m, 5, 2) == [(m + 1, periodic_repeats(m + 1, 5, 2), m + 1)]


def by_a_library(x, n):
    for _ in ad.checkpointed(range(n), snapshots=2, disk_snapshots=3, schedule="h_revolve"):
        x = 0.75 * x * (1.5 - x)
    return x


def binomial_by_table(n, snapshots, _disk_snapshots):
    return binomial(n, snapshots, 0)


def computed(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s, schedule=binomial_by_table):
        x = 0.75 * x * (1.5 - x)
    return x


def test_schedules_that_are_computed(terminal):
    pytest.importorskip("checkpoint_schedules")
    g = ad.grad(by_a_library, "x")
    for n in (1, 2, 9, 25):
        counts = validate(h_revolve(n, 2, 3), n, snapshots=2, disk_snapshots=3)
        assert shown(g, terminal, 0.3, n) == [(n, counts.forward - n, n)]
    assert shown(ad.grad(computed, "x"), terminal, 0.3, 20, 3) == [(20, repeats(20, 3), 20)]


def nested(x, m, n):
    for _ in ad.checkpointed(range(m), snapshots=2):
        for _ in ad.checkpointed(range(n), snapshots=3):
            x = 0.75 * x * (1.5 - x)
    return x


def marked(x, n):
    for _ in ad.checkpointed(range(n), snapshots=2):
        x = 0.75 * x * (1.5 - x)
    return x


def called_binomial_by_table(x, n):
    return marked(x, n) * marked(0.5 * x, n + 3)


def visited_often(x, m, n):
    for k in range(m):
        for _ in ad.checkpointed(range(n + k), snapshots=2):
            x = 0.75 * x * (1.5 - x)
    return x


@ad.remat
def run_again(x, n):
    return marked(x, n)


def with_a_call_that_is_run_again(x, n):
    return run_again(x, n) ** 2


def two(x, m, n):
    for _ in ad.checkpointed(range(m), snapshots=2):
        x = 0.75 * x * (1.5 - x)
    for _ in ad.checkpointed(range(n), schedule="online", snapshots=2):
        x = 0.5 * x * (1.25 - x)
    return x


def repeats(n, s):
    return fewest_steps(n, s) - (n - 1)


def test_loops_in_one_another(terminal):
    """An inner loop has trips of its own where the outer one is reversed."""
    g = ad.grad(nested, "x")
    assert shown(g, terminal, 0.3, 7, 10) == [(7, repeats(7, 2), 7), (70, 7 * repeats(10, 3), 70)]


def test_calls_and_loops_that_are_reached_again(terminal):
    both = (23, repeats(10, 2) + repeats(13, 2), 23)
    assert shown(ad.grad(called_binomial_by_table), terminal, 0.3, 10) == [both]
    runs = 10 + 11 + 12
    assert shown(ad.grad(visited_often, "x"), terminal, 0.3, 3, 10) == [
        (runs, repeats(10, 2) + repeats(11, 2) + repeats(12, 2), runs)
    ]
    assert shown(ad.grad(with_a_call_that_is_run_again), terminal, 0.3, 10) == [(10, repeats(10, 2), 10)]
    assert shown(ad.grad(two, "x"), terminal, 0.3, 10, 20) == [
        (10, repeats(10, 2), 10),
        (20, online_repeats(20, 2), 20),
    ]


@njit(parallel=True)
def in_lanes(x, n):
    total = 0.0
    for j in prange(x.size):
        y = x[j]
        for _ in ad.checkpointed(range(n), snapshots=3):
            y = 0.75 * y * (1.5 - y)
        total += y
    return total


def test_loops_in_lanes_are_not_counted(terminal):
    g = ad.grad(in_lanes, "x")
    x = np.linspace(0.1, 0.9, 5)
    np.testing.assert_array_equal(g(x, 20, progress=True), g(x, 20))
    assert terminal.lines[-1].startswith("no loop is marked")


# ------------------------------------------------------------------------------------------------------- planned loops


def wave(u, c, n):
    for _ in ad.checkpointed(range(n)):
        u = u - c * u * (u - np.roll(u, 1))
    return np.sum(u * u)


def scalars(x, n):
    for _ in ad.checkpointed(range(2, n + 2)):
        x = sin(x) + 0.1 * x * x
    return x


def independent(x, out, n):
    for i in ad.checkpointed(range(n)):
        out[i] = x[i] * x[i]
    return np.sum(out)


def test_planned(terminal):
    g = ad.grad(wave, "c")
    u = 1.0 + 0.5 * np.sin(np.arange(64.0))
    found = shown(g, terminal, u, 0.01, 3000, memory="256 KiB")
    plan = g.report().planned[0]
    assert 0 < plan.again < 3000
    blocks = plan.again // plan.block
    assert found == [(3000, repeats(blocks, plan.snapshots) * plan.block, 3000)]
    assert g.report().planned[0] is not plan
    assert shown(g, terminal, u, 0.01, 5, memory="64 MiB") == [(5, 0, 5)]


@pytest.mark.parametrize("n", [0, 1, 1000, 1024, 1025, 3000])
def test_planned_and_all_recorded(n, terminal):
    """Trips of a few numbers are counted many at a time."""
    found = shown(ad.grad(scalars, "x"), terminal, 0.3, n, memory="64 MiB")
    assert found == ([(n, 0, n)] if n else [])


def test_planned_and_independent(terminal):
    g = ad.grad(independent, "x")
    x = np.linspace(0.0, 1.0, 100)
    with ad.options(memory="64 MiB", progress=True):
        np.testing.assert_array_equal(g(x, np.zeros(100), 100), 2.0 * x)
    assert counts_of(terminal.lines[-1]) == [(100, 0, 100)]


# -------------------------------------------------------------------------------------- what is run again, by itself


def counted_by_hand(trips, stored, places):
    """How many steps it takes to go back, from the snapshots that the forward sweep has left."""
    total, stack = 0, list(stored)
    for step in reversed(range(trips)):
        at = stack[-1]
        if at == step:
            stack.pop()
            continue
        due = following(at, step + 1, places - len(stack) + 1)
        while at < step:
            if at == due:
                stack.append(at)
                due = following(at, step + 1, places - len(stack) + 1)
            at += 1
            total += 1
    return total


def test_binomial_repeats():
    for s in (1, 2, 3, 5, 30):
        for n in (1, 2, 3, 9, 20, 31):
            stored, due = [], 0
            for at in range(n):
                if at == due:
                    stored.append(at)
                    due = following(at, n, s - len(stored) + 1)
                assert binomial_repeats(at + 1, n, s) == counted_by_hand(at + 1, stored, s)
    assert binomial_repeats(0, 0, 3) == 0
    assert binomial_repeats(10**15, 10**15, 10**6) == fewest_steps(10**15, 10**6) - (10**15 - 1), "no overflow"


def test_online_repeats():
    for s in (1, 2, 3, 5):
        stored, due, end = [], 0, 0
        for at in range(60):
            if at == due:
                if at == end:
                    del stored[1:]
                    end = stage_end(at, s)
                stored.append(at)
                due = following_in_stage(at, end, s - len(stored) + 1)
            assert online_repeats(at + 1, s) == counted_by_hand(at + 1, stored, s)
    assert online_repeats(0, 3) == 0


def test_table_repeats():
    for s in (1, 2, 4):
        for n in (1, 2, 3, 10, 30):
            table = stack_orders(binomial(n, s, 0), n, s, 0)
            assert table_repeats(table, n) == fewest_steps(n, s) - (n - 1)
    stored = [action for k in range(3) for action in (Restore(0, Level.RAM, True), Advance(0, 3 - k), Reverse(3 - k))]
    again = [Store(0, Level.RAM), Advance(0, 4), End(4), *stored, Restore(0, Level.RAM, False), Reverse(0)]
    assert table_repeats(stack_orders(again, 4, 1, 0), 4) == 3 + 2 + 1


def test_periodic_repeats():
    for period, s in ((1, 1), (4, 1), (5, 3), (6, 6)):
        for n in range(1, 30):
            stored = list(range(0, n, period))
            assert periodic_repeats(n, period, s) == counted_by_hand(n, stored, len(stored) + s - 1)
    assert periodic_repeats(0, 4, 1) == 0
