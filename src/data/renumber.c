/* renumber.c -- numbering features by falling frequency.
 *
 * The rows that every worker touches all the time are then the first ones, so that a bound (n_own of
 * asgd_view) tells them from all others, and a table has no row for what never occurs.  Frequency is
 * the number of entries; ties go by the feature's number, so the order is the same every time.
 *
 * Counting.  Each thread counts a stretch of the entries in memory of its own; what they have is then added
 * up.  Small numbers index an array.  Others, up to 2^32, are counted in hash tables (linear probing,
 * Fibonacci hashing), each thread's cut in pieces by the hash, so that piece k of all threads becomes
 * table k by thread k alone.  What 16 entries further on will need is asked for ahead, as nearly all of
 * it is far away in memory.  Afterwards arrays and tables hold the row instead of the count.
 *
 * Ordering.  Nearly all counts are small, and an array has the features in order already, so a counting
 * sort does it in one pass; what tables hold is sorted by each thread, and merged. */
#define _GNU_SOURCE
#include "data/renumber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "data/parallel.h"

enum {
    GRAIN     = 1 << 16, /* entries worth a thread */
    SMALL     = 1 << 16,
    DIRECT    = 1 << 24, /* features that an array is made for */
    BATCH     = 1024,
    AHEAD     = 16,
    FIRST_LOG = 8,
    COUNTS    = 1 << 12, /* counts below it are sorted by counting */
};

typedef struct slot {
    uint32_t key, count; /* count 0: empty */
} slot;

typedef struct table {
    slot    *slot;
    uint32_t used;
    int      shift; /* 32 - log2(slots) */
} table;

/* What a thread found. */
typedef struct share {
    uint64_t *at; /* [COUNTS] how many of its features have this count; then, the next one's row */
    uint64_t *list;  /* [n] features by falling(): those with large counts; of tables, all */
    uint64_t *other; /* [n] room to sort */
    uint64_t  n;
} share;

typedef struct job {
    asgdi_whole     *w;
    const asgd_kern *k;
    const char      *name;
    uint32_t         threads; /* that count */
    uint32_t         parts;   /* of examples */
    uint32_t         most;    /* features are at most */
    uint32_t       **direct;  /* [threads] [most + 1], or NULL: tables */
    table    *table; /* [threads][threads], thread by thread; then the first [threads] count */
    share    *share; /* [threads] */
    uint32_t *key;   /* [rows] */
    uint32_t  rows;
    bool      map;
    asgdi_u32 no_memory, equal;
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

/* A feature's place as a fraction of 2^32; its table is place * threads >> 32, its slot the rest. */
static uint32_t place_of(uint32_t key)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static slot *slot_of(const table *t, uint32_t place, uint32_t threads)
{
    return &t->slot[(uint32_t)((uint64_t)place * threads) >> t->shift];
}

static slot *find(const table *t, uint32_t key, uint32_t threads)
{
    slot *s = slot_of(t, place_of(key), threads), *end = t->slot + (UINT64_C(1) << (32 - t->shift));
    while (s->count && s->key != key)
        if (++s == end) s = t->slot;
    return s;
}

static uint64_t slots_of(const table *t)
{
    return t->slot ? UINT64_C(1) << (32 - t->shift) : 0;
}

/* Makes room so that `more` features can be added and 6 slots in 10 stay the most in use. */
static bool make_room(table *t, uint32_t more, uint32_t threads)
{
    uint64_t slots = slots_of(t), want = UINT64_C(1) << FIRST_LOG;
    if (((uint64_t)t->used + more) * 10 <= slots * 6) return true;
    int shift = 32 - FIRST_LOG;
    while (((uint64_t)t->used + more) * 10 > want * 6 || want <= slots) {
        want *= 2;
        shift--;
    }
    if (shift < 0) return false;
    table n = {asgdi_calloc(want, sizeof *n.slot), t->used, shift};
    if (!n.slot) return false;
    for (uint64_t i = 0; i < slots; i++)
        if (t->slot[i].count) *find(&n, t->slot[i].key, threads) = t->slot[i];
    asgdi_free(t->slot);
    *t = n;
    return true;
}

static uint32_t sum_of(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* ---- counting ---- */

static table *table_of(const job *j, uint32_t place)
{
    return &j->table[(uint64_t)place * j->threads >> 32];
}

/* A batch, into tables own[0..threads). */
static bool count_batch(const job *j, table *own, const uint32_t *key, uint32_t n)
{
    const uint32_t threads = j->threads;
    for (uint32_t k = 0; k < threads; k++)
        if (!make_room(&own[k], n, threads)) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            const uint32_t p = place_of(key[i + AHEAD]);
            __builtin_prefetch(slot_of(&own[(uint64_t)p * threads >> 32], p, threads), 1);
        }
        table *t = &own[(uint64_t)place_of(key[i]) * threads >> 32];
        slot  *s = find(t, key[i], threads);
        t->used += s->count == 0;
        s->key = key[i];
        s->count += s->count < UINT32_MAX;
    }
    return true;
}

