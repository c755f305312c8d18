/* group.c -- the processes that train together: one thread that owns the link and drives the exchange.
 *
 * It lives from asgd_group_open() to asgd_group_close(), so that a process whose run is over still answers
 * the others.  Each turn of its loop
 *
 *     frames in -> what workers have done -> tick -> corrections -> frames out -> leases
 *
 * takes what is there and waits for nothing; between turns it rests, shortly while frames move and longer
 * where nothing happens.  What it shares with a run is in joint.h. */
#include "engine/group.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/run.h"

static const double REST_SHORT = 40e-6;  /* seconds between turns, while workers wait for others */
static const double REST_LEAST = 200e-6; /* and while they do not, when frames move */
static const double REST_MOST  = 2e-3;   /* a frame that comes ends it, over most links */
static const double STOCK_SECONDS =
    0.02; /* of work in the workers' stock, and of a piece half of it */
static const double RATE_SECONDS = 0.02; /* of work that a rate is measured over */
static const double RATE_FIRST =
    1e-4; /* the first one; the next ones twice as long as those before */
static const double CLOSE_SECONDS = 5;
static const double OPEN_SECONDS  = 100; /* for all processes to come up */
static const double POLL_SECONDS  = 1e-3;
static const double HERE_SECONDS  = 0.1;

enum {
    FRAMES     = 256, /* taken in one turn */
    TURNS_OVER = 3,   /* after the end, which others are told of in one of them */
};

struct asgd_group {
    asgdi_link            *link;
    char                   name[32];
    pthread_t              thread;
    asgd_status            status; /* of opening the link */
    char                   message[512];
    asgdi_u32              ready, closing, speaks;
    asgdi_u64              runs;        /* begun so far */
    asgdi_u32              save, saved; /* this process has saved; some has */
    int                    code;
    _Atomic(asgdi_joint *) joint; /* the run's; NULL: none */

    /* the thread's own */
    asgdi_joint    *driven;
    asgdi_exchange *exchange; /* the driven run's, or that of the last one, for the others' sake */
    asgdi_row_reader *reader; /* its */
    asgdi_progress    told;
    double            rate;  /* examples/s of this process; 0: not known yet */
    asgdi_range       lease; /* part of one that the stock had no room for */
    bool              called, asked, ended, still;
    double            began;
    double   cost_before; /* seconds of a core that this thread had taken when the run began */
    double   cost;        /* and since then: turns, what MPI does in them and between them, naps */
    double   rate_busy;   /* seconds of workers when the rate was measured last */
    double   rate_over;   /* seconds of work that it is to be measured over next */
    uint64_t rate_done;   /* examples */
    uint32_t lost, turns_over;
    double   here_at;     /* when the others are to be told next that it is there */
    double   turned;      /* when the last turn was, or the link was opened */
    double   stood_still; /* seconds between two turns, at the most, since the last run */
    double   stood;       /* seconds, of the last standstill */
};

/* ---- what workers have done ---- */

static bool workers_ended(asgd_group *g)
{
    asgdi_run *r = g->driven->run;
    if (g->ended) return true;
    for (uint32_t i = 0; i < r->workers; i++)
        if (!asgdi_load_acquire(&r->worker[i].ended)) return false;
    return g->ended = true;
}

