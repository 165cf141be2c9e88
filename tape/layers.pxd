"""What a tape with a memory budget does where its cursor crosses the border of a slab.

Only here does the thread that uses the tape meet the background threads.  All functions take the budget's lock themselves,
need no GIL, and return a status of tape.stack.  `in_use` is the tape's flag: it is set while a wait gives up the GIL.
"""

from tape.residency cimport budget_s, fault_s, layers_s, store_ref_s, traffic_s
from tape.slab cimport pool_s, slab_s

cdef enum layers_status:
    LAYERS_OK = 0
    LAYERS_NOMEM = 2        # TAPE_NOMEM
    LAYERS_SPILL = 6        # TAPE_SPILL
    LAYERS_CORRUPT = 7      # TAPE_CORRUPT
    LAYERS_INTERRUPTED = 9  # TAPE_INTERRUPTED
    LAYERS_STOPPED = 10     # TAPE_STOPPED

cdef layers_s *layers_new(budget_s *b, pool_s *pool, size_t slab_bytes, bint prefetch) noexcept nogil
cdef void layers_free(layers_s *l) noexcept nogil
cdef bint layers_carried(const layers_s *l) noexcept nogil
cdef void layers_snapshot(layers_s *l, traffic_s *traffic, fault_s *fault) noexcept nogil
cdef int layers_add_store(layers_s *l, store_ref_s store) noexcept nogil
cdef slab_s *layers_take(layers_s *l, size_t bytes, bint populate, int *in_use, int *status) noexcept nogil
cdef void layers_raise(layers_s *l, slab_s *below, slab_s *above) noexcept nogil
cdef void layers_lower(layers_s *l, slab_s *top, slab_s *to) noexcept nogil
cdef int layers_need(layers_s *l, slab_s *slab, bint popping, int *in_use) noexcept nogil
cdef void layers_pin(layers_s *l, slab_s *slab, int pins) noexcept nogil
cdef void layers_release(layers_s *l) noexcept nogil
