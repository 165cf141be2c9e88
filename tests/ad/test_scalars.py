"""Small arrays that become numbers: which do, which stay arrays, and that it makes no difference to what comes out."""

import math
import re
import warnings

import numpy as np
import pytest
from numba import njit

import ad
from ad.arguments import structure_of
from ad.options import code_options

F32 = np.float32
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])


def special(f, *args):
    """What there is of a gradient before it is compiled."""
    g = ad.grad(f)
    kinds = tuple(structure_of(name, a, False) for name, a in zip(g._names, args, strict=True))
    return g._special(kinds, code_options({}))


def source(f, *args):
    """The text of the adjoint without comments."""
    return re.sub(" *#.*\n", "", special(f, *args).kernel.source)


def small(f, *args):
    """The names of the arrays that became numbers."""
    return {array.name for array in special(f, *args).function.small}


def kept(f, *args):
    """The names of the user's arrays that are left, parameters apart."""
    function = special(f, *args).function
    left = (n for n, kind in function.kinds.items() if kind.is_array and n not in function.params)
    return {function.called[n] for n in left if n in function.called}


# ----------------------------------------------------------------------------------------- what the text is


def spiral(x, y, steps):
    s = np.array([x, y])
    for _ in range(steps):
        s = s + 0.1 * np.array([s[1], -s[0]])
    return np.dot(s, s)


def test_the_text_has_numbers_only():
    text = source(spiral, 0.5, 0.2, 3)
    assert "np" not in text and "[" not in text and "Guarded" not in text
    assert "s_0 = x" in text and "s_1 = y" in text


def both_names(x):
    y_1 = 2.0 * x
    y = np.array([x, y_1])
    y[0] *= y_1
    return y[0] * y[1]


def test_names_differ_from_those_of_the_user():
    text = source(both_names, 0.5)
    assert "y_1 = 2.0 * x" in text and "y__0" in text and "y__1" in text
    ad.check_grads(both_names, (0.5,))


def expensive_factor(x, t):
    y = np.array([x, 2.0 * x, 3.0])
    return np.sum(math.exp(t) * y)


def test_an_expensive_factor_is_computed_once():
    assert source(expensive_factor, 0.5, 0.1).count("math.exp(") == 1


def of_argument(a, x):
    w = np.array([x, 1.0])
    s = 0.0
    for i in range(3):
        s += a[i] * w[0]
    for i in range(2):
        s += w[i] * a[i]
    return s


def test_loops_are_written_out_only_where_that_makes_numbers():
    text = source(of_argument, np.ones(3), 0.5)
    assert text.split("a_b = ")[0].count("range(3)") == 1 and "range(2)" not in text


# --------------------------------------------------------------------------------------- what stays an array


def too_many(x):
    y = np.full(10, x)
    return np.sum(y * y)


def unknown_length(a, x):
    y = a.copy()
    y[0] = x
    return np.sum(y)


def of_two_lengths(x):
    y = np.full(2, x)
    if x > 0.0:
        y = np.full(3, x)
    return np.sum(y * y)


def single_precision(x):
    y = np.array([x, 2.0 * x], dtype=np.float32)
    return np.sum(y * y) * x


def sorted_array(x):
    y = np.array([x, 0.5])
    return np.sort(y)[0]


def index_that_moves(x, n):
    y = np.array([x, 0.5])
    return y[n] * x


def chosen_by_a_mask(x):
    y = np.array([x, 0.5])
    y[y > 0.4] *= x
    return y[0]


def written_by_two_names(x, n):
    y = np.array([x, 0.5])
    for _ in range(n):
        z = y
        z[0] *= x
        y = y * 1.0
    return y[0] + z[1]


def both_sides_matter(x):
    y = np.array([x, 0.5])
    return np.sum(np.where(y > 0.1, np.sqrt(y), 0.0))


def dot_with_an_argument(a, x):
    y = np.array([x, 0.5])
    return np.dot(y, a) + np.sum(y * a)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (too_many, (0.7,)),
        (unknown_length, (np.ones(2), 0.7)),
        (of_two_lengths, (0.7,)),
        (single_precision, (0.7,)),
        (sorted_array, (0.7,)),
        (dot_with_an_argument, (np.ones(2), 0.7)),
        (index_that_moves, (0.7, 1)),
        (chosen_by_a_mask, (0.7,)),
        (written_by_two_names, (0.7, 2)),
        (both_sides_matter, (0.7,)),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_stays_an_array(f, args, interpreted_gradient, dual_gradient):
    assert "y" in kept(f, *args) and not small(f, *args)
    wrt = [k for k, a in enumerate(args) if not isinstance(a, int)]
    expected_value, expected = dual_gradient(f, args, wrt)
    value, found, _ = interpreted_gradient(f, args, wrt)
    assert value == pytest.approx(expected_value, rel=1e-6)
    for mine, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-6)


