"""The background threads that carry slabs, and how to wait for them (see mover.pxd)."""

from libc.stdlib cimport free

from tape.gil cimport (
    PyErr_CheckSignals,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyGILState_Ensure,
    PyGILState_Release,
    PyGILState_STATE,
    PyOS_InterruptOccurred,
    PyThread_get_thread_ident,
    PyThreadState,
    lt_has_gil,
)
from tape.residency cimport (
    STORE_FOREIGN,
    budget_s,
    count_memory,
    fault_s,
    forget_slot,
    layers_s,
    leave_memory,
    next_to_read,
    next_to_write,
    next_victim,
    set_browsed,
    short_of,
    slot_s,
    store_ref_s,
)
from tape.slab cimport (
    AHEAD_OF_LOOKS,
    AHEAD_OF_NOTHING,
    SLAB_CLEAN,
    SLAB_DIRTY,
    SLAB_READING,
    SLAB_WRITING,
    pool_give,
    pool_take_memory,
    slab_s,
)
from tape.store cimport STORE_CORRUPT
from tape.sync cimport (
    lt_clock,
    lt_cond_wait,
    lt_cond_wait_ms,
    lt_cond_wake,
    lt_mutex_lock,
    lt_mutex_unlock,
)
from tape.xxh64 cimport lt_xxh64

import threading

