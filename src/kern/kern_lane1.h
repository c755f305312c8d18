/* kern_lane1.h -- the primitives of kern_body.h for vectors of one lane: plain C, no fused
 * multiply-add.  What this file does is what the other variants' primitives mean.  The includer
 * defines how floats of shared rows are read and written: rload(p), rstore(p, x). */
#include <math.h>
#include <string.h>

#define VW 1
#define MAX_UNITS 1
typedef float vf;

static inline vf vset(float x)
{
    return x;
}
static inline vf vload(const float *p)
{
    return *p;
}
static inline void vstore(float *p, vf x)
{
    *p = x;
}
/* The first m lanes, the others zero; with one lane never needed. */
#define vloadn(p, m) ((void)(m), vload(p))
#define vstoren(p, x, m) ((void)(m), vstore((p), (x)))
#define rloadn(p, m) ((void)(m), rload(p))
#define rstoren(p, x, m) ((void)(m), rstore((p), (x)))
#define VBUILD(F) F(0)

static inline vf vfma(vf a, vf b, vf c) /* a b + c */
{
    return a * b + c;
}
static inline float sfma(float a, float b, float c)
{
    return a * b + c;
}
static inline vf vsqrt(vf x)
{
    return sqrtf(x);
}
static inline vf vrsqrt(vf x)
{
    return 1 / sqrtf(x);
}
#define vrsqrt_rough vrsqrt
/* min and max with the data second: a NaN there comes through. */
static inline vf vmax(vf a, vf x)
{
    return a > x ? a : x;
}
static inline vf vmin(vf a, vf x)
{
    return a < x ? a : x;
}
#define vsum(x) (x)
#define vfirst(x, m) ((void)(m), (x))
/* The float whose bits are x's, shifted left by 23. */
static inline vf vshift23(vf x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits <<= 23;
    memcpy(&x, &bits, sizeof x);
    return x;
}
