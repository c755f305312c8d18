/* worker.c -- the hot loop.
 *
 * lease a chunk -> gather examples -> for each batch: model step (which emits, and so changes the
 * parameters) -> publish counters -> merge private rows when due.  It allocates nothing, takes no lock
 * but a block's while merging, and cannot fail once set up. */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/blocks.h"
#include "engine/run.h"
#include "kern/gemm.h"

enum { STREAM_SHUFFLE = 1, STREAM_STEP = 2, LONG_WAIT = 1000, QUOTA_MOST = 1 << 16 };

/* In a group: how long progress may stay out of the master. */
static const double SETTLE_SECONDS = 0.02;
/* Times the first loss: training has diverged, whatever it is. */
static const double LOSS_FAR = 100;

static void publish_double(asgdi_u64 *to, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    asgdi_store_relaxed(to, bits);
}

void asgdi_backoff(uint32_t *round)
{
    if (*round < 100)
        asgdi_cpu_relax();
    else if (*round < 130)
        sched_yield();
    else
        asgdi_sleep(50e-6);
    ++*round;
}

/* ---- merging private rows ---- */

/* In a group: all that is done is in the master now. */
static void settled(asgdi_worker *w)
{
    const bool        last = asgdi_load_relaxed(&w->run->command) & ASGDI_STOP;
    const asgdi_range done = {w->piece, w->lease.lo};
    if (done.lo < done.hi && asgdi_done_put(w->account, done, last)) w->piece = done.hi;
    asgdi_done_settle(w->account);
}

/* all: also those rows whose turn it is not. */
static void merge(asgdi_worker *w, bool all)
{
    asgdi_run *r     = w->run;
    double     began = asgdi_now();
    if (w->account) {
        all            = all || began - w->settled_at > SETTLE_SECONDS;
        w->corrections = asgdi_load_acquire(&r->joint->corrections);
    }
    uint64_t tau    = asgdi_load_relaxed(&r->version) - w->base;
    float    weight = w->since_updates ? asgdi_tau_weight(tau, r->in_flight, r->damp) : 1;
    if (weight < 1) w->damped += w->since_updates;
    (all ? asgdi_merge : asgdi_merge_due)(&w->priv, &r->model->params, r->locks, r->k, r->workers,
                                          weight, &w->sink.step);
    uint64_t version = asgdi_add_relaxed(&r->version, w->since_updates);
    if (w->since_updates) asgdi_tau_add(&w->tau, version - w->base, w->since_updates);
    w->base           = version + w->since_updates;
    w->since_updates  = 0;
    w->since_examples = 0;
    w->merge_seconds += asgdi_now() - began;
    w->behind = r->partly && !all;
    if (!w->account || !all) return;
    w->settled_at = began;
    settled(w);
}

/* Having been off its core, a worker finds that the others have gone far ahead: it catches up before it
 * computes a gradient of old parameters. */
static void catch_up(asgdi_worker *w)
{
    const asgdi_run *r = w->run;
    if (!r->merge_fixed && asgdi_load_relaxed(&r->version) - w->base > 2 * r->in_flight)
        merge(w, true);
}

static uint64_t others_updates(const asgdi_worker *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->run->workers; i++)
        if (i != w->id) sum += asgdi_load_relaxed(&w->run->worker[i].updates);
    return sum;
}

/* ---- the parts of a step ---- */

static bool is_paused(asgdi_run *r)
{
    return (asgdi_load_acquire(&r->command) & (ASGDI_PAUSE | ASGDI_STOP)) == ASGDI_PAUSE;
}

void asgdi_worker_dawdle(asgdi_worker *w, double began)
{
    double took = asgdi_now() - began, want = took;
    if (want < w->run->pace) want = w->run->pace;
    want *= w->slow;
    for (double left = want - took; left > 0; left = began + want - asgdi_now()) {
        uint32_t command = asgdi_load_relaxed(&w->run->command);
        if (command & ASGDI_STOP) return;
        if (command & ASGDI_CORRECT) asgdi_pause_attend(w); /* it touches no row now */
        double slice = w->account ? 1e-3 : 0.05;
        asgdi_sleep(left < slice ? left : slice);
    }
}

