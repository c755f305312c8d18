/* parallel.h -- fork and join for the slow path: loading data, large tables. */
#ifndef ASGDI_PARALLEL_H
#define ASGDI_PARALLEL_H

#include <stdint.h>

enum { ASGDI_PARTS_MAX = 256 };

/* Calls f(ctx, k) for k in 0..parts-1, each on a thread of its own where there is one to have, and
 * returns when all are done. */
void asgdi_parallel(uint32_t parts, void (*f)(void *ctx, uint32_t k), void *ctx);
/* How many parts for `work` units of which one part should have at least `grain`: `threads` if set,
 * else up to one per core. */
uint32_t asgdi_parts(uint32_t threads, uint64_t work, uint64_t grain);
/* Where part k of n things begins; part `parts` begins at n. */
static inline uint64_t asgdi_part(uint64_t n, uint32_t parts, uint32_t k)
{
    return n / parts * k + (n % parts < k ? n % parts : k);
}

#endif
