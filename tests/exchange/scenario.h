/* scenario.h -- a cluster and what happens to it, all decided by one seed; seed % KINDS is the kind of faults. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "cluster.h"

typedef enum seed_kind {
    KIND_NONE,
    KIND_DELAY,
    KIND_LOSS, /* with repetition and reordering */
    KIND_SHORT_CUT,
    KIND_LONG_CUT,
    KIND_SHORT_PAUSE,
    KIND_LONG_PAUSE,
    KIND_KILL,
    KIND_KILL_LOSS,
    KIND_STOP,
    KIND_MIXED,
    KINDS
} seed_kind;

static const char *const kind_name[KINDS] = {
    "none",       "delay", "loss",           "short cut", "long cut", "short pause",
    "long pause", "kills", "kills and loss", "stop",      "mixed",
};

/* Random numbers in the order they are asked for. */
typedef struct dice {
    uint64_t seed, n;
} dice;

static inline uint64_t roll(dice *d)
{
    return draw_bits(d->seed, STREAM_SCENARIO, d->n++);
}

static inline uint32_t roll_to(dice *d, uint32_t least, uint32_t most)
{
    return least + (uint32_t)(roll(d) % (most - least + 1));
}

static inline bool roll_is(dice *d, double probability)
{
    return (double)asgdi_uniform(roll(d)) < probability;
}

static inline double roll_between(dice *d, double least, double most)
{
    return least + (most - least) * (double)asgdi_uniform(roll(d));
}

/* Evenly by magnitude. */
static inline double roll_log(dice *d, double least, double most)
{
    return least * pow(most / least, (double)asgdi_uniform(roll(d)));
}

/* ---- what happens ---- */

static inline void roll_who(dice *d, const cluster_config *c, uint32_t n, fault *f)
{
    while (n > 0) {
        uint32_t q = roll_to(d, 0, c->size - 1);
        n -= !f->who[q];
        f->who[q] = 1;
    }
}

/* Mostly somewhere in training, sometimes close to a change of stage. */
static inline fault *roll_fault(dice *d, cluster_config *c, fault_kind kind, double lasts)
{
    static const asgdi_stage stages[] = {ASGDI_JOINING,  ASGDI_TRAINING, ASGDI_TRAINING,
                                         ASGDI_TRAINING, ASGDI_FLUSHING, ASGDI_FETCHING,
                                         ASGDI_FINISHED};
    fault                   *f        = &c->fault[c->n_faults++];
    *f                                = (fault){
                                       .kind = kind, .stage = stages[roll(d) % (sizeof stages / sizeof *stages)], .lasts = lasts};
    if (f->stage == ASGDI_TRAINING)
        f->after = roll_between(d, 0, c->seconds);
    else
        f->after = roll_log(d, 1e-4, 0.2);
    return f;
}

static inline void roll_kills(dice *d, cluster_config *c)
{
    const uint32_t most = c->size - 1;
    const uint32_t n    = roll_is(d, 0.5) ? 1 : roll_to(d, 1, most);
    fault          all  = {0};
    roll_who(d, c, n, &all);
    for (uint32_t q = 0; q < c->size; q++) {
        if (!all.who[q]) continue;
        fault *f  = roll_fault(d, c, FAULT_KILL, 0);
        f->who[q] = 1;
        if (c->n_faults < 2 || roll_is(d, 0.6)) continue;
        /* while what the one before it had is taken over */
        f->stage = f[-1].stage;
        f->after = f[-1].after + c->exchange.dead_after + roll_between(d, 0, 0.2);
    }
}

static inline void roll_cut(dice *d, cluster_config *c, double lasts)
{
    fault *f = roll_fault(d, c, roll_is(d, 0.5) ? FAULT_SPLIT : FAULT_CUT, lasts);
    roll_who(d, c, f->kind == FAULT_SPLIT ? roll_to(d, 1, c->size - 1) : roll_to(d, 2, c->size), f);
}

