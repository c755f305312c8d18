/* grid.h -- which block of ratings may be trained on next: a schedule without conflicts, without waiting,
 * and with one result for any number of workers.
 *
 * A run is rounds 0, 1, 2, ...  In a round every strip of users meets one strip of items, each another;
 * in `size` rounds, an epoch, it meets all.  Who meets whom when is fixed by the seed:
 *
 *     column of strip i in round t = (shift + i + t) mod size  or  (shift - i + t) mod size
 *
 * with a random shift and sign for each epoch.  Neighbouring strips meet an item strip one after the other,
 * so that it seldom moves from a worker's cache to another's where workers keep to neighbouring strips.
 *
 * Strip i may go into round t when it and its column have both finished round t - 1, whoever worked on
 * them: so no two workers ever touch a row at once, and each row sees its ratings in one fixed order.
 * There is no barrier: strips may be rounds, and epochs, apart.  (FPSG, Chin et al. 2015, leaves the
 * order to chance; NOMAD, Yun et al. 2014, moves columns from worker to worker.)
 *
 * A lease is one compare-and-swap.  What decides, asgdi_grid_ready(), is a pure function. */
#ifndef ASGDI_GRID_H
#define ASGDI_GRID_H

#include "base/atomic.h"
#include "base/status.h"
#include "data/arrange.h"

typedef struct asgdi_strip {
    asgdi_u64 state; /* users: 2 * round + (is taken); items: rounds finished */
} asgdi_strip;

typedef struct asgdi_grid {
    uint32_t     size; /* 0: there is none */
    uint64_t     rounds, seed;
    asgdi_strip *user, *item;    /* [size] */
    _Alignas(64) asgdi_u64 gate; /* rounds from here on are not begun yet */
} asgdi_grid;

typedef struct asgdi_grid_block {
    uint64_t round;
    uint32_t user, item; /* strips */
} asgdi_grid_block;

asgd_status asgdi_grid_init(asgdi_grid *g, uint32_t size, uint64_t rounds, uint64_t seed);
void        asgdi_grid_free(asgdi_grid *g);
/* The item strip that a user strip meets in a round. */
uint32_t asgdi_grid_column(const asgdi_grid *g, uint64_t round, uint32_t user);

static inline bool asgdi_grid_ready(uint64_t user_state, uint64_t item_state, uint64_t gate)
{
    return user_state % 2 == 0 && user_state / 2 < gate && item_state == user_state / 2;
}

typedef enum asgdi_found { ASGDI_FOUND, ASGDI_NONE_READY, ASGDI_RUN_OVER } asgdi_found;
/* Leases the block that is furthest behind; home: the strip to look at first.  [any] */
asgdi_found asgdi_grid_take(asgdi_grid *g, uint32_t home, asgdi_grid_block *out);
/* Goes on where strips of users are in rounds round[size]; EFORMAT: they cannot be there. */
asgd_status asgdi_grid_set(asgdi_grid *g, const uint64_t *round);
void        asgdi_grid_done(asgdi_grid *g, const asgdi_grid_block *b); /* [who leased it] */

#endif
