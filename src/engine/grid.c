/* grid.c -- the schedule of grid.h. */
#include "engine/grid.h"

#include "base/mem.h"

enum { STREAM_GRID = 21 };

asgd_status asgdi_grid_init(asgdi_grid *g, uint32_t size, uint64_t rounds, uint64_t seed)
{
    *g = (asgdi_grid){.size = size, .rounds = rounds, .seed = seed};
    if (size == 0 || size > ASGDI_GRID_MAX)
        return ASGD_FAIL(EINVAL, "a grid of %u strips: 1 to %d are allowed", size, ASGDI_GRID_MAX);
    g->user = asgdi_calloc(size, sizeof *g->user);
    g->item = asgdi_calloc(size, sizeof *g->item);
    if (g->user && g->item) return ASGD_OK;
    asgdi_grid_free(g);
    return ASGD_FAIL(ENOMEM, "no memory for a grid of %u strips", size);
}

void asgdi_grid_free(asgdi_grid *g)
{
    asgdi_free(g->user);
    asgdi_free(g->item);
    g->user = g->item = NULL;
    g->size           = 0;
}

uint32_t asgdi_grid_column(const asgdi_grid *g, uint64_t round, uint32_t user)
{
    const uint64_t bits  = asgdi_random(g->seed, STREAM_GRID, round / g->size);
    const uint32_t place = bits & 1 ? user : g->size - 1 - user;
    return (uint32_t)(((bits >> 1) % g->size + place + round) % g->size);
}

/* Of the strips that may go on, the one furthest behind: strips then stay together, and the end of the
 * run finds all workers busy. */
static bool choose(asgdi_grid *g, uint32_t home, uint64_t *state, asgdi_grid_block *out, bool *over)
{
    const uint64_t gate  = asgdi_load_acquire(&g->gate);
    bool           found = false;
    *over                = true;
    for (uint32_t k = 0; k < g->size; k++) {
        const uint32_t i     = (home + k) % g->size;
        const uint64_t mine  = asgdi_load_acquire(&g->user[i].state);
        const uint64_t round = mine / 2;
        if (round < g->rounds) *over = false;
        if (mine % 2 || round >= gate || (found && round >= out->round)) continue;
        const uint32_t j = asgdi_grid_column(g, round, i);
        if (!asgdi_grid_ready(mine, asgdi_load_acquire(&g->item[j].state), gate)) continue;
        *out   = (asgdi_grid_block){round, i, j};
        *state = mine;
        found  = true;
    }
    return found;
}

asgdi_found asgdi_grid_take(asgdi_grid *g, uint32_t home, asgdi_grid_block *out)
{
    uint64_t state = 0;
    bool     over;
    while (choose(g, home, &state, out, &over))
        if (asgdi_cas_acq_rel(&g->user[out->user].state, &state, state + 1)) return ASGDI_FOUND;
    return over ? ASGDI_RUN_OVER : ASGDI_NONE_READY;
}

void asgdi_grid_done(asgdi_grid *g, const asgdi_grid_block *b)
{
    asgdi_store_release(&g->item[b->item].state, b->round + 1);
    asgdi_store_release(&g->user[b->user].state, 2 * (b->round + 1));
}

/* An item strip has finished round t when the strip of users that it met there has. */
asgd_status asgdi_grid_set(asgdi_grid *g, const uint64_t *round)
{
    uint64_t least = UINT64_MAX, most = 0, done = 0, all = 0;
    for (uint32_t i = 0; i < g->size; i++) {
        if (round[i] < least) least = round[i];
        if (round[i] > most) most = round[i];
        all += round[i];
    }
    if (most > g->rounds || most - least > g->size)
        return ASGD_FAIL(EFORMAT, "the checkpoint's rounds of blocks are damaged");
    for (uint32_t i = 0; i < g->size; i++) {
        asgdi_store_relaxed(&g->user[i].state, 2 * round[i]);
        asgdi_store_relaxed(&g->item[i].state, least);
    }
    done = least * g->size;
    for (uint64_t t = least; t < most; t++)
        for (uint32_t i = 0; i < g->size; i++) {
            const uint32_t j = asgdi_grid_column(g, t, i);
            if (round[i] <= t) continue;
            if (asgdi_load_relaxed(&g->item[j].state) != t)
                return ASGD_FAIL(EFORMAT, "the checkpoint's rounds of blocks are damaged");
            asgdi_store_relaxed(&g->item[j].state, t + 1);
            done++;
        }
    return done == all ? ASGD_OK
                       : ASGD_FAIL(EFORMAT, "the checkpoint's rounds of blocks are damaged");
}
