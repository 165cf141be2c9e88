"""Reading a stretch of a tape from its newest item down, without taking anything off, as often as wanted.

The cursor is like that of a pop: a compare, a load and a subtraction.  Between `reader_init` and `reader_free` the tape
may grow and read elsewhere, but refuses to be popped below the top of the stretch::

    cdef reader_s r
    cdef guard_s hold
    reader_init(&r, tape, &hold, mark_position, tape_length(tape))      # in bytes
    while reader_pop_f8(&r, &x) == TAPE_OK:
        ...
    reader_restart(&r)                                           # again from the top
    reader_free(&r)

A slab that was spilled is read back ahead of the reader, and stays in memory while the reader is in it.  A reader is for one
thread at a time, also on a shared tape.
"""

from libc.string cimport memcpy

from tape.core cimport Tape, owned_guard_s
from tape.slab cimport slab_s
from tape.stack cimport TAPE_OK, guard_s, tape_s

cdef extern from *:
    bint unlikely(bint condition) noexcept nogil

cdef struct reader_s:
    char *cur
    char *begin
    tape_s *tape
    slab_s *seg         # where the cursor is; pinned
    size_t base         # position of `begin`
    size_t bottom       # the stretch, in bytes of items below it
    size_t top
    guard_s *hold
    bint in_use         # by compiled code, or in a wait that gave up the GIL

cdef int reader_init(reader_s *r, tape_s *t, guard_s *hold, size_t bottom, size_t top) noexcept nogil
cdef int reader_restart(reader_s *r) noexcept nogil
cdef void reader_free(reader_s *r) noexcept nogil
cdef size_t reader_length(const reader_s *r) noexcept nogil
cdef int reader_unwind(reader_s *r) noexcept nogil
cdef int reader_take(reader_s *r, size_t bytes, void *out) noexcept nogil


cdef inline int reader_pop_f8(reader_s *r, double *x) noexcept nogil:
    cdef int status
    if unlikely(r.cur == r.begin):
        status = reader_unwind(r)
        if status != TAPE_OK:
            return status
    r.cur -= sizeof(double)
    x[0] = (<double *>r.cur)[0]
    return TAPE_OK


cdef inline int reader_pop_bytes(reader_s *r, void *item, size_t bytes) noexcept nogil:
    """The next `bytes` down (a multiple of the item size), oldest first."""
    if unlikely(<size_t>(r.cur - r.begin) < bytes):
        return reader_take(r, bytes, item)
    r.cur -= bytes
    memcpy(item, r.cur, bytes)
    return TAPE_OK


cdef class Reader:
    cdef reader_s r
    cdef readonly Tape tape
    cdef owned_guard_s *guard
    cdef bint is_open

    cdef int edge(self) except -1
