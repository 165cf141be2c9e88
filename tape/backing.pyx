"""What a `Tape` with a memory budget has beside its struct (see backing.pxd)."""

cimport cython
from cpython.ref cimport Py_INCREF

from tape.budget cimport Budget
from tape.layers cimport layers_add_store, layers_carried, layers_free, layers_new, layers_snapshot
from tape.residency cimport STORE_FOREIGN, fault_s, store_ref_s, traffic_s
from tape.slab cimport SlabPool
from tape.stack cimport FIRST_SLAB_BYTES, INLINE_BYTES, PAGE, TAPE_OK
from tape.store cimport STORE_CORRUPT, Store

from _thread import start_new_thread

from tape.errors import (
    SpillCorruptionError,
    SpillError,
    TapeClosedError,
    TapeMemoryError,
    TapeTypeError,
    TapeValueError,
)
from tape.places import open_store
from tape.stats import LayerStats


cdef enum:
    # By measurement (benchmarks/spill_sizes.py): 4 MiB are written 1.1 and read 1.3 times as fast as 1 MiB, and 16 MiB
    # hardly faster, while a budget of few slabs leaves little to read ahead into.
    MOST_SLAB_BYTES = 4 << 20
    LEAST_SLABS = 32


cdef size_t pages(size_t bytes) noexcept:
    return (bytes + PAGE - 1) // PAGE * PAGE


cdef size_t slab_for(size_t limit, size_t itemsize, size_t wish) noexcept:
    """The slab size: `wish`, or if that is 0 a share of the budget; whole pages, and an item at least."""
    cdef size_t slab = wish
    if wish == 0:
        slab = MOST_SLAB_BYTES
        while slab > FIRST_SLAB_BYTES and slab > limit // LEAST_SLABS:
            slab //= 2
    return pages(slab if slab > itemsize else itemsize)


cdef size_t least_memory(size_t slab) noexcept:
    """What a tape needs: the inline buffer, the first, small slabs, and four: one in use, one spare, one each way."""
    cdef size_t small = FIRST_SLAB_BYTES, least = INLINE_BYTES
    while small < slab:
        least += small
        small *= 4
    return least + 4 * slab


@cython.final
@cython.no_gc_clear     # the threads use the stores until the tape has ended
cdef class Backing:
    """Made by `Tape`."""

    def __cinit__(
        self, memory, size_t itemsize, size_t slab_bytes, SlabPool pool, bint prefetch, place, spill_limit, compress
    ):
        cdef size_t least
        self.stores = self.own = ()
        self.itemsize = itemsize
        self.pool = pool
        self.budget = memory if isinstance(memory, Budget) else Budget(memory)
        self.slab_bytes = slab_for(self.budget.b.limit, itemsize, slab_bytes)
        least = least_memory(self.slab_bytes)
        if self.budget.b.limit < least:
            raise TapeValueError(
                f"memory: {self.budget.b.limit} bytes; a tape whose slabs have {self.slab_bytes} bytes needs at least "
                f"{least}" + (" (less with a smaller slab_bytes)" if slab_bytes != 0 else "")
            )
        first = self.open(place, spill_limit, compress)
        self.layers = layers_new(&self.budget.b, pool.pool, self.slab_bytes, prefetch)
        if self.layers == NULL:
            raise TapeMemoryError("no memory for a tape")
        self.hand_over(first)

    def open(self, place, spill_limit, compress):
        """One more store, not known to the layers yet."""
        if isinstance(place, Store):
            if spill_limit is not None:
                raise TapeTypeError("spill_limit: the limit of a given Store is its own")
            if compress is not None:
                raise TapeTypeError("compress: wrap a given Store yourself: tape.compress.CompressedStore(store)")
            self.stores += (place,)
            return place
        store = open_store(place, spill_limit, compress, self.itemsize)
        self.stores += (store,)
        # The file itself: the collector may clear what is written in Python around it before the tape that closes it.
        self.own += (store if compress is None else store.inner,)
        return store

    def hand_over(self, Store store not None):
        cdef store_ref_s ref
        if self.layers == NULL:     # another thread closed the tape while the store was opened
            raise TapeClosedError("the tape is closed")
        ref.call = store.c
        ref.object = <void *>store
        if layers_add_store(self.layers, ref) != TAPE_OK:
            raise TapeValueError("the tape has as many spill directories as it can have")

    cdef int add(self, place, spill_limit, compress) except -1:
        """One more place for slabs, tried when those before it refuse."""
        self.hand_over(self.open(place, spill_limit, compress))
        return 0

    cdef object error(self):
        """The error for the last slab that could not be moved; None where there was none."""
        cdef fault_s fault
        layers_snapshot(self.layers, NULL, &fault)
        if fault.status == 0:
            return None
        if fault.status == STORE_FOREIGN:
            return SpillError(
                "this process was forked from the one that spilled the tape: what was spilled stays the parent's, and "
                "nothing more can be spilled here"
            )
        store = next((s for s in self.stores if <size_t><void *>s == <size_t>fault.store), None)
        if fault.status == STORE_CORRUPT:
            return SpillCorruptionError(
                f"slab {fault.slab} of the tape (from item {fault.offset // self.itemsize}, {fault.bytes} bytes) did not "
                f"come back from {store!r} as it was written: its checksum differs. It and what lies below it cannot be "
                "popped"
            )
        if store is None:
            return SpillError(f"the store of another tape of the same budget failed (status {fault.status})")
        return store.error(fault.status, fault.bytes, "read" if fault.reading else "write")

    cdef size_t spare(self):
        """Bytes of the slab that the layers keep for the next growth."""
        cdef traffic_s now
        cdef fault_s fault
        layers_snapshot(self.layers, &now, &fault)
        return now.spare

    cdef object traffic(self):
        cdef traffic_s now
        cdef fault_s fault
        layers_snapshot(self.layers, &now, &fault)
        return LayerStats(
            bytes=now.length, resident_bytes=now.resident, spilled_bytes=now.spilled, budget_bytes=self.budget.memory,
            file_bytes=sum(getattr(store, "file_bytes", 0) for store in self.stores),
            bytes_written=now.written, bytes_read=now.read,
            write_stalls=now.write_stalls, write_stall_seconds=now.write_stall_seconds,
            read_stalls=now.read_stalls, read_stall_seconds=now.read_stall_seconds,
            prefetch_hits=now.hits, prefetch_misses=now.misses,
            write_seconds=now.write_seconds, read_seconds=now.read_seconds,
        )

    cdef int close(self) except -1:
        """After the tape was closed: close the stores that were opened for it."""
        own, self.own = self.own, ()
        self.stores = ()
        self.layers = NULL
        for store in own:
            store.close()
        return 0

    cdef bint carried(self):
        """Whether this thread is in a store for a tape of the same budget; to wait for its transfers is to wait for itself."""
        return layers_carried(self.layers)

    cdef int end(self) except -1:
        """The end of a tape that was not closed."""
        if not self.carried():
            self.finish()
            return 0
        # The collector came by in a thread that carries a slab for this budget, perhaps for this very tape.
        try:
            start_new_thread(self.finish, ())
        except RuntimeError:
            Py_INCREF(self)     # the interpreter is at its end, and so are all its threads
        return 0

    def finish(self):
        """Wait for the last transfer, and close."""
        layers_free(self.layers)
        self.close()
