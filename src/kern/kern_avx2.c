/* kern_avx2.c -- 8 lanes, 16 registers: x86-64 since 2013 (Haswell) and 2017 (Zen).
 *
 * Flags: -O3 -mavx2 -mfma -ffp-contract=off -fno-math-errno -fno-trapping-math
 * -fno-tree-loop-distribute-patterns.  Multiply-adds are fused where this source says so and nowhere
 * else, so that compilers and variants agree on every bit. */
#include "kern/kern.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile kern_avx2.c with -mavx2 -mfma"
#endif
#include <immintrin.h>

#define KERN_TABLE asgdk_avx2
#define KERN_NAME "avx2"
#define VW 8
#define MAX_UNITS 13 /* accumulators, of 16 registers */
typedef __m256 vf;

#define vset _mm256_set1_ps
#define vload _mm256_loadu_ps
#define vstore _mm256_storeu_ps
#define vfma _mm256_fmadd_ps
#define vsqrt _mm256_sqrt_ps
#define vmax _mm256_max_ps /* a NaN in the second operand comes through */
#define vmin _mm256_min_ps
#define sfma __builtin_fmaf
#define VBUILD(F) _mm256_setr_ps(F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7))

static inline __m256i first_lanes(size_t m)
{
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(mask + 8 - m));
}
static inline vf vloadn(const float *p, size_t m)
{
    return _mm256_maskload_ps(p, first_lanes(m));
}
/* In parts of 4, 2 and 1: a masked store takes AMD's processors up to 20 times as long. */
static inline void vstoren(float *p, vf x, size_t m)
{
    __m128 part = _mm256_castps256_ps128(x);
    if (m & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (m & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (m & 1) _mm_store_ss(p, part);
}
static inline vf vshift23(vf x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23));
}

#include "kern/kern_plain_rows.h"
#include "kern/kern_body.h"
#endif
