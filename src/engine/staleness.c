/* staleness.c -- exact buckets up to 31, then eight to a factor of two. */
#include "engine/staleness.h"

enum { EXACT = 32, EXACT_LOG2 = 5, STEPS_LOG2 = 3, STEPS = 1 << STEPS_LOG2 };

static int bucket_of(uint64_t tau)
{
    if (tau < EXACT) return (int)tau;
    int log2 = 63 - __builtin_clzll(tau);
    int i = EXACT + (log2 - EXACT_LOG2) * STEPS + (int)(tau >> (log2 - STEPS_LOG2) & (STEPS - 1));
    return i < ASGD_STALENESS_BUCKETS ? i : ASGD_STALENESS_BUCKETS - 1;
}

uint64_t asgd_staleness_low(int bucket)
{
    if (bucket < EXACT) return bucket < 0 ? 0 : (uint64_t)bucket;
    if (bucket >= ASGD_STALENESS_BUCKETS) bucket = ASGD_STALENESS_BUCKETS - 1;
    int log2 = EXACT_LOG2 + (bucket - EXACT) / STEPS;
    return (uint64_t)(STEPS + (bucket - EXACT) % STEPS) << (log2 - STEPS_LOG2);
}

void asgdi_tau_add(asgdi_tau *t, uint64_t tau, uint64_t updates)
{
    t->sum += (double)tau * (double)updates;
    t->count += updates;
    if (tau > t->max) t->max = tau;
    t->bucket[bucket_of(tau)] += updates;
}

void asgdi_tau_take(asgdi_tau *sum, const asgdi_tau *t)
{
    sum->sum += t->sum;
    sum->count += t->count;
    if (t->max > sum->max) sum->max = t->max;
    for (int i = 0; i < ASGD_STALENESS_BUCKETS; i++) sum->bucket[i] += t->bucket[i];
}

static uint64_t quantile(const asgdi_tau *t, double q)
{
    double   want = q * (double)t->count;
    uint64_t seen = 0;
    for (int i = 0; i < ASGD_STALENESS_BUCKETS; i++) {
        seen += t->bucket[i];
        if (seen && (double)seen >= want) return asgd_staleness_low(i);
    }
    return 0;
}

void asgdi_tau_result(const asgdi_tau *t, asgd_staleness *out)
{
    *out      = (asgd_staleness){.count = t->count, .max = t->max};
    out->mean = t->count ? t->sum / (double)t->count : 0;
    out->p50  = quantile(t, 0.5);
    out->p99  = quantile(t, 0.99);
    for (int i = 0; i < ASGD_STALENESS_BUCKETS; i++) out->bucket[i] = t->bucket[i];
}

float asgdi_tau_weight(uint64_t tau, uint64_t in_flight, double damp)
{
    if ((double)tau <= damp * (double)in_flight) return 1;
    return (float)((double)in_flight / (double)tau);
}
