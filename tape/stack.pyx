"""The tape as a C struct (see stack.pxd for the contract)."""

from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset

from tape.layers cimport (
    layers_carried,
    layers_free,
    layers_lower,
    layers_need,
    layers_pin,
    layers_raise,
    layers_release,
    layers_take,
)
from tape.lock cimport lock_enter, lock_init, lock_leave, lock_long, lock_lost
from tape.residency cimport layers_s
from tape.slab cimport pool_default, pool_give, pool_s, pool_take, slab_s
from tape.spin cimport lt_atomic_load, lt_atomic_store, lt_atomic_swap, lt_atomic_t

cdef extern from *:
    """
    /* Internal assertions of a checked build (LAYERED_TAPE_CHECKED=1); nothing otherwise. */
    #if defined(LT_CHECKED)
    #include <stdio.h>
    #define LT_IS_CHECKED 1
    #define LT_ASSERT(c) \\
        ((c) ? (void)0 : (fprintf(stderr, "tape: broken invariant %s (line %d)\\n", #c, __LINE__), abort()))
    #else
    #define LT_IS_CHECKED 0
    #define LT_ASSERT(c) ((void)0)
    #endif
    """
    bint LT_IS_CHECKED
    void LT_ASSERT(bint condition) noexcept nogil


cdef enum:
    VALIDATED_SLABS = 64    # more would make a checked build quadratic
    LONG_COPY = 1 << 16     # bytes that take long enough to let others sleep rather than spin
    LINE = 64               # of the cache


cdef inline size_t usable(const tape_s *t, const slab_s *seg) noexcept nogil:
    return seg.bytes - seg.bytes % t.itemsize


cdef inline char *top_of(const tape_s *t, slab_s *seg) noexcept nogil:
    """End of the items in `seg`, which is in memory."""
    return t.cur if seg == t.seg else seg.data + seg.filled


cdef inline void settle(tape_s *t) noexcept nogil:
    """Set `begin` after a change of segment or guards."""
    t.begin = t.seg.data
    if t.guards != NULL and t.guards.pos > t.seg.base:
        t.begin += t.guards.pos - t.seg.base
    LT_ASSERT(t.begin <= t.cur and t.cur <= t.end)


cdef void validate(tape_s *t) noexcept nogil:
    """In a checked build: what must hold whenever a slow path is done."""
    cdef guard_s *guard = t.guards
    cdef slab_s *seg = t.seg
    cdef size_t slabs = 0, bytes = 0
    if not LT_IS_CHECKED:
        return
    LT_ASSERT(guard == NULL or (guard.above == NULL and guard.pos <= length_of(t)))
    while guard != NULL and guard.below != NULL:
        LT_ASSERT(guard.below.pos <= guard.pos and guard.below.above == guard)
        guard = guard.below
    while seg.next != NULL:
        LT_ASSERT(seg.next.prev == seg)
        seg = seg.next
        slabs += 1
        bytes += seg.bytes
    LT_ASSERT(slabs == t.spare_slabs and bytes == t.spare_bytes)
    seg = t.seg
    slabs = 0
    while seg.prev != NULL and slabs < VALIDATED_SLABS:
        slabs += 1
        LT_ASSERT(seg.base == seg.prev.base + seg.prev.filled)
        LT_ASSERT(seg.depth == seg.prev.depth + 1 and seg.held == seg.prev.held + seg.bytes)
        LT_ASSERT(seg.jump.depth < seg.depth)
        seg = seg.prev
    if slabs < VALIDATED_SLABS:
        LT_ASSERT(seg == &t.first and seg.base == 0 and seg.depth == 0 and seg.held == 0)


cdef inline void enter_segment(tape_s *t, slab_s *seg, char *cur) noexcept nogil:
    t.seg = seg
    t.cur = cur
    t.end = seg.data + usable(t, seg)
    settle(t)


