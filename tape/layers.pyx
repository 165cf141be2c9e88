"""A tape with a memory budget at the borders of its slabs (see layers.pxd)."""

from libc.stdlib cimport calloc, free, realloc

from tape.mover cimport (
    WAIT_INTERRUPTED,
    WAIT_OK,
    WAIT_STOPPED,
    ask_to_read,
    ask_to_write,
    blame,
    carries,
    free_one,
    join_threads,
    wait_patiently,
    wait_progress,
)
from tape.residency cimport (
    MAX_STORES,
    STORE_FOREIGN,
    budget_s,
    count_memory,
    drop,
    evict,
    fault_s,
    forget_slot,
    layers_s,
    next_to_write,
    next_victim,
    set_browsed,
    short_of,
    store_ref_s,
    traffic_s,
    wants_reads,
)
from tape.slab cimport (
    AHEAD_OF_NOTHING,
    SLAB_CLEAN,
    SLAB_DIRTY,
    SLAB_READING,
    SLAB_SPILLED,
    SLAB_WRITING,
    pool_give,
    pool_s,
    pool_take,
    pool_take_memory,
    slab_s,
)
from tape.store cimport STORE_CORRUPT
from tape.sync cimport lt_clock, lt_mutex_lock, lt_mutex_unlock

cdef layers_s *layers_new(budget_s *b, pool_s *pool, size_t slab_bytes, bint prefetch) noexcept nogil:
    """A tape joins the budget; NULL if there is no memory for the struct."""
    cdef layers_s *l = <layers_s *>calloc(1, sizeof(layers_s))
    if l == NULL:
        return NULL
    l.budget = b
    l.pool = pool
    l.slab_bytes = slab_bytes
    l.prefetch = prefetch
    lt_mutex_lock(&b.lock)
    l.next = b.tapes
    b.tapes = l
    if slab_bytes > b.largest:
        b.largest = slab_bytes
    lt_mutex_unlock(&b.lock)
    return l


cdef void layers_free(layers_s *l) noexcept nogil:
    """An empty tape leaves its budget; waits for its transfers to end.  Its stores may be closed then."""
    cdef budget_s *b = l.budget
    cdef layers_s **link
    lt_mutex_lock(&b.lock)
    release(l)
    while l.in_flight > 0:
        wait_patiently(b)
    while free_one(b):
        pass
    while l.in_flight > 0:      # slots that the threads are freeing
        wait_patiently(b)
    link = &b.tapes
    while link[0] != l:
        link = &link[0].next
    link[0] = l.next
    if b.tapes == NULL:
        join_threads(b)
    lt_mutex_unlock(&b.lock)
    free(l.slabs)
    free(l)


cdef bint layers_carried(const layers_s *l) noexcept nogil:
    """Whether this thread is in a store for a tape of the same budget: `layers_free` would wait for its own caller."""
    return carries(l.budget)


cdef void layers_snapshot(layers_s *l, traffic_s *traffic, fault_s *fault) noexcept nogil:
    """What a tape moved so far (where `traffic` is given), and what went wrong last."""
    cdef double now = lt_clock()
    lt_mutex_lock(&l.budget.lock)
    if traffic != NULL:
        traffic[0] = l.traffic
        traffic.spare = l.spare.bytes if l.spare != NULL else 0
        if l.writing > 0:
            traffic.write_seconds += now - l.writing_since
        if l.reading > 0:
            traffic.read_seconds += now - l.reading_since
    fault[0] = l.fault
    lt_mutex_unlock(&l.budget.lock)


cdef int layers_add_store(layers_s *l, store_ref_s store) noexcept nogil:
    """One more store, tried when those before it refuse.  LAYERS_NOMEM if there are too many."""
    cdef budget_s *b = l.budget
    cdef int status = LAYERS_OK
    lt_mutex_lock(&b.lock)
    if l.store_count == MAX_STORES:
        status = LAYERS_NOMEM
    else:
        l.stores[l.store_count] = store
        l.store_count += 1
        l.blocked = False
    lt_mutex_unlock(&b.lock)
    return status


