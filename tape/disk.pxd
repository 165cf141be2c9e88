"""Stores on disk.  Their C functions (`store.c`) never ask for the GIL; whoever calls them holds a reference to the store."""

from tape.spillfile cimport spill_s
from tape.store cimport Store

cdef class DiskStore(Store):
    cdef spill_s spill
    cdef readonly str directory
    cdef int open(self, directory, limit, bint direct, bint ahead) except -1

cdef class FileStore(DiskStore):
    pass

cdef class MmapStore(DiskStore):
    pass
