/* kern_rules.h -- update rules on one vector of parameters, and the loops over rows around them.
 * Part of kern_body.h.
 *
 * g = scale * gradient, and except for ftrl g += l2 * w (penalty l2/2 w^2 on touched rows).  All but
 * ftrl move by w -= step * direction, then shrink w by step * l1 towards zero (the proximal operator
 * of l1 |w|), with `step` that coordinate's own:
 *
 *   sgd       step = lr                             direction g
 *   momentum  l = beta1 l + g; step = lr            direction beta1 l + g: Nesterov's in the form
 *             whose other half, l, never leaves the worker (Hakimi et al. 2019, DANA-Slim)
 *   adagrad   n += g^2; step = lr / sqrt(n + eps)  direction g (Duchi, Hazan, Singer 2011)
 *   rmsprop   s = beta1 s + (1 - beta1) g^2; step = lr / sqrt(s + eps)  direction g, with s shared
 *             by the workers (Mnih et al. 2016)
 *   adam      l = beta1 l + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 *             step = lr / (sqrt(v correct2) + eps)  direction l correct1 (Kingma and Ba 2015)
 *   ftrl      sigma = (sqrt(n + g^2) - sqrt n) / lr; z += g - sigma w; n += g^2;
 *             w = -shrink(z, l1) / ((beta2 + sqrt n) / lr + l2) (McMahan et al. 2013)
 *
 * Invariant: g = 0, w = 0, slots 0 gives w = 0 whatever the constants: padding stays zero.  So
 * divisors have a floor; under the roots of adagrad and rmsprop eps is one, asgdi_rule_step() sees to
 * that. */
#include <float.h>

typedef struct consts {
    vf   lr, beta1, beta2, rest1, rest2, eps, l1, l2, correct1, correct2;
    bool shrink;
    bool rough; /* reciprocal roots as the processor estimates them */
} consts;

/* One vector of parameters: w, the merged slots a and b, the local slot l. */
typedef struct state {
    vf w, a, b, l;
} state;

typedef state rule_step(state s, vf g, const consts *c);

INLINE consts prepare(const asgdk_step *p)
{
    return (consts){
        .lr       = vset(p->lr),
        .beta1    = vset(p->beta1),
        .beta2    = vset(p->beta2),
        .rest1    = vset(1 - p->beta1),
        .rest2    = vset(1 - p->beta2),
        .eps      = vset(p->eps),
        .l1       = vset(p->l1),
        .l2       = vset(p->l2),
        .correct1 = vset(p->correct1),
        .correct2 = vset(p->correct2),
        .shrink   = p->l1 > 0,
    };
}

INLINE vf shrink(vf x, vf by)
{
    vf zero = vset(0);
    return vmax(zero, x - by) - vmax(zero, -x - by);
}

/* 1 / sqrt(x) */
INLINE vf inverse_root(vf x, const consts *c)
{
    return c->rough ? vrsqrt_rough(x) : vrsqrt(x);
}

INLINE vf at_least_tiny(vf divisor)
{
    return vmax(vset(FLT_MIN), divisor);
}

INLINE vf move(vf w, vf step, vf direction, const consts *c)
{
    w = vfma(-step, direction, w);
    return c->shrink ? shrink(w, step * c->l1) : w;
}

INLINE state sgd(state s, vf g, const consts *c)
{
    s.w = move(s.w, c->lr, vfma(c->l2, s.w, g), c);
    return s;
}

INLINE state momentum(state s, vf g, const consts *c)
{
    g   = vfma(c->l2, s.w, g);
    s.l = vfma(c->beta1, s.l, g);
    s.w = move(s.w, c->lr, vfma(c->beta1, s.l, g), c);
    return s;
}

INLINE state adagrad(state s, vf g, const consts *c)
{
    g   = vfma(c->l2, s.w, g);
    s.a = vfma(g, g, s.a);
    s.w = move(s.w, c->lr * inverse_root(s.a + c->eps, c), g, c);
    return s;
}

INLINE state rmsprop(state s, vf g, const consts *c)
{
    g   = vfma(c->l2, s.w, g);
    s.a = vfma(c->beta1, s.a, c->rest1 * g * g);
    s.w = move(s.w, c->lr * inverse_root(s.a + c->eps, c), g, c);
    return s;
}

INLINE state adam(state s, vf g, const consts *c)
{
    g       = vfma(c->l2, s.w, g);
    s.l     = vfma(c->beta1, s.l, c->rest1 * g);
    s.a     = vfma(c->beta2, s.a, c->rest2 * g * g);
    vf step = c->lr / at_least_tiny(vsqrt(s.a * c->correct2) + c->eps);
    s.w     = move(s.w, step, s.l * c->correct1, c);
    return s;
}

INLINE state ftrl(state s, vf g, const consts *c)
{
    vf n    = vfma(g, g, s.b);
    vf root = vsqrt(n), sigma = (root - vsqrt(s.b)) / c->lr;
    s.a += vfma(-sigma, s.w, g);
    s.b = n;
    s.w = -shrink(s.a, c->l1) / at_least_tiny((c->beta2 + root) / c->lr + c->l2);
    return s;
}

