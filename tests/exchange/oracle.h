/* oracle.h -- what must have come of a run of a cluster, exactly.
 *
 * A world is what a process that finished believes to be left.  In it
 *  - all that finished have the same parameters, bit for bit;
 *  - each row is what it began as plus the contributions of the first included(q, row) examples that process q
 *    did, of every q, dead ones too: nothing is lost, nothing is there twice;
 *  - of those that finished, all that they did is in;
 *  - every position was done by one that finished, or by a dead one whose contributions are all in; none was
 *    done by two that finished.
 * Only where processes were cut from each other for longer than dead_after may there be two worlds. */
#ifndef ORACLE_H
#define ORACLE_H

#include "workers.h"

static inline bool finished(const cluster *c, uint32_t q)
{
    return c->member[q].stage == ASGDI_FINISHED && !asgdi_simnet_killed(c->net, q);
}

/* q is in the world of x. */
static inline bool counts_on(const cluster *c, uint32_t x, uint32_t q)
{
    return !c->member[x].lost[q] || c->member[x].lost_at[q] > c->member[x].finished_at;
}

static inline uint64_t included(const cluster *c, uint32_t x, uint32_t q, const touch *t)
{
    return asgdi_exchange_included(c->member[x].x, q, t->table, t->row);
}

/* Merging that adds up all progress, and loses nothing to rounding, neither in the masters nor in copies of them. */
static inline bool is_exact(const cluster_config *c)
{
    return adds_up(c) && c->exchange.coding == ASGDI_FLOAT32 && !c->exchange.rough;
}

/* The same of the masters alone: what copies round never gets there, but by the death of an owner. */
static inline bool masters_exact(const cluster_config *c)
{
    return adds_up(c) && c->exchange.coding == ASGDI_FLOAT32;
}

static inline void check_ends(cluster *c)
{
    uint32_t any = 0, lives = 0;
    for (uint32_t q = 0; q < c->c.size; q++) lives += !asgdi_simnet_killed(c->net, q);
    for (uint32_t q = 0; q < c->c.size; q++) {
        const member *m = &c->member[q];
        if (asgdi_simnet_killed(c->net, q)) continue;
        any += finished(c, q);
        if (m->stage == ASGDI_FAILED &&
            !(c->c.exchange.least > 1 && (lives < c->c.exchange.least || c->c.may_be_out)))
            WRONG(c, "process %u failed: %s", q, asgdi_exchange_why(m->x));
        if (m->stage == ASGDI_OUT && !c->c.may_be_out)
            WRONG(c, "process %u is out: %s", q, asgdi_exchange_why(m->x));
    }
    /* those that were given up for dead may outlive the others */
    if (any == 0 && c->c.exchange.least <= 1 && !c->c.may_be_out) WRONG(c, "nobody finished");
}

static inline bool same_params(const cluster *c, uint32_t x, uint32_t y, int *table, uint64_t *at)
{
    const asgdi_params *p = &c->member[x].w, *q = &c->member[y].w;
    for (int t = 0; t < TABLES; t++)
        for (uint64_t i = 0; i < p->table[t].info.rows * p->table[t].stride; i++)
            if (memcmp(&p->table[t].master[i], &q->table[t].master[i], sizeof(float)) != 0) {
                *table = t;
                *at    = i;
                return false;
            }
    return true;
}

static inline void check_worlds(cluster *c)
{
    for (uint32_t x = 0; x < c->c.size; x++)
        for (uint32_t y = 0; y < x; y++) {
            int      t;
            uint64_t i;
            if (!finished(c, x) || !finished(c, y)) continue;
            bool one = counts_on(c, x, y) && counts_on(c, y, x);
            if (!one && !c->c.may_split)
                WRONG(c, "processes %u and %u both finished, without each other", y, x);
            if (one && !same_params(c, x, y, &t, &i))
                WRONG(c, "table %d, float %llu is %.9g in process %u, %.9g in process %u", t,
                      (unsigned long long)i, (double)c->member[y].w.table[t].master[i], y,
                      (double)c->member[x].w.table[t].master[i], x);
        }
}

