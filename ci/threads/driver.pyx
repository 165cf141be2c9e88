# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""C threads on tapes, for ThreadSanitizer: it sees what is compiled with it, which Numba's and Python's own code is not.

Every operation of a thread-safe tape at once, in memory and through stores, and lanes on one budget; each scenario checks
that all items came back.  `race` is a race on purpose.
"""

from libc.stdlib cimport abort
from tape cimport *
from tape.stack cimport tape_item, tape_rewind_token, tape_token

from tape import Budget
from tape.testing import MemoryStore

cdef extern from *:
    """
    #include <pthread.h>
    typedef void (*lt_body_t)(void *);
    typedef struct { lt_body_t body; void *arg; } lt_start_t;
    static void *lt_start(void *p) { lt_start_t *s = (lt_start_t *)p; s->body(s->arg); return NULL; }
    """
    ctypedef struct pthread_t:
        pass
    ctypedef void (*lt_body_t)(void *) noexcept nogil
    ctypedef struct lt_start_t:
        lt_body_t body
        void *arg
    void *lt_start(void *p) noexcept nogil
    int pthread_create(pthread_t *thread, const void *attributes, void *(*start)(void *) noexcept nogil, void *arg) noexcept nogil
    int pthread_join(pthread_t thread, void **result) noexcept nogil

cdef enum:
    MOST = 16

cdef struct job_s:
    tape_s *tape
    long operations
    unsigned long long state
    long long balance       # sum of what was pushed less the sum of what was popped
    long long items         # pushed less popped
    int failures
    bint fills              # blocks in place; else it looks at items, which may lie in a block that is being filled
    lt_start_t start


cdef inline unsigned long long chance(job_s *j) noexcept nogil:
    j.state = j.state * 6364136223846793005ULL + 1442695040888963407ULL
    return j.state >> 33


cdef void push_block(job_s *j, long long *block, long n) noexcept nogil:
    cdef long k
    for k in range(n):
        block[k] = chance(j)
        j.balance += block[k]
    j.items += n


cdef void mixed(void *arg) noexcept nogil:
    """Every operation that leaves it plain what was pushed and popped."""
    cdef job_s *j = <job_s *>arg
    cdef tape_s *t = j.tape
    cdef long long block[100]
    cdef long long x = 0
    cdef long long *room
    cdef guard_s guard
    cdef long i, k, n
    cdef int choice, status
    for i in range(j.operations):
        choice = chance(j) % 16
        n = 1 + chance(j) % 100
        status = TAPE_OK
        if choice < 5:
            x = chance(j)
            status = tape_push_i8(t, x)
            j.balance += x
            j.items += 1
        elif choice == 5:
            push_block(j, block, n)
            status = tape_extend(t, block, n * 8)
        elif choice == 6:
            push_block(j, block, n)
            status = tape_push_bytes(t, block, n * 8)
        elif choice == 7 and j.fills:
            room = <long long *>tape_reserve_pinned(t, n * 8, &guard, &status)
            if room != NULL:
                push_block(j, room, n)
                status = tape_drop(t, &guard)
        elif choice == 8:
            status = tape_mark(t, &guard)
            if status == TAPE_OK:
                status = tape_drop(t, &guard)
        elif choice == 9 and not j.fills:
            status = tape_item(t, -1, &x)
            if status == TAPE_EMPTY:
                status = TAPE_OK
        elif choice == 10:
            tape_length(t)
            status = tape_release(t)
        elif choice < 15 and j.items > 0:
            status = tape_pop_i8(t, &x)
            if status == TAPE_OK:
                j.balance -= x
                j.items -= 1
        elif j.items >= n:
            status = tape_take(t, n * 8, block)
            if status == TAPE_OK:
                for k in range(n):
                    j.balance -= block[k]
                j.items -= n
        # Another thread may be filling a block there.
        if status != TAPE_OK and status != TAPE_BUSY:
            j.failures += 1


cdef void rewinding(void *arg) noexcept nogil:
    """Marks that others pop past."""
    cdef job_s *j = <job_s *>arg
    cdef long i
    cdef long long token
    cdef guard_s guard
    cdef int status
    for i in range(j.operations):
        token = tape_token(j.tape)
        j.failures += tape_mark(j.tape, &guard) != TAPE_OK
        j.failures += tape_push_i8(j.tape, i) != TAPE_OK
        status = tape_rewind(j.tape, &guard)
        j.failures += status != TAPE_OK and status != TAPE_STALE
        status = tape_rewind_token(j.tape, token)
        j.failures += status != TAPE_OK and status != TAPE_STALE
        j.failures += tape_drop(j.tape, &guard) != TAPE_OK


cdef int at_once(job_s *jobs, int n, lt_body_t body) noexcept nogil:
    """Run `body` on each job in a thread of its own."""
    cdef pthread_t threads[MOST]
    cdef int k, failures = 0
    for k in range(n):
        jobs[k].state = 2 * k + 1
        jobs[k].balance = jobs[k].items = 0
        jobs[k].failures = 0
        jobs[k].start.body = body
        jobs[k].start.arg = &jobs[k]
        if pthread_create(&threads[k], NULL, lt_start, &jobs[k].start) != 0:
            abort()
    for k in range(n):
        pthread_join(threads[k], NULL)
        failures += jobs[k].failures
    return failures


def shared(long operations, int n, bint fills, **options):
    """`mixed` on one thread-safe tape."""
    cdef Tape tape = Tape("i8", thread_safe=True, **options)
    cdef tape_s *t = tape.claim("int64")
    cdef job_s jobs[MOST]
    cdef int k, failures
    cdef long long items = 0, balance = 0
    for k in range(n):
        jobs[k].tape = t
        jobs[k].operations = operations
        jobs[k].fills = fills
    with nogil:
        failures = at_once(jobs, n, mixed)
    tape_leave(t)
    for k in range(n):
        items += jobs[k].items
        balance += jobs[k].balance
    assert failures == 0, f"{failures} operations failed: {tape.spill_error()}"
    assert len(tape) == items, (len(tape), items)
    assert tape[:].sum() == balance
    if options:
        assert tape.traffic().bytes_written > 0
    tape.close()


def marks(long operations, int n):
    """`rewinding` on one thread-safe tape."""
    cdef Tape tape = Tape("i8", thread_safe=True)
    cdef job_s jobs[MOST]
    cdef int k, failures
    for k in range(n):
        jobs[k].tape = tape.claim("int64")
        jobs[k].operations = operations
    with nogil:
        failures = at_once(jobs, n, rewinding)
    assert failures == 0, f"{failures} operations failed"


def lanes(long operations, int n, **options):
    """`mixed` on a lane for each thread, twice: the second time the lanes are other threads'."""
    cdef Tape tape = Tape("i8", **options)
    cdef tape_s **found
    cdef job_s jobs[MOST]
    cdef int k, failures
    for _ in range(2):
        found = tape.claim_lanes("int64", n)
        for k in range(n):
            jobs[k].tape = found[k]
            jobs[k].operations = operations
            jobs[k].fills = True
        with nogil:
            failures = at_once(jobs, n, mixed)
        tape.leave_lanes(found, n)
        assert failures == 0, f"{failures} operations failed"
        for k in range(n):
            lane = tape.lane(k)
            assert len(lane) == jobs[k].items and lane[:].sum() == jobs[k].balance
            lane.clear()
    tape.close()


cdef void push_only(void *arg) noexcept nogil:
    cdef job_s *j = <job_s *>arg
    cdef long i
    for i in range(j.operations):
        tape_push_i8(j.tape, i)


def race():
    """What the sanitizer must find: two threads push to a thread-safe tape behind the back of its lock."""
    cdef Tape tape = Tape("i8", thread_safe=True)
    cdef job_s jobs[2]
    cdef int k
    for k in range(2):
        jobs[k].tape = &tape.claim("int64").shared.tape
        jobs[k].operations = 20     # within the inline buffer
    with nogil:
        at_once(jobs, 2, push_only)


def everything(long operations):
    for n in (2, 8):
        marks(operations // 4, n)
        lanes(operations, n)
        for fills in (False, True):
            shared(operations, n, fills)
            for store in (None, MemoryStore()):
                shared(operations, n, fills, memory="64 KiB", slab_bytes=4096, spill_dir=store)
        lanes(operations, n, memory=Budget("256 KiB"), slab_bytes=4096)
        print(f"{n} threads: all came back", flush=True)
