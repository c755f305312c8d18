/* test_factors.c -- fm and ffm as models, and what linear shares with them: scores and training against
 * sums over pairs in double precision, many updates in one call against as many calls, options, tables,
 * refusals, files.  Their gradients are test_gradient.c's. */
#include "model/pairs.h"
#include "fixture.h"

#include <unistd.h>

enum { N = 40, FEATURES = 30, FIELDS = 6, MOST = 8 };

typedef struct data {
    asgd_batch batch;
    uint64_t   begin[N], label_begin[N];
    uint32_t   len[N], idx[N * MOST], label_len[N], label[N];
    float      val[N * MOST], y[N], weight[N];
    uint16_t   field[N * MOST];
} data;

static uint32_t below(uint64_t stream, uint64_t i, uint32_t n)
{
    return (uint32_t)(asgdi_random(99, stream, i) % n);
}

/* Some examples are empty; a feature's field is the same as a rule, but not always. */
static void make_data(data *d, bool values)
{
    uint32_t at = 0;
    memset(d, 0, sizeof *d);
    for (uint32_t i = 0; i < N; i++) {
        d->begin[i] = at;
        d->len[i]   = below(1, i, MOST + 1);
        for (uint32_t e = 0, last = 0; e < d->len[i]; e++, at++) {
            d->idx[at]   = last += (e > 0) + below(2, at, FEATURES / MOST);
            d->field[at] = (uint16_t)((last + (below(3, at, 5) == 0)) * 5 % FIELDS);
            d->val[at]   = asgdi_normal(asgdi_random(99, 4, at)) + 0.5f;
        }
        d->y[i]           = (float)below(5, i, 2);
        d->weight[i]      = i % 7 == 3 ? 0 : 1;
        d->label_begin[i] = i;
        d->label_len[i]   = i % 3 ? 1 : 0;
        d->label[i]       = below(6, i, 3);
    }
    d->batch = (asgd_batch){.n        = N,
                            .features = FEATURES,
                            .y        = d->y,
                            .begin    = d->begin,
                            .len      = d->len,
                            .idx      = d->idx,
                            .val      = values ? d->val : NULL,
                            .field    = d->field};
}

/* Examples lo..lo+n-1. */
static asgd_batch slice(const asgd_batch *x, uint32_t lo, uint32_t n)
{
    asgd_batch b = *x;
    b.n          = n;
    b.y += lo;
    b.begin += lo;
    b.len += lo;
    if (b.weight) b.weight += lo;
    if (b.label_begin) {
        b.label_begin += lo;
        b.label_len += lo;
    }
    return b;
}

/* ---- a model that is trained without an engine ---- */

static void open_model(fixture *f, const char *model, const char *options, uint32_t classes,
                       bool label_sets, asgd_rule rule, uint32_t n, asgdi_sink_kind kind)
{
    const asgd_schema d      = {.examples   = N,
                                .nonzeros   = N * MOST,
                                .features   = FEATURES,
                                .classes    = classes,
                                .fields     = FIELDS,
                                .label_sets = label_sets};
    const asgd_batch  sparse = {.n = n};
    memset(f, 0, sizeof *f);
    ok(asgd_model_named(&f->m, model, options, &d));
    asgdi_params_fill(&f->m->params, 12);
    ok(asgdi_rule_defaults(&rule));
    ok(asgdi_params_set_rule(&f->m->params, rule.kind));
    fixture_views(f, BOTH);
    for (int t = 0; t < f->m->params.n_tables; t++) {
        const asgdi_table *x = &f->m->params.table[t];
        f->local[t]          = asgdi_calloc(x->info.rows * x->pad, sizeof(float));
        assert_non_null(f->local[t]);
    }
    fixture_sink(f, kind, asgdk_best(), n, &sparse);
    f->sink.rule = rule;
    asgdi_rule_step(&rule, 0.125, 1, &f->sink.step);
}

static void close_model(fixture *f)
{
    for (int t = 0; t < f->m->params.n_tables; t++) asgdi_free(f->local[t]);
    fixture_free(f);
}

/* Puts the rows that were private back, so that asgd_model_row() finds them. */
static void gather_rows(fixture *f)
{
    for (int t = 0; t < f->m->params.n_tables; t++) {
        const asgdi_table *x = &f->m->params.table[t];
        memcpy(x->master, f->own[t], f->views[t].n_own * x->stride * sizeof(float));
    }
}

