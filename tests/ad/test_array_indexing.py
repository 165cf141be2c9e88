"""Index arrays and masks, and their adjoints, against NumPy."""

import numpy as np
import pytest
from array_rules import jitted, layouts, numbers
from hypothesis import given
from hypothesis import strategies as st

from ad.arrays.indexing import gather, in_range, scatter, scatter_add, set_zero_at, take_and_clear_at

COMPILED = {
    f.__name__: jitted(f"lambda {args}: f({args})", f=f)
    for f, args in (
        (gather, "x, index"),
        (scatter, "x, index, value"),
        (scatter_add, "x, index, value"),
        (set_zero_at, "x, index"),
        (take_and_clear_at, "x, index"),
        (in_range, "x, index"),
    )
}
PYTHON = {f.__name__: f for f in (gather, scatter, scatter_add, set_zero_at, take_and_clear_at, in_range)}

P = np.array([0, 1, 1])
J = np.array([[0, -1], [1, 0]])
K = np.array([[2], [0]])
ROWS = np.array([True, False])
COLUMNS = np.array([True, False, True])
MASK = np.array([[True, False, True], [False, True, True]])

# Into an array of shape (2, 3, 4).
INDICES = {
    "[P]": P,
    "[J]": J,
    "[mask of rows]": ROWS,
    "[mask]": MASK,
    "[full mask]": np.arange(24).reshape(2, 3, 4) % 5 == 0,
    "[nothing]": np.zeros(0, int),
    "[no true]": np.zeros(2, bool),
    "[:, P]": np.s_[:, P],
    "[:, mask]": np.s_[:, COLUMNS],
    "[0, P]": np.s_[0, P],
    "[P, 0]": np.s_[P, 0],
    "[P, :, 0]": np.s_[P, :, 0],
    "[0, :, P]": np.s_[0, :, P],
    "[P, P]": np.s_[P, P],
    "[:, P, P]": np.s_[:, P, P],
    "[P, :, P]": np.s_[P, :, P],
    "[J, K]": np.s_[J, K],
    "[J, 1, K]": np.s_[J, 1, K],
    "[..., P]": np.s_[..., P],
    "[P, ..., 1:]": np.s_[P, ..., 1:],
    "[None, P]": np.s_[None, P],
    "[P, None, 0]": np.s_[P, None, 0],
    "[1:, P, 0:3:2]": np.s_[1:, P, 0:3:2],
    "[::-1, J, -1]": np.s_[::-1, J, -1],
    "[mask, P]": np.s_[MASK, np.array([0, 3, 3, 1])],
    "[bytes]": P.astype("u1"),
    "[short]": np.s_[:, P.astype("i2")],
}
COMPILE = ("[P]", "[full mask]", "[:, P]", "[J, 1, K]")


def taken_by_definition(u, index):
    """The last of several values for one element was kept."""
    places = np.arange(u.size).reshape(u.shape)[index]
    taken, seen = np.zeros(places.shape), set()
    for n in reversed(range(places.size)):
        place = places.flat[n]
        if place not in seen:
            taken.flat[n] = u.flat[place]
        seen.add(place)
    u[index] = 0.0
    return taken


def check(functions, x, index):
    y = x[index]
    assert functions["in_range"](x, index)
    assert np.array_equal(functions["gather"](x, index), y)

    value, got, wanted = numbers(y.shape, 1), x.copy(), x.copy()
    functions["scatter_add"](got, index, value)
    np.add.at(wanted, index, value)
    np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-14)

    got, wanted = x.copy(), x.copy()
    functions["scatter"](got, index, value)
    wanted[index] = value
    assert np.array_equal(got, wanted)

    taken = functions["take_and_clear_at"](got, index)
    assert np.array_equal(taken, taken_by_definition(wanted, index))
    assert np.array_equal(got, wanted)


def check_constants(functions, x, index):
    got, wanted = x.copy(), x.copy()
    functions["scatter_add"](got, index, 2.0)
    np.add.at(wanted, index, 2.0)
    np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-14)
    functions["set_zero_at"](got, index)
    wanted[index] = 0.0
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize("name", INDICES)
def test_against_numpy(name):
    for x in layouts(numbers((2, 3, 4))):
        check(PYTHON, x, INDICES[name])
        check_constants(PYTHON, x, INDICES[name])


