"""The mark `ad.checkpointed` itself: what it returns, and what it refuses."""

import functools
import itertools

import numpy as np
import pytest
from numba import njit

import ad
from ad.checkpoint import binomial, h_revolve

N = 4


def test_python_sees_what_is_marked():
    items = range(5)
    assert ad.checkpointed(items) is items
    assert ad.checkpointed(items, snapshots=np.int64(3), schedule="periodic", period=2) is items
    assert ad.checkpointed(False, snapshots=1) is False


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"snapshots": 0}, ad.ADValueError, "snapshots must be at least 1"),
        ({"snapshots": 2.0}, ad.ADTypeError, "snapshots is a whole number, not float"),
        (
            {"schedule": "revolve"},
            ad.ADValueError,
            "no schedule 'revolve': in a compiled loop there are binomial.*h_revolve.*and functions that make one",
        ),
        ({"period": 3}, ad.ADValueError, 'period goes with schedule="periodic"'),
        ({"schedule": "periodic"}, ad.ADValueError, "needs a period"),
        ({"schedule": "periodic", "period": -1}, ad.ADValueError, "period must be at least 1"),
        ({"schedule": 3}, ad.ADValueError, "no schedule 3"),
        ({"schedule": "h_revolve", "snapshots": -1}, ad.ADValueError, "snapshots must be at least 0"),
        ({"schedule": h_revolve, "disk_snapshots": -1}, ad.ADValueError, "disk_snapshots must be at least 0"),
        ({"schedule": "mixed", "disk_snapshots": 1.0}, ad.ADTypeError, "disk_snapshots is a whole number, not float"),
        ({"snapshots": 3, "disk_snapshots": 2}, ad.ADValueError, "disk_snapshots goes with a schedule that tells them"),
        ({"schedule": h_revolve, "period": 3}, ad.ADValueError, 'period goes with schedule="periodic"'),
    ],
)
def test_python_refuses(given, error, text):
    with pytest.raises(error, match=text):
        ad.checkpointed(range(3), **given)


def test_numba_sees_what_is_marked():
    @njit
    def total(n):
        s, k = 0, 0
        for i in ad.checkpointed(range(n), snapshots=3, schedule="binomial"):
            s += i
        while ad.checkpointed(k < n):
            k += 1
            s += 100
        return s

    assert total(5) == 510


def unknown_schedule(x):
    for _ in ad.checkpointed(range(N), schedule="revolve"):  # here
        x = x * x
    return x


def no_places(x):
    for _ in ad.checkpointed(range(N), snapshots=0):  # here
        x = x * x
    return x


def half_a_place(x):
    for _ in ad.checkpointed(range(N), snapshots=0.5):  # here
        x = x * x
    return x


def a_schedule_of_ones_own(x, schedule):
    for _ in ad.checkpointed(range(N), schedule=schedule):  # here
        x = x * x
    return x


def a_wrong_name(x):
    for _ in ad.checkpointed(range(N), places=3):  # here
        x = x * x
    return x


def nothing_to_go_over(x):
    for _ in ad.checkpointed():  # here
        x = x * x
    return x


def over_a_tuple(x):
    for y in ad.checkpointed((x, 2.0)):  # here
        x = x * y
    return x


def over_what_has_no_end(x):
    for _ in ad.checkpointed(itertools.count()):  # here
        x = x * x
    return x


def no_loop(x):
    y = ad.checkpointed(x)  # here
    return y * x


def known_length_of_a_while(x):
    while ad.checkpointed(x < 5.0, schedule="binomial"):  # here
        x = x * x
    return x


def periods_of_the_default(x):
    while ad.checkpointed(x < 5.0, period=3):  # here
        x = x * x
    return x


def computed_for_a_while(x):
    while ad.checkpointed(x < 5.0, schedule="h_revolve"):  # here
        x = x * x
    return x


def computed_and_left_by_a_break(x):
    for _ in ad.checkpointed(range(N), schedule=binomial):  # here
        if x > 5.0:
            break
        x = x * x
    return x


def computed_and_left_by_a_return(x):
    for _ in ad.checkpointed(range(N), schedule="h_revolve"):  # here
        for _ in range(3):
            if x > 5.0:
                return x
            x = x * x
    return x


def places_on_disk_of_the_default(x):
    for _ in ad.checkpointed(range(N), snapshots=2, disk_snapshots=3):  # here
        x = x * x
    return x


def fewer_places_than_none(x):
    for _ in ad.checkpointed(range(N), schedule="mixed", disk_snapshots=-1):  # here
        x = x * x
    return x


def a_schedule_without_a_name(x):
    for _ in ad.checkpointed(range(N), schedule=functools.partial(h_revolve, write=5.0)):  # here
        x = x * x
    return x


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (unknown_schedule, "there is no schedule 'revolve': in a compiled loop there are binomial, online, periodic"),
        (no_places, "snapshots must be at least 1"),
        (half_a_place, "snapshots must be an int, not a float"),
        (a_schedule_of_ones_own, "schedule is the name of one, written out"),
        (a_wrong_name, "takes what the loop is over, and snapshots, disk_snapshots, schedule, period by name"),
        (nothing_to_go_over, "takes what the loop is over"),
        (over_a_tuple, "a loop over a tuple is written out, and has no state"),
        (over_what_has_no_end, "count"),
        (no_loop, "marks a loop: write it into the for or the while statement"),
        (known_length_of_a_while, '"online" is for others'),
        (periods_of_the_default, 'period goes with schedule="periodic"'),
        (computed_for_a_while, 'h_revolve needs to know the number of trips: "online" does without'),
        (computed_and_left_by_a_break, 'binomial is for a loop that runs to its end.*"binomial" and "online"'),
        (computed_and_left_by_a_return, 'h_revolve is for a loop that runs to its end.*"binomial" and "online"'),
        (places_on_disk_of_the_default, "disk_snapshots goes with a schedule that tells them from others"),
        (fewer_places_than_none, "disk_snapshots must be at least 0"),
        (a_schedule_without_a_name, "is given a name there"),
    ],
)
def test_gradients_refuse(f, text):
    args = (1.5, 2) if "schedule" in f.__code__.co_varnames else (1.5,)
    with pytest.raises(ad.UnsupportedSyntax, match=text) as caught:
        ad.grad(f, "x")(*args)
    assert caught.value.filename == __file__ and "# here" in caught.value.text


def given_places(x, s):
    for _ in ad.checkpointed(range(N), snapshots=s):
        x = x * x
    return x


def test_too_few_places_are_found_when_the_loop_is_reached():
    g = ad.grad(given_places, "x")
    assert g(1.1, 1) == ad.grad(given_places, "x")(1.1, 9)
    with pytest.raises(ValueError, match=r"snapshots must be at least 1 \(.*test_marked_errors.py:\d+\)"):
        g(1.1, 0)
    assert g(1.1, 1) == pytest.approx(16 * 1.1**15)


def store_all(x, n):
    for _ in ad.checkpointed(range(n), schedule="store_all", snapshots=3):
        x = x * x * 0.5
    return x


def test_with_store_all_the_mark_has_no_effect():
    g = ad.grad(store_all, "x")
    g(1.1, 3)
    assert "trips" not in g.source and not g.report().checkpointed


def passive(x, n):
    k = 0
    for i in ad.checkpointed(range(n)):
        k += i
    return x * k


def test_a_loop_that_no_derivative_passes_through():
    g = ad.grad(passive, "x")
    assert g(1.1, 4) == 6.0 and "tape" not in g.source
