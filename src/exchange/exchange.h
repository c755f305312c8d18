/* exchange.h -- asynchronous SGD over processes, as one state machine.
 *
 * Every process trains on its own copy W of the parameters.  Rows are grouped in blocks; each block has an owner
 * among the processes, which holds the master M.  For every block a process keeps S, the last master it merged:
 *
 *     read    d = W - S                          as the workers have it at that moment
 *     send    d, with the version of S, a sequence number, and how many examples W includes
 *     owner   M += weight * d;  replies with what of M the sender's S lacks
 *     apply   W += M' - (S + d);  S = M'         so W - S is exactly the progress made since the read
 *
 * docs/exchange.md tells the protocol, its invariants and why they hold.
 *
 * It decides and does nothing else: it is given the time, frames, and what the workers have done; it hands out
 * frames, corrections to W, and leases.  It reads no clock, draws no random numbers and knows no network, so
 * the simulator and the tests run this very code.  All calls are by one thread. */
#ifndef ASGDI_EXCHANGE_H
#define ASGDI_EXCHANGE_H

#include "exchange/codec.h"
#include "exchange/guard.h"
#include "exchange/link.h"
#include "exchange/ranges.h"
#include "params/params.h"
#include "params/parts.h"

typedef enum asgdi_clock {
    ASGDI_CLOCK_ASYNC, /* nobody waits */
    ASGDI_CLOCK_LAG, /* nobody is more than max_lag updates ahead of the slowest (SSP: Ho et al. 2013) */
    ASGDI_CLOCK_SYNC, /* all take local_steps updates, then wait until their sum has come */
} asgdi_clock;

typedef enum asgdi_merging {
    ASGDI_MERGE_DELTA, /* M += d: everybody's progress is added up */
    ASGDI_MERGE_MEAN,  /* M += d / processes */
    ASGDI_MERGE_ELASTIC, /* M += a d, W -= a d, with a = elastic (EASGD: Zhang, Choromanska, LeCun 2015) */
} asgdi_merging;

typedef struct asgdi_exchange_config {
    uint32_t self, size;
    uint64_t run;
    char about[512]; /* what has to be the same in all processes, in words: model, data, options */

    uint64_t            total; /* positions of the run */
    uint32_t            batch; /* leases are multiples of it */
    const asgdi_ranges *done;  /* positions that an earlier run has done; copied; NULL: none */
    double              chunk_seconds; /* of work that a lease is to last */
    uint64_t
        at_hand; /* positions that all workers together hold: before fewer are left, more is asked for */

    bool        ranked; /* rows of tables by feature are numbered by falling frequency */
    asgdi_clock clock;
    uint64_t    max_lag;     /* updates */
    uint32_t    local_steps; /* updates between rounds; 0: as often as `share` allows */
    bool
        steps_auto; /* sync: as few as leave the network half of the time, local_steps at the most */
    /* async, lag: updates of a process beyond those known to be in the masters, local_steps at the least; 0: any number */
    uint64_t ahead;
    /* and no more than this times the root of the updates that the masters have learnt: rules that divide their steps by
     * the root of what they have seen take long ones at the beginning; 0: any number */
    double ahead_root;
    double
        stretch; /* times that `ahead` grows at the most as the learning rate falls; 1 or less: it does not */
    /* and no more than this part of the updates that the masters have learnt, 8 at the least; not with ahead_root; 0: any number */
    uint32_t ramp;
    double
        last; /* part of all positions, at the end, where a process may be an eighth as far ahead; 0: nowhere */
    uint32_t
        snapshot_floats;  /* about so many a round reads for a snapshot, besides its own; 0: 2^20 */
    uint32_t      backup; /* sync: the slowest this many are not waited for */
    double        share;  /* of one core that exchanging may cost, 0..1 */
    double        round_least, round_most; /* seconds between rounds */
    asgdi_merging merging[ASGD_MAX_TABLES];
    bool
        shorten; /* delta, adagrad: owners shorten deltas by what others have seen meanwhile (master.c) */
    double       elastic;
    asgdi_coding coding;      /* of deltas, while training */
    bool         rough;       /* while training, rows in replies may be rounded */
    bool         coding_auto; /* both only where the network is what a round waits for (pace.h) */
    double       outer_momentum; /* of the owner (delayed Nesterov: Liu et al. 2024); 0: none */
    /* not for clock sync: examples between two looks at whether training goes wrong (guard.h); 0: nobody looks */
    uint64_t guard;

    /* the governor (governor.h) */
    double damp; /* staleness beyond damp times the usual one is weighted down; infinite: never */
    double drop; /* beyond so many times, dropped; infinite: never */
    double
        clip; /* norms of deltas beyond so many times the usual one are cut to it; infinite: never */

    double heartbeat; /* seconds between signs of life */
    double
        dead_after; /* a process not heard of for so many seconds is given up; 2 heartbeats at the least */
    double   join_seconds; /* the same for one that was never heard of */
    double   resend;       /* seconds after which what was not answered is sent again */
    uint32_t least;        /* fewer processes than this left: stop */
} asgdi_exchange_config;

