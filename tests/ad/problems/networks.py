"""Small neural networks: a loss, steps of training, a recurrent cell, a convolution.

D. E. Rumelhart, G. E. Hinton and R. J. Williams, Learning representations by back-propagating errors, Nature 323
(1986): the references are back-propagation by hand.  Through steps of training, whose gradients are coded in the
program, the reference is the complex step (hypergradients: D. Maclaurin, D. Duvenaud and R. Adams, ICML 2015).
"""

import math

import numpy as np

from problems.case import case

RNG = np.random.default_rng(15)
SAMPLES, INPUTS, HIDDEN = 6, 3, 4
X = RNG.normal(size=(SAMPLES, INPUTS))
Y = RNG.normal(size=SAMPLES)
W1, B1 = 0.7 * RNG.normal(size=(INPUTS, HIDDEN)), 0.1 * RNG.normal(size=HIDDEN)
W2, B2 = 0.7 * RNG.normal(size=HIDDEN), 0.2


def network_gradient(w1, b1, w2, b2, x, y):
    """Mean of (tanh(x w1 + b1) w2 + b2 - y)^2 / 2."""
    x, shape = x.reshape(len(y), -1), w1.shape
    hidden = np.tanh(x @ w1.reshape(x.shape[1], -1) + b1)
    bar = (hidden @ w2 + b2 - y) / len(y)
    before = np.outer(bar, w2) * (1.0 - hidden**2)
    return (x.T @ before).reshape(shape), before.sum(axis=0), hidden.T @ bar, bar.sum()


@case(W1.ravel(), B1, W2, B2, X.ravel(), Y, wrt="w1 b1 w2 b2", exact=network_gradient)
def network_by_scalars(w1, b1, w2, b2, x, y):
    inputs = len(w1) // len(b1)
    total = 0.0
    for n in range(len(y)):
        out = b2
        for h in range(len(b1)):
            s = b1[h]
            for i in range(inputs):
                s += x[n * inputs + i] * w1[i * len(b1) + h]
            out += w2[h] * math.tanh(s)
        total += 0.5 * (out - y[n]) ** 2
    return total / len(y)


@case(W1, B1, W2, B2, X, Y, wrt="w1 b1 w2 b2", exact=network_gradient)
def network_by_elements(w1, b1, w2, b2, x, y):
    """One work array, filled again for each sample."""
    hidden = np.empty(b1.size)
    total = 0.0
    for n in range(x.shape[0]):
        hidden[:] = b1
        for i in range(x.shape[1]):
            for h in range(b1.size):
                hidden[h] += x[n, i] * w1[i, h]
        out = b2
        for h in range(b1.size):
            hidden[h] = math.tanh(hidden[h])
            out += w2[h] * hidden[h]
        total += 0.5 * (out - y[n]) ** 2
    return total / x.shape[0]


@case(W1, B1, W2, B2, X, Y, wrt="w1 b1 w2 b2", exact=network_gradient)
def network_of_arrays(w1, b1, w2, b2, x, y):
    hidden = np.tanh(x @ w1 + b1)
    return 0.5 * np.mean((hidden @ w2 + b2 - y) ** 2)


@case(W1[:, 0].copy(), 0.1, X, Y, 0.4, 5, wrt="w b rate")
def training_steps(w, b, x, y, rate, steps):
    """Gradient descent of one layer in the weights' own array, and the loss after it."""
    for _ in range(steps):
        out = np.tanh(x @ w + b)
        bar = (out - y) * (1.0 - out * out) / len(y)
        w -= rate * (x.T @ bar)
        b -= rate * np.sum(bar)
    return 0.5 * np.sum((np.tanh(x @ w + b) - y) ** 2) / len(y)


@case(0.5, -0.3, X[:, 0].copy(), Y, 0.1, 0.9, 8, wrt="a b rate momentum")
def training_with_momentum(a, b, x, y, rate, momentum, steps):
    """One neuron, y = tanh(a x + b), and the heavy ball."""
    va = 0.0
    vb = 0.0
    n = len(x)
    loss = 0.0
    for _ in range(steps):
        ga = 0.0
        gb = 0.0
        loss = 0.0
        for i in range(n):
            out = math.tanh(a * x[i] + b)
            loss += 0.5 * (out - y[i]) ** 2 / n
            bar = (out - y[i]) * (1.0 - out * out) / n
            ga += bar * x[i]
            gb += bar
        va = momentum * va - rate * ga
        vb = momentum * vb - rate * gb
        a += va
        b += vb
    return loss


def recurrent_gradient(w, u, b, x):
    """Elman's cell h = tanh(w h + u x + b) and the value |h|^2 / 2, through time."""
    path = [np.zeros(len(b))]
    for value in x:
        path.append(np.tanh(w @ path[-1] + u * value + b))
    bar = path[-1]
    by_w, by_u, by_b, by_x = np.zeros_like(w), np.zeros_like(u), np.zeros_like(b), np.zeros_like(x)
    for t in reversed(range(len(x))):
        inner = bar * (1.0 - path[t + 1] ** 2)
        by_w += np.outer(inner, path[t])
        by_u += inner * x[t]
        by_b += inner
        by_x[t] = inner @ u
        bar = w.T @ inner
    return by_w, by_u, by_b, by_x


@case(
    0.6 * RNG.normal(size=(3, 3)),
    RNG.normal(size=3),
    0.1 * RNG.normal(size=3),
    RNG.normal(size=6),
    wrt="w u b x",
    exact=recurrent_gradient,
)
def recurrent(w, u, b, x):
    h = np.zeros(b.shape)
    for value in x:
        h = np.tanh(np.dot(w, h) + u * value + b)
    return 0.5 * np.sum(h**2)


def convolution_gradient(image, kernel):
    """Of the sum of the squares of what a rectified filter gives, and the largest of each pair of rows is taken."""
    rows, columns = kernel.shape
    out = np.array(
        [
            [np.sum(image[i : i + rows, j : j + columns] * kernel) for j in range(image.shape[1] - columns + 1)]
            for i in range(image.shape[0] - rows + 1)
        ]
    )
    by_image, by_kernel = np.zeros_like(image), np.zeros_like(kernel)
    for i in range(0, out.shape[0], 2):
        for j in range(out.shape[1]):
            k = i if out[i, j] >= out[i + 1, j] else i + 1
            bar = 2.0 * max(out[k, j], 0.0)
            by_kernel += bar * image[k : k + rows, j : j + columns]
            by_image[k : k + rows, j : j + columns] += bar * kernel
    return by_image, by_kernel


@case(RNG.normal(size=(5, 5)), RNG.normal(size=(2, 3)), wrt="image kernel", exact=convolution_gradient)
def convolution(image, kernel):
    rows, columns = kernel.shape
    height, width = image.shape[0] - rows + 1, image.shape[1] - columns + 1
    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            for a in range(rows):
                for b in range(columns):
                    out[i, j] += image[i + a, j + b] * kernel[a, b]
    total = 0.0
    for i in range(0, height, 2):
        for j in range(width):
            total += max(out[i, j], out[i + 1, j], 0.0) ** 2
    return total
