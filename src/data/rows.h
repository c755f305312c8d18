/* rows.h -- sparse examples as a text format makes them, one after another.
 *
 *     asgdi_rows_begin(r, y, most)            an example, of at most `most` entries
 *     asgdi_rows_entry(r, feature, field, x)  feature: number in the file, or hash
 *     asgdi_rows_label(r, label)              label_sets only; y is then 0
 *     asgdi_rows_end(r)
 *
 * Entries may come in any order and a feature may stand twice: values of one feature are added up
 * when rows are made final (by settle() where there is an encoding, else by the pipeline).
 * A format that leaves an example unfinished (an error) just does not call end(). */
#ifndef ASGDI_ROWS_H
#define ASGDI_ROWS_H

#include "base/mem.h"
#include "data/encoding.h"
#include "kern/kern.h"

typedef struct asgdi_rows {
    /* set before parsing */
    const asgd_kern     *k;
    const asgd_encoding *encoding;   /* given: entries become its rows, unseen ones are dropped */
    bool                 fielded;    /* fields are kept */
    bool                 label_sets; /* labels are kept */
    uint32_t             dense; /* not 0: entries are this many values a row, idx is not kept */

    uint64_t  n, entries, labels; /* complete ones */
    uint64_t  at, label_at;       /* where the next entry and label go */
    float    *y, *weight;         /* [n] */
    uint32_t *len, *label_len;    /* [n] */
    uint32_t *idx;
    float    *val;
    uint16_t *field;
    uint32_t *label;
    size_t    room_n, room_entries, room_labels;
    uint64_t  dropped;
    uint32_t  max_feature, max_label; /* largest seen, of complete and incomplete examples */
    uint32_t  max_field;
    bool      any;       /* an entry was seen */
    bool      valued;    /* some value is not 1 */
    bool      weighted;  /* some weight is not 1 */
    bool      no_memory; /* settle() lost an example's entries for want of memory */
    /* with an encoding: complete ones that are still as the file has them */
    uint64_t  settled, settled_entries; /* before them */
    uint64_t *order;                    /* for sorting */
    size_t    room_order;
} asgdi_rows;

/* false: no memory. */
bool asgdi_rows_grow(asgdi_rows *r, uint64_t entries);
bool asgdi_rows_label(asgdi_rows *r, uint32_t label);
void asgdi_rows_end(asgdi_rows *r);
/* With an encoding: entries become rows, sorted, equal ones added up.  To be called behind the last
 * example; end() does it now and then.  Without an encoding entries stay as they came. */
void asgdi_rows_settle(asgdi_rows *r);
void asgdi_rows_free(asgdi_rows *r);
/* Forgets the examples, keeps the memory. */
void asgdi_rows_clear(asgdi_rows *r);

/* Sorts the entries of one example by idx; true: some are equal, and follow each other in the order
 * that they had.  Indices are below 2^31; val and field may be NULL; room is for 2n keys. */
bool asgdi_entries_sort(const asgd_kern *k, uint32_t *idx, float *val, uint16_t *field, uint32_t n,
                        uint64_t *room);
/* Adds up equal ones of a sorted example (field: the first's); returns how many are left. */
uint32_t asgdi_entries_add_up(uint32_t *idx, float *val, uint16_t *field, uint32_t n);

static inline bool asgdi_rows_begin(asgdi_rows *r, float y, uint64_t most)
{
    r->at       = r->entries;
    r->label_at = r->labels;
    if ((r->n + 1 > r->room_n || r->entries + most > r->room_entries) && !asgdi_rows_grow(r, most))
        return false;
    r->y[r->n]      = y;
    r->weight[r->n] = 1;
    return true;
}

/* After begin(). */
static inline void asgdi_rows_weight(asgdi_rows *r, float weight)
{
    r->weight[r->n] = weight;
    r->weighted     = r->weighted || weight != 1;
}

/* There is room for the `most` entries of begin(). */
static inline void asgdi_rows_entry(asgdi_rows *r, uint32_t feature, uint32_t field, float x)
{
    uint64_t at = r->at++;
    r->any      = true;
    r->val[at]  = x;
    if (x != 1) r->valued = true;
    if (r->dense) return;
    r->idx[at] = feature;
    if (feature > r->max_feature) r->max_feature = feature;
    if (r->fielded) {
        r->field[at] = (uint16_t)field;
        if (field > r->max_field) r->max_field = field;
    }
}

#endif
