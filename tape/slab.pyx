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
    #if defined(__GNUC__)
        return 63 - __builtin_clzll(n);
    #else
        int k = 0;
        while (n >>= 1) k++;
        return k;
    #endif
    }
    /* To AddressSanitizer a free slab is no memory, as if it had been freed. */
    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #define lt_close(p, bytes) __asan_poison_memory_region((p), (bytes))
    #define lt_open(p, bytes) __asan_unpoison_memory_region((p), (bytes))
    #else
    #define lt_close(p, bytes) ((void)0)
    #define lt_open(p, bytes) ((void)0)
    #endif
    """
    void *lt_alloc(size_t bytes) noexcept nogil
    void lt_release(void *p) noexcept nogil
    int lt_atfork(void (*before)() noexcept nogil, void (*after)() noexcept nogil) noexcept nogil
    void lt_populate(void *p, size_t bytes) noexcept nogil
    int lt_log2(size_t n) noexcept nogil
    void lt_close(void *p, size_t bytes) noexcept nogil
    void lt_open(void *p, size_t bytes) noexcept nogil

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
        lt_open(slab.data, slab.bytes)
        lt_release(slab.data)
        free(slab)
        slab = following


# ------------------------------------------------------------------------------- free slabs; call these locked


cdef int class_of(size_t bytes) noexcept nogil:
    """Eight classes for each power of two: those of one class differ by less than an eighth."""
    cdef int k = lt_log2(bytes)
    return 8 * k + ((bytes >> (k - 3)) & 7)


cdef void link(pool_s *pool, slab_s *slab) noexcept nogil:
    cdef slab_s **head = &pool.free[class_of(slab.bytes)]
    slab.prev = NULL
    slab.next = head[0]
    if head[0] != NULL:
        head[0].prev = slab
    head[0] = slab
    slab.newer = NULL
    slab.older = pool.newest
    if pool.newest != NULL:
        pool.newest.newer = slab
    else:
        pool.oldest = slab
    pool.newest = slab
    pool.free_bytes += slab.bytes
    pool.free_slabs += 1


cdef void unlink(pool_s *pool, slab_s *slab) noexcept nogil:
    if slab.prev != NULL:
        slab.prev.next = slab.next
    else:
        pool.free[class_of(slab.bytes)] = slab.next
    if slab.next != NULL:
        slab.next.prev = slab.prev
    if slab.older != NULL:
        slab.older.newer = slab.newer
    else:
        pool.oldest = slab.newer
    if slab.newer != NULL:
        slab.newer.older = slab.older
    else:
        pool.newest = slab.older
    pool.free_bytes -= slab.bytes
    pool.free_slabs -= 1


cdef slab_s *unlink_free(pool_s *pool, size_t bytes, bint exact) noexcept nogil:
    """A free slab of `bytes`, or if not `exact` of less than four times that; NULL if there is none."""
    cdef int k = class_of(bytes)
    cdef int last = k if exact else min(k + 15, SIZE_CLASSES - 1)
    cdef slab_s *slab
    while k <= last:
        slab = pool.free[k]
        while slab != NULL:
            if slab.bytes == bytes or (slab.bytes > bytes and not exact):
                unlink(pool, slab)
                return slab
            slab = slab.next
        k += 1
    return NULL


cdef slab_s *unlink_excess(pool_s *pool, size_t keep) noexcept nogil:
    """A chain of free slabs whose leaving brings the free bytes down to `keep`: those that nobody wanted for longest.

    By size instead, a size that is never asked for again could stay and those in use leave at every call.
    """
    cdef slab_s *chain = NULL
    cdef slab_s *slab
    while pool.free_bytes > keep:
        slab = pool.oldest
        unlink(pool, slab)
        slab.next = chain
        chain = slab
    return chain


cdef void count(pool_s *pool, bint array, size_t bytes, size_t slabs) noexcept nogil:
    if array:
        pool.array_bytes += bytes
        pool.arrays += slabs
        return
    pool.used_bytes += bytes
    pool.used_slabs += slabs
    if pool.used_bytes > pool.high_bytes:
        pool.high_bytes = pool.used_bytes


cdef void uncount(pool_s *pool, bint array, size_t bytes, size_t slabs) noexcept nogil:
    if array:
        pool.array_bytes -= bytes
        pool.arrays -= slabs
        return
    pool.used_bytes -= bytes
    pool.used_slabs -= slabs


cdef size_t room_below_limit(pool_s *pool) noexcept nogil:
    return pool.limit - pool.used_bytes if pool.used_bytes < pool.limit else 0


# ---------------------------------------------------------------------------------------------- taking and giving


cdef slab_s *take(pool_s *pool, size_t bytes, bint populate, bint exact, bint array) noexcept nogil:
    """What `pool_take` gives.  An array is counted apart and has no limit, since it may be the program's for ever."""
    cdef slab_s *slab
    cdef slab_s *excess = NULL
    if bytes > SIZE_MAX // 2 or bytes == 0:
        return NULL
    bytes = (bytes + 63) & ~<size_t>63
    lock_pools()
    slab = unlink_free(pool, bytes, exact)
    if slab != NULL:
        pool.recycled += 1
        count(pool, array, slab.bytes, 1)
        unlock_pools()
        lt_open(slab.data, slab.bytes)
        return slab
    if not array:
        if bytes > room_below_limit(pool):
            unlock_pools()
            return NULL
        excess = unlink_excess(pool, room_below_limit(pool) - bytes)
    # Accounted before it is there: the allocation below runs unlocked.
    pool.allocations += 1
    count(pool, array, bytes, 1)
    unlock_pools()
    slabs_free(excess)
    slab = slab_new(bytes)
    if slab == NULL:
        pool_trim(pool, 0)
        slab = slab_new(bytes)
    if slab == NULL:
        lock_pools()
        uncount(pool, array, bytes, 1)
        pool.allocations -= 1
        unlock_pools()
    elif populate:
        lt_populate(slab.data, bytes)
    return slab


