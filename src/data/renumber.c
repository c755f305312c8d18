/* renumber.c -- numbering features by falling frequency.
 *
 * The rows that every worker touches all the time are then the first ones, so that a bound (n_own of
 * asgd_view) tells them from all others, and a table has no row for what never occurs.  Frequency is
 * the number of entries; ties go by the feature's number, so the order is the same every time.
 *
 * Counting.  Small numbers index an array.  Others, up to 2^32, are counted in hash tables (linear
 * probing, Fibonacci hashing), one a thread: each thread reads all entries and counts those that are
 * its own by hash, so no two write the same word.  The slots that 16 entries further on will need are
 * asked for ahead, as nearly all of them are far away in memory.  Afterwards the slots hold the row
 * instead of the count. */
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
    FIRST_LOG = 12,
};

typedef struct slot {
    uint32_t key, count; /* count 0: empty */
} slot;

typedef struct table {
    slot    *slot;
    uint32_t used;
    int      shift; /* 32 - log2(slots) */
} table;

typedef struct job {
    asgdi_whole *w;
    const char  *name;
    uint32_t     threads; /* that count: tables */
    uint32_t     parts;   /* of examples */
    uint32_t    *direct;  /* [most+1], or NULL: tables */
    table       *table;   /* [threads] */
    bool         map;
    asgdi_u32    no_memory, equal;
} job;

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

/* Makes room so that `more` features can be added and 6 slots in 10 stay the most in use. */
static bool make_room(table *t, uint32_t more, uint32_t threads)
{
    uint64_t slots = t->slot ? UINT64_C(1) << (32 - t->shift) : 0, want = UINT64_C(1) << FIRST_LOG;
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

static void count_batch(table *t, const uint32_t *key, uint32_t n, uint32_t threads)
{
    for (uint32_t i = 0; i < n && i < AHEAD; i++)
        __builtin_prefetch(slot_of(t, place_of(key[i]), threads), 1);
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n) __builtin_prefetch(slot_of(t, place_of(key[i + AHEAD]), threads), 1);
        slot *s = find(t, key[i], threads);
        t->used += s->count == 0;
        s->key = key[i];
        s->count += s->count < UINT32_MAX;
    }
}

/* Of a batch, those that are thread k's. */
static uint32_t own(uint32_t *to, const uint32_t *from, uint32_t n, uint32_t threads, uint32_t k)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        to[m] = from[i];
        m += (uint64_t)place_of(from[i]) * threads >> 32 == k;
    }
    return m;
}

static void count_part(void *ctx, uint32_t k)
{
    job            *j   = ctx;
    const uint32_t *idx = j->w->idx.p;
    uint32_t        mine[BATCH];
    for (uint64_t at = 0; at < j->w->entries; at += BATCH) {
        uint32_t        n   = j->w->entries - at < BATCH ? (uint32_t)(j->w->entries - at) : BATCH;
        const uint32_t *key = idx + at;
        if (j->threads > 1) {
            n   = own(mine, key, n, j->threads, k);
            key = mine;
        }
        if (!make_room(&j->table[k], n, j->threads)) {
            asgdi_store_relaxed(&j->no_memory, 1);
            return;
        }
        count_batch(&j->table[k], key, n, j->threads);
    }
}

/* Thread k's are those in its lines of the array. */
static void count_direct(void *ctx, uint32_t k)
{
    job            *j   = ctx;
    const uint32_t *idx = j->w->idx.p;
    const uint64_t  n   = j->w->entries;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t *c = &j->direct[idx[i]];
        if (i + AHEAD < n) __builtin_prefetch(&j->direct[idx[i + AHEAD]], 1);
        if (j->threads > 1 && (uint64_t)place_of(idx[i] / 16) * j->threads >> 32 != k) continue;
        *c += *c < UINT32_MAX;
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

/* All features that occur, in any order. */
static uint64_t collect(const job *j, uint32_t most, uint64_t *to)
{
    uint64_t n = 0;
    for (uint64_t f = 0; j->direct && f <= most; f++) {
        if (!j->direct[f]) continue;
        if (to) to[n] = falling(j->direct[f], (uint32_t)f);
        n++;
    }
    for (uint32_t k = 0; j->table && k < j->threads; k++) {
        const table *t = &j->table[k];
        if (!to) n += t->used;
        for (uint64_t i = 0; to && t->slot && i < UINT64_C(1) << (32 - t->shift); i++)
            if (t->slot[i].count) to[n++] = falling(t->slot[i].count, t->slot[i].key);
    }
    return n;
}

static const table *table_of(const job *j, uint32_t key)
{
    return &j->table[(uint64_t)place_of(key) * j->threads >> 32];
}

/* Counts become rows; a slot with row 0 must not look empty, so rows there begin at 1. */
static void set_rows(const job *j, const uint64_t *sorted, uint32_t *key, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) key[r] = (uint32_t)sorted[r];
    for (uint32_t r = 0; r < rows; r++) {
        if (j->direct) {
            j->direct[key[r]] = r;
            continue;
        }
        if (r + AHEAD < rows) {
            uint32_t next = key[r + AHEAD];
            __builtin_prefetch(slot_of(table_of(j, next), place_of(next), j->threads), 1);
        }
        find(table_of(j, key[r]), key[r], j->threads)->count = r + 1;
    }
}

