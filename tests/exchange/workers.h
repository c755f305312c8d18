/* workers.h -- processes that train together, in virtual time: what they are made of, and their toy workers.
 *
 * A worker does one example at a time, at a speed of its own that changes in bursts.  Example e adds small whole
 * numbers to a few coordinates, which are a function of (seed, e): sums of them are exact in floats, whatever their
 * order, so that what came of a run can be told exactly (oracle.h).  Each process keeps the order in which it did
 * its examples.  Nothing here fails a test: what went wrong is a sentence in cluster.wrong. */
#ifndef WORKERS_H
#define WORKERS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "exchange/exchange.h"
#include "sim/net.h"

enum {
    MOST_PROCESSES = 8,
    MOST_WORKERS   = 3,
    MOST_FAULTS    = 24,
    TABLES         = 3,
    MOST_TOUCHED   = 8, /* coordinates of an example */
    QUEUED         = 4, /* leases a process takes ahead of its workers */
    STAGES         = ASGDI_FAILED + 1,
    INBOX          = 4096,
    ROUNDS         = 4096,
    STOP_REASON    = 7,
    MOST_UPDATES   = 1024, /* positions there are at the most */
};

typedef enum fault_kind {
    FAULT_CUT,
    FAULT_SPLIT,
    FAULT_PAUSE,
    FAULT_KILL,
    FAULT_STORM,
    FAULT_STOP
} fault_kind;

#define STORM_LOSS 0.6
#define LOSS_MOST 1e4

/* Something goes wrong `after` seconds after the first process has reached a stage. */
typedef struct fault {
    fault_kind  kind;
    asgdi_stage stage;
    double      after, lasts;
    uint8_t who[MOST_PROCESSES]; /* 1: it happens to them (pause, kill); on one side (split, cut) */
} fault;

typedef struct cluster_config {
    uint64_t              seed;
    uint32_t              size, workers;
    asgdi_exchange_config exchange; /* of all of them, but for `self` */
    asgdi_simnet_config   net;
    asgd_table            table[TABLES];
    asgd_rule_kind        rule; /* whose slots rows have; they are added to like w */
    uint32_t touched, largest;  /* coordinates of an example, and what is added: up to that */
    double   example, spread;   /* seconds of the fastest worker's, times up to `spread` */
    double   seconds;           /* that training is to take, about */
    double   tick;              /* seconds between steps of an exchange */
    double   step_cost;         /* what a step is said to cost, in seconds of a core */
    double   correcting;        /* longest time from corrections to their being made */
    double   reading;           /* longest time that a process still reads its data */
    double   saving; /* longest time from the speaker's having finished to its having saved */
    bool     finish_updates; /* workers that are to stop finish them */
    uint32_t odd;            /* 1 + the process that was started with other options; 0: none */
    double   poison;         /* how often what is added is not a number */
    double   snapshots;      /* how often, in steps of a process */
    /* not 0: examples are not whole numbers but steps down the square of all of table 0: w -= lr w + noise */
    double lr, noise;
    uint32_t
        mad; /* 1 + the process that makes parameters infinite, after so many examples; 0: none */
    uint64_t mad_after;
    uint32_t late;   /* examples that are told to be done so many later */
    bool everything; /* an example changes all of table 1, as of a net; sums are not checked then */
    fault    fault[MOST_FAULTS];
    uint32_t n_faults;
    bool     drops; /* as over MPI, nothing goes to or comes from a process once it was given up */
    bool     may_be_out; /* processes may be given up that are not dead */
    bool     may_split;  /* and may go on without the others */
    bool     lag_holds;  /* nobody is given up, whose work others would do */
    double
        patience; /* seconds from the last example done, or change of stage, or fault, to the next */
    double longest; /* seconds from the last fault's end to the end of it all */
} cluster_config;

typedef struct worker {
    asgdi_range update; /* what is left of it; empty: none */
    uint64_t    examples;
} worker;

/* A part of a snapshot, as its process was to write it. */
typedef struct shot {
    uint64_t     number;
    uint32_t     n;
    asgdi_piece *piece;
    uint64_t    *included;
    float       *rows[TABLES];
    asgdi_ranges done;
} shot;

