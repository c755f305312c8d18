/* locks.h -- the locks of the master's blocks of private rows; for the files of params alone. */
#ifndef ASGDI_LOCKS_H
#define ASGDI_LOCKS_H

#include <sched.h>

#include "params/params.h"

typedef struct asgdi_lock {
    _Alignas(ASGDI_LINE) asgdi_u32 taken;
} asgdi_lock;

struct asgdi_locks {
    asgdi_u32 workers; /* that have merged: gives each a place to start */
    struct {
        asgdi_lock *lock;
        uint64_t    rows; /* a block */
        uint64_t    blocks;
    } table[ASGD_MAX_TABLES];
};

/* Workers may outnumber cores: the holder needs one to let go. */
static inline void asgdi_lock_take(asgdi_lock *l)
{
    enum { SPINS = 100 };
    for (;;) {
        uint32_t no = 0;
        if (asgdi_cas_acq_rel(&l->taken, &no, 1)) return;
        for (int spin = 0; asgdi_load_relaxed(&l->taken); spin++) {
            if (spin < SPINS)
                asgdi_cpu_relax();
            else
                sched_yield();
        }
    }
}

static inline void asgdi_lock_drop(asgdi_lock *l)
{
    asgdi_store_release(&l->taken, 0);
}

static inline uint64_t asgdi_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
