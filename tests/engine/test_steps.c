/* test_steps.c -- batches of one example: many updates in one call of the model are the updates of as many
 * calls, in the order asked for, counted and merged like those; progressive validation. */
#include "engine/count_model.h"
#include "engine/problem.h"
#include "model/pairs.h"

#include <stdatomic.h>

#include "data/encoding.h"
#include "data/source.h"
#include "model/model.h"

/* ---- sparse data with fields ---- */

typedef struct clicks {
    uint64_t    n, *start;
    uint32_t   *idx;
    float      *val, *y, *weight;
    uint16_t   *field;
    asgd_source source; /* borrows the arrays */
} clicks;

enum { FEATURES = 60, FIELDS = 7, MOST = 6 };

static void clicks_make(clicks *d, uint64_t n, uint32_t classes, uint64_t seed)
{
    uint64_t s = seed * 2654435761u + 88172645463325252u, at = 0;
    *d        = (clicks){.n = n};
    d->start  = calloc(n + 1, sizeof *d->start);
    d->idx    = calloc(n * MOST, sizeof *d->idx);
    d->val    = calloc(n * MOST, sizeof *d->val);
    d->field  = calloc(n * MOST, sizeof *d->field);
    d->y      = calloc(n, sizeof *d->y);
    d->weight = calloc(n, sizeof *d->weight);
    assert_true(d->start && d->idx && d->val && d->field && d->y && d->weight);
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t len = problem_random(&s) % (MOST + 1);
        for (uint32_t e = 0, last = 0; e < len; e++, at++) {
            last += (e > 0) + (uint32_t)(problem_random(&s) % (FEATURES / MOST - 1));
            d->idx[at]   = last;
            d->field[at] = (uint16_t)(problem_random(&s) % 9 ? last % FIELDS : 0);
            d->val[at]   = problem_uniform(&s) + 0.25f;
        }
        d->start[i + 1] = at;
        d->y[i]         = classes ? (float)(problem_random(&s) % classes) : problem_uniform(&s);
        d->weight[i]    = (float)(1 + problem_random(&s) % 4);
    }
    d->source = (asgd_source){.schema  = {.examples = n,
                                          .nonzeros = at,
                                          .features = FEATURES,
                                          .fields   = FIELDS,
                                          .classes  = classes,
                                          .y_max    = 1},
                              .start   = d->start,
                              .idx     = d->idx,
                              .val     = d->val,
                              .field   = d->field,
                              .y       = d->y,
                              .max_len = MOST};
}

static void clicks_free(clicks *d)
{
    free(d->start);
    free(d->idx);
    free(d->val);
    free(d->field);
    free(d->y);
    free(d->weight);
}

static const struct {
    const char *name, *options;
} models[] = {{"linear", ""},      {"linear", "loss=squared normalize=1"},
              {"fm", "init=0.5"},  {"fm", "k=5 loss=hinge"},
              {"ffm", "init=0.5"}, {"ffm", "k=8 normalize=1"}};
enum { MODELS = sizeof models / sizeof models[0] };

/* A model of the library's ops as a caller's own: with or without steps(). */
static asgd_model *make(int i, const asgd_schema *d, bool steps)
{
    const asgdi_model_entry *e    = asgdi_model_find(models[i].name);
    asgd_model_ops           ops  = *e->ops;
    void                    *self = calloc(1, ops.self_bytes);
    asgd_model              *m;
    assert_non_null(self);
    assert_non_null(ops.steps);
    if (!steps) ops.steps = NULL;
    ok(e->parse(self, models[i].options));
    ok(asgd_model_new(&m, &ops, self, d));
    free(self);
    return m;
}

/* ---- the same updates ---- */

