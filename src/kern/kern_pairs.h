/* kern_pairs.h -- matrix factorization, one rating at a time.  Part of kern_body.h.
 *
 * With user row p, item row q, biases b and c, and the target t = (y - mean) * inverse:
 *
 *     s = b + c + p . q                                   (Koren, Bell, Volinsky 2009)
 *     g = d loss(s, t) / d s
 *     b -= lr (g + l b)     p -= lr (g q + l_user p)
 *     c -= lr (g + l c)     q -= lr (g p + l_item q)      p of before
 *
 * and for ranking, a rating's item i before an item j that the user has not rated (Rendle et al. 2009):
 *
 *     x = c_i - c_j + p . (q_i - q_j),  loss log(1 + exp(-x)),  g = -1 / (1 + exp(x))
 *
 * Both rows are read, and written, once: for the usual widths they stay in registers from the dot
 * product to the stores.  Rows of ratings to come are asked for PAIRS_AHEAD early: a rating takes some
 * nanoseconds, the core's second cache as long, memory twenty times that. */

enum { PAIRS_AHEAD = 10, PAIR_FLOATS = 128 / (VW < 8 ? 4 : 1) }; /* widest row held in registers */

typedef struct pair_consts {
    float lr, mean, inverse, positive;
    float keep_user, keep_item, keep_bias; /* 1 - lr * l2 */
    vf    user, item;                      /* the first two */
} pair_consts;

INLINE pair_consts pair_prepare(const asgdk_pairs *p)
{
    pair_consts c = {.lr        = p->lr,
                     .mean      = p->mean,
                     .inverse   = p->inverse,
                     .positive  = p->positive,
                     .keep_user = 1 - p->lr * p->l2_user,
                     .keep_item = 1 - p->lr * p->l2_item,
                     .keep_bias = 1 - p->lr * p->l2_bias};
    c.user        = vset(c.keep_user);
    c.item        = vset(c.keep_item);
    return c;
}

/* One table may be split in private and shared rows; under a conflict-free schedule none is. */
INLINE float *pair_row(const asgd_view *t, bool split, uint32_t r)
{
    return split ? row_at(t, r) : t->shared + r * t->stride;
}

INLINE void pair_prefetch(const asgd_view *t, bool split, uint32_t pad, uint32_t r)
{
    const float *row = pair_row(t, split, r);
    UNROLL for (uint32_t f = 0; f < pad && f < 64; f += 16) __builtin_prefetch(row + f, 1);
    if (pad > 64)
        for (uint32_t f = 64; f < pad; f += 16) __builtin_prefetch(row + f, 1);
}

/* exp for one float: that of exp1 in its first lane. */
INLINE float pair_exp(float x)
{
    return lane0(exp1(vset(x)));
}

/* d loss / d s, and the loss. */
INLINE float pair_slope(int loss, const pair_consts *c, float s, float y, float *cost)
{
    if (loss == ASGDK_PAIRS_SQUARED) {
        const float e = s - (y - c->mean) * c->inverse;
        *cost         = 0.5f * e * e;
        return e;
    }
    if (loss == ASGDK_PAIRS_ABSOLUTE) {
        const float e = s - (y - c->mean) * c->inverse;
        *cost         = e < 0 ? -e : e;
        return e > 0 ? 1.0f : e < 0 ? -1.0f : 0.0f;
    }
    const float e      = pair_exp(s < 0 ? s : -s); /* exp(-|s|) */
    const float weight = y > 0 ? c->positive : 1;
    const float m      = y > 0 ? s : -s;
    *cost              = weight * (__builtin_log1pf(e) + (m < 0 ? -m : 0));
    return weight * ((s < 0 ? e : 1) / (1 + e) - (y > 0 ? 1.0f : 0.0f));
}

INLINE float pair_dot(uint32_t pad, const float *p, const float *q)
{
    vf       sum = vset(0), more = vset(0);
    uint32_t f = 0;
    for (; f + 2 * VW <= pad; f += 2 * VW) {
        sum  = vfma(rload(p + f), rload(q + f), sum);
        more = vfma(rload(p + f + VW), rload(q + f + VW), more);
    }
    if (f + VW <= pad) {
        sum = vfma(rload(p + f), rload(q + f), sum);
        f += VW;
    }
    if (f < pad) more = vfma(rloadn(p + f, pad - f), rloadn(q + f, pad - f), more);
    return vsum(sum + more);
}

/* ---- ratings ---- */

/* Factors of a row held in registers: pad is a constant, a multiple of VW. */
INLINE float pair_step_held(uint32_t pad, int loss, bool positive_only, const pair_consts *c,
                            float *p, float *q, float bias, float y, float *g)
{
    enum { MOST = PAIR_FLOATS / VW };
    vf    a[MOST], b[MOST], sum = vset(0), more = vset(0);
    float cost;
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        a[k] = rload(p + k * VW);
        b[k] = rload(q + k * VW);
        if (k % 2)
            more = vfma(a[k], b[k], more);
        else
            sum = vfma(a[k], b[k], sum);
    }
    *g            = pair_slope(loss, c, bias + vsum(sum + more), y, &cost);
    const vf step = vset(-c->lr * *g), zero = vset(0);
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        vf u = vfma(step, b[k], c->user * a[k]), v = vfma(step, a[k], c->item * b[k]);
        if (positive_only) {
            u = vmax(zero, u);
            v = vmax(zero, v);
        }
        rstore(p + k * VW, u);
        rstore(q + k * VW, v);
    }
    return cost;
}

