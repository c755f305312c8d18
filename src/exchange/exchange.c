/* exchange.c -- events in, actions out, and the stages of a run. */
#include "exchange/core.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"

/* ---- for the other files ---- */

void asgdi_x_fail(asgdi_exchange *x, const char *format, ...)
{
    va_list list;
    if (x->stage == ASGDI_FAILED || x->stage == ASGDI_OUT) return;
    x->stage = ASGDI_FAILED;
    va_start(list, format);
    vsnprintf(x->why, sizeof x->why, format, list);
    va_end(list);
}

asgdi_frame *asgdi_exchange_here(uint32_t self, uint64_t run)
{
    const asgdi_head head = {.magic   = ASGDI_WIRE_MAGIC,
                             .version = ASGDI_WIRE_VERSION,
                             .type    = ASGDI_HERE,
                             .from    = (uint16_t)self,
                             .run     = run,
                             .view    = ASGDI_FIRST_VIEW};
    asgdi_frame     *f    = asgdi_frame_new(sizeof head);
    if (f) memcpy(f->data, &head, sizeof head);
    return f;
}

asgdi_frame *asgdi_x_frame(asgdi_exchange *x, asgdi_frame_type type, size_t room, asgdi_writer *w)
{
    const asgdi_head head = {.magic   = ASGDI_WIRE_MAGIC,
                             .version = ASGDI_WIRE_VERSION,
                             .type    = (uint8_t)type,
                             .from    = (uint16_t)x->c.self,
                             .run     = x->c.run,
                             .view    = x->view};
    *w                    = (asgdi_writer){asgdi_frame_new(sizeof head + room), 0};
    if (w->frame)
        asgdi_put(w, &head, sizeof head);
    else
        asgdi_x_fail(x, "no memory for a frame of %zu bytes", room);
    return w->frame;
}

void asgdi_x_post_frame(asgdi_exchange *x, uint32_t to, asgdi_frame *f)
{
    void *list = x->out;
    if (x->out_first > 0 && x->out_first == x->n_out) x->out_first = x->n_out = 0;
    if (!asgdi_grow(&list, &x->out_room, x->n_out + 1, sizeof *x->out)) {
        asgdi_frame_free(f);
        asgdi_x_fail(x, "no memory for what is to be sent");
        return;
    }
    x->out             = list;
    x->out[x->n_out++] = (asgdi_out){to, f};
    x->counts.bytes_out += f->bytes;
}

void asgdi_x_post(asgdi_exchange *x, uint32_t to, asgdi_writer *w)
{
    w->frame->bytes = (uint32_t)w->at;
    asgdi_x_post_frame(x, to, w->frame);
}

/* ---- life ---- */

static asgd_status check(const asgdi_exchange_config *c)
{
    if (c->size < 1 || c->size > ASGDI_PROCESSES_MAX || c->self >= c->size)
        return ASGD_FAIL(EINVAL, "process %u of %u: up to %d processes", c->self, c->size,
                         ASGDI_PROCESSES_MAX);
    if (c->clock != ASGDI_CLOCK_SYNC && c->ahead && c->ahead < c->local_steps)
        return ASGD_FAIL(
            EINVAL,
            "a process may be %llu updates ahead, which is less than the %u local steps "
            "that it takes between exchanges",
            (unsigned long long)c->ahead, c->local_steps);
    if (c->dead_after < 2 * c->heartbeat)
        return ASGD_FAIL(
            EINVAL,
            "dead_after %g s: processes give a sign of life every %g s, and one that is "
            "late is not dead; at least twice that is needed",
            c->dead_after, c->heartbeat);
    return ASGD_OK;
}

asgd_status asgdi_exchange_new(asgdi_exchange **out, const asgdi_exchange_config *c,
                               const asgdi_params *p, asgdi_read_rows *read, void *user)
{
    *out = NULL;
    ASGD_TRY(check(c));
    asgdi_exchange *x = asgdi_calloc(1, sizeof *x);
    if (!x) return ASGD_FAIL(ENOMEM, "no memory for the exchange");
    x->c    = *c;
    x->p    = *p;
    x->read = read;
    x->user = user;
    if (x->c.clock == ASGDI_CLOCK_SYNC && x->c.local_steps == 0) x->c.local_steps = 1;
    if (x->c.max_lag == 0) x->c.max_lag = 1;
    if (x->c.snapshot_floats == 0) x->c.snapshot_floats = 1 << 20;
    if (x->c.clock == ASGDI_CLOCK_SYNC) x->c.guard = 0; /* nothing is stale there */
    if (x->c.clock == ASGDI_CLOCK_SYNC) x->steps = x->c.steps_auto ? 1 : x->c.local_steps;
    x->counts.steps = x->steps;
    asgdi_members_start(x);
    asgd_status s = asgdi_copy_new(x);
    if (!s) s = asgdi_supply_new(x);
    if (s) {
        asgdi_exchange_free(x);
        return s;
    }
    *out = x;
    return ASGD_OK;
}

