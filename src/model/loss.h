/* loss.h -- losses of one score s for a target y, and their derivatives d loss / d s.
 *
 *   squared    (s - y)^2 / 2                  s - y
 *   logistic   log(1 + exp(-m))               1 / (1 + exp(-s)) - y       m = (2 y - 1) s
 *   hinge      max(0, 1 - m)                  -(2 y - 1) where m < 1, else 0
 *
 * y is 0 or 1 for logistic and hinge.  Cross-entropy over several scores is in net.c. */
#ifndef ASGDI_LOSS_H
#define ASGDI_LOSS_H

#include <math.h>

/* Written with exp(-|s|) so that nothing overflows; NaN stays NaN. */
static inline float asgdi_sigmoid(float s)
{
    float e = expf(-fabsf(s));
    return (s < 0 ? e : 1) / (1 + e);
}

static inline float asgdi_loss_squared(float s, float y, float *slope)
{
    *slope = s - y;
    return 0.5f * (s - y) * (s - y);
}

static inline float asgdi_loss_logistic(float s, float y, float *slope)
{
    float e = expf(-fabsf(s)), m = (2 * y - 1) * s;
    *slope = (s < 0 ? e : 1) / (1 + e) - y;
    return logf(1 + e) + (m < 0 ? -m : 0);
}

static inline float asgdi_loss_hinge(float s, float y, float *slope)
{
    float sign = 2 * y - 1, m = sign * s;
    *slope = m < 1 ? -sign : 0;
    return m >= 1 ? 0 : 1 - m;
}

#endif
