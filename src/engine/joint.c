/* joint.c -- a run of a group, seen from the run: what all processes have to agree on, the beginning, and
 * the end.
 *
 * All processes begin with the same parameters and work through one sequence of positions.  What decides
 * these two is told to the exchange as text, which refuses to join processes that differ; what is long, as
 * the parameters themselves, enters it as a checksum. */
#include "engine/joint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/group.h"
#include "engine/run.h"
#include "params/checksum.h"

static const double POLL_SECONDS  = 500e-6;
static const double CHUNK_SECONDS = 0.2; /* of work that a lease is for */
static const double STALL_SECONDS = 10;
static const double DEAD_LEAST =
    0.5; /* who still reads data is heard of every 0.1 s, or a little later */
static const double FIRST_EXAMPLES = 64; /* that each worker has to begin with, or two steps */

enum { WHERE_BYTES = 200 }; /* a process, of the text that says where everybody is */

_Static_assert((int)ASGD_TAU_BUCKETS == (int)ASGDI_TAU_BUCKETS, "one histogram");

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
    snprintf(
        text, bytes,
        "asgd %s; model %s%s%.150s; %llu examples; %u features; %llu entries; %u classes; %llu "
        "examples in all; batch %u; seed %llu; order %s; rule %s; lr %g; schedule %s; clock %s "
        "(max_lag %llu, local_steps %u); merging %s; other settings, or first parameters, whose "
        "checksum is %016llx",
        asgd_version(), r->model->ops.name, *options ? " " : "", options,
        (unsigned long long)d->examples, d->features, (unsigned long long)d->nonzeros, d->classes,
        (unsigned long long)r->total, r->batch, (unsigned long long)r->seed,
        asgd_order_name(r->order), asgd_rule_name(r->rule.kind), r->lr,
        asgd_schedule_name(r->schedule), asgd_mode_name(r->mode),
        (unsigned long long)r->config->max_lag, r->config->local_steps,
        asgd_merging_name(r->config->merging), (unsigned long long)checksum(r));
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
 * k = const sqrt(t) / P, and less where lr is above the usual ones.  A batch of b divides the squares by b. */
