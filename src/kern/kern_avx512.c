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
#define NARROW asgdk_avx2
#define VW 16
#define MAX_UNITS 26 /* 13 accumulators, of 32 registers: wider tiles gain nothing */
typedef __m512 vf;

extern const asgd_kern asgdk_avx2;

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
/* Half a vector, which is what rows end with, without a mask: a masked access of 64 bytes reaches into the
 * next cache line, and waits for it though no lane of it is wanted. */
static inline __attribute__((always_inline)) vf vloadn(const float *p, size_t m)
{
    if (m == 8) return _mm512_zextps256_ps512(_mm256_loadu_ps(p));
    return _mm512_maskz_loadu_ps(first_lanes(m), p);
}
static inline __attribute__((always_inline)) void vstoren(float *p, vf x, size_t m)
{
    if (m == 8)
        _mm256_storeu_ps(p, _mm512_castps512_ps256(x));
    else
        _mm512_mask_storeu_ps(p, first_lanes(m), x);
}
static inline vf vfirst(vf x, size_t m)
{
    return _mm512_maskz_mov_ps(first_lanes(m), x);
}
/* The sums of a and b in lanes 0 and 1: the first step folds both at once. */
#define HAVE_SUM_TWO
static inline __m128 vsum_two(vf a, vf b)
{
    const vf     both = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m256 eight =
        _mm256_add_ps(_mm512_castps512_ps256(both), _mm512_extractf32x8_ps(both, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    return _mm_add_ps(four, _mm_movehl_ps(four, four));
}
#define rlane0(p) _mm512_zextps128_ps512(_mm_load_ss(p))
static inline vf vshift23(vf x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 23));
}

#define vrsqrt_rough _mm512_rsqrt14_ps
/* 14 bits by the processor, 23 by a step of Newton's. */
static inline vf vrsqrt(vf x)
{
    const vf y = _mm512_rsqrt14_ps(x), half = _mm512_mul_ps(_mm512_set1_ps(-0.5f), x);
    return y * _mm512_fmadd_ps(half, y * y, _mm512_set1_ps(1.5f));
}

