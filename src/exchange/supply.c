/* supply.c -- leases: what the workers of this process are to do, and, in the keeper, who does what.
 *
 * The lowest process of the view keeps the queue (queue.h).  A process asks for more before it runs out, and in
 * the same message says which positions are safely done: those whose progress, in every block, has been read and
 * acknowledged.  Requests are numbered and the keeper remembers its last answer to each process, so a lost or
 * repeated message changes nothing.
 *
 * With its signs of life the keeper tells what is done; until a process has seen its own positions among them it
 * remembers them itself.  So when the keeper dies, its successor learns from the survivors all that any of them
 * has done or holds, and hands out the rest again: nothing that a survivor did is done twice.  The dead
 * keeper's own latest positions may be; asgdi_exchange_included() counts them. */
#include "exchange/core.h"

#include <math.h>

#include "base/mem.h"
#include "base/status.h"

enum { REPORT_ROOM = 1 << 15, QUEUE_ROOM = 1 << 18, WANT = 1 };

static const double AHEAD_LEAST = 0.03; /* seconds of work left, when more is asked for */

static void no_memory(asgdi_exchange *x)
{
    asgdi_x_fail(x, "no memory for the leases");
}

asgd_status asgdi_supply_new(asgdi_exchange *x)
{
    asgdi_supply *s = &x->supply;
    if (x->c.done && !asgdi_ranges_add_all(&s->known, x->c.done))
        return ASGD_FAIL(ENOMEM, "no memory for the positions done before");
    x->c.done = NULL; /* the caller's, and copied */
    s->before = asgdi_ranges_count(&s->known);
    if (asgdi_x_keeper(x) != x->c.self) return ASGD_OK;
    if (!asgdi_queue_init(&s->queue, x->c.total, x->c.batch, x->c.size))
        return ASGD_FAIL(ENOMEM, "no memory for the queue of leases");
    s->serving = true;
    if (!asgdi_queue_learn_done(&s->queue, &s->known))
        return ASGD_FAIL(ENOMEM, "no memory for the queue of leases");
    return ASGD_OK;
}

void asgdi_supply_free(asgdi_exchange *x)
{
    asgdi_supply *s = &x->supply;
    asgdi_queue_free(&s->queue);
    asgdi_ranges_free(&s->held);
    asgdi_ranges_free(&s->safe);
    asgdi_ranges_free(&s->unreported);
    asgdi_ranges_free(&s->reporting);
    asgdi_ranges_free(&s->known);
    asgdi_free(s->marked);
}

bool asgdi_supply_idle(const asgdi_exchange *x)
{
    return x->supply.left == 0;
}

bool asgdi_supply_is_refused(const asgdi_exchange *x)
{
    return x->supply.left == 0 && x->supply.refused;
}

/* ---- everybody ---- */

const asgdi_ranges *asgdi_exchange_done_set(const asgdi_exchange *x)
{
    return x->supply.serving ? asgdi_queue_done_set(&x->supply.queue) : &x->supply.known;
}

bool asgdi_exchange_lease(asgdi_exchange *x, asgdi_range *out)
{
    asgdi_supply *s = &x->supply;
    if (s->n_pending == 0 || x->stage != ASGDI_TRAINING) return false;
    *out             = s->pending[s->pending_first];
    s->pending_first = (s->pending_first + 1) % (sizeof s->pending / sizeof *s->pending);
    s->n_pending--;
    return true;
}

void asgdi_exchange_done(asgdi_exchange *x, asgdi_range r)
{
    asgdi_supply *s    = &x->supply;
    void         *list = s->marked;
    if (r.lo >= r.hi) return;
    if (!asgdi_grow(&list, &s->marked_room, s->n_marked + 1, sizeof *s->marked)) {
        no_memory(x);
        return;
    }
    s->marked                = list;
    s->marked[s->n_marked++] = (asgdi_marked){r, ++s->mark};
    s->left -= r.hi - r.lo < s->left ? r.hi - r.lo : s->left;
}

void asgdi_supply_safe(asgdi_exchange *x)
{
    asgdi_supply *s     = &x->supply;
    uint64_t      least = UINT64_MAX;
    size_t        n     = 0;
    if (s->n_marked == 0) return;
    for (uint32_t i = 0; i < x->n_blocks; i++)
        if (x->block[i].safe_mark < least) least = x->block[i].safe_mark;
    for (; n < s->n_marked && s->marked[n].mark <= least; n++) {
        const asgdi_range r = s->marked[n].range;
        if (!asgdi_ranges_remove(&s->held, r) || !asgdi_ranges_add(&s->safe, r) ||
            !asgdi_ranges_add(&s->unreported, r)) {
            no_memory(x);
            return;
        }
    }
    s->n_marked -= n;
    memmove(s->marked, s->marked + n, s->n_marked * sizeof *s->marked);
}

void asgdi_supply_known(asgdi_exchange *x, const uint8_t *bytes, size_t n)
{
    asgdi_supply *s   = &x->supply;
    asgdi_ranges  now = {0};
    if (asgdi_ranges_get(&now, bytes, n, x->c.total) &&
        (!asgdi_ranges_add_all(&s->known, &now) || !asgdi_ranges_remove_all(&s->safe, &now)))
        no_memory(x);
    asgdi_ranges_free(&now);
}

