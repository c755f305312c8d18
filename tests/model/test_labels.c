/* test_labels.c -- examples with any number of labels: loss, gradient, predictions, order of labels. */
#include "fixture.h"

#include <float.h>
#include <math.h>

#include "model/labels.h"
#include "model/net.h"

enum { MAX_N = 7, MAX_FEATURES = 13, MAX_LABELS = 1200, SAMPLE = 60 };

/* ---- a problem: a net without hidden layers, or a model by name ---- */

typedef struct problem {
    const char *model, *options; /* NULL: the net itself */
    uint32_t    features, labels;
    bool        normalize;
} problem;

static const problem problems[] = {
    {NULL, NULL, 13, 1, false},
    {NULL, NULL, 5, 7, true},
    {NULL, NULL, 13, 8, false},
    {NULL, NULL, 9, 17, true},
    {NULL, NULL, 3, 983, false},
    {"linear", "", 13, 12, false},
    {"mlp", "hidden=9 activation=tanh", 13, 11, true},
    {"mlp", "hidden=9 activation=tanh normalize=0", 13, 11, false},
    {"mlp", "hidden=6,5 activation=sigmoid", 8, 1, true},
    {"mlp", "hidden=12 activation=tanh dropout=0.4", 8, 20, true},
};
enum { PROBLEMS = sizeof problems / sizeof problems[0] };

static asgd_status net_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                             asgd_task *task, uint32_t *outputs)
{
    asgdi_net *net = self;
    net->width[0]  = d->features;
    net->width[1]  = d->classes;
    tables[0]      = (asgd_table){.name = "weight", .rows = d->features, .dim = d->classes};
    tables[1]      = (asgd_table){.name = "bias", .rows = 1, .dim = d->classes};
    *n_tables      = 2;
    *task          = ASGD_TASK_LABELS;
    *outputs       = d->classes;
    return ASGD_OK;
}

static const asgd_model_ops net_ops = {.name       = "net",
                                       .self_bytes = sizeof(asgdi_net),
                                       .shape      = net_shape,
                                       .scratch    = asgdi_net_scratch,
                                       .step       = asgdi_net_step,
                                       .predict    = asgdi_net_predict};

static float normal(uint64_t stream, uint64_t i)
{
    return asgdi_normal(asgdi_random(2025, stream, i));
}

static void make_model(fixture *f, const problem *p, place where)
{
    asgd_schema d   = {.examples   = MAX_N,
                       .nonzeros   = MAX_N,
                       .features   = p->features,
                       .classes    = p->labels,
                       .label_sets = true};
    asgdi_net   net = {.layers = 1, .output = ASGDI_LABELS, .normalize = p->normalize};
    memset(f, 0, sizeof *f);
    asgd_status s = p->model ? asgd_model_named(&f->m, p->model, p->options, &d)
                             : asgd_model_new(&f->m, &net_ops, &net, &d);
    if (s != ASGD_OK) fail_msg("%s", asgd_errmsg());
    assert_int_equal(asgd_model_task(f->m), ASGD_TASK_LABELS);
    assert_int_equal(asgd_model_outputs(f->m), p->labels);
    for (int t = 0; t < asgd_model_tables(f->m); t++) {
        const asgd_table *table = asgd_model_table(f->m, t);
        for (uint64_t r = 0; r < table->rows; r++)
            for (uint32_t j = 0; j < table->dim; j++)
                asgd_model_row(f->m, t, r)[j] = 0.7f * normal(10 + (uint64_t)t, r * table->dim + j);
    }
    fixture_views(f, where);
}

typedef struct data {
    asgd_batch batch;
    float      x[MAX_N * MAX_FEATURES], val[MAX_N * MAX_FEATURES], weight[MAX_N], y[MAX_N];
    uint64_t   begin[MAX_N], label_begin[MAX_N];
    uint32_t   len[MAX_N], idx[MAX_N * MAX_FEATURES], label_len[MAX_N];
    uint32_t   label[MAX_N * MAX_LABELS];
} data;

