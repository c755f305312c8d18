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
 * product to the stores.  Rows of ratings to come are asked for PAIRS_AHEAD early: a rating takes six to ten
 * nanoseconds, a row from the third cache or from memory 70 to 200. */

#include <math.h>

enum { PAIRS_AHEAD = ASGDK_PAIRS_AHEAD };

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

INLINE void pair_prefetch(const float *row, uint32_t pad)
{
    for (uint32_t f = 0; f < pad && f < 128; f += 16) __builtin_prefetch(row + f, 1);
}

/* exp for one float: that of exp1 in its first lane. */
INLINE float pair_exp(float x)
{
    return lane0(exp1(vset(x)));
}

/* Losses of a run.  Logarithms are taken of products, each factor of which is at most 2. */
typedef struct pair_losses {
    double   sum, product[2]; /* by whether y is above 0 */
    uint32_t factors;
} pair_losses;

INLINE void pair_close(pair_losses *l, float positive)
{
    l->sum += log(l->product[0]) + (double)positive * log(l->product[1]);
    l->product[0] = l->product[1] = 1;
    l->factors                    = 0;
}

/* d loss / d s */
INLINE float pair_slope(int loss, const pair_consts *c, float s, float y, pair_losses *l)
{
    if (loss == ASGDK_PAIRS_LOGISTIC) {
        const float e      = pair_exp(s < 0 ? s : -s); /* exp(-|s|) */
        const bool  yes    = y > 0;
        const float weight = yes ? c->positive : 1, m = yes ? s : -s;
        l->sum += (double)(m < 0 ? -weight * m : 0);
        l->product[yes] *= 1 + (double)e;
        if (++l->factors == 512) pair_close(l, c->positive);
        return weight * ((s < 0 ? e : 1) / (1 + e) - (yes ? 1.0f : 0.0f));
    }
    const float e = s - (y - c->mean) * c->inverse;
    if (loss == ASGDK_PAIRS_SQUARED) {
        l->sum += (double)(0.5f * e * e);
        return e;
    }
    l->sum += (double)(e < 0 ? -e : e);
    return e > 0 ? 1.0f : e < 0 ? -1.0f : 0.0f;
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

/* Any width, any loss. */
INLINE float pair_step(uint32_t pad, const asgdk_pairs *m, const pair_consts *c, float *p, float *q,
                       float bias, float y, pair_losses *l)
{
    const float g    = pair_slope((int)m->loss, c, bias + pair_dot(pad, p, q), y, l);
    const vf    step = vset(-c->lr * g), least = vset(m->nonnegative ? 0 : -FLT_MAX);
    uint32_t    f = 0;
    for (; f + VW <= pad; f += VW) {
        const vf a = rload(p + f), b = rload(q + f);
        rstore(p + f, vmax(least, vfma(step, b, c->user * a)));
        rstore(q + f, vmax(least, vfma(step, a, c->item * b)));
    }
    if (f < pad) {
        const vf a = rloadn(p + f, pad - f), b = rloadn(q + f, pad - f);
        rstoren(p + f, vmax(least, vfma(step, b, c->user * a)), pad - f);
        rstoren(q + f, vmax(least, vfma(step, a, c->item * b)), pad - f);
    }
    return g;
}

INLINE double mf_of(uint32_t pad, const asgdk_pairs *p, uint32_t n, const asgd_rating *r)
{
    const pair_consts c = pair_prepare(p);
    pair_losses       l = {.product = {1, 1}};
    for (uint32_t i = 0; i < n; i++) {
        const asgd_rating *next = &r[i + PAIRS_AHEAD < n ? i + PAIRS_AHEAD : i];
        pair_prefetch(row_at(&p->user, next->user), pad);
        pair_prefetch(row_at(&p->item, next->item), pad);
        float      *b = row_at(&p->user_bias, r[i].user), *d = row_at(&p->item_bias, r[i].item);
        const float x = rload1(b), y = rload1(d);
        const float g = pair_step(pad, p, &c, row_at(&p->user, r[i].user),
                                  row_at(&p->item, r[i].item), x + y, r[i].y, &l);
        if (p->biases) {
            rstore1(b, c.keep_bias * x - c.lr * g);
            rstore1(d, c.keep_bias * y - c.lr * g);
        }
    }
    pair_close(&l, c.positive);
    return l.sum;
}

static double mf_any(const asgdk_pairs *p, uint32_t n, const asgd_rating *r)
{
    switch (p->pad) {
    case 32: return mf_of(32, p, n, r);
    case 64: return mf_of(64, p, n, r);
    default: return mf_of(p->pad, p, n, r);
    }
}

/* Squared loss, tables that are not split and have no slots: pad is a constant, so that rows of up to
 * HELD vectors stay in registers, and what does not depend on their product is computed beside it. */
enum { HELD = 8, HELD_TWO = VW == 16 ? 4 : 2 /* of two ratings at a time */ };

typedef struct pair_tables {
    pair_consts c;
    float      *users, *items, *biases, *others;
    float       keep, by, shift; /* shift: mean * inverse */
} pair_tables;

INLINE pair_tables pair_open(const asgdk_pairs *m)
{
    pair_tables w = {.c      = pair_prepare(m),
                     .users  = m->user.shared,
                     .items  = m->item.shared,
                     .biases = m->user_bias.shared,
                     .others = m->item_bias.shared,
                     .by     = m->biases ? 1 : 0};
    w.shift       = w.c.mean * w.c.inverse;
    w.keep        = m->biases ? w.c.keep_bias : 1;
    return w;
}

INLINE void pair_ask(uint32_t pad, const pair_tables *w, const asgd_rating *soon)
{
    pair_prefetch(w->users + (size_t)soon->user * pad, pad);
    pair_prefetch(w->items + (size_t)soon->item * pad, pad);
}

/* Returns the error.  The vector ports are what a rating waits for, and scalars use them too: so biases come in with the
 * product's sums, and what depends on the product is computed once and spread. */
INLINE float mf_one(uint32_t pad, const pair_tables *w, const asgd_rating *r)
{
    float   *p = w->users + (size_t)r->user * pad, *q = w->items + (size_t)r->item * pad;
    float   *b = w->biases + r->user, *d = w->others + r->item;
    const vf x = rlane0(b), y = rlane0(d);
    vf       sum = x, more = y, u[HELD], v[HELD];
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        const vf one = rload(p + k * VW), two = rload(q + k * VW);
        if (pad / VW <= HELD) {
            u[k] = one;
            v[k] = two;
        }
        if (k % 2)
            more = vfma(one, two, more);
        else
            sum = vfma(one, two, sum);
    }
    if (pad % VW)
        more = vfma(rloadn(p + pad / VW * VW, pad % VW), rloadn(q + pad / VW * VW, pad % VW), more);
    const float e       = vsum(sum + more) - (r->y * w->c.inverse - w->shift);
    const float by_lr   = -w->c.lr * e;
    const float by_bias = w->by * by_lr;
    const vf    step    = vset(by_lr);
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        const vf one = pad / VW <= HELD ? u[k] : rload(p + k * VW);
        const vf two = pad / VW <= HELD ? v[k] : rload(q + k * VW);
        rstore(p + k * VW, vfma(step, two, w->c.user * one));
        rstore(q + k * VW, vfma(step, one, w->c.item * two));
    }
    if (pad % VW) {
        float *const p_rest = p + pad / VW * VW, *const q_rest = q + pad / VW * VW;
        const vf one = rloadn(p_rest, pad % VW), two = rloadn(q_rest, pad % VW);
        rstoren(p_rest, vfma(step, two, w->c.user * one), pad % VW);
        rstoren(q_rest, vfma(step, one, w->c.item * two), pad % VW);
    }
    rstore1(b, sfma(w->keep, lane0(x), by_bias));
    rstore1(d, sfma(w->keep, lane0(y), by_bias));
    return e;
}

