/* single.c -- models of one score: options, tables, the linear part, the losses. */
#include "model/single.h"
#include "model/loss.h"
#include "model/options.h"

#include <string.h>

static const char *const loss_names[ASGDI_LOSSES] = {"auto", "squared", "logistic", "hinge"};

const asgdi_single asgdi_single_defaults = {.loss = ASGDI_LOSS_AUTO, .bias = true};

asgd_status asgdi_single_option(asgdi_single *m, const char *model, const char *key,
                                const char *value, bool *known)
{
    static const char *const flags[] = {"0", "1"};
    int                      choice  = 0;
    *known                           = true;
    if (strcmp(key, "loss") == 0) {
        ASGD_TRY(asgdi_option_choice(model, key, value, loss_names, ASGDI_LOSSES, &choice));
        m->loss = (asgdi_loss)choice;
    } else if (strcmp(key, "bias") == 0) {
        ASGD_TRY(asgdi_option_choice(model, key, value, flags, 2, &choice));
        m->bias = choice == 1;
    } else if (strcmp(key, "normalize") == 0) {
        ASGD_TRY(asgdi_option_choice(model, key, value, flags, 2, &choice));
        m->normalize = choice == 1;
    } else {
        *known = false;
    }
    return ASGD_OK;
}

asgd_status asgdi_single_shape(asgdi_single *m, const char *model, const asgd_schema *d,
                               asgd_table *tables, int *n_tables, asgd_task *task,
                               uint32_t *outputs)
{
    if (d->label_sets)
        return ASGD_FAIL(EMISMATCH,
                         "model %s has one output, but the data have sets of labels; use the model "
                         "linear or mlp",
                         model);
    if (m->loss == ASGDI_LOSS_AUTO && d->classes > 2)
        return ASGD_FAIL(EMISMATCH,
                         "model %s has one output, but the data have %u classes; use the model "
                         "softmax, or loss=squared if the classes are amounts",
                         model, d->classes);
    if (m->loss == ASGDI_LOSS_AUTO)
        m->loss = d->classes == 0 ? ASGDI_LOSS_SQUARED : ASGDI_LOSS_LOGISTIC;
    if (m->loss != ASGDI_LOSS_SQUARED && (d->classes == 0 || d->classes > 2))
        return ASGD_FAIL(EMISMATCH, "model %s: loss=%s needs two classes, but the data have %s",
                         model, loss_names[m->loss],
                         d->classes ? "more; use the model softmax"
                                    : "real-valued targets; use loss=squared");
    tables[ASGDI_WEIGHT] = (asgd_table){
        .name = "weight", .rows = d->features, .dim = 1, .flags = ASGD_TABLE_BY_FEATURE};
    tables[ASGDI_BIAS] =
        (asgd_table){.name = "bias", .rows = 1, .dim = 1, .flags = ASGD_TABLE_NO_DECAY};
    *n_tables = 2;
    *task     = m->loss == ASGDI_LOSS_SQUARED ? ASGD_TASK_REGRESSION : ASGD_TASK_BINARY;
    *outputs  = 1;
    return ASGD_OK;
}

/* ---- the hot path ---- */

asgdi_example asgdi_single_example(const asgdi_single *m, const asgd_batch *b, uint32_t i)
{
    const uint64_t at = b->begin[i];
    asgdi_example  x  = {.n     = b->len[i],
                         .idx   = b->idx + at,
                         .val   = b->val ? b->val + at : NULL,
                         .field = b->field ? b->field + at : NULL,
                         .xs    = 1};
    if (m->normalize && x.n) {
        float squares = (float)x.n;
        if (x.val) {
            squares = 0;
            for (uint32_t e = 0; e < x.n; e++) squares += x.val[e] * x.val[e];
        }
        x.xs = squares > 0 ? 1 / sqrtf(squares) : 1;
    }
    return x;
}

static const uint32_t first_row = 0;

