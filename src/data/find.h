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

#endif
