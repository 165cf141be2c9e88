"""``ad.grad(f, target="cuda")``: on a GPU where there is one, and in Numba's simulator (see test_cuda_simulator)."""

import linecache
import math
import os
import warnings

import numpy as np
import pytest

import ad
import ad.cuda.gradient
from tape import DeviceError, TapeMemoryError
from tape.cuda.select import current_device

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # numba-cuda's own, of NumPy 2.5, when it is imported
    try:
        current_device()
    except (ImportError, DeviceError) as error:
        pytest.skip(f"no device to test with: {error}", allow_module_level=True)

from numba import cuda, njit  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")
COUNT = 40 if SIMULATED else 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """The simulator starts a thread of Python for a thread, of which `COUNT` have work."""
    if SIMULATED:
        monkeypatch.setattr(ad.cuda.gradient, "_THREADS", 8)


def lorenz(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


def branches(x, n):
    s = 0.0
    k = 0
    while s < 10.0 and k < n:
        if x > 1.0:
            s += math.sin(x) * x
        elif x > 0.5:
            s = s * x + 1.0
        else:
            s -= math.exp(-x)
            if k > 70:
                break
        x = x * 1.01
        k += 1
    return s


@njit
def square(x):
    return x * x


def calls(x, y):
    s = 0.0
    for k in range(5):
        s += square(x + k) / y
        x = math.tanh(s) * x
    return s


@ad.remat
def damped(x, y):
    for k in range(3):
        x = math.tanh(x * y) + 0.1 * k
        if x > 0.5:
            x = x * x
    return x


def calls_run_again(x, y):
    for _ in range(4):
        x = x * damped(x, y) + 0.5
    return x


def integers(x, n):
    total = 1.0
    m = n
    for _ in range(n):
        m = (m * 7 + 3) % 11
        total *= x + m // 2
        total -= abs(x) ** 3
    return total / (1.0 + n)


def simple(x):
    return math.sin(x) * x + max(x, 0.5)


def cases():
    chance = np.random.default_rng(0)
    positive = chance.uniform(0.1, 2.0, COUNT)
    numbers = chance.integers(0, 100 if not SIMULATED else 90, COUNT)
    start = 1.0 + 0.1 * chance.standard_normal((6, COUNT))
    return {
        "lorenz": (lorenz, (*start[:3], 10.0 * start[3], 28.0, 2.7 * start[5], 1e-3, 30 if SIMULATED else 1000)),
        "branches": (branches, (positive, numbers)),
        "calls": (calls, (positive, positive[::-1].copy() + 1.0)),
        "calls run again": (calls_run_again, (positive, positive[::-1].copy() + 1.0)),
        "integers": (integers, (positive, numbers % 9)),
        "simple": (simple, (positive,)),
    }


@pytest.mark.parametrize("name", cases())
def test_it_is_the_gradient_of_the_cpu(name):
    f, args = cases()[name]
    value, gradient = ad.value_and_grad(f, target="cuda")(*args)
    one = ad.value_and_grad(f)
    gradient = gradient if isinstance(gradient, tuple) else (gradient,)
    for i in range(0, COUNT, max(1, COUNT // 60)):
        expected, derivatives = one(*(a[i].item() if isinstance(a, np.ndarray) else a for a in args))
        derivatives = derivatives if isinstance(derivatives, tuple) else (derivatives,)
        assert value[i] == pytest.approx(expected, rel=1e-11)
        largest = max(abs(d) for d in derivatives)
        for found, d in zip(gradient, derivatives, strict=True):
            assert found[i] == pytest.approx(d, rel=1e-11, abs=1e-12 * largest)


FUNCTIONS = (
    *("math.sin(x)", "math.atan(x)", "math.exp(x)", "math.log(x)", "math.sqrt(x)", "math.fabs(x - 1)", "math.erf(x)"),
    *("math.atan2(x, y)", "math.pow(x, y)", "np.exp(x)", "np.expm1(x)", "np.exp2(x)", "np.log1p(x)", "np.sqrt(x)"),
    *("np.abs(x - 1)", "np.sign(x - 1)", "np.square(x)", "np.arctan2(x, y)", "np.hypot(x, y)", "np.maximum(x, y)"),
    *("np.power(x, y)", "np.logaddexp(x, y)", "np.copysign(x, -y)", "abs(x - 1)", "max(x, y)", "min(x, y)", "x ** y"),
    *("x ** 3", "x % y", "(x if x > y else 2 * y)", "float(int(3 * x)) * x"),
)


def test_functions_of_numbers():
    """Several of them in one function, to compile less."""
    x, y = np.random.default_rng(1).uniform(0.1, 2.0, (2, COUNT))
    for k in range(0, len(FUNCTIONS), 8):
        lines = [f"    s = 0.3 * s + {e}" for e in FUNCTIONS[k : k + 8]]
        text = "\n".join(["def f(x, y):", "    s = x * y", *lines, "    return s", ""])
        name = f"<functions {k}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        scope = {"math": math, "np": np}
        exec(compile(text, name, "exec"), scope)
        value, (dx, dy) = ad.value_and_grad(scope["f"], target="cuda")(x, y)
        one = ad.value_and_grad(scope["f"])
        for i in range(0, COUNT, max(1, COUNT // 30)):
            expected, (ex, ey) = one(x[i], y[i])
            assert (value[i], dx[i], dy[i]) == pytest.approx((expected, ex, ey), rel=1e-12, abs=1e-13), text


def test_names_of_ours_may_be_the_users():
    def push(mod, cuda, thread):
        lane = mod * cuda
        for div in range(3):
            lane = lane * mod + thread * div
        return lane

    args = np.linspace(1, 2, 5), 2.0, np.linspace(2, 3, 5)
    found = ad.grad(push, target="cuda")(*args)
    one = ad.grad(push)
    for i in range(5):
        expected = one(args[0][i], 2.0, args[2][i])
        assert tuple(f[i] for f in found) == pytest.approx(expected, rel=1e-13)


def test_device_arrays_in_device_arrays_out():
    x = np.linspace(0.1, 2.0, COUNT)
    g = ad.grad(simple, target="cuda")
    found = g(cuda.to_device(x))
    assert hasattr(found, "copy_to_host") and isinstance(g(x), np.ndarray)
    np.testing.assert_array_equal(found.copy_to_host(), g(x))
    assert "def launch" in g.source and "simple" in repr(g)


def test_wrt_and_forms_of_results():
    f, args = cases()["lorenz"]
    everything = ad.grad(f, target="cuda")(*args)
    x = ad.grad(f, wrt="x", target="cuda")(*args)
    both = ad.grad(f, wrt=("rho", "x"), target="cuda")(*args)
    np.testing.assert_allclose(x, everything[0], rtol=1e-12)
    np.testing.assert_allclose(both[1], x, rtol=1e-12)
    assert len(both) == 2 and both[0].shape == (COUNT,)


def test_batches_that_do_not_fit_at_once():
    f, args = cases()["branches"]
    g = ad.grad(f, wrt="x", target="cuda")
    np.testing.assert_array_equal(g(*args, device_memory=64 * 8 * 1024), g(*args))
    with pytest.raises(TapeMemoryError, match="32 threads"):
        g(*args, device_memory=1000)


def test_a_division_by_zero_is_pythons():
    def ratio(x, y):
        return x / y

    g = ad.grad(ratio, target="cuda")
    np.testing.assert_array_equal(g(np.array([1.0, 2.0]), np.array([4.0, 5.0]))[0], [0.25, 0.2])
    with pytest.raises(ZeroDivisionError, match="1 divisions by zero in ratio"):
        g(np.array([1.0, 2.0]), np.array([4.0, 0.0]))


def summed(a):
    s = 0.0
    for i in range(len(a)):
        s += a[i]
    return s


def guarded(x):
    if x < 0.0:
        raise ValueError("negative")
    return math.sqrt(x)


def told(x):
    print(x)
    return x * x


WEIGHTS = np.ones(3)


def weighted(x):
    return x * WEIGHTS[1]


def test_what_has_no_version_for_the_device_is_refused():
    for f, text in ((guarded, "raise ValueError"), (told, "prints"), (weighted, "reads arrays")):
        with pytest.raises(ad.ADError, match=text):
            ad.grad(f, target="cuda")(np.ones(3))
    with pytest.raises(ad.ADError):
        ad.grad(summed, target="cuda")(np.ones(3))


def test_arguments_that_do_not_fit_are_refused():
    g = ad.grad(calls, target="cuda")
    with pytest.raises(ad.ADValueError, match=r"lengths \[3, 4\]"):
        g(np.ones(3), np.ones(4))
    with pytest.raises(ad.ADValueError, match="'x' has shape"):
        g(np.ones((2, 2)), 1.0)
    with pytest.raises(ad.ADTypeError, match="float32"):
        g(np.ones(3, "f4"), 1.0)
    with pytest.raises(ad.ADTypeError, match="missing"):
        g(np.ones(3))
    with pytest.raises(ad.ADValueError, match="target"):
        ad.grad(calls, target="tpu")
    with pytest.raises(ad.ADTypeError, match="derivative"):
        ad.grad(branches, wrt="n", target="cuda")(1.0, np.arange(3))
