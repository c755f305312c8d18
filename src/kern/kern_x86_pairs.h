/* kern_x86_pairs.h -- rows of two floats, [w][slot], four at a time, 8 bytes each: part of kern_avx2.c and
 * kern_avx512.c.  Private and shared rows may be mixed. */

typedef struct quad_pairs {
    __m128 a, b; /* entries 0 and 1, entries 2 and 3 */
} quad_pairs;

static inline __m64 *pair_at(const asgd_view *t, uint32_t r)
{
    return (__m64 *)(uintptr_t)asgd_row(t, r);
}

/* Of m > 0 entries the first four; where there are fewer, the other lanes are copies of one of them. */
static inline __attribute__((always_inline)) quad_pairs load_quad(const asgd_view *t,
                                                                  const uint32_t *idx, uint32_t m)
{
    const uint32_t last = m - 1;
    quad_pairs     x;
    x.a = _mm_loadl_pi(_mm_setzero_ps(), pair_at(t, idx[0]));
    x.b = _mm_loadl_pi(_mm_setzero_ps(), pair_at(t, idx[last < 2 ? 0 : 2]));
    x.a = _mm_loadh_pi(x.a, pair_at(t, idx[last < 1 ? 0 : 1]));
    x.b = _mm_loadh_pi(x.b, pair_at(t, idx[last < 3 ? 0 : 3]));
    return x;
}
static inline __m128 quad_first(quad_pairs x)
{
    return _mm_shuffle_ps(x.a, x.b, 0x88);
}
static inline __m128 quad_second(quad_pairs x)
{
    return _mm_shuffle_ps(x.a, x.b, 0xdd);
}

static inline __attribute__((always_inline)) void
store_quad(const asgd_view *t, const uint32_t *idx, uint32_t m, __m128 w, __m128 slot)
{
    const __m128 a = _mm_unpacklo_ps(w, slot), b = _mm_unpackhi_ps(w, slot);
    _mm_storel_pi(pair_at(t, idx[0]), a);
    if (m > 1) _mm_storeh_pi(pair_at(t, idx[1]), a);
    if (m > 2) _mm_storel_pi(pair_at(t, idx[2]), b);
    if (m > 3) _mm_storeh_pi(pair_at(t, idx[3]), b);
}
