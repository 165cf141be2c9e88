"""What docs/semantics.md promises, where neither the examples and tables there nor the matrix of programs test it."""

import math
import re

import numpy as np
import pytest
from documents import DOCS
from numba import njit
from problems import CASES
from problems.reference import copies

import ad

# ------------------------------------------------------------------------------- arguments that are written to


def smooth(u, v):
    for i in range(1, len(u)):
        u[i] = u[i] * u[i - 1] + v[0]
    return np.sum(u * u)


@pytest.fixture(scope="module")
def smoothed():
    return ad.value_and_grad(smooth)


def test_written_arguments_are_copied_on_entry(smoothed):
    u, v = np.array([1.0, 2.0, 3.0]), np.array([0.5])
    left = u.copy()
    value = smooth(left, v)
    first = smoothed(u, v)
    assert first[0] == value and u.tolist() == [1.0, 2.0, 3.0]
    # With respect to the values on entry: u0, u0 u1 + v, (u0 u1 + v) u2 + v, squared and added up.
    second, third = left[1], left[2]
    inner = second + third * u[2]
    expected = [2 * (u[0] + inner * u[1]), 2 * inner * u[0], 2 * third * second]
    np.testing.assert_allclose(first[1][0], expected, rtol=1e-14)
    np.testing.assert_allclose(first[1][1], [2 * (inner + third)], rtol=1e-14)
    again = smoothed(u, v, inplace="update")
    np.testing.assert_equal(again, first)
    np.testing.assert_array_equal(u, left)


def reshaped_argument(a, x):
    flat = a.ravel()
    a[0] *= x
    return np.sum(flat * flat)


def reshaped_transpose(a, x):
    a[0] *= x
    return np.sum(a.T.reshape(3, 2) * a.T)


@pytest.mark.parametrize(
    ("f", "a"),
    [
        (reshaped_argument, np.asfortranarray(np.ones((2, 3)))),
        (reshaped_argument, np.ones((4, 3))[::2]),
        (reshaped_transpose, np.ones((2, 3))),
    ],
)
def test_what_is_reshaped_and_written_to_must_be_contiguous(f, a, interpreted_gradient):
    with pytest.raises(ad.ADValueError, match=r"test_semantics\.py:\d+: an array that is written to is reshaped"):
        interpreted_gradient(f, (a, 2.0), [0])


def test_contiguity_is_checked_in_compiled_code():
    a, g = np.array([[1.0, 2.0], [3.0, 4.0]]), ad.grad(reshaped_argument, "a")
    np.testing.assert_array_equal(g(a.copy(), 2.0, inplace="update"), [[8.0, 16.0], [6.0, 8.0]])
    np.testing.assert_array_equal(g(a, 2.0), [[8.0, 16.0], [6.0, 8.0]])
    for other in (np.asfortranarray(a), np.repeat(a, 2, axis=1)[:, ::2]):
        with pytest.raises(ad.ADValueError, match="is not C-contiguous: pass"):
            g(other, 2.0)


def test_written_arguments_are_updated_where_branches_are_recorded():
    def f(u, v):
        for i in range(len(u)):
            if u[i] > v[0]:
                u[i] *= v[i]
            v[i] += u[i]
        return np.sum(u * v)

    u, v = np.array([1.0, 0.2, 3.0]), np.array([0.5, 1.5, 2.0])
    left = u.copy(), v.copy()
    value = f(*left)
    g = ad.value_and_grad(f)
    expected = g(u, v)
    assert expected[0] == value
    np.testing.assert_equal(g(u, v, inplace="update"), expected)
    np.testing.assert_equal((u, v), left)


def test_a_read_only_argument_may_be_written_to_by_the_function(smoothed):
    u, v = np.array([1.0, 2.0, 3.0]), np.array([0.5])
    expected = smoothed(u, v)
    u.flags.writeable = False
    np.testing.assert_equal(smoothed(u, v), expected)


def test_a_read_only_argument_cannot_be_updated(smoothed):
    u, v = np.array([1.0, 2.0, 3.0]), np.array([0.5])
    locked = u.copy()
    locked.flags.writeable = False
    updating = ad.value_and_grad(smooth).with_options(inplace="update")
    for _ in range(2):  # before anything is compiled, and after
        with pytest.raises(ad.ADValueError, match=r"'u' is read-only, and smooth\(\) writes to it: pass a copy"):
            updating(locked, v)
        v.flags.writeable = False  # it is only read
        np.testing.assert_equal(updating(u.copy(), v), smoothed(u, v))