void asgdi_exchange_free(asgdi_exchange *x)
{
    if (!x) return;
    for (uint32_t i = x->out_first; i < x->n_out; i++) asgdi_frame_free(x->out[i].frame);
    asgdi_free(x->out);
    asgdi_copy_free(x);
    asgdi_supply_free(x);
    asgdi_free(x);
}

/* ---- events ---- */

static void dispatch(asgdi_exchange *x, const asgdi_head *h, asgdi_reader *r)
{
    const uint32_t from = h->from;
    switch ((asgdi_frame_type)h->type) {
    case ASGDI_HELLO: asgdi_members_hello(x, from, r); return;
    case ASGDI_BEAT: asgdi_members_on_beat(x, from, h->view == x->view, r); return;
    case ASGDI_VIEW: asgdi_members_on_view(x, from, h->view, r); return;
    case ASGDI_DELTA: asgdi_master_on_delta(x, from, r); return;
    case ASGDI_REPLY: asgdi_copy_on_reply(x, from, r); return;
    case ASGDI_ASK: asgdi_takeover_on_ask(x, from, r); return;
    case ASGDI_HOLD: asgdi_takeover_on_hold(x, from, r); return;
    case ASGDI_FETCH: asgdi_takeover_on_fetch(x, from, r); return;
    case ASGDI_DATA: asgdi_takeover_on_data(x, from, r); return;
    case ASGDI_LEASE: asgdi_supply_on_lease(x, from, r); return;
    case ASGDI_GRANT: asgdi_supply_on_grant(x, from, r); return;
    case ASGDI_QUEUE_ASK: asgdi_supply_on_queue_ask(x, from, r); return;
    case ASGDI_QUEUE: asgdi_supply_on_queue(x, from, r); return;
    case ASGDI_HERE: return; /* to be heard of is all */
    case ASGDI_FRAME_TYPES: return;
    }
}

void asgdi_exchange_receive(asgdi_exchange *x, uint32_t from, const uint8_t *data, size_t bytes,
                            double now)
{
    asgdi_reader r = {data, bytes, false};
    asgdi_head   h;
    asgdi_get(&r, &h, sizeof h);
    x->now = now;
    if (r.bad || h.magic != ASGDI_WIRE_MAGIC || h.version != ASGDI_WIRE_VERSION ||
        h.run != x->c.run)
        return;
    if (h.from != from || from >= x->c.size || from == x->c.self) return;
    if (x->stage == ASGDI_OUT || x->stage == ASGDI_FAILED) return;
    x->counts.bytes_in += bytes;
    const bool was_ending = x->ending;
    if (asgdi_members_admit(x, &h)) dispatch(x, &h, &r);
    if (x->ending && !was_ending)
        asgdi_master_new_view(x); /* rounds need not be complete any more */
}

static void join(asgdi_exchange *x)
{
    for (uint32_t q = 0; q < x->c.size; q++)
        if (asgdi_set_has(&x->in, q) && !x->peer[q].greeted) return;
    x->stage    = ASGDI_TRAINING;
    x->ended_at = x->now;
    x->round_at = x->now + x->c.round_least;
    x->beat_now = true;
}

enum {
    LAST       = 8, /* so many times closer, at the end */
    RAMP_LEAST = 8, /* updates ahead that do no harm from the beginning on */
};

/* What is on its way where steps are as long as ever is noise in what the run ends with. */
static bool is_at_the_end(const asgdi_exchange *x)
{
    return x->c.last > 0 &&
           (double)asgdi_exchange_progress(x) > (1 - x->c.last) * (double)x->c.total;
}

