"""Calls under `ad.remat` are run again instead of recorded.  That they are right is in the matrix (matrix/remat.py)."""

import inspect
import linecache
import math
import re
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import load, pending
from numba import njit
from reference import SINGLE, active, assert_near, dual_gradient, fresh

import ad
from ad import tapes
from tape import SlabPool, Tape, TapeError

MIB = 2**20


def series(x, n):
    s = x
    for _ in range(n):
        s = math.sin(s) * s + 0.3 * x
    return s


def marked(x, n):
    s = x
    for _ in range(n):
        s = math.sin(s) * s + 0.3 * x
    return s


ad.remat(marked)


def with_series(x, n, m):
    for _ in range(n):
        x = x * 0.5 + series(x, m)
    return x


def with_marked(x, n, m):
    for _ in range(n):
        x = x * 0.5 + marked(x, m)
    return x


def advance(u, c):
    for _ in range(4):
        u = u + c * np.sin(u * u)
    return u


@njit
@ad.remat
def advance_marked(u, c):
    for _ in range(4):
        u = u + c * np.sin(u * u)
    return u


def steps(u, c, n):
    for _ in range(n):
        u = advance(u, c)
    return np.sum(u * u)


def marked_steps(u, c, n):
    for _ in range(n):
        u = advance_marked(u, c)
    return np.sum(u * u)


U = np.linspace(0.1, 1.0, 5000)


