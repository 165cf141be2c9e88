"""`ad` on the matrix of programs over arrays: against dual numbers to rounding, and against differences."""

import functools

import numpy as np
import pytest
from cases import load, pending
from reference import SINGLE, active, assert_near, difference_gradient, dual_gradient, fresh
from reference.compare import leaves

import ad

SMALL = 20_000  # bytes, close to the least that a tape takes
CASES = load()


def parameters(chosen):
    return [pytest.param(case, id=case.id) for case in CASES if chosen(case)]


@functools.cache
def gradient_of(function):
    return ad.value_and_grad(function)


def found_by_ad(gradient, args):
    """Value and derivatives in a list, by a call that may not change its arguments."""
    given = fresh(args)
    value, found = gradient(*given)
    for path, after, before in leaves(list(given), list(args)):
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before, err_msg=f"{path} was changed")
    return value, [found] if len(active(args)) == 1 else list(found)


def check(case, value, found, source):
    """Compare with both references."""
    wrt = active(case.args)
    note = f" in\n{source}"
    expected_value, expected = dual_gradient(case.function, case.args, wrt)
    rtol = SINGLE if case.single else 1e-12
    assert value == pytest.approx(expected_value, rel=rtol), f"value {note}"
    assert_near(found, expected, rtol=rtol, atol=rtol if case.single else 1e-13, note=note)
    differences = difference_gradient(case.function, case.args, wrt)
    for path, mine, reference, error in leaves(found, differences.derivatives, differences.errors):
        scale = np.maximum(1.0, np.maximum(np.abs(reference), abs(value)))
        allowed = 10.0 * error + (SINGLE if case.single else 1e-12) * scale
        assert np.all(np.abs(mine - reference) <= allowed), f"{path}: {mine}, differences {reference}{note}"


def unless_pending(case, test):
    """Run the test; for a program that is pending, make sure that it is refused in so many words."""
    if not {case.program, case.id} & pending():
        test()
        return
    try:
        test()
    except ad.ADError:
        return
    pytest.fail(f"{case.id} is right: remove it from pending.py")


@pytest.mark.parametrize("case", parameters(lambda case: not case.thorough))
def test_gradient(case, compile_or_skip):
    def test():
        gradient = gradient_of(case.function)
        value, found = found_by_ad(gradient, case.args)
        check(case, value, found, gradient.source)
        for path, mine, arg in leaves(found, [case.args[i] for i in active(case.args)]):
            if isinstance(arg, np.ndarray) and arg.dtype.kind == "f":
                assert mine.dtype == arg.dtype, f"{path} has dtype {mine.dtype}, not {arg.dtype}"

    unless_pending(case, test)


@pytest.mark.parametrize("case", parameters(lambda case: True))
def test_interpreted(case, interpreted_gradient):
    """The adjoint as plain Python."""

    def test():
        check(case, *interpreted_gradient(case.function, fresh(case.args), active(case.args)))

    unless_pending(case, test)


@pytest.mark.parametrize("case", parameters(lambda case: case.spill))
def test_spilling_changes_nothing(case, tmp_path, compile_or_skip):
    def test():
        gradient = gradient_of(case.function)
        value, found = found_by_ad(gradient, case.spill)
        small = gradient.with_options(memory=SMALL, spill_dir=tmp_path)
        value_again, found_again = found_by_ad(small, case.spill)
        assert small.traffic().bytes_written > 0, "nothing was spilled: the arguments are too small"
        assert np.isfinite(value) and value_again == value
        for path, mine, again in leaves(found, found_again):
            np.testing.assert_array_equal(mine, again, err_msg=path)
            assert np.all(np.isfinite(mine)), path

    unless_pending(case, test)


def test_pending_names_programs():
    known = {name for case in CASES for name in (case.program, case.id)} | {"random.scalars", "random.arrays"}
    unknown = pending() - known
    assert not unknown, f"pending.py names programs that do not exist: {sorted(unknown)}"
