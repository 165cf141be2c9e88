"""`checkpointed_sweep` with real steps: counts, results, layouts, errors."""

import gc
import math
from collections import namedtuple
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import timeloops
from timeloops import Model, equal

import ad
from ad import ADValueError
from ad.checkpoint import Advance, End, Level, Restore, Reverse, Store, fewest_steps, periodic, validate
from ad.checkpoint.storage import Memory
from tape import SpillError, default_pool
from tape.faults import FaultStore, MemoryStore

N = 40


def sweep(n=N, model=None, in_place=False, **options):
    model = model or Model()
    gradient = np.zeros(2)
    found = ad.checkpointed_sweep(
        model.step_in_place if in_place else model.step,
        model.vjp_step_in_place if in_place else model.vjp_step,
        timeloops.start(),
        n,
        adjoint=model.adjoint,
        gradient=gradient,
        **options,
    )
    assert found.gradient is gradient
    assert (model.forward, model.reverse) == (found.counts.forward, found.counts.reverse)
    return found


@pytest.fixture(scope="module")
def all_stored():
    return sweep()


# ------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("s", [1, 2, 3, 5, 10, 39, 40, 100])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_steps_are_recomputed_as_often_as_the_optimum_says(n, s):
    found = sweep(n, snapshots=s)
    assert found.counts.forward == fewest_steps(n, s) + 1
    assert found.counts.reverse == n
    assert found.counts.most[Level.RAM] <= s


def test_without_steps():
    found = sweep(0, snapshots=3)
    assert found.counts.forward == found.counts.reverse == 0
    assert np.array_equal(found.adjoint["u"], 0.02 * timeloops.start()["u"])


def test_what_was_done_is_what_the_schedule_says():
    found = sweep(N, snapshots=2, disk_snapshots=3)
    assert found.counts == validate(ad.checkpoint.binomial(N, 2, 3), N, 2, 3)


# ---------------------------------------------------------------------------------------------- gradients

SCHEDULES = {
    "few": {"snapshots": 3},
    "one": {"snapshots": 1},
    "disk": {"snapshots": 2, "disk_snapshots": 3},
    "disk alone": {"snapshots": 0, "disk_snapshots": 4},
    "memory": {"memory": "4 KiB"},
    "memory and disk": {"memory": "1 MiB", "disk_snapshots": 4},
    "h_revolve": {"snapshots": 2, "disk_snapshots": 3, "schedule": "h_revolve"},
    "disk_revolve": {"snapshots": 2, "schedule": "disk_revolve"},
    "periodic_disk_revolve": {"snapshots": 2, "schedule": "periodic_disk_revolve"},
    "h_revolve, all": {"disk_snapshots": 3, "schedule": "h_revolve"},
    "mixed": {"snapshots": 4, "schedule": "mixed"},
    "periodic": {"snapshots": 2, "schedule": partial(periodic, period=7)},
    "dynamic": {"snapshots": 4, "schedule": "dynamic"},
    "unknown length": {"n": None, "until": lambda state, i: state["v"][1] == N, "snapshots": 4},
    "unknown length, all": {"n": None, "until": lambda state, i: i == N},
    "unknown length, disk": {
        "n": None,
        "until": lambda state, i: i == N,
        "snapshots": 2,
        "schedule": partial(periodic, period=7),
    },
}


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_gradients_are_those_of_the_stored_states_bit_for_bit(all_stored, name, in_place):
    if "revolve" in name or name == "mixed":
        pytest.importorskip("checkpoint_schedules")
    found = sweep(in_place=in_place, debug=True, **SCHEDULES[name])
    assert equal(found, all_stored)
    assert found.n == N and found.counts.reverse == N


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_taylor_remainder_falls_with_the_square(name):
    if "revolve" in name or name == "mixed":
        pytest.importorskip("checkpoint_schedules")
    state, rng = timeloops.start(), np.random.default_rng(1)
    found = sweep(**SCHEDULES[name])
    du, dv, dp = (rng.standard_normal(size) for size in (timeloops.SIZE, timeloops.SIZE, 2))
    slope = np.sum(found.adjoint["u"] * du) + np.sum(found.adjoint["v"][0] * dv) + found.gradient @ dp
    value = Model().loss(state, N)
    remainders = []
    for h in 1e-2 * 0.5 ** np.arange(6):
        moved = {"u": state["u"] + h * du, "v": (state["v"][0] + h * dv, 0), "t": 0.0}
        at = Model(timeloops.PARAMETERS + h * dp).loss(moved, N)
        remainders.append(abs(at - value - h * slope))
    orders = [math.log2(a / b) for a, b in pairwise(remainders)]
    assert all(abs(order - 2.0) < 0.05 for order in orders), orders


