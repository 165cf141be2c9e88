"""What the tests of tapes with a memory budget have in common."""

import gc
import os
import subprocess
import sys
import textwrap
import time

import numpy as np

from tape import Tape

SLAB = 4096  # the smallest: 512 float64
ITEMS = SLAB // 8
LEAST = 512 + 4 * SLAB  # the smallest budget of a tape with such slabs
PATIENCE = 30.0  # seconds, for what takes well under one


def small_tape(store, memory=8 * SLAB, dtype="f8", **options):
    """A tape that spills early."""
    return Tape(dtype, memory=memory, slab_bytes=SLAB, spill_dir=store, **options)


def numbers(n, start=0):
    return np.arange(start, start + n, dtype="f8")


def eventually(holds):
    """Whether something comes to be true."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def settled(tape):
    """The traffic of a tape when nothing has moved for a while: longer than its threads may wait for a processor."""
    before, now, same = None, tape.traffic(), 0
    while same < 4:
        time.sleep(0.02)
        before, now = now, tape.traffic()
        same = same + 1 if before == now else 0
    return now


def moved(tape):
    now = settled(tape)
    return now.bytes_written + now.bytes_read


def threads():
    """Threads of the process, those that Python does not know included."""
    return len(os.listdir("/proc/self/task"))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def nothing_left(before):
    """Whether threads and descriptors are as many as `before` again; a thread that ended is counted a while longer."""
    gc.collect()
    return eventually(lambda: threads() <= before[0] and descriptors() <= before[1])


PREAMBLE = """
import errno, gc, os, select, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
import numpy as np
import tape
from tape import *
from tape.budget import Budget
from tape.testing import FaultStore, MemoryStore
def small(store, memory=32768, **options):
    return Tape("f8", memory=memory, slab_bytes=4096, spill_dir=store, **options)
def child(work):
    sys.stdout.flush()
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(there, b"1")
            work()
        except BaseException as error:
            print("child", repr(error))
        finally:
            sys.stdout.flush()
            os._exit(0)
    # Python 3.11 may never return from fork() in the child: it deletes the states of the parent's threads under a lock
    # (_PyEval_ReInitThreads) before it makes that lock anew, and a thread without a state may just have asked for one.
    stuck = not select.select([here], [], [], 10)[0]
    if stuck:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(here)
    os.close(there)
    if stuck and sys.version_info < (3, 12):
        return child(work)
    assert status == 0
"""


def python(code, *flags, env=None, expect=0):
    """Run code in an interpreter of its own; what it printed and what it wrote to stderr."""
    # Python 3.12 and later advise against the forks that are tested here.
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            *flags,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            PREAMBLE + textwrap.dedent(code),
        ],
        capture_output=True,
        text=True,
        timeout=100,  # for half a second's work: processors may have much else to do
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout, done.stderr
