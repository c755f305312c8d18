/* vw_scan.h -- the ends of tokens in a line of Vowpal Wabbit text, 64 bytes at a time, and hashes of
 * tokens.
 *
 * A block's bytes are compared at once; a bit of a word says which of them may end a token.  Taking
 * its lowest bits one by one costs no branch that depends on the length of tokens, which a processor
 * cannot foresee (Langdale and Lemire 2019).
 *
 * Everything here may read ASGDI_SLACK bytes behind a line, of which it matters only that the first
 * ends no token. */
#ifndef ASGDI_VW_SCAN_H
#define ASGDI_VW_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "data/input.h"

enum { ASGDI_VW_BLOCK = 64 };
_Static_assert((int)ASGDI_VW_BLOCK <= (int)ASGDI_SLACK,
               "a block begins at the end of a line at the latest");

/* Low byte first on any machine. */
static inline uint64_t asgdi_vw_word(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

#ifdef __SSE2__
static inline uint64_t asgdi_vw_marks16(const char *p)
{
    __m128i x     = _mm_loadu_si128((const void *)p);
    __m128i blank = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(' ')), x);
    __m128i colon = _mm_cmpeq_epi8(x, _mm_set1_epi8(':')),
            bar   = _mm_cmpeq_epi8(x, _mm_set1_epi8('|'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(blank, _mm_or_si128(colon, bar)));
}
#else
static inline uint64_t asgdi_vw_marks8(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = ones * 0x7f;
    /* the high bit of a byte is set where it is above ' ', and where it differs from the two */
    uint64_t x = asgdi_vw_word(p), c = x ^ ones * ':', b = x ^ ones * '|';
    uint64_t other =
        (((x & low) + ones * (0x7f - ' ')) | x) & (((c & low) + low) | c) & (((b & low) + low) | b);
    /* gathers the bits 0, 8, ..., 56 into the highest byte */
    return (~other >> 7 & ones) * UINT64_C(0x0102040810204080) >> 56;
}
static inline uint64_t asgdi_vw_marks16(const char *p)
{
    return asgdi_vw_marks8(p) | asgdi_vw_marks8(p + 8) << 8;
}
#endif

/* Bit i: p[i] is ':', '|', or not above ' '. */
static inline uint64_t asgdi_vw_marks(const char *p)
{
    return asgdi_vw_marks16(p) | asgdi_vw_marks16(p + 16) << 16 | asgdi_vw_marks16(p + 32) << 32 |
           asgdi_vw_marks16(p + 48) << 48;
}

typedef struct asgdi_vw_scan {
    const char *block, *end;
    uint64_t    marks; /* of the block, still to come; the line's end is one, too */
} asgdi_vw_scan;

static inline void asgdi_vw_scan_block(asgdi_vw_scan *s)
{
    ptrdiff_t n = s->end - s->block;
    s->marks    = asgdi_vw_marks(s->block);
    if (n < ASGDI_VW_BLOCK) {
        uint64_t end = UINT64_C(1) << n;
        s->marks     = (s->marks & (end - 1)) | end;
    }
}

/* From p on, which is not past end. */
static inline asgdi_vw_scan asgdi_vw_scan_begin(const char *p, const char *end)
{
    asgdi_vw_scan s = {p, end, 0};
    asgdi_vw_scan_block(&s);
    return s;
}

/* The next blank, TAB, ':', '|' or zero byte, or the end; not to be called again after the end.
 * Other characters below ' ' belong to names. */
static inline const char *asgdi_vw_scan_next(asgdi_vw_scan *s)
{
    for (;;) {
        while (s->marks == 0) {
            s->block += ASGDI_VW_BLOCK;
            asgdi_vw_scan_block(s);
        }
        const char *q = s->block + (unsigned)__builtin_ctzll(s->marks);
        s->marks &= s->marks - 1;
        if ((unsigned char)*q >= ' ' || q == s->end || *q == '\t' || *q == 0) return q;
    }
}

/* ---- asgdi_hash() where 8 bytes may be read from the last one on ---- */

static inline uint64_t asgdi_vw_fold(uint64_t x, uint64_t y)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide                                    p = (wide)x * y;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
#else
    uint64_t a = x >> 32, b = x & UINT32_MAX, c = y >> 32, d = y & UINT32_MAX;
    uint64_t low = b * d, mid = a * d + (low >> 32), mid2 = b * c + (mid & UINT32_MAX);
    return (mid2 << 32 | (low & UINT32_MAX)) ^ (a * c + (mid >> 32) + (mid2 >> 32));
#endif
}

/* n > 0.  Names of up to 16 bytes take no branch that depends on their length. */
static inline uint64_t asgdi_vw_hash(const char *p, size_t n, uint64_t seed)
{
    const uint64_t a = UINT64_C(0x9e3779b97f4a7c15), b = UINT64_C(0xbf58476d1ce4e5b9),
                   c = UINT64_C(0x94d049bb133111eb);
    uint64_t h       = seed ^ (uint64_t)n * a;
    for (; n > 16; n -= 8, p += 8) h = asgdi_vw_fold(h ^ asgdi_vw_word(p), b);
    /* of the last word, 1 to 8 bytes count */
    const uint64_t some = UINT64_MAX >> (8 * (0 - n) & 63), two = 0 - (uint64_t)(n > 8);
    const uint64_t one  = asgdi_vw_fold(h ^ (asgdi_vw_word(p) & (some | two)), b);
    const uint64_t both = asgdi_vw_fold(one ^ (asgdi_vw_word(p + 8) & some), b);
    return asgdi_vw_fold((both & two) ^ (one & ~two) ^ c, a);
}

#endif
