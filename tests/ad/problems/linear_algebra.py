"""Linear algebra by loops in place; the gradients are those of the mathematical function.

M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic differentiation (2008): for
A x = b and the value w^T x, lambda = A^-T w is the gradient with respect to b and -lambda x^T that with respect to A;
d det A = det A tr(A^-1 dA); d A^-1 = -A^-1 dA A^-1.  An eigenvalue of a symmetric matrix has the gradient v v^T.
The algorithms as in G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013).
"""

import math

import numpy as np

from problems.case import case

RNG = np.random.default_rng(13)
N = 5
MATRIX = RNG.normal(size=(N, N))
MATRIX[0, 0] = 0.01  # so that the rows must change places
RIGHT = RNG.normal(size=N)
WEIGHTS = RNG.normal(size=N)
POSITIVE = MATRIX @ MATRIX.T + np.eye(N)
LOWER, UPPER = RNG.normal(size=N), RNG.normal(size=N)
DIAGONAL = 4.0 + RNG.uniform(size=N)


# ---------------------------------------------------------------------------------------------- linear systems


def solve_gradient(a, b, w):
    x, multipliers = np.linalg.solve(a, b), np.linalg.solve(a.T, w)
    return -np.outer(multipliers, x), multipliers, x


def thomas_gradient(lower, diagonal, upper, b, w):
    """The parts of that of the full matrix; lower[0] and upper[-1] are not used."""
    full = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    by_a, by_b, by_w = solve_gradient(full, b, w)
    return np.append(0.0, np.diag(by_a, -1)), np.diag(by_a), np.append(np.diag(by_a, 1), 0.0), by_b, by_w


@case(LOWER, DIAGONAL, UPPER, RIGHT, WEIGHTS, wrt="lower diagonal upper b w", exact=thomas_gradient)
def thomas(lower, diagonal, upper, b, w):
    """Diagonal and right side are overwritten."""
    n = len(b)
    for i in range(1, n):
        m = lower[i] / diagonal[i - 1]
        diagonal[i] -= m * upper[i - 1]
        b[i] -= m * b[i - 1]
    b[n - 1] /= diagonal[n - 1]
    for i in range(n - 2, -1, -1):
        b[i] = (b[i] - upper[i] * b[i + 1]) / diagonal[i]
    total = 0.0
    for i in range(n):
        total += w[i] * b[i]
    return total


@case(MATRIX, RIGHT, WEIGHTS, wrt="a b w", exact=solve_gradient)
def gauss_by_elements(a, b, w):
    """Partial pivoting; rows change places element by element."""
    n = len(b)
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[p, k]):
                p = i
        if p != k:
            for j in range(k, n):
                a[k, j], a[p, j] = a[p, j], a[k, j]
            b[k], b[p] = b[p], b[k]
        for i in range(k + 1, n):
            m = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= m * a[k, j]
            b[i] -= m * b[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]
    return np.dot(w, b)


@case(MATRIX, RIGHT, WEIGHTS, wrt="a b w", exact=solve_gradient)
def gauss_by_rows(a, b, w):
    """Partial pivoting on a copy with the right side as its last column; rows are copied and subtracted whole."""
    n = len(b)
    work = np.empty((n, n + 1))
    work[:, :n] = a
    work[:, n] = b
    for k in range(n - 1):
        p = k
        for i in range(k + 1, n):
            if abs(work[i, k]) > abs(work[p, k]):
                p = i
        if p != k:
            row = work[k].copy()
            work[k] = work[p]
            work[p] = row
        for i in range(k + 1, n):
            work[i, k:] -= work[i, k] / work[k, k] * work[k, k:]
    total = 0.0
    x = work[:, n]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= work[i, j] * x[j]
        x[i] /= work[i, i]
        total += w[i] * x[i]
    return total


