"""Plain functions on an opaque handle: the surface that stays when the struct changes.

For compiled code that is not built against this version of the tape: Cython through cimport, C, ctypes and Numba
through the addresses in `tape.capi.SYMBOLS`.  A handle is ``Tape.address``, or what `lt_new` returned.  No function
needs the GIL, none raises; an int result is a status (0 is good, see tape.stack).  Sizes and positions in bytes.
"""

cdef void *lt_new(size_t itemsize) noexcept nogil
cdef void *lt_new_shared(size_t itemsize) noexcept nogil
cdef void lt_free(void *tape) noexcept nogil
cdef int lt_enter(void *tape) noexcept nogil
cdef void lt_leave(void *tape) noexcept nogil
cdef int lt_push(void *tape, const void *item, size_t bytes) noexcept nogil
cdef int lt_pop(void *tape, void *item, size_t bytes) noexcept nogil
cdef int lt_grow(void *tape, size_t bytes) noexcept nogil
cdef int lt_unwind(void *tape) noexcept nogil
cdef int lt_record(void *tape, const void *item, size_t bytes) noexcept nogil
cdef int lt_recall(void *tape, void *out, size_t bytes) noexcept nogil
cdef void *lt_reserve(void *tape, size_t bytes) noexcept nogil
cdef int lt_extend(void *tape, const void *src, size_t bytes) noexcept nogil
cdef int lt_read(void *tape, size_t pos, size_t bytes, void *out) noexcept nogil
cdef int lt_item(void *tape, long long index, void *out) noexcept nogil
cdef void *lt_top(void *tape, size_t bytes) noexcept nogil
cdef size_t lt_length(void *tape) noexcept nogil
cdef int lt_truncate(void *tape, size_t pos) noexcept nogil
cdef long long lt_mark(void *tape) noexcept nogil
cdef int lt_rewind(void *tape, long long mark) noexcept nogil
cdef int lt_failed(void *tape) noexcept nogil

# Arrays on a tape of 8-byte words; `parts`, `size` and `packed` as in tape.words.form_s.
cdef void lt_push_array(
    void *tape, const void *data, int dimensions, const long long *shape, const long long *strides,
    int parts, int size, int packed
) noexcept nogil
cdef int lt_pop_array(
    void *tape, void *data, int dimensions, const long long *shape, const long long *strides,
    int parts, int size, int packed
) noexcept nogil
cdef void *lt_exchange(void *tape, void *data, size_t bytes) noexcept nogil
cdef void *lt_restore(void *tape, void *data, size_t bytes) noexcept nogil

# Of a reader (tape.reader), whose address is the handle.
cdef int lt_reader_unwind(void *reader) noexcept nogil
cdef int lt_reader_take(void *reader, void *out, size_t bytes) noexcept nogil
cdef size_t lt_reader_length(const void *reader) noexcept nogil
cdef int lt_reader_restart(void *reader) noexcept nogil
cdef void lt_reader_leave(void *reader) noexcept nogil

# An array of Numba's on memory of the shared pool, to which its last release gives that back: a new NRT_MemInfo for
# `bytes` of items, NULL if there is no memory.  `runtime` is what NRT_get_api() returns.
cdef void *lt_new_array(size_t bytes, const void *runtime) noexcept nogil