typedef struct member {
    asgdi_exchange *x;
    asgdi_params    w;
    double          reads_until; /* it reads its data, and has no exchange before */
    double      told_at; /* when it said last, while it reads, that it is there; or its beginning */
    double      stood_still; /* the longest time between two of these */
    bool        left;        /* it is no longer stepped: dead, done with all, given up or failed */
    asgdi_stage stage;
    double      epoch; /* what its clock shows when the cluster's shows 0 */
    asgdi_range lease[QUEUED];
    uint32_t    n_leases;
    worker      worker[MOST_WORKERS];
    uint64_t    update_end[MOST_UPDATES]; /* examples done by the end of each update */
    uint64_t   *order;                    /* positions, as they were done */
    uint64_t    n_done, n_told;
    size_t      order_room;
    uint64_t    begun, updates, round;
    asgdi_losses            losses;
    uint64_t                ahead[MOST_PROCESSES]; /* of each other one, since that did an update */
    asgdi_simnet_event      inbox[INBOX];
    uint32_t                in_inbox;
    bool                    soon; /* a step is due before the next tick */
    bool                    still, saved, snapshot, writing;
    uint64_t                written_at; /* in steps */
    shot                    shot;
    uint32_t                n_corrections;
    const asgdi_correction *correction;
    uint64_t                correction_sum;
    uint64_t                steps, drawn;
    uint8_t                 lost[MOST_PROCESSES]; /* whom it gave up, and when */
    double                  lost_at[MOST_PROCESSES], finished_at;
} member;

typedef struct cluster {
    cluster_config c;
    asgdi_simnet  *net;
    member         member[MOST_PROCESSES];
    bool           reached[STAGES]; /* by anybody */
    bool           begun[MOST_FAULTS];
    double         last_fault, last_progress, ended;
    bool           trace;
    uint64_t       repeated, forgotten; /* positions */
    uint64_t       snapshots;
    uint64_t       round_sum[ROUNDS];
    uint64_t       lag;         /* the largest that was seen, in updates */
    char           wrong[1024]; /* the first thing that went wrong */
} cluster;

#define WRONG(c, ...)                                                            \
    do {                                                                         \
        if (!(c)->wrong[0]) snprintf((c)->wrong, sizeof(c)->wrong, __VA_ARGS__); \
    } while (0)

/* ---- what an example does ---- */

typedef struct touch {
    int      table;
    uint64_t row;
    uint32_t column;
    float    by;
} touch;

static inline uint64_t draw_bits(uint64_t seed, uint64_t stream, uint64_t i)
{
    return asgdi_random(seed, UINT64_C(0x7e57) << 40 | stream, i);
}

static inline double draw_01(uint64_t seed, uint64_t stream, uint64_t i)
{
    return (double)asgdi_uniform(draw_bits(seed, stream, i));
}

enum {
    STREAM_TOUCH = 1,
    STREAM_START,
    STREAM_SPEED,
    STREAM_BURST,
    STREAM_STEP,
    STREAM_SCENARIO,
    STREAM_POISON,
    STREAM_READING,
    STREAM_LOSS
};

static inline touch example_touches(const cluster_config *c, uint64_t e, uint32_t i)
{
    uint64_t          a = draw_bits(c->seed, STREAM_TOUCH, e * MOST_TOUCHED + i), b = asgdi_mix(a);
    touch             t     = {.table = i == 0 ? 0 : (int)(1 + a % (TABLES - 1))};
    const asgd_table *table = &c->table[t.table];
    double            u     = (double)asgdi_uniform(b);
    t.row    = (uint64_t)((double)table->rows * u * u * u); /* the first rows are frequent ones */
    t.column = (uint32_t)(a >> 8) % table->dim;
    uint32_t by = 1 + (uint32_t)(a >> 40) % c->largest;
    t.by        = a >> 63 ? (float)by : -(float)by;
    return t;
}

static inline float start_value(uint64_t seed, int table, uint64_t row, uint32_t column)
{
    return (float)(draw_bits(seed, STREAM_START, (row << 8 | column) * TABLES + (uint64_t)table) %
                   17) -
           8;
}

/* ---- making and ending ---- */

static inline double cluster_now(const cluster *c)
{
    return asgdi_simnet_now(c->net);
}

static inline void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *t = &((const asgdi_params *)user)->table[table];
    memcpy(to, t->master + first * t->stride, n * t->stride * sizeof *to);
}

static inline bool fill(const cluster_config *c, asgdi_params *p)
{
    if (asgdi_params_init(p, c->table, TABLES, 1) != ASGD_OK ||
        asgdi_params_set_rule(p, c->rule) != ASGD_OK)
        return false;
    for (int t = 0; t < TABLES; t++)
        for (uint64_t r = 0; r < p->table[t].info.rows; r++)
            for (uint32_t k = 0; k < p->table[t].info.dim; k++)
                p->table[t].master[r * p->table[t].stride + k] = start_value(c->seed, t, r, k);
    return true;
}

