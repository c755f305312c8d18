/* resume.h -- what a checkpoint holds beside the parameters: where in the data the run was, and what the
 * control loop knew.  Random numbers need nothing: they are functions of the seed and the position. */
#ifndef ASGDI_RESUME_H
#define ASGDI_RESUME_H

#include "base/status.h"
#include "exchange/exchange.h"

typedef struct asgdi_state {
    uint64_t examples, dropped; /* done */
    double   seconds;           /* trained */
    uint64_t next_eval;
    double   best_loss; /* NaN: none yet */
    uint32_t without_better;
    /* in a group: examples that the parameters have learnt from more often than what is said to be done, and less */
    uint64_t repeated, missing;
} asgdi_state;

struct asgdi_run;

/* Workers are paused or have ended. */
asgd_status asgdi_resume_save(struct asgdi_run *run, const asgdi_state *state);
/* In a group, at its end: the parameters are those of all. */
asgd_status asgdi_resume_save_shared(struct asgdi_run *run, const asgdi_ranges *done,
                                     const asgdi_state *state);
/* In a group, as it goes on: this process's part of a snapshot; and, when all parts of it are written, all of
 * it, with the positions that any of them says are done; what state says of examples is not looked at. */
asgd_status asgdi_resume_save_part(struct asgdi_run *run, const asgdi_snapshot *part,
                                   asgdi_part *out);
asgd_status asgdi_resume_save_parts(struct asgdi_run *run, uint64_t number, const asgdi_part *part,
                                    uint32_t n, const asgdi_state *state);
/* In a group: positions that the loaded run had done; none where nothing was loaded. */
asgd_status asgdi_resume_done(const struct asgdi_run *run, asgdi_ranges *out);
/* Before workers start: fills parameters, run->before, run->checkpoint and the leases; leaves them alone
 * where the folder holds no checkpoint.  EMISMATCH: made with another model, data, batch, seed, rule. */
asgd_status asgdi_resume_load(struct asgdi_run *run);

#endif
