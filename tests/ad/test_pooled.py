"""Arrays of generated functions: from the pool, back to it, and to the user like any others."""

import gc
import importlib
import os
import pkgutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from allocations import counted, made
from numba import njit
from numba.core.dispatcher import Dispatcher

import ad
import ad.arrays
from ad.guard import Guarded
from tape import capi, default_pool

try:
    import resource
except ImportError:  # Windows
    resource = None

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy", boundscheck=True)
N = 250_000  # floats: 2 MB, or 489 pages


def scalar_loop(x, n):
    s = x
    for _ in range(n):
        s = s * 0.5 + x * s * (1.0 - s)
    return s


def stencil(u, steps):
    u = u.copy()
    v = np.empty_like(u)
    n = len(u)
    for _ in range(steps):
        v[0] = u[0]
        for i in range(1, n):
            v[i] = u[i] - 0.1 * u[i] * (u[i] - u[i - 1])
        u, v = v, u
    total = 0.0
    for i in range(n):
        total += u[i] * u[i]
    return total


def whole_array(u, steps):
    for _ in range(steps):
        u = u - 0.1 * u * (u - np.roll(u, 1)) + np.where(u > 1.0, np.sin(u), 0.5)
    return np.sum(u * u)


def two_dimensions(a, b):
    c = a @ b
    return np.sum(np.tanh(c[1:, ::2]) + a[1:, ::2].T.copy().T)


def state():
    return 1.0 + 0.5 * np.sin(np.arange(N) / 100.0)


PROGRAMS = [
    pytest.param(scalar_loop, (0.4, 50_000), id="scalar loop"),
    pytest.param(stencil, (state(), 3), id="stencil"),
    pytest.param(whole_array, (state(), 3), id="whole arrays"),
    pytest.param(two_dimensions, (state()[:62_500].reshape(250, 250), np.eye(250) + 0.1), id="two dimensions"),
]


@pytest.fixture(autouse=True)
def balanced():
    gc.collect()
    pool = default_pool()
    before = pool.stats()
    yield
    pool.limit, pool.retain = before.limit, before.retain
    gc.collect()
    after = pool.stats()
    assert (after.arrays, after.array_bytes) == (before.arrays, before.array_bytes)


def use(gradient, args):
    """A call whose result is dropped."""
    gradient(*args)


