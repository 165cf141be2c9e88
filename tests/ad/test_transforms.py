"""`grad` and `value_and_grad` as their callers see them."""

import inspect
import math
import pickle
import threading

import numpy as np
import psutil
import pytest
from numba import njit

import ad
from ad import tapes
from tape import TapeMemoryError, TapeStats


def product(x, y):
    return x * y


def mixed(a, x, n=2, *, flag=False):
    s = x
    for i in range(n):
        s = s * a[i] + x
    return s if flag else -s


def recording(x, n):
    for _ in range(n):
        x = math.sin(x) + x * x * 0.1
    return x


def dividing(a, x, n):
    s = x
    for i in range(n):
        s = s * 0.5 + a[i] / (x - i)
    return s * s


A = np.array([0.5, 2.0, -1.0])

# ------------------------------------------------------------------------------------- results and arguments


def test_shape_of_the_result():
    assert ad.grad(product)(2.0, 3.0) == (3.0, 2.0)
    assert ad.grad(product, wrt="x")(2.0, 3.0) == 3.0
    assert ad.grad(product, wrt=1)(2.0, 3.0) == 2.0
    assert ad.grad(product, wrt=-1)(2.0, 3.0) == 2.0
    assert ad.grad(product, wrt=("y", "x"))(2.0, 3.0) == (2.0, 3.0)
    assert ad.grad(product, wrt=["y"])(2.0, 3.0) == (2.0,), "a sequence gives a tuple, also of one"
    assert ad.value_and_grad(product)(2.0, 3.0) == (6.0, (3.0, 2.0))
    assert ad.value_and_grad(product, wrt="x")(2.0, 3.0) == (6.0, 3.0)
    assert ad.value_and_grad(product, wrt=("y", 0))(2.0, 3.0) == (6.0, (2.0, 3.0))


def test_by_default_all_floats():
    g = ad.value_and_grad(mixed)
    value, (da, dx) = g(A, 1.5)
    assert value == mixed(A, 1.5)
    assert isinstance(da, np.ndarray) and da.dtype == np.float64 and da.shape == A.shape
    assert type(dx) is float
    value, (da2, dx2) = g(A, 1.5, 3, flag=True)
    assert value == mixed(A, 1.5, 3, flag=True)
    assert da2[2] != 0.0 and da[2] == 0.0 and dx2 != dx


def test_one_float_among_others_is_bare():
    assert ad.grad(recording)(0.3, 0) == 1.0


def test_order_of_wrt_with_arrays():
    value, (dx, da) = ad.value_and_grad(mixed, wrt=("x", "a"))(A, 1.5)
    value2, (da2, dx2) = ad.value_and_grad(mixed, wrt=("a", "x"))(A, 1.5)
    assert value == value2 and dx == dx2
    np.testing.assert_array_equal(da, da2)
    np.testing.assert_array_equal(ad.grad(mixed, wrt="a")(A, 1.5), da)


def test_keywords_defaults_and_positions_agree():
    g = ad.grad(mixed, wrt="x")
    expected = g(A, 1.5, 2, flag=True)
    assert g(a=A, x=1.5, n=2, flag=True) == expected
    assert g(A, n=2, flag=True, x=1.5) == expected
    assert g(A, 1.5, flag=True) == expected
    assert g(A, 1.5) == -expected
    assert g(A, 1.5, 0) == -1.0


def test_positional_only():
    def f(x, /, y=2.0):
        return x * x * y

    g = ad.grad(f, wrt="x")
    assert g(3.0) == 12.0
    assert g(3.0, y=1.0) == 6.0


@pytest.mark.parametrize("n", [2, np.int64(2), np.int32(2), np.uint8(2)])
def test_kinds_of_ints(n):
    assert ad.grad(recording, wrt="x")(0.3, n) == ad.grad(recording, wrt="x")(0.3, 2)


def test_numpy_floats():
    found = ad.grad(product)(np.float64(2.0), 3.0)
    assert found == (3.0, 2.0)
    assert [type(d) for d in found] == [float, float]


