/* copy.c -- this process's copy: rounds of deltas to the owners.  What comes back: corrections.c.
 *
 * In a round every block whose turn it is is read once, and what changed since S goes to its owner; blocks of
 * frequent rows have a turn every round, rarer ones every 2nd to 1024th.  Nothing marks rows as changed while
 * workers write them: reading and comparing costs nothing where it is not done, and misses nothing.
 *
 * A delta stays the sender's until a reply carries its sequence number; then W += M' - (S + d), S = M'.  At most one
 * delta of a block is under way, so an owner tells a repeated one by its number. */
#include "exchange/core.h"

#include <math.h>

#include "base/mem.h"
#include "base/status.h"
#include "exchange/rows.h"

enum {
    BLOCK_LEAST = 1 << 11, /* floats */
    BLOCK_MOST  = 1 << 16,
    RAREST      = 1024, /* rounds between exchanges of rare rows */
    WINDOW = 4 << 20,   /* bytes under way to one owner, and in rounds that bring much, from it */
    A_TICK = 16,        /* blocks read in one */
};

/* ---- blocks ---- */

/* Rows of the block that begins at `first`, and in *every how many rounds lie between its exchanges.
 *
 * Where rows are numbered by falling frequency, blocks further down are larger and have their turn less often: row r
 * has it every (1 + r / rows of the first block)-th round or so.  As a row's frequency falls about like 1 / rank, each
 * is then touched about as often between two exchanges, whatever its rank, and what a round costs grows with
 * the logarithm of the table. */
static uint64_t rows_at(const asgdi_exchange *x, const asgdi_table *t, uint64_t first,
                        uint32_t *every)
{
    const uint64_t all = t->info.rows * t->stride, at = first * t->stride;
    const bool     ranked = x->c.ranked && t->info.flags & ASGD_TABLE_BY_FEATURE;
    uint64_t       most   = all / (2 * (uint64_t)x->c.size); /* every process owns a part */
    if (most > BLOCK_MOST) most = BLOCK_MOST;
    if (most < BLOCK_LEAST) most = BLOCK_LEAST;
    *every = 1;
    if (ranked) {
        const uint64_t rank = at / BLOCK_LEAST + 1;
        while (*every < RAREST && 2 * (uint64_t)*every <= rank) *every *= 2;
        const uint64_t wide = (uint64_t)BLOCK_LEAST * *every / 2;
        if (wide < most) most = wide < BLOCK_LEAST ? BLOCK_LEAST : wide;
    }
    const uint64_t left = all - at, blocks = (left + most - 1) / most;
    uint64_t       rows = ranked ? most / t->stride : (left / t->stride + blocks - 1) / blocks;
    if (rows * t->stride > BLOCK_MOST) rows = BLOCK_MOST / t->stride;
    if (rows < 1) rows = 1;
    return rows < t->info.rows - first ? rows : t->info.rows - first;
}

static asgd_status lay_out(asgdi_exchange *x)
{
    const uint32_t size = x->c.size;
    uint64_t       n    = 0;
    for (int t = 0; t < x->p.n_tables; t++) {
        const asgdi_table *table = &x->p.table[t];
        uint32_t           every;
        for (uint64_t first = 0; first < table->info.rows; n++)
            first += rows_at(x, table, first, &every);
    }
    if (n > UINT32_MAX / 2) return ASGD_FAIL(ENOMEM, "the model is too large to be exchanged");
    x->block   = asgdi_calloc((size_t)n, sizeof *x->block);
    x->vectors = asgdi_calloc((size_t)n * 2 * size, sizeof *x->vectors);
    if (!x->block || !x->vectors) return ASGD_FAIL(ENOMEM, "no memory for the exchange's blocks");
    for (int t = 0; t < x->p.n_tables; t++) {
        const asgdi_table *table = &x->p.table[t];
        for (uint64_t first = 0; first < table->info.rows;) {
            const uint32_t number = x->n_blocks++;
            asgdi_block   *b      = &x->block[number];
            b->table              = t;
            b->first              = first;
            b->rows               = (uint32_t)rows_at(x, table, first, &b->every);
            b->stride             = (uint32_t)table->stride;
            b->owner              = number % size;
            b->base               = (asgdi_version){x->view, 0};
            b->seq                = x->vectors + (size_t)number * 2 * size;
            b->included           = b->seq + size;
            if (asgdi_x_floats(b) > x->most_floats) x->most_floats = (uint32_t)asgdi_x_floats(b);
            first += b->rows;
        }
    }
    return ASGD_OK;
}

