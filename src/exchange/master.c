/* master.c -- the blocks this process owns: deltas come in, the master changes, replies go out.
 *
 * Invariant: the master is what it began as, plus weight * d of each process's deltas numbered up to seq[process],
 * each once.  seq travels with every reply and lives on in the copies, so it holds across the owner's
 * death (takeover.c). */
#include "exchange/core.h"

#include <math.h>

#include "exchange/rows.h"

void asgdi_master_from_copy(asgdi_exchange *x, asgdi_block *b)
{
    asgdi_master *m = b->master;
    memcpy(m->m, asgdi_x_s(x, b), asgdi_x_floats(b) * sizeof(float));
    memcpy(m->seq, b->seq, x->c.size * sizeof *m->seq);
    memcpy(m->included, b->included, x->c.size * sizeof *m->included);
    m->updates        = b->base_updates;
    m->round          = b->sync_round;
    m->back           = b->back;
    const uint8_t *is = asgdi_x_rough(x, b);
    asgdi_master_begin(x, b, b->base.count);
    for (uint32_t i = 0; is && i < b->rows; i++)
        if (is[i]) asgdi_master_rounded(m, b->base.count, i);
    asgdi_good_begin(x, b);
    m->serving = true;
}

void asgdi_master_begin(asgdi_exchange *x, asgdi_block *b, uint64_t count)
{
    asgdi_master *m = b->master;
    for (uint32_t i = 0; i < b->rows; i++) m->changed[i] = count;
    m->version = (asgdi_version){x->view, count};
}

void asgdi_master_rounded(asgdi_master *m, uint64_t count, uint32_t row)
{
    m->version.count = m->changed[row] = count + 1;
}

/* ---- the owner's own progress ----
 *
 * Another process's is in this master and in that process's S as soon as it is acknowledged, so no single death
 * loses it.  The owner's own is in two processes only when somebody else has a version that includes it, which a
 * later delta of his tells. */

static void seen(asgdi_block *b, uint64_t count)
{
    asgdi_master *m = b->master;
    uint32_t      n = 0;
    while (n < m->n_unseen && m->unseen[n].count <= count) b->safe_mark = m->unseen[n++].mark;
    m->n_unseen -= n;
    memmove(m->unseen, m->unseen + n, m->n_unseen * sizeof *m->unseen);
}

void asgdi_master_unseen(asgdi_exchange *x, asgdi_block *b)
{
    asgdi_master *m = b->master;
    if (m->n_unseen && m->unseen[m->n_unseen - 1].count == b->base.count)
        m->unseen[m->n_unseen - 1].mark = b->read_mark;
    else if (m->n_unseen < ASGDI_UNSEEN)
        m->unseen[m->n_unseen++] = (asgdi_unseen){b->base.count, b->read_mark};
    else /* the latest ones wait together */
        m->unseen[m->n_unseen - 1] = (asgdi_unseen){b->base.count, b->read_mark};
    if (asgdi_set_count(x->in) == 1) seen(b, UINT64_MAX); /* nobody else is there to have it */
}

/* ---- replies ---- */

size_t asgdi_reply_room(const asgdi_exchange *x, const asgdi_block *b, uint32_t n)
{
    const asgdi_shape s     = asgdi_x_shape(x, b);
    const size_t      exact = asgdi_encode_bound(ASGDI_FLOAT32, &s, n),
                 rough      = asgdi_rough_room(x, b, n);
    return 64 + (size_t)x->c.size * 16 + (exact > rough ? exact : rough);
}

/* Rows changed after version `count`, and those listed in also [n_also], which may be NULL; rounded where that will
 * do, and in the owner's own copy only if no process is to have others than the rest.  verdict: of the delta, with
 * ASGDI_AS_EXPECTED where its rows that the reply lacks are S + d. */
