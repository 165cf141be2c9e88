"""The tape in compiled code."""

import os
import re
import subprocess
import sys
import textwrap
import threading

import numba
import numpy as np
import psutil
import pytest
from numba import njit
from numba.core.errors import TypingError

from tape import (
    Reader,
    SlabPool,
    Tape,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeIndexError,
    TapeMarkError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
    capi,
)


@njit(nogil=True)
def push_all(tape, items):
    for x in items:
        tape.push(x)


@njit(nogil=True)
def pop_all(tape, out):
    for i in range(len(out) - 1, -1, -1):
        out[i] = tape.pop()


@njit(nogil=True)
def fill(tape, x, n):
    for _ in range(n):
        tape.push(x)


@njit(nogil=True)
def drain(tape, n):
    total = 0.0
    for _ in range(n):
        total += tape.pop()
    return total


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u1", "?", "c16", "c8"])
@pytest.mark.parametrize("n", [0, 1, 64, 65, 577, 5000])
def test_push_and_pop(dtype, n):
    rng = np.random.default_rng(0)
    data = (rng.standard_normal(n) * 100).astype("i1").astype(dtype)
    tape = Tape(dtype)
    push_all(tape, data)
    assert np.array_equal(tape[:], data)
    out = np.empty(n, dtype)
    pop_all(tape, out)
    assert np.array_equal(out, data)
    assert len(tape) == 0


def test_every_method():
    @njit
    def use(tape):
        before = len(tape)
        tape.push(3)
        tape.push(4.5)
        newest = tape.peek()
        block = tape.reserve(1000)
        block[:] = 7.0
        taken = tape.popn(1000)
        tape.extend(taken)
        out = np.empty(1000)
        tape.popn(1000, out)
        return before, newest, tape[0], tape[-1], taken.sum(), out.sum(), len(tape)

    tape = Tape("f8")
    tape.push(1.0)
    assert use(tape) == (1, 4.5, 1.0, 4.5, 7000.0, 7000.0, 3)
    assert list(tape) == [1.0, 3.0, 4.5]


def test_marks():
    @njit
    def nested(tape):
        outer = tape.mark()
        for i in range(1000):
            inner = tape.mark()
            for k in range(i):
                tape.push(float(k))
            tape.rewind(inner)
            tape.push(1.0)
        before = len(tape)
        tape.rewind(outer)
        return before, len(tape)

    @njit
    def popped_past(tape):
        mark = tape.mark()
        tape.pop()
        tape.push(1.0)
        tape.rewind(mark)

    tape = Tape("f8")
    tape.push(0.0)
    assert nested(tape) == (1001, 1)
    assert tape.stats().marks == 2  # the outer one, and the first of the inner ones at the same place
    with pytest.raises(TapeMarkError, match="popped past"):
        popped_past(tape)
    assert tape.stats().marks == 0
    for wrong in (0, 1, -1, 10**6):
        with pytest.raises(TapeMarkError):
            njit(lambda t, m: t.rewind(m))(tape, wrong)
    mark = njit(lambda t: t.mark())(tape)
    view = tape.reserve(10)
    with pytest.raises(TapeBusyError):
        njit(lambda t, m: t.rewind(m))(tape, mark)
    del view
    njit(lambda t, m: t.rewind(m))(tape, mark)
    assert len(tape) == 1


def test_the_loop_is_a_compare_a_store_and_an_add():
    tape = Tape("f8")
    fill(tape, 1.0, 1)
    (assembly,) = fill.inspect_asm().values()
    body = assembly[: assembly.index("cpython")] if "cpython" in assembly else assembly
    # From the compare with `end` to the jump back: the loop without its slow path, which lies behind the return.
    loop = re.search(r"(\.LBB0_\d+):\n\s+cmpq\s+16\(.*?\n\s+ja\s+\1", body, re.DOTALL)
    if loop is None and "x86_64" not in assembly and os.uname().machine != "x86_64":
        pytest.skip("reads x86-64 assembly")
    assert loop is not None, body[:3000]
    steps = [line.split()[0] for line in loop[0].splitlines() if line.startswith("\t")]
    assert len(steps) <= 8, steps
    assert "callq" not in loop[0]


