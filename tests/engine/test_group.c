/* Groups of processes: no progress is lost between the workers of a process, its copy, and the masters. */
#include "engine/group_of_threads.h"

/* Runs a group and checks that all ended well with the same, exact, counts. */
static void exact(uint32_t processes, const asgd_config *c, uint32_t features, const char *path)
{
    local_net net;
    process   p[LOCAL_MOST] = {{0}};
    local_net_init(&net, processes);
    for (uint32_t i = 0; i < processes; i++) {
        p[i].features = features;
        p[i].path     = path;
        set_up(&p[i], &net, i, c);
    }
    run_all(p, processes);
    for (uint32_t i = 0; i < processes; i++) {
        if (p[i].status) fail_msg("process %u: %s", i, p[i].message);
        assert_int_equal(p[i].result.end, ASGD_END_EPOCHS);
        assert_int_equal(p[i].result.examples, (uint64_t)c->epochs * EXAMPLES);
        assert_int_equal(p[i].result.exchange.processes, processes);
        assert_int_equal(p[i].result.exchange.lost, 0);
        assert_int_equal(p[i].spoke, i == 0);
        assert_int_equal(p[i].saved, i == 0);
        assert_true(i == 0 || p[i].points == 0);
        for (uint32_t f = 0; f < features; f++) {
            const double want =
                c->epochs * (double)(EXAMPLES / features + (f < EXAMPLES % features));
            const double got = (double)asgd_model_row(p[i].model, 0, f)[0];
            if (got != want)
                fail_msg("%u processes, %u workers, mode %s, share %s, batch %u, process %u: row "
                         "%u is %g, not %g",
                         processes, c->workers, asgd_mode_name(c->mode), p[i].result.share,
                         c->batch, i, f, got, want);
        }
    }
    assert_true(p[0].points > 0);
    for (uint32_t i = 0; i < processes; i++) tear_down(&p[i]);
    local_net_free(&net);
}

/* Each example has a feature of its own, and comes once: workers that write in place do not meet. */
static void every_example_is_learnt_once(void **state)
{
    (void)state;
    for (uint32_t processes = 1; processes <= 4; processes++)
        for (uint32_t workers = 1; workers <= 3; workers++)
            for (uint32_t batch = 1; batch <= 8; batch += 7) {
                asgd_config c = config(workers, ASGD_SHARE_SHARED, batch);
                c.epochs      = 1;
                exact(processes, &c, EXAMPLES, NULL);
                c.share  = ASGD_SHARE_REPLICA;
                c.epochs = EPOCHS;
                exact(processes, &c, EXAMPLES, NULL);
            }
}

static void hot_rows_too(void **state)
{
    (void)state;
    char  path[] = "own-rows-XXXXXX";
    int   fd     = mkstemp(path);
    FILE *f      = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(f);
    for (int i = 0; i < EXAMPLES; i++) fprintf(f, "1 %d:1\n", i + 1);
    assert_int_equal(fclose(f), 0);
    for (uint32_t processes = 1; processes <= 3; processes++)
        for (uint32_t workers = 2; workers <= 3; workers++) {
            asgd_config c = config(workers, ASGD_SHARE_HOT, 1);
            c.epochs      = 1;
            exact(processes, &c, EXAMPLES, path);
        }
    unlink(path);
}

/* All examples change the same few rows: each process's only worker, or private rows. */
static void contended_rows_are_exact(void **state)
{
    (void)state;
    for (uint32_t processes = 2; processes <= 4; processes += 2)
        for (uint32_t workers = 1; workers <= 2; workers++) {
            const asgd_config c = config(workers, ASGD_SHARE_REPLICA, 4);
            exact(processes, &c, 7, NULL);
        }
}

