"""Views that borrow, and arrays that are dropped without a count: what they hold lives as long as it is read."""

import numpy as np
import pytest
from allocations import counted, live
from numba import njit

import ad.guard
from ad.arrays.accumulate import add_to, take_and_clear
from ad.guard import Guarded
from ad.ownership import ownership

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy", boundscheck=True)


def rows_that_borrow(a):
    total = np.zeros_like(a[0])
    for k in range(len(a)):
        row = a[k]
        part = row[1:]
        add_to(total[1:], part * row[0])
    return total


def whole_dropped_first(a):
    b = a * 2.0
    row = b[1]
    c = a * 3.0  # takes the memory of b, if that was freed
    return row * 1.0 + c[1]


def whole_given_another_array(a):
    b = a * 2.0
    row = b[1]
    b = a * 3.0
    c = a * 5.0
    return row * 1.0 + b[0] + c[0]


def view_of_a_view(a):
    b = a + 1.0
    rows = b[1:]
    row = rows[0]
    part = row[::2]
    c = a * 7.0
    return part * 2.0 + c[0, ::2]


def view_that_is_returned(a):
    b = a + 1.0
    return b[1]


def view_in_a_tuple(a):
    b = a + 1.0
    pair = (b[0], b[1])
    c = a * 7.0
    return pair[0] * 1.0 + pair[1] + c[0]


def view_in_a_list(a):
    kept = [a[0]]
    for k in range(len(a)):
        b = a * float(k)
        kept.append(b[k])
        kept[0] = b[0]
    c = a * 7.0
    return kept[0] * 1.0 + kept[-1] + kept[1] + c[0]


def view_read_in_another_block(a):
    b = a + 1.0
    row = b[1]
    if a[0, 0] > -1e9:
        c = a * 7.0
        return row * 1.0 + c[0]
    return row * 2.0


def view_carried_by_a_loop(a):
    row = a[0]
    for k in range(len(a)):
        b = a * float(k + 2)
        made = row * 1.0 + b[k]
        row = b[k]
        a = a + made
    return row * 1.0


def names_of_one_array(a):
    b = a + 1.0
    c = b
    row = c[1]
    b = a * 3.0
    d = a * 5.0
    return row * 1.0 + d[0] + b[0]


def written_through_views(a):
    b = a + 1.0
    row = b[1]
    row[:] = 4.0
    b[0] = row
    g = take_and_clear(b[1])
    add_to(b[0], g)
    return b * 1.0


def transposed(a):
    b = a + 1.0
    t = b.T
    row = t[1]
    c = a * 7.0
    return row * 1.0 + c[0, 0]


def by_index_arrays(a):
    b = a + 1.0
    at = np.array([1, 0])
    some = b[at]
    row = some[0]
    c = a * 7.0
    return row * 1.0 + c[0]


PROGRAMS = [
    rows_that_borrow,
    whole_dropped_first,
    whole_given_another_array,
    view_of_a_view,
    view_that_is_returned,
    view_in_a_tuple,
    view_in_a_list,
    view_read_in_another_block,
    view_carried_by_a_loop,
    names_of_one_array,
    written_through_views,
    transposed,
    by_index_arrays,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_values_and_memory(program):
    a = np.arange(12.0).reshape(3, 4)
    wanted = program(a.copy())
    compiled = guarded(program)
    np.testing.assert_array_equal(compiled(a.copy()), wanted)
    with counted():
        before = live()
        for _ in range(3):
            compiled(a.copy())
        assert live() == before


def found_in(monkeypatch, program):
    """The ownership found in a program that is compiled."""
    found = []

    def spy(blocks, typeof):
        found.append(ownership(blocks, typeof))
        return found[-1]

    monkeypatch.setattr(ad.guard, "ownership", spy)
    guarded(program)(np.arange(12.0).reshape(3, 4))
    return found[-1]


def test_views_of_rows_borrow(monkeypatch):
    found = found_in(monkeypatch, rows_that_borrow)
    assert {"row", "part"} <= found.borrowed
    assert "total" not in found.borrowed | found.sole  # which is returned


def test_what_is_kept_does_not_borrow(monkeypatch):
    for program in (view_that_is_returned, view_in_a_tuple, view_in_a_list, view_read_in_another_block):
        found = found_in(monkeypatch, program)
        assert "row" not in found.borrowed
        assert "b" not in found.sole


def test_arrays_of_statements_have_one_reference(monkeypatch):
    found = found_in(monkeypatch, whole_dropped_first)
    assert "row" in found.borrowed
    assert any(name.startswith(("b", "$")) for name in found.sole)