/* ---- scores ---- */

static float predict_one(asgd_model *m, uint32_t n, const uint32_t *idx, const float *val,
                         const uint16_t *field)
{
    const uint64_t   begin = 0;
    const asgd_batch b     = {.n        = 1,
                              .features = m->schema.features,
                              .begin    = &begin,
                              .len      = &n,
                              .idx      = idx,
                              .val      = val,
                              .field    = field};
    fixture          f     = {.m = m};
    float            out;
    fixture_views(&f, SHARED);
    fixture_sink(&f, ASGDI_DISCARD, asgdk_best(), 1, &b);
    m->ops.predict(m->self, &b, f.views, &f.sink, f.scratch, &out, NULL);
    for (int t = 0; t < m->params.n_tables; t++) asgdi_free(f.own[t]);
    asgdi_sink_free(&f.sink);
    asgdi_free(f.scratch);
    return out;
}

static void set_row(asgd_model *m, int table, uint64_t r, uint32_t from, float a, float b)
{
    asgd_model_row(m, table, r)[from]     = a;
    asgd_model_row(m, table, r)[from + 1] = b;
}

static const uint32_t three[]      = {0, 1, 2};
static const float    three_val[]  = {1, 2, -1};
static const uint16_t two_fields[] = {0, 1, 1};

/* weights 1/2, -1, 2; bias 1/4: the linear part is 1/4 - 7/2 */
static asgd_model *hand_made(const char *model, const char *options)
{
    const asgd_schema d = {.examples = 1, .nonzeros = 3, .features = 3, .fields = 2};
    asgd_model       *m;
    ok(asgd_model_named(&m, model, options, &d));
    *asgd_model_row(m, 0, 0) = 0.5f;
    *asgd_model_row(m, 0, 1) = -1;
    *asgd_model_row(m, 0, 2) = 2;
    *asgd_model_row(m, 1, 0) = 0.25f;
    for (uint64_t r = 0; r < 3; r++)
        memset(asgd_model_row(m, 2, r), 0, asgd_model_table(m, 2)->dim * sizeof(float));
    return m;
}

static void scores_hand_made_examples(void **state)
{
    (void)state;
    /* products of vectors: 1, 5/2, 1/2; of values: 2, -1, -2 */
    asgd_model *m = hand_made("fm", "k=2 normalize=0");
    set_row(m, 2, 0, 0, 1, 2);
    set_row(m, 2, 1, 0, 3, -1);
    set_row(m, 2, 2, 0, 0.5f, 1);
    assert_true(predict_one(m, 3, three, three_val, NULL) == 0.25f - 3.5f - 1.5f);
    assert_true(predict_one(m, 3, three, NULL, NULL) == 0.25f + 1.5f + 4);
    assert_true(predict_one(m, 1, three, three_val, NULL) == 0.75f);
    assert_true(predict_one(m, 0, three, NULL, NULL) == 0.25f);
    asgd_model_free(m);

    m = hand_made("fm", "k=2 normalize=1 bias=0"); /* the values' squares add up to 6 */
    set_row(m, 2, 0, 0, 1, 2);
    set_row(m, 2, 1, 0, 3, -1);
    set_row(m, 2, 2, 0, 0.5f, 1);
    const double want = -3.5 / sqrt(6) - 1.5 / 6;
    assert_true(fabs((double)predict_one(m, 3, three, three_val, NULL) - want) < 1e-6);
    asgd_model_free(m);

    /* features 1 and 2 are of one field: their pair takes the vectors towards that; 1, 5/2, 1 */
    m = hand_made("ffm", "k=2");
    set_row(m, 2, 0, 0, 77, 77);
    set_row(m, 2, 0, 4, 1, 2);
    set_row(m, 2, 1, 0, 3, -1);
    set_row(m, 2, 2, 0, 0.5f, 1);
    set_row(m, 2, 1, 4, 2, 0);
    set_row(m, 2, 2, 4, 1, 5);
    asgd_model_row(m, 2, 1)[6] = 1; /* a third factor: k is rounded up to 4 */
    asgd_model_row(m, 2, 2)[6] = -1;
    assert_true(predict_one(m, 3, three, three_val, two_fields) == 0.25f - 3.5f + 2 - 2.5f - 2);
    assert_true(predict_one(m, 2, three, three_val, two_fields) == 0.25f - 1.5f + 2);
    assert_true(predict_one(m, 1, three, three_val, two_fields) == 0.75f);
    asgd_model_free(m);
}

