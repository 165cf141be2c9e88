"""The file behind a disk store (see spillfile.pxd), and the file system it lies on."""

from libc.errno cimport EFBIG, EINVAL, ENOMEM
from libc.string cimport memset

from tape.diskio cimport *
from tape.slots cimport *
from tape.spin cimport lt_atomic_load, lt_atomic_store
from tape.store cimport STORE_CLOSED, STORE_LIMIT, STORE_OK
from tape.sync cimport lt_mutex_destroy, lt_mutex_init, lt_mutex_lock, lt_mutex_unlock

import errno
import os
import tempfile

from tape.errors import SpillError

cdef extern from *:
    """
    #if defined(EOPNOTSUPP)
    #define lt_cannot_allocate(status) ((status) == EOPNOTSUPP || (status) == ENOSYS)
    #else
    #define lt_cannot_allocate(status) ((status) == ENOSYS)
    #endif
    """
    bint lt_cannot_allocate(int status) noexcept nogil

cdef enum:
    # The file grows by an eighth, so that growing is rare, but by no more than this ...
    GROW_BYTES = 64 << 20
    # ... and is cut when its free tail is larger than this and than half of the file.
    CUT_BYTES = 64 << 20

cdef long long MOST_BYTES = <long long>1 << 62

# Where a block that is allocated is written in place: ext4, XFS, tmpfs.  Others (btrfs, ZFS) write a copy elsewhere,
# which may find no room, and through a map that is SIGBUS.
cdef unsigned long EXT4 = 0xEF53
cdef unsigned long XFS = 0x58465342
cdef unsigned long TMPFS = 0x01021994
cdef unsigned long RAMFS = 0x858458F6


cdef void spill_init(spill_s *s) noexcept nogil:
    """A closed file, which refuses all."""
    memset(s, 0, sizeof(spill_s))
    lt_mutex_init(&s.lock)
    lt_mutex_init(&s.growth)
    s.fd = -1
    s.direct_fd = -1
    s.pid = lt_pid()
    s.closed = True


cdef void spill_open(spill_s *s, int fd, long long limit, bint direct, bint ahead) noexcept nogil:
    """Take over the descriptor of an empty file.  A negative limit is none."""
    cdef unsigned long kind = lt_file_system(fd)
    s.fd = fd
    s.direct_fd = lt_file_direct(fd) if direct else -1
    lt_atomic_store(&s.direct, s.direct_fd >= 0)
    lt_atomic_store(&s.ahead, ahead)
    s.in_place = kind == EXT4 or kind == XFS or kind == TMPFS
    s.limit = limit
    s.closed = False


cdef void release(spill_s *s) noexcept nogil:
    lt_file_close(s.direct_fd)
    lt_file_close(s.fd)
    s.fd = -1
    s.direct_fd = -1
    slots_clear(&s.slots)


cdef void spill_close(spill_s *s) noexcept nogil:
    """Refuse further use; what is under way ends as it would, and the descriptors with it."""
    cdef bint last
    if lt_pid() != s.pid:
        # In a forked child a lock may be held by a thread that is not there, and this one is the only one.
        if not s.closed:
            s.closed = True
            release(s)
        return
    lt_mutex_lock(&s.lock)
    last = not s.closed and s.users == 0
    s.closed = True
    lt_mutex_unlock(&s.lock)
    if last:
        release(s)


cdef void spill_destroy(spill_s *s) noexcept nogil:
    spill_close(s)
    if lt_pid() == s.pid:
        lt_mutex_destroy(&s.lock)
        lt_mutex_destroy(&s.growth)


cdef void leave(spill_s *s) noexcept nogil:
    """The end of a use; call locked, returns unlocked."""
    cdef bint last
    s.users -= 1
    last = s.closed and s.users == 0
    lt_mutex_unlock(&s.lock)
    if last:
        release(s)


cdef void shrink(spill_s *s) noexcept nogil:
    """Give the free tail of the file back.  Call as a user of the file, unlocked."""
    cdef long long end
    lt_mutex_lock(&s.growth)
    lt_mutex_lock(&s.lock)
    slots_cut(&s.slots)
    end = s.slots.end
    lt_mutex_unlock(&s.lock)
    # If it fails the file is longer than it must be, and that is all.
    lt_file_truncate(s.fd, end)
    lt_mutex_unlock(&s.growth)