static void check_same(int i, clicks *d, const asgd_config *c)
{
    float      *w[2];
    asgd_result r[2];
    size_t      n;
    for (int steps = 0; steps < 2; steps++) {
        asgd_model *m = make(i, &d->source.schema, steps);
        ok(asgd_train(m, &d->source, c, &r[steps]));
        w[steps] = problem_weights(m, &n);
        asgd_model_free(m);
    }
    if (memcmp(w[0], w[1], n * sizeof *w[0]))
        fail_msg("%s %s, %s: other bits", models[i].name, models[i].options,
                 asgd_rule_name(c->rule.kind));
    assert_true(r[0].examples == r[1].examples && r[0].updates == r[1].updates &&
                r[0].updates == r[0].examples && r[0].epochs == r[1].epochs);
    assert_true(r[0].staleness.count == r[1].staleness.count && r[1].staleness.max == 0);
    assert_int_equal(r[1].staleness.count, r[1].updates);
    assert_int_equal(r[0].worker_examples[0], r[1].worker_examples[0]);
    /* logistic losses of many scores are formed together, to 6e-8 a score (kern_logistic.h) */
    assert_true(fabs(r[0].online_loss - r[1].online_loss) <= 1e-6 * r[0].online_loss);
    for (int steps = 0; steps < 2; steps++) {
        asgd_result_free(&r[steps]);
        free(w[steps]);
    }
}

/* One worker with a constant rate (a schedule moves on between calls only, adam's bias correction too). */
static void many_steps_are_single_steps(void **state)
{
    (void)state;
    static const asgd_rule_kind rules[] = {ASGD_RULE_sgd, ASGD_RULE_adagrad, ASGD_RULE_momentum,
                                           ASGD_RULE_rmsprop, ASGD_RULE_ftrl};
    clicks                      d;
    clicks_make(&d, 777, 2, 1);
    for (int i = 0; i < MODELS; i++)
        for (int how = 0; how < 4; how++)
            for (size_t rule = 0; rule < sizeof rules / sizeof rules[0]; rule++) {
                const asgd_config c = {.workers = 1,
                                       .mode    = how & 1 ? ASGD_SEQUENTIAL : ASGD_ASYNC,
                                       .order   = how & 2 ? ASGD_ORDER_FILE : ASGD_ORDER_SHUFFLE,
                                       .batch   = 1,
                                       .epochs  = 2.3,
                                       .seed    = 5,
                                       .lr      = how == 3 ? 0.01 : 0.05,
                                       .rule    = {.kind = rules[rule], .l2 = 1e-4f},
                                       .schedule_set = true};
                d.source.weight     = how == 3 ? d.weight : NULL;
                check_same(i, &d, &c);
            }
    clicks_free(&d);
}

/* ---- a model that writes down what it is given ---- */

typedef struct notes {
    const clicks     *d;
    bool              in_order;
    _Atomic uint64_t  wrong, single, many; /* calls of step(), steps() */
    _Atomic uint32_t *seen;                /* [total] by position */
    uint32_t          merge;               /* not 0: no call reaches past a merge */
} notes;

typedef struct noter {
    notes *to;
} noter;

static asgd_status note_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                              asgd_task *task, uint32_t *outputs)
{
    return count_shape(self, d, tables, n, task, outputs);
}

static size_t note_scratch(const void *self, uint32_t n)
{
    (void)self;
    (void)n;
    return sizeof(uint64_t); /* examples that this worker has had */
}

static bool as_in_source(const clicks *d, uint64_t i, const asgd_batch *b, uint32_t at)
{
    const uint64_t from = d->start[i];
    return b->len[at] == d->start[i + 1] - from && b->idx + b->begin[at] == d->idx + from &&
           b->field + b->begin[at] == d->field + from && b->y[at] == d->y[i] &&
           b->weight[at] == d->weight[i];
}