void asgdi_worker_pause(asgdi_worker *w)
{
    asgdi_run *r = w->run;
    if (!is_paused(r)) return;
    if (r->private_rows) merge(w, true);
    for (uint32_t round = 0; is_paused(r);) {
        asgdi_store_release(&w->paused, asgdi_load_acquire(&r->ticket));
        asgdi_backoff(&round);
    }
    if (r->private_rows) merge(w, true); /* nothing of its own: takes in the others' */
}

/* ---- in a group ---- */

void asgdi_worker_settle(asgdi_worker *w)
{
    if (w->run->private_rows && (w->since_updates || w->behind))
        merge(w, true);
    else
        settled(w);
}

/* Takes in what others have learnt while it waited. */
static void take_in(asgdi_worker *w)
{
    asgdi_run *r = w->run;
    if (r->private_rows && w->corrections != asgdi_load_acquire(&r->joint->corrections))
        merge(w, true);
}

void asgdi_worker_idle(asgdi_worker *w, uint32_t *round)
{
    asgdi_run *r = w->run;
    if (w->account) {
        double began = asgdi_now();
        if (w->quota) asgdi_sub_acq_rel(&r->joint->begun, w->quota);
        w->quota = 0;
        asgdi_worker_settle(w);
        if (asgdi_load_relaxed(&r->command) & ASGDI_CORRECT) asgdi_pause_attend(w);
        if (*round > LONG_WAIT) asgdi_sleep(500e-6); /* the core is for others */
        asgdi_backoff(round);
        w->wait += asgdi_now() - began;
        publish_double(&w->waited, w->wait);
    } else {
        asgdi_backoff(round);
    }
}

void asgdi_worker_obey(asgdi_worker *w, uint32_t command)
{
    if (command & ASGDI_PAUSE) asgdi_worker_pause(w);
    if (command & ASGDI_CORRECT) w->stall += asgdi_pause_attend(w);
}

/* Updates that the worker may make now; 0: none before slower processes have made some. */
static uint64_t quota(asgdi_worker *w)
{
    asgdi_run *r = w->run;
    if (!r->bounded) return UINT64_MAX;
    if (w->quota) return w->quota;
    const uint64_t may   = asgdi_load_acquire(&r->joint->allowance);
    uint64_t       begun = asgdi_load_relaxed(&r->joint->begun);
    while (begun < may) {
        uint64_t some = (may - begun) / (4 * (uint64_t)r->workers) + 1;
        if (some > QUOTA_MOST) some = QUOTA_MOST;
        if (!asgdi_cas_acq_rel(&r->joint->begun, &begun, begun + some)) continue;
        w->quota = some;
        break;
    }
    return w->quota;
}

asgdi_lease asgdi_worker_lease(asgdi_worker *w)
{
    asgdi_run *r = w->run;
    for (uint32_t round = 0; w->piece < w->lease.lo;) {
        if (asgdi_done_put(w->account, (asgdi_range){w->piece, w->lease.lo}, false)) {
            w->piece = w->lease.lo;
            if (!r->private_rows) asgdi_done_settle(w->account);
        } else if (asgdi_load_relaxed(&r->command) & ASGDI_STOP) {
            return ASGDI_AT_GATE;
        } else {
            asgdi_worker_idle(w, &round); /* until some of it was told */
        }
    }
    asgdi_lease got = asgdi_lease_take(&r->leases, &w->lease);
    if (got != ASGDI_LEASED) return got;
    w->piece = w->lease.lo;
    return got;
}

/* ---- steps ---- */

/* A view of examples lo..lo+n-1 of a gathered batch. */
static asgd_batch slice(const asgd_batch *all, uint32_t lo, uint32_t n)
{
    asgd_batch b = *all;
    b.n          = n;
    if (b.y) b.y += lo;
    b.position += lo;
    if (b.weight) b.weight += lo;
    if (b.label_begin) {
        b.label_begin += lo;
        b.label_len += lo;
    }
    if (b.rating) {
        b.rating += lo;
    } else if (b.dense) {
        b.dense += (size_t)lo * b.features;
    } else {
        b.begin += lo;
        b.len += lo;
    }
    return b;
}