/* Example 1 has no features, example 2 no labels, example 4 all of them. */
static void make_data(data *d, const problem *p, uint32_t n, bool sparse, bool weighted)
{
    memset(d, 0, sizeof *d);
    uint32_t at = 3; /* labels need not begin at 0 */
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t f = 0; f < p->features; f++) {
            uint32_t j = i * p->features + f;
            d->x[j]    = i == 1 || normal(2, j) > 0.3f ? 0 : normal(1, j);
        }
        d->weight[i]      = i == 3 ? 0 : 0.25f + asgdi_uniform(asgdi_random(2025, 4, i));
        d->label_begin[i] = at;
        for (uint32_t l = 0; l < p->labels; l++)
            if (i == 4 || (i != 2 && asgdi_random(2025, 5, i * p->labels + l) % 4 == 0))
                d->label[at++] = l;
        d->label_len[i] = at - (uint32_t)d->label_begin[i];
    }
    d->batch = (asgd_batch){.n           = n,
                            .features    = p->features,
                            .y           = d->y,
                            .weight      = weighted ? d->weight : NULL,
                            .dense       = d->x,
                            .label_begin = d->label_begin,
                            .label_len   = d->label_len,
                            .label       = d->label};
    if (sparse) to_sparse(&d->batch, d->begin, d->len, d->idx, d->val);
}

static void run_step(fixture *f, const asgd_batch *b, asgdi_sink_kind kind, asgd_stats *st)
{
    asgdi_sink_kind was = f->sink.kind;
    f->sink.kind        = kind;
    *st                 = (asgd_stats){0};
    f->m->ops.step(f->m->self, b, f->views, &f->sink, f->scratch, 99, st);
    f->sink.kind = was;
}

static double loss(fixture *f, const asgd_batch *b)
{
    asgd_stats st;
    run_step(f, b, ASGDI_DISCARD, &st);
    return st.loss / b->n;
}

/* ---- gradient ---- */

static double slope(fixture *f, const asgd_batch *b, float *w, float h)
{
    float  was = *w, above = was + h, below = was - h;
    double up, down;
    *w   = above;
    up   = loss(f, b);
    *w   = below;
    down = loss(f, b);
    *w   = was;
    return (up - down) / ((double)above - (double)below);
}

static void check_gradient(const problem *p, uint32_t n, bool sparse, bool weighted, place where,
                           const asgd_kern *k)
{
    const float h = 0.05f;
    fixture     f;
    data        d;
    asgd_stats  st;
    make_model(&f, p, where);
    make_data(&d, p, n, sparse, weighted);
    fixture_sink(&f, ASGDI_ACCUMULATE, k, MAX_N, &d.batch);
    run_step(&f, &d.batch, ASGDI_ACCUMULATE, &st);
    int    bad     = 0;
    double largest = 0;
    for (int t = 0; t < f.m->params.n_tables; t++) {
        const asgdi_table *table = &f.m->params.table[t];
        uint64_t           size  = table->info.rows * table->info.dim;
        for (uint64_t i = 0; i < size && i < SAMPLE; i++) {
            uint64_t at = size <= SAMPLE ? i : asgdi_random(5, (uint64_t)t, i) % size;
            uint64_t r = at / table->info.dim, j = at % table->info.dim;
            float   *w = fixture_row(&f, t, r) + j;
            double   g = (double)f.sink.grad[t][r * table->pad + j];
            double   a = slope(&f, &d.batch, w, h), c = slope(&f, &d.batch, w, h / 2);
            /* Richardson: the error in h^2 cancels */
            double error = fabs(g - (4 * c - a) / 3);
            if (error > largest) largest = error;
            bad += !(error <= 1e-3 + 2e-3 * fabs(g) + 2e-6 * st.loss / st.weight / (double)h);
        }
        for (uint64_t r = 0; r < table->info.rows; r++)
            for (uint32_t j = table->info.dim; j < table->pad; j++)
                bad += f.sink.grad[t][r * table->pad + j] != 0;
    }
    if (bad)
        fail_msg("%s %s, %u labels, n %u%s%s%s, rows %d, kernels %s: %d derivatives wrong (by up "
                 "to %g)",
                 p->model ? p->model : "net", p->model ? p->options : "", p->labels, n,
                 sparse ? ", sparse" : "", weighted ? ", weighted" : "",
                 p->normalize ? ", normalised" : "", (int)where, k->name, bad, largest);
    fixture_free(&f);
}

