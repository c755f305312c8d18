/* private.c -- private rows: workers' own copies of rows, merged with the master by deltas.
 *
 *     d = own - seen;  master += weight * d;  own = seen = master
 *
 * Between merges a worker writes `own` alone, so own - seen is exactly its progress since the last
 * one.  A merge holds the lock of the block it is in, hence every worker's progress enters the
 * master once and none is lost: with weight 1 and sums that floats represent exactly, the master is
 * the exact sum of all progress (tests/params/test_private.c).
 *
 * What is summed and what is averaged is the rule's to say, by part of the row.  Derived weights
 * (ftrl: McMahan et al. 2013) are no sums at all: their slots are merged and they are computed
 * again. */
#include "params/params.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "params/locks.h"

asgd_status asgdi_locks_new(asgdi_locks **out, const asgdi_params *p, const uint64_t *n_own)
{
    *out           = NULL;
    asgdi_locks *l = asgdi_calloc(1, sizeof *l);
    if (!l) return ASGD_FAIL(ENOMEM, "no memory for the locks of private rows");
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x   = &p->table[t];
        const uint64_t     own = asgdi_least(n_own[t], x->info.rows);
        if (own == 0) continue;
        uint64_t rows = x->stride < ASGDI_BLOCK_FLOATS ? ASGDI_BLOCK_FLOATS / x->stride : 1;
        if (own < x->info.rows && rows > ASGDI_BLOCK_ROWS) rows = ASGDI_BLOCK_ROWS;
        l->table[t].rows   = rows;
        l->table[t].blocks = (own + l->table[t].rows - 1) / l->table[t].rows;
        l->table[t].lock   = asgdi_calloc((size_t)l->table[t].blocks, sizeof(asgdi_lock));
        if (!l->table[t].lock) {
            asgdi_locks_free(l);
            return ASGD_FAIL(ENOMEM, "no memory for the locks of table %s", x->info.name);
        }
    }
    *out = l;
    return ASGD_OK;
}

void asgdi_locks_free(asgdi_locks *l)
{
    if (!l) return;
    for (int t = 0; t < ASGD_MAX_TABLES; t++) asgdi_free(l->table[t].lock);
    asgdi_free(l);
}

asgd_status asgdi_private_init(asgdi_private *w, const asgdi_params *p, const uint64_t *n_own)
{
    *w = (asgdi_private){0};
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x      = &p->table[t];
        const uint64_t     own    = asgdi_least(n_own[t], x->info.rows);
        const size_t       floats = (size_t)own * x->stride; /* no more than the master's */
        const size_t       local  = (size_t)x->pad * p->slots.local;
        w->n_own[t]               = own;
        if (own) {
            w->own[t]  = asgdi_calloc(floats, sizeof(float));
            w->seen[t] = asgdi_calloc(floats, sizeof(float));
            if (!w->own[t] || !w->seen[t]) goto no_memory;
            memcpy(w->own[t], x->master, floats * sizeof(float));
            memcpy(w->seen[t], x->master, floats * sizeof(float));
        }
        if (local) {
            if (x->info.rows <= SIZE_MAX / sizeof(float) / local)
                w->local[t] = asgdi_calloc((size_t)x->info.rows * local, sizeof(float));
            if (!w->local[t]) goto no_memory;
        }
        continue;
    no_memory:
        asgdi_private_free(w);
        return ASGD_FAIL(ENOMEM,
                         "no memory for a worker's own rows of table %s; take fewer workers, or "
                         "share shared",
                         x->info.name);
    }
    return ASGD_OK;
}

void asgdi_private_free(asgdi_private *w)
{
    for (int t = 0; t < ASGD_MAX_TABLES; t++) {
        asgdi_free(w->own[t]);
        asgdi_free(w->seen[t]);
        asgdi_free(w->local[t]);
    }
    *w = (asgdi_private){0};
}

void asgdi_private_views(const asgdi_private *w, const asgdi_params *p, asgd_view *views)
{
    for (int t = 0; t < p->n_tables; t++)
        views[t] = (asgd_view){.own    = w->own[t],
                               .shared = p->table[t].master,
                               .n_own  = w->n_own[t],
                               .stride = p->table[t].stride};
}

/* Part i of a row: 0 is w, then come the merged slots. */
static asgdk_merge part_kind(const asgdk_slots *s, uint32_t i)
{
    return i == 0 ? s->w : s->slot[i - 1];
}

static bool all_sums(const asgdk_slots *s)
{
    for (uint32_t i = 0; i <= s->merged; i++)
        if (part_kind(s, i) != ASGDK_SUM) return false;
    return true;
}

/* One row whose parts are merged each in its own way. */
static void merge_row(float *own, float *seen, float *master, const asgdi_table *t,
                      const asgdi_params *p, const asgd_kern *k, float weight, float mean,
                      const asgdk_step *step)
{
    const asgdk_slots *s   = &p->slots;
    const uint32_t     pad = t->pad;
    for (uint32_t i = 0, end; i <= s->merged; i = end) {
        const asgdk_merge kind = part_kind(s, i);
        for (end = i + 1; end <= s->merged && part_kind(s, end) == kind;) end++;
        if (kind == ASGDK_DERIVED) continue;
        const uint32_t   at   = asgdi_row_part(t, i).at;
        const asgdi_span last = asgdi_row_part(t, end - 1);
        k->merge(own + at, seen + at, master + at, last.at + last.n - at,
                 kind == ASGDK_SUM ? weight : mean);
    }
    if (s->w == ASGDK_DERIVED) {
        asgdk_rule_derive(p->rule, master, pad, step);
        memcpy(own, master, pad * sizeof(float));
        memcpy(seen, master, pad * sizeof(float));
    }
}

