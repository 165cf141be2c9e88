#!/bin/sh
# Lint, types, wheel; then the tests against the installed wheel, from outside the tree.  Arguments go to pytest.
set -eu
. "$(dirname "$0")/env.sh"

fresh_venv tools
# Pinned: a new release of a linter must not fail a tree that did not change.
"$VENV/bin/python" -m pip install --quiet ruff==0.17.6 mypy==2.4.1 build numpy numba scipy-stubs platformdirs
cd "$ROOT"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
rm -rf "$BUILD/dist"
"$VENV/bin/python" -m build --outdir "$BUILD/dist" . > "$BUILD/build.log" 2>&1 || { tail -50 "$BUILD/build.log"; exit 1; }
"$VENV/bin/python" ci/check_dist.py "$BUILD/dist"

fresh_venv test
"$VENV/bin/python" -m pip install --quiet "$(ls "$BUILD"/dist/*.whl)[test,demo]"
. "$ROOT/ci/run_tests.sh"
