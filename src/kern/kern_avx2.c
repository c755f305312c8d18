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
static inline vf vfirst(vf x, size_t m)
{
    return _mm256_and_ps(x, _mm256_castsi256_ps(first_lanes(m)));
}
static inline float vsum(vf x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two  = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline vf vshift23(vf x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23));
}

#define vrsqrt_rough _mm256_rsqrt_ps
/* 12 bits by the processor, 23 by a step of Newton's: a root and a division take half as long again. */
static inline vf vrsqrt(vf x)
{
    const vf y = _mm256_rsqrt_ps(x), half = _mm256_mul_ps(_mm256_set1_ps(-0.5f), x);
    return y * _mm256_fmadd_ps(half, y * y, _mm256_set1_ps(1.5f));
}

/* Rows of cells of four floats become columns. */
static inline __attribute__((always_inline)) void vcells(vf x[2])
{
    const vf a = _mm256_permute2f128_ps(x[0], x[1], 0x20);
    x[1]       = _mm256_permute2f128_ps(x[0], x[1], 0x31);
    x[0]       = a;
}
static inline __attribute__((always_inline)) vf vwithout(vf x, uint32_t cell)
{
    return cell ? _mm256_zextps128_ps256(_mm256_castps256_ps128(x))
                : _mm256_blend_ps(x, _mm256_setzero_ps(), 0x0f);
}

#include "kern/kern_plain_rows.h"

static inline vf vquads(vf x)
{
    const vf y = _mm256_add_ps(x, _mm256_permute_ps(x, 0xb1));
    return _mm256_add_ps(y, _mm256_permute_ps(y, 0x4e));
}
static inline vf vspread(const float *p)
{
    const __m128 two = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)p);
    return _mm256_set_m128(_mm_permute_ps(two, 0x55), _mm_permute_ps(two, 0x00));
}
static inline void vpick(float *p, vf x, size_t m)
{
    (void)m; /* runs of units: all lanes */
    _mm_storel_pi((__m64 *)p,
                  _mm_unpacklo_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}

#define HAVE_QUADS
/* Lane 4 q + i: the sum of quad q of x[i]. */
static inline __attribute__((always_inline)) vf vquads_turned(const vf x[4])
{
    const vf a = _mm256_add_ps(_mm256_unpacklo_ps(x[0], x[1]), _mm256_unpackhi_ps(x[0], x[1]));
    const vf b = _mm256_add_ps(_mm256_unpacklo_ps(x[2], x[3]), _mm256_unpackhi_ps(x[2], x[3]));
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
}
/* Lane i of each quad, in all four of it. */
static inline __attribute__((always_inline)) vf vfour(vf x, uint32_t i)
{
    return i == 0   ? _mm256_permute_ps(x, 0x00)
           : i == 1 ? _mm256_permute_ps(x, 0x55)
           : i == 2 ? _mm256_permute_ps(x, 0xaa)
                    : _mm256_permute_ps(x, 0xff);
}
/* Lane 4 q + i: float q of place i of n <= 4, each of two floats, and back. */
static inline __attribute__((always_inline)) vf vload_turned(float *const p[4], uint32_t n)
{
    __m128 lo = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)p[0]), hi = _mm_setzero_ps();
    if (n > 1) lo = _mm_loadh_pi(lo, (const __m64 *)p[1]);
    if (n > 2) hi = _mm_loadl_pi(hi, (const __m64 *)p[2]);
    if (n > 3) hi = _mm_loadh_pi(hi, (const __m64 *)p[3]);
    return _mm256_set_m128(_mm_shuffle_ps(lo, hi, 0xdd), _mm_shuffle_ps(lo, hi, 0x88));
}
static inline __attribute__((always_inline)) void vstore_turned(float *const p[4], uint32_t n,
                                                                vf turned)
{
    const __m128 first = _mm256_castps256_ps128(turned), second = _mm256_extractf128_ps(turned, 1);
    const __m128 lo = _mm_unpacklo_ps(first, second), hi = _mm_unpackhi_ps(first, second);
    _mm_storel_pi((__m64 *)p[0], lo);
    if (n > 1) _mm_storeh_pi((__m64 *)p[1], lo);
    if (n > 2) _mm_storel_pi((__m64 *)p[2], hi);
    if (n > 3) _mm_storeh_pi((__m64 *)p[3], hi);
}

