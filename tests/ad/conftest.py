"""What the tests of `ad` share: the reference on dual numbers, an interpreter, a private cache."""

import os
import zlib

import interpreter
import pytest
import reference

from tape import Tape


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
    return interpreter.interpreted_gradient


@pytest.fixture(scope="session")
def memory_limit():
    """Tapes have a memory limit; the test is skipped where they have none yet."""
    try:
        Tape("f8", memory="1 MiB").close()
    except TypeError:
        pytest.skip("this version of the tape has no memory limit")


@pytest.fixture
def compile_or_skip(request):
    """Skips a program that is not in the sample which the default run compiles."""
    case = request.node.callspec.params["case"]
    name = getattr(case, "id", None) or case.name
    if not request.config.getoption("--compile-all") and zlib.crc32(name.encode()) % 40:
        pytest.skip("run as plain Python; --compile-all compiles it")