enum { ALARM_TICK, ALARM_SOON, ALARM_CORRECT, ALARM_SAVED, ALARM_WORK };

static inline bool cluster_new(cluster *c, const cluster_config *config)
{
    *c = (cluster){.c = *config};
    if (asgdi_simnet_new(&c->net, &config->net) != ASGD_OK) {
        WRONG(c, "no network: %s", asgd_errmsg());
        return false;
    }
    for (uint32_t q = 0; q < config->size; q++) {
        member               *m = &c->member[q];
        asgdi_exchange_config x = config->exchange;
        x.self                  = q;
        if (config->odd == q + 1) snprintf(x.about, sizeof x.about, "something else");
        m->epoch = 1000 * draw_01(config->seed, STREAM_STEP, q);
        if (config->reading > 0 && draw_bits(config->seed, STREAM_READING, q) % 2)
            m->reads_until = config->reading * draw_01(config->seed, STREAM_READING, 100 + q);
        if (!fill(config, &m->w) ||
            asgdi_exchange_new(&m->x, &x, &m->w, read_rows, &m->w) != ASGD_OK) {
            WRONG(c, "process %u was not made: %s", q, asgd_errmsg());
            return false;
        }
        asgdi_simnet_alarm(
            c->net, q, draw_01(config->seed, STREAM_STEP, 100 + q) * config->tick * 20, ALARM_TICK);
    }
    return true;
}

static inline void shot_free(shot *s)
{
    for (int t = 0; t < TABLES; t++) free(s->rows[t]);
    free(s->piece);
    free(s->included);
    asgdi_ranges_free(&s->done);
    *s = (shot){0};
}

static inline void cluster_free(cluster *c)
{
    for (uint32_t q = 0; q < c->c.size; q++) {
        member *m = &c->member[q];
        shot_free(&m->shot);
        for (uint32_t i = 0; i < m->in_inbox; i++) asgdi_frame_free(m->inbox[i].frame);
        asgdi_exchange_free(m->x);
        asgdi_params_free(&m->w);
        free(m->order);
    }
    asgdi_simnet_free(c->net);
}

/* Merging that adds up all progress, of the first table at least. */
static inline bool adds_up(const cluster_config *c)
{
    const asgdi_exchange_config *x = &c->exchange;
    return x->merging[0] == ASGDI_MERGE_DELTA && !(x->outer_momentum > 0) && isinf(x->damp) &&
           !(c->poison > 0) && !(x->clock == ASGDI_CLOCK_SYNC && x->backup > 0);
}

/* ---- workers ---- */

static inline double worker_slowness(const cluster *c, uint32_t q, uint32_t w)
{
    return c->c.example * pow(c->c.spread, draw_01(c->c.seed, STREAM_SPEED, q * MOST_WORKERS + w));
}

static inline double work_seconds(const cluster *c, uint32_t q, uint32_t w)
{
    static const double burst[] = {0.3, 1, 1, 1, 1, 1, 2, 6};
    const worker       *k       = &c->member[q].worker[w];
    uint64_t            who     = (q * MOST_WORKERS + w + 1) << 8;
    uint64_t            luck    = draw_bits(c->c.seed, STREAM_BURST + who, k->examples / 40);
    double              jitter  = 0.5 + draw_01(c->c.seed, STREAM_SPEED + who, k->examples);
    return worker_slowness(c, q, w) * jitter * burst[luck % 8];
}

static inline double member_rate(const cluster *c, uint32_t q)
{
    double rate = 0;
    for (uint32_t w = 0; w < c->c.workers; w++) rate += 1 / worker_slowness(c, q, w);
    return rate;
}

static inline asgdk_merge merge_of(const asgdi_params *p, size_t part)
{
    return part == 0 ? p->slots.w : p->slots.slot[part - 1];
}

/* Of what float `at` of a row of a table belongs to. */
static inline asgdk_merge merge_at(const asgdi_params *p, int table, size_t at)
{
    const asgdi_table *t = &p->table[table];
    return merge_of(p, at < t->pad ? 0 : 1 + (at - t->pad) / t->slot);
}

/* Derived parts are for the rule to compute: nobody exchanges them, and nothing is added to them here. */
static inline void touch_row(const asgdi_params *p, const touch *t, bool poison)
{
    const asgdi_table *table = &p->table[t->table];
    float             *row   = table->master + t->row * table->stride;
    for (uint32_t part = 0; part <= p->slots.merged; part++) {
        const asgdi_span of = asgdi_row_part(table, part);
        if (merge_of(p, part) != ASGDK_DERIVED)
            row[of.at + t->column % of.n] += poison ? NAN : t->by;
    }
}