static inline void roll_pause(dice *d, cluster_config *c, double lasts)
{
    roll_who(d, c, roll_to(d, 1, c->size), roll_fault(d, c, FAULT_PAUSE, lasts));
}

static inline void roll_loss(dice *d, cluster_config *c)
{
    c->net.loss   = roll_log(d, 0.001, 0.2);
    c->net.repeat = roll_log(d, 0.001, 0.3);
    c->may_be_out =
        c->may_be_out || c->net.loss > 0.05; /* many signs of life may be lost in a row */
    c->lag_holds = false;
}

static inline void roll_stop(dice *d, cluster_config *c)
{
    fault *f = roll_fault(d, c, FAULT_STOP, 0);
    f->stage = ASGDI_TRAINING;
    roll_who(d, c, roll_is(d, 0.7) ? 1 : c->size, f);
}

static inline void roll_mixture(dice *d, cluster_config *c)
{
    const double dead = c->exchange.dead_after;
    if (roll_is(d, 0.7)) roll_loss(d, c);
    if (roll_is(d, 0.7)) roll_kills(d, c);
    for (uint32_t n = roll_to(d, 0, 3); n > 0; n--) {
        double lasts = dead * roll_log(d, 0.1, 4);
        switch (roll(d) % 3) {
        case 0: roll_cut(d, c, lasts); break;
        case 1: roll_pause(d, c, lasts); break;
        default: roll_fault(d, c, FAULT_STORM, lasts); break;
        }
    }
    c->may_be_out = true;
    c->may_split  = true;
    if (roll_is(d, 0.1)) roll_stop(d, c);
    if (roll_is(d, 0.1)) c->exchange.least = 2;
}

static inline bool kills(const cluster_config *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->n_faults; i++) any = any || c->fault[i].kind == FAULT_KILL;
    return any;
}

static inline void roll_faults(dice *d, cluster_config *c, seed_kind k)
{
    const double dead = c->exchange.dead_after;
    if (k != KIND_NONE && k != KIND_STOP) {
        c->net.law   = (asgdi_simlaw)(roll(d) % ASGDI_SIMLAWS);
        c->net.delay = roll_log(d, 1e-4, c->net.law == ASGDI_SIMLAW_HEAVY ? 1e-3 : 5e-3);
    }
    if (k != KIND_NONE) c->net.ordered = roll_is(d, 0.3);

    c->may_be_out = k == KIND_LONG_CUT || k == KIND_LONG_PAUSE || k == KIND_MIXED;
    c->may_split  = k == KIND_LONG_CUT;
    if (c->may_be_out && roll_is(d, 0.4)) { /* news of views come late, in any order */
        c->net.law   = (asgdi_simlaw)(roll(d) % ASGDI_SIMLAW_HEAVY);
        c->net.delay = roll_log(d, 5e-3, 8e-2);
        if (roll_is(d, 0.5)) {
            roll_loss(d, c);
            c->may_split = true; /* that the others go on without it may never be heard */
        }
    }
    switch (k) {
    case KIND_LOSS: roll_loss(d, c); break;
    case KIND_SHORT_CUT: roll_cut(d, c, dead * roll_between(d, 0.05, 0.5)); break;
    case KIND_LONG_CUT: roll_cut(d, c, dead * roll_between(d, 0.8, 4)); break;
    case KIND_SHORT_PAUSE: roll_pause(d, c, dead * roll_between(d, 0.05, 0.5)); break;
    case KIND_LONG_PAUSE: roll_pause(d, c, dead * roll_between(d, 0.8, 4)); break;
    case KIND_KILL_LOSS: roll_loss(d, c); /* fall through */
    case KIND_KILL: roll_kills(d, c); break;
    case KIND_STOP: roll_stop(d, c); break;
    case KIND_MIXED: roll_mixture(d, c); break;
    case KIND_NONE:
    case KIND_DELAY:
    case KINDS: break;
    }
    c->lag_holds = !c->may_be_out && !kills(c);
}

/* ---- who it happens to ---- */