static void gradient_is_the_derivative_of_the_loss(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++)
        for (int sparse = 0; sparse < 2; sparse++) {
            check_gradient(&problems[i], MAX_N, sparse == 1, false, SHARED, asgdk_best());
            check_gradient(&problems[i], MAX_N, sparse == 1, true, BOTH, asgdk_best());
            check_gradient(&problems[i], 1, sparse == 1, true, PRIVATE, asgdk_best());
        }
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < PROBLEMS; i++)
            check_gradient(&problems[i], MAX_N, i % 2 == 0, true, BOTH, asgdk_variant(v));
}

/* ---- loss and predictions ---- */

/* Scores of the net by the definition. */
static double score(const fixture *f, const problem *p, const data *d, uint32_t i, uint32_t l)
{
    const float *x      = d->x + (size_t)i * p->features;
    double       square = 0, sum = 0;
    for (uint32_t j = 0; j < p->features; j++) square += (double)x[j] * (double)x[j];
    for (uint32_t j = 0; j < p->features; j++)
        sum += (double)x[j] * (double)asgd_row(&f->views[0], j)[l];
    if (p->normalize && square > 0) sum /= sqrt(square);
    return sum + (double)asgd_row(&f->views[1], 0)[l];
}

static void agrees_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; !problems[i].model; i++)
        for (int v = 0; asgdk_variant(v); v++) {
            const problem *p = &problems[i];
            fixture        f;
            data           d;
            asgd_stats     step, st = {0};
            static float   out[MAX_N * MAX_LABELS], again[MAX_N * MAX_LABELS];
            make_model(&f, p, BOTH);
            make_data(&d, p, MAX_N, v % 2, true);
            fixture_sink(&f, ASGDI_DISCARD, asgdk_variant(v), MAX_N, &d.batch);
            run_step(&f, &d.batch, ASGDI_DISCARD, &step);
            f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, out, &st);
            double   total = 0, weight = 0;
            uint64_t correct = 0;
            for (uint32_t e = 0; e < MAX_N; e++) {
                uint32_t        best = 0;
                double          sum = 0, highest = -INFINITY;
                const uint32_t *own = d.label + d.label_begin[e], n = d.label_len[e];
                for (uint32_t l = 0; l < p->labels; l++) {
                    double z = score(&f, p, &d, e, l);
                    sum += log1p(exp(asgdi_labels_has(own, n, l) ? -z : z));
                    if (z > highest) best = l;
                    highest   = fmax(z, highest);
                    double is = (double)out[e * p->labels + l], want = 1 / (1 + exp(-z));
                    if (!(fabs(is - want) < 1e-5))
                        fail_msg("label %u of example %u: %g, not %g", l, e, is, want);
                }
                correct += asgdi_labels_has(own, n, best);
                total += (double)d.weight[e] * sum;
                weight += (double)d.weight[e];
            }
            if (!(fabs(step.loss - total) < 1e-5 * total + 1e-5))
                fail_msg("%u labels, kernels %s: loss %.9g, not %.9g", p->labels,
                         asgdk_variant(v)->name, step.loss, total);
            assert_true(fabs(step.weight - weight) < 1e-6);
            assert_int_equal(step.correct, correct);
            assert_true(fabs(st.loss - step.loss) < 1e-9 * (1 + total));
            assert_int_equal(st.correct, correct);
            /* no targets: no statistics */
            d.batch.y           = NULL;
            d.batch.label_begin = NULL;
            f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, again, NULL);
            assert_memory_equal(out, again, MAX_N * p->labels * sizeof(float));
            fixture_free(&f);
        }
}