/* Parts of a row that are not sent, or that do not weigh what others do. */
static void look_at_parts(asgdi_exchange *x)
{
    const asgdk_slots *s = &x->p.slots;
    x->derives           = s->w == ASGDK_DERIVED;
    x->whole             = s->w != ASGDK_MEAN;
    for (uint32_t i = 0; i < s->merged; i++) {
        x->derives |= s->slot[i] == ASGDK_DERIVED;
        x->whole &= s->slot[i] != ASGDK_MEAN;
    }
    x->whole &= !x->derives;
}

asgd_status asgdi_copy_new(asgdi_exchange *x)
{
    look_at_parts(x);
    ASGD_TRY(lay_out(x));
    uint32_t rows = 0;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        const asgdi_block *b = &x->block[i];
        if (b->rows > rows) rows = b->rows;
        if (asgdi_reply_room(x, b, b->rows) + asgdi_rows_bytes(b) + b->rows > ASGDI_FRAME_MAX / 2)
            return ASGD_FAIL(
                EINVAL,
                "table %s: rows of %u floats are too long to be exchanged between processes",
                x->p.table[b->table].info.name, b->stride);
    }
    x->x1       = asgdi_calloc(x->most_floats, sizeof(float));
    x->x2       = asgdi_calloc(x->most_floats, sizeof(float));
    x->x3       = asgdi_calloc(x->most_floats, sizeof(float));
    x->rows1    = asgdi_calloc(rows, sizeof *x->rows1);
    x->rows2    = asgdi_calloc(rows, sizeof *x->rows2);
    x->expected = asgdi_calloc(rows, sizeof *x->expected);
    x->scale1   = asgdi_calloc(rows, sizeof *x->scale1);
    if (!x->x1 || !x->x2 || !x->x3 || !x->rows1 || !x->rows2 || !x->expected || !x->scale1)
        goto no_memory;
    for (int t = 0; t < x->p.n_tables; t++) {
        const asgdi_table *table = &x->p.table[t];
        const size_t       n     = (size_t)table->info.rows * table->stride;
        x->s[t]                  = asgdi_calloc(n, sizeof(float));
        if (!x->s[t]) goto no_memory;
        memcpy(x->s[t], table->master, n * sizeof(float));
        if (!x->c.rough) continue;
        x->rough[t] = asgdi_calloc((size_t)table->info.rows, sizeof *x->rough[t]);
        if (!x->rough[t]) goto no_memory;
    }
    if (!asgdi_masters_new(x)) goto no_memory;
    for (uint32_t i = 0; i < x->n_blocks; i++)
        if (x->block[i].master) asgdi_master_from_copy(x, &x->block[i]);
    x->cursor = x->n_blocks;
    return ASGD_OK;
no_memory:
    return ASGD_FAIL(ENOMEM, "no memory for the copies of the parameters that the exchange keeps");
}

void asgdi_copy_free(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->n_blocks; i++) asgdi_frame_free(x->block[i].sent);
    asgdi_masters_free(x);
    asgdi_corrections_free(x);
    for (int t = 0; t < ASGD_MAX_TABLES; t++) {
        asgdi_free(x->s[t]);
        asgdi_free(x->rough[t]);
    }
    asgdi_snapshot_free(x);
    asgdi_free(x->block);
    asgdi_free(x->vectors);
    asgdi_free(x->x1);
    asgdi_free(x->x2);
    asgdi_free(x->x3);
    asgdi_free(x->rows1);
    asgdi_free(x->rows2);
    asgdi_free(x->expected);
    asgdi_free(x->scale1);
}

/* ---- sending ---- */

/* Part i of a row: w, then the merged slots. */
static bool derived(const asgdi_exchange *x, uint32_t part)
{
    const asgdk_slots *s = &x->p.slots;
    return (part == 0 ? s->w : s->slot[part - 1]) == ASGDK_DERIVED;
}

