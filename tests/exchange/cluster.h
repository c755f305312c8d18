/* cluster.h -- a cluster in virtual time: exchanges over a simulated network, workers, and what goes wrong. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "oracle.h"

/* ---- a step of an exchange ---- */

static inline void member_leaves(cluster *c, uint32_t q)
{
    member *m = &c->member[q];
    m->left   = true;
    c->ended  = cluster_now(c);
    if (c->trace) fprintf(stderr, "%.6f %u left\n", cluster_now(c), q);
}

static inline void begin_faults(cluster *c)
{
    for (uint32_t i = 0; i < c->c.n_faults; i++) {
        const fault *f = &c->c.fault[i];
        if (c->begun[i] || !c->reached[f->stage]) continue;
        c->begun[i] = true;
        asgdi_simnet_alarm(c->net, ASGDI_SIMNET_NOBODY, cluster_now(c) + f->after, i);
    }
}

static inline void see_stage(cluster *c, uint32_t q)
{
    member     *m     = &c->member[q];
    asgdi_stage stage = asgdi_exchange_stage(m->x);
    if (stage == m->stage) return;
    if (c->trace)
        fprintf(stderr, "%.6f %u stage %d -> %d %s\n", cluster_now(c), q, m->stage, stage,
                stage >= ASGDI_OUT ? asgdi_exchange_why(m->x) : "");
    if (stage < m->stage) WRONG(c, "process %u went back from stage %d to %d", q, m->stage, stage);
    m->stage         = stage;
    c->last_progress = fmax(c->last_progress, cluster_now(c));
    if (stage == ASGDI_FINISHED) m->finished_at = cluster_now(c);
    c->reached[stage] = true;
    begin_faults(c);
}

static inline uint64_t corrections_sum(const member *m)
{
    uint64_t sum = m->n_corrections;
    for (uint32_t i = 0; i < m->n_corrections; i++) {
        const asgdi_correction *k      = &m->correction[i];
        size_t                  floats = k->n * m->w.table[k->table].stride;
        sum = asgdi_mix(sum ^ (k->first + k->n + ((uint64_t)k->replace << 40)));
        for (size_t j = 0; j < floats; j++) {
            uint32_t bits;
            memcpy(&bits, &k->by[j], sizeof bits);
            sum = (sum ^ bits) * 0x9e3779b97f4a7c15u;
        }
    }
    return sum;
}

static inline void take_corrections(cluster *c, uint32_t q)
{
    member *m = &c->member[q];
    if (m->n_corrections) return;
    m->n_corrections = asgdi_exchange_corrections(m->x, &m->correction);
    if (!m->n_corrections) return;
    if (m->stage > ASGDI_FETCHING) WRONG(c, "process %u has corrections in stage %d", q, m->stage);
    m->correction_sum = corrections_sum(m);
    double in = c->c.correcting * draw_01(c->c.seed, STREAM_STEP + ((q + 1) << 8), m->drawn++);
    asgdi_simnet_alarm(c->net, q, cluster_now(c) + in, ALARM_CORRECT);
}

static inline void make_corrections(cluster *c, uint32_t q)
{
    member *m = &c->member[q];
    if (corrections_sum(m) != m->correction_sum) WRONG(c, "corrections of process %u changed", q);
    for (uint32_t i = 0; i < m->n_corrections; i++) {
        const asgdi_correction *k      = &m->correction[i];
        const asgdi_table      *table  = &m->w.table[k->table];
        float                  *w      = table->master + k->first * table->stride;
        size_t                  floats = k->n * table->stride;
        for (size_t j = 0; j < floats; j++) w[j] = k->replace ? k->by[j] : w[j] + k->by[j];
    }
    m->n_corrections = 0;
    asgdi_exchange_corrected(m->x);
}

