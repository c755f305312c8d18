/* Groups of processes: what ends a run ends it in all, a lost process is made up for, and all rules learn. */
#include "engine/group_of_threads.h"
#include "engine/problem.h"

/* ---- what ends a run ends it in all processes ---- */

static void a_stopped_process_stops_all(void **state)
{
    (void)state;
    crowd       g;
    asgd_config c = config(2, ASGD_SHARE_REPLICA, 1);
    c.epochs      = 1e6;
    crowd_init(&g, 3, &c, 7);
    g.p[1].config.stop = &interrupted;
    run_all_and(g.p, 3, 1);
    for (uint32_t i = 0; i < 3; i++) {
        ended_with(&g.p[i], ASGD_ESTOPPED);
        assert_int_equal(g.p[i].result.end, ASGD_END_STOPPED);
        assert_true(g.p[i].result.examples < UINT64_C(100000) * EXAMPLES);
        for (uint32_t f = 0; f < 7; f++)
            assert_true(asgd_model_row(g.p[i].model, 0, f)[0] ==
                        asgd_model_row(g.p[0].model, 0, f)[0]);
    }
    crowd_free(&g);
}

static void time_and_targets_end_all(void **state)
{
    (void)state;
    for (int target = 0; target < 2; target++) {
        crowd       g;
        asgd_config c = config(2, ASGD_SHARE_REPLICA, 1);
        c.epochs      = 1e6;
        crowd_init(&g, 3, &c, 7);
        for (uint32_t i = 0; i < 3; i++) {
            if (target) {
                g.p[i].config.valid  = g.p[i].source;
                g.p[i].config.target = "loss=0.001"; /* 1 / (1 + count) */
            } else {
                g.p[i].config.max_seconds = 0.05;
            }
        }
        run_all(g.p, 3);
        for (uint32_t i = 0; i < 3; i++) {
            ended_with(&g.p[i], ASGD_OK);
            assert_int_equal(g.p[i].result.end, target ? ASGD_END_TARGET : ASGD_END_SECONDS);
            assert_int_equal(g.p[i].result.evaluated, target && i == 0);
            assert_int_equal(g.p[i].saved, i == 0);
        }
        if (target) { /* the parameters are those that met it */
            asgd_metrics m;
            ok(asgd_eval(g.p[0].model, g.p[0].source, 1, &m));
            assert_true(m.loss <= 0.001 && m.loss == g.p[0].result.valid.loss);
            assert_true(g.p[0].result.target_seconds > 0);
        }
        crowd_free(&g);
    }
}

typedef struct failing_model {
    count_model count;
    bool        fails;
} failing_model;

static void failing_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                         void *scratch, uint64_t random, asgd_stats *st)
{
    count_step(self, b, w, g, scratch, random, st);
    if (((const failing_model *)self)->fails) st->loss = NAN;
}

static void one_that_diverges_ends_all(void **state)
{
    (void)state;
    for (int guard = 0; guard < 2; guard++) {
        asgd_model_ops ops = count_ops;
        ops.self_bytes     = sizeof(failing_model);
        ops.step           = failing_step;
        crowd       g;
        asgd_config c = config(1, ASGD_SHARE_REPLICA, 1);
        c.epochs      = 1e5;
        c.guard       = guard ? ASGD_GUARD_ON
                              : ASGD_GUARD_OFF; /* which the speaker is told of, when all is in vain */
        crowd_init(&g, 3, &c, 7);
        for (uint32_t i = 0; i < 3; i++) {
            const failing_model self = {.fails = i == 2};
            asgd_model_free(g.p[i].data.model);
            ok(asgd_model_new(&g.p[i].data.model, &ops, &self, asgd_source_schema(g.p[i].source)));
            g.p[i].model = g.p[i].data.model;
        }
        run_all(g.p, 3);
        for (uint32_t i = 0; i < 3; i++) {
            ended_with(&g.p[i], ASGD_EDIVERGED);
            const uint32_t who   = guard ? 0 : 2;
            const char    *ended = guard ? "process 0 ended" : "process 2 ended";
            assert_non_null(strstr(g.p[i].message, i == who ? "training diverged" : ended));
        }
        crowd_free(&g);
    }
}

/* ---- a standstill ---- */