cdef void tape_init(tape_s *t, size_t itemsize, size_t slab_bytes, pool_s *pool) noexcept nogil:
    itemsize = itemsize if itemsize != 0 else 1
    t.itemsize = itemsize
    t.slab_bytes = slab_bytes if slab_bytes != 0 else SLAB_BYTES
    if t.slab_bytes < itemsize:
        t.slab_bytes = itemsize
    t.high_bytes = 0
    t.spare_slabs = 0
    t.spare_bytes = 0
    t.allocations = 0
    t.pool = pool if pool != NULL else pool_default()
    t.layers = NULL
    t.guards = NULL
    t.tokens = 0
    t.failed = TAPE_OK
    t.in_use = 0
    t.shared = NULL
    t.lock = NULL
    t.first.data = <char *>((<size_t>&t.inline_buffer[0] + 15) & ~<size_t>15)
    t.first.bytes = INLINE_BYTES
    t.first.filled = 0
    t.first.base = 0
    t.first.depth = 0
    t.first.held = 0
    t.first.prev = NULL
    t.first.next = NULL
    t.first.jump = &t.first
    t.first.owner = NULL
    enter_segment(t, &t.first, t.first.data)


cdef inline bint closed(const tape_s *t) noexcept nogil:
    return t.end == NULL


cdef inline size_t length_of(const tape_s *t) noexcept nogil:
    return 0 if closed(t) else t.seg.base + <size_t>(t.cur - t.seg.data)


