"""How many arrays compiled code holds, by the statistics of Numba's runtime."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core.runtime import _nrt_python, rtsys

from tape import capi


@contextmanager
def counted() -> Iterator[None]:
    """Count all arrays: `live` and `made` say how many."""
    _nrt_python.memsys_enable_stats()
    capi.count_arrays(True)
    try:
        yield
    finally:
        capi.count_arrays(False)
        _nrt_python.memsys_disable_stats()


def made() -> int:
    return rtsys.get_allocation_stats().mi_alloc


def live() -> int:
    """Arrays that compiled code allocated and has not freed."""
    gc.collect()
    stats = rtsys.get_allocation_stats()
    return stats.mi_alloc - stats.mi_free