@pytest.mark.parametrize("name", COMPILE)
def test_compiled(name):
    check(COMPILED, numbers((2, 3, 4)), INDICES[name])


@pytest.mark.parametrize("name", ["[P]", "[full mask]"])
def test_constants_compiled(name):
    check_constants(COMPILED, numbers((2, 3, 4)), INDICES[name])


def test_the_adjoint_of_a_scatter_by_its_definition():
    """<value's adjoint, value> is what the elements that scatter wrote contribute, for any value."""
    index, x = np.array([3, 1, 3, 0]), numbers(5)
    value, ub = numbers(4, 1), numbers(5, 2)
    before = ub.copy()
    u = x.copy()
    scatter(u, index, value)
    eb = take_and_clear_at(ub, index)
    assert eb @ value + ub @ x == pytest.approx(before @ u, rel=1e-14)


@given(st.lists(st.integers(-6, 5), max_size=12))
def test_repeated_indices(places):
    index, x = np.array(places, int), numbers(6)
    value, got, wanted = numbers(len(places), 1), x.copy(), x.copy()
    COMPILED["scatter_add"](got, index, value)
    np.add.at(wanted, index, value)
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-13)
    assert np.array_equal(COMPILED["take_and_clear_at"](got, index), taken_by_definition(wanted, index))


def test_a_strided_target_and_single_precision():
    for dtype, value in (("f8", "f8"), ("f4", "f8"), ("f8", "c16"), ("c16", "c16")):
        x = layouts(numbers((3, 4), dtype=dtype))[2]
        v = numbers((3, 4), 1, value)
        wanted = x.copy()
        np.add.at(wanted, P, v if dtype[0] == "c" else v.real)
        COMPILED["scatter_add"](x, P, v)
        np.testing.assert_allclose(x, wanted, rtol=1e-6)


OUTSIDE = {
    "too large": np.array([0, 2]),
    "too small": np.array([-3]),
    "full mask": np.ones((2, 3, 3), bool),
    "[:, P]": np.s_[:, np.array([3])],
    "mask of rows": np.array([True]),
    "[2, P]": np.s_[2, np.array([0])],
    "[P, :, P]": np.s_[np.array([0]), :, np.array([4])],
}


@pytest.mark.parametrize(
    ("functions", "name"),
    [(PYTHON, name) for name in OUTSIDE] + [(COMPILED, name) for name in ("too large", "too small", "[:, P]")],
    ids=lambda f: f if isinstance(f, str) else "python" if f is PYTHON else "compiled",
)
def test_out_of_range(functions, name):
    x, index = numbers((2, 3, 4)), OUTSIDE[name]
    before = x.copy()
    assert not functions["in_range"](x, index)
    for operation in ("gather", "take_and_clear_at"):
        with pytest.raises(IndexError):
            functions[operation](x, index)
    for operation in ("scatter", "scatter_add"):
        with pytest.raises(IndexError):
            functions[operation](x, index, np.zeros((2, 3, 4)))
    assert np.array_equal(x, before)


@pytest.mark.parametrize("functions", [PYTHON, COMPILED], ids=["python", "compiled"])
def test_too_many_indices(functions):
    with pytest.raises(IndexError, match="too many indices"):
        functions["gather"](np.zeros(3), (0, P))


@pytest.mark.parametrize("functions", [PYTHON, COMPILED], ids=["python", "compiled"])
def test_a_value_that_is_part_of_the_target(functions):
    u = numbers(6)
    wanted = u.copy()
    wanted[np.array([5, 0, 1, 2])] = wanted[:4].copy()
    functions["scatter"](u, np.array([5, 0, 1, 2]), u[:4])
    assert np.array_equal(u, wanted)


@pytest.mark.parametrize("functions", [PYTHON, COMPILED], ids=["python", "compiled"])
def test_a_value_of_another_shape(functions):
    with pytest.raises(ValueError, match="shape"):
        functions["scatter_add"](np.zeros(3), P, np.zeros(2))
    with pytest.raises(ValueError, match="shape"):
        functions["scatter"](np.zeros(3), P, np.zeros(2))
    with pytest.raises(ValueError, match="shape"):
        functions["scatter"](np.zeros(3), np.array([True, False, True]), np.zeros(3))
