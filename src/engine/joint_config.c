/* joint_config.c -- what the exchange is told of a run: what all processes have to agree on, and its settings.
 *
 * All processes begin with the same parameters and work through one sequence of positions.  What decides
 * these two is told to the exchange as text, which refuses to join processes that differ; what is long, as
 * the parameters themselves, enters it as a checksum. */
#include "engine/joint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "engine/group.h"
#include "engine/run.h"
#include "params/checksum.h"

static const double CHUNK_SECONDS = 0.2; /* of work that a lease is for */
static const double DEAD_LEAST =
    0.5; /* who still reads data is heard of every 0.1 s, or a little later */
static const double FIRST_EXAMPLES = 64; /* that each worker has to begin with, or two steps */

/* ---- what has to be the same ---- */

static uint64_t checksum(const asgdi_run *r)
{
    const asgdi_params  *p         = &r->model->params;
    const asgd_encoding *e         = r->source->encoding;
    const asgd_rule      rule      = r->rule;
    const char          *options   = r->model->options ? r->model->options : "";
    asgdi_checksum       c         = {0};
    const float          numbers[] = {rule.beta1, rule.beta2, rule.eps, rule.l1, rule.l2};
    const double         reals[]   = {r->lr,
                                      r->warmup,
                                      r->config->drop,
                                      r->config->clip_deltas,
                                      r->config->outer_momentum,
                                      (double)r->config->guard};
    asgdi_checksum_add(&c, options, strlen(options));
    if (r->config->table_merging)
        asgdi_checksum_add(&c, r->config->table_merging, strlen(r->config->table_merging));
    asgdi_checksum_add(&c, numbers, sizeof numbers);
    asgdi_checksum_add(&c, reals, sizeof reals);
    if (e) {
        uint32_t        n;
        const uint32_t *key = asgd_encoding_keys(e, &n);
        asgdi_checksum_add(&c, key, (size_t)n * sizeof *key);
    }
    if (r->source->labels)
        asgdi_checksum_add(&c, r->source->labels,
                           r->source->schema.classes * sizeof *r->source->labels);
    for (int t = 0; t < p->n_tables; t++)
        for (uint64_t row = 0; row < p->table[t].info.rows; row++)
            asgdi_checksum_add(&c, p->table[t].master + row * p->table[t].stride,
                               p->table[t].info.dim * sizeof(float));
    return asgdi_checksum_end(&c);
}

static void describe(const asgdi_run *r, char *text, size_t bytes)
{
    const asgd_schema *d       = &r->source->schema;
    const char        *options = r->model->options ? r->model->options : "";
    const char        *tables  = r->config->table_merging;
    snprintf(
        text, bytes,
        "asgd %s; model %s%s%.150s; %llu examples; %u features; %llu entries; %u classes; %llu "
        "examples in all; batch %u; seed %llu; order %s; rule %s; lr %g; schedule %s; clock %s "
        "(max_lag %llu, local_steps %u); merging %s%s%.100s; other settings, or first parameters, "
        "whose "
        "checksum is %016llx",
        asgd_version(), r->model->ops.name, *options ? " " : "", options,
        (unsigned long long)d->examples, d->features, (unsigned long long)d->nonzeros, d->classes,
        (unsigned long long)r->total, r->batch, (unsigned long long)r->seed,
        asgd_order_name(r->order), asgd_rule_name(r->rule.kind), r->lr,
        asgd_schedule_name(r->schedule), asgd_mode_name(r->mode),
        (unsigned long long)r->config->max_lag, r->config->local_steps,
        asgd_merging_name(r->config->merging), tables ? "," : "", tables ? tables : "",
        (unsigned long long)checksum(r));
}

/* ---- settings ---- */

static bool divides_by_root(const asgdi_run *r)
{
    return r->rule.kind == ASGD_RULE_adagrad || r->rule.kind == ASGD_RULE_ftrl;
}

/* Updates that a process may make beyond those that are known to be in the masters.  Deltas are added up: P of them
 * that each have gone all the way to a minimum overshoot it by P - 1 times.  What all processes together have on
 * their way has therefore to shrink as they get more.  Two bear a good deal; the constants are measured
 * (docs/decisions/020). */
static uint64_t choose_ahead(const asgdi_run *r, uint32_t processes)
{
    enum { DEEP_UPDATES = 480, EXAMPLES = 1 << 16, BATCHES = 256, MOST = 1 << 17 };
    if (processes < 2) return 0;
    if (r->config->local_steps && r->config->local_steps != ASGD_STEPS_AUTO)
        return r->mode == ASGD_SYNC ? 0 : 2 * (uint64_t)r->config->local_steps;
    if (r->mode == ASGD_SYNC && !r->config->local_steps) return 0;
    const uint32_t pairs = processes * processes;
    uint32_t       all   = EXAMPLES / r->batch;
    if (r->batch > 1 && all > BATCHES) all = BATCHES; /* their steps go further than single ones */
    if (asgdi_is_deep(&r->model->params))
        all = DEEP_UPDATES / processes;
    else if (divides_by_root(r) && r->mode != ASGD_SYNC)
        return MOST / r->batch > 2 ? MOST / r->batch : 2; /* choose_root() has the say */
    return all / pairs > 2 ? all / pairs : 2;
}

