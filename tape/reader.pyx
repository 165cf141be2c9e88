"""Reading a stretch of a tape without taking anything off (see reader.pxd)."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from tape.core cimport Mark, Tape, new_guard
from tape.layers cimport layers_pin
from tape.stack cimport *

import numpy as np

from tape.errors import TapeBusyError, TapeClosedError, TapeEmptyError, TapeMarkError, TapeTypeError


cdef void leave_slab(reader_s *r) noexcept nogil:
    if r.seg != NULL and r.tape.layers != NULL:
        layers_pin(r.tape.layers, r.seg, -1)
    r.seg = NULL


cdef int reader_init(reader_s *r, tape_s *t, guard_s *hold, size_t bottom, size_t top) noexcept nogil:
    """Start at `top`, to go down to `bottom`, positions on the tape in bytes.  `hold` is the reader's to the end."""
    cdef int status
    cdef tape_s *own = tape_lock(t, &status)
    if own == NULL:
        return status
    status = start(r, own, hold, bottom, top)
    r.tape = t
    tape_unlock(t)
    return status


cdef int start(reader_s *r, tape_s *own, guard_s *hold, size_t bottom, size_t top) noexcept nogil:
    cdef int status
    if bottom > top or top > tape_length(own):
        return TAPE_EMPTY
    status = tape_hold(own, hold, top)
    if status != TAPE_OK:
        return status
    r.seg = NULL
    r.bottom = bottom
    r.top = top
    r.hold = hold
    r.in_use = False
    r.tape = own
    return reader_restart(r)


cdef int reader_restart(reader_s *r) noexcept nogil:
    """Start again at the top."""
    leave_slab(r)
    r.base = r.top
    r.cur = r.begin = NULL
    return TAPE_OK


cdef void reader_free(reader_s *r) noexcept nogil:
    leave_slab(r)
    tape_drop(r.tape, r.hold)


cdef size_t reader_length(const reader_s *r) noexcept nogil:
    """Bytes of items that are left."""
    return r.base - r.bottom + <size_t>(r.cur - r.begin)


cdef int reader_unwind(reader_s *r) noexcept nogil:
    """Called with `cur == begin`: goes on to the slab below, or says why not."""
    cdef tape_s *own
    cdef slab_s *seg
    cdef int status
    if r.base <= r.bottom:
        return TAPE_EMPTY
    leave_slab(r)       # first: one slab of memory is enough to read all
    own = tape_lock(r.tape, &status)
    if own == NULL:
        return status
    status = tape_look(own, r.base - 1)
    seg = tape_find(own, r.base - 1)
    if status == TAPE_OK and own.layers != NULL:
        layers_pin(own.layers, seg, 1)
    tape_unlock(r.tape)
    if status != TAPE_OK:
        return status
    r.seg = seg
    r.cur = seg.data + (r.base - seg.base)
    r.base = seg.base if seg.base > r.bottom else r.bottom
    r.begin = seg.data + (r.base - seg.base)
    return TAPE_OK


cdef int reader_take(reader_s *r, size_t bytes, void *out) noexcept nogil:
    """The next `bytes` down, oldest first, across slab borders; after an error the reader is where it got to."""
    cdef size_t chunk
    cdef int status
    if bytes > reader_length(r):
        return TAPE_EMPTY
    while bytes > 0:
        if r.cur == r.begin:
            status = reader_unwind(r)
            if status != TAPE_OK:
                return status
        chunk = <size_t>(r.cur - r.begin)
        if chunk > bytes:
            chunk = bytes
        r.cur -= chunk
        bytes -= chunk
        memcpy(<char *>out + bytes, r.cur, chunk)
    return TAPE_OK


