/* renumber.c -- numbering features by falling frequency.
 *
 * The rows that every worker touches all the time are then the first ones, so that a bound (n_own of
 * asgd_view) tells them from all others, and a table has no row for what never occurs.  Frequency is
 * the number of entries; ties go by the feature's number, so the order is the same every time.
 *
 * Features are counted under ids.  Of hashed features these come from the tally, which counted them while
 * text was parsed.  Where features are small numbers they are their own ids, and each thread counts a
 * stretch of the entries in an array of its own; numbers that are large for such an array go
 * through a tally here.
 *
 * Each thread then takes a range of the features' numbers, sorts what it has by number, and counts how many
 * have each count; nearly all counts are small, so that a counting sort over all threads' lists gives
 * every feature its row, but for the few with large counts, which come first and are sorted and
 * merged.  An array then has the row of each id. */
#define _GNU_SOURCE
#include "data/renumber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "data/tally.h"

enum {
    GRAIN  = 1 << 16, /* entries worth a thread */
    SMALL  = 1 << 16,
    DIRECT = 1 << 24, /* features that an array is made for */
    COUNTS = 1 << 12, /* counts below it are sorted by counting */
    AHEAD  = 16,      /* features between asking for memory and needing it */
};

/* What a thread found in its range of features. */
typedef struct share {
    uint64_t *at;    /* [COUNTS] how many have this count; then, the next one's row */
    uint64_t *list;  /* [n] feature << 32 | id, sorted */
    uint64_t *large; /* [larges] those with large counts, by falling() */
    uint64_t *other; /* [n] room to sort */
    uint64_t  n, larges;
} share;

typedef struct job {
    asgdi_whole     *w;
    const asgd_kern *k;
    asgdi_tally     *t;     /* NULL: features are their own ids */
    uint32_t       **count; /* [counters] [ids] then */
    uint32_t         counters;
    const char      *name;
    uint32_t         threads; /* that number features */
    uint32_t         parts;   /* of examples */
    uint32_t         most;    /* features are at most */
    uint32_t         ids;     /* are below */
    share           *share;   /* [threads] */
    uint32_t        *row;     /* [ids] how often it occurs; then its row.  NULL: entries are rows */
    uint32_t        *key;     /* [rows] */
    uint32_t         rows;
    asgdi_u32        no_memory, equal;
} job;

static const asgd_kern *kernels(void)
{
    const asgd_kern *k = asgdk_best();
    return k ? k : asgdk_variant(0);
}

static void lack_memory(job *j)
{
    asgdi_store_relaxed(&j->no_memory, 1);
}

/* ---- by frequency ---- */

/* Sorts by 11 bits at a time from bit `low` on, lowest first; the result is in a or b, whichever is
 * returned. */
static uint64_t *sort(uint64_t *a, uint64_t *b, uint64_t n, int low)
{
    enum { DIGIT = 11, DIGITS = 1 << DIGIT };
    for (int shift = low; shift < 64; shift += DIGIT) {
        uint64_t at[DIGITS + 1] = {0};
        for (uint64_t i = 0; i < n; i++) at[(a[i] >> shift & (DIGITS - 1)) + 1]++;
        bool same = false;
        for (int d = 1; d <= DIGITS; d++) same = same || at[d] == n;
        if (same) continue;
        for (int d = 0; d < DIGITS; d++) at[d + 1] += at[d];
        for (uint64_t i = 0; i < n; i++) b[at[a[i] >> shift & (DIGITS - 1)]++] = a[i];
        uint64_t *t = a;
        a           = b;
        b           = t;
    }
    return a;
}

static uint64_t falling(uint32_t count, uint32_t feature)
{
    return (uint64_t)(UINT32_MAX - count) << 32 | feature;
}

static uint32_t sum_of(const job *j, uint32_t id)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < j->counters; k++) n += j->count[k][id];
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void count_ids(void *ctx, uint32_t k)
{
    job           *j   = ctx;
    const uint32_t end = (uint32_t)asgdi_part(j->ids, j->threads, k + 1);
    for (uint32_t id = (uint32_t)asgdi_part(j->ids, j->threads, k); id < end; id++)
        j->row[id] = j->t ? asgdi_tally_count(j->t, id) : sum_of(j, id);
}

