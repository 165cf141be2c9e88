"""Lorenz-63 by explicit Euler: the scalar loop that gradients are compared on.

The result is x + y + z after `steps` steps; the gradient is with respect to the initial point and the three parameters.
"""

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


@njit(nogil=True)
def by_hand(tape, x, y, z, sigma, rho, beta, dt, steps):
    """The adjoint as an expert writes it: one tape, three words a step.  `tape` is a handle."""
    for _ in range(steps):
        push(tape, x, y, z)
        dx = sigma * (y - x)
        dy = x * (rho - z) - y
        dz = x * y - beta * z
        x = x + dt * dx
        y = y + dt * dy
        z = z + dt * dz
    xb = yb = zb = 1.0
    sb = rb = bb = 0.0
    for _ in range(steps):
        x, y, z = pop(tape, 3)
        dxb, dyb, dzb = dt * xb, dt * yb, dt * zb
        sb += (y - x) * dxb
        rb += x * dyb
        bb -= z * dzb
        xb += (rho - z) * dyb + y * dzb - sigma * dxb
        yb += sigma * dxb - dyb + x * dzb
        zb += -x * dyb - beta * dzb
    return xb, yb, zb, sb, rb, bb


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
