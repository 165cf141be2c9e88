"""Plain functions on an opaque handle (see capi.pxd)."""

from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport free, malloc

from tape.bins cimport LT_SMALL, lt_small_again, lt_small_counted, lt_small_described, lt_small_give, lt_small_take
from tape.reader cimport (
    reader_length,
    reader_pop_bytes,
    reader_restart,
    reader_s,
    reader_unwind,
)
from tape.slab cimport pool_give_array, pool_take_array
from tape.stack cimport *
from tape.words cimport form_s, words_exchange, words_pop, words_push, words_restore

cdef extern from *:
    """
    /* Of numba/core/runtime/nrt_external.h: what its runtime takes memory from, and the start of its table of
       functions.  It never calls `resize` for an array. */
    typedef struct {
        void *(*take)(size_t bytes, void *context);
        void *(*resize)(void *memory, size_t bytes, void *context);
        void (*give)(void *memory, void *context);
        void *context;
    } lt_allocator_t;
    typedef struct {
        void *(*allocate)(size_t bytes);
        void *(*allocate_external)(size_t bytes, lt_allocator_t *allocator);
    } lt_runtime_t;
    """
    ctypedef struct lt_allocator_t:
        void *(*take)(size_t bytes, void *context) noexcept nogil
        void *(*resize)(void *memory, size_t bytes, void *context) noexcept nogil
        void (*give)(void *memory, void *context) noexcept nogil
        void *context
    ctypedef struct lt_runtime_t:
        void *(*allocate_external)(size_t bytes, lt_allocator_t *allocator) noexcept nogil


cdef void *lt_new(size_t itemsize) noexcept nogil:
    """A tape of items of `itemsize` bytes on the shared pool; NULL for no memory or a size of 0."""
    cdef tape_s *t
    if itemsize == 0:
        return NULL
    t = <tape_s *>malloc(sizeof(tape_s))
    if t != NULL:
        tape_init(t, itemsize, 0, NULL)
    return t


cdef void *lt_new_shared(size_t itemsize) noexcept nogil:
    """A tape that any number of threads may use at once."""
    cdef tape_s *t
    if itemsize == 0:
        return NULL
    t = <tape_s *>malloc(sizeof(tape_s))
    if t != NULL and tape_init_shared(t, itemsize, 0, NULL) != TAPE_OK:
        free(t)
        return NULL
    return t


cdef void lt_free(void *tape) noexcept nogil:
    """The end of a tape from `lt_new` or `lt_new_shared`."""
    if tape != NULL:
        tape_free(<tape_s *>tape)
        free(tape)


cdef int lt_enter(void *tape) noexcept nogil:
    return tape_enter(<tape_s *>tape)


cdef void lt_leave(void *tape) noexcept nogil:
    tape_leave(<tape_s *>tape)


cdef int lt_push(void *tape, const void *item, size_t bytes) noexcept nogil:
    return TAPE_OK if bytes == 0 else tape_push_bytes(<tape_s *>tape, item, bytes)


cdef int lt_pop(void *tape, void *item, size_t bytes) noexcept nogil:
    return TAPE_OK if bytes == 0 else tape_pop_bytes(<tape_s *>tape, item, bytes)


cdef int lt_grow(void *tape, size_t bytes) noexcept nogil:
    return tape_grow(<tape_s *>tape, bytes)


cdef int lt_unwind(void *tape) noexcept nogil:
    return tape_unwind(<tape_s *>tape)


cdef int lt_record(void *tape, const void *item, size_t bytes) noexcept nogil:
    return tape_record(<tape_s *>tape, item, bytes)


cdef int lt_recall(void *tape, void *out, size_t bytes) noexcept nogil:
    return tape_recall(<tape_s *>tape, out, bytes)


cdef void *lt_reserve(void *tape, size_t bytes) noexcept nogil:
    return tape_reserve(<tape_s *>tape, bytes)


cdef int lt_extend(void *tape, const void *src, size_t bytes) noexcept nogil:
    return tape_extend(<tape_s *>tape, src, bytes)


cdef int lt_read(void *tape, size_t pos, size_t bytes, void *out) noexcept nogil:
    return tape_read(<tape_s *>tape, pos, bytes, out)


cdef int lt_item(void *tape, long long index, void *out) noexcept nogil:
    return tape_item(<tape_s *>tape, index, out)


cdef void *lt_top(void *tape, size_t bytes) noexcept nogil:
    """Address of the newest `bytes`, NULL where they are not contiguous, or on a shared tape, where they may go."""
    return NULL if (<tape_s *>tape).shared != NULL else tape_top(<tape_s *>tape, bytes)


cdef size_t lt_length(void *tape) noexcept nogil:
    return tape_length(<tape_s *>tape)


cdef int lt_truncate(void *tape, size_t pos) noexcept nogil:
    return tape_truncate(<tape_s *>tape, pos)


cdef long long lt_mark(void *tape) noexcept nogil:
    """A mark as a number; 0 if there is no memory."""
    return tape_token(<tape_s *>tape)


cdef int lt_rewind(void *tape, long long mark) noexcept nogil:
    return tape_rewind_token(<tape_s *>tape, mark)


cdef int lt_failed(void *tape) noexcept nogil:
    return tape_failed(<tape_s *>tape)


cdef inline form_s form_of(int parts, int size, int packed) noexcept nogil:
    cdef form_s form
    form.parts = parts
    form.size = size
    form.packed = packed
    return form