@case(MATRIX, RIGHT, WEIGHTS, wrt="a b w", exact=solve_gradient)
def gauss_by_permutation(a, b, w):
    """Rows stay where they are; a permutation says in which order they count."""
    n = len(b)
    a, b = a.copy(), b.copy()
    order = np.arange(n)
    for k in range(n):
        for i in range(k + 1, n):
            if abs(a[order[i], k]) > abs(a[order[k], k]):
                order[i], order[k] = order[k], order[i]
        for i in range(k + 1, n):
            m = a[order[i], k] / a[order[k], k]
            for j in range(k, n):
                a[order[i], j] -= m * a[order[k], j]
            b[order[i]] -= m * b[order[k]]
    x = np.empty(n)
    for i in range(n - 1, -1, -1):
        s = b[order[i]]
        for j in range(i + 1, n):
            s -= a[order[i], j] * x[j]
        x[i] = s / a[order[i], i]
    return np.sum(w * x)


def cramer_gradient(a, b, w):
    by_a, by_b, by_w = solve_gradient(a.reshape(3, 3), b, w)
    return by_a.ravel(), by_b, by_w


@case(MATRIX[1:4, 1:4].ravel(), RIGHT[:3], WEIGHTS[:3], wrt="a b w", exact=cramer_gradient)
def cramer(a, b, w):
    """Three unknowns by cofactors, row by row."""
    det = a[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (a[3] * a[8] - a[5] * a[6]) + a[2] * (a[3] * a[7] - a[4] * a[6])
    x = b[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (b[1] * a[8] - a[5] * b[2]) + a[2] * (b[1] * a[7] - a[4] * b[2])
    y = a[0] * (b[1] * a[8] - a[5] * b[2]) - b[0] * (a[3] * a[8] - a[5] * a[6]) + a[2] * (a[3] * b[2] - b[1] * a[6])
    z = a[0] * (a[4] * b[2] - b[1] * a[7]) - a[1] * (a[3] * b[2] - b[1] * a[6]) + b[0] * (a[3] * a[7] - a[4] * a[6])
    return (w[0] * x + w[1] * y + w[2] * z) / det


# ---------------------------------------------------------------------------------------- determinants, inverses


def determinant_gradient(a):
    return np.linalg.det(a) * np.linalg.inv(a).T


@case(MATRIX, wrt="a", exact=determinant_gradient)
def determinant(a):
    n = a.shape[0]
    a = a.copy()
    det = 1.0
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[p, k]):
                p = i
        if a[p, k] == 0.0:
            return 0.0
        if p != k:
            det = -det
            for j in range(n):
                a[k, j], a[p, j] = a[p, j], a[k, j]
        det *= a[k, k]
        for i in range(k + 1, n):
            m = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= m * a[k, j]
    return det


def log_determinant_gradient(a):
    """The program reads the lower triangle, and each element below the diagonal stands for two."""
    inverse = np.linalg.inv(a)
    return np.tril(2.0 * inverse) - np.diag(np.diag(inverse))


@case(POSITIVE, wrt="a", exact=log_determinant_gradient)
def cholesky_log_determinant(a):
    n = a.shape[0]
    l = np.zeros((n, n))  # noqa: E741
    total = 0.0
    for j in range(n):
        s = a[j, j]
        for k in range(j):
            s -= l[j, k] * l[j, k]
        l[j, j] = math.sqrt(s)
        total += 2.0 * math.log(l[j, j])
        for i in range(j + 1, n):
            s = a[i, j]
            for k in range(j):
                s -= l[i, k] * l[j, k]
            l[i, j] = s / l[j, j]
    return total


@case(POSITIVE, wrt="a", exact=log_determinant_gradient)
def cholesky_in_place(a):
    """Column by column (right-looking), in the matrix itself."""
    n = a.shape[0]
    for k in range(n):
        a[k, k] = np.sqrt(a[k, k])
        a[k + 1 :, k] /= a[k, k]
        for j in range(k + 1, n):
            a[j:, j] -= a[j:, k] * a[j, k]
    total = 0.0
    for k in range(n):
        total += np.log(a[k, k])
    return 2.0 * total


def gaussian_process_gradient(x, y, length, amplitude, noise):
    """C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equation 5.9."""
    square = (x[:, None] - x) ** 2
    kernel = amplitude**2 * np.exp(-0.5 * square / length**2)
    inverse = np.linalg.inv(kernel + noise**2 * np.eye(len(x)))
    alpha = inverse @ y
    outer = np.outer(alpha, alpha) - inverse
    slopes = kernel * square / length**3, 2.0 * kernel / amplitude, 2.0 * noise * np.eye(len(x))
    by_x = np.sum(outer * -kernel * (x[:, None] - x) / length**2, axis=1)
    return by_x, -alpha, *(0.5 * np.sum(outer * slope) for slope in slopes)


@case(
    np.sort(RNG.uniform(0.0, 3.0, 6)),
    RNG.normal(size=6),
    0.8,
    1.2,
    0.4,
    wrt="x y length amplitude noise",
    exact=gaussian_process_gradient,
)
def gaussian_process(x, y, length, amplitude, noise):
    """Log marginal likelihood, by Cholesky in a packed triangle and one forward substitution."""
    n = len(x)
    packed = np.empty(n * (n + 1) // 2)
    z = np.empty(n)
    total = -0.5 * n * math.log(2.0 * math.pi)
    for i in range(n):
        row = i * (i + 1) // 2
        v = y[i]
        for j in range(i + 1):
            column = j * (j + 1) // 2
            s = amplitude**2 * math.exp(-0.5 * ((x[i] - x[j]) / length) ** 2)
            if i == j:
                s += noise**2
            for k in range(j):
                s -= packed[row + k] * packed[column + k]
            if i == j:
                packed[row + j] = math.sqrt(s)
            else:
                packed[row + j] = s / packed[column + j]
                v -= packed[row + j] * z[j]
        z[i] = v / packed[row + i]
        total -= math.log(packed[row + i]) + 0.5 * z[i] * z[i]
    return total


def inverse_gradient(a, weights):
    inverse = np.linalg.inv(a)
    return -inverse.T @ weights @ inverse.T, inverse


@case(MATRIX, RNG.normal(size=(N, N)), wrt="a weights", exact=inverse_gradient)
def gauss_jordan(a, weights):
    """The inverse next to the matrix, with pivots in the order of the largest."""
    n = a.shape[0]
    work = np.zeros((n, 2 * n))
    for i in range(n):
        for j in range(n):
            work[i, j] = a[i, j]
        work[i, n + i] = 1.0
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(work[i, k]) > abs(work[p, k]):
                p = i
        for j in range(2 * n):
            swap = work[k, j]
            work[k, j] = work[p, j]
            work[p, j] = swap
        pivot = work[k, k]
        for j in range(2 * n):
            work[k, j] /= pivot
        for i in range(n):
            if i == k:
                continue
            m = work[i, k]
            for j in range(2 * n):
                work[i, j] -= m * work[k, j]
    return np.sum(weights * work[:, n:])


# ------------------------------------------------------------------------------------------------- eigenvalues

SPECTRUM = np.array([8.0, 1.5, 1.0, 0.5, 0.2])
BASIS = np.linalg.qr(MATRIX)[0]
SYMMETRIC = BASIS * SPECTRUM @ BASIS.T


def largest_eigenvalue_gradient(a):
    """For a perturbation of any form: right and left eigenvectors are the same."""
    v = np.linalg.eigh(a)[1][:, -1]
    return np.outer(v, v)


@case(SYMMETRIC, wrt="a", exact=largest_eigenvalue_gradient)
def power_iteration(a):
    n = a.shape[0]
    v, w = np.full(n, 1.0 / math.sqrt(n)), np.empty(n)
    change = 1.0
    while change > 1e-28:
        square = 0.0
        for i in range(n):
            w[i] = 0.0
            for j in range(n):
                w[i] += a[i, j] * v[j]
            square += w[i] * w[i]
        change = 0.0
        for i in range(n):
            w[i] /= math.sqrt(square)
            change += (w[i] - v[i]) ** 2
        v, w = w, v
    value = 0.0
    for i in range(n):
        for j in range(n):
            value += v[i] * a[i, j] * v[j]
    return value


@case(SYMMETRIC, wrt="a", exact=largest_eigenvalue_gradient)
def power_iteration_of_arrays(a):
    v = np.ones(len(a))
    for _ in range(30):
        v = a @ v
        v /= np.sqrt(np.sum(v**2))
    return v @ a @ v
