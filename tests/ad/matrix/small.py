"""Arrays of few elements, whose number is known when the function is read."""

import math

import numpy as np
from cases import case, values

SIXTHS = np.array([1.0, 2.0, 2.0, 1.0]) / 6.0
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
BODIES = 2


# ------------------------------------------------------------------------------------ a state, step by step


@case(0.7, 0.3, 1.1, 4, spill=(0.7, 0.3, 1.1, 3000))
@case(0.7, 0.3, 1.1, 0, name="no step")
def runge_kutta(u, v, stiffness, steps):
    def rate(y):
        return np.array([y[1], -stiffness * math.sin(y[0])])

    h = 0.1
    y = np.array([u, v])
    for _ in range(steps):
        k1 = rate(y)
        k2 = rate(y + 0.5 * h * k1)
        k3 = rate(y + 0.5 * h * k2)
        k4 = rate(y + h * k3)
        y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return 0.5 * y[1] ** 2 - stiffness * math.cos(y[0])


def pendulum(y, length, out):
    out[0] = y[1]
    out[1] = -9.81 / length * np.sin(y[0])


@case(0.7, 0.3, 1.1, 3)
def stages_in_a_matrix(u, v, length, steps):
    h = 0.1
    y = np.array([u, v])
    k = np.empty((4, 2))
    for _ in range(steps):
        pendulum(y, length, k[0])
        pendulum(y + 0.5 * h * k[0], length, k[1])
        pendulum(y + 0.5 * h * k[1], length, k[2])
        pendulum(y + h * k[2], length, k[3])
        y += h * (SIXTHS @ k)
    return y[0] * y[1]


@case(0.3, -0.2, 1.2, 5)
def lorenz(x, y, z, steps):
    s = np.array([x, y, z])
    for _ in range(steps):
        d = np.empty_like(s)
        d[0] = 10.0 * (s[1] - s[0])
        d[1] = s[0] * (28.0 - s[2]) - s[1]
        d[2] = s[0] * s[1] - 8.0 / 3.0 * s[2]
        s += 0.01 * d
    return np.dot(s, s)


@case(0.9, 0.2, 6)
def leapfrog(x, y, steps):
    q, p = np.array([x, 0.0]), np.array([0.0, y])
    for _ in range(steps):
        p = p - 0.05 * q / np.sum(q * q) ** 1.5
        q = q + 0.1 * p
        p = p - 0.05 * q / np.sum(q**2) ** 1.5
    return np.dot(p, p) / 2.0 - 1.0 / np.sqrt(np.sum(q * q))


@case(values(4, 3), 0.4)
def kalman(measured, noise):
    transition = np.array([[1.0, 0.1], [0.0, 0.9]])
    x = np.zeros(2)
    p = np.eye(2)
    loss = 0.0
    for k in range(len(measured)):
        x = transition @ x
        p = transition @ p @ transition.T + 0.01 * np.ones((2, 2))
        error = measured[k, 0] - x[0]
        s = p[0, 0] + noise
        gain = p[:, 0] / s
        x = x + gain * error
        p = p - np.outer(gain, p[0])
        loss += error * error / s + math.log(s)
    return loss


@case(values(2), values(3, 2), 0.3)
def observed(start, data, h):
    y = np.array([start[0], start[1]])
    track = np.empty((len(data), 2))
    for k in range(len(data)):
        track[k] = y
        y = TURN @ y + h * y[::-1] * track[k]
    miss = 0.0
    for k in range(len(data)):
        d = track[k] - data[k]
        miss += d[0] * d[0] + d[1] ** 2
    return miss


@case(0.3, 0.9, 4)
def bodies(x, m, steps):
    position = np.array([[x, 0.5 * x], [-x, 0.2 * m]])
    velocity = np.zeros((BODIES, 2))
    mass = np.array([m, 1.5])
    for _ in range(steps):
        for i in range(BODIES):
            for j in range(i + 1, BODIES):
                d = position[i] - position[j]
                r2 = d[0] ** 2 + d[1] ** 2
                velocity[i] -= 0.1 * mass[j] * d / (r2 * math.sqrt(r2))
                velocity[j] += 0.1 * mass[i] * d / (r2 * math.sqrt(r2))
        position += 0.1 * velocity
    return np.sum(mass * (velocity * velocity).sum(axis=1))


# -------------------------------------------------------------------------------- what is written when


@case(0.7, 0.3)
def coupled(x, y):
    z = np.array([x, y, x * y])
    z = np.array([z[1] * z[2], z[0], z[0] + z[1]])
    z[0], z[2] = z[2], z[0] * z[1]
    return z[0] * z[1] - 2.0 * z[2]


@case(0.7, 0.3)
def reversed_in_place(x, y):
    z = np.array([x, y, x * y, 0.5])
    z[:] = z[::-1]
    z[1:] = z[:-1] * z[0]
    z[::2] += z[1::2]
    z[-1] -= z[0]
    return np.sum(z * np.array([1.0, 2.0, 3.0, 4.0]))


@case(0.7, 0.3)
def second_name(x, y):
    z = np.array([x, y])
    w = z
    z[0] = x * w[1]
    v = z.copy()
    v[1] *= w[0]
    return w[0] * z[1] * v[1]


@case(0.7, 0.3)
def kept_view(x, y):
    z = np.array([x, y, x * y])
    tail = z[1:]
    tail[0] = z[0] * 3.0
    z[2] *= tail[0]
    return tail[1] + z[1]