cdef void lt_push_array(
    void *tape, const void *data, int dimensions, const long long *shape, const long long *strides,
    int parts, int size, int packed
) noexcept nogil:
    words_push(<tape_s *>tape, <const char *>data, dimensions, shape, strides, form_of(parts, size, packed))


cdef int lt_pop_array(
    void *tape, void *data, int dimensions, const long long *shape, const long long *strides,
    int parts, int size, int packed
) noexcept nogil:
    return words_pop(<tape_s *>tape, <char *>data, dimensions, shape, strides, form_of(parts, size, packed))


cdef void *lt_exchange(void *tape, void *data, size_t bytes) noexcept nogil:
    return words_exchange(<tape_s *>tape, <char *>data, bytes)


cdef void *lt_restore(void *tape, void *data, size_t bytes) noexcept nogil:
    return words_restore(<tape_s *>tape, <char *>data, bytes)


cdef int lt_reader_unwind(void *reader) noexcept nogil:
    return reader_unwind(<reader_s *>reader)


cdef int lt_reader_take(void *reader, void *out, size_t bytes) noexcept nogil:
    return reader_pop_bytes(<reader_s *>reader, out, bytes)


cdef size_t lt_reader_length(const void *reader) noexcept nogil:
    return reader_length(<const reader_s *>reader)


cdef int lt_reader_restart(void *reader) noexcept nogil:
    return reader_restart(<reader_s *>reader)


cdef void lt_reader_leave(void *reader) noexcept nogil:
    """Hand back the reader, and the tape that was claimed for it."""
    (<reader_s *>reader).in_use = False
    tape_leave((<reader_s *>reader).tape)


cdef void *take_array(size_t bytes, void *context) noexcept nogil:
    return pool_take_array(bytes)


cdef void give_array(void *memory, void *context) noexcept nogil:
    pool_give_array(memory)


cdef void *take_small_array(size_t bytes, void *context) noexcept nogil:
    return lt_small_take(bytes)


cdef void give_small_array(void *memory, void *context) noexcept nogil:
    lt_small_give(memory)


# Arrays live beyond the end of the interpreter; so do these.
cdef lt_allocator_t arrays, small_arrays
arrays.take = take_array
arrays.resize = NULL
arrays.give = give_array
arrays.context = NULL
small_arrays.take = take_small_array
small_arrays.resize = NULL
small_arrays.give = give_small_array
small_arrays.context = NULL


cdef void *lt_new_array(size_t bytes, const void *runtime) noexcept nogil:
    cdef void *made
    if bytes > SIZE_MAX // 4:    # Numba adds its own without looking
        return NULL
    if bytes >= LT_SMALL - 64:    # its own, in front of the items, count too
        return (<const lt_runtime_t *>runtime).allocate_external(bytes, &arrays)
    made = lt_small_again(bytes)
    if made == NULL:
        made = (<const lt_runtime_t *>runtime).allocate_external(bytes, &small_arrays)
        if made != NULL:
            lt_small_described(made, bytes)
    return made


def count_arrays(bint all):
    """Whether all arrays are counted in the statistics of Numba's runtime, which takes longer (see `tape.bins`)."""
    global lt_small_counted
    lt_small_counted = all


# The layout of the cursor: three pointers (cur, begin, end) at the start of what a handle points to.
ABI = TAPE_ABI

STATUS = {
    "OK": TAPE_OK, "EMPTY": TAPE_EMPTY, "NOMEM": TAPE_NOMEM,
    "BUSY": TAPE_BUSY, "CLOSED": TAPE_CLOSED, "STALE": TAPE_STALE,
    "SPILL": TAPE_SPILL, "CORRUPT": TAPE_CORRUPT, "LARGE": TAPE_LARGE, "INTERRUPTED": TAPE_INTERRUPTED,
    "STOPPED": TAPE_STOPPED,
}

# Addresses by plain name.  Numba knows them as f"lt{ABI}_{name}": a cache built for another layout must miss.
SYMBOLS = {
    "new": <size_t>&lt_new, "new_shared": <size_t>&lt_new_shared, "free": <size_t>&lt_free, "enter": <size_t>&lt_enter, "leave": <size_t>&lt_leave,
    "push": <size_t>&lt_push, "pop": <size_t>&lt_pop, "grow": <size_t>&lt_grow, "unwind": <size_t>&lt_unwind,
    "record": <size_t>&lt_record, "recall": <size_t>&lt_recall, "reserve": <size_t>&lt_reserve,
    "extend": <size_t>&lt_extend,
    "read": <size_t>&lt_read, "item": <size_t>&lt_item, "top": <size_t>&lt_top, "length": <size_t>&lt_length,
    "truncate": <size_t>&lt_truncate, "failed": <size_t>&lt_failed,
    "push_array": <size_t>&lt_push_array, "pop_array": <size_t>&lt_pop_array,
    "exchange": <size_t>&lt_exchange, "restore": <size_t>&lt_restore,
    "mark": <size_t>&lt_mark, "rewind": <size_t>&lt_rewind,
    "reader_unwind": <size_t>&lt_reader_unwind, "reader_take": <size_t>&lt_reader_take,
    "reader_length": <size_t>&lt_reader_length, "reader_restart": <size_t>&lt_reader_restart,
    "reader_leave": <size_t>&lt_reader_leave,
    "new_array": <size_t>&lt_new_array,
}
