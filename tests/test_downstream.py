"""A package of its own, built against the installed tape with nothing but cimport, and run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="no C compiler")
def test_a_downstream_extension(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(HERE / "downstream", source)
    target = tmp_path / "target"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "--target",
        target,
    ]
    built = subprocess.run([*pip, source], capture_output=True, text=True, timeout=240)
    assert built.returncode == 0, built.stdout + built.stderr
    env = dict(os.environ, PYTHONPATH=str(target))
    script = source / "use_downstream.py"
    done = subprocess.run([sys.executable, "-W", "error", script], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all holds" in done.stdout
