"""The lock of a tape that threads share (see lock.pxd)."""

from tape.gil cimport PyEval_RestoreThread, PyEval_SaveThread, PyThreadState, lt_has_gil
from tape.mover cimport carries, signalled
from tape.spin cimport lt_atomic_load, lt_atomic_store, lt_atomic_take, lt_pause, lt_yield
from tape.sync cimport (
    lt_cond_init,
    lt_cond_t,
    lt_cond_wait_ms,
    lt_cond_wake,
    lt_mutex_init,
    lt_mutex_lock,
    lt_mutex_t,
    lt_mutex_unlock,
)

cdef extern from *:
    """
    #if defined(_WIN32)
    #define lt_in_child(handler) 0
    #else
    #include <pthread.h>
    #define lt_in_child(handler) pthread_atfork(NULL, NULL, (handler))
    #endif
    """
    int lt_in_child(void (*handler)() noexcept nogil) noexcept nogil

cdef enum:
    SHORT = 1       # how a lock is held: the lowest bits of its word
    LONG = 2
    FORK = 4        # the rest counts the forks up to this process
    # The back-off, by measurement (benchmarks/threads.py).
    MOST_PAUSES = 64
    MOST_YIELDS = 16
    NAP_MS = 1
    LOOK_MS = 100   # how often a sleeper looks for Ctrl-C

cdef struct place_s:
    lt_mutex_t mutex
    lt_cond_t gone

cdef enum:
    PLACES = 16

# Where threads sleep, by the address of the lock: these outlive every lock, and a child process can make them anew.
cdef place_s places[PLACES]


cdef inline place_s *place_of(const lock_s *lock) noexcept nogil:
    return &places[(<size_t>lock >> 6) % PLACES]


cdef void lock_init(lock_s *lock) noexcept nogil:
    lock.word = 0
    lock.slow = lock.long_held = False
    lock.state = NULL
    lock.budget = NULL


cdef bint lock_lost(const lock_s *lock) noexcept nogil:
    """Whether the owner is a thread of the parent process, which this one, forked meanwhile, does not have."""
    cdef int word = lt_atomic_load(&lock.word)
    return word != 0 and (word & ~(FORK - 1)) != (lock_taken & ~(FORK - 1))


cdef void sleep(lock_s *lock, int ms) noexcept nogil:
    """Until the lock is free if it is held long, else for a nap; `ms` at the most."""
    cdef place_s *place = place_of(lock)
    lt_mutex_lock(&place.mutex)
    if lt_atomic_load(&lock.word) != 0:
        lt_cond_wait_ms(&place.gone, &place.mutex, ms)
    lt_mutex_unlock(&place.mutex)


cdef int acquire(lock_s *lock) noexcept nogil:
    cdef int word, k, pauses = 1, yields = 0
    while True:
        word = lt_atomic_load(&lock.word)
        if word == 0:
            if lt_atomic_take(&lock.word, lock_taken):
                return LOCK_OK
        elif lock_lost(lock):
            return LOCK_BUSY
        elif word & LONG:
            if lock.budget != NULL and carries(lock.budget):
                return LOCK_BUSY
            sleep(lock, LOOK_MS)
            if signalled():
                return LOCK_STOPPED
            continue
        # Here with a lock held short, or just lost to another thread.
        if pauses <= MOST_PAUSES:
            for k in range(pauses):
                lt_pause()
            pauses *= 2
        elif yields < MOST_YIELDS:
            lt_yield()
            yields += 1
        else:
            sleep(lock, NAP_MS)


cdef int lock_wait(lock_s *lock) noexcept nogil:
    """Take a lock that another thread has, without the GIL."""
    cdef PyThreadState *state = PyEval_SaveThread() if lt_has_gil() else NULL
    cdef int status = acquire(lock)
    if status == LOCK_OK:
        lock.state = state
        lock.slow = state != NULL
    elif state != NULL:
        PyEval_RestoreThread(state)
    return status


cdef void lock_long(lock_s *lock) noexcept nogil:
    """What its owner does next may take long."""
    if lock.long_held:
        return
    lock.long_held = lock.slow = True
    lt_atomic_store(&lock.word, lock_taken - SHORT + LONG)
    if lock.state == NULL and lt_has_gil():
        lock.state = PyEval_SaveThread()


cdef void lock_let_go(lock_s *lock) noexcept nogil:
    """The end of a lock that was held long, or for which the GIL was given up."""
    cdef PyThreadState *state = lock.state
    cdef place_s *place = place_of(lock)
    cdef bint sleepers = lock.long_held
    lock.state = NULL
    lock.slow = lock.long_held = False
    if sleepers:
        lt_mutex_lock(&place.mutex)
    lt_atomic_store(&lock.word, 0)
    if sleepers:        # `lock` may be gone from here on
        lt_cond_wake(&place.gone)
        lt_mutex_unlock(&place.mutex)
    if state != NULL:
        PyEval_RestoreThread(state)


cdef void make_places() noexcept nogil:
    cdef int k
    for k in range(PLACES):
        lt_mutex_init(&places[k].mutex)
        lt_cond_init(&places[k].gone)


cdef void after_fork_in_child() noexcept nogil:
    """The threads that slept are the parent's, and so is whoever had a lock."""
    global lock_taken
    make_places()
    lock_taken += FORK


lock_taken = FORK + SHORT
make_places()
if lt_in_child(after_fork_in_child) != 0:
    raise MemoryError("no memory for the fork handlers of shared tapes")
