"""`Tape` for other Cython modules: ``from tape cimport Tape``.

Claim the tape once, work on the C struct without the GIL, and hand it back::

    cdef tape_s *t = tape.claim("f8")       # raises if closed, busy or of another dtype
    try:
        with nogil:
            status = tape_push_f8(t, x)     # inline: a compare, a store and an add
        ...
    finally:
        tape_leave(t)
    tape.check(status)                      # raises what the status says

Lanes, for as many threads::

    cdef tape_s **lanes = tape.claim_lanes("f8", n)
    with nogil:
        for k in prange(n):
            status = tape_push_f8(lanes[k], x)
    tape.leave_lanes(lanes, n)

Between claim and leave every other use of the tape, from Python or a compiled loop, raises TapeBusyError; but for a
tape that is thread-safe, which any number of threads may have claimed.
"""

from tape.backing cimport Backing
from tape.slab cimport SlabPool
from tape.stack cimport guard_s, tape_s

cdef struct owned_guard_s:
    # A guard whose Python owner may die while a compiled loop has the tape: it then waits in a chain.
    guard_s guard
    owned_guard_s *next

cdef owned_guard_s *new_guard() except NULL

cdef class Block

cdef class Tape:
    cdef tape_s s
    cdef readonly object dtype
    cdef readonly SlabPool pool
    cdef int kind
    cdef owned_guard_s *orphans
    cdef Backing backing            # of a tape with a memory budget, else None
    cdef tuple options              # for lanes
    cdef object its_lanes           # None until somebody asks
    cdef object __weakref__

    cdef tape_s *claim(self, str dtype) except NULL
    cdef tape_s **claim_lanes(self, str dtype, Py_ssize_t n) except NULL
    cdef int leave_lanes(self, tape_s **lanes, Py_ssize_t n) except -1
    cdef int check(self, int status) except -1
    cdef int edge(self) except -1
    cdef tape_s *enter(self) except NULL
    cdef void leave(self) noexcept
    cdef int unreserve(self, Block block) except -1
    cdef int push_other(self, x) except -1
    cdef int read_item(self, Py_ssize_t i, void *out) except -1
    cdef object item(self, Py_ssize_t i)
    cdef object items(self, index)
    cdef object scalar(self, cell)
    cdef object room(self, n, out)
    cdef str limits(self)
    cdef size_t bytes_of(self, n, str name) except? -1
    cdef int check_open(self) except -1
    cdef object view(self, Block block)
    cdef void orphan(self, owned_guard_s *guard) noexcept
    cdef void drop_orphans(self) noexcept

cdef class Mark:
    cdef readonly Tape tape
    cdef owned_guard_s *guard

    cdef guard_s *place(self) except NULL

cdef class Claim:
    cdef Tape tape
    cdef bint held

cdef class Block:
    cdef Tape tape
    cdef owned_guard_s *guard
    cdef char *address
    cdef Py_ssize_t nbytes
    cdef bint writable
