/* mf.c -- biased matrix factorization (Koren, Bell, Volinsky 2009): ratings of items by users.
 *
 *     s(u, i) = b_u + c_i + p_u . q_i,   prediction mean + deviation * s, within the range of ratings seen
 *     minimised over ratings: loss(s, (y - mean) / deviation) + l_user/2 |p_u|^2 + l_item/2 |q_i|^2
 *                             + l_bias/2 (b_u^2 + c_i^2)
 *
 * Losses: squared, absolute, logistic (ratings 0 and 1).  nonnegative=1 keeps factors at or above 0 by
 * projection (Lin 2007), which is the fused kernel's: rule sgd.  bias=0 is the product alone, and mean 0.
 *
 * Cold users and items, those without a training rating, have bias and factors 0: the prediction for one is
 * the mean and the other's bias, for two the mean. */
#include "model/users_items.h"

#include <math.h>
#include <string.h>

#include "data/arrange.h"
#include "model/loss.h"
#include "model/options.h"

static asgd_status parse(void *self, const char *options)
{
    static const char *const losses[] = {"squared", "absolute", "logistic"};
    static const char *const words[]  = {"0", "1"};
    asgdi_pairs             *m        = self;
    char                     key[32], value[128];
    asgd_status              s;
    *m = (asgdi_pairs){.k        = 32,
                       .init     = 0.1f,
                       .l2_user  = 0.038f,
                       .l2_item  = 0.038f,
                       .l2_bias  = 0.01f,
                       .positive = 1,
                       .bias     = true};
    while (asgdi_option_next(&options, key, value, &s)) {
        bool known;
        int  i = 0;
        ASGD_TRY(asgdi_pairs_option(m, "mf", key, value, &known));
        if (known) continue;
        if (strcmp(key, "loss") == 0) {
            ASGD_TRY(asgdi_option_choice("mf", key, value, losses, 3, &m->loss));
        } else if (strcmp(key, "nonnegative") == 0) {
            ASGD_TRY(asgdi_option_choice("mf", key, value, words, 2, &i));
            m->nonnegative = i == 1;
        } else {
            return asgdi_option_unknown(
                "mf", key, "k, loss, bias, nonnegative, init, l2, l2_user, l2_item, l2_bias");
        }
    }
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    asgdi_pairs *m = self;
    *task          = m->loss == ASGDK_PAIRS_LOGISTIC ? ASGD_TASK_BINARY : ASGD_TASK_REGRESSION;
    *outputs       = 1;
    return asgdi_pairs_shape(m, d, tables, n_tables);
}

static size_t scratch_bytes(const void *self, uint32_t n)
{
    const uint32_t terms = n < ASGDI_STEPS_MOST ? ASGDI_STEPS_MOST : n;
    return asgdi_pairs_scratch(self, n) + terms * sizeof(asgdi_term);
}

/* What a normalised loss is in the ratings' own units. */
static double unit(const asgdi_pairs *m, const asgdk_pairs *p)
{
    const double by = 1 / (double)p->inverse;
    return m->loss == ASGDK_PAIRS_SQUARED ? by * by : m->loss == ASGDK_PAIRS_ABSOLUTE ? by : 1;
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st)
{
    const asgdi_pairs *m    = self;
    const asgdk_pairs  p    = asgdi_pairs_kernel(m, w, g);
    asgdi_term        *term = scratch;
    (void)random;
    for (uint32_t i = 0; i < b->n; i++)
        term[i] = (asgdi_term){b->rating[i].user, b->rating[i].item, ASGDI_NO_NAME, b->rating[i].y};
    st->loss += unit(m, &p) *
                asgdi_pairs_emit(m, w, g, term, b->n, 1 / (float)b->n, term + b->n + b->n % 2);
    st->weight += b->n;
}

static void steps(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                  void *scratch, uint64_t random, asgd_stats *st)
{
    const asgdi_pairs *m = self;
    if (!asgdi_pairs_fused(g)) {
        asgd_batch one = *b;
        for (one.n = 1; one.rating < b->rating + b->n; one.rating++)
            step(self, &one, w, g, scratch, random, st);
        return;
    }
    asgdk_pairs p = asgdi_pairs_kernel(m, w, g);
    if (b->pool) p.ahead = b->pool->ahead;
    st->loss += unit(m, &p) * g->k->mf_steps(&p, b->n, b->rating);
    st->weight += b->n;
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st)
{
    const asgdi_pairs *m     = self;
    const asgdk_pairs  p     = asgdi_pairs_kernel(m, w, g);
    const float       *scale = asgd_row(&w[ASGDI_SCALE], 0);
    const float        low = scale[ASGDI_SCALE_LOW], high = scale[ASGDI_SCALE_HIGH];
    float              slope;
    (void)scratch;
    g->k->mf_scores(&p, b->n, b->rating, out);
    for (uint32_t i = 0; i < b->n; i++) {
        const float y = b->rating[i].y;
        if (m->loss == ASGDK_PAIRS_LOGISTIC) {
            if (st) {
                st->loss += (double)asgdi_loss_logistic(out[i], y > 0 ? 1 : 0, &slope);
                st->correct += (out[i] > 0) == (y > 0);
            }
            out[i] = asgdi_sigmoid(out[i]);
            continue;
        }
        out[i] = p.mean + out[i] / p.inverse;
        if (out[i] < low) out[i] = low;
        if (out[i] > high) out[i] = high;
        const double e = (double)out[i] - (double)y;
        if (st) st->loss += m->loss == ASGDK_PAIRS_SQUARED ? e * e / 2 : fabs(e);
    }
    if (st) st->weight += b->n;
}

