/* run.h -- the state of one asgd_train(): what the workers and the control loop share. */
#ifndef ASGDI_RUN_H
#define ASGDI_RUN_H

#include <pthread.h>

#include "base/rng.h"
#include "base/topology.h"
#include "data/source.h"
#include "data/arrange.h"
#include "engine/grid.h"
#include "engine/joint.h"
#include "engine/lease.h"
#include "engine/resume.h"
#include "engine/staleness.h"
#include "engine/sync.h"
#include "model/model.h"
#include "params/access.h"
#include "params/checkpoint.h"
#include "rule/sink.h"

enum { ASGDI_MAX_WORKERS = 1024 };

/* What workers look at between steps, one relaxed load: GO, or some of the others. */
enum {
    ASGDI_GO      = 0,
    ASGDI_PAUSE   = 1, /* for a checkpoint */
    ASGDI_STOP    = 2,
    ASGDI_CORRECT = 4, /* pause.h */
};

typedef struct asgdi_run asgdi_run;

typedef struct asgdi_worker {
    /* Published: written by the worker alone, read by the control loop and, for staleness, by others. */
    _Alignas(ASGDI_LINE) asgdi_u64 updates; /* entered into the shared rows */
    asgdi_u64 done;                         /* examples */
    asgdi_u64 dropped;                      /* examples whose gradient sync threw away */
    asgdi_u64 loss, weight;                 /* bits of doubles: sums so far */
    asgdi_u64 bad;                          /* examples whose loss was none, where guarded */
    asgdi_u64 first_loss;                   /* bits of a double: mean of its first step; 0: none */
    asgdi_u64 tau_sum, tau_count;           /* bits of doubles: staleness so far */
    asgdi_u64 ended_at;                     /* bits of a double: when it left, 0 while it works */
    asgdi_u64 waited;                       /* bits of a double: `wait` so far */
    asgdi_u32 ready, ended;
    asgdi_u32 paused; /* the ticket of the pause it is in */

    /* Its own. */
    _Alignas(ASGDI_LINE) asgdi_run *run;
    uint32_t          id;
    bool              started;
    pthread_t         thread;
    asgd_status       status; /* of its set-up */
    char              message[512];
    asgdi_private     priv;
    asgd_view         views[ASGD_MAX_TABLES];
    asgd_sink         sink;
    asgdi_cursor      cursor;
    void             *scratch;
    uint64_t         *order;       /* [super] */
    asgd_pool         pool;        /* of ratings without blocks */
    asgdi_range       lease;       /* what is left of it */
    asgdi_permutation permutation; /* of `epoch` */
    uint64_t          epoch;
    uint64_t          steps; /* updates made by this worker; adam's t */
    asgd_stats        sums;
    double            loss_most; /* guarded: of an example; beyond it is none */
    double            slow;      /* a step takes this many times as long: straggler */
    /* merging */
    uint64_t  base;           /* run->version at the last merge */
    uint32_t  since_examples; /* since the last merge */
    uint32_t  since_updates;
    double    merge_seconds;
    bool      behind; /* some private rows hold progress of before the last merge */
    uint64_t  damped; /* updates that were damped */
    asgdi_tau tau;
    /* in a group */
    asgdi_done  *account; /* NULL: alone process */
    uint64_t     piece;   /* what is done of the lease begins there */
    asgdi_access access;
    double       settled_at;  /* clock: when all its progress was last in the master */
    uint32_t     corrections; /* of private rows that it has taken in */
    uint64_t     quota;       /* updates that it may make, of those that the process may */
    double       stall, wait; /* seconds: in pauses; for examples, or for slower processes */
} asgdi_worker;

struct asgdi_run {
    asgd_model        *model;
    const asgd_source *source;
    const asgd_config *config; /* the caller's; what follows is resolved from it */
    const asgd_kern   *k;
    asgd_mode          mode;
    uint32_t           workers, batch;
    uint32_t           super;    /* examples gathered at once, a multiple of batch */
    uint32_t           in_a_row; /* batch 1: examples a call of ops.steps; 0: ops.step */
    asgd_order         order;
    uint32_t           stretch;  /* examples side by side that a shuffled order keeps together */
    uint32_t           patience; /* 0: never */
    uint64_t           examples, total; /* in the source, in the run */
    uint64_t           seed;
    asgd_rule          rule;
    double             lr, warmup;
    asgd_schedule      schedule;
    double             pace;
    bool   deferred;   /* gradients are accumulated, then applied: locked mode, injected delays */
    double sync_power; /* sync: lr grows with (gradients averaged)^this */