# ------------------------------------------------------------------------------------------------- memory

cdef bint steal_spare(budget_s *b) noexcept nogil:
    """Take back the slab that some tape keeps for its next growth."""
    cdef layers_s *l = b.tapes
    while l != NULL:
        if l.spare != NULL:
            release(l)
            return True
        l = l.next
    return False


cdef inline int waited(budget_s *b, int *in_use) noexcept nogil:
    cdef int found = wait_progress(b, in_use)
    if found == WAIT_OK:
        return LAYERS_OK
    if found == WAIT_STOPPED:
        return LAYERS_STOPPED
    return LAYERS_INTERRUPTED if found == WAIT_INTERRUPTED else LAYERS_NOMEM


cdef bint has_room(budget_s *b, size_t bytes, size_t spare) noexcept nogil:
    """Whether `bytes` are free, and `spare` more without writing anything if something is spilled."""
    cdef layers_s *l = b.tapes
    if b.used + bytes > b.limit:
        return False
    if b.used + bytes + spare <= b.limit or next_victim(b, False) != NULL:
        return True
    while l != NULL and l.traffic.spilled == 0:
        l = l.next
    return l == NULL


cdef int make_room(layers_s *l, size_t bytes, size_t spare, bint looking, int *in_use) noexcept nogil:
    """Take `bytes` from the budget, evicting what is needed last; waits for the disk only where nothing is clean.

    Whatever failed before is tried again, once: the disk may have room by now.  If it has not, `spare` bytes are kept, by
    which what was spilled can be read, and saved elsewhere.
    """
    cdef budget_s *b = l.budget
    cdef slab_s *victim
    cdef layers_s *other
    cdef size_t failures = b.failures
    cdef double since = 0
    cdef int status = LAYERS_OK
    while not has_room(b, bytes, spare):
        if steal_spare(b):
            continue
        victim = next_victim(b, looking) if b.used + bytes > b.limit else NULL
        if victim != NULL:
            evict(victim)
            continue
        if since == 0:
            since = lt_clock()
            b.waiting += 1
            l.traffic.write_stalls += 1
            other = b.tapes
            while other != NULL:
                other.blocked = False
                other = other.next
        # What is in flight will be clean, and can then be evicted.
        if b.writing + b.reading == 0 and next_to_write(b) == NULL:
            if l.foreign:
                b.fault.status = STORE_FOREIGN
                b.fault.reading = False
                b.fault.bytes = bytes
            if l.foreign or b.failures != failures:
                status = LAYERS_SPILL
            elif b.used + bytes > b.limit:
                status = LAYERS_NOMEM
            break
        ask_to_write(b)
        status = waited(b, in_use)
        if status != LAYERS_OK:
            break
    if since != 0:
        b.waiting -= 1
        l.traffic.write_stall_seconds += lt_clock() - since
    if status == LAYERS_OK:
        count_memory(l, bytes)
    elif status == LAYERS_SPILL:
        l.fault = b.fault       # it may be another tape's store that is full
    return status


cdef slab_s *layers_take(layers_s *l, size_t bytes, bint populate, int *in_use, int *status) noexcept nogil:
    """A slab of exactly `bytes` for the tape to grow by, or NULL and why."""
    cdef budget_s *b = l.budget
    cdef slab_s *slab = NULL
    cdef slab_s **slabs
    lt_mutex_lock(&b.lock)
    status[0] = LAYERS_OK
    if l.count == l.capacity:
        slabs = <slab_s **>realloc(l.slabs, 2 * (l.capacity + 8) * sizeof(slab_s *))
        if slabs == NULL:
            status[0] = LAYERS_NOMEM
        else:
            l.slabs = slabs
            l.capacity = 2 * (l.capacity + 8)
    if status[0] == LAYERS_OK and l.spare != NULL and bytes == l.slab_bytes:
        slab = l.spare
        l.spare = NULL
    elif status[0] == LAYERS_OK:
        status[0] = make_room(l, bytes, 0 if l.foreign else l.slab_bytes, False, in_use)
    lt_mutex_unlock(&b.lock)
    if slab != NULL or status[0] != LAYERS_OK:
        return slab
    slab = pool_take(l.pool, bytes, populate, True)
    if slab == NULL:
        lt_mutex_lock(&b.lock)
        count_memory(l, -<ptrdiff_t>bytes)
        lt_mutex_unlock(&b.lock)
        status[0] = LAYERS_NOMEM
        return NULL
    slab.state = SLAB_DIRTY
    slab.owner = l if bytes == l.slab_bytes else NULL
    slab.pins = slab.error = 0
    slab.stale = slab.orphan = slab.browsed = False
    slab.ahead = AHEAD_OF_NOTHING
    slab.newer = slab.older = slab.queued = NULL
    return slab


