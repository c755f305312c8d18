/* kern_scalar.c -- the reference variant: one lane at a time, no fused multiply-add.
 *
 * Flags: -O2 -fno-tree-vectorize -fno-tree-loop-distribute-patterns -ffp-contract=off
 * -fno-math-errno, and nothing beyond the plain ABI (clang: -fno-slp-vectorize -fno-vectorize).  No
 * -ffast-math in any variant: infinities and NaN must come through. */
#include "kern/kern.h"

#define KERN_TABLE asgdk_scalar
#define KERN_NAME "scalar"

static inline float rload(const float *p)
{
    return *p;
}
static inline void rstore(float *p, float x)
{
    *p = x;
}
#define rload1 rload
#define rstore1 rstore

#include "kern/kern_lane1.h"
#include "kern/kern_body.h"