cdef size_t tape_length(tape_s *t) noexcept nogil:
    """Bytes of items on the tape; 0 also of a shared one that `tape_lock` refuses."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return 0 if own == NULL else leave(t, length_of(own))


# ---------------------------------------------------------------------------------------------- sharing

cdef int tape_init_shared(tape_s *t, size_t itemsize, size_t slab_bytes, pool_s *pool) noexcept nogil:
    """`tape_init` for a tape that any number of threads may use at once; TAPE_NOMEM if there is no memory."""
    cdef void *memory = malloc(sizeof(shared_s) + LINE)
    cdef shared_s *shared
    if memory == NULL:
        return TAPE_NOMEM
    shared = <shared_s *>((<size_t>memory + LINE - 1) & ~<size_t>(LINE - 1))
    shared.memory = memory
    lock_init(&shared.lock)
    tape_init(&shared.tape, itemsize, slab_bytes, pool)
    shared.tape.lock = &shared.lock
    tape_init(t, itemsize, slab_bytes, pool)
    t.shared = shared
    t.cur = t.begin = t.end = t.first.data
    return TAPE_OK


cdef inline tape_s *enter(tape_s *t, int *status) noexcept nogil:
    """See `tape_lock`.  Every function for users begins with it, and ends with `leave`."""
    status[0] = TAPE_OK
    if t.shared == NULL:
        return t
    status[0] = lock_enter(&t.shared.lock)
    return &t.shared.tape if status[0] == TAPE_OK else NULL


cdef inline size_t leave(tape_s *t, size_t result) noexcept nogil:
    if t.shared != NULL:
        lock_leave(&t.shared.lock)
    return result


cdef inline void may_take_long(tape_s *own) noexcept nogil:
    if own.lock != NULL:
        lock_long(own.lock)


cdef tape_s *tape_lock(tape_s *t, int *status) noexcept nogil:
    return enter(t, status)


cdef void tape_lock_long(tape_s *locked) noexcept nogil:
    may_take_long(locked)


cdef void tape_unlock(tape_s *t) noexcept nogil:
    leave(t, 0)


cdef bint tape_closed(tape_s *t) noexcept nogil:
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return own != NULL and leave(t, closed(own))


# ---------------------------------------------------------------------------------------------- growing

cdef slab_s *add_slab(tape_s *t, size_t need, size_t hint, int *status) noexcept nogil:
    """Link a new slab for at least `need` bytes above the current segment; NULL if there is none to be had, and why."""
    cdef slab_s *seg = t.seg
    cdef slab_s *slab
    cdef size_t bytes = FIRST_SLAB_BYTES if seg == &t.first else seg.bytes * 4
    cdef bint populate
    status[0] = TAPE_NOMEM
    while bytes < hint and bytes < t.slab_bytes:
        bytes *= 4
    if bytes > t.slab_bytes:
        bytes = t.slab_bytes
    # A tape that filled eight times as much will most likely fill this one too.
    populate = seg.held >= 8 * bytes
    if t.layers != NULL:
        while bytes < need and bytes < t.slab_bytes:
            bytes *= 4
        if bytes > t.slab_bytes:
            bytes = t.slab_bytes
        if bytes < need:
            status[0] = TAPE_LARGE
            return NULL
        may_take_long(t)
        slab = layers_take(t.layers, bytes, populate, &t.in_use, status)
    else:
        if bytes < need:
            bytes = need
        may_take_long(t)
        slab = pool_take(t.pool, bytes, populate, False)
    if slab == NULL:
        return NULL
    if t.layers == NULL:
        slab.owner = NULL
    slab.prev = seg
    slab.next = NULL
    seg.next = slab
    t.spare_slabs += 1
    t.spare_bytes += slab.bytes
    t.allocations += 1
    return slab


cdef int grow(tape_s *t, size_t need, size_t hint) noexcept nogil:
    cdef slab_s *seg = t.seg
    cdef slab_s *above
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if <size_t>(t.end - t.cur) >= need:
        return TAPE_OK
    above = seg.next
    if above != NULL and usable(t, above) < need:
        # Slabs too small for this would only be in the way of the next growth too.
        release(t)
        above = NULL
    if above == NULL:
        # Round up, so that `need` fits below the last whole item of the slab.
        if need > SIZE_MAX // 4:
            return TAPE_NOMEM
        above = add_slab(t, need + (t.itemsize - need % t.itemsize) % t.itemsize, hint, &status)
        if above == NULL:
            return status
    seg.filled = <size_t>(t.cur - seg.data)
    above.base = seg.base + <size_t>(t.cur - seg.data)
    above.depth = seg.depth + 1
    above.held = seg.held + above.bytes
    # Skew-binary jumps (Myers 1983): any slab is found in O(log slabs) steps down, with one pointer a slab.
    if seg.depth - seg.jump.depth == seg.jump.depth - seg.jump.jump.depth:
        above.jump = seg.jump.jump
    else:
        above.jump = seg
    t.spare_slabs -= 1
    t.spare_bytes -= above.bytes
    if above.held > t.high_bytes:
        t.high_bytes = above.held
    if t.layers != NULL:
        layers_raise(t.layers, seg, above)
    enter_segment(t, above, above.data)
    validate(t)
    return TAPE_OK


cdef int tape_grow(tape_s *t, size_t need) noexcept nogil:
    """Make `need` contiguous bytes free at `cur`, moving to the next slab if the segment has less.

    TAPE_NOMEM leaves the tape as it was.
    """
    return grow(t, need, 0) if t.shared == NULL else TAPE_BUSY


cdef inline void copy(void *to, const void *source, size_t bytes) noexcept nogil:
    if bytes == 8:      # a push from another thread: without a call
        memcpy(to, source, 8)
    else:
        memcpy(to, source, bytes)


cdef int tape_push_slow(tape_s *t, const void *item, size_t bytes) noexcept nogil:
    """Push `bytes` as one block, where the segment may have no room for them."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    if unlikely(<size_t>(own.end - own.cur) < bytes):
        status = grow(own, bytes, 0)
    if status == TAPE_OK:
        if bytes > LONG_COPY:
            may_take_long(own)
        copy(own.cur, item, bytes)
        own.cur += bytes
    return leave(t, status)


cdef char *tape_reserve_slow(tape_s *t, size_t bytes) noexcept nogil:
    cdef char *block
    if tape_grow(t, bytes) != TAPE_OK:
        return NULL
    block = t.cur
    t.cur = block + bytes
    return block


cdef char *tape_reserve_pinned(tape_s *t, size_t bytes, guard_s *pin, int *status) noexcept nogil:
    """Push a block of `bytes` to be filled in, which stays where it is until `tape_drop` of `pin`; NULL and why."""
    cdef tape_s *own = enter(t, status)
    cdef char *block = NULL
    if own == NULL:
        return NULL
    status[0] = grow(own, bytes, 0)
    if status[0] == TAPE_OK:
        block = own.cur
        own.cur += bytes
        tape_pin(own, pin, length_of(own))
    leave(t, 0)
    return block


