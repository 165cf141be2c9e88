"""The loss of a long short-term memory in the form of the ADBench suite: units that meet in the softmax only.

F. Srajer, Z. Kukelova and A. Fitzgibbon (2018), and the suite's programs (see `adbench_gmm`).  A layer has weights and
biases of four gates (forget, in, out, change), each a number for every unit; forget and out see the layer's input, in
and change its hidden state.  The constant 2 in the logarithm of the sum of exponentials is the suite's.
"""

import math

import numpy as np
from numba import njit

from problems.case import case

LAYERS, CHARACTERS, BITS = 2, 6, 3
RNG = np.random.default_rng(5)
MAIN = RNG.normal(size=(LAYERS, 2, 4, BITS))
EXTRA = RNG.normal(size=(3, BITS))
STATE = 0.5 * RNG.normal(size=(LAYERS, 2, BITS))
SEQUENCE = RNG.integers(0, 2, (CHARACTERS, BITS)).astype(float)
FLAT = MAIN.ravel(), EXTRA.ravel(), STATE.ravel(), SEQUENCE.ravel()


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_gradient(main, extra, state, sequence, *sizes):
    """By back-propagation through time, with respect to main and extra."""
    bits = len(extra.ravel()) // 3
    shapes = main.shape, extra.shape
    main, extra = main.reshape(-1, 2, 4, bits), extra.reshape(3, bits)
    sequence = sequence.reshape(-1, bits)
    layers, steps = len(main), len(sequence) - 1
    hidden = state.reshape(layers, 2, bits)[:, 0].copy()
    cell = state.reshape(layers, 2, bits)[:, 1].copy()
    records = []
    for t in range(steps):
        x = sequence[t] * extra[0]
        record = []
        for k in range(layers):
            w, b = main[k]
            forget, out = logistic(x * w[0] + b[0]), logistic(x * w[2] + b[2])
            into, change = logistic(hidden[k] * w[1] + b[1]), np.tanh(hidden[k] * w[3] + b[3])
            before, old_cell = hidden[k].copy(), cell[k].copy()
            cell[k] = old_cell * forget + into * change
            hidden[k] = out * np.tanh(cell[k])
            record.append((x, before, old_cell, cell[k].copy(), forget, into, out, change))
            x = hidden[k].copy()
        e = np.exp(x * extra[1] + extra[2])
        records.append((record, x, e / (2.0 + e.sum())))

    by_main, by_extra = np.zeros_like(main), np.zeros_like(extra)
    hidden_bar, cell_bar = np.zeros((layers, bits)), np.zeros((layers, bits))
    for t in reversed(range(steps)):
        record, x, p = records[t]
        gold = sequence[t + 1]
        bar = -(gold - p * gold.sum()) / (steps * bits)
        by_extra[1] += bar * x
        by_extra[2] += bar
        bar = bar * extra[1]
        for k in reversed(range(layers)):
            w = main[k, 0]
            x, before, old_cell, new_cell, forget, into, out, change = record[k]
            h = hidden_bar[k] + bar
            tanh = np.tanh(new_cell)
            c = cell_bar[k] + h * out * (1.0 - tanh**2)
            slopes = np.array(
                [
                    c * old_cell * forget * (1.0 - forget),
                    c * change * into * (1.0 - into),
                    h * tanh * out * (1.0 - out),
                    c * into * (1.0 - change**2),
                ]
            )
            by_main[k, 0] += slopes * np.array([x, before, x, before])
            by_main[k, 1] += slopes
            cell_bar[k] = c * forget
            hidden_bar[k] = slopes[1] * w[1] + slopes[3] * w[3]
            bar = slopes[0] * w[0] + slopes[2] * w[2]
        by_extra[0] += bar * sequence[t]
    return by_main.reshape(shapes[0]), by_extra.reshape(shapes[1])


# ------------------------------------------------------------------------------------- by element, as in ADBench


@njit
def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@njit
def lstm_layer(size, params, state, x):
    """One layer: writes hidden (first half) and cell (second half) of its state."""
    for i in range(size):
        forget = sigmoid(x[i] * params[i] + params[4 * size + i])
        into = sigmoid(state[i] * params[size + i] + params[5 * size + i])
        out = sigmoid(x[i] * params[2 * size + i] + params[6 * size + i])
        change = math.tanh(state[i] * params[3 * size + i] + params[7 * size + i])
        state[size + i] = state[size + i] * forget + into * change
        state[i] = out * math.tanh(state[size + i])


@njit
def lstm_predict(layers, bits, main, extra, state, x, output):
    for i in range(bits):
        output[i] = x[i] * extra[i]
    layer_output = output
    for k in range(layers):
        layer = state[2 * bits * k : 2 * bits * (k + 1)]
        lstm_layer(bits, main[8 * bits * k : 8 * bits * (k + 1)], layer, layer_output)
        layer_output = layer[:bits]
    for i in range(bits):
        output[i] = layer_output[i] * extra[bits + i] + extra[2 * bits + i]


@case(*FLAT, LAYERS, BITS, wrt="main extra", exact=lstm_gradient)
def lstm_by_elements(main, extra, state, sequence, layers, bits):
    state = state.copy()
    characters = len(sequence) // bits
    predicted, normed = np.empty(bits), np.empty(bits)
    total = 0.0
    count = 0
    for t in range(characters - 1):
        lstm_predict(layers, bits, main, extra, state, sequence[t * bits : (t + 1) * bits], predicted)
        s = 2.0
        for i in range(bits):
            s += math.exp(predicted[i])
        for i in range(bits):
            normed[i] = predicted[i] - math.log(s)
        gold = sequence[(t + 1) * bits : (t + 2) * bits]
        for i in range(bits):
            total += gold[i] * normed[i]
        count += bits
    return -total / count


# ----------------------------------------------------------------------------------------------- whole arrays


@njit
def sigmoids(x):
    return 1.0 / (1.0 + np.exp(-x))


@njit
def lstm_model(weight, bias, hidden, cell, x):
    forget = sigmoids(x * weight[0] + bias[0])
    into = sigmoids(hidden * weight[1] + bias[1])
    out = sigmoids(x * weight[2] + bias[2])
    change = np.tanh(hidden * weight[3] + bias[3])
    cell = cell * forget + into * change
    return out * np.tanh(cell), cell


@case(MAIN, EXTRA, STATE, SEQUENCE, wrt="main extra", exact=lstm_gradient)
def lstm_by_arrays(main, extra, state, sequence):
    """The state that comes in is written over."""
    total = 0.0
    for t in range(sequence.shape[0] - 1):
        x = sequence[t] * extra[0]
        for k in range(main.shape[0]):
            hidden, cell = lstm_model(main[k, 0], main[k, 1], state[k, 0], state[k, 1], x)
            state[k, 0] = hidden
            state[k, 1] = cell
            x = hidden
        predicted = x * extra[1] + extra[2]
        normed = predicted - np.log(np.sum(np.exp(predicted)) + 2.0)
        total += np.sum(sequence[t + 1] * normed)
    return -total / (sequence[1:].size)