def test_the_gradient_of_a_quadratic_by_hand():
    """u -> u**2, n times: the derivative of the sum of u**(2**n)."""
    u = np.array([0.9, 1.1, -1.05])
    found = ad.checkpointed_sweep(
        lambda u, i: u * u, lambda u, a, i: 2.0 * u * a, u, 5, adjoint=np.ones(3), snapshots=2, debug=True
    )
    np.testing.assert_allclose(found.adjoint, 32.0 * u**31, rtol=1e-13)
    assert found.gradient is None


# --------------------------------------------------------------------------------------------- ownership


def test_arguments_are_not_written_to():
    u, adjoint = np.arange(4.0), np.ones(4)

    def step(u, i):
        u *= 1.5
        return u

    def vjp_step(u, a, i):
        u[:] = np.nan
        a *= 1.5
        return a

    found = ad.checkpointed_sweep(step, vjp_step, u, 6, adjoint=adjoint, snapshots=2)
    assert np.array_equal(u, np.arange(4.0)) and np.array_equal(adjoint, np.ones(4))
    np.testing.assert_allclose(found.adjoint, 1.5**6)
    np.testing.assert_allclose(found.state, u * 1.5**6)


def test_a_step_may_have_buffers_of_its_own():
    buffers = [np.empty(3), np.empty(3)]

    def step(u, i):
        out = buffers[i % 2]
        np.multiply(u, u, out=out)
        return out

    run = partial(ad.checkpointed_sweep, vjp_step=lambda u, a, i: 2.0 * u * a, state=np.array([0.9, 1.1, 1.0]), n=9)
    found = run(step, adjoint=lambda u: u, snapshots=2)
    wanted = run(lambda u, i: u * u, adjoint=lambda u: u.copy())
    assert np.array_equal(found.adjoint, wanted.adjoint) and np.array_equal(found.state, wanted.state)


def test_the_adjoint_may_be_the_final_state_and_be_overwritten():
    def vjp_step(u, a, i):
        a *= 2.0
        return a

    found = ad.checkpointed_sweep(lambda u, i: 2.0 * u, vjp_step, np.ones(2), 3, adjoint=lambda u: u, snapshots=1)
    assert np.array_equal(found.state, [8.0, 8.0]) and np.array_equal(found.adjoint, [64.0, 64.0])


# ------------------------------------------------------------------------------------------------ layouts

Pair = namedtuple("Pair", "x y")
RECORD = np.dtype([("flag", "u1"), ("x", "f8")], align=True)
STATES = {
    "array": np.arange(3.0),
    "no dimensions": np.array(2.0),
    "nothing in it": np.empty((0, 3)),
    "float": 1.5,
    "int": 2**62,
    "bool": True,
    "complex": 1 + 2j,
    "numpy number": np.float32(1.5),
    "a date": np.datetime64("2020-01-02"),
    "bytes": np.array([b"ab", b"c"]),
    "structured": np.array([(1, 2.5), (0, -1.0)], RECORD),
    "big endian": np.arange(4.0).astype(">f8"),
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10.0)[::3],
    "nest": {"a": [np.arange(3), (None, 1.0)], 2: Pair(np.ones((2, 2), "c8"), [])},
    "empty": (),
    "NaN": np.array([math.nan, -0.0, math.inf]),
}


def leaves(x):
    if isinstance(x, dict):
        return [leaf for k in x for leaf in [k, *leaves(x[k])]]
    if isinstance(x, tuple | list):
        return [type(x), *(leaf for part in x for leaf in leaves(part))]
    if isinstance(x, np.ndarray):
        return [x.dtype, x.shape, x.tolist() if x.dtype.names else x.tobytes()]  # gaps are not copied
    return [type(x), np.asarray(x).tobytes() if x is not None else None]