def test_overlapping_arguments_are_refused_where_one_is_written(smoothed):
    x = np.arange(1.0, 7.0)
    for u, v in ((x, x), (x[:3], x[2:]), (x[::-1], x[5:]), (x, x.reshape(2, 3)[1])):
        with pytest.raises(
            ad.ADValueError, match=r"'u' and 'v' share memory, and smooth\(\) writes to 'u': pass a copy"
        ):
            smoothed(u, v)
    # Elements that alternate are not shared.
    separate = smoothed(x[::2].copy(), x[1::2].copy())
    np.testing.assert_equal(smoothed(x[::2], x[1::2]), separate)
    assert x.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_arrays_that_are_only_read_may_be_one():
    def product(pair, w):
        return np.sum(pair[0] * pair[1] * w)

    x = np.array([1.0, 2.0, 3.0])
    (first, second), third = ad.grad(product)((x, x[::-1]), x)
    np.testing.assert_array_equal(first, x[::-1] * x)
    np.testing.assert_array_equal(second, x * x)
    np.testing.assert_array_equal(third, x * x[::-1])


# -------------------------------------------------------------------------------------------- branches and loops


def wandering(x, y, n):
    """Conditions that compare NaN, and values that are others at the end."""
    s = x
    for i in range(n):
        n = 2
        if y > 1.0 or not y < 5.0:
            s = s * x
        else:
            s = s + math.sin(x)
        while not (s < 100.0) and s == s:
            s = s * 0.01
        y = math.nan if y > 3.0 else y + 1.0
    return s


def derivative_of_wandering(x, y, n):
    """By the chain rule along the way that is taken."""
    s, ds = x, 1.0
    for _ in range(n):
        s, ds = (s * x, ds * x + s) if y > 1.0 or not y < 5.0 else (s + math.sin(x), ds + math.cos(x))
        while not (s < 100.0) and s == s:
            s, ds = s * 0.01, ds * 0.01
        y = math.nan if y > 3.0 else y + 1.0
    return s, ds


@pytest.mark.parametrize(("x", "y", "n"), [(1.1, 0.0, 7), (3.0, 0.0, 9), (1.1, math.nan, 4), (2.0, 9.0, 0)])
def test_what_happened_counts_and_not_what_conditions_say_later(x, y, n):
    value, slope = ad.value_and_grad(wandering, wrt="x")(x, y, n)
    expected = derivative_of_wandering(x, y, n)
    assert value == pytest.approx(expected[0], rel=1e-14) and slope == pytest.approx(expected[1], rel=1e-13)


def test_nan_as_an_argument():
    """The branch that was taken is the one that the derivative takes, though the values are NaN."""
    value, slope = ad.value_and_grad(wandering, wrt="x")(math.nan, 0.0, 3)
    assert math.isnan(value) and math.isnan(slope)

    def guarded(x):
        return 3.0 if x != x else x * x

    assert ad.value_and_grad(guarded)(math.nan) == (3.0, 0.0)
    assert ad.value_and_grad(guarded)(2.0) == (4.0, 4.0)


def test_a_step_is_printed_once(capfd):
    def noisy(x, n):
        for i in range(n):
            x = x * x
            print("step", i)
        return x

    assert ad.grad(noisy)(1.5, 2) == pytest.approx(4 * 1.5**3)
    assert capfd.readouterr().out == "step 0\nstep 1\n"


# ---------------------------------------------------------------------------------------------------- constants


SCALE = 2.0
WEIGHTS = np.array([1.0, 2.0])


def weighted(x):
    return SCALE * (WEIGHTS[0] * x + WEIGHTS[1] * x * x)


def test_constants_are_those_of_the_first_call(monkeypatch):
    g = ad.grad(weighted)
    assert g(1.0) == 10.0
    monkeypatch.setitem(weighted.__globals__, "SCALE", 1.0)
    monkeypatch.setitem(weighted.__globals__, "WEIGHTS", np.zeros(2))
    assert g(1.0) == 10.0
    assert ad.grad(weighted)(1.0) == 0.0
    weights = weighted.__globals__["WEIGHTS"]
    g = ad.grad(weighted)
    assert g(1.0) == 0.0
    weights[:] = 1.0
    assert g(1.0) == 0.0 and ad.grad(weighted)(1.0) == 3.0


def test_an_array_of_the_module_cannot_be_written_to():
    def writes(x):
        WEIGHTS[0] = x
        return x

    with pytest.raises(ad.ADError, match=r"WEIGHTS is an array of the enclosing scope: only arguments"):
        ad.grad(writes)(1.0)
    assert WEIGHTS.tolist() == [1.0, 2.0]


# ----------------------------------------------------------------------------------- complex numbers, precision