static void count_part(void *ctx, uint32_t k)
{
    job            *j                    = ctx;
    const uint32_t *idx                  = j->w->idx.p;
    const uint64_t  end                  = asgdi_part(j->w->entries, j->threads, k + 1);
    table           own[ASGDI_PARTS_MAX] = {0}; /* not on a cache line that another thread writes */
    bool            room                 = true;
    for (uint64_t at = asgdi_part(j->w->entries, j->threads, k); room && at < end; at += BATCH) {
        const uint32_t n = end - at < BATCH ? (uint32_t)(end - at) : BATCH;
        room             = count_batch(j, own, idx + at, n);
    }
    memcpy(j->table + (size_t)k * j->threads, own, j->threads * sizeof *own);
    if (!room) lack_memory(j);
}

static void count_direct(void *ctx, uint32_t k)
{
    job            *j     = ctx;
    const uint32_t *idx   = j->w->idx.p;
    uint32_t       *count = asgdi_calloc((size_t)j->most + 1, sizeof *count);
    j->direct[k]          = count;
    if (!count) {
        lack_memory(j);
        return;
    }
    const uint64_t end = asgdi_part(j->w->entries, j->threads, k + 1);
    for (uint64_t i = asgdi_part(j->w->entries, j->threads, k); i < end; i++) {
        if (i + AHEAD < end) __builtin_prefetch(&count[idx[i + AHEAD]], 1);
        count[idx[i]] += count[idx[i]] < UINT32_MAX;
    }
}

/* ---- by frequency ---- */

