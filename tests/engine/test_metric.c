/* test_metric.c -- metrics are what their definitions say, weights and all.
 *
 * The model has a table it does not use and predicts its features: any predictions can be asked for.
 * References are sums in the order of the data, in double. */
#include "test.h"

#include "base/rng.h"
#include "data/source.h"
#include "engine/metric.h"

/* ---- a model that predicts its features ---- */

typedef struct echo {
    asgd_task task;
    uint32_t  outputs;
} echo;

static asgd_status echo_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                              asgd_task *task, uint32_t *outputs)
{
    const echo *m = self;
    assert_int_equal(d->features, m->outputs);
    tables[0] = (asgd_table){.name = "unused", .rows = 1, .dim = 1};
    *n_tables = 1;
    *task     = m->task;
    *outputs  = m->outputs;
    return ASGD_OK;
}

static void echo_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                      void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self, (void)b, (void)w, (void)g, (void)scratch, (void)random, (void)st;
}

/* The loss of an example is its first prediction; "correct": class 1 where above 0, class 0 else. */
static void echo_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                         const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    (void)w, (void)g, (void)scratch;
    const echo *m = self;
    memcpy(out, b->dense, (size_t)b->n * m->outputs * sizeof *out);
    for (uint32_t i = 0; st && i < b->n; i++) {
        double weight = b->weight ? (double)b->weight[i] : 1;
        st->loss += weight * (double)out[i * m->outputs];
        st->weight += weight;
        st->correct += (out[i * m->outputs] > 0) == (b->y[i] > 0);
    }
}

/* ---- examples ---- */

typedef struct data {
    uint64_t     n;
    uint32_t     outputs;
    float       *out, *y, *weight;
    uint64_t    *start;
    uint32_t    *label;
    asgd_source *source;
    asgd_model  *model;
} data;

static double uniform(uint64_t stream, uint64_t i)
{
    return (double)asgdi_uniform(asgdi_random(31, stream, i));
}

static void data_init(data *d, uint64_t n, uint32_t outputs)
{
    *d = (data){.n       = n,
                .outputs = outputs,
                .out     = calloc(n * outputs, sizeof(float)),
                .y       = calloc(n, sizeof(float)),
                .weight  = calloc(n, sizeof(float)),
                .start   = calloc(n + 1, sizeof(uint64_t)),
                .label   = calloc(n * outputs, sizeof(uint32_t))};
    assert_true(d->out && d->y && d->weight && d->start && d->label);
}

static void data_eval(data *d, asgd_task task, bool weighted, uint32_t threads, asgd_metrics *m)
{
    static const asgd_model_ops ops  = {.name       = "echo",
                                        .self_bytes = sizeof(echo),
                                        .shape      = echo_shape,
                                        .step       = echo_step,
                                        .predict    = echo_predict};
    const echo                  self = {task, d->outputs};
    const bool                  sets = task == ASGD_TASK_LABELS;
    uint32_t classes = task == ASGD_TASK_REGRESSION ? 0 : task == ASGD_TASK_BINARY ? 2 : d->outputs;
    ok(asgd_source_dense(&d->source, d->out, d->y, d->n, d->outputs, sets ? 0 : classes));
    d->source->schema.classes    = classes;
    d->source->schema.label_sets = sets;
    d->source->weight            = weighted ? d->weight : NULL;
    d->source->label_start       = sets ? d->start : NULL;
    d->source->label             = d->label;
    ok(asgd_model_new(&d->model, &ops, &self, asgd_source_schema(d->source)));
    ok(asgd_eval(d->model, d->source, threads, m));
    asgd_model_free(d->model);
    asgd_source_close(d->source);
}

static void data_free(data *d)
{
    free(d->out);
    free(d->y);
    free(d->weight);
    free(d->start);
    free(d->label);
}

static double weight_of(const data *d, bool weighted, uint64_t i)
{
    return weighted ? (double)d->weight[i] : 1;
}

