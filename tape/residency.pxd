"""Who is in memory: the full-sized slabs of tapes with a memory budget, and what to evict, write and read next.

A tape pops the newest item first, so of its slabs the oldest is needed last: evicting that one is optimal (Belady 1966),
and of several tapes that share a budget, the slab that lies furthest below the top of its own.  Slabs that were
read for looking (indexing, iterating) are the exception: of them the least recently used goes first.

Everything here is called with the budget's lock held, and calls neither stores nor Python.
"""

from tape.slab cimport pool_s, slab_s
from tape.store cimport store_s
from tape.sync cimport lt_cond_t, lt_mutex_t

cdef enum:
    MAX_STORES = 16
    STORE_FOREIGN = -11     # the store is the parent process's

cdef struct store_ref_s:
    store_s call
    void *object

cdef struct fault_s:
    # What went wrong last; of a tape, with what its own thread asked for.
    int status          # of the store contract, or STORE_FOREIGN
    void *store         # its object
    bint reading
    size_t bytes
    size_t slab         # number of the slab, from the oldest
    size_t offset       # bytes of items below it

cdef struct slot_s:
    # A slot to be freed.
    layers_s *layers
    int store
    long long slot
    size_t bytes
    slot_s *next

cdef struct traffic_s:
    size_t length           # bytes of items below the current slab
    size_t resident         # bytes of memory that the tape holds
    size_t spilled          # bytes of slabs that are in the store only
    size_t spare            # of what is resident, the empty slab that is kept
    size_t written
    size_t read
    size_t write_stalls     # times that the tape waited for memory
    double write_stall_seconds
    size_t read_stalls      # ... or for a slab
    double read_stall_seconds
    size_t hits             # slabs that were there, or on their way, before they were asked for
    size_t misses
    double write_seconds    # in which at least one transfer was under way
    double read_seconds

cdef struct layers_s:
    # One tape with a budget.
    budget_s *budget
    layers_s *next
    pool_s *pool
    size_t slab_bytes
    slab_s **slabs          # full-sized slabs, oldest first; the last one is the tape's current
    size_t count
    size_t capacity
    size_t low              # below it no slab is in memory, but for browsed ones
    slab_s *held            # looked at last: stays until the next look
    slab_s *spare           # empty, kept for the next growth
    store_ref_s stores[MAX_STORES]
    int store_count
    size_t in_flight        # transfers of its slabs and slots under way
    int writing             # ... of them writes, reads
    int reading
    double writing_since
    double reading_since
    bint blocked            # a write failed: no more until somebody needs memory
    bint rising             # the cursor went up last
    bint prefetch
    bint foreign            # this is a child process, and the stores are its parent's
    size_t inherited        # memory that came with the fork: the parent pays for it
    double popped_at        # when the cursor last came down a slab, 0 if it rose since
    double pop_seconds      # a slab's worth of popping takes, running mean
    double fetch_seconds    # a slab's read takes, running mean
    size_t looked           # index of the slab looked at last
    int look_move           # +1 or -1 if that was beside the one before, else 0
    int look_step           # the same if looking goes slab by slab in one direction, else 0
    fault_s fault
    traffic_s traffic

cdef struct budget_s:
    lt_mutex_t lock
    lt_cond_t to_write      # for the background threads
    lt_cond_t to_read
    lt_cond_t progress      # for who waits for them
    size_t limit
    size_t used             # memory of all tapes on this budget, in flight included
    size_t high             # most of it so far
    size_t clean            # of it in slabs that lie in a store too
    size_t writing          # ... or will soon
    size_t reading          # ... on its way back
    size_t browsed          # ... read for looking
    size_t largest          # slab size of any tape so far
    layers_s *tapes
    slab_s *newest          # browsed slabs by last use
    slab_s *oldest
    slab_s *wanted          # slabs to be read that somebody waits for
    slot_s *garbage
    size_t waiting          # threads that wait for memory
    size_t failures         # writes that failed so far
    double signals_at       # when a waiting thread last looked for Ctrl-C
    int writers             # background threads
    int readers
    bint no_threads         # none could be started: whoever needs a transfer makes it
    bint stop
    budget_s *next          # among all budgets of the process
    fault_s fault           # the last failed write

cdef size_t short_of(const budget_s *b) noexcept nogil
cdef slab_s *next_victim(budget_s *b, bint looking) noexcept nogil
cdef slab_s *next_to_write(budget_s *b) noexcept nogil
cdef slab_s *next_to_read(budget_s *b) noexcept nogil
cdef bint wants_reads(const layers_s *l) noexcept nogil
cdef void count_memory(layers_s *l, ptrdiff_t bytes) noexcept nogil
cdef void set_browsed(layers_s *l, slab_s *slab, bint browsed) noexcept nogil
cdef void forget_slot(layers_s *l, slab_s *slab) noexcept nogil
cdef void leave_memory(layers_s *l, slab_s *slab) noexcept nogil
cdef void evict(slab_s *slab) noexcept nogil
cdef void drop(layers_s *l, slab_s *slab) noexcept nogil
