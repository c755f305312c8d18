/* kern_neon.c -- 4 lanes, 32 registers: every 64-bit ARM processor.
 *
 * Flags: -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-tree-loop-distribute-patterns.
 * Contraction: see kern_avx2.c. */
#include "kern/kern.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define KERN_TABLE asgdk_neon
#define KERN_NAME "neon"
#define VW 4
#define MAX_UNITS 13 /* 26 accumulators, of 32 registers */
typedef float32x4_t vf;

#define vset vdupq_n_f32
#define vload vld1q_f32
#define vstore vst1q_f32
#define vsqrt vsqrtq_f32
#define vmax vmaxq_f32 /* a NaN comes through */
#define vmin vminq_f32
#define sfma __builtin_fmaf
#define vsum vaddvq_f32
#define VBUILD(F) ((vf){F(0), F(1), F(2), F(3)})

static inline vf vfma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
static inline vf vloadn(const float *p, size_t m)
{
    float x[VW] = {0};
    for (size_t l = 0; l < m; l++) x[l] = p[l];
    return vld1q_f32(x);
}
static inline void vstoren(float *p, vf v, size_t m)
{
    float x[VW];
    vst1q_f32(x, v);
    for (size_t l = 0; l < m; l++) p[l] = x[l];
}
static inline vf vfirst(vf x, size_t m)
{
    float lane[VW];
    vst1q_f32(lane, x);
    return vloadn(lane, m);
}
static inline vf vshift23(vf x)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 23));
}

/* 8 bits by the processor, 16 and 23 by two steps of Newton's. */
static inline vf vrsqrt(vf x)
{
    vf y = vrsqrteq_f32(x);
    y    = vmulq_f32(y, vrsqrtsq_f32(vmulq_f32(x, y), y));
    return vmulq_f32(y, vrsqrtsq_f32(vmulq_f32(x, y), y));
}

#define vrsqrt_rough vrsqrt /* 8 bits are too few */

/* Rows of cells of four floats become columns: a cell is a vector. */
static inline void vcells(vf *x)
{
    (void)x;
}
static inline vf vwithout(vf x, uint32_t cell)
{
    (void)x;
    (void)cell;
    return vset(0);
}

#include "kern/kern_plain_rows.h"
static inline vf vquads(vf x)
{
    return vdupq_n_f32(vaddvq_f32(x));
}
static inline vf vspread(const float *p)
{
    return vdupq_n_f32(*p);
}
static inline void vpick(float *p, vf x, size_t m)
{
    (void)m; /* runs of units: all lanes */
    *p = vgetq_lane_f32(x, 0);
}
#include "kern/kern_body.h"
#endif
