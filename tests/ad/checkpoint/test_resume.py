"""Sweeps that are killed and go on; what is refused; what happens to damaged files."""

import json
import os
import random
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timeloops
from timeloops import Model, equal

import ad
from ad import ADError
from ad.checkpoint import Level, ResumeError, ResumeWarning, fewest_steps, periodic

N = 12


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Programs are stopped here, not machines: what was written is there."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Stop(Exception):
    pass


class Stopping(Model):
    """A model that ends the program after so many calls."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def step(self, state, i):
        if self.forward + self.reverse == self.calls:
            state["u"][:] = np.nan  # what was begun is not used
            raise Stop
        return super().step(state, i)

    def vjp_step(self, state, adjoint, i, gradient):
        if self.forward + self.reverse == self.calls:
            gradient += np.nan
            adjoint["u"][:] = np.nan
            raise Stop
        return super().vjp_step(state, adjoint, i, gradient)


def sweep(directory=None, model=None, n=N, state=None, **options):
    model = model or Model()
    if directory is not None:
        options = {"resume_dir": directory, "save_every": 0.0, **options}
    return ad.checkpointed_sweep(
        model.step,
        model.vjp_step,
        timeloops.start() if state is None else state,
        n,
        adjoint=model.adjoint,
        gradient=np.zeros(2),
        **options,
    )


@pytest.fixture(scope="module")
def wanted():
    return sweep()


VARIANTS = {
    "few": {"snapshots": 3},
    "one": {"snapshots": 1},
    "disk": {"snapshots": 2, "disk_snapshots": 2},
    "seldom saved": {"snapshots": 2, "disk_snapshots": 2, "save_every": 1e9},
    "never saved": {"snapshots": 3, "save_every": 1e9},
    "all on disk": {"snapshots": 0, "disk_snapshots": N},
    "h_revolve": {"snapshots": 2, "disk_snapshots": 2, "schedule": "h_revolve"},
    "disk_revolve": {"snapshots": 1, "schedule": "disk_revolve"},
    "periodic": {"snapshots": 1, "schedule": partial(periodic, period=4)},
    "unknown length": {"snapshots": 3, "n": None, "until": lambda state, i: i == N},
    "unknown length, disk": {
        "snapshots": 1,
        "n": None,
        "until": lambda state, i: i == N,
        "schedule": partial(periodic, period=4),
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_at_many_places_it_goes_on_to_the_same_result(name, wanted, tmp_path):
    if "revolve" in name:
        pytest.importorskip("checkpoint_schedules")
    whole = sweep(tmp_path / "whole", debug=True, **VARIANTS[name])
    assert equal(whole, wanted)
    calls = whole.counts.forward + N
    for k in range(0, calls, 1 + calls // 30):
        directory = tmp_path / str(k)
        with pytest.raises(Stop):
            sweep(directory, Stopping(k), **VARIANTS[name])
        found = sweep(directory, debug=True, **VARIANTS[name])
        assert equal(found, wanted), f"stopped at call {k}"
        assert sorted(p.name for p in directory.glob("*.tmp")) == []


def test_stopped_again_and_again(wanted, tmp_path):
    stops = 0
    while True:
        try:
            found = sweep(tmp_path, Stopping(5), snapshots=3)
            break
        except Stop:
            stops += 1
    assert equal(found, wanted) and stops > 3


def test_what_was_saved_is_not_done_again(tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(N + 2), snapshots=N)  # N steps, and one of the adjoint
    found = sweep(tmp_path, snapshots=N)
    assert found.counts.reverse == N - 2
    assert found.counts.forward <= fewest_steps(N - 1, N), "from what is on disk: state 0, and two of the last ones"


def test_a_sweep_that_ended_is_not_run_again(wanted, tmp_path):
    sweep(tmp_path, snapshots=3)
    names = sorted(os.listdir(tmp_path))
    assert names == ["adjoint-0.tape", "adjoint-1.tape", "final-12.tape", "lock", "sweep.tape"]
    found = sweep(tmp_path, snapshots=3)
    assert equal(found, wanted) and found.counts.forward == found.counts.reverse == 0
    assert sorted(os.listdir(tmp_path)) == names


def test_no_steps(tmp_path):
    for _ in range(2):
        assert sweep(tmp_path, n=0, snapshots=1).counts.reverse == 0


def test_the_files_keep_to_the_limits(tmp_path):
    most = 0

    class Counting(Model):
        def step(self, state, i):
            nonlocal most
            most = max(most, len(list(tmp_path.glob("state-*"))))
            return super().step(state, i)

    found = sweep(tmp_path, Counting(), n=40, snapshots=2, disk_snapshots=3)
    assert found.counts.most[Level.DISK] == 3
    assert most <= 3 + 3, "those of the schedule, that of state 0 and two of the forward sweep"


def test_states_of_many_chunks(tmp_path):
    """A file has a checksum for each MiB, and arrays begin and end anywhere in it."""
    rng = np.random.default_rng(1)
    state = {"a": rng.random(200_000), "b": np.arange(7, dtype="u1"), "c": (rng.random((300, 1000)).astype("f4").T, 1)}
    seen = []

    def step(s, i):
        if len(seen) == 3:
            raise Stop
        return {**s, "a": s["a"] + 1.0}

    def vjp_step(s, adjoint, i):
        seen.append(i)
        assert i != 2 or np.array_equal(s["a"], state["a"] + 1.0 + 1.0)
        assert np.array_equal(s["c"][0], state["c"][0]) and s["c"][0].flags.f_contiguous
        assert np.array_equal(s["b"], state["b"])
        return adjoint

    run = partial(ad.checkpointed_sweep, step, vjp_step, state, 6, adjoint=0.0, snapshots=0, disk_snapshots=2)
    with pytest.raises(Stop):
        run(resume_dir=tmp_path, save_every=0.0)
    seen.append(None)
    run(resume_dir=tmp_path, save_every=0.0)
    assert seen == [5, 4, 3, None, 2, 1, 0]


def test_progress_of_a_sweep_that_goes_on(monkeypatch, tmp_path):
    pytest.importorskip("tqdm")
    lines = []
    text = ad.checkpoint.progress.text
    monkeypatch.setattr("ad.checkpoint.progress.text", lambda *given: lines.append(text(*given)) or lines[-1])
    for calls in (8, N + 8):
        with pytest.raises(Stop):
            sweep(tmp_path / str(calls), Stopping(calls), snapshots=2)
        found = sweep(tmp_path / str(calls), snapshots=2, progress=True)
        forward, reverse = found.counts.forward, found.counts.reverse
        assert lines[-1] == f"forward {forward} of {forward}, reverse {reverse} of {reverse}"


def test_an_error_says_how_to_go_on(tmp_path):
    with pytest.raises(Stop) as caught:
        sweep(tmp_path, Stopping(4), snapshots=3)
    assert caught.value.__notes__[-1] == f"the same call goes on at state 4, saved in {tmp_path}"
    with pytest.raises(Stop) as caught:
        sweep(tmp_path, Stopping(N), snapshots=3)
    assert caught.value.__notes__[-1].startswith("the same call goes on at the adjoint of state ")


# ---------------------------------------------------------------------------------------- killed processes


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_at_twenty_random_moments(tmp_path):
    """Four kinds of sweep, five times each, by SIGKILL."""
    seed = random.SystemRandom().randrange(10**6)
    script = Path(__file__).with_name("kill_sweeps.py")
    path = os.pathsep.join([*map(str, map(Path, sys.path)), str(script.parents[2] / "helpers")])
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path), "5", str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(trials) == 20
    bad = [trial for trial in trials if not trial["same"]]
    assert not bad, f"seed {seed}: {bad}\n{done.stderr}"
    assert sum(trial["killed"] for trial in trials) >= 10, trials
    assert any(trial["reverse"] < 20 for trial in trials), "some went on in the reverse sweep"


# -------------------------------------------------------------------------------------------- other sweeps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": N + 1}, rf"its n is {N}, and not {N + 1}"),
        ({"snapshots": 4}, "its snapshots is 3, and not 4"),
        ({"disk_snapshots": 2}, "its disk_snapshots is 0, and not 2"),
        ({"schedule": "dynamic"}, "its schedule is 'binomial', and not 'dynamic'"),
        ({"tag": "b"}, "its tag is 'a', and not 'b'"),
        ({"state": {**timeloops.start(), "t": 0.5}}, r"its initial state \(checksum\) is"),
        ({"state": {**timeloops.start(), "u": np.zeros(2)}}, r"its state is .*float64\[24\].*, and not .*float64\[2\]"),
    ],
    ids=lambda x: ", ".join(x) if isinstance(x, dict) else "",
)
def test_another_sweep_is_refused(change, message, tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(4), snapshots=3, tag="a")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ResumeError, match=message) as caught:
        sweep(tmp_path, **{"snapshots": 3, "tag": "a", **change})
    assert str(tmp_path) in str(caught.value) and "delete it, or name another directory" in str(caught.value)
    assert isinstance(caught.value, ADError) and isinstance(caught.value, OSError)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_directory_of_something_else_is_refused(tmp_path):
    names = {"thesis.tex", ".tape-0123456789abcdef.tmp"}
    for name in names:
        (tmp_path / name).write_text("All of it.")
    with pytest.raises(ResumeError, match=r"holds thesis\.tex, and no sweep; name an empty directory"):
        sweep(tmp_path, snapshots=3)
    assert set(os.listdir(tmp_path)) == names, "nothing is touched"


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        sweep(tmp_path / "file", snapshots=3)


@pytest.mark.skipif(sys.platform == "win32", reason="without flock")
def test_a_directory_in_use_is_refused(tmp_path):
    class Again(Model):
        def step(self, state, i):
            if i == 3:
                with pytest.raises(ResumeError, match="is in use by another sweep"):
                    sweep(tmp_path, snapshots=3)
            return super().step(state, i)

    sweep(tmp_path, Again(), snapshots=3)
    sweep(tmp_path, snapshots=3)  # it is free again


def test_what_a_killed_write_left_is_removed(tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(4), snapshots=3)
    (tmp_path / ".tape-0123456789abcdef.tmp").write_bytes(b"half")
    sweep(tmp_path, snapshots=3)
    assert not list(tmp_path.glob(".tape*"))


def test_the_description_is_damaged(tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(4), snapshots=3)
    damage(tmp_path / "sweep.tape")
    with pytest.raises(ResumeError, match="the description of the sweep is damaged"):
        sweep(tmp_path, snapshots=3)


# ------------------------------------------------------------------------------------------- damaged files


def damage(path):
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def confuse(path):
    """A whole file, of another name."""
    other = next(p for p in sorted(path.parent.glob("*-*.tape")) if p != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("harm", [damage, truncate, empty, confuse])
@pytest.mark.parametrize("which", ["newest state", "state 0", "all states"])
def test_a_damaged_state_is_not_used(which, harm, wanted, tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(8), snapshots=1, disk_snapshots=3)
    names = sorted(tmp_path.glob("state-*.tape"), key=lambda p: int(p.stem[6:]))
    assert len(names) > 3
    for path in {"newest state": names[-1:], "state 0": names[:1], "all states": names}[which]:
        harm(path)
    with pytest.warns(ResumeWarning, match="the sweep goes on from an older file") as seen:
        found = sweep(tmp_path, snapshots=1, disk_snapshots=3, debug=True)
    assert equal(found, wanted)
    assert str(tmp_path) in str(seen[0].message)


@pytest.mark.parametrize("harm", [damage, truncate, empty, confuse])
@pytest.mark.parametrize("which", ["newest adjoint", "both adjoints", "final", "everything"])
def test_a_damaged_adjoint_is_not_used(which, harm, wanted, tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(N + 8), snapshots=1, disk_snapshots=3)
    adjoints = sorted(tmp_path.glob("adjoint-*.tape"), key=lambda p: int(p.stem[8:]))
    assert len(adjoints) == 2
    others = [tmp_path / f"final-{N}.tape"]
    chosen = {
        "newest adjoint": adjoints[:1],
        "both adjoints": adjoints,
        "final": others,
        "everything": [*tmp_path.glob("*-*.tape"), *others],
    }
    for path in chosen[which]:
        harm(path)
    with pytest.warns(ResumeWarning, match="the sweep goes on from an older file"):
        found = sweep(tmp_path, snapshots=1, disk_snapshots=3, debug=True)
    assert equal(found, wanted)
    if which == "newest adjoint":
        older = int(adjoints[1].stem[8:])
        assert found.counts.reverse == older


def test_a_damaged_state_of_a_sweep_of_unknown_length(wanted, tmp_path):
    options = {"n": None, "until": lambda state, i: i == N, "snapshots": 2}
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(8), **options)
    damage(tmp_path / "state-8.tape")
    with pytest.warns(ResumeWarning, match="state-8"):
        found = sweep(tmp_path, debug=True, **options)
    assert equal(found, wanted)
    assert found.counts.forward < fewest_steps(N, 2) + 5, "from state 7"


def test_a_state_that_is_gone(wanted, tmp_path):
    with pytest.raises(Stop):
        sweep(tmp_path, Stopping(8), snapshots=1, disk_snapshots=3)
    for path in tmp_path.glob("state-*.tape"):
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(sweep(tmp_path, snapshots=1, disk_snapshots=3), wanted)
