/* kern_body.h -- every kernel, once.  Each kern_<isa>.c includes it after defining
 *
 *   KERN_TABLE, KERN_NAME   the variant's table and name
 *   vf, VW                  a vector of VW floats (VW divides 16); + - * / work on it
 *   vset vload vstore vfma vsqrt vrsqrt vrsqrt_rough vmin vmax vshift23, vloadn vstoren vfirst (first m lanes)
 *   VBUILD(F)               the vector F(0), F(1) ... F(VW-1)
 *   sfma                    fused multiply-add of scalars
 *   vsum                    the sum of all lanes, in any order
 *   rload rstore rloadn rstoren rload1 rstore1   the same for floats of rows others may write
 *   rlane0, vsum_two        optional (HAVE_SUM_TWO)
 *   load_pairs store_pairs lanes_below, rising, fold fold_few, load_row_pairs store_row_pairs
 *                           optional (HAVE_PAIRS, HAVE_RISING, HAVE_FOLD, HAVE_ROW_PAIRS)
 *   vquads vspread vpick    where VW > 1: the sum of each lane's four neighbours; VW / 4 floats of a row, each in four
 *                           lanes, and back: of the first m lanes
 *   vquads_turned vfour, vload_turned vstore_turned   optional (HAVE_QUADS): kern_ffm_whole.h
 *   MAX_UNITS               widest column tile, in units of 8 floats
 *
 * Tables are swept in column tiles whose sums stay in registers over all entries of an example (or
 * of a feature).  The tile's width is a compile-time constant: one function per width, and a wide
 * table is cut into tiles of about equal width. */
#include "kern/kern.h"

#include <string.h>

enum { UNIT = 8, LANES = 16 };
enum {
    ACCUMULATORS = LANES / VW,
    AHEAD        = 4, /* entries between the prefetch of a row and its use */
};
/* Tables larger than this do not live in the core's own cache: prefetch their rows. */
static const size_t far_floats = (size_t)1 << 17;

#define INLINE static inline __attribute__((always_inline))
#if !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 32")
#else
#define UNROLL _Pragma("clang loop unroll(full)")
#endif

/* Four floats at once, where there are vectors: qload from a row, qread and qwrite in private memory. */
#if VW > 1
enum { QUAD = 4 };
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
INLINE quad   qload(const float *p)
{
    return *(const quad *)p;
}
#define qread qload
INLINE void qwrite(float *p, quad x)
{
    *(quad *)p = x;
}
#else
enum { QUAD = 1 };
typedef float quad;
#define qload rload
#define qread vload
#define qwrite vstore
#endif

/* Two bases and a bound: a conditional move, not a branch. */
INLINE float *row_at(const asgd_view *t, size_t r)
{
    float *base = r < t->n_own ? t->own : t->shared;
    return base + r * t->stride;
}

#ifndef HAVE_PAIRS
/* w and a of the rows of two floats base + 2 idx[0..VW). */
INLINE void load_pairs(const float *base, const uint32_t *idx, vf *w, vf *a)
{
#define W(l) rload1(base + 2 * (size_t)idx[l])
#define A(l) rload1(base + 2 * (size_t)idx[l] + 1)
    *w = VBUILD(W);
    *a = VBUILD(A);
#undef W
#undef A
}
/* Those of the first m lanes. */
INLINE void store_pairs(float *base, const uint32_t *idx, uint32_t m, vf w, vf a)
{
    float x[VW], y[VW];
    vstore(x, w);
    vstore(y, a);
    for (uint32_t l = 0; l < m; l++) {
        rstore1(base + 2 * (size_t)idx[l], x[l]);
        rstore1(base + 2 * (size_t)idx[l] + 1, y[l]);
    }
}
INLINE int lanes_below(const uint32_t *idx, uint64_t bound)
{
    int n = 0;
    for (int l = 0; l < VW; l++) n += idx[l] < bound;
    return n;
}
#endif

/* idx[0..m) strictly increase. */
#ifndef HAVE_RISING
INLINE bool rising(const uint32_t *idx, uint32_t m)
{
    bool yes = true;
    for (uint32_t l = 1; l < m; l++) yes = yes && idx[l - 1] < idx[l];
    return yes;
}
#endif

