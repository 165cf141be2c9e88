"""What is compiled with helpers for whole arrays is found again by the next process, and is right there."""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from numba import njit

from ad.arrays.accumulate import add_to, take_and_clear, total
from ad.arrays.choices import where_vjp_true
from ad.arrays.indexing import gather, scatter_add
from ad.arrays.linear import array_matmul
from ad.arrays.reductions import array_mean, max_vjp


@njit(cache=True, nogil=True, error_model="numpy")
def f(x, index):
    xb = np.zeros_like(x)
    scatter_add(xb, index, gather(x, index))
    add_to(xb, max_vjp(array_mean(x, 1, False), x, 1))
    add_to(xb, where_vjp_true(take_and_clear(xb), x > 0.5))
    return total(array_matmul(xb, xb.T))


print(f(np.arange(12.0).reshape(4, 3) / 10, np.array([0, 2, 2])), sum(f.stats.cache_hits.values()))
"""


@pytest.mark.slow
@pytest.mark.thorough  # tests/ad/test_cache.py has it of gradients
def test_the_second_process_does_not_compile(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    first, second = (
        subprocess.run([sys.executable, program], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert first[1] == "0"
    assert second == [first[0], "1"]
