"""The loss of a character model with long short-term memory: the LSTM of ADBench.

F. Srajer, Z. Kukelova and A. Fitzgibbon, "A benchmark of selected algorithmic differentiation tools", Optimization
Methods and Software 33 (2018).  All weights are diagonal there: unit b of a layer sees unit b of the one below.  Of a
layer's weights and biases (rows of four times `units`) come those of the forget gate first, then of the gates in and
out, then of the change; `ends` scales the input, and scales and shifts the output.  The gradient is that by all these.
"""

import math

import numpy as np
from numba import njit

from .model import Model, with_numpy


def arguments(layers, characters, units):
    rng = np.random.default_rng(5)
    weights, biases = rng.normal(size=(layers, 4 * units)), rng.normal(size=(layers, 4 * units))
    ends = rng.normal(size=(3, units))
    hidden, cell = rng.normal(size=(layers, units)), rng.normal(size=(layers, units))
    text = np.zeros((characters, units))
    text[np.arange(characters), rng.integers(0, units, characters)] = 1.0
    return weights, biases, ends, hidden, cell, text


@njit(nogil=True)
def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@njit(nogil=True)
def by_element(weights, biases, ends, hidden, cell, text):
    layers, units = hidden.shape
    hidden = hidden.copy()
    cell = cell.copy()
    x = np.empty(units)
    y = np.empty(units)
    total = 0.0
    for t in range(len(text) - 1):
        for b in range(units):
            x[b] = text[t, b] * ends[0, b]
        for k in range(layers):
            for b in range(units):
                forget = sigmoid(x[b] * weights[k, b] + biases[k, b])
                let_in = sigmoid(hidden[k, b] * weights[k, units + b] + biases[k, units + b])
                let_out = sigmoid(x[b] * weights[k, 2 * units + b] + biases[k, 2 * units + b])
                change = math.tanh(hidden[k, b] * weights[k, 3 * units + b] + biases[k, 3 * units + b])
                cell[k, b] = cell[k, b] * forget + let_in * change
                hidden[k, b] = let_out * math.tanh(cell[k, b])
                x[b] = hidden[k, b]
        s = 2.0
        for b in range(units):
            y[b] = x[b] * ends[1, b] + ends[2, b]
            s += math.exp(y[b])
        log_s = math.log(s)
        for b in range(units):
            total += text[t + 1, b] * (y[b] - log_s)
    return -total / ((len(text) - 1) * units)


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def whole_array(weights, biases, ends, hidden, cell, text):
    layers, units = hidden.shape
    hidden = hidden.copy()
    cell = cell.copy()
    total = 0.0
    for t in range(len(text) - 1):
        x = text[t] * ends[0]
        for k in range(layers):
            w = weights[k].reshape(4, units)
            b = biases[k].reshape(4, units)
            forget = logistic(x * w[0] + b[0])
            let_in = logistic(hidden[k] * w[1] + b[1])
            let_out = logistic(x * w[2] + b[2])
            change = np.tanh(hidden[k] * w[3] + b[3])
            cell[k] = cell[k] * forget + let_in * change
            hidden[k] = let_out * np.tanh(cell[k])
            x = hidden[k].copy()
        y = x * ends[1] + ends[2]
        total += np.sum(text[t + 1] * (y - np.log(np.sum(np.exp(y)) + 2.0)))
    return -total / ((len(text) - 1) * units)


# ------------------------------------------------------------------------------------------------- by hand

FORGET, IN, OUT, CHANGE, CELL, SQUASHED = range(6)