static inline void check_finite(cluster *c, uint32_t x)
{
    const asgdi_params *p = &c->member[x].w;
    for (int t = 0; t < TABLES; t++)
        for (uint64_t i = 0; i < p->table[t].info.rows * p->table[t].stride; i++)
            if (!isfinite(p->table[t].master[i]))
                WRONG(c, "process %u, table %d, float %llu is not finite", x, t,
                      (unsigned long long)i);
}

/* What the parameters of x must be is put into `want`. */
static inline void add_up(const cluster *c, uint32_t x, asgdi_params *want)
{
    for (uint32_t q = 0; q < c->c.size; q++)
        for (uint64_t n = 0; n < c->member[q].n_done; n++)
            for (uint32_t i = 0; i < c->c.touched; i++) {
                touch t = example_touches(&c->c, c->member[q].order[n], i);
                if (n < included(c, x, q, &t)) touch_row(want, &t, false);
            }
}

static inline void check_sums(cluster *c, uint32_t x, const char *what, float *const *rows)
{
    const bool   exact = masters_exact(&c->c);
    asgdi_params want;
    if (!fill(&c->c, &want)) {
        WRONG(c, "no memory");
        return;
    }
    add_up(c, x, &want);
    for (int t = 0; t < TABLES; t++) {
        const size_t stride = want.table[t].stride;
        if (c->c.exchange.merging[t] != ASGDI_MERGE_DELTA) continue;
        for (uint64_t i = 0; i < want.table[t].info.rows * stride; i++) {
            const float is = rows[t][i], should = want.table[t].master[i];
            if (merge_at(&want, t, i % stride) != ASGDK_SUM) continue;
            if (exact ? is == should : fabsf(is - should) <= 1e-3f * (1 + fabsf(should))) continue;
            WRONG(c, "%s process %u, table %d, row %llu, float %llu is %.9g, not %.9g", what, x, t,
                  (unsigned long long)(i / stride), (unsigned long long)(i % stride), (double)is,
                  (double)should);
        }
    }
    asgdi_params_free(&want);
}

/* Whether all of an example that q did as its n-th is in the parameters of x. */
static inline bool all_in(const cluster *c, uint32_t x, uint32_t q, uint64_t n)
{
    bool in = true;
    for (uint32_t i = 0; i < c->c.touched; i++) {
        touch t = example_touches(&c->c, c->member[q].order[n], i);
        in      = in && n < included(c, x, q, &t);
    }
    return in;
}

/* Who did it, and what became of that, for the message. */
static inline void tell_not_done(cluster *c, uint32_t x, uint64_t e)
{
    char   text[600];
    size_t at = 0;
    text[0]   = 0;
    for (uint32_t q = 0; q < c->c.size; q++)
        for (uint64_t n = 0; n < c->member[q].n_done && at < sizeof text; n++) {
            if (c->member[q].order[n] != e) continue;
            at += (size_t)snprintf(text + at, sizeof text - at,
                                   "; process %u did it as its number %llu, in are", q,
                                   (unsigned long long)n);
            for (uint32_t i = 0; i < c->c.touched && at < sizeof text; i++) {
                touch t = example_touches(&c->c, e, i);
                at += (size_t)snprintf(text + at, sizeof text - at, " %llu",
                                       (unsigned long long)included(c, x, q, &t));
            }
        }
    WRONG(c, "position %llu was not done, says process %u%s", (unsigned long long)e, x, text);
}