@pytest.mark.parametrize(
    "options", [{"snapshots": 2}, {"snapshots": 0, "disk_snapshots": 2}, {"resume": True}], ids=["RAM", "disk", "files"]
)
@pytest.mark.parametrize("name", STATES)
def test_states_of_all_kinds_come_back(name, options, tmp_path):
    if options.pop("resume", False):
        options = {"snapshots": 0, "disk_snapshots": 2, "resume_dir": tmp_path, "save_every": 0.0}
    state, seen = STATES[name], []
    found = ad.checkpointed_sweep(
        lambda x, i: x, lambda x, a, i: (seen.append(x), a + 1.0)[1], state, 5, adjoint=0.0, debug=True, **options
    )
    assert found.adjoint == 5.0
    assert len(seen) == 5 and all(leaves(x) == leaves(state) for x in [*seen, found.state])


@pytest.mark.parametrize("where", ["snapshots", "disk_snapshots", "resume_dir"])
def test_the_order_of_arrays_in_memory_is_kept(where, tmp_path):
    """Sums and products depend on it in the last bit; a step may change it."""
    orders = []

    def vjp_step(u, a, i):
        orders.append((i % 2, u.flags.f_contiguous, u.flags.c_contiguous))
        assert np.array_equal(u, np.arange(12.0).reshape(3, 4) + i)
        return a

    def step(u, i):
        return np.require(u + 1.0, requirements="C" if i % 2 else "F")

    options = {"snapshots": 3} if where == "snapshots" else {"snapshots": 0, "disk_snapshots": 3}
    if where == "resume_dir":
        options["resume_dir"] = tmp_path
    ad.checkpointed_sweep(step, vjp_step, np.arange(12.0).reshape(3, 4), 11, adjoint=0.0, **options)
    assert all((f, c) == (bool(odd), not odd) for odd, f, c in orders)


# ------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("disk", [None, 50])
def test_memory_is_kept_to(disk, tmp_path):
    """One place is for the last step, and some of the memory for what is on its way to disk."""
    u = np.zeros(2**16)
    limit = 32 * u.nbytes
    gc.collect()  # tapes of other tests
    default_pool().trim()  # and blocks that they left, which may be larger than what is asked for
    before, most = default_pool().stats().used_bytes, 0

    def step(u, i):
        nonlocal most
        most = max(most, default_pool().stats().used_bytes - before)
        return u

    found = ad.checkpointed_sweep(
        step, lambda u, a, i: a, u, 100, adjoint=0.0, memory=limit, disk_snapshots=disk, spill_dir=tmp_path
    )
    assert found.counts.most[Level.RAM] == (31 if disk is None else 23)
    assert 0.7 * limit < most <= limit + 2**16, "and what is around the slabs"
    assert default_pool().stats().used_bytes == before


def test_slots_are_used_again():
    layout = ad.checkpoint.layout.Layout(np.zeros(1000), "state")
    memory = Memory(layout, 3)
    for k in range(10):
        memory.store(k, [np.full(1000, float(k))])
        if k >= 2:
            assert memory.restore(k - 2, False)[0][0] == k - 2
    assert len(memory.steps()) == 2
    assert memory._tape.nbytes <= 3 * 8064
    memory.close()


def test_disk_snapshots_go_to_the_directory(tmp_path):
    u = np.zeros(2**17)
    seen = []

    def step(u, i):
        seen.append(list(tmp_path.iterdir()))
        return u + 1.0

    options = {"memory": "8 MiB", "disk_snapshots": 40, "spill_dir": tmp_path}
    found = ad.checkpointed_sweep(step, lambda u, a, i: a + float(u[0]), u, 40, adjoint=0.0, **options)
    assert found.adjoint == sum(range(40)) and found.counts.forward == 40
    assert found.counts.stored[Level.DISK] >= 30
    assert not any(seen) and not list(tmp_path.iterdir()), "the file has no name"


