"""Slabs, and the pool they come from and go back to (see slab.pxd)."""

from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from tape.spin cimport lt_atomic_t, lt_spin_lock, lt_spin_unlock

from tape.errors import TapeValueError
from tape.sizes import parse_bytes
from tape.stats import PoolStats

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(_WIN32)
    #include <malloc.h>
    #define lt_alloc(bytes) _aligned_malloc((bytes), 64)
    #define lt_release(p) _aligned_free(p)
    #define lt_atfork(before, after) 0
    #else
    #include <pthread.h>
    #include <stdint.h>
    #include <sys/mman.h>
    /* Whole pages for what may be written to disk past the page cache. */
    static inline void *lt_alloc(size_t bytes) {
        void *p = NULL;
        return posix_memalign(&p, bytes < 65536 ? 64 : 4096, bytes) == 0 ? p : NULL;
    }
    #define lt_release(p) free(p)
    #define lt_atfork(before, after) pthread_atfork((before), (after), (after))
    #endif
    /* Fault fresh pages in with one call instead of one trap each: 3.1 against 3.6 ns a value.  A kernel that cannot
       (Linux before 5.14) says so and nothing is lost. */
    static inline void lt_populate(void *p, size_t bytes) {
    #if defined(__linux__)
        uintptr_t page = 4096, first = ((uintptr_t)p + page - 1) & ~(page - 1);
        uintptr_t last = ((uintptr_t)p + bytes) & ~(page - 1);
        if (last > first) (void)madvise((void *)first, last - first, 23 /* MADV_POPULATE_WRITE */);
    #else
        (void)p; (void)bytes;
    #endif
    }
    static inline int lt_log2(size_t n) {
        int k = 0;
        while (n >>= 1) k++;
        return k;
    }
    """
    void *lt_alloc(size_t bytes) noexcept nogil
    void lt_release(void *p) noexcept nogil
    int lt_atfork(void (*before)() noexcept nogil, void (*after)() noexcept nogil) noexcept nogil
    void lt_populate(void *p, size_t bytes) noexcept nogil
    int lt_log2(size_t n) noexcept nogil

# One lock for the free lists of all pools: it is taken once a slab, for a few instructions, and being the only
# one it can be held across a fork, so that a child never inherits it locked.
cdef lt_atomic_t pools_lock = 0
cdef pool_s shared_pool


cdef void lock_pools() noexcept nogil:
    lt_spin_lock(&pools_lock)


cdef void unlock_pools() noexcept nogil:
    lt_spin_unlock(&pools_lock)


cdef pool_s *pool_default() noexcept nogil:
    return &shared_pool


cdef void pool_init(pool_s *pool, size_t limit, size_t retain) noexcept nogil:
    memset(pool, 0, sizeof(pool_s))
    pool.limit = limit
    pool.retain = retain


cdef slab_s *slab_new(size_t bytes) noexcept nogil:
    cdef slab_s *slab = <slab_s *>malloc(sizeof(slab_s))
    if slab == NULL:
        return NULL
    slab.data = <char *>lt_alloc(bytes)
    if slab.data == NULL:
        free(slab)
        return NULL
    slab.bytes = bytes
    return slab


cdef void slabs_free(slab_s *slab) noexcept nogil:
    cdef slab_s *following
    while slab != NULL:
        following = slab.next
        lt_release(slab.data)
        free(slab)
        slab = following


cdef slab_s *unlink_free(pool_s *pool, size_t bytes, bint exact) noexcept nogil:
    """A free slab of `bytes`, or if not `exact` of less than four times that; NULL if there is none.  Call locked."""
    cdef int k = lt_log2(bytes)
    cdef int last = k + 1 if k + 1 < SIZE_CLASSES and not exact else k
    cdef slab_s **link
    cdef slab_s *slab
    while k <= last:
        link = &pool.free[k]
        while link[0] != NULL:
            slab = link[0]
            if slab.bytes == bytes or (slab.bytes > bytes and not exact):
                link[0] = slab.next
                pool.free_bytes -= slab.bytes
                pool.free_slabs -= 1
                return slab
            link = &slab.next
        k += 1
    return NULL


cdef slab_s *unlink_excess(pool_s *pool, size_t keep) noexcept nogil:
    """A chain of free slabs, largest first, whose leaving brings the free bytes down to `keep`.  Call locked."""
    cdef slab_s *chain = NULL
    cdef slab_s *slab
    cdef int k = SIZE_CLASSES - 1
    while pool.free_bytes > keep and k >= 0:
        slab = pool.free[k]
        if slab == NULL:
            k -= 1
            continue
        pool.free[k] = slab.next
        pool.free_bytes -= slab.bytes
        pool.free_slabs -= 1
        slab.next = chain
        chain = slab
    return chain


cdef slab_s *pool_take(pool_s *pool, size_t bytes, bint populate, bint exact) noexcept nogil:
    """A slab of at least `bytes` (or exactly so many), or NULL if the limit or the machine says no.

    `populate`: all of it will be written, so a new one may have its pages faulted in at once.
    """
    cdef slab_s *slab
    cdef slab_s *excess = NULL
    if bytes > SIZE_MAX // 2 or bytes == 0:
        return NULL
    bytes = (bytes + 63) & ~<size_t>63
    lock_pools()
    slab = unlink_free(pool, bytes, exact)
    if slab != NULL:
        pool.recycled += 1
    else:
        if bytes > pool.limit or pool.used_bytes > pool.limit - bytes:
            unlock_pools()
            return NULL
        if pool.free_bytes > pool.limit - bytes - pool.used_bytes:
            excess = unlink_excess(pool, pool.limit - bytes - pool.used_bytes)
        # Accounted before it is there: the allocation below runs unlocked.
        pool.allocations += 1
    pool.used_bytes += bytes if slab == NULL else slab.bytes
    pool.used_slabs += 1
    if pool.used_bytes > pool.high_bytes:
        pool.high_bytes = pool.used_bytes
    unlock_pools()
    if slab != NULL:
        return slab
    slabs_free(excess)
    slab = slab_new(bytes)
    if slab == NULL:
        pool_trim(pool, 0)
        slab = slab_new(bytes)
    if slab == NULL:
        lock_pools()
        pool.used_bytes -= bytes
        pool.used_slabs -= 1
        pool.allocations -= 1
        unlock_pools()
    elif populate:
        lt_populate(slab.data, bytes)
    return slab


cdef void pool_give(pool_s *pool, slab_s *slab) noexcept nogil:
    """Take `slab` back."""
    cdef slab_s *excess
    cdef int k = lt_log2(slab.bytes)
    lock_pools()
    pool.used_bytes -= slab.bytes
    pool.used_slabs -= 1
    slab.next = pool.free[k]
    pool.free[k] = slab
    pool.free_bytes += slab.bytes
    pool.free_slabs += 1
    excess = unlink_excess(pool, pool.retain)
    unlock_pools()
    slabs_free(excess)


cdef char *pool_take_memory(pool_s *pool, size_t bytes) noexcept nogil:
    """The memory alone of a slab of exactly `bytes` (a multiple of 64), or NULL."""
    cdef slab_s *slab = pool_take(pool, bytes, False, True)
    cdef char *data
    if slab == NULL:
        return NULL
    data = slab.data
    free(slab)
    return data


cdef void pool_give_memory(pool_s *pool, char *data, size_t bytes) noexcept nogil:
    """Take memory back whose node stays elsewhere."""
    cdef slab_s *shell = <slab_s *>malloc(sizeof(slab_s))
    if shell != NULL:
        shell.data = data
        shell.bytes = bytes
        pool_give(pool, shell)
        return
    lt_release(data)
    lock_pools()
    pool.used_bytes -= bytes
    pool.used_slabs -= 1
    unlock_pools()


cdef void pool_trim(pool_s *pool, size_t keep) noexcept nogil:
    """Give free slabs back to the operating system until at most `keep` bytes of them are left."""
    cdef slab_s *excess
    lock_pools()
    excess = unlink_excess(pool, keep)
    unlock_pools()
    slabs_free(excess)


cdef size_t size_or_all(size, str name) except? 0:
    return SIZE_MAX if size is None else parse_bytes(size, name)


cdef class SlabPool:
    """A pool of slabs that tapes share.

    Parameters
    ----------
    limit : int, str or None
        Most bytes that slabs in use and free slabs may take together (``"2 GiB"``); ``None`` for no limit.
        A tape that would pass it raises `TapeMemoryError`.
    retain : int, str or None
        Most bytes of *free* slabs that are kept for the next tape; what is over goes back to the operating
        system.  ``None`` keeps all.  Fresh pages cost several times what a push into a recycled slab costs.

    Raises
    ------
    TapeValueError
        If a size is negative or cannot be read.
    """

    def __cinit__(self, limit=None, retain="1 GiB"):
        pool_init(&self.own, size_or_all(limit, "limit"), size_or_all(retain, "retain"))
        self.pool = &self.own

    def __dealloc__(self):
        if self.pool == &self.own:
            pool_trim(self.pool, 0)

    def __reduce__(self):
        raise TypeError("a SlabPool holds memory of this process and cannot be pickled")

    def __repr__(self):
        cdef str limit = "" if self.pool.limit == SIZE_MAX else f", limit {self.pool.limit} bytes"
        return (f"<SlabPool: {self.pool.used_slabs} slabs ({self.pool.used_bytes} bytes) in use, "
                f"{self.pool.free_slabs} ({self.pool.free_bytes} bytes) free{limit}>")

    @property
    def limit(self):
        """Most bytes of slabs, in use and free together, or None.  May be set at any time; one below what is
        in use stops further growth and takes nothing away."""
        return None if self.pool.limit == SIZE_MAX else self.pool.limit

    @limit.setter
    def limit(self, value):
        self.pool.limit = size_or_all(value, "limit")

    @property
    def retain(self):
        """Most bytes of free slabs that are kept, or None for all."""
        return None if self.pool.retain == SIZE_MAX else self.pool.retain

    @retain.setter
    def retain(self, value):
        self.pool.retain = size_or_all(value, "retain")
        pool_trim(self.pool, self.pool.retain)

    def trim(self, keep=0):
        """Give free slabs back to the operating system until at most `keep` bytes (int or str) of them are left."""
        pool_trim(self.pool, parse_bytes(keep, "keep"))

    def stats(self):
        """A `PoolStats` snapshot of the pool."""
        cdef pool_s now
        lock_pools()
        now = self.pool[0]
        unlock_pools()
        return PoolStats(
            used_slabs=now.used_slabs, used_bytes=now.used_bytes,
            free_slabs=now.free_slabs, free_bytes=now.free_bytes,
            high_bytes=now.high_bytes, allocations=now.allocations, recycled=now.recycled,
            limit=None if now.limit == SIZE_MAX else now.limit,
            retain=None if now.retain == SIZE_MAX else now.retain,
        )


cdef SlabPool shared = SlabPool.__new__(SlabPool)
shared.pool = &shared_pool
pool_init(&shared_pool, SIZE_MAX, <size_t>1 << 30)
if lt_atfork(lock_pools, unlock_pools) != 0:
    raise MemoryError("no memory for the fork handlers of the slab pool")


def default_pool():
    """The `SlabPool` of every tape that is not given another."""
    return shared
