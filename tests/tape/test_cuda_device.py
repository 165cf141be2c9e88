"""Device tapes with Numba: on a GPU where there is one, and in the simulator (see test_cuda_simulator)."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest

import ad
from tape import DeviceError, Tape, TapeEmptyError, TapeMemoryError, TapeTypeError, TapeValueError
from tape.cuda import DeviceStore, DeviceTape
from tape.cuda.select import current_device
from tape.cuda.testing import check_device
from tape.testing import check_store

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # numba-cuda's own, of NumPy 2.5, when it is imported
    try:
        current_device()
    except (ImportError, DeviceError) as error:
        pytest.skip(f"no device to test with: {error}", allow_module_level=True)

from numba import cuda  # noqa: E402

from tape.cuda import ensemble, lanes  # noqa: E402

# Of small grids, and of what CuPy, PyTorch and JAX do among themselves.
pytestmark = pytest.mark.filterwarnings("default")
real_only = pytest.mark.skipif(SIMULATED, reason="the simulator cannot show this")

# The simulator starts a thread of Python for a thread: a millisecond, and many of them where the machine is busy.
WIDTH = 64 if SIMULATED else 256
GRID = (1, 2) if SIMULATED else (2, 128)
SLAB = 4096 if SIMULATED else 1 << 16  # the least, and 32 items
PER_SLAB = SLAB // (8 * WIDTH)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    if SIMULATED:
        monkeypatch.setattr(ensemble, "THREADS", 4)


@cuda.jit
def fill(array, value):
    for i in range(cuda.grid(1), array.size, cuda.gridsize(1)):
        array[i] = value + i


@cuda.jit
def gather(array, total, k):
    for i in range(cuda.grid(1), array.size, cuda.gridsize(1)):
        total[k, i] = array[i]


def small(slabs=4, pages=3, shape=(WIDTH,), **options):
    return DeviceTape("f8", shape, device_memory=slabs * SLAB, pinned=pages * SLAB, slab_bytes=SLAB, **options)


def item(n):
    return n + np.arange(float(WIDTH))


def test_the_device_keeps_the_contract_of_devices():
    check_device(current_device())


@pytest.mark.parametrize("own_stream", [False, True])
def test_a_sweep_through_all_layers(tmp_path, own_stream):
    stream = cuda.stream() if own_stream else None
    queue = stream if own_stream else 0
    count = (10 if SIMULATED else 100) * PER_SLAB
    with small(memory=14 * SLAB, spill_dir=tmp_path) as t:
        array = cuda.device_array(WIDTH, np.float64)
        for n in range(count):
            if n % 2:
                fill[*GRID, queue](array, n)
                t.push(array, stream)
            else:
                fill[*GRID, queue](t.reserve(stream=stream), n)
        assert len(t) == count and t.stats().host_slabs > 0
        if not SIMULATED:
            assert t.stats().host.spilled_bytes > 0
        total = cuda.device_array((count, WIDTH), np.float64)
        for n in reversed(range(count)):
            if n % 3:
                gather[*GRID, queue](t.pop(stream=stream), total, n)
            else:
                gather[*GRID, queue](t.peek(stream=stream), total, n)
                t.drop()
        cuda.synchronize()
        np.testing.assert_array_equal(total.copy_to_host(), np.stack([item(n) for n in range(count)]))


def test_blocks_marks_and_shapes():
    with DeviceTape("f4", device_memory="1 MiB") as t:
        values = np.arange(60, dtype="f4").reshape(5, 3, 4)
        t.extend(cuda.to_device(values))
        assert t.shape == (3, 4) and len(t) == 5
        mark = t.mark()
        t.push(cuda.to_device(values[0]))
        t.rewind(mark)
        np.testing.assert_array_equal(t.popn(2).copy_to_host(), values[3:])
        out = cuda.device_array((3, 4), np.float32)
        t.pop(out)
        np.testing.assert_array_equal(out.copy_to_host(), values[2])
        assert t.popn(2).shape == (2, 3, 4)


def test_refusals():
    with small() as t:
        for wrong in (np.zeros(WIDTH), 1.0, cuda.to_device(np.zeros(WIDTH, "f4"))):
            with pytest.raises(TapeTypeError):
                t.push(wrong)
        with pytest.raises(TapeValueError):
            t.push(cuda.to_device(np.zeros(3)))
        with pytest.raises(TapeValueError, match="strided"):
            t.push(cuda.to_device(np.zeros(2 * WIDTH))[::2])
        with pytest.raises(TapeEmptyError):
            t.pop()


@pytest.mark.parametrize("n", [0, 1, 1000, 300_000])
def test_host_tapes_there_and_back(n, tmp_path):
    values = np.arange(float(n))
    for options in ({}, {"memory": "1 MiB", "spill_dir": tmp_path}):
        with Tape("f8", **options) as t:
            t.extend(values)
            array = t.to_device()
            np.testing.assert_array_equal(array.copy_to_host() if n else np.empty(0), values)
            if n:
                np.testing.assert_array_equal(
                    t.to_device(n // 3, n // 2 + 1).copy_to_host(), values[n // 3 : n // 2 + 1]
                )
                with Tape.from_device(array, **options) as back:
                    np.testing.assert_array_equal(back[:], values)


def test_the_store_keeps_the_contract_of_stores():
    check_store(lambda: DeviceStore("64 MiB"))


def test_a_host_tape_that_spills_to_the_device():
    with DeviceStore("64 MiB") as store, Tape(memory="1 MiB", spill_dir=store) as t:
        values = np.arange(1e6)
        t.extend(values)
        assert store.used_bytes > 4 << 20
        np.testing.assert_array_equal(t.popn(1_000_000), values)


def test_another_thread_may_use_the_tape():
    with small() as t:
        t.push(cuda.to_device(item(5)))
        found = []
        thread = threading.Thread(target=lambda: found.append(t.pop().copy_to_host()))
        thread.start()
        thread.join()
        np.testing.assert_array_equal(found[0], item(5))


# --------------------------------------------------------------------------------------------- lanes


@cuda.jit
def there_and_back(argument, depths, out):
    i = cuda.grid(1)
    if i < depths.size:
        top = 0
        for k in range(depths[i]):
            top = lanes.push(argument, i, top, 1000.0 * i + k)
        for k in range(depths[i]):
            top, x = lanes.pop(argument, i, top)
            if x != 1000.0 * i + (depths[i] - 1 - k):
                out[i] = -1
        if out[i] == 0:
            out[i] = top + 1


def test_lanes_of_different_depth():
    threads = 70 if SIMULATED else 5000
    depths = np.random.default_rng(0).integers(0, 20, threads)
    made = lanes.Lanes("f8", threads, 20)
    out = cuda.to_device(np.zeros(threads, np.int64))
    there_and_back[-(-threads // 32), 32](made.argument, cuda.to_device(depths), out)
    made.check()
    assert (out.copy_to_host() == 1).all()


@cuda.jit
def once(argument, pushes, pops):
    i = cuda.grid(1)
    top = 0
    for k in range(pushes):
        top = lanes.push(argument, i, top, 1.0 * k)
    for _ in range(pops):
        top, _x = lanes.pop(argument, i, top)


def test_a_lane_that_is_too_short_says_how_long_it_must_be():
    made = lanes.Lanes("f8", 64, 5)
    once[2, 32](made.argument, 8, 8)
    with pytest.raises(TapeMemoryError, match="pushed 8 items at once, and lanes have room for 5"):
        made.check()
    made.check()  # told once
    once[2, 32](made.argument, 5, 6)
    with pytest.raises(TapeEmptyError, match="64 items"):
        made.check()
    once[2, 32](made.argument, 5, 5)
    made.check()


def test_lanes_over_memory_that_does_not_fit():
    block = cuda.device_array(lanes.shape(64, 5), np.float64)
    lanes.Lanes("f8", 64, 5, block=block)
    lanes.Lanes("f8", 33, 5, block=block)
    with pytest.raises(TapeTypeError):
        lanes.Lanes("f4", 64, 5, block=block)
    with pytest.raises(TapeValueError, match="have"):
        lanes.Lanes("f8", 65, 5, block=block)
    with pytest.raises(TapeValueError):
        lanes.shape(0, 5)


def lorenz(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


def test_the_gradient_of_an_ensemble_is_that_of_the_cpu():
    count, steps, stretch = (40, 60, 20) if SIMULATED else (5000, 2000, 100)
    start = ensemble.members(count)
    value, gradient = ensemble.gradients(start, steps)
    reference = ad.value_and_grad(lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    for i in range(0, count, max(1, count // 40)):
        expected, derivatives = reference(*start[:, i], 1e-3, steps)
        assert value[i] == pytest.approx(expected, rel=1e-12)
        # Of the largest one: a GPU fuses multiply and add, and a small derivative is the difference of large numbers.
        np.testing.assert_allclose(gradient[:, i], derivatives, rtol=0, atol=1e-12 * np.abs(derivatives).max())
    depth = lanes.shape(count, 3 * stretch)
    item_bytes = 8 * int(np.prod(depth))
    with DeviceTape("f8", depth, device_memory=2 * item_bytes + 8192, pinned=item_bytes + 4096) as t:
        for _ in range(2):
            again, same = ensemble.gradients_on_tape(start, steps, stretch, t)
            np.testing.assert_array_equal(again, value)
            np.testing.assert_array_equal(same, gradient)
            assert len(t) == 0
        assert t.stats().bytes_to_host > 0
    with pytest.raises(ValueError, match="multiple"):
        ensemble.gradients_on_tape(start, 50, 20)


def test_the_example_runs(capsys, monkeypatch):
    size = ["--members", "40", "--steps", "40", "--stretch", "10"] if SIMULATED else []
    monkeypatch.setattr(sys, "argv", ["ensemble", *size])
    ensemble.main()
    assert "sigma" in capsys.readouterr().out


# ------------------------------------------------------------------------------------ on a GPU alone


@real_only
def test_streams_of_every_kind_are_ordered():
    """Kernels that take long, on streams that do not wait for each other by themselves."""
    cupy = pytest.importorskip("cupy")
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    n = 1 << 20
    with DeviceTape("f8", n, device_memory=8 * 8 * n, pinned=6 * 8 * n, slab_bytes=8 * n) as t:
        for k in range(60):
            stream = streams[k % 3]
            with stream:
                a = cupy.full(n, float(k))
                for _ in range(10):
                    a = cupy.sqrt(a * a)
                t.push(a, stream)
                a.fill(-1.0)
        for k in reversed(range(60)):
            stream = streams[k % 2]
            with stream:
                out = cupy.empty(n)
                t.pop(out, stream)
                assert float(abs(out - k).max()) < 1e-9


@real_only
def test_arrays_of_cupy():
    cupy = pytest.importorskip("cupy")
    with small() as t:
        for k in range(100):
            t.push(cupy.arange(WIDTH, dtype="f8") + k, cupy.cuda.get_current_stream())
        out = cupy.empty(WIDTH)
        for k in reversed(range(100)):
            if k % 2:
                assert t.pop(out) is out
                got = cupy.asnumpy(out)
            else:
                got = cupy.asnumpy(cupy.asarray(t.pop()))
            np.testing.assert_array_equal(got, item(k))
        with pytest.raises(TapeValueError, match="strided"):
            t.push(cupy.zeros((WIDTH, 2))[:, 0])


@real_only
def test_arrays_of_torch():
    torch = pytest.importorskip("torch")
    with small() as t:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for k in range(100):
                t.push(torch.arange(WIDTH, dtype=torch.float64, device="cuda") + k, stream)
            out = torch.empty(WIDTH, dtype=torch.float64, device="cuda")
            for k in reversed(range(100)):
                t.pop(out, stream)
                np.testing.assert_array_equal(out.cpu().numpy(), item(k))
        with pytest.raises(TapeTypeError):
            t.push(torch.zeros(WIDTH, dtype=torch.float64))


@real_only
def test_arrays_of_jax():
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU here")
    with small() as t:
        for k in range(50):
            t.push(jax.numpy.arange(WIDTH, dtype="f8") + k)
        for k in reversed(range(50)):
            np.testing.assert_array_equal(t.pop().copy_to_host(), item(k))


class OnlyDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@real_only
def test_dlpack():
    cupy = pytest.importorskip("cupy")
    with small() as t:
        for k in range(50):
            t.push(OnlyDlpack(cupy.arange(WIDTH, dtype="f8") + k))
        for k in reversed(range(50)):
            np.testing.assert_array_equal(t.pop().copy_to_host(), item(k))


@real_only
def test_records():
    dtype = np.dtype([("a", "f8"), ("b", "i4")])
    values = np.zeros(100, dtype)
    values["a"], values["b"] = np.arange(100), -np.arange(100)
    with DeviceTape(dtype, (), device_memory="1 MiB") as t:
        t.extend(cuda.to_device(values))
        np.testing.assert_array_equal(t.popn(100).copy_to_host(), values)


@real_only
def test_a_device_that_is_nearly_full():
    slab = 64 << 20
    free, _ = cuda.current_context().get_memory_info()
    hog = cuda.device_array(free - 8 * slab, np.uint8)
    n = slab // 8
    try:
        with DeviceTape("f8", n, device_memory=64 * slab, pinned=40 * slab, slab_bytes=slab) as t:
            for k in range(30):
                fill[-(-n // 256), 256](t.reserve(), k)
            now = t.stats()
            assert now.refusals == 1 and 1 <= now.device_slabs < 9
            for k in reversed(range(30)):
                view = t.peek()
                assert view[:1].copy_to_host()[0] == k and view[n - 1 :].copy_to_host()[0] == k + n - 1
                t.drop()
    finally:
        del hog
        gc.collect()


def run(program):
    """Run a program that ruins its process's device; the output."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@real_only
