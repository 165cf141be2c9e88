"""Which trips of marked loops are stored and run again: counted and checked as the loops do it."""

from math import comb

import interpreter
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import ListTape, interpreted_gradient
from ticks import taken, tick

import ad
from ad.checkpoint import Advance, Discard, End, Level, Restore, Reverse, Store, binomial, fewest_steps, validate
from ad.checkpoint.binomial import stride
from ad.checkpoint.compiled import default_snapshots, following, following_in_stage, stage_end
from ad.checkpoint.compiled import stride as compiled_stride

runs = []


def trip(x):
    runs.append(x)
    return 0.75 * x * (1.5 - x)


ad.defvjp(trip, lambda g, ans, x: g * (1.125 - 1.5 * x))


def recorded(x, n):
    for _ in range(n):
        x = trip(x)
    return x


def by_snapshots(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s):
        x = trip(x)
    return x


def by_default(x, n):
    for _ in ad.checkpointed(range(n)):
        x = trip(x)
    return x


def of_unknown_length(x, n, s):
    k = 0
    while ad.checkpointed(k < n, snapshots=s):
        x = trip(x)
        k += 1
    return x


def of_unknown_length_by_default(x, n):
    k = 0
    while ad.checkpointed(k < n):
        x = trip(x)
        k += 1
    return x


def periodic(x, n, period, s):
    for _ in ad.checkpointed(range(n), schedule="periodic", period=period, snapshots=s):
        x = trip(x)
    return x


def left_early(x, n, m, s):
    for i in ad.checkpointed(range(n), snapshots=s):
        if i == m:
            break
        x = trip(x)
    return x


class Watched(ListTape):
    """Notes when numbers go onto the tape and come off."""

    def push(self, handle, *values):
        super().push(handle, *values)
        runs.append(("push", values))

    def _take(self, handle, n, kinds):
        found = super()._take(handle, n, kinds)
        runs.append(("pop", found))
        return found


def path(n):
    """The states of the loop."""
    found = [0.3]
    for _ in range(n):
        found.append(0.75 * found[-1] * (1.5 - found[-1]))
    return found


def actions(f, args, n, monkeypatch):
    """What a gradient did, as the actions of a schedule."""
    monkeypatch.setattr(interpreter, "ListTape", Watched)
    runs.clear()
    interpreted_gradient(f, args, (0,))
    states = {x: k for k, x in enumerate(path(n))}
    assert len(states) == n + 1, "states are told apart by their values"
    held, ended, out = [], False, []
    for event in runs:
        match event:
            case "push", (float() as x,):
                step = states[x]
                if out and isinstance(out[-1], Restore) and out[-1].step == step:
                    out[-1] = Restore(step, Level.RAM, True)  # it was taken off and put back
                else:
                    out.append(Store(step, Level.RAM))
                held.append(step)
            case "push", (_, _, _):
                ended = True
                out.append(End(n))
            case "pop", float() as x:
                step = states[x]
                assert held.pop() == step
                reverse_last(out, ended)
                out.append(Restore(step, Level.RAM, False) if ended else Discard(step, Level.RAM))
            case float() as x:
                out.append(Advance(states[x], states[x] + 1))
    reverse_last(out, ended)
    return out


def reverse_last(found, ended):
    """The trip that was run last before another snapshot comes back was recorded."""
    if ended and isinstance(found[-1], Advance):
        found[-1] = Reverse(found[-1].start)


def without_the_last_state(found, n):
    """The copy of the last state has a place of its own."""
    out = []
    for action in found:
        at_last = isinstance(action, Store | Restore) and action.step == n - 1
        out.append(action._replace(level=Level.WORK) if at_last else action)
    return out


@pytest.mark.parametrize("s", [1, 2, 3, 5, 8])
def test_known_lengths_keep_to_their_places_and_take_the_fewest_steps(s, monkeypatch):
    for n in (1, 2, 3, 7, 8, 20, 33):
        found = without_the_last_state(actions(by_snapshots, (0.3, n, s), n, monkeypatch), n)
        counts = validate(found, n, snapshots=s)
        assert counts.forward == fewest_steps(n, s) + 1 and counts.reverse == n
        assert counts == validate(binomial(n, s, 0), n, snapshots=s)


