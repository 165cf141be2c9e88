"""The tape as a C struct: a stack of bytes over linked slabs, whose first segment lies in the struct itself.

Every function needs no GIL, allocates nothing from Python and returns a status code.  One thread at a time may use a
`tape_s`, unless `tape_init_shared` made it.  The struct must not move once it is initialised: it points into itself.

The cursor `cur, begin, end` is all that a push or pop looks at.  The rest is for the slow path, which is entered
when a push meets `end` or a pop meets `begin`; `begin` is the start of the segment, or higher if a mark or a
pin forbids what lies below to go unnoticed.  A closed tape has all three equal, so it needs no test of its own.

A shared tape is two structs.  Of the one that its users have, all three are equal for ever, so that the same inline code
lands in the slow path at once and reads nothing that changes.  The other one, `shared.tape`, is a tape like any other:
it is used by who has `shared.lock`.  Every function here that is given the first takes the lock and goes on with the second.
"""

from libc.string cimport memcpy

from tape.lock cimport lock_s
from tape.residency cimport layers_s
from tape.slab cimport pool_s, slab_s

cdef extern from *:
    bint unlikely(bint condition) noexcept nogil

cdef enum:
    # Changes when `tape_s` or the meaning of a symbol in tape.capi changes: compiled code of another
    # layout must miss, never run.
    TAPE_ABI = 3

cdef enum:
    TAPE_OK = 0
    TAPE_EMPTY = 1      # fewer items than asked for
    TAPE_NOMEM = 2      # no slab to be had
    TAPE_BUSY = 3       # pinned, or in use elsewhere
    TAPE_CLOSED = 4
    TAPE_STALE = 5      # a mark that was popped past, or of another tape
    TAPE_SPILL = 6      # a slab could not be moved to or from its store
    TAPE_CORRUPT = 7    # ... or came back changed
    TAPE_LARGE = 8      # a block that no slab of a tape with a budget can hold
    TAPE_INTERRUPTED = 9    # a signal handler raised during a wait; the exception is set
    TAPE_STOPPED = 10       # Ctrl-C during a wait without the GIL; its handler is still to be run

cdef enum:
    INLINE_BYTES = 512          # 64 items of 8 bytes
    INLINE_ROOM = 528           # ... and what it takes to align them to 16 for every dtype
    FIRST_SLAB_BYTES = 4096     # slabs grow by four from here ...
    PAGE = 4096                 # what budgeted slabs are a multiple of
    SLAB_BYTES = 1 << 20        # ... to here (both by measurement: benchmarks/slab_size.py)

cdef enum guard_kind:
    GUARD_DEAD = 0
    GUARD_MARK = 1
    GUARD_PIN = 2
    GUARD_TOKEN = 3     # a mark whose memory is the tape's; it is known by its serial number
    GUARD_HOLD = 4      # refuses like a pin, but what lies below may leave memory

cdef struct guard_s:
    # A mark, or the pin of a live view: a position below which the tape must not sink unnoticed.
    # The owner supplies the memory, so taking a mark cannot fail; it stays put until dead or dropped, and a claimed
    # tape is left only after all guards of the claimer were dropped (tape_drop).
    guard_s *below
    guard_s *above
    size_t pos          # bytes of items below the guard
    long long serial    # of a token
    guard_kind kind

cdef struct shared_s

cdef struct tape_s:
    char *cur
    char *begin
    char *end
    slab_s *seg             # the segment that the cursor is in
    size_t itemsize
    size_t slab_bytes       # size that slabs grow to
    size_t high_bytes       # most bytes of slabs that held items at once
    size_t spare_slabs      # slabs above `seg`, kept for the next growth
    size_t spare_bytes
    size_t allocations      # slabs taken from the pool so far
    pool_s *pool
    layers_s *layers        # NULL for a tape without a memory budget
    guard_s *guards         # marks and pins, highest position first
    long long tokens        # tokens given out so far
    int failed              # first bad status of a `tape_record` or `tape_recall`; what follows does nothing
    int in_use              # a compiled loop has the tape (an atomic flag, set at the edges of such loops)
    shared_s *shared        # of a shared tape as its users see it, else NULL
    lock_s *lock            # of the tape behind a shared one, else NULL
    slab_s first            # node of the inline segment
    char inline_buffer[INLINE_ROOM]     # not initialised