void asgdi_worker_rate(asgdi_worker *w, uint64_t position, double factor)
{
    const asgdi_run *r = w->run;
    /* the middle of an example: neither end of a schedule then gives a rate of 0 */
    double done = ((double)position + 0.5) / (double)r->total;
    double lr   = r->lr * factor * asgdi_schedule(r->schedule, r->warmup, done);
    asgdi_rule_step(&r->rule, lr, w->steps + 1, &w->sink.step);
}

void asgdi_worker_gather(asgdi_worker *w, uint32_t n, asgd_batch *out)
{
    const asgdi_run *r = w->run;
    for (uint32_t i = 0; i < n && r->order == ASGD_ORDER_SHUFFLE; i++) {
        uint64_t p = w->lease.lo + i;
        if (p - w->epoch * r->examples >= r->examples || w->permutation.n == 0) {
            w->epoch       = p / r->examples;
            w->permutation = asgdi_permutation_make(asgdi_random(r->seed, STREAM_SHUFFLE, w->epoch),
                                                    0, r->examples / r->stretch);
        }
        p -= w->epoch * r->examples;
        uint64_t from = p / r->stretch; /* those past the last whole stretch stay where they are */
        if (from < w->permutation.n)
            p = asgdi_permute(&w->permutation, from) * r->stretch + p % r->stretch;
        w->order[i] = p;
    }
    uint64_t next = w->lease.lo % r->examples;
    for (uint32_t i = 0; i < n && r->order == ASGD_ORDER_FILE; i++) {
        w->order[i] = next++;
        if (next == r->examples) next = 0;
    }
    asgdi_cursor_batch(&w->cursor, r->k, w->order, n, out);
    out->position = w->lease.lo;
}

void asgdi_worker_compute(asgdi_worker *w, const asgd_batch *b, asgd_stats *st)
{
    const asgd_model *m = w->run->model;
    m->ops.step(m->self, b, w->views, &w->sink, w->scratch,
                asgdi_random(w->run->seed, STREAM_STEP, b->position), st);
}

/* A loss that is none is told as a large one: the guard has to see also what comes after it. */
static double guarded_loss(asgdi_worker *w, uint32_t examples, const asgd_stats *st)
{
    const double first = st->weight > 0 ? st->loss / st->weight : 0;
    if (!(w->loss_most > 0)) w->loss_most = LOSS_FAR * (first > 1 && isfinite(first) ? first : 1);
    if (st->loss < w->loss_most * st->weight || !(st->weight > 0)) return st->loss;
    asgdi_store_relaxed(&w->bad, asgdi_load_relaxed(&w->bad) + examples);
    return w->loss_most * st->weight;
}

void asgdi_worker_publish(asgdi_worker *w, uint32_t examples, const asgd_stats *st)
{
    if (w->sums.weight == 0 && st->weight > 0)
        publish_double(&w->first_loss, st->loss / st->weight);
    w->sums.loss += w->run->guarded ? guarded_loss(w, examples, st) : st->loss;
    w->sums.weight += st->weight;
    publish_double(&w->loss, w->sums.loss);
    publish_double(&w->weight, w->sums.weight);
    publish_double(&w->tau_sum, w->tau.sum);
    publish_double(&w->tau_count, (double)w->tau.count);
    asgdi_store_release(&w->done, asgdi_load_relaxed(&w->done) + examples);
}

/* Examples one after another, each an update of its own, without a call for each.  An update's staleness
 * is what the others enter while it is made: their updates meanwhile, spread over these. */