static void reply(asgdi_exchange *x, const asgdi_block *b, uint32_t to, uint64_t seq,
                  uint64_t count, unsigned verdict, bool rough, const uint32_t *also,
                  uint32_t n_also)
{
    const asgdi_master *m     = b->master;
    const asgdi_shape   shape = asgdi_x_shape(x, b);
    const uint64_t     *known = verdict & ASGDI_AS_EXPECTED ? x->expected : NULL;
    uint32_t            n     = 0;
    asgdi_writer        w;
    for (uint32_t k = 0, r = 0; n_also > 0 && r < b->rows; r++) {
        while (k < n_also && also[k] < r) k++;
        if (m->changed[r] <= count && !(k < n_also && also[k] == r)) continue;
        if (known && known[r] == x->entered) continue;
        memcpy(x->x2 + (size_t)n * b->stride, m->m + (size_t)r * b->stride,
               b->stride * sizeof(float));
        x->rows2[n++] = r;
    }
    if (n_also == 0)
        n = asgdi_rows_gather(b->stride, b->rows, m->m, m->changed, count, known, x->entered,
                              x->rows2, x->x2);
    if (!asgdi_x_frame(x, ASGDI_REPLY, asgdi_reply_room(x, b, n), &w)) return;
    asgdi_put_u32(&w, (uint32_t)(b - x->block));
    asgdi_put_u64(&w, seq);
    asgdi_put_u64(&w, m->version.term);
    asgdi_put_u64(&w, m->version.count);
    asgdi_put_u64(&w, m->updates);
    asgdi_put_u64(&w, m->round);
    asgdi_put_u32(&w, m->back);
    asgdi_put_double(&w, m->round_came ? x->now - m->round_came[to] : 0);
    asgdi_put_u8(&w, (uint8_t)verdict);
    const size_t how = w.at;
    asgdi_put_u8(&w, 0);
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_put_u64(&w, m->seq[q]);
        asgdi_put_u64(&w, m->included[q]);
    }
    rough = rough && (to != x->c.self || x->c.clock == ASGDI_CLOCK_SYNC);
    if (rough && asgdi_rough_put(x, b, n, &w))
        w.frame->data[how] = 1;
    else
        w.at += asgdi_encode(ASGDI_FLOAT32, &shape, n, x->rows2, x->x2, w.frame->data + w.at);
    if (to != x->c.self) {
        asgdi_x_post(x, to, &w);
        return;
    }
    asgdi_reader r = {w.frame->data + sizeof(asgdi_head), w.at - sizeof(asgdi_head), false};
    asgdi_copy_on_reply(x, to, &r);
    asgdi_frame_free(w.frame);
}

/* ---- deltas ---- */

/* What a part of a row is multiplied by on its way into the master. */
static float part_weight(const asgdi_exchange *x, const asgdi_block *b, uint32_t part, float weight,
                         uint32_t contributors)
{
    const asgdk_slots *s    = &x->p.slots;
    const asgdk_merge  kind = part == 0 ? s->w : s->slot[part - 1];
    if (kind == ASGDK_DERIVED) return 0;
    if (kind == ASGDK_MEAN || asgdi_x_merging(x, b) == ASGDI_MERGE_MEAN)
        return weight / (float)contributors;
    return weight;
}

static void add_scaled(size_t n, float *restrict to, const float *restrict d, float factor)
{
    for (size_t i = 0; i < n; i++) to[i] += factor * d[i];
}

static void add_row(const asgdi_exchange *x, const asgdi_block *b, float *to, const float *d,
                    float weight, uint32_t contributors)
{
    for (uint32_t part = 0; part <= x->p.slots.merged; part++) {
        const asgdi_span of = asgdi_row_part(&x->p.table[b->table], part);
        add_scaled(of.n, to + of.at, d + of.at, part_weight(x, b, part, weight, contributors));
    }
}

/* Whether a row that nobody else has changed becomes just what its sender expects, S + d. */
static bool is_plain(const asgdi_exchange *x, const asgdi_block *b, float weight)
{
    if (weight != 1 || x->c.outer_momentum > 0) return false;
    for (uint32_t part = 0; part <= x->p.slots.merged; part++) {
        const float f = part_weight(x, b, part, weight, 2);
        if (f != 1 && f != 0) return false; /* 0: derived, and so is the delta */
    }
    return true;
}