cdef struct shared_s:
    # In one line of the cache: the lock, and the cursor behind it.
    lock_s lock
    tape_s tape
    void *memory            # that all this lies in

cdef struct summary_s:
    # A tape at one moment, in bytes but for what is counted.
    size_t length
    size_t slabs
    size_t held
    size_t spare_slabs
    size_t spare_bytes
    size_t high_bytes
    size_t allocations
    size_t marks
    size_t pins
    bint closed

# Life.  `slab_bytes` 0 and `pool` NULL stand for the defaults; an `itemsize` of 0 counts as 1.
cdef void tape_init(tape_s *t, size_t itemsize, size_t slab_bytes, pool_s *pool) noexcept nogil
cdef int tape_init_shared(tape_s *t, size_t itemsize, size_t slab_bytes, pool_s *pool) noexcept nogil
cdef bint tape_closed(tape_s *t) noexcept nogil
cdef int tape_end(tape_s *t, layers_s **left) noexcept nogil
cdef int tape_close(tape_s *t) noexcept nogil
cdef layers_s *tape_abandon(tape_s *t) noexcept nogil
cdef void tape_free(tape_s *t) noexcept nogil
cdef void tape_free_shared(tape_s *t) noexcept nogil

# The tape itself, or the one behind a shared tape, which is then this thread's until `tape_unlock`; NULL and why.  What is
# done in between must be short, or come after `tape_lock_long`, and be neither Python nor another function on `t`.
cdef tape_s *tape_lock(tape_s *t, int *status) noexcept nogil
cdef void tape_lock_long(tape_s *locked) noexcept nogil
cdef void tape_unlock(tape_s *t) noexcept nogil

# Slow paths of the inline functions below; `tape_grow` and `tape_unwind` only move a cursor, so not that of a shared tape.
cdef int tape_push_slow(tape_s *t, const void *item, size_t bytes) noexcept nogil
cdef int tape_pop_slow(tape_s *t, void *item, size_t bytes) noexcept nogil
cdef char *tape_reserve_slow(tape_s *t, size_t bytes) noexcept nogil
cdef int tape_grow(tape_s *t, size_t need) noexcept nogil
cdef int tape_unwind(tape_s *t) noexcept nogil
cdef char *tape_room(tape_s *t, size_t bytes) noexcept nogil
cdef int tape_record(tape_s *t, const void *item, size_t bytes) noexcept nogil
cdef int tape_failed(tape_s *t) noexcept nogil
cdef void tape_refuse(tape_s *t, int status) noexcept nogil
cdef int tape_forgive(tape_s *t) noexcept nogil
cdef int tape_recall(tape_s *t, void *out, size_t bytes) noexcept nogil

# Blocks, positions and guards; sizes and positions in bytes.
cdef size_t tape_length(tape_s *t) noexcept nogil
cdef int tape_extend(tape_s *t, const void *src, size_t bytes) noexcept nogil
cdef int tape_read(tape_s *t, size_t pos, size_t bytes, void *out) noexcept nogil
cdef int tape_item(tape_s *t, long long index, void *out) noexcept nogil
cdef int tape_take(tape_s *t, size_t bytes, void *out) noexcept nogil
cdef int tape_truncate(tape_s *t, size_t pos) noexcept nogil
cdef int tape_release(tape_s *t) noexcept nogil
cdef int tape_summary(tape_s *t, summary_s *out) noexcept nogil
cdef char *tape_reserve_pinned(tape_s *t, size_t bytes, guard_s *pin, int *status) noexcept nogil
cdef int tape_mark(tape_s *t, guard_s *mark) noexcept nogil
cdef int tape_pin(tape_s *t, guard_s *pin, size_t pos) noexcept nogil
cdef int tape_hold(tape_s *t, guard_s *hold, size_t pos) noexcept nogil
cdef int tape_drop(tape_s *t, guard_s *guard) noexcept nogil
cdef int tape_rewind(tape_s *t, guard_s *mark) noexcept nogil
cdef long long tape_token(tape_s *t) noexcept nogil
cdef int tape_rewind_token(tape_s *t, long long token) noexcept nogil
cdef int tape_enter(tape_s *t) noexcept nogil
cdef void tape_leave(tape_s *t) noexcept nogil