static asgd_status number(job *j, uint32_t most, uint32_t **key, uint32_t *rows)
{
    uint64_t n = collect(j, most, NULL);
    if (n > ASGDI_ROWS_MAX)
        return ASGD_FAIL(EFORMAT,
                         "%s: %" PRIu64 " features are too many (at most %d); hash them to fewer",
                         j->name, n, (int)ASGDI_ROWS_MAX);
    uint64_t   *a = asgdi_calloc(n, sizeof *a), *b = asgdi_calloc(n, sizeof *b);
    asgd_status s = ASGD_OK;
    *key          = asgdi_calloc(n, sizeof **key);
    if (a && b && *key) {
        collect(j, most, a);
        set_rows(j, sort(a, b, n), *key, (uint32_t)n);
        *rows = (uint32_t)n;
    } else {
        s = ASGD_FAIL(ENOMEM, "%s: no memory to number %" PRIu64 " features", j->name, n);
    }
    asgdi_free(a);
    asgdi_free(b);
    return s;
}

/* ---- examples ---- */

static void map_entries(const job *j, uint32_t *idx, uint64_t begin, uint64_t end, uint64_t last)
{
    for (uint64_t i = begin; i < end; i++) {
        if (j->direct) {
            if (i + AHEAD < last) __builtin_prefetch(&j->direct[idx[i + AHEAD]]);
            idx[i] = j->direct[idx[i]];
            continue;
        }
        if (i + AHEAD < last) {
            uint32_t next = idx[i + AHEAD];
            __builtin_prefetch(slot_of(table_of(j, next), place_of(next), j->threads));
        }
        idx[i] = find(table_of(j, idx[i]), idx[i], j->threads)->count - 1;
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
            asgdi_entries_sort(idx + b, w->val.p ? (float *)w->val.p + b : NULL,
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
    job j = {.w = w, .name = name};
    return w->entries ? settle(&j, threads) : ASGD_OK;
}

asgd_status asgdi_renumber(asgdi_whole *w, uint32_t most, uint32_t threads, const char *name,
                           uint32_t **key, uint32_t *rows)
{
    job  j        = {.w = w, .name = name, .map = true};
    bool direct   = most < SMALL || (most < DIRECT && most / 8 < w->entries);
    j.threads     = asgdi_parts(threads, w->entries, 4 * (uint64_t)GRAIN);
    asgd_status s = ASGD_OK;
    *key          = NULL;
    if (direct)
        j.direct = asgdi_calloc((size_t)most + 1, sizeof *j.direct);
    else
        j.table = asgdi_calloc(j.threads, sizeof *j.table);
    if (!j.direct && !j.table) s = ASGD_FAIL(ENOMEM, "%s: no memory to count its features", name);
    if (s == ASGD_OK) asgdi_parallel(j.threads, direct ? count_direct : count_part, &j);
    if (s == ASGD_OK && asgdi_load_relaxed(&j.no_memory))
        s = ASGD_FAIL(ENOMEM, "%s: no memory to count its features", name);
    if (s == ASGD_OK) s = number(&j, most, key, rows);
    if (s == ASGD_OK) s = settle(&j, threads);
    for (uint32_t k = 0; j.table && k < j.threads; k++) asgdi_free(j.table[k].slot);
    asgdi_free(j.table);
    asgdi_free(j.direct);
    if (s != ASGD_OK) {
        asgdi_free(*key);
        *key = NULL;
    }
    return s;
}
