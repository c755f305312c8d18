/* kern_x86_pairs.h -- rows of two floats, [w][slot], four at a time, 8 bytes each: part of kern_avx2.c and
 * kern_avx512.c.  Private and shared rows may be mixed. */

typedef struct quad_pairs {
    __m128 a, b; /* entries 0 and 1, entries 2 and 3 */
} quad_pairs;

/* shared: no row is the worker's own. */
static inline __attribute__((always_inline)) __m64 *pair_at(const asgd_view *t, bool shared,
                                                            uint32_t r)
{
    float *base = shared || r >= t->n_own ? t->shared : t->own;
    return (__m64 *)(base + 2 * (size_t)r);
}

/* Of m > 0 entries the first four; where there are fewer, the other lanes are copies of one of them. */
static inline __attribute__((always_inline)) quad_pairs
load_quad_of(const asgd_view *t, bool shared, const uint32_t *idx, uint32_t m)
{
    const uint32_t last = m - 1;
    quad_pairs     x;
    x.a = _mm_loadl_pi(_mm_setzero_ps(), pair_at(t, shared, idx[0]));
    x.b = _mm_loadl_pi(_mm_setzero_ps(), pair_at(t, shared, idx[last < 2 ? 0 : 2]));
    x.a = _mm_loadh_pi(x.a, pair_at(t, shared, idx[last < 1 ? 0 : 1]));
    x.b = _mm_loadh_pi(x.b, pair_at(t, shared, idx[last < 3 ? 0 : 3]));
    return x;
}
/* With one worker, to whom no row is its own, addresses are half of what is computed: so that case has
 * code without the choice. */
static inline __attribute__((always_inline)) quad_pairs load_quad(const asgd_view *t,
                                                                  const uint32_t *idx, uint32_t m)
{
    return t->n_own == 0 ? load_quad_of(t, true, idx, m) : load_quad_of(t, false, idx, m);
}
static inline __m128 quad_first(quad_pairs x)
{
    return _mm_shuffle_ps(x.a, x.b, 0x88);
}
static inline __m128 quad_second(quad_pairs x)
{
    return _mm_shuffle_ps(x.a, x.b, 0xdd);
}

static inline __attribute__((always_inline)) void store_quad_of(const asgd_view *t, bool shared,
                                                                const uint32_t *idx, uint32_t m,
                                                                __m128 w, __m128 slot)
{
    const __m128 a = _mm_unpacklo_ps(w, slot), b = _mm_unpackhi_ps(w, slot);
    _mm_storel_pi(pair_at(t, shared, idx[0]), a);
    if (m > 1) _mm_storeh_pi(pair_at(t, shared, idx[1]), a);
    if (m > 2) _mm_storel_pi(pair_at(t, shared, idx[2]), b);
    if (m > 3) _mm_storeh_pi(pair_at(t, shared, idx[3]), b);
}
static inline __attribute__((always_inline)) void
store_quad(const asgd_view *t, const uint32_t *idx, uint32_t m, __m128 w, __m128 slot)
{
    if (t->n_own == 0)
        store_quad_of(t, true, idx, m, w, slot);
    else
        store_quad_of(t, false, idx, m, w, slot);
}