static double read_double(asgdi_u64 *from)
{
    uint64_t bits = asgdi_load_relaxed(from);
    double   v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The workers' speed while they have work; what they wait for others is not theirs. */
static void measure(asgd_group *g, double now)
{
    asgdi_joint *j    = g->driven;
    asgdi_run   *r    = j->run;
    uint64_t     done = 0;
    double       busy = (now - g->began) * r->workers;
    for (uint32_t i = 0; i < r->workers; i++) {
        done += asgdi_load_relaxed(&r->worker[i].done);
        busy -= read_double(&r->worker[i].waited);
    }
    const double seconds = (busy - g->rate_busy) / r->workers;
    if (done == g->rate_done || seconds < g->rate_over) return;
    const double rate = (double)(done - g->rate_done) / seconds;
    /* first steps are slow and tell little: only what was measured for long enough is worth keeping */
    g->rate      = g->rate_over < RATE_SECONDS ? rate : 0.5 * (g->rate + rate);
    g->rate_over = fmin(2 * g->rate_over, RATE_SECONDS);
    g->rate_done = done;
    g->rate_busy = busy;
    /* a worker tells what it has done about every half of the time that the stock lasts */
    const double   piece  = 0.5 * STOCK_SECONDS * g->rate / r->workers / r->batch;
    const uint32_t most   = r->leases.most / r->batch;
    const uint32_t wanted = piece < 1 ? 1 : piece > most ? most : (uint32_t)piece;
    asgdi_store_relaxed(&j->stock.most, wanted * r->batch);
}

/* The learning rate as part of the highest; a warm-up is not a time to be further ahead. */
static double lr_part(const asgd_group *g)
{
    const asgdi_run *r    = g->driven->run;
    const double     done = (double)asgdi_exchange_progress(g->exchange) / (double)r->total;
    return done < r->warmup ? 1 : asgdi_schedule(r->schedule, r->warmup, done);
}

static void look_at_workers(asgd_group *g, double now)
{
    asgdi_run     *r     = g->driven->run;
    const bool     ended = workers_ended(g); /* before their last progress is looked at */
    asgdi_progress p     = {.cost = g->cost, .stood_still = g->stood_still};
    asgdi_range    done;
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        p.updates += asgdi_load_acquire(&w->updates);
        p.examples += asgdi_load_acquire(&w->account->settled_examples);
        p.losses.examples += asgdi_load_acquire(&w->done);
        p.losses.loss += read_double(&w->loss);
        p.losses.weight += read_double(&w->weight);
        p.losses.bad += asgdi_load_relaxed(&w->bad);
        p.losses.first += read_double(&w->first_loss) / r->workers;
        while (asgdi_done_take(w->account, &done)) asgdi_exchange_done(g->exchange, done);
    }
    if (r->private_rows) p.updates = asgdi_load_relaxed(&r->version);
    if (r->mode == ASGD_SYNC && !r->alone) /* steps that all have applied */
        p.updates = asgdi_load_acquire(&r->sync.phase) / 2;
    measure(g, now);
    p.lr    = lr_part(g);
    p.rate  = fmax(g->rate, g->driven->rate_least);
    g->told = p;
    if (ended && !g->still) asgdi_exchange_still(g->exchange);
    g->still = ended;
}

static void give_work(asgd_group *g)
{
    asgdi_joint   *j    = g->driven;
    asgdi_run     *r    = j->run;
    const uint64_t most = (1u << 30) / r->batch * r->batch;
    const double   want =
        fmax(STOCK_SECONDS * g->rate, 2.0 * asgdi_load_relaxed(&j->stock.most) * r->workers);
    while ((double)asgdi_stock_left(&j->stock) < want) {
        if (g->lease.lo >= g->lease.hi && !asgdi_exchange_lease(g->exchange, &g->lease)) return;
        asgdi_range now = g->lease;
        if (now.hi - now.lo > most) now.hi = now.lo + most;
        if (!asgdi_stock_put(&j->stock, now)) return;
        g->lease.lo = now.hi;
    }
}

/* ---- corrections ---- */

static void corrected(asgd_group *g)
{
    g->called = false;
    asgdi_exchange_corrected(g->exchange);
}

/* All that need a pause, where no worker is left. */
static void correct_alone(asgd_group *g, const asgdi_correction *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!asgdi_is_private(g->driven->run, &c[i])) asgdi_correct(&g->driven->access, &c[i]);
    corrected(g);
}