@njit(nogil=True, error_model="numpy")
def adjoint(kept, shares, weights, biases, ends, hidden, cell, text):
    """Kept of a layer and step: the gates, the change, the cell before and its tanh after; of a step the softmax.

    The state of a layer is the product of a gate and of that tanh, so it is not kept.
    """
    layers, units = hidden.shape
    steps = len(text) - 1
    start = hidden
    hidden = hidden.copy()
    cell = cell.copy()
    x = np.empty(units)
    for t in range(steps):
        for b in range(units):
            x[b] = text[t, b] * ends[0, b]
        for k in range(layers):
            w, bias, keep, h, c = weights[k], biases[k], kept[t, k], hidden[k], cell[k]
            for b in range(units):
                forget = 1.0 / (1.0 + math.exp(-(x[b] * w[b] + bias[b])))
                let_in = 1.0 / (1.0 + math.exp(-(h[b] * w[units + b] + bias[units + b])))
                let_out = 1.0 / (1.0 + math.exp(-(x[b] * w[2 * units + b] + bias[2 * units + b])))
                change = math.tanh(h[b] * w[3 * units + b] + bias[3 * units + b])
                keep[CELL, b] = c[b]
                c[b] = c[b] * forget + let_in * change
                squashed = math.tanh(c[b])
                keep[FORGET, b], keep[IN, b], keep[OUT, b], keep[CHANGE, b] = forget, let_in, let_out, change
                keep[SQUASHED, b] = squashed
                h[b] = let_out * squashed
                x[b] = h[b]
        s = 2.0
        for b in range(units):
            e = math.exp(x[b] * ends[1, b] + ends[2, b])
            shares[t, b] = e
            s += e
        s = 1.0 / s
        for b in range(units):
            shares[t, b] *= s

    weights_b, biases_b, ends_b = np.zeros_like(weights), np.zeros_like(biases), np.zeros_like(ends)
    hidden_b, cell_b = np.zeros_like(hidden), np.zeros_like(cell)
    top = layers - 1
    scale = -1.0 / (steps * units)
    for t in range(steps - 1, -1, -1):
        golds = 0.0
        for b in range(units):
            golds += text[t + 1, b]
        for b in range(units):
            y_b = scale * (text[t + 1, b] - golds * shares[t, b])
            ends_b[1, b] += y_b * (kept[t, top, OUT, b] * kept[t, top, SQUASHED, b])
            ends_b[2, b] += y_b
            x[b] = y_b * ends[1, b]
        for k in range(top, -1, -1):
            w, w_b, bias_b, keep, h_b, c_b = weights[k], weights_b[k], biases_b[k], kept[t, k], hidden_b[k], cell_b[k]
            for b in range(units):
                forget, let_in, let_out, change = keep[FORGET, b], keep[IN, b], keep[OUT, b], keep[CHANGE, b]
                squashed = keep[SQUASHED, b]
                before = start[k, b] if t == 0 else kept[t - 1, k, OUT, b] * kept[t - 1, k, SQUASHED, b]
                below = text[t, b] * ends[0, b] if k == 0 else kept[t, k - 1, OUT, b] * kept[t, k - 1, SQUASHED, b]
                state_b = h_b[b] + x[b]
                now_b = c_b[b] + state_b * let_out * (1.0 - squashed * squashed)
                out_b = state_b * squashed * let_out * (1.0 - let_out)
                forget_b = now_b * keep[CELL, b] * forget * (1.0 - forget)
                in_b = now_b * change * let_in * (1.0 - let_in)
                change_b = now_b * let_in * (1.0 - change * change)
                c_b[b] = now_b * forget
                h_b[b] = in_b * w[units + b] + change_b * w[3 * units + b]
                x[b] = forget_b * w[b] + out_b * w[2 * units + b]
                w_b[b] += forget_b * below
                w_b[units + b] += in_b * before
                w_b[2 * units + b] += out_b * below
                w_b[3 * units + b] += change_b * before
                bias_b[b] += forget_b
                bias_b[units + b] += in_b
                bias_b[2 * units + b] += out_b
                bias_b[3 * units + b] += change_b
        for b in range(units):
            ends_b[0, b] += x[b] * text[t, b]
    return weights_b, biases_b, ends_b


def by_hand(weights, biases, ends, hidden, cell, text):
    layers, units = hidden.shape
    kept = np.zeros((len(text) - 1, layers, 6, units))
    shares = np.zeros((len(text) - 1, units))
    return lambda *args: adjoint(kept, shares, *args)


# --------------------------------------------------------------------------------------------------- peers


def advance(np, sigmoid, weights, biases, ends, hidden, cell, now, following):
    """A character in the NumPy of a peer: the new state of each layer, and what the next character adds."""
    units = len(now)
    x = now * ends[0]
    new_hidden, new_cell = [], []
    for w, b, h, c in zip(weights, biases, hidden, cell):
        forget = sigmoid(x * w[:units] + b[:units])
        let_in = sigmoid(h * w[units : 2 * units] + b[units : 2 * units])
        let_out = sigmoid(x * w[2 * units : 3 * units] + b[2 * units : 3 * units])
        change = np.tanh(h * w[3 * units :] + b[3 * units :])
        c = c * forget + let_in * change
        x = let_out * np.tanh(c)
        new_hidden.append(x)
        new_cell.append(c)
    y = x * ends[1] + ends[2]
    return new_hidden, new_cell, np.sum(following * (y - np.log(np.sum(np.exp(y)) + 2.0)))


def in_jax(weights, biases, ends, hidden, cell, text):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def loss(weights, biases, ends, hidden, cell, text):
        def one(state, pair):
            hidden, cell, term = advance(jnp, jax.nn.sigmoid, weights, biases, ends, *state, *pair)
            return (jnp.stack(hidden), jnp.stack(cell)), term

        _, terms = jax.lax.scan(one, (hidden, cell), (text[:-1], text[1:]))
        return -jnp.sum(terms) / ((len(text) - 1) * text.shape[1])

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    return lambda *args: tuple(map(np.asarray, gradient(*args)))


def eagerly(np, sigmoid):
    def loss(weights, biases, ends, hidden, cell, text):
        total = 0.0
        for t in range(len(text) - 1):
            hidden, cell, term = advance(np, sigmoid, weights, biases, ends, hidden, cell, text[t], text[t + 1])
            total = total + term
        return -total / ((len(text) - 1) * text.shape[1])

    return loss


def in_torch(*args):
    import torch

    loss = eagerly(torch, torch.sigmoid)

    def gradient(*args):
        leaves = [torch.tensor(a, requires_grad=k < 3) for k, a in enumerate(args)]
        loss(*leaves).backward()
        return tuple(leaf.grad.numpy() for leaf in leaves[:3])

    return gradient


def in_autograd(*args):
    import autograd

    return autograd.grad(eagerly(autograd.numpy, with_numpy(logistic, autograd.numpy)), [0, 1, 2])


MODEL = Model(
    name="lstm",
    wrt=("weights", "biases", "ends"),
    sizes={"2 layers, 1 024 characters, 14 units": (2, 1024, 14)},
    small=(2, 6, 3),
    arguments=arguments,
    by_element=by_element,
    whole_array=whole_array,
    by_hand={"gates kept": by_hand},
    trip="unit, layer and character",
    trips=lambda layers, characters, units: layers * (characters - 1) * units,
    # Three gates, the change, the cell before and its tanh after, and of the last layer the softmax: all of these but
    # the cell cost an exponential to compute again.
    least=lambda layers, characters, units: 48.0 + 8.0 / layers,
    peers={"jax": in_jax, "torch": in_torch, "autograd": in_autograd},
)