/* A rating of two that are trained on side by side: between its product and its step is the other's. */
typedef struct pair_half {
    float *p, *q, *b, *d, x, y;
    vf     u[HELD_TWO], v[HELD_TWO];
} pair_half;

INLINE vf half_begin(uint32_t pad, const pair_tables *w, const asgd_rating *r, pair_half *h)
{
    h->p    = w->users + (size_t)r->user * pad;
    h->q    = w->items + (size_t)r->item * pad;
    h->b    = w->biases + r->user;
    h->d    = w->others + r->item;
    vf sum  = rlane0(h->b);
    vf more = rlane0(h->d);
    h->x    = lane0(sum);
    h->y    = lane0(more);
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        h->u[k] = rload(h->p + k * VW);
        h->v[k] = rload(h->q + k * VW);
        if (k % 2)
            more = vfma(h->u[k], h->v[k], more);
        else
            sum = vfma(h->u[k], h->v[k], sum);
    }
    return sum + more;
}

INLINE void half_end(uint32_t pad, const pair_tables *w, float by_lr, float by_bias,
                     const pair_half *h)
{
    const vf step = vset(by_lr);
    UNROLL for (uint32_t k = 0; k < pad / VW; k++)
    {
        rstore(h->p + k * VW, vfma(step, h->v[k], w->c.user * h->u[k]));
        rstore(h->q + k * VW, vfma(step, h->u[k], w->c.item * h->v[k]));
    }
    rstore1(h->b, sfma(w->keep, h->x, by_bias));
    rstore1(h->d, sfma(w->keep, h->y, by_bias));
}

/* Two ratings at a time: their sums over lanes and their scalars share instructions, and each has the other's to wait
 * for.  Two of one user or item go one after the other, so the result is that of steps in order.  Returns the squares of
 * the errors. */
