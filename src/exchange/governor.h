/* governor.h -- with what weight a delta enters the master: the staleness governor, pure functions. */
#ifndef ASGDI_GOVERNOR_H
#define ASGDI_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

/* What is usual for a block: running means over its deltas. */
typedef struct asgdi_usual {
    float    tau, norm;
    uint32_t seen;
} asgdi_usual;

typedef struct asgdi_limits {
    double damp, drop, clip; /* as in asgdi_exchange_config */
} asgdi_limits;

typedef enum asgdi_verdict {
    ASGDI_ACCEPTED,
    ASGDI_CLIPPED,
    ASGDI_DAMPED,
    ASGDI_DROPPED,
    ASGDI_QUARANTINED,
} asgdi_verdict;

/* tau: updates by others that entered the block since the delta's base; norm: Euclidean, of the delta.
 * Weight 1 up to limits->damp times the usual staleness, beyond that usual / tau: the delay-adaptive step of
 * Mishchenko, Bach, Even, Woodworth (2022), made tolerant of jitter; 0 beyond drop times (Maranjyan, Tyurin,
 * Richtarik 2025).  Norms beyond clip times the usual one are cut to that.  What is not finite is kept out.
 * *usual then includes this delta. */
asgdi_verdict asgdi_govern(const asgdi_limits *limits, asgdi_usual *usual, double tau, double norm,
                           float *weight);

#endif