def test_no_reference_counting_in_the_function():
    fill(Tape("f8"), 1.0, 1)
    (llvm,) = fill.inspect_llvm().values()
    functions = re.findall(r"^define .*?^}", llvm, re.DOTALL | re.MULTILINE)
    (function,) = (text for text in functions if f"@lt{capi.ABI}_push" in text)
    assert "NRT_" not in function


def test_calls_pass_a_tape_on():
    @njit
    def leaf(tape, x):
        tape.push(x)

    @njit
    def root(tape, n):
        for i in range(n):
            leaf(tape, float(i))

    tape = Tape("f8")
    root(tape, 100)
    assert list(tape) == [float(i) for i in range(100)]


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (njit(lambda t: t.pop()), TapeEmptyError),
        (njit(lambda t: t.peek()), TapeEmptyError),
        (njit(lambda t: t.popn(1)), TapeEmptyError),
        (njit(lambda t: t.popn(-1)), TapeValueError),
        (njit(lambda t: t.reserve(-1).size), TapeValueError),
        (njit(lambda t: t.reserve(2**58).size), TapeMemoryError),
        (njit(lambda t: t[0]), TapeIndexError),
        (njit(lambda t: t[-1]), TapeIndexError),
        (njit(lambda t: t.push(2**53 + 1)), TapeValueError),
        (njit(lambda t: t.push(-(2**60))), TapeValueError),
    ],
)
def test_errors(use, error):
    tape = Tape("f8")
    for _ in range(3):
        with pytest.raises(error):
            use(tape)
    assert len(tape) == 0
    tape.push(1.0)  # the tape was handed back
    assert tape.pop() == 1.0


def test_integers_that_do_not_fit():
    push = njit(lambda t, x: t.push(x))
    for dtype, good, bad in [
        ("f8", 2**53, 2**53 + 1),
        ("f8", -(2**53), -(2**53) - 1),
        ("f4", 2**24, 2**24 + 1),
        ("u1", 255, 256),
        ("u1", 0, -1),
        ("i4", -(2**31), 2**31),
        ("u8", 2**62, -1),
    ]:
        tape = Tape(dtype)
        push(tape, good)
        assert tape.pop() == good
        with pytest.raises(TapeValueError):
            push(tape, bad)
        assert len(tape) == 0


@pytest.mark.parametrize(("dtype", "x"), [("i8", 1.0), ("f8", 1j), ("?", 1), ("f8", "x"), ("f8", None)], ids=str)
def test_kinds_that_do_not_fit_do_not_compile(dtype, x):
    with pytest.raises(TypingError, match="push"):
        njit(lambda t, x: t.push(x))(Tape(dtype), x)


@pytest.mark.parametrize("bad", [np.ones(3, "f4"), np.ones((2, 2)), np.ones(6)[::2]], ids=["dtype", "shape", "strides"])
def test_arrays_that_do_not_fit_do_not_compile(bad):
    with pytest.raises(TypingError, match="extend"):
        njit(lambda t, a: t.extend(a))(Tape("f8"), bad)


def test_dtypes_without_a_numba_type():
    for dtype in [[("a", "f8")], "S3", ">f8"]:
        with pytest.raises((TypingError, TypeError), match="compiled code"):
            njit(lambda t: len(t))(Tape(dtype))


def test_no_memory_leaves_the_tape_as_it_was():
    tape = Tape("f8", pool=SlabPool(limit=4096))
    with pytest.raises(TapeMemoryError):
        fill(tape, 1.0, 10_000)
    assert len(tape) == 64 + 512
    assert drain(tape, 576) == 576


def test_a_view_from_python_stops_a_compiled_pop():
    tape = Tape("f8")
    tape.extend(np.ones(10))
    view = tape.peek(3)
    with pytest.raises(TapeBusyError, match="view"):
        drain(tape, 1)
    with pytest.raises(TapeBusyError, match="view"):
        njit(lambda t: t.popn(2))(tape)
    assert len(tape) == 10
    del view
    assert drain(tape, 10) == 10


