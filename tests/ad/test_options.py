"""memory=, spill_dir= and compress=: where they may be given, which ones hold, and which tape a call then runs on."""

import asyncio
import math
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from numba import njit

import ad
from ad import tapes
from ad.runtime import PopFailed, pop
from tape import SpillError, Tape, TapeEmptyError, TapeStats, TapeTypeError, TapeValueError
from tape.numba import push

MIB = 2**20


def recording(x, n):
    for _ in range(n):
        x = math.sin(x) + x * x * 0.1
    return x


@pytest.fixture
def made(monkeypatch):
    """The options that tapes are made with, in this test's own collection of tapes."""
    found = []

    def new_tape(options):
        found.append(options[:3] if options.compress else options[:2])
        return Tape("f8")

    monkeypatch.setattr(tapes, "new_tape", new_tape)
    monkeypatch.setattr(tapes, "_here", tapes._Here())
    return found


@pytest.fixture(scope="module")
def g():
    gradient = ad.grad(recording, wrt="x")
    assert gradient(0.3, 2) == gradient(0.3, 2)
    return gradient


# ------------------------------------------------------------------------------------------- which ones hold


def test_every_place(g, made, tmp_path):
    expected = g(0.3, 5)
    assert made == [(None, None)]
    assert g(0.3, 5, memory="1 MiB") == expected
    assert g(0.3, 5, spill_dir=tmp_path) == expected
    assert g.with_options(memory=2 * MIB, spill_dir=str(tmp_path))(0.3, 5) == expected
    with ad.options(memory="3 MiB"):
        assert g(0.3, 5) == expected
    directory = str(tmp_path)
    assert made == [(None, None), (MIB, None), (None, directory), (2 * MIB, directory), (3 * MIB, None)]


def test_compress_is_an_option_like_the_others(g, made):
    expected = g(0.3, 5, compress="lz4")
    assert made.pop() == (None, None, "lz4")
    with ad.options(memory=MIB, compress="auto"):
        assert g(0.3, 5) == g.with_options(compress="zstd")(0.3, 5) == expected
        assert made == [(MIB, None, "auto"), (MIB, None, "zstd")]
        g(0.3, 5, compress=None)
        assert made[2:] == [(MIB, None)]


def test_precedence_is_by_option(g, made):
    mine = g.with_options(memory="2 MiB")
    with ad.options(memory="1 MiB", spill_dir="/one"):
        mine(0.3, 5)
        assert made.pop() == (2 * MIB, "/one")
        mine(0.3, 5, memory="3 MiB")
        assert made.pop() == (3 * MIB, "/one")
        mine(0.3, 5, memory=None)
        assert made.pop() == (None, "/one"), "None is a choice: no limit"
        mine.with_options(spill_dir="/two")(0.3, 5)
        assert made.pop() == (2 * MIB, "/two")
        with ad.options(spill_dir=None):
            g(0.3, 5)
            assert made.pop() == (MIB, None)
    with pytest.raises(ZeroDivisionError), ad.options(memory=5 * MIB):
        raise ZeroDivisionError
    g(0.3, 5)
    assert made == [(None, None)], "the end of a block restores what was before, after an exception too"


def test_the_quick_call_follows(g, made):
    """The second call of the same types takes a shorter way, which sees the options too."""
    mine = g.with_options(memory=MIB)

    def used(gradient, **options):
        gradient(0.3, 5, **options)
        return tapes._here.shelf.options[:2]

    for _ in range(3):
        assert used(g) == (None, None)
        assert used(mine) == (MIB, None)
        with ad.options(spill_dir="/one"):
            assert used(g) == (None, "/one")
            assert used(mine) == (MIB, "/one")
        assert used(g, memory=7 * MIB) == (7 * MIB, None)
        assert used(mine, memory=None) == (None, None)


def test_threads_and_tasks_have_contexts_of_their_own(g, made):
    with ad.options(memory=MIB):
        thread = threading.Thread(target=g, args=(0.3, 5))
        thread.start()
        thread.join()
    assert made == [(None, None)]
    made.clear()

    async def task(memory, together):
        with ad.options(memory=memory):
            await together.wait()
            g(0.3, 5)
            await asyncio.sleep(0)
            g(0.3, 5)

    async def both():
        together = asyncio.Barrier(2)
        await asyncio.gather(task(2 * MIB, together), task(3 * MIB, together))

    asyncio.run(both())
    assert sorted(made) == [(2 * MIB, None), (3 * MIB, None)]


def test_a_gradient_without_a_tape_ignores_them(made):
    def f(x, y):
        return x * y

    h = ad.value_and_grad(f)
    assert h(2.0, 3.0, memory=1) == h.with_options(memory=1)(2.0, 3.0) == (6.0, (3.0, 2.0))
    assert not made


