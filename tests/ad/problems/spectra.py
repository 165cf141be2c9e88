"""Discrete Fourier and cosine transforms by loops.

For the value sum_k w_k |X_k|^2, X = DFT(x) of a real signal, the gradient is 2 Re DFT(w conj(X)); for a linear
transform C with the value 1/2 |C x - y|^2 it is C^T (C x - y).  The FFT is that of J. W. Cooley and J. W. Tukey,
Mathematics of Computation 19 (1965), with the signal put into bit-reversed order in place.
"""

import math

import numpy as np
from scipy.fft import dct

from problems.case import case

RNG = np.random.default_rng(14)
N = 8
SIGNAL = RNG.normal(size=N)
WEIGHTS = RNG.uniform(0.5, 1.5, N)
TARGET = RNG.normal(size=N)


def power_spectrum_gradient(x, w):
    spectrum = np.fft.fft(x)
    return 2.0 * np.real(np.fft.fft(w * np.conj(spectrum))), np.abs(spectrum) ** 2


@case(SIGNAL, WEIGHTS, wrt="x w", exact=power_spectrum_gradient)
def dft_by_scalars(x, w):
    n = len(x)
    total = 0.0
    for k in range(n):
        real = 0.0
        imaginary = 0.0
        for j in range(n):
            angle = 2.0 * math.pi * k * j / n
            real += x[j] * math.cos(angle)
            imaginary -= x[j] * math.sin(angle)
        total += w[k] * (real * real + imaginary * imaginary)
    return total


@case(SIGNAL, WEIGHTS, wrt="x w", exact=power_spectrum_gradient)
def dft_into_arrays(x, w):
    n = len(x)
    spectrum = np.zeros((n, 2))
    for k in range(n):
        for j, value in enumerate(x):
            angle = 2.0 * math.pi * ((k * j) % n) / n
            spectrum[k, 0] += value * math.cos(angle)
            spectrum[k, 1] -= value * math.sin(angle)
    return np.sum(w * (spectrum[:, 0] ** 2 + spectrum[:, 1] ** 2))


@case(SIGNAL, WEIGHTS, wrt="x w", exact=power_spectrum_gradient, analytic=False)
def dft_of_complex_numbers(x, w):
    n = len(x)
    total = 0.0
    for k in range(n):
        s = 0.0 + 0.0j
        for j in range(n):
            s += x[j] * np.exp(-2.0j * np.pi * k * j / n)
        total += w[k] * (s.real**2 + s.imag**2)
    return total


@case(SIGNAL, WEIGHTS, wrt="x w", exact=power_spectrum_gradient)
def fft_in_place(x, w):
    n = len(x)
    real, imaginary = x.copy(), np.zeros(n)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            real[i], real[j] = real[j], real[i]
    length = 2
    while length <= n:
        for start in range(0, n, length):
            for k in range(length // 2):
                c, s = math.cos(2.0 * math.pi * k / length), -math.sin(2.0 * math.pi * k / length)
                a, b = start + k, start + k + length // 2
                re = real[b] * c - imaginary[b] * s
                im = real[b] * s + imaginary[b] * c
                real[b], imaginary[b] = real[a] - re, imaginary[a] - im
                real[a] += re
                imaginary[a] += im
        length *= 2
    return np.sum(w * (real**2 + imaginary**2))


def cosine_gradient(x, y):
    matrix = dct(np.eye(len(x)), type=2, axis=0) / 2.0
    r = matrix @ x - y
    return matrix.T @ r, -r


@case(SIGNAL, TARGET, wrt="x y", exact=cosine_gradient)
def cosine_transform(x, y):
    n = len(x)
    total = 0.0
    for k in range(n):
        s = 0.0
        for j in range(n):
            s += x[j] * math.cos(math.pi * k * (2 * j + 1) / (2 * n))
        total += 0.5 * (s - y[k]) ** 2
    return total


@case(SIGNAL, TARGET, wrt="x y", exact=cosine_gradient)
def cosine_transform_by_chebyshev(x, y):
    """cos(k a) by the recurrence, for all k at once: rows of a table."""
    n = len(x)
    table = np.ones((n, n))
    for j in range(n):
        table[1, j] = math.cos(math.pi * (2 * j + 1) / (2 * n))
    for k in range(2, n):
        table[k] = 2.0 * table[1] * table[k - 1] - table[k - 2]
    r = np.dot(table, x) - y
    return 0.5 * np.dot(r, r)