/* A merge: who of whom, and how. */
typedef struct merging {
    asgdi_private      *w;
    const asgdi_table  *x;
    asgdi_lock         *lock; /* [blocks] */
    uint64_t            rows; /* a block */
    const asgdi_params *p;
    const asgd_kern    *k;
    bool                sums;
    float               weight, mean;
    asgdk_step          step;
} merging;

static void merge_block(const merging *m, int t, uint64_t b)
{
    const size_t   stride = m->x->stride;
    const uint64_t first = b * m->rows, last = asgdi_least(first + m->rows, m->w->n_own[t]);
    float         *own = m->w->own[t], *seen = m->w->seen[t], *master = m->x->master;
    asgdi_lock_take(&m->lock[b]);
    if (m->sums)
        m->k->merge(own + first * stride, seen + first * stride, master + first * stride,
                    (size_t)(last - first) * stride, m->weight);
    else
        for (uint64_t r = first; r < last; r++)
            merge_row(own + r * stride, seen + r * stride, master + r * stride, m->x, m->p, m->k,
                      m->weight, m->mean, &m->step);
    asgdi_lock_drop(&m->lock[b]);
}

/* Blocks 2^k - 1 .. 2^(k+1) - 2 have their turn every 2^k-th round, one of them in each. */
static void merge_due_blocks(const merging *m, int t, uint64_t blocks)
{
    const uint32_t round = m->w->round;
    for (uint64_t first = 0, every = 1, end; first < blocks; first = end) {
        end = every < ASGDI_RAREST ? asgdi_least(first + every, blocks) : blocks;
        for (uint64_t b = first + (every - (round + first) % every) % every; b < end; b += every)
            merge_block(m, t, b);
        if (every < ASGDI_RAREST) every *= 2;
    }
}

static void merge_blocks(asgdi_private *w, asgdi_params *p, asgdi_locks *l, const asgd_kern *k,
                         uint32_t workers, float weight, const asgdk_step *step, bool all)
{
    if (w->turn == 0) w->turn = asgdi_add_relaxed(&l->workers, 1) + 1;
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x      = &p->table[t];
        const uint64_t     blocks = l->table[t].blocks;
        merging            m      = {.w      = w,
                                     .x      = x,
                                     .lock   = l->table[t].lock,
                                     .rows   = l->table[t].rows,
                                     .p      = p,
                                     .k      = k,
                                     .sums   = all_sums(&p->slots),
                                     .weight = weight,
                                     .mean   = 1.0f / (float)workers,
                                     .step   = *step};
        if (x->info.flags & ASGD_TABLE_NO_DECAY) m.step.l1 = m.step.l2 = 0;
        if (!all && w->n_own[t] < x->info.rows) {
            merge_due_blocks(&m, t, blocks);
            continue;
        }
        /* multiples of the golden ratio spread the workers, however many there are */
        uint64_t b = ((uint64_t)(w->turn * UINT32_C(0x9e3779b9)) * blocks) >> 32;
        for (uint64_t i = 0; i < blocks; i++, b = b + 1 < blocks ? b + 1 : 0) merge_block(&m, t, b);
    }
}

void asgdi_merge(asgdi_private *w, asgdi_params *p, asgdi_locks *l, const asgd_kern *k,
                 uint32_t workers, float weight, const asgdk_step *step)
{
    merge_blocks(w, p, l, k, workers, weight, step, true);
}

void asgdi_merge_due(asgdi_private *w, asgdi_params *p, asgdi_locks *l, const asgd_kern *k,
                     uint32_t workers, float weight, const asgdk_step *step)
{
    w->round++;
    merge_blocks(w, p, l, k, workers, weight, step, false);
}

void asgdi_private_forget(asgdi_private *w, const asgdi_params *p, asgdi_locks *l)
{
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x     = &p->table[t];
        const size_t       local = (size_t)x->pad * p->slots.local;
        for (uint64_t b = 0; b < l->table[t].blocks; b++) {
            const uint64_t first = b * l->table[t].rows;
            const uint64_t last  = asgdi_least(first + l->table[t].rows, w->n_own[t]);
            const size_t   at = (size_t)first * x->stride, n = (size_t)(last - first) * x->stride;
            if (first >= last) break;
            asgdi_lock_take(&l->table[t].lock[b]);
            memcpy(w->own[t] + at, x->master + at, n * sizeof(float));
            memcpy(w->seen[t] + at, x->master + at, n * sizeof(float));
            asgdi_lock_drop(&l->table[t].lock[b]);
        }
        if (w->local[t]) memset(w->local[t], 0, (size_t)x->info.rows * local * sizeof(float));
    }
}

void asgdi_params_snapshot(const asgdi_params *p, asgdi_locks *l, const uint64_t *n_own,
                           const asgd_kern *k, asgdi_params *to)
{
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x   = &p->table[t];
        const uint64_t     own = asgdi_least(n_own[t], x->info.rows);
        const size_t       pad = x->pad;
        float             *out = to->table[t].master;
        for (uint64_t b = 0, r = 0; r < own; b++) {
            const uint64_t last = asgdi_least(r + l->table[t].rows, own);
            asgdi_lock_take(&l->table[t].lock[b]);
            for (; r < last; r++)
                memcpy(out + r * pad, x->master + r * x->stride, pad * sizeof(float));
            asgdi_lock_drop(&l->table[t].lock[b]);
        }
        if (x->stride == pad)
            k->load(out + own * pad, x->master + own * pad, (size_t)(x->info.rows - own) * pad);
        else
            for (uint64_t r = own; r < x->info.rows; r++)
                k->load(out + r * pad, x->master + r * x->stride, pad);
    }
}
