/* sync.c -- the worker loop of synchronous SGD with backup workers (Chen, Monga, Bengio, Jozefowicz
 * 2016): the baseline that asynchrony is compared with. */
#include "engine/sync.h"

#include <math.h>

#include "base/sys.h"
#include "engine/run.h"
#include "rule/sink.h"

enum { HELD = 1 << 30 }; /* beside the commands */

static void lock(asgdi_sync *s)
{
    uint32_t free = 0;
    for (uint32_t round = 0; !asgdi_cas_acq_rel(&s->lock, &free, 1); free = 0)
        asgdi_backoff(&round);
}

static void unlock(asgdi_sync *s)
{
    asgdi_store_release(&s->lock, 0);
}

/* Under the lock: enough have arrived? */
static void turn(asgdi_sync *s)
{
    uint64_t phase = asgdi_load_relaxed(&s->phase);
    uint32_t want  = s->active > s->backup ? s->active - s->backup : 1;
    if (phase % 2 != 0 || s->arrived == 0 || s->arrived < want) return;
    s->need    = s->arrived;
    s->applied = 0;
    asgdi_store_release(&s->phase, phase + 1);
}

static void leave(asgdi_sync *s)
{
    lock(s);
    s->active--;
    turn(s);
    unlock(s);
}

static void join(asgdi_sync *s)
{
    lock(s);
    s->active++;
    unlock(s);
}

/* Waits until the phase is at least `phase`; it touches no row meanwhile. */
static void await(asgdi_worker *w, uint64_t phase)
{
    for (uint32_t round = 0; asgdi_load_acquire(&w->run->sync.phase) < phase;) {
        if (asgdi_load_relaxed(&w->run->command) & ASGDI_CORRECT) asgdi_pause_attend(w);
        asgdi_backoff(&round);
    }
}

/* The next step would be one that slower processes have to come to first. */
static bool is_held(asgdi_run *r)
{
    return r->bounded &&
           (asgdi_load_acquire(&r->sync.phase) + 1) / 2 >= asgdi_load_acquire(&r->joint->allowance);
}

/* false: this worker is finished.  It stops being waited for while it has nothing to do. */
static bool next_lease(asgdi_worker *w)
{
    asgdi_run *r    = w->run;
    bool       away = false;
    for (uint32_t round = 0;;) {
        uint32_t command  = asgdi_load_relaxed(&r->command);
        bool     have     = w->lease.lo < w->lease.hi;
        bool     all_done = false;
        if (command == ASGDI_CORRECT) { /* nobody steps meanwhile: it is not away */
            w->stall += asgdi_pause_attend(w);
            continue;
        }
        if (is_held(r)) command |= HELD;
        if (command == ASGDI_GO && !have) {
            asgdi_lease got =
                w->account ? asgdi_worker_lease(w) : asgdi_lease_take(&r->leases, &w->lease);
            have     = got == ASGDI_LEASED;
            all_done = got == ASGDI_ALL_DONE;
        }
        if (command == ASGDI_GO && have) {
            if (away) join(&r->sync);
            return true;
        }
        if (!away) leave(&r->sync);
        away = true;
        if (command & ASGDI_STOP || all_done) return false;
        asgdi_worker_obey(w, command);
        asgdi_worker_idle(w, &round);
    }
}

void asgdi_sync_work(asgdi_worker *w)
{
    asgdi_run  *r = w->run;
    asgdi_sync *s = &r->sync;
    while (next_lease(w)) {
        uint64_t phase = asgdi_load_acquire(&s->phase);
        if (phase % 2 != 0) { /* others apply: read what they leave behind */
            await(w, phase + 1);
            phase = asgdi_load_acquire(&s->phase);
            if (phase % 2 != 0) continue;
        }
        double     began = asgdi_now();
        uint64_t   left  = w->lease.hi - w->lease.lo;
        asgd_batch b;
        asgd_stats st = {0};
        asgdi_worker_gather(w, left < r->batch ? (uint32_t)left : r->batch, &b);
        asgdi_worker_compute(w, &b, &st);
        if (r->pace > 0 || w->slow > 1) asgdi_worker_dawdle(w, began);
        w->lease.lo += b.n;

        lock(s);
        bool     late = asgdi_load_relaxed(&s->phase) != phase;
        uint32_t mine = s->arrived;
        if (!late) {
            s->part[s->arrived++] = w;
            turn(s);
        }
        unlock(s);
        if (late) {
            asgdi_sink_forget(&w->sink);
            asgdi_store_relaxed(&w->dropped, asgdi_load_relaxed(&w->dropped) + b.n);
            asgdi_worker_publish(w, b.n, &st);
            continue;
        }
        await(w, phase + 1);
        /* All parts of a step use one rate and one set of local slots, those of worker 0. */
        w->steps = phase / 2;
        asgdi_worker_rate(w, s->part[0]->lease.lo, pow(s->need, r->sync_power));
        asgd_sink *parts[ASGDI_MAX_WORKERS];
        for (uint32_t i = 0; i < s->need; i++) parts[i] = &s->part[i]->sink;
        asgdi_sink_apply_parts(&w->sink, parts, s->need, mine, r->worker[0].priv.local);
        if (mine == 0) {
            asgdi_store_relaxed(&w->updates, asgdi_load_relaxed(&w->updates) + 1);
            asgdi_tau_add(&w->tau, 0, 1);
        }
        lock(s);
        if (++s->applied == s->need) {
            s->arrived = 0;
            asgdi_store_release(&s->phase, phase + 2);
        }
        unlock(s);
        await(w, phase + 2);
        asgdi_sink_forget(&w->sink);
        asgdi_worker_publish(w, b.n, &st); /* not before: who sees it may read the parameters */
    }
}
