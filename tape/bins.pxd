"""Memory of small arrays: every thread keeps what it was given back, by size, and hands it out again without a lock.

malloc of the GNU C library keeps seven blocks of a size for a thread, of at most 1 KB: the arrays of one statement of
a gradient after the other are more. To make and drop one of twelve took 46 ns with 14 floats and 99 ns with 256,
against 30 here.
A thread keeps at most `LT_BIN_BYTES` of every size, and gives all back when it ends.

At the start of an array's memory is Numba's description of it, its NRT_MemInfo. When the array is dropped that stays
as it is; `lt_small_again` hands it out for the next array of as many bytes, and sets but the count of references,
which is the first word for all code of Numba's. To have it written anew took a fourth of making and dropping an array:
it stores the count by a locked instruction. What is handed out so is not in the statistics of Numba's runtime.
"""

cdef extern from *:
    """
    #ifndef LT_BINS_H
    #define LT_BINS_H
    #include <stdlib.h>
    #define LT_SMALL 4096       /* bytes of the largest array that is small */
    #define LT_BIN_STEP 64      /* sizes are multiples of it, and memory lies LT_BIN_LEAD bytes behind one */
    #define LT_BIN_LEAD 16
    #define LT_BINS (LT_SMALL / LT_BIN_STEP + 2)
    #define LT_BIN_BYTES 65536
    #define LT_DESCRIPTION 48   /* bytes of an NRT_MemInfo; were they others, nothing would be found again */
    static int lt_small_counted = 0;    /* whether all arrays are to be in the statistics */
    #if defined(_WIN32)
    static void *lt_small_take(size_t bytes) {
        char *block = _aligned_malloc(bytes + LT_BIN_LEAD, LT_BIN_STEP);
        return block ? block + LT_BIN_LEAD : NULL;
    }
    static void lt_small_give(void *memory) {
        if (memory) _aligned_free((char *)memory - LT_BIN_LEAD);
    }
    static void *lt_small_again(size_t bytes) { return NULL; }
    static void lt_small_described(void *memory, size_t bytes) {}
    #else
    #include <pthread.h>
    typedef struct { void *first[LT_BINS]; int count[LT_BINS]; } lt_bins_t;
    static __thread lt_bins_t *lt_bins = NULL;
    static pthread_key_t lt_bins_key;
    static pthread_once_t lt_bins_once = PTHREAD_ONCE_INIT;
    static int lt_bins_work = 0;
    static void lt_bins_end(void *bins) {
        lt_bins = NULL;
        for (int k = 0; k < LT_BINS; k++) {
            void *block = ((lt_bins_t *)bins)->first[k];
            while (block) {
                void *next = *(void **)block;
                free(block);
                block = next;
            }
        }
        free(bins);
    }
    static void lt_bins_begin(void) { lt_bins_work = pthread_key_create(&lt_bins_key, lt_bins_end) == 0; }
    static lt_bins_t *lt_bins_new(void) {
        lt_bins_t *bins = NULL;
        pthread_once(&lt_bins_once, lt_bins_begin);
        if (lt_bins_work && (bins = (lt_bins_t *)calloc(1, sizeof(lt_bins_t))) != NULL)
            if (pthread_setspecific(lt_bins_key, bins) != 0) {
                free(bins);
                bins = NULL;
            }
        return lt_bins = bins;
    }
    /* The first word of a block is its size class while it is in use, else the next block; the second is the bytes of
       the array that it describes, if it does. */
    static void *lt_small_take(size_t bytes) {
        size_t k = (bytes + LT_BIN_LEAD + LT_BIN_STEP - 1) / LT_BIN_STEP;
        lt_bins_t *bins = lt_bins ? lt_bins : lt_bins_new();
        void *block;
        if (bins && bins->first[k]) {
            block = bins->first[k];
            bins->first[k] = *(void **)block;
            bins->count[k]--;
        } else if (posix_memalign(&block, LT_BIN_STEP, k * LT_BIN_STEP) != 0)
            return NULL;
        ((size_t *)block)[0] = k;
        ((size_t *)block)[1] = 0;
        return (char *)block + LT_BIN_LEAD;
    }
    /* Say that what was taken describes an array now. */
    static void lt_small_described(void *memory, size_t bytes) {
        if (*(size_t *)memory == 1) ((size_t *)memory)[-1] = bytes;
    }
    /* An array that was dropped, as if it was new; NULL if the latest one that was dropped had another size. */
    static void *lt_small_again(size_t bytes) {
        size_t k = (bytes + LT_DESCRIPTION + LT_BIN_LEAD + LT_BIN_STEP - 1) / LT_BIN_STEP;
        lt_bins_t *bins = lt_bins;
        size_t *block;
        if (!bins || lt_small_counted || !bytes) return NULL;
        block = (size_t *)bins->first[k];
        if (!block || block[1] != bytes) return NULL;
        bins->first[k] = (void *)block[0];
        bins->count[k]--;
        block[0] = k;
        block[LT_BIN_LEAD / sizeof(size_t)] = 1;
        return (char *)block + LT_BIN_LEAD;
    }
    /* Also of memory that another thread took, and in a thread that is ending. */
    static void lt_small_give(void *memory) {
        void *block;
        size_t k;
        if (!memory) return;
        block = (char *)memory - LT_BIN_LEAD;
        k = *(size_t *)block;
        if (lt_bins == NULL || (size_t)lt_bins->count[k] * k * LT_BIN_STEP >= LT_BIN_BYTES) {
            free(block);
            return;
        }
        *(void **)block = lt_bins->first[k];
        lt_bins->first[k] = block;
        lt_bins->count[k]++;
    }
    #endif
    #endif
    """
    size_t LT_SMALL
    void *lt_small_take(size_t bytes) noexcept nogil
    void lt_small_give(void *memory) noexcept nogil
    void *lt_small_again(size_t bytes) noexcept nogil
    void lt_small_described(void *memory, size_t bytes) noexcept nogil
    int lt_small_counted
