"""The threads that loops over ``prange`` run on, which are Numba's."""

import threading
from contextlib import AbstractContextManager, nullcontext

import numba

__all__ = ["region", "thread_count"]

_workqueue = threading.Lock()


def thread_count() -> int:
    """How many threads the calling thread may use (`numba.set_num_threads`)."""
    count: int = numba.get_num_threads()
    return count


def region() -> AbstractContextManager[object]:
    """A context for a call of a function with threads.

    Numba's layer ``workqueue``, the one where neither TBB nor OpenMP is, ends the process where two threads of Python
    use it at the same time: there calls wait for one another.  `thread_count`, called before, starts the layer.
    """
    return _workqueue if numba.threading_layer() == "workqueue" else nullcontext()