def in_a_new_thread(run):
    """With tapes of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def peak(g, args):
    def run():
        found = g(*args)
        return found, g.stats().high_bytes

    return in_a_new_thread(run)


# -------------------------------------------------------------------------------------------- what comes out of it


def sample():
    """Programs of the matrix that Python and Numba, and so both runs of a call, agree on."""
    known = (c for c in load() if not {c.program, c.id} & pending() and not c.without_numba)
    return [pytest.param(c, id=c.id) for c in known if zlib.crc32(c.id.encode()) % 16 == 0]


@pytest.mark.parametrize("case", sample())
def test_programs_of_the_matrix_in_a_marked_function(case, interpreted_gradient):
    names = [f"a{k}" for k in range(len(case.args))]
    given = [f"{n}.copy()" if isinstance(a, np.ndarray) else n for n, a in zip(names, case.args, strict=True)]
    text = f"def marked({', '.join(names)}):\n    return _f({', '.join(given)})\n\n\n"
    text += f"def program({', '.join(names)}):\n    return 1.5 * marked({', '.join(names)})\n"
    filename = f"<{case.id} marked>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"_f": case.function}
    exec(compile(text, filename, "exec"), scope)
    ad.remat(scope["marked"])
    wrt = active(case.args)
    value, found, source = interpreted_gradient(scope["program"], fresh(case.args), wrt)
    expected_value, expected = dual_gradient(scope["program"], case.args, wrt)
    rtol = SINGLE if case.single else 1e-12
    assert "marked_rerun" in source and value == pytest.approx(expected_value, rel=rtol)
    assert_near(found, expected, rtol=rtol, atol=rtol if case.single else 1e-13, note=f" in\n{source}")


# ---------------------------------------------------------------------------------------------- what is recorded


def test_the_tape_holds_one_call_at_a_time():
    n, m = 600, 1000
    (value, grad), most = peak(ad.value_and_grad(with_series, "x"), (0.3, n, m))
    (again, found), least = peak(ad.value_and_grad(with_marked, "x"), (0.3, n, m))
    assert (again, found) == (value, grad), "numbers are the same to the last bit"
    assert most >= 8 * n * m and least <= MIB < 8 * n * m / 4


def test_of_arrays_too():
    n = 50
    (value, grads), most = peak(ad.value_and_grad(steps, ("u", "c")), (U, 0.1, n))
    (again, found), least = peak(ad.value_and_grad(marked_steps, ("u", "c")), (U, 0.1, n))
    assert again == value
    np.testing.assert_allclose(found[0], grads[0], rtol=1e-12)
    assert found[1] == pytest.approx(grads[1], rel=1e-12)
    state = U.nbytes
    assert most >= 4 * n * state
    assert n * state <= least <= (n + 4) * state + 2 * MIB < most / 2


@ad.remat
def straight(u, c):
    a = np.sin(u) * c
    b = a * a + u
    return np.sum(b * a * u)


def calls_straight(u, c):
    s = straight(u, c)
    return s * straight(u, s)


def test_outside_of_loops_nothing_is_recorded():
    g = ad.value_and_grad(calls_straight, ("u", "c"))
    g(U[:5], 0.3)
    assert "tape" not in g.source and g.source.count("straight_rerun(") == 3


def test_the_source_is_readable():
    g = ad.grad(with_marked, "x")
    g(0.3, 3, 4)
    rerun = g.source[g.source.index("def marked_rerun") :].partition("@njit")[0]
    assert '"""marked() again, recording, and its reverse sweep at once."""' in rerun
    assert "# forward sweep" in rerun and "# reverse sweep" in rerun and "push(" in rerun and "pop(" in rerun
    forward = g.source[g.source.index("def with_marked_grad") :].partition("# reverse sweep")[0]
    assert "x = x * 0.5 + marked_value" in forward and "marked_forward" not in g.source
    primal = g.source[g.source.index("def marked(") :].partition("@njit")[0]
    assert "push" not in primal


def test_the_report_says_so():
    g = ad.grad(with_marked, "x")
    g(0.3, 3, 4)
    report = g.report()
    [line] = report.rerun["marked"]
    assert line.text == "x = x * 0.5 + marked(x, m)" and not report.called and not report.unchanged
    by_function = {item.line.function: item.rerun for item in report.items}
    assert by_function == {"with_marked": False, "marked": True}
    outer, inner = report.loops
    assert outer.bytes_per_iteration == 8 and outer.calls == () and inner.line.function == "marked"
    text = str(report)
    assert "Recorded while a call is run again, and taken back at once:" in text
    assert re.search(
        r"Run again in the reverse sweep instead of recorded, because of ad\.remat:\n  marked +\d+\n", text
    )


@ad.remat
def passes_on(x, n):
    return series(x, n) * x


def calls_both(x, n):
    return passes_on(x, n) + series(x, n)


def test_the_report_on_what_a_marked_function_calls():
    g = ad.grad(passes_on_twice, "x")
    g(0.3, 3)
    assert {item.line.function for item in g.report().items if item.rerun} == {"series"}
    g = ad.grad(calls_both, "x")
    g(0.3, 3)
    assert not any(item.rerun for item in g.report().items), "it records outside of the marked function too"


def passes_on_twice(x, n):
    return passes_on(passes_on(x, n), n)


# ----------------------------------------------------------------------------------------------- how often it runs

calls = []


def square(x):
    calls.append(x)
    return x * x


ad.defvjp(square, lambda g, ans, x: g * 2.0 * x)


@ad.remat
def inner(x):
    return square(x) * x


@ad.remat
def outer(x):
    return inner(x * 0.5) * x


def once(x, y):
    return inner(x) + inner(y)


def nested(x, y):
    return outer(x) * y


@pytest.mark.parametrize(
    ("f", "wrt", "times"),
    [(once, (0, 1), 4), (once, (0,), 3), (nested, (0,), 3), (nested, (1,), 1)],
    ids=["twice each", "only where a derivative passes", "once more for each level", "a factor"],
)
def test_how_often_a_call_runs(f, wrt, times, interpreted_gradient):
    calls.clear()
    interpreted_gradient(f, (0.7, 0.4), wrt)
    assert len(calls) == times


def unused(x):
    y = inner(x)
    y = x * x
    return y


def test_a_result_that_nobody_needs(interpreted_gradient):
    _, [found], text = interpreted_gradient(unused, (0.7,), (0,))
    assert found == pytest.approx(1.4) and "rerun" not in text


# ------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(("f", "args"), [(with_marked, (0.3, 5, 20_000)), (marked_steps, (U, 0.1, 20))])
def test_spilled_to_the_last_bit(f, args, tmp_path, memory_limit):
    h = ad.value_and_grad(f)
    value, expected = h(*args)
    again, found = h(*args, memory="64 KiB", spill_dir=tmp_path)
    assert again == value and h.traffic().bytes_written
    np.testing.assert_equal(found, expected)


def test_debug_finds_every_tag_and_changes_nothing():
    for f, args in ((with_marked, (0.3, 5, 7)), (marked_steps, (U[:7], 0.1, 5))):
        value, expected = ad.value_and_grad(f)(*args)
        again, found = ad.value_and_grad(f).with_options(debug=True)(*args)
        assert again == value
        np.testing.assert_equal(found, expected)


@ad.remat
def logarithm(x, n):
    s = 1.0
    for i in range(n):
        s = s * np.log(x - i)  # here
    return s


def to_infinity(x, n):
    return logarithm(x, n) * x


def test_debug_warns_once_of_what_is_not_finite():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        ad.grad(to_infinity, "x").with_options(debug=True)(2.0, 3)
    lines, first = inspect.getsourcelines(logarithm)
    at = first + next(k for k, text in enumerate(lines) if "# here" in text)
    values = [w for w in found if "the first value" in str(w.message)]
    assert [w.lineno for w in values] == [at]


def test_single_precision_on_the_tape():
    for f, args in ((with_marked, (0.3, 5, 7)), (marked_steps, (U[:7], 0.1, 5))):
        value, expected = ad.value_and_grad(f)(*args)
        again, found = ad.value_and_grad(f).with_options(record="f4")(*args)
        assert again == value
        for mine, exact in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True):
            np.testing.assert_allclose(mine, exact, rtol=1e-4)


def test_no_memory_while_a_call_is_run_again(monkeypatch):
    """The error is raised as one of the forward sweep is, and the next call is right."""
    pool = SlabPool(limit=64 * 1024)
    monkeypatch.setattr(tapes, "new_tape", lambda options: Tape("f8", pool=pool))
    g = ad.grad(with_marked, "x")

    def run():
        small = g(0.3, 10, 20)
        for _ in range(3):
            with pytest.raises((MemoryError, TapeError)):
                g(0.3, 2, 100_000)
            assert len(tapes.latest_tape()) == 0
            assert g(0.3, 10, 20) == small

    in_a_new_thread(run)


def test_check_grads():
    ad.check_grads(with_marked, (0.3, 4, 5))
    ad.check_grads(marked_steps, (U[:5], 0.1, 3))


# ---------------------------------------------------------------------------------------------- the mark


def test_it_returns_the_function_itself():
    def f(x):
        return x

    assert ad.remat(f) is f
    compiled = njit(f)
    assert ad.remat(compiled) is compiled and compiled(2.0) == 2.0


def test_a_gradient_of_the_function_itself_is_as_always():
    assert ad.value_and_grad(marked, "x")(0.3, 9) == ad.value_and_grad(series, "x")(0.3, 9)


def test_an_array_of_the_caller_may_be_written_to_afterwards():
    def f(u, c):
        v = u * c
        w = advance_marked(v, c)
        v[0] = w[1] * c
        w[0] = v[0] * v[1]
        return np.sum(v * w) + np.sum(advance_marked(w, v[0]))

    ad.check_grads(f, (U[:5], 0.3))