@pytest.mark.parametrize("flag", [True, np.True_])
def test_kinds_of_bools(flag):
    assert ad.grad(mixed, wrt="x")(A, 1.5, flag=flag) == ad.grad(mixed, wrt="x")(A, 1.5, flag=True)


def test_layouts_of_arrays(tmp_path):
    g = ad.value_and_grad(mixed, wrt="a")
    value, expected = g(A, 1.5)
    wide = np.zeros((3, 4))
    wide[:, 1] = A
    locked = A.copy()
    locked.flags.writeable = False
    mapped = np.memmap(tmp_path / "a", dtype="f8", shape=3, mode="w+")
    mapped[:] = A
    for other in (wide[:, 1], A[::-1].copy()[::-1], locked, mapped, np.repeat(A, 2)[::2]):
        value2, found = g(other, 1.5)
        assert value2 == value
        assert type(found) is np.ndarray and found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)


def test_one_array_in_two_places():
    def f(a, b):
        s = 0.0
        for i in range(len(a)):
            s += a[i] * b[i] * b[i]
        return s

    da, db = ad.grad(f)(A, A)
    np.testing.assert_allclose(da, A**2)
    np.testing.assert_allclose(db, 2 * A**2)


def test_gradient_does_not_touch_its_arguments():
    a = A.copy()
    ad.grad(mixed)(a, 1.5)
    np.testing.assert_array_equal(a, A)


def test_arguments_of_new_kinds_specialise_again():
    def f(x, y):
        return x * y * y

    g = ad.grad(f, wrt="x")
    assert g(2.0, 3.0) == 9.0
    assert g(2.0, 3) == 9.0
    assert g(2.0, True) == 1.0
    assert type(g(2.0, 3)) is float


def test_same_types_of_other_kinds():
    def f(a, x):
        return a[0] * x

    g = ad.grad(f, wrt="x")
    assert g(np.array([2.0]), 1.0) == 2.0
    assert g(np.array([3]), 1.0) == 3.0
    assert g(np.array([2.5]), 1.0) == 2.5
    with pytest.raises(ad.UnsupportedSyntax, match="returns a 1-D float64 array"):
        g(np.array([[2.0]]), 1.0)


# ------------------------------------------------------------------------------------- looks like a function


def test_looks_like_a_function():
    g = ad.grad(mixed, wrt="x")
    assert g.__name__ == "mixed_grad"
    assert "mixed" in g.__doc__
    assert inspect.signature(g) == inspect.signature(mixed)
    assert repr(g) == "ad.grad(mixed, wrt='x')"
    assert repr(ad.value_and_grad(product)) == "ad.value_and_grad(product)"


def calling(x):
    return product(x, x) + product(x, 2.0)


def test_pickle():
    g = pickle.loads(pickle.dumps(ad.value_and_grad(product, wrt="x")))
    assert g(2.0, 3.0) == (6.0, 3.0)


def test_decorator():
    @ad.grad
    def f(x):
        return x * x

    assert f(2.0) == 4.0


def test_primal():
    plain = ad.grad(product).primal
    assert plain(2.0, 3.0) == 6.0
    assert ad.grad(calling).primal(1.5) == calling(1.5)
    g = ad.grad(recording, wrt="x")
    assert g.primal(0.3, 4) == pytest.approx(recording(0.3, 4), rel=1e-15)
    compiled = njit(product)
    assert ad.grad(compiled).primal is compiled


def test_value_is_that_of_the_compiled_function():
    g = ad.value_and_grad(recording)
    for x in np.linspace(-2.0, 2.0, 41):
        assert g(float(x), 7)[0] == g.primal(float(x), 7)


# ------------------------------------------------------------------------------------------- exceptions