cdef void release(layers_s *l) noexcept nogil:
    if l.spare != NULL:
        drop(l, l.spare)
        l.spare = NULL


cdef void layers_release(layers_s *l) noexcept nogil:
    """Give the spare slab back."""
    lt_mutex_lock(&l.budget.lock)
    release(l)
    lt_mutex_unlock(&l.budget.lock)


# -------------------------------------------------------------------------------------- moving the cursor

cdef void layers_raise(layers_s *l, slab_s *below, slab_s *above) noexcept nogil:
    """The cursor goes up from `below`, which it may have changed, into `above`, which is new."""
    cdef budget_s *b = l.budget
    lt_mutex_lock(&b.lock)
    if below.owner != NULL:
        if below.state == SLAB_CLEAN:
            forget_slot(l, below)
            below.state = SLAB_DIRTY
            b.clean -= below.bytes
        elif below.state == SLAB_WRITING:
            below.stale = True
    if above.owner != NULL:
        above.index = l.count
        l.slabs[l.count] = above
        l.count += 1
    l.held = NULL
    l.look_step = l.look_move = 0
    l.rising = True
    l.popped_at = 0
    l.traffic.length = above.base
    if short_of(b) > 0 and l.count > 1:
        ask_to_write(b)
    lt_mutex_unlock(&b.lock)


cdef void layers_lower(layers_s *l, slab_s *top, slab_s *to) noexcept nogil:
    """The cursor comes down from `top` to `to`, which is in memory; what lies above is dropped."""
    cdef budget_s *b = l.budget
    cdef slab_s *below
    cdef size_t slabs = 0
    cdef double now
    lt_mutex_lock(&b.lock)
    while top != to:
        below = top.prev
        if top.owner == NULL:       # one of the first, small ones
            count_memory(l, -<ptrdiff_t>top.bytes)
            pool_give(l.pool, top)
        else:
            l.count -= 1
            slabs += 1
            keep_or_drop(l, top)
        top = below
    if l.low > l.count:
        l.low = l.count
    l.look_step = l.look_move = 0       # `looked` may lie above the cursor now
    l.rising = False
    l.traffic.length = to.base
    now = lt_clock()
    if slabs == 1 and l.popped_at > 0:
        now -= l.popped_at
        l.pop_seconds = now if l.pop_seconds <= 0 else 0.75 * l.pop_seconds + 0.25 * now
        now += l.popped_at
    l.popped_at = now
    if wants_reads(l):
        ask_to_read(b)
    lt_mutex_unlock(&b.lock)


cdef void keep_or_drop(layers_s *l, slab_s *slab) noexcept nogil:
    """One empty slab is kept: a cursor that goes to and fro over a border moves no memory."""
    cdef budget_s *b = l.budget
    cdef bint in_memory = slab.state == SLAB_DIRTY or slab.state == SLAB_CLEAN
    if l.held == slab:
        l.held = NULL
    if l.spare != NULL or not in_memory:
        drop(l, slab)
        return
    if slab.browsed:
        set_browsed(l, slab, False)
    if slab.state == SLAB_CLEAN:
        forget_slot(l, slab)
        slab.state = SLAB_DIRTY
        b.clean -= slab.bytes
    slab.ahead = AHEAD_OF_NOTHING
    slab.error = 0
    l.spare = slab


