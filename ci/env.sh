# shellcheck shell=sh
# Sourced by the scripts here: the tree, the Python to start from, and fresh environments.
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python3}
BUILD=$ROOT/build
mkdir -p "$BUILD"

# A fresh virtual environment: fresh_venv NAME; its Python is then $VENV/bin/python.
fresh_venv() {
    VENV=$BUILD/venv-$1
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --upgrade pip
}

# That the build in $VENV is the one asked for: its extensions hold this text.
compiled_with() {
    for library in "$VENV"/lib/python3.*/site-packages/tape/stack*.so; do
        grep -q "$1" "$library" || { echo "$library was not compiled as asked for ($1)"; exit 1; }
    done
}