/* Rows of cells of four floats become columns. */
static inline __attribute__((always_inline)) void vcells(vf x[4])
{
    const vf a = _mm512_shuffle_f32x4(x[0], x[1], 0x44), b = _mm512_shuffle_f32x4(x[0], x[1], 0xee);
    const vf c = _mm512_shuffle_f32x4(x[2], x[3], 0x44), d = _mm512_shuffle_f32x4(x[2], x[3], 0xee);
    x[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    x[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    x[2] = _mm512_shuffle_f32x4(b, d, 0x88);
    x[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
}
static inline __attribute__((always_inline)) vf vwithout(vf x, uint32_t cell)
{
    return _mm512_maskz_mov_ps((__mmask16) ~(0xfu << (4 * cell)), x);
}

#include "kern/kern_plain_rows.h"
/* ---- quads of lanes ---- */

static inline vf vquads(vf x)
{
    const vf y = _mm512_add_ps(x, _mm512_permute_ps(x, 0xb1));
    return _mm512_add_ps(y, _mm512_permute_ps(y, 0x4e));
}
static inline vf vspread(const float *p)
{
    const __m512i lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(p)), lane);
}
static inline __attribute__((always_inline)) void vpick(float *p, vf x, size_t m)
{
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    const __m128  four  = _mm512_castps512_ps128(_mm512_permutexvar_ps(first, x));
    if (m == VW)
        _mm_storeu_ps(p, four);
    else
        _mm_storel_pi((__m64 *)p, four);
}
#define HAVE_QUADS
/* Lane 4 q + i: the sum of quad q of x[i]. */
static inline __attribute__((always_inline)) vf vquads_turned(const vf x[4])
{
    const vf a = _mm512_add_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    const vf b = _mm512_add_ps(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
/* Lane i of each quad, in all four of it. */
static inline __attribute__((always_inline)) vf vfour(vf x, uint32_t i)
{
    return _mm512_permutevar_ps(x, _mm512_set1_epi32((int)i));
}
/* Lane 4 i + q becomes lane 4 q + i. */
static inline vf vturn(vf x)
{
    const __m512i from = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(from, x);
}
/* Lane 4 q + i: float q of place i of n <= 4, and back. */
static inline __attribute__((always_inline)) vf vload_turned(float *const p[4], uint32_t n)
{
    vf x = _mm512_zextps128_ps512(_mm_loadu_ps(p[0]));
    if (n > 1) x = _mm512_mask_broadcast_f32x4(x, 0x00f0, _mm_loadu_ps(p[1]));
    if (n > 2) x = _mm512_mask_broadcast_f32x4(x, 0x0f00, _mm_loadu_ps(p[2]));
    if (n > 3) x = _mm512_mask_broadcast_f32x4(x, 0xf000, _mm_loadu_ps(p[3]));
    return vturn(x);
}
static inline __attribute__((always_inline)) void vstore_turned(float *const p[4], uint32_t n,
                                                                vf turned)
{
    const vf x = vturn(turned);
    _mm_storeu_ps(p[0], _mm512_castps512_ps128(x));
    if (n > 1) _mm_storeu_ps(p[1], _mm512_extractf32x4_ps(x, 1));
    if (n > 2) _mm_storeu_ps(p[2], _mm512_extractf32x4_ps(x, 2));
    if (n > 3) _mm_storeu_ps(p[3], _mm512_extractf32x4_ps(x, 3));
}

#define HAVE_FOLD
static inline float fold_four(__m128 four)
{
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float fold(const vf *acc)
{
    const __m256 eight =
        _mm256_add_ps(_mm512_castps512_ps256(acc[0]), _mm512_extractf32x8_ps(acc[0], 1));
    return fold_four(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
}
/* Where all but the first four lanes are zero. */
static inline float fold_few(const vf *acc)
{
    return fold_four(_mm512_castps512_ps128(acc[0]));
}

#include "kern/kern_x86_pairs.h"
#define HAVE_ROW_PAIRS
/* Addresses of rows of two floats. */
static inline __m512i row_addresses(const asgd_view *t, __m256i idx)
{
    const __m512i i       = _mm512_cvtepu32_epi64(idx);
    const __m512i own     = _mm512_set1_epi64((long long)(uintptr_t)t->own),
                  all     = _mm512_set1_epi64((long long)(uintptr_t)t->shared);
    const __mmask8 is_own = _mm512_cmplt_epu64_mask(i, _mm512_set1_epi64((long long)t->n_own));
    return _mm512_add_epi64(_mm512_mask_mov_epi64(all, is_own, own), _mm512_slli_epi64(i, 3));
}
static inline __attribute__((always_inline)) void
load_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf *w, vf *a)
{
    if (m <= 4) { /* single loads have the shorter way */
        const quad_pairs x = load_quad(t, idx, m);
        *w                 = _mm512_castps128_ps512(quad_first(x));
        *a                 = _mm512_castps128_ps512(quad_second(x));
        return;
    }
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i   odd   = _mm512_or_si512(even, _mm512_set1_epi32(1));
    const __mmask16 lanes = first_lanes(m);
    const __m512i   i     = _mm512_maskz_loadu_epi32(lanes, idx);
    const __m512d   zero  = _mm512_setzero_pd();
    const __m512d   x     = _mm512_mask_i64gather_pd(
              zero, (__mmask8)lanes, row_addresses(t, _mm512_castsi512_si256(i)), NULL, 1);
    __m512d y = zero;
    if (m > 8)
        y = _mm512_mask_i64gather_pd(zero, (__mmask8)(lanes >> 8),
                                     row_addresses(t, _mm512_extracti64x4_epi64(i, 1)), NULL, 1);
    *w = _mm512_permutex2var_ps(_mm512_castpd_ps(x), even, _mm512_castpd_ps(y));
    *a = _mm512_permutex2var_ps(_mm512_castpd_ps(x), odd, _mm512_castpd_ps(y));
}
static inline __attribute__((always_inline)) void
store_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf w, vf a)
{
    store_quad(t, idx, m, _mm512_castps512_ps128(w), _mm512_castps512_ps128(a));
    if (m > 4)
        store_quad(t, idx + 4, m - 4, _mm512_extractf32x4_ps(w, 1), _mm512_extractf32x4_ps(a, 1));
    if (m > 8)
        store_quad(t, idx + 8, m - 8, _mm512_extractf32x4_ps(w, 2), _mm512_extractf32x4_ps(a, 2));
    if (m > 12)
        store_quad(t, idx + 12, m - 12, _mm512_extractf32x4_ps(w, 3), _mm512_extractf32x4_ps(a, 3));
}

#include "kern/kern_body.h"
#endif