static inline void send_all(cluster *c, uint32_t q)
{
    enum { MOST_AT_ONCE = 100000 };
    asgdi_frame *f;
    uint32_t     to, n = 0;
    while ((f = asgdi_exchange_send(c->member[q].x, &to))) {
        if (to < c->c.size && c->c.drops && c->member[q].lost[to]) {
            asgdi_frame_free(f);
            continue;
        }
        if (to < c->c.size && to != q && ++n < MOST_AT_ONCE) {
            asgdi_simnet_send(c->net, q, to, f);
            continue;
        }
        WRONG(c, "process %u sends to %u, frame %u of a step", q, to, n);
        asgdi_frame_free(f);
        return;
    }
}

static inline void see_lost(cluster *c, uint32_t q)
{
    uint32_t p;
    while (!c->wrong[0] && asgdi_exchange_lost(c->member[q].x, &p)) {
        if (c->trace) fprintf(stderr, "%.6f %u gives up %u\n", cluster_now(c), q, p);
        if (p >= c->c.size || p == q || c->member[q].lost[p])
            WRONG(c, "process %u lost %u, again or never known", q, p);
        else
            c->member[q].lost[p] = 1, c->member[q].lost_at[p] = cluster_now(c);
    }
}

static inline void receive_all(member *m, double now)
{
    for (uint32_t i = 0; i < m->in_inbox; i++) {
        asgdi_frame *f = m->inbox[i].frame;
        asgdi_exchange_receive(m->x, m->inbox[i].from, f->data, f->bytes, now);
        asgdi_frame_free(f);
    }
    m->in_inbox = 0;
}

/* What its driver has to do in stages after training. */
static inline void see_end(cluster *c, uint32_t q)
{
    member *m       = &c->member[q];
    bool    at_rest = true;
    for (uint32_t w = 0; w < c->c.workers; w++) {
        worker *k = &m->worker[w];
        if (!c->c.finish_updates) k->update.lo = k->update.hi; /* what was begun is forgotten */
        at_rest = at_rest && !at_work(k);
    }
    if (m->stage == ASGDI_FLUSHING && at_rest && !m->still) {
        tell_done(m, 0);
        asgdi_exchange_still(m->x);
        m->still = true;
    }
    if (m->stage == ASGDI_FINISHED && asgdi_exchange_is_speaker(m->x) && !m->saved) {
        m->saved  = true; /* it takes a while */
        double in = c->c.saving * draw_01(c->c.seed, STREAM_STEP + ((q + 1) << 8), m->drawn++);
        asgdi_simnet_alarm(c->net, q, cluster_now(c) + in, ALARM_SAVED);
    }
    if (m->stage > ASGDI_FINISHED || asgdi_exchange_is_over(m->x)) member_leaves(c, q);
}

static inline void keep_part(member *m, uint32_t size, const asgdi_snapshot *s)
{
    size_t floats[TABLES] = {0};
    shot  *to             = &m->shot;
    shot_free(to);
    to->number   = s->number;
    to->n        = s->n;
    to->piece    = calloc((size_t)s->n + 1, sizeof *to->piece);
    to->included = calloc((size_t)s->n * size + 1, sizeof *to->included);
    if (!to->piece || !to->included || !asgdi_ranges_add_all(&to->done, s->done)) abort();
    memcpy(to->piece, s->piece, s->n * sizeof *to->piece);
    memcpy(to->included, s->included, (size_t)s->n * size * sizeof *to->included);
    for (uint32_t i = 0; i < s->n; i++)
        floats[s->piece[i].table] += s->piece[i].rows * m->w.table[s->piece[i].table].stride;
    for (int t = 0; t < TABLES; t++) {
        to->rows[t] = calloc(floats[t] + 1, sizeof(float));
        if (!to->rows[t]) abort();
        memcpy(to->rows[t], s->rows[t], floats[t] * sizeof(float));
    }
}

/* Each writes its part, which takes a few steps and sometimes fails; who speaks asks for one now and then, and looks at
 * what came of it. */
