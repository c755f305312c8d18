/* snapshot.c -- a copy of the masters while everything goes on, for a checkpoint: S of each block, as a full round
 * leaves it. */
#include "exchange/core.h"

#include "base/mem.h"

void asgdi_exchange_snapshot_begin(asgdi_exchange *x)
{
    if (x->snapshot == ASGDI_SNAPSHOT_WANTED || x->snapshot == ASGDI_SNAPSHOT_UNDER_WAY) return;
    for (int t = 0; t < x->p->n_tables; t++) {
        const asgdi_table *table = &x->p->table[t];
        if (!x->snap[t])
            x->snap[t] = asgdi_calloc((size_t)table->info.rows * table->stride, sizeof(float));
        if (!x->snap[t]) {
            asgdi_x_fail(x, "no memory for a snapshot of the parameters");
            return;
        }
    }
    x->snapshot = ASGDI_SNAPSHOT_WANTED;
}

bool asgdi_exchange_snapshot_ready(const asgdi_exchange *x)
{
    return x->snapshot == ASGDI_SNAPSHOT_READY;
}

void asgdi_exchange_snapshot(const asgdi_exchange *x, float *const **rows,
                             const asgdi_ranges **done)
{
    *rows = x->snap;
    *done = &x->snap_done;
}

/* At the beginning of a full round: whatever is known to be done now will be in it. */
void asgdi_snapshot_note(asgdi_exchange *x)
{
    asgdi_ranges_clear(&x->snap_done);
    if (!asgdi_ranges_add_all(&x->snap_done, asgdi_exchange_done_set(x)))
        asgdi_x_fail(x, "no memory for a snapshot");
    x->snapshot = ASGDI_SNAPSHOT_UNDER_WAY;
}

void asgdi_snapshot_copy(asgdi_exchange *x, const asgdi_block *b)
{
    if (x->snapshot != ASGDI_SNAPSHOT_UNDER_WAY) return;
    memcpy(x->snap[b->table] + b->first * b->stride, asgdi_x_s(x, b),
           asgdi_x_floats(b) * sizeof(float));
}
