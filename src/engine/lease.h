/* lease.h -- who does which examples: chunks of a run, handed out so that fast workers do more.
 *
 * A run is positions 0..total-1; position p is example permute(epoch, p mod n) of epoch p / n.  A worker
 * leases a chunk and works through it; nobody waits for anybody at the end of an epoch.  Every position
 * is leased exactly once: by the atomic cursor, or, after a resume, from the list of what was open.
 *
 * In a group of processes the positions come from the exchange, in ranges that its thread puts into a stock
 * for the workers, and what is done goes back to it. */
#ifndef ASGDI_LEASE_H
#define ASGDI_LEASE_H

#include "base/atomic.h"
#include "base/status.h"
#include "exchange/ranges.h"

/* Ranges that one thread puts in and workers take pieces of, in order. */
enum { ASGDI_STOCK = 64 };
typedef struct asgdi_stock {
    _Alignas(
        ASGDI_LINE) asgdi_u64 at; /* range being handed out << 32 | positions of it that are gone */
    asgdi_u32 put;                /* ranges put in so far */
    asgdi_u32 most;               /* positions of a piece */
    struct {
        asgdi_u64 lo;
        asgdi_u32 n;
    } range[ASGDI_STOCK];
} asgdi_stock;

bool asgdi_stock_put(asgdi_stock *s, asgdi_range r); /* [one] false: full; below 2^32 positions */
bool asgdi_stock_take(asgdi_stock *s, asgdi_range *out); /* [any] false: there is nothing */
uint64_t asgdi_stock_left(asgdi_stock *s);               /* [one] positions in it, or more */

/* Ranges that a worker has done, for one thread to take.  `settled` is behind `put` while its progress in
 * some is not in the master yet. */
enum { ASGDI_DONE = 64 };
typedef struct asgdi_done {
    asgdi_range range[ASGDI_DONE];
    uint32_t    put;      /* the worker's */
    uint64_t    examples; /* the worker's: in those */
    _Alignas(ASGDI_LINE) asgdi_u32 settled;
    asgdi_u64 settled_examples;
    _Alignas(ASGDI_LINE) asgdi_u32 taken;
} asgdi_done;

/* [worker] last: the room kept for a worker's last range may be used.  false: full. */
bool asgdi_done_put(asgdi_done *d, asgdi_range r, bool last);
void asgdi_done_settle(asgdi_done *d);                 /* [worker] all that was put */
bool asgdi_done_take(asgdi_done *d, asgdi_range *out); /* [one] */

typedef struct asgdi_leases {
    uint64_t     total;
    uint32_t     batch;   /* chunks are multiples of it */
    uint32_t     workers; /* chunks shrink as total - next does, so that all end together */
    uint32_t     most;    /* examples a chunk has at most */
    asgdi_stock *stock;   /* in a group: where chunks come from; else NULL */
    /* Positions at and after `gate` are not leased yet: the control loop evaluates there first. */
    _Alignas(64) asgdi_u64 gate;
    _Alignas(64) asgdi_u64 next;
    asgdi_range *open; /* of a resumed run, done first */
    uint32_t     n_open;
    asgdi_u32    next_open;
} asgdi_leases;

typedef enum asgdi_lease { ASGDI_LEASED, ASGDI_AT_GATE, ASGDI_ALL_DONE } asgdi_lease;

/* [any]  In a group: AT_GATE where there is nothing at the moment, never ALL_DONE. */
asgdi_lease asgdi_lease_take(asgdi_leases *l, asgdi_range *out);

#endif
