/* decimal.c -- floats as decimal text, a dozen times faster than printf and digit for digit the same.
 *
 * A float is m 2^e with whole m < 2^24, so to n significant digits it is the whole number
 *
 *     q = round(m 2^e 10^k),   k = n - 1 - p,   10^p <= |x| < 10^(p+1)
 *
 * which 64-bit integers give exactly for floats from about 1e-7 to 2^63: ties go to the even q, as
 * printf's do.  p is guessed from the binary exponent, never too large, and at most one too small,
 * which shows in q having a digit too many.  Floats outside that range are rare: printf writes them. */
#include "decimal.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { DIGITS_MAX = 9 };

static const uint64_t power[] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

static size_t by_printf(char *out, float x, int digits)
{
    char text[DECIMAL_BYTES + 8];
    int  n = snprintf(text, sizeof text, "%.*g", digits, (double)x);
    memcpy(out, text, (size_t)n);
    return (size_t)n;
}

/* round(m 2^e 10^k); the caller knows that everything fits. */
static uint64_t scaled(uint64_t m, int e, int k)
{
    uint64_t q, rest, whole; /* the value is q + rest / whole */
    if (k >= 0 && e < 0) {
        m *= power[k];
        whole = UINT64_C(1) << -e;
        q     = m >> -e;
        rest  = m & (whole - 1);
    } else if (k >= 0) {
        return (m << e) * power[k];
    } else {
        m     = e > 0 ? m << e : m;
        whole = e < 0 ? power[-k] << -e : power[-k];
        q     = m / whole;
        rest  = m % whole;
    }
    /* without branches: nobody can foresee them */
    return q + ((rest > whole - rest) | ((rest == whole - rest) & q & 1));
}

/* The n digits of q, without zeros at the end; returns how many. */
static int digits_of(char *out, uint32_t q, int n)
{
    for (int i = n; i-- > 0; q /= 10) out[i] = (char)('0' + q % 10);
    while (n > 1 && out[n - 1] == '0') n--;
    return n;
}

/* d.ddd 10^p as %g lays it out. */
static char *laid_out(char *at, const char *d, int n, int p, int digits)
{
    if (p < -4 || p >= digits) {
        *at++ = *d;
        if (n > 1) *at++ = '.';
        memcpy(at, d + 1, (size_t)(n - 1));
        at += n - 1;
        *at++ = 'e';
        *at++ = p < 0 ? '-' : '+';
        if (p < 0) p = -p;
        *at++ = (char)('0' + p / 10);
        *at++ = (char)('0' + p % 10);
        return at;
    }
    if (p < 0) {
        memcpy(at, "0.000", 5);
        at += 1 - p;
        memcpy(at, d, DIGITS_MAX); /* a fixed size is faster; the bytes behind do not count */
        return at + n;
    }
    for (int i = 0; i <= p; i++) *at++ = i < n ? d[i] : '0';
    if (n > p + 1) {
        *at++ = '.';
        memcpy(at, d + p + 1, (size_t)(n - p - 1));
        at += n - p - 1;
    }
    return at;
}

size_t decimal_float(char *out, float x, int digits)
{
    uint32_t bits;
    char    *at = out, text[DIGITS_MAX] = {0};
    memcpy(&bits, &x, sizeof bits);
    const uint64_t m   = (bits & 0x7fffff) | 0x800000;
    const int      top = (int)(bits >> 23 & 0xff) - 127; /* 2^top <= |x| < 2^(top+1) */
    if (x != x) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (top < -24 || top > 62) return by_printf(out, x, digits);
    /* top * log10(2), rounded down */
    int p = (int)((uint32_t)(top * 1233 + (16 << 12)) >> 12) - 16;
    if (digits - 1 - p > 12) return by_printf(out, x, digits);
    uint64_t q = scaled(m, top - 23, digits - 1 - p);
    if (q >= power[digits]) q = scaled(m, top - 23, digits - 1 - ++p);
    if (bits >> 31) *at++ = '-';
    at = laid_out(at, text, digits_of(text, (uint32_t)q, digits), p, digits);
    return (size_t)(at - out);
}