def test_a_function_with_such_a_parameter(made):
    def f(x, n, memory):
        for _ in range(n):
            x = math.sin(x) * memory
        return x

    h = ad.grad(f, wrt=("x", "memory"))
    expected = h(0.3, 5, 2.0)
    assert h(0.3, 5, memory=2.0) == expected
    assert h.with_options(memory=MIB)(0.3, 5, memory=2.0) == expected
    assert h(0.3, 5, 2.0, spill_dir="/one") == expected
    with ad.options(memory=3 * MIB):
        assert h(0.3, n=5, memory=2.0) == expected
    assert made == [(None, None), (MIB, None), (None, "/one"), (3 * MIB, None)]
    with pytest.raises(ad.ADTypeError, match="its options are spill_dir, compress, prefetch, record"):
        h(0.3, 5, 2.0, speed=1)


# ------------------------------------------------------------------------------------------- what is refused


def test_wrong_options(g):
    for use in (ad.options, g.with_options):
        with pytest.raises(ad.ADTypeError, match="no option 'disk'; the options are memory, spill_dir, compress"):
            use(disk="1 MiB")
    with pytest.raises(ad.ADTypeError, match=r"argument 'disk'; its options are memory, spill_dir, compress"):
        g(0.3, 5, disk="1 MiB")
    for use in (ad.options, g.with_options, lambda **given: g(0.3, 5, **given)):
        with pytest.raises(TapeValueError, match="memory: 'much' is no size"):
            use(memory="much")
        with pytest.raises(TapeTypeError, match=r"memory: .*not float"):
            use(memory=1e6)
        with pytest.raises(TapeValueError, match="compress: 'gzip'; it is one of 'auto', 'lz4', 'zstd'"):
            use(compress="gzip")
        with pytest.raises(TapeTypeError, match=r"compress: .*not int"):
            use(compress=5)
        for wrong in (3, b"/tmp", True):
            with pytest.raises(ad.ADTypeError, match="spill_dir: a path or None"):
                use(spill_dir=wrong)


def test_a_relative_directory_stays_what_it_is(g, made, tmp_path, monkeypatch):
    (tmp_path / "spill").mkdir()
    monkeypatch.chdir(tmp_path)
    mine = g.with_options(spill_dir=Path("spill"))
    monkeypatch.chdir("/")
    mine(0.3, 5)
    assert made == [(None, os.path.realpath(tmp_path / "spill"))]


# --------------------------------------------------------------------------------------------------- tapes


def test_tapes_are_kept_for_their_options_only(g, made):
    seen = {}
    for _ in range(3):
        for memory in (None, MIB, 2 * MIB, "1 MiB"):
            g(0.3, 5, memory=memory)
            key = 2**20 if memory == "1 MiB" else memory
            assert seen.setdefault(key, tapes.latest_tape()) is tapes.latest_tape()
    assert len(made) == 3 and len({*map(id, seen.values())}) == 3


def test_the_tapes_that_were_not_used_for_longest_are_closed(g, made):
    found = []
    for k in range(7):
        g(0.3, 5, memory=k * MIB)
        found.append(tapes.latest_tape())
        g(0.3, 5, memory=0)
    assert found[0] is tapes.latest_tape()
    assert [t.closed for t in found] == [False, True, True, True, False, False, False]
    g(0.3, 5, memory=MIB)
    assert len(made) == 8 and not tapes.latest_tape().closed


def test_statistics_are_those_of_the_latest_call(g, made):
    g(0.3, 20_000, memory=MIB)
    assert isinstance(g.stats(), TapeStats) and g.stats().high_bytes >= 160_000
    g(0.3, 5, memory=2 * MIB)
    assert g.stats().high_bytes == 0
    g(0.3, 5, memory=MIB)
    assert g.stats().high_bytes >= 160_000
    missing = []
    thread = threading.Thread(target=lambda: missing.append((g.stats(), g.traffic())))
    thread.start()
    thread.join()
    assert missing == [(None, None)]


def test_a_pop_that_fails_raises_the_error_of_the_tape(made):
    @njit
    def kernel(handle, x, lost):
        push(handle, x)
        if lost:
            pop(handle, 5)
        return 0, x, pop(handle)

    run = tapes.on_tape(kernel, {})
    for _ in range(3):
        assert run(2.0, False) == (2.0, (2.0,))
        with pytest.raises(TapeEmptyError, match="holds 1") as caught:
            run(2.0, True)
        assert caught.value.__context__ is None
        assert len(tapes.latest_tape()) == 0
    assert len(made) == 1


@pytest.mark.parametrize("leave", [lambda: 1, PopFailed])
def test_a_failure_that_the_tape_knows_nothing_of_is_a_defect(made, leave):
    """Whatever says that numbers are missing, there is no gradient."""

    def kernel(handle):
        left = leave()
        if isinstance(left, Exception):
            raise left
        return left, 1.0

    with pytest.raises(ad.ADError, match="the sweeps did not match"):
        tapes.on_tape(kernel, {})()


