"""A spinlock for critical sections of a few instructions, and the one atomic flag a tape needs.

Test-and-test-and-set with a pause and bounded back-off; after that the waiter yields to the scheduler,
so a lock holder that lost its core gets it back (an unbounded spin on an oversubscribed machine does not end).
Never ask for the GIL while holding one, and never wait for one in a section that can run Python code.
"""

cdef extern from *:
    """
    #ifndef LT_SPIN_H
    #define LT_SPIN_H
    #if defined(_MSC_VER)
    #include <windows.h>
    #include <intrin.h>
    typedef volatile long lt_atomic_t;
    #define lt_atomic_swap(p, v) _InterlockedExchange((p), (v))
    #define lt_atomic_take(p, v) (_InterlockedCompareExchange((p), (v), 0) == 0)
    #define lt_atomic_load(p) (*(p))
    #define lt_atomic_store(p, v) _InterlockedExchange((p), (v))
    #define lt_pause() YieldProcessor()
    #define lt_yield() SwitchToThread()
    #else
    #include <sched.h>
    typedef int lt_atomic_t;
    #define lt_atomic_swap(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
    /* v where 0 was, or nothing; whether it was. */
    static inline int lt_atomic_take(lt_atomic_t *p, lt_atomic_t v) {
        lt_atomic_t free = 0;
        return __atomic_compare_exchange_n(p, &free, v, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }
    #define lt_atomic_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define lt_atomic_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #if defined(__x86_64__) || defined(__i386__)
    #define lt_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define lt_pause() __asm__ __volatile__("isb" ::: "memory")
    #else
    #define lt_pause() ((void)0)
    #endif
    #define lt_yield() sched_yield()
    #endif

    static inline void lt_spin_lock(lt_atomic_t *lock) {
        int pauses = 1;
        while (lt_atomic_swap(lock, 1)) {
            while (lt_atomic_load(lock)) {
                if (pauses > 64) { lt_yield(); continue; }
                for (int i = 0; i < pauses; i++) lt_pause();
                pauses *= 2;
            }
        }
    }
    static inline void lt_spin_unlock(lt_atomic_t *lock) { lt_atomic_store(lock, 0); }
    #endif
    """
    ctypedef int lt_atomic_t
    int lt_atomic_swap(lt_atomic_t *p, int v) noexcept nogil
    bint lt_atomic_take(lt_atomic_t *p, int v) noexcept nogil
    int lt_atomic_load(const lt_atomic_t *p) noexcept nogil
    void lt_atomic_store(lt_atomic_t *p, int v) noexcept nogil
    void lt_pause() noexcept nogil
    void lt_yield() noexcept nogil
    void lt_spin_lock(lt_atomic_t *lock) noexcept nogil
    void lt_spin_unlock(lt_atomic_t *lock) noexcept nogil
