#!/bin/sh
# Has HEAD become slower than BASE?  usage: sh ci/regressions.sh BASE [HEAD]   Exit status 1 if so.
set -eu
. "$(dirname "$0")/env.sh"
exec "$PYTHON" "$ROOT/ci/regressions.py" "$@"