/* false: there is nothing to correct now. */
static bool correct(asgd_group *g)
{
    asgdi_joint *j = g->driven;
    asgdi_run   *r = j->run;
    if (g->called) {
        const bool ended =
            workers_ended(g); /* looked at first: the last to end may have made them */
        if (asgdi_pause_is_over(r)) {
            corrected(g);
        } else if (ended) {
            correct_alone(g, j->pause.todo.correction, j->pause.todo.n);
        } else {
            return true;
        }
    }
    const asgdi_correction *c;
    const uint32_t          n      = asgdi_exchange_corrections(g->exchange, &c);
    uint32_t                shared = n;
    for (uint32_t i = 0; i < n; i++) {
        if (!asgdi_is_private(r, &c[i])) continue;
        asgdi_correct(&g->driven->access, &c[i]);
        shared--;
    }
    if (shared < n) asgdi_add_acq_rel(&j->corrections, 1);
    if (n == 0) return false;
    if (shared == 0) {
        corrected(g);
    } else if (workers_ended(g)) {
        correct_alone(g, c, n);
    } else {
        asgdi_pause_call(r, c, n);
        g->called = true;
    }
    return true;
}

/* ---- one turn ---- */

static bool receive(asgd_group *g, double now)
{
    uint32_t     from, n = 0;
    asgdi_frame *f;
    for (; n < FRAMES && (f = g->link->receive(g->link, &from)) != NULL; n++) {
        if (g->exchange) asgdi_exchange_receive(g->exchange, from, f->data, f->bytes, now);
        asgdi_frame_free(f);
    }
    return n > 0;
}

static bool send(asgd_group *g)
{
    uint32_t     to, n = 0;
    asgdi_frame *f;
    for (; (f = asgdi_exchange_send(g->exchange, &to)) != NULL; n++) g->link->send(g->link, to, f);
    while (asgdi_exchange_lost(g->exchange, &to)) {
        g->link->drop(g->link, to);
        g->lost++;
        if (g->driven) g->driven->lost++;
    }
    return n > 0;
}

/* What control loops need for a checkpoint. */
static void serve_snapshot(asgd_group *g)
{
    asgdi_joint   *j     = g->driven;
    const uint64_t asked = asgdi_load_acquire(&j->snapshot_asked);
    if (asked) {
        asgdi_exchange_snapshot_begin(g->exchange, asked);
        asgdi_store_relaxed(&j->snapshot_state, ASGDI_SNAPSHOT_UNDER_WAY);
        asgdi_store_release(&j->snapshot_asked, 0);
    }
    const uint32_t step = asgdi_load_acquire(&j->part_step);
    if (step == ASGDI_PART_WRITTEN)
        asgdi_exchange_snapshot_written(g->exchange, j->part.number, j->part_good,
                                        j->part_told.bytes, j->part_told.checksum);
    if (step != ASGDI_PART_THERE) {
        const bool there = asgdi_exchange_snapshot_part(g->exchange, &j->part);
        asgdi_store_release(&j->part_step, there ? ASGDI_PART_THERE : ASGDI_PART_NONE);
    }
    const asgdi_snapshot_state now = asgdi_exchange_snapshot_state(g->exchange);
    if (asgdi_load_relaxed(&j->snapshot_state) != ASGDI_SNAPSHOT_UNDER_WAY ||
        now == ASGDI_SNAPSHOT_UNDER_WAY)
        return;
    if (now == ASGDI_SNAPSHOT_WHOLE) {
        j->n_parts  = asgdi_exchange_snapshot_parts(g->exchange, j->parts);
        j->snapshot = asgdi_exchange_snapshot_number(g->exchange);
    }
    asgdi_store_release(&j->snapshot_state, now);
}

