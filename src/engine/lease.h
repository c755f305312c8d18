/* lease.h -- who does which examples: chunks of a run, handed out so that fast workers do more.
 *
 * A run is positions 0..total-1; position p is example permute(epoch, p mod n) of epoch p / n.  A worker
 * leases a chunk and works through it; nobody waits for anybody at the end of an epoch.  Every position
 * is leased exactly once: by the atomic cursor, or, after a resume, from the list of what was open. */
#ifndef ASGDI_LEASE_H
#define ASGDI_LEASE_H

#include "base/atomic.h"
#include "base/status.h"
#include "exchange/ranges.h"

typedef struct asgdi_leases {
    uint64_t total;
    uint32_t batch;   /* chunks are multiples of it */
    uint32_t workers; /* chunks shrink as total - next does, so that all end together */
    uint32_t most;    /* examples a chunk has at most */
    /* Positions at and after `gate` are not leased yet: the control loop evaluates there first. */
    _Alignas(64) asgdi_u64 gate;
    _Alignas(64) asgdi_u64 next;
    asgdi_range *open; /* of a resumed run, done first */
    uint32_t     n_open;
    asgdi_u32    next_open;
} asgdi_leases;

typedef enum asgdi_lease { ASGDI_LEASED, ASGDI_AT_GATE, ASGDI_ALL_DONE } asgdi_lease;

/* [any] */
asgdi_lease asgdi_lease_take(asgdi_leases *l, asgdi_range *out);

#endif
