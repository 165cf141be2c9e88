"""Which parts of a file are taken (see slots.pxd)."""

from libc.stdlib cimport free, realloc
from libc.string cimport memmove, memset


cdef size_t lower_bound(extents_s *list, long long offset) noexcept nogil:
    """The index of the first extent at or after `offset`."""
    cdef size_t low = 0
    cdef size_t high = list.count
    cdef size_t middle
    while low < high:
        middle = low + (high - low) // 2
        if list.items[middle].offset < offset:
            low = middle + 1
        else:
            high = middle
    return low


cdef void insert(extents_s *list, size_t index, long long offset, long long bytes) noexcept nogil:
    memmove(&list.items[index + 1], &list.items[index], (list.count - index) * sizeof(extent_s))
    memset(&list.items[index], 0, sizeof(extent_s))
    list.items[index].offset = offset
    list.items[index].bytes = bytes
    list.count += 1


cdef void remove(extents_s *list, size_t index) noexcept nogil:
    list.count -= 1
    memmove(&list.items[index], &list.items[index + 1], (list.count - index) * sizeof(extent_s))


cdef bint make_room(extents_s *list, size_t wanted) noexcept nogil:
    cdef size_t room
    cdef void *items
    if wanted <= list.room:
        return True
    room = max(2 * list.room, wanted, 16)
    items = realloc(list.items, room * sizeof(extent_s))
    if items == NULL:
        return False
    list.items = <extent_s *>items
    list.room = room
    return True


cdef void add_free(slots_s *slots, long long offset, long long bytes) noexcept nogil:
    """Join a part to its free neighbours, or list it."""
    cdef size_t i = lower_bound(&slots.free, offset)
    cdef extent_s *items = slots.free.items
    cdef bint before = i > 0 and items[i - 1].offset + items[i - 1].bytes == offset
    cdef bint after = i < slots.free.count and items[i].offset == offset + bytes
    if before and after:
        items[i - 1].bytes += bytes + items[i].bytes
        remove(&slots.free, i)
    elif before:
        items[i - 1].bytes += bytes
    elif after:
        items[i].offset = offset
        items[i].bytes += bytes
    else:
        insert(&slots.free, i, offset, bytes)


cdef long long slot_size(long long bytes) noexcept nogil:
    """The bytes of the file that a slot for `bytes` takes."""
    return max(<long long>SLOT_BYTES, (bytes + SLOT_BYTES - 1) // SLOT_BYTES * SLOT_BYTES)


cdef long long slots_take(slots_s *slots, long long bytes) noexcept nogil:
    """A new slot in state SLOT_WRITING, or SLOTS_FULL, or SLOTS_NOMEM."""
    cdef long long size = slot_size(bytes)
    cdef long long offset
    cdef size_t i, k
    # All memory that giving back and growing will need is asked for here, for these two cannot fail.
    if not make_room(&slots.live, slots.live.count + 1) or not make_room(&slots.free, slots.live.count + 2):
        return SLOTS_NOMEM
    for i in range(slots.free.count):
        if slots.free.items[i].bytes < size:
            continue
        offset = slots.free.items[i].offset
        if slots.free.items[i].bytes == size:
            remove(&slots.free, i)
        else:
            slots.free.items[i].offset += size
            slots.free.items[i].bytes -= size
        k = lower_bound(&slots.live, offset)
        insert(&slots.live, k, offset, bytes)
        slots.live.items[k].pins = SLOT_WRITING
        slots.used += size
        return offset
    return SLOTS_FULL


cdef extent_s *slots_find(slots_s *slots, long long offset) noexcept nogil:
    """The slot at `offset`, or NULL.  It stays where it is until the next take or give."""
    cdef size_t i = lower_bound(&slots.live, offset)
    if i < slots.live.count and slots.live.items[i].offset == offset:
        return &slots.live.items[i]
    return NULL


cdef void slots_give(slots_s *slots, extent_s *slot) noexcept nogil:
    cdef long long offset = slot.offset
    cdef long long size = slot_size(slot.bytes)
    remove(&slots.live, slot - slots.live.items)
    slots.used -= size
    add_free(slots, offset, size)


cdef long long slots_tail(slots_s *slots) noexcept nogil:
    """Free bytes at the end of the file."""
    cdef extent_s *last
    if slots.free.count == 0:
        return 0
    last = &slots.free.items[slots.free.count - 1]
    return last.bytes if last.offset + last.bytes == slots.end else 0


cdef void slots_grow(slots_s *slots, long long bytes) noexcept nogil:
    """The file was made longer.  Call after a `slots_take` that found it full."""
    add_free(slots, slots.end, bytes)
    slots.end += bytes


cdef void slots_cut(slots_s *slots) noexcept nogil:
    """The free tail of the file leaves."""
    cdef long long tail = slots_tail(slots)
    if tail:
        slots.end -= tail
        slots.free.count -= 1


cdef void slots_clear(slots_s *slots) noexcept nogil:
    free(slots.live.items)
    free(slots.free.items)
    memset(slots, 0, sizeof(slots_s))
