/* snapshot.c -- a snapshot of the masters while everything goes on, for a checkpoint: each process copies those it owns.
 *
 * It is to hold the progress of all positions that it says are done, and of others as little as may be, for these are
 * done again by who goes on from it.  Whoever speaks has it taken, in two steps that travel with the signs of life:
 *
 *     settle   every process reads every block once more.  When all are answered, what the process had done before it
 *              began to is in the masters: those are the positions that this process says are done
 *     copy     when all have settled, every owner copies its masters: whatever was in them then is
 *
 * What comes into a master between the two is in the copy and not said to be done.  Without the first step that were far
 * more: what is safe, as leases are told of it, waits for the rarest of blocks.
 *
 * Parts belong together only if they are of one view, for blocks change hands with it, and if all masters had gone back
 * the same number of times; if not, or if a process cannot write its part, there is no snapshot, and the next one is asked
 * for by whoever speaks then. */
#include "exchange/core.h"

#include "base/mem.h"

enum { A_TICK = 16 }; /* blocks copied in one */

static void drop(asgdi_snap *s)
{
    for (int t = 0; t < ASGD_MAX_TABLES; t++) {
        asgdi_free(s->rows[t]);
        s->rows[t] = NULL;
    }
    asgdi_free(s->piece);
    asgdi_free(s->included);
    s->piece    = NULL;
    s->included = NULL;
}

void asgdi_snapshot_free(asgdi_exchange *x)
{
    drop(&x->snap);
    asgdi_ranges_free(&x->snap.done);
}

static void enter(asgdi_exchange *x, asgdi_snap_step step)
{
    x->snap.step = step;
    x->beat_now  = true;
}

/* ---- settling ---- */

/* Asked by who speaks, in this view. */
static void settle(asgdi_exchange *x, uint64_t number)
{
    x->snap.number  = number;
    x->snap.copy    = false;
    x->snap.step    = ASGDI_SNAP_WANTED;
    x->snap.settled = x->snap.settling = 0;
}

/* A part that is still being written belongs to an earlier one, and is waited for. */
bool asgdi_snapshot_wants_round(const asgdi_exchange *x)
{
    return (x->snap.step == ASGDI_SNAP_WANTED || x->snap.step == ASGDI_SNAP_ROUNDS) &&
           x->stage == ASGDI_TRAINING && !x->snap.lent;
}

/* Blocks are read a part in each round, besides those whose turn it is: one round of all would keep the workers
 * waiting, who may be no further ahead than the last round that is over allows. */
void asgdi_snapshot_round(asgdi_exchange *x)
{
    asgdi_snap *s      = &x->snap;
    uint32_t    floats = 0;
    if (!asgdi_snapshot_wants_round(x)) return;
    if (s->step == ASGDI_SNAP_WANTED) s->settled = 0;
    s->step = ASGDI_SNAP_ROUNDS;
    for (s->settling = s->settled; s->settling < x->n_blocks && floats < x->c.snapshot_floats;
         s->settling++)
        floats += (uint32_t)asgdi_x_floats(&x->block[s->settling]);
    if (x->full) s->settling = x->n_blocks;
}

bool asgdi_snapshot_is_due(const asgdi_exchange *x, uint32_t block)
{
    const asgdi_snap *s = &x->snap;
    return s->step == ASGDI_SNAP_ROUNDS && block >= s->settled && block < s->settling;
}

/* What a coding leaves out of deltas stays in W - S.  Of what is noted as done nothing may: so from the first round until
 * all have settled, after which nobody notes any more, everything is sent. */
bool asgdi_snapshot_is_exact(const asgdi_exchange *x)
{
    return x->snap.step == ASGDI_SNAP_ROUNDS || x->snap.step == ASGDI_SNAP_SETTLED;
}

/* Positions done by this process whose progress is in the masters, its own ones too.  Leases count a process's own
 * progress in its own masters as safe only when another process has it as well, since both could die; a copy
 * of the master has it. */
static bool add_settled(const asgdi_exchange *x, asgdi_ranges *done)
{
    const asgdi_supply *s     = &x->supply;
    uint64_t            least = UINT64_MAX;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        const asgdi_block *b  = &x->block[i];
        const uint64_t     in = b->owner == x->c.self ? b->read_mark : b->safe_mark;
        if (in < least) least = in;
    }
    for (size_t i = 0; i < s->n_marked && s->marked[i].mark <= least; i++)
        if (!asgdi_ranges_add(done, s->marked[i].range)) return false;
    return asgdi_ranges_add_all(done, asgdi_exchange_done_set(x)) &&
           asgdi_ranges_add_all(done, &s->safe);
}

void asgdi_snapshot_round_over(asgdi_exchange *x)
{
    asgdi_snap *s = &x->snap;
    if (s->step != ASGDI_SNAP_ROUNDS) return;
    s->settled = s->settling;
    if (s->settled < x->n_blocks) return;
    asgdi_ranges_clear(&s->done);
    enter(x, add_settled(x, &s->done) ? ASGDI_SNAP_SETTLED : ASGDI_SNAP_FAILED);
}