/* The same for rules that divide their steps by the root of what they have seen, as multiple of the root of the
 * updates t in the masters.  A frequent row of curvature h, whose squared gradients are h too (as log loss has them),
 * goes in k steps the part k lr sqrt(h / t) of its way: what all processes may go together is bounded, so
 * k = const sqrt(t) / P, and less where lr is above the usual ones.  A batch of b divides the squares by b.  Where all
 * processes begin their deltas at one point, losses begin to swing at twice this constant (docs/decisions/020). */
static double choose_root(const asgdi_run *r, uint32_t processes)
{
    static const double TWO = 50, MORE = 6, USUAL_LR = 0.2;
    const bool          given = r->config->local_steps && r->config->local_steps != ASGD_STEPS_AUTO;
    if (given || r->mode == ASGD_SYNC || !divides_by_root(r) || asgdi_is_deep(&r->model->params))
        return 0;
    const double all = processes > 2 ? MORE : TWO;
    return all * fmin(1, USUAL_LR / r->lr) / (processes * sqrt(r->batch));
}

/* Times that what may be ahead grows as the learning rate falls: measured for nets (docs/decisions/020).  Those of so many
 * processes that they may be no more than a few updates ahead bear no more at any rate; and what the user has set is
 * as much as it says. */
static double choose_stretch(const asgdi_run *r, uint64_t ahead)
{
    enum { FEW = 4 };
    static const double MOST  = 4;
    const bool          given = r->config->local_steps && r->config->local_steps != ASGD_STEPS_AUTO;
    return asgdi_is_deep(&r->model->params) && ahead >= FEW && !given ? MOST : 1;
}

/* What a process has on its way is no more than this part of what all have learnt: nets go far in their first updates, and short
 * runs end with what was on its way (docs/decisions/020). */
static uint32_t choose_ramp(const asgdi_run *r)
{
    enum { PART = 16 };
    const bool given = r->config->local_steps && r->config->local_steps != ASGD_STEPS_AUTO;
    return asgdi_is_deep(&r->model->params) && !given ? PART : 0;
}

static asgd_status check_governor(const asgdi_run *r)
{
    const asgd_config *c = r->config;
    if (!(c->drop == 0 || c->drop >= 1))
        return ASGD_FAIL(EINVAL,
                         "drop %g: deltas are dropped that are so many times as stale as "
                         "usual; give 1 or more, or 0 for never",
                         c->drop);
    if (!(c->clip_deltas == 0 || c->clip_deltas >= 1))
        return ASGD_FAIL(EINVAL,
                         "clip_deltas %g: deltas are cut to so many times the usual norm; "
                         "give 1 or more, or 0 for never",
                         c->clip_deltas);
    if (r->mode == ASGD_SYNC && (c->drop > 0 || c->clip_deltas > 0))
        return ASGD_FAIL(EINVAL, "drop and clip_deltas: mode sync adds up whole rounds; leave them "
                                 "out");
    if (!(c->outer_momentum >= 0 && c->outer_momentum < 1))
        return ASGD_FAIL(EINVAL, "outer_momentum %g: a number from 0 to below 1 is needed",
                         c->outer_momentum);
    if (c->outer_momentum > 0 && r->rule.kind == ASGD_RULE_ftrl)
        return ASGD_FAIL(EINVAL, "outer_momentum: rule ftrl computes its weights from sums, which "
                                 "have no momentum");
    if ((unsigned)c->guard > ASGD_GUARD_OFF)
        return ASGD_FAIL(EINVAL, "guard is not one of the known ones");
    if (c->guard == ASGD_GUARD_ON && r->mode == ASGD_SYNC)
        return ASGD_FAIL(EINVAL, "guard: mode sync has none, as nothing is stale there");
    return ASGD_OK;
}

/* Part of the run at the end of which processes keep closer: of nets whose steps do not get shorter (docs/decisions/020). */
static double choose_last(const asgdi_run *r)
{
    static const double PART  = 0.1;
    const bool          given = r->config->local_steps && r->config->local_steps != ASGD_STEPS_AUTO;
    const bool          same  = r->schedule == ASGD_CONSTANT && !given;
    return same && asgdi_is_deep(&r->model->params) ? PART : 0;
}

/* Sync, of local steps that are chosen: all of them are always taken from the same point on, where without sync
 * rounds are mostly much shorter than what is allowed. */