INLINE twin mf_two(uint32_t pad, const pair_tables *w, const asgd_rating *r)
{
    pair_half a, b;
    if (__builtin_expect((r[0].user == r[1].user) | (r[0].item == r[1].item), 0)) {
        const float s = mf_one(pad, w, r), t = mf_one(pad, w, r + 1);
        return (twin){s * s, t * t};
    }
    const vf   one = half_begin(pad, w, r, &a), two = half_begin(pad, w, r + 1, &b);
    const twin e     = vsum_two(one, two) - ((twin){r[0].y, r[1].y} * w->c.inverse - w->shift);
    const twin by_lr = e * -w->c.lr, by_bias = by_lr * w->by;
    half_end(pad, w, by_lr[0], by_bias[0], &a);
    half_end(pad, w, by_lr[1], by_bias[1], &b);
    return e * e;
}

INLINE double mf_squared(uint32_t pad, const asgdk_pairs *m, uint32_t n, const asgd_rating *r)
{
    const uint32_t    ahead = pad < 128 ? PAIRS_AHEAD : PAIRS_AHEAD / 2; /* of long rows fewer */
    const pair_tables w     = pair_open(m);
    float             total = 0;
    uint32_t          i     = 0;
    if (VW > 1 && pad % VW == 0 && pad / VW <= HELD_TWO) {
        const uint32_t known = n + m->ahead > ahead ? n + m->ahead - ahead : 0;
        twin           sums  = {0};
        for (; i + 2 <= n && i + 2 <= known; i += 2) {
            pair_ask(pad, &w, r + i + ahead);
            pair_ask(pad, &w, r + i + ahead + 1);
            sums += mf_two(pad, &w, r + i);
        }
        for (; i + 2 <= n; i += 2) sums += mf_two(pad, &w, r + i); /* these were asked for */
        total = sums[0] + sums[1];
    }
    for (; i < n; i++) {
        const uint32_t next = i + ahead, last = n - 1 + m->ahead;
        pair_ask(pad, &w, r + (next < last ? next : last));
        const float e = mf_one(pad, &w, r + i);
        total += e * e;
    }
    return 0.5 * (double)total;
}

static bool pair_plain(const asgd_view *t, size_t stride)
{
    return (t->n_own == 0 || t->own == t->shared) && t->stride == stride;
}

static double mf_steps(const asgdk_pairs *p, uint32_t n, const asgd_rating *r)
{
    const bool plain = pair_plain(&p->user, p->pad) && pair_plain(&p->item, p->pad) &&
                       pair_plain(&p->user_bias, 1) && pair_plain(&p->item_bias, 1);
    if (!plain || p->nonnegative || p->loss != ASGDK_PAIRS_SQUARED) return mf_any(p, n, r);
    switch (p->pad) {
    case 8: return mf_squared(8, p, n, r);
    case 16: return mf_squared(16, p, n, r);
    case 32: return mf_squared(32, p, n, r);
    case 64: return mf_squared(64, p, n, r);
    case 128: return mf_squared(128, p, n, r);
    case 256: return mf_squared(256, p, n, r);
    default: return mf_any(p, n, r);
    }
}

static void mf_scores(const asgdk_pairs *p, uint32_t n, const asgd_rating *r, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const asgd_rating *next = &r[i + PAIRS_AHEAD < n ? i + PAIRS_AHEAD : i];
        const uint32_t     u = r[i].user, v = r[i].item;
        const bool         known = u < p->users, sold = v < p->items;
        float              s = 0;
        if (next->user < p->users) pair_prefetch(row_at(&p->user, next->user), p->pad);
        if (next->item < p->items) pair_prefetch(row_at(&p->item, next->item), p->pad);
        if (known) s += rload1(row_at(&p->user_bias, u));
        if (sold) s += rload1(row_at(&p->item_bias, v));
        if (known && sold) s += pair_dot(p->pad, row_at(&p->user, u), row_at(&p->item, v));
        out[i] = s;
    }
}

/* ---- ranking ---- */

INLINE double bpr_of(uint32_t pad, const asgdk_pairs *p, uint32_t n, const asgdk_triple *r)
{
    const pair_consts c = pair_prepare(p);
    double total = 0, product = 1; /* the logarithm is taken of 512 factors, each at most 2 */
    for (uint32_t k = 0; k < n; k++) {
        const asgdk_triple *next = &r[k + PAIRS_AHEAD < n ? k + PAIRS_AHEAD : k];
        pair_prefetch(row_at(&p->user, next->user), pad);
        pair_prefetch(row_at(&p->item, next->item), pad);
        pair_prefetch(row_at(&p->item, next->other), pad);
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
        total += (double)(x < 0 ? -x : 0);
        product *= 1 + (double)e;
        if (k % 512 == 511) {
            total += log(product);
            product = 1;
        }
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
    return total + log(product);
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
