"""Who is in memory, and what to evict, write and read next (see residency.pxd)."""

from libc.stdlib cimport free, malloc

from tape.slab cimport (
    AHEAD_OF_LOOKS,
    AHEAD_OF_NOTHING,
    AHEAD_OF_POPS,
    SLAB_CLEAN,
    SLAB_DIRTY,
    SLAB_READING,
    SLAB_SPILLED,
    SLAB_WRITING,
    pool_give,
    pool_give_memory,
    slab_s,
)
from tape.sync cimport lt_cond_wake

# ------------------------------------------------------------------------------------------- accounting


cdef inline size_t charged(const layers_s *l) noexcept nogil:
    return l.traffic.resident - l.inherited if l.traffic.resident > l.inherited else 0


cdef void count_memory(layers_s *l, ptrdiff_t bytes) noexcept nogil:
    """Memory that a tape takes, or gives back."""
    cdef budget_s *b = l.budget
    b.used -= charged(l)
    l.traffic.resident += bytes
    b.used += charged(l)
    if b.used > b.high:
        b.high = b.used


cdef inline layers_s *owner_of(const slab_s *slab) noexcept nogil:
    return <layers_s *>slab.owner


cdef inline slab_s *current(const layers_s *l) noexcept nogil:
    return l.slabs[l.count - 1] if l.count > 0 else NULL


cdef void set_browsed(layers_s *l, slab_s *slab, bint browsed) noexcept nogil:
    """Put a slab at the head of those that were read for looking, or take it from among them."""
    cdef budget_s *b = l.budget
    if slab.browsed:
        if slab.newer != NULL:
            slab.newer.older = slab.older
        else:
            b.newest = slab.older
        if slab.older != NULL:
            slab.older.newer = slab.newer
        else:
            b.oldest = slab.newer
        b.browsed -= slab.bytes
    slab.browsed = browsed
    slab.newer = slab.older = NULL
    if browsed:
        slab.older = b.newest
        if b.newest != NULL:
            b.newest.newer = slab
        else:
            b.oldest = slab
        b.newest = slab
        b.browsed += slab.bytes
    elif slab.state != SLAB_SPILLED and slab.index < l.low:
        l.low = slab.index


cdef void forget_slot(layers_s *l, slab_s *slab) noexcept nogil:
    """The slab is no longer what its slot holds, or is no more: have the slot freed.

    Without memory for the note the slot is lost until its store closes.
    """
    cdef slot_s *note = <slot_s *>malloc(sizeof(slot_s))
    if note == NULL:
        return
    note.layers = l
    note.store = slab.store
    note.slot = slab.slot
    note.bytes = slab.bytes
    note.next = l.budget.garbage
    l.budget.garbage = note
    lt_cond_wake(&l.budget.to_write)


# --------------------------------------------------------------------------------------------- evicting


cdef inline bint evictable(const layers_s *l, const slab_s *slab) noexcept nogil:
    if l.foreign:       # what leaves memory now would not come back
        return False
    return slab.state == SLAB_CLEAN and slab.pins == 0 and slab != l.held and slab != current(l)


cdef slab_s *lowest_clean(layers_s *l) noexcept nogil:
    cdef size_t i
    while l.low < l.count and l.slabs[l.low].state == SLAB_SPILLED:
        l.low += 1
    for i in range(l.low, l.count):
        if evictable(l, l.slabs[i]) and not l.slabs[i].browsed:
            return l.slabs[i]
    return NULL


cdef slab_s *lowest_dirty(layers_s *l) noexcept nogil:
    cdef size_t i
    cdef slab_s *slab
    if l.blocked or l.foreign or l.store_count == 0 or l.count == 0:
        return NULL
    for i in range(l.low, l.count - 1):
        slab = l.slabs[i]
        # What a view shows may be written to at any time.
        if slab.state == SLAB_DIRTY and slab.pins == 0:
            return slab
    return NULL


cdef inline size_t distance(const slab_s *slab) noexcept nogil:
    """Bytes of items to be popped before the slab is needed."""
    return current(owner_of(slab)).base - slab.base


cdef slab_s *next_victim(budget_s *b, bint looking) noexcept nogil:
    """The clean slab to evict, or NULL.  `looking` says that the memory is wanted for a slab to look at."""
    cdef layers_s *l = b.tapes
    cdef slab_s *best = NULL
    cdef slab_s *slab
    cdef slab_s *browsed = b.oldest
    while browsed != NULL and not evictable(owner_of(browsed), browsed):
        browsed = browsed.newer
    # Looking may take half of the budget from the stack and no more.
    if browsed != NULL and (not looking or 2 * b.browsed >= b.limit):
        return browsed
    while l != NULL:
        slab = lowest_clean(l)
        if slab != NULL and (best == NULL or distance(slab) > distance(best)):
            best = slab
        l = l.next
    return best if best != NULL else browsed


cdef void leave_memory(layers_s *l, slab_s *slab) noexcept nogil:
    """From now on the slab is in its store only."""
    slab.state = SLAB_SPILLED
    l.traffic.spilled += slab.bytes
    count_memory(l, -<ptrdiff_t>slab.bytes)
    pool_give_memory(l.pool, slab.data, slab.bytes)
    slab.data = NULL


cdef void evict(slab_s *slab) noexcept nogil:
    """Give the memory of a clean slab back to its pool."""
    cdef layers_s *l = owner_of(slab)
    slab.ahead = AHEAD_OF_NOTHING
    l.budget.clean -= slab.bytes
    leave_memory(l, slab)
    if slab.browsed:
        set_browsed(l, slab, False)


