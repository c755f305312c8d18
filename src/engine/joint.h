/* joint.h -- what a run of a group shares with the group's thread (group.c), which drives the exchange.
 *
 * The run's workers and its control loop know of the exchange only what is here; the thread of the group
 * knows of the run only what is here and the workers' published counters. */
#ifndef ASGDI_JOINT_H
#define ASGDI_JOINT_H

#include "engine/lease.h"
#include "engine/pause.h"
#include "params/access.h"

/* Why a run is ended, as the exchange spreads it: an asgd_end, or a failure of a process. */
enum { ASGDI_WHY_FAILED = 1 << 8 }; /* + status, + process << 16 */

/* What the exchange reads rows with; lives as long as it does. */
typedef struct asgdi_row_reader {
    const asgdi_access *access; /* NULL: the run is over */
} asgdi_row_reader;

enum { ASGDI_PART_NONE, ASGDI_PART_THERE, ASGDI_PART_WRITTEN };

typedef struct asgdi_joint {
    struct asgdi_run *run;
    asgdi_exchange   *exchange; /* both are the group's, once it drives them */
    asgdi_row_reader *reader;
    asgdi_access      access; /* the group's thread's */
    bool              driven; /* it was handed over */
    uint64_t          number; /* of the run */
    double rate_least; /* examples/s to ask for work by: each worker is to have a step or two */
    asgdi_stock  stock;
    asgdi_ranges before; /* positions that the run this one goes on from had done */
    asgdi_pause  pause;

    /* told by the group's thread */
    _Alignas(ASGDI_LINE) asgdi_u32 stage; /* asgdi_stage */
    asgdi_u32 speaks;
    asgdi_u32 stopped;                    /* the reason that all agreed on; 0: none */
    asgdi_u64 examples;                   /* done by all */
    asgdi_u64 in[ASGDI_SET_WORDS];        /* who goes on together; words may be of two views */
    asgdi_u64 allowance;                  /* updates that this process may begin */
    asgdi_u32 interventions;              /* of the guard */
    asgdi_u32 hopeless;                   /* it knows no more, and this process speaks */
    asgdi_u32 corrections;                /* of private rows, so far */
    asgdi_u32 let_go;                     /* it has; the exchange then is the group's */
    _Alignas(ASGDI_LINE) asgdi_u64 begun; /* the workers': of those, where they are bounded */
    /* asked by the run */
    asgdi_u32 stop;  /* end it, for this reason */
    asgdi_u32 leave; /* let go of this */

    /* A snapshot for a checkpoint.  The run asks for one by its number, not 0, where it speaks; the group's thread sets
     * that back to 0 and then says in snapshot_state what comes of it.  Where there is a part to be written, part is the
     * run's from THERE till it says WRITTEN. */
    asgdi_u64      snapshot_asked;
    asgdi_u32      snapshot_state, part_step;
    asgdi_snapshot part;
    bool           part_good;
    asgdi_part     part_told, *parts; /* parts [processes] of a whole one */
    uint32_t       n_parts;
    uint64_t       snapshot; /* its number */

    /* Standstills (asgd_notice).  The group's thread makes `stall` odd when one is to be told of, even when its
     * end is, and the run tells it and sets `stall_told` to the same: while they differ, the text is the run's
     * to read, otherwise the group's thread's to write. */
    asgdi_u32 stall, stall_told;
    double    stall_after; /* seconds */
    char     *text;        /* [text_bytes]; NULL: nobody wants to be told */
    size_t    text_bytes;

    /* of the end; written before let_go */
    asgdi_ranges          done; /* positions, as far as this process knows */
    asgdi_exchange_counts counts;
    bool                  unlike; /* another process has other data or options */
    uint32_t              lost;   /* processes */
    char                  why[512];
} asgdi_joint;

/* joint_config.c: the exchange's settings for this run, but for what an earlier run has done.  EINVAL: what cannot be
 * done in a group. */
asgd_status asgdi_joint_config(const struct asgdi_run *r, asgdi_exchange_config *out);
/* What is said of processes of a run that has one alone is as wrong as if it had several. */
asgd_status asgdi_joint_alone(const struct asgdi_run *r);
double      asgdi_joint_rate_least(const struct asgdi_run *r); /* examples/s to ask for work by */

/* Before the workers start, after prepare(): makes run->joint and the exchange.  EINVAL: what cannot be done
 * in a group. */
asgd_status asgdi_joint_new(struct asgdi_run *r);
/* Hands it to the group's thread; the workers are ready. */
asgd_status asgdi_joint_begin(struct asgdi_run *r);
/* Asks for the end of the run in all processes. */
void asgdi_joint_stop(struct asgdi_run *r, uint32_t why);
/* The workers have ended, or will: waits until the exchange has too, and takes back what the group's thread
 * was given.  The parameters are final then.  Fails where the run did: ELOST, or what another process
 * failed with.  wait: false: leaves at once. */
asgd_status asgdi_joint_end(struct asgdi_run *r, bool wait);
/* Tells the run's observer of a standstill, or of its end, if there is one that it was not told of. */
void asgdi_joint_watch(struct asgdi_run *r);
/* Which processes the run is of, now; said of the parameters, too, when it ends. */
asgdi_side asgdi_joint_side(const struct asgdi_run *r);
/* Asks all processes for a snapshot, by this number or a higher one; not 0. */
void asgdi_joint_ask_snapshot(struct asgdi_run *r, uint64_t number);
/* Of the last one that was asked for: when whole, joint->parts and ->snapshot say what it is. */
asgdi_snapshot_state asgdi_joint_snapshot(struct asgdi_run *r);
/* What this process is to write, until it says that it was; NULL: nothing. */
const asgdi_snapshot *asgdi_joint_part(struct asgdi_run *r);
void asgdi_joint_part_written(struct asgdi_run *r, bool good, const asgdi_part *part);
void asgdi_joint_result(const struct asgdi_run *r, asgd_result *out);
void asgdi_joint_free(struct asgdi_run *r);

#endif
