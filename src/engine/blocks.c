/* blocks.c -- training on ratings.
 *
 * With blocks (grid.h) workers never meet in a row, and the result is the same for any number of them.
 * Without, they take stretches of the shuffled ratings and write what they please: plain Hogwild, with
 * the same kernels.
 *
 * How many strips: as few as leave the items' rows of a block about in a core's second cache, and at least as
 * many as keep several workers busy; from the data and the cache, never from the number of workers.  The users' rows
 * need no room there: ratings lie by tiles of users (arrange.h), so that each is fetched once a block, and the fewer
 * blocks there are, the more often it is used then. */
#include "engine/blocks.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/sys.h"

enum { STREAM_STEP = 2, STREAM_RUNS = 31, STREAM_ORDER = 32 };
enum {
    LEAST_STRIPS = 16,
    MORE_STRIPS  = 32,  /* of very many ratings, which may have many workers */
    LEAST_BLOCK  = 256, /* ratings of a block on average, for which a lease is cheap */
    MANY         = 1 << 26,
    LEAST_CACHE  = 2 << 20, /* bytes; a smaller second cache counts as this */
};

uint32_t asgdi_blocks_size(uint64_t ratings, uint64_t users, uint64_t items, uint64_t row_bytes,
                           uint64_t cache)
{
    const uint64_t need = (4 * items * row_bytes + 5 * cache - 1) / (5 * cache);
    uint64_t       most = 1;
    while (most < ASGDI_GRID_MAX && ratings / ((most + 1) * (most + 1)) >= LEAST_BLOCK) most++;
    uint64_t size = ratings >= MANY ? MORE_STRIPS : LEAST_STRIPS;
    if (size < need) size = need;
    /* Where blocks whose rows are all in the cache have fewer ratings than rows, training is a walk through
     * memory in either way; so many rows that workers seldom meet in one. */
    const uint64_t whole  = (4 * (users + items) * row_bytes + 3 * cache - 1) / (3 * cache);
    const bool     sparse = whole > most && ratings / (whole * whole) < (users + items) / whole / 4;
    if (size > ASGDI_GRID_MAX || sparse) return 0;
    return (uint32_t)(size < most ? size : most);
}

/* Ratings in the first `rounds` of a grid. */
static uint64_t ratings_of(const asgdi_run *r, uint64_t rounds)
{
    const asgdi_grid *g = &r->grid;
    uint64_t          n = rounds / g->size * r->examples;
    for (uint64_t t = rounds / g->size * g->size; t < rounds; t++)
        for (uint32_t i = 0; i < g->size; i++) {
            const uint64_t b = (uint64_t)i * g->size + asgdi_grid_column(g, t, i);
            n += r->arranged.start[b + 1] - r->arranged.start[b];
        }
    return n;
}

static uint64_t row_bytes(const asgdi_run *r)
{
    const asgdi_params *p    = &r->model->params;
    uint64_t            most = 0;
    for (int t = 0; t < p->n_tables; t++)
        if (p->table[t].stride > most) most = p->table[t].stride;
    return most * sizeof(float);
}

asgd_status asgdi_blocks_prepare(asgdi_run *r, bool slow, char *text, size_t bytes)
{
    const asgd_schema *d = &r->source->schema;
    if (!r->source->rating || r->order != ASGD_ORDER_SHUFFLE || r->batch != 1 ||
        !r->model->ops.steps || slow)
        return ASGD_OK;
    if (r->mode == ASGD_SYNC || r->mode == ASGD_LOCKED) return ASGD_OK;
    const asgd_share share   = r->config->share;
    const bool       allowed = r->config->blocks == ASGD_BLOCKS_AUTO && r->model->entry &&
                         !r->config->group && /* whose processes share examples by position */
                         (share == ASGD_SHARE_AUTO || share == ASGD_SHARE_SHARED) &&
                         r->model->params.slots.local == 0;
    /* Where the second cache is smaller, items come from the third, which is better than more blocks, in each of which the
     * users' rows are fetched anew (docs/decisions/013). */
    const uint64_t cache =
        asgdi_core_cache() < LEAST_CACHE ? (uint64_t)LEAST_CACHE : asgdi_core_cache();
    const uint32_t size =
        allowed ? asgdi_blocks_size(d->examples, d->users, d->items, row_bytes(r), cache) : 0;
    ASGD_TRY(asgdi_arrange(&r->arranged, r->source, size ? size : 1, row_bytes(r), r->seed, 0,
                           r->model->entry && r->model->entry->negatives));
    r->super = r->stretch = ASGDI_PAIRS_RUN;
    if (size == 0) return ASGD_OK;
    const double epochs = (double)r->total / (double)r->examples;
    ASGD_TRY(asgdi_grid_init(&r->grid, size, (uint64_t)(epochs * size + 1 - 1e-9), r->seed));
    r->total = ratings_of(r, r->grid.rounds);
    snprintf(text, bytes, "nothing: %u x %u blocks", size, size);
    return ASGD_OK;
}

