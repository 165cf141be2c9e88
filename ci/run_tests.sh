# shellcheck shell=sh
# Sourced: runs the tests in $VENV from a copy outside the tree, so that only what is installed can be imported.
AWAY=$(mktemp -d)
trap 'rm -rf "$AWAY"' EXIT
cp -r "$ROOT/tests" "$ROOT/benchmarks" "$ROOT/docs" "$ROOT/README.md" "$ROOT/CONTRIBUTING.md" "$ROOT/pyproject.toml" "$AWAY"
cd "$AWAY" || exit
LAYERED_TAPE_INSTALLED=1 "$VENV/bin/python" -m pytest -p no:cacheprovider "$@"
