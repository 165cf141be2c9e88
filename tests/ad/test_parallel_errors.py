"""A loop over ``prange`` that cannot be shown to be parallel is refused, at its line, with what to write instead."""

import inspect
import math

import numpy as np
import pytest
from numba import prange

import ad

X = np.linspace(0.1, 1.0, 6)


def carries(x):
    s = 1.0
    for i in prange(len(x)):
        s *= x[i]  # here
    return s


def reads_its_sum(x):
    s = 0.0
    for i in prange(len(x)):
        s += x[i] * s  # here
    return s


def reads_its_sum_elsewhere(x):
    s = t = 0.0
    for i in prange(len(x)):
        s += x[i]  # here
        t += s
    return t


def takes_the_maximum(x):
    m = x[0]
    for i in prange(len(x)):
        m = max(m, x[i])  # here
    return m


def keeps_what_a_branch_assigned(x):
    z = s = 0.0
    for i in prange(len(x)):
        if x[i] > 0.5:
            z = x[i]
        s += z * x[i]  # here
    return s


def keeps_what_a_loop_assigned(x):
    z = s = 0.0
    for i in prange(len(x)):
        for j in range(i):
            z = x[j]
        s += z * x[i]  # here
    return s


def counts(x):
    k, s = 0, 0.0
    for i in prange(len(x)):
        s += x[k]  # here
        k += 1
    return s


def breaks(x):
    s = 0.0
    for i in prange(len(x)):
        if x[i] > 0.5:
            break  # here
        s += x[i]
    return s


def returns(x):
    s = 0.0
    for i in prange(len(x)):
        if x[i] > 0.5:
            return s  # here
        s += x[i]
    return s


def reads_the_last_trip(x):
    z = 0.0
    for i in prange(len(x)):  # here
        z = x[i] * x[i]
    return z


def reads_the_last_trip_in_the_next_step(x):
    z = s = 0.0
    for t in range(2):
        s += z * x[t]
        for i in prange(len(x)):  # here
            z = x[i] * x[i]
    return s


def reads_the_loop_variable(x):
    s = 0.0
    for i in prange(len(x)):  # here
        s += x[i]
    return s * i


def writes_beside(x):
    out = np.zeros(len(x) + 1)
    for i in prange(len(x)):
        out[i + 1] = x[i]  # here
    return np.sum(out)


