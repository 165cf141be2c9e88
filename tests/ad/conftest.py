"""What the tests of `ad` share: the reference on dual numbers, an interpreter, random programs, a private cache."""

import importlib.util
import os
from pathlib import Path

import pytest
import reference

from tape import Tape


def _sibling(name):
    """A module of helpers beside this file; tests are not a package."""
    spec = importlib.util.spec_from_file_location(f"ad_test_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory):
    """Generated code of the tests goes into a directory of their own."""
    path = tmp_path_factory.mktemp("ad-cache")
    before = os.environ.get("LAYERED_TAPE_CACHE_DIR")
    os.environ["LAYERED_TAPE_CACHE_DIR"] = str(path)
    yield path
    if before is None:
        del os.environ["LAYERED_TAPE_CACHE_DIR"]
    else:
        os.environ["LAYERED_TAPE_CACHE_DIR"] = before


@pytest.fixture(scope="session")
def dual_gradient():
    return reference.dual_gradient


@pytest.fixture(scope="session")
def interpreted_gradient():
    return _sibling("interpreter").interpreted_gradient


@pytest.fixture(scope="session")
def random_program():
    return _sibling("randomprogram").random_program


@pytest.fixture(scope="session")
def memory_limit():
    """Tapes have a memory limit; the test is skipped where they have none yet."""
    try:
        Tape("f8", memory="1 MiB").close()
    except TypeError:
        pytest.skip("this version of the tape has no memory limit")