@pytest.mark.parametrize(("function", "args"), PROGRAMS)
@pytest.mark.parametrize(
    "options", [pytest.param({}, id=""), pytest.param({"debug": True}, id="debug", marks=pytest.mark.thorough)]
)
def test_a_second_call_allocates_nothing(function, args, options):
    gradient = ad.grad(function).with_options(**options)
    use(gradient, args)
    before = default_pool().stats()
    use(gradient, args)
    after = default_pool().stats()
    assert after.allocations == before.allocations
    assert (after.arrays, after.free_bytes, after.used_bytes) == (before.arrays, before.free_bytes, before.used_bytes)
    if function is not scalar_loop:
        assert after.recycled > before.recycled


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="page faults of a thread are counted on Linux")
@pytest.mark.parametrize(("function", "args"), PROGRAMS)
def test_a_second_call_touches_no_fresh_page(function, args):
    gradient = ad.grad(function)
    use(gradient, args)

    def faults():
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        use(gradient, args)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    # The fewest of a few calls: Python's own objects may need a page now and then.
    assert min(faults() for _ in range(5)) < 64


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="page faults of a thread are counted on Linux")
def test_results_that_are_kept_are_all_that_is_fresh():
    gradient, args = ad.grad(whole_array), (state(), 3)
    kept = [gradient(*args)]
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    kept += [gradient(*args) for _ in range(5)]
    found = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    pages = 5 * -(-args[0].nbytes // resource.getpagesize())
    assert found < pages + 5 * 64
    for result in kept[1:]:
        np.testing.assert_array_equal(result, kept[0])


def test_results_are_ordinary_arrays():
    gradient = ad.value_and_grad(whole_array)
    u = state()
    value, first = gradient(u, 3)
    copy = first.copy()
    assert first.flags.writeable and first.flags.c_contiguous and first.ctypes.data % 64 == 0
    view = first[10:20]
    others = [gradient(u, 3)[1] for _ in range(3)]
    first += 1.0
    np.testing.assert_array_equal(first, copy + 1.0)
    for other in others:
        assert not np.shares_memory(other, first)
        np.testing.assert_array_equal(other, copy)
    del first, other, others
    assert gradient(u, 3)[0] == value
    np.testing.assert_array_equal(view, copy[10:20] + 1.0)  # the base lives on
    default_pool().trim()
    np.testing.assert_array_equal(view, copy[10:20] + 1.0)


def test_a_result_may_be_dropped_by_another_thread():
    box = [ad.grad(whole_array)(state(), 2)]
    before = default_pool().stats()
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert default_pool().stats().arrays == before.arrays - 1


@pytest.mark.parametrize("n", [1, 2, 13, 100, 499, 500, 501, 512, 600])
def test_small_arrays_are_ordinary_too(n):
    gradient, u = ad.grad(whole_array), state()[:n]
    kept = [gradient(u, 3) for _ in range(100)]  # more than a thread keeps
    copy = kept[0].copy()
    kept[0] += 1.0
    assert len({result.ctypes.data for result in kept}) == 100
    assert all(result.ctypes.data % 64 == 0 for result in kept)
    for result in kept[1:]:
        np.testing.assert_array_equal(result, copy)
    del kept[1:], result
    np.testing.assert_array_equal(gradient(u, 3), copy)
    np.testing.assert_array_equal(kept[0], copy + 1.0)


def test_a_thread_hands_the_memory_of_small_arrays_out_again():
    gradient, u = ad.grad(whole_array), state()[:100]
    first = gradient(u, 3)
    address = first.ctypes.data
    others = [gradient(u, 3) for _ in range(3)]
    del first
    assert address in {gradient(u, 3).ctypes.data for _ in range(20)}
    assert address not in {other.ctypes.data for other in others}


def resident():
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="resident memory is read on Linux")
def test_threads_that_end_leave_no_small_arrays_behind():
    gradient, u = ad.grad(whole_array), state()[:490]
    expected = gradient(u, 3)
    results = []

    def work():
        results.append(gradient(u, 3))

    def run(threads):
        for _ in range(threads):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            np.testing.assert_array_equal(results.pop(), expected)  # made there, dropped here

    run(100)
    before = resident()
    run(1500)  # each keeps four arrays at least while it runs
    assert resident() - before < 1500 * 4 * 4096 // 3


def failing(u, limit):
    for _ in range(3):
        u = u * 2.0 + np.sin(u)
        if np.sum(u) > limit:
            raise ValueError("too large")
    return np.sum(u)


def test_exceptions_give_the_memory_back():
    gradient = ad.grad(failing)
    u = state()
    use(gradient, (u, 1e300))
    before = default_pool().stats()
    for _ in range(20):
        with pytest.raises(ValueError, match="too large"):
            gradient(u, 0.0)
    after = default_pool().stats()
    assert after.allocations == before.allocations
    assert (after.arrays, after.free_bytes) == (before.arrays, before.free_bytes)


def huge(u, n):
    v = np.zeros(n)
    v[0] = u[0]
    return v[0] * u[0]


def test_too_large_an_array_is_a_memory_error():
    gradient = ad.grad(huge)
    np.testing.assert_array_equal(gradient(np.array([3.0, 1.0]), 1000), [6.0, 0.0])
    before = default_pool().stats()
    with pytest.raises(MemoryError):
        gradient(np.ones(2), 2**45)
    after = default_pool().stats()
    assert (after.arrays, after.array_bytes) == (before.arrays, before.array_bytes)


def test_a_pool_that_keeps_nothing():
    default_pool().retain = 0
    gradient = ad.grad(whole_array)
    first = gradient(state(), 3)
    np.testing.assert_array_equal(gradient(state(), 3), first)
    assert default_pool().stats().free_bytes == 0


def test_threads_run_gradients_at_once():
    gradients = [ad.grad(stencil), ad.grad(whole_array)]
    inputs = [(state() * (1.0 + 0.01 * k))[: 20_000 * (k + 1)] for k in range(4)]
    expected = [[g(u, 3) for u in inputs] for g in gradients]
    wrong = []

    def work(k):
        for _ in range(10):
            for g, results in zip(gradients, expected, strict=True):
                if not np.array_equal(g(inputs[k], 3), results[k]):
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on():
    gradient, u = ad.grad(whole_array), state()
    expected = gradient(u, 3)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            same = np.array_equal(gradient(u, 3), expected)
            del expected
            default_pool().trim()
            status = 0 if same else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(gradient(u, 3), expected)


