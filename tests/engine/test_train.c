/* What asgd_train() promises: the same bits where it says so, good order at every end, clear refusals. */
#include "engine/problem.h"

#include <unistd.h>

static float *train_weights(const char *name, const char *options, asgd_source *data,
                            const asgd_config *c, size_t *n)
{
    asgd_model *m;
    ok(asgd_model_named(&m, name, options, asgd_source_schema(data)));
    ok(asgd_train(m, data, c, NULL));
    float *w = problem_weights(m, n);
    asgd_model_free(m);
    return w;
}

static const struct {
    const char *name, *options;
} models[] = {
    {"mlp", "hidden=24,12 dropout=0.2"}, {"mlp", "hidden=9 activation=tanh"}, {"softmax", ""}};

static void sequential_gives_the_same_bits(void **state)
{
    (void)state;
#if defined __SANITIZE_THREAD__ /* of one thread, and long */
    skip();
#endif
    problem p;
    problem_make(&p, 900, 20, 4, 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (asgd_rule_kind rule = ASGD_RULE_sgd; rule < ASGD_RULES; rule++) {
            asgd_config c = {.mode   = ASGD_SEQUENTIAL,
                             .batch  = 16,
                             .epochs = 2.5,
                             .seed   = 7,
                             .lr     = 0.01,
                             .rule   = {.kind = rule}};
            size_t      n;
            float      *a = train_weights(models[i].name, models[i].options, p.source, &c, &n);
            float      *b = train_weights(models[i].name, models[i].options, p.source, &c, &n);
            assert_memory_equal(a, b, n * sizeof *a);
            /* one asynchronous worker, evaluated or not, is a sequential run */
            c.mode    = ASGD_ASYNC;
            c.workers = 1;
            c.valid   = p.source;
            free(b);
            b = train_weights(models[i].name, models[i].options, p.source, &c, &n);
            assert_memory_equal(a, b, n * sizeof *a);
            c.seed = 8;
            free(b);
            b = train_weights(models[i].name, models[i].options, p.source, &c, &n);
            assert_true(memcmp(a, b, n * sizeof *a) != 0);
            free(a);
            free(b);
        }
    problem_free(&p);
}

/* Stops a run after so many points. */
typedef struct stopper {
    int points;
} stopper;

static int stop_at(const asgd_point *p, void *user)
{
    stopper *s = user;
    (void)p;
    return --s->points <= 0;
}

static void sequential_resumes_bit_for_bit(void **state)
{
    (void)state;
#if defined __SANITIZE_THREAD__ /* of one thread, and long */
    skip();
#endif
    problem p;
    problem_make(&p, 2000, 20, 4, 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (asgd_rule_kind rule = ASGD_RULE_sgd; rule < ASGD_RULES; rule++) {
            char folder[] = "resume-XXXXXX";
            assert_non_null(mkdtemp(folder));
            asgd_config c = {.mode         = ASGD_SEQUENTIAL,
                             .batch        = 7,
                             .epochs       = 6,
                             .seed         = 3,
                             .lr           = 0.01,
                             .rule         = {.kind = rule},
                             .schedule     = ASGD_COSINE,
                             .schedule_set = true,
                             .warmup       = 0.1};
            if (rule == ASGD_RULE_ftrl) { /* has its own schedule */
                c.schedule = ASGD_CONSTANT;
                c.warmup   = 0;
            }
            size_t      n;
            float      *whole = train_weights(models[i].name, models[i].options, p.source, &c, &n);
            asgd_model *m;
            stopper     s     = {3};
            asgd_config first = c;
            first.checkpoint  = folder;
            first.observe     = stop_at;
            first.user        = &s;
            ok(asgd_model_named(&m, models[i].name, models[i].options,
                                asgd_source_schema(p.source)));
            fails(asgd_train(m, p.source, &first, NULL), ASGD_ESTOPPED, "stopped after");
            asgd_model_free(m);
            asgd_config second = c;
            second.checkpoint  = folder;
            second.resume      = true;
            float *resumed =
                train_weights(models[i].name, models[i].options, p.source, &second, &n);
            if (memcmp(whole, resumed, n * sizeof *whole) != 0)
                fail_msg("%s %s, rule %s: the resumed run differs", models[i].name,
                         models[i].options, asgd_rule_name(rule));
            /* another run does not fit */
            second.batch = 8;
            ok(asgd_model_named(&m, models[i].name, models[i].options,
                                asgd_source_schema(p.source)));
            fails(asgd_train(m, p.source, &second, NULL), ASGD_EMISMATCH,
                  "batch is 7, this run's 8");
            asgd_model_free(m);
            char command[64];
            snprintf(command, sizeof command, "rm -r %s", folder);
            assert_int_equal(system(command), 0);
            free(whole);
            free(resumed);
        }
    problem_free(&p);
}

static void every_mode_and_rule_learns(void **state)
{
    (void)state;
    problem p, v;
    problem_make(&p, 4000, 20, 4, 1);
    problem_make(&v, 1000, 20, 4, 2);
    static const double lr[ASGD_RULES] = {0, 0.1, 0.02, 0.05, 0.003, 0.003, 0.2};
    for (asgd_mode mode = ASGD_ASYNC; mode <= ASGD_SEQUENTIAL; mode++)
        for (asgd_rule_kind rule = ASGD_RULE_sgd; rule < ASGD_RULES; rule++)
            for (asgd_share share = ASGD_SHARE_AUTO; share <= ASGD_SHARE_REPLICA; share++) {
                if (share != ASGD_SHARE_AUTO && mode != ASGD_ASYNC) continue;
                asgd_config c = {.mode    = mode,
                                 .share   = share,
                                 .workers = 3,
                                 .batch   = 20,
                                 .epochs  = 10,
                                 .lr      = lr[rule],
                                 .rule    = {.kind = rule},
                                 .valid   = v.source};
                asgd_model *m;
                asgd_result r;
                ok(asgd_model_named(&m, "mlp", "hidden=16", asgd_source_schema(p.source)));
                ok(asgd_train(m, p.source, &c, &r));
                if (!(r.valid.accuracy > 0.85))
                    fail_msg("mode %s, rule %s, share %s: accuracy %g", asgd_mode_name(mode),
                             asgd_rule_name(rule), asgd_share_name(share), r.valid.accuracy);
                assert_int_equal(r.examples, 40000);
                asgd_metrics q;
                ok(asgd_eval(m, v.source, 2, &q));
                assert_true(q.accuracy == r.valid.accuracy && q.loss == r.valid.loss);
                asgd_result_free(&r);
                asgd_model_free(m);
            }
    problem_free(&p);
    problem_free(&v);
}

static asgd_status train_end(problem *p, asgd_config *c, asgd_result *r)
{
    asgd_model *m;
    ok(asgd_model_named(&m, "softmax", NULL, asgd_source_schema(p->source)));
    asgd_status s = asgd_train(m, p->source, c, r);
    asgd_model_free(m);
    return s;
}

static void runs_end_as_asked(void **state)
{
    (void)state;
    problem p;
    problem_make(&p, 3000, 20, 4, 1);
    for (uint32_t workers = 1; workers <= 3; workers += 2) {
        asgd_result r;
        asgd_config target = {
            .workers = workers, .epochs = 1e6, .valid = p.source, .target = "accuracy=0.8"};
        ok(train_end(&p, &target, &r));
        assert_int_equal(r.end, ASGD_END_TARGET);
        assert_true(r.valid.accuracy >= 0.8 && r.target_seconds <= r.seconds);
        asgd_result_free(&r);

        asgd_config patience = {
            .workers = workers, .epochs = 1e6, .valid = p.source, .patience = 2, .lr = 1};
        ok(train_end(&p, &patience, &r));
        assert_int_equal(r.end, ASGD_END_PATIENCE);
        double best = INFINITY;
        for (size_t i = 0; i < r.n_history; i++)
            if (r.history[i].evaluated) best = fmin(best, r.history[i].valid.loss);
        assert_true(r.valid.loss == best);
        asgd_result_free(&r);

        asgd_config seconds = {.workers = workers, .epochs = 1e6, .max_seconds = 0.05};
        ok(train_end(&p, &seconds, &r));
        assert_int_equal(r.end, ASGD_END_SECONDS);
        asgd_result_free(&r);

        const volatile int stop    = 1;
        asgd_config        stopped = {.workers = workers, .epochs = 1e6, .stop = &stop};
        assert_int_equal(train_end(&p, &stopped, &r), ASGD_ESTOPPED);
        assert_int_equal(r.end, ASGD_END_STOPPED);
        asgd_result_free(&r);

        asgd_config wild = {.workers = workers, .epochs = 1e6, .lr = 1e30};
        fails(train_end(&p, &wild, &r), ASGD_EDIVERGED, "try lr");
        asgd_result_free(&r);
    }
    problem_free(&p);
}

/* One parameter: how many examples were seen.  Of three examples of class 1 two are told right from the
 * third epoch on, and the third so wrong then that the loss is higher. */
enum { TURN = 3 };

static asgd_status turning_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                 asgd_task *task, uint32_t *outputs)
{
    (void)self;
    (void)d;
    tables[0] = (asgd_table){.name = "seen", .rows = 1, .dim = 1};
    *n        = 1;
    *task     = ASGD_TASK_BINARY;
    *outputs  = 1;
    return ASGD_OK;
}

static void turning_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                         void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self;
    (void)w;
    (void)scratch;
    (void)random;
    const float up = -1;
    for (uint32_t i = 0; i < b->n; i++) asgd_emit_rows(g, 0, 0, 1, 1, &up, 1);
    st->loss += b->n;
    st->weight += b->n;
}

