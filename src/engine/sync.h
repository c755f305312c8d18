/* sync.h -- synchronous steps: everybody computes a gradient of the same parameters, the first `need`
 * arrivals are averaged and applied, the rest are dropped (backup workers, Chen et al. 2016). */
#ifndef ASGDI_SYNC_H
#define ASGDI_SYNC_H

#include "base/atomic.h"

struct asgdi_worker;

/* One step is: COMPUTE until `need` have arrived, then APPLY, each of them a slice of the rows, until all
 * have applied; then the next step.  All fields under the lock but `phase`, which is also polled:
 * phase = 2 * step + (1 while applying). */
typedef struct asgdi_sync {
    asgdi_u32             lock;
    asgdi_u64             phase;
    uint32_t              active, backup; /* workers that have data; of these, not waited for */
    uint32_t              need;           /* decided when the step turns to APPLY */
    uint32_t              arrived, applied;
    struct asgdi_worker **part; /* [workers] the arrivals */
} asgdi_sync;

/* Steps until the leases end, the gate closes or the run stops; the worker loop of sync mode. */
void asgdi_sync_work(struct asgdi_worker *w);

#endif