/* d = factor * (w - was) [n]; whether any of it is more than dust * |was|, or NaN. */
static bool subtract(size_t n, const float *restrict w, const float *restrict was, float factor,
                     float dust, float *restrict d)
{
    uint32_t differs = 0;
    for (size_t i = 0; i < n; i++) {
        const float change = w[i] - was[i];
        differs |= !(fabsf(change) <= dust * fabsf(was[i]));
        d[i] = factor * change;
    }
    return differs != 0;
}

/* differences() where some parts of a row are not sent. */
static uint32_t differ_in_parts(asgdi_exchange *x, const asgdi_block *b, float factor, float dust)
{
    const uint32_t stride = b->stride;
    const float   *s      = asgdi_x_s(x, b);
    uint32_t       n      = 0;
    for (uint32_t r = 0; r < b->rows; r++) {
        const float *w = x->x3 + (size_t)r * stride, *was = s + (size_t)r * stride;
        float       *d       = x->x1 + (size_t)n * stride;
        bool         differs = false;
        if (memcmp(w, was, stride * sizeof *w) == 0) continue;
        for (uint32_t part = 0; part <= x->p.slots.merged; part++) {
            const asgdi_span of = asgdi_row_part(&x->p.table[b->table], part);
            if (derived(x, part))
                memset(d + of.at, 0, of.n * sizeof *d);
            else
                differs |= subtract(of.n, w + of.at, was + of.at, factor, dust, d + of.at);
        }
        x->rows1[n] = r;
        n += differs;
    }
    return n;
}

/* W - S of the rows that differ: rows1 [n], x1 [n][stride], scale1 [n]. */
static uint32_t differences(asgdi_exchange *x, const asgdi_block *b)
{
    const float *s      = asgdi_x_s(x, b);
    const float  factor = asgdi_x_merging(x, b) == ASGDI_MERGE_ELASTIC ? (float)x->c.elastic : 1;
    /* W + (M' - (S + d)) is M' but for its last bits: those alone are not worth a delta, until the end */
    const float dust = x->stage == ASGDI_TRAINING ? 0x1p-22f : 0;
    x->read(x->user, b->table, b->first, b->rows, x->x3);
    const uint32_t n =
        x->derives ? differ_in_parts(x, b, factor, dust)
                   : asgdi_rows_differ(b->stride, b->rows, x->x3, s, factor, dust, x->rows1, x->x1);
    if (!asgdi_x_shortens(x, b)) return n;
    for (uint32_t i = 0; i < n; i++)
        x->scale1[i] = asgdi_x_scale(x, b, s + (size_t)x->rows1[i] * b->stride);
    return n;
}

void asgdi_copy_answered(asgdi_exchange *x, asgdi_block *b)
{
    if (!b->sent) return;
    x->peer[b->sent_to].under_way -= b->charged;
    asgdi_frame_free(b->sent);
    b->sent = NULL;
}

/* Rounds whose answers may bring all of a block, however little is asked: without regard to that, an owner would have
 * all its blocks in frames at once, for each of the others. */
static bool brings_all(const asgdi_exchange *x)
{
    return x->going_back || x->tidying || x->round_stage != ASGDI_TRAINING;
}

static void dispatch(asgdi_exchange *x, asgdi_block *b)
{
    b->sent_at = x->now;
    b->sent_to = b->owner;
    b->times_sent++;
    b->charged =
        b->sent->bytes + (brings_all(x) ? (uint32_t)(asgdi_x_floats(b) * sizeof(float)) : 0);
    x->peer[b->owner].under_way += b->charged;
    if (b->owner != x->c.self) {
        asgdi_x_post_frame(x, b->owner, asgdi_frame_hold(b->sent));
        return;
    }
    asgdi_frame *f = asgdi_frame_hold(b->sent); /* the reply lets go of it */
    asgdi_reader r = {f->data + sizeof(asgdi_head), f->bytes - sizeof(asgdi_head), false};
    asgdi_master_on_delta(x, x->c.self, &r);
    asgdi_frame_free(f);
}

/* What W has more than S went out, all of it, when it was read last, and since then no worker had anything to do: there is
 * no need to read it again. */
static bool is_quiet(const asgdi_exchange *x, const asgdi_block *b)
{
    return b->read_all && asgdi_supply_idle(x) && b->read_mark == x->supply.mark &&
           b->read_updates == x->progress.updates;
}

