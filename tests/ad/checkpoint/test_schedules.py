"""Schedules: what they cost, and that they keep to their storage; without a program."""

from functools import cache, partial

import pytest
from hypothesis import given
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
    fewest_steps,
    h_revolve,
    mixed,
    periodic,
    periodic_disk_revolve,
    validate,
)
from ad.checkpoint.binomial import repetitions, segments, steps_left, stride
from ad.checkpoint.simulate import Simulation

RAM, DISK, WORK = Level.RAM, Level.DISK, Level.WORK


@cache
def optimum(n, s):
    """The fewest forward steps, by trying all places for the next snapshot."""
    if n < 2:
        return 0
    if s == 1:
        return n * (n - 1) // 2
    return min(m + optimum(n - m, s - 1) + optimum(m, s) for m in range(1, n))


def unknown_length(schedule, n, ram, disk, bases=()):
    """The counts of a schedule that is told only at the end how many steps there are; and how often each was taken."""
    simulation = Simulation(None, ram, disk, bases)
    taken = [0] * n
    told = {"bases": bases} if bases else {}
    for action in schedule(lambda: n if simulation.at == n or simulation.todo is not None else None, ram, disk, **told):
        simulation.apply(action)
        if isinstance(action, Advance):
            for i in range(action.start, action.stop):
                taken[i] += 1
    return simulation.end(), taken


# ------------------------------------------------------------------------------------------------ binomial


@pytest.mark.parametrize("s", range(1, 10))
def test_the_closed_form_is_the_optimum(s):
    assert [fewest_steps(n, s) for n in range(60)] == [optimum(n, s) for n in range(60)]


