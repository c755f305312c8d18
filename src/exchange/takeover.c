/* takeover.c -- a dead owner's blocks are rebuilt from what the survivors hold.
 *
 * Every reply carries the master's version and the last delta of each process that is in it, and a process's S is
 * the master of that version for the whole block.  The new owner asks every member of the view which
 * version it holds, and takes the newest: an acknowledged delta of a survivor is in that survivor's S, hence
 * in the newest.  A delta under way is sent again to the new owner, who knows by its number whether the old one
 * had already applied it.
 *
 * Whoever answers is in the new view and takes no more replies of older ones; only when all have answered does
 * the new owner serve.  So no survivor can have been acknowledged by an owner whose work is not in what is
 * taken: see docs/exchange.md for the argument. */
#include "exchange/core.h"

#include "base/rng.h"

enum { PAGE = 4096, FETCHES = 8 };

/* Blocks stay where they are while their owner lives; a dead one's spread evenly over the living (rendezvous
 * hashing: Thaler, Ravishankar 1998). */
static uint32_t owner_of(const asgdi_exchange *x, uint32_t block)
{
    const uint32_t home = block % x->c.size;
    uint32_t       best = x->c.self;
    uint64_t       high = 0;
    if (asgdi_set_has(&x->in, home)) return home;
    for (uint32_t q = 0; q < x->c.size; q++) {
        if (!asgdi_set_has(&x->in, q)) continue;
        const uint64_t score = asgdi_random(block, q, 1);
        if (score < high) continue;
        high = score;
        best = q;
    }
    return best;
}

void asgdi_takeover_new_view(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        asgdi_block   *b   = &x->block[i];
        const uint32_t was = b->owner;
        b->owner           = owner_of(x, i);
        x->taking += b->owner == x->c.self && was != b->owner;
    }
    if (!asgdi_masters_new(x)) {
        asgdi_x_fail(x, "no memory to take over another process's part of the parameters");
        return;
    }
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        const asgdi_block *b = &x->block[i];
        asgdi_master      *m = b->master;
        if (!m || m->serving) continue;
        m->answered = (asgdi_set){0};
        asgdi_set_add(&m->answered, x->c.self);
        m->best     = b->base;
        m->holder   = x->c.self;
        m->exact    = !asgdi_rough_any(x, b);
        m->fetch_at = 0;
    }
    for (uint32_t q = 0; q < x->c.size; q++) x->peer[q].asking = false;
}

static void serve(asgdi_exchange *x, asgdi_master *m)
{
    m->serving         = true;
    x->watch.seen_back = UINT32_MAX; /* it has not been looked at */
    x->taking--;
}

static void ask(asgdi_exchange *x, uint32_t q)
{
    asgdi_peer  *p = &x->peer[q];
    asgdi_writer w;
    uint32_t     n = 0;
    if (p->asking && x->now - p->asked < x->c.resend) return;
    for (uint32_t i = 0; i < x->n_blocks && n < PAGE; i++) {
        const asgdi_master *m = x->block[i].master;
        n += m && !m->serving && !asgdi_set_has(&m->answered, q);
    }
    if (n == 0 || !asgdi_x_frame(x, ASGDI_ASK, 4 + (size_t)n * 4, &w)) return;
    asgdi_put_u32(&w, n);
    for (uint32_t i = 0; i < x->n_blocks && n > 0; i++) {
        const asgdi_master *m = x->block[i].master;
        if (!m || m->serving || asgdi_set_has(&m->answered, q)) continue;
        asgdi_put_u32(&w, i);
        n--;
    }
    asgdi_x_post(x, q, &w);
    p->asking = true;
    p->asked  = x->now;
}

void asgdi_takeover_on_ask(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint32_t n = asgdi_get_u32(r);
    asgdi_writer   w;
    if (n > PAGE || r->left != (size_t)n * 4) return;
    if (!asgdi_x_frame(x, ASGDI_HOLD, 4 + (size_t)n * 21, &w)) return;
    asgdi_put_u32(&w, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t      block = asgdi_get_u32(r);
        const asgdi_version v     = block < x->n_blocks ? x->block[block].base : (asgdi_version){0};
        asgdi_put_u32(&w, block);
        asgdi_put_u64(&w, v.term);
        asgdi_put_u64(&w, v.count);
        asgdi_put_u8(&w, block < x->n_blocks && !asgdi_rough_any(x, &x->block[block]));
    }
    asgdi_x_post(x, from, &w);
}

/* Of several that hold the newest, one that has it exactly: at the end of a run somebody may have finished with
 * that.  Who has finished has all of it exactly. */
void asgdi_takeover_on_hold(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint32_t n = asgdi_get_u32(r);
    if (n > PAGE || r->left != (size_t)n * 21) return;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t      block = asgdi_get_u32(r);
        const asgdi_version v     = {asgdi_get_u64(r), asgdi_get_u64(r)};
        const bool          exact = asgdi_get_u8(r);
        asgdi_master       *m     = block < x->n_blocks ? x->block[block].master : NULL;
        if (!m || m->serving || asgdi_set_has(&m->answered, from)) continue;
        asgdi_set_add(&m->answered, from);
        const bool same = !asgdi_version_before(v, m->best);
        if (!asgdi_version_before(m->best, v) && !(same && exact && !m->exact)) continue;
        m->best   = v;
        m->holder = from;
        m->exact  = exact;
    }
    x->peer[from].asking = false;
}

