"""Arrays on a tape of words (see words.pxd)."""

from libc.string cimport memcpy, memset

from tape.stack cimport (
    TAPE_EMPTY,
    TAPE_OK,
    tape_failed,
    tape_grow,
    tape_length,
    tape_lock,
    tape_lock_long,
    tape_refuse,
    tape_room,
    tape_s,
    tape_truncate,
    tape_unlock,
    tape_unwind,
)


cdef struct rows_s:
    # An array as rows: `count` parts, `step` bytes apart, at each place of the outer dimensions.  Dimensions without a
    # gap between them are one, so that rows are as long as can be.
    long long count
    long long step
    long long rows      # of them in all
    int outer           # dimensions of the rows, innermost first
    long long length[MAX_DIMENSIONS + 1]
    long long stride[MAX_DIMENSIONS + 1]
    long long at[MAX_DIMENSIONS + 1]


# ---------------------------------------------------------------------------------------------------- sharing

cdef inline tape_s *enter(tape_s *t) noexcept nogil:
    """The tape to work on: `t`, or the one behind it, until `leave`; NULL where it failed, or is refused, which sticks."""
    cdef int status
    cdef tape_s *own
    if t.shared == NULL:
        return t if t.failed == TAPE_OK else NULL
    if tape_failed(t) != TAPE_OK:
        return NULL
    own = tape_lock(t, &status)
    if own == NULL:
        tape_refuse(t, status)
    else:
        tape_lock_long(own)
    return own


cdef inline void leave(tape_s *t) noexcept nogil:
    if t.shared != NULL:
        tape_unlock(t)


# ------------------------------------------------------------------------------------------------------- rows

cdef inline void add_dimension(rows_s *r, long long length, long long stride) noexcept nogil:
    """One more dimension, outside those so far."""
    if length == 0:
        r.rows = 0
    elif length == 1:
        return
    elif r.count == 1:
        r.count = length
        r.step = stride
    elif r.outer == 0 and stride == r.count * r.step:
        r.count *= length
    else:
        r.length[r.outer] = length
        r.stride[r.outer] = stride
        r.at[r.outer] = 0
        r.outer += 1
        r.rows *= length