static uint32_t most_steps(const asgdi_run *r, uint64_t ahead)
{
    const uint64_t most = ahead / (asgdi_is_deep(&r->model->params) ? 2 : 32);
    return most > 1 ? (uint32_t)most : 1;
}

static asgd_status check(const asgdi_run *r)
{
    const asgd_config *c = r->config;
    if (r->mode == ASGD_LOCKED || r->mode == ASGD_SEQUENTIAL)
        return ASGD_FAIL(EINVAL, "mode %s is of one process: take async or sync with a group",
                         asgd_mode_name(r->mode));
    if (c->progressive)
        return ASGD_FAIL(EINVAL, "progressive validation is one pass of one process: leave out "
                                 "progressive, or the group");
    if (r->mode == ASGD_SYNC && c->max_lag)
        return ASGD_FAIL(EINVAL, "max_lag %llu: mode sync has no lag; leave one of them out",
                         (unsigned long long)c->max_lag);
    if (c->backup && c->backup >= asgd_group_size(c->group))
        return ASGD_FAIL(EINVAL, "%u backup processes of %u: leave at least one to wait for",
                         c->backup, asgd_group_size(c->group));
    if (!(c->heartbeat >= 0) || !(c->dead_after >= 0) || !(c->stall_after >= 0))
        return ASGD_FAIL(EINVAL, "heartbeat, dead_after and stall_after cannot be negative");
    if (c->dead_after > 0 && c->dead_after < DEAD_LEAST)
        return ASGD_FAIL(EINVAL,
                         "dead_after %g s: %g s at the least, or the living would be given up",
                         c->dead_after, DEAD_LEAST);
    ASGD_TRY(check_governor(r));
    if ((unsigned)c->merging > ASGD_MERGING_ELASTIC || (unsigned)c->compress > ASGD_COMPRESS_AUTO)
        return ASGD_FAIL(EINVAL, "merging or compress is not one of the known ones");
    return ASGD_OK;
}

static asgdi_merging choose_merging(const asgdi_run *r, asgd_merging asked)
{
    switch (asked) {
    case ASGD_MERGING_DELTA: return ASGDI_MERGE_DELTA;
    case ASGD_MERGING_MEAN: return ASGDI_MERGE_MEAN;
    case ASGD_MERGING_ELASTIC: return ASGDI_MERGE_ELASTIC;
    case ASGD_MERGING_AUTO: break;
    }
    if (r->config->outer_momentum > 0) return ASGDI_MERGE_MEAN;
    /* many steps from the same point on are no estimate of one gradient: local SGD averages them */
    const uint32_t steps =
        r->config->local_steps; /* auto: so few that they are added up, as without sync */
    return r->mode == ASGD_SYNC && steps > 1 && steps != ASGD_STEPS_AUTO ? ASGDI_MERGE_MEAN
                                                                         : ASGDI_MERGE_DELTA;
}

static asgd_status bad_merging(const asgdi_params *p, const char *item, int length)
{
    char   names[512];
    size_t at = 0;
    names[0]  = 0;
    for (int t = 0; t < p->n_tables && at < sizeof names; t++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", t ? ", " : "",
                               p->table[t].info.name);
    return ASGD_FAIL(EINVAL,
                     "merging '%.*s': auto, delta, mean or elastic for all tables, or TABLE=one of "
                     "these; this model's tables are %s",
                     length, item, names);
}

/* One TABLE=NAME of the list. */
static asgd_status merge_table(const asgdi_run *r, const char *item, int length,
                               asgd_merging *asked)
{
    const asgdi_params *p  = &r->model->params;
    const char         *is = memchr(item, '=', (size_t)length);
    char                name[16];
    const int           name_length = is ? length - (int)(is + 1 - item) : 0;
    asgd_merging        how;
    if (!is || name_length >= (int)sizeof name) return bad_merging(p, item, length);
    snprintf(name, sizeof name, "%.*s", name_length, is + 1);
    if (!asgd_merging_parse(name, &how)) return bad_merging(p, item, length);
    for (int t = 0; t < p->n_tables; t++) {
        const char *table = p->table[t].info.name;
        if (strlen(table) != (size_t)(is - item) || memcmp(table, item, (size_t)(is - item)) != 0)
            continue;
        asked[t] = how;
        return ASGD_OK;
    }
    return bad_merging(p, item, length);
}