cdef char *tape_room(tape_s *t, size_t bytes) noexcept nogil:
    """Room for `bytes` at `cur`, which is left in place, or NULL: for pushes of generated code on a tape of one thread.

    The first failure sticks in `failed` and everything after it is dropped, so that the code needs no branch at
    each push: it looks once, when its forward sweep is over.  Until `tape_forgive`, the segment seems full and empty.
    """
    cdef int before = t.in_use
    if t.failed == TAPE_OK:
        t.in_use = 1        # no signal handlers: generated code cannot pass on what they raise
        t.failed = grow(t, bytes, 0)
        t.in_use = before
        if t.failed != TAPE_OK:
            t.begin = t.end = t.cur
    return t.cur if t.failed == TAPE_OK else NULL


cdef int tape_record(tape_s *t, const void *item, size_t bytes) noexcept nogil:
    """The slow path of a push in generated code; see `tape_room` for what becomes of a failure."""
    cdef int status
    cdef tape_s *own
    cdef char *room
    if lt_atomic_load(<lt_atomic_t *>&t.failed) != TAPE_OK:
        return t.failed
    own = enter(t, &status)
    if own == NULL:
        tape_refuse(t, status)
        return status
    room = own.cur
    if own.failed != TAPE_OK or <size_t>(own.end - own.cur) < bytes:
        room = tape_room(own, bytes)
    if room != NULL:
        copy(room, item, bytes)
        own.cur = room + bytes
    return leave(t, own.failed)


cdef void tape_refuse(tape_s *t, int status) noexcept nogil:
    """Let `status` stick to a shared tape that `tape_lock` refused to generated code."""
    lt_atomic_store(<lt_atomic_t *>&t.failed, status)


cdef int tape_failed(tape_s *t) noexcept nogil:
    """The first bad status of a `tape_record` or `tape_recall`."""
    cdef int status = lt_atomic_load(<lt_atomic_t *>&t.failed)
    cdef tape_s *own
    if status != TAPE_OK or t.shared == NULL:
        return status
    own = enter(t, &status)
    return status if own == NULL else leave(t, own.failed)


cdef int tape_forgive(tape_s *t) noexcept nogil:
    """Forget a failed `tape_record` or `tape_recall`: what `tape_failed` would have said."""
    cdef int status, failed
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    failed = lt_atomic_load(<lt_atomic_t *>&t.failed)
    if failed == TAPE_OK:
        failed = own.failed
    lt_atomic_store(<lt_atomic_t *>&t.failed, TAPE_OK)
    own.failed = TAPE_OK
    if not closed(own):
        enter_segment(own, own.seg, own.cur)
    return leave(t, failed)


cdef int tape_recall(tape_s *t, void *out, size_t bytes) noexcept nogil:
    """The slow path of a pop in generated code: `bytes` into `out`, or zeros if that fails or anything failed before.

    A failure sticks as that of `tape_record` does, and nothing is popped any more.
    """
    cdef int status = TAPE_OK, before
    cdef tape_s *own
    if t.shared != NULL:
        status = lt_atomic_load(<lt_atomic_t *>&t.failed)
        own = enter(t, &status) if status == TAPE_OK else NULL
        if own != NULL:
            return leave(t, tape_recall(own, out, bytes))
        tape_refuse(t, status)
        memset(out, 0, bytes)
        return status
    before = t.in_use
    if t.failed == TAPE_OK:
        t.in_use = 1
        t.failed = take(t, bytes, out)
        t.in_use = before
        if t.failed != TAPE_OK:
            t.begin = t.end = t.cur
    if t.failed != TAPE_OK:
        memset(out, 0, bytes)
    return t.failed


