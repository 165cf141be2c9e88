"""Gradients of loops marked by `ad.checkpointed` are those without the mark, bit for bit."""

import importlib.util
import math
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from cases import load, pending
from markedloops import marked
from numba import njit
from problems import CASES
from problems import PENDING as PROBLEMS_PENDING
from randomchecks import KINDS, check
from reference import active, fresh
from reference.compare import leaves
from waves import PULSE, SPEED, wave

import ad
from ad import demo

SCHEDULES = {
    "binomial": {"snapshots": 2},
    "binomial by default": {},
    "online": {"schedule": "online", "snapshots": 3},
    "online by default": {"schedule": "online"},
    "periodic": {"schedule": "periodic", "period": 2},
}
if importlib.util.find_spec("checkpoint_schedules"):
    SCHEDULES |= {
        "h_revolve": {"schedule": "h_revolve", "snapshots": 2, "disk_snapshots": 2},
        "disk_revolve": {"schedule": "disk_revolve", "snapshots": 1},
        "periodic_disk_revolve": {"schedule": "periodic_disk_revolve", "snapshots": 2},
        "mixed": {"schedule": "mixed", "snapshots": 3},
    }
SHARED = {"aliases.view_of_an_array_that_others_replace"}
"""Programs where the loop replaces an array whose old contents another name is needed for."""
REORDERED = {"calls.time_loop", "calls.time_loop_with_energy", "indexing.graph_edges"}
"""Programs that mark loops whose trips do not depend on one another: without the mark they add up in another order."""


def sample():
    """Programs of the matrix with loops, one in sixteen."""
    known = [c for c in load() if not {c.program, c.id} & pending() and c.program not in SHARED | REORDERED]
    return [pytest.param(c, id=c.id) for c in known if zlib.crc32(c.id.encode()) % 16 == 1]


def assert_equal(found, expected, note):
    assert np.array_equal(found[0], expected[0], equal_nan=True), f"value {note}"
    for path, mine, reference in leaves(found[1], expected[1]):
        np.testing.assert_array_equal(mine, reference, err_msg=f"{path}{note}")