/* Mean and deviation; factors that multiply to about the mean where they have to do so alone. */
static asgd_status start(asgd_model *model, const asgd_source *train)
{
    const asgdi_pairs *m     = model->self;
    const uint64_t     n     = train->schema.examples;
    float             *scale = model->params.table[ASGDI_SCALE].master;
    double             sum = 0, squares = 0;
    for (uint64_t i = 0; i < n; i++) sum += (double)train->rating[i].y;
    const double mean = sum / (double)n;
    for (uint64_t i = 0; i < n; i++) {
        const double e = (double)train->rating[i].y - mean;
        squares += e * e;
        if (m->loss == ASGDK_PAIRS_LOGISTIC && train->rating[i].y != 1 && train->rating[i].y != 0 &&
            train->rating[i].y != -1)
            return ASGD_FAIL(
                EMISMATCH,
                "loss logistic needs ratings 1 and 0 (or -1), and there is a %g; take loss "
                "squared, or model bpr for ranking",
                (double)train->rating[i].y);
    }
    if (squares == 0)
        return ASGD_FAIL(
            EMISMATCH,
            "all ratings are %g, so that there is nothing to predict; model bpr learns from "
            "who rated what alone",
            mean);
    scale[ASGDI_SCALE_LOW]  = train->schema.y_min;
    scale[ASGDI_SCALE_HIGH] = train->schema.y_max;
    if (m->loss == ASGDK_PAIRS_LOGISTIC) {
        scale[ASGDI_SCALE_DEVIATION] = 1;
    } else {
        scale[ASGDI_SCALE_MEAN]      = m->bias ? (float)mean : 0;
        scale[ASGDI_SCALE_DEVIATION] = (float)sqrt(squares / (double)n);
    }
    const float product = m->bias || m->loss == ASGDK_PAIRS_LOGISTIC
                              ? 0
                              : (float)fabs(mean) / scale[ASGDI_SCALE_DEVIATION];
    const float middle  = sqrtf(product / (float)m->k);
    for (int t = ASGDI_USER; t <= ASGDI_ITEM; t++) {
        const asgdi_table *x = &model->params.table[t];
        for (uint64_t r = 0; r < x->info.rows; r++)
            for (uint32_t f = 0; f < m->k; f++) {
                float *v = x->master + r * x->stride + f;
                *v += middle;
                if (m->nonnegative) *v = fabsf(*v);
            }
    }
    return asgdi_pairs_start(model, train, m);
}

/* Projection is a write, which models leave to kernels. */
static const char *sgd_only(const void *self)
{
    return ((const asgdi_pairs *)self)->nonnegative ? "nonnegative=1" : NULL;
}

static const asgd_model_ops ops = {
    .name       = "mf",
    .self_bytes = sizeof(asgdi_pairs),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .steps      = steps,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_mf = {
    .ops      = &ops,
    .help     = "mf: matrix factorization; ratings of items by users\n"
                "\tk=32  factors of a user and an item\n"
                "\tloss=squared  squared, absolute, logistic (ratings 0 and 1)\n"
                "\tbias=1  0: the product of the factors alone, without mean and biases\n"
                "\tnonnegative=0  1: factors stay at or above 0 (rule sgd)\n"
                "\tinit=0.1  factors start at random, with the deviation init / sqrt(k)\n"
                "\tl2=0.038  penalty on the factors, l2/2 times their squares for each rating\n"
                "\tl2_user=0.038  that of users alone\n"
                "\tl2_item=0.038  that of items alone\n"
                "\tl2_bias=0.01  that of biases\n",
    .defaults = {.batch       = 1,
                 .epochs      = 12,
                 .rule        = ASGD_RULE_sgd,
                 .schedule    = ASGD_LINEAR,
                 .lr          = {[ASGD_RULE_sgd]      = 0.057,
                                 [ASGD_RULE_momentum] = 0.005,
                                 [ASGD_RULE_adagrad]  = 0.05,
                                 [ASGD_RULE_rmsprop]  = 0.001,
                                 [ASGD_RULE_adam]     = 0.001,
                                 [ASGD_RULE_ftrl]     = 0.1},
                 .adagrad_eps = 1,
                 .patience    = ASGD_NEVER},
    .pairs    = true,
    .parse    = parse,
    .start    = start,
    .sgd_only = sgd_only,
};
