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