def mixed(x):
    y = np.array([x, 0.5])
    z = np.where(y > 0.1, np.sqrt(y), 0.0)
    w = z * x + TURN[1]
    return np.sum(w * TURN[0])


def test_numbers_are_made_of_the_elements_of_an_array_that_stays():
    assert small(mixed, 0.7) == {"w"} and kept(mixed, 0.7) == {"y", "z"}
    ad.check_grads(mixed, (0.7,))


def beside_an_array(a, x):
    c = np.array([x, 0.5])
    a[1:] += c[0] * a[:-1]
    return np.sum(a * c[1]) + np.dot(a, c[0] * a)


def test_an_element_may_stand_beside_an_array_of_any_length():
    assert small(beside_an_array, np.ones(4), 0.7) == {"c"}
    ad.check_grads(beside_an_array, (np.ones(4), 0.7))


def of_an_earlier_trip(x, n):
    s = 0.0
    for i in range(n):
        y = np.array([x * i, 1.0])
        if i == 0:
            z = y
        s += y[0] * z[1]
    return s


def of_the_trip_before(x, n):
    y = np.array([x, 1.0])
    z = y
    for _ in range(n):
        z = y
        y = np.array([z[0] * x, z[1]])
    return y[0] * z[0]


def test_the_array_of_the_trip_before():
    assert small(of_the_trip_before, 0.7, 3) == {"y", "z"}
    ad.check_grads(of_the_trip_before, (0.7, 3))


def test_a_view_that_may_have_no_value_is_refused():
    with pytest.raises(ad.UnsupportedSyntax, match=r"z.* may have no value"):
        ad.grad(of_an_earlier_trip)(0.7, 3)


# ------------------------------------------------------------------------------------------ the same results


def out_of_bounds(x):
    y = np.array([x, 0.5])
    return y[2] * x


def test_an_index_out_of_bounds_is_an_error_still():
    with pytest.raises(IndexError):
        ad.grad(out_of_bounds)(0.7)


def inverse_twice(x, y):
    z = 1.0 / (1.0 / np.array([x, y]))
    return z[0]


def test_arrays_divide_by_zero_and_numbers_do_not():
    assert ad.value_and_grad(inverse_twice, wrt="x")(0.5, 0.0) == (0.5, 1.0)
    assert small(inverse_twice, 0.5, 0.0) == {"z"}


def from_left_to_right(x):
    y = np.array([1.0, 1e16, x, -1e16, 1.0])
    return np.sum(y) + 1e-3 * np.mean(y)


def test_sums_are_rounded_as_numba_rounds_them():
    assert ad.value_and_grad(from_left_to_right)(3.0)[0] == njit(from_left_to_right)(3.0)


def all_reductions(x, y):
    m = np.array([[x, y, 0.25], [y * x, 0.2, x - y]])
    s = np.mean(m, axis=1) * np.max(m, axis=1) + np.min(m[:, 1:], axis=1) * np.prod(m, axis=1, keepdims=True)[:, 0]
    n = np.eye(2) * x + np.identity(2)
    return np.sum(s) + m.sum(axis=0, keepdims=True)[0, 1] * np.trace(m @ m.T) + np.trace(n) * np.mean(n)


def test_reductions_along_axes():
    assert not kept(all_reductions, 0.7, 0.3)
    ad.check_grads(all_reductions, (0.7, 0.3))


def largest(x):
    y = np.array([x, 2.0 * x - 1.0, 1.0])
    return np.max(y)


def least_of_three(x, y):
    z = np.array([1.0, x, y])
    return np.min(z) + 0.0 * np.max(z)


def test_of_equal_elements_and_of_nans_it_is_the_first_as_in_an_array():
    assert ad.value_and_grad(largest)(1.0) == (1.0, 1.0)
    assert not kept(least_of_three, 1.0, 1.0)
    assert ad.grad(least_of_three)(0.5, 0.5) == (1.0, 0.0)
    value, found = ad.value_and_grad(least_of_three)(math.nan, math.nan)
    assert math.isnan(value) and found == (1.0, 0.0)