cdef int tape_extend(tape_s *t, const void *src, size_t bytes) noexcept nogil:
    """Push `bytes` from `src`, across slab borders.  On failure the tape is as it was."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, extend(own, src, bytes))


cdef int extend(tape_s *t, const void *src, size_t bytes) noexcept nogil:
    cdef slab_s *start = t.seg
    cdef char *cur = t.cur
    cdef size_t chunk
    cdef const char *source = <const char *>src
    cdef int status = TAPE_OK
    if closed(t):
        return TAPE_CLOSED
    if bytes > LONG_COPY:
        may_take_long(t)
    # The way back must need no disk: where it began stays in memory.
    if t.layers != NULL:
        layers_pin(t.layers, start, 1)
    while bytes > 0:
        if t.cur == t.end:
            status = grow(t, t.itemsize, bytes)
            if status != TAPE_OK:
                break
        chunk = <size_t>(t.end - t.cur)
        if chunk > bytes:
            chunk = bytes
        memcpy(t.cur, source, chunk)
        t.cur += chunk
        source += chunk
        bytes -= chunk
    if t.layers != NULL:
        layers_pin(t.layers, start, -1)
    if status != TAPE_OK:
        descend(t, start, cur)
    return status


# -------------------------------------------------------------------------------------------- shrinking

cdef slab_s *tape_find(const tape_s *t, size_t pos) noexcept nogil:
    """The highest segment whose items begin at or below `pos`."""
    cdef slab_s *seg = t.seg
    while seg.base > pos:
        seg = seg.jump if seg.jump.base > pos else seg.prev
    return seg


cdef inline void unlink_guard(tape_s *t, guard_s *guard) noexcept nogil:
    if guard.above != NULL:
        guard.above.below = guard.below
    else:
        t.guards = guard.below
    if guard.below != NULL:
        guard.below.above = guard.above
    if guard.kind == GUARD_PIN and t.layers != NULL and guard.pos > 0:
        layers_pin(t.layers, tape_find(t, guard.pos - 1), -1)
    if guard.kind == GUARD_TOKEN:
        free(guard)
    else:
        guard.kind = GUARD_DEAD


cdef inline bint refuses(const guard_s *guard) noexcept nogil:
    return guard.kind == GUARD_PIN or guard.kind == GUARD_HOLD


cdef inline void descend(tape_s *t, slab_s *seg, char *cur) noexcept nogil:
    """Move the cursor down to `seg`, which is in memory."""
    if t.layers != NULL:
        if seg != t.seg:
            layers_lower(t.layers, t.seg, seg)
            seg.next = NULL     # its spare slab is kept by the layers
    else:
        t.spare_slabs += t.seg.depth - seg.depth
        t.spare_bytes += t.seg.held - seg.held
    enter_segment(t, seg, cur)


cdef inline int need(tape_s *t, slab_s *seg, bint popping) noexcept nogil:
    """Have `seg` in memory."""
    if t.layers == NULL or seg.owner == NULL:
        return TAPE_OK
    may_take_long(t)
    return layers_need(t.layers, seg, popping, &t.in_use)


cdef int tape_truncate(tape_s *t, size_t pos) noexcept nogil:
    """Drop all above `pos`; marks above it die, a pin above it refuses (TAPE_BUSY) and nothing changes."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, truncate(own, pos))


cdef int truncate(tape_s *t, size_t pos) noexcept nogil:
    cdef guard_s *guard = t.guards
    cdef slab_s *seg
    cdef slab_s *highest
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if pos > length_of(t):
        return TAPE_EMPTY
    while guard != NULL and guard.pos > pos:
        if refuses(guard):
            return TAPE_BUSY
        guard = guard.below
    seg = highest = tape_find(t, pos)
    while seg.base == pos and seg.prev != NULL:     # the lowest place, so that no slab is held for no items
        seg = seg.prev
    status = need(t, seg, True)
    if seg != highest and (status == TAPE_SPILL or status == TAPE_CORRUPT):
        # Only what lies below `pos` cannot be read, and nobody asked for that yet.
        seg = highest
        status = need(t, seg, True)
    if status != TAPE_OK:
        return status
    while t.guards != guard:
        unlink_guard(t, t.guards)
    descend(t, seg, seg.data + (pos - seg.base))
    validate(t)
    return TAPE_OK


cdef int tape_unwind(tape_s *t) noexcept nogil:
    """Called with `cur == begin`: makes the newest item lie between them, or says why there is none to pop."""
    return unwind(t) if t.shared == NULL else TAPE_BUSY


