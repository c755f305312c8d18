/* metric.c -- AUC; metrics by name. */
#include "engine/metric.h"

#include <math.h>
#include <string.h>

/* Scores as integers that sort alike, so that a radix sort serves. */
static uint32_t sortable(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Merge-free LSD radix sort of order[0..n) by key, through tmp [n]. */
static void sort_by_score(const float *score, uint64_t n, uint32_t *order, uint32_t *tmp)
{
    for (int shift = 0; shift < 32; shift += 8) {
        uint64_t at[257] = {0};
        for (uint64_t i = 0; i < n; i++) at[(sortable(score[order[i]]) >> shift & 255) + 1]++;
        for (int b = 0; b < 256; b++) at[b + 1] += at[b];
        for (uint64_t i = 0; i < n; i++)
            tmp[at[sortable(score[order[i]]) >> shift & 255]++] = order[i];
        uint32_t *t = order;
        order       = tmp;
        tmp         = t;
    }
}

double asgdi_auc(const float *score, const float *y, uint64_t n, uint32_t *order)
{
    for (uint64_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    sort_by_score(score, n, order, order + n);
    double positives = 0, negatives = 0, area = 0;
    for (uint64_t i = 0; i < n;) {
        double   p = 0, q = 0;
        uint64_t j = i;
        for (; j < n && score[order[j]] == score[order[i]]; j++) {
            if (y[order[j]] > 0.5f)
                p++;
            else
                q++;
        }
        if (j == i) return NAN; /* a score that is not a number equals nothing */
        area += p * (negatives + q / 2);
        positives += p;
        negatives += q;
        i = j;
    }
    return positives > 0 && negatives > 0 ? area / (positives * negatives) : NAN;
}

double asgd_metric_get(const asgd_metrics *m, const char *name, int *better)
{
#define X(metric, sign)               \
    if (strcmp(name, #metric) == 0) { \
        if (better) *better = (sign); \
        return m->metric;             \
    }
    ASGD_METRIC_MAP(X)
#undef X
    if (better) *better = 0;
    return NAN;
}