/* What the process's own workers have done, told before each step. */
typedef struct asgdi_progress {
    uint64_t     updates, examples; /* entered into W, by this process */
    double       rate;              /* examples/s, about */
    double       cost;              /* seconds of a core that exchanging has taken so far */
    double       lr;     /* what steps are multiplied by now, of what they are at the most; 0: 1 */
    asgdi_losses losses; /* so far; for the guard */
    /* seconds that it stood still at a time, at the most, before it was told for the first time: others may have
     * heard of this process already, and given it up */
    double stood_still;
} asgdi_progress;

/* Reads rows first..first+n-1 of a table as they are now, w and merged slots: to [n][stride]. */
typedef void asgdi_read_rows(void *user, int table, uint64_t first, uint32_t n, float *to);

/* Change of rows first..first+n-1 of a table, to be made between the workers' steps:
 * W += by [n][stride], or W = by where `replace`. */
typedef struct asgdi_correction {
    int          table;
    uint64_t     first;
    uint32_t     n;
    bool         replace;
    const float *by;
} asgdi_correction;

typedef enum asgdi_stage {
    ASGDI_JOINING, /* processes are finding each other */
    ASGDI_TRAINING,
    ASGDI_FLUSHING, /* every example is done or the run was stopped: workers have stopped, deltas go out */
    ASGDI_FETCHING, /* the final parameters come in */
    ASGDI_FINISHED, /* W is the final master, the same bits in all processes that are left */
    ASGDI_OUT,    /* the others have given this process up: it must stop, its work is not wanted */
    ASGDI_FAILED, /* asgdi_exchange_why() says why */
} asgdi_stage;

typedef struct asgdi_exchange asgdi_exchange;

/* p: W, which `read` reads; its rows as they are now are what all processes begin with, and are copied.
 * user: passed to read. */
asgd_status asgdi_exchange_new(asgdi_exchange **out, const asgdi_exchange_config *c,
                               const asgdi_params *p, asgdi_read_rows *read, void *user);
void        asgdi_exchange_free(asgdi_exchange *x);

/* For who has no exchange yet, because it still reads its data: a sign of life to send now and then, the
 * caller's.  NULL: no memory. */
asgdi_frame *asgdi_exchange_here(uint32_t self, uint64_t run);

/* ---- events in; now: seconds, never going back ---- */

/* bytes of one frame, checked here: whatever is in them, nothing bad happens. */
void asgdi_exchange_receive(asgdi_exchange *x, uint32_t from, const uint8_t *data, size_t bytes,
                            double now);
void asgdi_exchange_tick(asgdi_exchange *x, double now, const asgdi_progress *p);
/* The corrections handed out last have been made. */
void asgdi_exchange_corrected(asgdi_exchange *x);
/* Reads of W from now on include these positions, which were leased to this process. */
void asgdi_exchange_done(asgdi_exchange *x, asgdi_range r);
/* The whole run is to end in good order, for this reason, not 0; any process may say so. */
void asgdi_exchange_stop(asgdi_exchange *x, uint32_t why);
/* In stage FLUSHING: the workers have stopped for good, and W includes all they did. */
void asgdi_exchange_still(asgdi_exchange *x);
/* The speaker has put what it had to put in a safe place: the others need not stand in for it any more. */
void asgdi_exchange_saved(asgdi_exchange *x);

/* ---- actions out ---- */

/* The next frame to send, the caller's now; NULL: none. */
asgdi_frame *asgdi_exchange_send(asgdi_exchange *x, uint32_t *to);
/* Corrections to make; not again before asgdi_exchange_corrected().  Returns how many; what they point to is
 * the exchange's and stays as it is till then. */
uint32_t asgdi_exchange_corrections(asgdi_exchange *x, const asgdi_correction **out);
/* Positions to work on now; false: none at the moment.  They come in the order they are to be done. */
bool asgdi_exchange_lease(asgdi_exchange *x, asgdi_range *out);
/* How many updates this process may have made in all: workers begin none beyond that, or they would be too far
 * ahead (clocks lag and sync).  It only grows. */
uint64_t asgdi_exchange_allowance(const asgdi_exchange *x);
/* What the guard has had done so far, as in asgdi_exchange_counts. */
uint32_t asgdi_exchange_interventions(const asgdi_exchange *x);
/* To who speaks: training goes wrong and the guard has no more to offer, or the run is over before what it did
 * has helped.  The caller should end the run. */
bool asgdi_exchange_is_hopeless(const asgdi_exchange *x);
/* A process that was given up since the last call; false: none. */
bool asgdi_exchange_lost(asgdi_exchange *x, uint32_t *process);

/* ---- state ---- */

asgdi_stage asgdi_exchange_stage(const asgdi_exchange *x);
const char *asgdi_exchange_why(const asgdi_exchange *x); /* of FAILED and OUT */
bool        asgdi_exchange_is_unlike(
           const asgdi_exchange *x); /* FAILED, as another has other data or options */
