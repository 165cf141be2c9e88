"""The background threads of a budget, which carry slabs between memory and stores, and how to wait for them.

Two threads write and two read: while one computes a checksum the other keeps the disk busy.  They start when there is
something to carry and end with the last tape of their budget.  No built-in store needs the GIL, so they work while
compiled code holds it.  Everything here is called with the budget's lock held, and gives it up while it carries or waits.
"""

from tape.residency cimport budget_s, fault_s, layers_s
from tape.slab cimport slab_s

cdef enum:
    WAIT_OK = 0
    WAIT_INTERRUPTED = 1    # a signal handler raised; the exception is set
    WAIT_REFUSED = 2        # this thread carries a slab of the budget, and would wait for itself
    WAIT_STOPPED = 3        # Ctrl-C, while the caller has no GIL to run the handler in; it is due

cdef bint write_one(budget_s *b) noexcept nogil
cdef bint read_one(budget_s *b) noexcept nogil
cdef bint free_one(budget_s *b) noexcept nogil
cdef void ask_to_write(budget_s *b) noexcept nogil
cdef void ask_to_read(budget_s *b) noexcept nogil
cdef int wait_progress(budget_s *b, int *in_use) noexcept nogil
cdef void wait_patiently(budget_s *b) noexcept nogil
cdef void join_threads(budget_s *b) noexcept nogil
cdef void blame(fault_s *fault, layers_s *l, slab_s *slab, int status, void *store, bint reading) noexcept nogil
cdef bint carries(const budget_s *b) noexcept nogil
cdef bint signalled() noexcept nogil
