"""Generalized linear models: least squares, logistic, Poisson and multinomial regression, and Huber's loss.

P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed. (1989): with the canonical link the gradient of the
negative log-likelihood is X^T (mu - y), where mu is the mean that the model gives; with X w = eta, mu is eta, 1 / (1 +
exp(-eta)), exp(eta) or softmax(eta).  Huber's loss: P. J. Huber, Annals of Mathematical Statistics 35 (1964); its
gradient is -X^T clip(y - X w, -k, k).
"""

import math

import numpy as np

from problems.case import case

RNG = np.random.default_rng(6)
N, D, CLASSES = 12, 4, 3
X = RNG.normal(size=(N, D))
W = RNG.normal(size=D)
Y = X @ W + RNG.normal(size=N)
LABELS = RNG.integers(0, 2, N)
COUNTS = RNG.poisson(2.0, N)
LOG_FACTORIALS = np.array([math.lgamma(c + 1.0) for c in COUNTS])
CLASS = RNG.integers(0, CLASSES, N)
MATRIX = RNG.normal(size=(D, CLASSES))


# ---------------------------------------------------------------------------------------------- least squares


def least_squares_gradient(w, x, y):
    x = x.reshape(len(y), -1)
    r = x @ w - y
    return x.T @ r, np.outer(r, w).reshape(x.shape), -r


def least_squares_flat_gradient(w, x, y):
    by_w, by_x, by_y = least_squares_gradient(w, x, y)
    return by_w, by_x.ravel(), by_y


@case(W, X.ravel(), Y, wrt="w x y", exact=least_squares_flat_gradient)
def least_squares(w, x, y):
    d = len(w)
    total = 0.0
    for i in range(len(y)):
        r = -y[i]
        for j in range(d):
            r += x[i * d + j] * w[j]
        total += 0.5 * r * r
    return total


@case(W, X, Y, wrt="w x y", exact=least_squares_gradient)
def least_squares_of_arrays(w, x, y):
    r = x @ w - y
    return 0.5 * np.dot(r, r)


@case(W, X, Y, wrt="w x y", exact=least_squares_gradient)
def least_squares_in_place(w, x, y):
    """The residual is accumulated column by column in the data's own array."""
    for j in range(x.shape[1]):
        y -= x[:, j] * w[j]
    return 0.5 * np.sum(y**2)


# ---------------------------------------------------------------------------------------------------- logistic


def logistic_gradient(w, x, labels, penalty):
    x = x.reshape(len(labels), -1)
    return x.T @ (1.0 / (1.0 + np.exp(-x @ w)) - labels) + penalty * w, 0.5 * w @ w


@case(W, X.ravel(), LABELS, 0.3, wrt="w penalty", exact=logistic_gradient)
def logistic(w, x, labels, penalty):
    d = len(w)
    total = 0.0
    for i in range(len(labels)):
        eta = 0.0
        for j in range(d):
            eta += x[i * d + j] * w[j]
        if labels[i] == 1:
            total += math.log1p(math.exp(-eta))
        else:
            total += math.log1p(math.exp(eta))
    for j in range(d):
        total += 0.5 * penalty * w[j] ** 2
    return total


@case(W, X, LABELS, 0.3, wrt="w penalty", exact=logistic_gradient)
def logistic_of_arrays(w, x, labels, penalty):
    eta = np.dot(x, w)
    return np.sum(np.log(1.0 + np.exp(eta)) - labels * eta) + 0.5 * penalty * np.sum(w * w)


# ----------------------------------------------------------------------------------------------------- Poisson


def poisson_gradient(w, x, counts, *rest):
    x = x.reshape(len(counts), -1)
    return x.T @ (np.exp(x @ w) - counts)


@case(W, X.ravel(), COUNTS, wrt="w", exact=poisson_gradient)
def poisson(w, x, counts):
    d = len(w)
    total = 0.0
    for i in range(len(counts)):
        eta = 0.0
        for j in range(d):
            eta += x[i * d + j] * w[j]
        total += math.exp(eta) - counts[i] * eta + math.lgamma(counts[i] + 1.0)
    return total


@case(W, X, COUNTS, LOG_FACTORIALS, wrt="w", exact=poisson_gradient)
def poisson_of_rows(w, x, counts, log_factorials):
    total = 0.0
    for row, count, constant in zip(x, counts, log_factorials):
        eta = np.sum(row * w)
        total += np.exp(eta) - count * eta + constant
    return total


# ------------------------------------------------------------------------------------------------- multinomial


def softmax_gradient(w, x, classes):
    x, shape = x.reshape(len(classes), -1), w.shape
    eta = x @ w.reshape(x.shape[1], -1)
    p = np.exp(eta - eta.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(classes)), classes] -= 1.0
    return (x.T @ p).reshape(shape) / len(classes)


@case(MATRIX.ravel(), X.ravel(), CLASS, wrt="w", exact=softmax_gradient)
def softmax_cross_entropy(w, x, classes):
    n = len(classes)
    d = len(x) // n
    k = len(w) // d
    total = 0.0
    for i in range(n):
        right = 0.0
        s = 0.0
        for c in range(k):
            eta = 0.0
            for j in range(d):
                eta += x[i * d + j] * w[j * k + c]
            s += math.exp(eta)
            if c == classes[i]:
                right = eta
        total += math.log(s) - right
    return total / n


@case(MATRIX, X, CLASS, wrt="w", exact=softmax_gradient)
def softmax_cross_entropy_of_arrays(w, x, classes):
    eta = x @ w
    total = 0.0
    for i in range(x.shape[0]):
        shifted = eta[i] - np.max(eta[i])
        p = np.exp(shifted)
        p /= p.sum()
        total -= np.log(p[classes[i]])
    return total / x.shape[0]


# ------------------------------------------------------------------------------------------------------- Huber


def huber_gradient(w, x, y, width):
    x = x.reshape(len(y), -1)
    return -x.T @ np.clip(y - x @ w, -width, width)


@case(W, X.ravel(), Y, 0.6, wrt="w", exact=huber_gradient)
def huber(w, x, y, width):
    d = len(w)
    total = 0.0
    for i in range(len(y)):
        r = y[i]
        for j in range(d):
            r -= x[i * d + j] * w[j]
        if abs(r) <= width:
            total += 0.5 * r * r
        else:
            total += width * (abs(r) - 0.5 * width)
    return total


@case(W, X, Y, 0.6, wrt="w", exact=huber_gradient)
def huber_of_arrays(w, x, y, width):
    r = np.abs(y - x @ w)
    return np.sum(np.where(r <= width, 0.5 * r**2, width * (r - 0.5 * width)))
