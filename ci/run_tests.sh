# shellcheck shell=sh
# Sourced: runs the tests in $VENV from a copy outside the tree, so that only what is installed can be imported.
AWAY=$(mktemp -d)
trap 'rm -rf "$AWAY"' EXIT
cp -r "$ROOT/tests" "$ROOT/benchmarks" "$ROOT/docs" "$ROOT/README.md" "$ROOT/CONTRIBUTING.md" "$ROOT/pyproject.toml" "$AWAY"
cd "$AWAY" || exit
run() {
    # 5: nothing was selected
    LAYERED_TAPE_INSTALLED=1 "$VENV/bin/python" -m pytest -p no:cacheprovider "$@" || [ $? -eq 5 ]
}
case "$*" in
*tests/*) run "$@" ;;
*)  # Those of the tape by themselves, because some measure; those of ad compile for most of their time.
    run tests/tape tests/test_downstream.py tests/test_package.py "$@"
    run -n 2 --dist worksteal tests/ad "$@" ;;
esac