uint64_t asgdi_x_lead(const asgdi_exchange *x)
{
    const uint64_t ahead = asgdi_watch_ahead(x), least = ahead < 2 ? ahead : 2;
    if (ahead == 0 || x->c.clock == ASGDI_CLOCK_SYNC) return UINT64_MAX;
    if (is_at_the_end(x)) return ahead / LAST > least ? ahead / LAST : least;
    if (x->c.ahead_root == 0) { /* shorter steps take so many more to go as far */
        const double   lr  = x->progress.lr > 0 ? x->progress.lr : 1;
        const uint64_t all = (uint64_t)(fmin(fmax(1, x->c.stretch), 1 / lr) * (double)ahead);
        if (x->c.ramp == 0 || all <= RAMP_LEAST) return all;
        const uint64_t ramp = x->learnt / x->c.ramp;
        return ramp >= all ? all : ramp > RAMP_LEAST ? ramp : RAMP_LEAST;
    }
    const double root =
        x->c.ahead_root * sqrt((double)x->learnt) * (double)ahead / (double)x->c.ahead;
    if (root >= (double)ahead) return ahead;
    return root > (double)least ? (uint64_t)root : least;
}

static void set_allowance(asgdi_exchange *x)
{
    const uint64_t lead = asgdi_x_lead(x);
    uint64_t       to   = UINT64_MAX;
    if (x->ending || x->stage != ASGDI_TRAINING) return;
    if (x->c.clock == ASGDI_CLOCK_SYNC) {
        to = x->round_updates + (x->in_round ? 0 : x->steps);
    } else if (x->c.clock == ASGDI_CLOCK_LAG) {
        /* where nobody else has anything to do, one still gets no further than where that may change */
        to = x->progress.updates + x->c.max_lag;
        for (uint32_t q = 0; q < x->c.size; q++) {
            const asgdi_peer *p = &x->peer[q];
            if (q == x->c.self || !asgdi_set_has(&x->in, q) || p->idle) continue;
            if (p->updates + x->c.max_lag < to) to = p->updates + x->c.max_lag;
        }
    }
    if (lead < UINT64_MAX && x->agreed_updates + lead < to) to = x->agreed_updates + lead;
    if (to > x->allowance) x->allowance = to;
}

static void look_at_movement(asgdi_exchange *x, double away)
{
    asgdi_movement m = {.deltas  = x->counts.deltas,
                        .brought = x->brought,
                        .left    = x->supply.left,
                        .views   = x->counts.views,
                        .taking  = x->taking};
    for (uint32_t q = 0; q < x->c.size; q++) {
        const asgdi_peer *p = &x->peer[q];
        m.stages += p->stage;
        m.greeted += p->greeted;
        m.updates += p->updates;
        m.examples += p->examples;
    }
    x->moved_at += away;
    if (memcmp(&m, &x->moved, sizeof m) == 0) return;
    x->moved    = m;
    x->moved_at = x->now;
}

void asgdi_exchange_tick(asgdi_exchange *x, double now, const asgdi_progress *p)
{
    if (x->stage == ASGDI_OUT || x->stage == ASGDI_FAILED) return;
    if (!x->ticked) x->last_tick = x->moved_at = now;
    const double away           = now - x->last_tick;
    x->now                      = now;
    x->progress                 = *p;
    x->peer[x->c.self].updates  = p->updates;
    x->peer[x->c.self].examples = p->examples;
    x->progress.losses.known    = asgdi_exchange_examples(x);
    asgdi_members_tick(x);
    if (x->stage == ASGDI_OUT) return;
    look_at_movement(x, away > x->c.dead_after / 2 ? away : 0);
    x->last_tick = now;
    x->ticked    = true;
    if (x->stage == ASGDI_JOINING) join(x);
    if (x->stage == ASGDI_JOINING) return;
    const bool was_ending = x->ending;
    if (x->stop_why && asgdi_x_keeper(x) == x->c.self) x->ending = true;
    if (x->stage == ASGDI_TRAINING) asgdi_supply_tick(x);
    if (x->ending && !was_ending) {
        x->beat_now = true;
        asgdi_master_new_view(x);
    }
    if (x->ending && x->stage == ASGDI_TRAINING) {
        x->stage    = ASGDI_FLUSHING;
        x->beat_now = true;
    }
    asgdi_watch_tick(x);
    asgdi_takeover_tick(x);
    asgdi_copy_tick(x);
    asgdi_snapshot_tick(x);
    set_allowance(x);
    x->peer[x->c.self].stage = (uint8_t)x->stage;
}

void asgdi_exchange_stop(asgdi_exchange *x, uint32_t why)
{
    if (!x->stop_why) x->stop_why = why;
    x->beat_now = true;
}

void asgdi_exchange_still(asgdi_exchange *x)
{
    x->still = true;
}

void asgdi_exchange_saved(asgdi_exchange *x)
{
    x->saved    = true;
    x->beat_now = true;
}

/* ---- actions ---- */