cdef int unwind(tape_s *t) noexcept nogil:
    cdef size_t length = length_of(t)
    cdef guard_s *guard = t.guards
    cdef slab_s *seg = t.seg
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if length == 0:
        return TAPE_EMPTY
    while guard != NULL and guard.pos == length:
        if refuses(guard):
            return TAPE_BUSY
        guard = guard.below
    if t.cur == seg.data:
        seg = seg.prev
        while seg.filled == 0:
            seg = seg.prev
    status = need(t, seg, True)
    if status != TAPE_OK:
        return status
    while t.guards != guard:
        unlink_guard(t, t.guards)
    if seg == t.seg:
        settle(t)
    else:
        descend(t, seg, seg.data + seg.filled)
    validate(t)
    return TAPE_OK


cdef int tape_read(tape_s *t, size_t pos, size_t bytes, void *out) noexcept nogil:
    """Copy `bytes` from position `pos` up."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, read(own, pos, bytes, out))


cdef int read(tape_s *t, size_t pos, size_t bytes, void *out) noexcept nogil:
    cdef slab_s *seg
    cdef size_t chunk, end
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if bytes > length_of(t) or pos > length_of(t) - bytes:
        return TAPE_EMPTY
    if bytes == 0:
        return TAPE_OK
    if bytes > LONG_COPY:
        may_take_long(t)
    seg = tape_find(t, pos + bytes - 1)
    while bytes > 0:
        status = need(t, seg, False)
        if status != TAPE_OK:
            return status
        end = pos + bytes
        chunk = end - (seg.base if seg.base > pos else pos)
        memcpy(<char *>out + (bytes - chunk), seg.data + (end - seg.base - chunk), chunk)
        bytes -= chunk
        seg = seg.prev
    return TAPE_OK


cdef int tape_item(tape_s *t, long long index, void *out) noexcept nogil:
    """Copy the item at `index`, counted from the end if it is negative."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    if index < 0:
        index += length_of(own) // own.itemsize
    if closed(own):
        status = TAPE_CLOSED
    elif index < 0 or <size_t>index >= length_of(own) // own.itemsize:
        status = TAPE_EMPTY
    else:
        status = read(own, index * own.itemsize, own.itemsize, out)
    return leave(t, status)


cdef int tape_take(tape_s *t, size_t bytes, void *out) noexcept nogil:
    """Pop `bytes` into `out`, oldest first, across slab borders; all of them or none."""
    return tape_pop_slow(t, out, bytes)


cdef int tape_pop_slow(tape_s *t, void *item, size_t bytes) noexcept nogil:
    """The same, for what the inline functions do not find in the segment."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, take(own, bytes, item))


cdef int take(tape_s *t, size_t bytes, void *out) noexcept nogil:
    cdef size_t length = length_of(t)
    cdef guard_s *guard = t.guards
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if bytes > length:
        return TAPE_EMPTY
    while guard != NULL and guard.pos > length - bytes:
        if refuses(guard):
            return TAPE_BUSY
        guard = guard.below
    if t.cur == t.begin and bytes > 0:      # so that the slab below is popped, not looked at
        status = unwind(t)
        if status != TAPE_OK:
            return status
    if bytes <= <size_t>(t.cur - t.begin) and bytes <= LONG_COPY:
        t.cur -= bytes
        copy(out, t.cur, bytes)
        return TAPE_OK
    status = read(t, length - bytes, bytes, out)
    return status if status != TAPE_OK else truncate(t, length - bytes)


cdef int tape_look(tape_s *t, size_t pos) noexcept nogil:
    """Have the item at `pos` in memory, until the next operation on the tape."""
    if closed(t):
        return TAPE_CLOSED
    return TAPE_EMPTY if pos >= length_of(t) else need(t, tape_find(t, pos), False)


cdef char *tape_at(tape_s *t, size_t pos, size_t *run) noexcept nogil:
    """Address of the item at `pos`; `run` gets the bytes of items that follow it without a gap.

    NULL past the end, or where `tape_look` fails.
    """
    cdef slab_s *seg
    cdef char *item
    if tape_look(t, pos) != TAPE_OK:
        return NULL
    seg = tape_find(t, pos)
    item = seg.data + (pos - seg.base)
    run[0] = <size_t>(top_of(t, seg) - item)
    return item


cdef char *tape_top(tape_s *t, size_t bytes) noexcept nogil:
    """Address of the newest `bytes`, or NULL where they are not there or not contiguous."""
    cdef size_t length = length_of(t)
    cdef size_t run = 0
    cdef char *item
    if bytes == 0 or bytes > length:
        return NULL
    item = tape_at(t, length - bytes, &run)
    return item if run >= bytes else NULL


# ----------------------------------------------------------------------------------------------- guards

cdef int link_guard(tape_s *t, guard_s *guard, size_t pos, guard_kind kind) noexcept nogil:
    cdef guard_s *above = NULL
    cdef guard_s *below = t.guards
    if closed(t):
        return TAPE_CLOSED
    while below != NULL and below.pos > pos:
        above = below
        below = below.below
    guard.pos = pos
    guard.kind = kind
    guard.above = above
    guard.below = below
    if below != NULL:
        below.above = guard
    if above != NULL:
        above.below = guard
    else:
        t.guards = guard
    settle(t)
    validate(t)
    return TAPE_OK


cdef int tape_mark(tape_s *t, guard_s *mark) noexcept nogil:
    """Make `mark` a live mark of the present length."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, link_guard(own, mark, length_of(own), GUARD_MARK))


