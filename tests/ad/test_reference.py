"""The references that `ad` is tested against: dual numbers and differences, each against the other and closed forms."""

import math
from collections import namedtuple

import numpy as np
import pytest
from reference import agree, difference_gradient, dual_gradient
from reference.partials import COMPLEX, NAMES, PARTIALS

A = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])
POINTS = {"acosh": 1.7, "ldexp": 0.7}


def _spellings():
    """All elementwise functions of math and NumPy by module and name."""
    for name in sorted({*PARTIALS, *NAMES}):
        for module in (math, np):
            if hasattr(module, name) and name != "fix":
                yield pytest.param(module, name, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize(("module", "name"), list(_spellings()))
def test_elementwise(module, name):
    function = getattr(module, name)
    partials = PARTIALS[NAMES.get(name, name)] if NAMES.get(name, name) in PARTIALS else (None,)
    x = POINTS.get(NAMES.get(name, name), 0.7)
    args = [x, 1.3][: len(partials)]
    wrt = [0, 1][: len(partials)]
    if name == "ldexp":
        args[1], wrt = 3, [0]
    # A factor tells whether slopes are passed on, not only made.
    agree(lambda *args: 1.0 * function(*(a if isinstance(a, int) else 1.0 * a for a in args)), args, wrt)
    if module is np:
        arrays = [np.array([a, a * 1.1]) if isinstance(a, float) else a for a in args]
        agree(lambda *args: np.sum(function(*args) * np.array([1.5, -0.5])), arrays, wrt)


@pytest.mark.parametrize("name", [*COMPLEX, "exp", "sin", "square", "sqrt", "log"])
def test_complex_intermediate(name):
    function = getattr(np, name)

    def f(x, y):
        z = function((x + 1j * y) ** 2) * (1.0 + 0.5j)
        return np.abs(z) + np.real(z) - 2.0 * z.imag + abs(np.conj(z) * z)

    agree(f, (0.7, 1.3), (0, 1))


ARRAYS = {
    "moves": [
        *(lambda a: np.swapaxes(a, 0, 1), lambda a: np.moveaxis(a, 0, 1), lambda a: np.squeeze(a[:, :1])),
        *(lambda a: np.expand_dims(a, 1), np.fliplr, np.flipud, np.rot90, lambda a: np.tile(a, 2), np.asarray),
        *(lambda a: np.take(a, [2, 0], 1), lambda a: np.broadcast_to(a[0], (2, 3)), np.diagonal, np.triu, np.tril),
        *(lambda a: np.dstack((a, a)), np.ascontiguousarray, np.asfortranarray, lambda a: np.atleast_2d(a[0])),
        *(lambda a: np.atleast_1d(a),),
        *(lambda a: np.append(a, [1.0, 2.0]), lambda a: np.append(a, a[0]), np.sort, lambda a: np.array([a[0], a[1]])),
        *(lambda a: np.split(a, 3, axis=1)[1], lambda a: a.swapaxes(0, 1), lambda a: a.repeat(2), lambda a: a.take(1)),
        *(lambda a: a.squeeze(), lambda a: a.diagonal(), lambda a: np.array(a[0, 0]), lambda a: a.transpose((1, 0))),
        *(lambda a: a[a.argmax() // 3], lambda a: a[0][a[0].argsort()], lambda a: a[a.nonzero()], lambda a: a.item(4)),
    ],
    "products": [
        *(
            lambda a: np.inner(a, a),
            lambda a: np.vdot(a[0], a[1]),
            lambda a: np.kron(a, a),
            lambda a: np.cross(a, a[1]),
        ),
        *(lambda a: np.convolve(a[0], a[1]), lambda a: np.correlate(a[0], a[1]), lambda a: np.tensordot(a, a)),
    ],
    "reductions": [
        *(lambda a: np.linalg.norm(a), lambda a: a.var(ddof=1), lambda a: np.std(a, axis=-1), lambda a: a.cumprod()),
        *(lambda a: a.clip(-1.0, 2.0), lambda a: np.round(a, 1) * a, lambda a: a.prod(axis=0), lambda a: a.trace()),
        *(lambda a: np.amax(a, axis=1), lambda a: np.array(np.min(a)), lambda a: np.arange(a[0, 0], 5.0, 0.7)),
        *(lambda a: np.arange(3.0) * a, lambda a: np.full_like(a, 2.0) * a, lambda a: np.full(3, a[0, 0])),
        *(lambda a: a[np.searchsorted(a[0, 1:], 0.0)], lambda a: a * np.shape(a)[0] + np.size(a) + np.ndim(a)),
        *(lambda a: a * np.allclose(a, a), lambda a: a * (np.any(a) + a.all()), lambda a: a * round(a[0, 0])),
        *(
            lambda a: math.frexp(a[0, 0])[0] * a,
            lambda a: math.log(a[0, 0] + 1.0, 3.0) * a,
            lambda a: round(a[0, 1], 1) * a,
        ),
    ],
}


@pytest.mark.parametrize(("kind", "i"), [(kind, i) for kind, listed in ARRAYS.items() for i in range(len(listed))])
def test_functions_of_arrays(kind, i):
    function = ARRAYS[kind][i]

    def f(a):
        return np.sum(np.sin(function(1.0 * a)) * a[1, 1])

    agree(f, (A * 0.7,), (0,))


def test_closed_forms():
    x = np.array([0.5, -1.0, 2.0])
    square = A.T @ A

    def form(a, x):
        return x @ a @ x

    value, (by_a, by_x) = dual_gradient(form, (square, x), (0, 1))
    assert value == x @ square @ x
    np.testing.assert_allclose(by_a, np.outer(x, x), rtol=1e-15)
    np.testing.assert_allclose(by_x, 2.0 * square @ x, rtol=1e-15)


def test_an_array_or_a_tuple_as_result():
    def f(a, x):
        return a * x, (x * x, 3)

    value, ((by_a, by_x), ((square_a, square_x), (none_a, none_x))) = dual_gradient(f, (A, 2.0), (0, 1))
    np.testing.assert_array_equal(value[0], 2.0 * A)
    np.testing.assert_array_equal(by_a.reshape(6, 6), 2.0 * np.eye(6))
    np.testing.assert_array_equal(by_x, A)
    assert (value[1], square_x, none_x) == ((4.0, 3), 4.0, 0.0)
    assert not square_a.any() and not none_a.any()


def test_nested_tuples_as_arguments():
    Point = namedtuple("Point", "x y")

    def f(point, pair):
        (a, n), flag = pair
        return point.x * point.y * n + np.sum(a) * point.x if flag is None else 0.0

    args = (Point(2.0, 3.0), ((A, 4), None))
    _, (by_point, by_pair) = dual_gradient(f, args, (0, 1))
    assert by_point == Point(12.0 + A.sum(), 8.0)
    assert by_pair[0][1:] == (None,) and by_pair[1] is None
    np.testing.assert_array_equal(by_pair[0][0], np.full((2, 3), 2.0))
    differences = difference_gradient(f, args, (0, 1))
    assert differences.derivatives[0] == pytest.approx(by_point, rel=1e-13)
    np.testing.assert_allclose(differences.derivatives[1][0][0], by_pair[0][0], rtol=1e-12)


def test_views_share_memory_as_in_numpy():
    def f(a, x):
        w = a[1:, ::2]
        w[0, 1] = x
        a.T[0][0] += x * x
        flat = a.reshape(-1)
        flat[4] *= 3.0
        a.ravel()[2] = 7.0 * x
        a.T.ravel()[2] = 100.0 * x  # a copy
        a[[0, 1]][0, 0] = 100.0 * x  # a copy
        u, v = a[0], a[1]
        u, v = v, u
        v -= u
        return np.sum(a * np.arange(6.0).reshape(2, 3)) + w[0, 0]

    before = A.copy()
    agree(f, (A, 0.7), (0, 1))
    np.testing.assert_array_equal(A, before)


def test_layout_of_arguments_is_kept():
    """Whether `ravel` is a view depends on it."""

    def f(a, x):
        a.ravel()[1] = x
        return np.sum(a * np.arange(6.0).reshape(a.shape))

    for a, by_x in ((A, 1.0), (np.asfortranarray(A), 0.0), (np.repeat(A, 2, axis=1)[:, ::2], 0.0)):
        value, (_, found) = dual_gradient(f, (a, 5.0), (0, 1))
        assert found == by_x == agree(f, (a, 5.0), (0, 1)).derivatives[1]
        assert value == f(a.copy(order="K") if a.flags.forc else np.repeat(A, 2, axis=1)[:, ::2], 5.0)


def test_overlapping_operands_are_as_in_numpy():
    def f(a):
        a[1:] += a[:-1]
        a[:-1] = a[1:] * a[0]
        a *= a
        return np.sum(a * np.arange(1.0, len(a) + 1.0))

    agree(f, (np.array([0.5, -1.0, 2.0, 1.5]),), (0,))


def test_single_precision():
    def f(a, x):
        b = a * a + x
        b[0] = b[1] * x
        c = np.zeros(3, dtype=np.float32)
        c[:] = b * 1.1
        return c.sum() * np.float32(x)

    a, x = np.array([0.1, 0.2, 0.3], dtype=np.float32), 0.7
    value, (by_a, by_x) = dual_gradient(f, (a, x), (0, 1))
    assert value == f(a.copy(), x) and value.dtype == np.float32
    _, differences, errors = difference_gradient(f, (a, x), (0, 1))
    assert by_a.dtype == np.float64 and np.all(errors[0] < 1e-3)
    np.testing.assert_allclose(by_a, differences[0], rtol=1e-3)
    assert by_x == pytest.approx(differences[1], rel=1e-3)


def test_uninitialised_memory_is_seen():
    def f(x):
        a = np.empty(3)
        a[0] = x
        return a[0] + 0.0 * a.sum()

    assert math.isnan(dual_gradient(f, (0.5,), (0,))[0])


def test_unknown_functions_are_not_guessed():
    def f(a):
        return np.percentile(a, 30.0)

    with pytest.raises((KeyError, TypeError)):
        dual_gradient(f, (A,), (0,))


def test_differences_know_how_far_off_they_are():
    def kink(x):
        return abs(x - 0.5)

    found = difference_gradient(kink, (0.5 + 1e-3,), (0,))  # the large steps cross the kink
    assert found.derivatives[0] == pytest.approx(1.0, abs=1e-9)

    def smooth(x):
        return math.exp(math.sin(3.0 * x))  # math has no complex numbers

    found = difference_gradient(smooth, (0.7,), (0,))
    exact = 3.0 * math.cos(2.1) * math.exp(math.sin(2.1))
    assert abs(found.derivatives[0] - exact) < found.errors[0] < 1e-9

    def analytic(a):
        return np.sum(np.exp(np.sin(3.0 * a)))

    found = difference_gradient(analytic, (np.array([0.7]),), (0,))
    assert found.derivatives[0] == pytest.approx([exact], rel=1e-15)


def test_disagreement_is_seen():
    with pytest.raises(AssertionError, match="argument 0"):
        agree(_jumps, (0.5,), (0,))


def _jumps(x):
    return 1.0 if x < 0.5 else 2.0
