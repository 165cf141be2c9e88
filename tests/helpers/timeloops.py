"""Time loops with adjoints by hand, for tests of checkpointing."""

import numpy as np

SIZE = 24


def start():
    """Two fields, a flag and the time."""
    x = np.linspace(0.0, 2.0 * np.pi, SIZE, endpoint=False)
    return {"u": 1.0 + 0.3 * np.sin(x), "v": (np.cos(x), 0), "t": 0.0}


PARAMETERS = np.array([0.7, 0.2])


class Model:
    """A nonlinear step with a time and a count in its state, and a loss that has a term of each state."""

    def __init__(self, parameters=PARAMETERS, dt=0.02):
        self.a, self.b = parameters
        self.dt = dt
        self.forward = self.reverse = 0

    def step(self, state, i):
        self.forward += 1
        u, (v, k), t = state["u"], state["v"], state["t"]
        assert k == i
        right = np.roll(u, -1)
        new_u = u + self.dt * (self.a * u * v - self.b * np.sin(right) * np.cos(t))
        new_v = v - self.dt * u * new_u
        return {"u": new_u, "v": (new_v, k + 1), "t": t + self.dt}

    def step_in_place(self, state, i):
        new = self.step(state, i)
        state["u"][:] = new["u"]
        state["v"][0][:] = new["v"][0]
        return {"u": state["u"], "v": (state["v"][0], new["v"][1]), "t": new["t"]}

    def vjp_step(self, state, adjoint, i, gradient):
        self.reverse += 1
        u, (v, k), t = state["u"], state["v"], state["t"]
        assert k == i
        ub, (vb, _) = adjoint["u"], adjoint["v"]
        right = np.roll(u, -1)
        new_u = u + self.dt * (self.a * u * v - self.b * np.sin(right) * np.cos(t))
        nb = ub - self.dt * u * vb
        gradient[0] += self.dt * np.sum(nb * u * v)
        gradient[1] -= self.dt * np.sum(nb * np.sin(right)) * np.cos(t)
        ub = nb + self.dt * self.a * nb * v - self.dt * new_u * vb
        ub += np.roll(-self.dt * self.b * nb * np.cos(right) * np.cos(t), 1)
        ub += 0.02 * u  # the term of this state: 0.01 sum u**2
        return {"u": ub, "v": (vb + self.dt * self.a * nb * u, None)}

    def vjp_step_in_place(self, state, adjoint, i, gradient):
        new = self.vjp_step(state, adjoint, i, gradient)
        state["u"][:] = np.nan
        adjoint["u"][:] = new["u"]
        adjoint["v"][0][:] = new["v"][0]
        return adjoint

    @staticmethod
    def adjoint(state):
        return {"u": 0.02 * state["u"], "v": (2.0 * state["v"][0], None)}

    def loss(self, state, n):
        total = 0.0
        for i in range(n):
            total += 0.01 * np.sum(state["u"] ** 2)
            state = self.step(state, i)
        return total + 0.01 * np.sum(state["u"] ** 2) + np.sum(state["v"][0] ** 2)


def equal(a, b):
    """Whether two results of sweeps are the same to the last bit."""
    return all(
        x.tobytes() == y.tobytes()
        for x, y in [
            (a.state["u"], b.state["u"]),
            (a.state["v"][0], b.state["v"][0]),
            (a.adjoint["u"], b.adjoint["u"]),
            (a.adjoint["v"][0], b.adjoint["v"][0]),
            (a.gradient, b.gradient),
        ]
    ) and (a.n, a.state["t"]) == (b.n, b.state["t"])