float asgdi_single_bias(const asgdi_single *m, const asgd_sink *g)
{
    float bias = 0;
    if (m->bias) g->k->load(&bias, asgd_row(&g->views[ASGDI_BIAS], first_row), 1);
    return bias;
}

float asgdi_single_linear(const asgdi_single *m, const asgd_sink *g, const asgdi_example *x)
{
    return asgdi_single_bias(m, g) + x->xs * asgd_dot_sparse(g, ASGDI_WEIGHT, x->n, x->idx, x->val);
}

float asgdi_single_account(const asgdi_single *m, const asgd_batch *b, uint32_t i, float s,
                           asgd_stats *st)
{
    float y = b->y[i], weight = b->weight ? b->weight[i] : 1, slope, loss;
    switch (m->loss) {
    case ASGDI_LOSS_LOGISTIC: loss = asgdi_loss_logistic(s, y, &slope); break;
    case ASGDI_LOSS_HINGE: loss = asgdi_loss_hinge(s, y, &slope); break;
    default: loss = asgdi_loss_squared(s, y, &slope); break;
    }
    st->loss += (double)weight * (double)loss;
    st->weight += (double)weight;
    st->correct += m->loss != ASGDI_LOSS_SQUARED && (s > 0) == (y > 0.5f);
    return weight * slope;
}

/* Adds examples from..from+n-1 of b, whose scores these were. */
static void account(const asgdi_single *m, const asgd_batch *b, const asgd_sink *g, uint32_t from,
                    uint32_t n, float *score, asgd_stats *st)
{
    if (m->loss != ASGDI_LOSS_LOGISTIC || b->weight) {
        for (uint32_t i = 0; i < n; i++) asgdi_single_account(m, b, from + i, score[i], st);
        return;
    }
    uint32_t correct = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float y = b->y[from + i];
        correct += (score[i] > 0) == (y > 0.5f);
        score[i] *= 1 - 2 * y; /* the loss is log(1 + exp) of that */
    }
    st->loss += g->k->logistic(score, n, 1);
    st->weight += n;
    st->correct += correct;
}

bool asgdi_single_steps(const asgdi_single *m, const asgd_batch *b, asgd_sink *g,
                        const asgdi_steps *tables, asgd_stats *st)
{
    enum { PIECE = 64 };
    float       score[PIECE];
    asgdi_steps all = *tables;
    if (!m->bias) all.bias = -1;
    all.normalize = m->normalize;
    all.loss      = m->loss == ASGDI_LOSS_LOGISTIC ? ASGDK_LOGISTIC
                    : m->loss == ASGDI_LOSS_HINGE  ? ASGDK_HINGE
                                                   : ASGDK_SQUARED;
    for (uint32_t i = 0, n; i < b->n; i += n) {
        asgd_batch piece = *b;
        n                = b->n - i < PIECE ? b->n - i : PIECE;
        piece.n          = n;
        piece.begin += i;
        piece.len += i;
        piece.y += i;
        if (b->weight) piece.weight += i;
        if (!asgdi_sink_steps(g, &all, &piece, score)) return false; /* the first piece */
        account(m, b, g, i, n, score, st);
    }
    return true;
}

void asgdi_single_emit_bias(const asgdi_single *m, asgd_sink *g, float slope)
{
    if (m->bias) asgd_emit_scattered(g, ASGDI_BIAS, 1, &first_row, NULL, slope, NULL);
}

void asgdi_single_emit(const asgdi_single *m, asgd_sink *g, const asgdi_example *x, float slope)
{
    asgd_emit_scattered(g, ASGDI_WEIGHT, x->n, x->idx, x->val, slope * x->xs, NULL);
    asgdi_single_emit_bias(m, g, slope);
}

double asgdi_single_one_pass(const void *self)
{
    return ((const asgdi_single *)self)->normalize ? 10 : 1;
}

float asgdi_single_output(const asgdi_single *m, float s)
{
    return m->loss == ASGDI_LOSS_LOGISTIC ? asgdi_sigmoid(s) : s;
}
