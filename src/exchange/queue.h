/* queue.h -- who does which positions of a run of many processes.
 *
 * Each of the positions 0..total-1 is exactly one of
 *
 *     free    nobody's yet
 *     held    leased to one process, which has not said that it is done
 *     done    its progress is safely in the masters
 *
 * One process, the keeper, has the queue.  When a process is lost, what it held is free again. When
 * the keeper is lost, another makes a new queue and tells it what each survivor, itself included,
 * knows to be done and holds; the rest is free.  So nothing is done twice that any survivor knows
 * to be done, nothing is held by two, and what the dead held is not forgotten. */
#ifndef ASGDI_QUEUE_H
#define ASGDI_QUEUE_H

#include "exchange/ranges.h"

typedef struct asgdi_queue {
    uint64_t      total;
    uint32_t      batch, size;
    asgdi_ranges  done, free;
    asgdi_ranges *held; /* [size], by process */
} asgdi_queue;

/* Where a function returns bool, false is for lack of memory alone, unless it says otherwise.  Of
 * what was asked for a part may then be done, and each position is still exactly one of the three;
 * the same call may be made again.  Everywhere, process < size. */

/* All positions free.  batch, size >= 1.  false: nothing to free. */
bool asgdi_queue_init(asgdi_queue *q, uint64_t total, uint32_t batch, uint32_t size);
void asgdi_queue_free(asgdi_queue *q); /* all zeros: harmless */

/* The lowest free positions become held: at most `want`, made a multiple of the batch and at least
 * one; fewer where the free stretch ends, as that of a lost process may in the midst of a batch.
 * false: none is free, or no memory; nothing is changed, and *out is empty. */
bool asgdi_queue_take(asgdi_queue *q, uint32_t process, uint64_t want, asgdi_range *out);
/* What the process holds of r becomes done; the rest of r stays what it is. */
bool asgdi_queue_done(asgdi_queue *q, uint32_t process, asgdi_range r);
/* What the process held becomes free; returns how many positions.  Needs no memory. */
uint64_t asgdi_queue_lost(asgdi_queue *q, uint32_t process);

/* For a new keeper, in any order; positions at and after `total` are ignored.  Done wins over held
 * and free.  Held wins over free; of what another process holds already it stays the holder, and
 * *conflicts is how many positions those are: asgdi_queue_held_set() says what this process is left
 * with. */
bool asgdi_queue_learn_done(asgdi_queue *q, const asgdi_ranges *s);
bool asgdi_queue_learn_held(asgdi_queue *q, uint32_t process, const asgdi_ranges *s,
                            uint64_t *conflicts);

/* How many positions to take for a process that does `rate` of them a second: work for so many
 * seconds, but no more than a share of what is free, so that chunks shrink toward the end and all
 * end together. A multiple of the batch, at least one.  processes: that take from the queue. */
uint64_t asgdi_queue_chunk(const asgdi_queue *q, double rate, double seconds, uint32_t processes);

bool                asgdi_queue_all_done(const asgdi_queue *q);
const asgdi_ranges *asgdi_queue_done_set(const asgdi_queue *q);
const asgdi_ranges *asgdi_queue_held_set(const asgdi_queue *q, uint32_t process);
uint64_t            asgdi_queue_count_done(const asgdi_queue *q);
uint64_t            asgdi_queue_count_held(const asgdi_queue *q, uint32_t process);
uint64_t            asgdi_queue_count_free(const asgdi_queue *q);

#endif