def test_failing_calls_do_not_leak_the_arrays_of_the_frame():
    @njit
    def fails(tape, n):
        scratch = np.ones(n)
        scratch[0] = tape.pop()
        return scratch

    tape = Tape("f8")
    process = psutil.Process()

    def fail(times):
        for _ in range(times):
            with pytest.raises(TapeEmptyError):
                fails(tape, 100_000)  # 800 kB each

    fail(10)
    before = process.memory_info().rss
    fail(1000)
    assert process.memory_info().rss - before < 50e6


def test_a_tape_passed_twice_is_refused():
    both = njit(lambda s, t: len(s) + len(t))
    tape = Tape()
    with pytest.raises(TapeBusyError, match="in use"):
        both(tape, tape)
    assert both(tape, Tape()) == 0


def test_a_reserved_block_stays_in_compiled_code():
    def block(tape):
        return tape.reserve(10)

    def part(tape):
        return tape.reserve(10)[2:5]

    def within(tape):
        block = tape.reserve(10)
        block[:] = 1.0
        block[3:5] *= 4.0
        return block.copy(), block[2:4] + 1.0, block.sum()

    for escapes in (block, part):
        with pytest.raises(TypingError, match="copy"):
            njit(escapes)(Tape("f8"))
    copied, added, total = njit(within)(Tape("f8"))
    assert (copied.sum(), added.tolist(), total) == (16.0, [2.0, 5.0], 16.0)


def test_a_tape_cannot_outlive_its_call():
    @njit
    def generator(tape, n):
        for _ in range(n):
            yield tape.pop()

    @njit
    def listed(tape):
        return [tape]

    @njit
    def leaf(tape, x):
        tape.push(x)

    @njit(parallel=True)
    def shared(tape, n):
        for i in numba.prange(n):
            leaf(tape, float(i))

    for use in (lambda t: generator(t, 3), listed, lambda t: shared(t, 10)):
        with pytest.raises((TypingError, numba.core.errors.LoweringError), match=r"stored|shared"):
            use(Tape("f8"))


def test_a_closed_tape_is_refused():
    tape = Tape("f8")
    tape.close()
    with pytest.raises(TapeClosedError):
        fill(tape, 1.0, 1)


def test_use_during_a_compiled_loop_is_refused():
    @njit(nogil=True)
    def spin(tape, flags):
        flags[0] = 1
        while flags[1] == 0:
            tape.push(1.0)
            tape.pop()
        return len(tape)

    tape = Tape("f8")
    tape.extend(np.ones(100))
    mark = tape.mark()
    warm = np.ones(2, "i8")
    spin(Tape("f8"), warm)
    flags = np.zeros(2, "i8")
    thread = threading.Thread(target=spin, args=(tape, flags))
    thread.start()
    try:
        while flags[0] == 0:
            pass
        for use in [
            lambda: tape.push(1.0),
            tape.pop,
            lambda: tape[0],
            lambda: tape.reserve(3),
            lambda: tape.rewind(mark),
            tape.mark,
            tape.clear,
            tape.release,
            tape.close,
            tape.stats,
            lambda: len(tape),
            lambda: tape.nbytes,
            lambda: list(tape),
            lambda: fill(tape, 1.0, 1),
        ]:
            with pytest.raises(TapeBusyError, match="in use"):
                use()
        assert "in use" in repr(tape)
        mark = None  # dies now, is taken off the tape later
    finally:
        flags[1] = 1
        thread.join()
    assert tape.stats().marks in (0, 1)
    tape.push(1.0)
    assert tape.stats().marks == 0
    assert len(tape) == 101


def test_a_reentrant_call_is_refused():
    tape = Tape("f8")

    def callback():
        with pytest.raises(TapeBusyError):
            tape.push(1.0)

    @njit
    def calls_back(tape):
        with numba.objmode():
            callback()
        tape.push(2.0)

    calls_back(tape)
    assert list(tape) == [2.0]


# ---------------------------------------------------------------------------------- caches across processes

SCRIPT = textwrap.dedent(
    """
    import sys
    {before}
    import numpy as np
    from numba import njit
    from tape import Tape

    @njit(cache=True)
    def f(t, n):
        for i in range(n):
            t.push(i * 0.5)
        total = 0.0
        for i in range(n):
            total += t.pop()
        return total

    assert f(Tape("f8"), 1000) == sum(i * 0.5 for i in range(1000))
    stats = f.stats
    print("hits", sum(stats.cache_hits.values()), "misses", sum(stats.cache_misses.values()))
    """
)