def test_the_adjoint_of_a_complex_number():
    def through(z):
        w = np.exp(z) * z
        return w.real * 3.0 + w.imag

    z = 0.3 - 0.7j
    # The adjoint of w is 3 + i; through a holomorphic function it meets the conjugate of the derivative.
    expected = (3.0 + 1.0j) * np.conj(np.exp(z) * (z + 1.0))
    found = ad.grad(through)(z)
    assert found == pytest.approx(expected, rel=1e-14)
    h = 1e-6
    along = [(through(z + h * d) - through(z - h * d)) / (2 * h) for d in (1.0, 1.0j)]
    assert found == pytest.approx(complex(*along), rel=1e-8)
    assert ad.grad(abs_of)(0j) == 0.0 and ad.grad(abs_of)(3.0 + 4.0j) == pytest.approx(0.6 + 0.8j)


def abs_of(z):
    return abs(z)


def test_dtypes_are_numbas():
    def product(a, x):
        return (a * x)[0]

    third = 1.0 / 3.0
    value, (slope, other) = ad.value_and_grad(product)(np.ones(1, np.float32), third)
    assert value == third, "a Python float beside float32 is a float64"
    assert slope.dtype == np.float32 and slope[0] == np.float32(third) and other == 1.0


def test_numbers_of_single_precision():
    def kept(x, y):
        s = np.float32(x)
        return s * y

    third = np.float32(1.0 / 3.0)
    g = ad.value_and_grad(kept)
    assert g(0.1, 1.0 / 3.0) == (float(np.float32(0.1)) / 3.0, (1.0 / 3.0, float(np.float32(0.1))))
    value, slopes = g(third, third)
    assert value == float(third * third) and slopes == (float(third), float(third)) and type(slopes[0]) is float


def test_ints_wrap_around():
    def wraps(x, n):
        return x * float(n * n)

    assert ad.grad(wraps)(1.0, 2**32) == 0.0


# --------------------------------------------------------------------------------------------------- the flags


def element(a, i):
    return a[i] * a[i]


def gathered(a, i):
    return np.sum(a[i])


def test_boundscheck_is_that_of_the_function():
    a = np.arange(3.0)
    for function in (element, njit(boundscheck=True)(element)):
        g = ad.grad(function)
        with pytest.raises(IndexError):
            g(a, 5)
        np.testing.assert_array_equal(g(a, 2), [0.0, 0.0, 4.0])
        assert "boundscheck" not in ad.grad(function).with_options(boundscheck=False).source
    unchecked = ad.grad(njit(element))
    assert "boundscheck" not in unchecked.source
    with pytest.raises(IndexError):
        unchecked(a, 5, boundscheck=True)


def test_index_arrays_are_always_checked():
    g = ad.grad(gathered)
    for boundscheck in (True, False):
        with pytest.raises(IndexError):
            g(np.arange(3.0), np.array([0, 3]), boundscheck=boundscheck)
    np.testing.assert_array_equal(g(np.arange(3.0), np.array([0, 0, -1]), boundscheck=False), [2.0, 0.0, 1.0])


def shares(a, n):
    b = np.zeros(3)
    b[n] = 1.0 / a[0]
    return b


def share(a):
    return 1.0 / a


def of_an_array(**flags):
    callee = njit(**flags)(shares)

    def f(a, n):
        return np.sum(callee(a, n)) + 1.0 / a[1]

    return f


def of_a_number(**flags):
    callee = njit(**flags)(share)

    def f(a, n):
        return callee(a[0]) + 1.0 / a[1]

    return f


@pytest.mark.parametrize("caller", ["python", "numpy"])
@pytest.mark.parametrize("callee", ["python", "numpy", None])
@pytest.mark.parametrize("make", [of_an_array, of_a_number])
def test_divisions_keep_the_flags_of_the_function_that_they_are_from(make, callee, caller):
    """The first function divides by a[0], the second by a[1]; Numba's own code says the same of the function itself."""
    f = njit(error_model=caller)(make(error_model=callee) if callee else make())
    gradient = ad.value_and_grad(f)
    for a, model in ((np.array([0.0, 2.0]), callee or caller), (np.array([2.0, 0.0]), caller)):
        if model == "python":
            for call in (f, gradient):
                with pytest.raises(ZeroDivisionError):
                    call(a, 1)
        else:
            value, derivative = gradient(a, 1)
            assert value == f(a, 1) == math.inf
            assert -math.inf in derivative


def test_functions_that_are_put_in_are_compiled_with_care():
    @njit(fastmath=False)
    def careful(a):
        return a * 2.0

    @njit(fastmath=True)
    def fast(a, n):
        return np.sum(careful(a)) + a[1] * a[n]

    @njit(boundscheck=True)
    def guarded(a, n):
        return a * a[n]

    @njit(fastmath=True)
    def fast_of_guarded(a, n):
        return np.sum(guarded(a, n))

    def flags(f, **options):
        g = ad.grad(f).with_options(**options)
        g(np.array([2.0, 0.5]), 1)
        return "fastmath=True" in g.source, "boundscheck=True" in g.source

    assert flags(fast) == (False, False)
    assert flags(fast_of_guarded) == (True, True)
    assert flags(fast, fastmath=True, boundscheck=True) == (True, True)


