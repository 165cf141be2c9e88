"""The contract of a layer that holds whole slabs: write gives a slot, read fills memory from it, free forgets it.

`store_s` is the contract in C, for stores that need no GIL; a Python subclass of `Store` is reached through it too.
Read and write may be called from several threads at once.  They return 0, an errno, or one of the codes below.
`bytes` of a read or free is that of the write that gave the slot.
"""

cdef enum:
    STORE_OK = 0
    STORE_RAISED = -1   # a Python store raised: `Store.failure` holds it
    STORE_LIMIT = -2    # the store's own limit on its size
    STORE_CLOSED = -3
    STORE_CORRUPT = -10     # what was read is not what was written

cdef struct store_s:
    int (*write)(void *store, const char *data, size_t bytes, long long *slot) noexcept nogil
    int (*read)(void *store, long long slot, char *data, size_t bytes) noexcept nogil
    void (*free)(void *store, long long slot, size_t bytes) noexcept nogil

cdef class Store:
    cdef store_s c
    cdef object failure     # what a Python store raised last
    cdef object __weakref__
