"""`Budget`: memory for the slabs of one tape, or of several that compete for it; and all budgets of the process."""

import atexit
import weakref

from libc.string cimport memset

from tape.mover cimport join_threads
from tape.residency cimport budget_s, layers_s
from tape.slab cimport SLAB_DIRTY, SLAB_READING, SLAB_SPILLED, pool_give_memory, slab_s
from tape.spin cimport lt_atomic_t, lt_spin_lock, lt_spin_unlock
from tape.sync cimport lt_cond_destroy, lt_cond_init, lt_mutex_destroy, lt_mutex_init, lt_mutex_lock, lt_mutex_unlock

from tape.errors import TapeTypeError
from tape.sizes import format_bytes, parse_bytes

cdef extern from *:
    """
    #if defined(_WIN32)
    #define lt_atfork3(before, parent, child) 0
    #else
    #include <pthread.h>
    #define lt_atfork3(before, parent, child) pthread_atfork((before), (parent), (child))
    #endif
    """
    int lt_atfork3(
        void (*before)() noexcept nogil, void (*parent)() noexcept nogil, void (*child)() noexcept nogil
    ) noexcept nogil

cdef lt_atomic_t budgets_lock = 0
cdef budget_s *budgets = NULL       # all of the process, for forks


cdef void budget_init(budget_s *b, size_t limit) noexcept nogil:
    memset(b, 0, sizeof(budget_s))
    lt_mutex_init(&b.lock)
    lt_cond_init(&b.to_write)
    lt_cond_init(&b.to_read)
    lt_cond_init(&b.progress)
    b.limit = limit
    global budgets
    lt_spin_lock(&budgets_lock)
    b.next = budgets
    budgets = b
    lt_spin_unlock(&budgets_lock)


cdef void budget_free(budget_s *b) noexcept nogil:
    """The end of a budget that has no tapes."""
    cdef budget_s **link = &budgets
    lt_spin_lock(&budgets_lock)
    while link[0] != b:
        link = &link[0].next
    link[0] = b.next
    lt_spin_unlock(&budgets_lock)
    lt_mutex_lock(&b.lock)
    join_threads(b)
    lt_mutex_unlock(&b.lock)
    lt_mutex_destroy(&b.lock)
    lt_cond_destroy(&b.to_write)
    lt_cond_destroy(&b.to_read)
    lt_cond_destroy(&b.progress)


cdef void budget_stop(budget_s *b) noexcept nogil:
    """End the threads; from now on, whoever needs a transfer makes it.  For the end of the process."""
    lt_mutex_lock(&b.lock)
    b.stop = True
    join_threads(b)
    b.no_threads = True
    lt_mutex_unlock(&b.lock)


living = weakref.WeakSet()
cdef bint at_exit = False


cdef class Budget:
    """A hard limit on the memory of the tapes that are given it: ``Tape(memory=budget)``.

    When they need more, the slab that is needed last anywhere goes to the disk of its tape.  Counted are all slabs, those
    on their way to or from a disk included.  After a fork the budget is all the child's.

    Parameters
    ----------
    memory : int or str
        Bytes, or a string such as ``"256 MiB"``.
    """

    def __cinit__(self, memory):
        budget_init(&self.b, parse_bytes(memory, "memory"))
        self.ready = True
        if at_exit:
            budget_stop(&self.b)
        living.add(self)

    def __dealloc__(self):
        if self.ready:
            budget_free(&self.b)

    @property
    def memory(self):
        """The limit in bytes.  May be set at any time; a lower one is reached as slabs are next asked for."""
        return self.b.limit

    @memory.setter
    def memory(self, value):
        cdef size_t limit = parse_bytes(value, "memory")
        lt_mutex_lock(&self.b.lock)
        self.b.limit = limit
        lt_mutex_unlock(&self.b.lock)

    @property
    def used_bytes(self):
        """Bytes that the tapes hold in memory now."""
        return self.b.used

    @property
    def high_bytes(self):
        """Most bytes that they ever held at once."""
        return self.b.high

    def __repr__(self):
        return f"<Budget: {format_bytes(self.b.used)} of {format_bytes(self.b.limit)} in use>"

    def __reduce__(self):
        raise TapeTypeError("a Budget is memory of this process and cannot be pickled")


# -------------------------------------------------------------------------------------------- ends and forks

@atexit.register
def _stop_threads():
    # A thread that carries a slab to a store written in Python needs an interpreter.
    global at_exit
    at_exit = True
    for budget in list(living):
        budget_stop(&(<Budget>budget).b)


cdef void before_fork() noexcept nogil:
    cdef budget_s *b
    lt_spin_lock(&budgets_lock)
    b = budgets
    while b != NULL:
        lt_mutex_lock(&b.lock)
        b = b.next


cdef void after_fork_in_parent() noexcept nogil:
    cdef budget_s *b = budgets
    while b != NULL:
        lt_mutex_unlock(&b.lock)
        b = b.next
    lt_spin_unlock(&budgets_lock)


cdef void after_fork_in_child() noexcept nogil:
    """The threads are the parent's, and so are the files: what is in memory can be used, what is not is an error.

    Memory is shared with the parent as long as nobody writes to it, so it counts there only: the budget is all the child's.
    """
    cdef budget_s *b = budgets
    cdef layers_s *l
    while b != NULL:
        lt_mutex_init(&b.lock)
        lt_cond_init(&b.to_write)
        lt_cond_init(&b.to_read)
        lt_cond_init(&b.progress)
        b.writers = b.readers = 0
        b.used = b.clean = b.writing = b.reading = b.browsed = b.waiting = 0
        b.newest = b.oldest = b.wanted = NULL
        b.garbage = NULL
        l = b.tapes
        while l != NULL:
            disown(l)
            l = l.next
        b = b.next
    lt_spin_unlock(&budgets_lock)


cdef void disown(layers_s *l) noexcept nogil:
    """In a child process: nothing of a tape that was forked is in flight, and nothing in memory is in a store too."""
    cdef slab_s *slab
    cdef size_t i
    l.foreign = True
    l.in_flight = 0
    l.writing = l.reading = 0
    for i in range(l.count):
        slab = l.slabs[i]
        slab.browsed = False
        slab.newer = slab.older = slab.queued = NULL
        if slab.state == SLAB_READING:
            slab.state = SLAB_SPILLED
            l.traffic.spilled += slab.bytes
            l.traffic.resident -= slab.bytes
            pool_give_memory(l.pool, slab.data, slab.bytes)
            slab.data = NULL
        elif slab.state != SLAB_SPILLED:
            slab.state = SLAB_DIRTY
    l.low = 0
    l.inherited = l.traffic.resident


if lt_atfork3(before_fork, after_fork_in_parent, after_fork_in_child) != 0:
    raise MemoryError("no memory for the fork handlers of memory budgets")