static void send_delta(asgdi_exchange *x, asgdi_block *b)
{
    const asgdi_shape  shape  = asgdi_x_shape(x, b);
    const bool         coarse = x->stage == ASGDI_TRAINING && (!x->c.coding_auto || x->pace.coarse);
    const asgdi_coding coding = coarse && !asgdi_snapshot_is_exact(x) ? x->c.coding : ASGDI_FLOAT32;
    const bool         pull   = x->stage == ASGDI_FETCHING || x->going_back;
    const bool         also   = pull && asgdi_rough_any(x, b);
    const uint32_t     n      = pull || is_quiet(x, b) ? 0 : differences(x, b);
    const bool         exact  = asgdi_rough_none(x, b, n, x->rows1);
    const uint64_t     mine   = x->progress.updates - b->read_updates;
    asgdi_writer       w;
    const size_t       scales = asgdi_x_shortens(x, b) ? (size_t)n * sizeof *x->scale1 : 0;
    if (!asgdi_x_frame(x, ASGDI_DELTA,
                       88 + scales + asgdi_rows_bytes(b) + asgdi_encode_bound(coding, &shape, n),
                       &w))
        return;
    if (!pull) {
        b->read_updates = x->progress.updates;
        b->read_mark    = x->supply.mark;
        b->read_all     = coding == ASGDI_FLOAT32 && asgdi_x_merging(x, b) != ASGDI_MERGE_ELASTIC;
    }
    b->next_seq++;
    asgdi_put_u32(&w, (uint32_t)(b - x->block));
    asgdi_put_u64(&w, b->next_seq);
    asgdi_put_u64(&w, b->base.count);
    asgdi_put_u64(&w, b->base_updates);
    asgdi_put_u64(&w, n ? mine : 0);
    asgdi_put_u64(&w, x->progress.examples);
    asgdi_put_u64(&w, b->sync_round);
    asgdi_put_u32(&w, x->going_back ? x->going_to : x->watch.done);
    asgdi_put_u8(&w, (uint8_t)((pull ? ASGDI_PULL : 0) | (also ? ASGDI_ALSO : 0) |
                               (coarse && x->c.rough && !pull ? ASGDI_ROUGH : 0) |
                               (exact ? ASGDI_EXACT : 0)));
    asgdi_put_u8(&w, (uint8_t)coding);
    asgdi_put_u32(&w, (uint32_t)(scales / sizeof *x->scale1));
    asgdi_put(&w, x->scale1, scales);
    if (also) asgdi_put_rows(&w, b, asgdi_x_rough(x, b));
    w.at += asgdi_encode(coding, &shape, n, x->rows1, x->x1, w.frame->data + w.at);
    w.frame->bytes = (uint32_t)w.at;
    b->sent        = w.frame;
    b->times_sent  = 0;
    x->under_way++;
    x->round_blocks++;
    x->counts.deltas += n > 0;
    x->counts.coded += n > 0 && coding != ASGDI_FLOAT32;
    if (b->owner != x->c.self) x->round_raw += (double)n * b->stride * sizeof(float);
    b->moved_before = x->pace.moved;
    dispatch(x, b);
}

/* In another view: the same bytes with another head. */
static void send_again(asgdi_exchange *x, asgdi_block *b)
{
    asgdi_frame *f = asgdi_frame_new(b->sent->bytes);
    asgdi_head   head;
    if (!f) {
        asgdi_x_fail(x, "no memory to send again");
        return;
    }
    memcpy(f->data, b->sent->data, b->sent->bytes);
    memcpy(&head, f->data, sizeof head);
    head.view = x->view;
    memcpy(f->data, &head, sizeof head);
    asgdi_copy_answered(x, b);
    b->sent = f;
    x->counts.resent++;
    dispatch(x, b);
}

void asgdi_copy_new_view(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->n_blocks; i++)
        if (x->block[i].sent) send_again(x, &x->block[i]);
}

/* Sending again into a network that is only slow makes it slower still.  How long to wait therefore follows from how
 * long answers take, and doubles with what had to be sent again; only an answer to what was sent once tells how long
 * they take now (Karn, Partridge 1987; Jacobson 1988). */
