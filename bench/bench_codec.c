/* bench_codec.c -- how fast rows become bytes and floats again: GB/s of floats, a block of 256 KiB.
 *
 *     bench_codec
 *
 * A time is the best of several repetitions; memcpy of the same floats is what to compare with.  Rows are
 * one float, a few, and many; all rows, and every second; a tenth of the floats is large. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "exchange/codec.h"

enum { FLOATS = 1 << 16, REPEATS = 200, CALLS = 2 };

static float    x[FLOATS], y[FLOATS];
static uint32_t row[2 * FLOATS], got[2 * FLOATS];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define BEST(rate, call)                                  \
    do {                                                  \
        rate = 0;                                         \
        for (int r = 0; r < REPEATS; r++) {               \
            double t = now();                             \
            for (int i = 0; i < CALLS; i++) {             \
                call;                                     \
                __asm__ volatile("" ::: "memory");        \
            }                                             \
            t    = 1e-9 * CALLS * sizeof x / (now() - t); \
            rate = t > rate ? t : rate;                   \
        }                                                 \
    } while (0)

static void measure(asgdi_coding c, uint32_t pad, uint32_t parts, uint32_t apart)
{
    const uint32_t    n     = FLOATS / (pad * parts);
    const asgdi_shape s     = {.rows = n * apart, .stride = pad * parts, .pad = pad};
    uint8_t          *bytes = malloc(asgdi_encode_bound(c, &s, n));
    float            *back  = malloc((size_t)s.rows * s.stride * sizeof *back);
    double            in, out;
    size_t            size = 0;
    uint32_t          m;
    if (!bytes || !back) abort();
    for (uint32_t i = 0; i < n; i++) row[i] = i * apart;
    BEST(in, size = asgdi_encode(c, &s, n, row, x, bytes));
    BEST(out, if (!asgdi_decode(c, &s, bytes, size, &m, got, back)) abort());
    printf("%-5s %5u x %u %5s %9zu %9.2f %9.2f\n", asgdi_coding_name(c), pad, parts,
           apart == 1 ? "all" : "half", size, in, out);
    free(bytes);
    free(back);
}

int main(void)
{
    for (uint32_t i = 0; i < FLOATS; i++) x[i] = asgdi_normal(asgdi_random(1, 0, i));
    double copy;
    BEST(copy, memcpy(y, x, sizeof x); __asm__ volatile("" ::"r"(y) : "memory"));
    printf("memcpy: %.2f GB/s\n", copy);
    printf("%-5s %9s %5s %9s %9s %9s\n", "kind", "floats", "rows", "bytes", "encode", "decode");
    static const struct {
        uint32_t pad, parts, apart;
    } shape[] = {{1, 1, 1}, {1, 2, 1},  {1, 1, 2},   {8, 1, 1},
                 {8, 2, 2}, {16, 2, 1}, {128, 1, 1}, {1024, 2, 1}};
    for (int c = 0; c < ASGDI_CODINGS; c++)
        for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
            measure((asgdi_coding)c, shape[i].pad, shape[i].parts, shape[i].apart);
    return 0;
}
