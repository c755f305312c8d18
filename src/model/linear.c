/* linear.c -- one weight a feature: least squares, logistic regression, linear support vectors.
 *
 *     s = sum_f w_f x_f + bias;   min over w, bias of the mean loss (loss.h) of s and y
 *     d loss / d w_f = slope x_f,   d loss / d bias = slope,   slope = d loss / d s
 *
 * The problem is convex, so the weights start at zero; updates of a sparse example touch the rows of its own
 * non-zeros only, which is what makes lock-free training work (Niu, Recht, Re, Wright 2011).  Batches
 * of one sparse example, the common case, are fused kernels (kern/kern_single.h), or one dot product and one
 * scattered emission; larger batches compute every score before the first row changes.
 *
 * With instance weights the objective is the mean of weight times loss.  Every row an example touches is emitted
 * even where the slope is zero, because the rule's penalties belong to touched rows.
 *
 * Data with a set of labels each: one logistic regression a label (one against the rest), as a net
 * without hidden layers (net.h), whose tables have a column a label. */
#include "model/net.h"
#include "model/options.h"
#include "model/single.h"

enum { AHEAD = 4 }; /* examples between the prefetch of rows and their use */

typedef struct linear {
    asgdi_single single;
    asgdi_net    net; /* layers 0: it is not one */
} linear;

static asgd_status parse(void *self, const char *options)
{
    linear     *m = self;
    char        key[32], value[128];
    asgd_status s;
    *m = (linear){.single = asgdi_single_defaults};
    while (asgdi_option_next(&options, key, value, &s)) {
        bool known;
        ASGD_TRY(asgdi_single_option(&m->single, "linear", key, value, &known));
        if (!known) return asgdi_option_unknown("linear", key, "loss, bias, normalize");
    }
    return s;
}

/* One against the rest. */
static asgd_status shape_labels(linear *m, const asgd_schema *d, asgd_table *tables, int *n_tables,
                                asgd_task *task, uint32_t *outputs)
{
    if (m->single.loss == ASGDI_LOSS_SQUARED || m->single.loss == ASGDI_LOSS_HINGE ||
        !m->single.bias || m->single.normalize)
        return ASGD_FAIL(EMISMATCH, "model linear: sets of labels are learnt by loss=logistic with "
                                    "bias=1 normalize=0; leave those options out");
    m->net = (asgdi_net){.layers = 1, .width = {d->features, d->classes}, .output = ASGDI_LABELS};
    tables[0] = (asgd_table){
        .name = "weight", .rows = d->features, .dim = d->classes, .flags = ASGD_TABLE_BY_FEATURE};
    tables[1] =
        (asgd_table){.name = "bias", .rows = 1, .dim = d->classes, .flags = ASGD_TABLE_NO_DECAY};
    *n_tables = 2;
    *task     = ASGD_TASK_LABELS;
    *outputs  = d->classes;
    return ASGD_OK;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    linear *m = self;
    if (d->label_sets) return shape_labels(m, d, tables, n_tables, task, outputs);
    if (m->single.normalize && d->dense)
        return ASGD_FAIL(EMISMATCH, "model linear: normalize=1 needs sparse data");
    ASGD_TRY(asgdi_single_shape(&m->single, "linear", d, tables, n_tables, task, outputs));
    if (!m->single.bias) *n_tables = 1;
    return ASGD_OK;
}

static size_t scratch_bytes(const void *self, uint32_t n)
{
    const linear *m = self;
    return m->net.layers ? asgdi_net_scratch(&m->net, n) : (size_t)n * sizeof(float);
}

static void scores(const linear *m, const asgd_batch *b, const asgd_sink *g, float *out)
{
    if (b->dense) {
        const float bias = asgdi_single_bias(&m->single, g);
        for (uint32_t i = 0; i < b->n; i++) out[i] = bias;
        asgd_forward(g, ASGDI_WEIGHT, b, out, 1);
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (i + AHEAD < b->n)
            asgdi_prefetch(g, ASGDI_WEIGHT, b->len[i + AHEAD], b->idx + b->begin[i + AHEAD]);
        const asgdi_example x = asgdi_single_example(&m->single, b, i);
        out[i]                = asgdi_single_linear(&m->single, g, &x);
    }
}