cdef void drop(layers_s *l, slab_s *slab) noexcept nogil:
    """The end of a slab that no longer belongs to its tape; one in flight ends when it lands."""
    cdef budget_s *b = l.budget
    if slab.browsed:
        set_browsed(l, slab, False)
    if l.held == slab:
        l.held = NULL
    if slab.state == SLAB_WRITING or slab.state == SLAB_READING:
        slab.orphan = True
        return
    if slab.state == SLAB_CLEAN or slab.state == SLAB_SPILLED:
        forget_slot(l, slab)
    if slab.state == SLAB_CLEAN:
        b.clean -= slab.bytes
    if slab.state == SLAB_SPILLED:
        l.traffic.spilled -= slab.bytes
        free(slab)
    else:
        count_memory(l, -<ptrdiff_t>slab.bytes)
        pool_give(l.pool, slab)


# -------------------------------------------------------------------------------------- writing, reading


cdef size_t short_of(const budget_s *b) noexcept nogil:
    """Bytes that should be written so that memory can be had without waiting; 0 if enough is free or clean.

    An eighth of the budget, and at least two slabs, is kept so: the writer then works while the tape is pushed to.
    """
    cdef size_t margin = b.limit // 8
    cdef size_t soon = b.clean + b.writing + (b.limit - b.used if b.used < b.limit else 0)
    if margin < 2 * b.largest:
        margin = 2 * b.largest
    if margin > b.limit // 2:
        margin = b.limit // 2
    return margin - soon if soon < margin else 0


cdef slab_s *next_to_write(budget_s *b) noexcept nogil:
    """The dirty slab that is needed last, or NULL."""
    cdef layers_s *l = b.tapes
    cdef slab_s *best = NULL
    cdef slab_s *slab
    while l != NULL:
        slab = lowest_dirty(l)
        if slab != NULL and (best == NULL or distance(slab) > distance(best)):
            best = slab
        l = l.next
    return best


cdef inline size_t window(const layers_s *l) noexcept nogil:
    """How many slabs below the current one should be in memory.

    All that fit, if reading takes more than half as long as popping; fewer where the disk is fast, down to two: what is
    not needed for the window is left for pushes.
    """
    cdef size_t most = l.budget.limit // l.slab_bytes
    cdef double ratio
    if l.pop_seconds <= 0 or l.fetch_seconds <= 0 or 2 * l.fetch_seconds >= l.pop_seconds:
        return most
    ratio = 2 * l.fetch_seconds / l.pop_seconds
    return 2 + <size_t>(ratio * most)


cdef bint wants_reads(const layers_s *l) noexcept nogil:
    return l.prefetch and l.traffic.spilled > 0 and not l.foreign


cdef slab_s *next_below(layers_s *l) noexcept nogil:
    """The next slab to read ahead of the pops, or NULL."""
    cdef budget_s *b = l.budget
    cdef size_t i, steps = window(l)
    # A gap is left free.  Without it a push and a pop in turn around the border of a slab would each move one:
    # the first evicts what the second reads again.  So it takes a way of at least the gap between the two.
    cdef size_t gap = b.limit // 16 if b.limit // 16 > l.slab_bytes else l.slab_bytes
    if l.rising or not wants_reads(l) or l.count < 2 or b.used + l.slab_bytes + gap > b.limit:
        return NULL
    i = l.count - 1
    while i > 0 and steps > 0:
        i -= 1
        steps -= 1
        if l.slabs[i].state == SLAB_SPILLED:
            return l.slabs[i] if l.slabs[i].error == 0 else NULL
    return NULL


cdef slab_s *next_beside(layers_s *l) noexcept nogil:
    """The next slab to read ahead of looking, slab by slab in one direction, or NULL.

    No further ahead than half of what was read for looking: the other half is where the looking has been, and makes room.
    """
    cdef budget_s *b = l.budget
    cdef slab_s *victim
    cdef size_t i = l.looked
    cdef size_t steps = b.browsed // l.slab_bytes // 2 + 2
    if l.look_step == 0 or not wants_reads(l):
        return NULL
    while steps > 0:
        if (l.look_step < 0 and i == 0) or (l.look_step > 0 and i + 1 >= l.count):
            return NULL
        i += l.look_step
        steps -= 1
        if l.slabs[i].state == SLAB_SPILLED:
            break
    else:
        return NULL
    if l.slabs[i].error != 0:
        return NULL
    while b.used + l.slab_bytes > b.limit:
        victim = next_victim(b, True)
        if victim == NULL or victim.ahead != AHEAD_OF_NOTHING:      # never one that was not looked at yet
            return NULL
        evict(victim)
    return l.slabs[i]


cdef slab_s *next_to_read(budget_s *b) noexcept nogil:
    """The spilled slab to read ahead, that which is needed first; or NULL."""
    cdef layers_s *l = b.tapes
    cdef slab_s *best = NULL
    cdef slab_s *slab
    while l != NULL:
        slab = next_beside(l)
        if slab != NULL:        # somebody is at it just now
            slab.ahead = AHEAD_OF_LOOKS
            return slab
        slab = next_below(l)
        if slab != NULL and (best == NULL or distance(slab) < distance(best)):
            best = slab
        l = l.next
    if best != NULL:
        best.ahead = AHEAD_OF_POPS
    return best
