/* bins.c -- edges of groups at quantiles of a sample.
 *
 * The values are taken in order; a group ends where stopping before the next value leaves it nearer
 * to the share of the groups that remain, (values left) / (groups left), than going on would, and
 * where as many distinct values as groups remain.  A value so frequent that it exceeds a share
 * (zeros, often) thus has a group of its own, and the others still use all the groups, which plain
 * quantiles would waste on repeating it; and where there are few values, each has its own. */
#include "data/bins.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

uint32_t asgdi_bins_cut(double *x, size_t n, uint32_t most, double *edge)
{
    if (n == 0) return 0;
    qsort(x, n, sizeof *x, by_value);
    size_t distinct = 1; /* of x[i..n) below */
    for (size_t i = 1; i < n; i++) distinct += x[i] != x[i - 1];

    uint32_t edges = 0, groups = most; /* groups: the open one and those after it */
    size_t   left = n, size = 0;       /* left: in those groups;  size: in the open one */
    for (size_t i = 0, stop; i < n && groups > 1; i = stop, distinct--) {
        for (stop = i + 1; stop < n && x[stop] == x[i];) stop++;
        size_t count = stop - i;
        double share = (double)left / groups;
        if (i > 0 && (distinct < groups || (double)size + (double)count / 2 > share)) {
            edge[edges++] = x[i];
            groups--;
            left -= size;
            size = 0;
        }
        size += count;
    }
    return edges;
}
