/* lease.c -- chunks by guided self-scheduling (Polychronopoulos and Kuck 1987): a share of what is
 * left, never less than one batch, so that a slow worker cannot hold up the end by more than a step. */
#include "engine/lease.h"

asgdi_lease asgdi_lease_take(asgdi_leases *l, asgdi_range *out)
{
    if (asgdi_load_relaxed(&l->next_open) < l->n_open) {
        uint32_t i = asgdi_add_relaxed(&l->next_open, 1);
        if (i < l->n_open) {
            *out = l->open[i];
            return ASGDI_LEASED;
        }
    }
    uint64_t next = asgdi_load_relaxed(&l->next);
    for (;;) {
        if (next >= l->total) return ASGDI_ALL_DONE;
        uint64_t gate = asgdi_load_acquire(&l->gate);
        if (next >= gate) return ASGDI_AT_GATE;
        uint64_t chunk = (l->total - next) / (4 * (uint64_t)l->workers);
        if (chunk > l->most) chunk = l->most;
        chunk       = chunk < l->batch ? l->batch : chunk / l->batch * l->batch;
        uint64_t hi = next + chunk;
        if (hi > gate) hi = gate; /* the batch before a gate may be a short one */
        if (asgdi_cas_relaxed(&l->next, &next, hi)) {
            *out = (asgdi_range){next, hi};
            return ASGDI_LEASED;
        }
    }
}