static void command(asgd_group *g)
{
    asgdi_joint      *j     = g->driven;
    const asgdi_stage stage = asgdi_exchange_stage(g->exchange);
    uint32_t          why   = asgdi_load_acquire(&j->stop);
    if (!why && asgdi_exchange_is_hopeless(g->exchange)) { /* before others hear that all is done */
        asgdi_store_relaxed(&j->hopeless, 1);
        why = ASGDI_WHY_FAILED | (uint32_t)ASGD_EDIVERGED | g->link->self << 16;
    }
    if (why && !g->asked) {
        asgdi_exchange_stop(g->exchange, why);
        g->asked = true;
    }
    serve_snapshot(g);
    const asgdi_set in = asgdi_exchange_members(g->exchange);
    for (int i = 0; i < ASGDI_SET_WORDS; i++) asgdi_store_relaxed(&j->in[i], in.word[i]);
    asgdi_store_release(&j->allowance, asgdi_exchange_allowance(g->exchange));
    asgdi_store_relaxed(&j->interventions, asgdi_exchange_interventions(g->exchange));
    const uint32_t stopped = asgdi_exchange_stopped(g->exchange);
    if (stage > ASGDI_TRAINING || stopped) asgdi_tell(j->run, ASGDI_STOP);
    asgdi_store_release(&j->stopped, stopped);
    asgdi_store_relaxed(&j->examples, asgdi_exchange_examples(g->exchange));
    asgdi_store_release(&j->stage, stage);
}

/* Tells the run when nothing moves any more, and when it does again. */
static void watch(asgd_group *g, double now)
{
    asgdi_joint   *j     = g->driven;
    const uint32_t stall = asgdi_load_relaxed(&j->stall);
    const double   stood = asgdi_exchange_stood(g->exchange);
    const bool     tells = stall & 1, stands = stood >= j->stall_after;
    if (!j->text || asgdi_exchange_stage(g->exchange) > ASGDI_FINISHED) return;
    if (stands) g->stood = stood;
    if (stands == tells || asgdi_load_acquire(&j->stall_told) != stall) return;
    if (stands) {
        const int n = snprintf(j->text, j->text_bytes,
                               "nothing has moved for %.0f s; as seen from here:\n", stood);
        asgdi_exchange_describe(g->exchange, now, j->text + n, j->text_bytes - (size_t)n);
        j->text[strlen(j->text) - 1] = 0; /* the end of its last line */
    } else {
        snprintf(j->text, j->text_bytes, "it moves again, after %.0f s", g->stood);
    }
    asgdi_store_release(&j->stall, stall + 1);
}

static void forget(asgd_group *g)
{
    asgdi_exchange_free(g->exchange);
    asgdi_free(g->reader);
    g->exchange = NULL;
    g->reader   = NULL;
}

static void begin(asgd_group *g, asgdi_joint *j)
{
    forget(g);
    asgdi_add_acq_rel(&g->runs, 1);
    asgdi_store_relaxed(&g->save, 0);
    asgdi_store_relaxed(&g->saved, 0);
    g->driven   = j;
    g->exchange = j->exchange;
    g->reader   = j->reader;
    g->told     = (asgdi_progress){0};
    g->rate     = 0;
    g->lease    = (asgdi_range){0};
    g->called = g->asked = g->ended = g->still = false;
    g->began                                   = asgdi_now();
    g->cost_before                             = asgdi_thread_seconds();
    g->cost                                    = 0;
    g->turns_over                              = 0;
    g->rate_busy                               = 0;
    g->rate_over                               = RATE_FIRST;
    g->rate_done                               = 0;
}

/* From here on the run may be gone; the exchange lives on for the other processes. */
static void let_go(asgd_group *g)
{
    asgdi_joint *j = g->driven;
    asgdi_exchange_count(g->exchange, &j->counts);
    j->unlike = asgdi_exchange_is_unlike(g->exchange);
    snprintf(j->why, sizeof j->why, "%s", asgdi_exchange_why(g->exchange));
    (void)asgdi_ranges_add_all(&j->done,
                               asgdi_exchange_done_set(g->exchange)); /* or less is known */
    g->driven         = NULL;
    g->reader->access = NULL;
    g->stood_still    = 0;
    atomic_store_explicit(&g->joint, NULL, memory_order_relaxed);
    asgdi_store_release(&j->let_go, 1);
}