static double choose_root(const asgdi_run *r, uint32_t processes)
{
    static const double TWO = 50, MORE = 12, USUAL_LR = 0.2;
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
    if (c->outer_momentum > 0 && c->merging != ASGD_MERGING_AUTO && c->merging != ASGD_MERGING_MEAN)
        return ASGD_FAIL(EINVAL,
                         "outer_momentum goes on from averages: it needs merging mean, not "
                         "%s",
                         asgd_merging_name(c->merging));
    if (c->outer_momentum > 0 && r->rule.kind == ASGD_RULE_ftrl)
        return ASGD_FAIL(EINVAL, "outer_momentum: rule ftrl computes its weights from sums, which "
                                 "have no momentum");
    if ((unsigned)c->guard > ASGD_GUARD_OFF)
        return ASGD_FAIL(EINVAL, "guard is not one of the known ones");
    if (c->guard == ASGD_GUARD_ON && r->mode == ASGD_SYNC)
        return ASGD_FAIL(EINVAL, "guard: mode sync has none, as nothing is stale there");
    return ASGD_OK;
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

static asgdi_merging merging_of(const asgdi_run *r)
{
    switch (r->config->merging) {
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

static asgdi_exchange_config settings(const asgdi_run *r)
{
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
             .ranked         = !r->source->schema.dense && r->source->encoding != NULL,
             .share          = 0.05,
             .round_least    = 5e-3,
             .round_most     = 0.25,
             .merging        = merging_of(r),
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
    return x;
}

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_reader *reader = user;
    if (reader->access) asgdi_access_read(reader->access, table, first, n, to);
}

static asgd_status prepare_watch(const asgdi_run *r, double dead_after)
{
    const asgd_config *c = r->config;
    asgdi_joint       *j = r->joint;
    /* a process that has died is given up before that, and one that never comes too */
    j->stall_after = c->stall_after > 0 ? c->stall_after : fmax(STALL_SECONDS, 3 * dead_after);
    j->parts       = asgdi_calloc(asgd_group_size(c->group), sizeof *j->parts);
    if (!j->parts) return ASGD_FAIL(ENOMEM, "no memory for a run of a group");
    if (!c->notice) return ASGD_OK;
    j->text_bytes = ((size_t)asgd_group_size(c->group) + 1) * WHERE_BYTES;
    j->text       = asgdi_calloc(1, j->text_bytes);
    return j->text ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory for a run of a group");
}

asgd_status asgdi_joint_new(asgdi_run *r)
{
    asgdi_params *p = &r->model->params;
    ASGD_TRY(check(r));
    asgdi_joint *j = r->joint = asgdi_calloc(1, sizeof *j);
    if (j) j->reader = asgdi_calloc(1, sizeof *j->reader);
    if (!j || !j->reader) return ASGD_FAIL(ENOMEM, "no memory for a run of a group");
    asgdk_step step;
    asgdi_rule_step(&r->rule, r->lr, 1, &step);
    j->run        = r;
    j->rate_least = r->workers * fmax(2.0 * r->batch, FIRST_EXAMPLES) / CHUNK_SECONDS;
    r->bounded    = true;
    r->guarded    = choose_guard(r) > 0;
    ASGD_TRY(asgdi_access_init(&j->access, p, r->locks, r->n_own, r->k, &step));
    j->reader->access = &j->access;
    asgdi_store_relaxed(&j->stock.most, r->batch * (r->batch < 64 ? 64 / r->batch : 1));
    r->leases.stock            = &j->stock;
    asgdi_exchange_config set  = settings(r);
    asgdi_ranges          done = {0};
    j->number                  = set.run;
    const asgdi_set all        = asgdi_set_first(set.size);
    for (int i = 0; i < ASGDI_SET_WORDS; i++) asgdi_store_relaxed(&j->in[i], all.word[i]);
    ASGD_TRY(prepare_watch(r, set.dead_after));
    asgd_status s = asgdi_resume_done(r, &done);
    set.done      = &done;
    if (!s) s = asgdi_exchange_new(&j->exchange, &set, p, read_rows, j->reader);
    j->before = done;
    return s;
}

void asgdi_joint_free(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    if (!j) return;
    asgdi_exchange_free(j->exchange);
    asgdi_free(j->reader);
    asgdi_free(j->text);
    asgdi_free(j->parts);
    asgdi_access_free(&j->access);
    asgdi_ranges_free(&j->done);
    asgdi_ranges_free(&j->before);
    asgdi_free(j);
    r->joint = NULL;
}

/* ---- the run ---- */

asgd_status asgdi_joint_begin(asgdi_run *r)
{
    ASGD_TRY(asgdi_group_drive(r->config->group, r->joint));
    r->joint->driven = true;
    return ASGD_OK;
}

void asgdi_joint_stop(asgdi_run *r, uint32_t why)
{
    uint32_t none = 0;
    (void)atomic_compare_exchange_strong(&r->joint->stop, &none, why);
}

/* What another process failed with. */
static asgd_status failed_there(const asgdi_run *r, uint32_t why)
{
    const asgd_status s       = (asgd_status)(why & 0xff);
    const uint32_t    process = why >> 16;
    if (process == asgd_group_process(r->config->group)) return ASGD_OK; /* known better here */
    return asgdi_fail(s, "process %u ended the run of all: %s", process, asgd_strerror(s));
}

asgd_status asgdi_joint_end(asgdi_run *r, bool wait)
{
    asgdi_joint *j = r->joint;
    if (!j->driven) return ASGD_OK;
    while (wait && asgdi_load_acquire(&j->stage) < ASGDI_FINISHED) {
        asgdi_joint_watch(r);
        asgdi_sleep(POLL_SECONDS);
    }
    asgdi_joint_watch(r);
    const uint32_t stage = asgdi_load_acquire(&j->stage), why = asgdi_load_acquire(&j->stopped);
    asgdi_store_release(&j->leave, 1);
    while (!asgdi_load_acquire(&j->let_go)) asgdi_sleep(POLL_SECONDS);
    j->exchange           = NULL; /* the group's, for the other processes */
    j->reader             = NULL;
    r->model->params.side = asgdi_joint_side(r);
    if (stage == ASGDI_OUT)
        return ASGD_FAIL(ELOST, "the other processes go on without this one: %s", j->why);
    if (stage == ASGDI_FAILED)
        return asgdi_fail(j->unlike ? ASGD_EMISMATCH : ASGD_ELOST, "%s", j->why);
    return why & ASGDI_WHY_FAILED ? failed_there(r, why) : ASGD_OK;
}

void asgdi_joint_watch(asgdi_run *r)
{
    asgdi_joint   *j     = r->joint;
    const uint32_t stall = asgdi_load_acquire(&j->stall);
    if (stall == asgdi_load_relaxed(&j->stall_told)) return;
    r->config->notice(j->text, r->config->user);
    asgdi_store_release(&j->stall_told, stall);
}

asgdi_side asgdi_joint_side(const asgdi_run *r)
{
    asgdi_side s = {.run = r->joint->number};
    for (int i = 0; i < ASGDI_SET_WORDS; i++) s.in.word[i] = asgdi_load_relaxed(&r->joint->in[i]);
    return s;
}

void asgdi_joint_ask_snapshot(asgdi_run *r, uint64_t number)
{
    asgdi_store_release(&r->joint->snapshot_asked, number);
}

asgdi_snapshot_state asgdi_joint_snapshot(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    if (asgdi_load_acquire(&j->snapshot_asked)) return ASGDI_SNAPSHOT_UNDER_WAY;
    return (asgdi_snapshot_state)asgdi_load_acquire(&j->snapshot_state);
}

const asgdi_snapshot *asgdi_joint_part(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    return asgdi_load_acquire(&j->part_step) == ASGDI_PART_THERE ? &j->part : NULL;
}

void asgdi_joint_part_written(asgdi_run *r, bool good, const asgdi_part *part)
{
    asgdi_joint *j = r->joint;
    j->part_good   = good;
    j->part_told   = *part;
    asgdi_store_release(&j->part_step, ASGDI_PART_WRITTEN);
}

void asgdi_joint_result(const asgdi_run *r, asgd_result *out)
{
    const asgdi_joint           *j = r->joint;
    const asgdi_exchange_counts *c = &j->counts;
    asgd_exchange_result        *x = &out->exchange;
    *x           = (asgd_exchange_result){.processes     = asgd_group_size(r->config->group),
                                          .lost          = j->lost,
                                          .rounds        = c->rounds,
                                          .deltas        = c->deltas,
                                          .bytes_out     = c->bytes_out,
                                          .bytes_in      = c->bytes_in,
                                          .damped        = c->damped,
                                          .dropped       = c->dropped,
                                          .clipped       = c->clipped,
                                          .quarantined   = c->quarantined,
                                          .interventions = c->interventions,
                                          .undone        = c->undone,
                                          .coded         = c->coded,
                                          .local_steps   = c->steps,
                                          .tau_mean      = c->tau_count > 0 ? c->tau_sum / c->tau_count : 0,
                                          .tau_max       = c->tau_max};
    x->positions = r->total;
    memcpy(x->tau, c->tau, sizeof x->tau);
    if (out->end == ASGD_END_EPOCHS && c->learnt_least <= c->learnt_most) {
        const uint64_t due = r->total - asgdi_ranges_count(&j->before);
        x->repeated        = r->before.repeated + (c->learnt_most > due ? c->learnt_most - due : 0);
        x->missing = r->before.missing + (c->learnt_least < due ? due - c->learnt_least : 0);
    }
    for (uint32_t i = 0; i < r->workers; i++) {
        x->stall_seconds += r->worker[i].stall;
        x->wait_seconds += r->worker[i].wait;
    }
    if (out->updates > 0) x->bytes_per_update = (double)c->bytes_out / (double)out->updates;
}
