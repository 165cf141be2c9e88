#!/bin/sh
# A quick pass of the benchmarks over the last commits, published as asv's HTML dashboard.
# usage: sh ci/dashboard.sh [COMMITS]   (3 unless told; each is built and measured in an environment of its own)
set -eu
. "$(dirname "$0")/env.sh"
COMMITS=${1:-3}
cd "$ROOT"
fresh_venv asv
"$VENV/bin/python" -m pip install --quiet asv virtualenv
asv() { "$VENV/bin/asv" "$@"; }
asv machine --yes > /dev/null
for commit in $(git rev-list --reverse --max-count="$COMMITS" HEAD); do
    # A commit that does not build or lacks a benchmark is a gap in the graphs, not the end.
    asv run --quick --show-stderr "$commit^!" || echo "dashboard: $commit gave no or not all figures"
done
asv publish
echo "dashboard: $ROOT/.asv/html/index.html (asv preview serves it)"