static void clocks_hold_and_lose_nothing(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        asgd_config c = config(workers, ASGD_SHARE_REPLICA, 4);
        c.max_lag     = 20;
        exact(3, &c, 7, NULL);
        c.max_lag     = 0;
        c.local_steps = 16;
        exact(3, &c, 7, NULL);
        c      = config(workers, ASGD_SHARE_AUTO, 16);
        c.mode = ASGD_SYNC;
        exact(3, &c, 7, NULL);
        c.local_steps = 5;
        c.merging     = ASGD_MERGING_DELTA;
        exact(2, &c, EXAMPLES, NULL);
        c.local_steps = ASGD_STEPS_AUTO;
        c.merging     = ASGD_MERGING_AUTO;
        exact(3, &c, EXAMPLES, NULL);
        c.mode = ASGD_ASYNC;
        exact(3, &c, EXAMPLES, NULL);
        c.merging       = ASGD_MERGING_MEAN; /* of all tables but those of the model */
        c.table_merging = "count=delta";
        exact(2, &c, EXAMPLES, NULL);
    }
}

/* A group goes on from what another group, of another size, has saved; and so does a process alone. */
static void any_number_goes_on_from_a_checkpoint(void **state)
{
    (void)state;
    char folder[] = "group-checkpoint-XXXXXX", command[64];
    assert_non_null(mkdtemp(folder));
    asgd_config c      = config(2, ASGD_SHARE_REPLICA, 4);
    c.checkpoint       = folder;
    c.checkpoint_every = 1e-3;
    c.epochs           = 1;
    exact(2, &c, 7, NULL);
    c.resume = true;
    c.epochs = 3;
    exact(3, &c, 7, NULL);
    c.epochs = 4;
    count_data d;
    count_setup(&d, EXAMPLES, 7, 0);
    ok(asgd_train(d.model, d.source,
                  &(asgd_config){.workers      = 1,
                                 .batch        = 4,
                                 .epochs       = 4,
                                 .lr           = 1,
                                 .rule         = {.kind = ASGD_RULE_sgd},
                                 .schedule_set = true,
                                 .checkpoint   = folder,
                                 .resume       = true},
                  NULL));
    assert_true(count_sum(&d, 7) == 4.0 * EXAMPLES);
    count_free(&d);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void processes_must_agree(void **state)
{
    (void)state;
    local_net         net;
    process           p[2] = {{0}};
    const asgd_config c    = config(1, ASGD_SHARE_AUTO, 1);
    local_net_init(&net, 2);
    for (uint32_t i = 0; i < 2; i++) {
        p[i].features = 7;
        set_up(&p[i], &net, i, &c);
        p[i].config.seed = i;
    }
    run_all(p, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(p[i].status, ASGD_EMISMATCH);
        assert_non_null(strstr(p[i].message, "seed 1"));
        tear_down(&p[i]);
    }
    local_net_free(&net);
}

/* ---- pauses ---- */

/* Row p is changed by the workers of process p, in all the others by corrections alone. */
typedef struct marking_model {
    uint32_t process, processes;
} marking_model;

static asgdi_u32 changed_inside; /* a step */
static asgdi_u64 changed_between;

static asgd_status marking_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                 asgd_task *task, uint32_t *outputs)
{
    (void)d;
    tables[0] =
        (asgd_table){.name = "mark", .rows = ((const marking_model *)self)->processes, .dim = 1};
    *n       = 1;
    *task    = ASGD_TASK_REGRESSION;
    *outputs = 1;
    return ASGD_OK;
}

static void marking_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                         void *scratch, uint64_t random, asgd_stats *st)
{
    const marking_model *m     = self;
    const uint32_t       other = (m->process + 1) % m->processes;
    const float          at    = asgd_row(w, other)[0];
    float               *last  = scratch; /* as it was after this worker's last step */
    (void)random;
    test_sleep(2e-5);
    asgd_emit_scattered(g, 0, 1, &m->process, NULL, -1, NULL);
    if (asgd_row(w, other)[0] != at) asgdi_add_relaxed(&changed_inside, 1);
    if (*last != at) asgdi_add_relaxed(&changed_between, 1);
    *last = at;
    st->loss += b->n;
    st->weight += b->n;
}

static size_t marking_scratch(const void *self, uint32_t n)
{
    (void)self;
    (void)n;
    return sizeof(float);
}

