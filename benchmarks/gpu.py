"""Device tapes on a GPU: the rate of slabs, overlap with kernels, histories beyond device and pinned memory, lanes.

    python benchmarks/gpu.py [--quick]

Each table has what it is compared with in the same run: the bare asynchronous copy of pinned memory; the kernels
alone; the same sweep with all copies on the program's own stream; the same ensemble on the CPU and in JAX.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
from numba import cuda

import ad
from tape import Tape
from tape.cuda import DeviceStore, DeviceTape, ensemble, lanes, release_pinned
from tape.cuda.numbadevice import NumbaDevice, current_ordinal

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.tables import table

MIB, GIB = 1 << 20, 1 << 30
ROUNDS = 3


def timed(use, *args):
    """Seconds until the device is done with all that `use` gave it, and what it returned."""
    cuda.synchronize()
    start = time.perf_counter()
    found = use(*args)
    cuda.synchronize()
    return time.perf_counter() - start, found


def median(use, *args, rounds=ROUNDS):
    timed(use, *args)
    return statistics.median(timed(use, *args)[0] for _ in range(rounds))


# ----------------------------------------------------------------------------------------- 0: calls


def calls():
    """Microseconds of the calling thread for one small item; the device is never waited for."""
    n, count = 128, 4000
    array = cuda.device_array(n, np.float64)
    rows = {}

    def cost(use, *args):
        seconds, _ = timed(lambda: [use(*args) for _ in range(count)])
        return f"{1e6 * seconds / count:.1f}"

    for name, slab in (("slabs of 1024 items", 1 * MIB), ("every call a new slab", 4096)):
        item = n if slab > 4096 else 512
        array = cuda.device_array(item, np.float64)
        with DeviceTape("f8", item, device_memory=64 * slab, pinned=count * 4096 + slab, slab_bytes=slab) as t:
            for _ in range(2):
                row = [
                    cost(t.push, array),
                    cost(t.pop, array),
                    cost(t.reserve),
                    cost(t.peek),
                    cost(t.drop),
                ]
        rows[name] = row
    empty = cuda.jit(lambda a: None)
    empty[1, 32](array)
    rows["a kernel that does nothing"] = [cost(empty[1, 32], array)]
    print("\nA call, in microseconds of the calling thread")
    print(table(["push", "pop", "reserve", "peek", "drop"], rows))


# ---------------------------------------------------------------------------------------- 1: rates


class Bare:
    """Copies of pinned memory, one after the other on one stream."""

    def __init__(self, device, slab, count):
        self.device, self.count = device, count
        self.memory = [device.alloc(slab) for _ in range(4)]
        self.pinned = [device.alloc_pinned(slab) for _ in range(4)]
        for page in self.pinned:
            page[:] = 1
        self.stream = device.new_stream()

    def out(self):
        for k in range(self.count):
            self.device.to_host(self.pinned[k % 4], self.memory[k % 4].address, self.stream)

    def back(self):
        for k in range(self.count):
            self.device.to_device(self.memory[k % 4].address, self.pinned[k % 4], self.stream)


def fill(t, count):
    for _ in range(count):
        t.reserve()


def empty(t, count):
    for _ in range(count):
        t.peek()
        t.drop()


def rates(total):
    """Bytes a second of bare copies and of a tape's slabs, out and in."""
    device = NumbaDevice(current_ordinal())
    rows, bare = {}, {}
    for slab in (1 * MIB, 4 * MIB, 8 * MIB, 32 * MIB, 64 * MIB):
        count = total // slab
        copies = Bare(device, slab, count)
        t_out, t_in = median(copies.out), median(copies.back)
        bare[slab] = count * slab / t_out, count * slab / t_in
        del copies
        there, back = [], []
        with DeviceTape(
            "u1", slab, device_memory=8 * slab, pinned=(count + 1) * slab, slab_bytes=slab, device=device
        ) as t:
            for _ in range(ROUNDS + 1):
                before = t.stats()
                seconds, _ = timed(fill, t, count)
                now = t.stats()
                there.append((now.bytes_to_host - before.bytes_to_host) / seconds)
                before = now
                seconds, _ = timed(empty, t, count)
                back.append((t.stats().bytes_to_device - before.bytes_to_device) / seconds)
        got = statistics.median(there[1:]), statistics.median(back[1:])
        rows[f"{slab // MIB} MiB"] = [
            f"{bare[slab][0] / 1e9:.1f}",
            f"{got[0] / 1e9:.1f}",
            f"{got[0] / bare[slab][0]:.0%}",
            f"{bare[slab][1] / 1e9:.1f}",
            f"{got[1] / 1e9:.1f}",
            f"{got[1] / bare[slab][1]:.0%}",
        ]
    print("\n1. Slabs of a tape against bare copies of pinned memory, GB/s")
    print(table(["out: bare", "tape", "", "in: bare", "tape", ""], rows))
    release_pinned()
    return bare[32 * MIB]


