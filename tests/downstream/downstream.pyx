"""An extension that uses the tape of another package: two lines and a push is inline."""

from tape cimport *
from tape.capi cimport lt_free, lt_length, lt_new, lt_pop, lt_push
from tape.reader cimport reader_free, reader_init, reader_pop_f8, reader_restart, reader_s


def push_all(Tape tape, double[::1] items):
    """Scalar pushes without the GIL."""
    cdef tape_s *t = tape.claim("float64")
    cdef Py_ssize_t i
    cdef int status = TAPE_OK
    try:
        with nogil:
            for i in range(items.shape[0]):
                status = tape_push_f8(t, items[i])
                if status != TAPE_OK:
                    break
    finally:
        tape_leave(t)
    tape.check(status)


def pop_all(Tape tape, double[::1] out):
    """Scalar pops without the GIL, the newest into the last place."""
    cdef tape_s *t = tape.claim("float64")
    cdef Py_ssize_t i
    cdef int status = TAPE_OK
    try:
        with nogil:
            for i in range(out.shape[0] - 1, -1, -1):
                status = tape_pop_f8(t, &out[i])
                if status != TAPE_OK:
                    break
    finally:
        tape_leave(t)
    tape.check(status)


def read_twice(Tape tape, double[::1] out):
    """Both times the newest items into `out`, without taking them off; the sum of all that was read."""
    cdef tape_s *t = tape.claim("float64")
    cdef reader_s r
    cdef guard_s hold
    cdef Py_ssize_t i
    cdef double total = 0
    cdef int status
    with nogil:
        status = reader_init(&r, t, &hold, tape_length(t) - out.shape[0] * sizeof(double), tape_length(t))
        for k in range(2):
            for i in range(out.shape[0] - 1, -1, -1):
                if status == TAPE_OK:
                    status = reader_pop_f8(&r, &out[i])
                total += out[i]
            reader_restart(&r)
        reader_free(&r)
    tape_leave(t)
    tape.check(status)
    return total


def fill_in_place(Tape tape, double x, Py_ssize_t n):
    """A block of a thread-safe tape, which is nobody else's to pop until it is full."""
    cdef tape_s *t = tape.claim("float64")
    cdef guard_s pin
    cdef Py_ssize_t i
    cdef int status
    cdef double *block
    with nogil:
        block = <double *>tape_reserve_pinned(t, n * sizeof(double), &pin, &status)
        if block != NULL:
            for i in range(n):
                block[i] = x
            tape_drop(t, &pin)
    tape_leave(t)
    tape.check(status)


def on_lanes(Tape tape, double[:, ::1] rows):
    """Row k on lane k; the loop could be a parallel one.  Then each lane backward: the sums of the rows times 1, 2, ..."""
    cdef Py_ssize_t n = rows.shape[0], i, k
    cdef tape_s **lanes = tape.claim_lanes("float64", n)
    cdef double x = 0
    cdef int status = TAPE_OK
    sums = [0.0] * n
    with nogil:
        for k in range(n):
            for i in range(rows.shape[1]):
                status |= tape_push_f8(lanes[k], rows[k, i])
    for k in range(n):
        for i in range(rows.shape[1], 0, -1):
            status |= tape_pop_f8(lanes[k], &x)
            sums[k] += i * x
    tape.leave_lanes(lanes, n)
    tape.check(status)
    return sums


def while_claimed(Tape tape, use):
    """Call `use` while this extension has the tape."""
    cdef tape_s *t = tape.claim(None)
    try:
        use()
    finally:
        tape_leave(t)


def words(Tape tape, long long n):
    """int64 and float32 tapes have their own functions; both agree with Python."""
    cdef tape_s *t = tape.claim("int64")
    cdef long long i, x = 0, total = 0
    for i in range(n):
        tape_push_i8(t, i)
    for i in range(n):
        tape_pop_i8(t, &x)
        total += x
    tape_leave(t)
    return total


def singles(Tape tape, int n):
    cdef tape_s *t = tape.claim("float32")
    cdef int i
    cdef float x = 0, total = 0
    for i in range(n):
        tape_push_f4(t, i)
    for i in range(n):
        tape_pop_f4(t, &x)
        total += x
    tape_leave(t)
    return total


cdef struct state_s:
    double x
    double v
    long long step


def blocks(Py_ssize_t n):
    """A tape of structs on the C stack alone: no Python object, no GIL.  True if all came back."""
    cdef tape_s t
    cdef state_s s
    cdef state_s *block
    cdef guard_s mark
    cdef Py_ssize_t i
    cdef bint good = True
    with nogil:
        tape_init(&t, sizeof(state_s), 4096, NULL)
        for i in range(n):
            s.x = i * 0.5
            s.v = -i
            s.step = i
            good &= tape_push_bytes(&t, &s, sizeof(state_s)) == TAPE_OK
        good &= tape_mark(&t, &mark) == TAPE_OK
        block = <state_s *>tape_reserve(&t, 100 * sizeof(state_s))
        good &= block != NULL
        for i in range(100):
            block[i].step = i
        good &= tape_length(&t) == (n + 100) * sizeof(state_s)
        good &= tape_rewind(&t, &mark) == TAPE_OK
        for i in range(n - 1, -1, -1):
            good &= tape_pop_bytes(&t, &s, sizeof(state_s)) == TAPE_OK
            good &= s.x == i * 0.5 and s.v == -i and s.step == i
        good &= tape_pop_bytes(&t, &s, sizeof(state_s)) == TAPE_EMPTY
        good &= tape_rewind(&t, &mark) == (TAPE_STALE if n else TAPE_OK)
        good &= tape_close(&t) == TAPE_OK
        good &= tape_push_bytes(&t, &s, sizeof(state_s)) == TAPE_CLOSED
        tape_free(&t)
    return good


def opaque(double x):
    """The plain functions on a handle."""
    cdef void *t = lt_new(sizeof(double))
    cdef double back = 0
    lt_push(t, &x, sizeof(double))
    assert lt_length(t) == sizeof(double)
    lt_pop(t, &back, sizeof(double))
    lt_free(t)
    return back
