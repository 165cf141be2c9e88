#!/bin/sh
# The tests against a build with bounds checks and internal assertions.  Arguments go to pytest.
set -eu
. "$(dirname "$0")/env.sh"
fresh_venv checked
LAYERED_TAPE_CHECKED=1 "$VENV/bin/python" -m pip install --quiet --no-cache-dir "${ROOT}[test,demo]"
compiled_with "broken invariant"
. "$ROOT/ci/run_tests.sh"