static asgd_status set_merging(const asgdi_run *r, asgdi_merging *merging)
{
    const asgd_config *c = r->config;
    asgd_merging       asked[ASGD_MAX_TABLES];
    for (int t = 0; t < ASGD_MAX_TABLES; t++) asked[t] = c->merging;
    for (const char *at = c->table_merging; at && *at;) {
        const size_t length = strcspn(at, ",");
        ASGD_TRY(merge_table(r, at, length < 200 ? (int)length : 200, asked));
        at += length + (at[length] == ',');
    }
    for (int t = 0; t < r->model->params.n_tables; t++) {
        merging[t] = choose_merging(r, asked[t]);
        if (c->outer_momentum > 0 && merging[t] != ASGDI_MERGE_MEAN)
            return ASGD_FAIL(EINVAL,
                             "outer_momentum goes on from averages: it needs merging mean, not %s",
                             asgd_merging_name(asked[t]));
    }
    return ASGD_OK;
}

/* Examples between two looks; 0: no guard.  A run is looked at about a hundred times; fewer examples would say little. */
static uint64_t choose_guard(const asgdi_run *r)
{
    enum { LOOKS = 128, LEAST = 512, BATCHES = 32, MOST = 1 << 16 };
    const asgd_guard how = r->config->guard;
    if (how == ASGD_GUARD_OFF || r->mode == ASGD_SYNC || asgd_group_size(r->config->group) < 2)
        return 0;
    if (how == ASGD_GUARD_AUTO && r->order == ASGD_ORDER_FILE) return 0;
    uint64_t n = r->total / LOOKS;
    if (n > MOST) n = MOST;
    if (n < LEAST) n = LEAST;
    return n > (uint64_t)BATCHES * r->batch ? n : (uint64_t)BATCHES * r->batch;
}

asgd_status asgdi_joint_alone(const asgdi_run *r)
{
    asgdi_merging merging[ASGD_MAX_TABLES];
    return set_merging(r, merging);
}

double asgdi_joint_rate_least(const asgdi_run *r)
{
    return r->workers * fmax(2.0 * r->batch, FIRST_EXAMPLES) / CHUNK_SECONDS;
}

asgd_status asgdi_joint_config(const asgdi_run *r, asgdi_exchange_config *out)
{
    ASGD_TRY(check(r));
    const asgd_config *c    = r->config;
    const asgdi_link  *link = asgdi_group_link(c->group);
    const bool         sync = r->mode == ASGD_SYNC, steps_auto = c->local_steps == ASGD_STEPS_AUTO;
    const uint64_t     ahead     = choose_ahead(r, link->size);
    const bool         automatic = c->compress == ASGD_COMPRESS_AUTO;
    asgdi_exchange_config x      = {
             .self           = link->self,
             .size           = link->size,
             .run            = asgdi_group_run(c->group),
             .total          = r->total,
             .batch          = r->batch,
             .chunk_seconds  = CHUNK_SECONDS,
             .at_hand        = 2 * (uint64_t)r->workers * r->batch,
             .clock          = sync         ? ASGDI_CLOCK_SYNC
                               : c->max_lag ? ASGDI_CLOCK_LAG
                                            : ASGDI_CLOCK_ASYNC,
             .max_lag        = c->max_lag,
             .local_steps    = !steps_auto ? c->local_steps
                               : sync      ? most_steps(r, ahead)
                                           : 0,
             .steps_auto     = steps_auto && sync,
             .ahead          = sync ? 0 : ahead,
             .ahead_root     = choose_root(r, link->size),
             .stretch        = choose_stretch(r, ahead),
             .ramp           = choose_ramp(r),
             .last           = choose_last(r),
             .ranked         = !r->source->schema.dense && r->source->encoding != NULL,
             .share          = 0.05,
             .round_least    = 5e-3,
             .round_most     = 0.25,
             .shorten        = true,
             .elastic        = 0.9 / link->size,
             .coding         = automatic ? ASGDI_INT8 : (asgdi_coding)c->compress,
             .coding_auto    = automatic,
             .rough          = c->compress != ASGD_COMPRESS_NONE,
             .backup         = c->backup,
             .damp           = c->damp > 0   ? c->damp
                               : c->damp < 0 ? INFINITY
                                             : 16,
             .drop           = c->drop > 0 ? c->drop : INFINITY,
             .clip           = c->clip_deltas > 0 ? c->clip_deltas : INFINITY,
             .outer_momentum = c->outer_momentum,
             .guard          = choose_guard(r),
             .heartbeat      = c->heartbeat > 0 ? c->heartbeat : 0.25,
             .dead_after     = c->dead_after > 0 ? c->dead_after : 10,
             .resend         = 0.5,
             .least          = c->min_processes ? c->min_processes : 1,
    };
    if (c->heartbeat == 0) x.heartbeat = fmin(x.heartbeat, x.dead_after / 4);
    /* all have come up when the link is open, and say so at once: who does not is lost */
    x.join_seconds = fmax(10, 2 * x.dead_after);
    describe(r, x.about, sizeof x.about);
    ASGD_TRY(set_merging(r, x.merging));
    *out = x;
    return ASGD_OK;
}