static void near(const char *what, double is, double want)
{
    if (isnan(want) ? !isnan(is) : !(fabs(is - want) <= 1e-12 * fabs(want) + 1e-13))
        fail_msg("%s: %.17g, not %.17g", what, is, want);
}

/* The same bits for any number of threads. */
static void same_for_all_threads(data *d, asgd_task task, bool weighted, const asgd_metrics *m)
{
    for (uint32_t threads = 2; threads <= 5; threads++) {
        asgd_metrics again;
        data_eval(d, task, weighted, threads, &again);
#define X(name, better) assert_memory_equal(&m->name, &again.name, sizeof m->name);
        ASGD_METRIC_MAP(X)
#undef X
    }
}

/* ---- one score ---- */

static double naive_auc(const data *d, bool weighted)
{
    double area = 0, pairs = 0;
    for (uint64_t i = 0; i < d->n; i++)
        for (uint64_t j = 0; d->y[i] > 0 && j < d->n; j++) {
            double w = weight_of(d, weighted, i) * weight_of(d, weighted, j);
            if (d->y[j] > 0) continue;
            pairs += w;
            area += d->out[i] > d->out[j] ? w : d->out[i] == d->out[j] ? w / 2 : 0;
        }
    return area / pairs;
}

static void check_binary(data *d, bool weighted, bool margins)
{
    asgd_metrics m;
    double       sum = 0, positive = 0, loss = 0, logloss = 0, predicted = 0, right = 0;
    for (uint64_t i = 0; i < d->n; i++) {
        double w = weight_of(d, weighted, i), x = (double)d->out[i], y = (double)d->y[i];
        double p = y > 0 ? x : 1 - x;
        sum += w;
        positive += w * y;
        loss += w * x;
        predicted += w * x;
        logloss -= w * log(p > 1e-15 ? p : 1e-15);
        right += (x > (margins || !weighted ? 0 : 0.5)) == (y > 0) ? w : 0;
    }
    double q = positive / sum, entropy = -(q * log(q) + (1 - q) * log(1 - q));
    data_eval(d, ASGD_TASK_BINARY, weighted, 1, &m);
    near("loss", m.loss, loss / sum);
    near("accuracy", m.accuracy, right / sum);
    near("error", m.error, 1 - right / sum);
    near("auc", m.auc, naive_auc(d, weighted));
    near("logloss", m.logloss, margins ? NAN : logloss / sum);
    near("ne", m.ne, margins ? NAN : logloss / sum / entropy);
    near("calibration", m.calibration, margins ? NAN : predicted / positive);
    near("rmse", m.rmse, NAN);
    near("mae", m.mae, NAN);
    near("p1", m.p1, NAN);
    assert_int_equal(m.examples, d->n);
    same_for_all_threads(d, ASGD_TASK_BINARY, weighted, &m);
}

static void binary(void **state)
{
    (void)state;
    data d;
    data_init(&d, 1500, 1);
    for (int few = 0; few < 2; few++)
        for (int margins = 0; margins < 2; margins++) {
            for (uint64_t i = 0; i < d.n; i++) {
                double x    = few ? (double)(asgdi_random(31, 1, i) % 5) / 4 : uniform(1, i);
                d.out[i]    = margins ? (float)(4 * x - 2) : (float)x;
                d.y[i]      = uniform(2, i) < 0.2 + 0.5 * x;
                d.weight[i] = i % 7 == 0 ? 0 : (float)(3 * uniform(3, i));
            }
            check_binary(&d, false, margins == 1);
            check_binary(&d, true, margins == 1);
        }
    data_free(&d);
}