def host_tapes(total, bare):
    """`to_device` and `from_device` of a tape in pageable memory, and a tape that spills to the device."""
    n = total // 8
    rows = {}
    with Tape("f8") as t:
        t.reserve(n)[:] = 1.0
        out = cuda.device_array(n, np.float64)
        seconds = median(lambda: t.to_device(out=out))
        rows["Tape.to_device, one slab"] = [f"{total / seconds / 1e9:.1f}", f"{total / seconds / bare[1]:.0%}"]
    with Tape("f8") as t:
        for _ in range(n // 131_072):
            t.reserve(131_072)[:] = 1.0
        seconds = median(lambda: t.to_device(out=out[: len(t)]))
        rows["Tape.to_device, slabs of 1 MiB"] = [
            f"{t.nbytes / seconds / 1e9:.1f}",
            f"{t.nbytes / seconds / bare[1]:.0%}",
        ]

    def back():
        Tape.from_device(out).close()

    seconds = median(back)
    rows["Tape.from_device"] = [f"{total / seconds / 1e9:.1f}", f"{total / seconds / bare[0]:.0%}"]
    values = np.ones(n)
    with DeviceStore(2 * total) as store, Tape("f8", memory=256 * MIB, spill_dir=store) as t:
        there, again = [], []
        for _ in range(2):
            there.append(timed(t.extend, values)[0])
            again.append(timed(t.popn, n, values)[0])
        rows["spilling to a DeviceStore"] = [f"{total / there[1] / 1e9:.1f}", f"{total / there[1] / bare[0]:.0%}"]
        rows["... and back"] = [f"{total / again[1] / 1e9:.1f}", f"{total / again[1] / bare[1]:.0%}"]
    print("\nHost tapes in pageable memory, GB/s, and against bare copies of pinned memory")
    print(table(["GB/s", ""], rows))


# -------------------------------------------------------------------------------------- 2: overlap


@cuda.jit
def step(u, v, work):
    """One step of Fisher's equation, and as much more arithmetic as `work` says."""
    i = cuda.grid(1)
    n = u.size
    if i < n:
        a = u[i]
        x = a + 0.2 * (u[(i + n - 1) % n] - 2.0 * a + u[(i + 1) % n]) + 0.01 * a * (1.0 - a)
        y = x
        for _ in range(work):
            y = y * 0.9999 + 1e-4 * x
        v[i] = x + 0.0 * y


@cuda.jit
def adjoint(u, g, h, work):
    """The adjoint of `step`: from the derivatives `g` by its result to those by `u`."""
    i = cuda.grid(1)
    n = u.size
    if i < n:
        x = g[i] * (0.6 + 0.01 * (1.0 - 2.0 * u[i])) + 0.2 * (g[(i + n - 1) % n] + g[(i + 1) % n])
        y = x
        for _ in range(work):
            y = y * 0.9999 + 1e-4 * x
        h[i] = x + 0.0 * y


class Sweep:
    """A time loop of kernels that records every state, and its adjoint."""

    def __init__(self, n, steps, work):
        self.n, self.steps, self.work = n, steps, work
        self.grid = -(-n // 256), 256
        self.start = cuda.to_device(0.5 + 0.4 * np.sin(np.arange(n) * 0.01))
        self.states = [cuda.device_array(n, np.float64) for _ in range(2)]
        self.adjoints = [cuda.device_array(n, np.float64) for _ in range(2)]
        self.one = cuda.to_device(np.ones(n))

    def alone(self):
        """The kernels without a tape; the backward ones on a state that is not theirs."""
        a, b = self.states
        for _ in range(self.steps):
            step[self.grid](a, b, self.work)
            a, b = b, a

    def alone_back(self):
        g, h = self.adjoints
        for _ in range(self.steps):
            adjoint[self.grid](self.start, g, h, self.work)
            g, h = h, g

    def forward(self, t):
        """Each state is written where it is kept: the tape's own memory."""
        before = self.start
        for _ in range(self.steps):
            after = t.reserve()
            step[self.grid](before, after, self.work)
            before = after

    def backward(self, t):
        g, h = self.adjoints
        g.copy_to_device(self.one)
        for _ in range(self.steps):
            adjoint[self.grid](t.peek(), g, h, self.work)
            t.drop()
            g, h = h, g
        return g


class OneStream(NumbaDevice):
    """As if nothing overlapped: copies on the program's stream."""

    def new_stream(self):
        return 0

    def drop_stream(self, stream):
        pass


def overlap(bare, quick):
    slab, per_slab, device_slabs = 32 * MIB, 1, 16
    n = slab // 8 // per_slab
    steps = 4 * device_slabs * per_slab  # four times the device budget
    budget = {"device_memory": device_slabs * slab, "pinned": 4 * device_slabs * slab, "slab_bytes": slab}
    rows = {}
    copy = slab / per_slab / min(bare)  # seconds for a state over the bus
    probe = Sweep(n, 20, 1000)
    unit = median(probe.alone) / 20 / 1000
    for factor in (0.3, 0.8, 1.0, 3.0) if not quick else (1.0,):
        sweep = Sweep(n, steps, max(1, int(factor * copy / unit)))
        kernels = median(sweep.alone), median(sweep.alone_back)
        reference = None
        figures = {}
        for name, options in (
            ("room", {**budget, "device_memory": 8 * device_slabs * slab}),
            ("tape", budget),
            ("serial", {**budget, "device": OneStream(current_ordinal())}),
        ):
            there, back = [], []
            with DeviceTape("f8", n, expected=steps, **options) as t:
                for _ in range(ROUNDS + 1):
                    before = t.stats()
                    there.append(timed(sweep.forward, t)[0])
                    seconds, g = timed(sweep.backward, t)
                    back.append(seconds)
                    moved = t.stats()
                found = g.copy_to_host()
                if reference is None:
                    reference = found
                assert np.array_equal(found, reference), "the gradients differ"
                moved = moved.bytes_to_host - before.bytes_to_host, moved.bytes_to_device - before.bytes_to_device
            figures[name] = statistics.median(there[1:]), statistics.median(back[1:])
        bus = moved[0] / bare[0], moved[1] / bare[1]
        for k, way in enumerate(("forward", "reverse")):
            least = max(kernels[k], bus[k])
            rows[f"kernels {factor:g} x the bus, {way}"] = [
                *(
                    f"{1e3 * x:.1f}"
                    for x in (kernels[k], bus[k], figures["room"][k], figures["tape"][k], figures["serial"][k])
                ),
                f"{figures['tape'][k] / least:.2f}",
                f"{(kernels[k] + bus[k]) / least:.2f}",
            ]
    print(
        f"\n2. A time loop with 4 times the history that the device has room for, {steps} states of "
        f"{slab // per_slab // MIB} MiB: ms"
    )
    print(table(["kernels", "bus", "all on device", "tape", "one stream", "tape/max", "sum/max"], rows))


# ----------------------------------------------------------------------------------------- 3: disk


def disk(quick):
    slab = 8 * MIB
    n, steps = slab // 8 // 2, 128 if quick else 512  # 0.5 or 2 GiB
    sweep = Sweep(n, steps, 10)
    with DeviceTape("f8", n, device_memory=2 * steps * slab, slab_bytes=slab) as t:
        sweep.forward(t)
        expected = sweep.backward(t).copy_to_host()
    rows = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPILL_DIR")) as place:
        for name, options in (
            ("pinned memory", {"pinned": "4 GiB"}),
            ("pageable memory", {"pinned": "128 MiB"}),
            ("disk", {"pinned": "128 MiB", "memory": "256 MiB", "spill_dir": place}),
        ):
            with DeviceTape("f8", n, device_memory=128 * MIB, slab_bytes=slab, **options) as t:
                times = []
                for _ in range(ROUNDS):
                    there, _ = timed(sweep.forward, t)
                    stats = t.stats()
                    back, g = timed(sweep.backward, t)
                    times.append((there, back))
                there, back = (statistics.median(way) for way in zip(*times))
                same = np.array_equal(g.copy_to_host(), expected)
                spilled = 0 if stats.host is None else stats.host.spilled_bytes
                rows[name] = [
                    f"{1e3 * there:.0f}",
                    f"{1e3 * back:.0f}",
                    f"{steps * 8 * n / there / 1e9:.2f}",
                    f"{steps * 8 * n / back / 1e9:.2f}",
                    f"{spilled / MIB:.0f}",
                    "yes" if same else "NO",
                ]
    print(f"\n3. A history of {steps * n * 8 / GIB:.1f} GiB on 128 MiB of device memory, beyond that in ...")
    print(table(["forward ms", "reverse ms", "GB/s", "GB/s", "MiB on disk", "same gradient"], rows))
    assert all(row[-1] == "yes" for row in rows.values())


# ----------------------------------------------------------------------------------------- 4: lanes


def lorenz(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


def on_cpu(start, steps, threads):
    """Derivatives of all members by `ad.grad`, a part of them in each thread."""
    count = start.shape[1]
    gradient = ad.grad(lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"))
    gradient(*start[:, 0], ensemble.DT, 2)
    found = np.empty((6, count))

    def part(first):
        for i in range(first, count, threads):
            found[:, i] = gradient(*start[:, i], ensemble.DT, steps)

    workers = [threading.Thread(target=part, args=(k,)) for k in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin, found


def in_jax(start, steps):
    """Seconds and derivatives by JAX on its GPU; None where there is none."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    if jax.default_backend() != "gpu":
        return None

    def value(member):
        x, y, z, sigma, rho, beta = member

        def one(state, _):
            x, y, z = state
            dx, dy, dz = sigma * (y - x), x * (rho - z) - y, x * y - beta * z
            return (x + ensemble.DT * dx, y + ensemble.DT * dy, z + ensemble.DT * dz), None

        (x, y, z), _ = jax.lax.scan(one, (x, y, z), None, length=steps)
        return x + y + z

    gradient = jax.jit(jax.vmap(jax.grad(value), in_axes=1, out_axes=1))
    given = jax.device_put(start)
    gradient(given).block_until_ready()
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = gradient(given).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), np.asarray(found)


def difference(found, expected):
    """The largest difference of a member, over its largest derivative."""
    return np.max(np.abs(found - expected).max(axis=0) / np.abs(expected).max(axis=0))


def members(quick):
    count, steps, stretch = (16_384, 500, 50) if quick else (131_072, 1_000, 50)
    start = ensemble.members(count)
    sample = 2048
    seconds_cpu, expected = on_cpu(start[:, :sample], steps, 2)
    block = lanes.Lanes("f8", count, 3 * steps)
    seconds = median(ensemble.gradients, start, steps, block)
    _, found = ensemble.gradients(start, steps, block)
    error = difference(found[:, :sample], expected)
    del block
    work = count * steps
    rate = sample * steps / seconds_cpu
    rows = {
        "CPU, ad.grad, two threads": [f"{rate:.2e}", "1", ""],
        "GPU, lanes in one kernel": [f"{work / seconds:.2e}", f"{work / seconds / rate:.0f}", f"{error:.1e}"],
    }
    g = ad.grad(lorenz, wrt=("x", "y", "z", "sigma", "rho", "beta"), target="cuda")
    given = [cuda.to_device(row) for row in start]
    seconds = median(lambda: g(*given, ensemble.DT, steps))
    found = np.stack([d.copy_to_host() for d in g(*given, ensemble.DT, steps)])
    error = difference(found[:, :sample], expected)
    rows['GPU, ad.grad(target="cuda")'] = [f"{work / seconds:.2e}", f"{work / seconds / rate:.0f}", f"{error:.1e}"]
    shape = lanes.shape(count, 3 * stretch)
    item = 8 * int(np.prod(shape))
    for name, budget in (
        ("... on a tape with room", steps // stretch + 2),
        ("... on a tape, a quarter on the device", 5),
    ):
        with DeviceTape("f8", shape, device_memory=budget * (item + MIB), pinned=12 * (item + MIB)) as t:
            seconds = median(ensemble.gradients_on_tape, start, steps, stretch, t)
            _, found = ensemble.gradients_on_tape(start, steps, stretch, t)
        error = difference(found[:, :sample], expected)
        rows[name] = [f"{work / seconds:.2e}", f"{work / seconds / rate:.0f}", f"{error:.1e}"]
    release_pinned()
    jax = in_jax(start, steps)
    if jax is not None:
        error = difference(jax[1][:, :sample], expected)
        rows["GPU, JAX: scan, vmap, jit"] = [f"{work / jax[0]:.2e}", f"{work / jax[0] / rate:.0f}", f"{error:.1e}"]
    print(
        f"\n4. Six derivatives of {count} Lorenz trajectories of {steps} steps: steps of a trajectory a second, there "
        "and back"
    )
    print(table(["steps/s", "over CPU", "largest difference"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller, and less of it")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*Grid size")
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    print(f"{name}, NumPy {np.__version__}, {len(os.sched_getaffinity(0))} cores")
    total = GIB if options.quick else 4 * GIB
    calls()
    bare = rates(total)
    overlap(bare, options.quick)
    host_tapes(total // 2, bare)
    members(options.quick)
    disk(options.quick)


if __name__ == "__main__":
    main()
