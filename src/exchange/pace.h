/* pace.h -- is the network what the exchange waits for, and how many local steps hide it?  Pure functions.
 *
 * Where it is not, coding deltas coarsely gains nothing.  What the network carries is the most that was carried
 * lately (as in BBR: Cardwell, Cheng, Gunn, Yeganeh, Jacobson 2016), in the time beyond that of the fastest answer:
 * processes that wait for a processor make answers late now and then, but not always, so crowded cores are not taken
 * for a slow network; a latency alone neither, since only answers that waited in a queue of others count. */
#ifndef ASGDI_PACE_H
#define ASGDI_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct asgdi_pace {
    uint64_t moved;         /* bytes, both ways, of deltas that were answered, and of the answers */
    double   least;         /* seconds: the fastest answer of all */
    double   best, best_at; /* bytes/s, the most of the last seconds; 0: not known */
    double   last;          /* the most of the seconds before those */
    double   raw;           /* bytes of a round if nothing were coded: running mean */
    uint32_t votes;         /* rounds in a row that wanted it otherwise */
    bool     coarse;        /* the network is what a round waits for: code */
} asgdi_pace;

/* An answer: `bytes` of it and the delta, after `seconds`; moved_before: p->moved when that was sent. */
void asgdi_pace_answer(asgdi_pace *p, double now, double seconds, uint64_t bytes,
                       uint64_t moved_before);
/* A round has ended, in which deltas and answers would have had `raw` bytes with nothing coded, and which would
 * have been begun `wait` seconds after the last one if the network took no time. */
void asgdi_pace_round(asgdi_pace *p, double raw, double wait);
/* Sync: updates between rounds, so that computing takes as long as the network; answer: seconds that it takes,
 * step: seconds of an update. */
uint32_t asgdi_pace_steps(double answer, double step, uint32_t most);

#endif