static inline void see_snapshot(cluster *c, uint32_t q)
{
    member        *m     = &c->member[q];
    const uint64_t which = STREAM_STEP + ((q + 1 + 2 * MOST_PROCESSES) << 8);
    asgdi_snapshot part;
    if (!m->writing && asgdi_exchange_snapshot_part(m->x, &part)) {
        keep_part(m, c->c.size, &part);
        m->writing    = true;
        m->written_at = m->steps + (uint64_t)(10 * draw_01(c->c.seed, which + 1, m->steps));
    } else if (m->writing && m->steps >= m->written_at) {
        const bool good = draw_01(c->c.seed, which + 2, m->steps) < 0.9;
        asgdi_exchange_snapshot_written(m->x, m->shot.number, good, m->shot.number * 31, q);
        m->writing = false;
    }
    if (m->snapshot) {
        const asgdi_snapshot_state now = asgdi_exchange_snapshot_state(m->x);
        if (now == ASGDI_SNAPSHOT_UNDER_WAY) return;
        if (now == ASGDI_SNAPSHOT_WHOLE) {
            c->snapshots++;
            check_snapshot(c, q);
        }
        m->snapshot = false;
    }
    if (m->stage != ASGDI_TRAINING || !asgdi_exchange_is_speaker(m->x) ||
        draw_01(c->c.seed, which, m->steps) >= c->c.snapshots)
        return;
    asgdi_exchange_snapshot_begin(m->x, 1);
    m->snapshot = true;
}

static inline void member_step(cluster *c, uint32_t q)
{
    member *m   = &c->member[q];
    double  now = cluster_now(c) + m->epoch;
    m->steps++;
    receive_all(m, now);
    if (!c->c.late) tell_done(m, 0);
    asgdi_progress p = {.updates     = m->updates,
                        .examples    = m->n_done,
                        .rate        = member_rate(c, q),
                        .cost        = (double)m->steps * c->c.step_cost,
                        .losses      = m->losses,
                        .stood_still = m->stood_still};
    asgdi_exchange_tick(m->x, now, &p);
    if (c->c.drops) see_lost(c, q); /* what it sends to those now is dropped with them */
    send_all(c, q);
    if (!c->c.drops) see_lost(c, q);
    take_corrections(c, q);
    see_snapshot(c, q);
    see_stage(c, q);
    if (m->stage >= ASGDI_FLUSHING)
        see_end(c, q);
    else
        start_workers(c, q);
}

/* ---- faults ---- */

static inline void fault_of(cluster *c, const fault *f, uint32_t q, double until)
{
    member *m = &c->member[q];
    for (uint32_t b = 0; b < c->c.size && f->kind == FAULT_CUT; b++)
        if (b != q && f->who[b]) asgdi_simnet_cut(c->net, q, b, until);
    if (m->left) return;
    if (f->kind == FAULT_PAUSE) asgdi_simnet_pause(c->net, q, until);
    if (f->kind == FAULT_STOP) asgdi_exchange_stop(m->x, STOP_REASON);
    if (f->kind == FAULT_KILL) {
        asgdi_simnet_kill(c->net, q);
        member_leaves(c, q);
    }
}

static inline void begin_fault(cluster *c, const fault *f)
{
    double until = cluster_now(c) + f->lasts;
    if (c->trace) fprintf(stderr, "%.6f fault %d for %.3f\n", cluster_now(c), f->kind, f->lasts);
    c->last_fault    = fmax(c->last_fault, until);
    c->last_progress = fmax(c->last_progress, until);
    for (uint32_t q = 0; q < c->c.size; q++)
        if (f->who[q]) fault_of(c, f, q, until);
    if (f->kind == FAULT_SPLIT) asgdi_simnet_split(c->net, f->who, until);
    if (f->kind == FAULT_STORM) {
        asgdi_simnet_odds(c->net, STORM_LOSS, c->c.net.repeat);
        asgdi_simnet_alarm(c->net, ASGDI_SIMNET_NOBODY, until, MOST_FAULTS);
    }
}

/* ---- the run ---- */

