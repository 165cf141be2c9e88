"""Copies between host memory and host memory, by several threads: one alone is slower than the bus to a device."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tape.cuda.device import Bytes

__all__ = ["copy_bytes"]

_PIECE = 2 << 20  # below this a thread costs more than it copies
_MOST_THREADS = 8

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pid = 0


def _threads() -> int:
    try:
        return min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    except AttributeError:
        return min(_MOST_THREADS, os.cpu_count() or 1)


def _workers() -> ThreadPoolExecutor:
    global _pool, _pid
    with _lock:
        if _pool is None or _pid != os.getpid():  # threads do not survive a fork
            _pool, _pid = ThreadPoolExecutor(_threads(), thread_name_prefix="tape-copy"), os.getpid()
        return _pool


def _pieces(nbytes: int) -> Iterator[slice]:
    count = max(1, min(_threads(), nbytes // _PIECE))
    step = -(-nbytes // count // 4096) * 4096 if nbytes else 0
    for k in range(count):
        yield slice(k * step, min((k + 1) * step, nbytes))


def copy_bytes(target: Bytes, source: Bytes) -> None:
    """Copy all of `source`, an array of bytes, to `target`, which is as long."""
    pieces = list(_pieces(len(source)))
    if len(pieces) == 1:
        np.copyto(target, source)
        return
    pool = _workers()
    copies = [pool.submit(np.copyto, target[piece], source[piece]) for piece in pieces]
    for copy in copies:
        copy.result()
