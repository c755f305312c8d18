/* tally.h -- the features that occur, numbered as they come and counted, while text is parsed. */
#ifndef ASGDI_TALLY_H
#define ASGDI_TALLY_H

#include <pthread.h>
#include <stdbool.h>

#include "base/atomic.h"

/* What a thread counts. */
typedef struct asgdi_tally_own {
    _Alignas(ASGDI_LINE) uint8_t *low; /* [room] by id: what is counted since the last 256 */
    uint32_t *high;                    /* [room] whole 256s */
    uint32_t  room;
    uint32_t  next, end; /* ids that it may give out */
} asgdi_tally_own;

typedef struct asgdi_tally {
    asgdi_tally_own *own; /* [threads] */
    uint32_t         threads;
    bool             locks;
    pthread_rwlock_t growing; /* held for writing while the table grows */
    asgdi_u64       *slot;    /* feature << 32 | id + 1; 0: empty */
    int              shift;   /* 32 - log2(slots) */
    uint32_t        *feature; /* [room] by id */
    asgdi_u64        held;    /* slots in use, or that a thread may come to use */
    asgdi_u32        ids;     /* given out, in blocks; not all are in use */
} asgdi_tally;

/* false: no memory; free() also then. */
bool asgdi_tally_init(asgdi_tally *t, uint32_t threads);
void asgdi_tally_free(asgdi_tally *t);
/* Counts features idx[0..n), and puts their ids there.  Thread k of the threads, all at once.  false: no
 * memory. */
bool asgdi_tally_take(asgdi_tally *t, uint32_t k, uint32_t *idx, uint64_t n);

/* ---- when all are counted ---- */

static inline uint64_t asgdi_tally_slots(const asgdi_tally *t)
{
    return UINT64_C(1) << (32 - t->shift);
}
/* The id of a feature that has one. */
uint32_t asgdi_tally_find(const asgdi_tally *t, uint32_t feature);
/* How often id occurs, at most UINT32_MAX. */
uint32_t asgdi_tally_count(const asgdi_tally *t, uint32_t id);

#endif
