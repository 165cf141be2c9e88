#!/bin/sh
# Threads on tapes under ThreadSanitizer: the extensions and a driver in C (ci/threads/driver.pyx), nothing else.
# A race on purpose comes first: where the sanitizer does not see that one, its silence would mean nothing.
# OPERATIONS of each thread may be given.
set -eu
. "$(dirname "$0")/env.sh"
TSAN=$(${CC:-cc} -print-file-name=libtsan.so)
[ -e "$TSAN" ] || { echo "threads: this compiler has no libtsan; nothing was checked"; exit 1; }
fresh_venv threads
"$VENV/bin/python" -m pip install --quiet "Cython>=3.1" "setuptools>=77"
LAYERED_TAPE_CHECKED=1 LAYERED_TAPE_SANITIZE=thread "$VENV/bin/python" -m pip install --quiet --no-cache-dir "$ROOT"
compiled_with __tsan_init

WORK=$BUILD/threads
rm -rf "$WORK"
mkdir -p "$WORK"
cp "$ROOT/ci/threads/driver.pyx" "$WORK"
cd "$WORK"
"$VENV/bin/python" -m cython -3 driver.pyx
INCLUDE=$("$VENV/bin/python" -c "import sysconfig; print(sysconfig.get_paths()['include'])")
${CC:-cc} -O2 -g -fsanitize=thread -shared -fPIC -I "$INCLUDE" driver.c -o driver.so

# Without a random layout of memory: where that is too random the sanitizer does not start.
run() {
    TSAN_OPTIONS="exitcode=66 halt_on_error=0 log_path=$WORK/$1" LD_PRELOAD=$TSAN \
        setarch -R timeout 900 "$VENV/bin/python" -X faulthandler -c "import driver; driver.$2"
}
if run race "race()" || ! cat race.* | grep -q "data race"; then
    echo "threads: ThreadSanitizer did not see a race that is there"
    exit 1
fi
echo "the race on purpose was found"
run tapes "everything(${1:-10000})" || { cat tapes.*; echo "threads: see above"; exit 1; }
echo "threads: no data race"