static void note_stall(const char *text, void *user)
{
    process   *p      = user;
    const bool stands = strncmp(text, "nothing has moved for ", 22) == 0;
    MUST(stands || strncmp(text, "it moves again, after ", 22) == 0);
    p->knew |= strstr(text, "(this one): training") &&
               strstr(text, p->self ? "process 0: training" : "process 1: training");
    atomic_fetch_add(stands ? &p->stalls : &p->moves, 1);
    atomic_store(&p->standing, stands);
}

/* The second process is cut off as soon as the run moves, and until both have said that nothing does. */
static int cut_until_told(const asgd_point *point, void *user)
{
    process *p = user;
    if (point->examples < 20)
        return 0; /* more than it may do before the other answers: both train */
    if (!p->was_cut) {
        p->was_cut = true;
        local_cut(p->net, 1);
    } else if (atomic_load(&p[0].standing) && atomic_load(&p[1].standing)) {
        local_heal(p->net, 1);
    }
    return 0;
}

static void a_standstill_is_told_and_its_end(void **state)
{
    (void)state;
    crowd       g;
    asgd_config c = config(1, ASGD_SHARE_REPLICA, 1);
    c.epochs      = 1;
    c.local_steps = 2; /* workers wait soon where nothing is answered */
    c.dead_after  = 60;
    c.stall_after = 0.2;
    c.notice      = note_stall;
    c.observe     = cut_until_told;
    crowd_init(&g, 2, &c, 7);
    run_all(g.p, 2);
    for (uint32_t i = 0; i < 2; i++) {
        process *p = &g.p[i];
        ok(p->status);
        assert_int_equal(p->result.exchange.lost, 0);
        assert_int_equal(p->result.examples, EXAMPLES);
        assert_true(p->stalls > 0 && p->moves == p->stalls);
        assert_true(p->knew);
    }
    crowd_free(&g);
}

/* ---- how far ahead ---- */

enum { LOCAL_STEPS = 50 };

typedef struct counted_model {
    count_model  count;
    atomic_uint *steps; /* of all processes */
} counted_model;

static void counted_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                         void *scratch, uint64_t random, asgd_stats *st)
{
    atomic_fetch_add(((const counted_model *)self)->steps, 1);
    count_step(self, b, w, g, scratch, random, st);
}

/* As of a net: tables that are no features'.  Each process owns one: it can end no round without the other. */
static asgd_status hidden_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                asgd_task *task, uint32_t *outputs)
{
    const asgd_status s = count_shape(self, d, tables, n, task, outputs);
    tables[0].flags     = 0;
    tables[1]           = tables[0];
    snprintf(tables[1].name, sizeof tables[1].name, "untouched");
    *n = 2;
    return s;
}

typedef struct ahead {
    double      from; /* epochs */
    atomic_uint steps;
    unsigned    at_cut, later;
    double      cut_at;
} ahead;

static ahead far;

/* From there on nobody hears of the others for a while: how many steps are made then? */
static int cut_there(const asgd_point *point, void *user)
{
    process *p = user;
    if (point->epochs < far.from || far.later) return 0;
    if (!p->was_cut) {
        p->was_cut = true;
        local_cut(p->net, 1);
        far.at_cut = atomic_load(&far.steps);
        far.cut_at = point->seconds;
    } else if (point->seconds > far.cut_at + 0.5) {
        far.later = atomic_load(&far.steps);
        local_heal(p->net, 1);
    }
    return 0;
}

/* most: steps of a process. */
static void goes_no_further(asgd_config c, double part, unsigned most)
{
    asgd_model_ops ops = count_ops;
    ops.self_bytes     = sizeof(counted_model);
    ops.step           = counted_step;
    ops.shape          = hidden_shape;
    crowd g;
    far          = (ahead){.from = part * EPOCHS};
    c.dead_after = 60;
    c.observe    = cut_there;
    crowd_init(&g, 2, &c, 7);
    for (uint32_t i = 0; i < 2; i++) {
        const counted_model self = {{.step_seconds = 1e-4}, &far.steps};
        asgd_model_free(g.p[i].data.model);
        ok(asgd_model_new(&g.p[i].data.model, &ops, &self, asgd_source_schema(g.p[i].source)));
        g.p[i].model = g.p[i].data.model;
    }
    run_all(g.p, 2);
    for (uint32_t i = 0; i < 2; i++) ended_with(&g.p[i], ASGD_OK);
    assert_true(far.later > 0);
    if (far.later - far.at_cut > 2 * most)
        fail_msg("2 processes made %u steps without each other, more than %u each",
                 far.later - far.at_cut, most);
    crowd_free(&g);
}

