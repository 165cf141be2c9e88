"""`Tape`, the stack as Python sees it: a thin, checked skin over the C struct of tape.stack."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetInterrupt
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from tape.backing cimport Backing
from tape.layers cimport layers_free
from tape.lock cimport lock_lost
from tape.residency cimport layers_s
from tape.slab cimport SlabPool
from tape.stack cimport *

import functools
import operator
import sys
import warnings

import numpy as np

from tape import config
from tape.archive import load as load_archive
from tape.archive import save as save_archive
from tape.compress import check_codec
from tape.convert import as_array, as_item, fixed_dtype
from tape.errors import (
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeIndexError,
    TapeInterrupt,
    TapeMarkError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
)
from tape.lanes import Lanes
from tape.slab import default_pool
from tape.sizes import parse_bytes
from tape.stats import TapeStats

cdef enum:
    KIND_OTHER = 0
    KIND_F8 = 1
    KIND_F4 = 2
    KIND_I8 = 3
    KIND_BOOL = 4

cdef dict KINDS = {
    np.dtype("f8"): KIND_F8, np.dtype("f4"): KIND_F4, np.dtype("i8"): KIND_I8, np.dtype("?"): KIND_BOOL
}

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object x, int *overflow) except? -1
    int PySlice_Unpack(object slice, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t length, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t step) noexcept nogil


cdef int warn_unclosed(size_t nbytes) except -1:
    """In development mode: a tape with a budget should be closed, not left to the garbage collector."""
    if sys is not None and sys.flags.dev_mode:      # None when the interpreter ends
        warnings.warn(f"unclosed tape of {nbytes} bytes with a memory budget", ResourceWarning, stacklevel=2)
    return 0


cdef owned_guard_s *new_guard() except NULL:
    cdef owned_guard_s *guard = <owned_guard_s *>malloc(sizeof(owned_guard_s))
    if guard == NULL:
        raise TapeMemoryError("no memory for a mark or view of the tape")
    guard.guard.kind = GUARD_DEAD
    return guard


cdef Py_ssize_t as_count(n, str name) except -1:
    """A number of items, checked."""
    cdef Py_ssize_t count
    try:
        count = operator.index(n)
    except TypeError:
        raise TapeTypeError(f"{name}: a number of items, not {type(n).__name__}") from None
    except OverflowError:
        raise TapeMemoryError(f"{name}: so many items are more than any machine holds") from None
    if count < 0:
        raise TapeValueError(f"{name}: {count} items; a number of items is not negative")
    return count


@cython.final
@cython.no_gc_clear   # __dealloc__ needs the attributes; none of them can close a cycle
cdef class Tape:
    """A stack of items of one dtype, over linked slabs that never move.

    The first items lie in the object itself; when they are full, slabs from a pool are linked on.  Nothing is
    ever reallocated or copied, so the address of an item stays valid until the item is popped.

    Parameters
    ----------
    dtype : dtype-like
        Any NumPy dtype of fixed size without Python objects: ``"f8"``, ``"f4"``, ``"i8"``, ``bool``, complex, structured.
    memory : int, str, Budget or None
        A hard limit on the memory that the tape takes (``"256 MiB"``), in-flight copies included.  Beyond it the oldest
        slabs are written to disk in the background, and read back ahead of the pops.  A `Budget` may be shared by
        several tapes.  ``None``: the process's budget if it has one (`tape.configure`), else no limit.
    spill_dir : path, Store or None
        Where slabs go that have no room: a directory, in which a file without a name is made (nothing is left behind,
        whatever happens), or a `Store`, which stays the caller's to close.  ``None`` for a sensible directory.
    slab_bytes : int, str or None
        The size that slabs grow to.  ``None`` for 1 MiB; with a budget for up to 4 MiB, but a 32nd of it at most.
    pool : SlabPool or None
        Where slabs come from; ``None`` for the pool that all tapes share.
    prefetch : bool
        Whether slabs are read back before they are asked for.  Without it every one is waited for.
    spill_limit : int, str or None
        Most bytes of disk that the tape may take.
    compress : {"auto", "lz4", "zstd"} or None
        Whether slabs are packed on their way to the directory (the extra ``layered-tape[compress]``).  ``"lz4"`` is
        fast, ``"zstd"`` smaller; ``"auto"`` measures, and packs only where that is faster, and from half of
        `spill_limit` on.  It takes memory for up to four more slabs, and the GIL: beside a compiled loop that is not
        ``nogil`` slabs move only while the loop waits for them.
    thread_safe : bool
        Whether any number of threads may use the tape at once, from Python or compiled code: each call is as if it were
        alone, and what one call pushes lies together.  A push then takes a lock, some nanoseconds; see docs/threads.md.

    Raises
    ------
    TapeValueError
        If the budget is smaller than what a tape of such slabs needs; the message says how much that is.
    SpillError
        If the directory is missing or cannot be written to.
    ImportError
        If `compress` is given and Blosc2 is not installed.

    Notes
    -----
    A tape that is not `thread_safe` is for one thread at a time.  While a compiled loop has it (a Numba function, a Cython
    extension that claimed it) every other use raises `TapeBusyError`.  Arrays that `reserve` and `peek` return are views
    into the tape: as long as one lives, popping or closing past it raises `TapeBusyError` too.

    Items come back as Python scalars (float, int, bool, complex, bytes, str), those of structured dtypes and dates as
    NumPy's.
    """

    def __cinit__(
        self, dtype="f8", *, memory=None, spill_dir=None, slab_bytes=None, pool=None, prefetch=True, spill_limit=None,
        compress=None, thread_safe=False
    ):
        cdef size_t slab = 0
        cdef tape_s *own = &self.s
        self.dtype = fixed_dtype(dtype)
        if slab_bytes is not None:
            slab = parse_bytes(slab_bytes, "slab_bytes")
            if slab < <size_t>self.dtype.itemsize or slab < 64:
                raise TapeValueError(
                    f"slab_bytes: {slab} bytes; a slab holds at least one item ({self.dtype.itemsize} bytes) and 64 bytes"
                )
        if pool is None:
            pool = default_pool()
        elif not isinstance(pool, SlabPool):
            raise TapeTypeError(f"pool: a SlabPool or None, not {type(pool).__name__}")
        self.pool = pool
        self.kind = KINDS.get(self.dtype, KIND_OTHER)
        self.orphans = NULL
        if not thread_safe:
            tape_init(own, self.dtype.itemsize, slab, self.pool.pool)
        elif tape_init_shared(&self.s, self.dtype.itemsize, slab, self.pool.pool) == TAPE_OK:
            own = &self.s.shared.tape
        else:
            raise TapeMemoryError("no memory for a tape")
        self.options = (spill_dir, slab_bytes, prefetch, spill_limit, compress)
        if compress is not None:
            check_codec(compress)
        if memory is None:
            memory = config.settings().budget
        if memory is not None:
            self.backing = Backing(
                memory, self.dtype.itemsize, slab, self.pool, prefetch, spill_dir, spill_limit, compress
            )
            own.slab_bytes = self.s.slab_bytes = self.backing.slab_bytes
            # Of a thread-safe tape `self.s` has it too, for who has the GIL: it is taken away before the layers end.
            own.layers = self.s.layers = self.backing.layers
            if self.s.shared != NULL:
                self.s.shared.lock.budget = &self.backing.budget.b

    @property
    def thread_safe(self):
        """Whether any number of threads may use the tape at once."""
        return self.s.shared != NULL

    @property
    def lanes(self):
        """The `Lanes` of the tape: those that exist."""
        if self.its_lanes is None:
            spill_dir, slab_bytes, prefetch, spill_limit, compress = self.options
            lanes = Lanes(functools.partial(
                Tape, self.dtype, memory=self.budget, spill_dir=spill_dir, slab_bytes=slab_bytes, pool=self.pool,
                prefetch=prefetch, spill_limit=spill_limit, compress=compress,
            ))
            if self.its_lanes is None:      # else another thread was faster
                self.its_lanes = lanes
        return self.its_lanes

    def lane(self, k=None):
        """A tape beside this one, for one thread, with the same dtype, pool, memory budget and spill options.

        Parameters
        ----------
        k : int, optional
            The number of the lane, which is made if there are not as many yet.  Without it: the lane of the calling thread,
            the same at every call.

        Returns
        -------
        Tape
            Pushes and pops as fast as any tape: no other thread has to be asked.

        A lane is popped in its own order, by any thread.  What is on it when its thread ends stays there, in `lanes`; an
        empty one is then given to the next thread that asks.  Closing the tape closes its lanes.
        """
        self.check_open()
        return self.lanes.mine() if k is None else self.lanes.numbered(k)

    cdef tape_s **claim_lanes(self, str dtype, Py_ssize_t n) except NULL:
        """The structs of the first `n` lanes, for loops that work on them until `leave_lanes`; see `claim`."""
        cdef tape_s **found = <tape_s **>malloc(max(n, 1) * sizeof(tape_s *))
        cdef Py_ssize_t k = 0
        if found == NULL:
            raise TapeMemoryError("no memory for lanes")
        try:
            for k in range(n):
                found[k] = (<Tape>self.lane(k)).claim(dtype)
        except BaseException:
            self.leave_lanes(found, k)
            raise
        return found

    cdef int leave_lanes(self, tape_s **lanes, Py_ssize_t n) except -1:
        """The end of `claim_lanes`."""
        cdef Py_ssize_t k
        for k in range(n):
            tape_leave(lanes[k])
        free(lanes)
        return 0

    @property
    def budget(self):
        """The `Budget` of the tape, or None."""
        return None if self.backing is None else self.backing.budget

    def add_spill_dir(self, place, *, spill_limit=None, compress=None):
        """Give the tape one more place for slabs, which is tried when those before it refuse.

        Parameters
        ----------
        place : path, Store or None
        spill_limit : int, str or None
        compress : {"auto", "lz4", "zstd"} or None
            As for the constructor.
        """
        self.check_open()
        if self.backing is None:
            raise TapeValueError("the tape has no memory budget, so nothing is ever spilled; give it memory=")
        self.backing.add(place, spill_limit, compress)

    def __dealloc__(self):
        # Views and marks hold a reference to the tape, so none is alive here.
        cdef size_t unclosed = 0
        if self.s.itemsize:
            if self.s.layers != NULL:
                unclosed = tape_length(&self.s)
            if tape_abandon(&self.s) != NULL:
                self.backing.end()
        self.drop_orphans()
        tape_free_shared(&self.s)
        if unclosed > 0:    # at the end: a warning may be an error
            warn_unclosed(unclosed)

    # ------------------------------------------------------------------------------------------- edges

    cdef int check(self, int status) except -1:
        """Raise what `status` says, or nothing."""
        if status == TAPE_OK:
            return 0
        if status == TAPE_EMPTY:
            raise TapeEmptyError(f"not enough items: the tape holds {len(self)}")
        if status == TAPE_NOMEM:
            raise TapeMemoryError(f"no memory for another slab; the tape is as it was{self.limits()}")
        if status == TAPE_INTERRUPTED:
            return -1       # what the signal handler raised
        if status == TAPE_STOPPED:
            PyErr_SetInterrupt()
            PyErr_CheckSignals()
            raise TapeInterrupt("interrupted while it waited for a slab")   # whatever the handler thinks of it
        if status == TAPE_SPILL or status == TAPE_CORRUPT:
            raise self.spill_error()
        if status == TAPE_LARGE:
            raise TapeValueError(
                f"one block has at most max_reserve = {self.max_reserve} items on this tape: one slab, since it has a "
                "memory budget"
            )
        if status == TAPE_CLOSED:
            raise TapeClosedError("the tape is closed")
        if status == TAPE_STALE:
            raise TapeMarkError("the tape was popped past this mark, or the mark is another tape's")
        if self.s.in_use:
            raise TapeBusyError("the tape is in use by a compiled loop or another thread")
        if self.s.shared != NULL and lock_lost(&self.s.shared.lock):
            raise TapeBusyError(
                "this process was forked while a thread of its parent was in the tape: what it holds cannot be told here"
            )
        if self.s.layers != NULL and self.backing.carried():
            raise TapeBusyError(
                "a store cannot close a tape that it, or another store of the same budget, is working for, nor wait for one "
                "that is thread-safe"
            )
        raise TapeBusyError("a live view pins these items; delete the array first")

    cdef str limits(self):
        """What keeps the tape from having more memory, for a message."""
        cdef str found = ""
        if self.pool.limit is not None:
            found += f"; its pool has a limit of {self.pool.limit} bytes"
        if self.backing is not None:
            found += (
                f"; of its budget of {self.budget.memory} bytes {self.budget.used_bytes} are in use, by slabs that cannot "
                "leave memory: those that a cursor, a view or a reader is in"
            )
        return found

    def spill_error(self):
        """The error for the last slab that could not be moved; None where there was none."""
        return None if self.s.layers == NULL else self.backing.error()

    cdef int edge(self) except -1:
        """What every call from Python passes last before it touches the struct.

        Between this and the end of the operation no Python object is made: that could run the garbage collector, hence
        any code, hence another thread that claims, pops or closes the tape.
        """
        if self.s.in_use:
            self.check(TAPE_BUSY)
        if self.orphans != NULL:
            self.drop_orphans()
        return 0

    cdef tape_s *enter(self) except NULL:
        """The tape for several operations in one, until `leave`; no Python object is touched in between."""
        cdef int status
        cdef tape_s *own
        self.edge()
        own = tape_lock(&self.s, &status)
        if own == NULL:
            self.check(status)
        return own

    cdef void leave(self) noexcept:
        tape_unlock(&self.s)

    cdef void orphan(self, owned_guard_s *guard) noexcept:
        """Drop a guard whose owner died; later, if a compiled loop has the tape."""
        if guard == NULL:
            return
        guard.next = self.orphans
        self.orphans = guard
        if not self.s.in_use:
            self.drop_orphans()

    cdef void drop_orphans(self) noexcept:
        cdef owned_guard_s *guard
        while self.orphans != NULL:
            guard = self.orphans
            self.orphans = guard.next
            if tape_drop(&self.s, &guard.guard) != TAPE_OK:     # this thread must not wait now
                guard.next = self.orphans
                self.orphans = guard
                return
            free(guard)

    cdef tape_s *claim(self, str dtype) except NULL:
        """The C struct, for a loop that works on it until `tape_leave`; `dtype` is what the loop pushes, or None."""
        self.edge()
        if dtype is not None and self.dtype != dtype:
            raise TapeTypeError(f"a {self.dtype} tape where compiled code works on {dtype} items")
        self.check(tape_enter(&self.s))
        return &self.s

    def _claim(self):
        """Claim the tape for compiled code and return its handle (see tape.numba)."""
        return <size_t>self.claim(None)

    @property
    def _numba_type_(self):
        """What Numba asks for where it does not know tapes yet.

        It loads its extensions once: a thread that compiles while another one is loading them has to wait here.
        """
        from numba.core.errors import NumbaTypeError

        from tape.numba import tape_type

        try:
            return tape_type(self.dtype)
        except NumbaTypeError as error:
            # Where there is no such attribute Numba asks elsewhere, and gets the same answer (Python 3.13 would print it).
            raise AttributeError(str(error)) from None

    def _read_bytes(self, size_t pos, out):
        """Copy bytes from position `pos` up to `out`, an array of bytes (see tape.cuda.transfer)."""
        cdef Py_buffer view
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE)
        try:
            self.edge()
            self.check(tape_read(&self.s, pos, view.len, view.buf))
        finally:
            PyBuffer_Release(&view)

    def _run(self, size_t pos):
        """Address of the byte at `pos`, and how many follow it there; for a tape whose slabs stay in memory."""
        cdef size_t run = 0
        cdef char *address
        self.check_open()
        address = tape_at(&self.s, pos, &run)
        if address == NULL:
            self.check(TAPE_EMPTY)
        return <size_t>address, run

    def raise_failed(self):
        """Raise the error that generated code left on the tape, and forget it; nothing if there is none."""
        self.edge()
        self.check(tape_forgive(&self.s))

    # ------------------------------------------------------------------------------------- one by one

    @cython.binding(False)
    def push(self, x):
        """Push one item.

        Raises
        ------
        TapeTypeError
            If `x` does not convert to the dtype without loss of kind (a float on an integer tape, an array).
        TapeValueError
            If an integer does not fit the dtype, beyond 2**53 on a float64 tape included.
        TapeMemoryError
            If there is no memory for another slab; the tape is then as it was.
        """
        cdef int overflow
        cdef long long word
        cdef char flag
        self.edge()
        if self.kind == KIND_F8 and PyFloat_CheckExact(x):
            self.check(tape_push_f8(&self.s, PyFloat_AS_DOUBLE(x)))
        elif self.kind == KIND_F4 and PyFloat_CheckExact(x):
            self.check(tape_push_f4(&self.s, <float>PyFloat_AS_DOUBLE(x)))
        elif self.kind == KIND_I8 and PyLong_CheckExact(x):
            word = PyLong_AsLongLongAndOverflow(x, &overflow)
            if overflow:
                raise TapeValueError(f"the integer does not fit a {self.dtype} tape")
            self.check(tape_push_i8(&self.s, word))
        elif self.kind == KIND_BOOL and isinstance(x, bool):
            flag = x is True
            self.check(tape_push_bytes(&self.s, &flag, 1))
        else:
            self.push_other(x)

    cdef int push_other(self, x) except -1:
        cdef Py_buffer view
        cdef object cell = np.empty(1, self.dtype)
        as_item(x, cell.reshape(()))
        PyObject_GetBuffer(cell.view("u1"), &view, PyBUF_SIMPLE)
        try:
            # as_item runs Python code of the value's type, which may have closed or claimed the tape.
            self.edge()
            self.check(tape_push_bytes(&self.s, view.buf, self.s.itemsize))
        finally:
            PyBuffer_Release(&view)
        return 0

    cdef int read_item(self, Py_ssize_t i, void *out) except -1:
        self.edge()
        return self.check(tape_item(&self.s, i, out))

    cdef object item(self, Py_ssize_t i):
        """Item `i`, counted from the end if it is negative, as a Python object of its own; TapeEmptyError if there is none."""
        cdef Py_buffer view
        cdef double x
        cdef float single
        cdef long long word
        cdef char flag
        if self.kind == KIND_F8:
            self.read_item(i, &x)
            return x
        if self.kind == KIND_F4:
            self.read_item(i, &single)
            return <double>single
        if self.kind == KIND_I8:
            self.read_item(i, &word)
            return word
        if self.kind == KIND_BOOL:
            self.read_item(i, &flag)
            return flag != 0
        cell = np.empty(1, self.dtype)
        PyObject_GetBuffer(cell.view("u1"), &view, PyBUF_SIMPLE)
        try:
            self.read_item(i, view.buf)
        finally:
            PyBuffer_Release(&view)
        return self.scalar(cell)

    cdef object scalar(self, cell):
        return cell[0] if self.dtype.kind in "VmM" else cell.item()

    @cython.binding(False)
    def pop(self):
        """Take the newest item off and return it.  Raises `TapeEmptyError` if there is none."""
        cdef double x = 0
        cdef float single = 0
        cdef long long word = 0
        cdef char flag = 0
        cdef Py_buffer view
        self.edge()
        if self.kind == KIND_F8:
            self.check(tape_pop_f8(&self.s, &x))
            return x
        if self.kind == KIND_I8:
            self.check(tape_pop_i8(&self.s, &word))
            return word
        if self.kind == KIND_F4:
            self.check(tape_pop_f4(&self.s, &single))
            return <double>single
        if self.kind == KIND_BOOL:
            self.check(tape_pop_bytes(&self.s, &flag, 1))
            return flag != 0
        cell = np.empty(1, self.dtype)
        PyObject_GetBuffer(cell.view("u1"), &view, PyBUF_SIMPLE)
        try:
            self.edge()
            self.check(tape_pop_bytes(&self.s, view.buf, self.s.itemsize))
        finally:
            PyBuffer_Release(&view)
        return self.scalar(cell)

    def peek(self, n=None):
        """The newest item; or, given a number, the newest `n` items as a read-only view.

        The view (shape ``(n,)``, oldest first) pins its items: popping past it raises `TapeBusyError` until it is
        deleted.  Items on both sides of a slab border have no common view: `TapeValueError`; take a copy,
        ``t[-n:]``, there.  Raises `TapeEmptyError` if the tape holds less.
        """
        cdef size_t bytes, length
        cdef Block block
        cdef tape_s *own
        cdef int status = TAPE_OK
        if n is None:
            return self.item(-1)
        bytes = self.bytes_of(n, "n")
        block = Block.__new__(Block, self, bytes, False)
        own = self.enter()
        length = tape_length(own)
        if tape_closed(own):
            status = TAPE_CLOSED
        elif bytes > length:
            status = TAPE_EMPTY
        elif bytes > 0:
            status = tape_look(own, length - bytes)
            block.address = tape_top(own, bytes)
            if status == TAPE_OK and block.address != NULL:
                status = tape_pin(own, &block.guard.guard, length)
        self.leave()
        self.check(status)
        if block.address == NULL and bytes > 0:
            raise TapeValueError(f"the newest {n} items lie on both sides of a slab border; t[-{n}:] copies them")
        return self.view(block)

    # ------------------------------------------------------------------------------------------ blocks

    def extend(self, items):
        """Push all of `items`, first one first, at the speed of a copy.

        Parameters
        ----------
        items : ndarray or sequence
            One-dimensional.  An array must be contiguous and have the tape's dtype; other sequences are converted.

        Raises
        ------
        TapeTypeError
            For another dtype.  `TapeValueError` for another shape or a strided array.
        TapeMemoryError
            If there is no memory; the tape is then as it was.
        """
        cdef Py_buffer view
        array = as_array(items, self.dtype)
        PyObject_GetBuffer(array.view("u1"), &view, PyBUF_SIMPLE)
        try:
            self.edge()
            self.check(tape_extend(&self.s, view.buf, view.len))
        finally:
            PyBuffer_Release(&view)

    def popn(self, n, out=None):
        """Take the newest `n` items off: an array of shape ``(n,)``, in the order in which they were pushed.

        Parameters
        ----------
        n : int
        out : ndarray, optional
            Contiguous and writable, of shape ``(n,)`` and the tape's dtype; it is filled and returned.

        Raises
        ------
        TapeEmptyError
            If the tape holds fewer; nothing is popped.
        """
        cdef Py_buffer view
        cdef size_t bytes = self.bytes_of(n, "n")
        self.check_open()
        if bytes > tape_length(&self.s):    # before so much is allocated
            self.check(TAPE_EMPTY)
        room = self.room(n, out)
        PyObject_GetBuffer(room.view("u1"), &view, PyBUF_SIMPLE)
        try:
            self.edge()
            self.check(tape_take(&self.s, view.len, view.buf))
        finally:
            PyBuffer_Release(&view)
        return room if out is None else out

    cdef object room(self, n, out):
        """An array for `n` items: a new one, or the memory of `out` if that is fit for it."""
        if out is None:
            return np.empty(n, self.dtype)
        if not isinstance(out, np.ndarray):
            raise TapeTypeError(f"out: an array, not {type(out).__name__}")
        array = as_array(out, self.dtype, "out")
        if array.shape[0] != n:
            raise TapeValueError(f"out: {array.shape[0]} items where {n} are popped")
        if not array.flags.writeable:
            raise TapeValueError("out: the array is read-only")
        return array

    def reserve(self, n):
        """Push `n` items to be filled in: a writable view of shape ``(n,)``, contiguous, not initialised.

        The view pins the block: popping it raises `TapeBusyError` until the array is deleted.  Raises
        `TapeMemoryError` if there is no memory.
        """
        cdef size_t bytes = self.bytes_of(n, "n")
        cdef Block block = Block.__new__(Block, self, bytes, True)
        cdef int status
        self.check_open()
        if bytes > 0:
            block.address = tape_reserve_pinned(&self.s, bytes, &block.guard.guard, &status)
            self.check(status)
        try:
            return self.view(block)
        except BaseException:
            self.unreserve(block)
            raise

    cdef int unreserve(self, Block block) except -1:
        """Take a block back of which no view could be made; where another thread pushed more meanwhile it stays, as zeros."""
        cdef tape_s *own = self.enter()
        cdef size_t end = block.guard.guard.pos
        tape_drop(own, &block.guard.guard)
        if end == tape_length(own):
            tape_truncate(own, end - block.nbytes)
        else:
            memset(block.address, 0, block.nbytes)
        self.leave()
        return 0

    @property
    def max_reserve(self):
        """Most items that one `reserve` can give: a slab on a tape with a memory budget, else None."""
        return None if self.s.layers == NULL else self.s.slab_bytes // self.s.itemsize

    cdef size_t bytes_of(self, n, str name) except? -1:
        cdef size_t count = as_count(n, name)
        if count > (SIZE_MAX // 4) // self.s.itemsize:
            raise TapeMemoryError(f"{name}: {n} items are more than any machine holds")
        return count * self.s.itemsize

    cdef int check_open(self) except -1:
        """Raise if the tape is closed, or if it is in use."""
        self.edge()
        if tape_closed(&self.s):
            self.check(TAPE_CLOSED)
        return 0

    cdef object view(self, Block block):
        """An array over `block`, which is pinned."""
        if block.nbytes == 0:
            return np.empty(0, self.dtype)
        return np.asarray(block).view(self.dtype)

    # -------------------------------------------------------------------------------- looking without taking

    def __len__(self):
        cdef size_t nbytes = tape_length(self.enter())
        self.leave()
        return nbytes // self.s.itemsize

    def __getitem__(self, index):
        cdef Py_ssize_t i
        if isinstance(index, slice):
            return self.items(index)
        try:
            i = operator.index(index)
        except TypeError:
            raise TapeTypeError(f"tape indices are integers or slices, not {type(index).__name__}") from None
        except OverflowError:
            raise TapeIndexError(f"the index is out of range of {len(self)} items") from None
        try:
            return self.item(i)
        except TapeEmptyError:
            raise TapeIndexError(f"index {index} is out of range of {len(self)} items") from None

    cdef object items(self, index):
        """The items of a slice, of one moment: a thread-safe tape may change its length while there is no lock."""
        cdef Py_ssize_t start, stop, step, low, high, size = self.s.itemsize, room = -1
        cdef Py_buffer view
        cdef tape_s *own
        cdef int status = TAPE_OK
        self.check_open()
        PySlice_Unpack(index, &start, &stop, &step)
        while True:
            if room >= 0:
                out = np.empty(room, self.dtype)
                PyObject_GetBuffer(out.view("u1"), &view, PyBUF_SIMPLE)
            try:
                own = self.enter()
                low, high = start, stop
                PySlice_AdjustIndices(tape_length(own) // size, &low, &high, step)
                if step < 0:
                    low, high = high + 1, low + 1
                high = max(high, low)
                if tape_closed(own):
                    status = TAPE_CLOSED
                elif high - low <= room:
                    status = tape_read(own, low * size, (high - low) * size, view.buf)
                self.leave()
                self.check(status)
            finally:
                if room >= 0:
                    PyBuffer_Release(&view)
            if high - low <= room:
                break
            # The second time others have pushed: some more than there is now will do.
            room = high - low if room < 0 else high - low + (high - low) // 8
        out = out[:high - low]
        return out if step == 1 and len(out) == room else out[::step].copy()

    def __iter__(self):
        """The items from the oldest to the newest; pushes and pops on the way are seen, as with a list."""
        self.check_open()
        i = 0
        while i < len(self):
            try:
                item = self[i]
            except TapeIndexError:      # another thread popped it just now
                return
            yield item
            i += 1

    def __reversed__(self):
        """The items from the newest to the oldest."""
        self.check_open()
        i = len(self)
        while i > 0:
            i -= 1
            if i < len(self):
                try:
                    item = self[i]
                except TapeIndexError:
                    continue
                yield item

    # ------------------------------------------------------------------------------------------- marks

    def mark(self):
        """A `Mark` of the present length, to `rewind` to.  Marks nest.  Popping past a mark ends it."""
        cdef Mark mark = Mark.__new__(Mark)
        mark.tape = self
        mark.guard = new_guard()
        self.edge()
        self.check(tape_mark(&self.s, &mark.guard.guard))
        return mark

    def rewind(self, Mark mark not None):
        """Drop all that was pushed since `mark`, later marks included.  The mark stays good.

        Raises
        ------
        TapeMarkError
            If the tape was popped past the mark, or the mark is another tape's.
        TapeBusyError
            If a live view lies above the mark.
        """
        self.check_open()
        self.check(TAPE_STALE if mark.tape is not self else tape_rewind(&self.s, mark.place()))

    # ------------------------------------------------------------------------------------- end of life

    def clear(self):
        """Drop all items.  The slabs stay with the tape for its next growth."""
        cdef tape_s *own = self.enter()
        cdef int status = tape_truncate(own, 0)
        if status == TAPE_OK:
            tape_forgive(own)
            self.s.failed = TAPE_OK     # of a thread-safe tape, what was refused
        self.leave()
        self.check(status)

    def release(self):
        """Give the slabs that hold no items back to the pool."""
        self.edge()
        self.check(tape_release(&self.s))

    def close(self):
        """Drop all items, give all slabs back, and refuse all further use; lanes too.  A second close does nothing."""
        cdef layers_s *layers
        self.edge()
        self.check(tape_end(&self.s, &layers))
        if layers != NULL:
            # Here nobody is looking at them, as that takes the GIL; then others may run, while this waits for transfers.
            self.s.layers = NULL
            self.s.in_use = self.s.shared == NULL
            layers_free(layers)
            self.s.in_use = False
            self.backing.close()
        if self.its_lanes is not None:
            self.its_lanes.close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.close()
        except TapeBusyError:
            # The frames of an exception under way keep its views alive: do not hide it behind them.
            if kind is None:
                raise

    def __reduce__(self):
        raise TapeTypeError("a tape is memory of this process and cannot be pickled or copied; use t[:] for its items")

    def save(self, path):
        """Write the items to the file `path`, which gets that name when it is whole; see `tape.archive.save`."""
        cdef Mark hold
        cdef tape_s *own
        if self.s.shared == NULL:
            save_archive(self, path)
            return
        # Other threads may push meanwhile, and not pop what is written: the hold ends with this call.
        hold = Mark.__new__(Mark)
        hold.tape = self
        hold.guard = new_guard()
        own = self.enter()
        cdef int status = tape_hold(own, &hold.guard.guard, tape_length(own))
        self.leave()
        self.check(status)
        save_archive(_Held(self, hold.position), path)

    @classmethod
    def load(cls, path, **options):
        """A new tape with the items and the dtype of a saved one; `options` are those of `Tape`.

        Raises `ArchiveError` if the file is not a saved tape or is damaged.
        """
        return load_archive(path, functools.partial(cls, **options))

    def to_device(self, start=None, stop=None, *, out=None, stream=None):
        """Copy the items ``t[start:stop]`` to a GPU, through page-locked memory; the tape stays as it is.

        Parameters
        ----------
        start, stop : int, optional
            As in a slice; all items without them.  Parts may go one by one.
        out : device array, optional
            Contiguous, of shape ``(n,)`` and the tape's dtype: of Numba, or with ``__cuda_array_interface__`` or DLPack.
        stream : stream, optional
            That of the work which will use the array: of Numba, CuPy or PyTorch, or a handle.  The last copies may be
            under way when the call returns; what is given to the stream from then on waits for them.

        Returns
        -------
        device array
            `out`, or a new Numba device array of shape ``(n,)``.

        Raises
        ------
        ImportError, DeviceError
            If the package ``numba-cuda`` or a GPU is missing, or the GPU fails.
        TapeMemoryError
            If it has no memory for the array.
        """
        from tape.cuda.transfer import to_device

        return to_device(self, start, stop, out, stream)

    @classmethod
    def from_device(cls, array, *, stream=None, **options):
        """A new tape with the items of a contiguous device array, in C order; `options` are those of `Tape`.

        `stream` is that of the work which makes the array; the copies wait for what was given to it so far, and the call
        for the copies.  Raises what `to_device` raises, and what pushing raises.
        """
        from tape.cuda.transfer import from_device

        return from_device(cls, array, stream, options)

    # ------------------------------------------------------------------------------------- observation

    @property
    def itemsize(self):
        """Bytes of one item."""
        return self.s.itemsize

    @property
    def nbytes(self):
        """Bytes of the items on the tape."""
        cdef size_t nbytes = tape_length(self.enter())
        self.leave()
        return nbytes

    @property
    def closed(self):
        return tape_closed(&self.s)

    @property
    def handle(self):
        """The tape as an integer, for generated code (`push` and `pop` of tape.numba); its items must have 8 bytes.

        A plain number: it does not keep the tape alive, and nothing notices a close or a second thread while compiled
        code uses it.  Take it where the tape is private to that code; elsewhere take it from `claimed`.

        Raises `TapeTypeError` for items of another size.
        """
        if self.s.itemsize != 8:
            raise TapeTypeError(f"a handle is for 8-byte words, and items of {self.dtype} have {self.s.itemsize} bytes")
        return <size_t>&self.s

    @property
    def address(self):
        """Address of the tape's C struct, for the functions of tape.capi; as unguarded as `handle`."""
        return <size_t>&self.s

    def claimed(self):
        """A context that has the tape for compiled code, and gives its handle::

            with tape.claimed() as handle:
                compiled(handle)

        In it every other use of the tape raises `TapeBusyError`.
        """
        return Claim(self)

    def traffic(self):
        """A `LayerStats` snapshot of a tape with a memory budget, else None.

        May be called from any thread at any time, also while a compiled loop has the tape.  `bytes_written` and
        `bytes_read` are of slabs; with `compress` the store is smaller than they are, as `file_bytes` shows.
        """
        return None if self.s.layers == NULL else self.backing.traffic()

    def stats(self):
        """A `TapeStats` snapshot; of a closed tape too."""
        cdef summary_s now
        cdef size_t spare
        self.edge()
        self.check(tape_summary(&self.s, &now))
        spare = 0 if self.s.layers == NULL else self.backing.spare()
        return TapeStats(
            items=now.length // self.s.itemsize, bytes=now.length,
            layer="closed" if now.closed else "inline" if now.slabs == 0 else "slabs",
            slabs=now.slabs, slab_bytes=now.held,
            spare_slabs=now.spare_slabs + (spare > 0), spare_bytes=now.spare_bytes + spare,
            high_bytes=now.high_bytes, allocations=now.allocations,
            marks=now.marks, pins=now.pins, pool=self.pool.stats(), layers=self.traffic(),
        )

    def __repr__(self):
        cdef summary_s now
        cdef str kind = f"{'thread-safe ' if self.thread_safe else ''}Tape {self.dtype}"
        if self.s.in_use or tape_summary(&self.s, &now) != TAPE_OK:
            return f"<{kind}: in use by compiled code>"
        if now.closed:
            return f"<{kind}: closed>"
        where = "inline" if now.slabs == 0 else f"in {now.slabs} slabs"
        return f"<{kind}: {now.length // self.s.itemsize} items ({now.length} bytes) {where}>"