/* ---- one row: [w: pad][slot 0: pad][slot 1: pad] ---- */

/* m floats of a row, m <= VW; slots lie pad apart. */
INLINE void change(rule_step *f, int merged, int local_slots, float *row, float *local, size_t pad,
                   vf g, size_t m, const consts *c)
{
#define AT(p) (m == VW ? rload(p) : rloadn((p), m))
#define PUT(p, x)                 \
    do {                          \
        if (m == VW)              \
            rstore((p), (x));     \
        else                      \
            rstoren((p), (x), m); \
    } while (0)
    state x = {.w = AT(row)};
    if (merged > 0) x.a = AT(row + pad);
    if (merged > 1) x.b = AT(row + 2 * pad);
    if (local_slots) x.l = m == VW ? vload(local) : vloadn(local, m);
    x = f(x, g, c);
    PUT(row, x.w);
    if (merged > 0) PUT(row + pad, x.a);
    if (merged > 1) PUT(row + 2 * pad, x.b);
    if (local_slots && m == VW)
        vstore(local, x.l);
    else if (local_slots)
        vstoren(local, x.l, m);
#undef AT
#undef PUT
}

INLINE void apply_row(rule_step *f, int merged, int local_slots, float *row, float *local,
                      const float *g, uint32_t pad, float scale, const asgdk_step *p)
{
    const consts c = prepare(p);
    const vf     s = vset(scale);
    uint32_t     i = 0;
    for (; i + VW <= pad; i += VW)
        change(f, merged, local_slots, row + i, local_slots ? local + i : NULL, pad,
               s * vload(g + i), VW, &c);
    if (i < pad)
        change(f, merged, local_slots, row + i, local_slots ? local + i : NULL, pad,
               s * vloadn(g + i, pad - i), pad - i, &c);
}

/* ---- one row with a sum for every four weights: [w: pad][sums] ----
 *
 * adagrad's n is of four neighbours: n += (g_1^2 + ... + g_4^2) / 4.  What such rows are for: kern_factors.h. */

enum { QUADS = -1 }; /* in place of a number of merged slots */

#if VW > 1
/* Floats at..at+m of a row, which were w. */
INLINE void change_quads(float *row, size_t pad, uint32_t at, vf w, vf g, size_t m, const consts *c)
{
    float *sums  = row + pad + at / 4;
    g            = vfma(c->l2, w, g);
    const vf sum = vfma(vset(0.25f), vquads(g * g), vspread(sums));
    w            = move(w, c->lr * inverse_root(sum + c->eps, c), g, c);
    if (m == VW)
        rstore(row + at, w);
    else
        rstoren(row + at, w, m);
    vpick(sums, sum, m);
}

/* Floats from..to of a row, multiples of UNIT, by the gradient scale * g[from..to). */
INLINE void change_run(float *row, size_t pad, uint32_t from, uint32_t to, vf scale, const float *g,
                       const consts *c)
{
    uint32_t i = from;
    for (; i + VW <= to; i += VW)
        change_quads(row, pad, i, rload(row + i), scale * vload(g + i), VW, c);
    if (i < to)
        change_quads(row, pad, i, rloadn(row + i, to - i), scale * vloadn(g + i, to - i), to - i,
                     c);
}
#else
INLINE void change_run(float *row, size_t pad, uint32_t from, uint32_t to, vf scale, const float *g,
                       const consts *c)
{
    for (uint32_t i = from; i < to; i += 4) {
        vf w[4], h[4], squares = vset(0);
        for (uint32_t k = 0; k < 4; k++) {
            w[k]    = rload(row + i + k);
            h[k]    = vfma(c->l2, w[k], scale * vload(g + i + k));
            squares = vfma(h[k], h[k], squares);
        }
        const vf sum  = vfma(vset(0.25f), squares, rload(row + pad + i / 4));
        const vf step = c->lr * inverse_root(sum + c->eps, c);
        for (uint32_t k = 0; k < 4; k++) rstore(row + i + k, move(w[k], step, h[k], c));
        rstore(row + pad + i / 4, sum);
    }
}
#endif

static void adagrad_quads_row(float *row, float *local, const float *g, uint32_t pad, float scale,
                              const asgdk_step *p)
{
    const consts c = prepare(p);
    (void)local;
    change_run(row, pad, 0, pad, vset(scale), g, &c);
}

/* ---- scattered rows of width 1: [w][slot 0][slot 1] ---- */

/* Entry j alone, in lane 0. */
INLINE void apply_one(rule_step *f, int merged, int local_slots, float *row, float *local, float g,
                      const consts *c)
{
    state x = {.w = vset(rload1(row))};
    if (merged > 0) x.a = vset(rload1(row + 1));
    if (merged > 1) x.b = vset(rload1(row + 2));
    if (local_slots) x.l = vset(*local);
    x = f(x, vset(g), c);
    rstore1(row, lane0(x.w));
    if (merged > 0) rstore1(row + 1, lane0(x.a));
    if (merged > 1) rstore1(row + 2, lane0(x.b));
    if (local_slots) *local = lane0(x.l);
}

