/* kern_logistic.h -- the logistic function and its loss over many scores at once; part of kern_body.h.
 *
 * With e = exp(-|z|), which cannot overflow,
 *
 *     1 / (1 + exp(-z)) = (z < 0 ? e : 1) / (1 + e),    log(1 + exp(z)) = max(z, 0) + log(1 + e)
 *
 * A logarithm costs as much as all the rest, so the factors 1 + e, which are at most 2, are multiplied
 * first: 32 to a lane, which a float holds, then the 16 lanes, which a double holds.  Rounding takes
 * up to 6e-8 of the loss of a score; the logistic function itself loses nothing.
 *
 * The choice between e and 1 is max(e, min(1, z * huge)): where z is between 0 and 1 / huge, e is 1. */
#include <float.h>
#include <math.h>

enum { FACTORS = 32 };

/* 16 scores. */
INLINE void logistic_lanes(float *z, vf scale, vf *product, vf *above)
{
    const vf one = vset(1), zero = vset(0);
    UNROLL for (int k = 0; k < ACCUMULATORS; k++)
    {
        const vf x      = vload(z + k * VW);
        const vf e      = exp1(vmin(zero - x, x));
        const vf factor = one + e;
        const vf top    = vmax(e, vmin(one, x * vset(1e30f)));
        product[k]      = product[k] * factor;
        above[k]        = above[k] + vmax(zero, x);
        vstore(z + k * VW, top * scale / factor);
    }
}

static double logistic(float *z, size_t n, float scale)
{
    const vf times = vset(scale);
    vf       above[ACCUMULATORS];
    float    lane[LANES];
    double   sum = 0;
    for (int k = 0; k < ACCUMULATORS; k++) above[k] = vset(0);
    for (size_t i = 0; i < n;) {
        vf     product[ACCUMULATORS];
        double all = 1;
        for (int k = 0; k < ACCUMULATORS; k++) product[k] = vset(1);
        for (int f = 0; f < FACTORS && n - i >= LANES; f++, i += LANES)
            logistic_lanes(z + i, times, product, above);
        if (n - i < LANES) {
            const size_t rest = n - i;
            for (size_t l = 0; l < LANES; l++) lane[l] = l < rest ? z[i + l] : -FLT_MAX;
            logistic_lanes(lane, times, product, above);
            memcpy(z + i, lane, rest * sizeof *z);
            i = n;
        }
        for (int k = 0; k < ACCUMULATORS; k++) vstore(lane + k * VW, product[k]);
        for (int l = 0; l < LANES; l++) all *= (double)lane[l];
        sum += log(all);
    }
    for (int k = 0; k < ACCUMULATORS; k++) vstore(lane + k * VW, above[k]);
    for (int l = 0; l < LANES; l++) sum += (double)lane[l];
    return sum;
}