/* The mean of the squares is the loss; one beyond measure is told as engine/worker.c tells it. */
static inline void descend(cluster *c, member *m, uint64_t e)
{
    const asgdi_table *t   = &m->w.table[0];
    double             sum = 0;
    for (uint64_t r = 0; r < t->info.rows; r++)
        for (uint32_t k = 0; k < t->info.dim; k++) {
            float       *w = &t->master[r * t->stride + k];
            const double n = draw_01(c->c.seed, STREAM_TOUCH, (e * 97 + r) * 97 + k) - 0.5;
            sum += (double)*w * (double)*w / 2;
            *w -= (float)(c->c.lr * ((double)*w + c->c.noise * n));
        }
    const double loss = sum / (double)(t->info.rows * t->info.dim);
    const bool   bad  = !(loss < LOSS_MOST);
    if (m->losses.examples == 0) m->losses.first = loss;
    m->losses.loss += bad ? LOSS_MOST : loss;
    m->losses.weight += 1;
    m->losses.bad += bad;
    m->losses.examples++;
    if (c->c.mad == (uint32_t)(m - c->member) + 1 && m->n_done == c->c.mad_after)
        t->master[0] = INFINITY;
}

/* As a healthy run's: falling, and noisy. */
static inline void pretend(cluster *c, member *m, uint64_t e)
{
    uint64_t n = 0;
    for (uint32_t q = 0; q < c->c.size; q++) n += c->member[q].n_done;
    const double done = (double)n / (double)c->c.exchange.total;
    m->losses.loss += (0.5 + draw_01(c->c.seed, STREAM_LOSS, e)) / (1 + 10 * done);
    m->losses.weight += 1;
    m->losses.examples++;
}

static inline void add_example(cluster *c, member *m, uint64_t e)
{
    if (c->c.lr > 0)
        descend(c, m, e);
    else
        pretend(c, m, e);
    for (uint32_t i = 0; i < c->c.touched && !(c->c.lr > 0); i++) {
        touch t = example_touches(&c->c, e, i);
        touch_row(&m->w, &t, draw_01(c->c.seed, STREAM_POISON, e * MOST_TOUCHED + i) < c->c.poison);
    }
    const asgdi_table *all = &m->w.table[1];
    for (uint64_t i = 0; c->c.everything && i < all->info.rows * all->stride; i++)
        all->master[i] += e % 2 ? 0.5f : -0.25f;
    if (m->n_done == m->order_room) {
        m->order_room  = m->order_room ? 2 * m->order_room : 256;
        uint64_t *more = realloc(m->order, m->order_room * sizeof *more);
        if (!more) abort();
        m->order = more;
    }
    m->order[m->n_done++] = e;
}

/* All but the last `keep` examples are told to be done, neighbours together. */
static inline void tell_done(member *m, uint64_t keep)
{
    while (m->n_told + keep < m->n_done) {
        asgdi_range r = {m->order[m->n_told], m->order[m->n_told] + 1};
        for (m->n_told++; m->n_told + keep < m->n_done && m->order[m->n_told] == r.hi; m->n_told++)
            r.hi++;
        asgdi_exchange_done(m->x, r);
    }
}

static inline bool at_work(const worker *k)
{
    return k->update.lo < k->update.hi;
}

static inline bool has_work(const cluster *c, const member *m)
{
    bool any = m->n_leases > 0;
    for (uint32_t w = 0; w < c->c.workers; w++) any = any || at_work(&m->worker[w]);
    return any;
}

static inline bool may_work(const member *m)
{
    return !m->left && m->stage == ASGDI_TRAINING;
}

/* The next update's positions, from the leases in their order. */
static inline bool next_update(const cluster *c, member *m, asgdi_range *out)
{
    while (m->n_leases < QUEUED && asgdi_exchange_lease(m->x, &m->lease[m->n_leases]))
        m->n_leases++;
    if (!m->n_leases) return false;
    asgdi_range *l = &m->lease[0];
    uint64_t     n = l->hi - l->lo, batch = c->c.exchange.batch;
    *out  = (asgdi_range){l->lo, l->lo + (n < batch ? n : batch)};
    l->lo = out->hi;
    if (l->lo == l->hi) memmove(l, l + 1, --m->n_leases * sizeof *l);
    return true;
}

/* How far ahead of the others does it begin an update?  It counts where the other one does an update later: one that
 * has nothing more to do is not waited for. */
