/* bins.h -- cutting numbers into groups, so that a model has a weight for each group.
 *
 * Group g of a column with edges e[0] < e[1] < ... holds the x with e[g-1] <= x < e[g]; the first
 * and the last are open. */
#ifndef ASGDI_BINS_H
#define ASGDI_BINS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ASGDI_BINS_MAX = 1 << 16 };

/* Edges for at most `most` groups of the sample x[0..n), which is sorted; none is NaN.  edge has
 * room for most - 1.  Returns how many edges there are. */
uint32_t asgdi_bins_cut(double *x, size_t n, uint32_t most, double *edge);

typedef double  asgdi_pair __attribute__((vector_size(16)));
typedef int64_t asgdi_pair_mask __attribute__((vector_size(16)));

/* The group of x: how many edges are not above it.  Halves the edges until few are left, then counts
 * them in pairs: no branch depends on x, and no load waits for another. */
static inline uint32_t asgdi_bins_group(const double *edge, uint32_t edges, double x)
{
    enum { FEW = 40 };
    const double *base = edge;
    uint32_t      n    = edges, i;
    while (n > FEW) { /* the answer is in base[0..n] */
        uint32_t half = n / 2;
        base += (uint32_t)(base[half - 1] <= x) * half;
        n -= half;
    }
    asgdi_pair      both = {x, x}, e;
    asgdi_pair_mask sum  = {0, 0};
    for (i = 0; i + 2 <= n; i += 2) {
        memcpy(&e, base + i, sizeof e);
        sum -= (asgdi_pair_mask)(e <= both); /* -1 where it holds */
    }
    return (uint32_t)(base - edge) + (uint32_t)(sum[0] + sum[1]) + (i < n && base[i] <= x);
}

#endif