static void steps(asgdi_worker *w, const asgd_batch *b)
{
    asgdi_run        *r      = w->run;
    const asgd_model *m      = r->model;
    bool              sample = !r->private_rows && !r->alone;
    uint64_t          before = sample ? others_updates(w) : 0;
    asgd_stats        st     = {0};
    if (r->private_rows) catch_up(w);
    asgdi_worker_rate(w, b->position, 1);
    m->ops.steps(m->self, b, w->views, &w->sink, w->scratch,
                 asgdi_random(r->seed, STREAM_STEP, b->position), &st);
    w->steps += b->n;
    asgdi_worker_publish(w, b->n, &st);
    if (r->private_rows) {
        w->since_updates += b->n;
        w->since_examples += b->n;
        if (w->since_examples >= r->merge) merge(w, false);
    } else {
        asgdi_store_release(&w->updates, w->steps);
        uint64_t tau = sample ? (others_updates(w) - before + b->n / 2) / b->n : 0;
        asgdi_tau_add(&w->tau, tau, b->n);
    }
}

static void step(asgdi_worker *w, const asgd_batch *b)
{
    asgdi_run *r = w->run;
    if (r->private_rows) catch_up(w);
    /* Shared rows: an update enters at once, so its staleness is what the others enter meanwhile.  Tiny
     * steps are sampled, for reading the others' counters would cost more than the step. */
    bool       shared = !r->private_rows && !r->alone;
    bool       sample = shared && (r->batch >= 8 || w->steps % 8 == 0);
    uint64_t   before = sample ? others_updates(w) : 0;
    bool       slow   = r->pace > 0 || w->slow > 1;
    double     began  = slow ? asgdi_now() : 0;
    asgd_stats st     = {0};
    asgdi_worker_rate(w, b->position, 1);
    asgdi_worker_compute(w, b, &st);
    if (slow) asgdi_worker_dawdle(w, began);
    if (r->deferred) {
        if (r->mode == ASGD_LOCKED) pthread_mutex_lock(&r->apply);
        asgdi_sink_flush(&w->sink, 1);
        if (r->mode == ASGD_LOCKED) pthread_mutex_unlock(&r->apply);
    }
    w->steps++;
    asgdi_worker_publish(w, b->n, &st);
    if (r->private_rows) {
        w->since_updates++;
        w->since_examples += b->n;
        if (w->since_examples >= r->merge) merge(w, false);
    } else {
        asgdi_store_release(&w->updates, w->steps);
        if (sample) asgdi_tau_add(&w->tau, others_updates(w) - before, 1);
        if (r->alone) asgdi_tau_add(&w->tau, 0, 1);
    }
}

/* ---- the worker ---- */

/* Examples of the next step or steps, of `left` gathered ones: no call goes past a merge. */
static uint32_t together(const asgdi_worker *w, uint32_t left)
{
    const asgdi_run *r    = w->run;
    uint32_t         most = r->in_a_row ? r->in_a_row : r->batch;
    if (r->in_a_row && r->private_rows && most > r->merge - w->since_examples)
        most = r->merge - w->since_examples;
    return left < most ? left : most;
}

/* Examples to gather of the lease. */
static uint32_t to_gather(asgdi_worker *w)
{
    const asgdi_run *r    = w->run;
    const uint64_t   left = w->lease.hi - w->lease.lo;
    const uint64_t   may  = r->bounded ? w->quota * (r->in_a_row ? 1 : r->batch) : r->super;
    const uint32_t   most = may < r->super ? (uint32_t)may : r->super;
    return left < most ? (uint32_t)left : most;
}

static void work(asgdi_worker *w)
{
    asgdi_run *r = w->run;
    for (uint32_t round = 0;;) {
        uint32_t command = asgdi_load_relaxed(&r->command);
        if (command & ASGDI_STOP) return;
        if (command != ASGDI_GO) asgdi_worker_obey(w, command);
        if (w->lease.lo >= w->lease.hi) {
            asgdi_lease got =
                w->account ? asgdi_worker_lease(w) : asgdi_lease_take(&r->leases, &w->lease);
            if (got == ASGDI_ALL_DONE) return;
            if (got == ASGDI_AT_GATE) {
                asgdi_worker_idle(w, &round);
                continue;
            }
        }
        if (quota(w) == 0) {
            asgdi_worker_idle(w, &round);
            continue;
        }
        if (w->account && round) take_in(w);
        round        = 0;
        uint32_t   n = to_gather(w);
        asgd_batch all;
        if (r->arranged.size)
            n = asgdi_blocks_gather(w, n, &all);
        else
            asgdi_worker_gather(w, n, &all);
        for (uint32_t i = 0, m; i < n && asgdi_load_relaxed(&r->command) == ASGDI_GO; i += m) {
            m            = together(w, n - i);
            asgd_batch b = slice(&all, i, m);
            if (r->in_a_row)
                steps(w, &b);
            else
                step(w, &b);
            w->lease.lo += b.n;
            if (r->bounded) w->quota -= r->in_a_row ? m : 1;
        }
    }
}

