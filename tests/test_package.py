"""What was installed, and from where."""

import importlib.metadata
import os
import sysconfig
from pathlib import Path

import pytest

import ad
import tape


@pytest.mark.parametrize("package", [tape, ad], ids=lambda p: p.__name__)
def test_the_installed_package_is_tested(package):
    # The scripts in ci/ say that they test an installed wheel; a developer may test the tree.
    if "LAYERED_TAPE_INSTALLED" not in os.environ:
        pytest.skip("not said to be installed (LAYERED_TAPE_INSTALLED)")
    assert Path(package.__file__).is_relative_to(sysconfig.get_paths()["platlib"])


def test_the_version_has_one_source():
    assert tape.__version__ == importlib.metadata.version("layered-tape")


def test_imports_go_one_way():
    for path in Path(tape.__file__).parent.glob("*.py*"):
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi"):
            text = path.read_text()
            assert "import ad" not in text, path
            assert "from ad" not in text, path