/* ---- training ---- */

typedef struct problem {
    const char *model, *options;
    pairs       p;
    uint32_t    classes;
} problem;
#define SIZES .features = FEATURES, .bias = true
static const problem problems[] = {
    {"linear", "loss=hinge", {SIZES, .loss = PAIRS_HINGE}, 2},
    {"linear", "normalize=1", {SIZES, .loss = PAIRS_LOGISTIC, .normalize = true}, 2},
    {"linear", "bias=0", {.features = FEATURES}, 0},
    {"fm", "k=8 init=0.9 normalize=0", {SIZES, .k = 8, .loss = PAIRS_LOGISTIC}, 2},
    {"fm", "k=16 init=0.9 loss=squared normalize=0", {SIZES, .k = 16}, 2},
    {"fm", "k=5 init=0.9", {SIZES, .k = 5, .normalize = true}, 0},
    {"fm", "k=1 init=0.9 loss=hinge normalize=0", {SIZES, .k = 2, .loss = PAIRS_HINGE}, 2},
    {"fm", "k=3 init=0.9 bias=0 normalize=0", {.features = FEATURES, .k = 3}, 0},
    {"ffm", "init=0.9", {SIZES, .fields = FIELDS, .k = 4, .loss = PAIRS_LOGISTIC}, 2},
    {"ffm", "k=5 init=0.9", {SIZES, .fields = FIELDS, .k = 8}, 0},
    {"ffm",
     "k=9 init=0.9 normalize=1",
     {SIZES, .fields = FIELDS, .k = 16, .loss = PAIRS_LOGISTIC, .normalize = true},
     2},
    {"ffm",
     "k=3 init=0.9 bias=0 loss=hinge",
     {.features = FEATURES, .fields = FIELDS, .k = 4, .loss = PAIRS_HINGE},
     2},
};
enum { PROBLEMS = sizeof problems / sizeof problems[0] };

static pairs_example example(const asgd_batch *b, uint32_t i)
{
    const uint64_t at = b->begin[i];
    return (pairs_example){.n     = b->len[i],
                           .idx   = b->idx + at,
                           .val   = b->val ? b->val + at : NULL,
                           .field = b->field + at,
                           .y     = (double)b->y[i]};
}

/* Three passes, update by update; the loss before each is what step() reports. */
static void check_training(const problem *x, bool adagrad, bool values)
{
    const asgd_rule rule = {.kind = adagrad ? ASGD_RULE_adagrad : ASGD_RULE_sgd,
                            .eps  = adagrad ? 1 : 0};
    fixture         f;
    data            d;
    pairs           p    = x->p;
    asgd_stats      st   = {0};
    double          want = 0;
    make_data(&d, values);
    open_model(&f, x->model, x->options, x->classes, false, rule, N, ASGDI_APPLY);
    gather_rows(&f);
    p.adagrad = adagrad;
    p.lr      = 0.125;
    p.eps     = 1;
    pairs_open(&p, f.m);
    for (int pass = 0; pass < 3; pass++) {
        f.m->ops.steps(f.m->self, &d.batch, f.views, &f.sink, f.scratch, 1, &st);
        for (uint32_t i = 0; i < N; i++) {
            const pairs_example e = example(&d.batch, i);
            want += pairs_step(&p, &e);
        }
    }
    gather_rows(&f);
    /* adagrad's roots are the processor's estimates, good to 12 bits */
    if (fabs(st.loss - want) > (adagrad ? 1e-4 : 1e-5) * want ||
        pairs_distance(&p, f.m) > (adagrad ? 5e-4 : 2e-5))
        fail_msg("%s %s, %s, %s: loss %.9g, not %.9g; a parameter is off by %g", x->model,
                 x->options, adagrad ? "adagrad" : "sgd", values ? "values" : "ones", st.loss, want,
                 pairs_distance(&p, f.m));
    assert_true(st.weight == 3 * N);

    float out[N];
    f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, out, NULL);
    for (uint32_t i = 0; i < N; i++) {
        const pairs_example e = example(&d.batch, i);
        double              s = pairs_score(&p, &e);
        if (x->p.loss == PAIRS_LOGISTIC) s = 1 / (1 + exp(-s));
        if (fabs((double)out[i] - s) > (adagrad ? 2e-4 * (1 + fabs(s)) : 1e-4))
            fail_msg("%s %s: example %u is predicted %g, not %g", x->model, x->options, i,
                     (double)out[i], s);
    }
    pairs_close(&p);
    close_model(&f);
}

