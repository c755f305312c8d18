/* lease.c -- chunks by guided self-scheduling (Polychronopoulos and Kuck 1987): a share of what is
 * left, never less than one batch, so that a slow worker cannot hold up the end by more than a step.
 *
 * The stock is a ring of ranges and one word that says how far it is handed out.  A piece is one
 * compare-and-swap on that word.  A place in the ring is used again only when the word has gone past it,
 * so where the swap succeeds, what was read of the range before was this range's. */
#include "engine/lease.h"

static asgdi_lease take_from(asgdi_stock *s, asgdi_range *out)
{
    return asgdi_stock_take(s, out) ? ASGDI_LEASED : ASGDI_AT_GATE;
}

asgdi_lease asgdi_lease_take(asgdi_leases *l, asgdi_range *out)
{
    if (l->stock) return take_from(l->stock, out);
    if (asgdi_load_relaxed(&l->next_open) < l->n_open) {
        uint32_t i = asgdi_add_relaxed(&l->next_open, 1);
        if (i < l->n_open) {
            *out = l->open[i];
            return ASGDI_LEASED;
        }
    }
    uint64_t next = asgdi_load_relaxed(&l->next);
    for (;;) {
        if (next >= l->total) return ASGDI_ALL_DONE;
        uint64_t gate = asgdi_load_acquire(&l->gate);
        if (next >= gate) return ASGDI_AT_GATE;
        uint64_t chunk = (l->total - next) / (4 * (uint64_t)l->workers);
        if (chunk > l->most) chunk = l->most;
        chunk       = chunk < l->batch ? l->batch : chunk / l->batch * l->batch;
        uint64_t hi = next + chunk;
        if (hi > gate) hi = gate; /* the batch before a gate may be a short one */
        if (asgdi_cas_relaxed(&l->next, &next, hi)) {
            *out = (asgdi_range){next, hi};
            return ASGDI_LEASED;
        }
    }
}

/* ---- the stock ---- */

bool asgdi_stock_put(asgdi_stock *s, asgdi_range r)
{
    const uint32_t put = asgdi_load_relaxed(&s->put);
    const uint32_t at  = (uint32_t)(asgdi_load_acquire(&s->at) >> 32);
    if (put - at >= ASGDI_STOCK) return false;
    asgdi_store_relaxed(&s->range[put % ASGDI_STOCK].lo, r.lo);
    asgdi_store_relaxed(&s->range[put % ASGDI_STOCK].n, (uint32_t)(r.hi - r.lo));
    asgdi_store_release(&s->put, put + 1);
    return true;
}

bool asgdi_stock_take(asgdi_stock *s, asgdi_range *out)
{
    uint64_t at = asgdi_load_acquire(&s->at);
    for (;;) {
        const uint32_t number = (uint32_t)(at >> 32), gone = (uint32_t)at;
        if (number == asgdi_load_acquire(&s->put)) return false;
        const uint64_t lo   = asgdi_load_relaxed(&s->range[number % ASGDI_STOCK].lo);
        const uint32_t n    = asgdi_load_relaxed(&s->range[number % ASGDI_STOCK].n);
        const uint32_t most = asgdi_load_relaxed(&s->most);
        if (gone >= n) {
            asgdi_cas_acq_rel(&s->at, &at, (uint64_t)(number + 1) << 32);
            continue;
        }
        const uint32_t piece = n - gone < most ? n - gone : most;
        if (asgdi_cas_acq_rel(&s->at, &at, at + piece)) {
            *out = (asgdi_range){lo + gone, lo + gone + piece};
            return true;
        }
    }
}

uint64_t asgdi_stock_left(asgdi_stock *s)
{
    const uint64_t at  = asgdi_load_acquire(&s->at);
    const uint32_t put = asgdi_load_relaxed(&s->put);
    uint64_t       sum = 0;
    for (uint32_t i = (uint32_t)(at >> 32); i != put; i++)
        sum += asgdi_load_relaxed(&s->range[i % ASGDI_STOCK].n);
    return sum > (uint32_t)at ? sum - (uint32_t)at : 0;
}

/* ---- what is done ---- */

bool asgdi_done_put(asgdi_done *d, asgdi_range r, bool last)
{
    const uint32_t used = d->put - asgdi_load_acquire(&d->taken);
    if (used >= ASGDI_DONE - (last ? 0 : 1)) return false;
    d->range[d->put++ % ASGDI_DONE] = r;
    d->examples += r.hi - r.lo;
    return true;
}

void asgdi_done_settle(asgdi_done *d)
{
    if (asgdi_load_relaxed(&d->settled) == d->put) return;
    asgdi_store_release(&d->settled_examples, d->examples);
    asgdi_store_release(&d->settled, d->put);
}

bool asgdi_done_take(asgdi_done *d, asgdi_range *out)
{
    const uint32_t taken = asgdi_load_relaxed(&d->taken);
    if (taken == asgdi_load_acquire(&d->settled)) return false;
    *out = d->range[taken % ASGDI_DONE];
    asgdi_store_release(&d->taken, taken + 1);
    return true;
}