def writes_anywhere(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        out[i // 2] += x[i]  # here
    return np.sum(out * out)


def writes_one_element(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        out[0] += x[i]  # here
    return out[0]


def writes_all(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        out += x * x[i]  # here
    return np.sum(out)


def writes_a_slice(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        out[i:] = x[i]  # here
    return np.sum(out)


def writes_rows_and_columns(x):
    out = np.zeros((len(x), len(x)))
    for i in prange(len(x)):
        out[i, 0] = x[i]
        out[0, i] = x[i]  # here
    return np.sum(out)


def writes_by_index_array(x):
    out, at = np.zeros(len(x)), np.zeros(len(x), np.int64)
    for i in prange(len(x)):
        out[at[i]] = x[i]  # here
    return np.sum(out)


def writes_through_a_view(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        part = out[1:]
        part[i // 2] = x[i]  # here
    return np.sum(out)


def fill(out, k, value):
    out[k] = value  # here


def writes_in_a_call(x):
    out = np.zeros(len(x))
    for i in prange(len(x)):
        fill(out, i - 1, x[i])
    return np.sum(out)


def reads_the_row_before(x):
    u = x.copy()
    for i in prange(1, len(x)):
        u[i] = u[i - 1] * x[i]  # here
    return np.sum(u)


def reads_all(x):
    u = x.copy()
    for i in prange(len(x)):
        u[i] = np.sum(u) * x[i]  # here
    return np.sum(u)


def reads_another_name(x):
    u = x.copy()
    v = u[1:]
    for i in prange(len(v)):
        u[i] = v[i] * x[i]  # here
    return np.sum(u)


def rebinds(x):
    u, s = x.copy(), 0.0
    for i in prange(len(x)):
        s += u[0]  # here
        u = x * x[i]
    return s


def swaps(x):
    u, v = x.copy(), x.copy()
    for i in prange(len(x)):
        v[i] = u[i] * x[i]  # here
        u, v = v, u
    return np.sum(u)


def has_a_schedule_from_python(x):
    s = 0.0
    for i in prange(len(x)):
        y = x[i]
        for _ in ad.checkpointed(range(3), schedule="h_revolve", disk_snapshots=1):  # here
            y = math.sin(y)
        s += y
    return s


def scheduled(x, n):
    if n > 0:
        return scheduled(x, n - 1)
    for _ in ad.checkpointed(range(3), schedule="h_revolve", disk_snapshots=1):
        x = math.sin(x)
    return x


def calls_what_has_a_schedule_from_python(x):
    s = 0.0
    for i in prange(len(x)):
        s += scheduled(x[i], 2)  # here
    return s


PROGRAMS = [
    (carries, "^s carries a value from one trip .* give it a value at the start of every trip, or take range"),
    (reads_its_sum, "^s carries a value"),
    (reads_its_sum_elsewhere, r"^s carries a value from one trip .*: only sums \(\+= and -="),
    (takes_the_maximum, "^m carries a value"),
    (keeps_what_a_branch_assigned, "^z carries a value"),
    (keeps_what_a_loop_assigned, "^z carries a value"),
    (counts, "^k carries a value"),
    (breaks, "^break and return cannot end the other trips of a prange loop: leave them out, or take range"),
    (returns, "^break and return cannot end"),
    (reads_the_last_trip, "^z is read after the prange loop that gives it a value in every trip: .* or take range"),
    (reads_the_last_trip_in_the_next_step, "^z is read after the prange loop"),
    (reads_the_loop_variable, "^i is read after the prange loop"),
    (writes_beside, r"may write to the same elements of out here, .* not the loop variable i: write to out\[i\] alone"),
    (writes_anywhere, r"same elements of out here.*: add up numbers, or give each trip a row out\[i\], or take range"),
    (writes_one_element, "same elements of out here"),
    (writes_all, "same elements of out here.*: add up numbers"),
    (writes_a_slice, "same elements of out here"),
    (writes_rows_and_columns, "same elements of out here"),
    (writes_by_index_array, "same elements of out here"),
    (writes_through_a_view, "same elements of out here"),
    (reads_the_row_before, r"^u is written to .*, and here a trip may read what another one writes: read u\[i\] alone"),
    (reads_all, "^u is written to .*, and here a trip may read"),
    (reads_another_name, "^u is written to in a prange loop that uses v, and these may share memory"),
    (
        rebinds,
        "^the trips of a prange loop give u another array and read what an earlier trip left in it: make the array",
    ),
    (swaps, "^the trips of a prange loop give [uv] another array"),
    (has_a_schedule_from_python, '^h_revolve is computed in Python.*: take schedule="binomial" there, or take range'),
    (calls_what_has_a_schedule_from_python, "^h_revolve is computed in Python"),
]


def marked(function):
    lines, first = inspect.getsourcelines(function)
    [k] = [k for k, line in enumerate(lines) if "# here" in line]
    return first + k


@pytest.mark.parametrize(("function", "message"), [pytest.param(f, m, id=f.__name__) for f, m in PROGRAMS])
def test_refused(function, message):
    with pytest.raises(ad.UnsupportedSyntax, match=message) as found:
        ad.grad(function)(X)
    assert found.value.filename == __file__
    assert found.value.lineno == marked(function)


def test_refused_in_a_called_function():
    with pytest.raises(ad.UnsupportedSyntax, match="same elements of out here") as found:
        ad.grad(writes_in_a_call)(X)
    assert found.value.lineno == marked(fill)


def no_derivative(x):
    n = np.zeros(len(x), np.int64)
    for i in prange(len(x)):
        n[i // 2] = i  # here
    return x[n[0]]


def test_what_has_no_derivative_is_no_exception():
    with pytest.raises(ad.UnsupportedSyntax, match="same elements of n here") as found:
        ad.grad(no_derivative)(X)
    assert found.value.lineno == marked(no_derivative)


def test_bounds():
    def no_int(x):
        s = 0.0
        for i in prange(x[0]):
            s += x[i]
        return s

    def no_step(x):
        s = 0.0
        for i in prange(0, 5, 0):
            s += x[i]
        return s

    def kept(x):
        r = prange(5)
        s = 0.0
        for i in r:
            s += math.sin(x[i])
        return s

    with pytest.raises(ad.UnsupportedSyntax, match=r"a bound of prange\(\)"):
        ad.grad(no_int)(X)
    with pytest.raises(ad.UnsupportedSyntax, match="cannot be 0"):
        ad.grad(no_step)(X)
    with pytest.raises(ad.UnsupportedSyntax, match="write it into the for statement"):
        ad.grad(kept)(X)
