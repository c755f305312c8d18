/* metric.h -- what predictions are worth. */
#ifndef ASGDI_METRIC_H
#define ASGDI_METRIC_H

#include <string.h>

#include <asgd/asgd.h>

/* What examples add to the metrics.  Sums of stretches of the data are merged in their order, so
 * that the figures do not depend on which thread did what.  Every sum is weighted. */
typedef struct asgdi_metric_sums {
    asgd_stats stats; /* of the model's predict() */
    uint64_t   examples;
    double     weight;
    bool       weighted; /* some example has a weight of its own */
    double     right[2]; /* classes, binary: right ones; [1]: taking predictions as margins */
    bool       margins;  /* some prediction is no probability */
    double     logloss;
    double     predicted, label; /* binary: sums of both */
    double     squares, amounts; /* regression: of the errors */
    double     hits[3];          /* label sets: precision at 1, 3, 5 */
} asgdi_metric_sums;

/* Adds a batch with its predictions out [b->n][outputs]; not to stats, which predict() adds to. */
void asgdi_metric_add(asgdi_metric_sums *t, asgd_task task, uint32_t outputs, const asgd_batch *b,
                      const float *out);
void asgdi_metric_merge(asgdi_metric_sums *t, const asgdi_metric_sums *more);
/* All metrics but auc; NaN where one makes no sense. */
void asgdi_metric_results(const asgdi_metric_sums *t, asgd_task task, asgd_metrics *r);

/* One example for asgdi_auc(): the score as an integer that sorts alike, then the weight with the
 * class in place of its sign. */
static inline uint64_t asgdi_auc_item(float score, float y, float weight)
{
    uint32_t key, low;
    score += 0.0f; /* -0 becomes 0: they tie */
    memcpy(&key, &score, sizeof key);
    memcpy(&low, &weight, sizeof low);
    key = key & 0x80000000u ? ~key : key | 0x80000000u;
    low = (low & 0x7fffffffu) | (y > 0.5f ? 0x80000000u : 0);
    return (uint64_t)key << 32 | low;
}

/* Area under the ROC curve of n items, which it sorts; ties count half (Mann and Whitney 1947).
 * item: [2n], the second half is scratch.  NaN where one class is missing or a score is NaN. */
double asgdi_auc(uint64_t *item, uint64_t n);

#endif