cdef int tape_hold(tape_s *t, guard_s *hold, size_t pos) noexcept nogil:
    """Refuse every shrinking below `pos` until `hold` is dropped."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, link_guard(own, hold, pos, GUARD_HOLD))


cdef int tape_pin(tape_s *t, guard_s *pin, size_t pos) noexcept nogil:
    """The same, and the slab with the item below `pos`, which is in memory, stays there."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    status = link_guard(own, pin, pos, GUARD_PIN)
    if status == TAPE_OK and own.layers != NULL and pos > 0:
        layers_pin(own.layers, tape_find(own, pos - 1), 1)
    return leave(t, status)


cdef int tape_drop(tape_s *t, guard_s *guard) noexcept nogil:
    """Forget a mark or a pin; nothing happens to a dead one.  What `tape_lock` of a shared tape refuses stays live."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    if guard.kind != GUARD_DEAD:
        unlink_guard(own, guard)
        settle(own)
    return leave(t, TAPE_OK)


cdef int tape_rewind(tape_s *t, guard_s *mark) noexcept nogil:
    """Drop all that was pushed since `mark`, which stays live."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    if closed(own):
        status = TAPE_CLOSED
    elif mark.kind != GUARD_MARK:
        status = TAPE_STALE
    else:
        status = truncate(own, mark.pos)
    return leave(t, status)


cdef long long tape_token(tape_s *t) noexcept nogil:
    """A mark of the present length as a number, for code that has no place for a guard; 0 if there is no memory.

    It lasts until the tape is popped past it.
    """
    cdef guard_s *guard = <guard_s *>malloc(sizeof(guard_s))
    cdef long long serial = 0
    cdef int status
    cdef tape_s *own
    if guard == NULL:
        return 0
    own = enter(t, &status)
    if own != NULL:
        status = link_guard(own, guard, length_of(own), GUARD_TOKEN)
        if status == TAPE_OK:
            own.tokens += 1
            guard.serial = serial = own.tokens
        leave(t, 0)
    if serial == 0:
        free(guard)
    return serial