static inline void check_positions(cluster *c, uint32_t x)
{
    const uint64_t total = c->c.exchange.total;
    uint8_t       *times = calloc(total, 1), *living = calloc(total, 1);
    uint32_t       deaths  = 0;
    bool           stopped = asgdi_exchange_stopped(c->member[x].x) != 0;
    if (!times || !living) abort();
    for (uint32_t q = 0; q < c->c.size; q++) {
        deaths += !counts_on(c, x, q);
        for (uint64_t n = 0; n < c->member[q].n_done; n++) {
            bool in = all_in(c, x, q, n);
            if (!in && counts_on(c, x, q))
                WRONG(c, "example %llu of process %u is not in process %u", (unsigned long long)n,
                      q, x);
            if (in && times[c->member[q].order[n]] < 255) times[c->member[q].order[n]]++;
            if (counts_on(c, x, q) && living[c->member[q].order[n]] < 2)
                living[c->member[q].order[n]]++;
        }
    }
    for (uint64_t e = 0; e < total; e++) {
        c->forgotten += times[e] == 0 && !stopped;
        if (times[e] == 0 && !stopped && deaths < 2) tell_not_done(c, x, e);
        if (living[e] > 1)
            WRONG(c, "position %llu was done twice by living processes", (unsigned long long)e);
        c->repeated += times[e] > 1;
    }
    if (deaths == 0 && !stopped && asgdi_exchange_examples(c->member[x].x) != total)
        WRONG(c, "process %u knows of %llu examples", x,
              (unsigned long long)asgdi_exchange_examples(c->member[x].x));
    free(times);
    free(living);
}

/* A whole snapshot: the parts hold each row once; each row is what it began as plus what it says it includes, and
 * that is all of what is said to be done. */
typedef struct whole {
    const float    **row[TABLES];      /* [rows] */
    const uint64_t **included[TABLES]; /* [rows][processes] */
} whole;

static inline void whole_free(whole *w)
{
    for (int t = 0; t < TABLES; t++) {
        free((void *)w->row[t]);
        free((void *)w->included[t]);
    }
}

static inline void add_part(cluster *c, whole *w, const shot *s, uint32_t q)
{
    const asgdi_params *p            = &c->member[q].w;
    size_t              used[TABLES] = {0};
    for (uint32_t i = 0; i < s->n; i++) {
        const asgdi_piece *piece = &s->piece[i];
        for (uint32_t r = 0; r < piece->rows; r++) {
            const uint64_t row = piece->first + r;
            if (row >= p->table[piece->table].info.rows || w->row[piece->table][row]) {
                WRONG(c, "part of process %u: row %llu of table %d is none, or in two parts", q,
                      (unsigned long long)row, piece->table);
                return;
            }
            w->row[piece->table][row]      = s->rows[piece->table] + used[piece->table];
            w->included[piece->table][row] = s->included + (size_t)i * c->c.size;
            used[piece->table] += p->table[piece->table].stride;
        }
    }
}

static inline void check_rows(cluster *c, const whole *w, const asgdi_params *want)
{
    for (int t = 0; t < TABLES; t++) {
        const asgdi_table *x = &want->table[t];
        if (c->c.exchange.merging[t] != ASGDI_MERGE_DELTA) continue;
        for (uint64_t i = 0; i < x->info.rows * x->stride; i++) {
            const uint64_t row = i / x->stride, at = i % x->stride;
            if (merge_at(want, t, at) != ASGDK_SUM) continue;
            const float is = w->row[t][row][at], should = x->master[i];
            if (is != should)
                WRONG(c, "snapshot, table %d, row %llu, float %llu is %.9g, not %.9g", t,
                      (unsigned long long)row, (unsigned long long)at, (double)is, (double)should);
        }
    }
}

/* x: whose snapshot it is. */
static inline void check_done(cluster *c, const whole *w, asgdi_params *want, uint8_t *in,
                              uint32_t x, const asgdi_part *part, uint32_t n)
{
    uint32_t dead = 0;
    for (uint32_t q = 0; q < c->c.size; q++) {
        dead += c->member[x].lost[q];
        for (uint64_t e = 0; e < c->member[q].n_done; e++) {
            bool all = true;
            for (uint32_t i = 0; i < c->c.touched; i++) {
                touch      t    = example_touches(&c->c, c->member[q].order[e], i);
                const bool here = e < w->included[t.table][t.row][q];
                if (here) touch_row(want, &t, false);
                all = all && here;
            }
            if (all) in[c->member[q].order[e]] = 1;
        }
    }
    if (!is_exact(&c->c)) return;
    check_rows(c, w, want);
    for (uint32_t k = 0; k < n && dead < 2; k++) {
        const asgdi_ranges *done = &c->member[part[k].process].shot.done;
        for (uint32_t i = 0; i < done->n; i++)
            for (uint64_t e = done->range[i].lo; e < done->range[i].hi; e++)
                if (e >= c->c.exchange.total || !in[e])
                    WRONG(c,
                          "position %llu is done, says process %u in a snapshot, and is not in it",
                          (unsigned long long)e, part[k].process);
    }
}