INLINE float pair_step_any(uint32_t pad, int loss, bool positive_only, const pair_consts *c,
                           float *p, float *q, float bias, float y, float *g)
{
    float cost;
    *g            = pair_slope(loss, c, bias + pair_dot(pad, p, q), y, &cost);
    const vf step = vset(-c->lr * *g), zero = vset(0);
    uint32_t f = 0;
    for (; f + VW <= pad; f += VW) {
        const vf a = rload(p + f), b = rload(q + f);
        vf       u = vfma(step, b, c->user * a), v = vfma(step, a, c->item * b);
        if (positive_only) {
            u = vmax(zero, u);
            v = vmax(zero, v);
        }
        rstore(p + f, u);
        rstore(q + f, v);
    }
    if (f < pad) {
        const vf a = rloadn(p + f, pad - f), b = rloadn(q + f, pad - f);
        vf       u = vfma(step, b, c->user * a), v = vfma(step, a, c->item * b);
        if (positive_only) {
            u = vmax(zero, u);
            v = vmax(zero, v);
        }
        rstoren(p + f, u, pad - f);
        rstoren(q + f, v, pad - f);
    }
    return cost;
}

INLINE double pair_steps(uint32_t pad, bool held, int loss, bool positive_only, bool split,
                         const asgdk_pairs *p, uint32_t n, const asgd_rating *r)
{
    const pair_consts c     = pair_prepare(p);
    const asgd_view   users = p->user, items = p->item;
    const asgd_view   user_biases = p->user_bias, item_biases = p->item_bias;
    const bool        biases = p->biases;
    double            total  = 0;
    for (uint32_t i = 0; i < n; i++) {
        const asgd_rating *next = &r[i + PAIRS_AHEAD < n ? i + PAIRS_AHEAD : i];
        pair_prefetch(&users, split, pad, next->user);
        pair_prefetch(&items, split, pad, next->item);
        float *u = pair_row(&users, split, r[i].user), *v = pair_row(&items, split, r[i].item);
        float *b = pair_row(&user_biases, split, r[i].user);
        float *d = pair_row(&item_biases, split, r[i].item);
        float  x = rload1(b), y = rload1(d), g;
        total +=
            (double)(held ? pair_step_held(pad, loss, positive_only, &c, u, v, x + y, r[i].y, &g)
                          : pair_step_any(pad, loss, positive_only, &c, u, v, x + y, r[i].y, &g));
        if (biases) {
            rstore1(b, c.keep_bias * x - c.lr * g);
            rstore1(d, c.keep_bias * y - c.lr * g);
        }
    }
    return total;
}

static bool pair_split(const asgd_view *t)
{
    return t->n_own > 0 && t->own != t->shared;
}

static double mf_steps(const asgdk_pairs *p, uint32_t n, const asgd_rating *r)
{
    const bool split = pair_split(&p->user) || pair_split(&p->item) || pair_split(&p->user_bias) ||
                       pair_split(&p->item_bias);
    if (!split && !p->nonnegative && p->loss == ASGDK_PAIRS_SQUARED) {
#define WIDTH(pad) \
    case pad: return pair_steps(pad, pad % VW == 0, ASGDK_PAIRS_SQUARED, false, false, p, n, r)
        switch (p->pad) {
            WIDTH(8);
            WIDTH(16);
            WIDTH(32);
            WIDTH(64);
#if VW != 4
            WIDTH(128);
#endif
        default: return pair_steps(p->pad, false, ASGDK_PAIRS_SQUARED, false, false, p, n, r);
        }
#undef WIDTH
    }
    return pair_steps(p->pad, false, (int)p->loss, p->nonnegative, true, p, n, r);
}

static void mf_scores(const asgdk_pairs *p, uint32_t n, const asgd_rating *r, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const asgd_rating *next = &r[i + PAIRS_AHEAD < n ? i + PAIRS_AHEAD : i];
        const uint32_t     u = r[i].user, v = r[i].item;
        const bool         known = u < p->users, sold = v < p->items;
        float              s = 0;
        if (next->user < p->users) pair_prefetch(&p->user, true, p->pad, next->user);
        if (next->item < p->items) pair_prefetch(&p->item, true, p->pad, next->item);
        if (known) s += rload1(row_at(&p->user_bias, u));
        if (sold) s += rload1(row_at(&p->item_bias, v));
        if (known && sold) s += pair_dot(p->pad, row_at(&p->user, u), row_at(&p->item, v));
        out[i] = s;
    }
}

/* ---- ranking ---- */

