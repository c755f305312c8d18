/* carrier.h -- what carries frames between the processes of a job: MPI's messages, or sockets; and how processes part,
 * which is the same for both (link_mpi.c).
 *
 * A carrier is a link (link.h) but for its close(), and can also say goodbye. */
#ifndef ASGDI_CARRIER_H
#define ASGDI_CARRIER_H

#include "exchange/link.h"

/* The last that goes to a peer. */
typedef struct asgdi_goodbye {
    int32_t code;                          /* that the sender exits with */
    uint8_t gone[ASGDI_PROCESSES_MAX / 8]; /* processes that it has dropped */
} asgdi_goodbye;

/* How things stand with a peer. */
typedef struct asgdi_standing {
    bool gone;      /* dropped, or there is no way to it any more */
    bool bye;       /* its goodbye has come: nothing comes after it */
    bool bye_begun; /* ours is on its way to it */
} asgdi_standing;

typedef struct asgdi_job     asgdi_job; /* link_mpi.c */
typedef struct asgdi_carrier asgdi_carrier;
struct asgdi_carrier {
    asgdi_link      link;
    asgdi_standing *with;    /* [size] */
    bool            out;     /* the others have given this process up */
    bool            lost;    /* nothing may be waited for that all would have to do */
    bool            closing; /* what comes in is thrown away */
    asgdi_goodbye   bye;     /* ours */
    asgdi_job      *job;

    /* Begins our goodbye, behind all frames that wait; nothing where that is not possible yet. */
    void (*say_goodbye)(asgdi_carrier *c, uint32_t to);
    /* Nothing is on its way to that peer; both: nor from it, as far as it was announced. */
    bool (*is_still)(const asgdi_carrier *c, uint32_t peer, bool both);
    void (*free)(asgdi_carrier *c);
};

/* link_mpi.c: a goodbye has come in. */
void asgdi_carrier_goodbye(asgdi_carrier *c, uint32_t from, const asgdi_goodbye *g);

#endif
