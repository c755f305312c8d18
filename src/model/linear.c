/* linear.c -- one weight a feature: logistic regression, least squares, linear support vectors.
 *
 *     s = <w, x> + b        minimise the mean of loss(s, y), loss.h
 *
 * The gradient of an example is slope(s, y) * x: on sparse data a step touches the rows of its own
 * non-zeros only, which is what makes lock-free training work (Niu, Recht, Re, Wright 2011).  A batch
 * of one sparse example, the common case, is one dot product and one scattered emission; larger
 * batches compute every score before the first row changes.
 *
 * With instance weights the objective is the weighted mean.  Every row an example touches is emitted
 * even where the slope is zero, because the rule's penalties belong to touched rows. */
#include "model/loss.h"
#include "model/model.h"
#include "model/options.h"

#include <string.h>

typedef enum loss_kind { LOSS_AUTO, LOSS_SQUARED, LOSS_LOGISTIC, LOSS_HINGE, LOSSES } loss_kind;
static const char *const loss_names[LOSSES] = {"auto", "squared", "logistic", "hinge"};

typedef struct linear {
    loss_kind loss; /* after shape(): not AUTO */
    bool      bias;
} linear;

enum { WEIGHT, BIAS }; /* tables */

static asgd_status parse(void *self, const char *options)
{
    static const char *const flags[] = {"0", "1"};
    linear                  *m       = self;
    char                     key[32], value[128];
    asgd_status              s;
    *m = (linear){.loss = LOSS_AUTO, .bias = true};
    while (asgdi_option_next(&options, key, value, &s)) {
        int choice = 0;
        if (strcmp(key, "loss") == 0) {
            ASGD_TRY(asgdi_option_choice("linear", key, value, loss_names, LOSSES, &choice));
            m->loss = (loss_kind)choice;
        } else if (strcmp(key, "bias") == 0) {
            ASGD_TRY(asgdi_option_choice("linear", key, value, flags, 2, &choice));
            m->bias = choice == 1;
        } else {
            return asgdi_option_unknown("linear", key, "loss, bias");
        }
    }
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    linear *m = self;
    if (m->loss == LOSS_AUTO && d->classes > 2)
        return ASGD_FAIL(EMISMATCH,
                         "model linear has one output, but the data have %u classes; use the model "
                         "softmax, or loss=squared if the classes are amounts",
                         d->classes);
    if (m->loss == LOSS_AUTO) m->loss = d->classes == 0 ? LOSS_SQUARED : LOSS_LOGISTIC;
    if (m->loss != LOSS_SQUARED && (d->classes == 0 || d->classes > 2))
        return ASGD_FAIL(EMISMATCH, "model linear: loss=%s needs two classes, but the data have %s",
                         loss_names[m->loss],
                         d->classes ? "more; use the model softmax"
                                    : "real-valued targets; use loss=squared");
    tables[WEIGHT] = (asgd_table){
        .name = "weight", .rows = d->features, .dim = 1, .flags = ASGD_TABLE_BY_FEATURE};
    tables[BIAS] = (asgd_table){.name = "bias", .rows = 1, .dim = 1, .flags = ASGD_TABLE_NO_DECAY};
    *n_tables    = m->bias ? 2 : 1;
    *task        = m->loss == LOSS_SQUARED ? ASGD_TASK_REGRESSION : ASGD_TASK_BINARY;
    *outputs     = 1;
    return ASGD_OK;
}

static size_t scratch_bytes(const void *self, uint32_t n)
{
    (void)self;
    return (size_t)n * sizeof(float);
}

static float bias_of(const linear *m, const asgd_sink *g)
{
    static const uint32_t zero = 0;
    return m->bias ? asgd_dot_sparse(g, BIAS, 1, &zero, NULL) : 0;
}

static float score_sparse(const asgd_batch *b, uint32_t i, const asgd_sink *g)
{
    uint64_t at = b->begin[i];
    return asgd_dot_sparse(g, WEIGHT, b->len[i], b->idx + at, b->val ? b->val + at : NULL);
}