cdef inline void divide(
    rows_s *r, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    cdef int d
    r.count = 1
    r.step = form.size
    r.rows = 1
    r.outer = 0
    add_dimension(r, form.parts, form.size)
    for d in range(dimensions - 1, -1, -1):
        add_dimension(r, shape[d], strides[d])


cdef inline long long next_row(rows_s *r) noexcept nogil:
    """Bytes from a row to the next."""
    cdef long long move = 0
    cdef int d
    for d in range(r.outer):
        move += r.stride[d]
        r.at[d] += 1
        if r.at[d] < r.length[d]:
            break
        move -= r.length[d] * r.stride[d]
        r.at[d] = 0
    return move


cdef inline char *turn(rows_s *r, char *first) noexcept nogil:
    """Let the rows be gone through from the last one to the first; where the last one lies."""
    cdef int d
    for d in range(r.outer):
        first += (r.length[d] - 1) * r.stride[d]
        r.stride[d] = -r.stride[d]
    return first


# ----------------------------------------------------------------------------------------------------- copying

cdef inline void pack(char *to, const char *parts, long long n, long long step, form_s form) noexcept nogil:
    """Copy `n` parts of a row onto the tape."""
    cdef long long i
    cdef double wide
    if form.packed != form.size:
        for i in range(n):
            memcpy(&wide, parts + i * step, sizeof(double))
            (<float *>to)[i] = <float>wide
    elif step == form.size:
        memcpy(to, parts, n * form.size)
    elif form.size == 8:
        for i in range(n):
            memcpy(to + i * 8, parts + i * step, 8)
    elif form.size == 4:
        for i in range(n):
            memcpy(to + i * 4, parts + i * step, 4)
    else:
        for i in range(n):
            memcpy(to + i * form.size, parts + i * step, form.size)


cdef inline void unpack(char *parts, const char *packed, long long n, long long step, form_s form) noexcept nogil:
    """Copy `n` parts of a row from the tape."""
    cdef long long i
    cdef double wide
    if form.packed != form.size:
        for i in range(n):
            wide = (<const float *>packed)[i]
            memcpy(parts + i * step, &wide, sizeof(double))
    elif step == form.size:
        memcpy(parts, packed, n * form.size)
    elif form.size == 8:
        for i in range(n):
            memcpy(parts + i * step, packed + i * 8, 8)
    elif form.size == 4:
        for i in range(n):
            memcpy(parts + i * step, packed + i * 4, 4)
    else:
        for i in range(n):
            memcpy(parts + i * step, packed + i * form.size, form.size)


# ---------------------------------------------------------------------------------------------- the way forward

cdef int push_row(tape_s *t, const char *parts, const rows_s *r, form_s form) noexcept nogil:
    cdef long long left = r.count, n
    cdef int status
    while left > 0:
        n = (t.end - t.cur) // form.packed
        if n == 0:
            status = tape_grow(t, WORD)
            if status != TAPE_OK:
                return status
            continue
        if n > left:
            n = left
        pack(t.cur, parts, n, r.step, form)
        t.cur += n * form.packed
        parts += n * r.step
        left -= n
    return TAPE_OK


cdef int push(
    tape_s *t, const char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    cdef rows_s r
    cdef long long i, filler
    cdef int status
    divide(&r, dimensions, shape, strides, form)
    for i in range(r.rows):
        status = push_row(t, data, &r, form)
        if status != TAPE_OK:
            return status
        data += next_row(&r)
    filler = (t.end - t.cur) % WORD     # segments end with a whole word
    memset(t.cur, 0, filler)
    t.cur += filler
    return TAPE_OK


cdef void words_push(
    tape_s *t, const char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    """Push the items of an array of up to MAX_DIMENSIONS dimensions."""
    cdef tape_s *own = enter(t)
    if own != NULL:
        push_all(own, data, dimensions, shape, strides, form)
        leave(t)


cdef void push_all(
    tape_s *t, const char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    cdef int before = t.in_use
    cdef size_t length = tape_length(t)
    t.in_use = 1        # no signal handlers: generated code cannot pass on what they raise
    t.failed = push(t, data, dimensions, shape, strides, form)
    if t.failed != TAPE_OK:
        tape_truncate(t, length)    # if even that fails, a part of the array stays
    t.in_use = before
    if t.failed != TAPE_OK:
        t.begin = t.end = t.cur


# ------------------------------------------------------------------------------------------------- the way back

cdef int pop_row(tape_s *t, char *parts, const rows_s *r, form_s form) noexcept nogil:
    cdef long long left = r.count, n
    cdef int status
    while left > 0:
        n = (t.cur - t.begin) // form.packed
        if n == 0:
            status = tape_unwind(t)
            if status != TAPE_OK:
                return status
            continue
        if n > left:
            n = left
        left -= n
        t.cur -= n * form.packed
        unpack(parts + left * r.step, t.cur, n, r.step, form)
    return TAPE_OK


cdef int pop(
    tape_s *t, char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    cdef rows_s r
    cdef long long i, filler
    cdef int status
    divide(&r, dimensions, shape, strides, form)
    filler = -(r.rows * r.count * form.packed) & (WORD - 1)
    if <size_t>(r.rows * r.count * form.packed + filler) > tape_length(t):
        return TAPE_EMPTY
    if filler > 0:
        if t.cur == t.begin:
            status = tape_unwind(t)
            if status != TAPE_OK:
                return status
        t.cur -= filler
    data = turn(&r, data)
    for i in range(r.rows):
        status = pop_row(t, data, &r, form)
        if status != TAPE_OK:
            return status
        data += next_row(&r)
    return TAPE_OK


cdef int words_pop(
    tape_s *t, char *data, int dimensions, const long long *shape, const long long *strides, form_s form
) noexcept nogil:
    """Pop the items of an array into one with as many of them.  The result is `tape_failed(t)`."""
    cdef tape_s *own = enter(t)
    cdef int before, status
    if own == NULL:
        return tape_failed(t)
    before = own.in_use
    own.in_use = 1
    status = own.failed = pop(own, data, dimensions, shape, strides, form)
    own.in_use = before
    if status != TAPE_OK:
        own.begin = own.end = own.cur
    leave(t)
    return status


# --------------------------------------------------------------------------------------------------- exchange

cdef inline size_t block_for(size_t bytes) noexcept nogil:
    """The block that an exchange takes on the tape: room for the array, aligned, and its old address and new one."""
    return (bytes + WORD - 1) // WORD * WORD + LINE + 2 * WORD


cdef inline form_s as_bytes() noexcept nogil:
    cdef form_s form
    form.parts = form.size = form.packed = 1
    return form


cdef char *words_exchange(tape_s *t, char *data, size_t bytes) noexcept nogil:
    """Record what lies at `data`; where to write now, instead of it.

    On a tape in memory nothing is copied: the new memory is a block of the tape, and the old one stays as it is until
    `words_restore` gives its address back.  Slabs of a tape with a budget move, and blocks of a shared one can be popped by
    others, so there the bytes are copied and the array keeps its memory.
    """
    cdef long long length = bytes, step = 1
    cdef size_t size = block_for(bytes)
    cdef char *block
    if t.failed != TAPE_OK:
        return data
    if t.layers != NULL or t.shared != NULL:
        words_push(t, data, 1, &length, &step, as_bytes())
        return data
    if <size_t>(t.end - t.cur) < size and tape_room(t, size) == NULL:
        return data
    block = t.cur + (LINE - <size_t>t.cur % LINE) % LINE
    t.cur += size
    (<char **>(t.cur - WORD))[0] = data
    (<char **>(t.cur - 2 * WORD))[0] = block
    return block


cdef char *words_restore(tape_s *t, char *data, size_t bytes) noexcept nogil:
    """Undo `words_exchange` for an array at `data`: where the recorded bytes lie, or NULL (see `tape_recall`).

    What lies on top of the tape must be the block that the array was given: nothing else is taken for an address.
    """
    cdef long long length = bytes, step = 1
    cdef size_t size = block_for(bytes)
    cdef int before = t.in_use
    if t.layers != NULL or t.shared != NULL:
        return data if words_pop(t, data, 1, &length, &step, as_bytes()) == TAPE_OK else NULL
    while t.failed == TAPE_OK and t.cur == t.begin:
        t.in_use = 1
        t.failed = tape_unwind(t)
        t.in_use = before
    if t.failed == TAPE_OK and <size_t>(t.cur - t.begin) < size:
        t.failed = TAPE_EMPTY
    if t.failed != TAPE_OK:
        t.begin = t.end = t.cur
        return NULL
    if data != (<char **>(t.cur - 2 * WORD))[0]:
        return NULL
    t.cur -= size
    return (<char **>(t.cur + size - WORD))[0]