static void trains_as_pairs_in_double_do(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++)
        for (int how = 0; how < 4; how++) check_training(&problems[i], how / 2, how % 2);
}

/* ---- many updates in one call ---- */

static void same_rows(const fixture *a, const fixture *b, const char *what)
{
    for (int t = 0; t < a->m->params.n_tables; t++) {
        const asgdi_table *x = &a->m->params.table[t];
        for (uint64_t r = 0; r < x->info.rows; r++)
            if (memcmp(asgd_row(&a->views[t], r), asgd_row(&b->views[t], r),
                       x->stride * sizeof(float)))
                fail_msg("%s: row %llu of table %d", what, (unsigned long long)r, t);
        assert_memory_equal(a->local[t], b->local[t], x->info.rows * x->pad * sizeof(float));
    }
}

static void check_steps(const char *model, const char *options, bool label_sets, asgd_rule rule)
{
    fixture    a, b;
    data       d;
    asgd_stats one = {0}, all = {0};
    char       what[100];
    snprintf(what, sizeof what, "%s %s, %s", model, options, asgd_rule_name(rule.kind));
    make_data(&d, true);
    d.batch.weight = d.weight;
    if (label_sets) {
        d.batch.label_begin = d.label_begin;
        d.batch.label_len   = d.label_len;
        d.batch.label       = d.label;
    }
    const uint32_t classes = label_sets ? 3 : 2;
    open_model(&a, model, options, classes, label_sets, rule, 1, ASGDI_APPLY);
    open_model(&b, model, options, classes, label_sets, rule, 1, ASGDI_APPLY);
    assert_non_null(a.m->ops.steps);
    for (uint32_t lo = 0, n = 1; lo < N; lo += n++) {
        const asgd_batch part = slice(&d.batch, lo, n < N - lo ? n : N - lo);
        a.m->ops.steps(a.m->self, &part, a.views, &a.sink, a.scratch, 5, &all);
    }
    for (uint32_t i = 0; i < N; i++) {
        const asgd_batch part = slice(&d.batch, i, 1);
        b.m->ops.step(b.m->self, &part, b.views, &b.sink, b.scratch, 5, &one);
    }
    same_rows(&a, &b, what);
    if (fabs(one.loss - all.loss) > 1e-12 * one.loss || one.weight != all.weight ||
        one.correct != all.correct)
        fail_msg("%s: loss %.17g, not %.17g", what, all.loss, one.loss);
    close_model(&a);
    close_model(&b);
}

static void steps_are_single_steps(void **state)
{
    (void)state;
    for (int kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
        const asgd_rule rule = {.kind = (asgd_rule_kind)kind, .l1 = 1e-3f, .l2 = 1e-2f};
        for (int i = 0; i < PROBLEMS; i++)
            if (problems[i].classes)
                check_steps(problems[i].model, problems[i].options, false, rule);
        check_steps("linear", "", true, rule);
    }
}

/* An example of no weight changes nothing, in a batch or alone: not even penalties act. */
static void no_weight_no_update(void **state)
{
    (void)state;
    static const asgd_rule rule = {.kind = ASGD_RULE_adagrad, .l2 = 0.5f};
    for (int i = 0; i < PROBLEMS; i++)
        for (int way = 0; way < 2; way++) {
            fixture    a, b;
            data       d;
            asgd_stats st = {0};
            make_data(&d, true);
            memset(d.weight, 0, sizeof d.weight);
            d.batch.weight   = d.weight;
            const problem *x = &problems[i];
            open_model(&a, x->model, x->options, x->classes, false, rule, N, ASGDI_APPLY);
            open_model(&b, x->model, x->options, x->classes, false, rule, N, ASGDI_APPLY);
            (way ? a.m->ops.steps : a.m->ops.step)(a.m->self, &d.batch, a.views, &a.sink, a.scratch,
                                                   1, &st);
            same_rows(&a, &b, x->model);
            assert_true(st.loss == 0 && st.weight == 0);
            close_model(&a);
            close_model(&b);
        }
}