static void note(notes *to, const asgd_batch *b, asgd_sink *g, void *scratch, asgd_stats *st)
{
    uint64_t *done = scratch;
    if (to->merge && *done / to->merge != (*done + b->n - 1) / to->merge) to->wrong++;
    *done += b->n;
    for (uint32_t i = 0; i < b->n; i++) {
        const uint64_t p = b->position + i;
        to->seen[p]++;
        if (to->in_order && !as_in_source(to->d, p % to->d->n, b, i)) to->wrong++;
        asgd_emit_scattered(g, 0, b->len[i], b->idx + b->begin[i], NULL, -1, NULL);
        st->loss += (double)(b->weight[i] * b->y[i]);
        st->weight += (double)b->weight[i];
    }
}

static void note_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                      void *scratch, uint64_t random, asgd_stats *st)
{
    notes *to = ((const noter *)self)->to;
    (void)w;
    (void)random;
    to->single++;
    note(to, b, g, scratch, st);
}

static void note_steps(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                       void *scratch, uint64_t random, asgd_stats *st)
{
    notes *to = ((const noter *)self)->to;
    (void)w;
    (void)random;
    to->many++;
    note(to, b, g, scratch, st);
}

static const asgd_model_ops note_ops = {.name       = "notes",
                                        .self_bytes = sizeof(noter),
                                        .shape      = note_shape,
                                        .scratch    = note_scratch,
                                        .step       = note_step,
                                        .steps      = note_steps};

/* Trains for so many whole epochs; every position must have come once.  The caller frees the model. */
static asgd_model *take_notes(notes *to, clicks *d, const asgd_config *config, asgd_result *r)
{
    const noter    self  = {to};
    asgd_config    c     = *config;
    const uint64_t total = d->n * (uint64_t)c.epochs;
    asgd_model    *m;
    to->d            = d;
    to->seen         = calloc(total, sizeof *to->seen);
    d->source.weight = d->weight;
    c.rule           = (asgd_rule){.kind = ASGD_RULE_sgd};
    c.lr             = 1;
    c.damp           = -1;
    c.schedule_set   = true;
    assert_non_null(to->seen);
    ok(asgd_model_new(&m, &note_ops, &self, &d->source.schema));
    ok(asgd_train(m, &d->source, &c, r));
    assert_int_equal(r->examples, total);
    for (uint64_t p = 0; p < total; p++)
        if (to->seen[p] != 1)
            fail_msg("position %llu came %u times", (unsigned long long)p, to->seen[p]);
    assert_int_equal(to->wrong, 0);
    free(to->seen);
    return m;
}

static void file_order_is_kept(void **state)
{
    (void)state;
    clicks d;
    clicks_make(&d, 1003, 2, 2);
    for (uint32_t workers = 1; workers <= 3; workers++)
        for (uint32_t batch = 1; batch <= 10; batch += 9) {
            const asgd_config c = {
                .workers = workers, .order = ASGD_ORDER_FILE, .batch = batch, .epochs = 3};
            notes       to = {.in_order = true};
            asgd_result r;
            asgd_model_free(take_notes(&to, &d, &c, &r));
            assert_true(batch == 1 ? to.many > 0 && to.single == 0 : to.single > 0);
            asgd_result_free(&r);
        }
    clicks_free(&d);
}

