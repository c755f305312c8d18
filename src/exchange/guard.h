/* guard.h -- does training go wrong?  A pure function of the losses that processes tell.
 *
 * The losses are averaged over windows of so many examples.  What is wrong is told by comparison with the run itself:
 * a window is bad if its loss is above twice the best one's and three quarters of what was learnt since the beginning
 * are lost again, or if half of its examples, or of those of one process, had a loss that is none.  Two bad windows one after another, that do
 * not come back, ask for something to be done; after that one window is not looked at.
 *
 * News of losses comes late, and from one process later than from another.  In the order in which it comes, a run whose losses fall
 * may seem to rise: what a process had at its beginning is heard of when others are far on.  So losses count only if they
 * came after at least as much progress as the best ones did: those of less cannot tell that the run has got worse since.  Progress
 * is counted in examples of all processes. */
#ifndef ASGDI_GUARD_H
#define ASGDI_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/* What workers had so far, in all: sums over examples.  bad: examples whose loss was not finite, or beyond all
 * measure; they are in `loss` with the largest one that is not. */
typedef struct asgdi_losses {
    double   loss, weight;
    uint64_t examples, bad;
    double   first; /* mean loss of the first steps, before anything was learnt; 0: not known */
    uint64_t known; /* examples of all processes that were known of when this was told */
} asgdi_losses;

typedef struct asgdi_guard {
    asgdi_losses window;
    double       best, last; /* mean losses of windows; last: of the one before */
    double       first;      /* before anything was learnt, by all that is known */
    double       starts;     /* sum of `first` of those that told it */
    uint32_t     n_starts;
    uint64_t     windows;  /* that were looked at */
    uint64_t since_good;   /* windows since a state was called good, or since something was done */
    uint32_t streak, skip; /* bad ones one after another; windows not to be looked at */
    uint64_t since;        /* progress when the best was known, or something was done */
    bool     broken;       /* in this window: a process whose losses are none */
    bool     fine;         /* the last window that was looked at was, after what was done last */
} asgdi_guard;

typedef enum asgdi_finding {
    ASGDI_GUARD_NOTHING,
    ASGDI_GUARD_GOOD,   /* what the masters are is worth coming back to */
    ASGDI_GUARD_WORSE,  /* something is to be done */
    ASGDI_GUARD_BROKEN, /* and it will not come back by itself: losses are none */
} asgdi_finding;

/* More of what workers of one process had; a window ends after `examples`.  more->known: what that process knew of before
 * it had the first of them; now: what is known of here. */
asgdi_finding asgdi_guard_add(asgdi_guard *g, uint64_t examples, const asgdi_losses *more,
                              uint64_t now);
/* Something was done: what was had before says nothing any more. */
void asgdi_guard_again(asgdi_guard *g, uint64_t now);

#endif
