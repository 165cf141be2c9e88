#!/bin/sh
# The main job in an environment of its own.  Arguments go to the demo (see: python -m ad demo --help).
set -eu
. "$(dirname "$0")/env.sh"
fresh_venv demo
"$VENV/bin/python" -m pip install --quiet "${ROOT}[demo]"
"$VENV/bin/python" -P -m ad demo "$@"    # -P: what is installed, not the tree that this may be run from
