"""Settings for all tests."""

import os

from hypothesis import settings

settings.register_profile("default", deadline=None)
# On CI the same examples each time: a failure there can be repeated.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
