/* test_gradient.c -- what every model emits is the derivative of the loss it reports.
 *
 * Each parameter w (or a sample of them) is moved by +-h and the gradient compared with
 * (loss(w + h) - loss(w - h)) / 2 h.  Where h and h/2 disagree there is a kink of relu or hinge
 * between; such parameters are few, and are passed over. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct problem {
    const char *model, *options;
    uint32_t    classes, features, fields;
} problem;

/* One line for each model and variant of it. */
static const problem problems[] = {
    {"linear", "", 2, 13, 0},
    {"linear", "loss=logistic bias=0", 2, 13, 0},
    {"linear", "loss=hinge", 2, 13, 0},
    {"linear", "loss=squared", 2, 8, 0},
    {"linear", "", 0, 1, 0},
    {"linear", "normalize=1", 2, 13, 0},
    {"linear", "normalize=1 loss=squared bias=0", 0, 13, 0},
    {"fm", "", 2, 13, 0},
    {"fm", "k=13 normalize=1", 2, 9, 0},
    {"fm", "k=1 loss=hinge bias=0", 2, 13, 0},
    {"fm", "k=16", 0, 16, 0},
    {"ffm", "", 2, 13, 13},
    {"ffm", "k=4 normalize=1", 2, 13, 5}, /* several entries of a field */
    {"ffm", "k=8 loss=hinge", 2, 13, 18},
    {"ffm", "k=9 bias=0", 0, 9, 3},
    {"softmax", "", 2, 13, 0},
    {"softmax", "", 9, 16, 0},
    {"softmax", "", 17, 5, 0},
    {"mlp", "hidden=9 activation=tanh", 3, 13, 0},
    {"mlp", "hidden=5,11,8 activation=tanh", 2, 7, 0},
    {"mlp", "hidden=8,9 activation=sigmoid", 8, 6, 0},
    {"mlp", "hidden=11,6 activation=relu", 10, 13, 0},
    {"mlp", "hidden=7,1 activation=tanh", 0, 13, 0},
    {"mlp", "hidden=1 activation=sigmoid", 0, 4, 0},
    {"mlp", "hidden=6 activation=tanh loss=squared", 2, 9, 0},
    {"mlp", "hidden=12,9 activation=tanh dropout=0.4", 3, 13, 0},
    {"mlp", "hidden=12,9 activation=sigmoid dropout=0.4", 3, 13, 0},
    {"mlp", "hidden=12,9 activation=relu dropout=0.4", 0, 13, 0},
    {"mlp", "hidden=400,120 activation=tanh", 3, 5, 0}, /* a gradient of several blocks */
};
enum { PROBLEMS = sizeof problems / sizeof problems[0] };

enum { MAX_N = 7, MAX_X = 7 * 16, SAMPLE = 40 };

typedef struct data {
    asgd_batch batch;
    float      x[MAX_X], y[MAX_N], weight[MAX_N], val[MAX_X];
    uint64_t   begin[MAX_N];
    uint32_t   len[MAX_N], idx[MAX_X];
    uint16_t   field[MAX_X];
} data;

/* Models that take sparse data only. */
static bool sparse_only(const problem *p)
{
    return strstr(p->model, "fm") || strstr(p->options, "normalize=1");
}

static float normal(uint64_t stream, uint64_t i)
{
    return asgdi_normal(asgdi_random(2024, stream, i));
}

static void make_data(data *d, const problem *p, uint32_t n, bool sparse, bool weighted)
{
    memset(d, 0, sizeof *d);
    for (uint32_t i = 0; i < n * p->features; i++)
        d->x[i] = normal(2, i) > 0.3f ? 0 : normal(1, i); /* zeros among them */
    for (uint32_t i = 0; i < n; i++) {
        d->y[i]      = p->classes ? (float)(asgdi_random(2024, 3, i) % p->classes) : normal(3, i);
        d->weight[i] = i == 3 ? 0 : 0.25f + asgdi_uniform(asgdi_random(2024, 4, i));
    }
    d->batch = (asgd_batch){.n        = n,
                            .features = p->features,
                            .y        = d->y,
                            .weight   = weighted ? d->weight : NULL,
                            .dense    = d->x};
    if (!sparse && !sparse_only(p)) return;
    to_sparse(&d->batch, d->begin, d->len, d->idx, d->val);
    if (p->fields) d->batch.field = d->field;
    for (uint32_t i = 0; p->fields && i < MAX_X; i++)
        d->field[i] = (uint16_t)(d->idx[i] * 7 % p->fields);
}