asgdi_frame *asgdi_exchange_send(asgdi_exchange *x, uint32_t *to)
{
    if (x->out_first == x->n_out) return NULL;
    const asgdi_out o = x->out[x->out_first++];
    *to               = o.to;
    return o.frame;
}

uint64_t asgdi_exchange_allowance(const asgdi_exchange *x)
{
    return x->allowance;
}

bool asgdi_exchange_lost(asgdi_exchange *x, uint32_t *process)
{
    for (uint32_t q = 0; q < x->c.size; q++) {
        if (asgdi_set_has(&x->in, q) || asgdi_set_has(&x->reported, q)) continue;
        asgdi_set_add(&x->reported, q);
        *process = q;
        return true;
    }
    return false;
}

/* ---- state ---- */

asgdi_stage asgdi_exchange_stage(const asgdi_exchange *x)
{
    return x->stage;
}

const char *asgdi_exchange_why(const asgdi_exchange *x)
{
    return x->why;
}

bool asgdi_exchange_is_unlike(const asgdi_exchange *x)
{
    return x->unlike;
}

asgdi_set asgdi_exchange_members(const asgdi_exchange *x)
{
    return x->in;
}

bool asgdi_exchange_is_speaker(const asgdi_exchange *x)
{
    return asgdi_x_keeper(x) == x->c.self;
}

bool asgdi_exchange_is_saved(const asgdi_exchange *x)
{
    return x->saved;
}

bool asgdi_exchange_is_over(const asgdi_exchange *x)
{
    if (x->stage != ASGDI_FINISHED || !x->saved) return false;
    for (uint32_t q = 0; q < x->c.size; q++)
        if (q != x->c.self && asgdi_set_has(&x->in, q) && x->peer[q].stage < ASGDI_FINISHED)
            return false;
    return true;
}

uint32_t asgdi_exchange_stopped(const asgdi_exchange *x)
{
    return x->stop_why;
}

uint64_t asgdi_exchange_examples(const asgdi_exchange *x)
{
    uint64_t n = 0;
    for (uint32_t q = 0; q < x->c.size; q++) n += x->peer[q].examples;
    return n;
}

uint64_t asgdi_exchange_progress(const asgdi_exchange *x)
{
    return x->supply.before + asgdi_exchange_examples(x);
}

uint64_t asgdi_exchange_included(const asgdi_exchange *x, uint32_t q, int table, uint64_t row)
{
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        const asgdi_block *b = &x->block[i];
        if (b->table == table && row >= b->first && row - b->first < b->rows) return b->included[q];
    }
    return 0;
}

void asgdi_exchange_count(const asgdi_exchange *x, asgdi_exchange_counts *out)
{
    *out               = x->counts;
    out->processes     = asgdi_set_count(x->in);
    out->interventions = asgdi_exchange_interventions(x);
    out->learnt_least  = UINT64_MAX;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        uint64_t sum = 0;
        for (uint32_t q = 0; q < x->c.size; q++) sum += x->block[i].included[q];
        if (sum < out->learnt_least) out->learnt_least = sum;
        if (sum > out->learnt_most) out->learnt_most = sum;
    }
}

double asgdi_exchange_stood(const asgdi_exchange *x)
{
    return x->now - x->moved_at;
}

void asgdi_exchange_describe(const asgdi_exchange *x, double now, char *text, size_t bytes)
{
    static const char *const stages[] = {"joining",  "training", "flushing", "fetching",
                                         "finished", "out",      "failed"};
    size_t                   at       = 0;
    if (bytes == 0) return;
    text[0] = 0;
    for (uint32_t q = 0; q < x->c.size && at < bytes; q++) {
        const asgdi_peer *p = &x->peer[q];
        int               n;
        if (!asgdi_set_has(&x->in, q))
            n = snprintf(text + at, bytes - at, "process %u: given up\n", q);
        else if (q == x->c.self)
            n = snprintf(text + at, bytes - at,
                         "process %u (this one): %s, %llu updates, round %llu, %u blocks under "
                         "way, %u being "
                         "taken over, %llu positions leased%s\n",
                         q, stages[x->stage], (unsigned long long)x->progress.updates,
                         (unsigned long long)x->round, x->under_way, x->taking,
                         (unsigned long long)x->supply.left,
                         x->supply.requested ? ", asking for more" : "");
        else
            n = snprintf(text + at, bytes - at,
                         "process %u: %s, %llu updates, heard of %.1f s ago, %zu bytes under way\n",
                         q, p->known ? stages[p->stage] : "never heard of",
                         (unsigned long long)p->updates, now - p->heard, p->under_way);
        at += n > 0 ? (size_t)n : 0;
    }
}
