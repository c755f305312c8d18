/* sink_columns.c -- a sparse batch by columns, so that each row of a table is changed once a batch.
 *
 * A counting sort: count the entries of each feature, turn counts into places, put the entries
 * there.  Its cost is that of the entries, not of the features: the counts are zeroed again by the
 * list of features met.  Entries of one feature keep the order of the examples. */
#include "rule/sink.h"

#include "base/mem.h"
#include "base/status.h"

asgd_status asgdi_columns_init(asgdi_columns *c, uint32_t features, uint64_t entries)
{
    *c = (asgdi_columns){0};
    if (entries >= UINT32_MAX)
        return ASGD_FAIL(EINVAL, "a batch may have %llu entries: take a smaller batch",
                         (unsigned long long)entries);
    const size_t room     = (size_t)entries;
    const size_t distinct = room < features ? room : features;
    c->features           = features;
    c->max_entries        = (uint32_t)entries;
    c->count              = asgdi_calloc(features, sizeof *c->count);
    c->rows               = asgdi_calloc(distinct, sizeof *c->rows);
    c->start              = asgdi_calloc(distinct + 1, sizeof *c->start);
    c->ex                 = asgdi_calloc(room, sizeof *c->ex);
    c->val                = asgdi_calloc(room, sizeof *c->val);
    c->coef               = asgdi_calloc(distinct, sizeof *c->coef);
    if (!c->count || !c->rows || !c->start || !c->ex || !c->val || !c->coef) {
        asgdi_columns_free(c);
        return ASGD_FAIL(ENOMEM, "no memory to sort a batch of %zu entries", room);
    }
    return ASGD_OK;
}

void asgdi_columns_free(asgdi_columns *c)
{
    asgdi_free(c->count);
    asgdi_free(c->rows);
    asgdi_free(c->start);
    asgdi_free(c->ex);
    asgdi_free(c->val);
    asgdi_free(c->coef);
    *c = (asgdi_columns){0};
}

/* Lists the features that occur, in increasing order where looking at all of them is cheap: rows
 * are then visited in the order of memory. */
static uint32_t list_rows(asgdi_columns *c, const asgd_batch *x, uint64_t entries)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t *idx = x->idx + x->begin[i];
        for (uint32_t j = 0; j < x->len[i]; j++) {
            if (c->count[idx[j]]++ == 0) c->rows[n++] = idx[j];
        }
    }
    if (c->features / 4 < entries) {
        n = 0;
        for (uint32_t f = 0; f < c->features; f++)
            if (c->count[f]) c->rows[n++] = f;
    }
    return n;
}

bool asgdi_transpose(asgdi_columns *c, const asgd_batch *x, asgdk_columns *out)
{
    uint64_t entries = 0;
    for (uint32_t i = 0; i < x->n; i++) entries += x->len[i];
    if (entries > c->max_entries || x->features > c->features) return false;

    const uint32_t n  = list_rows(c, x, entries);
    uint32_t       at = 0;
    for (uint32_t j = 0; j < n; j++) {
        const uint32_t here  = c->count[c->rows[j]];
        c->count[c->rows[j]] = at; /* from now on: where its next entry goes */
        c->start[j]          = at;
        at += here;
    }
    c->start[n] = at;
    for (uint32_t i = 0; i < x->n; i++) {
        for (uint64_t j = x->begin[i]; j < x->begin[i] + x->len[i]; j++) {
            const uint32_t to = c->count[x->idx[j]]++;
            c->ex[to]         = i;
            c->val[to]        = x->val ? x->val[j] : 1.0f;
        }
    }
    for (uint32_t j = 0; j < n; j++) c->count[c->rows[j]] = 0;
    *out = (asgdk_columns){.n = n, .rows = c->rows, .start = c->start, .ex = c->ex, .val = c->val};
    return true;
}
