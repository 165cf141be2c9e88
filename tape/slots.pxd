"""Which parts of a file are taken: slots are offsets, first fit over the free parts, which are kept sorted and joined.

Nothing here locks or touches a file.  The number of a slot is its offset.
"""

cdef enum:
    SLOT_BYTES = 4096   # what slots are rounded up to: a block of most disks, so that direct I/O needs no more

cdef enum:
    SLOTS_FULL = -1     # no free part is large enough
    SLOTS_NOMEM = -2

cdef enum:
    SLOT_WRITING = -1   # in `pins`: not filled yet, so nobody else may know it

cdef struct extent_s:
    long long offset
    long long bytes     # of a slot: what was written there, not rounded
    int pins            # reads under way, or SLOT_WRITING
    bint doomed         # freed while pinned: the last reader gives it back

cdef struct extents_s:
    extent_s *items     # by offset
    size_t count
    size_t room

cdef struct slots_s:
    extents_s live
    extents_s free      # never two side by side, so at most one more than there are live ones
    long long end       # of the file
    long long used      # bytes in slots, rounded up

cdef long long slot_size(long long bytes) noexcept nogil
cdef long long slots_take(slots_s *slots, long long bytes) noexcept nogil
cdef extent_s *slots_find(slots_s *slots, long long offset) noexcept nogil
cdef void slots_give(slots_s *slots, extent_s *slot) noexcept nogil
cdef long long slots_tail(slots_s *slots) noexcept nogil
cdef void slots_grow(slots_s *slots, long long bytes) noexcept nogil
cdef void slots_cut(slots_s *slots) noexcept nogil
cdef void slots_clear(slots_s *slots) noexcept nogil
