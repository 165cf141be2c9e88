"""Arrays of generated functions come from the pool of the tapes.

Numba takes the memory of an array from malloc and gives it back at its end.  That of a large one is fresh at every
call: its pages are faulted in and zeroed again, which takes about 1 ms for 8 MB, as long as a whole sweep over it.
The pool keeps it for the next call.  Results come from there too, and go back when Python drops the last reference:
they are ordinary arrays, to be kept and dropped anywhere.

Sources: numba/core/runtime/context.py and nrt_external.h.
"""

import llvmlite.ir as llvm
from numba.core import types
from numba.core.runtime.context import NRTContext

from tape import cursor

__all__ = ["PooledRuntime"]

LEAST = 4096
"""Bytes of the smallest array that comes from the pool: 17 ns of any size, where malloc takes 20 to 35 (one thread).

Below, the difference is small, and malloc has no lock that all threads share.
"""


class PooledRuntime(NRTContext):
    """How compiled code calls Numba's runtime; new arrays go through `tape.capi.lt_new_array`."""

    def meminfo_alloc_aligned_unchecked(self, builder, size, align):
        small = builder.icmp_unsigned("<", size, self._context.get_constant(types.intp, LEAST))
        with builder.if_else(small) as (below, above):
            with below:
                plain = super().meminfo_alloc_aligned_unchecked(builder, size, align)
                plain_block = builder.basic_block
            with above:
                pooled = cursor.call(builder, "new_array", [size, self.get_nrt_api(builder)])
                pooled_block = builder.basic_block
        meminfo: llvm.PhiInstr = builder.phi(plain.type)
        meminfo.add_incoming(plain, plain_block)
        meminfo.add_incoming(pooled, pooled_block)
        return meminfo