static void make_model(fixture *f, const problem *p, place where)
{
    asgd_schema schema = {.examples = MAX_N,
                          .nonzeros = MAX_X,
                          .features = p->features,
                          .classes  = p->classes,
                          .fields   = p->fields};
    memset(f, 0, sizeof *f);
    if (asgd_model_named(&f->m, p->model, p->options, &schema) != ASGD_OK)
        fail_msg("%s", asgd_errmsg());
    for (int t = 0; t < asgd_model_tables(f->m); t++) {
        const asgd_table *table = asgd_model_table(f->m, t);
        float             scale = 1 / sqrtf(1 + (float)table->rows / 4);
        if (strcmp(table->name, "factors") == 0) scale *= 0.4f; /* or pairs make losses large */
        for (uint64_t r = 0; r < table->rows; r++)
            for (uint32_t j = 0; j < table->dim; j++)
                asgd_model_row(f->m, t, r)[j] =
                    scale * normal(10 + (uint64_t)t, r * table->dim + j);
    }
    fixture_views(f, where);
}

static double loss(fixture *f, const asgd_batch *b)
{
    asgd_stats      st   = {0};
    asgdi_sink_kind kind = f->sink.kind;
    f->sink.kind         = ASGDI_DISCARD;
    f->m->ops.step(f->m->self, b, f->views, &f->sink, f->scratch, 99, &st);
    f->sink.kind = kind;
    return st.loss / b->n;
}

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

static void check(const problem *p, uint32_t n, bool sparse, bool weighted, place where,
                  const asgd_kern *k)
{
    const float h = 0.02f;
    fixture     f;
    data        d;
    make_model(&f, p, where);
    make_data(&d, p, n, false, weighted);
    fixture_sink(&f, ASGDI_ACCUMULATE, k, MAX_N, &d.batch);
    make_data(&d, p, n, sparse, weighted);

    asgd_stats st = {0};
    f.m->ops.step(f.m->self, &d.batch, f.views, &f.sink, f.scratch, 99, &st);
    int    bad = 0, checked = 0, kinks = 0;
    double largest = 0;
    for (int t = 0; t < f.m->params.n_tables; t++) {
        const asgdi_table *table = &f.m->params.table[t];
        uint64_t           size  = table->info.rows * table->info.dim;
        for (uint64_t i = 0; i < size && i < SAMPLE; i++) {
            uint64_t at = size <= SAMPLE ? i : asgdi_random(5, (uint64_t)t, i) % size;
            uint64_t r = at / table->info.dim, j = at % table->info.dim;
            float   *w = fixture_row(&f, t, r) + j;
            double   g = f.sink.grad[t][r * table->pad + j];
            double   a = slope(&f, &d.batch, w, h), c = slope(&f, &d.batch, w, h / 2);
            double   tolerance = 2e-4 + 2e-3 * fabs(g);
            checked++;
            if (fabs(a - c) > tolerance / 3) {
                kinks++;
                continue;
            }
            /* Richardson: the error in h^2 cancels */
            double error = fabs(g - (4 * c - a) / 3);
            if (error > largest) largest = error;
            bad += !(error <= tolerance);
        }
        for (uint64_t r = 0; r < table->info.rows; r++)
            for (uint32_t j = table->info.dim; j < table->pad; j++)
                bad += f.sink.grad[t][r * table->pad + j] != 0;
    }
    if (bad || kinks > checked / 10)
        fail_msg("%s %s, %u classes, %u features, n %u%s%s, rows %d, kernels %s: %d of %d "
                 "derivatives wrong (by up to %g), %d kinks",
                 p->model, p->options, p->classes, p->features, n, sparse ? ", sparse" : "",
                 weighted ? ", weighted" : "", (int)where, k->name, bad, checked, largest, kinks);
    fixture_free(&f);
}

static void is_the_derivative_of_the_loss(void **state)
{
    (void)state;
    const asgd_kern *k = asgdk_best();
    assert_non_null(k);
    for (int i = 0; i < PROBLEMS; i++) {
        for (int sparse = sparse_only(&problems[i]); sparse < 2; sparse++) {
            check(&problems[i], MAX_N, sparse == 1, false, SHARED, k);
            check(&problems[i], MAX_N, sparse == 1, true, BOTH, k);
            check(&problems[i], 2, sparse == 1, true, PRIVATE, k);
            check(&problems[i], 1, sparse == 1, true, BOTH, k);
        }
    }
}

static void holds_for_every_kernel_variant(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < PROBLEMS - 1; i++)
            check(&problems[i], MAX_N, i % 2, true, BOTH, asgdk_variant(v));
}