static void turning_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                            const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    (void)self;
    (void)g;
    (void)scratch;
    const bool turned = asgd_row(&w[0], 0)[0] >= 3 * TURN;
    for (uint32_t i = 0; i < b->n; i++) {
        out[i] = !turned ? 0.4f : b->dense[i] > 2 ? 0.001f : 0.6f;
        if (!st) continue;
        st->loss -= log((double)out[i]);
        st->weight += 1;
        st->correct += out[i] > 0.5f;
    }
}

static void a_met_target_is_kept(void **state)
{
    (void)state;
    static const float          x[] = {1, 2, 3}, y[] = {1, 1, 1};
    static const asgd_model_ops ops = {.name    = "turning",
                                       .shape   = turning_shape,
                                       .step    = turning_step,
                                       .predict = turning_predict};
    asgd_source                *s;
    asgd_model                 *m;
    asgd_result                 r;
    ok(asgd_source_dense(&s, x, y, 3, 1, 2));
    ok(asgd_model_new(&m, &ops, NULL, asgd_source_schema(s)));
    const asgd_config c = {.workers  = 1,
                           .batch    = 1,
                           .epochs   = 10,
                           .lr       = 1,
                           .rule     = {.kind = ASGD_RULE_sgd},
                           .valid    = s,
                           .target   = "accuracy=0.6",
                           .patience = 9};
    ok(asgd_train(m, s, &c, &r));
    assert_int_equal(r.end, ASGD_END_TARGET);
    assert_true(r.valid.accuracy > 0.6 && r.valid.loss > 2);
    assert_true(asgd_model_row(m, 0, 0)[0] ==
                3 * TURN); /* not those of the first epoch, of less loss */
    asgd_result_free(&r);
    asgd_model_free(m);
    asgd_source_close(s);
}

