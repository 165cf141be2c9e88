"""XXH64, the checksum of spilled and saved slabs: Collet's xxHash, from its specification (doc/xxhash_spec.md, XXH64).

Written out here because the background threads compute it without the GIL; the tests compare it with the library.
"""

cdef extern from *:
    """
    #ifndef LT_XXH64_H
    #define LT_XXH64_H
    #include <stdint.h>
    #include <string.h>
    #define LT_P1 0x9E3779B185EBCA87ULL
    #define LT_P2 0xC2B2AE3D27D4EB4FULL
    #define LT_P3 0x165667B19E3779F9ULL
    #define LT_P4 0x85EBCA77C2B2AE63ULL
    #define LT_P5 0x27D4EB2F165667C5ULL
    static inline uint64_t lt_rotl(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }
    static inline uint64_t lt_lane(uint64_t acc, uint64_t x) { return lt_rotl(acc + x * LT_P2, 31) * LT_P1; }
    static inline uint64_t lt_merge(uint64_t h, uint64_t acc) { return (h ^ lt_lane(0, acc)) * LT_P1 + LT_P4; }
    static inline uint64_t lt_le64(const unsigned char *p) {
        uint64_t x;
        memcpy(&x, p, 8);
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        x = __builtin_bswap64(x);
    #endif
        return x;
    }
    static inline uint64_t lt_le32(const unsigned char *p) {
        return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
    }
    static uint64_t lt_xxh64(const void *data, size_t bytes) {
        const unsigned char *p = (const unsigned char *)data, *end = p + bytes;
        uint64_t h;
        if (bytes >= 32) {
            uint64_t a = LT_P1 + LT_P2, b = LT_P2, c = 0, d = 0 - LT_P1;
            do {
                a = lt_lane(a, lt_le64(p));
                b = lt_lane(b, lt_le64(p + 8));
                c = lt_lane(c, lt_le64(p + 16));
                d = lt_lane(d, lt_le64(p + 24));
                p += 32;
            } while (end - p >= 32);
            h = lt_rotl(a, 1) + lt_rotl(b, 7) + lt_rotl(c, 12) + lt_rotl(d, 18);
            h = lt_merge(lt_merge(lt_merge(lt_merge(h, a), b), c), d);
        } else {
            h = LT_P5;
        }
        h += (uint64_t)bytes;
        for (; end - p >= 8; p += 8) h = lt_rotl(h ^ lt_lane(0, lt_le64(p)), 27) * LT_P1 + LT_P4;
        if (end - p >= 4) {
            h = lt_rotl(h ^ lt_le32(p) * LT_P1, 23) * LT_P2 + LT_P3;
            p += 4;
        }
        for (; p < end; p++) h = lt_rotl(h ^ *p * LT_P5, 11) * LT_P1;
        h = (h ^ (h >> 33)) * LT_P2;
        h = (h ^ (h >> 29)) * LT_P3;
        return h ^ (h >> 32);
    }
    #endif
    """
    unsigned long long lt_xxh64(const void *data, size_t bytes) noexcept nogil
