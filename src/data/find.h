/* find.h -- short fields: where they end, and reading digits.
 *
 * Fields of tables have a handful of characters: a call of memchr() costs more than the search, and
 * a loop over characters mispredicts its end.  So eight bytes are worked on at once.
 *
 * Finding: a byte of w is 0 where it is the delimiter, and the lowest byte in which (w - 1) borrows
 * is the first such byte (Lamport 1975; Mycroft 1987).  Digits: neighbours are joined to numbers of
 * 2, 4 and 8 digits, each step by one multiplication (Lemire 2018). */
#ifndef ASGDI_FIND_H
#define ASGDI_FIND_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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

/* Whether p[0..n) is 1 to 8 digits, and the number that they are. */
static inline bool asgdi_digits(const char *p, size_t n, uint32_t *v)
{
    if (n - 1 > 7) return false;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t       w;
    if (n >= 4) { /* loads that overlap agree where they do */
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        w = low | (uint64_t)high << 8 * (n - 4);
    } else {
        w = (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 * (n / 2) |
            (uint64_t)(unsigned char)p[n - 1] << 8 * (n - 1);
    }
    w = w << 8 * (8 - n) | (ones * '0' >> 8 * (n - 1)) >> 8; /* zeros before it */
    if (((w & ones * 0xf0) | ((w + ones * 6) & ones * 0xf0) >> 4) != ones * 0x33) return false;
    w  = (w & ones * 15) * (10 << 8 | 1) >> 8;
    w  = (w & UINT64_C(0x00ff00ff00ff00ff)) * (100 << 16 | 1) >> 16;
    w  = (w & UINT64_C(0x0000ffff0000ffff)) * (UINT64_C(10000) << 32 | 1) >> 32;
    *v = (uint32_t)w;
    return true;
#else
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)(p[i] - '0') > 9) return false;
        *v = *v * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
#endif
}

#endif