cdef extern from "pythread.h":
    unsigned long PYTHREAD_INVALID_THREAD_ID
    unsigned long PyThread_start_new_thread(void (*body)(void *) noexcept nogil, void *arg) noexcept nogil

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define LT_THREAD_LOCAL __declspec(thread)
    #else
    #define LT_THREAD_LOCAL __thread
    #endif
    typedef struct lt_errand { const void *budget; const struct lt_errand *outer; } lt_errand_t;
    static LT_THREAD_LOCAL const lt_errand_t *lt_errands = NULL;
    static inline void lt_set_out(lt_errand_t *e, const void *budget) {
        e->budget = budget;
        e->outer = lt_errands;
        lt_errands = e;
    }
    static inline void lt_come_back(const lt_errand_t *e) { lt_errands = e->outer; }
    static inline int lt_is_out_for(const void *budget) {
        const lt_errand_t *e = lt_errands;
        while (e && e->budget != budget) e = e->outer;
        return e != NULL;
    }
    """
    ctypedef struct lt_errand_t:
        pass
    void lt_set_out(lt_errand_t *e, const void *budget) noexcept nogil
    void lt_come_back(const lt_errand_t *e) noexcept nogil
    bint lt_is_out_for(const void *budget) noexcept nogil

cdef enum:
    THREADS = 2     # of each kind

cdef unsigned long main_thread = threading.main_thread().ident


cdef bint carries(const budget_s *b) noexcept nogil:
    """Whether this thread is in a store, for a tape of this budget: it must not wait for one then, which may be itself.

    A store written in Python can run anything there, the garbage collector and what that finds included.
    """
    return lt_is_out_for(b)


cdef inline void began(int *count, double *since) noexcept nogil:
    if count[0] == 0:
        since[0] = lt_clock()
    count[0] += 1


cdef inline void ended(int *count, double *since, double *seconds) noexcept nogil:
    count[0] -= 1
    if count[0] == 0:
        seconds[0] += lt_clock() - since[0]


cdef void blame(fault_s *fault, layers_s *l, slab_s *slab, int status, void *store, bint reading) noexcept nogil:
    fault.status = status
    fault.store = store
    fault.reading = reading
    fault.bytes = slab.bytes
    fault.slab = slab.index
    fault.offset = slab.base


# --------------------------------------------------------------------------------------------- one transfer


cdef bint write_one(budget_s *b) noexcept nogil:
    """Write the slab that is needed last; False if there is none to write."""
    cdef slab_s *slab = next_to_write(b)
    cdef layers_s *l
    cdef store_ref_s *store
    cdef int k, last, status = 0
    cdef long long slot = 0
    cdef unsigned long long checksum
    cdef lt_errand_t errand
    if slab == NULL:
        return False
    l = <layers_s *>slab.owner
    slab.state = SLAB_WRITING
    slab.stale = False
    b.writing += slab.bytes
    l.in_flight += 1
    began(&l.writing, &l.writing_since)
    last = l.store_count
    lt_mutex_unlock(&b.lock)

    lt_set_out(&errand, b)
    checksum = lt_xxh64(slab.data, slab.bytes)
    for k in range(last):       # the first store that takes it
        store = &l.stores[k]
        status = store.call.write(store.object, slab.data, slab.bytes, &slot)
        if status == 0:
            break
    lt_come_back(&errand)

    lt_mutex_lock(&b.lock)
    b.writing -= slab.bytes
    l.in_flight -= 1
    ended(&l.writing, &l.writing_since, &l.traffic.write_seconds)
    if status == 0:
        slab.slot = slot
        slab.store = k
        slab.checksum = checksum
        l.traffic.written += slab.bytes
    else:
        l.blocked = True
        b.failures += 1
        blame(&b.fault, l, slab, status, l.stores[last - 1].object, False)
    if slab.orphan:
        if status == 0:
            forget_slot(l, slab)
        count_memory(l, -<ptrdiff_t>slab.bytes)
        pool_give(l.pool, slab)
    elif status == 0 and not slab.stale:
        slab.state = SLAB_CLEAN
        b.clean += slab.bytes
    else:
        if status == 0:
            forget_slot(l, slab)
        slab.state = SLAB_DIRTY
    lt_cond_wake(&b.progress)
    return True


cdef slab_s *wanted_slab(budget_s *b) noexcept nogil:
    """The first slab that somebody waits for, or NULL; it is READING and has memory."""
    cdef slab_s *slab = b.wanted
    if slab != NULL:
        b.wanted = slab.queued
        slab.queued = NULL
    return slab


cdef bint start_ahead(slab_s *slab) noexcept nogil:
    """Give a spilled slab memory that is free."""
    cdef layers_s *l = <layers_s *>slab.owner
    slab.data = pool_take_memory(l.pool, slab.bytes)
    if slab.data == NULL:
        return False
    slab.state = SLAB_READING
    l.traffic.spilled -= slab.bytes
    l.in_flight += 1
    l.budget.reading += slab.bytes
    count_memory(l, slab.bytes)
    return True


cdef bint read_one(budget_s *b) noexcept nogil:
    """Read the slab that somebody waits for, else one that will be needed; False if there is none."""
    cdef slab_s *slab = wanted_slab(b)
    cdef layers_s *l
    cdef store_ref_s *store
    cdef int status = 0
    cdef double start
    cdef lt_errand_t errand
    if slab == NULL:
        slab = next_to_read(b)
        if slab == NULL or not start_ahead(slab):
            return False
    l = <layers_s *>slab.owner
    store = &l.stores[slab.store]
    began(&l.reading, &l.reading_since)
    lt_mutex_unlock(&b.lock)

    lt_set_out(&errand, b)
    start = lt_clock()
    if l.foreign:
        status = STORE_FOREIGN
    elif not slab.orphan:
        status = store.call.read(store.object, slab.slot, slab.data, slab.bytes)
        if status == 0 and lt_xxh64(slab.data, slab.bytes) != slab.checksum:
            status = STORE_CORRUPT
    start = lt_clock() - start
    lt_come_back(&errand)

    lt_mutex_lock(&b.lock)
    l.in_flight -= 1
    b.reading -= slab.bytes
    ended(&l.reading, &l.reading_since, &l.traffic.read_seconds)
    if slab.orphan:
        forget_slot(l, slab)
        count_memory(l, -<ptrdiff_t>slab.bytes)
        pool_give(l.pool, slab)
    elif status == 0:
        l.traffic.read += slab.bytes
        # Two read at once, so a slab arrives every half of the time that one takes.
        start /= THREADS
        l.fetch_seconds = start if l.fetch_seconds <= 0 else 0.75 * l.fetch_seconds + 0.25 * start
        slab.state = SLAB_CLEAN
        b.clean += slab.bytes
        if slab.ahead == AHEAD_OF_LOOKS:
            set_browsed(l, slab, True)
        elif slab.index < l.low:
            l.low = slab.index
    else:
        slab.error = status
        slab.ahead = AHEAD_OF_NOTHING
        leave_memory(l, slab)
    lt_cond_wake(&b.progress)
    return True


cdef bint free_one(budget_s *b) noexcept nogil:
    """Have the store forget a slot that is no longer needed; False if there is none."""
    cdef slot_s *note = b.garbage
    cdef layers_s *l
    cdef lt_errand_t errand
    if note == NULL:
        return False
    b.garbage = note.next
    l = note.layers
    if not l.foreign:
        l.in_flight += 1
        lt_mutex_unlock(&b.lock)
        lt_set_out(&errand, b)
        l.stores[note.store].call.free(l.stores[note.store].object, note.slot, note.bytes)
        lt_come_back(&errand)
        lt_mutex_lock(&b.lock)
        l.in_flight -= 1
        lt_cond_wake(&b.progress)
    free(note)
    return True


# --------------------------------------------------------------------------------------------- the threads


cdef void writer(void *arg) noexcept nogil:
    cdef budget_s *b = <budget_s *>arg
    lt_mutex_lock(&b.lock)
    while b.tapes != NULL and not b.stop:
        if free_one(b):
            continue
        # Who waits may take a while to wake: what is clean by then is enough.
        if (short_of(b) > 0 or (b.waiting > 0 and next_victim(b, False) == NULL)) and write_one(b):
            continue
        lt_cond_wait(&b.to_write, &b.lock)
    b.writers -= 1
    lt_cond_wake(&b.progress)
    lt_mutex_unlock(&b.lock)


cdef void reader(void *arg) noexcept nogil:
    cdef budget_s *b = <budget_s *>arg
    lt_mutex_lock(&b.lock)
    while b.tapes != NULL and not b.stop:
        if not read_one(b):
            lt_cond_wait(&b.to_read, &b.lock)
    b.readers -= 1
    lt_cond_wake(&b.progress)
    lt_mutex_unlock(&b.lock)


cdef void start(budget_s *b, int *running, void (*body)(void *) noexcept nogil) noexcept nogil:
    while running[0] < THREADS and not (b.stop or b.no_threads):
        running[0] += 1
        if PyThread_start_new_thread(body, b) == PYTHREAD_INVALID_THREAD_ID:
            running[0] -= 1
            b.no_threads = running[0] == 0
            return


cdef void ask_to_write(budget_s *b) noexcept nogil:
    start(b, &b.writers, writer)
    lt_cond_wake(&b.to_write)


cdef void ask_to_read(budget_s *b) noexcept nogil:
    start(b, &b.readers, reader)
    lt_cond_wake(&b.to_read)


cdef void sleep(budget_s *b) noexcept nogil:
    """Wait for `progress`, a tenth of a second at the most, without the GIL if the caller holds it."""
    cdef PyThreadState *state
    if not lt_has_gil():
        lt_cond_wait_ms(&b.progress, &b.lock, 100)
        return
    state = PyEval_SaveThread()
    lt_cond_wait_ms(&b.progress, &b.lock, 100)
    lt_mutex_unlock(&b.lock)        # never ask for the GIL with the lock held
    PyEval_RestoreThread(state)
    lt_mutex_lock(&b.lock)


cdef bint signalled() noexcept nogil:
    """Whether Ctrl-C was pressed, in the main thread without the GIL; it takes the GIL, so hold no lock."""
    cdef PyGILState_STATE state
    cdef bint found
    if PyThread_get_thread_ident() != main_thread:
        return False
    state = PyGILState_Ensure()
    found = PyOS_InterruptOccurred() != 0
    PyGILState_Release(state)
    return found


cdef bint interrupted(budget_s *b) noexcept nogil:
    """Whether Ctrl-C was pressed while the main thread is in compiled code that gave up the GIL; looked up now and then."""
    cdef double now = lt_clock()
    cdef bint found
    if PyThread_get_thread_ident() != main_thread or now - b.signals_at < 0.1:
        return False
    b.signals_at = now
    lt_mutex_unlock(&b.lock)
    found = signalled()
    lt_mutex_lock(&b.lock)
    return found


cdef void wait_patiently(budget_s *b) noexcept nogil:
    """Wait until a transfer has ended, or some time; without threads make one."""
    if b.no_threads or b.stop:
        while free_one(b):
            pass
        if (b.wanted != NULL and read_one(b)) or write_one(b):
            return
    sleep(b)


cdef int wait_progress(budget_s *b, int *in_use) noexcept nogil:
    """`wait_patiently` for the user of a tape, so that Ctrl-C ends the wait.

    The caller may hold the GIL: it is given up first, since a store written in Python needs it, and the tape counts as
    in use until it is back.  Signal handlers run where the caller is a method of Tape (`in_use` is not set then).
    """
    cdef int before = in_use[0], found = WAIT_OK
    if carries(b):
        return WAIT_REFUSED
    if not lt_has_gil():
        wait_patiently(b)
        return WAIT_STOPPED if interrupted(b) else WAIT_OK
    in_use[0] = 1
    wait_patiently(b)
    if before == 0:
        lt_mutex_unlock(&b.lock)
        found = WAIT_INTERRUPTED if PyErr_CheckSignals() != 0 else WAIT_OK
        in_use[0] = 0
        lt_mutex_lock(&b.lock)
    return found


cdef void join_threads(budget_s *b) noexcept nogil:
    """Wait for the end of the threads of a budget that has no tapes any more, or was told to stop."""
    lt_cond_wake(&b.to_write)
    lt_cond_wake(&b.to_read)
    while (b.tapes == NULL or b.stop) and b.writers + b.readers > 0:
        sleep(b)