/* Others may have begun, and would give up one that is not heard of. */
static void tell_here(asgd_group *g, double now)
{
    asgdi_link *l = g->link;
    if (now < g->here_at) return;
    g->here_at = now + HERE_SECONDS;
    for (uint32_t q = 0; q < l->size; q++) {
        asgdi_frame *f = q == l->self ? NULL : asgdi_exchange_here(l->self, asgdi_group_run(g));
        if (f) l->send(l, q, f);
    }
}

/* The last run needs this process no more: others have fetched from it, and what it was to save is saved,
 * which the beginning of another run, or the end, says by itself. */
static bool is_free(asgd_group *g)
{
    if (!g->exchange || asgdi_exchange_stage(g->exchange) != ASGDI_FINISHED) return true;
    if (asgdi_exchange_is_speaker(g->exchange)) asgdi_store_relaxed(&g->save, 1);
    if (asgdi_exchange_is_over(g->exchange)) g->turns_over++;
    return g->turns_over > TURNS_OVER;
}

/* true: something happened. */
static bool turn(asgd_group *g)
{
    double       now  = asgdi_now();
    asgdi_joint *j    = atomic_load_explicit(&g->joint, memory_order_acquire);
    bool         busy = false;
    /* it was stopped, or starved; what happens in a run its exchange sees by itself */
    if (!g->driven) g->stood_still = fmax(g->stood_still, now - g->turned);
    g->turned = now;
    if (j && !g->driven && is_free(g)) begin(g, j);
    busy = receive(g, now);
    if (!g->driven) tell_here(g, now);
    if (!g->exchange) return busy;
    if (g->driven) look_at_workers(g, now);
    if (asgdi_load_relaxed(&g->save) && !asgdi_exchange_is_saved(g->exchange))
        asgdi_exchange_saved(g->exchange);
    asgdi_exchange_tick(g->exchange, now, &g->told);
    if (g->driven) busy = correct(g) || busy;
    busy = send(g) || busy;
    asgdi_store_relaxed(&g->speaks, asgdi_exchange_is_speaker(g->exchange));
    asgdi_store_release(&g->saved, asgdi_exchange_stage(g->exchange) > ASGDI_FINISHED ||
                                       asgdi_exchange_is_saved(g->exchange));
    if (!g->driven) return busy;
    give_work(g);
    watch(g, now); /* before the run hears that it is over */
    command(g);
    if (asgdi_load_acquire(&g->driven->leave) && !g->called) let_go(g);
    return busy;
}

/* ---- the thread ---- */

static bool is_done(asgd_group *g)
{
    return asgdi_load_acquire(&g->closing) && (g->code != 0 || is_free(g));
}

/* What comes next is waited for: workers have done all that they may, or the end has come. */
static bool is_awaited(const asgd_group *g)
{
    asgdi_joint *j = g->driven;
    return j && (g->ended || asgdi_load_relaxed(&j->begun) >= asgdi_load_relaxed(&j->allowance));
}

static void *thread_of(void *group)
{
    asgd_group *g = group;
    if (!g->link) g->status = asgdi_link_open(&g->link, g->name);
    if (g->status) snprintf(g->message, sizeof g->message, "%s", asgd_errmsg());
    if (!g->status) asgdi_store_relaxed(&g->speaks, g->link->self == 0);
    g->turned = asgdi_now(); /* the others hear of it from now on */
    asgdi_store_release(&g->ready, 1);
    if (g->status) return NULL;
    for (double rest = REST_LEAST; !is_done(g);) {
        const bool busy = turn(g);
        g->cost         = asgdi_thread_seconds() - g->cost_before;
        rest = busy ? (is_awaited(g) ? REST_SHORT : REST_LEAST) : fmin(1.5 * rest, REST_MOST);
        g->link->rest(g->link, rest);
    }
    const asgdi_stage stage = g->exchange ? asgdi_exchange_stage(g->exchange) : ASGDI_FINISHED;
    const bool        bad   = stage > ASGDI_FINISHED;
    forget(g);
    if (stage == ASGDI_OUT) g->link->drop(g->link, g->link->self); /* it is not to end theirs */
    g->link->close(g->link, CLOSE_SECONDS, g->lost > 0 || bad, g->code);
    return NULL;
}

