"""Lorenz-63 by explicit Euler: the scalar loop that gradients are compared on.

The result is x + y + z after `steps` steps; the gradient is with respect to the initial point and the three parameters.
"""

import ctypes

from numba import njit

from tape.numba import pop, push

POINT = (1.0, 1.0, 1.0)
PARAMETERS = (10.0, 28.0, 8.0 / 3.0)
DT = 1e-3
STEPS = 20_000


def lorenz(x, y, z, sigma, rho, beta, dt, steps):
    for _ in range(steps):
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    return x + y + z


def sweeps(record, recall):
    """The adjoint as an expert writes it, three words a step, kept by what `record` and `recall` work on.

    Two compiled functions: the steps forward, and the gradient on the way back.
    """

    @njit(nogil=True)
    def forward(tape, x, y, z, sigma, rho, beta, dt, steps):
        for i in range(steps):
            record(tape, i, x, y, z)
            dx = sigma * (y - x)
            dy = x * (rho - z) - y
            dz = x * y - beta * z
            x = x + dt * dx
            y = y + dt * dy
            z = z + dt * dz
        return x + y + z

    @njit(nogil=True)
    def reverse(tape, sigma, rho, beta, dt, steps):
        xb = yb = zb = 1.0
        sb = rb = bb = 0.0
        for i in range(steps - 1, -1, -1):
            x, y, z = recall(tape, i)
            dxb, dyb, dzb = dt * xb, dt * yb, dt * zb
            sb += (y - x) * dxb
            rb += x * dyb
            bb -= z * dzb
            xb += (rho - z) * dyb + y * dzb - sigma * dxb
            yb += sigma * dxb - dyb + x * dzb
            zb += -x * dyb - beta * dzb
        return xb, yb, zb, sb, rb, bb

    return forward, reverse


def in_one(forward, reverse):
    @njit(nogil=True)
    def adjoint(tape, x, y, z, sigma, rho, beta, dt, steps):
        forward(tape, x, y, z, sigma, rho, beta, dt, steps)
        return reverse(tape, sigma, rho, beta, dt, steps)

    return adjoint


@njit
def _push(tape, i, x, y, z):
    push(tape, x, y, z)


@njit
def _pop(tape, i):
    return pop(tape, 3)


@njit
def _store(rows, i, x, y, z):
    rows[i, 0], rows[i, 1], rows[i, 2] = x, y, z


@njit
def _load(rows, i):
    return rows[i, 0], rows[i, 1], rows[i, 2]


@njit
def _append(items, i, x, y, z):
    items.append(x)
    items.append(y)
    items.append(z)


@njit
def _pop_list(items, i):
    z, y, x = items.pop(), items.pop(), items.pop()
    return x, y, z


tape_sweeps = sweeps(_push, _pop)  # on a handle
array_sweeps = sweeps(_store, _load)  # on steps rows of three
on_tape = in_one(*tape_sweeps)
on_array = in_one(*array_sweeps)
on_list = in_one(*sweeps(_append, _pop_list))  # on a numba.typed.List


def point_and_parameters(steps, span=STEPS * DT):
    """All arguments for `steps` steps over one span of time.

    However short the steps, every one of them adds to the gradient, and the gradient stays finite: over a longer span
    it grows without bound, since the system is chaotic.
    """
    return (*POINT, *PARAMETERS, span / steps, steps)


def on_vector(library):
    """The same in C++ on a std::vector without reserve."""
    out = (ctypes.c_double * 6)()

    def adjoint(*args):
        *numbers, steps = args
        library.lorenz_vector(*map(ctypes.c_double, numbers), ctypes.c_long(steps), out)
        return tuple(out)

    return adjoint


def in_jax(steps):
    """The same as a compiled scan; a function of the six numbers that returns their gradients."""
    import jax

    jax.config.update("jax_enable_x64", True)

    def loss(x, y, z, sigma, rho, beta):
        def step(state, _):
            x, y, z = state
            dx = sigma * (y - x)
            dy = x * (rho - z) - y
            dz = x * y - beta * z
            return (x + DT * dx, y + DT * dy, z + DT * dz), None

        (x, y, z), _ = jax.lax.scan(step, (x, y, z), None, length=steps)
        return x + y + z

    gradient = jax.jit(jax.grad(loss, argnums=tuple(range(6))))
    return lambda *args: [float(g) for g in jax.block_until_ready(gradient(*args))]


def in_torch(steps):
    import torch

    def gradient(*args):
        leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in args]
        lorenz(*leaves, DT, steps).backward()
        return [leaf.grad.item() for leaf in leaves]

    return gradient


def in_autograd(steps):
    import autograd

    gradient = autograd.grad(lambda point: lorenz(*point, DT, steps))
    return lambda *args: list(gradient(args))


def in_xad(steps):
    import xad.adj_1st as xadj

    def gradient(*args):
        with xadj.Tape() as tape:
            leaves = [xadj.Real(a) for a in args]
            for leaf in leaves:
                tape.registerInput(leaf)
            tape.newRecording()
            result = lorenz(*leaves, DT, steps)
            tape.registerOutput(result)
            result.derivative = 1.0
            tape.computeAdjoints()
            return [leaf.derivative for leaf in leaves]

    return gradient


def in_tangent(steps):
    import tangent

    gradient = tangent.grad(lorenz, wrt=tuple(range(6)))
    return lambda *args: list(gradient(*args, DT, steps))