/* Where an update is not one example's at once, or its time counts, step() is called. */
static void steps_are_for_single_examples_only(void **state)
{
    (void)state;
    static const double slow[2] = {1, 2};
    const struct {
        asgd_config c;
        bool        many;
    } run[] = {
        {{.workers = 1, .batch = 1}, true},
        {{.workers = 2, .batch = 1}, true},
        {{.workers = 2, .batch = 1, .share = ASGD_SHARE_SHARED}, true},
        {{.workers = 2, .batch = 1, .share = ASGD_SHARE_REPLICA}, true},
        {{.batch = 1, .mode = ASGD_SEQUENTIAL}, true},
        {{.workers = 1, .batch = 1, .mode = ASGD_LOCKED}, true},
        {{.workers = 1, .batch = 2}, false},
        {{.workers = 2, .batch = 3}, false},
        {{.workers = 2, .batch = 1, .mode = ASGD_LOCKED}, false},
        {{.workers = 2, .batch = 1, .mode = ASGD_SYNC}, false},
        {{.workers = 1, .batch = 1, .pace = 1e-6}, false},
        {{.workers = 2, .batch = 1, .straggler = slow}, false},
    };
    clicks d;
    clicks_make(&d, 300, 2, 3);
    for (size_t i = 0; i < sizeof run / sizeof run[0]; i++) {
        asgd_config c = run[i].c;
        asgd_result r;
        notes       to = {0};
        c.epochs       = 2;
        asgd_model_free(take_notes(&to, &d, &c, &r));
        if ((to.many > 0) != run[i].many || (to.single > 0) == run[i].many)
            fail_msg("run %zu: %llu calls of steps, %llu of step", i, (unsigned long long)to.many,
                     (unsigned long long)to.single);
        if (c.mode != ASGD_SYNC) assert_int_equal(r.updates, (600 + c.batch - 1) / c.batch);
        asgd_result_free(&r);
    }
    clicks_free(&d);
}

/* ---- nothing is lost ---- */

/* How often a feature occurs in the data: whole numbers that floats hold exactly. */
static void check_counts(asgd_model *m, const clicks *d, uint32_t epochs, const char *what)
{
    uint32_t count[FEATURES] = {0};
    for (uint64_t e = 0; e < d->start[d->n]; e++) count[d->idx[e]] += epochs;
    for (uint32_t f = 0; f < FEATURES; f++)
        if (*asgd_model_row(m, 0, f) != (float)count[f])
            fail_msg("%s: feature %u counted %g times, not %u", what, f,
                     (double)*asgd_model_row(m, 0, f), count[f]);
}

/* Private rows are merged when the user says, also in the middle of what is gathered. */
static void private_progress_is_exact(void **state)
{
    (void)state;
    static const uint32_t merges[] = {0, 1, 10, 100, 1000};
    clicks                d;
    clicks_make(&d, 5000, 2, 4);
    uint32_t       key[FEATURES];
    asgd_encoding *ranked;
    for (uint32_t f = 0; f < FEATURES; f++) key[f] = f;
    ok(asgdi_encoding_new(&ranked, key, FEATURES, FIELDS, "{}"));
    for (uint32_t workers = 2; workers <= 4; workers += 2)
        for (int hot = 0; hot < 2; hot++)
            for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) {
                const asgd_config c  = {.workers = workers,
                                        .batch   = 1,
                                        .epochs  = 3,
                                        .share   = hot ? ASGD_SHARE_HOT : ASGD_SHARE_REPLICA,
                                        .hot     = FEATURES,
                                        .merge   = merges[i]};
                notes             to = {.merge = merges[i]};
                asgd_result       r;
                char              what[80];
                d.source.encoding = hot ? ranked : NULL;
                asgd_model *m     = take_notes(&to, &d, &c, &r);
                snprintf(what, sizeof what, "%s, %u workers, merge %u", hot ? "hot" : "replica",
                         workers, merges[i]);
                check_counts(m, &d, 3, what);
                assert_true(to.many > 0);
                assert_int_equal(r.updates, 3 * 5000);
                assert_int_equal(r.staleness.count, 3 * 5000);
                asgd_result_free(&r);
                asgd_model_free(m);
            }
    asgdi_encoding_free(ranked);
    clicks_free(&d);
}