static inline bool cluster_over(const cluster *c)
{
    for (uint32_t q = 0; q < c->c.size; q++)
        if (!c->member[q].left) return false;
    return true;
}

static inline void tell_here(cluster *c, uint32_t q)
{
    for (uint32_t to = 0; to < c->c.size; to++) {
        asgdi_frame *f = to == q ? NULL : asgdi_exchange_here(q, c->c.exchange.run);
        if (f) asgdi_simnet_send(c->net, q, to, f);
    }
}

static inline void member_event(cluster *c, uint32_t q, asgdi_simnet_event e)
{
    member  *m    = &c->member[q];
    uint64_t luck = draw_bits(c->c.seed, STREAM_STEP + ((q + 1 + MOST_PROCESSES) << 8), m->drawn++);
    double   wait = c->c.tick * (double)asgdi_uniform(luck);
    if (e.frame && (cluster_now(c) < m->reads_until || (c->c.drops && m->lost[e.from]))) {
        asgdi_frame_free(e.frame);
    } else if (e.frame) {
        m->inbox[m->in_inbox++] = e;
        if (m->in_inbox == INBOX) member_step(c, q);
        if (!m->soon &&
            luck % 4) { /* most frames wake their receiver, some wait for its next tick */
            asgdi_simnet_alarm(c->net, q, cluster_now(c) + wait / 8, ALARM_SOON);
            m->soon = true;
        }
    } else if (e.what == ALARM_TICK) {
        if (cluster_now(c) < m->reads_until) {
            m->stood_still = fmax(m->stood_still, cluster_now(c) - m->told_at);
            m->told_at     = cluster_now(c);
            tell_here(c, q);
            asgdi_simnet_alarm(c->net, q, cluster_now(c) + c->c.exchange.heartbeat, ALARM_TICK);
            return;
        }
        if (m->steps == 0) m->stood_still = fmax(m->stood_still, cluster_now(c) - m->told_at);
        asgdi_simnet_alarm(c->net, q, cluster_now(c) + c->c.tick / 2 + wait, ALARM_TICK);
        member_step(c, q);
    } else if (e.what == ALARM_SOON) {
        m->soon = false;
        member_step(c, q);
    } else if (e.what == ALARM_CORRECT) {
        make_corrections(c, q);
        if (luck % 2) member_step(c, q);
    } else if (e.what == ALARM_SAVED) {
        asgdi_exchange_saved(m->x);
    } else {
        worker_did(c, q, (uint32_t)e.what - ALARM_WORK);
    }
}

static inline void cluster_event(cluster *c, asgdi_simnet_event e)
{
    if (e.process != ASGDI_SIMNET_NOBODY) {
        if (c->member[e.process].left)
            asgdi_frame_free(e.frame);
        else
            member_event(c, e.process, e);
    } else if (e.what < c->c.n_faults) {
        begin_fault(c, &c->c.fault[e.what]);
    } else { /* a storm ends */
        asgdi_simnet_odds(c->net, c->c.net.loss, c->c.net.repeat);
    }
}

/* Until all have left, or patience is at its end. */
static inline void cluster_run(cluster *c)
{
    asgdi_simnet_event e;
    c->reached[ASGDI_JOINING] = true;
    begin_faults(c);
    while (!c->wrong[0] && !cluster_over(c) &&
           asgdi_simnet_next(
               c->net, fmin(c->last_progress + c->c.patience, c->last_fault + c->c.longest), &e))
        cluster_event(c, e);
    if (asgdi_simnet_broken(c->net)) WRONG(c, "no memory");
    for (uint32_t q = 0; q < c->c.size; q++) {
        char text[600];
        if (c->member[q].left || c->wrong[0]) continue;
        asgdi_exchange_describe(c->member[q].x, cluster_now(c) + c->member[q].epoch, text,
                                sizeof text);
        WRONG(c, "process %u is still in stage %d, %.3f s after the last fault: %s", q,
              c->member[q].stage, cluster_now(c) - c->last_fault, text);
    }
}

#endif