/* ---- options, tables, refusals ---- */

static void makes_tables(void **state)
{
    (void)state;
    const asgd_schema d = {.examples = 9, .nonzeros = 20, .features = 7, .fields = 3, .classes = 2};
    const struct {
        const char *model, *options;
        uint32_t    dim;
        float       deviation;
    } made[] = {
        {"fm", "", 8, 0.1f / sqrtf(8)},
        {"fm", "k=20 init=0.5", 20, 0.5f / sqrtf(20)},
        {"fm", "k=1024 bias=0", 1024, 0.1f / 32},
        {"fm", "k=1 loss=squared", 2, 0.1f},
        {"ffm", "", 12, 0.05f},
        {"ffm", "k=1", 12, 0.05f},
        {"ffm", "k=5 normalize=1", 24, 0.1f / sqrtf(8)},
        {"ffm", "k=9 init=0.8 loss=hinge", 48, 0.2f},
        {"ffm", "k=128", 384, 0.1f / sqrtf(128)},
    };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        asgd_model *m;
        ok(asgd_model_named(&m, made[i].model, made[i].options, &d));
        assert_string_equal(asgd_model_options(m), made[i].options);
        assert_int_equal(asgd_model_tables(m), 3);
        const asgd_table *w = asgd_model_table(m, 0), *b = asgd_model_table(m, 1),
                         *v = asgd_model_table(m, 2);
        assert_true(w->rows == 7 && w->dim == 1 && w->flags == ASGD_TABLE_BY_FEATURE &&
                    w->init == ASGD_INIT_ZERO);
        assert_true(b->rows == 1 && b->dim == 1 && b->flags == ASGD_TABLE_NO_DECAY);
        assert_string_equal(v->name, "factors");
        const uint32_t quads = strcmp(made[i].model, "ffm") == 0 ? ASGD_TABLE_QUADS : 0;
        assert_true(v->rows == 7 && v->dim == made[i].dim &&
                    v->flags == (ASGD_TABLE_BY_FEATURE | quads) && v->init == ASGD_INIT_UNIFORM);
        /* uniform in [-s, s] has the deviation s / sqrt(3) */
        assert_float_equal(v->scale / sqrtf(3), made[i].deviation, 1e-6f);
        assert_int_equal(asgd_model_outputs(m), 1);
        assert_int_equal(asgd_model_task(m), strstr(made[i].options, "squared")
                                                 ? ASGD_TASK_REGRESSION
                                                 : ASGD_TASK_BINARY);
        asgd_model_free(m);
    }
}