static void covers_every_model(void **state)
{
    (void)state;
    for (int i = 0; asgd_model_help(i); i++) {
        const char *help  = asgd_model_help(i);
        bool        found = strncmp(help, "mf:", 3) == 0 || strncmp(help, "bpr:", 4) == 0;
        /* those two: test_ratings.c */
        for (int j = 0; j < PROBLEMS; j++) {
            size_t length = strlen(problems[j].model);
            found |= strncmp(help, problems[j].model, length) == 0 && help[length] == ':';
        }
        if (!found) fail_msg("no problem for the model of this help: %s", help);
    }
}

/* predict() and step() agree on loss and correct; predictions are what the task says. */
static void predicts_what_it_trains(void **state)
{
    (void)state;
    const asgd_kern *k = asgdk_best();
    assert_non_null(k);
    for (int i = 0; i < PROBLEMS; i++) {
        const problem *p = &problems[i];
        if (strstr(p->options, "dropout")) continue;
        for (int sparse = sparse_only(p); sparse < 2; sparse++) {
            fixture    f;
            data       d;
            float      out[MAX_N * 17], again[MAX_N * 17];
            asgd_stats a = {0}, b = {0};
            make_model(&f, p, BOTH);
            make_data(&d, p, MAX_N, false, true);
            fixture_sink(&f, ASGDI_DISCARD, k, MAX_N, &d.batch);
            make_data(&d, p, MAX_N, sparse == 1, true);
            f.m->ops.step(f.m->self, &d.batch, f.views, &f.sink, f.scratch, 1, &a);
            f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, out, &b);
            assert_true(fabs(a.loss - b.loss) < 1e-6 * (1 + a.loss));
            assert_true(a.weight == b.weight);
            assert_int_equal(a.correct, b.correct);
            uint32_t n       = asgd_model_outputs(f.m);
            uint64_t correct = 0;
            double   total   = 0;
            for (uint32_t e = 0; e < MAX_N; e++) {
                const float *row  = out + (size_t)e * n;
                uint32_t     best = 0;
                double       sum  = 0;
                for (uint32_t j = 0; j < n; j++) {
                    if (row[j] > row[best]) best = j;
                    sum += (double)row[j];
                }
                if (asgd_model_task(f.m) == ASGD_TASK_CLASSES) {
                    assert_true(fabs(sum - 1) < 1e-5);
                    correct += (float)best == d.y[e];
                    total -= (double)d.weight[e] * log((double)row[(int)d.y[e]]);
                } else if (asgd_model_task(f.m) == ASGD_TASK_REGRESSION) {
                    double error = (double)(row[0] - d.y[e]);
                    total += (double)d.weight[e] * error * error / 2;
                } else if (strstr(p->options, "hinge")) {
                    double margin = (double)(2 * d.y[e] - 1) * (double)row[0];
                    correct += (row[0] > 0) == (d.y[e] == 1);
                    total += (double)d.weight[e] * (margin < 1 ? 1 - margin : 0);
                } else {
                    double q = d.y[e] == 1 ? (double)row[0] : 1 - (double)row[0];
                    correct += q > 0.5;
                    total -= (double)d.weight[e] * log(q);
                }
            }
            assert_int_equal(b.correct, correct);
            assert_true(fabs(total - b.loss) < 1e-4 * (1 + total));
            d.batch.y = NULL; /* no targets: no statistics */
            f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, again, NULL);
            assert_memory_equal(out, again, MAX_N * n * sizeof(float));
            fixture_free(&f);
        }
    }
}

static void set_all(fixture *f, float w)
{
    for (int t = 0; t < asgd_model_tables(f->m); t++)
        for (uint64_t r = 0; r < asgd_model_table(f->m, t)->rows; r++)
            for (uint32_t j = 0; j < asgd_model_table(f->m, t)->dim; j++)
                fixture_row(f, t, r)[j] = j % 2 ? w : -w;
}

/* Large scores must not become an infinite loss, nor one lost weight hide in a finite one. */
static void loss_is_finite_until_weights_are_not(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++) {
        for (int i = 0; i < PROBLEMS; i++) {
            const problem *p = &problems[i];
            fixture        f;
            data           d;
            make_model(&f, p, SHARED);
            make_data(&d, p, MAX_N, false, false);
            fixture_sink(&f, ASGDI_DISCARD, asgdk_variant(v), MAX_N, &d.batch);
            for (int t = 0; t < asgd_model_tables(f.m); t++) {
                float *w = fixture_row(&f, t, 0) + (asgd_model_table(f.m, t)->dim - 1), was = *w;
                bool   no_bias = strstr(p->options, "bias=0") && strstr(p->model, "fm") && t == 1;
                *w             = NAN;
                if (!isnan(loss(&f, &d.batch)) && !strstr(p->options, "dropout") && !no_bias)
                    fail_msg("%s %s, kernels %s: a NaN in table %d leaves no trace in the loss",
                             p->model, p->options, asgdk_variant(v)->name, t);
                *w = was;
            }
            set_all(&f, 1000);
            if (!isfinite(loss(&f, &d.batch)))
                fail_msg("%s %s: loss %g at weights of 1000", p->model, p->options,
                         loss(&f, &d.batch));
            fixture_free(&f);
        }
    }
}

