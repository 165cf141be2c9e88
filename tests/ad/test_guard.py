"""Exceptions leave guarded functions as they are, and leave no arrays behind."""

import gc
import subprocess
import sys

import numpy as np
import psutil
import pytest
from allocations import counted, live
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from ad.guard import Guarded
from ad.runtime import PopFailed, div, pop
from tape import Tape
from tape.numba import push

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy", boundscheck=True)
plain = njit(nogil=True, error_model="numpy", boundscheck=True)

LARGE = 2_000_000  # 16 MB


@pytest.fixture(autouse=True, scope="module")
def count_allocations():
    with counted():
        yield


# -------------------------------------------------------------------------------- what fails, and what is raised


def raise_plain(a, n, handle):
    own = np.empty(n)
    if a[0] > 0.0:
        raise ValueError("the text", 3)
    return own


def raise_dynamic(a, n, handle):
    own = np.empty(n)
    own[0] = a[0]
    if a[0] > 0.0:
        raise KeyError("at", n, own[0])
    return own


def raise_in_loops(a, n, handle):
    total = 0.0
    for i in range(3):
        own = np.empty(n)
        own[0] = i
        j = 0
        while j < 4:
            view = own[j:]
            other = view
            if i == 2 and j == 2:
                raise RuntimeError("deep inside")
            total += other[0]
            if total > 1e9:
                return total
            j += 1
    return total


def fail_assertion(a, n, handle):
    own = np.empty(n)
    own[0] = a[0]
    if not own[0] > 1.0:  # what `assert` compiles to; pytest rewrites those of this file
        raise AssertionError("too small")
    return own


def read_out_of_bounds(a, n, handle):
    own = np.empty(n)
    own[0] = own[n + a.size]
    return own


def write_out_of_bounds(a, n, handle):
    own = np.empty(n)
    own[-n - 1] = 1.0
    return own


def divide_by_zero(a, n, handle):
    own = np.empty(n)
    own[0] = div(1.0, a[0] - a[0])
    return own


def pop_too_much(a, n, handle):
    own = np.empty(n)
    own[0] = pop(handle)
    return own


def pop_block_too_large(a, n, handle):
    own = np.empty(n)
    push(handle, 1.0)
    x, y = pop(handle, 2)
    own[0] = x + y
    return own


def add_other_shape(a, n, handle):
    return np.empty(n) + np.empty(n - 1)


def assign_other_shape(a, n, handle):
    own = np.empty(n)
    own[1:] = np.empty(n)
    return own


def reshape(a, n, handle):
    return np.empty(n).reshape((7, n))