/* The features of thread k's range, in the order of ids: into list, unless that is NULL. */
static uint64_t gather(const job *j, uint32_t k, uint64_t *list)
{
    const uint32_t first = (uint32_t)asgdi_part((uint64_t)j->most + 1, j->threads, k),
                   last  = (uint32_t)(asgdi_part((uint64_t)j->most + 1, j->threads, k + 1) - 1);
    const uint32_t from = j->t ? 0 : first, to = j->t ? j->ids : last + 1;
    uint64_t       n = 0;
    for (uint32_t id = from; id < to; id++) {
        const uint32_t feature = j->t ? j->t->feature[id] : id;
        if (list) list[n] = (uint64_t)feature << 32 | id; /* there is room for one too many */
        n += j->row[id] != 0 && feature >= first && feature <= last;
    }
    return n;
}

static bool large_ones(const job *j, share *s)
{
    uint64_t *other = asgdi_calloc(s->larges, sizeof *other);
    s->large        = asgdi_calloc(s->larges, sizeof *s->large);
    uint64_t n      = 0;
    for (uint64_t i = 0; s->large && other && n < s->larges; i++) {
        const uint32_t count = j->row[(uint32_t)s->list[i]];
        if (count >= COUNTS) s->large[n++] = falling(count, (uint32_t)(s->list[i] >> 32));
    }
    const bool ok     = s->large && other;
    uint64_t  *sorted = ok ? sort(s->large, other, n, 0) : s->large;
    asgdi_free(sorted == other ? s->large : other);
    s->large = sorted;
    return ok;
}

/* Sorts and counts the features that are k's. */
static void take_share(void *ctx, uint32_t k)
{
    job  *j   = ctx;
    share own = {0}, *s = &own; /* not on a cache line that another thread writes */
    s->n     = gather(j, k, NULL);
    s->at    = asgdi_calloc(COUNTS, sizeof *s->at);
    s->list  = asgdi_calloc(s->n + 1, sizeof *s->list);
    s->other = asgdi_calloc(s->n, sizeof *s->other);
    bool ok  = s->at && s->list && s->other;
    if (ok) {
        gather(j, k, s->list);
        uint64_t *sorted = j->t ? sort(s->list, s->other, s->n, 32) : s->list;
        if (sorted != s->list) {
            s->other = s->list;
            s->list  = sorted;
        }
        for (uint64_t i = 0; i < s->n; i++) {
            __builtin_prefetch(&j->row[(uint32_t)s->list[i + AHEAD < s->n ? i + AHEAD : i]]);
            const uint32_t count = j->row[(uint32_t)s->list[i]];
            if (count < COUNTS)
                s->at[count]++;
            else
                s->larges++;
        }
        ok = large_ones(j, s);
    }
    j->share[k] = own;
    if (!ok) lack_memory(j);
}

typedef struct merging {
    share    *share;
    uint32_t  n, step; /* share i takes i + step in, for each i that is a multiple of 2 step */
    asgdi_u32 no_memory;
} merging;

static void merge_pair(void *ctx, uint32_t k)
{
    merging *m = ctx;
    uint64_t i = (uint64_t)k * 2 * m->step, other = i + m->step;
    if (other >= m->n) return;
    share    *a = &m->share[i], *b = &m->share[other];
    uint64_t  n = a->larges + b->larges, x = 0, y = 0;
    uint64_t *to = asgdi_calloc(n, sizeof *to);
    if (!to) {
        asgdi_store_relaxed(&m->no_memory, 1);
        return;
    }
    for (uint64_t at = 0; at < n; at++) {
        const bool first = y == b->larges || (x < a->larges && a->large[x] < b->large[y]);
        to[at]           = first ? a->large[x] : b->large[y];
        x += first;
        y += !first;
    }
    asgdi_free(a->large);
    asgdi_free(b->large);
    a->large  = to;
    b->large  = NULL;
    a->larges = n;
    b->larges = 0;
}

/* All large ones become the first share's. */
static bool merge_large(job *j)
{
    merging m = {.share = j->share, .n = j->threads};
    for (m.step = 1; m.step < m.n; m.step *= 2) {
        asgdi_parallel((m.n - 1) / (2 * m.step) + 1, merge_pair, &m);
        if (asgdi_load_relaxed(&m.no_memory)) return false;
    }
    return true;
}

/* Where each thread's features of each count begin, behind those with large counts; returns how many
 * features there are. */
static uint64_t place_counted(job *j)
{
    uint64_t r = j->share->larges;
    for (uint32_t n = COUNTS - 1; n > 0; n--)
        for (uint32_t k = 0; k < j->threads; k++) {
            const uint64_t m  = j->share[k].at[n];
            j->share[k].at[n] = r;
            r += m;
        }
    return r;
}

