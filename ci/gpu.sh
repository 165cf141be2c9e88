#!/bin/sh
# On a machine with a GPU: builds the package from the tree, runs the tests of device tapes on the GPU and prints the tables
# of benchmarks/gpu.py.  Needs no network: Python ($PYTHON) has to have what pyproject.toml names, with numba-cuda, Cython,
# setuptools, pytest and hypothesis.  With arguments: those of pytest, and no tables.  SITE: where the package is installed.
set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python3}
SITE=${SITE:-$ROOT/build/gpu-site}
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1

cd "$ROOT"
if [ ! -d "$SITE/tape" ]; then
    mkdir -p "$ROOT/build"
    printf '[build_ext]\nparallel = %s\n' "$(nproc)" > "$ROOT/build/gpu.cfg"
    DIST_EXTRA_CONFIG=$ROOT/build/gpu.cfg "$PYTHON" -m pip install --quiet --no-index --no-deps --no-build-isolation \
        --target "$SITE" "$ROOT" > "$ROOT/build/gpu.log" 2>&1 || { tail -30 "$ROOT/build/gpu.log"; exit 1; }
fi
PYTHONPATH=$SITE${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH

# From elsewhere, so that what is installed is what is imported.
AWAY=$(mktemp -d)
trap 'rm -rf "$AWAY"' EXIT
cp -r tests benchmarks pyproject.toml "$AWAY"
cd "$AWAY"
"$PYTHON" -c 'from tape.cuda.select import current_device; print(current_device().name)'
"$PYTHON" -m pytest -q -rs -p no:cacheprovider tests/tape/test_cuda_device.py \
    tests/ad/test_cuda_target.py "$@"
[ $# -gt 0 ] || "$PYTHON" benchmarks/gpu.py