/* ---- asking ---- */

static void handle_lease(asgdi_exchange *x, uint32_t from, uint64_t request, bool want, double rate,
                         const asgdi_ranges *done);

static void take_grant(asgdi_exchange *x, asgdi_range r)
{
    asgdi_supply *s    = &x->supply;
    const double  took = x->now - s->requested_at;
    if (isfinite(took)) s->took = took > s->took ? took : s->took + (took - s->took) / 8;
    s->requested = false;
    if (!asgdi_ranges_remove_all(&s->unreported, &s->reporting)) no_memory(x);
    asgdi_ranges_clear(&s->reporting);
    s->retry_at = x->now + (r.lo < r.hi ? 0 : fmin(x->c.heartbeat / 4, 0.05));
    s->refused  = s->want ? r.lo >= r.hi : s->refused;
    if (r.lo >= r.hi || r.hi > x->c.total) return;
    if (!asgdi_ranges_add(&s->held, r)) {
        no_memory(x);
        return;
    }
    const uint32_t room                                    = sizeof s->pending / sizeof *s->pending;
    s->pending[(s->pending_first + s->n_pending++) % room] = r;
    s->left += r.hi - r.lo;
}

static void send_request(asgdi_exchange *x)
{
    asgdi_supply  *s      = &x->supply;
    const uint32_t keeper = asgdi_x_keeper(x);
    s->requested_at       = x->now;
    if (keeper == x->c.self) {
        if (s->serving)
            handle_lease(x, keeper, s->request, s->want, x->progress.rate, &s->reporting);
        return;
    }
    asgdi_writer w;
    size_t       n = 0;
    if (!asgdi_x_frame(x, ASGDI_LEASE, 64 + REPORT_ROOM, &w)) return;
    asgdi_put_u64(&w, s->request);
    asgdi_put_u8(&w, s->want ? WANT : 0);
    asgdi_put_double(&w, x->progress.rate);
    (void)asgdi_ranges_put(&s->reporting, w.frame->data + w.at, REPORT_ROOM, &n);
    w.at += n;
    asgdi_x_post(x, keeper, &w);
}

static void request(asgdi_exchange *x)
{
    asgdi_supply  *s    = &x->supply;
    const uint32_t room = sizeof s->pending / sizeof *s->pending;
    /* no earlier than it takes: what one has at the end, when the queue is empty, the others cannot help with */
    const double early = fmin(fmax(AHEAD_LEAST, 4 * s->took), x->c.chunk_seconds / 2),
                 soon  = fmax(x->progress.rate * early, (double)x->c.at_hand);
    const bool want    = x->stage == ASGDI_TRAINING && !x->ending && s->n_pending < room &&
                      (s->left == 0 || (double)s->left < soon);
    if (s->requested) return;
    /* one that was refused is not repeated at once; that something is safe now may be what all wait for */
    if (s->unreported.n == 0 && (!want || x->now < s->retry_at)) return;
    uint8_t bytes[REPORT_ROOM];
    size_t  n = 0; /* as many as a message holds */
    (void)asgdi_ranges_put(&s->unreported, bytes, sizeof bytes, &n);
    asgdi_ranges_clear(&s->reporting);
    if (!asgdi_ranges_get(&s->reporting, bytes, n, x->c.total)) {
        no_memory(x);
        return;
    }
    s->request++;
    s->requested = true;
    s->want      = want;
    send_request(x);
}

void asgdi_supply_on_grant(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    asgdi_supply     *s     = &x->supply;
    const uint64_t    reply = asgdi_get_u64(r);
    const asgdi_range range = {asgdi_get_u64(r), asgdi_get_u64(r)};
    if (r->bad || from != asgdi_x_keeper(x) || !s->requested || reply != s->request) return;
    take_grant(x, range);
}

/* ---- the keeper ---- */

static void handle_lease(asgdi_exchange *x, uint32_t from, uint64_t request, bool want, double rate,
                         const asgdi_ranges *done)
{
    asgdi_supply *s = &x->supply;
    asgdi_peer   *p = &x->peer[from];
    if (request < p->request) return;
    if (request > p->request) {
        p->request = request;
        p->granted = (asgdi_range){0};
        for (uint32_t i = 0; i < done->n; i++) {
            if (asgdi_queue_done(&s->queue, from, done->range[i])) continue;
            no_memory(x);
            return;
        }
        if (want && !x->ending) {
            const uint64_t n =
                asgdi_queue_chunk(&s->queue, rate, x->c.chunk_seconds, asgdi_set_count(x->in));
            (void)asgdi_queue_take(&s->queue, from, n, &p->granted);
        }
        if (asgdi_queue_all_done(&s->queue) && !x->ending) {
            x->ending   = true;
            x->beat_now = true;
        }
    }
    if (from == x->c.self) {
        take_grant(x, p->granted);
        return;
    }
    asgdi_writer w;
    if (!asgdi_x_frame(x, ASGDI_GRANT, 24, &w)) return;
    asgdi_put_u64(&w, request);
    asgdi_put_u64(&w, p->granted.lo);
    asgdi_put_u64(&w, p->granted.hi);
    asgdi_x_post(x, from, &w);
}

