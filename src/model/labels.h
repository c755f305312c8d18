/* labels.h -- examples with any number of labels each: their loss, and the labels predicted first. */
#ifndef ASGDI_LABELS_H
#define ASGDI_LABELS_H

#include "kern/kern.h"

/* Scores z [b->n][pad] of `labels` labels become probabilities, and *st gains the losses (NULL: not
 * wanted).  slope: they become weight * d loss / d z instead, and st is not NULL. */
void asgdi_labels_loss(const asgd_kern *k, const asgd_batch *b, uint32_t labels, uint32_t pad,
                       float *z, bool slope, asgd_stats *st);

enum { ASGDI_TOP = 5 };
/* The numbers of the highest min(n, ASGDI_TOP) of score[0..n), best first, the lower of equal ones
 * first; returns how many.  NaN is below everything. */
uint32_t asgdi_labels_top(const float *score, uint32_t n, uint32_t top[ASGDI_TOP]);
/* Whether x is among label[0..n), which increase. */
bool asgdi_labels_has(const uint32_t *label, uint32_t n, uint32_t x);

#endif