def test_a_function_without_fastmath_does_not_get_it_from_its_caller():
    @njit(fastmath=False)
    def is_number(x):
        return 0.0 if x != x else x

    @njit
    def unsaid(x):
        return 0.0 if x != x else x * x

    @njit(fastmath=True)
    def fast(x):
        return is_number(x) * x + unsaid(x)

    decorated = ad.grad(fast).source.split("\n@")[1:]
    assert len(decorated) > 3
    for text in decorated:
        assert ("fastmath=False" in text) == ("def is_number" in text), text
        assert ("fastmath=True" in text) == ("def is_number" not in text), text


def test_fastmath_only_where_it_was_asked_for():
    def f(x):
        return x * x

    assert "fastmath" not in ad.grad(f).source and "fastmath" not in ad.grad(njit(f)).source
    assert "fastmath=True" in ad.grad(njit(fastmath=True)(f)).source
    assert "fastmath=True" in ad.grad(f).with_options(fastmath=True).source
    assert "fastmath={'nnan', 'ninf'}" in ad.grad(f).with_options(fastmath={"ninf", "nnan"}).source.replace(
        "'ninf', 'nnan'", "'nnan', 'ninf'"
    )
    assert "fastmath" not in ad.grad(njit(fastmath=True)(f)).with_options(fastmath=False).source


# ------------------------------------------------------------------------------------------ single precision


def documented_errors():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (\S+) \|$", (DOCS / "semantics.md").read_text(), re.MULTILINE)
    assert len(rows) >= 5
    return [pytest.param(name, float(error), id=name) for name, error in rows]


@pytest.mark.parametrize(("name", "error"), documented_errors())
def test_error_of_recording_in_single_precision(name, error):
    [case] = [c for c in CASES if c.name == name]
    g = ad.value_and_grad(case.function, case.wrt)
    value, exact = g(*copies(case.args))
    again, single = g(*copies(case.args), record="f4")
    assert again == value
    exact, single = (np.concatenate([np.ravel(part) for part in found]) for found in (exact, single))
    assert np.linalg.norm(single - exact) / np.linalg.norm(exact) == pytest.approx(error, rel=0.5)


def test_single_precision_has_its_range():
    def tower(x, n):
        s = x
        for _ in range(n):
            s = s * s
        return s * 1e-100

    g = ad.grad(tower)
    assert g(2.0, 6, record="f4") == pytest.approx(g(2.0, 6), rel=1e-6) and g(2.0, 6) == 2.0**69 * 1e-100
    assert g(2.0, 9) == 2.0**520 * 1e-100
    assert g(2.0, 9, record="f4") == math.inf
    assert g(0.5, 9) > 0.0 and g(0.5, 9, record="f4") == 0.0


def test_ints_and_decisions_are_exact_in_single_precision():
    def picks(x, start, n):
        k = start
        s = 0.0
        for i in range(n):
            if k % 3 == 0:
                s += x * float(k)
            k = k + i
        return s

    g = ad.grad(picks, wrt="x")
    assert g(1.0, 2**40 + 1, 9, record="f4") == g(1.0, 2**40 + 1, 9) != 0.0


# -------------------------------------------------------------------------------------------------- exceptions


class Diverged(Exception):
    pass


def marched(u, v, limit, n):
    for t in range(n):
        for i in range(len(u)):
            v[i] = u[i] * u[i - 1]
            if v[i] > limit:
                raise Diverged("step", t)
        u, v = v, u
    if u[0] > 100.0:
        raise ValueError("too large")
    return np.sum(u)


def test_nothing_is_lost_with_an_exception():
    u, v = np.array([1.0, 1.2, 1.4]), np.ones(3)
    g = ad.value_and_grad(marched, wrt=("u", "v"))
    expected = g(u, v, 1e9, 3)
    np.testing.assert_array_equal(expected[1][1], np.zeros(3))
    for inplace in ("copy", "update"):
        for limit, error, args in ((2.0, Diverged, ("step", 1)), (1e9, ValueError, ("too large",))):
            with pytest.raises(error) as caught:
                g(u, v, limit, 5, inplace=inplace)
            assert caught.value.args == args
            assert u.tolist() == [1.0, 1.2, 1.4] and v.tolist() == [1.0, 1.0, 1.0]
        np.testing.assert_equal(g(u, v, 1e9, 3), expected)
    assert g.stats().items == 0
