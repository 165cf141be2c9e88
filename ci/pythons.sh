#!/bin/sh
# The tests on every supported Python that this machine has.  Arguments go to pytest.
set -eu
. "$(dirname "$0")/env.sh"

# The path of Python 3.$1: one on the path, or one of pyenv's that is not switched on.
find_python() {
    for python in "$(command -v "python3.$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$1".*/bin/python; do
        "$python" -c "import venv" 2> /dev/null && { echo "$python"; return; }
    done
}

for minor in 11 12 13; do
    PYTHON=$(find_python "$minor" || true)
    [ -n "$PYTHON" ] || { echo "Python 3.$minor: not on this machine"; continue; }
    echo "Python 3.$minor: $PYTHON"
    fresh_venv "py3$minor"
    "$VENV/bin/python" -m pip install --quiet "${ROOT}[test,demo]"
    ( . "$ROOT/ci/run_tests.sh" )
done
