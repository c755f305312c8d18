/* Groups of processes, here threads of one program over a link in memory, with the real exchange: no progress
 * is lost between the workers of a process, its copy, and the masters. */
#include "engine/count_model.h"
#include "engine/problem.h"

#include <signal.h>
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

static volatile int interrupted; /* of one process: its thread sets and reads it */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* interrupt: this process gets a signal after a while; n: none. */
static void run_all_and(process *p, uint32_t n, uint32_t interrupt)
{
    pthread_t thread[LOCAL_MOST];
    interrupted = 0;
    signal(SIGUSR1, on_signal);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, process_main, &p[i]), 0);
    if (interrupt < n) {
        test_sleep(0.1);
        pthread_kill(thread[interrupt], SIGUSR1);
    }
    for (uint32_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

static void run_all(process *p, uint32_t n)
{
    run_all_and(p, n, n);
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

/* ---- what ends a run ends it in all processes ---- */

typedef struct crowd {
    local_net net;
    process   p[LOCAL_MOST];
    uint32_t  n;
} crowd;

static void crowd_init(crowd *c, uint32_t n, const asgd_config *config, uint32_t features)
{
    *c = (crowd){.n = n};
    local_net_init(&c->net, n);
    for (uint32_t i = 0; i < n; i++) {
        c->p[i].features = features;
        set_up(&c->p[i], &c->net, i, config);
    }
}

static void crowd_free(crowd *c)
{
    for (uint32_t i = 0; i < c->n; i++) tear_down(&c->p[i]);
    local_net_free(&c->net);
}

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
        assert_int_equal(g.p[i].result.end, ASGD_END_STOPPED);
        assert_int_equal(g.p[i].status, ASGD_ESTOPPED);
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
            ok(g.p[i].status);
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
    asgd_model_ops ops = count_ops;
    ops.self_bytes     = sizeof(failing_model);
    ops.step           = failing_step;
    crowd       g;
    asgd_config c = config(1, ASGD_SHARE_REPLICA, 1);
    c.epochs      = 1e6;
    crowd_init(&g, 3, &c, 7);
    for (uint32_t i = 0; i < 3; i++) {
        const failing_model self = {.fails = i == 2};
        asgd_model_free(g.p[i].data.model);
        ok(asgd_model_new(&g.p[i].data.model, &ops, &self, asgd_source_schema(g.p[i].source)));
        g.p[i].model = g.p[i].data.model;
    }
    run_all(g.p, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(g.p[i].status, ASGD_EDIVERGED);
        assert_non_null(strstr(g.p[i].message, i == 2 ? "training diverged" : "process 2 ended"));
    }
    crowd_free(&g);
}

/* ---- a process that is lost ---- */

typedef struct cutter {
    local_net *net;
    uint32_t   process;
} cutter;

static void *cut_later(void *user)
{
    const cutter *c = user;
    test_sleep(0.1);
    local_cut(c->net, c->process);
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
            c.dead_after    = 0.5;
            c.min_processes = 2;
            crowd_init(&g, 3, &c, EXAMPLES);
            pthread_t thread;
            cutter    cut = {&g.net, victim};
            assert_int_equal(pthread_create(&thread, NULL, cut_later, &cut), 0);
            run_all(g.p, 3);
            pthread_join(thread, NULL);
            for (uint32_t i = 0; i < 3; i++) {
                const process *p     = &g.p[i];
                const uint32_t first = victim == 0 ? 1 : 0;
                if (i == victim) {
                    assert_int_equal(p->status, ASGD_ELOST);
                    assert_non_null(strstr(p->message, "min_processes"));
                    continue;
                }
                ok(p->status);
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
        cmocka_unit_test(no_correction_comes_inside_a_step),
        cmocka_unit_test(any_number_goes_on_from_a_checkpoint),
        cmocka_unit_test(processes_must_agree),
        cmocka_unit_test(a_stopped_process_stops_all),
        cmocka_unit_test(time_and_targets_end_all),
        cmocka_unit_test(one_that_diverges_ends_all),
        cmocka_unit_test(others_make_up_for_a_lost_process),
        cmocka_unit_test(every_rule_learns_the_same_everywhere),
        cmocka_unit_test(what_a_group_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