/* Delayed Nesterov (Liu et al. 2024): every arrival moves the master at once, every processes-th one renews the
 * velocity from what the last ones moved it by, and adds that:
 *
 *     M += g;   after `processes` of them   v = beta v + sum of g,   M += beta v
 *
 * which is Nesterov's step where all arrive together.  It is of w alone: statistics have no momentum. */
static void renew_velocity(asgdi_exchange *x, const asgdi_block *b)
{
    asgdi_master  *m    = b->master;
    const uint32_t pad  = x->p.table[b->table].pad;
    const float    beta = (float)x->c.outer_momentum;
    for (uint32_t r = 0; r < b->rows; r++) {
        bool moved = false;
        for (uint32_t c = 0; c < pad; c++) {
            const size_t at = (size_t)r * b->stride + c;
            const float  v  = beta * m->velocity[at] + m->gathered[at];
            m->velocity[at] = v;
            m->gathered[at] = 0;
            m->m[at] += beta * v;
            moved |= v != 0;
        }
        if (moved) m->changed[r] = m->version.count;
    }
}

static void gather(const asgdi_exchange *x, const asgdi_block *b, uint32_t row, const float *d,
                   float weight, uint32_t contributors)
{
    const uint32_t pad = x->p.table[b->table].pad;
    const float    f   = part_weight(x, b, 0, weight, contributors);
    for (uint32_t c = 0; c < pad; c++) b->master->gathered[(size_t)row * b->stride + c] += f * d[c];
}

static void add_outer(asgdi_exchange *x, const asgdi_block *b, uint32_t n, const uint32_t *row,
                      const float *d, float weight)
{
    asgdi_master  *m         = b->master;
    const uint32_t processes = asgdi_set_count(x->in);
    for (uint32_t i = 0; i < n; i++) {
        add_row(x, b, m->m + (size_t)row[i] * b->stride, d + (size_t)i * b->stride, weight,
                processes);
        m->changed[row[i]] = m->version.count;
        gather(x, b, row[i], d + (size_t)i * b->stride, weight, processes);
    }
    if (++m->arrivals < processes) return;
    m->arrivals = 0;
    renew_velocity(x, b);
}

static double norm_of(const float *d, size_t n)
{
    enum { LANES = 8 };
    double sum[LANES] = {0}, all = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) sum[k] += (double)d[i + k] * (double)d[i + k];
    for (; i < n; i++) all += (double)d[i] * (double)d[i];
    for (size_t k = 0; k < LANES; k++) all += sum[k];
    return sqrt(all);
}

static void count_verdict(asgdi_exchange *x, asgdi_verdict v)
{
    x->counts.damped += v == ASGDI_DAMPED;
    x->counts.dropped += v == ASGDI_DROPPED;
    x->counts.clipped += v == ASGDI_CLIPPED;
    x->counts.quarantined += v == ASGDI_QUARANTINED;
}

/* The steps that a delta is made of were divided by the root of G0 + what they added to it, d.  Had they known what others
 * have added since, they would have been divided by that of G1 + d: so many small steps of all, from one point on, do
 * not add up to one that is too long.  scale: that of G0. */
static inline float shorten(const asgdi_exchange *x, const asgdi_block *b, const float *row,
                            const float *d, uint16_t scale)
{
    const asgdi_span of   = asgdi_row_part(&x->p.table[b->table], x->p.slots.scale);
    const uint32_t   bits = (uint32_t)scale << 16;
    float            g0, g1 = 0, added = 0;
    memcpy(&g0, &bits, sizeof g0);
    for (uint32_t c = of.at; c < of.at + of.n; c++) {
        g1 += row[c];
        added += d[c];
    }
    const float had = g0 + added, has = g1 + added;
    return has > had && had > 0 ? sqrtf(had / has) : 1;
}

static uint16_t scale_at(const uint8_t *scales, uint32_t i)
{
    uint16_t scale;
    memcpy(&scale, scales + (size_t)i * sizeof scale, sizeof scale);
    return scale;
}

