/* blocks.h -- training on ratings: how they are arranged, and the workers' loop over blocks. */
#ifndef ASGDI_BLOCKS_H
#define ASGDI_BLOCKS_H

#include "engine/run.h"

enum { ASGDI_PAIRS_RUN = 1024 }; /* ratings a call */

/* Strips for so many ratings, users and items, whose rows have so many bytes, and a second cache of
 * `cache` bytes; 0: too sparse for blocks. */
uint32_t asgdi_blocks_size(uint64_t ratings, uint64_t users, uint64_t items, uint64_t row_bytes,
                           uint64_t cache);
/* Decides for or against blocks and arranges the ratings; r->workers, mode, rule and batch are set.  text
 * says what was chosen, and is left alone where it was not blocks. */
asgd_status asgdi_blocks_prepare(asgdi_run *r, bool slow, char *text, size_t bytes);
void        asgdi_blocks_free(asgdi_run *r);
/* The worker's loop where r->grid.size is not 0. */
void asgdi_blocks_work(asgdi_worker *w);
/* Without blocks: the ratings of the lease's next `n` that lie side by side, at most; returns how many. */
uint32_t asgdi_blocks_gather(asgdi_worker *w, uint32_t n, asgd_batch *out);

#endif