def run(path, before, cache):
    path.write_text(SCRIPT.format(before=before))
    # The cache of a file is as old as the file: keep its time.
    os.utime(path, (1e9, 1e9))
    env = dict(os.environ, NUMBA_CACHE_DIR=str(cache))
    done = subprocess.run([sys.executable, str(path)], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_process_finds_the_cache(tmp_path):
    script = tmp_path / "script.py"
    assert run(script, "", tmp_path) == "hits 0 misses 1"
    assert run(script, "", tmp_path) == "hits 1 misses 0"


def test_another_abi_misses_the_cache(tmp_path):
    # The same source line by line, so that nothing but the ABI differs.
    script = tmp_path / "script.py"
    switch = "import os\nif 'OTHER' in os.environ:\n    import tape.capi\n    tape.capi.ABI += 1"
    assert run(script, switch, tmp_path) == "hits 0 misses 1"
    os.environ["OTHER"] = "1"
    try:
        assert run(script, switch, tmp_path) == "hits 0 misses 1"
        assert run(script, switch, tmp_path) == "hits 1 misses 0"
    finally:
        del os.environ["OTHER"]
    assert run(script, switch, tmp_path) == "hits 1 misses 0"


def test_import_tape_does_not_import_numba():
    code = "import sys, tape; tape.Tape().push(1.0); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_numba_finds_the_extension_by_itself():
    code = (
        "import sys, tape\nassert 'tape.numba' not in sys.modules\nimport numba\n"
        "t = tape.Tape()\nnumba.njit(lambda t: t.push(1.0))(t)\nassert t.pop() == 1.0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_wrong_dtype_is_named():
    with pytest.raises(TapeTypeError):
        Tape("i8").extend(np.ones(3))


# ------------------------------------------------------------------------------------------------- readers


@njit(nogil=True)
def read_twice(reader, out):
    total = 0.0
    for _ in range(2):
        for i in range(len(out) - 1, -1, -1):
            out[i] = reader.pop()
            total += out[i]
        reader.restart()
    return total


@njit(nogil=True)
def read_blocks(reader, out):
    rest = reader.popn(len(reader) - out.size)
    return rest, reader.popn(out.size, out)


@pytest.mark.parametrize("memory", [None, "64 KiB"])
def test_a_reader_in_compiled_code(memory):
    items = np.random.default_rng(3).standard_normal(50_000)
    with Tape("f8", memory=memory) as tape:
        tape.extend(items)
        with Reader(tape) as reader:
            out = np.empty_like(items)
            assert read_twice(reader, out) == pytest.approx(2.0 * items.sum(), rel=1e-9)
            assert np.array_equal(out, items)
            rest, block = read_blocks(reader, out[:1000])
            assert np.array_equal(rest, items[1000:]) and np.array_equal(block, items[:1000])
            with pytest.raises(TapeEmptyError, match="end of its stretch"):
                read_twice(reader, out)
        assert len(tape) == len(items)
        with pytest.raises(TapeClosedError):
            read_twice(reader, out)


def test_a_reader_claims_its_tape():
    tape = Tape("f8")
    tape.extend(np.ones(10))
    with Reader(tape) as reader:
        with tape.claimed(), pytest.raises(TapeBusyError):
            read_twice(reader, np.empty(10))

        @njit
        def both(tape, reader):
            return tape.pop() + reader.pop()

        with pytest.raises(TapeBusyError):
            both(tape, reader)


FIRST_USES = """
import threading
from numba import njit
from tape import Tape
from tape.reader import Reader

together, found = threading.Barrier(4), []

def use(reads):
    pop = njit(lambda source: source.pop())
    with Tape("f8") as tape:
        tape.push(2.0)
        source = Reader(tape) if reads else tape
        together.wait()
        found.append(pop(source))

threads = [threading.Thread(target=use, args=(i % 2,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found)
"""


def test_threads_that_use_compiled_code_for_the_first_time():
    """Numba loads its extensions in one of them, and does not let the others wait for that."""
    done = subprocess.run([sys.executable, "-c", FIRST_USES], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[2.0, 2.0, 2.0, 2.0]\n", done.stderr
