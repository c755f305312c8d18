/* params.h -- tables of rows: the master copy, and each worker's view of it.
 *
 * A table is one slab of rows, stride floats apart: [w: pad][merged slot 0: slot]...  Rows below
 * n_own of a view are the worker's own copy, with a second copy `seen` of the master as it was when
 * last merged; own - seen is the worker's unmerged progress.  A merge takes it to the master and
 * brings the others' progress back, block by block under the block's lock:
 *
 *     d = own - seen;  master += d;  own = seen = master
 *
 * Shared rows are the master's own.  `--share shared`, `hot` and `replica` are n_own = 0, some,
 * all. */
#ifndef ASGDI_PARAMS_H
#define ASGDI_PARAMS_H

#include "base/atomic.h"
#include "kern/kern.h"
#include "params/side.h"

typedef struct asgdi_table {
    asgd_table info;
    uint32_t   pad;    /* floats of w in a row */
    uint32_t   slot;   /* floats of each merged slot: pad, or fewer (ASGD_TABLE_QUADS) */
    size_t     stride; /* floats from row to row: pad + merged slots * slot */
    float     *master; /* [rows][stride] */
} asgdi_table;

typedef struct asgdi_params {
    int            n_tables;
    asgdi_table    table[ASGD_MAX_TABLES];
    asgd_rule_kind rule; /* whose slots the rows hold; DEFAULT: none */
    asgdk_slots    slots;
    uint64_t       seed; /* that w was last filled with */
    asgdi_side     side; /* of the run that they are of, as far as its control loop knows */
} asgdi_params;

/* Parts of a row: 0 is w, then come the merged slots. */
typedef struct asgdi_span {
    uint32_t at, n; /* floats of the row */
} asgdi_span;
static inline asgdi_span asgdi_row_part(const asgdi_table *t, uint32_t part)
{
    if (part == 0) return (asgdi_span){0, t->pad};
    return (asgdi_span){t->pad + (part - 1) * t->slot, t->slot};
}

/* Allocates rows for w alone and fills them as the tables say; seed decides the random ones. */
asgd_status asgdi_params_init(asgdi_params *p, const asgd_table *tables, int n, uint64_t seed);
void asgdi_params_fill(asgdi_params *p, uint64_t seed); /* (re)initialises every w, zeroes slots */
/* Makes room for a rule's slots, zeroed, keeping w.  DEFAULT: takes them away. */
asgd_status asgdi_params_set_rule(asgdi_params *p, asgd_rule_kind rule);
void        asgdi_params_free(asgdi_params *p);

/* ---- private rows ---- */

/* What one lock covers: about 32 KiB; of a table with shared rows no more than so many rows. */
enum { ASGDI_BLOCK_FLOATS = 8192, ASGDI_BLOCK_ROWS = 64 };

/* Locks of the master's private-row blocks; shared by all workers. */
typedef struct asgdi_locks asgdi_locks;

typedef struct asgdi_private {
    uint64_t n_own[ASGD_MAX_TABLES];
    float   *own[ASGD_MAX_TABLES];   /* [n_own][stride]; NULL where n_own is 0 */
    float   *seen[ASGD_MAX_TABLES];  /* like own */
    float   *local[ASGD_MAX_TABLES]; /* [rows][pad * local slots]; NULL where the rule has none */
    uint32_t turn; /* where merges begin, so that workers do not queue at one block; 0: not known */
    uint32_t round; /* merges of due blocks so far */
} asgdi_private;

asgd_status asgdi_locks_new(asgdi_locks **out, const asgdi_params *p, const uint64_t *n_own);
void        asgdi_locks_free(asgdi_locks *l);

/* A worker's private rows, loaded from the master.  Call it on the worker's own thread, so that the
 * pages lie near its core; no worker may merge before all have loaded. */
asgd_status asgdi_private_init(asgdi_private *w, const asgdi_params *p, const uint64_t *n_own);
void        asgdi_private_free(asgdi_private *w);
void        asgdi_private_views(const asgdi_private *w, const asgdi_params *p, asgd_view *views);

/* One merge of all private rows.  workers: divisor of slots that are averaged; weight: of what is
 * summed, 1 unless the progress is very stale. */
void asgdi_merge(asgdi_private *w, asgdi_params *p, asgdi_locks *l, const asgd_kern *k,
                 uint32_t workers, float weight, const asgdk_step *step);
/* The same for those blocks whose turn it is.  Of a table with shared rows, whose rows are numbered by falling
 * frequency, block b has it every 2^floor(log2(b + 1))-th time, at least every ASGDI_RAREST-th: a row is then
 * merged about as often for each time that it is touched, whatever its rank. */
enum { ASGDI_RAREST = 64 };
void asgdi_merge_due(asgdi_private *w, asgdi_params *p, asgdi_locks *l, const asgd_kern *k,
                     uint32_t workers, float weight, const asgdk_step *step);
/* What the worker has learnt since its last merge is not wanted: own = seen = master, and its own slots begin
 * anew. */
void asgdi_private_forget(asgdi_private *w, const asgdi_params *p, asgdi_locks *l);
/* Copies the master (w alone, stride pad) while workers run: each block of private rows is
 * consistent, shared rows are as they come. */
void asgdi_params_snapshot(const asgdi_params *p, asgdi_locks *l, const uint64_t *n_own,
                           const asgd_kern *k, asgdi_params *to);

#endif