static void no_correction_comes_inside_a_step(void **state)
{
    (void)state;
    enum { PROCESSES = 2 };
    asgd_model_ops ops = count_ops;
    ops.self_bytes     = sizeof(marking_model);
    ops.shape          = marking_shape;
    ops.step           = marking_step;
    ops.scratch        = marking_scratch;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        local_net   net;
        process     p[PROCESSES] = {{0}};
        asgd_config c = config(workers, workers > 1 ? ASGD_SHARE_SHARED : ASGD_SHARE_AUTO, 1);
        local_net_init(&net, PROCESSES);
        asgdi_store_relaxed(&changed_inside, 0);
        asgdi_store_relaxed(&changed_between, 0);
        for (uint32_t i = 0; i < PROCESSES; i++) {
            const marking_model self = {i, PROCESSES};
            p[i].features            = 7;
            set_up(&p[i], &net, i, &c);
            asgd_model_free(p[i].data.model);
            ok(asgd_model_new(&p[i].data.model, &ops, &self, asgd_source_schema(p[i].source)));
            p[i].model = p[i].data.model;
        }
        run_all(p, PROCESSES);
        for (uint32_t i = 0; i < PROCESSES; i++) ok(p[i].status);
        assert_int_equal(asgdi_load_relaxed(&changed_inside), 0);
        assert_true(asgdi_load_relaxed(&changed_between) > 0);
        for (uint32_t i = 0; i < PROCESSES; i++) {
            assert_true(workers == 1 || p[i].result.exchange.stall_seconds > 0);
            tear_down(&p[i]);
        }
        local_net_free(&net);
    }
}

static void what_a_group_cannot_do_is_refused(void **state)
{
    (void)state;
    static const struct {
        asgd_config c;
        const char *says;
    } cases[] = {
        {{.mode = ASGD_LOCKED, .workers = 2}, "mode locked"},
        {{.mode = ASGD_SEQUENTIAL}, "mode sequential"},
        {{.progressive = true}, "progressive"},
        {{.mode = ASGD_SYNC, .max_lag = 3}, "max_lag"},
        {{.mode = ASGD_SYNC, .backup = 1}, "backup"},
        {{.heartbeat = -1}, "heartbeat"},
        {{.heartbeat = 1, .dead_after = 1}, "dead_after 1 s"},
        {{.dead_after = 0.3}, "dead_after 0.3 s"},
        {{.stall_after = -1}, "stall_after"},
        {{.merging = (asgd_merging)77}, "merging"},
        {{.table_merging = "weight"}, "merging 'weight'"},
        {{.table_merging = "weight=sum"}, "merging 'weight=sum'"},
        {{.table_merging = "other=mean"}, "tables are count"},
        {{.table_merging = "count=mean,=mean"}, "merging '=mean'"},
        {{.outer_momentum = 0.9, .table_merging = "count=elastic"}, "mean, not elastic"},
        {{.drop = 0.5}, "drop 0.5"},
        {{.drop = NAN}, "drop"},
        {{.clip_deltas = -1}, "clip_deltas -1"},
        {{.mode = ASGD_SYNC, .drop = 4}, "mode sync"},
        {{.outer_momentum = 1}, "outer_momentum 1"},
        {{.outer_momentum = 0.9, .merging = ASGD_MERGING_DELTA}, "needs merging mean, not delta"},
        {{.outer_momentum = 0.9, .rule = {.kind = ASGD_RULE_ftrl}}, "ftrl"},
        {{.guard = (asgd_guard)7}, "guard"},
        {{.mode = ASGD_SYNC, .guard = ASGD_GUARD_ON}, "guard"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        local_net   net;
        count_data  d;
        asgd_group *g;
        local_net_init(&net, 1);
        count_setup(&d, 100, 7, 0);
        ok(asgdi_group_over(&g, local_open(&net, 0)));
        asgd_config c = cases[i].c;
        c.group       = g;
        fails(asgd_train(d.model, d.source, &c, NULL), ASGD_EINVAL, cases[i].says);
        asgd_group_close(g, 0);
        count_free(&d);
        local_net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_learnt_once),
        cmocka_unit_test(hot_rows_too),
        cmocka_unit_test(contended_rows_are_exact),
        cmocka_unit_test(clocks_hold_and_lose_nothing),
        cmocka_unit_test(no_correction_comes_inside_a_step),
        cmocka_unit_test(any_number_goes_on_from_a_checkpoint),
        cmocka_unit_test(processes_must_agree),
        cmocka_unit_test(what_a_group_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