cdef void want(budget_s *b, slab_s *slab) noexcept nogil:
    """Queue a slab for reading: first come, first served.  No more wait than there are threads."""
    cdef slab_s **link = &b.wanted
    while link[0] != NULL:
        link = &link[0].queued
    slab.queued = NULL
    link[0] = slab


cdef int fetch(layers_s *l, slab_s *slab, bint popping, int *in_use) noexcept nogil:
    """Wait until a slab is in memory, having it read if nobody does yet."""
    cdef budget_s *b = l.budget
    cdef int status = LAYERS_OK
    cdef bint asked = False
    cdef double since = lt_clock()
    l.traffic.read_stalls += 1
    while slab.state == SLAB_SPILLED or slab.state == SLAB_READING:
        if slab.state == SLAB_SPILLED:
            if asked and slab.error != 0:
                status = LAYERS_CORRUPT if slab.error == STORE_CORRUPT else LAYERS_SPILL
                blame(&l.fault, l, slab, slab.error, l.stores[slab.store].object, True)
                slab.error = 0
                break
            status = make_room(l, slab.bytes, 0, not popping, in_use)
            if status != LAYERS_OK:
                break
            if slab.state != SLAB_SPILLED:      # read ahead, while this waited for room
                count_memory(l, -<ptrdiff_t>slab.bytes)
                continue
            slab.data = pool_take_memory(l.pool, slab.bytes)
            if slab.data == NULL:
                count_memory(l, -<ptrdiff_t>slab.bytes)
                status = LAYERS_NOMEM
                break
            asked = True
            slab.error = 0
            slab.state = SLAB_READING
            slab.ahead = AHEAD_OF_NOTHING
            l.traffic.spilled -= slab.bytes
            l.in_flight += 1
            b.reading += slab.bytes
            want(b, slab)
        ask_to_read(b)
        status = waited(b, in_use)
        if status != LAYERS_OK:
            break
    since = lt_clock() - since
    l.traffic.read_stall_seconds += since
    if l.popped_at > 0:
        l.popped_at += since        # the speed of popping is that between waits
    return status


cdef int layers_need(layers_s *l, slab_s *slab, bint popping, int *in_use) noexcept nogil:
    """Have `slab` in memory, where it stays until the next look or move of the cursor."""
    cdef budget_s *b = l.budget
    cdef int status = LAYERS_OK
    cdef int move
    if slab.owner == NULL:
        return LAYERS_OK
    lt_mutex_lock(&b.lock)
    l.held = slab
    if not popping:
        if slab.index != l.looked:
            move = 1 if slab.index == l.looked + 1 else -1 if slab.index + 1 == l.looked else 0
            l.look_step = move if move == l.look_move else 0
            l.look_move = move
        l.looked = slab.index
    if slab.state == SLAB_SPILLED:
        l.traffic.misses += 1
    elif slab.ahead != AHEAD_OF_NOTHING:
        l.traffic.hits += 1
    if slab.state == SLAB_SPILLED or slab.state == SLAB_READING:
        status = fetch(l, slab, popping, in_use)
        if status == LAYERS_OK and not popping:
            set_browsed(l, slab, True)
    if status == LAYERS_OK:
        slab.ahead = AHEAD_OF_NOTHING
        if slab.browsed:
            set_browsed(l, slab, not popping)
        if not popping and l.look_step != 0 and wants_reads(l):
            ask_to_read(b)
    else:
        l.held = NULL
    lt_mutex_unlock(&b.lock)
    return status


cdef void layers_pin(layers_s *l, slab_s *slab, int pins) noexcept nogil:
    """A view into the slab appears (1) or is gone (-1)."""
    if slab.owner == NULL:
        return
    lt_mutex_lock(&l.budget.lock)
    slab.pins += pins
    lt_mutex_unlock(&l.budget.lock)