# Addresses on a tape, which are good until its next operation: not on a shared one, but between lock and unlock.
cdef int tape_look(tape_s *t, size_t pos) noexcept nogil
cdef slab_s *tape_find(const tape_s *t, size_t pos) noexcept nogil
cdef char *tape_at(tape_s *t, size_t pos, size_t *run) noexcept nogil
cdef char *tape_top(tape_s *t, size_t bytes) noexcept nogil


cdef inline char *tape_reserve(tape_s *t, size_t bytes) noexcept nogil:
    """A contiguous block of `bytes` (a multiple of the item size) on top of the tape, or NULL.

    On a shared tape NULL too: other threads could pop the block, or send it to disk; see `tape_reserve_pinned`.
    """
    cdef char *block
    if unlikely(<size_t>(t.end - t.cur) < bytes):
        return tape_reserve_slow(t, bytes)
    block = t.cur
    t.cur = block + bytes
    return block


# The item is copied for the slow path: the address of the caller's own would keep that in memory, out of its register.

cdef inline int tape_push_f8(tape_s *t, double x) noexcept nogil:
    cdef double item
    if unlikely(t.cur == t.end):
        item = x
        return tape_push_slow(t, &item, sizeof(double))
    (<double *>t.cur)[0] = x
    t.cur += sizeof(double)
    return TAPE_OK


cdef inline int tape_pop_f8(tape_s *t, double *x) noexcept nogil:
    cdef double item
    cdef int status
    if unlikely(t.cur == t.begin):
        status = tape_pop_slow(t, &item, sizeof(double))
        if status == TAPE_OK:
            x[0] = item
        return status
    t.cur -= sizeof(double)
    x[0] = (<double *>t.cur)[0]
    return TAPE_OK


cdef inline int tape_push_f4(tape_s *t, float x) noexcept nogil:
    cdef float item
    if unlikely(t.cur == t.end):
        item = x
        return tape_push_slow(t, &item, sizeof(float))
    (<float *>t.cur)[0] = x
    t.cur += sizeof(float)
    return TAPE_OK


cdef inline int tape_pop_f4(tape_s *t, float *x) noexcept nogil:
    cdef float item
    cdef int status
    if unlikely(t.cur == t.begin):
        status = tape_pop_slow(t, &item, sizeof(float))
        if status == TAPE_OK:
            x[0] = item
        return status
    t.cur -= sizeof(float)
    x[0] = (<float *>t.cur)[0]
    return TAPE_OK


cdef inline int tape_push_i8(tape_s *t, long long x) noexcept nogil:
    cdef long long item
    if unlikely(t.cur == t.end):
        item = x
        return tape_push_slow(t, &item, sizeof(long long))
    (<long long *>t.cur)[0] = x
    t.cur += sizeof(long long)
    return TAPE_OK


cdef inline int tape_pop_i8(tape_s *t, long long *x) noexcept nogil:
    cdef long long item
    cdef int status
    if unlikely(t.cur == t.begin):
        status = tape_pop_slow(t, &item, sizeof(long long))
        if status == TAPE_OK:
            x[0] = item
        return status
    t.cur -= sizeof(long long)
    x[0] = (<long long *>t.cur)[0]
    return TAPE_OK


cdef inline int tape_push_bytes(tape_s *t, const void *item, size_t bytes) noexcept nogil:
    """Push `bytes` (a multiple of the item size) as one contiguous block."""
    if unlikely(<size_t>(t.end - t.cur) < bytes):
        return tape_push_slow(t, item, bytes)
    memcpy(t.cur, item, bytes)
    t.cur += bytes
    return TAPE_OK


cdef inline int tape_pop_bytes(tape_s *t, void *item, size_t bytes) noexcept nogil:
    """Pop the newest `bytes` (a multiple of the item size), oldest first; they need not be contiguous."""
    if unlikely(<size_t>(t.cur - t.begin) < bytes):
        return tape_pop_slow(t, item, bytes)
    t.cur -= bytes
    memcpy(item, t.cur, bytes)
    return TAPE_OK
