#!/bin/sh
# Does ci/regressions.sh do its work on this machine?  It must stay quiet on ten comparisons of HEAD with itself, and must
# find a push that was made about a fifth slower (by one more load in the compiled loop).
set -eu
. "$(dirname "$0")/env.sh"
"$PYTHON" "$ROOT/ci/regressions.py" HEAD HEAD --repeat 10 || { echo "selftest: found a slowdown where there is none"; exit 1; }
SLOWER='sed -i "s/^    _store_items(builder, at, \[item\], size)/    builder.load_atomic(builder.bitcast(at, _SIZE.as_pointer()), \"monotonic\", 8)\n&/" tape/cursor.py && grep -q load_atomic tape/cursor.py'
if "$PYTHON" "$ROOT/ci/regressions.py" HEAD HEAD --plant "$SLOWER"; then
    echo "selftest: missed the planted slowdown"
    exit 1
fi
echo "selftest: quiet ten times, and found the planted slowdown"