@pytest.mark.parametrize("s", [1, 2, 3, 5])
def test_unknown_lengths_repeat_no_step_more_often_than_known_ones(s, monkeypatch):
    for n in (1, 2, 4, 6, 9, 10, 15, 20, 27):
        found = actions(of_unknown_length, (0.3, n, s), n, monkeypatch)
        counts = validate(found, n, snapshots=s)
        repeats = next(r for r in range(n + 1) if comb(s + r, s) >= n)
        times = np.bincount([a.start for a in found if isinstance(a, Advance)], minlength=n)
        assert times.max() <= repeats + 1, "the last one of a stage is run once more"
        assert counts.forward <= 2 * (fewest_steps(n, s) + 1)


def test_defaults_run_no_step_more_than_twice(monkeypatch):
    for n in (1, 2, 5, 10, 40):
        for f in (by_default, of_unknown_length_by_default):
            most = default_snapshots(n) + 1 if f is by_default else 2 * default_snapshots(n) + 2
            found = actions(f, (0.3, n), n, monkeypatch)
            validate(found, n, snapshots=most)
            assert np.bincount([a.start for a in found if isinstance(a, Advance)]).max() <= 2


@pytest.mark.parametrize(("period", "s"), [(1, 1), (4, 4), (5, 2), (50, 3)])
def test_periods_keep_to_their_places(period, s, monkeypatch):
    n = 23
    found = actions(periodic, (0.3, n, period, s), n, monkeypatch)
    validate(found, n, snapshots=-(-n // period) + s - 1)
    forward = found[: next(k for k, a in enumerate(found) if isinstance(a, End))]
    assert [a.step for a in forward if isinstance(a, Store)] == list(range(0, n, period))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_gradients_and_counts(data):
    n = data.draw(st.integers(0, 25), "n")
    s = data.draw(st.integers(1, n + 2), "snapshots")
    m = data.draw(st.integers(0, n), "left at")
    period = data.draw(st.integers(1, n + 2), "period")
    value, grad, _ = interpreted_gradient(recorded, (0.3, n), (0,))
    for f, args in (
        (by_snapshots, (0.3, n, s)),
        (by_default, (0.3, n)),
        (of_unknown_length, (0.3, n, s)),
        (of_unknown_length_by_default, (0.3, n)),
        (periodic, (0.3, n, period, s)),
    ):
        assert interpreted_gradient(f, args, (0,))[:2] == (value, grad), f.__name__
    assert (
        interpreted_gradient(left_early, (0.3, n, m, s), (0,))[:2] == interpreted_gradient(recorded, (0.3, m), (0,))[:2]
    )


# ------------------------------------------------------------------------------------------------- in compiled code


def ticking(x, n, s):
    for _ in ad.checkpointed(range(n), snapshots=s):
        x = tick(x) * 0.5 + 0.1 * x * x
    return x


def test_steps_of_compiled_loops_are_the_fewest():
    """Griewank and Walther (2000): what the forward sweep takes, what is run again, and each trip once recording."""
    g = ad.grad(ticking)
    for n in (1, 2, 10, 55, 100, 1000):
        for s in (1, 2, 3, 10, 30):
            if n * n > 10_000 * s:
                continue
            taken()
            g(0.3, n, s)
            assert taken() == fewest_steps(n, s) + 1 + n, f"n = {n}, {s} snapshots"


def test_strides_are_those_of_the_driver():
    for n in [*range(2, 60), 10**4, 10**6]:
        for s in [*range(1, 12), 10**3]:
            assert compiled_stride(n, s) == stride(n, s)
    assert following(6, 7, 1) > 10**9 and following(0, 7, 1) == 6


def test_stages():
    for s in range(2, 7):
        at = 0
        for r in range(8):
            at = stage_end(at, s)
            assert at == comb(s + r, s)
    assert stage_end(0, 1) > 10**9
    assert following_in_stage(4, 6, 3) == 6, "the last step of a stage is run again once"


def test_the_default_number_of_snapshots():
    for n in (0, 1, 2, 3, 100, 10**6):
        s = default_snapshots(n)
        assert comb(s + 2, 2) >= n and (s == 1 or comb(s + 1, 2) < n)
