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
 *   adagrad   n += g^2; step = lr / (sqrt n + eps)  direction g (Duchi, Hazan, Singer 2011)
 *   rmsprop   s = beta1 s + (1 - beta1) g^2; step = lr / sqrt(s + eps)  direction g, with s shared
 *             by the workers (Mnih et al. 2016)
 *   adam      l = beta1 l + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 *             step = lr / (sqrt(v correct2) + eps)  direction l correct1 (Kingma and Ba 2015)
 *   ftrl      sigma = (sqrt(n + g^2) - sqrt n) / lr; z += g - sigma w; n += g^2;
 *             w = -shrink(z, l1) / ((beta2 + sqrt n) / lr + l2) (McMahan et al. 2013)
 *
 * Invariant: g = 0, w = 0, slots 0 gives w = 0 whatever the constants: padding stays zero.  So
 * divisors have a floor. */
#include <float.h>

typedef struct consts {
    vf   lr, beta1, beta2, rest1, rest2, eps, l1, l2, correct1, correct2;
    bool shrink;
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
    s.w = move(s.w, c->lr / at_least_tiny(vsqrt(s.a) + c->eps), g, c);
    return s;
}

INLINE state rmsprop(state s, vf g, const consts *c)
{
    g   = vfma(c->l2, s.w, g);
    s.a = vfma(c->beta1, s.a, c->rest1 * g * g);
    s.w = move(s.w, c->lr / at_least_tiny(vsqrt(s.a + c->eps)), g, c);
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

INLINE void apply_row(rule_step *f, int merged, int local_slots, float *row, float *local,
                      const float *g, uint32_t pad, float scale, const asgdk_step *p)
{
    const consts c = prepare(p);
    const vf     s = vset(scale);
    uint32_t     i = 0;
    state        x = {0};
    for (; i + VW <= pad; i += VW) {
        x.w = rload(row + i);
        if (merged > 0) x.a = rload(row + pad + i);
        if (merged > 1) x.b = rload(row + 2 * (size_t)pad + i);
        if (local_slots) x.l = vload(local + i);
        x = f(x, s * vload(g + i), &c);
        rstore(row + i, x.w);
        if (merged > 0) rstore(row + pad + i, x.a);
        if (merged > 1) rstore(row + 2 * (size_t)pad + i, x.b);
        if (local_slots) vstore(local + i, x.l);
    }
    if (i < pad) {
        const size_t m = pad - i;
        x.w            = rloadn(row + i, m);
        if (merged > 0) x.a = rloadn(row + pad + i, m);
        if (merged > 1) x.b = rloadn(row + 2 * (size_t)pad + i, m);
        if (local_slots) x.l = vloadn(local + i, m);
        x = f(x, s * vloadn(g + i, m), &c);
        rstoren(row + i, x.w, m);
        if (merged > 0) rstoren(row + pad + i, x.a, m);
        if (merged > 1) rstoren(row + 2 * (size_t)pad + i, x.b, m);
        if (local_slots) vstoren(local + i, x.l, m);
    }
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

/* VW entries with different rows, in the lanes of one vector. */
INLINE void apply_together(rule_step *f, int merged, int local_slots, const asgd_view *t,
                           float *local, size_t local_stride, const uint32_t *idx, vf g,
                           const consts *c)
{
    state x = {0};
#define W(l) rload1(row_at(t, idx[l]))
#define A(l) rload1(row_at(t, idx[l]) + 1)
#define B(l) rload1(row_at(t, idx[l]) + 2)
#define L(l) local[idx[l] * local_stride]
    x.w = VBUILD(W);
    if (merged > 0) x.a = VBUILD(A);
    if (merged > 1) x.b = VBUILD(B);
    if (local_slots) x.l = VBUILD(L);
#undef W
#undef A
#undef B
#undef L
    x = f(x, g, c);
    float w[VW], a[VW], b[VW], own[VW];
    vstore(w, x.w);
    vstore(a, x.a);
    vstore(b, x.b);
    vstore(own, x.l);
    for (int l = 0; l < VW; l++) {
        float *row = row_at(t, idx[l]);
        rstore1(row, w[l]);
        if (merged > 0) rstore1(row + 1, a[l]);
        if (merged > 1) rstore1(row + 2, b[l]);
        if (local_slots) local[idx[l] * local_stride] = own[l];
    }
}

/* Roots and divisions are what most rules cost, and VW of them take little longer than one; for sgd
 * and momentum gathering would cost more than it saves.  Two entries with the same row must see each
 * other's change, so only strictly increasing ones go together. */
INLINE void apply_scattered(rule_step *f, int merged, int local_slots, bool together,
                            const asgd_view *view, float *local, size_t local_stride, uint32_t n,
                            const uint32_t *idx, const float *coef, float scale,
                            const asgdk_step *p)
{
    const consts    c = prepare(p);
    const asgd_view t = *view;
    for (uint32_t j = 0; j < n;) {
        bool increasing = VW > 1 && together && n - j >= VW;
        for (uint32_t l = 1; increasing && l < VW; l++) increasing = idx[j + l - 1] < idx[j + l];
        if (increasing) {
            vf g = vset(scale);
            if (coef) g = g * vload(coef + j);
            apply_together(f, merged, local_slots, &t, local, local_stride, idx + j, g, &c);
            j += VW;
        } else {
            apply_one(f, merged, local_slots, row_at(&t, idx[j]),
                      local_slots ? local + idx[j] * local_stride : NULL,
                      coef ? scale * coef[j] : scale, &c);
            j++;
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