static void fetch(asgdi_exchange *x, uint32_t block)
{
    asgdi_master *m = x->block[block].master;
    asgdi_writer  w;
    if (!asgdi_x_frame(x, ASGDI_FETCH, 20, &w)) return;
    asgdi_put_u32(&w, block);
    asgdi_put_u64(&w, m->best.term);
    asgdi_put_u64(&w, m->best.count);
    asgdi_x_post(x, m->holder, &w);
    m->fetch_at = x->now;
}

void asgdi_takeover_on_fetch(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint32_t      number = asgdi_get_u32(r);
    const asgdi_version v      = {asgdi_get_u64(r), asgdi_get_u64(r)};
    asgdi_writer        w;
    if (r->bad || number >= x->n_blocks) return;
    const asgdi_block *b     = &x->block[number];
    const asgdi_shape  shape = asgdi_x_shape(x, b);
    if (b->base.term != v.term || b->base.count != v.count) return;
    if (!asgdi_x_frame(x, ASGDI_DATA, asgdi_reply_room(x, b, b->rows) + asgdi_rows_bytes(b), &w))
        return;
    asgdi_put_u32(&w, number);
    asgdi_put_u64(&w, v.term);
    asgdi_put_u64(&w, v.count);
    asgdi_put_u64(&w, b->base_updates);
    asgdi_put_u64(&w, b->sync_round);
    asgdi_put_u32(&w, b->back);
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_put_u64(&w, b->seq[q]);
        asgdi_put_u64(&w, b->included[q]);
    }
    asgdi_put_rows(&w, b, asgdi_x_rough(x, b));
    for (uint32_t i = 0; i < b->rows; i++) x->rows2[i] = i;
    w.at += asgdi_encode(ASGDI_FLOAT32, &shape, b->rows, x->rows2, asgdi_x_s(x, b),
                         w.frame->data + w.at);
    asgdi_x_post(x, from, &w);
}

void asgdi_takeover_on_data(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint32_t      number  = asgdi_get_u32(r);
    const asgdi_version v       = {asgdi_get_u64(r), asgdi_get_u64(r)};
    const uint64_t      updates = asgdi_get_u64(r), sync_round = asgdi_get_u64(r);
    const uint32_t      back   = asgdi_get_u32(r);
    const uint8_t      *vector = asgdi_get_bytes(r, (size_t)x->c.size * 16);
    if (r->bad || number >= x->n_blocks) return;
    asgdi_block      *b     = &x->block[number];
    const asgdi_shape shape = asgdi_x_shape(x, b);
    asgdi_master     *m     = b->master;
    const uint8_t    *list  = asgdi_get_bytes(r, asgdi_rows_bytes(b));
    uint32_t          n;
    if (r->bad || !m || m->serving || from != m->holder || v.term != m->best.term ||
        v.count != m->best.count)
        return;
    if (!asgdi_set_within(x->in, m->answered)) return;
    if (!asgdi_decode(ASGDI_FLOAT32, &shape, r->at, r->left, &n, x->rows2, m->m) || n != b->rows)
        return;
    for (uint32_t q = 0; q < x->c.size; q++) {
        memcpy(&m->seq[q], vector + (size_t)q * 16, 8);
        memcpy(&m->included[q], vector + (size_t)q * 16 + 8, 8);
    }
    m->updates = updates;
    m->round   = sync_round;
    m->back    = back;
    asgdi_master_begin(x, b, v.count);
    for (uint32_t i = 0; i < b->rows; i++)
        if (asgdi_row_is(list, i)) asgdi_master_rounded(m, v.count, i);
    asgdi_good_begin(x, b);
    serve(x, m);
}

void asgdi_takeover_tick(asgdi_exchange *x)
{
    uint32_t  fetching = 0;
    asgdi_set again    = {0};
    if (x->taking == 0) return;
    for (uint32_t q = 0; q < x->c.size; q++)
        if (q != x->c.self && asgdi_set_has(&x->in, q)) ask(x, q);
    for (uint32_t i = 0; i < x->n_blocks && fetching < FETCHES; i++) {
        asgdi_block  *b = &x->block[i];
        asgdi_master *m = b->master;
        if (!m || m->serving || !asgdi_set_within(x->in, m->answered)) continue;
        if (m->holder == x->c.self) {
            asgdi_master_from_copy(x, b);
            serve(x, m);
            continue;
        }
        fetching++;
        if (m->fetch_at == 0) {
            fetch(x, i);
        } else if (x->now - m->fetch_at >= x->peer[m->holder].patience) {
            asgdi_set_add(&again, m->holder);
            fetch(x, i);
        }
    }
    asgdi_copy_lost(x, again);
}