static void set_bias(fixture *f, float w)
{
    float *bias = fixture_row(f, 1, 0);
    for (uint32_t j = 0; j < asgd_model_table(f->m, 1)->dim; j++) bias[j] = j % 2 ? w : -w;
}

/* Large scores must not become an infinite loss, nor one lost weight hide in a finite one. */
static void loss_is_finite_until_weights_are_not(void **state)
{
    (void)state;
    for (int i = 0; !problems[i].model; i++)
        for (int v = 0; asgdk_variant(v); v++) {
            fixture f;
            data    d;
            make_model(&f, &problems[i], SHARED);
            make_data(&d, &problems[i], MAX_N, true, false);
            fixture_sink(&f, ASGDI_DISCARD, asgdk_variant(v), MAX_N, &d.batch);
            for (int w = 0; w < 3; w++) {
                set_bias(&f, (float[]){1000, -1e30f, 1e35f}[w]);
                if (!isfinite(loss(&f, &d.batch))) fail_msg("loss %g", loss(&f, &d.batch));
            }
            set_bias(&f, 0);
            for (uint32_t l = 0; l < problems[i].labels; l += 1 + problems[i].labels / 20) {
                fixture_row(&f, 1, 0)[l] = NAN;
                if (!isnan(loss(&f, &d.batch)))
                    fail_msg("kernels %s: a NaN in label %u leaves no trace in the loss",
                             asgdk_variant(v)->name, l);
                fixture_row(&f, 1, 0)[l] = 0;
            }
            fixture_free(&f);
        }
}

/* A model that knows nothing gives all labels the same score: that is not 100 % correct. */
static void of_equal_scores_the_first_label_wins(void **state)
{
    (void)state;
    const problem p = {NULL, NULL, 5, 40, false};
    fixture       f;
    data          d;
    asgd_stats    st;
    uint64_t      expected = 0, seen = 0;
    make_model(&f, &p, SHARED);
    make_data(&d, &p, MAX_N, true, false);
    fixture_sink(&f, ASGDI_DISCARD, asgdk_best(), MAX_N, &d.batch);
    for (uint32_t r = 0; r < p.features; r++)
        memset(fixture_row(&f, 0, r), 0, p.labels * sizeof(float));
    memset(fixture_row(&f, 1, 0), 0, p.labels * sizeof(float));
    for (uint32_t second = 10; second < p.labels; second++) {
        uint64_t only_second          = 0;
        fixture_row(&f, 1, 0)[9]      = 1;
        fixture_row(&f, 1, 0)[second] = 1;
        expected                      = 0;
        for (uint32_t e = 0; e < MAX_N; e++) {
            const uint32_t *own = d.label + d.label_begin[e], n = d.label_len[e];
            expected += asgdi_labels_has(own, n, 9);
            only_second += asgdi_labels_has(own, n, second) && !asgdi_labels_has(own, n, 9);
        }
        run_step(&f, &d.batch, ASGDI_DISCARD, &st);
        assert_int_equal(st.correct, expected);
        fixture_row(&f, 1, 0)[second] = 0;
        seen += only_second;
    }
    assert_true(seen > 0 && expected > 0 && expected < MAX_N);
    fixture_free(&f);
}

/* ---- the labels predicted first ---- */

static void check_top(const float *score, uint32_t n)
{
    uint32_t top[ASGDI_TOP], found = asgdi_labels_top(score, n, top);
    bool     taken[MAX_LABELS] = {false};
    assert_int_equal(found, n < ASGDI_TOP ? n : ASGDI_TOP);
    for (uint32_t i = 0; i < found; i++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t j = 0; j < n; j++) {
            if (taken[j]) continue;
            if (best == UINT32_MAX || score[j] > score[best] ||
                (isnan(score[best]) && !isnan(score[j])))
                best = j;
        }
        taken[best] = true;
        if (top[i] != best)
            fail_msg("of %u labels number %u is %u (%g), not %u (%g)", n, i, top[i],
                     (double)score[top[i]], best, (double)score[best]);
    }
}