/* A weight of 3 is the example three times. */
static void weights_are_repetitions(void **state)
{
    (void)state;
    data         a, b;
    uint64_t     n = 0;
    asgd_metrics x, y;
    data_init(&a, 400, 1);
    for (uint64_t i = 0; i < a.n; i++) {
        a.out[i]    = (float)(asgdi_random(31, 4, i) % 64) / 64;
        a.y[i]      = uniform(5, i) < (double)a.out[i];
        a.weight[i] = (float)(asgdi_random(31, 6, i) % 4);
        n += (uint64_t)a.weight[i];
    }
    data_init(&b, n, 1);
    for (uint64_t i = 0, at = 0; i < a.n; i++)
        for (int j = 0; j < (int)a.weight[i]; j++, at++) {
            b.out[at]    = a.out[i];
            b.y[at]      = a.y[i];
            b.weight[at] = 1;
        }
    for (int regression = 0; regression < 2; regression++) {
        asgd_task task = regression ? ASGD_TASK_REGRESSION : ASGD_TASK_BINARY;
        data_eval(&a, task, true, 1, &x);
        data_eval(&b, task, true, 1, &y);
#define X(name, better) near(#name, x.name, y.name);
        ASGD_METRIC_MAP(X)
#undef X
    }
    data_free(&a);
    data_free(&b);
}

/* Who always predicts the mean label has normalised entropy 1 and calibration 1. */
static void normalised_by_the_mean_label(void **state)
{
    (void)state;
    asgd_metrics m;
    data         d;
    data_init(&d, 8, 1);
    for (uint64_t i = 0; i < d.n; i++) {
        d.out[i] = 0.25f;
        d.y[i]   = i < 2;
    }
    data_eval(&d, ASGD_TASK_BINARY, false, 1, &m);
    near("ne", m.ne, 1);
    near("calibration", m.calibration, 1);
    near("logloss", m.logloss, -0.25 * log(0.25) - 0.75 * log(0.75));
    near("auc", m.auc, 0.5);
    for (uint64_t i = 0; i < d.n; i++) d.y[i] = 0; /* no mean to speak of */
    data_eval(&d, ASGD_TASK_BINARY, false, 1, &m);
    near("ne", m.ne, NAN);
    near("calibration", m.calibration, NAN);
    near("auc", m.auc, NAN);
    for (uint64_t i = 0; i < d.n; i++) d.y[i] = 1;
    data_eval(&d, ASGD_TASK_BINARY, false, 1, &m);
    near("ne", m.ne, NAN);
    near("calibration", m.calibration, 0.25);
    near("auc", m.auc, NAN);
    data_free(&d);
}

static double auc_of(const float *score, const char *y, size_t n)
{
    uint64_t item[64];
    for (size_t i = 0; i < n; i++) item[i] = asgdi_auc_item(score[i], y[i] == '1', 1);
    return asgdi_auc(item, n);
}

static void auc_of_odd_scores(void **state)
{
    (void)state;
    near("zeros tie", auc_of((float[]){-0.0f, 0.0f}, "10", 2), 0.5);
    near("infinite", auc_of((float[]){-INFINITY, -1, 1, INFINITY}, "0011", 4), 1);
    near("signs", auc_of((float[]){-3, -2, -1, 1e-40f, 2, 3e38f}, "111000", 6), 0);
    near("NaN", auc_of((float[]){0, NAN, 1}, "011", 3), NAN);
    near("-NaN", auc_of((float[]){0, -NAN, 1}, "011", 3), NAN);
    near("none", auc_of(NULL, "", 0), NAN);
    near("three of six", auc_of((float[]){1, 2, 3, 4, 5}, "01010", 5), 3.0 / 6);
}

/* ---- amounts and classes ---- */

static void amounts(void **state)
{
    (void)state;
    data d;
    data_init(&d, 777, 1);
    for (uint64_t i = 0; i < d.n; i++) {
        d.out[i]    = (float)(uniform(1, i) * 10 - 5);
        d.y[i]      = (float)(uniform(2, i) * 10 - 5);
        d.weight[i] = (float)uniform(3, i);
    }
    for (int weighted = 0; weighted < 2; weighted++) {
        asgd_metrics m;
        double       squares = 0, sizes = 0, sum = 0;
        for (uint64_t i = 0; i < d.n; i++) {
            double w = weight_of(&d, weighted == 1, i), e = (double)d.out[i] - (double)d.y[i];
            sum += w;
            squares += w * e * e;
            sizes += w * fabs(e);
        }
        data_eval(&d, ASGD_TASK_REGRESSION, weighted == 1, 1, &m);
        near("rmse", m.rmse, sqrt(squares / sum));
        near("mae", m.mae, sizes / sum);
        near("accuracy", m.accuracy, NAN);
        near("error", m.error, NAN);
        near("auc", m.auc, NAN);
        near("logloss", m.logloss, NAN);
        near("ne", m.ne, NAN);
        same_for_all_threads(&d, ASGD_TASK_REGRESSION, weighted == 1, &m);
    }
    data_free(&d);
}

