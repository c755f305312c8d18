/* random_ops.h -- tests by random operations: draws, failures that say how to repeat them, and
 * memory that runs out when a test wants it to.
 *
 * The library's functions for memory are defined here, so that the linker takes these: asgdi_grow()
 * gives exactly what is asked for, which lets a sanitizer see a step beyond, and nothing while
 * `no_memory`. */
#ifndef TESTS_EXCHANGE_RANDOM_OPS_H
#define TESTS_EXCHANGE_RANDOM_OPS_H

#include "test.h"

#include "base/mem.h"
#include "base/rng.h"

static uint64_t seed, draws;
static bool     no_memory;

/* 0..n-1 */
static uint64_t draw(uint64_t n)
{
    return asgdi_random(seed, 0, draws++) % n;
}

static void begin(uint64_t s)
{
    seed      = s;
    draws     = 0;
    no_memory = false;
}

#define holds(what)                                                                \
    do {                                                                           \
        if (!(what))                                                               \
            fail_msg("seed %llu, draw %llu: not so: %s", (unsigned long long)seed, \
                     (unsigned long long)draws, #what);                            \
    } while (0)

void *asgdi_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : calloc(n ? n : 1, size);
}

bool asgdi_grow(void **p, size_t *capacity, size_t n, size_t size)
{
    if (n <= *capacity) return true;
    void *q = no_memory || n > SIZE_MAX / size ? NULL : realloc(*p, n * size);
    if (!q) return false;
    *p        = q;
    *capacity = n;
    return true;
}

void asgdi_free(void *p)
{
    free(p);
}

char *asgdi_strdup(const char *s)
{
    return no_memory || !s ? NULL : strdup(s);
}

#endif