def dot_other_shape(a, n, handle):
    return np.dot(np.empty((8, n // 8)), np.empty((8, n // 8)))[0, 0]


def where_other_shape(a, n, handle):
    own = np.empty(n)
    return np.where(a > 0.5, a, own)


def concatenate(a, n, handle):
    return np.concatenate((np.empty((8, n // 8)), np.empty((9, 3))))


def gather_out_of_bounds(a, n, handle):
    indices = np.empty(n, np.int64)
    indices[0] = a.size
    return a[indices]


def gather_rows_out_of_bounds(a, n, handle):
    return np.empty((3, n))[np.array([3, 0]), 1:]


def scatter_out_of_bounds(a, n, handle):
    own = np.empty(n)
    own[np.array([1, n])] = a[:2]
    return own


def maximum_of_nothing(a, n, handle):
    own = np.empty(n)
    return own[:0].max()


def singular(a, n, handle):
    own = np.empty(n)
    own[0] = np.linalg.inv(np.zeros((3, 3)))[0, 0]
    return own


def no_memory(a, n, handle):
    own = np.empty(n)
    own[0] = np.empty(1 << 55)[0]
    return own


@guarded
def helper(a, n, deeper):
    own = np.empty(n)
    if deeper:
        return helper(own, n, False)
    own[0] = a[0]
    if own[0] != 0.5:
        raise ValueError("in the callee", n)
    return own


def raise_in_callee(a, n, handle):
    own = np.empty(n)
    own[0] = a[0]
    return helper(own, n, False)


def raise_in_callees_callee(a, n, handle):
    own = np.empty(n)
    result = a
    for _ in range(3):
        result = helper(own, n, True)
    return result


FAILURES = {
    raise_plain: ValueError("the text", 3),
    raise_dynamic: KeyError("at", LARGE, 1.0),
    raise_in_loops: RuntimeError("deep inside"),
    fail_assertion: AssertionError("too small"),
    read_out_of_bounds: IndexError("index is out of bounds"),
    write_out_of_bounds: IndexError("index is out of bounds"),
    divide_by_zero: ZeroDivisionError("division by zero"),
    pop_too_much: PopFailed(),
    pop_block_too_large: PopFailed(),
    add_other_shape: ValueError("the shapes of operands do not broadcast"),
    assign_other_shape: ValueError("cannot assign slice of shape", (LARGE - 1,), "from input of shape", (LARGE,)),
    reshape: ValueError("total size of new array must be unchanged"),
    dot_other_shape: ValueError("incompatible array sizes for np.dot(a, b) (matrix * matrix)"),
    where_other_shape: ValueError("the shapes of operands do not broadcast"),
    concatenate: ValueError("np.concatenate(): input sizes over dimension 1 do not match"),
    gather_out_of_bounds: IndexError("index is out of bounds"),
    gather_rows_out_of_bounds: IndexError("index is out of bounds"),
    scatter_out_of_bounds: IndexError("index is out of bounds"),
    maximum_of_nothing: ValueError("zero-size array to reduction operation maximum which has no identity"),
    singular: np.linalg.LinAlgError("Matrix is singular to machine precision."),
    no_memory: MemoryError("Allocation failed (probably too large)."),
    raise_in_callee: ValueError("in the callee", LARGE),
    raise_in_callees_callee: ValueError("in the callee", LARGE),
}


@pytest.mark.parametrize("function", FAILURES, ids=lambda f: f.__name__)
def test_a_thousand_failures_leave_nothing(function):
    compiled, expected = guarded(function), FAILURES[function]
    a = np.ones(3)
    process = psutil.Process()

    def fail():
        tape = Tape("f8")
        with pytest.raises(type(expected)) as caught:
            compiled(a, LARGE, tape.handle)
        # Numba adds to some of its messages, from version to version.
        assert len(caught.value.args) == len(expected.args)
        assert all(str(x).startswith(str(y)) for x, y in zip(caught.value.args, expected.args, strict=True))
        assert type(caught.value) is type(expected)

    for _ in range(3):
        fail()
    gc.collect()  # the exceptions that were caught
    arrays, references = live(), sys.getrefcount(a)
    before = process.memory_info()
    for _ in range(1000):
        fail()
    gc.collect()
    after = process.memory_info()
    assert live() == arrays
    assert sys.getrefcount(a) == references
    # One leak a call would be 16 GB of address space; what is touched of it is small.
    assert after.vms - before.vms < 64e6
    assert after.rss - before.rss < 32e6


def test_numba_itself_leaks():
    # Where this fails, Numba frees arrays on its own, and ad.guard can go.
    compiled = plain(read_out_of_bounds)
    before = live()
    for _ in range(5):
        with pytest.raises(IndexError):
            compiled(np.ones(3), 10, 0)
    assert live() > before


# -------------------------------------------------------------------------------------------------- no exception


def test_results_and_references_are_as_ever():
    @guarded
    def shuffle(a, n):
        b = a.copy()
        kept = a
        for i in range(n):
            a, b = b, a
            part = a[i % 3 :]
            part[0] += b[-1]
            pair = (part, b[:2])
        return kept, pair, b + 1.0

    a, expected_a = np.arange(6.0), np.arange(6.0)
    expected = shuffle.py_func(expected_a, 7)
    before, references = live(), sys.getrefcount(a)
    kept, pair, c = shuffle(a, 7)
    assert kept is a
    for x, y in zip((kept, *pair, c), (expected[0], *expected[1], expected[2]), strict=True):
        np.testing.assert_array_equal(x, y)
    del kept, pair, c, x
    assert live() == before
    assert sys.getrefcount(a) == references


def test_indices_of_all_kinds():
    @guarded
    def read(u, rows, mask, one):
        flat = u.ravel()
        total = flat[one]
        for i in np.nditer(rows):
            total += flat[i]
        return u[rows], u[1:, rows], u[0][mask], u[one], flat[rows], total

    u, rows, mask, one = np.arange(12.0).reshape(3, 4), np.array([2, 0, 1]), np.arange(4) % 2 == 0, np.array(1)
    for _ in range(2):
        found = read(u, rows, mask, one)
        for x, y in zip(found, (u[rows], u[1:, rows], u[0][mask], u[1], rows, 4.0), strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(u, np.arange(12.0).reshape(3, 4))


def test_a_callee_that_is_not_guarded():
    @plain
    def first(a):
        if a.size == 0:
            raise ValueError("nothing there")
        return np.sum(a[:1] * 2.0)

    @guarded
    def outer(a, n):
        b = a[n:] + 1.0
        return first(b) + np.sum(b)

    a = np.arange(5.0)
    assert outer(a, 2) == 6.0 + 12.0
    before, references = live(), sys.getrefcount(a)
    for _ in range(5):
        with pytest.raises(ValueError, match="nothing there"):
            outer(a, 5)
    assert live() == before and sys.getrefcount(a) == references


def test_without_reference_counts():
    @njit(pipeline_class=Guarded, _nrt=False)
    def first(a):
        if a[0] < 0.0:
            raise ValueError("negative")
        return a[0]

    assert first(np.ones(2)) == 1.0
    with pytest.raises(ValueError, match="negative"):
        first(-np.ones(2))


# --------------------------------------------------------------------------------------------- random functions

NAMES = ("a", "b", "c")

simple = st.one_of(
    st.builds("{0} = {1}".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("{0} = {1} + {2}".format, *[st.sampled_from(NAMES)] * 3),
    st.builds("{0}, {1} = {1}, {0}".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("{0} = {1}[::-1]".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("{0} = identity({1}, k)".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("{0} = fresh({1}, k)".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("t = ({0}, {1}[1:])\n{2} = t[0]".format, *[st.sampled_from(NAMES)] * 3),
    st.builds("{0}[0] += {1}[-1]".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("s += np.sum({0} * {1})".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.just("continue"),
    st.just("break"),
    st.builds("return {0}".format, st.sampled_from(NAMES)),
)


@st.composite
def blocks(draw, depth=0):
    """Lines of a block; `continue` and `break` stand in loops, below a condition."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["simple", "simple", "for", "if", "fail"] if depth < 3 else ["simple", "fail"]))
        if kind == "simple":
            text = draw(simple)
            if text in ("continue", "break") or text.startswith("return"):
                if depth == 0:
                    continue
                lines += [f"if k % {draw(st.integers(2, 5))} == 1:", f"    {text}"]
            else:
                lines += text.split("\n")
        elif kind == "fail":
            lines += ["point += 1", "if point == k:", f"    raise ValueError({draw(st.integers(0, 9))})"]
        else:
            head = f"for i{depth} in range({draw(st.integers(0, 3))}):"
            if kind == "if":
                head = f"for i{depth} in range(1 + k % {draw(st.integers(1, 4))}):"
            lines += [head, *(f"    {line}" for line in draw(blocks(depth + 1)))]
    return lines or ["pass"]


@guarded
def identity(x, k):
    if k == -1:
        raise ValueError(0)
    return x


@guarded
def fresh(x, k):
    y = x * 0.5
    if k == -2:
        raise ValueError(0)
    z = y + x
    if k == -3:
        raise ValueError(0)
    return z


@settings(max_examples=15)
@given(blocks())
def test_random_functions_are_balanced(lines):
    body = "\n    ".join(["c = a - b", "s, point = 0.0, 0", *lines, "return a + b + c + s + point"])
    namespace = {"np": np, "identity": identity, "fresh": fresh}
    exec(f"def f(a, b, k):\n    {body}", namespace)
    python, compiled = namespace["f"], guarded(namespace["f"])
    for k in (*range(-3, 14), 30):
        args = np.arange(1.0, 5.0), np.ones(4)
        theirs = [x.copy() for x in args]
        before = live()
        references = [sys.getrefcount(x) for x in args]
        result = expected = error = None
        try:
            expected = python(*theirs, k)
        except ValueError as e:
            error = e
        if error is None:
            result = compiled(*args, k)
            np.testing.assert_array_equal(result, expected)
        else:
            with pytest.raises(ValueError) as caught:
                compiled(*args, k)
            assert caught.value.args == error.args
            del caught
        del result, expected, error
        assert live() == before
        assert [sys.getrefcount(x) for x in args] == references
        for x, y in zip(args, theirs, strict=True):
            np.testing.assert_array_equal(x, y)


# --------------------------------------------------------------------------------------------------------- cache

MODULE = """
import numpy as np
from numba import njit
from ad.guard import Guarded

@njit(pipeline_class=Guarded, cache=True, nogil=True)
def f(n, k):
    own = np.empty(n)
    own[0] = k
    if k > 0:
        raise ValueError("k", k)
    return np.dot(own, np.empty(n + k))
"""

SCRIPT = """
import sys
import numpy as np
import guarded_module
from numba.core.runtime import _nrt_python, rtsys

from tape import capi

_nrt_python.memsys_enable_stats()
capi.count_arrays(True)
for k in (1, -1):
    for _ in range(5):
        try:
            guarded_module.f(10, k)
        except ValueError as error:
            assert str(error)[:5] in ("('k',", "incom"), error
        else:
            raise AssertionError(k)
stats = rtsys.get_allocation_stats()
assert stats.mi_alloc == stats.mi_free, stats
print(sum(guarded_module.f.stats.cache_hits.values()))
"""


def test_cached_code_is_guarded_too(tmp_path):
    (tmp_path / "guarded_module.py").write_text(MODULE)
    for hits in (0, 1):
        run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert run.returncode == 0, run.stderr
        assert int(run.stdout) == hits