/* Some rows private, the others shared: each of those is one example's, and comes once. */
static void hot_rows_and_shared_ones_are_exact(void **state)
{
    (void)state;
    enum { N = 20000, HOT = 16, ROWS = HOT + N };
    uint64_t    *start = calloc(N + 1, sizeof *start);
    uint32_t    *idx = calloc(2 * N, sizeof *idx), *key = calloc(ROWS, sizeof *key);
    float       *y = calloc(N, sizeof *y);
    asgd_source *s;
    assert_true(start && idx && key && y);
    for (uint32_t i = 0; i < N; i++) {
        start[i + 1]   = 2 * (i + 1);
        idx[2 * i]     = i % HOT;
        idx[2 * i + 1] = HOT + i;
    }
    for (uint32_t r = 0; r < ROWS; r++) key[r] = r;
    ok(asgd_source_sparse(&s, start, idx, NULL, y, N, ROWS, 0));
    ok(asgdi_encoding_new(&s->encoding, key, ROWS, 0, "{}"));
    for (uint32_t workers = 2; workers <= 4; workers += 2) {
        const asgd_config c    = {.workers      = workers,
                                  .batch        = 1,
                                  .epochs       = 1,
                                  .share        = ASGD_SHARE_HOT,
                                  .hot          = HOT,
                                  .merge        = 50,
                                  .lr           = 1,
                                  .rule         = {.kind = ASGD_RULE_sgd},
                                  .schedule_set = true,
                                  .damp         = -1};
        asgd_model_ops    ops  = count_ops;
        count_model       self = {0};
        asgd_model       *m;
        ops.steps = count_step; /* one after another is what it does */
        ok(asgd_model_new(&m, &ops, &self, asgd_source_schema(s)));
        ok(asgd_train(m, s, &c, NULL));
        for (uint32_t r = 0; r < ROWS; r++)
            if (*asgd_model_row(m, 0, r) != (r < HOT ? 1.0f * N / HOT : 1))
                fail_msg("%u workers: row %u holds %g", workers, r,
                         (double)*asgd_model_row(m, 0, r));
        asgd_model_free(m);
    }
    asgd_source_close(s);
    free(start);
    free(idx);
    free(key);
    free(y);
}

/* ---- progressive validation ---- */

static const struct {
    const char *name, *options;
    pairs       p;
} progressive[] = {
    {"linear", "", {.features = FEATURES, .bias = true, .loss = PAIRS_LOGISTIC}},
    {"fm", "k=4 normalize=0", {.features = FEATURES, .k = 4, .bias = true, .loss = PAIRS_LOGISTIC}},
    {"fm",
     "loss=squared normalize=1",
     {.features = FEATURES, .k = 8, .bias = true, .normalize = true}},
    {"ffm",
     "",
     {.features = FEATURES, .fields = FIELDS, .k = 4, .bias = true, .loss = PAIRS_LOGISTIC}},
};

/* The loss of each example before its update, in the file's order. */
static void online_loss_is_that_of_a_plain_loop(void **state)
{
    (void)state;
    clicks d;
    clicks_make(&d, 900, 2, 6);
    for (size_t i = 0; i < sizeof progressive / sizeof progressive[0]; i++)
        for (int adagrad = 0; adagrad < 2; adagrad++) {
            const asgd_config c = {.workers     = 1,
                                   .progressive = true,
                                   .lr          = 0.1,
                                   .rule = {.kind = adagrad ? ASGD_RULE_adagrad : ASGD_RULE_sgd,
                                            .eps  = adagrad ? 0.5f : 0}};
            asgd_model       *m;
            asgd_result       r;
            pairs             p   = progressive[i].p;
            double            sum = 0;
            ok(asgd_model_named(&m, progressive[i].name, progressive[i].options, &d.source.schema));
            for (uint32_t f = 0; asgd_model_tables(m) > 2 && f < FEATURES; f++)
                for (uint32_t j = 0; j < asgd_model_table(m, 2)->dim; j++)
                    asgd_model_row(m, 2, f)[j] = (float)((f * 7 + j * 13) % 11) / 10 - 0.5f;
            p.adagrad = adagrad;
            p.lr      = 0.1;
            p.eps     = 0.5;
            pairs_open(&p, m);
            ok(asgd_train(m, &d.source, &c, &r));
            for (uint64_t e = 0; e < d.n; e++) {
                const uint64_t      at = d.start[e];
                const pairs_example x  = {.n     = (uint32_t)(d.start[e + 1] - at),
                                          .idx   = d.idx + at,
                                          .val   = d.val + at,
                                          .field = d.field + at,
                                          .y     = (double)d.y[e]};
                sum += pairs_step(&p, &x);
            }
            assert_true(r.epochs == 1);
            assert_int_equal(r.examples, d.n);
            if (fabs(r.online_loss - sum / (double)d.n) > 1e-6 || pairs_distance(&p, m) > 1e-4)
                fail_msg("%s %s: %.9g, not %.9g; a parameter is off by %g", progressive[i].name,
                         progressive[i].options, r.online_loss, sum / (double)d.n,
                         pairs_distance(&p, m));
            pairs_close(&p);
            asgd_result_free(&r);
            asgd_model_free(m);
        }
    clicks_free(&d);
}

