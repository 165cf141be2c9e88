"""Settings for all tests."""

import gc
import os
import signal

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
# On CI the same examples each time: a failure there can be repeated.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Compiling makes many objects that stay, and looking through them so often takes a thirtieth of the time.
gc.set_threshold(10_000, 20, 50)

# A shell starts a job in the background with SIGINT ignored; the tests of Ctrl-C need Python's own handler then too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--compile-all", action="store_true", help="compile every program of the matrices, not a sample")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--compile-all"):
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(pytest.mark.skip(reason="takes long to compile; --compile-all runs it"))


@pytest.fixture(scope="module", autouse=True)
def only_what_is_new_is_collected():
    """A collection of garbage passes over what was there before the module: of much compiled code it takes a second."""
    gc.collect()
    gc.freeze()
