"""`Budget`: memory for the slabs of one tape, or of several that compete for it."""

from tape.residency cimport budget_s

cdef class Budget:
    cdef budget_s b
    cdef bint ready
    cdef object __weakref__
