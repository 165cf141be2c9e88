# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The tape's loops in Cython, as an extension author writes them; each times itself."""

from tape cimport *

cdef extern from *:
    """
    #include <time.h>
    static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1e9 + t.tv_nsec;
    }
    """
    double now() noexcept nogil


def push_pop(Tape tape, Py_ssize_t n):
    """Nanoseconds per push and per pop, and the sum of what came back."""
    cdef tape_s *t = tape.claim("float64")
    cdef double start, middle, end, x = 0, total = 0
    cdef Py_ssize_t i
    with nogil:
        start = now()
        for i in range(n):
            tape_push_f8(t, <double>i)
        middle = now()
        for i in range(n):
            tape_pop_f8(t, &x)
            total += x
        end = now()
    tape_leave(t)
    return (middle - start) / n, (end - middle) / n, total


def push(Tape tape, Py_ssize_t n):
    """The pushes alone, for counting instructions (ci/instructions.py)."""
    cdef tape_s *t = tape.claim("float64")
    cdef Py_ssize_t i
    cdef int status = 0
    with nogil:
        for i in range(n):
            status |= tape_push_f8(t, <double>i)
    tape_leave(t)
    tape.check(status)


def pop(Tape tape, Py_ssize_t n):
    """The pops alone, and their sum."""
    cdef tape_s *t = tape.claim("float64")
    cdef double x = 0, total = 0
    cdef Py_ssize_t i
    cdef int status = 0
    with nogil:
        for i in range(n):
            status |= tape_pop_f8(t, &x)
            total += x
    tape_leave(t)
    tape.check(status)
    return total


def push_clear(Tape tape, Py_ssize_t n, Py_ssize_t times):
    """Many times: n pushes, and the tape is emptied."""
    cdef tape_s *t = tape.claim("float64")
    cdef Py_ssize_t i, k
    cdef int status = 0
    with nogil:
        for k in range(times):
            for i in range(n):
                status |= tape_push_f8(t, <double>i)
            status |= tape_truncate(t, 0)
    tape_leave(t)
    tape.check(status)


def extend_clear(Tape tape, Py_ssize_t n, Py_ssize_t times):
    """The same with n blocks of 64 items."""
    cdef tape_s *t = tape.claim("float64")
    cdef double[64] block
    cdef Py_ssize_t i, k
    cdef int status = 0
    for i in range(64):
        block[i] = 0.0
    with nogil:
        for k in range(times):
            for i in range(n):
                block[0] = <double>i
                status |= tape_extend(t, block, sizeof(block))
            status |= tape_truncate(t, 0)
    tape_leave(t)
    tape.check(status)


cdef double one_life(Py_ssize_t n, bint pops) noexcept nogil:
    cdef tape_s t
    cdef double x = 0, total = 0
    cdef Py_ssize_t i
    tape_init(&t, sizeof(double), 0, NULL)
    for i in range(n):
        tape_push_f8(&t, <double>i)
    if pops:
        for i in range(n):
            tape_pop_f8(&t, &x)
            total += x
    tape_free(&t)
    return total


def life(Py_ssize_t n, Py_ssize_t lives, bint pops):
    """Nanoseconds from `tape_init` through n pushes (and n pops) to `tape_free`."""
    cdef double start, total = 0
    cdef Py_ssize_t k
    with nogil:
        start = now()
        for k in range(lives):
            total += one_life(n, pops)
        start = now() - start
    if pops and total != lives * (n * (n - 1) / 2.0):
        raise AssertionError("items were lost")
    return start / lives