/* adagrad's steps shrink by themselves; those of a rule taken instead do not, unless the rate falls. */
static void default_schedule_follows_the_rule(void **state)
{
    (void)state;
    problem p;
    problem_make(&p, 300, 20, 2, 1);
    for (asgd_rule_kind rule = ASGD_RULE_sgd; rule < ASGD_RULES; rule++) {
        asgd_model *m;
        asgd_result r;
        ok(asgd_model_named(&m, "linear", NULL, asgd_source_schema(p.source)));
        const asgd_config c = {.workers  = 1,
                               .epochs   = 4,
                               .lr       = 0.001,
                               .rule     = {.kind = rule},
                               .valid    = p.source,
                               .patience = ASGD_NEVER};
        ok(asgd_train(m, p.source, &c, &r));
        assert_true(r.n_history >= 4);
        const bool constant = rule == ASGD_RULE_adagrad || rule == ASGD_RULE_ftrl;
        if ((r.history[r.n_history - 1].lr == r.history[0].lr) != constant)
            fail_msg("rule %s: lr from %g to %g", asgd_rule_name(rule), r.history[0].lr,
                     r.history[r.n_history - 1].lr);
        asgd_result_free(&r);
        asgd_model_free(m);
    }
    problem_free(&p);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    problem p;
    problem_make(&p, 100, 20, 4, 1);
    const double fast[2] = {1, 0.5};
    const struct {
        asgd_config c;
        const char *says;
    } cases[] = {
        {{.workers = 5000}, "at most 1024"},
        {{.batch = 1u << 30}, "at most"},
        {{.epochs = -1}, "epochs"},
        {{.epochs = NAN}, "epochs"},
        {{.lr = -1}, "lr"},
        {{.lr = INFINITY}, "lr"},
        {{.warmup = 1}, "warmup"},
        {{.pace = -1}, "pace"},
        {{.max_seconds = -1}, "max_seconds"},
        {{.target = "accuracy=0.9"}, "validation data"},
        {{.target = "beauty=1", .valid = p.source}, "METRIC=VALUE"},
        {{.target = "accuracy", .valid = p.source}, "METRIC=VALUE"},
        {{.patience = 2}, "validation data"},
        {{.workers = 2, .backup = 2, .mode = ASGD_SYNC}, "at least one"},
        {{.workers = 2, .mode = ASGD_SYNC, .share = ASGD_SHARE_REPLICA}, "one shared copy"},
        {{.workers = 2, .straggler = fast}, "straggler 1"},
        {{.resume = true}, "checkpoint"},
        {{.warmup = 0.1, .rule = {.kind = ASGD_RULE_ftrl}}, "ftrl"},
        {{.rule = {.kind = ASGD_RULE_adam, .beta1 = 2}}, "beta1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fails(train_end(&p, (asgd_config *)&cases[i].c, NULL), ASGD_EINVAL, cases[i].says);
    problem_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential_gives_the_same_bits),
        cmocka_unit_test(sequential_resumes_bit_for_bit),
        cmocka_unit_test(every_mode_and_rule_learns),
        cmocka_unit_test(runs_end_as_asked),
        cmocka_unit_test(a_met_target_is_kept),
        cmocka_unit_test(default_schedule_follows_the_rule),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
