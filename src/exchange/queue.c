/* queue.c -- the positions of a run of many processes, and who does them.
 *
 * Three kinds of sets, which never meet and together are 0..total-1: done, free, and what each
 * process holds.  Every change moves one range from one of them to another, after memory for both
 * has been made sure of, so that what a failure leaves is a queue in which less has been moved.
 *
 * That a process is lost must not fail, so `free` always has room for all ranges that are held.
 *
 * Chunks shrink by guided self-scheduling (Polychronopoulos and Kuck 1987). */
#include "exchange/queue.h"

#include "base/mem.h"

static bool is_empty(asgdi_range r)
{
    return r.lo >= r.hi;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool asgdi_queue_init(asgdi_queue *q, uint64_t total, uint32_t batch, uint32_t size)
{
    *q      = (asgdi_queue){.total = total, .batch = batch, .size = size};
    q->held = asgdi_calloc(size, sizeof *q->held);
    if (q->held && asgdi_ranges_add(&q->free, (asgdi_range){0, total})) return true;
    asgdi_queue_free(q);
    return false;
}

void asgdi_queue_free(asgdi_queue *q)
{
    for (uint32_t p = 0; q->held && p < q->size; p++) asgdi_ranges_free(&q->held[p]);
    asgdi_free(q->held);
    asgdi_ranges_free(&q->done);
    asgdi_ranges_free(&q->free);
    *q = (asgdi_queue){0};
}

/* r, which lies in one range of `from`, goes to `to`.  false: no memory, nothing is changed. */
static bool move(asgdi_queue *q, asgdi_ranges *from, asgdi_ranges *to, asgdi_range r)
{
    size_t n = (size_t)q->free.n + 2; /* `from` is split, and `to` has one more */
    for (uint32_t p = 0; p < q->size; p++) n += q->held[p].n;
    return asgdi_ranges_reserve(&q->free, n) && asgdi_ranges_reserve(to, (size_t)to->n + 1) &&
           asgdi_ranges_remove(from, r) && asgdi_ranges_add(to, r);
}

/* What of r is in `from` goes to `to`. */
static bool move_common(asgdi_queue *q, asgdi_ranges *from, asgdi_ranges *to, asgdi_range r)
{
    for (;;) {
        const asgdi_range c = asgdi_ranges_common(from, r);
        if (is_empty(c)) return true;
        if (!move(q, from, to, c)) return false;
        r.lo = c.hi;
    }
}

static uint64_t count_common(const asgdi_ranges *s, asgdi_range r)
{
    uint64_t sum = 0;
    for (;;) {
        const asgdi_range c = asgdi_ranges_common(s, r);
        if (is_empty(c)) return sum;
        sum += c.hi - c.lo;
        r.lo = c.hi;
    }
}

/* A multiple of the batch, at least one. */
static uint64_t whole_batches(const asgdi_queue *q, uint64_t n)
{
    return n < q->batch ? q->batch : n / q->batch * q->batch;
}

bool asgdi_queue_take(asgdi_queue *q, uint32_t process, uint64_t want, asgdi_range *out)
{
    *out = (asgdi_range){0};
    if (q->free.n == 0) return false;
    asgdi_range r = q->free.range[0];
    r.hi          = r.lo + min64(r.hi - r.lo, whole_batches(q, want));
    if (!move(q, &q->free, &q->held[process], r)) return false;
    *out = r;
    return true;
}

bool asgdi_queue_done(asgdi_queue *q, uint32_t process, asgdi_range r)
{
    return move_common(q, &q->held[process], &q->done, r);
}

uint64_t asgdi_queue_lost(asgdi_queue *q, uint32_t process)
{
    asgdi_ranges  *held = &q->held[process];
    const uint64_t n    = asgdi_ranges_count(held);
    (void)asgdi_ranges_add_all(&q->free, held); /* there is room: see above */
    asgdi_ranges_clear(held);
    return n;
}

bool asgdi_queue_learn_done(asgdi_queue *q, const asgdi_ranges *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const asgdi_range r = {s->range[i].lo, min64(s->range[i].hi, q->total)};
        if (asgdi_ranges_contain(&q->done, r)) continue; /* most, where gossip is told again */
        if (!move_common(q, &q->free, &q->done, r)) return false;
        for (uint32_t p = 0; p < q->size; p++)
            if (!move_common(q, &q->held[p], &q->done, r)) return false;
    }
    return true;
}

bool asgdi_queue_learn_held(asgdi_queue *q, uint32_t process, const asgdi_ranges *s,
                            uint64_t *conflicts)
{
    asgdi_ranges *held = &q->held[process];
    *conflicts         = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const asgdi_range r = {s->range[i].lo, min64(s->range[i].hi, q->total)};
        if (!move_common(q, &q->free, held, r)) return false;
        if (is_empty(r)) break;
        *conflicts += r.hi - r.lo - count_common(&q->done, r) - count_common(held, r);
    }
    return true;
}

uint64_t asgdi_queue_chunk(const asgdi_queue *q, double rate, double seconds, uint32_t processes)
{
    const uint64_t share = asgdi_queue_count_free(q) / (2 * (uint64_t)processes);
    const double   most  = rate * seconds;
    if (!(most >= q->batch)) return q->batch; /* no rate known yet, among others */
    return whole_batches(q, most < (double)share ? (uint64_t)most : share);
}

bool asgdi_queue_all_done(const asgdi_queue *q)
{
    return asgdi_ranges_contain(&q->done, (asgdi_range){0, q->total});
}

const asgdi_ranges *asgdi_queue_done_set(const asgdi_queue *q)
{
    return &q->done;
}

const asgdi_ranges *asgdi_queue_held_set(const asgdi_queue *q, uint32_t process)
{
    return &q->held[process];
}

uint64_t asgdi_queue_count_done(const asgdi_queue *q)
{
    return asgdi_ranges_count(&q->done);
}

uint64_t asgdi_queue_count_held(const asgdi_queue *q, uint32_t process)
{
    return asgdi_ranges_count(&q->held[process]);
}

uint64_t asgdi_queue_count_free(const asgdi_queue *q)
{
    return asgdi_ranges_count(&q->free);
}
