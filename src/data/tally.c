/* tally.c -- features numbered as they come, and counted.
 *
 * A thread that has parsed a chunk looks its features up here while they are still in its cache, and
 * puts their ids, 0, 1, 2, ... in the order of first appearance, in their place.  All that comes
 * after indexes short arrays with them: features that are frequent come early, so that their counts lie
 * side by side, and rows are found without another search.
 *
 * All threads share one table of ids (linear probing, Fibonacci hashing): a slot is one word, empty or
 * for ever what it is, so a search takes no lock and adding a feature is one exchange.  The table only
 * grows while no thread is in it.  Each thread counts for itself, as frequent features would make their
 * counts a place where all meet; and in bytes, as most features are rare, and what limits all this is how
 * many lines can be on their way from memory at once.
 *
 * Invariant: `held` slots at most are in use when all who hold some have added what they may, and that is
 * at most 6 in 10; so every search ends.
 *
 * A slot's place grows with the hash: a table of twice the size has the same order, and filling it is a
 * stream. */
#define _GNU_SOURCE
#include "data/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    FIRST_LOG = 12,
    BATCH     = 4096, /* features that slots are held for */
    AHEAD     = 48,   /* features between asking for memory and needing it */
    BLOCK     = 64,   /* of ids */
};

/* A feature's place as a fraction of 2^32. */
static uint32_t place_of(uint32_t feature)
{
    return (uint32_t)((feature * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

/* Slots that may be held, and so features that there can be. */
static uint64_t most_held(const asgdi_tally *t)
{
    return asgdi_tally_slots(t) * 6 / 10;
}

/* All ids are below it as long as the table does not grow. */
static uint64_t id_room(const asgdi_tally *t)
{
    return most_held(t) + (uint64_t)t->threads * BLOCK;
}

bool asgdi_tally_init(asgdi_tally *t, uint32_t threads)
{
    *t         = (asgdi_tally){.threads = threads, .shift = 32 - FIRST_LOG};
    t->own     = asgdi_calloc(threads, sizeof *t->own);
    t->slot    = asgdi_calloc(asgdi_tally_slots(t), sizeof *t->slot);
    t->feature = asgdi_calloc(id_room(t), sizeof *t->feature);
    t->locks   = pthread_rwlock_init(&t->growing, NULL) == 0;
    return t->own && t->slot && t->feature && t->locks;
}

void asgdi_tally_free(asgdi_tally *t)
{
    for (uint32_t k = 0; t->own && k < t->threads; k++) {
        free(t->own[k].low);
        free(t->own[k].high);
    }
    asgdi_free(t->own);
    asgdi_free(t->slot);
    asgdi_free(t->feature);
    if (t->locks) pthread_rwlock_destroy(&t->growing);
    *t = (asgdi_tally){0};
}

/* Room for n more; nobody else is in the table. */
static bool grow(asgdi_tally *t, uint64_t n)
{
    asgdi_tally    to    = {.shift = t->shift, .threads = t->threads};
    const uint64_t slots = asgdi_tally_slots(t), need = asgdi_load_relaxed(&t->held) + n;
    while (need > most_held(&to))
        if (--to.shift < 0) return false;
    const uint64_t mask = asgdi_tally_slots(&to) - 1;
    to.slot             = asgdi_calloc(mask + 1, sizeof *to.slot);
    to.feature          = asgdi_calloc(id_room(&to), sizeof *to.feature);
    if (!to.slot || !to.feature) {
        asgdi_free(to.slot);
        asgdi_free(to.feature);
        return false;
    }
    memcpy(to.feature, t->feature, asgdi_load_relaxed(&t->ids) * sizeof *to.feature);
    for (uint64_t i = 0; i < slots; i++) {
        const uint64_t w = asgdi_load_relaxed(&t->slot[i]);
        if (!w) continue;
        uint64_t at = place_of((uint32_t)(w >> 32)) >> to.shift;
        while (asgdi_load_relaxed(&to.slot[at])) at = (at + 1) & mask;
        asgdi_store_relaxed(&to.slot[at], w);
    }
    asgdi_free(t->slot);
    asgdi_free(t->feature);
    t->slot    = to.slot;
    t->feature = to.feature;
    t->shift   = to.shift;
    return true;
}

/* Enters the table, with slots held for n features. */
static bool enter(asgdi_tally *t, uint64_t n)
{
    for (;;) {
        pthread_rwlock_rdlock(&t->growing);
        if (asgdi_add_relaxed(&t->held, n) + n <= most_held(t)) return true;
        asgdi_add_relaxed(&t->held, 0 - n);
        pthread_rwlock_unlock(&t->growing);

        pthread_rwlock_wrlock(&t->growing);
        const bool room = asgdi_load_relaxed(&t->held) + n <= most_held(t) || grow(t, n);
        pthread_rwlock_unlock(&t->growing);
        if (!room) return false;
    }
}

static void leave(asgdi_tally *t, uint64_t unused)
{
    asgdi_add_relaxed(&t->held, 0 - unused);
    pthread_rwlock_unlock(&t->growing);
}

/* *p becomes n elements, of which the first `old` stay.  Pages that nothing is counted in take no memory. */
static bool lengthen(void *p, size_t old, size_t n, size_t size)
{
    void *from, *to = calloc(n, size);
    if (!to) return false;
    memcpy(&from, p, sizeof from);
    if (from) memcpy(to, from, old * size);
    free(from);
    memcpy(p, &to, sizeof to);
    return true;
}

/* Counts for all ids that there can be as long as the table does not grow. */
static bool make_counts(const asgdi_tally *t, asgdi_tally_own *o)
{
    const uint64_t room = id_room(t);
    if (room <= o->room) return true;
    if (!lengthen(&o->low, o->room, room, sizeof *o->low) ||
        !lengthen(&o->high, o->room, room, sizeof *o->high))
        return false;
    o->room = (uint32_t)room;
    return true;
}

/* Adds a feature at an empty slot, unless another thread is quicker; returns what is there then. */
static uint64_t add(asgdi_tally *t, asgdi_tally_own *o, asgdi_u64 *slot, uint32_t feature,
                    uint32_t *added)
{
    if (o->next == o->end) {
        o->next = asgdi_add_relaxed(&t->ids, BLOCK);
        o->end  = o->next + BLOCK;
    }
    const uint64_t new = (uint64_t)feature << 32 | (o->next + 1);
    uint64_t was       = 0;
    if (!asgdi_cas_acq_rel(slot, &was, new)) return was;
    t->feature[o->next++] = feature;
    *added += 1;
    return new;
}

/* Ids for features; returns how many were new. */
static uint32_t number(asgdi_tally *t, asgdi_tally_own *o, uint32_t *idx, uint32_t n)
{
    const uint64_t mask  = asgdi_tally_slots(t) - 1;
    const int      shift = t->shift;
    uint32_t       added = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t f = idx[i], ahead = idx[i + AHEAD < n ? i + AHEAD : i];
        __builtin_prefetch(&t->slot[place_of(ahead) >> shift]);
        for (uint64_t at = place_of(f) >> shift;; at = (at + 1) & mask) {
            uint64_t w = asgdi_load_relaxed(&t->slot[at]);
            if (w == 0) w = add(t, o, &t->slot[at], f, &added);
            if (w >> 32 == f) {
                idx[i] = (uint32_t)w - 1;
                break;
            }
        }
    }
    return added;
}

static void count(const asgdi_tally_own *o, const uint32_t *id, uint32_t n)
{
    uint8_t *low = o->low;
    for (uint32_t i = 0; i < n; i++) {
        __builtin_prefetch(&low[id[i + AHEAD < n ? i + AHEAD : i]], 1);
        if (++low[id[i]] == 0) o->high[id[i]] += o->high[id[i]] < UINT32_MAX;
    }
}

bool asgdi_tally_take(asgdi_tally *t, uint32_t k, uint32_t *idx, uint64_t n)
{
    asgdi_tally_own *o = &t->own[k];
    for (uint64_t i = 0; i < n; i += BATCH) {
        const uint32_t m = n - i < BATCH ? (uint32_t)(n - i) : (uint32_t)BATCH;
        if (!enter(t, m)) return false;
        const bool     room  = make_counts(t, o);
        const uint32_t added = room ? number(t, o, idx + i, m) : 0;
        leave(t, m - added);
        if (!room) return false;
        count(o, idx + i, m);
    }
    return true;
}

uint32_t asgdi_tally_find(const asgdi_tally *t, uint32_t feature)
{
    const uint64_t mask = asgdi_tally_slots(t) - 1;
    for (uint64_t at = place_of(feature) >> t->shift;; at = (at + 1) & mask) {
        const uint64_t w = asgdi_load_relaxed(&t->slot[at]);
        if (w >> 32 == feature || w == 0) return (uint32_t)w - 1;
    }
}

uint32_t asgdi_tally_count(const asgdi_tally *t, uint32_t id)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < t->threads; k++)
        if (id < t->own[k].room) n += (uint64_t)t->own[k].high[id] << 8 | t->own[k].low[id];
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}