asgdi_set asgdi_exchange_members(const asgdi_exchange *x);    /* those that go on together */
bool      asgdi_exchange_is_speaker(const asgdi_exchange *x); /* the lowest process left */
bool asgdi_exchange_is_saved(const asgdi_exchange *x); /* the speaker, or one before it, said so */
/* All that are left have finished and the result is saved: nobody needs this process any more.  Till then it is
 * to be stepped on, for the others fetch from it. */
bool     asgdi_exchange_is_over(const asgdi_exchange *x);
uint32_t asgdi_exchange_stopped(const asgdi_exchange *x); /* the reason given to stop; 0: none */
/* Examples done by all processes, as far as is known here; and with those of the earlier run that it goes on from. */
uint64_t asgdi_exchange_examples(const asgdi_exchange *x);
uint64_t asgdi_exchange_progress(const asgdi_exchange *x);
/* Positions known here to be done, by anybody: their progress is in the masters. */
const asgdi_ranges *asgdi_exchange_done_set(const asgdi_exchange *x);

/* Examples of process q whose progress is in this process's copy of a block's master: of table and row.  At the
 * end, summed over all processes: what the row has learnt from, the dead ones' included. */
uint64_t asgdi_exchange_included(const asgdi_exchange *x, uint32_t q, int table, uint64_t row);

/* ---- a snapshot of the masters while everything goes on ----
 *
 * Each process has a part, the masters that it owns, and a set of positions.  The progress of all that are in some set
 * is in the parts, and of later ones some: who goes on from it does these again.  Each caller writes its part
 * somewhere; when all have, the snapshot is whole, and the caller of who speaks makes it valid. */

/* The part of one process. */
typedef struct asgdi_snapshot {
    uint64_t            number;
    float *const       *rows;     /* [n_tables], of the pieces of each table, one after another */
    const asgdi_piece  *piece;    /* [n] */
    const uint64_t     *included; /* [n][size] examples of each process that are in it */
    uint32_t            n;
    const asgdi_ranges *done;
} asgdi_snapshot;

typedef enum asgdi_snapshot_state {
    ASGDI_SNAPSHOT_NONE,
    ASGDI_SNAPSHOT_UNDER_WAY,
    ASGDI_SNAPSHOT_WHOLE,
    ASGDI_SNAPSHOT_FAILED, /* a process was lost, or could not write its part, or all went back meanwhile */
} asgdi_snapshot_state;

/* By who speaks: begins one of this number, or of a higher one if this was used. */
void                 asgdi_exchange_snapshot_begin(asgdi_exchange *x, uint64_t number);
asgdi_snapshot_state asgdi_exchange_snapshot_state(const asgdi_exchange *x); /* of that */
uint64_t             asgdi_exchange_snapshot_number(const asgdi_exchange *x);
/* Of a whole one: what all wrote.  Returns how many parts; out [size]. */
uint32_t asgdi_exchange_snapshot_parts(const asgdi_exchange *x, asgdi_part *out);
/* By all: this process's part, if there is one to be written; it stays as it is until the next call says that it was, or
 * could not be. */
bool asgdi_exchange_snapshot_part(const asgdi_exchange *x, asgdi_snapshot *out);
void asgdi_exchange_snapshot_written(asgdi_exchange *x, uint64_t number, bool good, uint64_t bytes,
                                     uint64_t checksum);

enum { ASGDI_TAU_BUCKETS = 48 };
typedef struct asgdi_exchange_counts {
    uint64_t rounds, deltas, replies, resent;
    uint64_t coded; /* of the deltas: sent in config.coding */
    uint32_t steps; /* sync: updates between the last two rounds, at the most */
    uint64_t bytes_out, bytes_in;
    uint64_t damped, dropped, clipped, quarantined; /* deltas */
    /* what the guard has had done: 1: deltas count less; 2: processes keep together, too; more: so many less 2
     * times all went back to a good state */
    uint32_t interventions;
    uint64_t
        undone; /* examples whose progress going back took out of a block of this process, at the most */
    uint64_t views;              /* times the membership changed */
    uint32_t processes;          /* left */
    double   tau_sum, tau_count; /* staleness of deltas, in updates */
    uint64_t tau_max;
    uint64_t tau[ASGDI_TAU_BUCKETS]; /* deltas of staleness 0, 1, 2..3, 4..7 and so on */
    /* examples of all processes, the dead ones' too, that are in this process's copy of the masters: in the block
     * that has least and in the one that has most */
    uint64_t learnt_least, learnt_most;
} asgdi_exchange_counts;
void asgdi_exchange_count(const asgdi_exchange *x, asgdi_exchange_counts *out);
/* For a watchdog: seconds for which nothing has moved, as far as is seen from here: nobody has done or exchanged
 * anything, nobody has come or been given up. */
double asgdi_exchange_stood(const asgdi_exchange *x);
/* And where everybody is: text [bytes], always terminated. */
void asgdi_exchange_describe(const asgdi_exchange *x, double now, char *text, size_t bytes);

#endif
