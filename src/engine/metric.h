/* metric.h -- what predictions are worth. */
#ifndef ASGDI_METRIC_H
#define ASGDI_METRIC_H

#include <asgd/asgd.h>

/* Area under the ROC curve of scores [n] for y in {0, 1}; ties count half (Mann and Whitney 1947).
 * order: scratch of 2n.  NaN where one class is missing.  n < 2^32. */
double asgdi_auc(const float *score, const float *y, uint64_t n, uint32_t *order);

#endif
