/* group_of_threads.h -- groups of processes that are threads of one program, over a link in memory, with the
 * real exchange. */
#ifndef TESTS_GROUP_OF_THREADS_H
#define TESTS_GROUP_OF_THREADS_H

#include "engine/count_model.h"

#include <signal.h>
#include <stdatomic.h>
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
    asgd_status  status;
    char         message[512];
    asgd_result  result;
    count_data   data;
    asgd_source *source;
    asgd_model  *model;
    bool         spoke, saved;
    atomic_int   points;
    atomic_int   standing, stalls, moves; /* standstills: now, told of, ended */
    bool         was_cut, knew; /* knew: it said where both were, while the other was cut off */
    asgd_group  *group;
} process;

static inline int count_points(const asgd_point *p, void *user)
{
    (void)p;
    ((process *)user)->points++;
    return 0;
}

static inline void *process_main(void *user)
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

static inline void set_up(process *p, local_net *net, uint32_t self, const asgd_config *c)
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

static inline void tear_down(process *p)
{
    asgd_result_free(&p->result);
    if (!p->path) {
        count_free(&p->data);
        return;
    }
    asgd_model_free(p->model);
    asgd_source_close(p->source);
}

static inline void ended_with(const process *p, asgd_status status)
{
    if (p->status != status)
        fail_msg("process %u: %s instead of %s: %s", p->self, asgd_strerror(p->status),
                 asgd_strerror(status), p->message);
}

static volatile int interrupted; /* of one process: its thread sets and reads it */

static inline void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Until the run has begun in all: the first process tells of it. */
static inline void await_progress(process *first)
{
    while (atomic_load(&first->points) == 0) test_sleep(1e-3);
    test_sleep(0.02);
}

/* interrupt: this process gets a signal after a while; n: none. */
static inline void run_all_and(process *p, uint32_t n, uint32_t interrupt)
{
    pthread_t thread[LOCAL_MOST];
    interrupted = 0;
    signal(SIGUSR1, on_signal);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, process_main, &p[i]), 0);
    if (interrupt < n) {
        await_progress(p);
        pthread_kill(thread[interrupt], SIGUSR1);
    }
    for (uint32_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

static inline void run_all(process *p, uint32_t n)
{
    run_all_and(p, n, n);
}

static inline asgd_config config(uint32_t workers, asgd_share share, uint32_t batch)
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

typedef struct crowd {
    local_net net;
    process   p[LOCAL_MOST];
    uint32_t  n;
} crowd;

static inline void crowd_init(crowd *c, uint32_t n, const asgd_config *config, uint32_t features)
{
    *c = (crowd){.n = n};
    local_net_init(&c->net, n);
    for (uint32_t i = 0; i < n; i++) {
        c->p[i].features = features;
        set_up(&c->p[i], &c->net, i, config);
    }
}

static inline void crowd_free(crowd *c)
{
    for (uint32_t i = 0; i < c->n; i++) tear_down(&c->p[i]);
    local_net_free(&c->net);
}

#endif
