/* bpr.c -- ranking from implicit feedback: who took what, and nothing about how they liked it.
 *
 *     s(u, i) = c_i + p_u . q_i
 *
 *     loss=bpr       of each pair (u, i) and each item j drawn for it: log(1 + exp(-(s(u, i) - s(u, j))))
 *                    (Rendle et al. 2009)
 *     loss=logistic  positive * log(1 + exp(-s(u, i))) + sum over the j of log(1 + exp(s(u, j)))
 *                    (as skip-gram's, Mikolov et al. 2013; weighted as in Hu, Koren, Volinsky 2008), with
 *                    a bias of the user too
 *
 * and penalties as mf's.  Items are drawn uniformly or as often as they are rated, and drawn again where
 * the user has them.  Under a grid of blocks they are drawn from the block's strip: all rows that a worker
 * touches are then its own, and over an epoch each strip's turn comes.
 *
 * A rating's number is not looked at.  Cold users have factors 0, so that items are ranked by their biases
 * for them; cold items have score 0. */
#include "model/users_items.h"

#include <string.h>

#include "data/arrange.h"
#include "model/options.h"

enum { NEGATIVES_MAX = 64, TRIES = 8, PART = 256 };

typedef struct bpr {
    asgdi_pairs pairs; /* first */
    uint32_t    negatives;
    int         loss, draw;
} bpr;
enum { LOSS_BPR, LOSS_LOGISTIC };
enum { DRAW_UNIFORM, DRAW_POPULAR };

static asgd_status parse(void *self, const char *options)
{
    static const char *const losses[] = {"bpr", "logistic"};
    static const char *const draws[]  = {"uniform", "popular"};
    bpr                     *m        = self;
    char                     key[32], value[128];
    asgd_status              s;
    *m = (bpr){.pairs     = {.k        = 32,
                             .init     = 0.1f,
                             .l2_user  = 0.01f,
                             .l2_item  = 0.01f,
                             .l2_bias  = 0.001f,
                             .positive = 1,
                             .loss     = ASGDK_PAIRS_LOGISTIC,
                             .bias     = true},
               .negatives = 1};
    while (asgdi_option_next(&options, key, value, &s)) {
        bool known;
        int  n = 0;
        ASGD_TRY(asgdi_pairs_option(&m->pairs, "bpr", key, value, &known));
        if (known) continue;
        if (strcmp(key, "loss") == 0) {
            ASGD_TRY(asgdi_option_choice("bpr", key, value, losses, 2, &m->loss));
        } else if (strcmp(key, "draw") == 0) {
            ASGD_TRY(asgdi_option_choice("bpr", key, value, draws, 2, &m->draw));
        } else if (strcmp(key, "negatives") == 0) {
            ASGD_TRY(asgdi_option_sizes("bpr", key, value, NEGATIVES_MAX, 1, &m->negatives, &n));
        } else if (strcmp(key, "positive") == 0) {
            ASGD_TRY(asgdi_pairs_number("bpr", key, value, 1e3, &m->pairs.positive));
        } else {
            return asgdi_option_unknown(
                "bpr", key,
                "k, loss, draw, negatives, positive, bias, init, l2, l2_user, "
                "l2_item, l2_bias");
        }
    }
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    bpr *m   = self;
    *task    = ASGD_TASK_RANKING;
    *outputs = 1;
    if (d->items == 1)
        return ASGD_FAIL(EMISMATCH,
                         "the data have one item only, so that there is nothing to rank");
    return asgdi_pairs_shape(&m->pairs, d, tables, n_tables);
}

/* ---- drawing ---- */

static uint32_t below(uint64_t *state, uint64_t n)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((asgdi_mix(*state) >> 32) * n >> 32);
}

/* An item that the user does not have, as far as a few tries go; that of r itself where there is none. */
static uint32_t draw(const bpr *m, const asgd_batch *b, const asgd_rating *r, uint64_t *state)
{
    const asgd_pool   *pool = b->pool;
    const asgd_rating *all  = pool ? pool->rating : b->rating;
    const uint64_t     n    = pool ? pool->n_rating : b->n;
    uint32_t           item = r->item;
    for (int i = 0; i < TRIES; i++) {
        if (m->draw == DRAW_POPULAR)
            item = all[below(state, n < UINT32_MAX ? n : UINT32_MAX)].item;
        else if (pool && pool->items)
            item = pool->items[below(state, pool->n_items)];
        else
            item = below(state, m->pairs.items);
        if (item != r->item && !(pool && pool->seen && asgdi_seen_has(pool->seen, r->user, item)))
            return item;
    }
    return r->item;
}

/* ---- steps ---- */

static size_t scratch_bytes(const void *self, uint32_t n)
{
    const bpr     *m     = self;
    const uint32_t terms = (n < PART ? PART : n) * (m->negatives + 1);
    return asgdi_pairs_scratch(&m->pairs, n * (m->negatives + 1)) + terms * sizeof(asgdi_term) + 64;
}