/* bytes: of the answer. */
void asgdi_copy_took(asgdi_exchange *x, const asgdi_block *b, double held, size_t bytes)
{
    asgdi_peer  *p = &x->peer[b->sent_to];
    const double t = x->now - b->sent_at - held;
    if (b->times_sent != 1 || !(t >= 0) || b->sent_to == x->c.self) return;
    asgdi_pace_answer(&x->pace, x->now, t, b->sent->bytes + bytes, b->moved_before);
    p->answer   = t > p->answer ? t : p->answer + (t - p->answer) / 8;
    p->patience = fmax(x->c.resend, 2 * p->answer);
}

void asgdi_copy_lost(asgdi_exchange *x, asgdi_set to)
{
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_peer *p = &x->peer[q];
        if (!asgdi_set_has(&to, q) || x->now - p->doubled_at < p->patience) continue;
        p->doubled_at = x->now;
        p->patience   = fmin(2 * p->patience, fmax(2 * p->answer, x->c.dead_after / 2));
    }
}

static void look_for_lost(asgdi_exchange *x)
{
    asgdi_set again = {0};
    if (x->now < x->look_at) return;
    x->look_at = x->now + x->c.resend / 4;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        asgdi_block *b = &x->block[i];
        if (!b->sent || x->now - b->sent_at < x->peer[b->sent_to].patience) continue;
        asgdi_set_add(&again, b->sent_to);
        send_again(x, b);
    }
    asgdi_copy_lost(x, again);
}

/* ---- rounds ---- */

/* Nothing to disturb, as there is no more work, and somebody waits for what he did to be safe. */
static bool workers_wait(const asgdi_exchange *x)
{
    if (!asgdi_supply_is_refused(x)) return false;
    bool wait = x->supply.n_marked > 0;
    for (uint32_t q = 0; q < x->c.size && !wait; q++)
        wait = x->peer[q].waits && asgdi_set_has(&x->in, q);
    return wait;
}

/* The share of a core is for all that exchanging costs since the last round began, what is done for the others' rounds, too. */
static bool is_paid_for(const asgdi_exchange *x)
{
    const double passed = x->now - x->round_began, cost = x->progress.cost - x->round_cost;
    return passed >= x->c.round_most || passed * x->c.share >= cost || x->c.share <= 0;
}

static bool may_begin(const asgdi_exchange *x)
{
    const uint64_t steps = x->progress.updates - x->round_updates;
    const uint64_t lead  = asgdi_x_lead(x);
    const bool     soon  = x->now >= x->round_began + x->c.round_least;
    switch (x->stage) {
    case ASGDI_TRAINING:
        if (x->watch.back > x->watch.done) return true;
        if (x->c.clock == ASGDI_CLOCK_SYNC) return steps >= x->steps || asgdi_supply_is_refused(x);
        if (workers_wait(x) || asgdi_snapshot_wants_round(x)) return soon;
        if (steps >= lead / 2) return true;
        if (x->c.local_steps)
            return steps >= asgdi_watch_local_steps(x) || (soon && asgdi_supply_idle(x));
        return x->now >= x->round_at && is_paid_for(x);
    case ASGDI_FLUSHING: return x->still && !x->flushed;
    case ASGDI_FETCHING:
        for (uint32_t q = 0; q < x->c.size; q++)
            if (q != x->c.self && asgdi_set_has(&x->in, q) && x->peer[q].stage < ASGDI_FETCHING)
                return false;
        return true;
    default: return false;
    }
}

static void begin_round(asgdi_exchange *x)
{
    x->round++;
    x->in_round     = true;
    x->cursor       = 0;
    x->round_blocks = 0;
    x->going_back   = x->stage == ASGDI_TRAINING && x->watch.back > x->watch.done;
    x->going_to     = x->watch.back;
    x->full         = x->stage != ASGDI_TRAINING || x->c.clock == ASGDI_CLOCK_SYNC || x->going_back;
    x->tidying      = !x->full && workers_wait(x);
    x->round_stage  = x->stage;
    x->round_began  = x->now;
    x->round_cost   = x->progress.cost;
    x->round_updates = x->progress.updates;
    if (!x->going_back) asgdi_snapshot_round(x);
}