def test_a_store_of_the_caller():
    u = np.zeros(2**17)
    with MemoryStore() as store:
        options = {"memory": "8 MiB", "disk_snapshots": 40, "spill_dir": store}
        found = ad.checkpointed_sweep(
            lambda u, i: u + 1.0, lambda u, a, i: a + float(u[0]), u, 40, adjoint=0.0, **options
        )
        assert found.adjoint == sum(range(40))
        assert not store._slots, "the places are given back"


def test_a_disk_that_is_full():
    u = np.zeros(2**17)
    with FaultStore(MemoryStore(), fail_write=range(3, 1000)) as store:
        options = {"memory": "8 MiB", "disk_snapshots": 40, "spill_dir": store}
        with pytest.raises(SpillError):
            ad.checkpointed_sweep(lambda u, i: u + 1.0, lambda u, a, i: a, u, 40, adjoint=0.0, **options)


def test_a_disk_that_is_not_there(tmp_path):
    with pytest.raises(SpillError, match="nowhere"):
        sweep(snapshots=1, disk_snapshots=3, spill_dir=tmp_path / "nowhere")


# ---------------------------------------------------------------------------------- schedules of the caller


def by_hand(n, snapshots, disk_snapshots):
    """All states are computed from the first one."""
    yield Store(0, Level.RAM)
    yield Advance(0, n)
    yield End(n)
    for i in reversed(range(n)):
        yield Restore(0, Level.RAM, True)
        if i:
            yield Advance(0, i)
        yield Reverse(i)


def test_a_schedule_by_hand(all_stored):
    found = sweep(snapshots=1, schedule=by_hand)
    assert equal(found, all_stored) and found.counts.forward == N * (N + 1) // 2


def test_a_schedule_that_does_not_fit():
    def greedy(n, snapshots, disk_snapshots):
        for i in range(n):
            yield Store(i, Level.RAM)
            yield Advance(i, i + 1)

    with pytest.raises(ADValueError, match=r"Store\(step=2, .*, but all 2 places there are taken"):
        sweep(snapshots=2, schedule=greedy)


def test_a_schedule_that_stops_too_early():
    with pytest.raises(ADValueError, match="without an End"):
        sweep(snapshots=2, schedule=lambda n, ram, disk: [Store(0, Level.RAM), Advance(0, n)])


# ----------------------------------------------------------------------------------------------- progress


def test_progress_on_no_terminal(all_stored, capsys):
    pytest.importorskip("tqdm")
    assert equal(sweep(snapshots=3, progress=True), all_stored)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["few", "disk", "h_revolve", "unknown length"])
def test_progress_knows_how_many_steps_there_are(name, monkeypatch):
    pytest.importorskip("tqdm")
    lines = []

    class Bar:
        disable = False

        def set_description_str(self, text, refresh):
            lines.append(text)

        def display(self):
            pass

        def close(self):
            pass

    monkeypatch.setattr("ad.checkpoint.progress.new_bar", lambda **options: Bar())
    monkeypatch.setattr("ad.checkpoint.progress.LINE_SECONDS", 0.0)
    found = sweep(**SCHEDULES[name], progress=True)
    assert lines[-1] == f"forward {found.counts.forward} of {found.counts.forward}, reverse {N} of {N}"
    first = "forward 1, reverse 0, time left unknown" if name == "unknown length" else "left"
    assert first in lines[0]
    assert all("time left unknown" not in line for line in lines[N + 1 :])
    assert len(lines) == found.counts.forward + N + 1


def test_the_time_that_is_left():
    seconds_left = ad.checkpoint.progress.seconds_left
    assert seconds_left([10, 0], [30, 20], [5.0, 0.0], 5.0) == 20 * 0.5 + 20 * 1.0
    assert seconds_left([30, 10], [30, 20], [15.0, 20.0], 70.0) == 10 * 2.0 * 2.0, "and what is between the calls"
    assert seconds_left([0, 10], [0, 20], [0.0, 10.0], 10.0) == 10.0
    assert seconds_left([0, 0], [30, 20], [0.0, 0.0], 1.0) is None
    text = ad.checkpoint.progress.text
    assert text([10, 0], [7300, 3600], [10.0, 0.0], 10.0) == "forward 10 of 7300, reverse 0 of 3600, 4:01:30 left"


def test_progress_needs_tqdm(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"progress needs tqdm for this: pip install"):
        sweep(snapshots=3, progress=True)