/* One example after another; sparse data. */
static void steps(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                  void *scratch, uint64_t random, asgd_stats *st)
{
    const linear     *m   = self;
    asgd_stats        sum = {0};
    const asgdi_steps all = {.weight = ASGDI_WEIGHT, .bias = ASGDI_BIAS, .factors = -1};
    if (!m->net.layers && asgdi_single_steps(&m->single, b, g, &all, st)) return;
    for (uint32_t i = 0; i < b->n; i++) {
        if (i + AHEAD < b->n)
            asgdi_prefetch(g, ASGDI_WEIGHT, b->len[i + AHEAD], b->idx + b->begin[i + AHEAD]);
        if (m->net.layers) {
            asgd_batch one = *b;
            one.n          = 1;
            one.begin += i;
            one.len += i;
            one.label_begin += i;
            one.label_len += i;
            if (b->weight) one.weight += i;
            asgdi_net_step(&m->net, &one, w, g, scratch, random + i, &sum);
            continue;
        }
        const asgdi_example x     = asgdi_single_example(&m->single, b, i);
        asgd_stats          one   = {0};
        const float         score = asgdi_single_linear(&m->single, g, &x);
        const float         slope = asgdi_single_account(&m->single, b, i, score, &one);
        if (one.weight > 0) asgdi_single_emit(&m->single, g, &x, slope);
        sum.loss += one.loss;
        sum.weight += one.weight;
        sum.correct += one.correct;
    }
    st->loss += sum.loss;
    st->weight += sum.weight;
    st->correct += sum.correct;
}

static void emit_all(const linear *m, const asgd_batch *b, asgd_sink *g, float scale, float *slope)
{
    float sum = 0;
    for (uint32_t i = 0; i < b->n; i++) sum += slope[i];
    for (uint32_t i = 0; m->single.normalize && i < b->n; i++)
        slope[i] *= asgdi_single_example(&m->single, b, i).xs;
    asgd_emit_outer(g, ASGDI_WEIGHT, b, scale, slope, 1);
    asgdi_single_emit_bias(&m->single, g, scale * sum);
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st)
{
    const linear *m   = self;
    asgd_stats    sum = {0};
    float        *v   = scratch;
    if (m->net.layers) {
        asgdi_net_step(&m->net, b, w, g, scratch, random, st);
        return;
    }
    if (b->n == 1 && !b->dense) {
        steps(self, b, w, g, scratch, random, st);
        return;
    }
    scores(m, b, g, v);
    for (uint32_t i = 0; i < b->n; i++) v[i] = asgdi_single_account(&m->single, b, i, v[i], &sum);
    if (sum.weight > 0) emit_all(m, b, g, 1 / (float)b->n, v);
    st->loss += sum.loss;
    st->weight += sum.weight;
    st->correct += sum.correct;
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st)
{
    const linear *m = self;
    if (m->net.layers) {
        asgdi_net_predict(&m->net, b, w, g, scratch, out, st);
        return;
    }
    scores(m, b, g, out);
    for (uint32_t i = 0; st && i < b->n; i++) asgdi_single_account(&m->single, b, i, out[i], st);
    for (uint32_t i = 0; i < b->n; i++) out[i] = asgdi_single_output(&m->single, out[i]);
}

static const asgd_model_ops ops = {
    .name       = "linear",
    .self_bytes = sizeof(linear),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .steps      = steps,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_linear = {
    .ops      = &ops,
    .help     = "linear: one weight a feature; two classes, real-valued targets or sets of labels\n"
                "\tloss=auto  squared, logistic, hinge; auto: logistic for two classes, else squared\n"
                "\tbias=1  0: no constant term\n"
                "\tnormalize=0  1: examples are scaled to length 1\n",
    .defaults = {.batch    = 1,
                 .epochs   = 10,
                 .rule     = ASGD_RULE_adagrad,
                 .schedule = ASGD_CONSTANT,
                 .lr       = {[ASGD_RULE_sgd]      = 0.1,
                              [ASGD_RULE_momentum] = 0.02,
                              [ASGD_RULE_adagrad]  = 0.05,
                              [ASGD_RULE_rmsprop]  = 0.001,
                              [ASGD_RULE_adam]     = 0.001,
                              [ASGD_RULE_ftrl]     = 0.1},
                 .patience = 2},
    .one_pass = asgdi_single_one_pass,
    .parse    = parse,
};