static inline void roll_tables(dice *d, cluster_config *c)
{
    static const char *const    name[TABLES] = {"dense", "many", "sparse"};
    static const uint32_t       dims[]       = {4, 8, 10, 24, 40};
    static const asgd_rule_kind rules[] = {ASGD_RULE_adagrad, ASGD_RULE_ftrl, ASGD_RULE_rmsprop};
    c->table[0] =
        (asgd_table){.rows = roll_to(d, 1, 6), .dim = dims[roll(d) % (sizeof dims / sizeof *dims)]};
    c->table[1] = (asgd_table){.rows = (uint64_t)roll_log(d, 50, 12000), .dim = 1};
    c->table[2] = (asgd_table){.rows = (uint64_t)roll_log(d, 50, 1500), .dim = 8};
    for (int t = 0; t < TABLES; t++) {
        snprintf(c->table[t].name, sizeof c->table[t].name, "%s", name[t]);
        if (t > 0 && roll_is(d, 0.5)) c->table[t].flags = ASGD_TABLE_BY_FEATURE;
    }
    if (c->table[0].dim % 4 == 0 && draw_bits(d->seed, STREAM_LOSS, 6) % 2)
        c->table[0].flags = ASGD_TABLE_QUADS; /* rows longer than w and not twice as long */
    c->rule    = roll_is(d, 0.6) ? ASGD_RULE_sgd : rules[roll(d) % (sizeof rules / sizeof *rules)];
    c->touched = roll_to(d, 2, MOST_TOUCHED);
    c->largest = roll_to(d, 1, 3);
}

static inline void roll_workers(dice *d, cluster_config *c)
{
    c->seconds        = roll_log(d, 0.2, 2);
    c->workers        = roll_to(d, 1, MOST_WORKERS);
    c->spread         = roll_is(d, 0.5) ? 20 : roll_log(d, 1, 20);
    c->exchange.total = roll_to(d, 1, 10) * roll_to(d, 1, 100);
    c->exchange.batch = roll_is(d, 0.5) ? 1 : roll_to(d, 1, 8);
    /* nobody shall take longer than this for an example, not in a burst either */
    const double longest = 0.2 / (9 * c->spread),
                 share   = (double)c->exchange.total / (c->size * c->workers);
    c->example           = fmin(longest, c->seconds / share / (1 + c->spread / 4));
    c->seconds           = c->example * share * (1 + c->spread / 4);
    c->tick              = roll_log(d, 0.001, 0.02);
    c->step_cost         = roll_log(d, 1e-6, 1e-4);
    c->correcting        = roll_is(d, 0.3) ? 0 : roll_log(d, 1e-4, 0.03);
    c->saving            = roll_log(d, 1e-4, 1);
    c->reading           = roll_is(d, 0.2) ? roll_log(d, 0.1, 5) : 0;
    c->finish_updates    = roll_is(d, 0.5);
    c->snapshots         = roll_is(d, 0.5) ? 0 : roll_log(d, 1e-3, 0.1);
    c->late              = roll_is(d, 0.5) ? 0 : roll_to(d, 1, 10);
}

/* Every other time of one table alone: what the others have learnt is added up. */
static inline void merge_by(const dice *d, asgdi_exchange_config *x, asgdi_merging how)
{
    const bool one = draw_bits(d->seed, STREAM_LOSS, 5) % 2;
    for (int t = 0; t < TABLES; t++) x->merging[t] = one && t != 1 ? ASGDI_MERGE_DELTA : how;
}

