/* kern_single.h -- models of one score, examples one after another, each an update: part of kern_body.h.
 *
 *     s = bias + sum_j w_j x_j + interactions;  g = d loss(s, y) / d s;  w_j and bias by the rule, gradients
 *     g x_j, g; factors as kern_factors.h says; x_j = xs val_j, xs 1 or one over the example's length
 *
 * A row is read once: what the score was formed from is still at hand when the rule wants it.  The sum has
 * the order of dot1(), the slope the exponential of exp_all(), and the rest is the rule's, so the result has
 * the same bits as those kernels one after another (tests/kernel/test_kern_single.c).
 *
 * An update waits for the one before it, through the bias; rows of examples to come are asked for ahead,
 * and losses are left to the caller, who takes many scores at once (kern_logistic.h). */

enum {
    ENTRIES_HELD = 64, /* entries of an example that are kept; longer ones are read twice */
    LINEAR_AHEAD = 4,  /* examples between the prefetch of rows and their use */
    FFM_AHEAD    = 2,  /* whose examples take longer */
};

/* w and the first slot of the rows idx[0..m) of two floats; other lanes are anything. */
#ifndef HAVE_ROW_PAIRS
INLINE void load_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf *w, vf *a)
{
    uint32_t same[VW];
    if (m < VW) {
        repeat_last(same, idx, m);
        idx = same;
    }
#define W(l) rload1(row_at(t, idx[l]))
#define A(l) rload1(row_at(t, idx[l]) + 1)
    *w = VBUILD(W);
    *a = VBUILD(A);
#undef W
#undef A
}
INLINE void store_row_pairs(const asgd_view *t, const uint32_t *idx, uint32_t m, vf w, vf a)
{
    float x[VW], y[VW];
    vstore(x, w);
    vstore(y, a);
    for (uint32_t l = 0; l < m; l++) {
        float *row = row_at(t, idx[l]);
        rstore1(row, x[l]);
        rstore1(row + 1, y[l]);
    }
}
#endif

/* The rows of m <= VW entries. */
INLINE state load_rows(int merged, const asgd_view *t, const uint32_t *idx, uint32_t m)
{
    state    x = {0};
    uint32_t same[VW];
    if (merged == 1) {
        load_row_pairs(t, idx, m, &x.w, &x.a);
        return x;
    }
    if (m < VW) {
        repeat_last(same, idx, m);
        idx = same;
    }
#define W(l) rload1(row_at(t, idx[l]))
#define A(l) rload1(row_at(t, idx[l]) + 1)
#define B(l) rload1(row_at(t, idx[l]) + 2)
    x.w = VBUILD(W);
    if (merged > 0) x.a = VBUILD(A);
    if (merged > 1) x.b = VBUILD(B);
#undef W
#undef A
#undef B
    return x;
}

INLINE void store_rows(int merged, const asgd_view *t, const uint32_t *idx, uint32_t m, state x)
{
    float w[VW], a[VW], b[VW];
    if (merged == 1) {
        store_row_pairs(t, idx, m, x.w, x.a);
        return;
    }
    vstore(w, x.w);
    vstore(a, x.a);
    vstore(b, x.b);
    for (uint32_t l = 0; l < m; l++) {
        float *row = row_at(t, idx[l]);
        rstore1(row, w[l]);
        if (merged > 0) rstore1(row + 1, a[l]);
        if (merged > 1) rstore1(row + 2, b[l]);
    }
}

/* The worker's own slots of m entries. */
INLINE vf load_local(const float *local, size_t stride, const uint32_t *idx, uint32_t m)
{
    float l[VW] = {0};
    for (uint32_t k = 0; k < m; k++) l[k] = local[idx[k] * stride];
    return vload(l);
}
INLINE void store_local(float *local, size_t stride, const uint32_t *idx, uint32_t m, vf x)
{
    float l[VW];
    vstore(l, x);
    for (uint32_t k = 0; k < m; k++) local[idx[k] * stride] = l[k];
}

