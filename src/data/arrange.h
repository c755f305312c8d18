/* arrange.h -- ratings in the order in which they are trained on: a grid of blocks, each the ratings of
 * one strip of users on one strip of items, in random order inside. */
#ifndef ASGDI_ARRANGE_H
#define ASGDI_ARRANGE_H

#include "base/rng.h"
#include "data/source.h"

enum { ASGDI_GRID_MAX = 256 };

/* Which pairs of user and item are rated: one that is, is told as such; of the others about 1 in 100 is
 * told wrongly (Bloom 1970; both bits in one word, so that a look is one cache line). */
typedef struct asgdi_seen {
    uint64_t *word;
    uint64_t  mask; /* words - 1 */
} asgdi_seen;

static inline bool asgdi_seen_has(const asgdi_seen *s, uint32_t user, uint32_t item)
{
    const uint64_t h    = asgdi_mix((uint64_t)user << 32 | item);
    const uint64_t bits = UINT64_C(1) << (h & 63) | UINT64_C(1) << (h >> 6 & 63);
    return (s->word[h >> 16 & s->mask] & bits) == bits;
}

/* Where a ranking model may draw items from. */
struct asgd_pool {
    const uint32_t    *items; /* [n_items], each once */
    uint32_t           n_items;
    const asgd_rating *rating; /* [n_rating]: their items, as often as they are rated */
    uint64_t           n_rating;
    const asgdi_seen  *seen;  /* pairs not to draw */
    uint32_t           ahead; /* ratings behind the batch that can be read */
};

typedef struct asgdi_arranged {
    uint32_t     size;        /* strips of users, and of items */
    asgd_rating *rating;      /* [examples], block by block */
    uint64_t    *start;       /* [size * size + 1]: block (i, j) is number i * size + j */
    uint32_t    *items;       /* [items], strip by strip */
    uint32_t    *items_start; /* [size + 1] */
    asgdi_seen   seen;
} asgdi_arranged;

/* size >= 1; row_bytes: of a user's row.  The result depends on the source, these and the seed alone; threads 0: one per core.  negatives:
 * with `items` and `seen`, which models that draw items need. */
asgd_status asgdi_arrange(asgdi_arranged *a, const asgd_source *s, uint32_t size,
                          uint64_t row_bytes, uint64_t seed, uint32_t threads, bool negatives);
void        asgdi_arranged_free(asgdi_arranged *a);

#endif
