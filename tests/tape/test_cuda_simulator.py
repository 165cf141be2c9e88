"""What runs on a device, tested in Numba's CUDA simulator: in a process of its own, since it is chosen at import."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ad

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
@pytest.mark.parametrize("file, least", [("tape/test_cuda_device.py", 17), ("ad/test_cuda_target.py", 14)])
def test_in_the_simulator(file, least):
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", str(TESTS / file)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert int(re.search(r"(\d+) passed", found.stdout)[1]) >= least, found.stdout


def test_a_gradient_for_the_device_without_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"layered-tape\[cuda\]"):
        ad.grad(lambda x: x * x, target="cuda")


def test_importing_tapes_loads_no_cuda():
    program = "import sys, ad, tape, tape.cuda; print(any(m.startswith(('numba.cuda', 'cuda')) for m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "False", found.stdout
