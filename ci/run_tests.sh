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
*tests/* | *-m\ *) run "$@" ;;
*)  # What measures has the machine to itself; the others wait and compile for most of their time.
    run -m measures tests/tape "$@"
    run -m "not measures" -n 2 --dist worksteal "$@" ;;
esac
