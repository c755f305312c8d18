/* find.h -- the next delimiter in a short field.
 *
 * Fields of tables have a handful of characters: a call of memchr() costs more than the search, and
 * a loop over characters mispredicts its end.  Eight bytes are compared at once: a byte of w is 0
 * where it is the delimiter, and the lowest byte in which (w - 1) borrows is the first such byte
 * (Lamport 1975; Mycroft 1987). */
#ifndef ASGDI_FIND_H
#define ASGDI_FIND_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first `c` in [p, end), or end. */
static inline const char *asgdi_find(const char *p, const char *end, char c)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = UINT64_C(0x0101010101010101), all = ones * (unsigned char)c;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
        w ^= all;
        uint64_t zero = (w - ones) & ~w & ones << 7;
        if (zero) return p + (__builtin_ctzll(zero) >> 3);
    }
#endif
    while (p < end && *p != c) p++;
    return p;
}

#ifdef __SSE2__
static inline uint64_t asgdi_line_ends16(const char *p)
{
    const __m128i x = _mm_loadu_si128((const void *)p);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('\n')));
}
#endif

/* The next '\n' in [p, end), or end; 64 bytes from end on can be read.  64 at a time: lines of up to so
 * many bytes take no branch that depends on their length. */
static inline const char *asgdi_line_end(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; p < end; p += 64) {
        const uint64_t ends = asgdi_line_ends16(p) | asgdi_line_ends16(p + 16) << 16 |
                              asgdi_line_ends16(p + 32) << 32 | asgdi_line_ends16(p + 48) << 48;
        if (ends) {
            const char *q = p + __builtin_ctzll(ends);
            return q < end ? q : end;
        }
    }
    return end;
#else
    const char *q = memchr(p, '\n', (size_t)(end - p));
    return q ? q : end;
#endif
}

#endif
