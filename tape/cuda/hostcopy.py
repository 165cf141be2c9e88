"""Copies between host memory and host memory, by several threads: one alone is slower than the bus to a device."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tape.cuda.device import Bytes

__all__ = ["copy_bytes"]

Pair = tuple[Bytes, Bytes]

_PIECE = 1 << 20  # what a thread is not woken for
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


def _pieces(target: Bytes, source: Bytes, most: int) -> Iterator[Pair]:
    count = max(1, min(most, len(source) // _PIECE))
    step = -(-len(source) // count // 4096) * 4096
    for start in range(0, len(source), step or 1):
        yield target[start : start + step], source[start : start + step]


def _copy_in_turn(pairs: Sequence[Pair]) -> None:
    for target, source in pairs:
        np.copyto(target, source)


def copy_bytes(*pairs: Pair) -> None:
    """Copy all of each second array, of bytes, to the first one beside it, which is as long."""
    threads = min(_threads(), sum(len(source) for _, source in pairs) // _PIECE)
    if threads < 2:
        return _copy_in_turn(pairs)
    pieces = [piece for target, source in pairs for piece in _pieces(target, source, threads)]
    share = -(-len(pieces) // threads)
    pool = _workers()
    copies = [pool.submit(_copy_in_turn, pieces[k : k + share]) for k in range(0, len(pieces), share)]
    for copy in copies:
        copy.result()