static void top_is_that_of_sorting(void **state)
{
    (void)state;
    float score[MAX_LABELS];
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t n    = 1 + (uint32_t)(asgdi_random(9, round, 0) % (round % 3 ? 40 : MAX_LABELS));
        int      kind = (int)(round % 5); /* few values, so many ties; rising; falling; with NaN */
        for (uint32_t j = 0; j < n; j++) {
            uint64_t bits = asgdi_random(9, round, j + 1);
            score[j]      = kind == 0   ? asgdi_uniform(bits)
                            : kind == 1 ? (float)(bits % 4)
                            : kind == 2 ? (float)j
                            : kind == 3 ? -(float)j
                            : bits % 3  ? NAN
                                        : (float)(bits % 7) - 3;
        }
        check_top(score, n);
    }
    for (uint32_t j = 0; j < 9; j++) score[j] = j == 4 ? -INFINITY : -FLT_MAX;
    check_top(score, 9);
}

static void finds_labels(void **state)
{
    (void)state;
    const uint32_t label[] = {2, 3, 7, 100, 4000000000u};
    for (uint32_t n = 0; n <= 5; n++)
        for (uint32_t x = 0; x <= 101; x++) {
            bool is = false;
            for (uint32_t i = 0; i < n; i++) is = is || label[i] == x;
            assert_int_equal(asgdi_labels_has(label, n, x), is);
        }
    assert_true(asgdi_labels_has(label, 5, 4000000000u));
    assert_false(asgdi_labels_has(NULL, 0, 0));
}

/* ---- which models take them ---- */

static void only_some_models_take_sets(void **state)
{
    (void)state;
    static const asgd_schema sets = {
        .examples = 9, .features = 4, .classes = 6, .label_sets = true};
    static const asgd_schema classes = {.examples = 9, .features = 4, .classes = 6};
    static const asgd_schema amounts = {.examples = 9, .features = 4};
    static const struct refusal {
        const char        *model, *options;
        const asgd_schema *data;
        asgd_status        status;
        const char        *words;
    } refusals[] = {
        {"softmax", "", &sets, ASGD_EMISMATCH, "any number of labels; use the model linear or mlp"},
        {"mlp", "loss=softmax", &sets, ASGD_EMISMATCH, "loss=softmax is for one target an example"},
        {"mlp", "loss=squared", &sets, ASGD_EMISMATCH, "use loss=logistic"},
        {"mlp", "loss=logistic", &classes, ASGD_EMISMATCH, "one class each; use loss=softmax"},
        {"mlp", "loss=logistic", &amounts, ASGD_EMISMATCH, "one value each; use loss=squared"},
        {"mlp", "normalize=2", &sets, ASGD_EINVAL, "0, 1, auto"},
    };
    asgd_model *m;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        asgd_status           s = asgd_model_named(&m, r->model, r->options, r->data);
        if (s != r->status || !strstr(asgd_errmsg(), r->words))
            fail_msg("%s %s: status %d: %s", r->model, r->options, (int)s, asgd_errmsg());
    }
    assert_int_equal(asgd_model_named(&m, "mlp", "loss=logistic hidden=3", &sets), ASGD_OK);
    assert_int_equal(asgd_model_table(m, 2)->dim, 6);
    asgd_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_is_the_derivative_of_the_loss),
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(loss_is_finite_until_weights_are_not),
        cmocka_unit_test(of_equal_scores_the_first_label_wins),
        cmocka_unit_test(top_is_that_of_sorting),
        cmocka_unit_test(finds_labels),
        cmocka_unit_test(only_some_models_take_sets),
    };
    asgdk_gemm_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