static void local_steps_hold_to_the_end(void **state)
{
    (void)state;
    asgd_config c = config(1, ASGD_SHARE_SHARED, 1);
    c.schedule    = ASGD_LINEAR;
    c.local_steps = LOCAL_STEPS;
    goes_no_further(c, 0.8, 2 * LOCAL_STEPS);
}

/* An eighth of 60, of the last tenth at a constant rate. */
static void nets_keep_closer_at_the_end(void **state)
{
    (void)state;
    goes_no_further(config(1, ASGD_SHARE_SHARED, 1), 0.95, 60 / 8);
}

/* ---- a process that is lost ---- */

typedef struct cutter {
    crowd   *g;
    uint32_t process;
} cutter;

static void *cut_later(void *user)
{
    const cutter *c = user;
    await_progress(c->g->p);
    local_cut(&c->g->net, c->process);
    return NULL;
}

static void others_make_up_for_a_lost_process(void **state)
{
    (void)state;
    for (uint32_t victim = 0; victim < 3; victim += 2)
        for (uint32_t workers = 1; workers <= 2; workers++) {
            crowd       g;
            asgd_config c   = config(workers, ASGD_SHARE_SHARED, 1);
            c.epochs        = 1;
            c.pace          = 1e-3;
            c.dead_after    = 2;
            c.min_processes = 2;
            crowd_init(&g, 3, &c, EXAMPLES);
            pthread_t thread;
            cutter    cut = {&g, victim};
            assert_int_equal(pthread_create(&thread, NULL, cut_later, &cut), 0);
            run_all(g.p, 3);
            pthread_join(thread, NULL);
            for (uint32_t i = 0; i < 3; i++) {
                const process *p     = &g.p[i];
                const uint32_t first = victim == 0 ? 1 : 0;
                if (i == victim) {
                    ended_with(p, ASGD_ELOST);
                    assert_non_null(strstr(p->message, "min_processes"));
                    continue;
                }
                ended_with(p, ASGD_OK);
                assert_int_equal(p->result.exchange.lost, 1);
                assert_int_equal(p->result.examples, EXAMPLES);
                assert_int_equal(p->result.exchange.missing, 0);
                assert_int_equal(p->spoke, i == first);
                assert_int_equal(p->saved, i == first);
                for (uint32_t f = 0; f < EXAMPLES; f++) {
                    const float got = asgd_model_row(p->model, 0, f)[0];
                    if (got != 1 && got != 2) /* twice: the lost one had done it too */
                        fail_msg("without process %u: row %u of process %u is %g", victim, f, i,
                                 (double)got);
                    assert_true(got == asgd_model_row(g.p[first].model, 0, f)[0]);
                }
            }
            crowd_free(&g);
        }
}

/* Cut in two, both sides go on, and both save the model where the other does: the larger one's stays, whoever is first. */
static void two_sides_leave_one_model(void **state)
{
    (void)state;
    static const char path[] = "test-group-sides.safetensors";
    crowd             g;
    asgd_config       c = config(1, ASGD_SHARE_SHARED, 1);
    c.epochs            = 1;
    c.pace              = 1e-3;
    c.dead_after        = 2;
    crowd_init(&g, 3, &c, EXAMPLES);
    pthread_t thread;
    cutter    cut = {&g, 0};
    assert_int_equal(pthread_create(&thread, NULL, cut_later, &cut), 0);
    run_all(g.p, 3);
    pthread_join(thread, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        ended_with(&g.p[i], ASGD_OK);
        assert_int_equal(g.p[i].result.exchange.lost, i ? 1 : 2);
        assert_int_equal(g.p[i].saved, i < 2);
    }
    (void)unlink(path);
    ok(asgd_save(g.p[1].model, path));
    fails(asgd_save(g.p[0].model, path), ASGD_ELOST, "2 processes of this run");
    assert_int_equal(unlink(path), 0);
    ok(asgd_save(g.p[0].model, path));
    ok(asgd_save(g.p[1].model, path));
    fails(asgd_save(g.p[0].model, path), ASGD_ELOST, "cut off from these 1");
    /* a run by itself writes what it likes */
    c.group   = NULL;
    c.observe = NULL;
    ok(asgd_train(g.p[0].model, g.p[0].source, &c, NULL));
    ok(asgd_save(g.p[0].model, path));
    assert_int_equal(unlink(path), 0);
    crowd_free(&g);
}