/* What this process did is to be safe, and others who wait are to hear that theirs is. */
static bool is_untidy(const asgdi_exchange *x, const asgdi_block *b)
{
    const bool own = b->owner == x->c.self;
    return (own ? b->read_mark : b->safe_mark) < x->supply.mark ||
           (!own && x->peer[b->owner].waits);
}

static bool is_due(const asgdi_exchange *x, uint32_t i)
{
    if (asgdi_snapshot_is_due(x, i)) return true;
    if (x->tidying) return is_untidy(x, &x->block[i]);
    return x->full || (x->round + i) % x->block[i].every == 0;
}

/* In which this process's workers get as far as a round is begun at the latest. */
static double lead_seconds(const asgdi_exchange *x)
{
    const asgdi_progress *p    = &x->progress;
    const uint64_t        lead = asgdi_x_lead(x);
    if (lead == UINT64_MAX || p->updates == 0 || !(p->rate > 0)) return INFINITY;
    return (double)lead / 2 * ((double)p->examples / (double)p->updates) / p->rate;
}

/* wait: until the next round, as far as it is up to this process.  With clock sync the workers wait for all of a
 * round, which is what may be made shorter: the same time as they compute. */
static void choose_pace(asgdi_exchange *x, double wait)
{
    const bool     sync    = x->c.clock == ASGDI_CLOCK_SYNC;
    const uint64_t updates = x->round_updates - x->agreed_updates;
    const double   step    = updates ? (x->round_began - x->ended_at) / (double)updates : 0;
    if (x->round_stage != ASGDI_TRAINING) return;
    if (!x->going_back) /* that fetches all, and is not what rounds are like */
        asgdi_pace_round(&x->pace, x->round_raw, sync ? x->round_began - x->ended_at : wait);
    x->round_raw = 0;
    x->ended_at  = x->now;
    /* one that was begun for want of work has waited for it, and tells nothing of updates */
    if (!sync || !x->c.steps_auto || updates < x->steps) return;
    double answer = 0;
    for (uint32_t q = 0; q < x->c.size; q++)
        if (q != x->c.self && asgdi_set_has(&x->in, q)) answer = fmax(answer, x->peer[q].answer);
    x->step += (x->step > 0 ? 1.0 / 8 : 1) * (step - x->step);
    x->steps        = asgdi_pace_steps(answer, x->step, x->c.local_steps);
    x->counts.steps = x->steps;
}

static void end_round(asgdi_exchange *x)
{
    const double cost = x->progress.cost - x->round_cost;
    double       wait = x->c.share > 0 ? cost / x->c.share : 0;
    if (wait < x->c.round_least) wait = x->c.round_least;
    if (wait > x->c.round_most) wait = x->c.round_most;
    x->round_at = x->round_began + wait;
    x->in_round = false;
    choose_pace(x, fmin(wait, lead_seconds(x)));
    if (x->going_back) x->watch.done = x->peer[x->c.self].back = x->going_to;
    x->going_back     = false;
    x->agreed_updates = x->round_updates;
    x->counts.rounds += x->round_blocks > 0;
    asgdi_snapshot_round_over(x);
    asgdi_supply_safe(x);
    if (x->stage == ASGDI_FLUSHING && x->round_stage == ASGDI_FLUSHING) {
        x->flushed  = true;
        x->stage    = ASGDI_FETCHING;
        x->beat_now = true;
    } else if (x->stage == ASGDI_FETCHING && x->round_stage == ASGDI_FETCHING) {
        x->stage    = ASGDI_FINISHED;
        x->beat_now = true;
    }
}

void asgdi_copy_tick(asgdi_exchange *x)
{
    if (!x->in_round && may_begin(x)) begin_round(x);
    for (uint32_t read = 0; x->in_round && x->cursor < x->n_blocks && read < A_TICK; x->cursor++) {
        asgdi_block *b = &x->block[x->cursor];
        if (!is_due(x, x->cursor)) continue;
        if (b->owner != x->c.self && x->peer[b->owner].under_way > WINDOW) break;
        send_delta(x, b);
        read++;
        if (x->stage == ASGDI_FAILED) return;
    }
    if (x->in_round && x->cursor == x->n_blocks && x->under_way == 0) end_round(x);
    look_for_lost(x);
}