cdef int tape_rewind_token(tape_s *t, long long token) noexcept nogil:
    """`tape_rewind` for a token."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, rewind_token(own, token))


cdef int rewind_token(tape_s *t, long long token) noexcept nogil:
    cdef guard_s *guard = t.guards
    if closed(t):
        return TAPE_CLOSED
    while guard != NULL and not (guard.kind == GUARD_TOKEN and guard.serial == token):
        guard = guard.below
    return TAPE_STALE if guard == NULL else truncate(t, guard.pos)


# ------------------------------------------------------------------------------------------ end of life

cdef int tape_summary(tape_s *t, summary_s *out) noexcept nogil:
    """What there is to say about a tape, of one moment."""
    cdef int status
    cdef guard_s *guard
    cdef tape_s *own = enter(t, &status)
    if own == NULL:
        return status
    out.length = length_of(own)
    out.closed = closed(own)
    out.slabs = 0 if out.closed else own.seg.depth
    out.held = 0 if out.closed else own.seg.held
    out.spare_slabs = own.spare_slabs
    out.spare_bytes = own.spare_bytes
    out.high_bytes = own.high_bytes
    out.allocations = own.allocations
    out.marks = out.pins = 0
    guard = own.guards
    while guard != NULL:
        if guard.kind == GUARD_PIN:
            out.pins += 1
        else:
            out.marks += 1
        guard = guard.below
    return leave(t, TAPE_OK)


cdef int tape_release(tape_s *t) noexcept nogil:
    """Give the spare slabs back to the pool."""
    cdef int status
    cdef tape_s *own = enter(t, &status)
    return status if own == NULL else leave(t, release(own))


cdef int release(tape_s *t) noexcept nogil:
    cdef slab_s *slab
    cdef slab_s *above
    if closed(t):
        return TAPE_CLOSED
    may_take_long(t)
    if t.layers != NULL:
        layers_release(t.layers)
    slab = t.seg.next
    t.seg.next = NULL
    while slab != NULL:
        above = slab.next
        pool_give(t.pool, slab)
        slab = above
    t.spare_slabs = 0
    t.spare_bytes = 0
    return TAPE_OK


cdef int tape_close(tape_s *t) noexcept nogil:
    """Give everything back and refuse all further use; TAPE_BUSY, and nothing changed, if a pin is live."""
    cdef layers_s *layers
    cdef int status = tape_end(t, &layers)
    if layers != NULL:      # others may run while this waits for what is in flight
        t.in_use = t.shared == NULL
        layers_free(layers)
        t.in_use = 0
    return status


cdef int tape_end(tape_s *t, layers_s **left) noexcept nogil:
    """Close as `tape_close` does, without waiting: what is `left` is for `layers_free`, if it is not NULL."""
    cdef int status
    cdef guard_s *guard
    cdef tape_s *own = enter(t, &status)
    left[0] = NULL
    if own == NULL:
        return status
    if not closed(own):
        guard = own.guards
        while guard != NULL and not refuses(guard):
            guard = guard.below
        if guard != NULL or (own.layers != NULL and layers_carried(own.layers)):
            status = TAPE_BUSY
        else:
            left[0] = abandon(own)
    return leave(t, status)


cdef layers_s *tape_abandon(tape_s *t) noexcept nogil:
    """Close a tape that nobody uses any more, whatever still points into it; what it returns is as in `tape_end`."""
    if t.shared == NULL:
        return abandon(t)
    if lock_lost(&t.shared.lock):   # whatever it was in the middle of: the memory is left to the end of the process
        return NULL
    t.shared.tape.lock = NULL       # nobody is left to wait for
    return abandon(&t.shared.tape)


cdef layers_s *abandon(tape_s *t) noexcept nogil:
    cdef layers_s *layers = t.layers
    if closed(t):
        return NULL
    while t.guards != NULL:
        unlink_guard(t, t.guards)
    truncate(t, 0)      # to the inline segment, which is always in memory
    release(t)
    t.layers = NULL
    t.cur = t.begin = t.end = NULL
    return layers


cdef void tape_free(tape_s *t) noexcept nogil:
    """The end of a tape: its slabs go back to the pool whatever still points into them."""
    cdef layers_s *layers = tape_abandon(t)
    if layers != NULL:
        layers_free(layers)
    tape_free_shared(t)


cdef void tape_free_shared(tape_s *t) noexcept nogil:
    """The end of what `tape_init_shared` took; nothing for another tape."""
    if t.shared != NULL:
        free(t.shared.memory)
        t.shared = NULL


cdef int tape_enter(tape_s *t) noexcept nogil:
    """Claim the tape for a compiled loop: TAPE_BUSY if it is claimed already.  A shared one is everybody's."""
    if t.shared != NULL:
        return TAPE_CLOSED if tape_closed(t) else TAPE_OK
    if closed(t):
        return TAPE_CLOSED
    return TAPE_BUSY if lt_atomic_swap(<lt_atomic_t *>&t.in_use, 1) else TAPE_OK


cdef void tape_leave(tape_s *t) noexcept nogil:
    """The end of a claim."""
    if t.shared == NULL:
        lt_atomic_store(<lt_atomic_t *>&t.in_use, 0)
