"""Slabs, and the pool they come from and go back to.

A slab is 64-byte aligned memory and a node that describes it.  The node stands apart from its memory, so that
the memory of a slab can leave (for disk, say) while its place in a tape stays.
All functions need no GIL and may be called from any thread.
"""

cdef enum slab_state:
    SLAB_DIRTY = 0      # in memory only
    SLAB_WRITING = 1    # in memory, on its way to the store
    SLAB_CLEAN = 2      # in memory and in the store
    SLAB_SPILLED = 3    # in the store only
    SLAB_READING = 4    # on its way back

cdef enum ahead_of:
    AHEAD_OF_NOTHING = 0
    AHEAD_OF_POPS = 1
    AHEAD_OF_LOOKS = 2

cdef struct slab_s:
    char *data      # the memory
    size_t bytes    # its size
    size_t filled   # bytes of items in it, while it is not the tape's current one
    size_t base     # bytes of items on the tape below this slab
    size_t depth    # slabs on the tape below this one
    size_t held     # bytes of the slabs on the tape up to and with this one
    slab_s *prev    # on a tape: the slab below; in a pool: the free one of its class that came before
    slab_s *next    # on a tape: the slab above; in a pool: the one that came after
    slab_s *jump    # a slab further down (see stack.pyx, tape_find)
    # The rest is for the full-sized slabs of a tape with a memory budget (see residency.pxd).
    void *owner         # its layers_s; NULL for a slab that always stays in memory
    size_t index        # among the slabs of its owner, oldest first
    long long slot      # where it lies in its store, if it was written
    unsigned long long checksum
    slab_s *newer       # by last use, among the free slabs of a pool or those that were read for looking
    slab_s *older
    slab_s *queued      # the next one that somebody waits for
    slab_state state
    int store           # number of its store
    int pins            # live views into it
    int error           # why it could not be read: a status of the store contract
    bint stale          # it changed while it was being written
    bint orphan         # its tape dropped it while it was in flight
    bint browsed        # read for looking, not for popping
    ahead_of ahead      # read before it was asked for, ahead of what

cdef enum:
    SIZE_CLASSES = 512  # eight for each power of two
    ARRAY_LEAD = 16     # bytes in front of the memory of an array

cdef struct pool_s:
    size_t limit        # most bytes, of slabs in use and free ones together
    size_t retain       # most free bytes kept for the next tape or array
    size_t used_bytes
    size_t free_bytes
    size_t high_bytes   # most bytes that were ever in use
    size_t used_slabs
    size_t free_slabs
    size_t array_bytes  # bytes of the slabs that hold an array of compiled code
    size_t arrays       # how many those are
    size_t allocations  # slabs taken from the operating system so far
    size_t recycled     # slabs handed out again so far
    slab_s *oldest      # free slabs, by the time of their coming back
    slab_s *newest
    slab_s *free[SIZE_CLASSES]

cdef pool_s *pool_default() noexcept nogil
cdef slab_s *pool_take(pool_s *pool, size_t bytes, bint populate, bint exact) noexcept nogil
cdef void pool_give(pool_s *pool, slab_s *slab) noexcept nogil
cdef char *pool_take_memory(pool_s *pool, size_t bytes) noexcept nogil
cdef void pool_give_memory(pool_s *pool, char *data, size_t bytes) noexcept nogil
cdef void *pool_take_array(size_t bytes) noexcept nogil
cdef void pool_give_array(void *memory) noexcept nogil
cdef void pool_trim(pool_s *pool, size_t keep) noexcept nogil

cdef class SlabPool:
    cdef pool_s *pool
    cdef pool_s own
    cdef object __weakref__