/* The rows of those with small counts, of the features that are k's. */
static void set_counted(void *ctx, uint32_t k)
{
    job         *j = ctx;
    const share *s = &j->share[k];
    for (uint64_t i = 0; i < s->n; i++) {
        __builtin_prefetch(&j->row[(uint32_t)s->list[i + AHEAD < s->n ? i + AHEAD : i]], 1);
        const uint32_t id = (uint32_t)s->list[i], count = j->row[id];
        if (count >= COUNTS) continue;
        const uint64_t r = s->at[count]++;
        j->key[r]        = (uint32_t)(s->list[i] >> 32);
        j->row[id]       = (uint32_t)r;
    }
}

/* The rows of those with large counts, of which there are few. */
static void set_large(const job *j)
{
    for (uint64_t r = 0; r < j->share->larges; r++) {
        const uint32_t key                               = (uint32_t)j->share->large[r];
        j->key[r]                                        = key;
        j->row[j->t ? asgdi_tally_find(j->t, key) : key] = (uint32_t)r;
    }
}

static asgd_status no_memory(const char *name)
{
    return ASGD_FAIL(ENOMEM, "%s: no memory to number its features", name);
}

static asgd_status number(job *j)
{
    asgdi_parallel(j->threads, count_ids, j);
    asgdi_parallel(j->threads, take_share, j);
    if (asgdi_load_relaxed(&j->no_memory) || !merge_large(j)) return no_memory(j->name);
    const uint64_t n = place_counted(j);
    if (n > ASGDI_ROWS_MAX)
        return ASGD_FAIL(EFORMAT,
                         "%s: %" PRIu64 " features are too many (at most %d); hash them to fewer",
                         j->name, n, (int)ASGDI_ROWS_MAX);
    j->rows = (uint32_t)n;
    j->key  = asgdi_calloc(n, sizeof *j->key);
    if (!j->key) return no_memory(j->name);
    asgdi_parallel(j->threads, set_counted, j);
    set_large(j); /* last: until now counts tell them apart */
    return ASGD_OK;
}

/* ---- examples ---- */

static void settle_part(void *ctx, uint32_t k)
{
    job            *j      = ctx;
    asgdi_whole    *w      = j->w;
    const uint64_t *start  = w->start.p;
    uint32_t       *idx    = w->idx.p;
    uint64_t       *room   = NULL;
    size_t          n_room = 0;
    bool            equal  = false;
    uint64_t        from = asgdi_part(w->n, j->parts, k), to = asgdi_part(w->n, j->parts, k + 1);
    const uint64_t  last = start[to];
    for (uint64_t i = from; i < to; i++) {
        uint64_t b = start[i], n = start[i + 1] - b;
        for (uint64_t e = b; j->row && e < b + n; e++) {
            __builtin_prefetch(&j->row[idx[e + AHEAD < last ? e + AHEAD : e]]);
            idx[e] = j->row[idx[e]];
        }
        if (!asgdi_grow((void **)&room, &n_room, 2 * n, sizeof *room)) {
            asgdi_store_relaxed(&j->no_memory, 1);
            break;
        }
        equal |=
            asgdi_entries_sort(j->k, idx + b, w->val.p ? (float *)w->val.p + b : NULL,
                               w->fielded ? (uint16_t *)w->field.p + b : NULL, (uint32_t)n, room);
    }
    if (equal) asgdi_store_relaxed(&j->equal, 1);
    asgdi_free(room);
}

/* Adds up equal features.  They are rare, so one thread does it. */
static bool add_up(asgdi_whole *w)
{
    if (!asgdi_whole_values(w)) return false;
    uint64_t *start = w->start.p, at = 0, b = 0;
    uint32_t *idx   = w->idx.p;
    float    *val   = w->val.p;
    uint16_t *field = w->fielded ? w->field.p : NULL;
    for (uint64_t i = 0; i < w->n; i++) {
        uint64_t next = start[i + 1];
        uint32_t n =
            asgdi_entries_add_up(idx + b, val + b, field ? field + b : NULL, (uint32_t)(next - b));
        memmove(idx + at, idx + b, n * sizeof *idx);
        memmove(val + at, val + b, n * sizeof *val);
        if (field) memmove(field + at, field + b, n * sizeof *field);
        start[i] = at;
        at += n;
        b = next;
    }
    start[w->n] = w->entries = at;
    return true;
}