def test_a_table_of_griewank_and_walther():
    """r n - comb(s + r, s + 1); with 3 snapshots r = 2 reaches 10 steps, and no more."""
    assert [fewest_steps(n, 3) for n in (4, 10, 20, 35)] == [3, 15, 45, 105]
    assert [repetitions(n, 3) for n in (4, 5, 10, 11, 20, 21)] == [1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize("s", range(1, 8))
@pytest.mark.parametrize("n", [*range(1, 20), 55, 100])
def test_binomial_takes_the_fewest_steps_within_its_storage(n, s):
    for disk in range(s + 1):
        counts = validate(binomial(n, s - disk, disk), n, s - disk, disk)
        assert counts.forward == fewest_steps(n, s) + 1, "one more than needed: the step into the final state"
        assert counts.reverse == n
        assert counts.most[WORK] == 1


def test_no_steps_and_one():
    assert list(binomial(0, 3, 0)) == [End(0)]
    assert validate(binomial(0, 3, 0), 0, 3, 0).forward == 0
    assert validate(binomial(1, 1, 0), 1, 1, 0).forward == 1


def test_the_disk_is_left_alone_where_memory_is_enough():
    counts = validate(binomial(20, 19, 100), 20, 19, 100)
    assert counts.stored[DISK] <= 1 and counts.forward == 20
    assert validate(binomial(20, 20, 100), 20, 20, 0).stored[DISK] == 0


def test_without_snapshots():
    for impossible in (lambda: fewest_steps(2, 0), lambda: list(binomial(2, 0, 0))):
        with pytest.raises(ADValueError, match="at least one is needed"):
            impossible()
    with pytest.raises(ADValueError, match="period: a number of steps, not 0"):
        list(periodic(3, 1, None, period=0))


def test_the_strides_are_those_of_revolve():
    library = pytest.importorskip("checkpoint_schedules.multistage")
    advance = getattr(library.n_advance, "py_func", library.n_advance)  # compiling it takes many seconds
    for s in (1, 2, 3, 7):
        for n in range(2, 120):
            assert stride(n, s) == advance(n, s, trajectory="revolve")


# ---------------------------------------------------------------------------------------- from snapshots


@given(st.data())
def test_what_is_left_from_any_snapshots(data):
    n = data.draw(st.integers(1, 40))
    steps = sorted({0, *data.draw(st.sets(st.integers(0, n - 1), max_size=6))})
    bases = [(k, data.draw(st.sampled_from([RAM, DISK]))) for k in steps]
    ram = [level for _, level in bases].count(RAM) + data.draw(st.integers(0, 3))
    disk = len(bases) - ram + data.draw(st.integers(0, 3))
    disk = max(disk, [level for _, level in bases].count(DISK))

    simulation = Simulation(n, ram, disk, bases)
    for action in binomial(n, ram, disk, bases):
        simulation.apply(action)
    assert simulation.end().forward == steps_left(bases, n, ram, disk)

    todo = data.draw(st.integers(steps[-1] + 1, n))
    simulation = Simulation(n, ram, disk, bases, todo)
    for action in segments(bases, todo, ram, disk):
        simulation.apply(action)
    assert simulation.end().forward == steps_left(bases, n, ram, disk, todo)


def test_from_a_snapshot_of_the_final_state():
    bases = [(0, DISK), (5, DISK)]
    simulation = Simulation(5, 2, 2, bases)
    for action in binomial(5, 2, 2, bases):
        simulation.apply(action)
    assert simulation.end().reverse == 5


# ----------------------------------------------------------------------------------------- unknown length


@pytest.mark.parametrize("s", [1, 2, 3, 4, 7, 12, 30])
def test_dynamic_repeats_no_step_more_often_than_it_says(s):
    lengths = [*range(60), 77, 150, 235, 494, 500]
    for n in lengths if s > 2 else range(40):
        counts, taken = unknown_length(dynamic, n, s, 0)
        assert counts.most[RAM] <= s
        assert counts.forward <= 1.5 * (fewest_steps(n, s) + (n > 0))
        if s > 1:
            assert max(taken, default=0) <= repetitions(n, s - 1) + 1


def test_dynamic_keeps_all_while_it_can():
    counts, _ = unknown_length(dynamic, 10, 10, 0)
    assert counts.forward == 10


def test_dynamic_goes_on_from_snapshots():
    bases = [(0, DISK), (4, RAM), (7, DISK)]
    counts, taken = unknown_length(dynamic, 20, 3, 2, bases)
    assert counts.reverse == 20 and min(taken[7:]) >= 1


def test_a_known_length_is_taken_too():
    assert validate(dynamic(17, 3), 17, 3, 0).reverse == 17
    assert validate(periodic(17, 3, None, period=5), 17, 3, None).stored[DISK] == 4


@pytest.mark.parametrize(("n", "period", "s"), [(0, 3, 1), (1, 3, 1), (30, 7, 2), (35, 7, 0), (100, 10, 3)])
def test_periodic_takes_as_many_steps_as_it_says(n, period, s):
    counts, _ = unknown_length(partial(periodic, period=period), n, s, None)
    whole, rest = divmod(n, period)
    assert counts.forward == n + whole * fewest_steps(period, s + 1) + fewest_steps(rest, s + 1)
    assert counts.stored[DISK] == -(-n // period) and counts.most[RAM] <= s


def test_periodic_goes_on_from_snapshots():
    counts, _ = unknown_length(partial(periodic, period=5), 23, 2, None, [(0, DISK), (12, DISK)])
    assert counts.reverse == 23 and counts.stored[DISK] == 2, "17 and 22"


# ---------------------------------------------------------------------------------------------- library


@pytest.mark.parametrize("n", [1, 2, 3, 10, 37])
@pytest.mark.parametrize(
    ("schedule", "ram", "disk"),
    [
        (h_revolve, 1, 3),
        (h_revolve, 4, 2),
        (h_revolve, 5, 1),
        (disk_revolve, 1, None),
        (disk_revolve, 4, None),
        (periodic_disk_revolve, 3, None),
        (mixed, 4, 0),
        (mixed, 0, 4),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_schedules_of_the_library(schedule, ram, disk, n):
    pytest.importorskip("checkpoint_schedules")
    counts = validate(schedule(n, ram, disk), n, ram, disk)
    assert counts.reverse == n
    assert counts.forward >= fewest_steps(n, ram + (n if disk is None else disk)) + 1


def test_a_free_disk_is_used_and_a_dear_one_is_not():
    pytest.importorskip("checkpoint_schedules")
    dear = validate(disk_revolve(40, 2, None, write=1e6, read=1e6), 40, 2, None)
    free = validate(disk_revolve(40, 2, None, write=0.0, read=0.0), 40, 2, None)
    assert dear.stored[DISK] == 0 and dear.forward == fewest_steps(40, 2) + 1
    assert free.forward < dear.forward and free.stored[DISK] > 5


def test_the_library_prints_nothing(capsys):
    pytest.importorskip("checkpoint_schedules")
    periodic_disk_revolve(50, 2, None)
    assert capsys.readouterr().out == ""


def test_what_the_library_cannot_do():
    with pytest.raises(ADValueError, match="give disk_snapshots="):
        h_revolve(10, 2, None)
    with pytest.raises(ADValueError, match="as many snapshots on disk as it likes"):
        disk_revolve(10, 2, 3)
    with pytest.raises(ADValueError, match="one level of storage"):
        mixed(10, 2, 3)


@pytest.mark.parametrize("schedule", [h_revolve, disk_revolve, periodic_disk_revolve])
def test_the_library_needs_memory_and_not_more_than_there_are_states(schedule):
    pytest.importorskip("checkpoint_schedules")
    disk = 2 if schedule is h_revolve else None
    with pytest.raises(ADValueError, match=f"{schedule.__name__} needs at least one snapshot in memory"):
        schedule(10, 0, disk)
    assert validate(schedule(10, 2**62, disk), 10, 10, disk).forward == 10


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "checkpoint_schedules", None)
    with pytest.raises(ImportError, match=r"layered-tape\[checkpointing\]"):
        mixed(10, 2, 0)


# --------------------------------------------------------------------------------------------- validation

GOOD = [Store(0, RAM), Advance(0, 1), Store(1, WORK), Advance(1, 2), End(2), Restore(1, WORK, False), Reverse(1)]
GOOD += [Restore(0, RAM, False), Reverse(0)]


def changed(*changes):
    actions = list(GOOD)
    for k, action in changes:
        actions[k] = action
    return [a for a in actions if a is not None]


def test_a_schedule_by_hand():
    counts = validate(GOOD, 2, 1, 0)
    assert (counts.forward, counts.reverse, counts.stored[RAM]) == (2, 2, 1)
    assert str(counts) == "2 steps forward, 2 reverse; RAM: 1 snapshots stored, 1 restored, at most 1 at a time"


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (changed((1, Advance(1, 2))), "action 2 is Advance(start=1, stop=2), but the working state is 0"),
        (changed((1, Advance(0, 0))), "it goes nowhere"),
        (changed((3, Advance(1, 3))), "there are 2 steps"),
        (changed((0, Store(1, RAM))), "the working state is 0"),
        (changed((2, Store(1, RAM))), "all 1 places there are taken"),
        (changed((2, Store(1, DISK))), "all 0 places there are taken"),
        ([Store(0, RAM), *GOOD], "it is there already"),
        (changed((4, End(1))), "the working state is 2"),
        (changed((3, End(1)), (4, None)), "there are 2 steps"),
        (changed((5, End(2))), "the final state was reached before"),
        (changed((5, Restore(1, RAM, False))), "no such snapshot is there"),
        (changed((5, Discard(1, RAM))), "no such snapshot is there"),
        (changed((6, Reverse(0))), "the steps to reverse are those below 2"),
        (changed((4, None)), "the final state was not reached yet"),
        (changed((7, None)), "the working state is used up"),
        (changed((8, "stop")), "'stop', which is no action"),
        (GOOD[:4], "without an End"),
        (GOOD[:7], "with 1 steps not reversed"),
    ],
)
def test_what_cannot_be_carried_out(actions, message):
    with pytest.raises(ADValueError) as caught:
        validate(actions, 2, 1, 0)
    assert message in str(caught.value)


def test_the_disk_is_a_stack():
    actions = [Store(0, DISK), Advance(0, 1), Store(1, DISK), Restore(0, DISK, True)]
    with pytest.raises(ADValueError, match=r"the newest one there is that of \[1\]"):
        validate(actions, 2, 0, 2)