/* As loss.h has them; the sign of a score, which nobody can foresee, is no branch. */
INLINE float linear_slope(asgdk_loss loss, float s, float y)
{
    if (loss == ASGDK_LOGISTIC) {
        return 1 / (1 + lane0(exp1(vset(-s)))) - y; /* exp1() does not overflow */
    }
    if (loss == ASGDK_HINGE) {
        const float sign = 2 * y - 1;
        return sign * s < 1 ? -sign : 0;
    }
    return s - y;
}

/* What is read of an example's first ENTRIES_HELD entries. */
typedef struct held {
    state x[ENTRIES_HELD / VW];
} held;

/* As dot1(). */
INLINE float held_dot(int merged, const asgd_view *t, uint32_t n, const uint32_t *idx,
                      const float *val, held *h)
{
    vf acc[ACCUMULATORS];
    for (int k = 0; k < ACCUMULATORS; k++) acc[k] = vset(0);
    for (uint32_t e = 0, c = 0; e < n; e += VW, c++) {
        const uint32_t m = n - e < VW ? n - e : VW;
        vf             w;
        h->x[c] = load_rows(merged, t, idx + e, m);
        w       = h->x[c].w;
        if (m < VW) {
            w = vfirst(w, m);
            acc[c % ACCUMULATORS] =
                vfma(vloadn(val ? val + e : all_ones, m), w, acc[c % ACCUMULATORS]);
        } else {
            acc[c % ACCUMULATORS] = vfma(val ? vload(val + e) : vset(1), w, acc[c % ACCUMULATORS]);
        }
    }
    return n <= 4 ? fold_few(acc) : fold(acc);
}

INLINE void held_apply(rule_step *f, int merged, int local_slots, const asgd_view *t, float *local,
                       size_t local_stride, uint32_t n, const uint32_t *idx, const float *val,
                       float slope, held *h, const consts *c)
{
    for (uint32_t e = 0, k = 0; e < n; e += VW, k++) {
        const uint32_t m = n - e < VW ? n - e : VW;
        state          x = h->x[k];
        vf             g = vset(slope);
        if (val) g = g * (m < VW ? vloadn(val + e, m) : vload(val + e));
        if (local_slots) x.l = load_local(local, local_stride, idx + e, m);
        x = f(x, g, c);
        store_rows(merged, t, idx + e, m, x);
        if (local_slots) store_local(local, local_stride, idx + e, m, x.l);
    }
}

/* Asks for the rows of an example that no cache has in any case; of long ones for the beginning. */
INLINE void ask(const asgd_view *t, uint32_t n, const uint32_t *idx, uint32_t near)
{
    while (n > 0 && idx[n - 1] >= near) __builtin_prefetch(row_at(t, idx[--n]), 1);
}

/* Of two tables at once: where a loop ends is hard to foresee, so one is better than two. */
INLINE void ask_both(const asgd_view *t, const asgd_view *v, uint32_t n, const uint32_t *idx,
                     uint32_t near)
{
    while (n > 0 && idx[n - 1] >= near) {
        n--;
        __builtin_prefetch(row_at(t, idx[n]), 1);
        __builtin_prefetch(row_at(v, idx[n]), 1);
    }
}

/* Leaves the rest of those rows that are far away to be asked for while the example before it is at work. */
INLINE void ask_later(const asgd_view *t, uint32_t n, const uint32_t *idx, uint32_t near,
                      asgdk_ffm *p)
{
    uint32_t k = 0;
    while (n > 0 && k < p->fields && idx[n - 1] >= near) p->ahead[k++] = row_at(t, idx[--n]);
    p->n_ahead = k;
}

/* xs */
INLINE float scale_of(uint32_t n, const float *val)
{
    float squares = (float)n;
    if (val) {
        squares = 0;
        for (uint32_t e = 0; e < n; e++) squares += val[e] * val[e];
    }
    return squares > 0 ? 1 / __builtin_sqrtf(squares) : 1;
}

typedef enum interactions { NONE, FM, FFM } interactions;

