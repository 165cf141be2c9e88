"""Makes push about a fifth slower in the tree that this is run in: the planted slowdown of ci/regressions_selftest.sh.

Compiled loops get loads from the slot that is about to be written, which an optimiser must keep; the method of Python
gets additions to a volatile variable.  How much slower that is depends on the machine; the table of the check says it.
"""

import sys
from pathlib import Path

LOADS, ADDITIONS = 4, 8


def put_before(path, line, text):
    source = Path(path).read_text()
    if source.count(line) != 1:
        sys.exit(f"slow_push: {path} has changed; choose another place than {line!r}")
    Path(path).write_text(source.replace(line, text + line))


put_before(
    "tape/cursor.py",
    "    _store_items(builder, at, [item], size)\n",
    f"    for _ in range({LOADS}):\n"
    "        builder.load_atomic(builder.bitcast(at, _SIZE.as_pointer()), 'monotonic', 8)\n",
)
put_before(
    "tape/core.pyx",
    "        self.edge()\n        if self.kind == KIND_F8 and PyFloat_CheckExact(x):\n",
    "        cdef volatile int waste = 0\n" + "        waste += 1\n" * ADDITIONS,
)
