/* pause.h -- corrections of shared rows, made by the workers between their steps.
 *
 * A worker that overwrote a correction would take from the parameters what other processes had learnt, and
 * the exchange would believe it to be there.  So no worker may be inside a step while rows are corrected
 * that workers write in place.  The thread of the group calls; each worker that comes by between steps
 * counts itself in; from the moment that the last one has come, all of them make the corrections, piece by
 * piece, and go on when the last piece is made.  One worker alone waits for nobody.
 *
 * Nobody is waited for who does not come: where the run is stopped, workers leave a pause that was not
 * complete, and what was to be made is made by the thread that called, after they have ended. */
#ifndef ASGDI_PAUSE_H
#define ASGDI_PAUSE_H

#include "base/atomic.h"
#include "exchange/exchange.h"
#include "params/access.h"

struct asgdi_run;
struct asgdi_worker;

typedef struct asgdi_to_correct {
    const asgdi_correction *correction;
    uint32_t                n, piece; /* piece: taken at once */
    bool                    replace;  /* some are */
} asgdi_to_correct;

typedef struct asgdi_pause {
    _Alignas(ASGDI_LINE) asgdi_u64 arrived; /* number of the call << 32 | workers that are there */
    asgdi_u64        next; /* number << 32 | the first correction that nobody took */
    asgdi_u32        made; /* corrections */
    asgdi_u32        over; /* number of the latest call that is over */
    asgdi_to_correct todo; /* written before a call, read after it */
} asgdi_pause;

/* The correction is of private rows alone and adds to them, which needs no pause.  Where rows are replaced,
 * what workers have learnt since is not wanted either, so that they have to stand still and forget it. */
bool asgdi_is_private(const struct asgdi_run *r, const asgdi_correction *c);
/* [group]  Makes those that are not private.  Not before the last one is over.  The corrections are to stay as they are till then. */
void asgdi_pause_call(struct asgdi_run *r, const asgdi_correction *c, uint32_t n);
bool asgdi_pause_is_over(struct asgdi_run *r);
/* [worker]  Takes part, where there is a call.  Returns the seconds that it took. */
double asgdi_pause_attend(struct asgdi_worker *w);

static inline void asgdi_correct(const asgdi_access *a, const asgdi_correction *c)
{
    asgdi_access_change(a, c->table, c->first, c->n, c->replace, c->by);
}

#endif