static void refuses(void **state)
{
    (void)state;
    const asgd_schema fine   = {.features = 7, .fields = 3, .classes = 2};
    const asgd_schema dense  = {.features = 7, .fields = 3, .classes = 2, .dense = true};
    const asgd_schema plain  = {.features = 7, .classes = 2};
    const asgd_schema ten    = {.features = 7, .fields = 3, .classes = 10};
    const asgd_schema real   = {.features = 7, .fields = 3};
    const asgd_schema labels = {.features = 7, .fields = 3, .classes = 10, .label_sets = true};
    const asgd_schema wide   = {.features = 7, .fields = 40000, .classes = 2};
    const struct {
        const char        *model, *options;
        const asgd_schema *d;
        asgd_status        status;
        const char        *text;
    } bad[] = {
        {"fm", "", &dense, ASGD_EMISMATCH, "categorical"},
        {"ffm", "", &dense, ASGD_EMISMATCH, "model linear"},
        {"linear", "normalize=1", &dense, ASGD_EMISMATCH, "normalize=1 needs sparse"},
        {"ffm", "", &plain, ASGD_EMISMATCH, "libffm"},
        {"ffm", "", &plain, ASGD_EMISMATCH, "model fm"},
        {"ffm", "k=128", &wide, ASGD_EMISMATCH, "smaller k"},
        {"fm", "", &ten, ASGD_EMISMATCH, "softmax"},
        {"ffm", "", &ten, ASGD_EMISMATCH, "loss=squared"},
        {"fm", "loss=logistic", &ten, ASGD_EMISMATCH, "two classes"},
        {"fm", "loss=hinge", &real, ASGD_EMISMATCH, "real-valued"},
        {"fm", "", &labels, ASGD_EMISMATCH, "sets of labels"},
        {"ffm", "loss=squared", &labels, ASGD_EMISMATCH, "mlp"},
        {"linear", "normalize=1", &labels, ASGD_EMISMATCH, "leave those options out"},
        {"linear", "bias=0", &labels, ASGD_EMISMATCH, "leave those options out"},
        {"fm", "k=0", &fine, ASGD_EINVAL, "1 to 1024"},
        {"fm", "k=1025", &fine, ASGD_EINVAL, "1 to 1024"},
        {"fm", "k=8,8", &fine, ASGD_EINVAL, "k=8,8"},
        {"fm", "k=4294967304", &fine, ASGD_EINVAL, "1 to 1024"},
        {"fm", "init=1", &fine, ASGD_EINVAL, "below 1"},
        {"fm", "fields=3", &fine, ASGD_EINVAL, "k, init, loss, bias, normalize"},
        {"fm", "normalize=2", &fine, ASGD_EINVAL, "0, 1"},
        {"fm", "loss=l2", &fine, ASGD_EINVAL, "squared, logistic, hinge"},
        {"ffm", "k=0", &fine, ASGD_EINVAL, "1 to 128"},
        {"ffm", "k=129", &fine, ASGD_EINVAL, "1 to 128"},
        {"ffm", "k=-4", &fine, ASGD_EINVAL, "k=-4"},
        {"ffm", "init=-0.1", &fine, ASGD_EINVAL, "init=-0.1"},
        {"ffm", "K=4", &fine, ASGD_EINVAL, "'K'"},
        {"linear", "k=4", &fine, ASGD_EINVAL, "loss, bias, normalize"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        asgd_model *m = NULL;
        fails(asgd_model_named(&m, bad[i].model, bad[i].options, bad[i].d), bad[i].status,
              bad[i].text);
        if (!strstr(asgd_errmsg(), bad[i].model)) fail_msg("no model in: %s", asgd_errmsg());
        assert_null(m);
    }
}

/* ---- files ---- */

/* Rows are kept without their padding, and a model predicts the same bits after it. */
static void files_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *model, *options;
    } kept[]      = {{"fm", "k=5"},
                     {"fm", "k=8 loss=squared"},
                     {"ffm", "k=4 init=0.5"},
                     {"ffm", "k=20 normalize=1"}};
    char folder[] = "/tmp/asgd-factors-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        fixture     f, g = {0};
        data        d;
        asgd_model *n;
        float       before[N], after[N];
        make_data(&d, true);
        open_model(&f, kept[i].model, kept[i].options, 2, false,
                   (asgd_rule){.kind = ASGD_RULE_adagrad}, N, ASGDI_DISCARD);
        gather_rows(&f);
        f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, before, NULL);
        ok(asgd_save(f.m, path));
        ok(asgd_load(&n, path));
        assert_string_equal(asgd_model_name(n), kept[i].model);
        assert_string_equal(asgd_model_options(n), kept[i].options);
        assert_int_equal(asgd_model_schema(n)->fields, FIELDS);
        uint64_t floats = 0;
        for (int t = 0; t < 3; t++) {
            const asgd_table *x = asgd_model_table(n, t);
            assert_memory_equal(x, asgd_model_table(f.m, t), sizeof *x);
            floats += x->rows * x->dim;
            for (uint64_t r = 0; r < x->rows; r++)
                assert_memory_equal(asgd_model_row(n, t, r), asgd_model_row(f.m, t, r),
                                    x->dim * sizeof(float));
        }
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        const uint64_t bytes = (uint64_t)ftell(file);
        fclose(file);
        assert_true(bytes >= 4 * floats && bytes < 4 * floats + 2000);
        g.m = n;
        fixture_views(&g, SHARED);
        fixture_sink(&g, ASGDI_DISCARD, asgdk_best(), N, &d.batch);
        n->ops.predict(n->self, &d.batch, g.views, &g.sink, g.scratch, after, NULL);
        assert_memory_equal(before, after, sizeof before);
        fixture_free(&g);
        close_model(&f);
    }
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_hand_made_examples),
        cmocka_unit_test(trains_as_pairs_in_double_do),
        cmocka_unit_test(steps_are_single_steps),
        cmocka_unit_test(no_weight_no_update),
        cmocka_unit_test(makes_tables),
        cmocka_unit_test(refuses),
        cmocka_unit_test(files_round_trip),
    };
    asgdk_gemm_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