/* rows1, x1 [n] into the master.  An x1 that is made shorter stays so. */
static void add_parts(asgdi_exchange *x, const asgdi_block *b, uint32_t n, uint64_t count,
                      float weight, const uint8_t *scales)
{
    asgdi_master  *m         = b->master;
    const uint32_t processes = asgdi_set_count(x->in);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row   = x->rows1[i];
        const bool     alone = m->changed[row] <= count;
        float         *to = m->m + (size_t)row * b->stride, *d = x->x1 + (size_t)i * b->stride;
        if (scales && !alone) {
            const float f = shorten(x, b, to, d, scale_at(scales, i));
            for (uint32_t c = 0; c < x->p.table[b->table].pad; c++) d[c] *= f;
        }
        add_row(x, b, to, d, weight, processes);
        x->expected[row] = alone ? x->entered : 0;
        m->changed[row]  = m->version.count;
    }
}

/* The same where all parts of a row weigh the same. */
ASGDI_INLINE void add_whole(const uint32_t stride, asgdi_exchange *x, const asgdi_block *b,
                            uint32_t n, uint64_t count, float weight, const uint8_t *scales)
{
    asgdi_master  *m   = b->master;
    const uint32_t pad = x->p.table[b->table].pad;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row   = x->rows1[i];
        const bool     alone = m->changed[row] <= count;
        float *restrict to = m->m + (size_t)row * stride, *restrict d = x->x1 + (size_t)i * stride;
        if (scales && !alone) {
            const float f = shorten(x, b, to, d, scale_at(scales, i));
            for (uint32_t c = 0; c < pad; c++) d[c] *= f;
        }
        for (uint32_t c = 0; c < stride; c++) to[c] += weight * d[c];
        x->expected[row] = alone ? x->entered : 0;
        m->changed[row]  = m->version.count;
    }
}

static void count_tau(asgdi_exchange *x, uint64_t tau)
{
    const int bucket = tau ? 64 - __builtin_clzll(tau) : 0;
    x->counts.tau[bucket < ASGDI_TAU_BUCKETS ? bucket : ASGDI_TAU_BUCKETS - 1]++;
}

/* Returns the verdict, with ASGDI_AS_EXPECTED where it may be said.  count: version that the delta is based on; scales:
 * of its rows, 16 bits each, or NULL. */
static unsigned enter(asgdi_exchange *x, const asgdi_block *b, uint32_t n, uint64_t count,
                      uint64_t base_updates, uint64_t mine, const uint8_t *scales)
{
    asgdi_master *m = b->master;
    /* rows that few touch bear any staleness, as what others do to them meanwhile is little */
    const asgdi_limits limits = {b->every > 1 ? INFINITY : asgdi_watch_damp(x),
                                 b->every > 1 ? INFINITY : x->c.drop, x->c.clip};
    const double tau = m->updates > base_updates ? (double)(m->updates - base_updates) : 0;
    float        weight;
    if (n == 0) return ASGDI_ACCEPTED;
    const asgdi_verdict v =
        asgdi_govern(&limits, &m->usual, tau, norm_of(x->x1, (size_t)n * b->stride), &weight);
    count_verdict(x, v);
    weight *= (float)asgdi_watch_weight(x);
    count_tau(x, (uint64_t)tau);
    x->counts.tau_sum += tau;
    x->counts.tau_count += 1;
    if (tau > (double)x->counts.tau_max) x->counts.tau_max = (uint64_t)tau;
    m->version.count++; /* also where nothing changes: its number is in from here on */
    if (weight == 0) return v;
    m->updates += mine;
    if (x->c.outer_momentum > 0 && x->stage == ASGDI_TRAINING) {
        add_outer(x, b, n, x->rows1, x->x1, weight);
        return v;
    }
    x->entered++;
    if (x->whole && asgdi_x_merging(x, b) != ASGDI_MERGE_MEAN)
        ASGDI_BY_STRIDE(, b->stride, add_whole, x, b, n, count, weight, scales)
    else
        add_parts(x, b, n, count, weight, scales);
    return is_plain(x, b, weight) ? v | ASGDI_AS_EXPECTED : v;
}