void asgdi_supply_on_lease(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint64_t number = asgdi_get_u64(r);
    const uint8_t  flags  = asgdi_get_u8(r);
    const double   rate   = asgdi_get_double(r);
    asgdi_ranges   done   = {0};
    if (!r->bad && x->supply.serving && asgdi_x_keeper(x) == x->c.self &&
        asgdi_ranges_get(&done, r->at, r->left, x->c.total))
        handle_lease(x, from, number, flags & WANT, rate >= 0 && rate < 1e18 ? rate : 0, &done);
    asgdi_ranges_free(&done);
}

/* ---- a new keeper ---- */

static void learn(asgdi_exchange *x, uint32_t process, const asgdi_ranges *done,
                  const asgdi_ranges *held)
{
    uint64_t conflicts;
    if (!asgdi_queue_learn_done(&x->supply.queue, done) ||
        !asgdi_queue_learn_held(&x->supply.queue, process, held, &conflicts))
        no_memory(x);
}

static void rebuild(asgdi_exchange *x)
{
    asgdi_supply *s = &x->supply;
    asgdi_queue_free(&s->queue);
    if (!asgdi_queue_init(&s->queue, x->c.total, x->c.batch, x->c.size)) {
        no_memory(x);
        return;
    }
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_peer *p  = &x->peer[q];
        p->queue_known = q == x->c.self;
        p->queue_asked = -INFINITY;
        p->request     = 0;
    }
    learn(x, x->c.self, &s->known, &s->held);
    learn(x, x->c.self, &s->safe, &s->held);
}

void asgdi_supply_new_view(asgdi_exchange *x, asgdi_set lost)
{
    asgdi_supply *s = &x->supply;
    if (asgdi_x_keeper(x) == x->c.self && !s->serving) rebuild(x);
    if (s->serving)
        for (uint32_t q = 0; q < x->c.size; q++)
            if (asgdi_set_has(&lost, q)) (void)asgdi_queue_lost(&s->queue, q);
    /* the answer may have come in the old view, and been ignored */
    if (s->requested) s->requested_at = -INFINITY;
}

void asgdi_supply_on_queue_ask(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    asgdi_supply *s    = &x->supply;
    asgdi_ranges  done = {0};
    asgdi_writer  w;
    size_t        n = 0;
    (void)r;
    if (from != asgdi_x_keeper(x)) return;
    if (!asgdi_ranges_add_all(&done, &s->known) || !asgdi_ranges_add_all(&done, &s->safe)) {
        no_memory(x);
    } else if (asgdi_x_frame(x, ASGDI_QUEUE, 16 + 2 * (size_t)QUEUE_ROOM, &w)) {
        const size_t at = w.at;
        w.at += 4;
        (void)asgdi_ranges_put(&s->held, w.frame->data + w.at, QUEUE_ROOM, &n);
        const uint32_t held = (uint32_t)n;
        memcpy(w.frame->data + at, &held, 4);
        w.at += n;
        (void)asgdi_ranges_put(&done, w.frame->data + w.at, QUEUE_ROOM, &n);
        w.at += n;
        asgdi_x_post(x, from, &w);
    }
    asgdi_ranges_free(&done);
}

void asgdi_supply_on_queue(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    asgdi_peer    *p     = &x->peer[from];
    const uint32_t n     = asgdi_get_u32(r);
    const uint8_t *bytes = asgdi_get_bytes(r, n);
    asgdi_ranges   done = {0}, held = {0};
    if (!r->bad && asgdi_x_keeper(x) == x->c.self && !x->supply.serving && !p->queue_known &&
        asgdi_ranges_get(&held, bytes, n, x->c.total) &&
        asgdi_ranges_get(&done, r->at, r->left, x->c.total)) {
        learn(x, from, &done, &held);
        p->queue_known = true;
    }
    asgdi_ranges_free(&done);
    asgdi_ranges_free(&held);
}

static void gather(asgdi_exchange *x)
{
    bool all = true;
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_peer  *p = &x->peer[q];
        asgdi_writer w;
        if (!asgdi_set_has(&x->in, q) || p->queue_known) continue;
        all = false;
        if (x->now - p->queue_asked < x->c.resend) continue;
        p->queue_asked = x->now;
        if (!asgdi_x_frame(x, ASGDI_QUEUE_ASK, 0, &w)) return;
        asgdi_x_post(x, q, &w);
    }
    x->supply.serving = all;
    if (all && asgdi_queue_all_done(&x->supply.queue)) x->ending = true;
}

void asgdi_supply_tick(asgdi_exchange *x)
{
    asgdi_supply *s = &x->supply;
    if (asgdi_x_keeper(x) == x->c.self && !s->serving) gather(x);
    if (s->requested && x->now - s->requested_at >= x->c.resend) send_request(x);
    request(x);
}
