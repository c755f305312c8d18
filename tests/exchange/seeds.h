/* seeds.h -- runs of scenarios, many or one. */
#ifndef SEEDS_H
#define SEEDS_H

#include "exchange/wire.h"
#include "scenario.h"
#include "test.h"

static inline void trace_frame(void *user, asgdi_simfate fate, uint32_t from, uint32_t to,
                               double in_seconds, const asgdi_frame *f)
{
    static const char *const type[ASGDI_FRAME_TYPES] = {
        "?",     "hello", "beat",  "view",  "delta",     "reply", "ask", "hold",
        "fetch", "data",  "lease", "grant", "queue-ask", "queue", "here"};
    const cluster *c = user;
    asgdi_reader   r = {f->data, f->bytes, false};
    asgdi_head     h;
    asgdi_get(&r, &h, sizeof h);
    fprintf(stderr, "%.6f %s %u -> %u %s view %llx", cluster_now(c), asgdi_simfate_name(fate), from,
            to, h.type < ASGDI_FRAME_TYPES ? type[h.type] : "?", (unsigned long long)h.view);
    if (h.type == ASGDI_DELTA || h.type == ASGDI_REPLY) {
        uint32_t block = asgdi_get_u32(&r);
        fprintf(stderr, " block %u seq %llu", block, (unsigned long long)asgdi_get_u64(&r));
        if (h.type == ASGDI_REPLY) {
            uint64_t term = asgdi_get_u64(&r);
            fprintf(stderr, " version %llx.%llu", (unsigned long long)term,
                    (unsigned long long)asgdi_get_u64(&r));
        }
    }
    if (h.type == ASGDI_GRANT) {
        fprintf(stderr, " %llu:", (unsigned long long)asgdi_get_u64(&r));
        uint64_t lo = asgdi_get_u64(&r);
        fprintf(stderr, " %llu..%llu", (unsigned long long)lo,
                (unsigned long long)asgdi_get_u64(&r));
    }
    if (h.type == ASGDI_LEASE) fprintf(stderr, " %llu", (unsigned long long)asgdi_get_u64(&r));
    fprintf(stderr, ", %u bytes", f->bytes);
    if (fate == ASGDI_SIM_SENT) fprintf(stderr, ", arrives in %.6f", in_seconds);
    fprintf(stderr, "\n");
}

static inline void tell_scenario(const cluster_config *c, FILE *to)
{
    static const char *const clock[] = {"async", "lag", "sync"}, *const merging[] = {
                                                                     "delta", "mean", "elastic"};
    static const char *const     fate[] = {"cut", "split", "pause", "kill", "storm", "stop"};
    const asgdi_exchange_config *x      = &c->exchange;
    fprintf(to,
            "seed %llu (%s): %u processes, %u workers, %llu examples, batch %u, %s (lag %llu, "
            "steps %u, backup %u), "
            "%s%s, %s, loss %.3f, dead after %.3f s\n",
            (unsigned long long)c->seed, kind_name[c->seed % KINDS], c->size, c->workers,
            (unsigned long long)x->total, x->batch, clock[x->clock], (unsigned long long)x->max_lag,
            x->local_steps, x->backup, merging[x->merging[1]],
            x->merging[0] == x->merging[1] ? "" : " of one table", asgdi_coding_name(x->coding),
            c->net.loss, x->dead_after);
    for (uint32_t i = 0; i < c->n_faults; i++) {
        const fault *f = &c->fault[i];
        fprintf(to, "  %s, %.4f s after stage %d, for %.3f s:", fate[f->kind], f->after, f->stage,
                f->lasts);
        for (uint32_t q = 0; q < c->size; q++)
            if (f->who[q]) fprintf(to, " %u", q);
        fprintf(to, "\n");
    }
}

/* What there was of everything, over many seeds: a test of faults that never happened is none. */
typedef struct totals {
    uint64_t seeds, wrong, frames, lost, views, out, worlds, killed, repeated, forgotten, snapshots;
    double   slowest, seconds;
} totals;