/* ---- synchronous rounds (with backup processes: Chen, Monga, Bengio, Jozefowicz 2016) ---- */

static void close_round(asgdi_exchange *x, asgdi_block *b)
{
    asgdi_master   *m  = b->master;
    const asgdi_set of = m->in_round;
    const uint32_t  n  = asgdi_set_count(of);
    m->version.count++;
    for (uint32_t r = 0; r < b->rows; r++) {
        if (!m->in_sum[r]) continue;
        add_row(x, b, m->m + (size_t)r * b->stride, m->sum + (size_t)r * b->stride, 1, n);
        if (m->velocity) gather(x, b, r, m->sum + (size_t)r * b->stride, 1, n);
        memset(m->sum + (size_t)r * b->stride, 0, b->stride * sizeof(float));
        m->in_sum[r]  = 0;
        m->changed[r] = m->version.count;
    }
    if (m->velocity && !x->ending) renew_velocity(x, b); /* all have arrived together */
    m->round++;
    m->in_round = (asgdi_set){0};
    for (uint32_t q = 0; q < x->c.size; q++) {
        if (!asgdi_set_has(&of, q)) continue;
        m->seq[q]      = m->round_seq[q];
        m->included[q] = m->round_included[q];
        m->updates += m->round_updates[q];
    }
    for (uint32_t q = 0; q < x->c.size; q++)
        if (asgdi_set_has(&of, q) && asgdi_set_has(&x->in, q))
            reply(x, b, q, m->seq[q], m->round_count[q], ASGDI_ACCEPTED,
                  asgdi_set_has(&m->in_rough, q), NULL, 0);
}

static bool round_complete(const asgdi_exchange *x, const asgdi_master *m)
{
    const uint32_t all = asgdi_set_count(x->in);
    uint32_t       got = 0;
    for (uint32_t q = 0; q < x->c.size; q++)
        got += asgdi_set_has(&m->in_round, q) && asgdi_set_has(&x->in, q);
    const uint32_t need = all > x->c.backup ? all - x->c.backup : 1;
    return got > 0 && (got >= need || x->ending);
}

static void join_round(asgdi_exchange *x, asgdi_block *b, uint32_t from, uint64_t seq,
                       uint64_t count, uint32_t n, uint64_t examples, uint64_t mine, bool rough)
{
    asgdi_master *m = b->master;
    if (!asgdi_set_has(&m->in_round, from)) {
        asgdi_set_add(&m->in_round, from);
        asgdi_set_take(&m->in_rough, from);
        if (rough) asgdi_set_add(&m->in_rough, from);
        m->round_seq[from]      = seq;
        m->round_included[from] = examples;
        m->round_updates[from]  = mine;
        m->round_count[from]    = count;
        for (uint32_t i = 0; i < n; i++) {
            const float *d  = x->x1 + (size_t)i * b->stride;
            float       *to = m->sum + (size_t)x->rows1[i] * b->stride;
            for (uint32_t c = 0; c < b->stride; c++) to[c] += d[c];
            m->in_sum[x->rows1[i]] = 1;
        }
    }
    if (round_complete(x, m)) close_round(x, b);
}

void asgdi_master_new_view(asgdi_exchange *x)
{
    if (asgdi_set_count(x->in) == 1)
        for (uint32_t i = 0; i < x->n_blocks; i++)
            if (x->block[i].master) seen(&x->block[i], UINT64_MAX);
    if (x->c.clock != ASGDI_CLOCK_SYNC) return;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        asgdi_block *b = &x->block[i];
        if (b->master && b->master->serving && round_complete(x, b->master)) close_round(x, b);
    }
}

/* With the rows that are listed, or else the first n of rows1. */
static void answer(asgdi_exchange *x, const asgdi_block *b, uint32_t to, uint64_t seq,
                   uint64_t count, unsigned v, bool rough, const uint8_t *list, uint32_t n)
{
    if (list) {
        n = 0;
        for (uint32_t i = 0; i < b->rows; i++)
            if (asgdi_row_is(list, i)) x->rows1[n++] = i;
    }
    reply(x, b, to, seq, count, v, rough, x->rows1, n);
}