static void scores(const linear *m, const asgd_batch *b, const asgd_sink *g, float *out)
{
    float bias = bias_of(m, g);
    if (b->dense) {
        for (uint32_t i = 0; i < b->n; i++) out[i] = bias;
        asgd_forward(g, WEIGHT, b, out, 1);
    } else {
        for (uint32_t i = 0; i < b->n; i++) out[i] = bias + score_sparse(b, i, g);
    }
}

/* Adds example i with score s to *st; returns its weight times d loss / d s. */
static float account(const linear *m, const asgd_batch *b, uint32_t i, float s, asgd_stats *st)
{
    float y = b->y[i], weight = b->weight ? b->weight[i] : 1, slope, loss;
    switch (m->loss) {
    case LOSS_LOGISTIC: loss = asgdi_loss_logistic(s, y, &slope); break;
    case LOSS_HINGE: loss = asgdi_loss_hinge(s, y, &slope); break;
    default: loss = asgdi_loss_squared(s, y, &slope); break;
    }
    st->loss += (double)weight * (double)loss;
    st->weight += (double)weight;
    st->correct += m->loss != LOSS_SQUARED && (s > 0) == (y > 0.5f);
    return weight * slope;
}

static void emit_bias(const linear *m, asgd_sink *g, float scale, float sum)
{
    if (m->bias) asgd_emit_rows(g, BIAS, 0, 1, scale, &sum, 1);
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st)
{
    (void)w;
    (void)random;
    const linear *m     = self;
    asgd_stats    batch = {0};
    if (b->n == 1 && !b->dense) {
        uint64_t at = b->begin[0];
        float    v  = account(m, b, 0, bias_of(m, g) + score_sparse(b, 0, g), &batch);
        if (batch.weight > 0) {
            float scale = (float)(1 / batch.weight);
            asgd_emit_scattered(g, WEIGHT, b->len[0], b->idx + at, b->val ? b->val + at : NULL,
                                v * scale, NULL);
            emit_bias(m, g, scale, v);
        }
    } else {
        float *v = scratch, sum = 0;
        scores(m, b, g, v);
        for (uint32_t i = 0; i < b->n; i++) sum += v[i] = account(m, b, i, v[i], &batch);
        if (batch.weight > 0) {
            float scale = (float)(1 / batch.weight);
            asgd_emit_outer(g, WEIGHT, b, scale, v, 1);
            emit_bias(m, g, scale, sum);
        }
    }
    st->loss += batch.loss;
    st->weight += batch.weight;
    st->correct += batch.correct;
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st)
{
    (void)w;
    (void)scratch;
    const linear *m = self;
    scores(m, b, g, out);
    for (uint32_t i = 0; st && i < b->n; i++) account(m, b, i, out[i], st);
    for (uint32_t i = 0; m->loss == LOSS_LOGISTIC && i < b->n; i++) out[i] = asgdi_sigmoid(out[i]);
}

static const asgd_model_ops ops = {
    .name       = "linear",
    .self_bytes = sizeof(linear),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_linear = {
    .ops      = &ops,
    .help     = "linear: one weight a feature; two classes or real-valued targets\n"
                "\tloss=auto  squared, logistic, hinge; auto: logistic for two classes, else squared\n"
                "\tbias=1  0: no constant term\n",
    .defaults = {.batch    = 1,
                 .epochs   = 10,
                 .rule     = ASGD_RULE_adagrad,
                 .schedule = ASGD_LINEAR,
                 .lr       = {[ASGD_RULE_sgd]      = 0.1,
                              [ASGD_RULE_momentum] = 0.02,
                              [ASGD_RULE_adagrad]  = 0.05,
                              [ASGD_RULE_rmsprop]  = 0.001,
                              [ASGD_RULE_adam]     = 0.001,
                              [ASGD_RULE_ftrl]     = 0.1}},
    .parse    = parse,
};
