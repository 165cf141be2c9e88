"""What is known of the shapes of arrays, where it must not be taken to be known, and what follows for adjoints."""

import numpy as np
import pytest
from interpreter import interpreted_gradient
from reference import active, assert_near, dual_gradient, fresh

import ad

X = np.array([0.3, 0.1, -0.2, 0.5])
Y = np.array([0.7, -0.4, 0.2, 0.9])


def gates(w, x, out, steps):
    """What is written to a row fits into it, so all lengths are those of the row."""
    bias = np.full_like(out, 0.1)
    out = out.copy()
    for k in range(steps):
        a = np.exp(-(x * w + bias[k % 2]))
        b = 1.0 / (1.0 + a)
        out[k % 2] = out[k % 2] * b + a * x
    return np.sum(out * out)


def leaves_before_the_store(x, y, out, stop):
    out = out.copy()
    total = 0.0
    for k in range(stop + 1):
        a = x * y
        b = a * a * out
        total += np.sum(b * b)
        if k == stop:
            break
        out[:] = b
    return total + np.sum(out)


def shorter_and_shorter(x, steps):
    total = 0.0
    for k in range(steps):
        part = x[k:] * 2.0
        square = part * part
        if k % 2 == 0:
            total += np.sum(square * part)
        else:
            total += np.sum(np.sin(part))
    return total


def one_branch_has_no_use_for_it(x, steps):
    total = 0.0
    for k in range(steps):
        a = np.sin(x[: k + 1])
        if k % 2 == 0:
            b = a * a
            total += np.sum(b * a)
        total += 0.5
    return total


def grows_on_the_way(x, y, steps):
    u = x * 2.0
    for _ in range(steps):
        v = u * y
        u = v + 0.5 * u * v
    return np.sum(u * u)


def of_a_branch(x, y, k):
    a = x * 2.0 if k > 0 else y * 3.0
    b = a * y
    return np.sum(b * b)


def reduced(x, steps):
    n = len(x)
    for _ in range(steps):
        d = np.reshape(x, (1, n)) - np.reshape(x, (n, 1))
        pull = np.sum(np.reshape(d * d, (n, n, 1)) * np.reshape(d, (n, n, 1)), axis=1)
        x = x + 0.1 * np.sum(pull, axis=1)
    return np.sum(x * x)


def means(x, a):
    rows = np.mean(a * x, axis=1)
    return np.mean(rows * rows) + np.mean(np.sum(a, axis=0, keepdims=True) * a)


def a_sum_of_a_smaller_array(x, a):
    """The adjoint of what is summed must be as large as that: it is added up for the number."""
    s = np.sin(x[0])
    b = s + a
    c = np.exp(b) * s
    return np.sum(c) + np.sum(s + a * s)


def added_to_itself(x, steps):
    """The adjoint of the sum is that of its first part, and grows while the second one is still to be done."""
    for _ in range(steps):
        y = x * x
        z = x + y
        x = np.sin(z) + x * z
    return np.sum(x)


def lengths_that_are_numbers(x, n, m):
    a = np.zeros((n, m)) + x[0]
    b = np.ones(m) * x[1]
    c = a * b
    d = np.reshape(c, (m, -1))
    return np.sum(d * d) + np.sum(c.T @ a)


CASES = {
    "rows": (gates, (Y, X, np.ones((2, 4)), 3)),
    "rows, weights of one": (gates, (Y[:1], X, np.ones((2, 4)), 3)),
    "rows, everything of one": (gates, (Y[:1], X[:1], np.ones((2, 1)), 3)),
    "rows, values of one": (gates, (Y[:1], X[:1], np.ones((2, 4)), 3)),
    "leaves before the store": (leaves_before_the_store, (X[:1], Y[:1], np.ones(4), 2)),
    "leaves before the store, long": (leaves_before_the_store, (X, Y[:1], np.ones(1), 0)),
    "shorter and shorter": (shorter_and_shorter, (X, 3)),
    "one branch has no use for it": (one_branch_has_no_use_for_it, (X, 4)),
    "grows": (grows_on_the_way, (X[:1], Y, 2)),
    "grows, the other": (grows_on_the_way, (X, Y[:1], 2)),
    "of a branch": (of_a_branch, (X[:1], Y, 1)),
    "of the other branch": (of_a_branch, (X[:1], Y, 0)),
    "reduced": (reduced, (X, 2)),
    "means": (means, (X, np.outer(X, Y))),
    "means, one": (means, (X[:1], np.outer(X, Y))),
    "a sum of a smaller array": (a_sum_of_a_smaller_array, (X, Y)),
    "added to itself": (added_to_itself, (X, 2)),
    "lengths that are numbers": (lengths_that_are_numbers, (X, 2, 3)),
}


def gradient(function, arguments):
    """Derivatives by the adjoint as plain Python, and its text."""
    return interpreted_gradient(function, fresh(arguments), active(arguments))[1:]


@pytest.mark.parametrize("function, arguments", CASES.values(), ids=CASES)
def test_the_gradient_is_right(function, arguments):
    _, expected = dual_gradient(function, arguments, active(arguments))
    assert_near(gradient(function, arguments)[0], expected)


@pytest.mark.parametrize("name", ["rows", "leaves before the store", "means"])
def test_compiled(name):
    ad.check_grads(*CASES[name])


def back(function, arguments):
    return gradient(function, arguments)[1].split("# reverse sweep")


def test_what_is_stored_tells_lengths():
    forward, reverse = back(*CASES["rows"])
    assert "push_shape" not in forward
    assert "a_b = g * x" in reverse and "b_b = g * out_1[" in reverse


def test_but_not_where_the_loop_may_end_before():
    _, reverse = back(*CASES["leaves before the store"])
    assert "a_b = reduced_to(" in reverse


def test_adjoints_of_sums_are_not_spread():
    _, reverse = back(*CASES["reduced"])
    assert "np.zeros_like(" not in reverse.split("for _ in")[1]


def test_contents_that_only_tell_a_shape_are_not_recorded():
    def total(x, steps):
        s = 0.0
        for k in range(steps):
            x = np.sin(x)
            s += np.mean(x + k)
        return s

    g = ad.grad(total)
    g(X, 3)
    assert g.source.count("push_array(") == 1  # what the sine is of