def test_a_kernel_that_fails_is_an_error_and_no_hang():
    text = run("""
        import numpy as np, logging
        from numba import cuda
        from tape import DeviceError
        from tape.cuda import DeviceTape
        logging.disable(logging.CRITICAL)

        @cuda.jit
        def bad(a):
            a[1 << 45] = 1.0

        t = DeviceTape("f8", 512, device_memory=4 * 4096, pinned=3 * 4096, slab_bytes=4096)
        a = cuda.to_device(np.zeros(512))
        for _ in range(20):
            t.push(a)
        bad[1, 1](a)
        try:
            for _ in range(1000):
                t.push(a)
        except DeviceError as error:
            print(error)
        try:
            t.pop()
        except DeviceError as error:
            print(error)
        t.close()
        print("closed", t.closed)
    """)
    assert text.count("the GPU failed at") == 2 and "closed True" in text


@real_only
def test_the_memory_manager_of_the_user_is_asked():
    text = run("""
        import numpy as np
        from numba import cuda
        from numba.cuda.cudadrv.driver import NumbaCUDAMemoryManager

        class Counting(NumbaCUDAMemoryManager):
            asked = []
            def memalloc(self, size):
                self.asked.append(size)
                return super().memalloc(size)

        cuda.set_memory_manager(Counting)
        from tape.cuda import DeviceTape
        with DeviceTape("f8", 512, device_memory=4 * 4096, pinned=3 * 4096, slab_bytes=4096) as t:
            a = cuda.to_device(np.zeros(512))
            for _ in range(20):
                t.push(a)
        print(Counting.asked.count(4096))
    """)
    assert int(text) >= 4


@real_only
def test_memory_goes_back():
    context = cuda.current_context()
    gc.collect()
    current_device().flush()
    free = context.get_memory_info()[0]
    for _ in range(3):
        with DeviceTape("f8", 1 << 20, device_memory="512 MiB", pinned="64 MiB") as t:
            for _ in range(200):
                t.reserve()
            assert t.stats().device_bytes >= 256 << 20
    gc.collect()
    assert free - context.get_memory_info()[0] < 64 << 20