void asgdi_blocks_free(asgdi_run *r)
{
    asgdi_grid_free(&r->grid);
    asgdi_arranged_free(&r->arranged);
}

/* ---- with blocks ---- */

static void run(asgdi_worker *w, const asgdi_grid_block *block, uint64_t from, uint32_t n,
                const asgd_pool *pool)
{
    asgdi_run        *r  = w->run;
    const asgd_model *m  = r->model;
    asgd_stats        st = {0};
    asgd_batch        b  = {.n        = n,
                            .features = r->source->schema.features,
                            .rating   = r->arranged.rating + from,
                            .pool     = pool,
                            .position = block->round / r->grid.size * r->examples + from};
    m->ops.steps(m->self, &b, w->views, &w->sink, w->scratch,
                 asgdi_random(r->seed, STREAM_STEP, b.position), &st);
    w->steps += n;
    asgdi_worker_publish(w, n, &st);
    asgdi_tau_add(&w->tau, 0, n);
}

/* A block's ratings: the order that they lie in, begun at another place every epoch. */
static void work_through(asgdi_worker *w, const asgdi_grid_block *block)
{
    asgdi_run            *r     = w->run;
    const asgdi_arranged *a     = &r->arranged;
    const uint64_t        b     = (uint64_t)block->user * a->size + block->item;
    const uint64_t        start = a->start[b], n = a->start[b + 1] - start;
    if (n == 0) return;
    asgd_pool pool = {.rating = a->rating + start, .n_rating = n, .ahead = ASGDK_PAIRS_AHEAD};
    if (a->items) {
        pool.items   = a->items + a->items_start[block->item];
        pool.n_items = a->items_start[block->item + 1] - a->items_start[block->item];
        pool.seen    = &a->seen;
    }
    asgdi_worker_rate(
        w, (uint64_t)((double)block->round / (double)r->grid.rounds * (double)r->total), 1);
    uint64_t at = asgdi_random(r->seed, STREAM_RUNS, block->round * a->size + block->user) % n;
    for (uint64_t left = n; left > 0;) {
        uint64_t now = left < ASGDI_PAIRS_RUN ? left : ASGDI_PAIRS_RUN;
        if (now > n - at) now = n - at;
        run(w, block, start + at, (uint32_t)now, &pool);
        left -= now;
        at = at + now < n ? at + now : 0;
    }
}

void asgdi_blocks_work(asgdi_worker *w)
{
    asgdi_run       *r    = w->run;
    const uint32_t   home = (uint32_t)((uint64_t)w->id * r->grid.size / r->workers);
    asgdi_grid_block b;
    for (uint32_t round = 0;;) {
        const uint32_t command = asgdi_load_relaxed(&r->command);
        if (command & ASGDI_STOP) return;
        if (command & ASGDI_PAUSE) asgdi_worker_pause(w);
        const asgdi_found found = asgdi_grid_take(&r->grid, home, &b);
        if (found == ASGDI_RUN_OVER) return;
        if (found == ASGDI_NONE_READY) {
            asgdi_backoff(&round);
            continue;
        }
        round = 0;
        work_through(w, &b);
        asgdi_grid_done(&r->grid, &b);
        asgdi_store_relaxed(&w->updates, w->steps);
    }
}

/* ---- without ---- */

uint32_t asgdi_blocks_gather(asgdi_worker *w, uint32_t n, asgd_batch *out)
{
    const asgdi_run      *r     = w->run;
    const asgdi_arranged *a     = &r->arranged;
    uint64_t              epoch = w->lease.lo / r->examples, p = w->lease.lo % r->examples;
    const uint64_t        run = p / r->stretch, offset = p % r->stretch;
    if (epoch != w->epoch || w->permutation.n == 0) {
        w->epoch       = epoch;
        w->permutation = asgdi_permutation_make(asgdi_random(r->seed, STREAM_ORDER, epoch), 0,
                                                r->examples / r->stretch);
    }
    uint64_t left = r->stretch - offset;
    if (run < w->permutation.n)
        p = asgdi_permute(&w->permutation, run) * r->stretch + offset;
    else
        left = r->examples - p; /* those past the last whole stretch stay where they are */
    if (n > left) n = (uint32_t)left;
    w->pool = (asgd_pool){.items    = a->items,
                          .n_items  = r->source->schema.items,
                          .rating   = a->rating,
                          .n_rating = r->examples,
                          .ahead    = ASGDK_PAIRS_AHEAD,
                          .seen     = a->items ? &a->seen : NULL};
    *out    = (asgd_batch){.n        = n,
                           .features = r->source->schema.features,
                           .rating   = a->rating + p,
                           .pool     = &w->pool,
                           .position = w->lease.lo};
    return n;
}
