"""What is asked of the operating system's files.  Each function returns 0 or an errno, and needs no GIL.

On Windows all of them say ENOSYS: nothing spills to disk there, and `lt_disk_works` is how to find out first.
"""

cdef extern from *:
    """
    #ifndef LT_DISKIO_H
    #define LT_DISKIO_H
    #include <errno.h>
    #include <stdlib.h>
    #include <string.h>
    #define LT_NO_MAP (-1)  /* the map cannot be used; nothing was transferred */
    #if defined(_WIN32)
    #define lt_disk_works 0
    #define lt_out_of_room(status) ((status) == ENOSPC || (status) == EFBIG)
    static inline int lt_pid(void) { return 0; }
    static inline int lt_file_write(int fd, const char *data, size_t bytes, long long at) { return ENOSYS; }
    static inline int lt_file_read(int fd, char *data, size_t bytes, long long at) { return ENOSYS; }
    static inline int lt_file_allocate(int fd, long long at, long long bytes) { return ENOSYS; }
    static inline int lt_file_truncate(int fd, long long end) { return ENOSYS; }
    static inline int lt_file_settle(int fd, long long at, long long bytes) { return ENOSYS; }
    static inline void lt_file_forget(int fd, long long at, long long bytes) {}
    static inline int lt_file_direct(int fd) { return -1; }
    static inline void lt_file_close(int fd) {}
    static inline int lt_map_write(int fd, const char *data, size_t bytes, long long at) { return LT_NO_MAP; }
    static inline int lt_map_read(int fd, char *data, size_t bytes, long long at) { return LT_NO_MAP; }
    static inline unsigned long lt_file_system(int fd) { return 0; }
    static inline void *lt_block_new(size_t bytes) { return NULL; }
    static inline void lt_block_free(void *p) {}
    #else
    #include <fcntl.h>
    #include <signal.h>
    #include <stdio.h>
    #include <sys/mman.h>
    #include <unistd.h>
    #if defined(__linux__)
    #include <sys/vfs.h>
    #endif
    #define lt_disk_works 1
    #define lt_out_of_room(status) ((status) == ENOSPC || (status) == EDQUOT || (status) == EFBIG)
    #define LT_MOST ((size_t)1 << 30)  /* of one call: the systems stop short of 2 GiB */

    static inline int lt_pid(void) { return (int)getpid(); }

    static inline int lt_file_write(int fd, const char *data, size_t bytes, long long at) {
        while (bytes) {
            ssize_t n = pwrite(fd, data, bytes < LT_MOST ? bytes : LT_MOST, at);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return errno;
            if (n == 0) return EIO;
            data += n; bytes -= (size_t)n; at += n;
        }
        return 0;
    }

    static inline int lt_file_read(int fd, char *data, size_t bytes, long long at) {
        while (bytes) {
            ssize_t n = pread(fd, data, bytes < LT_MOST ? bytes : LT_MOST, at);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return errno;
            if (n == 0) return EIO;
            data += n; bytes -= (size_t)n; at += n;
        }
        return 0;
    }

    /* Real blocks.  Not posix_fallocate: the C library's own version writes zeros where the file system cannot. */
    static inline int lt_file_allocate(int fd, long long at, long long bytes) {
    #if defined(__linux__)
        /* tmpfs starts from nothing after each signal: with a profiler's timer it would never come to an end. */
        sigset_t all, before;
        int status;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        do status = fallocate(fd, 0, at, bytes) ? errno : 0; while (status == EINTR);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return status;
    #else
        (void)fd; (void)at; (void)bytes;
        return EOPNOTSUPP;
    #endif
    }

    static inline int lt_file_truncate(int fd, long long end) {
        int status;
        do status = ftruncate(fd, end) ? errno : 0; while (status == EINTR);
        return status;
    }

    /* Clean pages of the file leave the page cache. */
    static inline void lt_file_forget(int fd, long long at, long long bytes) {
    #if defined(POSIX_FADV_DONTNEED)
        (void)posix_fadvise(fd, at, bytes, POSIX_FADV_DONTNEED);
    #else
        (void)fd; (void)at; (void)bytes;
    #endif
    }

    /* Dirty pages count against a container's memory: write them out and drop them.  Data only, no journal: after
       a crash nobody can open this file again. */
    static inline int lt_file_settle(int fd, long long at, long long bytes) {
        int status;
    #if defined(__linux__)
        do status = sync_file_range(fd, at, bytes, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE
                                    | SYNC_FILE_RANGE_WAIT_AFTER) ? errno : 0; while (status == EINTR);
        if (status == ENOSYS || status == EOPNOTSUPP)
            do status = fdatasync(fd) ? errno : 0; while (status == EINTR);
    #else
        do status = fsync(fd) ? errno : 0; while (status == EINTR);
    #endif
        if (status == 0) lt_file_forget(fd, at, bytes);
        return status;
    }

    /* Another descriptor of the same file for direct I/O, or -1.  It must be opened anew: a duplicate would share
       its flags with the first. */
    static inline int lt_file_direct(int fd) {
    #if defined(__linux__) && defined(O_DIRECT)
        char path[40];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    #else
        (void)fd;
        return -1;
    #endif
    }

    static inline void lt_file_close(int fd) { if (fd >= 0) (void)close(fd); }

    /* The window's pages are faulted in by a call that returns an error where touching them would raise SIGBUS: a bad
       sector, no room.  Without that call (before Linux 5.14) the map is not used. */
    static inline char *lt_map(int fd, size_t bytes, long long at, int writing, char **base, size_t *length) {
    #if defined(__linux__)
        long long page = sysconf(_SC_PAGESIZE), start = at / page * page;
        *length = bytes + (size_t)(at - start);
        void *p = mmap(NULL, *length, writing ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, start);
        if (p == MAP_FAILED) return NULL;
        *base = (char *)p;
        if (!writing) (void)madvise(p, *length, MADV_WILLNEED);
        int populated;
        do populated = madvise(p, *length, writing ? 23 /* MADV_POPULATE_WRITE */ : 22 /* MADV_POPULATE_READ */);
        while (populated && errno == EINTR);
        if (populated) { (void)munmap(p, *length); return NULL; }
        return *base + (at - start);
    #else
        (void)fd; (void)bytes; (void)at; (void)writing; (void)base; (void)length;
        return NULL;
    #endif
    }

    static inline int lt_map_write(int fd, const char *data, size_t bytes, long long at) {
        char *base;
        size_t length;
        char *window = lt_map(fd, bytes, at, 1, &base, &length);
        if (!window) return LT_NO_MAP;
        memcpy(window, data, bytes);
        (void)munmap(base, length);  /* before they are dropped: pages that are mapped stay */
        return 0;
    }

    static inline int lt_map_read(int fd, char *data, size_t bytes, long long at) {
        char *base;
        size_t length;
        char *window = lt_map(fd, bytes, at, 0, &base, &length);
        if (!window) return LT_NO_MAP;
        memcpy(data, window, bytes);
        (void)munmap(base, length);
        return 0;
    }

    /* The number by which Linux knows the kind of a file system, or 0. */
    static inline unsigned long lt_file_system(int fd) {
    #if defined(__linux__)
        struct statfs about;
        int status;
        do status = fstatfs(fd, &about); while (status && errno == EINTR);
        return status ? 0 : (unsigned long)about.f_type & 0xffffffffUL;
    #else
        (void)fd;
        return 0;
    #endif
    }

    static inline void *lt_block_new(size_t bytes) {
        void *p = NULL;
        return posix_memalign(&p, 4096, bytes) == 0 ? p : NULL;
    }
    static inline void lt_block_free(void *p) { free(p); }
    #endif
    #endif
    """
    const int LT_NO_MAP
    const bint lt_disk_works
    bint lt_out_of_room(int status) noexcept nogil
    int lt_pid() noexcept nogil
    int lt_file_write(int fd, const char *data, size_t bytes, long long at) noexcept nogil
    int lt_file_read(int fd, char *data, size_t bytes, long long at) noexcept nogil
    int lt_file_allocate(int fd, long long at, long long bytes) noexcept nogil
    int lt_file_truncate(int fd, long long end) noexcept nogil
    int lt_file_settle(int fd, long long at, long long bytes) noexcept nogil
    void lt_file_forget(int fd, long long at, long long bytes) noexcept nogil
    int lt_file_direct(int fd) noexcept nogil
    void lt_file_close(int fd) noexcept nogil
    int lt_map_write(int fd, const char *data, size_t bytes, long long at) noexcept nogil
    int lt_map_read(int fd, char *data, size_t bytes, long long at) noexcept nogil
    unsigned long lt_file_system(int fd) noexcept nogil
    void *lt_block_new(size_t bytes) noexcept nogil
    void lt_block_free(void *p) noexcept nogil
