/* ffm.c -- field-aware factorization machines (Juan, Zhuang, Chin, Lin 2016).
 *
 *     s = bias + sum_j w_j x_j + sum_{i<j} (w_{i,f_j} . w_{j,f_i}) x_i x_j
 *
 * A feature has k factors towards every field, of which a pair uses those towards each other's.
 * Tables: weight [features][1], bias [1][1], factors [features][fields * c]: cells of c floats, k
 * rounded up to 4 or to a multiple of 8, so that cells are whole vectors; all c are factors.
 * The paper's model has no linear part; it costs little and helps where few examples are seen.
 * adagrad's sums are of four factors each, as good and a third less to move (docs/decisions/017).
 *
 * How pairs are summed in O(n fields), and why not pair by pair: kern/kern_factors.h. */
#include "model/factors.h"
#include "model/options.h"

#include <math.h>
#include <string.h>

enum { ROW_MAX = 1 << 20 };

typedef struct ffm {
    asgdi_single single;
    uint32_t     cell, fields;
    float        init;
} ffm;

static asgd_status parse(void *self, const char *options)
{
    ffm        *m = self;
    char        key[32], value[128];
    uint32_t    k = 4;
    asgd_status s;
    *m = (ffm){.single = asgdi_single_defaults, .init = 0.1f};
    while (asgdi_option_next(&options, key, value, &s)) {
        bool known;
        int  n = 0;
        ASGD_TRY(asgdi_single_option(&m->single, "ffm", key, value, &known));
        if (known) continue;
        if (strcmp(key, "k") == 0) {
            ASGD_TRY(asgdi_option_sizes("ffm", key, value, ASGDK_CELL_MAX, 1, &k, &n));
        } else if (strcmp(key, "init") == 0) {
            ASGD_TRY(asgdi_option_fraction("ffm", key, value, &m->init));
        } else {
            return asgdi_option_unknown("ffm", key, "k, init, loss, bias, normalize");
        }
    }
    m->cell = k <= 4 ? 4 : (k + 7) & ~7u;
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    ffm *m = self;
    ASGD_TRY(asgdi_factor_check("ffm", d));
    ASGD_TRY(asgdi_single_shape(&m->single, "ffm", d, tables, n_tables, task, outputs));
    if (d->fields == 0)
        return ASGD_FAIL(EMISMATCH,
                         "model ffm needs fields, which these data do not have; give a format that "
                         "has them (libffm, criteo, csv, vw), or use the model fm");
    if ((uint64_t)d->fields * m->cell > ROW_MAX)
        return ASGD_FAIL(
            EMISMATCH,
            "model ffm: %u fields of %u factors are too many for a row; take a smaller "
            "k, fewer fields, or the model fm",
            d->fields, m->cell);
    m->fields             = d->fields;
    tables[ASGDI_FACTORS] = (asgd_table){.name  = "factors",
                                         .rows  = d->features,
                                         .dim   = d->fields * m->cell,
                                         .flags = ASGD_TABLE_BY_FEATURE | ASGD_TABLE_QUADS,
                                         .init  = ASGD_INIT_UNIFORM,
                                         .scale = m->init * sqrtf(3.0f / (float)m->cell)};
    *n_tables             = 3;
    return ASGD_OK;
}

static size_t state_bytes(const void *self)
{
    const ffm *m = self;
    return asgdk_ffm_bytes(m->fields, m->cell);
}

/* The scratch is zeroed once and kept, so the first use lays it out. */
static asgdk_ffm *state(const void *self, void *scratch)
{
    const ffm *m = self;
    asgdk_ffm *p = scratch;
    return p->sum ? p : asgdk_ffm_lay_out(scratch, m->fields, m->cell);
}

static float score(const void *self, const asgd_sink *g, const asgdi_example *x, void *scratch)
{
    return asgdi_ffm_score(g, ASGDI_FACTORS, state(self, scratch), x->n, x->idx, x->field, x->val,
                           x->xs);
}

static void emit(const void *self, asgd_sink *g, const asgdi_example *x, float slope, void *scratch)
{
    asgdi_emit_ffm(g, ASGDI_FACTORS, state(self, scratch), x->n, x->idx, x->field, x->val, x->xs,
                   slope);
}

static const asgdi_factor_ops factors = {
    .score = score, .emit = emit, .ffm = state, .bytes = state_bytes};

static size_t scratch_bytes(const void *self, uint32_t n)
{
    return asgdi_factor_scratch(&factors, self, n);
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st)
{
    (void)w;
    (void)random;
    asgdi_factor_step(&factors, self, b, g, scratch, st);
}

static void steps(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                  void *scratch, uint64_t random, asgd_stats *st)
{
    (void)w;
    (void)random;
    asgdi_factor_steps(&factors, self, b, g, scratch, st);
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st)
{
    (void)w;
    asgdi_factor_predict(&factors, self, b, g, scratch, out, st);
}

static const asgd_model_ops ops = {
    .name       = "ffm",
    .self_bytes = sizeof(ffm),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .steps      = steps,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_ffm = {
    .ops      = &ops,
    .help     = "ffm: field-aware factorization machine; sparse data with fields\n"
                "\tk=4  factors a feature towards each field; rounded up to 4 or a multiple of 8\n"
                "\tinit=0.1  factors start at random, with the deviation init / sqrt(k)\n"
                "\tloss=auto  squared, logistic, hinge; auto: logistic for two classes, else squared\n"
                "\tbias=1  0: no constant term\n"
                "\tnormalize=0  1: examples are scaled to length 1; then try lr 0.2\n",
    .defaults = {.batch       = 1,
                 .epochs      = 10,
                 .rule        = ASGD_RULE_adagrad,
                 .schedule    = ASGD_CONSTANT,
                 .lr          = {[ASGD_RULE_sgd]      = 0.05,
                                 [ASGD_RULE_momentum] = 0.01,
                                 [ASGD_RULE_adagrad]  = 0.02,
                                 [ASGD_RULE_rmsprop]  = 0.001,
                                 [ASGD_RULE_adam]     = 0.001,
                                 [ASGD_RULE_ftrl]     = 0.1},
                 .adagrad_eps = 1,
                 .patience    = 2},
    .sparse   = true,
    .fields   = true,
    .one_pass = asgdi_single_one_pass,
    .parse    = parse,
};
