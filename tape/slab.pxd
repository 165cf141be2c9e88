"""Slabs, and the pool they come from and go back to.

A slab is 64-byte aligned memory and a node that describes it.  The node stands apart from its memory, so that
the memory of a slab can leave (for disk, say) while its place in a tape stays.
All functions need no GIL and may be called from any thread.
"""

cdef struct slab_s:
    char *data      # the memory
    size_t bytes    # its size
    char *fill      # end of the items, while the slab is not the tape's current one
    size_t base     # bytes of items on the tape below this slab
    size_t depth    # slabs on the tape below this one
    size_t held     # bytes of the slabs on the tape up to and with this one
    slab_s *prev
    slab_s *next    # on a tape: the slab above; in a pool: the next free one
    slab_s *jump    # a slab further down (see stack.pyx, tape_find)

cdef enum:
    SIZE_CLASSES = 64   # class k holds free slabs of 2**k <= bytes < 2**(k + 1)

cdef struct pool_s:
    size_t limit        # most bytes, in use and free together
    size_t retain       # most free bytes kept for the next tape
    size_t used_bytes
    size_t free_bytes
    size_t high_bytes   # most bytes that were ever in use
    size_t used_slabs
    size_t free_slabs
    size_t allocations  # slabs taken from the operating system so far
    size_t recycled     # slabs handed out again so far
    slab_s *free[SIZE_CLASSES]

cdef pool_s *pool_default() noexcept nogil
cdef slab_s *pool_take(pool_s *pool, size_t bytes, bint populate) noexcept nogil
cdef void pool_give(pool_s *pool, slab_s *slab) noexcept nogil
cdef void pool_trim(pool_s *pool, size_t keep) noexcept nogil

cdef class SlabPool:
    cdef pool_s *pool
    cdef pool_s own
    cdef object __weakref__
