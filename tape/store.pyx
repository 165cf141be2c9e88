"""The contract of a layer that holds whole slabs (see store.pxd for its C side)."""

from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory

import operator
import os

from tape.errors import SpillCorruptionError, SpillError, TapeTypeError


cdef int python_write(void *store, const char *data, size_t bytes, long long *slot) noexcept nogil:
    with gil:
        self = <Store>store
        try:
            view = PyMemoryView_FromMemory(<char *>data, bytes, PyBUF_READ)
            try:
                slot[0] = operator.index(self.write(view))
            finally:
                view.release()
            if slot[0] < 0:
                raise TapeTypeError(f"{type(self).__name__}.write() returned the slot {slot[0]}; slots are not negative")
        except BaseException as error:
            self.failure = error
            return STORE_RAISED
    return STORE_OK


cdef int python_read(void *store, long long slot, char *data, size_t bytes) noexcept nogil:
    with gil:
        self = <Store>store
        try:
            view = PyMemoryView_FromMemory(data, bytes, PyBUF_WRITE)
            try:
                self.read(slot, view)
            finally:
                view.release()
        except BaseException as error:
            self.failure = error
            return STORE_CORRUPT if isinstance(error, SpillCorruptionError) else STORE_RAISED
    return STORE_OK


cdef void python_free(void *store, long long slot, size_t bytes) noexcept nogil:
    with gil:
        self = <Store>store
        try:
            self.free(slot)
        except BaseException as error:
            self.failure = error


cdef class Store:
    """Where slabs go that a tape's memory budget has no room for.  Subclass it for a place of your own.

    A subclass defines `write`, `read`, `free` and `close`.  They are called from background threads, reads and writes at
    the same time.  What they raise reaches whoever pushes or pops as the cause of a `SpillError`; after a failed write
    the slab stays in memory and will be offered again.  ``tape.testing.check_store`` tests a store against this contract.
    """

    def __cinit__(self, *args, **kwargs):
        self.c.write = python_write
        self.c.read = python_read
        self.c.free = python_free

    def write(self, data):
        """Keep the bytes of a memoryview, which is valid during the call only; return a slot (an int, not negative)."""
        raise NotImplementedError(f"{type(self).__name__} has no write()")

    def read(self, slot, out):
        """Fill the memoryview `out` with all that was written to `slot`, which stays as it is."""
        raise NotImplementedError(f"{type(self).__name__} has no read()")

    def free(self, slot):
        """Forget a slot; its number may be given out again."""
        raise NotImplementedError(f"{type(self).__name__} has no free()")

    def close(self):
        """Forget everything and refuse further use.  A second close does nothing."""

    def error(self, status, nbytes, operation):
        """The `SpillError` for a status of the C contract; `operation` is "write" or "read"."""
        found = self.failure
        if (status == STORE_RAISED or status == STORE_CORRUPT) and found is not None:
            kind = SpillCorruptionError if isinstance(found, SpillCorruptionError) else SpillError
            text = str(found) if isinstance(found, SpillError) else repr(found)
            about = {name: getattr(found, name, None) for name in ("errno", "directory", "wanted", "free")}
            error = kind(f"{type(self).__name__}.{operation}() failed: {text}", **about)
            error.__cause__ = found
            return error
        text = os.strerror(status) if status > 0 else "closed"
        return SpillError(f"{type(self).__name__}: a {operation} of {nbytes} bytes failed: {text}")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()