/* ---- copying ---- */

/* false: no memory; then there is no snapshot, which is no reason not to go on. */
static bool make_room(asgdi_exchange *x)
{
    asgdi_snap *s                       = &x->snap;
    size_t      floats[ASGD_MAX_TABLES] = {0};
    uint32_t    n                       = 0;
    drop(s);
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        if (!x->block[i].master) continue;
        floats[x->block[i].table] += asgdi_x_floats(&x->block[i]);
        n++;
    }
    s->piece    = asgdi_calloc((size_t)n + 1, sizeof *s->piece);
    s->included = asgdi_calloc((size_t)n * x->c.size + 1, sizeof *s->included);
    bool enough = s->piece && s->included;
    for (int t = 0; t < x->p.n_tables && enough; t++) {
        s->rows[t] = asgdi_calloc(floats[t] + 1, sizeof(float));
        enough     = s->rows[t] != NULL;
    }
    if (!enough) drop(s);
    return enough;
}

static void begin_copying(asgdi_exchange *x)
{
    asgdi_snap *s = &x->snap;
    s->n = s->cursor = 0;
    s->back          = x->watch.back;
    memset(s->filled, 0, sizeof s->filled);
}

static void copy_block(asgdi_exchange *x, const asgdi_block *b)
{
    asgdi_snap  *s = &x->snap;
    const size_t n = asgdi_x_floats(b);
    memcpy(s->rows[b->table] + s->filled[b->table], b->master->m, n * sizeof(float));
    s->filled[b->table] += n;
    memcpy(s->included + (size_t)s->n * x->c.size, b->master->included,
           x->c.size * sizeof *s->included);
    s->piece[s->n++] = (asgdi_piece){b->first, b->rows, b->table};
}

static void copy_some(asgdi_exchange *x)
{
    asgdi_snap *s = &x->snap;
    if (x->taking) return; /* some have not come yet */
    if (s->back != x->watch.back) begin_copying(x);
    for (uint32_t n = 0; s->cursor < x->n_blocks && n < A_TICK; s->cursor++) {
        const asgdi_block *b = &x->block[s->cursor];
        if (!b->master) continue;
        /* those that were taken over may have to go back yet */
        if (b->master->good && b->master->back != s->back) return;
        copy_block(x, b);
        n++;
    }
    if (s->cursor < x->n_blocks) return;
    s->lent = true;
    s->step = ASGDI_SNAP_COPIED;
}

/* ---- who speaks ---- */

static void look_at_others(asgdi_exchange *x)
{
    asgdi_snap     *s     = &x->snap;
    asgdi_snap_step least = ASGDI_SNAP_FAILED;
    bool            alike = true;
    for (uint32_t q = 0; q < x->c.size; q++) {
        const asgdi_peer *p   = &x->peer[q];
        const bool        own = q == x->c.self;
        if (!asgdi_set_has(&x->in, q)) continue;
        const asgdi_snap_step step = own                           ? s->step
                                     : p->snap.number == s->number ? p->snap.step
                                                                   : ASGDI_SNAP_NONE;
        if (step == ASGDI_SNAP_FAILED) s->asked = ASGDI_SNAP_FAILED;
        if (step < least) least = step;
        alike = alike && (own || p->snap.back == s->back);
    }
    if (s->asked == ASGDI_SNAP_FAILED) return;
    if (s->asked == ASGDI_SNAP_SETTLED && least >= ASGDI_SNAP_SETTLED) {
        s->asked    = ASGDI_SNAP_COPIED;
        x->beat_now = true;
    }
    alike = alike && s->back == x->watch.back;
    if (least == ASGDI_SNAP_WRITTEN) s->asked = alike ? ASGDI_SNAP_WRITTEN : ASGDI_SNAP_FAILED;
}

void asgdi_exchange_snapshot_begin(asgdi_exchange *x, uint64_t number)
{
    if (!asgdi_exchange_is_speaker(x)) {
        x->snap.asked = ASGDI_SNAP_FAILED;
        return;
    }
    settle(x, number > x->snap.number ? number : x->snap.number + 1);
    x->snap.asked = ASGDI_SNAP_SETTLED;
    x->beat_now   = true;
}

asgdi_snapshot_state asgdi_exchange_snapshot_state(const asgdi_exchange *x)
{
    switch (x->snap.asked) {
    case ASGDI_SNAP_NONE: return ASGDI_SNAPSHOT_NONE;
    case ASGDI_SNAP_WRITTEN: return ASGDI_SNAPSHOT_WHOLE;
    case ASGDI_SNAP_FAILED: return ASGDI_SNAPSHOT_FAILED;
    default: return ASGDI_SNAPSHOT_UNDER_WAY;
    }
}

