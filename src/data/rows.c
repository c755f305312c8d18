/* rows.c -- the arrays that a text format's examples go into, and putting an example's entries in
 * order.
 *
 * Invariant: of the entries below r->entries and the examples below r->n everything is final; what a
 * format wrote beyond them belongs to the example in hand, or to one that it gave up.
 *
 * Sorting.  In a short example an entry's place is the number of smaller ones: n^2 comparisons, but
 * without a branch and several at a time, which is a third of what sorting by insertion takes for 40.
 * Long examples are sorted by digits of 8 bits (LSD radix) through 64-bit keys, feature << 32 | place,
 * so that values and fields follow by one permutation and equal features stay in the file's order. */
#include "data/rows.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_EXAMPLES = 256, FIRST_ENTRIES = 4096, FEW = 8, UNSETTLED = 4096 };

static bool resize(void *array, size_t n, size_t size)
{
    void *old, *now;
    if (n > SIZE_MAX / size) return false;
    memcpy(&old, array, sizeof old);
    now = realloc(old, n * size);
    if (!now) return false;
    memcpy(array, &now, sizeof now);
    return true;
}

static size_t more(size_t room, uint64_t least, size_t first)
{
    size_t n = room < first ? first : room + room / 2;
    return n < least ? (size_t)least : n;
}

bool asgdi_rows_grow(asgdi_rows *r, uint64_t entries)
{
    if (entries >= UINT32_MAX) return false; /* an example's length has 32 bits */
    if (r->n + 1 > r->room_n) {
        size_t n = more(r->room_n, r->n + 1, FIRST_EXAMPLES);
        if (!resize(&r->y, n, sizeof *r->y) || !resize(&r->weight, n, sizeof *r->weight) ||
            !resize(&r->len, n, sizeof *r->len) || !resize(&r->label_len, n, sizeof *r->label_len))
            return false;
        r->room_n = n;
    }
    if (r->entries + entries > r->room_entries) {
        size_t n = more(r->room_entries, r->entries + entries, FIRST_ENTRIES);
        if (!resize(&r->val, n, sizeof *r->val) ||
            (!r->dense && !resize(&r->idx, n, sizeof *r->idx)) ||
            (r->fielded && !resize(&r->field, n, sizeof *r->field)))
            return false;
        r->room_entries = n;
    }
    return true;
}

bool asgdi_rows_label(asgdi_rows *r, uint32_t label)
{
    if (!asgdi_grow((void **)&r->label, &r->room_labels, r->label_at + 1, sizeof *r->label))
        return false;
    r->label[r->label_at++] = label;
    if (label > r->max_label) r->max_label = label;
    return true;
}

/* ---- order ---- */

/* Of up to three entries, the commonest of short examples, from registers.  false: some are equal, and
 * nothing is done.  No branch depends on their order. */
static bool sort_three(uint32_t *idx, float *val, uint16_t *field, uint32_t n)
{
    if (n < 2) return true;
    const uint32_t a = idx[0], b = idx[1], c = n > 2 ? idx[2] : UINT32_MAX;
    if ((a == b) | (b == c) | (a == c)) return false;
    const uint32_t pa = (uint32_t)(b < a) + (c < a), pb = (uint32_t)(a < b) + (c < b),
                   pc = 3 - pa - pb;
    idx[pa]           = a;
    idx[pb]           = b;
    if (n > 2) idx[pc] = c;
    if (val) {
        const float x = val[0], y = val[1], z = n > 2 ? val[2] : 0;
        val[pa] = x;
        val[pb] = y;
        if (n > 2) val[pc] = z;
    }
    if (field) {
        const uint16_t x = field[0], y = field[1], z = n > 2 ? field[2] : 0;
        field[pa] = x;
        field[pb] = y;
        if (n > 2) field[pc] = z;
    }
    return true;
}

