"""Views into a tape pin what they show."""

import gc

import numpy as np
import pytest

from tape import Tape, TapeBusyError, TapeEmptyError, TapeValueError


@pytest.fixture
def tape():
    tape = Tape("f8")
    tape.extend(np.arange(50.0))
    return tape


def test_reserve_is_written_in_place(tape):
    view = tape.reserve(1000)
    assert (view.shape, view.dtype, view.flags.writeable) == ((1000,), np.dtype("f8"), True)
    view[:] = np.arange(1000.0)
    assert tape[50] == 0
    assert tape[-1] == 999
    assert view.ctypes.data % 64 == 0  # a slab
    del view
    assert np.array_equal(tape.popn(1000), np.arange(1000.0))


def test_peek_is_read_only(tape):
    view = tape.peek(3)
    assert view.tolist() == [47, 48, 49]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    assert tape.peek(0).shape == (0,)
    with pytest.raises(TapeEmptyError):
        tape.peek(51)


def test_peek_across_a_border_is_refused(tape):
    tape.extend(np.arange(100.0))
    with pytest.raises(TapeValueError, match=r"t\[-150:\]"):
        tape.peek(150)
    assert tape.peek(86).shape == (86,)


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t.pop(),
        lambda t: t.popn(1),
        lambda t: t.popn(50),
        lambda t: t.clear(),
        lambda t: t.close(),
    ],
)
@pytest.mark.parametrize("take", [lambda t: t.reserve(5), lambda t: t.peek(5)], ids=["reserve", "peek"])
def test_a_live_view_refuses_what_would_take_its_items(tape, take, use):
    view = take(tape)
    before = tape[:].tolist()
    for _ in range(2):
        with pytest.raises(TapeBusyError, match="view"):
            use(tape)
    assert tape[:].tolist() == before
    tape.push(1.0)  # above the view all goes on
    assert tape.pop() == 1.0
    part = view[2:4]  # part of a view is a view
    del view
    gc.collect()
    with pytest.raises(TapeBusyError):
        use(tape)
    del part
    use(tape)


def test_release_with_a_live_view(tape):
    tape.extend(np.ones(5000))
    tape.popn(5000)
    view = tape.peek(5)
    tape.release()
    assert view.tolist() == [45, 46, 47, 48, 49]


def test_rewind_past_a_view_is_refused(tape):
    mark = tape.mark()
    view = tape.reserve(600)
    with pytest.raises(TapeBusyError):
        tape.rewind(mark)
    assert mark.live
    del view
    tape.rewind(mark)
    assert len(tape) == 50


def test_views_die_in_any_order(tape):
    views = [tape.reserve(40) for _ in range(30)]
    assert tape.stats().pins == 30
    for k in np.random.default_rng(0).permutation(30):
        views[k] = None
        if any(v is not None for v in views):
            with pytest.raises(TapeBusyError):
                tape.clear()
    tape.clear()
    assert tape.stats().pins == 0


def test_a_mark_at_the_place_of_a_pin_survives_a_refused_pop(tape):
    view = tape.peek(3)
    mark = tape.mark()
    with pytest.raises(TapeBusyError):
        tape.pop()
    assert mark.live
    del view
    tape.pop()
    assert not mark.live


def test_structured_and_unusual_dtypes_have_views():
    tape = Tape([("a", "f8"), ("n", "i4")])
    view = tape.reserve(3)
    view["a"], view["n"] = [1, 2, 3], [4, 5, 6]
    assert tape[1].tolist() == (2.0, 5)
    times = Tape("M8[s]")
    times.reserve(2)[:] = np.array([1, 2], "M8[s]")
    assert times.peek(2).dtype == np.dtype("M8[s]")
