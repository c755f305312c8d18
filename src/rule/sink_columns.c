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
    c->rows  = asgdi_calloc(distinct + 1, sizeof *c->rows); /* list_rows() may write one more */
    c->start = asgdi_calloc(distinct + 1, sizeof *c->start);
    c->ex    = asgdi_calloc(room, sizeof *c->ex);
    c->val   = asgdi_calloc(room, sizeof *c->val);
    c->coef  = asgdi_calloc(distinct, sizeof *c->coef);
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

/* Counts entries by feature and lists the features that occur: by looking at all of them where that is
 * cheap, so that rows are visited in the order of memory, else as they are met. */
static uint32_t list_rows(asgdi_columns *c, const asgd_batch *x, uint64_t entries)
{
    uint32_t *restrict count = c->count, *restrict rows = c->rows, n = 0;
    const bool look_at_all = c->features / 4 < entries;
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t *idx = x->idx + x->begin[i], len = x->len[i];
        if (look_at_all)
            for (uint32_t j = 0; j < len; j++) count[idx[j]]++;
        else
            for (uint32_t j = 0; j < len; j++)
                if (count[idx[j]]++ == 0) rows[n++] = idx[j];
    }
    if (look_at_all)
        for (uint32_t f = 0; f < c->features; f++) {
            rows[n] = f;
            n += count[f] > 0;
        }
    return n;
}

bool asgdi_transpose(asgdi_columns *c, const asgd_batch *x, asgdk_columns *out)
{
    uint64_t entries = 0;
    for (uint32_t i = 0; i < x->n; i++) entries += x->len[i];
    if (entries > c->max_entries || x->features > c->features) return false;

    if (x->n == 1) { /* each row once already */
        const uint64_t at = x->begin[0];
        for (uint32_t j = 0; j < entries; j++) {
            c->rows[j]  = x->idx[at + j];
            c->start[j] = j;
            c->ex[j]    = 0;
            c->val[j]   = x->val ? x->val[at + j] : 1.0f;
        }
        c->start[entries] = (uint32_t)entries;
        *out              = (asgdk_columns){
                         .n = (uint32_t)entries, .rows = c->rows, .start = c->start, .ex = c->ex, .val = c->val};
        return true;
    }
    const uint32_t n  = list_rows(c, x, entries);
    uint32_t       at = 0;
    for (uint32_t j = 0; j < n; j++) {
        const uint32_t here  = c->count[c->rows[j]];
        c->count[c->rows[j]] = at; /* from now on: where its next entry goes */
        c->start[j]          = at;
        at += here;
    }
    c->start[n]              = at;
    uint32_t *restrict count = c->count, *restrict ex = c->ex;
    float *restrict val = c->val;
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t *idx = x->idx + x->begin[i], len = x->len[i];
        const float    *of = x->val ? x->val + x->begin[i] : NULL;
        for (uint32_t j = 0; j < len; j++) {
            const uint32_t to = count[idx[j]]++;
            ex[to]            = i;
            val[to]           = of ? of[j] : 1.0f;
        }
    }
    for (uint32_t j = 0; j < n; j++) c->count[c->rows[j]] = 0;
    *out = (asgdk_columns){.n = n, .rows = c->rows, .start = c->start, .ex = c->ex, .val = c->val};
    return true;
}
