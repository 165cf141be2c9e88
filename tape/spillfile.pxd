"""The file behind a disk store: opened unnamed, grown by allocation, cut when it is far too large, closed by the last.

A transfer is framed by begin and end; between them it may use the descriptors, and no lock is held.
Any mix of these functions may run at once, in threads of one process.  After a fork the child's copy refuses all:
the file is shared with the parent, what is known of its slots is not.
"""

from tape.slots cimport slots_s
from tape.spin cimport lt_atomic_t
from tape.sync cimport lt_mutex_t

cdef struct spill_s:
    int fd                  # through the page cache
    int direct_fd           # past it, or -1
    lt_atomic_t direct      # direct I/O works as far as is known
    lt_atomic_t ahead       # blocks can be allocated before they are written
    bint in_place           # and are then written where they are: a mapped page never lacks room
    int pid
    bint closed
    int users               # transfers under way: the last one out of a closed file closes the descriptors
    long long limit
    slots_s slots
    lt_mutex_t lock         # of the slots and of what stands above; held for a few instructions, never during I/O
    lt_mutex_t growth       # of the length of the file; taken before `lock`

cdef void spill_init(spill_s *s) noexcept nogil
cdef void spill_open(spill_s *s, int fd, long long limit, bint direct, bint ahead) noexcept nogil
cdef void spill_close(spill_s *s) noexcept nogil
cdef void spill_destroy(spill_s *s) noexcept nogil
cdef int spill_begin_write(spill_s *s, long long bytes, long long *slot) noexcept nogil
cdef int spill_end_write(spill_s *s, long long slot, int status) noexcept nogil
cdef int spill_begin_read(spill_s *s, long long slot, long long bytes) noexcept nogil
cdef void spill_end_read(spill_s *s, long long slot) noexcept nogil
cdef int spill_free(spill_s *s, long long slot, long long bytes) noexcept nogil
cdef bint spill_knows(spill_s *s, long long slot, long long bytes) noexcept nogil
cdef void spill_sizes(spill_s *s, long long *file_bytes, long long *used_bytes) noexcept nogil
