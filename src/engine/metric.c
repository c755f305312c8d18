/* metric.c -- metrics from predictions; AUC; metrics by name.
 *
 *     logloss      mean of -log p(y), p not below 1e-15
 *     ne           logloss / (-q log q - (1 - q) log(1 - q)),  q the mean label (He et al. 2014)
 *     calibration  mean prediction / q
 *     p@k          mean of (own labels among the k predicted first) / k; of equal scores the lower
 *                  label is first, and an example without labels counts 0
 *
 * All means are weighted by the examples' weights. */
#include "engine/metric.h"

#include <math.h>

#include "model/labels.h"

/* ---- sums over examples ---- */

static double log_of(double p)
{
    return log(p > 1e-15 ? p : 1e-15);
}

static void add_binary(asgdi_metric_sums *t, float out, float y, double weight)
{
    bool   positive = y > 0.5f;
    double p        = (double)out;
    t->margins      = t->margins || !(out >= 0 && out <= 1);
    t->logloss -= weight * log_of(positive ? p : 1 - p);
    t->predicted += weight * p;
    t->label += positive ? weight : 0;
    t->right[0] += (out > 0.5f) == positive ? weight : 0;
    t->right[1] += (out > 0) == positive ? weight : 0;
}

static void add_class(asgdi_metric_sums *t, const float *out, uint32_t classes, float y,
                      double weight)
{
    uint32_t c = (uint32_t)y, above = 0;
    t->margins = t->margins || !(out[c] >= 0 && out[c] <= 1);
    t->logloss -= weight * log_of((double)out[c]);
    for (uint32_t j = 0; j < c; j++) above += out[j] >= out[c];
    for (uint32_t j = c + 1; j < classes; j++) above += out[j] > out[c];
    for (int i = 0; i < 2; i++) t->right[i] += above == 0 ? weight : 0;
}

static void add_value(asgdi_metric_sums *t, float out, float y, double weight)
{
    double error = (double)out - (double)y;
    t->squares += weight * error * error;
    t->amounts += weight * fabs(error);
}

static void add_labels(asgdi_metric_sums *t, const float *out, uint32_t labels, const uint32_t *own,
                       uint32_t n, double weight)
{
    uint32_t top[ASGDI_TOP], hits = 0, found = asgdi_labels_top(out, labels, top);
    for (uint32_t i = 0; i < ASGDI_TOP; i++) {
        hits += i < found && asgdi_labels_has(own, n, top[i]);
        if (i % 2 == 0) t->hits[i / 2] += weight * hits / (i + 1); /* 1, 3, 5 */
    }
}

void asgdi_metric_add(asgdi_metric_sums *t, asgd_task task, uint32_t outputs, const asgd_batch *b,
                      const float *out)
{
    t->weighted = t->weighted || b->weight;
    t->examples += b->n;
    for (uint32_t i = 0; i < b->n; i++, out += outputs) {
        double weight = b->weight ? (double)b->weight[i] : 1;
        t->weight += weight;
        switch (task) {
        case ASGD_TASK_RANKING: break;
        case ASGD_TASK_REGRESSION: add_value(t, out[0], b->y[i], weight); break;
        case ASGD_TASK_BINARY: add_binary(t, out[0], b->y[i], weight); break;
        case ASGD_TASK_CLASSES: add_class(t, out, outputs, b->y[i], weight); break;
        case ASGD_TASK_LABELS:
            add_labels(t, out, outputs, b->label + b->label_begin[i], b->label_len[i], weight);
            break;
        }
    }
}

void asgdi_metric_merge(asgdi_metric_sums *t, const asgdi_metric_sums *more)
{
    t->stats.loss += more->stats.loss;
    t->stats.weight += more->stats.weight;
    t->stats.correct += more->stats.correct;
    t->examples += more->examples;
    t->weight += more->weight;
    t->weighted = t->weighted || more->weighted;
    for (int i = 0; i < 2; i++) t->right[i] += more->right[i];
    t->margins = t->margins || more->margins;
    t->logloss += more->logloss;
    t->predicted += more->predicted;
    t->label += more->label;
    t->squares += more->squares;
    t->amounts += more->amounts;
    for (int i = 0; i < 3; i++) t->hits[i] += more->hits[i];
}