/* The base of the rows idx[0..VW), if they have the same. */
INLINE bool one_base(const asgd_view *t, const uint32_t *idx, const float **base)
{
    if (t->own == t->shared || t->n_own == 0) {
        *base = t->shared;
        return true;
    }
    const int below = lanes_below(idx, t->n_own);
    *base           = below ? t->own : t->shared;
    return below == 0 || below == VW;
}

#if VW == 1
#define lane0(x) (x)
#else
#define lane0(x) ((x)[0])
#endif

/* The float at p in lane 0, zeros in the others. */
#ifndef rlane0
#define rlane0(p) vfirst(vset(rload1(p)), 1)
#endif

/* What is computed of two ratings side by side, in lanes 0 and 1. */
typedef float twin __attribute__((vector_size(16)));

#ifndef HAVE_SUM_TWO
INLINE twin vsum_two(vf a, vf b)
{
    return (twin){vsum(a), vsum(b)};
}
#endif

/* Lanes 8+8, 4+4, 2+2, 1+1. */
#ifndef HAVE_FOLD
INLINE float fold(const vf *acc)
{
    float s[LANES];
    for (int k = 0; k < ACCUMULATORS; k++) vstore(s + k * VW, acc[k]);
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    return s[0];
}
/* Where all but the first four lanes are zero. */
#define fold_few fold
#endif

/* ---- private vectors ---- */

static float dot(const float *a, const float *b, size_t n)
{
    vf acc[ACCUMULATORS];
    for (int k = 0; k < ACCUMULATORS; k++) acc[k] = vset(0);
    size_t i = 0;
    for (; n - i >= LANES; i += LANES)
        UNROLL for (int k = 0; k < ACCUMULATORS; k++) acc[k] =
            vfma(vload(a + i + k * VW), vload(b + i + k * VW), acc[k]);
    UNROLL for (int k = 0; k < ACCUMULATORS; k++)
    {
        if (n - i >= VW) {
            acc[k] = vfma(vload(a + i), vload(b + i), acc[k]);
            i += VW;
        } else if (i < n) {
            acc[k] = vfma(vloadn(a + i, n - i), vloadn(b + i, n - i), acc[k]);
            i      = n;
        }
    }
    return fold(acc);
}

static void axpy(float s, const float *x, float *y, size_t n)
{
    const vf v = vset(s);
    size_t   i = 0;
    for (; n - i >= VW; i += VW) vstore(y + i, vfma(v, vload(x + i), vload(y + i)));
    if (i < n) vstoren(y + i, vfma(v, vloadn(x + i, n - i), vloadn(y + i, n - i)), n - i);
}

/* exp x = 2^k exp r, k = round(x / ln 2), |r| <= ln 2 / 2.  k comes from adding 1.5 * 2^23 + 127,
 * whose last bits then are k + 127, the exponent of 2^k; r from ln 2 in two parts; exp r from the
 * polynomial of Cephes' expf (Moshier).  x is clamped to [-87, 88], where the result is normal. */
INLINE vf exp1(vf x)
{
    const vf magic = vset(0x1.8p23f + 127);
    x              = vmin(vset(88), vmax(vset(-87), x));
    vf t           = vfma(x, vset(0x1.715476p+0f), magic);
    vf k           = t - magic;
    vf r           = vfma(k, vset(-0x1.62e4p-1f), x);
    r              = vfma(k, vset(-0x1.7f7d1cp-20f), r);
    vf p           = vset(1.9875691500e-4f);
    p              = vfma(p, r, vset(1.3981999507e-3f));
    p              = vfma(p, r, vset(8.3334519073e-3f));
    p              = vfma(p, r, vset(4.1665795894e-2f));
    p              = vfma(p, r, vset(1.6666665459e-1f));
    p              = vfma(p, r, vset(5.0000001201e-1f));
    p              = vfma(p, r * r, r) + vset(1);
    return p * vshift23(t);
}

