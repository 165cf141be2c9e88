"""Arrays that the reverse sweep makes again, and adjoints whose shapes are known."""

import numpy as np
import pytest
from interpreter import interpreted_gradient
from reference import active, assert_near, dual_gradient, fresh

import ad


def ring(u, c, steps):
    for _ in range(steps):
        left = np.roll(u, steps)
        u = u - c * u * (u - left) + 0.1 * (np.roll(u, -steps) - 2.0 * u + left)
    return np.sum(u * u)


def chain(u, steps):
    for _ in range(steps):
        row = np.reshape(u, (1, len(u)))
        d = row - np.reshape(u, (len(u), 1))
        u = u + 0.1 * np.sum(d * d * d, axis=0)
    return np.sum(u * u)


def changed_between(u, steps):
    for _ in range(steps):
        left = np.roll(u, 1)
        u = 0.5 * u * u
        u = u + left * left
    return np.sum(u * u)


def all_cheap(u, steps):
    for _ in range(steps):
        left = np.roll(u, 1)
        a = left * left
        b = a * left
        c = b * left
        u = 0.1 * u + 0.01 * (a + b + c)
    return np.sum(u * u)


def expensive(u, steps):
    for _ in range(steps):
        e = np.exp(np.sin(u))
        u = u - 0.1 * e * e
    return np.sum(u * u)


def repeated(u, v, steps):
    for _ in range(steps):
        w = u + v
        v = 0.5 * v * np.sum(w * w)
    return np.sum(v * v)


def grows(u, v, steps):
    for _ in range(steps):
        u = 0.5 * u * v + u
    return np.sum(u * u)


def branches(u, steps):
    for k in range(steps):
        half = 0.5 * u
        if k % 2 == 0:
            u = half * half + u
        else:
            u = half * u
    return np.sum(u)


def rows(w, x):
    for k in range(len(w)):
        r = np.reshape(w[k], (2, 2))
        x = np.tanh(x * r[0] + r[1])
    return np.sum(x)


VALUES = np.array([0.3, 0.1, -0.2, 0.5])
CASES = {
    ring: (VALUES, 0.3, 3),
    chain: (VALUES, 3),
    changed_between: (VALUES, 3),
    all_cheap: (VALUES, 3),
    expensive: (VALUES, 3),
    repeated: (VALUES[:1], VALUES, 2),
    grows: (VALUES, VALUES[:1], 3),
    rows: (np.vstack([VALUES, VALUES[::-1], 2.0 * VALUES]), VALUES[:2]),
    branches: (VALUES, 4),
}


def gradient(function):
    """Derivatives by the adjoint as plain Python, and its text."""
    return interpreted_gradient(function, fresh(CASES[function]), active(CASES[function]))[1:]


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_the_gradient_is_right(function):
    _, expected = dual_gradient(function, CASES[function], active(CASES[function]))
    assert_near(gradient(function)[0], expected)


@pytest.mark.parametrize("function", [ring, chain, rows], ids=lambda f: f.__name__)
def test_compiled(function):
    ad.check_grads(function, CASES[function])


def test_a_first_argument_that_grows_to_the_shape_of_another():
    u, v = np.array([0.3]), VALUES
    found = ad.grad(grows, wrt="u")(u, v, 2)
    expected = np.sum(2.0 * (0.5 * v + 1.0) ** 4 * u)
    np.testing.assert_allclose(found, [expected], rtol=1e-14)


def source(function):
    return gradient(function)[1]


def test_a_roll_is_made_again_where_an_adjoint_reads_it():
    text = source(ring)
    assert text.count("push_array(") == 1 and "push_shape" not in text
    back = text.split("# reverse sweep")[1]
    assert "left = array_roll(u, steps)" in back and "pop_array(_tape" in back


def test_arrays_are_made_again_from_those_that_are():
    back = source(chain).split("# reverse sweep")[1]
    assert back.count("pop_array(") == 1
    assert back.index("row = ") < back.index("d = ")


@pytest.mark.parametrize("function", [changed_between, expensive], ids=lambda f: f.__name__)
def test_others_are_recorded(function):
    assert source(function).count("push_array(") > 1


def test_views_are_made_again_where_only_their_shapes_are_needed():
    text = source(rows)
    assert "push_shape" not in text and "push_array" in text, text


def test_what_is_made_again_is_in_the_report():
    g = ad.grad(ring)
    g(*CASES[ring])
    assert "array_roll(u, steps)" in str(g.report()) or "np.roll(u, steps)" in str(g.report())


def test_shapes_that_may_differ_are_looked_at():
    assert "u_b = reduced_to(" in source(grows)
    assert "reduced_to" not in source(ring).split("for _ in range(steps - 1")[1]
