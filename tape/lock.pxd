"""The lock of a tape that threads share: a spinlock for the few instructions of a push, a place to sleep for the rest.

* Held short, it is a word that the next thread spins on for a bounded time, then yields, then naps.  Nothing is called
  meanwhile that could wait or run Python.
* Before anything that may take long (memory for a slab, a disk, a large copy) the owner says so by `lock_long`.  From then
  on who wants the lock sleeps, and the owner has no GIL.

Who does not get the lock at once gives up the GIL before it waits, and asks for it back when it has left the lock again.
So nobody waits here with the GIL, and whoever needs the GIL to let an owner go on (a store written in Python) gets it.
"""

from tape.gil cimport PyThreadState
from tape.residency cimport budget_s
from tape.spin cimport lt_atomic_store, lt_atomic_t, lt_atomic_take

cdef extern from *:
    bint unlikely(bint condition) noexcept nogil

cdef enum:
    LOCK_OK = 0
    LOCK_BUSY = 3       # TAPE_BUSY: the owner waits for this thread, or was left behind in the parent process by a fork
    LOCK_STOPPED = 10   # TAPE_STOPPED

cdef struct lock_s:
    lt_atomic_t word        # 0, or how it is held, in a process of how many forks
    bint slow               # `lock_leave` has more to do than to clear the word
    bint long_held
    PyThreadState *state    # of an owner that gave up the GIL until it has left
    const budget_s *budget  # what the owner may wait for, or NULL

cdef lt_atomic_t lock_taken     # what a word held short is in this process

cdef void lock_init(lock_s *lock) noexcept nogil
cdef int lock_wait(lock_s *lock) noexcept nogil
cdef void lock_long(lock_s *lock) noexcept nogil
cdef void lock_let_go(lock_s *lock) noexcept nogil
cdef bint lock_lost(const lock_s *lock) noexcept nogil


cdef inline int lock_enter(lock_s *lock) noexcept nogil:
    """Take the lock; a status other than LOCK_OK says why not."""
    if unlikely(not lt_atomic_take(&lock.word, lock_taken)):
        return lock_wait(lock)
    return LOCK_OK


cdef inline void lock_leave(lock_s *lock) noexcept nogil:
    if unlikely(lock.slow):
        lock_let_go(lock)
    else:
        lt_atomic_store(&lock.word, 0)
