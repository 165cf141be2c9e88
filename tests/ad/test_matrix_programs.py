"""The programs of the matrix by themselves: they say the same under Python and Numba, and both references agree."""

import numpy as np
import pytest
from cases import load
from numba.core.errors import NumbaError
from reference import SINGLE, active, agree, dual_gradient, fresh
from reference.clones import Clones, Compiled

COMPILED = Compiled()  # one for all: what several programs call is compiled once
CASES = [pytest.param(case, id=case.id) for case in load()]


@pytest.mark.parametrize("case", CASES)
def test_references_agree(case):
    wrt = active(case.args)
    assert wrt, "nothing to differentiate with respect to"
    value = called(Clones(), case)
    assert np.isfinite(value)
    found, _ = dual_gradient(case.function, case.args, wrt)
    assert np.asarray(found).dtype == np.asarray(value).dtype
    assert found == pytest.approx(value, rel=SINGLE if case.single else 1e-13)
    agree(case.function, case.args, wrt, single=case.single)


@pytest.mark.thorough
@pytest.mark.parametrize("case", [p for p in CASES if not p.values[0].thorough])
def test_numba_agrees(case, compile_or_skip):
    expected = pytest.approx(called(Clones(), case), rel=SINGLE if case.single else 1e-13, abs=1e-15)
    if not case.without_numba:
        assert called(COMPILED, case) == expected
        return
    try:
        value = called(COMPILED, case)
    except (NumbaError, AssertionError):  # the latter Numba's own
        return
    assert value != expected, "the program runs under Numba: without_numba can go"


def called(clones, case):
    return clones.converted(case.function)(*clones.converted(fresh(case.args)))