MODEL = """
import numpy as np

def loss(u):
    v = np.sin(u)
    return np.sum(v * v)
"""

SCRIPT = """
import sys, threading, time
import numpy as np
import ad, model
from tape import capi, default_pool

g = ad.grad(model.loss)
u = np.linspace(0.0, 1.0, 100_000)
g(u)
before = default_pool().stats()
kept = g(u)
after = default_pool().stats()
assert after.allocations == before.allocations and after.arrays == before.arrays + 1, (before, after)
np.testing.assert_allclose(kept, 2.0 * np.cos(u) * np.sin(u))
[special] = g._specials.values()
print(sum(special.kernel.function.stats.cache_hits.values()))
sys.kept, model.kept = kept, g(u)   # these outlive the interpreter, or go down with it
def late():
    own = g(u)
    time.sleep(60.0)
threading.Thread(target=late, daemon=True).start()
"""


def test_cached_code_and_the_end_of_the_process(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "run.py").write_text(SCRIPT)
    environment = {**os.environ, "LAYERED_TAPE_CACHE_DIR": str(tmp_path / "cache")}
    for hits in (0, 1):
        command = [sys.executable, "-W", "error", str(tmp_path / "run.py")]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
        assert (run.returncode, run.stderr) == (0, "")
        assert int(run.stdout) == hits


def test_all_that_helpers_call_is_guarded():
    """Or its arrays would come from elsewhere, and stay behind where it raises."""
    found = 0
    for info in pkgutil.iter_modules(ad.arrays.__path__, "ad.arrays."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, Dispatcher):
                assert value._compiler.pipeline_class is Guarded, f"{info.name}.{name}"
                found += 1
    assert found > 20


# ----------------------------------------------------------------------------------- arrays that are handed out again


@guarded
def chain(x, n):
    for _ in range(n):
        y = x * 0.5
        z = y + 1.0
        x = z - y * x
    return x


@pytest.mark.parametrize("size", [1, 2, 14, 100, 400])
def test_an_array_that_is_held_is_not_handed_out(size):
    """Results come from the bins of the thread, and go back there when Python drops them."""
    wanted = {k: chain.py_func(np.full(size, float(k)), 3) for k in range(40)}
    kept = {}
    for k in range(40):
        kept[k] = chain(np.full(size, float(k)), 3)
        if k % 3 == 0:
            kept.pop(k // 2, None)
    assert len(kept) > 20
    for k, found in kept.items():
        np.testing.assert_array_equal(found, wanted[k])


def test_an_array_outlives_views_of_it_and_the_other_way_round():
    first = chain(np.arange(14.0), 1)
    expected, view = first.copy(), first[3:7]
    del first
    others = [chain(np.arange(14.0) + k, 1) for k in range(20)]
    np.testing.assert_array_equal(view, expected[3:7])
    del view
    np.testing.assert_array_equal(chain(np.arange(14.0), 1), expected)
    assert len(others) == 20


def test_arrays_that_other_threads_drop():
    wanted = chain.py_func(np.arange(14.0), 5)
    made, failed = [], []

    def make():
        made.extend(chain(np.arange(14.0), 5) for _ in range(200))

    def drop_and_make():
        try:
            while made:
                np.testing.assert_array_equal(made.pop(), wanted)
                np.testing.assert_array_equal(chain(np.arange(14.0), 5), wanted)
        except IndexError:
            pass
        except AssertionError as error:
            failed.append(error)

    for _ in range(5):
        make()
        threads = [threading.Thread(target=drop_and_make) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not failed


def test_arrays_are_handed_out_again_unless_all_are_counted():
    x = np.arange(14.0)
    chain(x, 3)
    with counted():
        begun = made()
        chain(x, 10)
        assert made() - begun == 11  # one in a trip, and one for the argument
        capi.count_arrays(False)
        chain(x, 10)
        begun = made()
        chain(x, 10)
        assert made() - begun == 1  # for the argument
