"""Views as numbers: made again, they are the same view; of an array of the same layout, the same part."""

import numpy as np
import pytest
from numba import njit

from ad.arrays.references import offset_in, step_of, view_at


def line_again(view, base):
    return view_at(base, offset_in(view, base), (len(view),), (step_of(view, 0),))


def plane_again(view, base):
    n, m = view.shape
    return view_at(base, offset_in(view, base), (n, m), (step_of(view, 0), step_of(view, 1)))


def lines(a):
    yield from (a[0], a[-1], a[:, 2], a[::-1, 1], a[1, ::2], a[1, 3:0:-2], a[2, 4:], a.T[0], a[1, 2:3])


def planes(a):
    yield from (a, a.T, a[1:], a[:, ::-1], a[::-2, 1::2], a.T[::2, 1:], a[1:1], a[:, 4:])


@pytest.fixture(params=["interpreted", "compiled"])
def how(request):
    return (lambda f: f) if request.param == "interpreted" else njit


@pytest.mark.parametrize("order", "CF")
def test_views(how, order):
    base = np.array(np.arange(12.0).reshape(3, 4), order=order)
    for again, views in ((line_again, lines), (plane_again, planes)):
        again = how(again)
        for view in views(np.asarray(base)):
            made = again(view, base)
            np.testing.assert_array_equal(made, view)
            made[...] += 100.0
            np.testing.assert_array_equal(made, view)
            assert view.size == 0 or np.shares_memory(made, base)


@pytest.mark.parametrize("at, shape, steps", [(10, (3,), (1,)), (-1, (2,), (1,)), (2, (4,), (-1,)), (0, (5,), (3,))])
def test_outside(how, at, shape, steps):
    base = np.arange(12.0)
    again = how(lambda base, at, shape, steps: view_at(base, at, shape, steps))
    with pytest.raises(IndexError, match="not within"):
        again(base, at, shape, steps)
    assert again(base, 12, (0,), (1,)).size == 0
