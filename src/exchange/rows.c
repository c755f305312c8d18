/* rows.c -- loops over many rows of few floats. */
#include "exchange/rows.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { AT_ONCE = 128 }; /* floats compared at once */

/* 1: some float differs, by so much. */
ASGDI_INLINE uint32_t subtract(size_t n, const float *restrict w, const float *restrict was,
                               float factor, float dust, float *restrict d)
{
    uint32_t differs = 0;
    for (size_t i = 0; i < n; i++) {
        const float change = w[i] - was[i];
        differs |= !(fabsf(change) <= dust * fabsf(was[i]));
        d[i] = factor * change;
    }
    return differs;
}

/* Rows that are alike are seen fastest of several at once; where some differ, rows move up, whether they do or not, over
 * those that do not: jumps would be mispredicted. */
ASGDI_INLINE uint32_t differ(const uint32_t stride, uint32_t rows, const float *w, const float *was,
                             float factor, float dust, uint32_t *row, float *d)
{
    const uint32_t few = stride < AT_ONCE ? AT_ONCE / stride : 1;
    uint32_t       n   = 0, other[AT_ONCE];
    float          change[AT_ONCE];
    for (uint32_t r = 0, m; r < rows; r += m) {
        const size_t at = (size_t)r * stride;
        m               = rows - r < few ? rows - r : few;
        if (memcmp(w + at, was + at, (size_t)m * stride * sizeof *w) == 0) continue;
        if (few == 1) {
            row[n] = r;
            n += subtract(stride, w + at, was + at, factor, dust, d + (size_t)n * stride);
            continue;
        }
        for (uint32_t i = 0; i < m * stride; i++) {
            const float c = w[at + i] - was[at + i];
            other[i]      = !(fabsf(c) <= dust * fabsf(was[at + i]));
            change[i]     = factor * c;
        }
        for (uint32_t k = 0; k < m; k++) {
            uint32_t any = 0;
            for (uint32_t c = 0; c < stride; c++) any |= other[k * stride + c];
            memcpy(d + (size_t)n * stride, change + k * stride, stride * sizeof *d);
            row[n] = r + k;
            n += any;
        }
    }
    return n;
}

uint32_t asgdi_rows_differ(uint32_t stride, uint32_t rows, const float *w, const float *was,
                           float factor, float dust, uint32_t *row, float *d)
{
    uint32_t n;
    ASGDI_BY_STRIDE(n =, stride, differ, rows, w, was, factor, dust, row, d)
    return n;
}

ASGDI_INLINE uint32_t gather(const uint32_t stride, uint32_t rows, const float *from,
                             const uint64_t *after, uint64_t count, const uint64_t *unlisted,
                             uint64_t mark, uint32_t *row, float *to)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < rows; r++) {
        if (after[r] <= count || (unlisted && unlisted[r] == mark)) continue;
        memcpy(to + (size_t)n * stride, from + (size_t)r * stride, stride * sizeof *to);
        row[n++] = r;
    }
    return n;
}

uint32_t asgdi_rows_gather(uint32_t stride, uint32_t rows, const float *from, const uint64_t *after,
                           uint64_t count, const uint64_t *unlisted, uint64_t mark, uint32_t *row,
                           float *to)
{
    uint32_t n;
    ASGDI_BY_STRIDE(n =, stride, gather, rows, from, after, count, unlisted, mark, row, to)
    return n;
}
