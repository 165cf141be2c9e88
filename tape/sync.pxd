"""Mutex, condition and clock for the threads that move slabs; what the C library of each system calls them.

Unlike the spinlock of tape.spin these put a waiter to sleep, so they guard whatever may wait for a disk.
The GIL is never asked for while a mutex is held, nor held while a condition is waited for.
"""

cdef extern from *:
    """
    #ifndef LT_SYNC_H
    #define LT_SYNC_H
    #if defined(_WIN32)
    #include <windows.h>
    typedef SRWLOCK lt_mutex_t;
    typedef CONDITION_VARIABLE lt_cond_t;
    static inline void lt_mutex_init(lt_mutex_t *m) { InitializeSRWLock(m); }
    static inline void lt_mutex_lock(lt_mutex_t *m) { AcquireSRWLockExclusive(m); }
    static inline void lt_mutex_unlock(lt_mutex_t *m) { ReleaseSRWLockExclusive(m); }
    static inline void lt_mutex_destroy(lt_mutex_t *m) { (void)m; }
    static inline void lt_cond_init(lt_cond_t *c) { InitializeConditionVariable(c); }
    static inline void lt_cond_wait(lt_cond_t *c, lt_mutex_t *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
    static inline void lt_cond_wait_ms(lt_cond_t *c, lt_mutex_t *m, int ms) { SleepConditionVariableSRW(c, m, ms, 0); }
    static inline void lt_cond_wake(lt_cond_t *c) { WakeAllConditionVariable(c); }
    static inline void lt_cond_destroy(lt_cond_t *c) { (void)c; }
    static inline double lt_clock(void) {
        LARGE_INTEGER now, rate;
        QueryPerformanceCounter(&now);
        QueryPerformanceFrequency(&rate);
        return (double)now.QuadPart / (double)rate.QuadPart;
    }
    #else
    #include <pthread.h>
    #include <time.h>
    typedef pthread_mutex_t lt_mutex_t;
    typedef pthread_cond_t lt_cond_t;
    #if defined(__APPLE__)
    #define LT_COND_CLOCK CLOCK_REALTIME
    #else
    #define LT_COND_CLOCK CLOCK_MONOTONIC
    #endif
    static inline void lt_mutex_init(lt_mutex_t *m) { pthread_mutex_init(m, NULL); }
    static inline void lt_mutex_lock(lt_mutex_t *m) { pthread_mutex_lock(m); }
    static inline void lt_mutex_unlock(lt_mutex_t *m) { pthread_mutex_unlock(m); }
    static inline void lt_mutex_destroy(lt_mutex_t *m) { pthread_mutex_destroy(m); }
    static inline void lt_cond_init(lt_cond_t *c) {
        pthread_condattr_t a;
        pthread_condattr_init(&a);
    #if !defined(__APPLE__)
        pthread_condattr_setclock(&a, LT_COND_CLOCK);
    #endif
        pthread_cond_init(c, &a);
        pthread_condattr_destroy(&a);
    }
    static inline void lt_cond_wait(lt_cond_t *c, lt_mutex_t *m) { pthread_cond_wait(c, m); }
    static inline void lt_cond_wait_ms(lt_cond_t *c, lt_mutex_t *m, int ms) {
        struct timespec t;
        clock_gettime(LT_COND_CLOCK, &t);
        t.tv_sec += ms / 1000;
        t.tv_nsec += (long)(ms % 1000) * 1000000L;
        if (t.tv_nsec >= 1000000000L) { t.tv_sec++; t.tv_nsec -= 1000000000L; }
        pthread_cond_timedwait(c, m, &t);
    }
    static inline void lt_cond_wake(lt_cond_t *c) { pthread_cond_broadcast(c); }
    static inline void lt_cond_destroy(lt_cond_t *c) { pthread_cond_destroy(c); }
    static inline double lt_clock(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    }
    #endif
    #endif
    """
    ctypedef struct lt_mutex_t:
        pass
    ctypedef struct lt_cond_t:
        pass
    void lt_mutex_init(lt_mutex_t *m) noexcept nogil
    void lt_mutex_lock(lt_mutex_t *m) noexcept nogil
    void lt_mutex_unlock(lt_mutex_t *m) noexcept nogil
    void lt_mutex_destroy(lt_mutex_t *m) noexcept nogil
    void lt_cond_init(lt_cond_t *c) noexcept nogil
    void lt_cond_wait(lt_cond_t *c, lt_mutex_t *m) noexcept nogil
    void lt_cond_wait_ms(lt_cond_t *c, lt_mutex_t *m, int ms) noexcept nogil
    void lt_cond_wake(lt_cond_t *c) noexcept nogil
    void lt_cond_destroy(lt_cond_t *c) noexcept nogil
    double lt_clock() noexcept nogil
