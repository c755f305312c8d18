/* kern_avx512.c -- 16 lanes, 32 registers, masked tails: x86-64 servers since 2017 (Skylake-SP) and
 * 2022 (Zen 4).
 *
 * Flags: -O3 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma -mprefer-vector-width=512
 * -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-tree-loop-distribute-patterns.  Contraction:
 * see kern_avx2.c. */
#include "kern/kern.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512VL__) || !defined(__AVX512DQ__)
#error "compile kern_avx512.c with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma"
#endif
#include <immintrin.h>

#define KERN_TABLE asgdk_avx512
#define KERN_NAME "avx512"
#define VW 16
#define MAX_UNITS 26 /* 13 accumulators, of 32 registers: wider tiles gain nothing */
typedef __m512 vf;

#define vset _mm512_set1_ps
#define vload _mm512_loadu_ps
#define vstore _mm512_storeu_ps
#define vfma _mm512_fmadd_ps
#define vsqrt _mm512_sqrt_ps
#define vmax _mm512_max_ps /* a NaN in the second operand comes through */
#define vmin _mm512_min_ps
#define sfma __builtin_fmaf
#define vsum _mm512_reduce_add_ps
#define VBUILD(F)                                                                            \
    _mm512_setr_ps(F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), \
                   F(12), F(13), F(14), F(15))

static inline __mmask16 first_lanes(size_t m)
{
    return (__mmask16)((1u << m) - 1);
}
static inline vf vloadn(const float *p, size_t m)
{
    return _mm512_maskz_loadu_ps(first_lanes(m), p);
}
static inline void vstoren(float *p, vf x, size_t m)
{
    _mm512_mask_storeu_ps(p, first_lanes(m), x);
}
static inline vf vfirst(vf x, size_t m)
{
    return _mm512_maskz_mov_ps(first_lanes(m), x);
}
static inline vf vsum_all(vf x)
{
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
    x = _mm512_add_ps(x, _mm512_permute_ps(x, 0x4e));
    return _mm512_add_ps(x, _mm512_permute_ps(x, 0xb1));
}
static inline vf vshift23(vf x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 23));
}

/* 14 bits by the processor, 23 by a step of Newton's. */
static inline vf vrsqrt(vf x)
{
    const vf y = _mm512_rsqrt14_ps(x), half = _mm512_mul_ps(_mm512_set1_ps(-0.5f), x);
    return y * _mm512_fmadd_ps(half, y * y, _mm512_set1_ps(1.5f));
}

#include "kern/kern_plain_rows.h"
#include "kern/kern_body.h"
#endif