static void classes(void **state)
{
    (void)state;
    enum { CLASSES = 6 };
    data d;
    data_init(&d, 600, CLASSES);
    double sum = 0, right = 0, logloss = 0;
    for (uint64_t i = 0; i < d.n; i++) {
        uint32_t best = 0;
        d.y[i]        = (float)(asgdi_random(31, 1, i) % CLASSES);
        d.weight[i]   = (float)uniform(3, i);
        for (uint32_t c = 0; c < CLASSES; c++) { /* few values: ties */
            d.out[i * CLASSES + c] = (float)(asgdi_random(31, 2, i * CLASSES + c) % 4) / 8;
            if (d.out[i * CLASSES + c] > d.out[i * CLASSES + best]) best = c;
        }
        double p = (double)d.out[i * CLASSES + (uint32_t)d.y[i]], w = (double)d.weight[i];
        sum += w;
        right += (float)best == d.y[i] ? w : 0;
        logloss -= w * log(p > 1e-15 ? p : 1e-15);
    }
    asgd_metrics m;
    data_eval(&d, ASGD_TASK_CLASSES, true, 1, &m);
    near("accuracy", m.accuracy, right / sum);
    near("error", m.error, 1 - right / sum);
    near("logloss", m.logloss, logloss / sum);
    near("ne", m.ne, NAN);
    near("calibration", m.calibration, NAN);
    near("auc", m.auc, NAN);
    near("rmse", m.rmse, NAN);
    same_for_all_threads(&d, ASGD_TASK_CLASSES, true, &m);
    data_free(&d);
}

/* ---- sets of labels ---- */

/* By hand: what is among the first 1, 3, 5. */
static const struct set {
    float    score[7];
    uint32_t n, label[7];
    double   hits[3];
} sets[] = {
    {{.9f, .8f, .7f, .6f, .5f, .4f, .3f}, 3, {0, 1, 2}, {1, 3, 3}},
    {{.9f, .8f, .7f, .6f, .5f, .4f, .3f}, 2, {5, 6}, {0, 0, 0}},
    {{.9f, .8f, .7f, .6f, .5f, .4f, .3f}, 7, {0, 1, 2, 3, 4, 5, 6}, {1, 3, 5}},
    {{.1f, .2f, .3f, .4f, .5f, .6f, .7f}, 2, {4, 6}, {1, 2, 2}},
    {{.9f, .8f, .7f, .6f, .5f, .4f, .3f}, 0, {0}, {0, 0, 0}},       /* no labels */
    {{.5f, .5f, .5f, .5f, .5f, .5f, .5f}, 3, {0, 4, 5}, {1, 1, 2}}, /* ties: the lower first */
    {{.5f, .6f, .5f, .5f, .6f, .5f, .5f}, 3, {2, 4, 5}, {0, 1, 2}}, /* order 1 4 0 2 3 */
};
enum { SETS = sizeof sets / sizeof sets[0] };

