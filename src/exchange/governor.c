/* governor.c -- the staleness governor.
 *
 * A run has no given staleness: it follows from the number of processes, their speed and the network.  What is
 * usual is therefore measured, and only what is far from it is acted upon; the first deltas of a block, before
 * anything is usual, pass. */
#include "exchange/governor.h"

#include <math.h>

enum { WARM = 8 }; /* deltas until something is usual */

static float follow(float mean, double x, uint32_t seen)
{
    const float rate = seen < 31 ? 1.0f / (float)(seen + 1) : 1.0f / 32;
    return mean + rate * ((float)x - mean);
}

asgdi_verdict asgdi_govern(const asgdi_limits *limits, asgdi_usual *usual, double tau, double norm,
                           float *weight)
{
    asgdi_verdict v = ASGDI_ACCEPTED;
    double        w = 1;
    if (!isfinite(norm)) {
        *weight = 0;
        return ASGDI_QUARANTINED;
    }
    const double usual_tau = usual->tau > 1 ? (double)usual->tau : 1;
    if (usual->seen >= WARM) {
        if (norm > limits->clip * (double)usual->norm && usual->norm > 0) {
            w = limits->clip * (double)usual->norm / norm;
            v = ASGDI_CLIPPED;
        }
        if (tau > limits->drop * usual_tau) {
            w = 0;
            v = ASGDI_DROPPED;
        } else if (tau > limits->damp * usual_tau) {
            w *= usual_tau / tau;
            v = ASGDI_DAMPED;
        }
    }
    /* an outlier moves what is usual no further than the largest that is still let pass */
    usual->tau  = follow(usual->tau, fmin(tau, 8 * usual_tau), usual->seen);
    usual->norm = follow(usual->norm, norm * w, usual->seen);
    if (usual->seen < UINT32_MAX) usual->seen++;
    *weight = (float)w;
    return v;
}
