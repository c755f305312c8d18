/* number.c -- numbers that the fast path does not take. */
#define _GNU_SOURCE
#include "data/number.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

const char *asgdi_number_slow(const char *p, const char *end, double *out)
{
    enum { LONGEST = 800 }; /* 767 digits are the most a double's rounding can depend on */
    char   text[LONGEST + 1];
    size_t n = (size_t)(end - p) < LONGEST ? (size_t)(end - p) : (size_t)LONGEST;
    size_t m = 0;
    while (m < n && p[m] && strchr("+-.0123456789eEnNaAiIfFtTyY", p[m])) m++;
    memcpy(text, p, m);
    text[m]    = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc and musl: a constant */
    if (!c) return NULL;
    char *stop;
    *out = strtod_l(text, &stop, c);
    freelocale(c);
    return stop == text ? NULL : p + (stop - text);
}
