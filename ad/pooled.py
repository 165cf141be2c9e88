"""Arrays of generated functions come from the pool of the tapes.

Numba takes the memory of an array from malloc and gives it back at its end.  That of a large one is fresh at every
call: its pages are faulted in and zeroed again, which takes about 1 ms for 8 MB, as long as a whole sweep over it.
The pool keeps it for the next call.  Results come from there too, and go back when Python drops the last reference:
they are ordinary arrays, to be kept and dropped anywhere.

Arrays of less than 4 KB are many, and are not faulted in: each thread keeps the memory of its own (`tape.bins`).  The
statistics of Numba's runtime have all of them where NUMBA_NRT_STATS is set, or after `tape.capi.count_arrays(True)`.

Sources: numba/core/runtime/context.py and nrt_external.h.
"""

from numba.core import config
from numba.core.runtime.context import NRTContext

from tape import capi, cursor

__all__ = ["PooledRuntime"]

capi.count_arrays(bool(config.NRT_STATS))


class PooledRuntime(NRTContext):
    """How compiled code calls Numba's runtime; new arrays go through `tape.capi.lt_new_array`."""

    def meminfo_alloc_aligned_unchecked(self, builder, size, align):
        return cursor.call(builder, "new_array", [size, self.get_nrt_api(builder)])