/* The same for up to FEW. */
static bool sort_few(uint32_t *idx, float *val, uint16_t *field, uint32_t n)
{
    uint32_t x[FEW], place[FEW], sum = 0;
    float    v[FEW];
    uint16_t f[FEW];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = 0;
        for (uint32_t j = 0; j < n; j++) p += idx[j] < idx[i];
        place[i] = p;
        sum += p;
    }
    if (sum != n * (n - 1) / 2) return false;
    for (uint32_t i = 0; i < n; i++) x[place[i]] = idx[i];
    for (uint32_t i = 0; i < n; i++) idx[i] = x[i];
    for (uint32_t i = 0; val && i < n; i++) v[place[i]] = val[i];
    for (uint32_t i = 0; val && i < n; i++) val[i] = v[i];
    for (uint32_t i = 0; field && i < n; i++) f[place[i]] = field[i];
    for (uint32_t i = 0; field && i < n; i++) field[i] = f[i];
    return true;
}

/* The same for up to ASGDK_SHORT. */
static bool sort_short(const asgd_kern *k, uint32_t *idx, float *val, uint16_t *field, uint32_t n)
{
    uint32_t place[ASGDK_SHORT], x[ASGDK_SHORT];
    float    v[ASGDK_SHORT];
    uint16_t f[ASGDK_SHORT];
    if (k->count_smaller(idx, n, place) != n * (n - 1) / 2) return false;
    for (uint32_t i = 0; i < n; i++) x[place[i]] = idx[i];
    memcpy(idx, x, n * sizeof *idx);
    for (uint32_t i = 0; val && i < n; i++) v[place[i]] = val[i];
    if (val) memcpy(val, v, n * sizeof *val);
    for (uint32_t i = 0; field && i < n; i++) f[place[i]] = field[i];
    if (field) memcpy(field, f, n * sizeof *field);
    return true;
}

/* By the 32 high bits, of which only those of `most` are used; places stay in order.  The result is
 * in key; other has room for n, too. */
static void sort_keys(uint64_t *key, uint64_t *other, uint32_t n, uint32_t most)
{
    uint64_t *from = key, *to = other;
    for (int shift = 32; shift < 64 && most >> (shift - 32); shift += 8) {
        uint32_t at[257] = {0};
        for (uint32_t i = 0; i < n; i++) at[(from[i] >> shift & 255) + 1]++;
        for (int d = 0; d < 256; d++) at[d + 1] += at[d];
        for (uint32_t i = 0; i < n; i++) to[at[from[i] >> shift & 255]++] = from[i];
        uint64_t *t = from;
        from        = to;
        to          = t;
    }
    if (from != key) memcpy(key, from, n * sizeof *key);
}

bool asgdi_entries_sort(const asgd_kern *k, uint32_t *idx, float *val, uint16_t *field, uint32_t n,
                        uint64_t *room)
{
    uint32_t most = 0, falls = 0, equal = 0;
    if (n <= 3 && sort_three(idx, val, field, n)) return false;
    if (n > 3 && n <= FEW && sort_few(idx, val, field, n)) return false;
    for (uint32_t j = 1; j < n; j++) falls |= idx[j] <= idx[j - 1];
    if (!falls || (n <= ASGDK_SHORT && sort_short(k, idx, val, field, n))) return false;
    for (uint32_t j = 0; j < n; j++) {
        room[j] = (uint64_t)idx[j] << 32 | j;
        most |= idx[j];
    }
    sort_keys(room, room + n, n, most);
    for (uint32_t j = 0; j < n; j++) idx[j] = (uint32_t)(room[j] >> 32);
    for (uint32_t j = 1; j < n; j++) equal |= idx[j] == idx[j - 1];
    if (val) {
        float *old = (float *)(room + n);
        memcpy(old, val, n * sizeof *old);
        for (uint32_t j = 0; j < n; j++) val[j] = old[room[j] & UINT32_MAX];
    }
    if (field) {
        uint16_t *old = (uint16_t *)(room + n);
        memcpy(old, field, n * sizeof *old);
        for (uint32_t j = 0; j < n; j++) field[j] = old[room[j] & UINT32_MAX];
    }
    return equal;
}

