"""Arrays on a tape of 8-byte words, for generated code: any number of dimensions, any strides, no copy in between.

The items lie there in C order, without gaps and filled up to a whole word.  Large arrays go on in pieces, whatever the
slabs' size.  A failure sticks to the tape, as that of `tape_record` does, and nothing is pushed or popped any more.
"""

from tape.stack cimport tape_s

cdef enum:
    WORD = 8
    MAX_DIMENSIONS = 64     # NumPy's limit
    LINE = 64               # to which memory is aligned

cdef struct form_s:
    # How an item lies in memory, and what becomes of it on the tape.
    int parts       # 2 for complex numbers, else 1
    int size        # of a part in memory: 1, 2, 4 or 8
    int packed      # ... and on the tape: the same, or 4 for a double that is kept in single precision

cdef void words_push(
    tape_s *t, const char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil
cdef int words_pop(
    tape_s *t, char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil

# An array that is about to be overwritten from end to end is recorded by giving it other memory.
cdef char *words_exchange(tape_s *t, char *data, size_t bytes) noexcept nogil
cdef char *words_restore(tape_s *t, char *data, size_t bytes) noexcept nogil
