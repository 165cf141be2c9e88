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
from tape.residency cimport layers_s
from tape.slab cimport pool_default, pool_give, pool_s, pool_take, slab_s
from tape.spin cimport lt_atomic_store, lt_atomic_swap, lt_atomic_t

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
    LT_ASSERT(guard == NULL or (guard.above == NULL and guard.pos <= tape_length(t)))
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


cdef size_t tape_length(const tape_s *t) noexcept nogil:
    """Bytes of items on the tape."""
    if closed(t):
        return 0
    return t.seg.base + <size_t>(t.cur - t.seg.data)


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
        slab = layers_take(t.layers, bytes, populate, &t.in_use, status)
    else:
        if bytes < need:
            bytes = need
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
        tape_release(t)
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
    return grow(t, need, 0)


cdef char *tape_record(tape_s *t, size_t bytes) noexcept nogil:
    """The slow path of a push in generated code: room for `bytes` at `cur`, which is left in place, or NULL.

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


cdef void tape_forgive(tape_s *t) noexcept nogil:
    """Forget a failed `tape_record` or `tape_recall`."""
    t.failed = TAPE_OK
    if not closed(t):
        enter_segment(t, t.seg, t.cur)


cdef int tape_recall(tape_s *t, void *out, size_t bytes) noexcept nogil:
    """The slow path of a pop in generated code: `bytes` into `out`, or zeros if that fails or anything failed before.

    A failure sticks as that of `tape_record` does, and nothing is popped any more.
    """
    cdef int before = t.in_use
    if t.failed == TAPE_OK:
        t.in_use = 1
        t.failed = tape_pop_bytes(t, out, bytes)
        t.in_use = before
        if t.failed != TAPE_OK:
            t.begin = t.end = t.cur
    if t.failed != TAPE_OK:
        memset(out, 0, bytes)
    return t.failed


cdef int tape_extend(tape_s *t, const void *src, size_t bytes) noexcept nogil:
    """Push `bytes` from `src`, across slab borders.  On failure the tape is as it was."""
    cdef slab_s *start = t.seg
    cdef char *cur = t.cur
    cdef size_t chunk
    cdef const char *source = <const char *>src
    cdef int status = TAPE_OK
    if closed(t):
        return TAPE_CLOSED
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
    return TAPE_OK if t.layers == NULL else layers_need(t.layers, seg, popping, &t.in_use)


cdef int tape_truncate(tape_s *t, size_t pos) noexcept nogil:
    """Drop all above `pos`; marks above it die, a pin above it refuses (TAPE_BUSY) and nothing changes."""
    cdef guard_s *guard = t.guards
    cdef slab_s *seg
    cdef slab_s *highest
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if pos > tape_length(t):
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
    cdef size_t length = tape_length(t)
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
    cdef slab_s *seg
    cdef size_t chunk, end
    cdef int status
    if closed(t):
        return TAPE_CLOSED
    if bytes > tape_length(t) or pos > tape_length(t) - bytes:
        return TAPE_EMPTY
    if bytes == 0:
        return TAPE_OK
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


cdef int tape_take(tape_s *t, size_t bytes, void *out) noexcept nogil:
    """Pop `bytes` into `out`, oldest first, across slab borders; all of them or none."""
    cdef size_t length = tape_length(t)
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
        status = tape_unwind(t)
        if status != TAPE_OK:
            return status
    status = tape_read(t, length - bytes, bytes, out)
    return status if status != TAPE_OK else tape_truncate(t, length - bytes)


cdef int tape_look(tape_s *t, size_t pos) noexcept nogil:
    """Have the item at `pos` in memory, until the next operation on the tape."""
    if closed(t):
        return TAPE_CLOSED
    return TAPE_EMPTY if pos >= tape_length(t) else need(t, tape_find(t, pos), False)


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
    cdef size_t length = tape_length(t)
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
    return link_guard(t, mark, tape_length(t), GUARD_MARK)


cdef int tape_hold(tape_s *t, guard_s *hold, size_t pos) noexcept nogil:
    """Refuse every shrinking below `pos` until `hold` is dropped."""
    return link_guard(t, hold, pos, GUARD_HOLD)


cdef int tape_pin(tape_s *t, guard_s *pin, size_t pos) noexcept nogil:
    """The same, and the slab with the item below `pos`, which is in memory, stays there."""
    cdef int status = link_guard(t, pin, pos, GUARD_PIN)
    if status == TAPE_OK and t.layers != NULL and pos > 0:
        layers_pin(t.layers, tape_find(t, pos - 1), 1)
    return status


cdef void tape_drop(tape_s *t, guard_s *guard) noexcept nogil:
    """Forget a mark or a pin; nothing happens to a dead one."""
    if guard.kind == GUARD_DEAD:
        return
    unlink_guard(t, guard)
    settle(t)


cdef int tape_rewind(tape_s *t, guard_s *mark) noexcept nogil:
    """Drop all that was pushed since `mark`, which stays live."""
    if closed(t):
        return TAPE_CLOSED
    if mark.kind != GUARD_MARK:
        return TAPE_STALE
    return tape_truncate(t, mark.pos)


cdef long long tape_token(tape_s *t) noexcept nogil:
    """A mark of the present length as a number, for code that has no place for a guard; 0 if there is no memory.

    It lasts until the tape is popped past it.
    """
    cdef guard_s *guard = <guard_s *>malloc(sizeof(guard_s))
    if guard == NULL:
        return 0
    if tape_mark(t, guard) != TAPE_OK:
        free(guard)
        return 0
    t.tokens += 1
    guard.serial = t.tokens
    guard.kind = GUARD_TOKEN
    return guard.serial


cdef int tape_rewind_token(tape_s *t, long long token) noexcept nogil:
    """`tape_rewind` for a token."""
    cdef guard_s *guard = t.guards
    if closed(t):
        return TAPE_CLOSED
    while guard != NULL and not (guard.kind == GUARD_TOKEN and guard.serial == token):
        guard = guard.below
    return TAPE_STALE if guard == NULL else tape_truncate(t, guard.pos)


# ------------------------------------------------------------------------------------------ end of life

cdef int tape_release(tape_s *t) noexcept nogil:
    """Give the spare slabs back to the pool."""
    cdef slab_s *slab
    cdef slab_s *above
    if closed(t):
        return TAPE_CLOSED
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
    cdef guard_s *guard = t.guards
    cdef layers_s *layers
    if closed(t):
        return TAPE_OK
    if t.layers != NULL and layers_carried(t.layers):
        return TAPE_BUSY
    while guard != NULL:
        if refuses(guard):
            return TAPE_BUSY
        guard = guard.below
    layers = tape_abandon(t)
    if layers != NULL:      # others may run while this waits for what is in flight
        t.in_use = 1
        layers_free(layers)
        t.in_use = 0
    return TAPE_OK


cdef layers_s *tape_abandon(tape_s *t) noexcept nogil:
    """Close a tape whatever still points into it, without waiting: what it returns is for `layers_free`, or NULL."""
    cdef layers_s *layers = t.layers
    if closed(t):
        return NULL
    while t.guards != NULL:
        unlink_guard(t, t.guards)
    tape_truncate(t, 0)     # to the inline segment, which is always in memory
    tape_release(t)
    t.layers = NULL
    t.cur = t.begin = t.end = NULL
    return layers


cdef void tape_free(tape_s *t) noexcept nogil:
    """The end of a tape: its slabs go back to the pool whatever still points into them."""
    cdef layers_s *layers = tape_abandon(t)
    if layers != NULL:
        layers_free(layers)


cdef int tape_enter(tape_s *t) noexcept nogil:
    """Claim the tape for a compiled loop: TAPE_BUSY if it is claimed already."""
    if closed(t):
        return TAPE_CLOSED
    return TAPE_BUSY if lt_atomic_swap(<lt_atomic_t *>&t.in_use, 1) else TAPE_OK


cdef void tape_leave(tape_s *t) noexcept nogil:
    lt_atomic_store(<lt_atomic_t *>&t.in_use, 0)