static uint32_t terms_of(const bpr *m, const asgd_batch *b, uint64_t random, asgdi_term *term)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const asgd_rating *r = &b->rating[i];
        if (m->loss == LOSS_LOGISTIC) term[n++] = (asgdi_term){r->user, r->item, ASGDI_NO_NAME, 1};
        for (uint32_t j = 0; j < m->negatives; j++) {
            const uint32_t other = draw(m, b, r, &random);
            if (other == r->item) continue;
            term[n++] = m->loss == LOSS_LOGISTIC ? (asgdi_term){r->user, other, ASGDI_NO_NAME, 0}
                                                 : (asgdi_term){r->user, r->item, other, 1};
        }
    }
    return n;
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st)
{
    const bpr     *m    = self;
    asgdi_term    *term = scratch;
    const uint32_t n = terms_of(m, b, random, term), room = (b->n * (m->negatives + 1) + 3) / 4 * 4;
    st->loss += asgdi_pairs_emit(&m->pairs, w, g, term, n, 1 / (float)b->n, term + room);
    st->weight += b->n;
}

/* The ratings of a part and what is drawn for them, for one call of a kernel. */
static double part(const bpr *m, const asgdk_pairs *p, const asgd_kern *k, const asgd_batch *b,
                   uint64_t *random, void *scratch)
{
    uint32_t n = 0;
    if (m->loss == LOSS_LOGISTIC) {
        asgd_rating *to = scratch;
        for (uint32_t i = 0; i < b->n; i++) {
            const asgd_rating *r = &b->rating[i];
            to[n++]              = (asgd_rating){r->user, r->item, 1};
            for (uint32_t j = 0; j < m->negatives; j++) {
                const uint32_t other = draw(m, b, r, random);
                if (other != r->item) to[n++] = (asgd_rating){r->user, other, 0};
            }
        }
        return k->mf_steps(p, n, to);
    }
    asgdk_triple *to = scratch;
    for (uint32_t i = 0; i < b->n; i++) {
        const asgd_rating *r = &b->rating[i];
        for (uint32_t j = 0; j < m->negatives; j++) {
            const uint32_t other = draw(m, b, r, random);
            if (other != r->item) to[n++] = (asgdk_triple){r->user, r->item, other};
        }
    }
    return k->bpr_steps(p, n, to);
}

static void steps(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                  void *scratch, uint64_t random, asgd_stats *st)
{
    const bpr *m   = self;
    asgd_batch now = *b;
    if (!asgdi_pairs_fused(g)) {
        for (now.n = 1; now.rating < b->rating + b->n; now.rating++)
            step(self, &now, w, g, scratch, asgdi_mix(random += UINT64_C(0x9e3779b97f4a7c15)), st);
        return;
    }
    const asgdk_pairs p = asgdi_pairs_kernel(&m->pairs, w, g);
    for (uint32_t i = 0; i < b->n; i += now.n) {
        now.rating = b->rating + i;
        now.n      = b->n - i < PART ? b->n - i : PART;
        st->loss += part(m, &p, g->k, &now, &random, scratch);
    }
    st->weight += b->n;
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st)
{
    const bpr        *m = self;
    const asgdk_pairs p = asgdi_pairs_kernel(&m->pairs, w, g);
    (void)scratch;
    g->k->mf_scores(&p, b->n, b->rating, out);
    if (st) st->weight += b->n;
}

static asgd_status start(asgd_model *model, const asgd_source *train)
{
    const bpr *m                 = model->self;
    float     *scale             = model->params.table[ASGDI_SCALE].master;
    scale[ASGDI_SCALE_DEVIATION] = 1;
    scale[ASGDI_SCALE_LOW]       = train->schema.y_min;
    scale[ASGDI_SCALE_HIGH]      = train->schema.y_max;
    return asgdi_pairs_start(model, train, &m->pairs);
}

static const asgd_model_ops ops = {
    .name       = "bpr",
    .self_bytes = sizeof(bpr),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .steps      = steps,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_bpr = {
    .ops       = &ops,
    .help      = "bpr: ranking of items for users, from who took what\n"
                 "\tk=32  factors of a user and an item\n"
                 "\tloss=bpr  bpr: what was taken before what was not; logistic: each on its own\n"
                 "\tnegatives=1  items drawn for each rating\n"
                 "\tdraw=uniform  uniform; popular: as often as they are rated\n"
                 "\tpositive=1  loss logistic: weight of what was taken\n"
                 "\tbias=1  0: the product of the factors alone\n"
                 "\tinit=0.1  factors start at random, with the deviation init / sqrt(k)\n"
                 "\tl2=0.01  penalty on the factors, l2/2 times their squares for each rating\n"
                 "\tl2_user=0.01  that of users alone\n"
                 "\tl2_item=0.01  that of items alone\n"
                 "\tl2_bias=0.001  that of biases\n",
    .defaults  = {.batch       = 1,
                  .epochs      = 30,
                  .rule        = ASGD_RULE_sgd,
                  .schedule    = ASGD_LINEAR,
                  .lr          = {[ASGD_RULE_sgd]      = 0.1,
                                  [ASGD_RULE_momentum] = 0.005,
                                  [ASGD_RULE_adagrad]  = 0.05,
                                  [ASGD_RULE_rmsprop]  = 0.001,
                                  [ASGD_RULE_adam]     = 0.001,
                                  [ASGD_RULE_ftrl]     = 0.1},
                  .adagrad_eps = 1,
                  .patience    = ASGD_NEVER},
    .pairs     = true,
    .negatives = true,
    .parse     = parse,
    .start     = start,
};