/* On the worker's own thread, so that its memory lies near its core. */
static asgd_status set_up(asgdi_worker *w)
{
    asgdi_run         *r = w->run;
    const asgd_model  *m = r->model;
    const asgd_source *s = r->source;
    if (r->topology) asgdi_topology_bind(r->topology, w->id);
    asgdk_gemm_thread();
    ASGD_TRY(asgdi_private_init(&w->priv, &m->params, r->n_own));
    asgdi_private_views(&w->priv, &m->params, w->views);
    for (int t = 0; r->alone && t < m->params.n_tables; t++)
        w->views[t] = (asgd_view){m->params.table[t].master, m->params.table[t].master,
                                  m->params.table[t].info.rows, m->params.table[t].stride};
    if (r->checkpoint.workers) asgdi_checkpoint_local(&r->checkpoint, w->id, w->priv.local);
    ASGD_TRY(asgdi_cursor_init(&w->cursor, s, r->super));
    asgdi_sink_kind kind     = r->deferred ? ASGDI_ACCUMULATE : ASGDI_APPLY;
    uint64_t        nonzeros = s->schema.dense ? 0 : (uint64_t)s->max_len * r->batch;
    ASGD_TRY(asgdi_sink_init(&w->sink, kind, r->k, &m->params, w->views, w->priv.local,
                             s->schema.features, r->batch, nonzeros, s->schema.dense));
    w->sink.rule = r->rule;
    w->scratch   = asgdi_calloc(1, m->ops.scratch ? m->ops.scratch(m->self, r->batch) : 0);
    w->order     = asgdi_calloc(r->super, sizeof *w->order);
    if (!w->scratch || !w->order) return ASGD_FAIL(ENOMEM, "no memory for worker %u", w->id);
    asgdi_worker_rate(w, 0, 1);
    if (!r->joint) return ASGD_OK;
    w->account = asgdi_calloc(1, sizeof *w->account);
    if (!w->account) return ASGD_FAIL(ENOMEM, "no memory for worker %u", w->id);
    return asgdi_access_init(&w->access, &r->model->params, r->locks, r->n_own, r->k,
                             &w->sink.step);
}

void *asgdi_worker_main(void *worker)
{
    asgdi_worker *w = worker;
    asgdi_run    *r = w->run;
    w->status       = set_up(w);
    if (w->status) snprintf(w->message, sizeof w->message, "%s", asgd_errmsg());
    asgdi_store_release(&w->ready, 1);
    for (uint32_t round = 0; !asgdi_load_acquire(&r->go);) asgdi_backoff(&round);
    if (!w->status) {
        if (r->grid.size)
            asgdi_blocks_work(w);
        else if (r->mode == ASGD_SYNC && !r->alone)
            asgdi_sync_work(w);
        else
            work(w);
        if (w->account)
            asgdi_worker_settle(w);
        else if (r->private_rows)
            merge(w, true);
    }
    publish_double(&w->ended_at, asgdi_now());
    asgdi_store_release(&w->ended, 1);
    return NULL;
}

void asgdi_worker_free(asgdi_worker *w)
{
    asgdi_sink_free(&w->sink);
    asgdi_cursor_free(&w->cursor);
    asgdi_private_free(&w->priv);
    asgdi_free(w->scratch);
    asgdi_free(w->order);
    asgdi_free(w->account);
    asgdi_access_free(&w->access);
}