def test_an_index_that_was_lost_is_not_used():
    """With zeros in place of what was recorded, `i - k` would leave the array, and nothing checks it."""

    @njit
    def f(a, x, n):
        s = x
        k = 0
        for i in range(n):
            k = i - i % 2
            s = s * x + a[i - k] * s * s
        return s

    text = ad.grad(f).source
    assert "a_b[i - k]" in text and "boundscheck" not in text
    text = text.replace("failed, push\n", "failed\n\n\n@njit\ndef push(handle, *values):\n    pass\n")
    scope = {}
    exec(text, scope)
    tape = Tape("f8")
    with pytest.raises(PopFailed):
        scope["f_grad"](tape.handle, np.ones(2), 0.2, 1000)
    with pytest.raises(TapeEmptyError):
        tape.raise_failed()


# --------------------------------------------------------------------------------- looks like the gradient


def test_with_options_shares_the_compiled_code(g, made):
    mine = g.with_options(memory=MIB)
    assert mine(0.3, 5) == g(0.3, 5)
    assert mine._specials is g._specials and mine.source == g.source and mine.__name__ == g.__name__
    assert repr(mine) == f"ad.grad(recording, wrt='x').with_options(memory={MIB})"
    assert repr(g) == "ad.grad(recording, wrt='x')"


def test_pickle_keeps_them(g, made):
    mine = pickle.loads(pickle.dumps(g.with_options(memory=MIB, spill_dir="/one")))
    assert mine(0.3, 5) == g(0.3, 5)
    assert made[0] == (MIB, "/one")


def test_check_grads_runs_with_them(g, made):
    ad.check_grads(g.with_options(memory=MIB), (0.3, 5))
    assert made == [(MIB, None)]


# ----------------------------------------------------------------------------------- tapes that really spill


def newton(x, n):
    s = x
    for i in range(n):
        y = s + 1.0
        while abs(y * y - s - 2.0) > 1e-9:
            y = 0.5 * (y + (s + 2.0) / y)
        if i % 3 == 0:
            s = s * 0.5 + y * x
        else:
            s = math.sin(y) + x
    return s


def gathered(a, x, n):
    s = x
    k = 0
    for i in range(n):
        k = (7 * i + k) % len(a)
        s = math.cos(s) * a[k] + x * s * 0.1
    return s


@njit
def step(u, v, a):
    for _ in range(3):
        u = u + a * v * u * 0.01
        v = v - a * u * v * 0.01
    return u * v


def called(u, v, a, n):
    s = u
    for i in range(n):
        s = math.tanh(step(s, v, a)) + u
    return s


PROGRAMS = [
    (recording, (0.3, 300_000)),
    (newton, (0.7, 60_000)),
    (gathered, (np.linspace(0.1, 0.9, 11), 0.3, 150_000)),
    (called, (0.5, 0.4, 0.3, 60_000)),
]


@pytest.mark.usefixtures("memory_limit")
@pytest.mark.parametrize(("f", "args"), PROGRAMS, ids=lambda p: getattr(p, "__name__", ""))
def test_gradients_are_the_same_to_the_last_bit(f, args, tmp_path):
    h = ad.value_and_grad(f)
    value, expected = h(*args)
    for memory in ("64 KiB", "1 MiB"):
        for _ in range(2):
            again, found = h(*args, memory=memory, spill_dir=tmp_path)
            assert again == value
            np.testing.assert_equal(found, expected)
        assert h.traffic() is not None and str(h.traffic())
    pytest.importorskip("blosc2", reason="needs the extra `compress`")
    for compress in ("lz4", "auto"):
        again, found = h(*args, memory="64 KiB", spill_dir=tmp_path, compress=compress)
        assert again == value
        np.testing.assert_equal(found, expected)
        assert h.traffic().bytes_read
    assert not list(tmp_path.iterdir()), "the files have no names"
    h(*args)
    assert h.traffic() is None


@pytest.mark.usefixtures("memory_limit")
def test_a_directory_that_does_not_exist(g, tmp_path):
    expected = g(0.3, 300_000)
    missing = tmp_path / "missing"
    mine = g.with_options(memory="64 KiB", spill_dir=missing)
    for _ in range(2):
        with pytest.raises(SpillError, match="missing"):
            mine(0.3, 300_000)
        assert g(0.3, 300_000) == expected
    missing.mkdir()
    assert mine(0.3, 300_000) == expected


@pytest.mark.usefixtures("memory_limit")
def test_threads_that_spill(g, tmp_path):
    expected = g(0.3, 100_000)
    found = []

    def work():
        for _ in range(3):
            found.append(g(0.3, 100_000, memory="64 KiB", spill_dir=tmp_path))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [expected] * 12