static void exp_all(const float *x, float *y, size_t n)
{
    size_t i = 0;
    for (; n - i >= VW; i += VW) vstore(y + i, exp1(vload(x + i)));
    if (i < n) vstoren(y + i, exp1(vloadn(x + i, n - i)), n - i);
}

#include "kern/kern_logistic.h"

static void bytes_to_float(const uint8_t *restrict x, float scale, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = scale * (float)x[i];
}

static uint32_t count_smaller(const uint32_t *idx, uint32_t n, uint32_t *place)
{
    int32_t  x[ASGDK_SHORT], less[ASGDK_SHORT] = {0};
    uint32_t most = (n + LANES - 1) / LANES * LANES, sum = 0;
    for (uint32_t i = 0; i < n; i++) x[i] = (int32_t)idx[i];
    for (uint32_t i = n; i < most; i++) x[i] = INT32_MAX;
    for (uint32_t j = 0; j < n; j += 4) {
        const int32_t a = x[j], b = x[j + 1], c = x[j + 2], d = x[j + 3];
        for (uint32_t i = 0; i < most; i++)
            less[i] += (a < x[i]) + (b < x[i]) + (c < x[i]) + (d < x[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        place[i] = (uint32_t)less[i];
        sum += place[i];
    }
    return sum;
}

/* ---- reading rows ---- */

/* The indices of a last, partial vector: lanes past the n-th read the row that is read anyway. */
INLINE void repeat_last(uint32_t *same, const uint32_t *idx, uint32_t n)
{
    for (uint32_t l = 0; l < VW; l++) same[l] = idx[l < n ? l : n - 1];
}

static const float all_ones[LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* Entries are from one base as a rule: all private, or none. */
INLINE vf dot1_lanes(const asgd_view *t, size_t stride, const uint32_t *idx)
{
    const float *base;
#define ENTRY(l) rload1(base + idx[l] * stride)
#define MIXED(l) rload1(row_at(t, idx[l]))
    if (one_base(t, idx, &base)) return VBUILD(ENTRY);
    return VBUILD(MIXED);
#undef ENTRY
#undef MIXED
}

INLINE float dot1_in(const asgd_view *t, size_t stride, uint32_t n, const uint32_t *idx,
                     const float *val)
{
    vf acc[ACCUMULATORS];
    for (int k = 0; k < ACCUMULATORS; k++) acc[k] = vset(0);
    uint32_t e = 0;
    while (n - e >= LANES)
        UNROLL for (int k = 0; k < ACCUMULATORS; k++, e += VW) acc[k] =
            vfma(val ? vload(val + e) : vset(1), dot1_lanes(t, stride, idx + e), acc[k]);
    UNROLL for (int k = 0; k < ACCUMULATORS; k++)
    {
        if (n - e >= VW) {
            acc[k] = vfma(val ? vload(val + e) : vset(1), dot1_lanes(t, stride, idx + e), acc[k]);
            e += VW;
        } else if (e < n) {
            uint32_t same[VW];
            repeat_last(same, idx + e, n - e);
            /* an infinite weight in a lane of zero would make NaN of the sum */
            acc[k] = vfma(vloadn(val ? val + e : all_ones, n - e),
                          vfirst(dot1_lanes(t, stride, same), n - e), acc[k]);
            e      = n;
        }
    }
    return fold(acc);
}

static float dot1(const asgd_view *view, uint32_t n, const uint32_t *idx, const float *val)
{
    const asgd_view t = *view;
    switch (t.stride) { /* [w], [w][slot], [w][slot][slot] */
    case 1: return dot1_in(&t, 1, n, idx, val);
    case 2: return dot1_in(&t, 2, n, idx, val);
    default: return dot1_in(&t, t.stride, n, idx, val);
    }
}

/* What a tile function works on: columns col.. of n examples. */
typedef struct forward_job {
    asgd_view       t;
    uint32_t        n, col, rows; /* rows: where dense */
    const uint64_t *begin;
    const uint32_t *len, *idx;
    const float    *val;
    float          *out;
    size_t          ldo;
} forward_job;

#define FULL(units) ((units)*UNIT / VW)
#define REST(units) ((size_t)(units)*UNIT % VW)

/* acc[] += x * w[], a tile wide; of[] is read by `read` and `readn`. */
#define TILE_FMA(units, acc, x, w, read, readn)                                          \
    do {                                                                                 \
        UNROLL for (int k_ = 0; k_ < FULL(units); k_++) acc[k_] =                        \
            vfma((x), read((w) + k_ * VW), acc[k_]);                                     \
        if (REST(units))                                                                 \
            acc[FULL(units)] =                                                           \
                vfma((x), readn((w) + FULL(units) * VW, REST(units)), acc[FULL(units)]); \
    } while (0)

INLINE void prefetch_tile(const float *w, int units)
{
    UNROLL for (int f = 0; f < units * UNIT; f += 16) __builtin_prefetch(w + f);
}

/* One example: out[] += sum of val * row, rows 0, 1, ... where idx is NULL. */
INLINE void forward_one(int units, bool dense, bool far, const asgd_view *t, uint32_t col,
                        uint32_t n, const uint32_t *idx, const float *val, float *out)
{
    vf acc[FULL(MAX_UNITS) + 1];
    UNROLL for (int k = 0; k < FULL(units); k++) acc[k] = vload(out + k * VW);
    if (REST(units)) acc[FULL(units)] = vloadn(out + FULL(units) * VW, REST(units));
    for (uint32_t e = 0; e < n; e++) {
        const float *w = row_at(t, dense ? e : idx[e]) + col;
        const vf     x = val ? vset(val[e]) : vset(1);
        if (far) prefetch_tile(row_at(t, idx[n - e > AHEAD ? e + AHEAD : e]) + col, units);
        TILE_FMA(units, acc, x, w, rload, rloadn);
    }
    UNROLL for (int k = 0; k < FULL(units); k++) vstore(out + k * VW, acc[k]);
    if (REST(units)) vstoren(out + FULL(units) * VW, acc[FULL(units)], REST(units));
}

INLINE void forward_tile(int units, const forward_job *j)
{
    const asgd_view t = j->t;
    for (uint32_t i = 0; i < j->n; i++) {
        float *out = j->out + i * j->ldo + j->col;
        if (!j->idx) {
            forward_one(units, true, false, &t, j->col, j->rows, NULL, j->val + (size_t)i * j->rows,
                        out);
            continue;
        }
        const uint32_t  n   = j->len[i];
        const uint32_t *idx = j->idx + j->begin[i];
        const float    *val = j->val ? j->val + j->begin[i] : NULL;
        if (n && idx[n - 1] * t.stride >= far_floats)
            forward_one(units, false, true, &t, j->col, n, idx, val, out);
        else
            forward_one(units, false, false, &t, j->col, n, idx, val, out);
    }
}

/* ---- sums over a feature's entries ---- */

typedef struct outer_job {
    asgd_view            t;
    uint32_t             col;
    const asgdk_columns *c;
    float                alpha;
    const float         *v;
    size_t               ldv;
} outer_job;

INLINE void outer_sum(int units, vf *acc, uint32_t n, const uint32_t *ex, const float *val,
                      const float *v, size_t ldv)
{
    UNROLL for (int k = 0; k < FULL(units) + (REST(units) > 0); k++) acc[k] = vset(0);
    for (uint32_t e = 0; e < n; e++) {
        const float *from = v + ex[e] * ldv;
        const vf     x    = val ? vset(val[e]) : vset(1);
        TILE_FMA(units, acc, x, from, vload, vloadn);
    }
}

/* The row is read when its sum is complete and written at once: others' writes in between, which
 * would be lost, have little time. */
INLINE void outer_tile(int units, const outer_job *j)
{
    const asgd_view     t     = j->t;
    const asgdk_columns c     = *j->c;
    const float        *v     = j->v + j->col;
    const size_t        ldv   = j->ldv;
    const vf            alpha = vset(j->alpha);
    for (uint32_t r = 0; r < c.n; r++) {
        vf             acc[FULL(MAX_UNITS) + 1];
        const uint32_t s = c.start[r];
        float         *w = row_at(&t, c.rows[r]) + j->col;
        if (c.rows[r] * t.stride >= far_floats) prefetch_tile(w, units);
        outer_sum(units, acc, c.start[r + 1] - s, c.ex + s, c.val ? c.val + s : NULL, v, ldv);
        UNROLL for (int k = 0; k < FULL(units); k++)
            rstore(w + k * VW, vfma(alpha, acc[k], rload(w + k * VW)));
        if (REST(units)) {
            float *rest = w + FULL(units) * VW;
            rstoren(rest, vfma(alpha, acc[FULL(units)], rloadn(rest, REST(units))), REST(units));
        }
    }
}

INLINE void outer_row_tile(int units, uint32_t n, const uint32_t *ex, const float *val,
                           const float *v, size_t ldv, float *out)
{
    vf acc[FULL(MAX_UNITS) + 1];
    outer_sum(units, acc, n, ex, val, v, ldv);
    UNROLL for (int k = 0; k < FULL(units); k++) vstore(out + k * VW, acc[k]);
    if (REST(units)) vstoren(out + FULL(units) * VW, acc[FULL(units)], REST(units));
}

/* ---- one function per width ---- */

#if MAX_UNITS == 1
#define WIDTHS(X) X(1)
#else
#define WIDTHS13(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#if MAX_UNITS == 13
#define WIDTHS WIDTHS13
#else
#define WIDTHS(X) \
    WIDTHS13(X)   \
    X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26)
#endif
#endif

#define DEFINE(units)                                                               \
    static void forward_##units(const forward_job *j)                               \
    {                                                                               \
        forward_tile(units, j);                                                     \
    }                                                                               \
    static void outer_##units(const outer_job *j)                                   \
    {                                                                               \
        outer_tile(units, j);                                                       \
    }                                                                               \
    static void outer_row_##units(uint32_t n, const uint32_t *ex, const float *val, \
                                  const float *v, size_t ldv, float *out)           \
    {                                                                               \
        outer_row_tile(units, n, ex, val, v, ldv, out);                             \
    }
WIDTHS(DEFINE)
#undef DEFINE

#define FORWARD(units) forward_##units,
#define OUTER(units) outer_##units,
#define OUTER_ROW(units) outer_row_##units,
static void (*const forward_width[])(const forward_job *) = {NULL, WIDTHS(FORWARD)};
static void (*const outer_width[])(const outer_job *)     = {NULL, WIDTHS(OUTER)};
static void (*const outer_row_width[])(uint32_t, const uint32_t *, const float *, const float *,
                                       size_t, float *)   = {NULL, WIDTHS(OUTER_ROW)};

/* Width, in units, of the next tile where `left` units remain. */
INLINE uint32_t next_tile(uint32_t left)
{
    uint32_t tiles = (left + MAX_UNITS - 1) / MAX_UNITS;
    return (left + tiles - 1) / tiles;
}

static void forward(const asgd_view *t, uint32_t pad, uint32_t n, const uint64_t *begin,
                    const uint32_t *len, const uint32_t *idx, const float *val, float *out,
                    size_t ldo)
{
    if (pad == 1) {
        for (uint32_t i = 0; i < n; i++)
            out[i * ldo] += dot1(t, len[i], idx + begin[i], val ? val + begin[i] : NULL);
        return;
    }
    forward_job j = {.t     = *t,
                     .n     = n,
                     .begin = begin,
                     .len   = len,
                     .idx   = idx,
                     .val   = val,
                     .out   = out,
                     .ldo   = ldo};
    for (uint32_t left = pad / UNIT, units; left; left -= units, j.col += units * UNIT) {
        units = next_tile(left);
        forward_width[units](&j);
    }
}

static void forward_dense(const asgd_view *t, uint32_t pad, uint32_t rows, uint32_t n,
                          const float *x, float *out, size_t ldo)
{
    if (pad == 1) {
        for (uint32_t i = 0; i < n; i++) {
            float sum = out[i * ldo];
            for (uint32_t r = 0; r < rows; r++)
                sum = sfma(x[(size_t)i * rows + r], rload1(row_at(t, r)), sum);
            out[i * ldo] = sum;
        }
        return;
    }
    forward_job j = {.t = *t, .n = n, .rows = rows, .val = x, .out = out, .ldo = ldo};
    for (uint32_t left = pad / UNIT, units; left; left -= units, j.col += units * UNIT) {
        units = next_tile(left);
        forward_width[units](&j);
    }
}

INLINE float outer_sum1(uint32_t n, const uint32_t *ex, const float *val, const float *v,
                        size_t ldv)
{
    float sum = 0;
    for (uint32_t e = 0; e < n; e++) sum = sfma(val ? val[e] : 1, v[ex[e] * ldv], sum);
    return sum;
}

static void outer_sgd(const asgd_view *t, uint32_t pad, const asgdk_columns *c, float alpha,
                      const float *v, size_t ldv)
{
    if (pad == 1) {
        for (uint32_t r = 0; r < c->n; r++) {
            const uint32_t s   = c->start[r];
            float         *w   = row_at(t, c->rows[r]);
            const float   *val = c->val ? c->val + s : NULL;
            float          sum = outer_sum1(c->start[r + 1] - s, c->ex + s, val, v, ldv);
            rstore1(w, sfma(alpha, sum, rload1(w)));
        }
        return;
    }
    outer_job j = {.t = *t, .c = c, .alpha = alpha, .v = v, .ldv = ldv};
    for (uint32_t left = pad / UNIT, units; left; left -= units, j.col += units * UNIT) {
        units = next_tile(left);
        outer_width[units](&j);
    }
}

static void outer_row(uint32_t pad, uint32_t n, const uint32_t *ex, const float *val,
                      const float *v, size_t ldv, float *out)
{
    if (pad == 1) {
        *out = outer_sum1(n, ex, val, v, ldv);
        return;
    }
    for (uint32_t left = pad / UNIT, units; left; left -= units) {
        units = next_tile(left);
        outer_row_width[units](n, ex, val, v, ldv, out);
        v += units * UNIT;
        out += units * UNIT;
    }
}

#include "kern/kern_rules.h"
#include "kern/kern_factors.h"
#include "kern/kern_single.h"
#include "kern/kern_pairs.h"
#include "kern/kern_merge.h"

#define ROW(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_row,
#define SCATTERED(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_scattered,
#define FM_STEPS(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_fm_steps,
#define FFM_STEPS(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_ffm_steps,
#define LINEAR(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_linear,
#define FM(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_fm,
#define FFM(name, merged, local_slots, together) [ASGD_RULE_##name] = name##_ffm,
#define QUADS_RULE(kernel) [ASGDK_adagrad_quads] = adagrad_quads_##kernel,
const asgd_kern KERN_TABLE = {
    .name           = KERN_NAME,
    .dot            = dot,
    .axpy           = axpy,
    .exp            = exp_all,
    .logistic       = logistic,
    .bytes_to_float = bytes_to_float,
    .count_smaller  = count_smaller,
    .dot1           = dot1,
    .forward        = forward,
    .forward_dense  = forward_dense,
    .outer_sgd      = outer_sgd,
    .outer_row      = outer_row,
    .rule           = {RULES(ROW) QUADS_RULE(row)},
    .rule1          = {RULES(SCATTERED)},
    .linear         = {RULES(LINEAR)},
    .fm_steps       = {RULES(FM_STEPS)},
    .ffm_steps      = {RULES(FFM_STEPS) QUADS_RULE(ffm_steps)},
    .prefetch       = prefetch,
    .fm_score       = fm_score,
    .fm             = {RULES(FM)},
    .ffm_score      = ffm_score,
    .ffm            = {RULES(FFM) QUADS_RULE(ffm)},
    .mf_steps       = mf_steps,
    .mf_scores      = mf_scores,
    .bpr_steps      = bpr_steps,
    .rank_pack      = rank_pack,
    .rank_scores    = rank_scores,
    .merge          = merge,
    .load           = load,
    .store          = store,
    .add            = add,
};
