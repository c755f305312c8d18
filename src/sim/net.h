/* net.h -- a network of processes and its clock, made up from one seed.
 *
 * Frames take random times; some are lost, repeated, or overtaken by others.  Pairs of processes are cut from each
 * other for a while, processes stand still for a while or are gone for good.  Nothing takes real time, and the
 * same seed and the same calls give the same events, so that whatever goes wrong can be watched again.
 *
 * The caller asks for what happens next, and does what the process it happens to would do:
 *
 *     while (asgdi_simnet_next(n, end, &e))
 *         if (e.frame) a frame has come to e.process from e.from: it is the caller's
 *         else         the time has come that asgdi_simnet_alarm() asked for
 */
#ifndef ASGDI_SIM_NET_H
#define ASGDI_SIM_NET_H

#include <stdbool.h>

#include "base/status.h"
#include "exchange/link.h"

/* How long a frame is on its way; all have the mean `delay`. */
typedef enum asgdi_simlaw {
    ASGDI_SIMLAW_CONSTANT,
    ASGDI_SIMLAW_UNIFORM, /* 0 to twice the mean */
    ASGDI_SIMLAW_EXPONENTIAL,
    ASGDI_SIMLAW_HEAVY, /* Pareto's with exponent 1.5, at most 200 times the mean: no variance to speak of */
    ASGDI_SIMLAWS
} asgdi_simlaw;

typedef struct asgdi_simnet_config {
    uint32_t     size;
    uint64_t     seed;
    asgdi_simlaw law;
    double       delay;        /* seconds */
    double       rate;         /* bytes/s that a process can send; 0: any number */
    double       loss, repeat; /* probabilities, of each frame */
    bool ordered; /* frames from one process to another arrive in the order they were sent */
} asgdi_simnet_config;

typedef struct asgdi_simnet asgdi_simnet;

typedef struct asgdi_simnet_event {
    uint32_t process;   /* whom it happens to; ASGDI_SIMNET_NOBODY: an alarm of the caller's own */
    asgdi_frame *frame; /* one that has come, the receiver's now; NULL: an alarm */
    uint32_t     from;
    uint64_t     what; /* of the alarm */
} asgdi_simnet_event;
enum { ASGDI_SIMNET_NOBODY = UINT32_MAX / 2 };

/* EINVAL: a number is out of range; ENOMEM. */
asgd_status asgdi_simnet_new(asgdi_simnet **out, const asgdi_simnet_config *c);
void        asgdi_simnet_free(asgdi_simnet *n);

double asgdi_simnet_now(const asgdi_simnet *n);
/* The next event, and the clock goes there; false: there is none before `end`, and the clock is there, or
 * there was no memory for one (asgdi_simnet_broken). */
bool asgdi_simnet_next(asgdi_simnet *n, double end, asgdi_simnet_event *out);
bool asgdi_simnet_broken(const asgdi_simnet *n);

/* Takes the caller's hold on the frame. */
void asgdi_simnet_send(asgdi_simnet *n, uint32_t from, uint32_t to, asgdi_frame *f);
/* Bytes that process is still to send, where `rate` holds it up. */
double asgdi_simnet_waiting(const asgdi_simnet *n, uint32_t process);
/* Comes back at `at`, or when the process goes on after standing still; never where it is gone by then. */
void asgdi_simnet_alarm(asgdi_simnet *n, uint32_t process, double at, uint64_t what);

/* ---- faults, from now on ---- */

/* Other odds than the configuration's. */
void asgdi_simnet_odds(asgdi_simnet *n, double loss, double repeat);
/* Between now and `until`, nothing gets from a to b: what would arrive meanwhile is lost.  One direction. */
void asgdi_simnet_cut(asgdi_simnet *n, uint32_t a, uint32_t b, double until);
/* The processes that are 1 in `side` [size], and the others, are cut from each other, both ways. */
void asgdi_simnet_split(asgdi_simnet *n, const uint8_t *side, double until);
/* It stands still: what happens to it before `until` happens then, in the same order. */
void asgdi_simnet_pause(asgdi_simnet *n, uint32_t process, double until);
/* It is gone.  Of what it had sent and had not arrived yet, half gets lost. */
void asgdi_simnet_kill(asgdi_simnet *n, uint32_t process);
bool asgdi_simnet_killed(const asgdi_simnet *n, uint32_t process);
bool asgdi_simnet_paused(const asgdi_simnet *n, uint32_t process);

/* ---- watching ---- */

typedef enum asgdi_simfate {
    ASGDI_SIM_SENT, /* on its way, `at` seconds from now */
    ASGDI_SIM_LOST, /* by chance, when it was sent */
    ASGDI_SIM_CUT,  /* when it would have arrived */
    ASGDI_SIM_GONE, /* its sender or its receiver is */
    ASGDI_SIM_ARRIVED,
} asgdi_simfate;
const char  *asgdi_simfate_name(asgdi_simfate f);
typedef void asgdi_simnet_watcher(void *user, asgdi_simfate fate, uint32_t from, uint32_t to,
                                  double in_seconds, const asgdi_frame *f);
void         asgdi_simnet_watch(asgdi_simnet *n, asgdi_simnet_watcher *watcher, void *user);

typedef struct asgdi_simnet_counts {
    uint64_t sent, arrived, lost, repeated, bytes;
} asgdi_simnet_counts;
asgdi_simnet_counts asgdi_simnet_count(const asgdi_simnet *n);

#endif