uint32_t asgdi_entries_add_up(uint32_t *idx, float *val, uint16_t *field, uint32_t n)
{
    uint32_t m = 0;
    for (uint32_t j = 0; j < n; j++) {
        if (m > 0 && idx[m - 1] == idx[j]) {
            float sum  = val[m - 1] + val[j];
            val[m - 1] = isfinite(sum) ? sum : copysignf(FLT_MAX, sum);
            continue;
        }
        idx[m] = idx[j];
        val[m] = val[j];
        if (field) field[m] = field[j];
        m++;
    }
    return m;
}

/* ---- the end of an example ---- */

/* The examples from r->settled on: entries become rows; those of unseen features, and of fields that the
 * encoding lacks, go.  Nearly every slot is far away in memory, so it is asked for ahead, across examples. */
static bool settle(asgdi_rows *r)
{
    enum { AHEAD = 24 };
    const asgd_encoding *e    = r->encoding;
    const uint64_t       end  = r->entries;
    uint64_t             from = r->settled_entries, to = from;
    for (uint64_t i = r->settled; i < r->n; i++) {
        uint32_t *idx = r->idx + to, n = r->len[i], m = 0;
        float    *val   = r->val + to;
        uint16_t *field = r->fielded ? r->field + to : NULL;
        for (const uint64_t stop = from + n; from < stop; from++) {
            if (from + AHEAD < end)
                __builtin_prefetch(&e->slot[asgdi_encoding_home(r->idx[from + AHEAD], e->mask)]);
            const uint32_t row   = asgdi_encoding_row(e, r->idx[from]);
            const bool     known = row != ASGDI_UNSEEN && (!field || r->field[from] < e->fields);
            idx[m]               = row;
            val[m]               = r->val[from];
            if (field) field[m] = r->field[from];
            m += known;
        }
        r->dropped += n - m;
        if (!asgdi_grow((void **)&r->order, &r->room_order, 2 * (size_t)m, sizeof *r->order))
            return false;
        if (asgdi_entries_sort(r->k, idx, val, field, m, r->order)) {
            r->valued = true;
            m         = asgdi_entries_add_up(idx, val, field, m);
        }
        r->len[i] = m;
        to += m;
    }
    r->entries = to;
    return true;
}

void asgdi_rows_settle(asgdi_rows *r)
{
    if (r->encoding && !r->dense && !settle(r)) {
        r->no_memory = true;
        r->entries   = r->settled_entries;
    }
    r->settled         = r->n;
    r->settled_entries = r->entries;
}

/* Increasing, each once. */
static uint32_t settle_labels(uint32_t *label, uint64_t n)
{
    uint32_t m = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t l = label[i], j = m;
        while (j > 0 && label[j - 1] > l) j--;
        if (j > 0 && label[j - 1] == l) continue;
        memmove(label + j + 1, label + j, (m - j) * sizeof *label);
        label[j] = l;
        m++;
    }
    return m;
}

void asgdi_rows_end(asgdi_rows *r)
{
    uint32_t n   = (uint32_t)(r->at - r->entries);
    r->len[r->n] = n;
    r->entries += n;
    if (r->label_sets) {
        uint64_t count     = r->label_at - r->labels;
        uint32_t m         = count ? settle_labels(r->label + r->labels, count) : 0;
        r->label_len[r->n] = m;
        r->labels += m;
    }
    r->n++;
    if (r->encoding && r->entries - r->settled_entries >= UNSETTLED) asgdi_rows_settle(r);
}

void asgdi_rows_clear(asgdi_rows *r)
{
    r->n = r->entries = r->labels = r->at = r->label_at = r->settled = r->settled_entries = 0;
}

void asgdi_rows_free(asgdi_rows *r)
{
    free(r->y);
    free(r->weight);
    free(r->len);
    free(r->label_len);
    free(r->idx);
    free(r->val);
    free(r->field);
    asgdi_free(r->label);
    asgdi_free(r->order);
    *r = (asgdi_rows){0};
}
