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
/* Weight of progress of staleness tau where in_flight updates are usual: 1 up to `damp` times that, then
 * in_flight / tau, the delay-adaptive step of Mishchenko, Bach, Even and Woodworth (2022) made tolerant of
 * the jitter that schedulers cause. */
float asgdi_tau_weight(uint64_t tau, uint64_t in_flight, double damp);
void  asgdi_tau_result(const asgdi_tau *t, asgd_staleness *out);

#endif
