#!/bin/sh
# The tests on every supported Python that this machine has.  Arguments go to pytest.
set -eu
. "$(dirname "$0")/env.sh"
for minor in 11 12 13; do
    PYTHON=$(command -v "python3.$minor" || true)
    if [ -z "$PYTHON" ] || ! "$PYTHON" -c '' 2> /dev/null; then
        # pyenv's shims exist for versions that are not switched on
        PYTHON=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python 2> /dev/null | tail -1)
    fi
    [ -n "$PYTHON" ] || { echo "Python 3.$minor: not on this machine"; continue; }
    echo "Python 3.$minor: $PYTHON"
    fresh_venv "py3$minor"
    "$VENV/bin/python" -m pip install --quiet "$ROOT[test,demo]"
    ( . "$ROOT/ci/run_tests.sh" )
done