class _Held:
    """The first `n` items of a tape, for who holds them there."""

    def __init__(self, tape, n):
        self.dtype = tape.dtype
        self._tape = tape
        self._n = n

    def __len__(self):
        return self._n

    def __getitem__(self, part):
        return self._tape[part]


@cython.final
@cython.no_gc_clear
cdef class Mark:
    """A position on a tape to rewind to (see `Tape.mark`)."""

    def __init__(self):
        raise TapeTypeError("marks come from Tape.mark()")

    cdef guard_s *place(self) except NULL:
        if self.guard == NULL:      # made by Mark.__new__ alone
            raise TapeTypeError("marks come from Tape.mark()")
        return &self.guard.guard

    def __dealloc__(self):
        if self.tape is not None:
            self.tape.orphan(self.guard)

    def __reduce__(self):
        raise TapeTypeError("a mark belongs to its tape and cannot be pickled or copied")

    @property
    def live(self):
        """False once the tape was popped past the mark or closed."""
        cdef guard_s *guard = self.place()
        cdef int status
        if tape_lock(&self.tape.s, &status) == NULL:
            self.tape.check(status)
        cdef bint live = guard.kind == GUARD_MARK
        self.tape.leave()
        return live

    @property
    def position(self):
        """Items on the tape when the mark was taken."""
        return self.place().pos // self.tape.s.itemsize

    def __repr__(self):
        return f"<Mark at {self.position}{'' if self.live else ', dead'} of {self.tape!r}>"


@cython.final
@cython.no_gc_clear
cdef class Claim:
    """What `Tape.claimed` returns."""

    def __cinit__(self, Tape tape not None):
        self.tape = tape

    def __enter__(self):
        if self.held:
            raise TapeBusyError("this claim holds the tape already")
        handle = self.tape.handle
        self.tape.claim(None)
        self.held = True
        return handle

    def __exit__(self, kind, value, traceback):
        if self.held:
            self.held = False
            tape_leave(&self.tape.s)

    def __dealloc__(self):
        if self.held:
            tape_leave(&self.tape.s)


@cython.final
@cython.no_gc_clear
cdef class Block:
    """The memory behind a view into a tape: pinned as long as this object lives."""

    def __cinit__(self, Tape tape not None, size_t nbytes, bint writable):
        self.tape = tape
        self.guard = new_guard()
        self.nbytes = nbytes
        self.writable = writable

    def __dealloc__(self):
        if self.tape is not None:
            self.tape.orphan(self.guard)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self.address == NULL:
            raise BufferError("blocks come from Tape.reserve() and Tape.peek()")
        PyBuffer_FillInfo(buffer, self, self.address, self.nbytes, not self.writable, flags)

    def __releasebuffer__(self, Py_buffer *buffer):
        pass