    asgdi_checkpoint checkpoint; /* a resumed run: the workers' local slots */
    asgdi_state      before;     /* a resumed run: what was done before; else zeros */

    /* sharing */
    uint64_t        n_own[ASGD_MAX_TABLES];
    bool            private_rows; /* some rows are private and merged */
    bool            partly;       /* of some table some rows are private and others are not */
    bool            alone;        /* one worker: it works on the master itself */
    uint32_t        merge;        /* examples between merges at the most */
    bool            merge_fixed;  /* the user's number: merge exactly then */
    uint64_t        in_flight;    /* usual number of updates between read and entry, own included */
    double          damp;         /* beyond this many times in_flight, progress is weighted down */
    asgdi_locks    *locks;
    pthread_mutex_t apply; /* locked mode */
    asgdi_sync      sync;

    /* ratings (blocks.h) */
    asgdi_arranged arranged; /* size 0: none */
    asgdi_grid     grid;     /* size 0: without blocks */

    struct asgdi_joint *joint;   /* what it shares with its group's thread; NULL: alone process */
    bool                bounded; /* in a group: other processes may have to be waited for */
    bool                guarded; /* in a group: it looks at whether training goes wrong */

    asgdi_leases leases;
    _Alignas(ASGDI_LINE) asgdi_u64 version; /* updates merged by all */
    _Alignas(ASGDI_LINE) asgdi_u32 command;
    asgdi_u32       ticket;   /* number of the latest pause */
    asgdi_u32       go;       /* workers start together */
    asgdi_worker   *worker;   /* [workers] */
    asgdi_topology *topology; /* where workers are bound to cores */
};

static inline void asgdi_tell(asgdi_run *r, uint32_t command)
{
    asgdi_or_acq_rel(&r->command, command);
}

static inline void asgdi_untell(asgdi_run *r, uint32_t command)
{
    asgdi_and_acq_rel(&r->command, ~command);
}

/* ---- worker.c ---- */
void *asgdi_worker_main(void *worker);
void  asgdi_worker_free(asgdi_worker *w); /* what it holds */
/* The parts of a step, for the loops of worker.c and sync.c. */
void asgdi_worker_rate(asgdi_worker *w, uint64_t position, double factor); /* sets the step's lr */
void asgdi_worker_gather(asgdi_worker *w, uint32_t n, asgd_batch *out);    /* the lease's next n */
void asgdi_worker_compute(asgdi_worker *w, const asgd_batch *b, asgd_stats *st);
void asgdi_worker_publish(asgdi_worker *w, uint32_t examples, const asgd_stats *st);
/* Injected slowness, where asked for: sleeps so that what began then takes as long as it should. */
void asgdi_worker_dawdle(asgdi_worker *w, double began);
/* Waits while the control loop has paused the run. */
void asgdi_worker_pause(asgdi_worker *w);
/* Does what the command asks for between steps, STOP apart. */
void asgdi_worker_obey(asgdi_worker *w, uint32_t command);
/* The worker got no examples: a wait, during which it does what is asked for.  *round as in backoff. */
void asgdi_worker_idle(asgdi_worker *w, uint32_t *round);
/* In a group: takes the next examples, after it has accounted for the last ones. */
asgdi_lease asgdi_worker_lease(asgdi_worker *w);
/* In a group: puts all its progress into the master, so that what is done may be told to the others. */
void asgdi_worker_settle(asgdi_worker *w);
/* Waits a little longer each time: spins, yields, then sleeps 50 us.  *round starts at 0. */
void asgdi_backoff(uint32_t *round);

/* ---- share.c ---- */
/* Chooses n_own, merge and so on; text says what was chosen.  EINVAL: hot without ranked features. */
asgd_status asgdi_share_choose(asgdi_run *run, char *text, size_t bytes);
/* Has it a layer behind the first? */
bool asgdi_is_deep(const asgdi_params *p);

#endif
