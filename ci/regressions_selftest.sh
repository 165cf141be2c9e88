#!/bin/sh
# Does ci/regressions.sh do its work on this machine?  It must stay quiet on ten comparisons of HEAD with itself, and must
# find a push that was made about a fifth slower.
set -eu
. "$(dirname "$0")/env.sh"
"$PYTHON" "$ROOT/ci/regressions.py" HEAD HEAD --repeat 10 || { echo "selftest: found a slowdown where there is none"; exit 1; }
if "$PYTHON" "$ROOT/ci/regressions.py" HEAD HEAD --plant "$PYTHON ci/slow_push.py"; then
    echo "selftest: missed the planted slowdown"
    exit 1
fi
echo "selftest: quiet ten times, and found the planted slowdown"
