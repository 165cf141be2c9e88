#!/bin/sh
# The tests of the tape against a build with AddressSanitizer.  Arguments go to pytest.
# Leaks are not looked for: CPython and LLVM keep memory to the end.  The downstream build is left out (it would need
# the sanitizer too), and so are the tests that bound the size of the process, which the sanitizer swells, and those
# that fork.
set -eu
. "$(dirname "$0")/env.sh"
ASAN=$(${CC:-cc} -print-file-name=libasan.so)
[ -e "$ASAN" ] || { echo "sanitize: this compiler has no libasan; nothing was checked"; exit 1; }
STDCXX=$(${CC:-cc} -print-file-name=libstdc++.so.6)
fresh_venv sanitize
LAYERED_TAPE_CHECKED=1 LAYERED_TAPE_SANITIZE=address \
    "$VENV/bin/python" -m pip install --quiet --no-cache-dir "${ROOT}[test,demo]"
compiled_with __asan_init
export LD_PRELOAD="$ASAN $STDCXX" PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0
set -- tests/tape -k "not leak and not fork and not child" "$@"
. "$ROOT/ci/run_tests.sh"