@cython.final
@cython.no_gc_clear
cdef class Reader:
    """Reads the items of a tape from the newest to the oldest and leaves them where they are.

    Parameters
    ----------
    tape : Tape
    mark : Mark or None
        Where the stretch to read begins; ``None`` for the beginning of the tape.  It ends at the newest item of now.

    While the reader is open the tape may grow, but popping below the top of the stretch raises `TapeBusyError`.
    Several readers may be open at once.  What was spilled is read back ahead of the reader.

    Raises
    ------
    TapeMarkError
        If the tape was popped past the mark, or the mark is another tape's.
    """

    def __cinit__(self, Tape tape not None, Mark mark=None):
        cdef guard_s *bottom = NULL
        cdef tape_s *own
        cdef int status = TAPE_STALE
        tape.check_open()
        if mark is not None:
            if mark.tape is not tape:
                raise TapeMarkError("the mark is another tape's")
            bottom = mark.place()
        self.tape = tape
        self.guard = new_guard()
        own = tape.enter()
        if bottom == NULL or bottom.kind == GUARD_MARK:
            status = start(&self.r, own, &self.guard.guard, 0 if bottom == NULL else bottom.pos, tape_length(own))
        self.r.tape = &tape.s
        tape.leave()
        tape.check(status)
        self.is_open = True

    def __dealloc__(self):
        if self.is_open:
            leave_slab(&self.r)
        if self.tape is not None:
            self.tape.orphan(self.guard)

    cdef int edge(self) except -1:
        if not self.is_open:
            raise TapeClosedError("the reader is closed")
        if self.r.in_use:
            raise TapeBusyError("the reader is in use by a compiled loop or another thread")
        self.tape.edge()
        return 0

    def _claim(self):
        """Claim the tape for compiled code that reads; the address of the reader's struct (see tape.numbareader)."""
        self.edge()
        self.tape.claim(None)
        self.r.in_use = True
        return <size_t>&self.r

    @property
    def _numba_type_(self):
        """As that of `Tape`."""
        from tape.numbareader import reader_type

        return reader_type(self.tape.dtype)

    def __len__(self):
        """Items that are left."""
        self.edge()
        return reader_length(&self.r) // self.tape.s.itemsize

    def pop(self):
        """The next item down.  Raises `TapeEmptyError` at the end of the stretch."""
        return self.tape.scalar(self.popn(1))

    def popn(self, n, out=None):
        """The next `n` items down: an array of shape ``(n,)``, in the order in which they were pushed.

        Parameters
        ----------
        n : int
        out : ndarray, optional
            Contiguous and writable, of shape ``(n,)`` and the tape's dtype; it is filled and returned.

        Raises
        ------
        TapeEmptyError
            If fewer are left; nothing is read.
        SpillError
            If a slab could not be read back; the reader is then where it was.
        """
        cdef Py_buffer view
        cdef size_t bytes = self.tape.bytes_of(n, "n")
        cdef size_t before
        cdef int status
        self.edge()
        if bytes > reader_length(&self.r):
            raise TapeEmptyError(f"the reader has {len(self)} items left")
        room = self.tape.room(n, out)
        PyObject_GetBuffer(room.view("u1"), &view, PyBUF_SIMPLE)
        try:
            self.edge()
            before = reader_length(&self.r)
            self.r.in_use = True
            status = reader_take(&self.r, view.len, view.buf)
            self.r.in_use = False
            if status != TAPE_OK:
                reader_restart(&self.r)
                self.r.base = self.r.bottom + before
            self.tape.check(status)
        finally:
            PyBuffer_Release(&view)
        return room if out is None else out

    def __iter__(self):
        """The items that are left, from the newest down."""
        while len(self):
            yield self.pop()

    def restart(self):
        """Start again at the newest item of the stretch."""
        self.edge()
        reader_restart(&self.r)

    def close(self):
        """Let the tape be popped again.  A second close does nothing."""
        if self.is_open:
            self.edge()
            self.is_open = False
            reader_free(&self.r)

    def __enter__(self):
        self.edge()
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def __reduce__(self):
        raise TapeTypeError("a reader belongs to its tape and cannot be pickled or copied")

    def __repr__(self):
        return f"<Reader of {self.tape!r}>" if self.is_open else "<Reader: closed>"