/* ---- learning ---- */

typedef struct learner {
    local_net   *net;
    uint32_t     self, features;
    asgd_config  config;
    const char  *model;
    problem      train;
    float       *weights[2]; /* after each of two runs of one group */
    size_t       n;
    asgd_metrics m;
} learner;

static void *learn(void *user)
{
    learner    *l = user;
    asgd_group *g;
    MUST(asgdi_group_over(&g, local_open(l->net, l->self)) == ASGD_OK);
    l->config.group = g;
    for (int run = 0; run < 2; run++) {
        asgd_model *m;
        MUST(asgd_model_named(&m, l->model, NULL, asgd_source_schema(l->train.source)) == ASGD_OK);
        const asgd_status s = asgd_train(m, l->train.source, &l->config, NULL);
        if (s) fprintf(stderr, "%s\n", asgd_errmsg());
        MUST(s == ASGD_OK);
        l->weights[run] = problem_weights(m, &l->n);
        MUST(asgd_eval(m, l->train.source, 1, &l->m) == ASGD_OK);
        asgd_model_free(m);
    }
    asgd_group_close(g, 0);
    return NULL;
}

static void every_rule_learns_the_same_everywhere(void **state)
{
    (void)state;
    enum { PROCESSES = 2 };
    for (asgd_rule_kind rule = ASGD_RULE_sgd; rule < ASGD_RULES; rule++)
        for (uint32_t workers = 1; workers <= 2; workers++)
            for (int mode = ASGD_ASYNC; mode <= ASGD_SYNC; mode++) {
                local_net net;
                learner   l[PROCESSES] = {{0}};
                pthread_t thread[PROCESSES];
                local_net_init(&net, PROCESSES);
                for (uint32_t i = 0; i < PROCESSES; i++) {
                    l[i] = (learner){.net    = &net,
                                     .self   = i,
                                     .model  = "softmax",
                                     .config = {.workers   = workers,
                                                .mode      = (asgd_mode)mode,
                                                .share     = mode || workers == 1 ? ASGD_SHARE_AUTO
                                                             : rule % 2 ? ASGD_SHARE_SHARED
                                                                        : ASGD_SHARE_REPLICA,
                                                .rule      = {.kind = rule},
                                                .heartbeat = 0.05,
                                                .epochs    = 4}};
                    problem_make(&l[i].train, 3000, 8, 3, 1);
                }
                for (uint32_t i = 0; i < PROCESSES; i++)
                    assert_int_equal(pthread_create(&thread[i], NULL, learn, &l[i]), 0);
                for (uint32_t i = 0; i < PROCESSES; i++) pthread_join(thread[i], NULL);
                for (int run = 0; run < 2; run++)
                    assert_memory_equal(l[0].weights[run], l[1].weights[run],
                                        l[0].n * sizeof(float));
                if (!(l[0].m.accuracy > 0.85))
                    fail_msg("rule %s, %u workers, mode %s: accuracy %g", asgd_rule_name(rule),
                             workers, asgd_mode_name((asgd_mode)mode), l[0].m.accuracy);
                for (uint32_t i = 0; i < PROCESSES; i++) {
                    free(l[i].weights[0]);
                    free(l[i].weights[1]);
                    problem_free(&l[i].train);
                }
                local_net_free(&net);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_process_stops_all),
        cmocka_unit_test(time_and_targets_end_all),
        cmocka_unit_test(one_that_diverges_ends_all),
        cmocka_unit_test(a_standstill_is_told_and_its_end),
        cmocka_unit_test(local_steps_hold_to_the_end),
        cmocka_unit_test(nets_keep_closer_at_the_end),
        cmocka_unit_test(others_make_up_for_a_lost_process),
        cmocka_unit_test(two_sides_leave_one_model),
        cmocka_unit_test(every_rule_learns_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
