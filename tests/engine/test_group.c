/* Groups of processes, here threads of one program over a link in memory, with the real exchange: no progress
 * is lost between the workers of a process, its copy, and the masters. */
#include "engine/count_model.h"

#include <unistd.h>

#include "engine/group.h"
#include "exchange/link_local.h"

enum { EXAMPLES = 1777, EPOCHS = 3 };

typedef struct process {
    local_net   *net;
    uint32_t     self;
    asgd_config  config;
    const char  *path;     /* ranked data; NULL: arrays */
    uint32_t     features; /* arrays: example i has feature i % features */
    uint64_t     seed_of_its_own;
    int          close_code;
    bool         cut_off;
    asgd_status  status;
    char         message[512];
    asgd_result  result;
    count_data   data;
    asgd_source *source;
    asgd_model  *model;
    bool         spoke, saved;
    int          points;
    asgd_group  *group;
} process;

static int count_points(const asgd_point *p, void *user)
{
    (void)p;
    ((process *)user)->points++;
    return 0;
}

static void *process_main(void *user)
{
    process *p = user;
    MUST(asgdi_group_over(&p->group, local_open(p->net, p->self)) == ASGD_OK);
    MUST(asgd_group_process(p->group) == p->self);
    MUST(asgd_group_size(p->group) == p->net->size);
    p->config.group = p->group;
    p->config.user  = p;
    p->status       = asgd_train(p->model, p->source, &p->config, &p->result);
    snprintf(p->message, sizeof p->message, "%s", asgd_errmsg());
    p->spoke = asgd_group_speaks(p->group);
    if (p->status == ASGD_OK && asgd_group_await_turn(p->group)) {
        p->saved = true;
        asgd_group_saved(p->group);
    }
    asgd_group_close(p->group, p->status ? 1 : 0);
    return NULL;
}

static void set_up(process *p, local_net *net, uint32_t self, const asgd_config *c)
{
    p->net    = net;
    p->self   = self;
    p->config = *c;
    if (!p->path) {
        count_setup(&p->data, EXAMPLES, p->features, 0);
        p->source = p->data.source;
        p->model  = p->data.model;
        return;
    }
    asgd_source_options o          = {.rank_features = true, .cache = "none"};
    count_model         self_model = {0};
    ok(asgd_source_open(&p->source, p->path, &o));
    ok(asgd_model_new(&p->model, &count_ops, &self_model, asgd_source_schema(p->source)));
}

static void tear_down(process *p)
{
    asgd_result_free(&p->result);
    if (!p->path) {
        count_free(&p->data);
        return;
    }
    asgd_model_free(p->model);
    asgd_source_close(p->source);
}

static void run_all(process *p, uint32_t n)
{
    pthread_t thread[LOCAL_MOST];
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, process_main, &p[i]), 0);
    for (uint32_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

static asgd_config config(uint32_t workers, asgd_share share, uint32_t batch)
{
    return (asgd_config){.workers      = workers,
                         .share        = share,
                         .batch        = batch,
                         .epochs       = EPOCHS,
                         .lr           = 1,
                         .hot          = 128,
                         .rule         = {.kind = ASGD_RULE_sgd},
                         .schedule_set = true,
                         .damp         = -1, /* all progress counts, however stale */
                         .heartbeat    = 0.05,
                         .observe      = count_points,
                         .report_every = 1e-3};
}

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
        {{.merging = (asgd_merging)77}, "merging"},
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
        cmocka_unit_test(any_number_goes_on_from_a_checkpoint),
        cmocka_unit_test(processes_must_agree),
        cmocka_unit_test(what_a_group_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