/* ---- metrics ---- */

static void binary_metrics(const asgdi_metric_sums *t, asgd_metrics *r)
{
    double q = t->label / t->weight;
    if (q > 0 && q < 1) r->ne = r->logloss / -(q * log(q) + (1 - q) * log1p(-q));
    if (q > 0) r->calibration = t->predicted / t->label;
}

void asgdi_metric_results(const asgdi_metric_sums *t, asgd_task task, asgd_metrics *r)
{
#define X(name, better) .name = NAN,
    *r                        = (asgd_metrics){ASGD_METRIC_MAP(X).examples = t->examples};
#undef X
    r->loss = t->stats.loss / t->stats.weight;
    switch (task) {
    case ASGD_TASK_REGRESSION:
        r->rmse = sqrt(t->squares / t->weight);
        r->mae  = t->amounts / t->weight;
        return;
    case ASGD_TASK_RANKING: return;
    case ASGD_TASK_LABELS:
        r->p1       = t->hits[0] / t->weight;
        r->p3       = t->hits[1] / t->weight;
        r->p5       = t->hits[2] / t->weight;
        r->accuracy = r->p1;
        break;
    case ASGD_TASK_BINARY:
    case ASGD_TASK_CLASSES:
        /* the model's own count where it can serve: it knows what its predictions are */
        r->accuracy = t->weighted ? t->right[t->margins] / t->weight
                                  : (double)t->stats.correct / (double)t->examples;
        if (t->margins) break; /* hinge predicts margins */
        r->logloss = t->logloss / t->weight;
        if (task == ASGD_TASK_BINARY) binary_metrics(t, r);
        break;
    }
    r->error = 1 - r->accuracy;
}

/* ---- area under the ROC curve ---- */

enum { DIGIT = 11, DIGITS = 3, BUCKETS = 1 << DIGIT };

static uint32_t digit_of(uint64_t item, int digit)
{
    return (uint32_t)(item >> (32 + digit * DIGIT)) & (BUCKETS - 1);
}

/* LSD radix sort by the upper half of the items; returns where they end up, a or b. */
static uint64_t *sort_items(uint64_t *a, uint64_t *b, uint64_t n)
{
    for (int digit = 0; digit < DIGITS; digit++) {
        uint64_t at[BUCKETS] = {0}, sum = 0;
        for (uint64_t i = 0; i < n; i++) at[digit_of(a[i], digit)]++;
        if (at[digit_of(a[0], digit)] == n) continue; /* they all have the same */
        for (int i = 0; i < BUCKETS; i++) {
            uint64_t count = at[i];
            at[i]          = sum;
            sum += count;
        }
        for (uint64_t i = 0; i < n; i++) b[at[digit_of(a[i], digit)]++] = a[i];
        uint64_t *t = a;
        a           = b;
        b           = t;
    }
    return a;
}

static uint32_t key_of(uint64_t item)
{
    return (uint32_t)(item >> 32);
}

double asgdi_auc(uint64_t *item, uint64_t n)
{
    if (n == 0) return NAN;
    const uint64_t *a         = sort_items(item, item + n, n);
    double          positives = 0, negatives = 0, area = 0;
    if (key_of(a[0]) < key_of(asgdi_auc_item(-INFINITY, 0, 0)) ||
        key_of(a[n - 1]) > key_of(asgdi_auc_item(INFINITY, 0, 0)))
        return NAN; /* a score that is not a number */
    for (uint64_t i = 0; i < n;) {
        double p = 0, q = 0;
        for (uint64_t first = i; i < n && key_of(a[i]) == key_of(a[first]); i++) {
            uint32_t bits = (uint32_t)a[i] & 0x7fffffffu;
            float    weight;
            memcpy(&weight, &bits, sizeof weight);
            if (a[i] & 0x80000000u)
                p += (double)weight;
            else
                q += (double)weight;
        }
        area += p * (negatives + q / 2);
        positives += p;
        negatives += q;
    }
    return positives > 0 && negatives > 0 ? area / (positives * negatives) : NAN;
}

/* ---- by name ---- */

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