def track(y0, n):
    assert len(y0) == 2
    y = y0.copy()
    rows = np.empty((n, 2))
    for k in range(n):
        rows[k] = y
        y = TURN @ y + 0.1 * rows[k // 2] * y
    return np.sum(rows) + y[0]


def unpacked(y0, n):
    a, _ = y0
    y = 2.0 * y0
    for _ in range(n):
        y = y * a + y[::-1]
    return y[0]


def refused_length(y0, n):
    if len(y0) != 2:
        raise ValueError("two, please")
    y = y0 * 1.0
    return y[0] * y[1] * n


@pytest.mark.parametrize("f", [track, unpacked, refused_length], ids=lambda f: f.__name__)
def test_the_length_of_an_argument_is_known_where_it_is_checked(f):
    start = np.array([0.3, 0.9])
    assert small(f, start, 3) == {"y"}
    ad.check_grads(f, (start, 3))


def test_a_wrong_length_raises_what_it_did():
    for f, error in ((track, AssertionError), (unpacked, ValueError), (refused_length, ValueError)):
        with pytest.raises(error):
            ad.grad(f)(np.ones(3), 3)


def read_before(y0, x):
    y = y0 * x
    assert len(y0) == 2
    return np.sum(y)


def test_a_length_that_is_checked_too_late_is_not_known():
    assert not small(read_before, np.ones(2), 0.5)


# ------------------------------------------------------------------------------------------ called functions


def energy(p, scale):
    half = 0.5 * p
    return np.dot(half, p) * scale


def of_a_state(x, y):
    p = np.array([x, y])
    before = energy(p, x)
    p *= before
    return before * energy(p, 2.0)


def test_a_called_function_takes_numbers():
    text = source(of_a_state, 0.7, 0.3)
    assert "np." not in text and "def energy_reverse(" in text
    assert small(of_a_state, 0.7, 0.3) == {"p"}
    assert {"p", "half"} <= ad_report(of_a_state, 0.7, 0.3).small.keys()
    ad.check_grads(of_a_state, (0.7, 0.3))


def folded(p, n):
    if n == 0:
        return p[0]
    return p[1] * folded(p, n - 1)


def of_itself(x, n):
    p = np.array([x, 0.5 * x])
    return folded(p, n)


def largest_of(p, n):
    return np.sort(p)[n]


def of_sorted(x, n):
    p = np.array([x, 0.5 * x])
    return largest_of(p, n)


@pytest.mark.parametrize("f", [of_itself, of_sorted], ids=lambda f: f.__name__)
def test_functions_that_need_the_array_get_it(f):
    assert kept(f, 0.7, 1) == {"p"}
    ad.check_grads(f, (0.7, 1))


# ------------------------------------------------------------------------------------------ what users are told


def ad_report(f, *args):
    return special(f, *args).report({})


def test_the_report_says_what_became_numbers():
    report = ad_report(spiral, 0.5, 0.2, 3)
    size, line = report.small["s"]
    assert size == 2 and line.text == "s = np.array([x, y])"
    assert re.search(r"because they are small:\n  s  2 elements  line \d+\n", str(report))
    assert "s[0]" in {item.variable for item in ad_report(nonlinear, 0.5, 3).items}


def nonlinear(x, steps):
    s = np.array([x, 0.5])
    for _ in range(steps):
        s = s - 0.1 * s * s * s[0]
    return s[0] * s[1]


def test_a_report_without_small_arrays_does_not_mention_them():
    assert "became numbers" not in str(ad_report(too_many, 0.5))


def logarithms(x):
    y = np.array([x, 1.0])
    y = np.log(y - x)
    return np.exp(y[1]) + np.exp(y[0])


def test_debugging_names_element_and_line():
    g = ad.grad(logarithms).with_options(debug=True)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        g(0.5)
    assert re.search(r"y\[0\] is -inf.*y = np.log\(y - x\)", str(found[0].message))


def test_the_function_itself():
    assert ad.grad(spiral).primal(0.5, 0.2, 4) == pytest.approx(spiral(0.5, 0.2, 4), rel=1e-15)


def maybe_no_value(x, n):
    for _ in range(n):
        y = np.array([x, 1.0])
        y[1] *= x
    return y[1]


def test_a_loop_that_does_not_run_is_named_with_the_element():
    assert ad.grad(maybe_no_value)(0.5, 2) == 1.0
    with pytest.raises(UnboundLocalError, match=r"y\[1\] has no value"):
        ad.grad(maybe_no_value)(0.5, 0)


def no_value_on_one_side(x):
    if x > 0.0:
        y = np.array([x, 1.0])
    return y[1] * x


def test_what_may_have_no_value_is_refused_by_its_name():
    with pytest.raises(ad.UnsupportedSyntax, match=r"y(\[1\])? may have no value"):
        ad.grad(no_value_on_one_side)(0.5)