/* m <= VW entries with different rows, all of the table at base, in the lanes of one vector. */
INLINE void apply_together(rule_step *f, int merged, int local_slots, float *base, float *local,
                           size_t local_stride, uint32_t m, const uint32_t *idx, vf g,
                           const consts *c)
{
    const size_t    stride = 1 + (size_t)merged;
    const bool      pairs  = merged == 1 && !local_slots;
    const uint32_t *at     = idx;
    uint32_t        same[VW];
    state           x = {0};
    if (m < VW) {
        repeat_last(same, idx, m);
        at = same;
    }
    if (pairs) {
        load_pairs(base, at, &x.w, &x.a);
    } else {
#define W(k) rload1(base + at[k] * stride)
#define A(k) rload1(base + at[k] * stride + 1)
#define B(k) rload1(base + at[k] * stride + 2)
#define L(k) local[at[k] * local_stride]
        x.w = VBUILD(W);
        if (merged > 0) x.a = VBUILD(A);
        if (merged > 1) x.b = VBUILD(B);
        if (local_slots) x.l = VBUILD(L);
#undef W
#undef A
#undef B
#undef L
    }
    x = f(x, g, c);
    if (pairs) {
        store_pairs(base, idx, m, x.w, x.a);
        return;
    }
    float w[VW], a[VW], b[VW], l[VW];
    vstore(w, x.w);
    vstore(a, x.a);
    vstore(b, x.b);
    vstore(l, x.l);
    for (uint32_t k = 0; k < m; k++) {
        float *row = base + idx[k] * stride;
        rstore1(row, w[k]);
        if (merged > 0) rstore1(row + 1, a[k]);
        if (merged > 1) rstore1(row + 2, b[k]);
        if (local_slots) local[idx[k] * local_stride] = l[k];
    }
}

/* Roots and divisions are what most rules cost, and VW of them take little longer than one; for sgd
 * and momentum gathering would cost more than it saves.  Two entries with the same row must see each
 * other's change, so only strictly increasing ones go together; increasing ones also tell by the last
 * and the first whether all are private, or none. */
INLINE void apply_scattered(rule_step *f, int merged, int local_slots, bool together,
                            const asgd_view *view, float *local, size_t local_stride, uint32_t n,
                            const uint32_t *idx, const float *coef, float scale,
                            const asgdk_step *p)
{
    const consts    c = prepare(p);
    const asgd_view t = *view;
    for (uint32_t j = 0; j < n;) {
        const uint32_t m = n - j < VW ? n - j : VW;
        if (VW > 1 && together && m > 1 && rising(idx + j, m) &&
            (idx[j + m - 1] < t.n_own || idx[j] >= t.n_own)) {
            float *base = idx[j] < t.n_own ? t.own : t.shared;
            vf     g    = vset(scale);
            if (m == VW) {
                if (coef) g = g * vload(coef + j);
                apply_together(f, merged, local_slots, base, local, local_stride, VW, idx + j, g,
                               &c);
            } else {
                if (coef) g = g * vloadn(coef + j, m);
                apply_together(f, merged, local_slots, base, local, local_stride, m, idx + j, g,
                               &c);
            }
            j += m;
        } else {
            for (uint32_t k = 0; k < m; k++, j++)
                apply_one(f, merged, local_slots, row_at(&t, idx[j]),
                          local_slots ? local + idx[j] * local_stride : NULL,
                          coef ? scale * coef[j] : scale, &c);
        }
    }
}

/* RULE(name, merged slots, local slots, entries of width 1 together) */
#define RULES(RULE)             \
    RULE(sgd, 0, 0, false)      \
    RULE(momentum, 0, 1, false) \
    RULE(adagrad, 1, 0, true)   \
    RULE(rmsprop, 1, 0, true)   \
    RULE(adam, 1, 1, true)      \
    RULE(ftrl, 2, 0, true)

#define DEFINE(name, merged, local_slots, together)                                                \
    static void name##_row(float *row, float *local, const float *g, uint32_t pad, float scale,    \
                           const asgdk_step *p)                                                    \
    {                                                                                              \
        apply_row(name, merged, local_slots, row, local, g, pad, scale, p);                        \
    }                                                                                              \
    static void name##_scattered(const asgd_view *t, float *local, size_t local_stride,            \
                                 uint32_t n, const uint32_t *idx, const float *coef, float scale,  \
                                 const asgdk_step *p)                                              \
    {                                                                                              \
        apply_scattered(name, merged, local_slots, together, t, local, local_stride, n, idx, coef, \
                        scale, p);                                                                 \
    }
RULES(DEFINE)
#undef DEFINE