static asgd_status settle(job *j, uint32_t threads)
{
    j->parts = asgdi_parts(threads, j->w->entries, GRAIN);
    asgdi_parallel(j->parts, settle_part, j);
    if (asgdi_load_relaxed(&j->no_memory) || (asgdi_load_relaxed(&j->equal) && !add_up(j->w)))
        return ASGD_FAIL(ENOMEM, "%s: no memory to sort its entries", j->name);
    return ASGD_OK;
}

asgd_status asgdi_settle(asgdi_whole *w, uint32_t threads, const char *name)
{
    job j = {.w = w, .k = kernels(), .name = name};
    return w->entries ? settle(&j, threads) : ASGD_OK;
}

/* ---- features that are numbers ---- */

static void count_direct(void *ctx, uint32_t k)
{
    job            *j     = ctx;
    const uint32_t *idx   = j->w->idx.p;
    uint32_t       *count = asgdi_calloc(j->ids, sizeof *count);
    j->count[k]           = count;
    if (!count) {
        lack_memory(j);
        return;
    }
    const uint64_t end = asgdi_part(j->w->entries, j->counters, k + 1);
    for (uint64_t i = asgdi_part(j->w->entries, j->counters, k); i < end; i++) {
        if (i + AHEAD < end) __builtin_prefetch(&count[idx[i + AHEAD]], 1);
        count[idx[i]] += count[idx[i]] < UINT32_MAX;
    }
}

static void tally_part(void *ctx, uint32_t k)
{
    job           *j    = ctx;
    const uint64_t from = asgdi_part(j->w->entries, j->threads, k),
                   to   = asgdi_part(j->w->entries, j->threads, k + 1);
    if (!asgdi_tally_take(j->t, k, (uint32_t *)j->w->idx.p + from, to - from)) lack_memory(j);
}

/* Arrays of counts for the threads, not larger together than twice the entries. */
static uint32_t counters(const job *j)
{
    const uint64_t n = 2 * j->w->entries / ((uint64_t)j->most + 1);
    return n < 1 ? 1 : n < j->threads ? (uint32_t)n : j->threads;
}

/* own: for a tally, should it be needed. */
static asgd_status count_numbers(job *j, asgdi_tally *own)
{
    if (j->most < SMALL || (j->most < DIRECT && j->most / 8 < j->w->entries)) {
        j->ids      = j->most + 1;
        j->counters = counters(j);
        j->count    = asgdi_calloc(j->counters, sizeof *j->count);
        if (!j->count) return no_memory(j->name);
        asgdi_parallel(j->counters, count_direct, j);
    } else {
        j->t = own;
        if (!asgdi_tally_init(own, j->threads)) return no_memory(j->name);
        asgdi_parallel(j->threads, tally_part, j);
    }
    return asgdi_load_relaxed(&j->no_memory) ? no_memory(j->name) : ASGD_OK;
}

static asgd_status renumber(job *j, uint32_t threads, asgdi_tally *own)
{
    j->threads = asgdi_parts(threads, j->w->entries, 4 * (uint64_t)GRAIN);
    if (!j->t) ASGD_TRY(count_numbers(j, own));
    if (j->t) j->ids = asgdi_load_relaxed(&j->t->ids);
    j->share = asgdi_calloc(j->threads, sizeof *j->share);
    j->row   = asgdi_calloc(j->ids, sizeof *j->row);
    if (!j->share || !j->row) return no_memory(j->name);
    ASGD_TRY(number(j));
    return settle(j, threads);
}

asgd_status asgdi_renumber(asgdi_whole *w, asgdi_tally *t, uint32_t most, uint32_t threads,
                           const char *name, uint32_t **key, uint32_t *rows)
{
    job         j   = {.w = w, .k = kernels(), .t = t, .name = name, .most = most};
    asgdi_tally own = {0};
    asgd_status s   = renumber(&j, threads, &own);
    for (uint32_t k = 0; j.share && k < j.threads; k++) {
        asgdi_free(j.share[k].at);
        asgdi_free(j.share[k].list);
        asgdi_free(j.share[k].large);
        asgdi_free(j.share[k].other);
    }
    for (uint32_t k = 0; j.count && k < j.counters; k++) asgdi_free(j.count[k]);
    asgdi_free(j.count);
    asgdi_free(j.share);
    asgdi_free(j.row);
    asgdi_tally_free(&own);
    *key  = s == ASGD_OK ? j.key : NULL;
    *rows = j.rows;
    if (s != ASGD_OK) asgdi_free(j.key);
    return s;
}