uint32_t asgdi_exchange_snapshot_parts(const asgdi_exchange *x, asgdi_part *out)
{
    uint32_t n = 0;
    for (uint32_t q = 0; q < x->c.size; q++) {
        const asgdi_snap_told *t = q == x->c.self ? &x->snap.told : &x->peer[q].snap;
        if (asgdi_set_has(&x->in, q)) out[n++] = (asgdi_part){q, t->bytes, t->checksum};
    }
    return n;
}

uint64_t asgdi_exchange_snapshot_number(const asgdi_exchange *x)
{
    return x->snap.number;
}

/* ---- everybody ---- */

bool asgdi_exchange_snapshot_part(const asgdi_exchange *x, asgdi_snapshot *out)
{
    const asgdi_snap *s = &x->snap;
    if (s->step != ASGDI_SNAP_COPIED) return false;
    *out = (asgdi_snapshot){s->number, s->rows, s->piece, s->included, s->n, &s->done};
    return true;
}

void asgdi_exchange_snapshot_written(asgdi_exchange *x, uint64_t number, bool good, uint64_t bytes,
                                     uint64_t checksum)
{
    asgdi_snap *s = &x->snap;
    s->lent       = false;
    drop(s);
    if (number != s->number || s->step != ASGDI_SNAP_COPIED) return; /* nobody waits for it now */
    s->told.bytes    = bytes;
    s->told.checksum = checksum;
    enter(x, good ? ASGDI_SNAP_WRITTEN : ASGDI_SNAP_FAILED);
}

void asgdi_snapshot_tick(asgdi_exchange *x)
{
    asgdi_snap *s = &x->snap;
    if (s->step == ASGDI_SNAP_SETTLED && s->copy) {
        if (!make_room(x)) {
            enter(x, ASGDI_SNAP_FAILED);
        } else {
            begin_copying(x);
            s->step = ASGDI_SNAP_COPYING;
        }
    }
    if (s->step == ASGDI_SNAP_COPYING) copy_some(x);
    if (s->asked == ASGDI_SNAP_SETTLED || s->asked == ASGDI_SNAP_COPIED) look_at_others(x);
    if (s->asked == ASGDI_SNAP_COPIED) s->copy = true;
}

void asgdi_snapshot_new_view(asgdi_exchange *x)
{
    asgdi_snap *s = &x->snap;
    if (!s->lent) drop(s);
    for (uint32_t q = 0; q < x->c.size; q++) x->peer[q].snap = (asgdi_snap_told){0};
    s->step = ASGDI_SNAP_NONE;
    s->copy = false;
    if (s->asked != ASGDI_SNAP_NONE) s->asked = ASGDI_SNAP_FAILED;
}

/* ---- with the signs of life ---- */

void asgdi_snapshot_put(const asgdi_exchange *x, asgdi_writer *w)
{
    const asgdi_snap *s = &x->snap;
    asgdi_put_u64(w, s->number);
    asgdi_put_u8(w, (uint8_t)s->step);
    asgdi_put_u8(w, (uint8_t)(asgdi_exchange_is_speaker(x) ? s->asked : ASGDI_SNAP_NONE));
    asgdi_put_u32(w, s->back);
    asgdi_put_u64(w, s->told.bytes);
    asgdi_put_u64(w, s->told.checksum);
}

void asgdi_snapshot_get(asgdi_exchange *x, uint32_t from, bool same_view, asgdi_reader *r)
{
    asgdi_snap      *s      = &x->snap;
    const uint64_t   number = asgdi_get_u64(r);
    const uint8_t    step = asgdi_get_u8(r), asked = asgdi_get_u8(r);
    const uint32_t   back  = asgdi_get_u32(r);
    const uint64_t   bytes = asgdi_get_u64(r), checksum = asgdi_get_u64(r);
    asgdi_snap_told *t = &x->peer[from].snap;
    if (r->bad || step > ASGDI_SNAP_FAILED || asked > ASGDI_SNAP_FAILED || !same_view) return;
    /* an old one may come late */
    if (number > t->number || (number == t->number && step > t->step))
        *t = (asgdi_snap_told){number, bytes, checksum, back, (asgdi_snap_step)step};
    if (asgdi_exchange_is_speaker(x) &&
        number > s->number) { /* one that spoke before has used it */
        if (s->asked != ASGDI_SNAP_NONE) s->asked = ASGDI_SNAP_FAILED;
        s->number = number;
        s->step   = ASGDI_SNAP_NONE;
    }
    if (from != asgdi_x_keeper(x)) return;
    const bool news = number > s->number || (number == s->number && s->step == ASGDI_SNAP_NONE);
    if (news && number > 0 && asked == ASGDI_SNAP_SETTLED) settle(x, number);
    if (number == s->number && s->step >= ASGDI_SNAP_WANTED && asked == ASGDI_SNAP_COPIED)
        s->copy = true;
}