/* How many of idx[0..8) are below the bound. */
static inline int lanes_below(const uint32_t *idx, uint64_t bound)
{
    if (bound > UINT32_MAX) return VW;
    const __m256i i        = _mm256_loadu_si256((const __m256i *)idx);
    const __m256i b        = _mm256_set1_epi32((int)(uint32_t)bound);
    const __m256i at_least = _mm256_cmpeq_epi32(_mm256_max_epu32(i, b), i);
    return VW - __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(at_least)));
}

#define HAVE_RISING
static inline __attribute__((always_inline)) bool rising(const uint32_t *idx, uint32_t m)
{
    if (m < VW) {
        for (uint32_t l = 1; l < m; l++)
            if (idx[l - 1] >= idx[l]) return false;
        return true;
    }
    const __m128i a     = _mm_loadu_si128((const __m128i *)idx);
    const __m128i b     = _mm_loadu_si128((const __m128i *)(idx + 1));
    const __m128i c     = _mm_loadu_si128((const __m128i *)(idx + 3));
    const __m128i d     = _mm_loadu_si128((const __m128i *)(idx + 4));
    const __m128i falls = _mm_or_si128(_mm_cmpeq_epi32(_mm_max_epu32(a, b), a),
                                       _mm_cmpeq_epi32(_mm_max_epu32(c, d), c));
    return _mm_testz_si128(falls, falls);
}

/* Rows of two floats, 8 bytes at a time. */
static inline __m256 four_pairs(const float *base, const uint32_t *i)
{
    __m128 lo = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)(base + 2 * (size_t)i[0]));
    __m128 hi = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)(base + 2 * (size_t)i[4]));
    lo        = _mm_loadh_pi(lo, (const __m64 *)(base + 2 * (size_t)i[1]));
    hi        = _mm_loadh_pi(hi, (const __m64 *)(base + 2 * (size_t)i[5]));
    return _mm256_set_m128(hi, lo);
}
#define HAVE_PAIRS
static inline void load_pairs(const float *base, const uint32_t *idx, vf *w, vf *a)
{
    const __m256 x = four_pairs(base, idx), y = four_pairs(base, idx + 2);
    *w = _mm256_shuffle_ps(x, y, 0x88);
    *a = _mm256_shuffle_ps(x, y, 0xdd);
}
static inline __attribute__((always_inline)) void store_pairs(float *base, const uint32_t *idx,
                                                              uint32_t m, vf w, vf a)
{
    const __m256 x = _mm256_unpacklo_ps(w, a), y = _mm256_unpackhi_ps(w, a);
    const __m128 part[4] = {_mm256_castps256_ps128(x), _mm256_castps256_ps128(y),
                            _mm256_extractf128_ps(x, 1), _mm256_extractf128_ps(y, 1)};
    for (uint32_t k = 0; k < 4; k++) {
        if (2 * k < m) _mm_storel_pi((__m64 *)(base + 2 * (size_t)idx[2 * k]), part[k]);
        if (2 * k + 1 < m) _mm_storeh_pi((__m64 *)(base + 2 * (size_t)idx[2 * k + 1]), part[k]);
    }
}

#define HAVE_FOLD
static inline float fold(const vf *acc)
{
    const __m256 eight = _mm256_add_ps(acc[0], acc[1]);
    const __m128 four  = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two   = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Where all but the first four lanes are zero. */
static inline float fold_few(const vf *acc)
{
    const __m128 four = _mm256_castps256_ps128(acc[0]),
                 two  = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "kern/kern_x86_pairs.h"
#define HAVE_ROW_PAIRS
static inline __attribute__((always_inline)) void
load_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf *w, vf *a)
{
    const quad_pairs x = load_quad(t, idx, m);
    quad_pairs       y = x;
    if (m > 4) y = load_quad(t, idx + 4, m - 4);
    *w = _mm256_set_m128(quad_first(y), quad_first(x));
    *a = _mm256_set_m128(quad_second(y), quad_second(x));
}
static inline __attribute__((always_inline)) void
store_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf w, vf a)
{
    store_quad(t, idx, m, _mm256_castps256_ps128(w), _mm256_castps256_ps128(a));
    if (m > 4)
        store_quad(t, idx + 4, m - 4, _mm256_extractf128_ps(w, 1), _mm256_extractf128_ps(a, 1));
}

#include "kern/kern_body.h"
#endif
