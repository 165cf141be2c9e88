"""What `ad` makes of every case in tests/ad/problems, and what Numba makes of the program itself.

    python ci/problems.py [PART OF A NAME]

A line says whether the gradient is right, what refuses the case, or what is wrong, and how long the first calls of the
program and of its gradient took.  Exit status 1 if anything is wrong, or Numba does not take a program.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np

import ad

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "ad"))
from problems import CASES, PENDING
from problems.reference import assert_gradient, complex_step, copies, plain


def timed(call, args):
    start = time.perf_counter()
    return call(*args), time.perf_counter() - start


def compiled(case):
    """Seconds that Numba takes; raises AssertionError where the value is another one."""
    value, seconds = timed(numba.njit(case.function), copies(case.args))
    np.testing.assert_allclose(value, plain(case.function)(*copies(case.args)), rtol=1e-11)
    return seconds


def differentiated(case):
    """What to say of the gradient, and seconds."""
    try:
        (value, found), seconds = timed(ad.value_and_grad(case.function, case.wrt), copies(case.args))
    except ad.ADError as error:
        expected = "" if case.name in PENDING else ", but is not in pending"
        return f"refused{expected}: {str(error).splitlines()[0]}", 0.0
    np.testing.assert_allclose(value, plain(case.function)(*copies(case.args)), rtol=1e-11)
    assert_gradient(case, found, case.expected() or complex_step(case.function, case.args, case.positions))
    return "right, but in pending" if case.name in PENDING else "right", seconds


directory = tempfile.TemporaryDirectory()  # an empty cache, so that compiling counts
os.environ["LAYERED_TAPE_CACHE_DIR"] = directory.name
failed = 0
print(f"{'case':50} {'Numba':>8} {'ad':>8}")
for case in CASES:
    if any(part not in case.name for part in sys.argv[1:]):
        continue
    program, gradient, words = float("nan"), float("nan"), ""
    try:
        program = compiled(case)
        words, gradient = differentiated(case)
    except Exception as error:
        words = f"WRONG: {type(error).__name__}: {error}".strip()
    failed += "WRONG" in words
    print(f"{case.name:50} {program:6.2f} s {gradient:6.2f} s  {words}", flush=True)
sys.exit(failed > 0)