static inline void check_snapshot(cluster *c, uint32_t x)
{
    asgdi_part     part[MOST_PROCESSES];
    const uint32_t n  = asgdi_exchange_snapshot_parts(c->member[x].x, part);
    uint8_t       *in = calloc(c->c.exchange.total, 1);
    whole          w  = {0};
    asgdi_params   want;
    for (uint32_t k = 0; k < n;
         k++) { /* given up while it stood still: these have a later one, and this is not kept */
        if (!c->member[part[k].process].lost[x]) continue;
        free(in);
        return;
    }
    if (!in || !fill(&c->c, &want)) abort();
    for (int t = 0; t < TABLES; t++) {
        w.row[t]      = calloc(want.table[t].info.rows, sizeof *w.row[t]);
        w.included[t] = calloc(want.table[t].info.rows, sizeof *w.included[t]);
        if (!w.row[t] || !w.included[t]) abort();
    }
    for (uint32_t k = 0; k < n; k++) {
        const shot *s = &c->member[part[k].process].shot;
        if (s->number != asgdi_exchange_snapshot_number(c->member[x].x) ||
            part[k].bytes != s->number * 31 || part[k].checksum != part[k].process)
            WRONG(c, "process %u has not written what it says", part[k].process);
        else
            add_part(c, &w, s, part[k].process);
    }
    for (int t = 0; t < TABLES; t++)
        for (uint64_t r = 0; r < want.table[t].info.rows; r++)
            if (!w.row[t][r])
                WRONG(c, "row %llu of table %d is in no part", (unsigned long long)r, t);
    if (!c->wrong[0]) check_done(c, &w, &want, in, x, part, n);
    whole_free(&w);
    asgdi_params_free(&want);
    free(in);
}

static inline bool anybody_died(const cluster *c)
{
    for (uint32_t x = 0; x < c->c.size; x++)
        for (uint32_t q = 0; q < c->c.size; q++)
            if (finished(c, x) && !counts_on(c, x, q)) return true;
    return false;
}

/* The losses are those of a healthy run. */
static inline void check_guard(cluster *c)
{
    for (uint32_t q = 0; q < c->c.size; q++)
        if (asgdi_exchange_interventions(c->member[q].x) > 0)
            WRONG(c, "process %u: the guard has found something", q);
}

static inline void cluster_check(cluster *c)
{
    if (c->wrong[0]) return;
    check_guard(c);
    check_ends(c);
    check_worlds(c);
    for (uint32_t x = 0; x < c->c.size; x++)
        if (finished(c, x)) check_finite(c, x);
    if (c->c.exchange.clock == ASGDI_CLOCK_LAG && c->c.lag_holds && c->lag > c->c.exchange.max_lag)
        WRONG(c, "a process was %llu updates ahead, more than %llu", (unsigned long long)c->lag,
              (unsigned long long)c->c.exchange.max_lag);
    /* a dead process leaves behind what a coarse coding had not sent yet */
    if (!adds_up(&c->c) || (!is_exact(&c->c) && anybody_died(c))) return;
    for (uint32_t x = 0; x < c->c.size && !c->wrong[0]; x++) {
        bool seen = false; /* one of each world is enough: they are the same bits */
        for (uint32_t y = 0; y < x; y++)
            seen = seen || (finished(c, y) && counts_on(c, x, y) && counts_on(c, y, x));
        if (!finished(c, x) || seen) continue;
        float *rows[TABLES];
        for (int t = 0; t < TABLES; t++) rows[t] = c->member[x].w.table[t].master;
        check_sums(c, x, "", rows);
        check_positions(c, x);
    }
}

#endif
