/* labels.c -- every label its own logistic regression on one example's scores.
 *
 *     loss = sum over labels j of log(1 + exp(z_j)) - sum over the example's own labels j of z_j
 *     d loss / d z_j = 1 / (1 + exp(-z_j)) - t_j,      t_j = 1 for its own labels, else 0
 *
 * This is the sum of log(1 + exp(-m_j)), m_j = z_j for its own labels and -z_j for the others; it is
 * not divided by the number of labels, so that a label learns as fast as it would alone. */
#include "model/labels.h"

/* Whether the first of the best-scored labels is one of the example's own: whether no label is above
 * the best of those, nor is an earlier one as good. */
static bool best_is_own(const float *z, uint32_t labels, const uint32_t *own, uint32_t n)
{
    if (n == 0) return false;
    uint32_t first = own[0], better = 0;
    for (uint32_t i = 1; i < n; i++)
        if (z[own[i]] > z[first]) first = own[i];
    const float best = z[first];
    for (uint32_t j = 0; j < first; j++) better += z[j] >= best;
    for (uint32_t j = first; j < labels; j++) better += z[j] > best;
    return better == 0;
}

void asgdi_labels_loss(const asgd_kern *k, const asgd_batch *b, uint32_t labels, uint32_t pad,
                       float *z, bool slope, asgd_stats *st)
{
    for (uint32_t i = 0; i < b->n; i++) {
        float          *row    = z + (size_t)i * pad;
        const float     weight = b->weight ? b->weight[i] : 1;
        const uint32_t *own    = st ? b->label + b->label_begin[i] : NULL;
        const uint32_t  n      = st ? b->label_len[i] : 0;
        const bool      best   = best_is_own(row, labels, own, n);
        double          scores = 0;
        for (uint32_t j = 0; j < n; j++) scores += (double)row[own[j]];
        const double sum = k->logistic(row, labels, slope ? weight : 1);
        for (uint32_t j = 0; slope && j < n; j++) row[own[j]] -= weight;
        if (st) {
            st->loss += (double)weight * (sum - scores);
            st->weight += (double)weight;
            st->correct += best;
        }
    }
}

/* ---- the labels predicted first ---- */

/* Puts label j into its place among top[0..n), the last of which falls out where there are
 * ASGDI_TOP. */
static void insert(const float *score, uint32_t j, uint32_t top[ASGDI_TOP], uint32_t n)
{
    uint32_t at = n < ASGDI_TOP ? n : ASGDI_TOP - 1;
    for (; at > 0 && !(score[top[at - 1]] >= score[j]); at--) top[at] = top[at - 1];
    top[at] = j;
}

uint32_t asgdi_labels_top(const float *score, uint32_t n, uint32_t top[ASGDI_TOP])
{
    enum { RUN = 32 };
    uint32_t found = 0, j = 0;
    for (; j < n && found < ASGDI_TOP; j++) {
        if (score[j] != score[j]) continue;
        insert(score, j, top, found++);
    }
    while (j < n) {
        float    bound = score[top[ASGDI_TOP - 1]];
        uint32_t stop = n - j < RUN ? n : j + RUN, above = 0;
        for (uint32_t i = j; i < stop; i++) above += score[i] > bound;
        for (; above > 0 && j < stop; j++)
            if (score[j] > score[top[ASGDI_TOP - 1]]) insert(score, j, top, ASGDI_TOP);
        j = stop;
    }
    for (uint32_t i = 0; i < n && found < ASGDI_TOP; i++)
        if (score[i] != score[i]) top[found++] = i;
    return found;
}

bool asgdi_labels_has(const uint32_t *label, uint32_t n, uint32_t x)
{
    const uint32_t *end = label + n;
    while (n > 0) {
        uint32_t half = n / 2;
        if (label[half] < x) {
            label += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return label < end && *label == x;
}
