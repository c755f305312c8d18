/* vocab.c -- names to numbers and back.
 *
 * A name of up to 8 bytes, as nearly all are, is its own key: it is compared as one word, and its text
 * is looked at only when it is told.  Longer ones are compared by hash, length and text. */
#include "data/vocab.h"

#include <string.h>

#include "base/mem.h"
#include "data/encoding.h"

static uint64_t key_of(const char *name, size_t bytes)
{
    uint64_t w = 0;
    if (bytes > sizeof w) return asgdi_hash(name, bytes, 0);
    memcpy(&w, name, bytes);
    return w;
}

static size_t home(uint64_t key, size_t mask)
{
    const uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 20 ^ h >> 41) & mask;
}

static bool same(const asgdi_vocab *v, const asgdi_vocab_slot *s, uint64_t key, const char *name,
                 size_t bytes)
{
    return s->key == key && s->bytes == bytes &&
           (bytes <= sizeof key || !memcmp(v->text + v->start[s->number - 1], name, bytes));
}

/* Its slot, or the empty one where it belongs. */
static asgdi_vocab_slot *seek(const asgdi_vocab *v, uint64_t key, const char *name, size_t bytes)
{
    size_t at = home(key, v->mask);
    while (v->slot[at].number && !same(v, &v->slot[at], key, name, bytes)) at = (at + 1) & v->mask;
    return &v->slot[at];
}

static bool widen(asgdi_vocab *v)
{
    const size_t      n    = v->slot ? 2 * (v->mask + 1) : 1024;
    asgdi_vocab_slot *slot = asgdi_calloc(n, sizeof *slot);
    if (!slot) return false;
    for (size_t i = 0; v->slot && i <= v->mask; i++) {
        if (!v->slot[i].number) continue;
        size_t at = home(v->slot[i].key, n - 1);
        while (slot[at].number) at = (at + 1) & (n - 1);
        slot[at] = v->slot[i];
    }
    asgdi_free(v->slot);
    v->slot = slot;
    v->mask = n - 1;
    return true;
}

uint32_t asgdi_vocab_add(asgdi_vocab *v, const char *name, size_t bytes)
{
    if ((!v->slot || 2 * (size_t)v->n >= v->mask) && !widen(v)) return ASGDI_NO_NAME;
    const uint64_t    key = key_of(name, bytes);
    asgdi_vocab_slot *s   = seek(v, key, name, bytes);
    if (s->number) return s->number - 1;
    void *text = v->text, *start = v->start;
    bool  room = v->n < ASGDI_VOCAB_MAX && asgdi_grow(&text, &v->text_room, v->used + bytes + 1, 1);
    v->text    = text;
    room       = room && asgdi_grow(&start, &v->start_room, (size_t)v->n + 1, sizeof *v->start);
    v->start   = start;
    if (!room) return ASGDI_NO_NAME;
    memcpy(v->text + v->used, name, bytes);
    v->text[v->used + bytes] = '\0';
    v->start[v->n]           = v->used;
    v->used += bytes + 1;
    *s = (asgdi_vocab_slot){.key = key, .number = ++v->n, .bytes = (uint32_t)bytes};
    return v->n - 1;
}

uint32_t asgdi_vocab_find(const asgdi_vocab *v, const char *name, size_t bytes)
{
    if (!v->slot || bytes == 0 || bytes > ASGDI_NAME_MAX) return ASGDI_NO_NAME;
    const asgdi_vocab_slot *s = seek(v, key_of(name, bytes), name, bytes);
    return s->number ? s->number - 1 : ASGDI_NO_NAME;
}

const char *asgdi_vocab_name(const asgdi_vocab *v, uint32_t number)
{
    return number < v->n ? v->text + v->start[number] : NULL;
}

bool asgdi_vocab_equal(const asgdi_vocab *a, const asgdi_vocab *b)
{
    return a->n == b->n && a->used == b->used && (a->n == 0 || !memcmp(a->text, b->text, a->used));
}

void asgdi_vocab_free(asgdi_vocab *v)
{
    asgdi_free(v->slot);
    asgdi_free(v->text);
    asgdi_free(v->start);
    *v = (asgdi_vocab){0};
}
