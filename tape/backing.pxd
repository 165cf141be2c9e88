"""What a `Tape` with a memory budget has beside its struct: the budget, and the stores that its slabs go to."""

from tape.budget cimport Budget
from tape.residency cimport layers_s
from tape.slab cimport SlabPool

cdef class Backing:
    cdef layers_s *layers       # the tape's struct owns it, from `Tape.__cinit__` to tape_close
    cdef readonly Budget budget
    cdef SlabPool pool          # outlives the slabs
    cdef readonly size_t slab_bytes
    cdef size_t itemsize
    cdef tuple stores           # in the order of trying
    cdef tuple own              # those of them to be closed with the tape

    cdef int add(self, place, spill_limit, compress) except -1
    cdef object error(self)
    cdef object traffic(self)
    cdef size_t spare(self)
    cdef int close(self) except -1
    cdef bint carried(self)
    cdef int end(self) except -1