@case(0.7, 4)
def swapped(x, n):
    u, v = np.array([x, 1.0]), np.array([0.5, x * x])
    for _ in range(n):
        v[0] = u[0] * v[1]
        u, v = v, u
    return u[0] - 3.0 * v[0] * v[1]


@case(0.7, 3, False)
@case(0.7, 0, True, name="other")
def in_branches(x, n, other):
    if other:
        z = np.array([x, 2.0])
    else:
        z = np.full(2, x * x)
    for i in range(n):
        if z[0] > 0.4:
            z[0] *= 0.8
            continue
        z = z + np.array([0.1 * x, z[0]])
        if z[1] > 3.0:
            break
    return z[0] * z[1]


def halved(y, x):
    if y[0] > 0.5:
        return 0.5 * y
    return np.array([y[0], x])


@case(0.7, 0.3)
@case(0.3, 0.7, name="other")
def early_return(x, y):
    z = halved(np.array([x, y]), y)
    z = halved(z * 1.5, x)
    return z[0] + z[1] * z[1]


@case(0.7, 2)
@case(0.7, 0, name="no trip")
def made_in_a_loop(x, n):
    z = np.zeros(2)
    for i in range(n):
        z = np.array([x * i, z[0] + x])
    return z[0] * x + z[1]


@case(0.7, 0.3)
def of_few_trips(x, y):
    z = np.empty(3)
    m = np.zeros((3, 3))
    for i in range(3):
        z[i] = x**i + y
    for i in range(3):
        for j in range(i, len(z)):
            m[i, j] = z[i] * z[j]
            if i != j:
                m[j, i] = m[i, j] * y
    for k in range(2, 0, -1):
        z[k] += z[k - 1]
    return np.sum(m @ z) + np.trace(m) * x


@case(0.7, 0.3)
def over_elements(x, y):
    z, s = np.array([x, y, x - y]), 0.0
    a, b, c = z
    for v in z:
        s += v * a
    for i, v in enumerate(z):
        s += i * v * b
    for v, w in zip(z, z[::-1]):
        s += v * w
    return s * c


# ------------------------------------------------------------------------------------------- whole arrays


@case(0.7, 0.3)
def reductions(x, y):
    z = np.array([x, y, -0.4, x * y])
    m = np.array([[x, y], [0.4, x + y]])
    s = z.sum() + np.mean(z * z) + np.prod(z[:2] + 1.0) + np.max(z) * np.min(z)
    s += np.sum(m, axis=0)[1] * m.sum(axis=1)[0]
    return s if np.all(z < 1.0) and np.any(m > 0.4) else 0.0


@case(0.7, 0.3)
def products(x, y):
    a = np.array([[x, 1.0], [y, x * y]])
    v = np.array([y, 2.0])
    w = a @ v + v @ a
    b = a.T @ np.array([[x], [y]])
    return np.dot(w, v) * b[1, 0] + np.sum(np.outer(v, w) * a)


@case(0.7, 0.3)
def moved(x, y):
    z = np.array([x, y, x * y, 1.0])
    m = z.reshape(2, 2)
    t = np.concatenate((z[1:], np.array([x])))
    u = np.stack((z[:2], t[2:]))
    return np.sum(np.roll(z, 1) * np.flip(t)) + np.sum(u * m.T) + np.sum(np.transpose(u)[1])


@case(0.7, 0.3)
def broadcast(x, y):
    row = np.array([x, y, 0.5])
    m = row * row[:2, None] + row[np.newaxis, 0]
    return np.sum(m * np.ones((1, 3))) * np.sum((m - m.mean()) ** 2)


@case(0.7, 0.3)
def functions_by_element(x, y):
    z = np.array([x, y, 0.2])
    w = np.exp(-z) * np.sin(z) + np.maximum(z, 0.25) / (1.0 + np.abs(z - 0.4)) + z**3 - np.sqrt(z) % 0.3
    return np.sum(np.where(z > 0.25, w * z, 2.0 * w) * np.arctan2(z, w))


@case(0.7, 0.3)
def chosen_with_roots(x, y):
    z = np.array([x, y, 0.2])
    return np.sum(np.where(z > 0.1, np.sqrt(z), 0.0) * z)


@case(0.7, 0.3)
def of_kinds(x, y):
    counts = np.array([1, 2, 3])
    counts[1] += 2
    large = np.array([x, y, 0.5]) > 0.4
    z = 1j * np.array([x, y]) + x
    z[1] *= z[0]
    halves = counts / 2
    return np.sum(halves * large) * x + (z[0] * z[1]).real + np.abs(z[1]) * np.sum(counts)


@case(values(5), 0.4)
def with_large_arrays(a, x):
    z = np.array([x, 2.0 * x])
    a[1:3] += z * a[3:5]
    a[0] = np.sum(z) * a[4]
    z[1] = a[0]
    b = a * z[1] + z[0]
    return np.sum(b * a)


def norm(y):
    return math.sqrt(y[0] * y[0] + y[1] * y[1])


@case(0.7, 0.3)
def given_to_a_function(x, y):
    z = np.array([x, y])
    s = norm(z) * norm(2.0 * z)
    z[0] *= s
    return norm(z) + z[0]


@case(0.7, 0.3)
def needed_as_arrays(x, y):
    z = np.array([x, y, 0.5])
    k = 0
    while z[k] > 0.4:
        k += 1
    w = np.sort(z)
    v = np.cumsum(w * z)
    return v[k] * w[0] + np.sum(v)


@case(values(5), np.array([3, 0, 4]), 0.7)
def from_an_index_array(w, at, x):
    q = np.full(3, x)
    p = w[at] * q
    q[0:3] = w[at]
    return np.sum(q * q) + np.sum(p * q)
