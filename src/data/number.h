/* number.h -- reading a decimal number out of a buffer.
 *
 * Fast path: up to 19 digits m and a power of ten e with m <= 2^53 and |e| <= 22: m and 10^|e| are
 * exact doubles, so one multiplication or division rounds once (Clinger 1990).  Everything else goes
 * to strtod in the C locale.  All results are a double; float values round once more. */
#ifndef ASGDI_NUMBER_H
#define ASGDI_NUMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* strtod on p[0..end), independent of the program's locale; NULL: no number there.  Takes "nan" and
 * "inf" too, so that the caller can say what is wrong with them. */
const char *asgdi_number_slow(const char *p, const char *end, double *out);

/* The number at p; returns where it ends, NULL if there is none. */
static inline const char *asgdi_number(const char *p, const char *end, double *out)
{
    static const double power[]  = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char         *q        = p;
    bool                negative = q < end && *q == '-';
    if (q < end && (*q == '-' || *q == '+')) q++;
    uint64_t    m      = 0;
    const char *digits = q;
    while (q < end && (unsigned char)(*q - '0') < 10) m = m * 10 + (uint64_t)(*q++ - '0');
    int64_t n = q - digits, e = 0;
    if (q < end && *q == '.') {
        const char *point = ++q;
        while (q < end && (unsigned char)(*q - '0') < 10) m = m * 10 + (uint64_t)(*q++ - '0');
        e = point - q;
        n -= e;
    }
    if (n == 0 || n > 19) return asgdi_number_slow(p, end, out);
    if (q < end && (*q == 'e' || *q == 'E')) {
        const char *x     = q + 1;
        bool        minus = x < end && *x == '-';
        if (x < end && (*x == '-' || *x == '+')) x++;
        const char *first = x;
        int64_t     v     = 0;
        while (x < end && (unsigned char)(*x - '0') < 10 && x - first < 6)
            v = v * 10 + (*x++ - '0');
        if (x == first || (x < end && (unsigned char)(*x - '0') < 10))
            return asgdi_number_slow(p, end, out);
        e += minus ? -v : v;
        q = x;
    }
    if (m > (UINT64_C(1) << 53) || e < -22 || e > 22) return asgdi_number_slow(p, end, out);
    double d = (double)m;
    d        = e < 0 ? d / power[-e] : d * power[e];
    *out     = negative ? -d : d;
    return q;
}

/* The digits at p as a number; returns where they end.  8 bytes from p can be read, and after at most
 * 19 digits comes something else.  Eight at once: a byte is no digit where adding 0x46 or subtracting
 * 0x30 sets its high bit; pairs, then fours, then all eight are put together by multiplications. */
static inline const char *asgdi_digits(const char *p, uint64_t *out)
{
    uint64_t v = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t w, none;
    memcpy(&w, p, sizeof w);
    none = ((w + 0x4646464646464646u) | (w - 0x3030303030303030u)) & 0x8080808080808080u;
    if (none) {
        int bits = __builtin_ctzll(none) & 56;
        if (bits == 0) {
            *out = 0;
            return p;
        }
        w = (w & 0x0f0f0f0f0f0f0f0fu) << (64 - bits);
        p += bits / 8;
    } else {
        w &= 0x0f0f0f0f0f0f0f0fu;
        p += 8;
    }
    w = w * 2561 >> 8 & 0x00ff00ff00ff00ffu;
    w = w * 6553601 >> 16 & 0x0000ffff0000ffffu;
    v = w * 42949672960001u >> 32;
    if (none) {
        *out = v;
        return p;
    }
#endif
    while ((unsigned char)(*p - '0') < 10) v = v * 10 + (uint64_t)(*p++ - '0');
    *out = v;
    return p;
}

#endif