INLINE void steps(rule_step *f, int merged, int local_slots, bool together, interactions kind,
                  asgdk_fm_fn *fm, asgdk_ffm_fn *ffm, const asgdk_single *j, uint32_t n)
{
    const uint32_t  far = kind == FFM ? FFM_AHEAD : LINEAR_AHEAD;
    const asgd_view t   = j->w;
    const consts    c = prepare(&j->step), bias_c = prepare(&j->bias_step);
    held            h;
    for (uint32_t i = 0; i < n; i++) {
        if (i + far < n) {
            const uint32_t *idx = j->idx + j->begin[i + far], m = j->len[i + far];
            if (kind == FM) {
                ask_both(&t, &j->v, m, idx, j->v_near);
            } else {
                ask(&t, m, idx, j->near);
                if (kind == FFM) ask(&j->v, m, idx, j->v_near);
            }
        }
        if (kind == FFM) {
            j->ffm->n_ahead = 0;
            if (i + 1 < n)
                ask_later(&j->v, j->len[i + 1], j->idx + j->begin[i + 1], j->v_far, j->ffm);
        }
        const uint64_t  at  = j->begin[i];
        const uint32_t *idx = j->idx + at, m = j->len[i];
        const float    *val = j->val ? j->val + at : NULL;
        float s = m > ENTRIES_HELD ? dot1(&t, m, idx, val) : held_dot(merged, &t, m, idx, val, &h);
        const float xs = j->normalize ? scale_of(m, val) : 1;
        s *= xs;
        if (j->bias) s = rload1(j->bias) + s;
        if (kind == FM) s += fm_score(&j->v, j->v_pad, m, idx, val, xs, j->sum);
        if (kind == FFM) s += ffm_score(&j->v, j->ffm, m, idx, j->field + at, val, xs);
        j->score[i] = s;
        if (j->weight && !(j->weight[i] > 0)) continue;
        float slope = linear_slope(j->loss, s, j->y[i]);
        if (j->weight) slope *= j->weight[i];
        if (m > ENTRIES_HELD)
            apply_scattered(f, merged, local_slots, together, &t, j->local, j->local_stride, m, idx,
                            val, slope * xs, &j->step);
        else
            held_apply(f, merged, local_slots, &t, j->local, j->local_stride, m, idx, val,
                       slope * xs, &h, &c);
        if (j->bias) apply_one(f, merged, local_slots, j->bias, j->bias_local, slope, &bias_c);
        if (kind == FM)
            fm(&j->v, j->v_local, j->v_local_stride, j->v_pad, m, idx, val, xs, slope, j->sum,
               &j->v_step);
        if (kind == FFM)
            ffm(&j->v, j->v_local, j->v_local_stride, j->ffm, m, idx, j->field + at, val, xs, slope,
                &j->v_step);
    }
}

#ifdef NARROW
#define NARROW_STEPS(kind) (j->v_pad == UNIT ? NARROW.fm_steps[kind] : NULL)
#else
#define NARROW_STEPS(kind) NULL
#endif

#define DEFINE(name, merged, local_slots, together)                                \
    static void name##_linear(const asgdk_single *j, uint32_t n)                   \
    {                                                                              \
        steps(name, merged, local_slots, together, NONE, NULL, NULL, j, n);        \
    }                                                                              \
    static void name##_fm_steps(const asgdk_single *j, uint32_t n)                 \
    {                                                                              \
        asgdk_single_fn *narrow = NARROW_STEPS(ASGD_RULE_##name);                  \
        if (narrow)                                                                \
            narrow(j, n);                                                          \
        else                                                                       \
            steps(name, merged, local_slots, together, FM, name##_fm, NULL, j, n); \
    }                                                                              \
    static void name##_ffm_steps(const asgdk_single *j, uint32_t n)                \
    {                                                                              \
        steps(name, merged, local_slots, together, FFM, NULL, name##_ffm, j, n);   \
    }
RULES(DEFINE)
#undef DEFINE

static void adagrad_quads_ffm_steps(const asgdk_single *j, uint32_t n)
{
    steps(adagrad, 1, 0, true, FFM, NULL, adagrad_quads_ffm, j, n);
}