/* Sorts by 11 bits at a time, lowest first; the result is in a or b, whichever is returned. */
static uint64_t *sort(uint64_t *a, uint64_t *b, uint64_t n)
{
    enum { DIGIT = 11, DIGITS = 1 << DIGIT };
    for (int shift = 0; shift < 64; shift += DIGIT) {
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

static uint64_t falling(uint32_t count, uint32_t key)
{
    return (uint64_t)(UINT32_MAX - count) << 32 | key;
}

static bool list_room(share *s, uint64_t n)
{
    s->list  = asgdi_calloc(n, sizeof *s->list);
    s->other = asgdi_calloc(n, sizeof *s->other);
    return s->list && s->other;
}

static void sort_list(share *s)
{
    uint64_t *sorted = sort(s->list, s->other, s->n);
    if (sorted == s->list) return;
    s->other = s->list;
    s->list  = sorted;
}

/* Adds a table's counts to another's. */
static bool add_table(table *t, const table *from, uint32_t threads)
{
    enum { BLOCK = 64 };
    uint32_t       at[BLOCK], n;
    const uint64_t slots = slots_of(from);
    if (!make_room(t, from->used, threads)) return false;
    for (uint64_t first = 0; first < slots; first += BLOCK) {
        n = 0;
        for (uint32_t i = 0; i < BLOCK; i++) {
            at[n] = i;
            n += from->slot[first + i].count > 0;
        }
        for (uint32_t i = 0; i < n; i++)
            __builtin_prefetch(slot_of(t, place_of(from->slot[first + at[i]].key), threads), 1);
        for (uint32_t i = 0; i < n; i++) {
            const slot *s  = &from->slot[first + at[i]];
            slot       *to = find(t, s->key, threads);
            t->used += to->count == 0;
            *to = (slot){s->key, sum_of(to->count, s->count)};
        }
    }
    return true;
}

/* Adds piece k of all threads' tables to the first's, and sorts it. */
static void add_tables(void *ctx, uint32_t k)
{
    job   *j   = ctx;
    share *s   = &j->share[k];
    table  own = j->table[k], *t = &own;
    for (uint32_t i = 1; i < j->threads; i++) {
        table *from = &j->table[(size_t)i * j->threads + k];
        if (!add_table(t, from, j->threads)) {
            lack_memory(j);
            break;
        }
        asgdi_free(from->slot);
        *from = (table){0};
    }
    j->table[k] = own;
    if (!list_room(s, t->used)) {
        lack_memory(j);
        return;
    }
    for (uint64_t at = 0; at < slots_of(t); at++)
        if (t->slot[at].count) s->list[s->n++] = falling(t->slot[at].count, t->slot[at].key);
    sort_list(s);
}

/* Adds up all threads' counts of features that are k's. */
static void add_direct(void *ctx, uint32_t k)
{
    job           *j     = ctx;
    share         *s     = &j->share[k];
    const uint64_t width = (uint64_t)j->most + 1, end = asgdi_part(width, j->threads, k + 1);
    uint32_t      *all   = j->direct[0];
    uint64_t       large = 0;
    s->at                = asgdi_calloc(COUNTS, sizeof *s->at);
    if (!s->at) {
        lack_memory(j);
        return;
    }
    const uint64_t from = asgdi_part(width, j->threads, k);
    for (uint64_t f = from; f < end; f++) {
        uint32_t n = all[f];
        for (uint32_t i = 1; i < j->threads; i++) n = sum_of(n, j->direct[i][f]);
        all[f] = n;
        if (n < COUNTS)
            s->at[n]++;
        else
            large++;
    }
    if (!list_room(s, large)) {
        lack_memory(j);
        return;
    }
    for (uint64_t f = from; large && f < end; f++)
        if (all[f] >= COUNTS) s->list[s->n++] = falling(all[f], (uint32_t)f);
    sort_list(s);
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
    uint64_t  n = a->n + b->n, x = 0, y = 0;
    uint64_t *to = asgdi_calloc(n, sizeof *to);
    if (!to) {
        asgdi_store_relaxed(&m->no_memory, 1);
        return;
    }
    for (uint64_t at = 0; at < n; at++) {
        const bool first = y == b->n || (x < a->n && a->list[x] < b->list[y]);
        to[at]           = first ? a->list[x] : b->list[y];
        x += first;
        y += !first;
    }
    asgdi_free(a->list);
    asgdi_free(b->list);
    a->list = to;
    b->list = NULL;
    a->n    = n;
    b->n    = 0;
}

/* All lists become the first share's. */
static bool merge_lists(job *j)
{
    merging m = {.share = j->share, .n = j->threads};
    for (m.step = 1; m.step < m.n; m.step *= 2) {
        asgdi_parallel((m.n - 1) / (2 * m.step) + 1, merge_pair, &m);
        if (asgdi_load_relaxed(&m.no_memory)) return false;
    }
    return true;
}

/* The rows of features with large counts, of which there are few. */
static void set_large(const job *j)
{
    const uint64_t *all = j->share->list;
    for (uint64_t r = 0; r < j->share->n; r++) {
        const uint32_t key = (uint32_t)all[r];
        j->key[r]          = key;
        j->direct[0][key]  = (uint32_t)r;
    }
}

/* The rows of what is in table k: a slot with row 0 must not look empty, so rows there begin at 1.  Looking
 * for a slot reads its neighbours, so each thread keeps to its own table. */
static void set_table(void *ctx, uint32_t k)
{
    job            *j   = ctx;
    const uint64_t *all = j->share->list, n = j->share->n;
    for (uint64_t r = 0; r < n; r++) {
        const uint32_t key = (uint32_t)all[r], place = place_of(key);
        if (r + AHEAD < n) {
            const uint32_t next = place_of((uint32_t)all[r + AHEAD]);
            if (table_of(j, next) == &j->table[k])
                __builtin_prefetch(slot_of(&j->table[k], next, j->threads), 1);
        }
        if (table_of(j, place) != &j->table[k]) continue;
        j->key[r]                                  = key;
        find(&j->table[k], key, j->threads)->count = (uint32_t)r + 1;
    }
}

/* Those with small counts, of the features that are k's. */
static void set_counted(void *ctx, uint32_t k)
{
    job           *j     = ctx;
    uint64_t      *at    = j->share[k].at;
    uint32_t      *all   = j->direct[0];
    const uint64_t width = (uint64_t)j->most + 1, end = asgdi_part(width, j->threads, k + 1);
    for (uint64_t f = asgdi_part(width, j->threads, k); f < end; f++) {
        const uint32_t n = all[f];
        if (n == 0 || n >= COUNTS) continue;
        const uint64_t r = at[n]++;
        j->key[r]        = (uint32_t)f;
        all[f]           = (uint32_t)r;
    }
}

/* Where each thread's features of each count begin; returns how many features there are. */
static uint64_t place_counted(job *j)
{
    uint64_t r = j->share->n; /* behind those with large counts */
    for (uint32_t n = COUNTS - 1; n > 0 && j->direct; n--)
        for (uint32_t k = 0; k < j->threads; k++) {
            const uint64_t m  = j->share[k].at[n];
            j->share[k].at[n] = r;
            r += m;
        }
    return r;
}

static asgd_status no_memory(const char *name)
{
    return ASGD_FAIL(ENOMEM, "%s: no memory to number its features", name);
}

static asgd_status number(job *j)
{
    asgdi_parallel(j->threads, j->direct ? add_direct : add_tables, j);
    if (asgdi_load_relaxed(&j->no_memory) || !merge_lists(j)) return no_memory(j->name);
    const uint64_t n = place_counted(j);
    if (n > ASGDI_ROWS_MAX)
        return ASGD_FAIL(EFORMAT,
                         "%s: %" PRIu64 " features are too many (at most %d); hash them to fewer",
                         j->name, n, (int)ASGDI_ROWS_MAX);
    j->rows = (uint32_t)n;
    j->key  = asgdi_calloc(n, sizeof *j->key);
    if (!j->key) return no_memory(j->name);
    asgdi_parallel(j->threads, j->direct ? set_counted : set_table, j);
    if (j->direct) set_large(j); /* last: until now counts tell them apart */
    return ASGD_OK;
}

/* ---- examples ---- */

static void map_entries(const job *j, uint32_t *idx, uint64_t begin, uint64_t end, uint64_t last)
{
    for (uint64_t i = begin; i < end; i++) {
        if (j->direct) {
            if (i + AHEAD < last) __builtin_prefetch(&j->direct[0][idx[i + AHEAD]]);
            idx[i] = j->direct[0][idx[i]];
            continue;
        }
        if (i + AHEAD < last) {
            const uint32_t place = place_of(idx[i + AHEAD]);
            __builtin_prefetch(slot_of(table_of(j, place), place, j->threads));
        }
        idx[i] = find(table_of(j, place_of(idx[i])), idx[i], j->threads)->count - 1;
    }
}

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
    for (uint64_t i = from; i < to; i++) {
        uint64_t b = start[i], n = start[i + 1] - b;
        if (j->map) map_entries(j, idx, b, b + n, start[to]);
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

/* Arrays of counts for the threads, not larger together than twice the entries. */
static uint32_t counters(uint32_t threads, uint64_t entries, uint32_t most)
{
    const uint64_t n = 2 * entries / ((uint64_t)most + 1);
    return n < 1 ? 1 : n < threads ? (uint32_t)n : threads;
}

static asgd_status renumber(job *j, uint32_t threads)
{
    const bool direct = j->most < SMALL || (j->most < DIRECT && j->most / 8 < j->w->entries);
    j->threads        = asgdi_parts(threads, j->w->entries, 4 * (uint64_t)GRAIN);
    if (direct) j->threads = counters(j->threads, j->w->entries, j->most);
    if (direct)
        j->direct = asgdi_calloc(j->threads, sizeof *j->direct);
    else
        j->table = asgdi_calloc((size_t)j->threads * j->threads, sizeof *j->table);
    j->share = asgdi_calloc(j->threads, sizeof *j->share);
    if ((!j->direct && !j->table) || !j->share) return no_memory(j->name);
    asgdi_parallel(j->threads, direct ? count_direct : count_part, j);
    if (asgdi_load_relaxed(&j->no_memory)) return no_memory(j->name);
    ASGD_TRY(number(j));
    return settle(j, threads);
}

asgd_status asgdi_renumber(asgdi_whole *w, uint32_t most, uint32_t threads, const char *name,
                           uint32_t **key, uint32_t *rows)
{
    job         j = {.w = w, .k = kernels(), .name = name, .most = most, .map = true};
    asgd_status s = renumber(&j, threads);
    for (size_t k = 0; j.table && k < (size_t)j.threads * j.threads; k++)
        asgdi_free(j.table[k].slot);
    for (uint32_t k = 0; j.share && k < j.threads; k++) {
        asgdi_free(j.share[k].at);
        asgdi_free(j.share[k].list);
        asgdi_free(j.share[k].other);
    }
    for (uint32_t k = 0; j.direct && k < j.threads; k++) asgdi_free(j.direct[k]);
    asgdi_free(j.table);
    asgdi_free(j.direct);
    asgdi_free(j.share);
    *key  = s == ASGD_OK ? j.key : NULL;
    *rows = j.rows;
    if (s != ASGD_OK) asgdi_free(j.key);
    return s;
}