cdef void give(pool_s *pool, slab_s *slab, bint array) noexcept nogil:
    cdef slab_s *excess
    lt_close(slab.data, slab.bytes)
    lock_pools()
    uncount(pool, array, slab.bytes, 1)
    link(pool, slab)
    excess = unlink_excess(pool, min(pool.retain, room_below_limit(pool)))
    unlock_pools()
    slabs_free(excess)


cdef slab_s *pool_take(pool_s *pool, size_t bytes, bint populate, bint exact) noexcept nogil:
    """A slab of at least `bytes` (or exactly so many), or NULL if the limit or the machine says no.

    `populate`: all of it will be written, so a new one may have its pages faulted in at once.
    """
    return take(pool, bytes, populate, exact, False)


cdef void pool_give(pool_s *pool, slab_s *slab) noexcept nogil:
    """Take `slab` back."""
    give(pool, slab, False)


cdef void *pool_take_array(size_t bytes) noexcept nogil:
    """Memory for an array of compiled code, of the shared pool; NULL if there is none.

    It lies `ARRAY_LEAD` bytes behind a multiple of 64: behind the 48 bytes that Numba puts first, the items lie on one.
    Arrays that all begin at the same place of a page get into each other's way in the caches (gradients of stencils took
    5 to 7 % longer), so each slab has a place of its own: a hash of its address, by the golden ratio.
    Sizes are rounded up to an eighth of a power of two, and only slabs of that very size are taken: calls that make the
    same arrays find all of them again, whatever the order.  What lies beyond the array is not touched.
    """
    cdef size_t size, step, places, hashed
    cdef slab_s *slab
    cdef char *memory
    if bytes > SIZE_MAX // 4:
        return NULL
    size = bytes + ARRAY_LEAD
    step = max(<size_t>1 << lt_log2(size | 512) >> 3, <size_t>64)
    places = min(step, <size_t>4096) // 64
    size = (size + (places - 1) * 64 + step - 1) & ~(step - 1)
    slab = take(&shared_pool, size, False, True, True)
    if slab == NULL:
        return NULL
    hashed = (<size_t>slab.data >> 6) * <size_t>0x9E3779B97F4A7C15 >> 32
    memory = slab.data + (hashed * places >> 32) * 64 + ARRAY_LEAD
    (<slab_s **>(memory - ARRAY_LEAD))[0] = slab
    return memory


cdef void pool_give_array(void *memory) noexcept nogil:
    """Take the memory of an array back."""
    if memory != NULL:
        give(&shared_pool, (<slab_s **>(<char *>memory - ARRAY_LEAD))[0], True)


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

    That of `default_pool` also serves the arrays that the functions generated by `ad` make, a slab for each, results
    among them.  These are counted apart, and `limit` does not refuse them.

    Parameters
    ----------
    limit : int, str or None
        Most bytes that slabs of tapes and free slabs may take together (``"2 GiB"``); ``None`` for no limit.
        A tape that would pass it raises `TapeMemoryError`.
    retain : int, str or None
        Most bytes of *free* slabs that are kept for the next tape or array; what is over goes back to the operating
        system, those first that were not used for longest.  ``None`` keeps all.  Fresh pages cost several times what a
        push into a recycled slab costs.

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
        cdef str arrays = f"{self.pool.arrays} arrays ({self.pool.array_bytes} bytes), " if self.pool.arrays else ""
        return (f"<SlabPool: {self.pool.used_slabs} slabs ({self.pool.used_bytes} bytes) in use, {arrays}"
                f"{self.pool.free_slabs} ({self.pool.free_bytes} bytes) free{limit}>")

    @property
    def limit(self):
        """Most bytes of slabs, those of tapes and free ones together, or None.  May be set at any time; one below what is
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
            arrays=now.arrays, array_bytes=now.array_bytes,
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
