/* staleness.h -- the histogram of staleness. */
#ifndef ASGDI_STALENESS_H
#define ASGDI_STALENESS_H

#include <asgd/asgd.h>

/* One worker's, kept private and added up at the end. */
typedef struct asgdi_tau {
    double   sum;
    uint64_t count, max;
    uint64_t bucket[ASGD_STALENESS_BUCKETS];
} asgdi_tau;

void asgdi_tau_add(asgdi_tau *t, uint64_t tau, uint64_t updates);
void asgdi_tau_take(asgdi_tau *sum, const asgdi_tau *t);
void asgdi_tau_result(const asgdi_tau *t, asgd_staleness *out);

#endif