static void precision_by_hand(void **state)
{
    (void)state;
    data         d;
    asgd_metrics m;
    for (int weighted = 0; weighted < 2; weighted++) {
        double hits[3] = {0}, sum = 0;
        data_init(&d, 50 * SETS, 7);
        for (uint64_t i = 0, at = 0; i < d.n; i++) {
            const struct set *s = &sets[i % SETS];
            double            w = (double)(d.weight[i] = (float)(i % 5));
            if (!weighted) w = 1;
            sum += w;
            memcpy(d.out + i * 7, s->score, sizeof s->score);
            for (uint32_t j = 0; j < s->n; j++) d.label[at++] = s->label[j];
            d.start[i + 1] = at;
            for (int k = 0; k < 3; k++) hits[k] += w * s->hits[k] / (2 * k + 1);
        }
        data_eval(&d, ASGD_TASK_LABELS, weighted == 1, 1, &m);
        near("p1", m.p1, hits[0] / sum);
        near("p3", m.p3, hits[1] / sum);
        near("p5", m.p5, hits[2] / sum);
        near("accuracy", m.accuracy, m.p1);
        near("error", m.error, 1 - m.p1);
        near("logloss", m.logloss, NAN);
        near("auc", m.auc, NAN);
        same_for_all_threads(&d, ASGD_TASK_LABELS, weighted == 1, &m);
        data_free(&d);
    }
}

/* Fewer labels than are looked at: k stays the divisor. */
static void fewer_labels_than_five(void **state)
{
    (void)state;
    data         d;
    asgd_metrics m;
    data_init(&d, 1, 2);
    d.out[1]   = 0.5f;
    d.label[0] = 1;
    d.start[1] = 1;
    data_eval(&d, ASGD_TASK_LABELS, false, 1, &m);
    near("p1", m.p1, 1);
    near("p3", m.p3, 1.0 / 3);
    near("p5", m.p5, 1.0 / 5);
    data_free(&d);
}

static void data_of_another_kind_are_refused(void **state)
{
    (void)state;
    static const float    x[8] = {0}, y[4] = {0, 1, 0, 1};
    static const uint64_t start[5] = {0};
    asgd_source          *one, *sets_of;
    asgd_model           *linear, *mlp;
    asgd_metrics          m;
    ok(asgd_source_dense(&one, x, y, 4, 2, 2));
    ok(asgd_source_dense(&sets_of, x, y, 4, 2, 2));
    sets_of->schema.label_sets = true;
    sets_of->label_start       = start;
    ok(asgd_model_named(&linear, "linear", "", asgd_source_schema(one)));
    ok(asgd_model_named(&mlp, "mlp", "hidden=2", asgd_source_schema(sets_of)));
    ok(asgd_eval(mlp, sets_of, 1, &m));
    near("p1", m.p1, 0);
    fails(asgd_eval(linear, sets_of, 1, &m), ASGD_EMISMATCH, "has sets of labels");
    fails(asgd_eval(mlp, one, 1, &m), ASGD_EMISMATCH, "the model predicts sets of labels");
    asgd_model_free(linear);
    asgd_model_free(mlp);
    asgd_source_close(one);
    asgd_source_close(sets_of);
}

/* ---- names ---- */

static void by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int         better;
    } names[] = {{"loss", -1},     {"accuracy", 1}, {"error", -1},      {"auc", 1},
                 {"logloss", -1},  {"ne", -1},      {"calibration", 0}, {"rmse", -1},
                 {"mae", -1},      {"p1", 1},       {"p3", 1},          {"p5", 1},
                 {"precision", 1}, {"recall", 1},   {"ndcg", 1},        {"map", 1}};
    asgd_metrics m;
    double       value = 1;
#define X(name, better) m.name = value++;
    ASGD_METRIC_MAP(X)
#undef X
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int better = 7;
        near(names[i].name, asgd_metric_get(&m, names[i].name, &better), (double)i + 1);
        assert_int_equal(better, names[i].better);
    }
    int better = 7;
    near("nothing", asgd_metric_get(&m, "precisely", &better), NAN);
    assert_int_equal(better, 0);
    near("nothing", asgd_metric_get(&m, "", NULL), NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary),
        cmocka_unit_test(weights_are_repetitions),
        cmocka_unit_test(normalised_by_the_mean_label),
        cmocka_unit_test(auc_of_odd_scores),
        cmocka_unit_test(amounts),
        cmocka_unit_test(classes),
        cmocka_unit_test(precision_by_hand),
        cmocka_unit_test(fewer_labels_than_five),
        cmocka_unit_test(data_of_another_kind_are_refused),
        cmocka_unit_test(by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