static inline void roll_flavour(dice *d, cluster_config *c)
{
    asgdi_exchange_config *x = &c->exchange;
    const double           p = roll_between(d, 0, 1);
    x->ranked                = roll_is(d, 0.5);

    x->local_steps = roll_is(d, 0.2) ? roll_to(d, 1, 20) : 0;
    x->ahead       = roll_is(d, 0.5) ? 0 : x->local_steps ? 2 * x->local_steps : roll_to(d, 2, 30);
    x->ramp        = draw_bits(d->seed, STREAM_LOSS, 7) % 2 ? 16 : 0;
    x->max_lag     = roll_to(d, 1, 30);
    /* windows far smaller than the engine's (512 at least), which are noisier, and sooner full than news comes */
    x->guard = draw_bits(d->seed, STREAM_LOSS, 1) % 2 ? 16 + x->total / 20 : 0;
    x->snapshot_floats =
        draw_bits(d->seed, STREAM_LOSS, 3) % 2 ? 1 : 0; /* 1: a block in each round */
    if (p < 0.5) return;
    if (p < 0.62) {
        x->clock = ASGDI_CLOCK_LAG;
    } else if (p < 0.78) {
        x->clock  = ASGDI_CLOCK_SYNC;
        x->backup = p < 0.74 ? 0 : roll_to(d, 1, 2);
    } else if (p < 0.88) {
        x->coding = (asgdi_coding)roll_to(d, ASGDI_BF16, ASGDI_CODINGS - 1);
        x->rough  = true;
    } else if (p < 0.9) {
        merge_by(d, x, ASGDI_MERGE_MEAN);
    } else if (p < 0.94) {
        merge_by(d, x, ASGDI_MERGE_ELASTIC);
        x->elastic = roll_between(d, 0.1, 0.9) / c->size; /* more does not converge */
    } else if (p < 0.95) {
        x->outer_momentum = 0.5;
    } else if (p < 0.97) {
        c->poison = roll_log(d, 0.001, 0.1);
    } else {
        x->damp = roll_between(d, 1, 4);
        x->drop = roll_between(d, 2, 10);
        x->clip = roll_between(d, 1, 4);
    }
}

/* Some process may stand still before it has said anything, and be given up, and never be told: it cannot know that.  Nor
 * can most of them if they do at the same time. */
static inline bool may_sleep_in(const cluster_config *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->n_faults; i++) {
        const fault *f = &c->fault[i];
        uint32_t     n = 0;
        for (uint32_t q = 0; q < c->size; q++) n += f->who[q];
        any = any || (f->kind == FAULT_PAUSE && 2 * n > c->size);
        any = any || (f->kind == FAULT_PAUSE && f->lasts > c->exchange.join_seconds / 2 &&
                      f->stage == ASGDI_JOINING);
    }
    return any;
}

static inline seed_kind scenario(uint64_t seed, cluster_config *c)
{
    dice            d = {.seed = seed};
    const seed_kind k = (seed_kind)(seed % KINDS);
    *c                = (cluster_config){.seed = seed, .size = roll_to(&d, 1, MOST_PROCESSES)};
    if (c->size == 1 && k != KIND_NONE && k != KIND_STOP && k != KIND_DELAY) c->size = 2;
    roll_tables(&d, c);
    roll_workers(&d, c);
    asgdi_exchange_config *x = &c->exchange;
    x->size                  = c->size;
    x->run                   = asgdi_mix(seed);
    x->chunk_seconds         = roll_log(&d, 0.02, 0.5);
    x->share                 = roll_log(&d, 0.01, 1);
    x->round_least           = roll_log(&d, 1e-4, 0.05);
    x->round_most            = 0.2;
    x->damp = x->drop = x->clip = INFINITY;
    x->heartbeat                = roll_between(&d, 0.02, 0.1);
    x->dead_after               = roll_between(&d, 0.6, 1);
    x->join_seconds             = 2;
    x->resend                   = roll_between(&d, 0.03, 0.2);
    x->least                    = 1;
    snprintf(x->about, sizeof x->about, "whole numbers, %llu", (unsigned long long)seed);
    roll_flavour(&d, c);
    c->net = (asgdi_simnet_config){.size = c->size, .seed = seed, .delay = 0.001, .ordered = true};
    if (roll_is(&d, 0.2)) c->net.rate = roll_log(&d, 2e5, 1e8);
    roll_faults(&d, c, k);
    c->drops = draw_bits(seed, STREAM_LOSS, 2) % 2;
    if (c->drops && may_sleep_in(c)) c->may_split = true;
    c->patience = 30;
    c->longest  = 1000;
    return k;
}

#endif
