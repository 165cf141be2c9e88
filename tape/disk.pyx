"""Stores on disk: `FileStore` writes and reads, `MmapStore` copies through a map of the file.

Both keep slabs in one file without a name, of mode 0600, which is gone when the store is closed or the process ends in
whatever way.  Slots of freed slabs are used again, so the file is as large as the deepest spill.  Blocks are allocated
before they are written: a full disk is an error of the write that met it, and all that was written before stays.
Neither leaves more than a few MiB in the page cache, which counts against the memory of a container.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from tape.diskio cimport *
from tape.slots cimport SLOT_BYTES
from tape.spillfile cimport *
from tape.spin cimport lt_atomic_load, lt_atomic_store
from tape.store cimport STORE_CLOSED, STORE_LIMIT, STORE_OK

import errno
import operator
import os

from tape.errors import SpillError, TapeTypeError, TapeValueError
from tape.sizes import format_bytes, parse_bytes
from tape.spilldir import as_directory, check_directory, default_directory, is_ram_backed
from tape.spillfile import open_unnamed

__all__ = ["DiskStore", "FileStore", "MmapStore", "check_directory", "default_directory", "is_ram_backed"]

cdef enum:
    WINDOW_BYTES = 8 << 20      # of the page cache, before it is written out and dropped
    BOUNCE_BYTES = 1 << 20      # of the copy of data that is not aligned for direct I/O


cdef int buffered(int fd, char *data, size_t bytes, long long at, bint writing, bint mapped) noexcept nogil:
    """Through the page cache, by calls or by a map, and out of it again."""
    cdef size_t part
    cdef int status
    while bytes:
        part = min(bytes, <size_t>WINDOW_BYTES)
        status = LT_NO_MAP
        if mapped:
            status = lt_map_write(fd, data, part, at) if writing else lt_map_read(fd, data, part, at)
        if status == LT_NO_MAP:
            status = lt_file_write(fd, data, part, at) if writing else lt_file_read(fd, data, part, at)
        if status == 0 and writing:
            status = lt_file_settle(fd, at, part)
        elif status == 0:
            lt_file_forget(fd, at, part)
        if status != 0:
            return status
        data += part
        bytes -= part
        at += part
    return 0


cdef int direct(int fd, char *data, size_t bytes, long long at, bint writing) noexcept nogil:
    """Past the page cache.  What is not aligned, and the end of what is, goes through a copy of whole blocks."""
    cdef size_t whole = 0
    cdef size_t part, blocks
    cdef char *bounce
    cdef int status = 0
    if <uintptr_t>data % SLOT_BYTES == 0:
        whole = bytes // SLOT_BYTES * SLOT_BYTES
        status = lt_file_write(fd, data, whole, at) if writing else lt_file_read(fd, data, whole, at)
    bytes -= whole
    if bytes == 0 or status != 0:
        return status
    data += whole
    at += whole
    blocks = (min(bytes, <size_t>BOUNCE_BYTES) + SLOT_BYTES - 1) // SLOT_BYTES * SLOT_BYTES
    bounce = <char *>lt_block_new(blocks)
    if bounce == NULL:
        return ENOMEM
    while bytes and status == 0:
        part = min(bytes, <size_t>BOUNCE_BYTES)
        blocks = (part + SLOT_BYTES - 1) // SLOT_BYTES * SLOT_BYTES
        if writing:
            memcpy(bounce, data, part)
            memset(bounce + part, 0, blocks - part)     # not what this process had in its memory
            status = lt_file_write(fd, bounce, blocks, at)
        else:
            status = lt_file_read(fd, bounce, blocks, at)
            if status == 0:
                memcpy(data, bounce, part)
        data += part
        bytes -= part
        at += part
    lt_block_free(bounce)
    return status


cdef int transfer(spill_s *s, char *data, size_t bytes, long long at, bint writing, bint mapped) noexcept nogil:
    cdef int status
    if lt_atomic_load(&s.direct):
        status = direct(s.direct_fd, data, bytes, at, writing)
        if status == EINVAL:
            # Opened and then refused: blocks larger than ours, or a file system that only pretends.
            lt_atomic_store(&s.direct, False)
        elif status != ENOMEM:
            return status
    return buffered(s.fd, data, bytes, at, writing, mapped)


cdef int file_write(void *store, const char *data, size_t bytes, long long *slot) noexcept nogil:
    cdef spill_s *s = &(<DiskStore>store).spill
    cdef int status = spill_begin_write(s, bytes, slot)
    if status != STORE_OK:
        return status
    return spill_end_write(s, slot[0], transfer(s, <char *>data, bytes, slot[0], True, False))


cdef int file_read(void *store, long long slot, char *data, size_t bytes) noexcept nogil:
    cdef spill_s *s = &(<DiskStore>store).spill
    cdef int status = spill_begin_read(s, slot, bytes)
    if status == STORE_OK:
        status = transfer(s, data, bytes, slot, False, False)
        spill_end_read(s, slot)
    return status


cdef int mmap_write(void *store, const char *data, size_t bytes, long long *slot) noexcept nogil:
    cdef spill_s *s = &(<DiskStore>store).spill
    cdef int status = spill_begin_write(s, bytes, slot)
    cdef bint mapped
    if status != STORE_OK:
        return status
    # A page of the map must have its block, or touching it kills the process when the disk is full.
    mapped = s.in_place and lt_atomic_load(&s.ahead)
    return spill_end_write(s, slot[0], transfer(s, <char *>data, bytes, slot[0], True, mapped))


cdef int mmap_read(void *store, long long slot, char *data, size_t bytes) noexcept nogil:
    cdef spill_s *s = &(<DiskStore>store).spill
    cdef int status = spill_begin_read(s, slot, bytes)
    if status == STORE_OK:
        status = transfer(s, data, bytes, slot, False, True)
        spill_end_read(s, slot)
    return status


cdef void disk_free(void *store, long long slot, size_t bytes) noexcept nogil:
    spill_free(&(<DiskStore>store).spill, slot, bytes)


cdef class DiskStore(Store):
    """What `FileStore` and `MmapStore` have in common."""

    def __cinit__(self, *args, **kwargs):
        if not isinstance(self, (FileStore, MmapStore)):
            raise TapeTypeError("a DiskStore does not know how to write; make a FileStore or a MmapStore")
        spill_init(&self.spill)
        self.c.free = disk_free
        self.directory = ""

    def __dealloc__(self):
        spill_destroy(&self.spill)

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} holds an open file and cannot be pickled")

    cdef int open(self, directory, limit, bint direct, bint ahead) except -1:
        cdef long long most = -1 if limit is None else parse_bytes(limit, "limit")
        if self.directory:
            raise TapeValueError(f"this {type(self).__name__} is open in {self.directory}; make another one")
        self.directory = as_directory(directory, "directory")
        spill_open(&self.spill, open_unnamed(self.directory), most, direct, ahead)
        return 0

    @property
    def limit(self):
        """Most bytes that the file may have, or None."""
        return None if self.spill.limit < 0 else self.spill.limit

    @property
    def file_bytes(self):
        """The size of the file; 0 once it is closed."""
        cdef long long file_bytes, used_bytes
        spill_sizes(&self.spill, &file_bytes, &used_bytes)
        return file_bytes

    @property
    def used_bytes(self):
        """Bytes of the file in live slots, each rounded up to 4096."""
        cdef long long file_bytes, used_bytes
        spill_sizes(&self.spill, &file_bytes, &used_bytes)
        return used_bytes

    def __repr__(self):
        if self.spill.closed:
            return f"<{type(self).__name__}: closed>"
        return (f"<{type(self).__name__} in {self.directory}: {format_bytes(self.used_bytes)} in use "
                f"of {format_bytes(self.file_bytes)}>")

    def close(self):
        """Forget everything and refuse further use.  It waits for nothing: the space is given back when the last transfer
        that is under way has ended."""
        with nogil:
            spill_close(&self.spill)

    def write(self, data):
        """Keep the bytes of a contiguous buffer; return a slot, an int."""
        cdef Py_buffer view
        cdef long long slot = -1
        cdef int status
        get_buffer(data, &view, PyBUF_SIMPLE, "data")
        size = view.len
        with nogil:
            status = self.c.write(<void *>self, <const char *>view.buf, view.len, &slot)
        PyBuffer_Release(&view)
        if status != STORE_OK:
            raise self.error(status, size, "write")
        return slot

    def read(self, slot, out):
        """Fill a contiguous buffer, as large as what was written to `slot`."""
        cdef Py_buffer view
        cdef long long at = as_slot(slot)
        cdef int status
        cdef bint unknown
        get_buffer(out, &view, PyBUF_WRITABLE, "out")
        size = view.len
        with nogil:
            status = self.c.read(<void *>self, at, <char *>view.buf, view.len)
            unknown = status == EINVAL and not spill_knows(&self.spill, at, view.len)
        PyBuffer_Release(&view)
        if unknown:
            raise TapeValueError(f"slot {slot} holds no {size} bytes: it was freed, or never written, or has another size")
        if status != STORE_OK:
            raise self.error(status, size, "read")

    def free(self, slot):
        """Forget a slot; its part of the file is used again."""
        cdef long long at = as_slot(slot)
        cdef int status
        with nogil:
            status = spill_free(&self.spill, at, -1)
        if status == EINVAL:
            raise TapeValueError(f"slot {slot} holds nothing: it was freed, or never written")
        if status != STORE_OK:
            raise self.error(status, 0, "free")

    def error(self, status, nbytes, operation):
        where = self.directory
        wanted = format_bytes(nbytes)
        elsewhere = "give the tape another directory with add_spill_dir()"
        if status == STORE_CLOSED:
            if lt_pid() != self.spill.pid:
                text = f"the spill file in {where} belongs to the parent process; make a new tape after a fork"
            else:
                text = f"the spill file in {where or 'no directory'} is closed"
            return SpillError(text, directory=where, wanted=nbytes)
        if status == STORE_LIMIT:
            text = (f"the spill file in {where} is at its limit: {wanted} are to be written, "
                    f"{format_bytes(self.used_bytes)} of {format_bytes(self.spill.limit)} are in use; "
                    f"raise spill_limit, or {elsewhere}")
            return SpillError(text, directory=where, wanted=nbytes)
        free = free_bytes(where)
        room = "" if free is None else f" and {format_bytes(free)} are free"
        if status == errno.ENOSPC:
            text = f"no space left in {where}: a slab of {wanted} is to be written{room}; make room, or {elsewhere}"
        elif status == getattr(errno, "EDQUOT", None):
            text = f"the disk quota in {where} is used up: a slab of {wanted} is to be written; make room, or {elsewhere}"
        elif status == errno.EFBIG:
            text = (f"the spill file in {where} may not grow beyond {format_bytes(self.file_bytes)}: a slab of {wanted} "
                    f"is to be written; raise the limit on the size of files (ulimit -f), or {elsewhere}")
        else:
            text = f"a {operation} of {wanted} in {where} failed: {os.strerror(status) if status > 0 else status}"
        return SpillError(text, errno=status if status > 0 else None, directory=where, wanted=nbytes, free=free)


@cython.final
cdef class FileStore(DiskStore):
    """Slabs in a file, written and read by calls.

    Parameters
    ----------
    directory : str or path
        Where the file is made.  It must exist.
    direct : bool
        Past the page cache, where the file system can do that; see the attribute `direct`.
    limit : int, str or None
        Most bytes that the file may take (``"50 GiB"``); ``None`` for what the disk has.

    Raises
    ------
    SpillError
        If no file can be made in `directory`.
    """

    def __cinit__(self, *args, **kwargs):
        self.c.write = file_write
        self.c.read = file_read

    def __init__(self, directory, *, bint direct=True, limit=None, bint _allocate=True):
        # _allocate=False: as on a file system that cannot allocate ahead.  For tests.
        self.open(directory, limit, direct, _allocate)

    @property
    def direct(self):
        """Whether direct I/O is in effect: asked for, opened, and not refused since."""
        return not self.spill.closed and lt_atomic_load(&self.spill.direct) != 0


@cython.final
cdef class MmapStore(DiskStore):
    """Slabs in a file, copied through a map of it, window by window.

    Where a map could kill the process (no blocks to be had in advance, a file system that writes copies elsewhere, a
    kernel before Linux 5.14) or cannot be had, slabs go by calls, as in ``FileStore(directory, direct=False)``.

    Parameters
    ----------
    directory : str or path
        Where the file is made.  It must exist.
    limit : int, str or None
        Most bytes that the file may take (``"50 GiB"``); ``None`` for what the disk has.

    Raises
    ------
    SpillError
        If no file can be made in `directory`.
    """

    def __cinit__(self, *args, **kwargs):
        self.c.write = mmap_write
        self.c.read = mmap_read

    def __init__(self, directory, *, limit=None, bint _allocate=True):
        self.open(directory, limit, False, _allocate)


cdef long long as_slot(slot) except? -1:
    try:
        return operator.index(slot)
    except TypeError:
        raise TapeTypeError(f"a slot is the int that write() returned, not {type(slot).__name__}") from None
    except OverflowError:
        return -1   # which no slot is


cdef int get_buffer(thing, Py_buffer *view, int flags, str name) except -1:
    try:
        PyObject_GetBuffer(thing, view, flags)
    except (BufferError, TypeError) as error:
        raise TapeTypeError(f"{name}: a contiguous{' writable' if flags else ''} buffer is wanted ({error})") from None
    return 0


cdef free_bytes(str directory):
    """What an unprivileged user may still write there, or None where nobody knows."""
    try:
        about = os.statvfs(directory)
    except (OSError, AttributeError):
        return None
    return about.f_bavail * about.f_frsize