/* A model that knows nothing gives all classes the same score: that is not 100 % correct. */
static void of_equal_scores_the_first_class_wins(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++) {
        const problem *p = &problems[i];
        fixture        f;
        data           d;
        asgd_stats     st       = {0};
        uint64_t       expected = 0;
        make_model(&f, p, SHARED);
        make_data(&d, p, MAX_N, false, false);
        fixture_sink(&f, ASGDI_DISCARD, asgdk_best(), MAX_N, &d.batch);
        set_all(&f, 0);
        f.m->ops.step(f.m->self, &d.batch, f.views, &f.sink, f.scratch, 1, &st);
        for (uint32_t e = 0; e < MAX_N; e++) expected += d.y[e] == 0;
        if (asgd_model_task(f.m) == ASGD_TASK_REGRESSION) expected = 0;
        assert_int_equal(st.correct, expected);
        fixture_free(&f);
    }
}

/* Nothing to learn from: no emission, so penalties do not act either. */
static void a_batch_without_weight_emits_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++) {
        for (uint32_t n = 1; n <= 2; n++) {
            fixture    f;
            data       d;
            asgd_stats st = {0};
            make_model(&f, &problems[i], SHARED);
            make_data(&d, &problems[i], n, true, true);
            memset(d.weight, 0, sizeof d.weight);
            fixture_sink(&f, ASGDI_ACCUMULATE, asgdk_best(), n, &d.batch);
            f.m->ops.step(f.m->self, &d.batch, f.views, &f.sink, f.scratch, 1, &st);
            for (int t = 0; t < asgd_model_tables(f.m); t++)
                assert_int_equal(f.sink.n_touched[t], 0);
            fixture_free(&f);
        }
    }
}

/* A dropped unit is dropped again on replay, another seed drops others, and about the right part. */
static void dropout_replays(void **state)
{
    (void)state;
    const problem p = {"mlp", "hidden=2048 activation=sigmoid dropout=0.25", 0, 3, 0};
    fixture       f;
    data          d;
    double        l[3], zero = 0;
    make_model(&f, &p, SHARED);
    make_data(&d, &p, 1, false, false);
    fixture_sink(&f, ASGDI_ACCUMULATE, asgdk_best(), 1, &d.batch);
    for (int i = 0; i < 3; i++) {
        asgd_stats st = {0};
        asgdi_sink_forget(&f.sink);
        f.m->ops.step(f.m->self, &d.batch, f.views, &f.sink, f.scratch, i < 2 ? 7 : 8, &st);
        l[i] = st.loss;
    }
    assert_true(l[0] == l[1]);
    assert_true(l[0] != l[2]);
    for (uint32_t r = 0; r < 2048; r++) /* the output weight of a dropped unit has no gradient */
        zero += f.sink.grad[2][r * f.m->params.table[2].pad] == 0;
    assert_true(fabs(zero / 2048 - 0.25) < 0.05);
    fixture_free(&f);
}

static void predictions_drop_nothing(void **state)
{
    (void)state;
    const problem with    = {"mlp", "hidden=12,9 activation=tanh dropout=0.4", 3, 13, 0};
    const problem without = {"mlp", "hidden=12,9 activation=tanh", 3, 13, 0};
    float         out[2][MAX_N * 3];
    for (int i = 0; i < 2; i++) {
        fixture f;
        data    d;
        make_model(&f, i ? &with : &without, SHARED);
        make_data(&d, &with, MAX_N, false, false);
        fixture_sink(&f, ASGDI_DISCARD, asgdk_best(), MAX_N, &d.batch);
        f.m->ops.predict(f.m->self, &d.batch, f.views, &f.sink, f.scratch, out[i], NULL);
        fixture_free(&f);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_derivative_of_the_loss),
        cmocka_unit_test(holds_for_every_kernel_variant),
        cmocka_unit_test(covers_every_model),
        cmocka_unit_test(predicts_what_it_trains),
        cmocka_unit_test(loss_is_finite_until_weights_are_not),
        cmocka_unit_test(of_equal_scores_the_first_class_wins),
        cmocka_unit_test(a_batch_without_weight_emits_nothing),
        cmocka_unit_test(dropout_replays),
        cmocka_unit_test(predictions_drop_nothing),
    };
    asgdk_gemm_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