@pytest.mark.parametrize("case", sample())
def test_programs_of_the_matrix(case, interpreted_gradient):
    f = marked(case.function, **SCHEDULES[sorted(SCHEDULES)[zlib.crc32(case.id.encode()) // 16 % len(SCHEDULES)]])
    if f is None:
        pytest.skip("it is made by a function")
    wrt = active(case.args)
    expected = interpreted_gradient(case.function, fresh(case.args), wrt)
    found = interpreted_gradient(f, fresh(case.args), wrt)
    assert_equal(found, expected, f" in\n{found[2]}")


@pytest.mark.parametrize("case", sample()[::2])
def test_programs_of_the_matrix_with_every_loop_marked(case, interpreted_gradient):
    """Inner loops that run again are reversed in descending order always: sums may be rounded in another way."""
    f = marked(case.function, "all", snapshots=2)
    if f is None:
        pytest.skip("it is made by a function")
    wrt = active(case.args)
    value, expected, _ = interpreted_gradient(case.function, fresh(case.args), wrt)
    again, found, text = interpreted_gradient(f, fresh(case.args), wrt)
    assert np.array_equal(again, value, equal_nan=True)
    for path, mine, reference in leaves(found, expected):
        scale = np.max(np.abs(reference), initial=1.0)
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-13 * scale, err_msg=f"{path} in\n{text}")


def test_programs_that_are_refused(interpreted_gradient):
    for case in load():
        if case.program in SHARED:
            with pytest.raises(ad.UnsupportedSyntax, match=r"a and w may share memory.*give w a copy, w.copy\(\)"):
                interpreted_gradient(marked(case.function, snapshots=2), fresh(case.args), active(case.args))


@pytest.mark.parametrize("which", ["outer", "inner", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_programs(kind, which, interpreted_gradient):
    """Against dual numbers; which names share an array cannot be told of all of them."""
    again = refused = 0
    for seed in range(5):

        def gradient(f, args, wrt):
            nonlocal again
            found = interpreted_gradient(marked(f, which, snapshots=2), args, wrt)
            again += "trips" in found[2]
            return found

        try:
            check(kind, seed, gradient)
        except ad.ADError:
            refused += 1
    assert again and refused <= 3


FAMILIES = "dynamics.lorenz", "pde.burgers", "pde.wave", "pde.heat_b"
PROBLEMS = [c for c in CASES if c.name not in PROBLEMS_PENDING and c.name.startswith(FAMILIES)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("case", PROBLEMS, ids=lambda c: c.name)
def test_lorenz_burgers_waves(case, schedule, interpreted_gradient):
    f = marked(case.function, **SCHEDULES[schedule])
    expected = interpreted_gradient(case.function, fresh(case.args), case.positions)
    found = interpreted_gradient(f, fresh(case.args), case.positions)
    assert "trips" in found[2], "no loop is run again"
    if case.name.endswith("lorenz96_by_roll"):  # without the mark it is written as loops, which add up in another order
        for _, mine, reference in leaves(found[:2], expected[:2]):
            np.testing.assert_allclose(mine, reference, rtol=1e-12)
        return
    assert_equal(found, expected, f" in\n{found[2]}")


# ------------------------------------------------------------------------------------------------------ compiled


def marked_wave(start, c2, n):
    before, now, following = start.copy(), start.copy(), start.copy()
    misfit = 0.0
    for _ in ad.checkpointed(range(n), snapshots=4):
        for i in range(1, start.shape[0] - 1):
            for j in range(1, start.shape[1] - 1):
                around = now[i - 1, j] + now[i + 1, j] + now[i, j - 1] + now[i, j + 1] - 4.0 * now[i, j]
                following[i, j] = 2.0 * now[i, j] - before[i, j] + c2[i, j] * around
        before, now, following = now, following, before
        misfit += 0.5 * now[2, 3] ** 2
    return misfit


marked_wave = njit(marked_wave)


@pytest.fixture(scope="module")
def waves():
    return ad.value_and_grad(wave, ("start", "c2")), ad.value_and_grad(marked_wave, ("start", "c2"))


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_waves_compiled(n, waves):
    expected, found = (g(PULSE, SPEED, n) for g in waves)
    assert_equal(found, expected, "")
    assert found[0] == marked_wave(PULSE, SPEED, n), "the mark changes nothing for Numba"


def test_with_a_memory_budget(waves, tmp_path, memory_limit):
    g, h = waves
    expected = g(PULSE, SPEED, 60)
    for memory in ("96 KiB", "160 KiB"):
        assert_equal(h(PULSE, SPEED, 60, memory=memory, spill_dir=tmp_path), expected, memory)
        assert h.traffic().bytes_written


def test_debug_finds_every_tag_and_changes_nothing(waves):
    g, h = waves
    assert_equal(h.with_options(debug=True)(PULSE, SPEED, 9), g(PULSE, SPEED, 9), "")


def rate(s, x):
    for _ in ad.checkpointed(range(3), snapshots=1):
        s = math.sin(s) * x + 0.1
    return s


def rate_recorded(s, x):
    for _ in range(3):
        s = math.sin(s) * x + 0.1
    return s


def levels(x, u, n, limit):
    """Levels, a call, early exits, a flag, ints, and what is printed."""
    k, up, s, total = 0, False, x, 0.0
    while ad.checkpointed(k < n, snapshots=3):
        k += 1
        for i in ad.checkpointed(range(len(u)), snapshots=2):
            if s > limit:
                break
            s = s * u[i] + 0.25 * x * k
        s = rate(s, x) if up else s * 0.5
        up = not up
        u = u * 0.9 + 0.01 * s
        total += s * s
        print(k)
        if total > 100.0:
            return total * x
    return total + np.sum(u)


def levels_recorded(x, u, n, limit):
    k, up, s, total = 0, False, x, 0.0
    while k < n:
        k += 1
        for i in range(len(u)):
            if s > limit:
                break
            s = s * u[i] + 0.25 * x * k
        s = rate_recorded(s, x) if up else s * 0.5
        up = not up
        u = u * 0.9 + 0.01 * s
        total += s * s
        if total > 100.0:
            return total * x
    return total + np.sum(u)


@pytest.mark.parametrize(("n", "limit"), [(0, 9.0), (1, 0.6), (13, 0.6), (13, 9.0), (40, 99.0)])
def test_levels_and_early_exits(n, limit, interpreted_gradient, capsys):
    args = 1.7, np.array([0.9, 1.2, 0.7]), n, limit
    expected = interpreted_gradient(levels_recorded, args, (0, 1))
    capsys.readouterr()
    found = interpreted_gradient(levels, args, (0, 1))
    assert_equal(found, expected, f" in\n{found[2]}")
    printed = capsys.readouterr().out.split()
    assert printed == [str(k + 1) for k in range(len(printed))], "what trips print they print once"


def test_levels_compiled():
    g, h = (ad.value_and_grad(f, ("x", "u")) for f in (levels_recorded, levels))
    for n, limit in ((0, 9.0), (13, 0.6), (40, 99.0)):
        args = 1.7, np.array([0.9, 1.2, 0.7]), n, limit
        assert_equal(h(*args), g(*args), "")


def lorenz(s, n, snapshots):
    for _ in ad.checkpointed(range(n), snapshots=snapshots):
        dx = 10.0 * (s[1] - s[0])
        dy = s[0] * (28.0 - s[2]) - s[1]
        dz = s[0] * s[1] - 8.0 / 3.0 * s[2]
        s = s + 0.01 * np.array([dx, dy, dz])
    return s[0] * s[0] + s[2]


def lorenz_online(s, n):
    k = 0
    while ad.checkpointed(k < n):
        s = s + 0.01 * np.array([10.0 * (s[1] - s[0]), s[0] * (28.0 - s[2]) - s[1], s[0] * s[1] - 8.0 / 3.0 * s[2]])
        k += 1
    return s[0] * s[0] + s[2]


def lorenz_periodic(s, n):
    for _ in ad.checkpointed(range(n), schedule="periodic", period=7, snapshots=2):
        s = s + 0.01 * np.array([10.0 * (s[1] - s[0]), s[0] * (28.0 - s[2]) - s[1], s[0] * s[1] - 8.0 / 3.0 * s[2]])
    return s[0] * s[0] + s[2]


START = np.array([1.0, 1.2, 0.9])


@pytest.mark.parametrize(
    ("f", "args"), [(lorenz, (START, 50, 3)), (lorenz_online, (START, 50)), (lorenz_periodic, (START, 50))]
)
def test_the_taylor_rate_is_two(f, args):
    ad.check_grads(f, args)


@pytest.mark.parametrize("which", ["outer", "inner", "all"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_demo_under_every_schedule(name, which, interpreted_gradient):
    """The likelihood of the lynx-hare model; its derivatives are by eight numbers."""
    record = demo.read_record()
    args = (*demo.first_guess(record), record.hares, record.lynxes, 3)
    likelihood = demo.negative_log_likelihood.py_func
    expected = interpreted_gradient(likelihood, args, tuple(range(8)))
    found = interpreted_gradient(marked(likelihood, which, **SCHEDULES[name]), args, tuple(range(8)))
    assert_equal(found, expected, f" in\n{found[2]}")


@pytest.mark.parametrize(
    "name",
    [
        "binomial",
        pytest.param("online", marks=pytest.mark.thorough),
        pytest.param("periodic", marks=pytest.mark.thorough),
    ],
)
def test_the_taylor_rate_of_the_demo_is_two(name):
    record = demo.read_record()
    args = (*map(float, demo.first_guess(record)), record.hares, record.lynxes, 3)
    f = marked(demo.negative_log_likelihood, "outer", **SCHEDULES[name])
    found = ad.check_grads(f, args, demo.PARAMETERS)
    assert all(abs(rate - 2.0) < 0.1 for rate in found.rates[:3]), found.rates


# ----------------------------------------------------------------------------------- memory, source, report, cache


def test_the_tape_holds_snapshots_only():
    g = ad.grad(lorenz, "s")
    rows = {}
    for snapshots in (2, 10, 100):
        g(START, 2000, snapshots)
        rows[snapshots] = g.stats().high_bytes
    # On a tape of its own the least is what snapshots and one trip need.
    assert rows[2] <= rows[10] <= rows[100]


def test_the_source_is_readable(waves):
    _, h = waves
    h(PULSE, SPEED, 1)
    forward, _, back = h.source.partition("# reverse sweep")
    assert "if at == due:" in forward and "due = following" in forward
    assert "while trips > 0:" in back and "while at < trips:" in back
    plain = back[back.index("while at < trips:") :].partition("due = ")[2].partition("at += 1")[0]
    assert "push" not in plain.partition("for i in")[2], "trips that are only run again record nothing"


def test_the_report_says_so(waves):
    _, h = waves
    h(PULSE, SPEED, 1)
    [loop] = h.report().checkpointed
    assert loop.line.text.startswith("for _ in ad.checkpointed(range(n), snapshots=4)")
    assert set(loop.state) == {"before", "now", "following", "misfit"}
    assert (loop.schedule, loop.snapshots, loop.period) == ("binomial", "4", None)
    assert str(loop.size).startswith("56 bytes + 8 x size of") or "8 x size of" in str(loop.size)
    assert "Run again from snapshots, because of ad.checkpointed:" in str(h.report())


MODEL = """
import ad
import numpy as np


def loss(u, n):
    v = np.zeros_like(u)
    for _ in ad.checkpointed(range(n), snapshots=3):
        v[1:] = 0.5 * u[:-1] * u[1:] + 0.1
        u, v = v, u
    return np.sum(u * u)
"""
RUN = """
import ad, model
import numpy as np

g = ad.value_and_grad(model.loss, "u")
value, found = g(np.linspace(0.1, 1.0, 5), 20)
kernel = next(iter(g._specials.values())).kernel
print(value, *found, sum(kernel.function.stats.cache_hits.values()))
"""


def test_compiled_loops_are_found_again_by_the_next_process(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    env = {**os.environ, "LAYERED_TAPE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run():
        done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    *first, hits = run()
    *second, later = run()
    assert (first, hits, later) == (second, "0", "1")


def inside(x, n, m):
    s = x
    for i in ad.checkpointed(range(n), snapshots=2):
        for j in range(m):
            s = math.sin(s) * x + 0.01 * i
    return s


def test_the_report_on_what_a_trip_records():
    g = ad.grad(inside, "x")
    g(0.3, 4, 5)
    report = g.report()
    assert all(item.rerun for item in report.items) and report.items
    outer, inner = report.loops
    assert outer.bytes_per_iteration == 0 and inner.bytes_per_iteration >= 8
    assert "Recorded while a trip is run again, and taken back at once:" in str(report)