static asgd_status start(asgd_group **out, const char *name, asgdi_link *link)
{
    *out          = NULL;
    asgd_group *g = asgdi_calloc(1, sizeof *g);
    if (!g) return ASGD_FAIL(ENOMEM, "no memory for a group of processes");
    g->link = link;
    snprintf(g->name, sizeof g->name, "%s", name);
    const int e = pthread_create(&g->thread, NULL, thread_of, g);
    if (e) {
        asgdi_free(g);
        return ASGD_FAIL(ENOMEM, "cannot start the thread of a group: %s", strerror(e));
    }
    const double late = asgdi_now() + OPEN_SECONDS;
    for (uint32_t round = 0; !asgdi_load_acquire(&g->ready); asgdi_backoff(&round)) {
        if (asgdi_now() < late) continue;
        /* MPI waits for a process that died meanwhile, for ever, and cannot be called back: the thread and g are left to it */
        pthread_detach(g->thread);
        return ASGD_FAIL(ELOST,
                         "the processes of the job did not all come up within %.0f s, or one died "
                         "while they did; start the job again",
                         OPEN_SECONDS);
    }
    if (g->status) {
        asgd_status s = asgdi_fail(g->status, "%s", g->message);
        pthread_join(g->thread, NULL);
        asgdi_free(g);
        return s;
    }
    *out = g;
    return ASGD_OK;
}

asgd_status asgd_group_open(asgd_group **out, const char *link)
{
    if (!out) return ASGD_FAIL(EINVAL, "asgd_group_open: out is NULL");
    return start(out, link && *link ? link : "auto", NULL);
}

asgd_status asgdi_group_over(asgd_group **out, asgdi_link *link)
{
    return start(out, link->name, link);
}

void asgd_group_close(asgd_group *g, int code)
{
    if (!g) return;
    g->code = code;
    asgdi_store_release(&g->closing, 1);
    pthread_join(g->thread, NULL);
    asgdi_free(g);
}

/* ---- what it tells ---- */

bool asgd_group_await_turn(asgd_group *g)
{
    if (!g) return true;
    while (!asgdi_load_acquire(&g->saved) && !asgdi_load_relaxed(&g->speaks))
        asgdi_sleep(POLL_SECONDS);
    return !asgdi_load_acquire(&g->saved);
}

void asgd_group_saved(asgd_group *g)
{
    if (g) asgdi_store_release(&g->save, 1);
}

uint32_t asgd_group_process(const asgd_group *g)
{
    return g ? g->link->self : 0;
}

uint32_t asgd_group_size(const asgd_group *g)
{
    return g ? g->link->size : 1;
}

const char *asgd_group_host(const asgd_group *g)
{
    return g ? g->link->host : "";
}

const char *asgd_group_link(const asgd_group *g)
{
    return g ? g->link->name : "";
}

bool asgd_group_speaks(const asgd_group *g)
{
    return !g || asgdi_load_relaxed(&g->speaks);
}

uint64_t asgdi_group_run(const asgd_group *g)
{
    return g->link->run + asgdi_load_acquire(&g->runs);
}

const asgdi_link *asgdi_group_link(const asgd_group *g)
{
    return g->link;
}

asgd_status asgdi_group_drive(asgd_group *g, asgdi_joint *j)
{
    asgdi_joint *none = NULL;
    if (atomic_compare_exchange_strong(&g->joint, &none, j)) return ASGD_OK;
    return ASGD_FAIL(EINVAL, "the group of processes has a run already; wait until it has ended");
}