static void progressive_is_one_pass(void **state)
{
    (void)state;
    clicks      d;
    asgd_model *m;
    asgd_config c = {.progressive = true, .epochs = 2};
    clicks_make(&d, 50, 2, 7);
    ok(asgd_model_named(&m, "fm", "", &d.source.schema));
    fails(asgd_train(m, &d.source, &c, NULL), ASGD_EINVAL, "one pass");
    c.epochs = 0.5; /* a part of one is fine */
    asgd_result r;
    ok(asgd_train(m, &d.source, &c, &r));
    assert_int_equal(r.examples, 25);
    asgd_result_free(&r);
    asgd_model_free(m);
    clicks_free(&d);
}

/* ---- data that a model cannot read ---- */

static void refuse_all(asgd_model *m, asgd_source *s, const char *text)
{
    float        out[20];
    asgd_metrics metrics;
    fails(asgd_train(m, s, NULL, NULL), ASGD_EMISMATCH, text);
    fails(asgd_eval(m, s, 1, &metrics), ASGD_EMISMATCH, text);
    fails(asgd_predict(m, s, 1, out), ASGD_EMISMATCH, text);
}

static void other_data_are_refused(void **state)
{
    (void)state;
    clicks       d;
    asgd_source *dense, *other;
    asgd_model  *fm, *ffm;
    float        x[20 * FEATURES] = {0}, out[20];
    clicks_make(&d, 20, 2, 8);
    ok(asgd_source_dense(&dense, x, d.y, 20, FEATURES, 2));
    ok(asgd_source_sparse(&other, d.start, d.idx, d.val, d.y, 20, FEATURES, 2));
    ok(asgd_model_named(&fm, "fm", "", &d.source.schema));
    ok(asgd_model_named(&ffm, "ffm", "", &d.source.schema));
    refuse_all(fm, dense, "sparse");
    refuse_all(ffm, dense, "sparse");
    refuse_all(ffm, other, "0 fields, the model was made for 7");
    ok(asgd_predict(fm, other, 1, out));
    d.source.schema.fields = FIELDS + 1; /* the last is one that the model does not know */
    refuse_all(ffm, &d.source, "8 fields, the model was made for 7");
    ok(asgd_predict(fm, &d.source, 1, out));
    d.source.schema.fields = FIELDS - 1;
    ok(asgd_predict(ffm, &d.source, 1, out));
    asgd_model_free(fm);
    asgd_model_free(ffm);
    asgd_source_close(dense);
    asgd_source_close(other);
    clicks_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_steps_are_single_steps),
        cmocka_unit_test(file_order_is_kept),
        cmocka_unit_test(steps_are_for_single_examples_only),
        cmocka_unit_test(private_progress_is_exact),
        cmocka_unit_test(hot_rows_and_shared_ones_are_exact),
        cmocka_unit_test(online_loss_is_that_of_a_plain_loop),
        cmocka_unit_test(progressive_is_one_pass),
        cmocka_unit_test(other_data_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