void asgdi_master_on_delta(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const uint32_t number = asgdi_get_u32(r);
    const uint64_t seq = asgdi_get_u64(r), count = asgdi_get_u64(r),
                   base_updates = asgdi_get_u64(r);
    const uint64_t mine = asgdi_get_u64(r), examples = asgdi_get_u64(r),
                   sync_round = asgdi_get_u64(r);
    const uint32_t back       = asgdi_get_u32(r);
    const uint8_t  flags = asgdi_get_u8(r), coding = asgdi_get_u8(r);
    const uint32_t n_scales = asgdi_get_u32(r);
    const uint8_t *scales   = asgdi_get_bytes(r, (size_t)n_scales * sizeof(uint16_t));
    const bool     rough    = flags & ASGDI_ROUGH;
    if (r->bad || number >= x->n_blocks || coding >= ASGDI_CODINGS) return;
    asgdi_block      *b     = &x->block[number];
    const asgdi_shape shape = asgdi_x_shape(x, b);
    asgdi_master     *m     = b->master;
    uint32_t          n;
    if (!m || !m->serving) return; /* it will be sent again */
    const uint8_t *list = flags & ASGDI_ALSO ? asgdi_get_bytes(r, asgdi_rows_bytes(b)) : NULL;
    if (r->bad) return;
    if (from != x->c.self) seen(b, count);
    if (m->round_came && !asgdi_set_has(&m->in_round, from)) m->round_came[from] = x->now;
    if (seq <= m->seq[from]) { /* the reply to it was lost, or is still on its way */
        if (seq == m->seq[from]) answer(x, b, from, seq, count, ASGDI_ACCEPTED, rough, list, 0);
        return;
    }
    if (!asgdi_decode((asgdi_coding)coding, &shape, r->at, r->left, &n, x->rows1, x->x1)) return;
    if (n_scales != (asgdi_x_shortens(x, b) ? n : 0)) return;
    asgdi_watch_learn(x, 0, back, 0);
    if (x->c.guard) asgdi_good_go_back(x, b, x->watch.back < back ? x->watch.back : back);
    if (back < m->back && !(flags & ASGDI_PULL)) { /* progress of what all have left behind */
        m->seq[from] = seq;
        m->version.count++;
        reply(x, b, from, seq, count, ASGDI_QUARANTINED, rough, x->rows1, n);
        return;
    }
    if (x->c.clock == ASGDI_CLOCK_SYNC && !x->ending) {
        if (!isfinite(norm_of(x->x1, (size_t)n * b->stride))) {
            x->counts.quarantined++;
            m->seq[from] = seq;
            reply(x, b, from, seq, count, ASGDI_QUARANTINED, rough, x->rows1, n);
        } else if (sync_round < m->round && x->c.backup) { /* too late for its round */
            x->counts.dropped++;
            m->seq[from] = seq;
            m->version.count++;
            reply(x, b, from, seq, count, ASGDI_DROPPED, rough, NULL, 0);
        } else {
            /* where all are waited for, it is late only if an owner that died thought it was the end */
            join_round(x, b, from, seq, count, n, examples, mine, rough);
        }
        return;
    }
    const unsigned said = enter(x, b, n, count, base_updates, mine,
                                asgdi_x_shortens(x, b) ? scales : NULL),
                   v    = said & ~ASGDI_AS_EXPECTED;
    m->seq[from]        = seq;
    if (v != ASGDI_DROPPED && v != ASGDI_QUARANTINED && m->included[from] != examples &&
        !(flags & ASGDI_PULL)) {
        if (n == 0) m->version.count++; /* a version is the same vector too */
        m->included[from] = examples;
    }
    if (m->sum && m->round < sync_round) m->round = sync_round;
    answer(x, b, from, seq, count, flags & ASGDI_EXACT ? said : v, rough, list,
           v == ASGDI_QUARANTINED ? n : 0);
}