static inline bool run_scenario(const cluster_config *of, bool trace, totals *sum)
{
    static cluster       c;
    const cluster_config config = *of;
    const uint64_t       seed   = config.seed;
    if (trace) tell_scenario(&config, stderr);
    if (cluster_new(&c, &config)) {
        c.trace = trace;
        if (trace) asgdi_simnet_watch(c.net, trace_frame, &c);
        cluster_run(&c);
        cluster_check(&c);
    }
    const bool right = !c.wrong[0];
    if (!right) {
        tell_scenario(&config, stderr);
        fprintf(stderr, "  %s\n  ASGD_SIM_SEED=%llu shows it again\n", c.wrong,
                (unsigned long long)seed);
    }
    sum->seeds++;
    sum->wrong += !right;
    if (c.net) {
        sum->frames += asgdi_simnet_count(c.net).sent;
        sum->lost += asgdi_simnet_count(c.net).lost;
        sum->seconds += cluster_now(&c);
    }
    sum->repeated += c.repeated;
    sum->forgotten += c.forgotten;
    sum->snapshots += c.snapshots;
    sum->slowest = fmax(sum->slowest, c.ended - c.last_fault);
    for (uint32_t q = 0; q < config.size && c.net; q++) {
        asgdi_exchange_counts n = {0};
        if (c.member[q].x) asgdi_exchange_count(c.member[q].x, &n);
        sum->views += n.views;
        sum->out += c.member[q].stage == ASGDI_OUT;
        sum->killed += asgdi_simnet_killed(c.net, q);
        for (uint32_t p = 0; p < q; p++)
            sum->worlds +=
                finished(&c, p) && finished(&c, q) && !(counts_on(&c, p, q) && counts_on(&c, q, p));
    }
    cluster_free(&c);
    return right;
}

/* How many of each kind: fewer where everything is slower. */
static inline uint64_t seeds_of_a_kind(uint64_t n)
{
    const char *asked = getenv("ASGD_SIM_SEEDS");
    if (asked) return strtoull(asked, NULL, 10);
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return n / 8 + 1;
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return n / 8 + 1;
#endif
#endif
    return n;
}

static inline bool run_seed(uint64_t seed, bool trace, totals *sum)
{
    cluster_config config;
    scenario(seed, &config);
    return run_scenario(&config, trace, sum);
}

static inline void run_seeds(seed_kind k, uint64_t n)
{
    enum { MOST_SHOWN = 5 };
    const char *first = getenv("ASGD_SIM_FIRST");
    uint64_t    from  = first ? strtoull(first, NULL, 10) : 0;
    totals      t     = {0};
    for (uint64_t i = from; i < from + n && t.wrong < MOST_SHOWN; i++)
        run_seed(i * KINDS + k, false, &t);
    print_message(
        "%s: %llu seeds, %.0f s, %llu frames, %llu lost, %llu killed, %llu views, %llu "
        "out, %llu pairs of "
        "worlds, %llu positions repeated, %llu forgotten, %llu snapshots, slowest end %.2f s\n",
        kind_name[k], (unsigned long long)t.seeds, t.seconds, (unsigned long long)t.frames,
        (unsigned long long)t.lost, (unsigned long long)t.killed, (unsigned long long)t.views,
        (unsigned long long)t.out, (unsigned long long)t.worlds, (unsigned long long)t.repeated,
        (unsigned long long)t.forgotten, (unsigned long long)t.snapshots, t.slowest);
    if (t.wrong)
        fail_msg("%llu of %llu seeds went wrong", (unsigned long long)t.wrong,
                 (unsigned long long)t.seeds);
}

/* A test for each kind of faults; or one seed. */
static inline int run_kinds(const char *name, CMUnitTestFunction test)
{
    static seed_kind         kinds[KINDS];
    static struct CMUnitTest tests[KINDS];
    const char              *seed = getenv("ASGD_SIM_SEED");
    if (seed) {
        totals t = {0};
        return !run_seed(strtoull(seed, NULL, 10), true, &t);
    }
    for (int k = 0; k < KINDS; k++) {
        kinds[k] = (seed_kind)k;
        tests[k] = (struct CMUnitTest){kind_name[k], test, NULL, NULL, &kinds[k]};
    }
    return _cmocka_run_group_tests(name, tests, KINDS, NULL, NULL);
}

#endif