INLINE double bpr_of(uint32_t pad, const asgdk_pairs *p, uint32_t n, const asgdk_triple *r)
{
    const pair_consts c     = pair_prepare(p);
    double            total = 0;
    for (uint32_t k = 0; k < n; k++) {
        const asgdk_triple *next = &r[k + PAIRS_AHEAD < n ? k + PAIRS_AHEAD : k];
        pair_prefetch(&p->user, true, pad, next->user);
        pair_prefetch(&p->item, true, pad, next->item);
        pair_prefetch(&p->item, true, pad, next->other);
        float   *u = row_at(&p->user, r[k].user);
        float   *i = row_at(&p->item, r[k].item), *j = row_at(&p->item, r[k].other);
        float   *b = row_at(&p->item_bias, r[k].item), *d = row_at(&p->item_bias, r[k].other);
        vf       sum = vset(0);
        uint32_t f   = 0;
        for (; f + VW <= pad; f += VW) sum = vfma(rload(u + f), rload(i + f) - rload(j + f), sum);
        if (f < pad)
            sum =
                vfma(rloadn(u + f, pad - f), rloadn(i + f, pad - f) - rloadn(j + f, pad - f), sum);
        const float x = (p->biases ? rload1(b) - rload1(d) : 0) + vsum(sum);
        const float e = pair_exp(x < 0 ? x : -x);
        const float g = (x < 0 ? 1 : e) / (1 + e); /* 1 / (1 + exp(x)) */
        total += (double)(__builtin_log1pf(e) + (x < 0 ? -x : 0));
        const vf up = vset(c.lr * g), down = vset(-c.lr * g);
        for (f = 0; f + VW <= pad; f += VW) {
            const vf a = rload(u + f), v = rload(i + f), w = rload(j + f);
            rstore(u + f, vfma(up, v - w, c.user * a));
            rstore(i + f, vfma(up, a, c.item * v));
            rstore(j + f, vfma(down, a, c.item * w));
        }
        if (f < pad) {
            const vf a = rloadn(u + f, pad - f), v = rloadn(i + f, pad - f),
                     w = rloadn(j + f, pad - f);
            rstoren(u + f, vfma(up, v - w, c.user * a), pad - f);
            rstoren(i + f, vfma(up, a, c.item * v), pad - f);
            rstoren(j + f, vfma(down, a, c.item * w), pad - f);
        }
        if (p->biases) {
            rstore1(b, c.keep_bias * rload1(b) + c.lr * g);
            rstore1(d, c.keep_bias * rload1(d) - c.lr * g);
        }
    }
    return total;
}

static double bpr_steps(const asgdk_pairs *p, uint32_t n, const asgdk_triple *r)
{
    switch (p->pad) {
    case 16: return bpr_of(16, p, n, r);
    case 32: return bpr_of(32, p, n, r);
    case 64: return bpr_of(64, p, n, r);
    default: return bpr_of(p->pad, p, n, r);
    }
}

/* ---- all items for some users ----
 *
 * Items lie in panels of VW, factor by factor, so that a lane is an item: panel[f][lane].  A tile is
 * RANK_USERS users times one panel: its sums stay in registers over all factors. */

enum { RANK_USERS = VW == 1 ? 4 : 8 };

static void rank_pack(const asgd_view *t, uint32_t k, uint32_t rows, float *panel)
{
    for (uint32_t r = 0; r < rows; r += VW, panel += (size_t)k * VW)
        for (uint32_t f = 0; f < k; f++)
            for (uint32_t l = 0; l < VW; l++)
                panel[f * VW + l] = r + l < rows ? rload1(row_at(t, r + l) + f) : 0;
}

INLINE void rank_tile(uint32_t users, uint32_t k, const float *panel, const float *user, size_t ldu,
                      float *out, size_t ldo)
{
    vf sum[RANK_USERS];
    UNROLL for (uint32_t u = 0; u < users; u++) sum[u] = vload(out + u * ldo);
    for (uint32_t f = 0; f < k; f++) {
        const vf v = vload(panel + f * VW);
        UNROLL for (uint32_t u = 0; u < users; u++) sum[u] =
            vfma(vset(user[u * ldu + f]), v, sum[u]);
    }
    UNROLL for (uint32_t u = 0; u < users; u++) vstore(out + u * ldo, sum[u]);
}

/* out[u][item] += user row u . item, for `rows` items rounded up to VW; ldo >= that. */
static void rank_scores(uint32_t k, uint32_t rows, const float *panel, uint32_t users,
                        const float *user, size_t ldu, float *out, size_t ldo)
{
    for (uint32_t r = 0; r < rows; r += VW, panel += (size_t)k * VW) {
        uint32_t u = 0;
        for (; u + RANK_USERS <= users; u += RANK_USERS)
            rank_tile(RANK_USERS, k, panel, user + u * ldu, ldu, out + u * ldo + r, ldo);
        for (; u < users; u++) rank_tile(1, k, panel, user + u * ldu, ldu, out + u * ldo + r, ldo);
    }
}