static inline void see_lag(cluster *c, uint32_t q)
{
    member *m = &c->member[q];
    for (uint32_t p = 0; p < c->c.size; p++) {
        const uint64_t theirs = c->member[p].updates;
        if (m->begun > theirs + m->ahead[p]) m->ahead[p] = m->begun - theirs;
    }
}

static inline void count_lag(cluster *c, uint32_t p)
{
    for (uint32_t q = 0; q < c->c.size; q++) {
        uint64_t *ahead = &c->member[q].ahead[p];
        if (q != p && *ahead > c->lag) c->lag = *ahead;
        *ahead = 0;
    }
}

/* Of the process's own examples: those that are in every block; some rows stand for all. */
static inline uint64_t examples_in_masters(const cluster *c, uint32_t q)
{
    uint64_t in = UINT64_MAX;
    for (int t = 0; t < TABLES; t++)
        for (uint64_t i = 0; i < 8; i++) {
            const uint64_t row = (c->c.table[t].rows - 1) * i / 7,
                           n   = asgdi_exchange_included(c->member[q].x, q, t, row);
            if (n < in) in = n;
        }
    return in;
}

static inline uint64_t params_sum(const asgdi_params *p)
{
    uint64_t sum = 0;
    for (int t = 0; t < TABLES; t++)
        for (uint64_t i = 0; i < p->table[t].info.rows * p->table[t].stride; i++) {
            uint32_t bits;
            memcpy(&bits, &p->table[t].master[i], sizeof bits);
            sum = (sum ^ bits) * 0x9e3779b97f4a7c15u;
        }
    return sum | 1;
}

/* Clock sync: what the first update of a round is computed on is the same everywhere. */
static inline void see_round(cluster *c, uint32_t q)
{
    member               *m = &c->member[q];
    asgdi_exchange_counts n;
    if (c->c.exchange.clock != ASGDI_CLOCK_SYNC || c->c.exchange.backup || !c->c.lag_holds ||
        c->c.rule == ASGD_RULE_rmsprop) /* means are rounded */
        return;
    asgdi_exchange_count(m->x, &n);
    if (n.rounds >= ROUNDS || n.rounds == m->round) return;
    m->round           = n.rounds;
    const uint64_t sum = params_sum(&m->w);
    if (c->round_sum[n.rounds] && c->round_sum[n.rounds] != sum)
        WRONG(c, "process %u begins round %llu with other parameters than the others", q,
              (unsigned long long)n.rounds);
    c->round_sum[n.rounds] = sum;
}

/* Updates of a process that are not in the masters, as far as the process knows. */
static inline void see_ahead(cluster *c, uint32_t q)
{
    const member  *m  = &c->member[q];
    const uint64_t in = examples_in_masters(c, q);
    uint64_t       n  = m->begun - m->updates;
    if (c->c.exchange.ahead == 0 || c->c.exchange.total > MOST_UPDATES ||
        c->c.exchange.clock == ASGDI_CLOCK_SYNC || c->c.exchange.ranked ||
        !adds_up(&c->c)) /* what is dropped is never in them */
        return;
    for (uint64_t k = m->updates; k > 0 && m->update_end[k - 1] > in; k--) n++;
    if (n > c->c.exchange.ahead)
        WRONG(c, "process %u has made %llu updates beyond what it has sent", q,
              (unsigned long long)n);
}

static inline void start_workers(cluster *c, uint32_t q)
{
    member *m = &c->member[q];
    for (uint32_t w = 0; w < c->c.workers && may_work(m); w++) {
        worker *k = &m->worker[w];
        if (at_work(k) || m->begun >= asgdi_exchange_allowance(m->x)) continue;
        if (!next_update(c, m, &k->update)) break;
        m->begun++;
        see_round(c, q);
        see_ahead(c, q);
        see_lag(c, q);
        asgdi_simnet_alarm(c->net, q, cluster_now(c) + work_seconds(c, q, w), ALARM_WORK + w);
    }
    if (has_work(c, m)) return;
    tell_done(m, 0);
}

static inline void worker_did(cluster *c, uint32_t q, uint32_t w)
{
    member *m = &c->member[q];
    worker *k = &m->worker[w];
    if (!at_work(k)) return; /* it was stopped in the middle of it */
    add_example(c, m, k->update.lo++);
    k->examples++;
    c->last_progress = fmax(c->last_progress, cluster_now(c));
    if (at_work(k)) {
        asgdi_simnet_alarm(c->net, q, cluster_now(c) + work_seconds(c, q, w), ALARM_WORK + w);
        return;
    }
    m->update_end[m->updates++ % MOST_UPDATES] = m->n_done;
    count_lag(c, q);
    tell_done(m, c->c.late);
    start_workers(c, q);
}

#endif
