/* parallel.c -- fork and join.  A part whose thread cannot be made runs on the caller's: slower,
 * never wrong. */
#include "base/parallel.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/sys.h"

typedef struct part {
    void (*f)(void *ctx, uint32_t k);
    void     *ctx;
    uint32_t  k;
    bool      started;
    pthread_t thread;
} part;

static void *run(void *arg)
{
    part *p = arg;
    p->f(p->ctx, p->k);
    return NULL;
}

void asgdi_parallel(uint32_t parts, void (*f)(void *ctx, uint32_t k), void *ctx)
{
    part p[ASGDI_PARTS_MAX];
    for (uint32_t k = 1; k < parts; k++) {
        p[k]         = (part){.f = f, .ctx = ctx, .k = k};
        p[k].started = pthread_create(&p[k].thread, NULL, run, &p[k]) == 0;
    }
    if (parts > 0) f(ctx, 0);
    for (uint32_t k = 1; k < parts; k++) {
        if (p[k].started)
            pthread_join(p[k].thread, NULL);
        else
            f(ctx, k);
    }
}

uint32_t asgdi_parts(uint32_t threads, uint64_t work, uint64_t grain)
{
    uint64_t n = threads;
    if (n == 0) {
        n = asgdi_cores();
        if (n - 1 > work / grain) n = work / grain + 1;
    }
    return n > ASGDI_PARTS_MAX ? ASGDI_PARTS_MAX : (uint32_t)n;
}