def test_python_division():
    g = ad.value_and_grad(dividing, wrt=("a", "x"))
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        g(A, 1.0, 3)
    with pytest.raises(ZeroDivisionError):
        ad.grad(lambda_free_modulo)(1.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        ad.grad(lambda_free_floor)(1.0, 0.0)


def lambda_free_modulo(x, y):
    return x % y


def lambda_free_floor(x, y):
    return x + x // y


def test_numpy_division():
    @njit(error_model="numpy")
    def f(x, y):
        return x / y

    value, (dx, dy) = ad.value_and_grad(f)(1.0, 0.0)
    assert value == math.inf and dx == math.inf and dy == -math.inf


def test_derivatives_never_raise():
    def f(x):
        return math.sqrt(x) + x**0.5

    assert ad.grad(f)(0.0) == math.inf


def test_index_out_of_bounds():
    with pytest.raises(IndexError):
        ad.grad(mixed)(A, 1.5, 4)


def test_right_after_an_exception():
    g = ad.value_and_grad(dividing, wrt=("a", "x"))
    value, (da, dx) = g(A, 1.5, 3)
    tape = tapes.latest_tape()
    for _ in range(50):
        with pytest.raises(ZeroDivisionError):
            g(A, 2.0, 3)
        with pytest.raises(IndexError):
            g(A, 1.5, 4)
        again, (da2, dx2) = g(A, 1.5, 3)
        assert (again, dx2) == (value, dx)
        np.testing.assert_array_equal(da, da2)
        assert tapes.latest_tape() is tape and len(tape) == 0


def long_division(a, x):
    s = x
    for i in range(len(a)):
        s = math.sin(s) + a[i] * s / (x - i)
    return s


@pytest.mark.parametrize("error", [ZeroDivisionError, IndexError])
def test_a_thousand_failures_do_not_grow_the_process(error):
    n = 20_000
    g = ad.grad(long_division) if error is ZeroDivisionError else ad.grad(mixed)
    process = psutil.Process()

    def fail(times):
        for _ in range(times):
            a = np.ones(n)
            with pytest.raises(error):
                g(a, float(n - 1)) if error is ZeroDivisionError else g(a, 0.5, n + 1)

    fail(50)
    before = process.memory_info().rss
    fail(1000)
    grown = (process.memory_info().rss - before) / 2**20
    assert grown < 20.0, f"{grown:.0f} MiB more after 1000 failures; one array is {n * 8 / 2**20:.2f} MiB"


def test_no_memory_for_the_tape(monkeypatch):
    """The tape says that it failed between the sweeps; nothing is read from it, and the next call is right."""
    from tape import SlabPool, Tape

    g = ad.grad(recording, wrt="x")
    expected = g(0.3, 100_000)
    small = SlabPool(limit=200_000)
    monkeypatch.setattr(tapes, "new_tape", lambda _: Tape("f8", pool=small))
    monkeypatch.setattr(tapes, "_here", tapes._Here())
    for _ in range(3):
        with pytest.raises(TapeMemoryError):
            g(0.3, 100_000)
        assert g(0.3, 10) == ad.grad(recording, wrt="x")(0.3, 10)
    monkeypatch.undo()
    assert g(0.3, 100_000) == expected


# ----------------------------------------------------------------------------------------- tape, threads


def test_statistics():
    g = ad.grad(recording, wrt="x")
    g(0.3, 10_000)
    stats = g.stats()
    assert isinstance(stats, TapeStats)
    assert stats.items == 0
    assert stats.high_bytes >= 80_000


def test_second_call_takes_no_memory():
    g = ad.grad(recording, wrt="x")
    g(0.3, 100_000)
    first = g.stats().allocations
    g(0.3, 100_000)
    assert g.stats().allocations == first


def test_straight_line_code_uses_no_tape():
    source = ad.grad(product).source
    assert "tape" not in source.lower()


def test_threads():
    g = ad.value_and_grad(recording, wrt="x")
    expected = {n: g(0.3, n) for n in (1_000, 20_000, 50_000)}
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            n = int(rng.choice(list(expected)))
            if g(0.3, n) != expected[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_compile_once():
    def f(x):
        return x * x * x

    g = ad.grad(f)
    found = []
    threads = [threading.Thread(target=lambda: found.append(g(2.0))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [12.0] * 4
    assert len(g._specials) == 1


def test_runs_without_the_gil():
    """While a long gradient runs in a thread, this one goes on."""
    g = ad.grad(recording, wrt="x")
    g(0.3, 10)
    done = threading.Event()

    def work():
        g(0.3, 3_000_000)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    turns = 0
    while not done.wait(0.0005):
        turns += 1
    thread.join()
    assert turns >= 5, "the gradient held the GIL"
