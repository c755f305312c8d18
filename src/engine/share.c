/* share.c -- which rows are private to the workers, and how often those are merged.
 *
 * Contention, not lost updates, is what ruins lock-free SGD on a multicore: two cores that write one
 * cache line in turn wait for it every time.  So rows that every worker touches all the time are private
 * and merged by deltas; rows that two workers rarely meet in are shared. */
#include <stdio.h>

#include "engine/run.h"

enum {
    /* Private rows of a skewed table: as many as stay in a core's own cache.  What their merges cost grows with
     * the logarithm of their number (asgdi_merge_due()). */
    HOT_FLOATS = 1 << 19,
    HOT_MOST   = 1 << 14,
    HOT_LEAST  = 64,
    HOT_USED   = 768, /* private rows for each entry that an example has */
    SMALL_TABLE =
        1 << 20, /* floats: private as a whole, even where examples touch few of its rows */
    /* Examples of all workers between a read and its merge: what the others do meanwhile is staleness.
     * Deep nets bear little of it at the step sizes they are trained with: about six updates in all, but
     * not fewer examples than make a merge cheap (docs/decisions/009). */
    DEEP_LEAST = 256,
    DEEP_MOST  = 512,
    /* One layer is convex and bears more: as many as make a merge cheap. */
    IN_FLIGHT_LEAST = 256,
    IN_FLIGHT_MOST  = 512,
};

bool asgdi_is_deep(const asgdi_params *p)
{
    for (int t = 0; t < p->n_tables; t++)
        if (p->table[t].info.rows > 1 && !(p->table[t].info.flags & ASGD_TABLE_BY_FEATURE))
            return true;
    return false;
}

/* Examples of one worker between merges. */
static uint32_t choose_merge(const asgdi_run *r)
{
    const asgdi_params *p      = &r->model->params;
    uint64_t            floats = 0;
    uint64_t            few = r->examples / 8; /* several merges an epoch, however few the data */
    for (int t = 0; t < p->n_tables; t++) floats += r->n_own[t] * p->table[t].stride;
    uint64_t in_flight = floats / 4;
    if (in_flight < IN_FLIGHT_LEAST) in_flight = IN_FLIGHT_LEAST;
    if (in_flight > IN_FLIGHT_MOST) in_flight = IN_FLIGHT_MOST;
    if (asgdi_is_deep(p)) {
        in_flight = 6 * (uint64_t)r->batch;
        if (in_flight < DEEP_LEAST) in_flight = DEEP_LEAST;
        if (in_flight > DEEP_MOST) in_flight = DEEP_MOST;
    }
    if (in_flight > few) in_flight = few;
    uint64_t merge = in_flight / r->workers;
    merge -= merge % r->batch;
    return merge ? (uint32_t)merge : r->batch;
}

/* Rows of a table that one worker keeps to itself. */
static uint64_t choose_own(const asgdi_run *r, const asgdi_table *t, asgd_share share)
{
    const asgd_source *s      = r->source;
    bool               sparse = !s->schema.dense && (t->info.flags & ASGD_TABLE_BY_FEATURE);
    uint64_t           rows   = t->info.rows;
    uint64_t           hot    = HOT_FLOATS / t->stride;
    if (hot > HOT_MOST) hot = HOT_MOST;
    /* nor more than a few times the entries between merges: what is merged is to have been used */
    uint64_t used = HOT_USED * s->schema.nonzeros / s->schema.examples;
    if (hot > used) hot = used;
    if (hot < HOT_LEAST) hot = HOT_LEAST;
    if (r->config->hot) hot = r->config->hot;
    bool skewed = sparse && s->encoding != NULL;
    if (share == ASGD_SHARE_SHARED) return 0;
    if (share == ASGD_SHARE_REPLICA || !sparse) return rows;
    if (share == ASGD_SHARE_AUTO && rows * t->stride <= SMALL_TABLE) return rows;
    return skewed ? (hot < rows ? hot : rows) : 0;
}

asgd_status asgdi_share_choose(asgdi_run *r, char *text, size_t bytes)
{
    const asgdi_params *p     = &r->model->params;
    asgd_share          share = r->config->share;
    r->alone                  = r->workers == 1;
    if (r->grid.size) return ASGD_OK; /* workers never meet in a row */
    if (r->alone || r->mode == ASGD_SYNC || r->mode == ASGD_LOCKED) {
        if (share != ASGD_SHARE_AUTO && share != ASGD_SHARE_SHARED && !r->alone)
            return ASGD_FAIL(EINVAL, "mode %s works on one shared copy: leave out share %s",
                             asgd_mode_name(r->mode), asgd_share_name(share));
        snprintf(text, bytes, "%s", r->alone ? "one worker" : "shared");
        return ASGD_OK;
    }
    if (share == ASGD_SHARE_HOT && !r->source->encoding && !r->source->schema.dense)
        return ASGD_FAIL(EINVAL,
                         "share hot needs features numbered by frequency, as those of LIBSVM "
                         "files are (rank_features); take share replica or auto");
    bool some = false, all = true;
    for (int t = 0; t < p->n_tables; t++) {
        r->n_own[t] = choose_own(r, &p->table[t], share);
        some        = some || r->n_own[t] > 0;
        all         = all && r->n_own[t] == p->table[t].info.rows;
        r->partly   = r->partly || (r->n_own[t] > 0 && r->n_own[t] < p->table[t].info.rows);
    }
    r->private_rows = some;
    r->merge_fixed  = r->config->merge > 0;
    r->merge        = r->merge_fixed ? r->config->merge : choose_merge(r);
    if (r->merge < r->batch) r->merge = r->batch;
    r->in_flight = (uint64_t)r->workers * (r->merge / r->batch);
    if (!some)
        snprintf(text, bytes, "shared");
    else
        snprintf(text, bytes, "%s, merged every %u", all ? "replica" : "hot", r->merge);
    return ASGD_OK;
}