cdef bint too_long(spill_s *s) noexcept nogil:
    cdef long long tail = slots_tail(&s.slots)
    return tail > CUT_BYTES and tail > s.slots.end // 2


cdef int lengthen(spill_s *s, long long end, long long need, long long room) noexcept nogil:
    """Make the file longer by `need` or more, `room` at most; called with `growth` held."""
    cdef long long step = min(max(need, min(<long long>GROW_BYTES, end // 8 // SLOT_BYTES * SLOT_BYTES)), room)
    cdef int status
    if lt_atomic_load(&s.ahead):
        status = lt_file_allocate(s.fd, end, step)
        if lt_out_of_room(status):
            # A part of it may be there: give that back first.
            lt_file_truncate(s.fd, end)
            if step > need:
                step = need
                status = lt_file_allocate(s.fd, end, step)
                if lt_out_of_room(status):
                    lt_file_truncate(s.fd, end)
        if lt_cannot_allocate(status):
            lt_atomic_store(&s.ahead, False)
        elif status != 0:
            return status
    if not lt_atomic_load(&s.ahead):
        step = need
        status = lt_file_truncate(s.fd, end + step)
        if status != 0:
            return status
    lt_mutex_lock(&s.lock)
    slots_grow(&s.slots, step)
    lt_mutex_unlock(&s.lock)
    return STORE_OK


cdef int grow(spill_s *s, long long bytes, long long *slot) noexcept nogil:
    """Take a slot from a file that has no part large enough.  Call as a user of the file, unlocked."""
    cdef int status = STORE_OK
    cdef long long end, need, room
    cdef bint closed
    lt_mutex_lock(&s.growth)
    while status == STORE_OK:
        lt_mutex_lock(&s.lock)
        closed = s.closed
        slot[0] = SLOTS_FULL if closed else slots_take(&s.slots, bytes)
        end = s.slots.end
        need = slot_size(bytes) - slots_tail(&s.slots)
        lt_mutex_unlock(&s.lock)
        if slot[0] >= 0:
            break
        if closed:
            status = STORE_CLOSED
        elif slot[0] == SLOTS_NOMEM:
            status = ENOMEM
        else:
            room = (MOST_BYTES if s.limit < 0 else s.limit // SLOT_BYTES * SLOT_BYTES) - end
            if need > room:
                status = EFBIG if s.limit < 0 else STORE_LIMIT
            else:
                # Another thread may take what is added, or the tail it is added to: hence the loop.
                status = lengthen(s, end, need, room)
    lt_mutex_unlock(&s.growth)
    return status


cdef int spill_begin_write(spill_s *s, long long bytes, long long *slot) noexcept nogil:
    """A slot to fill; `spill_end_write` must follow if this returns STORE_OK."""
    cdef int status
    if lt_pid() != s.pid:
        return STORE_CLOSED
    if bytes < 0 or bytes > MOST_BYTES:
        return EFBIG
    lt_mutex_lock(&s.lock)
    if s.closed:
        lt_mutex_unlock(&s.lock)
        return STORE_CLOSED
    s.users += 1
    slot[0] = slots_take(&s.slots, bytes)
    lt_mutex_unlock(&s.lock)
    if slot[0] >= 0:
        return STORE_OK
    status = ENOMEM if slot[0] == SLOTS_NOMEM else grow(s, bytes, slot)
    if status != STORE_OK:
        lt_mutex_lock(&s.lock)
        leave(s)
    return status


cdef int spill_end_write(spill_s *s, long long slot, int status) noexcept nogil:
    """The slot is filled, or, if `status` says so, given back; returns what the write returns."""
    cdef extent_s *found
    cdef bint cut = False
    lt_mutex_lock(&s.lock)
    if s.closed:
        status = STORE_CLOSED
    else:
        found = slots_find(&s.slots, slot)
        found.pins = 0
        if status != STORE_OK:
            slots_give(&s.slots, found)
            # Without allocation the new end of the file was a claim, and what was written of it may have filled the disk.
            cut = not lt_atomic_load(&s.ahead) or too_long(s)
    if cut:
        lt_mutex_unlock(&s.lock)
        shrink(s)
        lt_mutex_lock(&s.lock)
    leave(s)
    return status


cdef int spill_begin_read(spill_s *s, long long slot, long long bytes) noexcept nogil:
    """Hold a slot of that size until `spill_end_read`, which must follow if this returns STORE_OK."""
    cdef extent_s *found
    cdef int status = STORE_OK
    if lt_pid() != s.pid:
        return STORE_CLOSED
    lt_mutex_lock(&s.lock)
    if s.closed:
        status = STORE_CLOSED
    else:
        found = slots_find(&s.slots, slot)
        if found == NULL or found.pins == SLOT_WRITING or found.doomed or found.bytes != bytes:
            status = EINVAL
        else:
            found.pins += 1
            s.users += 1
    lt_mutex_unlock(&s.lock)
    return status


cdef void give(spill_s *s, extent_s *slot) noexcept nogil:
    """Give a slot back, and cut the file if that makes it far too long.  Call locked, as a user; returns locked."""
    slots_give(&s.slots, slot)
    if too_long(s):
        lt_mutex_unlock(&s.lock)
        shrink(s)
        lt_mutex_lock(&s.lock)


cdef void spill_end_read(spill_s *s, long long slot) noexcept nogil:
    cdef extent_s *found
    lt_mutex_lock(&s.lock)
    if not s.closed:
        found = slots_find(&s.slots, slot)
        found.pins -= 1
        if found.doomed and found.pins == 0:
            give(s, found)
    leave(s)


cdef int spill_free(spill_s *s, long long slot, long long bytes) noexcept nogil:
    """Forget a slot; one that is being read goes when that ends.  Negative `bytes` are not looked at."""
    cdef extent_s *found
    if lt_pid() != s.pid:
        return STORE_CLOSED
    lt_mutex_lock(&s.lock)
    if s.closed:
        lt_mutex_unlock(&s.lock)
        return STORE_CLOSED
    found = slots_find(&s.slots, slot)
    if found == NULL or found.pins == SLOT_WRITING or found.doomed or (bytes >= 0 and found.bytes != bytes):
        lt_mutex_unlock(&s.lock)
        return EINVAL
    s.users += 1
    if found.pins:
        found.doomed = True
    else:
        give(s, found)
    leave(s)
    return STORE_OK


cdef bint spill_knows(spill_s *s, long long slot, long long bytes) noexcept nogil:
    """Whether a slot can be read into `bytes`."""
    cdef int status = spill_begin_read(s, slot, bytes)
    if status == STORE_OK:
        spill_end_read(s, slot)
    return status == STORE_OK


cdef void spill_sizes(spill_s *s, long long *file_bytes, long long *used_bytes) noexcept nogil:
    file_bytes[0] = 0
    used_bytes[0] = 0
    if lt_pid() != s.pid:
        return
    lt_mutex_lock(&s.lock)
    if not s.closed:
        file_bytes[0] = s.slots.end
        used_bytes[0] = s.slots.used
    lt_mutex_unlock(&s.lock)


def open_unnamed(str directory):
    """The descriptor of a new file that has no name, mode 0600; `SpillError` if none can be made there."""
    try:
        return try_open(directory)
    except OSError as error:
        raise SpillError(
            f"cannot spill to {directory}: {error.strerror}; name a directory that exists and is writable",
            errno=error.errno, directory=directory,
        ) from error


def try_open(str directory):
    if not lt_disk_works:
        raise OSError(errno.ENOSYS, "tapes do not spill to disk on this system")
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            pass  # not every file system can; what is wrong with the directory itself shows below
    fd, name = tempfile.mkstemp(prefix="layered-tape-", dir=directory)
    try:
        os.unlink(name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_ram_backed(path):
    """Whether `path` lies on a file system that is itself memory (tmpfs, ramfs).  False where it cannot be told."""
    cdef unsigned long kind
    if not lt_disk_works:
        return False
    try:
        fd = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
    except OSError:
        return False
    kind = lt_file_system(fd)
    os.close(fd)
    return kind == TMPFS or kind == RAMFS
