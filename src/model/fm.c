/* fm.c -- factorization machines of second order (Rendle 2010).
 *
 *     s = bias + sum_j w_j x_j + sum_{i<j} (v_i . v_j) x_i x_j
 *
 * The pairs cost one pass over the entries, not one for every pair:
 *
 *     S = sum_j x_j v_j;   sum_{i<j} (v_i . v_j) x_i x_j = (|S|^2 - sum_j x_j^2 |v_j|^2) / 2
 *     d s / d v_j = x_j (S - x_j v_j)
 *
 * Tables: weight [features][1], bias [1][1], factors [features][k].  A row of factors holds the
 * rule's state behind the factors: with k = 8 and adagrad both fill exactly one cache line, and a
 * weight and its state 8 bytes of another; the kernels are in kern/kern_factors.h.
 *
 * The factors start at small random values: at zero, every gradient of theirs would be zero.  Examples are
 * scaled to length 1: pairs grow with the square of their number, and steps that suit short examples would be
 * too long for long ones. */
#include "model/factors.h"
#include "model/options.h"

#include <math.h>
#include <string.h>

enum { K_MAX = 1024 };

typedef struct fm {
    asgdi_single single;
    uint32_t     k;
    float        init;
} fm;

static asgd_status parse(void *self, const char *options)
{
    fm         *m = self;
    char        key[32], value[128];
    asgd_status s;
    *m                  = (fm){.single = asgdi_single_defaults, .k = 8, .init = 0.1f};
    m->single.normalize = true;
    while (asgdi_option_next(&options, key, value, &s)) {
        bool known;
        int  n = 0;
        ASGD_TRY(asgdi_single_option(&m->single, "fm", key, value, &known));
        if (known) continue;
        if (strcmp(key, "k") == 0) {
            ASGD_TRY(asgdi_option_sizes("fm", key, value, K_MAX, 1, &m->k, &n));
        } else if (strcmp(key, "init") == 0) {
            ASGD_TRY(asgdi_option_fraction("fm", key, value, &m->init));
        } else {
            return asgdi_option_unknown("fm", key, "k, init, loss, bias, normalize");
        }
    }
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    fm *m = self;
    ASGD_TRY(asgdi_factor_check("fm", d));
    ASGD_TRY(asgdi_single_shape(&m->single, "fm", d, tables, n_tables, task, outputs));
    /* dim 1 is laid out as single floats, which the kernels of factors do not take */
    tables[ASGDI_FACTORS] = (asgd_table){.name  = "factors",
                                         .rows  = d->features,
                                         .dim   = m->k > 1 ? m->k : 2,
                                         .flags = ASGD_TABLE_BY_FEATURE,
                                         .init  = ASGD_INIT_UNIFORM,
                                         .scale = m->init * sqrtf(3.0f / (float)m->k)};
    *n_tables             = 3;
    return ASGD_OK;
}

static float score(const void *self, const asgd_sink *g, const asgdi_example *x, void *scratch)
{
    (void)self;
    return asgdi_fm_score(g, ASGDI_FACTORS, x->n, x->idx, x->val, x->xs, scratch);
}

static void emit(const void *self, asgd_sink *g, const asgdi_example *x, float slope, void *scratch)
{
    (void)self;
    asgdi_emit_fm(g, ASGDI_FACTORS, x->n, x->idx, x->val, x->xs, slope, scratch);
}

static size_t sum_bytes(const void *self)
{
    const fm *m = self;
    return ((size_t)asgdk_pad(m->k > 1 ? m->k : 2) * sizeof(float) + 63) & ~(size_t)63;
}

static const asgdi_factor_ops factors = {.score = score, .emit = emit, .bytes = sum_bytes};

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

/* The steps are long already where examples are scaled. */
static double one_pass(const void *self)
{
    return ((const fm *)self)->single.normalize ? 3 : 1;
}

static const asgd_model_ops ops = {
    .name       = "fm",
    .self_bytes = sizeof(fm),
    .shape      = shape,
    .scratch    = scratch_bytes,
    .step       = step,
    .steps      = steps,
    .predict    = predict,
};

const asgdi_model_entry asgdi_model_fm = {
    .ops      = &ops,
    .help     = "fm: factorization machine; sparse data of two classes or real-valued targets\n"
                "\tk=8  factors a feature\n"
                "\tinit=0.1  factors start at random, with the deviation init / sqrt(k)\n"
                "\tloss=auto  squared, logistic, hinge; auto: logistic for two classes, else squared\n"
                "\tbias=1  0: no constant term\n"
                "\tnormalize=1  examples are scaled to length 1; 0: they are not\n",
    .defaults = {.batch       = 1,
                 .epochs      = 10,
                 .rule        = ASGD_RULE_adagrad,
                 .schedule    = ASGD_CONSTANT,
                 .lr          = {[ASGD_RULE_sgd]      = 0.1,
                                 [ASGD_RULE_momentum] = 0.02,
                                 [ASGD_RULE_adagrad]  = 0.2,
                                 [ASGD_RULE_rmsprop]  = 0.001,
                                 [ASGD_RULE_adam]     = 0.001,
                                 [ASGD_RULE_ftrl]     = 0.1},
                 .adagrad_eps = 1,
                 .patience    = 2},
    .sparse   = true,
    .one_pass = one_pass,
    .parse    = parse,
};
